"""The benchmark of stores: its own workload has to be right before its figures mean anything."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.benchmarks import operations, stores, tpcc, tpcc_tables
from tests.benchmarks.clients import Job, measure
from tests.benchmarks.loads import Latency
from tests.benchmarks.targets import Client, Target, plain_definition
from tests.benchmarks.tpcc_check import counts, violations
from tests.benchmarks.tpcc_tables import Scale

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
    assert "not TPC-C results" in capsys.readouterr().out
