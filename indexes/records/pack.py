"""Packs: the settled rows of one block of ordinals, one sealed blob per column.

A column blob is laid out as Arrow lays out its buffers, so that opening one is a decryption and a few
pointers:

    n u32 | kind u8 | zero u8 | precision u8 | scale u8 | heap u64     16 bytes
    validity         one bit a row, 1 = value; always there, so that its size does not tell of NULLs
    fixed slots      n values as in `indexes.buffers.SLOTS`, BOOLEAN as bits; zero where NULL
      or offsets     int32[n + 1], then heap bytes of values
    zero padding     to a size class

Every part is padded to 16 bytes; all numbers are little-endian. DECIMALs of up to 18 digits are stored
in 8 bytes and widened when they are opened; everything else is used where it lies. Column 0 is the
directory: `rows u32 | columns u32 | slots u16[rows] | column ids u16[columns]`. The slots are the low 12
bits of the rows' ordinals; the column ids authenticate which columns the pack lacks because the table
gained them later.

Blobs are sealed by AES-256-GCM under a key of the pack's own fresh salt, with `pack << 11 | column` as
nonce; a liveness entry holds the salt.

What it leaks: per block of 4,096 ordinals, which columns exist, and the size class of each: for types
of fixed width the number of rows, for texts their length together.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from indexes.buffers import (
    conform,
    fixed_values,
    pack_bits,
    slot_type,
    text_parts,
    unpack_bits,
    valid_mask,
    view,
    widen,
    wrap,
)
from indexes.errors import EncodingRefused, IntegrityFailure
from indexes.keys import Key
from indexes.labels import BLOCK
from indexes.records.gather import checked
from indexes.seal import MAX_PLAINTEXT, PageSealer, size_class
from indexes.types import ColumnType, Kind

COLUMN_BITS: Final = 11
MAX_COLUMN: Final = (1 << COLUMN_BITS) - 1
"""Largest column id that a pack can hold."""

MAX_PACK: Final = (1 << 52) - 1
"""Largest pack number: addresses are positive 64-bit integers."""

DIRECTORY_COLUMN: Final = 0
"""The column number of a pack's directory; tables number their columns from 1."""

_PAGE_KIND: Final = b"pack"
_HEAD: Final = struct.Struct("<IBBBBQ")
_COUNTS: Final = struct.Struct("<II")
_ALIGN: Final = 16
_CODES: Final = {
    Kind.BOOLEAN: 1,
    Kind.SMALLINT: 2,
    Kind.INTEGER: 3,
    Kind.BIGINT: 4,
    Kind.DECIMAL: 5,
    Kind.REAL: 6,
    Kind.DOUBLE: 7,
    Kind.TEXT: 8,
    Kind.BLOB: 9,
    Kind.DATE: 10,
    Kind.TIME: 11,
    Kind.TIMESTAMP: 12,
    Kind.TIMESTAMPTZ: 13,
    Kind.UUID: 14,
    Kind.JSON: 15,
    Kind.INTERVAL: 16,
}


def pack_address(pack: int, column: int) -> int:
    """`pack << 11 | column`: the key of a blob in the store.

    Raises:
        ValueError: the pack number is 2⁵² or more, the column 2,048 or more, or one is negative.
    """
    if not 0 <= pack <= MAX_PACK or not 0 <= column <= MAX_COLUMN:
        raise ValueError("a pack or column number is out of range")
    return pack << COLUMN_BITS | column


class PackSealer:
    """The cipher of one pack's blobs.

    Args:
        key: parent of the packs' keys.
        salt: 32 random bytes, fresh for each build of a pack.
        aad: the rest of the address: database, table.
    """

    __slots__ = ("_pages",)

    def __init__(self, key: Key, salt: bytes, aad: bytes) -> None:
        self._pages = PageSealer(key, salt, _PAGE_KIND, aad)

    def seal(self, pack: int, column: int, plaintext: bytes) -> bytes:
        """Seals one column; 16 bytes longer than `plaintext`. Each column is sealed once a salt.

        Raises:
            EncodingRefused: the column is longer than 900 MB.
        """
        return self._pages.seal(pack_address(pack, column), plaintext)

    def open(self, pack: int, column: int, blob: bytes) -> bytes:
        """The plaintext of one column.

        Raises:
            IntegrityFailure: it is not that column of that build of the pack.
        """
        return self._pages.open(pack_address(pack, column), blob)


def encode_column(array: pa.Array[Any], kind: ColumnType) -> bytes:
    """The padded plaintext of a column.

    Args:
        array: n values of type `kind.arrow`.
        kind: the column's type.

    Raises:
        EncodingRefused: the array is of another type, or the column is longer than 900 MB.
    """
    array = conform(array, kind)
    valid = valid_mask(array) if array.null_count else None
    everything = np.ones(len(array), dtype=np.bool_)
    parts = [pack_bits(everything if valid is None else valid)]
    heap = 0
    if kind.variable:
        bounds, data = text_parts(array)
        first = int(bounds[0])
        heap = int(bounds[-1]) - first
        parts += [wrap(bounds - first if first else bounds), data.slice(first, heap)]
    else:
        values = fixed_values(array, kind)
        if valid is not None:
            values = values.copy()
            values[~valid] = np.zeros((), dtype=values.dtype)
        parts.append(
            pack_bits(values.view(np.bool_)) if kind.kind is Kind.BOOLEAN else wrap(values)
        )
    size = _HEAD.size + sum(_padded(part.size) for part in parts)
    if size > MAX_PLAINTEXT:
        raise EncodingRefused("a column of a block of rows is longer than 900 MB")
    head = _HEAD.pack(len(array), _CODES[kind.kind], 0, kind.precision or 0, kind.scale or 0, heap)
    pieces: list[Any] = [head]
    for part in parts:
        pieces += [part, bytes(_padded(part.size) - part.size)]
    pieces.append(bytes(size_class(size) - size))
    return b"".join(pieces)


