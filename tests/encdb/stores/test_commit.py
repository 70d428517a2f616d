"""A Commit happens once and whole, or not at all, and says exactly why not."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from encdb import wire
from encdb.errors import EncdbError
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

TAG = b"t" * 16
OTHER_TAG = b"u" * 16
OTHER_WRITER = b"w" * 16


@pytest.fixture
def store(store: Store) -> Store:
    return with_table(store)


def test_rows_claims_and_delta_are_there_together(store: Store):
    written = delta(1)
    done = store.commit(
        commit(
            change(rows_added=((5, b"five"), (2, b"two")), keys_added=((TAG, 5),), delta=written)
        )
    )
    assert done == wire.Committed(repeated=False)
    assert rows(store) == {2: b"two", 5: b"five"}
    assert claims(store) == {TAG: 5}
    one = table_heads(store)
    assert one.deltas == (written,)
    assert one.ends == ((WRITER, 1, 1),)


def test_removals_come_before_additions(store: Store):
    store.commit(commit(change(rows_added=((1, b"old"),), keys_added=((TAG, 1),), delta=delta(1))))
    done = store.commit(
        commit(
            change(
                rows_added=((2, b"new"),),
                rows_removed=(1,),
                keys_removed=((TAG, 1),),
                keys_added=((TAG, 2),),
                delta=delta(2),
            )
        )
    )
    assert done == wire.Committed()
    assert rows(store) == {2: b"new"}
    assert claims(store) == {TAG: 2}


def test_a_repeated_commit_writes_nothing_twice(store: Store):
    sent = commit(change(rows_added=((1, b"row"),), delta=delta(1)))
    assert store.commit(sent) == wire.Committed(repeated=False)
    assert store.commit(sent) == wire.Committed(repeated=True)
    assert table_heads(store).ends == ((WRITER, 1, 1),)


def test_a_repeated_commit_is_recognised_after_others_followed(store: Store):
    sent = commit(change(rows_added=((1, b"row"),), delta=delta(1)))
    store.commit(sent)
    store.commit(commit(change(rows_removed=(1,), delta=delta(1, OTHER_WRITER))))
    store.commit(commit(version=1, catalog=catalog_change(2)))
    assert store.commit(sent) == wire.Committed(repeated=True)
    assert rows(store) == {}


def test_a_repeated_commit_is_recognised_after_a_merge_took_its_delta(store: Store):
    sent = commit(change(rows_added=((1, b"row"),), delta=delta(1)))
    store.commit(sent)
    merge = commit(change(swap=swap(1, folded_deltas=((WRITER, 1),), folded_rows=(1,))))
    assert store.commit(merge) == wire.Committed()
    assert store.commit(sent) == wire.Committed(repeated=True)
    assert store.commit(merge) == wire.Committed(repeated=True)
    assert rows(store) == {}
    assert table_heads(store, epoch=1).ends == ()


def test_a_repeated_catalog_change_is_recognised(store: Store):
    sent = commit(version=1, catalog=catalog_change(2, created=(99,)))
    assert store.commit(sent) == wire.Committed(repeated=False)
    assert store.commit(sent) == wire.Committed(repeated=True)
    assert heads(store, table=None).catalog_version == 2


def test_another_delta_of_the_same_number_is_stale(store: Store):
    store.commit(commit(change(delta=delta(1))))
    again = commit(change(rows_added=((1, b"row"),), delta=delta(1)))
    assert store.commit(again) == wire.Stale("frontier", TABLE)
    assert rows(store) == {}


@pytest.mark.parametrize("number", [2, 7])
def test_a_writer_cannot_leave_a_gap(store: Store, number: int):
    assert store.commit(commit(change(delta=delta(number)))) == wire.Stale("frontier", TABLE)


def test_numbers_go_on_after_a_merge(store: Store):
    store.commit(commit(change(delta=delta(1))))
    store.commit(commit(change(swap=swap(1, folded_deltas=((WRITER, 1),)))))
    assert store.commit(commit(change(1, delta=delta(3)))) == wire.Stale("frontier", TABLE)
    assert store.commit(commit(change(1, delta=delta(2)))) == wire.Committed()


def test_stale_catalog_and_epoch(store: Store):
    assert store.commit(commit(change(delta=delta(1)), version=0)) == wire.Stale("catalog")
    assert store.commit(commit(change(1, delta=delta(1)))) == wire.Stale("epoch", TABLE)
    absent = commit(change(table=12345, delta=delta(1)))
    assert store.commit(absent) == wire.Stale("catalog", 12345)
    assert table_heads(store).ends == ()


def test_removing_a_row_that_is_gone_conflicts_and_names_it(store: Store):
    store.commit(commit(change(rows_added=((1, b"a"), (2, b"b")), delta=delta(1))))
    store.commit(commit(change(rows_removed=(2,), delta=delta(2))))
    late = commit(
        change(rows_removed=(1, 2), rows_added=((3, b"c"),), delta=delta(1, OTHER_WRITER))
    )
    assert store.commit(late) == wire.Conflict("row", TABLE, ids=(2,))
    assert rows(store) == {1: b"a"}
    assert table_heads(store).ends == ((WRITER, 2, 2),)


def test_two_removals_of_a_settled_row_conflict(store: Store):
    store.commit(commit(change(tombstones=(7, 8), delta=delta(1))))
    late = commit(change(tombstones=(8, 9), delta=delta(1, OTHER_WRITER)))
    assert store.commit(late) == wire.Conflict("row", TABLE, ids=(8,))
    assert ids(store, "tombstones") == (7, 8)


def test_a_claimed_value_conflicts_and_names_its_tag(store: Store):
    store.commit(commit(change(keys_added=((TAG, 1),), delta=delta(1))))
    late = commit(change(keys_added=((TAG, 2), (OTHER_TAG, 2)), delta=delta(1, OTHER_WRITER)))
    assert store.commit(late) == wire.Conflict("key", TABLE, tags=(TAG,))
    assert claims(store) == {TAG: 1}


def test_a_value_that_the_commit_frees_itself_is_not_in_the_conflict(store: Store):
    store.commit(commit(change(keys_added=((TAG, 1), (OTHER_TAG, 2)), delta=delta(1))))
    late = commit(
        change(
            keys_removed=((TAG, 1),),
            keys_added=((TAG, 3), (OTHER_TAG, 3)),
            delta=delta(2),
        )
    )
    assert store.commit(late) == wire.Conflict("key", TABLE, tags=(OTHER_TAG,))
    assert claims(store) == {TAG: 1, OTHER_TAG: 2}


def test_removing_a_claim_that_moved_conflicts_with_its_row(store: Store):
    store.commit(commit(change(keys_added=((TAG, 1),), delta=delta(1))))
    late = commit(change(keys_removed=((TAG, 4),), delta=delta(2)))
    assert store.commit(late) == wire.Conflict("row", TABLE, ids=(4,))
    assert claims(store) == {TAG: 1}


def test_a_label_that_is_taken_conflicts(store: Store):
    store.commit(commit(change(rows_added=((1, b"a"),), delta=delta(1))))
    late = commit(change(rows_added=((1, b"b"),), delta=delta(2)))
    assert store.commit(late) == wire.Conflict("row", TABLE, ids=(1,))
    assert rows(store) == {1: b"a"}


def test_a_failure_in_one_table_undoes_the_others(store: Store):
    store.commit(commit(version=1, catalog=catalog_change(2, created=(1,))))
    both = commit(
        change(table=1, rows_added=((1, b"row"),), delta=delta(1)),
        change(rows_removed=(404,), delta=delta(1)),
        version=2,
    )
    assert store.commit(both) == wire.Conflict("row", TABLE, ids=(404,))
    assert rows(store, 1) == {}
    assert table_heads(store, table=1).ends == ()


def test_a_merge_is_a_compare_and_swap(store: Store):
    store.commit(commit(change(rows_added=((1, b"a"),), keys_added=((TAG, 1),), delta=delta(1))))
    store.commit(commit(change(tombstones=(9,), delta=delta(2))))
    first = swap(
        1,
        folded_deltas=((WRITER, 1), (WRITER, 2)),
        folded_rows=(1,),
        folded_keys=((TAG, 1),),
        folded_tombstones=(9,),
    )
    assert store.commit(commit(change(swap=first))) == wire.Committed()
    assert store.commit(commit(change(swap=swap(1)))) == wire.Stale("epoch", TABLE)
    one = table_heads(store)
    assert (one.epoch, one.manifest, one.links) == (1, first.manifest, (first.link,))
    assert one.ends == ()
    assert (rows(store), claims(store), ids(store, "tombstones")) == ({}, {}, ())


def test_folding_tolerates_rows_that_are_gone_but_no_missing_delta(store: Store):
    store.commit(commit(change(delta=delta(1))))
    gone = swap(1, folded_rows=(5,), folded_keys=((TAG, 5),), folded_tombstones=(6,))
    assert store.commit(commit(change(swap=gone))) == wire.Committed()
    unknown = swap(2, folded_deltas=((WRITER, 1), (WRITER, 2)))
    assert store.commit(commit(change(1, swap=unknown))) == wire.Stale("frontier", TABLE)
    assert table_heads(store, epoch=1).ends == ((WRITER, 1, 1),)


def test_folding_a_claim_spares_a_newer_claim_of_the_same_value(store: Store):
    store.commit(commit(change(keys_added=((TAG, 2),), delta=delta(1))))
    store.commit(commit(change(swap=swap(1, folded_keys=((TAG, 1),)))))
    assert claims(store) == {TAG: 2}


def test_an_expected_frontier_refuses_deltas_beyond_it(store: Store):
    store.commit(commit(change(delta=delta(1))))
    seen = ((WRITER, 1),)
    store.commit(commit(change(delta=delta(1, OTHER_WRITER))))
    assert store.commit(commit(change(swap=swap(1, frontier=seen)))) == wire.Stale(
        "frontier", TABLE
    )
    everything = (*seen, (OTHER_WRITER, 1))
    assert store.commit(commit(change(swap=swap(1, frontier=everything)))) == wire.Committed()


def test_a_merge_without_expectation_lets_newer_deltas_be(store: Store):
    store.commit(commit(change(delta=delta(1))))
    newer = delta(2)
    store.commit(commit(change(delta=newer)))
    assert store.commit(commit(change(swap=swap(1, folded_deltas=((WRITER, 1),)))))
    one = table_heads(store)
    assert one.deltas == (newer,)
    assert one.ends == ((WRITER, 2, 1),)


def test_a_table_made_and_filled_in_one_commit(store: Store):
    made = commit(
        change(table=5, rows_added=((1, b"row"),), delta=delta(1)),
        version=1,
        catalog=catalog_change(2, created=(5,)),
    )
    assert store.commit(made) == wire.Committed()
    assert rows(store, 5) == {1: b"row"}


def test_tables_are_made_from_any_thread(store: Store, store_url: str):
    """A session may move between threads, and a server has many."""

    def create(version: int) -> object:
        with closing(open_store(store_url)) as own:
            return own.commit(
                commit(version=version, catalog=catalog_change(version + 1, created=(version,)))
            )

    for version in (1, 2):
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(create, version).result() == wire.Committed()
    assert heads(store, table=2).tables != ()


def test_a_dropped_table_leaves_nothing(store: Store, store_kind: StoreKind, store_url: str):
    store.commit(commit(change(rows_added=((1, b"secret of the dropped"),), delta=delta(1))))
    store.stage(wire.Stage(TABLE, 1, pages=((wire.page_id(1, 0), b"page of the dropped"),)))
    assert store.commit(commit(version=1, catalog=catalog_change(2, dropped=(TABLE,))))
    assert heads(store).tables == ()
    assert store.commit(commit(change(delta=delta(2)), version=2)) == wire.Stale("catalog", TABLE)
    with pytest.raises(EncdbError):
        store.lease(wire.Lease(TABLE, "ordinal", 1))
    store.close()
    with store_kind.raw(store_url) as raw:
        for relation in raw.relations().values():
            assert not relation.name.endswith("c0ffee")
            for row in relation.rows.values():
                assert relation.values(row).get("tbl") != TABLE
                assert not any(b"of the dropped" in part for part in row if type(part) is bytes)


def test_a_dropped_table_is_overwritten_in_the_file(store: Store, store_path):
    store.commit(commit(change(rows_added=((1, b"secret of the dropped"),), delta=delta(1))))
    store.stage(wire.Stage(TABLE, 1, pages=((wire.page_id(1, 0), b"page of the dropped"),)))
    assert store.commit(commit(version=1, catalog=catalog_change(2, dropped=(TABLE,))))
    store.close()
    content = store_path.read_bytes()
    assert b"of the dropped" not in content
    assert b"c0ffee" not in content.split(b"CREATE", 1)[0]


def test_old_catalogs_leave_their_links_only(store: Store):
    first = heads(store, table=None)
    second = catalog_change(2)
    store.commit(commit(version=1, catalog=second))
    now = heads(store, table=None)
    assert (now.catalog_version, now.catalog) == (2, second.blob)
    assert now.catalog_links == (*first.catalog_links, second.link)
    assert heads(store, table=None, version=1).catalog_links == (second.link,)
    known = heads(store, table=None, version=2)
    assert (known.catalog, known.catalog_links) == (None, ())


def test_everything_is_there_after_reopening(store: Store, store_url: str):
    sent = commit(change(rows_added=((1, b"row"),), keys_added=((TAG, 1),), delta=delta(1)))
    store.commit(sent)
    before = table_heads(store)
    store.close()
    again = open_store(store_url)
    assert table_heads(again) == before
    assert rows(again) == {1: b"row"}
    assert again.commit(sent) == wire.Committed(repeated=True)
    again.close()


def test_large_commits_pass_the_limit_of_one_in_list(store: Store):
    many = tuple((label, b"%d" % label) for label in range(2_500))
    store.commit(commit(change(rows_added=many, delta=delta(1))))
    assert len(rows(store)) == 2_500
    removed = tuple(range(0, 2_500, 2))
    assert store.commit(commit(change(rows_removed=removed, delta=delta(2))))
    assert set(rows(store)) == set(range(1, 2_500, 2))
    again = commit(change(rows_removed=(*removed, 1), delta=delta(3)))
    assert store.commit(again) == wire.Conflict("row", TABLE, ids=removed)
    assert 1 in rows(store)
