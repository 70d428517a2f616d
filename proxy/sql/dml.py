"""INSERT, UPDATE and DELETE out of sqlglot's trees."""

from __future__ import annotations

from collections.abc import Iterable

from sqlglot import exp

from encdb.errors import NotSupportedError, ProgrammingError, err

from . import validate
from .common import unsupported
from .expressions import check_simple
from .names import fold, table_name
from .statements import DEFAULT, Cell, Delete, Insert, Statement, Update
from .tokens import Chunk, parse_tokens


def parse_change(chunk: Chunk) -> Statement:
    """A statement that begins with INSERT, UPDATE or DELETE."""
    return change(chunk, parse_tokens(chunk.tokens, chunk.source))


def change(chunk: Chunk, tree: exp.Expr) -> Statement:
    """A data change whose tree is parsed already."""
    if isinstance(tree, exp.Insert):
        return _insert(chunk, tree)
    if isinstance(tree, exp.Update):
        return _update(chunk, tree)
    if isinstance(tree, exp.Delete):
        return _delete(chunk, tree)
    raise err(NotSupportedError, "E_NOT_SUPPORTED", "this statement is not supported")


def _only(tree: exp.Expr, allowed: Iterable[str]) -> None:
    """Refuse every argument that is set and not listed."""
    keys = frozenset(allowed)
    for key, value in tree.args.items():
        if value and key not in keys:
            word = key.strip("_").replace("_", " ").upper()
            raise unsupported(f"{word} in {tree.key.upper()}")


def _target(node: exp.Expr | None) -> tuple[str, str | None]:
    """The table that is changed, and its alias."""
    if not isinstance(node, exp.Table) or not isinstance(node.this, exp.Identifier):
        raise err(ProgrammingError, "E_SYNTAX", "the statement names no table to change")
    if node.args.get("only"):
        raise unsupported("ONLY", "Leave it out: tables do not inherit")
    _only(node, ("this", "alias", "db", "catalog"))
    alias = node.args.get("alias")
    if alias is not None and alias.args.get("columns"):
        raise unsupported("column aliases of the changed table")
    return table_name(node), node.alias or None


def _cell(node: exp.Expr) -> Cell:
    """A value, or the unquoted word DEFAULT, which sqlglot takes for a name."""
    identifier: exp.Expr | None = None
    if isinstance(node, exp.Var):
        identifier = node
    elif isinstance(node, exp.Column) and not node.args.get("table"):
        identifier = node.this
    if (
        identifier is not None
        and not identifier.args.get("quoted")
        and fold(identifier.name) == "default"
    ):
        return DEFAULT
    validate.check(node)
    return node


def _returning(tree: exp.Expr) -> tuple[exp.Expr, ...]:
    node = tree.args.get("returning")
    if node is None:
        return ()
    if node.args.get("into"):
        raise unsupported("RETURNING … INTO")
    expressions = tuple(node.expressions)
    for expression in expressions:
        if isinstance(expression, exp.Star):
            continue
        value = expression.this if isinstance(expression, exp.Alias) else expression
        if not (isinstance(value, exp.Column) and isinstance(value.this, exp.Star)):
            validate.check(value)
            check_simple(value, "RETURNING", columns=True)
    return expressions


def _insert(chunk: Chunk, tree: exp.Insert) -> Insert:
    if tree.args.get("conflict") is not None:
        raise unsupported("ON CONFLICT", "SELECT first, then INSERT or UPDATE, in one transaction")
    _only(tree, ("with_", "this", "expression", "returning", "default"))
    target, columns = tree.this, None
    if isinstance(target, exp.Schema):
        columns = tuple(_column_name(node) for node in target.expressions)
        _check_distinct(columns)
        target = target.this
    table, alias = _target(target)
    if alias is not None:
        raise unsupported("an alias of the table in INSERT", "Leave it out")
    source, parameters = chunk.source, chunk.parameters
    returning = _returning(tree)
    if tree.args.get("default"):
        return Insert(
            source=source,
            parameters=parameters,
            table=table,
            columns=(),
            rows=((),),
            returning=returning,
        )
    values, with_ = tree.args.get("expression"), tree.args.get("with_")
    if isinstance(values, exp.Values) and with_ is None and not _is_query(values):
        rows = tuple(_row(node) for node in values.expressions)
        return Insert(
            source=source,
            parameters=parameters,
            table=table,
            columns=columns,
            rows=rows,
            returning=returning,
        )
    if not isinstance(values, exp.Query | exp.Values):
        raise err(ProgrammingError, "E_SYNTAX", "INSERT wants VALUES or a query")
    if with_ is not None:
        if values.args.get("with_") is not None:
            raise unsupported("WITH both before and within INSERT", "Put all of WITH in one place")
        values = values.copy()
        values.set("with_", with_.copy())
    validate.check(values)
    return Insert(
        source=source,
        parameters=parameters,
        table=table,
        columns=columns,
        query=values,
        returning=returning,
    )


