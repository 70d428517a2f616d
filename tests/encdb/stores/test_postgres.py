"""What only PostgreSQL can do to a store: commits that overtake each other, and connections that break."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import encdb
from encdb import wire
from encdb.errors import EncdbError, OperationalError, StoreUnavailable, TamperError
from encdb.stores import Store, create_store, open_store
from indexes.keys import Key
from indexes.methods.ore.client import OreCipher
from indexes.types import ColumnType
from tests.fixtures.commits import (
    TABLE,
    WRITER,
    catalog_change,
    change,
    claims,
    commit,
    delta,
    heads,
    ids,
    rows,
    swap,
    table_heads,
    with_table,
)
from tests.fixtures.databases import Database, check_ok, refused
from tests.fixtures.databases import rows as answer
from tests.fixtures.kinds import PostgresKind, StoreKind
from tests.fixtures.postgres import own_server
from tests.fixtures.stores import GENESIS

pytestmark = pytest.mark.stores("postgres")
pytest.importorskip("psycopg")

from encdb.stores.postgres import link as module  # noqa: E402 - it needs the package above.

OTHER = b"o" * 16
TAG = b"t" * 16


@pytest.fixture
def store(store: Store) -> Store:
    return with_table(store)


@pytest.fixture
def other(store: Store, store_url: str) -> Iterator[Store]:
    """A second client's store."""
    with closing(open_store(store_url)) as opened:
        yield opened


class Held:
    """A piece of work in a thread of its own that stops before it sends a certain statement."""

    def __init__(self, work: Callable[[], Any], before: str = "COMMIT") -> None:
        self._before = before
        self._work = work
        self._there, self._go = threading.Event(), threading.Event()
        self._result: list[Any] = []
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        try:
            self._result.append(self._work())
        except BaseException as error:  # noqa: BLE001 - it is raised by whoever waits.
            self._result.append(error)
        finally:
            self._there.set()

    def observe(self, text: str) -> None:
        """Stop this thread, once, when its statement comes."""
        at_the_place = text.startswith(self._before) and not self._there.is_set()
        if threading.current_thread() is self._thread and at_the_place:
            self._there.set()
            assert self._go.wait(60)

    def start(self) -> None:
        """Begin, and return when the work has stopped."""
        self._thread.start()
        assert self._there.wait(60)
        assert not self._result, self._result

    def finish(self) -> Any:
        """Go on, and return the result."""
        self._go.set()
        self._thread.join(60)
        (result,) = self._result
        if isinstance(result, BaseException):
            raise result
        return result


@contextmanager
def held(work: Callable[[], Any], before: str = "COMMIT") -> Iterator[Held]:
    """Work that has begun and waits; it is always let go in the end."""
    one = Held(work, before)
    module.observers.append(one.observe)
    try:
        one.start()
        yield one
    finally:
        one._go.set()
        one._thread.join(60)
        module.observers.remove(one.observe)


# --- Commits that become visible in another order than they began -----------------------------------


def test_a_standby_hides_no_commit_that_was_overtaken(genesis: wire.Genesis):
    """Its description of a snapshot does not say which transactions are under way."""
    with (
        own_server() as server,
        server.standby() as following,
        closing(with_table(create_store(server.url(), genesis))) as store,
        closing(open_store(server.url())) as other,
    ):
        wait_for(lambda: is_there(following))
        with closing(open_store(following)) as reader:
            with held(lambda: store.commit(commit(change(delta=delta(1))))) as late:
                other.commit(commit(change(delta=delta(1, writer=OTHER))))
                wait_for(lambda: seen_anew(following) == [(OTHER, 1)])
                assert seen(reader, {}) == [(OTHER, 1)]
                late.finish()
            wait_for(lambda: len(seen_anew(following)) == 2)
            assert seen(reader, {OTHER: 1}) == [(WRITER, 1)]


def test_a_refused_commit_makes_the_store_look_again(
    store: Store, store_kind: PostgresKind, store_url: str
):
    """A backup that was restored under an open connection is found out, and not taken for a race."""
    for n in (1, 2):
        store.commit(commit(change(delta=delta(n))))
        seen(store, {WRITER: n - 1} if n > 1 else {})
    seen(store, {WRITER: 2})
    with store_kind.raw(store_url) as raw:
        raw.run("DELETE FROM deltas WHERE n = 2")
    assert store.commit(commit(change(delta=delta(3)))) == wire.Stale("frontier", TABLE)
    with store.snapshot() as snapshot:
        cursor = wire.TableCursor(TABLE, 0, 0, ((WRITER, 2),))
        (table,) = snapshot.read(wire.ReadHeads(1, (cursor,), if_changed=True)).tables
    assert table.ends == ((WRITER, 1, 1),)


def is_there(url: str) -> bool:
    try:
        open_store(url).close()
    except StoreUnavailable:
        return False
    return True


