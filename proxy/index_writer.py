"""Index entries on their way into segments, in bounded memory.

A load, a fold, CREATE INDEX and a rebuild hand entries over as they make them. Every few hundred thousand are
sorted and encoded, as they will be in a segment, and once what is encoded grows large, the largest part of it is
staged as a segment of its own. So memory does not grow with the number of rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from indexes.multimap import hashed, merge, postings
from indexes.multimap import sorted as sorted_segments
from indexes.multimap.batches import EncodedLists, PostingBatch, SortedEntries
from indexes.multimap.joining import HeldLists, Seen, joined, part_bits
from indexes.multimap.segment import SegmentInfo, is_dictionary, owner
from indexes.multimap.sorted_merge import SortedRun, merge_runs
from indexes.multimap.sorted_pages import PackedEntries, pack, sort_entries
from indexes.seal import PAGE_USABLE

from .catalog import Index, Table
from .keyspace import TableKeys
from .staging import Staging

RUN_BYTES: Final = 8 << 20
"""Arrays of entries that are encoded together: about 400,000 entries."""

HELD_BYTES: Final = 128 << 20
"""Encoded entries that are kept before some become a segment: from 10 to 50 million, by their size."""

WORD_BYTES: Final = 16
"""Bytes that a list takes in memory beside its own."""


class IndexWriter:
    """Entries of any number of rows of one table.

    Args:
        table: the table's schema; entries of indexes that it does not have are left out.
        keys: the table's keys.
        staging: where segments go.
        seen: called with all posting lists that go into segments.
    """

    def __init__(
        self, table: Table, keys: TableKeys, staging: Staging, seen: Seen | None = None
    ) -> None:
        self._table = table
        self._keys = keys
        self._staging = staging
        self._seen = seen
        self._batches: list[PostingBatch] = []
        self._entries: dict[int, list[SortedEntries]] = {}
        self._waiting = 0
        self._lists: list[EncodedLists] = []
        self._runs: dict[int, list[SortedRun]] = {}
        self._segments: list[SegmentInfo] = []

    def add(
        self, batches: Iterable[PostingBatch], ranges: Mapping[int, SortedEntries] | None = None
    ) -> None:
        """Take in postings, and sorted entries by index."""
        for batch in batches:
            if len(batch):
                self._batches.append(batch)
                self._waiting += batch.nbytes
        for index_id, entries in (ranges or {}).items():
            if len(entries) and index_by_id(self._table, owner(index_id)) is not None:
                self._entries.setdefault(index_id, []).append(entries)
                self._waiting += entries.nbytes
        if self._waiting >= RUN_BYTES:
            self._encode()
            self._make_room()

    def finish(self) -> list[SegmentInfo]:
        """Stage what is left; the segments of everything that was added."""
        self._encode()
        if self._lists:
            self._stage_lists()
        for index_id in sorted(self._runs):
            self._stage_runs(index_id)
        return self._segments

    def _encode(self) -> None:
        if self._batches:
            lists, self._batches = self._batches, []
            self._lists.append(postings.encode_batches(lists))
        for index_id, parts in self._entries.items():
            entries, width = SortedEntries.join(parts), width_of(self._table, index_id)
            if is_dictionary(index_id):
                entries = merge.distinct(entries)
            packed = pack([sort_entries(entries, width)], width, valued=entries.values is not None)
            self._runs.setdefault(index_id, []).append(run_of(packed))
        self._entries.clear()
        self._waiting = 0

    def _make_room(self) -> None:
        """Stage the largest of what is held until the rest is little enough."""
        while True:
            sizes = {number: _pages(runs) * PAGE_USABLE for number, runs in self._runs.items()}
            hashed_bytes = self._hashed_bytes()
            if hashed_bytes + sum(sizes.values()) < HELD_BYTES:
                return
            largest = max(sizes, key=lambda number: sizes[number], default=None)
            if largest is None or sizes[largest] < hashed_bytes:
                self._stage_lists()
            else:
                self._stage_runs(largest)

    def _hashed_bytes(self) -> int:
        return sum(len(one.data) + WORD_BYTES * len(one) for one in self._lists)

    def _stage_lists(self) -> None:
        held, self._lists = self._lists, []
        if len(held) == 1:
            (lists,) = held
            if self._seen is not None:
                self._seen(lists)
        else:
            bits = part_bits(sum(len(one.data) for one in held))
            lists = joined([HeldLists(one) for one in held], bits, seen=self._seen)
        held.clear()
        number = self._staging.number()
        built = hashed.build(lists, self._keys.hashed, self._table.id, number)
        self._segments.append(self._staging.segment(built))

    def _stage_runs(self, index_id: int) -> None:
        runs = self._runs.pop(index_id)
        packed = merged(runs, collapse=is_dictionary(index_id))
        self._segments.append(
            stage_packed(self._table, self._keys, self._staging, index_id, packed)
        )


def _pages(runs: Iterable[SortedRun]) -> int:
    return sum(run.pages.count for run in runs)


def run_of(packed: PackedEntries) -> SortedRun:
    """Packed entries as a source of a merge."""
    return SortedRun(packed.pages, packed.count, packed.width, packed.valued)


def merged(runs: list[SortedRun], *, collapse: bool) -> PackedEntries:
    """All entries of runs of one index, packed."""
    chunks = merge_runs(runs, collapse=collapse)
    return pack(chunks, runs[0].width, valued=any(run.valued for run in runs))


def stage_packed(
    table: Table, keys: TableKeys, staging: Staging, index_id: int, packed: PackedEntries
) -> SegmentInfo:
    """Build and stage the segment of packed entries of a range index or dictionary."""
    key, number = keys.sorted_key(index_id), staging.number()
    built = sorted_segments.seal(packed, key, table.id, number, index_id)
    return staging.segment(built)


def index_by_id(table: Table, index_id: int) -> Index | None:
    """The index with that id, or None once it was dropped."""
    return next((index for index in table.indexes if index.id == index_id), None)


def width_of(table: Table, index_id: int) -> int:
    """Bytes of a key of a range index or dictionary of the table: 8 or 16."""
    if is_dictionary(index_id):
        return 16
    index = index_by_id(table, index_id)
    if index is None:
        raise ValueError("the index is one of the table's")
    return key_width(table, index)


def key_width(table: Table, index: Index) -> int:
    """Bytes of an encoded key of a range index: 8 or 16; 16 for several columns, whatever they are."""
    if len(index.columns) > 1:
        return 16
    width = table.column_by_id(index.columns[0]).type.width
    if width is None:
        raise ValueError("the type of a range index has an order")
    return width
