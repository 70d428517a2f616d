"""Random histories of one table, and other histories that leak the same.

The second kind has other values: of texts other ones as long, of numbers others that lie as far apart. That is
what no profile of a hidden method tells apart, so the model says the same of both, and the traces are the same up to a
renaming of opaque ids.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable
from typing import Any

from .model.history import (
    MAIN,
    Begin,
    Between,
    Commit,
    Connect,
    CreateIndex,
    CreateTable,
    Delete,
    Equal,
    Extreme,
    First,
    History,
    Insert,
    Match,
    Scan,
    Step,
    Update,
    Vacuum,
)
from .model.plain import Row, Value
from .tables import PLAIN, POSITIONS

CLIENTS = (MAIN, "other")
COLUMNS = ("id", "name", "size", "body")
TABLE = CreateTable(
    "t", (("id", "BIGINT"), ("name", "TEXT"), ("size", "BIGINT"), ("body", "TEXT")), "id"
)


class Drawing:
    """One random history.

    Args:
        seed: makes it.
        steps: how many statements.
        bulk: whether some of them add so many rows that they settle at once.
    """

    def __init__(self, seed: int, steps: int = 40, *, bulk: bool = False) -> None:
        self._random = random.Random(seed)
        self._bulk = bulk
        self._next = 0
        self._alive: list[int] = []
        self.history: list[Step] = [TABLE, *self._indexes()]
        self._open: str | None = None
        self._connected = {MAIN}
        while len(self.history) < steps:
            self._draw()
        if self._open is not None:
            self.history.append(Commit(client=self._open))

    def _indexes(self) -> list[Step]:
        draw = self._random
        options = draw.choice((PLAIN, POSITIONS))
        every: list[Step] = [
            CreateIndex("t_name", "t", "equality", ("name",)),
            CreateIndex("t_size", "t", "range", ("size",)),
            CreateIndex("t_body", "t", "keyword", ("body",), options),
        ]
        return every

    def _draw(self) -> None:
        draw = self._random
        client = self._open or draw.choice(CLIENTS)
        if client not in self._connected or (self._open is None and draw.random() < 0.05):
            self._connected.add(client)
            self.history.append(Connect(client=client))
        kinds: list[Callable[[str], Step | None]] = [self._insert, self._insert, self._update]
        kinds += [self._delete, *[self._query] * 6]
        if self._open is None:
            kinds += [self._vacuum]
        step = draw.choice(kinds)(client)
        if self._open is None and draw.random() < 0.05:
            self._open = client
            self.history.append(Begin(client=client))
        elif self._open is not None and draw.random() < 0.3:
            self.history.append(Commit(client=client))
            self._open = None
        if step is not None and not (self._open and isinstance(step, Vacuum)):
            self.history.append(step)
        elif step is not None:
            self.history.append(Commit(client=client))
            self._open = None

    # --- Values -------------------------------------------------------------------------------------

    def _name(self) -> str:
        number = self._random.randrange(12)
        return f"n{number:02d}" + "x" * (number % 5) * 30

    def _size(self) -> int | None:
        size = int(self._random.gauss(0, 1) * 10 ** self._random.randrange(2, 12))
        return None if self._random.random() < 0.1 else size

    def _body(self) -> str | None:
        words = [f"w{self._random.randrange(90):02d}x" for _ in range(self._random.randrange(12))]
        return " ".join(words) or None

    def _row(self) -> Row:
        self._next += 1
        self._alive.append(self._next)
        return (self._next, self._name(), self._size(), self._body())

    def _one(self) -> int:
        return self._random.choice(self._alive) if self._alive else 0

    # --- Statements ---------------------------------------------------------------------------------

    def _insert(self, client: str) -> Step:
        count = self._random.choice((1, 1, 3, 40))
        if self._bulk and self._open is None and self._random.random() < 0.1:
            count = self._random.choice((1_030, 4_200))
        return Insert("t", tuple(self._row() for _ in range(count)), client=client)

    def _update(self, client: str) -> Step:
        column, value = self._random.choice(
            (("name", self._name()), ("size", self._size()), ("body", self._body()))
        )
        return Update("t", column, value, "id", self._one(), client=client)

    def _delete(self, client: str) -> Step | None:
        if not self._alive:
            return None
        number = self._one()
        self._alive.remove(number)
        return Delete("t", "id", number, client=client)

    def _vacuum(self, client: str) -> Step:
        return Vacuum("t", client=client)

    def _query(self, client: str) -> Step:
        draw = self._random
        shown = tuple(draw.sample(COLUMNS, draw.randrange(1, 4)))
        low, high = sorted(self._size() or 0 for _ in range(2))
        count = draw.choice((1, 1, 2, 9))
        queries: list[Step] = [
            Scan("t", shown),
            Scan("t", ()),
            Equal("t", shown, "id", tuple({self._one() for _ in range(count)})),
            Equal("t", shown, "name", tuple({self._name() for _ in range(count)})),
            Between("t", shown, "size", low, high),
            First("t", shown, "size", draw.choice((1, 4, 30)), draw.random() < 0.5),
            Extreme("t", (), "size", draw.random() < 0.5),
            Match("t", shown, "body", tuple({f"w{draw.randrange(90):02d}x" for _ in range(2)})),
        ]
        return dataclasses.replace(draw.choice(queries), client=client)


def other(steps: History, seed: int) -> History:
    """A history with other values that no hidden method tells from the first one's."""
    return Renaming(seed).history(steps)


class Renaming:
    """Other values for those of a history."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._shift = self._random.randrange(-(10**15), 10**15)
        self._known: dict[tuple[str, Value], Value] = {}
        self._taken: set[tuple[str, Value]] = set()

    def history(self, steps: History) -> History:
        """The same statements over other values."""
        return [self._step(step) for step in steps]

    def _step(self, step: Step) -> Step:
        changes: dict[str, Any] = {}
        match step:
            case Insert(_, rows):
                changes["rows"] = tuple(
                    tuple(self.value(c, v) for c, v in zip(COLUMNS, row, strict=True))
                    for row in rows
                )
            case Update(_, column, value, where, equals):
                changes = {
                    "value": self.value(column, value),
                    "equals": self.value(where, equals),
                }
            case Delete(_, where, equals):
                changes["equals"] = self.value(where, equals)
            case Equal(_, _, where, values):
                changes["values"] = tuple(self.value(where, one) for one in values)
            case Between(_, _, where, low, high):
                changes = {"low": self.value(where, low), "high": self.value(where, high)}
            case Match(_, _, _, words):
                changes["words"] = tuple(str(self.value("word", one)) for one in words)
        return dataclasses.replace(step, **changes)

    def value(self, column: str, value: Value) -> Value:
        """Another value in the place of one of a column."""
        if value is None:
            return None
        if column == "size":
            return int(value) + self._shift
        if column == "body":
            return " ".join(str(self.value("word", one)) for one in str(value).split())
        if (column, value) not in self._known:
            fresh = self._fresh(value)
            while (column, fresh) in self._taken:
                fresh = self._fresh(value)
            self._known[column, value] = fresh
            self._taken.add((column, fresh))
        return self._known[column, value]

    def _fresh(self, value: Value) -> Value:
        if isinstance(value, int):
            return self._random.randrange(-(2**63), 2**63)
        return "".join(self._random.choice("abcdefghijkmnopq") for _ in str(value))
