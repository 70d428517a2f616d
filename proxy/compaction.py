"""Merges: folding pending deltas into packs and segments, and joining segments in tiers.

A fold takes every pending delta of one verified state: its rows go into the packs of their blocks, its
postings into new segments, its removals into the liveness bitmaps. A tier merge joins segments and
drops postings of rows that are gone, so that a query meets O(log n) of them. Both only build; the
transaction that swaps the manifest makes them visible, or they are swept.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from indexes.errors import IntegrityFailure
from indexes.methods import equality
from indexes.multimap import hashed, merge, postings
from indexes.multimap import sorted as sorted_segments
from indexes.multimap.batches import SortedEntries
from indexes.multimap.postings import PostingBatch
from indexes.multimap.segment import (
    HASHED,
    BuiltSegment,
    SegmentInfo,
    is_dictionary,
    owner,
)

from .arrow import Chunked, Ordinals, chunked, one_array, reorder
from .catalog import Index, Table
from .execute.view import TableView, as_array
from .keyspace import TableKeys
from .manifest import add_totals
from .overlay import NewRows, TableOverlay
from .settled import BLOCK_BITS, LOW_MASK
from .staging import ManifestChange, Staging, bitmap_without
from .state import TableState
from .statistics.sample import AUTOMATIC_ROWS, automatic

PENDING_DELTAS = 1_024
PENDING_POSTINGS = 64 << 10
PENDING_BYTES = 4 << 20


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
    sources = [state.recent_index, view.overlay.index]
    batches = [keep(batch, live) for source in sources for batch in source.batches()]
    stage_hashed(state, staging, change, [batch for batch in batches if len(batch)])
    index_ids = {one for source in sources for one in source.sorted_indexes()}
    for index_id in sorted(index_ids):
        entries = SortedEntries.join(source.entries(index_id) for source in sources)
        kept = keep_entries(index_id, entries, live)
        stage_sorted(state, staging, change, index_id, kept)


def stage_hashed(
    state: TableState, staging: Staging, change: ManifestChange, batches: Sequence[PostingBatch]
) -> None:
    """Build and stage one hashed segment of these postings, if there are any."""
    if batches:
        lists = postings.encode_batches(batches)
        built = hashed.build(lists, state.keys.hashed, state.table.id, staging.number())
        change.segments.append(staging.segment(built))


def stage_sorted(
    state: TableState,
    staging: Staging,
    change: ManifestChange,
    index_id: int,
    entries: SortedEntries,
) -> None:
    """Build and stage one sorted segment of these entries, if there are any."""
    if index_by_id(state.table, owner(index_id)) is not None and len(entries):
        built = built_sorted(state.table, state.keys, index_id, entries, staging.number())
        change.segments.append(staging.segment(built))


def built_sorted(
    table: Table, keys: TableKeys, index_id: int, entries: SortedEntries, segment: int
) -> BuiltSegment:
    """The segment of these entries of a range index or dictionary of the table.

    Equal entries of a dictionary become one.
    """
    if is_dictionary(index_id):
        entries, width = merge.distinct(entries), 16
    else:
        index = index_by_id(table, index_id)
        if index is None:
            raise ValueError("the index is one of the table's")
        width = key_width(table, index)
    key = keys.sorted_key(index_id)
    return sorted_segments.build(entries, key, table.id, segment, index_id, width)


def index_by_id(table: Table, index_id: int) -> Index | None:
    """The index with that id, or None once it was dropped."""
    return next((index for index in table.indexes if index.id == index_id), None)


def has_dropped_index(table: Table) -> bool:
    """Whether entries of an index that was dropped may still lie in the segments."""
    return table.next_index_id - 1 > len(table.indexes)


def key_width(table: Table, index: Index) -> int:
    """Bytes of an encoded key of a range index: 8 or 16; 16 for several columns, whatever they are."""
    if len(index.columns) > 1:
        return 16
    width = table.column_by_id(index.columns[0]).type.width
    if width is None:
        raise ValueError("the type of a range index has an order")
    return width


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


def tier_groups(state: TableState) -> list[list[SegmentInfo]]:
    """Which segments should be joined now."""
    return merge.choose(list(state.manifest.segments))


def join_segments(
    state: TableState, group: Sequence[SegmentInfo], staging: Staging, change: ManifestChange
) -> None:
    """Join segments of one kind into one; postings of rows that are gone are dropped."""
    change.retired_segments.update(info.segment for info in group)
    if group[0].kind == HASHED:
        lists = [state.segments.hashed_reader(info).all_lists() for info in group]
        joined = postings.merge(lists, state.settled.live_mask)
        if len(joined):
            built = hashed.build(joined, state.keys.hashed, state.table.id, staging.number())
            change.segments.append(staging.segment(built))
        return
    entries = [state.segments.sorted_reader(info).all() for info in group]
    index_id = group[0].index
    live = None if is_dictionary(index_id) else state.settled.live_mask
    stage_sorted(state, staging, change, index_id, merge.merge_entries(entries, live))


def alive(rows: NewRows, overlay: TableOverlay) -> npt.NDArray[np.bool_]:
    """Which rows of one statement are still live in the transaction that added them."""
    if len(overlay.places) == sum(len(one.ordinals) for one in overlay.added):
        return np.ones(len(rows.ordinals), dtype=np.bool_)
    return np.fromiter(
        (ordinal in overlay.places for ordinal in rows.ordinals.tolist()),
        dtype=np.bool_,
        count=len(rows.ordinals),
    )
