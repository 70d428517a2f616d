"""Keyword indexes: documents of tokens become postings with what BM25 needs beside each.

A document has a fixed number of fields; a posting is one term in one field of one document, with the
payload [field, term frequency, field length in tokens] and, if asked for, the token positions. Ranking
over several fields (BM25F: Robertson, Zaragoza, Taylor, CIKM 2004) so needs no document.

What it leaks: nothing at rest beyond page counts; on a query which terms were asked before, the length
class of each term's list, and the rows fetched afterwards. The number of terms of a query shows as the
number of pages.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from indexes.errors import EncodingRefused
from indexes.multimap.arrays import offsets_of
from indexes.multimap.postings import DecodedList, Positions, PostingBatch, decode
from indexes.prf import TermPrf

FIELD, FREQUENCY, LENGTH = range(3)
"""Columns of a posting's payload."""


@dataclass(frozen=True, slots=True)
class Stats:
    """What ranking needs of a whole index: documents, and tokens per field."""

    documents: int
    tokens: tuple[int, ...]


def postings(
    prf: TermPrf,
    documents: Sequence[Sequence[Sequence[str]]],
    ordinals: NDArray[np.int64],
    *,
    positions: bool = False,
) -> tuple[PostingBatch, Stats, list[str]]:
    """Postings of n documents.

    Args:
        prf: of the index.
        documents: per document the token lists of its fields, in the order of the index's columns;
            every document has the same number of fields, an empty list for a NULL.
        ordinals: int64[n], the documents' ordinals.
        positions: whether to keep token positions.

    Returns:
        The postings, the statistics these documents add, and their distinct terms.

    Raises:
        EncodingRefused: a token that is not valid Unicode, or a field of 2³² tokens.
        ValueError: documents with different numbers of fields, or not as many as ordinals.
    """
    fields = len(documents[0]) if len(documents) else 0
    if len(documents) != len(ordinals) or any(len(doc) != fields for doc in documents):
        raise ValueError("every ordinal needs one document, each with all fields")
    lengths = np.array([len(tokens) for doc in documents for tokens in doc], dtype=np.int64)
    flat = [token for doc in documents for tokens in doc for token in tokens]
    per_field = lengths.reshape(len(documents), fields).sum(axis=0)
    stats = Stats(len(documents), tuple(int(total) for total in per_field))
    if len(lengths) and int(lengths.max()) >> 32:
        raise EncodingRefused("a field has too many tokens")

    codes, terms = _distinct(flat)
    words = words_for(prf, terms)
    # One number per token names its field and its term; equal ones make up one posting.
    place = np.repeat(np.arange(len(lengths), dtype=np.int64), lengths)
    token = place * max(len(terms), 1) + codes
    order = np.argsort(token, kind="stable")
    ascending = token[order]
    firsts = np.flatnonzero(
        np.concatenate((np.ones(min(len(token), 1), np.bool_), ascending[1:] != ascending[:-1]))
    )
    frequency = np.diff(firsts, append=len(token))
    where = place[order[firsts]]
    payload = np.empty((len(firsts), 3), dtype=np.uint32)
    payload[:, FIELD] = where % max(fields, 1)
    payload[:, FREQUENCY] = frequency
    payload[:, LENGTH] = lengths[where]
    kept = None
    if positions:
        # A stable sort leaves the tokens of one posting in the order of the text.
        position = np.arange(len(token), dtype=np.int64) - offsets_of(lengths)[place]
        kept = Positions(position[order].astype(np.uint32), offsets_of(frequency))
    batch = PostingBatch(
        words[codes[order[firsts]]],
        np.asarray(ordinals, dtype=np.int64)[where // max(fields, 1)],
        payload,
        kept,
    )
    return batch, stats, terms


def words_for(prf: TermPrf, terms: Sequence[str]) -> NDArray[np.uint64]:
    """The words of query terms, one for each: uint64[m].

    Raises:
        EncodingRefused: a term that is not valid Unicode.
    """
    try:
        return prf.items([term.encode() for term in terms])
    except UnicodeEncodeError:
        raise EncodingRefused("a token holds a lone surrogate") from None


def read(data: bytes) -> DecodedList:
    """Decodes a term's list, with payload uint32[n, 3].

    Postings without a frequency are dropped: they stem from another index whose word collided.

    Raises:
        IntegrityFailure: the bytes are not exactly one list.
    """
    found = decode(data)
    if found.payload.shape[1] < 3:
        # The word belongs to an index without payload; this index has no such term.
        none = np.zeros(0, dtype=np.int64)
        return DecodedList(none, np.zeros((0, 3), dtype=np.uint32), None)
    payload = found.payload[:, :3]
    real = payload[:, FREQUENCY] > 0
    if real.all():
        return DecodedList(found.ordinals, payload, found.positions, found.values)
    kept = np.flatnonzero(real)
    positions = None if found.positions is None else found.positions.take(kept)
    values = None if found.values is None else found.values.take(kept)
    return DecodedList(found.ordinals[kept], payload[kept], positions, values)


def _distinct(tokens: list[str]) -> tuple[NDArray[np.int64], list[str]]:
    """The code of every token and the distinct tokens the codes refer to."""
    try:
        encoded = pa.array(tokens, pa.string()).dictionary_encode()
    except (pa.ArrowException, UnicodeEncodeError):
        raise EncodingRefused("a token holds a lone surrogate") from None
    codes = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    return codes, [str(token) for token in encoded.dictionary.to_pylist()]
