"""GROUP BY and DISTINCT by a ``det`` index: the store counts equal tags, and one row of each group is opened.

The store answers with each tag, the number of its rows and the label of one of them. The row opened must be live,
fulfil the query's conditions and have that very tag, and the numbers must be possible; otherwise it is an
integrity error. That a number is right, or that no group is left out, is the store's word alone; `encdb check`
recomputes every tag. Rows with NULL have no tag: their number is what the verified number of rows leaves.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import pyarrow as pa

from encdb import wire
from indexes.types import ColumnType, Kind
from proxy.arrow import Array, Ordinals, nulls, one_array
from proxy.catalog import Index
from proxy.integrity import tampered
from proxy.keyspace import scheme_of
from proxy.sql.names import WEIGHT

from .ends import never_null
from .exchange import engine_table
from .view import TableView
from .visible import Claimed, Conditions, request, stored_rows


def group_table(view: TableView, index: Index, conditions: Conditions) -> pa.Table:
    """The groups of the rows that fulfil a conjunction, as a table for the engine.

    Args:
        view: the table, without changes of the transaction.
        index: the ``det`` index.
        conditions: exact ones.

    Returns:
        One row per group with the index's columns and ``__weight``, the number of rows.

    Raises:
        TamperError: a group is not what the store says.
    """
    groups, others = _ask(view, index, conditions)
    complete = all(never_null(view.table, number) for number in index.columns)
    if others < 0 or (others and complete):
        raise tampered(f'the store counts other rows of "{view.table.name}" than there are')
    order, values = _open(view, index, conditions, groups)
    sizes = {label: count for _, count, label in groups}
    weights = [sizes[label] for label in view.state.keys.labels.to_labels(order).tolist()]
    columns = [view.table.column_by_id(number) for number in index.columns]
    if others:
        values = [pa.concat_arrays([one, nulls(1, one.type)]) for one in values]
        weights.append(others)
    described = [(column.name, column.type) for column in columns]
    described.append((WEIGHT, ColumnType(Kind.BIGINT)))
    return engine_table(described, [*values, pa.array(weights, pa.int64())], len(weights))


def _ask(
    view: TableView, index: Index, conditions: Conditions
) -> tuple[tuple[tuple[bytes, int, int], ...], int]:
    """The groups, and how many rows fulfil the conditions and have no tag."""
    channel = view.state.channel
    tests = tuple(one.test for one in conditions)
    tasks = [partial(channel.ask, wire.ReadGroups(view.table.id, index.id, tests))]
    tagged = any(set(one.index.columns) & set(index.columns) for one in conditions)
    if tests and not tagged:
        tasks.append(partial(channel.ask, request(view, conditions)))
    answers = channel.together(tasks)
    groups = wire.verified(answers[0], wire.Groups).groups
    counted = sum(count for _, count, _ in groups)
    if len(answers) > 1:
        return groups, len(stored_rows(view, wire.verified(answers[1], wire.Ids).ids)) - counted
    # A condition on a column is false of NULL.
    return groups, 0 if tests else view.count() - counted


def _open(
    view: TableView,
    index: Index,
    conditions: Conditions,
    groups: Sequence[tuple[bytes, int, int]],
) -> tuple[Ordinals, list[Array]]:
    """The rows that stand for the groups, in any order, and their values of the index's columns."""
    known = {label: tag for tag, _, label in groups}
    if len({tag for tag, _, _ in groups}) < len(groups) or any(one < 1 for _, one, _ in groups):
        raise tampered(f'the store counts a group of "{view.table.name}" twice, or not at all')
    ordinals = stored_rows(view, [label for _, _, label in groups])
    claimed = Claimed(ordinals, conditions)
    needed = list(dict.fromkeys([*index.columns, *sorted(claimed.columns)]))
    order, opened = view.fetch(ordinals, needed)
    values = dict(zip(needed, map(one_array, opened), strict=True))
    claimed.verify(order, values)
    arrays = [values[number] for number in index.columns]
    tags, valid = scheme_of(view.table, view.state.keys, index).values(arrays)
    told = [known[label] for label in view.state.keys.labels.to_labels(order).tolist()]
    if not valid.all() or [tag.tobytes() for tag in tags] != told:
        raise tampered(f'the store names a row of "{view.table.name}" for another group')
    return order, arrays
