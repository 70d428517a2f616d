"""Probes of equality indexes: the rows listed under the words of the values asked for."""

from __future__ import annotations

from itertools import product

import numpy as np
import numpy.typing as npt

from indexes.methods import equality
from proxy.arrow import Array, Ordinals
from proxy.catalog import Index
from proxy.execute.view import TableView
from proxy.sql.predicates import Equals, In, Predicate

from .base import AMONG, COMPOSITE, EQUAL, Context, Probe, candidates, constants, values_of

MOST_TUPLES = 4_096
"""Combinations of values that an index of several columns is asked for at most."""


def probe(context: Context, index: Index, served: tuple[Predicate, ...]) -> list[Probe]:
    """A lookup of every combination of the values that the conjuncts allow."""
    atoms = [one for one in served if isinstance(one, Equals | In)]
    values = [values_of(one) for one in atoms]
    count = 1
    for one in values:
        count *= len(one)
    if len(atoms) > 1 and count > MOST_TUPLES:
        return []
    rank = COMPOSITE if len(atoms) > 1 else EQUAL if isinstance(atoms[0], Equals) else AMONG

    def run() -> Ordinals:
        words = words_for(context.view, index, values)
        return candidates(context.view, words, context.keeper(index))

    return [Probe(index, served, rank, run, asked=count)]


def words_for(view: TableView, index: Index, values: list[list[object]]) -> npt.NDArray[np.uint64]:
    """Distinct words of every combination of values, one list of them per column of the index."""
    return words_of_arrays(view, index, combinations(view, index, values))


def combinations(view: TableView, index: Index, values: list[list[object]]) -> list[Array]:
    """Every combination of values, one list of them per column of the index, as one array per column."""
    rows = list(product(*values))
    types = [view.table.column_by_id(number).type for number in index.columns]
    return [constants([row[place] for row in rows], kind) for place, kind in enumerate(types)]


def words_of_arrays(view: TableView, index: Index, arrays: list[Array]) -> npt.NDArray[np.uint64]:
    """Distinct words of rows of values; rows with a NULL have none."""
    types = [view.table.column_by_id(number).type for number in index.columns]
    words, valid = equality.words(view.state.keys.index_words(index.id), arrays, types)
    distinct: npt.NDArray[np.uint64] = np.unique(words[valid])
    return distinct
