"""The keyring file: what it refuses, what it hides and that it never loses or replaces a key."""

from __future__ import annotations

import json
import os
import stat
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from encdb.errors import EncdbError, KeyringError
from indexes.keys import Key
from proxy import keyfile, keyring, locations
from proxy.keyfile import KdfParameters

DATABASE = bytes(range(16))
OTHER = bytes(range(1, 17))
GENESIS = bytes(range(32))
CHEAP = keyfile.WEAKEST


@pytest.fixture(autouse=True)
def _own_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the developer's own configuration folder or environment."""
    monkeypatch.delenv(locations.KEYRING_VARIABLE, raising=False)
    monkeypatch.delenv(locations.PASSPHRASE_VARIABLE, raising=False)
    monkeypatch.setattr(locations, "configuration_folder", lambda: tmp_path / "config" / "encdb")


@pytest.fixture
def root() -> Key:
    return Key.random()


def make(path: Path, root: Key, passphrase: str | None = None, database: bytes = DATABASE) -> Path:
    return keyring.create(database, GENESIS, root, passphrase, path, kdf=CHEAP)


def refused(code: str, call: Callable[[], object]) -> KeyringError:
    """The error of ``call``, which must be a keyring error of this code, exit status 3, with a fix."""
    with pytest.raises(KeyringError) as caught:
        call()
    assert caught.value.code == code
    assert caught.value.exit_status == 3
    assert caught.value.fix
    assert "\n" not in str(caught.value)
    return caught.value


def edit(path: Path, change: Callable[[dict[str, Any]], None], *, checksum: bool = True) -> None:
    """Change fields of a keyring file as an attacker would, with a fitting checksum."""
    fields = json.loads(path.read_text())
    change(fields)
    if checksum:
        fields["checksum"] = keyfile._checksum(fields)
    path.write_text(json.dumps(fields))


