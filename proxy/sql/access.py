"""What a plan says: which rows and columns of which tables the engine must be given, and its SQL.

These are plain values, so that a plan can be kept and executed again with other parameters.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ..catalog import Index, Table
from .predicates import Operand, Predicate

CLOCK: Final = -1
"""In :attr:`QueryPlan.parameters`: the start of the transaction, not a parameter of the statement."""


@dataclass(frozen=True, slots=True)
class MatchColumn:
    """A Boolean column that the proxy computes: whether a row matches a keyword query.

    Attributes:
        name: the column's name in the engine.
        columns: ids of the columns that are searched.
        query: the keyword query, TEXT.
    """

    name: str
    columns: tuple[int, ...]
    query: Operand


@dataclass(frozen=True, slots=True)
class OrderedAccess:
    """Rule 11: only the first ``offset + limit`` rows in the order of one column are needed.

    All rows that tie with the last of them must be fetched too. ``limit`` None or NULL means all rows;
    ``folded`` that the order is that of ``lower(column)``.
    """

    column: int
    descending: bool
    nulls_first: bool
    limit: Operand | None
    offset: Operand | None
    folded: bool = False


@dataclass(frozen=True, slots=True)
class Extremum:
    """Rule 11: of this column, only a row with the least (or greatest) value besides NULL is needed."""

    column: int
    greatest: bool


@dataclass(frozen=True, slots=True)
class TableAccess:
    """One table of the catalog as the engine must see it.

    Attributes:
        name: its name in the engine, which is the catalog's.
        table: its schema when the plan was made.
        columns: ids of the columns that are needed; none at all for ``count(*)``.
        predicate: rows for which it is not true cannot matter. None: all rows matter.
        exact: whether the predicate says all that WHERE says of a table that is the only one. Then
            ``ordered`` and ``extremes`` may be used, as long as binding the parameters and the index
            itself are exact too.
        matches: hidden columns ``__match_N`` to be appended.
        ordered: at most one of ``ordered`` and ``extremes`` is set.
        extremes: every extreme that is asked for; rows that hold one of them suffice.
        ordinals: whether the hidden BIGINT column ``__ordinal`` must be appended.
        uses: how often the statement mentions the table.
    """

    name: str
    table: Table
    columns: frozenset[int]
    predicate: Predicate | None = None
    exact: bool = False
    matches: tuple[MatchColumn, ...] = ()
    ordered: OrderedAccess | None = None
    extremes: tuple[Extremum, ...] = ()
    ordinals: bool = False
    uses: int = 1


@dataclass(frozen=True, slots=True)
class SemiJoin:
    """Rule 8: rows of one table can only matter if they have a value that the other has.

    ``left`` and ``right`` number accesses. With ``to_right`` the right table may be reduced to the rows
    whose ``right_column`` is among the values of ``left_column`` in the rows fetched of the left one; NULL
    is never among them. ``to_left`` is the converse. Both may be used, one after the other.
    """

    left: int
    left_column: int
    right: int
    right_column: int
    to_left: bool
    to_right: bool


@dataclass(frozen=True, slots=True)
class DirectOutput:
    """One column of a result that is a column of the only table."""

    name: str
    column: int


@dataclass(frozen=True, slots=True)
class GroupedQuery:
    """A query of one table that can be answered from its groups and their sizes.

    Attributes:
        index: the ``det`` index that tells the groups.
        sql: the query for a table of one row per group, with the index's columns and a weight.
        parameters: of ``sql``, as in :class:`QueryPlan`.
    """

    index: Index
    sql: str
    parameters: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class QueryPlan:
    """A query for the engine and the tables it needs.

    Attributes:
        sql: the whole query in the engine's dialect; its parameters are ``$1``, ``$2``, …
        accesses: one per table of the catalog that the query names, however often.
        parameters: for each parameter of ``sql`` the index of the statement's parameter, or ``CLOCK``.
        joins: reductions of one table by another.
        direct: set for a query of one table whose WHERE is its access's predicate exactly and whose
            result is a list of columns: rule 12, the engine is not needed. If binding the parameters
            is not exact, it is.
        volatile: whether a function such as ``random()`` is called.
        grouped: set for a query of one table whose WHERE is its access's predicate exactly, if it can be
            answered from groups.
    """

    sql: str
    accesses: tuple[TableAccess, ...]
    parameters: tuple[int, ...] = ()
    joins: tuple[SemiJoin, ...] = ()
    direct: tuple[DirectOutput, ...] | None = None
    volatile: bool = False
    grouped: GroupedQuery | None = None

    def engine_parameters(self, parameters: Sequence[object], now: dt.datetime) -> list[object]:
        """The values for the parameters of ``sql``.

        Args:
            parameters: the statement's.
            now: the start of the transaction, with its time zone.
        """
        return engine_parameters(self.parameters, parameters, now)


def engine_parameters(
    numbers: Sequence[int], parameters: Sequence[object], now: dt.datetime
) -> list[object]:
    """The values for the parameters of a text for the engine; see :class:`QueryPlan`."""
    return [now if index == CLOCK else parameters[index] for index in numbers]
