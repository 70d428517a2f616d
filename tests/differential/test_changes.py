"""INSERT, UPDATE and DELETE of every form leave what plaintext DuckDB leaves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from encdb.errors import EncdbError
from tests.differential.compare import difference, normal_row, same_rows
from tests.differential.oracle import Oracle
from tests.fixtures.databases import Database, check_ok, rows
from tests.fixtures.kinds import StoreKind

pytestmark = pytest.mark.every_store

SCHEMA = {
    "t": "id BIGINT, x INT, s TEXT, m DECIMAL(10,2), d DATE",
    "u": "k BIGINT, x BIGINT, s TEXT",
    "e": "k BIGINT, x INT",
}
ROWS = {
    "t": [
        (1, 10, "a", "1.50", "2020-01-31"),
        (2, 20, "b", None, "2020-02-29"),
        (3, None, "c", "3.00", None),
        (4, 20, None, "4.25", "1999-12-31"),
        (5, 50, "e", "5.00", "2020-02-29"),
    ],
    "u": [(1, 100, "a"), (2, 200, "b"), (2, 200, "b"), (4, None, None), (9, 900, "z")],
    "e": [],
}
CHANGES = [
    # One table.
    "UPDATE t SET x = x + 1",
    "UPDATE t SET x = x + 1 WHERE x = 20",
    "UPDATE t SET x = x + 1, m = x WHERE id < 3",
    "UPDATE t SET x = NULL, s = 'n' WHERE s IS NULL OR x > 40",
    "UPDATE t SET s = s || '!' WHERE s LIKE 'a%'",
    "UPDATE t SET m = m / 3 WHERE m > 1",
    "UPDATE t SET d = d + INTERVAL '1 month' WHERE d IS NOT NULL",
    "UPDATE t SET x = CASE WHEN id % 2 = 0 THEN 0 ELSE x END",
    "UPDATE t SET id = -id",
    "UPDATE t SET x = id, id = x WHERE x IS NOT NULL",
    "UPDATE t SET x = 1 WHERE FALSE",
    "UPDATE t AS y SET x = y.id WHERE y.x = 20",
    "DELETE FROM t WHERE x = 20",
    "DELETE FROM t WHERE x IS NULL",
    "DELETE FROM t WHERE NOT (x > 15)",
    "DELETE FROM t WHERE d BETWEEN DATE '2020-01-01' AND DATE '2020-02-28'",
    "DELETE FROM t",
    "DELETE FROM e",
    "DELETE FROM t AS y WHERE y.s IN ('a', 'c')",
    # Others looked at.
    "UPDATE t SET x = u.x FROM u WHERE u.k = t.id",
    "UPDATE t SET x = u.x, s = u.s || t.s FROM u WHERE u.k = t.id AND u.x < 150",
    "UPDATE t SET x = q.n FROM (SELECT k, count(*) AS n FROM u GROUP BY k) AS q WHERE q.k = t.id",
    "UPDATE t SET x = (SELECT max(x) FROM u WHERE u.k = t.id)",
    "UPDATE t SET x = (SELECT count(*) FROM t) WHERE id = 1",
    "UPDATE t SET s = 'in' WHERE id IN (SELECT k FROM u)",
    "UPDATE t SET s = 'not in' WHERE id NOT IN (SELECT k FROM u)",
    "UPDATE t SET s = 'exists' WHERE EXISTS (SELECT 1 FROM u WHERE u.k = t.id AND u.x = 200)",
    "UPDATE t SET s = 'max' WHERE x = (SELECT max(x) FROM t)",
    "UPDATE t SET x = y.x FROM t AS y WHERE y.id = t.id + 1",
    "UPDATE t SET x = 1 FROM e WHERE e.k = t.id",
    "DELETE FROM t USING u WHERE u.k = t.id",
    "DELETE FROM t USING u WHERE u.k = t.id AND u.s = 'b'",
    "DELETE FROM t WHERE id IN (SELECT k FROM u WHERE x > 100)",
    "DELETE FROM t WHERE EXISTS (SELECT 1 FROM u WHERE u.k = t.id)",
    "DELETE FROM t WHERE id = (SELECT min(id) FROM t)",
    "DELETE FROM t WHERE x > (SELECT avg(x) FROM t)",
    # New rows.
    "INSERT INTO t VALUES (6, 60, 'f', 6, DATE '2021-01-01'), (7, NULL, NULL, NULL, NULL)",
    "INSERT INTO t VALUES (6, 3 * 7, upper('f'), 1.005, DATE '2020-01-31' + 1)",
    "INSERT INTO t (s, id) VALUES ('g', 8), ('h', 9)",
    "INSERT INTO t (id, x) VALUES (10, (SELECT max(x) FROM t))",
    "INSERT INTO t SELECT * FROM t",
    "INSERT INTO t SELECT id + 100, x, s, m, d FROM t WHERE x >= 20",
    "INSERT INTO t (id, s) SELECT k, s FROM u WHERE x IS NOT NULL",
    "INSERT INTO t (id, x) SELECT k, count(*) FROM u GROUP BY k",
    "INSERT INTO t (id, x, s) SELECT u.k, t.x, u.s FROM u LEFT JOIN t ON t.id = u.k",
    "INSERT INTO t (id) SELECT id FROM t UNION SELECT k FROM u",
    "INSERT INTO t (id) SELECT k FROM e",
    "INSERT INTO e SELECT id, x FROM t ORDER BY id LIMIT 2",
    "INSERT INTO t (id, x) WITH q AS (SELECT k, x FROM u WHERE x < 900) SELECT * FROM q",
    "INSERT INTO u SELECT id, m, CAST(d AS TEXT) FROM t WHERE m IS NOT NULL",
    "INSERT INTO t (id, s) SELECT n, 'n' || n FROM generate_series(20, 25) AS g(n)",
    # Refused by both, and nothing happens.
    "UPDATE t SET x = x * 1000000000",
    "UPDATE t SET x = CAST(s AS INT)",
    "INSERT INTO t (id, x) SELECT k, x * 100000000 FROM u",
    "INSERT INTO t (x) VALUES ('many')",
    "INSERT INTO t (x, y) VALUES (1, 2)",
    "INSERT INTO t SELECT 1, 2, '3', 4, NULL, 6",
    "DELETE FROM t WHERE y = 1",
    "UPDATE t SET y = 1",
]
INDEXES = ("equality (id)", "range (x)", "equality (s)", "range (d)", "range (m)")


class Pair:
    """The same tables on both sides."""

    def __init__(self, folder: Path, kind: StoreKind) -> None:
        self.database = Database.make(folder, kind)
        self.connection = self.database.connect()
        self.oracle = Oracle()
        for name, columns in SCHEMA.items():
            self.connection.execute(f"CREATE TABLE {name} ({columns})")
            self.oracle.create(f"CREATE TABLE {name} ({columns})")
        for index in INDEXES:
            self.connection.execute(f"CREATE INDEX ON t USING {index}")
        self.connection.execute("CREATE INDEX ON u USING equality (k)")
        for name, found in ROWS.items():
            for row in found:
                marks = ", ".join("?" for _ in row)
                self.connection.execute(f"INSERT INTO {name} VALUES ({marks})", row)
                self.oracle.run(f"INSERT INTO {name} VALUES ({marks})", row)

    def close(self) -> None:
        """Close both sides."""
        self.database.drop()
        self.oracle.close()

    def begin(self) -> None:
        """Begin a transaction on both sides."""
        self.connection.execute("BEGIN")
        self.oracle.begin()

    def end(self) -> None:
        """Take everything back on both sides."""
        self.connection.rollback()
        self.oracle.rollback()

    def change(self, sql: str) -> None:
        """Run one change; both sides do it, or both refuse."""
        try:
            self.oracle.run(sql)
        except duckdb.Error:
            with pytest.raises(EncdbError) as caught:
                self.connection.execute(sql)
            assert caught.value.code not in ("E_ENGINE", "E_INTERNAL")
        else:
            self.connection.execute(sql)

    def compare(self) -> None:
        """All tables hold the same rows."""
        for name in SCHEMA:
            expected = self.oracle.ask(f"SELECT * FROM {name}")
            found = [normal_row(row) for row in rows(self.connection, f"SELECT * FROM {name}")]
            assert same_rows(found, expected, ordered=False), difference(found, expected)
        for condition in (
            "x = 20",
            "x > 15",
            "s = 'a'",
            "id = 1",
            "d >= DATE '2020-01-01'",
            "m < 5",
        ):
            sql = f"SELECT * FROM t WHERE {condition}"
            found = [normal_row(row) for row in rows(self.connection, sql)]
            assert same_rows(found, self.oracle.ask(sql), ordered=False)


@pytest.fixture(scope="module", params=["pending", "settled"])
def pair(
    request: pytest.FixtureRequest,
    store_kind: StoreKind,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Pair]:
    made = Pair(tmp_path_factory.mktemp("changes"), store_kind)
    if request.param == "settled":
        made.connection.execute("VACUUM")
    yield made
    check_ok(made.connection)
    made.close()


@pytest.mark.sampled(4)
@pytest.mark.parametrize("sql", CHANGES)
def test_one_change(pair, sql):
    pair.begin()
    try:
        pair.change(sql)
        pair.compare()
    finally:
        pair.end()
    pair.compare()


def test_all_changes_one_after_another(store_kind: StoreKind, tmp_path):
    made = Pair(tmp_path, store_kind)
    try:
        for place, sql in enumerate(CHANGES):
            if made.oracle.count("t") < 100 and sql != "DELETE FROM t":
                made.change(sql)
            if place % 7 == 3:
                made.connection.execute("VACUUM")
            if place % 3 == 0:
                made.compare()
        made.compare()
        check_ok(made.connection)
    finally:
        made.close()


def test_a_short_row_is_filled_with_defaults_as_in_postgresql(store_kind: StoreKind, tmp_path):
    made = Pair(tmp_path, store_kind)
    made.connection.execute("INSERT INTO t SELECT 70, 71")
    made.connection.execute("INSERT INTO t VALUES (80)")
    found = rows(made.connection, "SELECT * FROM t WHERE id >= 70 ORDER BY id")
    assert found == [(70, 71, None, None, None), (80, None, None, None, None)]
    made.close()


def test_rowcounts(store_kind: StoreKind, tmp_path):
    made = Pair(tmp_path, store_kind)
    counts = {
        "UPDATE t SET x = u.x FROM u WHERE u.k = t.id": 3,
        "DELETE FROM t USING u WHERE u.k = t.id": 3,
        "INSERT INTO t (id) SELECT k FROM u": 5,
        "UPDATE t SET x = 1": 7,
        "UPDATE t SET x = 1 WHERE id = 77": 0,
        "DELETE FROM t": 7,
        "DELETE FROM t WHERE x = 1": 0,
    }
    for sql, count in counts.items():
        assert made.connection.execute(sql).rowcount == count
    made.close()
