"""What hashed and sorted segments share: page arithmetic, the keyed shuffle, and verified fetching.

A segment is `header_pages` pages in clear order followed by body pages whose numbers are shuffled
under a key of the segment. Bodies are filled up with dummy pages (sealed zeros) to a total of a
1/16-octave class, so that at rest a segment shows its class and nothing else. Segments of at most
`WHOLE` pages are read whole, so that a query on them shows nothing at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from indexes.errors import IntegrityFailure
from indexes.keys import Key
from indexes.multimap.arrays import I64, U8
from indexes.multimap.segment import SegmentInfo
from indexes.prf import BlockCipher
from indexes.seal import PAGE_USABLE, PageSealer

ReadPages = Callable[[list[int]], list[bytes]]
"""Fetches sealed pages by number, in the asked order; the numbers are distinct and ascend."""

MakePages = Callable[[I64], U8]
"""Gives plain body pages at logical numbers int64[n]: uint8[n, 4016]."""

WHOLE = 16
"""Segments of at most this many pages are read whole."""

_BLOCK_PAGES = 1024

SCAN_PAGES = 256
"""Pages a read when a whole segment is scanned (1 MiB)."""


def octave(count: int) -> int:
    """The smallest 1/16-octave class of at least `count`: overhead below 1/16."""
    if count <= 16:
        return count
    step = 1 << ((count - 1).bit_length() - 5)
    return -(-count // step) * step


def chain_class(pages: int) -> int:
    """Pages a chain of at least `pages` occupies: 1, 2, 3, 4, 6, 8, 12, 16, 24 and so on."""
    power = 1 << max(pages - 1, 0).bit_length()
    middle = power * 3 // 4
    return middle if power >= 4 and pages <= middle else power


def shuffle(key: Key, count: int) -> I64:
    """A keyed permutation of 0 … count - 1: position i holds where logical page i lies.

    The order of count AES outputs of 64 bits, which is a uniform permutation unless two of them are
    equal (probability below count² / 2⁶⁵).
    """
    counters = np.zeros((count, 2), dtype="<u8")
    counters[:, 0] = np.arange(count)
    ranks = BlockCipher(key).encrypt(counters.view(np.uint8).reshape(-1, 16))
    return np.argsort(np.ascontiguousarray(ranks).view("<u8")[:, 0], kind="stable")


def seal_pages(
    sealer: PageSealer, header: U8, body: U8, shuffled: I64
) -> Iterator[tuple[int, bytes]]:
    """Seals header uint8[h, 4016], body uint8[b, 4016] and dummies, ascending by page number.

    The permutation `shuffled`, int64[total - h], covers all body pages; those past b are dummies.
    """
    return seal_made(sealer, header, len(body), lambda logical: body[logical], shuffled)


def seal_made(
    sealer: PageSealer, header: U8, used: int, make: MakePages, shuffled: I64
) -> Iterator[tuple[int, bytes]]:
    """`seal_pages` of body pages that are made when their turn comes, 256 at a time.

    Args:
        sealer: of the segment.
        header: uint8[h, 4016].
        used: body pages that are no dummies.
        make: gives body pages at distinct logical numbers below `used`.
        shuffled: int64[total - h], a permutation of all body pages.
    """
    for number, page in enumerate(header):
        yield number, sealer.seal(number, page.tobytes())
    logical_at = np.argsort(shuffled)
    for first in range(0, len(logical_at), SCAN_PAGES):
        logical = logical_at[first : first + SCAN_PAGES]
        pages = np.zeros((len(logical), PAGE_USABLE), dtype=np.uint8)
        real = np.flatnonzero(logical < used)
        if len(real):
            pages[real] = make(logical[real])
        raw = pages.tobytes()
        for place in range(len(logical)):
            number = len(header) + first + place
            plain = raw[place * PAGE_USABLE : (place + 1) * PAGE_USABLE]
            yield number, sealer.seal(number, plain)


class PageSpool:
    """Plain pages by number, kept in memory: those a segment was read of, or those one will be sealed of.

    Args:
        count: pages that are there from the beginning, to be filled by `put`.
    """

    __slots__ = ("_blocks", "_firsts", "count")

    def __init__(self, count: int = 0) -> None:
        self._firsts = list(range(0, count, _BLOCK_PAGES))
        self._blocks = [
            np.empty((min(_BLOCK_PAGES, count - first), PAGE_USABLE), dtype=np.uint8)
            for first in self._firsts
        ]
        self.count = count
        """Pages so far."""

    def add(self, pages: U8) -> None:
        """Append uint8[n, 4016]."""
        if len(pages):
            self._blocks.append(pages)
            self._firsts.append(self.count)
            self.count += len(pages)

    def put(self, numbers: I64, pages: U8) -> None:
        """Fill pages that are there."""
        for block, here in self._by_block(numbers):
            self._blocks[block][numbers[here] - self._firsts[block]] = pages[here]

    def take(self, numbers: I64) -> U8:
        """The pages with these numbers, in that order: uint8[n, 4016]."""
        result = np.empty((len(numbers), PAGE_USABLE), dtype=np.uint8)
        for block, here in self._by_block(numbers):
            result[here] = self._blocks[block][numbers[here] - self._firsts[block]]
        return result

    def heads(self, size: int) -> U8:
        """The first bytes of every page: uint8[count, size]."""
        return np.concatenate([np.empty((0, size), np.uint8), *(b[:, :size] for b in self._blocks)])

    def forget(self, before: int) -> None:
        """Free blocks of pages that all have lower numbers; they must not be asked for again."""
        for block, first in enumerate(self._firsts):
            if first + len(self._blocks[block]) <= before:
                self._blocks[block] = np.empty((0, PAGE_USABLE), dtype=np.uint8)

    def _by_block(self, numbers: I64) -> Iterator[tuple[int, I64]]:
        blocks = np.searchsorted(self._firsts, numbers, side="right") - 1
        for block in np.unique(blocks).tolist():
            yield block, np.flatnonzero(blocks == block)


class PageReader:
    """Opened pages of one segment, addressed as header pages or logical body pages.

    Attributes:
        pages_read: sealed pages asked of the `read` callback so far.
    """

    __slots__ = ("_header", "_info", "_key", "_order", "_read", "_sealer", "_whole", "pages_read")

    def __init__(
        self, info: SegmentInfo, sealer: PageSealer, shuffle_key: Key, read: ReadPages
    ) -> None:
        self._info = info
        self._sealer = sealer
        self._key = shuffle_key
        self._read = read
        self._order: I64 | None = None
        self._header: U8 | None = None
        self._whole: U8 | None = None
        self.pages_read = 0

    @property
    def body_pages(self) -> int:
        """Body pages, dummies included."""
        return self._info.pages - self._info.header_pages

    def header(self) -> U8:
        """The header as one uint8[header_pages · 4016], kept once it was read."""
        if self._header is None:
            wanted = self._info.pages if self._info.pages <= WHOLE else self._info.header_pages
            pages = _matrix(self._open(list(range(wanted))))
            self._header = pages[: self._info.header_pages].reshape(-1)
            if wanted == self._info.pages:
                self._whole = pages[self._info.header_pages :]
        return self._header

    def body(self, logical: I64) -> U8:
        """Body pages at ascending distinct logical numbers: uint8[n, 4016], each read once.

        Raises:
            IntegrityFailure: a page is withheld, altered, or beyond the segment.
        """
        self.header()
        if not len(logical):
            return np.zeros((0, PAGE_USABLE), dtype=np.uint8)
        if int(logical[-1]) >= self.body_pages or int(logical[0]) < 0:
            raise IntegrityFailure
        places = self._shuffled()[logical]
        if self._whole is not None:
            return self._whole[places]
        ascending = np.argsort(places)
        pages = _matrix(self._open((places[ascending] + self._info.header_pages).tolist()))
        result = np.empty_like(pages)
        result[ascending] = pages
        return result

    def body_scan(self) -> U8:
        """All body pages in logical order, dummies included, read in page order: uint8[n, 4016]."""
        self.header()
        everything = np.arange(self.body_pages, dtype=np.int64)
        if self._whole is not None:
            return self.body(everything)
        result = np.empty((self.body_pages, PAGE_USABLE), dtype=np.uint8)
        for logical, pages in self.body_pieces():
            result[logical] = pages
        return result

    def body_pieces(self) -> Iterator[tuple[I64, U8]]:
        """All body pages as they lie, dummies included, up to 256 at a time: logical numbers, and the pages.

        Each page is read once, in page order, which says nothing of the order of what is on them.
        """
        self.header()
        logical_at = np.argsort(self._shuffled())
        if self._whole is not None:
            yield logical_at, self._whole
            return
        for first in range(0, self.body_pages, SCAN_PAGES):
            last = min(first + SCAN_PAGES, self.body_pages)
            shift = self._info.header_pages
            pages = self._open(list(range(first + shift, last + shift)))
            yield logical_at[first:last], _matrix(pages)

    def _shuffled(self) -> I64:
        if self._order is None:
            self._order = shuffle(self._key, self.body_pages)
        return self._order

    def few(self, logical: list[int]) -> dict[int, bytes]:
        """Like `body` for a handful of pages, without the fixed cost of array operations."""
        self.header()
        if logical and not 0 <= min(logical) <= max(logical) < self.body_pages:
            raise IntegrityFailure
        if self._whole is not None:
            places = self._shuffled()[logical].tolist()
            return {one: self._whole[at].tobytes() for one, at in zip(logical, places, strict=True)}
        shift, order = self._info.header_pages, self._shuffled()
        number_of = {one: shift + int(order[one]) for one in logical}
        numbers = sorted(set(number_of.values()))
        opened = dict(zip(numbers, self._open(numbers), strict=True))
        return {one: opened[number] for one, number in number_of.items()}

    def _open(self, numbers: list[int]) -> list[bytes]:
        if not numbers:
            return []
        blobs = self._read(numbers)
        self.pages_read += len(numbers)
        if len(blobs) != len(numbers):
            raise IntegrityFailure
        opened = []
        for number, blob in zip(numbers, blobs, strict=True):
            page = self._sealer.open(number, blob)
            # A store that answers with nothing for a page withholds it; `open` refuses that too.
            if len(page) != PAGE_USABLE:
                raise IntegrityFailure
            opened.append(page)
        return opened


def _matrix(pages: list[bytes]) -> U8:
    return np.frombuffer(b"".join(pages), dtype=np.uint8).reshape(len(pages), PAGE_USABLE)
