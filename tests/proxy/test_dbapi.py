"""The driver is a PEP 249 driver, and every Python type makes the round trip."""

from __future__ import annotations

import datetime as dt
import math
import threading
import uuid
from collections import OrderedDict
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

import encdb
from tests.fixtures.databases import Database, check_ok, refused, rows

pytestmark = [pytest.mark.every_store, pytest.mark.sampled(2)]

ZONE = dt.timezone(dt.timedelta(hours=2))
MOMENT = dt.datetime(2024, 2, 29, 23, 59, 59, 999999)

VALUES: list[tuple[str, list[Any]]] = [
    ("BOOLEAN", [True, False]),
    ("SMALLINT", [-32768, 32767, 0]),
    ("INTEGER", [-(2**31), 2**31 - 1]),
    ("BIGINT", [-(2**63), 2**63 - 1, 7]),
    ("DECIMAL(38,0)", [Decimal(10**38 - 1), Decimal(-(10**38) + 1)]),
    ("DECIMAL(9,2)", [Decimal("1.50"), Decimal("-0.01"), Decimal("9999999.99")]),
    ("DECIMAL(38,38)", [Decimal("0." + "9" * 38), Decimal("-0." + "0" * 37 + "1")]),
    ("REAL", [1.5, -0.25, math.inf]),
    ("DOUBLE PRECISION", [0.1, 5e-324, 1.7976931348623157e308, -math.inf]),
    ("TEXT", ["", "a", "O'Brien", "äß😀\U0010ffff", "line\nline\ttab", "x" * 100_000]),
    ("VARCHAR(3)", ["äß😀", ""]),
    ("BYTEA", [b"", b"\0\xff", bytes(range(256)) * 300]),
    ("DATE", [dt.date(1, 1, 1), dt.date(9999, 12, 31), dt.date(2024, 2, 29)]),
    ("TIME", [dt.time(0), dt.time(23, 59, 59, 999999)]),
    ("TIMESTAMP", [MOMENT, dt.datetime.min, dt.datetime.max]),
    ("TIMESTAMP WITH TIME ZONE", [MOMENT.replace(tzinfo=dt.UTC)]),
    ("UUID", [uuid.UUID(int=0), uuid.UUID(int=2**128 - 1)]),
    ("JSON", ['{"a": [1, 2, null]}', "null", '"x"']),
    ("INTERVAL", [dt.timedelta(days=3, seconds=7, microseconds=5), dt.timedelta(days=-1)]),
]


@pytest.fixture
def table(connection: Any) -> Any:
    """A connection with a small table."""
    connection.execute("CREATE TABLE t (id BIGINT PRIMARY KEY, name TEXT, price DECIMAL(9,2))")
    connection.executemany(
        "INSERT INTO t VALUES (?, ?, ?)", [(1, "a", "1.50"), (2, "b", None), (3, None, 2)]
    )
    return connection


# --- Types ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "values"), VALUES, ids=[kind for kind, _ in VALUES])
@pytest.mark.parametrize("settled", [False, True], ids=["pending", "settled"])
def test_every_type_makes_the_round_trip(database: Database, kind, values, settled):
    connection = database.connect()
    connection.execute(f"CREATE TABLE t (n INT, v {kind})")
    given = [*values, None]
    connection.executemany("INSERT INTO t VALUES (?, ?)", list(enumerate(given)))
    if settled:
        connection.execute("VACUUM t")
    found = [value for (value,) in database.ask("SELECT v FROM t ORDER BY n")]
    assert found == given
    assert [type(value) for value in found] == [type(value) for value in given]
    check_ok(connection)


@pytest.mark.parametrize(("kind", "values"), VALUES, ids=[kind for kind, _ in VALUES])
def test_every_type_is_found_by_its_value(connection, kind, values):
    connection.execute(f"CREATE TABLE t (n INT, v {kind})")
    connection.executemany("INSERT INTO t VALUES (?, ?)", list(enumerate(values)))
    if kind in ("JSON", "INTERVAL"):
        refused("E_INDEX_TYPE", connection.execute, "CREATE INDEX ON t USING equality (v)")
        return
    connection.execute("CREATE INDEX ON t USING equality (v)")
    connection.execute("CREATE INDEX ON t USING range (v)") if kind != "BOOLEAN" else None
    for number, value in enumerate(values):
        assert rows(connection, "SELECT n FROM t WHERE v = ?", (value,)) == [(number,)]
        assert rows(connection, "SELECT n, v FROM t WHERE v = ?", (value,)) == [(number, value)]
        assert (number,) in rows(connection, "SELECT n FROM t WHERE v >= ?", (value,))


