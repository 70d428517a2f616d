"""Lists joined range by range and piece by piece are those that are joined at once."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexes.errors import IntegrityFailure
from indexes.keys import Key
from indexes.multimap import hashed, joining, long_lists, postings
from indexes.multimap.coding import ListHead
from indexes.multimap.hashed import HashedReader
from indexes.multimap.joining import HeldLists, joined, part_bits
from indexes.multimap.long_lists import join_long, pieces
from indexes.multimap.postings import EncodedLists, PostingBatch
from indexes.multimap.segment import SegmentInfo
from tests.indexes.multimap.models import (
    Posting,
    batch_of,
    batches,
    model_of,
    rows_of,
    simple_lists,
)
from tests.indexes.multimap.stores import PageStore

KEY = Key(bytes(32))


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Ranges, chunks and pieces of a few bytes, so that small lists are cut everywhere."""
    monkeypatch.setattr(joining, "CHUNK_BYTES", 40)
    monkeypatch.setattr(joining, "LONG_BYTES", 60)
    monkeypatch.setattr("indexes.multimap.scanning.LONG_BYTES", 60)
    monkeypatch.setattr(long_lists, "PIECE_BYTES", 24)


@given(
    st.lists(batches(words=st.integers(0, 2**64 - 1), max_size=12), min_size=1, max_size=4),
    st.integers(0, 3),
    st.sets(st.integers(0, 300)),
)
@settings(max_examples=60)
def test_joining_in_ranges_is_joining_at_once(parts, bits, dead):
    parts = [part for part in parts if part.shape == parts[0].shape]
    shared = [
        PostingBatch(
            part.words & np.uint64(0xF000_0000_0000_0003),
            part.ordinals,
            part.payload,
            part.positions,
            part.values,
        )
        for part in parts
    ]
    encoded = [postings.encode(part) for part in shared]
    seen = []
    found = joined(
        [HeldLists(one) for one in encoded],
        bits,
        lambda ordinals: ~np.isin(ordinals, list(dead)),
        seen.append,
    )
    expected = Counter(row for part in shared for row in rows_of(part) if row[1] not in dead)
    assert model_of(found) == expected
    assert [w for lists in seen for w in lists.words.tolist()] == found.words.tolist()


def wide(rows: Counter[Posting]) -> Counter[Posting]:
    """Postings in the widest shape."""
    return Counter(
        {
            (word, ordinal, (*payload, 0, 0, 0)[:3], places or (), value or b""): count
            for (word, ordinal, payload, places, value), count in rows.items()
        }
    )


@given(st.lists(batches(words=st.just(9), max_size=30), min_size=1, max_size=4), st.data())
@settings(max_examples=60)
def test_a_long_list_is_joined_piece_by_piece(parts, data):
    encoded = [postings.encode(part) for part in parts if len(part)]
    if not encoded:
        return
    raws = [one.data for one in encoded]
    live = data.draw(st.sampled_from([None, lambda ordinals: ordinals % 3 != 0]))
    found = join_long(9, raws, live)
    # A list may be wider than it has to, when what made it wide is dead.
    assert wide(model_of(found)) == wide(model_of(postings.merge(encoded, live)))
    for raw, one in zip(raws, encoded, strict=True):
        got = list(pieces(9, raw, 10))
        assert Counter(row for piece in got for row in rows_of(piece)) == model_of(one)
        bad = raw.copy()
        bad[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
        for damaged in (bad, raw[:-1], np.append(raw, np.uint8(0))):
            # Damage is an error, or another list that the whole decoder takes as well.
            try:
                got = list(pieces(9, damaged, 10))
            except IntegrityFailure:
                continue
            lists = EncodedLists(encoded[0].words, damaged, np.array([0, len(damaged)]))
            assert Counter(row for piece in got for row in rows_of(piece)) == model_of(lists)


def test_a_collision_within_a_long_word_is_widened():
    plain = batch_of([(7, n, (), None, None) for n in range(0, 90, 2)], 0, positions=False)
    rich = batch_of([(7, n, (3,), (1, n), None) for n in range(1, 90, 2)], 1, positions=True)
    covering = batch_of([(7, 500, (), None, b"zip")], 0, positions=False, values=True)
    encoded = [postings.encode(one) for one in (plain, rich, covering)]
    found = joined([HeldLists(one) for one in encoded], 0)
    assert len(found) == 1
    assert model_of(found) == model_of(postings.merge(encoded))
    assert (7, 500, (0,), (), b"zip") in model_of(found)


def test_segments_are_given_up_in_ranges():
    rng = np.random.default_rng(4)
    sources, expected = [], Counter()
    for segment in range(3):
        words = rng.integers(0, 2**64, 400, dtype=np.uint64)
        content = {int(word): [segment] for word in words}
        content[12345] = list(range(segment * 3000, segment * 3000 + 3000))
        content[2**64 - 1] = list(range(200 + segment))
        lists = simple_lists(content)
        built = hashed.build(lists, KEY, 1, segment)
        expected += model_of(lists)
        sources.append(HashedReader(built.info, KEY, 1, PageStore(built).read))
    found = joined([one.scan(2) for one in sources], 2)
    assert model_of(found) == expected
    one = sources[0].scan(1)
    with pytest.raises(ValueError, match="ranges"):
        one.part(0, 2)
    one.part(0, 1)
    with pytest.raises(ValueError, match="once"):
        one.part(0, 1)


def test_a_header_that_promises_more_is_refused(monkeypatch):
    built = hashed.build(simple_lists({1: [1], 2: [2, 3]}), KEY, 1, 1)
    store = PageStore(built)
    monkeypatch.setattr(hashed, "ScannedLists", lying(hashed.ScannedLists))
    with pytest.raises(IntegrityFailure):
        HashedReader(built.info, KEY, 1, store.read).all_lists()


def lying(kind):
    def make(bits, buckets, pages, expected):
        return kind(bits, buckets, pages, (expected[0], expected[1] + 1))

    return make


def test_scans_read_every_page_once_in_page_order():
    lists = simple_lists({word * 7919 + 5: list(range(word % 90)) for word in range(1, 4000)})
    built = hashed.build(lists, KEY, 1, 1)
    store = PageStore(built)
    HashedReader(built.info, KEY, 1, store.read).scan(3)
    read = [number for numbers in store.reads for number in numbers]
    assert read == list(range(built.info.pages))
    assert isinstance(built.info, SegmentInfo)


def test_ranges_grow_with_what_is_joined():
    assert [part_bits(n) for n in (0, 7 << 20, 8 << 20, 300 << 20, 1 << 40)] == [0, 0, 1, 6, 8]


@pytest.mark.parametrize("raw", [b"", b"\x80", b"\x61\x01", b"\x20", b"\x20\x00\x01", b"\x20\x7f"])
def test_a_malformed_head_is_refused(raw):
    with pytest.raises(IntegrityFailure):
        ListHead.read(np.frombuffer(raw, dtype=np.uint8))
