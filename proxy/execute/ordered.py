"""ORDER BY … LIMIT and MIN/MAX by a range index: the rows at one end of the order, ties included."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from proxy.catalog import Index
from proxy.recent import Key128

from .view import TableView

Ordinals = npt.NDArray[np.int64]


def end_rows(
    view: TableView, index: Index, count: int, *, descending: bool
) -> tuple[Key128, bool] | None:
    """The key of the ``count``-th live row from one end of a range index.

    Returns:
        The key and whether as many rows were found; None when the index holds no live row. Rows
        with NULL are not in the index.
    """
    keys: list[npt.NDArray[np.uint64]] = []
    for source in (view.state.recent_index, view.overlay.index):
        found, ordinals = source.entries(index.id)
        keys.append(found[view.live_mask(ordinals)] if len(ordinals) else found)
    for reader in view.state.segments.sorted(index.id):
        taken = 0
        for found, ordinals in reader.ordered(descending):
            live = found[view.live_mask(ordinals)]
            keys.append(live)
            taken += len(live)
            if taken >= count:
                break
    every = np.concatenate(keys)
    if len(every) == 0:
        return None
    order = np.lexsort((every[:, 1], every[:, 0]))
    if descending:
        order = order[::-1]
    last = every[order[min(count, len(every)) - 1]]
    return (int(last[0]), int(last[1])), len(every) >= count
