"""The command line as a whole: usage, start-up, pipes, passphrases."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from encdb import __version__
from encdb.errors import KeyringError, UsageError
from proxy.cli import opening
from proxy.cli.main import cli, main
from proxy.cli.options import Access

ROOT = Path(__file__).resolve().parents[3]
HEAVY = (
    "numpy",
    "pyarrow",
    "duckdb",
    "sqlglot",
    "rich",
    "prompt_toolkit",
    "cryptography",
    "whoosh",
)


def encdb_process(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "encdb", *arguments],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        **options,
    )


def test_version():
    done = encdb_process("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"encdb {__version__}\n", "")
    assert CliRunner().invoke(cli, ["--version"]).output == f"encdb {__version__}\n"


def test_the_command_line_loads_nothing_heavy():
    code = f"import proxy.cli.main, sys; print(sorted(set({HEAVY!r}) & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert done.stdout == "[]\n"


def test_help_lists_every_command():
    result = CliRunner().invoke(cli, ["-h"])
    assert result.exit_code == 0
    for name in cli.commands:
        assert f"  {name} " in result.output


@pytest.mark.parametrize("name", sorted(cli.commands))
def test_every_command_has_help(name):
    assert CliRunner().invoke(cli, [name, "--help"]).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["nope"], "No such command 'nope'"),
        (["shel"], "Did you mean 'shell'?"),
        (["check"], "Missing argument 'STORE'"),
        (["check", "a.db", "--jsn"], "--json"),
        (["search", "a.db", "q", "-n", "0"], "0 is not in the range"),
        (["import", "a.db", "f", "--index", "zip"], "--index equality:zip"),
        (["import", "a.db", "f", "--index", "equality:"], "--index equality:zip"),
        (["import", "a.db", "f", "--type", "zip"], "--type zip=TEXT"),
        (["import", "a.db", "f", "--pk", "a,,b"], "empty column"),
        (["import", "a.db", "f", "--format", "xls"], "'csv'"),
        (["init", "a.db", "--no-passphrase", "--passphrase-file", "f"], "contradict"),
        (["keyring", "nope"], "No such command"),
    ],
)
def test_wrong_usage_is_one_line_and_status_2(arguments, part, capsys):
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("encdb: error E_USAGE: ")
    assert captured.err.count("\n") == 1
    assert part in captured.err


def test_no_arguments_show_the_help(capsys):
    assert main([]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("Usage: encdb")


def test_a_broken_pipe_is_quiet():
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "encdb", "--help"],
            cwd=ROOT,
            check=False,
            stdout=write,
            stderr=subprocess.PIPE,
            text=True,
        )
    finally:
        os.close(write)
    assert done.stderr == ""
    assert done.returncode == 141


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(shell, capfd):
    assert main(["completion", shell]) == 0
    assert "_ENCDB_COMPLETE" in capfd.readouterr().out


def test_completion_answers():
    done = encdb_process(
        env={
            **os.environ,
            "_ENCDB_COMPLETE": "bash_complete",
            "COMP_WORDS": "encdb se",
            "COMP_CWORD": "1",
        }
    )
    assert "search" in done.stdout


@pytest.fixture
def stdin(monkeypatch):
    def give(data):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data), encoding="utf-8"))

    return give


@pytest.mark.parametrize(
    ("data", "text"), [(b"word\n", "word"), (b"a b \r\nmore\n", "a b "), ("ü".encode(), "ü")]
)
def test_a_passphrase_is_the_first_line(data, text, tmp_path, stdin):
    path = tmp_path / "p"
    path.write_bytes(data)
    assert opening.read_passphrase(str(path)) == text
    stdin(data)
    assert opening.read_passphrase("-") == text


def test_a_passphrase_from_stdin_leaves_the_rest(stdin):
    stdin(b"word\nSELECT 1;\n")
    assert opening.read_passphrase("-") == "word"
    assert sys.stdin.read() == "SELECT 1;\n"


@pytest.mark.parametrize("data", [b"", b"\n", b"x" * 5000, b"\xff\n"])
def test_bad_passphrase_files(data, tmp_path):
    path = tmp_path / "p"
    path.write_bytes(data)
    with pytest.raises(KeyringError) as caught:
        opening.read_passphrase(str(path))
    assert caught.value.code == "E_PASSPHRASE_MISSING"


def test_no_prompt_without_a_terminal(stdin, monkeypatch):
    stdin(b"")
    monkeypatch.delenv("ENCDB_PASSPHRASE", raising=False)
    assert opening.passphrase(Access()) is None
    with pytest.raises(UsageError) as caught:
        opening.new_passphrase(Access(), fix="Do this")
    assert caught.value.code == "E_NO_TERMINAL"
    assert caught.value.fix == "Do this"
    monkeypatch.setenv("ENCDB_PASSPHRASE", "given")
    assert opening.new_passphrase(Access(), fix="") == "given"


def test_a_missing_passphrase_file_is_named(capsys, tmp_path):
    status = main(["init", str(tmp_path / "a.db"), "--passphrase-file", str(tmp_path / "none")])
    assert status == 1
    line = capsys.readouterr().err
    assert line.startswith("encdb: error E_INPUT_FILE: ")
    assert "none: No such file" in line
    assert not (tmp_path / "a.db").exists()
