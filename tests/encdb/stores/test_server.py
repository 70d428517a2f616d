"""Hostile requests to a server are refused, counted and harmless."""

from __future__ import annotations

import contextlib
import http.client
import json
import secrets
import socket
import threading
import time
from datetime import UTC, datetime, timedelta

import cbor2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from encdb import wire
from encdb.errors import EncdbError
from encdb.stores import codec, create_store, open_store, receive_store
from encdb.stores.server.bodies import Body
from encdb.stores.server.calls import ACTIONS
from encdb.stores.server.limits import Buckets
from encdb.stores.server.refusals import Hidden, public
from tests.fixtures import commits
from tests.fixtures.messages import ANY
from tests.fixtures.server import running_server
from tests.fixtures.stores import GENESIS

TABLE = commits.TABLE
SEALED = b"\xc5ealed-" * 30
"""A blob that must not turn up where it does not belong."""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    filled(folder / "vault.db")
    limits = {"failures": 1000, "request_bytes": 1 << 20}
    with running_server(folder=folder, allow_create=True, **limits) as running:
        yield running


def filled(path):
    """A store with a table and two rows."""
    store = create_store(str(path), GENESIS)
    commits.with_table(store)
    rows = ((1, SEALED), (2, SEALED))
    store.commit(commits.commit(commits.change(rows_added=rows, delta=commits.delta(1))))
    store.close()
    return path


@contextlib.contextmanager
def serving(tmp_path, **options):
    """A server of one's own for one filled store."""
    with running_server({"vault": str(filled(tmp_path / "vault.db"))}, **options) as running:
        yield running


def body(session=codec.NO_SESSION, number=1, snapshot=0, messages=()):
    head = codec.Call(session, number, snapshot).pack()
    return b"".join(codec.frames(head, codec.encode(messages)))


class Reply:
    """An answer, taken apart."""

    def __init__(self, response, request):
        self.status = response.status
        self.headers = response.headers
        self.data = response.read()
        self.error = None
        if self.data and response.getheader("content-type") == "application/vnd.encdb":
            head = codec.Answer.unpack(self.data[: codec.Answer.LENGTH])
            assert head.request.hex() == request
            self.session = head.session
            rest = self.data[codec.Answer.LENGTH :]
            if head.failed:
                self.error = codec.decode_error(rest[4:-4])
            else:
                self.messages = codec.decode_framed(rest)

    @property
    def code(self):
        return None if self.error is None else self.error.code


