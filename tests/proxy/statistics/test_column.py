"""Shares by the statistics of a column, on numbers made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from indexes.records.statistics import ColumnFigures
from proxy.statistics.column import ColumnStatistics


def statistics(*, rows=1000, nulls=0, distinct=10.0, shares=(), bounds=()):
    return ColumnStatistics(
        ColumnFigures(
            1,
            rows,
            rows,
            nulls,
            distinct,
            4.0,
            0.0,
            np.arange(len(shares), dtype=np.uint64),
            np.array(shares, dtype=np.float64),
            np.array([(0, bound) for bound in bounds], dtype=np.uint64).reshape(-1, 2),
        )
    )


def test_equality():
    one = statistics(nulls=100, distinct=12, shares=(0.4, 0.3))
    assert one.equal([0], 1000) == 0.4
    assert one.equal([0, 1, 99], 1000) == pytest.approx(0.7 + 0.02)
    assert one.rest == pytest.approx(0.2 / 10)
    assert one.heaviest == 0.4
    # Never more than the rows that have a value.
    assert one.equal(range(50), 1000) == 0.9
    assert one.any_of(3, 1000) == pytest.approx(3 / 12 * 0.9)
    assert one.any_of(100, 1000) == 0.9


def test_every_value_known_leaves_none_for_others():
    one = statistics(distinct=2, shares=(0.999, 0.001))
    assert one.equal([1], 1000) == 0.001
    assert one.equal([7], 1000) == 0


def test_keys_stay_unique_while_the_table_grows():
    unique = statistics(distinct=1000)
    assert unique.equal([5], 1000) * 1000 == 1
    assert unique.equal([5], 50_000) * 50_000 == pytest.approx(1)
    assert unique.equal([5], 10) * 10 == pytest.approx(0.01)
    assert unique.distinct(5000) == 5000
    few = statistics(distinct=10)
    assert few.distinct(5000) == 10
    assert few.equal([5], 5000) == 0.1


@pytest.mark.parametrize(
    ("low", "high", "share"),
    [
        (None, None, 1),
        (0, 100, 1),
        (0, 50, 0.5),
        (10, 20, 0.25),
        (15, 15, 0),
        (None, 20, 0.5),
        (20, None, 0.5),
        (101, None, 0),
        (None, -1, 0),
        (25, 35, 0.25 * 0.5 + 0.25 * 5 / 70),
    ],
)
def test_ranges(low, high, share):
    one = statistics(bounds=(0, 10, 20, 30, 100)) if high != 50 else statistics(bounds=(0, 100))

    def key(value):
        return None if value is None else (0, value)

    if (low, high) == (None, -1):
        assert one.between(None, (0, 0)) == 0
        return
    assert one.between(key(low), key(high)) == pytest.approx(share)


def test_a_value_that_fills_parts():
    one = statistics(bounds=(0, 5, 5, 5, 9), nulls=500)
    assert one.between((0, 5), (0, 5)) == pytest.approx(0.5 * 0.5)
    assert one.between((0, 6), None) == pytest.approx(0.5 * 0.25 * 3 / 4)
    assert one.between(None, (0, 4)) == pytest.approx(0.5 * 0.25 * 4 / 5)
    same = statistics(bounds=(5, 5, 5))
    assert same.between((0, 5), (0, 5)) == same.between(None, None) == 1
    assert same.between((0, 6), None) == same.between(None, (0, 4)) == 0


def test_nothing_is_known_of_an_empty_table():
    one = statistics(rows=0, distinct=0)
    assert one.equal([1], 0) == one.between(None, None) == one.heaviest == 0
    assert one.distinct(0) == 1
