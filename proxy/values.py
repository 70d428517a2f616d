"""Python values and query results as rows of a table, and rows as Python values.

What fits a column follows PostgreSQL's assignment casts (:mod:`.coercion`). Python sees ``Decimal``,
``date``, ``time``, ``datetime`` (with UTC for TIMESTAMP WITH TIME ZONE), ``UUID``, ``bytes``, JSON as
its text, and intervals as ``timedelta``, or :class:`.intervals.Interval` when they have months.
"""

from __future__ import annotations

import base64
import datetime as dt
import decimal
import math
import uuid
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

import pyarrow as pa

from encdb.errors import ProgrammingError, err
from indexes.types import ColumnType

from .casting import ARROW_ERRORS, cast_array, exact, exact_types, python_array
from .coercion import coerce, float_text
from .execute.exchange import INTEGER_MARK
from .intervals import Interval, interval_parts, interval_text
from .misfit import Misfit, MisfitAt, misfit_error
from .pythonic import python_values

__all__ = [
    "Interval",
    "cast_batch",
    "json_value",
    "result_columns",
    "to_array",
    "to_arrow",
    "to_python",
]

Columns = Sequence[tuple[str, ColumnType]]
KEPT_LAYOUTS: Final = 512


def to_arrow(rows: Sequence[Sequence[object]], columns: Columns) -> pa.RecordBatch:
    """Rows of Python values as a batch.

    Args:
        rows: one value per column and row.
        columns: name and type of each column.

    Raises:
        DataError: a value does not fit its column: E_OUT_OF_RANGE, E_INVALID_VALUE or E_TOO_LONG.
        ProgrammingError: E_TYPE_MISMATCH for a Python type without meaning in the column;
            E_PARAMETERS for a row of another width.
    """
    layout = _layout_of(columns)
    for number, row in enumerate(rows):
        if len(row) != len(layout.columns):
            raise err(
                ProgrammingError,
                "E_PARAMETERS",
                f"row {number + 1} has {len(row)} values for {len(layout.columns)} columns",
            )
    if len(rows) == 1:
        return layout.one(rows[0])
    values = list(zip(*rows, strict=True)) if rows else [()] * len(layout.columns)
    arrays = []
    for column, (name, kind) in zip(values, layout.columns, strict=True):
        try:
            arrays.append(python_array(column, kind))
        except MisfitAt as misfit:
            raise misfit_error(misfit, f'column "{name}" of row {misfit.index + 1}') from None
    if not arrays:
        return _without_columns(len(rows))
    return pa.RecordBatch.from_arrays(arrays, schema=layout.schema)


class _Layout:
    """What is kept of a column list: Arrow's view of it, and which values need no coercion."""

    __slots__ = ("columns", "exact", "schema", "struct", "unique")

    def __init__(self, columns: tuple[tuple[str, ColumnType], ...]) -> None:
        self.columns = columns
        self.schema = pa.schema([(name, kind.arrow) for name, kind in columns])
        self.unique = len({name for name, _ in columns}) == len(columns)
        self.struct: Any = pa.struct([(name, kind.arrow) for name, kind in columns])
        self.exact = [exact_types(kind) for _, kind in columns]

    def one(self, row: Sequence[object]) -> pa.RecordBatch:
        """A batch of one row, the latency path: one call of Arrow for all columns."""
        ready = []
        for value, types, (name, kind) in zip(row, self.exact, self.columns, strict=True):
            if type(value) in types and exact(value, kind):
                ready.append(value)
            else:
                ready.append(_coerced(value, name, kind))
        try:
            struct: Any = pa.array([tuple(ready)], self.struct)
        except ARROW_ERRORS:
            # A number that is too wide: coercion tells which.
            ready = [
                _coerced(value, name, kind)
                for value, (name, kind) in zip(row, self.columns, strict=True)
            ]
            struct = pa.array([tuple(ready)], self.struct)
        if self.unique:
            return pa.RecordBatch.from_struct_array(struct)
        return pa.RecordBatch.from_arrays(struct.flatten(), schema=self.schema)


def _coerced(value: object, name: str, kind: ColumnType) -> Any:
    try:
        return coerce(value, kind)
    except Misfit as misfit:
        raise misfit_error(misfit, f'column "{name}"') from None


_LAST: dict[int, tuple[Columns, _Layout]] = {}


def _layout_of(columns: Columns) -> _Layout:
    """The layout of a column list.

    Hashing its types costs more than a row, so a tuple that is passed again is recognised by identity.
    """
    known = _LAST.get(id(columns))
    if known is not None and known[0] is columns:
        return known[1]
    layout = _layout(tuple(columns))
    if isinstance(columns, tuple):
        if len(_LAST) >= KEPT_LAYOUTS:
            _LAST.clear()
        _LAST[id(columns)] = (columns, layout)
    return layout


@lru_cache(maxsize=KEPT_LAYOUTS)
def _layout(columns: tuple[tuple[str, ColumnType], ...]) -> _Layout:
    return _Layout(columns)


