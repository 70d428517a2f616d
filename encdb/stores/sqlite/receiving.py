"""An SQLite file that a copy of another store is being written into.

Its format is :data:`~.schema.INCOMPLETE` in the header and in ``heads`` until :class:`encdb.wire.Finish`
writes the small relations and the true format in one transaction, so nothing opens it as a store before.
The file is locked for as long as one copy writes it. It gets its write-ahead log at the very end: without one,
every transaction reaches the main file, whose header is what :func:`~.connection.recognise` reads.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

from encdb import wire
from encdb.errors import (
    FormatError,
    InterfaceError,
    InternalError,
    ProgrammingError,
    StoreUnavailable,
    err,
)
from encdb.stores.contents import read_contents, without_stages

from . import schema, visible
from .connection import connect, damaged, recognise, refuse_code, translated, use_log
from .creation import create_file
from .reading import SeenHeads, SqliteSnapshot, chunks
from .schema import relation
from .writing import transaction

_KEY: Final = {"rows": "label", "packs": "id", "pages": "id"}


class SqliteReceiving:
    """The receiving side of a copy; see :class:`encdb.stores.base.ReceivingStore`."""

    def __init__(self, path: str, connection: sqlite3.Connection) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = connection
        self._tables: set[int] = set()

    @classmethod
    def open(cls, path: str, genesis: wire.Genesis) -> SqliteReceiving:
        """Make a store to copy into, or go on with one; see :func:`encdb.stores.receive_store`."""
        _make_or_recognise(path, genesis)
        with translated(path):
            connection = connect(path)
            try:
                refuse_code(connection, path)
                # Two copies into one file would undo each other's work.
                connection.execute("PRAGMA locking_mode = EXCLUSIVE")
                with transaction(connection):
                    _require_same(connection, path, genesis)
                    # Only a write takes the lock that the mode then keeps.
                    connection.execute("UPDATE heads SET id = 1 WHERE id = 1")
            except BaseException:
                connection.close()
                raise
        return cls(path, connection)

    @property
    def url(self) -> str:
        """The file as a URL."""
        return f"sqlite:///{self._path}"

    @contextmanager
    def snapshot(self) -> Iterator[SqliteSnapshot]:
        """What was written so far; nothing can be written while it is open."""
        connection = self._idle()
        with translated(self._path):
            connection.execute("BEGIN")
        snapshot = SqliteSnapshot(connection, self._path, SeenHeads())
        try:
            yield snapshot
        finally:
            snapshot.close()
            if self._connection is not None and connection.in_transaction:
                with translated(self._path):
                    connection.execute("ROLLBACK")

    def put(self, request: wire.Put) -> wire.Staged:
        """Write blobs and drop others, in one durable transaction."""
        connection = self._idle()
        with translated(self._path), transaction(connection):
            if self._complete(connection):
                raise _exists(self._path, "a complete store")
            if request.table not in self._tables:
                _make_table(connection, request.table)
            if request.relation == "visible":
                visible.receive(connection, request)
            else:
                _receive(connection, request)
        self._tables.add(request.table)
        return wire.Staged()

    def finish(self, request: wire.Finish) -> wire.Committed:
        """Write the small relations and the true format, in one transaction."""
        connection = self._idle()
        with translated(self._path):
            if self._complete(connection):
                return self._repeated(request)
            with transaction(connection):
                _write_finish(connection, self._path, request)
            # Readers and writers of a complete store must not wait for each other; the lock ends
            # with the first read after its mode was set.
            connection.execute("PRAGMA locking_mode = NORMAL")
            connection.execute("SELECT format FROM heads").fetchone()
            use_log(connection)
        return wire.Committed()

    def close(self) -> None:
        """Release the file; what was written stays."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _idle(self) -> sqlite3.Connection:
        """The connection, which is in no transaction."""
        if self._connection is None:
            raise err(InterfaceError, "E_CLOSED", f"the store {self._path} is closed")
        if self._connection.in_transaction:
            raise err(
                ProgrammingError, "E_SNAPSHOT_OPEN", "a snapshot of the store is open already"
            )
        return self._connection

    def _complete(self, connection: sqlite3.Connection) -> bool:
        row = connection.execute("SELECT format FROM heads").fetchone()
        return bool(row != (schema.INCOMPLETE,))

    def _repeated(self, request: wire.Finish) -> wire.Committed:
        """The answer to a message that may have been carried out before."""
        with self.snapshot() as snapshot:
            layout = without_stages(snapshot.read(wire.ReadLayout()))
            same = layout == request.layout and (
                read_contents(snapshot, layout) == request.contents
            )
        if not same:
            raise _exists(self._path, "a complete store")
        return wire.Committed(repeated=True)


def _receive(connection: sqlite3.Connection, request: wire.Put) -> None:
    name, key = relation(request.relation, request.table), _KEY[request.relation]
    for marks, values in chunks(request.removed):
        connection.execute(f'DELETE FROM "{name}" WHERE "{key}" IN ({marks})', values)
    connection.executemany(
        f'INSERT OR REPLACE INTO "{name}" ("{key}", blob) VALUES (?, ?)', request.added
    )


