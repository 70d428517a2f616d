"""A whole SQLite file: every table with its keys, its plain indexes and its rows.

The file is opened read only, and read in one transaction, so that types and rows are of one moment.
Its views, triggers and virtual tables are not used: a hostile file can say what it likes in its schema,
but nothing of it is executed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote

import pyarrow as pa

from encdb.errors import DataError, EncdbError, OperationalError, ProgrammingError, UsageError, err
from indexes.types import ColumnType

from ..casting import python_array
from ..catalog import suggest
from ..misfit import MisfitAt
from .cells import CellDetector, cells
from .declared import column_type
from .schema import SourceTable, quoted, read_schema
from .table import BATCH_ROWS, LoadedTable, unfit

_CHUNK: Final = 8_192


class SqliteFile:
    """An SQLite file that is open for reading. A context manager; closing it ends its batches.

    Attributes:
        tables: in the order of the file's schema.
        notices: what was left out of all tables, one line each.
    """

    def __init__(
        self,
        path: str | Path,
        overrides: Mapping[str, ColumnType] | None = None,
        only: str | None = None,
    ) -> None:
        self._path = Path(path)
        self._name = f'"{self._path.name}"'
        self._connection = self._open()
        try:
            with self._told():
                sources, notices = read_schema(self._connection)
            if only is not None:
                sources = [_named(sources, only)]
            given = _by_table(sources, overrides or {})
            self.tables = [self._table(source, given[source.name]) for source in sources]
            self.notices = (*notices, *(note for table in self.tables for note in table.notices))
        except BaseException:
            self._connection.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _told(self) -> _Told:
        return _Told(self._name)

    def _open(self) -> sqlite3.Connection:
        if not self._path.is_file():
            raise err(OperationalError, "E_INPUT_FILE", f"{self._name} is not a file")
        with self._told():
            connection = sqlite3.connect(
                f"file:{quote(str(self._path.absolute()))}?mode=ro", uri=True, isolation_level=None
            )
            try:
                # Nothing that the file's schema says may run; text that is not UTF-8 is found later,
                # by the surrogates that stand for it.
                connection.execute("PRAGMA trusted_schema = OFF")
                connection.execute("PRAGMA query_only = ON")
                connection.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
                connection.execute("BEGIN")
                connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            except BaseException:
                connection.close()
                raise
        return connection

    def _table(self, source: SourceTable, given: Mapping[str, ColumnType]) -> LoadedTable:
        kinds: dict[str, ColumnType | None] = {}
        for column in source.columns:
            kinds[column.name] = given.get(column.name) or column_type(column.declared)
        unknown = [name for name, kind in kinds.items() if kind is None]
        rows = self._count(source)
        if unknown:
            detectors = {name: CellDetector() for name in unknown}
            for _, columns in self._chunks(source, unknown, _CHUNK):
                for detector, values in zip(detectors.values(), columns, strict=True):
                    detector.feed(values)
            kinds.update({name: detector.result() for name, detector in detectors.items()})
        columns = [(name, kind) for name, kind in kinds.items() if kind is not None]

        def batches(rows: int = BATCH_ROWS) -> Iterator[tuple[int, pa.RecordBatch]]:
            schema = pa.schema([(name, kind.arrow) for name, kind in columns])
            names = [name for name, _ in columns]
            for first, values in self._chunks(source, names, rows):
                arrays = []
                for column, (name, kind) in zip(values, columns, strict=True):
                    try:
                        arrays.append(python_array(cells(column, kind), kind))
                    except MisfitAt as misfit:
                        place = f'table "{source.name}", row {first + misfit.index}'
                        raise unfit(place, name, misfit) from None
                yield first, pa.RecordBatch.from_arrays(arrays, schema=schema)

        required = {column.name for column in source.columns if column.not_null}
        return LoadedTable(
            name=source.name,
            columns=tuple((name, kind, name in required) for name, kind in columns),
            batches=batches,
            primary_key=source.primary_key,
            uniques=source.uniques,
            foreign_keys=source.foreign_keys,
            indexes=source.indexes,
            rows=rows,
            place="row",
            notices=source.notices,
        )

    def _count(self, source: SourceTable) -> int:
        with self._told():
            count: int = self._connection.execute(
                f"SELECT count(*) FROM {quoted(source.name)}"  # noqa: S608 - a quoted name.
            ).fetchone()[0]
        return count

    def _chunks(
        self, source: SourceTable, names: list[str], size: int
    ) -> Iterator[tuple[int, list[tuple[Any, ...]]]]:
        """Some columns, some rows at a time, with the number of the first row."""
        selected = ", ".join(quoted(name) for name in names)
        statement = f"SELECT {selected} FROM {quoted(source.name)}"  # noqa: S608 - quoted names.
        first = 1
        with self._told():
            cursor = self._connection.execute(statement)
        while True:
            with self._told():
                rows = cursor.fetchmany(size)
            if not rows:
                return
            yield first, list(zip(*rows, strict=True))
            first += len(rows)


def read_sqlite(
    path: str | Path,
    overrides: Mapping[str, ColumnType] | None = None,
    only: str | None = None,
) -> SqliteFile:
    """Open an SQLite file.

    Args:
        path: the file.
        overrides: types that take the place of declared ones, by ``table.column``, or by ``column`` for
            that column of every table.
        only: load this table alone.

    Raises:
        OperationalError: E_INPUT_FILE: missing, unreadable, locked or damaged.
        UsageError: E_IMPORT_FORMAT: no SQLite file.
        ProgrammingError: E_UNKNOWN_TABLE, E_UNKNOWN_COLUMN: of ``only`` and ``overrides``.
        DataError: E_CSV_MALFORMED: a name that cannot be used.
    """
    return SqliteFile(path, overrides, only)


def _named(sources: list[SourceTable], name: str) -> SourceTable:
    for source in sources:
        if source.name.casefold() == name.casefold():
            return source
    raise err(
        ProgrammingError,
        "E_UNKNOWN_TABLE",
        f'the file has no table "{name}"',
        suggest(name, (source.name for source in sources)),
    )


def _by_table(
    sources: list[SourceTable], overrides: Mapping[str, ColumnType]
) -> dict[str, dict[str, ColumnType]]:
    """Overrides per table and column, both as the file spells them."""
    found: dict[str, dict[str, ColumnType]] = {source.name: {} for source in sources}
    for given, kind in overrides.items():
        used = False
        for source in sources:
            for column in source.columns:
                names = (column.name.casefold(), f"{source.name}.{column.name}".casefold())
                if given.casefold() in names:
                    found[source.name][column.name] = kind
                    used = True
        if not used:
            columns = (column.name for source in sources for column in source.columns)
            raise err(
                ProgrammingError,
                "E_UNKNOWN_COLUMN",
                f'the file has no column "{given}"',
                suggest(given.rpartition(".")[2], columns),
            )
    return found


class _Told:
    """Turns errors of SQLite into errors that name the file."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(fault, sqlite3.Error):
            raise self._error(fault) from None

    def _error(self, fault: sqlite3.Error) -> EncdbError:
        code = getattr(fault, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_NOTADB:
            return err(UsageError, "E_IMPORT_FORMAT", f"{self._name} is no SQLite file")
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return err(
                OperationalError,
                "E_INPUT_FILE",
                f"{self._name} is locked by another program",
                "Close that program, or import a copy",
            )
        if code == sqlite3.SQLITE_CORRUPT:
            return err(DataError, "E_CSV_MALFORMED", f"{self._name} is damaged", "Repair the file")
        reason = getattr(fault, "sqlite_errorname", type(fault).__name__)
        return err(OperationalError, "E_INPUT_FILE", f"{self._name} cannot be read: {reason}")


__all__ = ["SqliteFile", "read_sqlite"]
