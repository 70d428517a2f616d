import io

import pytest
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from encdb.errors import OperationalError, ProgrammingError, err
from proxy.cli.output import Format, Output
from proxy.cli.repl import SqlCompleter, interact, prompt_text
from proxy.cli.shell import Shell

CTRL_C, CTRL_D = "\x03", "\x04"


@pytest.fixture
def talk(session, capsys):
    """Type keys at the prompt; returns what was written to stdout and stderr."""

    def keys(text, **options):
        with create_pipe_input() as pipe, Output(Format.TABLE) as output:
            pipe.send_text(text)
            shell = Shell(session, output, talk=True)
            interact(shell, terminal_input=pipe, terminal_output=DummyOutput(), **options)
        return capsys.readouterr()

    return keys


def completions(session, text):
    found = SqlCompleter(session).get_completions(Document(text), CompleteEvent())
    return [completion.text for completion in found]


def test_statements_run_when_their_semicolon_comes(talk, session):
    said = talk("SELECT\r1;\rINSERT 2; INSERT 3;\r" + CTRL_D)
    assert session.executed == ["SELECT\n1", "INSERT 2", "INSERT 3"]
    assert said.out == ""
    assert said.err.count("OK") == 3


def test_an_error_does_not_leave(talk, session):
    session.answers["SELECT x"] = err(ProgrammingError, "E_UNKNOWN_COLUMN", "no x", "Look")
    said = talk("SELECT x; INSERT 1;\rINSERT 2;\r" + CTRL_D)
    assert session.executed == ["SELECT x", "INSERT 2"]
    assert "encdb: error E_UNKNOWN_COLUMN: no x. Look\n" in said.err


def test_an_internal_error_does_not_leave(talk, session):
    session.answers["SELECT x"] = RuntimeError("secret")
    said = talk("SELECT x;\rINSERT 2;\r" + CTRL_D)
    assert session.executed == ["SELECT x", "INSERT 2"]
    assert "secret" not in said.err


def test_ctrl_c_forgets_the_statement(talk, session):
    said = talk("SELECT\r" + CTRL_C + "INSERT 1;\r" + CTRL_D)
    assert session.executed == ["INSERT 1"]
    assert "Statement forgotten." in said.err


def test_ctrl_c_cancels_a_running_statement(talk, session):
    session.answers["SELECT 1"] = KeyboardInterrupt()
    said = talk("SELECT 1;\rINSERT 1;\r" + CTRL_D)
    assert session.executed == ["SELECT 1", "INSERT 1"]
    assert "Statement cancelled." in said.err


@pytest.mark.parametrize("word", ["\\q", ".quit", "exit", "quit"])
def test_leaving(talk, session, word):
    talk(word + "\rINSERT 1;\r")
    assert session.executed == []


def test_nothing_reaches_the_disk_without_history(talk, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    talk("SELECT 'secret';\r" + CTRL_D)
    assert list(tmp_path.rglob("*")) == []


def test_history_goes_to_the_file_named(talk, tmp_path):
    path = tmp_path / "history"
    talk("SELECT 'kept';\r" + CTRL_D, history=str(path))
    assert "SELECT 'kept';" in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_prompt_shows_an_open_transaction(session):
    shell = Shell(session, Output(Format.TABLE, io.StringIO()), talk=True)
    assert prompt_text(shell) == "encdb> "
    shell.feed("BEGIN;")
    assert prompt_text(shell) == "encdb*> "
    shell.feed("SELECT")
    assert prompt_text(shell) == "......> "


def test_completion(session):
    assert "residents" in completions(session, "SELECT * FROM resi")
    assert "SELECT" in completions(session, "sel")
    assert '"Home Town"' in completions(session, "SELECT hom")
    assert completions(session, "SELECT residents.a") == ["age"]
    assert completions(session, "SELECT zips.o") == ['"order"']
    assert completions(session, "\\d res") == ["residents"]
    assert "\\dt" in completions(session, "\\d")
    assert completions(session, "SELECT ") == []


def test_completion_is_silent_when_the_store_fails():
    class Broken:
        @property
        def catalog(self):
            raise err(OperationalError, "E_STORE_LOCKED", "locked")

    assert completions(Broken(), "SELECT * FROM resi") == []
