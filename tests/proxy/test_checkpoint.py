"""A checkpoint of one client makes another one refuse a store that hides or forks its history."""

from __future__ import annotations

import os
import random
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import encdb
from encdb.errors import TamperError
from indexes.keys import Key
from proxy import checkpoint
from proxy.cli.main import main
from proxy.pinned import PinState, TablePin
from tests.fixtures.databases import Database, refused, rows
from tests.fixtures.kinds import SQLITE

CHANGES = (
    "INSERT INTO people VALUES (777, 'new')",
    "DELETE FROM people WHERE id = 1",
    "UPDATE people SET name = 'other' WHERE id = 2",
    "VACUUM people",
    "CREATE INDEX ON people USING equality (name)",
    "CREATE TABLE more (id BIGINT)",
    "DROP TABLE visits",
    "INSERT INTO visits VALUES (9)",
)
NOTICED = {"E_FORK", "E_ROLLED_BACK", "E_TAMPERED"}


@dataclass
class Forked:
    """One database in two files, and one client with a pin of its own at each."""

    mine: str
    theirs: str
    my_keyring: str
    their_keyring: str

    def me(self, **options: Any) -> Any:
        return encdb.connect(self.mine, keyring=self.my_keyring, **options)

    def them(self, url: str | None = None, **options: Any) -> Any:
        return encdb.connect(url or self.theirs, keyring=self.their_keyring, **options)


@pytest.fixture
def forked(database: Database, tmp_path: Path) -> Forked:
    """A store that shows two clients the same until now, and may show them different things."""
    with database.connect() as connection:
        connection.execute("CREATE TABLE people (id BIGINT PRIMARY KEY, name TEXT)")
        connection.execute("CREATE TABLE visits (id BIGINT)")
        connection.executemany(
            "INSERT INTO people VALUES (?, ?)", [(n, f"name {n}") for n in range(40)]
        )
        connection.execute("VACUUM people")
        connection.execute("INSERT INTO people VALUES (500, 'recent')")
    folder = tmp_path / "theirs"
    folder.mkdir()
    keyring = folder / "vault.keyring"
    keyring.write_bytes(Path(database.keyring).read_bytes())
    keyring.chmod(0o600)
    made = Forked(database.url, str(folder / "vault.db"), database.keyring, str(keyring))
    SQLITE.copy(made.mine, made.theirs)
    with made.them() as connection:
        rows(connection, "SELECT * FROM people")
    return made


def use(connection: Any) -> list[tuple[Any, ...]]:
    return rows(connection, "SELECT count(*) FROM people")


@pytest.mark.parametrize("pin", [True, False])
def test_an_honest_store_satisfies_the_checkpoint(forked: Forked, pin: bool):
    with forked.me(pin=pin) as connection:
        connection.execute(CHANGES[0])
        text = connection.checkpoint()
        connection.execute("VACUUM people")
        later = connection.checkpoint()
    assert text != later
    for expect in (text, later, f"  {text}\n"):
        with forked.them(forked.mine, pin=pin, expect=expect) as connection:
            assert use(connection) == [(42,)]
            connection.execute(f"INSERT INTO people VALUES ({random.randrange(10**9)}, 'x')")
            connection.execute("DELETE FROM people WHERE id > 1000")


@pytest.mark.parametrize("pin", [True, False])
@pytest.mark.parametrize("change", CHANGES)
def test_hidden_changes_are_missed(forked: Forked, change: str, pin: bool):
    """The store hides from them what it has shown me."""
    with forked.me() as connection:
        connection.execute(change)
        text = connection.checkpoint()
    with forked.them(pin=pin) as connection:
        use(connection)
    error = refused("E_ROLLED_BACK", lambda: forked.them(pin=pin, expect=text))
    assert error.exit_status == 4
    if pin:
        # What the checkpoint says was learned, and is not forgotten with the option.
        with pytest.raises(TamperError), closing(forked.them()) as connection:
            rows(connection, "SELECT * FROM people, visits")
    with forked.them(forked.mine, pin=pin, expect=text) as connection:
        use(connection)


@pytest.mark.parametrize("pin", [True, False])
@pytest.mark.parametrize("theirs", CHANGES)
@pytest.mark.parametrize("mine", CHANGES)
def test_forks_are_noticed(forked: Forked, mine: str, theirs: str, pin: bool):
    """Both sides moved on from the same state, each on its own."""
    with forked.me() as connection:
        connection.execute(mine)
        text = connection.checkpoint()
    with forked.them() as connection:
        connection.execute(theirs)
        answer = connection.checkpoint()
    sides = ((forked.them, text, mine, theirs), (forked.me, answer, theirs, mine))
    for connect, expect, expected, seen in sides:
        if "INTO visits" in expected and "DROP" in seen:
            # One honest history may hold both: a table that was changed before it was dropped.
            connect(pin=pin, expect=expect).close()
        else:
            with pytest.raises(TamperError) as caught:
                connect(pin=pin, expect=expect)
            assert caught.value.code in NOTICED


def test_the_same_number_with_another_hash_is_a_fork(forked: Forked):
    with forked.me() as connection:
        connection.execute("CREATE TABLE one (id BIGINT)")
        text = connection.checkpoint()
    with forked.them() as connection:
        connection.execute("CREATE TABLE two (id BIGINT)")
    before = forked_pin(forked)
    refused("E_FORK", lambda: forked.them(expect=text))
    assert forked_pin(forked) == before


