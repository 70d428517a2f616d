"""Compact tuples of a few columns: what a covering index keeps beside each of its entries.

    null bitmap   one bit a column, lowest first, 1 = NULL; whole bytes
    slots         columns of fixed width in column order, zero where NULL; no padding
    ends u16      per variable column, the end of its value in the heap
    heap          TEXT, BLOB and JSON values, in column order

All numbers are little-endian; what a slot holds is in `indexes.buffers.SLOTS`. Unlike a row body
(`records.row`) a tuple has no schema number: an index keeps the columns it was made with, and is dropped
with them. Tuples of n rows are made and read at once.

What it leaks: nothing by itself. Tuples lie in sealed pages and deltas, whose number and size they add to.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from indexes.buffers import (
    AnyArray,
    Mask,
    conform,
    fixed_array,
    fixed_values,
    slot_type,
    text_parts,
    valid_mask,
    view,
    wrap,
)
from indexes.errors import EncodingRefused, IntegrityFailure
from indexes.records.gather import checked, gather, text_array
from indexes.types import ColumnType, Kind

MAX_TUPLE: Final = 2_048
"""Most bytes of one tuple, so that an entry with it fits an index page."""


class TupleLayout:
    """Where the columns of a covering index lie in its tuples.

    Args:
        kinds: the types of k ≥ 1 columns.
    """

    def __init__(self, kinds: Sequence[ColumnType]) -> None:
        if not kinds:
            raise ValueError("a tuple has one or more columns")
        self.kinds = tuple(kinds)
        self._null_bytes = -(-len(kinds) // 8)
        places = range(len(kinds))
        self._fixed = [place for place in places if not kinds[place].variable]
        self._variable = {
            place: rank
            for rank, place in enumerate(place for place in places if kinds[place].variable)
        }
        fields: list[Any] = [("nulls", "u1", (self._null_bytes,))]
        fields += [(str(place), slot_type(kinds[place])) for place in self._fixed]
        fields.append(("ends", "<u2", (len(self._variable),)))
        self._dtype = np.dtype(fields)
        self._width = self._dtype.itemsize

    def encode(
        self, arrays: Sequence[pa.Array[Any]]
    ) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """The tuples of n rows.

        Args:
            arrays: k arrays of n values, each of its type.

        Returns:
            flat uint8[total] and offsets int64[n + 1]: tuple i is `flat[offsets[i] : offsets[i + 1]]`.

        Raises:
            EncodingRefused: an array of another type, or a tuple of more than 2,048 bytes.
        """
        if len(arrays) != len(self.kinds):
            raise ValueError("as many arrays as columns are needed")
        plain = [conform(array, kind) for array, kind in zip(arrays, self.kinds, strict=True)]
        count = len(plain[0])
        rows = np.zeros(count, dtype=self._dtype)
        end = np.zeros(count, dtype=np.int64)
        for place, (array, kind) in enumerate(zip(plain, self.kinds, strict=True)):
            valid = valid_mask(array) if array.null_count else None
            if valid is not None:
                rows["nulls"][:, place >> 3] |= (~valid).view(np.uint8) << np.uint8(place & 7)
            if kind.variable:
                sizes = np.diff(text_parts(array)[0])
                end += sizes if valid is None else np.where(valid, sizes, 0)
                rows["ends"][:, self._variable[place]] = np.minimum(end, MAX_TUPLE)
            else:
                slots = rows[str(place)]
                slots[:] = fixed_values(array, kind)
                if valid is not None:
                    slots[~valid] = np.zeros((), dtype=slots.dtype)
        if count and int(end.max()) + self._width > MAX_TUPLE:
            raise EncodingRefused(
                f"the columns of a covering index take more than {MAX_TUPLE:,} bytes in one row; "
                "include shorter ones"
            )
        return self._join(rows, [plain[place] for place in self._variable])

    def _join(
        self, rows: AnyArray, heap: list[pa.Array[Any]]
    ) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        count = len(rows)
        offsets = np.arange(count + 1, dtype=np.int64) * self._width
        raw = np.ascontiguousarray(rows).view(np.uint8)
        if not heap:
            return raw, offsets
        fixed: Any = pa.Array.from_buffers(
            pa.large_binary(), count, [None, wrap(offsets), wrap(raw)]
        )
        # Joining row by row in Arrow; a NULL contributes no bytes.
        joined = pc.binary_join_element_wise(
            fixed,
            *[array.cast(pa.large_binary()) for array in heap],
            pa.scalar(b"", pa.large_binary()),
            null_handling="replace",
            null_replacement="",
        )
        _, bounds, data = joined.buffers()
        ends = view(bounds, "<i8", joined.offset * 8, count + 1)
        first, last = int(ends[0]), int(ends[-1])
        flat = view(data, "u1", first, last - first) if last > first else np.zeros(0, np.uint8)
        return flat, (ends - first).astype(np.int64)

    def decode(
        self, flat: NDArray[np.uint8], offsets: NDArray[np.int64], wanted: Sequence[int]
    ) -> list[pa.Array[Any]]:
        """Columns of n tuples, inverse of `encode`.

        Args:
            flat: as `encode` gives it.
            offsets: the same.
            wanted: places of the columns, 0 … k - 1.

        Raises:
            IntegrityFailure: a tuple is malformed.
        """
        starts, sizes = offsets[:-1], np.diff(offsets)
        if not len(starts):
            return [pa.array([], self.kinds[place].arrow) for place in wanted]
        width = self._width
        if int(sizes.min()) < width or int(offsets[-1]) > len(flat):
            raise IntegrityFailure
        buffer = np.ascontiguousarray(flat)
        windows: AnyArray = np.ndarray(
            (len(buffer) - width + 1,), f"V{width}", buffer, strides=(1,)
        )
        rows = windows[starts].view(self._dtype)
        ends = rows["ends"].astype(np.int64)
        if ends.shape[1]:
            if (ends[:, 1:] < ends[:, :-1]).any() or (ends[:, -1] + width != sizes).any():
                raise IntegrityFailure
        elif (sizes != width).any():
            raise IntegrityFailure
        heap = ends + (starts + width)[:, None]
        return [self._column(place, rows, buffer, starts + width, heap) for place in wanted]

    def _column(
        self,
        place: int,
        rows: AnyArray,
        buffer: NDArray[np.uint8],
        begin: NDArray[np.int64],
        ends: NDArray[np.int64],
    ) -> pa.Array[Any]:
        kind = self.kinds[place]
        bits = rows["nulls"][:, place >> 3] & np.uint8(1 << (place & 7))
        valid: Mask | None = bits == 0 if bits.any() else None
        rank = self._variable.get(place)
        if rank is None:
            values = np.ascontiguousarray(rows[str(place)])
            if kind.kind is Kind.BOOLEAN and (values > 1).any():
                raise IntegrityFailure
            return checked(fixed_array(values, kind, valid), kind)
        if len(buffer) >> 31:
            raise EncodingRefused("a lookup gives more than 2 GiB of one column")
        start = ends[:, rank - 1] if rank else begin
        return checked(text_array([gather(wrap(buffer), start, ends[:, rank])], kind, valid), kind)
