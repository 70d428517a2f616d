"""A full disk, a lock and a killed process leave the store as it was before or after, never between.

Locks and disks are SQLite's here; what PostgreSQL does in their place has its own tests.
"""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import encdb
from encdb import wire
from encdb.errors import StoreUnavailable
from encdb.stores import Store, open_store
from encdb.stores.sqlite import SqliteStore, connection
from tests.fixtures.commits import (
    TABLE,
    WRITER,
    change,
    commit,
    delta,
    heads,
    ids,
    rows,
    table_heads,
    with_table,
)

ROOT = Path(encdb.__file__).resolve().parents[1]
on_files = pytest.mark.stores("sqlite")


@pytest.fixture
def store(store: Store) -> Store:
    return with_table(store)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "BUSY_SECONDS", 0.05)


@pytest.fixture
def holder(store_path: Path, store: Store):
    """Another program that holds the write lock."""
    other = sqlite3.connect(store_path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    yield other
    other.close()


def test_a_locked_store_is_read_but_not_written(impatient, store: Store, holder):
    assert rows(store) == {}
    attempts = (
        lambda: store.commit(commit(change(rows_added=((1, b"row"),), delta=delta(1)))),
        lambda: store.lease(wire.Lease(TABLE, "ordinal", 1)),
        lambda: store.stage(wire.Stage(TABLE, 1, pages=((1 << 32, b"page"),))),
    )
    for attempt in attempts:
        with pytest.raises(StoreUnavailable) as caught:
            attempt()
        assert caught.value.code == "E_STORE_LOCKED"
    holder.execute("ROLLBACK")
    assert store.commit(commit(change(rows_added=((1, b"row"),), delta=delta(1)))).repeated is False
    assert rows(store) == {1: b"row"}


def test_an_exclusively_locked_store_cannot_be_opened(impatient, store: Store, store_path: Path):
    store.close()
    other = sqlite3.connect(store_path, isolation_level=None)
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("BEGIN IMMEDIATE")
    other.execute("CREATE TABLE x (y)")
    with pytest.raises(StoreUnavailable) as caught:
        open_store(str(store_path))
    assert caught.value.code == "E_STORE_LOCKED"
    other.close()


def test_a_short_lock_is_waited_for(store: Store, store_path: Path):
    other = sqlite3.connect(store_path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    release = threading.Timer(0.2, lambda: other.execute("ROLLBACK"))
    release.start()
    assert store.commit(commit(change(delta=delta(1)))) == wire.Committed()
    release.join()
    other.close()


def limit_pages(store: SqliteStore, spare: int) -> None:
    """Give the file room for only so many more pages: to SQLite, a full disk."""
    writer = store._writing()
    (count,) = writer.execute("PRAGMA page_count").fetchone()
    writer.execute(f"PRAGMA max_page_count = {count + spare}")


@on_files
def test_a_full_disk_undoes_the_whole_commit(store: SqliteStore):
    store.commit(commit(change(rows_added=((1, b"row"),), delta=delta(1))))
    limit_pages(store, 20)
    large = tuple((label, bytes(4000)) for label in range(10, 60))
    sent = commit(change(rows_added=large, rows_removed=(1,), delta=delta(2)))
    with pytest.raises(StoreUnavailable) as caught:
        store.commit(sent)
    assert caught.value.code == "E_DISK_FULL"
    assert rows(store) == {1: b"row"}
    assert table_heads(store).ends == ((WRITER, 1, 1),)
    limit_pages(store, 10_000)
    assert store.commit(sent) == wire.Committed(repeated=False)


@on_files
def test_a_full_disk_while_staging_leaves_what_a_sweep_finds(store: SqliteStore):
    limit_pages(store, 3000)
    pages = tuple((wire.page_id(1, page), bytes(4032)) for page in range(5000))
    with pytest.raises(StoreUnavailable) as caught:
        store.stage(wire.Stage(TABLE, 1, pages=pages))
    assert caught.value.code == "E_DISK_FULL"
    kept = ids(store, "pages")
    assert 0 < len(kept) < 5000
    limit_pages(store, 10_000)
    assert store.stage(wire.Stage(TABLE, 1, pages=pages)) == wire.Staged()


@on_files
def test_an_exception_in_the_middle_undoes_the_commit(store: SqliteStore, monkeypatch):
    from encdb.stores.sqlite import writing

    def fail(_self: object, _delta: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(writing._TableWriter, "_check_number", fail)
    with pytest.raises(KeyboardInterrupt):
        store.commit(commit(change(rows_added=((1, b"row"),), delta=delta(1))))
    monkeypatch.undo()
    assert rows(store) == {}
    assert store.commit(commit(change(rows_added=((1, b"row"),), delta=delta(1))))


WRITER_PROGRAM = """
import os, sys
sys.path[:0] = {path!r}
from encdb import wire
from encdb.stores import open_store
from tests.fixtures.commits import *
store = open_store({store!r})
writer = bytes.fromhex({writer!r})
first = store.lease(wire.Lease(TABLE, "ordinal", 1_000_000)).first
for n in range(1, 100_000):
    labels = [first + 3 * n + place for place in range(3)]
    done = None
    while done != wire.Committed():
        done = store.commit(commit(change(
            table_heads(store).epoch,
            rows_added=tuple((label, os.urandom(200)) for label in labels),
            delta=delta(n, writer, b"%d " % n + b",".join(b"%d" % label for label in labels)),
        )))
    # Acknowledged: it has to be there whatever happens from now on.
    print(n, flush=True)
"""


def start_writer(url: str, writer: bytes) -> subprocess.Popen[str]:
    program = WRITER_PROGRAM.format(path=[str(ROOT), *sys.path], store=url, writer=writer.hex())
    return subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)


def check_whole(store: Store, acknowledged: dict[bytes, int]) -> None:
    """Every acknowledged commit is there, and every delta has exactly its rows.

    A server may carry out the last commit of a killed client at any moment, so one state is looked at.
    """
    cursor = wire.TableCursor(TABLE, wire.NO_EPOCH, 0, ())
    with store.snapshot() as snapshot:
        (one,) = snapshot.read(wire.ReadHeads(1, (cursor,), if_changed=False)).tables
        found = snapshot.read(wire.ReadRows(TABLE, None))
    last = {writer: n for writer, n, _ in one.ends}
    for writer, n in acknowledged.items():
        assert last.get(writer, 0) in {n, n + 1}
    for writer, n, count in one.ends:
        assert n == count, writer
    named = {int(label) for entry in one.deltas for label in entry.blob.split(b" ")[1].split(b",")}
    assert set(found.ids) == named


@pytest.mark.every_store
def test_killed_writers_leave_whole_commits(store: Store, store_url: str):
    chance = random.Random(7)
    acknowledged: dict[bytes, int] = {}
    for _ in range(3):
        writers = {os.urandom(16): None for _ in range(2)}
        running = {writer: start_writer(store_url, writer) for writer in writers}
        for process in running.values():
            assert process.stdout is not None
            process.stdout.readline()
        time.sleep(chance.uniform(0.02, 0.3))
        for writer, process in running.items():
            process.send_signal(signal.SIGKILL)
            output, _ = process.communicate()
            lines = [line for line in output.splitlines(keepends=True) if line.endswith("\n")]
            acknowledged[writer] = int(lines[-1]) if lines else 1
        check_whole(store, acknowledged)
    store.close()
    again = open_store(store_url)
    check_whole(again, acknowledged)
    assert heads(again).catalog_version == 1
    again.close()


@pytest.mark.every_store
def test_many_writers_lose_nothing(store: Store, store_url: str):
    """Threads with a store each take away rows of one pool; each row goes exactly once."""
    pool = tuple((label, b"row") for label in range(60))
    store.commit(commit(change(rows_added=pool, delta=delta(1))))
    taken: list[int] = []
    failures: list[BaseException] = []

    def take() -> None:
        mine, writer, n = open_store(store_url), os.urandom(16), 0
        try:
            while left := sorted(rows(mine)):
                label = random.choice(left[:5])
                answer = mine.commit(
                    commit(change(rows_removed=(label,), delta=delta(n + 1, writer)))
                )
                if answer == wire.Committed():
                    taken.append(label)
                    n += 1
                else:
                    assert answer == wire.Conflict("row", TABLE, ids=(label,))
        except BaseException as error:  # noqa: BLE001 - reported by the test's own thread.
            failures.append(error)
        finally:
            mine.close()

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert sorted(taken) == list(range(60))
