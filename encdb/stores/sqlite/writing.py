"""Applying one Commit: all of it in one transaction, or nothing.

The transaction begins with BEGIN IMMEDIATE, so that everything it checks still holds when it writes;
writers queue for at most the busy timeout. Checks come in this order:

1. Was this very commit carried out before? Its delta, manifest or catalog is in place then.
2. Are the catalog version, the epochs, the frontier and the stages those that the writer saw?
3. Does every row, claim and tombstone it removes or adds hit exactly what it names?
"""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from encdb import ids, wire

from . import schema, visible
from .reading import chunks
from .schema import relation

Outcome = wire.Committed | wire.Stale | wire.Conflict
FOLDED_DAYS: Final = 7
"""Days for which the end of a writer whose deltas were all folded is remembered."""
_DAY_SECONDS: Final = 86_400


class Refused(Exception):  # noqa: N818 - an answer on its way out of a transaction, no error.
    """Roll the transaction back and answer with ``outcome``."""

    def __init__(self, outcome: wire.Stale | wire.Conflict) -> None:
        super().__init__()
        self.outcome = outcome


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """One write transaction that leaves nothing behind when the block fails."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # SQLite has rolled back by itself after some failures, such as a full disk.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def apply(connection: sqlite3.Connection, commit: wire.Commit) -> Outcome:
    """Carry out one commit.

    Raises:
        sqlite3.Error: the database failed; nothing was written.
    """
    try:
        with transaction(connection):
            writer = _Writer(connection, commit)
            if writer.was_done():
                return wire.Committed(repeated=True)
            writer.carry_out()
    except Refused as refused:
        return refused.outcome
    return wire.Committed()


class _Writer:
    """One commit inside its transaction."""

    def __init__(self, connection: sqlite3.Connection, commit: wire.Commit) -> None:
        self._connection = connection
        self._commit = commit
        self._epochs: dict[int, int] = {}
        for change in commit.changes:
            epoch = self._value("SELECT epoch FROM tables WHERE tbl = ?", (change.table,))
            if epoch is not None:
                self._epochs[change.table] = epoch

    def _value(self, statement: str, values: Sequence[Any] = ()) -> Any:
        """First column of the first row, or None."""
        row = self._connection.execute(statement, values).fetchone()
        return None if row is None else row[0]

    def was_done(self) -> bool:
        """Whether an earlier attempt to send this commit carried it out.

        Everything was written in one transaction, and each part was sealed under randomness of its
        own, so one part in place proves them all.
        """
        catalog = self._commit.catalog
        if catalog is not None and catalog.link == self._value(
            "SELECT link FROM catalog WHERE version = ?", (catalog.version,)
        ):
            return True
        return any(
            self._change_was_done(change)
            for change in self._commit.changes
            if change.table in self._epochs
        )

    def _change_was_done(self, change: wire.TableChange) -> bool:
        if change.swap is not None:
            link = self._value(
                "SELECT link FROM links WHERE tbl = ? AND epoch = ?",
                (change.table, change.swap.epoch),
            )
            if link == change.swap.link:
                return True
        delta = change.delta
        if delta is None:
            return False
        source = relation("deltas", change.table)
        blob = self._value(
            f'SELECT blob FROM "{source}" WHERE writer = ? AND n = ?', (delta.writer, delta.n)
        )
        if blob is not None:
            return bool(blob == delta.blob)
        digest = self._value(
            "SELECT digest FROM folded WHERE tbl = ? AND writer = ? AND n = ?",
            (change.table, delta.writer, delta.n),
        )
        return digest is not None and digest == hashlib.sha256(delta.blob).digest()

    def carry_out(self) -> None:
        """Check and write everything; raises :class:`Refused` where the world has moved on."""
        commit, catalog = self._commit, self._commit.catalog
        if self._value("SELECT catalog_version FROM heads") != commit.catalog_version:
            raise Refused(wire.Stale("catalog"))
        if catalog is not None:
            for table in catalog.created:
                self._create(table)
        for change in commit.changes:
            if change.table not in self._epochs:
                raise Refused(wire.Stale("catalog", change.table))
            if self._epochs[change.table] != change.epoch:
                raise Refused(wire.Stale("epoch", change.table))
            if self._held(change.table):
                raise Refused(wire.Stale("held", change.table))
        for change in commit.changes:
            _TableWriter(self._connection, change).carry_out()
        if catalog is not None:
            self._change_catalog(catalog)

    def _held(self, table: int) -> bool:
        """Whether another client has claimed the table's writes for now."""
        holder = self._value(
            "SELECT holder FROM claims WHERE tbl = ? AND kind = 'write' AND deadline > ?",
            (table, int(time.time())),
        )
        return holder is not None and holder != self._commit.holder

    def _create(self, table: int) -> None:
        for statement in schema.create_table(table):
            self._connection.execute(statement)
        self._connection.execute(
            "INSERT INTO tables (tbl, epoch, manifest) VALUES (?, 0, NULL)", (table,)
        )
        self._connection.execute(
            "INSERT INTO leases (tbl, ordinal, segment) VALUES (?, 0, 1)", (table,)
        )
        self._epochs[table] = 0

    def _change_catalog(self, catalog: wire.CatalogChange) -> None:
        for table in catalog.dropped:
            for statement in schema.drop_table(table):
                self._connection.execute(statement)
        # Links of old versions stay for clients that knew one of them; their blobs do not.
        self._connection.execute("UPDATE catalog SET blob = NULL WHERE blob IS NOT NULL")
        self._connection.execute(
            "INSERT INTO catalog (version, link, blob) VALUES (?, ?, ?)",
            (catalog.version, catalog.link, catalog.blob),
        )
        self._connection.execute("UPDATE heads SET catalog_version = ?", (catalog.version,))


