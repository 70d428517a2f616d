"""One connection of the model: what it remembers, and the messages by which it learns what has changed.

Reading goes through :meth:`Client.together`: tasks that do not depend on each other ask at once, and what a
connection has read it does not ask for again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from indexes.leakage import Leak

from . import spec
from .layouts import Liveness, Segment
from .messages import FROM, TO, Blob, By, Each, Fresh, Message, Tells
from .plain import Row
from .world import Delta, Entries, TableState

if TYPE_CHECKING:
    from .database import Model

HEADS_LEAKS = {
    "catalog_version": Leak.SCHEMA,
    "catalog": Leak.SCHEMA,
    "catalog_links": Leak.SCHEMA,
    "cursors.epoch": Leak.CHANGE_TIME,
    "cursors.chain": Leak.CHANGE_TIME,
    "cursors.frontier": Leak.WRITER,
    "if_changed": Leak.CHANGE_TIME,
    "unchanged": Leak.CHANGE_TIME,
    "tables.epoch": Leak.CHANGE_TIME,
    "tables.manifest": Leak.PAGE_COUNT,
    "tables.links": Leak.CHANGE_TIME,
    "tables.deltas": Leak.WRITER,
    "tables.deltas.blob": Leak.CHANGE_SIZE,
    "tables.ends": Leak.WRITER,
}


STEPS = (1, 64, 4096)
BULK_ROWS = 1_024


@dataclass
class Request:
    """One request that is about to be sent: what for, which ids, and the sizes of the answer."""

    kind: str
    table: int
    ids: dict[int, int]
    """Id to the size of its blob."""
    leak: Leak

    @property
    def key(self) -> tuple[str, int, frozenset[int]]:
        """Equal for equal requests."""
        return self.kind, self.table, frozenset(self.ids)


class Awaited(Exception):  # noqa: N818 - no failure, but a task that waits
    """A task waits for an answer."""


@dataclass
class Memory:
    """What a connection holds of one table."""

    state: TableState
    epoch: int = 0
    frontier: dict[Fresh, int] = field(default_factory=dict)
    loaded: bool = False
    chain: int = 0
    pages: set[int] = field(default_factory=set)
    columns: set[int] = field(default_factory=set)
    bodies: set[int] = field(default_factory=set)
    next: Delta | None = None
    own: dict[int, Row] = field(default_factory=dict)
    """Live rows of the open transaction."""
    own_entries: Entries = field(default_factory=Entries)
    gone: set[int] = field(default_factory=set)
    """Rows of the store that the open transaction has removed."""

    @property
    def live(self) -> set[int]:
        """Rows that a statement sees."""
        return (self.state.live - self.gone) | set(self.own)

    @property
    def pending(self) -> Entries:
        """Index entries that are not in segments."""
        found = self.state.pending
        found.take(self.own_entries)
        return found

    def row(self, ordinal: int) -> Row:
        """The values of a row."""
        return self.own[ordinal] if ordinal in self.own else self.state.rows[ordinal]


@dataclass
class Leases:
    """Numbers that a connection has taken and not used."""

    next: int = 0
    stop: int = 0
    step: int = 0
    folded: int = 0
    numbers: list[int] = field(default_factory=list)


class Client:
    """One connection."""

    def __init__(self, model: Model, name: str) -> None:
        self.model = model
        self.name = name
        self.version = -1
        self.expecting = False
        self.tables: dict[int, Memory] = {}
        self.writer = Fresh("writer", name)
        self.holder = Fresh("writer", ("holder", name))
        self.leases: dict[int, Leases] = {}
        self.cited: dict[int, dict[Fresh, int]] = {}
        self.in_transaction = False
        self.wrote = False
        # What the store remembers of the last answers it gave this connection.
        self._seen_token: int | None = None
        self._seen_version = -1
        self._seen: dict[int, tuple[int, dict[Fresh, int]]] = {}
        self._answers: set[tuple[str, int, frozenset[int]]] | None = None
        self._wanted: list[Request] = []

    # --- Messages ---------------------------------------------------------------------------------

    def say(self, direction: str, kind: str, body: dict[str, Any], leak: Leak, **more: Any) -> None:
        """One message crosses the boundary."""
        self.model.messages.append(Message(direction, kind, body, leak, **more))

    def exchange(
        self,
        kind: str,
        body: dict[str, Any],
        answer: str,
        answered: dict[str, Any],
        leak: Leak,
        fields: Mapping[str, Tells] | None = None,
    ) -> None:
        """A write and its answer."""
        self.wrote = True
        self.model.writes += 1
        self.say(TO, kind, body, leak, fields=fields or {})
        self.say(FROM, answer, answered, leak, outcome="ok")

    def table(self, number: int) -> Fresh:
        """The id of a table."""
        return Fresh("table", number)

    def lease(self, memory: Memory, kind: str, count: int) -> int:
        """Numbers that nobody else gets: the first of them."""
        state = memory.state
        if kind == "ordinal":
            first, state.next_ordinal = state.next_ordinal, state.next_ordinal + count
        else:
            first, state.next_number = state.next_number, state.next_number + count
        leak = Leak.ROW_COUNT if kind == "ordinal" else Leak.CHANGE_TIME
        body = {"table": self.table(state.schema.number), "count": count}
        self.exchange("Lease", body, "Leased", {"first": first, "count": count}, leak)
        return first

    def ordinals(self, memory: Memory, count: int) -> list[int]:
        """Row numbers: 1, then 64, then 4,096 are leased at a time, and whole blocks for many rows."""
        state = memory.state
        held = self.leases.setdefault(state.schema.number, Leases())
        if count >= BULK_ROWS:
            blocks = -(-count // spec.BLOCK)
            first = self.lease(memory, "ordinal", blocks * spec.BLOCK + spec.BLOCK - 1)
            start = -(-first // spec.BLOCK) * spec.BLOCK
            return list(range(start, start + count))
        if held.folded != state.folded:
            held.next, held.stop, held.folded = 0, 0, state.folded
        found: list[int] = []
        while count:
            if held.next == held.stop:
                size = max(STEPS[held.step], count)
                held.step = min(held.step + 1, 2)
                held.next = self.lease(memory, "ordinal", size)
                held.stop = held.next + size
            taken = min(count, held.stop - held.next)
            found += range(held.next, held.next + taken)
            held.next += taken
            count -= taken
        return found

    def number(self, memory: Memory) -> int:
        """A number for a segment, pack or stage; eight are leased at a time."""
        held = self.leases.setdefault(memory.state.schema.number, Leases())
        if not held.numbers:
            first = self.lease(memory, "segment", 8)
            held.numbers = list(range(first, first + 8))
        return held.numbers.pop(0)

    # --- What has changed ---------------------------------------------------------------------------

    def sync(self) -> None:
        """The beginning of a statement: everything that has changed, whatever it asks."""
        if self.in_transaction:
            return
        self.heads(if_changed=self.version >= 0 and not self.expecting)
        self.expecting = False

    def open(self, numbers: Iterable[int]) -> None:
        """Tables that a statement touches for the first time."""
        missing = [number for number in numbers if number not in self.tables]
        for number in missing:
            self.tables[number] = Memory(self.model.tables[number])
        if missing:
            self.heads(if_changed=False)

    def everything(self) -> None:
        """A snapshot in which all tables are open."""
        self.sync()
        self.open(self.model.tables)

    def heads(self, *, if_changed: bool) -> None:
        """Ask for the state, and take it over."""
        model = self.model
        asked = list(self.tables.items())
        cursors = [self._cursor(number, memory) for number, memory in asked]
        body = {
            "catalog_version": self.version,
            "cursors": Each(tuple(cursors), "table"),
            "if_changed": int(if_changed),
        }
        self.say(TO, "ReadHeads", body, Leak.TABLE_USE, fields=HEADS_LEAKS)
        unchanged = if_changed and self._still_holds(asked)
        catalog = None if unchanged or self.version == model.version else Blob(model.catalog)
        links = [] if unchanged else model.catalog_links[self.version + 1 :]
        tables = (
            [] if unchanged else [self._answer(*one) for one in asked if one[0] in model.tables]
        )
        answer = {
            "unchanged": int(unchanged),
            "database": Fresh("identity", "database"),
            "format": spec.FORMAT_VERSION,
            "incarnation": Fresh("identity", "incarnation"),
            "catalog_version": model.version,
            "catalog": catalog,
            "catalog_links": links,
            "tables": Each(tuple(tables), "table"),
        }
        outcome = "unchanged" if unchanged else "ok"
        self.say(FROM, "Heads", answer, Leak.TABLE_USE, fields=HEADS_LEAKS, outcome=outcome)
        if unchanged:
            return
        if self._seen_token != model.writes:
            self._seen.clear()
        self._seen_token, self._seen_version = model.writes, model.version
        for number, _ in asked:
            if number in model.tables:
                state = model.tables[number]
                self._seen[number] = state.epoch, ends(state)
        self.version = model.version
        for number, memory in asked:
            if number in model.tables:
                self._apply(memory)
            else:
                del self.tables[number]

    def _cursor(self, number: int, memory: Memory) -> dict[str, Any]:
        frontier = memory.frontier.items() if memory.loaded else ()
        return {
            "table": self.table(number),
            "epoch": memory.epoch if memory.loaded else -1,
            "chain": memory.epoch if memory.loaded else memory.chain,
            "frontier": By(tuple(frontier)),
        }

    def _still_holds(self, asked: Sequence[tuple[int, Memory]]) -> bool:
        same = self._seen_token == self.model.writes and self._seen_version == self.version
        return same and all(
            self._seen.get(number) == (memory.epoch if memory.loaded else -1, memory.frontier)
            for number, memory in asked
        )

    def _answer(self, number: int, memory: Memory) -> dict[str, Any]:
        state = self.model.tables[number]
        epoch = memory.epoch if memory.loaded else -1
        chain = memory.epoch if memory.loaded else memory.chain
        return {
            "table": self.table(number),
            "epoch": state.epoch,
            "manifest": None if state.epoch in (0, epoch) else Blob(state.manifest),
            "links": state.links[chain : state.epoch],
            "deltas": Each(
                tuple(
                    {"writer": one.writer, "n": one.n, "blob": Blob(one.size)}
                    for one in self._news(memory)
                ),
                "writer",
            ),
            "ends": By(tuple((w, chain[-1].n, len(chain)) for w, chain in state.deltas.items())),
        }

    def _news(self, memory: Memory) -> list[Delta]:
        known = memory.frontier if memory.loaded else {}
        return [
            one
            for writer, chain in memory.state.deltas.items()
            for one in chain
            if one.n > known.get(writer, 0)
        ]

    def _apply(self, memory: Memory) -> None:
        """Take a table's state over: look whether the rows of new deltas are new, and the removed ones there."""
        state = memory.state
        moved = not memory.loaded or memory.epoch != state.epoch
        fresh = self._news(memory)
        if moved:
            memory.bodies.clear()
            fresh = [one for chain in state.deltas.values() for one in chain]
        memory.epoch, memory.frontier, memory.loaded = state.epoch, ends(state), True
        if moved or fresh:
            added = [ordinal for one in fresh for ordinal in one.added]
            self.live(memory, added)
            removed = [ordinal for one in fresh for ordinal in one.removed]
            self.live(memory, [one for one in removed if one in state.settled])

    # --- Reading ------------------------------------------------------------------------------------

    def ask(self, request: Request) -> None:
        """Send a request, or wait for others with it."""
        if self._answers is None:
            self._send([request])
        elif request.key not in self._answers:
            self._wanted.append(request)
            raise Awaited

    def _send(self, requests: Sequence[Request]) -> None:
        for one in requests:
            name = "labels" if one.kind == "ReadRows" else "ids"
            body = {"table": self.table(one.table), name: sorted(one.ids)}
            self.say(TO, one.kind, body, one.leak)
        for one in requests:
            blobs = [Blob(one.ids[number]) for number in sorted(one.ids)]
            body = {"table": self.table(one.table), "ids": sorted(one.ids), "blobs": blobs}
            self.say(FROM, "Blobs", body, one.leak, outcome="ok")

    def together(self, tasks: Sequence[Callable[[], None]]) -> None:
        """Run tasks; what they wait for at the same time is asked for at once."""
        if self._answers is not None:
            done = [self._try(task) for task in tasks]
            if not all(done):
                raise Awaited
            return
        if len(tasks) < 2:
            for task in tasks:
                task()
            return
        open_tasks = list(tasks)
        self._answers = set()
        try:
            while open_tasks := [task for task in open_tasks if not self._try(task)]:
                wanted = list({one.key: one for one in self._wanted}.values())
                self._wanted = []
                self._send(wanted)
                self._answers |= {one.key for one in wanted}
        finally:
            self._answers, self._wanted = None, []

    def _try(self, task: Callable[[], None]) -> bool:
        try:
            task()
        except Awaited:
            return False
        return True

    def pages(self, memory: Memory, ids: Iterable[int], leak: Leak) -> None:
        """Read index pages that are not held yet."""
        missing = set(ids) - memory.pages
        if missing:
            number = memory.state.schema.number
            self.ask(Request("ReadPages", number, dict.fromkeys(missing, spec.SEALED_PAGE), leak))
            memory.pages |= missing

    def header(self, memory: Memory, segment: Segment) -> None:
        """The header of a segment, or all of it if it is small."""
        self.pages(memory, segment.header_ids(), Leak.TABLE_USE)

    def body(self, memory: Memory, segment: Segment, logical: Iterable[int], leak: Leak) -> None:
        """Body pages of a segment."""
        self.header(memory, segment)
        if not segment.whole:
            self.pages(memory, [segment.page(one) for one in logical], leak)

    def statistics(self, memory: Memory) -> None:
        """The statistics of a table, whole, where there are any."""
        if memory.state.analysis is not None:
            self.header(memory, memory.state.analysis)

    def home(self, memory: Memory) -> dict[int, Liveness]:
        """Where the newest entry of each block lies."""
        listed = memory.state.liveness
        self.together([lambda one=one: self.header(memory, one) for one in listed])  # type: ignore[misc]
        return {block: one for one in listed for block in one.blocks}

    def blocks(self, memory: Memory, blocks: Iterable[int]) -> None:
        """Liveness entries of blocks."""
        homes = self.home(memory)
        wanted: dict[int, tuple[Liveness, list[int]]] = {}
        for block in blocks:
            if block in homes:
                one = homes[block]
                wanted.setdefault(one.segment, (one, []))[1].append(one.logical(block))
        self.together(
            [
                lambda one=one, logical=logical: self.body(  # type: ignore[misc]
                    memory, one, logical, Leak.ACCESS_PATTERN
                )
                for one, logical in wanted.values()
            ]
        )

    def live(self, memory: Memory, ordinals: Iterable[int]) -> None:
        """Look whether settled rows are live."""
        self.blocks(memory, sorted({ordinal // spec.BLOCK for ordinal in ordinals}))

    def keep_live(self, memory: Memory, ordinals: Iterable[int]) -> list[int]:
        """Those of some rows that are live, ascending."""
        found = sorted(set(ordinals))
        if found:
            self.live(memory, found)
        alive = memory.live
        return [one for one in found if one in alive]

    def everything_live(self, memory: Memory) -> list[int]:
        """All live rows, ascending."""
        self.blocks(memory, sorted(self.home(memory)))
        return sorted(memory.live)

    def fetch(self, memory: Memory, ordinals: Sequence[int], columns: Sequence[int]) -> list[Row]:
        """Open columns of live rows."""
        state = memory.state
        if columns:
            settled = [one for one in ordinals if one in state.settled]
            pending = [one for one in ordinals if one in state.recent]
            tasks: list[Callable[[], None]] = []
            if settled:
                tasks.append(lambda: self.packed(memory, settled, columns))
            if pending:
                tasks.append(lambda: self.recent(memory, pending))
            self.together(tasks)
        return [memory.row(one) for one in ordinals]

    def packed(self, memory: Memory, ordinals: Sequence[int], columns: Sequence[int]) -> None:
        """Columns of settled rows."""
        state = memory.state
        blocks = sorted({one // spec.BLOCK for one in ordinals})
        self.blocks(memory, blocks)
        wanted = {}
        for block in blocks:
            pack = state.packs[state.homes[block][0]]
            for column in (0, *columns):
                if pack.number << 11 | column not in memory.columns:
                    wanted[pack.number << 11 | column] = pack.blobs[column]
        if wanted:
            self.ask(Request("ReadPacks", state.schema.number, wanted, Leak.ACCESS_PATTERN))
            memory.columns |= set(wanted)

    def recent(self, memory: Memory, ordinals: Sequence[int]) -> None:
        """Records of pending rows."""
        state, model = memory.state, self.model
        missing = [one for one in ordinals if one not in memory.bodies]
        if missing:
            number = state.schema.number
            ids = {
                model.label(number, one): model.row_bytes(number, state.rows[one])
                for one in missing
            }
            self.ask(Request("ReadRows", number, ids, Leak.ACCESS_PATTERN))
            memory.bodies |= set(missing)


def ends(state: TableState) -> dict[Fresh, int]:
    """Last pending delta of every writer."""
    return {writer: chain[-1].n for writer, chain in state.deltas.items() if chain}
