"""How much a client may ask of a server, and buckets that measure it.

Numbers are chosen for a small team on one server. Every limit is an option of ``encdb serve`` or stands
here with its reason.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

MEBIBYTE: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """What one server admits.

    Attributes:
        request_bytes: longest body of a request.
        pending_bytes: bodies of all requests under way together; 0 for four of the longest.
        header_bytes: longest head of a request.
        rate: requests a second of one token in the long run; 0 for no limit.
        burst: how many it may save up, as seconds of ``rate``.
        requests: requests carried out or waiting at the same time.
        connections: open connections.
        threads: requests that the stores work on at the same time.
        sessions: open sessions, each with a store object of its own.
        sessions_per_token: of them, those of one token.
        snapshots: open snapshots; each keeps the database below from reusing space.
        snapshot_seconds: after so long without a read a snapshot is closed.
        session_seconds: after so long without a request a session is closed.
        header_seconds: a head must arrive within this time.
        body_seconds: a body may take this long, and longer only at ``body_rate``.
        body_rate: bytes a second below which a sender or reader counts as stuck.
        keep_alive_seconds: after so long without a request a connection is closed.
        stop_seconds: on shutdown, how long running requests may take to end.
        failures: refused tokens of one address before further ones are put off.
        failure_seconds: time after which one of them is forgiven.
    """

    request_bytes: int = 64 * MEBIBYTE
    pending_bytes: int = 0
    header_bytes: int = 16 << 10
    rate: float = 2000.0
    burst: float = 2.0
    requests: int = 64
    connections: int = 512
    threads: int = 16
    sessions: int = 256
    sessions_per_token: int = 32
    snapshots: int = 64
    snapshot_seconds: float = 60.0
    session_seconds: float = 600.0
    header_seconds: float = 10.0
    body_seconds: float = 10.0
    body_rate: int = 64 << 10
    keep_alive_seconds: float = 75.0
    stop_seconds: float = 10.0
    failures: int = 10
    failure_seconds: float = 6.0

    @property
    def requests_per_token(self) -> int:
        """Of the requests under way, those of one token: half, so that others always find room."""
        return max(1, self.requests // 2)

    @property
    def decoded_bytes(self) -> int:
        """Memory of one request's messages, beside the contents of their strings."""
        return 4 * self.request_bytes

    @property
    def all_bodies(self) -> int:
        """``pending_bytes``, worked out."""
        return self.pending_bytes or 4 * self.request_bytes


@dataclass(slots=True)
class _Level:
    """What is left in one bucket, and when that was worked out."""

    left: float
    at: float


@dataclass(slots=True)
class Buckets:
    """Token buckets: each name may take ``capacity`` at once and ``rate`` a second in the long run.

    Only the names used last are kept, because addresses cost an attacker nothing.

    Attributes:
        rate: units a second that flow back; 0 for buckets that never run dry.
        capacity: units in a full bucket.
        kept: how many names are kept.
        clock: seconds that never run backwards.
    """

    rate: float
    capacity: float
    kept: int = 4096
    clock: Callable[[], float] = time.monotonic
    _levels: OrderedDict[str, _Level] = field(default_factory=OrderedDict)

    def take(self, name: str) -> float:
        """Take one unit; the seconds to wait when there is none, else 0."""
        if self.rate <= 0:
            return 0.0
        now = self.clock()
        level = self._levels.pop(name, None)
        if level is None:
            level = _Level(self.capacity, now)
            while len(self._levels) >= self.kept:
                self._levels.popitem(last=False)
        self._levels[name] = level
        level.left = min(self.capacity, level.left + (now - level.at) * self.rate)
        level.at = now
        if level.left < 1.0:
            return (1.0 - level.left) / self.rate
        level.left -= 1.0
        return 0.0
