"""The terms that patterns of a search stand for: from the dictionary of a keyword index, or from the texts.

A pattern that begins with two letters or more reads the part of the dictionary that begins so. Any other reads
all of it, once for each segment: the terms are kept in memory as long as there is room, and then patterns of
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
from proxy.search.patterns import LEAST_LETTERS, Pattern, require_few

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
        for terms in _analysed(view, index):
            for one in patterns:
                _note(one, one.among(terms), found)
        return found
    number = dictionary_id(index.id)
    for source in (view.state.recent_index, view.overlay.index):
        _note_all(patterns, dictionary.terms_of(source.entries(number)), found)
    readers = view.state.segments.sorted(number)
    if any(len(one.prefix) < LEAST_LETTERS for one in patterns):
        for reader in readers:
            for part in _whole(view, reader):
                _note_all(patterns, part, found)
        return found
    missing: list[SortedReader] = []
    for reader in readers:
        known = view.state.terms.get(reader.salt)
        if known is None:
            missing.append(reader)
        else:
            _note_all(patterns, known, found)
    asked = [one for one in patterns for _ in missing]
    tasks = [
        partial(reader.range, *dictionary.beginning(one.prefix))
        for one in patterns
        for reader in missing
    ]
    for one, entries in zip(asked, view.state.channel.together(tasks), strict=True):
        _note(one, one.listed(dictionary.terms_of(entries)), found)
    return found


def _note(pattern: Pattern, terms: Sequence[str], found: Meant) -> None:
    found[pattern.key].update(terms)
    require_few(pattern, found[pattern.key])


def _note_all(patterns: Sequence[Pattern], terms: Array, found: Meant) -> None:
    for one in patterns:
        _note(one, one.listed(terms), found)


def _whole(view: TableView, reader: SortedReader) -> Iterator[Array]:
    """All terms of one segment, in parts if they are too many to be kept."""
    cache = view.state.terms
    known = cache.get(reader.salt)
    if known is not None:
        yield known
    elif not cache.holds(reader.data_bytes):
        yield from map(dictionary.terms_of, reader.pieces())
    else:
        terms = dictionary.terms_of(reader.all())
        cache.put(reader.salt, terms, reader.data_bytes)
        yield terms


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
