"""Settled rows: which exist, by the liveness segments, and what they hold, by the packs.

A liveness entry per block of 4,096 ordinals carries the bitmap of live rows and the number and salt of
the block's pack. The salt is fresh for each build of a pack, so an entry that verifies names exactly one
ciphertext per column; a pack of another time or place does not open.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt

from indexes.errors import IntegrityFailure
from indexes.labels import BLOCK
from indexes.multimap.segment import SegmentInfo
from indexes.records.liveness import LivenessEntry, LivenessReader
from indexes.records.pack import (
    DIRECTORY_COLUMN,
    PackSealer,
    decode_column,
    decode_directory,
    pack_address,
)
from indexes.types import ColumnType

from .arrow import Array, Chunked, Ordinals, chunked, pick
from .keyspace import TableKeys
from .manifest import Manifest
from .reading import COLUMN_CACHE_BYTES, ByteCache, Channel

BLOCK_BITS = 12
LOW_MASK = BLOCK - 1
FEW = 64
"""Up to so many ordinals are looked at one by one, without the fixed cost of array operations."""


class SettledRows:
    """Settled rows of one table, as one manifest lists them."""

    def __init__(self, table_id: int, keys: TableKeys, channel: Channel) -> None:
        self._table = table_id
        self._keys = keys
        self._channel = channel
        self._infos: tuple[SegmentInfo, ...] = ()
        # Salts are fresh for each build and come from verified data, so nothing that a store numbers
        # twice can be taken for something else in these caches.
        self._readers: dict[bytes, LivenessReader] = {}
        self._homes: dict[int, int] | None = None
        self._entries: dict[tuple[bytes, int], LivenessEntry] = {}
        self._live: Ordinals | None = None
        self._columns: ByteCache[Array] = ByteCache(COLUMN_CACHE_BYTES)
        self._slots: ByteCache[npt.NDArray[np.uint16]] = ByteCache(COLUMN_CACHE_BYTES // 4)

    def stand_on(self, manifest: Manifest) -> None:
        """Follow a new manifest; what its predecessor shares with it stays cached."""
        self._infos = manifest.liveness
        kept = {info.salt for info in self._infos}
        self._readers = {salt: one for salt, one in self._readers.items() if salt in kept}
        self._entries = {place: one for place, one in self._entries.items() if place[0] in kept}
        self._homes = None
        self._live = None

    def _reader(self, info: SegmentInfo) -> LivenessReader:
        reader = self._readers.get(info.salt)
        if reader is None:
            reader = LivenessReader(
                info,
                self._keys.liveness,
                self._table,
                lambda numbers: self._channel.pages(self._table, info.segment, numbers),
            )
            self._readers[info.salt] = reader
        return reader

    def _home(self) -> dict[int, int]:
        """Block to the position of the newest liveness segment that lists it."""
        if self._homes is None:
            homes: dict[int, int] = {}
            readers = [self._reader(info) for info in self._infos]
            listed = self._channel.together([reader.blocks for reader in readers])
            for place, blocks in enumerate(listed):
                for block in blocks.tolist():
                    homes[block] = place
            self._homes = homes
        return self._homes

    def blocks(self) -> list[int]:
        """Every block that has a liveness entry, ascending."""
        return sorted(self._home())

    def entries(self, blocks: Iterable[int]) -> dict[int, LivenessEntry]:
        """Liveness entries of those of ``blocks`` that have one."""
        homes = self._home()
        found: dict[int, LivenessEntry] = {}
        missing: dict[int, list[int]] = {}
        for block in blocks:
            place = homes.get(block)
            if place is None:
                continue
            entry = self._entries.get((self._infos[place].salt, block))
            if entry is None:
                missing.setdefault(place, []).append(block)
            else:
                found[block] = entry
        tasks = [
            partial(self._reader(self._infos[place]).entries, wanted)
            for place, wanted in missing.items()
        ]
        for (place, wanted), read in zip(
            missing.items(), self._channel.together(tasks), strict=True
        ):
            salt = self._infos[place].salt
            for entry in read:
                self._entries[salt, entry.block] = entry
                found[entry.block] = entry
            if any(block not in found for block in wanted):
                raise IntegrityFailure
        return found

    def live_mask(self, ordinals: Ordinals) -> npt.NDArray[np.bool_]:
        """Which ordinals are settled live rows, deltas aside."""
        mask = np.zeros(len(ordinals), dtype=np.bool_)
        if len(ordinals) <= FEW:
            listed = ordinals.tolist()
            known = self.entries({ordinal >> BLOCK_BITS for ordinal in listed})
            for place, ordinal in enumerate(listed):
                entry = known.get(ordinal >> BLOCK_BITS)
                if entry is not None:
                    low = ordinal & LOW_MASK
                    mask[place] = entry.bitmap[low >> 3] >> (low & 7) & 1
            return mask
        blocks = ordinals >> BLOCK_BITS
        entries = self.entries(np.unique(blocks).tolist())
        if not entries:
            return mask
        there = np.array(sorted(entries), dtype=np.int64)
        bitmaps = np.stack([entries[block].bitmap for block in there.tolist()])
        places = np.minimum(np.searchsorted(there, blocks), len(there) - 1)
        lows = ordinals & LOW_MASK
        bits = (bitmaps[places, lows >> 3] >> (lows & 7).astype(np.uint8)) & 1
        hit: npt.NDArray[np.bool_] = (there[places] == blocks) & bits.astype(np.bool_)
        return hit

    def live_ordinals(self) -> Ordinals:
        """Every settled live row, deltas aside, ascending."""
        if self._live is None:
            entries = self.entries(self.blocks())
            parts = [
                (block << BLOCK_BITS)
                + np.flatnonzero(np.unpackbits(entries[block].bitmap, bitorder="little"))
                for block in sorted(entries)
            ]
            self._live = (
                np.concatenate(parts).astype(np.int64) if parts else np.empty(0, dtype=np.int64)
            )
        return self._live

    def sealer(self, entry: LivenessEntry) -> PackSealer:
        """The cipher of one block's pack."""
        return PackSealer(self._keys.packs, entry.salt, self._keys.aad("pack"))

    def forget_columns(self) -> None:
        """Free what is cached of packs."""
        self._columns = ByteCache(COLUMN_CACHE_BYTES)

    def pack_rows(self, entry: LivenessEntry) -> int:
        """How many rows a block's pack holds, those included that are no longer live."""
        slots, _ = self._load([entry], ())
        return len(slots[entry.salt])

    def read(self, ordinals: Ordinals, columns: Sequence[tuple[int, ColumnType]]) -> list[Chunked]:
        """Values of settled rows, one chunked array per column, in the order of ``ordinals``.

        Args:
            ordinals: ascending settled ordinals; one that is not in its pack is an integrity failure.
            columns: (column id, type).
        """
        blocks, starts = np.unique(ordinals >> BLOCK_BITS, return_index=True)
        bounds = [*starts.tolist(), len(ordinals)]
        entries = self.entries(blocks.tolist())
        if len(entries) != len(blocks):
            raise IntegrityFailure
        slots, arrays = self._load([entries[block] for block in blocks.tolist()], columns)
        chunks: list[list[Array]] = [[] for _ in columns]
        for number, block in enumerate(blocks.tolist()):
            salt = entries[block].salt
            low = (ordinals[bounds[number] : bounds[number + 1]] & LOW_MASK).astype(np.uint16)
            present = slots[salt]
            places = np.searchsorted(present, low)
            if len(low) > len(present) or not np.array_equal(
                present[np.minimum(places, len(present) - 1)], low
            ):
                raise IntegrityFailure
            take = None if len(low) == len(present) else places
            for position, (column_id, _) in enumerate(columns):
                array = arrays[salt, column_id]
                if len(array) != len(present):
                    raise IntegrityFailure
                chunks[position].append(array if take is None else pick(array, take))
        return [
            chunked(parts, kind.arrow) for parts, (_, kind) in zip(chunks, columns, strict=True)
        ]

    def _load(
        self, entries: Sequence[LivenessEntry], columns: Sequence[tuple[int, ColumnType]]
    ) -> tuple[dict[bytes, npt.NDArray[np.uint16]], dict[tuple[bytes, int], Array]]:
        """Slots by salt, and arrays by (salt, column): from the cache, the rest in one request."""
        slots: dict[bytes, npt.NDArray[np.uint16]] = {}
        arrays: dict[tuple[bytes, int], Array] = {}
        if len({entry.pack for entry in entries}) != len({entry.salt for entry in entries}):
            raise IntegrityFailure  # Two packs of one number could not both be asked for.
        wanted: dict[int, tuple[LivenessEntry, int, ColumnType | None]] = {}
        for entry in entries:
            present = self._slots.get(entry.salt)
            if present is None:
                address = pack_address(entry.pack, DIRECTORY_COLUMN)
                wanted[address] = (entry, DIRECTORY_COLUMN, None)
            else:
                slots[entry.salt] = present
            for column_id, kind in columns:
                array = self._columns.get((entry.salt, column_id))
                if array is None:
                    wanted[pack_address(entry.pack, column_id)] = (entry, column_id, kind)
                else:
                    arrays[entry.salt, column_id] = array
        if not wanted:
            return slots, arrays
        sealers: dict[int, PackSealer] = {}
        for address, blob in self._channel.packs(self._table, sorted(wanted)):
            entry, column_id, column_type = wanted[address]
            sealer = sealers.get(entry.pack)
            if sealer is None:
                sealer = sealers[entry.pack] = self.sealer(entry)
            plain = sealer.open(entry.pack, column_id, blob)
            if column_type is None:
                present = decode_directory(plain)
                slots[entry.salt] = present
                self._slots.put(entry.salt, present, len(plain))
            else:
                array = decode_column(plain, column_type)
                arrays[entry.salt, column_id] = array
                self._columns.put((entry.salt, column_id), array, len(plain))
        return slots, arrays
