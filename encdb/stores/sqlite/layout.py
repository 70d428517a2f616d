"""Reading what a copy of the whole store needs beside its blobs.

The file is not trusted: SQLite keeps any type in any column, and rows can be missing. Whatever is not as
encdb writes it makes the store damaged, so that a copy never papers over it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from encdb import wire

from .connection import damaged
from .schema import KIND_PACK, KIND_SEGMENT


def read_layout(connection: sqlite3.Connection, path: str) -> wire.Layout:
    """Everything clear in the store, from the read transaction that is open.

    Raises:
        TamperError: a value has a wrong type, or a row is missing (``E_STORE_DAMAGED``).
        sqlite3.Error: the database failed.
    """
    return _Reader(connection, path).layout()


class _Reader:
    """Reads one layout and believes nothing."""

    def __init__(self, connection: sqlite3.Connection, path: str) -> None:
        self._connection = connection
        self._path = path

    def layout(self) -> wire.Layout:
        heads = self._all(
            "SELECT database, incarnation, format, catalog_version FROM heads",
            (bytes, bytes, int, int),
        )
        if len(heads) != 1:
            damaged(self._path, "its head is missing")
        database, incarnation, number, version = heads[0]
        if len(database) != 16 or len(incarnation) != 16 or version < 0:
            damaged(self._path, "its head is malformed")
        catalogs = self._all("SELECT blob FROM catalog WHERE version = ?", (bytes,), (version,))
        if len(catalogs) != 1:
            damaged(self._path, "its catalog is missing")
        links = self._links(
            "SELECT version, link FROM catalog WHERE version <= ? ORDER BY version",
            (version,),
            range(version + 1),
        )
        return wire.Layout(
            database=database,
            format=number,
            incarnation=incarnation,
            catalog_version=version,
            catalog=catalogs[0][0],
            catalog_links=links,
            tables=tuple(
                self._table(table, epoch)
                for table, epoch in self._all(
                    "SELECT tbl, epoch FROM tables ORDER BY tbl", (int, int)
                )
            ),
        )

    def _table(self, table: int, epoch: int) -> wire.TableLayout:
        if epoch < 0:
            damaged(self._path, "an epoch is negative")
        manifest = None
        if epoch:
            ((manifest,),) = self._all(
                "SELECT manifest FROM tables WHERE tbl = ?", (bytes,), (table,)
            )
        counters = self._all(
            "SELECT ordinal, segment FROM leases WHERE tbl = ?", (int, int), (table,)
        )
        if len(counters) != 1:
            damaged(self._path, "the counters of a table are missing")
        ((next_ordinal, next_segment),) = counters
        staged = self._all(
            "SELECT kind, number FROM staged WHERE tbl = ? ORDER BY kind, number",
            (int, int),
            (table,),
        )
        return wire.TableLayout(
            table=table,
            epoch=epoch,
            manifest=manifest,
            links=self._links(
                "SELECT epoch, link FROM links WHERE tbl = ? AND epoch <= ? ORDER BY epoch",
                (table, epoch),
                range(1, epoch + 1),
            ),
            next_ordinal=next_ordinal,
            next_segment=next_segment,
            folded=tuple(self._folded(table)),
            staged_segments=tuple(number for kind, number in staged if kind == KIND_SEGMENT),
            staged_packs=tuple(number for kind, number in staged if kind == KIND_PACK),
        )

    def _folded(self, table: int) -> list[wire.FoldedEnd]:
        ends = self._all(
            "SELECT writer, n, digest, day FROM folded WHERE tbl = ? ORDER BY writer",
            (bytes, int, bytes, int),
            (table,),
        )
        for writer, n, digest, _ in ends:
            if len(writer) != 16 or len(digest) != 32 or n < 1:
                damaged(self._path, "the end of a writer is malformed")
        return [wire.FoldedEnd(*end) for end in ends]

    def _links(self, statement: str, values: Sequence[Any], numbers: range) -> tuple[bytes, ...]:
        """The links of exactly these versions or epochs."""
        found = self._all(statement, (int, bytes), values)
        # The length of a range that a hostile number makes does not fit a C integer.
        if len(found) != numbers.stop - numbers.start or any(
            number != expected or len(link) != 32
            for (number, link), expected in zip(found, numbers, strict=True)
        ):
            damaged(self._path, "links to earlier versions are missing or malformed")
        return tuple(link for _, link in found)

    def _all(
        self, statement: str, types: tuple[type, ...], values: Sequence[Any] = ()
    ) -> list[tuple[Any, ...]]:
        """All rows, of exactly these types."""
        found = self._connection.execute(statement, values).fetchall()
        for row in found:
            if tuple(map(type, row)) != types:
                damaged(self._path, "a value has a wrong type")
        return found
