"""A claim belongs to one client at a time, ends by itself, and holds up commits only as a write claim."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from encdb import wire
from encdb.errors import InternalError
from encdb.stores import Store, open_store
from tests.fixtures.commits import TABLE, catalog_change, change, commit, delta, swap, with_table

pytestmark = pytest.mark.every_store
ONE, OTHER = b"1" * 16, b"2" * 16


@pytest.fixture
def stores(store: Store, store_url: str) -> Iterator[tuple[Store, Store]]:
    other = open_store(store_url)
    yield with_table(store), other
    other.close()


def asked(kind: wire.ClaimKind, holder: bytes, seconds: int = 60) -> wire.Claim:
    return wire.Claim(TABLE, kind, holder, seconds)


@pytest.mark.parametrize("kind", ["merge", "write"])
def test_one_client_at_a_time(stores: tuple[Store, Store], kind: wire.ClaimKind):
    one, other = stores
    assert one.claim(asked(kind, ONE)) == wire.Claimed(granted=True)
    assert one.claim(asked(kind, ONE)) == wire.Claimed(granted=True)
    assert other.claim(asked(kind, OTHER)) == wire.Claimed(granted=False)
    # Who does not hold it cannot give it back for another.
    assert other.claim(asked(kind, OTHER, 0)) == wire.Claimed(granted=True)
    assert other.claim(asked(kind, OTHER)) == wire.Claimed(granted=False)
    assert one.claim(asked(kind, ONE, 0)) == wire.Claimed(granted=True)
    assert other.claim(asked(kind, OTHER)) == wire.Claimed(granted=True)


def test_claims_of_kinds_and_tables_are_apart(stores: tuple[Store, Store]):
    one, other = stores
    one.commit(commit(version=1, catalog=catalog_change(2, created=(7,))))
    assert one.claim(asked("merge", ONE)).granted
    assert other.claim(asked("write", OTHER)).granted
    assert other.claim(wire.Claim(7, "merge", OTHER, 60)).granted


def test_a_claim_ends_by_itself(stores: tuple[Store, Store]):
    one, other = stores
    assert one.claim(asked("merge", ONE, 1)).granted
    assert not other.claim(asked("merge", OTHER)).granted
    time.sleep(2.1)
    assert other.claim(asked("merge", OTHER)).granted


def test_a_write_claim_holds_up_the_commits_of_others(stores: tuple[Store, Store]):
    one, other = stores
    assert one.claim(asked("write", ONE)).granted
    sent = change(rows_added=((1, b"row"),), delta=delta(1))
    mine = wire.Commit(bytes(16), 1, (sent,), holder=ONE)
    theirs = wire.Commit(bytes(16), 1, (sent,), holder=OTHER)
    nobodys = commit(sent)
    assert other.commit(theirs) == wire.Stale("held", TABLE)
    assert other.commit(nobodys) == wire.Stale("held", TABLE)
    merging = wire.Commit(bytes(16), 1, (change(swap=swap(1)),), holder=OTHER)
    assert other.commit(merging) == wire.Stale("held", TABLE)
    assert one.commit(mine) == wire.Committed()
    one.claim(asked("write", ONE, 0))
    assert other.commit(theirs) == wire.Committed(repeated=True)


def test_a_merge_claim_holds_up_nobody(stores: tuple[Store, Store]):
    one, other = stores
    assert one.claim(asked("merge", ONE)).granted
    assert other.commit(commit(change(rows_added=((1, b"row"),), delta=delta(1)))) == (
        wire.Committed()
    )
    assert other.commit(commit(change(swap=swap(1)))) == wire.Committed()


def test_a_dropped_table_takes_its_claims_along(stores: tuple[Store, Store]):
    one, other = stores
    assert one.claim(asked("merge", ONE)).granted
    one.commit(commit(version=1, catalog=catalog_change(2, dropped=(TABLE,))))
    one.commit(commit(version=2, catalog=catalog_change(3, created=(TABLE,))))
    assert other.claim(asked("merge", OTHER)).granted


def test_malformed_claims_are_refused():
    for seconds, holder in ((-1, ONE), (wire.CLAIM_SECONDS + 1, ONE), (1, b"short")):
        with pytest.raises(InternalError):
            wire.Claim(TABLE, "merge", holder, seconds)
