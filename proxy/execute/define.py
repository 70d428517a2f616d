"""Carrying out CREATE and DROP: a new catalog version, and with it the segments of a new index.

A schema change commits alone. Other connections learn of it before their next statement, because every
commit carries the catalog version it was made under.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import TypeVar

import numpy as np
import pyarrow as pa

from encdb import wire
from encdb.errors import NotSupportedError, ProgrammingError, err
from encdb.stores.base import Store
from indexes.keys import Key
from indexes.labels import BLOCK
from indexes.methods import equality
from indexes.methods.ore.types import AES, MASKS, SHA256
from indexes.prf import TermPrf
from proxy import compaction, schema
from proxy.arrow import Array, Ordinals, one_array, reorder_batch
from proxy.bulk import BulkLoad
from proxy.catalog import Catalog, Index, Table, suggest
from proxy.claims import PATIENCE_SECONDS, Pauses, commit_patiently, require_free
from proxy.derive import derive
from proxy.keyspace import sha256
from proxy.leakage import index_profile
from proxy.leakage.entropy import measure, notice, require_acceptable
from proxy.overlay import NewRows
from proxy.snapshot import DatabaseState
from proxy.sql.statements import CreateIndex, CreateTable, DropIndex, DropTable
from proxy.staging import ManifestChange, Staging, build_swap
from proxy.state import TableState
from proxy.statistics.sample import AUTOMATIC_ROWS, automatic
from proxy.transaction import ATTEMPTS_BEFORE_HOLDING, Writer, conflict
from proxy.visible import KINDS, visible_indexes

from .view import TableView
from .write import duplicate

ATTEMPTS = 8
SCAN_ROWS = 16 * BLOCK

_T = TypeVar("_T")


class Definer:
    """Schema changes of one connection.

    Args:
        store: where they are committed.
        database: the verified state.
        writer: the connection's writer.
        snapshot: opens a store snapshot in which catalog and tables are current.
    """

    def __init__(
        self,
        store: Store,
        database: DatabaseState,
        writer: Writer,
        snapshot: Callable[[], AbstractContextManager[object]],
    ) -> None:
        self._store = store
        self._database = database
        self._writer = writer
        self._snapshot = snapshot

    def create_table(self, statement: CreateTable) -> bool:
        """Make a table; False when it exists already and that is fine."""

        def build(catalog: Catalog) -> tuple[Catalog, tuple[int, ...], tuple[int, ...]] | None:
            if statement.if_not_exists and catalog.find(statement.name) is not None:
                return None
            changed, table = schema.create_table(catalog, statement)
            return changed, (table.id,), ()

        return self._change(build)

    def add_table(self, make: Callable[[Catalog], Table]) -> bool:
        """Make a table that is described by a catalog entry."""

        def build(catalog: Catalog) -> tuple[Catalog, tuple[int, ...], tuple[int, ...]] | None:
            table = make(catalog)
            return catalog.with_table(table), (table.id,), ()

        return self._change(build)

    def drop_table(self, statement: DropTable) -> bool:
        """Drop tables; False when there was none to drop and that is fine."""

        def build(catalog: Catalog) -> tuple[Catalog, tuple[int, ...], tuple[int, ...]] | None:
            tables = [
                found if statement.if_exists else catalog.table(name)
                for name in statement.names
                if (found := catalog.find(name)) is not None or not statement.if_exists
            ]
            dropped = tuple({table.id for table in tables if table is not None})
            for number in dropped:
                catalog = catalog.without_table(number)
            return (catalog, (), dropped) if dropped else None

        return self._change(build)

    def drop_index(self, statement: DropIndex) -> bool:
        """Drop indexes; their postings go with the next merges, claims of unique values at once."""

        def build(catalog: Catalog) -> tuple[Catalog, tuple[int, ...], tuple[int, ...]] | None:
            changed = False
            for name in statement.names:
                found = catalog.find_index(name)
                if found is None:
                    if statement.if_exists:
                        continue
                    known = [one.name for table in catalog.tables for one in table.indexes]
                    raise err(
                        ProgrammingError,
                        "E_UNKNOWN_INDEX",
                        f'there is no index "{name}"',
                        suggest(name, known),
                    )
                catalog, changed = schema.drop_index(catalog, *found), True
            return (catalog, (), ()) if changed else None

        return self._change(build)

    def _change(
        self,
        build: Callable[[Catalog], tuple[Catalog, tuple[int, ...], tuple[int, ...]] | None],
    ) -> bool:
        """Commit a catalog change; it is built anew when another connection came first."""

        def attempt() -> tuple[wire.Commit, bool] | None:
            catalog = self._database.catalog
            assert catalog is not None
            built = build(catalog)
            if built is None:
                return None
            changed = self._seal(catalog, *built)
            changes = {
                number: self._fold(self._database.tables[number], changed)
                for number in losing_claims(catalog, built[0])
            }
            epochs = {number: state.epoch for number, state in self._database.tables.items()}
            for one in dropping_values(catalog, built[0], epochs):
                known = changes.get(one.table, one)
                changes[one.table] = dataclasses.replace(known, visible_dropped=one.visible_dropped)
            return self._commit_of(catalog, tuple(changes.values()), changed), True

        return bool(self._persist(attempt, "other connections kept changing the schema"))

    def _persist(
        self, attempt: Callable[[], tuple[wire.Commit, _T] | None], failure: str
    ) -> _T | None:
        """Build and commit a change until no other connection comes first.

        After it has lost two races, the tables that it changes are claimed, and the writers wait.

        Args:
            attempt: in a fresh snapshot, gives the commit and what to return once it is done, or
                None when there is nothing to do.
            failure: what to say in the end.

        Raises:
            ConflictError: others still came first.
        """
        pauses, number = Pauses(PATIENCE_SECONDS), 0
        with self._writer.claims.holding() as hold:
            while number < ATTEMPTS:
                with self._snapshot():
                    found = attempt()
                if found is None:
                    return None
                request, result = found
                answer = commit_patiently(self._store, request, pauses)
                if self._database.committed(request, answer):
                    return result
                require_free(answer)
                number += 1
                if number >= ATTEMPTS_BEFORE_HOLDING:
                    hold(change.table for change in request.changes)
        raise conflict(failure)

    def _commit_of(
        self,
        catalog: Catalog,
        changes: tuple[wire.TableChange, ...],
        changed: wire.CatalogChange,
    ) -> wire.Commit:
        return wire.Commit(
            id=os.urandom(16),
            catalog_version=catalog.version,
            changes=changes,
            catalog=changed,
            holder=self._writer.claims.holder,
        )

    def _staging(self, state: TableState) -> Staging:
        leases, renew = self._writer.leases(state.table.id), self._writer.claims.renew
        return Staging(self._store, state.table, state.keys, leases, renew)

    def _fold(self, state: TableState, changed: wire.CatalogChange) -> wire.TableChange:
        """Fold a table's pending deltas while its unique indexes are still known."""
        change = ManifestChange()
        staging = self._staging(state)
        compaction.fold(TableView(state), staging, change)
        swap = build_swap(
            state, change, staging, (changed.version, changed.link), expect_frontier=True
        )
        return wire.TableChange(table=state.table.id, epoch=state.epoch, swap=swap)

    def _seal(
        self,
        old: Catalog,
        new: Catalog,
        created: tuple[int, ...] = (),
        dropped: tuple[int, ...] = (),
    ) -> wire.CatalogChange:
        successor = dataclasses.replace(
            new, version=old.version + 1, previous=self._database.catalog_chain()
        )
        blob = self._database.seal_catalog(successor)
        return wire.CatalogChange(
            version=successor.version,
            blob=blob,
            link=sha256(blob),
            created=created,
            dropped=dropped,
        )

    def create_index(
        self, statement: CreateIndex, progress: Callable[[int], None] | None = None
    ) -> tuple[Index, tuple[str, ...]] | None:
        """Make an index over the rows there are, and say what it reveals if the store can see it.

        Everything pending is folded by the same swap, so the new segments cover every live row.

        Returns:
            The index and notices for the user; None when it exists already and that is fine.

        Raises:
            IntegrityError: a unique index over values that are not unique.
            ProgrammingError: a server-visible index would give values away (E_LEAKAGE).
        """
        declared = with_mask(statement, self._store)

        def attempt() -> tuple[wire.Commit, tuple[Index, tuple[str, ...]]] | None:
            catalog = self._database.catalog
            assert catalog is not None
            name = statement.name
            if statement.if_not_exists and name and catalog.find_index(name):
                return None
            state = self._database.tables[catalog.table(statement.table).id]
            successor, table, index = schema.create_index(
                catalog, declared, complete=state.epoch + 1
            )
            changed, view = self._seal(catalog, successor), TableView(state)
            notices = self._require_acceptable(view, table, index)
            change, staging = ManifestChange(), self._staging(state)
            self._build_index(view, table, index, staging, change, progress)
            compaction.fold(view, staging, change)
            swap = build_swap(
                state, change, staging, (changed.version, changed.link), expect_frontier=True
            )
            swapped = wire.TableChange(table=table.id, epoch=state.epoch, swap=swap)
            return self._commit_of(catalog, (swapped,), changed), (index, notices)

        return self._persist(attempt, "other connections kept writing to the table")

    def _require_acceptable(self, view: TableView, table: Table, index: Index) -> tuple[str, ...]:
        """What an index reveals; of a server-visible one, measured before anything of it is written.

        Returns:
            What to tell the user.

        Raises:
            ProgrammingError: too few values are too common, and nobody has accepted that.
        """
        if index.method not in KINDS:
            return (notice(index.name, index_profile(table, index)),)
        types = [table.column_by_id(number).type for number in index.columns]
        live, key = view.live(), TermPrf(Key.random())

        def pieces() -> Iterator[Array]:
            for start in range(0, len(live), SCAN_ROWS):
                part = live[start : start + SCAN_ROWS]
                _, arrays = view.fetch(part, index.columns)
                # Words are equal exactly when values are, whatever the type, and show nothing.
                words, valid = equality.words(key, list(map(one_array, arrays)), types)
                yield pa.array(words, mask=~valid)

        measured, profile = measure(pieces()), index_profile(table, index)
        accept = index.option("accept_leakage", "false") == "true"
        require_acceptable(index.name, profile, measured, accept=accept)
        return (notice(index.name, profile, measured),)

    def _build_index(
        self,
        view: TableView,
        table: Table,
        index: Index,
        staging: Staging,
        change: ManifestChange,
        progress: Callable[[int], None] | None,
    ) -> None:
        """Postings of one index over all live rows, read in pieces, and statistics of its columns."""
        narrow = narrowed(table, index)
        load = BulkLoad(table, view.state.keys, staging)
        sample = automatic(table, (index,), view.state.keys.value_words)
        live = view.live()
        for start in range(0, len(live), SCAN_ROWS):
            part = live[start : start + SCAN_ROWS]
            rows = read_rows(view, narrow, part)
            load.index(rows)
            if sample is not None:
                sample.add([rows.rows.column(column.name) for column in sample.columns])
            if progress is not None:
                progress(len(part))
        if index.unique and not load.unique(index.id):
            raise duplicate(table, index)
        load.contribute(change)
        if sample is not None and len(live) >= AUTOMATIC_ROWS:
            figures = sample.figures()
            change.analysis = view.state.statistics.succeed(staging, table, figures)


