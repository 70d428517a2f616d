"""From predicates to ordinals: which rows an index says may match.

The answer is a superset of the matching rows or, when no index serves a predicate, everything. The
query itself rechecks every row that is fetched, so an index decides only how much is read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from uuid import UUID

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from indexes.methods import equality
from indexes.methods import range as range_method
from indexes.multimap import postings
from indexes.types import ColumnType
from proxy.arrow import Array, Ordinals
from proxy.catalog import Index
from proxy.sql.predicates import And, Between, Equals, In, Literal, Match, Operand, Or, Predicate

from .view import TableView

EMPTY: Ordinals = np.empty(0, dtype=np.int64)
FEW = 256
"""An exact-match answer of at most this many rows is not narrowed further."""
MOST_OF_TABLE = 0.5
"""A range that holds more than this share of the table is left to a scan."""


def candidates(view: TableView, words: npt.NDArray[np.uint64]) -> Ordinals:
    """Live ordinals listed under any of the words, ascending."""
    if len(words) == 0:
        return EMPTY
    found: list[Ordinals] = []
    listed = words.tolist()
    for index in (view.state.recent_index, view.overlay.index):
        here = index.ordinals(listed)
        if here:
            found.append(np.array(here, dtype=np.int64))
    readers = view.state.segments.hashed()
    for lists in view.state.channel.together([partial(one.find, words) for one in readers]):
        found.extend(batch.ordinals for batch in postings.explode(lists))
    return view.keep_live(np.concatenate(found)) if found else EMPTY


class Lookup:
    """Serves the predicates of one table access from its indexes.

    Args:
        view: the table.
        match: the matching ordinals of the access's ``@@`` number n and the index that serves it, or
            None when no index does.
    """

    def __init__(
        self, view: TableView, match: Callable[[int], tuple[Index, Ordinals] | None]
    ) -> None:
        self._view = view
        self._table = view.table
        self._match_of = match
        self.used: list[str] = []

    def find(self, predicate: Predicate | None) -> Ordinals | None:
        """Candidates for a predicate: live ordinals ascending, or None when no index serves it."""
        if predicate is None:
            return None
        if isinstance(predicate, And):
            return self._both(predicate.parts)
        if isinstance(predicate, Or):
            return self._either(predicate.parts)
        if isinstance(predicate, Match):
            return self._match(predicate)
        return self._atom(predicate)

    def _either(self, parts: Sequence[Predicate]) -> Ordinals | None:
        found: list[Ordinals] = []
        for part in parts:
            one = self.find(part)
            if one is None:
                return None
            found.append(one)
        return np.unique(np.concatenate(found)) if found else EMPTY

    def _both(self, parts: Sequence[Predicate]) -> Ordinals | None:
        """Exact matches first; what is small already is not narrowed further."""
        found = self._composite(parts)
        for part in sorted(parts, key=_cost):
            if found is not None and len(found) <= FEW:
                break
            one = self.find(part)
            if one is not None:
                found = one if found is None else np.intersect1d(found, one, assume_unique=True)
        return found

    def _composite(self, parts: Sequence[Predicate]) -> Ordinals | None:
        """An equality on all columns of a composite index."""
        equals = {part.column: part.operand for part in parts if isinstance(part, Equals)}
        for index in self._table.indexes:
            if index.method != "equality" or len(index.columns) < 2:
                continue
            if all(number in equals for number in index.columns):
                return self._equal(index, [[equals[number]] for number in index.columns])
        return None

    def exact(self, equalities: Sequence[Equals]) -> Ordinals | None:
        """Live rows under one of the equalities, by the first equality index that serves one."""
        found = self._composite(equalities)
        if found is not None:
            return found
        for one in equalities:
            index = self._index("equality", one.column)
            if index is not None:
                return self._equal(index, [[one.operand]])
        return None

    def _atom(self, atom: Equals | In | Between) -> Ordinals | None:
        index = self._index("equality", atom.column)
        if index is not None and not isinstance(atom, Between):
            operands = [atom.operand] if isinstance(atom, Equals) else list(atom.operands)
            return self._equal(index, [operands])
        index = self._index("range", atom.column)
        if index is None:
            return None
        if isinstance(atom, Between):
            return self._between(index, atom)
        operands = [atom.operand] if isinstance(atom, Equals) else list(atom.operands)
        found: list[Ordinals] = [EMPTY]
        for operand in operands:
            one = self._between(index, Between(atom.column, operand, True, operand, True))
            if one is None:
                return None
            found.append(one)
        return np.unique(np.concatenate(found))

    def _index(self, method: str, column: int) -> Index | None:
        fitting = [
            index
            for index in self._table.indexes
            if index.method == method and index.columns == (column,)
        ]
        return fitting[0] if fitting else None

    def _equal(self, index: Index, operands: Sequence[Sequence[Operand]]) -> Ordinals | None:
        types = [self._table.column_by_id(number).type for number in index.columns]
        arrays = []
        for column_operands, kind in zip(operands, types, strict=True):
            arrays.append(constants([literal(one) for one in column_operands], kind))
        words, valid = equality.words(self._view.state.keys.index_words(index.id), arrays, types)
        self._use(index)
        return candidates(self._view, np.unique(words[valid]))

    def _between(self, index: Index, atom: Between) -> Ordinals | None:
        kind = self._table.column_by_id(atom.column).type
        found = range_method.key_range(
            kind,
            None if atom.low is None else literal(atom.low),
            None if atom.high is None else literal(atom.high),
            low_inclusive=atom.low_inclusive,
            high_inclusive=atom.high_inclusive,
        )
        return EMPTY if found is None else self.between(index, found.low, found.high)

    def between(
        self, index: Index, low: tuple[int, int] | None, high: tuple[int, int] | None
    ) -> Ordinals | None:
        """Live rows whose key lies in [low, high], or None when that is most of the table."""
        view = self._view
        readers, together = view.state.segments.sorted(index.id), view.state.channel.together
        estimate = sum(together([partial(one.estimate, low, high) for one in readers]))
        if estimate > MOST_OF_TABLE * max(view.state.manifest.rows, 1) and estimate > FEW:
            return None
        found = [
            view.state.recent_index.between(index.id, low, high),
            view.overlay.index.between(index.id, low, high),
        ]
        entries = together([partial(one.range, low, high) for one in readers])
        found.extend(ordinals for _, ordinals in entries)
        self._use(index)
        return view.keep_live(np.concatenate(found))

    def _match(self, atom: Match) -> Ordinals | None:
        found = self._match_of(atom.match)
        if found is None:
            return None
        self._use(found[0])
        return found[1]

    def _use(self, index: Index) -> None:
        if index.name not in self.used:
            self.used.append(index.name)


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


def _cost(predicate: Predicate) -> int:
    """The order in which conjuncts are tried: the most selective kinds first."""
    return _COSTS.get(type(predicate), len(_COSTS))


_COSTS: dict[type, int] = {Equals: 0, In: 1, Match: 2, Between: 3, Or: 4}
