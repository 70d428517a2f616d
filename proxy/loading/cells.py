"""Cells of an SQLite table, whose types SQLite does not enforce, as values of a column.

A column declared NUMERIC(10,2) holds floating-point numbers; 0.99 is meant by what is stored for it. So
a number is taken with 15 significant digits, which every 64-bit number keeps, and must then fit as it
is: nothing is rounded away, no fraction cut off and no text cut short while importing.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

from indexes.types import ColumnType, Kind

from ..coercion import INTEGER_BITS
from ..misfit import INVALID, OUT_OF_RANGE, Misfit, MisfitAt

_TEXTUAL: Final = frozenset((Kind.TEXT, Kind.JSON))


class CellDetector:
    """The type of a column that declares none, by the storage classes of its values."""

    def __init__(self) -> None:
        self._types: set[type] = set()

    def feed(self, values: Sequence[Any]) -> None:
        """Consider some values; None says nothing."""
        self._types.update(map(type, values))

    def result(self) -> ColumnType:
        """The type of all values; of mixed ones TEXT, so that loading names the first that is none."""
        types = self._types - {type(None)}
        if types == {int}:
            return ColumnType(Kind.BIGINT)
        if types and types <= {int, float}:
            return ColumnType(Kind.DOUBLE)
        if types == {bytes}:
            return ColumnType(Kind.BLOB)
        return ColumnType(Kind.TEXT)


def cells(values: Sequence[Any], kind: ColumnType) -> Sequence[Any]:
    """Cells as values that a column of that type takes without losing anything.

    Raises:
        MisfitAt: the first that would lose something.
    """
    if set(map(type, values)) <= _EXACT.get(kind.kind, _NOTHING):
        return values
    done = []
    for index, value in enumerate(values):
        try:
            done.append(None if value is None else _cell(value, kind))
        except Misfit as misfit:
            raise MisfitAt(misfit, index) from None
    return done


_NONE: Final = type(None)
_NOTHING: Final[frozenset[type]] = frozenset()
_EXACT: Final[dict[Kind, frozenset[type]]] = {
    **{kind: frozenset((int, str, _NONE)) for kind in INTEGER_BITS},
    Kind.DOUBLE: frozenset((float, str, _NONE)),
    Kind.TEXT: frozenset((str, _NONE)),
    Kind.BLOB: frozenset((bytes, _NONE)),
}
"""Storage classes that coercion judges rightly."""


def _cell(value: Any, kind: ColumnType) -> Any:
    if kind.kind is Kind.BOOLEAN and type(value) is int:
        if value in (0, 1):
            return bool(value)
        raise Misfit(OUT_OF_RANGE, "a BOOLEAN is 0 or 1")
    if isinstance(value, bytes) != (kind.kind is Kind.BLOB) and not (
        kind.kind is Kind.UUID and isinstance(value, bytes)
    ):
        stored = "bytes are" if isinstance(value, bytes) else "what is stored is"
        raise Misfit(INVALID, f"{stored} no {kind.sql}")
    if kind.kind in _TEXTUAL and not isinstance(value, str):
        raise Misfit(INVALID, f"a number is no {kind.sql}")
    if kind.kind is Kind.DECIMAL and isinstance(value, (int, float, str)):
        return _decimal(value, kind)
    if kind.kind in INTEGER_BITS and isinstance(value, float) and not value.is_integer():
        raise Misfit(INVALID, f"a number with a fraction is no {kind.sql}")
    if (
        kind.kind in (Kind.DOUBLE, Kind.REAL)
        and isinstance(value, int)
        and int(float(value)) != value
    ):
        raise Misfit(OUT_OF_RANGE, f"the number has more digits than {kind.sql} keeps")
    return value


def _decimal(value: float | str, kind: ColumnType) -> Any:
    if isinstance(value, str):
        try:
            number = Decimal(value.strip())
        except ArithmeticError:
            return value
    else:
        number = Decimal(value) if isinstance(value, int) else Decimal(f"{value:.15g}")
    exponent = number.normalize().as_tuple().exponent
    if isinstance(exponent, int) and -exponent > (kind.scale or 0):
        raise Misfit(OUT_OF_RANGE, f"the number has more decimals than {kind.sql} keeps")
    return number
