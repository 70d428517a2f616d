"""ORDER BY … LIMIT and MIN/MAX by a range index: the rows at one end of the order, ties included.

A condition on the ordered column alone is where the index is read from: with
``WHERE a > $1 ORDER BY a LIMIT 20`` every page of results costs the same, however many came before it. An index
of several columns serves ``WHERE zip = $1 ORDER BY age LIMIT 20``, whose rows stand together in it. That two
tuples of leading values share a word, and rows of the one are counted for the other, is as improbable as
:mod:`indexes.prf` says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from indexes.methods import equality
from proxy.arrow import Ordinals
from proxy.catalog import Index
from proxy.recent import Key128, key_mask
from proxy.sql.access import TableAccess
from proxy.sql.predicates import Equals, Predicate, conjunction
from proxy.sql.serving import folds

from .folding import engine_folds_alike
from .lookup import parts_of
from .probes.base import FEW, MOST_OF_TABLE, Context, candidates
from .probes.ordered import leading_values, within
from .reach import EVERY, WHOLE, Reach, Reaching, Span
from .view import TableView

ENDS_SHARE = 0.25
"""An ordered read of more than this share of the table is left to a scan."""

Words = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class End:
    """Reading an index from one end until it has given so many rows.

    Attributes:
        index: a range index.
        count: how many rows are needed.
        descending: whether the greatest come first.
        reach: where the rows lie that WHERE allows.
        missing: words under which the rows are listed that WHERE allows and that have no value.
        missing_first: whether those come before all others.
        fewer: whether fewer rows than ``count`` are an answer.
    """

    index: Index
    count: int
    descending: bool
    reach: Reach
    missing: Words
    missing_first: bool
    fewer: bool


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
    ordered = access.ordered
    if ordered is not None:
        count = 0 if wanted is None else max(wanted, 1)
        if wanted is None or count > ENDS_SHARE * view.count():
            return None
        column, down = ordered.column, ordered.descending
        for index in _indexes(view, column, folded=ordered.folded):
            place = _place(view, index, predicate, descending=down)
            if place is not None:
                # Without WHERE, rows without a value are most likely most of those that are left.
                fewer = predicate is not None
                return [End(index, count, down, *place, ordered.nulls_first, fewer)]
        return None
    found: list[End] = []
    for extremum in access.extremes:
        for index in _indexes(view, extremum.column, folded=False):
            place = _place(view, index, predicate, descending=extremum.greatest)
            if place is not None:
                reach, none = place[0], np.empty(0, dtype=np.uint64)
                found.append(End(index, 1, extremum.greatest, reach, none, False, fewer=True))
                break
        else:
            return None
    return found or None


def _indexes(view: TableView, column: int, *, folded: bool) -> list[Index]:
    """Range indexes in the order of a column, those of this column alone first."""
    found = [
        one
        for one in view.table.indexes
        if one.method == "range" and one.columns[-1] == column and folds(one) == folded
    ]
    if folded and found and not engine_folds_alike():
        return []
    return sorted(found, key=lambda one: len(one.columns))


def _place(
    view: TableView, index: Index, predicate: Predicate | None, *, descending: bool
) -> tuple[Reach, Words] | None:
    """Where an index has the rows of WHERE, in order, and words of those without a value; None if it has not."""
    *leading, last = index.columns
    parts = () if predicate is None else parts_of(predicate)
    known: list[Predicate] = []
    for column in leading:
        equal = (one for one in parts if isinstance(one, Equals) and one.column == column)
        known += [one for one in equal if one not in known][:1]
    if len(known) < len(leading):
        return None
    rest = [one for one in parts if one not in known]
    reach = WHOLE
    if rest:
        kind = view.table.column_by_id(last).type
        reaching = Reaching(last, kind, folded=folds(index))
        found = reaching.of(conjunction(rest), descending=descending)
        if found is None:
            return None
        reach = found
    if not leading:
        word = np.array([view.state.keys.null_word(index.id)], dtype=np.uint64)
        return reach, word[:0] if rest else word
    values = leading_values(view, index, known)
    if values is None:
        return None
    keys = view.state.keys
    words, valid = equality.words(keys.index_words(index.id), *values)
    nulls, _ = equality.words(keys.null_words(index.id), *values)
    under = reach.under(int(words[0])) if valid.all() else None
    return None if under is None else (under, nulls[:0] if rest else nulls)


def rows_at(context: Context, found: Sequence[End]) -> Ordinals | None:
    """Live rows at all of these ends, ascending; None when that would be most of the table, or not enough."""
    parts: list[Ordinals] = []
    for one in found:
        part = _rows(context, one)
        if part is None:
            return None
        parts.append(part)
    return np.unique(np.concatenate(parts))


def _rows(context: Context, end: End) -> Ordinals | None:
    view, reach, keep = context.view, end.reach, context.keeper(end.index)
    key = end_rows(
        view,
        end.index,
        end.count,
        descending=end.descending,
        outer=reach.outer,
        inner=reach.inner,
    )
    if key is None and not end.fewer:
        return None
    low, high = reach.outer
    if key is not None:
        low, high = (key, high) if end.descending else (low, key)
    ordinals = within(view, end.index, [(low, high)], keep)
    if ordinals is None or not len(end.missing) or not (end.missing_first or key is None):
        return ordinals
    nulls = candidates(view, end.missing, keep)
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
