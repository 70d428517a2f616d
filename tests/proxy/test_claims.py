"""Merges exclude each other, and a change that loses races gets its turn among busy writers."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from encdb import wire
from proxy import claims, compaction, transaction
from tests.fixtures.databases import Database, check_ok, refused, rows

pytestmark = pytest.mark.every_store


@pytest.fixture
def table(connection: Any) -> Any:
    connection.execute("CREATE TABLE t (id BIGINT PRIMARY KEY, n BIGINT)")
    connection.execute("INSERT INTO t VALUES (1, 10), (2, 20)")
    return connection


def claim(connection: Any, kind: wire.ClaimKind, seconds: int = 60) -> bytes:
    """Claim table t for somebody who is not the connection."""
    holder = b"somebody else..."
    number = connection.session.table("t").id
    request = wire.Claim(number, kind, holder, seconds)
    assert connection.session.store.claim(request).granted
    return holder


def epoch(connection: Any) -> int:
    with connection.session.reading(everything=True):
        (state,) = connection.session.database.tables.values()
        return int(state.epoch)


def test_an_inline_merge_is_left_to_who_has_begun_it(table, monkeypatch):
    monkeypatch.setattr(compaction, "PENDING_DELTAS", 2)
    claim(table, "merge")
    for number in range(3, 8):
        table.execute("INSERT INTO t VALUES (?, 0)", (number,))
    assert epoch(table) == 0
    table.session.store.claim(
        wire.Claim(table.session.table("t").id, "merge", b"somebody else...", 0)
    )
    table.execute("INSERT INTO t VALUES (8, 0)")
    assert epoch(table) > 0
    assert rows(table, "SELECT count(*) FROM t") == [(8,)]
    check_ok(table)


def test_vacuum_waits_for_a_merge_and_gives_up_with_an_error(table, monkeypatch):
    from proxy import maintenance

    monkeypatch.setattr(maintenance, "PATIENCE_SECONDS", 0.3)
    claim(table, "merge")
    refused("E_CONFLICT", table.execute, "VACUUM t")
    monkeypatch.setattr(maintenance, "PATIENCE_SECONDS", 10.0)
    table.session.store.claim(
        wire.Claim(table.session.table("t").id, "merge", b"somebody else...", 1)
    )
    table.execute("VACUUM t")
    assert epoch(table) > 0


def test_the_claim_of_a_merger_that_died_expires(table):
    claim(table, "merge", seconds=1)
    table.execute("VACUUM t")
    assert epoch(table) > 0


def test_a_commit_waits_while_another_holds_the_table(table):
    claim(table, "write", seconds=1)
    started = time.monotonic()
    table.execute("INSERT INTO t VALUES (3, 30)")
    assert time.monotonic() - started > 0.02
    assert rows(table, "SELECT count(*) FROM t") == [(3,)]


def test_a_commit_that_is_held_up_for_too_long_is_a_conflict(table, monkeypatch):
    monkeypatch.setattr(transaction, "PATIENCE_SECONDS", 0.2)
    monkeypatch.setattr(claims, "PATIENCE_SECONDS", 0.2)
    claim(table, "write")
    table.execute("BEGIN")
    table.execute("INSERT INTO t VALUES (3, 30)")
    refused("E_CONFLICT", table.execute, "COMMIT")
    assert not table.in_transaction
    assert rows(table, "SELECT count(*) FROM t") == [(2,)]


@pytest.mark.stores("sqlite")
def test_a_large_commit_that_is_held_up_stages_its_pages_once(table, monkeypatch):
    messages = []
    stage = table.session.store.stage
    monkeypatch.setattr(
        table.session.store, "stage", lambda request: messages.append(request) or stage(request)
    )
    claim(table, "write", seconds=2)
    table.executemany("INSERT INTO t VALUES (?, ?)", [(n, n % 9) for n in range(10, 3_010)])
    assert len({message.stage for message in messages}) == 1
    assert rows(table, "SELECT count(*) FROM t") == [(3_002,)]
    check_ok(table)


def test_two_that_want_the_same_tables_do_not_keep_each_other_waiting(database: Database, table):
    table.execute("CREATE TABLE u (id BIGINT PRIMARY KEY)")
    other = database.connect()
    one, two = (claims.Claims(each.session.store) for each in (table, other))
    tables = sorted(table.session.table(name).id for name in ("t", "u"))
    with one.holding() as first, two.holding() as second:
        first(tables[:1])
        second(reversed(tables))
        first(tables)
        assert not two.take(tables[0], "write")
        assert not two.take(tables[1], "write")


def test_an_index_is_made_while_others_keep_writing(database: Database, table):
    """Each change of a writer makes an attempt to build the index stale; a claim ends that."""
    stop, failures = threading.Event(), []
    written = [0, 0]

    def write(place: int) -> None:
        mine = database.connect()
        try:
            while not stop.is_set():
                number = 10 + 2 * written[place] + place
                mine.execute("INSERT INTO t VALUES (?, ?)", (number, number % 7))
                written[place] += 1
        except BaseException as error:  # noqa: BLE001 - reported by the test's own thread.
            failures.append(error)

    threads = [threading.Thread(target=write, args=(place,)) for place in range(2)]
    for thread in threads:
        thread.start()
    try:
        while min(written) < 5 and not failures:
            time.sleep(0.01)
        before = list(written)
        table.execute("CREATE INDEX ON t USING range (n)")
        table.execute("INSERT INTO t SELECT id + 1000000, 3 FROM t")
        while any(now < then + 3 for now, then in zip(written, before, strict=True)):
            assert not failures
            time.sleep(0.01)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failures == []
    expected = rows(table, "SELECT count(*) FROM t WHERE n + 0 = 3")
    assert rows(table, "SELECT count(*) FROM t WHERE n = 3") == expected
    check_ok(table)
