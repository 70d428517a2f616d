"""Rewriting a query's copy before it is looked at: so that every column has PostgreSQL's name.

* ``generate_series(1, 3) AS n`` has a column n, which the engine would call "generate_series".
* VALUES has columns column1, column2, …; the engine would call them col0, col1, ….
* EXISTS (SELECT * …) needs no columns at all.
"""

from __future__ import annotations

from sqlglot import exp

from .naming import name_columns


def normalise(tree: exp.Expr) -> None:
    """Rewrite a whole query in place."""
    for node in list(tree.walk()):
        if isinstance(node, exp.Exists):
            _exists(node)
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
