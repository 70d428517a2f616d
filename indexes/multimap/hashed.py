"""Hashed segments: immutable posting lists in sealed pages, found by pseudorandom placement.

The design follows page-efficient searchable encryption (Bossuat et al., CRYPTO 2021) and packed
lists (Cash et al., NDSS 2014). A word's bucket is one pseudorandom page; short lists lie in the
bucket itself, longer ones in shared pages of slots, the longest on page chains of padded length.
Entries that do not fit their bucket go to a stash of fixed size in the header, which every reader of
the segment holds; a build whose stash fills starts again under a new salt.

    header pages  version u16 | zero u16 | stash entries u32 | lists u64 | postings u64 | zero u64 |
                  stash block (`entries`)
    bucket page   entries u16 | zero u16 × 3 | block
    slot page     floor(4016 / size) lists of one slot size
    chain         1, 2, 3, 4, 6, 8, 12, 16, 24 … pages of one list

What it leaks. At rest: the number of pages, in 1/16-octave classes. On a query: the bucket page of
the word, whether its list is longer than 128 bytes (one more page), and the length class of a chain;
equal words of one segment read equal pages. Reads depend on the term's own list only: the bucket page
is read even when the word is in the stash or absent. Segments of at most 16 pages are read whole.
"""

from __future__ import annotations

import os

import numpy as np

from indexes.errors import IntegrityFailure
from indexes.keys import Key, pack_context
from indexes.multimap import postings
from indexes.multimap.arrays import I64, U8, U64, offsets_of, take_ranges
from indexes.multimap.entries import (
    FIXED_BYTES,
    HEAD_BYTES,
    HEAD_MARK,
    INLINE_BYTES,
    Blocks,
    Heads,
    write_blocks,
)
from indexes.multimap.paging import (
    SCAN_PAGES,
    PageReader,
    ReadPages,
    chain_class,
    octave,
    seal_pages,
    shuffle,
)
from indexes.multimap.postings import EncodedLists
from indexes.multimap.segment import BuiltSegment, SegmentInfo
from indexes.prf import BlockCipher
from indexes.seal import PAGE_USABLE, PageSealer

KIND = 1
_PAGE_KIND = b"hash"
_VERSION = 1
_HEADER_BYTES = 32
_BUCKET_BASE = 8
_STASH_SHARE = 512

# Loads tried from the highest: the fuller the buckets, the smaller the entries must be.
_LOADS = (0.875, 0.8125, 0.75, 0.6875, 0.65)
_SLACK = 2.3
_SALTS_PER_LOAD = 4

