"""Statistics segments: how the values of each column are distributed, for a planner to estimate by.

A segment of kind 4 has a header page and one page for every column of the table, whether the column has
been analysed or not, so that its size says nothing that the packs do not. It is read whole, once for each
build, whatever is asked, so that reading it says nothing about a query.

    header    version u16 | zero u16 | columns u32 | zeros
    column    id u16 | common values u16 | bounds u16 | zero u16
              | rows u64 | sampled u64 | nulls u64
              | distinct f64 | width f64 | correlation f64
              | word u64[common values] | share f64[common values] | high u64, low u64 [bounds]

A page that is all zeros is that of a column without statistics. Common values stand as pseudorandom words
of the values, as in an equality index under a key of its own, by descending share of all rows; bounds are
order keys that cut the sampled values, sorted, into parts of equal size (an equi-depth histogram:
Piatetsky-Shapiro and Connell, SIGMOD 1984).

What it leaks: at rest, that a table was analysed, and the number of its columns in 1/16-octave classes. On
a query, that this client reads the statistics of this build for the first time.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from indexes.errors import IntegrityFailure
from indexes.keys import Key, pack_context
from indexes.multimap.paging import PageReader, ReadPages, octave, seal_pages, shuffle
from indexes.multimap.segment import STATISTICS, BuiltSegment, SegmentInfo
from indexes.seal import PAGE_USABLE, SALT_BYTES, PageSealer

MOST_COMMON: Final = 100
"""Common values of a column at most."""

MOST_BOUNDS: Final = 101
"""Bounds of a histogram at most: they cut the values into one part less."""

_VERSION: Final = 1
_PAGE_KIND: Final = b"stat"
_COMMON_BASE: Final = 56
_LARGEST_ID: Final = 0xFFFF


@dataclass(frozen=True, slots=True, eq=False)
class ColumnFigures:
    """The distribution of one column's values when the table was analysed.

    Attributes:
        column: the column's id, 1 … 65,535.
        rows: live rows of the table.
        sampled: rows that were looked at, at most ``rows``.
        nulls: NULLs among them.
        distinct: distinct values of all rows, estimated where not all were looked at.
        width: mean size of a value in bytes.
        correlation: Spearman's between the order of values and the order of rows, -1 … 1.
        words: uint64[c], c ≤ 100 words of the commonest values.
        shares: float64[c], their shares of all rows, descending.
        bounds: uint64[b, 2], b = 0 or 2 … 101 order keys (high, low), ascending: the least value, those
            at equal distances, the greatest.
    """

    column: int
    rows: int
    sampled: int
    nulls: int
    distinct: float
    width: float
    correlation: float
    words: NDArray[np.uint64]
    shares: NDArray[np.float64]
    bounds: NDArray[np.uint64]

    def sound(self) -> bool:
        """Whether all fields are in their ranges."""
        numbers = (self.distinct, self.width, self.correlation)
        return bool(
            0 < self.column <= _LARGEST_ID
            and 0 <= self.nulls <= self.sampled <= self.rows < 1 << 63
            and np.isfinite(numbers).all()
            and 0 <= self.distinct <= self.rows
            and self.width >= 0
            and abs(self.correlation) <= 1
            and len(self.words) == len(self.shares) <= MOST_COMMON
            and ((self.shares > 0) & (self.shares <= 1)).all()
            and (self.shares[1:] <= self.shares[:-1]).all()
            and len(self.bounds) <= MOST_BOUNDS
            and len(self.bounds) != 1
            and ascending(self.bounds)
        )


def ascending(keys: NDArray[np.uint64]) -> bool:
    """Whether order keys uint64[n, 2] never fall."""
    high, low = keys[:, 0], keys[:, 1]
    rising = (high[1:] > high[:-1]) | ((high[1:] == high[:-1]) & (low[1:] >= low[:-1]))
    return bool(rising.all())


def build(
    figures: Sequence[ColumnFigures], columns: int, key: Key, table: int, segment: int
) -> BuiltSegment:
    """Lays the statistics of a table out in the pages of a new segment, under a fresh salt.

    Args:
        figures: of columns that were analysed, each once; at most ``columns``.
        columns: columns of the table.
        key: the table's statistics key.
        table: opaque table number.
        segment: leased segment number.

    Raises:
        ValueError: a field is out of range, or there are more figures than columns.
    """
    if len(figures) > columns or not all(one.sound() for one in figures):
        raise ValueError("the statistics of a column are out of range")
    if len({one.column for one in figures}) != len(figures):
        raise ValueError("a column has its statistics twice")
    header = np.zeros((1, PAGE_USABLE), dtype=np.uint8)
    header[0, :2].view("<u2")[0] = _VERSION
    header[0, 4:8].view("<u4")[0] = columns
    body = np.zeros((columns, PAGE_USABLE), dtype=np.uint8)
    for page, one in zip(body, figures, strict=False):
        _lay_out(page, one)
    info = SegmentInfo(
        segment=segment,
        kind=STATISTICS,
        index=0,
        salt=os.urandom(SALT_BYTES),
        pages=octave(1 + columns),
        header_pages=1,
        postings=len(figures),
        extra=(columns,),
    )
    shuffled = shuffle(_shuffle_key(key, info), info.pages - 1)
    return BuiltSegment(info, seal_pages(_sealer(key, table, info), header, body, shuffled))


def _lay_out(page: NDArray[np.uint8], one: ColumnFigures) -> None:
    common, bounds = len(one.words), len(one.bounds)
    page[:6].view("<u2")[:] = one.column, common, bounds
    page[8:32].view("<u8")[:] = one.rows, one.sampled, one.nulls
    page[32:56].view("<f8")[:] = one.distinct, one.width, one.correlation
    place = _COMMON_BASE
    for values, kind in ((one.words, "<u8"), (one.shares, "<f8"), (one.bounds, "<u8")):
        raw = np.ascontiguousarray(values, dtype=kind).view(np.uint8).reshape(-1)
        page[place : place + len(raw)] = raw
        place += len(raw)


def _read_page(page: NDArray[np.uint8]) -> ColumnFigures:
    column, common, bounds = page[:6].view("<u2").tolist()
    end = _COMMON_BASE + 16 * (common + bounds)
    if common > MOST_COMMON or bounds > MOST_BOUNDS or page[end:].any():
        raise IntegrityFailure
    rows, sampled, nulls = page[8:32].view("<u8").tolist()
    distinct, width, correlation = page[32:56].view("<f8").tolist()
    words, shares, keys = np.split(page[_COMMON_BASE:end], [8 * common, 16 * common])
    figures = ColumnFigures(
        column,
        rows,
        sampled,
        nulls,
        distinct,
        width,
        correlation,
        words.view("<u8").astype(np.uint64),
        shares.view("<f8").astype(np.float64),
        keys.view("<u8").astype(np.uint64).reshape(-1, 2),
    )
    if not figures.sound():
        raise IntegrityFailure
    return figures


class StatisticsReader:
    """Reads one statistics segment, all of it, through a callback that fetches sealed pages.

    Raises:
        IntegrityFailure: `info` describes no statistics segment.
    """

    def __init__(self, info: SegmentInfo, key: Key, table: int, read: ReadPages) -> None:
        if info.kind != STATISTICS or len(info.extra) != 1 or info.header_pages != 1:
            raise IntegrityFailure
        (self._columns,) = info.extra
        if info.postings > self._columns or info.pages != octave(1 + self._columns):
            raise IntegrityFailure
        self._count = info.postings
        self._pages = PageReader(info, _sealer(key, table, info), _shuffle_key(key, info), read)

    def figures(self) -> list[ColumnFigures]:
        """The statistics of every column that has any.

        Raises:
            IntegrityFailure: a page was withheld, moved or altered, or is malformed.
        """
        header = self._pages.header()
        if (int(header[:2].view("<u2")[0]), int(header[4:8].view("<u4")[0])) != (
            _VERSION,
            self._columns,
        ):
            raise IntegrityFailure
        body = self._pages.body_scan()
        if body[self._count :].any():
            raise IntegrityFailure
        found = [_read_page(page) for page in body[: self._count]]
        if len({one.column for one in found}) != len(found):
            raise IntegrityFailure
        return found


def _shuffle_key(key: Key, info: SegmentInfo) -> Key:
    return key.derive("statistics", "shuffle", info.salt)


def _sealer(key: Key, table: int, info: SegmentInfo) -> PageSealer:
    aad = pack_context(table, info.segment, STATISTICS, info.pages)
    return PageSealer(key.derive("statistics", "page"), info.salt, _PAGE_KIND, aad)
