"""What a sample says of columns, beside counting the values."""

from __future__ import annotations

import datetime as dt
import random
from collections import Counter
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

from indexes.keys import Key
from indexes.methods import equality
from indexes.prf import TermPrf
from indexes.records.statistics import MOST_BOUNDS, MOST_COMMON
from indexes.types import ColumnType
from proxy.catalog import Column
from proxy.statistics import sample
from proxy.statistics.column import ColumnStatistics
from proxy.statistics.sample import Sample, distinct_values

PRF = TermPrf(Key(bytes(32)))


def figures_of(sql, values, **options):
    column = Column(1, "c", ColumnType.parse(sql))
    one = Sample([column], PRF, **options)
    array = pa.array(values, column.type.arrow)
    for start in range(0, len(array), 700):
        one.add([array.slice(start, 700)])
    return one.figures()[0]


def word(sql, value):
    kind = ColumnType.parse(sql)
    return int(equality.words(PRF, [pa.array([value], kind.arrow)], [kind])[0][0])


DAY = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
VALUES = {
    "BOOLEAN": [True, False],
    "SMALLINT": [-32768, 0, 32767],
    "INTEGER": [-5, 0, 7],
    "BIGINT": [-(2**63), 0, 2**63 - 1],
    "DECIMAL(5,2)": [Decimal("-1.50"), Decimal("0.00"), Decimal("999.99")],
    "DECIMAL(38,0)": [Decimal(-(10**37)), Decimal(0), Decimal(10**37)],
    "REAL": [-np.inf, -1.5, 0.0, np.inf, np.nan],
    "DOUBLE": [-np.inf, -5e-324, 0.0, 5e-324, np.inf, np.nan],
    "TEXT": ["", "a", "a much longer text than a key", "ä"],
    "BLOB": [b"", b"\0", b"\xff" * 40],
    "DATE": [dt.date(1, 1, 1), dt.date(2024, 2, 29), dt.date(9999, 12, 31)],
    "TIME": [dt.time(), dt.time(23, 59, 59, 999999)],
    "TIMESTAMP": [dt.datetime(1, 1, 1), dt.datetime(9999, 12, 31, 23, 59, 59)],
    "TIMESTAMP WITH TIME ZONE": [DAY, DAY.astimezone(dt.timezone(dt.timedelta(hours=9)))],
    "UUID": [bytes(16), b"\x80" + bytes(15), b"\xff" * 16],
}


@pytest.mark.parametrize("sql", VALUES)
def test_every_type_is_counted_as_sql_compares(sql):
    values = VALUES[sql]
    column = [value for place, value in enumerate(values) for _ in range(3 * (place + 1))]
    column += [None] * 5
    random.Random(3).shuffle(column)
    found = figures_of(sql, column)
    assert (found.rows, found.sampled, found.nulls) == (len(column), len(column), 5)
    distinct = 1 if sql.endswith("ZONE") else len(values)
    assert found.distinct == distinct == len(found.words)
    stats = ColumnStatistics(found)
    counts = Counter(word(sql, value) for value in column if value is not None)
    for value in values:
        assert stats.equal([word(sql, value)], 100) == pytest.approx(
            counts[word(sql, value)] / len(column)
        )
    assert stats.valued == pytest.approx(1 - 5 / len(column))


def test_both_zeros_are_one_value_and_so_is_every_nan():
    other = np.frombuffer(b"\x01\0\0\0\0\0\xf8\xff", "<f8")[0]
    found = figures_of("DOUBLE", [0.0, -0.0, np.nan, other, -np.nan, 1.0])
    assert found.distinct == 3
    assert sorted((found.shares * 6).round().tolist()) == [1, 2, 3]


@pytest.mark.parametrize("sql", ["JSON", "INTERVAL"])
def test_types_without_order_have_nulls_and_width_only(sql):
    value = '{"a": 1}' if sql == "JSON" else pa.MonthDayNano([1, 2, 3])
    found = figures_of(sql, [value, None, value, value])
    assert (found.rows, found.nulls, len(found.words), len(found.bounds)) == (4, 1, 0, 0)
    assert found.width == (8 if sql == "JSON" else 16)
    assert ColumnStatistics(found).between(None, None) == 0


@pytest.mark.parametrize("rows", [0, 1, 3])
@pytest.mark.parametrize("sql", ["INTEGER", "TEXT", "JSON"])
def test_nothing_and_nothing_but_nulls(sql, rows):
    found = figures_of(sql, [None] * rows)
    assert (found.rows, found.nulls, found.distinct) == (rows, rows, 0)
    assert found.sound()
    stats = ColumnStatistics(found)
    assert stats.equal([1, 2], 10) == stats.between(None, None) == stats.any_of(9, 10) == 0


def test_one_row():
    found = figures_of("INTEGER", [7])
    stats = ColumnStatistics(found)
    key = (2**63 + 7, 0)
    assert found.distinct == 1
    assert stats.between(key, key) == stats.between(None, None) == 1
    assert stats.between((2**63 + 8, 0), None) == stats.between(None, (2**63 + 6, 0)) == 0


