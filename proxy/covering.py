"""Columns of rows from the entries of covering indexes, so that the rows themselves are not fetched.

``INCLUDE (…)`` keeps the values of columns beside each entry of an index, sealed with it. Where a lookup has
used such an index, and nothing is wanted but its columns, its entries are all that is read: the store sees
which pages of the index were asked for, and no access to rows at all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from indexes.errors import IntegrityFailure
from indexes.multimap.batches import Ragged
from indexes.records.tuples import TupleLayout
from proxy.arrow import Array, Chunked, Ordinals, chunked, reorder
from proxy.catalog import Index, Table

Keep: TypeAlias = Callable[[Ordinals, Ragged], None]
"""Takes the ordinals that an index has listed, live or not and in any order, and their values."""


def layout_of(table: Table, index: Index) -> TupleLayout:
    """How the entries of a covering index hold its columns."""
    return TupleLayout([table.column_by_id(number).type for number in index.stored])


def tuples(table: Table, index: Index, arrays: Sequence[Array]) -> Ragged:
    """The values of a covering index for n rows.

    Args:
        table: the schema.
        index: the index.
        arrays: one array of n values per column of ``index.stored``.
    """
    return Ragged(*layout_of(table, index).encode(arrays))


class Covered:
    """What covering indexes have listed while one access was looked up."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._parts: list[tuple[Index, Ordinals, Ragged]] = []

    def keeper(self, index: Index, columns: frozenset[int]) -> Keep | None:
        """Takes what an index lists, if it holds all of these columns; None if it does not."""
        if not is_covering(index, columns):
            return None

        def keep(ordinals: Ordinals, values: Ragged) -> None:
            # A word of another index may collide with one of this; its postings bear no values.
            good = np.flatnonzero(values.sizes > 0)
            if len(good) < len(ordinals):
                ordinals, values = ordinals[good], values.take(good)
            self._parts.append((index, ordinals, values))

        return keep

    def columns(self, wanted: Ordinals, column_ids: Sequence[int]) -> list[Chunked] | None:
        """Values of rows, one chunked array per column, in the order of ``wanted``.

        Args:
            wanted: ordinals, each once.
            column_ids: the columns, at least one.

        Returns:
            The values; None when the entries that were read do not hold all of them.
        """
        parts = [one for one in self._parts if set(column_ids) <= set(one[0].stored)]
        if not parts or not column_ids:
            return None
        listed = np.concatenate([ordinals for _, ordinals, _ in parts])
        distinct, first = np.unique(listed, return_index=True)
        if len(wanted) and not len(distinct):
            return None
        places = np.minimum(np.searchsorted(distinct, wanted), max(len(distinct) - 1, 0))
        if len(wanted) and not np.array_equal(distinct[places], wanted):
            return None
        arrays: list[list[Array]] = [[] for _ in column_ids]
        for index, ordinals, values in parts:
            stored = list(index.stored)
            layout = layout_of(self._table, index)
            needed = [stored.index(number) for number in column_ids]
            for target, array in zip(
                arrays, layout.decode(values.flat, values.offsets, needed), strict=True
            ):
                if len(array) != len(ordinals):
                    raise IntegrityFailure
                target.append(array)
        order = first[places] if len(wanted) else np.empty(0, dtype=np.int64)
        return [reorder(chunked(found, found[0].type), order) for found in arrays]


def is_covering(index: Index, columns: frozenset[int]) -> bool:
    """Whether the entries of an index hold all of these columns."""
    return bool(index.include) and columns <= set(index.stored)
