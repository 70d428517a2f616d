"""The SQLite file behind the protocol of :mod:`encdb.stores.base`.

A store reads through one connection and writes through another, which is opened by the first write:
in WAL mode neither waits for the other, so a merge can stage what it builds while it goes on reading
the snapshot it began with.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from encdb import wire
from encdb.errors import InterfaceError, ProgrammingError, StoreUnavailable, err
from encdb.stores.base import Description

from . import claims, staging, writing
from .connection import (
    connect,
    damaged,
    needs_immutable,
    recognise,
    refuse_code,
    refuse_incomplete,
    translated,
    use_log,
)
from .creation import create_file
from .reading import SeenHeads, SqliteSnapshot
from .schema import INCOMPLETE


class SqliteStore:
    """One session's access to one SQLite store file."""

    def __init__(self, path: str, reader: sqlite3.Connection, *, immutable: bool) -> None:
        self._path = path
        self._reader: sqlite3.Connection | None = reader
        self._writer: sqlite3.Connection | None = None
        self._seen = SeenHeads()
        self._file = self._identity()
        self._stamp = self._file_stamp() if immutable else None

    @classmethod
    def open(cls, path: str) -> SqliteStore:
        """Open an existing store; see :func:`encdb.stores.open_store`."""
        recognise(path)
        with translated(path):
            immutable = needs_immutable(path)
            reader = connect(path, immutable=immutable)
            try:
                row = reader.execute("SELECT format FROM heads").fetchone()
                if row == (INCOMPLETE,):
                    # The header was one of a last step that was cut short and has been undone now.
                    refuse_incomplete(path)
                if row is None or row[0] != wire.FORMAT_VERSION:
                    damaged(path, "its header and its head disagree")
                refuse_code(reader, path)
                if not immutable:
                    use_log(reader)
            except BaseException:
                reader.close()
                raise
        return cls(path, reader, immutable=immutable)

    @classmethod
    def create(cls, path: str, genesis: wire.Genesis) -> SqliteStore:
        """Make a new store and open it; see :func:`encdb.stores.create_store`."""
        create_file(path, genesis)
        return cls.open(path)

    @property
    def path(self) -> str:
        """The file, as it was given."""
        return self._path

    @property
    def url(self) -> str:
        """The file as a URL."""
        return f"sqlite:///{self._path}"

    def _reading(self) -> sqlite3.Connection:
        if self._reader is None:
            raise err(InterfaceError, "E_CLOSED", f"the store {self._path} is closed")
        return self._reader

    def _writing(self) -> sqlite3.Connection:
        self._reading()
        if self._stamp is not None:
            raise err(
                StoreUnavailable,
                "E_STORE_READ_ONLY",
                f"the folder of the store {self._path} cannot be written",
            )
        if self._writer is None:
            if self._identity() != self._file:
                raise err(
                    StoreUnavailable,
                    "E_STORE_IO",
                    f"another file was put at {self._path} while the store was open",
                    "Open the store again",
                )
            with translated(self._path):
                writer = connect(self._path)
                try:
                    claims.prepare(writer)
                except BaseException:
                    writer.close()
                    raise
            self._writer = writer
        return self._writer

    def _identity(self) -> tuple[int, int] | None:
        try:
            status = Path(self._path).stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino

    def _file_stamp(self) -> tuple[int, int] | None:
        try:
            status = Path(self._path).stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size

    @contextmanager
    def snapshot(self) -> Iterator[SqliteSnapshot]:
        """A deferred read transaction for the length of a ``with`` block.

        Raises:
            ProgrammingError: a snapshot of this store is open already (``E_SNAPSHOT_OPEN``).
        """
        reader = self._reading()
        if reader.in_transaction:
            raise err(
                ProgrammingError, "E_SNAPSHOT_OPEN", "a snapshot of the store is open already"
            )
        if self._stamp is not None and self._stamp != self._file_stamp():
            raise err(
                StoreUnavailable,
                "E_STORE_LOCKED",
                f"the read-only store {self._path} was changed while it was open",
                "Open it again",
            )
        with translated(self._path):
            reader.execute("BEGIN")
        snapshot = SqliteSnapshot(reader, self._path, self._seen)
        try:
            yield snapshot
        finally:
            snapshot.close()
            self._end_snapshot()

    def _end_snapshot(self) -> None:
        # The block may have closed the store, and SQLite may have ended the transaction by itself.
        if self._reader is not None and self._reader.in_transaction:
            with translated(self._path):
                self._reader.execute("ROLLBACK")

    def commit(self, request: wire.Commit) -> wire.Committed | wire.Stale | wire.Conflict:
        """Do all of a transaction, durably and once, or nothing of it."""
        writer = self._writing()
        with translated(self._path):
            return writing.apply(writer, request)

    def lease(self, request: wire.Lease) -> wire.Leased:
        """Hand out numbers, in a transaction of its own."""
        writer = self._writing()
        with translated(self._path):
            return staging.lease(writer, request)

    def stage(self, request: wire.Stage) -> wire.Staged | wire.Stale:
        """Write pages and packs that nothing uses yet."""
        writer = self._writing()
        with translated(self._path):
            return staging.stage(writer, request)

    def sweep(self, request: wire.Sweep) -> wire.Swept:
        """Drop what expired stages left behind."""
        writer = self._writing()
        with translated(self._path):
            return staging.sweep(writer, request)

    def claim(self, request: wire.Claim) -> wire.Claimed:
        """Grant, renew or take back a right that one client at a time has."""
        writer = self._writing()
        with translated(self._path):
            return claims.claim(writer, request)

    def interrupt(self) -> None:
        """Make a statement that another thread waits for fail soon; harmless otherwise."""
        for connection in (self._reader, self._writer):
            if connection is not None:
                connection.interrupt()

    def describe(self) -> Description:
        """Kind and size."""
        reader = self._reading()
        with translated(self._path):
            ((free,),) = reader.execute("PRAGMA freelist_count")
            ((page_bytes,),) = reader.execute("PRAGMA page_size")
        files = [Path(self._path), Path(f"{self._path}-wal")]
        return Description(
            url=self.url,
            kind=f"SQLite {sqlite3.sqlite_version}",
            bytes=sum(file.stat().st_size for file in files if file.exists()),
            free=free * page_bytes,
            writable=self._stamp is None,
        )

    def close(self) -> None:
        """Release the file, after moving what the write-ahead log holds into it."""
        reader, writer = self._reader, self._writer
        self._reader = self._writer = None
        if reader is not None:
            reader.close()
        if writer is not None:
            try:
                # Other sessions may be reading the log; then the last of them empties it.
                writer.execute("PRAGMA busy_timeout = 0")
                writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            except sqlite3.Error:
                # Everything in the log is durable; the next session moves it.
                pass
            finally:
                writer.close()
