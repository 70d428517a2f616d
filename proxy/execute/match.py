"""Keyword matching: ``col @@ 'query'`` in SQL, and search over a collection.

With a keyword index the answer comes from opened posting lists of the query's terms, filtered to live
rows; without one, every text is analysed and compared. Both give the same answer. Patterns become the terms
they stand for first, which `dictionary` finds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from indexes.methods import keyword
from indexes.multimap.postings import DecodedList, PostingBatch
from proxy.arrow import Array, Ordinals, pick
from proxy.catalog import Index, Table
from proxy.covering import Keep
from proxy.search import evaluate, plain
from proxy.search.analysis import Analysis, analyser
from proxy.search.evaluate import NO_POSTINGS, TermPostings, joined
from proxy.search.query import Query, needs_texts, parse
from proxy.search.rank import Statistics, best, bm25
from proxy.settled import BLOCK_BITS

from . import dictionary
from .view import TableView


@dataclass(frozen=True, slots=True)
class Ranked:
    """Matching rows, best first, with their BM25 scores."""

    ordinals: Ordinals
    scores: npt.NDArray[np.float64]


def covering_index(table: Table, columns: Sequence[int]) -> Index | None:
    """The narrowest keyword index over these columns, or None."""
    fitting = [
        index
        for index in table.indexes
        if index.method == "keyword" and set(columns) <= set(index.columns)
    ]
    return min(fitting, key=lambda index: len(index.columns)) if fitting else None


def is_listed(index: Index, text: str) -> bool:
    """Whether an index answers a query by its lists: patterns need a dictionary, or else the texts."""
    return not needs_texts(text, Analysis.from_options(index.options))


class IndexedMatch:
    """One query over some columns of one keyword index.

    Args:
        view: the table.
        index: a keyword index that covers ``columns``.
        columns: ids of the columns to look at.
        text: the query.
        keep: is given what a covering index keeps beside its postings.
    """

    def __init__(
        self,
        view: TableView,
        index: Index,
        columns: Sequence[int],
        text: str,
        keep: Keep | None = None,
    ) -> None:
        self._view = view
        self._keep = keep
        self._index = index
        analysis = Analysis.from_options(index.options)
        self.query: Query = parse(text, analysis.analyser)
        self.query.require_positions(analysis.positions)
        self._fields = [index.columns.index(number) for number in columns]
        self._postings = self._read()

    def _read(self) -> dict[str, TermPostings]:
        """Live postings of every term of the query, and of every pattern as if it were one term."""
        patterns = self.query.patterns
        meant = dictionary.expand(self._view, self._index, patterns) if patterns else {}
        found = self._lists(sorted({*self.query.terms}.union(*meant.values())))
        for key, terms in meant.items():
            found[key] = joined(found.get(term, NO_POSTINGS) for term in sorted(terms))
        return found

    def _lists(self, tokens: Sequence[str]) -> dict[str, TermPostings]:
        """Live postings of terms, from segments, deltas and own changes."""
        if not tokens:
            return {}
        view = self._view
        words = keyword.words_for(view.state.keys.index_words(self._index.id), tokens)
        lists: list[list[DecodedList]] = [[] for _ in tokens]
        tasks = [partial(one.lookup, words) for one in view.state.segments.hashed()]
        for blobs in view.state.channel.together(tasks):
            for place, blob in enumerate(blobs):
                if blob is not None:
                    lists[place].append(keyword.read(blob))
        for source in (view.state.recent_index, view.overlay.index):
            for place, word in enumerate(words.tolist()):
                batch = source.postings(word)
                if batch is not None:
                    lists[place].append(decoded(batch))
        if self._keep is not None:
            for one in (one for found in lists for one in found):
                if one.values is not None:
                    self._keep(one.ordinals, one.values)
        every = [one.ordinals for found in lists for one in found]
        if every:
            # All at once: term after term, the pages asked for would show the order of the terms.
            view.state.settled.entries(np.unique(np.concatenate(every) >> BLOCK_BITS).tolist())
        return {
            token: self._select(found) for token, found in zip(tokens, lists, strict=True) if found
        }

    def _select(self, found: list[DecodedList]) -> TermPostings:
        """The postings of one term that are live and lie in the fields asked for."""
        postings = TermPostings.from_lists(found)
        if len(self._fields) < len(self._index.columns):
            wanted = np.isin(postings.fields, np.array(self._fields, dtype=np.uint32))
            postings = postings.take(np.flatnonzero(wanted))
        return postings.only(self._view.live_mask)

    def ordinals(self) -> Ordinals:
        """Matching live rows, ascending; a row without any text may be among a negation's."""
        universe = self._view.live() if self.query.complemented else None
        return evaluate.evaluate(self.query, self._postings, universe)

    def ranked(self, limit: int | None) -> Ranked:
        """The best matching rows by BM25."""
        ordinals = self.ordinals()
        scores = bm25(self.query, self._postings, self._statistics(), ordinals)
        order = best(scores, ordinals, limit)
        return Ranked(ordinals[order], scores[order])

    def _statistics(self) -> Statistics:
        state = self._view.state
        sums = np.zeros(len(self._index.columns), dtype=np.int64)
        known = state.manifest.statistics.get(self._index.id)
        parts = [known.tokens] if known else []
        pending = (state.pending_totals(), self._view.overlay.statistics())
        parts.extend(
            tuple(totals[self._index.id][1]) for totals in pending if self._index.id in totals
        )
        for part in parts:
            sums[: len(part)] += np.array(part, dtype=np.int64)
        return Statistics(self._view.count(), tuple(sums.tolist()))


def decoded(batch: PostingBatch) -> DecodedList:
    """Postings of one word as a decoded list with the keyword payload."""
    return DecodedList(batch.ordinals, batch.payload, batch.positions, batch.values)


def match_column(
    view: TableView,
    ordinals: Ordinals,
    columns: Sequence[int],
    text: str | None,
    found: Ordinals | None,
) -> Array:
    """The value of ``columns @@ text`` for rows: true, false, or NULL where all texts are NULL.

    Args:
        view: the table.
        ordinals: the rows, in the order wanted.
        columns: ids of the TEXT columns.
        text: the query; NULL gives NULL everywhere.
        found: rows that an index found to match a query with no negation at its top, if one did.
    """
    if text is None:
        return pa.nulls(len(ordinals), pa.bool_())
    if found is not None and np.isin(ordinals, found).all():
        return pa.array(np.ones(len(ordinals), dtype=np.bool_))
    sorted_ordinals = np.sort(ordinals)
    order, arrays = view.fetch(sorted_ordinals, columns)
    missing = np.ones(len(order), dtype=np.bool_)
    for array in arrays:
        missing &= array.is_null().to_numpy()
    if found is not None:
        matches = np.isin(order, found)
    else:
        index = covering_index(view.table, columns)
        analyse = Analysis.from_options(index.options).analyser if index else analyser()
        rows = list(zip(*(array.to_pylist() for array in arrays), strict=True))
        matches = plain.matches_column(parse(text, analyse), rows, analyse)
    values = pa.array(matches, mask=missing)
    if np.array_equal(order, ordinals):
        return values
    places = np.argsort(order)[np.searchsorted(np.sort(order), ordinals)]
    return pick(values, places)
