"""Applying one Commit in a READ COMMITTED transaction of its own: all of it, or nothing.

A commit takes two round trips. The first sends everything: locks, checks and changes. Then the answers
are looked at, and the second one commits or rolls back. Locks come in one order for all:

1. a share of the row of ``tables`` of each table that is changed, or, for a merge, the row itself, by
   ascending table; a schema change takes all of these rows and the row of ``heads``;
2. the writer's own delta, whose key makes a repetition of the same commit wait for the first attempt;
3. the rows, claims and tombstones that are removed or added.

So commits of different writers do not wait for each other, and a merge or schema change waits for those
that have begun; what it checks after that stays true until it ends. What a failed check has met is
found out after the rollback.

PostgreSQL lets new shares of a row overtake whoever waits for the row itself, so among many writers a merge
could wait for ever. After a second it claims the writes of its tables, which keeps new commits out.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, LiteralString

import psycopg

from encdb import ids, wire

from . import schema
from .layout import Statement
from .link import SERVER_NOW, Answer, BlobList, Link, Numbers

Outcome = wire.Committed | wire.Stale | wire.Conflict
HOLD_SECONDS: Final = 5
"""For so long a merge that could not get its tables keeps others' commits out."""
FOLDED_DAYS: Final = 7
"""Days for which the end of a writer whose deltas were all folded is remembered."""
_DAY_SECONDS: Final = 86_400
_ATTEMPTS: Final = 3
_LOCK_SECONDS: Final = (1, HOLD_SECONDS, 0)
"""How long a merge or schema change waits for its tables: among others, alone, and as long as it takes."""
_BEGIN: Final = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"

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
_HOLD: Final[LiteralString] = (
    "INSERT INTO {claims} AS held (tbl, kind, holder, deadline)"
    f" SELECT tbl, 'write', %s, {SERVER_NOW} + %s FROM {{tables}} WHERE tbl = ANY(%s) ORDER BY tbl"
    " ON CONFLICT (tbl, kind) DO UPDATE SET holder = excluded.holder, deadline = excluded.deadline"
    f" WHERE held.deadline <= {SERVER_NOW} RETURNING tbl"
)
_BURY: Final[LiteralString] = (
    "INSERT INTO {tombstones} (tbl, label) SELECT %s, unnest(%s::BIGINT[]) ON CONFLICT DO NOTHING"
)


class Refused(Exception):  # noqa: N818 - an answer on its way out of a transaction, no error.
    """Roll the transaction back and answer with ``outcome``."""

    def __init__(self, outcome: wire.Stale | wire.Conflict) -> None:
        super().__init__()
        self.outcome = outcome


class _Again(Exception):  # noqa: N818 - the same.
    """Roll back and try the same commit again: what stood in its way is gone."""


@dataclass(slots=True)
class _Step:
    """One statement, and the number of rows it has to hit."""

    name: str
    statement: Statement
    expected: int | None = None


@dataclass(slots=True)
class _Steps:
    """What the first round trip of a commit sends."""

    steps: list[_Step] = field(default_factory=list)

    def add(
        self, name: str, text: LiteralString, *values: Any, expected: int | None = None
    ) -> None:
        self.steps.append(_Step(name, (text, values), expected))


def apply(link: Link, commit: wire.Commit) -> Outcome:
    """Carry out one commit.

    Raises:
        psycopg.Error: the database failed. Unless the connection broke, nothing was written.
    """
    for _ in range(_ATTEMPTS):
        try:
            _patiently(link, commit)
        except _Again:
            continue
        except Refused as refused:
            return refused.outcome
        except _Done:
            return wire.Committed(repeated=True)
        return wire.Committed()
    raise psycopg.errors.SerializationFailure


class _Done(Exception):  # noqa: N818 - the same.
    """This very commit was carried out before."""


def _patiently(link: Link, commit: wire.Commit) -> None:
    """One attempt, which keeps other writers out for a moment if it cannot get its tables otherwise."""
    held: list[int] = []
    try:
        for seconds in _LOCK_SECONDS if _is_exclusive(commit) else (0,):
            try:
                return _attempt(link, commit, seconds)
            except psycopg.errors.QueryCanceled:
                if not seconds:
                    raise
                held += _hold(link, commit)
    finally:
        if held and link.is_open:
            address = (Numbers(held), commit.holder)
            link.one(
                "DELETE FROM {claims} WHERE tbl = ANY(%s) AND kind = 'write' AND holder = %s",
                *address,
            )
    raise AssertionError("the loop returns or raises")


