"""The probe of all server-visible indexes of a table together: the store itself finds the rows, exactly.

Whatever conjuncts these indexes serve goes in one message, because a conjunction that the store sees as a
whole is answered in one round trip and names the fewest rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import product
from math import prod
from typing import Final

from proxy.catalog import Index
from proxy.execute.view import TableView
from proxy.execute.visible import Conditions, rows_of
from proxy.keyspace import scheme_of
from proxy.sql.predicates import Equals, In, Predicate
from proxy.visible import Condition, visible_indexes

from .base import AMONG, COMPOSITE, EQUAL, WITHIN, Context, Probe, values_of
from .equality import MOST_TUPLES, combinations
from .ordered import ranges_of

MOST_REQUESTS: Final = 16
"""Ranges, and combinations of them, that the store is asked for at once at most."""
_PREFERENCE: Final = ("det", "ope", "ore")
"""Which method serves a conjunct that several could serve."""


def probes(context: Context, parts: Sequence[Predicate]) -> list[Probe]:
    """One probe for everything that server-visible indexes serve of a conjunction, if anything."""
    chosen, covers = _chosen(context, parts)
    if not chosen:
        return []
    first, *others = chosen
    alternatives = list(product(*chosen.values()))
    return [
        Probe(
            index=first,
            covers=covers,
            rank=_rank(covers),
            run=partial(rows_of, context.view, alternatives, context.claim),
            asked=sum(len(one.test.values) for found in chosen.values() for one in found),
            others=tuple(others),
        )
    ]


def exactly(context: Context, parts: Sequence[Predicate]) -> list[Conditions] | None:
    """Conjunctions of which a row fulfils one exactly if it fulfils all parts; None where that cannot be said."""
    chosen, covers = _chosen(context, parts)
    exact = all(one.exact for found in chosen.values() for one in found)
    return list(product(*chosen.values())) if exact and set(covers) == set(parts) else None


def together(context: Context, parts: Sequence[Predicate]) -> list[Conditions]:
    """Conjunctions of which every row fulfils one that fulfils all parts."""
    chosen, _ = _chosen(context, parts)
    return list(product(*chosen.values()))


def _chosen(
    context: Context, parts: Sequence[Predicate]
) -> tuple[dict[Index, list[Condition]], tuple[Predicate, ...]]:
    """Which indexes serve which conjuncts: per index conditions of which one must hold."""
    chosen: dict[Index, list[Condition]] = {}
    covers: dict[Predicate, None] = {}
    for index in sorted(visible_indexes(context.view.table), key=_order):
        served = context.served(index, parts)
        if not served or covers.keys() >= set(served):
            continue
        found = conditions(context.view, index, served)
        if found is None or prod(map(len, [*chosen.values(), found])) > MOST_REQUESTS:
            continue
        chosen[index] = found
        covers.update(dict.fromkeys(served))
    return chosen, tuple(covers)


def _order(index: Index) -> tuple[int, int]:
    return _PREFERENCE.index(index.method), -len(index.columns)


def _rank(atoms: Sequence[Predicate]) -> int:
    if len(atoms) > 1:
        return COMPOSITE
    return {Equals: EQUAL, In: AMONG}.get(type(atoms[0]), WITHIN)


def conditions(
    view: TableView, index: Index, served: Sequence[Predicate]
) -> list[Condition] | None:
    """What the store is asked about one index: any of these conditions holds for each row that matters.

    Returns:
        None when there would be too many, or no end to any of them; an empty list when no row matters.
    """
    if index.method == "det":
        return _tagged(view, index, served)
    (atom,) = served
    ranges = ranges_of(view, index, atom)
    if len(ranges) > MOST_REQUESTS or any(one.low is None and one.high is None for one in ranges):
        return None
    scheme = scheme_of(view.table, view.state.keys, index)
    return [scheme.between(one) for one in ranges]


def _tagged(view: TableView, index: Index, served: Sequence[Predicate]) -> list[Condition] | None:
    """The one condition of a ``det`` index: the values are among some."""
    values = [values_of(one) for one in served if isinstance(one, Equals | In)]
    if prod(map(len, values)) > MOST_TUPLES and len(values) > 1:
        return None
    scheme = scheme_of(view.table, view.state.keys, index)
    found = scheme.among(combinations(view, index, values))
    return [] if found is None else [found]
