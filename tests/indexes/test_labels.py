from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexes import labels
from indexes.errors import IntegrityFailure
from indexes.keys import Key
from indexes.labels import BLOCK, LabelMap
from indexes.prf import BlockCipher

KEY = Key(bytes(range(32)))
ordinal_lists = st.lists(st.integers(0, 2**63 - 1) | st.integers(0, 20_000), max_size=40)


@given(ordinal_lists)
def test_round_trip(ordinals):
    mapping, array = LabelMap(KEY), np.array(ordinals, dtype=np.int64)
    found = mapping.to_labels(array)
    assert found.dtype == np.int64
    assert (found >> 12 == array >> 12).all()
    assert (mapping.to_ordinals(found) == array).all()
    # One at a time takes another path to the same labels.
    assert [
        int(mapping.to_labels(array[i : i + 1])[0]) for i in range(len(array))
    ] == found.tolist()


@pytest.mark.parametrize("block", [0, 1, 7_000, 2**51 - 1])
def test_each_block_is_permuted(block):
    ordinals = np.arange(block * BLOCK, block * BLOCK + BLOCK, dtype=np.int64)
    found = LabelMap(KEY).to_labels(ordinals)
    assert sorted(found.tolist()) == ordinals.tolist()
    assert found.tolist() != ordinals.tolist()


def test_definition():
    block = 5
    inputs = np.zeros((BLOCK, 2), dtype="<u8")
    inputs[:, 0], inputs[:, 1] = block, np.arange(BLOCK)
    outputs = BlockCipher(KEY).encrypt(inputs.view(np.uint8).reshape(-1, 16))
    ranks = [int.from_bytes(row[:8].tobytes(), "little") for row in outputs]
    inverse = sorted(range(BLOCK), key=ranks.__getitem__)
    found = LabelMap(KEY).to_ordinals(np.arange(block * BLOCK, (block + 1) * BLOCK, dtype=np.int64))
    assert (found - block * BLOCK).tolist() == inverse


def test_keys_and_blocks_differ():
    ordinals = np.arange(2 * BLOCK, dtype=np.int64)
    one, two = LabelMap(KEY).to_labels(ordinals), LabelMap(Key.random()).to_labels(ordinals)
    assert (one != two).sum() > BLOCK
    assert (one[:BLOCK] != one[BLOCK:] - BLOCK).sum() > BLOCK // 2


def test_more_blocks_than_are_cached(monkeypatch):
    monkeypatch.setattr(labels, "_CACHED_BLOCKS", 3)
    mapping = LabelMap(KEY)
    ordinals = np.random.default_rng(1).integers(0, 10 * BLOCK, 500)
    found = mapping.to_labels(ordinals)
    assert (mapping.to_ordinals(found) == ordinals).all()
    assert len(mapping._cache) == 3
    assert (LabelMap(KEY).to_labels(ordinals) == found).all()


def test_negative_numbers():
    for size in (1, 20):
        numbers = np.full(size, -1, dtype=np.int64)
        with pytest.raises(ValueError):
            LabelMap(KEY).to_labels(numbers)
        with pytest.raises(IntegrityFailure):
            LabelMap(KEY).to_ordinals(numbers)
