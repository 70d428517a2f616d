"""A trace shows what a store sees: ids and sizes, and never a byte of a blob."""

from __future__ import annotations

import json

import pytest

from encdb import trace, wire
from encdb.errors import InterfaceError
from encdb.stores import Store
from encdb.trace import FROM_STORE, TO_STORE, Recorder
from tests.fixtures.commits import (
    TABLE,
    WRITER,
    change,
    commit,
    delta,
    swap,
    table_heads,
    with_table,
)

SECRET = b"sealed bytes that no trace may hold"


@pytest.fixture
def recorder(store: Store) -> Recorder:
    return Recorder(with_table(store))


def test_a_commit_and_its_answer(recorder: Recorder):
    sent = commit(change(rows_added=((7, SECRET), (3, b"")), delta=delta(1, blob=SECRET)))
    recorder.commit(sent)
    asked, answered = recorder.events
    assert (asked.boundary, asked.kind, asked.outcome) == (TO_STORE, "Commit", "")
    assert asked.named("changes.table") == (TABLE,)
    assert asked.named("changes.rows_added") == (3, 7)
    assert asked.named("changes.delta.writer") == (WRITER,)
    assert dict(asked.sizes) == {
        "changes.rows_added": (0, len(SECRET)),
        "changes.delta.blob": (len(SECRET),),
    }
    assert (asked.count, asked.bytes) == (3, 2 * len(SECRET))
    assert (answered.boundary, answered.kind, answered.outcome) == (FROM_STORE, "Committed", "ok")
    assert [event.sequence for event in recorder.events] == [1, 2]


def test_outcomes(recorder: Recorder):
    sent = commit(change(delta=delta(1)))
    recorder.commit(sent)
    recorder.commit(sent)
    recorder.commit(commit(change(5, delta=delta(2))))
    recorder.commit(commit(change(rows_removed=(1,), delta=delta(2))))
    outcomes = [event.outcome for event in recorder.events if event.boundary == FROM_STORE]
    assert outcomes == ["ok", "repeated", "stale epoch", "conflict row"]


def test_reading_is_recorded(recorder: Recorder):
    page = wire.page_id(1, 5)
    recorder.stage(wire.Stage(TABLE, 1, pages=((page, SECRET),)))
    recorder.commit(commit(change(swap=swap(1, published=(1,)))))
    mark = recorder.mark()
    with recorder.snapshot() as snapshot:
        snapshot.read(wire.ReadPages(TABLE, (page, page + 1)))
    asked, answered = recorder.since(mark)
    assert asked.named("ids") == (page, page + 1)
    assert (asked.count, answered.count, answered.bytes) == (0, 1, len(SECRET))
    table_heads(recorder)
    assert recorder.events[-1].kind == "Heads"


def test_requests_of_one_round_trip_are_answered_in_their_order(recorder: Recorder):
    requests = (wire.ListIds(TABLE, "rows"), wire.ReadKeys(TABLE, None))
    with recorder.snapshot() as snapshot:
        snapshot.read_all(requests)
    assert [event.kind for event in recorder.events] == ["ListIds", "ReadKeys", "Ids", "Keys"]
    recorder.close()
    mark = recorder.mark()
    with pytest.raises(InterfaceError):
        snapshot.read_all(requests)
    seen = [(event.kind, event.outcome) for event in recorder.since(mark)]
    assert seen == [("ListIds", ""), ("ReadKeys", ""), ("InterfaceError", "E_CLOSED")]


def test_leases_and_sweeps_are_recorded(recorder: Recorder):
    recorder.lease(wire.Lease(TABLE, "ordinal", 3))
    recorder.sweep(wire.Sweep(TABLE))
    kinds = [event.kind for event in recorder.events]
    assert kinds == ["Lease", "Leased", "Sweep", "Swept"]
    assert recorder.events[1].named("first") == (0,)


def test_errors_are_recorded_and_raised(recorder: Recorder):
    recorder.close()
    with pytest.raises(InterfaceError):
        recorder.lease(wire.Lease(TABLE, "ordinal", 3))
    assert recorder.events[-1].outcome == "E_CLOSED"


