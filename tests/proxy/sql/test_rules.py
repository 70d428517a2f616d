"""Every rule of push-down: SQL in, plan out, and the same rows from the reduced tables.

A case of a fixture file is one query and, below it as comments, the lines of EXPLAIN. Lines that begin with
``#`` say why a group of cases is there. To write the expected lines anew after a change that is
meant, run this file as a program and read the difference.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.sql.explain import explain
from tests.proxy.sql.harness import CATALOG, Runner, sample

FIXTURES = Path(__file__).parent / "fixtures"
RULES = {path.stem: path for path in sorted(FIXTURES.glob("*.sql"))}


def read_cases(path):
    """(query, expected lines) of a fixture file."""
    cases = []
    for paragraph in path.read_text(encoding="utf-8").split("\n\n"):
        lines = [line for line in paragraph.splitlines() if not line.startswith("#")]
        query = "\n".join(line for line in lines if not line.startswith("-- "))
        if query.strip():
            cases.append((query.strip(), [line[3:] for line in lines if line.startswith("-- ")]))
    return cases


def described(plan):
    """EXPLAIN of a plan, with the engine's SQL where it is not the query's own."""
    return [
        line for line in explain(plan) if not line.startswith(("local engine: runs", "store: "))
    ]


@pytest.fixture(scope="module")
def runner():
    return Runner(CATALOG, sample())


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        pytest.param(sql, expected, id=f"{name}-{number}")
        for name, path in RULES.items()
        for number, (sql, expected) in enumerate(read_cases(path), start=1)
    ],
)
def test_rule(runner, sql, expected):
    plan = runner.check(sql)
    assert described(plan) == expected


def test_every_rule_has_cases():
    numbers = {name[4:6] for name in RULES if name.startswith("rule")}
    assert numbers == {f"{number:02d}" for number in range(1, 13)}
    assert all(read_cases(path) for path in RULES.values())


def rewrite():
    """Write what the planner says now below each query."""
    runner = Runner(CATALOG, sample())
    for path in RULES.values():
        paragraphs = []
        for paragraph in path.read_text(encoding="utf-8").strip().split("\n\n"):
            kept = [line for line in paragraph.splitlines() if not line.startswith("-- ")]
            query = "\n".join(line for line in kept if not line.startswith("#"))
            lines = [f"-- {line}" for line in described(runner.check(query))] if query else []
            paragraphs.append("\n".join(kept + lines))
        path.write_text("\n\n".join(paragraphs) + "\n", encoding="utf-8")


if __name__ == "__main__":
    rewrite()
