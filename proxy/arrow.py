"""Small helpers over Arrow arrays, and the names of their types."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Array: TypeAlias = "pa.Array[Any]"
Chunked: TypeAlias = "pa.ChunkedArray[Any]"
Ordinals: TypeAlias = npt.NDArray[np.int64]


def one_array(values: Array | Chunked) -> Array:
    """The chunks of an array as one array."""
    if isinstance(values, pa.ChunkedArray):
        chunks: list[Any] = values.chunks
        if len(chunks) == 1:
            only: Array = chunks[0]
            return only
        return pa.concat_arrays(chunks) if chunks else nulls(0, values.type)
    return values


def nulls(size: int, kind: Any) -> Array:
    """So many NULLs of a type."""
    array: Array = pa.nulls(size, kind)
    return array


def chunked(chunks: list[Any], kind: Any) -> Chunked:
    """Arrays of one type as the chunks of one."""
    return pa.chunked_array(chunks, type=kind)


def pick(values: Array, places: Ordinals) -> Array:
    """The values at ``places``, in that order."""
    return values.take(pa.array(places))  # type: ignore[arg-type]


def reorder(values: Chunked, places: Ordinals) -> Chunked:
    """The values at ``places``, in that order."""
    return values.take(pa.array(places))  # type: ignore[arg-type]


def reorder_batch(batch: pa.RecordBatch, places: Ordinals) -> pa.RecordBatch:
    """The rows at ``places``, in that order."""
    return batch.take(pa.array(places))  # type: ignore[arg-type]


def one_batch(batches: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    """Batches of one schema, at least one, as one."""
    if len(batches) == 1:
        return batches[0]
    joined: pa.RecordBatch = pa.concat_batches(batches)  # type: ignore[attr-defined] # no stub yet
    return joined
