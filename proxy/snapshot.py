"""What this proxy has verified of the store, and what it checks before it believes anything new.

A statement reads one store snapshot. Before it asks anything, the proxy fetches whatever manifests and
deltas it has not seen, whichever they are, so that freshness costs nothing in leakage. The catalog is a
chain of its own; :mod:`.state` has the checks of one table.
"""

from __future__ import annotations

from collections.abc import Iterable

from encdb import wire
from encdb.errors import EncdbError, OperationalError, TamperError, err
from encdb.stores.base import StoreSnapshot
from indexes.errors import IntegrityFailure
from indexes.keys import Key
from indexes.multimap.delta import DeltaBody
from indexes.seal import pad, unpad

from . import catalog as schema
from .checkpoint import seal as seal_checkpoint
from .integrity import rolled_back, tampered
from .keyspace import ZERO_HASH, CatalogSealer, DatabaseKeys, sha256
from .leases import Used
from .pin import PinState
from .reading import Channel
from .state import TableState


class DatabaseState:
    """The verified catalog and the state of every table that a statement has touched."""

    def __init__(
        self, root: Key, database: bytes, genesis: bytes | None, pin: PinState | None
    ) -> None:
        self._root = root
        self.own_writers: set[bytes] = set()
        """Identities under which this connection writes."""
        self._genesis = genesis
        self._failure: EncdbError | None = None
        self._expecting = False
        self._expected_version, self._expected_link = -1, b""
        self._refused: set[bytes] = set()
        self.channel = Channel()
        self.database = database
        self._pin = pin
        self._catalogs = CatalogSealer(root, database)
        self.catalog: schema.Catalog | None = None
        self.catalog_hash = ZERO_HASH
        self._catalog_links: dict[int, bytes] = {}
        self.keys: DatabaseKeys | None = None
        self.tables: dict[int, TableState] = {}

    @property
    def sound(self) -> bool:
        """Whether everything here is verified; False for good once an answer did not verify."""
        return self._failure is None

    def require_sound(self) -> None:
        """Raise the failure that left this state half-applied, if there was one."""
        if self._failure is not None:
            raise self._failure

    def used(self, table_id: int) -> Used:
        """The numbers of a table that are taken, as far as this state shows."""
        state = self.tables.get(table_id)
        if state is None:
            return Used()
        manifest = state.manifest
        return Used(state.used_ordinals, manifest.used_numbers, manifest.folded)

    def read(self, snapshot: StoreSnapshot) -> None:
        """Bring the catalog and every open table up to this store snapshot."""
        self.require_sound()
        if_changed = self.catalog is not None and not self._expecting
        heads = self._ask(snapshot, if_changed=if_changed)
        if not (heads.unchanged and if_changed):
            self._apply(heads)
        self._expecting = False

    def committed(self, commit: wire.Commit, answer: object) -> bool:
        """Take note of the answer to a commit; False when the store refused it.

        What it acknowledged it has to serve from now on, and what it refused it may never serve.
        """
        if isinstance(answer, wire.Committed):
            self._expect(commit)
            return True
        if not isinstance(answer, wire.Stale | wire.Conflict):
            raise tampered("the store's answer to a commit is malformed")
        if commit.catalog is not None:
            self._refused.add(commit.catalog.link)
        for change in commit.changes:
            if change.swap is not None and change.table in self.tables:
                self.tables[change.table].refused.add(change.swap.link)
        return False

    def _expect(self, commit: wire.Commit) -> None:
        self._expecting = True
        if commit.catalog is not None:
            self._expected_version = commit.catalog.version
            self._expected_link = commit.catalog.link
        for change in commit.changes:
            if change.table in self.tables:
                self.tables[change.table].expect(change)

    def ensure(self, tables: Iterable[schema.Table]) -> None:
        """Open the tables that are not open yet, at the snapshot of the running statement.

        Plans and changes of this snapshot rest on what it showed before, so it may show nothing newer.
        """
        self.require_sound()
        missing = [table for table in tables if table.id not in self.tables]
        if missing:
            before = self._versions()
            for table in missing:
                self._open_table(table)
            snapshot = self.channel.snapshot
            assert snapshot is not None
            try:
                self._apply(self._ask(snapshot, if_changed=False))
                self._require_unmoved(before)
            except BaseException:
                for table in missing:
                    self.tables.pop(table.id, None)
                raise

    def _versions(self) -> dict[int, int]:
        """What the catalog (-1) and every open table stand on."""
        catalog = self.catalog.version if self.catalog is not None else -1
        return {-1: catalog} | {table_id: one.version for table_id, one in self.tables.items()}

    def _require_unmoved(self, before: dict[int, int]) -> None:
        """Fail unless everything that was open before is as it was."""
        now = self._versions()
        if now | before != now:
            self._failure = tampered("the store changed its answers within one snapshot")
            raise self._failure

    def _ask(self, snapshot: StoreSnapshot, *, if_changed: bool) -> wire.Heads:
        known = self.catalog.version if self.catalog is not None else -1
        cursors = tuple(state.cursor() for state in self.tables.values())
        answer = snapshot.read(
            wire.ReadHeads(catalog_version=known, cursors=cursors, if_changed=if_changed)
        )
        return wire.verified(answer, wire.Heads)

    def _apply(self, heads: wire.Heads) -> None:
        """Verify and take over; after a failure nothing is answered from the half-applied state."""
        try:
            self._verify(heads)
        except TamperError as failure:
            self._failure = failure
            raise
        except (EncdbError, MemoryError, KeyboardInterrupt):
            self._failure = err(
                OperationalError,
                "E_INTERRUPTED",
                "reading the state of the store was interrupted",
                "Connect again",
            )
            raise
        except Exception:  # noqa: BLE001 - whatever step a malformed answer made stumble, it failed
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
        named = [sibling for body in bodies for sibling in body.siblings]
        named += [sibling for state in self.tables.values() for sibling in state.manifest.siblings]
        reach: dict[int, dict[bytes, tuple[int, bytes]]] = {}
        for table_id, writer, number, epoch in named:
            other = self.tables.get(table_id)
            if other is None:
                continue
            if table_id not in reach:
                reach[table_id] = other.frontier()
            known = reach[table_id].get(writer)
            if number == 0:
                there = other.epoch >= epoch
            elif known is None:
                there = other.manifest.forgotten > epoch
            else:
                there = known[0] >= number
            if not there:
                raise tampered(f'half of a transaction is missing from table "{other.table.name}"')

    def _open_table(self, table: schema.Table) -> None:
        assert self.keys is not None
        pinned = self._pin.tables.get(table.id) if self._pin else None
        keys = self.keys.table(table.id)
        self.tables[table.id] = TableState(table, keys, pinned, self.channel, self.own_writers)

    def catalog_link(self, version: int) -> bytes:
        """SHA-256 of the sealed catalog of one version of this history."""
        try:
            return self._catalog_links[version]
        except KeyError:
            raise tampered("the store cites a catalog version that it does not serve") from None

    def _apply_catalog(self, heads: wire.Heads) -> None:
        known = self.catalog.version if self.catalog is not None else -1
        pinned = self._pin
        floor = max(known, self._expected_version, pinned.catalog_version if pinned else 0)
        if heads.catalog_version < floor:
            raise rolled_back("the store serves an older catalog than this client has seen")
        if heads.catalog_version == known:
            return
        if heads.catalog is None or len(heads.catalog_links) != heads.catalog_version - known:
            raise IntegrityFailure
        links = dict(self._catalog_links)
        links.update(enumerate(heads.catalog_links, start=known + 1))
        self._check_own(links, known)
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

    def _check_own(self, links: dict[int, bytes], known: int) -> None:
        """Schema changes of this client are there if they were acknowledged, and only then."""
        if not self._refused.isdisjoint(links.values()):
            raise tampered("the store serves a schema change of this client that it had refused")
        if known < self._expected_version and links[self._expected_version] != self._expected_link:
            raise rolled_back("the store lost a schema change that it had acknowledged")

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

    def checkpoint(self) -> str:
        """Everything seen so far, as a checkpoint for another client."""
        return seal_checkpoint(self.pin(), self._root, self.database)


def catalog_chain(links: dict[int, bytes], version: int) -> bytes:
    """SHA-256 chain over the links of versions 0 … ``version``."""
    chain = ZERO_HASH
    for number in range(version + 1):
        chain = sha256(chain, links[number])
    return chain


def seal_catalog(sealer: CatalogSealer, catalog: schema.Catalog) -> bytes:
    """Encode, pad and seal one catalog version."""
    return sealer.seal(catalog.version, pad(schema.encode(catalog)))
