"""Asking the store by server-visible indexes, and holding its answers against what is verified.

The store answers with labels. Each must be a live row of the verified state, and what is opened of it must
fulfil the conditions that were asked for; anything else is an integrity error. A row that the store leaves
out is missed: completeness is the store's word alone. The transaction's own changes, which the store does not
know, are added and taken off here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from encdb import wire
from proxy.arrow import Array, Chunked, Ordinals, one_array, pick
from proxy.catalog import Index
from proxy.derive import position_of
from proxy.integrity import tampered
from proxy.visible import Condition

from .view import NO_ORDINALS, TableView

Conditions = tuple[Condition, ...]
"""A conjunction."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """Rows of which the store says that they fulfil a conjunction.

    Attributes:
        ordinals: live ones, ascending.
        conditions: what it was asked.
    """

    ordinals: Ordinals
    conditions: Conditions

    @property
    def columns(self) -> frozenset[int]:
        """Ids of the columns that have to be opened to verify this."""
        return frozenset(one for each in self.conditions for one in each.index.columns)

    def verify(self, order: Ordinals, values: Mapping[int, Array | Chunked]) -> None:
        """Hold opened rows against the conditions.

        Args:
            order: the ordinals that were opened, in any order.
            values: their values by column id.

        Raises:
            TamperError: a row does not fulfil a condition.
        """
        places = np.flatnonzero(np.isin(order, self.ordinals))
        if not len(places):
            return
        for condition in self.conditions:
            opened = [one_array(values[number]) for number in condition.index.columns]
            if len(places) < len(order):
                opened = [pick(one, places) for one in opened]
            if not condition.fits(opened).all():
                raise tampered(
                    f'the store found a row by "{condition.index.name}" that does not fit'
                )


def request(view: TableView, conditions: Conditions) -> wire.ReadVisible:
    """The message that asks for the rows of a conjunction."""
    tests = tuple(one.test for one in conditions)
    return wire.ReadVisible(table=view.table.id, tests=tests)


def indexes_of(alternatives: Sequence[Conditions]) -> list[Index]:
    """The indexes that conjunctions ask."""
    return list(dict.fromkeys(one.index for each in alternatives for one in each))


def rows_of(
    view: TableView, alternatives: Sequence[Conditions], claim: Callable[[Claimed], None]
) -> Ordinals:
    """Live rows that fulfil one of several conjunctions, ascending: what the store says, and own rows.

    Args:
        view: the table.
        alternatives: each is one request, all in one round trip.
        claim: told what the store says, to be verified with the rows once they are opened.
    """
    channel = view.state.channel
    tasks = [partial(channel.ask, request(view, one)) for one in alternatives]
    found = [live_rows(view, answer) for answer in channel.together(tasks)]
    for ordinals, conditions in zip(found, alternatives, strict=True):
        claim(Claimed(ordinals, conditions))
    found += [own_rows(view, conditions) for conditions in alternatives]
    return np.unique(np.concatenate(found)) if found else NO_ORDINALS


def live_rows(view: TableView, answer: wire.ReadResponse) -> Ordinals:
    """The rows that an answer names, without those that the transaction has removed; ascending.

    Raises:
        TamperError: a label is of no live row, or named twice.
    """
    ordinals = stored_rows(view, wire.verified(answer, wire.Ids).ids)
    return view.keep_live(ordinals) if view.overlay.removed else ordinals


def stored_rows(view: TableView, labels: Sequence[int]) -> Ordinals:
    """Ordinals, ascending, of labels that an answer names.

    Raises:
        TamperError: a label is of no row that is live in the store's state, or named twice.
    """
    try:
        ordinals = np.sort(view.state.keys.labels.to_ordinals(np.array(labels, dtype=np.int64)))
    except OverflowError:
        raise unknown(view) from None
    if (ordinals[1:] == ordinals[:-1]).any() or not TableView(view.state).live_mask(ordinals).all():
        raise unknown(view)
    return ordinals


def unknown(view: TableView) -> Exception:
    """The error for a row that is not there."""
    return tampered(f'the store found a row of "{view.table.name}" that does not exist')


def own_rows(view: TableView, conditions: Conditions) -> Ordinals:
    """The transaction's own live rows that fulfil a conjunction, ascending."""
    own = view.overlay.live()
    if not len(own):
        return own
    rows = view.overlay.rows(own)
    keep = np.ones(len(own), dtype=np.bool_)
    for condition in conditions:
        places = [position_of(view.table, number) for number in condition.index.columns]
        keep &= condition.fits([one_array(rows.column(place)) for place in places])
    return own[keep]