@pytest.mark.parametrize(
    ("column", "bound"),
    [
        (lambda pick: pick.randrange(1000), 0.012),
        (lambda pick: int(pick.gauss(0, 50)), 0.015),
        (lambda pick: min(int(pick.expovariate(0.5)), 30), 0.02),
        (lambda pick: 5 if pick.random() < 0.9 else pick.randrange(100), 0.02),
    ],
    ids=["uniform", "bell", "steep", "one value"],
)
def test_ranges(column, bound):
    """The histogram is as good as its parts, which hold a hundredth of the values each."""
    pick = random.Random(11)
    values = [None if pick.random() < 0.1 else column(pick) for _ in range(5000)]
    stats = ColumnStatistics(figures_of("INTEGER", values))
    valued = [value for value in values if value is not None]
    for _ in range(300):
        low, high = sorted(pick.choice(valued) + pick.randrange(-3, 4) for _ in range(2))
        share = sum(low <= value <= high for value in valued) / len(values)
        assert stats.between((2**63 + low, 0), (2**63 + high, 0)) == pytest.approx(share, abs=bound)


def test_keys_of_128_bits_and_of_texts_with_one_beginning():
    values = [f"{'x' * 16}{number}" for number in range(50)] + ["a", "b", "y", "z"]
    stats = ColumnStatistics(figures_of("TEXT", values))
    assert stats.between(None, None) == 1
    x = int.from_bytes(b"x" * 8, "big")
    assert stats.between((x, x), (x, x)) == pytest.approx(50 / 54, abs=0.05)


def test_common_values_are_commoner_than_chance():
    pick = random.Random(5)
    even = [pick.randrange(400) for _ in range(8000)]
    assert len(figures_of("INTEGER", even).words) == 0
    skewed = even + [401] * 300 + [402] * 90
    found = figures_of("INTEGER", skewed)
    assert found.words.tolist() == [word("INTEGER", 401), word("INTEGER", 402)]
    assert found.shares.tolist() == [300 / len(skewed), 90 / len(skewed)]


def test_limits_of_what_is_kept():
    values = [number for number in range(300) for _ in range(3 if number < 250 else 90)]
    found = figures_of("INTEGER", values)
    assert len(found.words) == 50
    assert len(figures_of("INTEGER", list(range(5000))).bounds) == MOST_BOUNDS
    every = [number for number in range(MOST_COMMON) for _ in range(2)]
    assert len(figures_of("INTEGER", every).words) == MOST_COMMON


def test_correlation_of_values_and_places():
    pick = random.Random(2)
    rising = [number // 10 for number in range(3000)]
    assert figures_of("INTEGER", rising).correlation == pytest.approx(1, abs=1e-3)
    assert figures_of("INTEGER", rising[::-1]).correlation == pytest.approx(-1, abs=1e-3)
    pick.shuffle(rising)
    assert abs(figures_of("INTEGER", rising).correlation) < 0.1
    # Ties have no order among them, so places do not make up one.
    assert abs(figures_of("BOOLEAN", [pick.random() < 0.5 for _ in range(3000)]).correlation) < 0.1
    assert figures_of("INTEGER", [1] * 100).correlation == 0


@pytest.mark.parametrize("columns", [1, 3])
def test_a_bounded_sample_of_many_rows_says_the_same(columns, monkeypatch):
    monkeypatch.setattr(sample, "SAMPLE_VALUES", 2000 * columns)
    pick = random.Random(8)
    schema = [Column(number, f"c{number}", ColumnType.parse("INTEGER")) for number in (1, 2, 3)]
    one = Sample(schema[:columns], PRF, random=np.random.default_rng(4))
    for _ in range(20):
        values = [
            None if pick.random() < 0.2 else 7 if pick.random() < 0.5 else pick.randrange(3000)
            for _ in range(1000)
        ]
        one.add([pa.array(values, pa.int32())] * columns)
        assert one._kept <= 2000
    for found in one.figures():
        assert found.rows == 20_000
        assert 500 < found.sampled <= 2000
        assert found.nulls / found.sampled == pytest.approx(0.2, abs=0.04)
        stats = ColumnStatistics(found)
        assert stats.equal([word("INTEGER", 7)], 20_000) == pytest.approx(0.4, abs=0.05)
        assert 1000 < found.distinct < 6000


def test_a_piece_larger_than_the_sample_is_taken_in_parts(monkeypatch):
    monkeypatch.setattr(sample, "SAMPLE_VALUES", 500)
    one = Sample([Column(1, "c", ColumnType.parse("BIGINT"))], PRF)
    one.add([pa.array(range(100_000), pa.int64())])
    (found,) = one.figures()
    assert found.rows == 100_000
    assert 50 < found.sampled <= 500
    assert found.distinct == pytest.approx(100_000)


@pytest.mark.parametrize(
    ("counts", "valued", "expected"),
    [
        ([1, 2, 3], 6, 3),
        ([1] * 10, 1000, 1000),
        ([5] * 10, 1000, 10),
        ([1, 49], 5000, 50 * 2 / (50 - 1 + 50 / 5000)),
    ],
)
def test_distinct_values_of_a_sample(counts, valued, expected):
    """Haas and Stokes: n d / (n - f1 + f1 n / N)."""
    assert distinct_values(np.array(counts), valued) == pytest.approx(expected)


def test_width():
    assert figures_of("TEXT", ["ab", None, "abcd"]).width == 3
    assert figures_of("TEXT", [None]).width == 0
    assert figures_of("BIGINT", [1]).width == figures_of("DECIMAL(9,2)", [Decimal(1)]).width == 8
    assert figures_of("DECIMAL(30,2)", [Decimal(1)]).width == figures_of("UUID", [bytes(16)]).width
    assert figures_of("BOOLEAN", [True]).width == 1 / 8
