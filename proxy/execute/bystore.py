"""What the store itself is asked for one table access: first rows and extremes, groups, a side of a join.

Each of them says no where the store could not answer exactly, and the access is then served as any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from proxy.arrow import Ordinals
from proxy.catalog import Index
from proxy.sql.access import Extremum, OrderedAccess
from proxy.sql.compare import Bound
from proxy.sql.predicates import Between, Equals, In, Predicate
from proxy.sql.serving import det_index, ope_index
from proxy.statistics.choice import Step
from proxy.statistics.estimate import Estimator

from . import ordered as ordered_rows
from .ends import extreme_rows, first_rows, never_null
from .grouped import group_table
from .joined import Side
from .lookup import parts_of
from .probes import base
from .probes.visible import exactly, together
from .visible import Claimed, Conditions, indexes_of

GROUPS_SHARE = 0.125
"""A group costs the store's answer some 40 bytes, and a row of one column some 5."""

if TYPE_CHECKING:
    from .access import Access, Fetched


@dataclass(frozen=True, slots=True)
class StoreEnds:
    """First rows, or extremes, that the store's own B-trees give.

    Attributes:
        count: how many rows are needed.
        descending: whether they are the greatest.
        whole: whether rows without a value can be ruled out.
        extremes: the extremes asked for; none for an order.
        indexes: the ``ope`` index of the order, or those of the extremes.
        alternatives: a row has to fulfil one of these conjunctions.
    """

    count: int
    descending: bool
    whole: bool
    extremes: tuple[Extremum, ...]
    indexes: tuple[Index, ...]
    alternatives: list[Conditions]

    def read(self, access: Access) -> bool:
        """Make the rows the candidates of an access; False when there are too few for that."""
        claims: list[Claimed] = []
        found: Ordinals | None
        if self.extremes:
            wanted = list(zip(self.extremes, self.indexes, strict=True))
            found = extreme_rows(access.view, wanted, self.alternatives, claims.append)
        else:
            found = first_rows(
                access.view,
                self.indexes[0],
                self.alternatives,
                self.count,
                claims.append,
                descending=self.descending,
                whole=self.whole,
            )
        if found is None:
            return False
        access.ordinals = found
        access.claims += claims
        names = [*self.indexes, *indexes_of(self.alternatives)]
        access.note(names)
        step = Step(tuple(one.name for one in names), None, len(found), together=True)
        access.steps.append(step)
        return True


def ends_by_store(access: Access, bound: Bound | None) -> StoreEnds | None:
    """What the store can be asked for an access with an order or with extremes; nothing is read."""
    ordered, extremes = access.access.ordered, access.access.extremes
    if not (ordered or extremes) or (bound is not None and not bound.exact):
        return None
    parts: tuple[Predicate, ...] = ()
    if bound is not None and bound.predicate is not None:
        parts = parts_of(bound.predicate)
    if ordered is not None:
        return _first(access, ordered, parts)
    found = [ope_index(access.access.table, one.column) for one in extremes]
    indexes = tuple(one for one in found if one is not None)
    alternatives = exactly(access.context, parts) if len(indexes) == len(extremes) else None
    if alternatives is None:
        return None
    return StoreEnds(1, False, True, extremes, indexes, alternatives)


def _first(access: Access, ordered: OrderedAccess, parts: Sequence[Predicate]) -> StoreEnds | None:
    """ORDER BY … LIMIT by an ``ope`` index."""
    table, column = access.access.table, ordered.column
    index, wanted = ope_index(table, column), access.wanted(ordered)
    if index is None or wanted is None or ordered.folded:
        return None
    # Every condition on one column is false of NULL.
    named = any(isinstance(one, Equals | In | Between) and one.column == column for one in parts)
    whole, count = named or never_null(table, column), max(wanted, 1)
    if count > ordered_rows.ENDS_SHARE * access.view.count() or not (
        whole or not ordered.nulls_first
    ):
        return None
    alternatives = exactly(access.context, parts)
    if alternatives is None:
        return None
    return StoreEnds(count, ordered.descending, whole, (), (index,), alternatives)


def groups_by_store(access: Access, index: Index) -> Fetched | None:
    """The groups of a ``det`` index in place of rows; None when the rows are needed.

    That is so when the transaction has changes of its own, which the store cannot count, when conditions are
    not served exactly, or when statistics say that most groups are small.
    """
    overlay = access.view.overlay
    if overlay.places or overlay.removed:
        return None
    alternatives: list[Conditions] | None = [()]
    if many_groups(access, index):
        return None
    bound = access.bound()
    if bound is not None:
        if not bound.exact or bound.predicate is None:
            return None
        alternatives = exactly(access.context, parts_of(bound.predicate))
    if alternatives is None or len(alternatives) != 1:
        return None
    table = group_table(access.view, index, alternatives[0])
    access.note([index, *indexes_of(alternatives)])
    return access.fetched(table, access.view.count())


def many_groups(access: Access, index: Index) -> bool:
    """Whether an index of one column is known to have so many groups that reading the rows costs less."""
    rows = access.view.count()
    if len(index.columns) > 1 or rows <= base.FEW:
        return False
    known = Estimator(access.view).column(index.columns[0])
    return known is not None and known.distinct(rows) > GROUPS_SHARE * rows


def side_of_join(access: Access, column_id: int) -> Side | None:
    """The access as a side of a join by the store, or None when it cannot be one."""
    index, overlay = det_index(access.access.table, column_id), access.view.overlay
    if index is None or overlay.places or overlay.removed:
        return None
    bound = access.bound()
    parts = () if bound is None or bound.predicate is None else parts_of(bound.predicate)
    alternatives = together(access.context, parts)
    return Side(access.view, index, alternatives[0] if len(alternatives) == 1 else ())
