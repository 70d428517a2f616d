"""Entries of server-visible indexes in a PostgreSQL store: written with their rows, and read by value.

The database filters, sorts, groups and joins by them; order-revealing values are compared by the one function
that the schema has. Entries of a stage bear its number until it is published, and are no part of any answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, LiteralString, TypeAlias

from encdb import ids, wire
from encdb.errors import InternalError, err

from .layout import Statement
from .link import Answer, BlobList, Link, Numbers, Row

_MASK: Final = (1 << ids.LABEL_BITS) - 1
_SWEEP_ROWS: Final = 4_096

ADD: Final[LiteralString] = (
    "INSERT INTO {visible} (tbl, id, idx, kind, stage, value) SELECT %s, id, %s, %s, %s, value"
    " FROM unnest(%s::BIGINT[], %s::BYTEA[]) AS new (id, value) ON CONFLICT DO NOTHING"
)
REMOVE: Final[LiteralString] = "DELETE FROM {visible} WHERE tbl = %s AND id = ANY(%s)"
DROP_INDEXES: Final[LiteralString] = "DELETE FROM {visible} WHERE tbl = %s AND idx = ANY(%s)"
PUBLISH: Final[LiteralString] = (
    "UPDATE {visible} SET stage = 0 WHERE tbl = %s AND stage = ANY(%s) AND stage <> 0"
)
_STAGE: Final[LiteralString] = (
    "INSERT INTO {visible} AS v (tbl, id, idx, kind, stage, value) SELECT %s, id, %s, %s, %s, value"
    " FROM unnest(%s::BIGINT[], %s::BYTEA[]) AS new (id, value)"
    " ON CONFLICT (tbl, id) DO UPDATE SET value = excluded.value"
    " WHERE v.stage = excluded.stage AND v.stage <> 0"
)
_SWEEP: Final[LiteralString] = (
    "DELETE FROM {visible} WHERE tbl = %s AND id = ANY(ARRAY("
    "SELECT id FROM {visible} WHERE tbl = %s AND stage = %s AND stage <> 0 LIMIT %s))"
)
_RECEIVE: Final[LiteralString] = (
    "INSERT INTO {visible} (tbl, id, idx, kind, stage, value) SELECT %s, id, id >> "
    f"{ids.LABEL_BITS:d}"
    ", get_byte(blob, 0), 0, substring(blob FROM 2)"
    " FROM unnest(%s::BIGINT[], %s::BYTEA[]) AS new (id, blob)"
    " ON CONFLICT (tbl, id) DO UPDATE SET kind = excluded.kind, value = excluded.value, stage = 0"
)
ENTRIES: Final[LiteralString] = (
    "SELECT id, set_byte('\\x00'::BYTEA, 0, kind::INTEGER) || value FROM {visible}"
    " WHERE tbl = %s AND id = ANY(%s) AND stage = 0 ORDER BY id"
)
LIST: Final[LiteralString] = "SELECT id FROM {visible} WHERE tbl = %s AND stage = 0 ORDER BY id"

Condition: TypeAlias = tuple[str, list[Any]]
"""SQL text and its parameters."""


# --- Writing ---------------------------------------------------------------------------------------


def added(table: int, batch: wire.VisibleBatch, stage: int = 0) -> tuple[Any, ...]:
    """Parameters that write one batch."""
    return (
        table,
        batch.index,
        wire.VISIBLE_KINDS.index(batch.kind) + 1,
        stage,
        Numbers(ids.entry_id(batch.index, label) for label, _ in batch.entries),
        BlobList(value for _, value in batch.entries),
    )


def stage(link: Link, request: wire.Stage, batch: wire.VisibleBatch) -> None:
    """Write entries that belong to a stage; the same ones may be written again."""
    written = link.one(_STAGE, *added(request.table, batch, request.stage)).count
    if written != len(batch.entries):
        raise err(InternalError, "E_INTERNAL", "a row has two visible entries")


def drop_stage(link: Link, table: int, number: int) -> None:
    """Drop the entries of a stage that was swept, a few at a time."""
    removed = _SWEEP_ROWS
    while removed == _SWEEP_ROWS:
        removed = link.one(_SWEEP, table, table, number, _SWEEP_ROWS).count


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
            text, values = _sortable(table, index, tests)
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
    text, values = _sortable(request.table, request.order, request.tests)
    direction = "DESC" if request.descending else "ASC"
    first = f"SELECT id & {_MASK} {text} ORDER BY value {direction} FETCH FIRST %s ROWS WITH TIES"
    ordered = f"SELECT label FROM ({first}) AS first (label) ORDER BY label"
    return ordered, [*values, request.limit]


def _side(side: wire.JoinSide, other: wire.JoinSide) -> Statement:
    """Labels of one side whose tags the other side has as well."""
    mine, values = _sortable(side.table, side.index, side.tests)
    theirs, more = _sortable(other.table, other.index, other.tests)
    return _statement(
        f"SELECT id & {_MASK} {mine} AND value IN (SELECT value {theirs}) ORDER BY 1",
        [*values, *more],
    )


def _sortable(table: int, index: int, tests: Sequence[wire.VisibleTest]) -> Condition:
    """FROM and WHERE of one index with a B-tree, over the rows that pass every test."""
    # The constants are those of the partial index, or it would not be used.
    text = "FROM {visible} WHERE tbl = %s AND idx = %s AND stage = 0 AND kind < 3"
    values: list[Any] = [table, index]
    if tests:
        passing, more = _passing(table, tests)
        text += f" AND id & {_MASK} IN ({passing})"
        values += more
    return text, values


def _passing(table: int, tests: Sequence[wire.VisibleTest]) -> Condition:
    """A query for the labels that pass every test."""
    found = [_test(table, test) for test in tests]
    return " INTERSECT ".join(text for text, _ in found), [
        value for _, values in found for value in values
    ]


def _test(table: int, test: wire.VisibleTest) -> Condition:
    text = (
        f"SELECT id & {_MASK} FROM {{visible}} WHERE tbl = %s AND idx = %s AND stage = 0 AND kind "
    ) + ("= 3" if test.kind == "compare" else "< 3")
    values: list[Any] = [table, test.index]
    if test.kind == "tag":
        return f"{text} AND value = ANY(%s::BYTEA[])", [*values, BlobList(test.values)]
    for value, strict, sign in (
        (test.values[0], test.low_open, ">"),
        (test.values[1], test.high_open, "<"),
    ):
        if not value:
            continue
        operator = sign if strict else f"{sign}="
        if test.kind == "order":
            text += f" AND value {operator} %s"
        else:
            # The function says how the token stands to the value, not the value to the token.
            turned = {">": "<", "<": ">", ">=": "<=", "<=": ">="}[operator]
            text += f" AND {{ore_compare}}(%s, value) {turned} 0"
        values.append(value)
    return text, values
