"""Single Python values to the slots of a row and back: the path of statements on one row.

A slot holds what Arrow holds for the value (see `indexes.types`); the functions here take and give the
Python types that `pyarrow` gives for it, except that a UUID is a `uuid.UUID`. Vectorised forms, which
know the same slots, are in `row`.
"""

from __future__ import annotations

import datetime as dt
import struct
from collections.abc import Callable
from decimal import Context, Decimal, Inexact, InvalidOperation
from typing import Any, Final
from uuid import UUID

import pyarrow as pa

from indexes.errors import EncodingRefused, IntegrityFailure
from indexes.types import ColumnType, Kind

Codec = Callable[[Any], Any]

_EPOCH: Final = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - TIMESTAMP has no zone
_EPOCH_UTC: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_EPOCH_DAY: Final = 719_163
_DAY_MICROS: Final = 86_400_000_000
_INTERVAL: Final = struct.Struct("<iiq")
# Enough digits for any DECIMAL(38, s); a value with more is refused, not rounded.
_EXACT: Final = Context(prec=120, traps=[Inexact, InvalidOperation])

FORMATS: Final[dict[str, str]] = {
    "V16": "16s",
    "<i8": "q",
    "<f8": "d",
    "<i4": "i",
    "<f4": "f",
    "<i2": "h",
    "u1": "B",
}
"""`struct` code of each slot type of `indexes.buffers`."""


def refuse(kind: ColumnType) -> EncodingRefused:
    """The error for a value that a column of this type cannot hold."""
    return EncodingRefused(f"a value does not fit {kind.sql}")


def unrepresentable(kind: ColumnType) -> EncodingRefused:
    """The error for a stored value that Python has no object for, such as a year beyond 9999."""
    return EncodingRefused(f"a {kind.sql} lies outside of the range of Python's type")


def encoder(kind: ColumnType) -> Codec:
    """A function from a Python value or Arrow scalar, not None, to the value of its slot.

    The slot of a variable type is its bytes. The function raises EncodingRefused for a value of
    another type or out of range; a number beyond its slot may also raise when it is packed.
    """
    if kind.kind is Kind.DECIMAL:
        return _decimal_encoder(kind)
    plain = _ENCODERS[kind.kind]
    temporal = kind.kind in _BY_NUMBER

    def encode(value: Any) -> Any:
        if isinstance(value, pa.Scalar):
            # Arrow's temporal scalars reach further than Python's, so their numbers are taken.
            if temporal and value.type.equals(kind.arrow):
                return value.value  # type: ignore[attr-defined]
            value = value.as_py()
        try:
            return plain(value)
        except (TypeError, ValueError, OverflowError, AttributeError, struct.error):
            raise refuse(kind) from None

    return encode


def decoder(kind: ColumnType) -> Codec | None:
    """A function from the value of a slot to the Python value; None where they are the same.

    Raises:
        EncodingRefused: the function: Python has no object for the value.
        IntegrityFailure: the function: the slot holds no value of the type.
    """
    if kind.kind is Kind.DECIMAL:
        return _decimal_decoder(kind)
    plain = _DECODERS.get(kind.kind)
    if plain is None or kind.kind not in _BY_NUMBER:
        return plain

    def decode(slot: Any) -> Any:
        try:
            return plain(slot)
        except (ValueError, OverflowError):
            raise unrepresentable(kind) from None

    return decode


def _decimal_encoder(kind: ColumnType) -> Codec:
    assert kind.precision is not None
    scale, limit, narrow = kind.scale, 10**kind.precision, kind.narrow

    def encode(value: Any) -> int | bytes:
        if isinstance(value, pa.Scalar):
            value = value.as_py()
        if type(value) is int:
            value = Decimal(value)
        if not isinstance(value, Decimal) or not value.is_finite():
            raise refuse(kind)
        try:
            scaled = _EXACT.scaleb(value, scale)  # type: ignore[arg-type]
            number = int(scaled)
        except (Inexact, InvalidOperation):
            raise refuse(kind) from None
        if number != scaled or not -limit < number < limit:
            raise refuse(kind)
        return number if narrow else number.to_bytes(16, "little", signed=True)

    return encode


def _decimal_decoder(kind: ColumnType) -> Codec:
    assert kind.scale is not None
    assert kind.precision is not None
    limit, scaleb, down = 10**kind.precision, _EXACT.scaleb, -kind.scale

    def decode_narrow(slot: int) -> Decimal:
        if not -limit < slot < limit:
            raise IntegrityFailure
        return scaleb(Decimal(slot), down)

    def decode_wide(slot: bytes) -> Decimal:
        return decode_narrow(int.from_bytes(slot, "little", signed=True))

    return decode_narrow if kind.narrow else decode_wide


