from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexes.errors import IntegrityFailure
from indexes.keys import Key
from indexes.multimap import sorted as sorted_segments
from indexes.multimap.batches import SortedEntries
from indexes.multimap.paging import WHOLE, octave
from indexes.multimap.segment import HASHED, SegmentInfo
from indexes.multimap.sorted import GROUP, SortedReader
from indexes.multimap.sorted_pages import FANOUT, data_pages, sort_entries
from indexes.seal import PAGE_SEALED
from tests.indexes.multimap.stores import PageStore

KEY = Key(bytes(range(32)))
TABLE, SEGMENT, INDEX = 5, 8, 3
TOP = 2**64 - 1

HALVES = st.one_of(
    st.integers(0, 5), st.sampled_from([TOP, TOP - 1, 2**63, 2**63 - 1]), st.integers(0, TOP)
)
ENTRIES = st.lists(st.tuples(HALVES, HALVES, st.one_of(st.integers(0, 9), st.integers(0, 2**40))))


def built(entries: SortedEntries, width: int = 8) -> tuple[PageStore, SegmentInfo]:
    segment = sorted_segments.build(entries, KEY, TABLE, SEGMENT, INDEX, width)
    return PageStore(segment), segment.info


def reader(store: PageStore, info: SegmentInfo, table: int = TABLE) -> SortedReader:
    return SortedReader(info, KEY, table, store.read)


def entries_of(rows: list[tuple[int, int, int]]) -> SortedEntries:
    keys = np.array([row[:2] for row in rows], dtype=np.uint64).reshape(-1, 2)
    return SortedEntries(keys, np.array([row[2] for row in rows], dtype=np.int64))


def rows_of(entries: SortedEntries) -> list[tuple[int, int, int]]:
    pairs = zip(entries.keys.tolist(), entries.ordinals.tolist(), strict=True)
    return [(*key, ordinal) for key, ordinal in pairs]


