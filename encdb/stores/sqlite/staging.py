"""Leasing numbers, and writing pages, packs and visible entries that nothing uses yet.

A stage is a row of ``stages`` with a deadline, and one row of ``staged`` per segment and pack that it
holds. Publishing removes those rows in the commit that names the pages in a manifest. A stage whose
process died is swept after its deadline; its row stays, marked, so that nobody goes on with it.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from typing import Final

from encdb import ids, wire
from encdb.errors import InternalError, ProgrammingError, err
from encdb.stores.base import STAGE_SECONDS, TRANSACTION_BYTES
from encdb.stores.transfer import visible_parts

from . import schema, visible
from .schema import relation
from .writing import id_range, transaction

_SWEEP_PAGES: Final = TRANSACTION_BYTES // schema.PAGE_BYTES
_LIMITS: Final = {"ordinal": 1 << 62, "segment": 1 << 31}


class StaleStage(Exception):  # noqa: N818 - an answer on its way out of a transaction, no error.
    """Roll the transaction back and answer with ``answer``."""

    def __init__(self, answer: wire.Stale) -> None:
        super().__init__()
        self.answer = answer


def lease(connection: sqlite3.Connection, request: wire.Lease) -> wire.Leased:
    """Advance a counter, durably, before anyone uses its numbers."""
    counter = request.kind
    limit = _LIMITS[counter]
    with transaction(connection):
        row = connection.execute(
            f'SELECT CAST("{counter}" AS INTEGER) FROM leases WHERE tbl = ?', (request.table,)
        ).fetchone()
        if row is None:
            raise err(ProgrammingError, "E_RELATION_IN_USE", "the table was dropped meanwhile")
        first = row[0]
        if first + request.count > limit:
            raise err(InternalError, "E_TOO_LARGE", f"the table has used up its {counter} numbers")
        connection.execute(
            f'UPDATE leases SET "{counter}" = ? WHERE tbl = ?',
            (first + request.count, request.table),
        )
    return wire.Leased(first=first, count=request.count)


def stage(connection: sqlite3.Connection, request: wire.Stage) -> wire.Staged | wire.Stale:
    """Write the contents of one message in transactions of bounded size."""
    try:
        for batch in _batches(request):
            with transaction(connection):
                _write(connection, request, batch)
        for part in visible_parts(request.visible):
            with transaction(connection):
                _write(connection, request, {})
                visible.stage(connection, request, part)
    except StaleStage as stale:
        return stale.answer
    return wire.Staged()


def _batches(request: wire.Stage) -> Iterator[dict[int, list[tuple[int, bytes]]]]:
    """Pages and packs by kind, cut once a batch holds ``TRANSACTION_BYTES``; at least one batch."""
    batch: dict[int, list[tuple[int, bytes]]] = {}
    size = 0
    for kind, pairs in ((schema.KIND_SEGMENT, request.pages), (schema.KIND_PACK, request.packs)):
        for pair in pairs:
            if size >= TRANSACTION_BYTES:
                yield batch
                batch, size = {}, 0
            batch.setdefault(kind, []).append(pair)
            size += len(pair[1])
    yield batch


def _write(
    connection: sqlite3.Connection, request: wire.Stage, batch: dict[int, list[tuple[int, bytes]]]
) -> None:
    table, number = request.table, request.stage
    if connection.execute("SELECT 1 FROM tables WHERE tbl = ?", (table,)).fetchone() is None:
        raise StaleStage(wire.Stale("catalog", table))
    row = connection.execute(
        "SELECT deadline FROM stages WHERE tbl = ? AND stage = ?", (table, number)
    ).fetchone()
    if row is not None and row[0] == schema.SWEPT:
        raise StaleStage(wire.Stale("stage", table))
    connection.execute(
        "INSERT OR REPLACE INTO stages (tbl, stage, deadline) VALUES (?, ?, ?)",
        (table, number, int(time.time()) + STAGE_SECONDS),
    )
    for kind, pairs in batch.items():
        shift = ids.PAGE_SHIFT if kind == schema.KIND_SEGMENT else ids.PACK_SHIFT
        for held in sorted({identity >> shift for identity, _ in pairs}):
            _claim(connection, request, kind, held)
        name = relation(id_range(kind, 0)[0], table)
        # The same message may be sent again when its answer was lost.
        connection.executemany(f'INSERT OR REPLACE INTO "{name}" (id, blob) VALUES (?, ?)', pairs)


def _claim(connection: sqlite3.Connection, request: wire.Stage, kind: int, number: int) -> None:
    """Note that the stage holds a segment or pack, which must be nobody else's, nor published."""
    owner = connection.execute(
        "SELECT stage FROM staged WHERE tbl = ? AND kind = ? AND number = ?",
        (request.table, kind, number),
    ).fetchone()
    if owner is not None and owner[0] == request.stage:
        return
    name, first, last = id_range(kind, number)
    used = connection.execute(
        f'SELECT 1 FROM "{relation(name, request.table)}" WHERE id BETWEEN ? AND ? LIMIT 1',
        (first, last),
    ).fetchone()
    if owner is not None or used is not None:
        raise err(InternalError, "E_INTERNAL", "a segment or pack number was used twice")
    connection.execute(
        "INSERT INTO staged (tbl, stage, kind, number) VALUES (?, ?, ?, ?)",
        (request.table, request.stage, kind, number),
    )


def sweep(connection: sqlite3.Connection, request: wire.Sweep) -> wire.Swept:
    """Drop what expired stages hold, in transactions of bounded size.

    The first one marks the stage, after which nobody can publish it; a sweep that dies is taken up
    by the next.
    """
    table, now = request.table, int(time.time())
    expired = [
        number
        for (number,) in connection.execute(
            "SELECT stage FROM stages AS s WHERE tbl = ? AND deadline < ? AND (deadline <> ?"
            " OR EXISTS (SELECT 1 FROM staged AS h WHERE h.tbl = s.tbl AND h.stage = s.stage)"
            " OR EXISTS (SELECT 1 FROM staged_visible AS h WHERE h.tbl = s.tbl AND h.stage = s.stage))"
            " ORDER BY stage",
            (table, now, schema.SWEPT),
        )
    ]
    swept = []
    for number in expired:
        with transaction(connection):
            marked = connection.execute(
                "UPDATE stages SET deadline = ? WHERE tbl = ? AND stage = ? AND deadline < ?",
                (schema.SWEPT, table, number, now),
            ).rowcount
        if not marked:
            continue
        visible.drop_stage(connection, table, number)
        for kind, held in connection.execute(
            "SELECT kind, number FROM staged WHERE tbl = ? AND stage = ?", (table, number)
        ).fetchall():
            _drop(connection, table, kind, held)
        swept.append(number)
    return wire.Swept(stages=tuple(swept))


def _drop(connection: sqlite3.Connection, table: int, kind: int, number: int) -> None:
    name, first, last = id_range(kind, number)
    source, removed = relation(name, table), _SWEEP_PAGES
    while removed == _SWEEP_PAGES:
        with transaction(connection):
            removed = connection.execute(
                f'DELETE FROM "{source}" WHERE id IN'
                f' (SELECT id FROM "{source}" WHERE id BETWEEN ? AND ? LIMIT ?)',
                (first, last, _SWEEP_PAGES),
            ).rowcount
    with transaction(connection):
        connection.execute(
            "DELETE FROM staged WHERE tbl = ? AND kind = ? AND number = ?", (table, kind, number)
        )
