"""Entries of server-visible indexes in an SQLite store: written with their rows, and read by value.

Here the store does what it does for no other index: it compares, sorts, groups and joins values. Tags and
order-preserving values are ordinary byte strings to it. Order-revealing ones it compares with a token, by the
keyless half of that scheme, which is loaded when it is first asked for.
"""

from __future__ import annotations

import itertools
import sqlite3
from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from encdb import ids, wire
from encdb.errors import InternalError, ProgrammingError, TamperError, err

from .schema import relation

_LABELS: Final = (1 << ids.LABEL_BITS) - 1
_LABEL: Final = f"(id & {_LABELS})"
_INDEX: Final = f"(id >> {ids.LABEL_BITS})"
_AT_ONCE: Final = 65_536
_FEW: Final = 65_536
"""The entries of so many rows are read one by one rather than with their whole column."""
SWEPT_AT_ONCE: Final = 4_096
_MARKS: Final = 30_000
"""Values in one ``IN`` list; SQLite takes 250,000 by default, and 32,766 at least."""


_T = TypeVar("_T")


def kind_number(kind: wire.VisibleKind) -> int:
    """The number by which a kind is stored."""
    return wire.VISIBLE_KINDS.index(kind) + 1


# --- Writing ---------------------------------------------------------------------------------------


def write(connection: sqlite3.Connection, change: wire.TableChange) -> None:
    """Drop and add the entries of one commit, inside its transaction.

    Raises:
        InternalError: an entry is there already.
    """
    name = relation("visible", change.table)
    for index in change.visible_dropped:
        connection.execute(f'DELETE FROM "{name}" WHERE id BETWEEN ? AND ?', _span(index))
    _remove(connection, name, change.visible_removed)
    statement = f'INSERT INTO "{name}" (id, idx, kind, value) VALUES (?, ?, ?, ?)'
    with _once():
        for batch in change.visible_added:
            kind = kind_number(batch.kind)
            connection.executemany(
                statement,
                (
                    (ids.entry_id(batch.index, label), batch.index, kind, value)
                    for label, value in batch.entries
                ),
            )


def stage(connection: sqlite3.Connection, request: wire.Stage, batch: wire.VisibleBatch) -> None:
    """Write entries that belong to a stage; the same ones may be written again."""
    kind = kind_number(batch.kind)
    connection.executemany(
        "INSERT OR REPLACE INTO staged_visible (tbl, stage, id, kind, value) VALUES (?, ?, ?, ?, ?)",
        (
            (request.table, request.stage, ids.entry_id(batch.index, label), kind, value)
            for label, value in batch.entries
        ),
    )


def publish(connection: sqlite3.Connection, table: int, number: int) -> None:
    """Let requests meet the entries of a stage, inside the transaction of the merge that names it.

    Raises:
        InternalError: an entry is there already.
    """
    held = "FROM staged_visible WHERE tbl = ? AND stage = ?"
    with _once():
        connection.execute(
            f'INSERT INTO "{relation("visible", table)}" (id, idx, kind, value)'
            f" SELECT id, {_INDEX}, kind, value {held}",
            (table, number),
        )
    connection.execute(f"DELETE {held}", (table, number))


def drop_stage(connection: sqlite3.Connection, table: int, number: int) -> None:
    """Drop the entries of a stage that was swept, a few at a time."""
    held = "FROM staged_visible WHERE tbl = ? AND stage = ?"
    statement = f"DELETE {held} AND id IN (SELECT id {held} ORDER BY id LIMIT ?)"
    removed = SWEPT_AT_ONCE
    while removed == SWEPT_AT_ONCE:
        # Outside of a transaction each statement is one.
        values = (table, number, table, number, SWEPT_AT_ONCE)
        removed = connection.execute(statement, values).rowcount


def receive(connection: sqlite3.Connection, request: wire.Put) -> None:
    """Write entries that a copy brings, and drop those that its source dropped."""
    name = relation("visible", request.table)
    _remove(connection, name, request.removed)
    connection.executemany(
        f'INSERT OR REPLACE INTO "{name}" (id, idx, kind, value) VALUES (?, ?, ?, ?)',
        (
            (number, number >> ids.LABEL_BITS, blob[0] if blob else 0, blob[1:])
            for number, blob in request.added
        ),
    )


def _remove(connection: sqlite3.Connection, name: str, numbers: Sequence[int]) -> None:
    connection.executemany(f'DELETE FROM "{name}" WHERE id = ?', ((one,) for one in numbers))


@contextmanager
def _once() -> Iterator[None]:
    try:
        yield
    except sqlite3.IntegrityError:
        raise err(InternalError, "E_INTERNAL", "a row has two visible entries") from None


def _span(index: int) -> tuple[int, int]:
    """First and last entry id of an index."""
    return ids.entry_id(index, 0), ids.entry_id(index, _LABELS)


# --- Reading ---------------------------------------------------------------------------------------


