"""``encdb copy`` of real databases: pins go on, crossing a fork is noticed, tampering stays visible."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import encdb
from encdb.errors import TamperError
from proxy.check import check
from proxy.cli.main import main
from tests.fixtures.databases import Database, check_ok, rows

SQL = (
    "CREATE TABLE people (id BIGINT PRIMARY KEY, zip TEXT, age INT, notes TEXT)",
    "CREATE INDEX ON people USING range (age)",
    "CREATE INDEX ON people USING keyword (notes)",
    "CREATE TABLE empty (id BIGINT)",
)


def fill(connection: Any, first: int, count: int) -> None:
    connection.executemany(
        "INSERT INTO people VALUES (?, ?, ?, ?)",
        [(n, f"0{n % 9}", n % 90, f"note {n} asthma") for n in range(first, first + count)],
    )


@pytest.fixture
def full(database: Database) -> Database:
    """A database with settled and recent rows, removals and several writers."""
    with database.connect() as connection:
        for statement in SQL:
            connection.execute(statement)
        fill(connection, 0, 300)
    with database.connect() as connection:
        connection.execute("VACUUM people")
        fill(connection, 300, 20)
        connection.execute("DELETE FROM people WHERE id < 10")
    return database


def client(database: Database, url: str, **options: Any) -> Any:
    return encdb.connect(url, keyring=database.keyring, **options)


def answers(database: Database, url: str) -> list[tuple[Any, ...]]:
    with client(database, url) as connection:
        check_ok(connection)
        return rows(connection, "SELECT * FROM people ORDER BY id")


def test_clients_with_a_pin_go_on_with_the_copy(full: Database, tmp_path: Path, capsys: Any):
    copy = str(tmp_path / "copy.db")
    before = answers(full, full.url)
    assert main(["copy", full.url, copy]) == 0
    assert "2 tables copied" in capsys.readouterr().out
    assert answers(full, copy) == before
    with client(full, copy) as connection:
        fill(connection, 1000, 5)
        connection.execute("VACUUM people")
        connection.execute("CREATE INDEX ON people USING equality (zip)")
    assert len(answers(full, copy)) == len(before) + 5


def test_forms_and_statuses(full: Database, tmp_path: Path, capsys: Any):
    copy = str(tmp_path / "copy.db")
    assert main(["copy", full.url, copy, "--json"]) == 0
    (report,) = json.loads(capsys.readouterr().out)
    assert report["tables"] == 2
    assert report["copied"] == report["blobs"] > 0
    assert main(["copy", full.url, copy]) == 1
    assert "E_STORE_EXISTS" in capsys.readouterr().err
    assert main(["copy", full.url, f"sqlite:///{full.url}"]) == 2
    assert "E_USAGE" in capsys.readouterr().err
    assert main(["copy", str(tmp_path / "none.db"), str(tmp_path / "x.db")]) == 1
    assert "E_STORE_MISSING" in capsys.readouterr().err
    assert main(["copy", full.url]) == 2


def test_an_interrupted_copy_says_that_it_can_go_on(
    full: Database, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
):
    from encdb.stores import copying

    copy = str(tmp_path / "copy.db")

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(copying.Copier, "_require_nothing_else", interrupted)
        assert main(["copy", full.url, copy]) == 130
    assert "Run the same command again" in capsys.readouterr().err
    assert main(["check", copy, "--keyring", full.keyring]) == 1
    assert "E_STORE_INCOMPLETE" in capsys.readouterr().err
    assert main(["copy", full.url, copy]) == 0
    assert "were there already" in capsys.readouterr().out
    assert answers(full, copy) == answers(full, full.url)


FORKS = (
    "INSERT INTO people VALUES (5001, '01', 1, 'theirs')",
    "VACUUM people",
    "CREATE TABLE theirs (id BIGINT)",
    "DROP TABLE empty",
)
NOTICED = {"E_FORK", "E_ROLLED_BACK", "E_TAMPERED"}


@pytest.mark.parametrize("theirs", [None, *FORKS])
@pytest.mark.parametrize("mine", FORKS)
def test_crossing_between_two_copies_that_were_both_written(
    full: Database, tmp_path: Path, mine: str, theirs: str | None
):
    copy = str(tmp_path / "copy.db")
    assert main(["copy", full.url, copy]) == 0
    if theirs is not None:
        # Somebody else, with the same key and no memory of the other branch.
        with client(full, copy, pin=False) as connection:
            connection.execute(theirs)
            connection.execute("VACUUM people")
    with client(full, full.url) as connection:
        connection.execute(mine)
        rows(connection, "SELECT * FROM people")
    with (
        pytest.raises(TamperError) as caught,
        closing(client(full, copy)) as connection,
    ):
        rows(connection, "SELECT * FROM people")
    assert caught.value.code in NOTICED
    # The branch that the pin knows is still served.
    with client(full, full.url) as connection:
        rows(connection, "SELECT * FROM people")


@pytest.mark.parametrize("seed", range(12))
def test_what_was_tampered_with_is_as_visible_in_the_copy(
    full: Database, tmp_path: Path, seed: int
):
    draw, copy = random.Random(seed), str(tmp_path / "copy.db")
    with closing(sqlite3.connect(full.url)) as raw, raw:
        names = [
            name
            for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            if name.startswith(("rows", "packs", "pages", "deltas", "keys", "tombstones"))
            and raw.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0]
        ]
        name = names[seed % len(names)]
        every = raw.execute(f'SELECT rowid, * FROM "{name}"').fetchall()
        row = draw.choice(every)
        if seed % 2 or not isinstance(row[-1], bytes):
            raw.execute(f'DELETE FROM "{name}" WHERE rowid = ?', row[:1])
        else:
            blob = bytearray(row[-1])
            blob[draw.randrange(len(blob))] ^= 1 << draw.randrange(8)
            raw.execute(f'UPDATE "{name}" SET blob = ? WHERE rowid = ?', (bytes(blob), row[0]))
    assert main(["copy", full.url, copy]) == 0
    found = []
    for url in (full.url, copy):
        with closing(client(full, url, pin=False)) as connection:
            found.append(check(connection.session).problems)
    assert found[0]
    assert found[0] == found[1]


@pytest.mark.slow
def test_copies_of_a_busy_database(full: Database, tmp_path: Path):
    """A process that inserts, deletes, merges, makes and drops tables while copies are made."""
    script = (
        "import sys, encdb, itertools\n"
        "c = encdb.connect(sys.argv[1], keyring=sys.argv[2])\n"
        "for n in itertools.count(10_000, 40):\n"
        "    c.executemany('INSERT INTO people VALUES (?, ?, ?, ?)',"
        " [(i, '01', i % 90, 'busy') for i in range(n, n + 40)])\n"
        "    c.execute('DELETE FROM people WHERE id < ?', (n // 2,))\n"
        "    if n % 3 == 0: c.execute('VACUUM people')\n"
        "    c.execute('CREATE TABLE brief (id BIGINT PRIMARY KEY)')\n"
        "    c.execute('INSERT INTO brief VALUES (1)')\n"
        "    c.execute('DROP TABLE brief')\n"
    )
    busy = subprocess.Popen(
        [sys.executable, "-c", script, full.url, full.keyring], cwd=Path(__file__).parents[3]
    )
    from encdb.stores import copying

    try:
        time.sleep(2)
        for number in range(12):
            copy = str(tmp_path / f"copy{number}.db")
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(copying, "SETTLED_BLOBS", 0 if number % 2 else 4096)
                copying.copy_store(full.url, copy)
            with closing(client(full, copy, pin=False)) as connection:
                check_ok(connection)
        assert busy.poll() is None
    finally:
        os.kill(busy.pid, signal.SIGKILL)
        busy.wait()
