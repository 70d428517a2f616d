"""Making, opening, describing and closing a store: the same answers whatever kind it is."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from encdb import wire
from encdb.errors import EncdbError, FormatError, InterfaceError, StoreUnavailable, TamperError
from encdb.stores import Store, create_store, open_store
from tests.fixtures.commits import TABLE, change, commit, delta, heads, rows, with_table
from tests.fixtures.kinds import StoreKind

pytestmark = pytest.mark.every_store


def code_of(kind: type[EncdbError], run: Callable[[], object]) -> str | None:
    """The code of an error that is one line with a fix, and names no password or token."""
    with pytest.raises(kind) as caught:
        run()
    assert "\n" not in str(caught.value)
    assert caught.value.fix
    return caught.value.code


def test_a_store_that_is_missing_is_not_made(store_kind: StoreKind, tmp_path: Path):
    url = store_kind.new_url(tmp_path, "none")
    assert code_of(StoreUnavailable, lambda: open_store(url)) == "E_STORE_MISSING"
    assert code_of(StoreUnavailable, lambda: open_store(url)) == "E_STORE_MISSING"


def test_a_store_is_made_once(store: Store, store_url: str, genesis: wire.Genesis):
    other = dataclasses.replace(genesis, database=b"another database")
    assert code_of(StoreUnavailable, lambda: create_store(store_url, other)) == "E_STORE_EXISTS"
    assert heads(store, table=None).database == genesis.database


@pytest.mark.parametrize(
    ("number", "codes"),
    [
        (1, {"E_FORMAT_OLDER", "E_STORE_DAMAGED"}),
        (3, {"E_FORMAT_NEWER", "E_STORE_DAMAGED"}),
        (1 << 20, {"E_FORMAT_NEWER", "E_STORE_DAMAGED"}),
    ],
)
def test_other_formats_are_refused(
    store: Store, store_kind: StoreKind, store_url: str, number: int, codes: set[str]
):
    """SQLite has the format twice, so one that was changed in one place is damage there."""
    store.close()
    with store_kind.raw(store_url) as raw:
        relation = raw.relation("heads")
        (key,) = relation.rows
        raw.change(relation, key, "format", number)
    with pytest.raises((FormatError, TamperError)) as caught:
        open_store(store_url)
    assert caught.value.code in codes


def test_a_description_names_the_store_and_no_secret(store: Store, store_url: str):
    with_table(store)
    blobs = tuple((label, bytes([label]) * 5000) for label in range(200))
    store.commit(commit(change(rows_added=blobs, delta=delta(1))))
    about = store.describe()
    assert about.kind.split()[0] in {"SQLite", "PostgreSQL"}
    assert about.bytes > 200 * 5000
    assert about.bytes < 20 * 200 * 5000
    assert 0 <= about.free <= about.bytes
    assert about.writable
    for shown in (about.url, store.url):
        secret = urlsplit(store_url).password
        assert secret is None or secret not in shown


def test_two_sessions_share_a_store(store: Store, store_url: str):
    with_table(store)
    other = open_store(store_url)
    store.commit(commit(change(rows_added=((1, b"row"),), delta=delta(1))))
    assert rows(other) == {1: b"row"}
    store.close()
    assert rows(other) == {1: b"row"}
    other.close()


def test_a_closed_store_is_closed(store: Store):
    with_table(store)
    store.close()
    store.close()
    with pytest.raises(InterfaceError) as caught, store.snapshot():
        pass
    assert caught.value.code == "E_CLOSED"
    with pytest.raises(InterfaceError):
        store.lease(wire.Lease(TABLE, "ordinal", 1))
    with pytest.raises(InterfaceError):
        store.describe()


def test_an_interruption_of_nothing_is_harmless(store: Store):
    with_table(store)
    store.interrupt()
    assert rows(store) == {}
    store.interrupt()
    assert store.commit(commit(change(delta=delta(1)))) == wire.Committed()


def test_reads_of_one_round_trip_are_of_one_state(store: Store):
    with_table(store)
    store.commit(commit(change(rows_added=((1, b"one"), (2, b"two")), delta=delta(1))))
    requests = (
        wire.ReadRows(TABLE, (2, 3)),
        wire.ReadKeys(TABLE, None),
        wire.ReadHeads(1, (wire.TableCursor(TABLE, 0, 0, ()),), if_changed=False),
        wire.ListIds(TABLE, "rows"),
        wire.ReadPages(TABLE, (1,)),
        wire.ReadRows(TABLE, None),
    )
    with store.snapshot() as snapshot:
        together = snapshot.read_all(requests)
        assert together == tuple(snapshot.read(one) for one in requests)
        assert snapshot.read_all(()) == ()
    assert together[0] == wire.Blobs(TABLE, (2,), (b"two",))
    assert together[3] == wire.Ids(TABLE, (1, 2))


@pytest.mark.parametrize("size", [0, 1, 8_160, 100_000, 5_000_000])
def test_blobs_of_any_size_come_back_as_they_were(store: Store, size: int):
    with_table(store)
    blob = bytes(range(256)) * (size // 256) + bytes(size % 256)
    store.commit(commit(change(rows_added=((7, blob),), delta=delta(1, blob=blob))))
    assert rows(store) == {7: blob}
    page = wire.page_id(3, 9)
    store.stage(wire.Stage(TABLE, 3, pages=((page, blob),), packs=((1 << 11, blob),)))
    with store.snapshot() as snapshot:
        assert snapshot.read(wire.ReadPages(TABLE, (page,))).blobs == (blob,)
        assert snapshot.read(wire.ReadPacks(TABLE, (1 << 11,))).blobs == (blob,)
        cursor = wire.TableCursor(TABLE, 0, 0, ())
        (state,) = snapshot.read(wire.ReadHeads(1, (cursor,), if_changed=False)).tables
    assert state.deltas[0].blob == blob


def test_labels_and_numbers_go_up_to_their_limits(store: Store):
    with_table(store)
    largest = (1 << 63) - 1
    store.commit(
        commit(change(rows_added=((0, b"first"), (largest, b"last")), keys_added=((b"", largest),)))
    )
    assert rows(store) == {0: b"first", largest: b"last"}
    page = wire.page_id((1 << 31) - 1, (1 << 31) - 1)
    store.stage(wire.Stage(TABLE, (1 << 31) - 1, pages=((page, b"page"),)))
    with store.snapshot() as snapshot:
        assert snapshot.read(wire.ReadPages(TABLE, (page,))).ids == (page,)
        assert snapshot.read(wire.ReadKeys(TABLE, (b"",))).claims == ((b"", largest),)
