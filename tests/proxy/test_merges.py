"""Merges change no answer, and reads and writes touch as little of the store as they promise."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pytest

from encdb import wire
from encdb.trace import Event
from indexes.types import ColumnType, Kind
from proxy.importing import IndexSpec, import_table
from proxy.loading import LoadedTable, read_table
from tests.fixtures.databases import Database, check_ok, refused, rows

pytestmark = pytest.mark.every_store

WORDS = ("asthma", "measles", "smoker", "runner")
FIVE_INDEXES = (
    "CREATE TABLE t (id BIGINT PRIMARY KEY, name TEXT UNIQUE, age INT, zip TEXT, notes TEXT)",
    "CREATE INDEX ON t USING range (age)",
    "CREATE INDEX ON t USING equality (zip)",
    "CREATE INDEX ON t USING keyword (notes)",
)
QUESTIONS = (
    "SELECT * FROM t",
    "SELECT count(*) FROM t",
    "SELECT * FROM t WHERE id = 17",
    "SELECT * FROM t WHERE name = 'n33'",
    "SELECT id FROM t WHERE zip = 'z3'",
    "SELECT id FROM t WHERE age BETWEEN 20 AND 30",
    "SELECT id FROM t WHERE notes @@ 'asthma -smoker'",
    "SELECT id FROM t WHERE notes @@ 'nothing'",
    "SELECT min(age), max(age) FROM t",
    "SELECT id, age FROM t ORDER BY age DESC NULLS LAST, id LIMIT 7",
    "SELECT zip, count(*), sum(age) FROM t GROUP BY zip",
)


def row(number: int) -> tuple[Any, ...]:
    age = None if number % 11 == 0 else number * 7 % 90
    notes = f"{WORDS[number % 4]} and {WORDS[number % 3]}"
    return (number, f"n{number}", age, f"z{number % 9}", notes)


def insert(connection: Any, numbers: Sequence[int]) -> None:
    connection.executemany("INSERT INTO t VALUES (?, ?, ?, ?, ?)", [row(one) for one in numbers])


def answers(connection: Any) -> dict[str, list[tuple[Any, ...]]]:
    return {question: sorted(rows(connection, question), key=repr) for question in QUESTIONS}


def shape(connection: Any) -> tuple[int, int, int]:
    """Pending deltas, segments and epoch of the table."""
    session = connection.session
    with session.reading(everything=True):
        state = session.database.tables[session.table("t").id]
        return state.pending_count, len(state.manifest.segments), state.epoch


@pytest.fixture
def table(connection: Any) -> Any:
    for sql in FIVE_INDEXES:
        connection.execute(sql)
    return connection


# --- Merges -----------------------------------------------------------------------------------------


def test_a_fold_and_a_vacuum_change_no_answer(table, database: Database):
    insert(table, range(60))
    table.execute("VACUUM t")
    insert(table, range(60, 90))
    table.execute("UPDATE t SET age = age + 1, zip = 'z3' WHERE id % 7 = 0")
    table.execute("DELETE FROM t WHERE id % 5 = 0")
    before = answers(table)
    for merge in ("fold", "join", "vacuum"):
        getattr(table.session.maintenance, merge)(table.session.table("t").id)
        assert answers(table) == before
        assert answers(database.connect()) == before
        check_ok(table)
    assert shape(table)[0] == 0


@pytest.mark.parametrize("limit", ["PENDING_DELTAS", "PENDING_POSTINGS", "PENDING_BYTES"])
def test_every_limit_starts_a_merge(table, monkeypatch, limit):
    monkeypatch.setattr(f"proxy.compaction.{limit}", {"PENDING_BYTES": 3_000}.get(limit, 4))
    seen = []
    for number in range(12):
        insert(table, [number])
        seen.append(shape(table)[0])
    assert max(seen) < 8
    assert shape(table)[2] >= 2
    assert len(rows(table, "SELECT * FROM t")) == 12
    check_ok(table)


def test_tiers_stay_few_over_many_merges(table, monkeypatch):
    monkeypatch.setattr("proxy.compaction.PENDING_DELTAS", 1)
    for number in range(40):
        insert(table, [number])
        if number % 4 == 3:
            table.execute("DELETE FROM t WHERE id = ?", (number - 3,))
    _, segments, epoch = shape(table)
    assert epoch >= 40
    # Hashed segments, those of a range index and of a dictionary: three segments of four tiers of each.
    assert segments <= 30
    assert len(rows(table, "SELECT id FROM t WHERE zip = 'z1'")) == 4
    before = answers(table)
    table.execute("VACUUM")
    assert shape(table)[1] == 3
    assert answers(table) == before
    check_ok(table)


def test_a_table_can_be_emptied_and_filled_again(table):
    insert(table, range(50))
    table.execute("VACUUM t")
    table.execute("DELETE FROM t")
    table.execute("VACUUM t")
    assert answers(table)["SELECT count(*) FROM t"] == [(0,)]
    assert rows(table, "SELECT max(age) FROM t") == [(None,)]
    check_ok(table)
    insert(table, range(50))
    assert len(rows(table, "SELECT * FROM t WHERE age >= 0")) == 45
    check_ok(table)


def test_vacuum_of_nothing_is_fine(table, connection):
    table.execute("VACUUM")
    table.execute("VACUUM t")
    refused("E_UNKNOWN_TABLE", connection.execute, "VACUUM nothing")
    check_ok(table)


def test_settled_rows_change_beside_others_of_their_block(table):
    insert(table, range(100))
    table.execute("VACUUM t")
    for number in range(0, 100, 9):
        table.execute("UPDATE t SET name = name || '!' WHERE id = ?", (number,))
        table.execute("DELETE FROM t WHERE id = ?", (number + 1,))
        table.session.maintenance.fold(table.session.table("t").id)
    assert rows(table, "SELECT count(*) FROM t WHERE name LIKE '%!'") == [(12,)]
    assert rows(table, "SELECT count(*) FROM t") == [(89,)]
    assert rows(table, "SELECT id FROM t WHERE name = 'n18!'") == [(18,)]
    check_ok(table)


# --- Indexes and tables that come and go ------------------------------------------------------------


@pytest.mark.parametrize("settled", [False, True], ids=["pending", "settled"])
def test_an_index_is_made_over_the_rows_there_are(connection, settled):
    connection.execute(FIVE_INDEXES[0])
    insert(connection, range(40))
    if settled:
        connection.execute("VACUUM t")
    insert(connection, range(40, 60))
    connection.execute("UPDATE t SET age = 1 WHERE id < 3")
    connection.execute("DELETE FROM t WHERE id = 50")
    without = plain_answers(connection)
    for sql in FIVE_INDEXES[1:]:
        connection.execute(sql)
    assert {question: answers(connection)[question] for question in without} == without
    left = [number for number in range(60) if number != 50]
    assert len(rows(connection, "SELECT id FROM t WHERE notes @@ 'asthma'")) == mentioning(
        "asthma", left
    )
    insert(connection, range(60, 70))
    check_ok(connection)


def mentioning(word: str, numbers: Sequence[int]) -> int:
    return sum(1 for number in numbers if word in row(number)[4])


def plain_answers(connection: Any) -> dict[str, list[tuple[Any, ...]]]:
    return {
        question: sorted(rows(connection, question), key=repr)
        for question in QUESTIONS
        if "@@" not in question
    }


def test_a_dropped_index_leaves_nothing_to_find(table):
    insert(table, range(30))
    table.execute("VACUUM t")
    insert(table, range(30, 40))
    for name in ("t_age_idx", "t_zip_idx", "t_notes_idx"):
        table.execute(f"DROP INDEX {name}")
        check_ok(table)
    expected = [number for number in range(40) if number % 9 == 3 and row(number)[2]]
    assert len(rows(table, "SELECT id FROM t WHERE zip = 'z3' AND age > 0")) == len(expected)
    refused("E_NO_KEYWORD_INDEX", table.execute, "SELECT id FROM t WHERE notes @@ 'asthma'")
    table.execute("UPDATE t SET zip = 'z4' WHERE id < 20")
    table.execute("CREATE INDEX t_zip_idx ON t USING range (zip)")
    expected = [number for number in range(40) if number < 20 or number % 9 == 4]
    assert len(rows(table, "SELECT id FROM t WHERE zip = 'z4'")) == len(expected)
    check_ok(table)
    table.execute("VACUUM t")
    table.execute("CREATE INDEX ON t USING keyword (notes)")
    assert len(rows(table, "SELECT id FROM t WHERE notes @@ 'asthma'")) == mentioning(
        "asthma", range(40)
    )
    check_ok(table)
    assert len(rows(table, "SELECT id FROM t WHERE name = 'n7'")) == 1


def test_a_unique_index_over_equal_values_is_not_made(table):
    insert(table, range(20))
    refused("E_DUPLICATE_KEY", table.execute, "CREATE UNIQUE INDEX zips ON t (zip)")
    table.execute("VACUUM t")
    refused("E_DUPLICATE_KEY", table.execute, "CREATE UNIQUE INDEX zips ON t (zip)")
    table.execute("CREATE UNIQUE INDEX pairs ON t (zip, age)")
    refused("E_DUPLICATE_KEY", table.execute, "INSERT INTO t VALUES (99, 'x', 7, 'z1', NULL)")
    table.execute("INSERT INTO t VALUES (99, 'x', NULL, 'z1', NULL)")
    check_ok(table)


@pytest.mark.parametrize(
    "kept",
    [
        "equality (name, kind)",
        "equality (name) INCLUDE (amount)",
        "range (kind, amount)",
        "keyword (name)",
        "keyword (name) INCLUDE (amount)",
        "keyword (name) WITH (positions = on)",
        "substring (name)",
    ],
)
def test_indexes_of_every_kind_outlive_one_that_is_dropped(database: Database, kept):
    connection = database.connect()
    connection.execute("CREATE TABLE t (id INT PRIMARY KEY, name TEXT, kind INT, amount INT)")
    connection.execute("CREATE INDEX gone ON t USING equality (amount)")
    connection.execute(f"CREATE INDEX kept ON t USING {kept}")
    connection.executemany(
        "INSERT INTO t VALUES (?, ?, ?, ?)", [(n, f"name {n}", n % 5, n % 7) for n in range(60)]
    )
    connection.execute("VACUUM")
    connection.execute("DROP INDEX gone")
    connection.execute("VACUUM")
    check_ok(connection)
    for query in (
        "SELECT id FROM t WHERE name = 'name 33' AND kind = 3",
        "SELECT id FROM t WHERE kind = 3 AND amount = 5 AND name LIKE '%ame 33'",
    ):
        assert rows(connection, query) == [(33,)]
    if "keyword" in kept:
        assert rows(connection, "SELECT id FROM t WHERE name @@ '33'") == [(33,)]


def test_a_dropped_table_takes_everything_with_it(table, database: Database):
    insert(table, range(30))
    table.execute("VACUUM t")
    insert(table, range(30, 33))
    number = table.session.table("t").id
    table.execute("DROP TABLE t")
    with table.session.store.snapshot() as snapshot:
        description = table.session.store.describe()
        del snapshot
    assert number not in [one.id for one in table.session.catalog.tables]
    assert description is not None
    for sql in FIVE_INDEXES:
        table.execute(sql)
    assert rows(table, "SELECT count(*) FROM t") == [(0,)]
    insert(table, range(5))
    assert database.ask("SELECT count(*) FROM t") == [(5,)]
    check_ok(table)


# --- Bulk loads -------------------------------------------------------------------------------------


class Generated:
    """A table that is made up while it is loaded."""

    def __init__(self, count: int, piece: int = 10_000) -> None:
        self.count, self.piece = count, piece
        kinds = (Kind.BIGINT, Kind.TEXT, Kind.INTEGER, Kind.TEXT, Kind.TEXT)
        names = ("id", "name", "age", "zip", "notes")
        self.columns = tuple(
            (name, ColumnType(kind), name == "id") for name, kind in zip(names, kinds, strict=True)
        )

    def batches(self) -> Iterator[tuple[int, pa.RecordBatch]]:
        schema = pa.schema([(name, kind.arrow) for name, kind, _ in self.columns])
        for start in range(0, self.count, self.piece):
            listed = [row(number) for number in range(start, min(start + self.piece, self.count))]
            arrays = [
                pa.array(values, type=field.type)
                for values, field in zip(zip(*listed, strict=True), schema, strict=True)
            ]
            yield start + 1, pa.RecordBatch.from_arrays(arrays, schema=schema)

    def loaded(self) -> LoadedTable:
        return LoadedTable(name="t", columns=self.columns, batches=self.batches)


def load(connection: Any, count: int) -> None:
    report = import_table(
        connection.session,
        Generated(count).loaded(),
        "t",
        ("id",),
        [IndexSpec.parse(text) for text in ("range:age", "equality:zip", "keyword:notes")],
    )
    assert report.rows == count


def test_rows_of_a_bulk_load_can_be_changed_one_by_one(connection, database: Database):
    load(connection, 9_000)
    assert shape(connection)[0] == 0
    connection.execute("UPDATE t SET age = 1000 WHERE id = 4095")
    connection.execute("UPDATE t SET age = 1001 WHERE id = 4096")
    connection.execute("DELETE FROM t WHERE id IN (0, 4097, 8191, 8192, 8999)")
    insert(connection, [0, 9_000])
    insert(connection, range(10_000, 10_100))
    for _ in range(2):
        assert rows(connection, "SELECT id FROM t WHERE age >= 1000 ORDER BY id") == [
            (4095,),
            (4096,),
        ]
        assert rows(connection, "SELECT count(*) FROM t") == [(9_097,)]
        assert rows(connection, "SELECT id FROM t WHERE id IN (0, 4097, 9000) ORDER BY id") == [
            (0,),
            (9000,),
        ]
        assert rows(connection, "SELECT count(*) FROM t WHERE zip = 'z4'") == [(1011,)]
        check_ok(connection)
        connection.session.maintenance.fold(connection.session.table("t").id)
    refused("E_DUPLICATE_KEY", connection.execute, "INSERT INTO t (id) VALUES (4096)")
    connection.execute("DELETE FROM t WHERE id >= 1000")
    assert database.ask("SELECT count(*), max(id) FROM t") == [(1000, 999)]
    connection.execute("VACUUM t")
    check_ok(connection)


def test_a_second_load_joins_the_first(connection):
    load(connection, 5_000)
    other = Generated(3_000)
    shifted = LoadedTable(
        name="more",
        columns=other.columns,
        batches=lambda: (
            (
                line,
                batch.set_column(
                    0, batch.schema.field(0), pa.array([n.as_py() + 5_000 for n in batch.column(0)])
                ),
            )
            for line, batch in other.batches()
        ),
    )
    import_table(connection.session, shifted, "t")
    assert rows(connection, "SELECT count(*), max(id) FROM t") == [(8_000, 7_999)]
    assert len(rows(connection, "SELECT id FROM t WHERE id IN (1, 5001, 7999)")) == 3
    refused("E_DUPLICATE_KEY", import_table, connection.session, other.loaded(), "t")
    assert rows(connection, "SELECT count(*) FROM t") == [(8_000,)]
    check_ok(connection)


def test_a_load_that_fails_leaves_nothing(connection):
    def broken() -> Iterator[tuple[int, pa.RecordBatch]]:
        yield from itertools.islice(Generated(9_000, 5_000).batches(), 1)
        raise OSError("the disk went away")

    columns = Generated(1).columns
    with pytest.raises(OSError, match="went away"):
        import_table(
            connection.session, LoadedTable(name="t", columns=columns, batches=broken), "t"
        )
    assert connection.session.catalog.find("t") is None
    load(connection, 100)
    with pytest.raises(OSError, match="went away"):
        import_table(
            connection.session, LoadedTable(name="t", columns=columns, batches=broken), "t"
        )
    assert rows(connection, "SELECT count(*) FROM t") == [(100,)]
    connection.execute("VACUUM t")
    check_ok(connection)


@pytest.mark.parametrize(
    ("columns", "text", "code"),
    [
        ("a BIGINT CHECK (a > 0), s TEXT", "a,s\n1,x\n-1,y\n", "E_CHECK"),
        ("a BIGINT, s TEXT CHECK (s <> 'y')", "a,s\n1,x\n1,y\n", "E_CHECK"),
        ("a BIGINT UNIQUE, s TEXT", "a,s\n1,x\n1,y\n", "E_DUPLICATE_KEY"),
        ("a BIGINT, s TEXT NOT NULL", "a,s\n1,x\n1,\n", "E_NOT_NULL"),
        ("a BIGINT, s VARCHAR(3)", "a,s\n1,abcd\n", "E_TYPE_MISMATCH"),
        ("a BIGINT, s JSON", "a,s\n1,abcd\n", "E_TYPE_MISMATCH"),
        ("a INT, s TEXT", "a,s\n1,abcd\n", "E_TYPE_MISMATCH"),
        ("a BIGINT, s TEXT", "a,t\n1,abcd\n", "E_UNKNOWN_COLUMN"),
    ],
)
def test_a_load_meets_the_constraints_of_its_table(connection, tmp_path, columns, text, code):
    connection.execute(f"CREATE TABLE t ({columns})")
    path = tmp_path / "rows.csv"
    path.write_text(text, encoding="utf-8")
    refused(code, lambda: import_table(connection.session, read_table(path, name="t"), "t"))
    assert rows(connection, "SELECT count(*) FROM t") == [(0,)]
    path.write_text("s,a\nok,5\n", encoding="utf-8")
    kinds = {column.name: column.type for column in connection.session.table("t").columns}
    if "JSON" not in columns:
        import_table(connection.session, read_table(path, name="t", overrides=kinds), "t")
        assert rows(connection, "SELECT a, s FROM t") == [(5, "ok")]
    check_ok(connection)


@pytest.mark.slow
def test_a_hundred_thousand_rows(connection, database: Database):
    load(connection, 100_000)
    connection.execute("UPDATE t SET zip = 'changed' WHERE id % 1000 = 7")
    connection.execute("DELETE FROM t WHERE age = 50")
    insert(connection, range(100_000, 100_500))
    fresh = database.connect()
    assert rows(fresh, "SELECT count(*) FROM t WHERE zip = 'changed'") == [
        (sum(1 for n in range(7, 100_000, 1000) if row(n)[2] != 50),)
    ]
    left = [row(n) for n in range(100_500) if n >= 100_000 or row(n)[2] != 50]
    assert rows(fresh, "SELECT count(*), sum(id), count(age) FROM t") == [
        (len(left), sum(one[0] for one in left), sum(1 for one in left if one[2] is not None))
    ]
    for number in (5, 4096, 99_999, 100_250):
        assert rows(fresh, "SELECT * FROM t WHERE id = ?", (number,)) == [row(number)]
    assert len(rows(fresh, "SELECT id FROM t WHERE age BETWEEN 10 AND 11")) == sum(
        1 for one in left if one[2] in (10, 11)
    )
    check_ok(fresh)
    connection.execute("VACUUM t")
    check_ok(connection)


# --- What the store is asked and sent ---------------------------------------------------------------


def sent(connection: Any, kind: str, since: int = 0) -> list[Event]:
    return [event for event in connection.session.trace.since(since) if event.kind == kind]


def test_a_single_row_insert_sends_one_row_one_delta_and_one_key_each(database: Database):
    connection = database.connect(record=True)
    for sql in FIVE_INDEXES:
        connection.execute(sql)
    insert(connection, range(3))
    mark = connection.session.trace.mark()
    connection.execute("INSERT INTO t VALUES (77, 'n77', 5, 'z', 'one two three four')")
    (commit,) = sent(connection, "Commit", mark)
    assert len(commit.named("changes.rows_added")) == 1
    assert len(commit.named("changes.delta.n")) == 1
    sizes = dict(commit.sizes)
    assert set(sizes) == {"changes.rows_added", "changes.delta.blob"}
    assert all(len(one) == 1 for one in sizes.values())
    # Each claim of a unique value is a tag and a label; the table has two unique indexes.
    assert len(commit.named("changes.keys_added")) == 2 * 2
    assert commit.named("changes.tombstones") == ()
    assert not sent(connection, "Stage", mark)
    check_ok(connection)


def test_a_change_of_one_settled_row_sends_its_row_and_a_tombstone(database: Database):
    connection = database.connect(record=True)
    for sql in FIVE_INDEXES:
        connection.execute(sql)
    insert(connection, range(30))
    connection.execute("VACUUM t")
    mark = connection.session.trace.mark()
    connection.execute("UPDATE t SET age = 1 WHERE id = 7")
    (commit,) = sent(connection, "Commit", mark)
    assert len(commit.named("changes.rows_added")) == 1
    assert len(commit.named("changes.tombstones")) == 1
    assert len(commit.named("changes.keys_added")) == 2 * 2
    assert commit.named("changes.rows_removed") == ()


@pytest.fixture
def loaded(database: Database) -> Any:
    """A fresh, recording connection to a table of several segments, with caches still empty."""
    connection = database.connect()
    load(connection, 12_000)
    for first in (20_000, 30_000):
        insert(connection, range(first, first + 1_500))
    insert(connection, [50_000])
    connection.close()
    database.opened.remove(connection)
    return database.connect(record=True)


def pages_by_segment(events: Sequence[Event]) -> dict[int, set[int]]:
    found: dict[int, set[int]] = {}
    for event in events:
        for number in event.named("ids"):
            assert isinstance(number, int)
            found.setdefault(number >> 32, set()).add(number)
    return found


@pytest.mark.parametrize(
    ("sql", "count"),
    [
        ("SELECT * FROM t WHERE id = 4711", 1),
        ("SELECT * FROM t WHERE id = 21000", 1),
        ("SELECT * FROM t WHERE id = 999999", 0),
        ("SELECT * FROM t WHERE id = 50000", 1),
    ],
)
def test_an_equality_query_reads_at_most_two_pages_of_each_segment(loaded, sql, count):
    rows(loaded, "SELECT count(*) FROM t")
    session = loaded.session
    with session.reading(everything=True):
        state = session.database.tables[session.table("t").id]
        manifest = state.manifest
        hashed = {info.segment: info for info in manifest.segments if info.kind == 1}
    assert len(manifest.segments) <= 10
    assert len(hashed) > 1
    mark = session.trace.mark()
    assert len(rows(loaded, sql)) == count
    read = pages_by_segment(sent(loaded, "ReadPages", mark))
    liveness = {info.segment for info in manifest.liveness}
    assert set(read) - liveness <= set(hashed)
    for segment, info in hashed.items():
        header = {wire.page_id(segment, page) for page in range(info.header_pages)}
        whole = info.pages <= 16
        assert whole or len(read.get(segment, set()) - header) <= 2


def test_a_second_equality_query_reads_no_page_again(loaded):
    rows(loaded, "SELECT * FROM t WHERE id = 4711")
    mark = loaded.session.trace.mark()
    assert len(rows(loaded, "SELECT * FROM t WHERE id = 4711")) == 1
    assert not sent(loaded, "ReadPages", mark)
    assert not sent(loaded, "ReadPacks", mark)


def test_a_count_opens_no_row(loaded):
    assert rows(loaded, "SELECT count(*) FROM t") == [(15_001,)]
    for kind in ("ReadRows", "ReadPacks"):
        assert not sent(loaded, kind)


def test_a_small_range_reads_few_pages(loaded):
    rows(loaded, "SELECT count(*) FROM t")
    mark = loaded.session.trace.mark()
    assert rows(loaded, "SELECT max(age) FROM t") == [(89,)]
    session = loaded.session
    with session.reading(everything=True):
        manifest = session.database.tables[session.table("t").id].manifest
    total = sum(info.pages for info in manifest.segments if info.kind == 2)
    read = pages_by_segment(sent(loaded, "ReadPages", mark))
    sorted_segments = {info.segment for info in manifest.segments if info.kind == 2}
    assert sum(len(read[one]) for one in read if one in sorted_segments) <= total


# --- Days go by -------------------------------------------------------------------------------------


def test_idle_writers_are_forgotten_and_may_come_back(database: Database, monkeypatch):
    shift = 0.0
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + shift)
    one, other = database.connect(), database.connect()
    for name in ("t", "u"):
        one.execute(f"CREATE TABLE {name} (id BIGINT PRIMARY KEY, n BIGINT)")
    for turn in range(1, 5):
        one.execute("BEGIN")
        one.execute("INSERT INTO t VALUES (?, 0)", (turn,))
        one.execute("INSERT INTO u VALUES (?, 0)", (turn,))
        one.execute("COMMIT")
        other.session.maintenance.fold(number_of(other, "t"))
        shift += 3 * 86_400.0 * turn
        # The table forgets the first writer, while the other still has its half of the transaction.
        other.execute("INSERT INTO t VALUES (?, 0)", (100 + turn,))
        other.session.maintenance.fold(number_of(other, "t"))
        if turn == 3:
            other.execute("VACUUM")
        fresh = database.connect()
        for connection in (one, other, fresh):
            assert rows(connection, "SELECT count(*) FROM t") == [(2 * turn,)]
            assert rows(connection, "SELECT count(*) FROM u") == [(turn,)]
            check_ok(connection)
    one.execute("UPDATE t SET n = 1 WHERE id < 100")
    one.execute("UPDATE u SET n = 1")
    assert database.ask("SELECT sum(n) FROM t") == [(4,)]


def number_of(connection: Any, name: str) -> int:
    with connection.session.reading(everything=True):
        number: int = connection.session.table(name).id
        return number


def test_an_idle_connection_goes_on_after_days(database: Database, monkeypatch):
    shift = 0.0
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + shift)
    idle, busy = database.connect(), database.connect()
    idle.execute("CREATE TABLE t (id BIGINT PRIMARY KEY)")
    idle.execute("INSERT INTO t VALUES (1)")
    for day in range(2, 12):
        shift += 86_400.0
        busy.execute("INSERT INTO t VALUES (?)", (day,))
        busy.session.maintenance.fold(number_of(busy, "t"))
    idle.execute("INSERT INTO t VALUES (100)")
    idle.execute("DELETE FROM t WHERE id = 1")
    refused("E_DUPLICATE_KEY", idle.execute, "INSERT INTO t VALUES (5)")
    for connection in (idle, busy, database.connect()):
        assert rows(connection, "SELECT count(*), min(id), max(id) FROM t") == [(11, 2, 100)]
        check_ok(connection)


def test_an_idle_connection_goes_on_after_days_without_a_fold(database: Database, monkeypatch):
    # What folds nothing keeps the writer in the manifest, so the store has to know where it ended as well.
    shift = 0.0
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + shift)
    idle, busy = database.connect(), database.connect()
    idle.execute("CREATE TABLE t (id BIGINT PRIMARY KEY)")
    idle.execute("INSERT INTO t VALUES (1)")
    busy.session.maintenance.fold(number_of(busy, "t"))
    idle.execute("SELECT id FROM t")
    shift += 9 * 86_400.0
    busy.execute("ANALYZE t")
    idle.execute("INSERT INTO t VALUES (2)")
    assert rows(busy, "SELECT count(*) FROM t") == [(2,)]
