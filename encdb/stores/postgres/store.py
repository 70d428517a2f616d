"""A schema of a PostgreSQL database behind the protocol of :mod:`encdb.stores.base`.

A store reads through one connection and writes through another, which is made by the first write, so
that a merge can stage what it builds while it goes on reading the snapshot it began with.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

import psycopg

from encdb import wire
from encdb.errors import (
    EncdbError,
    InterfaceError,
    OperationalError,
    ProgrammingError,
    StoreUnavailable,
    err,
)
from encdb.stores.base import Description

from . import creation, staging, writing
from .address import Address
from .failures import is_lost, is_transient, translate, translated
from .link import Link
from .reading import PostgresSnapshot, SeenHeads

_Result = TypeVar("_Result")
_PAUSES: Final = (0.05, 0.25, 1.0, 2.0, 4.0, 8.0)
"""Seconds before each repetition; a server that restarts is usually back within their sum."""


class PostgresStore:
    """One session's access to one schema."""

    def __init__(self, address: Address, reader: Link) -> None:
        self._address = address
        self._reader: Link | None = reader
        self._writer: Link | None = None
        self._seen = SeenHeads()
        self._snapshot: PostgresSnapshot | None = None

    @classmethod
    def open(cls, address: Address) -> PostgresStore:
        """Open an existing store; see :func:`encdb.stores.open_store`."""
        reader = Link(address, read_only=True)
        try:
            with translated(address):
                reader.open()
                creation.require_server(reader)
                creation.require_complete(reader)
        except BaseException:
            reader.close()
            raise
        return cls(address, reader)

    @classmethod
    def create(cls, address: Address, genesis: wire.Genesis) -> PostgresStore:
        """Make a new store and open it; see :func:`encdb.stores.create_store`."""
        maker = Link(address, read_only=False)
        try:
            creation.create(maker, genesis)
        finally:
            maker.close()
        return cls.open(address)

    @property
    def url(self) -> str:
        """The schema as a URL, without credentials."""
        return self._address.url

    @property
    def round_trips(self) -> int:
        """How often this store has waited for the server."""
        return sum(one.round_trips for one in (self._reader, self._writer) if one is not None)

    def _reading(self) -> Link:
        if self._reader is None:
            raise err(InterfaceError, "E_CLOSED", f"the store {self.url} is closed")
        return self._reader

    def _writing(self) -> Link:
        self._reading()
        if self._writer is None:
            self._writer = Link(self._address, read_only=False)
        return self._writer

    @contextmanager
    def snapshot(self) -> Iterator[PostgresSnapshot]:
        """One REPEATABLE READ transaction for the length of a ``with`` block.

        Raises:
            ProgrammingError: a snapshot of this store is open already (``E_SNAPSHOT_OPEN``).
        """
        reader = self._reading()
        if self._snapshot is not None:
            raise err(
                ProgrammingError, "E_SNAPSHOT_OPEN", "a snapshot of the store is open already"
            )
        snapshot = self._snapshot = PostgresSnapshot(reader, self._seen)
        try:
            yield snapshot
        finally:
            snapshot.close()
            self._snapshot = None
            # The block may have closed the store, and the server may have ended the transaction.
            reader.end()

    # --- Writing ------------------------------------------------------------------------------------

    def commit(self, request: wire.Commit) -> wire.Committed | wire.Stale | wire.Conflict:
        """Do all of a transaction, durably and once, or nothing of it.

        When the connection breaks before the answer has come, the same commit is sent again over a new
        one: it finds itself in place, waits for its first attempt, or does the work.

        Raises:
            OperationalError: the server cannot be asked what became of it (``E_OUTCOME_UNKNOWN``).
        """
        with translated(self._address):
            answer = self._send(self._writing(), request)
        if not isinstance(answer, wire.Committed):
            # What was seen may be gone, as after a restore; the next answer says all there is.
            self._seen.snapshot = ""
        return answer

    def _send(self, link: Link, request: wire.Commit) -> writing.Outcome:
        unknown = False
        last: psycopg.Error | EncdbError | None = None
        for pause in (*_PAUSES, None):
            try:
                return writing.apply(link, request)
            except psycopg.Error as error:
                last = error
                if is_lost(error):
                    unknown = True
                    link.close()
                elif not is_transient(error):
                    if unknown:
                        break
                    raise translate(error, self._address) from error
            except StoreUnavailable as error:
                # A new connection could not be made.
                last = error
                if not unknown:
                    raise
            if pause is not None:
                time.sleep(pause)
        if unknown:
            raise err(
                OperationalError,
                "E_OUTCOME_UNKNOWN",
                f"the connection to {self.url} broke during a commit",
            ) from last
        assert isinstance(last, psycopg.Error)
        raise translate(last, self._address) from last

    def _repeat(self, action: Callable[[Link], _Result]) -> _Result:
        """Do what may be done twice, once more if the connection was broken."""
        link = self._writing()
        with translated(self._address):
            for pause in (*_PAUSES[:4], None):
                try:
                    return action(link)
                except psycopg.Error as error:
                    if pause is None or not (is_lost(error) or is_transient(error)):
                        raise
                    if is_lost(error):
                        link.close()
                    time.sleep(pause)
        raise AssertionError("the loop returns or raises")

    def lease(self, request: wire.Lease) -> wire.Leased:
        """Hand out numbers, in a transaction of its own. Numbers whose answer was lost are skipped."""
        return self._repeat(lambda link: staging.lease(link, request))

    def stage(self, request: wire.Stage) -> wire.Staged | wire.Stale:
        """Write pages and packs that nothing uses yet."""
        return self._repeat(lambda link: staging.stage(link, request))

    def sweep(self, request: wire.Sweep) -> wire.Swept:
        """Drop what expired stages left behind."""
        return self._repeat(lambda link: staging.sweep(link, request))

    def claim(self, request: wire.Claim) -> wire.Claimed:
        """Grant, renew or take back a right that one client at a time has."""
        return self._repeat(lambda link: staging.claim(link, request))

    # --- The rest -----------------------------------------------------------------------------------

    def describe(self) -> Description:
        """Kind and size."""
        reader = self._reading()
        with translated(self._address):
            reader.open()
            version = reader.server_version
            ((size, writable),) = reader.one(
                "SELECT (SELECT sum(pg_total_relation_size(c.oid))::BIGINT"
                " FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n"
                " ON n.oid = c.relnamespace WHERE n.nspname = %s AND c.relkind = 'r'),"
                " has_table_privilege(%s, 'INSERT') AND NOT pg_is_in_recovery()",
                self._address.schema,
                _quoted(self._address.schema, "rows"),
            ).rows
        return Description(
            url=self.url,
            kind=f"PostgreSQL {version // 10_000}.{version % 10_000}",
            bytes=size or 0,
            free=0,
            writable=writable,
        )

    def interrupt(self) -> None:
        """Cancel what the server is doing for this store; harmless when that is nothing."""
        for link in (self._reader, self._writer):
            if link is not None:
                link.interrupt()

    def close(self) -> None:
        """Release both connections."""
        reader, writer = self._reader, self._writer
        self._reader = self._writer = None
        for link in (reader, writer):
            if link is not None:
                link.close()


def _quoted(name: str, relation: str) -> str:
    return f'"{name.replace(chr(34), chr(34) * 2)}".{relation}'
