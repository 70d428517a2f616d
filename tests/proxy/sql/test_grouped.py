"""Queries that are answered from groups and their sizes: which are, and that the answer is that of the rows."""

from __future__ import annotations

import datetime as dt
import random
from collections import Counter

import pytest

from indexes.types import ColumnType
from proxy.catalog import Catalog, Column, Index, Table
from proxy.sql.access import engine_parameters
from proxy.sql.explain import explain
from proxy.sql.parse import parse_one
from proxy.sql.plan import plan_query
from tests.proxy.sql.harness import Engine

COLUMNS = ("id", "zip", "kind", "state", "ratio", "age")
TYPES = ("BIGINT", "TEXT", "SMALLINT", "TEXT", "DOUBLE", "INTEGER")
NOW = dt.datetime(2024, 2, 29, tzinfo=dt.UTC)
INDEXES = (
    Index(1, "t_pkey", "equality", (1,), unique=True, primary=True),
    Index(2, "by_zip", "det", (2,)),
    Index(3, "by_both", "det", (4, 3)),
    Index(4, "by_ratio", "det", (5,)),
    Index(5, "by_age", "ope", (6,)),
    Index(6, "by_id", "det", (1,)),
)
TABLE = Table(
    1,
    "t",
    tuple(
        Column(number, name, ColumnType.parse(kind), not_null=name in ("kind", "state"))
        for number, (name, kind) in enumerate(zip(COLUMNS, TYPES, strict=True), start=1)
    ),
    INDEXES,
)
CATALOG = Catalog(tables=(TABLE, Table(2, "u", (Column(1, "zip", ColumnType.parse("TEXT")),))))

SERVED = {
    "SELECT zip, count(*) FROM t GROUP BY zip": "by_zip",
    "SELECT zip, count(*), count(zip), count(1), min(zip), max(zip) FROM t GROUP BY zip": "by_zip",
    "SELECT zip z, count(*) AS n FROM t x GROUP BY x.zip HAVING count(*) > 2 ORDER BY n DESC, z LIMIT 4": "by_zip",
    "SELECT DISTINCT zip FROM t": "by_zip",
    "SELECT DISTINCT upper(zip), length(zip) FROM t": "by_zip",
    "SELECT count(DISTINCT zip), count(zip), count(*) FROM t WHERE age < 5": "by_zip",
    "SELECT left(zip, 1) AS l, count(*), count(DISTINCT zip) FROM t GROUP BY 1 ORDER BY 1": "by_zip",
    "SELECT count(*) FROM t GROUP BY coalesce(zip, 'none') HAVING max(zip) IS NULL OR min(zip) > 'b'": "by_zip",
    "SELECT zip, CASE WHEN count(*) > 3 THEN 'many' ELSE 'few' END FROM t GROUP BY zip": "by_zip",
    "SELECT zip, count(*) FROM t WHERE age BETWEEN 3 AND 6 AND zip IN ('a', 'c') GROUP BY zip": "by_zip",
    "SELECT zip, count(*) + $1 FROM t WHERE age < $2 GROUP BY zip HAVING count(*) > $3": "by_zip",
    "SELECT state, kind, count(*) FROM t GROUP BY kind, state": "by_both",
    "SELECT DISTINCT kind, state FROM t ORDER BY state, kind LIMIT 3": "by_both",
    "SELECT 1 FROM t GROUP BY zip": "by_zip",
}
LEFT = [
    "SELECT zip FROM t",
    "SELECT count(*) FROM t",
    "SELECT zip, sum(age) FROM t GROUP BY zip",
    "SELECT zip, avg(kind) FROM t GROUP BY zip",
    "SELECT sum(id) FROM t",
    "SELECT count(id), count(DISTINCT id) FROM t",
    "SELECT string_agg(zip, ',') FROM t",
    "SELECT zip, count(*) FILTER (WHERE zip > 'b') FROM t GROUP BY zip",
    "SELECT zip, count(*) OVER () FROM t GROUP BY zip",
    "SELECT zip, count(*) FROM t GROUP BY ROLLUP (zip)",
    "SELECT zip, count(*) FROM t GROUP BY GROUPING SETS ((zip), ())",
    "SELECT DISTINCT ON (zip) zip FROM t",
    "SELECT DISTINCT * FROM t",
    "SELECT zip, kind, count(*) FROM t GROUP BY zip, kind",
    "SELECT kind, count(*) FROM t GROUP BY kind",
    "SELECT ratio, count(*) FROM t GROUP BY ratio",
    "SELECT zip, count(*), random() FROM t GROUP BY zip",
    "SELECT zip, count(*) FROM t WHERE lower(zip) = 'a' GROUP BY zip",
    "SELECT zip, count(*) FROM t WHERE age <> 3 GROUP BY zip",
    "SELECT zip, count(*) FROM t WHERE zip > 'b' GROUP BY zip",
    "SELECT zip, count(*) FROM t WHERE zip = 'b' OR age = 3 GROUP BY zip",
    "SELECT zip, (SELECT max(zip) FROM u) FROM t GROUP BY zip",
    "SELECT t.zip, count(*) FROM t JOIN u ON t.zip = u.zip GROUP BY t.zip",
    "SELECT zip, count(*) FROM t GROUP BY zip UNION ALL SELECT zip, 1 FROM u",
    "SELECT zip, count(*) FROM (SELECT zip FROM t LIMIT 3) t GROUP BY zip",
    "SELECT min(zip), max(zip) FROM t",
]  # fmt: skip


