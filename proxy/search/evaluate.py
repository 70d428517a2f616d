"""A query over posting lists: sorted ordinals in, sorted ordinals out.

A posting is one (term, document, field) with the term's frequency there and the field's length. Boolean
operators are NumPy set operations on sorted ordinals. A negation is carried as "all but these" until
the end, so the set of all documents is needed only when the answer itself is a complement, as in
``-spam`` alone, and never for ``linux -driver``.

It runs on the trusted side over opened lists; what the store saw was decided when they were read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import reduce

import numpy as np

from indexes.multimap.arrays import I64, U32, Mask
from indexes.multimap.postings import DecodedList, Positions
from proxy.search.query import And, Node, Not, Phrase, Query, Term


@dataclass(frozen=True, slots=True)
class TermPostings:
    """All postings of one term, ordered by (ordinal, field); each pair occurs once.

    Attributes:
        ordinals: int64[n], ascending, repeated where a document holds the term in several fields.
        fields: uint32[n], the position of the field among the index's columns.
        tf: uint32[n], how often the term occurs in the field.
        lengths: uint32[n], how many tokens the field has.
        positions: where it occurs, or None when the index keeps no positions.
    """

    ordinals: I64
    fields: U32
    tf: U32
    lengths: U32
    positions: Positions | None = None

    def __len__(self) -> int:
        return len(self.ordinals)

    @property
    def documents(self) -> I64:
        """The distinct ordinals, ascending."""
        if len(self.ordinals) < 2:
            return self.ordinals
        first = np.concatenate(([True], self.ordinals[1:] != self.ordinals[:-1]))
        return self.ordinals if first.all() else self.ordinals[first]

    def take(self, index: I64) -> TermPostings:
        """The postings at `index`, in that order."""
        return TermPostings(
            self.ordinals[index],
            self.fields[index],
            self.tf[index],
            self.lengths[index],
            None if self.positions is None else self.positions.take(index),
        )

    def only(self, live: Callable[[I64], Mask]) -> TermPostings:
        """The postings whose ordinal is live; `live` maps int64[n] to bool[n]."""
        alive = live(self.ordinals)
        return self if alive.all() else self.take(np.flatnonzero(alive))

    @staticmethod
    def of(
        ordinals: I64, fields: U32, tf: U32, lengths: U32, positions: Positions | None = None
    ) -> TermPostings:
        """Postings in any order, put in order."""
        postings = TermPostings(ordinals, fields, tf, lengths, positions)
        rising = ordinals[1:] > ordinals[:-1]
        if (rising | ((ordinals[1:] == ordinals[:-1]) & (fields[1:] > fields[:-1]))).all():
            return postings
        return postings.take(np.lexsort((fields, ordinals)))

    @staticmethod
    def from_lists(lists: Iterable[DecodedList], fields: int) -> TermPostings:
        """The postings of one term from the segments and deltas that hold it.

        Args:
            lists: payload columns are (field, tf, length) for an index over several columns and
                (tf, length) for one over a single column; further columns are ignored.
            fields: how many columns the index has.
        """
        parts = [part for part in lists if len(part.ordinals)]
        if not parts:
            return NO_POSTINGS
        first = 1 if fields > 1 else 0
        joined = np.concatenate([part.payload[:, : first + 2] for part in parts])
        ordinals = np.concatenate([part.ordinals for part in parts])
        field = joined[:, 0] if first else np.zeros(len(joined), dtype=np.uint32)
        positions = _join_positions([part.positions for part in parts])
        return TermPostings.of(ordinals, field, joined[:, first], joined[:, first + 1], positions)


_NO_U32 = np.zeros(0, dtype=np.uint32)
NO_POSTINGS = TermPostings(np.zeros(0, dtype=np.int64), _NO_U32, _NO_U32, _NO_U32, None)
"""The postings of a term that no document holds."""


def evaluate(query: Query, postings: Mapping[str, TermPostings], universe: I64 | None) -> I64:
    """The matching ordinals, ascending and unique.

    Args:
        query: from `parse`.
        postings: by token; a missing one has no postings.
        universe: all live ordinals, ascending; may be None unless `query.complemented`.

    Raises:
        ProgrammingError: E_NO_POSITIONS, a phrase where postings have no positions.
        ValueError: the universe is needed and was not given.
    """
    ordinals, complement = _evaluate(query, query.root, postings)
    if not complement:
        return ordinals
    if universe is None:
        raise ValueError("a complemented query needs the ordinals of all documents")
    return np.setdiff1d(universe, ordinals, assume_unique=True)


def _evaluate(query: Query, node: Node, postings: Mapping[str, TermPostings]) -> tuple[I64, bool]:
    """(a set, whether the node means everything else)."""
    if isinstance(node, Term):
        return postings.get(node.token, NO_POSTINGS).documents, False
    if isinstance(node, Phrase):
        return _phrase(query, [postings.get(token, NO_POSTINGS) for token in node.tokens]), False
    if isinstance(node, Not):
        ordinals, complement = _evaluate(query, node.part, postings)
        return ordinals, not complement
    parts = [_evaluate(query, part, postings) for part in node.parts]
    if isinstance(node, And):
        return _intersect(parts)
    # De Morgan: a or b = not (not a and not b).
    ordinals, complement = _intersect([(part, not negated) for part, negated in parts])
    return ordinals, not complement


def _intersect(parts: list[tuple[I64, bool]]) -> tuple[I64, bool]:
    # The smallest sets first, so that what remains stays small.
    positive = sorted((part for part, negated in parts if not negated), key=len)
    negative = [part for part, negated in parts if negated]
    if not positive:
        return union(negative), True
    result = reduce(_common, positive)
    for part in sorted(negative, key=len, reverse=True):
        result = result[~contains(part, result)]
    return result, False


def _common(a: I64, b: I64) -> I64:
    return a[contains(b, a)]


def contains(members: I64, wanted: I64) -> Mask:
    """Which of `wanted` occur in the ascending array `members`: bool[len(wanted)]."""
    if not len(members):
        return np.zeros(len(wanted), dtype=np.bool_)
    place = np.searchsorted(members, wanted)
    place[place == len(members)] = 0
    return np.asarray(members[place] == wanted)


def union(parts: list[I64]) -> I64:
    """Ascending unique ordinals of all parts, each of which is ascending and unique."""
    if len(parts) == 1:
        return parts[0]
    return np.unique(np.concatenate(parts))


def _phrase(query: Query, terms: list[TermPostings]) -> I64:
    """Ordinals with the terms at consecutive positions of one field."""
    if not all(len(term) for term in terms):
        return NO_POSTINGS.ordinals
    # First the (document, field) pairs that hold every term; then positions within those alone.
    fields = 1 + max(int(term.fields.max()) for term in terms)
    pairs = [term.ordinals * fields + term.fields for term in terms]
    shared = reduce(_common, sorted(pairs, key=len))
    starts: I64 | None = None
    for shift, (term, pair) in enumerate(zip(terms, pairs, strict=True)):
        if term.positions is None:
            query.require_positions(False)
            raise AssertionError("a phrase is only evaluated in a query that has phrases")
        kept = term.positions.take(np.flatnonzero(contains(shared, pair)))
        owner = np.repeat(np.arange(len(shared), dtype=np.int64), np.diff(kept.offsets))
        place = kept.flat.astype(np.int64) - shift
        key = (owner[place >= 0] << 32) | place[place >= 0]
        starts = key if starts is None else starts[np.isin(starts, key, assume_unique=True)]
    assert starts is not None
    return np.unique(shared[starts >> 32] // fields)


def _join_positions(parts: list[Positions | None]) -> Positions | None:
    known = [part for part in parts if part is not None]
    if len(known) != len(parts):
        return None
    sizes = np.concatenate([np.diff(part.offsets) for part in known])
    offsets = np.zeros(len(sizes) + 1, dtype=np.int64)
    np.cumsum(sizes, out=offsets[1:])
    return Positions(np.concatenate([part.flat for part in known]), offsets)
