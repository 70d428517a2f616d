"""What a commit sends in its first round trip: locks, checks and changes, as named steps.

A step is named by its kind and its table, such as ``rows_added 7``; :mod:`.verdict` reads the names.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, LiteralString

from encdb import ids, wire

from . import schema, visible
from .layout import Statement
from .link import SERVER_NOW, BlobList, Numbers

FOLDED_DAYS: Final = 7
"""Days for which the end of a writer whose deltas were all folded is remembered."""
_TODAY: Final = f"({SERVER_NOW} / 86400)"
"""Days since 1970 by the server's clock."""
_DELTA: Final[LiteralString] = (
    # A writer's deltas are gapless, and it may begin anew once a manifest has forgotten it.
    "INSERT INTO {deltas} (tbl, writer, n, blob) SELECT %s, %s, %s, %s"
    " WHERE %s = 1 + coalesce((SELECT max(n) FROM {deltas} WHERE tbl = %s AND writer = %s),"
    " (SELECT n FROM {folded} WHERE tbl = %s AND writer = %s), 0)"
    " OR %s = 1 AND NOT EXISTS (SELECT FROM {deltas} WHERE tbl = %s AND writer = %s)"
    " ON CONFLICT DO NOTHING"
)
_ADD_ROWS: Final[LiteralString] = (
    "INSERT INTO {rows} (tbl, label, blob) SELECT %s, label, blob"
    " FROM unnest(%s::BIGINT[], %s::BYTEA[]) AS new (label, blob) ON CONFLICT DO NOTHING"
)
_REMOVE_ROWS: Final[LiteralString] = "DELETE FROM {rows} WHERE tbl = %s AND label = ANY(%s)"
_ADD_KEYS: Final[LiteralString] = (
    "INSERT INTO {keys} (tbl, tag, label) SELECT %s, tag, label"
    " FROM unnest(%s::BYTEA[], %s::BIGINT[]) AS new (tag, label) ON CONFLICT DO NOTHING"
)
_REMOVE_KEYS: Final[LiteralString] = (
    "DELETE FROM {keys} AS k USING unnest(%s::BYTEA[], %s::BIGINT[]) AS gone (tag, label)"
    " WHERE k.tbl = %s AND k.tag = gone.tag AND k.label = gone.label"
)
# Each wait for one of the sharers is short, so a limit of the time for one lock would not do.
_PATIENCE: Final[LiteralString] = "SELECT set_config('statement_timeout', %s, true)"
_SHARE: Final[LiteralString] = (
    # Who is held up by a claim takes no share either, or the claim's holder would go on waiting.
    "SELECT epoch FROM {tables} WHERE tbl = %s AND NOT EXISTS (SELECT FROM {claims}"
    f" WHERE tbl = %s AND kind = 'write' AND holder <> %s AND deadline > {SERVER_NOW}) FOR SHARE"
)
_BURY: Final[LiteralString] = (
    "INSERT INTO {tombstones} (tbl, label) SELECT %s, unnest(%s::BIGINT[]) ON CONFLICT DO NOTHING"
)


@dataclass(slots=True)
class Step:
    """One statement, and the number of rows it has to hit."""

    name: str
    statement: Statement
    expected: int | None = None


@dataclass(slots=True)
class _Steps:
    """What the first round trip of a commit sends."""

    steps: list[Step] = field(default_factory=list)

    def add(
        self, name: str, text: LiteralString, *values: Any, expected: int | None = None
    ) -> None:
        self.steps.append(Step(name, (text, values), expected))


def plan(commit: wire.Commit, seconds: int, longest: int) -> list[Step]:
    """The steps of a commit.

    Args:
        commit: what to do.
        seconds: how long to wait for the locks, 0 for as long as for any statement.
        longest: how long the server may work on any other statement, in seconds.
    """
    steps, catalog = _Steps(), commit.catalog
    if seconds:
        steps.add("patience", _PATIENCE, f"{seconds}s")
    if catalog is not None:
        steps.add("lock", "SELECT tbl FROM {tables} ORDER BY tbl FOR NO KEY UPDATE")
        steps.add("lock", "SELECT id FROM {heads} FOR NO KEY UPDATE")
        if catalog.created:
            made = Numbers(catalog.created)
            steps.add(
                "created",
                "INSERT INTO {tables} (tbl, epoch) SELECT unnest(%s::BIGINT[]), 0"
                " ON CONFLICT DO NOTHING",
                made,
                expected=len(made),
            )
            steps.add(
                "created",
                "INSERT INTO {leases} (tbl, ordinal, segment) SELECT unnest(%s::BIGINT[]), 0, 1"
                " ON CONFLICT DO NOTHING",
                made,
                expected=len(made),
            )
    for change in commit.changes:
        if change.swap is not None:
            whole: LiteralString = "SELECT epoch FROM {tables} WHERE tbl = %s FOR NO KEY UPDATE"
            steps.add(f"epoch {change.table}", whole, change.table)
        else:
            steps.add(f"epoch {change.table}", _SHARE, change.table, change.table, commit.holder)
    if seconds:
        steps.add("patience", _PATIENCE, f"{longest}s")
    # After the locks, so that nothing of this can change before the transaction ends.
    steps.add("version", "SELECT catalog_version FROM {heads}")
    if commit.changes:
        steps.add(
            "held",
            "SELECT tbl FROM {claims} WHERE tbl = ANY(%s) AND kind = 'write' AND holder <> %s"
            f" AND deadline > {SERVER_NOW}",
            Numbers(change.table for change in commit.changes),
            commit.holder,
        )
    for change in commit.changes:
        _plan_change(steps, change)
    if catalog is not None:
        _plan_catalog(steps, catalog)
    return steps.steps


