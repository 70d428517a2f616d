"""A store written earlier in this format still opens, verifies and answers the same."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path

import pytest

import encdb
from proxy.check import check
from proxy.values import json_value

HERE = Path(__file__).resolve().parent
EXPECTED = json.loads((HERE / "expected.json").read_text(encoding="utf-8"))


@pytest.fixture
def golden(tmp_path: Path) -> tuple[str, Path]:
    """A private copy of the store and its keyring."""
    store, keyring = tmp_path / "golden.db", tmp_path / "golden.keyring"
    shutil.copyfile(HERE / "format-2.db", store)
    shutil.copyfile(HERE / "format-2.keyring", keyring)
    keyring.chmod(0o600)
    return str(store), keyring


@pytest.mark.parametrize("sql", EXPECTED)
def test_the_answers_are_those_of_the_day_it_was_written(golden, sql):
    store, keyring = golden
    with encdb.connect(store, keyring=keyring) as connection:
        rows = connection.execute(sql).fetchall()
    assert [[json_value(value) for value in row] for row in rows] == EXPECTED[sql]


def test_everything_verifies_and_can_be_merged_and_written(golden):
    store, keyring = golden
    with encdb.connect(store, keyring=keyring) as connection:
        assert check(connection.session).problems == []
        connection.execute("VACUUM")
        connection.execute("INSERT INTO notes (id) VALUES (100)")
        assert check(connection.session).problems == []
        assert connection.execute("SELECT body FROM notes WHERE id = 100").fetchall() == [("none",)]


@pytest.mark.parametrize(
    ("version", "code"), [(0, "E_STORE_INCOMPLETE"), (1, "E_FORMAT_OLDER"), (3, "E_FORMAT_NEWER")]
)
def test_another_format_is_refused_by_name(golden, version, code):
    store, keyring = golden
    file = sqlite3.connect(store)
    file.execute(f"PRAGMA user_version = {version}")
    file.execute("UPDATE heads SET format = ?", (version,))
    file.commit()
    file.close()
    with pytest.raises(encdb.OperationalError) as refusal:
        encdb.connect(store, keyring=keyring)
    assert refusal.value.code == code