def seen_anew(url: str) -> list[tuple[bytes, int]]:
    """Which deltas a new client is sent."""
    with closing(open_store(url)) as opened:
        return seen(opened, {})


def seen(store: Store, frontier: dict[bytes, int]) -> list[tuple[bytes, int]]:
    with store.snapshot() as snapshot:
        cursor = wire.TableCursor(TABLE, 0, 0, tuple(frontier.items()))
        answer = snapshot.read(wire.ReadHeads(1, (cursor,), if_changed=False))
    return [(one.writer, one.n) for table in answer.tables for one in table.deltas]


def wait_for(condition: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.05)


def test_a_commit_that_is_held_is_seen_when_it_is_there(store: Store, other: Store):
    """The reader's last snapshot is newer than the held commit's number, and must not skip it."""
    slow = delta(1)
    with held(lambda: store.commit(commit(change(rows_added=((1, b"slow"),), delta=slow)))) as late:
        reader_knows = table_heads(other, epoch=0)
        assert reader_knows.ends == ()
        quick = [delta(n, OTHER) for n in (1, 2, 3)]
        for n, one in enumerate(quick):
            assert other.commit(commit(change(delta=one))) == wire.Committed()
            found = table_heads(other, epoch=0, frontier=((OTHER, n),) if n else ())
            assert found.deltas == (one,)
            assert found.ends == ((OTHER, n + 1, n + 1),)
        assert heads(other, epoch=0, version=1, frontier=((OTHER, 3),), if_changed=True).unchanged
        assert rows(other) == {}
        assert late.finish() == wire.Committed()
    found = table_heads(other, epoch=0, frontier=((OTHER, 3),))
    assert found.deltas == (slow,)
    assert set(found.ends) == {(OTHER, 3, 3), (WRITER, 1, 1)}
    assert rows(other) == {1: b"slow"}


def test_several_held_commits_are_seen_each_in_its_turn(store: Store, other: Store, store_url: str):
    """Released in the opposite order; each reader gets every delta exactly once."""
    writers = [bytes([65 + n]) * 16 for n in range(3)]
    stores = [open_store(store_url) for _ in writers]
    sent = {writer: delta(1, writer) for writer in writers}
    frontier: dict[bytes, int] = {}

    def news() -> tuple[wire.DeltaBlob, ...]:
        found = table_heads(other, epoch=0, frontier=tuple(frontier.items()))
        frontier.update({one.writer: one.n for one in found.deltas})
        return found.deltas

    assert news() == ()
    works = [
        lambda own=own, writer=writer: own.commit(commit(change(delta=sent[writer])))
        for own, writer in zip(stores, writers, strict=True)
    ]
    with held(works[0]) as first, held(works[1]) as second, held(works[2]) as third:
        for one, writer in ((third, writers[2]), (first, writers[0]), (second, writers[1])):
            assert news() == ()
            assert one.finish() == wire.Committed()
            assert news() == (sent[writer],)
            assert news() == ()
    for own in stores:
        own.close()


def test_a_snapshot_begun_before_a_held_commit_does_not_see_it(store: Store, other: Store):
    with (
        held(
            lambda: store.commit(commit(change(rows_added=((1, b"row"),), delta=delta(1))))
        ) as one,
        other.snapshot() as snapshot,
    ):
        assert snapshot.read(wire.ReadRows(TABLE, None)).ids == ()
        one.finish()
        assert snapshot.read(wire.ReadRows(TABLE, None)).ids == ()
        cursor = wire.TableCursor(TABLE, 0, 0, ())
        (state,) = snapshot.read(wire.ReadHeads(1, (cursor,), if_changed=False)).tables
        assert state.ends == ()
    assert len(table_heads(other, epoch=0).deltas) == 1


def test_a_merge_waits_for_commits_that_have_begun(store: Store, other: Store):
    other.commit(commit(change(delta=delta(1, OTHER))))
    merge = commit(change(swap=swap(1, folded_deltas=((OTHER, 1),))))
    with held(
        lambda: store.commit(commit(change(rows_added=((1, b"row"),), delta=delta(1))))
    ) as one:
        merging = threading.Thread(target=lambda: outcomes.append(other.commit(merge)))
        outcomes: list[object] = []
        merging.start()
        merging.join(0.3)
        assert outcomes == []
        assert one.finish() == wire.Committed()
        merging.join(60)
    assert outcomes == [wire.Committed()]
    assert table_heads(other, epoch=1).ends == ((WRITER, 1, 1),)
    assert rows(other) == {1: b"row"}


