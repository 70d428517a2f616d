"""Range indexes of texts: prefixes, and order without regard to letter case."""

from __future__ import annotations

import random

import duckdb
import pytest

from tests.fixtures.databases import Database, check_ok, refused, rows
from tests.fixtures.kinds import StoreKind
from tests.proxy.test_substring import used

pytestmark = [pytest.mark.every_store, pytest.mark.sampled(9)]

ODD = (
    "straße", "STRASSE", "Straße", "STRAẞE", "\u212aelvin", "kelvin", "Kelvin", "İzmir", "izmir", "I", "\u0131",
    "\u03a3\u039f\u03a6\u039f\u03a3", "\u03c3\u03bf\u03c6\u03bf\u03c2", "", "a", "A", "ab", "AB", "Ab%", "a_b", "Ä", "ä", "😀", "z" * 16, "Z" * 16 + "a", "z" * 16 + "B", "Z" * 15,
    "\u023A" * 6, "\u2C65" * 6, "É1", "é2", "12-3", "12-a", "12-A", "\U0010ffff",
)  # fmt: skip


@pytest.fixture(scope="module")
def names(store_kind: StoreKind, tmp_path_factory):
    """700 names in both databases: settled, removed, pending, and in an open transaction."""
    pick = random.Random(11)
    texts = [
        *ODD,
        *(
            "".join(pick.choice("abAB kK\u212aéÉ") for _ in range(pick.randrange(1, 5)))
            for _ in range(500)
        ),
        *("A common beginning " + pick.choice("abABcC") for _ in range(100)),
        *(None for _ in range(30)),
    ]
    pick.shuffle(texts)
    listed = list(enumerate(texts))
    made = Database.make(tmp_path_factory.mktemp("names"), store_kind)
    connection = made.connect()
    connection.execute("CREATE TABLE names (id INT PRIMARY KEY, name TEXT, plain TEXT)")
    connection.execute("CREATE INDEX folded ON names USING range (name) WITH (case_insensitive)")
    connection.execute("CREATE INDEX sorted ON names USING range (plain)")
    insert = "INSERT INTO names VALUES (?, ?, ?)"
    connection.executemany(insert, [(n, one, one) for n, one in listed[:450]])
    connection.execute("VACUUM")
    connection.executemany(insert, [(n, one, one) for n, one in listed[450:600]])
    connection.execute("DELETE FROM names WHERE id % 13 = 0")
    connection.execute("BEGIN")
    connection.executemany(insert, [(n, one, one) for n, one in listed[600:]])
    connection.execute("UPDATE names SET name = 'KELVIN', plain = 'KELVIN' WHERE id = 2")
    kept = [(n, one) for n, one in listed if n % 13 or n >= 600]
    kept = [(n, "KELVIN" if n == 2 else one) for n, one in kept]
    with duckdb.connect(":memory:") as plain:
        plain.execute("SET default_null_order = 'NULLS_LAST_ON_ASC_FIRST_ON_DESC'")
        plain.execute("CREATE TABLE names (id INT, name VARCHAR, plain VARCHAR)")
        plain.execute(
            "INSERT INTO names SELECT unnest($1), unnest($2), unnest($2)",
            [[n for n, _ in kept], [one for _, one in kept]],
        )
        yield connection, plain
    made.close()


CONDITIONS = [
    ("name ILIKE 'kel%'", "folded"),
    ("name ILIKE 'STRAß%'", "folded"),
    ("name ILIKE 'strasse'", "folded"),
    ("name ILIKE 'İZM%'", "folded"),
    ("name ILIKE '\u03c3\u03bf\u03c6\u03bf\u03c3'", "folded"),
    ("name ILIKE '\u023A\u2C65%'", "folded"),
    ("name ILIKE 'zzzzzzzzzzzzzzzzA%'", "folded"),
    ("lower(name) = 'kelvin'", "folded"),
    ("lower(name) = 'Kelvin'", "folded"),
    ("lower(name) IN ('ab', 'straße', 'ab%', NULL)", "folded"),
    ("lower(name) = lower('ZzzzzzzzzzzzzzzzB')", "folded"),
    ("lower(name) < 'a'", "folded"),
    ("lower(name) >= 'kb' AND lower(name) < 'l'", "folded"),
    ("lower(name) BETWEEN 'ab' AND 'abb'", "folded"),
    ("lower(name) > 'zzzzzzzzzzzzzzzz'", "folded"),
    ("lower(name) LIKE 'kel%n'", "folded"),
    ("lower(name) LIKE 'KEL%'", "folded"),
    ("name = 'KELVIN'", "folded"),
    ("name = '\u212aelvin'", "folded"),
    ("name IN ('STRASSE', 'ab')", "folded"),
    ("name LIKE 'Ab%'", "folded"),
    ("starts_with(name, 'AB')", "folded"),
    ("name < '1'", "none"),
    ("name > 'z' AND name < 'zz'", "none"),
    ("name NOT ILIKE '%a%'", "none"),
    ("plain LIKE 'A common%'", "sorted"),
    ("starts_with(plain, 'zzzzzzzzzzzzzzzz')", "sorted"),
    ("plain ^@ 'Stra'", "sorted"),
    ("plain ILIKE '12-A'", "sorted"),
    ("plain ILIKE '12-%'", "sorted"),
    ("plain ILIKE 'kel%'", "none"),
    ("lower(plain) = 'kelvin'", "none"),
    ("plain LIKE '\U0010ffff%'", "sorted"),
]  # fmt: skip


