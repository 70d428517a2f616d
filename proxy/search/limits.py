"""What one hostile document may cost, and the exception that stops it.

A document that passes a limit is skipped and reported; it is never cut short silently, because a
search that misses the second half of a text would be wrong without saying so.
"""

from __future__ import annotations

import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on one document and on the folders it is found in.

    Attributes:
        file_bytes: bytes of one file, or of one message of an mbox file, which may be any size itself.
        body_characters: characters of readable text of one document.
        header_bytes: bytes of the header block of one message.
        parts: MIME parts of one message, at all levels.
        part_depth: how deep parts may nest.
        folder_depth: how deep folders may nest.
        seconds: time to parse one document, checked between steps of bounded work.
    """

    file_bytes: int = 64 << 20
    body_characters: int = 16 << 20
    header_bytes: int = 1 << 20
    parts: int = 1_000
    part_depth: int = 50
    folder_depth: int = 64
    seconds: float = 20.0


DEFAULT_LIMITS = Limits()


class LimitExceededError(Exception):
    """A document passes a limit; the message says which, and holds none of its content."""


class Clock:
    """The time left for one document."""

    __slots__ = ("_end", "_seconds")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end = time.monotonic() + seconds

    def check(self) -> None:
        """Raises LimitExceededError once the time is up."""
        if time.monotonic() > self._end:
            raise LimitExceededError(f"parsing took longer than {self._seconds:g} seconds")
