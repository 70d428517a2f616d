"""The server's log: one JSON object a line on stderr.

A line has the time, a level, an event and what is known about it: ids of requests, names of tokens and
stores, kinds, counts, sizes, outcomes, milliseconds. It never has an id of a message, a blob, a token
or the text of an unexpected exception, because that may quote a value.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

Sink: TypeAlias = Callable[[dict[str, Any]], None]
_HELD_LINES: Final = 128
_HELD_SECONDS: Final = 1.0


class Stderr:
    """Writes lines to stderr; those about ordinary requests wait for others, at most a second.

    Writing each by itself would take longer than the store needs for a small read.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: list[str] = []
        self._since = 0.0

    def __call__(self, line: dict[str, Any]) -> None:
        """Write one line, or hold it for a moment."""
        text = json.dumps(line, separators=(",", ":")) + "\n"
        now = time.monotonic()
        with self._lock:
            if not self._held:
                self._since = now
            self._held.append(text)
            ordinary = line["event"] == "request" and len(self._held) < _HELD_LINES
        if not ordinary or now - self._since > _HELD_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write what is held."""
        with self._lock:
            held, self._held = self._held, []
            if held:
                sys.stderr.write("".join(held))
                sys.stderr.flush()


class Log:
    """Writes events.

    Args:
        sink: where finished lines go; stderr by default.
    """

    def __init__(self, sink: Sink | None = None) -> None:
        self._stderr = Stderr() if sink is None else None
        self._sink: Sink = sink or self._stderr or Stderr()

    def flush(self) -> None:
        """Write what is held back."""
        if self._stderr is not None:
            self._stderr.flush()

    def write(self, level: str, event: str, **facts: object) -> None:
        """One event; facts that are ``None`` are left out."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        known = {name: fact for name, fact in facts.items() if fact is not None}
        self._sink({"time": now, "level": level, "event": event, **known})

    def info(self, event: str, **facts: object) -> None:
        """What happens every day."""
        self.write("info", event, **facts)

    def warning(self, event: str, **facts: object) -> None:
        """What an operator may want to look into."""
        self.write("warning", event, **facts)

    def failure(self, event: str, error: BaseException, **facts: object) -> None:
        """An unexpected exception: its type and where it came from, never its text."""
        places = [
            f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}"
            for frame in traceback.extract_tb(error.__traceback__)
        ]
        self.write("error", event, exception=type(error).__name__, places=places[-12:], **facts)


class Handler(logging.Handler):
    """Turns what libraries log into lines of the same form, at warning level and above."""

    _LEVELS: Final = {logging.WARNING: "warning"}

    def __init__(self, log: Log) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record's own text, and of an exception only the type."""
        kind = record.exc_info[0] if record.exc_info else None
        self._log.write(
            self._LEVELS.get(record.levelno, "error"),
            "library",
            logger=record.name,
            # Without its arguments, which may be anything.
            text=str(record.msg),
            exception=None if kind is None else kind.__name__,
        )