def decode_column(blob: bytes, kind: ColumnType) -> pa.Array[Any]:
    """Inverse of `encode_column`; the array's buffers lie in `blob`.

    Raises:
        IntegrityFailure: the blob is malformed or holds another type.
    """
    if len(blob) < _HEAD.size:
        raise IntegrityFailure
    count, *described, heap = _HEAD.unpack_from(blob)
    if described != [_CODES[kind.kind], 0, kind.precision or 0, kind.scale or 0]:
        raise IntegrityFailure
    parts = _Parts(blob)
    bits: pa.Buffer | None = parts.take(-(-count // 8))
    assert bits is not None
    nulls = count - int(np.count_nonzero(unpack_bits(bits, 0, count)))
    if not nulls:
        bits = None
    if kind.variable:
        offsets = parts.take(4 * (count + 1))
        _check_offsets(view(offsets, "<i4", 0, count + 1), heap)
        buffers = [bits, offsets, parts.take(heap)]
    elif heap:
        raise IntegrityFailure
    elif kind.kind is Kind.BOOLEAN:
        buffers = [bits, parts.take(-(-count // 8))]
    elif kind.narrow:
        narrow = view(parts.take(8 * count), "<i8", 0, count)
        buffers = [bits, wrap(widen(narrow))]
    else:
        buffers = [bits, parts.take(np.dtype(slot_type(kind)).itemsize * count)]
    return checked(pa.Array.from_buffers(kind.arrow, count, buffers, null_count=nulls), kind)


def encode_directory(slots: NDArray[np.uint16], columns: Sequence[int] = ()) -> bytes:
    """The padded plaintext of a directory.

    Args:
        slots: uint16[n] ascending and distinct, the low 12 bits of the rows' ordinals.
        columns: ids of the columns that the pack holds, in any order; empty when that is left open.

    Raises:
        ValueError: slots are not ascending or beyond the block, or a column id is out of range.
    """
    listed = np.array(sorted(columns), dtype=np.int64)
    if not _ascending(slots, 0, BLOCK) or not _ascending(listed, 1, MAX_COLUMN + 1):
        raise ValueError("slots and columns of a directory ascend within their ranges")
    body = b"".join(
        (
            _COUNTS.pack(len(slots), len(listed)),
            slots.astype("<u2").tobytes(),
            listed.astype("<u2").tobytes(),
        )
    )
    return body.ljust(size_class(len(body)), b"\0")


def decode_directory(plain: bytes) -> NDArray[np.uint16]:
    """The slots of a pack: uint16[n], ascending and distinct.

    Raises:
        IntegrityFailure: the directory is malformed.
    """
    return _open_directory(plain)[0]


def directory_columns(plain: bytes) -> frozenset[int] | None:
    """Ids of the columns that a pack holds; None when its directory leaves that open.

    A column that is missing here was added to the table after the pack was written; a column that is
    listed and not served is withheld.

    Raises:
        IntegrityFailure: the directory is malformed.
    """
    return frozenset(_open_directory(plain)[1].tolist()) or None


def _open_directory(plain: bytes) -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
    if len(plain) < _COUNTS.size:
        raise IntegrityFailure
    rows, columns = _COUNTS.unpack_from(plain)
    if rows > BLOCK or columns > MAX_COLUMN or _COUNTS.size + 2 * (rows + columns) > len(plain):
        raise IntegrityFailure
    slots = np.frombuffer(plain, dtype="<u2", count=rows, offset=_COUNTS.size)
    listed = np.frombuffer(plain, dtype="<u2", count=columns, offset=_COUNTS.size + 2 * rows)
    if not _ascending(slots, 0, BLOCK) or not _ascending(listed, 1, MAX_COLUMN + 1):
        raise IntegrityFailure
    return slots, listed


def _ascending(numbers: NDArray[Any], low: int, high: int) -> bool:
    """Whether the numbers are distinct, ascend, and lie in low … high - 1."""
    if not len(numbers):
        return True
    within = low <= int(numbers[0]) and int(numbers[-1]) < high
    return within and bool((numbers[1:] > numbers[:-1]).all())


def _check_offsets(offsets: NDArray[np.int32], heap: int) -> None:
    ends_fit = int(offsets[0]) == 0 and int(offsets[-1]) == heap
    if not ends_fit or (offsets[1:] < offsets[:-1]).any():
        raise IntegrityFailure


def _padded(size: int) -> int:
    return -(-size // _ALIGN) * _ALIGN


class _Parts:
    """Consecutive aligned parts of a blob, checked against its length."""

    __slots__ = ("_at", "_buffer")

    def __init__(self, blob: bytes) -> None:
        self._buffer = pa.py_buffer(blob)
        self._at = _HEAD.size

    def take(self, size: int) -> pa.Buffer:
        if self._at + size > self._buffer.size:
            raise IntegrityFailure
        part = self._buffer.slice(self._at, size)
        self._at += _padded(size)
        return part
