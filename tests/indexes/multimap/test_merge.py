from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from indexes.keys import Key
from indexes.multimap import hashed, merge, postings
from indexes.multimap import sorted as sorted_segments
from indexes.multimap.batches import SortedEntries
from indexes.multimap.hashed import HashedReader
from indexes.multimap.merge import (
    MOST_SEGMENTS,
    SMALLEST_TIER,
    STEP,
    Limit,
    choose,
    pack,
    tier,
)
from indexes.multimap.postings import PostingBatch
from indexes.multimap.segment import HASHED, LIVENESS, SORTED
from indexes.multimap.sorted import SortedReader
from tests.indexes.multimap.models import model_of, simple_lists
from tests.indexes.multimap.stores import PageStore

KEY = Key(bytes(32))


@dataclass(frozen=True)
class Info:
    postings: int
    kind: int = HASHED
    index: int = 0
    pages: int = 1


# Without steps, as if everything fitted into one.
EVERYTHING = Limit(1 << 40, 1 << 40)


def apply(infos: list[Info], shrink: float = 1.0, limit: Limit = EVERYTHING) -> list[Info]:
    """The segments after the merges that the policy asks for, until it asks for no more."""
    while groups := choose(infos, limit):
        members = [info for group in groups for info in group]
        assert len(members) == len({id(info) for info in members})
        assert all(len({(info.kind, info.index) for info in group}) == 1 for group in groups)
        assert all(len(group) > 1 for group in groups)
        assert all(limit.holds(group) for group in groups)
        rest = [info for info in infos if not any(info is member for member in members)]
        infos = rest + [
            Info(
                int(sum(info.postings for info in group) * shrink),
                group[0].kind,
                group[0].index,
                sum(info.pages for info in group),
            )
            for group in groups
        ]
    return infos


SIZES = st.one_of(st.integers(0, 3 * SMALLEST_TIER), st.integers(0, 10**8))


@given(st.lists(SIZES, max_size=200), st.sampled_from([1.0, 0.7, 0.1]))
def test_the_bounds_hold_whatever_the_history(sizes, shrink):
    infos: list[Info] = []
    for size in sizes:
        assert len(infos) <= MOST_SEGMENTS
        infos.append(Info(size))
        assert len(infos) <= 10
        infos = apply(infos, shrink)
    tiers = Counter(tier(info.postings) for info in infos)
    assert tiers[0] <= 1
    assert all(count < 4 for count in tiers.values())
    if shrink == 1.0:
        assert sum(info.postings for info in infos) == sum(sizes)


@given(st.lists(st.builds(Info, SIZES, st.sampled_from([1, 2, 3]), st.integers(0, 2)), max_size=60))
def test_kinds_and_indexes_are_settled_apart(infos):
    settled = apply(infos)
    assert [i for i in settled if i.kind == LIVENESS] == [i for i in infos if i.kind == LIVENESS]
    families = Counter((i.kind, i.index) for i in settled if i.kind != LIVENESS)
    assert all(count <= MOST_SEGMENTS for count in families.values())
    for family in families:
        assert sum(i.postings for i in infos if (i.kind, i.index) == family) == sum(
            i.postings for i in settled if (i.kind, i.index) == family
        )


def test_one_call_settles_everything():
    infos = [Info(20_000)] * 3 + [Info(100_000)] * 3 + [Info(500_000)] * 3
    infos = [Info(i.postings) for i in infos] + [Info(100), Info(19_000)]
    assert choose(apply(infos), EVERYTHING) == []
    groups = choose(infos, EVERYTHING)
    assert len(infos) - sum(map(len, groups)) + len(groups) <= MOST_SEGMENTS


def test_writing_costs_a_few_times_the_data():
    infos: list[Info] = []
    written = 0
    for _ in range(2000):
        infos.append(Info(20_000))
        while groups := choose(infos, EVERYTHING):
            written += sum(info.postings for group in groups for info in group)
            infos = apply(infos)
    assert written / (2000 * 20_000) < 8


def test_settled_segments_are_left_alone():
    assert choose([]) == []
    assert choose([Info(5), Info(20_000), Info(20_001), Info(20_002), Info(10**6)]) == []
    assert (
        choose(
            [Info(5), Info(6, SORTED, 1), Info(7, SORTED, 2), Info(1, LIVENESS), Info(1, LIVENESS)]
        )
        == []
    )


