"""Sessions: one store object per client, one call at a time, and at most one open snapshot.

A session is found by a random id that only its client knows, and is good for the token that began it.
It outlives connections, so a client whose connection broke goes on with the next one. Calls are
numbered, and a session carries out none with a smaller number than it has seen: a call that was given
up, and still is on its way, cannot happen after the client has drawn its conclusions.

Store objects block, so they work in a pool of threads. The bookkeeping itself belongs to the event
loop and needs no locks.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any, Final, TypeVar

from encdb.errors import StoreUnavailable, err
from encdb.stores.base import ReceivingStore, Store, StoreSnapshot
from encdb.stores.codec import ID_BYTES

from .limits import Limits
from .logs import Log

T = TypeVar("T")

_ABANDONED_SECONDS: Final = 30.0
"""After so long without a call a copy may be taken up in another session."""


class Gone(Exception):  # noqa: N818 - an answer on its way to the client.
    """There is no such session, or the call is an old one that arrives late."""


class Full(Exception):  # noqa: N818 - an answer on its way to the client.
    """A limit of sessions or snapshots is reached."""


class Session:
    """One client's access to one store.

    Args:
        token: name of the token that began it.
        name: name of the store.
        store: the store object, used by one thread at a time.
        pool: where it works.
    """

    def __init__(
        self, token: str, name: str, store: Store | ReceivingStore, pool: ThreadPoolExecutor
    ) -> None:
        self.identity = secrets.token_bytes(ID_BYTES)
        self.token = token
        self.name = name
        self.store = store
        self.used = time.monotonic()
        self.closed = False
        self._pool = pool
        self._lock = asyncio.Lock()
        self._number = 0
        self._running = 0
        self._reading = False
        self._snapshot_number = 0
        self._snapshot: StoreSnapshot | None = None
        self._scope: AbstractContextManager[StoreSnapshot] | None = None

    @property
    def busy(self) -> bool:
        """Whether a call is under way."""
        return self._lock.locked()

    @property
    def receives(self) -> bool:
        """Whether its store is the target of a copy."""
        return hasattr(self.store, "put")

    @property
    def has_snapshot(self) -> bool:
        """Whether a snapshot is open."""
        return self._snapshot is not None

    def begins(self, snapshot: int) -> bool:
        """Whether a read in the snapshot of this number would open it."""
        return snapshot > self._snapshot_number

    # --- In the event loop --------------------------------------------------------------------------

    async def run(self, number: int, work: Callable[[], T], *, reading: bool) -> T:
        """Carry out one call in a thread, after the one before it.

        Args:
            number: of the call.
            work: what to do with the store.
            reading: it may be interrupted when nobody waits for it any more.

        Raises:
            Gone: the call is older than one seen already, or the session was closed meanwhile.
        """
        if number <= self._number:
            raise Gone
        self._number = number
        if self._running and self._reading:
            # A client makes one call at a time, so it has given up the one before.
            self._interrupt()
        return await self._exclusively(number, work, reading=reading)

    async def _exclusively(self, number: int, work: Callable[[], T], *, reading: bool) -> T:
        await self._lock.acquire()
        if self.closed or number != self._number:
            self._lock.release()
            raise Gone
        self._running, self._reading = number, reading
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()

        def job() -> None:
            try:
                found = work()
            except BaseException as error:  # noqa: BLE001 - whoever waits for the answer gets it.
                loop.call_soon_threadsafe(self._done, answer, None, error)
            else:
                loop.call_soon_threadsafe(self._done, answer, found, None)

        self._pool.submit(job)
        return await answer

    def _done(self, answer: asyncio.Future[Any], found: Any, error: BaseException | None) -> None:
        """Only now is the store free, whether or not anybody still waits for the answer."""
        self._running = 0
        self.used = time.monotonic()
        self._lock.release()
        if answer.done():
            return
        if error is None:
            answer.set_result(found)
        else:
            answer.set_exception(error)

    def interrupt(self, number: int, *, only_reads: bool = False) -> None:
        """Make the call of this number fail soon, if it is being carried out."""
        if self._running == number and (self._reading or not only_reads):
            self._interrupt()

    def _interrupt(self) -> None:
        # A store that is copied into has nothing to interrupt.
        interrupt = getattr(self.store, "interrupt", None)
        if interrupt is not None:
            interrupt()

    async def close(self) -> None:
        """Close the store after the call that is under way."""
        if self.closed:
            return
        self.closed = True
        if self._running and self._reading:
            self._interrupt()
        async with self._lock:
            await asyncio.get_running_loop().run_in_executor(self._pool, self._close)

    async def close_snapshot(self) -> None:
        """Close the snapshot of a client that went away."""
        async with self._lock:
            await asyncio.get_running_loop().run_in_executor(self._pool, self._end)

    # --- In a thread of the pool --------------------------------------------------------------------

    def read(self, snapshot: int, requests: Sequence[Any]) -> Sequence[Any]:
        """Answer requests from the snapshot of this number, which is opened if it is a new one.

        Raises:
            StoreUnavailable: the snapshot was closed meanwhile (``E_SNAPSHOT_TOO_OLD``).
        """
        if self.begins(snapshot):
            self._end()
            scope = self.store.snapshot()
            self._snapshot = scope.__enter__()
            self._scope, self._snapshot_number = scope, snapshot
        if snapshot != self._snapshot_number or self._snapshot is None:
            raise err(
                StoreUnavailable,
                "E_SNAPSHOT_TOO_OLD",
                "the server has closed the snapshot, which was not used for too long",
            )
        return self._snapshot.read_all(requests)

    def keep_only(self, snapshot: int) -> None:
        """Close the open snapshot unless it has this number; its end may have got lost."""
        if snapshot != self._snapshot_number:
            self._end()

    def end(self, snapshot: int) -> None:
        """Close the snapshot of this number, if it is open."""
        if snapshot == self._snapshot_number:
            self._end()

    def _end(self) -> None:
        scope, self._scope, self._snapshot = self._scope, None, None
        if scope is not None:
            scope.__exit__(None, None, None)

    def _close(self) -> None:
        try:
            self._end()
        finally:
            self.store.close()


class Sessions:
    """All sessions of a server.

    Args:
        limits: how many there may be.
        log: where their ends are noted.
    """

    def __init__(self, limits: Limits, log: Log) -> None:
        self._limits = limits
        self._log = log
        self.pool = ThreadPoolExecutor(limits.threads, thread_name_prefix="encdb-store")
        self._sessions: dict[bytes, Session] = {}
        self._opening: list[str] = []
        self._closing: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._sessions)

    @property
    def snapshots(self) -> int:
        """Number of open snapshots."""
        return sum(session.has_snapshot for session in self._sessions.values())

    def find(self, identity: bytes, token: str, name: str) -> Session:
        """A session of this token and store; raises :class:`Gone`."""
        session = self._sessions.get(identity)
        # An id is 16 random bytes that never left its client and this process.
        if session is None or session.token != token or session.name != name or session.closed:
            raise Gone
        return session

    async def open(
        self, token: str, name: str, make: Callable[[], Store | ReceivingStore]
    ) -> Session:
        """Begin a session with the store object that ``make`` makes in a thread.

        Raises:
            Full: there are too many, and none that could be closed for it.
            EncdbError: the store cannot be opened.
        """
        self._make_room(token)
        self._opening.append(token)
        try:
            loop = asyncio.get_running_loop()
            opening = asyncio.ensure_future(loop.run_in_executor(self.pool, make))
            try:
                store = await asyncio.shield(opening)
            except asyncio.CancelledError:
                opening.add_done_callback(_close_unclaimed)
                raise
        finally:
            self._opening.remove(token)
        session = Session(token, name, store, self.pool)
        self._sessions[session.identity] = session
        self._log.info("session opened", token=token, store=name)
        return session

    async def close_abandoned(self, token: str, name: str) -> None:
        """Close sessions of this token that copy into a store, and have not for a while.

        A copy locks its target. The client that wants to go on with it cannot know the session in
        which it, or the process before it, began.
        """
        now = time.monotonic()
        for session in list(self._sessions.values()):
            mine = (session.token, session.name) == (token, name) and session.receives
            if mine and not session.busy and now - session.used > _ABANDONED_SECONDS:
                await self.close_soon(session, "abandoned")

    def _make_room(self, token: str) -> None:
        """A client whose session is closed begins another by itself, so idle ones may go."""
        mine = [one for one in self._sessions.values() if one.token == token]
        total = len(self._sessions) + len(self._opening)
        if len(mine) + self._opening.count(token) < self._limits.sessions_per_token and (
            total < self._limits.sessions
        ):
            return
        idle = [one for one in mine if not one.busy and not one.has_snapshot]
        if not idle:
            raise Full
        self.close_soon(min(idle, key=lambda one: one.used), "evicted")

    def require_snapshot(self) -> None:
        """Raises :class:`Full` if no further snapshot may be opened."""
        if self.snapshots >= self._limits.snapshots:
            raise Full

    def close_soon(self, session: Session, reason: str) -> asyncio.Task[None]:
        """Forget a session now and close its store in the background."""
        self._sessions.pop(session.identity, None)
        self._log.info("session closed", token=session.token, store=session.name, reason=reason)
        return self._in_background(session.close())

    def _in_background(self, work: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.ensure_future(self._quietly(work))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
        return task

    async def _quietly(self, work: Any) -> None:
        try:
            await work
        except Exception as error:  # noqa: BLE001 - nobody else would hear of it.
            self._log.failure("close failed", error)

    def sweep(self, admits: Callable[[str], bool]) -> None:
        """Close what was left alone for too long, and sessions of tokens that are admitted no more."""
        now = time.monotonic()
        for session in list(self._sessions.values()):
            idle = now - session.used
            if not admits(session.token):
                self.close_soon(session, "revoked")
            elif session.busy:
                continue
            elif idle > self._limits.session_seconds:
                self.close_soon(session, "idle")
            elif session.has_snapshot and idle > self._limits.snapshot_seconds:
                self._log.info("snapshot closed", token=session.token, store=session.name)
                self._in_background(session.close_snapshot())

    async def close(self, seconds: float) -> bool:
        """Close every session; whether all were closed in time."""
        for session in list(self._sessions.values()):
            self.close_soon(session, "shutdown")
        closed = True
        if self._closing:
            _, pending = await asyncio.wait(set(self._closing), timeout=seconds)
            closed = not pending
        self.pool.shutdown(wait=closed, cancel_futures=True)
        return closed


def _close_unclaimed(opening: asyncio.Future[Any]) -> None:
    """Close a store that was opened for a client which has gone meanwhile."""
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()
