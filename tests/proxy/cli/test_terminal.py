"""The command line at a terminal: prompts for passphrases, the shell, cancelling, progress."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


class Terminal:
    """A process whose stdin, stdout and stderr are one terminal."""

    def __init__(self, folder, *arguments):
        ours, theirs = pty.openpty()
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("ENCDB_")
        }
        environment |= {
            "XDG_CONFIG_HOME": str(folder / "config"),
            "PYTHONPATH": str(ROOT),
            "TERM": "xterm",
            "COLUMNS": "80",
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "encdb", *arguments],
            cwd=folder,
            env=environment,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        self._file = ours
        self._seen = ""
        self.text = ""

    def comes(self, wanted, seconds):
        """Whether a text comes soon; it is not passed."""
        end = time.monotonic() + seconds
        while wanted not in self._seen and time.monotonic() < end:
            self._read()
        return wanted in self._seen

    def until(self, wanted, seconds=60):
        """Wait for a text; what came before it is not looked at again."""
        end = time.monotonic() + seconds
        while wanted not in self._seen:
            assert time.monotonic() < end, f"{wanted!r} did not come: {self.text}"
            if not self._read():
                assert wanted in self._seen, f"ended without {wanted!r}: {self.text}"
        self._seen = self._seen.partition(wanted)[2]

    def _read(self):
        ready, _, _ = select.select([self._file], [], [], 0.2)
        if not ready:
            return True
        try:
            data = os.read(self._file, 1 << 16)
        except OSError:
            return False
        if b"\x1b[6n" in data:
            # The prompt asks where the cursor is; a terminal answers.
            os.write(self._file, b"\x1b[1;1R")
        text = data.decode("utf-8", "replace")
        self.text += text
        self._seen += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
        return bool(data)

    def type(self, keys):
        os.write(self._file, keys.encode())

    def leave(self):
        while self._read() and self.process.poll() is None:
            pass
        status = self.process.wait(60)
        while self._read() and select.select([self._file], [], [], 0)[0]:
            pass
        os.close(self._file)
        return status


@pytest.fixture
def terminal(tmp_path):
    started = []

    def start(*arguments):
        started.append(Terminal(tmp_path, *arguments))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait()


def test_a_passphrase_is_asked_for_and_not_shown(terminal):
    made = terminal("init", "vault.db")
    made.until("New passphrase")
    made.type("correct horse\n")
    made.until("Once more")
    made.type("correct horse\n")
    made.until("its passphrase loses the data")
    assert made.leave() == 0
    assert "correct" not in made.text
    wrong = terminal("check", "vault.db")
    wrong.until("Passphrase")
    wrong.type("battery staple\n")
    wrong.until("E_PASSPHRASE_WRONG")
    assert wrong.leave() == 3


def test_the_shell_at_a_terminal(terminal):
    made = terminal("init", "vault.db", "--no-passphrase")
    assert made.leave() == 0
    shell = terminal("shell", "vault.db")
    shell.until("encdb>")
    shell.type("SELECT 42\r")
    shell.until(".....>")
    shell.type("AS answer;\r")
    shell.until("(1 row)")
    shell.until("encdb>")
    shell.type("BEGIN;\r")
    shell.until("encdb*>")
    shell.type("SELECT count(*) FROM generate_series(1, 300000000000) g(x) WHERE sin(x) > 2;\r")
    shell.until("> 2;")
    time.sleep(2)
    # The prompt may still be ending, slowly as it is on a busy machine, and takes the first signal.
    for _ in range(6):
        shell.process.send_signal(signal.SIGINT)
        if shell.comes("Statement cancelled.", seconds=10):
            break
    shell.until("Statement cancelled.")
    shell.until("encdb*>")
    shell.type("SELECT nothing;\r")
    shell.until("encdb: error E_UNKNOWN_COLUMN")
    shell.until("encdb*>")
    shell.type("\x04")
    shell.until("rolled back")
    assert shell.leave() == 0


def test_progress_shows_on_a_terminal_only(terminal, tmp_path):
    assert terminal("init", "vault.db", "--no-passphrase").leave() == 0
    rows = "a,b\n" + "".join(f"{number},{number % 7}\n" for number in range(60_000))
    (tmp_path / "rows.csv").write_text(rows)
    load = terminal("import", "vault.db", "rows.csv", "--table", "t")
    load.until("importing")
    load.until("t: 60,000 rows")
    assert load.leave() == 0
