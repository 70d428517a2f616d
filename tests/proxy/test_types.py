"""Every SQL type in every index method it suits, exact at the edges of its values; and refused where it does not.

Each table has one column for each method and one without, all with the same values. Each answer is compared with
that for the column without an index, over which the engine runs alone. EXPLAIN has to name the index, or the
method was not tested.
"""

from __future__ import annotations

import datetime as dt
import math
import sys
import uuid
from decimal import Decimal
from typing import Any

import pytest

from encdb.errors import EncdbError
from tests.fixtures.databases import check_ok

EDGE = dt.datetime(2024, 2, 29, 23, 59, 59, 999999)
ABROAD = dt.timezone(dt.timedelta(hours=-11, minutes=-30))
NARROW = 2.0**-126

VALUES: dict[str, list[Any]] = {
    "BOOLEAN": [True, False],
    "SMALLINT": [-(2**15), -1, 0, 1, 2**15 - 1],
    "INTEGER": [-(2**31), -1, 0, 255, 256, 2**31 - 1],
    "BIGINT": [-(2**63), -(2**31) - 1, -1, 0, 2**53 + 1, 2**53, 2**63 - 1],
    "DECIMAL(9,2)": [Decimal("-9999999.99"), Decimal("-0.01"), Decimal(0), Decimal("1.50"), Decimal("9999999.99")],
    "DECIMAL(18,18)": [Decimal(sign).scaleb(-18) for sign in (-(10**18) + 1, -1, 0, 1, 10**18 - 1)],
    "DECIMAL(38,0)": [Decimal(1 - 10**38), -Decimal(2**64), Decimal(0), Decimal(2**64), Decimal(2**64 + 1), Decimal(10**38 - 1)],
    "DECIMAL(38,38)": [Decimal("-0." + "9" * 38), Decimal("-0." + "0" * 37 + "1"), Decimal(0), Decimal("0." + "0" * 37 + "1")],
    "REAL": [-math.inf, -NARROW, -NARROW / 2**23, -0.0, NARROW / 2**23, NARROW, 1.5, 3.4028234663852886e38, math.inf, math.nan],
    "DOUBLE PRECISION": [-math.inf, -sys.float_info.max, -5e-324, -0.0, 5e-324, sys.float_info.min, 0.1, sys.float_info.max, math.inf, math.nan],
    "TEXT": ["", "\x01", "a", "a\x01", "Ä", "ä", "zz", "same first sixteen bytes", "same first sixteen", "😀", "\U0010ffff" * 40],
    "BLOB": [b"", b"\0", b"\0\0", b"a", b"\xff" * 16, b"\xff" * 17, b"\xff" * 16 + b"\0"],
    "DATE": [dt.date(1, 1, 1), dt.date(1969, 12, 31), dt.date(1970, 1, 1), dt.date(2024, 2, 29), dt.date(9999, 12, 31)],
    "TIME": [dt.time(0), dt.time(0, 0, 0, 1), dt.time(12), dt.time(23, 59, 59, 999999)],
    "TIMESTAMP": [dt.datetime.min, dt.datetime(1969, 12, 31, 23, 59, 59, 999999), dt.datetime(1970, 1, 1), EDGE, dt.datetime.max],
    "TIMESTAMP WITH TIME ZONE": [
        dt.datetime(1969, 12, 31, 23, 59, 59, 999999, dt.UTC), EDGE.replace(tzinfo=dt.UTC), EDGE.replace(tzinfo=ABROAD),
        (EDGE.replace(tzinfo=dt.UTC)).astimezone(ABROAD), dt.datetime(9999, 1, 1, tzinfo=dt.UTC),
    ],
    "UUID": [uuid.UUID(int=number) for number in (0, 1, 2**64 - 1, 2**64, 2**127, 2**128 - 1)],
}  # fmt: skip
UNORDERED = {"JSON": '{"a": 1}', "INTERVAL": dt.timedelta(days=1)}
EXACT = ("equality", "det")
ORDERED = ("range", "ore", "ope")
WIDE_FOR_BOLDYREVA = set(VALUES) - {"SMALLINT", "INTEGER", "DATE"}
QUERIES = {
    **dict.fromkeys(EXACT, ("{c} = ?", "{c} IN (?, ?)")),
    **dict.fromkeys(ORDERED, ("{c} = ?", "{c} < ?", "{c} >= ?", "{c} BETWEEN ? AND ?")),
}


def methods(kind: str) -> dict[str, str]:
    """Column → what comes after USING for it, for the methods that suit a type."""
    found = {name: f"{name} (by_{name})" for name in QUERIES}
    if kind not in WIDE_FOR_BOLDYREVA:
        found["boldyreva"] = "ope (by_boldyreva) WITH (scheme = 'boldyreva'"
    return {
        f"by_{name}": text if name in ("equality", "range") else
        f"{text}{',' if 'WITH' in text else ' WITH ('} accept_leakage = true)"
        for name, text in found.items()
    }  # fmt: skip


