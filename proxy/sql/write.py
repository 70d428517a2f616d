"""Planning INSERT, UPDATE and DELETE.

A change is a query whose result the session writes: UPDATE asks for the ordinals of the rows and their new
values, DELETE for the ordinals, INSERT for whole rows. Values go through the column's type on the way, as
PostgreSQL's assignment casts do; what does not fit is found when they are converted for storage.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from sqlglot import exp

from encdb.errors import ProgrammingError, err
from indexes.types import Kind

from ..catalog import Catalog, Column, Table
from . import constants
from .access import QueryPlan
from .casts import bytes_literal, column_type
from .constants import Type
from .expressions import parse_default, parse_expression
from .names import fold
from .normal import quoted
from .plan import draft, finish
from .predicates import Literal, Operand, Parameter
from .rules.direct import direct_outputs
from .scope import Block
from .statements import Cell, DefaultValue, Delete, Insert, Update

_UNCAST = frozenset({Kind.BLOB})
_EXACT = frozenset({Kind.SMALLINT, Kind.INTEGER, Kind.BIGINT, Kind.DECIMAL})
_MAX_EXPONENT = 400


@dataclass(frozen=True, slots=True)
class InsertPlan:
    """Rows to be inserted.

    Attributes:
        table: the table.
        columns: ids of all its columns, in the order of the values.
        rows: the values, when all are constants or parameters; not yet of the columns' types.
        query: otherwise, what yields them. Its width must be that of ``columns``; the session checks.
        returning: the query for RETURNING, over a table of the same name that holds the new rows.
    """

    table: Table
    columns: tuple[int, ...]
    rows: tuple[tuple[Operand, ...], ...] | None
    query: QueryPlan | None
    returning: QueryPlan | None


@dataclass(frozen=True, slots=True)
class Shifted:
    """The value of a column in the same row plus or minus a constant or parameter.

    The column and the one that is assigned are of one exact type, so that the result is exact, too.
    """

    column: int
    by: Operand
    minus: bool


@dataclass(frozen=True, slots=True)
class UpdatePlan:
    """Rows to be changed.

    Attributes:
        table: the table.
        columns: ids of the assigned columns.
        query: yields ``__ordinal`` and then the new values of ``columns``, of their types.
        simple: the new values when each is a constant, a parameter or a :class:`Shifted` column. If
            ``query.direct`` is set too, the engine is not needed: the rows are those of the predicate.
        returning: the query for RETURNING, over a table of the same name that holds the changed rows;
            ``direct`` lists its columns if it asks for nothing else.
    """

    table: Table
    columns: tuple[int, ...]
    query: QueryPlan
    simple: tuple[Operand | Shifted, ...] | None
    returning: QueryPlan | None


@dataclass(frozen=True, slots=True)
class DeletePlan:
    """Rows to be removed.

    Attributes:
        table: the table.
        query: yields ``__ordinal``. If ``query.direct`` is set, the engine is not needed.
        returning: the query for RETURNING, over a table of the same name that holds the removed rows.
    """

    table: Table
    query: QueryPlan
    returning: QueryPlan | None


def plan_insert(statement: Insert, catalog: Catalog) -> InsertPlan:
    """The plan of an INSERT."""
    table = catalog.table(statement.table)
    named = _named_columns(table, statement.columns)
    returning = _returning(table, None, statement.returning, catalog)
    if statement.rows is not None:
        columns = _inserted(table, named, statement.rows)
        defaulted = [column for column in table.columns if column not in columns]
        rows = [_full_row(row, columns, defaulted) for row in statement.rows]
        ids = tuple(column.id for column in (*columns, *defaulted))
        operands = _constant_rows(rows, [*columns, *defaulted])
        if operands is not None:
            return InsertPlan(table, ids, operands, None, returning)
        query = finish(draft(_values(rows, [*columns, *defaulted]), catalog))
        return InsertPlan(table, ids, None, query, returning)
    assert statement.query is not None
    return _insert_query(table, named, statement.query, catalog, returning)


def _named_columns(table: Table, names: Sequence[str] | None) -> list[Column] | None:
    return None if names is None else [table.column(name) for name in names]


def _inserted(
    table: Table, named: list[Column] | None, rows: Sequence[Sequence[Cell]]
) -> list[Column]:
    """The columns that the rows give. Without a list they are the first ones."""
    width = len(rows[0])
    columns = list(table.columns[:width]) if named is None else named
    for row in rows:
        if len(row) != len(columns) and not (named == [] and not row):
            raise _wrong_width(len(row), len(table.columns) if named is None else len(columns))
    return columns


def _wrong_width(found: int, wanted: int) -> ProgrammingError:
    return err(
        ProgrammingError,
        "E_SYNTAX",
        f"the row has {found} values for {wanted} columns",
        "Give each row a value for each column that is named",
    )


def _full_row(
    row: Sequence[Cell], columns: Sequence[Column], defaulted: Sequence[Column]
) -> list[exp.Expr]:
    cells = [
        _default(column) if isinstance(cell, DefaultValue) else cell
        for cell, column in zip(row, columns, strict=True)
    ]
    return cells + [_default(column) for column in defaulted]


def _default(column: Column) -> exp.Expr:
    return exp.Null() if column.default is None else parse_default(column.default)


def _constant_rows(
    rows: Sequence[Sequence[exp.Expr]], columns: Sequence[Column]
) -> tuple[tuple[Operand, ...], ...] | None:
    found: list[tuple[Operand, ...]] = []
    for row in rows:
        operands = []
        for cell, column in zip(row, columns, strict=True):
            operand = _constant(cell, column)
            if operand is None:
                return None
            operands.append(operand)
        found.append(tuple(operands))
    return tuple(found)


def _constant(cell: exp.Expr, column: Column) -> Operand | None:
    """A constant as a Python value that converts to the column's type without loss, or None."""
    if isinstance(cell, exp.Literal) and not cell.is_string and "e" in str(cell.this).lower():
        value = Decimal(str(cell.this))
        return Literal(value) if abs(value.adjusted()) <= _MAX_EXPONENT else None
    constant = constants.fold(cell)
    if constant is None:
        return None
    if constant.type is Type.PARAMETER:
        assert isinstance(constant.value, int)
        return Parameter(constant.value)
    if column.type.kind is Kind.BLOB and isinstance(constant.value, str):
        return Literal(bytes.fromhex(str(bytes_literal(constant.value).this)))
    return Literal(constant.value)


