"""Queries over plain texts: how ``@@`` is answered without an index, and what an index must agree with.

A pattern is decided term by term, here as by an index, so both find the same documents; only the number of
terms that it may stand for is not limited here.

`matches` decides one document by looking at its tokens, with none of the set operations of `evaluate`;
tests hold the two against each other. `gather` builds postings from tokens, for rows that are in
no index yet (a transaction's own) and for ranking by a plain scan.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Final

import numpy as np

from indexes.multimap.arrays import Mask, offsets_of
from indexes.multimap.postings import Positions
from proxy.search.analysis import DEFAULT_LANGUAGE, Analyser, analyser
from proxy.search.evaluate import NO_POSTINGS, TermPostings, joined
from proxy.search.patterns import every_term
from proxy.search.query import And, Node, Or, Phrase, Query, Similar, Term, parse
from proxy.search.rank import Statistics, best, bm25

Tokens = Sequence[Sequence[str]]
"""The tokens of each field of one document."""

AT_ONCE: Final = 1_024
"""Documents whose terms are compared with a query's patterns together."""


def matches_plain(
    query: Query | str, texts: Sequence[str | None], language: str = DEFAULT_LANGUAGE
) -> bool:
    """Whether one document, given as the texts of its fields, satisfies a query.

    A field that is NULL holds nothing. Phrases are served: the whole text is at hand.

    Raises:
        ProgrammingError: E_MATCH_QUERY for a malformed query, E_UNKNOWN_OPTION for a language.
    """
    analyse = analyser(language)
    parsed = parse(query, analyse) if isinstance(query, str) else query
    return matches(parsed, analyse.many(texts))


def matches_column(query: Query, rows: Iterable[Sequence[str | None]], analyse: Analyser) -> Mask:
    """`matches` for many documents: bool[n]. `analyse` is the one the query was parsed with."""
    documents = map(analyse.many, rows)
    return np.fromiter(_each(query, documents), dtype=np.bool_)


def matches(query: Query, fields: Tokens) -> bool:
    """Whether one document, given as the tokens of its fields, satisfies a query."""
    return next(_each(query, iter([fields])))


def _each(query: Query, documents: Iterator[Tokens]) -> Iterator[bool]:
    while batch := list(islice(documents, AT_ONCE)):
        present = [set[str]().union(*fields) for fields in batch]
        meant: dict[str, frozenset[str]] = {}
        if query.patterns:
            terms = sorted(set[str]().union(*present))
            meant = {one.key: frozenset(one.among(terms)) for one in query.patterns}
        for fields, tokens in zip(batch, present, strict=True):
            yield _matches(query.root, fields, tokens, meant)


def search_plain(
    query: Query,
    documents: Sequence[tuple[int, Sequence[Sequence[str]]]],
    fields: int,
    limit: int | None = None,
) -> list[tuple[int, float]]:
    """(ordinal, score) of the matching documents, best first, by a plain scan.

    Args:
        query: from `parse`.
        documents: each an ordinal and the tokens of its fields.
        fields: how many fields every document has.
        limit: how many to return; None for all.
    """
    wanted = None if query.patterns else query.terms.__contains__
    postings, statistics = gather(documents, fields, wanted)
    for key, terms in every_term(query.patterns, list(postings)).items():
        postings[key] = joined([postings.get(term, NO_POSTINGS) for term in terms])
    found = sorted(ordinal for ordinal, tokens in documents if matches(query, tokens))
    ordinals = np.asarray(found, dtype=np.int64)
    scores = bm25(query, postings, statistics, ordinals)
    order = best(scores, ordinals, limit)
    return list(zip(ordinals[order].tolist(), scores[order].tolist(), strict=True))


def gather(
    documents: Sequence[tuple[int, Sequence[Sequence[str]]]],
    fields: int,
    wanted: Callable[[str], bool] | None = None,
) -> tuple[dict[str, TermPostings], Statistics]:
    """Postings with positions, and totals, of documents given as ordinals and tokens per field.

    Args:
        documents: in any order; ordinals are distinct.
        fields: how many fields every document has.
        wanted: the tokens whose postings are asked for; None for all.
    """
    rows: dict[str, list[tuple[int, int, int, list[int]]]] = {}
    for ordinal, tokens_of_fields in documents:
        for field, tokens in enumerate(tokens_of_fields):
            places: dict[str, list[int]] = {}
            for place, token in enumerate(tokens):
                if wanted is None or wanted(token):
                    places.setdefault(token, []).append(place)
            for token, at in places.items():
                rows.setdefault(token, []).append((ordinal, field, len(tokens), at))
    postings = {token: _postings(found) for token, found in rows.items()}
    return postings, Statistics.count([tokens for _, tokens in documents], fields)


def _postings(rows: list[tuple[int, int, int, list[int]]]) -> TermPostings:
    sizes = np.asarray([len(at) for *_, at in rows], dtype=np.int64)
    flat = np.asarray([place for *_, at in rows for place in at], dtype=np.uint32)
    return TermPostings.of(
        np.asarray([ordinal for ordinal, *_ in rows], dtype=np.int64),
        np.asarray([field for _, field, *_ in rows], dtype=np.uint32),
        sizes.astype(np.uint32),
        np.asarray([length for _, _, length, _ in rows], dtype=np.uint32),
        Positions(flat, offsets_of(sizes)),
    )


def _matches(
    node: Node, fields: Tokens, present: set[str], meant: Mapping[str, frozenset[str]]
) -> bool:
    """Whether a document satisfies a node; `meant` are the terms of each pattern, by its key."""
    if isinstance(node, Term):
        return node.token in present
    if isinstance(node, Similar):
        return not present.isdisjoint(meant[node.token])
    if isinstance(node, Phrase):
        wanted = node.tokens
        return present.issuperset(wanted) and any(_side_by_side(wanted, field) for field in fields)
    if isinstance(node, And):
        return all(_matches(part, fields, present, meant) for part in node.parts)
    if isinstance(node, Or):
        return any(_matches(part, fields, present, meant) for part in node.parts)
    return not _matches(node.part, fields, present, meant)


def _side_by_side(wanted: tuple[str, ...], tokens: Sequence[str]) -> bool:
    width = len(wanted)
    return any(
        tokens[start] == wanted[0] and tuple(tokens[start : start + width]) == wanted
        for start in range(len(tokens) - width + 1)
    )
