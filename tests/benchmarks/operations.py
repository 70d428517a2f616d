"""Single statements on one table, each a transaction of its own: point read, range, update, insert.

The table has a key, an indexed integer and two texts. The integers of the loaded rows are a permutation
of 0 … rows-1, and rows that are inserted later lie above them, so that a range query has exactly
100 rows at any time.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from itertools import count

from .targets import Client, Row

OPERATIONS = ("point read", "range", "update", "insert")
RANGE_ROWS = 100
_STRIDE = 7_919
"""A prime, so that multiples of it visit every number of rows that it does not divide."""
_SEAT_ROWS = 10_000_000
"""How many rows a client may insert in one cell before it would meet the next one's."""

TABLE = (
    "CREATE TABLE accounts (id BIGINT PRIMARY KEY, score INTEGER NOT NULL,"
    " owner TEXT NOT NULL, note TEXT NOT NULL)"
)
INDEX = "CREATE INDEX accounts_score ON accounts USING range (score)"
INSERT = "INSERT INTO accounts (id, score, owner, note) VALUES (?, ?, ?, ?)"
POINT = "SELECT id, score, owner, note FROM accounts WHERE id = ?"
RANGE = "SELECT id, score, owner, note FROM accounts WHERE score BETWEEN ? AND ?"
UPDATE = "UPDATE accounts SET note = ? WHERE id = ?"


def _note(draw: random.Random) -> str:
    return f"{draw.getrandbits(320):080x} {draw.randrange(1000):03d} paid"


def rows(count: int) -> Iterator[Row]:
    """The rows of a table of that size, always the same."""
    draw = random.Random(count)
    stride = _STRIDE if count % _STRIDE else 1
    for number in range(count):
        yield (number, number * stride % count, f"owner-{draw.randrange(1000)}", _note(draw))


def load(client: Client, count: int) -> None:
    """Make and fill the table."""
    client.define(TABLE)
    client.load(INSERT, rows(count))
    client.define(INDEX)
    client.settle()


def step(
    operation: str, client: Client, size: int, draw: random.Random, seat: int
) -> Callable[[], None]:
    """What one client repeats.

    Args:
        operation: one of :data:`OPERATIONS`.
        client: its connection.
        size: loaded rows.
        draw: where its choices come from.
        seat: a number that no other client has, in any cell of the run.
    """
    fresh = count(size + seat * _SEAT_ROWS)

    def point() -> None:
        assert len(client.run(POINT, (draw.randrange(size),))) == 1

    def span() -> None:
        first = draw.randrange(max(1, size - RANGE_ROWS))
        found = client.run(RANGE, (first, first + RANGE_ROWS - 1))
        assert len(found) == min(RANGE_ROWS, size), f"{len(found)} rows"

    def update() -> None:
        client.run(UPDATE, (_note(draw), draw.randrange(size)))

    def insert() -> None:
        score = draw.randrange(size, 1 << 31)
        client.run(INSERT, (next(fresh), score, f"owner-{seat}", _note(draw)))

    return {"point read": point, "range": span, "update": update, "insert": insert}[operation]