def _values(rows: Sequence[Sequence[exp.Expr]], columns: Sequence[Column]) -> exp.Expr:
    tuples = [
        exp.Tuple(
            expressions=[
                _assigned(cell.copy(), column) for cell, column in zip(row, columns, strict=True)
            ]
        )
        for row in rows
    ]
    alias = exp.TableAlias(
        this=quoted("values"), columns=[quoted(f"column{n + 1}") for n in range(len(columns))]
    )
    values = exp.Values(expressions=tuples, alias=alias)
    return exp.Select(expressions=[exp.Star()], from_=exp.From(this=values))


def _assigned(value: exp.Expr, column: Column) -> exp.Expr:
    """A value cast to a column's type, as an assignment does."""
    text = constants.string(value)
    if column.type.kind in _UNCAST:
        return value if text is None else bytes_literal(text)
    return exp.Cast(this=value, to=column_type(column.type))


def _insert_query(
    table: Table,
    named: list[Column] | None,
    query: exp.Expr,
    catalog: Catalog,
    returning: QueryPlan | None,
) -> InsertPlan:
    plan = draft(query.copy(), catalog)
    width = plan.width
    if named is not None:
        columns = named
    else:
        columns = list(table.columns if width is None else table.columns[:width])
    if width is not None and width != len(columns):
        raise _wrong_width(width, len(columns))
    defaulted = [column for column in table.columns if column not in columns]
    ids = tuple(column.id for column in (*columns, *defaulted))
    if not defaulted:
        return InsertPlan(table, ids, None, finish(plan), returning)
    alias = exp.TableAlias(this=quoted("query"))
    inner = exp.Subquery(this=query.copy(), alias=alias)
    outer = exp.Select(
        expressions=[exp.Star(), *(_assigned(_default(column), column) for column in defaulted)],
        from_=exp.From(this=inner),
    )
    return InsertPlan(table, ids, None, finish(draft(outer, catalog)), returning)


