"""What passes between encdb and the local engine: tables in, parameters in, results out.

The engine is told the SQL type of every column through Arrow extension types, because Arrow alone
cannot say UUID or JSON. Results come back with the types of :class:`indexes.types.ColumnType` where
one exists: booleans as Arrow booleans instead of bytes, and the engine's 128-bit integers as
``DECIMAL(38,0)`` marked as integers, so that they are Python ``int`` in the end.
"""

from __future__ import annotations

import datetime as dt
import decimal
import json
import uuid
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from encdb.errors import DataError, NotSupportedError, ProgrammingError, err
from indexes.types import ColumnType, Kind

Array: TypeAlias = "pa.Array[Any] | pa.ChunkedArray[Any]"

INTEGER_MARK: Final = {b"encdb.type": b"HUGEINT"}
"""Field metadata of a result column of 128-bit integers."""

FILLER: Final = "__filler"
"""Name of the column that stands for the rows of a table of which no column is needed."""

_UUID: Final = pa.uuid()
_JSON: Final = pa.json_()
_RAW_UUID: Final = pa.binary(16)
_HUGE: Final = pa.decimal128(38, 0)
_MAX_HUGE: Final = 10**38 - 1


def engine_table(
    columns: Sequence[tuple[str, ColumnType]], arrays: Sequence[Array], rows: int
) -> pa.Table:
    """A table as the local engine takes it.

    Args:
        columns: name and type of each column.
        arrays: the values, each of the type's Arrow type; a table of n rows may have no columns.
        rows: number of rows.
    """
    if not columns:
        return pa.table({FILLER: pa.nulls(rows, pa.bool_())})
    return pa.table(
        [_dressed(array, kind.kind) for (_, kind), array in zip(columns, arrays, strict=True)],
        names=[name for name, _ in columns],
    )


def engine_input(table: pa.Table) -> pa.Table:
    """A table made elsewhere, with its 16-byte columns read as UUID and never without a column."""
    if table.num_columns == 0:
        return pa.table({FILLER: pa.nulls(table.num_rows, pa.bool_())})
    if _RAW_UUID not in table.schema.types:
        return table
    arrays = [
        _dressed(column, Kind.UUID) if column.type == _RAW_UUID else column
        for column in table.columns
    ]
    return pa.table(arrays, names=table.column_names)


def _dressed(array: Array, kind: Kind) -> Array:
    """UUID and JSON columns as Arrow extension types, over the same buffers."""
    if kind not in (Kind.UUID, Kind.JSON):
        return array
    extension: Any = _UUID if kind is Kind.UUID else _JSON
    if array.type == extension:
        return array
    if isinstance(array, pa.ChunkedArray):
        chunks = [pa.ExtensionArray.from_storage(extension, chunk) for chunk in array.chunks]
        return pa.chunked_array(chunks, type=extension)
    return pa.ExtensionArray.from_storage(extension, array)


# --- parameters -----------------------------------------------------------------------------------

_PLAIN: Final = frozenset((bool, float, dt.date, uuid.UUID, type(None)))
_MAX_BITS: Final = 127


def bindable(value: object, number: int) -> object:
    """A statement parameter as the engine binds it.

    Args:
        value: what the caller passed.
        number: which parameter it is, from 1, for messages.

    Raises:
        DataError: E_OUT_OF_RANGE for integers beyond 128 bits and decimals beyond 38 digits;
            E_INVALID_VALUE for text with NUL or lone surrogates, times with a zone and NaN decimals.
        ProgrammingError: E_PARAMETERS for a Python type that has no SQL type.
    """
    kind = type(value)
    if kind in _PLAIN:
        return value
    for base, convert in _BINDERS:
        if isinstance(value, base):
            return convert(value, number)
    if kind.__module__ == "numpy" and isinstance(value, np.generic):
        plain = value.item()
        if not isinstance(plain, np.generic):
            return bindable(plain, number)
    raise err(
        ProgrammingError,
        "E_PARAMETERS",
        f"parameter {number} is a Python {kind.__name__}, which has no SQL type",
        "Pass a number, text, bytes, date, time, UUID, bool, list or None",
    )


