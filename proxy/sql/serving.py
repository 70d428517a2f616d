"""Which parts of a conjunction an index may serve, before anything is known about the data.

Execution and EXPLAIN both ask here, so that a plan shows the indexes that a statement will consider. What
an index serves is a superset of the rows wanted; the query rechecks every row that is fetched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeAlias

from ..catalog import Index
from .access import TableAccess
from .predicates import And, Between, Equals, In, Match, Or, Predicate

Searched: TypeAlias = Callable[[int], tuple[int, ...]]
"""The columns that the access's ``@@`` number n searches."""

_Server: TypeAlias = Callable[[Index, Sequence[Predicate], Searched], tuple[Predicate, ...]]


def served(index: Index, parts: Sequence[Predicate], searched: Searched) -> tuple[Predicate, ...]:
    """The atoms of a conjunction that an index serves together; none when it serves nothing."""
    return _SERVERS[index.method](index, parts, searched)


def usable_indexes(access: TableAccess) -> list[Index]:
    """Indexes that may serve a part of an access's predicate, in the order of the catalog."""
    if access.predicate is None:
        return []

    def searched(number: int) -> tuple[int, ...]:
        return access.matches[number].columns

    groups = list(_conjunctions(access.predicate))
    return [
        index
        for index in access.table.indexes
        if any(served(index, parts, searched) for parts in groups)
    ]


def _conjunctions(predicate: Predicate) -> Iterator[tuple[Predicate, ...]]:
    """Every conjunction within a predicate; an atom by itself is one."""
    parts = predicate.parts if isinstance(predicate, And) else (predicate,)
    yield parts
    for part in parts:
        if isinstance(part, Or):
            for arm in part.parts:
                yield from _conjunctions(arm)


def equality_on(column: int, parts: Sequence[Predicate]) -> Equals | In | None:
    """The first conjunct that says which values a column has."""
    found = (one for one in parts if isinstance(one, Equals | In) and one.column == column)
    return next(found, None)


def range_on(column: int, parts: Sequence[Predicate]) -> Equals | In | Between | None:
    """The conjunct that restricts a column most: an equality, else a range."""
    equal = equality_on(column, parts)
    if equal is not None:
        return equal
    found = (one for one in parts if isinstance(one, Between) and one.column == column)
    return next(found, None)


def _by_equality(index: Index, parts: Sequence[Predicate], _: Searched) -> tuple[Predicate, ...]:
    """All columns have known values."""
    found = [equality_on(column, parts) for column in index.columns]
    return tuple(one for one in found if one is not None) if all(found) else ()


def _by_order(index: Index, parts: Sequence[Predicate], _: Searched) -> tuple[Predicate, ...]:
    """All columns but the last have known values, and the last is restricted if it is the only one."""
    *leading, last = index.columns
    found: list[Equals | In | Between | None] = [equality_on(one, parts) for one in leading]
    if not all(found):
        return ()
    end = range_on(last, parts)
    if end is not None:
        found.append(end)
    return tuple(one for one in found if one is not None)


def _by_words(
    index: Index, parts: Sequence[Predicate], searched: Searched
) -> tuple[Predicate, ...]:
    """Keyword matches over columns of the index."""
    return tuple(
        one
        for one in parts
        if isinstance(one, Match) and set(searched(one.match)) & set(index.columns)
    )


_SERVERS: Final[dict[str, _Server]] = {
    "equality": _by_equality,
    "range": _by_order,
    "keyword": _by_words,
    "det": _by_equality,
    "ore": _by_order,
    "ope": _by_order,
}
