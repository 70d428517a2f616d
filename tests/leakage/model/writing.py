"""Writes of the model: rows, their index entries, and the one commit that carries a transaction out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from indexes.leakage import Leak

from . import equality, history, visible
from .client import BULK_ROWS, Client, Memory, ends
from .functions import Functions
from .messages import Blob, By, Each
from .plain import Index, Row, Table
from .world import Delta, Entries, delta_bytes

if TYPE_CHECKING:
    from .database import Model

BULK_POSTINGS = 32 << 10
PENDING = (1_024, 64 << 10, 4 << 20)
"""Pending deltas, entries and bytes from which on a commit is followed by a merge."""

COMMIT_LEAKS = {
    "catalog_version": Leak.SCHEMA,
    "catalog": Leak.SCHEMA,
    "holder": Leak.WRITER,
    "changes.table": Leak.TABLE_USE,
    "changes.rows_added": (Leak.ROW_COUNT, Leak.RECORD_SIZE),
    "changes.rows_removed": Leak.REMOVALS,
    "changes.tombstones": Leak.REMOVALS,
    "changes.keys_added": Leak.UNIQUE_TAGS,
    "changes.keys_removed": Leak.UNIQUE_TAGS,
    "changes.visible_added": (
        *(Leak.NULLS, Leak.EQUALITY, Leak.JOINS, Leak.RECURRENCE),
        *(Leak.ORDER, Leak.DIFFERENCE),
    ),
    "changes.visible_removed": Leak.REMOVALS,
    "changes.delta": Leak.WRITER,
    "changes.delta.blob": Leak.CHANGE_SIZE,
    "changes.swap.manifest": Leak.PAGE_COUNT,
    "changes.swap.folded_keys": Leak.UNIQUE_TAGS,
}


def entries_of(
    functions: Functions, table: Table, indexes: Sequence[Index], rows: Mapping[int, Row]
) -> Entries:
    """Everything that indexes keep of rows."""
    from .database import ADD

    found = Entries()
    for index in indexes:
        ADD[index.method](functions, table, index, dict(rows), found)
    return found


def insert(model: Model, client: Client, step: history.Insert) -> None:
    """INSERT."""
    memory = start(model, client, step.table)
    _add(client, memory, step.rows, [])
    finish(client, memory)


def start(model: Model, client: Client, table: str) -> Memory:
    """The beginning of a statement that changes a table."""
    client.sync()
    number = model.number(table)
    client.open([number])
    return client.tables[number]


def _add(
    client: Client, memory: Memory, rows: Sequence[Row], unchanged: Sequence[int]
) -> list[int]:
    """New rows, whose unique values are looked up; ``unchanged`` are indexes whose values stay."""
    state = memory.state
    table, functions = state.schema, client.model.functions
    ordinals = client.ordinals(memory, len(rows))
    client.live(memory, ordinals)
    fresh = dict(zip(ordinals, rows, strict=True))
    entries = entries_of(functions, table, table.indexes, fresh)
    for index in table.indexes:
        if index.unique and index.id not in unchanged:
            found = equality.candidates(client, memory, entries.unique.get(index.id, ()))
            assert not found, "histories of the model break no constraint"
    memory.own.update(fresh)
    memory.own_entries.take(entries)
    return ordinals


def update(model: Model, client: Client, step: history.Update) -> None:
    """UPDATE of one column."""
    memory = start(model, client, step.table)
    table = memory.state.schema
    column = table.column(step.column).id
    found = _targets(client, memory, step.where, step.equals)
    if found:
        kept = [one.id for one in table.columns if one.id != column]
        old = client.fetch(memory, found, kept)
        rows = [
            tuple(step.value if place == column else value for place, value in enumerate(row, 1))
            for row in old
        ]
        unchanged = [one.id for one in table.indexes if column not in one.columns]
        client_rows = _prepare(client, memory, rows, unchanged)
        _remove(client, memory, found)
        memory.own.update(client_rows[0])
        memory.own_entries.take(client_rows[1])
    finish(client, memory)


def _prepare(
    client: Client, memory: Memory, rows: Sequence[Row], unchanged: Sequence[int]
) -> tuple[dict[int, Row], Entries]:
    """New rows that are not in the transaction yet."""
    before = dict(memory.own), memory.own_entries
    memory.own_entries = Entries()
    ordinals = _add(client, memory, rows, unchanged)
    fresh = {one: memory.own[one] for one in ordinals}
    entries = memory.own_entries
    memory.own, memory.own_entries = before
    return fresh, entries


def delete(model: Model, client: Client, step: history.Delete) -> None:
    """DELETE."""
    memory = start(model, client, step.table)
    found = _targets(client, memory, step.where, step.equals)
    if found:
        _remove(client, memory, found)
    finish(client, memory)


def _targets(client: Client, memory: Memory, where: str, equals: Any) -> list[int]:
    """The rows that an equality finds, rechecked by their values."""
    table = memory.state.schema
    column = table.column(where).id
    index = next(
        one for one in table.indexes if (one.method, one.columns) == ("equality", (column,))
    )
    word = equality.word_of(client.model.functions, table, index, (equals,))
    found = equality.candidates(client, memory, [] if word is None else [word])
    client.fetch(memory, found, [column])
    return found


def _remove(client: Client, memory: Memory, ordinals: Sequence[int]) -> None:
    """Rows go: the words of documents are counted, and unique values of pending ones given up."""
    state = memory.state
    table = state.schema
    for index in table.indexes:
        if index.method == "keyword":
            rows = client.fetch(memory, ordinals, index.columns)
            listed = dict(zip(ordinals, rows, strict=True))
            entries = entries_of(client.model.functions, table, [index], listed)
            memory.own_entries.count(entries.totals, -1)
    pending = [one for one in ordinals if one in state.recent]
    for index in table.indexes:
        if index.unique and pending:
            client.fetch(memory, pending, index.columns)
    for one in ordinals:
        if one in memory.own:
            del memory.own[one]
        else:
            memory.gone.add(one)


def begin(model: Model, client: Client, step: history.Begin) -> None:
    """BEGIN: one snapshot until COMMIT."""
    client.sync()
    client.in_transaction = True


def end(model: Model, client: Client, step: history.Commit) -> None:
    """COMMIT."""
    client.in_transaction = False
    for memory in client.tables.values():
        if memory.own or memory.gone:
            finish(client, memory)


def finish(client: Client, memory: Memory) -> None:
    """Carry out what a transaction has done to its one table, unless it goes on."""
    from . import merging

    if client.in_transaction or not (memory.own or memory.gone):
        return
    entries = memory.own_entries
    count = sum(map(len, entries.hashed.values())) + sum(map(len, entries.ordered.values()))
    if max(len(memory.own), len(memory.gone)) >= BULK_ROWS or count >= BULK_POSTINGS:
        merging.bulk(client, memory)
    else:
        commit(client, [_delta(client, memory)])
        _settle(client, memory)
    memory.own, memory.own_entries, memory.gone = {}, Entries(), set()
    client.sync()
    state = memory.state
    pending = [one for chain in state.deltas.values() for one in chain]
    there = state.pending
    size = sum(map(len, there.hashed.values())) + sum(map(len, there.ordered.values()))
    measures = (len(pending), size, sum(one.size for one in pending))
    assert all(one < most for one, most in zip(measures, PENDING, strict=True))


def released(client: Client, memory: Memory) -> list[tuple[bytes, int]]:
    """Claims that go with removed rows that are pending."""
    state = memory.state
    number = state.schema.number
    return [
        (tag, client.model.label(number, ordinal))
        for _, tag, ordinal in state.pending.claims
        if ordinal in memory.gone and ordinal in state.recent
    ]


def _delta(client: Client, memory: Memory) -> dict[str, Any]:
    """The change of a transaction that travels as rows and a delta."""
    state, model = memory.state, client.model
    number = state.schema.number
    own = sorted(memory.own)
    removed = sorted(memory.gone)
    entries = memory.own_entries.of(own)
    n = state.end(client.writer) + 1
    known = client.cited.setdefault(number, {})
    cited = {
        writer: last
        for writer, last in ends(state).items()
        if writer != client.writer and known.get(writer, 0) < last
    }
    known.update(cited)
    size = delta_bytes(state, client.version, n, len(cited), own, removed, entries)
    memory.next = Delta(client.writer, n, size, dict(memory.own), removed, entries)
    label = model.label
    return {
        "table": client.table(number),
        "epoch": state.epoch,
        "rows_added": By(
            tuple(
                (label(number, one), Blob(model.row_bytes(number, memory.own[one]))) for one in own
            )
        ),
        "rows_removed": By(tuple((label(number, one),) for one in removed if one in state.recent)),
        "tombstones": By(tuple((label(number, one),) for one in removed if one in state.settled)),
        "keys_added": By(tuple((tag, label(number, one)) for _, tag, one in entries.claims)),
        "keys_removed": By(tuple(released(client, memory))),
        "visible_added": visible.batches(model, number, entries),
        "visible_removed": visible.removed(client, memory),
        "delta": {"writer": client.writer, "n": n, "blob": Blob(size)},
        "swap": None,
    }


def _settle(client: Client, memory: Memory) -> None:
    """The store after a small change."""
    state, made = memory.state, memory.next
    assert made is not None
    state.deltas.setdefault(client.writer, []).append(made)
    state.rows.update(made.added)
    state.given |= set(made.added)
    state.recent |= set(made.added)
    for one in made.removed:
        if one in state.recent:
            state.recent.discard(one)
        else:
            state.removed.add(one)
    memory.next = None


def commit(
    client: Client,
    changes: Sequence[Mapping[str, Any]],
    catalog: Mapping[str, Any] | None = None,
    version: int | None = None,
) -> None:
    """One Commit and its answer."""
    known = client.version if version is None else version
    body = {
        "id": client.model.fresh("commit"),
        "catalog_version": known,
        "changes": Each(tuple(changes), "table"),
        "catalog": catalog,
        "holder": client.holder,
    }
    answer = {"repeated": 0}
    client.exchange("Commit", body, "Committed", answer, Leak.CHANGE_TIME, COMMIT_LEAKS)
    client.expecting = True
