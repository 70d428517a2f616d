"""The local engine: answers, types, parameters, lock-down, errors without values, plan reuse."""

import datetime as dt
import decimal
import gc
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
import uuid
import warnings

import duckdb
import pyarrow as pa
import pytest

from encdb.errors import (
    DataError,
    EncdbError,
    InternalError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
)
from indexes.types import ColumnType
from proxy.execute import local
from proxy.execute.exchange import engine_table
from proxy.execute.local import LocalEngine
from proxy.values import result_columns, to_arrow, to_python

D = decimal.Decimal


@pytest.fixture
def engine():
    one = LocalEngine()
    yield one
    one.close()


def rows(engine, sql, tables=None, parameters=()):
    return to_python(engine.run(sql, tables or {}, parameters))


def numbers(count=10):
    return pa.table({"id": pa.array(range(count)), "name": [f"n{i}" for i in range(count)]})


def test_answers_a_query_and_reuses_its_plan(engine):
    for _ in range(3):
        assert rows(engine, "SELECT sum(id) FROM t", {"t": numbers()}) == [(45,)]
    assert rows(engine, "SELECT sum(id) FROM t", {"t": numbers(3)}) == [(3,)]
    instance = engine._instances[1]
    assert list(instance._plans) == ["SELECT sum(id) FROM t"]


def test_a_plan_is_made_again_when_columns_change(engine):
    sql = "SELECT * FROM t"
    assert rows(engine, sql, {"t": pa.table({"a": [1]})}) == [(1,)]
    assert rows(engine, sql, {"t": pa.table({"a": ["x"]})}) == [("x",)]
    assert rows(engine, sql, {"t": pa.table({"a": [1], "b": [2]})}) == [(1, 2)]


def test_plans_do_not_see_each_others_tables(engine):
    rows(engine, "SELECT * FROM secret", {"secret": pa.table({"a": [1]})})
    with pytest.raises(ProgrammingError) as caught:
        rows(engine, "SELECT * FROM secret")
    assert caught.value.code == "E_UNKNOWN_TABLE"


def test_rows_are_let_go_after_each_run(engine):
    rows(engine, "SELECT * FROM t", {"t": numbers()})
    (plan,) = engine._instances[1]._plans.values()
    assert plan.sources["t"].rows is None
    with pytest.raises(InternalError):
        plan.sources["t"].__arrow_c_stream__()


def test_many_plans_stay_bounded(engine, monkeypatch):
    monkeypatch.setattr(local, "PLANS", 4)
    for number in range(20):
        assert rows(engine, f"SELECT {number}") == [(number,)]
    assert len(engine._instances[1]._plans) == 4


@pytest.mark.parametrize(
    "name", ['we"ird', "Ünïcode", "select", "a.b", "x" * 200, "o'x;--", "line\nbreak", "t t"]
)
def test_tables_may_have_any_name(engine, name):
    quoted = '"' + name.replace('"', '""') + '"'
    assert rows(engine, f"SELECT count(*) FROM {quoted}", {name: numbers()}) == [(10,)]


def test_a_table_of_which_no_column_is_needed_keeps_its_rows(engine):
    sql = "SELECT count(*) FROM t"
    assert rows(engine, sql, {"t": numbers(7).select([])}) == [(7,)]
    assert rows(engine, sql, {"t": engine_table([], [], 5)}) == [(5,)]
    assert rows(engine, sql, {"t": engine_table([], [], 0)}) == [(0,)]


EVERY_TYPE = [
    ("BOOLEAN", True),
    ("SMALLINT", -5),
    ("INTEGER", 2**31 - 1),
    ("BIGINT", -(2**63)),
    ("DECIMAL(10,2)", D("12.30")),
    ("DECIMAL(38,10)", D("1234567890123456789012345678.0123456789")),
    ("REAL", 0.5),
    ("DOUBLE", -0.1),
    ("TEXT", "zoë 'x'"),
    ("BLOB", b"\x00\xff"),
    ("DATE", dt.date(2024, 2, 29)),
    ("TIME", dt.time(1, 2, 3, 4)),
    ("TIMESTAMP", dt.datetime(2024, 2, 29, 1, 2, 3, 4)),
    ("TIMESTAMP WITH TIME ZONE", dt.datetime(2024, 2, 29, 1, 2, 3, 4, tzinfo=dt.UTC)),
    ("UUID", uuid.UUID(int=2**127 + 5)),
    ("JSON", '{"a": [1, 2]}'),
    ("INTERVAL", dt.timedelta(days=3, microseconds=5)),
]


