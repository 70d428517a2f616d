from __future__ import annotations

import datetime as dt
import math
import uuid
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexes.errors import EncodingRefused
from indexes.methods.range import KeyRange, key_range, keys, prefix_range
from indexes.types import ColumnType, Kind

UTC = dt.UTC
SMALL_DECIMAL, WIDE_DECIMAL = ColumnType(Kind.DECIMAL, 6, 2), ColumnType(Kind.DECIMAL, 30, 4)
DECIMALS = st.decimals(-10_000, 10_000, places=2, allow_nan=False)
NUMBERS = st.one_of(
    st.integers(-40_000, 40_000),
    st.decimals(-40_000, 40_000, places=3, allow_nan=False),
    st.integers(-(2**70), 2**70),
    st.sampled_from([Decimal("Infinity"), Decimal("-Infinity")]),
)
DATES = st.dates(dt.date(1900, 1, 1), dt.date(2100, 1, 1))
STAMPS = st.datetimes(dt.datetime(1900, 1, 1), dt.datetime(2100, 1, 1))
# Type, values of the column, constants of a comparison.
CASES = {
    "smallint": (ColumnType(Kind.SMALLINT), st.integers(-(2**15), 2**15 - 1), NUMBERS),
    "integer": (ColumnType(Kind.INTEGER), st.integers(-50_000, 50_000), NUMBERS),
    "bigint": (ColumnType(Kind.BIGINT), st.integers(-(2**63), 2**63 - 1), NUMBERS),
    "decimal": (SMALL_DECIMAL, st.decimals("-9999.99", "9999.99", places=2), NUMBERS),
    "wide decimal": (WIDE_DECIMAL, DECIMALS, NUMBERS),
    "double": (ColumnType(Kind.DOUBLE), st.floats(allow_nan=False), st.floats(allow_nan=False)),
    "boolean": (ColumnType(Kind.BOOLEAN), st.booleans(), st.booleans()),
    "date": (ColumnType(Kind.DATE), DATES, DATES),
    "time": (ColumnType(Kind.TIME), st.times(), st.times()),
    "timestamp": (ColumnType(Kind.TIMESTAMP), STAMPS, STAMPS),
    "timestamptz": (
        ColumnType(Kind.TIMESTAMPTZ),
        STAMPS.map(lambda t: t.replace(tzinfo=UTC)),
        STAMPS.map(lambda t: t.replace(tzinfo=dt.timezone(dt.timedelta(hours=5)))),
    ),
    "uuid": (ColumnType(Kind.UUID), st.uuids(), st.uuids()),
    "text": (
        ColumnType(Kind.TEXT),
        st.text("ab\x7f\u00e9", max_size=20),
        st.text("ab", max_size=20),
    ),
    "blob": (ColumnType(Kind.BLOB), st.binary(max_size=20), st.binary(max_size=20)),
}


def encoded(values: list, column_type: ColumnType) -> list[tuple[int, int]]:
    raw = [value.bytes if isinstance(value, uuid.UUID) else value for value in values]
    found, valid = keys(pa.array(raw, column_type.arrow), column_type)
    assert valid.all()
    return [tuple(key) for key in found.tolist()]


def sort_form(value: object) -> object:
    return value.encode() if isinstance(value, str) else value


def wanted(value, low, high, low_inclusive, high_inclusive):
    value, low, high = sort_form(value), sort_form(low), sort_form(high)
    above = low is None or (value >= low if low_inclusive else value > low)
    return above and (high is None or (value <= high if high_inclusive else value < high))


def inside(key: tuple[int, int], found: KeyRange | None) -> bool:
    if found is None:
        return False
    return (found.low is None or found.low <= key) and (found.high is None or key <= found.high)


@pytest.mark.parametrize("name", CASES)
@given(st.data(), st.booleans(), st.booleans())
def test_key_ranges_hold_every_row_and_say_when_they_hold_others(name, data, low_inc, high_inc):
    column_type, values, constants = CASES[name]
    rows = data.draw(st.lists(values, max_size=8))
    low, high = data.draw(st.tuples(st.none() | constants, st.none() | constants))
    rows += [value for value in (low, high) if value is not None and fits(value, rows, column_type)]
    found = key_range(column_type, low, high, low_inclusive=low_inc, high_inclusive=high_inc)
    for row, key in zip(rows, encoded(rows, column_type), strict=True):
        expected = wanted(row, low, high, low_inc, high_inc)
        got = inside(key, found)
        assert got or not expected
        if found is None or found.exact:
            assert got == expected