_SLOT_BYTES = np.array([PAGE_USABLE // k for k in (15, 12, 10, 8, 6, 5, 4, 3, 2, 1)])


def build(lists: EncodedLists, key: Key, table: int, segment: int) -> BuiltSegment:
    """Lays lists out in the pages of a new segment.

    Args:
        lists: words of the whole table, ascending and unique.
        key: the table's index key.
        table: opaque table number.
        segment: leased segment number.

    Returns:
        The segment's description and its sealed pages. The salt is fresh for every call, so a build
        that was interrupted is never resumed: its pages are dropped.

    Raises:
        ValueError: a list of 2³² postings or bytes.
    """
    frequencies = postings.counts(lists)
    sizes = np.diff(lists.offsets)
    long = np.flatnonzero(sizes > INLINE_BYTES)
    marks = np.where(sizes > INLINE_BYTES, HEAD_MARK, sizes).astype(np.uint8)
    cost = np.where(sizes > INLINE_BYTES, HEAD_BYTES, sizes) + FIXED_BYTES

    place = _place(cost, lists.words, key)
    pages, offsets, used = _long_places(sizes[long], place.buckets)
    heads = Heads(frequencies[long], sizes[long], pages, offsets)
    # Payloads are gathered from one buffer: the lists, and behind them the heads.
    source = np.concatenate((lists.data, heads.encode()))
    starts = lists.offsets[:-1].copy()
    starts[long] = len(lists.data) + HEAD_BYTES * np.arange(len(long))

    def payload(entries: I64) -> U8:
        return take_ranges(source, starts[entries], cost[entries] - FIXED_BYTES)

    header = np.zeros((place.header_pages, PAGE_USABLE), dtype=np.uint8)
    flat = header.reshape(-1)
    flat[:2].view("<u2")[0] = _VERSION
    flat[4:8].view("<u4")[0] = len(place.stash)
    flat[8:24].view("<u8")[:] = len(lists), int(frequencies.sum())
    base, count = np.array([_HEADER_BYTES]), np.array([len(place.stash)])
    write_blocks(
        flat, base, count, lists.words[place.stash], marks[place.stash], payload(place.stash)
    )

    body = np.zeros((place.buckets + used, PAGE_USABLE), dtype=np.uint8)
    flat = body.reshape(-1)
    body.view("<u2")[: place.buckets, 0] = place.counts
    bases = np.arange(place.buckets, dtype=np.int64) * PAGE_USABLE + _BUCKET_BASE
    kept = place.kept
    write_blocks(flat, bases, place.counts, lists.words[kept], marks[kept], payload(kept))
    targets = (pages * PAGE_USABLE + offsets).tolist()
    for at, i in zip(targets, long.tolist(), strict=True):
        flat[at : at + int(sizes[i])] = lists.data[lists.offsets[i] : lists.offsets[i + 1]]

    info = SegmentInfo(
        segment=segment,
        kind=KIND,
        index=0,
        salt=place.salt,
        pages=octave(len(header) + len(body)),
        header_pages=len(header),
        postings=int(frequencies.sum()),
        extra=(place.buckets,),
    )
    shuffled = shuffle(_shuffle_key(key, info), info.pages - len(header))
    return BuiltSegment(info, seal_pages(_sealer(key, table, info), header, body, shuffled))


class HashedReader:
    """Reads one hashed segment through a callback that fetches sealed pages.

    The header is kept once it was read; every other page is fetched anew, and a small segment is kept
    whole. Not for use by several threads at once.
    """

    def __init__(self, info: SegmentInfo, key: Key, table: int, read: ReadPages) -> None:
        if info.kind != KIND or len(info.extra) != 1 or info.extra[0] < 1:
            raise IntegrityFailure
        self._buckets = int(info.extra[0])
        self._info = info
        self._pages = PageReader(info, _sealer(key, table, info), _shuffle_key(key, info), read)
        self._place = BlockCipher(_place_key(key, info.salt))
        self._stash: Blocks | None = None

    @property
    def pages_read(self) -> int:
        """Sealed pages fetched so far, the header included."""
        return self._pages.pages_read

    def lookup(self, words: U64) -> list[bytes | None]:
        """The encoded list of each word, or None for a word without one.

        Raises:
            IntegrityFailure: a page was withheld, moved or altered.
        """
        found = self.find(words)
        at = {word: i for i, word in enumerate(found.words.tolist())}
        return [found.get(at[w]) if w in at else None for w in np.asarray(words).tolist()]

    def find(self, words: U64) -> EncodedLists:
        """The lists of those words that have one, ascending by word, each page read once.

        Reads the bucket page of every word, then the slot and chain pages of long lists: two
        dependent rounds at most once the header is known.
        """
        wanted, rows, buckets = self._buckets_of(words)
        if not len(wanted):
            return EncodedLists.empty()
        parts = []
        for first in range(0, len(buckets), SCAN_PAGES * 16):
            last = min(first + SCAN_PAGES * 16, len(buckets))
            blocks = self._bucket_blocks(buckets[first:last])
            here = (rows >= first) & (rows < last)
            parts.append(self._search(blocks, wanted[here], rows[here] - first))
        stash = self._stash_blocks()
        parts.append(self._search(stash, wanted, np.zeros(len(wanted), dtype=np.int64)))
        return _sorted_lists(self._complete(parts))

    def frequencies(self, words: U64) -> I64:
        """Document frequency of each word, 0 without a list, from bucket pages alone: int64[m]."""
        wanted, rows, buckets = self._buckets_of(words)
        if not len(wanted):
            return np.zeros(len(words), dtype=np.int64)
        result = np.zeros(len(wanted), dtype=np.int64)
        zeros = np.zeros(len(wanted), dtype=np.int64)
        for blocks, where in (
            (self._bucket_blocks(buckets), rows),
            (self._stash_blocks(), zeros),
        ):
            part = self._search(blocks, wanted, where)
            at = np.searchsorted(wanted, part.words)
            inline = part.inline
            result[at[inline]] = postings.counts(part.lists())
            result[at[~inline]] = part.heads().frequency
        return result[np.searchsorted(wanted, words)]

    def all_lists(self) -> EncodedLists:
        """Every list of the segment, for merges and checks; reads all pages in page order.

        Raises:
            IntegrityFailure: also when a list lies in a bucket that is not its own, or when the lists
                are not as many as the header says.
        """
        stash = self._stash_blocks()
        body = self._scan()
        bases = np.arange(self._buckets, dtype=np.int64) * PAGE_USABLE + _BUCKET_BASE
        counts = body[: self._buckets].view("<u2")[:, 0].astype(np.int64)
        limits = bases - _BUCKET_BASE + PAGE_USABLE
        blocks = Blocks(body.reshape(-1), bases, limits, counts)
        rows, words, starts, marks = blocks.all()
        if (self._bucket_numbers(words) != rows).any():
            raise IntegrityFailure
        _, stash_words, stash_starts, stash_marks = stash.all()
        parts = [
            _Found(words, blocks.data, starts, marks),
            _Found(stash_words, stash.data, stash_starts, stash_marks),
        ]
        lists = _sorted_lists(self._complete(parts, body))
        expected = self._pages.header()[8:24].view("<u8")
        if len(lists) != int(expected[0]) or int(postings.counts(lists).sum()) != int(expected[1]):
            raise IntegrityFailure
        return lists

    def _buckets_of(self, words: U64) -> tuple[U64, I64, I64]:
        """Distinct words ascending, the row of each in the buckets, the distinct buckets."""
        wanted = np.unique(np.asarray(words, dtype=np.uint64))
        buckets, rows = np.unique(self._bucket_numbers(wanted), return_inverse=True)
        return wanted, rows.astype(np.int64), buckets

    def _bucket_numbers(self, words: U64) -> I64:
        return _bucket_numbers(self._place, words, self._buckets)

    def _bucket_blocks(self, buckets: I64) -> Blocks:
        pages = self._pages.body(buckets)
        counts = pages.view("<u2")[:, 0].astype(np.int64)
        edges = np.arange(len(pages), dtype=np.int64) * PAGE_USABLE
        return Blocks(pages.reshape(-1), edges + _BUCKET_BASE, edges + PAGE_USABLE, counts)

    def _stash_blocks(self) -> Blocks:
        if self._stash is None:
            header = self._pages.header()
            if int(header[:2].view("<u2")[0]) != _VERSION:
                raise IntegrityFailure
            count = np.array([int(header[4:8].view("<u4")[0])])
            limit = np.array([len(header)])
            self._stash = Blocks(header, np.array([_HEADER_BYTES]), limit, count)
        return self._stash

    def _search(self, blocks: Blocks, words: U64, rows: I64) -> _Found:
        found, starts, marks = blocks.find(rows, words)
        return _Found(words[found], blocks.data, starts, marks)

    def _scan(self) -> U8:
        count = self._pages.body_pages
        if self._buckets > count:
            raise IntegrityFailure
        return self._pages.body_scan()

    def _complete(self, parts: list[_Found], body: U8 | None = None) -> EncodedLists:
        """Joins inline lists and the lists on slot and chain pages, in no order."""
        words = [part.words[part.inline] for part in parts]
        lists = [part.lists() for part in parts]
        for part in parts:
            heads = part.heads()
            if not len(heads.size):
                continue
            words.append(part.words[~part.inline])
            lists.append(self._long_lists(part.words[~part.inline], heads, body))
        data = np.concatenate([part.data for part in lists])
        sizes = np.concatenate([np.diff(part.offsets) for part in lists])
        return EncodedLists(np.concatenate(words), data, offsets_of(sizes))

    def _long_lists(self, words: U64, heads: Heads, body: U8 | None) -> EncodedLists:
        spans = _chain_pages(heads.size)
        if (heads.page + spans > self._pages.body_pages).any() or (heads.size < 1).any():
            raise IntegrityFailure
        if (heads.offset + heads.size > spans * PAGE_USABLE).any():
            raise IntegrityFailure
        if body is not None:
            first, pages = heads.page, body
        else:
            # The padding of a chain is read as well, so that its exact length stays hidden.
            numbers = np.unique(
                np.concatenate([np.arange(p, p + s) for p, s in zip(heads.page, spans, strict=True)])
            )
            first, pages = np.searchsorted(numbers, heads.page), self._pages.body(numbers)
        starts = first * PAGE_USABLE + heads.offset
        data = take_ranges(pages.reshape(-1), starts, heads.size)
        return EncodedLists(words, data, offsets_of(heads.size))


class _Found:
    """Entries found in one buffer of blocks: words, and where and how their payloads lie."""

    __slots__ = ("_data", "_marks", "_starts", "inline", "words")

    def __init__(self, words: U64, data: U8, starts: I64, marks: U8) -> None:
        self.words = words
        self._data = data
        self._starts = starts
        self._marks = marks
        self.inline = marks != HEAD_MARK

    def lists(self) -> EncodedLists:
        """The lists stored inline, in order."""
        sizes = self._marks[self.inline].astype(np.int64)
        data = take_ranges(self._data, self._starts[self.inline], sizes)
        return EncodedLists(self.words[self.inline], data, offsets_of(sizes))

    def heads(self) -> Heads:
        """The heads of the others, in order."""
        return Heads.decode(self._data, self._starts[~self.inline])


class _Placement:
    """Where entries go: salt, buckets, entries per bucket, and the entries kept and stashed."""

    __slots__ = ("buckets", "counts", "header_pages", "kept", "salt", "stash")

    def __init__(self, salt: bytes, buckets: int, header_pages: int) -> None:
        self.salt = salt
        self.buckets = buckets
        self.header_pages = header_pages
        self.counts = np.zeros(buckets, dtype=np.int64)
        self.kept = np.zeros(0, dtype=np.int64)
        self.stash = np.zeros(0, dtype=np.int64)


def _place(cost: I64, words: U64, key: Key) -> _Placement:
    """Assigns entries to buckets under fresh salts until the stash holds what overflows."""
    total = octave(int(cost.sum()))
    header_pages = max(1, -(-total // (_STASH_SHARE * PAGE_USABLE)))
    room = header_pages * PAGE_USABLE - _HEADER_BYTES
    for load in _loads(cost):
        buckets = max(1, int(np.ceil(total / (load * PAGE_USABLE))))
        for _ in range(_SALTS_PER_LOAD):
            place = _Placement(os.urandom(32), buckets, header_pages)
            cipher = BlockCipher(_place_key(key, place.salt))
            numbers = _bucket_numbers(cipher, words, buckets)
            order = np.argsort(numbers, kind="stable")
            ordered, used = numbers[order], np.cumsum(cost[order])
            firsts = np.searchsorted(ordered, np.arange(buckets))
            before = np.concatenate(([0], used))[firsts]
            fits = used - before[ordered] <= PAGE_USABLE - _BUCKET_BASE
            if int(cost[order[~fits]].sum()) <= room:
                place.kept = order[fits]
                place.stash = np.sort(order[~fits])
                place.counts = np.bincount(ordered[fits], minlength=buckets).astype(np.int64)
                return place
    raise ValueError("the lists of this segment do not spread over its buckets")


def _loads(cost: I64) -> list[float]:
    """Loads worth trying: bucket bytes have variance load · 4016 · (mean square / mean) of a cost.

    A load is taken when a bucket overflows at 2.3 standard deviations or more, which keeps the
    expected overflow below a fifth of a percent. The lowest load suits entries of the largest size.
    """
    if not len(cost):
        return [_LOADS[-1]]
    effective = float((cost.astype(np.float64) ** 2).sum() / cost.sum())
    fitting = [
        load
        for load in _LOADS[:-1]
        if (1 - load) * PAGE_USABLE >= _SLACK * np.sqrt(load * PAGE_USABLE * effective)
    ]
    return [*fitting, _LOADS[-1], 0.5, 0.35]


def _long_places(sizes: I64, first: int) -> tuple[I64, I64, int]:
    """Places lists longer than 128 bytes behind the buckets.

    Returns:
        first logical page int64[h], offset on it int64[h], and the number of pages used.
    """
    pages, offsets = np.zeros(len(sizes), dtype=np.int64), np.zeros(len(sizes), dtype=np.int64)
    page = first
    classes = np.searchsorted(_SLOT_BYTES, sizes)
    for number, slot in enumerate(_SLOT_BYTES.tolist()):
        members = np.flatnonzero(classes == number)
        each = PAGE_USABLE // slot
        rank = np.arange(len(members))
        pages[members] = page + rank // each
        offsets[members] = rank % each * slot
        page += -(-len(members) // each)
    chains = np.flatnonzero(classes == len(_SLOT_BYTES))
    spans = offsets_of(_chain_pages(sizes[chains]))
    pages[chains] = page + spans[:-1]
    return pages, offsets, page + int(spans[-1]) - first


def _chain_pages(sizes: I64) -> I64:
    return np.array([chain_class(-(-size // PAGE_USABLE)) for size in sizes.tolist()], np.int64)


def _sorted_lists(lists: EncodedLists) -> EncodedLists:
    order = np.argsort(lists.words)
    result = lists.take(order)
    if (result.words[1:] == result.words[:-1]).any():
        raise IntegrityFailure
    return result


def _bucket_numbers(cipher: BlockCipher, words: U64, buckets: int) -> I64:
    """(u · buckets) >> 64 with u the first eight bytes of E(word ‖ 0⁸), in 32-bit halves."""
    blocks = np.zeros((len(words), 2), dtype="<u8")
    blocks[:, 0] = words
    u = cipher.encrypt(blocks.view(np.uint8).reshape(-1, 16)).view("<u8")[:, 0]
    low = ((u & np.uint64(0xFFFF_FFFF)) * np.uint64(buckets)) >> np.uint64(32)
    return (((u >> np.uint64(32)) * np.uint64(buckets) + low) >> np.uint64(32)).astype(np.int64)


def _place_key(key: Key, salt: bytes) -> Key:
    return key.derive("hashed", "place", salt)


def _shuffle_key(key: Key, info: SegmentInfo) -> Key:
    return key.derive("hashed", "shuffle", info.salt)


def _sealer(key: Key, table: int, info: SegmentInfo) -> PageSealer:
    aad = pack_context(table, info.segment, KIND, info.pages)
    return PageSealer(key.derive("hashed", "page"), info.salt, _PAGE_KIND, aad)
