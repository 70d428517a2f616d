from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexes.errors import IntegrityFailure
from indexes.multimap.batches import Ragged, SortedEntries
from indexes.multimap.delta import DeltaBody, decode_delta, delta_class, encode_delta
from indexes.multimap.postings import PostingBatch
from tests.indexes.multimap.models import VALUES, batches, rows_of

U64 = st.integers(0, 2**64 - 1)
ORDINAL_SETS = st.sets(st.one_of(st.integers(0, 40), st.integers(0, 2**62)), max_size=40).map(
    lambda found: np.array(sorted(found), dtype=np.int64)
)


@st.composite
def entries(draw):
    rows = draw(
        st.lists(st.tuples(U64, st.one_of(st.just(0), U64), st.integers(0, 2**62)), max_size=9)
    )
    keys = np.array([row[:2] for row in rows], dtype=np.uint64).reshape(-1, 2)
    values = None
    if draw(st.booleans()):
        values = Ragged.of([draw(VALUES) for _ in rows])
    return SortedEntries(keys, np.array([row[2] for row in rows], dtype=np.int64), values)


BODIES = st.builds(
    DeltaBody,
    incarnation=st.binary(min_size=16, max_size=16),
    catalog_version=st.integers(0, 2**40),
    catalog_hash=st.binary(min_size=32, max_size=32),
    txn=st.binary(min_size=16, max_size=16),
    prev=st.binary(min_size=32, max_size=32),
    epoch=st.integers(0, 2**40),
    chain=st.binary(min_size=32, max_size=32),
    seen=st.dictionaries(
        st.binary(min_size=16, max_size=16),
        st.tuples(st.integers(1, 2**40), st.binary(min_size=32, max_size=32)),
        max_size=3,
    ),
    siblings=st.lists(
        st.tuples(
            st.integers(0, 2**32 - 1),
            st.binary(min_size=16, max_size=16),
            st.integers(0, 9),
            st.integers(0, 9),
        ),
        max_size=3,
    ),
    added=ORDINAL_SETS,
    removed=ORDINAL_SETS,
    hashed=st.lists(batches(words=U64, max_size=12), max_size=3),
    sorted=st.dictionaries(st.integers(1, 2**31), entries(), max_size=3),
    stats=st.dictionaries(
        st.integers(1, 2**31),
        st.tuples(st.integers(-(2**40), 2**40), st.lists(st.integers(-(2**40), 2**40), max_size=4)),
        max_size=3,
    ),
)
EMPTY = DeltaBody(bytes(16), 1, bytes(32), bytes(16), bytes(32), 0, bytes(32))


def plain(body: DeltaBody) -> dict[str, object]:
    """A body as plain values, for comparison."""
    fields = {field.name: getattr(body, field.name) for field in dataclasses.fields(body)}
    fields["added"], fields["removed"] = body.added.tolist(), body.removed.tolist()
    fields["hashed"] = [(batch.shape, rows_of(batch)) for batch in body.hashed]
    fields["sorted"] = {
        index: (
            one.keys.tolist(),
            one.ordinals.tolist(),
            None if one.values is None else one.values.tolist(),
        )
        for index, one in body.sorted.items()
    }
    return fields


@given(BODIES)
def test_a_body_comes_back(body):
    data = encode_delta(body)
    assert plain(decode_delta(data)) == plain(body)
    assert len(data) == delta_class(len(data))
    assert body.postings == sum(map(len, body.hashed)) + sum(map(len, body.sorted.values()))


def test_arrays_have_their_declared_types():
    batch = PostingBatch.of(np.array([5], dtype=np.uint64), np.array([6]))
    one = SortedEntries(np.array([[1, 0]], dtype=np.uint64), np.array([6]))
    body = dataclasses.replace(EMPTY, added=np.array([6]), hashed=[batch], sorted={4: one})
    back = decode_delta(encode_delta(body))
    assert back.added.dtype == back.removed.dtype == back.hashed[0].ordinals.dtype == np.int64
    assert back.hashed[0].words.dtype == back.sorted[4].keys.dtype == np.uint64
    assert back.hashed[0].payload.dtype == np.uint32


def test_classes():
    assert [delta_class(n) for n in (1, 256, 257, 4096, 4097, 70_000)] == [
        256,
        256,
        512,
        4096,
        4352,
        73728,
    ]
    assert all(n <= delta_class(n) <= max(256, n * 17 / 16 + 256) for n in range(1, 200_000, 997))


def test_a_single_row_with_five_indexes_takes_one_small_class():
    rng = np.random.default_rng(1)
    ordinal = np.array([1_000_000])
    words = [rng.integers(0, 2**64, 1, dtype=np.uint64) for _ in range(3)]
    key = rng.integers(0, 2**64, (1, 2), dtype=np.uint64)
    body = dataclasses.replace(
        EMPTY,
        added=ordinal,
        hashed=[PostingBatch.of(word, ordinal) for word in words],
        sorted={1: SortedEntries(key, ordinal), 2: SortedEntries(key, ordinal)},
    )
    assert len(encode_delta(body)) <= 512


def test_a_long_run_of_ordinals_costs_nothing():
    assert len(encode_delta(dataclasses.replace(EMPTY, added=np.arange(10**6)))) == 256


@given(st.data())
def test_damage_is_an_integrity_failure_or_another_body(data):
    good = encode_delta(data.draw(BODIES))
    bad = bytearray(good)
    for _ in range(data.draw(st.integers(1, 3))):
        bad[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    try:
        decode_delta(bytes(bad))
    except IntegrityFailure:
        return


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d[:-256],
        lambda d: d + bytes(256),
        lambda d: d[:-1] + b"\1",
        lambda d: b"",
        lambda d: bytes(256),
    ],
)
def test_wrong_lengths_and_padding_are_refused(change):
    with pytest.raises(IntegrityFailure):
        decode_delta(change(encode_delta(dataclasses.replace(EMPTY, removed=np.arange(5) * 1000))))


@pytest.mark.parametrize(
    "change",
    [
        {"incarnation": b"short"},
        {"prev": b"short"},
        {"added": np.array([2, 1])},
        {"added": np.array([1, 1])},
        {"removed": np.array([-1])},
    ],
)
def test_bad_bodies_are_refused(change):
    with pytest.raises(ValueError):
        encode_delta(dataclasses.replace(EMPTY, **change))