@pytest.mark.parametrize(("name", "value"), EVERY_TYPE)
def test_every_column_type_goes_in_and_comes_out(engine, name, value):
    kind = ColumnType.parse(name)
    batch = to_arrow([(value,), (None,)], [("c", kind)])
    table = engine_table([("c", kind)], list(batch.columns), 2)
    result = engine.run("SELECT c, typeof(c) AS t FROM t", {"t": table})
    spelling = {"TEXT": "VARCHAR", "REAL": "FLOAT"}.get(name, name)
    assert to_python(result) == [(value, spelling), (None, spelling)]
    assert result_columns(result)[0] == ("c", name)


@pytest.mark.parametrize(("name", "value"), EVERY_TYPE)
def test_every_column_type_is_a_parameter(engine, name, value):
    if name == "JSON":
        return
    kind = ColumnType.parse(name)
    batch = to_arrow([(value,)], [("c", kind)])
    table = engine_table([("c", kind)], list(batch.columns), 1)
    sql = "SELECT count(*) FROM t WHERE c = $1"
    assert rows(engine, sql, {"t": table}, [value]) == [(1,)]
    assert rows(engine, sql, {"t": table}, [None]) == [(0,)]


def test_raw_uuid_columns_are_uuids(engine):
    value = uuid.UUID(int=77)
    table = pa.table({"u": pa.array([value.bytes, None], pa.binary(16))})
    assert rows(engine, "SELECT u FROM t WHERE u = $1", {"t": table}, [value]) == [(value,)]
    assert rows(engine, "SELECT u::TEXT FROM t WHERE u IS NOT NULL", {"t": table}) == [
        (str(value),)
    ]


def test_parameters_are_typed(engine):
    moment = dt.datetime(2024, 1, 1, 5, tzinfo=dt.timezone(dt.timedelta(hours=2)))
    for value, kind in [
        (5, "INTEGER"),
        (2**40, "BIGINT"),
        (2**90, "HUGEINT"),
        (-(2**127) + 1, "HUGEINT"),
        (True, "BOOLEAN"),
        (1.5, "DOUBLE"),
        (float("nan"), "DOUBLE"),
        (float("-inf"), "DOUBLE"),
        (D("1.50"), "DECIMAL(3,2)"),
        (D("1E-30"), "DECIMAL(31,30)"),
        (dt.date(2024, 1, 1), "DATE"),
        (dt.datetime(2024, 1, 1), "TIMESTAMP"),
        (moment, "TIMESTAMP WITH TIME ZONE"),
        (dt.time(1, 2), "TIME"),
        (b"\0\xff", "BLOB"),
        (bytearray(b"x"), "BLOB"),
        (uuid.uuid4(), "UUID"),
        (dt.timedelta(1), "INTERVAL"),
        ("text", "VARCHAR"),
        ([1, 2], "INTEGER[]"),
    ]:
        assert rows(engine, "SELECT typeof($1)", parameters=[value]) == [(kind,)], value
    assert rows(engine, "SELECT $1 AS a", parameters=[moment]) == [(moment,)]
    assert rows(engine, "SELECT $1 AS a", parameters=[2**90]) == [(2**90,)]


def test_numpy_scalars_are_parameters(engine):
    numpy = pytest.importorskip("numpy")
    assert rows(engine, "SELECT $1 + $2", parameters=[numpy.int64(2), numpy.float64(0.5)]) == [
        (2.5,)
    ]


def test_text_parameters_take_the_type_of_what_they_are_compared_with(engine):
    table = pa.table({"d": pa.array([dt.date(2024, 1, 1)]), "n": pa.array([5])})
    for column, text in (("d", "2024-01-01"), ("n", "5")):
        sql = f"SELECT count(*) FROM t WHERE {column} = $1"
        assert rows(engine, sql, {"t": table}, [text]) == [(1,)]


