"""The tutorial is run as it stands: each command, in order, must print what the page says."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TUTORIAL = ROOT / "docs" / "tutorial.md"


def steps():
    """(command, expected lines) of every console block, in order."""
    found = []
    text = TUTORIAL.read_text(encoding="utf-8")
    for block in re.findall(r"^```console\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line.removeprefix("$ "), []))
            else:
                found[-1][1].append(line)
    return found


def pattern(expected):
    """A regular expression for expected lines: … stands for anything, alone for any lines."""
    parts = []
    for line in expected:
        if line == "…":
            parts.append(r"(?:.*\n)*?")
        else:
            parts.append(".*".join(re.escape(part) for part in line.split("…")) + "\n")
    return "".join(parts)


def test_steps_are_found():
    assert len(steps()) > 10


@pytest.fixture
def environment(test_data, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    for name in ("residents.csv.gz", "chinook.sqlite"):
        (data / name).symlink_to((test_data / name).resolve())
    subprocess.run(
        ["tar", "xzf", str((test_data / "mail.tar.gz").resolve()), "-C", str(data)], check=True
    )
    program = tmp_path / "bin" / "encdb"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m encdb "$@"\n')
    program.chmod(0o755)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ENCDB_")}
    return {
        **kept,
        "DATA": str(data),
        "HOME": str(tmp_path / "home"),
        "XDG_CONFIG_HOME": str(tmp_path / "home" / ".config"),
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "LC_ALL": "C.UTF-8",
    }


@pytest.mark.timeout(300)
def test_the_tutorial_prints_what_it_says(environment, tmp_path):
    work = tmp_path / "work"
    work.mkdir()
    for command, expected in steps():
        done = subprocess.run(
            command,
            shell=True,
            cwd=work,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert re.fullmatch(pattern(expected), done.stdout), (
            f"$ {command}\n--- expected\n" + "\n".join(expected) + f"\n--- printed\n{done.stdout}"
        )
        assert "E_INTERNAL" not in done.stdout
