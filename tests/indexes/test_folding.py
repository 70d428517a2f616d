"""Letter case is folded as the local engine folds it, code point by code point."""

from __future__ import annotations

from itertools import pairwise

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexes import folding

EVERY = [code for code in range(1, folding.CODE_POINTS) if not 0xD800 <= code <= 0xDFFF]
CASED = sorted({*folding.moved(), *folding.moved().values()})


@pytest.fixture(scope="module")
def engine():
    with duckdb.connect(":memory:", config={"threads": 1}) as connection:
        yield connection


def test_every_code_point_is_folded_as_the_engine_does(engine):
    text = "".join(map(chr, EVERY))
    (lowered,) = engine.execute("SELECT lower(?)", [text]).fetchone()
    assert folding.fold(text) == lowered
    codes = np.array(EVERY, dtype=np.uint32)
    assert "".join(map(chr, folding.fold_codes(codes).tolist())) == lowered


def test_code_points_match_without_regard_to_case_exactly_if_they_fold_alike(engine):
    # Every code point that any case mapping of Python's changes, and what they become.
    related = {
        one
        for code in EVERY
        for mapped in (str.lower, str.upper, str.title, str.casefold)
        if mapped(chr(code)) != chr(code)
        for one in chr(code) + mapped(chr(code))
    }
    letters = sorted(related | set(map(chr, CASED)))
    engine.execute(
        "CREATE TABLE letters AS SELECT unnest(?) AS one, unnest(?) AS folded",
        [letters, [*map(folding.fold, letters)]],
    )
    found = engine.execute(
        "SELECT count(*), count(*) FILTER (WHERE (a.one ILIKE b.one) <> (a.folded = b.folded)) "
        "FROM letters a, letters b"
    ).fetchone()
    assert found == (len(letters) ** 2, 0)
    assert len(letters) > 2_700


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("\u212aelvin", "kelvin"),  # The Kelvin sign.
        (
            "İI\u0131i",
            "ii\u0131i",
        ),  # The dotted capital has the mapping of the simple table, of one code point.
        ("ẞß", "ßß"),
        ("\u03a3\u0391\u03a3", "\u03c3\u03b1\u03c3"),  # No final sigma is made, …
        ("\u03b1\u03c2", "\u03b1\u03c2"),  # … and none is changed.
        ("Ⓐꭰᲀ", "ⓐꭰᲀ"),
        ("ǅ", "ǆ"),
    ],
)
def test_odd_letters(engine, text, folded):
    assert folding.fold(text) == folded
    assert engine.execute("SELECT lower(?)", [text]).fetchone() == (folded,)


def test_folding_is_final():
    assert not set(folding.moved().values()) & set(folding.moved())


texts = st.lists(
    st.one_of(
        st.none(),
        st.text(max_size=6),
        st.text(st.sampled_from([chr(c) for c in CASED]), max_size=6),
    )
)


@given(texts, st.integers(0, 3))
def test_a_column_is_folded_text_by_text(values, skipped):
    array = pa.array(values, pa.string())[skipped:]
    folded = folding.fold_column(array)
    assert folded.type == pa.string()
    folded.validate(full=True)
    assert folded.to_pylist() == [
        None if one is None else folding.fold(one) for one in values[skipped:]
    ]


@given(st.lists(st.text(max_size=5)))
def test_code_points_of_a_column(values):
    codes, bounds = folding.code_points(pa.array(["skipped", *values], pa.string())[1:])
    assert bounds.tolist()[0] == 0
    found = [codes[a:b].tolist() for a, b in pairwise(bounds)]
    assert found == [[ord(one) for one in value] for value in values]


@given(
    st.text(st.sampled_from("1-aKkß\u212a\u017f中")), st.text(st.sampled_from("1-aAKkß\u212a中"))
)
def test_texts_that_fold_to_the_same_share_what_is_rigid(one, other):
    prefix = folding.rigid_prefix(one)
    assert one.startswith(prefix)
    if folding.fold(other).startswith(folding.fold(one)):
        assert other.startswith(prefix)
    assert folding.rigid_prefix(one + "a") == folding.rigid_prefix(one)
    assert all(ord(letter) not in CASED for letter in prefix)
    if prefix != one:
        assert ord(one[len(prefix)]) in CASED