def test_a_commit_that_waits_for_a_merge_is_stale_after_it(store: Store, other: Store):
    with held(lambda: store.commit(commit(change(swap=swap(1))))) as merge:
        outcomes: list[object] = []
        late = commit(change(rows_added=((1, b"row"),), delta=delta(1)))
        waiting = threading.Thread(target=lambda: outcomes.append(other.commit(late)))
        waiting.start()
        waiting.join(0.3)
        assert outcomes == []
        assert merge.finish() == wire.Committed()
        waiting.join(60)
    assert outcomes == [wire.Stale("epoch", TABLE)]
    assert rows(other) == {}


def test_of_two_that_claim_a_value_the_second_waits_and_loses(store: Store, other: Store):
    """Or wins, if the first one is rolled back."""
    mine = commit(change(keys_added=((TAG, 1),), delta=delta(1)))
    theirs = commit(change(keys_added=((TAG, 2),), delta=delta(1, OTHER)))
    with held(lambda: store.commit(mine)) as first:
        outcomes: list[object] = []
        waiting = threading.Thread(target=lambda: outcomes.append(other.commit(theirs)))
        waiting.start()
        waiting.join(0.3)
        assert outcomes == []
        assert first.finish() == wire.Committed()
        waiting.join(60)
    assert outcomes == [wire.Conflict("key", TABLE, tags=(TAG,))]
    assert claims(other) == {TAG: 1}


def test_the_proxy_misses_no_held_commit(database: Database, monkeypatch):
    """Rows, indexes and counts of a reader who was there before, of one in between, and after."""
    setup = database.connect()
    setup.execute("CREATE TABLE t (id BIGINT PRIMARY KEY, a TEXT)")
    setup.execute("CREATE INDEX ON t USING equality (a)")
    slow, quick, reader = (database.connect() for _ in range(3))
    for connection in (slow, quick, reader):
        answer(connection, "SELECT * FROM t")
    with held(lambda: slow.execute("INSERT INTO t VALUES (1, 'x'), (2, 'y')")) as one:
        for number in range(10, 14):
            quick.execute("INSERT INTO t VALUES (?, 'x')", (number,))
            expected = [(n,) for n in range(10, number + 1)]
            for asked in (reader, database.connect(), quick):
                assert answer(asked, "SELECT id FROM t WHERE a = 'x' ORDER BY id") == expected
                assert answer(asked, "SELECT count(*) FROM t") == [(len(expected),)]
        quick.execute("DELETE FROM t WHERE id = 10")
        one.finish()
    for asked in (reader, database.connect(), quick, slow):
        found = answer(asked, "SELECT id FROM t WHERE a = 'x' ORDER BY id")
        assert found == [(1,), (11,), (12,), (13,)]
        assert answer(asked, "SELECT count(*) FROM t") == [(5,)]
        check_ok(asked)


def test_a_merge_beside_a_held_commit_loses_nothing(database: Database):
    setup = database.connect()
    setup.execute("CREATE TABLE t (id BIGINT PRIMARY KEY, a TEXT)")
    setup.executemany("INSERT INTO t VALUES (?, 'x')", [(n,) for n in range(20)])
    slow, merger, reader = (database.connect() for _ in range(3))
    answer(reader, "SELECT * FROM t")
    with held(lambda: slow.execute("UPDATE t SET a = 'y' WHERE id < 5")) as one:
        merging = threading.Thread(target=lambda: merger.execute("VACUUM t"))
        merging.start()
        merging.join(0.3)
        assert answer(reader, "SELECT count(*) FROM t WHERE a = 'x'") == [(20,)]
        one.finish()
        merging.join(60)
    for asked in (reader, merger, slow, database.connect()):
        assert answer(asked, "SELECT count(*) FROM t WHERE a = 'y'") == [(5,)]
        check_ok(asked)


def test_a_forged_transaction_number_hides_a_change_only_until_the_next(database: Database):
    """The number decides what a reader is sent at once, and is the server's to forge.

    So the newest change can be kept from a reader, as any server can do. What follows it tells.
    """
    writer, reader = database.connect(), database.connect()
    writer.execute("CREATE TABLE t (id BIGINT PRIMARY KEY)")
    writer.execute("INSERT INTO t VALUES (1)")
    assert answer(reader, "SELECT * FROM t") == [(1,)]
    writer.execute("INSERT INTO t VALUES (2)")
    with database.kind.raw(database.url) as raw:
        deltas = raw.relation("deltas")
        newest = max(deltas.rows, key=lambda key: deltas.values(deltas.rows[key])["n"])
        raw.change(deltas, newest, "xid", 3)
    assert answer(reader, "SELECT * FROM t") in ([(1,)], [(1,), (2,)])
    assert answer(database.connect(), "SELECT * FROM t ORDER BY id") == [(1,), (2,)]
    for _ in range(2):
        writer.execute("INSERT INTO t SELECT max(id) + 1 FROM t")
        expected = answer(writer, "SELECT * FROM t ORDER BY id")
        try:
            assert answer(reader, "SELECT * FROM t ORDER BY id") == expected
        except TamperError:
            break


