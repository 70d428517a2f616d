"""Reading a table for its statistics, in pieces, so that memory is bounded whatever the table's size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from indexes.labels import BLOCK
from indexes.records.statistics import ColumnFigures

from ..arrow import Array, one_array, pick
from ..catalog import Column
from ..execute.view import TableView
from .sample import Sample

PIECE_ROWS: Final = 16 * BLOCK
TOGETHER: Final = 8
"""Columns that are read at a time: so many fit into a sample of full size."""


def count_values(view: TableView, columns: Sequence[Column]) -> list[ColumnFigures]:
    """The statistics of some columns over all live rows of a view."""
    figures: list[ColumnFigures] = []
    for first in range(0, len(columns), TOGETHER):
        chosen = columns[first : first + TOGETHER]
        sample = Sample(chosen, view.state.keys.value_words)
        for arrays in _pieces(view, chosen):
            sample.add(arrays)
        figures += sample.figures()
    return figures


def _pieces(view: TableView, columns: Sequence[Column]) -> Iterator[list[Array]]:
    """The values of all live rows, by ascending ordinal: one array for each column."""
    live = view.live()
    numbers = [column.id for column in columns]
    for start in range(0, len(live), PIECE_ROWS):
        wanted = live[start : start + PIECE_ROWS]
        order, chunks = view.fetch(wanted, numbers)
        arrays = [one_array(values) for values in chunks]
        if not np.array_equal(order, wanted):
            places = np.argsort(order)
            arrays = [pick(array, places) for array in arrays]
        yield arrays
