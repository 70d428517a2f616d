from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyope import stat
from pyope.ope import OPE, ValueRange

from indexes.encoding import order_keys
from indexes.errors import EncodingRefused
from indexes.keys import Key
from indexes.methods.domain import bits_of, numbers
from indexes.methods.ope import SCHEMES, cipher
from indexes.methods.ope.boldyreva import CIPHERTEXT_BITS
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


@pytest.mark.slow
def test_boldyreva_keeps_the_order_of_all_pairs_of_ten_thousand():
    draw = np.random.default_rng(3)
    values = np.concatenate((np.arange(-2_500, 2_500), draw.integers(-(1 << 31), 1 << 31, 5_000)))
    keys, _ = order_keys(pa.array(values.astype(np.int32)), parse("INTEGER"))
    assert in_order(cipher(KEY, parse("INTEGER"), "boldyreva").encrypt(keys), keys)


def test_boldyreva_at_the_ends_of_its_types():
    for name, bits in (("SMALLINT", 16), ("INTEGER", 32), ("DATE", 32)):
        half = 1 << bits - 1
        values = [-half, -half + 1, -1, 0, 1, half - 2, half - 1]
        keys = np.array([[value + (1 << 63), 0] for value in values], dtype=np.uint64)
        found = cipher(KEY, parse(name), "boldyreva").encrypt(keys)
        assert in_order(found, keys)
        assert len(np.unique(found, axis=0)) == len(values)


def test_the_first_split_of_boldyreva_spreads_as_it_should():
    # The library's arithmetic limits the range: at 2⁴⁸ the spread is 15 % too wide.
    plain, shown = ValueRange(0, (1 << 32) - 1), ValueRange(0, (1 << CIPHERTEXT_BITS) - 1)
    middle = (shown.end - 1) // 2
    splits = [
        stat.sample_hgd(
            plain, shown, middle, OPE(bytes([n >> 8, n & 255]), plain, shown).tape_gen(1)
        )
        for n in range(2_000)
    ]
    # Of a hypergeometric distribution: half of all ciphertexts, 2³² of which are taken.
    wanted = math.sqrt(0.25 * (1 << 32) * (1 - 2.0 ** (32 - CIPHERTEXT_BITS)))
    assert abs(np.std(splits) / wanted - 1) < 0.06
    assert abs(np.mean(splits) - (1 << 31)) < 4 * wanted / math.sqrt(len(splits))


@pytest.mark.parametrize("failure", [ZeroDivisionError("1234"), AssertionError])
def test_a_value_that_the_library_fails_on_is_refused(monkeypatch, failure):
    def fail(*_):
        raise failure

    monkeypatch.setattr(OPE, "encrypt", fail)
    one = cipher(KEY, parse("DATE"), "boldyreva")
    with pytest.raises(EncodingRefused, match="one value of DATE") as caught:
        one.encrypt(np.array([[(1 << 63) + 1234, 0]], dtype=np.uint64))
    assert caught.value.__cause__ is None
    assert "1234" not in str(caught.value)


def test_clww_digits_hide_their_bits():
    # Over many prefixes a digit of a bit is uniform on 255 values, whatever the bit is.
    count = 10_000
    keys = np.zeros((count, 2, 2), dtype=np.uint64)
    keys[:, :, 0] = np.arange(2 * count, dtype=np.uint64).reshape(count, 2) | np.uint64(1 << 63)
    found = cipher(KEY, parse("INTEGER"), "clww").encrypt(keys.reshape(-1, 2))
    zeros, ones = found[:, 31].reshape(count, 2).astype(int).T
    assert (ones == zeros + 1).all()
    counts = np.bincount(zeros, minlength=255)
    assert len(counts) == 255
    # Chi-square with 254 degrees of freedom: six standard deviations are 135.
    assert abs(((counts - count / 255) ** 2).sum() / (count / 255) - 254) < 135


def test_a_changed_bit_of_a_ciphertext_shows():
    keys = np.array([[(1 << 63) + 1234, 0]], dtype=np.uint64)
    for scheme in SCHEMES:
        one = cipher(KEY, parse("INTEGER"), scheme)
        found = one.encrypt(keys)
        bits = np.unpackbits(found, axis=1)
        changed = np.packbits(bits ^ np.eye(bits.shape[1], dtype=np.uint8), axis=1)
        # Whoever checks encrypts again; nothing else is the value's ciphertext.
        assert (one.encrypt(keys) == found).all()
        assert not (changed == found).all(axis=1).any()
        if scheme == "clww":
            read = one.decrypt(changed)
            again = one.encrypt(
                np.column_stack((read[:, 1] + np.uint64((1 << 63) - (1 << 31)), read[:, 0]))
            )
            assert (again != changed).any(axis=1).mean() > 0.9


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
