"""Ordinals and segment numbers, leased from the store's counters.

Ordinals are handed out densely so that postings compress, and never twice, not even after a rollback.
Small writers lease 1, then 64, then 4,096 at a time; a bulk write leases whole blocks, so that nobody
else's rows lie in them and their packs can be built before the commit.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from encdb import wire
from encdb.stores.base import Store
from indexes.errors import IntegrityFailure
from indexes.labels import BLOCK
from indexes.multimap.segment import MAX_SEGMENT

Ordinals = npt.NDArray[np.int64]
STEPS = (1, 64, BLOCK)
BULK_ROWS = 1_024
NUMBERS_AT_ONCE = 8
MAX_ORDINAL = 1 << 44
"""Liveness pages number blocks of 4,096 ordinals in 32 bits."""


class Leases:
    """What one connection has leased for one table and not used yet."""

    def __init__(self, store: Store, table: int) -> None:
        self._store = store
        self._table = table
        self._next = 0
        self._stop = 0
        self._step = 0
        self._numbers: list[int] = []
        self.own_blocks: set[int] = set()
        """Blocks in which every ordinal was leased to this connection by a bulk write."""

    def _lease(self, kind: wire.LeaseKind, count: int) -> int:
        answer = self._store.lease(wire.Lease(table=self._table, kind=kind, count=count))
        limit = MAX_ORDINAL if kind == "ordinal" else MAX_SEGMENT
        if answer.count != count or not 0 <= answer.first <= limit - count:
            raise IntegrityFailure
        return answer.first

    def ordinals(self, count: int) -> Ordinals:
        """``count`` fresh ordinals, ascending."""
        if count >= BULK_ROWS:
            return self.block_ordinals(count)
        parts: list[Ordinals] = []
        while count:
            if self._next == self._stop:
                size = max(STEPS[self._step], count)
                self._step = min(self._step + 1, len(STEPS) - 1)
                self._next = self._lease("ordinal", size)
                self._stop = self._next + size
            taken = min(count, self._stop - self._next)
            parts.append(np.arange(self._next, self._next + taken, dtype=np.int64))
            self._next += taken
            count -= taken
        return np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)

    def block_ordinals(self, count: int) -> Ordinals:
        """``count`` fresh ordinals that start a block; the rest of the last block is kept free."""
        blocks = -(-count // BLOCK)
        first = self._lease("ordinal", blocks * BLOCK + BLOCK - 1)
        start = -(-first // BLOCK) * BLOCK
        self.own_blocks.update(range(start // BLOCK, start // BLOCK + blocks))
        return np.arange(start, start + count, dtype=np.int64)

    def number(self) -> int:
        """A fresh number for a segment, a pack or a stage."""
        if not self._numbers:
            first = self._lease("segment", NUMBERS_AT_ONCE)
            self._numbers = list(range(first + NUMBERS_AT_ONCE - 1, first - 1, -1))
        return self._numbers.pop()
