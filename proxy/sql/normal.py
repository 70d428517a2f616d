"""Rewriting a query's copy before it is looked at: PostgreSQL's names for all columns, and its rows.

* ``generate_series(1, 3) AS n`` has a column n, which the engine would call "generate_series".
* VALUES has columns column1, column2, …; the engine would call them col0, col1, ….
* EXISTS (SELECT * …) needs no columns at all.
* ``(a, b) > (1, 2)`` is ``a > 1 OR (a = 1 AND b > 2)``, and NULL where that is: the engine would order NULLs within rows.
"""

from __future__ import annotations

from sqlglot import exp

from . import functions
from .naming import name_columns


def normalise(tree: exp.Expr) -> None:
    """Rewrite a whole query in place."""
    for node in list(tree.walk()):
        if isinstance(node, exp.Exists):
            _exists(node)
        elif isinstance(node, exp.LT | exp.LTE | exp.GT | exp.GTE):
            _row_order(node)
        elif isinstance(node, exp.Values):
            if isinstance(node.parent, exp.From | exp.Join):
                _name_values(node)
        elif isinstance(node, exp.Subquery | exp.CTE):
            if isinstance(node.this, exp.Values) and node.args.get("alias") is not None:
                _fill_alias(node, len(_width(node.this)))
        elif (isinstance(node, exp.Table) and isinstance(node.this, exp.Func)) or isinstance(
            node, exp.Unnest
        ):
            _name_function(node)
        if isinstance(node, exp.Select) and _is_named(node):
            name_columns(node)


def _is_named(node: exp.Select) -> bool:
    """Whether somebody sees the names of a SELECT's columns."""
    parent = node.parent
    while isinstance(parent, exp.SetOperation | exp.Paren):
        if isinstance(parent, exp.SetOperation) and parent.expression is node:
            return False
        parent = parent.parent
    if parent is None or isinstance(parent, exp.CTE):
        return True
    return isinstance(parent, exp.Subquery) and (
        parent.parent is None
        or isinstance(parent.parent, exp.From | exp.Join | exp.Lateral | exp.SetOperation)
    )


def _exists(node: exp.Exists) -> None:
    select = node.this
    if not isinstance(select, exp.Select) or len(select.expressions) != 1:
        return
    if select.expressions[0].is_star and not any(
        select.args.get(key) for key in ("group", "having", "distinct", "qualify", "order")
    ):
        select.set("expressions", [exp.Literal.number(1)])


def _row_order(node: exp.Expr) -> None:
    """Rows compared element by element, if their elements may be written twice."""
    left, right = node.this, node.expression
    if not isinstance(left, exp.Tuple) or not isinstance(right, exp.Tuple):
        return
    if len(left.expressions) != len(right.expressions) or not left.expressions:
        return
    if any(
        isinstance(part, exp.Query) or functions.is_volatile(part)
        for side in (left, right)
        for part in side.walk()
    ):
        return
    pairs = list(zip(left.expressions, right.expressions, strict=True))
    kind = type(node)
    strict = exp.LT if isinstance(node, exp.LT | exp.LTE) else exp.GT
    one, other = pairs.pop()
    found: exp.Expr = kind(this=one.copy(), expression=other.copy())
    while pairs:
        one, other = pairs.pop()
        same = exp.EQ(this=one.copy(), expression=other.copy())
        rest = exp.Paren(this=exp.And(this=same, expression=found))
        before = strict(this=one.copy(), expression=other.copy())
        found = exp.Paren(this=exp.Or(this=before, expression=rest))
    node.replace(found)


def _width(values: exp.Expr) -> list[exp.Expr]:
    rows = values.expressions
    return list(rows[0].expressions) if rows and isinstance(rows[0], exp.Tuple) else [values]


def _name_values(node: exp.Values) -> None:
    if node.args.get("alias") is None:
        node.set("alias", exp.TableAlias(this=exp.to_identifier("values")))
    _fill_alias(node, len(_width(node)))


def _fill_alias(node: exp.Expr, width: int) -> None:
    alias = node.args["alias"]
    columns = list(alias.args.get("columns") or [])
    columns += [exp.to_identifier(f"column{place + 1}") for place in range(len(columns), width)]
    alias.set("columns", columns)


def _name_function(node: exp.Expr) -> None:
    """A function with one column calls it by the alias."""
    alias = node.args.get("alias")
    if alias is None or alias.args.get("columns") or alias.this is None:
        return
    if node.args.get("ordinality") or node.args.get("offset"):
        return
    if isinstance(node, exp.Unnest) and len(node.expressions) != 1:
        return
    alias.set("columns", [alias.this.copy()])


def as_select(tree: exp.Expr) -> exp.Expr:
    """A top-level VALUES as a SELECT over it, so that its columns have names."""
    if not isinstance(tree, exp.Values):
        return tree
    values = tree.copy()
    select = exp.Select(expressions=[exp.Star()])
    for key in ("order", "limit", "offset"):
        clause = values.args.get(key)
        if clause is not None:
            values.set(key, None)
            select.set(key, clause)
    values.set("alias", exp.TableAlias(this=exp.to_identifier("values")))
    select.set("from_", exp.From(this=values))
    return select


def quoted(name: str) -> exp.Identifier:
    """An identifier that is quoted whatever it holds."""
    return exp.Identifier(this=name, quoted=True)
