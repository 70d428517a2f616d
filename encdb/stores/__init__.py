"""Stores: the untrusted databases that keep ciphertext. One URL names one store.

A plain path is an SQLite file: ``vault.db`` is ``sqlite:///vault.db``, and ``sqlite:////srv/vault.db``
is the absolute path ``/srv/vault.db``.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import unquote

from encdb import wire
from encdb.errors import UsageError, err

from .base import Description, Store, StoreSnapshot

__all__ = ["Description", "Store", "StoreSnapshot", "create_store", "open_store", "sqlite_path"]

_SQLITE: Final = "sqlite"


def sqlite_path(url: str) -> str:
    """The file that a plain path or ``sqlite:///`` URL names.

    Raises:
        UsageError: another scheme, a host, or an empty path (``E_STORE_KIND``).
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        path = url
    elif scheme.lower() != _SQLITE:
        raise err(UsageError, "E_STORE_KIND", f'this version serves no "{scheme}://" stores')
    elif not rest.startswith("/"):
        raise err(
            UsageError,
            "E_STORE_KIND",
            "an SQLite URL names a file on this machine, not a host",
            "Use three slashes: sqlite:///path",
        )
    else:
        path = unquote(rest[1:])
    if not path or "\0" in path:
        raise err(UsageError, "E_STORE_KIND", "the store's path is empty or malformed")
    return path


def open_store(url: str) -> Store:
    """Open an existing store. Nothing is created, and no other program's file is changed.

    Raises:
        StoreUnavailable: the file is missing, locked, unreadable or not a store.
        FormatError: the store has another storage format.
        UsageError: the URL names no kind of store that is served.
    """
    from .sqlite import SqliteStore

    return SqliteStore.open(sqlite_path(url))


def create_store(url: str, genesis: wire.Genesis) -> Store:
    """Make a new store and open it. An existing file is never touched.

    The file appears at its path complete or not at all, whenever the process dies.

    Raises:
        StoreUnavailable: a file is there already (``E_STORE_EXISTS``), or none can be written.
        UsageError: the URL names no kind of store that is served.
    """
    from .sqlite import SqliteStore

    return SqliteStore.create(sqlite_path(url), genesis)
