"""What a condition reaches in the order of a column, against the condition itself."""

from __future__ import annotations

from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexes.folding import fold
from indexes.methods import range as range_method
from indexes.types import ColumnType
from proxy.execute.reach import Reaching
from proxy.sql.predicates import (
    And,
    Between,
    Equals,
    Folded,
    In,
    Like,
    Literal,
    Or,
)
from tests.proxy.sql.harness import holds

WORD = 77
LONG = "sixteen bytes ab"
TEXTS = (
    "",
    "a",
    "A",
    "ab",
    "aB",
    "abc",
    "b",
    "k",
    "\u212a",
    LONG,
    LONG + "A",
    LONG + "b",
    LONG[:8],
    LONG[:8] + "z",
    "\U0010ffff",
)
VALUES = {
    "INTEGER": tuple(range(-3, 5)),
    "DOUBLE": (-1.5, -0.0, 0.0, 0.5, 2.0, float("inf"), float("-inf")),
    "DECIMAL(30,2)": tuple(Decimal(n) / 4 for n in (-9, -1, 0, 1, 2, 3, 2**70)),
    "TEXT": TEXTS,
}  # fmt: skip


def conditions(values, texts):
    """Conditions on column 1, the ordered one, and on column 2."""
    literal = st.sampled_from(values).map(Literal)
    end = st.one_of(st.none(), literal)
    strict = st.booleans()
    atom = st.one_of(
        st.builds(Between, st.just(1), end, strict, end, strict),
        st.builds(Between, st.just(1), literal, strict, st.none(), strict),
        st.builds(Equals, st.just(1), literal),
        st.builds(In, st.just(1), st.lists(literal, min_size=1, max_size=3).map(tuple)),
        st.builds(Equals, st.just(2), literal),
    )
    if texts:
        pieces = st.lists(st.sampled_from([one for one in values if one]), min_size=1, max_size=2)
        anchors = st.sampled_from([(True, False), (False, True), (False, False)])
        like = st.builds(
            lambda pieces, anchors: Like(1, tuple(pieces), anchors[0], anchors[1]), pieces, anchors
        )
        atom = st.one_of(
            atom, like, like.map(Folded), atom.filter(lambda one: one.column == 1).map(Folded)
        )
    return st.recursive(
        atom,
        lambda inner: st.one_of(
            st.lists(inner, min_size=1, max_size=3).map(lambda parts: And(tuple(parts))),
            st.lists(inner, min_size=1, max_size=3).map(lambda parts: Or(tuple(parts))),
        ),
        max_leaves=5,
    )


@pytest.mark.parametrize("name", VALUES)
@settings(max_examples=40)
@given(data=st.data())
def test_rows_lie_in_the_outer_span_and_fill_the_inner_one(name, data):
    kind, values = ColumnType.parse(name), VALUES[name]
    folded = name == "TEXT" and data.draw(st.booleans())
    predicate = data.draw(conditions(values, name == "TEXT"))
    descending = data.draw(st.booleans())
    found = Reaching(1, kind, folded=folded).of(predicate, descending=descending)
    if found is None:
        return
    assert not holds(predicate, {1: None, 2: None}, ())
    under = found.under(WORD)
    keys, _ = range_method.keys(pa.array(values, kind.arrow), kind, folded=folded)
    for value, (high, low) in zip(values, keys.tolist(), strict=True):
        for other in (None, values[0], values[-1]):
            true = holds(predicate, {1: value, 2: other}, ())
            assert not true or inside((high, low), found.outer)
            assert true or not inside((high, low), found.inner)
            if under is not None:
                assert not true or inside((WORD, high), under.outer)
                assert true or not inside((WORD, high), under.inner)


def inside(key, span):
    low, high = span
    return (low is None or key >= low) and (high is None or key <= high)


def reach(predicate, kind="INTEGER", *, descending=False, folded=False):
    return Reaching(1, ColumnType.parse(kind), folded=folded).of(predicate, descending=descending)


def bound(value, **strict):
    return Between(1, low=Literal(value), **strict)


def test_what_is_read_in_order():
    after = Or((bound(5, low_inclusive=False), And((Equals(1, Literal(5)), Equals(2, Literal(1))))))
    assert reach(after) is not None
    assert reach(after, descending=True) is not None
    assert reach(And((bound(5), after))) is not None
    assert reach(And((bound(1), Between(1, high=Literal(9))))) is not None
    # All rows from 1 to 5 would be passed over, unless the greatest come first.
    late = And((bound(1), Or((bound(5), Equals(2, Literal(1))))))
    assert reach(late) is None
    assert reach(late, descending=True) is not None
    # Nothing is known of rows beside them, or of rows without a value.
    assert reach(And((bound(5), Equals(2, Literal(1))))) is None
    assert reach(Or((bound(5), Equals(2, Literal(1))))) is None
    assert reach(Between(1, low=Literal(5), high=Literal(4))) is None
    assert reach(Folded(bound("a")), "TEXT") is None
    assert reach(bound("a"), "TEXT", folded=True) is None
    assert reach(Folded(bound("a")), "TEXT", folded=True) is not None
    assert reach(Like(1, ("ab",), begins=True, ends=False), "TEXT") is not None
    assert reach(Like(1, ("ab",), begins=False, ends=True), "TEXT") is None
    assert reach(Like(1, ("ab", "c"), begins=True, ends=False), "TEXT") is None


def test_texts_that_share_a_key_with_a_bound_are_not_counted():
    found = reach(bound(LONG + "A"), "TEXT")
    high, low = found.outer[0]
    assert found.inner[0] == (high, low + 1)
    assert found.outer[1] is found.inner[1] is None
    assert fold(LONG) == LONG
    assert found.under(WORD).inner == ((WORD, high + 1), (WORD, 2**64 - 1))
