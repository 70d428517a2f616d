"""L: from a history in clear to the messages that a store sees, random functions aside.

A model goes through the steps of a history and says after each which messages cross the boundary. What it says
depends on values through the random functions, sizes and orders only that the profiles declare, and every message is
marked with the leak it belongs to. Caches, leases and plans are part of it. What it does not know: conflicts
between clients that write at the same time, and statements over several tables.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from . import equality, history, keyword, merging, ranges, substring, visible, writing
from .client import Client, Memory
from .functions import Functions
from .messages import Blob, Fresh, Message
from .plain import Column, Index, Row, Table, catalog_blob, row_blob
from .world import TableState

ADD = {
    "equality": equality.add,
    "range": ranges.add,
    "keyword": keyword.add,
    "substring": substring.add,
    **dict.fromkeys(visible.METHODS, visible.add),
}
"""By method, the entries of new rows."""


class Model:
    """The leakage of one database.

    Args:
        functions: the random functions.

    Attributes:
        messages: everything said so far.
        tables: by number, in the order they were made.
    """

    def __init__(self, functions: Functions) -> None:
        self.functions = functions
        self.messages: list[Message] = []
        self.tables: dict[int, TableState] = {}
        self.clients: dict[str, Client] = {}
        self.version = 0
        self.catalog = catalog_blob(0, [])
        self.catalog_links = [Fresh("link", ("catalog", 0))]
        self.writes = 0
        self.changes = 0
        self.connections = 0

    def run(self, step: history.Step) -> list[Message]:
        """The messages of one step."""
        before = len(self.messages)
        if isinstance(step, history.Connect):
            self.connections += 1
            before_it = self.clients.get(step.client)
            if before_it is not None and before_it.wrote:
                # Closing it moved its log into the file, which others see as a change without one.
                self.writes += 1
            client = Client(self, f"{step.client}-{self.connections}")
            self.clients[step.client] = client
            # Whoever opens a store asks it first which database it is.
            client.heads(if_changed=False)
            client.version = -1
        else:
            _STEPS[type(step)](self, self.clients[step.client], step)
        return self.messages[before:]

    # --- Names --------------------------------------------------------------------------------------

    def number(self, name: str) -> int:
        """The number of a table."""
        return next(one for one, state in self.tables.items() if state.schema.name == name)

    def label(self, table: int, ordinal: int) -> int:
        """The label of a row."""
        return ordinal // 4096 * 4096 + self.functions.low(table, ordinal)

    def row_bytes(self, table: int, row: Row) -> int:
        """Bytes of a row's record."""
        return row_blob(row, self.tables[table].schema.columns)

    def fresh(self, what: str) -> Fresh:
        """A random value that nothing else has."""
        self.changes += 1
        return Fresh(what, self.changes)

    # --- Schema -------------------------------------------------------------------------------------

    def new_catalog(self) -> dict[str, object]:
        """The change to the next version of the catalog, whose tables are as they are now."""
        self.version += 1
        self.catalog = catalog_blob(self.version, [one.schema for one in self.tables.values()])
        self.catalog_links.append(Fresh("link", ("catalog", self.version)))
        return {
            "version": self.version,
            "blob": Blob(self.catalog),
            "link": self.catalog_links[-1],
            "created": [],
            "dropped": [],
        }

    def create_table(self, client: Client, step: history.CreateTable) -> None:
        """CREATE TABLE."""
        client.everything()
        columns = tuple(
            Column(number, name, kind) for number, (name, kind) in enumerate(step.columns, start=1)
        )
        table = Table(len(self.tables), step.table, columns, created=self.version + 1)
        if step.key is not None:
            key = table.column(step.key).id
            name = f"{step.table}_pkey"
            table.indexes.append(Index(1, name, "equality", (key,), unique=True, primary=True))
            table.next_index = 2
        self.tables[table.number] = TableState(table)
        catalog = self.new_catalog()
        catalog["created"] = [client.table(table.number)]
        writing.commit(client, (), catalog)
        client.sync()

    def create_index(self, client: Client, step: history.CreateIndex) -> None:
        """CREATE INDEX: all rows are read, and what is pending is folded with it."""
        client.everything()
        number = self.number(step.table)
        memory = client.tables[number]
        state = memory.state
        table = state.schema
        index = Index(
            table.next_index,
            step.name,
            step.method,
            tuple(table.column(name).id for name in step.columns),
            options=step.options,
            created=self.version + 1,
            complete=state.epoch + 1,
            include=tuple(table.column(name).id for name in step.include),
        )
        known = list(table.indexes)
        table.indexes.append(index)
        table.next_index += 1
        catalog = self.new_catalog()
        table.indexes = known
        if step.method in visible.METHODS:
            # Its column is measured before anything is built.
            client.fetch(memory, client.everything_live(memory), sorted(index.columns))
        merge = merging.Merge(client, memory)
        live = client.everything_live(memory)
        stored = sorted({*index.columns, *index.include})
        rows = dict(zip(live, client.fetch(memory, live, stored), strict=True))
        entries = writing.entries_of(self.functions, table, [index], rows)
        merge.build(entries, (*known, index))
        merge.visible.visible = entries.visible
        merge.totals.count(entries.totals, 1)
        merge.fold({}, writing.Entries(), ())
        table.indexes = [*known, index]
        change = merge.finish(expected=True, version=self.version)
        writing.commit(client, [change], catalog, version=self.version - 1)
        merge.apply()
        client.sync()

    # --- Queries ------------------------------------------------------------------------------------

    def query(self, client: Client, step: history.Query) -> None:
        """A query of one table: candidates by index, or everything, and the columns it needs."""
        client.sync()
        number = self.number(step.table)
        client.open([number])
        memory = client.tables[number]
        table = memory.state.schema
        needed = {table.column(name).id for name in (*step.columns, *needs(step))}
        if type(step) in CHOSEN and len(memory.live) > FEW and not certain(table, step):
            client.statistics(memory)
        found = PLANS[type(step)](client, memory, step)
        if found is None:
            if not needed:
                return
            found = client.everything_live(memory)
        elif covers(table, step, needed):
            return
        client.fetch(memory, found, sorted(needed))


