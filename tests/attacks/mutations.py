"""Everything a dishonest store can do to one SQLite file, one change at a time.

Nothing here knows what encdb's relations mean: every table of the file is found in its schema, and any
stored value is flipped, nudged, deleted, put back from an older copy, exchanged with another row's,
or given to an invented row. What a client then answers is judged by the caller.
"""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Mutation:
    """One change to a store.

    Attributes:
        relation: the SQLite table changed.
        kind: flip, nudge, delete, replay, resurrect, swap, invent, restore, empty or drop.
        column: the column changed, or empty for whole rows and tables.
        what: a description that finds it again.
        apply: makes the change in an open connection.
    """

    relation: str
    kind: str
    column: str
    what: str
    apply: Callable[[sqlite3.Connection], object]


@dataclass(frozen=True, slots=True)
class Relation:
    """One SQLite table and its rows."""

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    rows: dict[Row, Row]

    def values(self, row: Row) -> dict[str, Any]:
        """A row by column name."""
        return dict(zip(self.columns, row, strict=True))

    def where(self, key: Row) -> tuple[str, Row]:
        """The condition that finds one row."""
        return " AND ".join(f'"{name}" = ?' for name in self.key), key


def relations(path: Path) -> dict[str, Relation]:
    """Every table of an SQLite file."""
    with closing(sqlite3.connect(path)) as connection:
        names = connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        ).fetchall()
        return {name: _relation(connection, name) for (name,) in names}


def _relation(connection: sqlite3.Connection, name: str) -> Relation:
    described = connection.execute(f'PRAGMA table_info("{name}")').fetchall()
    columns = tuple(row[1] for row in described)
    key = tuple(row[1] for row in sorted(described, key=lambda row: row[5]) if row[5])
    places = [columns.index(one) for one in key]
    rows = connection.execute(f'SELECT * FROM "{name}"').fetchall()
    return Relation(name, columns, key, {tuple(row[i] for i in places): row for row in rows})


def copy_store(source: Path, target: Path) -> None:
    """Copy an SQLite file with what its write-ahead log holds, as one consistent file."""
    with closing(sqlite3.connect(source)) as before, closing(sqlite3.connect(target)) as after:
        before.backup(after)


def copy_files(source: Path, target: Path) -> None:
    """Copy a folder of keyrings and pins, so that one attack does not advance another's pin."""
    shutil.copytree(source, target, dirs_exist_ok=True)


def all_mutations(current: Path, older: Sequence[Path], seed: int = 0) -> Iterator[Mutation]:
    """Every change to every row, and the changes to whole tables.

    Args:
        current: the store as it is.
        older: earlier copies of it, whose rows are put back.
        seed: chooses the bytes flipped in the middle of a blob, and the partners of swaps.
    """
    draw = random.Random(seed)
    history = [relations(path) for path in older]
    for relation in relations(current).values():
        for key, row in relation.rows.items():
            yield _delete(relation, key)
            for column, value in relation.values(row).items():
                if isinstance(value, bytes) and value:
                    middle = draw.randrange(len(value))
                    for place in dict.fromkeys((0, middle, len(value) - 1)):
                        yield _flip(relation, key, column, place, 1 << draw.randrange(8))
                    yield _set(relation, key, column, value[:-1], kind="flip", how="cut by a byte")
                elif isinstance(value, int):
                    for change in (-1, 1, 4096):
                        yield _set(
                            relation, key, column, value + change, kind="nudge", how=f"{change:+d}"
                        )
            others = [other for other in relation.rows if other != key]
            if others:
                yield from _swaps(relation, key, draw.choice(others))
                yield _invent(relation, row, draw)
        for past in history:
            yield from _replays(relation, past.get(relation.name))
        yield _empty(relation)
        yield Mutation(
            relation.name,
            "drop",
            "",
            "the table is gone",
            _execute(f'DROP TABLE "{relation.name}"'),
        )


def _execute(sql: str, parameters: Row = ()) -> Callable[[sqlite3.Connection], object]:
    return lambda connection: connection.execute(sql, parameters)


def _show(key: Row) -> str:
    return ", ".join(part.hex() if isinstance(part, bytes) else str(part) for part in key)


