"""INCLUDE: a query over indexed and included columns fetches no row, and answers as any other."""

from __future__ import annotations

import random
from collections import Counter

import pytest

import encdb
from proxy.check import check
from tests.fixtures.databases import Database

pytestmark = pytest.mark.every_store

TYPES = "BOOLEAN SMALLINT DECIMAL(12,3) DECIMAL(30,2) DOUBLE TEXT BLOB DATE TIMESTAMPTZ UUID JSON INTERVAL"


@pytest.fixture
def people(database: Database):
    """700 rows with NULLs: settled, removed, pending; three covering indexes."""
    connection = database.connect(pin=False, record=True)
    connection.execute(
        "CREATE TABLE t (id INT PRIMARY KEY, zip TEXT, age INT, pay DECIMAL(10,2), name TEXT)"
    )
    for index in (
        "e ON t USING equality (zip) INCLUDE (age, name)",
        "r ON t USING range (age) INCLUDE (zip)",
        "k ON t USING range (zip, age) INCLUDE (pay)",
    ):
        connection.execute(f"CREATE INDEX {index}")
    pick = random.Random(8)

    def maybe(value):
        return None if pick.random() < 0.06 else value

    rows = [
        (
            number,
            maybe(f"zip {pick.randrange(9)}"),
            maybe(pick.randrange(90)),
            maybe(number * 5),
            maybe(f"näme {number} ☃"),
        )
        for number in range(700)
    ]
    insert = "INSERT INTO t VALUES (?, ?, ?, ?, ?)"
    connection.executemany(insert, rows[:500])
    connection.execute("VACUUM")
    connection.executemany(insert, rows[500:])
    connection.execute("DELETE FROM t WHERE id % 13 = 0")
    kept = [row for row in rows if row[0] % 13]
    return connection, kept


def read_no_row(connection, query):
    """The answer, during which the store was asked for no row and no pack."""
    before = len(connection.session.trace.events)
    found = connection.execute(query).fetchall()
    kinds = {event.kind for event in list(connection.session.trace.events)[before:]}
    assert not kinds & {"ReadRows", "ReadPacks"}, kinds
    return found


def test_no_row_is_fetched(people):
    connection, rows = people
    cases = [
        (
            "SELECT id_free FROM (SELECT age AS id_free, name FROM t WHERE zip = 'zip 3')",
            [row[2] for row in rows if row[1] == "zip 3"],
        ),
        (
            "SELECT name FROM t WHERE zip IN ('zip 3', 'zip 5') AND age > 20",
            [
                row[4]
                for row in rows
                if row[1] in ("zip 3", "zip 5") and row[2] is not None and row[2] > 20
            ],
        ),
        (
            "SELECT zip FROM t WHERE age BETWEEN 30 AND 40",
            [row[1] for row in rows if row[2] is not None and 30 <= row[2] <= 40],
        ),
        (
            "SELECT pay FROM t WHERE zip = 'zip 3' AND age BETWEEN 30 AND 60",
            [
                row[3]
                for row in rows
                if row[1] == "zip 3" and row[2] is not None and 30 <= row[2] <= 60
            ],
        ),
        ("SELECT name FROM t WHERE zip = 'none'", []),
    ]
    for query, wanted in cases:
        found = read_no_row(connection, query)
        assert Counter(row[0] for row in found) == Counter(wanted)


def test_other_columns_are_fetched(people):
    connection, rows = people
    found = connection.execute("SELECT id FROM t WHERE zip = 'zip 3' ORDER BY id").fetchall()
    assert [row[0] for row in found] == [row[0] for row in rows if row[1] == "zip 3"]


def test_explain_says_whether_rows_are_fetched(people):
    connection, _ = people
    for columns, covered in (("age, name", True), ("age, id", False)):
        lines = connection.execute(
            f"EXPLAIN SELECT {columns} FROM t WHERE zip = 'zip 3'"
        ).fetchall()
        assert any("no row is fetched" in line for (line,) in lines) is covered, lines


def test_own_changes_are_seen_and_merges_keep_the_values(people):
    connection, rows = people
    connection.execute("BEGIN")
    connection.execute("INSERT INTO t VALUES (9000, 'zip 3', 91, 1, 'own')")
    connection.execute("UPDATE t SET age = 92 WHERE id = 1")
    assert read_no_row(connection, "SELECT zip FROM t WHERE age > 90 ORDER BY age")[0] == ("zip 3",)
    connection.execute("COMMIT")
    connection.execute("VACUUM")
    assert check(connection.session).problems == []
    wanted = sorted(
        row[2] for row in rows if row[1] == "zip 3" and row[2] is not None and row[0] != 1
    )
    found = read_no_row(
        connection, "SELECT age FROM t WHERE zip = 'zip 3' AND age < 91 ORDER BY age"
    )
    assert [age for (age,) in found] == wanted


