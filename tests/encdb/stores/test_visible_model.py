"""What a store answers by values, against the same conditions on plain numbers and byte strings."""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from encdb import wire
from encdb.stores import Store
from encdb.stores.sqlite import visible
from indexes.keys import Key
from indexes.methods.ore.client import OreCipher
from indexes.types import ColumnType
from tests.fixtures.commits import TABLE, change, commit, swap, with_table
from tests.fixtures.kinds import StoreKind

OTHER = 0xBEEF
TAGS, FEW, ORDER, NUMBERS = 1, 2, 3, 4
KINDS: dict[int, wire.VisibleKind] = {
    TAGS: "tag",
    FEW: "tag",
    ORDER: "order",
    NUMBERS: "compare",
}
CIPHER = OreCipher(Key.random(), ColumnType.parse("SMALLINT"), "sha256")
HALF = 1 << 63


def value(draw: random.Random) -> bytes:
    """Values of 0 to 200 bytes, many of which begin or end alike."""
    runs = [bytes((draw.choice((0, 0, 1, 0x7F, 0x80, 0xFE, 0xFF, 0xFF)),)) for _ in range(3)]
    lengths = [draw.choice((0, 0, 1, 2, 15, 16, 66)) for _ in runs]
    return b"".join(run * length for run, length in zip(runs, lengths, strict=True))


@dataclass
class Rows:
    """A table as everybody understands it: what each row has in each index, if anything."""

    table: int
    values: dict[int, dict[int, Any]] = field(default_factory=lambda: defaultdict(dict))

    def passes(self, label: int, test: wire.VisibleTest, ends: tuple[Any, Any]) -> bool:
        """Whether a row passes a test whose ends are, in clear, these; None for no bound."""
        held = self.values[test.index].get(label)
        if held is None:
            return False
        if test.kind == "tag":
            return held in test.values
        low, high = ends
        above = low is None or held > low or (held == low and not test.low_open)
        return above and (high is None or held < high or (held == high and not test.high_open))

    def chosen(self, tests: list[tuple[wire.VisibleTest, tuple[Any, Any]]]) -> list[int]:
        labels = {label for column in self.values.values() for label in column}
        return sorted(one for one in labels if all(self.passes(one, *test) for test in tests))


def written(index: int, plain: Any) -> bytes:
    """What the store gets for a value."""
    if index != NUMBERS:
        return plain
    return CIPHER.encrypt(np.array([[plain + HALF, 0]], dtype=np.uint64))[0].tobytes()


def batches(rows: Rows, labels: list[int]) -> tuple[wire.VisibleBatch, ...]:
    return tuple(
        wire.VisibleBatch(
            index,
            kind,
            tuple(
                (label, written(index, rows.values[index][label]))
                for label in labels
                if label in rows.values[index]
            ),
        )
        for index, kind in KINDS.items()
    )


def fill(store: Store, draw: random.Random, table: int, pool: list[bytes]) -> Rows:
    """Rows that come with commits, rows that come with a merge, and rows that go."""
    rows = Rows(table)
    labels = draw.sample(range(1 << 44), 60)
    for label in labels:
        for index in KINDS:
            if draw.random() < 0.85:
                rows.values[index][label] = (
                    draw.choice((-32768, -1, 0, 0, 7, 300, 32767))
                    if index == NUMBERS
                    else draw.choice(pool[:4] if index == FEW else pool)
                )
    part = len(labels) // 3
    for start in (0, part):
        added = batches(rows, labels[start : start + part])
        assert store.commit(commit(change(table=table, visible_added=added))) == wire.Committed()
    stage = store.lease(wire.Lease(table, "segment", 1)).first
    store.stage(wire.Stage(table, stage, visible=batches(rows, labels[2 * part :])))
    merged = change(table=table, swap=swap(1, published=(stage,)))
    assert store.commit(commit(merged)) == wire.Committed()
    gone = draw.sample(labels, 12)
    numbers = tuple(wire.entry_id(index, label) for index in KINDS for label in gone)
    removed = change(1, table=table, visible_removed=numbers)
    assert store.commit(commit(removed)) == wire.Committed()
    for column in rows.values.values():
        for label in gone:
            column.pop(label, None)
    return rows


