"""From new rows to everything that indexes keep of them: one function per method.

Rows are indexed a batch at a time, before the transaction sees any of them, so that a statement that
fails leaves nothing behind. Nothing here reads a store or knows which rows exist.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import pyarrow as pa

from proxy.arrow import Array, Ordinals
from proxy.catalog import Index, Table
from proxy.keyspace import TableKeys
from proxy.overlay import NewRows

from . import hidden, visible, words
from .collected import Collected, position_of
from .words import keyword_totals

__all__ = ["derive", "keyword_totals", "position_of"]

_Deriver = Callable[[Index, TableKeys, Sequence[Array], Collected], None]

DERIVERS: Final[dict[str, _Deriver]] = {
    "equality": hidden.equality_entries,
    "range": hidden.range_entries,
    "keyword": words.keyword_entries,
    "det": visible.visible_entries,
    "ore": visible.visible_entries,
    "ope": visible.visible_entries,
    "substring": words.substring_entries,
}
"""What each method keeps of rows."""


def derive(table: Table, keys: TableKeys, rows: pa.RecordBatch, ordinals: Ordinals) -> NewRows:
    """Index entries, unique tags and statistics of new rows.

    Args:
        table: the schema.
        keys: the table's keys.
        rows: n rows, all columns in table order.
        ordinals: int64[n] ascending, freshly leased.
    """
    collected = Collected(table, rows, ordinals)
    for index in table.indexes:
        arrays = [rows.column(position_of(table, number)) for number in index.columns]
        DERIVERS[index.method](index, keys, arrays, collected)
    return collected.new_rows()
