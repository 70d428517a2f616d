from __future__ import annotations

import datetime as dt
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexes.encoding import term_bytes
from indexes.errors import EncodingRefused
from indexes.keys import Key
from indexes.methods import equality
from indexes.prf import TermPrf
from indexes.types import ColumnType, Kind

PRF = TermPrf(Key(bytes(32)))
TEXT, INTEGER, DOUBLE = ColumnType(Kind.TEXT), ColumnType(Kind.INTEGER), ColumnType(Kind.DOUBLE)


def column(values, kind):
    return pa.array(values, kind.arrow)


@given(st.lists(st.one_of(st.none(), st.integers(-5, 5), st.integers(-(2**31), 2**31 - 1))))
def test_words_of_numbers_are_equal_exactly_for_equal_values(values):
    words, valid = equality.words(PRF, [column(values, INTEGER)], [INTEGER])
    tags, tags_valid = equality.tags(PRF, [column(values, INTEGER)], [INTEGER])
    assert valid.tolist() == tags_valid.tolist() == [value is not None for value in values]
    for kept in (words.tolist(), [tag.tobytes() for tag in tags]):
        pairs = {(v, w) for v, w in zip(values, kept, strict=True) if v is not None}
        assert len(pairs) == len({v for v, _ in pairs}) == len({w for _, w in pairs})
    assert not words[~valid].any()
    assert not tags[~valid].any()


@given(st.lists(st.one_of(st.none(), st.text(max_size=3), st.text())))
def test_words_of_texts_are_those_of_their_terms(values):
    array = column(values, TEXT)
    words, valid = equality.words(PRF, [array], [TEXT])
    terms = term_bytes([array], [TEXT])
    assert valid.tolist() == [term is not None for term in terms]
    expected = PRF.items([term for term in terms if term is not None])
    assert words[valid].tolist() == expected.tolist()
    tags, _ = equality.tags(PRF, [array], [TEXT])
    assert (tags[valid] == PRF.tag_items([t for t in terms if t is not None])).all()


@given(
    st.lists(
        st.tuples(
            st.one_of(st.none(), st.text("ab", max_size=2)), st.one_of(st.none(), st.integers(0, 2))
        )
    )
)
def test_composite_words_need_every_column(rows):
    arrays = [column([r[0] for r in rows], TEXT), column([r[1] for r in rows], INTEGER)]
    words, valid = equality.words(PRF, arrays, [TEXT, INTEGER])
    tags, tags_valid = equality.tags(PRF, arrays, [TEXT, INTEGER])
    assert valid.tolist() == tags_valid.tolist() == [None not in row for row in rows]
    whole = [row for row in rows if None not in row]
    pairs = set(zip(whole, words[valid].tolist(), [t.tobytes() for t in tags[valid]], strict=True))
    assert (
        len(pairs)
        == len(set(whole))
        == len({w for _, w, _ in pairs})
        == len({t for *_, t in pairs})
    )


def test_parts_of_a_tuple_do_not_run_together():
    arrays = [column(["a", "ab"], TEXT), column(["bc", "c"], TEXT)]
    words, _ = equality.words(PRF, arrays, [TEXT, TEXT])
    assert words[0] != words[1]


def test_sql_equality_decides():
    floats = column([0.0, -0.0, float("nan"), -float("nan")], DOUBLE)
    words, _ = equality.words(PRF, [floats], [DOUBLE])
    assert words[0] == words[1]
    assert words[2] == words[3] != words[0]
    decimal = ColumnType(Kind.DECIMAL, 10, 2)
    words, _ = equality.words(PRF, [column([Decimal(1), Decimal("1.00")], decimal)], [decimal])
    assert words[0] == words[1]
    texts = column(["\u00e9", "e\u0301"], TEXT)
    words, _ = equality.words(PRF, [texts], [TEXT])
    assert words[0] != words[1]


def test_sliced_and_empty_arrays():
    array = column(["x", "a", None, "b", "a"], TEXT)
    words, valid = equality.words(PRF, [array.slice(1, 4)], [TEXT])
    assert valid.tolist() == [True, False, True, True]
    assert words[0] == words[3] != words[2]
    for kind in (TEXT, INTEGER):
        words, valid = equality.words(PRF, [column([], kind)], [kind])
        assert len(words) == len(valid) == 0
    dates = ColumnType(Kind.DATE)
    words, valid = equality.words(PRF, [column([dt.date(2020, 1, 1), None], dates)], [dates])
    assert valid.tolist() == [True, False]
    assert words.dtype == np.uint64


@pytest.mark.parametrize("kind", [Kind.JSON, Kind.INTERVAL])
def test_types_without_equality_are_refused(kind):
    column_type = ColumnType(kind)
    with pytest.raises(EncodingRefused):
        equality.words(PRF, [pa.nulls(1, column_type.arrow)], [column_type])
