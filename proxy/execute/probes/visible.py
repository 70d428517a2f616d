"""The probe of all server-visible indexes of a table together: the store itself finds the rows, exactly.

Whatever conjuncts these indexes serve goes in one message, because a conjunction that the store sees as a
whole is answered in one round trip and names the fewest rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from math import prod
from typing import Final

from proxy.arrow import Ordinals
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


@dataclass(frozen=True, slots=True)
class _Chosen:
    """What one index is asked for; nothing is encrypted before it is.

    Attributes:
        conditions: makes each of the conditions of which one must hold; none if no row matters.
        exact: whether they are the conjuncts served, and not weaker ones.
        asked: values and ranges, for the cost.
    """

    conditions: Sequence[Callable[[], Condition | None]]
    exact: bool
    asked: int


def probes(context: Context, parts: Sequence[Predicate]) -> list[Probe]:
    """One probe for everything that server-visible indexes serve of a conjunction, if anything."""
    chosen, covers = _choose(context, parts)
    if not chosen:
        return []
    first, *others = chosen

    def run() -> Ordinals:
        return rows_of(context.view, _alternatives(chosen), context.claim)

    return [
        Probe(
            index=first,
            covers=covers,
            rank=_rank(covers),
            run=run,
            asked=sum(one.asked for one in chosen.values()),
            others=tuple(others),
        )
    ]


def exactly(context: Context, parts: Sequence[Predicate]) -> list[Conditions] | None:
    """Conjunctions of which a row fulfils one exactly if it fulfils all parts; None where that cannot be said."""
    chosen, covers = _choose(context, parts)
    exact = all(one.exact for one in chosen.values()) and set(covers) == set(parts)
    return _alternatives(chosen) if exact else None


def together(context: Context, parts: Sequence[Predicate]) -> list[Conditions]:
    """Conjunctions of which every row fulfils one that fulfils all parts."""
    chosen, _ = _choose(context, parts)
    return _alternatives(chosen)


def _alternatives(chosen: Mapping[Index, _Chosen]) -> list[Conditions]:
    """The conjunctions whose disjunction is what the indexes are asked for."""
    made = [[make() for make in one.conditions] for one in chosen.values()]
    return list(product(*([one for one in each if one is not None] for each in made)))


def _choose(
    context: Context, parts: Sequence[Predicate]
) -> tuple[dict[Index, _Chosen], tuple[Predicate, ...]]:
    """Which indexes serve which conjuncts, and how."""
    chosen: dict[Index, _Chosen] = {}
    covers: dict[Predicate, None] = {}
    for index in sorted(visible_indexes(context.view.table), key=_order):
        served = context.served(index, parts)
        if not served or covers.keys() >= set(served):
            continue
        found = _chosen_of(context.view, index, served)
        every = [] if found is None else [*chosen.values(), found]
        if found is None or prod(len(one.conditions) for one in every) > MOST_REQUESTS:
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


def _chosen_of(view: TableView, index: Index, served: Sequence[Predicate]) -> _Chosen | None:
    """What one index is asked for; None when that would be too much, or no end to any of it."""
    scheme = scheme_of(view.table, view.state.keys, index)
    if index.method == "det":
        values = [values_of(one) for one in served if isinstance(one, Equals | In)]
        count = prod(map(len, values))
        if count > MOST_TUPLES and len(values) > 1:
            return None

        def among() -> Condition | None:
            return scheme.among(combinations(view, index, values))

        return _Chosen([among], exact=True, asked=count)
    (atom,) = served
    ranges = ranges_of(view, index, atom)
    if len(ranges) > MOST_REQUESTS or any(one.low is None and one.high is None for one in ranges):
        return None
    exact = all(one.exact for one in ranges)
    return _Chosen([partial(scheme.between, one) for one in ranges], exact, len(ranges))