def test_words_bring_included_columns(database: Database):
    connection = database.connect(pin=False, record=True)
    connection.execute("CREATE TABLE m (id INT PRIMARY KEY, subject TEXT, body TEXT)")
    connection.execute("CREATE INDEX ON m USING keyword (body) INCLUDE (id, subject)")
    texts = ["the kernel panics", "a driver for linux", "kernel driver", None, "nothing of it"]
    rows = [(number, f"mail {number}", texts[number % 5]) for number in range(120)]
    connection.executemany("INSERT INTO m VALUES (?, ?, ?)", rows[:80])
    connection.execute("VACUUM")
    connection.executemany("INSERT INTO m VALUES (?, ?, ?)", rows[80:])
    connection.execute("DELETE FROM m WHERE id % 7 = 0")
    for query, words in (
        ("kernel", {"kernel"}),
        ("kernel driver", {"kernel", "driver"}),
        ("kern*", {"kernel"}),
        ("kernal~1 AND driver", {"kernel", "driver"}),
    ):
        found = read_no_row(
            connection, f"SELECT id, subject FROM m WHERE body @@ '{query}' ORDER BY id"
        )
        assert found == [
            row[:2] for row in rows if row[0] % 7 and words <= set((row[2] or "").split())
        ]
    everything = connection.execute(
        "SELECT id FROM m WHERE body @@ '-kernel' ORDER BY id"
    ).fetchall()
    assert [one for (one,) in everything] == [
        row[0] for row in rows if row[0] % 7 and row[2] and "kernel" not in row[2]
    ]
    connection.execute("VACUUM")
    assert check(connection.session).problems == []


@pytest.mark.stores("sqlite")
def test_every_type_is_kept(database: Database):
    connection = database.connect(pin=False, record=True)
    columns = [f"c{number} {kind}" for number, kind in enumerate(TYPES.split())]
    names = ", ".join(f"c{number}" for number in range(len(columns)))
    connection.execute(f"CREATE TABLE t (k INT, {', '.join(columns)})")
    connection.execute(f"CREATE INDEX ON t USING range (k) INCLUDE ({names})")
    values = (
        "TRUE, -32768, -0.001, 9999999999999999999999999999.99, '-Infinity', 'ünï\tcode', "
        "'\\x00ff', '0001-01-01', '2026-01-01 00:00:00+05', "
        "'00000000-0000-0000-0000-0000000000ff', '{\"a\": [1]}', '1 mon 2 days 3 hours'"
    )
    connection.execute(f"INSERT INTO t VALUES (1, {values}), (2, {', '.join(['NULL'] * 12)})")
    plain = connection.execute(f"SELECT {names} FROM t ORDER BY k").fetchall()
    assert read_no_row(connection, f"SELECT {names} FROM t WHERE k >= 1 ORDER BY k") == plain
    connection.execute("VACUUM")
    assert read_no_row(connection, f"SELECT {names} FROM t WHERE k >= 1 ORDER BY k") == plain


@pytest.mark.stores("sqlite")
def test_what_is_too_long_is_refused_whole(database: Database):
    connection = database.connect()
    connection.execute("CREATE TABLE t (k INT, long TEXT)")
    connection.execute("INSERT INTO t VALUES (1, 'short')")
    connection.execute("CREATE INDEX ON t USING equality (k) INCLUDE (long)")
    for long in ("a" * 2_048, "ä" * 1_100):
        with pytest.raises(encdb.DataError, match="2,048"):
            connection.execute("INSERT INTO t VALUES (2, ?), (3, 'x')", (long,))
    connection.execute("INSERT INTO t VALUES (2, ?)", ("a" * 2_000,))
    assert connection.execute("SELECT count(*) FROM t").fetchall() == [(2,)]
    connection.execute("CREATE TABLE u (k INT, long TEXT)")
    connection.execute("INSERT INTO u VALUES (1, ?)", ("a" * 3_000,))
    with pytest.raises(encdb.DataError, match="2,048"):
        connection.execute("CREATE INDEX ON u USING range (k) INCLUDE (long)")
    assert connection.session.table("u").indexes == ()
