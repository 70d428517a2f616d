"""Two connections at once: no update is lost, no unique value is taken twice, no snapshot moves."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import encdb
from encdb import wire
from tests.fixtures.databases import Database, check_ok, refused, rows

ROOT = Path(encdb.__file__).resolve().parents[1]
pytestmark = pytest.mark.every_store


@pytest.fixture(params=["pending", "settled"])
def two(request: Any, database: Database) -> tuple[Any, Any]:
    """Two connections to a small table, whose rows are in deltas or in packs."""
    one, other = database.connect(), database.connect()
    one.execute("CREATE TABLE t (id BIGINT PRIMARY KEY, n BIGINT, name TEXT UNIQUE)")
    one.execute("CREATE INDEX ON t USING range (n)")
    one.execute("INSERT INTO t VALUES (1, 10, 'a'), (2, 20, 'b'), (3, 30, NULL)")
    if request.param == "settled":
        one.execute("VACUUM t")
    return one, other


def repeated(run: Callable[[], object]) -> None:
    """Do what the error of a lost race asks for."""
    for attempt in itertools.count():
        try:
            run()
        except encdb.ConflictError:
            assert attempt < 50
        else:
            return


def conflicting(run: Callable[..., object], *arguments: object) -> None:
    """The call reports a serialization failure."""
    error = refused("E_CONFLICT", run, *arguments)
    assert isinstance(error, encdb.ConflictError)
    assert error.sqlstate == "40001"


# --- Lost updates -----------------------------------------------------------------------------------

CLASHES = [
    ("UPDATE t SET n = n + 1 WHERE id = 1", "UPDATE t SET n = n + 5 WHERE id = 1"),
    ("UPDATE t SET n = n + 1 WHERE id = 1", "DELETE FROM t WHERE n = 10"),
    ("DELETE FROM t WHERE id = 1", "UPDATE t SET n = 7 WHERE id <= 2"),
    ("DELETE FROM t WHERE id = 2", "DELETE FROM t"),
    ("UPDATE t SET n = 0", "UPDATE t SET n = 1 WHERE id = 3"),
    ("INSERT INTO t VALUES (7, 1, 'x')", "INSERT INTO t VALUES (7, 2, 'y')"),
    ("INSERT INTO t VALUES (7, 1, 'x')", "INSERT INTO t VALUES (8, 2, 'x')"),
    ("INSERT INTO t VALUES (7, 1, 'x')", "UPDATE t SET id = 7 WHERE id = 3"),
    ("UPDATE t SET name = 'x' WHERE id = 1", "UPDATE t SET name = 'x' WHERE id = 2"),
]


@pytest.mark.parametrize(("first", "second"), CLASHES)
@pytest.mark.parametrize("merged", [False, True], ids=["", "merged"])
def test_of_two_transactions_that_clash_one_reports_it(two, first, second, merged):
    one, other = two
    for connection in two:
        connection.execute("BEGIN")
        rows(connection, "SELECT * FROM t")
    one.execute(first)
    other.execute(second)
    one.execute("COMMIT")
    if merged:
        one.execute("VACUUM t")
    expected = rows(one, "SELECT * FROM t ORDER BY id")
    conflicting(other.execute, "COMMIT")
    assert not other.in_transaction
    assert rows(other, "SELECT * FROM t ORDER BY id") == expected
    check_ok(other)


@pytest.mark.parametrize("merged", [False, True], ids=["", "merged"])
def test_transactions_on_different_rows_do_not_clash(two, merged):
    one, other = two
    for connection in two:
        connection.execute("BEGIN")
    one.execute("UPDATE t SET n = n + 1 WHERE id = 1")
    one.execute("INSERT INTO t VALUES (4, 40, 'd')")
    other.execute("UPDATE t SET n = n + 1 WHERE id = 2")
    other.execute("DELETE FROM t WHERE id = 3")
    other.execute("INSERT INTO t VALUES (5, 50, 'e')")
    one.execute("COMMIT")
    if merged:
        one.session.maintenance.fold(one.session.table("t").id)
    other.execute("COMMIT")
    expected = [(1, 11, "a"), (2, 21, "b"), (4, 40, "d"), (5, 50, "e")]
    for connection in two:
        assert rows(connection, "SELECT * FROM t ORDER BY id") == expected
        check_ok(connection)


def test_a_unique_value_that_was_given_up_can_be_taken(two):
    one, other = two
    one.execute("BEGIN")
    one.execute("UPDATE t SET name = 'c' WHERE id = 1")
    other.execute("BEGIN")
    other.execute("SELECT 1")
    one.execute("COMMIT")
    refused("E_DUPLICATE_KEY", other.execute, "INSERT INTO t VALUES (9, 0, 'a')")
    other.execute("ROLLBACK")
    other.execute("INSERT INTO t VALUES (9, 0, 'a')")
    refused("E_DUPLICATE_KEY", other.execute, "INSERT INTO t VALUES (10, 0, 'c')")
    check_ok(one)


def test_a_value_that_was_added_and_removed_again_does_not_clash(two):
    one, other = two
    one.execute("BEGIN")
    one.execute("INSERT INTO t VALUES (7, 1, 'x')")
    one.execute("DELETE FROM t WHERE id = 7")
    one.execute("INSERT INTO t VALUES (8, 1, 'y')")
    other.execute("INSERT INTO t VALUES (7, 2, 'x')")
    one.execute("COMMIT")
    assert rows(one, "SELECT id FROM t WHERE name IN ('x', 'y') ORDER BY id") == [(7,), (8,)]
    check_ok(one)


def test_the_session_goes_on_after_a_conflict(two):
    one, other = two
    other.execute("BEGIN")
    other.execute("UPDATE t SET n = 1 WHERE id = 1")
    one.execute("UPDATE t SET n = 2 WHERE id = 1")
    conflicting(other.commit)
    other.execute("BEGIN")
    other.execute("UPDATE t SET n = n + 100 WHERE id = 1")
    other.execute("COMMIT")
    assert rows(one, "SELECT n FROM t WHERE id = 1") == [(102,)]
    check_ok(one)


def test_write_skew_is_possible_as_under_snapshot_isolation(two):
    one, other = two
    for connection in two:
        connection.execute("BEGIN")
        assert rows(connection, "SELECT sum(n) FROM t WHERE id < 3") == [(30,)]
    one.execute("UPDATE t SET n = 0 WHERE id = 1")
    other.execute("UPDATE t SET n = 0 WHERE id = 2")
    one.execute("COMMIT")
    other.execute("COMMIT")
    assert rows(one, "SELECT sum(n) FROM t WHERE id < 3") == [(0,)]


# --- Large changes race as small ones do ------------------------------------------------------------


def bulk(first: int, count: int) -> list[tuple[int, int, str]]:
    return [(number, number, f"n{number}") for number in range(first, first + count)]


def test_a_bulk_load_and_a_single_row_race_for_a_key(two):
    one, other = two
    insert = "INSERT INTO t VALUES (?, ?, ?)"
    one.execute("BEGIN")
    one.executemany(insert, bulk(1000, 1500))
    other.execute("INSERT INTO t VALUES (2000, 0, 'first')")
    conflicting(one.commit)
    assert rows(one, "SELECT count(*) FROM t") == [(4,)]
    other.execute("BEGIN")
    other.execute("INSERT INTO t VALUES (2001, 0, 'second')")
    one.execute("DELETE FROM t WHERE id = 2000")
    one.executemany(insert, bulk(1000, 1500))
    conflicting(other.commit)
    assert rows(other, "SELECT count(*) FROM t") == [(1503,)]
    check_ok(other)


def test_a_bulk_delete_and_an_update_race_for_a_row(two):
    one, other = two
    one.executemany("INSERT INTO t VALUES (?, ?, ?)", bulk(1000, 1500))
    one.execute("BEGIN")
    one.execute("DELETE FROM t WHERE id >= 1000")
    other.execute("UPDATE t SET n = -1 WHERE id = 1200")
    conflicting(one.commit)
    other.execute("BEGIN")
    other.execute("UPDATE t SET n = -2 WHERE id = 1201")
    one.execute("DELETE FROM t WHERE id >= 1000")
    conflicting(other.commit)
    assert rows(other, "SELECT count(*) FROM t") == [(3,)]
    check_ok(one)


# --- Races in between, with the other side's move put exactly where it hurts ------------------------


class Meddler:
    """A store before whose next commit something else happens once."""

    def __init__(self, store: Any, move: Callable[[], object]) -> None:
        self._store = store
        self._move: Callable[[], object] | None = move

    def commit(self, request: wire.Commit) -> Any:
        move, self._move = self._move, None
        if move is not None:
            move()
        return self._store.commit(request)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def meddle(connection: Any, move: Callable[[], object]) -> None:
    """Let something happen just before the connection's next commit reaches the store."""
    session = connection.session
    meddler = Meddler(session.store, move)
    session._store = meddler
    for part in (session._definer, session.maintenance):
        part._store = meddler


