"""A schema that a copy of another store is being written into.

Its format is :data:`~.creation.INCOMPLETE` until :class:`encdb.wire.Finish` writes the small relations
and the true format in one transaction, so nothing opens it as a store before. One copy at a time writes
it: it keeps a row of ``claims`` that it renews with every message.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, LiteralString

from encdb import wire
from encdb.errors import (
    InterfaceError,
    InternalError,
    ProgrammingError,
    StoreUnavailable,
    err,
)
from encdb.stores.contents import read_contents, without_stages
from encdb.stores.transfer import RELATIONS

from . import creation, schema, visible
from .address import Address
from .failures import translated
from .layout import Statement
from .link import SERVER_NOW, BlobList, Link, Numbers
from .reading import PostgresSnapshot, SeenHeads
from .staging import copy_in, delete_blobs
from .steps import DROP
from .writing import roll_back

_CLAIM_SECONDS: Final = 60
_BEGIN: Final[Statement] = ("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE", ())


class PostgresReceiving:
    """The receiving side of a copy; see :class:`encdb.stores.base.ReceivingStore`."""

    def __init__(self, address: Address, link: Link) -> None:
        self._address = address
        self._link: Link | None = link
        self._holder = os.urandom(16)
        self._snapshot: PostgresSnapshot | None = None

    @classmethod
    def open(cls, address: Address, genesis: wire.Genesis) -> PostgresReceiving:
        """Make a store to copy into, or go on with one; see :func:`encdb.stores.receive_store`."""
        link = Link(address, read_only=False)
        try:
            with translated(address):
                _make_or_recognise(link, genesis)
                made = cls(address, link)
                made._claim(link)
        except BaseException:
            link.close()
            raise
        return made

    @property
    def url(self) -> str:
        """The schema as a URL, without credentials."""
        return self._address.url

    @contextmanager
    def snapshot(self) -> Iterator[PostgresSnapshot]:
        """What was written so far; nothing can be written while it is open."""
        link = self._idle()
        snapshot = self._snapshot = PostgresSnapshot(link, SeenHeads())
        try:
            yield snapshot
        finally:
            snapshot.close()
            self._snapshot = None
            roll_back(link)

    def put(self, request: wire.Put) -> wire.Staged:
        """Write blobs and drop others, in one durable transaction."""
        link = self._idle()
        with translated(self._address):
            try:
                link.run(_BEGIN)
                self._claim(link)
                _require_incomplete(link)
                if request.removed:
                    _delete(link, request)
                if request.added:
                    _write(link, request)
                link.one("COMMIT")
            except BaseException:
                roll_back(link)
                raise
        return wire.Staged()

    def finish(self, request: wire.Finish) -> wire.Committed:
        """Write the small relations and the true format, in one transaction."""
        link = self._idle()
        with translated(self._address):
            if creation.recognise(link)[2] != creation.INCOMPLETE:
                return self._repeated(request)
            try:
                link.run(_BEGIN)
                self._claim(link)
                _require_incomplete(link)
                _write_finish(link, request)
                link.one("COMMIT")
            except BaseException:
                roll_back(link)
                raise
        return wire.Committed()

    def close(self) -> None:
        """Release the connection; what was written stays."""
        link, self._link = self._link, None
        if link is not None:
            if link.is_open and not link.in_transaction:
                with translated(self._address):
                    link.one("DELETE FROM {claims} WHERE holder = %s", self._holder)
            link.close()

    def _idle(self) -> Link:
        if self._link is None:
            raise err(InterfaceError, "E_CLOSED", f"the store {self.url} is closed")
        if self._snapshot is not None:
            raise err(
                ProgrammingError, "E_SNAPSHOT_OPEN", "a snapshot of the store is open already"
            )
        return self._link

    def _claim(self, link: Link) -> None:
        """Keep other copies out of the same target."""
        granted = link.one(
            "INSERT INTO {claims} AS held (tbl, kind, holder, deadline)"
            f" VALUES (0, 'copy', %s, {SERVER_NOW} + %s)"
            " ON CONFLICT (tbl, kind) DO UPDATE SET holder = excluded.holder,"
            " deadline = excluded.deadline"
            f" WHERE held.holder = excluded.holder OR held.deadline <= {SERVER_NOW}",
            self._holder,
            _CLAIM_SECONDS,
        )
        if granted.count != 1:
            raise err(
                StoreUnavailable,
                "E_STORE_LOCKED",
                f"another copy is being written into {self.url}",
                f"Wait for it to end; one that died is forgotten after {_CLAIM_SECONDS} seconds",
            )

    def _repeated(self, request: wire.Finish) -> wire.Committed:
        """The answer to a message that may have been carried out before."""
        with self.snapshot() as snapshot:
            layout = without_stages(snapshot.read(wire.ReadLayout()))
            same = layout == request.layout and (
                read_contents(snapshot, layout) == request.contents
            )
        if not same:
            raise _exists(self.url, "a complete store")
        return wire.Committed(repeated=True)


def _make_or_recognise(link: Link, genesis: wire.Genesis) -> None:
    """Afterwards an unfinished copy of the same database is there; anything else is refused."""
    link.open()
    creation.require_server(link)
    url = link.address.url
    try:
        database, incarnation, number = creation.recognise(link)
    except StoreUnavailable as error:
        if error.code != "E_STORE_MISSING":
            raise
        creation.create(link, genesis, creation.INCOMPLETE)
        return
    if number != creation.INCOMPLETE:
        raise _exists(url, "a complete store")
    if (database, incarnation) != (genesis.database, genesis.incarnation):
        raise _exists(url, "an unfinished copy of another database")


def _exists(url: str, what: str) -> StoreUnavailable:
    return err(StoreUnavailable, "E_STORE_EXISTS", f"there is {what} at {url} already")


def _require_incomplete(link: Link) -> None:
    if link.one("SELECT format FROM {heads} FOR SHARE").rows != [(creation.INCOMPLETE,)]:
        raise _exists(link.address.url, "a complete store")


def _delete(link: Link, request: wire.Put) -> None:
    if request.relation == "rows":
        gone = Numbers(request.removed)
        link.one("DELETE FROM {rows} WHERE tbl = %s AND label = ANY(%s)", request.table, gone)
    elif request.relation == "visible":
        link.one(visible.REMOVE, request.table, Numbers(request.removed))
    else:
        delete_blobs(link, _kind(request.relation), request.table, request.removed)


def _write(link: Link, request: wire.Put) -> None:
    if request.relation == "rows":
        link.one(
            "INSERT INTO {rows} (tbl, label, blob) SELECT %s, label, blob"
            " FROM unnest(%s::BIGINT[], %s::BYTEA[]) AS new (label, blob)"
            " ON CONFLICT (tbl, label) DO UPDATE SET blob = excluded.blob",
            request.table,
            Numbers(label for label, _ in request.added),
            BlobList(blob for _, blob in request.added),
        )
    elif request.relation == "visible":
        visible.receive(link, request)
    else:
        copy_in(link, _kind(request.relation), request.table, request.added)


def _kind(relation: str) -> int:
    return schema.KIND_SEGMENT if relation == "pages" else schema.KIND_PACK


def _write_finish(link: Link, request: wire.Finish) -> None:
    """Everything but the blobs, inside a transaction."""
    layout = request.layout
    tables = [one.table for one in layout.tables]
    if [one.table for one in request.contents] != tables:
        raise err(InternalError, "E_INTERNAL", "a copy ends with other tables than it has")
    database, incarnation, _ = creation.recognise(link)
    if (database, incarnation) != (layout.database, layout.incarnation):
        raise _exists(link.address.url, "an unfinished copy of another database")
    statements = [_drop_others(name, tables) for name in RELATIONS]
    small = (name for name in schema.TABLE_KEYED if name not in RELATIONS)
    statements += [(DROP[name].partition(" WHERE")[0], ()) for name in small]
    statements.append(("DELETE FROM {catalog}", ()))
    current = layout.catalog_version
    statements.append(
        (
            (
                "INSERT INTO {catalog} (version, link) SELECT n - 1, link"
                " FROM unnest(%s::BYTEA[]) WITH ORDINALITY AS all_links (link, n)"
            ),
            (BlobList(layout.catalog_links),),
        )
    )
    statements.append(
        ("UPDATE {catalog} SET blob = %s WHERE version = %s", (layout.catalog, current))
    )
    for one, content in zip(layout.tables, request.contents, strict=True):
        statements += _table_statements(one)
        statements += _content_statements(content)
    statements.append(
        ("UPDATE {heads} SET format = %s, catalog_version = %s", (layout.format, current))
    )
    link.run(*statements)


def _drop_others(name: str, tables: list[int]) -> Statement:
    query: dict[str, LiteralString] = {
        "rows": "DELETE FROM {rows} WHERE tbl <> ALL(%s)",
        "packs": "DELETE FROM {packs} WHERE tbl <> ALL(%s)",
        "pages": "DELETE FROM {pages} WHERE tbl <> ALL(%s)",
        "visible": "DELETE FROM {visible} WHERE tbl <> ALL(%s)",
    }
    return query[name], (Numbers(tables),)


def _table_statements(one: wire.TableLayout) -> list[Statement]:
    ends = one.folded
    return [
        (
            "INSERT INTO {tables} (tbl, epoch, manifest) VALUES (%s, %s, %s)",
            (one.table, one.epoch, one.manifest),
        ),
        (
            "INSERT INTO {leases} (tbl, ordinal, segment) VALUES (%s, %s, %s)",
            (one.table, one.next_ordinal, one.next_segment),
        ),
        (
            (
                "INSERT INTO {links} (tbl, epoch, link) SELECT %s, n, link"
                " FROM unnest(%s::BYTEA[]) WITH ORDINALITY AS all_links (link, n)"
            ),
            (one.table, BlobList(one.links)),
        ),
        (
            (
                "INSERT INTO {folded} (tbl, writer, n, digest, day)"
                " SELECT %s, writer, n, digest, day FROM"
                " unnest(%s::BYTEA[], %s::BIGINT[], %s::BYTEA[], %s::BIGINT[])"
                " AS ends (writer, n, digest, day)"
            ),
            (
                one.table,
                BlobList(end.writer for end in ends),
                Numbers(end.n for end in ends),
                BlobList(end.digest for end in ends),
                Numbers(end.day for end in ends),
            ),
        ),
    ]


def _content_statements(content: wire.TableContent) -> list[Statement]:
    deltas, claims = content.deltas, content.claims
    return [
        (
            (
                "INSERT INTO {deltas} (tbl, writer, n, blob) SELECT %s, writer, n, blob"
                " FROM unnest(%s::BYTEA[], %s::BIGINT[], %s::BYTEA[]) AS new (writer, n, blob)"
            ),
            (
                content.table,
                BlobList(one.writer for one in deltas),
                Numbers(one.n for one in deltas),
                BlobList(one.blob for one in deltas),
            ),
        ),
        (
            (
                "INSERT INTO {keys} (tbl, tag, label) SELECT %s, tag, label"
                " FROM unnest(%s::BYTEA[], %s::BIGINT[]) AS new (tag, label)"
            ),
            (
                content.table,
                BlobList(tag for tag, _ in claims),
                Numbers(label for _, label in claims),
            ),
        ),
        (
            "INSERT INTO {tombstones} (tbl, label) SELECT %s, unnest(%s::BIGINT[])",
            (content.table, Numbers(content.tombstones)),
        ),
    ]
