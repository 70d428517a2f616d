"""The relations of an SQLite store, and their names.

sqlite-utils renders the CREATE TABLE statements, so that quoting and types are not written by hand;
it is loaded only when something is created. Names of a table's relations carry its opaque id in
hexadecimal and nothing else.

Database-wide::

    heads     one row: identity, incarnation, format, catalog version
    catalog   version → link, and the sealed catalog of the current version alone
    tables    table → epoch and sealed manifest
    links     (table, epoch) → SHA-256 of the manifest of that epoch
    leases    table → next ordinal, next segment number
    stages    (table, stage) → deadline in seconds since 1970, SWEPT once it was dropped
    staged    (table, stage, kind, number): segments and packs that a stage has written
    staged_visible  (table, stage, entry) → kind and value: visible entries that a stage has written
    claims    (table, kind) → holder and deadline in seconds since 1970; made by the first claim
    folded    (table, writer) → number and SHA-256 of its last folded delta, so that a commit whose
              answer was lost is recognised even after a merge

Per logical table: ``rows``, ``packs``, ``pages``, ``keys``, ``tombstones``, ``deltas``, and ``visible``: the
entries of server-visible indexes, each with its kind. Tags and order-preserving values have a B-tree of their
own; the others are compared one by one. Two stages may write the same entry, as when an index is made again
after a failure, so their entries lie apart until one of them is published.
All ids are INTEGER PRIMARY KEY of rowid tables: blobs of a page's size lie badly in WITHOUT ROWID
tables (1.2 to 2.3 times the space).
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sqlite_utils import Database

APPLICATION_ID: Final = 0x656E6364
"""``encd`` in the SQLite header: tells our files from other programs'."""

INCOMPLETE: Final = 0
"""Format, in the header and in ``heads``, of a store that a copy is being written into."""

PAGE_BYTES: Final = 4096
SWEPT: Final = -1
"""Deadline of a stage that was swept. The row stays, so that the stage cannot be resumed."""

KIND_SEGMENT: Final = 1
KIND_PACK: Final = 2

_Columns = dict[str, type]
_SHARED: Final[dict[str, tuple[_Columns, tuple[str, ...], frozenset[str]]]] = {
    "heads": (
        {"id": int, "database": bytes, "incarnation": bytes, "format": int, "catalog_version": int},
        ("id",),
        frozenset(),
    ),
    "catalog": ({"version": int, "link": bytes, "blob": bytes}, ("version",), frozenset({"blob"})),
    "tables": ({"tbl": int, "epoch": int, "manifest": bytes}, ("tbl",), frozenset({"manifest"})),
    "links": ({"tbl": int, "epoch": int, "link": bytes}, ("tbl", "epoch"), frozenset()),
    "leases": ({"tbl": int, "ordinal": int, "segment": int}, ("tbl",), frozenset()),
    "stages": ({"tbl": int, "stage": int, "deadline": int}, ("tbl", "stage"), frozenset()),
    "staged": (
        {"tbl": int, "stage": int, "kind": int, "number": int},
        ("tbl", "kind", "number"),
        frozenset(),
    ),
    "staged_visible": (
        {"tbl": int, "stage": int, "id": int, "kind": int, "value": bytes},
        ("tbl", "stage", "id"),
        frozenset(),
    ),
    "folded": (
        {"tbl": int, "writer": bytes, "n": int, "digest": bytes, "day": int},
        ("tbl", "writer"),
        frozenset(),
    ),
    "claims": (
        {"tbl": int, "kind": str, "holder": bytes, "deadline": int},
        ("tbl", "kind"),
        frozenset(),
    ),
}
_PER_TABLE: Final[dict[str, tuple[_Columns, tuple[str, ...]]]] = {
    "rows": ({"label": int, "blob": bytes}, ("label",)),
    "packs": ({"id": int, "blob": bytes}, ("id",)),
    "pages": ({"id": int, "blob": bytes}, ("id",)),
    "keys": ({"tag": bytes, "label": int}, ("tag",)),
    "tombstones": ({"label": int}, ("label",)),
    "deltas": ({"writer": bytes, "n": int, "blob": bytes}, ("writer", "n")),
    "visible": ({"id": int, "idx": int, "kind": int, "value": bytes}, ("id",)),
}
# Every column that a lookup needs is in it; the id comes with it.
_BY_VALUE: Final = 'CREATE INDEX "{0}_value" ON "{0}" (idx, value) WHERE kind < 3'
_CLUSTERED: Final = "staged_visible"
"""Its rows are short, so a second B-tree would double it."""
TABLE_KEYED: Final = (
    "tables",
    "links",
    "leases",
    "stages",
    "staged",
    "staged_visible",
    "folded",
    "claims",
)
"""Shared relations with rows of a logical table, which go when it is dropped."""

RELATIONS: Final = tuple(_PER_TABLE)


def relation(name: str, table: int) -> str:
    """Name of one relation of one logical table, such as ``rows_00c0ffee``."""
    return f"{name}_{table:08x}"


def create_shared() -> tuple[str, ...]:
    """CREATE TABLE statements of the database-wide relations."""
    return tuple(create_shared_relation(name) for name in _SHARED)


def create_shared_relation(name: str) -> str:
    """CREATE TABLE statement of one database-wide relation."""
    columns, key, nullable = _SHARED[name]
    statement = _render(name, columns, key, frozenset(columns) - nullable).rstrip("; \n")
    return f"{statement} WITHOUT ROWID" if name == _CLUSTERED else statement


def create_table(table: int) -> tuple[str, ...]:
    """CREATE statements of one logical table."""
    relations = tuple(
        _render(relation(name, table), columns, key, frozenset(columns))
        for name, (columns, key) in _PER_TABLE.items()
    )
    return (*relations, _BY_VALUE.format(relation("visible", table)))


def drop_table(table: int) -> tuple[str, ...]:
    """Statements that remove one logical table."""
    return tuple(f'DROP TABLE "{relation(name, table)}"' for name in RELATIONS) + tuple(
        f'DELETE FROM "{name}" WHERE tbl = {table:d}' for name in TABLE_KEYED
    )


def _render(name: str, columns: _Columns, key: tuple[str, ...], not_null: frozenset[str]) -> str:
    pk = key[0] if len(key) == 1 else key
    required = sorted(not_null - ({pk} if isinstance(pk, str) and columns[pk] is int else set()))
    return _renderer().create_table_sql(name, columns, pk=pk, not_null=required)


_OF_THREAD: Final = threading.local()


def _renderer() -> Database:
    """A scratch database in memory; the store's own connection is never given away.

    Each thread has its own, because SQLite's driver lets no other thread use it.
    """
    from sqlite_utils import Database

    if not hasattr(_OF_THREAD, "database"):
        _OF_THREAD.database = Database(memory=True, execute_plugins=False)
    database: Database = _OF_THREAD.database
    return database
