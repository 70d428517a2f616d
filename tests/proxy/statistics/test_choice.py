"""What is read for a query, with statistics and without: counted, never timed."""

from __future__ import annotations

import datetime as dt
import random
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from indexes.multimap import paging
from proxy.execute.access import Access
from proxy.result import done
from proxy.sink import RowSink
from proxy.statistics import cost
from proxy.statistics.choice import FEW
from tests.fixtures.databases import Database, check_ok, rows

COUNT = 20_000
PACKS = 5
START = dt.date(2000, 1, 1)
COLUMNS = "id, code, kind, age, age2, day, n, note"


def make_rows():
    """Values of very different frequencies; `kind` is skewed and `day` rises with the table."""
    pick = random.Random(23)
    kinds = ["a"] * 90 + ["b"] * 9 + ["c"]
    return [
        (
            number,
            f"code {number % 4000}",
            pick.choice(kinds) if number % 2000 else "z",
            (age := pick.randrange(1000)),
            age // 2,
            START + dt.timedelta(days=number // 10),
            pick.randrange(100) if pick.random() < 0.02 else None,
            "a text with the word " + ("needle" if number % 500 == 7 else "hay"),
        )
        for number in range(COUNT)
    ]


@dataclass
class Tables:
    """The same table in two stores, of which one was analysed."""

    plain: Database
    known: Database
    rows: list[tuple[object, ...]]

    def __post_init__(self):
        self.without, self.with_ = self.plain.connect(pin=False), self.known.connect(pin=False)

    def same(self, sql, parameters=()):
        """The answer, which does not depend on statistics."""
        first = sorted(rows(self.without, sql, parameters), key=repr)
        assert sorted(rows(self.with_, sql, parameters), key=repr) == first
        return first


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    plain = Database.make(tmp_path_factory.mktemp("plain"))
    connection = plain.connect(pin=False)
    connection.execute(
        "CREATE TABLE t (id INT PRIMARY KEY, code TEXT, kind TEXT, age INT, age2 INT, day DATE, "
        "n INT, note TEXT)"
    )
    connection.execute("CREATE TABLE small (id INT PRIMARY KEY, code TEXT, label TEXT)")
    connection.execute("CREATE INDEX ON small USING range (id)")
    for method, columns in [
        ("equality", "code"),
        ("equality", "kind"),
        ("range", "age"),
        ("range", "age2"),
        ("range", "day"),
        ("range", "n"),
        ("keyword", "note"),
        ("range", "kind, age"),
    ]:
        connection.execute(f"CREATE INDEX ON t USING {method} ({columns})")
    made = make_rows()
    insert = "INSERT INTO t VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
    connection.executemany(insert, made[:1])
    connection.execute("VACUUM")  # So that no load is of the whole table.
    connection.executemany(insert, made[1:])
    connection.executemany(
        "INSERT INTO small VALUES (?, ?, ?)",
        [(number, f"code {number * 13}", f"label {number % 3}") for number in range(300)],
    )
    connection.execute("VACUUM")
    plain.close()
    folder = tmp_path_factory.mktemp("known")
    known = Database(str(folder / "vault.db"), str(folder / "vault.keyring"))
    for path in Path(plain.url).parent.iterdir():
        shutil.copy(path, folder / path.name)
    known.connect(pin=False).execute("ANALYZE")
    known.close()
    found = Tables(plain, known, made)
    yield found
    plain.drop()
    known.drop()


def plan(connection, sql, parameters=()):
    """The lines of EXPLAIN ANALYZE about the first table."""
    lines = [line for (line,) in rows(connection, f"EXPLAIN ANALYZE {sql}", parameters)]
    used = next(line for line in lines if line.startswith("  used: "))[8:]
    figures = next(line for line in lines if line.startswith("  pages "))
    steps = {
        name: int(found)
        for line in lines
        for name, found in re.findall(r"^    (\w+): (\d+) rows", line)
    }
    return Plan(
        [] if used == "none" else used.split(", "),
        int(re.search(r"pages (\d+)", figures)[1]),
        int(re.search(r"rows (\d+)", figures)[1]),
        steps,
        "\n".join(lines),
    )


@dataclass
class Plan:
    used: list[str]
    pages: int
    rows: int
    steps: dict[str, int]
    text: str


def fresh(database):
    """A connection that has nothing cached, so that pages are counted."""
    return database.connect(pin=False)


# --- Cheaper index, intersection, scan ---------------------------------------------------------------


def test_the_cheaper_of_two_indexes(tables):
    """The catalog's order, and the kind of condition, would take `kind` or the first range."""
    sql = "SELECT count(code) FROM t WHERE kind = 'a' AND age BETWEEN 10 AND 12"
    tables.same(sql)
    known = plan(tables.with_, sql)
    assert known.used == ["t_kind_age_idx"]
    sql = "SELECT count(code) FROM t WHERE kind > 'a' AND age BETWEEN 10 AND 12"
    assert plan(tables.with_, sql).used == ["t_age_idx"]
    sql = "SELECT count(code) FROM t WHERE age < 900 AND age2 BETWEEN 100 AND 102"
    tables.same(sql)
    assert plan(tables.with_, sql).used == ["t_age2_idx"]
    sql = "SELECT count(code) FROM t WHERE age BETWEEN 200 AND 203 AND age2 > 3"
    tables.same(sql)
    assert plan(tables.with_, sql).used == ["t_age_idx"]


def test_the_cheaper_of_two_ranges_is_known_from_fences_as_well(tables, monkeypatch):
    sql = "SELECT count(code) FROM t WHERE age < 400 AND age2 BETWEEN 100 AND 102"
    monkeypatch.setattr(paging, "WHOLE", 1)
    one, two = fresh(tables.plain), fresh(tables.plain)
    found = plan(one, sql)
    assert found.used == ["t_age2_idx"]
    assert found.rows == found.steps["t_age2_idx"] <= FEW
    # The other range is not read, and it would be the larger one by far.
    assert found.pages < plan(two, "SELECT count(code) FROM t WHERE age < 400").pages


@pytest.mark.parametrize("value", ["a", "b", "c", "z", "nothing"])
def test_the_share_of_the_value_counts_and_not_the_kind_of_condition(tables, value):
    sql = "SELECT count(code) FROM t WHERE kind = ? AND age2 BETWEEN ? AND ?"
    parameters = (value, 100, 119)
    tables.same(sql, parameters)
    share = sum(row[2] == value for row in tables.rows)
    used = plan(tables.with_, sql, parameters).used
    if share <= FEW:
        assert used[0].startswith("t_kind")
    else:
        assert used == ["t_age2_idx"]


def test_a_second_index_is_not_read_when_it_costs_more_than_it_saves(tables):
    """The second condition is true of nearly all rows."""
    sql = "SELECT count(code) FROM t WHERE age BETWEEN 100 AND 119 AND day > '2000-03-01'"
    tables.same(sql)
    with_, without = fresh(tables.known), fresh(tables.plain)
    known = plan(with_, sql)
    assert known.used == ["t_age_idx"]
    assert known.steps["t_age_idx"] == known.rows > FEW
    assert plan(without, sql).used == ["t_age_idx"]
    # Few rows are not narrowed at all.
    sql = "SELECT count(code) FROM t WHERE code = 'code 5' AND age < 500"
    assert plan(with_, sql).used == plan(without, sql).used == ["t_code_idx"]


@pytest.mark.parametrize(
    "where",
    [
        "kind = 'a'",
        "age < 700",
        "age2 >= 100",
        "kind IN ('a', 'b')",
        "day > '2001-06-01'",
        "age < 5 OR age > 300",
    ],
)
def test_most_of_the_table_is_scanned(tables, where):
    sql = f"SELECT count(code) FROM t WHERE {where}"
    tables.same(sql)
    found = plan(fresh(tables.known), sql)
    assert (found.used, found.pages, found.rows) == ([], 0, COUNT)
    assert "choice: all rows, because" in found.text


def test_a_scan_by_a_direct_query_reads_no_postings(tables):
    """Such a query needs no engine if an index gives few rows; many are known before they are read."""
    connection = fresh(tables.known)
    connection.execute("SELECT code FROM t WHERE code = 'code 1'").fetchall()
    counters = connection.session.database.channel.counters
    before = counters.copy()
    assert len(rows(connection, "SELECT id FROM t WHERE kind = 'a'")) > 15_000
    assert counters.minus(before).pages == 0
    assert len(rows(connection, "SELECT id FROM t WHERE kind = 'z'")) == 10
    assert 0 < counters.minus(before).pages < 10


def test_a_range_that_lies_together_is_read_and_a_scattered_one_is_not(tables):
    """A tenth of the rows: of the days they are one pack, of the ages they are in all of them."""
    wide = ", ".join(COLUMNS.split(", ")[1:])
    sql = f"SELECT {wide} FROM t WHERE day BETWEEN '2001-01-01' AND '2001-08-01'"
    tables.same(sql)
    found = plan(fresh(tables.known), sql)
    assert found.used == ["t_day_idx"]
    assert found.rows == 2130


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """200,000 rows in 49 packs, where a few rows less are many packs less."""
    database = Database.make(tmp_path_factory.mktemp("large"))
    connection = database.connect(pin=False)
    connection.execute("CREATE TABLE t (a INT, b INT, body TEXT)")
    connection.execute("CREATE INDEX ON t USING range (a)")
    connection.execute("CREATE INDEX ON t USING range (b)")
    session = connection.session
    random_ = np.random.default_rng(9)
    a, b = random_.integers(0, 200, 200_000), random_.integers(0, 200, 200_000)
    body = pa.array([f"body {number % 1000}" for number in range(200_000)])

    def load(transaction):
        table = session.catalog.table("t")
        session.database.ensure([table])
        sink = RowSink(transaction, session.database.tables[table.id])
        columns = [pa.array(a, pa.int32()), pa.array(b, pa.int32()), body]
        sink.add(pa.record_batch(columns, names=["a", "b", "body"]))
        return done("IMPORT", sink.finish())

    session.run_transaction(load)
    yield connection, a, b
    database.drop()


def test_a_bulk_load_brings_statistics(large):
    connection, a, _ = large
    assert analysed(connection) == {"a": 200_000, "b": 200_000}
    assert "about 1" in plan(connection, "SELECT count(body) FROM t WHERE a = 5").text
    assert plan(connection, f"SELECT count(body) FROM t WHERE a < {(a < 150).sum()}").used == []


def test_two_selective_indexes_are_intersected(large):
    """Some 1,000 rows of each lie in all packs; what they have in common are 5 rows."""
    connection, a, b = large
    sql = "SELECT count(body) FROM t WHERE a = 5 AND b = 7"
    found = plan(connection, sql)
    both = int(((a == 5) & (b == 7)).sum())
    assert rows(connection, sql) == [(both,)]
    assert sorted(found.used) == ["t_a_idx", "t_b_idx"]
    assert found.steps == {"t_a_idx": (a == 5).sum(), "t_b_idx": (b == 7).sum()}
    assert found.rows == both < 20


def test_two_wide_ranges_are_not(large):
    """Each of them is in all packs, and so is what they have in common."""
    connection, a, b = large
    sql = "SELECT count(body) FROM t WHERE a BETWEEN 5 AND 9 AND b BETWEEN 50 AND 99"
    found = plan(connection, sql)
    assert rows(connection, sql) == [(int(((a >= 5) & (a <= 9) & (b >= 50) & (b <= 99)).sum()),)]
    assert found.used == ["t_a_idx"]
    assert found.rows == ((a >= 5) & (a <= 9)).sum()


# --- Disjunctions ------------------------------------------------------------------------------------


def test_arms_that_are_served_together(tables):
    sql = "SELECT count(note) FROM t WHERE code = 'code 9' OR age BETWEEN 5 AND 6 OR kind = 'z'"
    tables.same(sql)
    found = plan(tables.with_, sql)
    assert sorted(found.steps) == ["t_age_idx", "t_code_idx", "t_kind_idx"]
    assert found.rows < 100


def test_a_bad_arm_makes_a_scan_before_the_others_are_read(tables):
    sql = "SELECT count(note) FROM t WHERE code = 'code 9' OR kind = 'a'"
    tables.same(sql)
    found = plan(fresh(tables.known), sql)
    assert (found.used, found.pages, found.rows) == ([], 0, COUNT)
    assert "choice: all rows, because t_kind_idx would list about 1" in found.text


def test_a_disjunction_beside_a_conjunct(tables):
    """It is worth reading when it is selective, and left alone when it is not."""
    narrow = (
        "SELECT count(code) FROM t WHERE age2 < 50 AND (n = 5 OR n = 77 OR n BETWEEN 10 AND 12)"
    )
    tables.same(narrow)
    assert "t_n_idx" in plan(tables.with_, narrow).used
    wide = "SELECT count(code) FROM t WHERE age2 < 20 AND (day < '2005-01-01' OR kind = 'a')"
    tables.same(wide)
    assert plan(tables.with_, wide).used == ["t_age2_idx"]


# --- Unique values, keywords, NULL, empty answers -----------------------------------------------------


def test_a_unique_value_needs_no_statistics(tables):
    for connection in (fresh(tables.plain), fresh(tables.known)):
        sql = "SELECT max(note) FROM t WHERE kind = 'a' AND age > 3 AND id = 71"
        assert len(rows(connection, sql)) == 1
        (state,) = connection.session.database.tables.values()
        assert state.statistics.cached == (not state.statistics.present)
        found = plan(connection, sql)
        assert found.used == ["t_pkey"]
        assert "about 1 of 20000 rows" in found.text
    found = plan(tables.with_, "SELECT note FROM t WHERE id IN (1, 2, 3, 4) AND kind = 'a'")
    assert found.used == ["t_pkey"]


def test_keywords_have_no_estimate_and_come_before_large_ones(tables):
    sql = "SELECT count(code) FROM t WHERE note @@ 'needle' AND age < 300"
    tables.same(sql)
    assert plan(tables.with_, sql).used == ["t_note_idx"]
    sql = "SELECT count(code) FROM t WHERE note @@ 'hay' AND code = 'code 3'"
    tables.same(sql)
    assert plan(tables.with_, sql).used == ["t_code_idx"]


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ("age = NULL", 0),
        ("age IN (NULL)", 0),
        ("age BETWEEN 5 AND 3", 0),
        ("code = 'no such code'", 0),
        ("kind = 'nothing' AND age < 500", 0),
        ("n IS NOT NULL AND n >= 0", None),
        ("age > 1000", 0),
        ("age < 0 OR code = 'no such code'", 0),
        ("day < '1999-01-01'", 0),
    ],
)
def test_conditions_that_no_row_or_every_row_fulfils(tables, where, found):
    sql = f"SELECT id FROM t WHERE {where}"
    answer = tables.same(sql)
    if found is not None:
        assert len(answer) == found
        assert plan(tables.with_, sql).rows == 0


