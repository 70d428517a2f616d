from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given

from indexes.types import ColumnType, Kind
from tests.indexes.columns import column_types


@given(column_types)
def test_sql_text_round_trips(kind):
    assert ColumnType.parse(kind.sql) == kind
    assert ColumnType.parse(f"  {kind.sql.lower()} ") == kind


@given(column_types)
def test_width_and_order(kind):
    assert (kind.width is None) == (not kind.ordered)
    assert kind.width in (None, 8, 16)
    assert kind.variable == (pa.types.is_string(kind.arrow) or pa.types.is_binary(kind.arrow))


@pytest.mark.parametrize(
    ("text", "sql", "arrow"),
    [
        ("int", "INTEGER", pa.int32()),
        ("INT8", "BIGINT", pa.int64()),
        ("numeric(10, 2)", "DECIMAL(10,2)", pa.decimal128(10, 2)),
        ("NUMERIC(5)", "DECIMAL(5,0)", pa.decimal128(5, 0)),
        ("varchar(20)", "VARCHAR(20)", pa.string()),
        ("varchar", "TEXT", pa.string()),
        ("bytea", "BLOB", pa.binary()),
        ("double  precision", "DOUBLE", pa.float64()),
        ("timestamptz", "TIMESTAMP WITH TIME ZONE", pa.timestamp("us", "UTC")),
        ("timestamp without time zone", "TIMESTAMP", pa.timestamp("us")),
        ("uuid", "UUID", pa.binary(16)),
        ("json", "JSON", pa.string()),
        ("interval", "INTERVAL", pa.month_day_nano_interval()),
    ],
)
def test_spellings(text, sql, arrow):
    kind = ColumnType.parse(text)
    assert kind.sql == sql
    assert kind.arrow == arrow


@pytest.mark.parametrize(
    "text",
    [
        "",
        "thing",
        "char(5)",
        "decimal",
        "decimal(0,0)",
        "decimal(39,0)",
        "decimal(5,6)",
        "int(5)",
        "varchar(0)",
        "varchar(5,5)",
        "date(3)",
        "text; drop",
        "decimal(5,2",
        "decimal(1,1,1)",
    ],
)
def test_refused(text):
    with pytest.raises(ValueError):
        ColumnType.parse(text)


def test_parameters_belong_to_their_kinds():
    for arguments in (
        {"kind": Kind.INTEGER, "precision": 3},
        {"kind": Kind.BLOB, "length": 3},
        {"kind": Kind.DECIMAL, "precision": 3},
        {"kind": Kind.DECIMAL, "precision": 3, "scale": 1, "length": 4},
    ):
        with pytest.raises(ValueError):
            ColumnType(**arguments)


def test_narrow_decimals():
    assert ColumnType(Kind.DECIMAL, 18, 2).width == 8
    assert ColumnType(Kind.DECIMAL, 19, 2).width == 16
