"""Rule 10: conditions on parts of a text.

``LIKE 'abc%'`` and ``starts_with`` are a range of the column, because the index orders TEXT code point by code point
as LIKE compares it: the values with a prefix are those from the prefix up to its successor. What a pattern has
between wildcards, the values must have too, as ``contains``, ``ends_with`` and ``strpos(…) > 0`` say it of one text; an
index of substrings finds those. The escape character is resolved first; it is the backslash unless ESCAPE names
another.

ILIKE compares ``lower(column)`` with the pattern's ``lower()``, as the engine folds them, code point by code point:
``'straße' ILIKE 'STRASSE%'`` is false, and ``'K' ILIKE 'k'`` is true of the Kelvin sign. So it is a condition on
``lower(column)``, which an index of the column itself serves only as far as no letter has another case. An escape
character that has another case itself is left to the engine.

A pattern of wildcards alone, a malformed one, and one that is no constant are not pushed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from indexes.folding import fold, rigid_prefix
from indexes.types import Kind

from ...catalog import Column
from ..predicates import Between, Equals, Like, Literal, Operand, Pattern, Predicate, folded

Built = tuple[Predicate, bool] | None

_SURROGATES: Final = (0xD800, 0xDFFF)
_LAST: Final = 0x10FFFF


@dataclass(frozen=True, slots=True)
class Text:
    """What is asked of a column's text, before the column is known.

    Attributes:
        parts: literals and parameters, one after the other.
        form: as in :class:`.predicates.Pattern`.
        escape: the escape character, or '' for none.
        of_lower: whether ``lower(column)`` is compared.
        lowered: whether the text is folded before it is compared.
    """

    parts: tuple[Operand, ...] = field(repr=False)
    form: str
    escape: str = ""
    of_lower: bool = False
    lowered: bool = False


def build(column: Column, text: Text) -> Built:
    """The predicate for a condition on a column's text, and whether it says all of it."""
    if column.type.kind is not Kind.TEXT:
        return None
    known = [one.value for one in text.parts if isinstance(one, Literal)]
    if len(known) < len(text.parts):
        pattern = Pattern(column.id, text.parts, text.form, text.escape, text.lowered)
        return (folded(pattern) if text.of_lower else pattern), True
    found = condition(column.id, "".join(map(str, known)), text.form, text.escape, text.lowered)
    if found is None or not text.of_lower:
        return found
    return folded(found[0]), found[1]


def condition(column: int, text: str, form: str, escape: str, lowered: bool) -> Built:
    """The predicate for a text that is known, and whether it says all of the condition.

    Args:
        column: the column's id.
        text: the pattern, or a text without wildcards.
        form: as in :class:`.predicates.Pattern`.
        escape: the escape character, or '' for none.
        lowered: whether the text is folded before it is compared.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return None
    if lowered:
        text = fold(text)
    if form == "equals":
        return Equals(column, Literal(text)), True
    if form != "like":
        like = Like(column, (text,), begins=form == "begins", ends=form == "ends")
        return (like, True) if text else None
    read = _read(text, escape)
    if read is None:
        return None
    runs, exact = read
    if len(runs) == 1:
        return Equals(column, Literal(runs[0])), exact
    pieces = tuple(one for one in runs if one)
    if not pieces:
        return None
    return Like(column, pieces, begins=bool(runs[0]), ends=bool(runs[-1])), exact


def _read(text: str, escape: str) -> tuple[list[str], bool] | None:
    """What a pattern has before, between and behind wildcards, some of it empty; and whether no ``_`` is in it.

    None for a malformed pattern, which the engine will report.
    """
    runs: list[list[str]] = [[]]
    exact = True
    place = 0
    while place < len(text):
        character = text[place]
        if escape and character == escape:
            place += 1
            if place == len(text):
                return None
            runs[-1].append(text[place])
        elif character in "%_":
            exact = exact and character == "%"
            runs.append([])
        else:
            runs[-1].append(character)
        place += 1
    return ["".join(one) for one in runs], exact


def has_case(character: str) -> bool:
    """Whether a character is not the only one of its case."""
    return not rigid_prefix(character)


def successor(prefix: str) -> str | None:
    """The least text above all texts with that prefix, or None when there is none."""
    while prefix:
        last = ord(prefix[-1])
        if last < _LAST:
            following = last + 1
            if _SURROGATES[0] <= following <= _SURROGATES[1]:
                following = _SURROGATES[1] + 1
            return prefix[:-1] + chr(following)
        prefix = prefix[:-1]
    return None


def with_prefix(column: int, prefix: str) -> Between:
    """The range of all texts that begin with a prefix, which is not empty."""
    end = successor(prefix)
    return Between(
        column,
        low=Literal(prefix),
        high=None if end is None else Literal(end),
        high_inclusive=False,
    )
