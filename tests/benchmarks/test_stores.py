"""The benchmark of stores: its own workload has to be right before its figures mean anything."""

from __future__ import annotations

import contextlib
import json
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.benchmarks import distance, operations, stores, tpcc, tpcc_tables
from tests.benchmarks.clients import Job, measure
from tests.benchmarks.loads import Cell, Latency, Loads
from tests.benchmarks.targets import Client, Target, plain_definition
from tests.benchmarks.tpcc_check import counts, violations
from tests.benchmarks.tpcc_tables import Scale
from tests.fixtures import postgres

SMALL = Scale(warehouses=2, customers=12, items=60)


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    with closing(Target("sqlite3", "sqlite3", str(tmp_path / "plain.db")).connect()) as made:
        yield made


def test_mix_keeps_its_conditions_and_notices_when_they_break(client: Client) -> None:
    tpcc_tables.load(client, SMALL)
    assert violations(client) == []
    before = counts(client)
    terminal, done = tpcc.Terminal(SMALL, random.Random(1), home=1), Counter[str]()
    for _ in range(200):
        kind, body = terminal.next()
        client.begin(write=True)
        try:
            body(client)
        except tpcc.Unused:
            client.rollback()
            continue
        client.commit()
        done[kind] += 1
    assert violations(client) == []
    assert counts(client) == {kind: before[kind] + done[kind] for kind in before}
    known: set[str] = set()
    for damage in (
        "UPDATE warehouse SET w_ytd = w_ytd + 1 WHERE w_id = 1",
        "UPDATE district SET d_next_o_id = d_next_o_id + 1 WHERE d_key = 10",
        "DELETE FROM order_line WHERE ol_key = (SELECT max(ol_key) FROM order_line)",
        "DELETE FROM new_order WHERE no_o_key = (SELECT min(no_o_key) + 1 FROM new_order)",
        "DELETE FROM history WHERE rowid = 1",
        "UPDATE customer SET c_balance = c_balance + 1 WHERE c_key = (SELECT c_key FROM customer)",
    ):
        client.begin(write=True)
        client.run(damage)
        client.commit()
        found = set(violations(client))
        assert found > known, damage
        known = found


def test_mix_has_the_shares_of_the_specification() -> None:
    terminal = tpcc.Terminal(SMALL, random.Random(1), home=1)
    kinds = [terminal.next()[0] for _ in range(300)]
    assert Counter(kinds) == {kind: 3 * share for kind, share in tpcc.MIX.items()}
    rare = Counter(kinds[:25])
    assert rare["delivery"] == rare["order-status"] == rare["stock-level"] == 1


@pytest.mark.parametrize("operation", operations.OPERATIONS)
def test_single_statements(client: Client, operation: str) -> None:
    operations.load(client, 500)
    job = Job(Target("", "", ""), operation, 1, 0, 0.02, 0.01, 500, SMALL)
    tally = measure(client, job, 1)
    assert tally.all
    assert (tally.retries, tally.abandoned) == (0, 0)
    ((count, inserted),) = client.run(
        "SELECT count(*), count(*) FILTER (WHERE id >= 500) FROM accounts"
    )
    assert (inserted > 0) == (operation == "insert")
    assert count == 500 + inserted


def test_definitions_for_plaintext() -> None:
    assert (
        plain_definition("CREATE INDEX a ON t USING range (score)") == "CREATE INDEX a ON t (score)"
    )
    assert plain_definition("CREATE INDEX a ON t USING range (o_key)") == ""


def test_percentiles_are_nearest_ranks() -> None:
    assert Latency.of([one / 1000 for one in range(1, 201)]) == Latency(200, 100.0, 198.0)