def test_an_autocommitted_statement_is_repeated(two):
    one, other = two
    meddle(one, lambda: other.execute("UPDATE t SET n = n + 5 WHERE id = 1"))
    assert one.execute("UPDATE t SET n = n + 1 WHERE id = 1").rowcount == 1
    assert rows(other, "SELECT n FROM t WHERE id = 1") == [(16,)]
    check_ok(one)


def test_a_repeated_statement_sees_what_is_new(two):
    one, other = two
    meddle(one, lambda: other.execute("DELETE FROM t WHERE id = 1"))
    assert one.execute("UPDATE t SET n = 0 WHERE n <= 20").rowcount == 1
    meddle(one, lambda: other.execute("INSERT INTO t VALUES (7, 1, 'x')"))
    refused("E_DUPLICATE_KEY", one.execute, "INSERT INTO t VALUES (7, 2, 'y')")
    assert rows(one, "SELECT id, n FROM t ORDER BY id") == [(2, 0), (3, 30), (7, 1)]
    check_ok(one)


def test_an_insert_goes_through_a_merge_in_between(two):
    one, other = two
    for number, move in enumerate(("VACUUM t", "INSERT INTO t VALUES (50, 1, 'q')")):
        meddle(one, lambda move=move: other.execute(move))
        one.execute("INSERT INTO t VALUES (?, 1, NULL)", (60 + number,))
    assert rows(one, "SELECT count(*) FROM t") == [(6,)]
    check_ok(one)


