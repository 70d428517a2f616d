"""The PostgreSQL store: relations in a schema of its own, for a team of clients.

``address`` reads URLs, ``link`` keeps a connection and sends batches through ``pipeline``, ``schema``
lays out the relations, ``creation`` makes and recognises them, ``reading`` answers from a snapshot,
``writing`` applies commits (``steps`` says what is sent, ``verdict`` what came back), ``staging``
leases numbers and writes unpublished pages, ``receiving`` takes a copy of another store, ``failures``
translates errors, and ``store`` puts them behind the protocol of :mod:`encdb.stores.base`.

Needs the extra ``postgres`` (psycopg 3), PostgreSQL 13 or newer, and neither an extension nor a
superuser. What the server shows to whoever runs it, or reads its logs and files, is in
``docs/howto/operators-view.md``.
"""

from __future__ import annotations

from encdb import wire
from encdb.stores.base import ReceivingStore

from .address import parse
from .receiving import PostgresReceiving
from .store import PostgresStore

__all__ = ["PostgresStore", "create_url", "open_url", "receive_url"]


def open_url(url: str) -> PostgresStore:
    """Open an existing store; see :func:`encdb.stores.open_store`."""
    return PostgresStore.open(parse(url))


def create_url(url: str, genesis: wire.Genesis) -> PostgresStore:
    """Make a new store; see :func:`encdb.stores.create_store`."""
    return PostgresStore.create(parse(url), genesis)


def receive_url(url: str, genesis: wire.Genesis) -> ReceivingStore:
    """Make a store to copy into; see :func:`encdb.stores.receive_store`."""
    return PostgresReceiving.open(parse(url), genesis)
