"""Everything a dishonest store can do to what it holds, one change at a time.

Nothing here knows what encdb's relations mean: every table is found in the database's own description of
it, and any stored value is flipped, nudged, deleted, put back from an older copy, exchanged with another
row's, moved to another logical table, or given to an invented row. What a client then answers is judged
by the caller.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.fixtures.raw import RawStore, Relation, Row

TABLE = "tbl"
"""The column that names the logical table in relations that several tables share."""


@dataclass(frozen=True, slots=True)
class Mutation:
    """One change to a store.

    Attributes:
        relation: the table changed.
        kind: flip, nudge, delete, replay, resurrect, swap, move, invent, restore, empty or drop.
        column: the column changed, or empty for whole rows and tables.
        what: a description that finds it again.
        apply: makes the change.
    """

    relation: str
    kind: str
    column: str
    what: str
    apply: Callable[[RawStore], object]


def copy_files(source: Path, target: Path) -> None:
    """Copy a folder of keyrings and pins, so that one attack does not advance another's pin."""
    shutil.copytree(source, target, dirs_exist_ok=True)


def all_mutations(
    current: Mapping[str, Relation], older: Sequence[Mapping[str, Relation]], seed: int = 0
) -> Iterator[Mutation]:
    """Every change to every row, and the changes to whole tables.

    Args:
        current: the store as it is.
        older: earlier states of it, whose rows are put back.
        seed: chooses the bytes flipped in the middle of a blob, and the partners of swaps.
    """
    draw = random.Random(seed)
    for relation in current.values():
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
            yield from _moves(relation, key)
        for past in older:
            yield from _replays(relation, past.get(relation.name))
        yield Mutation(
            relation.name,
            "empty",
            "",
            "every row deleted",
            lambda store, relation=relation: store.empty(relation),
        )
        yield Mutation(
            relation.name,
            "drop",
            "",
            "the table is gone",
            lambda store, relation=relation: store.drop(relation),
        )


def _show(key: Row) -> str:
    return ", ".join(part.hex() if isinstance(part, bytes) else str(part) for part in key)


def _delete(relation: Relation, key: Row) -> Mutation:
    return Mutation(
        relation.name,
        "delete",
        "",
        f"row {_show(key)} deleted",
        lambda store: store.delete(relation, key),
    )


def _set(
    relation: Relation, key: Row, column: str, value: object, *, kind: str, how: str
) -> Mutation:
    what = f"{column} of row {_show(key)}: {how}"
    return Mutation(
        relation.name, kind, column, what, lambda store: store.change(relation, key, column, value)
    )


def _flip(relation: Relation, key: Row, column: str, place: int, bit: int) -> Mutation:
    value = relation.values(relation.rows[key])[column]
    changed = bytearray(value)
    changed[place] ^= bit
    how = f"byte {place} of {len(value)} flipped by {bit:#04x}"
    return _set(relation, key, column, bytes(changed), kind="flip", how=how)


def _swaps(relation: Relation, key: Row, other: Row) -> Iterator[Mutation]:
    """Exchange each column that is no part of the key between two rows."""
    mine, theirs = relation.values(relation.rows[key]), relation.values(relation.rows[other])
    for column in relation.columns:
        if column in relation.key or mine[column] == theirs[column]:
            continue

        def exchange(store: RawStore, column: str = column) -> None:
            store.change(relation, key, column, theirs[column])
            store.change(relation, other, column, mine[column])

        what = f"{column} of rows {_show(key)} and {_show(other)} exchanged"
        yield Mutation(relation.name, "swap", column, what, exchange)


def _moves(relation: Relation, key: Row) -> Iterator[Mutation]:
    """Give a row to each other logical table that has rows in the same relation."""
    if TABLE not in relation.columns:
        return
    place = relation.columns.index(TABLE)
    mine = relation.rows[key][place]
    for table in sorted({row[place] for row in relation.rows.values()} - {mine}):
        yield _set(relation, key, TABLE, table, kind="move", how=f"given to table {table}")


def _invent(relation: Relation, row: Row, draw: random.Random) -> Mutation:
    """A row with a new key and an existing row's content, in the same logical table."""
    values = relation.values(row)
    for name in relation.key:
        value = values[name]
        if isinstance(value, bytes):
            values[name] = draw.randbytes(len(value))
        elif isinstance(value, int) and (name != TABLE or relation.key == (TABLE,)):
            values[name] = value + 7
    return _insert(relation, tuple(values.values()), "invent", "a copy under another key")


def _insert(relation: Relation, row: Row, kind: str, how: str) -> Mutation:
    what = f"row {_show(relation.key_of(row))}: {how}"
    return Mutation(relation.name, kind, "", what, lambda store: store.put(relation, [row]))


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

    def restore(store: RawStore) -> None:
        store.empty(relation)
        store.put(relation, list(past.rows.values()))

    yield Mutation(relation.name, "restore", "", "every row as in an older copy", restore)


def family(relation: str) -> str:
    """The kind of a relation: its name without the opaque id of the logical table."""
    return relation.partition("_")[0]


def sample(
    mutations: Sequence[Mutation], each: int, seed: int = 0, *, by_column: bool = True
) -> list[Mutation]:
    """At most ``each`` mutations of every family, kind and column, drawn with a fixed seed."""
    draw = random.Random(seed)
    groups: dict[tuple[str, str, str], list[Mutation]] = {}
    for mutation in mutations:
        column = mutation.column if by_column else ""
        group = (family(mutation.relation), mutation.kind, column)
        groups.setdefault(group, []).append(mutation)
    chosen: list[Mutation] = []
    for found in groups.values():
        chosen += draw.sample(found, min(each, len(found)))
    return chosen
