"""How many rows fulfil a condition, by statistics of its column, or by guess.

Conditions of a conjunction are taken to be independent, those of a disjunction to exclude each other. What
is guessed without statistics follows PostgreSQL's constants for the same conditions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from indexes.errors import EncodingRefused
from indexes.methods import equality
from indexes.methods import range as range_method

from ..arrow import Array
from ..execute.probes.base import FEW, constants, literal, values_of
from ..execute.view import TableView
from ..sql.predicates import (
    And,
    Between,
    Equals,
    Folded,
    In,
    Like,
    Match,
    Or,
    Pattern,
    Predicate,
)
from .column import ColumnStatistics
from .stored import TableStatistics

EQUAL_SHARE: Final = 0.005
RANGE_SHARE: Final = 1 / 3
OTHER_SHARE: Final = 0.01
MOST_SHARE: Final = 0.5
"""Of a list of values, at most."""


class Estimator:
    """Shares of one table's rows, as one statement sees it.

    Statistics are read from the store when the first share is asked for, unless the table is so small that
    nothing depends on them.
    """

    def __init__(self, view: TableView) -> None:
        self._view = view
        self.rows = view.count()
        self._known: dict[Predicate, float | None] = {}

    @property
    def statistics(self) -> TableStatistics | None:
        """The statistics of the table, if there are any that matter."""
        return self._view.state.statistics.read() if self.rows > FEW else None

    def column(self, number: int) -> ColumnStatistics | None:
        """The statistics of one column, if any were made of rows."""
        statistics = self.statistics
        found = None if statistics is None else statistics.columns.get(number)
        return found if found is not None and found.rows else None

    def share(self, predicate: Predicate) -> float | None:
        """The share of rows that fulfil a condition, or None when nothing is known of it."""
        if predicate not in self._known:
            self._known[predicate] = self._share(predicate)
        return self._known[predicate]

    def guess(self, predicate: Predicate) -> float:
        """The same, guessed where nothing is known."""
        known = self.share(predicate)
        return _guess(predicate) if known is None else known

    def _share(self, predicate: Predicate) -> float | None:
        if isinstance(predicate, And | Or):
            parts = [self.share(part) for part in predicate.parts]
            known = [part for part in parts if part is not None]
            if len(known) < len(parts):
                return None
            return math.prod(known) if isinstance(predicate, And) else min(sum(known), 1.0)
        if isinstance(predicate, Match | Pattern):
            return None
        column = self.column(predicate.column)
        if column is None:
            return None
        try:
            return self._on_column(column, predicate)
        except EncodingRefused:
            return None

    def _on_column(
        self, column: ColumnStatistics, atom: Equals | In | Between | Like | Folded
    ) -> float | None:
        match atom:
            case Equals() | In() if column.common:
                return column.equal(self._words(atom), self.rows)
            case Equals() | In():
                # No value is commoner than the others, so which ones they are does not matter.
                values = {value for value in values_of(atom) if value is not None}
                return column.any_of(len(values), self.rows)
            case Between():
                return self._between(column, atom)
            case Like(_, (first, *_), True):
                # What else the text has is left to those that look at the rows.
                kind = self._view.table.column_by_id(atom.column).type
                keys = range_method.prefix_range(kind, first)
                return column.between(keys.low, keys.high)
            case Folded(Equals() | In() as inner):
                # Values that fold alike are counted one by one, so that there may be more rows.
                return column.any_of(len(values_of(inner)), self.rows)
            case _:
                return None

    def _words(self, atom: Equals | In) -> list[int]:
        """The words of the values that an equality allows, each once."""
        kind = self._view.table.column_by_id(atom.column).type
        values = [value for value in values_of(atom) if value is not None]
        if not values:
            return []
        array: Array = constants(values, kind)
        words, valid = equality.words(self._view.state.keys.value_words, [array], [kind])
        return list(set(words[valid].tolist()))

    def _between(self, column: ColumnStatistics, atom: Between) -> float:
        kind = self._view.table.column_by_id(atom.column).type
        found = range_method.key_range(
            kind,
            None if atom.low is None else literal(atom.low),
            None if atom.high is None else literal(atom.high),
            low_inclusive=atom.low_inclusive,
            high_inclusive=atom.high_inclusive,
        )
        return 0.0 if found is None else column.between(found.low, found.high)

    def asked(self, predicate: Predicate) -> float | None:
        """What :meth:`share` said, if it was asked."""
        return self._known.get(predicate)

    def rows_of(self, parts: Sequence[Predicate]) -> float:
        """How many rows fulfil a conjunction, by guess where nothing is known."""
        return math.prod(map(self.guess, parts)) * self.rows

    def at_most(self, parts: Sequence[Predicate]) -> float:
        """How many rows fulfil a conjunction at most, whatever the values of its equalities are."""
        columns = [self.column(part.column) for part in parts if isinstance(part, Equals)]
        known = [column.heaviest for column in columns if column is not None]
        return min(known, default=1.0) * self.rows

    def correlation(self, parts: Sequence[Predicate]) -> float:
        """How rows that fulfil a condition on one column lie together, 0 where nothing is known."""
        if len(parts) != 1 or not isinstance(parts[0], Equals | In | Between):
            return 0.0
        column = self.column(parts[0].column)
        return 0.0 if column is None else column.correlation


def _guess(predicate: Predicate) -> float:
    match predicate:
        case And(parts):
            return math.prod(map(_guess, parts))
        case Or(parts):
            return min(sum(map(_guess, parts)), 1.0)
        case Equals():
            return EQUAL_SHARE
        case In(_, operands):
            return min(len(operands) * EQUAL_SHARE, MOST_SHARE)
        case Between():
            return RANGE_SHARE
        case Folded(atom):
            return _guess(atom)
        case _:
            return OTHER_SHARE
