"""Where a constant lies among the values of a column's type.

One placer per kind of column. Each answers None for a constant that the engine would compare in another
type than the column's, or whose conversion is not certain; :mod:`.compare` then pushes nothing.
"""

from __future__ import annotations

import datetime as dt
import math
import struct
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal, localcontext
from typing import Final

from indexes.types import ColumnType, Kind

from . import constants, literals
from .constants import Constant, Type

_INTEGER_DIGITS: Final = {Kind.SMALLINT: 5, Kind.INTEGER: 10, Kind.BIGINT: 19}
_INTEGER_BITS: Final = {Kind.SMALLINT: 16, Kind.INTEGER: 32, Kind.BIGINT: 64}
_INT64_DIGITS: Final = 19
_EXACT_DIGITS: Final = 15
"""Decimal digits that always convert to DOUBLE without an error of rounding in between."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a constant lies among a column's values.

    ``value`` is the column's value equal to it or, when ``exact`` is false, the next one below.
    ``outside`` is -1 or 1 when the constant lies below or above all values of the type.
    """

    value: object = None
    exact: bool = True
    outside: int = 0


def place(type_: ColumnType, constant: Constant) -> Place | None:
    """The place of a constant that is neither NULL nor a parameter, or None if it must not be pushed."""
    placer = _PLACERS.get(type_.kind)
    return None if placer is None else placer(type_, constant)


def _place_integer(type_: ColumnType, constant: Constant) -> Place | None:
    bits = _INTEGER_BITS[type_.kind]
    low, high = -(1 << bits - 1), (1 << bits - 1) - 1
    value = constant.value
    if constant.type is Type.STRING and isinstance(value, str):
        digits = value.removeprefix("-")
        if not (digits.isascii() and digits.isdigit() and len(digits) <= _INT64_DIGITS):
            return None
        number: int | Decimal | float = int(value)
        if not low <= number <= high:
            return None
    elif constant.type is Type.INTEGER and isinstance(value, int):
        if value not in constants.INT64:
            return None
        number = value
    elif constant.type is Type.DECIMAL and isinstance(value, Decimal):
        if not _fits(value, _INTEGER_DIGITS[type_.kind], 0):
            return None
        number = value
    elif constant.type is Type.DOUBLE and isinstance(value, float):
        # BIGINT does not fit DOUBLE: neighbours would compare as equal.
        if type_.kind is Kind.BIGINT or not math.isfinite(value):
            return None
        number = value
    else:
        return None
    floor = math.floor(number)
    if floor < low or floor > high:
        return Place(outside=-1 if floor < low else 1)
    return Place(floor, exact=floor == number)


def _fits(value: Decimal, digits: int, scale: int) -> bool:
    """Whether a comparison with a number of that many digits stays within the widest DECIMAL."""
    if not value.is_finite():
        return False
    _, own, exponent = value.as_tuple()
    assert isinstance(exponent, int)
    own_scale = max(0, -exponent)
    own_integer = max(len(own) + exponent, 0)
    return max(digits - scale, own_integer) + max(scale, own_scale) <= constants.MAX_DIGITS


def _place_decimal(type_: ColumnType, constant: Constant) -> Place | None:
    precision, scale = type_.precision or 0, type_.scale or 0
    value = constant.value
    if constant.type is Type.INTEGER and isinstance(value, int):
        number = Decimal(value)
    elif constant.type is Type.DECIMAL and isinstance(value, Decimal):
        number = value
    else:
        return None
    if not _fits(number, precision, scale):
        return None
    with localcontext() as context:
        context.prec = 2 * constants.MAX_DIGITS
        floor = number.quantize(Decimal(1).scaleb(-scale), rounding=ROUND_FLOOR)
        limit = Decimal(10) ** (precision - scale)
        if floor >= limit or floor <= -limit:
            return Place(outside=-1 if floor < 0 else 1)
        return Place(floor, exact=floor == number)


def _place_double(_type: ColumnType, constant: Constant) -> Place | None:
    number = _as_double(constant)
    return None if number is None else Place(number)


