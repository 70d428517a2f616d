"""Joining posting lists of many sources in bounded memory.

Lists stay encoded; what is decoded at a time are the lists of a range of words, of about 2 MiB, or a piece
of the lists of one word that has more than that. Words are pseudorandom, so ranges by their first bits
hold about as much each, and a source gives up each range when it was joined.

What it leaks: nothing; these are values in the memory of the key holder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np

from indexes.multimap.arrays import I64, U8, Growing
from indexes.multimap.batches import EncodedLists, Live
from indexes.multimap.long_lists import join_long
from indexes.multimap.postings import merge

CHUNK_BYTES = 2 << 20
"""Encoded bytes that are decoded together, with eight more for each list."""

PART_BYTES = 4 << 20
"""About what all sources together have of one range of words."""

LONG_BYTES = 1 << 20
"""A word with more than this is joined by itself."""

_MOST_BITS = 8

Seen: TypeAlias = Callable[[EncodedLists], None]
"""Looks at joined lists."""


@dataclass(frozen=True, slots=True)
class Part:
    """The lists that one source has of a range of words.

    Attributes:
        lists: those of at most 1 MiB, ascending by word.
        long: the others as (word, list).
    """

    lists: EncodedLists
    long: list[tuple[int, U8]]


class ListSource(Protocol):
    """Lists that are given up range by range."""

    @property
    def room(self) -> tuple[int, int]:
        """How many lists there are, and at least as many bytes as they have."""

    def part(self, number: int, bits: int) -> Part:
        """Lists of the words whose first `bits` bits are `number`; asked for once each, ascending."""


class HeldLists:
    """Lists in memory as a source."""

    def __init__(self, lists: EncodedLists) -> None:
        self._lists = lists
        self._first = 0

    @property
    def room(self) -> tuple[int, int]:
        """See the protocol."""
        return len(self._lists), len(self._lists.data)

    def part(self, number: int, bits: int) -> Part:
        """See the protocol."""
        words, start = self._lists.words, self._first
        stop = len(words)
        if number + 1 < 1 << bits:
            stop = int(np.searchsorted(words, np.uint64(number + 1 << 64 - bits)))
        self._first = stop
        return part_of(self._lists.between(start, stop))


def part_of(lists: EncodedLists) -> Part:
    """Tells long lists from others."""
    sizes = np.diff(lists.offsets)
    long = np.flatnonzero(sizes > LONG_BYTES).tolist()
    if not long:
        return Part(lists, [])
    edges = lists.offsets.tolist()
    found = [(int(lists.words[i]), lists.data[edges[i] : edges[i + 1]]) for i in long]
    return Part(lists.take(np.flatnonzero(sizes <= LONG_BYTES)), found)


def part_bits(encoded_bytes: int) -> int:
    """Into how many ranges, as a power of two, to cut sources of so many bytes together: 0 … 8."""
    return min(max(encoded_bytes // PART_BYTES, 1).bit_length() - 1, _MOST_BITS)


def join(
    sources: Sequence[ListSource], bits: int, live: Live | None = None
) -> Iterator[EncodedLists]:
    """All postings of all sources whose ordinal is live, ascending by word; empty lists vanish.

    Args:
        sources: each is used up.
        bits: words are taken in 2^bits ranges.
        live: which ordinals to keep; None keeps everything.

    Raises:
        IntegrityFailure: a list is malformed.
    """
    for number in range(1 << bits):
        yield from _join_part([source.part(number, bits) for source in sources], live)


def _join_part(parts: Sequence[Part], live: Live | None) -> Iterator[EncodedLists]:
    words = [part.lists.words for part in parts]
    words.append(np.array([word for part in parts for word, _ in part.long], dtype=np.uint64))
    sizes = [np.diff(part.lists.offsets) + 8 for part in parts]
    sizes.append(np.array([len(one) for part in parts for _, one in part.long], dtype=np.int64))
    distinct, places = np.unique(np.concatenate(words), return_inverse=True)
    totals = np.bincount(places, np.concatenate(sizes), len(distinct)).astype(np.int64)
    heavy = totals > LONG_BYTES
    for first, last in _chunks(np.where(heavy, 0, totals), heavy):
        low, high = distinct[first], distinct[last]
        if heavy[first]:
            yield _join_word(int(low), parts, live)
            continue
        chunk = []
        for part in parts:
            start, stop = (
                np.searchsorted(part.lists.words, low),
                np.searchsorted(part.lists.words, high, side="right"),
            )
            chunk.append(part.lists.between(int(start), int(stop)))
        yield merge(chunk, live)


def _chunks(sizes: I64, alone: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> list[tuple[int, int]]:
    """First and last places of runs of about 2 MiB; what has to stand alone does."""
    if not len(sizes):
        return []
    chunk = np.cumsum(sizes) // CHUNK_BYTES
    begins = np.ones(len(sizes), dtype=np.bool_)
    begins[1:] = (chunk[1:] != chunk[:-1]) | alone[1:] | alone[:-1]
    firsts = np.flatnonzero(begins)
    lasts = np.append(firsts[1:], len(sizes)) - 1
    return list(zip(firsts.tolist(), lasts.tolist(), strict=True))


def _join_word(word: int, parts: Sequence[Part], live: Live | None) -> EncodedLists:
    found: list[U8] = []
    for part in parts:
        found += [one for number, one in part.long if number == word]
        at = int(np.searchsorted(part.lists.words, np.uint64(word)))
        if at < len(part.lists) and int(part.lists.words[at]) == word:
            found.append(part.lists.data[part.lists.offsets[at] : part.lists.offsets[at + 1]])
    return join_long(word, found, live)


def joined(
    sources: Sequence[ListSource], bits: int, live: Live | None = None, seen: Seen | None = None
) -> EncodedLists:
    """What `join` gives as one set of lists.

    Args:
        sources: each is used up.
        bits: words are taken in 2^bits ranges.
        live: which ordinals to keep; None keeps everything.
        seen: called with the lists of one range after another, as they are joined.

    Raises:
        IntegrityFailure: a list is malformed.
    """
    rooms = [source.room for source in sources]
    most_lists, most_bytes = (sum(room) for room in zip(*rooms, strict=True)) if rooms else (0, 0)
    words, data = Growing(np.uint64, most_lists), Growing(np.uint8, most_bytes)
    offsets = Growing(np.int64, most_lists + 1)
    offsets.append(np.zeros(1, dtype=np.int64))
    for lists in join(sources, bits, live):
        if seen is not None:
            seen(lists)
        offsets.append(lists.offsets[1:] + data.count)
        words.append(lists.words)
        data.append(lists.data)
    return EncodedLists(words.values, data.values, offsets.values)
