"""When a call is made again, and what to say when it is not.

Every call may be sent again, because what it does can be done twice without harm: reads change
nothing, a lease that nobody heard of skips numbers, stages, sweeps, claims and copied blobs are the
same the second time, and a store recognises a commit that it has carried out. The server carries out
no call with a smaller number than it has seen in a session, so an attempt that was given up cannot
come to life after a later one was answered.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final, TypeVar

from encdb.errors import EncdbError, OperationalError, StoreUnavailable, err

from .address import Address
from .answers import Reply
from .connection import Broken

T = TypeVar("T")

BUSY: Final = frozenset({429, 503})
GONE: Final = 410
_PAUSES: Final = (0.0, 0.1, 0.2, 0.4, 0.8, 1.0)
"""Seconds before each further attempt; the last one for all that follow."""
_BROKEN_SECONDS: Final = 2.0
"""How long a call is repeated on broken connections."""
_BUSY_SECONDS: Final = 10.0
"""How long a call is repeated because the server is busy."""


class Refused(Exception):  # noqa: N818 - it becomes an error when no further attempt is made.
    """The server did not carry the call out."""

    def __init__(self, reply: Reply) -> None:
        super().__init__()
        assert reply.error is not None
        self.error = reply.error
        self.again = reply.status in BUSY or reply.status == GONE
        self.busy = reply.status in BUSY
        self.wait = reply.wait


class Interruption:
    """Whether a call is under way, and how another thread can end its wait."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._waiting = False
        self._stop: Callable[[], None] | None = None
        self.wanted = threading.Event()

    def __enter__(self) -> None:
        with self._guard:
            self.wanted.clear()
            self._waiting, self._stop = True, None

    def __exit__(self, *_: object) -> None:
        with self._guard:
            self._waiting, self._stop = False, None

    def by(self, stop: Callable[[], None] | None) -> None:
        """From now on the wait is ended in this way; at once, if that is wanted already."""
        with self._guard:
            self._stop = stop
            late = self.wanted.is_set()
        if late and stop is not None:
            stop()

    def interrupt(self) -> None:
        """End the wait, if there is one."""
        with self._guard:
            if not self._waiting or self.wanted.is_set():
                return
            self.wanted.set()
            stop = self._stop
        if stop is not None:
            stop()


class Repetition:
    """The attempts of one call.

    Args:
        address: of the store.
        interruption: ends the wait for an answer or for the next attempt.
        anew: the call may be made again, on another connection and in another session.
        final: after an attempt whose answer was lost, only an answer tells what became of it.
        patient: a server that cannot be reached may come back.

    Attributes:
        lost: an attempt was sent whose answer never came.
    """

    def __init__(
        self,
        address: Address,
        interruption: Interruption,
        *,
        anew: bool = True,
        final: bool = False,
        patient: bool = True,
    ) -> None:
        self.lost = False
        self._address = address
        self._interruption = interruption
        self._anew = anew
        self._final = final
        self._patient = patient

    def run(self, attempt: Callable[[], T]) -> T:
        """Make attempts until one has an answer, or there is no point in another."""
        started = time.monotonic()
        count = 0
        while True:
            wait, limit, refused_for_good = 0.0, _BROKEN_SECONDS, False
            try:
                return attempt()
            except Broken as broken:
                if not broken.unsent and not self.lost:
                    self.lost, started = True, time.monotonic()
                failure = self._broken(broken)
                again = self._anew and not broken.slow
            except Refused as refused:
                failure, wait = refused.error, refused.wait
                again = refused.busy or (refused.again and self._anew)
                refused_for_good = not refused.again
                limit = _BUSY_SECONDS if refused.busy else _BROKEN_SECONDS
            except EncdbError as error:
                failure = error
                again = self._anew and self._patient and error.code == "E_CONNECTION_FAILED"
            if self._final and self.lost and not refused_for_good:
                # What the store says now need not be true of the attempt that was lost.
                again, limit = True, max(limit, self._address.seconds)
            pause = max(wait, _PAUSES[min(count, len(_PAUSES) - 1)])
            count += 1
            if not again or time.monotonic() - started + pause > limit:
                raise self._conclusion(failure)
            if self._interruption.wanted.wait(pause):
                raise self._conclusion(_interrupted())

    def _broken(self, broken: Broken) -> EncdbError:
        if self._interruption.wanted.is_set():
            return _interrupted()
        if broken.slow:
            return err(
                OperationalError,
                "E_TIMEOUT",
                f"{self._address.host} did not answer within {self._address.seconds:g} seconds",
                "Repeat the statement, or raise ?timeout=SECONDS in the URL",
            )
        return connection_lost()

    def _conclusion(self, failure: EncdbError) -> EncdbError:
        """What to raise when no further attempt is made."""
        if not (self._final and self.lost):
            return failure
        return err(
            OperationalError,
            "E_OUTCOME_UNKNOWN",
            "the answer to a commit was lost, and the server cannot be asked about it: "
            f"{failure.message}",
        )


def connection_lost() -> StoreUnavailable:
    """The error for a connection that broke where that cannot be mended."""
    return err(StoreUnavailable, "E_CONNECTION_LOST", "the connection to the server broke")


def _interrupted() -> OperationalError:
    return err(OperationalError, "E_INTERRUPTED", "the statement was interrupted")
