"""One table as one statement sees it: settled rows, pending deltas, and the transaction's own changes.

The view knows exactly which rows must exist, wherever they lie, before it asks for any of them; a row
that the store withholds, replays or resurrects is an integrity failure when it is opened.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt

from indexes.records.row import RowLayout, row_aad
from indexes.seal import unpad
from proxy.arrow import Chunked, Ordinals, chunked
from proxy.catalog import Table
from proxy.overlay import TableOverlay
from proxy.state import TableState

Mask = npt.NDArray[np.bool_]
SMALL = 64
NO_ORDINALS: Ordinals = np.empty(0, dtype=np.int64)


class TableView:
    """The live rows of a table, and how to fetch them."""

    def __init__(self, state: TableState, overlay: TableOverlay | None = None) -> None:
        self.state = state
        self.overlay = overlay if overlay is not None else TableOverlay()

    @property
    def table(self) -> Table:
        """The table's schema."""
        return self.state.table

    def count(self) -> int:
        """Number of live rows; nothing is opened for it."""
        return self.state.live_rows - len(self.overlay.removed) + len(self.overlay.places)

    def live(self) -> Ordinals:
        """Ordinals of all live rows, ascending."""
        settled = self.state.settled.live_ordinals()
        gone = self.state.removed | self.overlay.removed
        if gone:
            settled = settled[~np.isin(settled, as_array(gone))]
        recent = [one for one in self.state.recent if one not in self.overlay.removed]
        others = np.concatenate([as_array(recent), self.overlay.live()])
        if len(others) == 0:
            return settled
        return np.sort(np.concatenate([settled, others]))

    def keep_live(self, ordinals: Ordinals) -> Ordinals:
        """Those of ``ordinals`` that are live, ascending, each once."""
        if len(ordinals) > 1:
            ordinals = np.unique(ordinals)
        if len(ordinals) == 0:
            return ordinals
        return ordinals[self.live_mask(ordinals)]

    def live_mask(self, ordinals: Ordinals) -> Mask:
        """Which of ``ordinals`` are live."""
        state, overlay = self.state, self.overlay
        mask = state.settled.live_mask(ordinals)
        if len(ordinals) <= SMALL:
            for place, ordinal in enumerate(ordinals.tolist()):
                if ordinal in overlay.places:
                    mask[place] = True
                elif ordinal in overlay.removed:
                    mask[place] = False
                elif ordinal in state.recent:
                    mask[place] = True
                elif ordinal in state.removed:
                    mask[place] = False
            return mask
        for gone in (state.removed, overlay.removed):
            if gone:
                mask &= ~np.isin(ordinals, as_array(gone))
        if state.recent:
            here = np.isin(ordinals, as_array(state.recent))
            if overlay.removed:
                here &= ~np.isin(ordinals, as_array(overlay.removed))
            mask |= here
        if overlay.places:
            mask |= np.isin(ordinals, as_array(overlay.places))
        return mask

    def fetch(
        self, ordinals: Ordinals, column_ids: Sequence[int]
    ) -> tuple[Ordinals, list[Chunked]]:
        """Open rows.

        Args:
            ordinals: live ordinals, ascending.
            column_ids: the columns wanted; may be empty.

        Returns:
            The ordinals in the order of the values, which is ascending within settled rows, then
            pending ones, then the transaction's own; and one chunked array per column.
        """
        columns = [(number, self.table.column_by_id(number).type) for number in column_ids]
        own, pending, settled = self._split(ordinals)
        if not columns:
            return np.concatenate([settled, pending, own]), []
        tasks: list[Callable[[], list[Chunked]]] = []
        if len(settled):
            tasks.append(partial(self.state.settled.read, settled, columns))
        if len(pending):
            tasks.append(partial(self._open_pending, pending, column_ids))
        parts = self.state.channel.together(tasks)
        if len(own):
            rows = self.overlay.rows(own)
            places = {column.id: place for place, column in enumerate(self.table.columns)}
            parts.append([rows.column(places[number]) for number in column_ids])
        arrays = [
            chunked([chunk for part in parts for chunk in part[place].chunks], kind.arrow)
            for place, (_, kind) in enumerate(columns)
        ]
        return np.concatenate([settled, pending, own]), arrays

    def _split(self, ordinals: Ordinals) -> tuple[Ordinals, Ordinals, Ordinals]:
        """Own, pending and settled ordinals, each ascending."""
        if len(ordinals) <= SMALL:
            places, recent = self.overlay.places, self.state.recent
            listed = ordinals.tolist()
            mine = [one for one in listed if one in places]
            new = [one for one in listed if one in recent and one not in places]
            if not mine and not new:
                return NO_ORDINALS, NO_ORDINALS, ordinals
            old = [one for one in listed if one not in places and one not in recent]
            return as_array(mine), as_array(new), as_array(old)
        rest = ordinals
        own = pending = np.empty(0, dtype=np.int64)
        if self.overlay.places:
            here = np.isin(rest, as_array(self.overlay.places))
            own, rest = rest[here], rest[~here]
        if self.state.recent:
            here = np.isin(rest, as_array(self.state.recent))
            pending, rest = rest[here], rest[~here]
        return own, pending, rest

    def _open_pending(self, ordinals: Ordinals, column_ids: Sequence[int]) -> list[Chunked]:
        """Columns of rows that are pending in deltas."""
        bodies = self.pending_bodies(ordinals)
        batch = layout_of(self.table).decode(bodies, tuple(column_ids))
        return [chunked([one], one.type) for one in batch.columns]

    def pending_bodies(self, ordinals: Ordinals) -> list[bytes]:
        """Opened row bodies, in the order of ``ordinals``; recently opened ones are kept."""
        state = self.state
        cache = state.bodies
        missing = [one for one in ordinals.tolist() if one not in cache]
        if missing:
            wanted = np.array(missing, dtype=np.int64)
            labels = state.keys.labels.to_labels(wanted).tolist()
            blobs = dict(state.channel.rows(self.table.id, labels))
            context = state.keys.row_context
            for ordinal, label in zip(missing, labels, strict=True):
                aad = row_aad(context, ordinal, state.recent[ordinal])
                cache[ordinal] = unpad(state.keys.rows.open(blobs[label], aad))
        return [cache[one] for one in ordinals.tolist()]


def layout_of(table: Table) -> RowLayout:
    """The row layout of a table's present columns."""
    layout = _LAYOUTS.get(table.columns)
    if layout is None:
        if len(_LAYOUTS) > 256:
            _LAYOUTS.clear()
        layout = RowLayout(tuple((column.id, column.type) for column in table.columns))
        _LAYOUTS[table.columns] = layout
    return layout


_LAYOUTS: dict[object, RowLayout] = {}


def as_array(ordinals: Iterable[int]) -> Ordinals:
    """Ordinals of a set, a list or the keys of a dictionary as int64[n]."""
    return np.fromiter(ordinals, dtype=np.int64)
