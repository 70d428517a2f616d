"""Many writers and readers at once, killed and started again: in the end the store is the ledger.

Each writer notes what it begins and what was acknowledged. Readers, all the while, see whole transactions
only. After the last process was killed every acknowledged transaction is there, every other one
completely or not at all, and ``encdb check`` finds nothing.
"""

from __future__ import annotations

import itertools
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import encdb
from tests.attacks import soaker, vault
from tests.fixtures.kinds import StoreKind

PROJECT = Path(__file__).parents[2]
pytestmark = pytest.mark.every_store


class Soak:
    """One store with its ledger, and the processes that run on it."""

    def __init__(self, kind: StoreKind, folder: Path) -> None:
        self.kind, self.folder = kind, folder
        self.store, self.keys = kind.new_url(folder), folder / "keys"
        self.ledger = folder / "ledger"
        self.ledger.touch()
        self.keys.mkdir()
        encdb.init(self.store, keyring=str(vault.keyring_in(self.keys)))
        with vault.client(self.store, self.keys) as connection:
            soaker.schema(connection)
        self._launches = itertools.count(1)
        self._running: list[tuple[str, subprocess.Popen[bytes]]] = []
        self.kills = 0

    def launch(self, task: str) -> None:
        """Start one more process."""
        command = [sys.executable, "-m", "tests.attacks.soaker", task, self.store]
        command += [str(vault.keyring_in(self.keys)), str(self.ledger), str(next(self._launches))]
        with (self.folder / "stderr").open("ab") as errors:
            process = subprocess.Popen(command, cwd=PROJECT, stderr=errors)
        self._running.append((task, process))

    def kill(self, place: int) -> str:
        """Kill one process; its task is returned."""
        task, process = self._running.pop(place)
        self._require_alive(task, process)
        process.send_signal(signal.SIGKILL)
        process.wait()
        self.kills += 1
        return task

    def _require_alive(self, task: str, process: subprocess.Popen[bytes]) -> None:
        if process.poll() is not None:
            errors = (self.folder / "stderr").read_text()[-3000:]
            raise AssertionError(f"a process that was to {task} ended by itself:\n{errors}")

    def run(self, writers: int, readers: int, seconds: float, pause: tuple[float, float]) -> None:
        """Let processes run, and kill one after each pause and start another like it."""
        draw = random.Random(f"{self.kind.name} {writers}")
        for task in ["write"] * writers + ["read"] * readers:
            self.launch(task)
        give_up = time.monotonic() + 120
        while len(self.noted("done")) < writers or not self.noted("read"):
            for task, process in self._running:
                self._require_alive(task, process)
            assert time.monotonic() < give_up, (self.folder / "stderr").read_text()[-3000:]
            time.sleep(0.05)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(draw.uniform(*pause))
            self.launch(self.kill(draw.randrange(len(self._running))))

    def stop(self) -> None:
        """Kill everything."""
        while self._running:
            _, process = self._running.pop()
            process.kill()
            process.wait()

    def noted(self, event: str) -> list[int]:
        """Groups of which the ledger says so."""
        lines = (line.split() for line in self.ledger.read_text().splitlines())
        return [int(group) for kind, group in lines if kind == event]

    def verify(self) -> None:
        """The store holds what the ledger says."""
        begun, done = set(self.noted("begin")), set(self.noted("done"))
        checked = vault.command("check", self.store, keyring=vault.keyring_in(self.keys))
        assert checked.status == 0, checked.output + checked.errors
        with vault.client(self.store, self.keys) as connection:
            found = soaker.counts(connection)
            assert set(found.values()) == {soaker.GROUP_ROWS}
            assert done <= found.keys(), f"acknowledged but lost: {done - found.keys()}"
            assert found.keys() <= begun, f"never begun: {found.keys() - begun}"
            held = connection.execute("SELECT id, amount FROM accounts").fetchall()
            assert dict(held) == soaker.amounts(found)
            for group in list(found)[::10]:
                asked = connection.execute("SELECT id FROM groups WHERE grp = ?", (group,))
                ids = sorted(number for (number,) in asked.fetchall())
                assert ids == [group * 10 + n for n in range(soaker.GROUP_ROWS)]
            duplicates = connection.execute(
                "SELECT label FROM groups GROUP BY label HAVING count(*) > 1"
            )
            assert duplicates.fetchall() == []


def soak(
    kind: StoreKind,
    folder: Path,
    *,
    writers: int,
    readers: int,
    seconds: float,
    pause: tuple[float, float],
) -> None:
    """Run, stop, verify, and say how much was done."""
    one = Soak(kind, folder)
    try:
        one.run(writers, readers, seconds, pause)
    finally:
        one.stop()
    errors = (folder / "stderr").read_text()
    assert not errors, errors[-3000:]
    one.verify()
    print(
        f"{kind.name}: {len(one.noted('done'))} transactions of {writers} writers,"
        f" {len(one.noted('read'))} states read by {readers} readers, {one.kills} kills"
    )
    kind.drop(one.store)


@pytest.mark.timeout(300)
def test_a_few_for_some_seconds(store_kind: StoreKind, tmp_path: Path) -> None:
    soak(store_kind, tmp_path, writers=2, readers=1, seconds=4, pause=(0.5, 1.5))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_many_for_a_minute(store_kind: StoreKind, tmp_path: Path) -> None:
    soak(store_kind, tmp_path, writers=8, readers=4, seconds=60, pause=(0.5, 3.0))