def test_nan_and_negative_zero_keep_their_meaning(connection):
    connection.execute("CREATE TABLE t (v DOUBLE PRECISION)")
    connection.executemany("INSERT INTO t VALUES (?)", [(math.nan,), (-0.0,), (1.0,)])
    for _ in range(2):
        (nan,) = rows(connection, "SELECT v FROM t WHERE v = ?", (math.nan,))
        assert math.isnan(nan[0])
        assert rows(connection, "SELECT v FROM t WHERE v = 0") == [(0.0,)]
        assert rows(connection, "SELECT count(*) FROM t WHERE v > 1e308") == [(1,)]
        connection.execute("CREATE INDEX IF NOT EXISTS i ON t USING equality (v)")


def test_values_are_coerced_as_on_assignment(connection):
    connection.execute(
        "CREATE TABLE t (i INT, d DECIMAL(5,2), f DOUBLE PRECISION, s TEXT, day DATE, "
        "at TIMESTAMP WITH TIME ZONE, u UUID, b BOOLEAN, j JSON)"
    )
    given = (
        "7",
        1.005,
        1,
        12,
        "2024-02-29",
        MOMENT.replace(tzinfo=ZONE),
        "0" * 32,
        "yes",
        {"a": 1},
    )
    connection.execute("INSERT INTO t VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", given)
    (found,) = rows(connection, "SELECT * FROM t")
    assert found[:4] == (7, Decimal("1.01"), 1.0, "12")
    assert found[4:6] == (dt.date(2024, 2, 29), MOMENT.replace(tzinfo=ZONE).astimezone(dt.UTC))
    assert found[5].utcoffset() == dt.timedelta(0)
    assert found[6:8] == (uuid.UUID(int=0), True)
    assert found[8].replace(" ", "") == '{"a":1}'


@pytest.mark.parametrize(
    ("kind", "value", "code"),
    [
        ("SMALLINT", 32768, "E_OUT_OF_RANGE"),
        ("BIGINT", 2**63, "E_OUT_OF_RANGE"),
        ("DECIMAL(5,2)", Decimal(1000), "E_OUT_OF_RANGE"),
        ("DECIMAL(5,2)", math.nan, "E_OUT_OF_RANGE"),
        ("REAL", 1e39, "E_OUT_OF_RANGE"),
        ("VARCHAR(2)", "abc", "E_TOO_LONG"),
        ("TEXT", "a\0b", "E_INVALID_VALUE"),
        ("TEXT", "\ud800", "E_INVALID_VALUE"),
        ("INT", "x", "E_INVALID_VALUE"),
        ("DATE", "2023-02-29", "E_INVALID_VALUE"),
        ("UUID", "123", "E_INVALID_VALUE"),
        ("JSON", "{", "E_INVALID_VALUE"),
        ("INT", b"1", "E_TYPE_MISMATCH"),
        ("BOOLEAN", 1, "E_TYPE_MISMATCH"),
        ("DATE", 5, "E_TYPE_MISMATCH"),
        ("INT", object(), "E_TYPE_MISMATCH"),
    ],
)
def test_values_that_do_not_fit_are_refused_without_being_shown(connection, kind, value, code):
    connection.execute(f"CREATE TABLE t (secret {kind})")
    error = refused(code, connection.execute, "INSERT INTO t VALUES (?)", (value,))
    assert "secret" in str(error)
    assert repr(value) not in str(error)
    assert rows(connection, "SELECT count(*) FROM t") == [(0,)]
    refused(code, connection.executemany, "INSERT INTO t VALUES (?)", [(None,), (value,)])
    assert rows(connection, "SELECT count(*) FROM t") == [(0,)]


# --- Cursors ----------------------------------------------------------------------------------------


def test_description_and_rowcount(table):
    cursor = table.cursor()
    assert cursor.description is None
    assert cursor.rowcount == -1
    cursor.execute("SELECT id, name AS label, price, count(*) OVER () AS n, 1.5 FROM t")
    described = cursor.description
    assert [one[0] for one in described] == ["id", "label", "price", "n", "?column?"]
    assert [one[1] for one in described[:4]] == ["BIGINT", "TEXT", "DECIMAL(9,2)", "BIGINT"]
    assert all(len(one) == 7 for one in described)
    assert described[0][1] == encdb.NUMBER
    assert described[1][1] == encdb.STRING
    assert cursor.rowcount == 3
    cursor.execute("INSERT INTO t VALUES (4, 'd', 4), (5, 'e', 5)")
    assert (cursor.description, cursor.rowcount) == (None, 2)
    assert cursor.execute("UPDATE t SET price = 0 WHERE id > 3").rowcount == 2
    assert cursor.execute("DELETE FROM t WHERE id = 4").rowcount == 1
    assert cursor.execute("DELETE FROM t WHERE id = 4").rowcount == 0
    assert cursor.execute("CREATE TABLE other (a INT)").rowcount == -1
    assert (
        cursor.executemany("UPDATE t SET price = ? WHERE id = ?", [(1, 1), (2, 2), (3, 9)]).rowcount
        == 2
    )


