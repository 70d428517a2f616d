"""Sorted segments: immutable (key, ordinal) entries in order, cut into sealed pages.

A B+-tree in the manner of Graefe and Larson (ICDE 2001, key normalisation), laid out once: data pages,
fence pages over them, and the top fences in the header. Entries and fences compare in encoded key
space, which is 64 or 128 bits of an order-preserving encoding.

    header page  version u16 | zero u16 | top fences u32 | entries u64 | data pages u64 | zero u64 | fences
    data page    entries u16 | stream bytes u16 | zero u32 | first high u64 | low u64 | ordinal u64 | stream
    fence page   fences u16 | zero u16 × 3 | fences
    fence        first high u64 | first low u64 | entries before it u64       (at most 166 a page)

A data page is coded relative to its first entry: for each further entry the LEB128 of its high
difference, its low difference (128-bit keys only; the low half itself when the high one changed), and
the zigzag difference of its ordinal. Repeated and dense keys cost one byte, and so do dense ordinals.

What it leaks. At rest: the number of pages, in 1/16-octave classes. On a query: how many pages a range
covers, snapped outward to aligned groups of 4, and which: a persistent server learns the order of the
pages from many overlapping ranges. Segments of at most 16 pages are read whole and show nothing.
"""

from __future__ import annotations

import os
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import TypeAlias

import numpy as np

from indexes.errors import IntegrityFailure
from indexes.keys import Key, pack_context
from indexes.multimap import varint
from indexes.multimap.arrays import (
    I64,
    U8,
    U64,
    offsets_of,
    order_by,
    put_ranges,
    take_ranges,
)
from indexes.multimap.paging import PageReader, ReadPages, octave, seal_pages, shuffle
from indexes.multimap.segment import BuiltSegment, SegmentInfo
from indexes.seal import PAGE_USABLE, PageSealer

KIND = 2
FANOUT = 166
GROUP = 4
_PAGE_KIND = b"sort"
_VERSION = 1
_DATA_BASE = 32
_TOP_BASE = 32
_FENCE_BASE = 8
_FENCE_BYTES = 24
_LARGEST_GROUP = 256

Bound: TypeAlias = tuple[int, int]
"""An encoded key as (high, low), each in 0 … 2⁶⁴ - 1; low is 0 for 64-bit keys."""

Entries: TypeAlias = tuple[U64, I64]
"""keys uint64[n, 2] and ordinals int64[n]."""


def build(
    keys: U64, ordinals: I64, key: Key, table: int, segment: int, index: int, width: int
) -> BuiltSegment:
    """Sorts entries by (key, ordinal) and lays them out in the pages of a new segment.

    Args:
        keys: uint64[n, 2], high and low halves; low is ignored when the width is 8.
        ordinals: int64[n], not negative.
        key: the table's index key.
        table, segment, index: opaque table number, leased segment number, index id.
        width: bytes of a key, 8 or 16.

    Returns:
        The segment's description and its sealed pages, under a salt that is fresh for every call.

    Raises:
        ValueError: another width, or a negative ordinal.
    """
    if width not in (8, 16):
        raise ValueError("a sorted key has 8 or 16 bytes")
    if len(ordinals) and int(ordinals.min()) < 0:
        raise ValueError("an ordinal is negative")
    keys, ordinals = sort_entries(keys, ordinals, width)
    data, fences = _data_pages(keys, ordinals, width)
    levels = [data]
    while len(fences) > FANOUT:
        page, fences = _fence_pages(fences)
        levels.append(page)
    header = np.zeros((1, PAGE_USABLE), dtype=np.uint8)
    flat = header[0]
    flat[:2].view("<u2")[0] = _VERSION
    flat[4:8].view("<u4")[0] = len(fences)
    flat[8:24].view("<u8")[:] = len(ordinals), len(data)
    top = fences.view(np.uint8).reshape(-1)
    flat[_TOP_BASE : _TOP_BASE + len(top)] = top
    body = np.concatenate(levels)
    info = SegmentInfo(
        segment=segment,
        kind=KIND,
        index=index,
        salt=os.urandom(32),
        pages=octave(1 + len(body)),
        header_pages=1,
        postings=len(ordinals),
        extra=(width, len(data)),
    )
    shuffled = shuffle(_shuffle_key(key, info), info.pages - 1)
    return BuiltSegment(info, seal_pages(_sealer(key, table, info), header, body, shuffled))


def sort_entries(keys: U64, ordinals: I64, width: int) -> Entries:
    """Entries in the order of (key, ordinal); the low halves of 64-bit keys become zero."""
    high, low = keys[:, 0], keys[:, 1]
    if width == 8 or not low.any():
        order = order_by(high, ordinals)
    elif (high == high[0]).all():
        order = order_by(low, ordinals)
    else:
        high_rank, _ = _dense_rank(high)
        low_rank, count = _dense_rank(low)
        order = order_by(high_rank * np.uint64(count) + low_rank, ordinals)
    result = np.zeros((len(ordinals), 2), dtype=np.uint64)
    result[:, 0] = high if order is None else high[order]
    if width == 16:
        result[:, 1] = low if order is None else low[order]
    return result, ordinals if order is None else ordinals[order]


