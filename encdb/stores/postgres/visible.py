"""Entries of server-visible indexes in a PostgreSQL store: written with their rows, and read by value.

The database filters, sorts, groups and joins by them; order-revealing values are compared by the one function
that the schema has. Entries of a stage lie in a relation of their own until it is published. All statements
find their rows by a key, as statistics may be missing or old: by the ids of one index, or by its values.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, LiteralString, TypeAlias

import psycopg

from encdb import ids, wire

from .layout import Statement
from .link import Answer, BlobList, Link, Numbers, Row

_MASK: Final = (1 << ids.LABEL_BITS) - 1
SWEPT_AT_ONCE: Final = 4_096

ADD: Final[LiteralString] = (
    "INSERT INTO {visible} (tbl, id, idx, kind, value) SELECT %s, id, %s, %s, value"
    " FROM unnest(%s::BIGINT[], %s::BYTEA[]) AS new (id, value) ON CONFLICT DO NOTHING"
)
REMOVE: Final[LiteralString] = "DELETE FROM {visible} WHERE tbl = %s AND id = ANY(%s)"
DROP_INDEXES: Final[LiteralString] = (
    "DELETE FROM {visible} AS v USING unnest(%s::BIGINT[]) AS gone (idx)"
    f" WHERE v.tbl = %s AND v.id >= gone.idx << {ids.LABEL_BITS:d}"
    f" AND v.id < (gone.idx + 1) << {ids.LABEL_BITS:d}"
)
PUBLISH: Final[LiteralString] = (
    # True if every entry was new.
    "WITH moved AS (DELETE FROM {staged_visible} WHERE tbl = %s AND stage = ANY(%s)"
    " RETURNING tbl, id, kind, value), added AS (INSERT INTO {visible} (tbl, id, idx, kind, value)"
    f" SELECT tbl, id, id >> {ids.LABEL_BITS:d}, kind, value FROM moved"
    " ON CONFLICT DO NOTHING RETURNING id)"
    " SELECT (SELECT count(*) FROM moved) = (SELECT count(*) FROM added)"
)
_STAGE: Final[LiteralString] = (
    "COPY {staged_visible} (tbl, stage, id, kind, value) FROM STDIN (FORMAT BINARY)"
)
_STAGE_TYPES: Final = ("int8", "int8", "int8", "int2", "bytea")
_UNSTAGE: Final[LiteralString] = (
    "DELETE FROM {staged_visible} WHERE tbl = %s AND stage = %s AND id = ANY(%s)"
)
_SWEEP: Final[LiteralString] = (
    "DELETE FROM {staged_visible} WHERE tbl = %s AND stage = %s AND id = ANY(ARRAY("
    "SELECT id FROM {staged_visible} WHERE tbl = %s AND stage = %s ORDER BY id LIMIT %s))"
)
_RECEIVE: Final[LiteralString] = (
    f"INSERT INTO {{visible}} (tbl, id, idx, kind, value) SELECT %s, id, id >> {ids.LABEL_BITS:d},"
    " get_byte(blob, 0), substring(blob FROM 2)"
    " FROM unnest(%s::BIGINT[], %s::BYTEA[]) AS new (id, blob) ON CONFLICT (tbl, id)"
    " DO UPDATE SET idx = excluded.idx, kind = excluded.kind, value = excluded.value"
)
ENTRIES: Final[LiteralString] = (
    # An entry that lies under another index than its id says is none.
    "SELECT id, CASE WHEN kind BETWEEN 1 AND 3"
    f" AND length(value) <= {wire.VISIBLE_BYTES:d}"
    " THEN set_byte('\\x00'::BYTEA, 0, kind::INTEGER) || value ELSE '\\x00' END FROM {visible}"
    f" WHERE tbl = %s AND id = ANY(%s) AND idx = id >> {ids.LABEL_BITS:d} ORDER BY id"
)
LIST: Final[LiteralString] = "SELECT id FROM {visible} WHERE tbl = %s ORDER BY id"

Condition: TypeAlias = tuple[str, list[Any]]
"""SQL text and its parameters."""


# --- Writing ---------------------------------------------------------------------------------------


def added(table: int, batch: wire.VisibleBatch) -> tuple[Any, ...]:
    """Parameters that write one batch."""
    return table, batch.index, _number(batch.kind), _numbers_of(batch), _values(batch)


def _number(kind: wire.VisibleKind) -> int:
    return wire.VISIBLE_KINDS.index(kind) + 1


def _numbers_of(batch: wire.VisibleBatch) -> Numbers:
    return Numbers(ids.entry_id(batch.index, label) for label, _ in batch.entries)


def _values(batch: wire.VisibleBatch) -> BlobList:
    return BlobList(value for _, value in batch.entries)


def stage(link: Link, request: wire.Stage, batch: wire.VisibleBatch) -> None:
    """Write entries that belong to a stage; the same ones may be written again."""
    link.one("SAVEPOINT fresh")
    try:
        _copy(link, request, batch)
    except psycopg.errors.UniqueViolation:
        link.one("ROLLBACK TO fresh")
        link.one(_UNSTAGE, request.table, request.stage, _numbers_of(batch))
        _copy(link, request, batch)


def _copy(link: Link, request: wire.Stage, batch: wire.VisibleBatch) -> None:
    address, kind = (request.table, request.stage), _number(batch.kind)
    rows = zip(_numbers_of(batch), _values(batch), strict=True)
    link.copy(_STAGE, _STAGE_TYPES, ((*address, one, kind, value) for one, value in rows))


def drop_stage(link: Link, table: int, number: int) -> None:
    """Drop the entries of a stage that was swept, a few at a time."""
    removed = SWEPT_AT_ONCE
    while removed == SWEPT_AT_ONCE:
        removed = link.one(_SWEEP, table, number, table, number, SWEPT_AT_ONCE).count


def receive(link: Link, request: wire.Put) -> None:
    """Write entries that a copy brings."""
    link.one(
        _RECEIVE,
        request.table,
        Numbers(number for number, _ in request.added),
        BlobList(blob or b"\0" for _, blob in request.added),
    )


# --- Reading ---------------------------------------------------------------------------------------


def statements(
    request: wire.ReadVisible | wire.ReadGroups | wire.ReadJoin,
) -> list[Statement]:
    """What to ask; the answers go to :func:`answer`."""
    match request:
        case wire.ReadVisible():
            return [_statement(*_rows(request))]
        case wire.ReadGroups(table, index, tests):
            text, values = _passed(table, index, tests)
            return [
                _statement(
                    f"SELECT value, count(*), min(id & {_MASK}) {text} GROUP BY value ORDER BY value",
                    values,
                )
            ]
        case wire.ReadJoin(left, right):
            return [_side(left, right), _side(right, left)]


def answer(
    request: wire.ReadVisible | wire.ReadGroups | wire.ReadJoin, answers: Sequence[Answer]
) -> wire.Ids | wire.Groups | wire.Joined:
    """The answer to a request, from those to its statements."""
    match request:
        case wire.ReadVisible(table):
            return wire.Ids(table, _numbers(answers[0].rows))
        case wire.ReadGroups(table):
            return wire.Groups(table, tuple(tuple(row) for row in answers[0].rows))
        case wire.ReadJoin():
            return wire.Joined(_numbers(answers[0].rows), _numbers(answers[1].rows))


def _numbers(rows: Sequence[Row]) -> tuple[int, ...]:
    return tuple(number for (number,) in rows)


def _statement(text: str, values: Sequence[Any]) -> Statement:
    return text, tuple(values)


def _rows(request: wire.ReadVisible) -> Condition:
    if request.order == wire.NO_INDEX:
        text, values = _passing(request.table, request.tests)
        return f"SELECT label FROM ({text}) AS passed (label) ORDER BY label", values
    text, values = _passed(request.table, request.order, request.tests)
    direction = "DESC" if request.descending else "ASC"
    first = f"SELECT id & {_MASK} {text} ORDER BY value {direction} FETCH FIRST %s ROWS WITH TIES"
    ordered = f"SELECT label FROM ({first}) AS first (label) ORDER BY label"
    return ordered, [*values, request.limit]


def _side(side: wire.JoinSide, other: wire.JoinSide) -> Statement:
    """Labels of one side whose tags the other side has as well.

    Left to itself, a planner without statistics compares every row that passes with every other. So what
    passes is made into an array first, by which a B-tree is asked, and two such arrays meet in a hash table.
    """
    mine, values = _passed(side.table, side.index, side.tests)
    theirs, more = _passed(other.table, other.index, other.tests)
    if not other.tests:
        meets = f"value IN (SELECT value {theirs})"
    elif not side.tests:
        meets = f"value = ANY(ARRAY(SELECT DISTINCT value {theirs}))"
    else:
        meets = f"(value IN (SELECT value {theirs})) IS TRUE"
    return _statement(
        f"SELECT id & {_MASK} {mine} AND {meets} ORDER BY 1",
        [*values, *more],
    )


def _passed(table: int, index: int, tests: Sequence[wire.VisibleTest]) -> Condition:
    """FROM and WHERE of the entries of one index with a B-tree, of the rows that pass every test."""
    return _entries(table, index, "kind < 3", _passing(table, tests) if tests else None)


def _passing(table: int, tests: Sequence[wire.VisibleTest]) -> Condition:
    """A query for the labels that pass every test: each looks at what has passed the one before.

    So the time grows with what passes, whatever statistics say. What is compared one by one comes last.
    """
    passed: Condition | None = None
    for test in sorted(tests, key=lambda one: wire.VISIBLE_KINDS.index(one.kind)):
        passed = _test(table, test, passed)
    assert passed is not None
    return passed


def _test(table: int, test: wire.VisibleTest, passed: Condition | None) -> Condition:
    """A query for the labels that pass a test, among all or those that another query gives."""
    kind = "kind = 3" if test.kind == "compare" else "kind < 3"
    text, values = _entries(table, test.index, kind, passed)
    text = f"SELECT id & {_MASK} {text}"
    if test.kind == "tag":
        return f"{text} AND value = ANY(%s::BYTEA[])", [*values, BlobList(test.values)]
    # The function says how the token stands to the value, not the value to the token.
    compared = "0 {sign} {{ore_compare}}(%s, value)"
    condition = compared if test.kind == "compare" else "value {sign} %s"
    for value, strict, sign in (
        (test.values[0], test.low_open, ">"),
        (test.values[1], test.high_open, "<"),
    ):
        if value:
            text += " AND " + condition.format(sign=sign if strict else f"{sign}=")
            values.append(value)
    return text, values


def _entries(table: int, index: int, kind: str, passed: Condition | None) -> Condition:
    """FROM and WHERE of the entries of one index, of all rows or of those that a query gives."""
    text = f"FROM {{visible}} WHERE tbl = %s AND {kind}"
    first = ids.entry_id(index, 0)
    if passed is not None:
        query, values = passed
        text += f" AND id = ANY(ARRAY(SELECT label + %s FROM ({query}) AS passed (label)))"
        # OFFSET keeps other conditions out, by which the database might read the whole column instead.
        return f"FROM (SELECT id, value {text} OFFSET 0) AS held WHERE true", [
            table,
            first,
            *values,
        ]
    if kind == "kind < 3":
        # The constant is that of the partial index, or it would not be used.
        return f"{text} AND idx = %s", [table, index]
    return f"{text} AND id >= %s AND id <= %s", [table, first, ids.entry_id(index, _MASK)]
