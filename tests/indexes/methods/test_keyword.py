from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexes.errors import EncodingRefused
from indexes.keys import Key
from indexes.methods import keyword
from indexes.multimap.postings import EncodedLists, decode, encode, encode_batches
from indexes.prf import TermPrf
from tests.indexes.multimap.models import batch_of, rows_of

PRF = TermPrf(Key(bytes(32)))
TOKENS = st.lists(st.text("abc\u00e9", min_size=1, max_size=2), max_size=12)


def word(term: str) -> int:
    return int(keyword.words_for(PRF, [term])[0])


@given(
    st.integers(1, 3).flatmap(
        lambda f: st.lists(st.lists(TOKENS, min_size=f, max_size=f), max_size=6)
    ),
    st.booleans(),
)
def test_postings_equal_a_count(documents, positions):
    ordinals = np.arange(len(documents), dtype=np.int64) * 10 + 3
    batch, stats, terms = keyword.postings(PRF, documents, ordinals, positions=positions)
    every = {token for document in documents for field in document for token in field}
    assert sorted(terms) == sorted(every)
    expected = Counter()
    for ordinal, document in zip(ordinals.tolist(), documents, strict=True):
        for field, tokens in enumerate(document):
            for term, frequency in Counter(tokens).items():
                places = tuple(i for i, token in enumerate(tokens) if token == term)
                payload = (field, frequency, len(tokens))
                row = (word(term), ordinal, payload, places if positions else None, None)
                expected[row] += 1
    assert Counter(rows_of(batch)) == expected
    assert stats.documents == len(documents)
    fields = len(documents[0]) if documents else 0
    assert stats.tokens == tuple(sum(len(doc[f]) for doc in documents) for f in range(fields))
    lists = encode(batch)
    for at in range(len(lists)):
        assert (
            keyword.read(lists.get(at)).payload.tolist() == decode(lists.get(at)).payload.tolist()
        )


def test_no_documents_and_no_tokens():
    batch, stats, terms = keyword.postings(PRF, [], np.zeros(0, dtype=np.int64))
    assert (len(batch), stats.documents, stats.tokens, terms) == (0, 0, (), [])
    batch, stats, terms = keyword.postings(PRF, [[[], []]], np.array([7]), positions=True)
    assert (len(batch), stats.documents, stats.tokens, terms) == (0, 1, (0, 0), [])
    assert len(keyword.words_for(PRF, [])) == 0


def test_postings_of_a_colliding_index_are_dropped():
    mine = batch_of([(7, 3, (1, 2, 5), (0, 9))], 3, positions=True)
    alien = batch_of([(7, 1, (), None)], 0, positions=False)
    found = keyword.read(encode_batches([mine, alien]).get(0))
    assert found.ordinals.tolist() == [3]
    assert found.payload.tolist() == [[1, 2, 5]]
    assert found.positions is not None
    assert found.positions.flat.tolist() == [0, 9]
    only_alien: EncodedLists = encode(alien)
    assert len(keyword.read(only_alien.get(0)).ordinals) == 0


def test_bad_input_is_refused():
    with pytest.raises(EncodingRefused):
        keyword.postings(PRF, [[["ok", "\ud800"]]], np.array([1]))
    with pytest.raises(EncodingRefused):
        keyword.words_for(PRF, ["\ud800"])
    with pytest.raises(ValueError, match="ordinal"):
        keyword.postings(PRF, [[["a"]]], np.array([1, 2]))
    with pytest.raises(ValueError, match="fields"):
        keyword.postings(PRF, [[["a"]], [["a"], []]], np.array([1, 2]))
