"""Many writers and readers of one database: nobody misses a commit, and of those who race one wins.

What is promised here holds on every kind of store, whichever of two commits becomes visible first.
"""

from __future__ import annotations

import itertools
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import encdb
from encdb.errors import ConflictError, IntegrityError
from tests.fixtures.databases import Database, check_ok, refused, rows

ROOT = Path(encdb.__file__).resolve().parents[1]
pytestmark = pytest.mark.every_store


def together(*work: Callable[[], object]) -> None:
    """Run each in a thread of its own; a failure of one is the failure of all."""
    failures: list[BaseException] = []

    def guarded(one: Callable[[], object]) -> None:
        try:
            one()
        except BaseException as error:  # noqa: BLE001 - it is raised again below.
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(one,)) for one in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def repeated(run: Callable[[], object]) -> None:
    """Do what the error of a lost race asks for."""
    for attempt in itertools.count():
        try:
            run()
        except ConflictError:
            assert attempt < 50
        else:
            return


def expire_claims(database: Database) -> None:
    """Let the time pass that a killed client's claims last."""
    with database.kind.raw(database.url) as raw:
        if "claims" in raw.names():
            claims = raw.relation("claims")
            for key in claims.rows:
                raw.change(claims, key, "deadline", 1)


# --- Visibility -------------------------------------------------------------------------------------


def test_readers_see_a_growing_prefix_of_every_writer(database: Database, monkeypatch):
    """What was acknowledged before a reader asked is there, and nothing is seen out of its order."""
    monkeypatch.setattr("proxy.compaction.PENDING_DELTAS", 9)
    database.connect().execute("CREATE TABLE log (who BIGINT, n BIGINT)")
    writers, turns = 4, 12
    acknowledged = [0] * writers
    left = [writers]

    def write(who: int) -> None:
        try:
            with encdb.connect(database.url, keyring=database.keyring) as own:
                for n in range(1, turns + 1):
                    repeated(lambda n=n: own.execute("INSERT INTO log VALUES (?, ?)", (who, n)))
                    acknowledged[who] = n
        finally:
            left[0] -= 1

    def read(patient: bool) -> None:
        seen: dict[int, int] = {}
        with encdb.connect(database.url, keyring=database.keyring) as own:
            while True:
                done, before = not left[0], list(acknowledged)
                found = rows(own, "SELECT who, max(n), count(*) FROM log GROUP BY who")
                for who, last, count in found:
                    assert last == count
                    assert last >= seen.get(who, 0)
                    seen[who] = last
                assert all(seen.get(who, 0) >= n for who, n in enumerate(before))
                if done:
                    break
                if patient:
                    time.sleep(0.05)
        assert seen == dict.fromkeys(range(writers), turns)

    together(
        *(lambda who=who: write(who) for who in range(writers)),
        lambda: read(patient=False),
        lambda: read(patient=True),
    )
    check_ok(database.connect())


def test_a_schema_change_is_there_before_the_next_statement_of_another(database: Database):
    connections = [database.connect() for _ in range(3)]
    turn = itertools.cycle(connections)
    for number in range(4):
        next(turn).execute(f"CREATE TABLE t{number} (id BIGINT PRIMARY KEY, a TEXT)")
        next(turn).execute(f"INSERT INTO t{number} VALUES (1, 'one'), (2, 'two')")
        next(turn).execute(f"CREATE INDEX i{number} ON t{number} USING equality (a)")
        asking = next(turn)
        asked = f"SELECT id FROM t{number} WHERE a = 'two'"
        assert rows(asking, asked) == [(2,)]
        plan = "\n".join(line for (line,) in rows(asking, f"EXPLAIN ANALYZE {asked}"))
        assert f"i{number}" in plan
        next(turn).execute(f"DROP INDEX i{number}")
        refused("E_UNKNOWN_INDEX", next(turn).execute, f"DROP INDEX i{number}")
        next(turn).execute(f"CREATE UNIQUE INDEX u{number} ON t{number} (a)")
        refused("E_DUPLICATE_KEY", next(turn).execute, f"INSERT INTO t{number} VALUES (3, 'one')")
        next(turn).execute(f"DROP TABLE t{number}")
        for connection in connections:
            refused("E_UNKNOWN_TABLE", connection.execute, f"SELECT * FROM t{number}")
    check_ok(connections[0])


