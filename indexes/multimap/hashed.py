"""Hashed segments: immutable posting lists in sealed pages, found by pseudorandom placement.

The design follows page-efficient searchable encryption (Bossuat et al., CRYPTO 2021) and packed
lists (Cash et al., NDSS 2014). A word's bucket is one pseudorandom page; short lists lie in the
bucket itself, longer ones in shared pages of slots, the longest on page chains of padded length.
Entries that do not fit their bucket go to a stash of fixed size in the header, which every reader of
the segment holds; a build whose stash fills starts again under a new salt.

    header pages  version u16 | zero u16 | stash entries u32 | lists u64 | postings u64 | zero u64 |
                  stash block (`entries`)
    bucket page   entries u16 | zero u16[3] | block
    slot page     floor(4016 / size) lists of one slot size
    chain         1, 2, 3, 4, 6, 8, 12, 16, 24 … pages of one list

What it leaks. At rest: the number of pages, in 1/16-octave classes. On a query: the bucket page of
the word, whether its list is longer than 128 bytes (one more page), and the length class of a chain;
equal words of one segment read equal pages. Reads depend on the term's own list only: the bucket page
is read even when the word is in the stash or absent. Segments of at most 16 pages are read whole.
"""

from __future__ import annotations

import numpy as np

from indexes.errors import IntegrityFailure
from indexes.keys import Key, pack_context
from indexes.multimap import postings
from indexes.multimap.arrays import I64, U8, U64, offsets_of, take_ranges
from indexes.multimap.entries import HEAD_MARK, Blocks, Heads, find_entry, head_fields
from indexes.multimap.hashed_pages import VERSION, HashedLayout
from indexes.multimap.paging import (
    SCAN_PAGES,
    PageReader,
    ReadPages,
    chain_class,
    octave,
    seal_made,
    shuffle,
)
from indexes.multimap.placement import (
    BUCKET_BASE,
    HEADER_BYTES,
    bucket_number,
    bucket_numbers,
    chain_spans,
    place_key,
)
from indexes.multimap.postings import EncodedLists
from indexes.multimap.scanning import ScannedLists
from indexes.multimap.segment import HASHED, BuiltSegment, SegmentInfo
from indexes.prf import BlockCipher
from indexes.seal import PAGE_USABLE, PageSealer

_PAGE_KIND = b"hash"
# Up to this many words are looked up one by one, which has the smaller fixed cost.
_FEW = 8


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
    layout = HashedLayout(lists, key)
    header = layout.header()
    info = SegmentInfo(
        segment=segment,
        kind=HASHED,
        index=0,
        salt=layout.salt,
        pages=octave(len(header) + layout.used),
        header_pages=len(header),
        postings=layout.postings,
        extra=(layout.buckets,),
    )
    shuffled = shuffle(_shuffle_key(key, info), info.pages - len(header))
    sealer = _sealer(key, table, info)
    return BuiltSegment(info, seal_made(sealer, header, layout.used, layout.pages, shuffled))