class _TableWriter:
    """The changes of one commit to one table."""

    def __init__(self, connection: sqlite3.Connection, change: wire.TableChange) -> None:
        self._connection = connection
        self._change = change
        self._table = change.table
        self._names = {name: relation(name, change.table) for name in schema.RELATIONS}

    def carry_out(self) -> None:
        """Removals, additions, then the merge."""
        change, names = self._change, self._names
        if change.swap is not None:
            self._check_frontier(change.swap)
        # A failed check has to name what it met, which is only there before the commit's own changes.
        self._connection.execute("SAVEPOINT change")
        self._remove()
        self._add()
        visible.write(self._connection, change)
        self._connection.execute("RELEASE change")
        if change.delta is not None:
            self._check_number(change.delta)
            self._connection.execute(
                f'INSERT INTO "{names["deltas"]}" (writer, n, blob) VALUES (?, ?, ?)',
                (change.delta.writer, change.delta.n, change.delta.blob),
            )
        if change.swap is not None:
            self._swap(change.swap)

    def _remove(self) -> None:
        rows, claims = self._change.rows_removed, self._change.keys_removed
        if self._delete_ids("rows", "label", rows) != len(rows):
            self._undo()
            raise self._row_conflict(set(rows) - self._present("rows", "label", rows))
        if claims and self._delete_claims(claims) != len(claims):
            # The claim of a row that is still there was taken away: another transaction changed it.
            self._undo()
            tags = [tag for tag, _ in claims]
            held = set(self._present_claims(tags))
            raise self._row_conflict(label for tag, label in claims if (tag, label) not in held)

    def _add(self) -> None:
        change, names = self._change, self._names
        if change.tombstones and self._insert(
            f'INSERT OR IGNORE INTO "{names["tombstones"]}" (label) VALUES (?)',
            [(label,) for label in change.tombstones],
        ) != len(change.tombstones):
            self._undo()
            raise self._row_conflict(self._present("tombstones", "label", change.tombstones))
        if change.keys_added and self._insert(
            f'INSERT OR IGNORE INTO "{names["keys"]}" (tag, label) VALUES (?, ?)',
            change.keys_added,
        ) != len(change.keys_added):
            self._undo()
            taken = self._present_claims([tag for tag, _ in change.keys_added])
            freed = set(change.keys_removed)
            tags = tuple(sorted(tag for tag, label in taken if (tag, label) not in freed))
            raise Refused(wire.Conflict("key", self._table, tags=tags))
        if change.rows_added and self._insert(
            f'INSERT OR IGNORE INTO "{names["rows"]}" (label, blob) VALUES (?, ?)',
            change.rows_added,
        ) != len(change.rows_added):
            self._undo()
            labels = [label for label, _ in change.rows_added]
            raise self._row_conflict(self._present("rows", "label", labels))

    def _insert(self, statement: str, values: Iterable[Sequence[Any]]) -> int:
        """Number of rows that were new. Values come sorted by key, so pages fill in order."""
        return self._connection.executemany(statement, values).rowcount

    def _undo(self) -> None:
        self._connection.execute("ROLLBACK TO change")

    def _row_conflict(self, labels: Iterable[int]) -> Refused:
        return Refused(wire.Conflict("row", self._table, ids=tuple(sorted(labels))))

    def _delete_ids(self, name: str, key: str, ids: Sequence[int]) -> int:
        return sum(
            self._connection.execute(
                f'DELETE FROM "{self._names[name]}" WHERE "{key}" IN ({marks})', values
            ).rowcount
            for marks, values in chunks(ids)
        )

    def _delete_claims(self, claims: Sequence[tuple[bytes, int]]) -> int:
        return self._connection.executemany(
            f'DELETE FROM "{self._names["keys"]}" WHERE tag = ? AND label = ?', claims
        ).rowcount

    def _present(self, name: str, key: str, ids: Sequence[int]) -> set[int]:
        return {
            number
            for marks, values in chunks(ids)
            for (number,) in self._connection.execute(
                f'SELECT "{key}" FROM "{self._names[name]}" WHERE "{key}" IN ({marks})', values
            )
        }

    def _present_claims(self, tags: Sequence[bytes]) -> list[tuple[bytes, int]]:
        return [
            (tag, label)
            for marks, values in chunks(tags)
            for tag, label in self._connection.execute(
                f'SELECT tag, label FROM "{self._names["keys"]}" WHERE tag IN ({marks})', values
            )
        ]

    def _check_number(self, delta: wire.DeltaBlob) -> None:
        """A writer's deltas are gapless: readers would refuse the table for ever otherwise."""
        (last,) = self._connection.execute(
            f'SELECT max(n) FROM "{self._names["deltas"]}" WHERE writer = ?', (delta.writer,)
        ).fetchone()
        if last is None:
            row = self._connection.execute(
                "SELECT CAST(n AS INTEGER) FROM folded WHERE tbl = ? AND writer = ?",
                (self._table, delta.writer),
            ).fetchone()
            # The epoch was checked, so a writer that starts anew at 1 has verified a manifest that
            # has forgotten it.
            allowed = {1} if row is None else {1, row[0] + 1}
        else:
            allowed = {last + 1}
        if delta.n not in allowed:
            raise Refused(wire.Stale("frontier", self._table))

    def _check_frontier(self, swap: wire.Swap) -> None:
        """No delta that the merge has not seen may exist, if it says so."""
        if swap.frontier is None:
            return
        expected = dict(swap.frontier)
        ends = self._connection.execute(
            f'SELECT writer, max(n) FROM "{self._names["deltas"]}" GROUP BY writer'
        )
        if any(expected.get(writer) != last for writer, last in ends.fetchall()):
            raise Refused(wire.Stale("frontier", self._table))

    def _swap(self, swap: wire.Swap) -> None:
        for stage in swap.published:
            live = self._connection.execute(
                "DELETE FROM stages WHERE tbl = ? AND stage = ? AND deadline <> ?",
                (self._table, stage, schema.SWEPT),
            ).rowcount
            if live != 1:
                raise Refused(wire.Stale("stage", self._table))
            self._connection.execute(
                "DELETE FROM staged WHERE tbl = ? AND stage = ?", (self._table, stage)
            )
            visible.publish(self._connection, self._table, stage)
        self._fold(swap)
        for segment in swap.retired_segments:
            delete_numbers(self._connection, self._table, schema.KIND_SEGMENT, segment)
        for pack in swap.retired_packs:
            delete_numbers(self._connection, self._table, schema.KIND_PACK, pack)
        self._connection.execute(
            "UPDATE tables SET epoch = ?, manifest = ? WHERE tbl = ?",
            (swap.epoch, swap.manifest, self._table),
        )
        self._connection.execute(
            "INSERT INTO links (tbl, epoch, link) VALUES (?, ?, ?)",
            (self._table, swap.epoch, swap.link),
        )

    def _fold(self, swap: wire.Swap) -> None:
        """Remove what the new manifest has taken in, and remember where its writers ended."""
        deltas, today = self._names["deltas"], int(time.time()) // _DAY_SECONDS
        for writer, n in dict(swap.folded_deltas).items():
            row = self._connection.execute(
                f'SELECT blob FROM "{deltas}" WHERE writer = ? AND n = ?', (writer, n)
            ).fetchone()
            if row is not None:
                self._connection.execute(
                    "INSERT OR REPLACE INTO folded (tbl, writer, n, digest, day)"
                    " VALUES (?, ?, ?, ?, ?)",
                    (self._table, writer, n, hashlib.sha256(row[0]).digest(), today),
                )
        if swap.folded_deltas:
            # Only such a merge drops writers that are idle from the manifest, too.
            self._connection.execute(
                "DELETE FROM folded WHERE tbl = ? AND day < ?", (self._table, today - FOLDED_DAYS)
            )
            removed = self._connection.executemany(
                f'DELETE FROM "{deltas}" WHERE writer = ? AND n = ?', swap.folded_deltas
            ).rowcount
            if removed != len(swap.folded_deltas):
                raise Refused(wire.Stale("frontier", self._table))
        self._delete_ids("rows", "label", swap.folded_rows)
        self._delete_ids("tombstones", "label", swap.folded_tombstones)
        if swap.folded_keys:
            self._delete_claims(swap.folded_keys)


def id_range(kind: int, number: int) -> tuple[str, int, int]:
    """Relation and first and last id of one segment's pages or one pack's columns."""
    shift = ids.PAGE_SHIFT if kind == schema.KIND_SEGMENT else ids.PACK_SHIFT
    name = "pages" if kind == schema.KIND_SEGMENT else "packs"
    return name, number << shift, ((number + 1) << shift) - 1


def delete_numbers(connection: sqlite3.Connection, table: int, kind: int, number: int) -> None:
    """Drop all pages of a segment, or all columns of a pack."""
    name, first, last = id_range(kind, number)
    connection.execute(
        f'DELETE FROM "{relation(name, table)}" WHERE id BETWEEN ? AND ?', (first, last)
    )
