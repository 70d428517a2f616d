"""Ready to be distributed: every hot statement finds its rows by their own key, in one relation.

A distributed engine places the rows of a relation by a key. It serves a statement without asking every
node only if the statement carries that key, and without moving rows only if it joins no two relations.
All statements of a broad scenario are recorded where they are sent, and looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from proxy.check import check
from tests.fixtures.databases import Database, rows
from tests.fixtures.kinds import PostgresKind

pytestmark = pytest.mark.stores("postgres")
pytest.importorskip("psycopg")

from encdb.stores.postgres import link, schema  # noqa: E402 - they need the package above.

KEYS = {"rows": "label", "pages": "segment", "keys": "tag", "deltas": "", "visible": "idx?"}
"""Relation → the column beside ``tbl`` that a statement on it has to name. Deltas are read by table, visible
entries by index or by id, which begins with the index."""


@contextmanager
def recorded() -> Iterator[list[str]]:
    """The distinct texts of all statements that are sent meanwhile."""
    texts: list[str] = []

    def observe(text: str) -> None:
        if text not in texts:
            texts.append(text)

    link.observers.append(observe)
    try:
        yield texts
    finally:
        link.observers.remove(observe)


def relations(text: str) -> list[str]:
    """The relations that a statement names."""
    return re.findall(r"\{(\w+)\}", text)


def named(text: str) -> str:
    """The columns by which a statement chooses rows, or that it inserts."""
    inserted = re.match(r"(?:INSERT INTO|COPY) \{\w+\}(?: AS \w+)? \(([^)]*)\)", text)
    if inserted:
        return inserted[1]
    return text.partition(" WHERE ")[2]


def misses(text: str) -> str:
    """What is wrong with a statement, or nothing."""
    hot = [name for name in relations(text) if name in KEYS]
    if len(set(hot)) > 1:
        return "two relations at once"
    for name in hot:
        wanted = [column for column in ("tbl", KEYS[name]) if column]
        if missing := [one for one in wanted if not re.search(rf"\b{one}\b", named(text))]:
            return f"{name} without {missing}"
    return ""


def live(connection: Any) -> None:
    """Everything that clients do all day, on tables with every kind of index."""
    many = [(n, f"name {n}", n % 90, f"z{n % 7}", f"word{n % 11} other") for n in range(1500)]
    connection.execute(
        "CREATE TABLE people (id BIGINT PRIMARY KEY, name TEXT UNIQUE, age INT, zip TEXT, notes TEXT)"
    )
    connection.execute("CREATE TABLE visits (id BIGINT PRIMARY KEY, person BIGINT)")
    for index in ("range (age)", "equality (zip)", "keyword (notes)"):
        connection.execute(f"CREATE INDEX ON people USING {index}")
    for index in ("visits USING det (person)", "people USING ope (id)", "people USING ore (age)"):
        connection.execute(f"CREATE INDEX ON {index} WITH (accept_leakage = true)")
    insert = "INSERT INTO people VALUES (?, ?, ?, ?, ?)"
    connection.executemany(insert, many)
    connection.execute("INSERT INTO people VALUES (2000, 'one', 1, 'z1', 'alone')")
    connection.executemany("INSERT INTO visits VALUES (?, ?)", [(n, n % 40) for n in range(100)])
    for merge in ("VACUUM people", "VACUUM"):
        connection.execute(insert, (3000 + len(merge), merge, 2, "z2", "few"))
        for question in (
            "SELECT * FROM people WHERE id = 17",
            "SELECT * FROM people WHERE name = 'one'",
            "SELECT id FROM people WHERE age BETWEEN 3 AND 5",
            "SELECT id FROM people WHERE zip = 'z3' AND age > 10",
            "SELECT id FROM people WHERE notes @@ 'word3'",
            "SELECT id FROM people ORDER BY age DESC LIMIT 3",
            "SELECT count(*), max(age) FROM people",
            "SELECT p.name FROM people p JOIN visits v ON v.person = p.id WHERE v.id = 3",
            "SELECT count(*) FROM visits WHERE person = 7",
            "SELECT person, count(*) FROM visits GROUP BY person",
            "SELECT id FROM people WHERE id > 1400 ORDER BY id LIMIT 3",
        ):
            rows(connection, question)
        connection.execute("BEGIN")
        connection.execute("UPDATE people SET age = age + 1 WHERE id < 5")
        connection.execute("UPDATE people SET name = name || '!' WHERE id = 2000")
        connection.execute("DELETE FROM people WHERE id BETWEEN 20 AND 25")
        connection.execute("INSERT INTO visits VALUES (?, 1)", (1000 + len(merge),))
        connection.execute("COMMIT")
        connection.execute(merge)
    connection.execute("UPDATE people SET notes = 'changed' WHERE age < 60")
    connection.execute("DROP INDEX people_zip_idx")


def test_hot_statements_carry_their_keys_and_join_nothing(database: Database):
    with recorded() as texts:
        writer, reader = database.connect(), database.connect()
        rows(reader, "SELECT 1")
        live(writer)
        assert rows(reader, "SELECT count(*) FROM people") == rows(
            writer, "SELECT count(*) FROM people"
        )
        database.close()
    touched = {name for text in texts for name in relations(text)}
    assert touched >= {"heads", "tables", "leases", "packs", "tombstones", *KEYS}
    assert len(texts) > 25
    wrong = {text: found for text in texts if (found := misses(text))}
    assert wrong == {}
    # A statement that changes rows says which table they are of, whatever the relation is.
    for text in texts:
        for name in set(relations(text)) & set(schema.TABLE_KEYED):
            if text.startswith(("INSERT INTO", "UPDATE", "DELETE")):
                assert re.search(r"\btbl\b", named(text)), (name, text)


def test_statements_on_cold_paths_stay_in_one_relation_too(database: Database):
    """A check reads whole relations, and a dropped table leaves them; neither joins them."""
    connection = database.connect()
    live(connection)
    with recorded() as texts:
        assert check(connection.session).ok
        connection.execute("DROP TABLE people")
    for text in texts:
        assert len(set(relations(text)) & set(KEYS)) <= 1, text
        if set(relations(text)) & set(KEYS):
            assert re.search(r"\btbl\b", named(text)), text


def test_texts_of_statements_hold_no_values(database: Database):
    """They are prepared once, whatever is asked: values travel as parameters."""
    with recorded() as texts:
        live(database.connect())
        count = len(texts)
        connection = database.connect()
        for number in range(100, 130):
            rows(connection, "SELECT * FROM people WHERE id = ?", (number,))
            connection.execute("UPDATE people SET age = 5 WHERE id = ?", (number,))
        assert len(texts) <= count + 3
    for text in texts:
        assert not re.search(r"name \d|word\d|[0-9a-f]{16}", text), text


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("SELECT blob FROM {rows} WHERE tbl = %s", "rows without"),
        ("SELECT blob FROM {rows} JOIN {keys} USING (label) WHERE tbl = %s", "two relations"),
        ("DELETE FROM {pages} WHERE tbl = %s AND page = %s", "pages without"),
        ("INSERT INTO {keys} (tbl, label) VALUES (%s, %s)", "keys without"),
        ("DELETE FROM {deltas} WHERE writer = %s", "deltas without"),
    ],
)
def test_the_test_sees_what_is_wrong(text: str, found: str):
    assert misses(text).startswith(found)


def test_the_schema_has_nothing_but_tables_keys_and_one_function(database: Database):
    """No foreign key, trigger, sequence, view or rule, which a distributed engine may lack."""
    import psycopg

    database.connect().execute("CREATE TABLE t (id BIGINT PRIMARY KEY REFERENCES u (id))")
    assert isinstance(database.kind, PostgresKind)
    url, name = database.kind.split(database.url)
    of_schema = "(SELECT oid FROM pg_class WHERE relnamespace = %(n)s::regnamespace)"
    with psycopg.connect(url, autocommit=True) as connection:

        def found(sql: str) -> list[Any]:
            return [one for (one,) in connection.execute(sql, {"n": f'"{name}"'})]

        kinds = found(f"SELECT DISTINCT relkind FROM pg_class WHERE oid IN {of_schema}")
        assert set(kinds) == {"r", "i"}
        names = found(f"SELECT relname FROM pg_class WHERE relkind = 'r' AND oid IN {of_schema}")
        assert set(names) == set(schema.RELATIONS)
        constraints = found(
            f"SELECT DISTINCT contype FROM pg_constraint WHERE conrelid IN {of_schema}"
        )
        assert set(constraints) <= {"p", "n"}
        assert found(f"SELECT tgname FROM pg_trigger WHERE tgrelid IN {of_schema}") == []
        assert found(f"SELECT rulename FROM pg_rewrite WHERE ev_class IN {of_schema}") == []
        functions = found("SELECT proname FROM pg_proc WHERE pronamespace = %(n)s::regnamespace")
        assert functions == [schema.FUNCTION]
        keys = connection.execute(
            "SELECT c.relname, a.attname FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid"
            " JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0]"
            " WHERE i.indisprimary AND c.relnamespace = %(n)s::regnamespace",
            {"n": f'"{name}"'},
        ).fetchall()
    first = dict(keys)
    assert {name for name, column in first.items() if column != "tbl"} == {"heads", "catalog"}
