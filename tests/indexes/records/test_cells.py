from __future__ import annotations

import datetime as dt
from decimal import Decimal
from uuid import UUID

import pyarrow as pa
import pytest

from indexes.errors import EncodingRefused
from indexes.records.row import RowLayout
from indexes.types import ColumnType

parse = ColumnType.parse
NOW = dt.datetime(2024, 2, 29, 12, 30, 15, 123_456)


def layout(name):
    return RowLayout([(1, parse(name))])


GOOD = [
    ("BOOLEAN", True),
    ("SMALLINT", -32_768),
    ("INTEGER", 2**31 - 1),
    ("BIGINT", -(2**63)),
    ("DECIMAL(5,2)", Decimal("-999.99")),
    ("DECIMAL(38,38)", Decimal("-0." + "9" * 38)),
    ("DECIMAL(38,0)", Decimal("9" * 38)),
    ("REAL", -1.5),
    ("DOUBLE", 5e-324),
    ("TEXT", "naïve 𝄞 \0"),
    ("BLOB", b"\0\xff"),
    ("DATE", dt.date(1, 1, 1)),
    ("DATE", dt.date(9999, 12, 31)),
    ("TIME", dt.time(23, 59, 59, 999_999)),
    ("TIMESTAMP", NOW),
    ("TIMESTAMP", dt.datetime(1, 1, 1)),
    ("TIMESTAMP", dt.datetime.max),
    ("TIMESTAMPTZ", NOW.replace(tzinfo=dt.UTC)),
    ("UUID", UUID(int=2**127 + 5)),
    ("JSON", '{"a": [1, null]}'),
    ("INTERVAL", pa.MonthDayNano([-1, 2, -3])),
]


@pytest.mark.parametrize(("name", "value"), GOOD)
def test_python_value(name, value):
    one = layout(name)
    body = one.encode_one([value])
    (found,) = one.decode_one(body)
    assert found == value
    assert type(found) is type(value)
    plain = value.bytes if isinstance(value, UUID) else value
    array = pa.array([plain], parse(name).arrow)
    assert one.encode(pa.RecordBatch.from_arrays([array], names=["1"])) == [body]
    assert one.encode_one([array[0]]) == body
    opened = one.decode([body]).column(0)[0].as_py()
    assert opened == plain
    if isinstance(value, Decimal):
        assert str(found) == str(opened)


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        ("DECIMAL(5,2)", 7, Decimal("7.00")),
        ("DECIMAL(5,2)", Decimal("1E+2"), Decimal("100.00")),
        ("DECIMAL(5,2)", Decimal("1.500000"), Decimal("1.50")),
        ("DOUBLE", 3, 3.0),
        ("UUID", bytes(16), UUID(int=0)),
        ("BLOB", bytearray(b"x"), b"x"),
        ("BLOB", memoryview(b"x"), b"x"),
        ("INTERVAL", dt.timedelta(-1, 3, 5), pa.MonthDayNano([0, -1, 3_000_005_000])),
        ("INTERVAL", (1, 2, 3), pa.MonthDayNano([1, 2, 3])),
        (
            "TIMESTAMPTZ",
            NOW.replace(tzinfo=dt.timezone(dt.timedelta(hours=2))),
            (NOW - dt.timedelta(hours=2)).replace(tzinfo=dt.UTC),
        ),
    ],
)
def test_other_forms_of_a_value(name, value, kept):
    one = layout(name)
    (found,) = one.decode_one(one.encode_one([value]))
    assert found == kept
    assert str(found) == str(kept)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BOOLEAN", 1),
        ("BOOLEAN", "true"),
        ("SMALLINT", 32_768),
        ("INTEGER", -(2**31) - 1),
        ("BIGINT", 2**63),
        ("BIGINT", True),
        ("BIGINT", 1.0),
        ("BIGINT", "1"),
        ("DECIMAL(5,2)", Decimal(1000)),
        ("DECIMAL(5,2)", Decimal(-1000)),
        ("DECIMAL(5,2)", Decimal("0.001")),
        ("DECIMAL(5,2)", Decimal("1." + "0" * 150 + "1")),
        ("DECIMAL(5,2)", Decimal("1E+999999999")),
        ("DECIMAL(5,2)", Decimal("1E-999999999")),
        ("DECIMAL(5,2)", Decimal("NaN")),
        ("DECIMAL(5,2)", Decimal("Infinity")),
        ("DECIMAL(5,2)", 1.5),
        ("DECIMAL(5,2)", True),
        ("DECIMAL(38,0)", Decimal(10**38)),
        ("REAL", 1e39),
        ("REAL", "1"),
        ("DOUBLE", True),
        ("DOUBLE", 10**400),
        ("TEXT", b"x"),
        ("TEXT", "\ud800"),
        ("BLOB", "x"),
        ("DATE", NOW),
        ("DATE", "2024-01-01"),
        ("TIME", dt.time(1, tzinfo=dt.UTC)),
        ("TIMESTAMP", NOW.replace(tzinfo=dt.UTC)),
        ("TIMESTAMP", dt.date(2024, 1, 1)),
        ("TIMESTAMPTZ", NOW),
        ("UUID", "00000000-0000-0000-0000-000000000000"),
        ("UUID", bytes(15)),
        ("JSON", {"a": 1}),
        ("INTERVAL", (2**31, 0, 0)),
        ("INTERVAL", (1, 2)),
        ("INTERVAL", 5),
    ],
)
def test_refused_values(name, value):
    with pytest.raises(EncodingRefused) as caught:
        layout(name).encode_one([value])
    assert "Decimal" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("name", "number"),
    [("DATE", 2**31 - 1), ("DATE", -(2**31)), ("TIMESTAMP", 2**62), ("TIMESTAMPTZ", -(2**62))],
)
def test_beyond_the_years_of_python(name, number):
    one, kind = layout(name), parse(name)
    width = pa.int32() if name == "DATE" else pa.int64()
    array = pa.array([number], width).view(kind.arrow)
    body = one.encode_one([array[0]])
    assert one.decode([body]).column(0).equals(array)
    with pytest.raises(EncodingRefused):
        one.decode_one(body)
    assert one.decode_one(body, []) == ()