def _bind_int(value: int, number: int) -> int:
    if value.bit_length() > _MAX_BITS:
        raise err(DataError, "E_OUT_OF_RANGE", f"parameter {number} is beyond 128 bits")
    return int(value)


def _bind_text(value: str, number: int) -> str:
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise err(
                DataError, "E_INVALID_VALUE", f"parameter {number} holds a lone surrogate"
            ) from None
    if "\0" in value:
        raise err(DataError, "E_INVALID_VALUE", f"parameter {number} holds a NUL character")
    return str(value)


def _bind_decimal(value: decimal.Decimal, number: int) -> decimal.Decimal:
    _, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int):
        raise err(DataError, "E_INVALID_VALUE", f"parameter {number} is no finite number")
    if max(len(digits) + exponent, len(digits), -exponent) > 38:
        raise err(DataError, "E_OUT_OF_RANGE", f"parameter {number} has more than 38 digits")
    return value


def _bind_datetime(value: dt.datetime, number: int) -> dt.datetime:
    if value.tzinfo is None:
        return value
    try:
        return value.astimezone(dt.UTC)
    except OverflowError:
        raise err(DataError, "E_OUT_OF_RANGE", f"parameter {number} is beyond year 9999") from None


def _bind_time(value: dt.time, number: int) -> dt.time:
    if value.tzinfo is not None:
        raise err(
            DataError,
            "E_INVALID_VALUE",
            f"parameter {number} is a time with a zone",
            "Pass a time without zone, or a datetime",
        )
    return value


def _bind_json(value: dict[Any, Any], number: int) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        raise err(DataError, "E_INVALID_VALUE", f"parameter {number} is no JSON value") from None
    return _bind_text(text, number)


def _bind_list(value: Sequence[object], number: int) -> list[object]:
    return [bindable(item, number) for item in value]


_BINDERS: Final[tuple[tuple[Any, Callable[[Any, int], object]], ...]] = (
    (bool, lambda value, _: bool(value)),
    (int, _bind_int),
    (str, _bind_text),
    (float, lambda value, _: float(value)),
    (decimal.Decimal, _bind_decimal),
    (dt.datetime, _bind_datetime),
    (dt.date, lambda value, _: value),
    (dt.time, _bind_time),
    ((bytes, bytearray, memoryview), lambda value, _: bytes(value)),
    (dt.timedelta, lambda value, _: value),
    (uuid.UUID, lambda value, _: value),
    (dict, _bind_json),
    ((list, tuple), _bind_list),
)


# --- results --------------------------------------------------------------------------------------


def normal(table: pa.Table) -> pa.Table:
    """A result with the engine's own Arrow types replaced by those of encdb.

    Raises:
        DataError: E_OUT_OF_RANGE for an integer of more than 38 digits.
        NotSupportedError: a column of a type that encdb does not serve.
    """
    schema = table.schema
    fields = [_field(field) for field in schema]
    if all(after is before for after, before in zip(fields, schema, strict=True)):
        return table
    columns = [
        column if after is before else _converted(column, after.type)
        for column, after, before in zip(table.columns, fields, schema, strict=True)
    ]
    return pa.Table.from_arrays(columns, schema=pa.schema(fields))


def _field(field: pa.Field[Any]) -> pa.Field[Any]:
    """The field as encdb shows it; the same object when nothing changes."""
    after = _type(field.type, field.name)
    if after is field.type:
        return field
    marked = INTEGER_MARK if after is _HUGE else None
    return pa.field(field.name, after, metadata=marked)


_ENGINE_HUGE: Final = ("hugeint", "uhugeint")


def _type(before: Any, name: str) -> pa.DataType:
    """The type that replaces ``before``; the same object when it stays."""
    after: pa.DataType = before
    if isinstance(before, pa.Bool8Type):
        after = pa.bool_()
    elif isinstance(before, pa.OpaqueType):
        if before.type_name not in _ENGINE_HUGE:
            raise err(
                NotSupportedError,
                "E_NOT_SUPPORTED",
                f'result column "{name}" has the type {before.type_name}',
                "Cast it to TEXT",
            )
        after = _HUGE
    elif isinstance(before, pa.DictionaryType):
        after = before.value_type
    elif pa.types.is_timestamp(before) and before.unit != "us":
        after = pa.timestamp("us", before.tz)
    elif pa.types.is_time64(before) and before.unit != "us":
        after = pa.time64("us")
    elif pa.types.is_nested(before):
        after = _nested_type(before, name)
    return after


