"""Probes of range indexes: the rows whose keys lie between two keys."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from indexes.methods import range as range_method
from indexes.methods.range import Bound
from proxy.arrow import Ordinals
from proxy.catalog import Index
from proxy.execute.view import TableView
from proxy.sql.predicates import Between, Equals, In, Predicate

from .base import (
    AMONG,
    EMPTY,
    EQUAL,
    FEW,
    MOST_OF_TABLE,
    WITHIN,
    Context,
    Probe,
    literal,
    values_of,
)

Span = tuple[Bound | None, Bound | None]
"""Least and greatest key, both included; None is no bound."""


def probe(context: Context, index: Index, served: tuple[Predicate, ...]) -> list[Probe]:
    """A lookup of the key ranges that the conjuncts allow."""
    view = context.view
    (atom,) = served
    spans = spans_of(view, index, atom)
    rank = {Equals: EQUAL, In: AMONG}.get(type(atom), WITHIN)
    return [
        Probe(
            index,
            served,
            rank,
            partial(within, view, index, spans),
            partial(estimate, view, index, spans),
        )
    ]


def spans_of(view: TableView, index: Index, atom: Predicate) -> list[Span]:
    """The key ranges of one atom on the last column of an index."""
    kind = view.table.column_by_id(index.columns[-1]).type
    if isinstance(atom, Between):
        found = range_method.key_range(
            kind,
            None if atom.low is None else literal(atom.low),
            None if atom.high is None else literal(atom.high),
            low_inclusive=atom.low_inclusive,
            high_inclusive=atom.high_inclusive,
        )
        return [] if found is None else [(found.low, found.high)]
    if not isinstance(atom, Equals | In):
        raise TypeError("a range index serves equalities and ranges")
    spans: list[Span] = []
    for value in values_of(atom):
        # Without a bound a range would hold every row, and a NULL is equal to none of them.
        found = None if value is None else range_method.key_range(kind, value, value)
        if found is not None:
            spans.append((found.low, found.high))
    return spans


def estimate(view: TableView, index: Index, spans: Sequence[Span]) -> int:
    """About how many settled entries lie in the ranges, from the fences alone."""
    readers = view.state.segments.sorted(index.id)
    tasks = [partial(one.estimate, low, high) for one in readers for low, high in spans]
    return sum(view.state.channel.together(tasks))


def within(view: TableView, index: Index, spans: Sequence[Span]) -> Ordinals | None:
    """Live rows whose key lies in one of the ranges, or None when that is most of the table."""
    if not spans:
        return EMPTY
    expected = estimate(view, index, spans)
    if expected > MOST_OF_TABLE * max(view.state.manifest.rows, 1) and expected > FEW:
        return None
    found = [
        source.between(index.id, low, high)
        for source in (view.state.recent_index, view.overlay.index)
        for low, high in spans
    ]
    readers = view.state.segments.sorted(index.id)
    tasks = [partial(one.range, low, high) for one in readers for low, high in spans]
    found.extend(ordinals for _, ordinals in view.state.channel.together(tasks))
    return view.keep_live(np.concatenate(found))
