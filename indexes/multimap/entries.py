"""Entry blocks: the table of (tag, payload) that a bucket page or a segment's stash holds.

A block of n entries starts at a multiple of 8 bytes and is laid out in columns:

    tag u64[n], ascending | mark u8[n] | payloads, one after another

A mark of 1 … 128 is the payload's length, and the payload is an encoded posting list. The mark 255
means that the list lies on other pages and the payload is its 14-byte head:

    document frequency u32 | bytes u32 | first logical body page u32 | offset u16

Columns let a reader search thousands of blocks with a few array operations.

What it leaks: nothing; blocks lie inside sealed pages.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

from indexes.errors import IntegrityFailure
from indexes.multimap.arrays import I64, U8, U64, Mask, offsets_of, put_ranges, range_index

INLINE_BYTES = 128
"""Longest list that is stored in the block itself."""

FIXED_BYTES = 9
"""Bytes an entry costs beside its payload."""

HEAD_MARK = 255
HEAD_BYTES = 14
_HEAD = np.dtype([("frequency", "<u4"), ("size", "<u4"), ("page", "<u4"), ("offset", "<u2")])
_HEAD_STRUCT = struct.Struct("<IIIH")
_MAX = (1 << 32) - 1


@dataclass(frozen=True, slots=True)
class Heads:
    """Heads of h lists that lie outside blocks.

    Attributes:
        frequency: int64[h], postings in the list.
        size: int64[h], bytes of the encoded list.
        page: int64[h], first logical body page.
        offset: int64[h], byte at which the list starts on that page.
    """

    frequency: I64
    size: I64
    page: I64
    offset: I64

    def encode(self) -> U8:
        """uint8[h · 14].

        Raises:
            ValueError: a list of 2³² postings, bytes or pages.
        """
        if any(len(c) and int(c.max()) > _MAX for c in (self.frequency, self.size, self.page)):
            raise ValueError("a posting list is too long for a segment")
        heads = np.empty(len(self.size), dtype=_HEAD)
        heads["frequency"], heads["size"] = self.frequency, self.size
        heads["page"], heads["offset"] = self.page, self.offset
        return heads.view(np.uint8)

    @staticmethod
    def decode(data: U8, starts: I64) -> Heads:
        """Heads at the given bytes of `data`."""
        raw = data[(starts[:, None] + np.arange(HEAD_BYTES)).reshape(-1)].view(_HEAD)
        frequency, size, page, offset = (raw[name].astype(np.int64) for name in _HEAD.names or ())
        return Heads(frequency, size, page, offset)


def payload_sizes(marks: U8) -> I64:
    """Payload bytes of each mark: int64[n]."""
    return np.where(marks == HEAD_MARK, HEAD_BYTES, marks).astype(np.int64)


def find_entry(
    data: bytes, base: int, count: int, limit: int, word: int
) -> tuple[int, bytes] | None:
    """Mark and payload of one word in one block, or None; `Blocks` is the form for many words.

    Raises:
        IntegrityFailure: the entry reaches beyond `limit`, where the block must have ended.
    """
    marks = base + 8 * count
    if marks + count > limit:
        raise IntegrityFailure
    needle = word.to_bytes(8, "little")
    at = data.find(needle, base, marks)
    while at >= 0 and (at - base) % 8:
        at = data.find(needle, at + 1, marks)
    if at < 0:
        return None
    entry = marks + (at - base) // 8
    before, mark = data[marks:entry], data[entry]
    # Every head adds its mark to the sum, and takes its own size instead.
    start = marks + count + sum(before) - before.count(HEAD_MARK) * (HEAD_MARK - HEAD_BYTES)
    stop = start + (HEAD_BYTES if mark == HEAD_MARK else mark)
    if stop > limit or not (mark == HEAD_MARK or 0 < mark <= INLINE_BYTES):
        raise IntegrityFailure
    return mark, data[start:stop]


def head_fields(payload: bytes) -> tuple[int, int, int, int]:
    """(document frequency, bytes, first logical page, offset) of one head."""
    frequency, size, page, offset = _HEAD_STRUCT.unpack(payload)
    return frequency, size, page, offset


def write_blocks(target: U8, bases: I64, counts: I64, words: U64, marks: U8, payload: U8) -> None:
    """Writes b blocks whose entries stand one block after another in the arrays.

    Args:
        target: uint8, a multiple of 8 bytes long and with room for every block.
        bases: int64[b], where each block starts, multiples of 8.
        counts: int64[b], entries of each block.
        words: uint64[n], ascending within a block.
        marks: uint8[n].
        payload: uint8[total], payloads in the order of the entries.
    """
    target.view("<u8")[range_index(bases // 8, counts)] = words
    target[range_index(bases + 8 * counts, counts)] = marks
    before = offsets_of(payload_sizes(marks))
    ends = np.cumsum(counts)
    sizes = before[ends] - before[ends - counts]
    put_ranges(target, bases + FIXED_BYTES * counts, payload, sizes)


class Blocks:
    """Reads b entry blocks that lie in one buffer.

    Args:
        data: uint8, a multiple of 8 bytes long.
        bases: int64[b], where each block starts.
        limits: int64[b], where each block must have ended.
        counts: int64[b], entries of each block.

    Raises:
        IntegrityFailure: an entry has an impossible mark or reaches beyond its block.
    """

    __slots__ = ("_bases", "_before", "_counts", "_first", "_marks", "_tags", "data")

    def __init__(self, data: U8, bases: I64, limits: I64, counts: I64) -> None:
        if (bases + FIXED_BYTES * counts > limits).any():
            raise IntegrityFailure
        self.data = data
        self._tags = data.view("<u8")
        self._bases = bases
        self._counts = counts
        self._first = offsets_of(counts)
        self._marks = data[range_index(bases + 8 * counts, counts)]
        if ((self._marks == 0) | ((self._marks > INLINE_BYTES) & (self._marks < HEAD_MARK))).any():
            raise IntegrityFailure
        self._before = offsets_of(payload_sizes(self._marks))
        heaps = self._before[self._first[1:]] - self._before[self._first[:-1]]
        if (bases + FIXED_BYTES * counts + heaps > limits).any():
            raise IntegrityFailure

    def find(self, rows: I64, words: U64) -> tuple[Mask, I64, U8]:
        """Looks up each word in its block by one binary search over all words together.

        Args:
            rows: int64[m], the block to search for each word.
            words: uint64[m].

        Returns:
            found bool[m]; for the found ones, in order, where the payload starts, and the mark.
        """
        count = self._counts[rows]
        base = self._bases[rows] // 8
        low, high = np.zeros(len(words), dtype=np.int64), count.copy()
        for _ in range(int(count.max()).bit_length() if len(count) else 0):
            middle = (low + high) >> 1
            below = (low < high) & (self._tags[base + middle] < words)
            high = np.where(below, high, np.minimum(middle, high))
            low = np.where(below, middle + 1, low)
        found = low < count
        found[found] = self._tags[base[found] + low[found]] == words[found]
        starts, marks = self._locate(rows[found], low[found])
        return found, starts, marks

    def all(self) -> tuple[I64, U64, I64, U8]:
        """Every entry: its block, word, where its payload starts, and its mark."""
        rows = np.repeat(np.arange(len(self._counts)), self._counts)
        entries = np.arange(len(rows), dtype=np.int64) - self._first[rows]
        words = self._tags[self._bases[rows] // 8 + entries].astype(np.uint64)
        starts, marks = self._locate(rows, entries)
        return rows, words, starts, marks

    def _locate(self, rows: I64, entries: I64) -> tuple[I64, U8]:
        index = self._first[rows] + entries
        heap = self._bases[rows] + FIXED_BYTES * self._counts[rows]
        return heap + self._before[index] - self._before[self._first[rows]], self._marks[index]
