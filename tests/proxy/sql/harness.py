"""Runs planned queries in DuckDB over whole tables and over what their plans ask for.

The second run sees only the rows and columns of the plan's accesses, filtered here by a plain reading of
the predicates. Both must give the same rows: a wrong push, a wrongly pruned column or a wrong
semi-join shows as a difference.
"""

from __future__ import annotations

import datetime as dt
import math
import re
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal

import duckdb
import pyarrow as pa

from indexes.types import ColumnType
from proxy.catalog import Catalog, Column, Index, Table
from proxy.sql.access import QueryPlan, TableAccess
from proxy.sql.casts import column_type
from proxy.sql.compare import bind
from proxy.sql.parse import parse_one
from proxy.sql.plan import plan_query
from proxy.sql.predicates import (
    And,
    Between,
    Equals,
    Folded,
    In,
    Like,
    Literal,
    Match,
    Or,
    Predicate,
)

ORDERS = ((), ("right",), ("left",), ("right", "left"), ("left", "right"))
NOW = dt.datetime(2024, 2, 29, 12, 30, 45, 678901, tzinfo=dt.UTC)
Rows = Sequence[Sequence[object]]


def table(name, columns, *indexes, number=None):
    """A catalog table from "name:TYPE name:TYPE"."""
    parts = [text.split(":", 1) for text in columns.split()]
    made = tuple(
        Column(place + 1, label, ColumnType.parse(kind.replace("_", " ")))
        for place, (label, kind) in enumerate(parts)
    )
    return Table(
        id=number if number is not None else sum(name.encode()) + len(parts),
        name=name,
        columns=made,
        indexes=tuple(indexes),
    )


def keyword(*columns):
    return Index(9, "words", "keyword", columns)


CATALOG = Catalog(
    tables=(
        table(
            "t",
            "id:BIGINT x:INTEGER s:SMALLINT y:TEXT d:DECIMAL(10,2) dt:DATE ts:TIMESTAMP "
            "tz:TIMESTAMP_WITH_TIME_ZONE tm:TIME r:REAL f:DOUBLE b:BOOLEAN bl:BLOB u:UUID notes:TEXT",
            keyword(15),
            number=1,
        ),
        table("u", "id:BIGINT t_id:BIGINT z:INTEGER y:TEXT w:DECIMAL(12,3)", number=2),
        table("v", "id:BIGINT k:TEXT notes:TEXT body:TEXT", keyword(3, 4), number=3),
        table("codes", "id:INTEGER c:TEXT", number=5),
        table(
            "names",
            "id:BIGINT a:TEXT b:TEXT c:TEXT",
            Index(1, "parts", "substring", (2,)),
            Index(2, "sorted", "range", (3,)),
            Index(3, "folded", "range", (4,), options=(("case_insensitive", "true"),)),
            number=6,
        ),
        table("odd Name", 'select:INTEGER Größe:INTEGER qu"ote:TEXT', number=4),
    )
)


class Engine:
    """DuckDB with the settings of the local engine."""

    def __init__(self):
        self.connection = duckdb.connect(":memory:")
        self.connection.execute(
            "SET TimeZone = 'UTC'; SET integer_division = true; "
            "SET default_null_order = 'nulls_last_on_asc_first_on_desc'; SET threads = 1"
        )

    def load(self, name: str, columns: Sequence[tuple[str, str]], rows: Rows) -> None:
        quoted = '"' + name.replace('"', '""') + '"'
        self.connection.execute(f"DROP TABLE IF EXISTS {quoted}")
        if not columns:
            columns, rows = [("__rows", "INTEGER")], [[0] for _ in rows]
        definitions = ", ".join(
            '"' + column.replace('"', '""') + f'" {kind}' for column, kind in columns
        )
        self.connection.execute(f"CREATE TABLE {quoted} ({definitions})")
        if rows:
            holes = ", ".join("?" for _ in columns)
            every = ", ".join([f"({holes})"] * len(rows))
            flat = [value for row in rows for value in row]
            self.connection.execute(f"INSERT INTO {quoted} VALUES {every}", flat)

    def run(self, sql: str, parameters: Sequence[object] = ()) -> pa.Table:
        return self.connection.sql(sql, params=list(parameters) or None).to_arrow_table()


def engine_type(kind: ColumnType) -> str:
    return column_type(kind).sql("duckdb")


def holds(predicate: Predicate, row: Mapping[int, object], matched: Sequence[bool]) -> bool:
    """A plain reading of a bound predicate."""
    match predicate:
        case And(parts):
            return all(holds(part, row, matched) for part in parts)
        case Or(parts):
            return any(holds(part, row, matched) for part in parts)
        case Match(number):
            return matched[number]
        case Folded(atom):
            value = row[atom.column]
            lowered = None if value is None else lower(value)
            return holds(atom, {**row, atom.column: lowered}, matched)
        case Like():
            return row[predicate.column] is not None and fits(predicate, row[predicate.column])
        case Equals(column, Literal(value)):
            return row[column] is not None and key(row[column]) == key(value)
        case In(column, operands):
            return row[column] is not None and any(
                key(row[column]) == key(operand.value) for operand in operands
            )
        case Between():
            return row[predicate.column] is not None and lies_in(predicate, row[predicate.column])
    raise AssertionError(predicate)