def test_schema_changes_and_writes_of_many_at_once(database: Database):
    """Each thread changes the schema for itself; nobody's change takes away another's."""
    database.connect().execute("CREATE TABLE shared (id BIGINT PRIMARY KEY)")

    def work(who: int) -> None:
        with encdb.connect(database.url, keyring=database.keyring) as own:
            for n in range(3):
                name = f"t{who}_{n}"
                repeated(lambda name=name: own.execute(f"CREATE TABLE {name} (a BIGINT)"))
                repeated(lambda name=name: own.execute(f"INSERT INTO {name} VALUES (1)"))
                key = who * 10 + n
                repeated(lambda key=key: own.execute("INSERT INTO shared VALUES (?)", (key,)))
                assert rows(own, f"SELECT * FROM {name}") == [(1,)]

    together(*(lambda who=who: work(who) for who in range(4)))
    connection = database.connect()
    assert rows(connection, "SELECT count(*) FROM shared") == [(12,)]
    assert len(connection.session.catalog.tables) == 13
    check_ok(connection)


# --- Merges -----------------------------------------------------------------------------------------


def fill(connection: Any, count: int = 40) -> None:
    connection.execute("CREATE TABLE t (id BIGINT PRIMARY KEY, n BIGINT, words TEXT)")
    connection.execute("CREATE INDEX ON t USING range (n)")
    connection.execute("CREATE INDEX ON t USING keyword (words)")
    connection.executemany(
        "INSERT INTO t VALUES (?, ?, ?)", [(n, n % 7, f"word{n % 5}") for n in range(count)]
    )


def check_filled(database: Database, count: int) -> None:
    """All rows are there, and the indexes know them."""
    connection = database.connect(pin=False)
    assert rows(connection, "SELECT count(*), count(DISTINCT id) FROM t") == [(count, count)]
    by_number = [rows(connection, "SELECT count(*) FROM t WHERE n = ?", (n,)) for n in range(7)]
    assert sum(one for ((one,),) in by_number) == count
    by_word = [
        rows(connection, f"SELECT count(*) FROM t WHERE words @@ 'word{n}'") for n in range(5)
    ]
    assert sum(one for ((one,),) in by_word) == count
    check_ok(connection)


def test_two_merges_at_once(database: Database):
    fill(database.connect())
    start = threading.Barrier(3)
    added = itertools.count(1000)

    def merge() -> None:
        with encdb.connect(database.url, keyring=database.keyring) as own:
            for _ in range(5):
                start.wait(60)
                repeated(lambda: own.execute("VACUUM t"))

    def write() -> None:
        with encdb.connect(database.url, keyring=database.keyring) as own:
            for _ in range(5):
                start.wait(60)
                for _ in range(4):
                    values = (next(added), 3, "word1")
                    repeated(
                        lambda values=values: own.execute("INSERT INTO t VALUES (?, ?, ?)", values)
                    )

    together(merge, merge, write)
    check_filled(database, 60)


VACUUMS = """
import sys
import encdb
url, keyring = sys.argv[1:3]
connection = encdb.connect(url, keyring=keyring, pin=False)
print("begun", flush=True)
while True:
    try:
        connection.execute("UPDATE t SET n = (n + 1) % 7 WHERE id % 5 = 0")
        connection.execute("VACUUM t")
        print("merged", flush=True)
    except encdb.ConflictError:
        connection.rollback()
"""


