"""The attack harness attacks: every mutation changes the file, and every kind of change is tried."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.attacks.mutations import all_mutations, copy_store, relations, sample


@pytest.fixture
def stores(tmp_path: Path) -> tuple[Path, Path]:
    """A small SQLite file and an older copy of it."""
    now, before = tmp_path / "now.db", tmp_path / "before.db"
    with closing(sqlite3.connect(now)) as connection, connection:
        connection.execute("CREATE TABLE pages (id INTEGER PRIMARY KEY, blob BLOB NOT NULL)")
        connection.execute("CREATE TABLE ends (w BLOB, n INTEGER, h BLOB, PRIMARY KEY (w, n))")
        connection.executemany("INSERT INTO pages VALUES (?, ?)", [(1, b"abcd"), (2, b"efgh")])
        connection.execute("INSERT INTO ends VALUES (?, 1, ?)", (b"w" * 16, b"h" * 32))
    copy_store(now, before)
    with closing(sqlite3.connect(now)) as connection, connection:
        connection.execute("UPDATE pages SET blob = 'newer' WHERE id = 1")
        connection.execute("DELETE FROM pages WHERE id = 2")
        connection.execute("INSERT INTO pages VALUES (3, ?)", (b"ijkl",))
        connection.execute("UPDATE pages SET blob = ? WHERE id = 1", (b"newer",))
        connection.execute("INSERT INTO ends VALUES (?, 2, ?)", (b"w" * 16, b"i" * 32))
    return now, before


def test_every_mutation_changes_the_file(stores: tuple[Path, Path], tmp_path: Path) -> None:
    now, before = stores
    original = {name: relation.rows for name, relation in relations(now).items()}
    kinds = set()
    for mutation in all_mutations(now, [before]):
        copy = tmp_path / "copy.db"
        copy.unlink(missing_ok=True)
        copy_store(now, copy)
        with closing(sqlite3.connect(copy)) as connection, connection:
            mutation.apply(connection)
        changed = {name: relation.rows for name, relation in relations(copy).items()}
        assert changed != original, mutation.what
        assert {name for name in original if changed.get(name) != original[name]} == {
            mutation.relation
        }
        kinds.add(mutation.kind)
    assert kinds == {
        *("flip", "nudge", "delete", "replay", "resurrect"),
        *("swap", "invent", "restore", "empty", "drop"),
    }


def test_each_byte_string_and_row_is_attacked(stores: tuple[Path, Path]) -> None:
    now, before = stores
    mutations = list(all_mutations(now, [before]))
    rows = sum(len(relation.rows) for relation in relations(now).values())
    assert sum(one.kind == "delete" for one in mutations) == rows == 4
    flipped = {(one.relation, one.what.split(":")[0]) for one in mutations if one.kind == "flip"}
    assert len(flipped) == 2 + 2 * 2


def test_a_sample_has_every_group(stores: tuple[Path, Path]) -> None:
    now, before = stores
    mutations = list(all_mutations(now, [before]))
    chosen = sample(mutations, each=1)
    groups = {(one.relation, one.kind, one.column) for one in mutations}
    assert {(one.relation, one.kind, one.column) for one in chosen} == groups
    assert len(chosen) == len(groups)
