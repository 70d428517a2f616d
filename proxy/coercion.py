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

INTEGER_BITS: Final = {Kind.SMALLINT: 16, Kind.INTEGER: 32, Kind.BIGINT: 64}

OUT_OF_RANGE: Final = "E_OUT_OF_RANGE"
INVALID: Final = "E_INVALID_VALUE"
TOO_LONG: Final = "E_TOO_LONG"
MISMATCH: Final = "E_TYPE_MISMATCH"

_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,40}")
_DECIMAL: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,5})?")
_SPECIAL: Final = re.compile(r"[+-]?(?:inf|infinity|nan)", re.IGNORECASE)
_DATE: Final = r"([0-9]{4})-([0-9]{2})-([0-9]{2})"
_TIME: Final = r"([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]+))?)?"
_ZONE: Final = r"\s?(Z|z|UTC|utc|[+-][0-9]{2}(?::?[0-9]{2})?)"
_ONLY_DATE: Final = re.compile(_DATE)
_ONLY_TIME: Final = re.compile(_TIME)
_MOMENT: Final = re.compile(rf"{_DATE}(?:[Tt ]{_TIME}(?:{_ZONE})?)?")
_UUID: Final = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}", re.IGNORECASE)
_BYTE: Final = re.compile(r"\\(\\|[0-3][0-7][0-7])")
_SPACE: Final = " \t\n\r\f\v"
_TRUE: Final = frozenset(("t", "tr", "tru", "true", "y", "ye", "yes", "on", "1"))
_FALSE: Final = frozenset(("f", "fa", "fal", "fals", "false", "n", "no", "of", "off", "0"))
_WIDE: Final = decimal.Context(prec=120, rounding=decimal.ROUND_HALF_UP)
_EVEN: Final = decimal.ROUND_HALF_EVEN
_AWAY: Final = decimal.ROUND_HALF_UP


class Misfit(Exception):  # noqa: N818 - never seen by users: it becomes an error that names the place.
    """A value does not fit its column.

    Attributes:
        code: the catalogue entry.
        reason: why, without the value.
    """

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


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


def _mismatch(value: object, kind: ColumnType) -> Misfit:
    return Misfit(MISMATCH, f"a Python {type(value).__name__} is no {kind.sql}")


def _invalid(kind: ColumnType) -> Misfit:
    return Misfit(INVALID, f"the text cannot be read as {kind.sql}")


def _boolean(value: object, kind: ColumnType) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        word = value.strip(_SPACE).lower()
        if word in _TRUE or word in _FALSE:
            return word in _TRUE
        raise _invalid(kind)
    raise _mismatch(value, kind)


def _integer(value: object, kind: ColumnType) -> int:
    if isinstance(value, bool):
        raise _mismatch(value, kind)
    if isinstance(value, int):
        number = int(value)
    elif isinstance(value, (float, Decimal)):
        if not math.isfinite(value):
            raise Misfit(OUT_OF_RANGE, f"NaN and infinities are no {kind.sql}")
        rounding = _EVEN if isinstance(value, float) else _AWAY
        number = _rounded_integer(Decimal(value), rounding, kind)
    elif isinstance(value, str):
        text = value.strip(_SPACE)
        if not _INTEGER.fullmatch(text):
            raise _invalid(kind)
        number = int(text)
    else:
        raise _mismatch(value, kind)
    half = 1 << (INTEGER_BITS[kind.kind] - 1)
    if not -half <= number < half:
        raise Misfit(OUT_OF_RANGE, f"the number is out of range for {kind.sql}")
    return number


def _rounded_integer(value: Decimal, rounding: str, kind: ColumnType) -> int:
    if value.adjusted() > 40:
        raise Misfit(OUT_OF_RANGE, f"the number is out of range for {kind.sql}")
    return int(value.to_integral_value(rounding=rounding))


def _decimal(value: object, kind: ColumnType) -> Decimal:
    assert kind.precision is not None
    assert kind.scale is not None
    if isinstance(value, bool):
        raise _mismatch(value, kind)
    if isinstance(value, (int, Decimal)):
        number = Decimal(value)
    elif isinstance(value, float):
        # The shortest text that reads back as the same number: 0.1 means 0.1.
        number = Decimal(repr(float(value)))
    elif isinstance(value, str):
        text = value.strip(_SPACE)
        if not _DECIMAL.fullmatch(text):
            if _SPECIAL.fullmatch(text):
                raise Misfit(OUT_OF_RANGE, f"NaN and infinities are no {kind.sql}")
            raise _invalid(kind)
        number = Decimal(text)
    else:
        raise _mismatch(value, kind)
    if not number.is_finite():
        raise Misfit(OUT_OF_RANGE, f"NaN and infinities are no {kind.sql}")
    if number and number.adjusted() >= kind.precision - kind.scale:
        raise Misfit(OUT_OF_RANGE, f"the number is out of range for {kind.sql}")
    if number.adjusted() < -kind.scale - 1:
        return Decimal((0, (0,), -kind.scale))
    result = number.quantize(Decimal((0, (1,), -kind.scale)), rounding=_AWAY, context=_WIDE)
    if result and result.adjusted() >= kind.precision - kind.scale:
        raise Misfit(OUT_OF_RANGE, f"the number is out of range for {kind.sql}")
    return result