# --- Connections that break -------------------------------------------------------------------------


def once(text: str, act: Callable[[], object]) -> Callable[[str], None]:
    """An observer that does something before a statement is sent for the first time."""
    left = [act]

    def observe(found: str) -> None:
        if found.startswith(text) and left:
            left.pop()()

    return observe


@contextmanager
def observing(observer: Callable[[str], None]) -> Iterator[None]:
    module.observers.append(observer)
    try:
        yield
    finally:
        module.observers.remove(observer)


def lose_the_answer(monkeypatch: pytest.MonkeyPatch, text: str, act: Callable[[], object]) -> None:
    """Carry out a statement once, break the connection, and let nobody know what became of it."""
    import psycopg

    whole, left = module.Link.run, [act]

    def run(self: Any, *statements: Any) -> Any:
        found = whole(self, *statements)
        if left and any(one.startswith(text) for one, _ in statements):
            left.pop()()
            self.close()
            raise psycopg.OperationalError("the answer was lost")
        return found

    monkeypatch.setattr(module.Link, "run", run)


PHASES = ("idle", "waiting", "written", "answer lost")


@contextmanager
def breaking(phase: str, url: str, kind: PostgresKind, patch: pytest.MonkeyPatch) -> Iterator[None]:
    """The server's processes for a store end in one phase of the next commit."""
    cuts: list[str] = []

    def cut() -> None:
        kind.disconnect(url)
        cuts.append(phase)

    if phase == "idle":
        cut()
        yield
    elif phase == "waiting":
        with waiting_for_a_lock(kind, url, cut):
            yield
    elif phase == "written":
        with observing(once("COMMIT", cut)):
            yield
    else:
        lose_the_answer(patch, "COMMIT", cut)
        yield
    assert cuts == [phase]


@contextmanager
def waiting_for_a_lock(kind: PostgresKind, url: str, act: Callable[[], None]) -> Iterator[None]:
    """Lock all logical tables; act once the store waits for one, and only then let them go."""
    import psycopg

    database, schema = kind.split(url)
    done = threading.Event()

    def watch() -> None:
        with psycopg.connect(database, autocommit=True) as looking:
            waits = (
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE application_name = %s AND wait_event_type = 'Lock'"
            )
            while not done.wait(0.005):
                if looking.execute(waits, (schema,)).fetchone() != (0,):
                    act()
                    break
        holder.rollback()

    with psycopg.connect(database) as holder:
        holder.execute(f'SELECT tbl FROM "{schema}".tables FOR UPDATE')
        watching = threading.Thread(target=watch)
        watching.start()
        try:
            yield
        finally:
            done.set()
            watching.join()


@pytest.mark.parametrize("phase", PHASES)
def test_a_commit_whose_connection_breaks_is_done_once(
    store: Store, store_kind: PostgresKind, store_url: str, monkeypatch, phase: str
):
    store.commit(commit(change(rows_added=((1, b"row"),), delta=delta(1))))
    sent = commit(
        change(
            rows_removed=(1,),
            rows_added=((2, b"new"),),
            keys_added=((TAG, 2),),
            delta=delta(2),
        )
    )
    with breaking(phase, store_url, store_kind, monkeypatch):
        assert store.commit(sent) == wire.Committed(repeated=phase == "answer lost")
    monkeypatch.undo()
    assert rows(store) == {2: b"new"}
    assert claims(store) == {TAG: 2}
    assert table_heads(store).ends == ((WRITER, 2, 2),)
    assert store.commit(sent) == wire.Committed(repeated=True)


@pytest.mark.parametrize("phase", PHASES)
def test_a_merge_whose_connection_breaks_is_done_once(
    store: Store, store_kind: PostgresKind, store_url: str, monkeypatch, phase: str
):
    store.commit(commit(change(rows_added=((1, b"row"),), delta=delta(1))))
    page = wire.page_id(1, 0)
    store.stage(wire.Stage(TABLE, 1, pages=((page, b"page"),)))
    merge = commit(
        change(swap=swap(1, published=(1,), folded_deltas=((WRITER, 1),), folded_rows=(1,)))
    )
    with breaking(phase, store_url, store_kind, monkeypatch):
        assert isinstance(store.commit(merge), wire.Committed)
    monkeypatch.undo()
    assert rows(store) == {}
    assert ids(store, "pages") == (page,)
    assert table_heads(store).epoch == 1


@pytest.mark.parametrize("phase", PHASES)
def test_a_schema_change_whose_connection_breaks_is_done_once(
    store: Store, store_kind: PostgresKind, store_url: str, monkeypatch, phase: str
):
    sent = commit(version=1, catalog=catalog_change(2, created=(77,), dropped=(TABLE,)))
    with breaking(phase, store_url, store_kind, monkeypatch):
        assert isinstance(store.commit(sent), wire.Committed)
    monkeypatch.undo()
    assert heads(store, table=None).catalog_version == 2
    assert heads(store, table=77).tables != ()
    assert heads(store).tables == ()


