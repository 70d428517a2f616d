"""Dates, times and moments as values of a column, and as PostgreSQL's text.

Texts are ISO 8601: ``2024-02-29``, ``2024-02-29 12:34:56.789``, with ``T`` in the place of the blank and
with ``Z``, ``+02``, ``+0200`` or ``+02:00`` behind. More than six decimals of a second are rounded.
Moments with a zone are kept in UTC; a TIMESTAMP takes none in text, since the zone would be lost.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import Final

from indexes.types import ColumnType, Kind

from .misfit import INVALID, OUT_OF_RANGE, Misfit, invalid, mismatch

SPACE: Final = " \t\n\r\f\v"
"""What PostgreSQL trims around numbers and moments."""

_DATE: Final = r"([0-9]{4})-([0-9]{2})-([0-9]{2})"
_TIME: Final = r"([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]+))?)?"
_ZONE: Final = r"\s?(Z|z|UTC|utc|[+-][0-9]{2}(?::?[0-9]{2})?)"
_ONLY_TIME: Final = re.compile(_TIME)
_MOMENT: Final = re.compile(rf"{_DATE}(?:[Tt ]{_TIME}(?:{_ZONE})?)?")


def to_date(value: object, kind: ColumnType) -> dt.date:
    """A date; of a moment, its date in UTC."""
    if isinstance(value, dt.datetime):
        return (value.astimezone(dt.UTC) if value.tzinfo else value).date()
    if isinstance(value, dt.date):
        return value
    if not isinstance(value, str):
        raise mismatch(value, kind)
    found = _MOMENT.fullmatch(value.strip(SPACE))
    if found is None or found[8]:
        raise invalid(kind)
    return _moment(found, kind).date()


def to_time(value: object, kind: ColumnType) -> dt.time:
    """A time of day without zone; of a moment, its time in UTC."""
    if isinstance(value, dt.time):
        if value.tzinfo is not None:
            raise Misfit(INVALID, f"a time with a zone is no {kind.sql}")
        return value
    if isinstance(value, dt.datetime):
        return (value.astimezone(dt.UTC) if value.tzinfo else value).time()
    if not isinstance(value, str):
        raise mismatch(value, kind)
    found = _ONLY_TIME.fullmatch(value.strip(SPACE))
    if found is None:
        raise invalid(kind)
    return _clock(found.groups(), kind)[0]


def _clock(parts: tuple[str | None, ...], kind: ColumnType) -> tuple[dt.time, bool]:
    """Hours, minutes, seconds and their fraction; and whether rounding reached the next second."""
    hour, minute, second, fraction = parts
    digits = (fraction or "").ljust(7, "0")
    micro = int(digits[:6]) + (digits[6] >= "5")
    try:
        time = dt.time(int(hour or 0), int(minute or 0), int(second or 0), micro % 1_000_000)
    except ValueError:
        raise invalid(kind) from None
    return time, micro == 1_000_000


def _moment(found: re.Match[str], kind: ColumnType) -> dt.datetime:
    """The moment of a date with or without time; a zone, if any, is left to the caller."""
    time, carry = _clock(found.groups()[3:7], kind)
    try:
        day = dt.date(int(found[1]), int(found[2]), int(found[3]))
        return dt.datetime.combine(day, time) + dt.timedelta(seconds=carry)
    except ValueError:
        raise invalid(kind) from None
    except OverflowError:
        raise Misfit(OUT_OF_RANGE, f"the text is out of range for {kind.sql}") from None


def to_timestamp(value: object, kind: ColumnType) -> dt.datetime:
    """A moment: without zone in UTC, as PostgreSQL does with the session's zone set to UTC."""
    aware = kind.kind is Kind.TIMESTAMPTZ
    if isinstance(value, dt.datetime):
        moment = value
        if value.tzinfo is not None:
            try:
                moment = value.astimezone(dt.UTC).replace(tzinfo=None)
            except OverflowError:
                raise Misfit(OUT_OF_RANGE, "the moment is beyond the years 1 to 9999") from None
    elif isinstance(value, dt.date):
        moment = dt.datetime.combine(value, dt.time())
    elif isinstance(value, str):
        found = _MOMENT.fullmatch(value.strip(SPACE))
        if found is None:
            raise invalid(kind)
        moment = _moment(found, kind)
        if found[8]:
            if not aware:
                raise Misfit(INVALID, f"the text has a time zone, which {kind.sql} does not keep")
            moment = _shifted(moment, found[8], kind)
    else:
        raise mismatch(value, kind)
    return moment.replace(tzinfo=dt.UTC) if aware else moment


def _shifted(moment: dt.datetime, zone: str, kind: ColumnType) -> dt.datetime:
    """A local moment in UTC."""
    if zone[0] not in "+-":
        return moment
    hours, minutes = int(zone[1:3]), int(zone[3:].lstrip(":") or 0)
    if hours > 15 or minutes > 59:
        raise invalid(kind)
    offset = dt.timedelta(hours=hours, minutes=minutes)
    try:
        return moment + offset if zone[0] == "-" else moment - offset
    except OverflowError:
        raise Misfit(OUT_OF_RANGE, "the moment is beyond the years 1 to 9999") from None


def moment_text(value: dt.datetime) -> str:
    """A moment as PostgreSQL spells it: blank instead of ``T``, a zone of UTC as ``+00``."""
    if value.tzinfo is None:
        return value.isoformat(sep=" ")
    return value.astimezone(dt.UTC).replace(tzinfo=None).isoformat(sep=" ") + "+00"
