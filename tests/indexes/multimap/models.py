"""Plain models and strategies that the tests of the multimap share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from hypothesis import strategies as st

from indexes.multimap.batches import MAX_VALUE
from indexes.multimap.postings import (
    EncodedLists,
    Positions,
    PostingBatch,
    Ragged,
    decode,
    encode_batches,
)

SMALL_WORDS = st.integers(0, 12).map(lambda n: n * 0x1234_5678_9ABC_DEF1 % 2**64)
ORDINALS = st.one_of(st.integers(0, 300), st.integers(0, 2**40))
POSITION_LISTS = st.lists(st.integers(0, 2**20), max_size=4).map(sorted)

VALUES = st.one_of(
    st.binary(max_size=9),
    st.text(max_size=6).map(str.encode),
    st.integers(0, MAX_VALUE).map(lambda size: bytes([size & 0xFF]) * size),
)

# One posting is (word, ordinal, payload tuple, positions tuple or None, value or None).
Posting = tuple[int, int, tuple[int, ...], tuple[int, ...] | None, bytes | None]


def batch_of(
    rows: Sequence[Posting], columns: int, *, positions: bool, values: bool = False
) -> PostingBatch:
    kept = None
    if positions:
        sizes = [len(row[3] or ()) for row in rows]
        flat = [p for row in rows for p in row[3] or ()]
        offsets = np.concatenate(([0], np.cumsum(sizes))).astype(np.int64)
        kept = Positions(np.array(flat, dtype=np.uint32), offsets)
    return PostingBatch(
        np.array([row[0] for row in rows], dtype=np.uint64),
        np.array([row[1] for row in rows], dtype=np.int64),
        np.array([row[2] for row in rows], dtype=np.uint32).reshape(len(rows), columns),
        kept,
        Ragged.of([row[4] or b"" for row in rows]) if values else None,
    )


def rows_of(batch: PostingBatch) -> list[Posting]:
    """The postings of a batch as plain tuples."""
    result: list[Posting] = []
    values = [None] * len(batch) if batch.values is None else batch.values.tolist()
    for i in range(len(batch)):
        places = None
        if batch.positions is not None:
            begin, end = batch.positions.offsets[i : i + 2].tolist()
            places = tuple(batch.positions.flat[begin:end].tolist())
        payload = tuple(batch.payload[i].tolist())
        word, ordinal = int(batch.words[i]), int(batch.ordinals[i])
        result.append((word, ordinal, payload, places, values[i]))
    return result


def model_of(lists: EncodedLists) -> Counter[Posting]:
    """All postings, decoded list by list; also checks that lists are sorted and words unique."""
    words = lists.words.tolist()
    assert words == sorted(set(words))
    result: Counter[Posting] = Counter()
    for i, word in enumerate(words):
        one = decode(lists.get(i))
        assert one.ordinals.tolist() == sorted(one.ordinals.tolist())
        same = np.full(len(one.ordinals), word, dtype=np.uint64)
        batch = PostingBatch(same, one.ordinals, one.payload, one.positions, one.values)
        result.update(rows_of(batch))
    return result


@st.composite
def batches(draw, words=SMALL_WORDS, max_size=40):
    """A batch of some shape, and its postings."""
    columns = draw(st.integers(0, 3))
    positions = draw(st.booleans())
    value = st.one_of(st.integers(0, 130), st.integers(0, 2**32 - 1))
    payload = st.tuples(*[value] * columns)
    places = POSITION_LISTS.map(tuple) if positions else st.none()
    values = draw(st.booleans())
    kept = VALUES if values else st.none()
    rows = draw(st.lists(st.tuples(words, ORDINALS, payload, places, kept), max_size=max_size))
    return batch_of(rows, columns, positions=positions, values=values)


def simple_lists(content: dict[int, Sequence[int]]) -> EncodedLists:
    """Lists without payload: word to ordinals."""
    words = [w for w, ordinals in content.items() for _ in ordinals]
    ordinals = [o for found in content.values() for o in found]
    return encode_batches(
        [PostingBatch.of(np.array(words, dtype=np.uint64), np.array(ordinals, dtype=np.int64))]
    )
