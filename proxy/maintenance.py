"""Merges and statistics as transactions of their own: inline after a commit, on VACUUM, on ANALYZE.

A merge that loses a race, or is killed, leaves the store as it was; what it staged is swept later.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from encdb import wire
from encdb.stores.base import Store
from indexes.multimap import merge
from indexes.multimap.segment import HASHED, is_dictionary, owner
from indexes.records.statistics import ColumnFigures

from . import compaction
from .bulk import BulkLoad
from .catalog import Column
from .claims import PATIENCE_SECONDS, Pauses, commit_patiently, require_free
from .execute.define import SCAN_ROWS, read_rows
from .execute.view import TableView
from .snapshot import DatabaseState
from .staging import ManifestChange, Staging, build_swap
from .state import TableState
from .statistics.analyze import count_values
from .transaction import ATTEMPTS_BEFORE_HOLDING, Writer, conflict

ATTEMPTS = 4


class Maintenance:
    """Folds and joins the tables of one connection.

    Args:
        store: where merges are committed.
        database: the verified state.
        writer: the connection's writer.
        snapshot: opens a store snapshot in which the tables' states are current.
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
        self._unfinished: set[int] = set()
        """Tables that this connection has folded and whose tiers are not in shape yet."""

    def after_commit(self, tables: set[int]) -> None:
        """At most one fold and one step of joining for each table that needs it.

        A fold takes what is pending, and a step at most about a million postings (`merge.STEP`), so no
        commit is followed by more than a second or two of work, however large a table is. What is left
        waits for later commits or a VACUUM. A table that another connection is merging is left to it.
        """
        for table in tables:
            state = self._database.tables.get(table)
            if state is None:
                continue
            due = compaction.due(state)
            if not due and table not in self._unfinished and not compaction.crowded(state):
                continue
            with self._writer.claims.merging(table) as granted:
                if granted:
                    if due:
                        self.fold(table)
                    self.join(table)

    def fold(self, table: int) -> bool:
        """Fold all pending deltas of a table; False when another merge kept coming first.

        What interrupted loads and merges left behind an hour ago or more is swept on the way.
        """
        self._store.sweep(wire.Sweep(table=table))
        return self._attempt(table, self._build_fold)

    def join(self, table: int) -> None:
        """One step of joining segments; whether there are more of them is noted for the next commit."""
        state = self._database.tables.get(table)
        if state is not None and compaction.next_step(state):
            self._attempt(table, self._build_join)
            state = self._database.tables.get(table)
        if state is not None and compaction.next_step(state):
            self._unfinished.add(table)
        else:
            self._unfinished.discard(table)

    def vacuum(self, table: int) -> None:
        """Fold everything and join all segments, after a merge that is under way elsewhere.

        Raises:
            ConflictError: another connection keeps merging the table.
        """
        with self._writer.claims.merging(table, patience=PATIENCE_SECONDS) as granted:
            done = granted and self.fold(table) and self._attempt(table, self._build_rewrite)
        if not done and table in self._database.tables:
            raise conflict("another connection kept merging the table")

    def analyze(self, table: int, columns: Sequence[Column]) -> None:
        """Put statistics of some columns in the place of those there are.

        They are of the rows at one moment. Rows are read once, however often the commit is repeated.

        Raises:
            ConflictError: another connection keeps merging the table.
        """
        figures: list[ColumnFigures] | None = None

        def build(state: TableState, staging: Staging, change: ManifestChange) -> bool:
            nonlocal figures
            if figures is None:
                figures = count_values(TableView(state), columns)
            change.analysis = state.statistics.succeed(staging, state.table, figures)
            return True

        with self._writer.claims.merging(table, patience=PATIENCE_SECONDS) as granted:
            done = granted and self._attempt(table, build)
        if not done and table in self._database.tables:
            raise conflict("another connection kept merging the table")

    def _attempt(
        self, table: int, build: Callable[[TableState, Staging, ManifestChange], bool]
    ) -> bool:
        pauses, number = Pauses(PATIENCE_SECONDS), 0
        with self._writer.claims.holding() as hold:
            while number < ATTEMPTS:
                with self._snapshot():
                    request = self._merge(table, build)
                if request is None:
                    return table in self._database.tables
                answer = commit_patiently(self._store, request, pauses)
                if self._database.committed(request, answer):
                    with self._snapshot():
                        return True
                require_free(answer)
                number += 1
                if number >= ATTEMPTS_BEFORE_HOLDING:
                    hold((table,))
        return False

    def _merge(
        self, table: int, build: Callable[[TableState, Staging, ManifestChange], bool]
    ) -> wire.Commit | None:
        """The commit of one attempt to merge; None when there is nothing to merge."""
        state, catalog = self._database.tables.get(table), self._database.catalog
        if state is None or catalog is None:
            return None
        leases, renew = self._writer.leases(table), self._writer.claims.renew
        staging = Staging(self._store, state.table, state.keys, leases, renew)
        change = ManifestChange()
        if not build(state, staging, change):
            return None
        swap = build_swap(
            state,
            change,
            staging,
            (catalog.version, self._database.catalog_hash),
            expect_frontier=False,
        )
        return wire.Commit(
            id=os.urandom(16),
            catalog_version=catalog.version,
            changes=(wire.TableChange(table=table, epoch=state.epoch, swap=swap),),
            holder=self._writer.claims.holder,
        )

    def _build_fold(self, state: TableState, staging: Staging, change: ManifestChange) -> bool:
        if not state.pending_count:
            return False
        compaction.fold(TableView(state), staging, change)
        return True

    def _build_join(self, state: TableState, staging: Staging, change: ManifestChange) -> bool:
        groups = compaction.next_step(state)
        for group in groups:
            compaction.join_segments(state, group, staging, change)
        return bool(groups)

    def _build_rewrite(self, state: TableState, staging: Staging, change: ManifestChange) -> bool:
        """Join every family of segments into as few as may be, without what belongs to rows that are gone.

        Entries of a dropped exact-match index cannot be told from others, so once an index was
        dropped the hashed segment is built anew from the rows. Dictionaries come last: then it is known
        which words have a list.
        """
        compaction.purge(state, staging, change)
        families = merge.families(state.manifest.segments)
        families.sort(key=lambda family: is_dictionary(family[0].index))
        dictionaries = [one[0].index for one in families if is_dictionary(one[0].index)]
        known = {index.id for index in state.table.indexes}
        terms = compaction.LiveTerms(state, [one for one in dictionaries if owner(one) in known])
        for family in families:
            if family[0].kind == HASHED and compaction.has_dropped_index(state.table):
                change.retired_segments.update(info.segment for info in family)
                self._rebuild_hashed(state, staging, change, terms)
                continue
            for group in merge.pack(family):
                compaction.join_segments(state, group, staging, change, terms)
        return bool(families or change.liveness)

    def _rebuild_hashed(
        self,
        state: TableState,
        staging: Staging,
        change: ManifestChange,
        terms: compaction.LiveTerms,
    ) -> None:
        table = state.table
        hidden = tuple(index for index in table.indexes if not index.visible)
        used = {number for index in hidden for number in (*index.columns, *index.include)}
        narrow = dataclasses.replace(
            table,
            columns=tuple(column for column in table.columns if column.id in used),
            indexes=hidden,
        )
        view = TableView(state)
        load = BulkLoad(table, state.keys, staging, seen=lambda lists: terms.mark(lists.words))
        live = state.settled.live_ordinals()
        for start in range(0, len(live), SCAN_ROWS):
            rows = read_rows(view, narrow, live[start : start + SCAN_ROWS])
            load.index(dataclasses.replace(rows, ranges={}))
        change.segments.extend(load.segments())
        change.stagings.append(staging)
