"""Statements as :mod:`.parse` understands them: frozen values, nothing resolved against a catalog yet.

Names keep the user's spelling; whether a table or column exists is asked by the planner or the session.
Expressions and queries are sqlglot trees that passed the checks of :mod:`.validate`. Treat them as read
only: planning copies them first.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlglot import exp

from indexes.types import ColumnType


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What every statement has.

    Attributes:
        source: its text, without the final semicolon.
        parameters: how many values it takes; ``?`` are numbered in the order of the text.
    """

    source: str
    parameters: int = 0


@dataclass(frozen=True, slots=True)
class ColumnDef:
    """One column of CREATE TABLE. ``default`` is SQL text."""

    name: str
    type: ColumnType
    not_null: bool = False
    default: str | None = None


@dataclass(frozen=True, slots=True)
class KeyDef:
    """A PRIMARY KEY or UNIQUE constraint; ``name`` is None where the user gave none."""

    name: str | None
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CheckDef:
    """A CHECK constraint; ``expression`` is SQL text."""

    name: str | None
    expression: str


@dataclass(frozen=True, slots=True)
class ForeignKeyDef:
    """A FOREIGN KEY; empty ``target_columns`` mean the target's primary key."""

    name: str | None
    columns: tuple[str, ...]
    target: str
    target_columns: tuple[str, ...]
    on_delete: str = "NO ACTION"
    on_update: str = "NO ACTION"


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateTable(Statement):
    """CREATE TABLE. Columns of the primary key are NOT NULL already."""

    name: str
    columns: tuple[ColumnDef, ...]
    primary_key: KeyDef | None = None
    uniques: tuple[KeyDef, ...] = ()
    checks: tuple[CheckDef, ...] = ()
    foreign_keys: tuple[ForeignKeyDef, ...] = ()
    if_not_exists: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DropTable(Statement):
    """DROP TABLE."""

    names: tuple[str, ...]
    if_exists: bool = False
    cascade: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateIndex(Statement):
    """CREATE [UNIQUE] INDEX. ``method`` is one that is served; option names are lower case."""

    name: str | None
    table: str
    method: str
    columns: tuple[str, ...]
    include: tuple[str, ...] = ()
    options: tuple[tuple[str, str], ...] = ()
    unique: bool = False
    if_not_exists: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DropIndex(Statement):
    """DROP INDEX."""

    names: tuple[str, ...]
    if_exists: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Query(Statement):
    """SELECT, VALUES, TABLE, set operations and WITH."""

    tree: exp.Expr


@dataclass(frozen=True, slots=True)
class DefaultValue:
    """The word DEFAULT in place of a value."""


DEFAULT = DefaultValue()

Cell = exp.Expr | DefaultValue


@dataclass(frozen=True, slots=True, kw_only=True)
class Insert(Statement):
    """INSERT.

    Exactly one of ``rows`` and ``query`` is set; DEFAULT VALUES is one empty row.
    ``columns`` is None where the statement names none.
    """

    table: str
    columns: tuple[str, ...] | None = None
    rows: tuple[tuple[Cell, ...], ...] | None = None
    query: exp.Expr | None = None
    returning: tuple[exp.Expr, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Update(Statement):
    """UPDATE. ``others`` are the FROM items, ``alias`` the name by which expressions call the table."""

    table: str
    alias: str | None
    assignments: tuple[tuple[str, Cell], ...]
    with_: exp.Expr | None = None
    others: tuple[exp.Expr, ...] = ()
    where: exp.Expr | None = None
    returning: tuple[exp.Expr, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete(Statement):
    """DELETE. ``others`` are the USING items."""

    table: str
    alias: str | None
    with_: exp.Expr | None = None
    others: tuple[exp.Expr, ...] = ()
    where: exp.Expr | None = None
    returning: tuple[exp.Expr, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Explain(Statement):
    """EXPLAIN; with ``analyze`` the statement is run and measured, with ``leakage`` its messages are explained."""

    statement: Statement
    analyze: bool = False
    leakage: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Begin(Statement):
    """BEGIN or START TRANSACTION. Every isolation level that is served is a snapshot."""

    read_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit(Statement):
    """COMMIT or END."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollback(Statement):
    """ROLLBACK or ABORT of the whole transaction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Savepoint(Statement):
    """SAVEPOINT."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RollbackTo(Statement):
    """ROLLBACK TO [SAVEPOINT]."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Release(Statement):
    """RELEASE [SAVEPOINT]."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Vacuum(Statement):
    """VACUUM of one table, or of all."""

    table: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Analyze(Statement):
    """ANALYZE of some columns of a table, of all of them, or of all tables."""

    table: str | None = None
    columns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Set(Statement):
    """SET name = value. Only settings whose value is one that is served anyway get this far."""

    name: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Show(Statement):
    """SHOW name: a setting whose value is fixed."""

    name: str
    value: str
