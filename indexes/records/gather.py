"""Steps of opening many row bodies at once: chunking, gathering texts, checking values.

Bodies are joined in chunks, small enough to stay in the processor's cache and below the 2 GiB that a
text array of Arrow can address.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from indexes.buffers import Mask, text_parts, validity, wrap
from indexes.errors import EncodingRefused, IntegrityFailure
from indexes.types import ColumnType, Kind

_CHUNK_ROWS: Final = 16_384
_CHUNK_BYTES: Final = 1 << 28
_CONSTRAINED: Final = frozenset((Kind.TEXT, Kind.JSON, Kind.DECIMAL, Kind.TIME))


def checked(array: pa.Array[Any], kind: ColumnType) -> pa.Array[Any]:
    """The array, if its values are ones of its type: UTF-8, digits of a DECIMAL, times of day.

    Raises:
        IntegrityFailure: they are not.
    """
    if kind.kind in _CONSTRAINED:
        try:
            array.validate(full=True)
        except pa.ArrowInvalid:
            raise IntegrityFailure from None
    return array


def chunks(bodies: Sequence[bytes]) -> Iterator[tuple[Sequence[bytes], NDArray[np.int64]]]:
    """Runs of bodies that are joined at once, with their sizes: bounded in rows and bytes."""
    for first in range(0, len(bodies), _CHUNK_ROWS):
        chunk = bodies[first : first + _CHUNK_ROWS]
        sizes = np.fromiter(map(len, chunk), dtype=np.int64, count=len(chunk))
        total = np.cumsum(sizes)
        start = 0
        while start < len(chunk):
            room = _CHUNK_BYTES + (int(total[start - 1]) if start else 0)
            stop = max(int(np.searchsorted(total, room, side="right")), start + 1)
            yield chunk[start:stop], sizes[start:stop]
            start = stop


def gather(
    buffer: bytes | pa.Buffer, begin: NDArray[np.int64], end: NDArray[np.int64]
) -> pa.Array[Any]:
    """The byte strings `buffer[begin[i]:end[i]]`, which ascend and do not overlap, as binaries."""
    # Begins and ends by turns are the offsets of an array of values and the gaps between them; Arrow
    # copies the values out of it.
    offsets = np.empty(2 * len(begin), dtype=np.int32)
    offsets[0::2] = begin
    offsets[1::2] = end
    both: pa.Array[Any] = pa.Array.from_buffers(
        pa.binary(), 2 * len(begin) - 1, [None, wrap(offsets), pa.py_buffer(buffer)]
    )
    return both.take(np.arange(0, len(offsets) - 1, 2, dtype=np.int32))


def text_array(parts: list[pa.Array[Any]], kind: ColumnType, valid: Mask | None) -> pa.Array[Any]:
    """Binary parts as one array of a variable type; `valid` is None without NULLs.

    Raises:
        EncodingRefused: they are longer than 2 GiB together.
    """
    try:
        joined: pa.Array[Any] = pa.concat_arrays(parts) if parts else pa.array([], pa.binary())
    except pa.ArrowInvalid:
        raise EncodingRefused("a batch holds more than 2 GiB of one column") from None
    bits, nulls = (None, 0) if valid is None else validity(valid)
    bounds, data = text_parts(joined)
    return pa.Array.from_buffers(
        kind.arrow, len(joined), [bits, wrap(bounds), data], null_count=nulls
    )


def constant(value: pa.Scalar[Any] | None, kind: ColumnType, count: int) -> pa.Array[Any]:
    """An array of `count` times the value, which a None makes NULL."""
    kept = pa.scalar(None, kind.arrow) if value is None else value.cast(kind.arrow)
    # The stub lists one overload per scalar class and none for "some scalar".
    repeated: pa.Array[Any] = pa.repeat(kept, count)  # type: ignore[call-overload]
    return repeated