SEGMENTS = st.builds(Info, SIZES, st.just(HASHED), st.just(0), st.integers(1, 1 << 14))


@given(st.lists(SEGMENTS, max_size=120))
def test_steps_are_bounded_and_leave_few_segments(infos):
    settled = apply(infos, limit=STEP)
    assert len([info for info in settled if not STEP.full(info)]) <= MOST_SEGMENTS
    assert sum(info.postings for info in settled) == sum(info.postings for info in infos)
    total, pages = sum(i.postings for i in infos), sum(i.pages for i in infos)
    most = 2 * total // STEP.postings + 2 * pages // STEP.pages
    assert len(settled) <= MOST_SEGMENTS + most
    # A full segment is never written again by a step.
    assert all(any(info is one for one in settled) for info in infos if STEP.full(info))


@given(st.lists(SEGMENTS, max_size=60))
def test_everything_is_packed_into_as_few_segments_as_fit(infos):
    limit = Limit(10**8, 1 << 15)
    groups = pack(infos, limit)
    assert sorted(map(id, (info for group in groups for info in group))) == sorted(map(id, infos))
    assert all(len(group) == 1 or limit.holds(group) for group in groups)
    assert not any(
        limit.holds([*one, *two]) for at, one in enumerate(groups) for two in groups[:at]
    )


def test_tiers():
    assert [tier(n) for n in (0, 16383, 16384, 65535, 65536, 10**6)] == [0, 0, 1, 1, 2, 3]


HISTORY = st.lists(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 50)), min_size=1, max_size=12), max_size=8
)


@given(HISTORY, st.sets(st.integers(0, 50)), st.randoms(use_true_random=False))
@settings(max_examples=40)
def test_hashed_merges_through_sealed_segments_are_exact(history, dead, random):
    """Deltas become segments and segments become one, in some order, with rows dying at each merge."""
    dead_so_far: set[int] = set()
    segments = []
    for number, rows in enumerate(history):
        batch = PostingBatch.of(
            np.array([w * 0x9E3779B97F4A7C15 % 2**64 for w, _ in rows], dtype=np.uint64),
            np.array([o for _, o in rows], dtype=np.int64),
        )
        sources = [postings.encode_batches([batch])]
        while segments and random.random() < 0.4:
            info, store = segments.pop(random.randrange(len(segments)))
            sources.append(HashedReader(info, KEY, 1, store.read).all_lists())
        dead_so_far |= {o for o in dead if random.random() < 0.3}
        gone = list(dead_so_far)
        lists = postings.merge(sources, lambda o, gone=gone: ~np.isin(o, gone))
        segment = hashed.build(lists, KEY, 1, number)
        segments.append((segment.info, PageStore(segment)))
    rest = [HashedReader(info, KEY, 1, store.read).all_lists() for info, store in segments]
    final = postings.merge(rest, lambda o: ~np.isin(o, list(dead)))
    expected = Counter(
        (w * 0x9E3779B97F4A7C15 % 2**64, o, (), None, None)
        for rows in history
        for w, o in rows
        if o not in dead
    )
    assert model_of(final) == expected


@given(HISTORY, st.sets(st.integers(0, 50)))
@settings(max_examples=40)
def test_sorted_merges_through_sealed_segments_are_exact(history, dead):
    sources = []
    for number, rows in enumerate(history):
        keys = np.array([(k, 0) for k, _ in rows], dtype=np.uint64)
        ordinals = np.array([o for _, o in rows], dtype=np.int64)
        entries = SortedEntries(keys, ordinals)
        segment = sorted_segments.build(entries, KEY, 1, number, 2, 8)
        sources.append(SortedReader(segment.info, KEY, 1, PageStore(segment).read).all())
    merged = merge.merge_entries(sources, lambda o: ~np.isin(o, list(dead)))
    segment = sorted_segments.build(merged, KEY, 1, 99, 2, 8)
    found = SortedReader(segment.info, KEY, 1, PageStore(segment).read).range(None, None)
    expected = sorted(row for rows in history for row in rows if row[1] not in dead)
    assert list(zip(found.keys[:, 0].tolist(), found.ordinals.tolist(), strict=True)) == expected


def test_everything_dead_leaves_nothing():
    lists = simple_lists({1: [1, 2], 5: [3]})
    assert len(postings.merge([lists, lists], lambda o: np.zeros(len(o), dtype=np.bool_))) == 0
    assert len(merge.merge_entries([])) == 0
