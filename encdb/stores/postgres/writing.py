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

from typing import Final, LiteralString

import psycopg

from encdb import wire

from .link import SERVER_NOW, Link, Numbers
from .steps import plan
from .verdict import Again, Refused, explain, failed_step, was_done

Outcome = wire.Committed | wire.Stale | wire.Conflict
HOLD_SECONDS: Final = 5
"""For so long a merge that could not get its tables keeps others' commits out."""
_ATTEMPTS: Final = 3
_LOCK_SECONDS: Final = (1, HOLD_SECONDS, 0)
"""How long a merge or schema change waits for its tables: among others, alone, and as long as it takes."""
_BEGIN: Final = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
_HOLD: Final[LiteralString] = (
    "INSERT INTO {claims} AS held (tbl, kind, holder, deadline)"
    f" SELECT tbl, 'write', %s, {SERVER_NOW} + %s FROM {{tables}} WHERE tbl = ANY(%s) ORDER BY tbl"
    " ON CONFLICT (tbl, kind) DO UPDATE SET holder = excluded.holder, deadline = excluded.deadline"
    f" WHERE held.deadline <= {SERVER_NOW} RETURNING tbl"
)


class _Done(Exception):  # noqa: N818 - an answer on its way out of a transaction, no error.
    """This very commit was carried out before."""


def apply(link: Link, commit: wire.Commit) -> Outcome:
    """Carry out one commit.

    Raises:
        psycopg.Error: the database failed. Unless the connection broke, nothing was written.
    """
    for _ in range(_ATTEMPTS):
        try:
            _patiently(link, commit)
        except Again:
            continue
        except Refused as refused:
            return refused.outcome
        except _Done:
            return wire.Committed(repeated=True)
        return wire.Committed()
    raise psycopg.errors.SerializationFailure


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
    steps = plan(commit, seconds, link.address.statement_seconds)
    try:
        answers = link.run((_BEGIN, ()), *(one.statement for one in steps))[1:]
        failed = failed_step(commit, steps, answers)
    except BaseException:
        roll_back(link)
        raise
    if failed is None:
        link.one("COMMIT")
        return
    roll_back(link)
    if was_done(link, commit):
        raise _Done
    explain(link, commit, failed)


def roll_back(link: Link) -> None:
    """End a transaction that failed; a broken connection has ended it already."""
    if link.in_transaction:
        try:
            link.one("ROLLBACK")
        except psycopg.Error:
            link.close()