def lies_in(between: Between, value: object) -> bool:
    """Whether a value is in a range."""
    low, high = between.low, between.high
    if low is not None:
        end = key(low.value)
        if key(value) < end or (key(value) == end and not between.low_inclusive):
            return False
    if high is not None:
        end = key(high.value)
        if key(value) > end or (key(value) == end and not between.high_inclusive):
            return False
    return True


def fits(like: Like, text: str) -> bool:
    """Whether a text has the pieces of a pattern where it must."""
    inside = ".*".join(map(re.escape, like.pieces))
    pattern = f"{'' if like.begins else '.*'}{inside}{'' if like.ends else '.*'}"
    return re.fullmatch(pattern, text, flags=re.DOTALL) is not None


def lower(text: str) -> str:
    """What the engine's ``lower()`` gives: one code point for one."""
    return "".join(one if one == "İ" else one.lower() for one in text).replace("İ", "i")


def key(value):
    """A value's place in the index order: NaN comes last."""
    if isinstance(value, float):
        return (1, 0.0) if math.isnan(value) else (0, value)
    if isinstance(value, int | Decimal):
        return (0, value)
    if isinstance(value, dt.datetime) and value.tzinfo is not None:
        return value.astimezone(dt.UTC).replace(tzinfo=None)
    return value


def words_match(access: TableAccess, row, parameters) -> list[bool]:
    """``@@`` as a test understands it: all words occur, one after a minus does not."""
    found = []
    for match in access.matches:
        query = (
            match.query.value if isinstance(match.query, Literal) else parameters[match.query.index]
        )
        text = " ".join(str(row[column] or "") for column in match.columns).split()
        wanted = [word for word in query.split() if not word.startswith("-")]
        unwanted = [word[1:] for word in query.split() if word.startswith("-")]
        found.append(all(w in text for w in wanted) and not any(w in text for w in unwanted))
    return found


class Runner:
    """Runs a plan over whole tables and over reduced ones."""

    def __init__(self, catalog: Catalog, data: Mapping[str, Rows]) -> None:
        self.catalog, self.data, self.engine = catalog, data, Engine()

    def plan(self, sql: str) -> QueryPlan:
        statement = parse_one(sql)
        return plan_query(statement, self.catalog)

    def rows(self, access: TableAccess, parameters, *, reduce: bool):
        """(ordinal, row by column id, matches) of the rows that an access asks for."""
        bound = bind(access.predicate, access.table, parameters).predicate if reduce else None
        found = []
        for ordinal, values in enumerate(self.data[access.table.name]):
            row = {c.id: v for c, v in zip(access.table.columns, values, strict=True)}
            matched = words_match(access, row, parameters)
            if bound is None or holds(bound, row, matched):
                found.append((ordinal, row, matched))
        return found

    def run(self, plan: QueryPlan, parameters=(), *, reduce: bool, directions=("right", "left")):
        fetched = [self.rows(access, parameters, reduce=reduce) for access in plan.accesses]
        if reduce:
            for direction in directions:
                for join in plan.joins:
                    semi_join(join, fetched, direction)
            for place, access in enumerate(plan.accesses):
                fetched[place] = ends(access, fetched[place], parameters)
        for access, rows in zip(plan.accesses, fetched, strict=True):
            self._load(access, rows, reduce=reduce)
        return self.engine.run(plan.sql, plan.engine_parameters(list(parameters), NOW))

    def _load(self, access: TableAccess, rows, *, reduce: bool) -> None:
        shown = [c for c in access.table.columns if not reduce or c.id in access.columns]
        columns = [(c.name, engine_type(c.type)) for c in shown]
        columns += [(match.name, "BOOLEAN") for match in access.matches]
        columns += [("__ordinal", "BIGINT")] if access.ordinals else []
        values = [
            [row[c.id] for c in shown] + matched + ([ordinal] if access.ordinals else [])
            for ordinal, row, matched in rows
        ]
        self.engine.load(access.name, columns, values)

    def check(self, sql: str, parameters=()) -> QueryPlan:
        """Both runs give the same rows; returns the plan."""
        plan = self.plan(sql)
        whole = as_rows(self.run(plan, parameters, reduce=False))
        for directions in ORDERS if plan.joins else ((),):
            part = as_rows(self.run(plan, parameters, reduce=True, directions=directions))
            assert Counter(part) == Counter(whole), f"{sql}\n{plan.sql}\n{directions}"
        return plan


