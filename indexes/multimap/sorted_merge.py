"""Merging runs of sorted entries in bounded memory.

A run is the data pages of a segment, or of entries that are to become one, packed and in order. A merge
goes over all runs together from key to key and decodes a few hundred pages at a time. Pages are in memory by
then: a segment is read in the order of its page numbers before its entries are looked at, so that a store
learns no more than from any full scan.

What it leaks: nothing; these are values in the memory of the key holder.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from indexes.errors import IntegrityFailure
from indexes.multimap.arrays import I64, U64
from indexes.multimap.batches import Live, SortedEntries
from indexes.multimap.merge import distinct
from indexes.multimap.paging import PageSpool
from indexes.multimap.sorted_pages import (
    DATA_BASE,
    Bound,
    decode_pages,
    entries_below,
    in_order,
    sort_entries,
)

CHUNK_PAGES = 256
"""Pages that are decoded together; with those that more than one chunk needs, one more for each run."""

CHUNK_ENTRIES = 1 << 18
"""Entries that are decoded together, for pages may hold two thousand each."""


@dataclass(frozen=True, slots=True)
class SortedRun:
    """Entries in order, packed.

    Attributes:
        pages: data pages, in order; a merge frees them as it goes.
        count: how many entries they must hold.
        width: bytes of a key.
        valued: whether entries have values.
    """

    pages: PageSpool
    count: int
    width: int
    valued: bool


def merge_runs(
    runs: Sequence[SortedRun], live: Live | None = None, *, collapse: bool = False
) -> Iterator[SortedEntries]:
    """The live entries of all runs in order, chunk by chunk.

    Args:
        runs: of one width; each is used up.
        live: which ordinals to keep; None keeps everything.
        collapse: whether equal (key, value) entries become one, as those of a dictionary do.

    Raises:
        IntegrityFailure: a page is malformed, or the entries of a run are out of order or not as many as
            they must be.
    """
    runs = [run for run in runs if run.pages.count]
    cursors = [_Cursor(run) for run in runs]
    for stops, bound in _plan(runs):
        parts = [cursor.until(stop, bound) for cursor, stop in zip(cursors, stops, strict=True)]
        if live is not None:
            parts = [part.where(live(part.ordinals)) for part in parts]
        joined = SortedEntries.join(parts)
        if collapse:
            joined = distinct(joined)
        elif len(joined):
            joined = sort_entries(joined, runs[0].width)
        if len(joined):
            yield joined
    if any(cursor.count != run.count for cursor, run in zip(cursors, runs, strict=True)):
        raise IntegrityFailure


def _plan(runs: Sequence[SortedRun]) -> Iterator[tuple[list[int], tuple[Bound, int] | None]]:
    """Where to cut: the page of each run before which every entry's page begins, and the first entry beyond.

    Cuts are first entries of pages, so no page has to be looked at to find them.
    """
    if not runs:
        return
    heads = [run.pages.heads(DATA_BASE) for run in runs]
    source = np.repeat(np.arange(len(runs)), [len(one) for one in heads])
    joined = np.concatenate(heads)
    counts = np.ascontiguousarray(joined[:, :2]).view("<u2")[:, 0].astype(np.int64)
    firsts: U64 = np.ascontiguousarray(joined[:, 8:DATA_BASE]).view("<u8").astype(np.uint64)
    order = np.lexsort((firsts[:, 2], firsts[:, 1], firsts[:, 0]))
    source, firsts = source[order], firsts[order]
    weight = np.maximum(counts[order], CHUNK_ENTRIES // CHUNK_PAGES)
    chunk = np.cumsum(weight) // CHUNK_ENTRIES
    # A cut falls only between different entries.
    fresh = np.ones(len(firsts), dtype=np.bool_)
    fresh[1:] = (firsts[1:] != firsts[:-1]).any(axis=1)
    begins: I64 = np.flatnonzero(fresh)
    cuts = begins[np.flatnonzero(np.diff(chunk[begins])) + 1]
    pages = [np.flatnonzero(source == one) for one in range(len(runs))]
    for cut in cuts.tolist():
        high, low, ordinal = firsts[cut].tolist()
        stops = [int(np.searchsorted(places, cut)) for places in pages]
        yield stops, ((high, low), ordinal)
    yield [len(places) for places in pages], None


class _Cursor:
    """A place in one run."""

    def __init__(self, run: SortedRun) -> None:
        self._run = run
        self._page = 0
        self._rest = SortedEntries.empty()
        self.count = 0
        """Entries decoded so far."""

    def until(self, stop: int, bound: tuple[Bound, int] | None) -> SortedEntries:
        """The next entries that come before `bound`, all of which begin on pages before `stop`."""
        run = self._run
        pages = run.pages.take(np.arange(self._page, stop, dtype=np.int64))
        entries = decode_pages(pages, run.width, valued=run.valued)
        run.pages.forget(stop)
        self._page, self.count = stop, self.count + len(entries)
        joined = SortedEntries.join([self._rest, entries])
        if not in_order(joined):
            raise IntegrityFailure
        split = len(joined) if bound is None else entries_below(joined, *bound)
        self._rest = joined.take(np.arange(split, len(joined), dtype=np.int64))
        return joined.between(0, split)
