"""The type of a column of texts, found from all its values.

The rule is to lose nothing: a type is taken only if every value that is not empty fits it, and BIGINT
only if every value reads back as the same text, so that ``007``, ``+5``, ``1_000`` and `` 5`` make a
column TEXT. DATE is ``YYYY-MM-DD``; TIMESTAMP adds a time of day after a blank or a ``T``, and a zone
makes it TIMESTAMP WITH TIME ZONE. DOUBLE is for plain decimal numbers of which at least one has a
fraction or an exponent, and whose every value is kept exactly, digit for digit, by 64 bits.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from indexes.types import ColumnType, Kind

from ..casting import MOMENT, ZONE
from ..pythonic import within_years

TEXT: Final = ColumnType(Kind.TEXT)

CANDIDATES: Final = (Kind.BIGINT, Kind.DATE, Kind.TIMESTAMP, Kind.TIMESTAMPTZ, Kind.DOUBLE)
"""In order of preference."""

MOMENTS: Final = (Kind.DATE, Kind.TIMESTAMP, Kind.TIMESTAMPTZ)

_SAMPLE: Final = 64
_EXACT_DIGITS: Final = 15
_EXACT_INTEGER: Final = 2**53
_NUMBER: Final = r"^-?(0|[1-9][0-9]*)(\.[0-9]+([eE][+-]?[0-9]{1,3})?|[eE][+-][0-9]{1,3})?$"


class ColumnDetector:
    """Narrows the types that fit, one array of values after the other.

    Args:
        candidates: the types to consider.
    """

    def __init__(self, candidates: tuple[Kind, ...] = CANDIDATES) -> None:
        self._candidates = candidates
        self._fraction = False
        self._seen = False

    def feed(self, array: Any) -> None:
        """Consider a string array; NULL and empty texts say nothing."""
        if not self._candidates:
            return
        values = array.filter(pc.not_equal(array, pa.scalar("")))
        if not len(values):
            return
        self._seen = True
        # Most columns of text are known by their first values.
        self._narrow(values.slice(0, _SAMPLE))
        if len(values) > _SAMPLE:
            self._narrow(values)

    def _narrow(self, values: Any) -> None:
        kept = []
        integers = self._integers(values) if Kind.BIGINT in self._candidates else None
        for kind in self._candidates:
            if kind is Kind.BIGINT:
                fits = integers is not None
            elif kind is Kind.DOUBLE:
                fits = _exact_integers(integers) if integers is not None else self._doubles(values)
            else:
                # A number is no date, which spares most columns the look.
                fits = integers is None and _moments(values, kind)
            if fits:
                kept.append(kind)
        self._candidates = tuple(kept)

    def _integers(self, values: Any) -> Any:
        """The values as 64-bit integers, or None unless all read back as the same text."""
        try:
            integers = values.cast(pa.int64())
        except pa.ArrowInvalid:
            return None
        same = pc.all(pc.equal(integers.cast(pa.string()), values)).as_py()
        return integers if same else None

    def _doubles(self, values: Any) -> bool:
        if not pc.all(pc.match_substring_regex(values, _NUMBER)).as_py():
            return False
        broken = pc.match_substring_regex(values, "[.eE]")
        self._fraction = self._fraction or bool(pc.any(broken).as_py())
        return _exact_doubles(values)

    def result(self) -> ColumnType:
        """The type that fits all values seen; TEXT when none does or there were none."""
        if self._seen:
            for kind in self._candidates:
                if kind is not Kind.DOUBLE or self._fraction:
                    return ColumnType(kind)
        return TEXT


def _exact_integers(integers: Any) -> bool:
    """Whether all integers are kept by 64-bit floating point."""
    bounds: Any = pc.min_max(integers)
    if bounds["min"].as_py() >= -_EXACT_INTEGER and bounds["max"].as_py() <= _EXACT_INTEGER:
        return True
    return all(int(float(value)) == value for value in pc.unique(integers).to_pylist())


def _exact_doubles(values: Any) -> bool:
    """Whether all numbers are kept, as decimal numbers, by 64-bit floating point.

    Numbers of up to 15 significant digits always are, unless an exponent takes them out of range; the
    others are compared one by one with what would be read back.
    """
    digits = pc.replace_substring_regex(values, r"^[-0.]+", "")
    digits = pc.replace_substring(digits, ".", "")
    doubtful = pc.or_(
        pc.greater(pc.utf8_length(digits), pa.scalar(_EXACT_DIGITS)),
        pc.match_substring_regex(values, "[eE]"),
    )
    if not pc.any(doubtful).as_py():
        return True
    for text in pc.unique(values.filter(doubtful)).to_pylist():
        number = float(text)
        if number in (float("inf"), float("-inf")) or Decimal(repr(number)) != Decimal(text):
            return False
    return True


def _moments(values: Any, kind: Kind) -> bool:
    if kind is Kind.DATE:
        shape = r"^\d{4}-\d\d-\d\d$"
    else:
        shape = MOMENT + (ZONE if kind is Kind.TIMESTAMPTZ else "$")
    if not pc.all(pc.match_substring_regex(values, shape)).as_py():
        return False
    try:
        return within_years(values.cast(ColumnType(kind).arrow))
    except pa.ArrowInvalid:
        return False
