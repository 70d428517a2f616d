"""Single Python values as values of a column: PostgreSQL's assignment casts, and nothing looser.

Numbers round as PostgreSQL rounds them: DECIMAL half away from zero, floating point half to even.
Text is read as PostgreSQL reads a quoted literal. What has no meaning in the column is refused: a
boolean as a number, a number as a date, text with a NUL or a lone surrogate, a time zone where the
column has none to keep. No message quotes the value.
"""

from __future__ import annotations

import datetime as dt
import decimal
import json
import math
import re
import struct
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

import pyarrow as pa

from indexes.types import ColumnType, Kind

from .intervals import (
    MAX_MICROSECONDS,
    MAX_PART,
    Interval,
    interval_parts,
    interval_text,
    parse_interval,
)
from .misfit import INVALID, OUT_OF_RANGE, TOO_LONG, Misfit, invalid, mismatch, out_of_range
from .moments import SPACE, moment_text, to_date, to_time, to_timestamp

INTEGER_BITS: Final = {Kind.SMALLINT: 16, Kind.INTEGER: 32, Kind.BIGINT: 64}


_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,40}")
_DECIMAL: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,5})?")
_SPECIAL: Final = re.compile(r"[+-]?(?:inf|infinity|nan)", re.IGNORECASE)
_UUID: Final = re.compile(
    r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}", re.IGNORECASE
)
_BYTE: Final = re.compile(r"\\(\\|[0-3][0-7][0-7])")
_TRUE: Final = frozenset(("t", "tr", "tru", "true", "y", "ye", "yes", "on", "1"))
_FALSE: Final = frozenset(("f", "fa", "fal", "fals", "false", "n", "no", "of", "off", "0"))
_WIDE: Final = decimal.Context(prec=120, rounding=decimal.ROUND_HALF_UP)
_EVEN: Final = decimal.ROUND_HALF_EVEN
_AWAY: Final = decimal.ROUND_HALF_UP


def coerce(value: object, kind: ColumnType) -> Any:
    """One value as Arrow takes it for a column of that type.

    Raises:
        Misfit: it does not fit.
    """
    if value is None:
        return None
    if type(value).__module__ == "numpy" and hasattr(value, "item"):
        value = value.item()
    return _COERCERS[kind.kind](value, kind)


def _boolean(value: object, kind: ColumnType) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        word = value.strip(SPACE).lower()
        if word in _TRUE or word in _FALSE:
            return word in _TRUE
        raise invalid(kind)
    raise mismatch(value, kind)


def _integer(value: object, kind: ColumnType) -> int:
    if isinstance(value, bool):
        raise mismatch(value, kind)
    if isinstance(value, int):
        number = int(value)
    elif isinstance(value, (float, Decimal)):
        if not math.isfinite(value):
            raise _not_finite(kind)
        rounding = _EVEN if isinstance(value, float) else _AWAY
        number = _rounded_integer(Decimal(value), rounding, kind)
    elif isinstance(value, str):
        text = value.strip(SPACE)
        if not _INTEGER.fullmatch(text):
            raise invalid(kind)
        number = int(text)
    else:
        raise mismatch(value, kind)
    half = 1 << (INTEGER_BITS[kind.kind] - 1)
    if not -half <= number < half:
        raise out_of_range(kind)
    return number


def _rounded_integer(value: Decimal, rounding: str, kind: ColumnType) -> int:
    if value.adjusted() > 40:
        raise out_of_range(kind)
    return int(value.to_integral_value(rounding=rounding))


def _not_finite(kind: ColumnType) -> Misfit:
    return Misfit(OUT_OF_RANGE, f"NaN and infinities are no {kind.sql}")


def _decimal(value: object, kind: ColumnType) -> Decimal:
    assert kind.precision is not None
    assert kind.scale is not None
    number = _exact_decimal(value, kind)
    if not number.is_finite():
        raise _not_finite(kind)
    room = kind.precision - kind.scale
    if number and number.adjusted() >= room:
        raise out_of_range(kind)
    if number.adjusted() < -kind.scale - 1:
        return Decimal((0, (0,), -kind.scale))
    result = number.quantize(Decimal((0, (1,), -kind.scale)), rounding=_AWAY, context=_WIDE)
    if result and result.adjusted() >= room:
        raise out_of_range(kind)
    return result


