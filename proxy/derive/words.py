"""Entries of keyword and substring indexes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from indexes.methods import dictionary, keyword, substring
from indexes.multimap.segment import dictionary_id
from proxy.arrow import Array
from proxy.catalog import Index
from proxy.keyspace import TableKeys
from proxy.search.analysis import Analysis

from .collected import Collected


def keyword_entries(
    index: Index, keys: TableKeys, arrays: Sequence[Array], into: Collected
) -> None:
    """Postings of the words of each document, the totals that ranking needs, and entries of the dictionary."""
    analysis = Analysis.from_options(index.options)
    fields = [analysis.analyser.many(array.to_pylist()) for array in arrays]
    documents = [list(one) for one in zip(*fields, strict=True)]
    batch, statistics, terms = keyword.postings(
        keys.index_words(index.id), documents, into.ordinals, positions=analysis.positions
    )
    values = into.values_of(index)
    if values is not None:
        places = np.searchsorted(into.ordinals, batch.ordinals)
        batch = dataclasses.replace(batch, values=values.take(places))
    into.hashed.append(batch)
    into.statistics[index.id] = (statistics.documents, list(statistics.tokens))
    if analysis.dictionary:
        into.ranges[dictionary_id(index.id)] = dictionary.entries(terms)


def substring_entries(
    index: Index, keys: TableKeys, arrays: Sequence[Array], into: Collected
) -> None:
    """A word for each trigram of each text."""
    (texts,) = arrays
    into.hashed.append(substring.postings(keys.index_words(index.id), texts, into.ordinals))


def keyword_totals(index: Index, arrays: Sequence[Array]) -> tuple[int, list[int]]:
    """What rows count for in the statistics of a keyword index: documents, and tokens of each field."""
    analyse = Analysis.from_options(index.options).analyser
    return len(arrays[0]), [sum(map(len, analyse.many(array.to_pylist()))) for array in arrays]
