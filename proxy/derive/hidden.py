"""Entries of equality and range indexes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from indexes.methods import equality
from indexes.methods import range as range_method
from indexes.multimap.batches import Ragged, SortedEntries
from indexes.multimap.postings import PostingBatch
from proxy.arrow import Array, Ordinals
from proxy.catalog import Index
from proxy.keyspace import TableKeys
from proxy.sql.serving import folds

from .collected import Collected, types_of


def equality_entries(
    index: Index, keys: TableKeys, arrays: Sequence[Array], into: Collected
) -> None:
    """A word for each tuple of values; and tags, if the index is unique."""
    types = types_of(into.table, index)
    terms, valid = equality.words(keys.index_words(index.id), arrays, types)
    chosen = np.flatnonzero(valid)
    into.hashed.append(
        PostingBatch.of(terms[chosen], into.ordinals[chosen], taken(into.values_of(index), chosen))
    )
    if index.unique:
        into.words[index.id] = (terms, valid)
        into.tags[index.id] = equality.tags(keys.index_tags(index.id), arrays, types)


def range_entries(index: Index, keys: TableKeys, arrays: Sequence[Array], into: Collected) -> None:
    """An ordered key for each row, and words that list the rows whose last column is NULL.

    With several columns, a row without all leading values is not in the index: no equality finds it.
    """
    types = types_of(into.table, index)
    entries, valid = range_method.keys(arrays[-1], types[-1], folded=folds(index))
    if len(types) == 1:
        null_words = np.full(len(valid), keys.null_word(index.id), dtype=np.uint64)
        listed = ~valid
    else:
        words, known = equality.words(keys.index_words(index.id), arrays[:-1], types[:-1])
        entries = range_method.composite_keys(words, entries)
        null_words, _ = equality.words(keys.null_words(index.id), arrays[:-1], types[:-1])
        listed, valid = known & ~valid, known & valid
    chosen = np.flatnonzero(valid)
    values = into.values_of(index)
    into.ranges[index.id] = SortedEntries(
        entries[chosen], into.ordinals[chosen], taken(values, chosen)
    )
    missing = np.flatnonzero(listed)
    into.hashed.append(
        PostingBatch.of(null_words[missing], into.ordinals[missing], taken(values, missing))
    )


def taken(values: Ragged | None, places: Ordinals) -> Ragged | None:
    """The values at these places, if an index keeps values."""
    return None if values is None else values.take(places)