def _make_or_recognise(path: str, genesis: wire.Genesis) -> None:
    """Afterwards an unfinished copy is at ``path``; anything else there is refused."""
    try:
        recognise(path)
    except FormatError:
        raise _exists(path, "a store of another format") from None
    except StoreUnavailable as error:
        if error.code == "E_STORE_MISSING":
            create_file(path, replace(genesis, format=schema.INCOMPLETE))
        elif error.code in {"E_NOT_A_DATABASE", "E_NOT_A_STORE"}:
            raise _exists(path, "something else") from None
        elif error.code != "E_STORE_INCOMPLETE":
            raise
    else:
        raise _exists(path, "a complete store")


def _require_same(connection: sqlite3.Connection, path: str, genesis: wire.Genesis) -> None:
    """An unfinished copy goes on only with the database and the incarnation that it began with."""
    rows = connection.execute("SELECT database, incarnation, format FROM heads").fetchall()
    if len(rows) != 1:
        damaged(path, "its head is missing")
    database, incarnation, number = rows[0]
    if number != schema.INCOMPLETE:
        raise _exists(path, "a complete store")
    if (database, incarnation) != (genesis.database, genesis.incarnation):
        raise _exists(path, "an unfinished copy of another database")


def _exists(path: str, what: str) -> StoreUnavailable:
    return err(StoreUnavailable, "E_STORE_EXISTS", f"there is {what} at {path} already")


def _make_table(connection: sqlite3.Connection, table: int) -> None:
    there = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"
    if connection.execute(there, (relation("rows", table),)).fetchone() is None:
        for statement in schema.create_table(table):
            connection.execute(statement)


def _write_finish(connection: sqlite3.Connection, path: str, request: wire.Finish) -> None:
    """Everything but the blobs, inside a transaction."""
    layout = request.layout
    tables = [one.table for one in layout.tables]
    if [one.table for one in request.contents] != tables:
        raise err(InternalError, "E_INTERNAL", "a copy ends with other tables than it has")
    _require_same(
        connection,
        path,
        wire.Genesis(layout.database, layout.incarnation, layout.format, b"", b""),
    )
    for leftover in _tables(connection) - set(tables):
        for statement in schema.drop_table(leftover):
            connection.execute(statement)
    for name in ("catalog", *schema.TABLE_KEYED):
        connection.execute(f'DELETE FROM "{name}"')
    current = layout.catalog_version
    _insert(
        connection,
        "catalog",
        ("version", "link", "blob"),
        (
            (version, link, layout.catalog if version == current else None)
            for version, link in enumerate(layout.catalog_links)
        ),
    )
    for one, content in zip(layout.tables, request.contents, strict=True):
        _make_table(connection, one.table)
        _write_table(connection, one)
        _write_content(connection, content)
    connection.execute("UPDATE heads SET format = ?, catalog_version = ?", (layout.format, current))
    connection.execute(f"PRAGMA user_version = {layout.format:d}")


def _tables(connection: sqlite3.Connection) -> set[int]:
    """Tables whose relations are there."""
    names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
    matches = (re.fullmatch(r"rows_([0-9a-f]{8})", name) for (name,) in names)
    return {int(match[1], 16) for match in matches if match is not None}


def _write_table(connection: sqlite3.Connection, one: wire.TableLayout) -> None:
    table = one.table
    _insert(connection, "tables", ("tbl", "epoch", "manifest"), [(table, one.epoch, one.manifest)])
    _insert(
        connection,
        "links",
        ("tbl", "epoch", "link"),
        ((table, epoch, link) for epoch, link in enumerate(one.links, start=1)),
    )
    _insert(
        connection,
        "leases",
        ("tbl", "ordinal", "segment"),
        [(table, one.next_ordinal, one.next_segment)],
    )
    _insert(
        connection,
        "folded",
        ("tbl", "writer", "n", "digest", "day"),
        ((table, end.writer, end.n, end.digest, end.day) for end in one.folded),
    )


def _write_content(connection: sqlite3.Connection, content: wire.TableContent) -> None:
    contents: dict[str, tuple[tuple[str, ...], Iterable[Sequence[Any]]]] = {
        "deltas": (("writer", "n", "blob"), ((d.writer, d.n, d.blob) for d in content.deltas)),
        "keys": (("tag", "label"), content.claims),
        "tombstones": (("label",), ((label,) for label in content.tombstones)),
    }
    for name, (columns, rows) in contents.items():
        source = relation(name, content.table)
        connection.execute(f'DELETE FROM "{source}"')
        _insert(connection, source, columns, rows)


def _insert(
    connection: sqlite3.Connection,
    name: str,
    columns: tuple[str, ...],
    rows: Iterable[Sequence[Any]],
) -> None:
    marks = ", ".join("?" * len(columns))
    connection.executemany(f'INSERT INTO "{name}" ({", ".join(columns)}) VALUES ({marks})', rows)
