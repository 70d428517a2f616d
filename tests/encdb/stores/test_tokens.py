"""Access tokens: the file, its permissions, and the commands that change it."""

from __future__ import annotations

import json
import os
import stat
import threading
from datetime import UTC, datetime, timedelta

import pytest

from encdb.__main__ import main
from encdb.errors import OperationalError, UsageError
from encdb.stores.server.tokens import (
    TokenBook,
    add_token,
    digest_of,
    read_tokens,
    revoke_token,
)

SOON = timedelta(hours=1)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "tokens"


def fails(code, run, *arguments, **named):
    with pytest.raises((OperationalError, UsageError)) as caught:
        run(*arguments, **named)
    assert caught.value.code == code
    assert caught.value.fix
    return caught.value


def test_a_token_is_known_by_its_hash_alone(path):
    text = add_token(path, "alice")
    assert text.startswith("encdb_")
    assert len(text) == len("encdb_") + 43  # 32 bytes in base64
    data = path.read_text()
    assert text not in data
    assert digest_of(text) in data
    (token,) = read_tokens(path)
    assert (token.name, token.rights, token.stores, token.state) == (
        "alice",
        "write",
        None,
        "valid",
    )
    assert TokenBook(path).find(text.encode()) == token


def test_tokens_differ(path):
    assert len({add_token(path, f"t{n}") for n in range(20)}) == 20


@pytest.mark.parametrize("presented", [b"", b"encdb_", b"x" * 49, b"\xff\xfe", b"0" * 100_000])
def test_what_is_no_token_is_not_found(path, presented):
    text = add_token(path, "alice")
    book = TokenBook(path)
    assert book.find(presented) is None
    assert book.find(text.encode()[:-1]) is None
    assert book.find(digest_of(text).encode()) is None
    assert book.find(text.encode() + b" ") is None


def test_the_file_is_private_whatever_the_umask(path):
    before = os.umask(0)
    try:
        add_token(path, "alice")
        revoke_token(path, "alice")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [one.name for one in path.parent.iterdir()] == ["tokens"]


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_can_write_is_refused(path, mode):
    add_token(path, "alice")
    path.chmod(mode)
    for run in (lambda: read_tokens(path), lambda: TokenBook(path), lambda: add_token(path, "b")):
        fails("E_TOKEN_FILE", run)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "{}",
        "[]",
        "null",
        "nonsense",
        '{"name": "a"}',
        '{"name":"a","rights":"all","stores":null,"created":"x","expires":null,"revoked":null,"sha256":"%s"}',
        '{"name":"a b","rights":"read","stores":null,"created":"x","expires":null,"revoked":null,"sha256":"%s"}',
        '{"name":"a","rights":"read","stores":[1],"created":"x","expires":null,"revoked":null,"sha256":"%s"}',
        '{"name":"a","rights":"read","stores":null,"created":"x","expires":"2030-01-01","revoked":null,"sha256":"%s"}',
        '{"name":"a","rights":"read","stores":null,"created":"x","expires":null,"revoked":false,"sha256":"%s"}',
        '{"name":"a","rights":"read","stores":null,"created":"x","expires":null,"revoked":null,"sha256":"00"}',
        '{"name":"a","rights":"read","stores":null,"created":"x","expires":null,"revoked":null,"sha256":"%s","more":1}',
    ],
)
def test_a_damaged_line_closes_the_whole_file(path, line):
    """A line that is misread could be the one that revokes a token."""
    add_token(path, "alice")
    text = line.replace("%s", "0" * 64)
    path.write_text(path.read_text() + text + "\n")
    error = fails("E_TOKEN_FILE", read_tokens, path)
    assert "line 2" in error.message


def test_no_file_and_other_things_at_its_place(path, tmp_path):
    fails("E_TOKEN_FILE", read_tokens, path)
    fails("E_TOKEN_FILE", revoke_token, path, "alice")
    fails("E_TOKEN_FILE", read_tokens, tmp_path)
    fails("E_TOKEN_FILE", add_token, tmp_path / "no" / "tokens", "alice")
    path.write_bytes(b"\xff\xfe\n")
    fails("E_TOKEN_FILE", read_tokens, path)


