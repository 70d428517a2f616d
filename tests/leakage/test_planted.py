"""Leaks that are planted into the code under test are found by holding it against the model."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from encdb import wire
from indexes import labels, seal
from indexes.multimap import delta, hashed, paging
from indexes.multimap import sorted as sorted_segments
from indexes.multimap.hashed import HashedReader
from proxy import transaction

from .histories import HASHED, KEYED, ORDERED, ROWS
from .model.equality import word_of
from .model.history import (
    Between,
    Connect,
    CreateIndex,
    CreateTable,
    Equal,
    Insert,
    Match,
    Scan,
    Vacuum,
)
from .model.messages import UnequalError
from .running import hold

OTHER = "other"
SMALL = [
    CreateTable("t", (("name", "TEXT"),)),
    Insert("t", tuple(("x" * number,) for number in range(40))),
    Connect(client=OTHER),
    Scan("t", ("name",), client=OTHER),
]
WORDS = [
    *HASHED,
    Connect(client=OTHER),
    Equal("t", ("code",), "id", (77,), client=OTHER),
    Match("t", ("id",), "body", ("often",), client=OTHER),
]
RANGE = [*ORDERED, Connect(client=OTHER), Between("t", ("id",), "code", "5", "7", client=OTHER)]
BUILT = [CreateTable("u", (("name", "TEXT"),)), *RANGE]
WIDE = [KEYED, CreateIndex("t_code", "t", "equality", ("code",)), Insert("t", ROWS)]
SETTLED = [*SMALL, Vacuum("t"), Scan("t", ("name",), client=OTHER)]


def labels_in_order(patch):
    """The permutation of row numbers is no permutation."""
    same = np.stack([np.arange(4096, dtype=np.uint16)] * 2)
    patch.setattr(labels.LabelMap, "_compute", lambda self, blocks: [same] * len(blocks))


def pages_in_order(patch):
    """Pages of a sorted segment lie in the order of keys."""
    patch.setattr(paging, "shuffle", lambda key, count: np.arange(count))
    patch.setattr(sorted_segments, "shuffle", lambda key, count: np.arange(count))


def unpadded_delta(patch):
    """A delta is as long as what it says."""
    patch.setattr(delta, "delta_class", lambda size: size)


def unpadded_rows(patch):
    """A row's record is as long as the row."""
    patch.setattr(transaction, "pad", lambda body: seal.pad(body, lambda size: size))


def no_dummies(patch):
    """A segment has the pages that it needs."""
    patch.setattr(hashed, "octave", lambda count: count)


def no_groups(patch):
    """A range reads the pages that it needs, and stops."""
    patch.setattr(sorted_segments, "GROUP", 1)


def early_stop(patch):
    """A range stops where enough rows were found."""
    take = sorted_segments.SortedReader._take

    def stopping(self, first, last, low, high):
        return take(self, first, min(last, first + 1), low, high)

    patch.setattr(sorted_segments, "GROUP", 1)
    patch.setattr(sorted_segments.SortedReader, "_take", stopping)


def short_chain(patch):
    """The padding of a chain is not read."""
    patch.setattr(hashed, "chain_class", lambda pages: pages)


def stash_first(patch):
    """The bucket page of a word is not read when the header says where its list is."""
    few = HashedReader._few

    def hasty(self, words):
        there = self._stash_blocks().all()[1].tolist()
        return few(self, [word for word in words if word not in there])

    patch.setattr(HashedReader, "_few", hasty)


def small_in_part(patch):
    """Of a small segment only those pages are read that a lookup needs."""
    patch.setattr(paging, "WHOLE", 1)


def query_order(patch):
    """Ids go out in the order in which rows were asked for."""
    patch.setattr(wire, "sorted_ids", tuple)


def insertion_order(patch):
    """Rows are sent in the order in which they were inserted."""
    patch.setattr(wire, "sorted_pairs", tuple)


PLANTED = [
    (labels_in_order, SMALL),
    (unpadded_delta, SMALL),
    (unpadded_rows, SMALL),
    (query_order, SMALL),
    (insertion_order, SMALL),
    (small_in_part, SETTLED),
    (no_dummies, WIDE),
    (short_chain, WORDS),
    (pages_in_order, BUILT),
    (no_groups, RANGE),
    (early_stop, RANGE),
]
pytestmark = pytest.mark.usefixtures("repeatable")


@pytest.mark.parametrize("steps", [WORDS, RANGE, SETTLED], ids=["words", "range", "settled"])
def test_nothing_is_found_where_nothing_is_planted(tmp_path, prepared, steps):
    start, rest = prepared.of(steps)
    hold(tmp_path / "store", rest, after=start)


@pytest.mark.parametrize(("plant", "steps"), PLANTED, ids=[one[0].__name__ for one in PLANTED])
def test_a_planted_leak_is_found(tmp_path, monkeypatch, prepared, plant, steps):
    start, rest = prepared.of(steps)
    plant(monkeypatch)
    with pytest.raises(UnequalError):
        hold(tmp_path / "store", rest, after=start)


def test_a_bucket_that_is_spared_by_the_stash_is_found(tmp_path, monkeypatch, prepared):
    start, _ = prepared.of(HASHED)
    model, _ = pickle.loads(start.state)
    (segment,) = model.tables[0].hashed()
    table = model.tables[0].schema
    words = {
        word_of(model.functions, table, table.indexes[0], (number,)): number for number, *_ in ROWS
    }
    number = next(words[word] for word in segment.stashed if word in words)
    steps = [Connect(client=OTHER), Equal("t", ("code",), "id", (number,), client=OTHER)]
    hold(tmp_path / "honest", steps, after=start)
    stash_first(monkeypatch)
    with pytest.raises(UnequalError):
        hold(tmp_path / "hasty", steps, after=start)
