"""The verified state of one table, and every check that a new answer of the store must pass.

A manifest must continue the chain this client knows. Deltas must be gapless and hash-linked per writer,
cite an epoch and a chain value of this history, and find everything they cite. What this client has
seen, pinned, or had acknowledged must still be there; what it was refused must not appear; no ordinal may
be given out twice, and no row removed twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from encdb import wire
from indexes.errors import IntegrityFailure
from indexes.multimap.delta import DeltaBody, decode_delta

from . import catalog as schema
from .arrow import Array
from .integrity import rolled_back, tampered
from .keyspace import ZERO_HASH, TableKeys, sha256
from .manifest import (
    IDLE_DAYS,
    FoldedWriter,
    Manifest,
    Totals,
    add_totals,
    next_chain,
    open_manifest,
    today,
)
from .pin import TablePin
from .reading import TERM_CACHE_BYTES, ByteCache, Channel
from .recent import RecentIndex
from .segments import SegmentReaders
from .settled import SettledRows
from .statistics.stored import StoredStatistics

Floor = tuple[int, dict[bytes, tuple[int, bytes]], int]
"""Epoch and pending ends that a new state may not fall behind, and the day they were verified."""


@dataclass(frozen=True, slots=True)
class PendingDelta:
    """One verified delta that no merge has folded yet."""

    writer: bytes
    number: int
    hash: bytes
    body: DeltaBody
    size: int


NO_DELTA = FoldedWriter(0, ZERO_HASH, 0, 0)
NO_ORDINALS = np.empty(0, dtype=np.int64)


class TableState:
    """The verified state of one table at one store snapshot."""

    def __init__(
        self,
        table: schema.Table,
        keys: TableKeys,
        pin: TablePin | None,
        channel: Channel,
        own_writers: set[bytes],
    ) -> None:
        self.table = table
        self.keys = keys
        self.channel = channel
        self.manifest = Manifest(epoch=0, previous=ZERO_HASH)
        self.chain = keys.genesis_chain
        self.loaded = False
        self.pending: dict[bytes, list[PendingDelta]] = {}
        self.pending_bytes = 0
        """Bytes of all pending deltas."""
        self.recent: dict[int, bytes] = {}
        """Live rows of pending deltas: ordinal to the transaction attempt that wrote it."""
        self.removed: set[int] = set()
        """Settled rows that pending deltas have removed."""
        self.given: set[int] = set()
        """Every ordinal that a pending delta has added, whether it is still live or not."""
        self._top = 0
        self.refused: set[bytes] = set()
        """Links of merges that the store said it had refused."""
        self.recent_index = RecentIndex()
        self.settled = SettledRows(table.id, keys, channel)
        self.segments = SegmentReaders(table.id, keys, channel)
        self.statistics = StoredStatistics(table.id, keys, channel)
        self.terms: ByteCache[Array] = ByteCache(TERM_CACHE_BYTES)
        """Terms of dictionary segments that were read whole, by the segment's salt."""
        self.bodies: dict[int, bytes] = {}
        """Opened bodies of pending rows; they are immutable, so they stay right while they stay live."""
        self.version = 0
        """Grows with every change of this state; caches of derived values compare it."""
        self._pin = pin
        self._day = today()
        self._forgotten: dict[bytes, int] = {}
        self._own_writers = own_writers
        self._expected: dict[bytes, tuple[int, bytes]] = {}
        self._expected_chain: tuple[int, bytes] | None = None
        self._chains: dict[int, bytes] = {0: keys.genesis_chain}
        """Chain values of the epochs that this client can vouch for."""

    @property
    def epoch(self) -> int:
        """Epoch of the manifest this state stands on."""
        return self.manifest.epoch

    @property
    def used_ordinals(self) -> int:
        """Every ordinal that a row has, or had, is below."""
        return max(self.manifest.used_ordinals, self._top)

    @property
    def pending_count(self) -> int:
        """Number of pending deltas."""
        return sum(len(chain) for chain in self.pending.values())

    @property
    def live_rows(self) -> int:
        """Number of live rows, from the manifest and the deltas alone."""
        return self.manifest.rows - len(self.removed) + len(self.recent)

    def cursor(self) -> wire.TableCursor:
        """What this state already holds, for the store to send only the rest."""
        if not self.loaded:
            start = self._pin.epoch if self._pin else 0
            return wire.TableCursor(table=self.table.id, epoch=-1, chain=start, frontier=())
        ends = tuple((writer, chain[-1].number) for writer, chain in self.pending.items() if chain)
        return wire.TableCursor(
            table=self.table.id, epoch=self.epoch, chain=self.epoch, frontier=ends
        )

    def frontier(self) -> dict[bytes, tuple[int, bytes]]:
        """Last delta known of every writer: number and hash."""
        ends = {writer: (end.number, end.hash) for writer, end in self.manifest.frontier.items()}
        for writer, chain in self.pending.items():
            if chain:
                ends[writer] = (chain[-1].number, chain[-1].hash)
        return ends

    def _pending_ends(self) -> dict[bytes, tuple[int, bytes]]:
        """Last pending delta of each writer; the manifest chain vouches for the folded ones."""
        return {
            writer: (chain[-1].number, chain[-1].hash)
            for writer, chain in self.pending.items()
            if chain
        }

    def pin(self) -> TablePin:
        """This state as a pin records it."""
        return TablePin(
            epoch=self.epoch,
            chain=self.chain,
            frontier=self._pending_ends(),
            folded={
                **self._forgotten,
                **{writer: end.number for writer, end in self.manifest.frontier.items()},
            },
            day=self._day,
        )

    def expect(self, change: wire.TableChange) -> None:
        """A change to this table was acknowledged: the next state served must contain it."""
        if change.delta is not None:
            self._expected[change.delta.writer] = (change.delta.n, sha256(change.delta.blob))
        if change.swap is not None:
            chain = next_chain(self.chain, change.swap.link)
            self._expected_chain = (change.swap.epoch, chain)

    def apply(
        self, heads: wire.TableHeads, catalog_hash: Callable[[int], bytes]
    ) -> list[DeltaBody]:
        """Verify what the store answered and stand on it; returns the bodies that are new.

        Raises:
            TamperError: a chain does not continue, a delta is missing, replaced or reordered, or the
                state is older than one this client has seen.
        """
        floor = self._floor()
        manifest_changed = self._apply_manifest(heads)
        fresh = self._apply_deltas(heads, catalog_hash)
        self._check_floor(floor)
        self._check_expected()
        self._check_indexes(fresh)
        if manifest_changed:
            self._rebuild()
        elif fresh:
            self._add(fresh)
        self.loaded = True
        self._day = today()
        if manifest_changed or fresh:
            self.version += 1
        return [delta.body for delta in fresh]

    def _floor(self) -> Floor | None:
        """The newest state known before: from memory, else from the pin."""
        if self.loaded:
            return self.epoch, self._pending_ends(), self._day
        if self._pin:
            return self._pin.epoch, dict(self._pin.frontier), self._pin.day
        return None

    def _apply_manifest(self, heads: wire.TableHeads) -> bool:
        if self.loaded and heads.epoch == self.epoch:
            return False
        known_epoch, known_chain = 0, self.keys.genesis_chain
        if self.loaded:
            known_epoch, known_chain = self.epoch, self.chain
        elif self._pin:
            known_epoch, known_chain = self._pin.epoch, self._pin.chain
        if heads.epoch < known_epoch:
            raise rolled_back(
                f'the store serves an older state of table "{self.table.name}" '
                f"(epoch {heads.epoch}) than this client has seen (epoch {known_epoch})"
            )
        if heads.epoch == 0:
            self.manifest = Manifest(epoch=0, previous=ZERO_HASH)
            self.chain = self.keys.genesis_chain
            return not self.loaded
        if heads.manifest is None or len(heads.links) != heads.epoch - known_epoch:
            raise IntegrityFailure
        if not self.refused.isdisjoint(heads.links):
            raise tampered("the store serves a change of this client that it had refused")
        manifest = open_manifest(self.keys.manifests, self.keys, heads.epoch, heads.manifest)
        chains = {known_epoch: known_chain}
        for epoch, one in enumerate(heads.links, start=known_epoch + 1):
            chains[epoch] = next_chain(chains[epoch - 1], one)
        link = sha256(heads.manifest)
        if chains[heads.epoch] != next_chain(manifest.previous, link) or (
            heads.links and heads.links[-1] != link
        ):
            raise tampered(
                f'the history of table "{self.table.name}" does not continue the one this client '
                "knows"
            )
        self._chains.update(chains)
        self.manifest, self.chain = manifest, chains[heads.epoch]
        self.settled.stand_on(manifest)
        self.segments.stand_on(manifest)
        self.statistics.stand_on(manifest)
        return True

    def _apply_deltas(
        self, heads: wire.TableHeads, catalog_hash: Callable[[int], bytes]
    ) -> list[PendingDelta]:
        chains: dict[bytes, list[PendingDelta]] = {}
        for writer, chain in self.pending.items():
            folded = self.manifest.frontier.get(writer)
            if folded is None and self.manifest.forgotten > chain[-1].body.epoch:
                continue  # Folded and forgotten, if the floor allows that.
            kept = [delta for delta in chain if folded is None or delta.number > folded.number]
            if folded is not None and len(kept) < len(chain):
                last = chain[len(chain) - len(kept) - 1]
                if last.number == folded.number and last.hash != folded.hash:
                    raise tampered("a merge folded another delta than the one this client saw")
            if kept:
                chains[writer] = kept
        fresh: list[PendingDelta] = []
        for blob in sorted(heads.deltas, key=lambda delta: (delta.writer, delta.n)):
            delta = self._open_delta(blob, chains.get(blob.writer, []), catalog_hash)
            chains.setdefault(blob.writer, []).append(delta)
            fresh.append(delta)
        ends = {writer: (last, count) for writer, last, count in heads.ends}
        if set(ends) != set(chains):
            raise tampered(f'deltas of table "{self.table.name}" are missing')
        for writer, chain in chains.items():
            if ends[writer] != (chain[-1].number, len(chain)):
                raise tampered(f'deltas of table "{self.table.name}" are missing')
        self.pending = chains
        reach = self.frontier()
        for delta in fresh:
            self._check_seen(delta, reach)
        return fresh

    def _open_delta(
        self,
        blob: wire.DeltaBlob,
        chain: Sequence[PendingDelta],
        catalog_hash: Callable[[int], bytes],
    ) -> PendingDelta:
        folded = self.manifest.frontier.get(blob.writer, NO_DELTA)
        before = (chain[-1].number, chain[-1].hash) if chain else (folded.number, folded.hash)
        plain = self.keys.deltas.open(blob.blob, self.keys.delta_aad(blob.writer, blob.n))
        body = decode_delta(plain)
        if blob.n != before[0] + 1 or body.prev != before[1]:
            raise tampered(f'the deltas of table "{self.table.name}" have a gap')
        if body.catalog_hash != catalog_hash(body.catalog_version):
            raise tampered("a delta was written under a catalog that is not in this history")
        delta = PendingDelta(blob.writer, blob.n, sha256(blob.blob), body, len(blob.blob))
        self._check_epoch(delta)
        own = delta.writer in self._own_writers
        if own and self._expected.get(delta.writer) != (delta.number, delta.hash):
            raise tampered("the store serves a change of this client that it had refused")
        return delta

    def _check_epoch(self, delta: PendingDelta) -> None:
        """A delta belongs to the epoch it cites, and to none before it."""
        body = delta.body
        if body.epoch > self.epoch:
            raise rolled_back(
                f'the store serves changes of table "{self.table.name}" without the merge they follow'
            )
        if self._chains.get(body.epoch, body.chain) != body.chain:
            raise tampered(f'a delta of table "{self.table.name}" belongs to another history')
        if body.epoch < self.manifest.folded - 1:
            raise tampered(f'a merge of table "{self.table.name}" was not shown all changes')
        if delta.writer not in self.manifest.frontier and body.epoch < self.manifest.forgotten:
            raise tampered(f'a delta of table "{self.table.name}" was folded long ago')

    def _check_seen(self, delta: PendingDelta, reach: dict[bytes, tuple[int, bytes]]) -> None:
        for writer, (number, seen_hash) in delta.body.seen.items():
            known = reach.get(writer)
            if known is None or known[0] < number:
                raise tampered(f'a delta of table "{self.table.name}" cites one that is withheld')
            if known[0] == number:
                same = known[1] == seen_hash
            else:
                same = all(
                    one.hash == seen_hash
                    for one in self.pending.get(writer, ())
                    if one.number == number
                )
            if not same:
                raise tampered(f'a delta of table "{self.table.name}" cites another history')

    def _check_floor(self, floor: Floor | None) -> None:
        if floor is None:
            return
        epoch, ends, day = floor
        idle = today() - day >= IDLE_DAYS and self.manifest.forgotten > epoch
        if not self.loaded:
            # The entries of a pin come from several clients, so each may be older than its epoch.
            idle = self.manifest.forgotten > 0
        reach = self.frontier()
        for writer, (number, seen_hash) in ends.items():
            known = reach.get(writer)
            if known is None and idle:
                # It was folded after ``epoch``, and its writer has been idle since.
                self._forgotten[writer] = number
                continue
            if known is None or known[0] < number:
                raise rolled_back(f'the store withholds changes of table "{self.table.name}"')
            if known[0] == number and known[1] != seen_hash:
                raise tampered(f'table "{self.table.name}" was replaced by another history')

    def _check_expected(self) -> None:
        """What the store has acknowledged to this client must be there."""
        for writer, (number, blob_hash) in self._expected.items():
            folded = self.manifest.frontier.get(writer, NO_DELTA)
            found = {one.number: one.hash for one in self.pending.get(writer, ())}
            found[folded.number] = folded.hash
            if folded.number <= number and found.get(number) != blob_hash:
                raise rolled_back(f'the store lost a change of table "{self.table.name}"')
        if self._expected_chain is not None:
            epoch, chain = self._expected_chain
            if self._chains.get(epoch) != chain:
                raise rolled_back(f'the store lost a merge of table "{self.table.name}"')
        self._expected.clear()
        self._expected_chain = None

    def _check_indexes(self, fresh: Sequence[PendingDelta]) -> None:
        """Every live index must cover all rows: those settled before it, and those pending."""
        for index in self.table.indexes:
            if index.complete > self.epoch:
                raise rolled_back(f'the store serves table "{self.table.name}" without an index')
            if any(delta.body.catalog_version < index.created for delta in fresh):
                raise tampered(f'a delta of "{self.table.name}" was written without an index')

    def _rebuild(self) -> None:
        self.recent, self.removed, self.given, self._top = {}, set(), set(), 0
        self.bodies = {}
        self.pending_bytes = 0
        for chain in self.pending.values():
            self._check_epoch(chain[0])
        self.recent_index = RecentIndex()
        self._add([delta for chain in self.pending.values() for delta in chain])

    def _add(self, deltas: Iterable[PendingDelta]) -> None:
        deltas = list(deltas)
        added = np.concatenate([NO_ORDINALS, *(delta.body.added for delta in deltas)])
        self._top = max(self._top, int(added.max(initial=-1)) + 1)
        if self.settled.live_mask(added).any():
            raise tampered(f'the store gave an ordinal of "{self.table.name}" out twice')
        self.pending_bytes += sum(delta.size for delta in deltas)
        for delta in deltas:
            for ordinal in delta.body.added.tolist():
                if ordinal in self.given or ordinal in self.removed:
                    raise tampered(f'the store gave an ordinal of "{self.table.name}" out twice')
                self.given.add(ordinal)
                self.recent[ordinal] = delta.body.txn
            self.recent_index.add(delta.body)
        settled: list[int] = []
        for delta in deltas:
            for ordinal in delta.body.removed.tolist():
                if self.recent.pop(ordinal, None) is None:
                    if ordinal in self.removed or ordinal in self.given:
                        raise tampered(f'a row of table "{self.table.name}" was removed twice')
                    self.removed.add(ordinal)
                    settled.append(ordinal)
        if not self.settled.live_mask(np.array(settled, dtype=np.int64)).all():
            raise tampered(f'a row of table "{self.table.name}" that does not exist was removed')

    def pending_totals(self) -> Totals:
        """Changes of keyword statistics that pending deltas carry."""
        totals: Totals = {}
        for chain in self.pending.values():
            for delta in chain:
                for index_id, (documents, tokens) in delta.body.stats.items():
                    add_totals(totals, index_id, documents, tokens)
        return totals
