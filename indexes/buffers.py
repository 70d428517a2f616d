"""Views of Arrow arrays as NumPy arrays and back, without copying values.

The encodings, rows and packs all work on the raw buffers of arrays of `ColumnType.arrow`. Values under
a NULL are undefined in Arrow, so every function that hands values on says what becomes of them.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from indexes.errors import EncodingRefused
from indexes.types import ColumnType, Kind

Mask: TypeAlias = NDArray[np.bool_]
AnyArray: TypeAlias = NDArray[Any]

SLOTS: dict[Kind, str] = {
    Kind.BOOLEAN: "u1",
    Kind.SMALLINT: "<i2",
    Kind.INTEGER: "<i4",
    Kind.BIGINT: "<i8",
    Kind.REAL: "<f4",
    Kind.DOUBLE: "<f8",
    Kind.DATE: "<i4",
    Kind.TIME: "<i8",
    Kind.TIMESTAMP: "<i8",
    Kind.TIMESTAMPTZ: "<i8",
    Kind.UUID: "V16",
    Kind.DECIMAL: "V16",
    Kind.INTERVAL: "V16",
}
"""NumPy type of a value's slot; a DECIMAL of up to 18 digits takes `<i8` instead."""


def view(buffer: pa.Buffer, dtype: str | np.dtype[Any], offset: int, count: int) -> AnyArray:
    """A read-only array over `count` items of a buffer from byte `offset` on."""
    # A buffer has the buffer protocol, which its type stub does not say.
    found: AnyArray = np.frombuffer(buffer, dtype, count, offset)  # type: ignore[call-overload]
    return found


def wrap(values: AnyArray) -> pa.Buffer:
    """The bytes of an array as an Arrow buffer, without a copy if they are contiguous."""
    return pa.py_buffer(np.ascontiguousarray(values))  # type: ignore[arg-type]


def slot_type(kind: ColumnType) -> str:
    """NumPy type of the slot of a type of fixed width."""
    return "<i8" if kind.narrow else SLOTS[kind.kind]


def conform(array: pa.Array[Any], kind: ColumnType) -> pa.Array[Any]:
    """The array as one of type `kind.arrow`, converted when it is another representation of it.

    Raises:
        EncodingRefused: its type is another, or a value does not fit.
    """
    if array.type.equals(kind.arrow):
        return array
    try:
        if isinstance(array, pa.ExtensionArray):
            array = array.storage
        if isinstance(array, pa.DictionaryArray):
            array = array.dictionary_decode()
        return array.cast(kind.arrow)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError):
        raise EncodingRefused(f"an Arrow {array.type} does not fit {kind.sql}") from None


def valid_mask(array: pa.Array[Any]) -> Mask:
    """bool[n], True where there is a value."""
    bits = array.buffers()[0]
    if bits is None or array.null_count == 0:
        # The null type has no bitmap and no values.
        return np.full(len(array), not pa.types.is_null(array.type), dtype=np.bool_)
    return unpack_bits(bits, array.offset, len(array))


def unpack_bits(bits: pa.Buffer, start: int, count: int) -> Mask:
    """Bits start … start + count - 1 of an Arrow bitmap as bool[count]."""
    first = start >> 3
    packed = view(bits, "u1", first, -(-(start + count) // 8) - first)
    spread = np.unpackbits(packed, bitorder="little")[start & 7 :][:count]
    return spread.view(np.bool_)


def pack_bits(mask: Mask) -> pa.Buffer:
    """An Arrow bitmap of bool[n]."""
    return wrap(np.packbits(mask, bitorder="little"))


def validity(mask: Mask) -> tuple[pa.Buffer | None, int]:
    """The validity buffer of bool[n] (True: a value), None if all are values; and the NULL count."""
    nulls = len(mask) - int(np.count_nonzero(mask))
    return (pack_bits(mask) if nulls else None), nulls


def fixed_values(array: pa.Array[Any], kind: ColumnType) -> AnyArray:
    """One slot per value, of dtype `slot_type(kind)`; undefined under NULL, often a view.

    The array must be of type `kind.arrow`, which must be of fixed width.
    """
    count, dtype = len(array), np.dtype(SLOTS[kind.kind])
    data = array.buffers()[1]
    if data is None:
        return np.zeros(count, dtype=slot_type(kind))
    if kind.kind is Kind.BOOLEAN:
        return unpack_bits(data, array.offset, count).view(np.uint8)
    if kind.narrow:
        # The low half of a 128-bit two's complement number that fits 64 bits is the number.
        halves = view(data, "<i8", array.offset * 16, count * 2)
        return halves[::2]
    return view(data, dtype, array.offset * dtype.itemsize, count)


def fixed_array(values: AnyArray, kind: ColumnType, valid: Mask | None) -> pa.Array[Any]:
    """Inverse of `fixed_values`: an array of type `kind.arrow`; `valid` is None without NULLs."""
    count = len(values)
    bits, nulls = (None, 0) if valid is None else validity(valid)
    if kind.kind is Kind.BOOLEAN:
        data = pack_bits(values.astype(np.bool_))
    elif kind.narrow:
        data = wrap(widen(values))
    else:
        data = wrap(values)
    return pa.Array.from_buffers(kind.arrow, count, [bits, data], null_count=nulls)


def widen(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """int64[n] to the 128-bit two's complement numbers int64[n, 2] of the same value."""
    wide = np.empty((len(values), 2), dtype="<i8")
    wide[:, 0] = values
    np.right_shift(values, 63, out=wide[:, 1])
    return wide


def text_parts(array: pa.Array[Any]) -> tuple[NDArray[np.int32], pa.Buffer]:
    """Offsets int32[n + 1] into the returned data buffer, of a string or binary array."""
    _, offsets, data = array.buffers()
    empty = pa.py_buffer(b"")
    if offsets is None or offsets.size == 0:
        return np.zeros(len(array) + 1, dtype=np.int32), data if data is not None else empty
    bounds = view(offsets, "<i4", array.offset * 4, len(array) + 1)
    return bounds, data if data is not None else empty
