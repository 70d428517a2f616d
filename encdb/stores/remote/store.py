"""A store of a server behind the protocol of :mod:`encdb.stores.base`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast, overload

from encdb import wire
from encdb.errors import InterfaceError, ProgrammingError, StoreUnavailable, err
from encdb.stores.base import Description

from .address import Address, find_token, trust
from .client import Client
from .repeating import connection_lost


class RemoteSnapshot:
    """A snapshot at the server, opened by the first read.

    Args:
        client: whose session it belongs to.
        number: of the snapshot in the session.
    """

    def __init__(self, client: Client, number: int) -> None:
        self._client = client
        self._number = number
        self._open = True
        self._asked = False
        self._session: bytes | None = None

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
        (answer,) = self.read_all((request,))
        return answer

    def read_all(self, requests: Sequence[wire.ReadRequest]) -> tuple[wire.ReadResponse, ...]:
        """Answer several requests in one round trip."""
        if not self._open:
            raise err(InterfaceError, "E_CLOSED", "the snapshot is no longer open")
        if not requests:
            return ()
        begun, self._asked = self._session is not None, True
        if begun and self._session != self._client.session:
            # Another session's snapshot would show another state.
            raise connection_lost()
        try:
            # The first read opens the snapshot, so until then nothing is lost with a connection.
            answers = self._client.call("read", requests, snapshot=self._number, anew=not begun)
        except StoreUnavailable as error:
            if begun and error.code == "E_CONNECTION_LOST":
                self._session = b""
            raise
        self._session = self._client.session
        return tuple(answers)

    def close(self) -> None:
        """Let the server know, if it knows of the snapshot."""
        if self._open and self._asked:
            self._client.end(self._number)
        self._open = False


class Snapshots:
    """Hands out the snapshots of one client, one at a time."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._last = 0
        self._current: RemoteSnapshot | None = None

    @contextmanager
    def open(self) -> Iterator[RemoteSnapshot]:
        """A snapshot for the length of a ``with`` block."""
        self._client.require_open()
        if self._current is not None:
            raise err(
                ProgrammingError, "E_SNAPSHOT_OPEN", "a snapshot of the store is open already"
            )
        self._last += 1
        self._current = RemoteSnapshot(self._client, self._last)
        try:
            yield self._current
        finally:
            self._current.close()
            self._current = None


class RemoteStore:
    """One session's access to one store of a server."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._snapshots = Snapshots(client)

    @classmethod
    def open(cls, url: str) -> RemoteStore:
        """Open an existing store; see :func:`encdb.stores.open_store`."""
        client = client_for(url)
        try:
            client.begin("open")
        except BaseException:
            client.close()
            raise
        return cls(client)

    @classmethod
    def create(cls, url: str, genesis: wire.Genesis) -> RemoteStore:
        """Make a new store and open it; see :func:`encdb.stores.create_store`."""
        client = client_for(url)
        store = cls(client)
        try:
            try:
                client.begin("create", (genesis,))
            except StoreUnavailable as error:
                # The answer to an attempt that made it may have been lost.
                if error.code != "E_STORE_EXISTS" or not client.lost:
                    raise
                client.begin("open")
                if not store.began_as(genesis):
                    raise error from None
        except BaseException:
            client.close()
            raise
        return store

    def began_as(self, genesis: wire.Genesis) -> bool:
        """Whether the store is in the state that only the sender of ``genesis`` can have made."""
        with self.snapshot() as snapshot:
            heads = snapshot.read(wire.ReadHeads(wire.NO_CATALOG, (), if_changed=False))
        expected = (genesis.database, genesis.incarnation, 0, genesis.catalog)
        found = (heads.database, heads.incarnation, heads.catalog_version, heads.catalog)
        return found == expected

    @property
    def url(self) -> str:
        """Where the store is."""
        return self._client.address.url

    def snapshot(self) -> Any:
        """A read transaction for the length of a ``with`` block.

        Raises:
            ProgrammingError: a snapshot of this store is open already (``E_SNAPSHOT_OPEN``).
        """
        return self._snapshots.open()

    def _write(self, request: wire.WriteRequest) -> Any:
        (answer,) = self._client.call("write", (request,))
        return answer

    def commit(self, request: wire.Commit) -> wire.Committed | wire.Stale | wire.Conflict:
        """Do all of a transaction, durably and once, or nothing of it.

        Raises:
            OperationalError: nobody can say whether it was done (``E_OUTCOME_UNKNOWN``).
        """
        return cast("wire.Committed | wire.Stale | wire.Conflict", self._write(request))

    def lease(self, request: wire.Lease) -> wire.Leased:
        """Hand out numbers, in a transaction of its own."""
        return cast("wire.Leased", self._write(request))

    def stage(self, request: wire.Stage) -> wire.Staged | wire.Stale:
        """Write pages and packs that nothing uses yet."""
        return cast("wire.Staged | wire.Stale", self._write(request))

    def sweep(self, request: wire.Sweep) -> wire.Swept:
        """Drop what expired stages left behind."""
        return cast("wire.Swept", self._write(request))

    def claim(self, request: wire.Claim) -> wire.Claimed:
        """Grant, renew or take back a right that one client at a time has."""
        return cast("wire.Claimed", self._write(request))

    def describe(self) -> Description:
        """Kind and size of the store behind the server."""
        (answer,) = self._client.call("describe", (wire.Describe(),))
        return Description(
            url=self.url,
            kind=f"{answer.product} {'.'.join(map(str, answer.version))}",
            bytes=answer.bytes,
            free=answer.free,
            writable=answer.writable,
        )

    def interrupt(self) -> None:
        """Make a request that another thread waits for fail soon; harmless otherwise."""
        self._client.interrupt()

    def close(self) -> None:
        """Release the store."""
        self._client.close()


def client_for(url: str) -> Client:
    """A client that has not said anything yet.

    Raises:
        UsageError: the URL is malformed, or would send the token in clear.
        OperationalError: there is no token, or a file of the environment cannot be read.
    """
    address = Address.parse(url)
    return Client(address, find_token(), trust() if address.secure else None)
