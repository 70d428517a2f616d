"""EXPLAIN and EXPLAIN ANALYZE: a plan as lines of text.

The lines name tables, columns, indexes and the literals of the user's own statement, and are shown to that
user only; they belong in no log.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from ..catalog import Index, Table
from .access import OrderedAccess, QueryPlan, SemiJoin, TableAccess
from .predicates import Literal, Operand, Parameter, Predicate, describe
from .serving import (
    det_index,
    join_group,
    ope_index,
    reads_dictionary,
    searched_by,
    too_short,
    usable_indexes,
    without_dictionary,
)
from .write import DeletePlan, InsertPlan, UpdatePlan


@dataclass(frozen=True, slots=True)
class AccessStats:
    """What one table access cost.

    Attributes:
        indexes: names of the indexes that were used; none for a scan.
        pages: index pages read.
        rows: rows opened.
        bytes: sealed bytes received.
        store_ms: milliseconds spent waiting for the store.
        open_ms: milliseconds spent opening what it sent.
        round_trips: how often the store was waited for.
        steps: a line about each index that was read, in order.
    """

    indexes: tuple[str, ...]
    pages: int
    rows: int
    bytes: int
    store_ms: float
    open_ms: float
    round_trips: int
    steps: tuple[str, ...] = ()


Choices: TypeAlias = Sequence[Sequence[str]]

INDEX_STAGES = 3
"""An index's header, the pages that lead to the entries, and long lists or further pages."""
LIVENESS_STAGES = 2
"""Which rows are live: header and pages."""


def explain(
    plan: QueryPlan | InsertPlan | UpdatePlan | DeletePlan, choices: Choices = ()
) -> list[str]:
    """The plan before it is executed: per table what an index may serve, and what is chosen.

    Args:
        plan: the plan.
        choices: lines about what is chosen for each of its accesses, in their order.
    """
    return _render(plan, choices, None, None)


def explain_analyze(
    plan: QueryPlan | InsertPlan | UpdatePlan | DeletePlan,
    stats: Sequence[AccessStats],
    engine_ms: float,
    choices: Choices = (),
) -> list[str]:
    """The plan with what it cost.

    Args:
        plan: the plan that was executed.
        stats: one for each of its accesses, in their order.
        engine_ms: milliseconds in the local engine.
        choices: as for :func:`explain`.
    """
    return _render(plan, choices, stats, engine_ms)


def _render(
    plan: QueryPlan | InsertPlan | UpdatePlan | DeletePlan,
    choices: Choices,
    stats: Sequence[AccessStats] | None,
    engine_ms: float | None,
) -> list[str]:
    lines: list[str] = []
    query: QueryPlan | None
    if isinstance(plan, QueryPlan):
        query = plan
    else:
        action = {InsertPlan: "insert into", UpdatePlan: "update", DeletePlan: "delete from"}
        lines.append(f"{action[type(plan)]} {plan.table.name}")
        query = plan.query
        if isinstance(plan, InsertPlan) and plan.rows is not None:
            lines.append(f"  rows: {len(plan.rows)}, without the local engine")
    if query is None:
        return lines
    for place, access in enumerate(query.accesses):
        lines += _access(access, choices[place] if choices else ())
        if stats is not None:
            lines += _cost(stats[place])
    lines += [_join(query, join) for join in query.joins]
    lines += _by_store(query)
    if stats is None:
        most = sum(map(_round_trips, query.accesses)) + INDEX_STAGES * len(query.joins)
        whole = any(
            reads_dictionary(access, index)[1]
            for access in query.accesses
            for index in _words(access)
        )
        lines.append(
            f"store: 1 round trip for what has changed, at most {most} more for what is not cached"
            + (", and one for each MiB of a dictionary that a pattern reads whole" if whole else "")
        )
    else:
        waited = sum(one.round_trips for one in stats)
        lines.append(f"store: 1 round trip for what has changed, {waited} more")
    if query.direct is not None:
        lines.append("local engine: not needed if the predicate is served exactly")
    elif engine_ms is None:
        lines.append("local engine: runs the whole query over the rows fetched")
    if engine_ms is not None:
        lines.append(f"local engine: {engine_ms:.1f} ms")
    return lines


def _access(access: TableAccess, choice: Sequence[str]) -> list[str]:
    table = access.table
    times = f", mentioned {access.uses} times" if access.uses > 1 else ""
    lines = [f"table {access.name}{times}"]
    if access.predicate is None:
        lines.append("  fetch: all rows")
    else:
        lines.append(f"  fetch: {access_predicate(access)}")
        usable = ", ".join(map(_named, usable_indexes(access)))
        lines.append(f"  indexes: {usable or 'none that serves it, so all rows are fetched'}")
        for index, part in too_short(access):
            lines.append(
                f"  {index.name} (substring) cannot serve {_predicate(access, part)}: no part of it "
                "has three characters in a row"
            )
        for index, part in without_dictionary(access):
            lines.append(
                f"  {index.name} (keyword) cannot serve {_predicate(access, part)}: it keeps no dictionary "
                "of its words, so every text is read"
            )
    lines += [f"  {line}" for line in choice]
    if access.ordered is not None:
        by = "" if access.ordered.folded else _sorted_by(table, access.ordered.column)
        lines.append(f"  order: {_order(access, access.ordered)}{by}")
    for extremum in access.extremes:
        name = "greatest" if extremum.greatest else "least"
        by = _sorted_by(table, extremum.column)
        lines.append(f"  only the {name} {table.column_by_id(extremum.column).name}{by}")
    shown = [column.name for column in table.columns if column.id in access.columns]
    width = f"all {len(shown)}" if len(shown) == len(table.columns) else ", ".join(shown) or "none"
    lines.append(f"  columns: {width}")
    return lines


