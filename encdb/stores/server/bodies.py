"""Receiving bodies of requests and sending answers, with limits on size and on patience."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from contextlib import suppress
from typing import Any, Final, TypeAlias

from .limits import Limits
from .refusals import busy, malformed, too_large, too_slow

Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_DRAINED_BYTES: Final = 1 << 20
_DRAINED_SECONDS: Final = 1.0
_SMALL_BYTES: Final = 1 << 14
"""Parts up to this length are copied together, because each by itself costs some 200 bytes more."""
_FIXED_HEADERS: Final = (
    (b"content-type", b"application/vnd.encdb"),
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
)


class Body:
    """A body that was received, to be read once; what was read is forgotten.

    Attributes:
        size: length in bytes when nothing was read yet.
    """

    def __init__(self) -> None:
        self.size = 0
        self._parts: deque[memoryview] = deque()
        self._small = bytearray()

    def add(self, part: bytes) -> None:
        """One more part."""
        self.size += len(part)
        if len(part) <= _SMALL_BYTES:
            self._small += part
        if len(part) > _SMALL_BYTES or len(self._small) > _SMALL_BYTES:
            self.complete()
        if len(part) > _SMALL_BYTES:
            self._parts.append(memoryview(part))

    def complete(self) -> None:
        """Nothing follows for now, so what was added can be read."""
        if self._small:
            self._parts.append(memoryview(self._small))
            self._small = bytearray()

    def read(self, count: int) -> bytes:
        """Up to so many bytes, none at the end."""
        if not self._parts or not count:
            return b""
        first = self._parts.popleft()
        if len(first) > count:
            self._parts.appendleft(first[count:])
        return bytes(first[:count])

    def exactly(self, count: int) -> bytes:
        """So many bytes, or all that are left."""
        found = b""
        while len(found) < count and self._parts:
            found += self.read(count - len(found))
        return found

    def rest(self) -> bytes | None:
        """Everything that is left, if it is a single part."""
        if len(self._parts) != 1:
            return None
        return bytes(self._parts.popleft())


class Disconnected(Exception):  # noqa: N818 - the end of a request, nobody's fault here.
    """The client went away before its request was complete."""


class Bodies:
    """Receives bodies for a whole server, whose memory they share."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._held = 0

    def release(self, body: Body) -> None:
        """Give back the memory of a body that was taken in."""
        self._held -= body.size

    async def receive(self, receive: Receive, declared: int | None) -> Body:
        """A whole body. Its memory counts until :meth:`release` is called.

        Args:
            receive: of ASGI.
            declared: what the head says about its length, if it does.

        Raises:
            Refusal: it is too large or arrives too slowly, or memory is short.
            Disconnected: the client went away.
        """
        limits = self._limits
        if declared is not None and declared > limits.request_bytes:
            raise too_large(limits.request_bytes)
        body = Body()
        try:
            await self._fill(body, receive)
        except BaseException:
            self.release(body)
            raise
        return body

    async def _fill(self, body: Body, receive: Receive) -> None:
        limits, started, more = self._limits, time.monotonic(), True
        while more:
            deadline = started + limits.body_seconds + body.size / limits.body_rate
            try:
                async with asyncio.timeout(deadline - time.monotonic()):
                    event = await receive()
            except TimeoutError:
                raise too_slow() from None
            if event["type"] == "http.disconnect":
                raise Disconnected
            part, more = event.get("body", b""), event.get("more_body", False)
            body.add(part)
            self._held += len(part)
            if body.size > limits.request_bytes:
                raise too_large(limits.request_bytes)
            if self._held > limits.all_bodies:
                raise busy("large requests")
        body.complete()


async def drain(receive: Receive) -> bool:
    """Read and forget the rest of a refused body, if it is small; whether it ended.

    A client that is still sending reads the answer only afterwards, and never if the connection is
    closed on what it has sent.
    """
    size = 0
    with suppress(TimeoutError):
        async with asyncio.timeout(_DRAINED_SECONDS):
            while size < _DRAINED_BYTES:
                event = await receive()
                if event["type"] == "http.disconnect":
                    return False
                size += len(event.get("body", b""))
                if not event.get("more_body", False):
                    return True
    return False


async def respond(
    send: Send,
    status: int,
    chunks: Iterable[bytes],
    headers: Iterable[tuple[bytes, bytes]],
    limits: Limits,
) -> int:
    """Send an answer; a short one as a whole, a long one as it is made.

    Returns:
        Its length in bytes.

    Raises:
        Disconnected: the client does not take it.
    """
    stream = iter(chunks)
    part: bytes | None = next(stream)
    following = next(stream, None)
    size = 0
    head = [*_FIXED_HEADERS, *headers]
    if following is None:
        head.append((b"content-length", str(len(part or b"")).encode()))
    await send({"type": "http.response.start", "status": status, "headers": head})
    while part is not None:
        event = {"type": "http.response.body", "body": part, "more_body": following is not None}
        try:
            # A reader may take so long over one frame before it counts as stuck.
            async with asyncio.timeout(limits.body_seconds + len(part) / limits.body_rate):
                await send(event)
        except TimeoutError:
            raise Disconnected from None
        size += len(part)
        part, following = following, next(stream, None) if following is not None else None
    return size


def framed_twice(scope: Any) -> bool:
    """Whether a head tells the length of its body in two ways, which a proxy may read differently."""
    names = {name for name, _ in scope["headers"]}
    return b"transfer-encoding" in names and (
        b"content-length" in names or scope["http_version"] == "1.0"
    )


def declared_length(values: list[bytes]) -> int | None:
    """What the head says about the length of the body."""
    if not values:
        return None
    if len(values) > 1 or not values[0].isdigit() or len(values[0]) > 15:
        raise malformed("the length of the request is malformed")
    return int(values[0])
