"""What every loader gives: a table's definition and its rows in batches.

Nothing is stored here and nothing leaks: loaders only read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Protocol

import pyarrow as pa

from encdb.errors import DataError, EncdbError, err
from indexes.types import ColumnType

from ..catalog import MAX_COLUMNS
from ..misfit import Misfit

BATCH_ROWS: Final = 16_384
"""Rows of a batch unless the caller asks for another number: four blocks of 4,096 ordinals."""

MAX_RECORD: Final = 16 << 20
"""Most bytes of one record of a text file."""

MAX_TEXT: Final = 1 << 30
"""Most bytes held in memory at once: standard input, or a JSON array."""

MAX_NAME: Final = 128
"""Most characters of a column name."""


class Batches(Protocol):
    """The rows of a table, read anew at each call."""

    def __call__(self, rows: int = BATCH_ROWS) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Batches of ``rows`` rows, the last one shorter, each with the place of its first row."""


@dataclass(frozen=True, slots=True)
class LoadedForeignKey:
    """One FOREIGN KEY of a loaded table."""

    columns: tuple[str, ...]
    target: str
    target_columns: tuple[str, ...]
    on_delete: str = "NO ACTION"
    on_update: str = "NO ACTION"


@dataclass(frozen=True, slots=True)
class LoadedTable:
    """A table found in a file.

    Attributes:
        name: the table's name.
        columns: name, type and whether NOT NULL.
        batches: gives the rows; the schema of a batch has the columns' names and Arrow types. Raises
            DataError E_IMPORT_VALUE or E_CSV_MALFORMED, with the place, for rows that cannot be read.
        primary_key: column names, empty without one.
        uniques: column names of each UNIQUE constraint.
        foreign_keys: references to other tables.
        indexes: name and columns of each plain index.
        rows: number of rows when it is known.
        place: what the first number of a batch counts: ``line`` of a text file or ``row``.
        notices: what was left out, one line each.
    """

    name: str
    columns: tuple[tuple[str, ColumnType, bool], ...]
    batches: Batches
    primary_key: tuple[str, ...] = ()
    uniques: tuple[tuple[str, ...], ...] = ()
    foreign_keys: tuple[LoadedForeignKey, ...] = ()
    indexes: tuple[tuple[str, tuple[str, ...]], ...] = ()
    rows: int | None = None
    place: str = "line"
    notices: tuple[str, ...] = field(default=())


def malformed(name: str, line: int, reason: str) -> EncdbError:
    """The error for a line that cannot be read."""
    return err(DataError, "E_CSV_MALFORMED", f"{name}, line {line}: {reason}")


def too_large(name: str, reason: str, fix: str | None = None) -> EncdbError:
    """The error for input that passes a limit."""
    return err(DataError, "E_IMPORT_LIMIT", f"{name}: {reason}", fix)


def unfit(place: str, column: str, misfit: Misfit) -> EncdbError:
    """The error for a value that does not fit; it is not quoted."""
    return err(DataError, "E_IMPORT_VALUE", f'{place}, column "{column}": {misfit.reason}')


def checked_names(names: list[str], name: str, line: int) -> list[str]:
    """Column names without surrounding blanks.

    Raises:
        DataError: E_CSV_MALFORMED for names that are empty, too long or repeated (whatever their case);
            E_IMPORT_LIMIT for too many.
    """
    if len(names) > MAX_COLUMNS:
        raise too_large(name, f"more than {MAX_COLUMNS} columns", "Leave out some columns")
    seen: dict[str, int] = {}
    checked = []
    for number, raw in enumerate(names, start=1):
        column = raw.strip()
        if not column:
            raise malformed(name, line, f"column {number} has no name")
        if len(column) > MAX_NAME or not column.isprintable():
            raise malformed(
                name,
                line,
                f"the name of column {number} is longer than {MAX_NAME} characters or not printable",
            )
        earlier = seen.setdefault(column.casefold(), number)
        if earlier != number:
            raise malformed(name, line, f"columns {earlier} and {number} have the same name")
        checked.append(column)
    return checked