def _is_exclusive(commit: wire.Commit) -> bool:
    """Whether it needs tables for itself."""
    return commit.catalog is not None or any(one.swap is not None for one in commit.changes)


def _hold(link: Link, commit: wire.Commit) -> list[int]:
    """Claim the writes of the tables that a commit needs for itself, as far as nobody else has them."""
    tables = [change.table for change in commit.changes if change.swap is not None]
    if commit.catalog is not None:
        tables = [table for (table,) in link.one("SELECT tbl FROM {tables}").rows]
    taken = link.one(_HOLD, commit.holder, HOLD_SECONDS, Numbers(tables))
    return [table for (table,) in taken.rows]


def _attempt(link: Link, commit: wire.Commit, seconds: int) -> None:
    steps = _plan(commit, seconds, link.address.statement_seconds)
    try:
        answers = link.run((_BEGIN, ()), *(one.statement for one in steps))[1:]
        failed = _failed_step(commit, steps, answers)
    except BaseException:
        roll_back(link)
        raise
    if failed is None:
        link.one("COMMIT")
        return
    roll_back(link)
    if _was_done(link, commit):
        raise _Done
    _explain(link, commit, failed)


def roll_back(link: Link) -> None:
    """End a transaction that failed; a broken connection has ended it already."""
    if link.in_transaction:
        try:
            link.one("ROLLBACK")
        except psycopg.Error:
            link.close()


# --- What is sent -----------------------------------------------------------------------------------


