"""A transaction: its changes wait here, its own statements see them, and one Commit carries them out.

Small changes travel as rows and one delta per table; large ones as packs and segments that a manifest
swap publishes. Before a commit is sent again after ``Stale`` or ``Conflict``, the proxy reads the
store's new state, verifies it, and checks that every row it removes is still live and that every unique
value it adds is still free; otherwise another transaction came first and this one reports 40001.
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from functools import partial

import numpy as np

from encdb import wire
from encdb.errors import ConflictError, err
from encdb.stores.base import Store
from indexes.multimap import merge
from indexes.multimap.batches import Shape, SortedEntries
from indexes.multimap.delta import DeltaBody, encode_delta
from indexes.multimap.postings import PostingBatch
from indexes.multimap.segment import is_dictionary
from indexes.records.row import row_aad
from indexes.seal import pad

from . import compaction
from .arrow import one_batch, reorder_batch
from .bulk import BulkLoad
from .catalog import Catalog, Index
from .claims import PATIENCE_SECONDS, Claims, Pauses, commit_patiently, require_free
from .execute.view import TableView, as_array, layout_of
from .execute.write import claimed_elsewhere
from .integrity import tampered
from .keyspace import ZERO_HASH, scheme_of
from .leases import Leases, Used
from .manifest import IDLE_DAYS, today
from .overlay import TableOverlay
from .snapshot import DatabaseState
from .staging import ManifestChange, Siblings, Staging, build_swap
from .state import TableState
from .visible import KINDS, Values, visible_indexes

COMMIT_ATTEMPTS = 16
ATTEMPTS_BEFORE_HOLDING = 2
"""A large change that lost so many races asks other writers to wait while it tries again."""
BULK_ROWS = 1_024
BULK_POSTINGS = 32 << 10
DELTA_BYTES = 256 << 10


class Writer:
    """The identity under which one connection numbers its deltas: 16 random bytes."""

    def __init__(self, store: Store, own_writers: set[bytes], used: Callable[[int], Used]) -> None:
        self._own = own_writers
        self._used = used
        self.claims = Claims(store)
        self.identity = os.urandom(16)
        own_writers.add(self.identity)
        self._store = store
        self._leases: dict[int, Leases] = {}
        self._cited: dict[int, dict[bytes, int]] = {}

    def leases(self, table: int) -> Leases:
        """Ordinals and numbers leased for one table."""
        if table not in self._leases:
            self._leases[table] = Leases(self._store, table, partial(self._used, table))
        return self._leases[table]

    def end(self, state: TableState) -> tuple[int, bytes]:
        """Number and hash of this writer's last delta of a table.

        A writer whose end was dropped from the frontier would number its deltas from 1 again, and an
        old delta could stand for a new one of that number; it takes a new identity instead. So does one
        whose end was folded a day ago or more: a merge may be about to drop it, and the store forgets it
        after a week whether the frontier names it or not.
        """
        table = state.table.id
        known = state.frontier().get(self.identity)
        folded = state.manifest.frontier.get(self.identity)
        idle = not state.pending.get(self.identity)
        if known is None and table in self._cited:
            self._renew()
        elif idle and folded is not None and today() - folded.day >= IDLE_DAYS:
            self._renew()
            known = None
        return known or (0, ZERO_HASH)

    def _renew(self) -> None:
        self.identity = os.urandom(16)
        self._own.add(self.identity)
        self._cited.clear()

    def retire(self) -> None:
        """Go on under a new identity, because the outcome of a commit under this one is unknown."""
        self._own.discard(self.identity)
        self._renew()

    def citations(self, state: TableState) -> dict[bytes, tuple[int, bytes]]:
        """Pending deltas of other writers that this writer has not cited yet."""
        cited = self._cited.get(state.table.id, {})
        return {
            writer: (chain[-1].number, chain[-1].hash)
            for writer, chain in state.pending.items()
            if chain and writer != self.identity and cited.get(writer, 0) < chain[-1].number
        }

    def committed(self, table: int, cited: dict[bytes, tuple[int, bytes]]) -> None:
        """Remember what a committed delta has cited."""
        known = self._cited.setdefault(table, {})
        known.update({writer: number for writer, (number, _) in cited.items()})


class Transaction:
    """Changes to any number of tables, until they are committed or forgotten.

    Args:
        store: where the commit goes.
        database: the verified state that statements of this transaction read.
        writer: the connection's writer.
        snapshot: opens a store snapshot, reads and verifies it; used before a commit is repeated.
    """

    def __init__(
        self,
        store: Store,
        database: DatabaseState,
        writer: Writer,
        snapshot: Callable[[], AbstractContextManager[object]],
    ) -> None:
        self.started = dt.datetime.now(dt.UTC)
        self._store = store
        self._database = database
        self._writer = writer
        self._snapshot = snapshot
        self._overlays: dict[int, TableOverlay] = {}
        self._schemas: dict[int, object] = {}
        self._epochs: dict[int, int] = {}
        self._loads: dict[int, BulkLoad] = {}
        self._savepoints: list[tuple[str, dict[int, tuple[int, int]]]] = []

    @property
    def empty(self) -> bool:
        """Whether there is nothing to commit."""
        return all(one.empty for one in self._overlays.values()) and not self._loads

    @property
    def tables(self) -> set[int]:
        """Ids of the tables that this transaction changes."""
        return set(self._overlays)

    def overlay(self, state: TableState) -> TableOverlay:
        """This transaction's changes to one table."""
        table = state.table.id
        if table not in self._overlays:
            self._overlays[table] = TableOverlay()
            self._schemas[table] = state.table
            self._epochs[table] = state.epoch
        return self._overlays[table]

    def view(self, state: TableState) -> TableView:
        """One table as this transaction sees it."""
        return TableView(state, self._overlays.get(state.table.id))

    def leases(self, table: int) -> Leases:
        """Ordinals and numbers leased for one table."""
        return self._writer.leases(table)

    def load(self, state: TableState) -> BulkLoad:
        """The bulk load of this transaction into one table."""
        table = state.table.id
        if table not in self._loads:
            self.overlay(state)
            staging = self._staging(state)
            whole = state.live_rows == 0
            self._loads[table] = BulkLoad(state.table, state.keys, staging, whole=whole)
        return self._loads[table]

    def _staging(self, state: TableState) -> Staging:
        leases, renew = self.leases(state.table.id), self._writer.claims.renew
        return Staging(self._store, state.table, state.keys, leases, renew)

    def mark(self) -> dict[int, tuple[int, int]]:
        """A point to which :meth:`cut` can return."""
        return {table: overlay.mark() for table, overlay in self._overlays.items()}

    def cut(self, marks: dict[int, tuple[int, int]]) -> None:
        """Forget every change since ``marks``."""
        for table, overlay in self._overlays.items():
            overlay.cut(marks.get(table, (0, 0)))

    def savepoint(self, name: str) -> None:
        """Set a savepoint; a later one of the same name hides it."""
        self._savepoints.append((name.casefold(), self.mark()))

    def rollback_to(self, name: str) -> bool:
        """Forget everything since a savepoint, which stays; False when there is none."""
        place = self._find(name)
        if place is None:
            return False
        del self._savepoints[place + 1 :]
        self.cut(self._savepoints[place][1])
        return True

    def release(self, name: str) -> bool:
        """Drop a savepoint and those set after it; False when there is none."""
        place = self._find(name)
        if place is None:
            return False
        del self._savepoints[place:]
        return True

    def _find(self, name: str) -> int | None:
        wanted = name.casefold()
        for place in range(len(self._savepoints) - 1, -1, -1):
            if self._savepoints[place][0] == wanted:
                return place
        return None

    def commit(self) -> None:
        """Carry everything out, in one store transaction, or nothing.

        Raises:
            ConflictError: another transaction came first; nothing was written.
        """
        self._database.require_sound()
        pauses, attempt, current = Pauses(PATIENCE_SECONDS), 0, not self._bulk_tables()
        with self._writer.claims.holding() as hold:
            while attempt < COMMIT_ATTEMPTS:
                commit = self._build() if current else self._rebuild()
                current = False
                try:
                    answer = commit_patiently(self._store, commit, pauses)
                except BaseException:
                    # Whether it happened is unknown, so nothing may be numbered after it.
                    self._writer.retire()
                    raise
                if self._database.committed(commit, answer):
                    self._note_citations(commit)
                    return
                require_free(answer)
                if isinstance(answer, wire.Stale) and answer.what == "stage":
                    break
                attempt += 1
                if attempt >= ATTEMPTS_BEFORE_HOLDING:
                    hold(self._bulk_tables())
        raise conflict("other transactions kept changing the same tables")

    def _rebuild(self) -> wire.Commit:
        """The commit again, on the store's newest state."""
        with self._snapshot():
            self._revalidate()
            return self._build()

    def _note_citations(self, commit: wire.Commit) -> None:
        for change in commit.changes:
            if change.delta is not None:
                state = self._database.tables[change.table]
                self._writer.committed(change.table, self._writer.citations(state))

    def _revalidate(self) -> None:
        """Check this transaction's changes against a newer state."""
        catalog = self._database.catalog
        assert catalog is not None
        for table, overlay in self._overlays.items():
            state = self._database.tables.get(table)
            if state is None or catalog.table_by_id(table) != self._schemas[table]:
                raise conflict("another connection changed the schema of a table")
            if state.manifest.folded > self._epochs[table] + 1:
                # Ordinals leased before could have been others' rows that came and went since.
                raise conflict("the table was merged more than once since the transaction began")
            gone = as_array(overlay.removed)
            if len(gone) and not TableView(state).live_mask(gone).all():
                raise conflict("another transaction changed the same rows first")
            words = [rows.unique_words for rows in overlay.added]
            if table in self._loads:
                words.extend(self._loads[table].unique_words)
            if claimed_elsewhere(TableView(state, overlay), words):
                raise conflict("another transaction added the same unique value first")

    def _bulk_tables(self) -> set[int]:
        return {table for table, overlay in self._overlays.items() if self._is_bulk(table, overlay)}

    def _is_bulk(self, table: int, overlay: TableOverlay) -> bool:
        return (
            table in self._loads
            or len(overlay.places) >= BULK_ROWS
            or len(overlay.removed) >= BULK_ROWS
            or overlay.index.postings_count >= BULK_POSTINGS
        )

    def _build(self) -> wire.Commit:
        catalog = self._database.catalog
        assert catalog is not None
        changed = [
            table
            for table, overlay in self._overlays.items()
            if not overlay.empty or table in self._loads
        ]
        bulk = self._bulk_tables()
        small = [table for table in changed if table not in bulk]
        for table in small:
            self._writer.end(self._database.tables[table])  # This may give it a new identity.
        siblings: list[tuple[int, bytes, int, int]] = []
        for table in changed if len(changed) > 1 else ():
            state = self._database.tables[table]
            if table in bulk:
                siblings.append((table, self._writer.identity, 0, state.epoch + 1))
            else:
                number = self._writer.end(state)[0] + 1
                siblings.append((table, self._writer.identity, number, state.epoch))
        changes = [
            self._swap(table, catalog, siblings)
            if table in bulk
            else self._delta(table, catalog, siblings)
            for table in changed
        ]
        return wire.Commit(
            id=os.urandom(16),
            catalog_version=catalog.version,
            changes=tuple(changes),
            holder=self._writer.claims.holder,
        )

    def _delta(self, table: int, catalog: Catalog, siblings: Siblings) -> wire.TableChange:
        """Rows, claims and the delta of a small change."""
        state, overlay = self._database.tables[table], self._overlays[table]
        self._require_fresh(state, overlay)
        keys, txn = state.keys, os.urandom(16)
        number, previous = self._writer.end(state)
        assert self._database.keys is not None
        pending = [one for one in overlay.removed if one in state.recent]
        settled = [one for one in overlay.removed if one not in state.recent]
        documents = overlay.statistics()
        body = DeltaBody(
            incarnation=self._database.keys.incarnation,
            catalog_version=catalog.version,
            catalog_hash=self._database.catalog_hash,
            txn=txn,
            prev=previous,
            seen=self._writer.citations(state),
            epoch=state.epoch,
            chain=state.chain,
            siblings=[one for one in siblings if one[0] != table],
            added=overlay.live(),
            removed=np.sort(as_array(overlay.removed)),
            hashed=live_postings(overlay),
            sorted=live_entries(overlay),
            stats=documents,
        )
        writer, count = self._writer.identity, number + 1
        blob = keys.deltas.seal(encode_delta(body), keys.delta_aad(writer, count))
        added, claims = self._seal_rows(state, overlay, txn)
        labels = keys.labels.to_labels
        return wire.TableChange(
            table=table,
            epoch=state.epoch,
            rows_added=tuple(added),
            rows_removed=tuple(labels(as_array(pending)).tolist()) if pending else (),
            tombstones=tuple(labels(as_array(settled)).tolist()) if settled else (),
            keys_added=tuple(claims),
            keys_removed=tuple(released(state, overlay, set(pending))),
            visible_added=visible_added(state, overlay),
            visible_removed=visible_removed(state, overlay),
            delta=wire.DeltaBlob(writer=writer, n=count, blob=blob),
        )

    def _require_fresh(self, state: TableState, overlay: TableOverlay) -> None:
        """The ordinals of new rows are nobody else's; a newer state than they were leased in may show it."""
        taken = not state.given.isdisjoint(overlay.places)
        if taken or TableView(state).live_mask(as_array(overlay.places)).any():
            raise tampered(f'the store gave an ordinal of "{state.table.name}" out twice')

    def _seal_rows(
        self, state: TableState, overlay: TableOverlay, txn: bytes
    ) -> tuple[list[tuple[int, bytes]], list[tuple[bytes, int]]]:
        parts = [
            (rows, np.flatnonzero(mask))
            for rows in overlay.added
            if (mask := compaction.alive(rows, overlay)).any()
        ]
        if not parts:
            return [], []
        batches = [
            rows.rows if len(chosen) == len(rows.ordinals) else reorder_batch(rows.rows, chosen)
            for rows, chosen in parts
        ]
        ordinals = np.concatenate([rows.ordinals[chosen] for rows, chosen in parts])
        layout, context, keys = layout_of(state.table), state.keys.row_context, state.keys
        labels = keys.labels.to_labels(ordinals).tolist()
        sealed = [
            (label, keys.rows.seal(pad(body), row_aad(context, ordinal, txn)))
            for body, ordinal, label in zip(
                layout.encode(one_batch(batches)), ordinals.tolist(), labels, strict=True
            )
        ]
        claims: list[tuple[bytes, int]] = []
        for index_id in parts[0][0].tags:
            tags = np.concatenate([rows.tags[index_id][0][chosen] for rows, chosen in parts])
            valid = np.concatenate([rows.tags[index_id][1][chosen] for rows, chosen in parts])
            claims += [
                (tag.tobytes(), label)
                for tag, there, label in zip(tags, valid.tolist(), labels, strict=True)
                if there
            ]
        return sealed, claims

    def _swap(self, table: int, catalog: Catalog, siblings: Siblings) -> wire.TableChange:
        """The manifest swap of a large change; it folds what is pending as well."""
        state, overlay = self._database.tables[table], self._overlays[table]
        change = ManifestChange()
        staging = self._staging(state)
        load = self._loads.get(table)
        compaction.fold(TableView(state, overlay), staging, change, statistics=load is None)
        pending = {one for one in overlay.removed if one in state.recent}
        change.folded_keys.extend(released(state, overlay, pending))
        if load is not None:
            load.require_free(state)
            load.contribute(change)
        for index, labels, values in visible_values(state, overlay):
            staging.visible(scheme_of(state.table, state.keys, index), labels, values)
        swap = build_swap(
            state,
            change,
            staging,
            (catalog.version, self._database.catalog_hash),
            expect_frontier=True,
            siblings=[one for one in siblings if one[0] != table],
        )
        return wire.TableChange(
            table=table,
            epoch=state.epoch,
            visible_removed=visible_removed(state, overlay),
            swap=swap,
        )