def test_no_event_holds_sealed_bytes(recorder: Recorder):
    recorder.stage(wire.Stage(TABLE, 1, pages=((1 << 32, SECRET),), packs=((1 << 11, SECRET),)))
    recorder.commit(commit(change(rows_added=((1, SECRET),), delta=delta(1, blob=SECRET))))
    recorder.commit(
        commit(change(swap=wire.Swap(1, manifest=SECRET, link=bytes(32), published=(1,))))
    )
    recorder.commit(commit(version=1, catalog=wire.CatalogChange(2, blob=SECRET, link=bytes(32))))
    table_heads(recorder)
    with recorder.snapshot() as snapshot:
        snapshot.read(wire.ReadRows(TABLE, None))
    text = json.dumps([event.as_dict() for event in recorder.events])
    assert SECRET.hex() not in text
    assert SECRET.decode() not in text
    assert SECRET not in repr(recorder.events).encode()


def test_every_sealed_field_of_the_wire_is_known_to_the_trace():
    """A new field of bytes has to be put among the ids or the ciphertexts on purpose."""
    genesis = wire.Genesis(bytes(16), bytes(16), 1, SECRET, bytes(32))
    ids, sizes = trace.visible(genesis)
    assert sizes == {"catalog": [len(SECRET)]}
    assert set(ids) == {"database", "incarnation", "format", "link"}


def test_values_of_server_visible_indexes_are_in_the_trace(recorder: Recorder):
    """The store sees them, and the tokens and bounds of a query, so a trace shows every byte."""
    one, two = b"value one", b"value two"
    batch = wire.VisibleBatch(3, "tag", ((8, two), (5, one)))
    recorder.commit(commit(change(visible_added=(batch,))))
    recorder.commit(commit(change(visible_removed=(wire.entry_id(3, 5),), visible_dropped=(9,))))
    recorder.commit(commit(change(visible_added=(wire.VisibleBatch(3, "tag", ((5, one),)),))))
    added, _, removed, *_ = recorder.events
    assert added.named("changes.visible_added.index") == (3,)
    assert added.named("changes.visible_added.entries") == (5, one, 8, two)
    assert (added.count, removed.count) == (0, 0)
    assert removed.named("changes.visible_removed") == (wire.entry_id(3, 5),)
    assert removed.named("changes.visible_dropped") == (9,)
    mark = recorder.mark()
    recorder.stage(wire.Stage(TABLE, 1, visible=(wire.VisibleBatch(4, "order", ((5, one),)),)))
    assert recorder.since(mark)[0].named("visible.entries") == (5, one)
    mark = recorder.mark()
    test, side = wire.VisibleTest(3, "tag", (two, one)), wire.JoinSide(TABLE, 3)
    entries = wire.ReadEntries(TABLE, (wire.entry_id(3, 8),))
    with recorder.snapshot() as snapshot:
        snapshot.read(wire.ReadVisible(TABLE, (test,)))
        snapshot.read(wire.ReadVisible(TABLE, (), order=3, descending=True, limit=1))
        snapshot.read(wire.ReadGroups(TABLE, 3, (test,)))
        snapshot.read(wire.ReadJoin(side, side))
        snapshot.read(entries)
        snapshot.read_all((wire.ListIds(TABLE, "visible"), entries))
    asked = [event for event in recorder.since(mark) if event.boundary == TO_STORE]
    given = [event for event in recorder.since(mark) if event.boundary == FROM_STORE]
    assert asked[0].named("tests.values") == (one, two)
    assert (asked[1].named("order"), asked[1].named("descending")) == ((3,), (True,))
    assert asked[2].named("tests.values") == (one, two)
    assert asked[3].named("left.index") == asked[3].named("right.index") == (3,)
    assert given[0].named("ids") == (5, 8)
    assert given[1].named("ids") == (8,)
    assert given[2].named("groups") == (one, 1, 5, two, 1, 8)
    assert given[3].named("left") == given[3].named("right") == (5, 8)
    # An entry that is read back is as clear as it was when it was written.
    assert given[4].named("blobs") == given[6].named("blobs") == (b"\1" + two,)
    assert all(event.count == 0 for event in given)
