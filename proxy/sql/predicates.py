"""Predicates that an index can serve, per column: the vocabulary between planner and execution.

A predicate on a table means: rows for which it is not true cannot change the statement's result. It is
a superset filter and nothing more, because the local engine runs the original query over what was
fetched. Every atom is false or NULL for a NULL in its column, so that no predicate keeps a row which
an outer join made up; the rules of :mod:`.rules` rest on that.

Operands are literals, already values of the column's type (``int``, ``Decimal``, ``float``, ``str``,
``bytes``, ``bool``, ``date``, ``time``, ``datetime``, ``UUID``), or parameters, which
:func:`.compare.bind` turns into such literals when they are known.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final


@dataclass(frozen=True, slots=True)
class Literal:
    """A value of the column's type. It is hidden from ``repr``, because reprs end up in logs."""

    value: object = field(repr=False)


@dataclass(frozen=True, slots=True)
class Parameter:
    """The statement's parameter number ``index``, counted from 0."""

    index: int


Operand = Literal | Parameter


@dataclass(frozen=True, slots=True)
class Equals:
    """``column = operand``."""

    column: int
    operand: Operand


@dataclass(frozen=True, slots=True)
class In:
    """``column IN (operands)``; NULL among them counts for nothing."""

    column: int
    operands: tuple[Operand, ...]


@dataclass(frozen=True, slots=True)
class Between:
    """A range of a column; an end that is None is open. NULLs are never within."""

    column: int
    low: Operand | None = None
    low_inclusive: bool = True
    high: Operand | None = None
    high_inclusive: bool = True


@dataclass(frozen=True, slots=True)
class Like:
    """The column's text has some pieces, in this order and without overlap.

    Attributes:
        pieces: at least one, and none is empty.
        begins: whether the text begins with the first piece.
        ends: whether it ends with the last one. If there is only one piece, it is not both.
    """

    column: int
    pieces: tuple[str, ...] = field(repr=False)
    begins: bool
    ends: bool


@dataclass(frozen=True, slots=True)
class Pattern:
    """A condition on the column's text of which a part is not known yet; :func:`.compare.bind` makes it a `Like`.

    Attributes:
        parts: texts, one after the other.
        form: ``like`` for a pattern with wildcards; else what the column does with the text: it
            ``contains`` it, ``begins`` or ``ends`` with it, or ``equals`` it.
        escape: the escape character of a pattern, or '' for none.
        lowered: whether the text is folded before it is compared, as ILIKE does.
    """

    column: int
    parts: tuple[Operand, ...]
    form: str
    escape: str = ""
    lowered: bool = False


@dataclass(frozen=True, slots=True)
class Folded:
    """A condition on ``lower(column)``. ``column ILIKE x`` is ``lower(column) LIKE lower(x)``."""

    atom: Equals | In | Between | Like | Pattern

    @property
    def column(self) -> int:
        """The column that is folded."""
        return self.atom.column


@dataclass(frozen=True, slots=True)
class Match:
    """The row satisfies number ``match`` of the access's ``matches``."""

    match: int