def test_unused_parameters_are_ignored_and_missing_ones_told(engine):
    assert rows(engine, "SELECT $2", parameters=["unused", 7]) == [(7,)]
    assert rows(engine, "SELECT 1", parameters=["unused"]) == [(1,)]
    for sql in ("SELECT $2", "SELECT $name"):
        with pytest.raises(ProgrammingError) as caught:
            rows(engine, sql, parameters=[1])
        assert caught.value.code == "E_PARAMETERS"


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (2**130, "E_OUT_OF_RANGE"),
        (D(10) ** 40, "E_OUT_OF_RANGE"),
        (D("NaN"), "E_INVALID_VALUE"),
        ("a\0b", "E_INVALID_VALUE"),
        ("\ud800", "E_INVALID_VALUE"),
        (dt.time(1, tzinfo=dt.UTC), "E_INVALID_VALUE"),
        (object(), "E_PARAMETERS"),
        ({1, 2}, "E_PARAMETERS"),
        ([object()], "E_PARAMETERS"),
    ],
)
def test_parameters_without_meaning_are_refused(engine, value, code):
    with pytest.raises(EncdbError) as caught:
        rows(engine, "SELECT $1", parameters=[value])
    assert caught.value.code == code


def test_parameters_are_never_sql(engine):
    hostile = "'; SELECT 1; --"
    assert rows(engine, "SELECT $1", parameters=[hostile]) == [(hostile,)]


def test_results_have_plain_types(engine):
    result = engine.run(
        "SELECT sum(id) AS s, bool_and(id >= 0) AS b, [id > 5 FOR id IN [1, 9]] AS l, "
        "{'x': true, 'y': NULL} AS st, map {'k': sum(id)} AS m, [sum(id), NULL] AS h, "
        "'x'::ENUM ('x', 'y') AS e, TIMESTAMP_NS '2024-01-01 00:00:00.123456789' AS n, NULL AS z, "
        "NULL::INTEGER[] AS nl "
        "FROM t",
        {"t": numbers()},
    )
    (row,) = to_python(result)
    assert row == (
        45,
        True,
        [False, True],
        {"x": True, "y": None},
        [("k", D(45))],
        [D(45), None],
        "x",
        dt.datetime(2024, 1, 1, 0, 0, 0, 123456),
        None,
        None,
    )
    assert type(row[0]) is int
    assert dict(result_columns(result))["s"] == "HUGEINT"
    assert dict(result_columns(result))["b"] == "BOOLEAN"


@pytest.mark.parametrize("value", [0, 1, -1, 10**38 - 1, -(10**38) + 1, 2**64, -(2**64) - 1])
def test_wide_integers_come_out_whole(engine, value):
    assert rows(engine, f"SELECT ({value})::HUGEINT") == [(value,)]


@pytest.mark.parametrize("value", [10**38, -(10**38), 2**127 - 1, -(2**127) + 1])
def test_integers_beyond_38_digits_are_refused(engine, value):
    with pytest.raises(DataError) as caught:
        rows(engine, f"SELECT x::HUGEINT FROM (VALUES (NULL), ({value})) AS t (x)")
    assert caught.value.code == "E_OUT_OF_RANGE"


def test_types_that_are_not_served_are_named(engine):
    with pytest.raises(NotSupportedError) as caught:
        rows(engine, "SELECT '101'::BIT AS bits")
    assert "bits" in str(caught.value)


def test_follows_postgresql_in_order_division_and_zone(engine):
    assert rows(engine, "SELECT 7 / 2, -7 / 2, 7.0 / 2") == [(3, -3, 3.5)]
    values = "(VALUES (1), (NULL), (2)) AS t (x)"
    assert rows(engine, f"SELECT x FROM {values} ORDER BY x") == [(1,), (2,), (None,)]
    assert rows(engine, f"SELECT x FROM {values} ORDER BY x DESC") == [(None,), (2,), (1,)]
    assert rows(engine, "SELECT TIMESTAMPTZ '2024-01-01 00:00:00+00'::TEXT") == [
        ("2024-01-01 00:00:00+00",)
    ]


def test_json_and_time_zones_are_built_in(engine):
    assert rows(engine, """SELECT '{"a": {"b": 2}}'::JSON -> 'a' ->> 'b'""") == [("2",)]
    assert rows(engine, "SELECT TIMESTAMPTZ '2024-01-31 12:00:00+00' + INTERVAL 1 MONTH") == [
        (dt.datetime(2024, 2, 29, 12, tzinfo=dt.UTC),)
    ]
    assert rows(engine, "SELECT TIMESTAMPTZ '2024-07-01 12:00+00' AT TIME ZONE 'Europe/Paris'") == [
        (dt.datetime(2024, 7, 1, 14),)
    ]
    assert rows(engine, "SELECT date_trunc('day', TIMESTAMPTZ '2024-07-01 12:00+00')") == [
        (dt.datetime(2024, 7, 1, tzinfo=dt.UTC),)
    ]


