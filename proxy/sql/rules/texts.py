"""Conditions on parts of a text, read from a statement: what :mod:`.like` pushes.

LIKE and ILIKE, ``starts_with`` and ``^@``, ``ends_with`` and ``suffix``, ``contains``, ``strpos`` and ``position`` compared with a number, and
``lower(column) = lower(text)``. A text may be put together of literals and parameters by ``||``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sqlglot import exp

from ...catalog import Column
from .. import constants
from ..constants import Type
from ..predicates import Literal, Operand, Parameter
from ..scope import Atom, Block, Source, Tree
from .columns import Target, target
from .like import Built, Text, build, has_case

Conditions = list[tuple[Source, Tree]]


def like(block: Block, node: exp.Expr, escape: str | None = None) -> Conditions | None:
    """LIKE and ILIKE; ``escape`` is what ESCAPE names."""
    insensitive = isinstance(node, exp.ILike)
    character = "\\" if escape is None else escape
    if len(character) > 1 or not character.isascii():
        return None
    if insensitive and character and has_case(character):
        return None
    about, text = target(block, node.this), _text(node.expression)
    if about is None or text is None:
        return None
    lowered = insensitive or text.lowered
    of_lower = insensitive or about.lowered
    return _condition(about, Text(text.parts, "like", character, of_lower, lowered))


def escaped(block: Block, node: exp.Expr, *, negated: bool) -> Conditions | None:
    """``… LIKE … ESCAPE …``, or the same with NOT before LIKE."""
    inner, escape = node.this, constants.string(node.expression)
    if not isinstance(inner, exp.Like | exp.ILike) or bool(inner.args.get("negate")) != negated:
        return None
    return None if escape is None else like(block, inner, escape)


def part(block: Block, node: exp.Expr) -> Conditions | None:
    """A call that is true of texts with a given part."""
    form = _FORMS.get(type(node))
    if form is not None:
        return _part(block, node.this, node.expression, form)
    if isinstance(node, exp.Anonymous) and node.name.lower() == "suffix":
        return _part(block, node.expressions[0], node.expressions[1], "ends")
    return None


def _part(block: Block, of: exp.Expr, what: exp.Expr, form: str) -> Conditions | None:
    about, text = target(block, of), _text(what)
    if about is None or text is None:
        return None
    return _condition(about, Text(text.parts, form, "", about.lowered, text.lowered))


def position(block: Block, call: exp.Expr, operator: str, other: exp.Expr) -> Conditions | None:
    """``strpos(column, text)`` compared with a number: 0 says that the text does not occur."""
    if not isinstance(call, exp.StrPosition) or any(
        value for key, value in call.args.items() if key not in ("this", "substr")
    ):
        return None
    constant = constants.fold(other)
    if constant is None or constant.type is not Type.INTEGER:
        return None
    number = constant.value
    assert isinstance(number, int)
    whole = (operator, number) in ((">", 0), (">=", 1), ("<>", 0))
    if not whole and not (operator in ("=", ">", ">=") and number > 0):
        return None
    about, text = target(block, call.this), _text(call.args["substr"])
    if about is None or text is None:
        return None
    return _condition(
        about, Text(text.parts, "contains", "", about.lowered, text.lowered), exact=whole
    )


def same_lower(block: Block, left: exp.Expr, right: exp.Expr) -> Conditions | None:
    """``lower(column) = lower(text)``."""
    about, text = target(block, left), _text(right)
    if about is None or text is None or not (about.lowered and text.lowered):
        return None
    return _condition(about, Text(text.parts, "equals", "", of_lower=True, lowered=True))


def _condition(about: Target, text: Text, *, exact: bool = True) -> Conditions:
    def made(column: Column) -> Built:
        found = build(column, text)
        return None if found is None else (found[0], found[1] and exact)

    return [(about.found.source, Atom(about.found.position, made))]


def _text(node: exp.Expr) -> Text | None:
    """Literals and parameters joined by ``||``, within ``lower()`` or not; the form is left open."""
    while isinstance(node, exp.Paren):
        node = node.this
    lowered = isinstance(node, exp.Lower)
    parts: list[Operand] = []
    stack: list[exp.Expr] = [node.this if lowered else node]
    while stack:
        current = stack.pop()
        if isinstance(current, exp.DPipe):
            stack += [current.expression, current.this]
        elif isinstance(current, exp.Paren):
            stack.append(current.this)
        else:
            constant = constants.fold(current)
            if constant is None:
                return None
            if constant.type is Type.PARAMETER and isinstance(constant.value, int):
                parts.append(Parameter(constant.value))
            elif constant.type in (Type.STRING, Type.TEXT):
                parts.append(Literal(constant.value))
            else:
                return None
    return Text(tuple(parts), "", lowered=lowered)


_FORMS: Final[dict[type[exp.Expr], str]] = {
    exp.Contains: "contains",
    exp.EndsWith: "ends",
    exp.StartsWith: "begins",
}

Reader = Callable[[Block, exp.Expr], Conditions | None]
