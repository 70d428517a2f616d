"""The examples of docs/indexes.md run as they stand, and the page knows every method and option."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from proxy.definitions import DEFINITIONS
from tests.fixtures.databases import Database

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "indexes.md").read_text(encoding="utf-8")
SECTIONS = [one.partition("\n") for one in PAGE.split("\n## ")[1:]]
BLOCKS = [
    (name, script)
    for name, _, text in SECTIONS
    for script in re.findall(r"^```sql\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
]


@pytest.mark.parametrize(("name", "script"), BLOCKS, ids=[name for name, _ in BLOCKS])
def test_the_examples_run(database: Database, name, script):
    connection = database.connect()
    answers = []
    for statement in re.split(r";\s*$", script, flags=re.MULTILINE):
        if statement.strip():
            cursor = connection.execute(statement)
            if statement.lstrip().startswith("SELECT"):
                answers.append(cursor.fetchall())
    assert len(answers) == 3
    assert all(answers)


def test_there_are_three_examples():
    assert [name for name, _ in BLOCKS] == ["A hospital", "A county", "A shop"]


def test_every_method_and_option_is_there():
    for method, definition in DEFINITIONS.items():
        assert f"`{method}" in PAGE
        for option in definition.options:
            assert f"`{option}`" in PAGE, option