def visible_added(state: TableState, overlay: TableOverlay) -> tuple[wire.VisibleBatch, ...]:
    """Entries of server-visible indexes of the transaction's own live rows, to be sent with them."""
    return tuple(
        wire.VisibleBatch(
            index.id,
            KINDS[index.method],
            tuple(zip(labels, (row.tobytes() for row in values), strict=True)),
        )
        for index, labels, values in visible_values(state, overlay)
    )


def visible_values(
    state: TableState, overlay: TableOverlay
) -> Iterator[tuple[Index, list[int], Values]]:
    """Per server-visible index, labels and values uint8[n, width] of the transaction's own live rows."""
    for index in visible_indexes(state.table):
        parts = [rows.visible[index.id] for rows in overlay.added if index.id in rows.visible]
        if not parts:
            continue
        values = np.concatenate([part[0] for part in parts])
        ordinals = np.concatenate([part[1] for part in parts])
        mask = np.isin(ordinals, overlay.live())
        if mask.any():
            yield index, state.keys.labels.to_labels(ordinals[mask]).tolist(), values[mask]


def visible_removed(state: TableState, overlay: TableOverlay) -> tuple[int, ...]:
    """Ids of the entries that removed rows have, or would have if they were not NULL."""
    indexes = visible_indexes(state.table)
    if not indexes or not overlay.removed:
        return ()
    labels = state.keys.labels.to_labels(as_array(overlay.removed)).tolist()
    return tuple(wire.entry_id(index.id, label) for index in indexes for label in labels)


