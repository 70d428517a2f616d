from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexes.errors import IntegrityFailure
from indexes.keys import Key
from indexes.multimap.segment import STATISTICS, SegmentInfo
from indexes.records import statistics
from indexes.records.statistics import (
    MOST_BOUNDS,
    MOST_COMMON,
    ColumnFigures,
    StatisticsReader,
    build,
)
from indexes.seal import PAGE_SEALED

KEY = Key(bytes(range(32)))
TABLE, SEGMENT = 77, 5


def keys(values):
    return np.array(sorted(values), dtype=np.uint64).reshape(-1, 2)


GOOD = ColumnFigures(
    column=3,
    rows=1000,
    sampled=800,
    nulls=30,
    distinct=12.5,
    width=8.0,
    correlation=-0.25,
    words=np.array([7, 2**64 - 1], dtype=np.uint64),
    shares=np.array([0.5, 0.1]),
    bounds=keys([(0, 2**64 - 1), (0, 2**64 - 1), (9, 0)]),
)


class Store:
    def __init__(self, built):
        self.info = built.info
        self.pages = dict(built.pages)
        self.asked = []

    def read(self, numbers):
        self.asked.append(list(numbers))
        return [self.pages[number] for number in numbers]

    def reader(self, key=KEY, table=TABLE, info=None):
        return StatisticsReader(info or self.info, key, table, self.read)


def plain(one):
    values = dataclasses.astuple(one)
    return [value.tolist() if isinstance(value, np.ndarray) else value for value in values]


u64 = st.integers(0, 2**64 - 1)
finite = st.floats(0, 1e9)


@st.composite
def figures(draw, column):
    rows = draw(st.integers(0, 2**50))
    sampled = draw(st.integers(0, rows))
    common = draw(st.lists(u64, max_size=MOST_COMMON))
    shares = [draw(st.floats(1e-9, 1)) for _ in common]
    bounds = draw(st.just([]) | st.lists(st.tuples(u64, u64), min_size=2, max_size=MOST_BOUNDS))
    return ColumnFigures(
        column,
        rows,
        sampled,
        draw(st.integers(0, sampled)),
        draw(st.floats(0, rows)),
        draw(finite),
        draw(st.floats(-1, 1)),
        np.array(common, dtype=np.uint64),
        np.array(sorted(shares, reverse=True)),
        keys(bounds),
    )


@given(st.data())
def test_round_trip(data):
    columns = data.draw(st.sampled_from([1, 2, 5, 30]))
    chosen = data.draw(st.lists(st.integers(1, 65535), max_size=min(columns, 5), unique=True))
    given_ = [data.draw(figures(column)) for column in chosen]
    store = Store(build(given_, columns, KEY, TABLE, SEGMENT))
    assert list(map(plain, store.reader().figures())) == list(map(plain, given_))


@pytest.mark.parametrize(("columns", "pages"), [(1, 2), (15, 16), (16, 17), (31, 32), (32, 34)])
def test_the_store_sees_the_number_of_columns_and_which_pages_never_depends_on_them(columns, pages):
    for count in (0, 1):
        store = Store(build([GOOD][:count], columns, KEY, TABLE, SEGMENT))
        info = store.info
        assert (info.kind, info.index, info.pages) == (STATISTICS, 0, pages)
        assert sorted(store.pages) == list(range(pages))
        assert {len(page) for page in store.pages.values()} == {PAGE_SEALED}
        store.reader().figures()
        assert sorted(number for asked in store.asked for number in asked) == list(range(pages))


def test_a_full_column_fits_its_page():
    full = dataclasses.replace(
        GOOD,
        words=np.arange(MOST_COMMON, dtype=np.uint64),
        shares=np.full(MOST_COMMON, 0.01),
        bounds=keys([(n, n) for n in range(MOST_BOUNDS)]),
    )
    store = Store(build([full], 1, KEY, TABLE, SEGMENT))
    assert plain(store.reader().figures()[0]) == plain(full)


