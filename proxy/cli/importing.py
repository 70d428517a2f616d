"""What ``encdb import`` does with a file: find its format, load its tables, say how many rows came.

Nothing heavy is imported before a load begins.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from encdb.errors import EncdbError, ProgrammingError, UsageError, err
from proxy.cli.failure import say
from proxy.cli.progress import Progress

if TYPE_CHECKING:
    from indexes.types import ColumnType
    from proxy.catalog import Table
    from proxy.cli.output import Output
    from proxy.importing import ImportReport, IndexSpec
    from proxy.loading import LoadedTable
    from proxy.session import Session


@dataclass(frozen=True, slots=True)
class ImportRequest:
    """The options of one import.

    Attributes:
        file: path, or ``-`` for stdin.
        table: the table to load into; of an SQLite file, the one table to load.
        primary_key: key columns of a new table.
        indexes: ``METHOD:COL[,COL]`` texts.
        types: SQL type by column name, in place of the detected one.
        file_format: one of the formats, or None to find out.
        batch: rows per transaction, or None for one transaction.
    """

    file: str
    table: str | None = None
    primary_key: Sequence[str] = ()
    indexes: Sequence[str] = ()
    types: Mapping[str, str] = field(default_factory=dict)
    file_format: str | None = None
    batch: int | None = None


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request whose texts have been read."""

    request: ImportRequest
    indexes: Sequence[IndexSpec]
    types: Mapping[str, ColumnType]


def prepare(request: ImportRequest) -> Prepared:
    """Check everything that can be checked before a store is opened.

    Raises:
        UsageError: an index or type is malformed, or an option needs ``--table``.
    """
    from proxy.importing import IndexSpec

    prepared = Prepared(
        request,
        [IndexSpec.parse(text) for text in request.indexes],
        {column: _type(column, text) for column, text in request.types.items()},
    )
    if request.table is None and (request.primary_key or request.indexes):
        raise err(
            UsageError, "E_USAGE", "--pk and --index belong to one table", "Name it with --table"
        )
    return prepared


def run_import(session: Session, prepared: Prepared, output: Output) -> int:
    """Load the file; write one line per table and return the number of rows loaded.

    Raises:
        EncdbError: nothing of the file is left behind, except batches that were committed.
    """
    request = prepared.request
    if _is_sqlite(request):
        reports = _import_sqlite(session, prepared)
    else:
        reports = [_import_text(session, prepared)]
    if output.for_people:
        for report in reports:
            line = f"{report.table}: {report.rows:,} row{'' if report.rows == 1 else 's'}"
            if request.batch is not None and report.last_line is not None:
                line += f", the last at line {report.last_line:,}"
            output.text(line)
    else:
        output.result(
            ("table", "rows", "created", "seconds", "last_line"),
            (
                (one.table, one.rows, one.created, round(one.seconds, 3), one.last_line)
                for one in reports
            ),
        )
    return sum(report.rows for report in reports)


def _is_sqlite(request: ImportRequest) -> bool:
    from proxy.loading import Source, detect_format

    # A pipe can be read once only, and an SQLite file cannot be read from one.
    if request.file_format is not None or not Path(request.file).is_file():
        return request.file_format == "sqlite"
    return detect_format(Source(request.file)) == "sqlite"


def _import_text(session: Session, prepared: Prepared) -> ImportReport:
    table = prepared.request.table
    if table is None:
        raise err(UsageError, "E_USAGE", "The rows need a table to go to", "Name it with --table")
    existing = session.catalog.find(table)
    loaded = (
        _reader(prepared.request)(prepared.types)
        if existing is None
        else _typed_as(existing, prepared)
    )
    return _import_one(session, prepared, loaded)


def _typed_as(table: Table, prepared: Prepared) -> LoadedTable:
    """The file with the types that its columns have in a table that exists."""
    read = _reader(prepared.request)
    given = {column.casefold(): kind for column, kind in prepared.types.items()}
    kinds = {column.name.casefold(): column.type for column in table.columns} | given
    try:
        return read(kinds)
    except ProgrammingError as error:
        if error.code != "E_UNKNOWN_COLUMN":
            raise
    # The file lacks some of the table's columns, which then are NULL; it has to say which.
    names = {name.casefold() for name, _, _ in read(prepared.types).columns}
    return read({name: kind for name, kind in kinds.items() if name in names})


def _reader(request: ImportRequest) -> Callable[[Mapping[str, ColumnType]], LoadedTable]:
    """A function that reads the file with given types, and may be called more than once."""
    from proxy.loading import read_table
    from proxy.loading.table import MAX_TEXT

    kept = sys.stdin.buffer.read(MAX_TEXT + 1) if request.file == "-" else None

    def read(types: Mapping[str, ColumnType]) -> LoadedTable:
        return read_table(
            request.file,
            name=str(request.table),
            file_format=request.file_format,
            overrides=types,
            stream=None if kept is None else io.BytesIO(kept),
        )

    return read


def _import_sqlite(session: Session, prepared: Prepared) -> list[ImportReport]:
    """All tables, or the one that was named; tables made before a failure are dropped again."""
    from proxy.loading import read_sqlite

    request = prepared.request
    if request.file == "-":
        raise err(
            UsageError,
            "E_IMPORT_FORMAT",
            "An SQLite file cannot be read from stdin",
            "Name the file",
        )
    reports: list[ImportReport] = []
    with read_sqlite(request.file, prepared.types, request.table) as source:
        for notice in source.notices:
            say(f"notice: {notice}")
        try:
            for loaded in source.tables:
                report = _import_one(session, prepared, loaded, told=True)
                reports.append(report)
        except BaseException:
            if request.batch is None:
                for report in reports:
                    _drop(session, report)
            raise
    return reports


def _import_one(
    session: Session, prepared: Prepared, loaded: LoadedTable, *, told: bool = False
) -> ImportReport:
    from proxy.importing import import_table

    request = prepared.request
    if not told:
        for notice in loaded.notices:
            say(f"notice: {notice}")
    with Progress("importing", "rows") as progress, _counting(loaded.name) as on_commit:
        return import_table(
            session,
            loaded,
            primary_key=request.primary_key,
            indexes=prepared.indexes,
            batch=request.batch,
            progress=lambda table, rows: progress(table, rows, loaded.rows),
            on_commit=on_commit,
        )


def _drop(session: Session, report: ImportReport) -> None:
    """Take back a table that this import made."""
    from proxy.cli.meta import quoted

    if report.created:
        session.execute(f"DROP TABLE IF EXISTS {quoted(report.table)}")


@contextmanager
def _counting(table: str) -> Iterator[Callable[[int, int | None], None]]:
    """After a failure of an import in batches, say how far it was committed."""
    done: list[tuple[int, int | None]] = []
    try:
        yield lambda rows, line: done.append((rows, line))
    except EncdbError:
        if done:
            rows, line = done[-1]
            where = "" if line is None else f", the last before line {line:,}"
            say(f"notice: {rows:,} rows of {table} were committed before the error{where}")
        raise


def _type(column: str, text: str) -> ColumnType:
    from indexes.types import ColumnType

    try:
        return ColumnType.parse(text)
    except ValueError as problem:
        raise err(
            UsageError, "E_USAGE", f"--type {column}={text}: {problem}", "See docs/sql.md for types"
        ) from None
