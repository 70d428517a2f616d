"""Row bodies: the plaintext of one row record, many at a time without a Python step per cell.

    head u64         schema u16 | zero u48
    null bitmap      one bit a column, lowest first, 1 = NULL; padded to 8 bytes
    fixed slots      by width 16, 8, 4, 2, 1, in column order within a width; zero where NULL
    zero padding     to 4 bytes
    end u32          per variable column, the end of its value in the heap
    heap             TEXT, BLOB and JSON values, in column order

All numbers are little-endian; what a slot holds is in `indexes.buffers.SLOTS`. A batch is opened by
laying one structured array over the joined bodies. Callers pad a body (`seal.pad`) before they seal it.

What it leaks: the size class of the body, once padded: the lengths of a row's texts together.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
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
    wrap,
)
from indexes.errors import EncodingRefused, IntegrityFailure
from indexes.records.address import row_aad, row_aads
from indexes.records.cells import FORMATS, Codec, decoder, encoder
from indexes.records.gather import checked, chunks, constant, gather, text_array
from indexes.seal import MAX_PLAINTEXT
from indexes.types import ColumnType, Kind

__all__ = ["ABSENT", "RowLayout", "row_aad", "row_aads"]

_MAX_SCHEMA: Final = 0xFFFF


class _Absent:
    """The type of ABSENT."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Final = _Absent()
"""What `decode_one` gives for a column that the row's schema did not have yet."""


