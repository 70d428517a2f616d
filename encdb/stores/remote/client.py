"""Calls to a server, in one session after the other.

A session outlives connections: after a broken one the client goes on in the same session, where the
server keeps the calls in order. It begins another when the server no longer knows the one it has.
"""

from __future__ import annotations

import secrets
import ssl
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final

from encdb import wire
from encdb.errors import EncdbError, InterfaceError, err
from encdb.stores.codec import ID_BYTES, NO_SESSION, Call, encode, frames

from .address import Address
from .answers import Reply, expected_of, read_reply
from .connection import Broken, Connection
from .repeating import GONE, Interruption, Refused, Repetition, connection_lost

_ENDING_SECONDS: Final = 5.0
"""How long a commit that was interrupted may take to say what became of it."""
_FIRST_ANSWERS: Final[dict[str, list[tuple[type[Any], ...]]]] = {
    "open": [(wire.Described,)],
    "create": [(wire.Described,)],
    "receive": [],
}


class Client:
    """Calls one store of one server.

    Args:
        address: of the store.
        token: the access token.
        tls: whose certificates to believe, for https.

    Attributes:
        lost: an attempt of the last call was sent whose answer never came.
        session: the server's name for the session, zeros for none.
    """

    def __init__(self, address: Address, token: str, tls: ssl.SSLContext | None) -> None:
        self.address = address
        self.lost = False
        self._tls = tls
        self._authorization = token.encode()
        self._opening: tuple[str, tuple[Any, ...]] = ("open", ())
        self._connection: Connection | None = None
        self.session = NO_SESSION
        self._number = 0
        self._owed: bytes | None = None
        self._request_limit = 0
        self._snapshot = 0
        self._closed = False
        self._interruption = Interruption()

    # --- Calls --------------------------------------------------------------------------------------

    def begin(self, action: str, messages: tuple[Any, ...] = (), *, again: bool = False) -> None:
        """Begin the first session, without patience for a server that is not there.

        Args:
            action: ``open``, ``create`` or ``receive``.
            messages: what goes with it.
            again: later sessions begin in the same way, else by ``open``.
        """
        self._opening = (action, messages)
        attempts = Repetition(self.address, self._interruption, patient=False)
        self._run(attempts, self._begin)
        if not again:
            self._opening = ("open", ())

    def call(
        self, action: str, messages: Sequence[Any], *, snapshot: int = 0, anew: bool = True
    ) -> list[Any]:
        """Make a call and return its answers, one for each message.

        Args:
            action: the path below the store.
            messages: what to send.
            snapshot: number of the snapshot to read in; it stays open until :meth:`end`.
            anew: it may be made again on another connection; else a broken one is an error.

        Raises:
            StoreUnavailable: the connection was lost, or the server cannot be reached or is busy.
            OperationalError: the time limit was reached, the call interrupted, the token refused,
                or nobody can say whether a commit was carried out.
            TamperError: the answer is malformed, or belongs to another request.
            EncdbError: what the store raised.
        """
        final = any(type(one) is wire.Commit for one in messages)
        attempts = Repetition(self.address, self._interruption, anew=anew, final=final)
        self._snapshot = snapshot or self._snapshot

        def attempt() -> list[Any]:
            if self.session == NO_SESSION:
                if not anew:
                    raise connection_lost()
                try:
                    self._begin()
                except Broken as broken:
                    raise Broken(unsent=True, slow=broken.slow) from None
            expected = expected_of(messages)
            return self._exchange(action, messages, expected, final=final)

        return self._run(attempts, attempt)

    def _run(self, attempts: Repetition, attempt: Callable[[], list[Any]]) -> list[Any]:
        self.require_open()
        try:
            with self._interruption:
                return attempts.run(attempt)
        finally:
            self.lost = attempts.lost

    def require_open(self) -> None:
        """Raises :class:`InterfaceError` after :meth:`close` (``E_CLOSED``)."""
        if self._closed:
            raise err(InterfaceError, "E_CLOSED", f"the store {self.address.url} is closed")

    def end(self, snapshot: int) -> None:
        """Say that a snapshot is no longer needed, without waiting for the answer.

        If that cannot be said, the server finds out with the next call, or after a while.
        """
        self._snapshot = 0
        if self._connection is None or self._owed is not None or self.session == NO_SESSION:
            return
        try:
            self._owed = self._send(self._connection, "end", (), snapshot)
        except Broken:
            self._drop()
        except BaseException:
            self._drop()
            raise

    def interrupt(self) -> None:
        """Make the call that another thread waits for fail soon; harmless otherwise."""
        self._interruption.interrupt()

    def close(self) -> None:
        """End the session and close the connection; harmless twice."""
        if self._closed:
            return
        self._closed = True
        try:
            if self._connection is not None and self.session != NO_SESSION:
                # The server closes sessions that are left alone.
                with suppress(Broken, Refused, EncdbError):
                    self._exchange("close", (), [])
        finally:
            self._drop()

    # --- One attempt --------------------------------------------------------------------------------

    def _begin(self) -> list[Any]:
        action, messages = self._opening
        self.session, self._number = NO_SESSION, 0
        return self._exchange(action, messages, _FIRST_ANSWERS[action])

    def _exchange(
        self,
        action: str,
        messages: Sequence[Any],
        expected: Sequence[tuple[type[Any], ...]],
        *,
        final: bool = False,
    ) -> list[Any]:
        """Send one request and read its answer."""
        ended = threading.Event()
        try:
            connection = self._connected()
            if final:
                # From before it is sent, since the server may be at work before this thread goes on.
                call = Call(self.session, self._number + 1)
                self._interruption.by(lambda: self._ask_to_stop(connection, call, ended))
            request = self._send(connection, action, messages, self._snapshot)
            reply = self._receive(connection, request, expected)
        except BaseException:
            # Whatever ended this, Ctrl-C included: an answer may still come, and is not the next one's.
            self._drop()
            raise
        finally:
            self._interruption.by(None)
            ended.set()
        if reply.status == GONE:
            self.session = NO_SESSION
        if reply.status != 200:
            raise Refused(reply)
        if reply.error is not None:
            raise reply.error
        if self.session == NO_SESSION:
            self.session = reply.session
        return reply.messages

    def _connected(self) -> Connection:
        """The connection, on which no answer is owed any more."""
        if self._connection is not None and self._owed is not None:
            owed, self._owed = self._owed, None
            try:
                self._interruption.by(self._connection.cut)
                self._receive(self._connection, owed, [])
            except (Broken, EncdbError):
                self._drop()
        if self._connection is not None and self._connection.stale():
            self._drop()
        if self._connection is None:
            self._connection = Connection(self.address, self._tls)
        self._interruption.by(self._connection.cut)
        return self._connection

    def _receive(
        self, connection: Connection, request: bytes, expected: Sequence[tuple[type[Any], ...]]
    ) -> Reply:
        response = connection.receive()
        reply = read_reply(response, request, expected)
        self._request_limit = response.request_limit or self._request_limit
        if response.closes:
            self._drop()
        return reply

    def _send(
        self, connection: Connection, action: str, messages: Sequence[Any], snapshot: int
    ) -> bytes:
        """Send a request; its id."""
        request = secrets.token_bytes(ID_BYTES)
        if action != "interrupt":
            self._number += 1
        call = Call(self.session, self._number, snapshot)
        self._send_call(connection, action, request, call, messages)
        return request

    def _send_call(
        self,
        connection: Connection,
        action: str,
        request: bytes,
        call: Call,
        messages: Sequence[Any],
    ) -> None:
        head = (
            b"POST /v1/%s/%s HTTP/1.1\r\nhost: %s\r\nauthorization: Bearer %s\r\nencdb-request: %s\r\n"
            % (
                self.address.name.encode(),
                action.encode(),
                self.address.authority.encode(),
                self._authorization,
                request.hex().encode(),
            )
        )
        chunks = frames(call.pack(), encode(messages))
        connection.send(head, chunks, limit=self._request_limit)

    def _drop(self) -> None:
        """Forget the connection; the session goes on with the next one."""
        connection, self._connection, self._owed = self._connection, None, None
        if connection is not None:
            connection.close()

    # --- Interrupting a commit ----------------------------------------------------------------------

    def _ask_to_stop(self, connection: Connection, call: Call, ended: threading.Event) -> None:
        """Ask the server to give a commit up; its own answer says whether it did.

        Args:
            connection: on which the commit was sent; cut if there is no answer within some seconds.
            call: the commit's session and number.
            ended: set once nobody waits for the answer any more.
        """

        def ask() -> None:
            with suppress(Broken, EncdbError):
                other = Connection(self.address, self._tls)
                try:
                    request = secrets.token_bytes(ID_BYTES)
                    self._send_call(other, "interrupt", request, call, ())
                    read_reply(other.receive(), request, [])
                finally:
                    other.close()
            if not ended.wait(_ENDING_SECONDS):
                connection.cut()

        threading.Thread(target=ask, name="encdb-interrupt", daemon=True).start()