def test_names_are_unique_and_plain(path):
    add_token(path, "alice")
    fails("E_TOKEN_NAME", add_token, path, "alice")
    fails("E_TOKEN_NAME", revoke_token, path, "bob")
    for name in ("", "a b", "a\nb", "x" * 65, "ä", "../x"):
        fails("E_USAGE", add_token, path, name)


def test_a_revoked_name_stays_taken(path):
    add_token(path, "alice")
    revoke_token(path, "alice")
    fails("E_TOKEN_NAME", add_token, path, "alice")
    first = read_tokens(path)
    revoke_token(path, "alice")
    assert read_tokens(path) == first


def test_expiry_and_revocation(path):
    now = datetime.now(UTC)
    ended = add_token(path, "ended", expires=now - SOON)
    lasting = add_token(path, "lasting", expires=now + SOON)
    book = TokenBook(path)
    assert book.find(ended.encode()) is None
    assert book.find(lasting.encode()).name == "lasting"
    assert [one.state for one in read_tokens(path)] == ["expired", "valid"]
    assert not book.refresh()
    revoke_token(path, "lasting")
    assert book.refresh()
    assert book.find(lasting.encode()) is None
    assert not book.still_admits("lasting")
    assert not book.still_admits("nobody")


def test_a_book_whose_file_went_bad_admits_nobody_until_it_is_good(path):
    text = add_token(path, "alice")
    book = TokenBook(path)
    path.chmod(0o666)
    fails("E_TOKEN_FILE", book.refresh)
    fails("E_TOKEN_FILE", book.refresh)
    path.chmod(0o600)
    assert book.refresh()
    assert book.find(text.encode())
    path.unlink()
    fails("E_TOKEN_FILE", book.refresh)


def test_commands_that_run_at_once_lose_nothing(path):
    threads = [threading.Thread(target=add_token, args=(path, f"t{n}")) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {one.name for one in read_tokens(path)} == {f"t{n}" for n in range(16)}


# --- The commands ----------------------------------------------------------------------------------


def test_the_commands(path, capsys):
    assert main(["token", "add", str(path), "alice"]) == 0
    text = capsys.readouterr().out
    assert text.endswith("\n")
    assert TokenBook(path).find(text.strip().encode()).rights == "write"
    options = ["--read-only", "--store", "b", "--store", "a", "--expires", "2999-12-31"]
    assert main(["token", "add", str(path), "bob", *options]) == 0
    assert main(["token", "add", str(path), "scraper", "--metrics"]) == 0
    assert main(["token", "revoke", str(path), "bob"]) == 0
    capsys.readouterr()
    assert main(["token", "list", str(path), "--json"]) == 0
    listed = capsys.readouterr().out
    found = {one["name"]: one for one in json.loads(listed)}
    assert found["bob"]["stores"] == ["a", "b"]
    assert found["bob"]["expires"] == "2999-12-31T00:00:00+00:00"
    assert (found["bob"]["rights"], found["bob"]["state"]) == ("read", "revoked")
    assert found["scraper"]["rights"] == "metrics"
    assert digest_of(text.strip()) not in listed
    assert main(["token", "list", str(path)]) == 0
    table = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in table] == ["name", "alice", "bob", "scraper"]
    assert digest_of(text.strip()) not in "".join(table)


@pytest.mark.parametrize(
    ("arguments", "status", "part"),
    [
        (["add", "FILE", "alice", "--expires", "2001-01-01"], 2, "E_USAGE"),
        (["add", "FILE", "alice", "--expires", "tomorrow"], 2, "E_USAGE"),
        (["add", "FILE", "alice", "--metrics", "--read-only"], 2, "E_USAGE"),
        (["add", "FILE", "alice", "--store", "../x"], 2, "E_USAGE"),
        (["add", "FILE", "a b"], 2, "E_USAGE"),
        (["add", "FILE"], 2, "Missing argument 'NAME'"),
        (["list", "FILE"], 1, "E_TOKEN_FILE"),
        (["revoke", "FILE", "alice"], 1, "E_TOKEN_FILE"),
        (["nope"], 2, "No such command"),
        ([], 2, "Usage"),
    ],
)
def test_what_the_commands_refuse(path, capsys, arguments, status, part):
    given = [str(path) if one == "FILE" else one for one in arguments]
    assert main(["token", *given]) == status
    captured = capsys.readouterr()
    assert captured.out == ""
    assert part in captured.err
    assert not path.exists()
