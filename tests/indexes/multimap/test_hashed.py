from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexes.errors import IntegrityFailure
from indexes.keys import Key
from indexes.multimap import hashed, placement, postings
from indexes.multimap.hashed import HashedReader
from indexes.multimap.paging import WHOLE, chain_class, octave
from indexes.multimap.postings import EncodedLists, PostingBatch
from indexes.multimap.segment import SORTED, SegmentInfo
from indexes.seal import PAGE_SEALED, PAGE_USABLE
from tests.indexes.multimap.models import model_of, simple_lists
from tests.indexes.multimap.stores import PageStore

KEY = Key(bytes(range(32)))
TABLE, SEGMENT = 5, 77


def built(lists: EncodedLists) -> tuple[PageStore, SegmentInfo]:
    segment = hashed.build(lists, KEY, TABLE, SEGMENT)
    return PageStore(segment), segment.info


def reader(store: PageStore, info: SegmentInfo, table: int = TABLE) -> HashedReader:
    return HashedReader(info, KEY, table, store.read)


def mixed_lists(seed: int, words: int, longest: int) -> EncodedLists:
    """Many words whose list lengths spread over all places a list can have."""
    rng = np.random.default_rng(seed)
    sizes = np.minimum(rng.zipf(1.5, words), longest)
    names = rng.integers(0, 2**64, words, dtype=np.uint64)
    total = int(sizes.sum())
    ordinals = rng.integers(0, 2**22, total).astype(np.int64)
    return postings.encode(PostingBatch.of(np.repeat(names, sizes), ordinals))


def absent_words(lists: EncodedLists, count: int) -> np.ndarray:
    rng = np.random.default_rng(99)
    words = rng.integers(0, 2**64, count, dtype=np.uint64)
    return words[~np.isin(words, lists.words)]


LARGE = mixed_lists(1, 6000, 8000)


@pytest.fixture(scope="module")
def large() -> tuple[PageStore, SegmentInfo]:
    return built(LARGE)


@given(
    st.dictionaries(
        st.one_of(st.integers(0, 2**64 - 1), st.sampled_from([0, 2**64 - 1])),
        st.lists(st.integers(0, 2**20), min_size=1, max_size=200),
        max_size=30,
    ),
    st.lists(st.integers(0, 2**64 - 1), max_size=12),
)
@settings(max_examples=60)
def test_lookup_equals_a_dictionary(content, strangers):
    lists = simple_lists(content)
    store, info = built(lists)
    asked = np.array([*content, *strangers, *list(content)[:2]], dtype=np.uint64)
    one = reader(store, info)
    for size in (len(asked), 3):
        for word, found in zip(asked[:size].tolist(), one.lookup(asked[:size]), strict=True):
            if word in content:
                assert found is not None
                assert postings.decode(found).ordinals.tolist() == sorted(content[word])
            else:
                assert found is None
    assert one.frequencies(asked).tolist() == [len(content.get(w, ())) for w in asked.tolist()]
    assert one.all_lists().data.tobytes() == lists.data.tobytes()
    assert info.postings == sum(map(len, content.values()))


def test_all_places_are_used_and_found(large):
    store, info = large
    sizes = np.diff(LARGE.offsets)
    assert (sizes > PAGE_USABLE).any()
    assert ((sizes > 128) & (sizes <= PAGE_USABLE)).any()
    assert info.pages > WHOLE
    one = reader(store, info)
    every = one.find(np.concatenate((LARGE.words, absent_words(LARGE, 500))))
    assert every.words.tolist() == LARGE.words.tolist()
    assert every.data.tobytes() == LARGE.data.tobytes()
    assert one.frequencies(LARGE.words).tolist() == postings.counts(LARGE).tolist()
    for at in np.argsort(sizes)[[0, 1000, -200, -20, -3, -1]].tolist():
        assert one.lookup(LARGE.words[at : at + 1]) == [LARGE.get(at)]
    assert model_of(one.all_lists()) == model_of(LARGE)


def test_every_page_is_equal_in_size_and_numbered(large):
    store, info = large
    assert sorted(store.pages) == list(range(info.pages))
    assert {len(page) for page in store.pages.values()} == {PAGE_SEALED}
    assert octave(info.pages) == info.pages


def test_many_words_read_each_page_once(large):
    store, info = large
    one = reader(store, info)
    store.reads.clear()
    one.find(LARGE.words)
    read = [number for numbers in store.reads for number in numbers]
    assert len(read) == len(set(read)) == one.pages_read
    # The header, the buckets, and the pages of long lists: two dependent rounds after the header.
    assert len(store.reads) == 3