# --- Joins -------------------------------------------------------------------------------------------


def test_a_join_is_narrowed_when_that_costs_less(tables):
    few = "SELECT count(t.note) FROM small JOIN t ON t.code = small.code WHERE small.id IN (5, 6)"
    tables.same(few)
    lines = [line for (line,) in rows(tables.with_, f"EXPLAIN ANALYZE {few}")]
    assert "  used: t_code_idx" in lines
    assert "    t_code_idx: 10 rows" in lines
    # Each of these keys has 5 of 20,000 rows, and all of them together touch every pack.
    many = few.replace("IN (5, 6)", "< 270")
    tables.same(many)
    used = [line for (line,) in rows(tables.with_, f"EXPLAIN ANALYZE {many}") if "used" in line]
    assert used[-1] == "  used: none"
    without = [
        line for (line,) in rows(tables.without, f"EXPLAIN ANALYZE {many}") if "used" in line
    ]
    assert without[-1] == "  used: t_code_idx"


# --- What EXPLAIN says -------------------------------------------------------------------------------


def test_explain_says_what_is_chosen_and_how_many_rows_that_is(tables):
    sql = "EXPLAIN SELECT code FROM t WHERE age BETWEEN 100 AND 119 AND n < 90"
    lines = [line for (line,) in rows(tables.with_, sql)]
    assert lines[2] == "  indexes: t_age_idx (range), t_n_idx (range)"
    assert re.fullmatch(r"  choice: t_n_idx \(about \d+\)", lines[3])
    estimated = re.fullmatch(r"  estimate: about (\d+) of 20000 rows", lines[4])
    real = sum(row[6] is not None and row[6] < 90 for row in tables.rows)
    assert int(estimated[1]) == pytest.approx(real, abs=15)
    lines = [line for (line,) in rows(tables.without, sql)]
    assert lines[4] == "  estimate: none; ANALYZE t may give one"


