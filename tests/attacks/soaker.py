"""A process that writes to a store, or reads from it, until it is killed; many of them run at once.

Run as ``python -m tests.attacks.soaker write|read STORE KEYRING LEDGER LAUNCH``. A writer notes in the
ledger which group it begins and which was acknowledged, as :mod:`tests.attacks.worker` does. What each
group does follows from its number, so the groups that are found say what every row has to be.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import encdb
import proxy.compaction
from tests.attacks.worker import Ledger

ACCOUNTS, AMOUNT, GROUP_ROWS = 24, 1000, 5
GROUPS_OF_A_LAUNCH = 100_000


def schema(connection: Any) -> None:
    """The tables."""
    connection.execute(
        "CREATE TABLE groups (id BIGINT PRIMARY KEY, grp BIGINT, label TEXT UNIQUE, words TEXT)"
    )
    connection.execute("CREATE INDEX ON groups USING equality (grp)")
    connection.execute("CREATE INDEX ON groups USING keyword (words)")
    connection.execute("CREATE TABLE accounts (id BIGINT PRIMARY KEY, amount BIGINT)")
    connection.execute("CREATE INDEX ON accounts USING range (amount)")
    connection.executemany(
        "INSERT INTO accounts VALUES (?, ?)", [(n, AMOUNT) for n in range(ACCOUNTS)]
    )


def transfer(group: int) -> tuple[int, int]:
    """The account that a group takes one from, and the one that gets it."""
    source = group * 7 % ACCOUNTS
    return source, (source + 1 + group % (ACCOUNTS - 1)) % ACCOUNTS


def amounts(groups: Iterable[int]) -> dict[int, int]:
    """What the accounts hold after these groups."""
    held = dict.fromkeys(range(ACCOUNTS), AMOUNT)
    for source, target in map(transfer, groups):
        held[source] -= 1
        held[target] += 1
    return held


def counts(connection: Any) -> Mapping[int, int]:
    """Rows by group."""
    found = connection.execute("SELECT grp, count(*) FROM groups GROUP BY grp").fetchall()
    return dict(found)


def write(connection: Any, ledger: Ledger, launch: int) -> None:
    """Transactions over two tables, and now and then a merge."""
    for number in itertools.count():
        group = launch * GROUPS_OF_A_LAUNCH + number
        ledger.note("begin", group)
        while not _done(connection, group):
            pass
        ledger.note("done", group)
        if number % 15 == 14:
            try:
                connection.execute("VACUUM")
            except encdb.ConflictError:
                continue


def _done(connection: Any, group: int) -> bool:
    source, target = transfer(group)
    first = group * 10
    rows = [(first + n, group, f"{first + n}", f"group{group} row") for n in range(GROUP_ROWS + 1)]
    connection.execute("BEGIN")
    try:
        connection.executemany("INSERT INTO groups VALUES (?, ?, ?, ?)", rows)
        connection.execute("UPDATE accounts SET amount = amount - 1 WHERE id = ?", (source,))
        connection.execute("UPDATE accounts SET amount = amount + 1 WHERE id = ?", (target,))
        connection.execute("DELETE FROM groups WHERE id = ?", (first + GROUP_ROWS,))
        connection.commit()
    except encdb.ConflictError:
        connection.rollback()
        return False
    return True


def read(connection: Any, ledger: Ledger, launch: int) -> None:
    """One state at a time: whole groups, a kept sum, and indexes that agree with the scan."""
    for number in itertools.count():
        connection.execute("BEGIN")
        found = counts(connection)
        assert set(found.values()) <= {GROUP_ROWS}, found
        held = connection.execute("SELECT id, amount FROM accounts").fetchall()
        assert dict(held) == amounts(found)
        for group in itertools.islice(found, number % 7, None, 50):
            ((count,),) = connection.execute(
                "SELECT count(*) FROM groups WHERE grp = ?", (group,)
            ).fetchall()
            assert count == GROUP_ROWS
            word = f"SELECT count(*) FROM groups WHERE words @@ 'group{group}'"
            assert connection.execute(word).fetchall() == [(GROUP_ROWS,)]
        connection.execute("COMMIT")
        ledger.note("read", launch)


def main(task: str, store: str, keyring: str, ledger: str, launch: int) -> None:
    """Go on until killed."""
    # Merges come often, so that a short test has many of them.
    proxy.compaction.PENDING_DELTAS = 24
    with encdb.connect(store, keyring=keyring) as connection:
        {"write": write, "read": read}[task](connection, Ledger(Path(ledger)), launch)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4], int(sys.argv[5]))
