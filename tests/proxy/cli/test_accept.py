"""``encdb accept``: a backup that the user restored is taken once, and only if it holds together."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import pytest

import encdb
from proxy.cli.commands import accept
from proxy.cli.main import main
from tests.fixtures.databases import Database, check_ok, rows
from tests.fixtures.kinds import SQLITE


@dataclass
class Restored:
    """A database whose client has seen more than its restored backup holds."""

    database: Database
    backup: str
    newest: str
    checkpoint: str
    capture: Any

    def run(self, *words: str, keyring: str | None = None) -> tuple[int, str, str]:
        command, *rest = words
        key = keyring or self.database.keyring
        status = main([command, self.database.url, *rest, "--keyring", key])
        captured = self.capture.readouterr()
        return status, captured.out, captured.err

    def query(self) -> tuple[int, str, str]:
        return self.run("shell", "-c", "SELECT count(*) AS n FROM people", "--csv")

    @property
    def pin(self) -> bytes:
        (path,) = Path(self.database.keyring).parent.glob("*.pin")
        return path.read_bytes()


@pytest.fixture
def restored(database: Database, tmp_path: Path, capsys: Any) -> Restored:
    backup, newest = str(tmp_path / "backup.db"), str(tmp_path / "newest.db")
    with database.connect() as connection:
        connection.execute("CREATE TABLE people (id BIGINT PRIMARY KEY, name TEXT)")
        connection.execute("CREATE TABLE same (id BIGINT)")
        connection.executemany("INSERT INTO people VALUES (?, ?)", [(n, "x") for n in range(50)])
        connection.execute("VACUUM people")
        checkpoint = connection.checkpoint()
    assert main(["copy", database.url, backup]) == 0
    with database.connect() as connection:
        connection.execute("INSERT INTO people VALUES (100, 'lost')")
        connection.execute("VACUUM people")
        connection.execute("INSERT INTO people VALUES (101, 'lost')")
        connection.execute("CREATE TABLE lost (id BIGINT)")
        connection.execute("INSERT INTO lost VALUES (1)")
    SQLITE.copy(database.url, newest)
    SQLITE.put_back(backup, database.url)
    capsys.readouterr()
    return Restored(database, backup, newest, checkpoint, capsys)


def test_the_whole_way(restored: Restored):
    status, out, errors = restored.query()
    assert (status, out) == (4, "")
    assert "E_ROLLED_BACK" in errors
    assert "encdb accept" in errors
    before = restored.pin
    status, out, errors = restored.run("accept")
    assert status == 2
    assert "E_NO_TERMINAL" in errors
    assert "people" in out
    assert restored.pin == before
    status, out, errors = restored.run("accept", "--yes", "--json")
    assert status == 0
    assert "Accepted: catalog version 2, 2 tables" in errors
    found = {one["what"]: one for one in json.loads(out)}
    assert found["catalog"]["note"] == "1 schema change missing"
    assert found["catalog"]["seen"] == found["catalog"]["served"] + 1
    assert found['table "people"']["note"] == "2 merges missing"
    assert found['table "same"']["note"] == ""
    (gone,) = [one for one in found.values() if one["note"] == "not there"]
    assert gone["served"] is None
    assert restored.query()[:2] == (0, "n\n50\n")
    with restored.database.connect() as connection:
        connection.execute("INSERT INTO people VALUES (100, 'again')")
        connection.execute("VACUUM people")
        check_ok(connection)
    # Once: the pin guards what was accepted as it guards anything else.
    SQLITE.put_back(restored.backup, restored.database.url)
    assert restored.query()[0] == 4


def test_the_lost_history_is_another_one_now(restored: Restored):
    assert restored.run("accept", "--yes")[0] == 0
    with restored.database.connect() as connection:
        connection.execute("CREATE TABLE later (id BIGINT)")
    SQLITE.put_back(restored.newest, restored.database.url)
    status, _, errors = restored.query()
    assert status == 4
    assert "E_TAMPERED" in errors or "E_FORK" in errors


def test_nothing_to_accept(restored: Restored):
    SQLITE.put_back(restored.newest, restored.database.url)
    before = restored.pin
    status, _, errors = restored.run("accept", "--yes")
    assert status == 0
    assert "nothing to accept" in errors
    assert restored.pin == before


def test_a_client_without_a_pin_has_nothing_to_accept(restored: Restored, tmp_path: Path):
    folder = tmp_path / "fresh"
    folder.mkdir()
    keyring = folder / "vault.keyring"
    keyring.write_bytes(Path(restored.database.keyring).read_bytes())
    keyring.chmod(0o600)
    status, out, errors = restored.run("accept", keyring=str(keyring))
    assert status == 0
    assert "nothing to accept" in errors
    assert "not seen before" in out


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM {rows} WHERE rowid = (SELECT min(rowid) FROM {rows})",
        "UPDATE tables SET manifest = zeroblob(400) WHERE epoch > 0",
        "DELETE FROM {packs}",
        "UPDATE {pages} SET blob = zeroblob(4032)",
    ],
)
def test_a_store_that_does_not_hold_together(restored: Restored, damage: str):
    with restored.database.connect(pin=False) as connection:
        connection.execute("INSERT INTO people VALUES (300, 'recent')")
        number = connection.session.table("people").id
    names = {name: f"{name}_{number:08x}" for name in ("rows", "packs", "pages")}
    with closing(sqlite3.connect(restored.database.url)) as raw, raw:
        assert raw.execute(damage.format(**names)).rowcount
    before = restored.pin
    status, out, errors = restored.run("accept", "--yes")
    assert (status, out) == (4, "")
    assert "E_TAMPERED" in errors
    assert restored.pin == before


def test_another_database(restored: Restored, tmp_path: Path):
    folder = tmp_path / "another"
    folder.mkdir()
    another = Database.make(folder)
    SQLITE.put_back(another.url, restored.database.url)
    before = restored.pin
    status, _, errors = restored.run("accept", "--yes")
    assert status == 3
    assert "E_KEYRING_OTHER_DATABASE" in errors
    assert restored.pin == before


def test_the_checkpoint_of_the_backup(restored: Restored):
    """Kept with the backup, it shows that this is the backup, and no older state still."""
    with restored.database.connect(pin=False) as connection:
        connection.execute("INSERT INTO people VALUES (300, 'more')")
        newer = connection.checkpoint()
    SQLITE.put_back(restored.backup, restored.database.url)
    before = restored.pin
    status, _, errors = restored.run("accept", "--yes", "--expect", newer)
    assert status == 4
    assert "withholds" in errors
    assert restored.pin == before
    assert restored.run("accept", "--yes", "--expect", restored.checkpoint)[0] == 0
    assert restored.query()[0] == 0


@pytest.mark.parametrize("answer", [True, False])
def test_on_a_terminal_it_asks(restored: Restored, monkeypatch: pytest.MonkeyPatch, answer: bool):
    asked = []

    def confirm(question: str, **_: Any) -> bool:
        asked.append(question)
        return answer

    monkeypatch.setattr(accept, "has_terminal", lambda: True)
    monkeypatch.setattr(click, "confirm", confirm)
    before = restored.pin
    status, _, errors = restored.run("accept")
    assert len(asked) == 1
    assert (status, restored.pin == before) == ((0, False) if answer else (1, True))
    assert ("Nothing was changed" in errors) is not answer


def test_every_client_accepts_for_itself(restored: Restored, tmp_path: Path):
    folder = tmp_path / "second"
    folder.mkdir()
    for path in Path(restored.database.keyring).parent.glob("*"):
        if path.is_file() and "keyring" in path.name:
            (folder / path.name).write_bytes(path.read_bytes())
    for path in Path(restored.database.keyring).parent.glob("*.pin"):
        (folder / path.name).write_bytes(path.read_bytes())
    for path in folder.iterdir():
        path.chmod(0o600)
    keyring = str(folder / Path(restored.database.keyring).name)
    assert restored.run("accept", "--yes")[0] == 0
    query = ("shell", "-c", "SELECT count(*) FROM people", "--csv")
    assert restored.run(*query, keyring=keyring)[0] == 4
    assert restored.run("accept", "--yes", keyring=keyring)[0] == 0
    assert restored.run(*query, keyring=keyring)[0] == 0
    with encdb.connect(restored.database.url, keyring=keyring) as connection:
        assert rows(connection, "SELECT count(*) FROM people") == [(50,)]


def replay(lost: str, store: str, table: int) -> None:
    """A store puts a transaction back that was lost with the newer state."""
    with closing(sqlite3.connect(store)) as raw, raw:
        raw.execute("ATTACH ? AS lost", (lost,))
        for name in ("rows", "keys", "tombstones", "deltas"):
            where = f'"{name}_{table:08x}"'
            raw.execute(f"INSERT OR IGNORE INTO main.{where} SELECT * FROM lost.{where}")


@pytest.mark.parametrize("folds", [0, 1, 2])
def test_what_a_hostile_store_can_bring_back(restored: Restored, tmp_path: Path, folds: int):
    """The documented limit, and how it ends: two merges of new changes close it for a table."""
    lost = str(tmp_path / "lost.db")
    SQLITE.copy(restored.backup, lost)
    with encdb.connect(lost, keyring=restored.database.keyring, pin=False) as connection:
        connection.execute("DELETE FROM people WHERE id = 1")
        table = connection.session.table("people").id
    assert restored.run("accept", "--yes")[0] == 0
    with restored.database.connect() as connection:
        for number in range(folds):
            connection.execute("INSERT INTO people VALUES (?, 'new')", (200 + number,))
            connection.session.maintenance.fold(table)
    replay(lost, restored.database.url, table)
    status, out, errors = restored.query()
    if folds < 2:
        assert (status, out) == (0, f"n\n{49 + folds}\n")
    else:
        assert (status, out) == (4, "")
        assert "E_TAMPERED" in errors
