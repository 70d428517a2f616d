"""BM25 over posting lists: which of the matching documents come first.

Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond" (2009), in the form for
several fields (BM25F): a term's frequencies in the fields of a document are normalised by each field's
length, added, and saturated once,

    f(t, d) = sum over fields of  w · tf / (1 - b + b · length / average length of the field)
    score(d) = sum over scored terms of  idf(t) · f · (k1 + 1) / (f + k1)
    idf(t) = ln(1 + (N - df + 1/2) / (df + 1/2))

with k1 = 1.2, b = 0.75 and every weight 1 unless given. Over a single field it is plain BM25. The idf is
never negative. A field's average length counts as at least one token, because a field that is mostly
empty (attachment names) would otherwise punish the few documents that have it.

A pattern counts as one term, whatever it stands for: frequencies of its terms in a field are added before
they are saturated, and its df counts the documents that hold any of them (Pirkola, SIGIR 1998, synonyms of
structured queries). So a rare spelling does not outrank the word itself.

Everything comes from the posting lists and two totals per index, so ranking reads no document. Terms
are added in sorted order and documents with equal scores stand in order of ordinal: the same data in
any mix of segments and deltas gives the same scores, to the last bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from indexes.multimap.arrays import I64
from proxy.search.evaluate import NO_POSTINGS, TermPostings, contains, evaluate
from proxy.search.query import Query

K1: Final = 1.2
B: Final = 0.75


@dataclass(frozen=True, slots=True)
class Statistics:
    """Totals of one keyword index over its live documents.

    Attributes:
        documents: how many there are, those without any text included.
        tokens: per field, how many tokens they have together.
    """

    documents: int
    tokens: tuple[int, ...]

    @staticmethod
    def count(documents: Sequence[Sequence[Sequence[str]]], fields: int) -> Statistics:
        """The totals of documents, each given as the tokens of its `fields` fields."""
        tokens = (sum(len(one[field]) for one in documents) for field in range(fields))
        return Statistics(len(documents), tuple(tokens))

    def averages(self, fields: int) -> NDArray[np.float64]:
        """Average tokens per field, at least 1: float64[fields].

        Totals that are shorter than `fields` end in zeros.
        """
        tokens = np.zeros(fields, dtype=np.float64)
        tokens[: len(self.tokens)] = self.tokens
        return np.maximum(tokens / max(self.documents, 1), 1.0)


def bm25(
    query: Query,
    postings: Mapping[str, TermPostings],
    statistics: Statistics,
    ordinals: I64,
    weights: Sequence[float] | None = None,
) -> NDArray[np.float64]:
    """The scores of matching documents.

    Args:
        query: its `scored` terms count.
        postings: by token, live documents only; a missing one has no postings.
        statistics: totals of the index; `tokens` has one entry per field.
        ordinals: int64[n], ascending and unique, such as `evaluate` returns.
        weights: one factor per field; None for 1.

    Returns:
        float64[n], not negative; 0 for a document that matched by negations alone.
    """
    terms = [postings[token] for token in query.scored if len(postings.get(token, NO_POSTINGS))]
    fields = max([len(statistics.tokens), *(int(term.fields.max()) + 1 for term in terms)])
    averages = statistics.averages(fields)
    factors = np.ones(fields) if weights is None else np.asarray(weights, dtype=np.float64)
    scores = np.zeros(len(ordinals), dtype=np.float64)
    for term in terms:
        df = len(term.documents)
        # Statistics that lag behind the lists must not make a term count against its documents.
        total = max(statistics.documents, df)
        idf = np.log1p((total - df + 0.5) / (df + 0.5))
        kept = np.flatnonzero(contains(ordinals, term.ordinals))
        field = term.fields[kept]
        norm = 1.0 - B + B * term.lengths[kept] / averages[field]
        row = np.searchsorted(ordinals, term.ordinals[kept])
        # bincount adds in the order of the postings, which is that of the fields.
        found = np.bincount(row, factors[field] * term.tf[kept] / norm, minlength=len(ordinals))
        scores += idf * found * (K1 + 1.0) / (found + K1)
    return scores


def best(scores: NDArray[np.float64], ordinals: I64, limit: int | None = None) -> I64:
    """Where the best documents are, best first: int64[min(n, limit)] indexes.

    Equal scores stand in order of ordinal, also where `limit` cuts between them.
    """
    chosen = np.arange(len(scores), dtype=np.int64)
    if limit is not None and 0 < limit < len(scores):
        threshold = np.partition(scores, len(scores) - limit)[len(scores) - limit]
        chosen = np.flatnonzero(scores >= threshold)
    order = chosen[np.lexsort((ordinals[chosen], -scores[chosen]))]
    return order if limit is None else order[: max(limit, 0)]


def search(
    query: Query,
    postings: Mapping[str, TermPostings],
    statistics: Statistics,
    universe: I64 | None,
    limit: int | None = None,
) -> tuple[I64, NDArray[np.float64]]:
    """The best matching documents, best first: (ordinals int64[m], scores float64[m]).

    Args:
        query: from `query.parse`.
        postings: by token, live documents only.
        statistics: totals of the index.
        universe: all live ordinals, ascending; may be None unless `query.complemented`.
        limit: at most so many; None for all.

    Raises:
        ProgrammingError: E_NO_POSITIONS, a phrase where postings have no positions.
    """
    ordinals = evaluate(query, postings, universe)
    scores = bm25(query, postings, statistics, ordinals)
    order = best(scores, ordinals, limit)
    return ordinals[order], scores[order]
