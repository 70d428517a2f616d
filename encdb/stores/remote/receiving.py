"""A store of a server that a copy is being written into."""

from __future__ import annotations

from typing import Any

from encdb import wire
from encdb.errors import EncdbError

from .client import Client
from .store import RemoteStore, Snapshots, client_for


class RemoteReceivingStore:
    """One session's access to an unfinished copy."""

    def __init__(self, url: str, client: Client) -> None:
        self._given_url = url
        self._client = client
        self._snapshots = Snapshots(client)

    @classmethod
    def receive(cls, url: str, genesis: wire.Genesis) -> RemoteReceivingStore:
        """Begin a copy or go on with one; see :func:`encdb.stores.receive_store`."""
        client = client_for(url)
        try:
            # A lost session begins like the first: what was written so far is found again.
            client.begin("receive", (genesis,), again=True)
        except BaseException:
            client.close()
            raise
        return cls(url, client)

    @property
    def url(self) -> str:
        """Where the store is."""
        return self._client.address.url

    def snapshot(self) -> Any:
        """What was written so far."""
        return self._snapshots.open()

    def put(self, request: wire.Put) -> wire.Staged:
        """Write blobs, durably."""
        (answer,) = self._client.call("copy", (request,))
        assert isinstance(answer, wire.Staged)
        return answer

    def finish(self, request: wire.Finish) -> wire.Committed:
        """Write the rest and open the store to the world, in one transaction.

        After an error the copy can be repeated as a whole, which finds out what was done.
        """
        try:
            (answer,) = self._client.call("copy", (request,))
        except EncdbError:
            if self._client.lost and self._was_finished(request):
                return wire.Committed(repeated=True)
            raise
        assert isinstance(answer, wire.Committed)
        return answer

    def _was_finished(self, request: wire.Finish) -> bool:
        """Whether an attempt whose answer was lost has completed the store."""
        try:
            store = RemoteStore.open(self._given_url)
        except EncdbError:
            return False
        try:
            with store.snapshot() as snapshot:
                return bool(snapshot.read(wire.ReadLayout()) == request.layout)
        except EncdbError:
            return False
        finally:
            store.close()

    def close(self) -> None:
        """Release the store; what was written stays, to be resumed."""
        self._client.close()
