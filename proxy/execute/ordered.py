"""ORDER BY … LIMIT and MIN/MAX by a range index: the rows at one end of the order, ties included.

A condition on the ordered column alone is where the index is read from: with
``WHERE a > $1 ORDER BY a LIMIT 20`` every page of results costs the same, however many came before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from proxy.arrow import Ordinals
from proxy.catalog import Index
from proxy.recent import Key128, key_mask
from proxy.sql.access import TableAccess
from proxy.sql.predicates import Predicate
from proxy.sql.serving import folds

from .folding import engine_folds_alike
from .probes.base import FEW, MOST_OF_TABLE, candidates
from .probes.ordered import within
from .reach import EVERY, Reach, Reaching, Span
from .view import TableView

ENDS_SHARE = 0.25
"""An ordered read of more than this share of the table is left to a scan."""


@dataclass(frozen=True, slots=True)
class End:
    """Reading an index from one end until it has given so many rows.

    Attributes:
        index: a range index of one column.
        count: how many rows are needed.
        descending: whether the greatest come first.
        nulls: whether all rows without a value come before them.
        fewer: whether fewer rows than ``count`` are an answer: those without a value do not count then.
        reach: what a condition on the column reaches; None without one.
    """

    index: Index
    count: int
    descending: bool
    nulls: bool
    fewer: bool
    reach: Reach | None


def ends(
    view: TableView, access: TableAccess, predicate: Predicate | None, wanted: int | None
) -> list[End] | None:
    """The ends that answer an access with an order or with extremes, or None when they do not; nothing is read.

    Args:
        view: the table.
        access: what is asked of it.
        predicate: what WHERE says, exactly and bound; None without WHERE.
        wanted: how many rows of the order are needed; None when it has no limit.
    """
    found: list[End | None] = []
    ordered = access.ordered
    if ordered is not None:
        if wanted is None or max(wanted, 1) > ENDS_SHARE * view.count():
            return None
        end = _end(view, ordered.column, predicate, ordered.descending, folded=ordered.folded)
        if end is not None:
            index, reach = end
            nulls = ordered.nulls_first and reach is None
            fewer = reach is not None
            found = [End(index, max(wanted, 1), ordered.descending, nulls, fewer, reach)]
    for extremum in access.extremes:
        greatest = extremum.greatest
        end = _end(view, extremum.column, predicate, greatest, folded=False)
        if end is None:
            return None
        index, reach = end
        found.append(End(index, 1, greatest, nulls=False, fewer=True, reach=reach))
    known = [one for one in found if one is not None]
    return known or None


def _end(
    view: TableView, column: int, predicate: Predicate | None, descending: bool, *, folded: bool
) -> tuple[Index, Reach | None] | None:
    index = next(
        (
            one
            for one in view.table.indexes
            if one.method == "range" and one.columns == (column,) and folds(one) == folded
        ),
        None,
    )
    if index is None or (folded and not engine_folds_alike()):
        return None
    if predicate is None:
        return index, None
    kind = view.table.column_by_id(column).type
    reach = Reaching(column, kind, folded=folded).of(predicate, descending=descending)
    return None if reach is None else (index, reach)


def rows_at(view: TableView, found: Sequence[End]) -> Ordinals | None:
    """Live rows at all of these ends, ascending; None when that would be most of the table, or not enough."""
    parts: list[Ordinals] = []
    for one in found:
        part = _rows(view, one)
        if part is None:
            return None
        parts.append(part)
    return np.unique(np.concatenate(parts))


def _rows(view: TableView, end: End) -> Ordinals | None:
    outer = EVERY if end.reach is None else end.reach.outer
    inner = EVERY if end.reach is None else end.reach.inner
    key = end_rows(view, end.index, end.count, descending=end.descending, outer=outer, inner=inner)
    if key is None and not end.fewer:
        return None
    low, high = outer
    if key is not None:
        low, high = (key, high) if end.descending else (low, key)
    ordinals = within(view, end.index, [(low, high)])
    if ordinals is None or not end.nulls:
        return ordinals
    word = view.state.keys.null_word(end.index.id)
    nulls = candidates(view, np.array([word], dtype=np.uint64))
    if len(nulls) > ENDS_SHARE * view.count():
        return None
    return np.union1d(ordinals, nulls)


def end_rows(
    view: TableView,
    index: Index,
    count: int,
    *,
    descending: bool,
    outer: Span = EVERY,
    inner: Span = EVERY,
) -> Key128 | None:
    """The key of the ``count``-th live row from one end of a range index, or of a span of its keys.

    Args:
        view: the table.
        index: the index. Rows whose last column is NULL are not in it.
        count: how many rows to go.
        descending: from the greatest key down.
        outer: only keys herein are read.
        inner: only rows with keys herein count.

    Returns:
        The key; None when there are fewer rows, or when most of the table was read in vain.
    """
    most = max(FEW, MOST_OF_TABLE * view.count())
    counted: list[npt.NDArray[np.uint64]] = []
    for source in (view.state.recent_index, view.overlay.index):
        entries = source.entries(index.id)
        if len(entries):
            here = entries.keys[view.live_mask(entries.ordinals)]
            counted.append(here[key_mask(here, *outer) & key_mask(here, *inner)])
    for reader in view.state.segments.sorted(index.id):
        taken = read = 0
        for entries in reader.ordered(descending, *outer):
            live = entries.keys[view.live_mask(entries.ordinals)]
            live = live[key_mask(live, *inner)]
            counted.append(live)
            taken, read = taken + len(live), read + len(entries)
            if taken >= count:
                break
            if read > most:
                return None
    if sum(map(len, counted)) < count:
        return None
    every = np.concatenate(counted)
    order = np.lexsort((every[:, 1], every[:, 0]))
    last = every[order[-count if descending else count - 1]]
    return int(last[0]), int(last[1])
