"""PEP 249 connection and cursor.

Parameters are ``?`` or ``$1``; statements and their plans are cached by text. A connection belongs to
one thread at a time (``threadsafety`` 1). Outside of ``BEGIN`` … ``COMMIT`` every statement is its own
transaction unless ``autocommit`` is set to False, which begins one before the first statement, as PEP
249 asks.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from encdb import errors
from encdb.errors import InterfaceError, err

if TYPE_CHECKING:
    import pyarrow as pa

    from .opening import InitReport
    from .result import Result
    from .session import Session

Row = tuple[Any, ...]
Description = tuple[str, str, None, None, None, None, None]


class Connection:
    """One connection to one database. Close it, or use it as a context manager.

    As a context manager it commits on success, rolls back on an exception, and closes.
    """

    Warning = errors.Warning
    Error = errors.Error
    InterfaceError = errors.InterfaceError
    DatabaseError = errors.DatabaseError
    DataError = errors.DataError
    OperationalError = errors.OperationalError
    IntegrityError = errors.IntegrityError
    InternalError = errors.InternalError
    ProgrammingError = errors.ProgrammingError
    NotSupportedError = errors.NotSupportedError

    def __init__(self, session: Session, *, autocommit: bool = True) -> None:
        self._session: Session | None = session
        self.autocommit = autocommit

    @property
    def session(self) -> Session:
        """The session underneath; InterfaceError E_CLOSED once the connection is closed."""
        if self._session is None:
            raise err(InterfaceError, "E_CLOSED", "the connection is closed")
        return self._session

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return self.session.in_transaction

    def cursor(self) -> Cursor:
        """A new cursor."""
        self.session  # noqa: B018 - a closed connection must say so here.
        return Cursor(self)

    def execute(self, sql: str, parameters: Sequence[object] = ()) -> Cursor:
        """Run one statement on a new cursor and return the cursor."""
        return self.cursor().execute(sql, parameters)

    def executemany(self, sql: str, rows: Sequence[Sequence[object]]) -> Cursor:
        """Run one statement for each row of parameters, as one transaction."""
        return self.cursor().executemany(sql, rows)

    def begin_if_needed(self, sql: str) -> None:
        """Begin a transaction when autocommit is off, none is open and the statement belongs in one."""
        if self.autocommit or self.session.in_transaction:
            return
        if self.session.belongs_in_transaction(sql):
            self.session.begin()

    def commit(self) -> None:
        """Commit the open transaction; nothing happens when none is open."""
        self.session.commit()

    def rollback(self) -> None:
        """Forget the open transaction; nothing happens when none is open."""
        self.session.rollback()

    def checkpoint(self) -> str:
        """Verify the state of all tables and return it as a checkpoint, for ``connect(expect=...)``.

        Within a transaction it is the state that the transaction reads.

        Raises:
            TamperError: the state does not verify.
        """
        with self.session.reading(everything=True):
            database = self.session.database
            assert database.catalog is not None
            database.ensure(database.catalog.tables)
            return database.checkpoint()

    def close(self) -> None:
        """Roll back what is open and release the store. Closing twice is harmless."""
        if self._session is not None:
            session, self._session = self._session, None
            session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self.commit()
            else:
                self.rollback()
        finally:
            self.close()


class Cursor:
    """Runs statements and holds the result of the last one."""

    arraysize = 1

    def __init__(self, connection: Connection) -> None:
        self._connection: Connection | None = connection
        self._result: Result | None = None
        self._rows: list[Row] | None = None
        self._place = 0

    @property
    def connection(self) -> Connection:
        """The connection that made this cursor."""
        if self._connection is None:
            raise err(InterfaceError, "E_CLOSED", "the cursor is closed")
        return self._connection

    @property
    def description(self) -> list[Description] | None:
        """Name and type of each result column, or None when there are no rows to fetch."""
        if self._result is None or self._result.table is None:
            return None
        return [(name, kind, None, None, None, None, None) for name, kind in self._result.columns]

    @property
    def rowcount(self) -> int:
        """Rows returned or changed by the last statement; -1 when it has no such number."""
        return -1 if self._result is None else self._result.rowcount

    @property
    def notices(self) -> list[str]:
        """What the last statement had to say beside its result."""
        return [] if self._result is None else list(self._result.notices)

    def execute(self, sql: str, parameters: Sequence[object] = ()) -> Cursor:
        """Run one statement; ``parameters`` fill ``?`` or ``$1`` … in order."""
        session = self.connection.session
        self._drop()
        self.connection.begin_if_needed(sql)
        self._result = session.execute(sql, parameters)
        return self

    def executemany(self, sql: str, rows: Sequence[Sequence[object]]) -> Cursor:
        """Run one statement for each row of parameters; all of them take effect, or none."""
        session = self.connection.session
        self._drop()
        self.connection.begin_if_needed(sql)
        self._result = session.execute_many(sql, rows)
        return self

    def _drop(self) -> None:
        self._result, self._rows, self._place = None, None, 0

    def _fetched(self) -> list[Row]:
        if self._rows is None:
            if self._result is None or self._result.table is None:
                raise err(InterfaceError, "E_NO_RESULT", "there is no result to fetch from")
            self._rows = self._result.rows()
        return self._rows

    def fetchone(self) -> Row | None:
        """The next row, or None after the last."""
        rows = self._fetched()
        if self._place >= len(rows):
            return None
        self._place += 1
        return rows[self._place - 1]

    def fetchmany(self, size: int | None = None) -> list[Row]:
        """The next ``size`` rows (default ``arraysize``)."""
        rows = self._fetched()
        start = self._place
        self._place = min(len(rows), start + (self.arraysize if size is None else size))
        return rows[start : self._place]

    def fetchall(self) -> list[Row]:
        """All rows that are left."""
        rows = self._fetched()
        start, self._place = self._place, len(rows)
        return rows[start:]

    def fetch_arrow_table(self) -> pa.Table:
        """The whole result as an Arrow table."""
        if self._result is None or self._result.table is None:
            raise err(InterfaceError, "E_NO_RESULT", "there is no result to fetch from")
        return self._result.table

    def setinputsizes(self, sizes: object) -> None:
        """Does nothing, as PEP 249 permits."""

    def setoutputsize(self, size: int, column: int | None = None) -> None:
        """Does nothing, as PEP 249 permits."""

    def close(self) -> None:
        """Release the result; the cursor cannot be used afterwards."""
        self._drop()
        self._connection = None

    def __iter__(self) -> Iterator[Row]:
        while (row := self.fetchone()) is not None:
            yield row

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def connect(
    url: str,
    *,
    keyring: str | os.PathLike[str] | None = None,
    passphrase: str | Callable[[], str] | None = None,
    autocommit: bool = True,
    pin: bool = True,
    expect: str | None = None,
    record: bool = False,
) -> Connection:
    """Open a database.

    Args:
        url: a path (``vault.db``) or a URL (``sqlite:///vault.db``).
        keyring: the keyring file; by default ``ENCDB_KEYRING``, else found by the database's identity.
        passphrase: the passphrase, or a function that is asked for it when one is needed; by default
            ``ENCDB_PASSPHRASE``.
        autocommit: whether each statement is its own transaction outside of BEGIN … COMMIT.
        pin: remember the last state seen on this machine, and refuse an older one.
        expect: a checkpoint that another client made; a store that does not continue it is refused.
        record: keep a trace of the messages to the store, as ``connection.session.trace``.

    Raises:
        KeyringError: the keyring is missing, locked or another database's.
        StoreUnavailable, FormatError: the store cannot be opened.
        TamperError: the store does not verify, or is older than one seen before.
    """
    from .opening import open_session

    session = open_session(url, keyring, passphrase, pin=pin, expect=expect, record=record)
    return Connection(session, autocommit=autocommit)


def init(
    url: str,
    *,
    keyring: str | os.PathLike[str] | None = None,
    passphrase: str | None = None,
) -> InitReport:
    """Make an empty database and its keyring; without a passphrase the key lies in the file in clear.

    Raises:
        StoreUnavailable: something is there already, or the store cannot be made.
        KeyringError: the keyring file exists already, or cannot be made.
    """
    from .opening import create

    return create(url, keyring, passphrase)
