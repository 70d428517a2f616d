"""Vectorised LEB128: unsigned integers of up to 64 bits in 1 to 10 bytes, seven bits a byte.

The layout is the one of DWARF 5 section 7.6: least significant group first, the high bit of a byte
set when another byte follows. Whole arrays are coded in one pass per byte of the longest value.
Encodings are canonical when written by `encode`; `decode` also accepts longer ones.
"""

from __future__ import annotations

import numpy as np

from indexes.errors import IntegrityFailure
from indexes.multimap.arrays import I64, U8, U64

MAX_BYTES = 10


def sizes(values: U64) -> I64:
    """Bytes needed for each value: int64[n] in 1 … 10."""
    result = np.ones(len(values), dtype=np.int64)
    top = int(values.max()) if len(values) else 0
    bits = 7
    while bits < 64 and top >> bits:
        result += values >= np.uint64(1 << bits)
        bits += 7
    return result


def encode(values: U64) -> tuple[U8, I64]:
    """Codes uint64[n] into (bytes uint8[total], ends int64[n]); value i ends before `ends[i]`."""
    if not len(values):
        return np.zeros(0, dtype=np.uint8), np.zeros(0, dtype=np.int64)
    if int(values.max()) < 0x80:
        return values.astype(np.uint8), np.arange(1, len(values) + 1, dtype=np.int64)
    size = sizes(values)
    ends = np.cumsum(size)
    starts = ends - size
    data = np.empty(int(ends[-1]), dtype=np.uint8)
    data[starts] = (values & np.uint64(0x7F)).astype(np.uint8) | (
        (size > 1).astype(np.uint8) << np.uint8(7)
    )
    # From the second byte on only the values that reach it are touched.
    for step in range(1, int(size.max())):
        reach = np.flatnonzero(size > step)
        group = (values[reach] >> np.uint64(7 * step)).astype(np.uint8) & np.uint8(0x7F)
        more = (size[reach] > step + 1).astype(np.uint8) << np.uint8(7)
        data[starts[reach] + step] = group | more
    return data, ends


def decode(data: U8) -> tuple[U64, I64]:
    """Inverse of `encode`: (values uint64[n], ends int64[n]) of a whole stream.

    Raises:
        IntegrityFailure: the stream ends within a value, or a value exceeds 64 bits.
    """
    if not len(data):
        return np.zeros(0, dtype=np.uint64), np.zeros(0, dtype=np.int64)
    last = data < 0x80
    if last.all():
        return data.astype(np.uint64), np.arange(1, len(data) + 1, dtype=np.int64)
    if not last[-1]:
        raise IntegrityFailure
    ends = np.flatnonzero(last) + 1
    starts = np.empty_like(ends)
    starts[0] = 0
    starts[1:] = ends[:-1]
    size = ends - starts
    longest = int(size.max())
    if longest > MAX_BYTES:
        raise IntegrityFailure
    values = (data[starts] & np.uint8(0x7F)).astype(np.uint64)
    for step in range(1, longest):
        reach = np.flatnonzero(size > step)
        group = data[starts[reach] + step] & np.uint8(0x7F)
        # Only one bit of the tenth byte lies within 64 bits.
        if step == MAX_BYTES - 1 and (group > 1).any():
            raise IntegrityFailure
        values[reach] |= group.astype(np.uint64) << np.uint64(7 * step)
    return values, ends


def zigzag(values: I64) -> U64:
    """Maps signed to unsigned so that small magnitudes stay small: 0, -1, 1, -2 become 0, 1, 2, 3."""
    return ((values << np.int64(1)) ^ (values >> np.int64(63))).view(np.uint64)


def unzigzag(values: U64) -> I64:
    """Inverse of `zigzag`."""
    return ((values >> np.uint64(1)) ^ (np.uint64(0) - (values & np.uint64(1)))).view(np.int64)
