"""Merges: folding pending deltas into packs and segments, and joining segments in tiers.

A fold takes every pending delta of one verified state: its rows go into the packs of their blocks, its
postings into new segments, its removals into the liveness bitmaps. A tier merge joins segments and
drops postings of rows that are gone, so that a query meets few of them (`indexes.multimap.merge` says how
few). Both only build; the transaction that swaps the manifest makes them visible, or they are swept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, cast

import numpy as np
import numpy.typing as npt

from indexes.errors import IntegrityFailure
from indexes.methods import dictionary, equality, keyword
from indexes.multimap import hashed, merge
from indexes.multimap.batches import EncodedLists, PostingBatch, SortedEntries
from indexes.multimap.joining import joined, part_bits
from indexes.multimap.segment import HASHED, SegmentInfo, is_dictionary, owner
from indexes.multimap.sorted_merge import merge_runs
from indexes.multimap.sorted_pages import pack
from indexes.seal import PAGE_USABLE

from .arrow import Chunked, Ordinals, chunked, one_array, reorder
from .catalog import Table
from .execute.view import TableView, as_array
from .index_writer import IndexWriter, index_by_id, stage_packed
from .manifest import add_totals
from .overlay import NewRows, TableOverlay
from .settled import BLOCK_BITS, LOW_MASK
from .staging import ManifestChange, Staging, bitmap_without
from .state import TableState
from .statistics.sample import AUTOMATIC_ROWS, automatic

PENDING_DELTAS = 1_024
PENDING_POSTINGS = 64 << 10
PENDING_BYTES = 4 << 20
ROOMY_PAGES: Final = 1 << 14
"""Joining more than this (64 MiB) needs the room that cached columns take."""


def due(state: TableState) -> bool:
    """Whether a table's pending deltas have grown enough to be folded."""
    return (
        state.pending_count >= PENDING_DELTAS
        or state.recent_index.postings_count >= PENDING_POSTINGS
        or state.pending_bytes >= PENDING_BYTES
    )


def fold(
    view: TableView, staging: Staging, change: ManifestChange, *, statistics: bool = True
) -> None:
    """Fold all pending deltas of the view's state, and the view's own changes, into ``change``.

    The first rows of a table bring statistics with them, if they are many: none has to be read for that.

    Args:
        view: the table.
        staging: where packs and pages go.
        change: receives everything.
        statistics: whether ``change`` has room for statistics.
    """
    state, overlay = view.state, view.overlay
    recent = as_array(one for one in state.recent if one not in overlay.removed)
    own = overlay.live()
    added = np.sort(np.concatenate([recent, own]))
    gone = np.sort(
        as_array(one for one in state.removed | overlay.removed if one not in state.recent)
    )
    columns = [column.id for column in state.table.columns]
    rows: list[Chunked] = []
    if len(added):
        order, rows = view.fetch(added, columns)
        if not np.array_equal(order, added):
            rows = [reorder(values, np.argsort(order)) for values in rows]
    settle(state, staging, change, added, rows, gone)
    if statistics and state.manifest.rows == 0 and len(added) >= AUTOMATIC_ROWS:
        change.analysis = _first_statistics(state, staging, rows)
    _fold_postings(view, staging, change, added)
    _fold_keys(view, change, rows, added)
    for totals in (state.pending_totals(), overlay.statistics()):
        for index_id, (documents, tokens) in totals.items():
            add_totals(change.statistics, index_id, documents, tokens)
    change.folded = True


def _first_statistics(
    state: TableState, staging: Staging, rows: Sequence[Chunked]
) -> SegmentInfo | None:
    """Statistics of all rows of a table, given by column."""
    table = state.table
    sample = automatic(table, table.indexes, state.keys.value_words)
    if sample is None:
        return None
    places = {column.id: place for place, column in enumerate(table.columns)}
    sample.add([one_array(rows[places[column.id]]) for column in sample.columns])
    return state.statistics.succeed(staging, table, sample.figures())


