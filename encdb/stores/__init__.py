"""Stores: the untrusted databases that keep ciphertext. One URL names one store.

============================  ====================================================================
``vault.db``                  an SQLite file; the same as ``sqlite:///vault.db``
``sqlite:////srv/vault.db``   the absolute path ``/srv/vault.db``
``postgresql://host/db``      relations in a schema of a PostgreSQL database
``https://host:port/name``    a store that ``encdb serve`` offers; ``http://`` on loopback only
============================  ====================================================================

A backend and the library it needs are loaded when a URL of its kind is opened.
"""

from __future__ import annotations

import importlib
from typing import Final, Protocol
from urllib.parse import unquote

from encdb import wire
from encdb.errors import OperationalError, UsageError, err

from .base import Description, ReceivingStore, Store, StoreSnapshot

__all__ = [
    "Description",
    "ReceivingStore",
    "Store",
    "StoreSnapshot",
    "create_store",
    "open_store",
    "receive_store",
    "sqlite_path",
]

_SQLITE: Final = "sqlite"
_BACKENDS: Final = {
    _SQLITE: (".sqlite", ""),
    "postgresql": (".postgres", "postgres"),
    "postgres": (".postgres", "postgres"),
    "https": (".remote", "remote"),
    "http": (".remote", "remote"),
}
"""Scheme of a URL → module of the backend, and the extra that installs what it needs."""


class _Backend(Protocol):
    """What the package of a backend offers."""

    def open_url(self, url: str) -> Store: ...
    def create_url(self, url: str, genesis: wire.Genesis) -> Store: ...
    def receive_url(self, url: str, genesis: wire.Genesis) -> ReceivingStore: ...


def _backend(url: str) -> _Backend:
    scheme, separator, _ = url.partition("://")
    name = scheme.lower() if separator else _SQLITE
    if name not in _BACKENDS:
        raise err(UsageError, "E_STORE_KIND", f'this version serves no "{scheme}://" stores')
    module, extra = _BACKENDS[name]
    try:
        backend: _Backend = importlib.import_module(module, __package__)
    except ModuleNotFoundError as missing:
        if not extra or (missing.name or "").startswith("encdb"):
            raise
        raise err(
            OperationalError,
            "E_EXTRA_MISSING",
            f"{name}:// stores need the package {missing.name}",
            f'Install it with: pip install "encdb[{extra}]"',
        ) from None
    return backend


def sqlite_path(url: str) -> str:
    """The file that a plain path or ``sqlite:///`` URL names.

    Raises:
        UsageError: another scheme, a host, or an empty path (``E_STORE_KIND``).
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        path = url
    elif scheme.lower() != _SQLITE:
        raise err(UsageError, "E_STORE_KIND", f'"{scheme}://" names no SQLite file')
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
        StoreUnavailable: the store is missing, locked, unreadable, incomplete or no store.
        FormatError: the store has another storage format.
        UsageError: the URL names no kind of store that is served.
        OperationalError: the package that this kind of store needs is not installed.
    """
    return _backend(url).open_url(url)


def create_store(url: str, genesis: wire.Genesis) -> Store:
    """Make a new store and open it. What is there already is never touched.

    The store appears complete or not at all, whenever the process dies.

    Raises:
        StoreUnavailable: a store is there already (``E_STORE_EXISTS``), or none can be made.
        UsageError: the URL names no kind of store that is served.
        OperationalError: the package that this kind of store needs is not installed.
    """
    return _backend(url).create_url(url, genesis)


def receive_store(url: str, genesis: wire.Genesis) -> ReceivingStore:
    """Make a store to copy another one into, or go on with an unfinished copy of the same database.

    Args:
        url: where; nothing, or an unfinished copy, is there.
        genesis: identity, incarnation and format of the source; its catalog is replaced at the end.

    Raises:
        StoreUnavailable: something else is there already (``E_STORE_EXISTS``), or it cannot be made.
        UsageError: the URL names no kind of store that is served.
        OperationalError: the package that this kind of store needs is not installed.
    """
    return _backend(url).receive_url(url, genesis)