def semi_join(join, fetched, direction: str) -> None:
    if direction == "right" and join.to_right:
        values = {row[join.left_column] for _, row, _ in fetched[join.left]} - {None}
        fetched[join.right] = [
            one for one in fetched[join.right] if one[1][join.right_column] in values
        ]
    if direction == "left" and join.to_left:
        values = {row[join.right_column] for _, row, _ in fetched[join.right]} - {None}
        fetched[join.left] = [
            one for one in fetched[join.left] if one[1][join.left_column] in values
        ]


def ends(access: TableAccess, rows, parameters):
    """Only what ``ordered`` or ``extremes`` asks for."""
    if access.extremes:
        kept = []
        for extremum in access.extremes:
            known = [one for one in rows if one[1][extremum.column] is not None]
            pick = max if extremum.greatest else min
            kept += [pick(known, key=lambda one: key(one[1][extremum.column]))] if known else []
        return kept
    if access.ordered is None:
        return rows
    hint = access.ordered
    limit, offset = (operand_value(one, parameters) for one in (hint.limit, hint.offset))
    if limit is None:
        return rows

    def sorted_by(value):
        return lower(value) if hint.folded and value is not None else value

    nulls = [one for one in rows if one[1][hint.column] is None]
    known = sorted(
        (one for one in rows if one[1][hint.column] is not None),
        key=lambda one: key(sorted_by(one[1][hint.column])),
        reverse=hint.descending,
    )
    ordered = nulls + known if hint.nulls_first else known + nulls
    count = limit + (offset or 0)
    if count >= len(ordered):
        return ordered
    if count == 0:
        return []
    last = sorted_by(ordered[count - 1][1][hint.column])
    return ordered[:count] + [
        one for one in ordered[count:] if sorted_by(one[1][hint.column]) == last
    ]


def operand_value(operand, parameters):
    if operand is None:
        return None
    return operand.value if isinstance(operand, Literal) else parameters[operand.index]


def as_rows(result: pa.Table) -> list[tuple[object, ...]]:
    """Rows that can be counted; floats rounded, so that sums may be made in any order."""
    columns = [column.to_pylist() for column in result.columns]
    return [tuple(hashable(value) for value in row) for row in zip(*columns, strict=True)]


def hashable(value):
    if isinstance(value, float):
        return "nan" if math.isnan(value) else float(f"{value:.9g}")
    if isinstance(value, list):
        return tuple(hashable(one) for one in value)
    if isinstance(value, dict):
        return tuple((name, hashable(one)) for name, one in value.items())
    return value


def sample() -> dict[str, list[list[object]]]:
    """Small tables full of NULLs, ties and edge values."""
    day = dt.date(2020, 1, 1)
    t = []
    for n in range(60):
        moment = dt.datetime(2020, 1, 1) + dt.timedelta(hours=7 * n)
        row = [
            n,
            n % 7 - 3,
            n % 5,
            ["a", "b", "ab", "abc", "05", "5", "", "Ab", "ä", "a%c"][n % 10],
            Decimal(n * 37 % 500) / 100,
            day + dt.timedelta(days=n % 9),
            moment,
            moment.replace(tzinfo=dt.UTC),
            dt.time(n % 24, 30),
            [0.1, 0.5, 1.0, 2.5][n % 4],
            [0.1, -0.0, 1e300, 9007199254740992.0, 4.6][n % 5],
            n % 3 == 0,
            bytes([n % 4]),
            uuid.UUID(int=n % 8),
            ["red fox", "blue whale", "red whale", "fox"][n % 4],
        ]
        for place in range(1, len(row)):
            if (n * 13 + place * 7) % 11 == 0:
                row[place] = None
        t.append(row)
    u = [
        [
            n,
            None if n % 7 == 6 else n * 5 % 70,
            n % 6,
            ["a", "b", "abc", None][n % 4],
            Decimal(n) / 4,
        ]
        for n in range(40)
    ]
    v = [
        [
            n,
            ["a", "b", "c", None][n % 4],
            ["red fox", "whale"][n % 2],
            ["cat", "dog fox", None][n % 3],
        ]
        for n in range(12)
    ]
    odd = [[n, n * n, "x" * (n % 3)] for n in range(6)]
    words = [
        "Straße",
        "STRASSE",
        "straße",
        "Kelvin",
        "\u212aelvin",
        "İstanbul",
        "istanbul",
        "ab",
        "",
        "a%c",
        "abcdefg",
        "ABC-123",
        "abc-124",
        "xabcx",
        "ΣΟΦΟΣ",
        "σοφος",
        "σοφοσ",
        "x" * 16 + "a",
        "x" * 16 + "B",
        "x" * 16,
    ]
    names = [[n, word, word, word] for n, word in enumerate(words)]
    names += [[len(names), None, None, None], [len(names) + 1, "Abcdefg", None, "aB"]]
    codes = [[n, ["05", "5", "7", None][n % 4]] for n in range(8)]
    return {"t": t, "u": u, "v": v, "codes": codes, "names": names, "odd Name": odd}
