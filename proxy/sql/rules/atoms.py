"""Rules 1 and 2: conditions on one column and constants.

Understood are comparisons in either order, BETWEEN, IN, ``= ANY (ARRAY[…])``, IS [NOT] TRUE or FALSE and
bare Boolean columns, rows compared element by element, IS NOT DISTINCT FROM, what :mod:`.texts` reads, and ``@@``.
The column must be bare, or within ``lower()``, of which an index may be made: a cast or any other function around it
forbids the push (``length(name) = 3``), as does anything on the other side that is not constant
(``x < random()``). ``<>``, NOT IN and IS NULL are left to the engine: no index here serves them.
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
from ..predicates import Equals, Literal, Match, Predicate, folded
from ..scope import Atom, Block, Ready, Source, Tree
from . import texts
from .columns import Target, source_column, target

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
    if isinstance(node, exp.Func) and not negate:
        return texts.part(block, node)
    reader = (_NEGATED if negate else _PLAIN).get(type(node))
    return None if reader is None else reader(block, node)


def _one(
    about: Target, build: Callable[[Column], Predicate | None]
) -> list[tuple[Source, Tree]] | None:
    """One condition; ``build`` makes the predicate for the column itself, whether it is folded or not."""

    def made(column: Column) -> tuple[Predicate, bool] | None:
        if about.lowered and column.type.kind is not Kind.TEXT:
            return None
        found = build(column)
        if found is None:
            return None
        return (folded(found) if about.lowered else found), True

    return [(about.found.source, Atom(about.found.position, made))]


def _comparison(block: Block, node: exp.Expr, operator: str) -> list[tuple[Source, Tree]] | None:
    left, right = node.this, node.expression
    if isinstance(right, exp.Any):
        return _any(block, left, right) if operator == "=" else None
    found = _compared(block, left, operator, right)
    return _compared(block, right, MIRRORED[operator], left) if found is None else found


def _compared(
    block: Block, left: exp.Expr, operator: str, right: exp.Expr
) -> list[tuple[Source, Tree]] | None:
    if isinstance(left, exp.StrPosition):
        return texts.position(block, left, operator, right)
    constant = constants.fold(right)
    about = target(block, left)
    if about is None or constant is None:
        return texts.same_lower(block, left, right) if operator == "=" else None
    return _one(about, lambda column: compare(column, operator, constant))


def _any(block: Block, left: exp.Expr, right: exp.Any) -> list[tuple[Source, Tree]] | None:
    """``column = ANY (ARRAY[…])`` is an IN."""
    array = right.this
    while isinstance(array, exp.Paren):
        array = array.this
    about = target(block, left)
    if about is None or not isinstance(array, exp.Array):
        return None
    return _elements(about, array.expressions)


def _elements(about: Target, nodes: Sequence[exp.Expr]) -> list[tuple[Source, Tree]] | None:
    elements: list[Constant] = []
    for node in nodes:
        constant = constants.fold(node)
        if constant is None:
            return None
        elements.append(constant)
    return _one(about, lambda column: contains(column, elements))


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
    about = target(block, node.this)
    low, high = constants.fold(node.args["low"]), constants.fold(node.args["high"])
    if about is None or low is None or high is None or node.args.get("symmetric"):
        return None
    return _one(about, lambda column: between(column, low, high))


def _in(block: Block, node: exp.Expr) -> list[tuple[Source, Tree]] | None:
    if node.args.get("query") is not None or not node.expressions:
        return None
    about = target(block, node.this)
    return None if about is None else _elements(about, node.expressions)


def _is(block: Block, node: exp.Expr) -> list[tuple[Source, Tree]] | None:
    """``b IS TRUE`` and ``b IS FALSE``; IS NOT TRUE is true of NULL, so it is no atom."""
    if not isinstance(node.expression, exp.Boolean) or node.args.get("negate"):
        return None
    return _boolean(block, node.this, value=bool(node.expression.this))


def _boolean(block: Block, node: exp.Expr, *, value: bool) -> list[tuple[Source, Tree]] | None:
    found = source_column(block, node)
    if found is None:
        return None

    def build(column: Column) -> Predicate | None:
        return Equals(column.id, Literal(value)) if column.type.kind is Kind.BOOLEAN else None

    return _one(Target(found, lowered=False), build)


def _like(block: Block, node: exp.Expr) -> list[tuple[Source, Tree]] | None:
    return None if node.args.get("negate") else texts.like(block, node)


def _not_like(block: Block, node: exp.Expr) -> list[tuple[Source, Tree]] | None:
    """NOT (a NOT LIKE b)."""
    return texts.like(block, node) if node.args.get("negate") else None


def _escape(block: Block, node: exp.Expr) -> list[tuple[Source, Tree]] | None:
    return texts.escaped(block, node, negated=False)


def _not_escape(block: Block, node: exp.Expr) -> list[tuple[Source, Tree]] | None:
    return texts.escaped(block, node, negated=True)


def _unequal(block: Block, node: exp.Expr) -> list[tuple[Source, Tree]] | None:
    """``strpos(a, b) <> 0``."""
    for one, other in ((node.this, node.expression), (node.expression, node.this)):
        found = texts.position(block, one, "<>", other)
        if found is not None:
            return found
    return None


_Reader = Callable[[Block, exp.Expr], list[tuple[Source, Tree]] | None]

_PLAIN: Final[dict[type[exp.Expr], _Reader]] = {
    exp.Between: _between,
    exp.Escape: _escape,
    exp.ILike: _like,
    exp.In: _in,
    exp.Is: _is,
    exp.Like: _like,
    exp.NEQ: _unequal,
    exp.NullSafeEQ: _not_distinct,
}
_NEGATED: Final[dict[type[exp.Expr], _Reader]] = {
    exp.Escape: _not_escape,
    exp.ILike: _not_like,
    exp.Like: _not_like,
    exp.NEQ: _not_equal,
}
