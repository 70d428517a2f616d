"""Snapshots, heads and the cheap answer that nothing changed."""

from __future__ import annotations

import pytest

from encdb import wire
from encdb.errors import InterfaceError, ProgrammingError, TamperError
from encdb.stores import Store, open_store
from tests.fixtures.commits import (
    TABLE,
    WRITER,
    catalog_change,
    change,
    claims,
    commit,
    delta,
    heads,
    ids,
    rows,
    swap,
    table_heads,
    with_table,
)
from tests.fixtures.kinds import StoreKind

pytestmark = pytest.mark.every_store


@pytest.fixture
def store(store: Store) -> Store:
    return with_table(store)


def test_a_new_store_answers_with_its_genesis(store: Store, genesis: wire.Genesis):
    answer = heads(store, table=None)
    assert (answer.database, answer.incarnation, answer.format) == (
        genesis.database,
        genesis.incarnation,
        genesis.format,
    )
    assert answer.catalog_version == 1
    assert answer.catalog_links[0] == genesis.link


def test_a_new_table_has_epoch_0_and_no_manifest(store: Store):
    assert table_heads(store) == wire.TableHeads(
        table=TABLE, epoch=0, manifest=None, links=(), deltas=(), ends=()
    )


def test_unknown_tables_are_left_out(store: Store):
    assert heads(store, table=1).tables == ()


def test_only_news_is_sent(store: Store):
    first, second = delta(1), delta(2)
    store.commit(commit(change(delta=first)))
    store.commit(commit(change(delta=second)))
    assert table_heads(store, epoch=0, frontier=((WRITER, 1),)).deltas == (second,)
    assert table_heads(store, epoch=0, frontier=((WRITER, 2),)).deltas == ()
    assert table_heads(store, epoch=0, frontier=((WRITER, 2),)).ends == ((WRITER, 2, 2),)


def test_links_are_sent_from_the_chain_wanted_on(store: Store):
    swaps = [swap(epoch) for epoch in (1, 2, 3)]
    for one in swaps:
        assert store.commit(commit(change(one.epoch - 1, swap=one))) == wire.Committed()
    links = tuple(one.link for one in swaps)
    assert table_heads(store, chain=0).links == links
    assert table_heads(store, chain=2).links == links[2:]
    assert table_heads(store, epoch=3, chain=3) == wire.TableHeads(TABLE, 3, None, (), (), ())
    assert table_heads(store, epoch=1, chain=1).manifest == swaps[-1].manifest


def test_blobs_are_those_that_exist_in_order(store: Store):
    store.commit(commit(change(rows_added=((9, b"nine"), (4, b"four")), delta=delta(1))))
    with store.snapshot() as snapshot:
        assert snapshot.read(wire.ReadRows(TABLE, (9, 5, 4))) == wire.Blobs(
            TABLE, (4, 9), (b"four", b"nine")
        )
        assert snapshot.read(wire.ReadRows(TABLE, ())) == wire.Blobs(TABLE, (), ())
        assert snapshot.read(wire.ReadPages(TABLE, (1,))).ids == ()
        assert snapshot.read(wire.ReadKeys(TABLE, (b"t",))).claims == ()


@pytest.mark.parametrize("count", [1, 2, 3, 999, 1000, 1001, 2047])
def test_any_number_of_ids_is_answered(store: Store, count: int):
    pages = tuple((wire.page_id(1, page), b"%d" % page) for page in range(count))
    store.stage(wire.Stage(TABLE, 1, pages=pages))
    with store.snapshot() as snapshot:
        answer = snapshot.read(wire.ReadPages(TABLE, tuple(identity for identity, _ in pages)))
    assert tuple(zip(answer.ids, answer.blobs, strict=True)) == pages


def test_a_snapshot_does_not_move(store: Store, store_url: str):
    other = open_store(store_url)
    store.commit(commit(change(rows_added=((1, b"a"),), delta=delta(1))))
    with other.snapshot() as snapshot:
        assert snapshot.read(wire.ReadRows(TABLE, None)).ids == (1,)
        store.commit(commit(change(rows_added=((2, b"b"),), delta=delta(2))))
        assert snapshot.read(wire.ReadRows(TABLE, None)).ids == (1,)
    assert set(rows(other)) == {1, 2}
    other.close()


