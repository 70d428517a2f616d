"""Puts a server farther away: a relay in front of it, and how long a round trip really takes then."""

from __future__ import annotations

import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
from pathlib import Path

ADDRESS = "127.0.0.1"
_PROGRAM = Path(__file__).with_name("relay.py")
_STOP_SECONDS = 10.0
_TRIPS = 250
_MAX_LEAD = 200e-6
"""A machine that is later than this is too busy to tell what usual lateness is."""


class Relay:
    """A process that adds latency to connections with one server, the same for every client.

    Args:
        port: of the server, on loopback.
        rtt: milliseconds that a round trip takes longer, half of them in each direction.
        lead: seconds of each direction that it takes anyway, as :func:`lead` has measured.

    Attributes:
        port: where it listens.
    """

    def __init__(self, port: int, rtt: float, lead: float = 0.0) -> None:
        # Isolated, because the names of this folder's modules should hide none of the library's.
        command = [sys.executable, "-I", str(_PROGRAM), ADDRESS, str(port), str(rtt / 2e3)]
        self._process = subprocess.Popen(
            [*command, str(lead)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.port = int(self._line())

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the relay has ended")
        return line

    def processor(self) -> float:
        """Seconds of processor time that it has used so far."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return float(self._line())

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()


def medians(calls: Sequence[Callable[[], object]], count: int = _TRIPS) -> list[float]:
    """Milliseconds that each usually takes; they take turns, so that they meet the same circumstances."""
    taken: list[list[float]] = [[] for _ in calls]
    for _ in range(count):
        for call, times in zip(calls, taken, strict=True):
            start = time.perf_counter()
            call()
            times.append(time.perf_counter() - start)
    return [statistics.median(times) * 1e3 for times in taken]


def lead(rtt: float) -> float:
    """Seconds in each direction by which a relay without a lead is late on this machine, 200 µs at most."""
    with (
        echo() as port,
        closing(Relay(port, rtt)) as relay,
        _connected(port) as direct,
        _connected(relay.port) as relayed,
    ):
        near, far = medians([partial(_ping, direct), partial(_ping, relayed)])
    return min(max(0.0, (far - near - rtt) / 2e3), _MAX_LEAD)


def trips(urls: Iterable[str]) -> list[float]:
    """Milliseconds that psycopg takes for ``SELECT 1`` on each of them."""
    import psycopg

    with ExitStack() as stack:
        connections = [stack.enter_context(psycopg.connect(url, autocommit=True)) for url in urls]
        return medians([partial(connection.execute, "SELECT 1") for connection in connections])


def _connected(port: int) -> socket.socket:
    connection = socket.create_connection((ADDRESS, port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _ping(connection: socket.socket) -> None:
    connection.sendall(b"?")
    connection.recv(1)


@contextmanager
def echo() -> Iterator[int]:
    """The port of a server that answers what it is sent, until its clients have gone."""
    threads = []

    def answer(connection: socket.socket) -> None:
        with connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while piece := connection.recv(4096):
                connection.sendall(piece)

    def serve(listening: socket.socket) -> None:
        # Shut down, it accepts nothing more.
        with suppress(OSError):
            while True:
                connection, _ = listening.accept()
                start(answer, connection)

    def start(what: Callable[[socket.socket], None], connection: socket.socket) -> None:
        threads.append(threading.Thread(target=what, args=(connection,), daemon=True))
        threads[-1].start()

    with socket.create_server((ADDRESS, 0)) as listening:
        start(serve, listening)
        yield listening.getsockname()[1]
        # Closing alone would leave it waiting.
        listening.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()
