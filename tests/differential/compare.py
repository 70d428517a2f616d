"""Whether two answers are the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from tests.differential.kinds import close, normal

Row = tuple[Any, ...]


def normal_row(row: Sequence[Any]) -> Row:
    """A row with every value in its normal form."""
    return tuple(map(normal, row))


def same_rows(found: Sequence[Row], expected: Sequence[Row], *, ordered: bool) -> bool:
    """Whether two lists of normal rows are equal, as lists or as multisets; doubles to 1e-9."""
    if len(found) != len(expected):
        return False
    if ordered:
        return all(map(close, found, expected))
    left, right = Counter(found), Counter(expected)
    rest = list((right - left).elements())
    for row in (left - right).elements():
        match = next((place for place, other in enumerate(rest) if close(row, other)), None)
        if match is None:
            return False
        del rest[match]
    return not rest


def difference(found: Sequence[Row], expected: Sequence[Row]) -> str:
    """What is missing and what is too much, a few rows of each."""
    left, right = Counter(found), Counter(expected)
    missing, extra = list((right - left).elements()), list((left - right).elements())
    return (
        f"{len(found)} rows instead of {len(expected)}; "
        f"missing {missing[:5]}, not expected {extra[:5]}"
    )
