"""Whole columns as values of a column's type, from Python values, query results or text.

The casts are those of :mod:`.coercion`, done by Arrow where it is known to agree exactly, and value by
value where it may not: Arrow reads ``0x1F`` as a number, turns 1e400 into infinity and cuts ``1.5`` to
an integer.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from indexes.types import MAX_PRECISION, ColumnType, Kind

from .coercion import INTEGER_BITS, coerce
from .misfit import Misfit, MisfitAt
from .pythonic import python_values, within_years

ARROW_ERRORS: Final = (pa.ArrowException, OverflowError, UnicodeEncodeError, TypeError, ValueError)
"""What Arrow raises for Python values that it cannot convert."""


def coerce_list(values: Sequence[object], kind: ColumnType) -> Any:
    """Python values as an Arrow array of the column's type, value by value.

    Raises:
        MisfitAt: the first value that does not fit.
    """
    done = []
    for index, value in enumerate(values):
        try:
            done.append(coerce(value, kind))
        except Misfit as misfit:
            raise MisfitAt(misfit, index) from None
    return pa.array(done, kind.arrow)


# --- Python values that Arrow converts exactly as coercion would --------------------------------------

_NONE: Final = type(None)
_EXACT: Final[dict[Kind, frozenset[type]]] = {
    Kind.BOOLEAN: frozenset((bool, _NONE)),
    Kind.SMALLINT: frozenset((int, _NONE)),
    Kind.INTEGER: frozenset((int, _NONE)),
    Kind.BIGINT: frozenset((int, _NONE)),
    Kind.DOUBLE: frozenset((float, _NONE)),
    Kind.TEXT: frozenset((str, _NONE)),
    Kind.BLOB: frozenset((bytes, _NONE)),
    Kind.DATE: frozenset((dt.date, _NONE)),
    Kind.TIMESTAMP: frozenset((dt.datetime, _NONE)),
    Kind.TIMESTAMPTZ: frozenset((dt.datetime, _NONE)),
}
_UUIDS: Final[frozenset[type]] = frozenset((uuid.UUID, _NONE))
_NOTHING: Final[frozenset[type]] = frozenset()


def exact_types(kind: ColumnType) -> frozenset[type]:
    """Python types whose values :func:`exact` may accept for a column of that type."""
    return _EXACT.get(kind.kind, _NOTHING)


def exact(value: Any, kind: ColumnType) -> bool:
    """Whether Arrow converts a value of an exact type just as coercion would."""
    if value is None:
        return True
    if kind.kind is Kind.TEXT:
        return "\0" not in value and (kind.length is None or len(value) <= kind.length)
    if kind.kind in (Kind.TIMESTAMP, Kind.TIMESTAMPTZ):
        # Arrow takes moments to UTC, even beyond the years that Python has.
        return value.tzinfo is None or 1 < value.year < 9999
    return True


def _uuid_array(values: Sequence[Any]) -> Any:
    return pa.array([None if value is None else value.bytes for value in values], pa.binary(16))


def python_array(values: Sequence[Any], kind: ColumnType) -> Any:
    """Python values as an Arrow array: at once if all are of exact types, else value by value.

    Raises:
        MisfitAt: the first value that does not fit.
    """
    types = set(map(type, values))
    if kind.kind is Kind.UUID and types <= _UUIDS:
        return _uuid_array(values)
    if types <= exact_types(kind) and _all_exact(values, kind):
        try:
            array = pa.array(values, kind.arrow)
        except ARROW_ERRORS:
            return coerce_list(values, kind)
        if kind.kind is not Kind.TEXT or not has_nul(array):
            return array
    return coerce_list(values, kind)


def _all_exact(values: Sequence[Any], kind: ColumnType) -> bool:
    if kind.kind is Kind.TEXT and kind.length is None:
        return True
    if kind.kind in (Kind.TEXT, Kind.TIMESTAMP, Kind.TIMESTAMPTZ):
        return all(exact(value, kind) for value in values)
    return True


def has_nul(array: Any) -> bool:
    """Whether a string array holds a NUL character; in UTF-8 nothing else is a zero byte."""
    buffers = array.buffers()
    if len(array) == 0 or buffers[2] is None:
        return False
    offsets = np.frombuffer(
        buffers[1], dtype=np.int32, count=len(array) + 1, offset=4 * array.offset
    )
    start, stop = int(offsets[0]), int(offsets[-1])
    data = np.frombuffer(buffers[2], dtype=np.uint8, count=stop - start, offset=start)
    return len(data) > 0 and int(data.min()) == 0


# --- Arrow arrays -----------------------------------------------------------------------------------


def cast_array(array: Any, kind: ColumnType) -> Any:
    """An Arrow array of any type as one of the column's type.

    Raises:
        Misfit: a value, or the whole type, does not fit; a :class:`MisfitAt` when the place is known.
    """
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], array.type)
    if isinstance(array.type, pa.DictionaryType):
        array = array.dictionary_decode()
    known = isinstance(array.type, pa.JsonType) and kind.kind is Kind.JSON
    if isinstance(array.type, (pa.JsonType, pa.UuidType)) and (
        isinstance(array.type, pa.JsonType) or kind.kind is Kind.UUID
    ):
        array = array.storage
    if pa.types.is_null(array.type):
        return pa.array([None] * len(array), kind.arrow)
    if known:
        return array
    fast = _fast_cast(array, kind)
    return coerce_list(python_values(array), kind) if fast is None else fast


def _fast_cast(array: Any, kind: ColumnType) -> Any:
    """The array cast by Arrow, or None where the slow way has to decide."""
    before: pa.DataType = array.type
    if kind.kind in INTEGER_BITS:
        return _to_integer(array, kind)
    if kind.kind is Kind.DECIMAL:
        return _to_decimal(array, kind)
    if pa.types.is_string(before) and kind.kind is Kind.TEXT:
        return _checked_text(array, kind)
    if before == kind.arrow and kind.kind is not Kind.JSON:
        return array
    if kind.kind is Kind.DOUBLE and (pa.types.is_integer(before) or before == pa.float32()):
        return array.cast(pa.float64(), safe=False)
    if (
        kind.kind in (Kind.DATE, Kind.TIMESTAMP, Kind.TIMESTAMPTZ)
        and (pa.types.is_timestamp(before) or pa.types.is_date(before))
        and within_years(array)
    ):
        return array.cast(kind.arrow, safe=False)
    return None


def _to_integer(array: Any, kind: ColumnType) -> Any:
    before: pa.DataType = array.type
    if pa.types.is_floating(before):
        array = pc.round(array.cast(pa.float64()), 0, "half_to_even")
    elif not pa.types.is_integer(before) and not (
        isinstance(before, pa.Decimal128Type) and before.scale == 0
    ):
        return None
    try:
        return array.cast(kind.arrow)
    except pa.ArrowInvalid:
        return None


def _to_decimal(array: Any, kind: ColumnType) -> Any:
    before: pa.DataType = array.type
    scale = kind.scale or 0
    if pa.types.is_integer(before):
        # Arrow wants room for every value of the type before it looks at the values.
        array = array.cast(pa.decimal128(20, 0))
        digits, more = 20, scale
    elif isinstance(before, pa.Decimal128Type):
        digits, more = before.precision, scale - before.scale
    else:
        return None
    # Arrow rounds some decimals to zero (99.5 with six digits, for one), and when 128 bits overflow
    # it goes on with what is left of the number.
    if more < 0 or digits + more > MAX_PRECISION:
        return None
    try:
        return array.cast(kind.arrow)
    except pa.ArrowInvalid:
        return None


def _checked_text(array: Any, kind: ColumnType) -> Any:
    if has_nul(array):
        return None
    if kind.length is not None and (pc.max(pc.utf8_length(array)).as_py() or 0) > kind.length:
        return None
    return array


# --- text, as files hold it -------------------------------------------------------------------------

_PLAIN_DIGITS: Final = 18
_PLAIN_DECIMAL: Final = rf"^-?[0-9]{{1,{_PLAIN_DIGITS}}}(\.[0-9]{{1,{_PLAIN_DIGITS}}})?$"
_ROUND_TRIP: Final = frozenset((*INTEGER_BITS, Kind.DATE))


def parse_array(array: Any, kind: ColumnType) -> Any:
    """A string array as one of the column's type; each text is read as :func:`.coercion.coerce` does.

    Raises:
        MisfitAt: the first text that does not fit.
    """
    fast = _fast_parse(array, kind)
    return coerce_list(array.to_pylist(), kind) if fast is None else fast


def _fast_parse(array: Any, kind: ColumnType) -> Any:
    """The texts parsed by Arrow, or None where the slow way has to decide."""
    try:
        if kind.kind is Kind.TEXT:
            return _checked_text(array, kind)
        if kind.kind in _ROUND_TRIP:
            parsed = array.cast(kind.arrow)
            if kind.kind is Kind.DATE and not within_years(parsed):
                return None
            # Texts that are not written in the one canonical way are looked at one by one.
            return (
                parsed
                if pc.all(pc.equal(parsed.cast(pa.string()), array)).as_py() is not False
                else None
            )
        if kind.kind is Kind.DOUBLE:
            return _parse_double(array)
        if kind.kind is Kind.DECIMAL:
            # Arrow reads more digits than it has room for as another number, without an error.
            if (kind.scale or 0) + _PLAIN_DIGITS > MAX_PRECISION:
                return None
            shape = pc.match_substring_regex(array, _PLAIN_DECIMAL)
            return array.cast(kind.arrow) if pc.all(shape).as_py() is not False else None
        if kind.kind in (Kind.TIMESTAMP, Kind.TIMESTAMPTZ):
            return _parse_moment(array, kind)
    except pa.ArrowInvalid:
        return None
    return None


def _parse_double(array: Any) -> Any:
    parsed = array.cast(pa.float64())
    # Zeros may have been too small and infinities too large; both are looked at one by one.
    doubtful = pc.or_(pc.is_inf(parsed), pc.equal(parsed, pa.scalar(0.0)))
    if pc.any(doubtful).as_py():
        texts = pc.unique(array.filter(doubtful))
        if pc.any(pc.invert(pc.match_substring_regex(texts, r"^-?0(\.0+)?$"))).as_py():
            return None
    return parsed


MOMENT: Final = r"^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?"
ZONE: Final = r"(Z|[+-](0\d|1[0-5]):?[0-5]\d)$"


def _parse_moment(array: Any, kind: ColumnType) -> Any:
    """Moments in ISO 8601 with at most six decimals; all others are looked at one by one."""
    shape = MOMENT + (ZONE if kind.kind is Kind.TIMESTAMPTZ else "$")
    if pc.all(pc.match_substring_regex(array, shape)).as_py() is False:
        return None
    parsed = array.cast(kind.arrow)
    return parsed if within_years(parsed) else None
