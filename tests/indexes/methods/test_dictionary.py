"""Dictionary entries lead from a beginning to every term that begins so."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexes.errors import EncodingRefused, IntegrityFailure
from indexes.keys import Key
from indexes.methods import dictionary
from indexes.multimap import merge
from indexes.multimap import sorted as sorted_segments
from indexes.multimap.batches import MAX_VALUE, Ragged, SortedEntries
from indexes.multimap.sorted import SortedReader

KEY = Key(bytes(range(32)))
# Terms share beginnings, and many are longer than a key.
TERMS = st.lists(
    st.builds(
        str.__add__,
        st.sampled_from(["", "a", "ab", "internationalis", "größenwahnsinnig", "日本"]),
        st.text("abé日\U0001f600", max_size=6),
    ).filter(bool),
    unique=True,
    max_size=30,
)


def reader_of(*parts: list[str]) -> SortedReader:
    """A segment of the terms of several batches."""
    joined = merge.distinct(SortedEntries.join([dictionary.entries(terms) for terms in parts]))
    built = sorted_segments.build(joined, KEY, 1, 2, 3, dictionary.KEY_BYTES)
    pages = dict(built.pages)
    return SortedReader(built.info, KEY, 1, lambda numbers: [pages[one] for one in numbers])


@given(TERMS, TERMS, st.text("abignro\xe9日", min_size=1, max_size=20))
def test_a_beginning_finds_every_term_that_begins_so(one, two, prefix):
    reader = reader_of(one, two)
    found = dictionary.terms_of(reader.range(*dictionary.beginning(prefix))).to_pylist()
    wanted = {term for term in {*one, *two} if term.startswith(prefix)}
    assert wanted <= set(found) <= {*one, *two}
    raw = prefix.encode()[: dictionary.KEY_BYTES]
    assert all(term.encode().startswith(raw) for term in found)
    everything = dictionary.terms_of(reader.all()).to_pylist()
    assert sorted(everything) == sorted({*one, *two})
    pieces = [term for part in reader.pieces() for term in dictionary.terms_of(part).to_pylist()]
    assert sorted(pieces) == sorted(everything)


def test_keys_are_the_first_bytes_of_terms():
    found = dictionary.entries(["b", "0123456789abcdefXYZ", "é"])
    assert found.keys.astype(">u8").tobytes() == b"b".ljust(16, b"\0") + b"0123456789abcdef" + (
        "é".encode().ljust(16, b"\0")
    )
    assert found.ordinals.tolist() == [0, 0, 0]
    assert dictionary.terms_of(found).to_pylist() == ["b", "0123456789abcdefXYZ", "é"]
    assert len(dictionary.entries([])) == 0
    assert dictionary.terms_of(SortedEntries.empty()).to_pylist() == []
    low, high = dictionary.beginning("a" * 40)
    assert low == high


@pytest.mark.parametrize("terms", [["ok", "\ud800"], ["a" * (MAX_VALUE + 1)]])
def test_what_is_no_term_is_refused(terms):
    with pytest.raises(EncodingRefused):
        dictionary.entries(terms)


def test_a_lone_surrogate_begins_nothing():
    with pytest.raises(EncodingRefused):
        dictionary.beginning("a\ud800")


@pytest.mark.parametrize("values", [None, Ragged.of([b"\xff"]), Ragged.of([b"\xed\xa0\x80"])])
def test_entries_that_hold_no_terms_are_an_integrity_failure(values):
    keys, ordinals = np.zeros((1, 2), dtype=np.uint64), np.zeros(1, dtype=np.int64)
    with pytest.raises(IntegrityFailure):
        dictionary.terms_of(SortedEntries(keys, ordinals, values))


def test_pieces_notice_that_entries_are_missing():
    terms = [f"term{number:06d}" for number in range(20_000)]
    entries = merge.distinct(dictionary.entries(terms))
    built = sorted_segments.build(entries, KEY, 1, 2, 3, dictionary.KEY_BYTES)
    pages = dict(built.pages)
    asked: list[list[int]] = []

    def read(numbers):
        asked.append(list(numbers))
        return [pages[one] for one in numbers]

    reader = SortedReader(built.info, KEY, 1, read)
    assert sum(map(len, reader.pieces())) == len(terms)
    # Every page once, in the order of the pages, whatever the order of the terms on them.
    assert [one for numbers in asked for one in numbers] == list(range(built.info.pages))
    pages[max(pages)] = b""
    with pytest.raises(IntegrityFailure):
        list(SortedReader(built.info, KEY, 1, read).pieces())
