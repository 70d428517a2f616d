"""Rules 1 and 2: conditions on one column and constants.

Understood are comparisons in either order, BETWEEN, IN, ``= ANY (ARRAY[…])``, IS [NOT] TRUE or FALSE and
bare Boolean columns, rows compared element by element, IS NOT DISTINCT FROM, LIKE and ``@@``. The
column must be bare: a cast or function around it forbids the push (``lower(name) = 'x'``), as does
anything on the other side that is not constant (``x < random()``). ``<>``, NOT IN and IS NULL are left
to the engine: no index here serves them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from sqlglot import exp

from indexes.types import Kind

from ...catalog import Column
from .. import constants
from ..compare import MIRRORED, NEGATED, between, compare, contains
from ..constants import Constant, Type
from ..predicates import Equals, Literal, Match, Predicate
from ..scope import Atom, Block, Found, Ready, Source, Tree, resolve_column
from .like import like, read_pattern

Built = tuple[Predicate, bool] | None
Conditions = dict[Source, Tree]
MatchNumbers = dict[int, tuple[Source, int]]
"""By ``id`` of an ``@@`` node: the base table it is about and its number among that table's."""

_OPERATORS: Final[dict[type[exp.Expr], str]] = {
    exp.EQ: "=",
    exp.LT: "<",
    exp.LTE: "<=",
    exp.GT: ">",
    exp.GTE: ">=",
}


def source_column(block: Block, node: exp.Expr) -> Found | None:
    """The column of one of the block's own sources that an expression is, and nothing else."""
    while isinstance(node, exp.Paren):
        node = node.this
    if not isinstance(node, exp.Column):
        return None
    found = resolve_column(block, node)
    return found if isinstance(found, Found) and found.depth == 0 else None


def atom(
    block: Block, node: exp.Expr, matches: MatchNumbers, *, negate: bool
) -> list[tuple[Source, Tree]] | None:
    """The conditions that a condition without AND, OR and NOT amounts to, all of them together.

    Returns:
        (source, condition) pairs of which the conjunction is the whole condition, or None when it is
        not understood. Whether the condition can be pushed may still depend on the column's type.
    """
    operator = _OPERATORS.get(type(node))
    if operator is not None:
        if negate:
            operator = NEGATED.get(operator)
        elif operator == "=" and isinstance(node.this, exp.Tuple):
            return _row_equals(block, node)
        return None if operator is None else _comparison(block, node, operator)
    if isinstance(node, exp.Column):
        return _boolean(block, node, value=not negate)
    if isinstance(node, exp.MatchAgainst):
        return None if negate else _match(block, node, matches)
    reader = (_NEGATED if negate else _PLAIN).get(type(node))
    return None if reader is None else reader(block, node)


def _one(found: Found, build: Callable[[Column], Built]) -> list[tuple[Source, Tree]]:
    return [(found.source, Atom(found.position, build))]


def _exactly(predicate: Predicate | None) -> Built:
    return None if predicate is None else (predicate, True)


def _comparison(block: Block, node: exp.Expr, operator: str) -> list[tuple[Source, Tree]] | None:
    left, right = node.this, node.expression
    if isinstance(right, exp.Any):
        return _any(block, left, right) if operator == "=" else None
    found = source_column(block, left)
    if found is None:
        found, right, operator = source_column(block, right), left, MIRRORED[operator]
    constant = constants.fold(right) if found is not None else None
    if found is None or constant is None:
        return None
    return _one(found, lambda column: _exactly(compare(column, operator, constant)))


def _any(block: Block, left: exp.Expr, right: exp.Any) -> list[tuple[Source, Tree]] | None:
    """``column = ANY (ARRAY[…])`` is an IN."""
    array = right.this
    while isinstance(array, exp.Paren):
        array = array.this
    found = source_column(block, left)
    if found is None or not isinstance(array, exp.Array):
        return None
    return _elements(found, array.expressions)


def _elements(found: Found, nodes: Sequence[exp.Expr]) -> list[tuple[Source, Tree]] | None:
    elements: list[Constant] = []
    for node in nodes:
        constant = constants.fold(node)
        if constant is None:
            return None
        elements.append(constant)
    return _one(found, lambda column: _exactly(contains(column, elements)))


