"""Histories: what clients do, as SQL for a database and in clear for the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from .plain import Row, Value

Statement = tuple[str, tuple[Any, ...]]
MAIN = "main"


@dataclass(frozen=True)
class Step:
    """Something that one client does."""

    client: str = field(default=MAIN, kw_only=True)


@dataclass(frozen=True)
class Connect(Step):
    """A new connection, whose memory is empty; an older one of that name is closed."""


@dataclass(frozen=True)
class CreateTable(Step):
    """CREATE TABLE; ``columns`` are (name, type), ``key`` names the primary key."""

    table: str
    columns: tuple[tuple[str, str], ...]
    key: str | None = None

    def sql(self) -> Statement:
        """As SQL."""
        columns = [
            f"{name} {kind}" + (" PRIMARY KEY" if name == self.key else "")
            for name, kind in self.columns
        ]
        return f"CREATE TABLE {self.table} ({', '.join(columns)})", ()


@dataclass(frozen=True)
class CreateIndex(Step):
    """CREATE INDEX."""

    name: str
    table: str
    method: str
    columns: tuple[str, ...]
    options: tuple[tuple[str, str], ...] = ()
    include: tuple[str, ...] = ()

    def sql(self) -> Statement:
        """As SQL."""
        include = f" INCLUDE ({', '.join(self.include)})" if self.include else ""
        options = ", ".join(f"{name} = '{value}'" for name, value in self.options)
        return (
            f"CREATE INDEX {self.name} ON {self.table} USING {self.method} "
            f"({', '.join(self.columns)}){include}" + (f" WITH ({options})" if options else ""),
            (),
        )


@dataclass(frozen=True)
class Insert(Step):
    """One INSERT of complete rows."""

    table: str
    rows: tuple[Row, ...]

    def sql(self) -> Statement:
        """As SQL for one row of parameters."""
        marks = ", ".join("?" * len(self.rows[0]))
        return f"INSERT INTO {self.table} VALUES ({marks})", ()


@dataclass(frozen=True)
class Update(Step):
    """UPDATE of one column of the rows that a unique column's value finds."""

    table: str
    column: str
    value: Value
    where: str
    equals: Value

    def sql(self) -> Statement:
        """As SQL."""
        return (
            f"UPDATE {self.table} SET {self.column} = ? WHERE {self.where} = ?",
            (self.value, self.equals),
        )


@dataclass(frozen=True)
class Delete(Step):
    """DELETE of the rows that an indexed column's value finds."""

    table: str
    where: str
    equals: Value

    def sql(self) -> Statement:
        """As SQL."""
        return f"DELETE FROM {self.table} WHERE {self.where} = ?", (self.equals,)


@dataclass(frozen=True)
class Begin(Step):
    """BEGIN."""

    def sql(self) -> Statement:
        """As SQL."""
        return "BEGIN", ()


@dataclass(frozen=True)
class Commit(Step):
    """COMMIT."""

    def sql(self) -> Statement:
        """As SQL."""
        return "COMMIT", ()


@dataclass(frozen=True)
class Vacuum(Step):
    """VACUUM of one table."""

    table: str

    def sql(self) -> Statement:
        """As SQL."""
        return f"VACUUM {self.table}", ()


@dataclass(frozen=True)
class Analyze(Step):
    """ANALYZE of one table."""

    table: str

    def sql(self) -> Statement:
        """As SQL."""
        return f"ANALYZE {self.table}", ()


@dataclass(frozen=True)
class Query(Step):
    """A query of one table, planned as its class says; ``columns`` are what it returns."""

    table: str
    columns: tuple[str, ...]

    def select(self, rest: str, *parameters: Any) -> Statement:
        """As SQL."""
        shown = ", ".join(self.columns) or "count(*)"
        return f"SELECT {shown} FROM {self.table} {rest}", parameters


@dataclass(frozen=True)
class Scan(Query):
    """All rows; without columns their number."""

    def sql(self) -> Statement:
        """As SQL."""
        return self.select("")


@dataclass(frozen=True)
class Equal(Query):
    """Rows whose column is among values, by an equality index; one value by ``=``, several by IN."""

    where: str
    values: tuple[Value, ...]

    def sql(self) -> Statement:
        """As SQL."""
        if len(self.values) == 1:
            return self.select(f"WHERE {self.where} = ?", *self.values)
        marks = ", ".join("?" * len(self.values))
        return self.select(f"WHERE {self.where} IN ({marks})", *self.values)


@dataclass(frozen=True)
class Between(Query):
    """Rows whose column lies between two values, by a range index."""

    where: str
    low: Value
    high: Value

    def sql(self) -> Statement:
        """As SQL."""
        return self.select(f"WHERE {self.where} BETWEEN ? AND ?", self.low, self.high)


@dataclass(frozen=True)
class Together(Query):
    """Rows of one leading value whose last column lies between two, by a range index of two columns."""

    leading: str
    equals: Value
    where: str
    low: Value
    high: Value

    def sql(self) -> Statement:
        """As SQL."""
        return self.select(
            f"WHERE {self.leading} = ? AND {self.where} BETWEEN ? AND ?",
            self.equals,
            self.low,
            self.high,
        )


@dataclass(frozen=True)
class First(Query):
    """ORDER BY … LIMIT by a range index; NULL comes last ascending and first descending."""

    order: str
    limit: int
    descending: bool = False

    def sql(self) -> Statement:
        """As SQL."""
        direction = "DESC" if self.descending else "ASC"
        return self.select(f"ORDER BY {self.order} {direction} LIMIT {self.limit}")


@dataclass(frozen=True)
class Extreme(Query):
    """MIN or MAX by a range index."""

    of: str
    greatest: bool = False

    def sql(self) -> Statement:
        """As SQL."""
        name = "max" if self.greatest else "min"
        return f"SELECT {name}({self.of}) FROM {self.table}", ()


@dataclass(frozen=True)
class Match(Query):
    """Documents that hold all of some words, by a keyword index."""

    where: str
    words: tuple[str, ...]

    def sql(self) -> Statement:
        """As SQL."""
        return self.select(f"WHERE {self.where} @@ ?", " ".join(self.words))


@dataclass(frozen=True)
class Contains(Query):
    """Texts that contain a fragment, by a substring index."""

    where: str
    fragment: str

    def sql(self) -> Statement:
        """As SQL."""
        return self.select(f"WHERE {self.where} LIKE ?", f"%{self.fragment}%")


@dataclass(frozen=True)
class Tagged(Equal):
    """The same as Equal, by a `det` index."""


@dataclass(frozen=True)
class Compared(Between):
    """The same as Between, by an `ore` or `ope` index."""

    method: str = "ope"


@dataclass(frozen=True)
class Ranked(First):
    """The same as First, ascending, by an `ope` index."""


@dataclass(frozen=True)
class Groups(Query):
    """GROUP BY a column with a `det` index, counted by the store."""

    by: str

    def sql(self) -> Statement:
        """As SQL."""
        return f"SELECT {self.by}, count(*) FROM {self.table} GROUP BY {self.by}", ()


History = Sequence[Step]
