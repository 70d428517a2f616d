"""The pages of a sorted segment: entries in order, and fences over pages.

    data page    entries u16 | stream bytes u16 | first value's bytes u16 | values' bytes u16 |
                 first high u64 | low u64 | ordinal u64 | stream | values
    fence page   fences u16 | zero u16[3] | fences
    fence        first high u64 | first low u64 | entries before it u64       (at most 166 a page)

A data page is coded relative to its first entry: for each further entry the LEB128 of its high
difference, its low difference (128-bit keys only; the low half itself when the high one changed), the
zigzag difference of its ordinal, and the bytes of its value (segments with values only). Repeated and
dense keys cost one byte, and so do dense ordinals. The values follow one after another.

What it leaks: nothing by itself; the number of pages depends on how well the entries code.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from indexes.errors import IntegrityFailure
from indexes.multimap import varint
from indexes.multimap.arrays import I64, U8, U64, offsets_of, order_by, put_ranges, take_ranges
from indexes.multimap.batches import MAX_VALUE, Ragged, SortedEntries
from indexes.multimap.paging import PageSpool
from indexes.seal import PAGE_USABLE

_AT_ONCE = 1 << 18

FANOUT = 166
"""Most fences on a page, and in the header."""

FENCE_BASE = 8
FENCE_BYTES = 24
DATA_BASE = 32
"""Bytes of a data page before its stream: what it says of its first entry."""

Bound: TypeAlias = tuple[int, int]
"""An encoded key as (high, low), each in 0 … 2⁶⁴ - 1; low is 0 for 64-bit keys."""


def sort_entries(entries: SortedEntries, width: int) -> SortedEntries:
    """Entries in the order of (key, ordinal); the low halves of 64-bit keys become zero."""
    keys, ordinals, values = entries.keys, entries.ordinals, entries.values
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
    if order is None:
        return SortedEntries(result, ordinals, values)
    return SortedEntries(result, ordinals[order], None if values is None else values.take(order))


def data_pages(entries: SortedEntries, width: int) -> tuple[U8, U64]:
    """Cuts sorted entries into pages: (uint8[p, 4016], fences uint64[p, 3]).

    Raises:
        EncodingRefused: a value of more than 2,048 bytes.
    """
    keys, ordinals, values = entries.keys, entries.ordinals, entries.values
    n = len(ordinals)
    if not n:
        return np.zeros((0, PAGE_USABLE), np.uint8), np.zeros((0, 3), np.uint64)
    key_columns = 1 if width == 8 else 2
    columns = key_columns + (1 if values is None else 2)
    gaps = np.zeros((n, columns), dtype=np.uint64)
    gaps[1:, 0] = keys[1:, 0] - keys[:-1, 0]
    gaps[1:, key_columns] = varint.zigzag(np.diff(ordinals))
    if key_columns == 2:
        low = keys[:, 1]
        gaps[1:, 1] = np.where(gaps[1:, 0] == 0, low[1:] - low[:-1], low[1:])
    value_sizes = np.zeros(n, dtype=np.int64)
    if values is not None:
        values.require_fitting()
        value_sizes = values.sizes
        gaps[:, -1] = value_sizes
    size = varint.sizes(gaps.reshape(-1)).reshape(n, columns).sum(axis=1)
    used = np.cumsum(size)
    firsts = _cuts(used, offsets_of(value_sizes))
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
    starts = np.arange(len(firsts), dtype=np.int64) * PAGE_USABLE + DATA_BASE
    put_ranges(pages.reshape(-1), starts, stream, lengths)
    if values is not None:
        held = values.offsets[ends] - values.offsets[firsts]
        pages.view("<u2")[:, 2] = value_sizes[firsts]
        pages.view("<u2")[:, 3] = held
        put_ranges(pages.reshape(-1), starts + lengths, values.flat, held)
    fences = np.column_stack((keys[firsts], firsts.astype(np.uint64)))
    return pages, fences


@dataclass(frozen=True, slots=True)
class PackedEntries:
    """Sorted entries as plain data pages.

    Attributes:
        pages: the data pages in order.
        fences: uint64[p, 3], the fence of each page.
        count: how many entries there are.
        width: bytes of a key, 8 or 16.
        valued: whether they have values.
    """

    pages: PageSpool
    fences: U64
    count: int
    width: int
    valued: bool


def pack(chunks: Iterable[SortedEntries], width: int, *, valued: bool) -> PackedEntries:
    """Packs entries that come in order, cutting them into pages as if all came at once.

    Raises:
        EncodingRefused: a value of more than 2,048 bytes.
    """
    spool, fences = PageSpool(), [np.zeros((0, 3), dtype=np.uint64)]
    # The last page may have room for entries that are to come, so it is cut anew with them.
    count, rest = 0, SortedEntries.empty()
    for chunk in chunks:
        for first in range(0, len(chunk), _AT_ONCE):
            part = chunk.between(first, min(first + _AT_ONCE, len(chunk)))
            if valued and part.values is None:
                part = SortedEntries(part.keys, part.ordinals, Ragged.empty(len(part)))
            entries = SortedEntries.join([rest, part])
            pages, found = data_pages(entries, width)
            spool.add(pages[:-1].copy())
            last = int(found[-1, 2])
            found[:, 2] += np.uint64(count)
            fences.append(found[:-1])
            count += last
            rest = entries.take(np.arange(last, len(entries), dtype=np.int64))
    pages, found = data_pages(rest, width)
    found[:, 2] += np.uint64(count)
    spool.add(pages)
    joined = np.concatenate([*fences, found])
    return PackedEntries(spool, joined, count + len(rest), width, valued)


def _cuts(used: I64, values: I64) -> I64:
    """Where each page starts.

    Args:
        used: int64[n], bytes of the stream up to and including each entry. The first entry of a page
            is in its head, so it has no bytes in the stream.
        values: int64[n + 1], bytes of the values before each entry.
    """
    room = PAGE_USABLE - DATA_BASE
    both = used + values[1:]
    firsts, first = [], 0
    while first < len(used):
        firsts.append(first)
        limit = used[first] + values[first] + room
        first = int(both.searchsorted(limit, side="right"))
    return np.array(firsts, dtype=np.int64)


def fence_pages(fences: U64) -> tuple[U8, U64]:
    """Pages of up to 166 fences, and the fences of those pages."""
    firsts = np.arange(0, len(fences), FANOUT)
    pages = np.zeros((len(firsts), PAGE_USABLE), dtype=np.uint8)
    for page, first in zip(pages, firsts.tolist(), strict=True):
        raw = np.ascontiguousarray(fences[first : first + FANOUT]).view(np.uint8).reshape(-1)
        page[:2].view("<u2")[0] = len(raw) // FENCE_BYTES
        page[FENCE_BASE : FENCE_BASE + len(raw)] = raw
    return pages, fences[firsts]


def decode_pages(pages: U8, width: int, *, valued: bool = False) -> SortedEntries:
    """All entries of consecutive data pages at once; `valued` says whether they have values."""
    if not len(pages):
        return SortedEntries.empty()
    key_columns = 1 if width == 8 else 2
    columns = key_columns + (2 if valued else 1)
    heads = pages.view("<u2")[:, :4].astype(np.int64)
    count, lengths, held = heads[:, 0], heads[:, 1], heads[:, 3]
    if (count < 1).any() or (lengths + held > PAGE_USABLE - DATA_BASE).any():
        raise IntegrityFailure
    starts = np.arange(len(pages), dtype=np.int64) * PAGE_USABLE + DATA_BASE
    stream, _ = varint.decode(take_ranges(pages.reshape(-1), starts, lengths))
    offsets = offsets_of(count)
    n, firsts = int(offsets[-1]), offsets[:-1]
    if len(stream) != columns * (n - len(pages)):
        raise IntegrityFailure
    gaps = np.zeros((columns, n), dtype=np.uint64)
    further = np.ones(n, dtype=np.bool_)
    further[firsts] = False
    gaps[:, further] = stream.reshape(-1, columns).T
    head = pages.view("<u8")[:, 1:4].astype(np.uint64)
    keys = np.zeros((n, 2), dtype=np.uint64)
    keys[:, 0] = _running(gaps[0], firsts, head[:, 0])
    if key_columns == 2:
        # The low half starts anew wherever the high one changes.
        fresh = gaps[0] != 0
        fresh[firsts] = True
        gaps[1, firsts] = head[:, 1]
        resets = np.flatnonzero(fresh)
        lows = gaps[1, resets]
        gaps[1, resets] = 0
        keys[:, 1] = _running(gaps[1], resets, lows)
    steps = varint.unzigzag(gaps[key_columns]).view(np.uint64)
    ordinals = _running(steps, firsts, head[:, 2]).view(np.int64)
    if not valued:
        return SortedEntries(keys, ordinals)
    gaps[-1, firsts] = heads[:, 2]
    if int(gaps[-1].max()) > MAX_VALUE:
        raise IntegrityFailure
    ends = offsets_of(gaps[-1].astype(np.int64))
    if (np.diff(ends[offsets]) != held).any():
        raise IntegrityFailure
    flat = take_ranges(pages.reshape(-1), starts + lengths, held)
    return SortedEntries(keys, ordinals, Ragged(flat, ends))


def _running(gaps: U64, firsts: I64, values: U64) -> U64:
    """Sums of gaps that start anew at `firsts` with `values`; gaps are zero there."""
    total = np.cumsum(gaps)
    return total + np.repeat(values - total[firsts], np.diff(firsts, append=len(gaps)))


def position(keys: U64, bound: Bound, after: bool) -> int:
    """How many ascending keys are below the bound, or at most the bound when `after`."""
    high, low = np.uint64(bound[0]), np.uint64(bound[1])
    start = int(keys[:, 0].searchsorted(high, side="left"))
    stop = int(keys[:, 0].searchsorted(high, side="right"))
    return start + int(keys[start:stop, 1].searchsorted(low, side="right" if after else "left"))


def entries_below(entries: SortedEntries, key: Bound, ordinal: int) -> int:
    """How many ascending entries come before (key, ordinal)."""
    start, stop = position(entries.keys, key, after=False), position(entries.keys, key, after=True)
    return start + int(entries.ordinals[start:stop].searchsorted(ordinal, side="left"))


def in_order(entries: SortedEntries) -> bool:
    """Whether entries ascend by (key, ordinal)."""
    high, low, ordinals = entries.keys[:, 0], entries.keys[:, 1], entries.ordinals
    same_high = high[1:] == high[:-1]
    rising = (high[1:] > high[:-1]) | (same_high & (low[1:] > low[:-1]))
    ties = same_high & (low[1:] == low[:-1]) & (ordinals[1:] >= ordinals[:-1])
    return bool((rising | ties).all())


def _dense_rank(values: U64) -> tuple[U64, int]:
    """The rank of each value among the distinct ones, and how many there are."""
    order = np.argsort(values)
    ascending = values[order]
    ranks = np.empty(len(values), dtype=np.uint64)
    ranks[order] = np.concatenate(([0], np.cumsum(ascending[1:] != ascending[:-1])))
    return ranks, int(ranks.max()) + 1