@pytest.mark.parametrize(("condition", "index"), CONDITIONS, ids=[one for one, _ in CONDITIONS])
def test_conditions(names, condition, index):
    connection, plain = names
    sql = f"SELECT id FROM names WHERE {condition}"
    assert sorted(rows(connection, sql)) == sorted(plain.execute(sql).fetchall())
    assert used(connection, sql) == [index]


@pytest.mark.parametrize("direction", ["", " DESC", " NULLS FIRST"])
@pytest.mark.parametrize("where", ["", " WHERE lower(name) > 'a'", " WHERE name ILIKE 'A%'"])
@pytest.mark.parametrize(("limit", "offset"), [(1, 0), (9, 60)])
def test_orders(names, where, direction, limit, offset):
    connection, plain = names
    sql = (
        f"SELECT id, name FROM names{where} "
        f"ORDER BY lower(name){direction}, id LIMIT {limit} OFFSET {offset}"
    )
    assert rows(connection, sql) == plain.execute(sql).fetchall()
    assert used(connection, sql) == ["folded"]


def test_an_order_by_bytes_is_not_served_without_regard_to_case(names):
    connection, plain = names
    for sql in (
        "SELECT name FROM names ORDER BY name, id LIMIT 9",
        "SELECT plain FROM names ORDER BY lower(plain), id LIMIT 9",
        "SELECT max(name), min(name) FROM names",
    ):
        assert rows(connection, sql) == plain.execute(sql).fetchall()
        assert used(connection, sql) == ["none"]


def test_extremes_of_texts_that_agree_in_sixteen_bytes(names):
    connection, plain = names
    for where in ("", "WHERE plain < 'A common beginning b'", "WHERE plain LIKE 'A c%'"):
        sql = f"SELECT min(plain), max(plain) FROM names {where}"
        assert rows(connection, sql) == plain.execute(sql).fetchall()
    assert used(connection, "SELECT max(plain) FROM names WHERE plain < 'zzzzzzzzzzzzzzzzC'") == [
        "sorted"
    ]


def test_the_store_is_sound(database: Database):
    connection = database.connect()
    connection.execute("CREATE TABLE t (zip TEXT, name VARCHAR(30))")
    connection.executemany("INSERT INTO t VALUES (?, ?)", [("z", one) for one in [*ODD, None]])
    connection.execute(
        "CREATE INDEX both ON t USING range (zip, name) WITH (case_insensitive = on)"
    )
    connection.executemany("INSERT INTO t VALUES (?, ?)", [("y", one) for one in [*ODD, None]])
    connection.execute("VACUUM t")
    check_ok(connection)
    found = rows(connection, "SELECT name FROM t WHERE zip = 'z' AND name ILIKE 'kel%'")
    assert sorted(found) == sorted([("\u212aelvin",), ("kelvin",), ("Kelvin",)])
    assert used(connection, "SELECT name FROM t WHERE zip = 'z' AND name ILIKE 'kel%'") == ["both"]


def test_what_the_option_takes(database: Database):
    connection = database.connect()
    connection.execute("CREATE TABLE t (a INT, b TEXT)")
    create = "CREATE INDEX i ON t USING range (%s) WITH (%s)"
    refused("E_INDEX_TYPE", connection.execute, create % ("a", "case_insensitive = true"))
    refused("E_INDEX_TYPE", connection.execute, create % ("b, a", "case_insensitive = true"))
    refused("E_UNKNOWN_OPTION", connection.execute, create % ("b", "case_insensitive = maybe"))
    refused("E_UNKNOWN_OPTION", connection.execute, create % ("b", "case = lower"))
    connection.execute(create % ("a", "case_insensitive = false"))
    for columns in ("a", "b, b", "b, a"):
        with pytest.raises(Exception, match=r"substring|twice|several"):
            connection.execute(f"CREATE INDEX j ON t USING substring ({columns})")
