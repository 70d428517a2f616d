"""Bulk loads: rows go straight into packs, their postings into segments, while they arrive.

The ordinals of a bulk load fill blocks of their own, so a pack is final when its block is full, and
memory holds only postings. Nothing is visible before the manifest swap that names all of it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from indexes.multimap import hashed, postings
from indexes.multimap import sorted as sorted_segments
from indexes.multimap.postings import PostingBatch
from indexes.multimap.segment import SegmentInfo
from indexes.records.liveness import LivenessEntry

from .catalog import Table
from .keyspace import TableKeys
from .overlay import NewRows
from .settled import BLOCK_BITS, LOW_MASK
from .snapshot import add_lists
from .staging import ManifestChange, Staging

Ordinals = npt.NDArray[np.int64]


class BulkLoad:
    """Rows of one table on their way into packs and segments."""

    def __init__(self, table: Table, keys: TableKeys, staging: Staging) -> None:
        self._table = table
        self._keys = keys
        self._staging = staging
        self._entries: dict[int, LivenessEntry] = {}
        self._batches: list[PostingBatch] = []
        self._ranges: dict[int, list[tuple[npt.NDArray[np.uint64], Ordinals]]] = {}
        self._statistics: dict[int, tuple[list[int], list[int]]] = {}
        self._segments: list[SegmentInfo] | None = None
        self.unique_words: list[dict[int, tuple[npt.NDArray[np.uint64], npt.NDArray[np.bool_]]]] = []
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
        self._batches.extend(batch for batch in rows.hashed if len(batch))
        for index_id, entries in rows.ranges.items():
            self._ranges.setdefault(index_id, []).append(entries)
        for index_id, (documents, tokens) in rows.statistics.items():
            before = self._statistics.get(index_id, ([], []))
            self._statistics[index_id] = (
                add_lists(before[0], documents),
                add_lists(before[1], tokens),
            )
        self.unique_words.append(dict(rows.unique_words))
        self.rows += len(rows.ordinals)
        self.postings += sum(map(len, rows.hashed))
        self.postings += sum(len(ordinals) for _, ordinals in rows.ranges.values())

    def contribute(self, change: ManifestChange) -> None:
        """Add everything loaded to the next manifest; segments are built on the first call."""
        if self._segments is None:
            self._segments = self._build()
        change.stagings.append(self._staging)
        change.segments.extend(self._segments)
        change.liveness.update(self._entries)
        change.rows += self.rows
        for index_id, (documents, tokens) in self._statistics.items():
            before = change.statistics.get(index_id, ([], []))
            change.statistics[index_id] = (
                add_lists(before[0], documents),
                add_lists(before[1], tokens),
            )

    def _build(self) -> list[SegmentInfo]:
        segments: list[SegmentInfo] = []
        keys, table = self._keys, self._table
        if self._batches:
            lists = postings.encode_batches(self._batches)
            built = hashed.build(lists, keys.hashed, table.id, self._staging.number())
            segments.append(self._staging.segment(built))
            self._batches.clear()
        for index_id, parts in sorted(self._ranges.items()):
            index = next(one for one in table.indexes if one.id == index_id)
            built = sorted_segments.build(
                np.concatenate([part[0] for part in parts]),
                np.concatenate([part[1] for part in parts]),
                keys.sorted_key(index_id),
                table.id,
                self._staging.number(),
                index_id,
                table.column_by_id(index.columns[0]).type.width,
            )
            segments.append(self._staging.segment(built))
        self._ranges.clear()
        return segments
