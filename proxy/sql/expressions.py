"""Single expressions, for DEFAULT, CHECK and RETURNING."""

from __future__ import annotations

from sqlglot import exp

from encdb.errors import NotSupportedError, ProgrammingError, err

from . import validate
from .tokens import parse_tokens, tokenize

_SELECT = tokenize("SELECT")[0]


def parse_expression(text: str, where: str, *, columns: bool) -> exp.Expr:
    """One expression out of its text, checked.

    Args:
        text: the expression as SQL.
        where: what to call the place in errors, such as ``DEFAULT``.
        columns: whether it may name columns.
    """
    tree = parse_tokens([_SELECT, *tokenize(text)], text)
    given = {key for key, value in tree.args.items() if value}
    if not isinstance(tree, exp.Select) or given != {"expressions"} or len(tree.expressions) != 1:
        raise err(ProgrammingError, "E_SYNTAX", f"{where} wants one expression")
    expression: exp.Expr = tree.expressions[0]
    validate.check(expression)
    check_simple(expression, where, columns=columns)
    return expression


def parse_default(text: str) -> exp.Expr:
    """The expression of a column's DEFAULT as the catalog keeps it."""
    return parse_expression(text, "DEFAULT", columns=False)


def check_simple(expression: exp.Expr, where: str, *, columns: bool) -> None:
    """Refuse subqueries, aggregates, windows, parameters and, unless allowed, columns."""
    refused: list[tuple[type[exp.Expr], str]] = [
        (exp.Query, "a subquery"),
        (exp.AggFunc, "an aggregate"),
        (exp.Window, "a window function"),
        (exp.Parameter, "a parameter"),
        (exp.MatchAgainst, "@@"),
        (exp.Alias, "an alias"),
        (exp.Star, "*"),
    ]
    if not columns:
        refused.append((exp.Column, "a column"))
    for node in expression.walk():
        for kind, what in refused:
            if isinstance(node, kind):
                raise err(
                    NotSupportedError, "E_NOT_SUPPORTED", f"{what} in {where} is not supported"
                )
