"""Sealing and opening records in both forms, beside one AEAD call for each field.

The last is what field-level encryption libraries do (libmongocrypt, CipherStash) and what a first
attempt in Python looks like: every value is serialised and sealed by itself.
"""

from __future__ import annotations

import os
import pickle
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from indexes.keys import Key
from indexes.records.pack import PackSealer, decode_column, encode_column
from indexes.records.row import RowLayout, row_aads
from indexes.seal import RecordSealer, pad, unpad
from indexes.types import ColumnType
from tests.benchmarks import data
from tests.benchmarks.measure import Figure, Report, median_seconds

SECTION = "Opening records, beside one AEAD call a field"
PEER = "a call a field"
PACK_ROWS = 4096
FIELD_BAR = 5e5
PEER_ROWS = 20_000
TYPES = tuple((number, ColumnType.parse(kind)) for number, (_, kind) in enumerate(data.COLUMNS, 1))


def batch(size: int) -> pa.RecordBatch:
    """The made table as Arrow columns."""
    columns: list[Any] = []
    for values, (_, kind) in zip(zip(*data.rows(size), strict=True), TYPES, strict=True):
        array = pa.array(values)
        if kind.arrow != array.type:
            array = pc.cast(array, kind.arrow)
        columns.append(array)
    return pa.RecordBatch.from_arrays(columns, names=[name for name, _ in data.COLUMNS])


def run(report: Report, size: int) -> None:
    """Time one table of ``size`` rows in each form."""
    table = batch(size)
    fields = size * len(TYPES)
    rows = _rows(table)
    packs = _packs(table)
    few = table.slice(0, PEER_ROWS)
    peer = _fields(few)
    peer_rate = few.num_rows / peer
    for name, seconds in (("rows (recent changes)", rows), ("packs (settled)", packs)):
        rate = fields / seconds
        report.add(
            Figure(
                SECTION,
                f"{name}: rows",
                size,
                "rows/s",
                size / seconds,
                PEER,
                peer_rate,
                more_is_better=True,
            )
        )
        report.add(
            Figure(
                SECTION,
                f"{name}: fields",
                size,
                "fields/s",
                rate,
                PEER,
                peer_rate * len(TYPES),
                more_is_better=True,
                bar="at least 500 thousand/s",
                met=rate >= FIELD_BAR,
            )
        )


def _rows(table: pa.RecordBatch) -> float:
    """Seconds to open every row record into Arrow columns."""
    layout, sealer = RowLayout(TYPES), RecordSealer(Key.random())
    context, txn = os.urandom(80), os.urandom(16)
    ordinals = np.arange(table.num_rows, dtype=np.int64)
    aads = row_aads(context, ordinals.tolist(), [txn] * table.num_rows)
    sealed = sealer.seal_many([pad(body) for body in layout.encode(table)], aads)

    def opened(_: int) -> None:
        again = row_aads(context, ordinals.tolist(), [txn] * table.num_rows)
        bodies = [unpad(body) for body in sealer.open_many(sealed, again)]
        assert layout.decode(bodies).num_rows == table.num_rows

    return median_seconds(opened, range(4))


def _packs(table: pa.RecordBatch) -> float:
    """Seconds to open every pack into Arrow columns."""
    key, aad = Key.random(), os.urandom(80)
    packs: list[tuple[bytes, list[bytes]]] = []
    for number, start in enumerate(range(0, table.num_rows, PACK_ROWS)):
        part, salt = table.slice(start, PACK_ROWS), os.urandom(32)
        sealer = PackSealer(key, salt, aad)
        blobs = [
            sealer.seal(number, column, encode_column(values, kind))
            for (column, kind), values in zip(TYPES, part.columns, strict=True)
        ]
        packs.append((salt, blobs))

    def opened(_: int) -> None:
        rows = 0
        for number, (salt, blobs) in enumerate(packs):
            sealer = PackSealer(key, salt, aad)
            columns = [
                decode_column(sealer.open(number, column, blob), kind)
                for (column, kind), blob in zip(TYPES, blobs, strict=True)
            ]
            rows += len(columns[0])
        assert rows == table.num_rows

    return median_seconds(opened, range(4))


def _fields(table: pa.RecordBatch) -> float:
    """Seconds to open every field by itself into Python values."""
    cipher = AESGCM(os.urandom(32))
    sealed: list[tuple[bytes, bytes]] = []
    for column in table.columns:
        for value in column.to_pylist():
            nonce = os.urandom(12)
            sealed.append((nonce, cipher.encrypt(nonce, pickle.dumps(value), None)))

    def opened(_: int) -> None:
        for nonce, blob in sealed:
            pickle.loads(cipher.decrypt(nonce, blob, None))

    return median_seconds(opened, range(4))