@pytest.fixture(scope="module")
def rows():
    pick = random.Random(2)

    def maybe(value):
        return None if pick.random() < 0.15 else value

    return [
        (
            number,
            maybe(pick.choice(["a", "b", "B", "c", "", "añ"])),
            pick.randrange(3),
            pick.choice("xyz"),
            maybe(pick.choice([0.0, -0.0, 1.5])),
            maybe(pick.randrange(9)),
        )
        for number in range(60)
    ]


def plan(sql):
    return plan_query(parse_one(sql), CATALOG)


def fulfils(sql, row):
    """WHERE of the served queries, in Python."""
    zip_, age = row[1], row[5]
    if "age BETWEEN" in sql:
        return age is not None and 3 <= age <= 6 and zip_ in ("a", "c")
    if "age <" in sql:
        return age is not None and age < 5
    return True


@pytest.mark.parametrize(("sql", "index"), SERVED.items(), ids=list(SERVED))
def test_groups_give_the_answer_of_the_rows(rows, sql, index):
    found = plan(sql)
    grouped = found.grouped
    assert grouped is not None
    assert grouped.index.name == index
    named = f"groups: counted by the store, by {index} (det, server-visible)"
    assert named in explain(found)
    parameters = [10, 5, 1] if "$3" in sql else []
    engine = Engine()
    engine.load("t", list(zip(COLUMNS, TYPES, strict=True)), rows)
    whole = engine.run(found.sql, found.engine_parameters(parameters, NOW))
    places = [number - 1 for number in grouped.index.columns]
    sizes = Counter(tuple(row[place] for place in places) for row in rows if fulfils(sql, row))
    described = [(COLUMNS[place], TYPES[place]) for place in places] + [("__weight", "BIGINT")]
    engine.load("t", described, [(*values, size) for values, size in sizes.items()])
    part = engine.run(grouped.sql, engine_parameters(grouped.parameters, parameters, NOW))
    assert part.schema == whole.schema
    assert Counter(zip(*part.to_pydict().values(), strict=True)) == Counter(
        zip(*whole.to_pydict().values(), strict=True)
    )


@pytest.mark.parametrize("sql", LEFT)
def test_other_queries_need_the_rows(sql):
    assert plan(sql).grouped is None
