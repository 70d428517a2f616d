"""``SET a = a + 1`` by key, without the engine, gives what the engine gives, or its error."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from encdb.errors import EncdbError
from proxy.execute.change import Changer
from tests.fixtures.databases import rows

COLUMNS = "id BIGINT PRIMARY KEY, s SMALLINT, i INT, b BIGINT, d DECIMAL(10,2), w DECIMAL(38,3), x DOUBLE, c BIGINT"
START = [
    (1, 32_000, 2_000_000_000, 2**63 - 10, "99999999.90", "9" * 35 + ".999", 0.5, 7),
    (2, -5, 0, -(2**63), "-0.01", "0", 1e300, -7),
    (3, None, None, None, None, None, None, None),
]
SHIFTS = (
    ("s", "s + ?", (1, 767, 768, -64_001, 100_000, 2**40, None, True, Decimal("1.5"), "3", 1.5)),
    ("s", "s - ?", (1, 32_000, -768, -767, 2**63 - 1)),
    ("i", "i + ?", (147_483_647, 147_483_648, -1)),
    ("b", "b + ?", (9, 10, -1, 2**63 - 1, 2**63, -(2**70))),
    ("b", "? + b", (5, None)),
    ("b", "b - ?", (1, -9, -10)),
    ("b", "c + ?", (1, 2**62)),
    ("i", "c + ?", (1, 2**40)),
    ("c", "s + ?", (1,)),
    ("d", "d + ?", (1, Decimal("0.09"), Decimal("0.10"), Decimal("0.005"), Decimal("1e3"), 0.1)),
    ("d", "d - ?", (Decimal("-0.09"), 10**9, Decimal("NaN"), "1.5")),
    ("d", "d + ?", (Decimal("1e8"), Decimal("-1e8"), Decimal("1e1000000"), Decimal("0e1000000"))),
    ("w", "w + ?", (0, Decimal("0.001"), -1, Decimal("1e-4"))),
    ("w", "d + ?", (1,)),
    ("x", "x + ?", (1, 0.25)),
)


@pytest.fixture
def table(connection: Any) -> Any:
    connection.execute(f"CREATE TABLE t ({COLUMNS})")
    return connection


def outcome(table: Any, column: str, value: str, by: object) -> Any:
    table.execute("DELETE FROM t")
    table.executemany("INSERT INTO t VALUES (?, ?, ?, ?, ?, ?, ?, ?)", START)
    found = []
    for number in (1, 2, 3, 4):
        try:
            cursor = table.execute(
                f"UPDATE t SET {column} = {value} WHERE id = ? RETURNING id, {column}", (by, number)
            )
            found.append((cursor.fetchall(), cursor.description))
        except EncdbError as error:
            found.append(error.code)
    return found, rows(table, "SELECT * FROM t ORDER BY id")


@pytest.mark.parametrize(
    ("column", "value", "by"),
    [(column, value, by) for column, value, many in SHIFTS for by in many],
)
def test_what_the_engine_gives(table: Any, monkeypatch, column: str, value: str, by: object):
    directly = outcome(table, column, value, by)
    monkeypatch.setattr(Changer, "_simply", lambda *_: None)
    assert directly == outcome(table, column, value, by)


def test_the_engine_is_not_asked(table: Any, monkeypatch):
    table.executemany("INSERT INTO t VALUES (?, ?, ?, ?, ?, ?, ?, ?)", START)
    monkeypatch.setattr(type(table.session.engine), "run", None)
    changed = table.execute(
        "UPDATE t AS a SET b = a.b + ?, d = d - 1, x = 2 WHERE id = 2 RETURNING d, ID AS key",
        (3,),
    )
    assert changed.fetchall() == [(Decimal("-1.01"), 2)]
    assert [column[0] for column in changed.description] == ["d", "key"]
    deleted = table.execute("DELETE FROM t WHERE id = 2 RETURNING b").fetchall()
    assert deleted == [(-(2**63) + 3,)]
    inserted = table.execute("INSERT INTO t (id, i) VALUES (9, 4) RETURNING *").fetchall()
    assert inserted == [(9, None, 4, None, None, None, None, None)]
