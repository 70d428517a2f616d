"""ANALYZE: what it stores, who sees it, and what a store can do about it."""

from __future__ import annotations

import datetime as dt
import time
import uuid
from decimal import Decimal

import pytest

import encdb
from encdb.errors import TamperError
from indexes.multimap.segment import STATISTICS
from proxy.statistics import analyze
from tests.fixtures.databases import check_ok, refused, rows

TYPES = {
    "b": "BOOLEAN", "s": "SMALLINT", "i": "INTEGER", "l": "BIGINT", "m": "DECIMAL(5,2)",
    "w": "DECIMAL(30,1)", "r": "REAL", "f": "DOUBLE", "t": "TEXT", "o": "BLOB", "d": "DATE",
    "c": "TIME", "p": "TIMESTAMP", "z": "TIMESTAMPTZ", "u": "UUID", "j": "JSON", "v": "INTERVAL",
    "n": "TEXT",
}  # fmt: skip


def every_type(number):
    """One row with a value of every type; n is NULL always."""
    day = dt.datetime(2024, 1, 1) + dt.timedelta(hours=number)
    return (
        number % 3 == 0, number % 7, number, -number, Decimal(number) / 4, Decimal(10**20 + number),
        [0.0, -0.0, float("nan"), 1.5, float("inf")][number % 5],
        [0.0, -0.0, float("nan"), 5e-324, float("-inf")][number % 5],
        f"text {number % 11}", bytes([number % 5] * 20), day.date(), day.time(), day,
        day.replace(tzinfo=dt.timezone(dt.timedelta(hours=number % 3))), uuid.UUID(int=number % 9),
        '{"a": 1}', dt.timedelta(days=number), None,
    )  # fmt: skip


def fill(connection, table="t", count=60):
    schema = ", ".join(f"{name} {kind}" for name, kind in TYPES.items())
    connection.execute(f"CREATE TABLE {table} ({schema})")
    marks = ", ".join("?" for _ in TYPES)
    connection.executemany(
        f"INSERT INTO {table} VALUES ({marks})", [every_type(number) for number in range(count)]
    )


def state(connection, table="t"):
    session = connection.session
    with session.reading(everything=True):
        return session.database.tables[session.catalog.table(table).id]


def statistics(connection, table="t"):
    """The statistics that a connection sees, by column name."""
    session = connection.session
    with session.reading(everything=True):
        found = session.database.tables[session.catalog.table(table).id].statistics.read()
        names = {column.id: column.name for column in session.catalog.table(table).columns}
    return None if found is None else {names[key]: one for key, one in found.figures.items()}


@pytest.mark.every_store
def test_every_type_settled_and_pending(database):
    one, two = database.connect(), database.connect()
    fill(one)
    one.execute("VACUUM t")
    one.execute("DELETE FROM t WHERE i < 10")
    marks = ", ".join("?" for _ in TYPES)
    one.executemany(f"INSERT INTO t VALUES ({marks})", [every_type(n) for n in range(60, 70)])
    assert statistics(two) is None
    before = rows(two, "SELECT * FROM t ORDER BY i")
    one.execute("ANALYZE")
    found = statistics(two)
    assert found.keys() == TYPES.keys()
    assert {figures.rows for figures in found.values()} == {60}
    distinct = {name: round(figures.distinct) for name, figures in found.items()}
    expected = {
        "b": 2, "s": 7, "i": 60, "l": 60, "m": 60, "w": 60, "r": 4, "f": 4, "t": 11, "o": 5,
        "d": 3, "c": 24, "p": 60, "u": 9, "n": 0,
    }  # fmt: skip
    assert {name: distinct[name] for name in expected} == expected
    assert [found[name].nulls for name in ("n", "t", "j", "v")] == [60, 0, 0, 0]
    assert repr(rows(two, "SELECT * FROM t ORDER BY i")) == repr(before)
    check_ok(one)
    check_ok(two)


def test_of_some_columns_and_again(database):
    one, two = database.connect(), database.connect()
    fill(one, count=20)
    assert one.execute("ANALYZE t (i, s)").rowcount == -1
    assert statistics(two).keys() == {"i", "s"}
    first = state(two).manifest.analysis
    one.execute("DELETE FROM t WHERE i >= 15")
    one.execute('ANALYZE public.T ("T", S)')
    found = statistics(two)
    assert {name: figures.rows for name, figures in found.items()} == {"i": 20, "s": 15, "t": 15}
    second = state(two).manifest.analysis
    assert second.segment != first.segment
    # Its predecessor is gone from the store, and the size never depends on what was analysed.
    assert second.pages == first.pages == 19
    with database.kind.raw(database.url) as raw:
        held = {key[-1] >> 32 for key in raw_pages(raw).rows}
    assert second.segment in held
    assert first.segment not in held
    check_ok(one)


