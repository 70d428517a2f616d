"""A client that has seen a newer state refuses an older one, in whole and in part."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from encdb.errors import EncdbError, TamperError
from tests.attacks import vault
from tests.attacks.mutations import copy_files
from tests.attacks.vault import Vault
from tests.fixtures.kinds import StoreKind

pytestmark = pytest.mark.every_store


@pytest.fixture(scope="module")
def small(store_kind: StoreKind, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vault]:
    made = vault.build(store_kind, tmp_path_factory.mktemp("small"), settled=60)
    yield made
    made.drop()


@pytest.fixture
def copies(small: Vault, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """Two copies of the store: one to change, and one that stays as it was before."""
    store, before = small.kind.new_url(tmp_path), small.kind.new_url(tmp_path, "before")
    small.kind.copy(small.store, store)
    small.kind.copy(small.store, before)
    yield store, before
    small.kind.drop(store)
    small.kind.drop(before)


def test_every_older_copy_is_refused(small: Vault, tmp_path: Path) -> None:
    assert len(small.older) >= 5
    for number, copy in enumerate(small.older):
        copy_files(small.keys, tmp_path / f"keys{number}")
        with (
            pytest.raises(TamperError) as caught,
            vault.client(copy, tmp_path / f"keys{number}") as client,
        ):
            vault.ask(client, "SELECT * FROM people")
        assert (caught.value.code, caught.value.exit_status) == ("E_ROLLED_BACK", 4)


def test_a_new_machine_has_nothing_to_compare_with(small: Vault, tmp_path: Path) -> None:
    """Without a pin an older state cannot be told from the newest one; nothing claims otherwise."""
    copy_files(small.keys, tmp_path / "keys")
    for pin in (tmp_path / "keys").glob("*.pin*"):
        pin.unlink()
    with vault.client(small.older[0], tmp_path / "keys") as client:
        assert vault.ask(client, "SELECT count(*) FROM people") == [(60,)]


@pytest.mark.parametrize(
    "change",
    [
        "INSERT INTO people VALUES (777, 'New', '06001', 50, 'none')",
        "DELETE FROM people WHERE id = 1",
        "UPDATE people SET age = 20 WHERE id = 1",
        "VACUUM people",
        "CREATE INDEX ON people USING equality (name)",
        "CREATE TABLE more (id BIGINT)",
        "DROP TABLE visits",
    ],
)
def test_one_statement_back(
    small: Vault, copies: tuple[str, str], tmp_path: Path, change: str
) -> None:
    (store, before), keys = copies, tmp_path / "keys"
    copy_files(small.keys, keys)
    with vault.client(store, keys) as client:
        client.execute(change)
    small.kind.put_back(before, store)
    with pytest.raises(TamperError), vault.client(store, keys) as client:
        vault.ask(client, "SELECT * FROM people")


def test_only_reading_is_enough_to_have_seen(
    small: Vault, copies: tuple[str, str], tmp_path: Path
) -> None:
    """The pin of a second user, who never wrote, refuses the older state too."""
    store, before = copies
    writer, reader = tmp_path / "writer", tmp_path / "reader"
    copy_files(small.keys, writer)
    copy_files(small.keys, reader)
    with vault.client(store, writer) as client:
        client.execute("DELETE FROM people WHERE id = 1")
    with vault.client(store, reader) as client:
        vault.ask(client, "SELECT count(*) FROM people")
    small.kind.put_back(before, store)
    with pytest.raises(TamperError), vault.client(store, reader) as client:
        vault.ask(client, "SELECT count(*) FROM people")


def test_within_one_connection(small: Vault, copies: tuple[str, str], tmp_path: Path) -> None:
    """A connection refuses a state older than what it has seen itself, pin or not."""
    (store, before), keys = copies, tmp_path / "keys"
    copy_files(small.keys, keys)
    with vault.client(store, keys, pin=False) as client:
        client.execute("DELETE FROM people WHERE id = 1")
        small.kind.overwrite(before, store)
        # A database that was put back has broken its connections.
        small.kind.disconnect(store)
        with pytest.raises(TamperError):
            vault.ask(client, "SELECT * FROM people")


def test_under_an_open_connection(small: Vault, copies: tuple[str, str], tmp_path: Path) -> None:
    """Whoever puts rows back without breaking the connection does not get the older state believed."""
    (store, before), keys = copies, tmp_path / "keys"
    copy_files(small.keys, keys)
    with vault.client(store, keys, pin=False) as client:
        client.execute("DELETE FROM people WHERE id = 1")
        client.execute("INSERT INTO people VALUES (777, 'New', '06001', 50, 'none')")
        newest = vault.ask(client, "SELECT id FROM people")
        small.kind.overwrite(before, store)
        for question in ("SELECT id FROM people", "SELECT id FROM people", "SELECT * FROM people"):
            try:
                found = [row[:1] for row in vault.ask(client, question)]
            except TamperError:
                continue
            assert sorted(found) == sorted(newest)
            with pytest.raises(EncdbError):
                client.execute("DELETE FROM people WHERE id = 2")


def test_a_lost_commit_is_missed_even_after_a_merge_by_someone_else(
    small: Vault, copies: tuple[str, str], tmp_path: Path
) -> None:
    """A fork: the store hides one client's commit from another, who then merges without it."""
    store, before = copies
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"
    copy_files(small.keys, mine)
    copy_files(small.keys, theirs)
    with vault.client(store, mine) as client:
        client.execute("INSERT INTO people VALUES (777, 'Mine', '06001', 50, 'none')")
    small.kind.put_back(before, store)
    with vault.client(store, theirs) as client:
        client.execute("INSERT INTO people VALUES (778, 'Theirs', '06001', 50, 'none')")
        client.execute("VACUUM people")
    with pytest.raises(TamperError), vault.client(store, mine) as client:
        vault.ask(client, "SELECT * FROM people")


def test_exit_status(small: Vault, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    copy_files(small.keys, keys)
    ended = vault.command(
        "shell",
        small.older[-1],
        "-c",
        "SELECT count(*) FROM people",
        keyring=vault.keyring_in(keys),
    )
    assert ended.status == 4
    assert ended.output == ""
    assert len(ended.errors.strip().splitlines()) == 1
