"""Walking paths that may hold traps."""

import os
import socket

import pytest

from encdb.errors import OperationalError
from proxy.search.files import Found, Skipped, shown, walk
from proxy.search.limits import Limits


def seen(paths, limits=None):
    result = {}
    for entry in walk(paths, limits or Limits()):
        if isinstance(entry, Found):
            with entry.file:
                result[entry.path] = entry.file.read()
        else:
            result[entry.path] = entry.reason
    return result


def test_folders_are_walked_in_order(tmp_path):
    for name in ("b", "a/z", "a/Y", ".hidden/x", "a.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    found = seen([tmp_path])
    names = [".hidden/x", "a/Y", "a/z", "a.txt", "b"]
    assert list(found) == [f"{tmp_path}/{name}" for name in names]
    assert list(found.values()) == [name.encode() for name in names]


def test_traps_inside_folders_are_skipped(tmp_path):
    outside = tmp_path / "secret"
    outside.write_text("secret")
    folder = tmp_path / "mail"
    folder.mkdir()
    (folder / "link").symlink_to(outside)
    (folder / "up").symlink_to(tmp_path, target_is_directory=True)
    (folder / "broken").symlink_to("nowhere")
    os.mkfifo(folder / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(folder / "sock"))
        found = seen([folder])
    reasons = {path.rpartition("/")[2]: reason for path, reason in found.items()}
    assert reasons == {
        "link": "symbolic link",
        "up": "symbolic link",
        "broken": "symbolic link",
        "pipe": "named pipe",
        "sock": "socket",
    }


def test_a_link_that_the_user_named_is_followed(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real/a").write_text("x")
    (tmp_path / "link").symlink_to("real")
    assert list(seen([tmp_path / "link"])) == [f"{tmp_path}/link/a"]
    assert seen(["/dev/null"]) == {"/dev/null": "device"}


def test_a_file_swapped_for_a_link_is_not_followed(tmp_path, monkeypatch):
    """Between looking and opening, somebody may replace the file."""
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a").write_text("x")
    real_open = os.open

    def swap_then_open(name, flags, dir_fd=None):
        if name == "a":
            (tmp_path / "in/a").unlink()
            (tmp_path / "in/a").symlink_to("../secret")
        return real_open(name, flags, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", swap_then_open)
    found = seen([tmp_path / "in"])
    assert isinstance(found[f"{tmp_path}/in/a"], str)


def test_a_missing_path_is_an_error_before_anything_is_read(tmp_path):
    (tmp_path / "a").write_text("x")
    with pytest.raises(OperationalError, match="gone") as caught:
        next(iter(walk([tmp_path / "a", tmp_path / "gone"])))
    assert caught.value.code == "E_INPUT_FILE"


def test_deep_folders_are_skipped(tmp_path):
    deep = tmp_path
    for _ in range(6):
        deep /= "d"
        deep.mkdir()
    (deep / "x").write_text("x")
    found = seen([tmp_path], Limits(folder_depth=3))
    assert list(found.values()) == ["folders nest deeper than 3 levels"]
    assert list(seen([tmp_path]).values()) == [b"x"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_files_are_skipped(tmp_path):
    (tmp_path / "a").write_text("x")
    (tmp_path / "a").chmod(0)
    assert seen([tmp_path]) == {f"{tmp_path}/a": "permission denied"}


def test_paths_are_shown_as_valid_text(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / os.fsdecode(b"caf\xe9")).write_bytes(b"x")
    assert list(seen(["."])) == ["caf\ufffd"]
    assert [shown(path) for path in ("./a/b", "a/", "/", ".", "..", "./", ".//a")] == [
        "a/b", "a", "/", ".", "..", ".", "a",
    ]  # fmt: skip


def test_skipped_is_a_value():
    assert Skipped("a", "b") == Skipped("a", "b")
