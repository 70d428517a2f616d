"""Leases are never given twice; stages are published whole or swept."""

from __future__ import annotations

import pytest

from encdb import wire
from encdb.errors import InternalError
from encdb.stores import Store, base, open_store
from encdb.stores.sqlite import staging
from tests.fixtures.commits import TABLE, change, commit, ids, swap, table_heads, with_table
from tests.fixtures.kinds import StoreKind

pytestmark = pytest.mark.every_store


@pytest.fixture
def store(store: Store) -> Store:
    return with_table(store)


def pages(segment: int, count: int = 3, size: int = 8) -> tuple[tuple[int, bytes], ...]:
    return tuple((wire.page_id(segment, page), bytes([page % 256]) * size) for page in range(count))


def packs(pack: int, columns: int = 3) -> tuple[tuple[int, bytes], ...]:
    return tuple((wire.pack_id(pack, column), b"column") for column in range(columns))


def publish(store: Store, epoch: int, *stages: int, **more) -> object:
    return store.commit(commit(change(epoch - 1, swap=swap(epoch, published=stages, **more))))


@pytest.fixture
def later(store_kind: StoreKind, store_url: str):
    """So many seconds pass: deadlines move back, because a store's clock may be out of reach."""

    def advance(seconds: int) -> None:
        with store_kind.raw(store_url) as raw:
            stages = raw.relation("stages")
            for key, row in stages.rows.items():
                deadline = stages.values(row)["deadline"]
                if deadline > 0:
                    raw.change(stages, key, "deadline", deadline - seconds)

    return advance


def test_leases_follow_each_other(store: Store, store_url: str):
    other = open_store(store_url)
    assert store.lease(wire.Lease(TABLE, "ordinal", 5)) == wire.Leased(0, 5)
    assert other.lease(wire.Lease(TABLE, "ordinal", 4096)) == wire.Leased(5, 4096)
    assert store.lease(wire.Lease(TABLE, "ordinal", 1)) == wire.Leased(4101, 1)
    assert store.lease(wire.Lease(TABLE, "segment", 2)) == wire.Leased(1, 2)
    assert other.lease(wire.Lease(TABLE, "segment", 1)) == wire.Leased(3, 1)
    other.close()


def test_a_lease_is_durable_before_anything_uses_it(store: Store, store_url: str):
    store.lease(wire.Lease(TABLE, "ordinal", 10))
    store.close()
    again = open_store(store_url)
    assert again.lease(wire.Lease(TABLE, "ordinal", 1)).first == 10
    again.close()


def test_numbers_run_out_with_an_error(store: Store):
    store.lease(wire.Lease(TABLE, "segment", 2**31 - 1))
    with pytest.raises(InternalError) as caught:
        store.lease(wire.Lease(TABLE, "segment", 1))
    assert caught.value.code == "E_TOO_LARGE"


def test_a_stage_grows_and_is_published(store: Store):
    assert store.stage(wire.Stage(TABLE, 1, pages=pages(1))) == wire.Staged()
    assert store.stage(wire.Stage(TABLE, 1, pages=pages(2), packs=packs(3))) == wire.Staged()
    assert publish(store, 1, 1) == wire.Committed()
    assert len(ids(store, "pages")) == 6
    assert ids(store, "packs") == tuple(identity for identity, _ in packs(3))
    assert publish(store, 2, 1) == wire.Stale("stage", TABLE)


def test_a_repeated_message_changes_nothing(store: Store):
    message = wire.Stage(TABLE, 1, pages=pages(1), packs=packs(2))
    assert store.stage(message) == wire.Staged()
    assert store.stage(message) == wire.Staged()
    assert len(ids(store, "pages")) == 3


def test_a_number_of_another_stage_or_manifest_is_refused(store: Store):
    store.stage(wire.Stage(TABLE, 1, pages=pages(1)))
    with pytest.raises(InternalError):
        store.stage(wire.Stage(TABLE, 2, pages=pages(1)))
    publish(store, 1, 1)
    with pytest.raises(InternalError):
        store.stage(wire.Stage(TABLE, 2, pages=pages(1)))
    with pytest.raises(InternalError):
        store.stage(wire.Stage(TABLE, 1, pages=pages(1)))


def test_publishing_an_unknown_stage_changes_nothing(store: Store):
    assert publish(store, 1, 77) == wire.Stale("stage", TABLE)
    assert table_heads(store).epoch == 0


def test_staging_for_a_dropped_table_is_stale(store: Store):
    assert store.stage(wire.Stage(404, 1, pages=pages(1))) == wire.Stale("catalog", 404)