def drawn_test(draw: random.Random, rows: Rows) -> tuple[wire.VisibleTest, tuple[Any, Any]]:
    """A test, and its ends in clear."""
    index = draw.choice(sorted(KINDS))
    held = sorted(rows.values[index].values())
    if KINDS[index] == "tag":
        wanted = [draw.choice(held) for _ in range(draw.randrange(5))] + [value(draw)]
        return wire.VisibleTest(index, "tag", tuple(wanted)), (None, None)
    ends: list[Any] = []
    for _ in range(2):
        near = draw.choice(held) if draw.random() < 0.7 else 5 if index == NUMBERS else value(draw)
        ends.append(near if draw.random() < 0.8 else None)
    if None not in ends and draw.random() < 0.9:
        ends.sort()
    if index == NUMBERS:
        shown = [b"" if one is None else CIPHER.token((one + HALF, 0)) for one in ends]
    else:
        # Empty bytes are no bound.
        ends = [one or None for one in ends]
        shown = [one or b"" for one in ends]
    strict = draw.random() < 0.5, draw.random() < 0.5
    test = wire.VisibleTest(index, KINDS[index], (shown[0], shown[1]), *strict)
    return test, (ends[0], ends[1])


def first(rows: Rows, passed: list[int], limit: int, *, descending: bool) -> list[int]:
    """The first of these rows in the order of their values, and those that tie with the last."""
    column = rows.values[ORDER]
    ordered = sorted((column[label] for label in passed if label in column), reverse=descending)
    if not ordered:
        return []
    bound = ordered[min(limit, len(ordered)) - 1]
    return [
        label
        for label in passed
        if label in column and (column[label] >= bound if descending else column[label] <= bound)
    ]


def compare(store: Store, seed: int, questions: int) -> None:
    draw = random.Random(seed)
    pool = [value(draw) for _ in range(14)]
    one, other = fill(store, draw, TABLE, pool[:12]), fill(store, draw, OTHER, pool[2:])
    asked: list[tuple[wire.ReadRequest, object]] = []
    for _ in range(questions):
        tests = [drawn_test(draw, one) for _ in range(draw.choice((0, 1, 1, 2, 3)))]
        conditions = tuple(test for test, _ in tests)
        passed = one.chosen(tests)
        if conditions:
            asked.append((wire.ReadVisible(TABLE, conditions), wire.Ids(TABLE, tuple(passed))))
        limit, descending = draw.choice((1, 2, 9, 40, 100)), draw.random() < 0.5
        ends = first(one, passed, limit, descending=descending)
        asked.append(
            (
                wire.ReadVisible(TABLE, conditions, ORDER, descending, limit),
                wire.Ids(TABLE, tuple(ends)),
            )
        )
        index = draw.choice((TAGS, FEW))
        groups: dict[bytes, list[int]] = defaultdict(list)
        for label in passed:
            if label in one.values[index]:
                groups[one.values[index][label]].append(label)
        listed = tuple((tag, len(rows), min(rows)) for tag, rows in sorted(groups.items()))
        asked.append((wire.ReadGroups(TABLE, index, conditions), wire.Groups(TABLE, listed)))
        more = [drawn_test(draw, other) for _ in range(draw.choice((0, 1)))]
        mine = {one.values[index][label] for rows in groups.values() for label in rows}
        theirs = {
            label: other.values[TAGS][label]
            for label in other.chosen(more)
            if label in other.values[TAGS]
        }
        joined = wire.Joined(
            tuple(sorted(label for tag in mine & {*theirs.values()} for label in groups[tag])),
            tuple(label for label, tag in theirs.items() if tag in mine),
        )
        sides = (
            wire.JoinSide(TABLE, index, conditions),
            wire.JoinSide(OTHER, TAGS, tuple(test for test, _ in more)),
        )
        asked.append((wire.ReadJoin(*sides), joined))
    with store.snapshot() as snapshot:
        answers = snapshot.read_all([request for request, _ in asked])
    for (request, wanted), answer in zip(asked, answers, strict=True):
        assert answer == wanted, request


@pytest.mark.every_store
def test_answers_are_those_of_the_plain_values(store: Store, store_kind: StoreKind):
    compare(with_table(store, TABLE, OTHER), 1, 200 if store_kind.thorough else 25)


def test_answers_that_are_read_in_many_parts(store: Store, monkeypatch: pytest.MonkeyPatch):
    """As of a table with more rows than are looked up one by one, or fit into one list."""
    for name, size in (("_FEW", 9), ("_AT_ONCE", 7), ("_MARKS", 3)):
        monkeypatch.setattr(visible, name, size)
    compare(with_table(store, TABLE, OTHER), 50, 200)


@pytest.mark.slow
@pytest.mark.every_store
@pytest.mark.parametrize("seed", range(2, 42))
def test_many_answers_are_those_of_the_plain_values(store: Store, seed: int):
    compare(with_table(store, TABLE, OTHER), seed, 60)
