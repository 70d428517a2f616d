"""The other side of a differential test: the same statements in DuckDB, on plaintext.

DuckDB keeps the rows and nothing else. Constraints are checked here by queries after each statement,
because its own unique indexes refuse some changes that are fine at the end of a statement. It has no
savepoints either: a transaction is a list of statements, which is run again when a part is taken back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import duckdb
import pyarrow as pa

from tests.differential.kinds import normal

SETTINGS = {
    "integer_division": True,
    "default_null_order": "NULLS_LAST_ON_ASC_FIRST_ON_DESC",
    "threads": 1,
    "python_enable_replacements": False,
}


class Violation(Exception):  # noqa: N818 - an expected outcome, no error.
    """A constraint does not hold; the code is that of the error that encdb must give."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Oracle:
    """Plaintext tables with the settings of encdb's local engine."""

    def __init__(self) -> None:
        self._connection = duckdb.connect(":memory:", config=SETTINGS)
        self._connection.execute("SET GLOBAL TimeZone = 'UTC'")
        self._checks: list[tuple[str, str]] = []
        self._open: list[tuple[str, Sequence[Any]]] | None = None
        self._marks: list[tuple[str, int]] = []

    def close(self) -> None:
        """Forget everything."""
        self._connection.close()

    def create(self, sql: str) -> None:
        """Make a table; it has no constraints."""
        self._connection.execute(sql)

    def drop(self, table: str) -> None:
        """Drop a table and its constraints."""
        self._connection.execute(f"DROP TABLE {table}")
        self._checks = [one for one in self._checks if f" {table} " not in f"{one[1]} "]

    def constrain(self, code: str, query: str) -> None:
        """A query that returns no row as long as a constraint holds."""
        self._checks.append((code, query))

    def unique(self, table: str, columns: Sequence[str], *, primary: bool = False) -> None:
        """PRIMARY KEY or UNIQUE."""
        self.constrain("E_DUPLICATE_KEY", _twice(table, columns))
        for name in columns if primary else ():
            self.not_null(table, name)

    def restrict(self, table: str, columns: Sequence[str]) -> Violation | None:
        """A unique index over the rows there are, unless they hold a value twice."""
        if self._connection.execute(_twice(table, columns)).fetchall():
            return Violation("E_DUPLICATE_KEY")
        self.unique(table, columns)
        return None

    def relax(self, table: str, columns: Sequence[str]) -> None:
        """Drop a unique index."""
        self._checks.remove(("E_DUPLICATE_KEY", _twice(table, columns)))

    def not_null(self, table: str, column: str) -> None:
        """NOT NULL."""
        self.constrain("E_NOT_NULL", f"SELECT 1 FROM {table} WHERE {column} IS NULL")

    def check(self, table: str, condition: str) -> None:
        """CHECK."""
        self.constrain("E_CHECK", f"SELECT 1 FROM {table} WHERE NOT ({condition})")

    def run(self, sql: str, parameters: Sequence[Any] = ()) -> None:
        """Change data; a statement that violates a constraint or fails leaves nothing behind.

        Raises:
            Violation: with the codes of all constraints that would not hold, joined by '|'.
            duckdb.Error: the statement failed.
        """
        alone = self._open is None
        if alone:
            self._connection.execute("BEGIN")
        try:
            self._connection.execute(sql, list(parameters))
            self._verify()
        except BaseException:
            self._connection.execute("ROLLBACK")
            if not alone:
                self._replay()
            raise
        if self._open is None:
            self._connection.execute("COMMIT")
        else:
            self._open.append((sql, tuple(parameters)))

    def _verify(self) -> None:
        broken = {
            code for code, query in self._checks if self._connection.execute(query).fetchall()
        }
        if broken:
            raise Violation("|".join(sorted(broken)))

    def begin(self) -> None:
        """Begin a transaction."""
        self._connection.execute("BEGIN")
        self._open, self._marks = [], []

    def commit(self) -> None:
        """Keep the transaction's changes."""
        self._connection.execute("COMMIT")
        self._open = None

    def rollback(self) -> None:
        """Take the transaction's changes back."""
        self._connection.execute("ROLLBACK")
        self._open = None

    def savepoint(self, name: str) -> None:
        """Set a savepoint."""
        assert self._open is not None
        self._marks.append((name, len(self._open)))

    @property
    def savepoints(self) -> list[str]:
        """Names of the savepoints that are set, oldest first."""
        return [name for name, _ in self._marks]

    def rollback_to(self, name: str) -> None:
        """Take back what came after a savepoint."""
        assert self._open is not None
        place = self._last(name)
        del self._marks[place + 1 :]
        del self._open[self._marks[place][1] :]
        self._connection.execute("ROLLBACK")
        self._replay()

    def release(self, name: str) -> None:
        """Forget a savepoint and those after it."""
        del self._marks[self._last(name) :]

    def _last(self, name: str) -> int:
        return max(place for place, (known, _) in enumerate(self._marks) if known == name)

    def _replay(self) -> None:
        assert self._open is not None
        self._connection.execute("BEGIN")
        for sql, parameters in self._open:
            self._connection.execute(sql, list(parameters))

    def ask(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of a query, as normal values."""
        try:
            found = self._connection.sql(sql, params=list(parameters) or None).to_arrow_table()
        except duckdb.Error:
            if self._open is not None:
                # The failure has aborted the transaction.
                self._connection.execute("ROLLBACK")
                self._replay()
            raise
        return normal_rows(found)

    def count(self, table: str) -> int:
        """Number of rows of a table."""
        ((found,),) = self._connection.execute(f"SELECT count(*) FROM {table}").fetchall()
        return int(found)


def _twice(table: str, columns: Sequence[str]) -> str:
    """A query that finds values without NULL that are there twice."""
    names = ", ".join(columns)
    present = " AND ".join(f"{name} IS NOT NULL" for name in columns)
    return f"SELECT 1 FROM {table} WHERE {present} GROUP BY {names} HAVING count(*) > 1"


def normal_rows(table: pa.Table) -> list[tuple[Any, ...]]:
    """Rows of an Arrow table as normal values."""
    columns = [column.to_pylist() for column in table.columns]
    return [tuple(map(normal, row)) for row in zip(*columns, strict=True)] if columns else []
