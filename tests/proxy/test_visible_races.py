"""Server-visible entries appear with their rows and no sooner: killed loads, lost races, repeated attempts."""

from __future__ import annotations

import time
from typing import Any

import pytest

from encdb import wire
from proxy.check import check
from proxy.sql import statements as sql
from tests.fixtures.databases import Database, check_ok, rows

# A server only carries these messages to one of the two.
pytestmark = pytest.mark.stores("sqlite", "postgres")

ACCEPT = "WITH (accept_leakage = true)"


class Killed(BaseException):
    """The process is gone."""


@pytest.fixture
def database(database: Database) -> Database:
    """A table with rows and indexes, some of them on rows that were there."""
    connection = database.connect()
    connection.execute("CREATE TABLE t (id INT PRIMARY KEY, zip TEXT, age INT)")
    connection.execute(f"CREATE INDEX by_zip ON t USING det (zip) {ACCEPT}")
    connection.executemany("INSERT INTO t VALUES (?, ?, ?)", people(40))
    return database


def people(stop: int, start: int = 0) -> list[tuple[Any, ...]]:
    """Rows."""
    return [(number, f"z{number % 4}", number) for number in range(start, stop)]


def shown(database: Database) -> int:
    """How many entries the store gives out."""
    session = database.connect().session
    table = session.table("t").id
    with session.reading() as snapshot:
        return len(snapshot.read(wire.ListIds(table, "visible")).ids)


def killed_before_commit(connection: Any, monkeypatch: Any, run: Any) -> list[Any]:
    """Run something whose commit is never sent; what was staged until then."""
    staged: list[Any] = []
    store = connection.session.store

    def die(_: Any) -> None:
        raise Killed

    def stage(request: Any, honest: Any = store.stage) -> Any:
        staged.append(request)
        return honest(request)

    with monkeypatch.context() as patch:
        patch.setattr(store, "commit", die, raising=False)
        patch.setattr(store, "stage", stage, raising=False)
        with pytest.raises(Killed):
            run()
    return staged


def test_a_load_killed_before_it_is_published_leaves_nothing(database: Database, monkeypatch):
    monkeypatch.setattr("proxy.transaction.BULK_ROWS", 20)
    connection = database.connect()

    def load() -> None:
        connection.executemany("INSERT INTO t VALUES (?, ?, ?)", people(100, 40))

    staged = killed_before_commit(connection, monkeypatch, load)
    assert sum(len(batch.entries) for one in staged for batch in one.visible) == 60
    assert shown(database) == 40
    assert len(rows(database.connect(), "SELECT id FROM t WHERE zip = 'z1'")) == 10
    check_ok(database.connect())
    # The same rows are loaded after all, beside what is left of the first attempt.
    database.connect().executemany("INSERT INTO t VALUES (?, ?, ?)", people(100, 40))
    assert shown(database) == 100
    # An hour later the rest is swept, and only that.
    later = time.time() + 2 * 3600
    monkeypatch.setattr("time.time", lambda: later)
    database.connect().execute("VACUUM t")
    assert shown(database) == 100
    assert len(rows(database.connect(), "SELECT id FROM t WHERE zip = 'z1'")) == 25
    check_ok(database.connect())


@pytest.mark.parametrize("method", ["det (age)", "ope (age)", "ore (age)"])
def test_an_index_killed_before_it_is_published_can_be_made_again(
    database: Database, monkeypatch, method: str
):
    connection = database.connect()
    statement = f"CREATE INDEX again ON t USING {method} {ACCEPT}"
    staged = killed_before_commit(connection, monkeypatch, lambda: connection.execute(statement))
    assert sum(len(batch.entries) for one in staged for batch in one.visible) == 40
    assert shown(database) == 40
    assert "again" not in [one.name for one in database.connect().session.table("t").indexes]
    # It gets the same number, and its entries the same ids as those that are left.
    database.connect().execute(statement)
    assert shown(database) == 80
    assert rows(database.connect(), "SELECT zip FROM t WHERE age = 9") == [("z1",)]
    check_ok(database.connect())


