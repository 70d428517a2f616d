"""Errors of the local engine as errors of encdb, without the values that it quotes.

The engine's messages quote stored values ("Could not convert string '…' to INT32"), and messages end
up in logs. So only messages about names and syntax are passed on, since they can quote nothing but the
statement; everything that happens while rows are read is told in encdb's own words.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

import duckdb

from encdb.errors import (
    DataError,
    EncdbError,
    InternalError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
    err,
)

_TARGET: Final = re.compile(
    r"(?:\bto|destination type|\bcast to type)\s+(?:type\s+)?([A-Z][A-Z0-9_]*(?:\(\d+,\s*\d+\))?)\W*$"
)
_RANGE: Final = re.compile(
    r"out of range|overflow|does not fit|can't be cast because", re.IGNORECASE
)
_UNKNOWN: Final = re.compile(
    r"(?:Table|Scalar|Aggregate|Function|Macro|Type|Referenced|Catalog)\b.*?(?:does not exist|not found)"
)
_ENGINE_NAMES: Final = {
    "INT8": "TINYINT",
    "INT16": "SMALLINT",
    "INT32": "INTEGER",
    "INT64": "BIGINT",
    "INT128": "HUGEINT",
    "VARCHAR": "TEXT",
    "FLOAT": "REAL",
}


def translated(fault: Exception) -> EncdbError:
    """The error of encdb for an exception of the engine."""
    text = str(fault)
    if "Division by zero" in text:
        return err(DataError, "E_DIVISION_BY_ZERO", "division by zero")
    if "More than one row returned by a subquery" in text:
        return err(
            ProgrammingError,
            "E_ENGINE",
            "a subquery used as an expression returns more than one row",
            "Add LIMIT 1, or an aggregate",
        )
    for kind, translate in _TRANSLATIONS:
        if isinstance(fault, kind):
            return translate(text)
    if isinstance(fault, duckdb.Error):
        return err(
            OperationalError, "E_ENGINE", f"the local engine refused: {type(fault).__name__}"
        )
    return err(InternalError, "E_ENGINE", f"the local engine failed: {type(fault).__name__}")


def _memory(_text: str) -> EncdbError:
    return err(OperationalError, "E_ENGINE_MEMORY", "the statement needs more memory than allowed")


def _first(text: str) -> str:
    """The first line of a message, without the engine's heading."""
    line = text.partition("\n")[0]
    heading, colon, rest = line.partition(" Error: ")
    return rest if colon and " " not in heading.strip() else line


def _conversion(text: str) -> EncdbError:
    """A failed cast: the target type is told, the value is not."""
    line = text.partition("\nLINE")[0].strip()
    found = _TARGET.search(line)
    name = _ENGINE_NAMES.get(found[1], found[1]) if found else None
    target = f" {name}" if name else " its target type"
    if _RANGE.search(line) or "Could not cast value" in line:
        return err(DataError, "E_OUT_OF_RANGE", f"a value is out of range for{target}")
    return err(DataError, "E_INVALID_VALUE", f"a value cannot be read as{target}")


def _naming(text: str) -> EncdbError:
    """An unknown name or a wrong type: both are about the statement, so the first line is passed on."""
    line = _first(text)
    if "column" in line.lower() and "not found" in line.lower():
        return err(ProgrammingError, "E_UNKNOWN_COLUMN", line)
    if _UNKNOWN.search(line):
        if line.startswith("Table with name"):
            return err(ProgrammingError, "E_UNKNOWN_TABLE", line)
        if "unction" in line:
            return err(ProgrammingError, "E_UNKNOWN_FUNCTION", line)
        if line.startswith("Type"):
            return err(ProgrammingError, "E_UNKNOWN_TYPE", line)
    if "mbiguous" in line:
        return err(ProgrammingError, "E_AMBIGUOUS_NAME", line)
    if "No function matches" in line or "annot compare values" in line or "explicit" in line:
        return err(ProgrammingError, "E_TYPE_MISMATCH", line)
    return err(ProgrammingError, "E_ENGINE", line)


def _input(text: str) -> EncdbError:
    """The engine's mixed bag. Only what is known to quote the statement alone is passed on."""
    line = _first(text)
    if line.startswith("Cannot change configuration option"):
        return err(NotSupportedError, "E_NOT_SUPPORTED", "settings of the local engine are locked")
    if "parameter" in line.lower() and ("count mismatch" in line or "not provided" in line):
        return err(ProgrammingError, "E_PARAMETERS", "the parameters do not fit the placeholders")
    return err(
        DataError, "E_ENGINE", "the local engine cannot evaluate an expression on these rows"
    )


_TRANSLATIONS: Final[tuple[tuple[type[Exception], Callable[[str], EncdbError]], ...]] = (
    (
        duckdb.InterruptException,
        lambda _: err(OperationalError, "E_INTERRUPTED", "the statement was cancelled"),
    ),
    (duckdb.OutOfMemoryException, _memory),
    (MemoryError, _memory),
    (duckdb.ConversionException, _conversion),
    (
        duckdb.OutOfRangeException,
        lambda _: err(DataError, "E_OUT_OF_RANGE", "a number is out of range"),
    ),
    (duckdb.ParserException, lambda text: err(ProgrammingError, "E_SYNTAX", _first(text))),
    (duckdb.BinderException, _naming),
    (duckdb.CatalogException, _naming),
    (
        duckdb.NotImplementedException,
        lambda text: err(NotSupportedError, "E_NOT_SUPPORTED", _first(text)),
    ),
    (
        duckdb.PermissionException,
        lambda _: err(
            NotSupportedError,
            "E_NOT_SUPPORTED",
            "SQL has no access to files, networks and extensions",
        ),
    ),
    (duckdb.InternalException, lambda _: err(InternalError, "E_ENGINE", "the local engine failed")),
    (duckdb.FatalException, lambda _: err(InternalError, "E_ENGINE", "the local engine failed")),
    (duckdb.InvalidInputException, _input),
)
"""In order: the first class that fits decides."""
