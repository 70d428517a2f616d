"""Arrow arrays as lists of Python values.

Arrow's own conversion of dates, moments, decimals and bytes makes one scalar object per value; NumPy's
is ten to fifty times as fast.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from encdb.errors import DataError, err

from .intervals import interval_value

_EPOCH: Final = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - TIMESTAMP has no zone.
_LIMITS: Final = (
    (dt.date.min - _EPOCH.date()).days,
    (dt.date.max - _EPOCH.date()).days,
)
_DAY: Final = 86_400_000_000


FEW: Final = 16
"""Up to so many values, Arrow's scalar objects cost less than NumPy's preparations."""


def python_values(array: Any) -> list[Any]:
    """The values of an Arrow array as Python values; see :func:`.values.to_python`.

    Raises:
        DataError: E_OUT_OF_RANGE for a date or moment that Python has no value for.
    """
    convert = _CONVERTERS.get(array.type.id)
    if convert is not None:
        return convert(array)
    values: list[Any] = array.to_pylist()
    return values


def _objects(array: Any) -> list[Any]:
    return array.to_numpy(zero_copy_only=False).tolist()  # type: ignore[no-any-return]


def _beyond(what: str) -> DataError:
    return err(
        DataError,
        "E_OUT_OF_RANGE",
        f"a {what} is beyond the years 1 to 9999",
        "Cast the column to TEXT",
    )


def _dates(array: Any) -> list[Any]:
    if len(array) <= FEW:
        try:
            values: list[Any] = array.to_pylist()
        except (ValueError, OverflowError):
            raise _beyond("date") from None
        return values
    if not within_years(array):
        raise _beyond("date")
    return _with_nulls(array, pc.fill_null(array.cast(pa.int32()), 0), "datetime64[D]")


def _moments(array: Any) -> list[Any]:
    if array.type.unit != "us":
        array = array.cast(pa.timestamp("us", array.type.tz), safe=False)
    zone = array.type.tz
    if zone is not None:
        array = array.cast(pa.timestamp("us"), safe=False)
    values: list[Any]
    if len(array) <= FEW:
        try:
            values = array.to_pylist()
        except (ValueError, OverflowError):
            raise _beyond("moment") from None
    elif within_years(array):
        values = _with_nulls(array, pc.fill_null(array.cast(pa.int64()), 0), "datetime64[us]")
    else:
        raise _beyond("moment")
    if zone is None:
        return values
    return [None if value is None else value.replace(tzinfo=dt.UTC) for value in values]


def _with_nulls(array: Any, numbers: Any, unit: str) -> list[Any]:
    """Counts of a time unit since 1970 as Python values."""
    values: list[Any] = numbers.to_numpy().astype(np.int64).view(unit).tolist()
    if array.null_count:
        valid = array.is_valid().to_pylist()
        return [value if there else None for value, there in zip(values, valid, strict=True)]
    return values


def _plain(array: Any) -> list[Any]:
    return array.to_pylist() if len(array) <= FEW else _objects(array)


def _extended(array: Any) -> list[Any]:
    """UUIDs as Python UUIDs, other extension types as their storage."""
    if isinstance(array.type, pa.UuidType):
        return _uuids(array.storage)
    return (
        python_values(array.storage) if isinstance(array.type, pa.JsonType) else array.to_pylist()
    )


def _uuids(array: Any) -> list[Any]:
    number = int.from_bytes
    return [None if raw is None else uuid.UUID(int=number(raw, "big")) for raw in _plain(array)]


def _fixed(array: Any) -> list[Any]:
    """16 bytes are a UUID: no other column type is stored so."""
    return _uuids(array) if array.type.byte_width == 16 else _plain(array)


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
    pa.lib.Type_DECIMAL128: _plain,
    pa.lib.Type_TIME64: _plain,
    pa.lib.Type_DATE32: _dates,
    pa.lib.Type_TIMESTAMP: _moments,
    pa.lib.Type_FIXED_SIZE_BINARY: _fixed,
    pa.lib.Type_INTERVAL_MONTH_DAY_NANO: _intervals,
    pa.uuid().id: _extended,
    pa.lib.Type_LIST: _nested,
    pa.lib.Type_STRUCT: _structs,
}


def within_years(array: Any) -> bool:
    """Whether all dates or moments are in the years 1 to 9999."""
    if pa.types.is_date32(array.type):
        numbers, unit = array.cast(pa.int32()), 1
    elif pa.types.is_timestamp(array.type) and array.type.unit == "us":
        numbers, unit = array.cast(pa.int64()), _DAY
    else:
        return False
    bounds: Any = pc.min_max(numbers).as_py()
    if bounds["min"] is None:
        return True
    return bool(bounds["min"] >= _LIMITS[0] * unit and bounds["max"] < (_LIMITS[1] + 1) * unit)
