"""Making a new store file: complete at its path, or not there at all."""

from __future__ import annotations

import os
import secrets
import sqlite3
from pathlib import Path

from encdb import wire
from encdb.errors import StoreUnavailable, err

from . import schema
from .connection import translate


def create_file(path: str, genesis: wire.Genesis) -> None:
    """Write a new store beside its path and move it there in one step.

    Its format may be ``schema.INCOMPLETE``, for a store that another one will be copied into.

    Raises:
        StoreUnavailable: a file is there already, or the folder cannot be written or is full.
    """
    target = Path(path)
    if os.path.lexists(target):
        raise _exists(path)
    scratch = target.with_name(f".{target.name}.{secrets.token_hex(8)}.new")
    try:
        # SQLite would make the file by itself, but with an error that does not say why it cannot.
        scratch.touch(exist_ok=False)
        try:
            _fill(scratch, genesis)
            _publish(scratch, target)
        finally:
            for leftover in (scratch, *(Path(f"{scratch}{end}") for end in ("-journal", "-wal"))):
                leftover.unlink(missing_ok=True)
        _synchronise(target.parent)
    except sqlite3.Error as error:
        raise translate(error, path) from error
    except FileExistsError:
        raise _exists(path) from None
    except FileNotFoundError:
        raise err(
            StoreUnavailable, "E_STORE_IO", f"the folder of {path} does not exist", "Make it first"
        ) from None
    except PermissionError:
        raise err(
            StoreUnavailable, "E_STORE_READ_ONLY", f"the folder of {path} cannot be written"
        ) from None
    except OSError as error:
        reason = error.strerror or "input or output error"
        raise err(
            StoreUnavailable, "E_STORE_IO", f"the store {path} cannot be made: {reason}"
        ) from None


def _exists(path: str) -> StoreUnavailable:
    return err(StoreUnavailable, "E_STORE_EXISTS", f"there is a file at {path} already")


def _fill(scratch: Path, genesis: wire.Genesis) -> None:
    """Lay out the relations. The header goes to the main file, where the store is recognised."""
    connection = sqlite3.connect(scratch, isolation_level=None)
    try:
        connection.execute(f"PRAGMA page_size = {schema.PAGE_BYTES:d}")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("BEGIN EXCLUSIVE")
        connection.execute(f"PRAGMA application_id = {schema.APPLICATION_ID:d}")
        connection.execute(f"PRAGMA user_version = {genesis.format:d}")
        for statement in schema.create_shared():
            connection.execute(statement)
        connection.execute(
            "INSERT INTO heads (id, database, incarnation, format, catalog_version)"
            " VALUES (1, ?, ?, ?, 0)",
            (genesis.database, genesis.incarnation, genesis.format),
        )
        connection.execute(
            "INSERT INTO catalog (version, link, blob) VALUES (0, ?, ?)",
            (genesis.link, genesis.catalog),
        )
        connection.execute("COMMIT")
        if genesis.format != schema.INCOMPLETE:
            connection.execute("PRAGMA journal_mode = WAL")
    finally:
        connection.close()


def _publish(scratch: Path, target: Path) -> None:
    """Give the file its name, unless somebody else took the name meanwhile."""
    try:
        os.link(scratch, target)
    except FileExistsError:
        raise
    except OSError:
        # Some file systems have no hard links. Reserving the name first keeps the promise not to
        # overwrite; only a crash between the two steps would leave an empty file behind.
        target.touch(exist_ok=False)
        scratch.replace(target)


def _synchronise(folder: Path) -> None:
    """Make the new name durable where the platform can open folders."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
