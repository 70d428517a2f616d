"""What is being collected of one batch of rows while its indexes are derived."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from indexes.multimap.batches import Ragged, SortedEntries
from indexes.multimap.postings import PostingBatch
from indexes.types import ColumnType
from proxy.arrow import Ordinals
from proxy.catalog import Index, Table
from proxy.covering import tuples
from proxy.manifest import Totals
from proxy.overlay import NewRows


class Collected:
    """Index entries of one batch of rows, by kind.

    Args:
        table: the schema.
        rows: n rows, all columns in table order.
        ordinals: int64[n] ascending.
    """

    def __init__(self, table: Table, rows: pa.RecordBatch, ordinals: Ordinals) -> None:
        self.table = table
        self.rows = rows
        self.ordinals = ordinals
        self.hashed: list[PostingBatch] = []
        self.ranges: dict[int, SortedEntries] = {}
        self.tags: dict[int, tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]] = {}
        self.words: dict[int, tuple[npt.NDArray[np.uint64], npt.NDArray[np.bool_]]] = {}
        self.statistics: Totals = {}
        self.visible: dict[int, tuple[npt.NDArray[np.uint8], Ordinals]] = {}

    def values_of(self, index: Index) -> Ragged | None:
        """What a covering index keeps of each row; None for any other index."""
        if not index.include:
            return None
        arrays = [self.rows.column(position_of(self.table, one)) for one in index.stored]
        return tuples(self.table, index, arrays)

    def new_rows(self) -> NewRows:
        """All of it, without what is empty."""
        return NewRows(
            ordinals=self.ordinals,
            rows=self.rows,
            hashed=[batch for batch in self.hashed if len(batch)],
            ranges={number: one for number, one in self.ranges.items() if len(one)},
            tags=self.tags,
            statistics=self.statistics,
            unique_words=self.words,
            visible={number: one for number, one in self.visible.items() if len(one[1])},
        )


def types_of(table: Table, index: Index) -> list[ColumnType]:
    """Types of an index's columns."""
    return [table.column_by_id(number).type for number in index.columns]


def position_of(table: Table, column_id: int) -> int:
    """Place of a column in the table's row."""
    for place, column in enumerate(table.columns):
        if column.id == column_id:
            return place
    raise KeyError(column_id)
