"""What every store offers: the protocol that the proxy speaks, whatever database lies below.

A store object serves one session and one thread at a time. It never sees anything but
the messages of :mod:`encdb.wire`, and it is not trusted: the proxy verifies every answer.

Every method raises :class:`encdb.errors.StoreUnavailable` when the store is locked, read only or
full, and :class:`encdb.errors.TamperError` when its files are damaged.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final, Protocol, overload

from encdb import wire

STAGE_SECONDS: Final = 3600
"""Seconds after its last message until a stage counts as abandoned and may be swept."""

TRANSACTION_BYTES: Final = 8 << 20
"""A stage is written in transactions that end once they hold this many bytes, so that one long
write does not keep other writers waiting."""


@dataclass(frozen=True, slots=True)
class Description:
    """What a store says about itself, for listings.

    Attributes:
        url: where it is, without credentials.
        kind: the database below, such as ``SQLite 3.40.1``.
        bytes: size of its files in bytes, with what is free inside them.
        free: bytes inside the files that hold nothing and are used again.
        writable: whether writing is possible at all.
    """

    url: str
    kind: str
    bytes: int
    free: int
    writable: bool


class StoreSnapshot(Protocol):
    """One consistent state of the whole store, as it was at the first read."""

    @overload
    def read(self, request: wire.ReadHeads) -> wire.Heads: ...
    @overload
    def read(
        self, request: wire.ReadPages | wire.ReadRows | wire.ReadPacks | wire.ReadEntries
    ) -> wire.Blobs: ...
    @overload
    def read(self, request: wire.ReadKeys) -> wire.Keys: ...
    @overload
    def read(self, request: wire.ListIds | wire.ReadVisible) -> wire.Ids: ...
    @overload
    def read(self, request: wire.ReadGroups) -> wire.Groups: ...
    @overload
    def read(self, request: wire.ReadJoin) -> wire.Joined: ...
    @overload
    def read(self, request: wire.ReadLayout) -> wire.Layout: ...
    def read(self, request: wire.ReadRequest) -> wire.ReadResponse:
        """Answer one request from the snapshot."""
        ...

    def read_all(self, requests: Sequence[wire.ReadRequest]) -> tuple[wire.ReadResponse, ...]:
        """Answer several requests that do not depend on each other, in one round trip."""
        ...


class Store(Protocol):
    """One session's access to one store.

    Writing does not disturb an open snapshot, which goes on showing the state it began with.
    """

    @property
    def url(self) -> str:
        """Where the store is, without credentials."""
        ...

    def snapshot(self) -> AbstractContextManager[StoreSnapshot]:
        """A read transaction for the length of a ``with`` block. Snapshots do not nest."""
        ...

    def commit(self, request: wire.Commit) -> wire.Committed | wire.Stale | wire.Conflict:
        """Do all of a transaction, durably and once, or nothing of it."""
        ...

    def lease(self, request: wire.Lease) -> wire.Leased:
        """Hand out numbers, in a transaction of its own."""
        ...

    def stage(self, request: wire.Stage) -> wire.Staged | wire.Stale:
        """Write pages and packs that nothing uses yet."""
        ...

    def sweep(self, request: wire.Sweep) -> wire.Swept:
        """Drop what expired stages left behind."""
        ...

    def claim(self, request: wire.Claim) -> wire.Claimed:
        """Grant, renew or take back a right that one client at a time has."""
        ...

    def describe(self) -> Description:
        """Kind and size."""
        ...

    def interrupt(self) -> None:
        """Make a request that another thread waits for fail soon (``E_INTERRUPTED``); harmless otherwise."""
        ...

    def close(self) -> None:
        """Release the store. Closing twice is harmless."""
        ...


class ReceivingStore(Protocol):
    """A store that a copy is being written into. Nobody can open it before it is finished."""

    @property
    def url(self) -> str:
        """Where the store is, without credentials."""
        ...

    def snapshot(self) -> AbstractContextManager[StoreSnapshot]:
        """What was written so far: ``ListIds`` and reads of blobs, to go on with and to compare."""
        ...

    def put(self, request: wire.Put) -> wire.Staged:
        """Write blobs, durably."""
        ...

    def finish(self, request: wire.Finish) -> wire.Committed:
        """Write the rest and open the store to the world, in one transaction."""
        ...

    def close(self) -> None:
        """Release the store; what was written stays, to be resumed."""
        ...
