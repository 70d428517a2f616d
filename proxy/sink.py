"""Taking in many rows as one transaction: few of them as rows and a delta, many as packs and segments."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from indexes.labels import BLOCK

from .derive import derive
from .execute.write import check_not_null, check_unique, duplicate, fresh_ordinals
from .overlay import NewRows
from .state import TableState
from .transaction import BULK_ROWS, Transaction

PIECE_ROWS = 16 * BLOCK
PIECE_BYTES = 64 << 20
NOTHING: npt.NDArray[np.int64] = np.empty(0, dtype=np.int64)


class RowSink:
    """Adds batches of rows to one table within a transaction.

    Batches are gathered into pieces that fill whole blocks. A first piece that stays below
    ``BULK_ROWS`` is an ordinary small change; everything else is packed while it arrives.
    """

    def __init__(self, transaction: Transaction, state: TableState) -> None:
        self._transaction = transaction
        self._state = state
        self._schema = pa.schema(
            [(column.name, column.type.arrow) for column in state.table.columns]
        )
        self._waiting: list[pa.RecordBatch] = []
        self._rows = 0
        self._bytes = 0
        self._bulk = False
        self.total = 0

    def add(self, batch: pa.RecordBatch) -> None:
        """Take in rows: all columns, in table order.

        Raises:
            IntegrityError: NOT NULL or a unique value is violated.
        """
        table = self._state.table
        rows = pa.record_batch(batch.columns, schema=self._schema)
        check_not_null(table, rows)
        self.total += rows.num_rows
        self._waiting.append(rows)
        self._rows += rows.num_rows
        self._bytes += rows.nbytes
        while self._rows >= PIECE_ROWS or (self._bytes >= PIECE_BYTES and self._rows >= BLOCK):
            self._pack(min(self._rows // BLOCK * BLOCK, PIECE_ROWS))
        if self._bytes >= PIECE_BYTES:
            self._pack(self._rows)

    def finish(self) -> int:
        """Take in what is left; returns the number of rows of the whole load."""
        if self._rows:
            if self._bulk or self._rows >= BULK_ROWS:
                self._pack(self._rows)
            else:
                rows = self._derive(self._take(self._rows))
                self._transaction.overlay(self._state).add(rows)
        if self._bulk:
            load = self._transaction.load(self._state)
            for index in self._state.table.unique_indexes:
                if not load.unique(index.id):
                    raise duplicate(self._state.table, index)
        return self.total

    def _pack(self, count: int) -> None:
        self._bulk = True
        self._transaction.load(self._state).add(self._derive(self._take(count), bulk=True))

    def _derive(self, batch: pa.RecordBatch, *, bulk: bool = False) -> NewRows:
        table, leases = self._state.table, self._transaction.leases(self._state.table.id)
        view = self._transaction.view(self._state)
        ordinals = fresh_ordinals(view, leases, batch.num_rows, bulk=bulk)
        rows = derive(table, self._state.keys, batch, ordinals)
        check_unique(view, rows, NOTHING)
        return rows

    def _take(self, count: int) -> pa.RecordBatch:
        table = pa.Table.from_batches(self._waiting, schema=self._schema)
        taken, rest = table.slice(0, count).combine_chunks(), table.slice(count)
        self._waiting = [] if rest.num_rows == 0 else rest.to_batches()
        self._rows = rest.num_rows
        self._bytes = rest.nbytes
        batches = taken.to_batches()
        if len(batches) == 1:
            return batches[0]
        return pa.record_batch(
            [pa.concat_arrays(column.chunks) for column in taken.columns], schema=self._schema
        )
