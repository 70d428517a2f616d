"""Checking server-visible entries: each live row must have exactly the values that its columns make.

The values are made anew from the verified rows, order-revealing ones with the random number that the stored
ciphertext bears. So an entry that is missing, changed, moved to another row or invented is found, which
queries cannot promise.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from encdb import wire

from .arrow import Ordinals, one_array
from .catalog import Index
from .execute.view import TableView
from .keyspace import scheme_of
from .visible import visible_indexes

AT_ONCE: Final = 4_096
"""Rows whose entries are asked for together."""


def visible_problem(view: TableView) -> str | None:
    """What is wrong with the visible entries of a table, or None."""
    indexes = visible_indexes(view.table)
    request = wire.ListIds(table=view.table.id, relation="visible")
    listed = set(wire.verified(view.state.channel.ask(request), wire.Ids).ids)
    live = view.live()
    met: set[int] = set()
    for start in range(0, len(live), AT_ONCE):
        for index in indexes:
            found = _compare(view, index, live[start : start + AT_ONCE])
            if found is None:
                return f'values of "{index.name}" differ from the rows'
            met.update(found)
    if listed != met:
        return f"{len(met - listed)} entries are not listed, {len(listed - met)} belong to no row"
    return None


def _compare(view: TableView, index: Index, ordinals: Ordinals) -> Sequence[int] | None:
    """Ids of the entries of some rows, or None if one of them is not what it must be."""
    order, columns = view.fetch(ordinals, index.columns)
    arrays = [one_array(column) for column in columns]
    labels = view.state.keys.labels.to_labels(order).tolist()
    wanted = [wire.entry_id(index.id, label) for label in labels]
    scheme = scheme_of(view.table, view.state.keys, index)
    request = wire.ReadEntries(table=view.table.id, ids=tuple(wanted))
    answer = wire.verified(view.state.channel.ask(request), wire.Blobs)
    stored = dict(zip(answer.ids, answer.blobs, strict=True))
    kind = wire.VISIBLE_KINDS.index(scheme.kind) + 1
    values: list[bytes | None] = []
    for number in wanted:
        blob = stored.get(number)
        if blob is not None and (not blob or blob[0] != kind):
            return None
        values.append(None if blob is None else blob[1:])
    if len(order) and not np.all(scheme.same(arrays, values)):
        return None
    return list(stored)