def test_explain_reads_statistics_and_no_pages_of_indexes(tables):
    connection = fresh(tables.known)
    connection.execute("SELECT count(*) FROM t").fetchall()
    counters = connection.session.database.channel.counters
    before = counters.copy()
    for where in ("age < 10 AND kind = 'c'", "age < 10 OR n > 5"):
        connection.execute(f"EXPLAIN SELECT code FROM t WHERE {where}").fetchall()
        read = counters.minus(before)
        # A header, and a page for each column, once.
        assert (read.pages, read.packs, read.rows) == (1 + len(COLUMNS.split(",")), 0, 0)


@pytest.mark.parametrize(
    ("statement", "parameters"),
    [
        ("UPDATE t SET n = 1 WHERE kind = ?", ("a",)),
        ("DELETE FROM t WHERE kind = ?", ("a",)),
        ("DELETE FROM t USING small WHERE t.code = small.code AND t.kind = ?", ("a",)),
    ],
)
def test_explain_of_changes(tables, statement, parameters):
    lines = [line for (line,) in rows(tables.with_, f"EXPLAIN {statement}", parameters)]
    assert any(line.startswith("  choice: all rows, because t_kind") for line in lines)


def test_a_plan_that_is_kept_follows_new_statistics(database):
    """Plans are kept by their text; what they read is decided each time."""
    connection, other = database.connect(), database.connect()
    connection.execute("CREATE TABLE t (id INT PRIMARY KEY, kind TEXT, note TEXT)")
    connection.execute("CREATE INDEX ON t USING equality (kind)")
    insert = "INSERT INTO t VALUES (?, ?, ?)"
    connection.executemany(insert, [(0, "a", "x")])
    connection.execute("VACUUM")
    connection.executemany(insert, [(n, "a" if n % 10 else "b", "x") for n in range(1, 6000)])
    sql = "SELECT count(note) FROM t WHERE kind = ?"
    for one in (connection, other):
        assert plan(one, sql, ("a",)).used == ["t_kind_idx"]
        assert rows(one, sql, ("a",)) == [(5401,)]
    other.execute("ANALYZE t (kind)")
    for one in (connection, other):
        assert plan(one, sql, ("a",)).used == []
        assert rows(one, sql, ("a",)) == [(5401,)]
    # Old statistics cost time only: nearly all rows have another value by now.
    connection.execute("UPDATE t SET kind = 'c' WHERE kind = 'a' AND id > 20")
    for one in (connection, other):
        assert plan(one, sql, ("a",)).used == []
        assert rows(one, sql, ("a",)) == [(19,)]
        assert rows(one, sql, ("c",)) == [(5382,)]
    connection.execute("ANALYZE")
    for one in (connection, other):
        assert plan(one, sql, ("a",)).used == ["t_kind_idx"]
        assert plan(one, sql, ("c",)).used == []
        assert rows(one, sql, ("a",)) == [(19,)]
    check_ok(connection)