def test_numbers_whose_answer_was_lost_are_not_given_out_again(
    store: Store, store_kind: StoreKind, store_url: str, monkeypatch
):
    lose_the_answer(monkeypatch, "UPDATE {leases}", lambda: store_kind.disconnect(store_url))
    assert store.lease(wire.Lease(TABLE, "ordinal", 10)) in {
        wire.Leased(0, 10),
        wire.Leased(10, 10),
    }
    monkeypatch.undo()
    assert store.lease(wire.Lease(TABLE, "ordinal", 1)).first >= 10


@pytest.mark.parametrize("place", [*range(4), 9, 11, 12])
def test_a_stage_whose_connection_breaks_is_whole(
    store: Store, store_kind: StoreKind, store_url: str, place: int
):
    message = wire.Stage(
        TABLE,
        1,
        pages=tuple((wire.page_id(1, page), bytes([page % 256]) * 4000) for page in range(300)),
        packs=((wire.pack_id(1, 0), b"column"),),
        visible=(wire.VisibleBatch(1, "tag", tuple((label, TAG) for label in range(50))),),
    )
    store.stage(wire.Stage(TABLE, 2, pages=((wire.page_id(2, 0), b"first"),)))
    seen: list[str] = []

    def observe(text: str) -> None:
        seen.append(text)
        if len(seen) == place + 1:
            store_kind.disconnect(store_url)

    with observing(observe):
        assert store.stage(message) == wire.Staged()
    assert len(seen) > place + 1
    assert len(ids(store, "pages")) == 301
    assert store.commit(commit(change(swap=swap(1, published=(1, 2))))) == wire.Committed()
    assert ids(store, "visible") == tuple(wire.entry_id(1, label) for label in range(50))


def test_a_snapshot_whose_connection_breaks_is_over(
    store: Store, store_kind: StoreKind, store_url: str
):
    """A new connection would show another state, so nothing is read on behind the reader's back."""
    store.commit(commit(change(rows_added=((1, b"row"),), delta=delta(1))))
    with store.snapshot() as snapshot:
        assert snapshot.read(wire.ReadRows(TABLE, (1,))).ids == (1,)
        store_kind.disconnect(store_url)
        with pytest.raises(StoreUnavailable) as caught:
            snapshot.read(wire.ReadRows(TABLE, (1,)))
        assert caught.value.code == "E_CONNECTION_LOST"
        with pytest.raises(StoreUnavailable):
            snapshot.read(wire.ReadRows(TABLE, (1,)))
    assert rows(store) == {1: b"row"}
    assert table_heads(store, epoch=0, frontier=((WRITER, 1),)).ends == ((WRITER, 1, 1),)


def test_what_changed_while_a_connection_was_broken_is_news(
    store: Store, other: Store, store_kind: StoreKind, store_url: str
):
    assert table_heads(other, epoch=0).ends == ()
    store_kind.disconnect(store_url)
    sent = delta(1)
    store.commit(commit(change(delta=sent)))
    assert not heads(other, epoch=0, version=1, if_changed=True).unchanged
    assert table_heads(other, epoch=0).deltas == (sent,)


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO t VALUES (1000, 'new')",
        "UPDATE t SET a = a || '!' WHERE id < 10",
        "DELETE FROM t WHERE id >= 10",
        "VACUUM t",
        "ANALYZE t",
        "CREATE INDEX ON t USING equality (a)",
    ],
)
def test_statements_outlive_a_broken_connection(
    database: Database, monkeypatch, sql: str, phase: str
):
    """What the statement did is there once; and no client is told of a rollback or damage."""
    connection, reader = database.connect(), database.connect()
    connection.execute("CREATE TABLE t (id BIGINT PRIMARY KEY, a TEXT)")
    connection.executemany("INSERT INTO t VALUES (?, 'x')", [(n,) for n in range(20)])
    answer(reader, "SELECT * FROM t")
    with breaking(phase, database.url, database.kind, monkeypatch):
        connection.execute(sql)
    monkeypatch.undo()
    expected = {
        "INSERT": (21, 0),
        "UPDATE": (20, 10),
        "DELETE": (10, 0),
        "VACUUM": (20, 0),
        "ANALYZE": (20, 0),
        "CREATE": (20, 0),
    }[sql.split(maxsplit=1)[0]]
    asked = "SELECT count(*), count(*) FILTER (WHERE a = 'x!') FROM t"
    for one in (connection, reader, database.connect()):
        assert answer(one, asked) == [expected]
        check_ok(one)


