"""Queries over posting lists against a plain scan, and ranking."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from encdb.errors import ProgrammingError
from indexes.keys import Key
from indexes.methods import keyword
from indexes.multimap import postings as lists
from indexes.multimap.postings import DecodedList
from indexes.prf import TermPrf
from proxy.search.analysis import analyser
from proxy.search.evaluate import NO_POSTINGS, TermPostings, contains, evaluate
from proxy.search.plain import gather, matches, matches_column, matches_plain, search_plain
from proxy.search.query import parse
from proxy.search.rank import K1, B, Statistics, best, bm25, search

ANALYSE = analyser("none")
WORDS = ["a", "b", "c", "d"]
FIELD = st.none() | st.lists(st.sampled_from(WORDS), max_size=6).map(" ".join)
DOCUMENTS = st.lists(st.tuples(FIELD, FIELD), max_size=12)
QUERIES = st.recursive(
    st.sampled_from([*WORDS, "absent", "a-b", '"a b"', '"b a b"', '"c c"', "&", '"absent a"']),
    lambda inner: (
        st.tuples(inner, inner).map(lambda pair: f"({pair[0]} {pair[1]})")
        | st.tuples(inner, inner).map(lambda pair: f"({pair[0]} OR {pair[1]})")
        | inner.map(lambda one: f"NOT {one}")
    ),
    max_leaves=8,
)


def documents_of(texts):
    """Ordinals with gaps, each with the tokens of its fields."""
    return [(7 * n + 3, ANALYSE.many(fields)) for n, fields in enumerate(texts)]


def index_of(documents, *, positions=True, parts=1):
    """Postings by token as an index gives them: hashed, encoded in `parts` segments, decoded."""
    prf = TermPrf(Key.random())
    encoded = []
    for part in range(parts):
        chosen = documents[part::parts]
        batch, _, _ = keyword.postings(
            prf,
            [tokens for _, tokens in chosen],
            np.array([ordinal for ordinal, _ in chosen], dtype=np.int64),
            positions=positions,
        )
        encoded.append(lists.encode(batch))

    def lookup(token: str) -> TermPostings:
        word = keyword.words_for(prf, [token])[0]
        found: list[DecodedList] = []
        for segment in encoded:
            place = np.flatnonzero(segment.words == word)
            found += [keyword.read(segment.get(int(at))) for at in place]
        return TermPostings.from_lists(found)

    return lookup


def parsed(text):
    try:
        return parse(text, ANALYSE)
    except ProgrammingError:
        return None


@settings(max_examples=300, deadline=None)
@given(DOCUMENTS, QUERIES, st.integers(1, 3))
def test_index_and_plain_scan_agree(texts, text, parts):
    query = parsed(text)
    if query is None:
        return
    documents = documents_of(texts)
    lookup = index_of(documents, parts=parts)
    postings = {token: lookup(token) for token in query.terms}
    every = np.array([ordinal for ordinal, _ in documents], dtype=np.int64)
    universe = every if query.complemented else None

    found = evaluate(query, postings, universe)
    expected = [n for (n, _), fields in zip(documents, texts, strict=True) if plain(text, fields)]
    assert found.tolist() == expected
    assert matches_column(query, texts, ANALYSE).tolist() == [n in expected for n in every.tolist()]

    statistics = Statistics.count([tokens for _, tokens in documents], 2)
    ordinals, scores = search(query, postings, statistics, universe)
    assert list(zip(ordinals.tolist(), scores.tolist(), strict=True)) == search_plain(
        query, documents, 2
    )
    limited, _ = search(query, postings, statistics, universe, 2)
    assert limited.tolist() == ordinals.tolist()[:2]


def plain(text, fields):
    return matches_plain(text, fields, "none")


@settings(max_examples=100, deadline=None)
@given(DOCUMENTS, QUERIES)
def test_gathered_postings_are_those_of_the_index(texts, text):
    query = parsed(text)
    if query is None:
        return
    documents = documents_of(texts)
    lookup = index_of(documents)
    gathered, _ = gather(documents, 2)
    for token in query.terms:
        indexed, mine = lookup(token), gathered.get(token, NO_POSTINGS)
        for name in ("ordinals", "fields", "tf", "lengths"):
            assert getattr(indexed, name).tolist() == getattr(mine, name).tolist()
        if len(mine):
            assert indexed.positions.flat.tolist() == mine.positions.flat.tolist()


def test_a_phrase_stays_within_a_field():
    query = parse('"a b"', ANALYSE)
    assert matches(query, [["x", "a", "b"]])
    assert not matches(query, [["x", "a"], ["b"]])
    assert not matches(query, [["b", "a"]])
    documents = [(1, [["a"], ["b"]]), (2, [["b", "a", "b"], []]), (3, [["a", "x", "b"], ["a"]])]
    postings, _ = gather(documents, 2)
    assert evaluate(query, postings, None).tolist() == [2]


def test_a_phrase_without_positions_is_refused():
    lookup = index_of(documents_of([("a b", None)]), positions=False)
    query = parse('"a b"', ANALYSE)
    with pytest.raises(ProgrammingError) as caught:
        evaluate(query, {token: lookup(token) for token in query.terms}, None)
    assert caught.value.code == "E_NO_POSITIONS"


def test_the_universe_is_needed_for_a_complement_only():
    query = parse("-a", ANALYSE)
    postings, _ = gather([(1, [["a"]]), (5, [["b"]])], 1)
    assert evaluate(query, postings, np.array([1, 5, 9])).tolist() == [5, 9]
    with pytest.raises(ValueError, match="all documents"):
        evaluate(query, postings, None)


def test_only_live_postings_remain():
    postings, _ = gather([(1, [["a"]]), (5, [["a", "a"]]), (9, [["a"]])], 1)
    kept = postings["a"].only(lambda ordinals: ordinals != 5)
    assert kept.documents.tolist() == [1, 9]
    assert kept.positions.flat.tolist() == [0, 0]
    assert kept.only(lambda ordinals: ordinals > 0) is kept


def test_contains():
    assert contains(np.array([2, 4]), np.array([1, 2, 4, 9])).tolist() == [False, True, True, False]
    assert contains(np.zeros(0, dtype=np.int64), np.array([1])).tolist() == [False]


def test_scores_follow_the_formula():
    documents = [(1, [["x"], ["a", "a", "b"]]), (2, [["a"], ["b"] * 5]), (3, [[], ["c"]])]
    query = parse("a b -c", ANALYSE)
    postings, statistics = gather(documents, 2)
    assert statistics == Statistics(3, (2, 9))
    ordinals = evaluate(query, postings, None)
    assert ordinals.tolist() == [1, 2]

    def saturate(frequency):
        return frequency * (K1 + 1) / (frequency + K1)

    idf = math.log(1 + (3 - 2 + 0.5) / (2 + 0.5))
    body = [1 - B + B * 3 / 3, 1 - B + B * 5 / 3]
    expected = [
        idf * saturate(2 / body[0]) + idf * saturate(1 / body[0]),
        idf * saturate(1.0) + idf * saturate(5 / body[1]),
    ]
    assert bm25(query, postings, statistics, ordinals) == pytest.approx(expected, rel=1e-12)
    heavier = bm25(query, postings, statistics, ordinals, weights=[3.0, 1.0])
    assert heavier[0] == pytest.approx(expected[0])
    assert heavier[1] > expected[1]


def test_fields_add_up_before_they_saturate():
    documents = [(1, [["a"], ["a"]]), (2, [["a"], ["x"]]), (3, [["y"], ["z"]])]
    query = parse("a", ANALYSE)
    postings, statistics = gather(documents, 2)
    one, two = bm25(query, postings, statistics, np.array([1, 2]))
    assert two < one < 2 * two


def test_scores_survive_statistics_that_lag():
    postings, _ = gather([(n, [["a"]]) for n in range(5)], 1)
    scores = bm25(parse("a", ANALYSE), postings, Statistics(0, ()), np.arange(5))
    assert (scores > 0).all()


def test_negations_do_not_score():
    postings, statistics = gather([(1, [["a"]]), (2, [["b"]])], 1)
    query = parse("-a", ANALYSE)
    found, scores = search(query, postings, statistics, np.array([1, 2]))
    assert found.tolist() == [2]
    assert scores.tolist() == [0.0]


@given(st.lists(st.sampled_from([0.0, 1.0, 2.5]), max_size=20), st.integers(0, 25))
def test_best_is_a_stable_prefix(values, limit):
    scores, ordinals = np.array(values, dtype=np.float64), np.arange(len(values))[::-1].copy()
    order = sorted(range(len(values)), key=lambda n: (-values[n], ordinals[n]))
    assert best(scores, ordinals).tolist() == order
    assert best(scores, ordinals, limit).tolist() == order[:limit]