def _named(index: Index) -> str:
    return f"{index.name} ({index.method}{', server-visible' if index.visible else ''})"


def _sorted_by(table: Table, column: int) -> str:
    """By which index the store sorts."""
    found = ope_index(table, column)
    return "" if found is None else f", by {_named(found)}"


def _by_store(query: QueryPlan) -> list[str]:
    """What the store counts, and what that is worth."""
    lines = []
    if query.grouped is not None:
        lines.append(f"groups: counted by the store, by {_named(query.grouped.index)}")
    if _trusting(query):
        lines.append("server-visible: completeness of what the store finds is not verified")
    return lines


def _trusting(query: QueryPlan) -> bool:
    """Whether a server-visible index may decide which rows are read."""
    for access in query.accesses:
        columns = [one.column for one in access.extremes]
        if access.ordered is not None and not access.ordered.folded:
            columns.append(access.ordered.column)
        if any(ope_index(access.table, one) is not None for one in columns):
            return True
        if any(index.visible for index in usable_indexes(access)):
            return True
    sides = [
        (query.accesses[number].table, column)
        for one in query.joins
        for number, column in ((one.left, one.left_column), (one.right, one.right_column))
    ]
    return query.grouped is not None or any(det_index(*side) is not None for side in sides)


def _round_trips(access: TableAccess) -> int:
    """How often an access may wait for the store, one dependent stage after the other."""
    usable = usable_indexes(access)
    words = _words(access)
    hidden = {index.id for index in (*usable, *words) if not index.visible}
    # All server-visible ones are asked in one message.
    stages = INDEX_STAGES * len(hidden) + any(index.visible for index in usable)
    if access.ordered is not None:
        stages += 2 * INDEX_STAGES
    stages += 2 * INDEX_STAGES * len(access.extremes)
    stages += INDEX_STAGES * sum(any(reads_dictionary(access, index)) for index in words)
    opened = bool(access.columns or access.matches or access.ordinals)
    return stages + (LIVENESS_STAGES + 1 if opened or stages else 0)


def _words(access: TableAccess) -> list[Index]:
    """The keyword indexes that answer an access's matches, whether the rows are found by them or not."""
    found = [searched_by(access, match) for match in access.matches]
    return list({index.id: index for index in found if index is not None}.values())


def access_predicate(access: TableAccess) -> str:
    """The predicate of an access as SQL; empty when there is none."""
    return "" if access.predicate is None else _predicate(access, access.predicate)


def _predicate(access: TableAccess, predicate: Predicate) -> str:
    def name(column: int) -> str:
        return access.table.column_by_id(column).name

    def match(number: int) -> str:
        found = access.matches[number]
        names = ", ".join(access.table.names(found.columns))
        return f"{names if len(found.columns) == 1 else f'({names})'} @@ {_operand(found.query)}"

    return describe(predicate, name, match)


def _operand(operand: Operand | None) -> str:
    match operand:
        case Parameter(index):
            return f"${index + 1}"
        case Literal(value):
            return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else str(value)
        case None:
            return "all"


def _order(access: TableAccess, ordered: OrderedAccess) -> str:
    name = access.table.column_by_id(ordered.column).name
    name = f"lower({name})" if ordered.folded else name
    direction = "descending" if ordered.descending else "ascending"
    nulls = "first" if ordered.nulls_first else "last"
    skipped = f" after {_operand(ordered.offset)}" if ordered.offset is not None else ""
    return (
        f"{name} {direction}, NULL {nulls}, the first {_operand(ordered.limit)}{skipped} and ties"
    )


def _cost(stats: AccessStats) -> list[str]:
    used = ", ".join(stats.indexes) or "none"
    return [
        f"  used: {used}",
        *(f"    {line}" for line in stats.steps),
        (
            f"  pages {stats.pages}, rows {stats.rows}, bytes {stats.bytes}, "
            f"round trips {stats.round_trips}, "
            f"store {stats.store_ms:.1f} ms, opening {stats.open_ms:.1f} ms"
        ),
    ]


def _join(plan: QueryPlan, join: SemiJoin) -> str:
    left, right = plan.accesses[join.left], plan.accesses[join.right]
    first = f"{left.name}.{left.table.column_by_id(join.left_column).name}"
    second = f"{right.name}.{right.table.column_by_id(join.right_column).name}"
    group = join_group(left.table, join.left_column, right.table, join.right_column)
    how = "" if group is None else f", by the store in join group {group}"
    if join.to_left and join.to_right:
        return f"reduce {first} and {second} by each other{how}"
    if join.to_right:
        return f"reduce {second} by {first}{how}"
    return f"reduce {first} by {second}{how}"