def test_a_broken_connection_in_a_transaction_is_one_error_and_a_new_beginning(database: Database):
    connection = database.connect()
    connection.execute("CREATE TABLE t (id BIGINT PRIMARY KEY)")
    connection.execute("CREATE TABLE u (id BIGINT PRIMARY KEY)")
    connection.execute("INSERT INTO u VALUES (1)")
    connection.execute("VACUUM u")
    connection.execute("BEGIN")
    connection.execute("INSERT INTO t VALUES (1)")
    database.kind.disconnect(database.url)
    refused("E_CONNECTION_LOST", connection.execute, "SELECT * FROM u WHERE id = 1")
    connection.rollback()
    connection.execute("INSERT INTO t VALUES (2)")
    assert answer(connection, "SELECT * FROM t") == [(2,)]
    check_ok(connection)


# --- A server that is killed ------------------------------------------------------------------------

INSERTS = """
import sys
import encdb
url, keyring = sys.argv[1:3]
connection = encdb.connect(url, keyring=keyring)
for n in range(1, 100000):
    try:
        connection.execute("INSERT INTO t VALUES (?, 'x')", (n,))
    except encdb.EncdbError as error:
        print(error.code, file=sys.stderr, flush=True)
        raise SystemExit(1)
    print(n, flush=True)
"""


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_killed_server_keeps_every_acknowledged_commit(tmp_path: Path):
    """``kill -9`` of the postmaster, with fsync: recovery loses nothing that was acknowledged."""
    with own_server() as server:
        url, keyring = f"{server.url()}?schema=vault", str(tmp_path / "keyring")
        encdb.init(url, keyring=keyring)
        with encdb.connect(url, keyring=keyring) as connection:
            connection.execute("CREATE TABLE t (id BIGINT PRIMARY KEY, a TEXT)")
            connection.execute("CREATE INDEX ON t USING equality (a)")
        total = 0
        for _ in range(4):
            program = INSERTS.replace("range(1,", f"range({total + 1},")
            process = subprocess.Popen(
                [sys.executable, "-c", program, url, keyring],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env={**os.environ, "PYTHONPATH": str(Path(encdb.__file__).parents[1])},
            )
            assert process.stdout is not None
            for _ in range(15):
                assert process.stdout.readline()
            server.kill()
            output, errors = process.communicate(timeout=60)
            assert errors.strip() in {
                "E_CONNECTION_LOST",
                "E_CONNECTION_FAILED",
                "E_OUTCOME_UNKNOWN",
            }
            server.start()
            acknowledged = max([total + 15, *map(int, output.split())])
            with encdb.connect(url, keyring=keyring) as connection:
                ((last, count),) = answer(connection, "SELECT max(id), count(*) FROM t")
                assert last == count
                assert last in {acknowledged, acknowledged + 1}
                assert answer(connection, "SELECT count(*) FROM t WHERE a = 'x'") == [(count,)]
                connection.execute("VACUUM t")
                check_ok(connection)
            total = last


def test_a_server_that_is_not_there_is_one_line(tmp_path: Path):
    with pytest.raises(EncdbError) as caught:
        open_store("postgresql://nobody:secret@127.0.0.1:1/nothing?schema=s")
    assert caught.value.code == "E_CONNECTION_FAILED"
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_commit_into_a_server_that_stays_away_says_that_it_does_not_know(
    store: Store, monkeypatch
):
    """The connection breaks after everything was written, and none can be made any more."""
    import psycopg

    def unreachable(*_arguments: object, **_options: object) -> object:
        raise psycopg.OperationalError("connection refused")

    monkeypatch.setattr("encdb.stores.postgres.store._PAUSES", (0.0,) * 4)

    def gone() -> None:
        monkeypatch.setattr(psycopg, "connect", unreachable)

    lose_the_answer(monkeypatch, "COMMIT", gone)
    sent = commit(change(rows_added=((1, b"row"),), delta=delta(1)))
    with pytest.raises(OperationalError) as caught:
        store.commit(sent)
    assert caught.value.code == "E_OUTCOME_UNKNOWN"
    monkeypatch.undo()
    assert store.commit(sent) == wire.Committed(repeated=True)
    assert rows(store) == {1: b"row"}


# --- Rights and neighbours --------------------------------------------------------------------------


