"""Entries of server-visible indexes in an SQLite store: written with their rows, and read by value.

Here the store does what it does for no other index: it compares, sorts, groups and joins values. Tags and
order-preserving values are ordinary byte strings to it. Order-revealing ones it compares with a token, by the
keyless half of that scheme, which is loaded when it is first asked for.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from encdb import ids, wire
from encdb.errors import InternalError, ProgrammingError, TamperError, err

from .schema import relation

_LABELS: Final = (1 << ids.LABEL_BITS) - 1
_LABEL: Final = f"(id & {_LABELS})"
_INDEX: Final = f"(id >> {ids.LABEL_BITS})"
_COMPARED_AT_ONCE: Final = 65_536
SWEPT_AT_ONCE: Final = 4_096
_MARKS: Final = 30_000
"""Values in one ``IN`` list; SQLite takes 250,000 by default, and 32,766 at least."""


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
        name = relation("visible", request.table)
        passed = self._passing(request.table, request.tests)
        if passed is None:
            rows = self._connection.execute(
                f'SELECT value, count(*), min({_LABEL}) FROM "{name}"'
                " WHERE idx = ? AND kind < 3 GROUP BY value ORDER BY value",
                (request.index,),
            )
            return wire.Groups(request.table, tuple(rows.fetchall()))
        found: dict[bytes, tuple[int, int]] = {}
        for value, label in self._connection.execute(
            f'SELECT value, {_LABEL} FROM "{name}" WHERE idx = ? AND kind < 3',
            (request.index,),
        ):
            if label in passed:
                count, least = found.get(value, (0, label))
                found[value] = (count + 1, min(least, label))
        return wire.Groups(request.table, tuple((value, *found[value]) for value in sorted(found)))

    def join(self, request: wire.ReadJoin) -> wire.Joined:
        """Labels of both sides whose tags meet."""
        sides = [self._tags(side) for side in (request.left, request.right)]
        common = sides[0].keys() & sides[1].keys()
        left, right = (
            tuple(sorted(label for tag in common for label in side[tag])) for side in sides
        )
        return wire.Joined(left, right)

    def _tags(self, side: wire.JoinSide) -> dict[bytes, list[int]]:
        passed = self._passing(side.table, side.tests)
        found: dict[bytes, list[int]] = {}
        for value, label in self._connection.execute(
            f'SELECT value, {_LABEL} FROM "{relation("visible", side.table)}"'
            " WHERE idx = ? AND kind < 3",
            (side.index,),
        ):
            if passed is None or label in passed:
                found.setdefault(value, []).append(label)
        return found

    def _passing(self, table: int, tests: Sequence[wire.VisibleTest]) -> set[int] | None:
        """Labels that pass every test; None without any test."""
        passed: set[int] | None = None
        # Tests that a B-tree answers come first: they leave fewer rows to compare.
        for test in sorted(tests, key=lambda one: one.kind == "compare"):
            found = self._test(relation("visible", table), test, passed)
            passed = found if passed is None else passed & found
            if not passed:
                break
        return passed

    def _test(self, name: str, test: wire.VisibleTest, passed: set[int] | None) -> set[int]:
        if test.kind == "compare":
            return self._compared(name, test, passed)
        start = f'SELECT {_LABEL} FROM "{name}" WHERE idx = ? AND kind < 3'
        if test.kind == "tag":
            found: set[int] = set()
            for first in range(0, len(test.values), _MARKS):
                part = test.values[first : first + _MARKS]
                rows = self._connection.execute(
                    f"{start} AND value IN ({_marks(part)})", (test.index, *part)
                )
                found.update(label for (label,) in rows)
            return found
        values: list[Any] = [test.index]
        for value, strict, sign in (
            (test.values[0], test.low_open, ">"),
            (test.values[1], test.high_open, "<"),
        ):
            if value:
                start += f" AND value {sign}{'' if strict else '='} ?"
                values.append(value)
        return {label for (label,) in self._connection.execute(start, values)}

    def _compared(self, name: str, test: wire.VisibleTest, passed: set[int] | None) -> set[int]:
        """Rows whose ciphertext stands to the tokens as asked for, among those that may still pass."""
        from indexes.methods.ore import server

        found: set[int] = set()
        low, high = test.values
        try:
            for token in filter(None, (low, high)):
                server.shape_of(token)
        except server.TokenError:
            raise err(ProgrammingError, "E_VISIBLE_MISFIT", "a token is malformed") from None
        for part in self._column(name, test.index, passed):
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
        self, name: str, index: int, passed: set[int] | None
    ) -> Iterator[list[tuple[int, bytes]]]:
        """Labels and values of an index of kind ``compare``, in parts; of few labels only theirs."""
        chosen = f'SELECT {_LABEL}, value FROM "{name}" WHERE kind = 3 AND id'
        if passed is not None and len(passed) <= _COMPARED_AT_ONCE:
            numbers = sorted(ids.entry_id(index, label) for label in passed)
            yield [
                row
                for first in range(0, len(numbers), _MARKS)
                for row in self._connection.execute(
                    f"{chosen} IN ({_marks(numbers[first : first + _MARKS])})",
                    numbers[first : first + _MARKS],
                )
            ]
            return
        cursor = self._connection.execute(f"{chosen} BETWEEN ? AND ?", _span(index))
        while part := cursor.fetchmany(_COMPARED_AT_ONCE):
            yield [row for row in part if passed is None or row[0] in passed]

    def _first(self, request: wire.ReadVisible, passed: set[int] | None) -> Iterator[int]:
        """The first rows of an order, and those that tie with the last of them."""
        direction = "DESC" if request.descending else "ASC"
        left, bound = request.limit, None
        for value, label in self._connection.execute(
            f'SELECT value, {_LABEL} FROM "{relation("visible", request.table)}"'
            f" WHERE idx = ? AND kind < 3 ORDER BY value {direction}",
            (request.order,),
        ):
            if left == 0 and value != bound:
                return
            if passed is None or label in passed:
                left, bound = max(left - 1, 0), value
                yield label


def _marks(values: Sequence[object]) -> str:
    return ",".join("?" * len(values))


def _blob(kind: object, value: object) -> bytes:
    """An entry as it is copied; what is not as encdb writes it becomes an entry of no kind."""
    if type(kind) is not int or type(value) is not bytes:
        return b"\0"
    sound = 1 <= kind <= 3 and len(value) <= wire.VISIBLE_BYTES
    return bytes((kind,)) + value if sound else b"\0"