@pytest.mark.parametrize(
    "wrong",
    [
        {"column": 0},
        {"column": 1 << 16},
        {"nulls": 801},
        {"sampled": 1001},
        {"rows": 1 << 63},
        {"distinct": 1000.5},
        {"distinct": math.nan},
        {"width": -1.0},
        {"width": math.inf},
        {"correlation": 1.5},
        {"words": np.zeros(1, dtype=np.uint64)},
        {"shares": np.array([0.1, 0.5])},
        {"shares": np.array([0.5, 0.0])},
        {"shares": np.array([1.5, 0.1])},
        {"bounds": keys([(1, 1)])},
        {"bounds": np.array([(2, 0), (1, 9)], dtype=np.uint64)},
        {"bounds": np.array([(1, 9), (1, 8)], dtype=np.uint64)},
        {"words": np.zeros(101, dtype=np.uint64), "shares": np.full(101, 0.001)},
    ],
    ids=str,
)
def test_figures_out_of_range_are_refused_on_both_ways(wrong, monkeypatch):
    bad = dataclasses.replace(GOOD, **wrong)
    with pytest.raises(ValueError, match="out of range"):
        build([bad], 4, KEY, TABLE, SEGMENT)
    if bad.column >= 1 << 16 or len(bad.words) > MOST_COMMON or len(bad.words) != len(bad.shares):
        return
    with monkeypatch.context() as patched:
        patched.setattr(ColumnFigures, "sound", lambda self: True)
        store = Store(build([bad], 4, KEY, TABLE, SEGMENT))
    with pytest.raises(IntegrityFailure):
        store.reader().figures()


def test_twice_or_too_many():
    with pytest.raises(ValueError, match="twice"):
        build([GOOD, GOOD], 4, KEY, TABLE, SEGMENT)
    with pytest.raises(ValueError, match="range"):
        build([GOOD, dataclasses.replace(GOOD, column=4)], 1, KEY, TABLE, SEGMENT)


def test_tampering():
    store = Store(build([GOOD], 30, KEY, TABLE, SEGMENT))
    for number in store.pages:
        kept = store.pages[number]
        other = store.pages[(number + 1) % len(store.pages)]
        for bad in (bytes([kept[0] ^ 1]) + kept[1:], other, b"", kept[:-1]):
            store.pages[number] = bad
            with pytest.raises(IntegrityFailure):
                store.reader().figures()
        store.pages[number] = kept
    store.reader().figures()
    info, again = store.info, Store(build([GOOD], 30, KEY, TABLE, SEGMENT))
    again.info = info
    for reader in (again.reader(), store.reader(table=TABLE + 1), store.reader(key=Key(bytes(32)))):
        with pytest.raises(IntegrityFailure):
            reader.figures()


def test_info_that_does_not_fit():
    info = build([GOOD], 3, KEY, TABLE, SEGMENT).info
    assert info.postings == 1
    for wrong in (
        {"kind": 3},
        {"extra": ()},
        {"extra": (4,)},
        {"pages": 5},
        {"header_pages": 2},
        {"postings": 4},
    ):
        with pytest.raises(IntegrityFailure):
            StatisticsReader(dataclasses.replace(info, **wrong), KEY, TABLE, lambda numbers: [])


def test_a_count_that_is_not_the_pages():
    store = Store(build([GOOD], 3, KEY, TABLE, SEGMENT))
    for count in (0, 2):
        with pytest.raises(IntegrityFailure):
            store.reader(info=dataclasses.replace(store.info, postings=count)).figures()


def test_the_layout_of_a_page():
    page = np.zeros(statistics.PAGE_USABLE, dtype=np.uint8)
    statistics._lay_out(page, GOOD)
    assert page[:8].view("<u2").tolist() == [3, 2, 3, 0]
    assert page[8:32].view("<u8").tolist() == [1000, 800, 30]
    assert page[32:56].view("<f8").tolist() == [12.5, 8.0, -0.25]
    assert page[56:72].view("<u8").tolist() == [7, 2**64 - 1]
    assert page[72:88].view("<f8").tolist() == [0.5, 0.1]
    assert page[88:136].view("<u8").tolist() == [0, 2**64 - 1, 0, 2**64 - 1, 9, 0]
    assert not page[136:].any()


def test_the_kind_is_one_that_manifests_know():
    info = build([GOOD], 3, KEY, TABLE, SEGMENT).info
    assert SegmentInfo.from_tuple(info.to_tuple()) == info
