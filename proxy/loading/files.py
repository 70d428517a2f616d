"""Reading a text file of rows: CSV, TSV, JSON and NDJSON, gzipped or not, from a path or stdin."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import IO

from encdb.errors import UsageError, err
from indexes.types import ColumnType

from .delimited import read_delimited
from .formats import FORMATS, detect_format
from .objects import read_objects
from .source import Source
from .table import LoadedTable


def read_table(
    path: str | os.PathLike[str],
    *,
    name: str,
    file_format: str | None = None,
    overrides: Mapping[str, ColumnType] | None = None,
    stream: IO[bytes] | None = None,
) -> LoadedTable:
    """One file as a table. The file is read once here, for its types, and again for its rows.

    Args:
        path: a file; ``-`` is standard input, which is kept in memory.
        name: of the table.
        file_format: ``csv``, ``tsv``, ``json`` or ``ndjson``; None finds out.
        overrides: types that take the place of detected ones, by column name whatever its case. With
            one for every column of a CSV file, the first reading is left out.
        stream: what ``-`` stands for; by default the process's standard input.

    Raises:
        DataError: E_CSV_MALFORMED with the line, E_IMPORT_LIMIT.
        OperationalError: E_INPUT_FILE.
        ProgrammingError: E_UNKNOWN_COLUMN for an override of a column that does not exist.
        UsageError: E_IMPORT_FORMAT.
    """
    source = Source(path, stream)
    given = overrides or {}
    match file_format or detect_format(source):
        case "csv":
            return read_delimited(source, name, ",", given)
        case "tsv":
            return read_delimited(source, name, "\t", given)
        case "json":
            return read_objects(source, name, given, lines=False)
        case "ndjson":
            return read_objects(source, name, given, lines=True)
        case "sqlite":
            raise err(
                UsageError,
                "E_IMPORT_FORMAT",
                f"{source.name} is an SQLite file, which is read table by table",
                "Import it as a file with --format sqlite",
            )
        case other:
            raise err(
                UsageError,
                "E_IMPORT_FORMAT",
                f'the format "{other}" is not known',
                f"Pass one of {', '.join(FORMATS)}",
            )
