"""Constructors and type objects that PEP 249 asks of a driver module.

A column's ``type_code`` in ``Cursor.description`` is its SQL type's text, such as ``DECIMAL(10,2)``.
It compares equal to the type object of its group: ``description[0][1] == encdb.NUMBER``.
"""

from __future__ import annotations

import datetime as dt
from typing import Final

Date = dt.date
Time = dt.time
Timestamp = dt.datetime
Binary = bytes


def DateFromTicks(ticks: float) -> dt.date:  # noqa: N802 - PEP 249 fixes this name.
    """The date, in UTC, of a number of seconds since 1970."""
    return TimestampFromTicks(ticks).date()


def TimeFromTicks(ticks: float) -> dt.time:  # noqa: N802 - PEP 249 fixes this name.
    """The time of day, in UTC, of a number of seconds since 1970."""
    return TimestampFromTicks(ticks).time()


def TimestampFromTicks(ticks: float) -> dt.datetime:  # noqa: N802 - PEP 249 fixes this name.
    """The timestamp without zone, in UTC, of a number of seconds since 1970."""
    return dt.datetime.fromtimestamp(ticks, dt.UTC).replace(tzinfo=None)


class TypeObject:
    """A group of SQL types; equal to the text of each of them."""

    __slots__ = ("_names",)

    def __init__(self, *names: str) -> None:
        self._names: Final = frozenset(names)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, str):
            return other.partition("(")[0].strip().upper() in self._names
        return self is other

    def __hash__(self) -> int:
        return hash(self._names)

    def __repr__(self) -> str:
        return f"<SQL types {', '.join(sorted(self._names))}>"


STRING: Final = TypeObject("TEXT", "VARCHAR", "CHAR", "UUID", "JSON")
BINARY: Final = TypeObject("BLOB", "BYTEA")
NUMBER: Final = TypeObject(
    "BOOLEAN",
    "SMALLINT",
    "INTEGER",
    "BIGINT",
    "HUGEINT",
    "DECIMAL",
    "NUMERIC",
    "REAL",
    "FLOAT",
    "DOUBLE",
    "DOUBLE PRECISION",
)
DATETIME: Final = TypeObject(
    "DATE",
    "TIME",
    "TIMESTAMP",
    "TIMESTAMP WITH TIME ZONE",
    "TIMESTAMPTZ",
    "INTERVAL",
)
ROWID: Final = TypeObject()
"""encdb shows no row identities, so nothing equals it."""
