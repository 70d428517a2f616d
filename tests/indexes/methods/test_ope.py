from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexes.encoding import order_keys
from indexes.errors import EncodingRefused
from indexes.keys import Key
from indexes.methods.domain import bits_of, numbers
from indexes.methods.ope import SCHEMES, cipher
from indexes.types import ColumnType, Kind
from tests.indexes.columns import columns, ordered_types

parse = ColumnType.parse
KEY = Key(bytes(range(32)))
SMALL = st.sampled_from([parse("SMALLINT"), parse("INTEGER"), parse("DATE")])


def in_order(found, keys):
    """Whether ciphertexts compare, byte by byte, as the keys do: for all pairs."""
    order = np.lexsort((keys[:, 1], keys[:, 0]))
    texts = [row.tobytes() for row in found[order]]
    sorted_keys = [tuple(key) for key in keys[order].tolist()]
    return all(
        (one < two) if first < second else (one == two)
        for one, two, first, second in zip(
            texts, texts[1:], sorted_keys, sorted_keys[1:], strict=False
        )
    )


@settings(max_examples=60)
@given(columns(ordered_types))
def test_clww_keeps_the_order_of_every_type(drawn):
    kind, _, array = drawn
    keys, valid = order_keys(array, kind)
    keys = keys[valid]
    one = cipher(KEY, kind, "clww")
    found = one.encrypt(keys)
    assert found.shape == (len(keys), bits_of(kind))
    assert in_order(found, keys)
    assert (one.decrypt(found) == numbers(keys, kind)).all()


@settings(max_examples=8, deadline=None)
@given(columns(SMALL, st.integers(0, 12)))
def test_boldyreva_keeps_the_order(drawn):
    kind, _, array = drawn
    keys, valid = order_keys(array, kind)
    found = cipher(KEY, kind, "boldyreva").encrypt(keys[valid])
    assert found.shape == (int(valid.sum()), 6)
    assert in_order(found, keys[valid])


def test_clww_keeps_the_order_of_all_pairs_of_ten_thousand():
    draw = np.random.default_rng(3)
    values = np.concatenate((np.arange(-2_500, 2_500), draw.integers(-(1 << 31), 1 << 31, 5_000)))
    array = pa.array(values.astype(np.int32))
    keys, _ = order_keys(array, parse("INTEGER"))
    # Order is transitive, so neighbours in order decide about all pairs.
    assert in_order(cipher(KEY, parse("INTEGER"), "clww").encrypt(keys), keys)


def test_clww_differs_where_the_numbers_first_do():
    keys = np.array([[1 << 63, 0], [(1 << 63) + 6, 0], [(1 << 63) + 7, 0]], dtype=np.uint64)
    zero, six, seven = cipher(KEY, parse("BIGINT"), "clww").encrypt(keys).astype(int)
    assert (six[:63] == seven[:63]).all()
    assert seven[63] == six[63] + 1
    assert (zero[:61] == six[:61]).all()
    assert six[61] == zero[61] + 1


@pytest.mark.parametrize("scheme", SCHEMES)
def test_keys_and_types_are_apart(scheme):
    keys = np.array([[(1 << 63) + 5, 0]], dtype=np.uint64)
    one = cipher(KEY, parse("INTEGER"), scheme).encrypt(keys)
    assert (cipher(KEY, parse("INTEGER"), scheme).encrypt(keys) == one).all()
    assert (cipher(Key.random(), parse("INTEGER"), scheme).encrypt(keys) != one).any()
    other = cipher(KEY, parse("SMALLINT"), scheme).encrypt(keys)
    assert other.tobytes() != one.tobytes()[-len(other.tobytes()) :]


def test_what_does_not_suit_is_refused():
    for name in ("BIGINT", "TEXT", "DOUBLE", "BOOLEAN", "UUID", "DECIMAL(5,2)"):
        with pytest.raises(EncodingRefused, match="boldyreva"):
            cipher(KEY, parse(name), "boldyreva")
    for kind in (Kind.JSON, Kind.INTERVAL):
        with pytest.raises(EncodingRefused):
            cipher(KEY, ColumnType(kind), "clww")
    with pytest.raises(ValueError):
        cipher(KEY, parse("INTEGER"), "rot13")
    assert cipher(KEY, parse("INTEGER"), "boldyreva").encrypt(
        np.zeros((0, 2), np.uint64)
    ).shape == (0, 6)
