"""Ordinals and segment numbers, leased from the store's counters.

Ordinals are handed out densely so that postings compress, and never twice, not even after a rollback.
Small writers lease 1, then 64, then 4,096 at a time; a bulk write leases whole blocks, so that nobody
else's rows lie in them and their packs can be built before the commit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True)
class Used:
    """What the verified state of a table says of its numbers.

    The store's counters only grow, so a lease that begins below one of these was given out before: its
    rows would inherit the index entries of others, its packs and segments stand in for others.

    Attributes:
        ordinals: every ordinal that a row has, or had, is below.
        numbers: every segment, pack and stage number that a merge has used is below.
        folded: epoch of the last fold.
    """

    ordinals: int = 0
    numbers: int = 0
    folded: int = 0


class Leases:
    """What one connection has leased for one table and not used yet.

    Args:
        store: hands out the numbers, and is not trusted to hand out new ones.
        table: the table's id.
        used: the numbers that the verified state of the table shows to be taken.
    """

    def __init__(self, store: Store, table: int, used: Callable[[], Used]) -> None:
        self._store = store
        self._table = table
        self._used = used
        self._taken: dict[wire.LeaseKind, int] = {"ordinal": 0, "segment": 0}
        self._folded = 0
        self._next = 0
        self._stop = 0
        self._step = 0
        self._numbers: list[int] = []
        self.own_blocks: set[int] = set()
        """Blocks in which every ordinal was leased to this connection by a bulk write."""

    def _lease(self, kind: wire.LeaseKind, count: int) -> int:
        request = wire.Lease(table=self._table, kind=kind, count=count)
        answer = wire.verified(self._store.lease(request), wire.Leased)
        if answer.count != count:
            raise IntegrityFailure
        limit, used = MAX_ORDINAL if kind == "ordinal" else MAX_SEGMENT, self._used()
        floor = max(self._taken[kind], used.ordinals if kind == "ordinal" else used.numbers)
        if not floor <= answer.first <= limit - count:
            raise IntegrityFailure
        self._taken[kind] = answer.first + count
        return answer.first

    def ordinals(self, count: int) -> Ordinals:
        """``count`` fresh ordinals, ascending."""
        if count >= BULK_ROWS:
            return self.block_ordinals(count)
        parts: list[Ordinals] = []
        if self._folded != (folded := self._used().folded):
            # Once deltas are folded, rows that came and went leave no trace by which an ordinal that
            # somebody else was given too could be told.
            self._next, self._stop, self._folded = 0, 0, folded
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