def post(server, path, data=b"", *, token=None, method="POST", **headers):
    """One request on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    try:
        request = secrets.token_hex(16)
        given = {"encdb-request": request, **headers}
        if token is not None:
            given["authorization"] = f"Bearer {token}"
        connection.request(method, path, body=data, headers=given)
        return Reply(connection.getresponse(), request)
    finally:
        connection.close()


def opened(server, token=None, name="vault"):
    """A session."""
    reply = post(server, f"/v1/{name}/open", body(), token=token or server.token())
    assert reply.status == 200, reply.data
    return reply.session


def refused(server, reason):
    return server.gateway.metrics.refusals[reason]


def still_works(server):
    """A good client is served as if nothing had happened."""
    reply = post(server, "/v1/vault/open", body(), token=server.token())
    assert reply.status == 200
    read = body(reply.session, 2, 1, [wire.ReadRows(TABLE, None)])
    answer = post(server, "/v1/vault/read", read, token=server.token())
    assert answer.messages[0].blobs == (SEALED, SEALED)
    post(server, "/v1/vault/close", body(reply.session, 3), token=server.token())


# --- Paths -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v1",
        "/v1/",
        "/v1/vault",
        "/v1/vault/",
        "/v1/vault/read/",
        "/v1/vault/nope",
        "/v1//open",
        "//v1/vault/open",
        "/v2/vault/open",
        "/V1/vault/open",
        "/v1/vault/open?x=1",
        "/v1/%76ault/open",
        "/v1/vault%2fopen",
        "/v1/vault/%6fpen",
        "/v1/../vault/open",
        "/v1/./open",
        "/v1/../open",
        "/v1/..%2f..%2fetc/open",
        "/v1/.hidden/open",
        "/v1/vault/../vault/open",
        "/v1/vault;x/open",
        "/v1/vault%00/open",
        "/v1/" + "x" * 65 + "/open",
        "/v1/va\\ult/open",
        "/v1/vault/open#x",
        "http://127.0.0.1/v1/vault/open",
        "*",
        "/healthz/",
        "/metrics/",
        "/static/../../etc/passwd",
    ],
)
def test_only_exact_paths_lead_anywhere(server, monkeypatch, path):
    asked = []
    monkeypatch.setattr(server.gateway, "_targets", asked.append)
    before = refused(server, "path")
    reply = post(server, path, body(), token=server.token())
    assert reply.status == 404
    assert refused(server, "path") == before + 1
    assert asked == []


def test_names_are_looked_up_and_not_joined_to_paths(tmp_path):
    outside = filled(tmp_path / "outside.db")
    (tmp_path / "in").mkdir()
    with running_server({"vault": str(tmp_path / "in" / "vault.db")}) as running:
        for name in (outside.stem, "outside.db", "passwd", "a" * 64):
            reply = post(running, f"/v1/{name}/open", body(), token=running.token())
            assert (reply.status, reply.code) == (404, "E_STORE_MISSING")
        assert list((tmp_path / "in").iterdir()) == []


@pytest.mark.parametrize(
    "method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "X"]
)
def test_other_methods_are_refused(server, method):
    assert post(server, "/v1/vault/open", token=server.token(), method=method).status == 405


# --- Tokens ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        "Bearer encdb_" + "A" * 43,
        "Basic TOKEN",
        "TOKEN",
        "Bearer TOKEN x",
        "Bearer  TOKEN",
        "Bearer " + "x" * 8000,
        "Bearer \xff",
    ],
)
def test_without_the_token_nothing_is_answered(server, header):
    headers = {} if header is None else {"authorization": header.replace("TOKEN", server.token())}
    before = refused(server, "token")
    for path in ("/v1/vault/open", "/v1/nothere/open"):
        reply = post(server, path, body(), **headers)
        assert (reply.status, reply.code) == (401, "E_ACCESS_DENIED")
        assert reply.headers["www-authenticate"] == "Bearer"
    assert refused(server, "token") == before + 2
    still_works(server)


def test_two_tokens_are_none(server):
    head = (
        b"POST /v1/vault/open HTTP/1.1\r\nhost: x\r\nencdb-request: %s\r\ncontent-length: 41\r\n"
        % (b"0" * 32)
    )
    token = f"authorization: Bearer {server.token()}\r\n".encode()
    answer = spoken(server, head + token + token + b"\r\n" + body())
    assert answer.startswith(b"HTTP/1.1 401 ")


def test_revoked_and_expired_tokens_look_like_unknown_ones(server):
    past = datetime.now(UTC) - timedelta(seconds=1)
    expired = server.token(name="expired", expires=past)
    revoked = server.token(name="revoked", rights="write")
    session = opened(server, revoked)
    server.revoke("revoked")
    replies = [
        post(server, "/v1/vault/open", body(), token=expired),
        post(server, "/v1/vault/open", body(), token=revoked),
        post(server, "/v1/vault/describe", body(session, 2, 0, [wire.Describe()]), token=revoked),
        post(server, "/v1/vault/open", body(), token="encdb_" + "A" * 43),
    ]
    assert len({(one.status, one.data[codec.Answer.LENGTH :]) for one in replies}) == 1
    assert replies[0].status == 401


def test_a_revocation_closes_open_sessions(tmp_path):
    with serving(tmp_path) as running:
        token = running.token(name="alice", rights="write")
        session = opened(running, token)
        assert len(running.gateway.sessions) == 1
        read = body(session, 2, 1, [wire.ReadRows(TABLE, None)])
        assert post(running, "/v1/vault/read", read, token=token).status == 200
        running.revoke("alice")
        wait_until(lambda: len(running.gateway.sessions) == 0)
        assert post(running, "/v1/vault/read", read, token=token).status == 401


WRITES = {
    "write": [
        commits.commit(),
        wire.Lease(TABLE, "ordinal", 1),
        wire.Stage(TABLE, 1),
        wire.Sweep(TABLE),
        wire.Claim(TABLE, "merge", bytes(16), 1),
    ],
    "copy": [wire.Put(TABLE, "rows")],
    "create": [GENESIS],
    "receive": [GENESIS],
}


@pytest.mark.parametrize("action", WRITES)
def test_a_reader_writes_nothing(server, action):
    token = server.token(rights="read")
    session = opened(server, token)
    before = refused(server, "rights")
    for number, message in enumerate(WRITES[action], start=2):
        reply = post(
            server, f"/v1/vault/{action}", body(session, number, 0, [message]), token=token
        )
        assert (reply.status, reply.code) == (403, "E_ACCESS_DENIED")
    assert refused(server, "rights") == before + len(WRITES[action])
    described = post(
        server, "/v1/vault/describe", body(session, 99, 0, [wire.Describe()]), token=token
    )
    assert not described.messages[0].writable


def test_every_action_that_changes_anything_needs_the_right():
    assert {name for name, one in ACTIONS.items() if one.writes} == set(WRITES)
    writing = {type(one) for messages in WRITES.values() for one in messages} | {wire.Finish}
    for name, action in ACTIONS.items():
        assert action.writes == bool(action.messages & writing), name


def test_a_token_for_one_store_does_not_see_another(server):
    token = server.token(stores=["other"])
    reply = post(server, "/v1/vault/open", body(), token=token)
    unknown = post(server, "/v1/nothere/open", body(), token=server.token(stores=["other"]))
    assert reply.status == unknown.status == 404
    assert reply.error.message.replace("vault", "nothere") == unknown.error.message


def test_a_token_for_the_metrics_opens_no_store(server):
    token = server.token(rights="metrics")
    assert post(server, "/v1/vault/open", body(), token=token).status == 404


def test_making_stores_has_to_be_allowed(tmp_path):
    with running_server({"new": str(tmp_path / "new.db")}) as running:
        for action in ("create", "receive"):
            path = f"/v1/new/{action}"
            reply = post(running, path, body(messages=[GENESIS]), token=running.token())
            assert (reply.status, reply.code) == (403, "E_ACCESS_DENIED")
        assert not (tmp_path / "new.db").exists()


def test_guessing_is_put_off_but_not_those_who_know(tmp_path):
    with serving(tmp_path, failures=3, failure_seconds=60) as running:
        statuses = [post(running, "/v1/vault/open", body(), token="x").status for _ in range(6)]
        assert statuses == [401, 401, 401, 429, 429, 429]
        assert refused(running, "guessing") == 3
        assert post(running, "/metrics", token="x", method="GET").status == 429
        still_works(running)
        # What is put off no longer fills the log.
        assert sum(one.get("reason") == "token" for one in running.log) == 3
        assert not any(one.get("reason") == "guessing" for one in running.log)


# --- Sessions --------------------------------------------------------------------------------------


def test_a_session_belongs_to_its_token_and_store(server):
    session = opened(server)
    other = server.token(rights="write")
    describe = [wire.Describe()]
    create_store(server.url("second"), GENESIS).close()
    for path, token, used in (
        ("/v1/vault/describe", other, session),
        ("/v1/second/describe", server.token(), session),
        ("/v1/vault/describe", server.token(), secrets.token_bytes(16)),
        ("/v1/vault/describe", server.token(), codec.NO_SESSION),
    ):
        reply = post(server, path, body(used, 2, 0, describe), token=token)
        assert (reply.status, reply.code) == (410, "E_CONNECTION_LOST")
    good = post(server, "/v1/vault/describe", body(session, 2, 0, describe), token=server.token())
    assert good.status == 200


@pytest.fixture(autouse=True)
def _token(server, monkeypatch):
    """The client in these tests uses the token that may do everything."""
    monkeypatch.setenv("ENCDB_TOKEN", server.token())


def test_late_calls_are_not_carried_out(server):
    session, token = opened(server), server.token()
    lease = [wire.Lease(TABLE, "ordinal", 5)]
    first = post(server, "/v1/vault/write", body(session, 5, 0, lease), token=token)
    assert first.status == 200
    for number in (5, 4, 1, 0):
        late = post(server, "/v1/vault/write", body(session, number, 0, lease), token=token)
        assert (late.status, late.code) == (410, "E_CONNECTION_LOST")
    second = post(server, "/v1/vault/write", body(session, 6, 0, lease), token=token)
    assert second.messages[0].first == first.messages[0].first + 5


def test_a_snapshot_is_opened_by_its_first_read_and_ended_by_the_next(server):
    session, token = opened(server), server.token()
    rows = [wire.ReadRows(TABLE, None)]

    def read(number, snapshot):
        return post(server, "/v1/vault/read", body(session, number, snapshot, rows), token=token)

    assert read(2, 0).status == 400
    assert read(3, 4).status == 200
    assert server.gateway.sessions.snapshots == 1
    assert read(4, 3).code == "E_SNAPSHOT_TOO_OLD"
    assert read(5, 4).status == 200
    assert read(6, 9).status == 200
    assert server.gateway.sessions.snapshots == 1
    assert read(7, 4).code == "E_SNAPSHOT_TOO_OLD"
    for number, snapshot, left in ((8, 4, 1), (9, 9, 0), (10, 9, 0)):
        end = body(session, number, snapshot)
        assert post(server, "/v1/vault/end", end, token=token).messages == []
        assert server.gateway.sessions.snapshots == left
    assert read(11, 9).code == "E_SNAPSHOT_TOO_OLD"


def wait_until(condition, seconds=10):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_what_is_left_alone_is_closed(tmp_path, monkeypatch):
    with serving(tmp_path, snapshot_seconds=0.2, session_seconds=0.8) as running:
        monkeypatch.setenv("ENCDB_TOKEN", running.token())
        store = open_store(running.url("vault"))
        with store.snapshot() as snapshot:
            snapshot.read(wire.ReadRows(TABLE, None))
            wait_until(lambda: running.gateway.sessions.snapshots == 0)
            assert len(running.gateway.sessions) == 1
            with pytest.raises(EncdbError) as caught:
                snapshot.read(wire.ReadRows(TABLE, None))
            assert caught.value.code == "E_SNAPSHOT_TOO_OLD"
        assert len(commits.rows(store)) == 2
        wait_until(lambda: len(running.gateway.sessions) == 0)
        # The client begins another session without being told.
        assert len(commits.rows(store)) == 2
        store.close()
        events = [(one["event"], one.get("reason")) for one in running.log]
        assert ("snapshot closed", None) in events
        assert ("session closed", "idle") in events
        assert ("session closed", "closed") in events


def test_sessions_and_snapshots_are_limited(tmp_path):
    with serving(tmp_path, sessions=3, sessions_per_token=2, snapshots=1) as running:
        one, two = (
            running.token(name="one", rights="write"),
            running.token(name="two", rights="read"),
        )
        rows = [wire.ReadRows(TABLE, None)]
        first = opened(running, one)
        read = body(first, 2, 1, rows)
        assert post(running, "/v1/vault/read", read, token=one).status == 200
        second = opened(running, one)
        full = post(running, "/v1/vault/read", body(second, 2, 1, rows), token=one)
        assert (full.status, full.code) == (503, "E_SERVER_BUSY")
        # The idle one makes room; the one with a snapshot stays.
        third = opened(running, one)
        gone = post(running, "/v1/vault/end", body(second, 3, 1), token=one)
        assert gone.status == 410
        opened(running, two)
        assert len(running.gateway.sessions) == 3
        opened(running, two)
        assert len(running.gateway.sessions) == 3
        end = body(first, 3, 1)
        assert post(running, "/v1/vault/end", end, token=one).status == 200
        read = body(third, 2, 1, rows)
        assert post(running, "/v1/vault/read", read, token=one).status == 200
        assert [line.get("reason") for line in running.log].count("evicted") == 2


def test_a_revocation_counts_for_a_body_that_was_on_its_way(tmp_path):
    with running_server(folder=tmp_path, allow_create=True) as running:
        token = running.token(name="gone")
        data = body(messages=[GENESIS])
        head = (
            f"POST /v1/late/create HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n"
            f"encdb-request: {'0' * 32}\r\ncontent-length: {len(data)}\r\n\r\n"
        ).encode()
        with contextlib.closing(dialled(running)) as connection:
            connection.sendall(head + data[:-1])
            wait_until(lambda: running.gateway.bodies._held == len(data) - 1)
            running.revoke("gone")
            connection.sendall(data[-1:])
            assert connection.recv(1 << 16).startswith(b"HTTP/1.1 401 ")
        assert not (tmp_path / "late.db").exists()
        assert running.gateway.bodies._held == 0


def test_a_body_in_small_parts_takes_no_more_memory():
    received = Body()
    for _ in range(100_000):
        received.add(b"x")
    received.add(b"y" * 40_000)
    received.add(b"z")
    received.complete()
    assert len(received._parts) < 12
    assert received.exactly(200_000) == b"x" * 100_000 + b"y" * 40_000 + b"z"


# --- Bodies ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", [*ACTIONS])
def test_bodies_that_are_none(server, action):
    session, token = opened(server), server.token()
    head = codec.Call(session, 9, 0).pack()
    bodies = [b"", b"\x00", head[:-1], b"\x02" + head[1:] + b"\x00\x00\x00\x01\x80\x00\x00\x00\x00"]
    if action not in ("close", "interrupt"):
        bodies += [head, codec.Call(session, 10, 0).pack() + b"\x00\x00\x00\x00"]
        bodies += [codec.Call(session, 11, 0).pack() + b"\x7f\xff\xff\xff"]
    for data in bodies:
        reply = post(server, f"/v1/vault/{action}", data, token=token)
        assert (reply.status, reply.code) == (400, "E_PROTOCOL"), data
    still_works(server)


def test_bodies_are_decoded_within_the_memory_of_the_limits(tmp_path):
    """Integers of three bytes are well formed, and take thirteen times as much memory."""
    with serving(tmp_path, request_bytes=1 << 16) as running:
        token = running.token()
        few, many = tuple(range(1000)), tuple(range(1 << 15, 1 << 15 | 20_000))
        for ids, status in ((few, 200), (many, 400)):
            read = body(opened(running), 2, 1, [wire.ReadPages(TABLE, ids)])
            assert len(read) < 1 << 16
            assert post(running, "/v1/vault/read", read, token=token).status == status
        still_works(running)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    action=st.sampled_from([*ACTIONS]),
    data=st.binary(max_size=300),
    snapshot=st.integers(0, (1 << 64) - 1),
    bare=st.booleans(),
)
def test_random_bodies(server, action, data, snapshot, bare):
    session = opened(server)
    if not bare:
        head = codec.Call(session, 9, snapshot).pack()
        data = head + len(data).to_bytes(4, "big") + data + bytes(4)
    reply = post(server, f"/v1/newer/{action}", data, token=server.token())
    assert reply.status in (200, 400, 410)
    if action not in ("end", "close", "interrupt"):
        assert reply.status != 200 or reply.error is not None


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(action=st.sampled_from([*ACTIONS]), message=ANY, count=st.integers(1, 2))
def test_messages_where_they_do_not_belong(server, action, message, count):
    """Whatever a client with every right sends, the server answers it and goes on."""
    name = f"odd-{secrets.token_hex(6)}"
    if action not in ("create", "receive"):
        create_store(server.url(name), GENESIS).close()
        session = opened(server, name=name)
    else:
        session = codec.NO_SESSION
    data = body(session, 9, 1, [message] * count)
    reply = post(server, f"/v1/{name}/{action}", data, token=server.token())
    assert reply.status in (200, 400), reply.error
    belongs = type(message) in ACTIONS[action].messages
    if not belongs and action not in ("close", "interrupt"):
        assert reply.status == 400
    assert refused(server, "failure") == 0, server.log[-1]
    if session != codec.NO_SESSION:
        post(server, f"/v1/{name}/close", body(session, 10), token=server.token())


def test_a_body_of_the_longest_length_and_one_byte_more(server):
    session, token = opened(server), server.token()
    limit = server.limits.request_bytes
    empty = body(session, 9, 0, [wire.Stage(TABLE, 1, ((1 << 32, b""),))])
    blob = bytes(limit - len(empty) - 4)  # the head of a longer blob
    fits = body(session, 9, 0, [wire.Stage(TABLE, 1, ((1 << 32, blob),))])
    assert len(fits) == limit
    assert post(server, "/v1/vault/write", fits, token=token).messages == [wire.Staged()]
    before = refused(server, "size")
    for data in (fits + b"x", iter([fits, b"x"])):
        reply = post(server, "/v1/vault/write", data, token=token)
        assert (reply.status, reply.code) == (413, "E_REQUEST_TOO_LARGE")
    assert refused(server, "size") == before + 2
    assert server.gateway.bodies._held == 0
    still_works(server)


@pytest.mark.parametrize("length", ["-1", "x", "1, 2", "9" * 30, "+5", " 5 5", "0x10"])
def test_lengths_that_are_none(server, length):
    head = f"POST /v1/vault/open HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {server.token()}\r\n"
    text = f"{head}encdb-request: {'0' * 32}\r\ncontent-length: {length}\r\n\r\n"
    answer = spoken(server, text.encode())
    assert answer.split(b" ")[1] in (b"400", b"413")
    still_works(server)


def test_compressed_bodies_and_requests_without_an_id_are_refused(server):
    token = server.token()
    for headers in (
        {"content-encoding": "gzip"},
        {"encdb-request": "x"},
        {"encdb-request": "0" * 31},
        {"encdb-request": "A" * 32},
    ):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
        given = {"encdb-request": "0" * 32, "authorization": f"Bearer {token}", **headers}
        connection.request("POST", "/v1/vault/open", body=body(), headers=given)
        assert connection.getresponse().status == 400
        connection.close()


def test_all_bodies_together_are_limited(tmp_path):
    with serving(tmp_path, request_bytes=1 << 20, pending_bytes=3 << 19) as running:
        token = running.token()
        head = (
            f"POST /v1/vault/open HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n"
            f"encdb-request: {'0' * 32}\r\ncontent-length: {1 << 20}\r\n\r\n"
        ).encode()
        with contextlib.closing(dialled(running)) as first:
            first.sendall(head + bytes((1 << 20) - 1))
            wait_until(lambda: running.gateway.bodies._held == (1 << 20) - 1)
            reply = post(running, "/v1/vault/open", bytes(1 << 20), token=token)
            assert (reply.status, reply.code) == (503, "E_SERVER_BUSY")
        wait_until(lambda: running.gateway.bodies._held == 0)
        assert refused(running, "disconnected") == 1
        still_works(running)


# --- Connections -----------------------------------------------------------------------------------


def dialled(server):
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=20)
    connection.settimeout(20)
    return connection


def heard(connection, seconds=0.6):
    """Everything until the server closes the connection, or has nothing to say for a while."""
    parts = []
    connection.settimeout(seconds)
    with contextlib.suppress(ConnectionResetError, TimeoutError):
        while part := connection.recv(1 << 16):
            parts.append(part)
    return b"".join(parts)


def spoken(server, data):
    """What the server says to these bytes."""
    with contextlib.closing(dialled(server)) as connection:
        connection.sendall(data)
        return heard(connection, 0.3)


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS where there is none
        b"GET /\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"POST /v1/vault/open HTTP/1.1\r\n\r\n",
        b"POST /v1/vault/open HTTP/9.9\r\nhost: x\r\n\r\n",
        b"POST /v1/vault/open HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\ncontent-length: 3\r\n\r\nabc",
        b"POST /v1/vault/open HTTP/1.1\r\nhost: x\r\ntransfer-encoding: gzip\r\n\r\n",
        b"POST /v1/vault/open HTTP/1.1\r\nhost: x\r\nx: a\r\n b\r\n\r\n",
        b"POST /v1/vault/open HTTP/1.1\r\nhost : x\r\n\r\n",
        b"\x00" * 100,
        b"POST /" + b"x" * 20_000,
        b"POST /v1/vault/open HTTP/1.1\r\nhost: x\r\nx: " + b"x" * 20_000,
    ],
    ids=lambda data: data[:40].hex(),
)
def test_what_is_no_http(server, data):
    answer = spoken(server, data)
    assert answer == b"" or answer.split(b" ")[1] in (b"400", b"401", b"501")
    still_works(server)


def test_a_request_that_hides_another_one(server):
    """What follows a refused request on its connection is read as what it is."""
    hidden = b"POST /v1/vault/open HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n"
    outer = b"POST /v1/nope HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(hidden)
    answer = spoken(server, outer + hidden)
    assert answer.count(b"HTTP/1.1 ") == 1
    answer = spoken(server, outer + hidden + hidden)
    assert answer.count(b"HTTP/1.1 401 ") == 1
    assert answer.startswith(b"HTTP/1.1 404 ")


@pytest.mark.parametrize("path", ["/v1/vault/open", "/healthz"])
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_a_length_told_twice(server, path, version):
    """A proxy in front could take the other one, and another end of the request."""
    chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body()), body())
    length = "" if version == "1.0" else f"content-length: {len(chunked)}\r\n"
    head = (
        f"POST {path} HTTP/{version}\r\nhost: x\r\nauthorization: Bearer {server.token()}\r\n"
        f"encdb-request: {'0' * 32}\r\n{length}transfer-encoding: chunked\r\n\r\n"
    ).encode()
    before = refused(server, "http")
    hidden = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"
    answer = spoken(server, head + chunked + hidden)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1 ") == 1
    assert refused(server, "http") == before + 1


@pytest.mark.parametrize(
    "head",
    [
        b"POST /healthz HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n",
    ],
)
def test_a_page_waits_for_no_body(server, head):
    with contextlib.closing(dialled(server)) as connection:
        connection.sendall(head)
        answer = b"".join(iter(lambda: connection.recv(1 << 16), b""))
    assert answer.split(b" ")[1] in (b"401", b"405")


def test_pages_that_nobody_takes(tmp_path):
    with serving(tmp_path, body_seconds=0.3) as running:
        token = running.token(rights="metrics")
        get = f"GET /metrics HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\r\n".encode()
        with contextlib.closing(socket.socket()) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 12)
            connection.settimeout(0.3)
            connection.connect(("127.0.0.1", running.port))
            with contextlib.suppress(OSError):
                while True:
                    connection.sendall(get * 100)
            wait_until(lambda: not running._server.server_state.connections)
        still_works(running)


def test_slow_heads_and_bodies(tmp_path):
    with serving(tmp_path, header_seconds=0.3, body_seconds=0.3, body_rate=1 << 20) as running:
        start = time.monotonic()
        with contextlib.closing(dialled(running)) as connection:
            assert heard(connection) == b""  # it says nothing
        with contextlib.closing(dialled(running)) as connection:
            connection.sendall(b"POST /v1/va")
            assert heard(connection) == b""
        assert refused(running, "slow") == 2
        head = (
            f"POST /v1/vault/open HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {running.token()}\r\n"
            f"encdb-request: {'0' * 32}\r\ncontent-length: 1000\r\n\r\n"
        ).encode()
        with contextlib.closing(dialled(running)) as connection:
            connection.sendall(head)
            for _ in range(5):  # one byte at a time earns no more time
                connection.sendall(b"x")
                time.sleep(0.05)
            assert heard(connection).startswith(b"HTTP/1.1 408 ")
        with contextlib.closing(dialled(running)) as connection:
            # The second request on a connection is watched like the first.
            connection.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
            assert connection.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
            connection.sendall(b"GET /heal")
            assert heard(connection) in (b"", b"ok\n")
        assert refused(running, "slow") == 4
        assert time.monotonic() - start < 8
        still_works(running)


def test_a_client_that_takes_no_answer_is_cut_off(tmp_path):
    with serving(tmp_path, body_seconds=0.3, body_rate=1 << 30, request_bytes=64 << 20) as running:
        token = running.token()
        session = opened(running)
        pages = tuple((1 << 32 | n, bytes(1 << 16)) for n in range(400))
        stage = body(session, 2, 0, [wire.Stage(TABLE, 1, pages)])
        assert post(running, "/v1/vault/write", stage, token=token).status == 200
        read = body(session, 3, 1, [wire.ReadPages(TABLE, tuple(one for one, _ in pages))])
        head = (
            f"POST /v1/vault/read HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n"
            f"encdb-request: {'0' * 32}\r\ncontent-length: {len(read)}\r\n\r\n"
        ).encode()
        with contextlib.closing(dialled(running)) as connection:
            connection.sendall(head + read)
            wait_until(lambda: refused(running, "disconnected") == 1)
            assert len(heard(connection)) < sum(len(blob) for _, blob in pages)
        still_works(running)


def test_connections_are_limited(tmp_path):
    with serving(tmp_path, connections=3) as running, contextlib.ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(contextlib.closing(dialled(running)))
        wait_until(lambda: len(running._server.server_state.connections) == 3)
        with contextlib.closing(dialled(running)) as connection:
            assert heard(connection) == b""
        assert refused(running, "connections") == 1
        stack.close()
        wait_until(lambda: not running._server.server_state.connections)
        still_works(running)


def test_too_fast_and_too_many(tmp_path, monkeypatch):
    with serving(tmp_path, rate=0.5, burst=8, requests=1) as running:
        one, two = (
            running.token(name="one", rights="read"),
            running.token(name="two", rights="read"),
        )
        replies = [post(running, "/v1/vault/open", body(), token=one) for _ in range(6)]
        assert [reply.status for reply in replies] == [200] * 4 + [429] * 2
        assert replies[-1].code == "E_SERVER_BUSY"
        assert int(replies[-1].headers["retry-after"]) >= 1
        assert post(running, "/v1/vault/open", body(), token=two).status == 200
        going = threading.Event()
        leave = threading.Event()

        def slow(url):
            going.set()
            leave.wait(10)
            return open_store(url)

        monkeypatch.setattr("encdb.stores.server.exchange.open_store", slow)
        waiting = threading.Thread(
            target=post, args=(running, "/v1/vault/open", body()), kwargs={"token": two}
        )
        waiting.start()
        going.wait(10)
        reply = post(running, "/v1/vault/open", body(), token=two)
        assert (reply.status, reply.code) == (503, "E_SERVER_BUSY")
        leave.set()
        waiting.join()
        assert (refused(running, "rate"), refused(running, "busy")) == (2, 1)


def test_one_client_leaves_room_for_others(tmp_path):
    with serving(tmp_path, requests=4) as running, contextlib.ExitStack() as stack:
        one, two = (running.token(name=name, rights="write") for name in ("one", "two"))
        head = (
            f"POST /v1/vault/open HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {one}\r\n"
            f"encdb-request: {'0' * 32}\r\ncontent-length: 100\r\n\r\n"
        ).encode()
        for _ in range(2):
            stack.enter_context(contextlib.closing(dialled(running))).sendall(head)
        wait_until(lambda: running.gateway.running["one"] == 2)
        assert post(running, "/v1/vault/open", body(), token=one).status == 503
        assert post(running, "/v1/vault/open", body(), token=two).status == 200
        stack.close()
        wait_until(lambda: not running.gateway.running)
        assert post(running, "/v1/vault/open", body(), token=one).status == 200


def test_buckets_fill_up_again():
    now = [0.0]
    buckets = Buckets(2.0, 3.0, kept=2, clock=lambda: now[0])
    assert [buckets.take("a") for _ in range(4)] == [0, 0, 0, 0.5]
    now[0] = 0.5
    assert [buckets.take("a") > 0 for _ in range(2)] == [False, True]
    now[0] = 100.0
    assert [buckets.take("a") > 0 for _ in range(4)] == [False, False, False, True]
    for name in "bcd":  # only the names used last are kept
        buckets.take(name)
    assert buckets.take("a") == 0
    assert all(Buckets(0, 1).take("a") == 0 for _ in range(5))


# --- What the operator and strangers see -----------------------------------------------------------


def test_health_says_ok_and_nothing_else(server):
    reply = post(server, "/healthz", method="GET")
    assert (reply.status, reply.data) == (200, b"ok\n")
    assert "server" not in reply.headers
    assert "date" not in reply.headers


def test_metrics_are_for_tokens_that_may_read_them(server):
    assert post(server, "/metrics", method="GET").status == 401
    assert post(server, "/metrics", method="GET", token=server.token()).status == 403
    still_works(server)
    token = server.token(rights="metrics")
    reply = post(server, "/metrics", method="GET", token=token)
    assert reply.status == 200
    assert reply.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    values = {}
    for line in reply.data.decode().splitlines():
        if line.startswith("#"):
            assert line.split()[:2] in (["#", "HELP"], ["#", "TYPE"])
            continue
        name, _, value = line.rpartition(" ")
        assert name not in values
        values[name] = float(value)
    assert values['encdb_requests_total{kind="ReadRows",outcome="ok"}'] >= 1
    assert values['encdb_refusals_total{reason="token"}'] >= 1
    assert values["encdb_sent_bytes_total"] > 0
    assert values["encdb_received_bytes_total"] > 0
    total = values['encdb_request_seconds_count{kind="ReadRows"}']
    assert values['encdb_request_seconds_bucket{kind="ReadRows",le="+Inf"}'] == total
    assert values["encdb_sessions"] == len(server.gateway.sessions)
    assert token not in reply.data.decode()


def test_labels_of_metrics_stay_few(server):
    kinds = {kind for kind, _ in server.gateway.metrics.requests}
    assert kinds <= {kind.__name__ for kind in codec.NUMBERS} | set(ACTIONS)


def test_the_log_has_no_payload(server):
    store = open_store(server.url("vault"))
    label = 0x123456789ABCDE
    rows = ((label, SEALED),)
    with store.snapshot() as snapshot:
        snapshot.read_all([wire.ReadRows(TABLE, (label, 1)), wire.ReadKeys(TABLE, (SEALED,))])
    store.commit(commits.commit(commits.change(rows_added=rows, delta=commits.delta(9))))
    store.close()
    text = json.dumps(server.log)
    for secret in (str(label), f"{label:x}", "ealed", SEALED.hex()[:20], server.token()):
        assert secret not in text
    assert str(server.folder) not in json.dumps([one for one in server.log if "error" not in one])
    facts = "time level event request token store kind messages bytes_in bytes_out outcome ms"
    lines = [one for one in server.log if one["event"] == "request"]
    assert {name for one in lines for name in one} <= {*facts.split(), "error"}
    reading = next(one for one in reversed(lines) if one["kind"] == "ReadKeys,ReadRows")
    assert reading["messages"] == 2
    assert reading["outcome"] == "ok"


def test_unexpected_failures_tell_the_client_nothing(server, monkeypatch):
    def fail(*_arguments, **_named):
        raise KeyError(SEALED)

    session = opened(server)
    monkeypatch.setattr("encdb.stores.server.exchange.carry_out", fail)
    data = body(session, 2, 0, [wire.Describe()])
    reply = post(server, "/v1/vault/describe", data, token=server.token())
    assert (reply.status, reply.code) == (500, "E_SERVER_FAILED")
    assert b"KeyError" not in reply.data
    (line,) = (one for one in server.log if one["event"] == "failure")
    assert line["exception"] == "KeyError"
    assert "test_server.py" in line["places"][-1]
    assert "ealed" not in json.dumps(line)
    server.gateway.metrics.refusals["failure"] = 0


def test_errors_of_stores_do_not_say_where_they_are(server, tmp_path):
    folder = server.folder
    (folder / "folder.db").mkdir()
    (folder / "noise.db").write_bytes(b"noise" * 100)
    damaged = filled(folder / "damaged.db")
    data = bytearray(damaged.read_bytes())
    data[60:64] = (99).to_bytes(4, "big")
    damaged.write_bytes(data)
    seen = set()
    for name, run in (
        ("missing", open_store),
        ("folder", open_store),
        ("noise", open_store),
        ("damaged", open_store),
        ("vault", lambda url: create_store(url, GENESIS)),
        ("vault", lambda url: receive_store(url, GENESIS)),
    ):
        with pytest.raises(EncdbError) as caught:
            run(server.url(name))
        seen.add(caught.value.code)
        assert name in caught.value.message
        for part in folder.parts[1:]:
            assert part not in str(caught.value)
    store = open_store(server.url("vault"))
    with store.snapshot() as snapshot, pytest.raises(EncdbError) as caught:
        snapshot.read(wire.ReadRows(0xBAD, None))
    assert str(folder) not in str(caught.value)
    store.close()
    assert {"E_STORE_MISSING", "E_NOT_A_STORE", "E_NOT_A_DATABASE", "E_STORE_EXISTS"} <= seen
    assert "E_FORMAT_NEWER" in seen


@pytest.mark.parametrize(
    ("url", "text"),
    [
        (
            "postgresql://ann:pw@db.example/x?schema=s3",
            "password authentication failed for user ann",
        ),
        ("postgresql://ann:pw@db.example/x?schema=s3", "could not translate host name db.example"),
        ("postgresql://ann:p%40w@db.example/x?schema=s3", "the secret p@w was wrong"),
        ("postgresql://ann:pw@10.1.2.3:77/x", "connection to server at 10.1.2.3, port 77 failed"),
        ("postgresql://u@h/x?schema=s3", "no schema s3"),
        ("/srv/keep/vault.db", "cannot open /srv/keep/vault.db-wal"),
        ("/srv/keep/vault.db", "another file was put at /srv/other"),
        ("sqlite:////srv/keep/vault.db", "keep is read only"),
    ],
)
def test_texts_that_name_a_place_give_way_to_the_catalogue(url, text):
    error = EncdbError(text, code="E_STORE_IO")
    shown = public(error, "vault", Hidden.of(url))
    assert shown.message == (
        "the store vault: The operating system failed to read or write the store"
    )
    for part in (" ann", "db.example", "p@w", "10.1.2.3", "s3", "/srv", "keep"):
        assert part not in str(shown)


def test_texts_without_a_place_are_kept():
    error = EncdbError("the table was dropped meanwhile", code="E_RELATION_IN_USE")
    assert public(error, "vault", Hidden.of("vault.db")).message == error.message
    locked = EncdbError("the store data/v.db is locked", code="E_STORE_LOCKED")
    assert public(locked, "v", Hidden.of("data/v.db")).message == "the store v is locked"


# --- The end ---------------------------------------------------------------------------------------


def test_an_orderly_end_waits_for_what_is_under_way(tmp_path, monkeypatch):
    with serving(tmp_path) as running:
        monkeypatch.setenv("ENCDB_TOKEN", running.token())
        store = open_store(running.url("vault"))
        started, answers = threading.Event(), []

        def slow(*arguments, **named):
            started.set()
            time.sleep(0.5)
            return carry_out(*arguments, **named)

        from encdb.stores.server.calls import carry_out

        monkeypatch.setattr("encdb.stores.server.exchange.carry_out", slow)
        lease = wire.Lease(TABLE, "ordinal", 3)
        client = threading.Thread(target=lambda: answers.append(store.lease(lease)))
        client.start()
        started.wait(10)
        running.stop()
        client.join()
        assert answers == [wire.Leased(0, 3)]
        assert running.log[-1]["event"] == "stopped"
        assert running.log[-1]["complete"] is True
        store.close()
        # The write-ahead log was moved into the file: the stores were closed.
        assert not (tmp_path / "vault.db-wal").exists()


def test_an_end_does_not_wait_for_ever(tmp_path, monkeypatch):
    with serving(tmp_path, stop_seconds=1) as running:
        session, leave = opened(running), threading.Event()
        started = threading.Event()

        def stuck(*_arguments, **_named):
            started.set()
            leave.wait(30)
            return ()

        monkeypatch.setattr("encdb.stores.server.exchange.carry_out", stuck)
        describe = body(session, 2, 0, [wire.Describe()])

        def ask():
            with contextlib.suppress(OSError, http.client.HTTPException):
                post(running, "/v1/vault/describe", describe, token=running.token())

        client = threading.Thread(target=ask)
        client.start()
        started.wait(10)
        before = time.monotonic()
        running._server.should_exit = True
        wait_until(lambda: running.log[-1]["event"] == "stopped")
        assert time.monotonic() - before < 6
        assert running.log[-1]["complete"] is False
        leave.set()
        client.join()


def test_cbor_is_what_errors_are_made_of(server):
    """An answer can be read with any CBOR library."""
    reply = post(server, "/v1/vault/open", body(), token="x")
    rest = reply.data[codec.Answer.LENGTH :]
    assert cbor2.loads(rest[4:-4])[:2] == ["OperationalError", "E_ACCESS_DENIED"]