@pytest.mark.parametrize(
    "move",
    [
        "DELETE FROM t WHERE id = 1",
        "UPDATE t SET name = 'moved' WHERE id = 2",
        "DELETE FROM t",
        "INSERT INTO t VALUES (9, 9, 'new')",
        "VACUUM t",
        "CREATE INDEX ON t USING equality (n)",
        "DROP INDEX t_n_idx",
    ],
)
def test_a_merge_goes_through_a_change_in_between(two, move):
    one, other = two
    one.execute("UPDATE t SET n = n + 1 WHERE id = 1")
    one.execute("INSERT INTO t VALUES (4, 40, 'd')")
    meddle(one, lambda: other.execute(move))
    one.session.maintenance.fold(one.session.table("t").id)
    expected = rows(other, "SELECT * FROM t ORDER BY id")
    assert rows(one, "SELECT * FROM t ORDER BY id") == expected
    assert rows(one, "SELECT count(*) FROM t WHERE n = 11") == rows(
        other, "SELECT count(*) FROM t WHERE n + 0 = 11"
    )
    check_ok(one)
    other.execute("VACUUM t")
    check_ok(one)


@pytest.mark.parametrize(
    "move", ["DELETE FROM t WHERE id = 1", "INSERT INTO t VALUES (9, 9, 'new')", "VACUUM t"]
)
def test_an_index_is_complete_whatever_happens_while_it_is_made(two, move):
    one, other = two
    meddle(one, lambda: other.execute(move))
    one.execute("CREATE INDEX ON t USING equality (n)")
    for connection in two:
        for (number,) in rows(connection, "SELECT n FROM t"):
            assert rows(connection, "SELECT count(*) FROM t WHERE n = ?", (number,)) == [(1,)]
    check_ok(other)


