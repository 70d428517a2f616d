"""Opening SQLite files safely, and turning the driver's failures into encdb's errors.

A file is recognised by its first 100 bytes, read as plain bytes, before SQLite touches it: opening a
database can roll back its journal or change its files, and a database that is not ours is none of
our business. See "Database File Format" in the SQLite documentation for the offsets.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NoReturn

from encdb import wire
from encdb.errors import (
    DataError,
    EncdbError,
    FormatError,
    InternalError,
    OperationalError,
    StoreUnavailable,
    TamperError,
    err,
)

from .schema import APPLICATION_ID, INCOMPLETE

BUSY_SECONDS: Final = 5.0
_MAGIC: Final = b"SQLite format 3\0"
_HEADER_BYTES: Final = 100
_SETTINGS: Final = (
    "PRAGMA synchronous = FULL",  # NORMAL may lose acknowledged commits when power fails
    "PRAGMA cache_size = -65536",
    "PRAGMA temp_store = MEMORY",
    # Deleted ciphertext is overwritten. Writing and removing rows cost the same as without; dropping
    # index pages falls from 430 to 59 thousand pages/s, which is still faster than writing them.
    "PRAGMA secure_delete = ON",
    "PRAGMA trusted_schema = OFF",  # the file may have been made by an attacker
    "PRAGMA cell_size_check = ON",
    "PRAGMA journal_size_limit = 67108864",
)


_DAMAGED: Final = (TamperError, "E_STORE_DAMAGED", "the store {path} is damaged: {error}")
_FAILURES: Final[dict[int, tuple[type[EncdbError], str, str]]] = {
    sqlite3.SQLITE_BUSY: (StoreUnavailable, "E_STORE_LOCKED", "the store {path} is locked"),
    sqlite3.SQLITE_LOCKED: (StoreUnavailable, "E_STORE_LOCKED", "the store {path} is locked"),
    sqlite3.SQLITE_READONLY: (
        StoreUnavailable,
        "E_STORE_READ_ONLY",
        "the store {path} cannot be written",
    ),
    sqlite3.SQLITE_PERM: (StoreUnavailable, "E_STORE_READ_ONLY", "{path} cannot be written"),
    sqlite3.SQLITE_FULL: (StoreUnavailable, "E_DISK_FULL", "there is no room to write {path}"),
    sqlite3.SQLITE_IOERR: (
        StoreUnavailable,
        "E_STORE_IO",
        "the store {path} cannot be read or written: {error}",
    ),
    sqlite3.SQLITE_CANTOPEN: (
        StoreUnavailable,
        "E_STORE_IO",
        "the store {path} cannot be opened: {error}",
    ),
    sqlite3.SQLITE_NOTADB: (
        StoreUnavailable,
        "E_NOT_A_DATABASE",
        "{path} is not an SQLite database",
    ),
    # The SQL texts and types are encdb's own, so an unknown table or column, or a value of another
    # type, means that somebody else changed the file.
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_SCHEMA: _DAMAGED,
    sqlite3.SQLITE_ERROR: _DAMAGED,
    sqlite3.SQLITE_CONSTRAINT: _DAMAGED,
    sqlite3.SQLITE_MISMATCH: _DAMAGED,
    sqlite3.SQLITE_INTERRUPT: (
        OperationalError,
        "E_INTERRUPTED",
        "the statement was interrupted",
    ),
    sqlite3.SQLITE_TOOBIG: (
        DataError,
        "E_TOO_LARGE",
        "a blob is larger than the store {path} can hold",
    ),
    sqlite3.SQLITE_NOMEM: (OperationalError, "E_STORE_IO", "the store {path} ran out of memory"),
}


def translate(error: sqlite3.Error, path: str) -> EncdbError:
    """The error of the catalogue that a failure of the driver amounts to."""
    extended = getattr(error, "sqlite_errorcode", None)
    # Extended codes carry the primary one in their low byte.
    known = _FAILURES.get(extended & 0xFF) if isinstance(extended, int) else None
    if known is None:
        return err(InternalError, "E_INTERNAL", f"the SQLite driver failed: {error}")
    kind, code, text = known
    return err(kind, code, text.format(path=path, error=error))


@contextmanager
def translated(path: str) -> Iterator[None]:
    """Raise encdb's errors instead of the driver's."""
    try:
        yield
    except sqlite3.Error as error:
        raise translate(error, path) from error


def recognise(path: str) -> int:
    """The storage format of the encdb store at ``path``, from its header alone.

    Raises:
        StoreUnavailable: there is no file, it cannot be read, it is not an encdb store, or it is the
            target of a copy that has not ended.
        FormatError: the format is not the one that this version reads.
    """
    try:
        with Path(path).open("rb") as file:
            header = file.read(_HEADER_BYTES)
    except FileNotFoundError:
        raise err(StoreUnavailable, "E_STORE_MISSING", f"there is no store at {path}") from None
    except IsADirectoryError:
        raise err(StoreUnavailable, "E_NOT_A_STORE", f"{path} is a folder") from None
    except OSError as error:
        reason = error.strerror or "input or output error"
        raise err(
            StoreUnavailable, "E_STORE_IO", f"the store {path} cannot be read: {reason}"
        ) from None
    if len(header) < _HEADER_BYTES or not header.startswith(_MAGIC):
        raise err(StoreUnavailable, "E_NOT_A_DATABASE", f"{path} is not an SQLite database")
    if int.from_bytes(header[68:72], "big") != APPLICATION_ID:
        raise err(
            StoreUnavailable,
            "E_NOT_A_STORE",
            f"{path} is an SQLite database, but not an encdb store",
        )
    found = int.from_bytes(header[60:64], "big")
    if found == INCOMPLETE:
        refuse_incomplete(path)
    if found > wire.FORMAT_VERSION:
        raise err(
            FormatError,
            "E_FORMAT_NEWER",
            f"the store {path} has format {found}; this encdb reads {wire.FORMAT_VERSION}",
        )
    if found < wire.FORMAT_VERSION:
        raise err(
            FormatError,
            "E_FORMAT_OLDER",
            f"the store {path} has format {found}; this encdb reads {wire.FORMAT_VERSION}",
        )
    return found


def connect(path: str, *, immutable: bool = False) -> sqlite3.Connection:
    """A configured connection to an existing file; it never creates one.

    Args:
        path: the file.
        immutable: read a file in a folder where SQLite cannot make its shared-memory file. Nothing
            guards against writers then.
    """
    options = "mode=ro&immutable=1" if immutable else "mode=rw"
    connection = sqlite3.connect(
        f"{Path(path).resolve().as_uri()}?{options}",
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        cached_statements=512,
        # A session may move between threads; it never uses two at once.
        check_same_thread=sqlite3.threadsafety < 3,
    )
    try:
        for setting in _SETTINGS:
            connection.execute(setting)
    except BaseException:
        connection.close()
        raise
    return connection


def refuse_incomplete(path: str) -> NoReturn:
    """Refuse the target of a copy that has not ended."""
    raise err(
        StoreUnavailable, "E_STORE_INCOMPLETE", f"the store {path} is an unfinished copy of another"
    )


def refuse_code(connection: sqlite3.Connection, path: str) -> None:
    """Refuse triggers and views: encdb makes tables only, and they would run their maker's code."""
    foreign = "SELECT 1 FROM sqlite_master WHERE type IN ('trigger', 'view')"
    if connection.execute(foreign).fetchone() is not None:
        damaged(path, "somebody added a trigger or view")


def use_log(connection: sqlite3.Connection) -> None:
    """Turn write-ahead logging on in a file that came without it.

    A copy that was killed after its last step lacks it, and so does a file that VACUUM INTO wrote. Where
    it cannot be turned on, in a file that is read only or in use, readers and writers wait for each other.
    """
    if connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):
        with suppress(sqlite3.OperationalError):
            connection.execute("PRAGMA journal_mode = WAL")


def needs_immutable(path: str) -> bool:
    """Whether a store lies where SQLite cannot make the files that WAL mode needs to read it."""
    folder = Path(path).resolve().parent
    # Where the platform can, ask about the user whose rights count, as SQLite will.
    effective = os.access in os.supports_effective_ids
    writable = os.access(folder, os.W_OK, effective_ids=effective)
    return not writable and not Path(f"{path}-wal").exists()


def damaged(path: str, what: str) -> NoReturn:
    """Refuse a store whose own tables contradict themselves."""
    raise err(TamperError, "E_STORE_DAMAGED", f"the store {path} is damaged: {what}")
