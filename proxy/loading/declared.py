"""Declared types of SQLite columns as column types.

SQLite declares types but does not enforce them. The declared type decides, by its name; a column
without one, or a NUMERIC without digits, takes the type of the values that it holds.
"""

from __future__ import annotations

import re
from typing import Final

from indexes.types import MAX_PRECISION, ColumnType, Kind

_DECLARED: Final = re.compile(
    r"\s*([A-Za-z][A-Za-z0-9_ ]*?)\s*(?:\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\))?\s*"
)
_NAMED: Final = {
    "BOOL": Kind.BOOLEAN,
    "BOOLEAN": Kind.BOOLEAN,
    "DATE": Kind.DATE,
    "TIME": Kind.TIME,
    "DATETIME": Kind.TIMESTAMP,
    "TIMESTAMP": Kind.TIMESTAMP,
    "TIMESTAMP WITHOUT TIME ZONE": Kind.TIMESTAMP,
    "TIMESTAMPTZ": Kind.TIMESTAMPTZ,
    "TIMESTAMP WITH TIME ZONE": Kind.TIMESTAMPTZ,
    "UUID": Kind.UUID,
    "GUID": Kind.UUID,
    "UNIQUEIDENTIFIER": Kind.UUID,
    "JSON": Kind.JSON,
    "JSONB": Kind.JSON,
    "BLOB": Kind.BLOB,
    "BYTEA": Kind.BLOB,
    "BINARY": Kind.BLOB,
    "VARBINARY": Kind.BLOB,
    "IMAGE": Kind.BLOB,
}
_NUMERIC: Final = frozenset(("NUMERIC", "DECIMAL", "DEC", "NUMBER", "MONEY"))
_WORDS: Final = (
    ("INT", Kind.BIGINT),
    ("CHAR", Kind.TEXT),
    ("CLOB", Kind.TEXT),
    ("TEXT", Kind.TEXT),
    ("STRING", Kind.TEXT),
    ("BLOB", Kind.BLOB),
    ("REAL", Kind.DOUBLE),
    ("FLOA", Kind.DOUBLE),
    ("DOUB", Kind.DOUBLE),
)
"""SQLite's own rules of affinity, in its order; its integers always have 64 bits."""


def column_type(declared: str) -> ColumnType | None:
    """The type that a declaration stands for, or None where the values have to decide.

    ``NVARCHAR(n)`` is TEXT without a limit, because SQLite does not enforce any.
    """
    found = _DECLARED.fullmatch(declared)
    if found is None:
        return None
    name = " ".join(found[1].upper().split())
    if name in _NAMED:
        return ColumnType(_NAMED[name])
    if name in _NUMERIC:
        precision, scale = int(found[2] or 0), int(found[3] or 0)
        if 1 <= precision <= MAX_PRECISION and scale <= precision:
            return ColumnType(Kind.DECIMAL, precision, scale)
        return None
    for word, kind in _WORDS:
        if word in name:
            return ColumnType(kind)
    return None