def forked_pin(forked: Forked) -> bytes:
    (pin,) = Path(forked.their_keyring).parent.glob("*.pin")
    return pin.read_bytes()


def test_a_checkpoint_within_a_transaction(forked: Forked):
    with forked.me() as connection:
        connection.execute("BEGIN")
        connection.execute("INSERT INTO people VALUES (900, 'mine')")
        with forked.them(forked.mine) as other:
            other.execute("INSERT INTO visits VALUES (1)")
            newer = other.checkpoint()
        text = connection.checkpoint()
        connection.execute("COMMIT")
    with forked.them(pin=False, expect=text) as connection:
        # It is of the snapshot, which held neither.
        use(connection)
    refused("E_ROLLED_BACK", lambda: forked.them(pin=False, expect=newer))


def test_of_an_empty_database(database: Database):
    with database.connect() as connection:
        text = connection.checkpoint()
    with database.connect(expect=text, pin=False) as connection:
        connection.execute("CREATE TABLE t (id BIGINT)")


# --- The text. --------------------------------------------------------------------------------------


def test_it_reveals_nothing(forked: Forked):
    with forked.me() as connection:
        text, again = connection.checkpoint(), connection.checkpoint()
    assert text.isascii()
    assert set(text) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")
    assert text[2:] != again[2:]
    assert len(text) == len(again)


def test_changed_texts_are_refused(forked: Forked):
    with forked.me() as connection:
        text = connection.checkpoint()
    draw = random.Random(3)
    places = draw.sample(range(len(text) - 1), 40)
    changed = [text[:n] + ("A" if text[n] != "A" else "B") + text[n + 1 :] for n in places]
    before = forked_pin(forked)
    for bad in (
        *changed,
        text[:-4],
        text[4:],
        "",
        " ",
        "checkpoint",
        text + "AAAA",
        "é" * 40,
        text * 2,
    ):
        refused("E_CHECKPOINT", lambda bad=bad: forked.them(expect=bad))
    assert forked_pin(forked) == before


def test_another_databases_checkpoint(forked: Forked, tmp_path: Path):
    folder = tmp_path / "another"
    folder.mkdir()
    another = Database.make(folder)
    with another.connect() as connection:
        text = connection.checkpoint()
    another.close()
    refused("E_CHECKPOINT", lambda: forked.me(expect=text))


HASHES = st.binary(min_size=32, max_size=32)
WRITERS = st.binary(min_size=16, max_size=16)
NUMBERS = st.integers(0, 2**40)
TABLES = st.builds(
    TablePin,
    epoch=NUMBERS,
    chain=HASHES,
    frontier=st.dictionaries(WRITERS, st.tuples(NUMBERS, HASHES), max_size=4),
    day=NUMBERS,
)
STATES = st.builds(
    PinState,
    incarnation=WRITERS,
    catalog_version=NUMBERS,
    catalog_hash=HASHES,
    tables=st.dictionaries(st.integers(0, 2**32 - 1), TABLES, max_size=4),
    dropped=st.just(frozenset()),
)


@given(STATES)
def test_round_trip(state: PinState):
    root, database = Key.random(), os.urandom(16)
    text = checkpoint.seal(state, root, database)
    assert checkpoint.open_checkpoint(text, root, database) == state
    for other in ((Key.random(), database), (root, os.urandom(16))):
        refused("E_CHECKPOINT", checkpoint.open_checkpoint, text, *other)


# --- The command line. ------------------------------------------------------------------------------


def test_command_and_option(forked: Forked, tmp_path: Path, capsys: Any):
    mine = [forked.mine, "--keyring", forked.my_keyring]
    theirs = ["--keyring", forked.their_keyring]
    with forked.me() as connection:
        connection.execute(CHANGES[0])
    assert main(["checkpoint", *mine]) == 0
    text = capsys.readouterr().out.strip()
    assert "\n" not in text
    note = tmp_path / "note"
    note.write_text(f"{text}\n")
    for expect in (text, f"@{note}"):
        assert main(["check", forked.mine, *theirs, "--expect", expect]) == 0
        query = ["-c", "SELECT count(*) FROM people", "--csv"]
        capsys.readouterr()
        assert main(["shell", forked.theirs, *theirs, *query, "--expect", expect]) == 4
        ended = capsys.readouterr()
        assert "E_ROLLED_BACK" in ended.err
        assert ended.out == ""
    assert main(["checkpoint", *mine, "--json", "--expect", text]) == 0
    assert '"checkpoint": "' in capsys.readouterr().out
    assert main(["checkpoint", *mine, "--expect", "nonsense"]) == 4
    assert "E_CHECKPOINT" in capsys.readouterr().err
    assert main(["checkpoint", *mine, "--expect", f"@{tmp_path / 'none'}"]) == 1
    assert "E_INPUT_FILE" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["add", "check", "checkpoint", "import", "search", "shell"])
def test_commands_that_open_a_database_have_the_option(name: str):
    from proxy.cli.main import cli

    assert "expect" in {one.name for one in cli.commands[name].params}
