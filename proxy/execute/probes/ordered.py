"""Probes of range indexes: the rows whose keys lie between two keys."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import product
from math import prod
from typing import Final

import numpy as np

from indexes.methods import equality
from indexes.methods import range as range_method
from indexes.methods.range import Bound, KeyRange
from indexes.types import ColumnType
from proxy.arrow import Array, Ordinals
from proxy.catalog import Index
from proxy.covering import Keep
from proxy.execute.view import TableView
from proxy.sql.predicates import Between, Equals, In, Like, Predicate
from proxy.sql.serving import equality_on, folds, prefix_of, range_on

from .base import (
    AMONG,
    COMPOSITE,
    EMPTY,
    EQUAL,
    FEW,
    MOST_OF_TABLE,
    WITHIN,
    Context,
    Probe,
    candidates,
    constants,
    literal,
    values_of,
)

Span = tuple[Bound | None, Bound | None]
"""Least and greatest key, both included; None is no bound."""

EVERY_KEY: Final = KeyRange(None, None, exact=True)
MOST_SPANS: Final = 256
"""Combinations of values and ranges that an index of several columns is asked for at most."""


def probe(context: Context, index: Index, served: tuple[Predicate, ...]) -> list[Probe]:
    """A lookup of the key ranges that the conjuncts allow."""
    view = context.view
    if len(index.columns) > 1:
        return _composite(context, index, served)
    atom = range_on(index.columns[-1], served, folded=folds(index))
    if atom is None:
        return []
    spans = [(one.low, one.high) for one in ranges_of(view, index, atom)]
    rank = {Equals: EQUAL, In: AMONG}.get(type(atom), WITHIN)
    run = partial(within, view, index, spans, context.keeper(index))
    expected = partial(estimate, view, index, spans)
    return [Probe(index, served, rank, run, expected, len(spans))]


def _composite(context: Context, index: Index, served: Sequence[Predicate]) -> list[Probe]:
    """The probe of an index of several columns, unless it would be asked for too many ranges."""
    view = context.view
    leading = leading_values(view, index, served)
    atom = range_on(index.columns[-1], served, folded=folds(index))
    ranges = [EVERY_KEY] if atom is None else ranges_of(view, index, atom)
    if leading is None or len(leading[0][0]) * len(ranges) > MOST_SPANS:
        return []
    arrays, types = leading
    spans = composite_spans(view, index, leading, ranges)

    def run() -> Ordinals | None:
        keep = context.keeper(index)
        found = within(view, index, spans, keep)
        if found is None or atom is not None:
            return found
        # Rows whose last column is NULL are listed under words of their own.
        words, valid = equality.words(view.state.keys.null_words(index.id), arrays, types)
        return np.union1d(found, candidates(view, np.unique(words[valid]), keep))

    expected = partial(estimate, view, index, spans)
    return [Probe(index, tuple(served), COMPOSITE, run, expected, len(spans))]


Leading = tuple[list[Array], list[ColumnType]]
"""One array per leading column, all of one length, and their types: combinations of values."""


def leading_values(view: TableView, index: Index, served: Sequence[Predicate]) -> Leading | None:
    """Every combination of values that the conjuncts allow to all columns but the last; None for too many."""
    columns = index.columns[:-1]
    equal = [equality_on(column, served) for column in columns]
    values = [values_of(one) for one in equal if one is not None]
    if len(values) < len(columns) or prod(map(len, values)) > MOST_SPANS:
        return None
    types = [view.table.column_by_id(number).type for number in columns]
    rows = list(product(*values))
    arrays = [constants([row[place] for row in rows], kind) for place, kind in enumerate(types)]
    return arrays, types


def composite_spans(
    view: TableView, index: Index, leading: Leading, ranges: Sequence[KeyRange]
) -> list[Span]:
    """The key ranges of an index of several columns, for each combination of leading values."""
    words, valid = equality.words(view.state.keys.index_words(index.id), *leading)
    return [
        (found.low, found.high)
        for word in np.unique(words[valid]).tolist()
        for found in (range_method.composite_range(word, one) for one in ranges)
    ]


def ranges_of(view: TableView, index: Index, atom: Predicate) -> list[KeyRange]:
    """The key ranges of one atom on the last column of an index, or on its ``lower()``, in keys of that."""
    kind = view.table.column_by_id(index.columns[-1]).type
    if isinstance(atom, Like):
        atom = prefix_of(atom) or atom
    if isinstance(atom, Between):
        found = range_method.key_range(
            kind,
            None if atom.low is None else literal(atom.low),
            None if atom.high is None else literal(atom.high),
            low_inclusive=atom.low_inclusive,
            high_inclusive=atom.high_inclusive,
        )
        return [] if found is None else [found]
    if not isinstance(atom, Equals | In):
        raise TypeError("a range index serves equalities and ranges")
    ranges: list[KeyRange] = []
    for value in values_of(atom):
        # Without a bound a range would hold every row, and a NULL is equal to none of them.
        found = None if value is None else range_method.key_range(kind, value, value)
        if found is not None:
            ranges.append(found)
    return ranges


def estimate(view: TableView, index: Index, spans: Sequence[Span]) -> int:
    """About how many settled entries lie in the ranges, from the fences alone."""
    readers = view.state.segments.sorted(index.id)
    tasks = [partial(one.estimate, low, high) for one in readers for low, high in spans]
    return sum(view.state.channel.together(tasks))


def within(
    view: TableView, index: Index, spans: Sequence[Span], keep: Keep | None = None
) -> Ordinals | None:
    """Live rows whose key lies in one of the ranges, or None when that is most of the table.

    Args:
        view: the table.
        index: a range index.
        spans: ranges of its keys.
        keep: is given what a covering index keeps beside its entries.
    """
    if not spans:
        return EMPTY
    expected = estimate(view, index, spans)
    if expected > MOST_OF_TABLE * max(view.state.manifest.rows, 1) and expected > FEW:
        return None
    found = [
        source.range(index.id, low, high)
        for source in (view.state.recent_index, view.overlay.index)
        for low, high in spans
    ]
    readers = view.state.segments.sorted(index.id)
    tasks = [partial(one.range, low, high) for one in readers for low, high in spans]
    found.extend(view.state.channel.together(tasks))
    for entries in found if keep is not None else ():
        if keep is not None and entries.values is not None:
            keep(entries.ordinals, entries.values)
    return view.keep_live(np.concatenate([entries.ordinals for entries in found]))
