"""Constants of a statement, and the type in which the engine would compare them.

Folding is exact or it does not happen: an expression that is not understood completely yields None, and
the predicate it belongs to is left to the engine. Nothing that could change between two evaluations
(``now()``, ``random()``) is a constant here.
"""

from __future__ import annotations

import calendar
import datetime as dt
import re
import uuid
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from enum import Enum
from typing import Final

from sqlglot import exp

from . import literals

INT64: Final = range(-(2**63), 2**63)
MAX_DIGITS: Final = 38


class Type(Enum):
    """The engine's type of a constant, as far as it decides how a comparison is made."""

    NULL = "null"
    BOOLEAN = "boolean"
    INTEGER = "integer"
    DECIMAL = "decimal"
    DOUBLE = "double"
    STRING = "string"
    """A literal without a type, which takes the other side's."""
    TEXT = "text"
    """Declared to be text."""
    BYTES = "bytes"
    DATE = "date"
    TIME = "time"
    TIMESTAMP = "timestamp"
    TIMESTAMPTZ = "timestamptz"
    UUID = "uuid"
    PARAMETER = "parameter"
    """Not known yet; the value is its index."""


@dataclass(frozen=True, slots=True)
class Constant:
    """A value and its type. It is hidden from ``repr``, because reprs end up in logs."""

    type: Type
    value: object = field(repr=False)


NULL: Final = Constant(Type.NULL, None)

_INTERVAL: Final = re.compile(r"[+-]?\d{1,6}", re.ASCII)
_MONTHS: Final = {"MONTH": 1, "MONTHS": 1, "YEAR": 12, "YEARS": 12}
_SECONDS: Final = {
    "SECOND": 1,
    "SECONDS": 1,
    "MINUTE": 60,
    "MINUTES": 60,
    "HOUR": 3600,
    "HOURS": 3600,
    "DAY": 86400,
    "DAYS": 86400,
    "WEEK": 604800,
    "WEEKS": 604800,
}


def of_value(value: object) -> Constant | None:
    """The constant that a parameter's value is, or None for a value whose comparison is not certain."""
    if value is None:
        return NULL
    kind = _PYTHON.get(type(value))
    if kind is Type.TIMESTAMP and isinstance(value, dt.datetime) and value.tzinfo is not None:
        return Constant(Type.TIMESTAMPTZ, value.astimezone(dt.UTC))
    if kind is Type.TIME and isinstance(value, dt.time) and value.tzinfo is not None:
        return None
    return None if kind is None else Constant(kind, value)


_PYTHON: Final[dict[type, Type]] = {
    bool: Type.BOOLEAN,
    int: Type.INTEGER,
    float: Type.DOUBLE,
    Decimal: Type.DECIMAL,
    str: Type.STRING,
    bytes: Type.BYTES,
    dt.date: Type.DATE,
    dt.time: Type.TIME,
    dt.datetime: Type.TIMESTAMP,
    uuid.UUID: Type.UUID,
}


def fold(node: exp.Expr) -> Constant | None:
    """The constant that an expression is, or None."""
    if isinstance(node, exp.Literal):
        return _literal(node)
    if isinstance(node, exp.Parameter):
        return Constant(Type.PARAMETER, int(node.name) - 1)
    folder = _FOLDERS.get(type(node).__name__)
    return None if folder is None else folder(node)


def string(node: exp.Expr) -> str | None:
    """The text of a string literal in any of its spellings, or None."""
    if isinstance(node, exp.Literal):
        return str(node.this) if node.is_string else None
    if isinstance(node, exp.ByteString | exp.RawString):
        return str(node.this)
    return string(node.this) if isinstance(node, exp.Paren) else None


def _literal(node: exp.Literal) -> Constant | None:
    text = str(node.this)
    if node.is_string:
        return Constant(Type.STRING, text)
    if not text.isascii():
        return None
    if text.isdigit():
        value = int(text)
        return Constant(Type.INTEGER, value) if value in INT64 else None
    if "e" in text.lower():
        return Constant(Type.DOUBLE, float(text))
    return _decimal(text)


def _decimal(text: str) -> Constant | None:
    try:
        value = Decimal(text)
    except InvalidOperation:
        return None
    return Constant(Type.DECIMAL, value) if _digits(value) <= MAX_DIGITS else None


def _digits(value: Decimal) -> int:
    _, digits, exponent = value.as_tuple()
    scale = -exponent if isinstance(exponent, int) else MAX_DIGITS + 1
    return max(len(digits), scale) if scale >= 0 else len(digits) - scale


def _paren(node: exp.Expr) -> Constant | None:
    return fold(node.this)


def _boolean(node: exp.Expr) -> Constant:
    return Constant(Type.BOOLEAN, bool(node.this))


def _null(_node: exp.Expr) -> Constant:
    return NULL


def _text(node: exp.Expr) -> Constant:
    return Constant(Type.STRING, str(node.this))


def _hex(node: exp.Expr) -> Constant | None:
    try:
        return Constant(Type.BYTES, bytes.fromhex(str(node.this)))
    except ValueError:
        return None


def _negative(node: exp.Expr) -> Constant | None:
    inner = fold(node.this)
    if inner is None:
        return None
    value = inner.value
    if inner.type is Type.INTEGER and isinstance(value, int):
        return Constant(Type.INTEGER, -value)
    if inner.type is Type.DECIMAL and isinstance(value, Decimal):
        return Constant(Type.DECIMAL, -value)
    if inner.type is Type.DOUBLE and isinstance(value, float):
        return Constant(Type.DOUBLE, -value)
    return None


