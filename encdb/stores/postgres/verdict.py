"""What became of a commit that was sent: done, done before, or why not."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import LiteralString

from encdb import wire
from encdb.errors import InternalError, err

from .link import Answer, BlobList, Link, Numbers
from .steps import Step


class Refused(Exception):  # noqa: N818 - an answer on its way out of a transaction, no error.
    """Roll the transaction back and answer with ``outcome``."""

    def __init__(self, outcome: wire.Stale | wire.Conflict) -> None:
        super().__init__()
        self.outcome = outcome


class Again(Exception):  # noqa: N818 - the same.
    """Roll back and try the same commit again: what stood in its way is gone."""


def failed_step(
    commit: wire.Commit, steps: Sequence[Step], answers: Sequence[Answer]
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
    commit: wire.Commit, by_table: dict[int, wire.TableChange], step: Step, answer: Answer
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
        case "visible_published":
            failed = answer.rows != [(True,)]
        case "frontier":
            swap = by_table[int(table)].swap
            assert swap is not None
            assert swap.frontier is not None
            expected = dict(swap.frontier)
            failed = any(expected.get(writer) != last for writer, last in answer.rows)
    return step.name if failed else None


def was_done(link: Link, commit: wire.Commit) -> bool:
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


def explain(link: Link, commit: wire.Commit, failed: str) -> None:
    """Say why the commit was refused.

    Raises:
        Refused: always, unless what stood in the way is gone.
        Again: it is gone.
        InternalError: the commit cannot be carried out at all.
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
        case "visible_added" | "visible_published":
            raise err(InternalError, "E_INTERNAL", "a row has two visible entries")
    change = next(one for one in commit.changes if one.table == table)
    if kind == "keys_added":
        _explain_keys(link, change)
    labels = tuple(sorted(_labels_in_the_way(link, change, kind)))
    if not labels:
        raise Again
    raise Refused(wire.Conflict("row", table, ids=labels))


def _explain_keys(link: Link, change: wire.TableChange) -> None:
    taken = _present_claims(link, change.table, [tag for tag, _ in change.keys_added])
    freed = set(change.keys_removed)
    tags = tuple(sorted(tag for tag, label in taken if (tag, label) not in freed))
    if not tags:
        raise Again
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
