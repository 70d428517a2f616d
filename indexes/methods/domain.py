"""Values as unsigned numbers of a fixed number of bits, in the order of SQL: the plaintexts of ore and ope.

They are the order keys of `indexes.encoding` without the bits that a type never uses. TEXT and BLOB keep
their first 16 bytes, so that values which agree there share a number; a query rechecks them.

What it leaks: nothing by itself; these are plaintexts.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from indexes.errors import EncodingRefused
from indexes.types import ColumnType, Kind

U64: TypeAlias = NDArray[np.uint64]

_NARROW: Final = {
    Kind.BOOLEAN: 8,
    Kind.SMALLINT: 16,
    Kind.INTEGER: 32,
    Kind.DATE: 32,
}
_SIGN: Final = 1 << 63


def bits_of(kind: ColumnType) -> int:
    """Bits of a type's numbers: 8, 16, 32, 64 or 128.

    Raises:
        EncodingRefused: the type has no order.
    """
    width = kind.width
    if width is None:
        raise EncodingRefused(f"{kind.sql} has no order that an index can serve")
    return _NARROW.get(kind.kind, 8 * width)


def numbers(keys: U64, kind: ColumnType) -> U64:
    """Order keys uint64[n, 2] (high, low) as numbers uint64[n, 2] below 2^bits, high half first.

    Raises:
        EncodingRefused: a key that no value of the type has.
    """
    bits = bits_of(kind)
    result = np.zeros((len(keys), 2), dtype=np.uint64)
    if bits == 128:
        result[:] = keys
        return result
    if bits == 64:
        result[:, 1] = keys[:, 0]
        return result
    # Booleans are 0 and 1; the others are signed numbers of 16 or 32 bits, offset by 2⁶³.
    offset = 0 if kind.kind is Kind.BOOLEAN else _SIGN - (1 << (bits - 1))
    result[:, 1] = keys[:, 0] - np.uint64(offset)
    if len(result) and int(result[:, 1].max()) >> bits:
        raise EncodingRefused("a key lies outside of its type")
    return result


def shifted(values: U64, by: int) -> U64:
    """Numbers uint64[n, 2] shifted to the right by 0 … 128 bits, or to the left by a negative amount.

    What leaves the 128 bits on either side is lost.
    """
    high, low = values[:, 0], values[:, 1]
    result = np.zeros_like(values)
    if by == 0:
        result[:] = values
    elif 0 < by < 64:
        result[:, 0] = high >> np.uint64(by)
        result[:, 1] = low >> np.uint64(by) | high << np.uint64(64 - by)
    elif 64 <= by < 128:
        result[:, 1] = high >> np.uint64(by - 64)
    elif -64 < by < 0:
        result[:, 0] = high << np.uint64(-by) | low >> np.uint64(64 + by)
        result[:, 1] = low << np.uint64(-by)
    elif -128 < by <= -64:
        result[:, 0] = low << np.uint64(-by - 64)
    return result


def as_blocks(values: U64) -> NDArray[np.uint8]:
    """Numbers uint64[n, 2] as blocks uint8[n, 16], big-endian."""
    return values.astype(">u8").view(np.uint8).reshape(-1, 16)
