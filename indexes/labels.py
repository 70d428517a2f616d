"""Labels: what the store calls a row, in place of the ordinal that postings use.

The proxy numbers rows densely, so that postings compress. The store sees `block ‖ π_block(low)`: the
ordinal's block of 4,096 as it is, and the place within the block under a keyed permutation. π_block is
the order of the values AES-256_K(block ‖ 0 … 4095), a pseudorandom permutation of the block without
collisions.

What it leaks: in which block of 4,096 consecutive ordinals a row was added, thus coarse insertion
order; nothing about the order within a block. Fully random labels would hide that and cost an SQLite
store twenty times the bytes written per row.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

import numpy as np
from numpy.typing import NDArray

from indexes.errors import IntegrityFailure
from indexes.keys import Key
from indexes.prf import BlockCipher

BLOCK_BITS: Final = 12
BLOCK: Final = 1 << BLOCK_BITS
"""Ordinals in a block: the unit of permutation, lease, pack and liveness."""

_LOW: Final = BLOCK - 1
# Permutations kept, 16 KiB each: a block's worth of AES and sorting takes about 0.2 ms.
_CACHED_BLOCKS: Final = 1024
# Up to this many ordinals, a loop over them beats finding the distinct blocks with NumPy.
_FEW: Final = 8

_Tables = NDArray[np.uint16]


class LabelMap:
    """The bijection between ordinals and labels of one table.

    Not for use by several threads at once.

    Args:
        key: used for nothing else.
    """

    __slots__ = ("_cache", "_cipher")

    def __init__(self, key: Key) -> None:
        self._cipher = BlockCipher(key)
        self._cache: OrderedDict[int, _Tables] = OrderedDict()

    def to_labels(self, ordinals: NDArray[np.int64]) -> NDArray[np.int64]:
        """The label of each ordinal: int64[n], 0 ≤ ordinal < 2⁶³, in any order.

        Raises:
            ValueError: a negative ordinal.
        """
        if len(ordinals) and int(ordinals.min()) < 0:
            raise ValueError("ordinals are not negative")
        return self._map(ordinals, 0)

    def to_ordinals(self, labels: NDArray[np.int64]) -> NDArray[np.int64]:
        """The ordinal of each label; labels come from the store and are not trusted.

        Raises:
            IntegrityFailure: a negative label, which no ordinal has.
        """
        if len(labels) and int(labels.min()) < 0:
            raise IntegrityFailure
        return self._map(labels, 1)

    def _map(self, numbers: NDArray[np.int64], direction: int) -> NDArray[np.int64]:
        numbers = np.asarray(numbers, dtype=np.int64)
        if len(numbers) <= _FEW:
            mapped = [
                number & ~_LOW
                | int(self._tables([number >> BLOCK_BITS])[0][direction, number & _LOW])
                for number in numbers.tolist()
            ]
            return np.array(mapped, dtype=np.int64)
        low = numbers & _LOW
        blocks, which = np.unique(numbers >> BLOCK_BITS, return_inverse=True)
        result = numbers - low
        # Blocks are taken in groups, so that a scan of any size needs bounded memory.
        for first in range(0, len(blocks), _CACHED_BLOCKS):
            group = blocks[first : first + _CACHED_BLOCKS].tolist()
            tables = np.stack([table[direction] for table in self._tables(group)])
            here = (
                slice(None)
                if len(group) == len(blocks)
                else np.flatnonzero((which >= first) & (which < first + len(group)))
            )
            result[here] += tables[which[here] - first, low[here]]
        return result

    def _tables(self, blocks: list[int]) -> list[_Tables]:
        """Per block, uint16[2, 4096]: the permutation and its inverse."""
        cache = self._cache
        missing = [block for block in blocks if block not in cache]
        tables = dict(zip(missing, self._compute(missing), strict=True)) if missing else {}
        for block in blocks:
            if block in tables:
                cache[block] = tables[block]
            else:
                cache.move_to_end(block)
                tables[block] = cache[block]
        while len(cache) > _CACHED_BLOCKS:
            cache.popitem(last=False)
        return [tables[block] for block in blocks]

    def _compute(self, blocks: list[int]) -> list[_Tables]:
        result: list[_Tables] = []
        for first in range(0, len(blocks), 64):
            group = np.array(blocks[first : first + 64], dtype="<u8")
            inputs = np.empty((len(group), BLOCK, 2), dtype="<u8")
            inputs[:, :, 0] = group[:, None]
            inputs[:, :, 1] = np.arange(BLOCK)
            outputs = self._cipher.encrypt(inputs.view(np.uint8).reshape(-1, 16))
            # The first 64 bits decide; equal ones (probability 2⁻⁴¹ a block) keep their order.
            ranks = np.ascontiguousarray(outputs.view("<u8")[:, 0]).reshape(len(group), BLOCK)
            inverse = np.argsort(ranks, axis=1, kind="stable").astype(np.uint16)
            tables = np.empty((len(group), 2, BLOCK), dtype=np.uint16)
            tables[:, 1] = inverse
            numbers = np.broadcast_to(np.arange(BLOCK, dtype=np.uint16), inverse.shape)
            np.put_along_axis(tables[:, 0], inverse, numbers, axis=1)
            result.extend(np.copy(table) for table in tables)
        return result