def test_rows_are_fetched_in_pieces(table):
    cursor = table.cursor()
    cursor.execute("SELECT id FROM t ORDER BY id")
    assert cursor.fetchone() == (1,)
    assert cursor.fetchmany() == [(2,)]
    cursor.arraysize = 5
    assert cursor.fetchmany() == [(3,)]
    assert cursor.fetchmany(2) == []
    assert cursor.fetchone() is None
    assert cursor.fetchone() is None
    assert cursor.fetchall() == []
    cursor.execute("SELECT id FROM t WHERE id > 1 ORDER BY id")
    assert list(cursor) == [(2,), (3,)]
    assert cursor.execute("SELECT id FROM t WHERE id > 9").fetchall() == []
    assert cursor.execute("SELECT id FROM t ORDER BY id").fetchmany(0) == []
    assert cursor.fetchmany(99) == [(1,), (2,), (3,)]


def test_a_result_is_an_arrow_table_too(table):
    found = table.execute("SELECT id, name FROM t ORDER BY id").fetch_arrow_table()
    assert isinstance(found, pa.Table)
    assert found.schema.field("id").type == pa.int64()
    assert found.to_pydict() == {"id": [1, 2, 3], "name": ["a", "b", None]}


def test_returning_is_a_result(table):
    cursor = table.execute("INSERT INTO t VALUES (4, 'x', 1) RETURNING id, name || '!' AS n")
    assert (cursor.fetchall(), cursor.rowcount) == ([(4, "x!")], 1)
    cursor = table.execute("UPDATE t SET price = price * 2 WHERE id IN (1, 4) RETURNING id, price")
    assert sorted(cursor.fetchall()) == [(1, Decimal("3.00")), (4, Decimal("2.00"))]
    assert table.execute("DELETE FROM t WHERE id = 4 RETURNING *").fetchall() == [
        (4, "x", Decimal("2.00"))
    ]
    assert table.execute("DELETE FROM t WHERE id = 4 RETURNING *").fetchall() == []


def test_there_is_nothing_to_fetch_without_a_result(table):
    cursor = table.cursor()
    for fetch in (cursor.fetchone, cursor.fetchall, cursor.fetchmany, cursor.fetch_arrow_table):
        refused("E_NO_RESULT", fetch)
    cursor.execute("SELECT 1")
    cursor.execute("DELETE FROM t WHERE id = 99")
    refused("E_NO_RESULT", cursor.fetchone)
    cursor.execute("SELECT 1")
    refused("E_SYNTAX", cursor.execute, "SELEKT 1")
    refused("E_NO_RESULT", cursor.fetchall)
    assert cursor.description is None


def test_a_closed_cursor_refuses_everything(table):
    cursor = table.execute("SELECT 1")
    cursor.close()
    cursor.close()
    with pytest.raises(encdb.InterfaceError):
        cursor.execute("SELECT 1")
    with pytest.raises(encdb.InterfaceError):
        cursor.fetchone()
    with pytest.raises(encdb.InterfaceError):
        cursor.executemany("SELECT 1", [])
    with table.cursor() as other:
        other.execute("SELECT 1")
    with pytest.raises(encdb.InterfaceError):
        other.execute("SELECT 1")


def test_a_closed_connection_refuses_everything(database: Database):
    connection = database.connect()
    cursor = connection.execute("SELECT 1")
    connection.close()
    connection.close()
    for run in (connection.cursor, connection.commit, connection.rollback):
        assert isinstance(refused("E_CLOSED", run), encdb.InterfaceError)
    refused("E_CLOSED", connection.execute, "SELECT 1")
    refused("E_CLOSED", cursor.execute, "SELECT 1")
    database.opened.remove(connection)


def test_cursors_keep_their_own_results(table):
    one, other = table.cursor(), table.cursor()
    one.execute("SELECT id FROM t ORDER BY id")
    other.execute("DELETE FROM t")
    assert one.fetchall() == [(1,), (2,), (3,)]
    assert one.connection is table


def test_sizes_are_accepted_and_ignored(table):
    cursor = table.cursor()
    cursor.setinputsizes([None, 5])
    cursor.setoutputsize(10)
    cursor.setoutputsize(10, 1)