def settle(
    state: TableState,
    staging: Staging,
    change: ManifestChange,
    added: Ordinals,
    rows: Sequence[Chunked],
    gone: Ordinals,
) -> None:
    """Write new packs for the blocks of ``added`` and clear ``gone`` from the liveness entries.

    Args:
        state: the state to start from.
        staging: where packs go.
        change: receives liveness entries, retired packs and the change in rows.
        added: ascending ordinals of rows to settle.
        rows: their values, one array per column of the table.
        gone: ascending settled ordinals that are no longer live.
    """
    added_blocks, starts = np.unique(added >> BLOCK_BITS, return_index=True)
    bounds = [*starts.tolist(), len(added)]
    gone_blocks = np.unique(gone >> BLOCK_BITS)
    entries = state.settled.entries([*added_blocks.tolist(), *gone_blocks.tolist()])
    types = [(column.id, column.type) for column in state.table.columns]
    change.rows += len(added) - len(gone)
    if not state.settled.live_mask(gone).all() or state.settled.live_mask(added).any():
        raise IntegrityFailure
    for block in gone_blocks.tolist():
        entry = entries[block]
        low = gone[(gone >> BLOCK_BITS) == block] & LOW_MASK
        bitmap = bitmap_without(entry.bitmap, low)
        entries[block] = change.liveness[block] = type(entry)(block, entry.pack, entry.salt, bitmap)
        if not bitmap.any():
            change.retired_packs.add(entry.pack)
    for number, block in enumerate(added_blocks.tolist()):
        here = slice(bounds[number], bounds[number + 1])
        ordinals = added[here]
        values = [column.slice(here.start, here.stop - here.start) for column in rows]
        old = entries.get(block)
        if old is not None and old.bitmap.any():
            kept = (block << BLOCK_BITS) + np.flatnonzero(
                np.unpackbits(old.bitmap, bitorder="little")
            ).astype(np.int64)
            before = state.settled.read(kept, types)
            ordinals = np.concatenate([kept, ordinals])
            places = np.argsort(ordinals)
            ordinals = ordinals[places]
            values = [
                reorder(chunked([*first.chunks, *second.chunks], first.type), places)
                for first, second in zip(before, values, strict=True)
            ]
        if old is not None:
            change.retired_packs.add(old.pack)
        low16 = (ordinals & LOW_MASK).astype(np.uint16)
        arrays = [one_array(column) for column in values]
        change.liveness[block] = staging.pack(block, low16, arrays)


def purge(state: TableState, staging: Staging, change: ManifestChange) -> None:
    """Write the packs that still hold rows which are gone anew without them."""
    settled = state.settled
    columns = [(column.id, column.type) for column in state.table.columns]
    for block in settled.blocks():
        entry = settled.entries([block])[block]
        if not entry.rows or entry.rows == settled.pack_rows(entry):
            continue
        kept = (block << BLOCK_BITS) + np.flatnonzero(
            np.unpackbits(entry.bitmap, bitorder="little")
        ).astype(np.int64)
        values = [one_array(column) for column in settled.read(kept, columns)]
        low = (kept & LOW_MASK).astype(np.uint16)
        change.liveness[block] = staging.pack(block, low, values)
        change.retired_packs.add(entry.pack)


def _fold_postings(
    view: TableView, staging: Staging, change: ManifestChange, live: Ordinals
) -> None:
    state = view.state
    writer = IndexWriter(state.table, state.keys, staging)
    for source in (state.recent_index, view.overlay.index):
        writer.add(keep(batch, live) for batch in source.batches())
        for index_id in source.sorted_indexes():
            kept = keep_entries(index_id, source.entries(index_id), live)
            writer.add((), {index_id: kept})
    change.segments += writer.finish()


def has_dropped_index(table: Table) -> bool:
    """Whether entries of an index that was dropped may still lie in the segments."""
    return table.next_index_id - 1 > len(table.indexes)


def keep(batch: PostingBatch, live: Ordinals) -> PostingBatch:
    """The postings whose ordinal is among ``live``."""
    mask = np.isin(batch.ordinals, live)
    return batch if mask.all() else batch.take(np.flatnonzero(mask))


def keep_entries(index_id: int, entries: SortedEntries, live: Ordinals) -> SortedEntries:
    """The entries whose ordinal is among ``live``; those of a dictionary belong to no row and stay."""
    if is_dictionary(index_id):
        return entries if len(live) else SortedEntries.empty()
    return entries.where(np.isin(entries.ordinals, live))


def _fold_keys(
    view: TableView, change: ManifestChange, rows: Sequence[Chunked], added: Ordinals
) -> None:
    """Release the claims of the pending rows that settle."""
    state = view.state
    pending = np.isin(added, as_array(state.recent))
    if not pending.any():
        return
    labels = state.keys.labels.to_labels(added[pending]).tolist()
    places = {column.id: place for place, column in enumerate(state.table.columns)}
    chosen = np.flatnonzero(pending)
    for index in state.table.unique_indexes:
        arrays = [one_array(reorder(rows[places[number]], chosen)) for number in index.columns]
        types = [state.table.column_by_id(number).type for number in index.columns]
        tags, valid = equality.tags(state.keys.index_tags(index.id), arrays, types)
        for place in np.flatnonzero(valid).tolist():
            change.folded_keys.append((tags[place].tobytes(), labels[place]))


def next_step(state: TableState) -> list[list[SegmentInfo]]:
    """Which segments should be joined now: as much as one step after a commit may merge, smallest first."""
    found: list[list[SegmentInfo]] = []
    groups = merge.choose(state.manifest.segments)
    for group in sorted(groups, key=lambda one: sum(info.postings for info in one)):
        together = [info for one in (*found, group) for info in one]
        if not found or merge.STEP.holds(together):
            found.append(group)
    return found


