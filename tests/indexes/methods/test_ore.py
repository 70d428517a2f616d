from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexes.encoding import order_keys
from indexes.errors import EncodingRefused, IntegrityFailure
from indexes.keys import Key
from indexes.methods.ore import client, server
from indexes.methods.ore.client import OreCipher
from indexes.methods.ore.types import BITS, MASKS, Shape
from indexes.types import ColumnType
from tests.indexes.columns import columns, ordered_types

parse = ColumnType.parse
KEY = Key(bytes(range(32)))


def signs(keys):
    """How each of n keys stands to each other one: int[n, n]."""
    pairs = [tuple(map(int, key)) for key in keys]
    return [[(one > two) - (one < two) for two in pairs] for one in pairs]


@settings(max_examples=40)
@given(columns(ordered_types, st.integers(1, 8)), st.sampled_from(MASKS))
def test_tokens_compare_as_the_keys_do(drawn, mask):
    kind, _, array = drawn
    keys, valid = order_keys(array, kind)
    keys = keys[valid]
    one = OreCipher(KEY, kind, mask)
    stored = one.encrypt(keys)
    assert stored.shape == (len(keys), one.shape.ciphertext_bytes)
    assert one.verify(keys, stored).all()
    tokens = [one.token(tuple(map(int, key))) for key in keys]
    found = [server.compare(token, stored).tolist() for token in tokens]
    assert found == signs(keys)


@pytest.mark.parametrize("mask", MASKS)
def test_ranges(mask):
    kind = parse("SMALLINT")
    one = OreCipher(KEY, kind, mask)
    values = np.arange(-40, 40)
    keys = np.zeros((80, 2), dtype=np.uint64)
    keys[:, 0] = values.astype(np.int64).view(np.uint64) ^ np.uint64(1 << 63)
    stored = one.encrypt(keys)

    def token(value):
        return one.token(((1 << 63) + value, 0))

    for low, high in itertools.product((-30, 0, 7, 20), (-31, 0, 7, 39)):
        for low_open, high_open in itertools.product((False, True), repeat=2):
            inside = server.within(stored, token(low), token(high), low_open, high_open)
            above = values > low if low_open else values >= low
            below = values < high if high_open else values <= high
            assert (inside == (above & below)).all()
    assert server.within(stored, b"", b"").all()
    assert server.within(stored, b"", token(0), high_open=True).sum() == 40
    assert len(server.within(stored[:0], token(0), b"")) == 0


def test_sizes_are_those_of_the_format():
    sizes = {
        (s.mask, s.bits): s.ciphertext_bytes for s in (Shape(b, m) for b in BITS for m in MASKS)
    }
    assert (sizes["sha256", 32], sizes["sha256", 64]) == (48, 80)
    assert (sizes["aes", 32], sizes["aes", 64]) == (112, 192)


@pytest.mark.parametrize("mask", MASKS)
def test_equal_values_have_unlike_ciphertexts(mask):
    one = OreCipher(KEY, parse("INTEGER"), mask)
    keys = np.full((2_000, 2), [1 << 63, 0], dtype=np.uint64)
    stored = one.encrypt(keys)
    assert len(np.unique(stored, axis=0)) == 2_000
    # Every slot's two bits are uniform: over many encryptions each of their values comes up as often.
    cells = np.stack([stored[:, 16:] >> shift & 3 for shift in (0, 2, 4, 6)])
    shares = np.bincount(cells.reshape(-1), minlength=4) / cells.size
    assert np.abs(shares - 0.25).max() < 0.01


def guesses(one, left, right):
    """How each left ciphertext may stand to the right one beside it, by what can be told without a key.

    By the bytes as they are; by slots, and their number of each kind; by the exclusive or of both; by
    which slots agree; and by one ciphertext taken for a token of the other.
    """
    shape, count = one.shape, len(left)

    def cells(rows):
        parts = [rows[:, 16:] >> shift & 3 for shift in (0, 2, 4, 6)]
        return np.stack(parts, axis=2).reshape(count, -1).astype(int)

    first, second = cells(left), cells(right)
    both = first ^ second
    less, greater = np.array([0, 1, -1, 0]), np.array([0, -1, 1, 0])
    yield np.where(left[:, 16] < right[:, 16], 1, -1)
    yield np.sign(first.sum(axis=1) - second.sum(axis=1))
    for kind in (1, 2):
        found = (first == kind).sum(axis=1) - (second == kind).sum(axis=1)
        yield np.sign(found) * (1 if kind == 2 else -1)
    for block in range(shape.blocks):
        slots = slice(block * shape.slots, (block + 1) * shape.slots)
        yield np.sign((second[:, slots] == 1).sum(axis=1) - (first[:, slots] == 1).sum(axis=1))
        yield np.sign(both[:, slots].sum(axis=1) - 1.5 * shape.slots)
        agree = (both[:, slots] == 0).sum(axis=1)
        yield np.sign(agree - shape.slots / 4)
        yield np.sign(less[both[:, slots]].sum(axis=1))
        yield np.sign(less[first[:, slots]].sum(axis=1) + greater[second[:, slots]].sum(axis=1))
    borrowed = np.zeros(count, dtype=int)
    for row in range(500):
        steps = [
            bytes((int(left[row, 16 + block] % shape.slots),)) + left[row, :16].tobytes()
            for block in range(shape.blocks)
        ]
        try:
            token = shape.head + b"".join(steps)
            borrowed[row] = -server.compare(token, right[row : row + 1])[0]
        except server.TokenError:
            continue
    yield borrowed


