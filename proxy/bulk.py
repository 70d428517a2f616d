"""Bulk loads: rows go straight into packs, their postings into segments, while they arrive.

The ordinals of a bulk load fill blocks of their own, so a pack is final when its block is full, and
memory holds only some postings and, of unique values, nine bytes each. Nothing is visible before the
manifest swap that names all of it. A load that makes up a whole table of some size brings statistics
with it, since the values are at hand.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from indexes.errors import IntegrityFailure
from indexes.multimap.joining import Seen
from indexes.multimap.segment import SegmentInfo
from indexes.records.liveness import LivenessEntry

from .catalog import Table
from .index_writer import IndexWriter
from .keyspace import TableKeys, scheme_of
from .manifest import Totals, add_totals
from .overlay import NewRows, UniqueWords
from .settled import BLOCK_BITS, LOW_MASK
from .staging import ManifestChange, Staging
from .state import TableState
from .statistics.sample import AUTOMATIC_ROWS, automatic
from .statistics.stored import stage
from .visible import visible_indexes


class BulkLoad:
    """Rows of one table on their way into packs and segments.

    Args:
        table: the table's schema.
        keys: the table's keys.
        staging: where packs and pages go.
        whole: whether the table has no other rows.
        seen: called with all posting lists that go into segments.
    """

    def __init__(
        self,
        table: Table,
        keys: TableKeys,
        staging: Staging,
        *,
        whole: bool = False,
        seen: Seen | None = None,
    ) -> None:
        self._table = table
        self._keys = keys
        self._staging = staging
        self._entries: dict[int, LivenessEntry] = {}
        self._writer = IndexWriter(table, keys, staging, seen)
        self._statistics: Totals = {}
        self._segments: list[SegmentInfo] | None = None
        self._sample = automatic(table, table.indexes, keys.value_words) if whole else None
        self._analysis: SegmentInfo | None = None
        self.unique_words: list[UniqueWords] = []
        self.rows = 0
        self.postings = 0

    def add(self, rows: NewRows) -> None:
        """Pack rows whose ordinals fill blocks of their own and keep their postings."""
        blocks, starts = np.unique(rows.ordinals >> BLOCK_BITS, return_index=True)
        bounds = [*starts.tolist(), len(rows.ordinals)]
        for number, block in enumerate(blocks.tolist()):
            start, stop = bounds[number], bounds[number + 1]
            low = (rows.ordinals[start:stop] & LOW_MASK).astype(np.uint16)
            part: pa.RecordBatch = rows.rows.slice(start, stop - start)
            self._entries[block] = self._staging.pack(block, low, part.columns)
        self.rows += len(rows.ordinals)
        if self._sample is not None:
            places = {column.id: place for place, column in enumerate(self._table.columns)}
            self._sample.add([rows.rows.column(places[one.id]) for one in self._sample.columns])
        self.index(rows)

    def index(self, rows: NewRows) -> None:
        """Keep the postings of rows, whose values are stored already or by :meth:`add`."""
        self._writer.add(rows.hashed, rows.ranges)
        for index_id, (documents, tokens) in rows.statistics.items():
            add_totals(self._statistics, index_id, documents, tokens)
        for index in visible_indexes(self._table):
            if index.id in rows.visible:
                values, ordinals = rows.visible[index.id]
                labels = self._keys.labels.to_labels(ordinals).tolist()
                self._staging.visible(scheme_of(self._table, self._keys, index), labels, values)
        self.unique_words.append(rows.unique_words)
        self.postings += sum(map(len, rows.hashed))
        self.postings += sum(map(len, rows.ranges.values()))

    def unique(self, index_id: int) -> bool:
        """Whether no two rows loaded have the same value in a unique index."""
        parts = [one[index_id] for one in self.unique_words if index_id in one]
        words = np.concatenate([words[valid] for words, valid in parts]) if parts else np.empty(0)
        return len(np.unique(words)) == len(words)

    def contribute(self, change: ManifestChange) -> None:
        """Add everything loaded to the next manifest; segments are built on the first call."""
        change.stagings.append(self._staging)
        change.segments.extend(self.segments())
        change.liveness.update(self._entries)
        change.rows += self.rows
        change.analysis = self._statistics_segment() or change.analysis
        for index_id, (documents, tokens) in self._statistics.items():
            add_totals(change.statistics, index_id, documents, tokens)

    def _statistics_segment(self) -> SegmentInfo | None:
        """The statistics of a load that was large enough, staged on the first call."""
        if self._sample is not None and self.rows >= AUTOMATIC_ROWS and self._analysis is None:
            figures = self._sample.figures()
            self._analysis = stage(self._staging, self._table, self._keys, figures)
        return self._analysis

    def require_free(self, state: TableState) -> None:
        """IntegrityFailure when somebody else has rows in the blocks that this load has filled."""
        given = {ordinal >> BLOCK_BITS for ordinal in state.given}
        if state.settled.entries(self._entries) or not given.isdisjoint(self._entries):
            raise IntegrityFailure

    def segments(self) -> list[SegmentInfo]:
        """The segments of everything indexed; nothing can be added afterwards."""
        if self._segments is None:
            self._segments = self._writer.finish()
        return self._segments