def crowded(state: TableState) -> bool:
    """Whether large commits, which fold without merging, have left too many segments to read."""
    return any(
        sum(not merge.STEP.full(info) for info in family) > merge.MOST_SEGMENTS
        for family in merge.families(state.manifest.segments)
    )


def join_segments(
    state: TableState,
    group: Sequence[SegmentInfo],
    staging: Staging,
    change: ManifestChange,
    terms: LiveTerms | None = None,
) -> None:
    """Join segments of one kind and index into one; entries of rows that are gone are dropped.

    Segments of an index that was dropped become none.

    Args:
        state: the state to start from.
        group: the segments, at most as much as `merge.MOST` allows: all of them are held in memory.
        staging: where pages go.
        change: receives the new segment and those that it replaces.
        terms: told of every posting list that stays, and by which the entries of a dictionary stay.
    """
    change.retired_segments.update(info.segment for info in group)
    # Everything that tells live rows is read at once, so that no order of entries shows in how it is read.
    state.settled.entries(state.settled.blocks())
    if sum(info.pages for info in group) > ROOMY_PAGES:
        state.settled.forget_columns()
    if group[0].kind == HASHED:
        _join_lists(state, group, staging, change, terms)
    elif index_by_id(state.table, owner(group[0].index)) is not None:
        _join_runs(state, group, staging, change, terms)


def _join_lists(
    state: TableState,
    group: Sequence[SegmentInfo],
    staging: Staging,
    change: ManifestChange,
    terms: LiveTerms | None,
) -> None:
    def seen(lists: EncodedLists) -> None:
        staging.keep_alive()
        if terms is not None:
            terms.mark(lists.words)

    bits = part_bits(sum(info.pages for info in group) * PAGE_USABLE)
    sources = []
    for info in group:
        sources.append(state.segments.hashed_reader(info).scan(bits))
        staging.keep_alive()
    lists = joined(sources, bits, state.settled.live_mask, seen)
    sources.clear()
    if len(lists):
        built = hashed.build(lists, state.keys.hashed, state.table.id, staging.number())
        change.segments.append(staging.segment(built))


def _join_runs(
    state: TableState,
    group: Sequence[SegmentInfo],
    staging: Staging,
    change: ManifestChange,
    terms: LiveTerms | None,
) -> None:
    index_id = group[0].index
    collapse = is_dictionary(index_id)
    runs = []
    for info in group:
        runs.append(state.segments.sorted_reader(info).scan())
        staging.keep_alive()
    width, valued = runs[0].width, any(run.valued for run in runs)

    def chunks() -> Iterator[SortedEntries]:
        live = None if collapse else state.settled.live_mask
        for chunk in merge_runs(runs, live, collapse=collapse):
            staging.keep_alive()
            kept = chunk if terms is None or not collapse else terms.keep(index_id, chunk)
            if len(kept):
                yield kept

    packed = pack(chunks(), width, valued=valued)
    if packed.count:
        change.segments.append(stage_packed(state.table, state.keys, staging, index_id, packed))


class LiveTerms:
    """Which terms of the dictionaries of a table still have a posting list.

    Nine bytes are kept for each term. All dictionaries are read once, whole, before anything else is.
    """

    def __init__(self, state: TableState, dictionaries: Iterable[int]) -> None:
        self._keys = state.keys
        found = [np.zeros(0, dtype=np.uint64)]
        for index_id in dictionaries:
            for reader in state.segments.sorted(index_id):
                found += [self._words(index_id, piece) for piece in reader.pieces()]
        self._known = np.unique(np.concatenate(found))
        self._alive = np.zeros(len(self._known), dtype=np.bool_)
        self.mark(state.recent_index.words())

    def mark(self, words: npt.NDArray[np.uint64]) -> None:
        """Note that these words have a list."""
        if len(self._known):
            places = np.minimum(np.searchsorted(self._known, words), len(self._known) - 1)
            self._alive[places[self._known[places] == words]] = True

    def keep(self, index_id: int, entries: SortedEntries) -> SortedEntries:
        """The entries of one dictionary whose terms have a list."""
        places = np.searchsorted(self._known, self._words(index_id, entries))
        return entries.where(self._alive[places])

    def _words(self, index_id: int, entries: SortedEntries) -> npt.NDArray[np.uint64]:
        terms = cast("list[str]", dictionary.terms_of(entries).to_pylist())
        return keyword.words_for(self._keys.index_words(owner(index_id)), terms)


def alive(rows: NewRows, overlay: TableOverlay) -> npt.NDArray[np.bool_]:
    """Which rows of one statement are still live in the transaction that added them."""
    if len(overlay.places) == sum(len(one.ordinals) for one in overlay.added):
        return np.ones(len(rows.ordinals), dtype=np.bool_)
    return np.fromiter(
        (ordinal in overlay.places for ordinal in rows.ordinals.tolist()),
        dtype=np.bool_,
        count=len(rows.ordinals),
    )