# --- Parameters -------------------------------------------------------------------------------------


def test_both_styles_of_parameters(table):
    assert rows(table, "SELECT name FROM t WHERE id = ? AND name = ?", (1, "a")) == [("a",)]
    assert rows(table, "SELECT name FROM t WHERE name = $2 AND id = $1", (1, "a")) == [("a",)]
    assert rows(table, "SELECT id FROM t WHERE id = $1 OR id = $1 + 1 ORDER BY id", (1,)) == [
        (1,),
        (2,),
    ]
    assert rows(table, "SELECT '?', id FROM t WHERE id = ?", [2]) == [("?", 2)]
    assert rows(table, "SELECT id FROM t WHERE name = ?", (None,)) == []
    assert rows(table, "SELECT id FROM t ORDER BY id LIMIT ? OFFSET ?", (1, 1)) == [(2,)]


@pytest.mark.parametrize(
    ("sql", "parameters"),
    [
        ("SELECT id FROM t WHERE id = ?", ()),
        ("SELECT id FROM t WHERE id = ?", (1, 2)),
        ("SELECT id FROM t", (1,)),
        ("SELECT id FROM t WHERE id = $2", (1,)),
        ("INSERT INTO t VALUES (?, ?, ?)", (1, 2)),
        ("SELECT id FROM t WHERE id = ?", "1"),
        ("SELECT id FROM t WHERE id = ?", b"1"),
        ("SELECT id FROM t WHERE id = ?", 1),
        ("SELECT id FROM t WHERE id = ?", None),
        ("SELECT id FROM t WHERE id = ?", {"id": 1}),
        ("SELECT id FROM t WHERE id = ?", {1}),
        ("SELECT id FROM t WHERE id = ?", OrderedDict(a=1)),
        ("SELECT id FROM t WHERE id = ?", (object(),)),
    ],
)
def test_wrong_parameters_are_refused(table, sql, parameters):
    error = refused("E_PARAMETERS", table.execute, sql, parameters)
    assert isinstance(error, encdb.ProgrammingError)


def test_executemany_checks_every_row_of_parameters(table):
    insert = "INSERT INTO t VALUES (?, ?, ?)"
    refused("E_PARAMETERS", table.executemany, insert, [(7, "x", 1), (8, "y")])
    refused("E_PARAMETERS", table.executemany, insert, [(7, "x", 1), "abc"])
    assert rows(table, "SELECT count(*) FROM t") == [(3,)]
    assert table.executemany(insert, []).rowcount == 0
    assert table.executemany(insert, ((n, "g", 1) for n in range(10, 13))).rowcount == 3
    assert table.executemany("DELETE FROM t WHERE id = ?", [(10,), (11,), (99,)]).rowcount == 2
    assert rows(table, "SELECT count(*) FROM t") == [(4,)]


def test_values_never_become_sql(table):
    text = "x'); DROP TABLE t; --"
    table.execute("INSERT INTO t VALUES (?, ?, ?)", (9, text, None))
    assert rows(table, "SELECT name FROM t WHERE name = ?", (text,)) == [(text,)]


def test_parameters_are_compared_in_their_own_type(table):
    assert rows(table, "SELECT id FROM t WHERE id = ?", (1.0,)) == [(1,)]
    assert rows(table, "SELECT id FROM t WHERE id = ?", (Decimal("1.5"),)) == []
    assert rows(table, "SELECT id FROM t WHERE id < ?", (1.5,)) == [(1,)]
    assert rows(table, "SELECT id FROM t WHERE id = ?", ("1",)) == [(1,)]
    assert rows(table, "SELECT id FROM t WHERE id = ?", (2**64,)) == []
    assert rows(table, "SELECT id FROM t WHERE id < ? ORDER BY id", (2**64,)) == [(1,), (2,), (3,)]


# --- Errors -----------------------------------------------------------------------------------------


def test_the_tree_of_exceptions_is_that_of_pep_249():
    assert issubclass(encdb.Warning, Exception)
    assert issubclass(encdb.InterfaceError, encdb.Error)
    assert issubclass(encdb.DatabaseError, encdb.Error)
    for name in ("Data", "Operational", "Integrity", "Internal", "Programming", "NotSupported"):
        kind = getattr(encdb, f"{name}Error")
        assert issubclass(kind, encdb.DatabaseError)
        assert getattr(encdb.Connection, f"{name}Error") is kind
    assert issubclass(encdb.ConflictError, encdb.OperationalError)
    assert issubclass(encdb.TamperError, encdb.DatabaseError)


