"""The engine's answers to translated queries against PostgreSQL's own, recorded in postgres/answers.json."""

import json
from pathlib import Path

import pytest

from proxy.catalog import Catalog
from proxy.sql.parse import parse_one
from proxy.sql.plan import plan_query
from tests.proxy.sql.harness import NOW, Engine
from tests.proxy.sql.postgres.normal import normal

FOLDER = Path(__file__).parent / "postgres"
ANSWERS = json.loads((FOLDER / "answers.json").read_text(encoding="utf-8"))
LINES = [line for line in (FOLDER / "queries.sql").read_text(encoding="utf-8").splitlines() if line]
QUERIES = [line for line in LINES if not line.startswith("#")]
# Operators and functions that sqlglot gives one class, such as ^ and power(), have the function's name, so
# names are compared only in the part of the queries that is about them.
NAMED_FROM = QUERIES.index(LINES[LINES.index("# Names of columns") + 1])


@pytest.fixture(scope="module")
def engine():
    return Engine()


def test_every_query_has_an_answer():
    assert set(QUERIES) == set(ANSWERS)


@pytest.mark.parametrize("sql", QUERIES)
def test_same_answer_as_postgresql(engine, sql):
    names, rows = ANSWERS[sql]
    plan = plan_query(parse_one(sql), Catalog())
    found = engine.run(plan.sql, plan.engine_parameters([], NOW))
    answer = [
        normal(row) for row in zip(*[column.to_pylist() for column in found.columns], strict=True)
    ]
    assert sorted(map(repr, answer)) == sorted(map(repr, rows)), plan.sql
    if QUERIES.index(sql) >= NAMED_FROM:
        assert found.column_names == names


def test_the_clock_stands_still(engine):
    plan = plan_query(
        parse_one(
            "SELECT now(), current_timestamp, current_date, localtimestamp, transaction_timestamp()"
        ),
        Catalog(),
    )
    assert plan.parameters == (-1,)
    found = engine.run(plan.sql, plan.engine_parameters([], NOW))
    moment = NOW.replace(tzinfo=None).isoformat()
    day = f"{NOW.date().isoformat()}T00:00:00"
    assert [normal(column.to_pylist()[0]) for column in found.columns] == [
        moment,
        moment,
        day,
        moment,
        moment,
    ]
