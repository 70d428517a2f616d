"""Whatever a store changes, a client gets the right answer or an integrity error, never a wrong answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

import encdb
from encdb.errors import TamperError
from tests.attacks import vault
from tests.attacks.mutations import Mutation, copy_files, family, sample
from tests.attacks.vault import Outcome, Vault
from tests.fixtures.kinds import StoreKind
from tests.fixtures.raw import Refused

pytestmark = pytest.mark.every_store

# What a store says of itself in clear is not a secret and cannot be authenticated before the right
# key is chosen, so a lie about it is met by another refusal than an integrity error.
SELF_DESCRIPTION = {
    ("heads", "format"): {"E_FORMAT_NEWER", "E_FORMAT_OLDER", "E_STORE_INCOMPLETE"},
    ("heads", "database"): {"E_KEYRING_OTHER_DATABASE"},
    ("heads", ""): {"E_NOT_A_STORE", "E_STORE_MISSING"},
    ("heads", "id"): {"E_NOT_A_STORE"},
}


@pytest.fixture(scope="module")
def small(store_kind: StoreKind, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vault]:
    made = vault.build(store_kind, tmp_path_factory.mktemp("small"), settled=300)
    yield made
    made.drop()


@pytest.fixture(scope="module")
def large(store_kind: StoreKind, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vault]:
    """More than one block of ordinals, so that packs and liveness entries can be exchanged."""
    made = vault.build(store_kind, tmp_path_factory.mktemp("large"), settled=9000)
    yield made
    made.drop()


@pytest.fixture
def copy(store_kind: StoreKind, tmp_path: Path) -> Iterator[str]:
    """Where a copy is attacked."""
    url = store_kind.new_url(tmp_path, "copy")
    yield url
    store_kind.drop(url)


def some(vault: Vault, mutations: Sequence[Mutation], seed: int = 0) -> list[Mutation]:
    """One mutation of every relation, kind and column on SQLite, and half as many elsewhere."""
    chosen = sample(mutations, each=1, seed=seed, by_column=vault.kind.thorough)
    return chosen if vault.kind.thorough else chosen[seed % 2 :: 2]


def attack(
    small: Vault, mutation: Mutation, copy: str, folder: Path, *, pin: bool = True
) -> Outcome:
    """Every question is put on SQLite; elsewhere, where connecting takes longer, until it is clear."""
    if small.kind.thorough:
        return vault.attack(small, mutation, copy, folder, pin=pin)
    return vault.attack(small, mutation, copy, folder, pin=pin, share=8, enough=2)


def judge(mutation: Mutation, outcome: Outcome) -> None:
    """Fail, with the mutation and question, unless every outcome is allowed."""
    name = f"{mutation.relation}: {mutation.what}"
    for question, answer in outcome.wrong.items():
        pytest.fail(f"{name}\n{question}\nanswered with {str(answer)[:300]}")
    allowed = SELF_DESCRIPTION.get((mutation.relation, mutation.column), set())
    for question, error in outcome.refused.items():
        if error.code in allowed:
            continue
        if not isinstance(error, TamperError) or error.exit_status != 4:
            pytest.fail(f"{name}\n{question}\n{type(error).__name__} {error.code}: {error}")


def test_the_vault_has_something_in_every_relation(small: Vault) -> None:
    """Otherwise the tests below would pass without having attacked anything."""
    filled = {family(name) for name, relation in small.relations().items() if relation.rows}
    assert {"rows", "packs", "pages", "keys", "tombstones", "deltas", "catalog", "heads"} <= filled


def test_the_answers_are_right(small: Vault) -> None:
    with vault.client(small.store, small.keys) as connection:
        (count,) = vault.ask(connection, "SELECT count(*) FROM people")[0]
        assert count == 300 + 20 + 20 - 5 - 5 - 1 - 1 + 1
        assert vault.ask(connection, "SELECT id, age FROM people WHERE id = 17") == [(17, 31)]
        assert small.answers["SELECT count(*) FROM people WHERE zip = 'nowhere'"] == [(0,)]


def test_an_untouched_copy_is_answered_as_before(small: Vault, copy: str, tmp_path: Path) -> None:
    untouched = Mutation("none", "none", "", "nothing", lambda _: None)
    outcome = vault.attack(small, untouched, copy, tmp_path)
    assert set(outcome.right) == set(vault.QUESTIONS)


def test_sampled_mutations(small: Vault, copy: str, tmp_path: Path) -> None:
    mutations = some(small, small.mutations())
    assert len(mutations) > 40
    noticed: set[str] = set()
    for mutation in mutations:
        outcome = attack(small, mutation, copy, tmp_path)
        judge(mutation, outcome)
        if outcome.refused:
            noticed.add(family(mutation.relation))
    # Claims, tombstones, leases and stages only decide about writes, and a client whose pin is up to
    # date asks for no links.
    assert noticed >= {"rows", "packs", "pages", "deltas", "catalog", "tables", "heads"}


def test_mutations_without_a_pin(small: Vault, copy: str, tmp_path: Path) -> None:
    """Within the state served, everything is noticed by a client that never saw the store before.

    What it cannot notice is left out: a whole older state, and the end of a writer's deltas that
    nobody has cited yet, which is one.
    """
    mutations = [
        one
        for one in some(small, small.mutations(), seed=1)
        if family(one.relation) != "deltas" or one.kind not in {"delete", "empty", "restore"}
    ]
    for mutation in mutations:
        judge(mutation, attack(small, mutation, copy, tmp_path, pin=False))


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_every_mutation(small: Vault, copy: str, tmp_path: Path) -> None:
    for mutation in small.mutations():
        judge(mutation, vault.attack(small, mutation, copy, tmp_path, share=1))


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_mutations_across_blocks(large: Vault, copy: str, tmp_path: Path) -> None:
    for mutation in sample(large.mutations(), each=4):
        judge(mutation, vault.attack(large, mutation, copy, tmp_path))


def test_the_check_command_finds_every_deleted_row(small: Vault, copy: str, tmp_path: Path) -> None:
    """``check`` opens everything, so a missing row cannot hide from it as it can from one query."""
    mutations = [
        one
        for one in some(small, small.mutations(), seed=2)
        if one.kind in {"delete", "flip"}
        and family(one.relation) in {"rows", "packs", "pages", "deltas", "keys", "tombstones"}
    ]
    assert mutations
    for mutation in mutations:
        keys = tmp_path / "keys"
        small.kind.put_back(small.store, copy)
        copy_files(small.keys, keys)
        try:
            with small.kind.raw(copy) as raw:
                mutation.apply(raw)
        except Refused:
            continue
        ended = vault.command("check", copy, keyring=vault.keyring_in(keys))
        assert ended.status == 4, f"{mutation.relation}: {mutation.what}: {ended}"


@pytest.mark.parametrize("back", [1, 100, 10**6])
def test_rewound_leases_never_spoil_a_table(
    small: Vault, copy: str, tmp_path: Path, back: int
) -> None:
    """A store that hands out the same ordinals twice gets a refusal, not a corrupted table."""
    keys = tmp_path / "keys"
    small.kind.copy(small.store, copy)
    copy_files(small.keys, keys)
    with small.kind.raw(copy) as raw:
        leases = raw.relation("leases")
        for key, row in leases.rows.items():
            values = leases.values(row)
            raw.change(leases, key, "ordinal", max(0, values["ordinal"] - back))
            raw.change(leases, key, "segment", max(1, values["segment"] - back))
    before = small.answers["SELECT * FROM people"]
    added: list[tuple[object, ...]] = []
    with vault.client(copy, keys) as writer:
        for number in range(90_000, 90_003):
            row = (number, "New", "06003", 40, "none")
            try:
                writer.execute("INSERT INTO people VALUES (?, ?, ?, ?, ?)", row)
                added.append(row)
                writer.execute("VACUUM people")
            except encdb.EncdbError:
                continue
    try:
        with vault.client(copy, keys) as reader:
            assert vault.ask(reader, "SELECT * FROM people") == sorted([*before, *added], key=repr)
    except TamperError:
        pass