def _plan_change(steps: _Steps, change: wire.TableChange) -> None:
    table, swap, delta = change.table, change.swap, change.delta
    if swap is not None and swap.frontier is not None:
        steps.add(
            f"frontier {table}",
            "SELECT writer, max(n) FROM {deltas} WHERE tbl = %s GROUP BY writer",
            table,
        )
    if delta is not None:
        writer, n = delta.writer, delta.n
        own = (table, writer)
        steps.add(f"delta {table}", _DELTA, *own, n, delta.blob, n, *own, *own, n, *own, expected=1)
    if change.rows_removed:
        gone = Numbers(change.rows_removed)
        steps.add(f"rows_removed {table}", _REMOVE_ROWS, table, gone, expected=len(gone))
    if change.keys_removed:
        tags, labels = _columns(change.keys_removed)
        steps.add(f"keys_removed {table}", _REMOVE_KEYS, tags, labels, table, expected=len(tags))
    if change.tombstones:
        buried = Numbers(change.tombstones)
        steps.add(f"tombstones {table}", _BURY, table, buried, expected=len(buried))
    if change.keys_added:
        tags, labels = _columns(change.keys_added)
        steps.add(f"keys_added {table}", _ADD_KEYS, table, tags, labels, expected=len(tags))
    if change.rows_added:
        blobs = BlobList(blob for _, blob in change.rows_added)
        numbers = Numbers(label for label, _ in change.rows_added)
        steps.add(f"rows_added {table}", _ADD_ROWS, table, numbers, blobs, expected=len(numbers))
    _plan_visible(steps, change)
    if swap is not None:
        _plan_swap(steps, table, swap)


def _plan_visible(steps: _Steps, change: wire.TableChange) -> None:
    table = change.table
    if change.visible_dropped:
        gone = Numbers(change.visible_dropped)
        steps.add("visible_dropped", visible.DROP_INDEXES, gone, table)
    if change.visible_removed:
        steps.add("visible_removed", visible.REMOVE, table, Numbers(change.visible_removed))
    for batch in change.visible_added:
        steps.add(
            f"visible_added {table}",
            visible.ADD,
            *visible.added(table, batch),
            expected=len(batch.entries),
        )


def _columns(claims: ids.Claims) -> tuple[BlobList, Numbers]:
    return BlobList(tag for tag, _ in claims), Numbers(label for _, label in claims)


def _plan_swap(steps: _Steps, table: int, swap: wire.Swap) -> None:
    if swap.published:
        stages = Numbers(swap.published)
        steps.add(
            f"stage {table}",
            "DELETE FROM {stages} WHERE tbl = %s AND stage = ANY(%s) AND deadline <> %s",
            table,
            stages,
            schema.SWEPT,
            expected=len(stages),
        )
        steps.add(
            "published", "DELETE FROM {staged} WHERE tbl = %s AND stage = ANY(%s)", table, stages
        )
        steps.add(f"visible_published {table}", visible.PUBLISH, table, stages)
    _plan_fold(steps, table, swap)
    if swap.retired_segments:
        steps.add(
            "retired",
            "DELETE FROM {pages} WHERE tbl = %s AND segment = ANY(%s)",
            table,
            Numbers(swap.retired_segments),
        )
    if swap.retired_packs:
        steps.add(
            "retired",
            "DELETE FROM {packs} AS p USING unnest(%s::BIGINT[]) AS gone (pack)"
            f" WHERE p.tbl = %s AND p.id >= gone.pack << {ids.PACK_SHIFT:d}"
            f" AND p.id < (gone.pack + 1) << {ids.PACK_SHIFT:d}",
            Numbers(swap.retired_packs),
            table,
        )
    steps.add(
        f"epoch {table} swapped",
        "UPDATE {tables} SET epoch = %s, manifest = %s WHERE tbl = %s AND epoch = %s",
        swap.epoch,
        swap.manifest,
        table,
        swap.epoch - 1,
        expected=1,
    )
    steps.add(
        "link",
        "INSERT INTO {links} (tbl, epoch, link) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
        table,
        swap.epoch,
        swap.link,
    )