@pytest.fixture
def role(store_kind: PostgresKind, store: Store, store_url: str) -> Iterator[Callable[[str], str]]:
    """The URL of the store for a role with only some rights on its relations."""
    server = store_kind.running.server
    if server is None:
        pytest.skip("the named server's administrator is not known, so no role can be made")
    database, schema = store_kind.split(store_url)
    name = f"role_{schema}"

    def make(rights: str) -> str:
        with server.connect(database.rpartition("/")[2]) as connection:
            connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'secret'")
            connection.execute(f"GRANT CONNECT ON DATABASE {connection.info.dbname} TO {name}")
            if rights:
                connection.execute(f"GRANT USAGE ON SCHEMA {schema} TO {name}")
                connection.execute(f"GRANT {rights} ON ALL TABLES IN SCHEMA {schema} TO {name}")
        host = database.rpartition("@")[2]
        return f"postgresql://{name}:secret@{host}?schema={schema}"

    yield make
    with server.connect(database.rpartition("/")[2]) as connection:
        connection.execute(f"DROP OWNED BY {name}")
        connection.execute(f"DROP ROLE {name}")


def test_a_role_that_may_only_read(store: Store, role: Callable[[str], str]):
    store.commit(commit(change(rows_added=((1, b"row"),), delta=delta(1))))
    with closing(open_store(role("SELECT"))) as reading:
        assert rows(reading) == {1: b"row"}
        assert not reading.describe().writable
        for attempt in (
            lambda: reading.commit(commit(change(delta=delta(2)))),
            lambda: reading.lease(wire.Lease(TABLE, "ordinal", 1)),
            lambda: reading.stage(wire.Stage(TABLE, 1, pages=((1 << 32, b"page"),))),
        ):
            with pytest.raises(StoreUnavailable) as caught:
                attempt()
            assert caught.value.code == "E_STORE_READ_ONLY"
        assert rows(reading) == {1: b"row"}


def test_a_role_that_reads_and_writes_rows_needs_no_more(store: Store, role: Callable[[str], str]):
    """No DDL outside of ``encdb init``: tables come and go as rows, and anybody may compare values."""
    cipher = OreCipher(Key.random(), ColumnType.parse("INTEGER"), "sha256")
    zero = cipher.encrypt(np.array([[1 << 63, 0]], dtype=np.uint64))[0].tobytes()
    shown = (wire.VisibleBatch(1, "compare", ((3, zero),)),)
    asked = wire.VisibleTest(1, "compare", (cipher.token((1 << 63, 0)), b""))
    with closing(open_store(role("SELECT, INSERT, UPDATE, DELETE"))) as working:
        assert working.describe().writable
        made = commit(version=1, catalog=catalog_change(2, created=(5,)))
        assert working.commit(made) == wire.Committed()
        first = working.lease(wire.Lease(5, "segment", 1)).first
        page = wire.page_id(first, 0)
        working.stage(wire.Stage(5, first, pages=((page, b"page"),), visible=shown))
        merge = commit(change(table=5, swap=swap(1, published=(first,))), version=2)
        assert working.commit(merge) == wire.Committed()
        with working.snapshot() as snapshot:
            assert snapshot.read(wire.ReadVisible(5, (asked,))).ids == (3,)
        dropped = commit(version=2, catalog=catalog_change(3, dropped=(5,)))
        assert working.commit(dropped) == wire.Committed()
        assert working.sweep(wire.Sweep(TABLE)) == wire.Swept()


def test_a_role_that_may_not_compare(
    store: Store, store_kind: PostgresKind, store_url: str, role: Callable[[str], str]
):
    """Where an administrator has taken the right to run functions from everybody."""
    cipher = OreCipher(Key.random(), ColumnType.parse("INTEGER"), "sha256")
    zero = cipher.encrypt(np.array([[1 << 63, 0]], dtype=np.uint64))[0].tobytes()
    shown = wire.VisibleBatch(1, "compare", ((3, zero),))
    store.commit(commit(change(visible_added=(shown, wire.VisibleBatch(2, "tag", ((3, TAG),))))))
    compared = wire.VisibleTest(1, "compare", (cipher.token((1 << 63, 0)), b""))
    equal = wire.VisibleTest(2, "tag", (TAG,))
    database, schema = store_kind.split(store_url)
    url = role("SELECT")
    with store_kind.running.server.connect(database.rpartition("/")[2]) as connection:
        connection.execute(f'REVOKE EXECUTE ON FUNCTION "{schema}".{module.FUNCTION} FROM PUBLIC')
    with closing(open_store(url)) as reading:
        with pytest.raises(StoreUnavailable) as caught, reading.snapshot() as snapshot:
            snapshot.read(wire.ReadVisible(TABLE, (compared,)))
        assert caught.value.code == "E_ACCESS_DENIED"
        with reading.snapshot() as snapshot:
            assert snapshot.read(wire.ReadVisible(TABLE, (equal,))).ids == (3,)


def test_a_role_without_rights(store: Store, role: Callable[[str], str]):
    with pytest.raises(StoreUnavailable) as caught:
        open_store(role(""))
    assert caught.value.code in {"E_ACCESS_DENIED", "E_STORE_MISSING"}
    assert "secret" not in str(caught.value)


