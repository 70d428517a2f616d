"""Segments in clear: how entries lie on pages, and which pages a lookup reads, by docs/format.md.

A model segment holds what the real one holds. It knows the number and kind of its pages from the entries, and where
they lie from the random functions. ``Pages`` is a reader's memory of it: what was read once is not asked for again.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np

from . import spec
from .functions import Functions
from .plain import KeyPair


class Posting(NamedTuple):
    """One row listed under a word."""

    ordinal: int
    payload: tuple[int, ...] = ()
    positions: tuple[int, ...] = ()
    value: bytes | None = None


class Entry(NamedTuple):
    """One row in an order."""

    key: KeyPair
    ordinal: int
    value: bytes | None = None


Lists = dict[int, list[Posting]]
"""Word to its postings."""

SLOTS = [spec.USABLE // parts for parts in (15, 12, 10, 8, 6, 5, 4, 3, 2, 1)]
LOADS = (0.875, 0.8125, 0.75, 0.6875)
LAST_LOADS = (0.65, 0.5, 0.35)
FANOUT = 166


@dataclass
class Segment:
    """What all segments have: their place, and how many pages of which kind."""

    table: int
    segment: int
    functions: Functions
    kind = ""
    index = 0

    header: int = field(init=False, default=1)
    pages: int = field(init=False, default=0)
    entries: int = field(init=False, default=0)

    @property
    def whole(self) -> bool:
        """Whether it is so small that it is read whole."""
        return self.pages <= spec.WHOLE

    @cached_property
    def order(self) -> list[int]:
        """Where each logical body page lies."""
        count = self.pages - self.header
        return self.functions.body(self.table, self.kind, self.segment, count, self.index)

    def page(self, logical: int) -> int:
        """The id of a logical body page."""
        return self.segment << 32 | (self.header + self.order[logical])

    def header_ids(self) -> list[int]:
        """What a first look reads: the header, or everything if that is little."""
        count = self.pages if self.whole else self.header
        return [self.segment << 32 | one for one in range(count)]

    def described(self) -> list[object]:
        """How a manifest names it."""
        return [self.segment, 0, self.index, bytes(32), self.pages, self.header, self.entries]


class Hashed(Segment):
    """Posting lists by word."""

    kind = "hashed"

    def __init__(self, table: int, segment: int, functions: Functions, lists: Lists) -> None:
        super().__init__(table, segment, functions)
        self.lists = lists
        self.words = sorted(lists)
        self.sizes = {word: list_bytes(lists[word]) for word in self.words}
        self.entries = sum(len(one) for one in lists.values())
        costs = [(14 if self.sizes[word] > 128 else self.sizes[word]) + 9 for word in self.words]
        self._costs = dict(zip(self.words, costs, strict=True))
        total = spec.step_class(sum(costs), 16)
        self.header = max(1, -(-total // (512 * spec.USABLE)))
        self.buckets = max(1, math.ceil(total / (load(costs) * spec.USABLE)))
        self.outside, used = self._outside()
        self.pages = spec.page_class(self.header + self.buckets + used)

    def _outside(self) -> tuple[dict[int, list[int]], int]:
        """Logical pages of every list that lies outside its bucket, and how many there are."""
        found: dict[int, list[int]] = {}
        page = self.buckets
        long = [word for word in self.words if self.sizes[word] > 128]
        before = 128
        for slot in SLOTS:
            members = [word for word in long if before < self.sizes[word] <= slot]
            each = spec.USABLE // slot
            for place, word in enumerate(members):
                found[word] = [page + place // each]
            page += -(-len(members) // each)
            before = slot
        for word in long:
            if self.sizes[word] > spec.USABLE:
                span = spec.chain_class(-(-self.sizes[word] // spec.USABLE))
                found[word] = list(range(page, page + span))
                page += span
        return found, page - self.buckets

    def bucket(self, word: int) -> int:
        """The logical page on which a word is looked for, whether it is there or not."""
        return self.functions.place(self.table, self.segment, word) * self.buckets >> 64

    @cached_property
    def stashed(self) -> set[int]:
        """Words that did not fit their bucket."""
        room = [spec.USABLE - 8] * self.buckets
        found = set()
        for word in self.words:
            bucket = self.bucket(word)
            room[bucket] -= self._costs[word]
            if room[bucket] < 0:
                found.add(word)
        assert sum(self._costs[word] for word in found) <= self.header * spec.USABLE - 32
        return found

    def described(self) -> list[object]:
        """See the base class."""
        return [*super().described(), self.buckets]


def list_bytes(postings: Sequence[Posting]) -> int:
    """Bytes of one encoded list; its postings ascend by ordinal."""
    size = 1 + (spec.leb128(len(postings)) if len(postings) > 1 else 0)
    before = 0
    for ordinal, payload, positions, value in postings:
        size += spec.leb128(ordinal - before) + sum(map(spec.leb128, payload))
        before = ordinal
        if positions:
            gaps = [positions[0], *np.diff(positions).tolist()]
            size += spec.leb128(len(positions)) + sum(map(spec.leb128, gaps))
        if value is not None:
            size += spec.leb128(len(value)) + len(value)
    return size


def load(costs: Sequence[int]) -> float:
    """The load of buckets by the sizes of entries; the first that is tried always serves these tests."""
    if not costs:
        return LAST_LOADS[0]
    effective = sum(one * one for one in costs) / sum(costs)
    for one in LOADS:
        if (1 - one) * spec.USABLE >= 2.3 * math.sqrt(one * spec.USABLE * effective):
            return one
    return LAST_LOADS[0]


class Sorted(Segment):
    """Keys with ordinals, in order."""

    kind = "sorted"

    def __init__(
        self,
        table: int,
        segment: int,
        functions: Functions,
        index: int,
        width: int,
        entries: Iterable[Entry],
    ) -> None:
        super().__init__(table, segment, functions)
        self.index = index
        self.width = width
        self.keys = sorted(entries)
        self.entries = len(self.keys)
        self.firsts = self._cut()
        self.levels = [len(self.firsts)]
        while self.levels[-1] > FANOUT:
            self.levels.append(-(-self.levels[-1] // FANOUT))
        # The levels above the data that have pages of their own; the last one lies in the header.
        self.pages = spec.page_class(1 + sum(self.levels))

    def _cut(self) -> list[int]:
        """Numbers of the entries that begin a page: the first of a page is in its head, its value aside."""
        firsts: list[int] = []
        used = 0
        before: Entry | None = None
        for number, entry in enumerate(self.keys):
            key, ordinal, value = entry
            held = 0 if value is None else len(value)
            size = 0 if value is None else spec.leb128(held)
            if before is not None:
                gap = key[0] - before.key[0]
                size += spec.leb128(gap) + spec.leb128(spec.zigzag(ordinal - before.ordinal))
                if self.width == 16:
                    size += spec.leb128(key[1] if gap else key[1] - before.key[1])
            used += size + held
            if not firsts or used > spec.USABLE - 32:
                firsts.append(number)
                used = held
            before = entry
        return firsts

    def first_key(self, page: int) -> KeyPair:
        """The least key of a data page."""
        return self.keys[self.firsts[page]][0]

    def span(self, low: KeyPair | None, high: KeyPair | None) -> tuple[int, int]:
        """Data pages that may hold keys between two bounds."""
        if low is not None and high is not None and low > high:
            return 0, 0
        count = len(self.firsts)
        first = 0
        if low is not None:
            first = max(sum(self.first_key(page) < low for page in range(count)) - 1, 0)
        last = count
        if high is not None:
            last = sum(self.first_key(page) <= high for page in range(count))
        return first, last

    def fences(self, bound: KeyPair, *, after: bool) -> Iterator[list[int]]:
        """Logical pages that are read, one after the other, to find the page of a bound."""
        count = len(self.firsts)
        below = sum(
            self.first_key(page) <= bound if after else self.first_key(page) < bound
            for page in range(count)
        )
        for level in range(len(self.levels) - 1, 0, -1):
            page = max(below - 1, 0) // FANOUT**level
            yield [sum(self.levels[:level]) + page]

    def group(self, first: int, last: int) -> list[int]:
        """The data pages that are read for pages first … last - 1: whole groups of four."""
        start, stop = first // 4 * 4, min(-(-last // 4) * 4, len(self.firsts))
        return list(range(start, stop))

    def between(self, low: KeyPair | None, high: KeyPair | None) -> list[int]:
        """Ordinals whose keys lie between two bounds."""
        return [
            ordinal
            for key, ordinal, _ in self.keys
            if (low is None or key >= low) and (high is None or key <= high)
        ]

    def rank(self, bound: KeyPair, *, after: bool) -> float:
        """About how many entries lie below a bound, as the fences alone tell."""
        count = len(self.firsts)
        pages = sum(
            self.first_key(page) <= bound if after else self.first_key(page) < bound
            for page in range(count)
        )
        if pages == 0:
            return 0.0
        key, before = self.first_key(pages - 1), self.firsts[pages - 1]
        if pages == count:
            return (before + self.entries) / 2
        next_key, next_before = self.first_key(pages), self.firsts[pages]

        def wide(one: KeyPair) -> int:
            return one[0] << 64 | one[1]

        span = wide(next_key) - wide(key)
        share = (wide(bound) - wide(key)) / span if span else 0.5
        return before + (next_before - before) * min(share, 1.0)

    def estimate(self, low: KeyPair | None, high: KeyPair | None) -> int:
        """About how many entries lie between two bounds."""
        first, last = self.span(low, high)
        if first >= last:
            return 0
        start = 0.0 if low is None else self.rank(low, after=False)
        stop = float(self.entries) if high is None else self.rank(high, after=True)
        return max(round(stop - start), 1)

    def described(self) -> list[object]:
        """See the base class."""
        valued = bool(self.keys) and self.keys[0].value is not None
        return [*super().described(), self.width, len(self.firsts), *[1] * valued]


class Liveness(Segment):
    """Blocks and the packs that hold their rows."""

    kind = "liveness"

    def __init__(
        self, table: int, segment: int, functions: Functions, blocks: Mapping[int, int]
    ) -> None:
        super().__init__(table, segment, functions)
        self.blocks = sorted(blocks)
        self.entries = sum(blocks.values())
        self.header = -(-(16 + 4 * len(self.blocks)) // spec.USABLE)
        self.pages = spec.page_class(self.header + -(-len(self.blocks) // 7))

    def logical(self, block: int) -> int:
        """The page of a block's entry."""
        return self.blocks.index(block) // 7

    def described(self) -> list[object]:
        """See the base class."""
        return [*super().described(), len(self.blocks)]


class Analysis(Segment):
    """Statistics: a page for each column of the table, whether it was analysed or not."""

    kind = "statistics"

    def __init__(
        self, table: int, segment: int, functions: Functions, columns: int, analysed: int
    ) -> None:
        super().__init__(table, segment, functions)
        self.columns = columns
        self.entries = analysed
        self.pages = spec.page_class(1 + columns)

    def described(self) -> list[object]:
        """See the base class."""
        return [*super().described(), self.columns]