def _delete(relation: Relation, key: Row) -> Mutation:
    condition, parameters = relation.where(key)
    return Mutation(
        relation.name,
        "delete",
        "",
        f"row {_show(key)} deleted",
        _execute(f'DELETE FROM "{relation.name}" WHERE {condition}', parameters),
    )


def _set(
    relation: Relation, key: Row, column: str, value: object, *, kind: str, how: str
) -> Mutation:
    condition, parameters = relation.where(key)
    sql = f'UPDATE OR REPLACE "{relation.name}" SET "{column}" = ? WHERE {condition}'
    what = f"{column} of row {_show(key)}: {how}"
    return Mutation(relation.name, kind, column, what, _execute(sql, (value, *parameters)))


def _flip(relation: Relation, key: Row, column: str, place: int, bit: int) -> Mutation:
    value = relation.values(relation.rows[key])[column]
    changed = bytearray(value)
    changed[place] ^= bit
    how = f"byte {place} of {len(value)} flipped by {bit:#04x}"
    return _set(relation, key, column, bytes(changed), kind="flip", how=how)


def _swaps(relation: Relation, key: Row, other: Row) -> Iterator[Mutation]:
    """Exchange each column that is no part of the key between two rows."""
    mine, theirs = relation.values(relation.rows[key]), relation.values(relation.rows[other])
    condition, parameters = relation.where(key)
    its_condition, its_parameters = relation.where(other)
    for column in relation.columns:
        if column in relation.key or mine[column] == theirs[column]:
            continue
        sql = f'UPDATE "{relation.name}" SET "{column}" = ? WHERE '

        def exchange(connection: sqlite3.Connection, sql: str = sql, column: str = column) -> None:
            connection.execute(sql + condition, (theirs[column], *parameters))
            connection.execute(sql + its_condition, (mine[column], *its_parameters))

        what = f"{column} of rows {_show(key)} and {_show(other)} exchanged"
        yield Mutation(relation.name, "swap", column, what, exchange)


def _invent(relation: Relation, row: Row, draw: random.Random) -> Mutation:
    """A row with a new key and an existing row's content."""
    values = relation.values(row)
    for name in relation.key:
        value = values[name]
        values[name] = draw.randbytes(len(value)) if isinstance(value, bytes) else value + 7
    return _insert(relation, tuple(values.values()), "invent", "a copy under another key")


def _insert(relation: Relation, row: Row, kind: str, how: str) -> Mutation:
    places = ", ".join("?" for _ in row)
    key = tuple(relation.values(row)[name] for name in relation.key)
    sql = f'INSERT OR REPLACE INTO "{relation.name}" VALUES ({places})'
    return Mutation(relation.name, kind, "", f"row {_show(key)}: {how}", _execute(sql, row))


def _replays(relation: Relation, past: Relation | None) -> Iterator[Mutation]:
    """Put back what an older copy holds: single values, single rows, and the whole table."""
    if past is None or past.rows == relation.rows:
        return
    for key, row in past.rows.items():
        now = relation.rows.get(key)
        if now is None:
            yield _insert(relation, row, "resurrect", "put back from an older copy")
        elif now != row:
            yield _insert(relation, row, "replay", "replaced by an older one")

    def restore(connection: sqlite3.Connection) -> None:
        connection.execute(f'DELETE FROM "{relation.name}"')
        places = ", ".join("?" for _ in relation.columns)
        connection.executemany(
            f'INSERT INTO "{relation.name}" VALUES ({places})', past.rows.values()
        )

    yield Mutation(relation.name, "restore", "", "every row as in an older copy", restore)


def _empty(relation: Relation) -> Mutation:
    return Mutation(
        relation.name, "empty", "", "every row deleted", _execute(f'DELETE FROM "{relation.name}"')
    )


def family(relation: str) -> str:
    """The kind of a relation: its name without the opaque id of the logical table."""
    return relation.partition("_")[0]


def sample(mutations: Sequence[Mutation], each: int, seed: int = 0) -> list[Mutation]:
    """At most ``each`` mutations of every family, kind and column, drawn with a fixed seed."""
    draw = random.Random(seed)
    groups: dict[tuple[str, str, str], list[Mutation]] = {}
    for mutation in mutations:
        group = (family(mutation.relation), mutation.kind, mutation.column)
        groups.setdefault(group, []).append(mutation)
    chosen: list[Mutation] = []
    for found in groups.values():
        chosen += draw.sample(found, min(each, len(found)))
    return chosen
