"""``encdb import``: whole tables from files, one transaction per file.

A new table gets its columns, keys and indexes first, so that its rows are indexed while they arrive; when
the load fails the table is dropped again. Rows can be added to a table that exists and has the same
columns.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from encdb.errors import ProgrammingError, UsageError, err
from indexes.leakage import PROFILES
from indexes.types import ColumnType

from . import schema
from .arrow import nulls
from .catalog import Catalog, Table, suggest
from .loading.table import LoadedTable
from .result import Result, done
from .session import Session
from .sink import RowSink
from .sql import statements as sql
from .sql.ddl import check_method
from .sql.names import fold
from .transaction import Transaction

Progress = Callable[[str, int], None]


@dataclass(frozen=True, slots=True)
class IndexSpec:
    """One ``--index METHOD:COL[,COL]``."""

    method: str
    columns: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> IndexSpec:
        """Read ``METHOD:COL[,COL]``; UsageError when it is not of that form."""
        method, colon, names = text.partition(":")
        columns = tuple(name.strip() for name in names.split(",") if name.strip())
        if not colon or not columns:
            raise err(
                UsageError,
                "E_USAGE",
                f'"{text}" is not METHOD:COL[,COL]',
                "Write for example --index equality:zip.",
            )
        found = check_method(method.strip())
        if not PROFILES[found].hidden:
            raise err(
                UsageError,
                "E_USAGE",
                f"an index by {found} cannot be made together with its table",
                "Import the table first; CREATE INDEX then measures what the index would show.",
            )
        return cls(found, columns)


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import of one table did.

    Attributes:
        table: its name.
        rows: rows added.
        seconds: time taken.
        created: whether the table is new.
        last_line: line of the source that the last committed row ends before, when known.
    """

    table: str
    rows: int
    seconds: float
    created: bool
    last_line: int | None = None


def import_table(
    session: Session,
    loaded: LoadedTable,
    name: str | None = None,
    primary_key: Sequence[str] = (),
    indexes: Sequence[IndexSpec] = (),
    batch: int | None = None,
    progress: Progress | None = None,
    on_commit: Callable[[int, int | None], None] | None = None,
) -> ImportReport:
    """Load one table.

    Args:
        session: the connection.
        loaded: the rows and their columns.
        name: the table's name; by default the source's.
        primary_key: key columns of a new table; by default the source's.
        indexes: indexes of a new table, besides the source's.
        batch: commit after this many rows; None commits once.
        progress: called with the table's name and the rows taken in so far.
        on_commit: called after each commit with the rows committed so far and the line after them.

    Raises:
        EncdbError: nothing is left behind, except batches that were committed before.
    """
    started = time.perf_counter()
    target = name or loaded.name
    created = session.catalog.find(target) is None
    if created:
        session.definer.add_table(
            lambda catalog: new_table(catalog, target, loaded, primary_key, indexes)
        )
    elif primary_key or indexes:
        raise err(
            ProgrammingError,
            "E_DUPLICATE_NAME",
            f'table "{target}" exists already, so its keys and indexes cannot be given',
            "Leave out --pk and --index, or choose another name.",
        )
    run = _Import(session, target, loaded, batch, progress)
    try:
        run.check_columns()
        rows = run.rows(on_commit)
    except BaseException:
        if created and run.committed == 0:
            session.definer.drop_table(sql.DropTable(source="", names=(target,), if_exists=True))
        raise
    return ImportReport(target, rows, time.perf_counter() - started, created, run.last_line)


