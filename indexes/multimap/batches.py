"""The array forms of postings: a batch as indexes make it, lists as segments store it.

`postings` encodes batches into lists and back; nothing here depends on the coding.

What it leaks: nothing; these are values in the memory of the key holder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from indexes.multimap.arrays import I64, U8, U32, U64, offsets_of, range_index, take_ranges

MAX_COLUMNS = 7


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
    """

    words: U64
    ordinals: I64
    payload: U32
    positions: Positions | None = None

    def __post_init__(self) -> None:
        n = len(self.words)
        if len(self.ordinals) != n or self.payload.ndim != 2 or len(self.payload) != n:
            raise ValueError("words, ordinals and payload must have one row per posting")
        if self.payload.shape[1] > MAX_COLUMNS:
            raise ValueError("a posting has at most 7 payload columns")
        if self.positions is not None and len(self.positions.offsets) != n + 1:
            raise ValueError("positions must have one range per posting")

    def __len__(self) -> int:
        return len(self.words)

    @property
    def shape(self) -> tuple[int, bool]:
        """(payload columns, has positions): postings of one shape can be joined."""
        return self.payload.shape[1], self.positions is not None

    def take(self, index: I64) -> PostingBatch:
        """The postings at `index`, in that order."""
        positions = None if self.positions is None else self.positions.take(index)
        return PostingBatch(self.words[index], self.ordinals[index], self.payload[index], positions)

    @staticmethod
    def of(words: U64, ordinals: I64) -> PostingBatch:
        """Postings without payload."""
        return PostingBatch(words, ordinals, np.zeros((len(words), 0), dtype=np.uint32))

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
        return PostingBatch(
            np.concatenate([b.words for b in batches]),
            np.concatenate([b.ordinals for b in batches]),
            np.concatenate([b.payload for b in batches]),
            positions,
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

    @staticmethod
    def empty() -> EncodedLists:
        """No lists at all."""
        return EncodedLists(
            np.zeros(0, dtype=np.uint64), np.zeros(0, dtype=np.uint8), np.zeros(1, dtype=np.int64)
        )


@dataclass(frozen=True, slots=True)
class DecodedList:
    """One posting list: ordinals int64[n] ascending, payload uint32[n, k], positions or None."""

    ordinals: I64
    payload: U32
    positions: Positions | None