def test_a_store_writes_while_its_own_snapshot_is_open(store: Store):
    with store.snapshot() as snapshot:
        assert snapshot.read(wire.ListIds(TABLE, "pages")).ids == ()
        first = store.lease(wire.Lease(TABLE, "segment", 1)).first
        page = wire.page_id(first, 0)
        assert store.stage(wire.Stage(TABLE, first, pages=((page, b"page"),))) == wire.Staged()
        assert store.commit(commit(change(swap=swap(1, published=(first,))))) == wire.Committed()
        assert snapshot.read(wire.ListIds(TABLE, "pages")).ids == ()
    assert ids(store, "pages") == (page,)


def test_snapshots_do_not_nest_and_end(store: Store):
    with store.snapshot() as snapshot, pytest.raises(ProgrammingError) as caught, store.snapshot():
        pass
    assert caught.value.code == "E_SNAPSHOT_OPEN"
    with pytest.raises(InterfaceError) as ended, store.snapshot():
        snapshot.read(wire.ReadRows(TABLE, None))
    assert ended.value.code == "E_CLOSED"


def test_a_closed_store_answers_nothing(store: Store):
    store.close()
    store.close()
    with pytest.raises(InterfaceError), store.snapshot():
        pass
    with pytest.raises(InterfaceError):
        store.commit(commit(change(delta=delta(1))))


class TestUnchanged:
    """``if_changed`` may only ever save work."""

    def ask(self, store: Store, n: int = 0, **more) -> bool:
        frontier = ((WRITER, n),) if n else ()
        asked = {"epoch": 0, "version": 1, "frontier": frontier, **more}
        return heads(store, if_changed=True, **asked).unchanged

    def test_the_first_answer_is_full(self, store: Store):
        assert not self.ask(store)
        assert self.ask(store)

    def test_a_commit_of_ones_own_is_news(self, store: Store):
        self.ask(store)
        store.commit(commit(change(delta=delta(1))))
        assert not self.ask(store)
        assert self.ask(store, 1)

    def test_a_commit_of_another_is_news(self, store: Store, store_url: str):
        other = open_store(store_url)
        self.ask(store)
        other.commit(commit(change(delta=delta(1))))
        assert not self.ask(store)
        assert self.ask(store, 1)
        other.close()

    def test_a_client_that_did_not_take_in_the_last_answer_gets_it_again(self, store: Store):
        store.commit(commit(change(delta=delta(1))))
        assert not self.ask(store)
        assert not self.ask(store)
        assert self.ask(store, 1)

    def test_another_catalog_version_is_news(self, store: Store):
        self.ask(store)
        assert not self.ask(store, version=0)

    def test_a_table_not_asked_about_before_is_news(self, store: Store):
        store.commit(commit(version=1, catalog=catalog_change(2, created=(1,))))
        self.ask(store, version=2)
        assert not self.ask(store, version=2, table=1)
        assert self.ask(store, version=2, table=1)
        assert self.ask(store, version=2)

    def test_news_of_one_table_is_not_lost_by_asking_about_another(
        self, store: Store, store_url: str
    ):
        store.commit(commit(version=1, catalog=catalog_change(2, created=(1,))))
        assert not self.ask(store, version=2, table=1)
        other = open_store(store_url)
        other.commit(commit(change(table=1, delta=delta(1)), version=2))
        other.close()
        assert not self.ask(store, version=2)
        assert not self.ask(store, version=2, table=1)

    def test_without_the_wish_the_answer_is_full(self, store: Store):
        self.ask(store)
        assert not heads(store, epoch=0, version=1).unchanged


def read_everything(store: Store) -> None:
    rows(store)
    heads(store)
    claims(store)