def released(
    state: TableState, overlay: TableOverlay, pending: set[int]
) -> Iterable[tuple[bytes, int]]:
    """Claims that go with removed rows that are still pending."""
    if not pending:
        return
    labels = state.keys.labels
    for removal in overlay.removals:
        for place, ordinal in enumerate(removal.ordinals.tolist()):
            if ordinal not in pending:
                continue
            label = int(labels.to_labels(np.array([ordinal], dtype=np.int64))[0])
            for tags in removal.tags.values():
                tag = tags[place]
                if tag:
                    yield tag, label


def live_postings(overlay: TableOverlay) -> list[PostingBatch]:
    """Postings of the transaction's own live rows, one batch per shape."""
    live = overlay.live()
    shapes: dict[Shape, list[PostingBatch]] = {}
    for batch in overlay.index.batches():
        shapes.setdefault(batch.shape, []).append(batch)
    kept = [compaction.keep(PostingBatch.join(group), live) for group in shapes.values()]
    return [batch for batch in kept if len(batch)]


def live_entries(overlay: TableOverlay) -> dict[int, SortedEntries]:
    """Sorted entries of the transaction's own live rows by index, and of dictionaries, if there are any."""
    live = overlay.live()
    result = {}
    for index_id in overlay.index.sorted_indexes():
        entries = overlay.index.entries(index_id)
        kept = compaction.keep_entries(index_id, entries, live)
        if is_dictionary(index_id):
            # Statements of one transaction have many terms in common.
            kept = merge.distinct(kept)
        if len(kept):
            result[index_id] = kept
    return result


def conflict(what: str) -> ConflictError:
    """Serialization failure 40001."""
    return err(ConflictError, "E_CONFLICT", what)
