"""Liveness segments: which settled rows exist, and which packs hold them.

A segment of kind 3 has one entry per block of 4,096 ordinals; a later segment's entry for a block
replaces an earlier one's. The header lists the blocks in ascending order, so that a reader finds the page
of a block, seven entries each, without asking.

    header           version u16 | zero u16 | entries u32 | zero u64 | block u32[entries]
    entry (560 B)    block u32 | rows u32 | pack u64 | salt 32 B | bitmap 512 B, lowest bit first

The salt is fresh for each build of a pack, so an entry that verifies names exactly one ciphertext per
column: a withheld, replayed or resurrected row is noticed.

What it leaks: at rest the number of pages, in 1/16-octave classes; on a query which page of seven blocks
is read, and the same page is read for the same block. Segments of at most 16 pages (112 blocks, 458,752
ordinals) are read whole.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from indexes.errors import IntegrityFailure
from indexes.keys import Key, pack_context
from indexes.labels import BLOCK
from indexes.multimap.paging import PageReader, ReadPages, octave, seal_pages, shuffle
from indexes.multimap.segment import LIVENESS, BuiltSegment, SegmentInfo
from indexes.records.pack import MAX_PACK
from indexes.seal import PAGE_USABLE, SALT_BYTES, PageSealer

BITMAP_BYTES: Final = BLOCK // 8
MAX_BLOCK: Final = 0xFFFF_FFFF

_VERSION: Final = 1
_PAGE_KIND: Final = b"live"
_HEADER_BYTES: Final = 16
_ENTRY: Final = np.dtype(
    [
        ("block", "<u4"),
        ("rows", "<u4"),
        ("pack", "<u8"),
        ("salt", "u1", (SALT_BYTES,)),
        ("bitmap", "u1", (BITMAP_BYTES,)),
    ]
)
ENTRIES_PER_PAGE: Final = PAGE_USABLE // _ENTRY.itemsize


@dataclass(frozen=True, slots=True, eq=False)
class LivenessEntry:
    """One block of 4,096 ordinals.

    Attributes:
        block: ordinal >> 12, below 2³².
        pack: number of the pack that holds the block's rows, below 2⁵².
        salt: 32 bytes, the salt of that build of the pack.
        bitmap: uint8[512], bit i (lowest first) set when the row with low bits i is live. The pack
            may hold more rows than are live.
    """

    block: int
    pack: int
    salt: bytes
    bitmap: NDArray[np.uint8]

    @property
    def rows(self) -> int:
        """Number of live rows."""
        return int(np.bitwise_count(self.bitmap).sum())


def build(entries: Sequence[LivenessEntry], key: Key, table: int, segment: int) -> BuiltSegment:
    """Lays entries out in the pages of a new segment, under a fresh salt.

    Args:
        entries: one or more, ascending by block, each block once.
        key: the table's liveness key.
        table: opaque table number.
        segment: leased segment number.

    Raises:
        ValueError: no entries, blocks that do not ascend, or an entry with a field out of range.
    """
    blocks = [entry.block for entry in entries]
    if not entries or any(a >= b for a, b in pairwise(blocks)):
        raise ValueError("liveness entries ascend by block, and there is at least one")
    if blocks[0] < 0 or blocks[-1] > MAX_BLOCK:
        raise ValueError("a block number is out of range")
    header_pages = -(-(_HEADER_BYTES + 4 * len(entries)) // PAGE_USABLE)
    header = np.zeros((header_pages, PAGE_USABLE), dtype=np.uint8)
    flat = header.reshape(-1)
    flat[:2].view("<u2")[0] = _VERSION
    flat[4:8].view("<u4")[0] = len(entries)
    flat[_HEADER_BYTES : _HEADER_BYTES + 4 * len(entries)].view("<u4")[:] = blocks

    rows = np.zeros(-(-len(entries) // ENTRIES_PER_PAGE) * ENTRIES_PER_PAGE, dtype=_ENTRY)
    for place, entry in enumerate(entries):
        wrong_shape = entry.bitmap.shape != (BITMAP_BYTES,) or entry.bitmap.dtype != np.uint8
        if wrong_shape or len(entry.salt) != SALT_BYTES or not 0 <= entry.pack <= MAX_PACK:
            raise ValueError("a liveness entry has a pack, a salt of 32 bytes, a bitmap of 512")
        salt = np.frombuffer(entry.salt, dtype=np.uint8)
        rows[place] = (entry.block, entry.rows, entry.pack, salt, entry.bitmap)
    body = np.zeros((len(rows) // ENTRIES_PER_PAGE, PAGE_USABLE), dtype=np.uint8)
    packed = rows.view(np.uint8).reshape(len(body), -1)
    body[:, : packed.shape[1]] = packed

    info = SegmentInfo(
        segment=segment,
        kind=LIVENESS,
        index=0,
        salt=os.urandom(SALT_BYTES),
        pages=octave(len(header) + len(body)),
        header_pages=len(header),
        postings=int(rows["rows"].sum()),
        extra=(len(entries),),
    )
    shuffled = shuffle(_shuffle_key(key, info), info.pages - len(header))
    return BuiltSegment(info, seal_pages(_sealer(key, table, info), header, body, shuffled))


class LivenessReader:
    """Reads one liveness segment through a callback that fetches sealed pages.

    The header is kept once it was read; entry pages are fetched anew, and a small segment is kept whole.
    Not for use by several threads at once.

    Raises:
        IntegrityFailure: `info` describes no liveness segment.
    """

    def __init__(self, info: SegmentInfo, key: Key, table: int, read: ReadPages) -> None:
        if info.kind != LIVENESS or len(info.extra) != 1:
            raise IntegrityFailure
        (self._count,) = info.extra
        needed = -(-(_HEADER_BYTES + 4 * self._count) // PAGE_USABLE)
        if not self._count > 0 or info.header_pages != needed:
            raise IntegrityFailure
        if -(-self._count // ENTRIES_PER_PAGE) > info.pages - needed:
            raise IntegrityFailure
        self._pages = PageReader(info, _sealer(key, table, info), _shuffle_key(key, info), read)
        self._rows = info.postings
        self._blocks: NDArray[np.int64] | None = None

    @property
    def pages_read(self) -> int:
        """Sealed pages fetched so far, the header included."""
        return self._pages.pages_read

    @property
    def rows(self) -> int:
        """Live rows of all entries, as the manifest says."""
        return self._rows

    def blocks(self) -> NDArray[np.int64]:
        """The blocks that have an entry here: int64[entries], ascending.

        Raises:
            IntegrityFailure: a header page was withheld, moved or altered, or is malformed.
        """
        if self._blocks is None:
            flat = self._pages.header()
            version, count = int(flat[:2].view("<u2")[0]), int(flat[4:8].view("<u4")[0])
            if version != _VERSION or count != self._count:
                raise IntegrityFailure
            stop = _HEADER_BYTES + 4 * count
            blocks = flat[_HEADER_BYTES:stop].view("<u4").astype(np.int64)
            if (blocks[1:] <= blocks[:-1]).any():
                raise IntegrityFailure
            self._blocks = blocks
        return self._blocks

    def entries(self, blocks: Iterable[int]) -> list[LivenessEntry]:
        """The entries of those of `blocks` that have one here, ascending; each page is read once.

        Raises:
            IntegrityFailure: a page was withheld, moved or altered, or is malformed.
        """
        wanted = np.unique(np.fromiter(blocks, dtype=np.int64))
        known = self.blocks()
        at = np.searchsorted(known, wanted)
        at = at[known[np.minimum(at, len(known) - 1)] == wanted]
        pages, which = np.unique(at // ENTRIES_PER_PAGE, return_inverse=True)
        opened = self._pages.body(pages)[:, : ENTRIES_PER_PAGE * _ENTRY.itemsize]
        rows = np.ascontiguousarray(opened).reshape(-1).view(_ENTRY)
        found = rows[which * ENTRIES_PER_PAGE + at % ENTRIES_PER_PAGE]
        if (found["block"] != known[at]).any() or (found["pack"] > MAX_PACK).any():
            raise IntegrityFailure
        if (np.bitwise_count(found["bitmap"]).sum(axis=1) != found["rows"]).any():
            raise IntegrityFailure
        return [
            LivenessEntry(int(row["block"]), int(row["pack"]), row["salt"].tobytes(), row["bitmap"])
            for row in found
        ]


def _shuffle_key(key: Key, info: SegmentInfo) -> Key:
    return key.derive("liveness", "shuffle", info.salt)


def _sealer(key: Key, table: int, info: SegmentInfo) -> PageSealer:
    aad = pack_context(table, info.segment, LIVENESS, info.pages)
    return PageSealer(key.derive("liveness", "page"), info.salt, _PAGE_KIND, aad)
