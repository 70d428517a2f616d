"""Sorted segments: immutable (key, ordinal, value) entries in order, cut into sealed pages.

A B+-tree in the manner of Graefe and Larson (ICDE 2001, key normalisation), laid out once: data pages,
fence pages over them, and the top fences in the header. Entries and fences compare in encoded key
space, which is 64 or 128 bits of an order-preserving encoding.

    header page  version u16 | zero u16 | top fences u32 | entries u64 | data pages u64 | zero u64 | fences

Data and fence pages are laid out in `sorted_pages`.

What it leaks. At rest: the number of pages, in 1/16-octave classes. On a query: how many pages a range
covers, snapped outward to aligned groups of 4, and which: a persistent server learns the order of the
pages from many overlapping ranges. Segments of at most 16 pages are read whole and show nothing.
"""

from __future__ import annotations

import os
from bisect import bisect_left, bisect_right
from collections.abc import Iterator

import numpy as np

from indexes.errors import IntegrityFailure
from indexes.keys import Key, pack_context
from indexes.multimap.batches import SortedEntries
from indexes.multimap.paging import (
    PageReader,
    PageSpool,
    ReadPages,
    octave,
    seal_made,
    shuffle,
)
from indexes.multimap.segment import SORTED, BuiltSegment, SegmentInfo
from indexes.multimap.sorted_merge import SortedRun
from indexes.multimap.sorted_pages import (
    FANOUT,
    FENCE_BASE,
    FENCE_BYTES,
    Bound,
    PackedEntries,
    decode_pages,
    fence_pages,
    in_order,
    pack,
    position,
    sort_entries,
)
from indexes.seal import PAGE_USABLE, PageSealer

GROUP = 4
_PAGE_KIND = b"sort"
_VERSION = 1
_TOP_BASE = 32
_LARGEST_GROUP = 256


def build(
    entries: SortedEntries, key: Key, table: int, segment: int, index: int, width: int
) -> BuiltSegment:
    """Sorts entries by (key, ordinal) and lays them out in the pages of a new segment.

    Args:
        entries: in any order; the low halves of their keys are ignored when the width is 8.
        key: the table's index key.
        table: opaque table number.
        segment: leased segment number.
        index: index id.
        width: bytes of a key, 8 or 16.

    Returns:
        The segment's description and its sealed pages, under a salt that is fresh for every call.

    Raises:
        ValueError: another width, or a negative ordinal.
        EncodingRefused: a value of more than 2,048 bytes.
    """
    if width not in (8, 16):
        raise ValueError("a sorted key has 8 or 16 bytes")
    if len(entries) and int(entries.ordinals.min()) < 0:
        raise ValueError("an ordinal is negative")
    valued = entries.values is not None
    packed = pack([sort_entries(entries, width)], width, valued=valued)
    return seal(packed, key, table, segment, index)


def seal(packed: PackedEntries, key: Key, table: int, segment: int, index: int) -> BuiltSegment:
    """A new segment of entries that are packed already; the arguments are those of `build`."""
    fences, spool = packed.fences, packed.pages
    while len(fences) > FANOUT:
        pages, fences = fence_pages(fences)
        spool.add(pages)
    header = np.zeros((1, PAGE_USABLE), dtype=np.uint8)
    flat = header[0]
    flat[:2].view("<u2")[0] = _VERSION
    flat[4:8].view("<u4")[0] = len(fences)
    flat[8:24].view("<u8")[:] = packed.count, len(packed.fences)
    top = fences.view(np.uint8).reshape(-1)
    flat[_TOP_BASE : _TOP_BASE + len(top)] = top
    extra = packed.width, len(packed.fences)
    info = SegmentInfo(
        segment=segment,
        kind=SORTED,
        index=index,
        salt=os.urandom(32),
        pages=octave(1 + spool.count),
        header_pages=1,
        postings=packed.count,
        extra=(*extra, 1) if packed.valued else extra,
    )
    shuffled = shuffle(_shuffle_key(key, info), info.pages - 1)
    sealer = _sealer(key, table, info)
    return BuiltSegment(info, seal_made(sealer, header, spool.count, spool.take, shuffled))


