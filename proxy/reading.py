"""Reading sealed things from one store snapshot: checked against the request, cached, and counted.

The store must answer with exactly the ids asked for. A page or pack that is withheld, and one that was
not asked for, are integrity failures here; whether the bytes are the right ones is the cipher's matter.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Generic, TypeVar

from encdb import wire
from encdb.stores.base import StoreSnapshot
from indexes.errors import IntegrityFailure

PAGE_CACHE_BYTES = 64 << 20
COLUMN_CACHE_BYTES = 256 << 20
TERM_CACHE_BYTES = 64 << 20
READ_CHUNK = 1_000

Value = TypeVar("Value")


@dataclass(slots=True)
class ReadCounters:
    """What one statement has read from the store."""

    pages: int = 0
    cached_pages: int = 0
    rows: int = 0
    packs: int = 0
    bytes: int = 0
    round_trips: int = 0
    store_seconds: float = 0.0

    def minus(self, earlier: ReadCounters) -> ReadCounters:
        """What was read since ``earlier``."""
        return ReadCounters(
            *(getattr(self, one.name) - getattr(earlier, one.name) for one in fields(self))
        )

    def copy(self) -> ReadCounters:
        """A snapshot of these counters."""
        return ReadCounters(*(getattr(self, one.name) for one in fields(self)))


class ByteCache(Generic[Value]):
    """A least-recently-used cache bounded by the bytes its values stand for."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._size = 0
        self._values: OrderedDict[Hashable, tuple[Value, int]] = OrderedDict()

    def get(self, key: Hashable) -> Value | None:
        """The cached value, marked as used, or None."""
        found = self._values.get(key)
        if found is None:
            return None
        self._values.move_to_end(key)
        return found[0]

    def holds(self, size: int) -> bool:
        """Whether a value of ``size`` bytes would be kept: it may have a quarter of the room."""
        return size <= self._capacity // 4

    def put(self, key: Hashable, value: Value, size: int) -> None:
        """Keep a value of ``size`` bytes; the least recently used ones make room for it."""
        if not self.holds(size) or key in self._values:
            return
        self._values[key] = (value, size)
        self._size += size
        while self._size > self._capacity:
            _, (_, dropped) = self._values.popitem(last=False)
            self._size -= dropped


class _Awaited(BaseException):
    """A task wants an answer that is fetched together with those that other tasks want.

    It is no Exception, so that no handler of errors on the way takes it for one.
    """


class Channel:
    """Where a table's readers get their bytes while a statement runs.

    The session sets ``snapshot`` for the time of a statement; nothing can be read outside of one.
    """

    def __init__(self) -> None:
        self.snapshot: StoreSnapshot | None = None
        self.counters = ReadCounters()
        self._pages: ByteCache[bytes] = ByteCache(PAGE_CACHE_BYTES)
        self._answers: dict[wire.ReadRequest, wire.ReadResponse] | None = None
        self._wanted: list[wire.ReadRequest] = []

    def ask(self, request: wire.ReadRequest) -> wire.ReadResponse:
        """The answer to one request; within :meth:`together`, the request may wait for others."""
        if self._answers is not None:
            if request in self._answers:
                return self._answers[request]
            self._wanted.append(request)
            raise _Awaited
        (answer,) = self._ask_all((request,))
        return answer

    def _ask_all(self, requests: Sequence[wire.ReadRequest]) -> Sequence[wire.ReadResponse]:
        """Requests that go to the store in one round trip, timed."""
        if self.snapshot is None:
            raise RuntimeError("the store was read outside of a statement")
        started = time.perf_counter()
        answers: Sequence[wire.ReadResponse]
        if len(requests) == 1:
            answers = (self.snapshot.read(requests[0]),)
        else:
            answers = self.snapshot.read_all(requests)
        self.counters.store_seconds += time.perf_counter() - started
        self.counters.round_trips += 1
        if len(answers) != len(requests):
            raise IntegrityFailure
        return answers

    def together(self, tasks: Sequence[Callable[[], Value]]) -> list[Value]:
        """The results of tasks that read from the store, with one round trip per dependent stage.

        A task runs until it asks for something that is not there yet, and again from its start once
        the requests of all tasks have been answered together. So a task must ask the same things
        whenever it runs, and may change nothing before its last request but caches.

        Args:
            tasks: functions that read through this channel, and may call this method themselves.
        """
        if self._answers is not None:
            found = [self._try(task) for task in tasks]
            if any(one is None for one in found):
                raise _Awaited
            return [one[0] for one in found if one is not None]
        if len(tasks) < 2:
            return [task() for task in tasks]
        done: dict[int, tuple[Value]] = {}
        self._answers = {}
        try:
            while True:
                for place, task in enumerate(tasks):
                    if place not in done and (result := self._try(task)) is not None:
                        done[place] = result
                if len(done) == len(tasks):
                    return [done[place][0] for place in range(len(tasks))]
                # Two tasks may want the same.
                wanted, self._wanted = list(dict.fromkeys(self._wanted)), []
                self._answers.update(zip(wanted, self._ask_all(wanted), strict=True))
        finally:
            self._answers, self._wanted = None, []

    def _try(self, task: Callable[[], Value]) -> tuple[Value] | None:
        """The result of a task, or None when it waits for an answer."""
        try:
            return (task(),)
        except _Awaited:
            return None

    def pages(self, table: int, segment: int, numbers: Sequence[int]) -> list[bytes]:
        """Sealed index pages of one segment, in the order asked for."""
        found: dict[int, bytes] = {}
        missing: list[int] = []
        for number in set(numbers):
            cached = self._pages.get((table, segment, number))
            if cached is None:
                missing.append(number)
            else:
                found[number] = cached
        cached_pages = len(found)
        if missing:
            base = segment << 32
            for identity, blob in self._blobs(
                wire.ReadPages(table=table, ids=tuple(base | number for number in missing)),
                {base | number for number in missing},
            ):
                number = identity & 0xFFFFFFFF
                found[number] = blob
                self._pages.put((table, segment, number), blob, len(blob))
            self.counters.pages += len(missing)
        self.counters.cached_pages += cached_pages
        return [found[number] for number in numbers]

    def rows(self, table: int, labels: Sequence[int]) -> list[tuple[int, bytes]]:
        """Row records by label."""
        answer = self._blobs(wire.ReadRows(table=table, labels=tuple(labels)), set(labels))
        self.counters.rows += len(answer)
        return answer

    def packs(self, table: int, ids: Iterable[int]) -> list[tuple[int, bytes]]:
        """Sealed pack columns by id."""
        wanted = tuple(ids)
        answer = self._blobs(wire.ReadPacks(table=table, ids=wanted), set(wanted))
        self.counters.packs += len(answer)
        return answer

    def _blobs(self, request: wire.ReadRequest, expected: set[int]) -> list[tuple[int, bytes]]:
        answer = wire.verified(self.ask(request), wire.Blobs)
        if len(answer.ids) != len(expected) or set(answer.ids) != expected:
            raise IntegrityFailure
        self.counters.bytes += sum(map(len, answer.blobs))
        return list(zip(answer.ids, answer.blobs, strict=True))
