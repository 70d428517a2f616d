"""Answering read requests from one snapshot of a PostgreSQL store.

A snapshot is one REPEATABLE READ READ ONLY transaction. It begins with its first read, in the same
round trip, and each request (or batch of requests) costs one more.

**Which deltas are new.** Writers commit in any order, so "greater than the last number seen" would miss
commits. The reader keeps PostgreSQL's description of its last snapshot and asks for the deltas of those
transactions which that snapshot did not see (``pg_current_snapshot`` and the functions beside it in
PostgreSQL's documentation, "Transaction ID and Snapshot Information Functions"). Each writer commits
in order, so the deltas that any snapshot sees are a prefix for each writer. A delta that is sent twice
is recognised by its number; after a reconnection, a merge, or a commit that was refused, and on a
standby, whose descriptions are incomplete, all of them are asked for.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, LiteralString, TypeAlias, overload

import psycopg

from encdb import ids, wire
from encdb.errors import InterfaceError, StoreUnavailable, TamperError, err

from . import visible
from .failures import damaged, is_lost, translated
from .layout import Statement, read_layout
from .link import Answer, BlobList, Link, Numbers, Row

ANY_IDS: Final = 10_000
STREAMED_IDS: Final = 20_000
BEGIN: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_PAGE_MASK: Final = (1 << ids.PAGE_SHIFT) - 1

Ends: TypeAlias = dict[bytes, tuple[int, int]]
"""Writer → number of its last delta, and how many there are."""

_BLOBS: Final[dict[str, LiteralString]] = {
    "rows": "SELECT label, blob FROM {rows} WHERE tbl = %s AND label = ANY(%s) ORDER BY label",
    "packs": "SELECT id, blob FROM {packs} WHERE tbl = %s AND id = ANY(%s) ORDER BY id",
}
_PAGES: Final[LiteralString] = (
    "SELECT segment, page, blob FROM {pages} WHERE tbl = %s AND segment = %s AND page = ANY(%s)"
    " ORDER BY page"
)
_KEYS: Final[LiteralString] = (
    "SELECT tag, label FROM {keys} WHERE tbl = %s AND tag = ANY(%s) ORDER BY tag"
)
_IDS: Final[dict[wire.Relation, LiteralString]] = {
    "rows": "SELECT label FROM {rows} WHERE tbl = %s ORDER BY label",
    "packs": "SELECT id FROM {packs} WHERE tbl = %s ORDER BY id",
    "pages": "SELECT segment, page FROM {pages} WHERE tbl = %s ORDER BY segment, page",
    "tombstones": "SELECT label FROM {tombstones} WHERE tbl = %s ORDER BY label",
    "visible": visible.LIST,
}


@dataclass(slots=True)
class SeenTable:
    """What the last answer said of one table."""

    epoch: int
    ends: Ends


@dataclass(slots=True)
class SeenHeads:
    """What the last answers to ``ReadHeads`` said, as of one snapshot of one connection.

    Attributes:
        generation: of the connection.
        snapshot: PostgreSQL's description, ``xmin:xmax:xip``; empty if it cannot be relied on.
        version: of the catalog.
        tables: the tables that were asked for in that very snapshot.
    """

    generation: int = 0
    snapshot: str = ""
    version: int = wire.NO_CATALOG
    tables: dict[int, SeenTable] = field(default_factory=dict)


class PostgresSnapshot:
    """One read transaction, which begins with the first read."""

    def __init__(self, link: Link, seen: SeenHeads) -> None:
        self._link = link
        self._seen = seen
        self._open = True
        self._generation: int | None = None
        self._began = 0.0

    def close(self) -> None:
        """Answer nothing more."""
        self._open = False

    @property
    def began(self) -> bool:
        """Whether the server holds a transaction for this snapshot."""
        return self._generation is not None and self._link.in_transaction

    @overload
    def read(self, request: wire.ReadHeads) -> wire.Heads: ...
    @overload
    def read(
        self, request: wire.ReadPages | wire.ReadRows | wire.ReadPacks | wire.ReadEntries
    ) -> wire.Blobs: ...
    @overload
    def read(self, request: wire.ReadKeys) -> wire.Keys: ...
    @overload
    def read(self, request: wire.ListIds | wire.ReadVisible) -> wire.Ids: ...
    @overload
    def read(self, request: wire.ReadGroups) -> wire.Groups: ...
    @overload
    def read(self, request: wire.ReadJoin) -> wire.Joined: ...
    @overload
    def read(self, request: wire.ReadLayout) -> wire.Layout: ...
    def read(self, request: wire.ReadRequest) -> wire.ReadResponse:
        """Answer one request; see :mod:`encdb.wire` for the pairs."""
        (answer,) = self.read_all((request,))
        return answer

    def read_all(self, requests: Sequence[wire.ReadRequest]) -> tuple[wire.ReadResponse, ...]:
        """Answer several requests: their first statements share a round trip."""
        if not self._open:
            raise err(InterfaceError, "E_CLOSED", "the snapshot is no longer open")
        with translated(self._link.address):
            firsts = [self._first(request) for request in requests]
            answers = iter(self._run([one for part in firsts for one in part]))
            return tuple(
                self._finish(request, [next(answers) for _ in part])
                for request, part in zip(requests, firsts, strict=True)
            )

    # --- The transaction ----------------------------------------------------------------------------

    def _run(self, statements: Sequence[Statement]) -> list[Answer]:
        """Send statements in one round trip, after BEGIN where the transaction has not begun."""
        if self._generation is None:
            return self._begin(statements)
        self._require_alive()
        return self._link.run(*statements) if statements else []

    def _begin(self, statements: Sequence[Statement]) -> list[Answer]:
        was_open = self._link.is_open
        begin: Statement = (BEGIN, ())
        try:
            answers = self._link.run(begin, *statements)
        except psycopg.Error as error:
            # A connection that broke while nobody used it may be made anew: nothing was read yet.
            if not (was_open and is_lost(error)):
                raise
            self._link.close()
            answers = self._link.run(begin, *statements)
        self._generation = self._link.generation
        self._began = time.monotonic()
        return answers[1:]

    def _require_alive(self) -> None:
        address = self._link.address
        if self._link.generation != self._generation or not self._link.is_open:
            raise err(
                StoreUnavailable,
                "E_CONNECTION_LOST",
                f"the connection to {address.url} was lost in the middle of a statement",
            )
        if time.monotonic() - self._began > address.snapshot_seconds:
            raise err(
                StoreUnavailable,
                "E_SNAPSHOT_TOO_OLD",
                f"a transaction read from {address.url} for longer than"
                f" {address.snapshot_seconds} seconds",
            )

    # --- The requests -------------------------------------------------------------------------------

    def _first(self, request: wire.ReadRequest) -> list[Statement]:
        """The statements of a request that depend on nothing; streamed ones have none."""
        match request:
            case wire.ReadHeads():
                return self._heads_first(request)
            case wire.ReadPages(table, numbers):
                return _page_statements(table, numbers)
            case wire.ReadRows(table, labels) if labels is not None:
                return _blob_statements("rows", table, labels)
            case wire.ReadPacks(table, numbers):
                return _blob_statements("packs", table, numbers)
            case wire.ReadKeys(table, tags) if tags is not None:
                return [
                    (_KEYS, (table, BlobList(tags[start : start + ANY_IDS])))
                    for start in range(0, len(tags), ANY_IDS)
                ]
            case wire.ReadEntries(table, numbers):
                return [
                    (visible.ENTRIES, (table, Numbers(numbers[start : start + ANY_IDS])))
                    for start in range(0, len(numbers), ANY_IDS)
                ]
            case wire.ReadVisible() | wire.ReadGroups() | wire.ReadJoin():
                return visible.statements(request)
            case _:
                return []

    def _finish(self, request: wire.ReadRequest, answers: Sequence[Answer]) -> wire.ReadResponse:
        match request:
            case wire.ReadHeads():
                return self._heads(request, answers)
            case wire.ReadPages(table):
                return _paged_blobs(table, (row for one in answers for row in one.rows))
            case wire.ReadRows(table, None):
                query: LiteralString = (
                    "SELECT label, blob FROM {rows} WHERE tbl = %s ORDER BY label"
                )
                return _blobs(table, self._stream(query, table))
            case wire.ReadVisible() | wire.ReadGroups() | wire.ReadJoin():
                return visible.answer(request, answers)
            case wire.ReadRows(table) | wire.ReadPacks(table) | wire.ReadEntries(table):
                return _blobs(table, [row for one in answers for row in one.rows])
            case wire.ReadKeys(table, tags):
                query = "SELECT tag, label FROM {keys} WHERE tbl = %s ORDER BY tag"
                found: Iterable[Row] = (row for one in answers for row in one.rows)
                if tags is None:
                    found = self._stream(query, table)
                return wire.Keys(table=table, claims=tuple((tag, label) for tag, label in found))
            case wire.ListIds(table, name):
                return self._list(table, name)
            case wire.ReadLayout():
                return read_layout(self._run, self._link.address.url)

    def _stream(self, text: LiteralString, *values: Any) -> list[Row]:
        self._run(())
        return list(self._link.stream(text, *values))

    def _list(self, table: int, name: wire.Relation) -> wire.Ids:
        found = self._stream(_IDS[name], table)
        if name == "pages":
            return wire.Ids(table, tuple(ids.page_id(segment, page) for segment, page in found))
        return wire.Ids(table, tuple(number for (number,) in found))

    # --- Heads --------------------------------------------------------------------------------------

    def _heads_first(self, request: wire.ReadHeads) -> list[Statement]:
        tables = Numbers(cursor.table for cursor in request.cursors)
        statements: list[Statement] = [
            (
                (
                    # A standby's description leaves out the transactions that are under way.
                    "SELECT CASE WHEN pg_is_in_recovery() THEN '' ELSE pg_current_snapshot()::TEXT END,"
                    " database, incarnation, format, catalog_version FROM {heads}"
                ),
                (),
            )
        ]
        if tables:
            statements.append(("SELECT tbl, epoch FROM {tables} WHERE tbl = ANY(%s)", (tables,)))
        if tables and self._knows(request):
            seen = self._seen.snapshot
            statements.append(
                (
                    (
                        "SELECT tbl, writer, n, blob FROM {deltas} WHERE tbl = ANY(%s)"
                        " AND xid >= pg_snapshot_xmin(%s::PG_SNAPSHOT)"
                        " AND NOT pg_visible_in_snapshot(xid, %s::PG_SNAPSHOT)"
                    ),
                    (tables, seen, seen),
                )
            )
        return statements

    def _knows(self, request: wire.ReadHeads) -> bool:
        """Whether the last answer was about exactly what the client says it holds now."""
        seen = self._seen
        if not self._link.is_open or seen.generation != self._link.generation:
            return False
        for cursor in request.cursors:
            known = seen.tables.get(cursor.table)
            if known is None or known.epoch != cursor.epoch:
                return False
            if {writer: last for writer, (last, _) in known.ends.items()} != dict(cursor.frontier):
                return False
        return bool(seen.snapshot) and seen.version == request.catalog_version

    def _heads(self, request: wire.ReadHeads, answers: Sequence[Answer]) -> wire.Heads:
        address = self._link.address
        if len(answers[0].rows) != 1:
            raise damaged(address.url, "its head is missing")
        snapshot, database, incarnation, number, version = answers[0].rows[0]
        epochs: dict[int, int] = dict(answers[1].rows) if len(answers) > 1 else {}
        if {type(one) for one in (version, *epochs, *epochs.values())} != {int}:
            raise damaged(address.url, "a version is no number")
        known = request.catalog_version
        # Asked again after the answers came, which may have come over a new connection.
        knows = self._knows(request)
        fresh = _by_table(answers[2].rows) if len(answers) > 2 and knows else None
        one_catalog = self._catalog(known, version) if version != known else (None, ())
        tables = []
        for cursor in request.cursors:
            if cursor.table not in epochs:
                continue
            epoch, one = epochs[cursor.table], None
            if fresh is not None and epoch == cursor.epoch:
                held = self._seen.tables[cursor.table].ends
                one = _continued(cursor, held, fresh.get(cursor.table, []))
            tables.append(self._table_heads(cursor, epoch) if one is None else one)
        self._remember(snapshot, version, tables)
        unchanged = (
            request.if_changed
            and knows
            and version == known
            and len(tables) == len(request.cursors)
            and all(
                one.epoch == cursor.epoch
                and not one.deltas
                and {writer: last for writer, last, _ in one.ends} == dict(cursor.frontier)
                for one, cursor in zip(tables, request.cursors, strict=True)
            )
        )
        return wire.Heads(
            unchanged=unchanged,
            database=database,
            format=number,
            incarnation=incarnation,
            catalog_version=version,
            catalog=one_catalog[0],
            catalog_links=one_catalog[1],
            tables=() if unchanged else tuple(tables),
        )

    def _remember(self, snapshot: str, version: int, tables: Iterable[wire.TableHeads]) -> None:
        seen = self._seen
        if seen.snapshot != snapshot or seen.generation != self._link.generation:
            seen.tables.clear()
        seen.generation, seen.snapshot, seen.version = self._link.generation, snapshot, version
        for one in tables:
            ends = {writer: (last, count) for writer, last, count in one.ends}
            seen.tables[one.table] = SeenTable(one.epoch, ends)

    def _catalog(self, known: int, version: int) -> tuple[bytes | None, tuple[bytes, ...]]:
        blobs, links = self._run(
            [
                ("SELECT blob FROM {catalog} WHERE version = %s AND blob IS NOT NULL", (version,)),
                (
                    (
                        "SELECT link FROM {catalog} WHERE version > %s AND version <= %s"
                        " ORDER BY version"
                    ),
                    (known, version),
                ),
            ]
        )
        if len(blobs.rows) != 1:
            raise damaged(self._link.address.url, "its catalog is missing")
        return blobs.rows[0][0], tuple(link for (link,) in links.rows)

    def _table_heads(self, cursor: wire.TableCursor, epoch: int) -> wire.TableHeads:
        """Everything about a table that the client does not hold, without the help of a snapshot."""
        table = cursor.table
        frontier = dict(cursor.frontier)
        statements: list[Statement] = [
            (
                (
                    "SELECT writer, max(n), count(*) FROM {deltas} WHERE tbl = %s"
                    " GROUP BY writer ORDER BY writer"
                ),
                (table,),
            ),
            (
                (
                    "SELECT d.writer, d.n, d.blob FROM {deltas} AS d"
                    " LEFT JOIN unnest(%s::BYTEA[], %s::BIGINT[]) AS held (writer, n)"
                    " ON held.writer = d.writer"
                    " WHERE d.tbl = %s AND d.n > coalesce(held.n, 0) ORDER BY d.writer, d.n"
                ),
                (BlobList(frontier), Numbers(frontier.values()), table),
            ),
            (
                (
                    "SELECT link FROM {links} WHERE tbl = %s AND epoch > %s AND epoch <= %s"
                    " ORDER BY epoch"
                ),
                (table, cursor.chain, epoch),
            ),
        ]
        if epoch not in {0, cursor.epoch}:
            statements.append(("SELECT manifest FROM {tables} WHERE tbl = %s", (table,)))
        ends, deltas, links, *manifests = self._run(statements)
        manifest = manifests[0].rows[0][0] if manifests else None
        if manifests and manifest is None:
            raise damaged(self._link.address.url, "a manifest is missing")
        return wire.TableHeads(
            table=table,
            epoch=epoch,
            manifest=manifest,
            links=tuple(link for (link,) in links.rows),
            deltas=tuple(_delta(*row) for row in deltas.rows),
            ends=tuple(_end(*row) for row in ends.rows),
        )


def _blob_statements(name: str, table: int, numbers: Sequence[int]) -> list[Statement]:
    return [
        (_BLOBS[name], (table, Numbers(numbers[start : start + ANY_IDS])))
        for start in range(0, len(numbers), ANY_IDS)
    ]


def _page_statements(table: int, numbers: Sequence[int]) -> list[Statement]:
    """One statement for each segment, since a segment is what pages are placed by."""
    by_segment: dict[int, list[int]] = {}
    for number in numbers:
        by_segment.setdefault(number >> ids.PAGE_SHIFT, []).append(number & _PAGE_MASK)
    return [
        (_PAGES, (table, segment, Numbers(pages[start : start + ANY_IDS])))
        for segment, pages in by_segment.items()
        for start in range(0, len(pages), ANY_IDS)
    ]


def _blobs(table: int, found: Sequence[Row]) -> wire.Blobs:
    numbers, blobs = zip(*found, strict=True) if found else ((), ())
    return wire.Blobs(table=table, ids=numbers, blobs=blobs)


def _paged_blobs(table: int, found: Iterable[Row]) -> wire.Blobs:
    return _blobs(table, [(ids.page_id(segment, page), blob) for segment, page, blob in found])


def _delta(writer: bytes, n: int, blob: bytes) -> wire.DeltaBlob:
    """One delta; an address that no writer can have is the server's doing."""
    if (type(writer), type(n), type(blob)) != (bytes, int, bytes) or len(writer) != 16 or n < 1:
        raise err(TamperError, "E_STORE_DAMAGED", "a delta's address is malformed")
    return wire.DeltaBlob(writer=writer, n=n, blob=blob)


