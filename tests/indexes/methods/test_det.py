from __future__ import annotations

import itertools
import math
import struct
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given

from indexes.errors import EncodingRefused
from indexes.keys import Key
from indexes.methods import det, equality
from indexes.prf import TermPrf
from indexes.types import ColumnType, Kind
from tests.indexes.columns import column_types, columns

parse = ColumnType.parse
KEY = Key(bytes(range(32)))
comparable = column_types.filter(lambda kind: kind.kind not in (Kind.JSON, Kind.INTERVAL))


def tags_of(array, kind, key=KEY):
    found, valid = det.tags(det.tag_prf(key, [kind]), [array], [kind])
    return [tag.tobytes() if there else None for tag, there in zip(found, valid, strict=True)]


def equal(one, two):
    """SQL equality of two plain values of one type; every NaN is one value."""
    if isinstance(one, float) and math.isnan(one):
        return math.isnan(two)
    return one == two


@given(columns(comparable))
def test_tags_are_equal_exactly_when_values_are(drawn):
    kind, items, array = drawn
    found = tags_of(array, kind)
    assert [tag is None for tag in found] == [item is None for item in items]
    known = [pair for pair in zip(found, items, strict=True) if pair[0] is not None]
    for (one, first), (two, second) in itertools.combinations(known, 2):
        assert (one == two) == equal(first, second)


def test_floats_and_texts_at_the_edges():
    zero, _, nan, other, smallest, _ = tags_of(
        pa.array(
            [
                0.0,
                -0.0,
                math.nan,
                struct.unpack("<d", b"\1" + bytes(5) + b"\xf0\xff")[0],
                5e-324,
                0.0,
            ]
        ),
        parse("DOUBLE"),
    )
    assert tags_of(pa.array([0.0, -0.0]), parse("DOUBLE")) == [zero, zero]
    assert nan == other
    assert len({zero, nan, smallest}) == 3
    # Texts are equal when their bytes are: no padding, no normalisation, no end at a NUL.
    texts = ["", "\0", "a", "a\0", "a ", "A", "é", "e\u0301"]
    assert len(set(tags_of(pa.array(texts), parse("TEXT")))) == len(texts)


def test_a_join_group_spans_the_sizes_of_a_type():
    for names in (("SMALLINT", "INTEGER", "BIGINT"), ("REAL", "DOUBLE"), ("TEXT", "VARCHAR(9)")):
        values = ["5"] if "TEXT" in names else [5]
        found = {tags_of(pa.array(values, parse(n).arrow), parse(n))[0] for n in names}
        assert len(found) == 1
        assert len({det.family(parse(name)) for name in names}) == 1


def test_other_types_never_meet():
    arrays = {
        "INTEGER": pa.array([5], pa.int32()),
        "DECIMAL(9,0)": pa.array([Decimal(5)], pa.decimal128(9, 0)),
        "DECIMAL(9,1)": pa.array([Decimal(5)], pa.decimal128(9, 1)),
        "DECIMAL(30,0)": pa.array([Decimal(5)], pa.decimal128(30, 0)),
        "DOUBLE": pa.array([5.0]),
        "TEXT": pa.array(["5"]),
        "BLOB": pa.array([b"5"]),
        "BOOLEAN": pa.array([True]),
        "DATE": pa.array([5], pa.int32()).cast(pa.date32()),
        "TIME": pa.array([5], pa.int64()).cast(pa.time64("us")),
        "TIMESTAMP": pa.array([5], pa.int64()).cast(pa.timestamp("us")),
        "TIMESTAMP WITH TIME ZONE": pa.array([5], pa.int64()).cast(pa.timestamp("us", "UTC")),
    }
    found = {tags_of(array, parse(name))[0] for name, array in arrays.items()}
    assert len(found) == len(arrays)


def test_keys_and_methods_are_apart():
    array, kind = pa.array([5], pa.int32()), parse("INTEGER")
    assert tags_of(array, kind) != tags_of(array, kind, Key.random())
    unique, _ = equality.tags(TermPrf(KEY), [array], [kind])
    assert tags_of(array, kind)[0] != unique.tobytes()


def test_columns_of_a_tuple_do_not_run_together():
    kinds = [parse("TEXT"), parse("TEXT")]
    prf = det.tag_prf(KEY, kinds)
    pairs = [("a", "bc"), ("ab", "c"), ("abc", ""), ("", "abc"), ("a\0", "bc"), ("bc", "a")]
    arrays = [pa.array([pair[side] for pair in pairs]) for side in (0, 1)]
    found, _ = det.tags(prf, arrays, kinds)
    assert len(np.unique(found, axis=0)) == len(pairs)
    one, _ = det.tags(det.tag_prf(KEY, kinds[:1]), arrays[:1], kinds[:1])
    assert not {row.tobytes() for row in one} & {row.tobytes() for row in found}


def test_tuples():
    kinds = [parse("TEXT"), parse("INTEGER")]
    arrays = [pa.array(["a", "a", None, "a"]), pa.array([1, 2, 1, 1], pa.int32())]
    found, valid = det.tags(det.tag_prf(KEY, kinds), arrays, kinds)
    assert valid.tolist() == [True, True, False, True]
    assert (found[0] == found[3]).all()
    assert (found[0] != found[1]).any()
    assert not np.any(found[2])


@pytest.mark.parametrize("name", ["JSON", "INTERVAL"])
def test_types_without_equality(name):
    with pytest.raises(EncodingRefused):
        det.family(parse(name))
