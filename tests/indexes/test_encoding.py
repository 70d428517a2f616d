from __future__ import annotations

import math
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given

from indexes.encoding import order_key_exact, order_keys, term_blocks, term_bytes
from indexes.errors import EncodingRefused
from indexes.types import ColumnType, Kind
from tests.indexes.columns import columns, ordered_types, tables, to_arrow

parse = ColumnType.parse


def rank(kind, value):
    """What SQL orders by: a Python value whose comparison is the engine's."""
    if kind.kind in (Kind.REAL, Kind.DOUBLE):
        return (1, 0.0) if math.isnan(value) else (0, value)
    if kind.kind is Kind.TEXT:
        return value.encode()
    return value


def numbers(keys):
    return [high << 64 | low for high, low in keys.tolist()]


@given(columns(ordered_types))
def test_order_is_kept(drawn):
    kind, items, array = drawn
    keys, valid = order_keys(array, kind)
    assert keys.dtype == np.uint64
    assert keys.shape == (len(items), 2)
    assert valid.tolist() == [item is not None for item in items]
    assert not keys[~valid].any()
    pairs = [
        (number, rank(kind, item))
        for number, item in zip(numbers(keys), items, strict=True)
        if item is not None
    ]
    for left, left_rank in pairs:
        for right, right_rank in pairs:
            if order_key_exact(kind):
                assert (left < right) == (left_rank < right_rank)
                assert (left == right) == (left_rank == right_rank)
            elif left < right:
                assert left_rank < right_rank
            else:
                assert left > right or left_rank[:16].ljust(16, b"\0") == right_rank[:16].ljust(
                    16, b"\0"
                )


@given(columns(ordered_types))
def test_narrow_keys_use_the_high_half(drawn):
    kind, _, array = drawn
    if kind.width == 8:
        assert not order_keys(array, kind)[0][:, 1].any()


@given(columns(ordered_types))
def test_terms_are_equal_exactly_for_equal_values(drawn):
    kind, items, array = drawn
    terms = term_bytes([array], [kind])
    assert [term is None for term in terms] == [item is None for item in items]
    blocks = term_blocks(array, kind)
    assert (blocks is None) == kind.variable
    if blocks is not None:
        assert blocks.shape == (len(items), 16)
        assert blocks.dtype == np.uint8
    live = [place for place, item in enumerate(items) if item is not None]
    for one in live:
        for two in live:
            equal = rank(kind, items[one]) == rank(kind, items[two])
            assert (terms[one] == terms[two]) == equal
            if blocks is not None:
                assert (blocks[one].tobytes() == blocks[two].tobytes()) == equal


@given(tables(ordered_types, most=4))
def test_tuples_are_unambiguous(drawn):
    kinds, arrays = drawn
    terms = term_bytes(arrays, kinds)
    singles = [term_bytes([array], [kind]) for array, kind in zip(arrays, kinds, strict=True)]
    rows = list(zip(*singles, strict=True))
    for term, row in zip(terms, rows, strict=True):
        # A row's term is its columns' terms end to end, each of which carries its own length.
        assert term == (None if None in row else b"".join(row))


def test_columns_do_not_run_into_each_other():
    text = parse("TEXT")
    left = term_bytes([pa.array(["a", "ab", ""]), pa.array(["bc", "c", "abc"])], [text, text])
    assert len(set(left)) == 3
    # A value that spells out another tuple's encoding is still one value.
    forged = left[0][5:].decode("latin-1")
    assert term_bytes([pa.array([forged]), pa.array([""])], [text, text])[0] != left[0]


def test_term_layout():
    terms = term_bytes(
        [pa.array(["é"]), pa.array([-1], pa.int32())], [parse("TEXT"), parse("INTEGER")]
    )
    block = bytes.fromhex("7fffffffffffffff0000000000000000")
    assert terms == [b"t\x00\x00\x00\x02\xc3\xa9n\x00\x00\x00\x10" + block]


