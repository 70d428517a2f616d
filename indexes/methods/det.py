"""Deterministic tags: server-visible equality.

A tag is 128 bits of a PRF (`indexes.prf`) over a canonical value, or over a tuple of values, so that the
store can compare, group and join rows by equality, and use its own B-tree. Columns of one *join group* are
given one key; then equal values of different columns and tables have equal tags. The kinds of the columns
are part of the key, so columns whose equal values are encoded otherwise never meet. As deterministic
encryption in CryptDB (Popa et al., SOSP 2011) and Bellare, Boldyreva, O'Neill (CRYPTO 2007).

Guarantee: tags of distinct values are independent and uniform; two of n distinct values share one with
probability below n² / 2¹²⁸, and a query rechecks what it fetches. A NULL has no tag.

What it leaks, at rest: which rows are equal, thus every frequency, to whoever has one copy of the store;
across all columns of a join group. On update: that a value was there before, also after its rows were
deleted. On query: which tags are asked for. A column of few values is readable to someone who knows how
common they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from indexes.errors import EncodingRefused
from indexes.keys import Key
from indexes.methods import equality
from indexes.prf import TermPrf
from indexes.types import ColumnType, Kind

TAG_BYTES: Final = 16

_FAMILIES: Final[dict[Kind, str]] = {
    Kind.BOOLEAN: "boolean",
    Kind.SMALLINT: "integer",
    Kind.INTEGER: "integer",
    Kind.BIGINT: "integer",
    Kind.REAL: "float",
    Kind.DOUBLE: "float",
    Kind.TEXT: "text",
    Kind.BLOB: "blob",
    Kind.DATE: "date",
    Kind.TIME: "time",
    Kind.TIMESTAMP: "timestamp",
    Kind.TIMESTAMPTZ: "timestamp with time zone",
    Kind.UUID: "uuid",
}


def family(kind: ColumnType) -> str:
    """Types of one family have equal tags for values that SQL calls equal, and may share a join group.

    Integers of all sizes are one family, REAL and DOUBLE another; a DECIMAL's scale is part of its own.

    Raises:
        EncodingRefused: JSON or INTERVAL, which have no equality here.
    """
    if kind.kind is Kind.DECIMAL:
        # Up to 18 digits and beyond are encoded in 64 and in 128 bits.
        return f"decimal scale {kind.scale} in {64 if kind.narrow else 128} bits"
    found = _FAMILIES.get(kind.kind)
    if found is None:
        raise EncodingRefused(f"{kind.sql} has no equality that an index can serve")
    return found


def tag_prf(key: Key, types: Sequence[ColumnType]) -> TermPrf:
    """The PRF of an index, or of all indexes of one join group whose columns have these families.

    Args:
        key: of the index, or of the join group; used for nothing else.
        types: of the index's columns.
    """
    return TermPrf(key.derive("det", *[family(kind) for kind in types]))


def tags(
    prf: TermPrf, arrays: Sequence[pa.Array[Any]], types: Sequence[ColumnType]
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Tags uint8[n, 16] of n rows and valid bool[n]; a row with a NULL in any column has none.

    Args:
        prf: as `tag_prf` gives it.
        arrays: one array of n values per column of the index.
        types: their column types.

    Raises:
        EncodingRefused: a type without equality.
    """
    return equality.tags(prf, arrays, types)
