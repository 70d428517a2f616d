"""Building what a merge or a bulk write publishes: packs, segments, and the manifest that names them.

Everything is sealed under keys that are fresh for this attempt and put into the store under an
unpublished stage, in pieces of at most 8 MiB. The commit that replaces the manifest publishes the stage;
an attempt that fails or dies is swept, never resumed, so no (key, nonce) pair repeats.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from encdb import wire
from encdb.stores.base import Store
from indexes.labels import BLOCK
from indexes.multimap.segment import BuiltSegment, SegmentInfo
from indexes.records import liveness
from indexes.records.liveness import LivenessEntry
from indexes.records.pack import (
    DIRECTORY_COLUMN,
    PackSealer,
    encode_column,
    encode_directory,
    pack_address,
)

from .arrow import Array
from .catalog import Table
from .keyspace import TableKeys, sha256
from .leases import Leases
from .manifest import (
    IDLE_DAYS,
    FoldedWriter,
    IndexStatistics,
    Manifest,
    Totals,
    add_totals,
    require_distinct,
    seal_manifest,
    today,
)
from .state import TableState
from .visible import Values, VisibleIndex

STAGE_BYTES = 8 << 20
SALT_BYTES = 32


class Staging:
    """One attempt to build something for one table.

    Args:
        store: where it is staged.
        table: the table's schema.
        keys: the table's keys.
        leases: gives out numbers.
        renew: called with every message to the store, to keep what the connection has claimed.
    """

    def __init__(
        self,
        store: Store,
        table: Table,
        keys: TableKeys,
        leases: Leases,
        renew: Callable[[], None] | None = None,
    ) -> None:
        self._renew = renew
        self._store = store
        self._table = table
        self._keys = keys
        self._leases = leases
        self.top = 0
        """Every number that this attempt has taken is below."""
        self.stage = self.number()
        self._pages: list[tuple[int, bytes]] = []
        self._packs: list[tuple[int, bytes]] = []
        self._visible: dict[tuple[int, wire.VisibleKind], list[tuple[int, bytes]]] = {}
        self._bytes = 0
        self.used = False

    def pack(
        self, block: int, low: npt.NDArray[np.uint16], columns: Sequence[Array]
    ) -> LivenessEntry:
        """Seal one block's rows, all of them live.

        Args:
            block: the block number.
            low: uint16[n] ascending, the low 12 bits of the ordinals.
            columns: one array of n values per column, in table order.
        """
        number, salt = self.number(), os.urandom(SALT_BYTES)
        sealer = PackSealer(self._keys.packs, salt, self._keys.aad("pack"))
        directory = sealer.seal(
            number, DIRECTORY_COLUMN, encode_directory(low, [one.id for one in self._table.columns])
        )
        self._put(self._packs, pack_address(number, DIRECTORY_COLUMN), directory)
        for column, values in zip(self._table.columns, columns, strict=True):
            blob = sealer.seal(number, column.id, encode_column(values, column.type))
            self._put(self._packs, pack_address(number, column.id), blob)
        return LivenessEntry(block, number, salt, bitmap_of(low))

    def segment(self, built: BuiltSegment) -> SegmentInfo:
        """Stage the pages of one segment."""
        base = built.info.segment << 32
        for number, blob in built.pages:
            self._put(self._pages, base | number, blob)
        return built.info

    def visible(self, scheme: VisibleIndex, labels: Sequence[int], values: Values) -> None:
        """Stage entries of a server-visible index.

        Args:
            scheme: of the index.
            labels: n labels.
            values: uint8[n, width].
        """
        width = values.shape[1]
        raw = np.ascontiguousarray(values).tobytes()
        pairs = self._visible.setdefault((scheme.index.id, scheme.kind), [])
        for place, label in enumerate(labels):
            pairs.append((label, raw[place * width : (place + 1) * width]))
            self._bytes += width
            if self._bytes >= STAGE_BYTES:
                self.flush()
                pairs = self._visible.setdefault((scheme.index.id, scheme.kind), [])

    def number(self) -> int:
        """A fresh number for a segment or pack."""
        number = self._leases.number()
        self.top = max(self.top, number + 1)
        return number

    def keep_alive(self) -> None:
        """Renew what the connection has claimed, in the midst of work that sends nothing."""
        if self._renew is not None:
            self._renew()

    def _put(self, target: list[tuple[int, bytes]], identity: int, blob: bytes) -> None:
        target.append((identity, blob))
        self._bytes += len(blob)
        if self._bytes >= STAGE_BYTES:
            self.flush()

    def flush(self) -> None:
        """Send what is built so far to the store."""
        if self._pages or self._packs or self._visible:
            self.keep_alive()
            self._store.stage(
                wire.Stage(
                    table=self._table.id,
                    stage=self.stage,
                    pages=tuple(self._pages),
                    packs=tuple(self._packs),
                    visible=tuple(
                        wire.VisibleBatch(index, kind, tuple(pairs))
                        for (index, kind), pairs in self._visible.items()
                    ),
                )
            )
            self.used = True
            self._pages, self._packs, self._visible, self._bytes = [], [], {}, 0


@dataclasses.dataclass(slots=True)
class ManifestChange:
    """How the next manifest differs from the one that a state stands on."""

    stagings: list[Staging] = dataclasses.field(default_factory=list)
    segments: list[SegmentInfo] = dataclasses.field(default_factory=list)
    retired_segments: set[int] = dataclasses.field(default_factory=set)
    retired_packs: set[int] = dataclasses.field(default_factory=set)
    liveness: dict[int, LivenessEntry] = dataclasses.field(default_factory=dict)
    """Changed entries by block."""
    rows: int = 0
    """Change in the number of settled live rows."""
    statistics: Totals = dataclasses.field(default_factory=dict)
    folded_keys: list[tuple[bytes, int]] = dataclasses.field(default_factory=list)
    """Claims of unique values whose rows settle."""
    folded: bool = False
    """Whether all pending deltas of the state are folded in."""
    analysis: SegmentInfo | None = None
    """Statistics that replace those there are."""


LIVENESS_SEGMENTS = 4
Siblings = Sequence[tuple[int, bytes, int, int]]


def build_swap(
    state: TableState,
    change: ManifestChange,
    staging: Staging,
    catalog: tuple[int, bytes],
    *,
    expect_frontier: bool,
    siblings: Siblings = (),
) -> wire.Swap:
    """Stage the liveness segment and seal the manifest that follows ``state``.

    Args:
        state: the verified state to follow.
        change: what differs.
        staging: where the liveness pages go; flushed here.
        catalog: version and hash of the catalog the manifest is written under.
        expect_frontier: refuse the swap when a delta has been committed since ``state``.
        siblings: what the same transaction writes to other tables.
    """
    keys, old = state.keys, state.manifest
    infos = list(old.liveness)
    retired = set(change.retired_segments)
    entries = dict(change.liveness)
    if entries:
        if len(infos) >= LIVENESS_SEGMENTS:
            kept = state.settled.entries(state.settled.blocks())
            entries = {**kept, **entries}
            entries = {block: one for block, one in entries.items() if one.bitmap.any()}
            retired.update(info.segment for info in infos)
            infos = []
        listed = [entries[block] for block in sorted(entries)]
        if listed:
            built = liveness.build(listed, keys.liveness, state.table.id, staging.number())
            infos.append(staging.segment(built))
    segments = [info for info in old.segments if info.segment not in retired]
    analysis = old.analysis
    if change.analysis is not None:
        retired.update([] if analysis is None else [analysis.segment])
        analysis = change.analysis
    frontier = folded_frontier(state) if change.folded else dict(old.frontier)
    manifest = Manifest(
        epoch=old.epoch + 1,
        previous=state.chain,
        catalog_version=catalog[0],
        catalog_hash=catalog[1],
        rows=old.rows + change.rows,
        frontier=frontier,
        forgotten=max(
            [old.forgotten]
            + [end.epoch for writer, end in old.frontier.items() if writer not in frontier]
        ),
        siblings=tuple(siblings),
        segments=(*segments, *change.segments),
        liveness=tuple(infos),
        analysis=analysis,
        statistics=_statistics(old, change),
        used_ordinals=max([state.used_ordinals, *map(top_ordinal, change.liveness.values())]),
        used_numbers=max([old.used_numbers, *(one.top for one in (*change.stagings, staging))]),
        folded=old.epoch + 1 if change.folded else old.folded,
    )
    require_distinct(manifest.every_segment)
    blob = seal_manifest(keys.manifests, keys, manifest)
    for one in (*change.stagings, staging):
        one.flush()
    published = {one.stage for one in (*change.stagings, staging) if one.used}
    return wire.Swap(
        epoch=manifest.epoch,
        manifest=blob,
        link=sha256(blob),
        published=tuple(published),
        frontier=_ends(state) if expect_frontier else None,
        folded_deltas=_folded_deltas(state) if change.folded else (),
        folded_rows=_folded_rows(state) if change.folded else (),
        folded_keys=tuple(change.folded_keys),
        folded_tombstones=_folded_tombstones(state) if change.folded else (),
        retired_segments=tuple(retired),
        retired_packs=tuple(change.retired_packs),
    )


def folded_frontier(state: TableState) -> dict[bytes, FoldedWriter]:
    """The frontier once all pending deltas are folded; writers idle for a day are dropped."""
    day = today()
    ends = {
        writer: end for writer, end in state.manifest.frontier.items() if day - end.day <= IDLE_DAYS
    }
    for writer, chain in state.pending.items():
        if chain:
            last = chain[-1]
            ends[writer] = FoldedWriter(last.number, last.hash, day, state.epoch + 1)
    return ends


def _statistics(old: Manifest, change: ManifestChange) -> dict[int, IndexStatistics]:
    totals: Totals = {}
    for index_id, known in old.statistics.items():
        add_totals(totals, index_id, known.documents, known.tokens)
    for index_id, (documents, tokens) in change.statistics.items():
        add_totals(totals, index_id, documents, tokens)
    return {
        index_id: IndexStatistics(documents, tuple(tokens))
        for index_id, (documents, tokens) in totals.items()
    }


def _ends(state: TableState) -> tuple[tuple[bytes, int], ...]:
    return tuple((writer, chain[-1].number) for writer, chain in state.pending.items() if chain)


def _folded_deltas(state: TableState) -> tuple[tuple[bytes, int], ...]:
    return tuple(
        (delta.writer, delta.number) for chain in state.pending.values() for delta in chain
    )


def _folded_rows(state: TableState) -> tuple[int, ...]:
    ordinals = np.fromiter(state.recent, dtype=np.int64)
    return tuple(state.keys.labels.to_labels(ordinals).tolist())


def _folded_tombstones(state: TableState) -> tuple[int, ...]:
    ordinals = np.fromiter(state.removed, dtype=np.int64)
    return tuple(state.keys.labels.to_labels(ordinals).tolist())


def top_ordinal(entry: LivenessEntry) -> int:
    """One more than the greatest live ordinal of a block; 0 when none is live."""
    low = np.flatnonzero(np.unpackbits(entry.bitmap, bitorder="little"))
    return entry.block * BLOCK + int(low[-1]) + 1 if len(low) else 0


def bitmap_of(low: npt.NDArray[np.uint16]) -> npt.NDArray[np.uint8]:
    """The 512-byte bitmap with these bits set."""
    bits = np.zeros(BLOCK, dtype=np.uint8)
    bits[low] = 1
    return np.packbits(bits, bitorder="little")


def bitmap_without(
    bitmap: npt.NDArray[np.uint8], low: npt.NDArray[np.int64]
) -> npt.NDArray[np.uint8]:
    """A copy of a block's bitmap with these bits cleared."""
    bits = np.unpackbits(bitmap, bitorder="little")
    bits[low] = 0
    return np.packbits(bits, bitorder="little")