def narrowed(table: Table, index: Index) -> Table:
    """A table as one of its indexes sees it: no other index, and the columns that its entries hold."""
    return dataclasses.replace(
        table,
        columns=tuple(
            column for column in table.columns if column.id in (*index.columns, *index.include)
        ),
        indexes=(index,),
    )


def with_mask(statement: CreateIndex, store: Store) -> CreateIndex:
    """An index by ``ore`` with a mask that the store can compare by.

    Raises:
        NotSupportedError: a mask was asked for that the store cannot compare by.
    """
    if statement.method != "ore":
        return statement
    able = (SHA256,) if store.describe().kind.startswith("PostgreSQL") else (AES, SHA256)
    options = {"mask": able[0], **dict(statement.options)}
    asked = options["mask"].casefold()
    # What is no mask at all is refused with the other options.
    if asked in MASKS and asked not in able:
        raise err(
            NotSupportedError,
            "E_NOT_SUPPORTED",
            f'this store cannot compare values under the mask "{asked}"',
            f"Leave the option out, or write mask = '{able[0]}'.",
        )
    return dataclasses.replace(statement, options=tuple(sorted(options.items())))


def dropping_values(
    old: Catalog, new: Catalog, epochs: Mapping[int, int]
) -> Iterator[wire.TableChange]:
    """Changes that drop what the store was shown for indexes that are dropped from tables that stay."""
    for table in old.tables:
        after = new.table_by_id(table.id)
        if after is None:
            continue
        kept = {index.id for index in after.indexes}
        gone = tuple(one.id for one in visible_indexes(table) if one.id not in kept)
        if gone:
            yield wire.TableChange(table=table.id, epoch=epochs[table.id], visible_dropped=gone)


def losing_claims(old: Catalog, new: Catalog) -> list[int]:
    """Tables that stay and lose a unique index: claims of their pending rows would be left behind."""
    found = []
    for table in old.tables:
        after = new.table_by_id(table.id)
        kept = {index.id for index in after.unique_indexes} if after is not None else set()
        if after is not None and any(index.id not in kept for index in table.unique_indexes):
            found.append(table.id)
    return found


def read_rows(view: TableView, table: Table, ordinals: Ordinals) -> NewRows:
    """Index entries of rows that exist already, for the indexes of ``table``."""
    order, arrays = view.fetch(ordinals, [column.id for column in table.columns])
    batch = pa.record_batch(
        [one_array(array) for array in arrays],
        schema=pa.schema([(column.name, column.type.arrow) for column in table.columns]),
    )
    if not np.array_equal(order, ordinals):
        places = np.argsort(order)
        batch, order = reorder_batch(batch, places), order[places]
    return derive(table, view.state.keys, batch, order)