def _without_columns(rows: int) -> pa.RecordBatch:
    """A batch of so many rows and no columns."""
    nothing: Any = pa.array([()] * rows, pa.struct([]))
    return pa.RecordBatch.from_struct_array(nothing)


def to_array(values: Sequence[object], kind: ColumnType) -> pa.Array[Any]:
    """Python values as one Arrow array of the column's type; errors as :func:`to_arrow`."""
    try:
        return python_array(values, kind)  # type: ignore[no-any-return]
    except MisfitAt as misfit:
        raise misfit_error(misfit, f"value {misfit.index + 1}") from None


def cast_batch(table: pa.Table, columns: Columns) -> pa.RecordBatch:
    """A query's result as rows of a table, column by column in order; errors as :func:`to_arrow`.

    Args:
        table: the result, with one column per entry of ``columns``.
        columns: name and type of each target column.
    """
    if table.num_columns != len(columns):
        raise err(
            ProgrammingError,
            "E_PARAMETERS",
            f"the query returns {table.num_columns} columns for {len(columns)}",
            "Select one value per column",
        )
    arrays = []
    for column, (name, kind) in zip(table.columns, columns, strict=True):
        try:
            arrays.append(cast_array(column, kind))
        except MisfitAt as misfit:
            raise misfit_error(misfit, f'column "{name}" of row {misfit.index + 1}') from None
        except Misfit as misfit:
            raise misfit_error(misfit, f'column "{name}"') from None
    if not arrays:
        return _without_columns(table.num_rows)
    return pa.RecordBatch.from_arrays(arrays, schema=_layout_of(columns).schema)


def to_python(table: pa.Table | pa.RecordBatch) -> list[tuple[Any, ...]]:
    """The rows of a result as tuples of Python values.

    Raises:
        DataError: E_OUT_OF_RANGE for a date or moment outside the years 1 to 9999.
    """
    if table.num_columns == 0:
        return [()] * table.num_rows
    columns = []
    for field, column in zip(table.schema, table.columns, strict=True):
        chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
        values: list[Any] = []
        for chunk in chunks:
            values.extend(python_values(chunk))
        if _is_integer(field):
            values = [None if value is None else int(value) for value in values]
        columns.append(values)
    return list(zip(*columns, strict=True))


def _is_integer(field: pa.Field[Any]) -> bool:
    """Whether a DECIMAL(38,0) column holds the local engine's 128-bit integers."""
    metadata = field.metadata
    return metadata is not None and all(
        metadata.get(key) == value for key, value in INTEGER_MARK.items()
    )


def json_value(value: object) -> Any:
    """A Python value as :mod:`json` writes it.

    DECIMAL, NaN and infinities, dates, times, UUIDs and intervals become strings, BLOBs base64.
    """
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else float_text(value)
    if isinstance(value, decimal.Decimal):
        return format(value, "f")
    if isinstance(value, (bytes, bytearray, memoryview)):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, (dt.date, dt.time)):
        return value.isoformat()
    if isinstance(value, (dt.timedelta, Interval)):
        return interval_text(*interval_parts(value))
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, dict):
        return {str(key): json_value(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_value(item) for item in value]
    return str(value)


_NAMES: Final[dict[pa.DataType, str]] = {
    pa.null(): "NULL",
    pa.bool_(): "BOOLEAN",
    pa.int8(): "SMALLINT",
    pa.int16(): "SMALLINT",
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
    pa.uint8(): "SMALLINT",
    pa.uint16(): "INTEGER",
    pa.uint32(): "BIGINT",
    pa.uint64(): "HUGEINT",
    pa.float32(): "REAL",
    pa.float64(): "DOUBLE",
    pa.string(): "TEXT",
    pa.large_string(): "TEXT",
    pa.string_view(): "TEXT",
    pa.binary(): "BLOB",
    pa.binary(16): "UUID",
    pa.date32(): "DATE",
    pa.time64("us"): "TIME",
    pa.timestamp("us"): "TIMESTAMP",
    pa.month_day_nano_interval(): "INTERVAL",
}


def result_columns(table: pa.Table) -> tuple[tuple[str, str], ...]:
    """Name and SQL type of each column of a result."""
    return tuple((field.name, _sql_type(field)) for field in table.schema)


def _sql_type(field: pa.Field[Any]) -> str:
    kind: Any = field.type
    if _is_integer(field):
        return "HUGEINT"
    if isinstance(kind, pa.UuidType):
        return "UUID"
    if isinstance(kind, pa.JsonType):
        return "JSON"
    if isinstance(kind, pa.Decimal128Type):
        return f"DECIMAL({kind.precision},{kind.scale})"
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        return "TIMESTAMP WITH TIME ZONE"
    if isinstance(kind, pa.ListType):
        return f"{_sql_type(kind.value_field)}[]"
    if isinstance(kind, pa.StructType):
        return "STRUCT"
    if isinstance(kind, pa.MapType):
        return "MAP"
    return _NAMES.get(kind, str(kind).upper())
