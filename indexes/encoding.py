"""Canonical and order-preserving encodings of SQL values, a whole column at a time.

Two values of a column have equal encodings exactly when SQL calls them equal, so that index equality is
SQL equality: a DECIMAL column knows one scale, -0.0 is 0.0, every NaN is one NaN that sorts last, and
texts are equal when their bytes are (the local engine compares bytes; no Unicode normalisation).

Order keys are 128-bit unsigned numbers, as pairs (high, low), whose order is SQL's order. Signed numbers
are offset by half the range; floats use the bits of IEEE 754 binary64, with negative ones complemented,
which is the standard's totalOrder; TEXT and BLOB keep their first 16 bytes, so that their keys have ties
that the reader of a range must recheck.

What it leaks: nothing by itself; these are plaintexts, meant for a PRF or for sealed pages.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from indexes.buffers import (
    Mask,
    conform,
    fixed_values,
    pack_bits,
    text_parts,
    valid_mask,
    view,
    wrap,
)
from indexes.errors import EncodingRefused
from indexes.types import ColumnType, Kind

U8: TypeAlias = NDArray[np.uint8]
U64: TypeAlias = NDArray[np.uint64]

KEY_BYTES: Final = 16
_SIGN: Final = np.uint64(1 << 63)
_NAN_BITS: Final = np.int64(0x7FF8_0000_0000_0000)

# One byte before each part of a tuple. Kinds that hold the same numbers share it.
_TAGS: Final[dict[Kind, bytes]] = {
    Kind.BOOLEAN: b"o",
    Kind.SMALLINT: b"n",
    Kind.INTEGER: b"n",
    Kind.BIGINT: b"n",
    Kind.DECIMAL: b"d",
    Kind.REAL: b"f",
    Kind.DOUBLE: b"f",
    Kind.TEXT: b"t",
    Kind.BLOB: b"b",
    Kind.DATE: b"D",
    Kind.TIME: b"T",
    Kind.TIMESTAMP: b"S",
    Kind.TIMESTAMPTZ: b"Z",
    Kind.UUID: b"u",
}


def order_key_exact(kind: ColumnType) -> bool:
    """Whether values with equal order keys are equal: False for TEXT and BLOB, whose keys are cut.

    Raises:
        EncodingRefused: the type has no order.
    """
    _require_order(kind)
    return not kind.variable


def order_keys(array: pa.Array[Any], kind: ColumnType) -> tuple[U64, Mask]:
    """Order-preserving keys of a column.

    Args:
        array: n values of type `kind.arrow`.
        kind: the column's type.

    Returns:
        keys uint64[n, 2] (high, low), zero where NULL; and bool[n], True where not NULL. Types of
        `width` 8 use the high half and leave the low one zero.

    Raises:
        EncodingRefused: JSON or INTERVAL, or an array of another type.
    """
    _require_order(kind)
    array = conform(array, kind)
    valid = valid_mask(array)
    keys = np.zeros((len(array), 2), dtype=np.uint64)
    if kind.variable:
        _prefix_keys(array, keys)
    else:
        _fixed_keys(fixed_values(array, kind), kind, keys)
    if not valid.all():
        keys[~valid] = 0
    return keys, valid


def _fixed_keys(values: NDArray[Any], kind: ColumnType, keys: U64) -> None:
    if kind.kind is Kind.BOOLEAN:
        keys[:, 0] = values
    elif kind.kind in (Kind.REAL, Kind.DOUBLE):
        keys[:, 0] = _float_keys(values)
    elif kind.kind is Kind.UUID:
        keys[:] = np.ascontiguousarray(values).view(">u8").reshape(-1, 2)
    elif kind.kind is Kind.DECIMAL and not kind.narrow:
        halves = np.ascontiguousarray(values).view("<u8").reshape(-1, 2)
        keys[:, 0] = halves[:, 1] ^ _SIGN
        keys[:, 1] = halves[:, 0]
    else:
        keys[:, 0] = values.astype(np.int64).view(np.uint64) ^ _SIGN


def _float_keys(values: NDArray[Any]) -> U64:
    # Adding zero turns -0.0 into 0.0. A binary32 converts to binary64 exactly.
    with np.errstate(invalid="ignore"):
        doubles = values.astype(np.float64) + 0.0
    bits = doubles.view(np.int64)
    bits[np.isnan(doubles)] = _NAN_BITS
    # Positive numbers get the sign bit set; of negative ones all bits are complemented.
    return bits.view(np.uint64) ^ ((bits >> 63).view(np.uint64) | _SIGN)


def _prefix_keys(array: pa.Array[Any], keys: U64) -> None:
    if not len(array):
        return
    bounds, data = text_parts(array)
    first, last = int(bounds[0]), int(bounds[-1])
    # Sixteen bytes are read at every start, so the last value needs as many behind it.
    text = np.zeros(last - first + KEY_BYTES, dtype=np.uint8)
    text[: last - first] = view(data, "u1", first, last - first)
    windows = np.ndarray((last - first + 1,), f"V{KEY_BYTES}", text, strides=(1,))
    keys[:] = windows[bounds[:-1] - first].view(">u8").reshape(-1, 2)
    sizes = np.diff(bounds)
    # Blanks out what belongs to the next value. A shift by 64 is undefined, so full halves are left.
    for half in (0, 1):
        short = np.flatnonzero(sizes < 8 * (half + 1))
        missing = 8 * np.minimum(8 * (half + 1) - sizes[short], 8).astype(np.uint64)
        kept = np.where(missing == 64, 0, ~np.uint64(0) << np.minimum(missing, 63))
        keys[short, half] &= kept.astype(np.uint64)


def term_blocks(array: pa.Array[Any], kind: ColumnType) -> U8 | None:
    """Canonical 16-byte terms of a column of fixed width; None for TEXT and BLOB.

    Args:
        array: n values of type `kind.arrow`.
        kind: the column's type.

    Returns:
        uint8[n, 16], the order keys big-endian, zero where NULL (the caller masks NULLs); equal
        exactly for equal values. The type is not part of it: one PRF key serves one column.

    Raises:
        EncodingRefused: JSON or INTERVAL, which have no equality here.
    """
    _require_equality(kind)
    if kind.variable:
        return None
    keys, _ = order_keys(array, kind)
    return keys.astype(">u8").view(np.uint8).reshape(-1, KEY_BYTES)


def term_bytes(arrays: Sequence[pa.Array[Any]], kinds: Sequence[ColumnType]) -> list[bytes | None]:
    """Canonical terms of any length for the rows of one or more columns.

    Args:
        arrays: k ≥ 1 arrays of n values, each of its `kind.arrow`.
        kinds: their k types.

    Returns:
        n byte strings: per column a type byte, the length as u32 big-endian, and the value (TEXT and
        BLOB as they are, others as in `term_blocks`). Equal exactly for equal rows, whatever lies in
        the values. None for a row with a NULL.

    Raises:
        EncodingRefused: a JSON or INTERVAL column.
        ValueError: no columns, or arrays of different lengths.
    """
    if not arrays or len(arrays) != len(kinds) or len({len(array) for array in arrays}) != 1:
        raise ValueError("terms are made from one or more columns of one length")
    parts: list[Any] = []
    for array, kind in zip(arrays, kinds, strict=True):
        _require_equality(kind)
        array = conform(array, kind)  # noqa: PLW2901 - the same column in its plain representation
        heads = np.zeros((len(array), 5), dtype=np.uint8)
        heads[:, 0] = _TAGS[kind.kind][0]
        blocks = term_blocks(array, kind)
        if blocks is None:
            bounds, _ = text_parts(array)
            heads[:, 1:] = np.diff(bounds).astype(">u4").view(np.uint8).reshape(-1, 4)
            parts += [_binary(heads), array.cast(pa.large_binary())]
        else:
            heads[:, 4] = KEY_BYTES
            bits = pack_bits(valid_mask(array))
            parts.append(_binary(np.concatenate((heads, blocks), axis=1), bits))
    # A NULL in any part makes the row's term NULL.
    joined = pc.binary_join_element_wise(*parts, pa.scalar(b"", pa.large_binary()))
    terms: list[bytes | None] = joined.to_pylist()
    return terms


def _binary(rows: U8, validity: pa.Buffer | None = None) -> pa.Array[Any]:
    """uint8[n, w] as n large binaries."""
    count, width = rows.shape
    offsets = np.arange(count + 1, dtype=np.int64) * width
    buffers = [validity, wrap(offsets), wrap(rows)]
    return pa.Array.from_buffers(pa.large_binary(), count, buffers)


def _require_order(kind: ColumnType) -> None:
    if not kind.ordered:
        raise EncodingRefused(f"{kind.sql} has no order that an index can serve")


def _require_equality(kind: ColumnType) -> None:
    if kind.kind not in _TAGS:
        raise EncodingRefused(f"{kind.sql} has no equality that an index can serve")