def _exact_decimal(value: object, kind: ColumnType) -> Decimal:
    """A number as a Decimal, before it is rounded."""
    if isinstance(value, bool):
        raise mismatch(value, kind)
    if isinstance(value, (int, Decimal)):
        return Decimal(value)
    if isinstance(value, float):
        # The shortest text that reads back as the same number: 0.1 means 0.1.
        return Decimal(repr(float(value)))
    if not isinstance(value, str):
        raise mismatch(value, kind)
    text = value.strip(SPACE)
    if _DECIMAL.fullmatch(text):
        return Decimal(text)
    if _SPECIAL.fullmatch(text):
        raise _not_finite(kind)
    raise invalid(kind)


def _float(value: object, kind: ColumnType) -> float:
    number, nonzero = _wide_float(value, kind)
    if kind.kind is Kind.REAL and math.isfinite(number):
        try:
            number = struct.unpack("<f", struct.pack("<f", number))[0]
        except OverflowError:
            raise out_of_range(kind) from None
    if number == 0 and nonzero:
        raise Misfit(OUT_OF_RANGE, f"the number is too small for {kind.sql}")
    return number


def _wide_float(value: object, kind: ColumnType) -> tuple[float, bool]:
    """The nearest 64-bit number, and whether the value was anything but zero."""
    if isinstance(value, bool):
        raise mismatch(value, kind)
    if isinstance(value, float):
        return float(value), value != 0
    if isinstance(value, (int, Decimal)):
        try:
            number = float(value)
        except (OverflowError, ValueError):
            raise out_of_range(kind) from None
        if math.isinf(number) and not (isinstance(value, Decimal) and value.is_infinite()):
            raise out_of_range(kind)
        return number, value != 0
    if not isinstance(value, str):
        raise mismatch(value, kind)
    text = value.strip(SPACE)
    special = _SPECIAL.fullmatch(text)
    if not special and not _DECIMAL.fullmatch(text):
        raise invalid(kind)
    number = float(text)
    if math.isinf(number) and not special:
        raise out_of_range(kind)
    mantissa = text.lower().partition("e")[0]
    return number, any(digit in mantissa for digit in "123456789")


def check_text(text: str) -> None:
    """Misfit for text that cannot be stored: with a NUL or a lone surrogate."""
    if "\0" in text:
        raise Misfit(INVALID, "the text holds a NUL character")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise Misfit(INVALID, "the text holds a lone surrogate") from None


def _text(value: object, kind: ColumnType) -> str:
    text = str(value) if isinstance(value, str) else _as_text(value, kind)
    check_text(text)
    if kind.length is not None and len(text) > kind.length:
        # The SQL standard cuts blanks, and only blanks.
        if text[kind.length :].strip(" "):
            raise Misfit(TOO_LONG, f"the text is longer than {kind.length} characters")
        text = text[: kind.length]
    return text