def advantages(mask, kind):
    """By how many standard deviations each guess beats a fair coin, over 10,000 random pairs."""
    count, one = 10_000, OreCipher(Key.random(), kind, mask)
    half = 1 << one.shape.bits - 1
    draw = np.random.default_rng(4)
    keys = np.zeros((2 * count, 2), dtype=np.uint64)
    keys[:, 0] = draw.integers(-half, half, 2 * count).view(np.uint64) ^ np.uint64(1 << 63)
    stored = one.encrypt(keys)
    truth = np.where(keys[:count, 0] < keys[count:, 0], 1, -1)
    for guess in guesses(one, stored[:count], stored[count:]):
        decided = guess != 0
        hits = (guess[decided] == truth[decided]).sum()
        yield abs(2 * hits - decided.sum()) / np.sqrt(max(decided.sum(), 1))


KINDS = {"aes": parse("INTEGER"), "sha256": parse("SMALLINT")}


@pytest.mark.parametrize("mask", MASKS)
def test_ciphertexts_alone_order_nothing(mask):
    assert max(advantages(mask, KINDS[mask])) < 6


def test_without_a_mask_the_same_guesses_order_much(monkeypatch):
    monkeypatch.setattr(client, "aes_mask", lambda keys, _: np.zeros(keys.shape[:-1], np.uint8))
    assert max(advantages("aes", KINDS["aes"])) > 50


@pytest.mark.parametrize("mask", MASKS)
def test_keys_columns_and_masks_are_apart(mask):
    keys = np.array([[1 << 63, 0]], dtype=np.uint64)
    one = OreCipher(KEY, parse("INTEGER"), mask)
    stored = one.encrypt(keys)
    other = OreCipher(Key.random(), parse("INTEGER"), mask)
    assert not other.verify(keys, stored).any()
    assert other.token((1 << 63, 0)) != one.token((1 << 63, 0))
    with pytest.raises(IntegrityFailure):
        OreCipher(KEY, parse("BIGINT"), mask).verify(keys, stored)


def test_every_changed_bit_is_found():
    one = OreCipher(KEY, parse("SMALLINT"), "sha256")
    keys = np.array([[(1 << 63) + 5, 0]], dtype=np.uint64)
    stored = one.encrypt(keys)
    bits = stored.shape[1] * 8
    changed = np.repeat(stored, bits, axis=0)
    for bit in range(bits):
        changed[bit, bit >> 3] ^= 1 << (bit & 7)
    assert not one.verify(np.repeat(keys, bits, axis=0), changed).any()


def test_malformed_tokens_and_ciphertexts():
    one = OreCipher(KEY, parse("INTEGER"), "aes")
    stored = one.encrypt(np.array([[1 << 63, 0]], dtype=np.uint64))
    token = one.token((1 << 63, 0))
    other = OreCipher(KEY, parse("INTEGER"), "sha256").token((1 << 63, 0))
    bad = [b"", token[:-1], token + b"\0", b"\2" + token[1:], b"\1\7" + token[2:], other]
    bad += [
        token[:2] + b"\5" + token[3:],
        token[:3] + b"\x40" + token[4:],
        token[:4] + b"\xff" + token[5:],
    ]
    for one_bad in bad:
        with pytest.raises(server.TokenError):
            server.compare(one_bad, stored)
    with pytest.raises(server.TokenError):
        server.compare(token, stored[:, :-1])
    with pytest.raises(server.TokenError):
        server.gathered([stored.tobytes(), b"short"], token)
    assert server.gathered([stored.tobytes()], token).tolist() == stored.tolist()
    # A mask that is not the slot's gives 3 for a quarter of the ciphertexts.
    forged = token[:4] + (token[4:5] + bytes(16)) + token[21:]
    many = one.encrypt(np.full((64, 2), [1 << 63, 0], dtype=np.uint64))
    with pytest.raises(server.TokenError):
        server.compare(forged, many)


def test_types_without_order_and_keys_outside_of_the_type():
    for name in ("JSON", "INTERVAL"):
        with pytest.raises(EncodingRefused):
            OreCipher(KEY, parse(name), "aes")
    with pytest.raises(EncodingRefused):
        OreCipher(KEY, parse("INTEGER"), "aes").encrypt(np.array([[0, 0]], dtype=np.uint64))
    with pytest.raises(ValueError):
        OreCipher(KEY, parse("INTEGER"), "md5")
