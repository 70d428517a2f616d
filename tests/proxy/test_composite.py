"""Range indexes of several columns: equality on the left, a range on the last."""

from __future__ import annotations

import random

import pytest

import encdb
from tests.fixtures.kinds import StoreKind

pytestmark = pytest.mark.every_store

COLUMNS = ("id", "zip", "kind", "age", "name")


@pytest.fixture(scope="module")
def people(store_kind: StoreKind, tmp_path_factory):
    """900 rows with NULLs in every indexed column: settled, removed, pending, uncommitted."""
    folder = tmp_path_factory.mktemp("composite")
    keyring = folder / "key"
    url = store_kind.new_url(folder)
    encdb.init(url, keyring=keyring)
    connection = encdb.connect(url, keyring=keyring, pin=False)
    connection.execute(
        "CREATE TABLE people (id INT PRIMARY KEY, zip TEXT, kind SMALLINT, age INT, name TEXT)"
    )
    connection.execute("CREATE INDEX by_age ON people USING range (zip, age)")
    connection.execute("CREATE INDEX by_name ON people USING range (zip, kind, name)")
    pick = random.Random(5)

    def maybe(value):
        return None if pick.random() < 0.05 else value

    rows = [
        (
            number,
            maybe(f"0690{pick.randrange(10)}"),
            maybe(pick.randrange(3)),
            maybe(pick.randrange(-5, 90)),
            maybe(f"a name that begins alike {pick.randrange(40)}"),
        )
        for number in range(900)
    ]
    insert = "INSERT INTO people VALUES (?, ?, ?, ?, ?)"
    connection.executemany(insert, rows[:600])
    connection.execute("VACUUM")
    connection.executemany(insert, rows[600:850])
    connection.execute("DELETE FROM people WHERE id % 9 = 0")
    connection.execute("BEGIN")
    connection.executemany(insert, rows[850:])
    connection.execute("UPDATE people SET zip = '06900' WHERE id = 1")
    kept = [row for row in rows if row[0] % 9 or row[0] >= 850]
    kept = [(1, "06900", *row[2:]) if row[0] == 1 else row for row in kept]
    yield connection, kept
    connection.close()


CASES = [
    ("zip = '06901' AND age BETWEEN 30 AND 40", "by_age", lambda z, k, a, n: z == "06901" and a is not None and 30 <= a <= 40),
    ("zip = '06901' AND age < 0", "by_age", lambda z, k, a, n: z == "06901" and a is not None and a < 0),
    ("zip = '06901'", "by_age", lambda z, k, a, n: z == "06901"),
    ("zip IN ('06901', '06907', 'x') AND age = 33", "by_age", lambda z, k, a, n: z in ("06901", "06907") and a == 33),
    ("zip = '06901' AND age IN (1, 2, 3, 88)", "by_age", lambda z, k, a, n: z == "06901" and a in (1, 2, 3, 88)),
    ("zip = '06901' AND kind = 2 AND name >= 'a name that begins alike 3'", "by_name", lambda z, k, a, n: z == "06901" and k == 2 and n is not None and n >= "a name that begins alike 3"),
    ("zip = '06901' AND kind = 2 AND name LIKE 'a name%alike 1%'", "by_name", lambda z, k, a, n: z == "06901" and k == 2 and n is not None and "alike 1" in n),
    ("zip = NULL AND age > 3", "", lambda z, k, a, n: False),
    ("age > 80", "", lambda z, k, a, n: a is not None and a > 80),
    ("zip > '06908' AND age = 5", "", lambda z, k, a, n: z is not None and z > "06908" and a == 5),
    ("zip = '06901' AND age IS NULL", "by_age", lambda z, k, a, n: z == "06901" and a is None),
]  # fmt: skip