def _plan(commit: wire.Commit, seconds: int, longest: int) -> list[_Step]:
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
    if swap is not None:
        _plan_swap(steps, table, swap)


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
    today = int(time.time()) // _DAY_SECONDS
    if swap.folded_deltas:
        last = dict(swap.folded_deltas)  # Ascending, so the last number of each writer stays.
        steps.add(
            "folded",
            "INSERT INTO {folded} AS f (tbl, writer, n, digest, day)"
            " SELECT d.tbl, d.writer, d.n, sha256(d.blob), %s FROM {deltas} AS d"
            " JOIN unnest(%s::BYTEA[], %s::BIGINT[]) AS ends (writer, n)"
            " ON d.writer = ends.writer AND d.n = ends.n WHERE d.tbl = %s"
            " ON CONFLICT (tbl, writer) DO UPDATE"
            " SET n = excluded.n, digest = excluded.digest, day = excluded.day",
            today,
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
    steps.add(
        "folded", "DELETE FROM {folded} WHERE tbl = %s AND day < %s", table, today - FOLDED_DAYS
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
    "deltas": "DELETE FROM {deltas} WHERE tbl = ANY(%s)",
}


# --- What came back ---------------------------------------------------------------------------------


def _failed_step(
    commit: wire.Commit, steps: Sequence[_Step], answers: Sequence[Answer]
) -> str | None:
    """Name of the first check that failed, in the order in which a client wants to know."""
    by_table = {change.table: change for change in commit.changes}
    failed = [
        name
        for step, answer in zip(steps, answers, strict=True)
        if (name := _check(commit, by_table, step, answer)) is not None
    ]
    # That the schema or the merges have moved on explains whatever else failed.
    for kind in ("catalog", "epoch", "held", "absent"):
        for name in failed:
            if name.partition(" ")[0] == kind:
                return name
    return failed[0] if failed else None


def _check(
    commit: wire.Commit, by_table: dict[int, wire.TableChange], step: _Step, answer: Answer
) -> str | None:
    """The name of what failed, if the answer of a step is not as it should be."""
    kind, _, table = step.name.partition(" ")
    failed = step.expected is not None and answer.count != step.expected
    match kind:
        case "version":
            return None if answer.rows == [(commit.catalog_version,)] else "catalog"
        case "epoch" if step.expected is None:
            if not answer.rows:
                return f"absent {table}"
            failed = answer.rows != [(by_table[int(table)].epoch,)]
        case "held":
            failed = bool(answer.rows)
        case "frontier":
            swap = by_table[int(table)].swap
            assert swap is not None
            assert swap.frontier is not None
            expected = dict(swap.frontier)
            failed = any(expected.get(writer) != last for writer, last in answer.rows)
    return step.name if failed else None


def _was_done(link: Link, commit: wire.Commit) -> bool:
    """Whether an earlier attempt to send this commit carried it out.

    Everything was written in one transaction, and each part was sealed under randomness of its own, so
    one part in place proves them all.
    """
    catalog = commit.catalog
    if catalog is not None:
        found = link.one("SELECT link FROM {catalog} WHERE version = %s", catalog.version).rows
        if found == [(catalog.link,)]:
            return True
    return any(_change_was_done(link, change) for change in commit.changes)


def _change_was_done(link: Link, change: wire.TableChange) -> bool:
    table, swap, delta = change.table, change.swap, change.delta
    if swap is not None:
        found = link.one(
            "SELECT link FROM {links} WHERE tbl = %s AND epoch = %s", table, swap.epoch
        ).rows
        if found == [(swap.link,)]:
            return True
    if delta is None:
        return False
    address = (table, delta.writer, delta.n)
    pending, folded = link.run(
        ("SELECT blob FROM {deltas} WHERE tbl = %s AND writer = %s AND n = %s", address),
        ("SELECT digest FROM {folded} WHERE tbl = %s AND writer = %s AND n = %s", address),
    )
    if pending.rows:
        return bool(pending.rows == [(delta.blob,)])
    return folded.rows == [(hashlib.sha256(delta.blob).digest(),)]


def _explain(link: Link, commit: wire.Commit, failed: str) -> None:
    """Say why the commit was refused.

    Raises:
        Refused: always, unless what stood in the way is gone.
        _Again: it is gone.
    """
    kind, _, rest = failed.partition(" ")
    table = int(rest.partition(" ")[0] or 0)
    match kind:
        case "catalog" | "epoch":
            raise Refused(wire.Stale(kind, table))
        case "absent":
            raise Refused(wire.Stale("catalog", table))
        case "created":
            raise Refused(wire.Stale("catalog"))
        case "held":
            raise Refused(wire.Stale("held", commit.changes[0].table))
        case "frontier" | "delta" | "fold":
            raise Refused(wire.Stale("frontier", table))
        case "stage":
            raise Refused(wire.Stale("stage", table))
    change = next(one for one in commit.changes if one.table == table)
    if kind == "keys_added":
        _explain_keys(link, change)
    labels = tuple(sorted(_labels_in_the_way(link, change, kind)))
    if not labels:
        raise _Again
    raise Refused(wire.Conflict("row", table, ids=labels))


def _explain_keys(link: Link, change: wire.TableChange) -> None:
    taken = _present_claims(link, change.table, [tag for tag, _ in change.keys_added])
    freed = set(change.keys_removed)
    tags = tuple(sorted(tag for tag, label in taken if (tag, label) not in freed))
    if not tags:
        raise _Again
    raise Refused(wire.Conflict("key", change.table, tags=tags))


def _labels_in_the_way(link: Link, change: wire.TableChange, kind: str) -> Iterable[int]:
    table = change.table
    if kind == "rows_removed":
        return set(change.rows_removed) - _present(link, "rows", table, change.rows_removed)
    if kind == "tombstones":
        return _present(link, "tombstones", table, change.tombstones)
    if kind == "rows_added":
        return _present(link, "rows", table, [label for label, _ in change.rows_added])
    held = set(_present_claims(link, table, [tag for tag, _ in change.keys_removed]))
    return [label for tag, label in change.keys_removed if (tag, label) not in held]


def _present(link: Link, name: str, table: int, labels: Iterable[int]) -> set[int]:
    query: LiteralString = "SELECT label FROM {rows} WHERE tbl = %s AND label = ANY(%s)"
    if name == "tombstones":
        query = "SELECT label FROM {tombstones} WHERE tbl = %s AND label = ANY(%s)"
    return {label for (label,) in link.one(query, table, Numbers(labels)).rows}


def _present_claims(link: Link, table: int, tags: Iterable[bytes]) -> list[tuple[bytes, int]]:
    query: LiteralString = "SELECT tag, label FROM {keys} WHERE tbl = %s AND tag = ANY(%s)"
    return [(tag, label) for tag, label in link.one(query, table, BlobList(tags)).rows]