FEW = 256
"""Nothing depends on statistics in a table of so few rows."""
CHOSEN = (history.Equal, history.Between, history.Together, history.Match, history.Contains)
"""Queries whose plan is a choice."""


def certain(table: Table, step: history.Query) -> bool:
    """Whether nothing can be better: one value of a unique column."""
    if not isinstance(step, history.Equal) or len(step.values) > 1:
        return False
    return find_index(table, "equality", step.where).unique


def covers(table: Table, step: history.Query, needed: set[int]) -> bool:
    """Whether the entries of the index that serves a query hold all that it needs."""
    methods = {history.Equal: "equality", history.Between: "range", history.Match: "keyword"}
    method = methods.get(type(step))
    if method is None:
        return False
    index = find_index(table, method, step.where)  # type: ignore[attr-defined]
    held = {*index.include, *(() if method == "keyword" else index.columns)}
    return bool(index.include) and needed <= held


def needs(step: history.Query) -> tuple[str, ...]:
    """Columns that a query looks at beside those it returns."""
    match step:
        case history.Equal() | history.Between() | history.Contains():
            return (step.where,)
        case history.Tagged() | history.Compared():
            return (step.where,)
        case history.Groups():
            return (step.by,)
        case history.Together():
            return step.leading, step.where
        case history.First() | history.Ranked():
            return (step.order,)
        case history.Extreme():
            return (step.of,)
        case _:
            return ()


def find_index(table: Table, method: str, *names: str) -> Index:
    """The first index by a method on exactly these columns."""
    columns = tuple(table.column(name).id for name in names)
    return next(one for one in table.indexes if (one.method, one.columns) == (method, columns))