def _encode_boolean(value: Any) -> int:
    if type(value) is not bool:
        raise TypeError
    return int(value)


def _encode_integer(value: Any) -> int:
    if type(value) is bool:
        raise TypeError
    return value.__index__()  # type: ignore[no-any-return]


def _encode_float(value: Any) -> float:
    if type(value) not in (float, int):
        raise TypeError
    return float(value)


def _encode_text(value: Any) -> bytes:
    if not isinstance(value, str):
        raise TypeError
    return value.encode("utf-8")


def _encode_blob(value: Any) -> bytes:
    if not isinstance(value, bytes | bytearray | memoryview):
        raise TypeError
    return bytes(value)


def _encode_date(value: Any) -> int:
    if type(value) is not dt.date:
        raise TypeError
    return value.toordinal() - _EPOCH_DAY


def _encode_time(value: Any) -> int:
    if type(value) is not dt.time or value.tzinfo is not None:
        raise TypeError
    return ((value.hour * 60 + value.minute) * 60 + value.second) * 1_000_000 + value.microsecond


def _micros(delta: dt.timedelta) -> int:
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def _encode_timestamp(value: Any) -> int:
    if not isinstance(value, dt.datetime) or value.tzinfo is not None:
        raise TypeError
    return _micros(value - _EPOCH)


def _encode_timestamptz(value: Any) -> int:
    # Subtraction refuses a value without zone.
    if not isinstance(value, dt.datetime):
        raise TypeError
    return _micros(value - _EPOCH_UTC)


def _encode_uuid(value: Any) -> bytes:
    data = value.bytes if isinstance(value, UUID) else value
    if type(data) is not bytes or len(data) != 16:
        raise TypeError
    return data


def _encode_interval(value: Any) -> bytes:
    if isinstance(value, dt.timedelta):
        nanos = (value.seconds * 1_000_000 + value.microseconds) * 1000
        return _INTERVAL.pack(0, value.days, nanos)
    months, days, nanos = value
    return _INTERVAL.pack(months, days, nanos)


def _decode_boolean(slot: int) -> bool:
    if slot > 1:
        raise IntegrityFailure
    return slot == 1


def _decode_text(slot: bytes) -> str:
    try:
        return slot.decode("utf-8")
    except UnicodeDecodeError:
        raise IntegrityFailure from None


def _decode_date(slot: int) -> dt.date:
    return dt.date.fromordinal(slot + _EPOCH_DAY)


def _decode_time(slot: int) -> dt.time:
    if not 0 <= slot < _DAY_MICROS:
        raise IntegrityFailure
    seconds, micros = divmod(slot, 1_000_000)
    minutes, second = divmod(seconds, 60)
    return dt.time(minutes // 60, minutes % 60, second, micros)


def _decode_timestamp(slot: int) -> dt.datetime:
    return _EPOCH + dt.timedelta(microseconds=slot)


def _decode_timestamptz(slot: int) -> dt.datetime:
    return _EPOCH_UTC + dt.timedelta(microseconds=slot)


def _decode_uuid(slot: bytes) -> UUID:
    return UUID(bytes=slot)


def _decode_interval(slot: bytes) -> pa.MonthDayNano:
    # A named tuple in the stub, a struct sequence in fact: it takes one sequence.
    return pa.MonthDayNano(_INTERVAL.unpack(slot))  # type: ignore[call-arg, arg-type]


_BY_NUMBER: Final = frozenset((Kind.DATE, Kind.TIME, Kind.TIMESTAMP, Kind.TIMESTAMPTZ))
_ENCODERS: Final[dict[Kind, Codec]] = {
    Kind.BOOLEAN: _encode_boolean,
    Kind.SMALLINT: _encode_integer,
    Kind.INTEGER: _encode_integer,
    Kind.BIGINT: _encode_integer,
    Kind.REAL: _encode_float,
    Kind.DOUBLE: _encode_float,
    Kind.TEXT: _encode_text,
    Kind.JSON: _encode_text,
    Kind.BLOB: _encode_blob,
    Kind.DATE: _encode_date,
    Kind.TIME: _encode_time,
    Kind.TIMESTAMP: _encode_timestamp,
    Kind.TIMESTAMPTZ: _encode_timestamptz,
    Kind.UUID: _encode_uuid,
    Kind.INTERVAL: _encode_interval,
}
_DECODERS: Final[dict[Kind, Codec]] = {
    Kind.BOOLEAN: _decode_boolean,
    Kind.TEXT: _decode_text,
    Kind.JSON: _decode_text,
    Kind.DATE: _decode_date,
    Kind.TIME: _decode_time,
    Kind.TIMESTAMP: _decode_timestamp,
    Kind.TIMESTAMPTZ: _decode_timestamptz,
    Kind.UUID: _decode_uuid,
    Kind.INTERVAL: _decode_interval,
}
