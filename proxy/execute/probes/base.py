"""The form of a probe, and what all of them need: constants, and live rows listed under words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias
from uuid import UUID

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from indexes.multimap import postings
from indexes.multimap.postings import PostingBatch
from indexes.types import ColumnType
from proxy.arrow import Array, Ordinals
from proxy.catalog import Index
from proxy.covering import Covered, Keep
from proxy.execute.view import TableView
from proxy.execute.visible import Claimed
from proxy.sql import serving
from proxy.sql.access import MatchColumn
from proxy.sql.predicates import Equals, In, Literal, Operand, Predicate

EMPTY: Ordinals = np.empty(0, dtype=np.int64)
FEW = 256
"""So few rows are read whatever share of the table they are."""
MOST_OF_TABLE = 0.5
"""A lookup that would give more than this share of the table is left to a scan."""


@dataclass(frozen=True, slots=True)
class Context:
    """One access's view of its table.

    Attributes:
        view: the table.
        matches: the access's ``@@`` columns.
        match: the matching ordinals of the access's ``@@`` number n and the index that serves it, or
            None when no index does.
        columns: ids of the columns that are opened of each row that is found.
        claim: told what the store says of rows, to be verified once they are opened.
        covered: keeps what covering indexes list.
    """

    view: TableView
    matches: Sequence[MatchColumn]
    match: Callable[[int], tuple[Index, Ordinals] | None]
    columns: frozenset[int]
    claim: Callable[[Claimed], None]
    covered: Covered

    def served(self, index: Index, parts: Sequence[Predicate]) -> tuple[Predicate, ...]:
        """The conjuncts that an index serves together."""
        return serving.served(index, parts, lambda number: self.matches[number].columns)

    def keeper(self, index: Index) -> Keep | None:
        """Keeps what a covering index lists, if nothing else has to be opened then."""
        return self.covered.keeper(index, self.columns)


@dataclass(frozen=True, slots=True)
class Probe:
    """One index put to use.

    Attributes:
        index: the index.
        covers: the conjuncts that it serves.
        rank: the order in which probes are run when nothing is known of the values: lower first.
        run: live ordinals, ascending, or None when that would be most of the table.
        estimate: about how many rows :attr:`run` gives, or None when that cannot be said without
            asking for them. What it reads, :attr:`run` reads as well. Statistics come first.
        asked: how many words or ranges the index is asked for, for the cost of reading it.
        others: indexes that are put to use together with it.
    """

    index: Index
    covers: tuple[Predicate, ...]
    rank: int
    run: Callable[[], Ordinals | None]
    estimate: Callable[[], int | None] | None = None
    asked: int = 1
    others: tuple[Index, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the indexes put to use."""
        return tuple(one.name for one in (self.index, *self.others))


Prober: TypeAlias = Callable[[Context, Index, tuple[Predicate, ...]], list[Probe]]
"""Probes of an index for conjuncts that it serves together."""

COMPOSITE, EQUAL, AMONG, MATCH, PART, WITHIN = range(6)
"""Ranks: the most selective kinds first."""


def candidates(
    view: TableView, words: npt.NDArray[np.uint64], keep: Keep | None = None
) -> Ordinals:
    """Live ordinals listed under any of the words, ascending.

    Args:
        view: the table.
        words: of an index whose postings are shared by many.
        keep: is given what a covering index keeps beside the postings.
    """
    if len(words) == 0:
        return EMPTY
    found: list[Ordinals] = []
    listed = words.tolist()
    for index in (view.state.recent_index, view.overlay.index):
        here = index.ordinals(listed)
        if here:
            found.append(np.array(here, dtype=np.int64))
        if here and keep is not None:
            keep_values([one for word in listed if (one := index.postings(word))], keep)
    readers = view.state.segments.hashed()
    for lists in view.state.channel.together([partial(one.find, words) for one in readers]):
        batches = postings.explode(lists)
        found.extend(batch.ordinals for batch in batches)
        if keep is not None:
            keep_values(batches, keep)
    return view.keep_live(np.concatenate(found)) if found else EMPTY


def keep_values(batches: Sequence[PostingBatch], keep: Keep) -> None:
    """Hand on what stands beside postings."""
    for batch in batches:
        if batch.values is not None:
            keep(batch.ordinals, batch.values)


def constants(values: Sequence[object], kind: ColumnType) -> Array:
    """Bound literals, which are values of the column's type already, as an array of that type."""
    plain = [one.bytes if isinstance(one, UUID) else one for one in values]
    array: Array = pa.array(plain, type=kind.arrow)
    return array


def literal(operand: Operand) -> object:
    """The value of a bound operand."""
    if not isinstance(operand, Literal):
        raise TypeError("parameters are bound before a lookup")
    return operand.value


def values_of(atom: Equals | In) -> list[object]:
    """The values that an equality allows."""
    operands = (atom.operand,) if isinstance(atom, Equals) else atom.operands
    return [literal(one) for one in operands]
