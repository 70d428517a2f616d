"""``kill -9`` at random moments: the store opens, is whole, and holds every acknowledged transaction.

A worker process writes groups of rows, one transaction a group, and notes in a ledger what it has begun
and what was acknowledged. It is killed after a random time, again and again on one store. Then every
acknowledged group must be there completely, every other one completely or not at all.
"""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import encdb
from tests.attacks import vault
from tests.attacks.worker import GROUP_ROWS, schema
from tests.fixtures.kinds import StoreKind

pytestmark = pytest.mark.every_store

PROJECT = Path(__file__).parents[2]
TASKS = tuple(GROUP_ROWS)


class Trial:
    """One store, its ledger, and what was killed so far."""

    def __init__(self, kind: StoreKind, folder: Path, task: str, seed: int) -> None:
        self.folder, self.task = folder, task
        self.store, self.keys = kind.new_url(folder), folder / "keys"
        self.ledger = folder / "ledger"
        self.draw = random.Random(f"{task} {seed}")
        self.keys.mkdir()
        encdb.init(self.store, keyring=str(vault.keyring_in(self.keys)))
        with vault.client(self.store, self.keys) as connection:
            schema(connection)

    def begin(self, worker: int) -> subprocess.Popen[bytes]:
        """Start a worker and wait until it has begun to write."""
        before = self._lines()
        command: list[str | Path] = [
            sys.executable,
            "-m",
            "tests.attacks.worker",
            self.task,
            self.store,
        ]
        command += [vault.keyring_in(self.keys), self.ledger, str(worker)]
        errors = (self.folder / "stderr").open("ab")
        with errors:
            process = subprocess.Popen(command, cwd=PROJECT, stderr=errors)
        give_up = time.monotonic() + 60
        while self._lines() == before:
            if process.poll() is not None or time.monotonic() > give_up:
                process.kill()
                process.wait()
                raise AssertionError((self.folder / "stderr").read_text()[-2000:])
            time.sleep(0.002)
        return process

    def kill_one(self, worker: int = 0, longest: float = 1.0) -> None:
        """Start a worker, let it write for a random time, and kill it."""
        process = self.begin(worker)
        time.sleep(self.draw.uniform(0, longest))
        assert process.poll() is None, (self.folder / "stderr").read_text()[-2000:]
        process.send_signal(signal.SIGKILL)
        process.wait()

    def _lines(self) -> int:
        return self.ledger.read_bytes().count(b"\n") if self.ledger.exists() else 0

    def noted(self, event: str) -> set[int]:
        """Groups of which the ledger says so."""
        lines = (line.split() for line in self.ledger.read_text().splitlines())
        return {int(group) for kind, group in lines if kind == event}

    def verify(self) -> tuple[int, int]:
        """Check the store against the ledger; return how many groups are there, and acknowledged."""
        begun, done = self.noted("begin"), self.noted("done")
        checked = self._command("check")
        assert checked.status == 0, checked.output + checked.errors
        with vault.client(self.store, self.keys) as connection:
            found = self._groups(connection)
            size = GROUP_ROWS[self.task]
            partial = {group: count for group, count in found.items() if count != size}
            assert not partial, f"parts of transactions: {partial}"
            assert done <= found.keys(), f"acknowledged but lost: {done - found.keys()}"
            assert found.keys() <= begun, f"never begun: {found.keys() - begun}"
            if self.task in {"update", "merge"}:
                amounts = connection.execute("SELECT amount FROM balance ORDER BY id").fetchall()
                assert amounts == [(1000 - len(found),), (1000 + len(found),)]
            # The indexes know the same rows as the scan above.
            for group in self.draw.sample(sorted(begun), min(5, len(begun))):
                assert self._indexed(connection, group) == found.get(group, 0)
            connection.execute("CREATE TABLE IF NOT EXISTS still_writable (id BIGINT)")
        return len(found), len(done)

    def _command(self, name: str, *words: object) -> vault.Ended:
        return vault.command(name, self.store, *words, keyring=vault.keyring_in(self.keys))

    def _groups(self, connection: Any) -> Counter[int]:
        if self.task == "add":
            if not connection.session.catalog.find("mail"):
                return Counter()
            titles = connection.execute("SELECT title FROM mail").fetchall()
            return Counter(int(title.split()[0].removeprefix("group")) for (title,) in titles)
        counted = connection.execute("SELECT grp, count(*) FROM groups GROUP BY grp").fetchall()
        return Counter(dict(counted))

    def _indexed(self, connection: Any, group: int) -> int:
        if self.task == "add":
            if not connection.session.catalog.find("mail"):
                return 0
            found = self._command(
                "search", f"group{group}", "--collection", "mail", "-n", 1000, "--json"
            )
            assert found.status in {0, 1}, found.errors
            return len(json.loads(found.output or "[]"))
        by_value = connection.execute("SELECT count(*) FROM groups WHERE grp = ?", (group,))
        by_word = connection.execute(f"SELECT count(*) FROM groups WHERE words @@ 'group{group}'")
        (first,), (second,) = by_value.fetchone(), by_word.fetchone()
        assert first == second
        return int(first)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("task", TASKS)
def test_killed_once(store_kind: StoreKind, tmp_path: Path, task: str) -> None:
    trial = Trial(store_kind, tmp_path, task, 0)
    trial.kill_one()
    trial.verify()


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("seed", [1, 2])
def test_killed_many_times(store_kind: StoreKind, tmp_path: Path, task: str, seed: int) -> None:
    trial = Trial(store_kind, tmp_path, task, seed)
    for _ in range(12):
        trial.kill_one(longest=1.5)
        trial.verify()
    found, done = trial.verify()
    assert found >= done > 0


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_killed_beside_another_writer(store_kind: StoreKind, tmp_path: Path) -> None:
    """One of two writers is killed; the other goes on."""
    trial = Trial(store_kind, tmp_path, "merge", 3)
    survivor = trial.begin(1)
    try:
        for _ in range(6):
            trial.kill_one(2, longest=1.5)
            assert survivor.poll() is None, (tmp_path / "stderr").read_text()[-2000:]
    finally:
        survivor.send_signal(signal.SIGKILL)
        survivor.wait()
    trial.verify()


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.stores("sqlite")
def test_the_harness_notices_a_lost_transaction(store_kind: StoreKind, tmp_path: Path) -> None:
    """A ledger that claims one more group than the store holds must fail."""
    trial = Trial(store_kind, tmp_path, "update", 4)
    trial.kill_one()
    trial.verify()
    with trial.ledger.open("a") as ledger:
        ledger.write("begin 999999999\ndone 999999999\n")
    with pytest.raises(AssertionError, match="lost"):
        trial.verify()