def _float(value: object, kind: ColumnType) -> float:
    if isinstance(value, bool):
        raise _mismatch(value, kind)
    if isinstance(value, float):
        number = float(value)
        nonzero = number != 0
    elif isinstance(value, (int, Decimal)):
        try:
            number = float(value)
        except (OverflowError, ValueError):
            raise Misfit(OUT_OF_RANGE, f"the number is out of range for {kind.sql}") from None
        nonzero = bool(value)
        if math.isinf(number) and not (isinstance(value, Decimal) and value.is_infinite()):
            raise Misfit(OUT_OF_RANGE, f"the number is out of range for {kind.sql}")
    elif isinstance(value, str):
        text = value.strip(_SPACE)
        special = _SPECIAL.fullmatch(text)
        if not special and not _DECIMAL.fullmatch(text):
            raise _invalid(kind)
        number = float(text)
        mantissa = text.lower().partition("e")[0]
        nonzero = any(digit in mantissa for digit in "123456789")
        if math.isinf(number) and not special:
            raise Misfit(OUT_OF_RANGE, f"the number is out of range for {kind.sql}")
    else:
        raise _mismatch(value, kind)
    if kind.kind is Kind.REAL and math.isfinite(number):
        try:
            number = struct.unpack("<f", struct.pack("<f", number))[0]
        except OverflowError:
            raise Misfit(OUT_OF_RANGE, f"the number is out of range for {kind.sql}") from None
    if number == 0 and nonzero:
        raise Misfit(OUT_OF_RANGE, f"the number is too small for {kind.sql}")
    return number


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
    raise _mismatch(value, kind)


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


def moment_text(value: dt.datetime) -> str:
    """A moment as PostgreSQL spells it: blank instead of ``T``, a zone of UTC as ``+00``."""
    if value.tzinfo is None:
        return value.isoformat(sep=" ")
    return value.astimezone(dt.UTC).replace(tzinfo=None).isoformat(sep=" ") + "+00"


def _blob(value: object, kind: ColumnType) -> bytes:
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    if not isinstance(value, str):
        raise _mismatch(value, kind)
    # PostgreSQL's two spellings of bytes: \x and hexadecimal digits, or text with octal escapes.
    check_text(value)
    if value.startswith("\\x"):
        try:
            return bytes.fromhex(value[2:])
        except ValueError:
            raise _invalid(kind) from None
    if "\\" in _BYTE.sub("", value):
        raise _invalid(kind)
    raw = value.encode()
    return re.sub(
        rb"\\(\\|[0-3][0-7][0-7])",
        lambda found: b"\\" if found[1] == b"\\" else bytes((int(found[1], 8),)),
        raw,
    )


def _date(value: object, kind: ColumnType) -> dt.date:
    if isinstance(value, dt.datetime):
        return (value.astimezone(dt.UTC) if value.tzinfo else value).date()
    if isinstance(value, dt.date):
        return value
    if not isinstance(value, str):
        raise _mismatch(value, kind)
    found = _MOMENT.fullmatch(value.strip(_SPACE))
    if found is None or found[8]:
        raise _invalid(kind)
    return _moment(found, kind).date()


def _time(value: object, kind: ColumnType) -> dt.time:
    if isinstance(value, dt.time):
        if value.tzinfo is not None:
            raise Misfit(INVALID, f"a time with a zone is no {kind.sql}")
        return value
    if isinstance(value, dt.datetime):
        return (value.astimezone(dt.UTC) if value.tzinfo else value).time()
    if not isinstance(value, str):
        raise _mismatch(value, kind)
    found = _ONLY_TIME.fullmatch(value.strip(_SPACE))
    if found is None:
        raise _invalid(kind)
    return _clock(found.groups(), kind)[0]


