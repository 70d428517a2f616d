"""Array type names and the two gather helpers that all layouts of the multimap share.

Every function takes and returns one-dimensional NumPy arrays unless it says otherwise. Nothing here
is secret-dependent beyond the sizes of its arguments, and nothing here touches a key.
"""

from __future__ import annotations

from typing import Generic, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

U8: TypeAlias = NDArray[np.uint8]
U16: TypeAlias = NDArray[np.uint16]
U32: TypeAlias = NDArray[np.uint32]
U64: TypeAlias = NDArray[np.uint64]
I64: TypeAlias = NDArray[np.int64]
Mask: TypeAlias = NDArray[np.bool_]

_D = TypeVar("_D", bound=np.generic)

# Above this many bytes a range, copying slices beats an index per byte.
_SLICE_BYTES = 256


class Growing(Generic[_D]):
    """A one-dimensional array that is filled from the front.

    Args:
        dtype: of its numbers.
        reserve: numbers to make room for. Room that is never filled is address space, not memory.
    """

    __slots__ = ("_data", "count")

    def __init__(self, dtype: type[_D], reserve: int) -> None:
        self._data = np.empty(reserve, dtype=dtype)
        self.count = 0
        """Numbers so far."""

    def append(self, values: NDArray[_D]) -> None:
        """Add numbers behind those that are there."""
        stop = self.count + len(values)
        if stop > len(self._data):
            larger = np.empty(stop + stop // 4, dtype=self._data.dtype)
            larger[: self.count] = self._data[: self.count]
            self._data = larger
        self._data[self.count : stop] = values
        self.count = stop

    @property
    def values(self) -> NDArray[_D]:
        """What was added, without a copy."""
        return self._data[: self.count]


def offsets_of(sizes: I64) -> I64:
    """Exclusive prefix sums with the total at the end: int64[n + 1] for int64[n] sizes."""
    offsets = np.zeros(len(sizes) + 1, dtype=np.int64)
    np.cumsum(sizes, out=offsets[1:])
    return offsets


def range_index(starts: I64, sizes: I64) -> I64:
    """The concatenation of `arange(starts[i], starts[i] + sizes[i])` over all i."""
    offsets = offsets_of(sizes)
    return np.repeat(starts - offsets[:-1], sizes) + np.arange(offsets[-1], dtype=np.int64)


def take_ranges(data: U8, starts: I64, sizes: I64) -> U8:
    """The bytes `data[starts[i] : starts[i] + sizes[i]]` of all i, joined.

    The caller guarantees that every range lies within `data`.
    """
    total = int(sizes.sum())
    if len(sizes) and total // len(sizes) > _SLICE_BYTES:
        ends = starts + sizes
        return np.concatenate(
            [data[s:e] for s, e in zip(starts.tolist(), ends.tolist(), strict=True)]
        )
    return data[range_index(starts, sizes)]


def put_ranges(target: U8, starts: I64, data: U8, sizes: I64) -> None:
    """Inverse of `take_ranges`: spreads consecutive ranges of `data` to `target` at `starts`."""
    total = int(sizes.sum())
    if len(sizes) and total // len(sizes) > _SLICE_BYTES:
        offsets = offsets_of(sizes).tolist()
        for i, start in enumerate(starts.tolist()):
            target[start : start + offsets[i + 1] - offsets[i]] = data[offsets[i] : offsets[i + 1]]
        return
    target[range_index(starts, sizes)] = data


def order_by(major: U64, minor: I64) -> I64 | None:
    """The order by (major, minor), or None when the arrays are already in it; minor ≥ 0.

    Two unstable sorts on single integers are four times faster than one lexicographic sort. Entries
    equal in both come in an arbitrary order, the same for the same input.
    """
    rising = major[1:] > major[:-1]
    if (rising | ((major[1:] == major[:-1]) & (minor[1:] >= minor[:-1]))).all():
        return None
    order = np.argsort(major)
    ascending = major[order]
    change = ascending[1:] != ascending[:-1]
    if change.all():
        return order
    group = np.concatenate(([0], np.cumsum(change))).astype(np.uint64)
    bits = int(minor.max()).bit_length()
    if bits + int(group[-1]).bit_length() > 64:
        return np.lexsort((minor, major))
    key = (group << np.uint64(bits)) | minor[order].view(np.uint64)
    return order[np.argsort(key)]