LOCKED = [
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM read_blob('/etc/passwd')",
    "SELECT * FROM parquet_scan('/etc/passwd')",
    "SELECT * FROM glob('/*')",
    "SELECT * FROM sniff_csv('/etc/passwd')",
    "SELECT * FROM '/etc/passwd'",
    "SELECT getenv('HOME')",
    "SELECT * FROM sql_auto_complete('s')",
    "SELECT * FROM numbers",
    "COPY (SELECT 1) TO 'encdb-leak.csv'",
    "ATTACH 'encdb-leak.db'",
    "EXPORT DATABASE 'encdb-leak'",
    "INSTALL httpfs",
    "LOAD httpfs",
    "CREATE SECRET x (TYPE s3)",
    "SET threads = 4",
    "SET memory_limit = '100GB'",
    "SET VARIABLE a = 1",
    "SET search_path = 'temp'",
    "PRAGMA database_list",
    "CALL pragma_version()",
    "CREATE TABLE x (a INT)",
    "INSERT INTO t VALUES (1, 'x')",
    "DELETE FROM t",
    "DROP VIEW t",
    "CHECKPOINT",
    "SELECT 1; SELECT 2",
    "",
    "BEGIN",
    "PREPARE q AS SELECT 1",
    "EXECUTE p",
]


@pytest.mark.parametrize("sql", LOCKED)
def test_nothing_but_queries_over_the_given_tables(engine, sql):
    with pytest.raises((NotSupportedError, ProgrammingError)):
        rows(engine, sql, {"t": pa.table({"a": [1], "b": ["x"]})})
    assert rows(engine, "SELECT 1") == [(1,)]


def test_settings_are_locked(engine):
    names = "memory_limit, threads, temp_directory, lock_configuration, enable_external_access"
    (row,) = rows(
        LocalEngine(memory_limit=512 << 20),
        "SELECT " + ", ".join(f"current_setting('{one.strip()}')" for one in names.split(",")),
    )
    assert row == ("512.0 MiB", 1, "", True, False)


def test_writes_no_file(tmp_path):
    code = (
        "from proxy.execute.local import LocalEngine\n"
        "import pyarrow as pa\n"
        "e = LocalEngine(memory_limit=64 << 20)\n"
        "t = pa.table({'a': pa.array(range(3_000_000))})\n"
        "try:\n"
        "    e.run('SELECT a, random() r FROM t ORDER BY r, a DESC', {'t': t})\n"
        "except Exception as x:\n"
        "    print(x.code)\n"
    )
    environment = {**os.environ, "HOME": str(tmp_path), "TMPDIR": str(tmp_path)}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "E_ENGINE_MEMORY"
    # Leaving an engine open is no reason for noise at exit either.
    assert done.stderr == ""
    assert list(tmp_path.iterdir()) == []


SECRET = "hunter2-very-secret"


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("SELECT a::INTEGER FROM t", "E_INVALID_VALUE"),
        ("SELECT a::DATE FROM t", "E_INVALID_VALUE"),
        ("SELECT a::UUID FROM t", "E_INVALID_VALUE"),
        ("SELECT a::JSON FROM t", "E_INVALID_VALUE"),
        ("SELECT (n * 1000000000)::SMALLINT FROM t", "E_OUT_OF_RANGE"),
        ("SELECT n * 9223372036854775807 * 99 FROM t", "E_OUT_OF_RANGE"),
        ("SELECT n / (n - n) FROM t", "E_DIVISION_BY_ZERO"),
        ("SELECT n % (n - n) FROM t", "E_DIVISION_BY_ZERO"),
        ("SELECT (SELECT x FROM (VALUES (1), (2)) AS v (x)) FROM t", "E_ENGINE"),
        ("SELECT error(a) FROM t", "E_ENGINE"),
        ("SELECT strptime(a, '%Y') FROM t", "E_ENGINE"),
        ("SELECT regexp_matches(a, '(' || a) FROM t", "E_ENGINE"),
        ("SELECT bogus FROM t", "E_UNKNOWN_COLUMN"),
        ("SELECT * FROM bogus", "E_UNKNOWN_TABLE"),
        ("SELECT bogus(a) FROM t", "E_UNKNOWN_FUNCTION"),
        ("SELECT a::BOGUS FROM t", "E_UNKNOWN_TYPE"),
        ("SELECT FROM WHERE", "E_SYNTAX"),
        ("SELECT sum(a) FROM t", "E_TYPE_MISMATCH"),
        ("SELECT a FROM t JOIN t AS u ON true", "E_AMBIGUOUS_NAME"),
    ],
)
def test_errors_have_codes_and_quote_no_value(engine, sql, code):
    table = pa.table({"a": [SECRET], "n": [77_331_955]})
    with pytest.raises(EncdbError) as caught:
        rows(engine, sql, {"t": table})
    assert caught.value.code == code, caught.value
    fault = caught.value
    told = "".join(traceback.format_exception(fault)) + repr(fault.__context__) + str(fault)
    assert SECRET not in told
    assert "77331955" not in told
    assert fault.__context__ is None
    assert "\n" not in str(fault)
    assert "LINE 1" not in str(fault)