def _end(writer: bytes, last: int, count: int) -> tuple[bytes, int, int]:
    """Where a writer ends; an address that no writer can have is the server's doing."""
    if len(writer) != 16 or last < 1:
        raise err(TamperError, "E_STORE_DAMAGED", "a delta's address is malformed")
    return writer, last, count


def _by_table(rows: Iterable[Row]) -> dict[int, list[wire.DeltaBlob]]:
    found: dict[int, list[wire.DeltaBlob]] = {}
    for table, *delta in rows:
        found.setdefault(table, []).append(_delta(*delta))
    return found


def _continued(
    cursor: wire.TableCursor, held: Ends, fresh: Iterable[wire.DeltaBlob]
) -> wire.TableHeads | None:
    """The answer where nothing was merged: what the client holds, and the deltas that are new.

    Returns:
        None if the new ones do not continue those held, which asks for a closer look.
    """
    ends = dict(held)
    new = sorted(
        (one for one in fresh if one.n > ends.get(one.writer, (0, 0))[0]),
        key=lambda one: (one.writer, one.n),
    )
    for one in new:
        last, count = ends.get(one.writer, (one.n - 1, 0))
        if one.n != last + 1:
            return None
        ends[one.writer] = one.n, count + 1
    return wire.TableHeads(
        table=cursor.table,
        epoch=cursor.epoch,
        manifest=None,
        links=(),
        deltas=tuple(new),
        ends=tuple((writer, last, count) for writer, (last, count) in sorted(ends.items())),
    )
