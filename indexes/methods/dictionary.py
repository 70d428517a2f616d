"""Term dictionaries: the distinct terms of a keyword index in their own order, for patterns such as ``kern*``.

A dictionary is kept as sorted entries beside the index's posting lists: key the first 16 bytes of a term in
UTF-8, filled up with zeros; value the term; ordinal 0, for an entry belongs to no row. So terms that begin alike
lie side by side, and the fences of a sorted segment lead to them (as the terms of a B-tree dictionary do:
Zobel, Moffat, Ramamohanarao, ACM TODS 23(4), 1998). Terms of more than 16 bytes that agree in those share a key
and stand in no order among themselves. An entry may outlive the rows that had its term, which harms nothing: its
posting list gives no row.

What it leaks. At rest: about how many distinct terms there are, as the page count of its segments, and with each
transaction about how many distinct terms that has. On a query: of a prefix, which pages of the dictionary
are read, in aligned groups of 4, so that a store learns the order of the pages from many prefixes; of any other
pattern, that the whole of it is read, once until a merge. Then the lists of the terms found are looked up
as `indexes.methods.keyword` says: how many terms a pattern stands for shows, and the length class of each list.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
import pyarrow as pa

from indexes.buffers import wrap
from indexes.errors import EncodingRefused, IntegrityFailure
from indexes.multimap.arrays import U64, put_ranges, take_ranges
from indexes.multimap.batches import Ragged, SortedEntries
from indexes.multimap.sorted_pages import Bound

KEY_BYTES: Final = 16
"""Bytes of a term that its key has."""


def entries(terms: Iterable[str]) -> SortedEntries:
    """The entries of distinct terms, with values.

    Raises:
        EncodingRefused: a term that is not valid Unicode, or of more than 2,048 bytes.
    """
    try:
        values = Ragged.of([term.encode() for term in terms])
    except UnicodeEncodeError:
        raise EncodingRefused("a term holds a lone surrogate") from None
    values.require_fitting()
    return SortedEntries(_keys(values), np.zeros(len(values), dtype=np.int64), values)


def _keys(values: Ragged) -> U64:
    kept = np.minimum(values.sizes, KEY_BYTES)
    raw = np.zeros(len(values) * KEY_BYTES, dtype=np.uint8)
    places = np.arange(len(values), dtype=np.int64) * KEY_BYTES
    put_ranges(raw, places, take_ranges(values.flat, values.offsets[:-1], kept), kept)
    return raw.view(">u8").astype(np.uint64).reshape(-1, 2)


def beginning(prefix: str) -> tuple[Bound, Bound]:
    """The least and the greatest key of terms that begin so; other terms may lie between them.

    Raises:
        EncodingRefused: a prefix that is not valid Unicode.
    """
    try:
        raw = prefix.encode()[:KEY_BYTES]
    except UnicodeEncodeError:
        raise EncodingRefused("a prefix holds a lone surrogate") from None
    return _bound(raw.ljust(KEY_BYTES, b"\0")), _bound(raw.ljust(KEY_BYTES, b"\xff"))


def _bound(raw: bytes) -> Bound:
    return int.from_bytes(raw[:8]), int.from_bytes(raw[8:])


def terms_of(found: SortedEntries) -> pa.Array[Any]:
    """The terms of entries, in their order, as an Arrow string array without NULL.

    Raises:
        IntegrityFailure: entries without values, or a value that is not UTF-8.
    """
    if not len(found):
        return pa.array([], pa.string())
    if found.values is None:
        raise IntegrityFailure
    offsets, flat = wrap(found.values.offsets), wrap(found.values.flat)
    array: pa.Array[Any] = pa.LargeStringArray.from_buffers(len(found), offsets, flat)
    try:
        array.validate(full=True)
    except pa.ArrowInvalid:
        raise IntegrityFailure from None
    return array