def test_statistics_that_promise_too_little_do_not_make_most_of_the_table_be_looked_up(database):
    """Everything came after ANALYZE; the fences say so when the range is about to be read."""
    connection = database.connect()
    connection.execute("CREATE TABLE t (id INT PRIMARY KEY, age INT)")
    connection.execute("CREATE INDEX ON t USING range (age)")
    insert = "INSERT INTO t VALUES (?, ?)"
    connection.executemany(insert, [(n, n % 50) for n in range(300)])
    connection.execute("VACUUM")
    connection.execute("ANALYZE")
    connection.executemany(insert, [(n, 100 + n) for n in range(300, 9000)])
    sql = "SELECT count(*) FROM t WHERE age >= 100"
    found = plan(connection, sql)
    assert "estimate: about 0 of 9000 rows" in found.text
    assert (found.used, found.rows) == ([], 9000)
    assert rows(connection, sql) == [(8700,)]


# --- What comes by itself ----------------------------------------------------------------------------


@pytest.fixture
def automatic(monkeypatch):
    """Statistics that come by themselves, from 4,096 rows on."""
    for module in ("bulk", "compaction", "execute.define"):
        monkeypatch.setattr(f"proxy.{module}.AUTOMATIC_ROWS", 4096)


def loaded(connection, count, at_once=True):
    connection.execute("CREATE TABLE t (id INT PRIMARY KEY, kind TEXT, note TEXT, age INT)")
    connection.execute("CREATE INDEX ON t USING range (kind)")
    connection.execute("CREATE INDEX ON t USING keyword (note)")
    made = [(n, f"k{n % 7}", "some words", n % 90) for n in range(count)]
    insert = "INSERT INTO t VALUES (?, ?, ?, ?)"
    if not at_once:
        connection.executemany(insert, made[:1])
        connection.execute("VACUUM t")
        made = made[1:]
    connection.executemany(insert, made)