def fits(value: object, rows: list, column_type: ColumnType) -> bool:
    """Whether a constant may itself stand in the column."""
    if isinstance(value, Decimal) and not value.is_finite():
        return False
    try:
        array = pa.array(
            [value.bytes if isinstance(value, uuid.UUID) else value], column_type.arrow
        )
    except (pa.ArrowException, OverflowError):
        return False
    return isinstance(value, uuid.UUID) or array[0].as_py() == value


def test_rounding_towards_the_range():
    integer = ColumnType(Kind.INTEGER)
    three, four = encoded([3, 4], integer)
    assert key_range(integer, Decimal("3.5")) == KeyRange(four, None, True)
    assert key_range(integer, None, Decimal("3.5")) == KeyRange(None, three, True)
    assert key_range(integer, Decimal("3.5"), Decimal("3.5")) is None
    assert key_range(integer, 3, 4, low_inclusive=False) == KeyRange(four, four, True)
    assert key_range(integer, 2**31) is None
    assert key_range(integer, None, 2**40) == KeyRange(None, None, True)
    assert key_range(integer, -(2**31) - 1, 3) == KeyRange(None, three, True)
    assert key_range(integer, None, -(2**31), high_inclusive=False) is None


def test_real_columns_cover_both_precisions():
    real = ColumnType(Kind.REAL)
    (stored,) = encoded([0.1], real)
    found = key_range(real, Decimal("0.1"), Decimal("0.1"))
    assert found is not None
    assert not found.exact
    assert inside(stored, found)
    assert key_range(real, 0.5, 0.5) == KeyRange(*encoded([0.5], real) * 2, exact=True)
    assert inside(encoded([math.inf], real)[0], key_range(real, 1e300))


def test_doubles_that_no_constant_names_exactly():
    double = ColumnType(Kind.DOUBLE)
    for constant in (Decimal("0.1"), 2**53 + 1, 10**400, -(10**400)):
        found = key_range(double, constant, constant)
        assert found is not None
        assert not found.exact
        nearest = (
            float(constant) if abs(constant) < 10**300 else math.inf * (1 if constant > 0 else -1)
        )
        assert inside(encoded([nearest], double)[0], found)
    assert key_range(double, 2**53, 2**53) == KeyRange(*encoded([2.0**53] * 2, double), exact=True)


def test_nan_sorts_last():
    double = ColumnType(Kind.DOUBLE)
    (nan,) = encoded([math.nan], double)
    assert inside(nan, key_range(double, math.inf))
    assert not inside(nan, key_range(double, None, math.inf))
    assert key_range(double, math.nan, math.nan) == KeyRange(nan, nan, True)


@given(st.text("ab\u00e9", max_size=18), st.lists(st.text("ab\u00e9", max_size=20)))
def test_prefixes(prefix, rows):
    text = ColumnType(Kind.TEXT)
    found = prefix_range(text, prefix)
    for row, key in zip(rows, encoded(rows, text), strict=True):
        assert inside(key, found) or not row.startswith(prefix)
        if len(prefix.encode()) < 16 and inside(key, found):
            assert row.encode().ljust(16, b"\0").startswith(prefix.encode())


def test_arrow_scalars_are_taken():
    integer = ColumnType(Kind.INTEGER)
    assert key_range(integer, pa.scalar(4), pa.scalar(None)) == key_range(integer, 4)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Kind.INTEGER, 1.0),
        (Kind.INTEGER, True),
        (Kind.INTEGER, "1"),
        (Kind.DOUBLE, "1"),
        (Kind.BIGINT, Decimal("NaN")),
        (Kind.BOOLEAN, 1),
        (Kind.TEXT, 1),
        (Kind.TEXT, b"a"),
        (Kind.TEXT, "\ud800"),
        (Kind.BLOB, "a"),
        (Kind.DATE, dt.datetime(2020, 1, 1)),
        (Kind.TIMESTAMP, dt.date(2020, 1, 1)),
        (Kind.TIMESTAMP, dt.datetime(2020, 1, 1, tzinfo=UTC)),
        (Kind.TIMESTAMPTZ, dt.datetime(2020, 1, 1)),
        (Kind.TIME, dt.time(1, tzinfo=UTC)),
        (Kind.UUID, "00000000-0000-0000-0000-000000000000"),
        (Kind.UUID, b"short"),
        (Kind.JSON, "{}"),
    ],
)
def test_constants_that_the_engine_compares_otherwise_are_refused(kind, value):
    with pytest.raises(EncodingRefused) as caught:
        key_range(ColumnType(kind), value)
    assert repr(value) not in str(caught.value)


def test_types_without_prefixes_or_order_are_refused():
    with pytest.raises(EncodingRefused):
        prefix_range(ColumnType(Kind.INTEGER), "1")
    with pytest.raises(EncodingRefused):
        keys(pa.array(["{}"]), ColumnType(Kind.JSON))
