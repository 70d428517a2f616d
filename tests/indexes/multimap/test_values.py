"""Values beside sorted entries: in pages, in segments, and when dictionaries are merged."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexes.errors import EncodingRefused, IntegrityFailure
from indexes.keys import Key
from indexes.multimap import postings
from indexes.multimap import sorted as sorted_segments
from indexes.multimap.batches import MAX_VALUE, PostingBatch, Ragged, SortedEntries
from indexes.multimap.merge import distinct
from indexes.multimap.segment import (
    SegmentInfo,
    dictionary_id,
    is_dictionary,
    owner,
)
from indexes.multimap.sorted import SortedReader
from indexes.multimap.sorted_merge import merge_runs
from indexes.multimap.sorted_pages import data_pages, decode_pages, pack, sort_entries
from indexes.seal import PAGE_USABLE
from tests.indexes.multimap.models import VALUES
from tests.indexes.multimap.stores import PageStore

KEY = Key(bytes(range(32)))
HALVES = st.one_of(st.integers(0, 3), st.integers(0, 2**64 - 1))
ROWS = st.lists(st.tuples(HALVES, HALVES, st.integers(0, 50), VALUES), max_size=40)

Row = tuple[int, int, int, bytes]


def entries_of(rows: list[Row], *, valued: bool = True) -> SortedEntries:
    keys = np.array([row[:2] for row in rows], dtype=np.uint64).reshape(-1, 2)
    ordinals = np.array([row[2] for row in rows], dtype=np.int64)
    return SortedEntries(keys, ordinals, Ragged.of([row[3] for row in rows]) if valued else None)


def rows_of(entries: SortedEntries) -> list[Row]:
    values = [b""] * len(entries) if entries.values is None else entries.values.tolist()
    keys = entries.keys.tolist()
    return [
        (*key, ordinal, value)
        for key, ordinal, value in zip(keys, entries.ordinals.tolist(), values, strict=True)
    ]


def segment_of(rows: list[Row], number: int = 1) -> SortedReader:
    built = sorted_segments.build(entries_of(rows), KEY, 1, number, 3, 16)
    return SortedReader(built.info, KEY, 1, PageStore(built).read)


def crowd(seed: int, count: int, size: int) -> list[Row]:
    """Entries whose values fill many pages, the largest among them."""
    rng = np.random.default_rng(seed)
    found = []
    for ordinal in range(count):
        length = MAX_VALUE if ordinal % 7 == 0 else int(rng.integers(0, size))
        key = int(rng.integers(0, count // 2)) if ordinal % 3 else int(rng.integers(0, 2**63))
        found.append((key, ordinal % 5, ordinal, rng.bytes(length)))
    return found


@given(ROWS, st.sampled_from([8, 16]), st.booleans())
@settings(max_examples=60)
def test_pages_give_values_back(rows, width, valued):
    if width == 8:
        rows = [(row[0], 0, *row[2:]) for row in rows]
    entries = sort_entries(entries_of(rows, valued=valued), width)
    pages, _ = data_pages(entries, width)
    back = decode_pages(pages, width, valued=valued)
    assert rows_of(back) == rows_of(entries)
    assert (back.values is None) == (not valued or not rows)
    packed = pack(
        [entries.between(0, len(rows) // 2), entries.between(len(rows) // 2, len(rows))],
        width,
        valued=valued,
    )
    assert packed.pages.take(np.arange(packed.pages.count)).tobytes() == pages.tobytes()
    assert packed.count == len(rows)


def test_segments_give_values_back():
    rows = crowd(1, 600, 90)
    one = segment_of(rows)
    model = sorted(rows)
    assert rows_of(one.all()) == model
    assert sorted(row for part in one.pieces() for row in rows_of(part)) == model
    low, high = model[200][:2], model[400][:2]
    between = [row for row in model if low <= row[:2] <= high]
    assert rows_of(one.range(low, high)) == between
    for descending in (False, True):
        found = [row for part in one.ordered(descending, low, high) for row in rows_of(part)]
        assert found == between[:: -1 if descending else 1]
    assert rows_of(one.range((5, 0), (4, 0))) == []


def test_entries_without_values_cost_what_they_did():
    rows = [(n, 0, n, b"") for n in range(5000)]
    plain = sorted_segments.build(entries_of(rows, valued=False), KEY, 1, 1, 3, 8)
    valued = sorted_segments.build(entries_of(rows), KEY, 1, 1, 3, 8)
    assert len(plain.info.extra) == 2
    assert valued.info.extra == (8, valued.info.extra[1], 1)
    assert valued.info.pages > plain.info.pages
    fields = plain.info.to_tuple()
    with pytest.raises(IntegrityFailure):
        SortedReader(SegmentInfo(*fields[:7], (8, fields[8], 2)), KEY, 1, PageStore(plain).read)


def test_a_value_of_more_than_2048_bytes_is_refused():
    fits, huge = b"x" * MAX_VALUE, b"x" * (MAX_VALUE + 1)
    assert rows_of(segment_of([(1, 2, 3, fits)]).all()) == [(1, 2, 3, fits)]
    with pytest.raises(EncodingRefused, match="2,048"):
        segment_of([(1, 2, 3, huge)])
    word, ordinal = np.array([1], dtype=np.uint64), np.array([1])
    one = postings.encode(PostingBatch.of(word, ordinal, Ragged.of([fits])))
    found = postings.decode(one.get(0)).values
    assert found is not None
    assert found.tolist() == [fits]
    with pytest.raises(EncodingRefused, match="2,048"):
        postings.encode(PostingBatch.of(word, ordinal, Ragged.of([huge])))


@given(ROWS.filter(bool), st.data())
@settings(max_examples=40)
def test_a_damaged_page_is_an_error_or_another_page(rows, data):
    pages, _ = data_pages(sort_entries(entries_of(rows), 16), 16)
    flat = pages.reshape(-1)
    used = st.integers(0, min(len(flat) - 1, 200))
    for _ in range(data.draw(st.integers(1, 3))):
        flat[data.draw(used)] = data.draw(st.integers(0, 255))
    try:
        found = decode_pages(pages, 16, valued=True)
    except IntegrityFailure:
        return
    assert found.values is not None
    assert len(found.values) == len(found)
    assert len(found.values.flat) <= len(pages) * PAGE_USABLE


@pytest.fixture
def small(monkeypatch):
    """Chunks of a few entries."""
    monkeypatch.setattr("indexes.multimap.sorted_merge.CHUNK_ENTRIES", 64)
    monkeypatch.setattr("indexes.multimap.sorted_merge.CHUNK_PAGES", 4)


@pytest.mark.parametrize("same_key", [False, True])
def test_runs_are_merged_chunk_by_chunk(small, same_key):
    sources = [crowd(seed, 300, 60) for seed in range(3)]
    if same_key:
        sources = [[(7, 7, *row[2:]) for row in rows] for rows in sources]
    chunks = list(merge_runs([segment_of(rows).scan() for rows in sources], lambda o: o % 4 != 0))
    assert len(chunks) > 10
    found = [row for chunk in chunks for row in rows_of(chunk)]
    expected = [row for rows in sources for row in rows if row[2] % 4]
    assert sorted(found) == sorted(expected)
    assert [row[:3] for row in found] == sorted(row[:3] for row in expected)


def test_a_run_that_is_not_what_it_says_is_refused(small):
    run = segment_of(crowd(1, 100, 40)).scan()
    short = type(run)(run.pages, run.count + 1, run.width, run.valued)
    with pytest.raises(IntegrityFailure):
        list(merge_runs([short]))
    run = segment_of(crowd(1, 100, 40)).scan()
    order = np.arange(run.pages.count)
    run.pages.put(order, run.pages.take(order[::-1]))
    with pytest.raises(IntegrityFailure):
        list(merge_runs([run]))


TERMS = st.one_of(
    st.text(max_size=5),
    st.sampled_from(["donaudampfschifffahrt", "donaudampfschiffsseil", "donaudampfschiff"]),
    st.integers(0, 9).map(lambda n: "sixteen bytes.. then" + chr(0x1F600 + n) * n),
)


def entry_of(term: str) -> Row:
    raw = term.encode()
    key = raw[:16].ljust(16, b"\0")
    return (int.from_bytes(key[:8], "big"), int.from_bytes(key[8:], "big"), 0, raw)


@given(st.lists(st.lists(TERMS, max_size=30), max_size=4))
@settings(max_examples=60)
def test_a_dictionary_has_each_term_once(sources):
    rows = [[entry_of(term) for term in terms] for terms in sources]
    expected = sorted({term.encode() for terms in sources for term in terms})
    joined = distinct(SortedEntries.join(map(entries_of, rows)))
    assert sorted(row[3] for row in rows_of(joined)) == expected
    runs = [segment_of(part).scan() for part in rows]
    chunks = list(merge_runs(runs, collapse=True))
    found = [row for chunk in chunks for row in rows_of(chunk)]
    assert sorted(row[3] for row in found) == expected
    assert [row[:2] for row in found] == sorted(row[:2] for row in found)


def test_ids_of_dictionaries():
    assert [is_dictionary(one) for one in (0, 7, dictionary_id(7))] == [False, False, True]
    assert owner(dictionary_id(7)) == owner(7) == 7


def test_ragged_values():
    values = Ragged.of([b"ab", b"", b"cde"])
    assert len(values) == 3
    assert values.take(np.array([2, 0])).tolist() == [b"cde", b"ab"]
    assert Ragged.join([values, Ragged.empty(2)]).tolist() == [b"ab", b"", b"cde", b"", b""]
    entries = entries_of([(1, 1, n, bytes([n])) for n in range(4)])
    assert rows_of(entries.between(1, 3)) == rows_of(entries)[1:3]
    mixed = SortedEntries.join([entries, entries_of([(9, 9, 9, b"")], valued=False)])
    assert rows_of(mixed) == [*rows_of(entries), (9, 9, 9, b"")]
    with pytest.raises(ValueError, match="one value per"):
        PostingBatch.of(np.zeros(1, np.uint64), np.zeros(1, np.int64), values)
    with pytest.raises(ValueError, match="one key"):
        SortedEntries(np.zeros((2, 2), np.uint64), np.zeros(1, np.int64))
