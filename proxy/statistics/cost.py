"""What it takes to read rows of one table, in microseconds on a store of the same machine.

Only proportions matter: a pack column is opened whole for one row of 4,096, so rows that lie scattered
soon need every pack, and an index then saves little more than what it costs. That a distributed row set
touches ``p (1 - exp(-k / p))`` of p blocks is Cardenas' formula (CACM 18, 1975); rows of a column that
rises or falls with the table lie together instead, to the degree of its squared correlation.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

from indexes.labels import BLOCK
from indexes.multimap.segment import HASHED, SORTED
from indexes.seal import PAGE_USABLE
from indexes.types import ColumnType, Kind

from ..catalog import Column, Index
from ..execute.view import TableView
from .sample import fixed_width
from .stored import TableStatistics

ROUND: Final = 150.0
"""Waiting for the store once."""
PAGE: Final = 12.0
"""An index page: fetched, opened and decoded."""
BLOB: Final = 60.0
"""A pack column, whatever its size, …"""
BLOB_PAGE: Final = 3.0
"""… and each page's worth of bytes in it."""
RECORD: Final = 20.0
"""A pending row."""
LISTED: Final = 0.2
"""A row that an index lists: decoded, sorted and found live."""
TAKEN: Final = 0.05
"""A row that is taken out of its pack."""
HELD: Final = 0.1
"""A row whose columns are decoded from the entry of a covering index."""
ROW: Final = 0.03
"""A row that the local engine looks at."""
COMPARISON: Final = 1.0
"""A row that the store itself has to compare."""

GROUP: Final = 4
"""Data pages of a sorted segment are read in groups of so many."""
POSTING_BYTES: Final = 2.5
LABEL_BYTES: Final = 9.0
USUAL_WIDTH: Final = 32.0
"""Bytes of a text about which nothing is known."""

HASHED_METHODS: Final = frozenset({"equality", "keyword", "substring"})
VISIBLE_METHODS: Final = frozenset({"det", "ore", "ope"})


class Costs:
    """Costs of reading one table as one statement sees it.

    Args:
        view: the table.
        columns: ids of the columns that are opened of each row.
        statistics: of the table, if there are any.

    Attributes:
        rows: live rows.
        scan: the cost of reading all of them.
    """

    def __init__(
        self, view: TableView, columns: Iterable[int], statistics: TableStatistics | None
    ) -> None:
        self._view = view
        self.rows = view.count()
        settled = view.state.manifest.rows
        self._packs = -(-settled // BLOCK)
        self._settled = min(max(settled, 0) / self.rows, 1.0) if self.rows else 0.0
        each = settled / self._packs if self._packs else 0.0
        self._pack = BLOB + sum(
            BLOB + BLOB_PAGE * each * _width(view.table.column_by_id(one), statistics) / PAGE_USABLE
            for one in columns
        )
        self.scan = self._packs * self._pack + self.rows * (ROW + (1.0 - self._settled) * RECORD)

    def fetch(self, rows: float, correlation: float = 0.0) -> float:
        """The cost of opening so many rows that an index listed.

        Args:
            rows: how many.
            correlation: of the order of rows with that of what they were chosen by.
        """
        rows = min(rows, float(self.rows))
        settled = rows * self._settled
        scattered = together = 0.0
        if self._packs:
            scattered = self._packs * -math.expm1(-settled / self._packs)
            together = min(settled / BLOCK + min(settled, 1.0), float(self._packs))
        touched = scattered + (min(together, scattered) - scattered) * correlation**2
        return touched * self._pack + rows * (ROW + TAKEN) + (rows - settled) * RECORD

    def decode(self, rows: float) -> float:
        """The cost of taking columns of so many rows from the entries of a covering index."""
        return rows * (ROW + HELD)

    def read(self, index: Index, asked: int, rows: float) -> float:
        """The cost of having an index list rows.

        Args:
            index: the index.
            asked: words or ranges that it is asked for.
            rows: how many it lists.
        """
        if index.method in VISIBLE_METHODS:
            compared = self.rows * COMPARISON if index.method == "ore" else 0.0
            return ROUND + compared + rows * (LABEL_BYTES / PAGE_USABLE * PAGE + LISTED)
        share = rows / self.rows if self.rows else 0.0
        infos = self._view.state.manifest.segments
        if index.method in HASHED_METHODS:
            pages = 0.0
            for info in infos:
                if info.kind == HASHED:
                    long = math.ceil(rows * POSTING_BYTES / PAGE_USABLE) if rows > 64 else 0
                    pages += min(asked + long, info.pages)
            return 2 * ROUND + PAGE * pages + rows * LISTED
        pages = 0.0
        for info in infos:
            if info.kind == SORTED and info.index == index.id:
                wanted = math.ceil(share * info.extra[1] / GROUP) * GROUP
                pages += min(max(wanted, asked * GROUP), info.pages)
        return 2 * ROUND + PAGE * pages + rows * LISTED


def _width(column: Column, statistics: TableStatistics | None) -> float:
    known = None if statistics is None else statistics.columns.get(column.id)
    if known is not None and known.rows:
        return known.width
    return _usual(column.type) or fixed_width(column)


def _usual(kind: ColumnType) -> float:
    if kind.variable:
        return USUAL_WIDTH
    return 16.0 if kind.kind is Kind.INTERVAL else 0.0