def test_a_unique_index_is_not_made_over_values_that_become_equal(two):
    one, other = two
    meddle(one, lambda: other.execute("UPDATE t SET n = 20 WHERE id = 1"))
    refused("E_DUPLICATE_KEY", one.execute, "CREATE UNIQUE INDEX ON t (n)")
    assert "t_n_idx1" not in [index.name for index in one.session.table("t").indexes]
    other.execute("UPDATE t SET n = 5 WHERE id = 1")
    check_ok(one)


# --- Schema changes by the other --------------------------------------------------------------------

SCHEMA_CHANGES = [
    "CREATE INDEX ON t USING equality (n)",
    "DROP INDEX t_n_idx",
    "CREATE UNIQUE INDEX ON t (n)",
]


@pytest.mark.parametrize("change", SCHEMA_CHANGES)
def test_a_schema_change_in_between_is_taken_into_account(two, change):
    one, other = two
    meddle(one, lambda: other.execute(change))
    one.execute("INSERT INTO t VALUES (4, 40, 'd')")
    assert rows(other, "SELECT id FROM t WHERE n = 40") == [(4,)]
    assert rows(one, "SELECT id FROM t WHERE n > 35") == [(4,)]
    check_ok(other)


@pytest.mark.parametrize("change", [*SCHEMA_CHANGES, "DROP TABLE t"])
def test_a_schema_change_during_a_transaction_is_a_conflict(two, change):
    one, other = two
    one.execute("BEGIN")
    one.execute("INSERT INTO t VALUES (4, 40, 'd')")
    other.execute(change)
    assert rows(one, "SELECT count(*), sum(n) FROM t") == [(4, 100)]
    conflicting(one.commit)
    if change != "DROP TABLE t":
        one.execute("INSERT INTO t VALUES (4, 40, 'd')")
        assert rows(other, "SELECT id FROM t WHERE n = 40") == [(4,)]
    check_ok(one)


def test_a_schema_change_of_another_table_is_no_conflict(two):
    one, other = two
    one.execute("BEGIN")
    one.execute("INSERT INTO t VALUES (4, 40, 'd')")
    other.execute("CREATE TABLE u (a INT)")
    other.execute("INSERT INTO u VALUES (1)")
    one.execute("COMMIT")
    assert rows(one, "SELECT count(*) FROM t, u") == [(4,)]
    check_ok(other)


def test_a_dropped_table_is_gone_for_the_other(two):
    one, other = two
    rows(other, "SELECT * FROM t")
    one.execute("DROP TABLE t")
    refused("E_UNKNOWN_TABLE", other.execute, "SELECT * FROM t")
    one.execute("CREATE TABLE t (x TEXT)")
    other.execute("INSERT INTO t VALUES ('new')")
    assert rows(one, "SELECT * FROM t") == [("new",)]
    check_ok(other)


# --- Snapshots --------------------------------------------------------------------------------------


def test_a_transaction_reads_one_snapshot(two):
    one, other = two
    questions = (
        "SELECT * FROM t ORDER BY id",
        "SELECT n FROM t WHERE name = 'a'",
        "SELECT count(*) FROM t WHERE n > 5",
        "SELECT max(n) FROM t",
    )
    one.execute("BEGIN")
    before = [rows(one, question) for question in questions]
    for move in (
        "INSERT INTO t VALUES (9, 90, 'x')",
        "UPDATE t SET n = n + 1000",
        "DELETE FROM t WHERE id = 2",
        "VACUUM t",
        "CREATE INDEX ON t USING equality (n)",
        "DROP INDEX t_n_idx",
        "CREATE TABLE u (a INT)",
        "VACUUM",
        "DROP TABLE t",
    ):
        other.execute(move)
        assert [rows(one, question) for question in questions] == before
    one.execute("ROLLBACK")
    refused("E_UNKNOWN_TABLE", one.execute, questions[0])


