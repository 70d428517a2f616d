"""The remote store: a store that ``encdb serve`` offers on another machine, over HTTPS.

``address`` reads URL, token and trust, ``connection`` is one socket, ``client`` calls the server in
sessions, ``repeating`` says when a call is made again, ``answers`` checks what comes back, and
``store`` and ``receiving`` put it behind the protocol of :mod:`encdb.stores.base`.

The server is trusted no more than any other store. TLS keeps the network from the access token, from
ids and from sizes; what the blobs hold is sealed before it comes here.
"""

from __future__ import annotations

from encdb import wire

from .receiving import RemoteReceivingStore
from .store import RemoteStore

__all__ = ["RemoteReceivingStore", "RemoteStore", "create_url", "open_url", "receive_url"]


def open_url(url: str) -> RemoteStore:
    """Open an existing store; see :func:`encdb.stores.open_store`."""
    return RemoteStore.open(url)


def create_url(url: str, genesis: wire.Genesis) -> RemoteStore:
    """Make a new store; see :func:`encdb.stores.create_store`."""
    return RemoteStore.create(url, genesis)


def receive_url(url: str, genesis: wire.Genesis) -> RemoteReceivingStore:
    """Make a store to copy into; see :func:`encdb.stores.receive_store`."""
    return RemoteReceivingStore.receive(url, genesis)
