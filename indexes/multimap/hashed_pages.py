"""The plain pages of a hashed segment, made one by one as they are sealed.

`hashed` says what is on which page. A segment's lists stay as they are encoded, and a page is put together
when its turn comes, so a build takes little more memory than the lists and a few bytes for each.

What it leaks: nothing by itself; `hashed` states what the pages read show.
"""

from __future__ import annotations

import numpy as np

from indexes.keys import Key
from indexes.multimap import postings
from indexes.multimap.arrays import I64, U8, offsets_of, put_ranges, range_index, take_ranges
from indexes.multimap.batches import EncodedLists
from indexes.multimap.entries import (
    FIXED_BYTES,
    HEAD_BYTES,
    HEAD_MARK,
    INLINE_BYTES,
    Heads,
    write_blocks,
)
from indexes.multimap.placement import (
    BUCKET_BASE,
    HEADER_BYTES,
    place_entries,
    place_long,
)
from indexes.seal import PAGE_USABLE

VERSION = 1
_CHUNK = 1 << 17
"""Lists that are looked at together."""


class HashedLayout:
    """Where everything in a new segment is.

    Args:
        lists: words of the whole table, ascending and unique.
        key: the table's index key.

    Raises:
        ValueError: a list of 2³² postings or bytes.
    """

    def __init__(self, lists: EncodedLists, key: Key) -> None:
        self._lists = lists
        self._marks = np.empty(len(lists), dtype=np.uint8)
        self.postings = 0
        """Postings of all lists."""
        found = [(np.zeros(0, dtype=np.int64),) * 3]
        for first in range(0, len(lists), _CHUNK):
            part = lists.between(first, min(first + _CHUNK, len(lists)))
            counts, sizes = postings.counts(part), np.diff(part.offsets)
            long = np.flatnonzero(sizes > INLINE_BYTES)
            self.postings += int(counts.sum())
            self._marks[first : first + len(part)] = np.minimum(sizes, HEAD_MARK)
            self._marks[long + first] = HEAD_MARK
            found.append((long + first, sizes[long], counts[long]))
        self._long, sizes, frequencies = map(np.concatenate, zip(*found, strict=True))
        cost = self._marks + np.uint8(FIXED_BYTES)
        cost[self._long] = HEAD_BYTES + FIXED_BYTES
        self._place = place = place_entries(cost, lists.words, key)
        self._firsts = offsets_of(place.counts)
        pages, offsets, used = place_long(sizes, place.buckets)
        self.used = place.buckets + used
        """Body pages that are no dummies."""
        self._heads = Heads(frequencies, sizes, pages, offsets).encode()
        order = np.argsort(pages, kind="stable")
        starts = lists.offsets[self._long[order]]
        self._outside = pages[order], offsets[order], starts, sizes[order]

    @property
    def salt(self) -> bytes:
        """The salt under which entries were placed."""
        return self._place.salt

    @property
    def buckets(self) -> int:
        """How many bucket pages there are; they are the first logical ones."""
        return self._place.buckets

    def header(self) -> U8:
        """The header pages, uint8[h, 4016]."""
        place = self._place
        pages = np.zeros((place.header_pages, PAGE_USABLE), dtype=np.uint8)
        flat = pages.reshape(-1)
        flat[:2].view("<u2")[0] = VERSION
        flat[4:8].view("<u4")[0] = len(place.stash)
        flat[8:24].view("<u8")[:] = len(self._lists), self.postings
        self._write(flat, np.array([HEADER_BYTES]), np.array([len(place.stash)]), place.stash)
        return pages

    def pages(self, logical: I64) -> U8:
        """The body pages with these logical numbers, all distinct: uint8[n, 4016]."""
        pages = np.zeros((len(logical), PAGE_USABLE), dtype=np.uint8)
        flat = pages.reshape(-1)
        inside = np.flatnonzero(logical < self.buckets)
        buckets = logical[inside]
        counts = self._place.counts[buckets]
        pages.view("<u2")[inside, 0] = counts
        entries = self._place.kept[range_index(self._firsts[buckets], counts)]
        self._write(flat, inside * PAGE_USABLE + BUCKET_BASE, counts, entries.astype(np.int64))
        outside = np.flatnonzero(logical >= self.buckets)
        self._write_long(flat, outside, logical[outside])
        return pages

    def _write(self, target: U8, bases: I64, counts: I64, entries: I64) -> None:
        """Writes blocks of entries, one block after another in `entries`."""
        marks = self._marks[entries]
        headed = marks == HEAD_MARK
        sizes = np.where(headed, HEAD_BYTES, marks).astype(np.int64)
        starts = offsets_of(sizes)[:-1]
        payload = np.empty(int(sizes.sum()), dtype=np.uint8)
        short, long = np.flatnonzero(~headed), np.flatnonzero(headed)
        data = take_ranges(self._lists.data, self._lists.offsets[entries[short]], sizes[short])
        put_ranges(payload, starts[short], data, sizes[short])
        at = np.searchsorted(self._long, entries[long]) * HEAD_BYTES
        put_ranges(payload, starts[long], take_ranges(self._heads, at, sizes[long]), sizes[long])
        write_blocks(target, bases, counts, self._lists.words[entries], marks, payload)

    def _write_long(self, target: U8, places: I64, logical: I64) -> None:
        """Writes lists on slot and chain pages; page `logical[i]` lies at place `places[i]`."""
        pages, offsets, starts, sizes = self._outside
        first, last = (np.searchsorted(pages, logical, side=side) for side in ("left", "right"))
        # A page on which no list begins is a further page of a chain; so is the first page of one.
        whole = first < last
        whole[whole] = sizes[first[whole]] <= PAGE_USABLE
        each = (last - first)[whole]
        lists = range_index(first[whole], each)
        data = take_ranges(self._lists.data, starts[lists], sizes[lists])
        bases = np.repeat(places[whole] * PAGE_USABLE, each) + offsets[lists]
        put_ranges(target, bases, data, sizes[lists])
        for place in np.flatnonzero(~whole).tolist():
            chain = int(last[place]) - 1
            done = (int(logical[place]) - int(pages[chain])) * PAGE_USABLE
            count = min(PAGE_USABLE, max(int(sizes[chain]) - done, 0))
            start, base = int(starts[chain]) + done, int(places[place]) * PAGE_USABLE
            target[base : base + count] = self._lists.data[start : start + count]