@pytest.fixture(params=VALUES, ids=lambda kind: kind)
def table(request, connection):
    """Columns with an index, their values, and a connection to a table half of which is settled."""
    kind, values = request.param, VALUES[request.param]
    columns = methods(kind)
    defined = ", ".join(f"{name} {kind}" for name in ("id INT PRIMARY KEY, plain", *columns))
    connection.execute(f"CREATE TABLE t ({defined})")
    for name, using in columns.items():
        connection.execute(f"CREATE INDEX {name}_index ON t USING {using}")
    insert = f"INSERT INTO t VALUES ({', '.join('?' * (len(columns) + 2))})"
    rows = [
        (number, *[value] * (len(columns) + 1))
        for number, value in enumerate([*values, None, *values])
    ]
    connection.executemany(insert, rows[: len(rows) // 2])
    connection.execute("VACUUM")
    connection.executemany(insert, rows[len(rows) // 2 :])
    return columns, values, connection


def test_answers_at_the_edges_are_those_without_an_index(table):
    columns, values, connection = table
    expected = {}
    for name in columns:
        for shape in QUERIES.get(name[3:], QUERIES["ope"]):
            query = f"SELECT id FROM t WHERE {shape.format(c=name)} ORDER BY id"
            marks = query.count("?")
            explained = connection.execute(f"EXPLAIN {query}", [values[0]] * marks).fetchall()
            assert any(f"{name}_index" in line for (line,) in explained), (query, explained)
            for place, value in enumerate(values):
                given = [value] if marks == 1 else [values[place - 1], value]
                if (shape, place) not in expected:
                    plain = query.replace(f"{name} ", "plain ", 1)
                    expected[shape, place] = connection.execute(plain, given).fetchall()
                    assert expected[shape, place] or shape not in ("{c} = ?", "{c} >= ?")
                found = connection.execute(query, given).fetchall()
                assert found == expected[shape, place], (query, given)
    check_ok(connection)


def test_first_rows_extremes_and_groups_at_the_edges(table):
    columns, _, connection = table
    for shape in (
        "SELECT id FROM t ORDER BY {c}, id LIMIT 3",
        "SELECT id FROM t ORDER BY {c} DESC NULLS LAST, id LIMIT 3",
        "SELECT count(*) AS n FROM t GROUP BY {c} ORDER BY n",
        "SELECT count(DISTINCT {c}) FROM t",
        "SELECT min({c}), max({c}) FROM t",
    ):
        answers = {
            name: repr(connection.execute(shape.format(c=name)).fetchall())
            for name in ("plain", *columns)
        }
        assert len(set(answers.values())) == 1, (shape, answers)


@pytest.mark.parametrize("kind", UNORDERED)
@pytest.mark.parametrize("method", [*QUERIES, "keyword", "substring"])
def test_types_without_one_encoding_or_order_are_refused_with_the_reason(connection, kind, method):
    connection.execute(f"CREATE TABLE t (id INT PRIMARY KEY, c {kind})")
    with pytest.raises(EncdbError) as refused:
        connection.execute(f"CREATE INDEX ON t USING {method} (c)")
    assert "c" in str(refused.value)
    assert kind in str(refused.value)
    connection.execute("INSERT INTO t VALUES (1, ?)", (UNORDERED[kind],))
    assert connection.execute("SELECT count(c) FROM t").fetchone() == (1,)


@pytest.mark.parametrize("kind", [kind for kind in VALUES if kind != "TEXT"])
@pytest.mark.parametrize("method", ["keyword", "substring"])
def test_what_is_no_text_has_no_words(connection, kind, method):
    connection.execute(f"CREATE TABLE t (id INT PRIMARY KEY, c {kind})")
    with pytest.raises(EncdbError, match="TEXT"):
        connection.execute(f"CREATE INDEX ON t USING {method} (c)")


@pytest.mark.parametrize("kind", sorted(WIDE_FOR_BOLDYREVA))
def test_boldyreva_is_refused_where_its_numbers_are_too_wide(connection, kind):
    connection.execute(f"CREATE TABLE t (id INT PRIMARY KEY, c {kind})")
    with pytest.raises(EncdbError, match="boldyreva"):
        connection.execute(
            "CREATE INDEX ON t USING ope (c) WITH (scheme = 'boldyreva', accept_leakage = true)"
        )


@pytest.mark.parametrize(("kind", "values"), VALUES.items(), ids=VALUES)
def test_included_values_come_back_as_they_went_in(connection, kind, values):
    connection.execute(f"CREATE TABLE t (id INT PRIMARY KEY, k INT, c {kind})")
    connection.execute("CREATE INDEX covering ON t USING range (k) INCLUDE (c)")
    connection.executemany(
        "INSERT INTO t VALUES (?, ?, ?)",
        [(number, 1, value) for number, value in enumerate(values)],
    )
    connection.execute("VACUUM")
    covered = connection.execute("SELECT c FROM t WHERE k = 1").fetchall()
    assert sorted(map(repr, covered)) == sorted(
        repr(row) for row in connection.execute("SELECT c FROM t").fetchall()
    )
