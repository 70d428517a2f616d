"""Equality indexes: each value, or each tuple of values, becomes one pseudorandom word.

Values are canonical by type before they are hashed, so equal words mean SQL equality (up to the 64-bit
collision bound in `prf`, which the engine's recheck removes). A NULL has no word.

What it leaks: nothing at rest beyond page counts; on a query whether the same value was asked before,
the length class of its list, and the rows fetched. Tags of UNIQUE values are stored in clear while a
claim is pending and link a value deleted and inserted again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from indexes.encoding import term_blocks, term_bytes
from indexes.prf import TermPrf
from indexes.types import ColumnType


def words(
    prf: TermPrf, arrays: Sequence[pa.Array[Any]], types: Sequence[ColumnType]
) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    """Words of n rows over one or several columns.

    Args:
        prf: of the index.
        arrays: one array of n values per column of the index.
        types: their column types.

    Returns:
        words uint64[n] and valid bool[n]; a row with a NULL in any column has no word (0, False).

    Raises:
        EncodingRefused: a type without equality, such as JSON.
    """
    valid = _valid(arrays)
    result = np.zeros(len(valid), dtype=np.uint64)
    if len(arrays) == 1:
        blocks = term_blocks(arrays[0], types[0])
        if blocks is not None:
            result[valid] = prf.blocks(blocks[valid])
            return result, valid
        codes, items = _distinct(arrays[0], types[0])
        result[valid] = prf.items(items)[codes]
        return result, valid
    result[valid] = prf.items(_tuples(arrays, types))
    return result, valid


def tags(
    prf: TermPrf, arrays: Sequence[pa.Array[Any]], types: Sequence[ColumnType]
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """128-bit tags of n rows, for the claims of UNIQUE values: uint8[n, 16] and valid bool[n].

    Raises:
        EncodingRefused: a type without equality, such as JSON.
    """
    valid = _valid(arrays)
    result = np.zeros((len(valid), 16), dtype=np.uint8)
    if len(arrays) == 1:
        blocks = term_blocks(arrays[0], types[0])
        if blocks is not None:
            result[valid] = prf.tag_blocks(blocks[valid])
            return result, valid
        codes, items = _distinct(arrays[0], types[0])
        result[valid] = prf.tag_items(items)[codes]
        return result, valid
    result[valid] = prf.tag_items(_tuples(arrays, types))
    return result, valid


def _valid(arrays: Sequence[pa.Array[Any]]) -> NDArray[np.bool_]:
    valid = np.ones(len(arrays[0]), dtype=np.bool_)
    for array in arrays:
        if array.null_count:
            valid &= array.is_valid().to_numpy(zero_copy_only=False)
    return valid


def _distinct(
    array: pa.Array[Any], column_type: ColumnType
) -> tuple[NDArray[np.int64], list[bytes]]:
    """Codes of the valid rows and the canonical terms they refer to, so each is hashed once."""
    encoded = array.dictionary_encode()
    codes = encoded.indices.drop_null().to_numpy(zero_copy_only=False).astype(np.int64)
    return codes, [item or b"" for item in term_bytes([encoded.dictionary], [column_type])]


def _tuples(arrays: Sequence[pa.Array[Any]], types: Sequence[ColumnType]) -> list[bytes]:
    return [item for item in term_bytes(list(arrays), list(types)) if item is not None]