class VisibleReader:
    """Answers requests about visible entries from one read transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def answer(
        self, request: wire.ReadVisible | wire.ReadGroups | wire.ReadJoin | wire.ReadEntries
    ) -> wire.Ids | wire.Groups | wire.Joined | wire.Blobs:
        """The answer to any request about visible entries."""
        match request:
            case wire.ReadVisible():
                return self.rows(request)
            case wire.ReadGroups():
                return self.groups(request)
            case wire.ReadJoin():
                return self.join(request)
            case wire.ReadEntries():
                return self.entries(request)

    def entries(self, request: wire.ReadEntries) -> wire.Blobs:
        """Entries by id, each with its kind in front."""
        # An entry that lies under another index than its id says is none.
        statement = (
            f'SELECT kind, value FROM "{relation("visible", request.table)}"'
            f" WHERE id = ? AND idx = {_INDEX}"
        )
        found: list[tuple[int, bytes]] = []
        for number in request.ids:
            row = self._connection.execute(statement, (number,)).fetchone()
            if row is not None:
                found.append((number, _blob(*row)))
        numbers, blobs = zip(*found, strict=True) if found else ((), ())
        return wire.Blobs(table=request.table, ids=numbers, blobs=blobs)

    def list_ids(self, table: int) -> wire.Ids:
        """Ids of all entries but those of stages."""
        name = relation("visible", table)
        rows = self._connection.execute(f'SELECT id FROM "{name}" ORDER BY id')
        return wire.Ids(table=table, ids=tuple(number for (number,) in rows))

    def rows(self, request: wire.ReadVisible) -> wire.Ids:
        """Labels of the rows that pass every test, or of the first of them in an order."""
        passed = self._passing(request.table, request.tests)
        if request.order != wire.NO_INDEX:
            passed = set(self._first(request, passed))
        return wire.Ids(table=request.table, ids=tuple(sorted(passed or ())))

    def groups(self, request: wire.ReadGroups) -> wire.Groups:
        """Tags with the number of rows and the least label of each."""
        passed = self._passing(request.table, request.tests)
        if passed is None:
            rows = self._connection.execute(
                f'SELECT value, count(*), min({_LABEL}) FROM "{relation("visible", request.table)}"'
                " WHERE idx = ? AND kind < 3 GROUP BY value ORDER BY value",
                (request.index,),
            )
            return wire.Groups(request.table, tuple(rows.fetchall()))
        side = wire.JoinSide(request.table, request.index, request.tests)
        found = self._tags(side, passed)
        groups = ((value, len(found[value]), min(found[value])) for value in sorted(found))
        return wire.Groups(request.table, tuple(groups))

    def join(self, request: wire.ReadJoin) -> wire.Joined:
        """Labels of both sides whose tags meet."""
        sides = request.left, request.right
        passed = [self._passing(side.table, side.tests) for side in sides]
        sizes = [float("inf") if rows is None else len(rows) for rows in passed]
        if passed == [None, None]:
            return wire.Joined(self._meeting(*sides), self._meeting(*sides[::-1]))
        # The side with fewer rows is read first, and the other one by its tags.
        few, many = (0, 1) if sizes[0] <= sizes[1] else (1, 0)
        mine = self._tags(sides[few], passed[few])
        theirs = self._tags(sides[many], passed[many], mine)
        found = {
            few: sorted(label for tag in theirs for label in mine[tag]),
            many: sorted(label for labels in theirs.values() for label in labels),
        }
        return wire.Joined(tuple(found[0]), tuple(found[1]))

    def _meeting(self, side: wire.JoinSide, other: wire.JoinSide) -> tuple[int, ...]:
        """Labels of one side whose tags the other one has, of all rows of both."""
        mine, theirs = (relation("visible", one.table) for one in (side, other))
        rows = self._connection.execute(
            f'SELECT {_LABEL} FROM "{mine}" WHERE idx = ? AND kind < 3 AND value IN'
            f' (SELECT value FROM "{theirs}" WHERE idx = ? AND kind < 3) ORDER BY 1',
            (side.index, other.index),
        )
        return tuple(label for (label,) in rows)

    def _tags(
        self, side: wire.JoinSide, passed: set[int] | None, among: Collection[bytes] | None = None
    ) -> dict[bytes, list[int]]:
        """The labels of every tag, of all rows or some, and of all tags or some."""
        found: dict[bytes, list[int]] = {}
        if passed is None and among is not None and len(among) <= _FEW:
            parts = self._by_value(side.table, side.index, sorted(among))
        else:
            parts = self._column(side.table, side.index, "kind < 3", passed)
        for part in parts:
            for label, value in part:
                if among is None or value in among:
                    found.setdefault(value, []).append(label)
        return found

    def _passing(self, table: int, tests: Sequence[wire.VisibleTest]) -> set[int] | None:
        """Labels that pass every test; None without any test."""
        passed: set[int] | None = None
        # Each looks at what has passed the one before; those that compare one by one come last.
        for test in sorted(tests, key=lambda one: kind_number(one.kind)):
            if test.kind == "compare":
                passed = self._compared(table, test, passed)
            elif passed is not None and len(passed) <= _FEW:
                rows = itertools.chain(*self._column(table, test.index, "kind < 3", passed))
                passed = {label for label, value in rows if _passes(test, value)}
            else:
                found = self._found(table, test)
                passed = found if passed is None else passed & found
            if not passed:
                break
        return passed

    def _found(self, table: int, test: wire.VisibleTest) -> set[int]:
        """Rows that pass one test, by the values' B-tree."""
        if test.kind == "tag":
            parts = self._by_value(table, test.index, test.values)
            return {label for part in parts for label, _ in part}
        name = relation("visible", table)
        start = f'SELECT {_LABEL} FROM "{name}" WHERE idx = ? AND kind < 3'
        values: list[Any] = [test.index]
        for value, strict, sign in (
            (test.values[0], test.low_open, ">"),
            (test.values[1], test.high_open, "<"),
        ):
            if value:
                start += f" AND value {sign}{'' if strict else '='} ?"
                values.append(value)
        return {label for (label,) in self._connection.execute(start, values)}

    def _by_value(
        self, table: int, index: int, values: Sequence[bytes]
    ) -> Iterator[list[tuple[int, bytes]]]:
        """Labels and values of the entries with some values, in parts."""
        chosen = (
            f'SELECT {_LABEL}, value FROM "{relation("visible", table)}" WHERE idx = ? AND kind < 3'
        )
        for part in _parts(values):
            yield self._connection.execute(
                f"{chosen} AND value IN ({_marks(part)})", (index, *part)
            ).fetchall()

    def _compared(self, table: int, test: wire.VisibleTest, passed: set[int] | None) -> set[int]:
        """Rows whose ciphertext stands to the tokens as asked for, among those that may still pass."""
        from indexes.methods.ore import server

        found: set[int] = set()
        low, high = test.values
        try:
            for token in filter(None, (low, high)):
                server.shape_of(token)
        except server.TokenError:
            raise err(ProgrammingError, "E_VISIBLE_MISFIT", "a token is malformed") from None
        for part in self._column(table, test.index, "kind = 3", passed):
            inside: Sequence[int] = range(len(part))
            if low or high:
                try:
                    stored = server.gathered([value for _, value in part], low or high)
                    within = server.within(stored, low, high, test.low_open, test.high_open)
                except (server.TokenError, TypeError):
                    raise err(
                        TamperError,
                        "E_STORE_DAMAGED",
                        "a value of a server-visible index is none of that index",
                    ) from None
                inside = within.nonzero()[0].tolist()
            found.update(part[place][0] for place in inside)
        return found

    def _column(
        self, table: int, index: int, kind: str, passed: set[int] | None
    ) -> Iterator[list[tuple[int, bytes]]]:
        """Labels and values of an index, in parts; of few rows those alone are read."""
        chosen = f'SELECT {_LABEL}, value FROM "{relation("visible", table)}" WHERE {kind} AND id'
        if passed is None or len(passed) > _FEW:
            cursor = self._connection.execute(f"{chosen} BETWEEN ? AND ?", _span(index))
            while part := cursor.fetchmany(_AT_ONCE):
                yield [row for row in part if passed is None or row[0] in passed]
            return
        for numbers in _parts(sorted(ids.entry_id(index, label) for label in passed)):
            yield self._connection.execute(
                f"{chosen} IN ({_marks(numbers)})", tuple(numbers)
            ).fetchall()

    def _first(self, request: wire.ReadVisible, passed: set[int] | None) -> Iterator[int]:
        """The first rows of an order, and those that tie with the last of them."""
        rows: Iterable[tuple[int, bytes]]
        if passed is not None and len(passed) <= _FEW:
            parts = self._column(request.table, request.order, "kind < 3", passed)
            rows = sorted(
                itertools.chain(*parts), key=lambda row: row[1], reverse=request.descending
            )
        else:
            direction = "DESC" if request.descending else "ASC"
            rows = self._connection.execute(
                f'SELECT {_LABEL}, value FROM "{relation("visible", request.table)}"'
                f" WHERE idx = ? AND kind < 3 ORDER BY value {direction}",
                (request.order,),
            )
        left, bound = request.limit, None
        for label, value in rows:
            if left == 0 and value != bound:
                return
            if passed is None or label in passed:
                left, bound = max(left - 1, 0), value
                yield label


def _passes(test: wire.VisibleTest, value: bytes) -> bool:
    """Whether a value passes a test of kind ``tag`` or ``order``."""
    if test.kind == "tag":
        place = bisect_left(test.values, value)
        return place < len(test.values) and test.values[place] == value
    low, high = test.values
    return not (
        (low and (value < low or (test.low_open and value == low)))
        or (high and (value > high or (test.high_open and value == high)))
    )


def _parts(values: Sequence[_T]) -> Iterator[Sequence[_T]]:
    return (values[first : first + _MARKS] for first in range(0, len(values), _MARKS))


def _marks(values: Sequence[object]) -> str:
    return ",".join("?" * len(values))


def _blob(kind: object, value: object) -> bytes:
    """An entry as it is copied; what is not as encdb writes it becomes an entry of no kind."""
    if type(kind) is not int or type(value) is not bytes:
        return b"\0"
    sound = 1 <= kind <= 3 and len(value) <= wire.VISIBLE_BYTES
    return bytes((kind,)) + value if sound else b"\0"