def test_a_table_first_read_late_is_read_at_the_beginning_too(two):
    one, other = two
    other.execute("CREATE TABLE u (a INT)")
    other.execute("INSERT INTO u VALUES (1)")
    one.execute("BEGIN")
    rows(one, "SELECT * FROM t")
    other.execute("UPDATE u SET a = 2")
    other.execute("INSERT INTO t VALUES (9, 90, 'x')")
    assert rows(one, "SELECT a FROM u") == [(1,)]
    one.execute("COMMIT")
    assert rows(one, "SELECT a FROM u") == [(2,)]


def test_a_transaction_that_only_reads_never_conflicts(two):
    one, other = two
    one.execute("BEGIN")
    rows(one, "SELECT * FROM t")
    other.execute("UPDATE t SET n = 0")
    other.execute("VACUUM t")
    one.execute("COMMIT")
    assert rows(one, "SELECT sum(n) FROM t") == [(0,)]


# --- Many at once -----------------------------------------------------------------------------------


def test_threads_count_without_losing_one(database: Database):
    setup = database.connect()
    setup.execute("CREATE TABLE counters (id INT PRIMARY KEY, n BIGINT)")
    setup.execute("INSERT INTO counters VALUES (1, 0), (2, 0)")
    done: list[int] = []

    def work(number: int) -> None:
        with encdb.connect(database.url, keyring=database.keyring) as own:
            for turn in range(12):
                try:
                    if number % 2:
                        own.execute("UPDATE counters SET n = n + 1 WHERE id = 1")
                    else:
                        own.execute("BEGIN")
                        (n,) = rows(own, "SELECT n FROM counters WHERE id = 1")[0]
                        own.execute("UPDATE counters SET n = ? WHERE id = 1", (n + 1,))
                        own.execute("COMMIT")
                    done.append(turn)
                except encdb.ConflictError:
                    own.rollback()

    run_threads(work, 4)
    assert database.ask("SELECT n FROM counters WHERE id = 1") == [(len(done),)]
    assert len(done) >= 12
    check_ok(setup)


def test_threads_race_for_unique_values_while_merges_run(database: Database, monkeypatch):
    monkeypatch.setattr("proxy.compaction.PENDING_DELTAS", 5)
    setup = database.connect()
    setup.execute("CREATE TABLE names (id BIGINT PRIMARY KEY, name TEXT UNIQUE)")
    won: list[int] = []

    def work(number: int) -> None:
        with encdb.connect(database.url, keyring=database.keyring) as own:
            for value in range(15):
                try:
                    own.execute("INSERT INTO names VALUES (?, ?)", (value, f"n{value}"))
                    won.append(value)
                except (encdb.IntegrityError, encdb.ConflictError):
                    assert database_has(own, value)

    run_threads(work, 3)
    assert sorted(won) == list(range(15))
    assert database.ask("SELECT count(*), count(DISTINCT name) FROM names") == [(15, 15)]
    check_ok(setup)