def test_a_wrong_password_is_not_shown(store: Store, store_kind: PostgresKind, store_url: str):
    if store_kind.running.server is None:
        pytest.skip("the named server may trust everybody")
    before, _, after = store_url.partition("@")
    user = before.rpartition(":")[0]
    with pytest.raises(StoreUnavailable) as caught:
        open_store(f"{user}:wrong-secret@{after}")
    assert caught.value.code == "E_ACCESS_DENIED"
    assert "wrong-secret" not in str(caught.value)


def test_stores_of_one_database_do_not_see_each_other(
    store: Store, store_kind: StoreKind, tmp_path: Path
):
    url = store_kind.new_url(tmp_path, "second")
    with closing(with_table(create_store(url, GENESIS))) as second:
        store.commit(commit(change(rows_added=((1, b"one"),), delta=delta(1))))
        second.commit(commit(change(rows_added=((1, b"two"),), delta=delta(1))))
        assert (rows(store), rows(second)) == ({1: b"one"}, {1: b"two"})
    store_kind.drop(url)


def test_creating_never_overwrites_a_schema(store_kind: StoreKind, store_url: str, tmp_path: Path):
    with store_kind.raw(store_url) as raw:
        raw.run("CREATE TABLE mine (a INT)")
    with pytest.raises(StoreUnavailable) as caught:
        create_store(store_url, GENESIS)
    assert caught.value.code == "E_STORE_EXISTS"
    with store_kind.raw(store_url) as raw:
        assert raw.names() == ["mine"]


def test_of_many_that_create_one_store_one_succeeds(store_kind: StoreKind, store_url: str):
    outcomes: list[str | None] = []
    start = threading.Barrier(4)

    def create() -> None:
        start.wait(60)
        try:
            create_store(store_url, GENESIS).close()
            outcomes.append("made")
        except EncdbError as error:
            outcomes.append(error.code)

    threads = [threading.Thread(target=create) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(str, outcomes)) == ["E_STORE_EXISTS"] * 3 + ["made"]
    open_store(store_url).close()


def test_a_merge_gets_its_turn_among_shares_that_never_end(
    store: Store, store_kind: PostgresKind, store_url: str
):
    """New shares of a row overtake whoever waits for the row itself, until a claim keeps them out."""
    import psycopg

    database, schema = store_kind.split(store_url)
    claimed, over = threading.Event(), time.monotonic() + 20
    turns = [threading.Semaphore(1), threading.Semaphore(0)]

    def share(place: int) -> None:
        """Let the last share go while the other one has its own, and take a new one."""
        with psycopg.connect(database) as connection:
            while not claimed.is_set() and time.monotonic() < over:
                turns[place].acquire(timeout=1)
                connection.commit()
                connection.execute(f'SELECT epoch FROM "{schema}".tables FOR SHARE')
                kinds = connection.execute(f'SELECT kind FROM "{schema}".claims').fetchall()
                if kinds == [("write",)]:
                    claimed.set()
                time.sleep(0.01)
                turns[1 - place].release()

    threads = [threading.Thread(target=share, args=(place,)) for place in range(2)]
    for thread in threads:
        thread.start()
    try:
        time.sleep(0.2)
        assert store.commit(commit(change(swap=swap(1)))) == wire.Committed()
        assert claimed.is_set()
    finally:
        for thread in threads:
            thread.join()
    with psycopg.connect(database) as connection:
        assert connection.execute(f'SELECT * FROM "{schema}".claims').fetchall() == []


@pytest.mark.parametrize(
    ("change_of_type", "request_"),
    [
        ("heads ALTER COLUMN format TYPE TEXT", None),
        ("heads ALTER COLUMN format TYPE INT[] USING ARRAY[format]", None),
        ("pages ALTER COLUMN page TYPE TEXT", wire.ListIds(TABLE, "pages")),
        ("pages ALTER COLUMN segment TYPE TEXT", wire.ListIds(TABLE, "pages")),
        (
            "pages ALTER COLUMN blob TYPE DATE USING '294000-01-01'",
            wire.ReadPages(TABLE, (1 << 32,)),
        ),
    ],
)
def test_values_of_any_type_are_an_integrity_failure(
    store: Store,
    store_kind: StoreKind,
    store_url: str,
    change_of_type: str,
    request_: wire.ReadRequest | None,
):
    store.lease(wire.Lease(TABLE, "segment", 1))
    store.stage(wire.Stage(TABLE, 1, pages=((1 << 32, b"page"),)))
    with store_kind.raw(store_url) as raw:
        raw.run(f"ALTER TABLE {change_of_type}")
    with (  # noqa: PT012 - opening it may be what fails.
        pytest.raises(TamperError) as caught,
        closing(open_store(store_url)) as opened,
        opened.snapshot() as snapshot,
    ):
        assert request_ is not None
        snapshot.read(request_)
    assert caught.value.code == "E_STORE_DAMAGED"
