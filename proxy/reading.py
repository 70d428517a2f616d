"""Reading sealed things from one store snapshot: checked against the request, cached, and counted.

The store must answer with exactly the ids asked for. A page or pack that is withheld, and one that was
not asked for, are integrity failures here; whether the bytes are the right ones is the cipher's matter.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Generic, TypeVar

from encdb import wire
from encdb.stores.base import StoreSnapshot
from indexes.errors import IntegrityFailure

PAGE_CACHE_BYTES = 64 << 20
COLUMN_CACHE_BYTES = 256 << 20
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

    def put(self, key: Hashable, value: Value, size: int) -> None:
        """Keep a value of ``size`` bytes; the least recently used ones make room for it."""
        if size > self._capacity // 4 or key in self._values:
            return
        self._values[key] = (value, size)
        self._size += size
        while self._size > self._capacity:
            _, (_, dropped) = self._values.popitem(last=False)
            self._size -= dropped


class Channel:
    """Where a table's readers get their bytes while a statement runs.

    The session sets ``snapshot`` for the time of a statement; nothing can be read outside of one.
    """

    def __init__(self) -> None:
        self.snapshot: StoreSnapshot | None = None
        self.counters = ReadCounters()
        self._pages: ByteCache[bytes] = ByteCache(PAGE_CACHE_BYTES)

    def ask(self, request: wire.ReadRequest) -> wire.ReadResponse:
        """One request to the store, timed."""
        if self.snapshot is None:
            raise RuntimeError("the store was read outside of a statement")
        started = time.perf_counter()
        answer: wire.ReadResponse = self.snapshot.read(request)
        self.counters.store_seconds += time.perf_counter() - started
        return answer

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
        self.counters.cached_pages += len(found)
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
