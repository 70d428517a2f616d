"""The connection itself: uvicorn's HTTP/1.1 with limits on patience, and word of clients that leave.

h11 in place of a faster parser, because it is strict about heads and limits their length.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final, cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from .gateway import Gateway

_CORKED_BYTES: Final = 1 << 14


class Corked:
    """A transport whose writes leave together at the end of a round of the event loop.

    Head and body of an answer are then one packet and one system call instead of two.

    Args:
        transport: the true one, which does everything else.
        loop: the event loop.
        seconds: how long a closed connection may take to hand over what is left to send.
    """

    def __init__(
        self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, seconds: float
    ) -> None:
        self._transport = transport
        self._loop = loop
        self._seconds = seconds
        self._held: list[bytes] = []

    def write(self, data: bytes) -> None:
        """Hold a few bytes until the round ends; many have to meet the transport's own limit now."""
        if data:
            if not self._held:
                self._loop.call_soon(self._flush)
            self._held.append(data)
            if len(data) > _CORKED_BYTES:
                self._flush()

    def _flush(self) -> None:
        held, self._held = self._held, []
        if held and not self._transport.is_closing():
            self._transport.write(b"".join(held))

    def close(self) -> None:
        """Close after what is held has left, or when it is clear that nobody takes it."""
        self._flush()
        self._transport.close()
        self._loop.call_later(self._seconds, self._transport.abort)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class Connection(H11Protocol):
    """One connection. :func:`connections_of` ties the class to a gateway."""

    gateway: Gateway
    _patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Count it, and give it a moment to say what it wants."""
        limits = self.gateway.limits
        corked = Corked(transport, self.loop, limits.body_seconds)
        super().connection_made(cast("asyncio.Transport", corked))
        if len(self.connections) > limits.connections:
            self.gateway.metrics.refused("connections")
            transport.abort()
            return
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Take bytes in, and watch over a head that has begun."""
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._calm()
        elif self._patience is None and self.conn.trailing_data[0]:
            self._watch()

    def handle_events(self) -> None:
        """Give a request that begins the means to end its connection at once."""
        super().handle_events()
        # Before the first request there is none, whatever its declared type says.
        cycle: Any = self.cycle
        if cycle is not None:
            cycle.scope["state"]["abort"] = self.transport.abort

    def on_response_complete(self) -> None:
        """Close what was answered before its body was read: nobody would watch over the rest."""
        if self.conn.their_state is h11.SEND_BODY:
            self.transport.close()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the request that is being carried out, if there is one."""
        self._calm()
        super().connection_lost(exc)
        # Before the first request there is none, whatever its declared type says.
        cycle: Any = self.cycle
        if cycle is not None and not cycle.response_complete:
            lost = cycle.scope["state"].pop("lost", None)
            if lost is not None:
                lost()

    def send_400_response(self, msg: str) -> None:
        """Count what is no HTTP."""
        self.gateway.metrics.refused("http")
        super().send_400_response(msg)

    def _watch(self) -> None:
        seconds = self.gateway.limits.header_seconds
        self._patience = self.loop.call_later(seconds, self._lose_patience)

    def _calm(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _lose_patience(self) -> None:
        self._patience = None
        self.gateway.metrics.refused("slow")
        self.gateway.log.warning("refused", reason="slow", address=(self.client or ("",))[0])
        self.transport.abort()


def connections_of(gateway: Gateway) -> type[asyncio.Protocol]:
    """The class of connections that belong to a gateway."""
    members: dict[str, Any] = {"gateway": gateway}
    return type("GatewayConnection", (Connection,), members)