def test_what_is_refused(database):
    connection = database.connect()
    fill(connection, count=3)
    refused("E_UNKNOWN_TABLE", connection.execute, "ANALYZE nowhere")
    refused("E_UNKNOWN_COLUMN", connection.execute, "ANALYZE t (i, nothing)")
    refused("E_DUPLICATE_NAME", connection.execute, "ANALYZE t (i, I)")
    refused("E_NOT_SUPPORTED", connection.execute, "ANALYZE VERBOSE t")
    refused("E_NOT_SUPPORTED", connection.execute, "ANALYZE (VERBOSE) t")
    refused("E_SYNTAX", connection.execute, "ANALYZE t ()")
    refused("E_SYNTAX", connection.execute, "ANALYZE t, t")
    refused("E_SYNTAX", connection.execute, "ANALYZE t (i) x")
    connection.execute("BEGIN")
    refused("E_NOT_SUPPORTED", connection.execute, "ANALYZE t")
    connection.execute("ROLLBACK")
    assert statistics(connection) is None


def test_other_names_in_the_driver(database):
    """It commits alone, so a connection without autocommit opens no transaction for it."""
    connection = database.connect(autocommit=False)
    connection.execute("CREATE TABLE t (a INT)")
    connection.execute("ANALYZE t")
    assert not connection.in_transaction
    assert statistics(connection)["a"].rows == 0


@pytest.mark.parametrize("count", [0, 1])
def test_empty_tables_and_tables_without_rows_left(database, count):
    connection = database.connect()
    fill(connection, count=count)
    connection.execute("DELETE FROM t")
    connection.execute("ANALYZE t")
    assert {figures.rows for figures in statistics(connection).values()} == {0}
    assert rows(connection, "SELECT count(*) FROM t WHERE i = 1") == [(0,)]
    connection.execute("INSERT INTO t (i) VALUES (1)")
    assert rows(connection, "SELECT i FROM t WHERE i = 1") == [(1,)]
    check_ok(connection)


@pytest.mark.every_store
def test_statistics_outlive_merges_and_go_with_the_table(database):
    one, two = database.connect(), database.connect()
    fill(one, count=30)
    one.execute("ANALYZE t")
    kept = state(one).manifest.analysis
    marks = ", ".join("?" for _ in TYPES)
    two.executemany(f"INSERT INTO t VALUES ({marks})", [every_type(n) for n in range(30, 40)])
    two.execute("CREATE INDEX ON t USING range (i)")
    two.execute("VACUUM t")
    assert rows(one, "SELECT count(*) FROM t WHERE i > 33") == [(6,)]
    assert state(one).manifest.analysis == state(two).manifest.analysis == kept
    assert statistics(one)["i"].rows == 30
    two.execute("DROP TABLE t")
    fill(two, count=5)
    assert statistics(one) is None
    check_ok(one)


def test_a_transaction_goes_on_over_an_analysis(database):
    one, two = database.connect(), database.connect()
    fill(one, count=5)
    one.execute("BEGIN")
    one.execute("DELETE FROM t WHERE i = 1")
    one.execute("INSERT INTO t (i) VALUES (77)")
    two.execute("ANALYZE t")
    one.execute("COMMIT")
    assert rows(two, "SELECT i FROM t ORDER BY i") == [(0,), (2,), (3,), (4,), (77,)]
    assert statistics(one)["i"].rows == 5


@pytest.mark.every_store
@pytest.mark.parametrize("statement", ["ANALYZE t", "VACUUM t"])
def test_a_writer_that_was_idle_for_days_goes_on(database, monkeypatch, statement):
    """The store forgets its end when a manifest changes, though this one folds nothing and knows it still."""
    shift, real = 0.0, time.time
    monkeypatch.setattr(time, "time", lambda: real() + shift)
    idle, busy = database.connect(), database.connect()
    idle.execute("CREATE TABLE t (a INT)")
    idle.execute("CREATE INDEX ON t USING range (a)")
    idle.execute("INSERT INTO t VALUES (1)")
    busy.execute("VACUUM t")
    shift = 9 * 86_400.0
    busy.execute(statement)
    idle.execute("INSERT INTO t VALUES (2)")
    for connection in (idle, busy, database.connect()):
        assert rows(connection, "SELECT count(*) FROM t") == [(2,)]
        check_ok(connection)


