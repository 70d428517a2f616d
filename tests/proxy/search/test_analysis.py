"""Text to tokens."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from whoosh.analysis import LowercaseFilter, RegexTokenizer, StemFilter
from whoosh.lang.snowball import EnglishStemmer

from encdb.errors import ProgrammingError
from proxy.search.analysis import (
    LANGUAGES,
    MAX_TOKEN_BYTES,
    Analyser,
    Analysis,
    analyse,
    analyser,
)

ANY_TEXT = st.text(st.characters(codec=None), max_size=60)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("The kernels were running", ["the", "kernel", "were", "run"]),
        ("foo-bar foo_bar a.b@c", ["foo", "bar", "foo", "bar", "a", "b", "c"]),
        ("John's James\u2019S let\uff07s", ["john", "jame", "let"]),
        ("O'Reilly don't", ["o", "reilli", "don", "t"]),
        ("CAFÉ cafe\u0301 STRASSE straße", ["café", "café", "strass", "strass"]),
        ("\uff2c\uff29\uff2e\uff35\uff38 ﬁne Ⅳ x² ½", ["linux", "fine", "iv", "x2", "1", "2"]),
        ("soft\u00adhyphen zero\u200bwidth", ["softhyphen", "zero", "width"]),
        ("日本語テスト", ["日", "本", "語", "テスト"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("3.14 10.0.0.1", ["3", "14", "10", "0", "0", "1"]),
        ("", []),
        ("\ud800 *** __ \0", []),
        ("\u0301x", ["x"]),
    ],
)
def test_tokens(text, tokens):
    assert analyse(text) == tokens


def test_a_language_changes_the_stems():
    assert analyse("running", "none") == ["running"]
    assert analyse("l'homme mangeait", "french") == ["l", "homm", "mang"]
    assert analyse("Häusern", "german") == ["haus"]


def test_stems_are_the_stored_ones():
    """These stems lie in stores: a change of the stemmer must not go unnoticed."""
    text = "generously universities organization internal happily consistency evenings skies"
    expected = "generous univers organ intern happili consist even sky"
    assert " ".join(analyse(text)) == expected


def test_stop_words_leave_no_gap():
    assert analyse("the state of the art", stopwords=True) == ["state", "art"]
    assert analyse("the state of the art") == ["the", "state", "of", "the", "art"]


def test_a_long_token_is_cut_to_whole_characters():
    for text in ("x" * 500, "é" * 500, "語" + "ー" * 500, "x" * 127 + "é"):
        for token in analyse(text, "none"):
            assert len(token.encode()) <= MAX_TOKEN_BYTES
    assert analyse("x" * 500, "none") == analyse("x" * 128, "none") == ["x" * 128]


@given(ANY_TEXT, st.sampled_from([*LANGUAGES, "none"]))
def test_tokens_of_any_text_are_short_valid_and_stable(text, language):
    tokens = analyse(text, language)
    for token in tokens:
        assert token
        assert len(token.encode()) <= MAX_TOKEN_BYTES
    assert analyse(text, language) == tokens
    # A remembered word gives what a fresh analyser gives.
    fresh = Analyser(language, analyser(language)._words._stem, frozenset())
    assert fresh(text) == tokens


@given(st.text(st.characters(codec="ascii"), max_size=60))
def test_both_paths_agree_on_ascii(text):
    """A text that is not ASCII takes another expression; the words around must not change."""
    assert analyse(text) == analyse(text + " \u00bf ")


@given(st.text("abcdefgRSTNING \n.,;-", max_size=80))
def test_it_is_what_whoosh_does_with_the_same_parts(text):
    chain = (
        RegexTokenizer(r"[^\W_]+") | LowercaseFilter() | StemFilter(stemfn=EnglishStemmer().stem)
    )
    assert analyse(text) == [token.text for token in chain(text)]


@given(ANY_TEXT, ANY_TEXT)
def test_texts_are_independent_of_their_neighbours(left, right):
    assert analyse(f"{left}\n{right}") == analyse(left) + analyse(right)


def test_many():
    assert analyser().many(["cats", None, ""]) == [["cat"], [], []]


def test_hostile_texts_take_linear_time():
    started = time.monotonic()
    analyse("a" + "\u0301\u0316" * 500_000)
    analyse("x" * 1_000_000)
    analyse("'s" * 500_000)
    analyse("日\u0301" * 300_000)
    analyse("\ufdfa" * 300_000)
    assert time.monotonic() - started < 20


def test_memory_is_bounded():
    analyse_ = Analyser("none", str, frozenset())
    analyse_(" ".join(f"w{n}" for n in range(300_000)))
    assert len(analyse_._words) <= 1 << 18


def test_options():
    assert Analysis.from_options([]) == Analysis("english", stopwords=False, positions=False)
    options = [("LANGUAGE", "German"), ("stopwords", "on"), ("positions", "TRUE")]
    analysis = Analysis.from_options(options)
    assert analysis == Analysis("german", stopwords=True, positions=True)
    assert Analysis.from_options(analysis.to_options()) == analysis
    assert Analysis(language="none").analyser is analyser("none")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ([("langage", "english")], "langage"),
        ([("language", "englsh")], "english"),
        ([("positions", "perhaps")], "perhaps"),
        ([("stopwords", "on"), ("language", "romanian")], "romanian"),
        ([("stopwords", "on"), ("language", "none")], "none"),
    ],
)
def test_unknown_options_are_refused_by_name(options, named):
    with pytest.raises(ProgrammingError, match=named) as caught:
        Analysis.from_options(options)
    assert caught.value.code == "E_UNKNOWN_OPTION"