class _Import:
    """One load into one table."""

    def __init__(
        self,
        session: Session,
        name: str,
        loaded: LoadedTable,
        batch: int | None,
        progress: Progress | None,
    ) -> None:
        self._session = session
        self._name = name
        self._loaded = loaded
        self._batch = batch
        self._progress = progress
        self.committed = 0
        self.last_line: int | None = None

    def check_columns(self) -> None:
        """Refuse rows whose columns are not those of the table."""
        table = self._session.catalog.table(self._name)
        known = {fold(column.name): column for column in table.columns}
        for name, kind, _ in self._loaded.columns:
            column = known.pop(fold(name), None)
            if column is None:
                raise err(
                    ProgrammingError,
                    "E_UNKNOWN_COLUMN",
                    f'table "{table.name}" has no column "{name}"',
                    suggest(name, (one.name for one in table.columns)),
                )
            if not fits(kind, column.type):
                raise err(
                    ProgrammingError,
                    "E_TYPE_MISMATCH",
                    f'column "{name}" is {column.type.sql} in the table and {kind.sql} in the file',
                    f"Load it with --type {name}={column.type.sql}.",
                )
        for column in known.values():
            if column.not_null or column.default is not None:
                raise err(
                    ProgrammingError,
                    "E_UNKNOWN_COLUMN",
                    f'the file has no column "{column.name}", which may not be left out',
                )

    def rows(self, on_commit: Callable[[int, int | None], None] | None) -> int:
        """Load everything; returns the number of rows."""
        source = self._pieces()
        while True:
            taken = self._commit(source)
            self.committed += taken
            if on_commit is not None and taken:
                on_commit(self.committed, self.last_line)
            if self._batch is None or taken < self._batch:
                return self.committed

    def _commit(self, source: Iterator[tuple[int, pa.RecordBatch]]) -> int:
        """Take in up to one batch of rows as one transaction."""
        pieces: list[tuple[int, pa.RecordBatch]] = []
        line: int | None = None

        def change(transaction: Transaction) -> Result:
            nonlocal line
            table = self._session.catalog.table(self._name)
            self._session.database.ensure([table])
            sink = RowSink(transaction, self._session.database.tables[table.id])
            for first, batch in self._remembering(pieces, source):
                line = first + batch.num_rows
                rows = self._arrange(table, batch)
                self._session.changer.check_rows(table, rows)
                sink.add(rows)
                if self._progress is not None:
                    self._progress(self._name, self.committed + sink.total)
                if self._batch is not None and sink.total >= self._batch:
                    break
            return done("IMPORT", sink.finish())

        rows = self._session.run_transaction(change).rowcount
        if line is not None:
            self.last_line = line
        return rows

    def _remembering(
        self,
        pieces: list[tuple[int, pa.RecordBatch]],
        source: Iterator[tuple[int, pa.RecordBatch]],
    ) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Pieces read before come first, when the transaction is run again after a conflict."""
        yield from list(pieces)
        if self._batch is None:
            # A whole file is read anew from its start rather than kept in memory.
            yield from (self._pieces() if self._used else source)
            self._used = True
            return
        for piece in source:
            pieces.append(piece)
            yield piece

    _used = False

    def _pieces(self) -> Iterator[tuple[int, pa.RecordBatch]]:
        """The source's batches, cut so that none crosses a commit."""
        for first, batch in self._loaded.batches():
            if self._batch is None:
                yield first, batch
                continue
            for start in range(0, batch.num_rows, self._batch):
                yield first + start, batch.slice(start, self._batch)

    def _arrange(self, table: Table, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The batch with the columns of the table, in its order; columns left out are NULL."""
        places = {fold(name): place for place, (name, _, _) in enumerate(self._loaded.columns)}
        arrays = [
            batch.column(places[fold(column.name)])
            if fold(column.name) in places
            else nulls(batch.num_rows, column.type.arrow)
            for column in table.columns
        ]
        fields = [pa.field(column.name, column.type.arrow) for column in table.columns]
        return pa.record_batch(arrays, schema=pa.schema(fields))


def fits(kind: ColumnType, column: ColumnType) -> bool:
    """Whether every value of a source's type is a value of the column."""
    if kind.kind is not column.kind or kind.arrow != column.arrow:
        return False
    return column.length is None or (kind.length is not None and kind.length <= column.length)


def new_table(
    catalog: Catalog,
    name: str,
    loaded: LoadedTable,
    primary_key: Sequence[str],
    indexes: Sequence[IndexSpec],
) -> Table:
    """The catalog entry of a table that is made for a load."""
    key = tuple(primary_key) or tuple(loaded.primary_key)
    statement = sql.CreateTable(
        source="",
        name=name,
        columns=tuple(
            sql.ColumnDef(column, kind, not_null or fold(column) in {fold(one) for one in key})
            for column, kind, not_null in loaded.columns
        ),
        primary_key=sql.KeyDef(None, key) if key else None,
        uniques=tuple(sql.KeyDef(None, tuple(columns)) for columns in loaded.uniques),
        foreign_keys=tuple(
            sql.ForeignKeyDef(
                None, one.columns, one.target, one.target_columns, one.on_delete, one.on_update
            )
            for one in loaded.foreign_keys
        ),
    )
    successor, table = schema.create_table(catalog, statement)
    wanted = [(one.method, one.columns) for one in indexes]
    wanted += [("equality", columns) for _, columns in loaded.indexes]
    for method, columns in dict.fromkeys(wanted):
        if covered(table, method, columns):
            continue
        successor, table, _ = schema.create_index(
            successor,
            sql.CreateIndex(source="", name=None, table=name, method=method, columns=columns),
        )
    return dataclasses.replace(table, created=catalog.version + 1)


def covered(table: Table, method: str, columns: Sequence[str]) -> bool:
    """Whether a table has an index of that method on exactly these columns."""
    wanted = tuple(table.column(name).id for name in columns)
    return any(index.method == method and index.columns == wanted for index in table.indexes)
