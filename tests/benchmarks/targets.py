"""The databases of the benchmark of stores behind one small interface: encdb, sqlite3 and psycopg.

All three get the same statements with ``?`` for parameters. Definitions differ in two places only: encdb
wants the method of an index named, which the others do not know, and needs a range index of its own
where their primary keys are ordered anyway. Both plaintext peers are set up as a careful user would
have them: SQLite with WAL, ``synchronous = FULL`` and keys that are row ids, psycopg with statements that
are prepared by themselves after five uses.
"""

from __future__ import annotations

import os
import re
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

import encdb

Row = tuple[Any, ...]
BUSY_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Target:
    """One database to measure; it travels to the processes of the clients.

    Attributes:
        name: as in the table, such as ``encdb/postgres``.
        engine: ``encdb``, ``sqlite3`` or ``psycopg``.
        url: where it is.
        keyring: of an encdb store.
        token: of an encdb server.
        schema: of the plaintext tables in PostgreSQL.
        beside: names of the targets that its figures are divided by.
        rtt: milliseconds that a round trip to its server takes longer than on this machine.
    """

    name: str
    engine: str
    url: str
    keyring: str = ""
    token: str = ""
    schema: str = ""
    beside: tuple[str, ...] = ()
    rtt: float = 0.0

    @property
    def port(self) -> int | None:
        """Of its server, None of a file."""
        return urlsplit(self.url).port if "://" in self.url else None

    def through(self, port: int, rtt: float) -> Target:
        """The same database behind a relay."""
        url = self.url.replace(f":{self.port}/", f":{port}/", 1)
        return replace(self, url=url, rtt=rtt)

    def connect(self) -> Client:
        """A new connection."""
        return _ENGINES[self.engine](self)


class Client(ABC):
    """One connection, in autocommit mode outside of :meth:`begin` and :meth:`commit`."""

    @abstractmethod
    def is_conflict(self, error: Exception) -> bool:
        """Whether the same transaction should be run again after this error."""

    @abstractmethod
    def run(self, sql: str, parameters: Sequence[object] = ()) -> list[Row]:
        """All rows of a statement, none if it returns none."""

    @abstractmethod
    def begin(self, *, write: bool) -> None:
        """Begin a transaction of snapshot isolation."""

    @abstractmethod
    def commit(self) -> None:
        """Commit it, durably."""

    @abstractmethod
    def rollback(self) -> None:
        """Forget it, if one is open."""

    @abstractmethod
    def define(self, sql: str) -> None:
        """Make a table or an index."""

    @abstractmethod
    def load(self, sql: str, rows: Iterable[Row]) -> None:
        """Insert many rows in one transaction."""

    @abstractmethod
    def settle(self) -> None:
        """What an administrator does after a load: merge, or collect statistics."""

    @abstractmethod
    def close(self) -> None:
        """End the connection."""

    @property
    def round_trips(self) -> int | None:
        """How often it has waited for a server, if it counts that."""
        return None


class EncdbClient(Client):
    """encdb on any kind of store."""

    def __init__(self, target: Target) -> None:
        if target.token:
            os.environ["ENCDB_TOKEN"] = target.token
        self._connection = encdb.connect(target.url, keyring=target.keyring)

    def is_conflict(self, error: Exception) -> bool:
        return isinstance(error, encdb.ConflictError)

    def run(self, sql: str, parameters: Sequence[object] = ()) -> list[Row]:
        cursor = self._connection.execute(sql, parameters)
        return cursor.fetchall() if cursor.description else []

    def begin(self, *, write: bool) -> None:
        self._connection.execute("BEGIN")

    def commit(self) -> None:
        self._connection.commit()

    def rollback(self) -> None:
        self._connection.rollback()

    def define(self, sql: str) -> None:
        self._connection.execute(sql)

    def load(self, sql: str, rows: Iterable[Row]) -> None:
        self._connection.executemany(sql, list(rows))

    def settle(self) -> None:
        self._connection.execute("VACUUM")

    def close(self) -> None:
        self._connection.close()

    @property
    def round_trips(self) -> int | None:
        return getattr(self._connection.session.store, "round_trips", None)


