"""Probes of substring indexes: the rows listed under the rarest trigrams of what is asked for.

How frequent the trigrams are stands in bucket pages, which are read of a few of them together; then the
lists of the rarest are read together, as :mod:`indexes.methods.substring` explains.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial, reduce

import numpy as np
import numpy.typing as npt

from indexes.methods import substring
from indexes.multimap import postings
from proxy.arrow import Ordinals
from proxy.catalog import Index
from proxy.execute.view import TableView
from proxy.sql.predicates import Predicate
from proxy.sql.serving import fragments

from .base import EMPTY, FEW, MOST_OF_TABLE, PART, Context, Probe

Words = npt.NDArray[np.uint64]


def probe(context: Context, index: Index, served: tuple[Predicate, ...]) -> list[Probe]:
    """A lookup of the trigrams that all conjuncts ask for."""
    view = context.view
    grams = substring.spread(gram for one in served for gram in fragments(one) or ())
    words = np.unique(substring.words_of(view.state.keys.index_words(index.id), grams))
    run, expected = partial(_rows, view, words), partial(_estimate, view, words)
    return [Probe(index, served, PART, run, expected, len(words))]


def _rows(view: TableView, words: Words) -> Ordinals | None:
    """Live rows listed under the rarest of some words, or None when these are most of the table."""
    counts = frequencies(view, words)
    least = int(counts.min())
    if least == 0:
        return EMPTY
    if least > FEW and least > MOST_OF_TABLE * view.count():
        return None
    rarest = np.argsort(counts, kind="stable")[: substring.MOST_READ]
    worth = rarest[counts[rarest] <= substring.WORTH_READING * least]
    return view.keep_live(reduce(np.intersect1d, _lists(view, words[worth])))


def _estimate(view: TableView, words: Words) -> int:
    return int(frequencies(view, words).min())


def frequencies(view: TableView, words: Words) -> npt.NDArray[np.int64]:
    """How many rows, dead ones among them, are listed under each of some distinct words: int64[m]."""
    counts = np.zeros(len(words), dtype=np.int64)
    for index in (view.state.recent_index, view.overlay.index):
        counts += [len(index.ordinals([word])) for word in words.tolist()]
    readers = view.state.segments.hashed()
    tasks = [partial(one.frequencies, words) for one in readers]
    for found in view.state.channel.together(tasks):
        counts += found
    return counts


def _lists(view: TableView, words: Words) -> Sequence[Ordinals]:
    """The ordinals listed under each of some distinct words, live or not."""
    found: dict[int, list[Ordinals]] = {word: [] for word in words.tolist()}
    for index in (view.state.recent_index, view.overlay.index):
        for word, lists in found.items():
            lists.append(np.array(index.ordinals([word]), dtype=np.int64))
    readers = view.state.segments.hashed()
    for encoded in view.state.channel.together([partial(one.find, words) for one in readers]):
        for batch in postings.explode(encoded):
            for word, lists in found.items():
                lists.append(batch.ordinals[batch.words == word])
    return [np.concatenate(lists) for lists in found.values()]
