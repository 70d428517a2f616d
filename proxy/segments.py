"""Readers of a table's live index segments, kept while the manifest names them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from indexes.errors import IntegrityFailure
from indexes.multimap.hashed import HashedReader
from indexes.multimap.segment import HASHED, SORTED, SegmentInfo
from indexes.multimap.sorted import SortedReader

from .keyspace import TableKeys
from .manifest import Manifest
from .reading import Channel


class SegmentReaders:
    """The hashed and sorted segments of one table, opened once each."""

    def __init__(self, table_id: int, keys: TableKeys, channel: Channel) -> None:
        self._table = table_id
        self._keys = keys
        self._channel = channel
        self._infos: tuple[SegmentInfo, ...] = ()
        self._hashed: dict[bytes, HashedReader] = {}
        self._sorted: dict[bytes, SortedReader] = {}

    def stand_on(self, manifest: Manifest) -> None:
        """Follow a new manifest; readers of segments that it still names stay open."""
        self._infos = manifest.segments
        kept = {info.salt for info in self._infos}
        self._hashed = {salt: one for salt, one in self._hashed.items() if salt in kept}
        self._sorted = {salt: one for salt, one in self._sorted.items() if salt in kept}

    def hashed(self) -> list[HashedReader]:
        """Readers of all hashed segments, which all hidden exact-match indexes share."""
        return [self.hashed_reader(info) for info in self._infos if info.kind == HASHED]

    def sorted(self, index_id: int) -> list[SortedReader]:
        """Readers of the sorted segments of one range index."""
        return [
            self.sorted_reader(info)
            for info in self._infos
            if info.kind == SORTED and info.index == index_id
        ]

    def hashed_reader(self, info: SegmentInfo) -> HashedReader:
        """The reader of one hashed segment."""
        if info.kind != HASHED:
            raise IntegrityFailure
        if info.salt not in self._hashed:
            self._hashed[info.salt] = HashedReader(
                info, self._keys.hashed, self._table, self._pages_of(info)
            )
        return self._hashed[info.salt]

    def sorted_reader(self, info: SegmentInfo) -> SortedReader:
        """The reader of one sorted segment."""
        if info.kind != SORTED:
            raise IntegrityFailure
        if info.salt not in self._sorted:
            self._sorted[info.salt] = SortedReader(
                info, self._keys.sorted_key(info.index), self._table, self._pages_of(info)
            )
        return self._sorted[info.salt]

    def _pages_of(self, info: SegmentInfo) -> Callable[[Sequence[int]], list[bytes]]:
        def read(numbers: Sequence[int]) -> list[bytes]:
            return self._channel.pages(self._table, info.segment, numbers)

        return read
