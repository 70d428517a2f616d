"""Transcripts of ``encdb search`` with prefixes, wildcards and misspelt words."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from proxy.cli.main import main

LETTERS = {
    "one.txt": "From: ada@example.org\nTo: bob@example.org\nSubject: Kernel drivers\n"
    "Date: Mon, 5 Jan 2026 10:00:00 +0000\n\nThe kernels of linux are running.\n",
    "two.txt": "From: bob@example.org\nTo: ada@example.org\nSubject: Corn\n"
    "Date: Tue, 6 Jan 2026 10:00:00 +0000\n\nA colonel eats corn kernels, 2 kernels a day.\n",
    "three.md": "# Kerning\n\nSpace between letters.\n",
}
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def search(tmp_path, monkeypatch, capsys) -> Run:
    """``encdb search vault.db …`` over three documents: status, stdout, stderr."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name in ("ENCDB_KEYRING", "ENCDB_PASSPHRASE", "ENCDB_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "letters").mkdir()
    for name, text in LETTERS.items():
        (tmp_path / "letters" / name).write_text(text)
    assert main(["init", "vault.db", "--no-passphrase"]) == 0
    assert main(["add", "vault.db", "letters"]) == 0
    capsys.readouterr()

    def run(*arguments: str) -> tuple[int, str, str]:
        status = main(["search", "vault.db", *arguments])
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run


@pytest.mark.parametrize(
    ("query", "paths"),
    [
        ("kern*", ["one.txt", "three.md", "two.txt"]),
        ("ker?el*", ["one.txt", "two.txt"]),
        ("kernal~1", ["one.txt", "two.txt"]),
        ("KERNAL~1 linxu~", ["one.txt"]),
        ("*nel corn", ["two.txt"]),
        ("kern* -c*rn", ["one.txt", "three.md"]),
        ("c?lonel OR runn* OR running*", ["one.txt", "two.txt"]),
    ],
)
def test_patterns_find_documents(search: Run, query, paths):
    status, out, err = search(query, "--csv")
    assert (status, err) == (0, "")
    found = sorted(line.split(",")[0] for line in out.splitlines()[1:])
    assert found == [f"letters/{path}" for path in paths]


def test_what_is_printed(search: Run):
    status, out, err = search("linxu~1 ker*l")
    assert (status, err) == (0, "")
    assert out == (
        "path             title           score\n"
        "───────────────  ──────────────  ─────\n"
        "letters/one.txt  Kernel drivers  1.618\n"
        "(1 row)\n"
    )


@pytest.mark.parametrize(
    ("query", "code", "message"),
    [
        ("k*", "E_MATCH_QUERY", 'the pattern "k*" at character 1 stands for too much'),
        ("kernel~5", "E_MATCH_QUERY", 'the "~5" at character 7 is no number of edits'),
        ('"kern* drivers"', "E_MATCH_QUERY", "a phrase holds no patterns"),
        (
            " ".join(f"k{n}*" for n in range(10, 75)),
            "E_MATCH_TOO_MANY",
            "65 patterns; 64 are served",
        ),
    ],
)
def test_what_is_refused(search: Run, query, code, message):
    status, out, err = search(query)
    assert (status, out) == (2, "")
    assert code in err
    assert message in err


def test_nothing_found(search: Run):
    assert search("nothing*", "--json") == (1, "[]\n", "")