def analysed(connection):
    session = connection.session
    with session.reading(everything=True):
        table = session.catalog.table("t")
        found = session.database.tables[table.id].statistics.read()
    names = {column.id: column.name for column in table.columns}
    return None if found is None else {names[key]: one.rows for key, one in found.figures.items()}


def test_a_load_of_a_whole_table_brings_statistics_of_its_indexed_columns(database, automatic):
    connection = database.connect()
    loaded(connection, 5000)
    assert analysed(connection) == {"id": 5000, "kind": 5000}
    assert plan(connection, "SELECT count(note) FROM t WHERE kind > 'k1'").used == []
    # A new index adds its columns, and a load beside other rows changes nothing.
    connection.execute("CREATE INDEX ON t USING equality (age)")
    assert analysed(connection) == {"id": 5000, "kind": 5000, "age": 5000}
    connection.execute("CREATE INDEX ON t USING keyword (kind, note)")
    connection.executemany(
        "INSERT INTO t VALUES (?, 'k9', 'w', 1)", [(n,) for n in range(5000, 7000)]
    )
    connection.execute("CREATE INDEX ON t USING equality (kind)")
    assert analysed(connection) == {"id": 5000, "kind": 7000, "age": 5000}
    check_ok(connection)


@pytest.mark.parametrize(("count", "at_once"), [(4000, True), (5000, False)])
def test_small_loads_and_loads_beside_other_rows_bring_none(database, automatic, count, at_once):
    connection = database.connect()
    loaded(connection, count, at_once)
    assert analysed(connection) is None
    connection.execute("CREATE INDEX ON t USING equality (age)")
    assert analysed(connection) == ({"age": 5000} if count == 5000 else None)