class RowLayout:
    """Where the columns of one schema lie in a row body.

    A table that gains columns gets a new schema number. Rows written before keep their bodies; the new
    layout reads them through the older layouts that it is given.

    Args:
        columns: (column id, type) in table order, ids distinct.
        schema: number of this schema, 0 … 65,535, written into every body.
        older: layouts of earlier schemas whose bodies may still be met.

    Raises:
        ValueError: no columns, or a schema or column id is used twice.
    """

    def __init__(
        self,
        columns: Sequence[tuple[int, ColumnType]],
        *,
        schema: int = 0,
        older: Sequence[RowLayout] = (),
    ) -> None:
        self.columns = tuple(columns)
        self.schema = schema
        self._place = {number: place for place, (number, _) in enumerate(self.columns)}
        if not self.columns or len(self._place) != len(self.columns):
            raise ValueError("a row has one or more columns with distinct ids")
        self._older = {layout.schema: layout for layout in older}
        if not 0 <= schema <= _MAX_SCHEMA or len({schema, *self._older}) != len(older) + 1:
            raise ValueError("schema numbers are distinct and below 65,536")
        self._lay_out()

    def _lay_out(self) -> None:
        count = len(self.columns)
        self._null_bytes = -(-count // 64) * 8
        slots = [
            (place, np.dtype(slot_type(kind)))
            for place, (_, kind) in enumerate(self.columns)
            if not kind.variable
        ]
        slots.sort(key=lambda slot: -slot[1].itemsize)
        self._variable = {
            place: rank
            for rank, place in enumerate(
                place for place, (_, kind) in enumerate(self.columns) if kind.variable
            )
        }
        fields: list[Any] = [("head", "<u8"), ("nulls", "u1", (self._null_bytes,))]
        fields += [(str(place), dtype) for place, dtype in slots]
        used = np.dtype(fields).itemsize
        if -used % 4:
            fields.append(("zero", f"V{-used % 4}"))
        fields.append(("ends", "<u4", (len(self._variable),)))
        self._dtype = np.dtype(fields)
        self._width = self._dtype.itemsize

        codes = "".join(FORMATS[slot_type(self.columns[place][1])] for place, _ in slots)
        ends = "I" * len(self._variable)
        self._struct = struct.Struct(f"<Q{self._null_bytes}s{codes}{-used % 4}x{ends}")
        assert self._struct.size == self._width
        self._slot_places = [place for place, _ in slots]
        # Where a column's value is found among the unpacked values of the struct.
        self._found = {place: 2 + rank for rank, place in enumerate(self._slot_places)}
        self._first_end = 2 + len(slots)
        self._encoders = [encoder(kind) for _, kind in self.columns]
        self._decoders: list[Codec | None] = [decoder(kind) for _, kind in self.columns]
        self._zeros = [
            b"" if kind.variable else bytes(16) if slot_type(kind) == "V16" else 0
            for _, kind in self.columns
        ]

    def __contains__(self, number: int) -> bool:
        """Whether this schema has a column of that id."""
        return number in self._place

    def encode(self, batch: pa.RecordBatch) -> list[bytes]:
        """The bodies of n rows.

        Args:
            batch: columns in the order of `columns`, whatever their names.

        Raises:
            EncodingRefused: a column of another type, or a row longer than 900 MB.
            ValueError: another number of columns.
        """
        if batch.num_columns != len(self.columns):
            raise ValueError("the batch has another number of columns than the layout")
        arrays = [
            conform(array, kind)
            for array, (_, kind) in zip(batch.columns, self.columns, strict=True)
        ]
        rows = np.zeros(batch.num_rows, dtype=self._dtype)
        rows["head"] = self.schema
        heap: list[Any] = []
        end = np.zeros(batch.num_rows, dtype=np.int64)
        for place, (array, (_, kind)) in enumerate(zip(arrays, self.columns, strict=True)):
            valid = valid_mask(array) if array.null_count else None
            if valid is not None:
                rows["nulls"][:, place >> 3] |= (~valid).view(np.uint8) << np.uint8(place & 7)
            if kind.variable:
                sizes = np.diff(text_parts(array)[0])
                end += sizes if valid is None else np.where(valid, sizes, 0)
                rows["ends"][:, self._variable[place]] = np.minimum(end, MAX_PLAINTEXT)
                heap.append(array.cast(pa.large_binary()))
            else:
                slots = rows[str(place)]
                slots[:] = fixed_values(array, kind)
                if valid is not None:
                    slots[~valid] = np.zeros((), dtype=slots.dtype)
        if len(end) and int(end.max()) + self._width > MAX_PLAINTEXT:
            raise EncodingRefused("a row is longer than 900 MB")
        return self._join(rows, heap)

    def _join(self, rows: AnyArray, heap: list[Any]) -> list[bytes]:
        offsets = np.arange(len(rows) + 1, dtype=np.int64) * self._width
        fixed: Any = pa.Array.from_buffers(
            pa.large_binary(), len(rows), [None, wrap(offsets), wrap(rows.view(np.uint8))]
        )
        if heap:
            # Joining row by row in Arrow; a NULL contributes no bytes.
            fixed = pc.binary_join_element_wise(
                fixed,
                *heap,
                pa.scalar(b"", pa.large_binary()),
                null_handling="replace",
                null_replacement="",
            )
        bodies: list[bytes] = fixed.to_pylist()
        return bodies

    def encode_one(self, values: Sequence[Any]) -> bytes:
        """The body of one row; equals the one that `encode` gives.

        Args:
            values: per column, in order, None or a Python value (as `decode_one` gives) or an Arrow
                scalar of the column's type.

        Raises:
            EncodingRefused: a value that the column's type cannot hold.
            ValueError: another number of values.
        """
        if len(values) != len(self.columns):
            raise ValueError("as many values as columns are needed")
        nulls = 0
        slots = self._zeros.copy()
        for place, value in enumerate(values):
            if value is None or (isinstance(value, pa.Scalar) and not value.is_valid):
                nulls |= 1 << place
            else:
                slots[place] = self._encoders[place](value)
        heap = [slots[place] for place in self._variable]
        ends, end = [], 0
        for part in heap:
            end += len(part)  # type: ignore[arg-type]
            ends.append(end)
        if end + self._width > MAX_PLAINTEXT:
            raise EncodingRefused("a row is longer than 900 MB")
        try:
            fixed = self._struct.pack(
                self.schema,
                nulls.to_bytes(self._null_bytes, "little"),
                *[slots[place] for place in self._slot_places],
                *ends,
            )
        except (struct.error, OverflowError):
            raise EncodingRefused("a number is out of the range of its column") from None
        return b"".join((fixed, *heap))  # type: ignore[arg-type]

    def decode_one(self, body: bytes, wanted: Sequence[int] | None = None) -> tuple[Any, ...]:
        """The values of one row as Python objects.

        Args:
            body: one body.
            wanted: column ids; None for all columns of this layout.

        Returns:
            Per wanted column None or the Python value; ABSENT for a column that the schema of the row
            did not have.

        Raises:
            IntegrityFailure: the body is malformed or of an unknown schema.
            EncodingRefused: a date or time beyond the years 1 … 9999.
            KeyError: this layout has no such column.
        """
        places = range(len(self.columns)) if wanted is None else [self._place[n] for n in wanted]
        schema = int.from_bytes(body[:2], "little")
        if schema != self.schema and schema in self._older:
            ids = [self.columns[place][0] for place in places]
            return self._older[schema].decode_present(body, ids)
        return self._values(body, places)

    def decode_present(self, body: bytes, wanted: Sequence[int]) -> tuple[Any, ...]:
        """As `decode_one` for a body of this very schema; ids unknown here give ABSENT."""
        places = [self._place[number] for number in wanted if number in self._place]
        values = iter(self._values(body, places))
        return tuple(next(values) if number in self._place else ABSENT for number in wanted)

    def _values(self, body: bytes, places: Sequence[int]) -> tuple[Any, ...]:
        width, size = self._width, len(body)
        if size < width:
            raise IntegrityFailure
        fields = self._struct.unpack_from(body)
        nulls = int.from_bytes(fields[1], "little")
        if fields[0] != self.schema or nulls >> len(self.columns):
            raise IntegrityFailure
        before = 0
        for end in fields[self._first_end :]:
            if end < before:
                raise IntegrityFailure
            before = end
        if before + width != size:
            raise IntegrityFailure
        values: list[Any] = []
        for place in places:
            if nulls >> place & 1:
                values.append(None)
                continue
            rank = self._variable.get(place)
            if rank is None:
                slot = fields[self._found[place]]
            else:
                at = self._first_end + rank
                slot = body[width + (fields[at - 1] if rank else 0) : width + fields[at]]
            decode = self._decoders[place]
            values.append(slot if decode is None else decode(slot))
        return tuple(values)

    def decode(
        self,
        bodies: Sequence[bytes],
        wanted: Sequence[int] | None = None,
        fill: Mapping[int, pa.Scalar[Any]] | None = None,
    ) -> pa.RecordBatch:
        """The columns of n rows.

        Args:
            bodies: n bodies.
            wanted: column ids; None for all columns of this layout.
            fill: per column id, what rows hold whose schema did not have the column; NULL if missing.

        Returns:
            One column per wanted id, named by it in decimal, each of its `ColumnType.arrow`.

        Raises:
            IntegrityFailure: a body is malformed or of an unknown schema.
            EncodingRefused: a text column of more than 2 GiB in one batch.
            KeyError: this layout has no such column.
            ValueError: no column is wanted.
        """
        ids = [number for number, _ in self.columns] if wanted is None else list(wanted)
        kinds = [self.columns[self._place[number]][1] for number in ids]
        names = [str(number) for number in ids]
        if not ids:
            raise ValueError("no column is wanted")
        if not self._older or not bodies:
            return pa.RecordBatch.from_arrays(self.read_columns(bodies, ids), names=names)
        groups: dict[bytes, list[int]] = {}
        for place, body in enumerate(bodies):
            groups.setdefault(body[:2], []).append(place)
        parts: list[list[pa.Array[Any]]] = [[] for _ in ids]
        for schema, places in groups.items():
            layout = self._older.get(int.from_bytes(schema, "little"), self)
            known = [number for number in ids if number in layout]
            found = iter(layout.read_columns([bodies[place] for place in places], known))
            for part, number, kind in zip(parts, ids, kinds, strict=True):
                absent = (fill or {}).get(number)
                part.append(
                    next(found) if number in layout else constant(absent, kind, len(places))
                )
        order = np.argsort([place for places in groups.values() for place in places])
        arrays = [pa.concat_arrays(part).take(order) for part in parts]
        return pa.RecordBatch.from_arrays(arrays, names=names)

    def read_columns(self, bodies: Sequence[bytes], ids: Sequence[int]) -> list[pa.Array[Any]]:
        """As `decode`, for bodies of this very schema and columns that it has."""
        total = len(bodies)
        places = [self._place[number] for number in ids]
        nulls = np.empty((total, self._null_bytes), dtype=np.uint8)
        fixed = {
            place: np.empty(total, dtype=slot_type(self.columns[place][1]))
            for place in places
            if place not in self._variable
        }
        texts: dict[int, list[pa.Array[Any]]] = {
            place: [] for place in places if place in self._variable
        }
        at = 0
        for chunk, sizes in chunks(bodies):
            buffer, starts, rows = self._rows(chunk, sizes)
            stop = at + len(chunk)
            nulls[at:stop] = rows["nulls"]
            for place, target in fixed.items():
                target[at:stop] = rows[str(place)]
            if texts:
                ends = rows["ends"].astype(np.int64) + (starts + self._width)[:, None]
                for place, parts in texts.items():
                    rank = self._variable[place]
                    begin = ends[:, rank - 1] if rank else starts + self._width
                    parts.append(gather(buffer, begin, ends[:, rank]))
            at = stop
        return [self._column(place, nulls, fixed.get(place), texts.get(place)) for place in places]

    def _rows(
        self, bodies: Sequence[bytes], sizes: NDArray[np.int64]
    ) -> tuple[bytes, NDArray[np.int64], AnyArray]:
        """The joined bodies, where each starts, and their fixed parts, checked."""
        buffer = b"".join(bodies)
        starts = np.cumsum(sizes) - sizes
        width = self._width
        if int(sizes.min()) < width:
            raise IntegrityFailure
        windows: AnyArray = np.ndarray(
            (len(buffer) - width + 1,), f"V{width}", buffer, strides=(1,)
        )
        rows = windows[starts].view(self._dtype)
        if (rows["head"] != self.schema).any():
            raise IntegrityFailure
        ends = rows["ends"]
        if ends.shape[1]:
            if (ends[:, 1:] < ends[:, :-1]).any() or (ends[:, -1] + width != sizes).any():
                raise IntegrityFailure
        elif (sizes != width).any():
            raise IntegrityFailure
        unused = np.ones(self._null_bytes * 8, dtype=np.uint8)
        unused[: len(self.columns)] = 0
        if (rows["nulls"] & np.packbits(unused, bitorder="little")).any():
            raise IntegrityFailure
        return buffer, starts, rows

    def _column(
        self,
        place: int,
        nulls: NDArray[np.uint8],
        values: AnyArray | None,
        texts: list[pa.Array[Any]] | None,
    ) -> pa.Array[Any]:
        kind = self.columns[place][1]
        bits = nulls[:, place >> 3] & np.uint8(1 << (place & 7))
        valid: Mask | None = bits == 0 if bits.any() else None
        if values is not None:
            if kind.kind is Kind.BOOLEAN and (values > 1).any():
                raise IntegrityFailure
            return checked(fixed_array(values, kind, valid), kind)
        return checked(text_array(texts or [], kind, valid), kind)
