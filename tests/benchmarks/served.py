"""A real ``encdb serve`` in a process of its own, for as long as a ``with`` block takes."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_START_SECONDS = 60.0
_STOP_SECONDS = 30.0


@contextmanager
def served(store: Path) -> Iterator[tuple[str, str]]:
    """URL and token of a store that need not exist yet, in a folder of its own.

    The server has its usual limits, except that on the rate of requests: a benchmark that waits for its
    own allowance would measure that.
    """
    store.parent.mkdir()
    tokens, log = store.with_name("tokens"), store.with_name("log")
    encdb = [sys.executable, "-m", "encdb"]
    adding = [*encdb, "token", "add", str(tokens), "bench"]
    token = subprocess.run(adding, check=True, capture_output=True, text=True).stdout.strip()
    command = [*encdb, "serve", str(store), "--tokens", str(tokens), "--allow-create"]
    # A file, because a pipe that nobody reads would fill up and stop the server.
    with log.open("wb") as lines:
        server = subprocess.Popen(
            [*command, "--listen", "127.0.0.1:0", "--rate", "0"], stderr=lines
        )
    try:
        yield f"http://127.0.0.1:{_port(server, log)}/{store.stem}", token
    finally:
        server.terminate()
        try:
            server.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _port(server: subprocess.Popen[bytes], log: Path) -> int:
    """Where it listens, as it says in its log."""
    give_up = time.monotonic() + _START_SECONDS
    while server.poll() is None and time.monotonic() < give_up:
        # The last line may not be finished yet.
        for line in log.read_text().split("\n")[:-1]:
            entry = json.loads(line)
            if entry["event"] == "listening":
                return int(entry["port"])
        time.sleep(0.05)
    raise RuntimeError(f"encdb serve did not start:\n{log.read_text()[-2000:]}")
