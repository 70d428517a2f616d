"""Opening touches nothing that is not a store, and says what is wrong in one line."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from encdb import wire
from encdb.errors import EncdbError, FormatError, StoreUnavailable, TamperError, UsageError
from encdb.stores import Store, create_store, open_store, sqlite_path
from encdb.stores.sqlite import connection, creation
from tests.fixtures.commits import change, commit, delta, heads, rows, with_table


def snapshot_of(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in sorted(folder.iterdir())
    }


def code_of(kind: type[EncdbError], url: str) -> str | None:
    with pytest.raises(kind) as caught:
        open_store(url)
    assert "\n" not in str(caught.value)
    assert caught.value.fix
    return caught.value.code


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("vault.db", "vault.db"),
        ("/srv/my vault.db", "/srv/my vault.db"),
        ("sqlite:///vault.db", "vault.db"),
        ("sqlite:////srv/vault.db", "/srv/vault.db"),
        ("SQLITE:///a%20b.db", "a b.db"),
        ("a%20b.db", "a%20b.db"),
    ],
)
def test_urls_name_files(url: str, path: str):
    assert sqlite_path(url) == path


@pytest.mark.parametrize(
    "url", ["", "sqlite://", "sqlite:///", "sqlite://host/x.db", "mysql://h/d", "a\0b"]
)
def test_other_urls_are_refused(url: str):
    with pytest.raises(UsageError) as caught:
        sqlite_path(url)
    assert (caught.value.code, caught.value.exit_status) == ("E_STORE_KIND", 2)


def test_a_missing_file_is_not_created(tmp_path: Path):
    assert code_of(StoreUnavailable, str(tmp_path / "none.db")) == "E_STORE_MISSING"
    assert list(tmp_path.iterdir()) == []


def test_folders_and_other_files_are_left_alone(tmp_path: Path):
    (tmp_path / "folder").mkdir()
    assert code_of(StoreUnavailable, str(tmp_path / "folder")) == "E_NOT_A_STORE"
    contents = {"empty.db": b"", "short.db": b"SQLite format 3\0", "text.csv": b"id,name\n" * 99}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "folder").rmdir()
    before = snapshot_of(tmp_path)
    for name in contents:
        assert code_of(StoreUnavailable, str(tmp_path / name)) == "E_NOT_A_DATABASE"
    assert snapshot_of(tmp_path) == before


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_another_programs_database_is_not_touched(tmp_path: Path, mode: str):
    path = tmp_path / "theirs.db"
    theirs = sqlite3.connect(path, isolation_level=None)
    theirs.execute(f"PRAGMA journal_mode = {mode}")
    theirs.execute("CREATE TABLE t (x)")
    theirs.execute("INSERT INTO t VALUES (1)")
    before = snapshot_of(tmp_path)
    assert code_of(StoreUnavailable, str(path)) == "E_NOT_A_STORE"
    assert snapshot_of(tmp_path) == before
    theirs.close()


def test_a_hot_journal_of_another_program_is_not_rolled_back(tmp_path: Path):
    path = tmp_path / "theirs.db"
    theirs = sqlite3.connect(path)
    theirs.execute("CREATE TABLE t (x)")
    theirs.close()
    (tmp_path / "theirs.db-journal").write_bytes(b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7" + bytes(504))
    before = snapshot_of(tmp_path)
    assert code_of(StoreUnavailable, str(path)) == "E_NOT_A_STORE"
    assert snapshot_of(tmp_path) == before


def test_creating_never_overwrites(tmp_path: Path, genesis: wire.Genesis):
    for name, content in {"full.db": b"something", "empty.db": b""}.items():
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(StoreUnavailable) as caught:
            create_store(str(path), genesis)
        assert caught.value.code == "E_STORE_EXISTS"
        assert path.read_bytes() == content
    dangling = tmp_path / "dangling.db"
    dangling.symlink_to(tmp_path / "elsewhere.db")
    with pytest.raises(StoreUnavailable) as caught:
        create_store(str(dangling), genesis)
    assert caught.value.code == "E_STORE_EXISTS"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "dangling.db",
        "empty.db",
        "full.db",
    ]


def test_a_name_taken_while_creating_is_respected(
    store_path: Path, genesis: wire.Genesis, monkeypatch: pytest.MonkeyPatch
):
    fill = creation._fill

    def slow(scratch: Path, first: wire.Genesis) -> None:
        fill(scratch, first)
        store_path.write_bytes(b"mine")

    monkeypatch.setattr(creation, "_fill", slow)
    for hard_links in (True, False):
        store_path.unlink(missing_ok=True)
        if not hard_links:
            monkeypatch.setattr(creation.os, "link", _no_links)
        with pytest.raises(StoreUnavailable) as caught:
            create_store(str(store_path), genesis)
        assert caught.value.code == "E_STORE_EXISTS"
        assert [path.name for path in store_path.parent.iterdir()] == [store_path.name]
        assert store_path.read_bytes() == b"mine"


def _no_links(*_arguments: object) -> None:
    raise PermissionError


def test_creating_works_without_hard_links(
    store_path: Path, genesis: wire.Genesis, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(creation.os, "link", _no_links)
    create_store(str(store_path), genesis).close()
    open_store(str(store_path)).close()
    assert [path.name for path in store_path.parent.iterdir()] == [store_path.name]


def test_a_failed_creation_leaves_nothing(
    store_path: Path, genesis: wire.Genesis, monkeypatch: pytest.MonkeyPatch
):
    def full(_scratch: Path, _genesis: wire.Genesis) -> None:
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise error

    monkeypatch.setattr(creation, "_fill", full)
    with pytest.raises(StoreUnavailable) as caught:
        create_store(str(store_path), genesis)
    assert caught.value.code == "E_DISK_FULL"
    assert list(store_path.parent.iterdir()) == []


def test_a_folder_that_does_not_exist(tmp_path: Path, genesis: wire.Genesis):
    with pytest.raises(StoreUnavailable) as caught:
        create_store(str(tmp_path / "none" / "vault.db"), genesis)
    assert caught.value.code == "E_STORE_IO"


@pytest.mark.parametrize(("number", "code"), [(3, "E_FORMAT_NEWER"), (1, "E_FORMAT_OLDER")])
def test_other_formats_are_refused(
    store_path: Path,
    genesis: wire.Genesis,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    code: str,
):
    monkeypatch.setattr(wire, "FORMAT_VERSION", 2)
    creation.create_file(str(store_path), dataclasses.replace(genesis, format=number))
    before = snapshot_of(store_path.parent)
    assert code_of(FormatError, str(store_path)) == code
    assert snapshot_of(store_path.parent) == before


def test_a_header_that_hides_another_format_is_tampering(store_path: Path, genesis: wire.Genesis):
    creation.create_file(str(store_path), dataclasses.replace(genesis, format=1))
    foreign = sqlite3.connect(store_path)
    foreign.execute(f"PRAGMA user_version = {wire.FORMAT_VERSION}")
    foreign.close()
    assert code_of(TamperError, str(store_path)) == "E_STORE_DAMAGED"


@pytest.mark.parametrize(
    "addition",
    [
        "CREATE TRIGGER t AFTER INSERT ON leases BEGIN DELETE FROM leases; END",
        "CREATE VIEW v AS SELECT 1",
    ],
)
def test_a_file_with_code_in_it_is_refused(store: Store, store_path: Path, addition: str):
    store.close()
    foreign = sqlite3.connect(store_path)
    foreign.execute(addition)
    foreign.close()
    assert code_of(TamperError, str(store_path)) == "E_STORE_DAMAGED"


def test_settings_of_an_open_store(store: Store, store_path: Path):
    opened = connection.connect(str(store_path))
    values = {
        name: opened.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("journal_mode", "synchronous", "secure_delete", "page_size", "trusted_schema")
    }
    opened.close()
    assert values == {
        "journal_mode": "wal",
        "synchronous": 2,
        "secure_delete": 1,
        "page_size": 4096,
        "trusted_schema": 0,
    }


def test_describe(store: Store, store_path: Path):
    about = store.describe()
    assert about.url == f"sqlite:///{store_path}"
    assert about.kind.startswith("SQLite 3.")
    assert about.bytes >= store_path.stat().st_size
    assert about.writable


def test_closing_leaves_one_file(store: Store, store_path: Path):
    with_table(store)
    store.commit(commit(change(rows_added=((1, b"row"),), delta=delta(1))))
    store.close()
    assert [path.name for path in store_path.parent.iterdir()] == [store_path.name]


def test_deleted_ciphertext_is_overwritten(store: Store, store_path: Path):
    with_table(store)
    deleted = hashlib.shake_128(b"deleted").digest(300)
    kept = hashlib.shake_128(b"kept").digest(300)
    store.commit(commit(change(rows_added=((1, deleted), (2, kept)), delta=delta(1))))
    store.commit(commit(change(rows_removed=(1,), delta=delta(2))))
    store.close()
    content = store_path.read_bytes()
    assert deleted not in content
    assert kept in content


def test_a_store_replaced_while_open_is_not_written(
    store: Store, store_path: Path, genesis: wire.Genesis
):
    store_path.rename(store_path.with_name("moved.db"))
    create_store(str(store_path), genesis).close()
    with pytest.raises(StoreUnavailable) as caught:
        store.lease(wire.Lease(1, "ordinal", 1))
    assert caught.value.code == "E_STORE_IO"


def test_bytes_that_were_overwritten_in_the_file_are_tampering(store: Store, store_path: Path):
    with_table(store)
    store.close()
    content = bytearray(store_path.read_bytes())
    for place in range(4096, len(content), 4096):
        content[place : place + 64] = b"\xff" * 64
    store_path.write_bytes(content)
    assert code_of(TamperError, str(store_path)) == "E_STORE_DAMAGED"


@pytest.fixture
def shared(genesis: wire.Genesis) -> Iterator[Path]:
    """A folder that everybody reaches, with a store of one row."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = with_table(create_store(str(folder / "vault.db"), genesis))
        store.commit(commit(change(rows_added=((1, b"row"),), delta=delta(1))))
        store.close()
        yield folder
        folder.chmod(0o700)