def plain_definition(sql: str) -> str:
    """A definition without what only encdb knows; empty where a primary key serves already."""
    if re.search(r"USING range \(\w+_key\)", sql):
        return ""
    return re.sub(r"USING \w+ ", "", sql)


class SqliteClient(Client):
    """Python's own sqlite3, with the settings that encdb's store has."""

    def __init__(self, target: Target) -> None:
        self._connection = sqlite3.connect(
            target.url, timeout=BUSY_SECONDS, isolation_level=None, cached_statements=512
        )
        for setting in (
            "page_size = 4096",
            "journal_mode = WAL",
            "synchronous = FULL",
            "cache_size = -65536",
            "temp_store = MEMORY",
        ):
            self._connection.execute(f"PRAGMA {setting}")

    def is_conflict(self, error: Exception) -> bool:
        name = getattr(error, "sqlite_errorname", "")
        return name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))

    def run(self, sql: str, parameters: Sequence[object] = ()) -> list[Row]:
        return self._connection.execute(sql, parameters).fetchall()

    def begin(self, *, write: bool) -> None:
        # A transaction that reads first and then finds that another has written could not go on.
        self._connection.execute("BEGIN IMMEDIATE" if write else "BEGIN")

    def commit(self) -> None:
        self._connection.execute("COMMIT")

    def rollback(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def define(self, sql: str) -> None:
        self._connection.execute(plain_definition(sql).replace("BIGINT PRIMARY", "INTEGER PRIMARY"))

    def load(self, sql: str, rows: Iterable[Row]) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.executemany(sql, rows)
        self._connection.execute("COMMIT")

    def settle(self) -> None:
        self._connection.execute("ANALYZE")
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def close(self) -> None:
        self._connection.close()


class PsycopgClient(Client):
    """psycopg, as its manual would have it used."""

    def __init__(self, target: Target) -> None:
        import psycopg

        self._connection = psycopg.connect(target.url, autocommit=True)
        self._connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{target.schema}"')
        self._connection.execute(f'SET search_path TO "{target.schema}"')
        self._texts: dict[str, Any] = {}

    def is_conflict(self, error: Exception) -> bool:
        # A deadlock is a conflict too: the server has undone one of the transactions.
        return getattr(error, "sqlstate", None) in ("40001", "40P01")

    def _text(self, sql: str) -> Any:
        if sql not in self._texts:
            self._texts[sql] = sql.replace("%", "%%").replace("?", "%s")
        return self._texts[sql]

    def run(self, sql: str, parameters: Sequence[object] = ()) -> list[Row]:
        cursor = self._connection.execute(self._text(sql), parameters)
        return cursor.fetchall() if cursor.description else []

    def begin(self, *, write: bool) -> None:
        # PostgreSQL's name for snapshot isolation, which is what encdb has.
        self._connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")

    def commit(self) -> None:
        self._connection.execute("COMMIT")

    def rollback(self) -> None:
        self._connection.execute("ROLLBACK")

    def define(self, sql: str) -> None:
        if plain := plain_definition(sql):
            self._connection.execute(self._text(plain))

    def load(self, sql: str, rows: Iterable[Row]) -> None:
        table, width = sql.split()[2], sql.count("?")
        assert width
        with (
            self._connection.cursor() as cursor,
            cursor.copy(f"COPY {table} FROM STDIN") as copying,  # type: ignore[arg-type]
        ):
            for row in rows:
                copying.write_row(row)

    def settle(self) -> None:
        self._connection.execute("VACUUM ANALYZE")

    def close(self) -> None:
        self._connection.close()


_ENGINES: dict[str, type[Any]] = {
    "encdb": EncdbClient,
    "sqlite3": SqliteClient,
    "psycopg": PsycopgClient,
}
