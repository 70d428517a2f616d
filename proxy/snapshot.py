"""What this proxy has verified of the store, and what it checks before it believes anything new.

A statement reads one store snapshot. Before it asks anything, the proxy fetches whatever manifests and
deltas it has not seen, whichever they are, so that freshness costs nothing in leakage. It accepts them
only when the catalog and manifest chains continue from what it knew (in memory or in its pin), when
every writer's deltas are gapless and hash-linked, and when everything that one delta cites is there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from encdb import wire
from encdb.errors import TamperError, err
from encdb.stores.base import StoreSnapshot
from indexes.errors import IntegrityFailure
from indexes.keys import Key
from indexes.multimap.delta import DeltaBody, decode_delta
from indexes.seal import pad, unpad

from . import catalog as schema
from .keyspace import ZERO_HASH, CatalogSealer, DatabaseKeys, TableKeys, sha256
from .manifest import FoldedWriter, Manifest, Totals, add_totals, next_chain, open_manifest
from .pin import PinState, TablePin
from .reading import Channel
from .recent import RecentIndex
from .segments import SegmentReaders
from .settled import SettledRows

Ordinals = npt.NDArray[np.int64]


def tampered(what: str, fix: str | None = None) -> TamperError:
    """The one error for anything the store served that does not verify."""
    return err(TamperError, "E_TAMPERED", what, fix)


def rolled_back(what: str) -> TamperError:
    """The error for a state older than one this client has seen."""
    return err(TamperError, "E_ROLLED_BACK", what)


@dataclass(frozen=True, slots=True)
class PendingDelta:
    """One verified delta that no merge has folded yet."""

    writer: bytes
    number: int
    hash: bytes
    body: DeltaBody
    size: int


class TableState:
    """The verified state of one table at one store snapshot."""

    def __init__(
        self, table: schema.Table, keys: TableKeys, pin: TablePin | None, channel: Channel
    ) -> None:
        self.table = table
        self.keys = keys
        self.channel = channel
        self.manifest = Manifest(epoch=0, previous=ZERO_HASH)
        self.chain = keys.genesis_chain
        self.loaded = False
        self.pending: dict[bytes, list[PendingDelta]] = {}
        self.recent: dict[int, bytes] = {}
        """Live rows of pending deltas: ordinal to the transaction attempt that wrote it."""
        self.removed: set[int] = set()
        """Settled rows that pending deltas have removed."""
        self.recent_index = RecentIndex()
        self.settled = SettledRows(table.id, keys, channel)
        self.segments = SegmentReaders(table.id, keys, channel)
        self.bodies: dict[int, bytes] = {}
        """Opened bodies of pending rows; they are immutable, so they stay right while they stay live."""
        self.version = 0
        """Grows with every change of this state; caches of derived values compare it."""
        self._pin = pin
        self._expected: dict[bytes, int] = {}
        self._expected_epoch = 0

    @property
    def epoch(self) -> int:
        """Epoch of the manifest this state stands on."""
        return self.manifest.epoch

    @property
    def pending_bytes(self) -> int:
        """Bytes of all pending deltas."""
        return sum(delta.size for chain in self.pending.values() for delta in chain)

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
        ends = {
            writer: (end.number, end.hash) for writer, end in self.manifest.frontier.items()
        }
        for writer, chain in self.pending.items():
            if chain:
                ends[writer] = (chain[-1].number, chain[-1].hash)
        return ends

    def pin(self) -> TablePin:
        """This state as a pin records it."""
        return TablePin(
            epoch=self.epoch,
            chain=self.chain,
            frontier={
                writer: (chain[-1].number, chain[-1].hash)
                for writer, chain in self.pending.items()
                if chain
            },
            folded={writer: end.number for writer, end in self.manifest.frontier.items()},
        )

    def expect(self, change: wire.TableChange) -> None:
        """A change to this table was acknowledged: the next state served must contain it."""
        if change.delta is not None:
            self._expected[change.delta.writer] = change.delta.n
        if change.swap is not None:
            self._expected_epoch = change.swap.epoch

    def apply(self, heads: wire.TableHeads, catalog_hash: Callable[[int], bytes]) -> list[DeltaBody]:
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
        if manifest_changed or fresh:
            self.version += 1
        return [delta.body for delta in fresh]

    def _floor(self) -> tuple[int, bytes, dict[bytes, tuple[int, bytes]]] | None:
        """The newest state known before: from memory, else from the pin."""
        if self.loaded:
            return self.epoch, self.chain, self.frontier()
        if self._pin:
            return self._pin.epoch, self._pin.chain, dict(self._pin.frontier)
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
        manifest = open_manifest(self.keys.manifests, self.keys, heads.epoch, heads.manifest)
        link = sha256(heads.manifest)
        chain = known_chain
        for one in heads.links[:-1]:
            chain = next_chain(chain, one)
        if heads.epoch > known_epoch:
            if heads.links[-1] != link or manifest.previous != chain:
                raise tampered(
                    f'the history of table "{self.table.name}" does not continue the one this '
                    "client knows"
                )
            chain = next_chain(chain, link)
        elif next_chain(manifest.previous, link) != known_chain:
            raise tampered(f'table "{self.table.name}" was replaced by another history')
        self.manifest, self.chain = manifest, chain
        self.settled.stand_on(manifest)
        self.segments.stand_on(manifest)
        return True

    def _apply_deltas(
        self, heads: wire.TableHeads, catalog_hash: Callable[[int], bytes]
    ) -> list[PendingDelta]:
        chains: dict[bytes, list[PendingDelta]] = {}
        for writer, chain in self.pending.items():
            folded = self.manifest.frontier.get(writer)
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
        folded = self.manifest.frontier.get(blob.writer, FoldedWriter(0, ZERO_HASH, 0))
        before = (chain[-1].number, chain[-1].hash) if chain else (folded.number, folded.hash)
        plain = self.keys.deltas.open(blob.blob, self.keys.delta_aad(blob.writer, blob.n))
        body = decode_delta(plain)
        if blob.n != before[0] + 1 or body.prev != before[1]:
            raise tampered(f'the deltas of table "{self.table.name}" have a gap')
        if body.catalog_hash != catalog_hash(body.catalog_version):
            raise tampered("a delta was written under a catalog that is not in this history")
        return PendingDelta(blob.writer, blob.n, sha256(blob.blob), body, len(blob.blob))

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

    def _check_floor(self, floor: tuple[int, bytes, dict[bytes, tuple[int, bytes]]] | None) -> None:
        if floor is None:
            return
        epoch, _, ends = floor
        reach = self.frontier()
        for writer, (number, seen_hash) in ends.items():
            known = reach.get(writer)
            if known is None:
                if self.epoch > epoch:
                    continue  # A merge may drop the end of a writer that has long been idle.
                raise rolled_back(f'the store withholds changes of table "{self.table.name}"')
            if known[0] < number:
                raise rolled_back(f'the store withholds changes of table "{self.table.name}"')
            if known[0] == number and known[1] != seen_hash:
                raise tampered(f'table "{self.table.name}" was replaced by another history')

    def _check_expected(self) -> None:
        """What the store has acknowledged to this client must be there."""
        reach = self.frontier()
        lost = any(
            reach.get(writer, (0, b""))[0] < number for writer, number in self._expected.items()
        )
        if lost or self.epoch < self._expected_epoch:
            raise rolled_back(f'the store lost a change of table "{self.table.name}"')
        self._expected.clear()

    def _check_indexes(self, fresh: Sequence[PendingDelta]) -> None:
        """Every live index must cover all rows: those settled before it, and those pending."""
        for index in self.table.indexes:
            if index.complete > self.epoch:
                raise rolled_back(f'the store serves table "{self.table.name}" without an index')
            if any(delta.body.catalog_version < index.created for delta in fresh):
                raise tampered(f'a delta of "{self.table.name}" was written without an index')

    def _rebuild(self) -> None:
        self.recent, self.removed = {}, set()
        self.bodies = {}
        self.recent_index = RecentIndex()
        self._add([delta for chain in self.pending.values() for delta in chain])

    def _add(self, deltas: Iterable[PendingDelta]) -> None:
        deltas = list(deltas)
        for delta in deltas:
            for ordinal in delta.body.added.tolist():
                if ordinal in self.recent:
                    raise tampered(f'the store gave an ordinal of "{self.table.name}" out twice')
                self.recent[ordinal] = delta.body.txn
            self.recent_index.add(delta.body)
        for delta in deltas:
            for ordinal in delta.body.removed.tolist():
                if self.recent.pop(ordinal, None) is None:
                    if ordinal in self.removed:
                        raise tampered(f'a row of table "{self.table.name}" was removed twice')
                    self.removed.add(ordinal)

    def pending_totals(self) -> Totals:
        """Changes of keyword statistics that pending deltas carry."""
        totals: Totals = {}
        for chain in self.pending.values():
            for delta in chain:
                for index_id, (documents, tokens) in delta.body.stats.items():
                    add_totals(totals, index_id, documents, tokens)
        return totals


class DatabaseState:
    """The verified catalog and the state of every table that a statement has touched."""

    def __init__(
        self, root: Key, database: bytes, genesis: bytes | None, pin: PinState | None
    ) -> None:
        self._root = root
        self._genesis = genesis
        self._failure: TamperError | None = None
        self._expecting = False
        self._expected_version = -1
        self.channel = Channel()
        self.database = database
        self._pin = pin
        self._catalogs = CatalogSealer(root, database)
        self.catalog: schema.Catalog | None = None
        self.catalog_hash = ZERO_HASH
        self._catalog_links: dict[int, bytes] = {}
        self.keys: DatabaseKeys | None = None
        self.tables: dict[int, TableState] = {}

    def read(self, snapshot: StoreSnapshot) -> None:
        """Bring the catalog and every open table up to this store snapshot."""
        if self._failure is not None:
            raise self._failure
        if_changed = self.catalog is not None and not self._expecting
        heads = self._ask(snapshot, if_changed=if_changed)
        if not (heads.unchanged and if_changed):
            self._apply(heads)
        self._expecting = False

    def expect(self, commit: wire.Commit) -> None:
        """A commit was acknowledged: a store that does not serve it from now on has lost it."""
        self._expecting = True
        if commit.catalog is not None:
            self._expected_version = commit.catalog.version
        for change in commit.changes:
            if change.table in self.tables:
                self.tables[change.table].expect(change)

    def ensure(self, tables: Iterable[schema.Table]) -> None:
        """Open the tables that are not open yet, at the snapshot of the running statement."""
        missing = [table for table in tables if table.id not in self.tables]
        if missing:
            for table in missing:
                self._open_table(table)
            snapshot = self.channel.snapshot
            assert snapshot is not None
            try:
                self._apply(self._ask(snapshot, if_changed=False))
            except BaseException:
                for table in missing:
                    self.tables.pop(table.id, None)
                raise

    def _ask(self, snapshot: StoreSnapshot, *, if_changed: bool) -> wire.Heads:
        known = self.catalog.version if self.catalog is not None else -1
        cursors = tuple(state.cursor() for state in self.tables.values())
        answer = snapshot.read(
            wire.ReadHeads(catalog_version=known, cursors=cursors, if_changed=if_changed)
        )
        if not isinstance(answer, wire.Heads):
            raise IntegrityFailure
        return answer

    def _apply(self, heads: wire.Heads) -> None:
        """Verify and take over; after a failure nothing is answered from the half-applied state."""
        try:
            self._verify(heads)
        except TamperError as failure:
            self._failure = failure
            raise
        except IntegrityFailure:
            self._failure = tampered("what the store served does not verify")
            raise self._failure from None

    def _verify(self, heads: wire.Heads) -> None:
        if heads.database != self.database:
            raise tampered("the store now answers for another database")
        if heads.format != wire.FORMAT_VERSION:
            raise IntegrityFailure
        self._apply_catalog(heads)
        assert self.catalog is not None
        for table_id in [t for t in self.tables if self.catalog.table_by_id(t) is None]:
            del self.tables[table_id]
        answered = {one.table: one for one in heads.tables}
        opened = any(not state.loaded for state in self.tables.values())
        fresh: list[DeltaBody] = []
        for table_id, state in self.tables.items():
            if table_id not in answered:
                raise tampered(f'the store has lost table "{state.table.name}"')
            table = self.catalog.table_by_id(table_id)
            assert table is not None
            state.table = table
            bodies = state.apply(answered[table_id], self.catalog_link)
            manifest = state.manifest
            if manifest.epoch and manifest.catalog_hash != self.catalog_link(
                manifest.catalog_version
            ):
                raise tampered("a manifest was written under a catalog of another history")
            for body in bodies:
                if self.keys is None or body.incarnation != self.keys.incarnation:
                    raise tampered("a delta belongs to another incarnation of the database")
                fresh.append(body)
        if opened:
            # Deltas known before may name changes of a table that is seen for the first time.
            states = self.tables.values()
            chains = [chain for state in states for chain in state.pending.values()]
            fresh = [delta.body for chain in chains for delta in chain]
        self._check_siblings(fresh)

    def _check_siblings(self, bodies: Iterable[DeltaBody]) -> None:
        """Every half of a transaction is there, now that all tables stand on one snapshot."""
        reach: dict[int, dict[bytes, tuple[int, bytes]]] = {}
        for body in bodies:
            for table_id, writer, number in body.siblings:
                other = self.tables.get(table_id)
                if other is None:
                    continue
                if table_id not in reach:
                    reach[table_id] = other.frontier()
                known = reach[table_id].get(writer)
                if known is None and other.manifest.forgot_writers:
                    continue  # It was folded long ago, and its writer has been idle since.
                if known is None or known[0] < number:
                    raise tampered(
                        f'half of a transaction is missing from table "{other.table.name}"'
                    )

    def _open_table(self, table: schema.Table) -> None:
        assert self.keys is not None
        pinned = self._pin.tables.get(table.id) if self._pin else None
        keys = self.keys.table(table.id)
        self.tables[table.id] = TableState(table, keys, pinned, self.channel)

    def catalog_link(self, version: int) -> bytes:
        """SHA-256 of the sealed catalog of one version of this history."""
        try:
            return self._catalog_links[version]
        except KeyError:
            raise tampered("the store cites a catalog version that it does not serve") from None

    def _apply_catalog(self, heads: wire.Heads) -> None:
        known = self.catalog.version if self.catalog is not None else -1
        pinned = self._pin
        floor = max(known, self._expected_version, pinned.catalog_version if pinned else known)
        if heads.catalog_version < floor:
            raise rolled_back("the store serves an older catalog than this client has seen")
        if heads.catalog_version == known:
            return
        if heads.catalog is None or len(heads.catalog_links) != heads.catalog_version - known:
            raise IntegrityFailure
        links = dict(self._catalog_links)
        links.update(enumerate(heads.catalog_links, start=known + 1))
        if links[heads.catalog_version] != sha256(heads.catalog):
            raise IntegrityFailure
        body = unpad(self._catalogs.open(heads.catalog_version, heads.catalog))
        catalog = schema.decode(body)
        if catalog.version != heads.catalog_version:
            raise IntegrityFailure
        expected = catalog_chain(links, heads.catalog_version - 1)
        if catalog.version > 0 and catalog.previous != expected:
            raise tampered("the catalog does not continue the history this client knows")
        if self._genesis is not None and links[0] != self._genesis:
            raise tampered("the store's first catalog is not the one this keyring was made for")
        if pinned and catalog_chain(links, pinned.catalog_version) != pinned.catalog_hash:
            raise tampered("the catalog was replaced by another history")
        if pinned and pinned.incarnation != catalog.incarnation:
            raise rolled_back("the store is another incarnation (a restored copy) of the database")
        if self.catalog is not None and catalog.incarnation != self.catalog.incarnation:
            raise rolled_back("the store was replaced by another incarnation of the database")
        self._catalog_links = links
        self.catalog = catalog
        self.catalog_hash = links[catalog.version]
        if self.keys is None:
            self.keys = DatabaseKeys(self._root, self.database, catalog.incarnation)

    def catalog_chain(self) -> bytes:
        """The chain value that the next catalog version must name as its previous."""
        assert self.catalog is not None
        return catalog_chain(self._catalog_links, self.catalog.version)

    def seal_catalog(self, catalog: schema.Catalog) -> bytes:
        """One sealed catalog version."""
        return seal_catalog(self._catalogs, catalog)

    def pin(self) -> PinState:
        """Everything seen so far, as a pin records it."""
        assert self.catalog is not None
        live = {table.id for table in self.catalog.tables}
        known = set(self._pin.tables) if self._pin else set()
        return PinState(
            incarnation=self.catalog.incarnation,
            catalog_version=self.catalog.version,
            catalog_hash=self.catalog_chain(),
            tables={number: state.pin() for number, state in self.tables.items()},
            dropped=frozenset(known - live),
        )


def catalog_chain(links: dict[int, bytes], version: int) -> bytes:
    """SHA-256 chain over the links of versions 0 … ``version``."""
    chain = ZERO_HASH
    for number in range(version + 1):
        chain = sha256(chain, links[number])
    return chain


def seal_catalog(sealer: CatalogSealer, catalog: schema.Catalog) -> bytes:
    """Encode, pad and seal one catalog version."""
    return sealer.seal(catalog.version, pad(schema.encode(catalog)))
