from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from indexes.folding import fold, moved
from indexes.keys import Key
from indexes.methods import substring
from indexes.prf import TermPrf

PRF = TermPrf(Key(bytes(32)))
LETTERS = "aAbBkK\u212aßẞ\u03c3\u03c2\u03a3 😀"
text = st.text(st.sampled_from(LETTERS), max_size=8)


def listed(values):
    """Words by row, for rows numbered 10, 20, …"""
    batch = substring.postings(PRF, pa.array(values, pa.string()), np.arange(len(values)) * 10 + 10)
    assert batch.payload.shape[1] == 0
    assert batch.positions is None
    found = [set() for _ in values]
    for word, ordinal in zip(batch.words.tolist(), batch.ordinals.tolist(), strict=True):
        assert word not in found[ordinal // 10 - 1]
        found[ordinal // 10 - 1].add(word)
    return found


def words(fragment, **anchors):
    return set(substring.words_of(PRF, substring.trigrams(fragment, **anchors)).tolist())


@given(st.lists(st.one_of(st.none(), text)), text)
@example(["abcdef", "xABCx", None, ""], "Abc")
@example(["a", "ab", "b"], "a")
def test_a_row_with_a_fragment_is_listed_under_all_of_its_trigrams(values, fragment):
    lists = listed(values)
    folded = fold(fragment)
    for value, has in zip(values, lists, strict=True):
        held = "" if value is None else fold(value)
        if value is not None and folded in held:
            assert words(fragment) <= has
        if value is not None and held.startswith(folded):
            assert words(fragment, begins=True) <= has
        if value is not None and held.endswith(folded):
            assert words(fragment, ends=True) <= has
        # A text of n code points has at most n trigrams, and it has one if it is not empty.
        assert min(len(held), 1) <= len(has) <= len(held)
        if value is not None and held == folded:
            assert words(fragment, begins=True, ends=True) == has


def test_fragments_that_are_too_short():
    assert substring.trigrams("ab") == []
    assert substring.trigrams("a", begins=True) == []
    assert substring.trigrams("", begins=True, ends=True) == []
    assert len(substring.trigrams("ab", begins=True)) == 1
    assert len(substring.trigrams("a", begins=True, ends=True)) == 1
    assert len(substring.trigrams("aaaa")) == 1


def test_letters_that_fold_alike_have_the_same_trigrams():
    for code, lowered in moved().items():
        for around in ("{}xy", "x{}y", "xy{}"):
            assert substring.trigrams(around.format(chr(code))) == substring.trigrams(
                around.format(chr(lowered))
            )


def test_the_mark_of_an_end_is_no_code_point():
    assert not set(substring.trigrams("ab", begins=True)) & set(substring.trigrams("\U0010ffffab"))
    assert not words("ab", begins=True) & words("ab", ends=True)


def test_terms_are_three_code_points_in_sixteen_bytes():
    term = np.array([[0, 0, 0, ord("k"), 0, 0, 0, 0xDF, 0, 1, 0xF6, 0, 0, 0, 0, 0]], dtype=np.uint8)
    assert words("Kẞ\U0001f600") == set(PRF.blocks(term).tolist())
    ends = np.array([[0, 0x11, 0, 0, 0, 0, 0, 0x61, 0, 0x11, 0, 1, 0, 0, 0, 0]], dtype=np.uint8)
    assert words("a", begins=True, ends=True) == set(PRF.blocks(ends).tolist())


@pytest.mark.parametrize("size", [1, 5, 7, 1000])
def test_texts_are_cut_a_slice_at_a_time(monkeypatch, size):
    values = ["", "abcdefgh", None, "abc", "xyz" * 9, "", "ab", "abcabcabc", "q"]
    whole = listed(values)
    monkeypatch.setattr(substring, "_SLICE", size)
    assert listed(values) == whole
    assert listed([]) == []
    assert listed([None]) == [set()]


@given(st.lists(st.integers(0, 40)), st.integers(2, 9))
def test_chosen_trigrams_are_spread(grams, most):
    found = substring.spread(grams, most)
    distinct = list(dict.fromkeys(grams))
    assert len(found) == len(set(found)) == min(most, len(distinct))
    assert [one for one in distinct if one in found] == found
    if len(distinct) > most:
        assert [found[0], found[-1]] == [distinct[0], distinct[-1]]
