"""Random queries: whatever is pushed, the reduced tables give the same rows.

Queries are put together from joins of every kind, conditions of every shape (pushable and not), derived
tables, set operations, subqueries, grouping and limits with a total order.
"""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.proxy.sql.harness import CATALOG, Runner, sample

pick = st.sampled_from


@st.composite
def atoms(draw, name):
    """A condition on one table; every table here has id and y."""
    column = draw(pick(["id", "y", "id", "z" if name in ("u", "w") else "x"]))
    full = f"{name}.{column}"
    if column == "y":
        value = draw(pick(["'a'", "'ab'", "'abc'", "''", "NULL"]))
        return draw(
            pick(
                [
                    f"{full} = {value}",
                    f"{full} LIKE 'a%'",
                    f"{full} LIKE '%b'",
                    f"{full} >= {value}",
                    f"lower({full}) = 'ab'",
                    f"{full} IS NULL",
                    f"{full} IS NOT DISTINCT FROM {value}",
                    f"coalesce({full}, 'a') <> 'b'",
                    f"{full} IN ({value}, 'b')",
                ]
            )
        )
    number = draw(pick(["0", "1", "2", "3", "2.5", "-1", "5", "20", "NULL", "3e0"]))
    return draw(
        pick(
            [
                f"{full} = {number}",
                f"{full} < {number}",
                f"{number} <= {full}",
                f"{full} <> {number}",
                f"{full} BETWEEN {number} AND 4",
                f"{full} NOT BETWEEN 1 AND {number}",
                f"{full} IN (1, {number}, 2)",
                f"{full} NOT IN (1, 2)",
                f"{full} IS NULL",
                f"({full} = {number}) IS NOT TRUE",
                f"{full} + 1 = {number}",
                f"{full} IS NOT DISTINCT FROM {number}",
            ]
        )
    )


def conditions(names):
    """Conditions of AND, OR and NOT over several tables."""
    leaf = pick(names).flatmap(atoms)
    return st.recursive(
        leaf,
        lambda inner: st.one_of(
            st.tuples(inner, inner).map(lambda pair: f"({pair[0]} AND {pair[1]})"),
            st.tuples(inner, inner).map(lambda pair: f"({pair[0]} OR {pair[1]})"),
            inner.map(lambda one: f"NOT ({one})"),
        ),
        max_leaves=4,
    )


@st.composite
def items(draw, name):
    """An item of FROM with the columns id, y, and x or z."""
    number = "z" if name in ("u", "w") else "x"
    table = "u" if name in ("u", "w") else "t"
    key = "t_id" if table == "u" else "s"
    base = f"{table} AS {name}" if table != name else table
    inner = draw(conditions([name]))
    return draw(
        pick(
            [
                base,
                base,
                f"(SELECT id, y, {number}, {key} FROM {base} WHERE {inner}) AS {name}",
                f"(SELECT DISTINCT id, y, {number}, {key} FROM {base}) AS {name}",
                f"(SELECT max(id) AS id, y, {number}, min({key}) AS {key} FROM {base} GROUP BY y, {number}) AS {name}",
                f"(SELECT * FROM {base} ORDER BY id LIMIT 20) AS {name}",
                f"(SELECT id, y, {number}, {key}, rank() OVER (PARTITION BY {number} ORDER BY id) FROM {base}) AS {name}",
                f"(SELECT id, y, {number}, {key} FROM {base} UNION ALL SELECT id, y, {number}, {key} FROM {base} WHERE {inner}) AS {name}",
            ]
        )
    )


@st.composite
def queries(draw):
    names = draw(pick([["t"], ["t", "u"], ["t", "u"], ["t", "u", "w"], ["t", "q"], ["u", "t"]]))
    from_ = draw(items(names[0]))
    for place, name in enumerate(names[1:], start=1):
        before = names[:place]
        kind = draw(pick(["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", ","]))
        item = draw(items(name))
        if kind == ",":
            from_ += f", {item}"
            names_on = None
        else:
            names_on = [*before, name] if "," not in from_.split(" AS ")[-1] else [name]
        if names_on is not None:
            other = names_on[0]
            link = f"{other}.id = {name}.t_id" if name in ("u", "w") else f"{other}.id = {name}.id"
            extra = draw(st.one_of(st.just(""), conditions([name]).map(lambda c: f" AND {c}")))
            extra += draw(st.one_of(st.just(""), conditions([other]).map(lambda c: f" AND {c}")))
            from_ += f" {kind} {item} ON {link}{extra}"
    parts = [draw(conditions(names))]
    inner = draw(conditions(["w"]))
    outer = names[0]
    parts.append(
        draw(
            pick(
                [
                    "true",
                    "true",
                    f"{outer}.id IN (SELECT w.t_id FROM u AS w WHERE {inner})",
                    f"{outer}.id NOT IN (SELECT w.t_id FROM u AS w WHERE {inner} AND w.t_id IS NOT NULL)",
                    f"EXISTS (SELECT 1 FROM u AS w WHERE w.t_id = {outer}.id AND {inner})",
                    f"NOT EXISTS (SELECT 1 FROM u AS w WHERE w.t_id = {outer}.id AND {inner})",
                    f"(SELECT count(*) FROM u AS w WHERE w.t_id = {outer}.id AND {inner}) < 2",
                ]
            )
        )
    )
    where = draw(pick([" AND ", " OR "])).join(parts)
    columns = ", ".join(f"{name}.id AS {name}_id, {name}.y AS {name}_y" for name in names)
    sql = f"SELECT {columns} FROM {from_} WHERE {where}"
    return draw(
        pick(
            [
                sql,
                sql,
                f"SELECT {outer}_y, count(*), max({outer}_id) FROM ({sql}) AS o WHERE {outer}_y = 'ab' GROUP BY 1",
                f"SELECT * FROM ({sql} ORDER BY {', '.join(f'{name}.id' for name in names)} LIMIT 7) AS o WHERE o.{outer}_id > 2",
                f"WITH c AS ({sql}) SELECT * FROM c WHERE {outer}_id < 9 UNION ALL SELECT * FROM c WHERE {outer}_y = 'a'",
            ]
        )
    )


@pytest.fixture(scope="module")
def runner():
    data = sample()
    return Runner(CATALOG, data | {"t": data["t"][:30], "u": data["u"][:30]})


@given(sql=queries())
@settings(
    max_examples=2500,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_random_queries(runner, sql):
    runner.check(sql)
