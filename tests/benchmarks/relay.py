"""A program that stands between clients and a server on loopback as a network would: it adds latency.

    python relay.py ADDRESS PORT SECONDS LEAD

Whatever arrives from either side goes on to the other SECONDS later, and nothing else changes: bytes keep
their order, any number of them are under way at once, and bandwidth is not limited. So requests that a client
sends together cost one round trip, as they would between two machines. Making a connection is not delayed,
what is sent over it is. LEAD seconds of it are what waking up takes this process, twice for each piece.
Only loopback addresses are served.

The port that it listens on is the first line of stdout. Each line that it reads from stdin it answers with
the seconds of processor time that it has used so far, and it ends when stdin does: at the latest together
with the process that has started it.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import ipaddress
import os
import selectors
import sys
import time
from collections import deque

ADDRESS = "127.0.0.1"
_UNSENT_BYTES = 8 << 20
"""As much of what is due may wait for one receiver before its sender has to wait too."""
_PIECE_BYTES = 256 << 10
"""Longest piece that is read at once."""
_PRIORITY = -10
_SET_TIMER_SLACK = 29
"""Linux's ``PR_SET_TIMERSLACK``: how many nanoseconds late a timer may be, usually 50,000."""


class Line:
    """Bytes under way, of all connections: as every piece takes as long, they arrive in order.

    Args:
        loop: when and where to deliver.
        seconds: how long they stay here.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        self._loop = loop
        self._seconds = seconds
        self.buffer = memoryview(bytearray(_PIECE_BYTES))
        self._pieces: deque[tuple[float, End, bytes | None]] = deque()

    def send(self, to: End, piece: bytes | None) -> None:
        """Deliver a piece later; an empty one is the end of what is sent, None that of the connection."""
        due = self._loop.time() + self._seconds
        self._pieces.append((due, to, piece))
        if len(self._pieces) == 1:
            self._loop.call_at(due, self._deliver)

    def _deliver(self) -> None:
        pieces, clock = self._pieces, self._loop.time
        while pieces and pieces[0][0] <= clock():
            _, to, piece = pieces.popleft()
            to.deliver(piece)
        if pieces:
            self._loop.call_at(pieces[0][0], self._deliver)


class End(asyncio.BufferedProtocol):
    """One of the two sockets of a connection; what it receives is sent to the other."""

    def __init__(self, line: Line, other: End | None = None) -> None:
        self._line = line
        self.other = other
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.set_write_buffer_limits(_UNSENT_BYTES)

    def deliver(self, piece: bytes | None) -> None:
        """A piece has arrived that the other end was sent."""
        if self.transport is None or self.transport.is_closing():
            return
        if piece:
            self.transport.write(piece)
        elif piece is None:
            self.transport.close()
        else:
            # The receiver may have gone in the meantime.
            with contextlib.suppress(OSError):
                self.transport.write_eof()

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._line.buffer

    def buffer_updated(self, nbytes: int) -> None:
        assert self.other is not None
        self._line.send(self.other, bytes(self._line.buffer[:nbytes]))

    def eof_received(self) -> bool:
        assert self.other is not None
        self._line.send(self.other, b"")
        return True

    def connection_lost(self, error: Exception | None) -> None:
        if self.other is not None:
            self._line.send(self.other, None)

    def pause_writing(self) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.resume_reading()


class Entrance(End):
    """The socket of a client. It is read as soon as there is one to the server too."""

    def __init__(self, line: Line, address: str, port: int) -> None:
        super().__init__(line)
        self._server = address, port
        self._early: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        assert self.transport is not None
        self.transport.pause_reading()
        self._connecting = asyncio.get_running_loop().create_task(self._connect())

    def buffer_updated(self, nbytes: int) -> None:
        if self.other is not None:
            super().buffer_updated(nbytes)
        else:
            # Some versions of Python forget a pause before the first reading.
            self._early.append(bytes(self._line.buffer[:nbytes]))

    def eof_received(self) -> bool:
        if self.other is not None:
            return super().eof_received()
        self._early.append(b"")
        return True

    async def _connect(self) -> None:
        assert self.transport is not None
        loop, other = asyncio.get_running_loop(), End(self._line, self)
        try:
            await loop.create_connection(lambda: other, *self._server)
        except OSError:
            self.transport.abort()
            return
        self.other = other
        for piece in self._early:
            self._line.send(other, piece)
        if self.transport.is_closing():
            other.deliver(None)
        else:
            self.transport.resume_reading()


def _be_punctual() -> None:
    """Ask the system to wake this process without delay; where that is not allowed, it works as well."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, _PRIORITY)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_TIMER_SLACK, 1, 0, 0, 0)


def _answer(loop: asyncio.AbstractEventLoop) -> None:
    if os.read(0, 4096):
        print(time.process_time(), flush=True)
    else:
        loop.stop()


def main(arguments: list[str]) -> None:
    """Relay until stdin ends."""
    address, port, seconds, lead = arguments
    if not ipaddress.ip_address(address).is_loopback:
        raise SystemExit(f"{address} is not this machine")
    _be_punctual()
    # Other selectors round the time that they wait up to whole milliseconds.
    loop = asyncio.SelectorEventLoop(selectors.SelectSelector())
    line = Line(loop, max(0.0, float(seconds) - float(lead)))
    opening = loop.create_server(lambda: Entrance(line, address, int(port)), ADDRESS, 0)
    server = loop.run_until_complete(opening)
    loop.add_reader(0, _answer, loop)
    print(server.sockets[0].getsockname()[1], flush=True)
    loop.run_forever()


if __name__ == "__main__":
    main(sys.argv[1:])