def _cast(node: exp.Expr) -> Constant | None:
    inner = fold(node.this)
    to = node.args["to"]
    if inner is None or to.expressions:
        return None
    kind, value = to.this, inner.value
    if inner.type is Type.STRING and isinstance(value, str):
        return _cast_string(value, kind)
    if inner.type is Type.INTEGER and kind in _INTEGERS:
        return inner if value in _INTEGERS[kind] else None
    if inner.type is Type.NULL:
        return NULL
    same = _SAME_TYPE.get(kind)
    return inner if same is inner.type else None


_INTEGERS: Final = {
    exp.DType.SMALLINT: range(-(2**15), 2**15),
    exp.DType.INT: range(-(2**31), 2**31),
    exp.DType.BIGINT: INT64,
}
_SAME_TYPE: Final = {
    exp.DType.DATE: Type.DATE,
    exp.DType.TIMESTAMP: Type.TIMESTAMP,
    exp.DType.TIMESTAMPTZ: Type.TIMESTAMPTZ,
    exp.DType.BOOLEAN: Type.BOOLEAN,
}


def _cast_string(text: str, kind: exp.DType) -> Constant | None:
    if kind in (exp.DType.TEXT, exp.DType.VARCHAR):
        return Constant(Type.TEXT, text)
    value: object
    if kind is exp.DType.DATE:
        type_, value = Type.DATE, literals.read_date(text)
    elif kind is exp.DType.TIMESTAMP:
        type_, value = Type.TIMESTAMP, literals.read_timestamp(text, zoned=False)
    elif kind is exp.DType.TIMESTAMPTZ:
        type_, value = Type.TIMESTAMPTZ, literals.read_timestamp(text, zoned=True)
    elif kind is exp.DType.TIME:
        type_, value = Type.TIME, literals.read_time(text)
    elif kind is exp.DType.UUID:
        type_, value = Type.UUID, literals.read_uuid(text)
    elif kind is exp.DType.VARBINARY:
        type_, value = Type.BYTES, literals.read_bytes(text)
    else:
        return None
    return None if value is None else Constant(type_, value)


def _arithmetic(node: exp.Expr) -> Constant | None:
    sign = -1 if isinstance(node, exp.Sub) else 1
    if isinstance(node.expression, exp.Interval):
        left = fold(node.this)
        return None if left is None else _shift(left, node.expression, sign)
    left, right = fold(node.this), fold(node.expression)
    if left is None or right is None:
        return None
    if left.type is Type.DATE and right.type is Type.INTEGER and not isinstance(node, exp.Mul):
        return _shift_days(left.value, right.value, sign)
    if left.type is not right.type or left.type not in (Type.INTEGER, Type.DECIMAL):
        return None
    first, second = left.value, right.value
    if isinstance(first, int) and isinstance(second, int):
        whole = first * second if isinstance(node, exp.Mul) else first + sign * second
        return Constant(Type.INTEGER, whole) if whole in INT64 else None
    if isinstance(first, Decimal) and isinstance(second, Decimal):
        if _digits(first) + _digits(second) >= 28:
            return None
        exact = first * second if isinstance(node, exp.Mul) else first + sign * second
        return Constant(Type.DECIMAL, exact)
    return None


def _shift_days(day: object, days: object, sign: int) -> Constant | None:
    if not isinstance(day, dt.date) or not isinstance(days, int):
        return None
    try:
        return Constant(Type.DATE, day + dt.timedelta(days=sign * days))
    except OverflowError:
        return None


def _shift(left: Constant, interval: exp.Interval, sign: int) -> Constant | None:
    """A date or timestamp plus or minus an interval of one unit: a timestamp, as in PostgreSQL."""
    unit = interval.args.get("unit")
    text = string(interval.this) if interval.this is not None else None
    if text is None or unit is None or not _INTERVAL.fullmatch(text):
        return None
    value = left.value
    if left.type is Type.DATE and isinstance(value, dt.date):
        moment = dt.datetime.combine(value, dt.time())
    elif left.type is Type.TIMESTAMP and isinstance(value, dt.datetime):
        moment = value
    else:
        return None
    name, count = unit.name.upper(), sign * int(text)
    try:
        if name in _MONTHS:
            return Constant(Type.TIMESTAMP, _add_months(moment, count * _MONTHS[name]))
        if name in _SECONDS:
            return Constant(Type.TIMESTAMP, moment + dt.timedelta(seconds=count * _SECONDS[name]))
    except (OverflowError, ValueError):
        return None
    return None


def _add_months(moment: dt.datetime, months: int) -> dt.datetime:
    """The same day of another month, or that month's last day when it is shorter."""
    total = moment.year * 12 + moment.month - 1 + months
    year, month = divmod(total, 12)
    if not dt.MINYEAR <= year <= dt.MAXYEAR:
        raise OverflowError
    last = calendar.monthrange(year, month + 1)[1]
    return moment.replace(year=year, month=month + 1, day=min(moment.day, last))


_FOLDERS: Final = {
    "Paren": _paren,
    "Boolean": _boolean,
    "Null": _null,
    "ByteString": _text,
    "RawString": _text,
    "HexString": _hex,
    "Neg": _negative,
    "Cast": _cast,
    "Add": _arithmetic,
    "Sub": _arithmetic,
    "Mul": _arithmetic,
}