def test_rows_are_read_once_however_often_the_commit_is_repeated(database, monkeypatch):
    """Another connection commits a merge in between; claims do not stop a store that ignores them."""
    one, two = database.connect(), database.connect()
    fill(one, count=40)
    real, calls = analyze.count_values, []

    def counting(view, columns):
        calls.append(len(columns))
        if len(calls) == 1:
            two.execute("CREATE INDEX ON t USING equality (s)")
        return real(view, columns)

    monkeypatch.setattr("proxy.maintenance.count_values", counting)
    one.execute("ANALYZE t")
    assert calls == [len(TYPES)]
    assert statistics(two)["s"].rows == 40
    check_ok(one)


def test_pieces_and_columns_at_a_time(database, monkeypatch):
    connection = database.connect()
    fill(connection, count=50)
    connection.execute("VACUUM t")
    connection.execute("DELETE FROM t WHERE i % 5 = 0")
    connection.execute("ANALYZE t")
    expected = statistics(connection)
    monkeypatch.setattr(analyze, "PIECE_ROWS", 7)
    monkeypatch.setattr(analyze, "TOGETHER", 3)
    connection.execute("ANALYZE t")
    found = statistics(connection)
    assert found.keys() == expected.keys()
    for name, figures in found.items():
        assert (figures.rows, figures.nulls) == (40, expected[name].nulls)
        assert figures.bounds.tolist() == expected[name].bounds.tolist()
        assert sorted(figures.words.tolist()) == sorted(expected[name].words.tolist())


@pytest.mark.parametrize("damage", ["flip", "swap", "delete", "replay"])
def test_a_store_that_changes_them(database, damage):
    one = database.connect()
    fill(one, count=30)
    one.execute("CREATE INDEX ON t USING equality (i)")
    one.execute("ANALYZE t")
    old = state(one).manifest.analysis
    with database.kind.raw(database.url) as raw:
        pages = raw_pages(raw)
        kept = {key[-1] & 0xFFFFFFFF: key for key in pages.rows if key[-1] >> 32 == old.segment}
        before = {number: raw_blob(pages, key) for number, key in kept.items()}
    if damage == "replay":
        one.execute("DELETE FROM t WHERE i < 5")
        one.execute("ANALYZE t")
    segment = state(one).manifest.analysis.segment
    one.close()
    with database.kind.raw(database.url) as raw:
        pages = raw_pages(raw)
        keys = {key[-1] & 0xFFFFFFFF: key for key in pages.rows if key[-1] >> 32 == segment}
        if damage == "delete":
            raw.delete(pages, keys[3])
        else:
            page = raw_blob(pages, keys[3])
            bad = {
                "flip": bytes([page[9] ^ 4]).join((page[:9], page[10:])),
                "swap": raw_blob(pages, keys[4]),
                "replay": before[3],
            }[damage]
            raw.change(pages, keys[3], "blob", bad)
    two = database.connect()
    with pytest.raises(TamperError):
        statistics(two)
    from proxy.check import check

    report = check(database.connect().session)
    assert any("statistics" in problem or "page" in problem for problem in report.problems)


def raw_pages(raw):
    """The pages of the only table of an SQLite store."""
    (name,) = (name for name in raw.names() if name.startswith("pages_"))
    return raw.relation(name)


def raw_blob(pages, key):
    return bytes(pages.values(pages.rows[key])["blob"])


def test_copies_have_the_same_statistics(database, tmp_path):
    from encdb.__main__ import main

    one = database.connect()
    fill(one, count=10)
    one.execute("ANALYZE t")
    target = str(tmp_path / "copy.db")
    assert main(["copy", database.url, target]) == 0
    other = encdb.connect(target, keyring=database.keyring, pin=False)
    try:
        assert {figures.rows for figures in statistics(other).values()} == {10}
        check_ok(other)
    finally:
        other.close()


def test_the_manifest_says_that_it_is_a_segment_of_its_kind(database):
    connection = database.connect()
    fill(connection, count=3)
    assert state(connection).manifest.analysis is None
    connection.execute("ANALYZE t (n)")
    assert state(connection).manifest.analysis.kind == STATISTICS
