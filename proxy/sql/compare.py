"""Rule 1: a comparison may be pushed only when the engine makes it in the column's type.

For each pair of a column's type and a constant's type this module knows whether that holds. If it does,
the constant is encoded through the column's type; a constant that lies between two of the column's
values moves a range's end to the nearer one outside, and makes an equality impossible. If it does not,
the answer is None and the engine decides alone. Queries that a wrong push breaks:

* ``text_column = 5``: the engine casts the column, so ``'05'`` matches.
* ``bigint_column = 9007199254740993e0``: compared as DOUBLE, where 2**53 + 1 equals 2**53.
* ``int_column < 4.6``: rounded to ``< 4`` it would lose 4, truncated ``> -4.6`` would lose -4.
* ``decimal_column = 0.1::double precision``, JSON, INTERVAL, a cast or function on the column: never.

A parameter is compared once its value is known (:func:`bind`), by the same rules.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from indexes.types import Kind

from ..catalog import Column, Table
from . import constants
from .constants import Constant, Type
from .placing import Place, place
from .predicates import (
    EVERYTHING,
    NOTHING,
    And,
    Between,
    Equals,
    Folded,
    In,
    Like,
    Literal,
    Match,
    Or,
    Parameter,
    Pattern,
    Predicate,
    conjunction,
    disjunction,
    folded,
)
from .rules.like import condition

OPERATORS: Final = ("=", "<", "<=", ">", ">=")
MIRRORED: Final = {"=": "=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
NEGATED: Final = {"<": ">=", "<=": ">", ">": "<=", ">=": "<"}

_NO_PUSH: Final = frozenset({Kind.JSON, Kind.INTERVAL})


def compare(column: Column, operator: str, constant: Constant) -> Predicate | None:
    """The predicate for ``column operator constant``, or None when it must not be pushed.

    ``EVERYTHING`` stands for a comparison that is true of every value except NULL.
    """
    kind = column.type.kind
    if kind in _NO_PUSH:
        return None
    if constant.type is Type.NULL:
        return NOTHING
    if constant.type is Type.PARAMETER:
        assert isinstance(constant.value, int)
        return _atom(column.id, operator, Parameter(constant.value))
    found = place(column.type, constant)
    return None if found is None else _placed(column.id, operator, found)


def _placed(column: int, operator: str, at: Place) -> Predicate:
    if operator == "=":
        if at.outside or not at.exact:
            return NOTHING
        return Equals(column, Literal(at.value))
    if at.outside:
        true_of_all = (at.outside > 0) == (operator in ("<", "<="))
        return EVERYTHING if true_of_all else NOTHING
    if not at.exact:
        operator = "<=" if operator in ("<", "<=") else ">"
    return _atom(column, operator, Literal(at.value))


def _atom(column: int, operator: str, operand: Literal | Parameter) -> Predicate:
    if operator == "=":
        return Equals(column, operand)
    inclusive = operator in ("<=", ">=")
    if operator in ("<", "<="):
        return Between(column, high=operand, high_inclusive=inclusive)
    return Between(column, low=operand, low_inclusive=inclusive)


def between(column: Column, low: Constant, high: Constant) -> Predicate | None:
    """``column BETWEEN low AND high``.

    One end that may not be pushed forbids the other as well, because the engine compares both in one
    common type.
    """
    ends = [compare(column, ">=", low), compare(column, "<=", high)]
    if ends[0] is None or ends[1] is None:
        return None
    return conjunction(part for part in ends if part is not None)


def contains(column: Column, elements: Sequence[Constant]) -> Predicate | None:
    """``column IN (elements)``. All elements or none are pushed, for the same reason."""
    types = {element.type for element in elements} - {Type.PARAMETER, Type.NULL}
    if len(types) > 1 and types != {Type.INTEGER, Type.DECIMAL}:
        return None
    parts: list[Predicate] = []
    for element in elements:
        part = compare(column, "=", element)
        if part is None:
            return None
        parts.append(part)
    return disjunction(parts)


@dataclass(frozen=True, slots=True)
class Bound:
    """A predicate whose parameters are known.

    ``predicate`` is None when nothing of it may be served, that is, for a scan. ``exact`` says that
    nothing was left out: rows fulfil the bound predicate exactly if they fulfil the original one.
    """

    predicate: Predicate | None
    exact: bool


def bind(
    predicate: Predicate | None,
    table: Table,
    parameters: Sequence[object],
    folds: Callable[[], bool] = lambda: True,
) -> Bound:
    """Put the values of parameters into a predicate, by the rules of :func:`compare`.

    Values whose comparison is not certain to happen in the column's type make their atom unserved: a
    conjunction goes on without it, a disjunction is given up.

    Args:
        predicate: of an access.
        table: its table.
        parameters: the statement's.
        folds: says whether the engine folds letters as :mod:`indexes.folding` does; asked only when it
            matters. If not, no condition on a folded column is served.
    """
    if predicate is None:
        return Bound(None, exact=False)
    return _bind(predicate, table, parameters, folds)


def _bind(
    node: Predicate, table: Table, parameters: Sequence[object], folds: Callable[[], bool]
) -> Bound:
    match node:
        case Match() | Like():
            return Bound(node, exact=True)
        case Pattern():
            return _bind_pattern(node, parameters)
        case Folded(atom):
            bound = _bind(atom, table, parameters, folds) if folds() else Bound(None, exact=False)
            inner = bound.predicate
            return bound if inner is None else Bound(folded(inner), bound.exact)
        case And(parts):
            bounds = [_bind(part, table, parameters, folds) for part in parts]
            kept = [bound.predicate for bound in bounds if bound.predicate is not None]
            exact = all(bound.exact for bound in bounds)
            return Bound(conjunction(kept) if kept else None, exact and bool(kept))
        case Or(parts):
            arms: list[Predicate] = []
            exact = True
            for part in parts:
                bound = _bind(part, table, parameters, folds)
                if bound.predicate is None:
                    return Bound(None, exact=False)
                arms.append(bound.predicate)
                exact = exact and bound.exact
            return Bound(disjunction(arms), exact)
        case Equals() | In() | Between():
            found = _bind_atom(node, table.column_by_id(node.column), parameters)
            if found is None or found == EVERYTHING:
                return Bound(None, exact=False)
            return Bound(found, exact=True)


def _bind_pattern(node: Pattern, parameters: Sequence[object]) -> Bound:
    """A NULL among the parts makes the whole text NULL; what is no text the engine has to convert."""
    values = [
        part.value if isinstance(part, Literal) else parameters[part.index] for part in node.parts
    ]
    if any(value is None for value in values):
        return Bound(NOTHING, exact=True)
    texts = [value for value in values if isinstance(value, str)]
    if len(texts) < len(values):
        return Bound(None, exact=False)
    found = condition(node.column, "".join(texts), node.form, node.escape, node.lowered)
    return Bound(None, exact=False) if found is None else Bound(*found)


def _bind_atom(
    node: Equals | In | Between, column: Column, parameters: Sequence[object]
) -> Predicate | None:
    if isinstance(node, Equals):
        return _bind_comparison(column, "=", node.operand, parameters)
    if isinstance(node, In):
        arms = [_bind_comparison(column, "=", one, parameters) for one in node.operands]
        known = [arm for arm in arms if arm is not None]
        return disjunction(known) if len(known) == len(arms) else None
    parts: list[Predicate] = []
    if node.low is not None:
        operator = ">=" if node.low_inclusive else ">"
        low = _bind_comparison(column, operator, node.low, parameters)
        if low is None:
            return None
        parts.append(low)
    if node.high is not None:
        operator = "<=" if node.high_inclusive else "<"
        high = _bind_comparison(column, operator, node.high, parameters)
        if high is None:
            return None
        parts.append(high)
    return conjunction(parts)


def _bind_comparison(
    column: Column, operator: str, operand: Literal | Parameter, parameters: Sequence[object]
) -> Predicate | None:
    if isinstance(operand, Literal):
        return _atom(column.id, operator, operand)
    constant = constants.of_value(parameters[operand.index])
    return None if constant is None else compare(column, operator, constant)
