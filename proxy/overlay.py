"""The changes of an open transaction to one table, seen by its own statements and by nobody else.

Nothing here has reached the store. A statement computes all its changes before it adds them, so a
failed statement leaves no trace, and a savepoint is a set of lengths to cut back to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from indexes.multimap.batches import SortedEntries
from indexes.multimap.postings import PostingBatch

from .arrow import Ordinals, reorder_batch
from .manifest import Totals, add_totals
from .recent import RecentIndex

UniqueWords = Mapping[int, tuple[npt.NDArray[np.uint64], npt.NDArray[np.bool_]]]


@dataclass(frozen=True, slots=True)
class NewRows:
    """Rows that one statement adds, with everything that is derived from them.

    Attributes:
        ordinals: int64[n], ascending.
        rows: n rows, all columns in table order.
        hashed: postings of the hashed indexes.
        ranges: entries of each range index, and of each term dictionary, by id.
        tags: per unique index, uint8[n, 16] and which rows have one (none with a NULL).
        statistics: per keyword index, documents and tokens of each field.
        unique_words: per unique index, the index words uint64[n] and which rows have one.
        visible: per server-visible index, values uint8[m, width] and ordinals int64[m].
    """

    ordinals: Ordinals
    rows: pa.RecordBatch
    hashed: list[PostingBatch] = field(default_factory=list)
    ranges: Mapping[int, SortedEntries] = field(default_factory=dict)
    tags: Mapping[int, tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]] = field(
        default_factory=dict
    )
    statistics: Totals = field(default_factory=dict)
    unique_words: UniqueWords = field(default_factory=dict)
    visible: Mapping[int, tuple[npt.NDArray[np.uint8], Ordinals]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RemovedRows:
    """Rows that one statement removes.

    ``tags`` are the unique tags of those that are still pending in a delta: their claims go with them.
    """

    ordinals: Ordinals
    tags: Mapping[int, Sequence[bytes]] = field(default_factory=dict)
    statistics: Totals = field(default_factory=dict)


class TableOverlay:
    """Rows added and removed by one transaction, and the index entries of the added ones."""

    def __init__(self) -> None:
        self.added: list[NewRows] = []
        self.removals: list[RemovedRows] = []
        self._refresh()

    def _refresh(self) -> None:
        self.index = RecentIndex()
        self.places: dict[int, tuple[int, int]] = {}
        self.removed: set[int] = set()
        self._own: set[int] = set()
        for number, rows in enumerate(self.added):
            self._index(number, rows)
        for removal in self.removals:
            self._forget(removal)
        self.version = getattr(self, "version", 0) + 1

    def _index(self, number: int, rows: NewRows) -> None:
        self.index.add_parts(rows.hashed, rows.ranges)
        for row, ordinal in enumerate(rows.ordinals.tolist()):
            self.places[ordinal] = (number, row)
            self._own.add(ordinal)

    def _forget(self, removal: RemovedRows) -> None:
        for ordinal in removal.ordinals.tolist():
            if ordinal in self._own:
                self.places.pop(ordinal, None)
            else:
                self.removed.add(ordinal)

    def remove(self, removal: RemovedRows) -> None:
        """Take rows away: the store's, or this transaction's own."""
        self.removals.append(removal)
        self._forget(removal)
        self.version += 1

    def add(self, rows: NewRows) -> None:
        """Take in new rows."""
        self.added.append(rows)
        self._index(len(self.added) - 1, rows)
        self.version += 1

    @property
    def empty(self) -> bool:
        """Whether committing would change nothing."""
        return not self.places and not self.removed

    def mark(self) -> tuple[int, int]:
        """A point to which :meth:`cut` can return."""
        return len(self.added), len(self.removals)

    def cut(self, mark: tuple[int, int]) -> None:
        """Forget everything since ``mark``."""
        if mark != self.mark():
            del self.added[mark[0] :]
            del self.removals[mark[1] :]
            self._refresh()

    def live(self) -> Ordinals:
        """Ordinals of this transaction's own live rows, ascending."""
        return np.array(sorted(self.places), dtype=np.int64)

    def rows(self, ordinals: Ordinals) -> pa.Table:
        """Own rows, all columns, in the order of ``ordinals``; every one must be live here."""
        tables = []
        wanted = [self.places[ordinal] for ordinal in ordinals.tolist()]
        start = 0
        while start < len(wanted):
            number, stop = wanted[start][0], start
            while stop < len(wanted) and wanted[stop][0] == number:
                stop += 1
            source = self.added[number].rows
            picked = [row for _, row in wanted[start:stop]]
            whole = picked == list(range(source.num_rows))
            tables.append(
                source if whole else reorder_batch(source, np.array(picked, dtype=np.int64))
            )
            start = stop
        return pa.Table.from_batches(tables)

    def statistics(self) -> Totals:
        """Signed changes of keyword statistics, per index."""
        total: Totals = {}
        changes = [rows.statistics for rows in self.added]
        changes += [removal.statistics for removal in self.removals]
        for change in changes:
            for index_id, (documents, tokens) in change.items():
                add_totals(total, index_id, documents, tokens)
        return total
