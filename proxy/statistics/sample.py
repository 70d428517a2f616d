"""A sample of a table's rows, and what it says of each column.

Rows come in pieces, in the order of the table, and are kept with one probability for all: it is halved,
and each row kept so far with it, whenever there would be too many (Bernoulli sampling; Gibbons and
Matias, SIGMOD 1998). Of a kept value only its word and its order key stay, so memory is bounded whatever
the values are. Where not every row was kept, distinct values are estimated by Duj1 of Haas and Stokes
(JASA 93, 1998), as PostgreSQL does.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from indexes.encoding import order_keys
from indexes.methods import equality
from indexes.prf import TermPrf
from indexes.records.statistics import MOST_BOUNDS, MOST_COMMON, ColumnFigures
from indexes.types import Kind

from ..arrow import Array, pick
from ..catalog import Column, Index, Table

SAMPLE_ROWS: Final = 1 << 18
"""Rows that are kept at most: tables of up to so many are counted, not sampled."""

SAMPLE_VALUES: Final = 1 << 21
"""Values that are kept at most, over all columns of one sample; each takes 25 bytes."""

COMMONER: Final = 1.25
"""A common value has more than this many times the rows of an average one …"""

DEVIATIONS: Final = 5.0
"""… and is further from the average than chance would take one of as many values (Poisson)."""

AUTOMATIC_ROWS: Final = 1 << 16
"""Loads of whole tables and new indexes bring statistics with them, if there are so many rows; with fewer,
what is read too much costs milliseconds."""

AUTOMATIC_SAMPLE: Final = 1 << 16
"""Rows that such statistics are made of at most."""

WORD_METHODS: Final = frozenset({"keyword", "substring"})
"""Indexes of the words of texts, about which the distribution of whole texts says nothing."""

Words = npt.NDArray[np.uint64]
Mask = npt.NDArray[np.bool_]


class Sample:
    """Rows kept of some columns of a table.

    Args:
        columns: the columns.
        prf: gives the words of values.
        most: rows to keep at most, if the number of columns allows so many.
        random: where chance comes from.

    Attributes:
        columns: the columns.
        rows: rows that have come.
    """

    def __init__(
        self,
        columns: Sequence[Column],
        prf: TermPrf,
        most: int = SAMPLE_ROWS,
        random: np.random.Generator | None = None,
    ) -> None:
        self.columns = tuple(columns)
        self._columns = [_Kept(column) for column in columns]
        self._prf = prf
        self._most = max(min(most, SAMPLE_VALUES // max(len(columns), 1)), 1)
        self._random = np.random.default_rng() if random is None else random
        self._share = 1.0
        self._kept = 0
        self.rows = 0

    def add(self, arrays: Sequence[Array]) -> None:
        """Take in rows: one array for each column, all of one length."""
        count = len(arrays[0]) if arrays else 0
        self.rows += count
        for start in range(0, count, self._most):
            self._add([array.slice(start, self._most) for array in arrays])

    def _add(self, arrays: Sequence[Array]) -> None:
        count = len(arrays[0])
        chosen = None if self._share == 1.0 else self._draw(count, self._share)
        if chosen is not None:
            places = np.flatnonzero(chosen)
            arrays = [pick(array, places) for array in arrays]
        for kept, array in zip(self._columns, arrays, strict=True):
            kept.add(array, self._prf)
        self._kept += len(arrays[0])
        while self._kept > self._most:
            self._share /= 2
            chosen = self._draw(self._kept, 0.5)
            for kept in self._columns:
                kept.thin(chosen)
            self._kept = int(chosen.sum())

    def _draw(self, count: int, share: float) -> Mask:
        return self._random.random(count) < share

    def figures(self) -> list[ColumnFigures]:
        """The statistics of every column."""
        return [kept.figures(self.rows) for kept in self._columns]


def automatic(table: Table, indexes: Iterable[Index], prf: TermPrf) -> Sample | None:
    """A sample of the columns by which indexes find rows, for rows that are at hand for another reason."""
    numbers = {
        number for index in indexes if index.method not in WORD_METHODS for number in index.columns
    }
    columns = [column for column in table.columns if column.id in numbers]
    return Sample(columns, prf, AUTOMATIC_SAMPLE) if columns else None


class _Kept:
    """What is kept of one column: a word, a key and whether there is a value, for each row."""

    def __init__(self, column: Column) -> None:
        self._column = column
        self._words: list[Words] = []
        self._keys: list[Words] = []
        self._valid: list[Mask] = []
        self._bytes = 0
        self._values = 0

    def add(self, array: Array, prf: TermPrf) -> None:
        """Keep these values."""
        kind = self._column.type
        valid = array.is_valid().to_numpy(zero_copy_only=False)
        words = np.zeros(len(array), dtype=np.uint64)
        keys = np.zeros((len(array), 2), dtype=np.uint64)
        if kind.ordered:
            words, _ = equality.words(prf, [array], [kind])
            keys, _ = order_keys(array, kind)
        self._words.append(words)
        self._keys.append(keys)
        self._valid.append(valid)
        self._values += int(valid.sum())
        if kind.variable:
            sizes: Any = pc.sum(pc.binary_length(array))  # type: ignore[call-overload]
            self._bytes += sizes.as_py() or 0

    def thin(self, chosen: Mask) -> None:
        """Keep only some of the rows."""
        self._words = [np.concatenate(self._words)[chosen]]
        self._keys = [np.concatenate(self._keys)[chosen]]
        self._valid = [np.concatenate(self._valid)[chosen]]

    def figures(self, rows: int) -> ColumnFigures:
        """The statistics of the column, of so many rows in all."""
        none = np.zeros((0, 2), dtype=np.uint64)
        valid = np.concatenate([*self._valid, np.zeros(0, dtype=np.bool_)])
        words = np.concatenate([*self._words, none[:, 0]])[valid]
        keys = np.concatenate([*self._keys, none])[valid]
        sampled, values = len(valid), len(words)
        valued = rows * values / sampled if sampled else 0.0
        if self._column.type.ordered:
            counted = _count(words, valued)
            spread = _spread(keys)
        else:
            counted = Counted(valued, none[:, 0], np.zeros(0))
            spread = Spread(0.0, none)
        return ColumnFigures(
            column=self._column.id,
            rows=rows,
            sampled=sampled,
            nulls=sampled - values,
            distinct=min(counted.distinct, float(rows)),
            width=self._width(),
            correlation=spread.correlation,
            words=counted.words,
            shares=counted.counts / max(sampled, 1),
            bounds=spread.bounds,
        )

    def _width(self) -> float:
        kind = self._column.type
        if kind.variable:
            return self._bytes / self._values if self._values else 0.0
        return 16.0 if kind.kind is Kind.INTERVAL else fixed_width(self._column)


@dataclass(frozen=True, slots=True, eq=False)
class Counted:
    """Distinct values of all rows, and the words of common values with their counts in the sample."""

    distinct: float
    words: Words
    counts: npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Spread:
    """The correlation of values with places, and the bounds of a histogram."""

    correlation: float
    bounds: Words


def fixed_width(column: Column) -> float:
    """Bytes of a value of fixed width in a pack."""
    bits: int = column.type.arrow.bit_width
    return 8.0 if column.type.narrow else bits / 8


def _count(words: Words, valued: float) -> Counted:
    """Distinct and common ones among the words of a sample, of so many values in all.

    When there are few values, and all of them are known, each has its own share.
    """
    every, counts = np.unique(words, return_counts=True)
    if not len(every):
        return Counted(0.0, every, np.zeros(0))
    distinct = distinct_values(counts, valued)
    common = np.argsort(-counts, kind="stable")[:MOST_COMMON]
    if len(every) > MOST_COMMON or distinct > len(every):
        average = len(words) / distinct
        least = max(COMMONER * average, average + DEVIATIONS * math.sqrt(average), 1.0)
        common = common[counts[common] > least]
        # The estimate is made for values that are about equally common, so those that are not are left out.
        others = np.delete(counts, common)
        share = int(others.sum()) / len(words)
        distinct = len(common) + distinct_values(others, valued * share)
    return Counted(distinct, every[common], counts[common].astype(np.float64))


def distinct_values(counts: npt.NDArray[np.int64], valued: float) -> float:
    """How many distinct values there are in all.

    Args:
        counts: how often each value occurs in the sample.
        valued: how many values there are in all.
    """
    sampled, found, once = int(counts.sum()), len(counts), int((counts == 1).sum())
    if sampled >= round(valued):
        return float(found)
    estimate = sampled * found / (sampled - once + once * sampled / valued)
    return min(max(estimate, float(found)), valued)


def _spread(keys: Words) -> Spread:
    """Where the keys of a sample lie, given in the order of the rows."""
    count = len(keys)
    if count < 2:
        return Spread(0.0, np.repeat(keys, 2, axis=0))
    order = np.lexsort((keys[:, 1], keys[:, 0]))
    ascending = keys[order]
    parts = min(MOST_BOUNDS, count)
    places = np.linspace(0, count - 1, parts).round().astype(np.int64)
    return Spread(_correlation(ascending, order), ascending[places])


def _correlation(ascending: Words, order: npt.NDArray[np.int64]) -> float:
    """Spearman's correlation of keys and places; equal keys share the mean of their ranks."""
    fresh = (ascending[1:] != ascending[:-1]).any(axis=1)
    firsts = np.concatenate(([0], np.flatnonzero(fresh) + 1))
    if len(firsts) == 1:
        return 0.0
    sizes = np.diff(firsts, append=len(order))
    ranks = np.repeat(firsts + (sizes - 1) / 2, sizes)
    middle = (len(order) - 1) / 2
    covariance = float(((ranks - middle) * (order - middle)).mean())
    spread = float(((ranks - middle) ** 2).mean() * ((order - middle) ** 2).mean())
    return max(-1.0, min(1.0, covariance / math.sqrt(spread)))