@pytest.mark.sampled(3)
@pytest.mark.parametrize(("where", "index", "test"), CASES, ids=[case[0] for case in CASES])
def test_equality_on_the_left_and_a_range_on_the_last(people, where, index, test):
    connection, rows = people
    found = connection.execute(f"SELECT id FROM people WHERE {where} ORDER BY id").fetchall()
    assert [row[0] for row in found] == sorted(row[0] for row in rows if test(*row[1:]))
    plan = "\n".join(
        line for (line,) in connection.execute(f"EXPLAIN SELECT id FROM people WHERE {where}")
    )
    assert (f"{index} (range)" in plan) if index else "(range)" not in plan


def test_rows_without_a_last_value_are_found_by_the_leading_ones(people):
    # Such rows are not among the sorted entries, so the leading columns alone must find them elsewhere.
    connection, rows = people
    found = connection.execute(
        "SELECT id, age FROM people WHERE zip = '06903' ORDER BY id"
    ).fetchall()
    wanted = sorted((row[0], row[3]) for row in rows if row[1] == "06903")
    assert found == wanted
    assert any(age is None for _, age in wanted)


ORDERED = [
    ("zip = '06901'", "age", lambda z, k, a, n: z == "06901"),
    ("zip = '06901' AND age > 30", "age", lambda z, k, a, n: z == "06901" and a is not None and a > 30),
    ("zip = '06901' AND age BETWEEN 30 AND 32", "age", lambda z, k, a, n: z == "06901" and a is not None and 30 <= a <= 32),
    ("zip = '06901' AND (age, id) > (30, 400)", "age", lambda z, k, a, n: z == "06901" and a is not None and a >= 30),
    ("zip = 'none'", "age", lambda z, k, a, n: False),
    ("zip = '06902' AND kind = 1", "name", lambda z, k, a, n: z == "06902" and k == 1),
    ("zip = '06902' AND kind = 1 AND name > 'a'", "name", lambda z, k, a, n: z == "06902" and k == 1 and n is not None),
    ("zip = '06902' AND kind > 1", "name", lambda z, k, a, n: z == "06902" and k is not None and k > 1),
    ("zip IN ('06901', '06902')", "age", lambda z, k, a, n: z in ("06901", "06902")),
    ("zip = '06901' AND kind = 1", "age", lambda z, k, a, n: z == "06901" and k == 1),
]  # fmt: skip


@pytest.mark.sampled(7)
@pytest.mark.parametrize("direction", ["", " DESC", " DESC NULLS LAST", " NULLS FIRST"])
@pytest.mark.parametrize(("where", "column", "test"), ORDERED, ids=[case[0] for case in ORDERED])
def test_orders_and_extremes_under_leading_values(people, where, column, test, direction):
    connection, rows = people
    place = COLUMNS.index(column)
    kept = sorted(
        row
        for row in rows
        if test(*row[1:]) and ("id)" not in where or row[3] > 30 or row[0] > 400)
    )
    valued = [row for row in kept if row[place] is not None]
    missing = [row for row in kept if row[place] is None]
    valued.sort(key=lambda row: row[place], reverse="DESC" in direction)
    first = "FIRST" in direction or direction == " DESC"
    for limit in (1, 12, 200):
        found = connection.execute(
            f"SELECT id FROM people WHERE {where} ORDER BY {column}{direction}, id LIMIT {limit}"
        ).fetchall()
        expected = missing + valued if first else valued + missing
        assert [row[0] for row in found] == [row[0] for row in expected][:limit]
    found = connection.execute(f"SELECT min({column}), max({column}) FROM people WHERE {where}")
    known = [row[place] for row in valued]
    assert found.fetchall() == [(min(known, default=None), max(known, default=None))]


def test_an_order_under_leading_values_reads_its_end(people):
    connection, _ = people
    for where, index in (("zip = '06901'", "by_age"), ("zip IN ('06901', '06902')", None)):
        sql = f"SELECT id, age, zip FROM people WHERE {where} ORDER BY age LIMIT 3"
        lines = [line for (line,) in connection.execute(f"EXPLAIN ANALYZE {sql}").fetchall()]
        read = next(int(line.split("rows ")[1].split(",")[0]) for line in lines if "pages " in line)
        assert (read < 12) == (index is not None)