class SortedReader:
    """Reads one sorted segment through a callback that fetches sealed pages.

    The header and the fence pages are kept once they were read. Not for use by several threads at
    once. All methods raise IntegrityFailure when a page was withheld, moved or altered.
    """

    def __init__(self, info: SegmentInfo, key: Key, table: int, read: ReadPages) -> None:
        if info.kind != KIND or len(info.extra) != 2 or info.extra[0] not in (8, 16):
            raise IntegrityFailure
        self._width = int(info.extra[0])
        self._count = int(info.extra[1])
        self._entries = info.postings
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

    def __len__(self) -> int:
        return self._entries

    def range(self, low: Bound | None, high: Bound | None) -> Entries:
        """Entries with low ≤ key ≤ high, ascending; None is no bound on that side."""
        first, last = self._span(low, high)
        if first >= last:
            return _nothing()
        return self._take(first, last, low, high)

    def ordered(
        self, descending: bool, low: Bound | None = None, high: Bound | None = None
    ) -> Iterator[Entries]:
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
                keys, ordinals = self._take(max(start, first), last, low, high)
                if len(ordinals):
                    yield keys[::-1], ordinals[::-1]
                last = stop = start
                groups = min(groups * 2, _LARGEST_GROUP)
            return
        start = first // GROUP * GROUP
        while first < last:
            stop = start + groups
            keys, ordinals = self._take(first, min(stop, last), low, high)
            if len(ordinals):
                yield keys, ordinals
            first = start = stop
            groups = min(groups * 2, _LARGEST_GROUP)

    def all(self) -> Entries:
        """All entries, ascending; reads every page in page order.

        Raises:
            IntegrityFailure: also when entries are out of order, or not as many as declared.
        """
        self._check_header()
        body = self._pages.body_scan()
        keys, ordinals = _decode_pages(body[: self._count], self._width)
        high, low = keys[:, 0], keys[:, 1]
        same_high = high[1:] == high[:-1]
        rising = (high[1:] > high[:-1]) | (same_high & (low[1:] > low[:-1]))
        ties = same_high & (low[1:] == low[:-1]) & (ordinals[1:] >= ordinals[:-1])
        if len(ordinals) != self._entries or not (rising | ties).all():
            raise IntegrityFailure
        return keys, ordinals

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
                count, base = int(raw[:2].view("<u2")[0]), _FENCE_BASE
            expected = min(FANOUT, self._levels[level - 1] - page * FANOUT)
            if count != expected:
                raise IntegrityFailure
            columns = raw[base : base + count * _FENCE_BYTES].view("<u8").reshape(-1, 3).tolist()
            known = _Fences([(h, lo) for h, lo, _ in columns], [before for _, _, before in columns])
            self._fences[level, page] = known
        return known

    def _take(self, first: int, last: int, low: Bound | None, high: Bound | None) -> Entries:
        """Entries between the bounds on data pages first … last - 1, read in whole groups."""
        start = first // GROUP * GROUP
        stop = min(-(-last // GROUP) * GROUP, self._count)
        pages = self._pages.body(np.arange(start, stop, dtype=np.int64))
        keys, ordinals = _decode_pages(pages[first - start : last - start], self._width)
        begin = 0 if low is None else _position(keys, low, after=False)
        end = len(ordinals) if high is None else _position(keys, high, after=True)
        return keys[begin:end], ordinals[begin:end]

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


def _data_pages(keys: U64, ordinals: I64, width: int) -> tuple[U8, U64]:
    """Cuts sorted entries into pages: (uint8[p, 4016], fences uint64[p, 3])."""
    n = len(ordinals)
    if not n:
        return np.zeros((0, PAGE_USABLE), np.uint8), np.zeros((0, 3), np.uint64)
    columns = 2 if width == 8 else 3
    gaps = np.zeros((n, columns), dtype=np.uint64)
    gaps[1:, 0] = keys[1:, 0] - keys[:-1, 0]
    gaps[1:, -1] = varint.zigzag(np.diff(ordinals))
    if columns == 3:
        low = keys[:, 1]
        gaps[1:, 1] = np.where(gaps[1:, 0] == 0, low[1:] - low[:-1], low[1:])
    size = varint.sizes(gaps.reshape(-1)).reshape(n, columns).sum(axis=1)
    used = np.cumsum(size)
    firsts = _cuts(used)
    ends = np.append(firsts[1:], n)
    count = ends - firsts
    lengths = used[ends - 1] - used[firsts]
    further = np.ones(n, dtype=np.bool_)
    further[firsts] = False
    stream, _ = varint.encode(gaps[further].reshape(-1))

    pages = np.zeros((len(firsts), PAGE_USABLE), dtype=np.uint8)
    pages.view("<u2")[:, 0] = count
    pages.view("<u2")[:, 1] = lengths
    whole = pages.view("<u8")
    whole[:, 1:3] = keys[firsts]
    whole[:, 3] = ordinals[firsts]
    starts = np.arange(len(firsts), dtype=np.int64) * PAGE_USABLE + _DATA_BASE
    put_ranges(pages.reshape(-1), starts, stream, lengths)
    fences = np.column_stack((keys[firsts], firsts.astype(np.uint64)))
    return pages, fences


def _cuts(used: I64) -> I64:
    """Where each page starts, given the bytes used up to and including each entry."""
    room = PAGE_USABLE - _DATA_BASE
    firsts, first = [], 0
    while first < len(used):
        firsts.append(first)
        first = int(used.searchsorted(used[first] + room, side="right"))
    return np.array(firsts, dtype=np.int64)


def _fence_pages(fences: U64) -> tuple[U8, U64]:
    """Pages of up to 166 fences, and the fences of those pages."""
    firsts = np.arange(0, len(fences), FANOUT)
    pages = np.zeros((len(firsts), PAGE_USABLE), dtype=np.uint8)
    for page, first in zip(pages, firsts.tolist(), strict=True):
        raw = np.ascontiguousarray(fences[first : first + FANOUT]).view(np.uint8).reshape(-1)
        page[:2].view("<u2")[0] = len(raw) // _FENCE_BYTES
        page[_FENCE_BASE : _FENCE_BASE + len(raw)] = raw
    return pages, fences[firsts]


def _decode_pages(pages: U8, width: int) -> Entries:
    """All entries of consecutive data pages at once."""
    if not len(pages):
        return _nothing()
    columns = 2 if width == 8 else 3
    count = pages.view("<u2")[:, 0].astype(np.int64)
    lengths = pages.view("<u2")[:, 1].astype(np.int64)
    if (count < 1).any() or (lengths > PAGE_USABLE - _DATA_BASE).any():
        raise IntegrityFailure
    starts = np.arange(len(pages), dtype=np.int64) * PAGE_USABLE + _DATA_BASE
    values, _ = varint.decode(take_ranges(pages.reshape(-1), starts, lengths))
    offsets = offsets_of(count)
    n, firsts = int(offsets[-1]), offsets[:-1]
    if len(values) != columns * (n - len(pages)):
        raise IntegrityFailure
    gaps = np.zeros((columns, n), dtype=np.uint64)
    further = np.ones(n, dtype=np.bool_)
    further[firsts] = False
    gaps[:, further] = values.reshape(-1, columns).T
    head = pages.view("<u8")[:, 1:4].astype(np.uint64)
    keys = np.zeros((n, 2), dtype=np.uint64)
    keys[:, 0] = _running(gaps[0], firsts, head[:, 0])
    if columns == 3:
        # The low half starts anew wherever the high one changes.
        fresh = gaps[0] != 0
        fresh[firsts] = True
        gaps[1, firsts] = head[:, 1]
        resets = np.flatnonzero(fresh)
        values = gaps[1, resets]
        gaps[1, resets] = 0
        keys[:, 1] = _running(gaps[1], resets, values)
    steps = varint.unzigzag(gaps[-1]).view(np.uint64)
    ordinals = _running(steps, firsts, head[:, 2]).view(np.int64)
    return keys, ordinals


def _running(gaps: U64, firsts: I64, values: U64) -> U64:
    """Sums of gaps that start anew at `firsts` with `values`; gaps are zero there."""
    total = np.cumsum(gaps)
    return total + np.repeat(values - total[firsts], np.diff(firsts, append=len(gaps)))


def _position(keys: U64, bound: Bound, after: bool) -> int:
    """How many ascending keys are below the bound, or at most the bound when `after`."""
    high, low = np.uint64(bound[0]), np.uint64(bound[1])
    start = int(keys[:, 0].searchsorted(high, side="left"))
    stop = int(keys[:, 0].searchsorted(high, side="right"))
    return start + int(keys[start:stop, 1].searchsorted(low, side="right" if after else "left"))


def _dense_rank(values: U64) -> tuple[U64, int]:
    """The rank of each value among the distinct ones, and how many there are."""
    order = np.argsort(values)
    ascending = values[order]
    ranks = np.empty(len(values), dtype=np.uint64)
    ranks[order] = np.concatenate(([0], np.cumsum(ascending[1:] != ascending[:-1])))
    return ranks, int(ranks.max()) + 1


def _wide(bound: Bound) -> int:
    return bound[0] << 64 | bound[1]


def _nothing() -> Entries:
    return np.zeros((0, 2), dtype=np.uint64), np.zeros(0, dtype=np.int64)


def _shuffle_key(key: Key, info: SegmentInfo) -> Key:
    return key.derive("sorted", "shuffle", info.index, info.salt)


def _sealer(key: Key, table: int, info: SegmentInfo) -> PageSealer:
    aad = pack_context(table, info.segment, KIND, info.index, info.pages)
    return PageSealer(key.derive("sorted", "page", info.index), info.salt, _PAGE_KIND, aad)
