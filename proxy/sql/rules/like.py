"""Rule 10: ``column LIKE 'abc%'`` is a range of the column.

LIKE compares code point by code point, as the index orders TEXT, so the values with a prefix are exactly
those from the prefix up to its successor. The escape character is resolved first; it is the backslash
unless ESCAPE names another. ILIKE is never pushed: ``'straße' ILIKE 'STRASSE%'`` and its likes depend on
the engine's case mapping. Nor is a pattern that begins with a wildcard, or is no constant.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from indexes.types import Kind

from ...catalog import Column
from ..predicates import Between, Equals, Literal, Predicate

_SURROGATES: Final = (0xD800, 0xDFFF)
_LAST: Final = 0x10FFFF


@dataclass(frozen=True, slots=True)
class Pattern:
    """What a LIKE pattern begins with, and what follows.

    ``rest`` is '' when the pattern is the prefix alone, '%' when anything may follow, else '?'.
    """

    prefix: str
    rest: str


def read_pattern(text: str, escape: str) -> Pattern | None:
    """The parts of a pattern; None for a malformed one, which the engine will report.

    Args:
        text: the pattern.
        escape: the escape character, or '' for none.
    """
    prefix: list[str] = []
    place = 0
    while place < len(text):
        character = text[place]
        if escape and character == escape:
            if place + 1 == len(text):
                return None
            prefix.append(text[place + 1])
            place += 2
            continue
        if character in "%_":
            rest = text[place:]
            return Pattern("".join(prefix), "%" if rest.strip("%") == "" else "?")
        prefix.append(character)
        place += 1
    return Pattern("".join(prefix), "")


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


def like(column: Column, pattern: Pattern) -> tuple[Predicate, bool] | None:
    """The predicate for a LIKE, and whether it says all of it."""
    if column.type.kind is not Kind.TEXT:
        return None
    try:
        pattern.prefix.encode()
    except UnicodeEncodeError:
        return None
    if not pattern.rest:
        return Equals(column.id, Literal(pattern.prefix)), True
    if not pattern.prefix:
        return None
    end = successor(pattern.prefix)
    found = Between(
        column.id,
        low=Literal(pattern.prefix),
        high=None if end is None else Literal(end),
        high_inclusive=False,
    )
    return found, pattern.rest == "%"
