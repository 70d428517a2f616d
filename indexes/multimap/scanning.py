"""Everything that a hashed segment holds, kept encoded and given up range by range, for merges.

What it leaks: nothing; these are values in the memory of the key holder. `hashed.scan` says how the pages
are read.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from indexes.errors import IntegrityFailure
from indexes.multimap import postings
from indexes.multimap.arrays import I64, U8, Growing, offsets_of, put_ranges, take_ranges
from indexes.multimap.batches import EncodedLists
from indexes.multimap.entries import HEAD_MARK, Blocks, Heads, payload_sizes
from indexes.multimap.joining import LONG_BYTES, Part
from indexes.multimap.placement import chain_spans
from indexes.seal import PAGE_USABLE


class _Entries:
    """Words, marks and payloads of entries, as blocks have them."""

    __slots__ = ("marks", "payload", "words")

    def __init__(self, entries: int, room: int) -> None:
        self.words = Growing(np.uint64, entries)
        self.marks = Growing(np.uint8, entries)
        self.payload = Growing(np.uint8, room)


class ScannedLists:
    """The lists of one segment as a source of `joining.join`.

    Args:
        bits: words are given up in 2^bits ranges.
        buckets: bucket pages, the first logical ones.
        body_pages: all logical pages.
        expected: how many lists and how many postings there must be.
    """

    def __init__(self, bits: int, buckets: int, body_pages: int, expected: tuple[int, int]) -> None:
        self._bits = bits
        self._buckets = buckets
        share = expected[0] // (1 << bits) * 9 // 8
        room = buckets * PAGE_USABLE // (1 << bits)
        self._parts: list[_Entries | None] = [_Entries(share, room) for _ in range(1 << bits)]
        self._long = np.empty((body_pages - buckets, PAGE_USABLE), dtype=np.uint8)
        self._expected = expected
        self._given = [0, 0]

    @property
    def room(self) -> tuple[int, int]:
        """See `joining.ListSource`."""
        kept = sum(part.payload.count for part in self._parts if part is not None)
        return self._expected[0], kept + self._long.size

    def keep(self, blocks: Blocks) -> None:
        """Keep all entries of some blocks."""
        _, words, starts, marks = blocks.all()
        sizes = payload_sizes(marks)
        number = np.zeros(len(words), dtype=np.uint8)
        if self._bits:
            number = (words >> np.uint64(64 - self._bits)).astype(np.uint8)
        order = np.argsort(number, kind="stable")
        words, marks, sizes = words[order], marks[order], sizes[order]
        payload = take_ranges(blocks.data, starts[order], sizes)
        edges = np.searchsorted(number[order], np.arange((1 << self._bits) + 1))
        ends = offsets_of(sizes)[edges].tolist()
        for part, (first, last) in enumerate(pairwise(edges.tolist())):
            into = self._parts[part]
            if first < last and into is not None:
                into.words.append(words[first:last])
                into.marks.append(marks[first:last])
                into.payload.append(payload[ends[part] : ends[part + 1]])

    def keep_long(self, logical: I64, pages: U8) -> None:
        """Keep those of these pages that are no buckets."""
        beyond = np.flatnonzero(logical >= self._buckets)
        self._long[logical[beyond] - self._buckets] = pages[beyond]

    def part(self, number: int, bits: int) -> Part:
        """See `joining.ListSource`.

        Raises:
            IntegrityFailure: the place of a list is beyond the segment, a word occurs twice, or, with the
                last range, there were not as many lists and postings as the header says.
        """
        if bits != self._bits:
            raise ValueError("the ranges are those of the scan")
        held, self._parts[number] = self._parts[number], None
        if held is None:
            raise ValueError("each range is taken once")
        words, marks, payload = held.words.values, held.marks.values, held.payload.values
        headed = np.flatnonzero(marks == HEAD_MARK)
        sizes = payload_sizes(marks)
        starts = offsets_of(sizes)[:-1]
        heads = Heads.decode(payload, starts[headed])
        self._check(heads)
        found = np.flatnonzero(heads.size > LONG_BYTES)
        flat, long = self._long.reshape(-1), []
        begins = (heads.page - self._buckets) * PAGE_USABLE + heads.offset
        for i in found.tolist():
            start, size = int(begins[i]), int(heads.size[i])
            long.append((int(words[headed[i]]), flat[start : start + size]))
        # The others come from two buffers into one.
        sizes[headed] = heads.size
        sizes[headed[found]] = 0
        offsets = offsets_of(sizes)
        data = np.empty(int(offsets[-1]), dtype=np.uint8)
        short = np.flatnonzero(marks != HEAD_MARK)
        put_ranges(
            data, offsets[short], take_ranges(payload, starts[short], sizes[short]), sizes[short]
        )
        outside = np.flatnonzero(heads.size <= LONG_BYTES)
        put_ranges(
            data,
            offsets[headed[outside]],
            take_ranges(flat, begins[outside], heads.size[outside]),
            heads.size[outside],
        )
        order = np.argsort(words)
        if (words[order][1:] == words[order][:-1]).any():
            raise IntegrityFailure
        lists = EncodedLists(words, data, offsets).take(order[sizes[order] > 0])
        self._count(number, lists, heads.frequency[found])
        return Part(lists, long)

    def _check(self, heads: Heads) -> None:
        """Every list lies within the pages that are no buckets."""
        spans = chain_spans(heads.size)
        if (heads.page < self._buckets).any() or (heads.size < 1).any():
            raise IntegrityFailure
        if (heads.page - self._buckets + spans > len(self._long)).any():
            raise IntegrityFailure
        if (heads.offset + heads.size > spans * PAGE_USABLE).any():
            raise IntegrityFailure

    def _count(self, number: int, lists: EncodedLists, frequencies: I64) -> None:
        self._given[0] += len(lists) + len(frequencies)
        self._given[1] += int(postings.counts(lists).sum()) + int(frequencies.sum())
        if number + 1 == len(self._parts) and tuple(self._given) != self._expected:
            raise IntegrityFailure