def _row_equals(block: Block, node: exp.Expr) -> list[tuple[Source, Tree]] | None:
    """``(a, b) = (1, 2)``."""
    if not isinstance(node.expression, exp.Tuple):
        return None
    left, right = node.this.expressions, node.expression.expressions
    if len(left) != len(right):
        return None
    result: list[tuple[Source, Tree]] = []
    for one, other in zip(left, right, strict=True):
        part = _comparison(block, exp.EQ(this=one.copy(), expression=other.copy()), "=")
        if part is None:
            return None
        result += part
    return result


def _not_distinct(block: Block, node: exp.Expr) -> list[tuple[Source, Tree]] | None:
    """``IS NOT DISTINCT FROM`` equals ``=`` unless both sides may be NULL."""
    for side in (node.this, node.expression):
        constant = constants.fold(side)
        if constant is not None and constant.type not in (Type.NULL, Type.PARAMETER):
            return _comparison(block, node, "=")
    return None


def _not_equal(block: Block, node: exp.Expr) -> list[tuple[Source, Tree]] | None:
    """NOT (a <> b)."""
    return _comparison(block, node, "=")


def _match(
    block: Block, node: exp.MatchAgainst, matches: MatchNumbers
) -> list[tuple[Source, Tree]] | None:
    if id(node) not in matches:
        return None
    source, number = matches[id(node)]
    return [(source, Ready(Match(number)))] if source in block.sources else None


def _between(block: Block, node: exp.Expr) -> list[tuple[Source, Tree]] | None:
    found = source_column(block, node.this)
    low, high = constants.fold(node.args["low"]), constants.fold(node.args["high"])
    if found is None or low is None or high is None or node.args.get("symmetric"):
        return None
    return _one(found, lambda column: _exactly(between(column, low, high)))


def _in(block: Block, node: exp.Expr) -> list[tuple[Source, Tree]] | None:
    if node.args.get("query") is not None or not node.expressions:
        return None
    found = source_column(block, node.this)
    return None if found is None else _elements(found, node.expressions)


def _is(block: Block, node: exp.Expr) -> list[tuple[Source, Tree]] | None:
    """``b IS TRUE`` and ``b IS FALSE``; IS NOT TRUE is true of NULL, so it is no atom."""
    if not isinstance(node.expression, exp.Boolean) or node.args.get("negate"):
        return None
    return _boolean(block, node.this, value=bool(node.expression.this))


def _boolean(block: Block, node: exp.Expr, *, value: bool) -> list[tuple[Source, Tree]] | None:
    found = source_column(block, node)
    if found is None:
        return None

    def build(column: Column) -> Built:
        if column.type.kind is not Kind.BOOLEAN:
            return None
        return Equals(column.id, Literal(value)), True

    return _one(found, build)


def _like(block: Block, node: exp.Expr) -> list[tuple[Source, Tree]] | None:
    return None if node.args.get("negate") else _pattern(block, node, "\\")


def _not_like(block: Block, node: exp.Expr) -> list[tuple[Source, Tree]] | None:
    """NOT (a NOT LIKE b)."""
    return _pattern(block, node, "\\") if node.args.get("negate") else None


def _escape(block: Block, node: exp.Expr) -> list[tuple[Source, Tree]] | None:
    inner, escape = node.this, constants.string(node.expression)
    if not isinstance(inner, exp.Like) or inner.args.get("negate"):
        return None
    if escape is None or len(escape) > 1:
        return None
    return _pattern(block, inner, escape)


def _pattern(block: Block, node: exp.Expr, escape: str) -> list[tuple[Source, Tree]] | None:
    found, text = source_column(block, node.this), constants.string(node.expression)
    pattern = None if found is None or text is None else read_pattern(text, escape)
    if found is None or pattern is None:
        return None
    return _one(found, lambda column: like(column, pattern))


_Reader = Callable[[Block, exp.Expr], list[tuple[Source, Tree]] | None]

_PLAIN: Final[dict[type[exp.Expr], _Reader]] = {
    exp.Between: _between,
    exp.Escape: _escape,
    exp.In: _in,
    exp.Is: _is,
    exp.Like: _like,
    exp.NullSafeEQ: _not_distinct,
}
_NEGATED: Final[dict[type[exp.Expr], _Reader]] = {
    exp.NEQ: _not_equal,
    exp.Like: _not_like,
}
