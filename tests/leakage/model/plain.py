"""Tables, indexes and rows in clear, with the sizes that rows, packs and catalogs take once sealed."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

import cbor2

from . import spec
from .functions import Term

Value = int | float | str | None
Row = tuple[Value, ...]
KeyPair = tuple[int, int]

_SLOTS = {"BIGINT": 8, "INTEGER": 4, "DOUBLE": 8}
_TAGS = {"BIGINT": b"n", "INTEGER": b"n", "DOUBLE": b"f", "TEXT": b"t"}


@dataclass(frozen=True)
class Column:
    """A column: its id, from 1, its name, and BIGINT, INTEGER, DOUBLE or TEXT."""

    id: int
    name: str
    kind: str


@dataclass(frozen=True)
class Index:
    """An index as the catalog has it."""

    id: int
    name: str
    method: str
    columns: tuple[int, ...]
    unique: bool = False
    primary: bool = False
    options: tuple[tuple[str, str], ...] = ()
    created: int = 0
    complete: int = 0
    include: tuple[int, ...] = ()


@dataclass
class Table:
    """A table as the catalog has it; ``number`` counts the tables of the history."""

    number: int
    name: str
    columns: tuple[Column, ...]
    indexes: list[Index] = field(default_factory=list)
    next_index: int = 1
    created: int = 0

    def column(self, name: str) -> Column:
        """The column of that name."""
        return next(one for one in self.columns if one.name == name)

    def index(self, name: str) -> Index:
        """The index of that name."""
        return next(one for one in self.indexes if one.name == name)

    def values(self, row: Row, ids: Sequence[int]) -> Row:
        """Values of some columns."""
        return tuple(row[number - 1] for number in ids)


# --- Values ------------------------------------------------------------------------------------------


def order_key(value: Value, kind: str) -> KeyPair:
    """The order key of a value."""
    if kind == "TEXT":
        raw = str(value).encode()[:16].ljust(16, b"\0")
        return int.from_bytes(raw[:8], "big"), int.from_bytes(raw[8:], "big")
    if kind == "DOUBLE":
        (bits,) = struct.unpack("<Q", struct.pack("<d", float(value) + 0.0))  # type: ignore[arg-type]
        return (~bits & (2**64 - 1) if bits >> 63 else bits | 1 << 63), 0
    return int(value) + 2**63, 0  # type: ignore[arg-type]


def key_bytes(value: Value, kind: str) -> bytes:
    """The order key as 16 big-endian bytes."""
    high, low = order_key(value, kind)
    return high.to_bytes(8, "big") + low.to_bytes(8, "big")


def term(values: Row, kinds: Sequence[str]) -> Term | None:
    """The canonical term of a tuple of values; None when one of them is NULL."""
    if any(value is None for value in values):
        return None
    if len(values) == 1 and kinds[0] != "TEXT":
        return key_bytes(values[0], kinds[0]), True
    out = b""
    for value, kind in zip(values, kinds, strict=True):
        raw = str(value).encode() if kind == "TEXT" else key_bytes(value, kind)
        out += _TAGS[kind] + struct.pack(">I", len(raw)) + raw
    return out, False


def text_term(text: str) -> Term:
    """The term of a token."""
    return text.encode(), False


def covered(table: Table, index: Index, row: Row) -> bytes | None:
    """The value beside an entry of an index with INCLUDE, as long as it is."""
    if not index.include:
        return None
    ids = (*(() if index.method == "keyword" else index.columns), *index.include)
    kinds = [table.columns[number - 1].kind for number in ids]
    values = table.values(row, ids)
    size = -(-len(ids) // 8) + sum(_SLOTS.get(kind, 2) for kind in kinds)
    size += sum(len(one.encode()) for one in values if isinstance(one, str))
    return bytes(size)


# --- Sizes -------------------------------------------------------------------------------------------


def row_blob(row: Row, columns: Sequence[Column]) -> int:
    """Bytes of the sealed record of a row."""
    size = 8 + 8 * -(-len(columns) // 64)
    size += sum(_SLOTS.get(one.kind, 0) for one in columns)
    size += -size % 4
    texts = [value for value, one in zip(row, columns, strict=True) if one.kind == "TEXT"]
    size += 4 * len(texts) + sum(len(one.encode()) for one in texts if isinstance(one, str))
    return spec.record(size)


def column_blob(values: Sequence[Value], kind: str) -> int:
    """Bytes of the sealed column of a pack."""

    def part(size: int) -> int:
        return -(-size // 16) * 16

    count = len(values)
    size = 16 + part(-(-count // 8))
    if kind == "TEXT":
        size += part(4 * (count + 1)) + part(
            sum(len(str(v).encode()) for v in values if v is not None)
        )
    else:
        size += part(_SLOTS[kind] * count)
    return spec.column_blob(size)


def directory_blob(rows: int, columns: int) -> int:
    """Bytes of the sealed directory of a pack."""
    return spec.column_blob(8 + 2 * rows + 2 * columns)


def catalog_blob(version: int, tables: Sequence[Table]) -> int:
    """Bytes of a sealed catalog."""
    body = {
        "version": version,
        "previous": bytes(32),
        "incarnation": bytes(16),
        "options": {},
        "tables": [
            {
                "id": 2**31,
                "name": table.name,
                "columns": [[one.id, one.name, one.kind, False, None] for one in table.columns],
                "indexes": [
                    [
                        one.id,
                        one.name,
                        one.method,
                        list(one.columns),
                        one.unique,
                        one.primary,
                        [list(option) for option in one.options],
                        one.created,
                        one.complete,
                        list(one.include),
                    ]
                    for one in table.indexes
                ],
                "checks": [],
                "foreign": [],
                "next_index": table.next_index,
                "created": table.created,
            }
            for table in tables
        ],
    }
    return spec.record(len(cbor2.dumps(body)))