def start_merges(database: Database) -> subprocess.Popen[str]:
    """A process that merges for ever, once it has begun."""
    process = subprocess.Popen(
        [sys.executable, "-c", VACUUMS, database.url, database.keyring],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    return process


def test_merges_of_two_processes(database: Database):
    fill(database.connect())
    processes = [start_merges(database) for _ in range(2)]
    try:
        for process in processes:
            assert process.stdout is not None
            for _ in range(3):
                assert process.stdout.readline() == "merged\n"
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    expire_claims(database)
    check_filled(database, 40)


def test_a_client_that_is_killed_while_it_merges(database: Database):
    fill(database.connect())
    chance = random.Random(5)
    for number in range(4):
        process = start_merges(database)
        time.sleep(chance.uniform(0.02, 0.4))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        # What it had claimed or staged stands in nobody's way.
        connection = database.connect()
        connection.execute("INSERT INTO t VALUES (?, 1, 'word2')", (1000 + number,))
        check_filled(database, 41 + number)
    expire_claims(database)
    database.connect().execute("VACUUM t")
    check_filled(database, 44)


# --- Races ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("explicit", [False, True], ids=["autocommit", "transaction"])
def test_of_many_that_insert_one_key_exactly_one_wins(database: Database, explicit: bool):
    setup = database.connect()
    setup.execute("CREATE TABLE t (id BIGINT PRIMARY KEY, who BIGINT)")
    threads, keys = 4, 6
    start = threading.Barrier(threads)
    outcomes: list[tuple[int, str]] = []
    conflicts: list[str | None] = []

    def work(who: int) -> None:
        with encdb.connect(database.url, keyring=database.keyring) as own:
            for key in range(keys):
                start.wait(60)
                while True:
                    try:
                        if explicit:
                            own.execute("BEGIN")
                        own.execute("INSERT INTO t VALUES (?, ?)", (key, who))
                        own.commit()
                    except IntegrityError as error:
                        own.rollback()
                        outcomes.append((key, f"{error.code} {error.sqlstate}"))
                    except ConflictError as error:
                        own.rollback()
                        conflicts.append(error.sqlstate)
                        continue
                    else:
                        outcomes.append((key, "won"))
                    break

    together(*(lambda who=who: work(who) for who in range(threads)))
    for key in range(keys):
        ended = sorted(end for one, end in outcomes if one == key)
        assert ended == ["E_DUPLICATE_KEY 23505"] * (threads - 1) + ["won"]
    assert set(conflicts) <= ({"40001"} if explicit else set())
    assert rows(setup, "SELECT count(*), count(DISTINCT id) FROM t") == [(keys, keys)]
    check_ok(setup)


def test_no_update_is_lost(database: Database):
    """Read, add one, write: of transactions that overlap one commits, the others get 40001."""
    setup = database.connect()
    setup.execute("CREATE TABLE counters (id BIGINT PRIMARY KEY, n BIGINT)")
    setup.execute("INSERT INTO counters VALUES (1, 0), (2, 0)")
    done: list[int] = []
    conflicts: list[str | None] = []

    def work(who: int) -> None:
        with encdb.connect(database.url, keyring=database.keyring) as own:
            for turn in range(8):
                counter = 1 + (who + turn) % 2
                while True:
                    own.execute("BEGIN")
                    ((n,),) = rows(own, "SELECT n FROM counters WHERE id = ?", (counter,))
                    try:
                        own.execute("UPDATE counters SET n = ? WHERE id = ?", (n + 1, counter))
                        own.commit()
                    except ConflictError as error:
                        conflicts.append(error.sqlstate)
                        own.rollback()
                    else:
                        done.append(who)
                        break

    together(*(lambda who=who: work(who) for who in range(4)))
    assert rows(setup, "SELECT sum(n) FROM counters") == [(len(done),)] == [(32,)]
    assert set(conflicts) <= {"40001"}
    check_ok(setup)