def sample(seed: int, count: int, width: int = 8) -> SortedEntries:
    """Entries with runs of equal keys, dense parts and far ones."""
    rng = np.random.default_rng(seed)
    keys = np.zeros((count, 2), dtype=np.uint64)
    third = count // 3
    keys[:third, 0] = rng.integers(0, 40, third).astype(np.uint64) + np.uint64(2**63)
    keys[third : 2 * third, 0] = rng.integers(0, count, third)
    keys[2 * third :, 0] = rng.integers(0, TOP, count - 2 * third, dtype=np.uint64)
    if width == 16:
        keys[:, 1] = rng.integers(0, TOP, count, dtype=np.uint64)
        keys[: third // 2, 1] = rng.integers(0, 3, third // 2)
    return SortedEntries(keys, rng.permutation(count).astype(np.int64))


LARGE = {width: sample(width, 60_000, width) for width in (8, 16)}
MODEL = {width: sorted(rows_of(entries)) for width, entries in LARGE.items()}


@pytest.fixture(scope="module", params=[8, 16])
def large(request) -> tuple[PageStore, SegmentInfo, list[tuple[int, int, int]]]:
    store, info = built(LARGE[request.param], request.param)
    return store, info, MODEL[request.param]


def bounds_of(model: list[tuple[int, int, int]], seed: int) -> list[tuple]:
    """Pairs of bounds: present and absent keys, open ends, empty and inverted ranges."""
    rng = np.random.default_rng(seed)
    picks = [model[at][:2] for at in rng.integers(0, len(model), 24).tolist()]
    keys = [*picks, (0, 0), (TOP, TOP), (2**63, 0), (2**63 + 17, TOP), None]
    keys += [(high, min(low + 1, TOP)) for high, low in picks[:4]]
    return [(keys[a], keys[b]) for a, b in rng.integers(0, len(keys), (40, 2)).tolist()]


def between(model, low, high):
    return [
        row
        for row in model
        if (low is None or row[:2] >= low) and (high is None or row[:2] <= high)
    ]


@given(ENTRIES, st.sampled_from([8, 16]), st.tuples(HALVES, HALVES), st.tuples(HALVES, HALVES))
@settings(max_examples=150)
def test_small_segments_equal_a_sorted_list(rows, width, low, high):
    if width == 8:
        rows = [(key, 0, ordinal) for key, _, ordinal in rows]
        low, high = (low[0], 0), (high[0], 0)
    store, info = built(entries_of(rows), width)
    one = reader(store, info)
    model = sorted(rows)
    assert rows_of(one.all()) == model
    assert rows_of(one.range(None, None)) == model
    for bounds in ((low, high), (low, None), (None, high), (high, low)):
        expected = between(model, *bounds)
        assert rows_of(one.range(*bounds)) == expected
        assert [r for part in one.ordered(False, *bounds) for r in rows_of(part)] == expected
        assert [r for part in one.ordered(True, *bounds) for r in rows_of(part)] == expected[::-1]
    assert len(one) == len(rows)


def test_ranges_equal_a_sorted_list(large):
    store, info, model = large
    assert info.pages > WHOLE
    one = reader(store, info)
    for low, high in bounds_of(model, 1):
        expected = between(model, low, high)
        assert rows_of(one.range(low, high)) == expected
        assert [r for part in one.ordered(False, low, high) for r in rows_of(part)] == expected
        assert [r for part in one.ordered(True, low, high) for r in rows_of(part)] == expected[::-1]
    assert rows_of(one.all()) == model


def test_estimates_are_near_and_read_no_data(large):
    store, info, model = large
    one = reader(store, info)
    one.estimate(None, None)
    for low, high in bounds_of(model, 2):
        before = one.pages_read
        estimate = one.estimate(low, high)
        assert one.pages_read - before <= 4
        assert abs(estimate - len(between(model, low, high))) <= 4000
    assert one.estimate(None, None) == len(model)


def test_reads_snap_to_groups_and_grow(large):
    store, info, model = large
    one = reader(store, info)
    one.estimate(model[0][:2], model[-1][:2])
    data = info.extra[1]
    order = {int(place) + 1: page for page, place in enumerate(one._pages._shuffled())}

    def groups(numbers):
        pages = sorted(order[n] for n in numbers if order[n] < data)
        assert all(
            page - page % GROUP + i in pages
            for page in pages
            for i in range(GROUP)
            if page - page % GROUP + i < data
        )
        return pages

    store.reads.clear()
    one.range(model[30_000][:2], model[30_000][:2])
    pages = [page for numbers in store.reads for page in groups(numbers)]
    assert pages
    assert len(pages) % GROUP == 0 or data - 1 in pages
    for descending in (False, True):
        store.reads.clear()
        list(one.ordered(descending))
        sizes = [len(pages) for numbers in store.reads if (pages := groups(numbers))]
        assert sizes[:4] in ([4, 8, 16, 32], [4 if not descending else sizes[0], *sizes[1:4]])
        assert sum(sizes) == data
        assert sizes == sorted(sizes[:-1]) + sizes[-1:]
    store.reads.clear()
    next(one.ordered(descending=False))
    assert sum(map(len, store.reads)) <= GROUP


def test_fences_of_more_than_one_level():
    count = FANOUT * 2500
    keys = np.zeros((count, 2), dtype=np.uint64)
    keys[:, 0] = np.random.default_rng(3).permutation(count).astype(np.uint64) << np.uint64(40)
    store, info = built(SortedEntries(keys, np.arange(count, dtype=np.int64)))
    assert info.extra[1] > FANOUT
    one = reader(store, info)
    for low in (0, 1, count // 3, count - 5, count + 7):
        found = one.range((low << 40, 0), ((low + 20) << 40, 0))
        wanted = [k << 40 for k in range(low, min(low + 21, count))]
        assert found.keys[:, 0].tolist() == wanted
        assert (keys[found.ordinals, 0] == found.keys[:, 0]).all()
        assert abs(one.estimate((low << 40, 0), None) - max(count - low, 0)) < 600
    assert len(one.all()) == count
    before = one.pages_read
    one.range((5 << 40, 0), (5 << 40, 0))
    # Fences are kept, so only one group of data pages is read.
    assert one.pages_read - before == GROUP


def test_pages_look_alike(large):
    store, info, _ = large
    assert sorted(store.pages) == list(range(info.pages))
    assert {len(page) for page in store.pages.values()} == {PAGE_SEALED}
    assert octave(info.pages) == info.pages


def test_a_small_segment_is_read_whole_once():
    store, info = built(sample(5, 2000))
    assert info.pages <= WHOLE
    one = reader(store, info)
    one.range((3, 0), (9, 0))
    one.all()
    list(one.ordered(descending=True))
    assert store.reads == [list(range(info.pages))]


def test_low_halves_of_narrow_keys_are_ignored():
    keys = np.array([[5, 9], [5, 1]], dtype=np.uint64)
    store, info = built(SortedEntries(keys, np.array([2, 1])))
    assert rows_of(reader(store, info).range((5, 0), (5, 0))) == [(5, 0, 1), (5, 0, 2)]


def test_dense_entries_take_few_bytes():
    keys = np.zeros((100_000, 2), dtype=np.uint64)
    keys[:, 0] = np.repeat(np.arange(100), 1000)
    pages, _ = data_pages(sort_entries(SortedEntries(keys, np.arange(100_000)), 8), 8)
    assert len(pages) * PAGE_SEALED / 100_000 < 2.1


@pytest.mark.parametrize("attack", ["flip", "swap", "withhold", "short", "foreign"])
def test_tampering_is_an_integrity_failure(large, attack):
    store, info, model = large
    width = info.extra[0]
    foreign, _ = built(LARGE[width], width)

    def answer(numbers):
        pages = [store.pages[number] for number in numbers]
        at = len(pages) // 2
        if attack == "flip":
            pages[at] = pages[at][:9] + bytes([pages[at][9] ^ 64]) + pages[at][10:]
        elif attack == "swap":
            pages[at] = store.pages[(numbers[at] + 1) % info.pages]
        elif attack == "withhold":
            pages[at] = None
        elif attack == "short":
            pages.pop()
        else:
            pages[at] = foreign.pages[numbers[at]]
        return pages

    low, high = model[20_000][:2], model[21_000][:2]
    honest = lambda numbers: [store.pages[number] for number in numbers]  # noqa: E731
    for skip in range(2):
        calls = iter(range(100))
        store.answer = lambda numbers, skip=skip, calls=calls: (
            answer(numbers) if next(calls) == skip else honest(numbers)
        )
        with pytest.raises(IntegrityFailure):
            reader(store, info).range(low, high)
    store.answer = answer
    for work in (
        lambda one: one.all(),
        lambda one: one.estimate(low, high),
        lambda one: list(one.ordered(descending=True)),
    ):
        with pytest.raises(IntegrityFailure):
            work(reader(store, info))
    store.answer = None
    assert rows_of(reader(store, info).range(low, high)) == between(model, low, high)


def test_a_segment_opens_only_at_its_own_address(large):
    store, info, _ = large
    fields = info.to_tuple()
    for table, other in (
        (TABLE + 1, info),
        (TABLE, SegmentInfo(SEGMENT + 1, *fields[1:7], info.extra)),
        (TABLE, SegmentInfo(*fields[:2], INDEX + 1, *fields[3:7], info.extra)),
        (TABLE, SegmentInfo(*fields[:3], bytes(32), *fields[4:7], info.extra)),
        (TABLE, SegmentInfo(*fields[:6], info.postings - 1, info.extra)),
        (TABLE, SegmentInfo(*fields[:7], (info.extra[0], info.extra[1] - 1))),
    ):
        with pytest.raises(IntegrityFailure):
            reader(store, other, table).range(None, None)
    for other in (
        SegmentInfo(SEGMENT, HASHED, *fields[2:7], info.extra),
        SegmentInfo(*fields[:7], (12, info.extra[1])),
        SegmentInfo(*fields[:7], (info.extra[0], info.pages * 2)),
    ):
        with pytest.raises(IntegrityFailure):
            reader(store, other)


def test_bad_entries_are_refused():
    keys = np.zeros((1, 2), dtype=np.uint64)
    with pytest.raises(ValueError, match="negative"):
        built(SortedEntries(keys, np.array([-1])))
    with pytest.raises(ValueError, match="8 or 16"):
        built(SortedEntries(keys, np.array([1])), 12)
