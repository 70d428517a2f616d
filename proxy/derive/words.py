"""Entries of keyword and substring indexes."""

from __future__ import annotations

from collections.abc import Sequence

from indexes.methods import keyword, substring
from indexes.multimap.postings import PostingBatch
from proxy.arrow import Array, Ordinals
from proxy.catalog import Index
from proxy.keyspace import TableKeys
from proxy.search.analysis import Analysis

from .collected import Collected


def keyword_entries(
    index: Index, keys: TableKeys, arrays: Sequence[Array], into: Collected
) -> None:
    """Postings of the words of each document, and the totals that ranking needs."""
    batch, totals = keyword_postings(index, keys, arrays, into.ordinals)
    into.hashed.append(batch)
    into.statistics[index.id] = totals


def substring_entries(
    index: Index, keys: TableKeys, arrays: Sequence[Array], into: Collected
) -> None:
    """A word for each trigram of each text."""
    (texts,) = arrays
    into.hashed.append(substring.postings(keys.index_words(index.id), texts, into.ordinals))


def keyword_postings(
    index: Index, keys: TableKeys, arrays: Sequence[Array], ordinals: Ordinals
) -> tuple[PostingBatch, tuple[int, list[int]]]:
    """Postings of a keyword index, and its totals: documents, and tokens of each field."""
    analysis = Analysis.from_options(index.options)
    fields = [analysis.analyser.many(array.to_pylist()) for array in arrays]
    documents = [list(one) for one in zip(*fields, strict=True)]
    batch, statistics = keyword.postings(
        keys.index_words(index.id), documents, ordinals, positions=analysis.positions
    )
    return batch, (statistics.documents, list(statistics.tokens))