class SortedReader:
    """Reads one sorted segment through a callback that fetches sealed pages.

    The header and the fence pages are kept once they were read. Not for use by several threads at
    once. All methods raise IntegrityFailure when a page was withheld, moved or altered.

    Attributes:
        salt: 32 random bytes that no other segment has, by which to remember what was read.
    """

    def __init__(self, info: SegmentInfo, key: Key, table: int, read: ReadPages) -> None:
        if info.kind != SORTED or len(info.extra) < 2 or info.extra[0] not in (8, 16):
            raise IntegrityFailure
        if info.extra[2:] not in ((), (1,)):
            raise IntegrityFailure
        self._width = int(info.extra[0])
        self._valued = len(info.extra) == 3
        self._count = int(info.extra[1])
        self._entries = info.postings
        self.salt = info.salt
        self._pages = PageReader(info, _sealer(key, table, info), _shuffle_key(key, info), read)
        # Pages of each level, from the data upward to the level whose fences are in the header.
        self._levels = [self._count]
        while self._levels[-1] > FANOUT:
            self._levels.append(-(-self._levels[-1] // FANOUT))
        if sum(self._levels) > self._pages.body_pages:
            raise IntegrityFailure
        self._fences: dict[tuple[int, int], _Fences] = {}

    @property
    def pages_read(self) -> int:
        """Sealed pages fetched so far, header and fences included."""
        return self._pages.pages_read

    @property
    def data_bytes(self) -> int:
        """Bytes of all data pages, so at least those of all values."""
        return self._count * PAGE_USABLE

    def __len__(self) -> int:
        return self._entries

    def range(self, low: Bound | None, high: Bound | None) -> SortedEntries:
        """Entries with low ≤ key ≤ high, ascending; None is no bound on that side."""
        first, last = self._span(low, high)
        if first >= last:
            return SortedEntries.empty()
        return self._take(first, last, low, high)

    def ordered(
        self, descending: bool, low: Bound | None = None, high: Bound | None = None
    ) -> Iterator[SortedEntries]:
        """The entries of `range` in batches that grow geometrically: 4, 8, 16 … 256 pages.

        Batches, and the entries within them, are in the asked order, so a caller that needs the
        first k stops early; entries of one key may go on in the next batch.
        """
        first, last = self._span(low, high)
        groups = GROUP
        if descending:
            stop = -(-last // GROUP) * GROUP
            while first < last:
                start = max(stop - groups, first // GROUP * GROUP)
                part = self._take(max(start, first), last, low, high)
                if len(part):
                    yield part.take(np.arange(len(part), dtype=np.int64)[::-1])
                last = stop = start
                groups = min(groups * 2, _LARGEST_GROUP)
            return
        start = first // GROUP * GROUP
        while first < last:
            stop = start + groups
            part = self._take(first, min(stop, last), low, high)
            if len(part):
                yield part
            first = start = stop
            groups = min(groups * 2, _LARGEST_GROUP)

    def all(self) -> SortedEntries:
        """All entries, ascending; reads every page in page order.

        Raises:
            IntegrityFailure: also when entries are out of order, or not as many as declared.
        """
        run = self.scan()
        pages = run.pages.take(np.arange(self._count, dtype=np.int64))
        entries = decode_pages(pages, self._width, valued=self._valued)
        if len(entries) != self._entries or not in_order(entries):
            raise IntegrityFailure
        return entries

    def scan(self) -> SortedRun:
        """All entries as they are packed, for merges; reads every page in page order.

        The order of the pages read says nothing of the order of entries, as that of a merge going from
        key to key would.
        """
        self._check_header()
        spool = PageSpool(self._count)
        for logical, pages in self._pages.body_pieces():
            inside = np.flatnonzero(logical < self._count)
            spool.put(logical[inside], pages[inside])
        return SortedRun(spool, self._entries, self._width, self._valued)

    def pieces(self) -> Iterator[SortedEntries]:
        """All entries in no order, up to 1 MiB of pages at a time; reads every page in page order.

        Raises:
            IntegrityFailure: also, at the end, when there are not as many entries as declared.
        """
        self._check_header()
        count = 0
        for logical, pages in self._pages.body_pieces():
            part = decode_pages(pages[logical < self._count], self._width, valued=self._valued)
            count += len(part)
            yield part
        if count != self._entries:
            raise IntegrityFailure

    def estimate(self, low: Bound | None, high: Bound | None) -> int:
        """About how many entries `range` would return, from the fences alone."""
        first, last = self._span(low, high)
        if first >= last:
            return 0
        start = 0.0 if low is None else self._rank(low, after=False)
        stop = float(self._entries) if high is None else self._rank(high, after=True)
        return max(round(stop - start), 1)

    def _span(self, low: Bound | None, high: Bound | None) -> tuple[int, int]:
        """Data pages first … last - 1 that may hold keys between the bounds."""
        self._check_header()
        if low is not None and high is not None and low > high:
            return 0, 0
        # The page before the first one that starts at or after `low` may end with it.
        first = 0 if low is None else max(self._pages_before(low, after=False) - 1, 0)
        last = self._count if high is None else self._pages_before(high, after=True)
        return first, last

    def _pages_before(self, bound: Bound, after: bool) -> int:
        """Data pages whose first key is below the bound, or at most the bound when `after`."""
        cut = bisect_right if after else bisect_left
        page = 0
        for level in range(len(self._levels), 0, -1):
            inside = cut(self._fence_page(level, page).keys, bound)
            if not inside:
                # Only the leftmost path can come here: parents promise a first key below the bound.
                return page * FANOUT
            page = page * FANOUT + inside - 1
        return page + 1

    def _rank(self, bound: Bound, after: bool) -> float:
        """Estimated entries below the bound, interpolated between the fences around it."""
        pages = self._pages_before(bound, after)
        if pages == 0:
            return 0.0
        key, before = self._fence(pages - 1)
        if pages == self._count:
            return (before + self._entries) / 2
        next_key, next_before = self._fence(pages)
        span = _wide(next_key) - _wide(key)
        share = (_wide(bound) - _wide(key)) / span if span else 0.5
        return before + (next_before - before) * min(share, 1.0)

    def _fence(self, data_page: int) -> tuple[Bound, int]:
        page = self._fence_page(1, data_page // FANOUT if len(self._levels) > 1 else 0)
        at = data_page % FANOUT if len(self._levels) > 1 else data_page
        return page.keys[at], page.before[at]

    def _fence_page(self, level: int, page: int) -> _Fences:
        """Fences of page number `page` of a level; the highest level is in the header."""
        known = self._fences.get((level, page))
        if known is None:
            if level == len(self._levels):
                count = int(self._pages.header()[4:8].view("<u4")[0])
                raw, base = self._pages.header(), _TOP_BASE
            else:
                number = sum(self._levels[:level]) + page
                raw = self._pages.body(np.array([number], dtype=np.int64))[0]
                count, base = int(raw[:2].view("<u2")[0]), FENCE_BASE
            expected = min(FANOUT, self._levels[level - 1] - page * FANOUT)
            if count != expected:
                raise IntegrityFailure
            columns = raw[base : base + count * FENCE_BYTES].view("<u8").reshape(-1, 3).tolist()
            known = _Fences([(h, lo) for h, lo, _ in columns], [before for _, _, before in columns])
            self._fences[level, page] = known
        return known

    def _take(self, first: int, last: int, low: Bound | None, high: Bound | None) -> SortedEntries:
        """Entries between the bounds on data pages first … last - 1, read in whole groups."""
        start = first // GROUP * GROUP
        stop = min(-(-last // GROUP) * GROUP, self._count)
        pages = self._pages.body(np.arange(start, stop, dtype=np.int64))
        inside = pages[first - start : last - start]
        entries = decode_pages(inside, self._width, valued=self._valued)
        begin = 0 if low is None else position(entries.keys, low, after=False)
        end = len(entries) if high is None else position(entries.keys, high, after=True)
        return entries.between(begin, max(begin, end))

    def _check_header(self) -> None:
        header = self._pages.header()
        if int(header[:2].view("<u2")[0]) != _VERSION:
            raise IntegrityFailure
        if header[8:24].view("<u8").tolist() != [self._entries, self._count]:
            raise IntegrityFailure


class _Fences:
    """Fences of one page: first keys, and the entries before each."""

    __slots__ = ("before", "keys")

    def __init__(self, keys: list[Bound], before: list[int]) -> None:
        self.keys = keys
        self.before = before


def _wide(bound: Bound) -> int:
    return bound[0] << 64 | bound[1]


def _shuffle_key(key: Key, info: SegmentInfo) -> Key:
    return key.derive("sorted", "shuffle", info.index, info.salt)


def _sealer(key: Key, table: int, info: SegmentInfo) -> PageSealer:
    aad = pack_context(table, info.segment, SORTED, info.index, info.pages)
    return PageSealer(key.derive("sorted", "page", info.index), info.salt, _PAGE_KIND, aad)