def _clock(parts: tuple[str | None, ...], kind: ColumnType) -> tuple[dt.time, bool]:
    """Hours, minutes, seconds and their fraction; and whether rounding reached the next second."""
    hour, minute, second, fraction = parts
    digits = (fraction or "").ljust(7, "0")
    micro = int(digits[:6]) + (digits[6] >= "5")
    try:
        time = dt.time(int(hour or 0), int(minute or 0), int(second or 0), micro % 1_000_000)
    except ValueError:
        raise _invalid(kind) from None
    return time, micro == 1_000_000


def _moment(found: re.Match[str], kind: ColumnType) -> dt.datetime:
    """The moment of a date with or without time; a zone, if any, is left to the caller."""
    time, carry = _clock(found.groups()[3:7], kind)
    try:
        day = dt.date(int(found[1]), int(found[2]), int(found[3]))
        return dt.datetime.combine(day, time) + dt.timedelta(seconds=carry)
    except ValueError:
        raise _invalid(kind) from None
    except OverflowError:
        raise Misfit(OUT_OF_RANGE, f"the text is out of range for {kind.sql}") from None


def _timestamp(value: object, kind: ColumnType) -> dt.datetime:
    """A moment: without zone in UTC, as PostgreSQL does with the session's zone set to UTC."""
    aware = kind.kind is Kind.TIMESTAMPTZ
    if isinstance(value, dt.datetime):
        moment = value
        if value.tzinfo is not None:
            try:
                moment = value.astimezone(dt.UTC).replace(tzinfo=None)
            except OverflowError:
                raise Misfit(OUT_OF_RANGE, "the moment is beyond the years 1 to 9999") from None
    elif isinstance(value, dt.date):
        moment = dt.datetime.combine(value, dt.time())
    elif isinstance(value, str):
        found = _MOMENT.fullmatch(value.strip(_SPACE))
        if found is None:
            raise _invalid(kind)
        moment = _moment(found, kind)
        if found[8]:
            if not aware:
                raise Misfit(INVALID, f"the text has a time zone, which {kind.sql} does not keep")
            moment = _shifted(moment, found[8], kind)
    else:
        raise _mismatch(value, kind)
    return moment.replace(tzinfo=dt.UTC) if aware else moment


def _shifted(moment: dt.datetime, zone: str, kind: ColumnType) -> dt.datetime:
    """A local moment in UTC."""
    if zone[0] not in "+-":
        return moment
    hours, minutes = int(zone[1:3]), int(zone[3:].lstrip(":") or 0)
    if hours > 15 or minutes > 59:
        raise _invalid(kind)
    offset = dt.timedelta(hours=hours, minutes=minutes)
    try:
        return moment + offset if zone[0] == "-" else moment - offset
    except OverflowError:
        raise Misfit(OUT_OF_RANGE, "the moment is beyond the years 1 to 9999") from None


def _uuid(value: object, kind: ColumnType) -> bytes:
    if isinstance(value, uuid.UUID):
        return value.bytes
    if isinstance(value, bytes) and len(value) == 16:
        return value
    if not isinstance(value, str):
        raise _mismatch(value, kind)
    text = value.strip(_SPACE)
    if text.startswith("{") and text.endswith("}"):
        text = text[1:-1]
    if not _UUID.fullmatch(text):
        raise _invalid(kind)
    return bytes.fromhex(text.replace("-", ""))


def _json(value: object, kind: ColumnType) -> str:
    """JSON text is kept as it is written; other values are written as JSON."""
    if isinstance(value, str):
        check_text(value)
        if not is_json(value):
            raise _invalid(kind)
        return value
    if isinstance(value, (bool, int, float, list, tuple, dict)):
        try:
            text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        except (TypeError, ValueError, RecursionError):
            raise Misfit(INVALID, "the value has no JSON form") from None
        check_text(text)
        return text
    raise _mismatch(value, kind)


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
            raise _invalid(kind)
        parts = parsed
    elif isinstance(value, (dt.timedelta, Interval)):
        parts = interval_parts(value)
    elif isinstance(value, pa.MonthDayNano):
        parts = Interval(value.months, value.days, value.nanoseconds // 1000)
    else:
        raise _mismatch(value, kind)
    if max(abs(parts.months), abs(parts.days)) > MAX_PART:
        raise Misfit(OUT_OF_RANGE, "the interval is out of range")
    if abs(parts.microseconds) > MAX_MICROSECONDS:
        raise Misfit(OUT_OF_RANGE, "the interval is out of range")
    return pa.MonthDayNano([parts.months, parts.days, parts.microseconds * 1000])


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
    Kind.DATE: _date,
    Kind.TIME: _time,
    Kind.TIMESTAMP: _timestamp,
    Kind.TIMESTAMPTZ: _timestamp,
    Kind.UUID: _uuid,
    Kind.JSON: _json,
    Kind.INTERVAL: _interval,
}
