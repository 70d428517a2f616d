"""Leasing numbers, claims, and writing pages, packs and visible entries that nothing uses yet.

As in the SQLite store, a stage is a row of ``stages`` with a deadline, and one row of ``staged`` per
segment and pack that it holds; deadlines are by the server's clock. Each transaction is of bounded size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, LiteralString

import psycopg

from encdb import ids, wire
from encdb.errors import InternalError, ProgrammingError, err
from encdb.stores import base
from encdb.stores.transfer import visible_parts

from . import schema, visible
from .link import SERVER_NOW, Link, Numbers
from .writing import roll_back

_SWEEP_ROWS: Final = 2_048
_LIMITS: Final = {"ordinal": 1 << 62, "segment": 1 << 31}
_PAGE_MASK: Final = (1 << ids.PAGE_SHIFT) - 1
_LEASE: Final[dict[wire.LeaseKind, LiteralString]] = {
    "ordinal": "UPDATE {leases} SET ordinal = ordinal + %s WHERE tbl = %s"
    " AND ordinal + %s <= %s RETURNING ordinal - %s",
    "segment": "UPDATE {leases} SET segment = segment + %s WHERE tbl = %s"
    " AND segment + %s <= %s RETURNING segment - %s",
}
_COPY: Final[dict[int, tuple[LiteralString, Sequence[str]]]] = {
    schema.KIND_SEGMENT: (
        "COPY {pages} (tbl, segment, page, blob) FROM STDIN (FORMAT BINARY)",
        ("int8", "int4", "int4", "bytea"),
    ),
    schema.KIND_PACK: (
        "COPY {packs} (tbl, id, blob) FROM STDIN (FORMAT BINARY)",
        ("int8", "int8", "bytea"),
    ),
}


def lease(link: Link, request: wire.Lease) -> wire.Leased:
    """Advance a counter, durably, before anyone uses its numbers."""
    count, limit = request.count, _LIMITS[request.kind]
    found = link.one(_LEASE[request.kind], count, request.table, count, limit, count).rows
    if found:
        return wire.Leased(first=found[0][0], count=count)
    if not link.one("SELECT tbl FROM {leases} WHERE tbl = %s", request.table).rows:
        raise err(ProgrammingError, "E_RELATION_IN_USE", "the table was dropped meanwhile")
    raise err(InternalError, "E_TOO_LARGE", f"the table has used up its {request.kind} numbers")


def claim(link: Link, request: wire.Claim) -> wire.Claimed:
    """Grant a claim unless somebody else holds it and its deadline has not passed."""
    address = (request.table, request.kind)
    if request.seconds == 0:
        link.one(
            "DELETE FROM {claims} WHERE tbl = %s AND kind = %s AND holder = %s",
            *address,
            request.holder,
        )
        return wire.Claimed(granted=True)
    granted = link.one(
        "INSERT INTO {claims} AS held (tbl, kind, holder, deadline)"
        f" VALUES (%s, %s, %s, {SERVER_NOW} + %s)"
        " ON CONFLICT (tbl, kind) DO UPDATE SET holder = excluded.holder,"
        " deadline = excluded.deadline"
        f" WHERE held.holder = excluded.holder OR held.deadline <= {SERVER_NOW}",
        *address,
        request.holder,
        request.seconds,
    )
    return wire.Claimed(granted=granted.count == 1)


def stage(link: Link, request: wire.Stage) -> wire.Staged | wire.Stale:
    """Write the contents of one message in transactions of bounded size."""
    for batch in _batches(request):
        stale = _write(link, request, batch)
        if stale is not None:
            return stale
    for part in visible_parts(request.visible):
        stale = _write(link, request, {}, part)
        if stale is not None:
            return stale
    return wire.Staged()


def _batches(request: wire.Stage) -> Iterator[dict[int, list[tuple[int, bytes]]]]:
    """Pages and packs by kind, cut once a batch holds ``TRANSACTION_BYTES``; at least one batch."""
    batch: dict[int, list[tuple[int, bytes]]] = {}
    size = 0
    for kind, pairs in ((schema.KIND_SEGMENT, request.pages), (schema.KIND_PACK, request.packs)):
        for pair in pairs:
            if size >= base.TRANSACTION_BYTES:
                yield batch
                batch, size = {}, 0
            batch.setdefault(kind, []).append(pair)
            size += len(pair[1])
    yield batch


def _write(
    link: Link,
    request: wire.Stage,
    batch: dict[int, list[tuple[int, bytes]]],
    entries: wire.VisibleBatch | None = None,
) -> wire.Stale | None:
    try:
        stale = _begin(link, request, batch)
        if stale is not None:
            roll_back(link)
            return stale
        for kind, pairs in batch.items():
            copy_in(link, kind, request.table, pairs)
        if entries is not None:
            visible.stage(link, request, entries)
        link.one("COMMIT")
    except BaseException:
        roll_back(link)
        raise
    return None


def _begin(
    link: Link, request: wire.Stage, batch: dict[int, list[tuple[int, bytes]]]
) -> wire.Stale | None:
    """Begin the transaction, renew the deadline, and claim the numbers of the batch."""
    table, number = request.table, request.stage
    held = {
        kind: sorted({identity >> _shift(kind) for identity, _ in pairs})
        for kind, pairs in batch.items()
    }
    _, found, renewed, *_ = link.run(
        ("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE", ()),
        # Not in the way of commits and merges, but a DROP TABLE waits.
        ("SELECT tbl FROM {tables} WHERE tbl = %s FOR KEY SHARE", (table,)),
        (
            (
                "INSERT INTO {stages} AS s (tbl, stage, deadline)"
                f" VALUES (%s, %s, {SERVER_NOW} + %s)"
                " ON CONFLICT (tbl, stage) DO UPDATE SET deadline = excluded.deadline"
                " WHERE s.deadline <> %s"
            ),
            (table, number, base.STAGE_SECONDS, schema.SWEPT),
        ),
    )
    if not found.rows:
        return wire.Stale("catalog", table)
    if renewed.count != 1:
        return wire.Stale("stage", table)
    for kind, numbers in held.items():
        _claim_numbers(link, request, kind, numbers)
    return None


def _claim_numbers(link: Link, request: wire.Stage, kind: int, numbers: list[int]) -> None:
    """Note that the stage holds segments or packs, which must be nobody else's, nor published.

    Those that it held before may have been sent before: their blobs are dropped, to be written again.
    """
    table, listed = request.table, Numbers(numbers)
    added, owners = link.run(
        (
            (
                "INSERT INTO {staged} (tbl, stage, kind, number)"
                " SELECT %s, %s, %s, unnest(%s::BIGINT[]) ON CONFLICT DO NOTHING RETURNING number"
            ),
            (table, request.stage, kind, listed),
        ),
        (
            "SELECT number, stage FROM {staged} WHERE tbl = %s AND kind = %s AND number = ANY(%s)",
            (table, kind, listed),
        ),
    )
    fresh = [number for (number,) in added.rows]
    if any(owner != request.stage for _, owner in owners.rows) or _used(link, kind, table, fresh):
        raise err(InternalError, "E_INTERNAL", "a segment or pack number was used twice")


def _used(link: Link, kind: int, table: int, numbers: list[int]) -> bool:
    if not numbers:
        return False
    query: LiteralString = (
        "SELECT 1 FROM {pages} WHERE tbl = %s AND segment = ANY(%s) LIMIT 1"
        if kind == schema.KIND_SEGMENT
        else "SELECT 1 FROM unnest(%s::BIGINT[]) AS asked (pack)"
        f" JOIN {{packs}} AS p ON p.tbl = %s AND p.id >= asked.pack << {ids.PACK_SHIFT:d}"
        f" AND p.id < (asked.pack + 1) << {ids.PACK_SHIFT:d} LIMIT 1"
    )
    listed = Numbers(numbers)
    values = (table, listed) if kind == schema.KIND_SEGMENT else (listed, table)
    return bool(link.one(query, *values).rows)


def copy_in(link: Link, kind: int, table: int, pairs: Sequence[tuple[int, bytes]]) -> None:
    """Write blobs; a savepoint lets those of a message that is sent again be replaced."""
    link.one("SAVEPOINT fresh")
    try:
        _copy(link, kind, table, pairs)
    except psycopg.errors.UniqueViolation:
        link.one("ROLLBACK TO fresh")
        delete_blobs(link, kind, table, [identity for identity, _ in pairs])
        _copy(link, kind, table, pairs)


def _copy(link: Link, kind: int, table: int, pairs: Sequence[tuple[int, bytes]]) -> None:
    text, types = _COPY[kind]
    rows: Iterator[tuple[Any, ...]]
    if kind == schema.KIND_SEGMENT:
        rows = (
            (table, identity >> ids.PAGE_SHIFT, identity & _PAGE_MASK, blob)
            for identity, blob in pairs
        )
    else:
        rows = ((table, identity, blob) for identity, blob in pairs)
    link.copy(text, types, rows)


def delete_blobs(link: Link, kind: int, table: int, identities: Sequence[int]) -> None:
    """Delete pages or packs by id; those that are not there are ignored."""
    if kind == schema.KIND_PACK:
        link.one("DELETE FROM {packs} WHERE tbl = %s AND id = ANY(%s)", table, Numbers(identities))
        return
    by_segment: dict[int, list[int]] = {}
    for identity in identities:
        by_segment.setdefault(identity >> ids.PAGE_SHIFT, []).append(identity & _PAGE_MASK)
    for segment, pages in by_segment.items():
        link.one(
            "DELETE FROM {pages} WHERE tbl = %s AND segment = %s AND page = ANY(%s)",
            table,
            segment,
            Numbers(pages),
        )


def _shift(kind: int) -> int:
    return ids.PAGE_SHIFT if kind == schema.KIND_SEGMENT else ids.PACK_SHIFT


def sweep(link: Link, request: wire.Sweep) -> wire.Swept:
    """Drop what expired stages hold, in transactions of bounded size.

    The first one marks the stage, after which nobody can publish it; a sweep that dies is taken up
    by the next.
    """
    table, swept = request.table, schema.SWEPT
    expired = link.one(
        f"SELECT stage FROM {{stages}} AS s WHERE tbl = %s AND deadline < {SERVER_NOW}"
        " AND (deadline <> %s"
        " OR EXISTS (SELECT FROM {staged} AS h WHERE h.tbl = %s AND h.stage = s.stage)"
        " OR EXISTS (SELECT FROM {staged_visible} AS h WHERE h.tbl = %s AND h.stage = s.stage))"
        " ORDER BY stage",
        *(table, swept, table, table),
    )
    dropped = []
    for (number,) in expired.rows:
        marked = link.one(
            "UPDATE {stages} SET deadline = %s WHERE tbl = %s AND stage = %s"
            f" AND deadline < {SERVER_NOW}",
            swept,
            table,
            number,
        )
        if not marked.count:
            continue
        visible.drop_stage(link, table, number)
        held = link.one(
            "SELECT kind, number FROM {staged} WHERE tbl = %s AND stage = %s", table, number
        )
        for kind, one in held.rows:
            _drop(link, table, kind, one)
        dropped.append(number)
    return wire.Swept(stages=tuple(dropped))


def _drop(link: Link, table: int, kind: int, number: int) -> None:
    removed = _SWEEP_ROWS
    while removed == _SWEEP_ROWS:
        if kind == schema.KIND_SEGMENT:
            removed = link.one(
                "DELETE FROM {pages} WHERE tbl = %s AND segment = %s AND page = ANY(ARRAY("
                "SELECT page FROM {pages} WHERE tbl = %s AND segment = %s ORDER BY page LIMIT %s))",
                *(table, number, table, number, _SWEEP_ROWS),
            ).count
        else:
            first, stop = number << ids.PACK_SHIFT, (number + 1) << ids.PACK_SHIFT
            removed = link.one(
                "DELETE FROM {packs} WHERE tbl = %s AND id >= %s AND id < %s",
                *(table, first, stop),
            ).count
            break
    link.one(
        "DELETE FROM {staged} WHERE tbl = %s AND kind = %s AND number = %s", table, kind, number
    )