def test_floats_in_order():
    smallest, largest = 5e-324, 1.7976931348623157e308
    ascending = [-math.inf, -largest, -1.0, -2.3e-308, -smallest, 0.0]
    ascending += [smallest, 2.3e-308, 1.0, largest, math.inf, math.nan]
    keys = numbers(order_keys(pa.array(ascending), parse("DOUBLE"))[0])
    assert keys == sorted(set(keys))
    odd = np.array([0, 1 << 63, 0x7FF8 << 48, 0xFFF8 << 48, 0x7FF0_0000_0000_0001], dtype=np.uint64)
    found = numbers(order_keys(pa.array(odd.view(np.float64)), parse("DOUBLE"))[0])
    assert found[0] == found[1]
    assert len(set(found[2:])) == 1
    assert found[2] == keys[-1]


def test_real_is_encoded_as_the_double_it_is():
    values = np.array([0.1, -1.5, 1e-45, math.inf, -0.0], dtype=np.float32)
    real = order_keys(pa.array(values), parse("REAL"))[0]
    double = order_keys(pa.array(values.astype(np.float64)), parse("DOUBLE"))[0]
    assert (real == double).all()


def test_one_number_of_a_decimal_column():
    kind = parse("DECIMAL(38,2)")
    array = pa.array([Decimal(1), Decimal("1.0"), Decimal("1.00")], kind.arrow)
    assert len(set(term_bytes([array], [kind]))) == 1


def test_ends_of_the_decimal_range():
    for scale in (0, 7, 38):
        kind, top = ColumnType(Kind.DECIMAL, 38, scale), 10**38 - 1
        keys, _ = order_keys(to_arrow(kind, [-top, -1, 0, 1, top]), kind)
        assert numbers(keys) == [(1 << 127) + n for n in (-top, -1, 0, 1, top)]


def test_blocks_with_a_text_prefix():
    kind = parse("TEXT")
    values = ["", "a", "a\0", "b", "abcdefgh", "abcdefghi", "0123456789abcdef", "0123456789abcdefX"]
    keys = numbers(order_keys(pa.array(values), kind)[0])
    assert keys == [int.from_bytes(v.encode()[:16].ljust(16, b"\0"), "big") for v in values]


@pytest.mark.parametrize("name", ["JSON", "INTERVAL"])
def test_refused_types(name):
    kind = parse(name)
    array = pa.nulls(1, kind.arrow)
    for attempt in (
        lambda: order_keys(array, kind),
        lambda: order_key_exact(kind),
        lambda: term_blocks(array, kind),
        lambda: term_bytes([array], [kind]),
    ):
        with pytest.raises(EncodingRefused):
            attempt()


def test_wrong_arrays():
    with pytest.raises(EncodingRefused):
        order_keys(pa.array(["x"]), parse("BIGINT"))
    with pytest.raises(EncodingRefused):
        order_keys(pa.array([[1]]), parse("BIGINT"))
    with pytest.raises(EncodingRefused):
        order_keys(pa.array([70_000]), parse("SMALLINT"))
    for arrays, kinds in (
        ([], []),
        ([pa.array([1])], []),
        ([pa.array([1]), pa.array([1, 2])],) * 2,
    ):
        with pytest.raises(ValueError):
            term_bytes(arrays, kinds)


@pytest.mark.parametrize(
    "array",
    [
        pa.array(["b", None, "a"], pa.large_string()),
        pa.array(["b", None, "a"], pa.string_view()),
        pa.array(["b", None, "a"]).dictionary_encode(),
    ],
)
def test_other_representations(array):
    kind = parse("TEXT")
    wanted = pa.array(["b", None, "a"])
    assert term_bytes([array], [kind]) == term_bytes([wanted], [kind])
    assert (order_keys(array, kind)[0] == order_keys(wanted, kind)[0]).all()


def test_empty_columns():
    for name in ("TEXT", "BOOLEAN", "UUID", "DECIMAL(38,1)", "DECIMAL(3,1)", "DOUBLE"):
        kind = parse(name)
        array = pa.array([], kind.arrow)
        assert order_keys(array, kind)[0].shape == (0, 2)
        assert term_bytes([array], [kind]) == []
