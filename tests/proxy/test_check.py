"""``encdb check`` passes over sound stores, finds every kind of damage, and never answers with a crash."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.check import CheckReport, check
from tests.attacks.mutations import family
from tests.fixtures.databases import Database, check_ok, rows
from tests.fixtures.raw import RawStore, Relation

pytestmark = pytest.mark.every_store

RELATIONS = ("rows", "packs", "keys", "tombstones", "deltas", "pages")


@pytest.fixture
def filled(database: Database) -> Database:
    """A store with something in every relation, and no connection open."""
    connection = database.connect()
    connection.execute("CREATE TABLE t (id BIGINT PRIMARY KEY, age INT, notes TEXT)")
    connection.execute("CREATE INDEX ON t USING range (age)")
    connection.execute("CREATE INDEX ON t USING keyword (notes)")
    connection.execute("CREATE INDEX ON t USING equality (age)")
    many = [(number, number % 70, f"word{number % 5} other") for number in range(200)]
    connection.executemany("INSERT INTO t VALUES (?, ?, ?)", many)
    connection.execute("VACUUM t")
    connection.execute("INSERT INTO t VALUES (1000, 5, 'recent'), (1001, 6, NULL)")
    connection.execute("DELETE FROM t WHERE id IN (3, 4, 5)")
    connection.execute("UPDATE t SET age = 99 WHERE id = 7")
    check_ok(connection)
    database.close()
    return database


def verify(database: Database) -> CheckReport:
    """What a client that remembers nothing finds."""
    connection = database.connect(pin=False)
    try:
        return check(connection.session)
    finally:
        database.close()


def relation(store: RawStore, name: str) -> Relation:
    """The one relation of that kind, of the one logical table."""
    (found,) = [one for one in store.names() if family(one) == name]
    return store.relation(found)


def damage(database: Database, change: Callable[[RawStore], object]) -> None:
    with database.kind.raw(database.url) as store:
        change(store)


def like(table: Relation, **changed: object) -> tuple[object, ...]:
    """A row of the table with some other values."""
    row = next(iter(table.rows.values()))
    return tuple((table.values(row) | changed).values())


def test_a_sound_store_passes_and_is_described(filled: Database):
    report = verify(filled)
    assert report.ok
    assert report.problems == []
    assert any('table "t": 199 rows' in line for line in report.lines)
    assert "catalog version" in report.lines[0]


def test_an_empty_database_passes(database: Database):
    report = verify(database)
    assert report.ok
    assert report.lines == ["catalog version 0, 0 tables"]


def test_progress_is_told(filled: Database):
    told: list[tuple[str, int, int]] = []
    connection = filled.connect()
    check(connection.session, lambda *one: told.append(one))
    assert told[-1] == ("t", 199, 199)


@pytest.mark.parametrize("name", RELATIONS)
def test_a_missing_record_of_any_kind_is_found(filled: Database, name: str):
    def remove(store: RawStore) -> None:
        table = relation(store, name)
        store.delete(table, max(table.rows))

    damage(filled, remove)
    report = verify(filled)
    assert not report.ok
    assert all("\n" not in problem for problem in report.problems)


@pytest.mark.parametrize("name", ["rows", "packs", "deltas", "pages"])
def test_a_changed_byte_of_any_blob_is_found(filled: Database, name: str):
    def flip(store: RawStore) -> None:
        table = relation(store, name)
        key = min(table.rows)
        changed = bytearray(table.values(table.rows[key])["blob"])
        changed[len(changed) // 2] ^= 1
        store.change(table, key, "blob", bytes(changed))

    damage(filled, flip)
    assert not verify(filled).ok


@pytest.mark.parametrize("name", ["rows", "keys", "tombstones"])
def test_a_record_too_many_is_found(filled: Database, name: str):
    values: dict[str, dict[str, object]] = {
        "rows": {"label": 123456789, "blob": b"x" * 200},
        "keys": {"tag": b"t" * 16, "label": 5},
        "tombstones": {"label": 77},
    }

    def add(store: RawStore) -> None:
        table = relation(store, name)
        store.put(table, [like(table, **values[name])])

    damage(filled, add)
    assert not verify(filled).ok


def test_two_rows_in_each_others_place_are_found(filled: Database):
    def swap(store: RawStore) -> None:
        table = relation(store, "rows")
        (one, first), (other, second) = list(table.rows.items())[:2]
        store.change(table, one, "blob", table.values(second)["blob"])
        store.change(table, other, "blob", table.values(first)["blob"])

    damage(filled, swap)
    assert not verify(filled).ok


def test_what_a_killed_load_left_behind_is_told_and_is_no_damage(filled: Database):
    def leave(store: RawStore) -> None:
        table = relation(store, "pages")
        address = {"id": 999 << 32} if "id" in table.columns else {"segment": 999, "page": 0}
        store.put(table, [like(table, blob=b"x" * 4032, **address)])

    damage(filled, leave)
    report = verify(filled)
    assert report.ok
    assert any("1 unpublished" in line for line in report.lines)


def test_a_check_sees_the_state_of_its_moment(filled: Database):
    one, other = filled.connect(), filled.connect()
    assert check(one.session).ok
    other.execute("DELETE FROM t WHERE id < 100")
    other.execute("VACUUM t")
    assert check(one.session).ok
    one.execute("BEGIN")
    one.execute("INSERT INTO t VALUES (5000, 1, 'open')")
    assert check(one.session).ok
    one.execute("ROLLBACK")
    assert rows(one, "SELECT count(*) FROM t WHERE id >= 1000") == [(2,)]


def test_a_check_refuses_a_store_older_than_one_seen(filled: Database, tmp_path: Path):
    older = filled.kind.new_url(tmp_path, "older")
    filled.kind.copy(filled.url, older)
    connection = filled.connect()
    connection.execute("DELETE FROM t WHERE id = 1000")
    filled.close()
    filled.kind.put_back(older, filled.url)
    report = check(filled.connect().session)
    assert not report.ok
    assert len(report.problems) == 1
    assert verify(filled).ok