@contextmanager
def as_nobody() -> Iterator[None]:
    """Act as a user whom permissions bind, also where the tests run as root."""
    if not hasattr(os, "seteuid"):
        pytest.skip("this platform has no POSIX permissions")
    privileged = os.geteuid() == 0
    if privileged:
        os.seteuid(65534)
    try:
        yield
    finally:
        if privileged:
            os.seteuid(0)


def attempt(path: str) -> Iterator[object]:
    """What reading and then writing a store comes to."""
    try:
        store = open_store(path)
        try:
            yield sorted(rows(store)), store.describe().writable
            store.commit(commit(change(rows_added=((2, b"row"),), delta=delta(2))))
            yield "written"
        finally:
            store.close()
    except EncdbError as error:
        yield error.code


@pytest.mark.parametrize(
    ("folder_mode", "file_mode", "expected"),
    [
        # Read-only media: SQLite cannot make its files, and encdb reads without them.
        (0o555, 0o444, [([1], False), "E_STORE_READ_ONLY"]),
        # Only the file is protected.
        (0o777, 0o444, [([1], True), "E_STORE_READ_ONLY"]),
        (0o777, 0o000, ["E_STORE_IO"]),
        (0o777, 0o666, [([1], True), "written"]),
    ],
)
def test_permissions(shared: Path, folder_mode: int, file_mode: int, expected: list[object]):
    (shared / "vault.db").chmod(file_mode)
    shared.chmod(folder_mode)
    with as_nobody():
        found = list(attempt(str(shared / "vault.db")))
    assert found == expected


def test_creating_in_a_read_only_folder(shared: Path, genesis: wire.Genesis):
    shared.chmod(0o555)
    with as_nobody(), pytest.raises(StoreUnavailable) as caught:
        create_store(str(shared / "new.db"), genesis)
    assert caught.value.code == "E_STORE_READ_ONLY"


def test_a_read_only_store_that_changes_is_not_read_further(
    store: Store, store_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with_table(store)
    store.close()
    monkeypatch.setattr("encdb.stores.sqlite.store.needs_immutable", lambda _path: True)
    reading = open_store(str(store_path))
    assert heads(reading).catalog_version == 1
    monkeypatch.undo()
    other = open_store(str(store_path))
    other.commit(commit(change(rows_added=((1, b"row"),), delta=delta(1))))
    other.close()
    with pytest.raises(StoreUnavailable) as caught:
        rows(reading)
    assert caught.value.code == "E_STORE_LOCKED"
    reading.close()
