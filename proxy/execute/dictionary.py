"""The terms that patterns of a search stand for: from the dictionary of a keyword index, or from the texts.

A query whose patterns all begin with two letters or more reads the parts of the dictionary that begin so. Any other
reads all of it, once for each segment: the terms are kept in memory as long as there is room, and then patterns of
every kind read nothing. Pending deltas and the transaction's own changes are in memory anyway. An index without
a dictionary has every text read and analysed instead.

What it leaks: see `indexes.methods.dictionary`. The two ways to read can be told apart, so a store learns which of
them a search takes. A dictionary is read whole in the order of its pages, which says nothing of that of its terms.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Final

from indexes.methods import dictionary
from indexes.multimap.segment import dictionary_id
from indexes.multimap.sorted import SortedReader
from proxy.arrow import Array, one_array
from proxy.catalog import Index
from proxy.search.analysis import Analysis
from proxy.search.patterns import Pattern, require_few

from .view import TableView

SCAN_ROWS: Final = 4 * 4_096
"""Rows whose texts are analysed at a time."""

Meant = dict[str, set[str]]
"""The terms of each pattern, by its key."""


def expand(view: TableView, index: Index, patterns: Sequence[Pattern]) -> Meant:
    """The terms that patterns stand for; those of rows that are gone may be among them.

    Args:
        view: the table.
        index: a keyword index.
        patterns: distinct ones.

    Raises:
        ProgrammingError: E_MATCH_TOO_MANY, a pattern stands for more than 1,024.
    """
    # A prefix stands for the stem of its own letters wherever that lies; a term without rows harms nothing.
    found = {one.key: {one.also} if one.also else set() for one in patterns}
    if not Analysis.from_options(index.options).dictionary:
        for words in _analysed(view, index):
            for one in patterns:
                _note(one, one.among(words), found)
        return found
    number = dictionary_id(index.id)
    for source in (view.state.recent_index, view.overlay.index):
        _note_all(patterns, dictionary.terms_of(source.entries(number)), found)
    missing: list[SortedReader] = []
    for reader in view.state.segments.sorted(number):
        known = view.state.terms.get(reader.salt)
        if known is None:
            missing.append(reader)
        else:
            _note_all(patterns, known, found)
    if all(one.narrow for one in patterns):
        pairs = [(one, reader) for one in patterns for reader in missing]
        tasks = [partial(one.range, *dictionary.beginning(key.prefix)) for key, one in pairs]
        for (one, _), entries in zip(pairs, view.state.channel.together(tasks), strict=True):
            _note(one, one.listed(dictionary.terms_of(entries)), found)
    else:
        for terms in _whole(view, missing):
            _note_all(patterns, terms, found)
    return found


def _note(pattern: Pattern, terms: Sequence[str], found: Meant) -> None:
    found[pattern.key].update(terms)
    require_few(pattern, found[pattern.key])


def _note_all(patterns: Sequence[Pattern], terms: Array, found: Meant) -> None:
    for one in patterns:
        _note(one, one.listed(terms), found)


def _whole(view: TableView, readers: Sequence[SortedReader]) -> Iterator[Array]:
    """All terms of some segments; those that there is room for are kept."""
    cache = view.state.terms
    kept = [one for one in readers if cache.holds(one.data_bytes)]
    for one, entries in zip(
        kept, view.state.channel.together([one.all for one in kept]), strict=True
    ):
        terms = dictionary.terms_of(entries)
        cache.put(one.salt, terms, one.data_bytes)
        yield terms
    for one in readers:
        if not cache.holds(one.data_bytes):
            yield from map(dictionary.terms_of, one.pieces())


def _analysed(view: TableView, index: Index) -> Iterator[list[str]]:
    """The terms of all live rows, some rows at a time."""
    analyse = Analysis.from_options(index.options).analyser
    live = view.live()
    for start in range(0, len(live), SCAN_ROWS):
        _, arrays = view.fetch(live[start : start + SCAN_ROWS], index.columns)
        terms: set[str] = set()
        for array in arrays:
            terms.update(*analyse.many(one_array(array).to_pylist()))
        yield sorted(terms)