def _is_query(values: exp.Values) -> bool:
    return any(values.args.get(key) for key in ("alias", "order", "limit", "offset"))


def _row(node: exp.Expr) -> tuple[Cell, ...]:
    cells = (
        node.expressions
        if isinstance(node, exp.Tuple)
        else [node.this if isinstance(node, exp.Paren) else node]
    )
    return tuple(_cell(cell) for cell in cells)


def _column_name(node: exp.Expr) -> str:
    if isinstance(node, exp.Column) and not node.args.get("table"):
        node = node.this
    if not isinstance(node, exp.Identifier):
        raise err(ProgrammingError, "E_SYNTAX", "the list of columns wants names only")
    return str(node.name)


def _check_distinct(names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if fold(name) in seen:
            raise err(ProgrammingError, "E_DUPLICATE_COLUMN", f'column "{name}" is named twice')
        seen.add(fold(name))


def _others(nodes: Iterable[exp.Expr | None]) -> tuple[exp.Expr, ...]:
    found = tuple(node for node in nodes if node is not None)
    for node in found:
        validate.check(node)
    return found


def _checked(tree: exp.Expr, key: str) -> exp.Expr | None:
    node = tree.args.get(key)
    if node is None:
        return None
    validate.check(node)
    result: exp.Expr = node
    return result


def _condition(tree: exp.Expr) -> exp.Expr | None:
    where = _checked(tree, "where")
    return None if where is None else where.this


def _update(chunk: Chunk, tree: exp.Update) -> Update:
    _only(tree, ("with_", "this", "expressions", "from_", "where", "returning"))
    table, alias = _target(tree.this)
    assignments: list[tuple[str, Cell]] = []
    for node in tree.expressions:
        assignments.extend(_assignment(node))
    _check_distinct(name for name, _ in assignments)
    from_ = tree.args.get("from_")
    return Update(
        source=chunk.source,
        parameters=chunk.parameters,
        table=table,
        alias=alias,
        assignments=tuple(assignments),
        with_=_checked(tree, "with_"),
        others=_others([from_.this] if from_ is not None else []),
        where=_condition(tree),
        returning=_returning(tree),
    )


def _assignment(node: exp.Expr) -> list[tuple[str, Cell]]:
    """``a = x`` or ``(a, b) = (x, y)``."""
    if not isinstance(node, exp.EQ):
        raise err(ProgrammingError, "E_SYNTAX", "SET wants column = value")
    target, value = node.this, node.expression
    if isinstance(target, exp.Column):
        return [(_column_name(target), _cell(value))]
    if isinstance(target, exp.Paren):
        target, value = exp.Tuple(expressions=[target.this]), exp.Tuple(expressions=[value])
    if not isinstance(target, exp.Tuple):
        raise err(ProgrammingError, "E_SYNTAX", "SET wants column = value")
    if not isinstance(value, exp.Tuple):
        raise unsupported("SET of several columns from a query", "Assign each column by itself")
    if len(target.expressions) != len(value.expressions):
        raise err(ProgrammingError, "E_SYNTAX", "SET has more columns than values, or fewer")
    pairs = zip(target.expressions, value.expressions, strict=True)
    return [(_column_name(name), _cell(cell)) for name, cell in pairs]


def _delete(chunk: Chunk, tree: exp.Delete) -> Delete:
    _only(tree, ("with_", "this", "using", "where", "returning"))
    table, alias = _target(tree.this)
    return Delete(
        source=chunk.source,
        parameters=chunk.parameters,
        table=table,
        alias=alias,
        with_=_checked(tree, "with_"),
        others=_others(tree.args.get("using") or []),
        where=_condition(tree),
        returning=_returning(tree),
    )
