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
from typing import Protocol

import numpy as np

from indexes.methods.keyword import FIELD, FREQUENCY, LENGTH
from indexes.multimap.arrays import I64, U32, Mask, offsets_of
from indexes.multimap.postings import Positions
from proxy.search.query import And, Node, Not, Phrase, Query, Similar, Term


class PostingList(Protocol):
    """Postings of one term from one source: a DecodedList, or the rows of a PostingBatch."""

    @property
    def ordinals(self) -> I64:
        """int64[n], in any order."""

    @property
    def payload(self) -> U32:
        """uint32[n, 3]: field, frequency, length."""

    @property
    def positions(self) -> Positions | None:
        """Where the term occurs, or None."""


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
    def from_lists(lists: Iterable[PostingList]) -> TermPostings:
        """The postings of one term from the segments, deltas and own changes that hold it.

        Payloads are uint32[n, 3], as `indexes.methods.keyword` writes them. The result has
        positions if every part has.
        """
        parts = [part for part in lists if len(part.ordinals)]
        if not parts:
            return NO_POSTINGS
        ordinals = np.concatenate([part.ordinals for part in parts])
        payload = np.concatenate([part.payload for part in parts])
        return TermPostings.of(
            ordinals,
            payload[:, FIELD],
            payload[:, FREQUENCY],
            payload[:, LENGTH],
            _join_positions([part.positions for part in parts]),
        )


def joined(terms: Iterable[TermPostings]) -> TermPostings:
    """The postings of several terms as if they were one term, which has no positions.

    A document's frequencies in a field are added, as for synonyms.
    """
    parts = [part for part in terms if len(part)]
    if not parts:
        return NO_POSTINGS
    if len(parts) == 1:
        return parts[0]
    every = TermPostings.of(
        np.concatenate([part.ordinals for part in parts]),
        np.concatenate([part.fields for part in parts]),
        np.concatenate([part.tf for part in parts]),
        np.concatenate([part.lengths for part in parts]),
    )
    fresh = (every.ordinals[1:] != every.ordinals[:-1]) | (every.fields[1:] != every.fields[:-1])
    firsts = np.flatnonzero(np.concatenate(([True], fresh)))
    sums = np.add.reduceat(every.tf, firsts)
    return TermPostings(
        every.ordinals[firsts], every.fields[firsts], sums, every.lengths[firsts], None
    )


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
    if isinstance(node, Term | Similar):
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
    placed = [term.positions for term in terms if term.positions is not None]
    query.require_positions(len(placed) == len(terms))
    # First the (document, field) pairs that hold every term; then positions within those alone.
    fields = 1 + max(int(term.fields.max()) for term in terms)
    pairs = [term.ordinals * fields + term.fields for term in terms]
    shared = reduce(_common, sorted(pairs, key=len))
    starts: list[I64] = []
    for shift, (positions, pair) in enumerate(zip(placed, pairs, strict=True)):
        kept = positions.take(np.flatnonzero(contains(shared, pair)))
        owner = np.repeat(np.arange(len(shared), dtype=np.int64), np.diff(kept.offsets))
        # Where the phrase would begin if this token is its number `shift`; ascending and unique.
        begin = kept.flat.astype(np.int64) - shift
        starts.append(((owner << 32) | begin)[begin >= 0])
    found = reduce(_common, starts)
    return np.unique(shared[found >> 32] // fields)


def _join_positions(parts: list[Positions | None]) -> Positions | None:
    known = [part for part in parts if part is not None]
    if len(known) != len(parts):
        return None
    sizes = np.concatenate([np.diff(part.offsets) for part in known])
    return Positions(np.concatenate([part.flat for part in known]), offsets_of(sizes))
