"""Traces up to a renaming of opaque ids.

Numbers that a store can read stay: counters, blocks of labels, segments, packs and columns, sizes. Random ones do
not: tables, places in a block or segment, writers, tags, links. An id is known by where it occurs, and together with
which others, so two traces are equal here if some renaming turns one into the other. Of values that compare byte
by byte their ranks stay, and where each begins to differ from the one before; tokens are taken block by block.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, Final

from encdb.trace import TO_STORE, Event

PLAIN, TABLE, LABEL, PAGE, PACK, BYTES = "plain", "table", "label", "page", "pack", "bytes"
ENTRY, VALUE = "entry", "value"

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
    "changes.visible_added.entries": (LABEL, VALUE),
    "visible.entries": (LABEL, VALUE),
    "tests.values": (VALUE,),
    "changes.visible_removed": (ENTRY,),
    "groups": (BYTES, PLAIN, LABEL),
    "catalog.created": (TABLE,),
    "catalog.dropped": (TABLE,),
}
_ANSWERED: Final = {
    "ReadRows": LABEL,
    "ReadPages": PAGE,
    "ReadPacks": PACK,
    "ReadVisible": LABEL,
}
_ENTRY_SHIFT: Final = 44
_TAG, _HEAD, _STEP = 16, 4, 17
_ORDERED: Final = (8, 16, 32, 64, 128)
"""Bytes of values that compare byte by byte; those of no tag are as long."""
_ROUNDS = 4

Name = tuple[Any, ...]


def canonical(events: Sequence[Event]) -> list[Any]:
    """A trace in which every random id is replaced by what can be said of it."""
    ranks = _ranks(events)
    cells = [list(_cells(event, asked, ranks)) for event, asked in _paired(events)]
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


def _ranks(events: Sequence[Event]) -> dict[bytes, tuple[int, int]]:
    """Of values that compare: the rank of each, and the first byte that differs from the one before."""
    values = {
        value
        for event in events
        for path, ids in event.ids
        if VALUE in _ROWS.get(path, ())
        for value in ids
        if isinstance(value, bytes) and _comparable(value)
    }
    found = {}
    before = b""
    for rank, value in enumerate(sorted(values)):
        pairs = zip(value, before, strict=False)
        found[value] = rank, next((place for place, (a, b) in enumerate(pairs) if a != b), -1)
        before = value
    return found


def _comparable(value: bytes) -> bool:
    return len(value) in _ORDERED and len(value) != _TAG


def _cells(event: Event, asked: str, ranks: dict[bytes, tuple[int, int]]) -> Iterator[Cell]:
    """Field, its leaves as what is clear and what is random, and the size of the blob beside them."""
    sizes = {path: list(values) for path, values in event.sizes}
    table = next((ids[0] for path, ids in event.ids if path.endswith("table")), None)
    for path, ids in event.ids:
        kinds = _ROWS.get(path) or (_kind(event, path, asked),)
        rows = [ids[start : start + len(kinds)] for start in range(0, len(ids), len(kinds))]
        beside = sizes.pop("blobs" if path == "ids" else path, None)
        for number, row in enumerate(rows):
            leaves = [
                leaf
                for kind, value in zip(kinds, row, strict=True)
                for leaf in _leaves(kind, value, table, ranks)
            ]
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


def _leaves(
    kind: str, value: int | bytes, table: Any, ranks: dict[bytes, tuple[int, int]]
) -> list[tuple[Any, Name | None]]:
    if kind == ENTRY:
        index, label = value >> _ENTRY_SHIFT, value & (1 << _ENTRY_SHIFT) - 1  # type: ignore[operator]
        return [(index, None), _leaf(LABEL, label, table)]
    if kind != VALUE or not isinstance(value, bytes):
        return [_leaf(kind, value, table)]
    if value in ranks:
        return [(ranks[value], None)]
    steps, rest = divmod(len(value) - _HEAD, _STEP)
    if rest or steps < 1:
        return [("", (BYTES, value))]
    # A token: each of its blocks is a value of its own.
    pieces = [value[_HEAD + _STEP * n : _HEAD + _STEP * (n + 1)] for n in range(steps)]
    return [(value[:_HEAD].hex(), None), *(("", (BYTES, piece)) for piece in pieces)]


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
