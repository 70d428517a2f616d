"""One request and its answer, from the path to the line in the log.

``POST /v1/NAME/ACTION`` is all there is. Paths are compared as they were sent, so that no spelling of
a path means another one.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from encdb import wire
from encdb.errors import EncdbError
from encdb.stores import create_store, open_store, receive_store
from encdb.stores.base import ReceivingStore, Store
from encdb.stores.codec import (
    NO_SESSION,
    Answer,
    Call,
    Malformed,
    WrongVersion,
    encode,
    encode_error,
    frames,
)

from . import refusals
from .bodies import (
    Body,
    Disconnected,
    Receive,
    Send,
    declared_length,
    drain,
    framed_twice,
    respond,
)
from .calls import ACTIONS, carry_out, described, kind_of, messages_of, outcome_of
from .refusals import Hidden, Refusal
from .sessions import Full, Gone
from .tokens import Token

if TYPE_CHECKING:
    from .gateway import Gateway

NAME: Final = "[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}"
"""What a store may be called."""
_PATH: Final = re.compile(rf"/v1/({NAME})/({'|'.join(ACTIONS)})".encode())
_REQUEST_ID: Final = re.compile(rb"[0-9a-f]{32}")
_READING: Final = frozenset({"read", "end", "describe"})


class Exchange:
    """One request and its answer.

    Args:
        gateway: what admits it.
        scope: of ASGI, like the other two.
        receive: gives the body.
        send: takes the answer.
    """

    def __init__(self, gateway: Gateway, scope: Any, receive: Receive, send: Send) -> None:
        self._gateway = gateway
        self._scope = scope
        self._receive = receive
        self._send = send
        self._started = time.perf_counter()
        self._request = NO_SESSION
        self._session = NO_SESSION
        self._identified = False
        self._received = False
        self._kind = ""
        self._facts: dict[str, object] = {}

    async def answer(self) -> None:
        """Carry the request out, or refuse it."""
        try:
            await self._answer()
        except Disconnected:
            self._gateway.metrics.refused("disconnected")
            self._note("refused", reason="disconnected")
            # A client that is there and takes nothing would keep its answer in memory.
            self._scope["state"]["abort"]()

    async def _answer(self) -> None:
        try:
            answers = await self._admitted()
        except Refusal as refusal:
            await self._refuse(refusal)
        except Full:
            await self._refuse(refusals.busy("sessions or snapshots"))
        except Gone:
            await self._refuse(refusals.gone())
        except EncdbError as error:
            await self._reply([encode_error(error)], error.code or "error", failed=True)
        except Disconnected:
            raise
        except Exception as error:  # noqa: BLE001 - details go to the log, and nowhere else.
            self._gateway.log.failure("failure", error, **self._facts)
            await self._refuse(refusals.failed())
        else:
            await self._reply(encode(answers), outcome_of(answers))

    # --- The request --------------------------------------------------------------------------------

    async def _admitted(self) -> Sequence[Any]:
        """The answers to a request that is let in."""
        scope, gateway = self._scope, self._gateway
        given = self._header(b"encdb-request")
        if len(given) == 1 and _REQUEST_ID.fullmatch(given[0]):
            self._request, self._identified = bytes.fromhex(given[0].decode()), True
            self._facts["request"] = given[0].decode()
        if framed_twice(scope):
            raise refusals.ambiguous()
        path = _PATH.fullmatch(scope["raw_path"])
        if path is None or scope["query_string"]:
            raise refusals.no_such_path()
        if scope["method"] != "POST":
            raise refusals.no_such_method()
        name, action = path[1].decode(), path[2].decode()
        token = gateway.authenticate(scope)
        self._facts |= {"token": token.name, "store": name, "kind": action}
        url = gateway.admit(token, name, action)
        if not self._identified or self._header(b"content-encoding"):
            raise refusals.malformed("the request has no id, or is compressed")
        try:
            with gateway.under_way(token):
                return await self._run(token, name, action, url)
        except EncdbError as error:
            self._facts["error"] = error.message
            raise refusals.public(error, name, Hidden.of(url)) from None

    def _header(self, name: bytes) -> list[bytes]:
        return [value for key, value in self._scope["headers"] if key == name]

    async def _run(self, token: Token, name: str, action: str, url: str) -> Sequence[Any]:
        bodies = self._gateway.bodies
        declared = declared_length(self._header(b"content-length"))
        body = await bodies.receive(self._receive, declared)
        self._received = True
        self._facts["bytes_in"] = body.size
        self._gateway.metrics.received += body.size
        try:
            # The body may have taken long enough for the token to be revoked meanwhile.
            if self._gateway.authenticate(self._scope) != token:
                raise refusals.not_admitted()
            call = Call.unpack(body.exactly(Call.LENGTH))
            if ACTIONS[action].begins:
                return await self._begin(token, name, action, url, body)
            return await self._call(token, name, action, call, body)
        except WrongVersion:
            raise refusals.malformed("the server speaks another version of the protocol") from None
        except Malformed:
            raise refusals.malformed("the request is malformed") from None
        finally:
            bodies.release(body)

    async def _begin(
        self, token: Token, name: str, action: str, url: str, body: Body
    ) -> Sequence[Any]:
        """Open a store, and a session that keeps it."""
        writable = token.rights == "write"
        answers: list[wire.Described] = []

        def make() -> Store | ReceivingStore:
            messages = messages_of(ACTIONS[action], body, self._gateway.limits.decoded_bytes)
            self._noticed(messages, action)
            if action == "receive":
                return receive_store(url, *messages)
            store = create_store(url, *messages) if action == "create" else open_store(url)
            try:
                answers.append(described(store, writable=writable))
            except BaseException:
                store.close()
                raise
            return store

        if action == "receive":
            await self._gateway.sessions.close_abandoned(token.name, name)
        session = await self._gateway.sessions.open(token.name, name, make)
        self._session = session.identity
        return answers

    async def _call(
        self, token: Token, name: str, action: str, call: Call, body: Body
    ) -> Sequence[Any]:
        """Do something in a session."""
        sessions, writable = self._gateway.sessions, token.rights == "write"
        session = sessions.find(call.session, token.name, name)
        self._session = session.identity
        if action == "interrupt":
            session.interrupt(call.number)
            return ()
        if action == "close":
            await sessions.close_soon(session, "closed")
            return ()
        if action == "read":
            if call.snapshot == 0:
                raise Malformed
            if session.begins(call.snapshot) and not session.has_snapshot:
                sessions.require_snapshot()

        def work() -> Sequence[Any]:
            messages = messages_of(ACTIONS[action], body, self._gateway.limits.decoded_bytes)
            self._noticed(messages, action)
            return carry_out(session, action, call.snapshot, messages, writable=writable)

        # The object that watches the connection calls this when it ends.
        self._scope["state"]["lost"] = lambda: session.interrupt(call.number, only_reads=True)
        return await session.run(call.number, work, reading=action in _READING)

    def _noticed(self, messages: Sequence[Any], action: str) -> None:
        """Note what is asked for; a thread does it, before the loop goes on with this request."""
        self._kind = kind_of(messages, action)
        self._facts["kind"] = ",".join(sorted({type(one).__name__ for one in messages})) or action
        self._facts["messages"] = len(messages)

    # --- The answer ---------------------------------------------------------------------------------

    async def _reply(self, body: Iterable[bytes], outcome: str, *, failed: bool = False) -> None:
        head = Answer(self._request, self._session, failed).pack()
        metrics, limits = self._gateway.metrics, self._gateway.limits
        announced = (b"encdb-request-bytes", str(limits.request_bytes).encode())
        sent = await respond(self._send, 200, frames(head, body), (announced,), limits)
        seconds = time.perf_counter() - self._started
        metrics.sent += sent
        metrics.answered(self._kind or str(self._facts["kind"]), outcome, seconds)
        self._note("request", bytes_out=sent, outcome=outcome)

    async def _refuse(self, refusal: Refusal) -> None:
        """Answer without an outcome; the connection is kept only if nothing is left to read of it."""
        gateway = self._gateway
        gateway.metrics.refused(refusal.reason)
        headers = []
        # Who was too slow once is not waited for again, and an unclear end is not looked for.
        stuck = refusal.reason in {"slow", "http"}
        if not self._received and (stuck or not await drain(self._receive)):
            headers.append((b"connection", b"close"))
        if refusal.status == 401:
            headers.append((b"www-authenticate", b"Bearer"))
        if refusal.wait:
            headers.append((b"retry-after", str(max(1, round(refusal.wait))).encode()))
        head = Answer(self._request, self._session, failed=True).pack()
        body = frames(head, [encode_error(refusal.error)])
        address = self._scope["client"][0] if self._scope["client"] else None
        if refusal.reason != "guessing":
            # The failures before it are in the log; more of them would only fill it.
            self._note("refused", reason=refusal.reason, status=refusal.status, address=address)
        gateway.metrics.sent += await respond(
            self._send, refusal.status, body, headers, gateway.limits
        )

    def _note(self, event: str, **facts: object) -> None:
        milliseconds = round(1000 * (time.perf_counter() - self._started), 3)
        level = "info" if event == "request" else "warning"
        self._gateway.log.write(level, event, **self._facts, **facts, ms=milliseconds)
