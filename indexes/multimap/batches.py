"""The array forms of index entries: batches of postings, lists as segments store them, sorted entries.

A posting and a sorted entry may bear a *value*, bytes that are sealed with it and read with it: the
columns of a covering index, the term of a dictionary. `postings` encodes batches into lists and back,
`sorted_pages` codes sorted entries; nothing here depends on the coding.

What it leaks: nothing; these are values in the memory of the key holder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from indexes.errors import EncodingRefused
from indexes.multimap.arrays import I64, U8, U32, U64, Mask, offsets_of, range_index, take_ranges

MAX_COLUMNS = 7

MAX_VALUE = 2_048
"""Most bytes of one value, so that an entry with it fits an index page."""

Shape: TypeAlias = tuple[int, bool, bool]
"""Payload columns, whether there are positions, whether there are values."""

Live: TypeAlias = Callable[[I64], Mask]
"""Maps int64[n] ordinals to bool[n], true where the row is live."""


def widest(shapes: Iterable[Shape]) -> Shape:
    """The least shape that has room for all of some shapes."""
    columns, positions, values = zip(*shapes, strict=True)
    return max(columns), any(positions), any(values)


@dataclass(frozen=True, slots=True)
class Ragged:
    """Values of n entries: that of entry i is `flat[offsets[i] : offsets[i + 1]]`.

    Attributes:
        flat: uint8[total].
        offsets: int64[n + 1], from 0 to total.
    """

    flat: U8
    offsets: I64

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def sizes(self) -> I64:
        """Bytes of each value: int64[n]."""
        return np.diff(self.offsets)

    @property
    def nbytes(self) -> int:
        """Bytes of both arrays."""
        return self.flat.nbytes + self.offsets.nbytes

    def take(self, index: I64) -> Ragged:
        """The values at `index`, in that order."""
        starts = self.offsets[:-1][index]
        sizes = self.offsets[1:][index] - starts
        return Ragged(take_ranges(self.flat, starts, sizes), offsets_of(sizes))

    def tolist(self) -> list[bytes]:
        """Every value by itself."""
        raw, ends = self.flat.tobytes(), self.offsets.tolist()
        return [raw[ends[i] : ends[i + 1]] for i in range(len(self))]

    def require_fitting(self) -> None:
        """EncodingRefused when a value has more than 2,048 bytes."""
        if len(self) and int(self.sizes.max()) > MAX_VALUE:
            raise EncodingRefused(
                f"an index keeps at most {MAX_VALUE:,} bytes beside an entry; include shorter columns"
            )

    @staticmethod
    def of(values: Sequence[bytes]) -> Ragged:
        """Values given one by one."""
        sizes = np.fromiter(map(len, values), dtype=np.int64, count=len(values))
        return Ragged(np.frombuffer(b"".join(values), dtype=np.uint8), offsets_of(sizes))

    @staticmethod
    def empty(count: int = 0) -> Ragged:
        """`count` values of no bytes."""
        return Ragged(np.zeros(0, dtype=np.uint8), np.zeros(count + 1, dtype=np.int64))

    @staticmethod
    def join(parts: Sequence[Ragged]) -> Ragged:
        """The values of all parts, of which there is at least one."""
        if len(parts) == 1:
            return parts[0]
        sizes = np.concatenate([part.sizes for part in parts])
        return Ragged(np.concatenate([part.flat for part in parts]), offsets_of(sizes))


@dataclass(frozen=True, slots=True)
class Positions:
    """Positions of n postings: those of posting i are `flat[offsets[i] : offsets[i + 1]]`.

    Attributes:
        flat: uint32[total], ascending within a posting.
        offsets: int64[n + 1], from 0 to total.
    """

    flat: U32
    offsets: I64

    def take(self, index: I64) -> Positions:
        """The positions of the postings at `index`, in that order."""
        sizes = np.diff(self.offsets)[index]
        flat = self.flat[range_index(self.offsets[:-1][index], sizes)]
        return Positions(flat, offsets_of(sizes))


@dataclass(frozen=True, slots=True)
class PostingBatch:
    """Postings in any order, all of one shape.

    Attributes:
        words: uint64[n], the PRF word of each posting's term.
        ordinals: int64[n], not negative.
        payload: uint32[n, k] with 0 ≤ k ≤ 7.
        positions: positions of each posting, or None when the index keeps none.
        values: the value of each posting, or None when the index keeps none.
    """

    words: U64
    ordinals: I64
    payload: U32
    positions: Positions | None = None
    values: Ragged | None = None

    def __post_init__(self) -> None:
        n = len(self.words)
        if len(self.ordinals) != n or self.payload.ndim != 2 or len(self.payload) != n:
            raise ValueError("words, ordinals and payload must have one row per posting")
        if self.payload.shape[1] > MAX_COLUMNS:
            raise ValueError("a posting has at most 7 payload columns")
        if self.positions is not None and len(self.positions.offsets) != n + 1:
            raise ValueError("positions must have one range per posting")
        if self.values is not None and len(self.values) != n:
            raise ValueError("there must be one value per posting")

    def __len__(self) -> int:
        return len(self.words)

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        size = self.words.nbytes + self.ordinals.nbytes + self.payload.nbytes
        if self.positions is not None:
            size += self.positions.flat.nbytes + self.positions.offsets.nbytes
        return size + (0 if self.values is None else self.values.nbytes)

    @property
    def shape(self) -> Shape:
        """Postings of one shape can be joined."""
        return self.payload.shape[1], self.positions is not None, self.values is not None

    def take(self, index: I64) -> PostingBatch:
        """The postings at `index`, in that order."""
        return PostingBatch(
            self.words[index],
            self.ordinals[index],
            self.payload[index],
            None if self.positions is None else self.positions.take(index),
            None if self.values is None else self.values.take(index),
        )

    def where(self, mask: Mask) -> PostingBatch:
        """The postings where `mask`, bool[n], is true."""
        return self if mask.all() else self.take(np.flatnonzero(mask))

    def widen(self, shape: Shape) -> PostingBatch:
        """The same postings in a wider shape: zeros, no positions, empty values where they have none."""
        columns, positioned, valued = shape
        n, payload, positions, values = len(self), self.payload, self.positions, self.values
        if columns > payload.shape[1]:
            payload = np.zeros((n, columns), dtype=np.uint32)
            payload[:, : self.payload.shape[1]] = self.payload
        if positioned and positions is None:
            nothing = np.zeros(n + 1, dtype=np.int64)
            positions = Positions(np.zeros(0, dtype=np.uint32), nothing)
        if valued and values is None:
            values = Ragged.empty(n)
        return PostingBatch(self.words, self.ordinals, payload, positions, values)

    @staticmethod
    def of(words: U64, ordinals: I64, values: Ragged | None = None) -> PostingBatch:
        """Postings without payload."""
        nothing = np.zeros((len(words), 0), dtype=np.uint32)
        return PostingBatch(words, ordinals, nothing, values=values)

    @staticmethod
    def join(batches: Sequence[PostingBatch]) -> PostingBatch:
        """One batch holding the postings of all; there is at least one, and all have one shape."""
        if len(batches) == 1:
            return batches[0]
        positions = None
        if batches[0].positions is not None:
            parts = [b.positions for b in batches if b.positions is not None]
            sizes = np.concatenate([np.diff(p.offsets) for p in parts])
            positions = Positions(np.concatenate([p.flat for p in parts]), offsets_of(sizes))
        values = [b.values for b in batches if b.values is not None]
        return PostingBatch(
            np.concatenate([b.words for b in batches]),
            np.concatenate([b.ordinals for b in batches]),
            np.concatenate([b.payload for b in batches]),
            positions,
            Ragged.join(values) if values else None,
        )


@dataclass(frozen=True, slots=True)
class EncodedLists:
    """Encoded lists of m words, of whatever shapes.

    Attributes:
        words: uint64[m], ascending and unique.
        data: uint8[total], the lists one after another.
        offsets: int64[m + 1], list i is `data[offsets[i] : offsets[i + 1]]`.
    """

    words: U64
    data: U8
    offsets: I64

    def __len__(self) -> int:
        return len(self.words)

    def get(self, position: int) -> bytes:
        """The encoded list at a position (not a word)."""
        return self.data[self.offsets[position] : self.offsets[position + 1]].tobytes()

    def take(self, index: I64) -> EncodedLists:
        """The lists at `index`, in that order; ascending indexes keep the words ascending."""
        sizes = np.diff(self.offsets)[index]
        data = take_ranges(self.data, self.offsets[:-1][index], sizes)
        return EncodedLists(self.words[index], data, offsets_of(sizes))

    def between(self, start: int, stop: int) -> EncodedLists:
        """The lists at positions `start` … `stop - 1`, without copying their bytes."""
        offsets = self.offsets[start : stop + 1]
        data = self.data[offsets[0] : offsets[-1]]
        return EncodedLists(self.words[start:stop], data, offsets - offsets[0])

    @staticmethod
    def empty() -> EncodedLists:
        """No lists at all."""
        return EncodedLists(
            np.zeros(0, dtype=np.uint64), np.zeros(0, dtype=np.uint8), np.zeros(1, dtype=np.int64)
        )


@dataclass(frozen=True, slots=True)
class DecodedList:
    """One posting list.

    Attributes:
        ordinals: int64[n] ascending.
        payload: uint32[n, k].
        positions: of each posting, or None.
        values: of each posting, or None.
    """

    ordinals: I64
    payload: U32
    positions: Positions | None
    values: Ragged | None = None


@dataclass(frozen=True, slots=True)
class SortedEntries:
    """Entries of a sorted index, in whatever order.

    Attributes:
        keys: uint64[n, 2], high and low halves.
        ordinals: int64[n], not negative.
        values: the value of each entry, or None when the index keeps none.
    """

    keys: U64
    ordinals: I64
    values: Ragged | None = None

    def __post_init__(self) -> None:
        n = len(self.ordinals)
        if self.keys.shape != (n, 2) or (self.values is not None and len(self.values) != n):
            raise ValueError("there must be one key and one value per entry")

    def __len__(self) -> int:
        return len(self.ordinals)

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        size = self.keys.nbytes + self.ordinals.nbytes
        return size + (0 if self.values is None else self.values.nbytes)

    def take(self, index: I64) -> SortedEntries:
        """The entries at `index`, in that order."""
        values = None if self.values is None else self.values.take(index)
        return SortedEntries(self.keys[index], self.ordinals[index], values)

    def where(self, mask: Mask) -> SortedEntries:
        """The entries where `mask`, bool[n], is true."""
        return self if mask.all() else self.take(np.flatnonzero(mask))

    def between(self, start: int, stop: int) -> SortedEntries:
        """Entries `start` … `stop - 1`, without copying keys and ordinals."""
        values = None
        if self.values is not None:
            offsets = self.values.offsets[start : stop + 1]
            values = Ragged(self.values.flat[offsets[0] : offsets[-1]], offsets - offsets[0])
        return SortedEntries(self.keys[start:stop], self.ordinals[start:stop], values)

    @staticmethod
    def empty() -> SortedEntries:
        """No entries."""
        return SortedEntries(np.zeros((0, 2), dtype=np.uint64), np.zeros(0, dtype=np.int64))

    @staticmethod
    def join(parts: Iterable[SortedEntries]) -> SortedEntries:
        """The entries of all parts. If some have values, those of parts without are empty."""
        filled = [part for part in parts if len(part)]
        if len(filled) < 2:
            return filled[0] if filled else SortedEntries.empty()
        values = None
        if any(part.values is not None for part in filled):
            values = Ragged.join(
                [Ragged.empty(len(part)) if part.values is None else part.values for part in filled]
            )
        return SortedEntries(
            np.concatenate([part.keys for part in filled]),
            np.concatenate([part.ordinals for part in filled]),
            values,
        )
