"""Leaks that are planted into the code under test are found by holding it against the model."""

from __future__ import annotations

import numpy as np
import pytest

from encdb import wire
from indexes import labels, seal
from indexes.multimap import delta, hashed, paging
from indexes.multimap import sorted as sorted_segments
from proxy import transaction

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
from .tables import PLAIN, code

TABLE = CreateTable("t", (("id", "BIGINT"), ("code", "TEXT"), ("body", "TEXT")), "id")
ROWS = tuple(
    (number, code(number), "often" + " seldom" * (number % 900 == 1)) for number in range(4_600)
)

SMALL = [
    CreateTable("t", (("name", "TEXT"),)),
    Insert("t", tuple(("x" * number,) for number in range(40))),
    Connect(client="other"),
    Scan("t", ("name",), client="other"),
]
HASHED = [
    TABLE,
    CreateIndex("t_body", "t", "keyword", ("body",), PLAIN),
    Insert("t", ROWS),
    Equal("t", ("code",), "id", (77,)),
    Match("t", ("id",), "body", ("often",)),
]
WIDE = [TABLE, CreateIndex("t_code", "t", "equality", ("code",)), Insert("t", ROWS)]
ORDERED = [
    TABLE,
    CreateIndex("t_code", "t", "range", ("code",)),
    Insert("t", ROWS),
    Between("t", ("id",), "code", "5", "7"),
]


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
    (no_dummies, WIDE),
    (short_chain, HASHED),
    (small_in_part, [*SMALL, Vacuum("t"), Scan("t", ("name",), client="other")]),
    (pages_in_order, ORDERED),
    (no_groups, ORDERED),
    (early_stop, ORDERED),
]


@pytest.mark.parametrize(
    "steps", [SMALL, HASHED, WIDE, ORDERED], ids=["small", "hashed", "wide", "ordered"]
)
def test_nothing_is_found_where_nothing_is_planted(tmp_path, steps):
    hold(tmp_path, steps)


@pytest.mark.parametrize(("plant", "steps"), PLANTED, ids=[one[0].__name__ for one in PLANTED])
def test_a_planted_leak_is_found(tmp_path, monkeypatch, plant, steps):
    plant(monkeypatch)
    with pytest.raises(UnequalError):
        hold(tmp_path, steps)
