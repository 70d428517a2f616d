"""The relations of a PostgreSQL store: the same for every logical table, in one schema.

They are made once. Creating a table is a row of ``tables``, not a CREATE TABLE, so that a role that may
only read and write rows serves for everything but ``encdb init``, and prepared statements stay valid.
Every relation begins with the opaque id of the logical table; the key that follows it is what a
distributed engine would place rows by. Nothing references anything, and no sequence, trigger or extension
is used; the one function compares order-revealing values, which are visible to the database on purpose.

Blobs are ciphertext, which does not compress: they are stored uncompressed, and up to 8,160 bytes in
the row itself, so that two index pages fill a page of the database exactly.
"""

from __future__ import annotations

from typing import Final

from psycopg import sql

from indexes.methods.ore.sql import COMPARE
from indexes.methods.ore.sql import FUNCTION as FUNCTION

_INLINE: Final = "WITH (fillfactor = 100, toast_tuple_target = 8160)"
# Segments and deltas come and go as a whole: their dead rows should go before a fifth is dead.
_BUSY: Final = (
    "WITH (fillfactor = 100, toast_tuple_target = 8160, autovacuum_vacuum_scale_factor = 0.02)"
)

RELATIONS: Final[dict[str, tuple[str, str]]] = {
    "heads": (
        (
            "id INTEGER PRIMARY KEY, database BYTEA NOT NULL, incarnation BYTEA NOT NULL,"
            " format INTEGER NOT NULL, catalog_version BIGINT NOT NULL"
        ),
        "",
    ),
    "catalog": ("version BIGINT PRIMARY KEY, link BYTEA NOT NULL, blob BYTEA", ""),
    "tables": ("tbl BIGINT PRIMARY KEY, epoch BIGINT NOT NULL, manifest BYTEA", ""),
    "links": (
        "tbl BIGINT NOT NULL, epoch BIGINT NOT NULL, link BYTEA NOT NULL, PRIMARY KEY (tbl, epoch)",
        "",
    ),
    "leases": ("tbl BIGINT PRIMARY KEY, ordinal BIGINT NOT NULL, segment BIGINT NOT NULL", ""),
    "stages": (
        (
            "tbl BIGINT NOT NULL, stage BIGINT NOT NULL, deadline BIGINT NOT NULL,"
            " PRIMARY KEY (tbl, stage)"
        ),
        "",
    ),
    "staged": (
        (
            "tbl BIGINT NOT NULL, stage BIGINT NOT NULL, kind INTEGER NOT NULL, number BIGINT NOT NULL,"
            " PRIMARY KEY (tbl, kind, number)"
        ),
        "",
    ),
    "folded": (
        (
            "tbl BIGINT NOT NULL, writer BYTEA NOT NULL, n BIGINT NOT NULL, digest BYTEA NOT NULL,"
            " day BIGINT NOT NULL, PRIMARY KEY (tbl, writer)"
        ),
        "",
    ),
    "claims": (
        (
            "tbl BIGINT NOT NULL, kind TEXT NOT NULL, holder BYTEA NOT NULL, deadline BIGINT NOT NULL,"
            " PRIMARY KEY (tbl, kind)"
        ),
        "",
    ),
    "rows": (
        (
            "tbl BIGINT NOT NULL, label BIGINT NOT NULL, blob BYTEA NOT NULL STORAGE EXTERNAL,"
            " PRIMARY KEY (tbl, label)"
        ),
        _BUSY,
    ),
    "packs": (
        (
            "tbl BIGINT NOT NULL, id BIGINT NOT NULL, blob BYTEA NOT NULL STORAGE EXTERNAL,"
            " PRIMARY KEY (tbl, id)"
        ),
        "WITH (fillfactor = 100)",
    ),
    "pages": (
        (
            "tbl BIGINT NOT NULL, segment INTEGER NOT NULL, page INTEGER NOT NULL,"
            " blob BYTEA NOT NULL STORAGE EXTERNAL, PRIMARY KEY (tbl, segment, page)"
        ),
        _BUSY,
    ),
    "keys": (
        "tbl BIGINT NOT NULL, tag BYTEA NOT NULL, label BIGINT NOT NULL, PRIMARY KEY (tbl, tag)",
        "WITH (autovacuum_vacuum_scale_factor = 0.02)",
    ),
    "visible": (
        (
            "tbl BIGINT NOT NULL, id BIGINT NOT NULL, idx INTEGER NOT NULL, kind SMALLINT NOT NULL,"
            " value BYTEA NOT NULL, PRIMARY KEY (tbl, id)"
        ),
        "WITH (autovacuum_vacuum_scale_factor = 0.02)",
    ),
    "staged_visible": (
        (
            "tbl BIGINT NOT NULL, stage BIGINT NOT NULL, id BIGINT NOT NULL, kind SMALLINT NOT NULL,"
            " value BYTEA NOT NULL, PRIMARY KEY (tbl, stage, id)"
        ),
        "WITH (autovacuum_vacuum_scale_factor = 0.02)",
    ),
    "tombstones": ("tbl BIGINT NOT NULL, label BIGINT NOT NULL, PRIMARY KEY (tbl, label)", ""),
    "deltas": (
        (
            "tbl BIGINT NOT NULL, writer BYTEA NOT NULL, n BIGINT NOT NULL,"
            " xid XID8 NOT NULL DEFAULT pg_current_xact_id(), blob BYTEA NOT NULL STORAGE EXTERNAL,"
            " PRIMARY KEY (tbl, writer, n)"
        ),
        _BUSY,
    ),
}
"""Name → columns and storage parameters."""

TABLE_KEYED: Final = tuple(name for name in RELATIONS if name not in {"heads", "catalog"})
"""Relations with rows of a logical table, which go when it is dropped."""

SWEPT: Final = -1
"""Deadline of a stage that was swept. The row stays, so that the stage cannot be resumed."""

KIND_SEGMENT: Final = 1
KIND_PACK: Final = 2


def create(schema: str) -> list[sql.Composed]:
    """Statements that make every relation in an existing schema."""
    statements = []
    for name, (columns, options) in RELATIONS.items():
        inline, storage = _split_storage(columns)
        relation = sql.Identifier(schema, name)
        statements.append(
            sql.SQL("CREATE TABLE {} ({}) {}").format(
                relation,
                sql.SQL(inline),
                sql.SQL(options),
            )
        )
        if storage:
            # CREATE TABLE knows STORAGE from version 16 on only.
            statements.append(
                sql.SQL("ALTER TABLE {} ALTER COLUMN blob SET STORAGE EXTERNAL").format(relation)
            )
    # Readers ask for the deltas of transactions that their last snapshot did not see.
    statements.append(
        sql.SQL("CREATE INDEX {} ON {} (tbl, xid)").format(
            sql.Identifier("deltas_xid"), sql.Identifier(schema, "deltas")
        )
    )
    visible = sql.Identifier(schema, "visible")
    statements += [
        # Everything that a lookup needs is in it.
        sql.SQL("CREATE INDEX {} ON {} (tbl, idx, value) INCLUDE (id) WHERE kind < 3").format(
            sql.Identifier("visible_value"), visible
        ),
        sql.SQL(COMPARE).format(name=sql.Identifier(schema, FUNCTION)),
    ]
    return statements


def _split_storage(columns: str) -> tuple[str, bool]:
    plain = columns.replace(" STORAGE EXTERNAL", "")
    return plain, plain != columns
