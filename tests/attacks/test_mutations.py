"""The attack harness attacks: every mutation changes the store, and every kind of change is tried."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.attacks.mutations import all_mutations, sample
from tests.fixtures.kinds import StoreKind
from tests.fixtures.raw import RawStore, Refused, Relation

pytestmark = pytest.mark.every_store


def fill(store: RawStore, kind: StoreKind) -> None:
    """Tables that look like a store's."""
    blob = "BYTEA" if kind.name == "postgres" else "BLOB"
    store.run(f"CREATE TABLE pages (id BIGINT PRIMARY KEY, blob {blob} NOT NULL)")
    store.run(
        f"CREATE TABLE ends (tbl BIGINT, w {blob}, n BIGINT, h {blob}, PRIMARY KEY (tbl, w, n))"
    )
    pages, ends = store.relation("pages"), store.relation("ends")
    store.put(pages, [(1, b"abcd"), (2, b"efgh")])
    store.put(ends, [(5, b"w" * 16, 1, b"h" * 32)])


@pytest.fixture
def stores(store_kind: StoreKind, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """The URL of a few tables, and of an older copy of them."""
    now, before = store_kind.new_url(tmp_path, "now"), store_kind.new_url(tmp_path, "before")
    with store_kind.raw(now) as store:
        fill(store, store_kind)
    store_kind.copy(now, before)
    with store_kind.raw(now) as store:
        pages, ends = store.relation("pages"), store.relation("ends")
        store.change(pages, (1,), "blob", b"newer")
        store.delete(pages, (2,))
        store.put(pages, [(3, b"ijkl")])
        store.put(ends, [(6, b"w" * 16, 2, b"i" * 32)])
    yield now, before
    for url in (now, before):
        store_kind.drop(url)


def relations(kind: StoreKind, url: str) -> dict[str, Relation]:
    """What a store holds."""
    with kind.raw(url) as store:
        return store.relations()


def test_every_mutation_changes_the_store(
    store_kind: StoreKind, stores: tuple[str, str], tmp_path: Path
) -> None:
    now, before = stores
    original = relations(store_kind, now)
    kinds = set()
    copy = store_kind.new_url(tmp_path, "copy")
    for mutation in all_mutations(original, [relations(store_kind, before)]):
        store_kind.put_back(now, copy)
        with store_kind.raw(copy) as store:
            mutation.apply(store)
        changed = relations(store_kind, copy)
        assert {name for name in original if changed.get(name) != original[name]} == {
            mutation.relation
        }, mutation.what
        kinds.add(mutation.kind)
    store_kind.drop(copy)
    assert kinds == {
        *("flip", "nudge", "delete", "replay", "resurrect", "move"),
        *("swap", "invent", "restore", "empty", "drop"),
    }


def test_each_byte_string_and_row_is_attacked(
    store_kind: StoreKind, stores: tuple[str, str]
) -> None:
    current, past = (relations(store_kind, url) for url in stores)
    mutations = list(all_mutations(current, [past]))
    rows = sum(len(relation.rows) for relation in current.values())
    assert sum(one.kind == "delete" for one in mutations) == rows == 4
    flipped = {(one.relation, one.what.split(":")[0]) for one in mutations if one.kind == "flip"}
    assert len(flipped) == 2 + 2 * 2


def test_a_sample_has_every_group(store_kind: StoreKind, stores: tuple[str, str]) -> None:
    current, past = (relations(store_kind, url) for url in stores)
    mutations = list(all_mutations(current, [past]))
    chosen = sample(mutations, each=1)
    groups = {(one.relation, one.kind, one.column) for one in mutations}
    assert {(one.relation, one.kind, one.column) for one in chosen} == groups
    assert len(chosen) == len(groups)


@pytest.mark.stores("postgres")
@pytest.mark.parametrize("value", [None, 1 << 63, "text"])
def test_what_the_database_refuses_is_told_apart(
    store_kind: StoreKind, stores: tuple[str, str], value: object
) -> None:
    with pytest.raises(Refused), store_kind.raw(stores[0]) as store:
        store.change(store.relation("ends"), (5, b"w" * 16, 1), "n", value)