def _as_double(constant: Constant) -> float | None:
    """The DOUBLE that the engine makes of a number, if that is certain."""
    value = constant.value
    if constant.type is Type.DOUBLE and isinstance(value, float):
        return None if math.isnan(value) else value
    if constant.type is Type.INTEGER and isinstance(value, int):
        return float(value) if abs(value) <= 1 << 53 else None
    if constant.type is Type.DECIMAL and isinstance(value, Decimal) and value.is_finite():
        _, digits, exponent = value.as_tuple()
        assert isinstance(exponent, int)
        if len(digits) <= _EXACT_DIGITS and -_EXACT_DIGITS <= exponent <= 0:
            return float(value)
    return None


def _place_real(_type: ColumnType, constant: Constant) -> Place | None:
    """Only numbers that REAL holds exactly; for others PostgreSQL compares as DOUBLE."""
    number = _as_double(constant)
    if number is None or not math.isfinite(number) or abs(number) > 3e38:
        return None
    single: float = struct.unpack("<f", struct.pack("<f", number))[0]
    return Place(number) if single == number else None


def _place_text(_type: ColumnType, constant: Constant) -> Place | None:
    value = constant.value
    if constant.type not in (Type.STRING, Type.TEXT) or not isinstance(value, str):
        return None
    try:
        value.encode()
    except UnicodeEncodeError:
        return None
    return Place(value)


def _place_bytes(_type: ColumnType, constant: Constant) -> Place | None:
    value = constant.value
    if constant.type is Type.STRING and isinstance(value, str):
        value = literals.read_bytes(value)
    elif constant.type is not Type.BYTES:
        return None
    return Place(value) if isinstance(value, bytes) else None


def _place_boolean(_type: ColumnType, constant: Constant) -> Place | None:
    return Place(constant.value) if constant.type is Type.BOOLEAN else None


def _place_date(_type: ColumnType, constant: Constant) -> Place | None:
    value = constant.value
    if constant.type is Type.STRING and isinstance(value, str):
        day = literals.read_date(value)
        return None if day is None else Place(day)
    if constant.type is Type.DATE:
        return Place(value)
    if constant.type is Type.TIMESTAMP and isinstance(value, dt.datetime):
        return Place(value.date(), exact=value.time() == dt.time())
    return None


def _place_time(_type: ColumnType, constant: Constant) -> Place | None:
    value = constant.value
    if constant.type is Type.STRING and isinstance(value, str):
        value = literals.read_time(value)
    elif constant.type is not Type.TIME:
        return None
    return Place(value) if isinstance(value, dt.time) else None


def _place_timestamp(_type: ColumnType, constant: Constant) -> Place | None:
    value = constant.value
    if constant.type is Type.STRING and isinstance(value, str):
        value = literals.read_timestamp(value, zoned=False)
    elif constant.type is Type.DATE and isinstance(value, dt.date):
        value = dt.datetime.combine(value, dt.time())
    elif constant.type is not Type.TIMESTAMP:
        return None
    return Place(value) if isinstance(value, dt.datetime) else None


def _place_timestamptz(_type: ColumnType, constant: Constant) -> Place | None:
    value = constant.value
    if constant.type is Type.STRING and isinstance(value, str):
        value = literals.read_timestamp(value, zoned=True)
    elif constant.type is not Type.TIMESTAMPTZ:
        return None
    return Place(value) if isinstance(value, dt.datetime) else None


def _place_uuid(_type: ColumnType, constant: Constant) -> Place | None:
    value = constant.value
    if constant.type is Type.STRING and isinstance(value, str):
        value = literals.read_uuid(value)
    elif constant.type is not Type.UUID:
        return None
    return Place(value) if isinstance(value, uuid.UUID) else None


_PLACERS: Final[dict[Kind, Callable[[ColumnType, Constant], Place | None]]] = {
    Kind.BOOLEAN: _place_boolean,
    Kind.SMALLINT: _place_integer,
    Kind.INTEGER: _place_integer,
    Kind.BIGINT: _place_integer,
    Kind.DECIMAL: _place_decimal,
    Kind.REAL: _place_real,
    Kind.DOUBLE: _place_double,
    Kind.TEXT: _place_text,
    Kind.BLOB: _place_bytes,
    Kind.DATE: _place_date,
    Kind.TIME: _place_time,
    Kind.TIMESTAMP: _place_timestamp,
    Kind.TIMESTAMPTZ: _place_timestamptz,
    Kind.UUID: _place_uuid,
}