def test_retired_segments_and_packs_go_with_the_swap(store: Store):
    store.stage(wire.Stage(TABLE, 1, pages=pages(1) + pages(2), packs=packs(3) + packs(4)))
    publish(store, 1, 1)
    store.stage(wire.Stage(TABLE, 5, pages=pages(5)))
    assert publish(store, 2, 5, retired_segments=(1,), retired_packs=(4,)) == wire.Committed()
    assert {identity >> 32 for identity in ids(store, "pages")} == {2, 5}
    assert {identity >> 11 for identity in ids(store, "packs")} == {3}


def test_a_sweep_spares_what_is_live_or_published(store: Store):
    store.stage(wire.Stage(TABLE, 1, pages=pages(1)))
    publish(store, 1, 1)
    store.stage(wire.Stage(TABLE, 2, pages=pages(2)))
    assert store.sweep(wire.Sweep(TABLE)) == wire.Swept()
    assert len(ids(store, "pages")) == 6


def test_a_sweep_drops_what_expired(store: Store, later):
    store.stage(wire.Stage(TABLE, 1, pages=pages(1), packs=packs(2)))
    publish(store, 1, 1)
    store.stage(wire.Stage(TABLE, 3, pages=pages(3), packs=packs(4)))
    later(base.STAGE_SECONDS + 5)
    store.stage(wire.Stage(TABLE, 5, pages=pages(5)))
    assert store.sweep(wire.Sweep(TABLE)) == wire.Swept((3,))
    assert {identity >> 32 for identity in ids(store, "pages")} == {1, 5}
    assert {identity >> 11 for identity in ids(store, "packs")} == {2}
    assert store.sweep(wire.Sweep(TABLE)) == wire.Swept()


def test_a_swept_stage_cannot_be_resumed_or_published(store: Store, later):
    store.stage(wire.Stage(TABLE, 1, pages=pages(1)))
    later(base.STAGE_SECONDS + 5)
    store.sweep(wire.Sweep(TABLE))
    assert store.stage(wire.Stage(TABLE, 1, pages=pages(2))) == wire.Stale("stage", TABLE)
    assert publish(store, 1, 1) == wire.Stale("stage", TABLE)
    assert ids(store, "pages") == ()


def test_every_message_moves_the_deadline(store: Store, later):
    store.stage(wire.Stage(TABLE, 1, pages=pages(1)))
    later(base.STAGE_SECONDS - 60)
    store.stage(wire.Stage(TABLE, 1, pages=pages(2)))
    later(base.STAGE_SECONDS - 60)
    assert store.sweep(wire.Sweep(TABLE)) == wire.Swept()


def test_an_expired_stage_that_nobody_swept_may_be_published(store: Store, later):
    store.stage(wire.Stage(TABLE, 1, pages=pages(1)))
    later(base.STAGE_SECONDS + 5)
    assert publish(store, 1, 1) == wire.Committed()
    assert store.sweep(wire.Sweep(TABLE)) == wire.Swept()
    assert len(ids(store, "pages")) == 3


@pytest.mark.stores("sqlite")
def test_a_sweep_of_a_file_that_died_is_taken_up_again(store: Store, later, monkeypatch):
    store.stage(wire.Stage(TABLE, 1, pages=pages(1) + pages(2)))
    later(base.STAGE_SECONDS + 5)
    whole = staging._drop

    def die(*_arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(staging, "_drop", die)
    with pytest.raises(KeyboardInterrupt):
        store.sweep(wire.Sweep(TABLE))
    monkeypatch.setattr(staging, "_drop", whole)
    assert publish(store, 1, 1) == wire.Stale("stage", TABLE)
    assert store.sweep(wire.Sweep(TABLE)) == wire.Swept((1,))
    assert ids(store, "pages") == ()


def test_transactions_on_a_file_end_once_they_hold_8_mib():
    size = 1 << 20
    message = wire.Stage(TABLE, 1, pages=pages(1, 12, size), packs=((1 << 11, bytes(9 * size)),))
    batches = list(staging._batches(message))
    totals = [sum(len(blob) for pairs in batch.values() for _, blob in pairs) for batch in batches]
    assert totals == [8 * size, 13 * size]
    whole = [pair for batch in batches for pairs in batch.values() for pair in pairs]
    assert tuple(whole) == message.pages + message.packs


def test_large_segments_are_swept_in_several_transactions(store: Store, later):
    store.stage(wire.Stage(TABLE, 1, pages=pages(1, staging._SWEEP_PAGES + 10)))
    later(base.STAGE_SECONDS + 5)
    assert store.sweep(wire.Sweep(TABLE)) == wire.Swept((1,))
    assert ids(store, "pages") == ()
