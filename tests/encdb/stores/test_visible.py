"""Entries of server-visible indexes: written with commits and stages, and read by value."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest

from encdb import wire
from encdb.errors import InternalError, ProgrammingError
from encdb.stores import Store
from indexes.keys import Key
from indexes.methods.ore.client import OreCipher
from indexes.types import ColumnType
from tests.fixtures.commits import TABLE, catalog_change, change, commit, swap, with_table

pytestmark = pytest.mark.every_store

OTHER = 0xBEEF
TAGS, ORDER, ORE = 1, 2, 3


@pytest.fixture
def store(store: Store) -> Store:
    return with_table(store, TABLE, OTHER)


def tag(number):
    return bytes((number,)) * 16


def batch(index, kind, entries):
    return wire.VisibleBatch(index, kind, tuple(entries.items()))


def add(store, entries, index=TAGS, kind="tag", table=TABLE, **parts):
    parts["visible_added"] = (batch(index, kind, entries),)
    assert store.commit(commit(change(table=table, **parts))) == wire.Committed()


def read(store, request):
    with store.snapshot() as snapshot:
        return snapshot.read(request)


def found(store, *tests, **order):
    return list(read(store, wire.ReadVisible(TABLE, tests, **order)).ids)


def among(*values, index=TAGS):
    return wire.VisibleTest(index, "tag", values)


def between(low=b"", high=b"", *, low_open=False, high_open=False, index=ORDER, kind="order"):
    return wire.VisibleTest(index, kind, (low, high), low_open, high_open)


def test_rows_by_tag(store: Store):
    add(store, {10: tag(1), 7: tag(1), 8: tag(2)})
    assert found(store, among(tag(1))) == [7, 10]
    assert found(store, among(tag(2), tag(1), tag(9))) == [7, 8, 10]
    assert found(store, among(tag(9))) == []
    assert found(store, among()) == []
    assert found(store, among(tag(1), index=5)) == []


def test_entries_go_with_their_rows(store: Store):
    add(store, {10: tag(1), 7: tag(1)})
    gone = (wire.entry_id(TAGS, 7), wire.entry_id(9, 7), wire.entry_id(TAGS, 99))
    store.commit(commit(change(visible_removed=gone)))
    assert found(store, among(tag(1))) == [10]
    # The label may come again, as in a transaction that is repeated.
    add(store, {7: tag(3)}, visible_removed=(wire.entry_id(TAGS, 10),))
    assert found(store, among(tag(1), tag(3))) == [7]
    assert read(store, wire.ListIds(TABLE, "visible")).ids == (wire.entry_id(TAGS, 7),)


def test_an_entry_cannot_be_written_twice(store: Store):
    add(store, {7: tag(1)})
    with pytest.raises(InternalError):
        store.commit(commit(change(visible_added=(batch(TAGS, "tag", {7: tag(2)}),))))
    assert found(store, among(tag(1), tag(2))) == [7]


def test_a_dropped_index_and_a_dropped_table_leave_nothing(store: Store):
    add(store, {7: tag(1)})
    add(store, {7: b"order"}, ORDER, "order")
    store.commit(commit(change(visible_dropped=(TAGS, 77))))
    assert read(store, wire.ListIds(TABLE, "visible")).ids == (wire.entry_id(ORDER, 7),)
    store.commit(commit(catalog=catalog_change(2, dropped=(TABLE,))))
    store.commit(commit(version=2, catalog=catalog_change(3, created=(TABLE,))))
    assert read(store, wire.ListIds(TABLE, "visible")).ids == ()


VALUES = [b"", b"\0", b"\0\0", b"a", b"a\0", b"ab", b"b", b"\x7f", b"\x80", b"\xff" * 200]


def test_ranges_are_byte_by_byte(store: Store):
    entries = dict(enumerate(VALUES[1:], start=5))
    add(store, entries, ORDER, "order")
    for low, high in itertools.product(VALUES, repeat=2):
        for low_open, high_open in itertools.product((False, True), repeat=2):
            wanted = [
                label
                for label, value in entries.items()
                if (not low or value > low or (value == low and not low_open))
                and (not high or value < high or (value == high and not high_open))
            ]
            test = between(low, high, low_open=low_open, high_open=high_open)
            assert found(store, test) == wanted


@pytest.mark.parametrize("descending", [False, True])
def test_the_first_of_an_order_with_ties(store: Store, descending):
    pick = random.Random(1)
    entries = {label: bytes((pick.randrange(6),)) * 32 for label in range(40)}
    add(store, entries, ORDER, "order")
    add(store, {label: tag(label % 3) for label in range(0, 40, 2)})
    for limit in (1, 3, 12, 39, 40, 100):
        for tests in ((), (among(tag(0), tag(1)),)):
            rows = {
                label: value
                for label, value in entries.items()
                if not tests or (label % 2 == 0 and label % 3 < 2)
            }
            ordered = sorted(rows.values(), reverse=descending)
            bound = ordered[min(limit, len(ordered)) - 1]
            wanted = [
                label
                for label, value in sorted(rows.items())
                if (value >= bound if descending else value <= bound)
            ]
            answer = found(store, *tests, order=ORDER, descending=descending, limit=limit)
            assert answer == wanted


@pytest.mark.parametrize("name", ["INTEGER", "BIGINT"])
def test_comparison_with_tokens(store: Store, name):
    one = OreCipher(Key.random(), ColumnType.parse(name), "sha256")
    pick = random.Random(2)
    values = {
        label: pick.choice([-5, 0, 3, 3, 40, -(1 << 31), (1 << 31) - 1]) for label in range(30)
    }
    keys = np.array([[value + (1 << 63), 0] for value in values.values()], dtype=np.uint64)
    stored = [row.tobytes() for row in one.encrypt(keys)]
    add(store, dict(zip(values, stored, strict=True)), ORE, "compare")
    add(store, {label: tag(1) for label in range(0, 30, 3)})

    def token(value):
        return one.token((value + (1 << 63), 0))

    for low, high, low_open, high_open in [
        (-5, 3, False, False),
        (-5, 3, True, True),
        (None, 3, False, True),
        (3, None, True, False),
        (7, 7, False, False),
        (3, 3, False, False),
    ]:
        test = between(
            b"" if low is None else token(low),
            b"" if high is None else token(high),
            low_open=low_open,
            high_open=high_open,
            index=ORE,
            kind="compare",
        )
        wanted = [
            label
            for label, value in values.items()
            if (low is None or value > low or (value == low and not low_open))
            and (high is None or value < high or (value == high and not high_open))
        ]
        assert found(store, test) == wanted
        assert found(store, test, among(tag(1))) == [label for label in wanted if label % 3 == 0]


def test_a_token_that_does_not_fit(store: Store):
    one = OreCipher(Key.random(), ColumnType.parse("INTEGER"), "sha256")
    stored = one.encrypt(np.array([[1 << 63, 0]], dtype=np.uint64))[0].tobytes()
    add(store, {1: stored}, ORE, "compare")
    for token in (b"x" * 40, one.token((1 << 63, 0))[:-1]):
        with pytest.raises(ProgrammingError) as caught:
            found(store, between(token, index=ORE, kind="compare"))
        assert caught.value.code == "E_VISIBLE_MISFIT"


def test_groups(store: Store):
    add(store, {9: tag(2), 3: tag(1), 5: tag(2), 6: tag(1), 4: tag(2)})
    add(store, {9: b"a", 3: b"b", 5: b"c"}, ORDER, "order")
    assert read(store, wire.ReadGroups(TABLE, TAGS)).groups == ((tag(1), 2, 3), (tag(2), 3, 4))
    some = wire.ReadGroups(TABLE, TAGS, (between(b"b"),))
    assert read(store, some).groups == ((tag(1), 1, 3), (tag(2), 1, 5))
    assert read(store, wire.ReadGroups(TABLE, 9)).groups == ()


def test_joins(store: Store):
    add(store, {1: tag(1), 2: tag(2), 3: tag(2), 4: tag(4)})
    add(store, {11: tag(2), 12: tag(5), 13: tag(4), 14: tag(2)}, table=OTHER)
    left, right = wire.JoinSide(TABLE, TAGS), wire.JoinSide(OTHER, TAGS)
    assert read(store, wire.ReadJoin(left, right)) == wire.Joined((2, 3, 4), (11, 13, 14))
    narrow = wire.JoinSide(TABLE, TAGS, (among(tag(4)),))
    assert read(store, wire.ReadJoin(right, narrow)) == wire.Joined((13,), (4,))


def test_entries_by_id(store: Store):
    add(store, {1: tag(1)})
    add(store, {1: b"\0x"}, ORDER, "order")
    numbers = [wire.entry_id(TAGS, 1), wire.entry_id(ORDER, 1), wire.entry_id(ORDER, 2)]
    answer = read(store, wire.ReadEntries(TABLE, tuple(numbers)))
    assert answer == wire.Blobs(TABLE, tuple(numbers[:2]), (b"\1" + tag(1), b"\2\0x"))


def test_a_stage_is_met_once_it_is_published(store: Store):
    stage = store.lease(wire.Lease(TABLE, "segment", 1)).first
    entries = batch(TAGS, "tag", {label: tag(1) for label in range(100)})
    message = wire.Stage(TABLE, stage, visible=(entries,))
    assert store.stage(message) == wire.Staged()
    assert store.stage(message) == wire.Staged()
    assert found(store, among(tag(1))) == []
    assert read(store, wire.ListIds(TABLE, "visible")).ids == ()
    assert read(store, wire.ReadGroups(TABLE, TAGS)).groups == ()
    assert read(store, wire.ReadEntries(TABLE, (wire.entry_id(TAGS, 1),))).ids == ()
    done = store.commit(commit(change(swap=swap(1, published=(stage,)))))
    assert done == wire.Committed()
    assert found(store, among(tag(1))) == list(range(100))
    other = store.lease(wire.Lease(TABLE, "segment", 1)).first
    with pytest.raises(InternalError):
        store.stage(wire.Stage(TABLE, other, visible=(entries,)))


def test_a_refused_commit_leaves_nothing(store: Store):
    add(store, {1: tag(1)})
    refused = change(
        visible_added=(batch(TAGS, "tag", {2: tag(1)}),),
        visible_removed=(wire.entry_id(TAGS, 1),),
        rows_removed=(55,),
    )
    assert isinstance(store.commit(commit(refused)), wire.Conflict)
    assert found(store, among(tag(1))) == [1]


def test_a_snapshot_keeps_what_it_saw(store: Store):
    add(store, {1: tag(1)})
    with store.snapshot() as snapshot:
        request = wire.ReadVisible(TABLE, (among(tag(1)),))
        assert snapshot.read(request).ids == (1,)
        add(store, {2: tag(1)})
        assert snapshot.read_all([request, request])[1].ids == (1,)
    assert found(store, among(tag(1))) == [1, 2]


@pytest.mark.parametrize(
    "make",
    [
        lambda: wire.VisibleBatch(-1, "tag", ()),
        lambda: wire.VisibleBatch(1 << 19, "tag", ()),
        lambda: wire.VisibleBatch(1, "tag", ((1 << 44, b""),)),
        lambda: wire.VisibleBatch(1, "tag", ((1, b""), (1, b""))),
        lambda: wire.VisibleTest(1, "order", (b"",)),
        lambda: wire.ReadVisible(TABLE, ()),
        lambda: wire.ReadVisible(TABLE, (), order=1),
        lambda: wire.ReadVisible(TABLE, (among(tag(1)),), limit=3),
        lambda: change(visible_added=(wire.VisibleBatch(1, "tag", ()),) * 2),
        lambda: change(visible_dropped=(1, 1)),
    ],
)
@pytest.mark.stores("sqlite")
def test_malformed_messages(make):
    with pytest.raises(InternalError):
        make()


@pytest.mark.stores("sqlite")
def test_messages_carry_no_order():
    first = wire.VisibleBatch(1, "tag", ((9, tag(1)), (2, tag(2))))
    assert [label for label, _ in first.entries] == [2, 9]
    assert among(tag(3), tag(1)).values == (tag(1), tag(3))
    tests = (between(b"x"), among(tag(1)))
    assert wire.ReadVisible(TABLE, tests) == wire.ReadVisible(TABLE, tests[::-1])