def equal(client: Client, memory: Memory, step: history.Equal) -> list[int] | None:
    """Rows by an equality index."""
    table, functions = memory.state.schema, client.model.functions
    index = find_index(table, "equality", step.where)
    words = [equality.word_of(functions, table, index, (value,)) for value in step.values]
    return equality.candidates(client, memory, [one for one in words if one is not None])


def between(client: Client, memory: Memory, step: history.Between) -> list[int] | None:
    """Rows by a range index."""
    table, functions = memory.state.schema, client.model.functions
    index = find_index(table, "range", step.where)
    low, high = (ranges.key_of(functions, table, index, (), one) for one in (step.low, step.high))
    return ranges.within(client, memory, index, [(low, high)])


def together(client: Client, memory: Memory, step: history.Together) -> list[int] | None:
    """Rows by a range index of two columns."""
    table, functions = memory.state.schema, client.model.functions
    index = find_index(table, "range", step.leading, step.where)
    low, high = (
        ranges.key_of(functions, table, index, (step.equals,), one) for one in (step.low, step.high)
    )
    return ranges.within(client, memory, index, [(low, high)])


def first(client: Client, memory: Memory, step: history.First) -> list[int] | None:
    """Rows at one end of an order."""
    index = find_index(memory.state.schema, "range", step.order)
    return ranges.first_rows(client, memory, index, step.limit, descending=step.descending)


def extreme(client: Client, memory: Memory, step: history.Extreme) -> list[int] | None:
    """The row with the least or greatest value."""
    index = find_index(memory.state.schema, "range", step.of)
    return ranges.extreme(client, memory, index, greatest=step.greatest)


def match(client: Client, memory: Memory, step: history.Match) -> list[int] | None:
    """Documents by a keyword index."""
    index = find_index(memory.state.schema, "keyword", step.where)
    return keyword.matches(client, memory, index, step.words)


def contains(client: Client, memory: Memory, step: history.Contains) -> list[int] | None:
    """Texts by a substring index."""
    index = find_index(memory.state.schema, "substring", step.where)
    return substring.contains(client, memory, index, step.fragment)


Plan = Callable[[Client, Memory, history.Query], Sequence[int] | None]

PLANS: dict[type[history.Step], Plan] = {
    history.Scan: lambda client, memory, step: None,
    history.Equal: equal,  # type: ignore[dict-item]
    history.Between: between,  # type: ignore[dict-item]
    history.Together: together,  # type: ignore[dict-item]
    history.First: first,  # type: ignore[dict-item]
    history.Extreme: extreme,  # type: ignore[dict-item]
    history.Match: match,  # type: ignore[dict-item]
    history.Contains: contains,  # type: ignore[dict-item]
    history.Tagged: visible.tagged,  # type: ignore[dict-item]
    history.Compared: visible.compared,  # type: ignore[dict-item]
    history.Ranked: visible.ranked,  # type: ignore[dict-item]
    history.Groups: visible.groups,  # type: ignore[dict-item]
}
"""By query, the rows that an index finds; None for all."""

_STEPS: dict[type[history.Step], Callable[[Model, Client, history.Step], None]] = {
    history.CreateTable: Model.create_table,  # type: ignore[dict-item]
    history.CreateIndex: Model.create_index,  # type: ignore[dict-item]
    history.Insert: writing.insert,  # type: ignore[dict-item]
    history.Update: writing.update,  # type: ignore[dict-item]
    history.Delete: writing.delete,  # type: ignore[dict-item]
    history.Begin: writing.begin,  # type: ignore[dict-item]
    history.Commit: writing.end,  # type: ignore[dict-item]
    history.Vacuum: merging.vacuum,  # type: ignore[dict-item]
    history.Analyze: merging.analyze,  # type: ignore[dict-item]
    **dict.fromkeys(PLANS, Model.query),  # type: ignore[dict-item]
}
