"""Texts of dates, times, UUIDs and bytes, as far as their reading is certain.

Only the ISO forms are read, and PostgreSQL's hexadecimal form of bytes. The engine and PostgreSQL understand more; a
text in any other form is left to them.
"""

from __future__ import annotations

import datetime as dt
import re
import uuid
from typing import Final

_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_TIME: Final = re.compile(r"\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?", re.ASCII)
_TIMESTAMP: Final = re.compile(
    r"(\d{4}-\d{2}-\d{2})[ T](\d{2}:\d{2}(?::\d{2}(?:\.\d{1,6})?)?)(Z|[+-]\d{2}(?::\d{2})?)?",
    re.ASCII,
)
_UUID: Final = re.compile(
    r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}", re.ASCII
)


def read_date(text: str) -> dt.date | None:
    """An ISO date, or None for any other text."""
    if not _DATE.fullmatch(text):
        return None
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        return None


def read_time(text: str) -> dt.time | None:
    """An ISO time of day without zone, or None."""
    if not _TIME.fullmatch(text):
        return None
    try:
        return dt.time.fromisoformat(text)
    except ValueError:
        return None


def read_timestamp(text: str, *, zoned: bool) -> dt.datetime | None:
    """An ISO timestamp or date, or None.

    Args:
        text: the literal.
        zoned: whether the result is in UTC and the text may name an offset. A text without an offset
            is then in UTC, which is the only zone a session has.
    """
    day = read_date(text)
    if day is not None:
        return dt.datetime.combine(day, dt.time(), dt.UTC if zoned else None)
    found = _TIMESTAMP.fullmatch(text)
    if found is None or (found[3] and not zoned):
        return None
    try:
        result = dt.datetime.fromisoformat(f"{found[1]} {found[2]}{found[3] or ''}")
        if not zoned:
            return result
        return result.replace(tzinfo=dt.UTC) if result.tzinfo is None else result.astimezone(dt.UTC)
    except (ValueError, OverflowError):
        return None


def read_uuid(text: str) -> uuid.UUID | None:
    """A UUID in its usual form, or None."""
    return uuid.UUID(text) if _UUID.fullmatch(text) else None


def read_bytes(text: str) -> bytes | None:
    r"""PostgreSQL's hex form of bytes, ``\xDEADBEEF``, or None for any other text."""
    if not text.startswith("\\x") or not text.isascii() or any(c.isspace() for c in text):
        return None
    try:
        return bytes.fromhex(text[2:])
    except ValueError:
        return None
