"""Strategies for column types and for Arrow arrays of any of them."""

from __future__ import annotations

import struct

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st

from indexes.types import ColumnType, Kind

DAY = 86_400_000_000

simple = st.sampled_from([ColumnType(kind) for kind in Kind if kind is not Kind.DECIMAL])
decimals = st.integers(1, 38).flatmap(
    lambda p: st.integers(0, p).map(lambda s: ColumnType(Kind.DECIMAL, p, s))
)
column_types = st.one_of(simple, decimals)
ordered_types = column_types.filter(lambda kind: kind.ordered)


def integers(bits):
    edge = 1 << (bits - 1)
    near = st.sampled_from([-edge, -edge + 1, -1, 0, 1, edge - 1])
    return near | st.integers(-edge, edge - 1)


def floats(bits):
    whole = st.binary(min_size=bits // 8, max_size=bits // 8)
    odd = st.sampled_from([0.0, -0.0, float("nan"), float("inf"), float("-inf"), 5e-324, -1e-310])
    any_bits = whole.map(lambda raw: struct.unpack("<f" if bits == 32 else "<d", raw)[0])
    return st.floats(width=bits) | any_bits | (odd if bits == 64 else odd.filter(not_subnormal))


def not_subnormal(value):
    return value == 0 or not abs(value) < 1e-300


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
VALUES = {
    Kind.BOOLEAN: st.booleans(),
    Kind.SMALLINT: integers(16),
    Kind.INTEGER: integers(32),
    Kind.BIGINT: integers(64),
    Kind.REAL: floats(32),
    Kind.DOUBLE: floats(64),
    Kind.TEXT: texts,
    Kind.JSON: texts,
    Kind.BLOB: st.binary(max_size=40),
    Kind.DATE: integers(32),
    Kind.TIME: st.sampled_from([0, DAY - 1]) | st.integers(0, DAY - 1),
    Kind.TIMESTAMP: integers(64),
    Kind.TIMESTAMPTZ: integers(64),
    Kind.UUID: st.binary(min_size=16, max_size=16),
    Kind.INTERVAL: st.tuples(integers(32), integers(32), integers(64)),
}


def values(kind):
    """Plain Python numbers, texts and bytes; temporal values as their Arrow numbers."""
    if kind.kind is Kind.DECIMAL:
        top = 10**kind.precision - 1
        return st.sampled_from([-top, -1, 0, 1, top]) | st.integers(-top, top)
    return VALUES[kind.kind]


def to_arrow(kind, items):
    """An array of the type from what `values` gives, or None."""
    valid = np.array([item is not None for item in items], dtype=bool)
    if kind.kind is Kind.DECIMAL:
        raw = b"".join((item or 0).to_bytes(16, "little", signed=True) for item in items)
        bits = pa.py_buffer(np.packbits(valid, bitorder="little"))
        return pa.Array.from_buffers(kind.arrow, len(items), [bits, pa.py_buffer(raw)])
    numbers = {Kind.DATE: pa.int32(), Kind.TIME: pa.int64()}
    numbers |= dict.fromkeys((Kind.TIMESTAMP, Kind.TIMESTAMPTZ), pa.int64())
    if kind.kind in numbers:
        return pa.array(items, numbers[kind.kind]).view(kind.arrow)
    if kind.kind is Kind.INTERVAL:
        items = [None if item is None else pa.MonthDayNano(item) for item in items]
    return pa.array(items, kind.arrow)


@st.composite
def sliced(draw, array):
    """The array, or the same values as a slice out of a longer one, with an odd bit offset."""
    before = draw(st.integers(0, 9))
    if not len(array) or not before:
        return array
    return pa.concat_arrays([array.take([0] * before), array, array.take([0])])[before:-1]


sizes_of_columns = st.integers(0, 30)


@st.composite
def columns(draw, types=column_types, sizes=sizes_of_columns):
    """A type, plain values or None, and the Arrow array of them."""
    kind, size = draw(types), draw(sizes)
    items = draw(st.lists(st.none() | values(kind), min_size=size, max_size=size))
    return kind, items, draw(sliced(to_arrow(kind, items)))


@st.composite
def tables(draw, types=column_types, most=9):
    """Types and the Arrow arrays of a few columns of equal length."""
    size = draw(st.integers(0, 12))
    drawn = draw(st.lists(columns(types, st.just(size)), min_size=1, max_size=most))
    return [kind for kind, _, _ in drawn], [array for _, _, array in drawn]


def same(left, right):
    """Equal types, NULLs and values, bit by bit: NaN payloads and the sign of zero count."""
    return left.type == right.type and bits(left) == bits(right)


def bits(array):
    if pa.types.is_floating(array.type):
        width = pa.int32() if array.type == pa.float32() else pa.int64()
        return array.view(width).to_pylist()
    if pa.types.is_date(array.type):
        return array.view(pa.int32()).to_pylist()
    if pa.types.is_time(array.type) or pa.types.is_timestamp(array.type):
        return array.view(pa.int64()).to_pylist()
    return array.to_pylist()
