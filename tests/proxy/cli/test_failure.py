import errno

import click
import pytest

from encdb.errors import KeyringError, ProgrammingError, TamperError, err
from proxy.cli.failure import as_encdb_error, one_line, printable, report


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (
            err(ProgrammingError, "E_UNKNOWN_TABLE", 'there is no table "x"', "Use another"),
            1,
            'encdb: error E_UNKNOWN_TABLE: there is no table "x". Use another',
        ),
        (
            err(KeyringError, "E_PASSPHRASE_WRONG", "no", "Try again"),
            3,
            "encdb: error E_PASSPHRASE_WRONG: no. Try again",
        ),
        (err(TamperError, "E_TAMPERED", "bad", "Stop"), 4, "encdb: error E_TAMPERED: bad. Stop"),
        (
            click.UsageError("No such thing."),
            2,
            "encdb: error E_USAGE: No such thing. See encdb --help",
        ),
        (KeyboardInterrupt(), 130, "encdb: interrupted"),
    ],
)
def test_an_error_is_one_line_with_its_status(error, status, line, capsys):
    assert report(error) == status
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == line + "\n"


def test_an_unexpected_error_does_not_show_its_text(capsys, monkeypatch):
    monkeypatch.delenv("ENCDB_DEBUG", raising=False)
    assert report(ValueError("secret 4111 1111")) == 1
    captured = capsys.readouterr().err
    assert captured.startswith("encdb: error E_INTERNAL: Unexpected ValueError. ")
    assert captured.count("\n") == 1
    assert "secret" not in captured


def test_debug_shows_a_traceback(capsys, monkeypatch):
    monkeypatch.setenv("ENCDB_DEBUG", "1")
    with pytest.raises(ZeroDivisionError) as caught:
        _ = 1 // 0
    assert report(caught.value) == 1
    assert "Traceback" in capsys.readouterr().err


def test_files_are_named_and_the_text_stays_one_line(capsys):
    error = OSError(errno.ENOENT, "No such file or directory", "a\nb\x1b[31m")
    assert report(error) == 1
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert "a b\\x1b[31m: No such file or directory" in line


def test_a_write_error_without_a_file_is_about_the_output():
    assert as_encdb_error(OSError(errno.ENOSPC, "No space left on device")).code == "E_OUTPUT"


def test_a_suggestion_is_a_sentence():
    error = as_encdb_error(click.NoSuchOption("--jsn", possibilities=["--json"]))
    assert "Did you mean" in str(error)
    assert "(" not in str(error)


def test_control_and_bidirectional_characters_become_visible():
    assert printable("a\x1b\x9b\u202eb\tc\n") == "a\\x1b\\x9b\\u202eb\tc\n"
    assert one_line(" a\n\tb  c\r") == "a b c"
