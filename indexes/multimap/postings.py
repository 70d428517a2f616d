"""Posting lists: batches encoded into one list per word, and lists of many sources joined.

`coding` has the bytes of a list, `batches` the arrays; this module re-exports what users of posting lists
need of both.

What it leaks: nothing by itself. Lists are stored in sealed pages; their encoded length decides how
many pages a term occupies, which `hashed` pads to classes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from indexes.multimap.arrays import offsets_of
from indexes.multimap.batches import (
    DecodedList,
    EncodedLists,
    Live,
    Positions,
    PostingBatch,
    Ragged,
    Shape,
    widest,
)
from indexes.multimap.coding import counts, decode, encode, explode, explode_indexed

__all__ = [
    "DecodedList",
    "EncodedLists",
    "Live",
    "Positions",
    "PostingBatch",
    "Ragged",
    "combine",
    "counts",
    "decode",
    "encode",
    "encode_batches",
    "explode",
    "explode_indexed",
    "merge",
]


def encode_batches(batches: Iterable[PostingBatch]) -> EncodedLists:
    """Encodes batches of any shapes together, such as the postings of many deltas."""
    shapes: dict[Shape, list[PostingBatch]] = {}
    for batch in batches:
        if len(batch):
            shapes.setdefault(batch.shape, []).append(batch)
    return combine([encode(PostingBatch.join(group)) for group in shapes.values()])


def merge(sources: Iterable[EncodedLists], live: Live | None = None) -> EncodedLists:
    """All postings of all sources whose ordinal is live; lists that become empty vanish.

    Args:
        sources: lists of segments and of encoded deltas; a word may occur in several.
        live: which ordinals to keep; None keeps everything.
    """
    batches = []
    for source in sources:
        found = explode(source)
        batches += found if live is None else [batch.where(live(batch.ordinals)) for batch in found]
    return encode_batches(batches)


def combine(parts: Sequence[EncodedLists]) -> EncodedLists:
    """Joins lists of different shapes into one ascending set.

    A word that occurs in several parts (two indexes colliding in 64 bits, with probability below
    n² / 2⁶⁵) is widened to the largest shape with zeros, empty positions and empty values, and encoded as
    one list. A reader without use for the extra columns ignores them, a keyword reader ignores postings
    whose term frequency is 0, and a reader of values those whose value is empty.
    """
    parts = [part for part in parts if len(part)]
    if not parts:
        return EncodedLists.empty()
    if len(parts) == 1:
        return parts[0]
    words = np.concatenate([part.words for part in parts])
    sizes = np.concatenate([np.diff(part.offsets) for part in parts])
    joined = EncodedLists(words, np.concatenate([part.data for part in parts]), offsets_of(sizes))
    order = np.argsort(words, kind="stable")
    ascending = words[order]
    same = ascending[1:] == ascending[:-1]
    if not same.any():
        return joined.take(order)
    clash = np.concatenate(([False], same)) | np.concatenate((same, [False]))
    batches = explode(joined.take(order[clash]))
    shape = widest(batch.shape for batch in batches)
    merged = encode(PostingBatch.join([batch.widen(shape) for batch in batches]))
    return combine([joined.take(order[~clash]), merged])
