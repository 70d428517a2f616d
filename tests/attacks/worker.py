"""A process that writes to a store until it is killed, and keeps a ledger of what was acknowledged.

Run as ``python -m tests.attacks.worker TASK STORE KEYRING LEDGER WORKER``. A line is appended to the
ledger before each transaction (``begin N``) and after its commit was acknowledged (``done N``). The
ledger is written with one ``write`` call a line, which a killed process cannot leave half done.
"""

from __future__ import annotations

import csv
import itertools
import os
import sys
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import encdb
from tests.attacks.vault import command

GROUP_ROWS = {"import": 5000, "add": 40, "update": 7, "merge": 7}
"""Rows that one transaction of a task writes. An import fills more than one block of ordinals."""


class Ledger:
    """An append-only file of what was begun and what was acknowledged."""

    def __init__(self, path: Path) -> None:
        self._handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def note(self, event: str, group: int) -> None:
        """Append one line."""
        os.write(self._handle, f"{event} {group}\n".encode())


def schema(connection: Any) -> None:
    """The table that every task but ``add`` writes."""
    connection.execute(
        "CREATE TABLE groups (id BIGINT PRIMARY KEY, grp BIGINT, zip TEXT, age BIGINT, words TEXT)"
    )
    connection.execute("CREATE INDEX ON groups USING equality (grp)")
    connection.execute("CREATE INDEX ON groups USING range (age)")
    connection.execute("CREATE INDEX ON groups USING keyword (words)")
    connection.execute("CREATE TABLE balance (id BIGINT PRIMARY KEY, amount BIGINT)")
    connection.execute("INSERT INTO balance VALUES (1, 1000), (2, 1000)")


def rows(group: int, count: int) -> list[tuple[int, int, str, int, str]]:
    """The rows of one group; their ids are the group's alone."""
    return [
        (group * 100_000 + n, group, f"{group % 90:05d}", n % 80, f"group{group} row")
        for n in range(count)
    ]


def write_csv(path: Path, group: int, count: int) -> None:
    """One group as a CSV file."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("id", "grp", "zip", "age", "words"))
        writer.writerows(rows(group, count))


def write_mail(folder: Path, group: int, count: int) -> None:
    """One group as e-mail messages."""
    folder.mkdir()
    for number in range(count):
        message = EmailMessage()
        message["From"], message["To"] = "sender@example.org", "reader@example.org"
        message["Subject"] = f"group{group} message{number}"
        message["Date"] = "Mon, 01 Jan 2024 10:00:00 +0000"
        message["Message-ID"] = f"<{group}.{number}@example.org>"
        message.set_content(f"The body of message {number} in group{group}.\n")
        (folder / f"{number}.eml").write_bytes(bytes(message))


def main(task: str, store: str, keyring: str, ledger_path: str, worker: int) -> None:
    """Write groups until killed. Groups of different workers never have one number."""
    ledger, folder = Ledger(Path(ledger_path)), Path(ledger_path).parent
    count = GROUP_ROWS[task]
    with encdb.connect(store, keyring=keyring) as connection:
        for group in itertools.count(worker * 1_000_000 + os.getpid() % 1000 * 1000):
            if task == "import":
                path = folder / f"{group}.csv"
                write_csv(path, group, count)
                ledger.note("begin", group)
                _run("import", store, path, "--table", "groups", keyring=keyring)
                path.unlink()
            elif task == "add":
                mail = folder / f"mail-{group}"
                write_mail(mail, group, count)
                ledger.note("begin", group)
                _run("add", store, mail, "--collection", "mail", keyring=keyring)
            else:
                ledger.note("begin", group)
                _transfer(connection, group, count)
            ledger.note("done", group)
            if task == "merge":
                connection.execute("VACUUM groups")


def _run(name: str, store: str, *words: object, keyring: str) -> None:
    ended = command(name, store, *words, keyring=Path(keyring))
    if ended.status:
        raise AssertionError(ended.errors)


def _transfer(connection: Any, group: int, count: int) -> None:
    """One transaction over two tables: new rows, changed rows, removed rows, and a kept sum."""
    for attempt in itertools.count():
        connection.execute("BEGIN")
        try:
            connection.cursor().executemany(
                "INSERT INTO groups VALUES (?, ?, ?, ?, ?)", rows(group, count + 1)
            )
            connection.execute("DELETE FROM groups WHERE id = ?", (group * 100_000 + count,))
            connection.execute("UPDATE balance SET amount = amount - 1 WHERE id = 1")
            connection.execute("UPDATE balance SET amount = amount + 1 WHERE id = 2")
            connection.commit()
        except encdb.ConflictError:
            connection.rollback()
            if attempt == 50:
                raise
        else:
            return


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4], int(sys.argv[5]))
