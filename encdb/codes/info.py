"""What the catalogue records of one error code."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CodeInfo:
    """What is known of one code, whatever the single case.

    Attributes:
        title: a heading of two to four words.
        sqlstate: five characters; PostgreSQL's where it has one.
        exit: exit status of a command: 1 failure, 2 usage, 3 key, 4 integrity.
        meaning: one sentence for the documentation.
        fix: what to do, as an imperative without a full stop.
    """

    title: str
    sqlstate: str
    exit: int
    meaning: str
    fix: str