def test_a_load_that_is_refused_leaves_nothing(database, automatic):
    connection = database.connect()
    loaded(connection, 10)
    connection.execute("DELETE FROM t")
    with pytest.raises(Exception, match="exists already"):
        connection.executemany(
            "INSERT INTO t VALUES (?, 'k', 'w', 1)", [(n % 4999,) for n in range(5000)]
        )
    assert analysed(connection) is None
    connection.executemany("INSERT INTO t VALUES (?, 'k', 'w', 1)", [(n,) for n in range(5000)])
    check_ok(connection)


# --- Costs -------------------------------------------------------------------------------------------


def test_costs_grow_with_what_is_read(tables):
    session = tables.with_.session
    with session.reading(everything=True):
        from proxy.execute.view import TableView

        view = TableView(session.database.tables[session.catalog.table("t").id])
        statistics = view.state.statistics.read()
        one = cost.Costs(view, [1, 2], statistics)
        wide = cost.Costs(view, range(1, 9), statistics)
        none = cost.Costs(view, [1, 2], None)
        by_kind = next(index for index in view.table.indexes if index.name == "t_kind_idx")
        by_age = next(index for index in view.table.indexes if index.name == "t_age_idx")
        fetched = [one.fetch(rows) for rows in (0, 1, 10, 100, 1000, COUNT, 10 * COUNT)]
        read = [
            [one.read(index, 1, rows) for rows in (0, 300, 5000, COUNT)]
            for index in (by_kind, by_age)
        ]
        asked = [one.read(by_kind, count, 10) for count in (1, 5, 10**6)]
    assert fetched[0] == 0
    assert fetched[:-1] == sorted(fetched[:-1])
    assert fetched[-1] == fetched[-2] > one.scan
    assert wide.scan > one.scan > 0
    assert none.scan > 0
    # Rows that lie together touch fewer packs; one row touches one pack either way.
    assert one.fetch(2000, 1.0) < one.fetch(2000, 0.5) < one.fetch(2000)
    assert one.fetch(1, 1.0) == pytest.approx(one.fetch(1), rel=0.2)
    for costs in read:
        assert costs == sorted(costs)
        assert costs[0] < costs[-1]
    # A segment is not read more than once.
    assert asked[0] <= asked[1] <= asked[2] < 10**5


