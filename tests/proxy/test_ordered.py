"""ORDER BY … LIMIT and MIN/MAX by a range index give what a sort of all rows gives."""

from __future__ import annotations

import random

import pytest

import encdb
from tests.fixtures.kinds import StoreKind

pytestmark = pytest.mark.every_store


@pytest.fixture(scope="module")
def scores(store_kind: StoreKind, tmp_path_factory):
    """600 rows with many ties and NULLs: settled, removed, pending, and in an open transaction."""
    folder = tmp_path_factory.mktemp("ordered")
    keyring = folder / "key"
    url = store_kind.new_url(folder)
    encdb.init(url, keyring=keyring)
    connection = encdb.connect(url, keyring=keyring, pin=False)
    connection.execute("CREATE TABLE scores (id INT PRIMARY KEY, score INT, label TEXT)")
    connection.execute("CREATE INDEX ON scores USING range (score)")
    connection.execute("CREATE INDEX ON scores USING range (label)")
    pick = random.Random(7)
    rows = [
        (
            number,
            None if pick.random() < 0.05 else pick.randrange(40),
            None if pick.random() < 0.05 else f"a common beginning {pick.randrange(30)}",
        )
        for number in range(600)
    ]
    insert = "INSERT INTO scores VALUES (?, ?, ?)"
    connection.executemany(insert, rows[:400])
    connection.execute("VACUUM")
    connection.executemany(insert, rows[400:550])
    connection.execute("DELETE FROM scores WHERE id % 11 = 0")
    connection.execute("BEGIN")
    connection.executemany(insert, rows[550:])
    connection.execute("UPDATE scores SET score = NULL WHERE id = 3")
    kept = [row for row in rows if row[0] % 11 or row[0] >= 550]
    kept = [(row[0], None, row[2]) if row[0] == 3 else row for row in kept]
    yield connection, kept
    connection.close()


@pytest.mark.sampled(4)
@pytest.mark.parametrize("nulls", ["", " NULLS FIRST", " NULLS LAST"])
@pytest.mark.parametrize("direction", ["", " DESC"])
@pytest.mark.parametrize(("limit", "offset"), [(1, 0), (7, 0), (5, 30), (60, 3), (1000, 0)])
@pytest.mark.parametrize("column", [1, 2])
def test_limited_orders(scores, column, limit, offset, direction, nulls):
    connection, rows = scores
    name = ("id", "score", "label")[column]
    first = nulls == " NULLS FIRST" or (not nulls and direction == " DESC")
    valued = sorted((row for row in rows if row[column] is not None), key=lambda row: row[0])
    valued.sort(key=lambda row: row[column], reverse=bool(direction))
    missing = [row for row in rows if row[column] is None]
    expected = missing + valued if first else valued + missing
    found = connection.execute(
        f"SELECT id FROM scores ORDER BY {name}{direction}{nulls}, id LIMIT {limit} OFFSET {offset}"
    ).fetchall()
    assert [row[0] for row in found] == [row[0] for row in expected][offset : offset + limit]


def test_extremes(scores):
    connection, rows = scores
    found = connection.execute(
        "SELECT min(score), max(score), min(label), max(label) FROM scores"
    ).fetchall()
    values = [row[1] for row in rows if row[1] is not None]
    labels = [row[2] for row in rows if row[2] is not None]
    assert found == [(min(values), max(values), min(labels), max(labels))]


def test_the_index_is_used_with_nulls_first(scores):
    connection, _ = scores
    plan = connection.execute(
        "EXPLAIN ANALYZE SELECT id FROM scores ORDER BY score DESC LIMIT 3"
    ).fetchall()
    assert any("scores_score_idx" in line for (line,) in plan)
