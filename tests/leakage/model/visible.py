"""L of `det`, `ore` and `ope`: what the store holds for each row, and what it is asked.

At rest the store sees an entry for each row with a value: of `det` a random function of the value, of `ope` the bits
of the value each behind a random function of those before it, of `ore` fresh randomness. On query it sees tags,
bounds in the form of stored values, or tokens, which are random functions of each block and those before it; and
exactly which rows its answer names.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from indexes.leakage import Leak

from . import history
from .client import Client, Memory
from .equality import kinds
from .functions import Functions
from .messages import FROM, TO, By, Fresh
from .plain import Index, Row, Table, Value, order_key, term
from .world import Entries, TableState

if TYPE_CHECKING:
    from .database import Model

METHODS = ("det", "ore", "ope")
BITS = {"INTEGER": 32, "BIGINT": 64, "DOUBLE": 64, "TEXT": 128}
FAMILIES = {"INTEGER": "integer", "BIGINT": "integer", "DOUBLE": "float", "TEXT": "text"}
WIDTHS = {"aes": 6, "sha256": 4}
ENDS = 0.25
ENTRY_SHIFT = 44
LEAKS = {
    "tests": Leak.SEARCH_PATTERN,
    "tests.index": Leak.TABLE_USE,
    "order": Leak.TABLE_USE,
    "limit": Leak.RESULT,
}
Shown = bytes | Fresh


def number_of(value: Value, kind: str) -> int:
    """A value as an unsigned number in the order of SQL."""
    high, low = order_key(value, kind)
    if kind == "TEXT":
        return high << 64 | low
    return high - 2**63 + 2**31 if kind == "INTEGER" else high


def shape(table: Table, index: Index) -> tuple[str, int, int]:
    """Mask, bits of a block and bits of a number of an `ore` index."""
    mask = dict(index.options).get("mask", "aes")
    return mask, WIDTHS[mask], BITS[kinds(table, index.columns)[0]]


def shown(
    functions: Functions, table: Table, index: Index, values: Row, ordinal: int
) -> Shown | None:
    """What the store is shown of a row; nothing of a NULL."""
    if any(value is None for value in values):
        return None
    if index.method == "det":
        return tag(functions, table, index, values)
    if index.method == "ope":
        return clww(functions, table, index, values[0])
    _, width, bits = shape(table, index)
    size = 16 + -(-bits // width) * 2**width // 4
    return Fresh("ore", (table.number, index.id, ordinal), size)


def tag(functions: Functions, table: Table, index: Index, values: Row) -> bytes:
    """The tag of a tuple of values."""
    types = kinds(table, index.columns)
    found = term(values, types)
    assert found is not None
    families = ",".join(FAMILIES[one] for one in types)
    group = dict(index.options).get("join_group")
    return functions.shown(table.number, index.id, group, families, found)


def clww(functions: Functions, table: Table, index: Index, value: Value) -> bytes:
    """An order-preserving ciphertext."""
    kind = kinds(table, index.columns)[0]
    bits = f"{number_of(value, kind):0{BITS[kind]}b}"
    return bytes(
        functions.digit(table.number, index.id, len(bits), bits[:place]) + int(bit)
        for place, bit in enumerate(bits)
    )


def token(functions: Functions, table: Table, index: Index, value: Value) -> bytes:
    """What an `ore` index is asked with."""
    mask, width, bits = shape(table, index)
    number = number_of(value, kinds(table, index.columns)[0])
    count = -(-bits // width)
    out = bytes([1, ("aes", "sha256").index(mask), width, bits])
    for block in range(count):
        rest = width * (count - block - 1)
        prefix, piece = number >> rest + width, number >> rest & 2**width - 1
        out += functions.slot(table.number, index.id, shape(table, index), prefix, block, piece)
    return out


def bound(functions: Functions, table: Table, index: Index, value: Value) -> bytes:
    """The end of a range."""
    if index.method == "ore":
        return token(functions, table, index, value)
    return clww(functions, table, index, value)


def add(
    functions: Functions, table: Table, index: Index, rows: dict[int, Row], into: Entries
) -> None:
    """Entries of new rows."""
    for ordinal, row in rows.items():
        value = shown(functions, table, index, table.values(row, index.columns), ordinal)
        if value is not None:
            into.visible.setdefault(index.id, []).append((ordinal, value))


def batches(model: Model, number: int, entries: Entries) -> list[dict[str, Any]]:
    """Entries as they are sent, by index."""
    return [
        {
            "index": index,
            "entries": By(tuple((model.label(number, one), value) for one, value in pairs)),
        }
        for index, pairs in sorted(entries.visible.items())
    ]


def removed(client: Client, memory: Memory) -> By:
    """Ids of the entries that removed rows have, or would have."""
    table = memory.state.schema
    label = client.model.label
    return By(
        tuple(
            (index.id << ENTRY_SHIFT | label(table.number, one),)
            for index in table.indexes
            if index.method in METHODS
            for one in memory.gone
        )
    )


# --- Queries -----------------------------------------------------------------------------------------


def fits(state: TableState, index: Index, allowed: Iterable[Value]) -> set[int]:
    """Live rows whose value is among some."""
    known = set(allowed)
    return {one for one in state.live if state.rows[one][index.columns[0] - 1] in known}


def within(state: TableState, index: Index, low: Value, high: Value) -> set[int]:
    """Live rows whose value lies between two."""
    kind = kinds(state.schema, index.columns)[0]
    first, last = number_of(low, kind), number_of(high, kind)
    found = set()
    for one in state.live:
        value = state.rows[one][index.columns[0] - 1]
        if value is not None and first <= number_of(value, kind) <= last:
            found.add(one)
    return found


def ask(
    client: Client,
    memory: Memory,
    tests: Sequence[tuple[Index, Sequence[bytes]]],
    rows: Iterable[int],
    order: tuple[Index, int, bool] | None = None,
) -> list[int]:
    """One question and the labels in answer."""
    number = memory.state.schema.number
    index, limit, descending = order or (None, 0, False)
    body = {
        "table": client.table(number),
        "tests": [
            {"index": one.id, "values": list(values), "low_open": 0, "high_open": 0}
            for one, values in tests
        ],
        "order": -1 if index is None else index.id,
        "descending": int(descending),
        "limit": limit,
    }
    listed = sorted(rows)
    labels = sorted(client.model.label(number, one) for one in listed)
    answer = {"table": client.table(number), "ids": labels}
    client.say(TO, "ReadVisible", body, Leak.RESULT, fields=LEAKS)
    client.say(FROM, "Ids", answer, Leak.RESULT, outcome="ok")
    if listed:
        client.live(memory, listed)
    return listed


def tagged(client: Client, memory: Memory, step: history.Tagged) -> list[int]:
    """Rows by a `det` index."""
    state = memory.state
    index = _index(state.schema, "det", step.where)
    functions = client.model.functions
    values = sorted({tag(functions, state.schema, index, (one,)) for one in step.values})
    return ask(client, memory, [(index, values)], fits(state, index, step.values))


def compared(client: Client, memory: Memory, step: history.Compared) -> list[int]:
    """Rows by an `ore` or `ope` index."""
    state = memory.state
    index = _index(state.schema, step.method, step.where)
    functions = client.model.functions
    ends = [bound(functions, state.schema, index, one) for one in (step.low, step.high)]
    return ask(client, memory, [(index, ends)], within(state, index, step.low, step.high))


def ranked(client: Client, memory: Memory, step: history.Ranked) -> list[int] | None:
    """The first rows in the order of an `ope` index, with all that tie with the last."""
    state = memory.state
    index = _index(state.schema, "ope", step.order)
    if step.limit > ENDS * len(state.live):
        return None
    place = index.columns[0] - 1
    kind = kinds(state.schema, index.columns)[0]
    ordered = sorted(
        (number_of(state.rows[one][place], kind), one)
        for one in state.live
        if state.rows[one][place] is not None
    )
    last = ordered[: step.limit][-1][0] if ordered else 0
    rows = [one for number, one in ordered if number <= last]
    found = ask(client, memory, [], rows, (index, step.limit, False))
    return found if len(found) >= step.limit else None


def groups(client: Client, memory: Memory, step: history.Groups) -> list[int]:
    """One row of each group that the store counts by a `det` index."""
    state, model = memory.state, client.model
    table = state.schema
    index = _index(table, "det", step.by)
    members: dict[bytes, list[int]] = {}
    for one in state.live:
        values = table.values(state.rows[one], index.columns)
        if values[0] is not None:
            members.setdefault(tag(model.functions, table, index, values), []).append(one)
    body = {"table": client.table(table.number), "index": index.id, "tests": []}
    labels = {
        key: min((model.label(table.number, one), one) for one in rows)
        for key, rows in members.items()
    }
    found = tuple((key, len(rows), labels[key][0]) for key, rows in members.items())
    client.say(TO, "ReadGroups", body, Leak.RESULT)
    answer = {"table": client.table(table.number), "groups": By(found)}
    client.say(FROM, "Groups", answer, Leak.RESULT, outcome="ok")
    chosen = sorted(one for _, one in labels.values())
    client.live(memory, chosen)
    return chosen


def _index(table: Table, method: str, name: str) -> Index:
    columns = (table.column(name).id,)
    return next(one for one in table.indexes if (one.method, one.columns) == (method, columns))
