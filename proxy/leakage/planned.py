"""EXPLAIN (LEAKAGE): the messages that a statement would send, and what each tells the store.

What a connection holds already it does not ask for again, so fewer messages may be sent than are listed here, and
never others. EXPLAIN (LEAKAGE, ANALYZE) shows those that were.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from indexes.leakage import Leak, Profile
from indexes.multimap.segment import dictionary_id
from proxy.catalog import Index, Table
from proxy.covering import is_covering
from proxy.sql.access import QueryPlan, SemiJoin, TableAccess
from proxy.sql.serving import (
    det_index,
    ope_index,
    reads_dictionary,
    searched_by,
    usable_indexes,
)
from proxy.sql.write import DeletePlan, InsertPlan, UpdatePlan

from . import index_profile
from .shape import SMALL, Shape, pages
from .told import Told, lines, told

Plan = QueryPlan | InsertPlan | UpdatePlan | DeletePlan

_LOOKED_UP: Final = (Leak.SEARCH_PATTERN, Leak.TERM_COUNT)
_ORDERED: Final = (Leak.RANGE_PAGES, Leak.PAGE_ORDER)
_BULK_ROWS: Final = 1_024


def planned(
    plan: Plan, shapes: Mapping[int, Shape], chosen: Sequence[Sequence[str] | None]
) -> list[str]:
    """The messages of a statement, in words.

    Args:
        plan: of the statement.
        shapes: by table, how large its segments are.
        chosen: for each access of the plan's query the indexes that are read, in their order, or None
            when that is not decided by a predicate.
    """
    said: set[tuple[Leak, str]] = set()
    heads = told(
        "ReadHeads: what has changed in the tables that are open, whatever the statement asks",
        (Leak.TABLE_USE,),
    )
    found = ["store", *lines([heads], said)]
    query = plan if isinstance(plan, QueryPlan) else plan.query
    if query is not None:
        for access, names in zip(query.accesses, chosen, strict=True):
            found.append(f"table {access.name}")
            found += lines(_groups(query, access), said)
            more = _kept(plan, access)
            found += lines(_access(access, shapes[access.table.id], names, more), said)
        for join in query.joins:
            found.append(_join_line(query, join))
            found += lines(_join(query, join, shapes), said)
    if not isinstance(plan, QueryPlan):
        found.append(f"changes to {plan.table.name}")
        found += lines(_change(plan, shapes[plan.table.id]), said)
    return found


# --- Queries ---------------------------------------------------------------------------------------


def _groups(query: QueryPlan, access: TableAccess) -> Iterator[Told]:
    """Groups that the store counts, unless conditions or own changes leave that to the proxy."""
    if query.grouped is not None:
        index = query.grouped.index
        profile = index_profile(access.table, index)
        message = f"ReadGroups: the tags of {index.name}, and how many rows each has"
        yield told(message, (Leak.RESULT,), profile)


def _kept(plan: Plan, access: TableAccess) -> frozenset[int]:
    """Columns of the rows to be changed that are read beside those by which they are found."""
    if isinstance(plan, QueryPlan | InsertPlan) or access.table.id != plan.table.id:
        return frozenset()
    table = plan.table
    if isinstance(plan, UpdatePlan) or plan.returning is not None:
        assigned = plan.columns if isinstance(plan, UpdatePlan) else ()
        return frozenset(one.id for one in table.columns) - frozenset(assigned)
    counted = [one for one in table.indexes if one.unique or one.method == "keyword"]
    return frozenset(number for index in counted for number in index.columns)


def _access(
    access: TableAccess, shape: Shape, names: Sequence[str] | None, more: frozenset[int]
) -> Iterator[Told]:
    table = access.table
    if shape.liveness:
        yield told(
            "ReadPages: which settled rows are live, the header or all of it, once after each merge",
            (Leak.TABLE_USE,),
        )
    if shape.analysed:
        yield told(
            "ReadPages: the statistics, whole, before the first choice between indexes",
            (Leak.TABLE_USE,),
        )
    chosen = _named(access, names)
    for index in chosen:
        yield from _read(table, index, shape)
        yield from _dictionary(access, index, shape)
    yield from _ends(access, shape)
    for match in access.matches:
        searched = searched_by(access, match)
        if searched is not None and searched not in chosen:
            yield from _read(table, searched, shape)
            yield from _dictionary(access, searched, shape)
    columns = access.columns | more
    covering = [one.name for one in chosen if is_covering(one, columns)]
    if covering and len(covering) == len(chosen) and not access.matches:
        yield Told(
            f"no row is fetched: {', '.join(covering)} holds every column that is needed", ()
        )
        return
    everything = not chosen and access.ordered is None and not access.extremes
    yield from _rows(access, shape, columns, everything=everything)


def _named(access: TableAccess, names: Sequence[str] | None) -> list[Index]:
    """The indexes that a predicate is served by; with an order, those that the store may serve it with."""
    if names is None:
        return [one for one in usable_indexes(access) if one.visible]
    return [one for one in access.table.indexes if one.name in names]


def _ends(access: TableAccess, shape: Shape) -> Iterator[Told]:
    """ORDER BY … LIMIT, MIN and MAX."""
    wanted = [one.column for one in access.extremes]
    if access.ordered is not None:
        wanted.append(access.ordered.column)
    for column in dict.fromkeys(wanted):
        by_store = ope_index(access.table, column)
        if by_store is not None:
            message = f"ReadVisible: the rows at one end of {by_store.name} (ope)"
            yield told(message, (Leak.RESULT,), index_profile(access.table, by_store))
        index = next(
            (
                one
                for one in access.table.indexes
                if one.method == "range" and one.columns == (column,)
            ),
            None,
        )
        if index is None:
            continue
        yield from _read(access.table, index, shape, ends=True)
        if access.ordered is not None and access.ordered.nulls_first:
            profile = index_profile(access.table, index)
            yield from _hashed(
                f"the rows with NULL of {index.name}", profile, profile.on_query, shape
            )


def _read(table: Table, index: Index, shape: Shape, *, ends: bool = False) -> Iterator[Told]:
    """What an index is asked for."""
    profile = index_profile(table, index)
    if not profile.hidden:
        what = "tags" if index.method == "det" else "bounds"
        message = f"ReadVisible: the {what} that {index.name} ({index.method}) is asked for"
        leaks = tuple(one for one in profile.on_query if one is not Leak.ACCESS_PATTERN)
        yield told(message, leaks, profile)
        return
    name = f"{index.name} ({index.method})"
    if index.method != "range":
        yield from _hashed(f"what {name} is asked for", profile, profile.on_query, shape)
    if index.method == "range":
        yield from _sorted(index, name, profile, shape.ordered.get(index.id, ()), ends=ends)
    if index.method == "range" and len(index.columns) > 1:
        what = f"the rows with NULL in the last column of {name}, if it is not restricted"
        yield from _hashed(what, profile, profile.on_query, shape)


def _dictionary(access: TableAccess, index: Index, shape: Shape) -> Iterator[Told]:
    """Where the words are found that patterns stand for."""
    if index.method != "keyword":
        return
    part, whole = reads_dictionary(access, index)
    sizes = shape.ordered.get(dictionary_id(index.id), ())
    name = f"the dictionary of {index.name} ({index.method})"
    if part:
        yield from _sorted(index, name, index_profile(access.table, index), sizes, ends=False)
    large = tuple(one for one in sizes if one > SMALL)
    if whole and not part:
        yield from _whole(f"every page that {name} has", sizes)
    if whole and large:
        yield told(
            f"ReadPages: every page of {name} in the order of the pages, in {pages(large)}",
            (Leak.TABLE_USE,),
        )


def _sorted(
    index: Index, name: str, profile: Profile, sizes: tuple[int, ...], *, ends: bool
) -> Iterator[Told]:
    large = tuple(one for one in sizes if one > SMALL)
    yield from _whole(f"every page that {name} has", sizes)
    if not large:
        return
    leaks = list(_ORDERED)
    if len(index.columns) > 1:
        leaks += _LOOKED_UP
    what = "from one end until there are enough rows" if ends else "that a range or prefix covers"
    yield told(
        f"ReadPages: groups of four pages of {name} {what}, in {pages(large)}", leaks, profile
    )


def _hashed(what: str, profile: Profile, moment: Iterable[Leak], shape: Shape) -> Iterator[Told]:
    """Words that are looked up."""
    large = tuple(one for one in shape.hashed if one > SMALL)
    yield from _whole("every page that hashed indexes share", shape.hashed)
    if not large:
        return
    looked_up = tuple(one for one in _LOOKED_UP if one in moment)
    yield told(f"ReadPages: the bucket pages of {what}, in {pages(large)}", looked_up, profile)
    yield told(
        "ReadPages: the pages of those lists among them that are longer than 128 bytes",
        (Leak.VOLUME,),
        profile,
    )


def _whole(what: str, sizes: tuple[int, ...]) -> Iterator[Told]:
    small = tuple(one for one in sizes if one <= SMALL)
    if small:
        yield told(f"ReadPages: {what}, in {pages(small)}", (Leak.TABLE_USE,))


def _rows(
    access: TableAccess, shape: Shape, opened: frozenset[int], *, everything: bool
) -> Iterator[Told]:
    """Which rows are live, and their columns."""
    if not opened and not access.matches and not access.ordinals and everything:
        return
    large = tuple(one for one in shape.liveness if one > SMALL)
    if large:
        which = "every block" if everything else "the blocks found"
        yield told(
            f"ReadPages: which rows of {which} are live, a page for seven blocks, in {pages(large)}",
            (Leak.ACCESS_PATTERN,),
        )
    names = [one.name for one in access.table.columns if one.id in opened]
    columns = ", ".join(names) or "no column"
    which = "every row" if everything else "the rows found"
    leaks = (Leak.ACCESS_PATTERN,)
    if shape.rows > shape.pending:
        yield told(f"ReadPacks: {columns} of the blocks of {which}", leaks)
    if shape.pending:
        yield told(f"ReadRows: {which}, as far as recent", leaks)


def _join_line(query: QueryPlan, join: SemiJoin) -> str:
    left, right = query.accesses[join.left], query.accesses[join.right]
    first = f"{left.name}.{left.table.column_by_id(join.left_column).name}"
    second = f"{right.name}.{right.table.column_by_id(join.right_column).name}"
    return f"join of {first} and {second}, if one side has few rows"


def _join(query: QueryPlan, join: SemiJoin, shapes: Mapping[int, Shape]) -> Iterator[Told]:
    """The rows of one side are looked up by the values of the other."""
    sides = (
        (join.right, join.right_column, join.to_right),
        (join.left, join.left_column, join.to_left),
    )
    for number, column, legal in sides:
        access = query.accesses[number]
        index = next(
            (
                one
                for one in access.table.indexes
                if one.method == "equality" and one.columns == (column,)
            ),
            None,
        )
        if legal and index is not None:
            yield from _read(access.table, index, shapes[access.table.id])
    left, right = query.accesses[join.left], query.accesses[join.right]
    tags = det_index(left.table, join.left_column)
    if tags is not None and det_index(right.table, join.right_column) is not None:
        profile = index_profile(left.table, tags)
        yield told("ReadJoin: by the tags of both sides", (Leak.RESULT,), profile)


# --- Changes ---------------------------------------------------------------------------------------


def _change(plan: InsertPlan | UpdatePlan | DeletePlan, shape: Shape) -> Iterator[Told]:
    table = plan.table
    adds = not isinstance(plan, DeletePlan)
    if adds:
        yield told("Lease: row numbers, when those leased before are used up", (Leak.ROW_COUNT,))
        for index in table.unique_indexes:
            if isinstance(plan, UpdatePlan) and not set(index.columns) & set(plan.columns):
                continue
            profile = index_profile(table, index)
            what = f"the new values of {index.name}"
            yield from _hashed(what, profile, profile.on_update, shape)
    yield from _commit(plan, adds=adds)


def _commit(plan: InsertPlan | UpdatePlan | DeletePlan, *, adds: bool) -> Iterator[Told]:
    table = plan.table
    if adds:
        many = isinstance(plan, InsertPlan) and len(plan.rows or ()) >= _BULK_ROWS
        how = "in blocks, with pages of their index entries" if many else "one by one"
        yield told(f"Commit: the new rows, sealed {how}", (Leak.ROW_COUNT, Leak.RECORD_SIZE))
    if not isinstance(plan, InsertPlan):
        yield told("Commit: the labels of the rows that go", (Leak.REMOVALS,))
    yield told(
        "Commit: one sealed list of all changes, however many hidden indexes there are",
        (Leak.CHANGE_SIZE, Leak.CHANGE_TIME, Leak.WRITER),
    )
    for index in table.indexes:
        profile = index_profile(table, index)
        if index.unique:
            yield told(
                f"Commit: tags of {index.name}, while rows are recent", (Leak.UNIQUE_TAGS,), profile
            )
        if not profile.hidden:
            yield told(f"Commit: the entries of {index.name}", profile.on_update, profile)