@dataclass(frozen=True, slots=True)
class And:
    """All parts. Without any it is true of every row."""

    parts: tuple[Predicate, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """At least one part. Without any it is true of no row: nothing need be fetched."""

    parts: tuple[Predicate, ...]


Predicate = Equals | In | Between | Like | Pattern | Folded | Match | And | Or

EVERYTHING: Final = And(())
NOTHING: Final = Or(())


def folded(predicate: Predicate) -> Predicate:
    """The same condition on ``lower(column)`` in place of every column."""
    match predicate:
        case And(parts):
            return And(tuple(map(folded, parts)))
        case Or(parts):
            return Or(tuple(map(folded, parts)))
        case Equals() | In() | Between() | Like() | Pattern():
            return Folded(predicate)
        case _:
            raise TypeError("only conditions on one column can be folded")


def conjunction(parts: Iterable[Predicate]) -> Predicate:
    """AND, flattened and without repetition."""
    flat: dict[Predicate, None] = {}
    for part in parts:
        for item in part.parts if isinstance(part, And) else (part,):
            flat[item] = None
    if NOTHING in flat:
        return NOTHING
    merged = _merge_ranges(flat)
    return merged[0] if len(merged) == 1 else And(tuple(merged))


def _merge_ranges(parts: Iterable[Predicate]) -> list[Predicate]:
    """One range out of a lower and an upper bound of one column: it reads less than both."""
    result: list[Predicate] = []
    for part in parts:
        place = next(
            (place for place, other in enumerate(result) if _complement(part, other)), None
        )
        if place is None:
            result.append(part)
            continue
        other = result[place]
        if isinstance(part, Folded) and isinstance(other, Folded):
            result[place] = folded(_within_both(part.atom, other.atom))
        else:
            result[place] = _within_both(part, other)
    return result


def _within_both(one: Predicate, other: Predicate) -> Between:
    """The range between a lower and an upper bound."""
    assert isinstance(one, Between)
    assert isinstance(other, Between)
    low, high = (one, other) if one.low is not None else (other, one)
    return Between(one.column, low.low, low.low_inclusive, high.high, high.high_inclusive)


def _complement(one: Predicate, other: Predicate) -> bool:
    """Whether one is a lower bound and the other an upper bound of one column."""
    if isinstance(one, Folded) and isinstance(other, Folded):
        return _complement(one.atom, other.atom)
    if not isinstance(one, Between) or not isinstance(other, Between):
        return False
    if one.column != other.column:
        return False
    ends = [
        (one.low is not None, one.high is not None),
        (other.low is not None, other.high is not None),
    ]
    return sorted(ends) == [(False, True), (True, False)]


def disjunction(parts: Iterable[Predicate]) -> Predicate:
    """OR, flattened and without repetition; equalities on one column become one IN."""
    flat: dict[Predicate, None] = {}
    for part in parts:
        for item in part.parts if isinstance(part, Or) else (part,):
            flat[item] = None
    if EVERYTHING in flat:
        return EVERYTHING
    merged = _merge_equalities(flat)
    return merged[0] if len(merged) == 1 else Or(tuple(merged))


def _merge_equalities(parts: Iterable[Predicate]) -> list[Predicate]:
    operands: dict[int, dict[Operand, None]] = {}
    others: list[Predicate] = []
    for part in parts:
        if isinstance(part, Equals):
            operands.setdefault(part.column, {})[part.operand] = None
        elif isinstance(part, In):
            operands.setdefault(part.column, {}).update(dict.fromkeys(part.operands))
        else:
            others.append(part)
    equalities: list[Predicate] = [
        Equals(column, next(iter(found))) if len(found) == 1 else In(column, tuple(found))
        for column, found in operands.items()
    ]
    return equalities + others


def describe(
    predicate: Predicate, column_name: Callable[[int], str], match_text: Callable[[int], str]
) -> str:
    """A predicate as SQL for EXPLAIN. Literals are shown: they came from the user's own statement."""

    def text(node: Predicate) -> str:
        match node:
            case Equals() | In() | Between() | Like() | Pattern():
                return _on_column(node, column_name(node.column))
            case Folded(atom):
                return _on_column(atom, f"lower({column_name(atom.column)})")
            case Match(number):
                return match_text(number)
            case And(parts):
                return " AND ".join(_wrap(part) for part in parts) if parts else "TRUE"
            case Or(parts):
                return " OR ".join(text(part) for part in parts) if parts else "FALSE"

    def _wrap(node: Predicate) -> str:
        return f"({text(node)})" if isinstance(node, Or) and node.parts else text(node)

    return text(predicate)


def _on_column(node: Equals | In | Between | Like | Pattern, name: str) -> str:
    match node:
        case Equals(_, operand):
            return f"{name} = {_value(operand)}"
        case In(_, operands):
            return f"{name} IN ({', '.join(map(_value, operands))})"
        case Between():
            return _range(node, name)
        case Like():
            return f"{name} LIKE {_value(Literal(_like(node)))}"
        case Pattern():
            return _pattern(node, name)


def _like(node: Like) -> str:
    """The pattern, with backslashes before what would be wildcards."""
    pieces = "%".join(re.sub(r"([\\%_])", r"\\\1", piece) for piece in node.pieces)
    return f"{'' if node.begins else '%'}{pieces}{'' if node.ends else '%'}"


def _pattern(node: Pattern, name: str) -> str:
    text = " || ".join(map(_value, node.parts))
    text = f"lower({text})" if node.lowered else text
    if node.form == "equals":
        return f"{name} = {text}"
    if node.form != "like":
        return f"{_CALLS[node.form]}({name}, {text})"
    escape = "" if node.escape == "\\" else f" ESCAPE '{node.escape}'"
    return f"{name} LIKE {text}{escape}"


_CALLS: Final = {"contains": "contains", "begins": "starts_with", "ends": "ends_with"}


def _range(node: Between, name: str) -> str:
    ends = []
    if node.low is not None:
        ends.append(f"{name} {'>=' if node.low_inclusive else '>'} {_value(node.low)}")
    if node.high is not None:
        ends.append(f"{name} {'<=' if node.high_inclusive else '<'} {_value(node.high)}")
    return " AND ".join(ends) if ends else f"{name} IS NOT NULL"


def _value(operand: Operand) -> str:
    if isinstance(operand, Parameter):
        return f"${operand.index + 1}"
    value = operand.value
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, bytes):
        return f"x'{value.hex()}'"
    if isinstance(value, int | float) or type(value).__name__ == "Decimal":
        return str(value)
    return "'" + str(value).replace("'", "''") + "'"
