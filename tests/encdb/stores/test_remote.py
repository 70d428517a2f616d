"""The client of a server: what it believes, what it repeats, and what it says when it cannot."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import sqlite3
import threading
import time

import pytest

from encdb import wire
from encdb.errors import EncdbError, TamperError
from encdb.stores import codec, create_store, open_store, receive_store
from encdb.stores.remote.address import Address, find_token
from encdb.stores.remote.connection import Connection
from encdb.stores.server import calls
from encdb.stores.server.limits import Buckets
from tests.fixtures import commits
from tests.fixtures.relay import relay_to
from tests.fixtures.server import running_server
from tests.fixtures.stores import GENESIS

TABLE = commits.TABLE


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    with running_server(folder=folder, allow_create=True) as running:
        yield running


@pytest.fixture(autouse=True)
def _token(server, monkeypatch):
    monkeypatch.setenv("ENCDB_TOKEN", server.token())


@pytest.fixture
def relay(server):
    with relay_to(server.port) as made:
        yield made


@pytest.fixture
def name(server):
    """A new store with a table."""
    chosen = f"s{secrets.token_hex(6)}"
    commits.with_table(create_store(str(server.folder / f"{chosen}.db"), GENESIS)).close()
    return chosen


@pytest.fixture
def store(relay, name):
    """The store through the relay."""
    with contextlib.closing(open_store(relay.url(name) + "?timeout=5")) as opened:
        yield opened


def fails(code, run, *arguments):
    with pytest.raises(EncdbError) as caught:
        run(*arguments)
    assert caught.value.code == code, repr(caught.value)
    assert caught.value.fix
    return caught.value


def a_commit(n=1, label=None, size=300):
    rows = ((n if label is None else label, os.urandom(size)),)
    return commits.commit(commits.change(rows_added=rows, delta=commits.delta(n)))


def labels(server, name):
    """What the file behind holds."""
    with contextlib.closing(sqlite3.connect(server.folder / f"{name}.db")) as file:
        rows = file.execute(f"SELECT label FROM rows_{TABLE:08x} ORDER BY label").fetchall()
    return [label for (label,) in rows]


# --- Addresses, tokens -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://db.example/vault", (True, "db.example", 443, "vault", 60.0)),
        ("HTTPS://DB.example:8443/Vault.1", (True, "db.example", 8443, "Vault.1", 60.0)),
        ("http://127.0.0.1:80/v?timeout=2.5", (False, "127.0.0.1", 80, "v", 2.5)),
        ("http://[::1]:8443/v", (False, "::1", 8443, "v", 60.0)),
        ("http://localhost/v", (False, "localhost", 80, "v", 60.0)),
    ],
)
def test_addresses(url, expected):
    address = Address.parse(url)
    found = (address.secure, address.host, address.port, address.name, address.seconds)
    assert found == expected
    assert Address.parse(address.url).url == address.url
    assert "?" not in address.url


@pytest.mark.parametrize(
    "url",
    [
        "https://",
        "https:///vault",
        "https://host",
        "https://host/",
        "https://host/a/b",
        "https://host/../a",
        "https://host/.a",
        "https://host/a%2fb",
        "https://host/" + "a" * 65,
        "https://host/a#b",
        "https://host:port/a",
        "https://host:99999/a",
        "https://ho st/a",
        "https://host\r\nx: y/a",
        "https://[::1/a",
        "https://host/a?timeout=0",
        "https://host/a?timeout=-1",
        "https://host/a?timeout=nan",
        "https://host/a?timeout=x",
        "https://host/a?timeout=1&timeout=2",
        "https://host/a?token=hush",
        "https://ann:hush@host/a",
        "https://hush@host/a",
        "http://hush@localhost/a",
    ],
)
def test_addresses_that_are_none(url):
    error = fails("E_USAGE", open_store, url)
    assert "hush" not in str(error)
    assert error.exit_status == 2


@pytest.mark.parametrize("host", ["db.example", "10.0.0.1", "127.0.0.1.example", "[2001:db8::1]"])
def test_tokens_do_not_cross_a_network_in_clear(host):
    assert fails("E_CONNECTION_INSECURE", open_store, f"http://{host}/a").exit_status == 2


def test_localhost_has_to_be_this_machine(server, monkeypatch, name):
    there = socket.create_connection(("127.0.0.1", server.port))
    monkeypatch.setattr(socket.socket, "getpeername", lambda _self: ("192.0.2.1", 80))
    monkeypatch.setattr(socket, "create_connection", lambda *_args, **_named: there)
    fails("E_CONNECTION_FAILED", open_store, f"http://localhost:{server.port}/{name}")
    assert there.fileno() == -1


def test_where_the_token_comes_from(tmp_path, monkeypatch):
    monkeypatch.delenv("ENCDB_TOKEN")
    fails("E_TOKEN_MISSING", find_token)
    fails("E_TOKEN_MISSING", open_store, "https://localhost/a")
    file = tmp_path / "token"
    monkeypatch.setenv("ENCDB_TOKEN_FILE", str(file))
    assert str(file) in fails("E_TOKEN_FILE", find_token).message
    file.write_text("encdb_from-file\n")
    assert find_token() == "encdb_from-file"
    monkeypatch.setenv("ENCDB_TOKEN", "encdb_from-variable")
    assert find_token() == "encdb_from-variable"
    for bad in ("short", "with blank in it", "line\r\nx: injected", "ünicode-token"):
        monkeypatch.setenv("ENCDB_TOKEN", bad)
        assert bad not in str(fails("E_TOKEN_MISSING", find_token))
    monkeypatch.delenv("ENCDB_TOKEN")
    file.write_bytes(b"\xff\xfe\x00")
    fails("E_TOKEN_FILE", find_token)


def test_a_wrong_token(server, monkeypatch, name):
    monkeypatch.setenv("ENCDB_TOKEN", "encdb_" + "A" * 43)
    assert "encdb_" not in str(fails("E_ACCESS_DENIED", open_store, server.url(name)))


def test_a_token_that_may_only_read(server, monkeypatch, name):
    monkeypatch.setenv("ENCDB_TOKEN", server.token(rights="read"))
    with contextlib.closing(open_store(server.url(name))) as store:
        assert commits.rows(store) == {}
        assert not store.describe().writable
        fails("E_ACCESS_DENIED", store.commit, a_commit())
        assert commits.rows(store) == {}


# --- The ordinary -----------------------------------------------------------------------------------


def requests(server):
    return sum(server.gateway.metrics.requests.values())


def test_a_query_costs_two_requests_and_one_that_nobody_waits_for(server, store):
    before = requests(server)
    with store.snapshot() as snapshot:
        snapshot.read(wire.ReadHeads(wire.NO_CATALOG, (), if_changed=True))
        snapshot.read_all([wire.ReadRows(TABLE, (1,)), wire.ReadKeys(TABLE, None)])
    store.describe()
    assert requests(server) == before + 4
    kinds = [line["kind"] for line in server.log if line["event"] == "request"][-4:]
    assert kinds == ["ReadHeads", "ReadKeys,ReadRows", "end", "Describe"]


def test_a_snapshot_that_reads_nothing_asks_nothing(server, store):
    before = requests(server)
    with store.snapshot() as snapshot:
        assert snapshot.read_all([]) == ()
    assert requests(server) == before


def test_all_on_one_connection(relay, store):
    for n in range(1, 20):
        store.commit(a_commit(n))
        assert len(commits.rows(store)) == n
    assert relay.connections == 1


def test_a_snapshot_stays_as_it_was(store, server, name):
    with store.snapshot() as snapshot:
        first = snapshot.read(wire.ReadRows(TABLE, None))
        store.commit(a_commit(1))
        assert snapshot.read(wire.ReadRows(TABLE, None)) == first
        fails("E_SNAPSHOT_OPEN", store.snapshot().__enter__)
    fails("E_CLOSED", snapshot.read, wire.ReadRows(TABLE, None))
    assert len(commits.rows(store)) == 1


def test_description_and_end(server, name):
    store = open_store(server.url(name) + "?timeout=7")
    described = store.describe()
    assert described.url == store.url == server.url(name)
    assert described.kind.startswith("SQLite 3.")
    assert described.writable
    assert described.bytes > 0
    sessions = len(server.gateway.sessions)
    store.close()
    store.close()
    assert len(server.gateway.sessions) == sessions - 1
    fails("E_CLOSED", store.describe)
    fails("E_CLOSED", store.snapshot().__enter__)
    store.interrupt()


def test_megabytes_go_both_ways(store):
    pages = tuple((1 << 32 | n, os.urandom(1 << 16)) for n in range(200))
    assert store.stage(wire.Stage(TABLE, 1, pages)) == wire.Staged()
    with store.snapshot() as snapshot:
        found = snapshot.read(wire.ReadPages(TABLE, tuple(one for one, _ in pages)))
    assert tuple(zip(found.ids, found.blobs, strict=True)) == pages


def test_a_client_does_not_send_more_than_the_server_takes(tmp_path, monkeypatch):
    url = str(tmp_path / "v.db")
    commits.with_table(create_store(url, GENESIS)).close()
    with running_server({"v": url}, request_bytes=1 << 21) as running:
        monkeypatch.setenv("ENCDB_TOKEN", running.token())
        store = open_store(running.url("v"))
        fails(
            "E_REQUEST_TOO_LARGE", store.stage, wire.Stage(TABLE, 1, ((1 << 32, bytes(1 << 22)),))
        )
        assert running.gateway.metrics.refusals["size"] == 0
        assert store.stage(wire.Stage(TABLE, 1, ((1 << 32, bytes(1 << 20)),))) == wire.Staged()
        store.close()


# --- Connections that break ------------------------------------------------------------------------


def sizes_of(relay, run):
    """How many bytes a call sends and receives."""
    relay.arm()
    run()
    return relay.up, relay.down


def positions(total):
    """The edges of a conversation and some places between them."""
    return sorted({0, 1, 17, total // 3, total // 2, total - 17, total - 5, total - 1})


def test_reads_outlive_a_broken_connection(relay, store):
    store.commit(a_commit(1))
    up, down = sizes_of(relay, lambda: commits.rows(store))
    for direction, total in (("up", up), ("down", down)):
        for position in positions(total):
            relay.arm(**{direction: position})
            assert len(commits.rows(store)) == 1, (direction, position)
            assert store.describe().writable


@pytest.mark.parametrize("direction", ["up", "down"])
def test_a_commit_happens_once_wherever_the_connection_breaks(
    server, relay, store, name, direction
):
    outcomes, done = set(), []
    sizes = sizes_of(relay, lambda: done.append(store.commit(a_commit(1))))
    places = positions(sizes[direction == "down"])
    for n, position in enumerate(places, start=2):
        relay.arm(**{direction: position})
        outcomes.add(store.commit(a_commit(n)))
        assert labels(server, name) == list(range(1, n + 1)), position
    assert outcomes <= {wire.Committed(), wire.Committed(repeated=True)}
    assert (wire.Committed(repeated=True) in outcomes) == (direction == "down")


@pytest.mark.parametrize("direction", ["up", "down"])
def test_other_writes_are_repeated(relay, store, direction):
    shown = wire.VisibleBatch(1, "tag", ((3, os.urandom(16)),))
    stage = wire.Stage(TABLE, 1, ((1 << 32, os.urandom(900)),), visible=(shown,))
    calls_made = (
        lambda: store.lease(wire.Lease(TABLE, "ordinal", 10)),
        lambda: store.stage(stage),
        lambda: store.sweep(wire.Sweep(TABLE)),
        lambda: store.claim(wire.Claim(TABLE, "merge", bytes(16), 30)),
    )
    last = -1
    for call in calls_made:
        total = sizes_of(relay, call)[direction == "down"]
        for position in positions(total)[::2]:
            relay.arm(**{direction: position})
            answer = call()
            if isinstance(answer, wire.Leased):
                assert answer.first > last  # numbers may be skipped, and never come twice
                last = answer.first + answer.count - 1


def test_a_large_write_is_repeated(server, relay, store):
    stage = wire.Stage(TABLE, 1, tuple((1 << 32 | n, os.urandom(1 << 16)) for n in range(60)))
    for position in (100, 1 << 20, 3 << 20):
        relay.arm(up=position)
        assert store.stage(stage) == wire.Staged()
    relay.arm(down=10)
    assert store.stage(stage) == wire.Staged()


def test_in_a_snapshot_a_broken_connection_is_an_error(relay, store):
    rows = wire.ReadRows(TABLE, None)
    up, down = sizes_of(relay, lambda: commits.rows(store))
    for direction, position in (("up", 5), ("up", up // 3), ("down", 0), ("down", down // 4)):
        with store.snapshot() as snapshot:
            snapshot.read(rows)
            relay.arm(**{direction: position})
            fails("E_CONNECTION_LOST", snapshot.read, rows)
            fails("E_CONNECTION_LOST", snapshot.read, rows)
            # Writing goes on, and so does the next statement.
            store.lease(wire.Lease(TABLE, "ordinal", 1))
        assert commits.rows(store) == {}


def test_the_end_of_a_snapshot_may_get_lost(server, relay, store):
    rows = wire.ReadRows(TABLE, None)
    for cut in (lambda: relay.arm(up=3), lambda: relay.arm(down=3), relay.cut):
        with store.snapshot() as snapshot:
            snapshot.read(rows)
            cut()
        assert commits.rows(store) == {}
    relay.cut()
    store.commit(a_commit(1))
    assert len(commits.rows(store)) == 1
    assert relay.connections > 3


def test_a_snapshot_whose_first_read_fails_is_ended(server, store):
    open_before = server.gateway.sessions.snapshots
    with store.snapshot() as snapshot, pytest.raises(EncdbError):
        snapshot.read(wire.ReadRows(0xBAD, None))
    store.describe()
    assert server.gateway.sessions.snapshots == open_before


def test_an_answer_that_breaks_in_the_middle_of_megabytes(relay, store):
    pages = tuple((1 << 32 | n, bytes(1 << 16)) for n in range(100))
    store.stage(wire.Stage(TABLE, 1, pages))
    read = wire.ReadPages(TABLE, tuple(one for one, _ in pages))
    for position in (1 << 16, 3 << 20, 6 << 20):
        relay.arm(down=position)
        with store.snapshot() as snapshot:
            assert len(snapshot.read(read).ids) == 100
    with store.snapshot() as snapshot:
        snapshot.read(wire.ReadRows(TABLE, None))
        relay.arm(down=1 << 20)
        fails("E_CONNECTION_LOST", snapshot.read, read)


def test_a_server_that_restarts_is_found_again(tmp_path, monkeypatch):
    url = str(tmp_path / "v.db")
    commits.with_table(create_store(url, GENESIS)).close()
    with running_server({"v": url}) as running:
        monkeypatch.setenv("ENCDB_TOKEN", running.token())
        store = open_store(running.url("v"))
        rows = wire.ReadRows(TABLE, None)
        with store.snapshot() as snapshot:
            snapshot.read(rows)
            running.restart()
            fails("E_CONNECTION_LOST", snapshot.read, rows)
        assert store.commit(a_commit(1)) == wire.Committed()
        assert len(commits.rows(store)) == 1
        with store.snapshot() as snapshot:
            snapshot.read(rows)
            running.restart()
            # Another session begins, whose snapshots show another state.
            assert store.commit(a_commit(2)) == wire.Committed()
            fails("E_CONNECTION_LOST", snapshot.read, rows)
        assert len(commits.rows(store)) == 2
        running.stop()
        monkeypatch.setattr("encdb.stores.remote.repeating._BROKEN_SECONDS", 0.8)
        begun = time.monotonic()
        fails("E_CONNECTION_FAILED", commits.rows, store)
        assert 0.5 < time.monotonic() - begun < 8
        fails("E_CONNECTION_FAILED", store.commit, a_commit(3))
        begun = time.monotonic()
        fails("E_CONNECTION_FAILED", open_store, running.url("v"))
        assert time.monotonic() - begun < 1
        store.close()


# --- Commits whose fate is unknown -----------------------------------------------------------------


def test_an_outcome_that_nobody_can_tell(server, relay, name):
    with contextlib.closing(open_store(relay.url(name) + "?timeout=1")) as store:
        relay.arm(down=0)
        relay.refusing = True
        begun = time.monotonic()
        error = fails("E_OUTCOME_UNKNOWN", store.commit, a_commit(1))
        assert 0.8 < time.monotonic() - begun < 8
        assert "cannot be asked" in error.message
        assert labels(server, name) == [1]
        relay.refusing = False
        assert len(commits.rows(store)) == 1


def test_what_was_not_sent_completely_has_no_unknown_outcome(server, relay, name, monkeypatch):
    monkeypatch.setattr("encdb.stores.remote.repeating._BROKEN_SECONDS", 0.4)
    with contextlib.closing(open_store(relay.url(name) + "?timeout=1")) as store:
        big = a_commit(1, size=6 << 20)
        relay.arm(up=1 << 20)
        relay.refusing = True
        with pytest.raises(EncdbError) as caught:
            store.commit(big)
        assert caught.value.code in ("E_CONNECTION_LOST", "E_CONNECTION_FAILED")
        time.sleep(0.2)
        assert labels(server, name) == []


def slowly(monkeypatch, seconds, kinds=(wire.Commit,), leave=None):
    """Make the server take its time over some messages, or until it may leave, and then act."""
    gate, leave = threading.Semaphore(0), leave or threading.Event()

    def carry_out(session, action, snapshot, messages, **named):
        if any(isinstance(one, kinds) for one in messages):
            gate.release()
            leave.wait(seconds.pop() if seconds else 0)
        return calls.carry_out(session, action, snapshot, messages, **named)

    monkeypatch.setattr("encdb.stores.server.exchange.carry_out", carry_out)
    return gate


def test_a_repeat_while_the_first_attempt_still_runs(server, relay, store, name, monkeypatch):
    gate = slowly(monkeypatch, [0.5])
    answers = []
    client = threading.Thread(target=lambda: answers.append(store.commit(a_commit(1))))
    client.start()
    gate.acquire(timeout=10)
    relay.cut()
    client.join()
    assert answers == [wire.Committed(repeated=True)]
    assert labels(server, name) == [1]


def test_a_commit_that_times_out_is_asked_for(server, relay, name, monkeypatch):
    slowly(monkeypatch, [1.5])
    with contextlib.closing(open_store(relay.url(name) + "?timeout=1")) as store:
        answer = store.commit(a_commit(1))
    assert answer == wire.Committed(repeated=True)
    assert labels(server, name) == [1]


def a_request(server, name, session, number):
    """A commit as bytes."""
    head = codec.Call(session, number).pack()
    data = b"".join(codec.frames(head, codec.encode([a_commit(1, label=number)])))
    lines = [
        f"POST /v1/{name}/write HTTP/1.1",
        "host: x",
        f"authorization: Bearer {server.token()}",
        f"encdb-request: {secrets.token_hex(16)}",
        f"content-length: {len(data)}",
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + data


def test_a_call_that_was_given_up_does_not_come_to_life(server, store, name):
    """The first attempt hangs in the network; it arrives after a later one was answered."""
    session, number = store._client.session, store._client._number
    first, second = (a_request(server, name, session, number + n) for n in (1, 2))
    with contextlib.closing(socket.create_connection(("127.0.0.1", server.port))) as late:
        late.sendall(first[:-1])
        with contextlib.closing(socket.create_connection(("127.0.0.1", server.port))) as now:
            now.sendall(second)
            assert now.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
        late.sendall(first[-1:])
        assert late.recv(1 << 16).startswith(b"HTTP/1.1 410 ")
    assert labels(server, name) == [number + 2]


# --- Slow and busy servers -------------------------------------------------------------------------


def test_a_slow_server(relay, name):
    with contextlib.closing(open_store(relay.url(name) + "?timeout=0.5")) as store:
        relay.pause_down = 1.2
        begun = time.monotonic()
        error = fails("E_TIMEOUT", commits.rows, store)
        assert time.monotonic() - begun < 3
        assert "0.5 seconds" in error.message
        relay.pause_down = 0
        relay.cut()
        assert commits.rows(store) == {}


def test_a_server_that_accepts_and_says_nothing():
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/v?timeout=0.3"
        begun = time.monotonic()
        fails("E_TIMEOUT", open_store, url)
        assert time.monotonic() - begun < 3


def test_a_busy_server_is_asked_again(tmp_path, monkeypatch):
    url = str(tmp_path / "v.db")
    commits.with_table(create_store(url, GENESIS)).close()
    with running_server({"v": url}, rate=4, burst=1) as running:
        monkeypatch.setenv("ENCDB_TOKEN", running.token())
        with contextlib.closing(open_store(running.url("v"))) as store:
            for n in range(1, 7):
                assert store.commit(a_commit(n)) == wire.Committed()
        assert running.gateway.metrics.refusals["rate"] >= 1


def test_a_server_that_stays_busy(name, server, monkeypatch):
    monkeypatch.setattr("encdb.stores.remote.repeating._BUSY_SECONDS", 1.5)
    with contextlib.closing(open_store(server.url(name))) as store:
        monkeypatch.setattr(server.gateway, "_rates", Buckets(0.001, 0.5))
        fails("E_SERVER_BUSY", commits.rows, store)
        monkeypatch.setattr(server.gateway, "_rates", Buckets(0, 1))


# --- Interruption ----------------------------------------------------------------------------------


def test_a_wait_can_be_ended(server, store, name, monkeypatch):
    leave = threading.Event()
    gate = slowly(monkeypatch, [20], (wire.ReadRows,), leave)
    raised = []

    def read():
        try:
            commits.rows(store)
        except EncdbError as error:
            raised.append(error.code)

    client = threading.Thread(target=read)
    client.start()
    gate.acquire(timeout=10)
    begun = time.monotonic()
    store.interrupt()
    client.join()
    assert raised == ["E_INTERRUPTED"]
    assert time.monotonic() - begun < 4
    leave.set()
    assert len(commits.claims(store)) == 0


def test_the_server_stops_reading_for_a_client_that_left(server, relay, store, name, monkeypatch):
    stopped = threading.Event()
    gate = threading.Semaphore(0)

    def carry_out(session, action, *arguments, **named):
        if action != "read":
            return calls.carry_out(session, action, *arguments, **named)
        monkeypatch.setattr(session.store, "interrupt", stopped.set)
        gate.release()
        assert stopped.wait(10)
        return calls.carry_out(session, action, *arguments, **named)

    monkeypatch.setattr("encdb.stores.server.exchange.carry_out", carry_out)
    client = threading.Thread(target=lambda: commits.rows(store))
    client.start()
    gate.acquire(timeout=10)
    relay.cut()
    assert stopped.wait(10)
    client.join()


def test_an_interrupted_commit_says_what_became_of_it(server, relay, store, name, monkeypatch):
    gate = slowly(monkeypatch, [0.6])
    answers = []
    client = threading.Thread(target=lambda: answers.append(store.commit(a_commit(1))))
    client.start()
    gate.acquire(timeout=10)
    store.interrupt()
    client.join()
    assert answers == [wire.Committed()]
    assert labels(server, name) == [1]


def test_an_interrupted_commit_of_a_server_that_is_gone(server, relay, store, name, monkeypatch):
    monkeypatch.setattr("encdb.stores.remote.client._ENDING_SECONDS", 0.3)
    leave = threading.Event()
    gate = slowly(monkeypatch, [20], leave=leave)
    raised = []

    def write():
        try:
            store.commit(a_commit(1))
        except EncdbError as error:
            raised.append(error.code)

    client = threading.Thread(target=write)
    client.start()
    gate.acquire(timeout=10)
    relay.refusing = True
    store.interrupt()
    client.join(4)
    assert raised == ["E_OUTCOME_UNKNOWN"]
    leave.set()
    relay.refusing = False
    assert len(commits.rows(store)) == 1


def test_an_interrupt_when_nobody_waits_is_harmless(store):
    store.interrupt()
    assert commits.rows(store) == {}
    store.interrupt()
    assert store.commit(a_commit(1)) == wire.Committed()


def test_ctrl_c_leaves_no_answer_behind(store, monkeypatch):
    store.commit(a_commit(1))
    real = Connection.receive

    def stopped(connection):
        monkeypatch.setattr(Connection, "receive", real)
        raise KeyboardInterrupt

    for run in (lambda: commits.rows(store), store.describe):
        monkeypatch.setattr(Connection, "receive", stopped)
        with pytest.raises(KeyboardInterrupt):
            run()
        assert len(commits.rows(store)) == 1


def test_an_interrupt_while_waiting_for_a_server_to_return(relay, store):
    relay.cut()
    relay.refusing = True
    raised = []

    def read():
        try:
            commits.rows(store)
        except EncdbError as error:
            raised.append(error.code)

    client = threading.Thread(target=read)
    client.start()
    time.sleep(0.35)
    store.interrupt()
    client.join(1)
    assert raised == ["E_INTERRUPTED"]


# --- Making stores ---------------------------------------------------------------------------------


def test_a_store_whose_making_was_not_heard_of(server, relay):
    up, down = sizes_of(relay, lambda: create_store(relay.url("first"), GENESIS).close())
    for direction, total in (("up", up), ("down", down)):
        for position in (0, total // 4, total // 2):
            relay.arm(**{direction: position})
            chosen = f"c{secrets.token_hex(4)}"
            with contextlib.closing(create_store(relay.url(chosen), GENESIS)) as store:
                commits.with_table(store)
            assert labels(server, chosen) == []
    fails("E_STORE_EXISTS", create_store, relay.url("first"), GENESIS)


def test_somebody_elses_store_is_not_taken_for_ones_own(server, relay):
    other = wire.Genesis(bytes(16), bytes(16), wire.FORMAT_VERSION, b"c", bytes(32))
    create_store(server.url("others"), other).close()
    relay.arm(down=0)
    fails("E_STORE_EXISTS", create_store, relay.url("others"), GENESIS)


def finished(source):
    """A Finish with what the source holds."""
    with source.snapshot() as snapshot:
        layout = snapshot.read(wire.ReadLayout())
    contents = tuple(wire.TableContent(one.table, (), (), ()) for one in layout.tables)
    return wire.Finish(layout, contents)


@pytest.mark.parametrize("cut", [("up", 200), ("down", 0), ("down", 40)])
def test_a_copy_outlives_broken_connections(server, relay, name, cut):
    direction, position = cut
    with contextlib.closing(open_store(server.url(name))) as source:
        finish = finished(source)
    target = receive_store(relay.url(f"copy-{name}"), GENESIS)
    relay.arm(**{direction: position})
    put = wire.Put(TABLE, "rows", ((1, b"one"), (2, b"two")))
    assert target.put(put) == wire.Staged()
    relay.cut()
    with target.snapshot() as snapshot:
        assert snapshot.read(wire.ListIds(TABLE, "rows")).ids == (1, 2)
    relay.arm(**{direction: position})
    assert isinstance(target.finish(finish), wire.Committed)
    target.close()
    with contextlib.closing(open_store(server.url(f"copy-{name}"))) as copy:
        assert sorted(commits.rows(copy)) == [1, 2]


def test_a_finish_that_a_restart_swallowed(tmp_path, monkeypatch):
    url = str(tmp_path / "v.db")
    source = commits.with_table(create_store(str(tmp_path / "source.db"), GENESIS))
    finish = finished(source)
    source.close()
    with running_server({"v": url}, allow_create=True) as running, relay_to(running.port) as relay:
        monkeypatch.setenv("ENCDB_TOKEN", running.token())
        target = receive_store(relay.url("v"), GENESIS)
        target.put(wire.Put(TABLE, "rows", ((1, b"one"),)))
        relay.arm(down=0)
        real = calls.carry_out

        def carry_out(*arguments, **named):
            found = real(*arguments, **named)
            if isinstance(arguments[3][0], wire.Finish):
                # The server forgets every session, as if it had been started anew.
                for session in list(running.gateway.sessions._sessions.values()):
                    running.gateway.sessions._sessions.pop(session.identity)
                    kept.append(session)
            return found

        kept = []
        monkeypatch.setattr("encdb.stores.server.exchange.carry_out", carry_out)
        assert target.finish(finish) == wire.Committed(repeated=True)
        target.close()
        for session in kept:
            session.store.close()


# --- Servers that lie ------------------------------------------------------------------------------


class Impostor:
    """Answers every request with the same bytes, after reading it; ``ID`` stands for its id."""

    def __init__(self, answer):
        self.answer = answer
        self.requests = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/v?timeout=2"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection):
        with contextlib.closing(connection), contextlib.suppress(OSError, IndexError):
            data = b""
            while part := connection.recv(1 << 16):
                data += part
                head, separator, body = data.partition(b"\r\n\r\n")
                if separator and len(body) >= int(head.split(b"content-length: ")[1].split()[0]):
                    self.requests.append(data)
                    found = head.split(b"encdb-request: ")[1][:32]
                    connection.sendall(
                        self.answer.replace(b"ID" * 8, bytes.fromhex(found.decode()))
                    )
                    data = b""

    def close(self):
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


def http_answer(data, status="200 OK", kind="application/vnd.encdb", more=""):
    lines = (
        f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {len(data)}\r\n{more}\r\n"
    )
    return lines.encode() + data


def answer_of(*messages, failed=False, request=b"ID" * 8, body=None, version=b"\x01"):
    head = version + codec.Answer(request, bytes(16), failed).pack()[1:]
    pieces = codec.encode(messages) if body is None else [body]
    return b"".join(codec.frames(head, pieces))


DESCRIBED = wire.Described("SQLite", (3, 40), 1, 0, writable=True)
LIES = {
    "no http": (b"hello\r\n\r\n", "E_CONNECTION_LOST"),
    "nothing": (b"", "E_TIMEOUT"),
    "a web page": (http_answer(b"<html>", kind="text/html"), "E_PROTOCOL"),
    "a redirect": (
        http_answer(b"", "302 Found", more="location: http://127.0.0.1:1/v\r\n"),
        "E_TAMPERED",
    ),
    "a foreign redirect": (
        http_answer(b"", "302 Found", "text/html", "location: http://127.0.0.1:1/v\r\n"),
        "E_PROTOCOL",
    ),
    "compressed": (
        http_answer(answer_of(DESCRIBED), more="content-encoding: gzip\r\n"),
        "E_PROTOCOL",
    ),
    "another version": (http_answer(answer_of(DESCRIBED, version=b"\x02")), "E_PROTOCOL"),
    "another request": (http_answer(answer_of(DESCRIBED, request=bytes(16))), "E_PROTOCOL"),
    "no body": (http_answer(b""), "E_TAMPERED"),
    "too many answers": (http_answer(answer_of(DESCRIBED, DESCRIBED)), "E_TAMPERED"),
    "no answers": (http_answer(answer_of()), "E_TAMPERED"),
    "another kind": (http_answer(answer_of(wire.Staged())), "E_TAMPERED"),
    "a request": (http_answer(answer_of(wire.Describe())), "E_TAMPERED"),
    "noise": (http_answer(answer_of(body=b"\xff\xff")), "E_TAMPERED"),
    "a wrong type": (
        http_answer(answer_of(body=b"\x81\x86\x18\x45\x61x\x80\x01\x00\xf5")),
        "E_TAMPERED",
    ),
    "a frame without end": (http_answer(answer_of(DESCRIBED)[:-4]), "E_TAMPERED"),
    "a giant frame": (http_answer(answer_of()[:34] + b"\xff" * 8), "E_TAMPERED"),
    "more after the end": (http_answer(answer_of(DESCRIBED) + b"x"), "E_TAMPERED"),
    "an error that is none": (http_answer(answer_of(failed=True, body=b"\x80")), "E_TAMPERED"),
    "an error of ours alone": (
        http_answer(
            answer_of(failed=True, body=b"\x83\x6cKeyringError\x72E_PASSPHRASE_WRONG\x61x")
        ),
        "E_TAMPERED",
    ),
    "success with a bad status": (http_answer(answer_of(DESCRIBED), "500 No"), "E_TAMPERED"),
    "cut short": (http_answer(answer_of(DESCRIBED) + bytes(9))[:-9], "E_TIMEOUT"),
    "endless lines": (b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 300, "E_CONNECTION_LOST"),
    "endless 100s": (b"HTTP/1.1 100 Continue\r\n\r\n" * 10, "E_TIMEOUT"),
    "a gateway without its server": (http_answer(b"", "502 Bad", "text/html"), "E_CONNECTION_LOST"),
}


@pytest.mark.parametrize("lie", LIES)
def test_lies(lie, monkeypatch):
    monkeypatch.setattr("encdb.stores.remote.repeating._BROKEN_SECONDS", 0.3)
    answer, code = LIES[lie]
    with contextlib.closing(Impostor(answer)) as impostor:
        error = fails(code, open_store, impostor.url.replace("=2", "=0.5"))
    if code == "E_TAMPERED" or lie == "another request":
        assert isinstance(error, TamperError)
    # Nothing but the protocol: no proxies, cookies, redirects or compression are asked for.
    for request in impostor.requests:
        names = {
            line.partition(b":")[0] for line in request.split(b"\r\n\r\n")[0].split(b"\r\n")[1:]
        }
        assert names == {b"host", b"authorization", b"encdb-request", b"content-length"}


CHUNKED = http_answer(b"").replace(b"content-length: 0", b"transfer-encoding: chunked")


@pytest.mark.parametrize(
    ("head", "repeated"),
    [(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), (CHUNKED + b"0\r\n", b"trailer: x\r\n")],
    ids=["heads", "trailers"],
)
def test_what_is_no_answer_earns_no_time(head, repeated):
    """A flood of what HTTP lets a server repeat ends at the limit of time all the same."""
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as listener:

        def flood():
            connection, _ = listener.accept()
            with contextlib.closing(connection), contextlib.suppress(OSError):
                connection.sendall(head)
                while True:
                    connection.sendall(repeated * 1000)

        thread = threading.Thread(target=flood, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/v?timeout=0.3"
        started = time.monotonic()
        fails("E_TIMEOUT", open_store, url)
        assert time.monotonic() - started < 5
        thread.join(10)


def test_answers_swapped_between_two_clients(server, name):
    """A relay gives each of two clients the answer to the other."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(contextlib.closing(socket.create_server(("127.0.0.1", 0))))
        swap, ready = threading.Event(), threading.Barrier(2)
        sides = []

        def relay():
            for place in range(2):
                client, _ = listener.accept()
                upstream = socket.create_connection(("127.0.0.1", server.port))
                sides.append((client, upstream))
                threading.Thread(target=talk, args=(place,), daemon=True).start()

        def talk(place):
            client, upstream = sides[place]
            with contextlib.suppress(OSError, threading.BrokenBarrierError):
                while data := client.recv(1 << 16):
                    upstream.sendall(data)
                    answer = upstream.recv(1 << 16)
                    if swap.is_set():
                        ready.wait(5)
                        sides[1 - place][0].sendall(answer)
                    else:
                        client.sendall(answer)
            for one in (client, upstream):
                one.close()

        threading.Thread(target=relay, daemon=True).start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/{name}?timeout=3"
        stores = [stack.enter_context(contextlib.closing(open_store(url))) for _ in range(2)]
        swap.set()
        raised = []

        def read(store):
            try:
                commits.rows(store)
            except EncdbError as error:
                raised.append((type(error), error.code))

        clients = [threading.Thread(target=read, args=(store,)) for store in stores]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        assert raised == [(TamperError, "E_PROTOCOL")] * 2


def test_no_proxy_of_the_environment_is_used(server, name, monkeypatch):
    for variable in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:1")
    with contextlib.closing(open_store(server.url(name))) as store:
        assert commits.rows(store) == {}
