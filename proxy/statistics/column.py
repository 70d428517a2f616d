"""What share of a table's rows has a value, or a value within a range, by the statistics of its column.

Values among the common ones have their own share; all others are taken to be equally common. Ranges are
read from the histogram, with linear interpolation of order keys within one of its parts, as Selinger et
al. do between the least and the greatest value (SIGMOD 1979).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from typing import Final

from indexes.methods.range import Bound
from indexes.records.statistics import ColumnFigures

GROWING: Final = 0.1
"""A column with more distinct values than this share of its rows is taken to gain them with the rows."""


class ColumnStatistics:
    """Estimates by the statistics of one column.

    Attributes:
        rows: live rows of the table when it was analysed.
        width: mean size of a value in bytes.
        correlation: between the order of values and the order of rows, -1 … 1.
        valued: the share of rows that are not NULL.
        rest: the share of rows that one value has which is not among the common ones.
        heaviest: the greatest share of rows that one value has.
    """

    __slots__ = (
        "_bounds", "_distinct", "_shares", "correlation", "heaviest", "rest", "rows", "valued", "width"
    )  # fmt: skip

    def __init__(self, figures: ColumnFigures) -> None:
        self.rows = figures.rows
        self.width = figures.width
        self.correlation = figures.correlation
        self._distinct = figures.distinct
        self._shares: dict[int, float] = dict(
            zip(figures.words.tolist(), map(float, figures.shares), strict=True)
        )
        self._bounds = [high << 64 | low for high, low in figures.bounds.tolist()]
        self.valued = 1.0 - figures.nulls / figures.sampled if figures.sampled else 0.0
        left = max(self.valued - sum(self._shares.values()), 0.0)
        others = self._distinct - len(self._shares)
        self.rest = left / others if others >= 1 else 0.0
        self.heaviest = max([self.rest, *self._shares.values()])

    @property
    def common(self) -> int:
        """How many values have a share of their own."""
        return len(self._shares)

    def distinct(self, rows: float) -> float:
        """Distinct values of a table that has so many rows by now, at least 1."""
        if self.rows and self._distinct > GROWING * self.rows:
            return max(self._distinct * rows / self.rows, 1.0)
        return max(self._distinct, 1.0)

    def equal(self, words: Iterable[int], rows: float) -> float:
        """The share of rows that have one of these values, given by their words, each once.

        Args:
            words: of values that are not NULL.
            rows: how many the table has by now.
        """
        rest = self.rest
        if rows > self.rows and self.distinct(rows) > self._distinct:
            # A value that few rows have is not had by more of them when others come.
            rest *= self.rows / rows
        return min(sum(self._shares.get(word, rest) for word in words), self.valued)

    def any_of(self, values: float, rows: float) -> float:
        """The share of rows that have one of so many values about which nothing is known."""
        return min(values / self.distinct(rows), 1.0) * self.valued

    def between(self, low: Bound | None, high: Bound | None) -> float:
        """The share of rows with low ≤ order key ≤ high; None is no bound."""
        if not self._bounds:
            return 0.0
        first = 0.0 if low is None else _below(self._bounds, low[0] << 64 | low[1])
        last = 1.0 if high is None else _up_to(self._bounds, high[0] << 64 | high[1])
        return max(last - first, 0.0) * self.valued


def _below(bounds: Sequence[int], key: int) -> float:
    """The share of values less than a key."""
    return _share(bounds, key, bisect_left(bounds, key))


def _up_to(bounds: Sequence[int], key: int) -> float:
    """The share of values not greater than a key."""
    return _share(bounds, key, bisect_right(bounds, key))


def _share(bounds: Sequence[int], key: int, place: int) -> float:
    """The share of values before a key that stands before the bound number ``place``."""
    if place == 0:
        return 0.0
    if place == len(bounds):
        return 1.0
    low, high = bounds[place - 1], bounds[place]
    return (place - 1 + (key - low) / (high - low)) / (len(bounds) - 1)
