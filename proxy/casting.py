"""Whole Arrow arrays as values of a column, and as Python values.

The casts are those of :mod:`.coercion`, done by Arrow where it is known to agree exactly, and value by
value where it may not: Arrow reads ``0x1F`` as a number, turns 1e400 into infinity and cuts ``1.5`` to
an integer.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from encdb.errors import DataError, err
from indexes.types import ColumnType, Kind

from .coercion import INTEGER_BITS, OUT_OF_RANGE, TOO_LONG, Misfit, coerce
from .intervals import interval_value

_EPOCH: Final = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - TIMESTAMP has no zone.
_LIMITS: Final = (
    (dt.date.min - _EPOCH.date()).days,
    (dt.date.max - _EPOCH.date()).days,
)
_DAY: Final = 86_400_000_000

ARROW_ERRORS: Final = (pa.ArrowException, OverflowError, UnicodeEncodeError, TypeError, ValueError)
"""What Arrow raises for Python values that it cannot convert."""


class MisfitAt(Misfit):
    """A value of an array does not fit.

    Attributes:
        index: its place in the array.
    """

    def __init__(self, misfit: Misfit, index: int) -> None:
        super().__init__(misfit.code, misfit.reason)
        self.index = index


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


def python_array(values: Sequence[Any], kind: ColumnType) -> Any:
    """Python values as an Arrow array: at once if all are of exact types, else value by value.

    Raises:
        MisfitAt: the first value that does not fit.
    """
    if set(map(type, values)) <= exact_types(kind) and _all_exact(values, kind):
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
    offsets = np.frombuffer(buffers[1], dtype=np.int32, count=len(array) + 1, offset=4 * array.offset)
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
        return pa.nulls(len(array), kind.arrow)
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
        and _within_years(array)
    ):
        return array.cast(kind.arrow, safe=False)
    return None


def _to_integer(array: Any, kind: ColumnType) -> Any:
    before: pa.DataType = array.type
    if pa.types.is_floating(before):
        array = pc.round(array.cast(pa.float64()), 0, "half_to_even")
    elif isinstance(before, pa.Decimal128Type):
        try:
            array = pc.round(array, 0, "half_towards_infinity")
        except pa.ArrowInvalid:
            return None
    elif not pa.types.is_integer(before):
        return None
    try:
        return array.cast(kind.arrow)
    except pa.ArrowInvalid:
        return None


def _to_decimal(array: Any, kind: ColumnType) -> Any:
    before: pa.DataType = array.type
    if pa.types.is_integer(before):
        # Arrow wants room for every value of the type before it looks at the values.
        array = array.cast(pa.decimal128(20, 0))
    elif not isinstance(before, pa.Decimal128Type):
        return None
    try:
        if isinstance(before, pa.Decimal128Type) and before.scale > (kind.scale or 0):
            array = pc.round(array, kind.scale or 0, "half_towards_infinity")
        return array.cast(kind.arrow)
    except pa.ArrowInvalid:
        return None


def _checked_text(array: Any, kind: ColumnType) -> Any:
    if has_nul(array):
        return None
    if kind.length is not None and (pc.max(pc.utf8_length(array)).as_py() or 0) > kind.length:
        return None
    return array


def _within_years(array: Any) -> bool:
    """Whether all dates or moments are in the years 1 to 9999."""
    if pa.types.is_date32(array.type):
        numbers, unit = array.cast(pa.int32()), 1
    elif pa.types.is_timestamp(array.type) and array.type.unit == "us":
        numbers, unit = array.cast(pa.int64()), _DAY
    else:
        return False
    bounds = pc.min_max(numbers).as_py()
    if bounds["min"] is None:
        return True
    return bool(bounds["min"] >= _LIMITS[0] * unit and bounds["max"] < (_LIMITS[1] + 1) * unit)


# --- text, as files hold it -------------------------------------------------------------------------

_ROUND_TRIP: Final = frozenset((*INTEGER_BITS, Kind.DATE))
_REAL_LIMIT: Final = 3.0e38


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
            if kind.kind is Kind.DATE and not _within_years(parsed):
                return None
            # Texts that are not written in the one canonical way are looked at one by one.
            return parsed if pc.all(pc.equal(parsed.cast(pa.string()), array)).as_py() is not False else None
        if kind.kind is Kind.DOUBLE:
            return _parse_double(array)
        if kind.kind is Kind.DECIMAL:
            parsed = array.cast(kind.arrow)
            return parsed
        if kind.kind in (Kind.TIMESTAMP, Kind.TIMESTAMPTZ):
            return _parse_moment(array, kind)
    except pa.ArrowInvalid:
        return None
    return None


def _parse_double(array: Any) -> Any:
    parsed = array.cast(pa.float64())
    # Zeros may have been too small and infinities too large; both are looked at one by one.
    doubtful = pc.or_(pc.is_inf(parsed), pc.equal(parsed, 0.0))
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
    return parsed if _within_years(parsed) else None


# --- Python values ----------------------------------------------------------------------------------


def python_values(array: Any) -> list[Any]:
    """The values of an Arrow array as Python values; see :func:`.values.to_python`.

    Raises:
        DataError: E_OUT_OF_RANGE for a date or moment that Python has no value for.
    """
    convert = _CONVERTERS.get(array.type.id)
    return array.to_pylist() if convert is None else convert(array)  # type: ignore[no-any-return]


def _objects(array: Any) -> list[Any]:
    return array.to_numpy(zero_copy_only=False).tolist()  # type: ignore[no-any-return]


def _dates(array: Any) -> list[Any]:
    if not _within_years(array):
        raise err(
            DataError,
            "E_OUT_OF_RANGE",
            "a date is beyond the years 1 to 9999",
            "Cast the column to TEXT",
        )
    return _with_nulls(array, array.cast(pa.int32()), "datetime64[D]")


def _moments(array: Any) -> list[Any]:
    if array.type.unit != "us":
        array = array.cast(pa.timestamp("us", array.type.tz), safe=False)
    if not _within_years(array):
        raise err(
            DataError,
            "E_OUT_OF_RANGE",
            "a moment is beyond the years 1 to 9999",
            "Cast the column to TEXT",
        )
    values = _with_nulls(array, array.cast(pa.int64()), "datetime64[us]")
    if array.type.tz is None:
        return values
    return [None if value is None else value.replace(tzinfo=dt.UTC) for value in values]


def _with_nulls(array: Any, numbers: Any, unit: str) -> list[Any]:
    """Numbers of time units as Python values; NumPy's "not a time" becomes None."""
    plain = pc.fill_null(numbers, 0).to_numpy(zero_copy_only=False)
    values: list[Any] = plain.astype(np.int64).view("datetime64[us]").tolist() if (
        unit == "datetime64[us]"
    ) else plain.astype(unit).tolist()
    if array.null_count:
        valid = array.is_valid().to_pylist()
        return [value if there else None for value, there in zip(values, valid, strict=True)]
    return values


