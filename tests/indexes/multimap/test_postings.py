from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexes.errors import IntegrityFailure
from indexes.multimap import postings
from indexes.multimap.postings import EncodedLists, PostingBatch
from tests.indexes.multimap.models import (
    SMALL_WORDS,
    batch_of,
    batches,
    model_of,
    rows_of,
    simple_lists,
)


@given(batches())
def test_a_batch_comes_back_list_by_list(batch):
    lists = postings.encode(batch)
    assert model_of(lists) == Counter(rows_of(batch))
    assert postings.counts(lists).tolist() == [
        rows for _, rows in sorted(Counter(batch.words.tolist()).items())
    ]


@given(batches())
def test_a_batch_comes_back_exploded(batch):
    lists = postings.encode(batch)
    exploded = postings.explode(lists)
    assert sum((Counter(rows_of(one)) for one in exploded), Counter()) == Counter(rows_of(batch))
    for index, one in postings.explode_indexed(lists):
        assert lists.words[index].tolist() == one.words.tolist()
        keys = list(zip(one.words.tolist(), one.ordinals.tolist(), strict=True))
        assert keys == sorted(keys)


@given(st.lists(batches(max_size=15), max_size=5))
def test_batches_of_many_shapes_share_one_set_of_lists(parts):
    # Every shape gets words of its own, as every index has a key of its own.
    shapes = sorted({part.shape for part in parts})
    salted = [
        PostingBatch(
            part.words ^ np.uint64(shapes.index(part.shape) + 1),
            part.ordinals,
            part.payload,
            part.positions,
            part.values,
        )
        for part in parts
    ]
    expected = sum((Counter(rows_of(part)) for part in salted), Counter())
    lists = postings.encode_batches(salted)
    words = {shape: set() for shape in shapes}
    for part in salted:
        words[part.shape] |= set(part.words.tolist())
    if sum(map(len, words.values())) == len(set().union(*words.values())):
        assert model_of(lists) == expected


@given(
    st.lists(st.lists(st.tuples(SMALL_WORDS, st.integers(0, 60)), max_size=30), max_size=5),
    st.sets(st.integers(0, 60)),
)
def test_merge_is_exact(sources, live):
    encoded = []
    expected: Counter[tuple[int, int]] = Counter()
    for rows in sources:
        words = np.array([w for w, _ in rows], dtype=np.uint64)
        encoded.append(
            postings.encode(PostingBatch.of(words, np.array([o for _, o in rows], np.int64)))
        )
        expected.update(row for row in rows if row[1] in live)
    merged = postings.merge(encoded, lambda ordinals: np.isin(ordinals, list(live)))
    assert Counter({row[:2]: n for row, n in model_of(merged).items()}) == expected
    assert set(merged.words.tolist()) == {word for word, _ in expected}


@given(st.lists(batches(max_size=20), max_size=4))
def test_merging_encoded_parts_equals_encoding_everything(parts):
    same = [part for part in parts if part.shape == parts[0].shape]
    merged = postings.merge([postings.encode(part) for part in same])
    assert model_of(merged) == model_of(postings.encode_batches(same))


def test_a_word_of_two_shapes_is_widened():
    plain = batch_of([(7, 1, (), None, None), (9, 4, (), None, None)], 0, positions=False)
    rich = batch_of([(7, 3, (1, 2, 5), (0, 9), None)], 3, positions=True)
    covering = batch_of([(7, 2, (), None, b"zip")], 0, positions=False, values=True)
    merged = postings.encode_batches([plain, rich])
    assert model_of(merged) == Counter(
        [(7, 1, (0, 0, 0), (), None), (7, 3, (1, 2, 5), (0, 9), None), (9, 4, (), None, None)]
    )
    merged = postings.merge([merged, postings.encode(covering)])
    assert model_of(merged) == Counter(
        [
            (7, 1, (0, 0, 0), (), b""),
            (7, 2, (0, 0, 0), (), b"zip"),
            (7, 3, (1, 2, 5), (0, 9), b""),
            (9, 4, (), None, None),
        ]
    )


def test_lists_of_one_posting_cost_one_byte_beside_the_ordinal():
    lists = simple_lists({word: [word] for word in range(100)})
    assert len(lists.data) == 200


def test_large_ordinals_keep_all_bits():
    top = 2**63 - 1
    lists = simple_lists({1: [0, top], 2: [top]})
    assert postings.decode(lists.get(0)).ordinals.tolist() == [0, top]
    assert postings.explode(lists)[0].ordinals.tolist() == [0, top, top]


def test_bad_batches_are_refused():
    one = np.array([1], dtype=np.uint64)
    with pytest.raises(ValueError, match="negative"):
        postings.encode(PostingBatch.of(one, np.array([-1])))
    with pytest.raises(ValueError, match="ascend"):
        postings.encode(batch_of([(1, 1, (), (5, 2), None)], 0, positions=True))
    with pytest.raises(ValueError, match="row per posting"):
        PostingBatch.of(one, np.array([1, 2]))
    with pytest.raises(ValueError, match="7 payload"):
        PostingBatch(one, np.array([1]), np.zeros((1, 8), np.uint32))
    with pytest.raises(ValueError, match="range per posting"):
        PostingBatch(one, np.array([1]), np.zeros((1, 0), np.uint32), postings.Positions(one, one))


@given(batches(words=st.just(1), max_size=12), st.data())
def test_a_damaged_list_never_decodes_to_garbage_sizes(batch, data):
    if not len(batch):
        return
    good = postings.encode(batch).get(0)
    position = data.draw(st.integers(0, len(good) - 1))
    bad = bytearray(good)
    bad[position] ^= data.draw(st.integers(1, 255))
    damaged = np.frombuffer(bytes(bad), dtype=np.uint8)
    for raw in (bytes(bad), good[:position], good + b"\0"):
        try:
            found = postings.decode(raw)
        except IntegrityFailure:
            continue
        assert len(found.ordinals) == len(found.payload)
        assert len(found.ordinals) <= len(raw)
    lists = EncodedLists(np.array([1], dtype=np.uint64), damaged, np.array([0, len(damaged)]))
    try:
        postings.explode_indexed(lists)
    except IntegrityFailure:
        return


@pytest.mark.parametrize(
    "raw", [b"", b"\x00", b"\x20", b"\x30", b"\x60\x01\x01", b"\x20\x00", b"\x21\x01\x05"]
)
def test_malformed_lists_are_refused(raw):
    with pytest.raises(IntegrityFailure):
        postings.decode(raw)


def test_lists_that_do_not_end_where_a_value_ends_are_refused():
    data = np.frombuffer(b"\x30\x80\x01\x30\x02", dtype=np.uint8)
    words = np.array([1, 2], dtype=np.uint64)
    with pytest.raises(IntegrityFailure):
        postings.explode_indexed(EncodedLists(words, data, np.array([0, 2, 5])))
    assert len(postings.explode_indexed(EncodedLists(words, data, np.array([0, 3, 5])))) == 1


def test_empty_sets():
    assert len(postings.encode_batches([])) == 0
    assert len(postings.merge([])) == 0
    assert postings.explode(EncodedLists.empty()) == []
    assert postings.counts(EncodedLists.empty()).tolist() == []