def test_encdb_beside_sqlite(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = "--stores sqlite --only update,mix --clients 1 --rows 300 --seconds 0.2 --warmup 0"
    words += " --mix-seconds 0.3 --customers 12 --items 60"
    result = tmp_path / "result.json"
    assert stores.main([*words.split(), "--json", str(result), "--folder", str(tmp_path)]) == 0
    cells = json.loads(result.read_text())["cells"]
    assert [(cell["operation"], cell["target"]) for cell in cells] == [
        ("update", "sqlite3"),
        ("update", "encdb/sqlite"),
        ("mix", "sqlite3"),
        ("mix", "encdb/sqlite"),
    ]
    assert [list(cell["ratios"]) for cell in cells] == [[], ["sqlite3"]] * 2
    assert [cell["rtt"] for cell in cells] == [0.0] * 4
    assert "not TPC-C results" in capsys.readouterr().out


@pytest.mark.skipif(bool(postgres.missing()), reason=postgres.missing())
def test_encdb_beside_psycopg_at_a_distance(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = "--stores postgres --clients 1 --rtt 0,1 --rows 100 --seconds 0.1 --warmup 0 --folder"
    result = tmp_path / "result.json"
    options = [*words.split(), str(tmp_path), "--json", str(result), "--only", "point read"]
    assert stores.main(options) == 0
    found = json.loads(result.read_text())
    cells = {(cell["rtt"], cell["target"]): cell for cell in found["cells"]}
    assert list(cells) == [(r, t) for r in (0.0, 1.0) for t in ("psycopg", "encdb/postgres")]
    for rtt in (0.0, 1.0):
        mine, peer = (cells[rtt, name] for name in ("encdb/postgres", "psycopg"))
        assert mine["ratios"] == {"psycopg": mine["throughput"] / peer["throughput"]}
    # The relay anticipates 0.2 ms of being late in each direction at most, and may be in time.
    assert found["trips"]["1.0"] >= 0.6
    assert all(cells[1.0, name]["latency"]["p50"] >= 0.6 for name in ("psycopg", "encdb/postgres"))
    assert "through the relay for rtt 1" in capsys.readouterr().out


def _kinds(words: str) -> list[stores.Kind]:
    return list(stores._kinds(stores._options(words.split())))


def test_only_a_part_is_measured_at_a_distance() -> None:
    away = [(operation, count) for operation, count, rtt, _ in _kinds("") if rtt]
    assert away == [(one, count) for one in ("point read", "insert", "mix") for count in (1, 8)]
    networked = {"psycopg", "encdb/postgres", "encdb/remote"}
    assert {name for _, _, rtt, names in _kinds("") if rtt for name in names} == networked
    chosen = _kinds("--only range --clients 1 --rtt 2,0.5 --stores sqlite,remote")
    assert [kind[:3] for kind in chosen] == [("range", 1, 0.5), ("range", 1, 2.0)]
    assert {rtt for _, _, rtt, _ in _kinds("--stores sqlite")} == {0.0}
    for refused in ("--stores sqlite --rtt 1", "--rtt -1", "--rtt nan"):
        with pytest.raises(SystemExit):
            stores._options(refused.split())


def test_ratios_compare_what_is_equally_far_away() -> None:
    loads = Loads()
    for rtt, plain in ((0.0, 400.0), (1.0, 100.0)):
        for name, throughput, beside in (
            ("psycopg", plain, ()),
            ("encdb/postgres", 50.0, ("psycopg",)),
        ):
            loads.add(Cell(name, "mix", 1, rtt, beside, throughput))
    assert [cell.ratios for cell in loads.cells if cell.beside] == [
        {"psycopg": 0.125},
        {"psycopg": 0.5},
    ]
    assert [line.split(". ")[1] for line in loads.bars] == [
        "Rtt 0 ms, clients: 1, loss 88%, MISSED.",
        "Rtt 1 ms, clients: 1, loss 50%, MISSED.",
    ]


def test_urls_through_a_relay() -> None:
    for url in ("postgresql://me:secret@127.0.0.1:{}/db?schema=vault", "http://127.0.0.1:{}/vault"):
        target = Target("", "", url.format(5432))
        assert target.port == 5432
        away = target.through(6000, 1.0)
        assert (away.url, away.rtt) == (url.format(6000), 1.0)
    assert Target("", "", "plain.db").port is None


def _received(connection: socket.socket) -> bytes:
    pieces = []
    while piece := connection.recv(1 << 20):
        pieces.append(piece)
    return b"".join(pieces)


def test_relay_delays_what_it_passes_on_and_changes_nothing() -> None:
    rtt, requests = 40.0, 50
    with distance.echo() as port, closing(distance.Relay(port, rtt)) as relay:
        with socket.create_connection((distance.ADDRESS, relay.port)) as connection:
            connection.settimeout(30)
            start = time.perf_counter()
            for number in range(requests):
                connection.sendall(b"%4d" % number)
                # Separate pieces, all of them under way before the first one is there.
                time.sleep(0.0001)
            got = b""
            while len(got) < 4 * requests:
                got += connection.recv(4096)
                assert time.perf_counter() - start >= rtt / 1e3
            # One at a time they would take two seconds.
            assert time.perf_counter() - start < requests * rtt / 1e3 / 2
            assert got == b"".join(b"%4d" % number for number in range(requests))
            # More than waits for a receiver, and then the end of it, while the other direction goes on.
            long = random.Random(1).randbytes(20 << 20)

            def send() -> None:
                connection.sendall(long)
                connection.shutdown(socket.SHUT_WR)

            sending = threading.Thread(target=send)
            sending.start()
            time.sleep(0.1)
            assert _received(connection) == long
            sending.join()
        assert relay.processor() > 0


def test_relay_passes_on_that_there_is_no_server() -> None:
    with socket.create_server((distance.ADDRESS, 0)) as unused:
        port = unused.getsockname()[1]
    with (
        closing(distance.Relay(port, 1.0)) as relay,
        socket.create_connection((distance.ADDRESS, relay.port)) as connection,
    ):
        connection.settimeout(30)
        with contextlib.suppress(ConnectionError):
            assert _received(connection) == b""
