"""Answering read requests from one snapshot of an SQLite store.

A snapshot is one deferred read transaction: in WAL mode it sees one state and blocks no writer. Ids
are fetched with ``IN`` lists of at most 1,000 in ascending order; their lengths are rounded up to a
few sizes by repeating the last id, so that SQLite prepares each statement once.
"""

from __future__ import annotations

import sqlite3
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, overload

from encdb import wire
from encdb.errors import InterfaceError, err

from .connection import damaged, translate
from .layout import read_layout
from .schema import relation
from .visible import VisibleReader

IN_SIZES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000)
_ID_COLUMN: Final = {"rows": "label", "tombstones": "label", "packs": "id", "pages": "id"}


def chunks(ids: Sequence[Any]) -> Iterator[tuple[str, list[Any]]]:
    """Placeholders and values for ``IN`` lists that together name all ids.

    Values are repeated to fill a list; ``IN`` takes them once.
    """
    for start in range(0, len(ids), IN_SIZES[-1]):
        part = list(ids[start : start + IN_SIZES[-1]])
        size = IN_SIZES[bisect_left(IN_SIZES, len(part))]
        part.extend(part[-1:] * (size - len(part)))
        yield ("?," * size)[:-1], part


@dataclass(slots=True)
class SeenHeads:
    """The state that the last answers to ``ReadHeads`` described, to recognise that it still holds.

    Attributes:
        token: SQLite's counter of changes by other connections, the store's writer among them.
        heads: the last full answer.
        tables: table → (epoch, last number of each writer).
    """

    token: int | None = None
    heads: wire.Heads | None = None
    tables: dict[int, tuple[int, dict[bytes, int]]] = field(default_factory=dict)

    def still_holds(self, request: wire.ReadHeads, token: int) -> bool:
        """Whether a full answer would contain nothing new."""
        if self.heads is None or self.token != token:
            return False
        if request.catalog_version != self.heads.catalog_version:
            return False
        for cursor in request.cursors:
            epoch, ends = self.tables.get(cursor.table, (None, {}))
            if epoch != cursor.epoch or ends != dict(cursor.frontier):
                return False
        return True

    def record(self, heads: wire.Heads, token: int) -> None:
        """Remember a full answer."""
        if self.token != token:
            self.tables.clear()
        self.token, self.heads = token, heads
        for one in heads.tables:
            self.tables[one.table] = one.epoch, {writer: last for writer, last, _ in one.ends}