def test_transfers_keep_the_total_while_others_read_merge_and_index(
    database: Database, monkeypatch
):
    monkeypatch.setattr("proxy.compaction.PENDING_DELTAS", 6)
    setup = database.connect()
    setup.execute("CREATE TABLE accounts (id INT PRIMARY KEY, owner TEXT, balance BIGINT)")
    setup.execute("CREATE INDEX ON accounts USING equality (owner)")
    setup.execute("CREATE TABLE moves (n BIGINT PRIMARY KEY, amount BIGINT)")
    accounts = [(number, f"o{number % 3}", 100) for number in range(9)]
    setup.executemany("INSERT INTO accounts VALUES (?, ?, ?)", accounts)
    moved: list[int] = []

    def transfer(own: Any, number: int, turn: int) -> None:
        source, target = (number + turn) % 9, (number * 4 + turn * 5 + 1) % 9
        own.execute("BEGIN")
        ((balance,),) = rows(own, "SELECT balance FROM accounts WHERE id = ?", (source,))
        own.execute("UPDATE accounts SET balance = ? WHERE id = ?", (balance - turn, source))
        own.execute("UPDATE accounts SET balance = balance + ? WHERE id = ?", (turn, target))
        own.execute("INSERT INTO moves VALUES (?, ?)", (number * 100 + turn, turn))
        own.execute("COMMIT")
        moved.append(turn)

    def watch(own: Any) -> None:
        for _ in range(6):
            own.execute("BEGIN")
            assert rows(own, "SELECT sum(balance), count(*) FROM accounts") == [(900, 9)]
            parts = [
                rows(own, "SELECT sum(balance) FROM accounts WHERE owner = ?", (f"o{part}",))[0][0]
                for part in range(3)
            ]
            assert sum(parts) == 900
            own.execute("COMMIT")
            repeated(lambda: own.execute("VACUUM accounts"))

    def change_schema(own: Any) -> None:
        for turn in range(3):
            own.execute(f"CREATE INDEX i{turn} ON accounts USING range (balance)")
            assert rows(own, "SELECT count(*) FROM accounts WHERE balance > -10000") == [(9,)]
            own.execute(f"DROP INDEX i{turn}")

    def work(number: int) -> None:
        with encdb.connect(database.url, keyring=database.keyring) as own:
            if number == 0:
                watch(own)
            elif number == 1:
                change_schema(own)
            else:
                for turn in range(1, 13):
                    try:
                        transfer(own, number, turn)
                    except encdb.ConflictError:
                        own.rollback()

    run_threads(work, 5)
    assert moved
    assert database.ask("SELECT sum(balance) FROM accounts") == [(900,)]
    assert database.ask("SELECT count(*), sum(amount) FROM moves") == [(len(moved), sum(moved))]
    check_ok(setup)


def database_has(connection: Any, value: int) -> bool:
    return rows(connection, "SELECT name FROM names WHERE id = ?", (value,)) == [(f"n{value}",)]


def run_threads(work: Callable[[int], None], count: int) -> None:
    failures: list[BaseException] = []

    def guarded(number: int) -> None:
        try:
            work(number)
        except BaseException as error:  # noqa: BLE001 - it is raised again below.
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


WORKER = """
import sys
import encdb
import proxy.compaction
proxy.compaction.PENDING_DELTAS = 7
url, keyring, name = sys.argv[1:]
done = 0
with encdb.connect(url, keyring=keyring) as own:
    for turn in range(12):
        try:
            own.execute("BEGIN")
            ((n,),) = own.execute("SELECT n FROM counters WHERE id = 1").fetchall()
            own.execute("UPDATE counters SET n = ? WHERE id = 1", (n + 1,))
            own.execute("INSERT INTO log VALUES (?, ?, ?)", (name, turn, n + 1))
            own.execute("COMMIT")
            done += 1
        except encdb.ConflictError:
            own.rollback()
print(done)
"""


def test_processes_count_without_losing_one(database: Database):
    setup = database.connect()
    setup.execute("CREATE TABLE counters (id INT PRIMARY KEY, n BIGINT)")
    setup.execute("CREATE TABLE log (who TEXT, turn INT, n BIGINT UNIQUE)")
    setup.execute("INSERT INTO counters VALUES (1, 0)")
    command = [sys.executable, "-c", WORKER, database.url, database.keyring]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    workers = [
        subprocess.Popen(
            [*command, f"w{number}"], stdout=subprocess.PIPE, env=environment, text=True
        )
        for number in range(3)
    ]
    done = []
    for worker in workers:
        output, _ = worker.communicate(timeout=120)
        assert worker.returncode == 0
        done.append(int(output))
    total = sum(done)
    assert rows(setup, "SELECT n FROM counters") == [(total,)]
    assert rows(setup, "SELECT count(*), min(n), max(n) FROM log") == [(total, 1, total)]
    assert total >= 12
    check_ok(setup)