def _as_text(value: object, kind: ColumnType) -> str:
    """Other values as PostgreSQL spells them."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, Decimal):
        return format(value, "f") if value.is_finite() else str(value)
    if isinstance(value, float):
        return float_text(value)
    if isinstance(value, dt.datetime):
        return moment_text(value)
    if isinstance(value, (dt.date, dt.time)):
        return value.isoformat()
    if isinstance(value, (dt.timedelta, Interval)):
        return interval_text(*interval_parts(value))
    if isinstance(value, uuid.UUID):
        return str(value)
    raise mismatch(value, kind)


def float_text(value: float) -> str:
    """A floating-point number as PostgreSQL spells it: the shortest text that reads back the same."""
    if not math.isfinite(value):
        return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[repr(float(value))]
    text = repr(float(value)).removesuffix(".0")
    if "e" in text or len(text.lstrip("-")) <= 15 or "." in text:
        return text
    digits = text.lstrip("-")
    mantissa = digits[0] + "." + digits[1:].rstrip("0")
    return f"{'-' * (value < 0)}{mantissa.rstrip('.')}e+{len(digits) - 1}"


def _blob(value: object, kind: ColumnType) -> bytes:
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    if not isinstance(value, str):
        raise mismatch(value, kind)
    # PostgreSQL's two spellings of bytes: \x and hexadecimal digits, or text with octal escapes.
    check_text(value)
    if value.startswith("\\x"):
        try:
            return bytes.fromhex(value[2:])
        except ValueError:
            raise invalid(kind) from None
    if "\\" in _BYTE.sub("", value):
        raise invalid(kind)
    raw = value.encode()
    return re.sub(
        rb"\\(\\|[0-3][0-7][0-7])",
        lambda found: b"\\" if found[1] == b"\\" else bytes((int(found[1], 8),)),
        raw,
    )


def _uuid(value: object, kind: ColumnType) -> bytes:
    if isinstance(value, uuid.UUID):
        return value.bytes
    if isinstance(value, bytes) and len(value) == 16:
        return value
    if not isinstance(value, str):
        raise mismatch(value, kind)
    text = value.strip(SPACE)
    if text.startswith("{") and text.endswith("}"):
        text = text[1:-1]
    if not _UUID.fullmatch(text):
        raise invalid(kind)
    return bytes.fromhex(text.replace("-", ""))


def _json(value: object, kind: ColumnType) -> str:
    """JSON text is kept as it is written; other values are written as JSON."""
    if isinstance(value, str):
        check_text(value)
        if not is_json(value):
            raise invalid(kind)
        return value
    if isinstance(value, (bool, int, float, list, tuple, dict)):
        try:
            text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        except (TypeError, ValueError, RecursionError):
            raise Misfit(INVALID, "the value has no JSON form") from None
        check_text(text)
        return text
    raise mismatch(value, kind)


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(text)
    return number


def is_json(text: str) -> bool:
    """Whether a text is one JSON value (RFC 8259) with finite numbers."""
    try:
        json.loads(text, parse_constant=_refuse_constant, parse_float=_finite, parse_int=_finite)
    except (ValueError, RecursionError):
        return False
    return True


def _interval(value: object, kind: ColumnType) -> Any:
    if isinstance(value, str):
        parsed = parse_interval(value)
        if parsed is None:
            raise invalid(kind)
        parts = parsed
    elif isinstance(value, (dt.timedelta, Interval)):
        parts = interval_parts(value)
    elif isinstance(value, pa.MonthDayNano):
        parts = Interval(value.months, value.days, value.nanoseconds // 1000)
    else:
        raise mismatch(value, kind)
    if max(abs(parts.months), abs(parts.days)) > MAX_PART:
        raise Misfit(OUT_OF_RANGE, "the interval is out of range")
    if abs(parts.microseconds) > MAX_MICROSECONDS:
        raise Misfit(OUT_OF_RANGE, "the interval is out of range")
    made: Any = pa.MonthDayNano
    return made([parts.months, parts.days, parts.microseconds * 1000])


_COERCERS: Final[dict[Kind, Callable[[object, ColumnType], Any]]] = {
    Kind.BOOLEAN: _boolean,
    Kind.SMALLINT: _integer,
    Kind.INTEGER: _integer,
    Kind.BIGINT: _integer,
    Kind.DECIMAL: _decimal,
    Kind.REAL: _float,
    Kind.DOUBLE: _float,
    Kind.TEXT: _text,
    Kind.BLOB: _blob,
    Kind.DATE: to_date,
    Kind.TIME: to_time,
    Kind.TIMESTAMP: to_timestamp,
    Kind.TIMESTAMPTZ: to_timestamp,
    Kind.UUID: _uuid,
    Kind.JSON: _json,
    Kind.INTERVAL: _interval,
}
