"""INTERVAL values: months, days and microseconds, as PostgreSQL has them.

A month has no fixed number of days and a day no fixed number of hours, so the three parts are kept
apart. Python's ``timedelta`` has no months: an interval without months is a ``timedelta`` to the user,
and any other one an :class:`Interval`.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import Final, NamedTuple

_MICROSECOND: Final = 1
_SECOND: Final = 1_000_000
_MINUTE: Final = 60 * _SECOND
_HOUR: Final = 60 * _MINUTE

# Months, days and microseconds of one unit, by the spellings PostgreSQL reads.
_UNITS: Final[dict[str, tuple[int, int, int]]] = {
    name: parts
    for names, parts in (
        ("millennium millennia", (12_000, 0, 0)),
        ("century centuries", (1_200, 0, 0)),
        ("decade decades", (120, 0, 0)),
        ("year years yr yrs y", (12, 0, 0)),
        ("month months mon mons", (1, 0, 0)),
        ("week weeks w", (0, 7, 0)),
        ("day days d", (0, 1, 0)),
        ("hour hours hr hrs h", (0, 0, _HOUR)),
        ("minute minutes min mins m", (0, 0, _MINUTE)),
        ("second seconds sec secs s", (0, 0, _SECOND)),
        ("millisecond milliseconds ms", (0, 0, 1_000)),
        ("microsecond microseconds us", (0, 0, _MICROSECOND)),
    )
    for name in names.split()
}
_ISO_DATE: Final = {"Y": (12, 0, 0), "M": (1, 0, 0), "W": (0, 7, 0), "D": (0, 1, 0)}
_ISO_TIME: Final = {"H": (0, 0, _HOUR), "M": (0, 0, _MINUTE), "S": (0, 0, _SECOND)}

_NUMBER: Final = r"[+-]?\d{1,18}(?:\.\d{1,9})?"
_PART: Final = re.compile(rf"({_NUMBER})\s*([A-Za-z]+)", re.ASCII)
_CLOCK: Final = re.compile(r"([+-]?)(\d{1,9}):(\d{1,2})(?::(\d{1,2})(?:\.(\d{1,6}))?)?", re.ASCII)
_ISO: Final = re.compile(rf"P((?:{_NUMBER}[YMWD])*)(?:T((?:{_NUMBER}[HMS])+))?", re.ASCII)

MAX_PART: Final = 2**31 - 1
"""Months and days are 32-bit numbers."""

MAX_MICROSECONDS: Final = (2**63 - 1) // 1_000
"""The local engine counts nanoseconds in 64 bits."""


class Interval(NamedTuple):
    """An interval with months."""

    months: int
    days: int
    microseconds: int

    def __str__(self) -> str:
        return interval_text(self.months, self.days, self.microseconds)


def interval_parts(value: dt.timedelta | Interval) -> Interval:
    """The three parts of an interval."""
    if isinstance(value, Interval):
        return value
    return Interval(0, value.days, value.seconds * _SECOND + value.microseconds)


def interval_value(months: int, days: int, microseconds: int) -> dt.timedelta | Interval:
    """The Python value of an interval: a ``timedelta`` when there are no months."""
    if months == 0:
        return dt.timedelta(days=days, microseconds=microseconds)
    return Interval(months, days, microseconds)


def interval_text(months: int, days: int, microseconds: int) -> str:
    """PostgreSQL's text, such as ``1 year 2 mons 3 days 04:05:06.789``."""
    years, rest = divmod(abs(months), 12)
    if months < 0:
        years, rest = -years, -rest
    parts = [
        f"{count} {unit}{'' if count == 1 else 's'}"
        for count, unit in ((years, "year"), (rest, "mon"), (days, "day"))
        if count
    ]
    if microseconds or not parts:
        seconds, fraction = divmod(abs(microseconds), _SECOND)
        text = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
        if fraction:
            text += f".{fraction:06}".rstrip("0")
        parts.append(f"-{text}" if microseconds < 0 else text)
    return " ".join(parts)


def parse_interval(text: str) -> Interval | None:
    """The interval that a text in PostgreSQL's or ISO 8601's spelling stands for, or None."""
    text = text.strip()
    iso = _ISO.fullmatch(text)
    if iso is not None and len(text) > 1:
        parts = [(number, _ISO_DATE.get(unit)) for number, unit in _iso_parts(iso[1])]
        parts += [(number, _ISO_TIME.get(unit)) for number, unit in _iso_parts(iso[2] or "")]
        return _sum(parts, negative=False)
    negative = text.lower().endswith(" ago")
    if negative:
        text = text[:-4].rstrip()
    clock: list[tuple[str, tuple[int, int, int] | None]] = []
    found = _CLOCK.search(text)
    if found is not None:
        if found.end() != len(text) or int(found[3]) > 59 or int(found[4] or 0) > 59:
            return None
        total = int(found[2]) * _HOUR + int(found[3]) * _MINUTE + int(found[4] or 0) * _SECOND
        total += int((found[5] or "").ljust(6, "0") or 0)
        clock.append((f"{found[1]}{total}", (0, 0, _MICROSECOND)))
        text = text[: found.start()].rstrip()
    rest = _PART.sub("", text)
    parts = [(number, _UNITS.get(unit.lower())) for number, unit in _PART.findall(text)]
    if rest.strip() or not (parts or clock):
        return None
    return _sum(parts + clock, negative=negative)


def _iso_parts(text: str) -> list[tuple[str, str]]:
    return [(found[1], found[2]) for found in re.finditer(rf"({_NUMBER})([A-Z])", text)]


def _sum(
    parts: list[tuple[str, tuple[int, int, int] | None]], *, negative: bool
) -> Interval | None:
    """Parts added up; None for an unknown unit, a fraction of months or a part out of range."""
    months = days = microseconds = 0
    for number, unit in parts:
        if unit is None:
            return None
        whole, _, digits = number.partition(".")
        if digits.strip("0") and not unit[2]:
            return None
        months += unit[0] * int(whole)
        days += unit[1] * int(whole)
        microseconds += unit[2] * int(whole)
        if unit[2] and digits:
            fraction = unit[2] * int(digits) // 10 ** len(digits)
            microseconds += -fraction if number.startswith("-") else fraction
    if negative:
        months, days, microseconds = -months, -days, -microseconds
    if max(abs(months), abs(days)) > MAX_PART or abs(microseconds) > MAX_MICROSECONDS:
        return None
    return Interval(months, days, microseconds)