def _nested_type(before: Any, name: str) -> pa.DataType:
    """Lists, maps and structures of replaced types; the same object when nothing is replaced."""
    inner = [before.field(place) for place in range(before.num_fields)]
    after = [pa.field(one.name, _type(one.type, name), one.nullable) for one in inner]
    if all(now.type is was.type for now, was in zip(after, inner, strict=True)):
        return before  # type: ignore[no-any-return]
    if isinstance(before, pa.StructType):
        return pa.struct(after)
    if isinstance(before, pa.MapType):
        return pa.map_(*(_type(one, name) for one in (before.key_type, before.item_type)))
    return pa.list_(after[0])


def _converted(column: Any, after: pa.DataType) -> Any:
    chunked: Any = pa.chunked_array
    return chunked([_array(chunk, after) for chunk in column.chunks], after)


def _array(array: Any, after: Any) -> Any:
    """One array of the engine as ``after``; nested values too."""
    before = array.type
    if before == after:
        return array
    if isinstance(before, pa.Bool8Type):
        return pc.not_equal(array.storage, pa.scalar(0, pa.int8()))
    if isinstance(before, pa.OpaqueType):
        return _integers(array.storage, unsigned=before.type_name == "uhugeint")
    if isinstance(before, pa.DictionaryType):
        return array.dictionary_decode()
    if isinstance(before, pa.MapType):
        keys, items = _array(array.keys, after.key_type), _array(array.items, after.item_type)
        return pa.MapArray.from_arrays(_offsets(array), keys, items)
    if isinstance(before, pa.StructType):
        fields = [after.field(place) for place in range(after.num_fields)]
        inner = [
            _array(child, field.type) for child, field in zip(array.flatten(), fields, strict=True)
        ]
        return pa.StructArray.from_arrays(inner, fields=fields, mask=pc.is_null(array))
    if pa.types.is_nested(before):
        values = _array(array.flatten(), after.value_type)
        made: Any = pa.ListArray
        return made.from_arrays(_offsets(array), values, type=after, mask=pc.is_null(array))
    # Finer time units than a column can have are cut, as PostgreSQL's six digits are.
    return array.cast(after, safe=False)


def _offsets(array: Any) -> Any:
    """Where each list starts in the flattened values, int32[n + 1]; the offsets of a map hold NULLs."""
    if isinstance(array.type, pa.MapType):
        starts = array.offsets.to_pylist()
        valid = [*array.is_valid().to_pylist(), True]
        first = starts[0]
        return pa.array(
            [start - first if there else None for start, there in zip(starts, valid, strict=True)],
            pa.int32(),
        )
    lengths = pc.fill_null(pc.list_value_length(array), 0).to_numpy()
    offsets = np.zeros(len(array) + 1, dtype=np.int32)
    np.cumsum(lengths, out=offsets[1:])
    return pa.array(offsets)


def _integers(storage: Any, *, unsigned: bool) -> Any:
    """128-bit two's complement integers as ``DECIMAL(38,0)``, which has the same bytes.

    A decimal of 38 digits is a little narrower than 128 bits, so the values are compared with its
    bounds, by their high words.
    """
    values = pc.drop_null(storage)
    words = np.frombuffer(
        values.buffers()[1] or b"", dtype="<i8", count=2 * len(values), offset=16 * values.offset
    )
    high, low = words[1::2], words[0::2].view(np.uint64)
    top, bottom = _MAX_HUGE >> 64, (-_MAX_HUGE) >> 64
    over = (high > top) | ((high == top) & (low > np.uint64(_MAX_HUGE & (2**64 - 1))))
    under = (high < bottom) | ((high == bottom) & (low < np.uint64(-_MAX_HUGE & (2**64 - 1))))
    if unsigned:
        under = high < 0
    if len(high) and bool((over | under).any()):
        raise err(DataError, "E_OUT_OF_RANGE", "an integer of the result has more than 38 digits")
    return pa.Array.from_buffers(
        _HUGE, len(storage), storage.buffers(), storage.null_count, storage.offset
    )