DAMAGE = {
    "sqlite": [
        "UPDATE rows_00c0ffee SET blob = 'text'",
        "UPDATE rows_00c0ffee SET blob = 17",
        "DROP TABLE rows_00c0ffee",
        "ALTER TABLE rows_00c0ffee RENAME COLUMN blob TO glob",
        "UPDATE heads SET database = 'text'",
        "UPDATE heads SET catalog_version = 'one'",
        "DELETE FROM heads",
        "DELETE FROM catalog",
        "UPDATE catalog SET link = 5",
        "UPDATE tables SET epoch = 'one'",
        "UPDATE tables SET epoch = 1",
        "UPDATE deltas_00c0ffee SET writer = 'text'",
        "UPDATE deltas_00c0ffee SET writer = x'00'",
        "UPDATE deltas_00c0ffee SET n = -1",
        "UPDATE deltas_00c0ffee SET blob = 3.5",
        "UPDATE keys_00c0ffee SET tag = 'text'",
        "UPDATE keys_00c0ffee SET label = 'text'",
        "DROP TABLE heads",
        "DROP TABLE tables",
    ],
    # The database itself refuses values of another type until whoever owns it changes the columns.
    "postgres": [
        "ALTER TABLE rows ALTER COLUMN blob TYPE TEXT USING 'text'",
        "ALTER TABLE rows ALTER COLUMN blob TYPE INT USING 17",
        "ALTER TABLE rows ALTER COLUMN blob DROP NOT NULL; UPDATE rows SET blob = NULL",
        "DROP TABLE rows",
        "ALTER TABLE rows RENAME COLUMN blob TO glob",
        "ALTER TABLE heads ALTER COLUMN database TYPE TEXT USING 'text'",
        "ALTER TABLE heads ALTER COLUMN catalog_version TYPE TEXT USING 'one'",
        "UPDATE heads SET database = 'short'",
        "DELETE FROM heads",
        "DELETE FROM catalog",
        "UPDATE catalog SET blob = NULL",
        "UPDATE catalog SET link = 'short'",
        "ALTER TABLE catalog ALTER COLUMN link TYPE INT USING 5",
        "ALTER TABLE tables ALTER COLUMN epoch TYPE TEXT USING 'one'",
        "ALTER TABLE tables ALTER COLUMN epoch TYPE DOUBLE PRECISION",
        "UPDATE tables SET epoch = 1",
        "ALTER TABLE deltas ALTER COLUMN writer TYPE TEXT USING 'text'",
        "UPDATE deltas SET writer = '\\x00'",
        "UPDATE deltas SET n = -1",
        "ALTER TABLE deltas ALTER COLUMN blob TYPE DOUBLE PRECISION USING 3.5",
        "ALTER TABLE keys ALTER COLUMN tag TYPE TEXT USING 'text'",
        "ALTER TABLE keys ALTER COLUMN label TYPE TEXT USING 'text'",
        "DROP TABLE heads",
        "DROP TABLE tables",
    ],
}


def check_damage(store: Store, kind: StoreKind, url: str, damage: str) -> None:
    """What the store answers after the change is an integrity failure."""
    store.commit(commit(change(rows_added=((1, b"r"),), keys_added=((b"t", 1),), delta=delta(1))))
    with kind.raw(url) as raw:
        for statement in damage.split("; "):
            raw.run(statement)
    with pytest.raises(TamperError) as caught:
        read_everything(store)
    assert caught.value.exit_status == 4


@pytest.mark.stores("sqlite", "remote")
@pytest.mark.parametrize("damage", DAMAGE["sqlite"])
def test_values_of_another_type_in_a_file_are_an_integrity_failure(
    store: Store, store_kind: StoreKind, store_url: str, damage: str
):
    check_damage(store, store_kind, store_url, damage)


@pytest.mark.stores("postgres")
@pytest.mark.parametrize("damage", DAMAGE["postgres"])
def test_values_of_another_type_in_postgresql_are_an_integrity_failure(
    store: Store, store_kind: StoreKind, store_url: str, damage: str
):
    check_damage(store, store_kind, store_url, damage)