class TestClear:
    def test_round_trip(self, tmp_path: Path, root: Key) -> None:
        path = make(tmp_path / "k", root)
        opened = keyring.load(DATABASE, path)
        assert opened.root == root
        assert (opened.database_id, opened.genesis_hash) == (DATABASE, GENESIS)
        assert (opened.path, opened.protected, opened.notices) == (path, False, ())
        assert opened.minimum_format == 1
        assert not keyring.has_passphrase(path)

    def test_says_that_the_key_is_in_clear(self, tmp_path: Path, root: Key) -> None:
        text = make(tmp_path / "k", root).read_text()
        assert "IN CLEAR" in json.loads(text)["note"]
        assert root.expose().hex() in text

    def test_default_place_is_private(self, tmp_path: Path, root: Key) -> None:
        path = keyring.create(DATABASE, GENESIS, root)
        assert path == tmp_path / "config" / "encdb" / f"{DATABASE.hex()}.keyring"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert [entry.name for entry in path.parent.iterdir()] == [path.name]
        assert keyring.load(DATABASE).root == root

    def test_environment_names_the_file(
        self, tmp_path: Path, root: Key, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(locations.KEYRING_VARIABLE, str(tmp_path / "elsewhere"))
        assert keyring.create(DATABASE, GENESIS, root) == tmp_path / "elsewhere"
        assert keyring.load(DATABASE).root == root
        refused("E_KEYRING_MISSING", lambda: keyring.load(DATABASE, tmp_path / "given"))

    def test_a_passphrase_is_not_asked_for(self, tmp_path: Path, root: Key) -> None:
        path = make(tmp_path / "k", root)
        assert keyring.load(DATABASE, path, lambda: pytest.fail("asked")).root == root

    @pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
    def test_readable_by_others_is_refused(self, tmp_path: Path, root: Key, mode: int) -> None:
        path = make(tmp_path / "k", root)
        path.chmod(mode)
        refused("E_KEYRING_EXPOSED", lambda: keyring.load(DATABASE, path))

    def test_any_flipped_byte_is_noticed(self, tmp_path: Path, root: Key) -> None:
        path = make(tmp_path / "k", root)
        good = path.read_bytes()
        for position in range(len(good)):
            for flip in (0x01, 0x20, 0x80):
                bad = bytearray(good)
                bad[position] ^= flip
                path.write_bytes(bad)
                try:
                    opened = keyring.load(DATABASE, path)
                except KeyringError:
                    continue
                # Only the whitespace between the fields may change without a trace.
                assert good[position : position + 1].isspace()
                assert opened.root == root


class TestPassphrase:
    def test_round_trip(self, tmp_path: Path, root: Key) -> None:
        path = make(tmp_path / "k", root, "correct horse")
        assert keyring.has_passphrase(path)
        opened = keyring.load(DATABASE, path, "correct horse")
        assert opened.root == root
        assert opened.protected

    def test_default_costs(self, tmp_path: Path, root: Key) -> None:
        path = keyring.create(DATABASE, GENESIS, root, "secret", tmp_path / "k")
        assert keyring.inspect(path).kdf == KdfParameters(64 * 1024, 3, 4)
        assert keyring.load(DATABASE, path, "secret").root == root

    def test_neither_key_nor_passphrase_is_in_the_file(self, tmp_path: Path, root: Key) -> None:
        content = make(tmp_path / "k", root, "correct horse").read_bytes()
        for secret in (root.expose(), root.expose().hex().encode(), b"correct horse"):
            assert secret not in content

    def test_two_files_of_one_key_share_nothing_secret(self, tmp_path: Path, root: Key) -> None:
        one, two = (json.loads(make(tmp_path / n, root, "same").read_text()) for n in "ab")
        for name in ("root", "commitment", "kdf"):
            assert one[name] != two[name]

    def test_wrong(self, tmp_path: Path, root: Key) -> None:
        path = make(tmp_path / "k", root, "right")
        error = refused("E_PASSPHRASE_WRONG", lambda: keyring.load(DATABASE, path, "Right"))
        assert "Right" not in str(error)

    def test_missing(self, tmp_path: Path, root: Key) -> None:
        path = make(tmp_path / "k", root, "right")
        refused("E_PASSPHRASE_MISSING", lambda: keyring.load(DATABASE, path))

    def test_is_asked_for_once(self, tmp_path: Path, root: Key) -> None:
        path = make(tmp_path / "k", root, "right")
        asked: list[int] = []

        def ask() -> str:
            asked.append(1)
            return "right"

        assert keyring.load(DATABASE, path, ask).root == root
        assert asked == [1]

    def test_environment(self, tmp_path: Path, root: Key, monkeypatch: pytest.MonkeyPatch) -> None:
        path = make(tmp_path / "k", root, "right")
        monkeypatch.setenv(locations.PASSPHRASE_VARIABLE, "right")
        assert keyring.load(DATABASE, path).root == root
        assert keyring.load(DATABASE, path, lambda: pytest.fail("asked")).root == root
        refused("E_PASSPHRASE_WRONG", lambda: keyring.load(DATABASE, path, "given wins"))

    def test_composed_and_decomposed_letters_are_one_passphrase(
        self, tmp_path: Path, root: Key
    ) -> None:
        path = make(tmp_path / "k", root, "caf\u00e9")
        assert keyring.load(DATABASE, path, "cafe\u0301").root == root

    @pytest.mark.parametrize("passphrase", ["", "\udc80"])
    def test_unusable(self, tmp_path: Path, root: Key, passphrase: str) -> None:
        refused("E_PASSPHRASE_MISSING", lambda: make(tmp_path / "k", root, passphrase))
        assert not (tmp_path / "k").exists()
        path = make(tmp_path / "k", root, "right")
        refused("E_PASSPHRASE_MISSING", lambda: keyring.load(DATABASE, path, passphrase))

    def test_readable_by_others_is_a_notice(self, tmp_path: Path, root: Key) -> None:
        path = make(tmp_path / "k", root, "right")
        path.chmod(0o644)
        (notice,) = keyring.load(DATABASE, path, "right").notices
        assert "chmod 600" in notice

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("database", OTHER.hex()),
            ("genesis", bytes(32).hex()),
            ("minimum_format", 0),
        ],
    )
    def test_every_field_is_authenticated(
        self, tmp_path: Path, root: Key, field: str, value: object
    ) -> None:
        path = make(tmp_path / "k", root, "right")
        edit(path, lambda fields: fields.update({field: value}))
        refused("E_KEYRING_DAMAGED", lambda: keyring.load(None, path, "right"))

    @pytest.mark.parametrize("name", ["memory_kib", "iterations", "lanes"])
    @pytest.mark.parametrize("value", [0, 2**31, 2**40, True, "3", -1])
    def test_costs_out_of_bounds_are_not_tried(
        self, tmp_path: Path, root: Key, name: str, value: object, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = make(tmp_path / "k", root, "right")
        edit(path, lambda fields: fields["kdf"].update({name: value}))
        monkeypatch.setattr(keyfile, "Argon2id", lambda **_: pytest.fail("tried"))
        refused("E_KEYRING_DAMAGED", lambda: keyring.load(DATABASE, path, "right"))

    @pytest.mark.parametrize("kdf", [None, [], "argon2id", {}, {"name": "argon2id"}])
    def test_costs_that_are_none(self, tmp_path: Path, root: Key, kdf: object) -> None:
        path = make(tmp_path / "k", root, "right")
        edit(path, lambda fields: fields.update(kdf=kdf))
        refused("E_KEYRING_DAMAGED", lambda: keyring.load(DATABASE, path, "right"))

    def test_costs_within_bounds_are_authenticated(self, tmp_path: Path, root: Key) -> None:
        path = make(tmp_path / "k", root, "right")
        edit(path, lambda fields: fields["kdf"].update(iterations=3))
        refused("E_PASSPHRASE_WRONG", lambda: keyring.load(DATABASE, path, "right"))

    def test_commitment_comes_before_the_cipher(
        self, tmp_path: Path, root: Key, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = make(tmp_path / "k", root, "right")
        monkeypatch.setattr(keyfile, "AESGCMSIV", lambda _: pytest.fail("the cipher was tried"))
        refused("E_PASSPHRASE_WRONG", lambda: keyring.load(DATABASE, path, "wrong"))

    def test_a_root_wrapped_without_its_commitment_is_refused(
        self, tmp_path: Path, root: Key
    ) -> None:
        path = make(tmp_path / "k", root, "right")
        edit(path, lambda fields: fields.update(commitment=bytes(32).hex()))
        refused("E_PASSPHRASE_WRONG", lambda: keyring.load(DATABASE, path, "right"))

    def test_another_keyrings_root_is_refused(self, tmp_path: Path, root: Key) -> None:
        path = make(tmp_path / "k", root, "right")
        donor = json.loads(make(tmp_path / "d", Key.random(), "right").read_text())
        edit(path, lambda fields: fields.update(root=donor["root"]))
        refused("E_KEYRING_DAMAGED", lambda: keyring.load(DATABASE, path, "right"))

    def test_downgrade_to_clear_is_refused(self, tmp_path: Path, root: Key) -> None:
        path = make(tmp_path / "k", root, "right")
        edit(path, lambda fields: fields.update(protection="none"))
        refused("E_KEYRING_DAMAGED", lambda: keyring.load(DATABASE, path, "right"))


class TestBadFiles:
    def test_missing_says_where_it_looked(self, tmp_path: Path) -> None:
        error = refused("E_KEYRING_MISSING", lambda: keyring.load(DATABASE))
        assert str(tmp_path / "config" / "encdb" / f"{DATABASE.hex()}.keyring") in str(error)
        refused("E_KEYRING_MISSING", lambda: keyring.has_passphrase(tmp_path / "none"))
        refused("E_KEYRING_MISSING", lambda: keyring.load(DATABASE, tmp_path / "a" / "b"))

    def test_another_databases(self, tmp_path: Path, root: Key) -> None:
        path = make(tmp_path / "k", root, database=OTHER)
        error = refused("E_KEYRING_OTHER_DATABASE", lambda: keyring.load(DATABASE, path))
        assert OTHER.hex() in str(error)
        assert DATABASE.hex() in str(error)

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"{",
            b"null",
            b"[]",
            b"{}",
            b"\xff\xfe",
            b"[" * 60_000,
            b'{"encdb": "keyring"}',
            b'{"encdb": "keyring", "version": 1}',
            b'{"encdb": "keyring", "version": true, "protection": "none"}',
            b'{"encdb": "keyring", "version": 1, "protection": []}',
            b'{"encdb": "keyring", "version": 1, "protection": "none", "protection": "none"}',
            b" " * 70_000,
        ],
    )
    def test_not_a_keyring(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "k"
        path.write_bytes(content)
        path.chmod(0o600)
        refused("E_KEYRING_DAMAGED", lambda: keyring.load(DATABASE, path))

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
    @given(content=st.binary(max_size=400))
    def test_arbitrary_bytes(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "k"
        path.write_bytes(content)
        refused("E_KEYRING_DAMAGED", lambda: keyring.load(DATABASE, path))

    def test_truncated(self, tmp_path: Path, root: Key) -> None:
        path = make(tmp_path / "k", root)
        good = path.read_bytes()
        for size in range(0, len(good) - 2, 7):
            path.write_bytes(good[:size])
            refused("E_KEYRING_DAMAGED", lambda: keyring.load(DATABASE, path))

    @pytest.mark.parametrize("name", ["root", "genesis", "database", "checksum", "note"])
    def test_missing_or_mistyped_field(self, tmp_path: Path, root: Key, name: str) -> None:
        values: list[object] = [None, 1, [], {}, "", "zz", "AB" * 32]
        for number, value in enumerate(values):
            path = make(tmp_path / f"k{number}", root)
            edit(path, partial(dict.update, **{name: value}), checksum=False)
            refused("E_KEYRING_DAMAGED", partial(keyring.load, DATABASE, path))
        path = make(tmp_path / "k", root)
        edit(path, lambda fields: fields.pop(name), checksum=False)
        refused("E_KEYRING_DAMAGED", lambda: keyring.load(DATABASE, path))

    def test_newer_format(self, tmp_path: Path, root: Key) -> None:
        path = make(tmp_path / "k", root)
        edit(path, lambda fields: fields.update(version=2, unheard_of=1))
        refused("E_KEYRING_NEWER", lambda: keyring.load(DATABASE, path))

    def test_symbolic_link(self, tmp_path: Path, root: Key) -> None:
        link = tmp_path / "link"
        link.symlink_to(make(tmp_path / "k", root))
        refused("E_KEYRING_EXPOSED", lambda: keyring.load(DATABASE, link))

    def test_folder_and_pipe(self, tmp_path: Path) -> None:
        refused("E_KEYRING_DAMAGED", lambda: keyring.load(DATABASE, tmp_path))
        os.mkfifo(tmp_path / "pipe")
        refused("E_KEYRING_DAMAGED", lambda: keyring.load(DATABASE, tmp_path / "pipe"))


class TestCreation:
    def test_never_overwrites(self, tmp_path: Path, root: Key) -> None:
        path = make(tmp_path / "k", root)
        before = path.read_bytes()
        refused("E_KEYRING_EXISTS", lambda: make(path, Key.random()))
        assert path.read_bytes() == before
        assert [entry.name for entry in tmp_path.iterdir()] == ["k"]

    def test_does_not_follow_a_link(self, tmp_path: Path, root: Key) -> None:
        (tmp_path / "link").symlink_to(tmp_path / "target")
        refused("E_KEYRING_EXISTS", lambda: make(tmp_path / "link", root))
        assert not (tmp_path / "target").exists()

    def test_one_of_many_threads_wins(self, tmp_path: Path) -> None:
        roots = [Key.random() for _ in range(8)]
        winners: list[Key] = []

        def race(root: Key) -> None:
            try:
                make(tmp_path / "k", root)
            except EncdbError:
                return
            winners.append(root)

        threads = [threading.Thread(target=race, args=(root,)) for root in roots]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(winners) == 1
        assert keyring.load(DATABASE, tmp_path / "k").root == winners[0]

    def test_a_loose_umask_does_not_matter(self, tmp_path: Path, root: Key) -> None:
        before = os.umask(0)
        try:
            path = make(tmp_path / "new" / "folder" / "k", root)
        finally:
            os.umask(before)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700

    def test_a_folder_that_others_may_write_is_refused(self, tmp_path: Path, root: Key) -> None:
        folder = tmp_path / "open"
        folder.mkdir()
        folder.chmod(0o777)
        refused("E_KEYRING_EXPOSED", lambda: make(folder / "k", root))

    def test_a_file_where_a_folder_should_be(self, tmp_path: Path, root: Key) -> None:
        (tmp_path / "file").touch()
        refused("E_KEYRING_FILE", lambda: make(tmp_path / "file" / "k", root))

    def test_a_failed_write_leaves_nothing(
        self, tmp_path: Path, root: Key, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(_: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        error = refused("E_KEYRING_FILE", lambda: make(tmp_path / "k", root))
        assert "No space left" in str(error)
        assert list(tmp_path.iterdir()) == []

    def test_wrong_sizes_are_a_programming_error(self, tmp_path: Path, root: Key) -> None:
        with pytest.raises(ValueError, match="16 bytes"):
            keyring.create(b"short", GENESIS, root, None, tmp_path / "k")
        with pytest.raises(ValueError, match="bounds"):
            keyring.create(DATABASE, GENESIS, root, "p", tmp_path / "k", kdf=KdfParameters(8, 1, 1))


class TestExportImport:
    def test_clear(self, tmp_path: Path, root: Key) -> None:
        source = make(tmp_path / "k", root)
        copy = keyring.export_keyring(source, tmp_path / "copy")
        assert copy.read_bytes() == source.read_bytes()
        assert stat.S_IMODE(copy.stat().st_mode) == 0o600
        assert keyring.import_keyring(copy) == locations.default_keyring_path(DATABASE)
        assert keyring.load(DATABASE).root == root

    def test_same_passphrase_is_not_needed(self, tmp_path: Path, root: Key) -> None:
        source = make(tmp_path / "k", root, "right")
        copy = keyring.export_keyring(source, tmp_path / "copy")
        assert keyring.load(DATABASE, copy, "right").root == root

    @pytest.mark.parametrize("old", [None, "old"])
    def test_new_passphrase(self, tmp_path: Path, root: Key, old: str | None) -> None:
        source = make(tmp_path / "k", root, old)
        copy = keyring.export_keyring(
            source, tmp_path / "copy", passphrase=old, new_passphrase="new"
        )
        assert keyring.load(DATABASE, copy, "new").root == root
        refused("E_PASSPHRASE_WRONG", lambda: keyring.load(DATABASE, copy, "old"))
        assert keyring.load(DATABASE, source, old).root == root

    def test_new_passphrase_needs_the_old(self, tmp_path: Path, root: Key) -> None:
        source, target = make(tmp_path / "k", root, "old"), tmp_path / "copy"
        refused(
            "E_PASSPHRASE_WRONG",
            lambda: keyring.export_keyring(
                source, target, passphrase="wrong", new_passphrase="new"
            ),
        )
        assert not target.exists()

    def test_export_never_overwrites(self, tmp_path: Path, root: Key) -> None:
        source, target = make(tmp_path / "k", root), tmp_path / "copy"
        target.write_text("precious")
        refused("E_KEYRING_EXISTS", lambda: keyring.export_keyring(source, target))
        assert target.read_text() == "precious"

    def test_import_twice_is_harmless_but_a_different_one_is_not(
        self, tmp_path: Path, root: Key
    ) -> None:
        source = make(tmp_path / "k", root)
        assert keyring.import_keyring(source) == keyring.import_keyring(source)
        other = make(tmp_path / "other", Key.random())
        refused("E_KEYRING_EXISTS", lambda: keyring.import_keyring(other))
        assert keyring.load(DATABASE).root == root

    def test_import_checks(self, tmp_path: Path, root: Key) -> None:
        source = make(tmp_path / "k", root, "right")
        refused(
            "E_KEYRING_OTHER_DATABASE",
            lambda: keyring.import_keyring(source, database_id=OTHER),
        )
        refused("E_PASSPHRASE_WRONG", lambda: keyring.import_keyring(source, passphrase="wrong"))
        edit(source, lambda fields: fields.update(root="00"), checksum=False)
        refused("E_KEYRING_DAMAGED", lambda: keyring.import_keyring(source))
        refused("E_KEYRING_MISSING", lambda: keyring.import_keyring(tmp_path / "none"))
        assert not locations.default_keyring_path(DATABASE).exists()

    def test_import_to_a_given_place(self, tmp_path: Path, root: Key) -> None:
        source = make(tmp_path / "k", root, "right")
        source.chmod(0o644)
        placed = keyring.import_keyring(
            source, tmp_path / "there", database_id=DATABASE, passphrase="right"
        )
        assert keyring.load(DATABASE, placed, "right").notices == ()


def test_nothing_secret_is_printed(tmp_path: Path, root: Key) -> None:
    path = make(tmp_path / "k", root)
    content = path.read_bytes()
    shown = repr(keyring.load(DATABASE, path)) + repr(keyfile.parse(path, content))
    assert root.expose().hex() not in shown
    assert repr(root.expose()) not in shown
