"""The SQLite store: one file, the standard driver, WAL mode and full synchronisation.

``connection`` opens files safely and translates failures, ``schema`` lays out the relations,
``reading`` and ``layout`` answer from a snapshot, ``writing`` applies commits, ``staging`` leases numbers
and writes unpublished pages, and ``store`` puts them behind the protocol of :mod:`encdb.stores.base`;
``receiving`` is a file that another store is being copied into.

What the file shows to whoever steals it: the relations of ``schema`` with their row counts, opaque
ids, padded sizes and, through SQLite's own page order, roughly in which order they were written.
"""

from __future__ import annotations

from encdb import wire
from encdb.stores import sqlite_path
from encdb.stores.base import ReceivingStore

from .receiving import SqliteReceiving
from .store import SqliteStore

__all__ = ["SqliteStore", "create_url", "open_url", "receive_url"]


def open_url(url: str) -> SqliteStore:
    """Open an existing store; see :func:`encdb.stores.open_store`."""
    return SqliteStore.open(sqlite_path(url))


def create_url(url: str, genesis: wire.Genesis) -> SqliteStore:
    """Make a new store; see :func:`encdb.stores.create_store`."""
    return SqliteStore.create(sqlite_path(url), genesis)


def receive_url(url: str, genesis: wire.Genesis) -> ReceivingStore:
    """Make a store to copy into; see :func:`encdb.stores.receive_store`."""
    return SqliteReceiving.open(sqlite_path(url), genesis)
