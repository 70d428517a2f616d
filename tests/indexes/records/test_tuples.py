from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexes.errors import EncodingRefused, IntegrityFailure
from indexes.records.tuples import MAX_TUPLE, TupleLayout
from indexes.types import ColumnType
from tests.indexes.columns import same, tables

parse = ColumnType.parse


@given(tables())
def test_round_trip(drawn):
    kinds, arrays = drawn
    layout = TupleLayout(kinds)
    flat, offsets = layout.encode(arrays)
    assert offsets[0] == 0
    assert offsets[-1] == len(flat)
    for found, array in zip(layout.decode(flat, offsets, range(len(kinds))), arrays, strict=True):
        found.validate(full=True)
        assert same(found, array)


@given(tables(), st.data())
def test_some_columns_of_some_rows(drawn, data):
    kinds, arrays = drawn
    layout = TupleLayout(kinds)
    flat, offsets = layout.encode(arrays)
    rows = (
        sorted(data.draw(st.sets(st.integers(0, max(len(arrays[0]) - 1, 0)))))
        if len(arrays[0])
        else []
    )
    wanted = data.draw(st.lists(st.integers(0, len(kinds) - 1), max_size=4))
    parts = [flat[offsets[row] : offsets[row + 1]] for row in rows]
    some = np.concatenate([np.zeros(0, np.uint8), *parts])
    bounds = np.concatenate(([0], np.cumsum([len(part) for part in parts]))).astype(np.int64)
    for place, found in zip(wanted, layout.decode(some, bounds, wanted), strict=True):
        assert same(found, arrays[place].take(pa.array(rows, pa.int64())))


def test_a_small_integer_takes_five_bytes():
    flat, offsets = TupleLayout([parse("INTEGER")]).encode([pa.array([7, None], pa.int32())])
    assert np.diff(offsets).tolist() == [5, 5]
    assert flat.tobytes() == b"\x00\x07\x00\x00\x00" + b"\x01\x00\x00\x00\x00"


def test_a_long_tuple_is_refused():
    layout = TupleLayout([parse("TEXT")])
    layout.encode([pa.array(["a" * (MAX_TUPLE - 3)])])
    with pytest.raises(EncodingRefused, match="2,048"):
        layout.encode([pa.array(["a" * (MAX_TUPLE - 2)])])
    with pytest.raises(EncodingRefused):
        layout.encode([pa.array([[1]])])


@given(tables(), st.data())
def test_other_bytes_never_read_as_something_malformed(drawn, data):
    kinds, arrays = drawn
    layout = TupleLayout(kinds)
    flat, offsets = layout.encode(arrays)
    if not len(flat):
        return
    changed = flat.copy()
    changed[data.draw(st.integers(0, len(flat) - 1))] ^= data.draw(st.integers(1, 255))
    bounds = offsets.copy()
    bounds[data.draw(st.integers(1, len(bounds) - 1))] += data.draw(st.integers(-3, 3))
    for bytes_, ends in ((changed, offsets), (flat, np.sort(bounds))):
        try:
            opened = layout.decode(bytes_, ends, range(len(kinds)))
        except IntegrityFailure:
            continue
        for found in opened:
            found.validate(full=True)
