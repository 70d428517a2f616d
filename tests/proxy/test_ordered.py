"""ORDER BY … LIMIT and MIN/MAX by a range index give what a sort of all rows gives."""

from __future__ import annotations

import random
from decimal import Decimal

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


PAGED = [
    ("score", 1, "(score, id) > (?, ?)", "score, id", False),
    ("score", 1, "(score, id) < (?, ?)", "score DESC, id DESC", True),
    ("score", 1, "score >= $1 AND (score > $1 OR id > $2)", "score, id", False),
    ("label", 2, "(label, id) > (?, ?)", "label, id", False),
    ("label", 2, "(label, id) < (?, ?)", "label DESC, id DESC", True),
]  # fmt: skip


@pytest.mark.sampled(4)
@pytest.mark.parametrize("paged", PAGED, ids=[f"{one[2]} by {one[3]}" for one in PAGED])
def test_page_after_page(scores, paged):
    connection, rows = scores
    name, column, condition, order, down = paged
    valued = [row for row in rows if row[column] is not None]
    valued.sort(key=lambda row: (row[column], row[0]), reverse=down)
    seen, last = [], None
    while len(seen) < len(valued):
        where = f"{name} IS NOT NULL" if last is None else condition
        sql = f"SELECT {name}, id FROM scores WHERE {where} ORDER BY {order} LIMIT 83"
        parameters = () if last is None else last
        page = connection.execute(sql, parameters).fetchall()
        seen += page
        plan = connection.execute(f"EXPLAIN ANALYZE {sql}", parameters).fetchall()
        used = any(f"used: scores_{name}_idx" in line for (line,) in plan)
        # All labels share a key, so that their index has nothing to skip.
        assert used or last is None or column == 2
        last = page[-1]
    assert seen == [(row[column], row[0]) for row in valued]
    assert connection.execute(sql.replace(where, condition), last).fetchall() == []


@pytest.mark.sampled(5)
@pytest.mark.parametrize(
    "where",
    [
        "score > 20",
        "score BETWEEN 3 AND 7",
        "score >= 38 AND score < 5",
        "score > 39",
        "score > 10 AND label > 'a common beginning 2'",
        "score > 10 AND id % 2 = 0",
        "score > 10 OR id < 9",
        "score > 10 OR score IS NULL",
        "label > 'a common beginning 12'",
        "label > 'a common beginni'",
        "label < 'a common beginning 3' AND label LIKE 'a common%'",
        "label LIKE 'a%1'",
        "label NOT LIKE 'b%'",
    ],
)  # fmt: skip
def test_conditions_beside_an_order(scores, where):
    connection, _ = scores
    everything = connection.execute(f"SELECT score, label, id FROM scores WHERE {where}").fetchall()
    for place, name in enumerate(("score", "label")):
        for down in (False, True):
            found = connection.execute(
                f"SELECT score, label, id FROM scores WHERE {where} "
                f"ORDER BY {name}{' DESC' if down else ''}, id LIMIT 13"
            ).fetchall()
            valued = sorted(
                (row for row in everything if row[place] is not None), key=lambda row: row[2]
            )
            valued.sort(key=lambda row: row[place], reverse=down)
            nulls = sorted(
                (row for row in everything if row[place] is None), key=lambda row: row[2]
            )
            assert found == (nulls + valued if down else valued + nulls)[:13]
        known = [row[place] for row in everything if row[place] is not None]
        found = connection.execute(
            f"SELECT min({name}), max({name}) FROM scores WHERE {where}"
        ).fetchall()
        assert found == [(min(known, default=None), max(known, default=None))]


def pages_read(database, sql, parameters):
    """Index pages that a connection without anything in its caches reads, and the index that is used."""
    connection = database.connect()
    plan = [line for (line,) in connection.execute(f"EXPLAIN ANALYZE {sql}", parameters).fetchall()]
    connection.close()
    (pages,) = (int(line.split("pages ")[1].split(",")[0]) for line in plan if "pages " in line)
    (used,) = (line.split("used: ")[1] for line in plan if "used: " in line)
    return pages, used


@pytest.mark.stores("sqlite")
def test_every_page_of_ten_thousand_rows_costs_the_same(database):
    connection = database.connect()
    connection.execute("CREATE TABLE log (id INT PRIMARY KEY, at DECIMAL(38,0), who TEXT)")
    pick = random.Random(3)
    # Two rows share a time, and keys are wide, so that there are enough pages to be told apart.
    rows = [
        (
            n,
            Decimal(n // 2 * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 10**38),
            f"{n * 0x9E3779B97F4A7C15 % 2**64:016x} PERSON",
        )
        for n in range(10_000)
    ]
    pick.shuffle(rows)
    connection.executemany("INSERT INTO log VALUES (?, ?, ?)", rows[:9_900])
    connection.execute("CREATE INDEX by_time ON log USING range (at)")
    connection.execute("CREATE INDEX by_name ON log USING range (who) WITH (case_insensitive)")
    connection.executemany("INSERT INTO log VALUES (?, ?, ?)", rows[9_900:])
    ordered = sorted((at, number) for number, at, _ in rows)
    named = sorted(who.lower() for _, _, who in rows)
    for sql, ends, index in (
        ("(at, id) > (?, ?) ORDER BY at, id LIMIT 20", ordered, "by_time"),
        ("(at, id) < (?, ?) ORDER BY at DESC, id DESC LIMIT 20", ordered[::-1], "by_time"),
        ("lower(who) > ? ORDER BY lower(who) LIMIT 20", [(one,) for one in named], "by_name"),
    ):  # fmt: skip
        costs = []
        for start in (0, 20, 2_500, 5_000, 7_777, 9_960):
            query = f"SELECT id FROM log WHERE {sql}"
            pages, used = pages_read(database, query, ends[start])
            assert used == index
            costs.append(pages)
            found = connection.execute(
                query.replace("SELECT id", "SELECT at, id, who"), ends[start]
            )
            wanted = ends[start + 1 : start + 21]
            assert [
                row[:2] if len(wanted[0]) == 2 else (row[2].lower(),) for row in found.fetchall()
            ] == wanted
        # Pages are read in groups of four, and a page of results may begin in the last of one.
        assert max(costs) <= min(costs) + 12
        state = next(iter(connection.session.database.tables.values()))
        number = next(one.id for one in state.table.indexes if one.name == index)
        pages = sum(one.pages for one in state.manifest.segments if one.index == number)
        assert 2 * max(costs) < pages