class SqliteSnapshot:
    """One read transaction. Its state is fixed by the first read, not when it is made."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        path: str,
        seen: SeenHeads,
    ) -> None:
        self._connection = connection
        self._path = path
        self._seen = seen
        self._open = True

    def close(self) -> None:
        """Answer nothing more."""
        self._open = False

    @overload
    def read(self, request: wire.ReadHeads) -> wire.Heads: ...
    @overload
    def read(
        self, request: wire.ReadPages | wire.ReadRows | wire.ReadPacks | wire.ReadEntries
    ) -> wire.Blobs: ...
    @overload
    def read(self, request: wire.ReadKeys) -> wire.Keys: ...
    @overload
    def read(self, request: wire.ListIds | wire.ReadVisible) -> wire.Ids: ...
    @overload
    def read(self, request: wire.ReadGroups) -> wire.Groups: ...
    @overload
    def read(self, request: wire.ReadJoin) -> wire.Joined: ...
    @overload
    def read(self, request: wire.ReadLayout) -> wire.Layout: ...
    def read(self, request: wire.ReadRequest) -> wire.ReadResponse:
        """Answer one request; see :mod:`encdb.wire` for the pairs."""
        if not self._open:
            raise err(InterfaceError, "E_CLOSED", "the snapshot is no longer open")
        try:
            match request:
                case wire.ReadPages(table, ids):
                    return self._blobs("pages", table, ids)
                case wire.ReadRows(table, labels):
                    return self._blobs("rows", table, labels)
                case wire.ReadPacks(table, ids):
                    return self._blobs("packs", table, ids)
                case wire.ReadHeads():
                    return self._heads(request)
                case wire.ReadKeys(table, tags):
                    return self._keys(table, tags)
                case wire.ListIds(table, name):
                    return self._list(table, name)
                case wire.ReadVisible() | wire.ReadGroups() | wire.ReadJoin() | wire.ReadEntries():
                    return VisibleReader(self._connection).answer(request)
                case wire.ReadLayout():
                    return read_layout(self._connection, self._path)
        except sqlite3.Error as error:
            raise translate(error, self._path) from error

    def read_all(self, requests: Sequence[wire.ReadRequest]) -> tuple[wire.ReadResponse, ...]:
        """Answer several requests; without a network there are no round trips to spare."""
        return tuple(self.read(request) for request in requests)

    def _all(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return self._connection.execute(statement, values).fetchall()

    def _blobs(self, name: str, table: int, ids: Sequence[int] | None) -> wire.Blobs:
        key, source = _ID_COLUMN[name], relation(name, table)
        found: list[tuple[int, bytes]] = []
        if ids is None:
            found = self._all(f'SELECT "{key}", blob FROM "{source}" ORDER BY "{key}"')
        else:
            for marks, values in chunks(ids):
                found += self._all(
                    f'SELECT "{key}", blob FROM "{source}" WHERE "{key}" IN ({marks})'
                    f' ORDER BY "{key}"',
                    values,
                )
        numbers, blobs = zip(*found, strict=True) if found else ((), ())
        return wire.Blobs(table=table, ids=numbers, blobs=blobs)

    def _keys(self, table: int, tags: Sequence[bytes] | None) -> wire.Keys:
        source = relation("keys", table)
        found: list[tuple[bytes, int]] = []
        if tags is None:
            found = self._all(f'SELECT tag, label FROM "{source}"')
        else:
            for marks, values in chunks(tags):
                found += self._all(
                    f'SELECT tag, label FROM "{source}" WHERE tag IN ({marks})', values
                )
        for tag, label in found:
            self._expect(tag, bytes)
            self._expect(label, int)
        return wire.Keys(table=table, claims=tuple(sorted(found)))

    def _list(self, table: int, name: wire.Relation) -> wire.Ids:
        if name == "visible":
            return VisibleReader(self._connection).list_ids(table)
        key = _ID_COLUMN[name]
        found = self._all(f'SELECT "{key}" FROM "{relation(name, table)}" ORDER BY "{key}"')
        return wire.Ids(table=table, ids=tuple(number for (number,) in found))

    def _expect(self, value: object, kind: type) -> None:
        """SQLite stores any type in any column, and the file is not trusted."""
        if type(value) is not kind:
            damaged(self._path, "a value has a wrong type")

    def _heads(self, request: wire.ReadHeads) -> wire.Heads:
        # The pragma begins the read transaction, so the counter belongs to this very snapshot.
        ((token,),) = self._all("PRAGMA data_version")
        if request.if_changed and self._seen.still_holds(request, token):
            last = self._seen.heads
            assert last is not None
            return wire.Heads(
                unchanged=True,
                database=last.database,
                format=last.format,
                incarnation=last.incarnation,
                catalog_version=last.catalog_version,
                catalog=None,
                catalog_links=(),
                tables=(),
            )
        heads = self._all_heads(request)
        self._seen.record(heads, token)
        return heads

    def _all_heads(self, request: wire.ReadHeads) -> wire.Heads:
        rows = self._all("SELECT database, incarnation, format, catalog_version FROM heads")
        if len(rows) != 1:
            damaged(self._path, "its head is missing")
        database, incarnation, number, version = rows[0]
        for value, kind in zip(rows[0], (bytes, bytes, int, int), strict=True):
            self._expect(value, kind)
        known = request.catalog_version
        catalog = None
        if version != known:
            blobs = self._all("SELECT blob FROM catalog WHERE version = ?", (version,))
            if len(blobs) != 1:
                damaged(self._path, "its catalog is missing")
            (catalog,) = blobs[0]
            self._expect(catalog, bytes)
        links = self._links(
            "SELECT link FROM catalog WHERE version > ? AND version <= ? ORDER BY version",
            (known, version),
        )
        tables = []
        for cursor in request.cursors:
            one = self._table_heads(cursor)
            if one is not None:
                tables.append(one)
        return wire.Heads(
            unchanged=False,
            database=database,
            format=number,
            incarnation=incarnation,
            catalog_version=version,
            catalog=catalog,
            catalog_links=links,
            tables=tuple(tables),
        )

    def _links(self, statement: str, values: Sequence[Any]) -> tuple[bytes, ...]:
        links = tuple(link for (link,) in self._all(statement, values))
        for link in links:
            self._expect(link, bytes)
        return links

    def _table_heads(self, cursor: wire.TableCursor) -> wire.TableHeads | None:
        rows = self._all("SELECT epoch FROM tables WHERE tbl = ?", (cursor.table,))
        if not rows:
            return None
        ((epoch,),) = rows
        self._expect(epoch, int)
        manifest = None
        if epoch not in (0, cursor.epoch):
            ((manifest,),) = self._all("SELECT manifest FROM tables WHERE tbl = ?", (cursor.table,))
            self._expect(manifest, bytes)
        links: tuple[bytes, ...] = ()
        if epoch > cursor.chain:
            links = self._links(
                "SELECT link FROM links WHERE tbl = ? AND epoch > ? AND epoch <= ? ORDER BY epoch",
                (cursor.table, cursor.chain, epoch),
            )
        source = relation("deltas", cursor.table)
        ends = self._all(
            f'SELECT writer, max(n), count(*) FROM "{source}" GROUP BY writer ORDER BY writer'
        )
        known = dict(cursor.frontier)
        deltas: list[wire.DeltaBlob] = []
        for writer, last, _ in ends:
            self._expect(writer, bytes)
            self._expect(last, int)
            start = known.get(writer, 0)
            if len(writer) != 16 or last < 1:
                damaged(self._path, "a delta's address is malformed")
            if last > start:
                deltas += self._deltas(source, writer, start)
        return wire.TableHeads(
            table=cursor.table,
            epoch=epoch,
            manifest=manifest,
            links=links,
            deltas=tuple(deltas),
            ends=tuple(ends),
        )

    def _deltas(self, source: str, writer: bytes, start: int) -> Iterator[wire.DeltaBlob]:
        for n, blob in self._all(
            f'SELECT n, blob FROM "{source}" WHERE writer = ? AND n > ? ORDER BY n',
            (writer, start),
        ):
            self._expect(n, int)
            self._expect(blob, bytes)
            yield wire.DeltaBlob(writer=writer, n=n, blob=blob)
