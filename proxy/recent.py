"""The index entries of pending deltas, in memory.

Every reader holds all pending deltas, whatever it asks, so looking in them costs the server nothing to
see. They stay small (merges keep them under 64 k postings), and single-row statements look here often,
so hashed entries live in a dictionary that grows by what a delta adds, never by a rebuild.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from indexes.multimap.batches import SortedEntries
from indexes.multimap.delta import DeltaBody
from indexes.multimap.postings import PostingBatch

Keys = npt.NDArray[np.uint64]
Ordinals = npt.NDArray[np.int64]
Key128 = tuple[int, int]


class RecentIndex:
    """Postings and sorted entries of deltas, or of one transaction's own changes."""

    def __init__(self) -> None:
        self._places: dict[int, list[tuple[int, int]]] = {}
        self._batches: list[PostingBatch] = []
        self._sorted: dict[int, list[SortedEntries]] = {}
        self.postings_count = 0

    def add(self, body: DeltaBody) -> None:
        """Take in the index changes of one delta."""
        self.add_parts(body.hashed, body.sorted)

    def add_parts(
        self, hashed: Sequence[PostingBatch], ranges: Mapping[int, SortedEntries]
    ) -> None:
        """Take in batches of postings and, per range index, sorted entries."""
        for batch in hashed:
            number = len(self._batches)
            self._batches.append(batch)
            places = self._places
            for row, word in enumerate(batch.words.tolist()):
                if word in places:
                    places[word].append((number, row))
                else:
                    places[word] = [(number, row)]
            self.postings_count += len(batch.words)
        for index_id, entries in ranges.items():
            self._sorted.setdefault(index_id, []).append(entries)
            self.postings_count += len(entries)

    def ordinals(self, words: Iterable[int]) -> list[int]:
        """Ordinals listed under any of the words, live or not, unsorted."""
        found: list[int] = []
        for word in words:
            for number, row in self._places.get(word, ()):
                found.append(int(self._batches[number].ordinals[row]))
        return found

    def postings(self, word: int) -> PostingBatch | None:
        """Every posting of one word, live or not."""
        rows: dict[int, list[int]] = {}
        for number, row in self._places.get(word, ()):
            rows.setdefault(number, []).append(row)
        if not rows:
            return None
        return PostingBatch.join(
            [
                self._batches[number].take(np.array(chosen, dtype=np.int64))
                for number, chosen in rows.items()
            ]
        )

    def entries(self, index_id: int) -> SortedEntries:
        """All sorted entries of one range index or dictionary, in no order."""
        parts = self._sorted.get(index_id)
        if not parts:
            return SortedEntries.empty()
        if len(parts) > 1:
            parts[:] = [SortedEntries.join(parts)]
        return parts[0]

    def range(self, index_id: int, low: Key128 | None, high: Key128 | None) -> SortedEntries:
        """Entries whose key lies in [low, high], both ends included, live or not, in no order."""
        entries = self.entries(index_id)
        return entries.where(key_mask(entries.keys, low, high))

    def between(self, index_id: int, low: Key128 | None, high: Key128 | None) -> Ordinals:
        """Ordinals of the entries of `range`."""
        entries = self.entries(index_id)
        return entries.ordinals[key_mask(entries.keys, low, high)]

    def batches(self) -> list[PostingBatch]:
        """Every batch of postings, for a merge."""
        return self._batches

    def words(self) -> npt.NDArray[np.uint64]:
        """Every word that has a posting, in no order."""
        return np.fromiter(self._places, dtype=np.uint64, count=len(self._places))

    def sorted_indexes(self) -> list[int]:
        """Ids of the range indexes and dictionaries that have entries here."""
        return list(self._sorted)


def key_mask(keys: Keys, low: Key128 | None, high: Key128 | None) -> npt.NDArray[np.bool_]:
    """Which 128-bit keys (high word, low word) lie in [low, high]."""
    mask = np.ones(len(keys), dtype=np.bool_)
    if low is not None:
        first, second = np.uint64(low[0]), np.uint64(low[1])
        mask &= (keys[:, 0] > first) | ((keys[:, 0] == first) & (keys[:, 1] >= second))
    if high is not None:
        first, second = np.uint64(high[0]), np.uint64(high[1])
        mask &= (keys[:, 0] < first) | ((keys[:, 0] == first) & (keys[:, 1] <= second))
    return mask