def test_reads_depend_on_the_own_list_only(large):
    store, info = large
    one = reader(store, info)
    one.lookup(LARGE.words[:1])
    sizes = np.diff(LARGE.offsets)
    for at in [*range(0, len(LARGE), 61), *np.argsort(sizes)[-8:].tolist()]:
        before = one.pages_read
        one.lookup(LARGE.words[at : at + 1])
        size = int(sizes[at])
        extra = 0 if size <= 128 else chain_class(-(-size // PAGE_USABLE))
        assert one.pages_read - before == 1 + extra
    for word in absent_words(LARGE, 50):
        before = one.pages_read
        assert one.lookup(np.array([word])) == [None]
        assert one.pages_read - before == 1


def test_reads_do_not_depend_on_other_terms():
    own = mixed_lists(3, 40, 9000)
    for seed, others in ((4, 3000), (5, 6000)):
        crowd = mixed_lists(seed, others, 3000)
        store, info = built(postings.combine([own, crowd]))
        assert info.pages > WHOLE
        one = reader(store, info)
        one.lookup(own.words[:1])
        for at, word in enumerate(own.words):
            before = one.pages_read
            one.lookup(np.array([word]))
            size = int(np.diff(own.offsets)[at])
            extra = 0 if size <= 128 else chain_class(-(-size // PAGE_USABLE))
            assert one.pages_read - before == 1 + extra


def test_a_small_segment_is_read_whole_once():
    lists = mixed_lists(6, 60, 300)
    store, info = built(lists)
    assert info.pages <= WHOLE
    one = reader(store, info)
    for word in lists.words[:5]:
        assert one.lookup(np.array([word]))[0] is not None
    one.all_lists()
    assert store.reads == [list(range(info.pages))]


def test_a_full_stash_takes_new_salts_and_then_more_buckets(monkeypatch):
    lists = simple_lists({word * 7919: [word] for word in range(4000)})
    salts = []

    def crowded(cipher, words, buckets):
        salts.append(buckets)
        if len(salts) <= 6:
            return np.zeros(len(words), dtype=np.int64)
        return (words // np.uint64(7919)).astype(np.int64) % buckets

    monkeypatch.setattr(placement, "bucket_numbers", crowded)
    place = placement.place_entries(np.full(4000, 13), lists.words, KEY)
    assert len(salts) == 7
    assert salts[4] > salts[3]
    assert len(place.kept) + len(place.stash) == 4000


def test_what_cannot_be_spread_is_refused(monkeypatch):
    monkeypatch.setattr(
        placement, "bucket_numbers", lambda cipher, words, buckets: np.zeros(len(words), np.int64)
    )
    with pytest.raises(ValueError, match="spread"):
        placement.place_entries(np.full(4000, 13), np.arange(4000, dtype=np.uint64), KEY)


def test_the_bucket_is_read_even_on_a_stash_hit():
    # Entries of the largest size vary most, so some buckets overflow.
    lists = simple_lists({word * 104729: list(range(120)) for word in range(4000)})
    # A build draws its salt, so once in a while every bucket has room.
    for _ in range(20):
        store, info = built(lists)
        one = reader(store, info)
        _, words, _, _ = one._stash_blocks().all()
        if len(words):
            break
    assert 0 < len(words) < 100
    for word in words:
        before = one.pages_read
        at = int(np.searchsorted(lists.words, word))
        assert one.lookup(np.array([word])) == [lists.get(at)]
        assert one.pages_read - before == 1
    assert one.find(lists.words).data.tobytes() == lists.data.tobytes()
    assert one.frequencies(lists.words).tolist() == [120] * 4000


@pytest.mark.parametrize("attack", ["flip", "swap", "withhold", "short", "foreign", "truncate"])
def test_tampering_is_an_integrity_failure_or_has_no_effect(large, attack):
    store, info = large
    foreign, _ = built(mixed_lists(8, 6000, 8000))
    word = LARGE.words[int(np.argmax(np.diff(LARGE.offsets)))]
    good = reader(store, info)
    wanted = good.lookup(np.array([word]))
    touched = sorted({number for numbers in store.reads for number in numbers})

    def answer(numbers):
        pages = [store.pages[number] for number in numbers]
        at = len(pages) // 2
        if attack == "flip":
            pages[at] = pages[at][:100] + bytes([pages[at][100] ^ 1]) + pages[at][101:]
        elif attack == "swap":
            pages[at] = store.pages[(numbers[at] + 1) % info.pages]
        elif attack == "withhold":
            pages[at] = None
        elif attack == "short":
            pages.pop()
        elif attack == "foreign":
            pages[at] = foreign.pages.get(numbers[at], pages[at - 1])
        else:
            pages[at] = pages[at][:-1]
        return pages

    assert touched
    for skip in range(3):
        bad = reader(store, info)
        rounds = iter(range(10))
        store.answer = lambda numbers, skip=skip, rounds=rounds: (
            answer(numbers) if next(rounds) == skip else [store.pages[n] for n in numbers]
        )
        with pytest.raises(IntegrityFailure):
            bad.lookup(np.array([word]))
    store.answer = answer
    with pytest.raises(IntegrityFailure):
        reader(store, info).find(LARGE.words)
    with pytest.raises(IntegrityFailure):
        reader(store, info).all_lists()
    store.answer = None
    assert reader(store, info).lookup(np.array([word])) == wanted


def test_every_bit_of_a_small_segment_counts():
    lists = simple_lists({word: [word, word + 1] for word in range(20)})
    store, info = built(lists)
    rng = np.random.default_rng(2)
    for number, page in list(store.pages.items()):
        for at in rng.integers(0, PAGE_SEALED, 20).tolist():
            store.pages[number] = page[:at] + bytes([page[at] ^ 0x10]) + page[at + 1 :]
            with pytest.raises(IntegrityFailure):
                reader(store, info).all_lists()
        store.pages[number] = page


def test_a_segment_opens_only_at_its_own_address(large):
    store, info = large
    for table, other in (
        (TABLE + 1, info),
        (TABLE, SegmentInfo(78, *info.to_tuple()[1:7], extra=info.extra)),
        (TABLE, SegmentInfo(*info.to_tuple()[:3], bytes(32), *info.to_tuple()[4:7], info.extra)),
        (
            TABLE,
            SegmentInfo(*info.to_tuple()[:4], info.pages - 1, *info.to_tuple()[5:7], info.extra),
        ),
    ):
        with pytest.raises(IntegrityFailure):
            reader(store, other, table).lookup(LARGE.words[:1])
    with pytest.raises(IntegrityFailure):
        HashedReader(info, KEY.derive("other"), TABLE, store.read).lookup(LARGE.words[:1])
    with pytest.raises(IntegrityFailure):
        reader(store, SegmentInfo(SEGMENT, SORTED, 0, info.salt, 3, 1, 1, (1,)))


def test_a_wrong_bucket_count_is_noticed_by_a_scan(large):
    store, info = large
    wrong = SegmentInfo(*info.to_tuple()[:7], extra=(info.extra[0] - 1,))
    with pytest.raises(IntegrityFailure):
        reader(store, wrong).all_lists()


def test_two_builds_share_neither_salt_nor_places():
    lists = mixed_lists(9, 3000, 50)
    (first, one), (second, two) = built(lists), built(lists)
    assert one.salt != two.salt
    assert not set(first.pages.values()) & set(second.pages.values())
    reads = []
    for store, info in ((first, one), (second, two)):
        keyed = reader(store, info)
        keyed.lookup(lists.words[:1])
        store.reads.clear()
        for word in lists.words[:40]:
            keyed.lookup(np.array([word]))
        reads.append([number for numbers in store.reads for number in numbers])
    assert reads[0] != reads[1]


def test_an_empty_segment():
    store, info = built(EncodedLists.empty())
    one = reader(store, info)
    assert one.lookup(np.array([1, 2], dtype=np.uint64)) == [None, None]
    assert one.lookup(np.array([], dtype=np.uint64)) == []
    assert len(one.find(np.arange(50, dtype=np.uint64))) == 0
    assert len(one.all_lists()) == 0


@pytest.mark.parametrize(
    ("pages", "wanted"), [(0, 0), (1, 1), (16, 16), (17, 17), (33, 34), (1000, 1024), (1025, 1088)]
)
def test_octave(pages, wanted):
    assert octave(pages) == wanted


def test_chain_classes():
    classes = sorted({chain_class(n) for n in range(1, 65)})
    assert classes == [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64]
    assert all(n <= chain_class(n) < 2 * n for n in range(1, 500))
