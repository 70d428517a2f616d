"""Patterns stand for exactly the terms that a plain model says."""

from __future__ import annotations

import fnmatch
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from encdb.errors import ProgrammingError
from proxy.search import plain
from proxy.search.analysis import analyser
from proxy.search.patterns import MOST_TERMS, distances, every_term
from proxy.search.query import And, Not, Or, Similar, Term, parse

ENGLISH, PLAIN = analyser(), analyser("none")


def pattern(text, analyse=PLAIN):
    (found,) = parse(text, analyse).patterns
    return found


def edits(one, two):
    """Optimal string alignment, from its recursion."""
    table = {(i, 0): i for i in range(len(one) + 1)} | {(0, j): j for j in range(len(two) + 1)}
    for i in range(1, len(one) + 1):
        for j in range(1, len(two) + 1):
            best = min(
                table[i - 1, j] + 1,
                table[i, j - 1] + 1,
                table[i - 1, j - 1] + (one[i - 1] != two[j - 1]),
            )
            if i > 1 and j > 1 and one[i - 1] == two[j - 2] and one[i - 2] == two[j - 1]:
                best = min(best, table[i - 2, j - 2] + 1)
            table[i, j] = best
    return table[len(one), len(two)]


words = st.text("abcä日", min_size=1, max_size=7)


@given(words, st.lists(words, max_size=12), st.integers(1, 2))
def test_distances(word, tokens, most):
    found = distances(word, tokens, most)
    for token, distance in zip(tokens, found.tolist(), strict=True):
        assert min(edits(word, token), most + 1) == min(distance, most + 1)


@given(
    st.text("ab*?", min_size=2, max_size=8),
    st.lists(st.text("abc", min_size=1, max_size=6), max_size=10),
)
def test_wildcards(text, tokens):
    try:
        found = parse(text, PLAIN)
    except ProgrammingError:
        return
    if not found.patterns:
        return
    shape = text if text.endswith("*") else text.rstrip("?")
    wanted = [token for token in tokens if fnmatch.fnmatchcase(token, shape)]
    assert found.patterns[0].among(tokens) == wanted
    assert [token for token in tokens if found.patterns[0].matches(token)] == wanted
    for token in wanted:
        assert token.startswith(found.patterns[0].prefix)


def test_what_is_a_pattern_and_what_is_not():
    assert parse("kern* k?rn*l *nel kernal~1 kernal~2 kernal~", PLAIN).root == And(
        tuple(
            Similar(pattern(text))
            for text in ("kern*", "k?rn*l", "*nel", "kernal~1", "kernal~2", "kernal~1")
        )
    )
    for text in ("does it work?", "why ?? * really", "a ~ b", "~1 a", '"kern * x?"', "2*", "C:\\*"):
        try:
            found = parse(text, PLAIN)
        except ProgrammingError as error:
            assert text == "2*", error  # noqa: PT017 - too short is the one complaint
            continue
        assert found.patterns == ()
    assert parse("-kern* OR (linux AND k?rnel)", PLAIN).root == Or(
        (
            Not(Similar(pattern("kern*"))),
            And((Term("linux"), Similar(pattern("k?rnel")))),
        )
    )


def test_letters_are_folded_and_a_prefix_finds_its_stem():
    assert pattern("KERN*").shape == "kern*"
    assert pattern("ÄRZ*").shape == "ärz*"
    assert pattern("stra\u00dfe*").shape == "strasse*"
    assert pattern("cafe\u0301*").shape == "café*"
    running = pattern("running*", ENGLISH)
    assert running.among(["run", "runner", "running", "runningmate"]) == [
        "run",
        "running",
        "runningmate",
    ]
    assert pattern("runing~1", ENGLISH).among(["run", "rune", "runs"]) == ["run", "rune", "runs"]


def test_hostile_patterns_take_no_time():
    token = "a" * 128
    assert not pattern("*a" * 40 + "b").matches(token)
    assert pattern("*a" * 40).matches(token)
    assert not pattern("a?" * 60 + "z*").matches(token)


def test_a_pattern_of_too_many_terms_is_refused():
    tokens = [f"term{number}" for number in range(MOST_TERMS + 1)]
    with pytest.raises(ProgrammingError, match="more than 1,024 terms") as caught:
        every_term([pattern("term*")], tokens)
    assert caught.value.code == "E_MATCH_TOO_MANY"
    assert caught.value.sqlstate == "54000"
    assert len(every_term([pattern("term*")], tokens[1:])["term*"]) == MOST_TERMS


def test_a_hundred_thousand_terms():
    pick = random.Random(1)
    tokens = ["".join(pick.choices("abcdefghij", k=pick.randrange(3, 14))) for _ in range(100_000)]
    near = pattern("abcdef~2").among(tokens)
    sample = pick.sample(tokens, 2_000)
    assert [t for t in sample if t in set(near)] == [t for t in sample if edits("abcdef", t) <= 2]


def test_plain_search_ranks_a_pattern_as_one_term():
    documents = [
        (0, [["kernel", "kernel", "x"]]),
        (1, [["kern", "kernels", "y"]]),
        (2, [["corn", "z", "z"]]),
    ]
    found = dict(plain.search_plain(parse("kern*", PLAIN), documents, 1))
    assert found.keys() == {0, 1}
    assert np.isclose(found[0], found[1])
    assert [one for one, _ in plain.search_plain(parse("-kern*", PLAIN), documents, 1)] == [2]
    assert plain.search_plain(parse("none*", PLAIN), documents, 1) == []