def test_an_index_that_loses_races_is_built_anew(database: Database, monkeypatch):
    one, two = database.connect(), database.connect()
    define = one.session.definer
    attempts = []
    build = type(define)._build_index

    def build_and_be_late(self: Any, *arguments: Any) -> None:
        build(self, *arguments)
        attempts.append(len(attempts))
        if len(attempts) < 3:
            two.execute("INSERT INTO t VALUES (?, 'late', 5)", (200 + len(attempts),))

    monkeypatch.setattr(type(define), "_build_index", build_and_be_late)
    one.execute(f"CREATE INDEX ON t USING ope (age) {ACCEPT}")
    assert len(attempts) == 3
    assert shown(database) == 2 * 42
    assert len(rows(two, "SELECT id FROM t WHERE age = 5")) == 3
    check_ok(two)


def test_a_large_change_that_loses_a_race_is_staged_anew(database: Database, monkeypatch):
    monkeypatch.setattr("proxy.transaction.BULK_ROWS", 20)
    one, two = database.connect(), database.connect()
    one.execute("BEGIN")
    one.executemany("INSERT INTO t VALUES (?, ?, ?)", people(100, 40))
    one.execute("UPDATE t SET zip = 'moved' WHERE id < 30")
    two.execute("UPDATE t SET zip = 'other' WHERE id = 35")
    two.execute("INSERT INTO t VALUES (500, 'z1', 1)")
    one.execute("COMMIT")
    assert shown(database) == 101
    found = rows(
        one,
        "SELECT zip, count(*) FROM t WHERE zip IN ('moved', 'other', 'z1') GROUP BY zip ORDER BY zip",
    )
    assert found == [("moved", 30), ("other", 1), ("z1", 18)]
    check_ok(two)


def test_savepoints_and_failed_statements_leave_no_entry(database: Database):
    connection = database.connect()
    connection.execute("BEGIN")
    connection.execute("INSERT INTO t VALUES (50, 'a', 1)")
    connection.execute("SAVEPOINT s")
    connection.execute("INSERT INTO t VALUES (51, 'b', 1)")
    connection.execute("DELETE FROM t WHERE id < 10")
    connection.execute("ROLLBACK TO SAVEPOINT s")
    with pytest.raises(Exception, match="id"):
        connection.execute("INSERT INTO t VALUES (52, 'c', 1), (50, 'c', 1)")
    connection.execute("UPDATE t SET zip = NULL WHERE id = 50")
    connection.execute("COMMIT")
    assert shown(database) == 40
    assert rows(connection, "SELECT id FROM t WHERE zip IN ('a', 'b', 'c')") == []
    check_ok(connection)


def test_a_commit_whose_answer_was_lost_writes_its_entries_once(database: Database, monkeypatch):
    connection = database.connect()
    store = connection.session.store
    honest = store.commit

    def twice(request: wire.Commit) -> Any:
        honest(request)
        return honest(request)

    with monkeypatch.context() as patch:
        patch.setattr(store, "commit", twice, raising=False)
        connection.execute("INSERT INTO t VALUES (60, 'once', 1), (61, NULL, 2)")
        connection.execute("UPDATE t SET zip = 'twice' WHERE id = 60")
    assert shown(database) == 41
    assert rows(connection, "SELECT id FROM t WHERE zip IN ('once', 'twice')") == [(60,)]
    check_ok(connection)


def test_dropped_indexes_and_tables_leave_nothing(database: Database):
    connection = database.connect()
    connection.execute(f"CREATE INDEX by_age ON t USING ore (age) {ACCEPT}")
    assert shown(database) == 80
    connection.execute("DROP INDEX by_zip")
    assert shown(database) == 40
    # An index of the same name has another number, and nothing of the old one.
    connection.execute(f"CREATE INDEX by_zip ON t USING det (zip) {ACCEPT}")
    assert len(rows(connection, "SELECT id FROM t WHERE zip = 'z2' AND age < 20")) == 5
    check_ok(connection)
    connection.session.definer.drop_table(sql.DropTable(source="", names=("t",), if_exists=False))
    with database.kind.raw(database.url) as raw:
        for name in raw.names():
            if "visible" in name:
                assert not raw.relation(name).rows
    assert check(connection.session).ok
