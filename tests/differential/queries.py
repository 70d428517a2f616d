"""Queries of many shapes. Each has one right answer: a multiset, or a list where ORDER BY fixes all of it.

With LIMIT a query returns its sort keys only, so rows that tie look alike and any choice is right.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tests.differential.chooser import Chooser
from tests.differential.kinds import KEY, Kind
from tests.differential.model import Column, Table
from tests.differential.predicates import Mention, Name, Statement, predicate


@dataclass(frozen=True)
class Query:
    """A query, and how DuckDB is asked the same.

    Attributes:
        sql: for encdb.
        plain: for DuckDB.
        ordered: whether the rows come in an order that is fixed completely.
    """

    sql: str
    plain: str
    parameters: tuple[Any, ...]
    ordered: bool


def draw_query(choose: Chooser, tables: Sequence[Table]) -> Query:
    """A query over some tables."""
    made = Statement(choose, tables)
    shape = choose.weighted(_SHAPES)
    sql, ordered = shape(made)
    return Query(sql, made.plain(sql), tuple(made.parameters), ordered)


def _where(made: Statement, scope: Sequence[Mention], percent: int = 85) -> str:
    return f" WHERE {predicate(made, scope)}" if made.choose.chance(percent) else ""


def _from_one(made: Statement) -> tuple[Mention, str]:
    table = made.choose.pick(made.tables)
    if made.choose.chance(50):
        return Mention.of(table, table.name), f"FROM {table.name}"
    mention = Mention.of(table, made.alias())
    return mention, f"FROM {table.name} AS {mention.alias}"


def _list(names: Sequence[Name]) -> str:
    return ", ".join(name.sql for name in names)


def _plain(made: Statement) -> tuple[str, bool]:
    """SELECT … FROM t WHERE …"""
    mention, source = _from_one(made)
    names = made.choose.some(mention.names, 1)
    items = "*" if made.choose.chance(30) else _list(names)
    return f"SELECT {items} {source}{_where(made, [mention], 92)}", False


def _count(made: Statement) -> tuple[str, bool]:
    mention, source = _from_one(made)
    return f"SELECT count(*) {source}{_where(made, [mention], 70)}", False


def _ordered(made: Statement) -> tuple[str, bool]:
    """SELECT keys … ORDER BY the same keys LIMIT n."""
    choose = made.choose
    mention, source = _from_one(made)
    sortable = [name for name in mention.names if name.kind.ordered]
    names = choose.some(sortable, 1, 3)
    keys = []
    for name in names:
        direction = choose.pick(("", " DESC", " ASC"))
        nulls = choose.pick(("", "", " NULLS FIRST", " NULLS LAST"))
        keys.append(f"{name.sql}{direction}{nulls}")
    sql = f"SELECT {_list(names)} {source}{_where(made, [mention], 50)} ORDER BY {', '.join(keys)}"
    return sql + _limit(made), True


def _limit(made: Statement) -> str:
    choose = made.choose
    if choose.chance(10):
        return ""
    count = choose.number(0, 6)
    limit = f" LIMIT {made.parameter(count) if choose.chance(20) else count}"
    return limit + (f" OFFSET {choose.number(0, 4)}" if choose.chance(30) else "")


def _page(made: Statement) -> tuple[str, bool]:
    """The rows after one that was seen: a condition on the sort keys, their order, LIMIT."""
    choose = made.choose
    mention, source = _from_one(made)
    sortable = [
        name for name in mention.names if name.kind.ordered and name.kind.family != "boolean"
    ]
    names = choose.some(sortable, 1, 2)
    down = choose.chance(50)
    keys, ends = [name.sql for name in names], [made.constant(name.column) for name in names]
    if names[0].kind.family in ("text", "words") and choose.chance(30):
        keys[0] = f"lower({keys[0]})"
    strict = choose.pick(("<", "<=")) if down else choose.pick((">", ">="))
    operator = strict[0]
    if len(keys) == 1:
        condition = f"{keys[0]} {strict} {ends[0]}"
    else:
        condition = (
            f"({keys[0]} {operator} {ends[0]}"
            f" OR ({keys[0]} = {ends[0]} AND {keys[1]} {strict} {ends[1]}))"
        )
        if choose.chance(50):
            made.matches.append(
                (f"({keys[0]}, {keys[1]}) {strict} ({ends[0]}, {ends[1]})", condition)
            )
            condition = made.matches[-1][0]
    if choose.chance(25):
        condition += f" AND {predicate(made, [mention], 0)}"
    sort = ", ".join(f"{key} DESC" if down else key for key in keys)
    items = ", ".join(keys)
    return f"SELECT {items} {source} WHERE {condition} ORDER BY {sort}" + _limit(made), True


def _extremes(made: Statement) -> tuple[str, bool]:
    """MIN and MAX alone, which an index may answer."""
    choose = made.choose
    mention, source = _from_one(made)
    sortable = [name for name in mention.names if _has_extremes(name.kind)]
    items = [
        f"{choose.pick(('min', 'max'))}({choose.pick(sortable).sql})" for _ in choose.times(1, 3)
    ]
    return f"SELECT {', '.join(items)} {source}{_where(made, [mention], 40)}", False


def _has_extremes(kind: Kind) -> bool:
    return kind.ordered and kind.family not in ("boolean", "uuid")


def _aggregate(made: Statement, name: Name) -> str:
    """One aggregate whose value does not depend on the order of rows."""
    choose, sql, kind = made.choose, name.sql, name.kind
    forms = [f"count({sql})", "count(*)"]
    if kind.comparable:
        forms.append(f"count(DISTINCT {sql})")
    if _has_extremes(kind):
        forms += [f"min({sql})", f"max({sql})"]
    # A sum of the widest numbers may overflow or not, depending on the order of rows.
    if kind.family in ("integer", "decimal") and "38" not in kind.sql:
        forms += [f"sum({sql})", f"avg({sql})"]
    if kind.family == "float":
        forms.append(f"sum(CASE WHEN abs({sql}) < 1000000 THEN {sql} END)")
    if kind.family == "boolean":
        forms += [f"bool_and({sql})", f"bool_or({sql})"]
    if kind.family in ("text", "words"):
        forms.append(f"string_agg({sql}, ',' ORDER BY {sql})")
    found = choose.pick(forms)
    if choose.chance(10) and "ORDER BY" not in found:
        found += f" FILTER (WHERE {predicate(made, [Mention('', (name,))], 0)})"
    return found


def _aggregates(made: Statement) -> tuple[str, bool]:
    choose = made.choose
    mention, source = _from_one(made)
    items = [_aggregate(made, choose.pick(mention.names)) for _ in choose.times(1, 3)]
    return f"SELECT {', '.join(items)} {source}{_where(made, [mention], 70)}", False


def _grouped(made: Statement) -> tuple[str, bool]:
    choose = made.choose
    mention, source = _from_one(made)
    keys = choose.some([name for name in mention.names if name.kind.comparable], 1, 2)
    items = [_aggregate(made, choose.pick(mention.names)) for _ in choose.times(1, 2)]
    sql = f"SELECT {_list(keys)}, {', '.join(items)} {source}{_where(made, [mention], 60)}"
    sql += f" GROUP BY {_list(keys)}"
    if choose.chance(30):
        sql += f" HAVING count(*) > {choose.number(0, 2)}"
    if choose.chance(30):
        return f"{sql} ORDER BY {_list(keys)}", True
    return sql, False


def _counted(made: Statement) -> tuple[str, bool]:
    """How often each value of one column occurs, which a store that knows equal values can count."""
    choose = made.choose
    mention, source = _from_one(made)
    key = choose.pick([name for name in mention.names if name.kind.comparable])
    items = [f"count({choose.pick(('*', key.sql))})", f"count(DISTINCT {key.sql})"]
    if _has_extremes(key.kind):
        items += [f"min({key.sql})", f"max({key.sql})"]
    chosen = choose.some(items, 1, 3)
    where = f" WHERE {predicate(made, [mention], 0)}" if choose.chance(40) else ""
    if choose.chance(20):
        return f"SELECT {', '.join(chosen)} {source}{where}", False
    sql = f"SELECT {', '.join([key.sql, *chosen])} {source}{where} GROUP BY {key.sql}"
    if choose.chance(30):
        sql += f" HAVING count(*) > {choose.number(0, 2)}"
    return sql, False


def _distinct(made: Statement) -> tuple[str, bool]:
    mention, source = _from_one(made)
    names = made.choose.some([name for name in mention.names if name.kind.comparable], 1, 3)
    return f"SELECT DISTINCT {_list(names)} {source}{_where(made, [mention], 60)}", False


def _joined(made: Statement) -> tuple[str, bool]:
    """Two or three tables, joined in one of all ways."""
    choose = made.choose
    scope = [Mention.of(choose.pick(made.tables), made.alias())]
    sql = _source(scope[0])
    for _ in choose.times(1, 2) if choose.chance(30) else range(1):
        mention = Mention.of(choose.pick(made.tables), made.alias())
        sql += _join(made, scope, mention)
        scope.append(mention)
    names = [name for mention in scope for name in mention.names]
    where = _where(made, scope, 60)
    if choose.chance(40):
        chosen = [_aggregate(made, choose.pick(names)) for _ in choose.times(1, 2)]
        return f"SELECT {', '.join(chosen)} FROM {sql}{where}", False
    items = "*" if choose.chance(20) else _list(choose.some(names, 1, 4))
    return f"SELECT {items} FROM {sql}{where}", False


def _source(mention: Mention) -> str:
    assert mention.table is not None
    return f"{mention.table.name} AS {mention.alias}"


def _join(made: Statement, scope: Sequence[Mention], mention: Mention) -> str:
    choose = made.choose
    kind = choose.pick(
        ("JOIN", "JOIN", "LEFT JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "CROSS JOIN")
    )
    if kind == "CROSS JOIN":
        return f" CROSS JOIN {_source(mention)}"
    if len(scope) == 1 and choose.chance(15):
        # USING merges the columns; qualified names still mean one side.
        return f" {kind} {_source(mention)} USING (k)"
    left, right = _pair(made, scope, mention)
    condition = f"{left.sql} = {right.sql}"
    if choose.chance(35) and kind != "FULL JOIN":
        condition += f" AND {predicate(made, [*scope, mention], 0)}"
    return f" {kind} {_source(mention)} ON {condition}"


def _pair(made: Statement, scope: Sequence[Mention], mention: Mention) -> tuple[Name, Name]:
    """Two columns to join by: of one type, or the keys."""
    choose = made.choose
    other = choose.pick(scope)
    pairs = [
        (left, right)
        for left in other.names
        for right in mention.names
        if left.kind.comparable
        and (left.kind.sql == right.kind.sql or left.kind.family == right.kind.family == "integer")
    ]
    return choose.pick(pairs) if choose.chance(50) else (other.names[0], mention.names[0])


def _comma(made: Statement) -> tuple[str, bool]:
    """FROM a, b WHERE a.k = b.k AND …"""
    choose = made.choose
    scope = [Mention.of(choose.pick(made.tables), made.alias()) for _ in range(2)]
    left, right = _pair(made, scope[:1], scope[1])
    sources = ", ".join(map(_source, scope))
    condition = predicate(made, scope, 1)
    names = choose.some([name for mention in scope for name in mention.names], 1, 3)
    return (
        f"SELECT {_list(names)} FROM {sources} WHERE {left.sql} = {right.sql} AND {condition}",
        False,
    )


def _derived(made: Statement) -> tuple[str, bool]:
    """A condition on what a subquery returns: filtered, grouped, limited, distinct or windowed."""
    choose = made.choose
    inner = Mention.of(choose.pick(made.tables), made.alias())
    names = choose.some([name for name in inner.names if name.kind.ordered], 1, 3)
    items = ", ".join(f"{name.sql} AS y{place}" for place, name in enumerate(names))
    outer = [
        Column(f"y{place}", name.kind, seen=name.column.seen) for place, name in enumerate(names)
    ]
    where = _where(made, [inner], 40)
    source = f"FROM {_source(inner)}{where}"
    form = choose.number(0, 5)
    if form == 1:
        items += ", count(*) AS n"
        source += f" GROUP BY {_list(names)}"
        outer.append(Column("n", KEY))
    elif form == 2:
        source += f" ORDER BY {_list(names)} LIMIT {choose.number(0, 5)}"
    elif form == 3:
        items = f"DISTINCT {items}"
    elif form == 4:
        window = f"PARTITION BY {names[0].sql}" if choose.chance(70) else ""
        function = choose.pick(("count(*)", "rank() OVER_ORDER", f"max({names[-1].sql})"))
        order = f" ORDER BY {names[-1].sql}"
        over = f"OVER ({window}{order if 'ORDER' in function else ''})"
        items += f", {function.replace(' OVER_ORDER', '')} {over} AS n"
        if "max" not in function:
            outer.append(Column("n", KEY))
    alias = made.alias()
    mention = Mention(alias, tuple(Name(f"{alias}.{one.name}", one) for one in outer))
    condition = predicate(made, [mention], 1)
    return f"SELECT * FROM (SELECT {items} {source}) AS {alias} WHERE {condition}", False


def _set(made: Statement) -> tuple[str, bool]:
    """UNION, INTERSECT and EXCEPT, alone or below a condition."""
    choose = made.choose
    left = Mention.of(choose.pick(made.tables), made.alias())
    right = Mention.of(choose.pick(made.tables), made.alias())
    first, second = _pair(made, [left], right)
    word = choose.pick(("UNION ALL", "UNION", "INTERSECT", "EXCEPT", "EXCEPT ALL", "INTERSECT ALL"))
    arms = (
        f"SELECT {first.sql} AS y FROM {_source(left)}{_where(made, [left], 60)}",
        f"SELECT {second.sql} FROM {_source(right)}{_where(made, [right], 60)}",
    )
    both = f"{arms[0]} {word} {arms[1]}"
    if choose.chance(50):
        return both, False
    alias = made.alias()
    outer = Mention(alias, (Name(f"{alias}.y", Column("y", first.kind, seen=first.column.seen)),))
    return f"SELECT * FROM ({both}) AS {alias} WHERE {predicate(made, [outer], 1)}", False


def _with(made: Statement) -> tuple[str, bool]:
    """A common table expression that is used once or twice."""
    choose = made.choose
    inner = Mention.of(choose.pick(made.tables), made.alias())
    names = choose.some([name for name in inner.names if name.kind.comparable], 1, 2)
    columns = [
        Column(f"y{place}", name.kind, seen=name.column.seen) for place, name in enumerate(names)
    ]
    items = ", ".join(f"{name.sql} AS y{place}" for place, name in enumerate(names))
    head = f"WITH q AS (SELECT {items} FROM {_source(inner)}{_where(made, [inner], 40)})"
    scope = [
        Mention(alias, tuple(Name(f"{alias}.{one.name}", one) for one in columns))
        for alias in [made.alias() for _ in choose.times(1, 2)]
    ]
    sources = ", ".join(f"q AS {mention.alias}" for mention in scope)
    if len(scope) == 1:
        return f"{head} SELECT * FROM {sources}{_where(made, scope)}", False
    left, right = scope
    conditions = [f"{left.alias}.y0 = {right.alias}.y0", predicate(made, [left], 1)]
    if choose.chance(60):
        conditions.append(predicate(made, [right], 1))
    return f"{head} SELECT * FROM {sources} WHERE {' AND '.join(conditions)}", False


def _lateral(made: Statement) -> tuple[str, bool]:
    """A scalar subquery in the select list."""
    choose = made.choose
    mention, source = _from_one(made)
    inner = Mention.of(choose.pick(made.tables), made.alias())
    aggregate = _aggregate(made, choose.pick(inner.names))
    condition = f"{inner.names[0].sql} = {mention.names[0].sql} AND {predicate(made, [inner], 0)}"
    names = _list(choose.some(mention.names, 1, 2))
    nested = f"(SELECT {aggregate} FROM {_source(inner)} WHERE {condition})"
    return f"SELECT {names}, {nested} {source}{_where(made, [mention])}", False


Shape = Callable[[Statement], tuple[str, bool]]
_SHAPES: tuple[tuple[int, Shape], ...] = (
    (24, _plain),
    (4, _count),
    (10, _ordered),
    (8, _page),
    (6, _extremes),
    (6, _aggregates),
    (7, _grouped),
    (6, _counted),
    (4, _distinct),
    (16, _joined),
    (7, _comma),
    (10, _derived),
    (6, _set),
    (6, _with),
    (5, _lateral),
)