def _plan_fold(steps: _Steps, table: int, swap: wire.Swap) -> None:
    """Remove what the new manifest has taken in, and remember where its writers ended."""
    if swap.folded_deltas:
        last = dict(swap.folded_deltas)  # Ascending, so the last number of each writer stays.
        steps.add(
            "folded",
            "INSERT INTO {folded} AS f (tbl, writer, n, digest, day)"
            f" SELECT d.tbl, d.writer, d.n, sha256(d.blob), {_TODAY} FROM {{deltas}} AS d"
            " JOIN unnest(%s::BYTEA[], %s::BIGINT[]) AS ends (writer, n)"
            " ON d.writer = ends.writer AND d.n = ends.n WHERE d.tbl = %s"
            " ON CONFLICT (tbl, writer) DO UPDATE"
            " SET n = excluded.n, digest = excluded.digest, day = excluded.day",
            BlobList(last),
            Numbers(last.values()),
            table,
        )
        writers, numbers = zip(*swap.folded_deltas, strict=True)
        steps.add(
            f"fold {table}",
            "DELETE FROM {deltas} AS d USING unnest(%s::BYTEA[], %s::BIGINT[]) AS gone (writer, n)"
            " WHERE d.tbl = %s AND d.writer = gone.writer AND d.n = gone.n",
            BlobList(writers),
            Numbers(numbers),
            table,
            expected=len(swap.folded_deltas),
        )
        # Only such a merge drops writers that are idle from the manifest, too.
        steps.add(
            "folded",
            f"DELETE FROM {{folded}} WHERE tbl = %s AND day < {_TODAY} - %s",
            table,
            FOLDED_DAYS,
        )
    if swap.folded_rows:
        steps.add("folded", _REMOVE_ROWS, table, Numbers(swap.folded_rows))
    if swap.folded_tombstones:
        steps.add(
            "folded",
            "DELETE FROM {tombstones} WHERE tbl = %s AND label = ANY(%s)",
            table,
            Numbers(swap.folded_tombstones),
        )
    if swap.folded_keys:
        steps.add("folded", _REMOVE_KEYS, *_columns(swap.folded_keys), table)


def _plan_catalog(steps: _Steps, catalog: wire.CatalogChange) -> None:
    if catalog.dropped:
        gone = Numbers(catalog.dropped)
        for name in schema.TABLE_KEYED:
            steps.add("dropped", DROP[name], gone)
    # Links of old versions stay for clients that knew one of them; their blobs do not.
    steps.add("catalog", "UPDATE {catalog} SET blob = NULL WHERE blob IS NOT NULL")
    steps.add(
        "catalog",
        "INSERT INTO {catalog} (version, link, blob) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
        catalog.version,
        catalog.link,
        catalog.blob,
    )
    steps.add("catalog", "UPDATE {heads} SET catalog_version = %s", catalog.version)


DROP: Final[dict[str, LiteralString]] = {
    "tables": "DELETE FROM {tables} WHERE tbl = ANY(%s)",
    "links": "DELETE FROM {links} WHERE tbl = ANY(%s)",
    "leases": "DELETE FROM {leases} WHERE tbl = ANY(%s)",
    "stages": "DELETE FROM {stages} WHERE tbl = ANY(%s)",
    "staged": "DELETE FROM {staged} WHERE tbl = ANY(%s)",
    "folded": "DELETE FROM {folded} WHERE tbl = ANY(%s)",
    "claims": "DELETE FROM {claims} WHERE tbl = ANY(%s)",
    "rows": "DELETE FROM {rows} WHERE tbl = ANY(%s)",
    "packs": "DELETE FROM {packs} WHERE tbl = ANY(%s)",
    "pages": "DELETE FROM {pages} WHERE tbl = ANY(%s)",
    "keys": "DELETE FROM {keys} WHERE tbl = ANY(%s)",
    "tombstones": "DELETE FROM {tombstones} WHERE tbl = ANY(%s)",
    "visible": "DELETE FROM {visible} WHERE tbl = ANY(%s)",
    "staged_visible": "DELETE FROM {staged_visible} WHERE tbl = ANY(%s)",
    "deltas": "DELETE FROM {deltas} WHERE tbl = ANY(%s)",
}
