"""Probes of server-visible indexes: the store itself filters by value, sorts, and finds the ends of an order.

Conditions on several such indexes of one table are one request. The store answers with labels; that all rows
are among them is not proved, but every row it names must be one that is live, and it is opened and rechecked as
any other. Rows of the open transaction are added here, for the store does not know them.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from encdb import wire
from indexes.methods.range import KeyRange
from proxy import keyspace
from proxy.arrow import Ordinals
from proxy.catalog import Index
from proxy.execute.view import TableView, as_array
from proxy.integrity import tampered
from proxy.sql.predicates import Equals, In, Predicate
from proxy.visible import VisibleIndex

from .base import AMONG, EQUAL, WITHIN, Context, Probe, values_of
from .equality import MOST_TUPLES, combinations
from .ordered import ranges_of

Served = tuple[Index, tuple[Predicate, ...]]


def probe_of(context: Context, served: Sequence[Served]) -> list[Probe]:
    """One probe for all server-visible indexes that serve some of a conjunction."""
    view = context.view
    tests: list[wire.VisibleTest] = []
    covers: list[Predicate] = []
    ranks: list[int] = []
    first: Index | None = None
    # Order-preserving values come before order-revealing ones, which are compared one by one.
    for index, atoms in sorted(served, key=lambda one: one[0].method == "ore"):
        if set(covers).issuperset(atoms):
            continue
        test = test_of(view, index, atoms)
        if test is None:
            continue
        first = first or index
        tests.append(test)
        covers += [one for one in atoms if one not in covers]
        ranks.append(_rank(index, atoms))
    if first is None:
        return []

    def run() -> Ordinals:
        return answered(view, wire.ReadVisible(view.table.id, tuple(tests)))

    return [Probe(first, tuple(covers), min(ranks), run)]


def _rank(index: Index, atoms: Sequence[Predicate]) -> int:
    if index.method != "det":
        return WITHIN
    return EQUAL if all(isinstance(one, Equals) for one in atoms) else AMONG


def test_of(view: TableView, index: Index, atoms: Sequence[Predicate]) -> wire.VisibleTest | None:
    """The condition that the store is asked to check; None when it would be too many."""
    scheme = scheme_of(view, index)
    if index.method == "det":
        values = [values_of(one) for one in atoms if isinstance(one, Equals | In)]
        if len(values) > 1 and prod(map(len, values)) > MOST_TUPLES:
            return None
        shown, valid = scheme.values(combinations(view, index, values))
        wanted = tuple(row.tobytes() for row in shown[valid])
        return wire.VisibleTest(index.id, "tag", wanted)
    ranges = ranges_of(view, index, atoms[0])
    if not ranges:
        # Nothing can match: an empty range of any two ends says so.
        return wire.VisibleTest(index.id, "order", (b"\1", b"\0"))
    if len(ranges) > 1:
        return None
    return range_test(scheme, ranges[0])


def range_test(scheme: VisibleIndex, keys: KeyRange) -> wire.VisibleTest:
    """The condition that a value lies in a range of order keys."""
    ends = scheme.bound(keys.low), scheme.bound(keys.high)
    return wire.VisibleTest(scheme.index.id, scheme.kind, ends)


def scheme_of(view: TableView, index: Index) -> VisibleIndex:
    """The scheme of an index."""
    return keyspace.scheme_of(view.table, view.state.keys, index)


def answered(view: TableView, request: wire.ReadVisible) -> Ordinals:
    """Live ordinals, ascending: those the store names, and all of the open transaction's own rows.

    Raises:
        TamperError: the store names a row that is not there.
    """
    answer = wire.verified(view.state.channel.ask(request), wire.Ids)
    found = named(view, answer.ids)
    overlay = view.overlay
    if overlay.removed:
        found = found[~np.isin(found, as_array(overlay.removed))]
    return np.union1d(found, overlay.live()) if overlay.places else found


def named(view: TableView, labels: Sequence[int]) -> Ordinals:
    """Ordinals, ascending, of rows that the store names, every one of which must be there."""
    state = view.state
    found = np.sort(state.keys.labels.to_ordinals(np.array(labels, dtype=np.int64)))
    if len(np.unique(found)) != len(found) or not TableView(state).live_mask(found).all():
        raise tampered(f'the store names rows of table "{view.table.name}" that are not there')
    return found


def end_rows(view: TableView, index: Index, count: int, *, descending: bool) -> Ordinals:
    """The first rows in the order of an index by `ope`, ties with the last included; ascending ordinals."""
    request = wire.ReadVisible(
        view.table.id, (), order=index.id, descending=descending, limit=count
    )
    return answered(view, request)
