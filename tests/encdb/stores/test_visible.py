"""Entries of server-visible indexes: written with commits and stages, and read by value."""

from __future__ import annotations

import importlib
import itertools
import random
import subprocess
import sys

import numpy as np
import pytest

from encdb import wire
from encdb.errors import InternalError, OperationalError, ProgrammingError, TamperError, err
from encdb.stores import Store, base
from indexes.keys import Key
from indexes.methods.ore.client import OreCipher
from indexes.types import ColumnType
from tests.fixtures.commits import TABLE, catalog_change, change, commit, delta, swap, with_table
from tests.fixtures.kinds import StoreKind

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


@pytest.mark.parametrize(
    ("name", "mask"), [("INTEGER", "sha256"), ("BIGINT", "sha256"), ("BIGINT", "aes")]
)
def test_comparison_with_tokens(store: Store, store_kind: StoreKind, monkeypatch, name, mask):
    if mask == "aes":
        # A column and a list of labels are read in several parts.
        visible = importlib.import_module("encdb.stores.sqlite.visible")
        monkeypatch.setattr(visible, "_AT_ONCE", 4)
        monkeypatch.setattr(visible, "_MARKS", 3)
        monkeypatch.setattr(visible, "_FEW", 5)
    one = OreCipher(Key.random(), ColumnType.parse(name), mask)
    pick = random.Random(2)
    values = {
        label: pick.choice([-5, 0, 3, 3, 40, -(1 << 31), (1 << 31) - 1]) for label in range(30)
    }
    keys = np.array([[value + (1 << 63), 0] for value in values.values()], dtype=np.uint64)
    stored = [row.tobytes() for row in one.encrypt(keys)]
    add(store, dict(zip(values, stored, strict=True)), ORE, "compare")
    add(store, {label: tag(1) for label in range(0, 30, 3)})
    add(store, {0: tag(2), 12: tag(2), 13: tag(2)}, 4)
    add(store, {0: b"a", 12: b"b", 14: b"b"}, ORDER, "order")

    def token(value):
        return one.token((value + (1 << 63), 0))

    if store_kind.name == "postgres" and mask == "aes":
        with pytest.raises(ProgrammingError) as caught:
            found(store, between(token(3), index=ORE, kind="compare"))
        assert caught.value.code == "E_VISIBLE_MISFIT"
        return
    for low, high, low_open, high_open in [
        (-5, 3, False, False),
        (-5, 3, True, True),
        (None, 3, False, True),
        (3, None, True, False),
        (7, 7, False, False),
        (3, 3, False, False),
        (None, None, True, True),
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
        few = [label for label in wanted if label in (0, 12)]
        assert found(store, test, among(tag(2), index=4), between(b"a", b"b")) == few
        assert found(store, test, among(tag(7))) == []


def test_a_token_that_does_not_fit(store: Store):
    one = OreCipher(Key.random(), ColumnType.parse("INTEGER"), "sha256")
    stored = one.encrypt(np.array([[1 << 63, 0]], dtype=np.uint64))[0].tobytes()
    add(store, {1: stored}, ORE, "compare")
    good = one.token((1 << 63, 0))
    for token in (b"x", b"x" * 40, good[:-1], good[:4] + b"\xff" + good[5:]):
        for ends in ((token, b""), (b"", token)):
            with pytest.raises(ProgrammingError) as caught:
                found(store, between(*ends, index=ORE, kind="compare"))
            assert caught.value.code == "E_VISIBLE_MISFIT"


@pytest.mark.parametrize("wrong", ["short", "other"])
def test_a_value_that_does_not_fit_its_index(store: Store, wrong):
    one, other = (OreCipher(Key.random(), ColumnType.parse("BIGINT"), "sha256") for _ in range(2))
    keys = np.full((64, 2), [1 << 63, 0], dtype=np.uint64)
    stored = [row.tobytes() for row in (one if wrong == "short" else other).encrypt(keys)]
    if wrong == "short":
        stored[40] = stored[40][:-1]
    add(store, dict(enumerate(stored)), ORE, "compare")
    with pytest.raises(TamperError) as caught:
        found(store, between(one.token((1 << 63, 0)), index=ORE, kind="compare"))
    assert caught.value.code == "E_STORE_DAMAGED"


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


def test_an_entry_that_lies_under_another_index_is_none(
    store: Store, store_kind: StoreKind, store_url: str
):
    """Two columns say which index an entry is of; a check of the store asks by id."""
    add(store, {1: tag(1), 2: tag(2)})
    number = wire.entry_id(TAGS, 1)
    with store_kind.raw(store_url) as raw:
        (relation,) = (
            one for name, one in raw.relations().items() if name.startswith("visible") and one.rows
        )
        (key,) = (key for key, row in relation.rows.items() if relation.values(row)["id"] == number)
        raw.change(relation, key, "idx", TAGS + 1)
    asked = wire.ReadEntries(TABLE, (number, wire.entry_id(TAGS, 2)))
    assert read(store, asked).ids == (wire.entry_id(TAGS, 2),)
    assert number in read(store, wire.ListIds(TABLE, "visible")).ids


def test_entries_by_id(store: Store):
    add(store, {1: tag(1)})
    add(store, {1: b"\0x"}, ORDER, "order")
    numbers = [wire.entry_id(TAGS, 1), wire.entry_id(ORDER, 1), wire.entry_id(ORDER, 2)]
    answer = read(store, wire.ReadEntries(TABLE, tuple(numbers)))
    assert answer == wire.Blobs(TABLE, tuple(numbers[:2]), (b"\1" + tag(1), b"\2\0x"))


def test_a_stage_is_met_once_it_is_published(store: Store, store_kind: StoreKind, store_url: str):
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
    with store_kind.raw(store_url) as raw:
        assert raw.relation("staged_visible").rows == {}


def test_stages_that_write_the_same_entries_do_not_meet(store: Store):
    """An index that is made again after a failure has the number that it had before."""
    first, second = (store.lease(wire.Lease(TABLE, "segment", 1)).first for _ in range(2))
    for stage, value in ((first, tag(1)), (second, tag(2))):
        entries = batch(TAGS, "tag", {7: value, 5: value})
        assert store.stage(wire.Stage(TABLE, stage, visible=(entries,))) == wire.Staged()
    # A message that is sent again may come with other values, as a merge that is built anew does.
    again = wire.Stage(TABLE, second, visible=(batch(TAGS, "tag", {7: tag(3)}),))
    assert store.stage(again) == wire.Staged()
    done = commit(change(swap=swap(1, published=(second,))))
    assert store.commit(done) == wire.Committed()
    assert store.commit(done) == wire.Committed(repeated=True)
    assert found(store, among(tag(1), tag(2))) == [5]
    assert found(store, among(tag(3))) == [7]
    with pytest.raises(InternalError):
        store.commit(commit(change(1, swap=swap(2, published=(first,)))))
    assert read(store, wire.ReadGroups(TABLE, TAGS)).groups == ((tag(2), 1, 5), (tag(3), 1, 7))


def interrupted(*_arguments: object) -> None:
    raise err(OperationalError, "E_INTERRUPTED", "the statement was interrupted")


@pytest.fixture
def visible(store_kind: StoreKind):
    """The module of the store below that writes entries."""
    name = "postgres" if store_kind.name == "postgres" else "sqlite"
    return importlib.import_module(f"encdb.stores.{name}.visible")


def expire(kind: StoreKind, url: str) -> None:
    """Every stage has been left alone for too long."""
    with kind.raw(url) as raw:
        stages = raw.relation("stages")
        for key, row in stages.rows.items():
            if (deadline := stages.values(row)["deadline"]) > 0:
                raw.change(stages, key, "deadline", deadline - base.STAGE_SECONDS - 5)


def test_a_sweep_drops_the_entries_of_a_stage(
    store: Store, store_kind: StoreKind, store_url: str, visible, monkeypatch
):
    first, second = (store.lease(wire.Lease(TABLE, "segment", 1)).first for _ in range(2))
    entries = batch(TAGS, "tag", {label: tag(1) for label in range(300)})
    monkeypatch.setattr(visible, "SWEPT_AT_ONCE", 128)
    assert store.stage(wire.Stage(TABLE, first, visible=(entries,))) == wire.Staged()
    expire(store_kind, store_url)
    assert store.stage(wire.Stage(TABLE, second, visible=(entries,))) == wire.Staged()
    with monkeypatch.context() as patch:
        patch.setattr(visible, "drop_stage", interrupted)
        with pytest.raises(OperationalError):
            store.sweep(wire.Sweep(TABLE))
    # The sweep that died has marked the stage, and the next one takes it up.
    assert store.commit(commit(change(swap=swap(1, published=(first,))))) == wire.Stale(
        "stage", TABLE
    )
    assert store.sweep(wire.Sweep(TABLE)) == wire.Swept((first,))
    assert store.sweep(wire.Sweep(TABLE)) == wire.Swept()
    with store_kind.raw(store_url) as raw:
        assert {key[1] for key in raw.relation("staged_visible").rows} == {second}
    assert store.commit(commit(change(swap=swap(1, published=(second,))))) == wire.Committed()
    assert found(store, among(tag(1))) == list(range(300))


def test_a_dropped_table_takes_its_stages_along(
    store: Store, store_kind: StoreKind, store_url: str
):
    stage = store.lease(wire.Lease(TABLE, "segment", 1)).first
    entries = (batch(TAGS, "tag", {1: tag(1)}),)
    assert store.stage(wire.Stage(TABLE, stage, visible=entries)) == wire.Staged()
    add(store, {1: tag(1)})
    store.commit(commit(catalog=catalog_change(2, dropped=(TABLE,))))
    with store_kind.raw(store_url) as raw:
        left = [name for name, one in raw.relations().items() if "visible" in name and one.rows]
    assert left == []


def test_a_commit_that_was_done_is_not_done_again(store: Store):
    sent = commit(change(visible_added=(batch(TAGS, "tag", {1: tag(1)}),), delta=delta(1)))
    assert store.commit(sent) == wire.Committed()
    assert store.commit(sent) == wire.Committed(repeated=True)
    gone = commit(change(visible_removed=(wire.entry_id(TAGS, 1),), delta=delta(2)))
    assert store.commit(gone) == wire.Committed()
    assert store.commit(gone) == wire.Committed(repeated=True)
    assert found(store, among(tag(1))) == []


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
        lambda: wire.VisibleBatch(1, "tag", ((1, bytes(wire.VISIBLE_BYTES + 1)),)),
        lambda: wire.VisibleBatch(1, "tag", ((1, "text"),)),
        lambda: wire.VisibleBatch(1, "key", ()),
        lambda: wire.VisibleTest(1, "key", ()),
        lambda: wire.VisibleTest(1, "tag", ("text",)),
        lambda: wire.VisibleTest(1, "order", (b"", bytes(wire.VISIBLE_BYTES + 1))),
        lambda: wire.VisibleTest(1 << 19, "order", (b"", b"")),
        lambda: wire.VisibleTest(1, "order", (b"",)),
        lambda: wire.VisibleTest(1, "compare", (b"", b"", b"")),
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


@pytest.mark.parametrize(
    "make",
    [
        lambda: wire.Groups(TABLE, ((tag(1), 1),)),
        lambda: wire.Groups(TABLE, ((tag(1), True, 1),)),
        lambda: wire.Groups(TABLE, (("text", 1, 1),)),
        lambda: wire.Groups(TABLE, [(tag(1), 1, 1)]),
        lambda: wire.Joined((1.0,), ()),
        lambda: wire.Joined((), [1]),
    ],
)
@pytest.mark.stores("sqlite")
def test_malformed_answers(make):
    with pytest.raises(TamperError):
        make()


@pytest.mark.stores("sqlite")
def test_a_store_loads_the_comparison_when_it_is_asked_for():
    """A server that never compares needs neither NumPy nor a library of ciphers."""
    code = (
        "import sys, encdb.stores.sqlite.visible; print({'numpy', 'cryptography'} & {*sys.modules})"
    )
    ran = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert ran.stdout == "set()\n"


def test_the_longest_values_have_their_place_in_every_store(store: Store):
    pick = random.Random(4)
    values = {label: bytes((label,)) + pick.randbytes(wire.VISIBLE_BYTES - 1) for label in range(8)}
    add(store, values, ORDER, "order")
    add(store, values)
    assert found(store, between(values[3], values[5])) == [3, 4, 5]
    assert found(store, among(values[6])) == [6]