def test_errors_quote_no_parameter(engine):
    with pytest.raises(DataError) as caught:
        rows(engine, "SELECT $1::INTEGER", parameters=[SECRET])
    assert SECRET not in str(caught.value) + repr(caught.value.__context__)


def test_memory_is_limited():
    small = LocalEngine(memory_limit=64 << 20)
    table = pa.table({"a": pa.array(range(3_000_000))})
    with pytest.raises(OperationalError) as caught:
        small.run("SELECT a, random() AS r FROM t ORDER BY r, a DESC", {"t": table})
    assert caught.value.code == "E_ENGINE_MEMORY"
    assert to_python(small.run("SELECT 1", {})) == [(1,)]
    small.close()


ENDLESS = "SELECT count(*) FROM range(100000000) AS a (x), range(100000) AS b (y) WHERE x * y = 7"


def test_a_statement_can_be_interrupted(engine):
    timer = threading.Timer(0.3, engine.interrupt)
    started = time.monotonic()
    timer.start()
    with pytest.raises(OperationalError) as caught:
        rows(engine, ENDLESS)
    assert caught.value.code == "E_INTERRUPTED"
    assert time.monotonic() - started < 20
    assert rows(engine, "SELECT 1") == [(1,)]
    engine.interrupt()


def test_control_c_stops_a_statement(engine):
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    started = time.monotonic()
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            rows(engine, ENDLESS)
    finally:
        signal.signal(signal.SIGINT, previous)
    assert time.monotonic() - started < 20
    assert rows(engine, "SELECT 1") == [(1,)]


def test_large_inputs_take_all_threads(engine, monkeypatch):
    monkeypatch.setattr(local, "MANY_ROWS", 100)
    engine._threads = 2
    assert rows(engine, "SELECT count(*) FROM t", {"t": numbers(100)}) == [(100,)]
    assert set(engine._instances) == {2}


def test_without_the_direct_way_results_are_the_same(engine, monkeypatch):
    class Older:
        """A connection as DuckDB had it before 2.0."""

        def __init__(self, inner):
            self._inner = inner

        def execute(self, *arguments):
            self._result = self._inner.execute(*arguments)
            return self

        def fetch_arrow_table(self):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)
                return self._result.to_arrow_table()

    inner = duckdb.connect(":memory:")
    older = Older(inner)
    for values in (None, {"1": 5}):
        sql = "SELECT 5 AS a" if values is None else "SELECT $1 AS a"
        assert local.fetch(older, sql, values).to_pylist() == [{"a": 5}]
    inner.close()


def test_a_closed_engine_says_so():
    one = LocalEngine()
    to_python(one.run("SELECT 1", {}))
    one.close()
    one.close()
    with pytest.raises(InternalError):
        one.run("SELECT 1", {})


def test_an_engine_can_be_shared_by_threads(engine):
    answers = []

    def work(number):
        for _ in range(5):
            table = pa.table({"a": [number] * 3})
            answers.append(rows(engine, "SELECT sum(a) FROM t", {"t": table})[0][0] == 3 * number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [True] * 30


def test_an_engine_without_users_is_collected():
    one = LocalEngine()
    one.run("SELECT 1", {})
    count = len(local._ENGINES)
    del one
    gc.collect()
    assert len(local._ENGINES) < count


def test_the_default_limit_is_below_the_machine():
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert 0 < local.default_memory_limit() < total