# --- Whatever is chosen, the rows are the same --------------------------------------------------------


ROUNDS = pytest.mark.parametrize("rounds", [10, pytest.param(150, marks=pytest.mark.slow)])


def random_condition(pick, depth=0):
    """A condition on indexed columns, whose answers are of all sizes."""
    if depth < 2 and pick.random() < 0.5:
        joined = pick.choice([" AND ", " OR "]).join(
            random_condition(pick, depth + 1) for _ in range(pick.randrange(2, 4))
        )
        return f"({joined})"
    low = pick.randrange(-10, 1010)
    high = low + int(10 ** pick.uniform(0, 3))
    day = START + dt.timedelta(days=pick.randrange(2100))
    return pick.choice(
        [
            f"id = {pick.randrange(COUNT)}",
            f"code = 'code {pick.randrange(4100)}'",
            f"kind = '{pick.choice('abczx')}'",
            f"kind IN ('{pick.choice('ab')}', '{pick.choice('cz')}')",
            f"age BETWEEN {low} AND {high}",
            f"age2 < {low}",
            f"age2 >= {low}",
            f"day > '{day}'",
            f"n {pick.choice('<>')} {low % 100}",
            "n IS NULL",
            f"note @@ '{pick.choice(['needle', 'hay', 'text -needle'])}'",
            f"age = {low} AND kind = '{pick.choice('abc')}'",
        ]
    )


@ROUNDS
def test_random_queries_give_the_same_rows_with_statistics_and_without(tables, rounds):
    pick = random.Random(41 + rounds)
    used = set()
    for _ in range(rounds):
        where = random_condition(pick)
        tables.same(f"SELECT id FROM t WHERE {where}")
        used.add(tuple(plan(tables.with_, f"SELECT id FROM t WHERE {where}").used))
    assert () in used
    assert len(used) > 4


@ROUNDS
def test_a_choice_by_chance_gives_the_same_rows(tables, monkeypatch, rounds):
    pick = random.Random(43 + rounds)

    def following(options, costs, found, covered):
        listed = list(options)
        return pick.choice([None, *listed, *listed])

    for _ in range(rounds):
        where = random_condition(pick)
        sql = f"SELECT id, kind, age, day, n FROM t WHERE {where}"
        expected = sorted(rows(tables.without, sql), key=repr)
        with monkeypatch.context() as patched:
            patched.setattr("proxy.execute.lookup.following", following)
            patched.setattr("proxy.statistics.choice.following", following)
            for connection in (tables.with_, tables.without):
                assert sorted(rows(connection, sql), key=repr) == expected, where


@ROUNDS
def test_no_index_is_read_that_was_not_named_before(tables, monkeypatch, rounds):
    """What is decided while a query runs stays within what was said to be possible."""
    reports = []
    real = Access.outlook

    def outlook(access):
        reports.append(real(access))
        return reports[-1]

    monkeypatch.setattr(Access, "outlook", outlook)
    pick = random.Random(53 + rounds)
    for _ in range(rounds):
        sql = f"SELECT id FROM t WHERE {random_condition(pick)}"
        for connection in (tables.with_, tables.without):
            used, report = plan(connection, sql).used, reports[-1]
            named = set() if report is None else set(report.possible)
            meant = () if report is None else report.steps
            assert named.issuperset([*used, *(name for step in meant for name in step.names)])


def test_joins_by_chance_give_the_same_rows(tables, monkeypatch):
    pick = random.Random(47)
    sql = (
        "SELECT small.label, t.id, t.age FROM small JOIN t ON t.code = small.code "
        "WHERE small.id < {} AND {}"
    )
    for _ in range(3):
        condition = re.sub(r"\b(id|code) =", r"t.\1 =", random_condition(pick, 1))
        query = sql.format(pick.randrange(300), condition)
        expected = sorted(rows(tables.without, query), key=repr)
        for worth in (True, False):
            with monkeypatch.context() as patched:
                patched.setattr(
                    "proxy.execute.select.worth_narrowing", lambda *_, worth=worth: worth
                )
                for connection in (tables.with_, tables.without):
                    assert sorted(rows(connection, query), key=repr) == expected, query