def plan_update(statement: Update, catalog: Catalog) -> UpdatePlan:
    """The plan of an UPDATE."""
    table = catalog.table(statement.table)
    columns = [table.column(name) for name, _ in statement.assignments]
    cells = [
        _default(column) if isinstance(cell, DefaultValue) else cell
        for column, (_, cell) in zip(columns, statement.assignments, strict=True)
    ]
    items: list[exp.Expr] = [
        exp.alias_(_assigned(cell.copy(), column), column.name, quoted=True)
        for cell, column in zip(cells, columns, strict=True)
    ]
    query = _target_query(table, statement, items, catalog)
    simple = [_simple(cell, column, table) for cell, column in zip(cells, columns, strict=True)]
    return UpdatePlan(
        table,
        tuple(column.id for column in columns),
        query,
        tuple(one for one in simple if one is not None) if None not in simple else None,
        _returning(table, statement.alias, statement.returning, catalog),
    )


def _simple(cell: exp.Expr, column: Column, table: Table) -> Operand | Shifted | None:
    """A new value that needs no engine, or None."""
    constant = _constant(cell, column)
    if constant is not None or not isinstance(cell, exp.Add | exp.Sub):
        return constant
    minus = isinstance(cell, exp.Sub)
    left, right = cell.this, cell.expression
    if not minus and not isinstance(left, exp.Column):
        left, right = right, left
    # Only the changed table is in scope when the engine is not needed, so the name says which it is.
    if not isinstance(left, exp.Column) or column.type.kind not in _EXACT:
        return None
    source = next((one for one in table.columns if fold(one.name) == fold(left.name)), None)
    by = _constant(right, column)
    if source is None or source.type != column.type or by is None:
        return None
    return Shifted(source.id, by, minus)


def plan_delete(statement: Delete, catalog: Catalog) -> DeletePlan:
    """The plan of a DELETE."""
    table = catalog.table(statement.table)
    query = _target_query(table, statement, [], catalog)
    returning = _returning(table, statement.alias, statement.returning, catalog)
    return DeletePlan(table, query, returning)


def _target_query(
    table: Table, statement: Update | Delete, items: list[exp.Expr], catalog: Catalog
) -> QueryPlan:
    select = exp.Select(
        expressions=items, from_=exp.From(this=_target(table, statement.alias, statement.table))
    )
    if statement.others:
        # Written like a comma; the target is in scope for conditions only, as in PostgreSQL.
        select.set("joins", [exp.Join(this=node.copy()) for node in statement.others])
    if statement.where is not None:
        select.set("where", exp.Where(this=statement.where.copy()))
    if statement.with_ is not None:
        select.set("with_", statement.with_.copy())
    plan = draft(select, catalog)
    plan.target = table.id
    return finish(plan)


def _target(table: Table, alias: str | None, spelled: str) -> exp.Table:
    """The changed table as an item of FROM, called as the statement calls it."""
    node = exp.Table(this=quoted(table.name))
    name = alias if alias is not None else spelled
    if alias is not None or fold(name) != table.name:
        node.set("alias", exp.TableAlias(this=quoted(name)))
    return node


def _returning(
    table: Table, alias: str | None, items: Iterable[exp.Expr], catalog: Catalog
) -> QueryPlan | None:
    expressions = [item.copy() for item in items]
    if not expressions:
        return None
    select = exp.Select(
        expressions=expressions, from_=exp.From(this=_target(table, alias, table.name))
    )
    drafted = draft(select, catalog)
    root = drafted.root
    # The rows are at hand, so a list of their columns needs no engine.
    outputs = direct_outputs(root) if isinstance(root, Block) else None
    return replace(finish(drafted), direct=outputs)


def plan_checks(table: Table, catalog: Catalog) -> QueryPlan | None:
    """One row that tells, for each CHECK of a table, whether all rows of the engine's table fulfil it.

    The columns are in the order of ``table.checks``. A CHECK that is NULL is fulfilled. None when the table
    has no CHECK.
    """
    if not table.checks:
        return None
    items: list[exp.Expr] = []
    for check in table.checks:
        condition = parse_expression(check.expression, "CHECK", columns=True)
        fulfilled = exp.Coalesce(this=exp.Paren(this=condition), expressions=[exp.true()])
        every = exp.LogicalAnd(this=fulfilled)
        whole = exp.Coalesce(this=every, expressions=[exp.true()])
        items.append(exp.alias_(whole, check.name, quoted=True))
    select = exp.Select(expressions=items, from_=exp.From(this=_target(table, None, table.name)))
    return finish(draft(select, catalog))
