"""Traces up to a renaming of opaque ids.

Numbers that a store can read stay: counters, blocks of labels, segments, packs and columns, sizes. Random ones do
not: tables, places in a block or segment, writers, tags, links. An id is known by where it occurs, and together with
which others, so two traces are equal here if some renaming turns one into the other.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, Final

from encdb.trace import TO_STORE, Event

PLAIN, TABLE, LABEL, PAGE, PACK, BYTES = "plain", "table", "label", "page", "pack", "bytes"

_ROWS: Final[dict[str, tuple[str, ...]]] = {
    "cursors.frontier": (BYTES, PLAIN),
    "tables.ends": (BYTES, PLAIN, PLAIN),
    "changes.rows_added": (LABEL,),
    "changes.rows_removed": (LABEL,),
    "changes.tombstones": (LABEL,),
    "changes.keys_added": (BYTES, LABEL),
    "changes.keys_removed": (BYTES, LABEL),
    "changes.swap.frontier": (BYTES, PLAIN),
    "changes.swap.folded_deltas": (BYTES, PLAIN),
    "changes.swap.folded_rows": (LABEL,),
    "changes.swap.folded_keys": (BYTES, LABEL),
    "changes.swap.folded_tombstones": (LABEL,),
    "labels": (LABEL,),
    "pages": (PAGE,),
    "packs": (PACK,),
    "catalog.created": (TABLE,),
    "catalog.dropped": (TABLE,),
}
_ANSWERED: Final = {"ReadRows": LABEL, "ReadPages": PAGE, "ReadPacks": PACK}
_ROUNDS = 4

Name = tuple[Any, ...]


def canonical(events: Sequence[Event]) -> list[Any]:
    """A trace in which every random id is replaced by what can be said of it."""
    cells = [list(_cells(event, asked)) for event, asked in _paired(events)]
    colours: dict[Name, str] = {}
    for _ in range(_ROUNDS):
        seen: dict[Name, list[str]] = {}
        for number, fields in enumerate(cells):
            for path, row, size in fields:
                for place, (clear, name) in enumerate(row):
                    if name is not None:
                        others = [(c, colours.get(n, "") if n else "") for c, n in row]
                        where = repr((number, path, place, clear, others, size))
                        seen.setdefault(name, []).append(where)
        colours = {
            name: hashlib.sha256("".join(sorted(places)).encode()).hexdigest()
            for name, places in seen.items()
        }
    return [
        (
            event.boundary,
            event.kind,
            event.outcome,
            sorted(
                repr((path, [(c, colours[n] if n else "") for c, n in row], size))
                for path, row, size in fields
            ),
        )
        for event, fields in zip(events, cells, strict=True)
    ]


def _paired(events: Sequence[Event]) -> Iterator[tuple[Event, str]]:
    """Events, answers with the kind of their request."""
    asked: deque[str] = deque()
    for event in events:
        if event.boundary == TO_STORE:
            asked.append(event.kind)
            yield event, ""
        else:
            yield event, asked.popleft()


Cell = tuple[str, list[tuple[Any, Name | None]], int | None]


def _cells(event: Event, asked: str) -> Iterator[Cell]:
    """Field, its leaves as what is clear and what is random, and the size of the blob beside them."""
    sizes = {path: list(values) for path, values in event.sizes}
    table = next((ids[0] for path, ids in event.ids if path.endswith("table")), None)
    for path, ids in event.ids:
        kinds = _ROWS.get(path) or (_kind(event, path, asked),)
        rows = [ids[start : start + len(kinds)] for start in range(0, len(ids), len(kinds))]
        beside = sizes.pop("blobs" if path == "ids" else path, None)
        for number, row in enumerate(rows):
            leaves = [_leaf(kind, value, table) for kind, value in zip(kinds, row, strict=True)]
            yield path, leaves, None if beside is None else beside[number]
    for path, values in sizes.items():
        for value in values:
            yield path, [], value


def _kind(event: Event, path: str, asked: str) -> str:
    if path == "ids":
        return _ANSWERED[asked or event.kind]
    if path.endswith("table"):
        return TABLE
    return PLAIN


def _leaf(kind: str, value: int | bytes, table: Any) -> tuple[Any, Name | None]:
    if isinstance(value, bytes):
        return "", (BYTES, value) if value else None
    if kind == TABLE:
        return "", (TABLE, value)
    if kind == LABEL:
        return value >> 12, (LABEL, table, value)
    if kind == PAGE:
        return value >> 32, (PAGE, table, value)
    return int(value), None