def _extended(array: Any) -> list[Any]:
    """UUIDs as Python UUIDs, other extension types as their storage."""
    if isinstance(array.type, pa.UuidType):
        return _uuids(array.storage)
    return python_values(array.storage) if isinstance(array.type, pa.JsonType) else array.to_pylist()


def _uuids(array: Any) -> list[Any]:
    return [None if raw is None else uuid.UUID(bytes=raw) for raw in _objects(array)]


def _fixed(array: Any) -> list[Any]:
    """16 bytes are a UUID: no other column type is stored so."""
    return _uuids(array) if array.type.byte_width == 16 else _objects(array)


def _intervals(array: Any) -> list[Any]:
    return [
        None if one is None else interval_value(one.months, one.days, one.nanoseconds // 1000)
        for one in array.to_pylist()
    ]


def _nested(array: Any) -> list[Any]:
    """Lists, through their values, so that these are converted as columns are."""
    values = python_values(array.flatten())
    lengths = pc.list_value_length(array).to_pylist()
    lists: list[Any] = []
    place = 0
    for length in lengths:
        if length is None:
            lists.append(None)
        else:
            lists.append(values[place : place + length])
            place += length
    return lists


def _structs(array: Any) -> list[Any]:
    names = [field.name for field in array.type]
    columns = [python_values(child) for child in array.flatten()]
    rows = zip(*columns, strict=True) if columns else iter([()] * len(array))
    valid = array.is_valid().to_pylist()
    return [
        dict(zip(names, row, strict=True)) if there else None
        for row, there in zip(rows, valid, strict=True)
    ]


_CONVERTERS: Final[dict[int, Callable[[Any], list[Any]]]] = {
    pa.lib.Type_DECIMAL128: _objects,
    pa.lib.Type_TIME64: _objects,
    pa.lib.Type_DATE32: _dates,
    pa.lib.Type_TIMESTAMP: _moments,
    pa.lib.Type_FIXED_SIZE_BINARY: _fixed,
    pa.lib.Type_INTERVAL_MONTH_DAY_NANO: _intervals,
    pa.lib.Type_EXTENSION: _extended,
    pa.lib.Type_LIST: _nested,
    pa.lib.Type_STRUCT: _structs,
}

__all__ = [
    "ARROW_ERRORS",
    "OUT_OF_RANGE",
    "TOO_LONG",
    "MisfitAt",
    "cast_array",
    "coerce_list",
    "exact",
    "exact_types",
    "has_nul",
    "parse_array",
    "python_array",
    "python_values",
]
