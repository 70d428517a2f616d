"""Probes of keyword indexes: the rows that match a query, as `proxy.execute.match` evaluates it."""

from __future__ import annotations

from collections.abc import Callable

from proxy.arrow import Ordinals
from proxy.catalog import Index
from proxy.execute.match import covering_index
from proxy.sql.predicates import Match, Predicate
from proxy.sql.serving import columns_by

from .base import MATCH, Context, Probe


def probe(context: Context, index: Index, served: tuple[Predicate, ...]) -> list[Probe]:
    """One probe for each match that this index is the one to serve."""
    return [
        Probe(index, (one,), MATCH, _runner(context, one))
        for one in served
        if isinstance(one, Match) and _serves(context, index, one)
    ]


def _serves(context: Context, index: Index, match: Match) -> bool:
    columns = columns_by(index, context.matches[match.match])
    return bool(columns) and covering_index(context.view.table, columns) == index


def _runner(context: Context, match: Match) -> Callable[[], Ordinals | None]:
    def run() -> Ordinals | None:
        found = context.match(match.match)
        return None if found is None else found[1]

    return run