@pytest.mark.parametrize(
    ("sql", "kind", "code", "sqlstate"),
    [
        ("SELEKT 1", "ProgrammingError", "E_SYNTAX", "42601"),
        ("", "ProgrammingError", "E_STATEMENT_COUNT", None),
        ("SELECT 1; SELECT 2", "ProgrammingError", "E_STATEMENT_COUNT", None),
        ("SELECT * FROM tt", "ProgrammingError", "E_UNKNOWN_TABLE", "42P01"),
        ("SELECT nam FROM t", "ProgrammingError", "E_UNKNOWN_COLUMN", "42703"),
        ("SELECT uper(name) FROM t", "ProgrammingError", "E_UNKNOWN_FUNCTION", "42883"),
        ("INSERT INTO t VALUES (1, 'x', 1)", "IntegrityError", "E_DUPLICATE_KEY", "23505"),
        ("INSERT INTO t (name) VALUES ('x')", "IntegrityError", "E_NOT_NULL", "23502"),
        ("SELECT id / (id - 1) FROM t", "DataError", "E_DIVISION_BY_ZERO", "22012"),
        ("SELECT CAST(name AS INT) FROM t", "DataError", "E_INVALID_VALUE", "22P02"),
        ("SELECT * FROM t FOR UPDATE", "NotSupportedError", "E_NOT_SUPPORTED", "0A000"),
        ("COPY t TO 'x.csv'", "NotSupportedError", "E_NOT_SUPPORTED", "0A000"),
        ("SELECT * FROM read_csv('/etc/passwd')", "ProgrammingError", "E_UNKNOWN_FUNCTION", None),
        ("ATTACH 'x.db'", "NotSupportedError", "E_NOT_SUPPORTED", "0A000"),
    ],
)
def test_errors_have_class_code_and_state(table, sql, kind, code, sqlstate):
    error = refused(code, table.execute, sql)
    assert isinstance(error, getattr(encdb, kind))
    if sqlstate:
        assert error.sqlstate == sqlstate
    assert rows(table, "SELECT count(*) FROM t") == [(3,)]


def test_errors_suggest_what_was_meant(table):
    assert "name" in str(refused("E_UNKNOWN_COLUMN", table.execute, "SELECT nmae FROM t"))
    table.execute("CREATE TABLE people (a INT)")
    assert "people" in str(refused("E_UNKNOWN_TABLE", table.execute, "SELECT * FROM peopel"))


def test_a_connection_is_usable_after_every_error(table):
    for _ in range(3):
        refused("E_DUPLICATE_KEY", table.execute, "INSERT INTO t VALUES (1, 'x', 1)")
        refused("E_UNKNOWN_TABLE", table.execute, "SELECT * FROM nothing")
        assert rows(table, "SELECT count(*) FROM t") == [(3,)]
    check_ok(table)


# --- Connections ------------------------------------------------------------------------------------


def test_module_constants():
    assert (encdb.apilevel, encdb.paramstyle) == ("2.0", "qmark")
    assert encdb.threadsafety in (1, 2)


def test_each_thread_may_have_its_connection(database: Database):
    database.connect().execute("CREATE TABLE t (n BIGINT PRIMARY KEY, who TEXT)")
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            with encdb.connect(database.url, keyring=database.keyring) as own:
                for place in range(8):
                    own.execute("INSERT INTO t VALUES (?, ?)", (number * 100 + place, f"w{number}"))
                    assert rows(own, "SELECT count(*) FROM t WHERE who = ?", (f"w{number}",)) == [
                        (place + 1,)
                    ]
        except BaseException as error:  # noqa: BLE001 - it is raised again below.
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert database.ask("SELECT count(*), count(DISTINCT who) FROM t") == [(32, 4)]


def test_a_connection_sees_what_others_commit(database: Database):
    one, other = database.connect(), database.connect()
    one.execute("CREATE TABLE t (a INT)")
    for number in range(5):
        one.execute("INSERT INTO t VALUES (?)", (number,))
        assert rows(other, "SELECT count(*) FROM t") == [(number + 1,)]
    other.execute("DELETE FROM t")
    assert rows(one, "SELECT count(*) FROM t") == [(0,)]


def test_a_statement_can_be_interrupted(connection):
    timer = threading.Timer(0.3, connection.session.interrupt)
    timer.start()
    sql = "SELECT count(*) FROM generate_series(1, 100000) a, generate_series(1, 1000000) b WHERE a + b = 7"
    try:
        refused("E_INTERRUPTED", connection.execute, sql)
    finally:
        timer.cancel()
    assert rows(connection, "SELECT 1") == [(1,)]