class HashedReader:
    """Reads one hashed segment through a callback that fetches sealed pages.

    The header is kept once it was read; every other page is fetched anew, and a small segment is kept
    whole. Not for use by several threads at once.
    """

    def __init__(self, info: SegmentInfo, key: Key, table: int, read: ReadPages) -> None:
        if info.kind != HASHED or len(info.extra) != 1 or info.extra[0] < 1:
            raise IntegrityFailure
        self._buckets = int(info.extra[0])
        self._info = info
        self._pages = PageReader(info, _sealer(key, table, info), _shuffle_key(key, info), read)
        self._place = BlockCipher(place_key(key, info.salt))
        self._stash: Blocks | None = None
        self._stash_bytes: bytes | None = None

    @property
    def pages_read(self) -> int:
        """Sealed pages fetched so far, the header included."""
        return self._pages.pages_read

    def lookup(self, words: U64) -> list[bytes | None]:
        """The encoded list of each word, or None for a word without one.

        Raises:
            IntegrityFailure: a page was withheld, moved or altered.
        """
        if len(words) <= _FEW:
            few = self._few(np.asarray(words).tolist())
            return [few.get(word) for word in np.asarray(words).tolist()]
        found = self.find(words)
        at = {word: i for i, word in enumerate(found.words.tolist())}
        return [found.get(at[w]) if w in at else None for w in np.asarray(words).tolist()]

    def find(self, words: U64) -> EncodedLists:
        """The lists of those words that have one, ascending by word, each page read once.

        Reads the bucket page of every word, then the slot and chain pages of long lists: two
        dependent rounds at most once the header is known.
        """
        if len(words) <= _FEW:
            few = self._few(np.asarray(words).tolist())
            return _listed(sorted(few.items()))
        wanted, rows, buckets = self._buckets_of(words)
        parts = []
        for first in range(0, len(buckets), SCAN_PAGES * 16):
            last = min(first + SCAN_PAGES * 16, len(buckets))
            blocks = self._bucket_blocks(buckets[first:last])
            here = (rows >= first) & (rows < last)
            parts.append(self._search(blocks, wanted[here], rows[here] - first))
        stash = self._stash_blocks()
        parts.append(self._search(stash, wanted, np.zeros(len(wanted), dtype=np.int64)))
        return _sorted_lists(self._complete(parts))

    def _few(self, words: list[int]) -> dict[int, bytes]:
        """`find` for a handful of words, one by one."""
        buckets = {word: bucket_number(self._place, word, self._buckets) for word in words}
        pages = self._pages.few(sorted(set(buckets.values())))
        stash_blocks = self._stash_blocks()
        if self._stash_bytes is None:
            self._stash_bytes = stash_blocks.data.tobytes()
        stash, stash_count = self._stash_bytes, int.from_bytes(self._stash_bytes[4:8], "little")
        lists: dict[int, bytes] = {}
        heads: dict[int, tuple[int, int, int, int]] = {}
        for word, bucket in buckets.items():
            page = pages[bucket]
            count = int.from_bytes(page[:2], "little")
            entry = find_entry(page, BUCKET_BASE, count, PAGE_USABLE, word) or find_entry(
                stash, HEADER_BYTES, stash_count, len(stash), word
            )
            if entry is None:
                continue
            if entry[0] == HEAD_MARK:
                heads[word] = head_fields(entry[1])
            else:
                lists[word] = entry[1]
        spans = {word: chain_class(-(-head[1] // PAGE_USABLE)) for word, head in heads.items()}
        # The padding of a chain is read as well, so that its exact length stays hidden.
        wanted = {page for w, head in heads.items() for page in range(head[2], head[2] + spans[w])}
        pages = self._pages.few(sorted(wanted))
        for word, (_, size, first, offset) in heads.items():
            joined = b"".join(pages[page] for page in range(first, first + spans[word]))
            if not 0 < size <= len(joined) - offset:
                raise IntegrityFailure
            lists[word] = joined[offset : offset + size]
        return lists

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
        """Every list of the segment, for checks; reads all pages in page order.

        Raises:
            IntegrityFailure: as `scan` and what it gives do.
        """
        part = self.scan(0).part(0, 0)
        if not part.long:
            return part.lists
        words = np.array([word for word, _ in part.long], dtype=np.uint64)
        sizes = np.array([len(one) for _, one in part.long], dtype=np.int64)
        data = np.concatenate([part.lists.data, *(one for _, one in part.long)])
        sizes = np.concatenate((np.diff(part.lists.offsets), sizes))
        words = np.concatenate((part.lists.words, words))
        return _sorted_lists(EncodedLists(words, data, offsets_of(sizes)))

    def scan(self, bits: int) -> ScannedLists:
        """Every list of the segment, encoded, to be taken in 2^bits ranges of words.

        Reads all pages in page order, which says nothing of the order of words, and keeps what is on
        them.

        Raises:
            IntegrityFailure: also when a list lies in a bucket that is not its own.
        """
        if self._buckets > self._pages.body_pages:
            raise IntegrityFailure
        header = self._pages.header()
        lists, count = header[8:24].view("<u8").tolist()
        scanned = ScannedLists(bits, self._buckets, self._pages.body_pages, (lists, count))
        scanned.keep(self._stash_blocks())
        for logical, pages in self._pages.body_pieces():
            inside = np.flatnonzero(logical < self._buckets)
            blocks = _blocks_of(pages[inside])
            rows, words, _, _ = blocks.all()
            if (self._bucket_numbers(words) != logical[inside][rows]).any():
                raise IntegrityFailure
            scanned.keep(blocks)
            scanned.keep_long(logical, pages)
        return scanned

    def _buckets_of(self, words: U64) -> tuple[U64, I64, I64]:
        """Distinct words ascending, the row of each in the buckets, the distinct buckets."""
        wanted = np.unique(np.asarray(words, dtype=np.uint64))
        buckets, rows = np.unique(self._bucket_numbers(wanted), return_inverse=True)
        return wanted, rows.astype(np.int64), buckets

    def _bucket_numbers(self, words: U64) -> I64:
        return bucket_numbers(self._place, words, self._buckets)

    def _bucket_blocks(self, buckets: I64) -> Blocks:
        return _blocks_of(self._pages.body(buckets))

    def _stash_blocks(self) -> Blocks:
        if self._stash is None:
            header = self._pages.header()
            if int(header[:2].view("<u2")[0]) != VERSION:
                raise IntegrityFailure
            count = np.array([int(header[4:8].view("<u4")[0])])
            limit = np.array([len(header)])
            self._stash = Blocks(header, np.array([HEADER_BYTES]), limit, count)
        return self._stash

    def _search(self, blocks: Blocks, words: U64, rows: I64) -> _Found:
        found, starts, marks = blocks.find(rows, words)
        return _Found(words[found], blocks.data, starts, marks)

    def _complete(self, parts: list[_Found]) -> EncodedLists:
        """Joins inline lists and the lists on slot and chain pages, in no order."""
        words = [part.words[part.inline] for part in parts]
        lists = [part.lists() for part in parts]
        for part in parts:
            heads = part.heads()
            if not len(heads.size):
                continue
            words.append(part.words[~part.inline])
            lists.append(self._long_lists(part.words[~part.inline], heads))
        data = np.concatenate([part.data for part in lists])
        sizes = np.concatenate([np.diff(part.offsets) for part in lists])
        return EncodedLists(np.concatenate(words), data, offsets_of(sizes))

    def _long_lists(self, words: U64, heads: Heads) -> EncodedLists:
        spans = chain_spans(heads.size)
        if (heads.page + spans > self._pages.body_pages).any() or (heads.size < 1).any():
            raise IntegrityFailure
        if (heads.offset + heads.size > spans * PAGE_USABLE).any():
            raise IntegrityFailure
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


def _blocks_of(pages: U8) -> Blocks:
    """The blocks of bucket pages."""
    counts = pages.view("<u2")[:, 0].astype(np.int64)
    edges = np.arange(len(pages), dtype=np.int64) * PAGE_USABLE
    return Blocks(pages.reshape(-1), edges + BUCKET_BASE, edges + PAGE_USABLE, counts)


def bucket_pages(info: SegmentInfo, key: Key) -> I64:
    """Numbers of the pages that hold buckets, to explain a trace by: int64[buckets]."""
    places = shuffle(_shuffle_key(key, info), info.pages - info.header_pages)
    return info.header_pages + places[: info.extra[0]]


def _listed(lists: list[tuple[int, bytes]]) -> EncodedLists:
    words = np.array([word for word, _ in lists], dtype=np.uint64)
    sizes = np.array([len(data) for _, data in lists], dtype=np.int64)
    data = np.frombuffer(b"".join(data for _, data in lists), dtype=np.uint8)
    return EncodedLists(words, data, offsets_of(sizes))


def _sorted_lists(lists: EncodedLists) -> EncodedLists:
    order = np.argsort(lists.words)
    result = lists.take(order)
    if (result.words[1:] == result.words[:-1]).any():
        raise IntegrityFailure
    return result


def _shuffle_key(key: Key, info: SegmentInfo) -> Key:
    return key.derive("hashed", "shuffle", info.salt)


def _sealer(key: Key, table: int, info: SegmentInfo) -> PageSealer:
    aad = pack_context(table, info.segment, HASHED, info.pages)
    return PageSealer(key.derive("hashed", "page"), info.salt, _PAGE_KIND, aad)
