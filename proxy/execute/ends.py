"""ORDER BY … LIMIT and MIN/MAX by an ``ope`` index: the store's own B-tree gives the rows at one end.

Conditions that server-visible indexes serve exactly may go along, so that ``WHERE zip = 'x' ORDER BY age
LIMIT 3`` names three rows. Rows that the transaction has removed still count in the store, so as many more
are asked for; rows of its own are all added, and the engine chooses among them. NULL is not in an index, so
where it could matter, and cannot be ruled out, the table is read in another way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from encdb import wire
from indexes.methods.range import KeyRange
from proxy.arrow import Ordinals
from proxy.catalog import Index, Table
from proxy.integrity import tampered
from proxy.keyspace import scheme_of
from proxy.sql.access import Extremum

from .view import TableView
from .visible import Claimed, Conditions, own_rows, stored_rows

ANY_VALUE = KeyRange(None, None, exact=True)
Claim = Callable[[Claimed], None]


@dataclass(frozen=True, slots=True)
class End:
    """One end of an order.

    Attributes:
        index: the ``ope`` index.
        count: how many rows are needed.
        descending: whether they are the greatest.
        conditions: a conjunction that they have to fulfil.
    """

    index: Index
    count: int
    descending: bool
    conditions: Conditions


def never_null(table: Table, column_id: int) -> bool:
    """Whether a column cannot hold NULL."""
    primary = table.primary_key
    key = primary is not None and column_id in primary.columns
    return key or table.column_by_id(column_id).not_null


def first_rows(
    view: TableView,
    index: Index,
    alternatives: Sequence[Conditions],
    count: int,
    claim: Claim,
    *,
    descending: bool,
    whole: bool,
) -> Ordinals | None:
    """Live rows among which the first ones in the order of a column are, with all that tie with the last.

    Args:
        view: the table.
        index: the ``ope`` index of the column.
        alternatives: a row has to fulfil one of these conjunctions.
        count: how many rows are needed.
        claim: told what the store says, to be verified with the rows.
        descending: from which end.
        whole: whether rows without a value can be ruled out.

    Returns:
        None when rows without a value are needed to make up the number.
    """
    asked = [End(index, count, descending, one) for one in alternatives]
    found = _read(view, asked, claim)
    if not whole and len(_union(found)) < count:
        return None
    return _union([*found, *(own_rows(view, one) for one in alternatives)])


def extreme_rows(
    view: TableView,
    wanted: Sequence[tuple[Extremum, Index]],
    alternatives: Sequence[Conditions],
    claim: Claim,
) -> Ordinals:
    """Live rows among which one has each of these least or greatest values, if there is any value.

    Args:
        view: the table.
        wanted: each with the ``ope`` index of its column.
        alternatives: a row has to fulfil one of these conjunctions.
        claim: told what the store says, to be verified with the rows.
    """
    asked = [End(index, 1, one.greatest, each) for one, index in wanted for each in alternatives]
    parts = [own_rows(view, each) for each in alternatives]
    for end, found in zip(asked, _read(view, asked, claim), strict=True):
        exact = scheme_of(view.table, view.state.keys, end.index).exact
        # All of them have the same value, unless some were asked for in place of removed ones.
        parts.append(found[-1:] if exact and not view.overlay.removed else found)
    return _union(parts)


def _read(view: TableView, asked: Sequence[End], claim: Claim) -> list[Ordinals]:
    """The live rows at each of these ends, which must have a value and fulfil what was asked.

    Raises:
        TamperError: a row is named that is not there; or fewer than there must be, where every row has a value.
    """
    channel, extra = view.state.channel, len(view.overlay.removed)
    requests = [
        wire.ReadVisible(
            table=view.table.id,
            tests=tuple(one.test for one in end.conditions),
            order=end.index.id,
            descending=end.descending,
            limit=end.count + extra,
        )
        for end in asked
    ]
    answers = channel.together([partial(channel.ask, one) for one in requests])
    found: list[Ordinals] = []
    for end, answer in zip(asked, answers, strict=True):
        stored = stored_rows(view, wire.verified(answer, wire.Ids).ids)
        every = not end.conditions and never_null(view.table, end.index.columns[0])
        if every and len(stored) < min(end.count + extra, TableView(view.state).count()):
            raise tampered(f'the store leaves out rows of "{view.table.name}"')
        live = view.keep_live(stored) if extra else stored
        present = scheme_of(view.table, view.state.keys, end.index).between(ANY_VALUE)
        claim(Claimed(live, (*end.conditions, present)))
        found.append(live)
    return found


def _union(parts: Sequence[Ordinals]) -> Ordinals:
    return np.unique(np.concatenate(parts)) if parts else np.empty(0, dtype=np.int64)
