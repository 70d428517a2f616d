"""Random histories of two connections against a plain model of what Commit promises."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from encdb import wire
from encdb.stores import create_store, open_store
from tests.fixtures.commits import (
    TABLE,
    change,
    claims,
    commit,
    delta,
    entries,
    ids,
    rows,
    swap,
    table_heads,
    with_table,
)
from tests.fixtures.kinds import StoreKind
from tests.fixtures.stores import GENESIS

LABELS = st.lists(st.integers(0, 12), max_size=4, unique=True)
INDEXES: dict[int, wire.VisibleKind] = {1: "tag", 2: "order", 3: "compare"}
ENTRIES = st.dictionaries(
    st.tuples(st.sampled_from(sorted(INDEXES)), st.integers(0, 6)),
    st.sampled_from([b"", b"\0", b"\0\0", b"a", b"\xff" * 200]),
    max_size=4,
)
"""(index, label) → value of server-visible entries."""
TAGS = st.lists(st.sampled_from([bytes([one]) * 16 for one in range(8)]), max_size=3, unique=True)
WHO = st.integers(0, 1)


class Histories(RuleBasedStateMachine):
    """Two sessions write the same table; each knows the epoch, none the other's rows."""

    def __init__(self, kind: StoreKind) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.kind = kind
        self.url = kind.new_url(Path(self.folder.name))
        self.stores = [with_table(create_store(self.url, GENESIS)), open_store(self.url)]
        self.writers = [bytes([1]) * 16, bytes([2]) * 16]
        self.numbers = [0, 0]
        self.epoch = 0
        self.rows: dict[int, bytes] = {}
        self.claims: dict[bytes, int] = {}
        self.tombstones: set[int] = set()
        self.deltas: dict[tuple[bytes, int], bytes] = {}
        self.pages: set[int] = set()
        self.entries: dict[int, bytes] = {}
        self.expired: set[int] = set()
        self.sent: list[wire.Commit] = []

    @initialize()
    def start(self) -> None:
        assert table_heads(self.stores[0]).ends == ()

    def teardown(self) -> None:
        for store in self.stores:
            store.close()
        self.kind.drop(self.url)
        self.folder.cleanup()

    def batches(
        self, entries: dict[tuple[int, int], bytes], gone: set[int]
    ) -> tuple[wire.VisibleBatch, ...]:
        """Entries for a message: those that are not there, as a label has one value for ever."""
        taken = self.entries.keys() - gone
        return tuple(
            wire.VisibleBatch(
                index,
                kind,
                tuple(
                    (label, value)
                    for (one, label), value in entries.items()
                    if one == index and wire.entry_id(index, label) not in taken
                ),
            )
            for index, kind in INDEXES.items()
        )

    @rule(
        who=WHO,
        removed=LABELS,
        added=LABELS,
        freed=TAGS,
        claimed=TAGS,
        buried=LABELS,
        shown=ENTRIES,
        hidden=ENTRIES,
        dropped=st.sampled_from([(), (), (), (2,), (1, 3)]),
    )
    def write(
        self,
        who: int,
        removed: list[int],
        added: list[int],
        freed: list[bytes],
        claimed: list[bytes],
        buried: list[int],
        shown: dict[tuple[int, int], bytes],
        hidden: dict[tuple[int, int], bytes],
        dropped: tuple[int, ...],
    ) -> None:
        owner = 100 + who
        gone = {wire.entry_id(*one) for one in hidden}
        sent = commit(
            change(
                self.epoch,
                rows_removed=tuple(removed),
                rows_added=tuple((label, os.urandom(4)) for label in added),
                keys_removed=tuple((tag, owner) for tag in freed),
                keys_added=tuple((tag, owner) for tag in claimed),
                tombstones=tuple(buried),
                visible_added=self.batches(shown, gone | self.of(dropped)),
                visible_removed=tuple(gone),
                visible_dropped=dropped,
                delta=delta(self.numbers[who] + 1, self.writers[who]),
            )
        )
        expected = self.expect(sent.changes[0], owner)
        assert self.stores[who].commit(sent) == expected
        if expected == wire.Committed():
            self.take_in(sent, who)

    def expect(self, one: wire.TableChange, owner: int) -> object:
        missing = sorted(set(one.rows_removed) - set(self.rows))
        if missing:
            return wire.Conflict("row", TABLE, ids=tuple(missing))
        lost = [tag for tag, label in one.keys_removed if self.claims.get(tag) != label]
        if lost:
            return wire.Conflict("row", TABLE, ids=(owner,) * len(lost))
        twice = sorted(set(one.tombstones) & self.tombstones)
        if twice:
            return wire.Conflict("row", TABLE, ids=tuple(twice))
        freed = {tag for tag, _ in one.keys_removed}
        taken = sorted({tag for tag, _ in one.keys_added} & (set(self.claims) - freed))
        if taken:
            return wire.Conflict("key", TABLE, tags=tuple(taken))
        kept = set(self.rows) - set(one.rows_removed)
        if {label for label, _ in one.rows_added} & kept:
            there = sorted({label for label, _ in one.rows_added} & set(self.rows))
            return wire.Conflict("row", TABLE, ids=tuple(there))
        return wire.Committed()

    def of(self, indexes: tuple[int, ...]) -> set[int]:
        """The entries of some indexes."""
        return {number for number in self.entries if number >> 44 in indexes}

    def show(self, batches: tuple[wire.VisibleBatch, ...]) -> None:
        for one in batches:
            number = bytes((wire.VISIBLE_KINDS.index(one.kind) + 1,))
            for label, value in one.entries:
                self.entries[wire.entry_id(one.index, label)] = number + value

    def take_in(self, sent: wire.Commit, who: int) -> None:
        one = sent.changes[0]
        for number in {*one.visible_removed, *self.of(one.visible_dropped)}:
            self.entries.pop(number, None)
        self.show(one.visible_added)
        for label in one.rows_removed:
            del self.rows[label]
        self.rows.update(one.rows_added)
        for tag, _ in one.keys_removed:
            del self.claims[tag]
        self.claims.update(one.keys_added)
        self.tombstones |= set(one.tombstones)
        assert one.delta is not None
        self.deltas[one.delta.writer, one.delta.n] = one.delta.blob
        self.numbers[who] += 1
        self.sent.append(sent)

    @rule(who=WHO, data=st.data())
    def repeat(self, who: int, data: st.DataObject) -> None:
        """The last commit of each writer may arrive again at any time, through any connection."""
        latest = [
            sent
            for sent in self.sent
            for one in sent.changes
            if one.swap is not None
            or (one.delta and self.numbers[self.writers.index(one.delta.writer)] == one.delta.n)
        ]
        if latest:
            sent = data.draw(st.sampled_from(latest))
            assert self.stores[who].commit(sent) == wire.Committed(repeated=True)

    @rule(who=WHO, shown=ENTRIES)
    def leave(self, who: int, shown: dict[tuple[int, int], bytes]) -> None:
        """A stage that is never published, whatever its entries are."""
        stage = self.stores[who].lease(wire.Lease(TABLE, "segment", 1)).first
        visible = tuple(
            wire.VisibleBatch(index, INDEXES[index], ((label, value),))
            for (index, label), value in {one[0]: (one, shown[one]) for one in shown}.values()
        )
        message = wire.Stage(TABLE, stage, visible=visible)
        assert self.stores[who].stage(message) == wire.Staged()
        with self.kind.raw(self.url) as raw:
            stages = raw.relation("stages")
            for key, row in stages.rows.items():
                if stages.values(row)["stage"] == stage:
                    raw.change(stages, key, "deadline", 5)
        if shown:
            self.expired.add(stage)

    @rule(who=WHO)
    def sweep(self, who: int) -> None:
        swept = self.stores[who].sweep(wire.Sweep(TABLE)).stages
        assert self.expired <= set(swept)
        self.expired = set()

    @rule(who=WHO, keep=st.booleans(), shown=ENTRIES)
    def merge(self, who: int, keep: bool, shown: dict[tuple[int, int], bytes]) -> None:
        """Fold everything, or all but the second writer's deltas."""
        folded = [
            (writer, n) for writer, n in self.deltas if not (keep and writer == self.writers[1])
        ]
        segment = self.stores[who].lease(wire.Lease(TABLE, "segment", 1)).first
        page = wire.page_id(segment, 0)
        visible = self.batches(shown, set())
        staged = wire.Stage(TABLE, segment, pages=((page, b"page"),), visible=visible)
        self.stores[who].stage(staged)
        retired = tuple(identity >> 32 for identity in self.pages)
        merged = swap(
            self.epoch + 1,
            published=(segment,),
            folded_deltas=tuple(folded),
            folded_rows=tuple(self.rows),
            folded_keys=tuple(self.claims.items()),
            folded_tombstones=tuple(self.tombstones),
            retired_segments=retired,
        )
        sent = commit(change(self.epoch, swap=merged))
        assert self.stores[who].commit(sent) == wire.Committed()
        self.sent.append(sent)
        self.epoch += 1
        self.rows, self.claims, self.tombstones = {}, {}, set()
        for one in folded:
            del self.deltas[one]
        self.pages = {page}
        self.show(visible)

    @rule(who=WHO)
    def stale(self, who: int) -> None:
        late = commit(change(self.epoch + 1, rows_added=((99, b""),), delta=delta(1)))
        assert self.stores[who].commit(late) == wire.Stale("epoch", TABLE)

    @rule(who=WHO)
    def reopen(self, who: int) -> None:
        self.stores[who].close()
        self.stores[who] = open_store(self.url)

    @invariant()
    def both_connections_see_the_model(self) -> None:
        for store in self.stores:
            assert rows(store) == self.rows
            assert claims(store) == self.claims
            assert set(ids(store, "tombstones")) == self.tombstones
            assert set(ids(store, "pages")) == self.pages
            assert entries(store) == self.entries
            one = table_heads(store)
            assert one.epoch == self.epoch
            assert len(one.links) == self.epoch
            assert {(entry.writer, entry.n): entry.blob for entry in one.deltas} == self.deltas


@pytest.mark.every_store
def test_histories(store_kind: StoreKind):
    examples = 25 if store_kind.thorough else 8
    chosen = settings(max_examples=examples, stateful_step_count=25, deadline=None)
    run_state_machine_as_test(lambda: Histories(store_kind), settings=chosen)


@pytest.mark.slow
@pytest.mark.every_store
@pytest.mark.timeout(1800)
def test_many_histories(store_kind: StoreKind):
    chosen = settings(max_examples=150, stateful_step_count=50, deadline=None)
    run_state_machine_as_test(lambda: Histories(store_kind), settings=chosen)
