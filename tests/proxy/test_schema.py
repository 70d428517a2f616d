"""CREATE and DROP end to end: what is kept of a definition, and what is refused and why."""

from __future__ import annotations

import datetime as dt
import uuid
from decimal import Decimal
from typing import Any

import pytest

from tests.fixtures.databases import Database, check_ok, refused, rows

pytestmark = [pytest.mark.every_store, pytest.mark.sampled(5)]


def names(connection: Any) -> list[str]:
    return [table.name for table in connection.session.catalog.tables]


def indexes(connection: Any, table: str = "t") -> list[str]:
    return [index.name for index in connection.session.table(table).indexes]


# --- Tables -----------------------------------------------------------------------------------------


def test_a_definition_survives_reconnecting(database: Database):
    connection = database.connect()
    connection.execute(
        "CREATE TABLE orders (id BIGINT PRIMARY KEY, customer INT NOT NULL REFERENCES people (id), "
        "price DECIMAL(10,2) DEFAULT 9.99 CHECK (price >= 0), code VARCHAR(5) UNIQUE, "
        "at TIMESTAMP WITH TIME ZONE DEFAULT now(), CONSTRAINT both UNIQUE (customer, code), "
        "CONSTRAINT sane CHECK (customer < 100 OR code IS NULL))"
    )
    connection.execute("CREATE INDEX by_price ON orders USING range (price)")
    before = connection.session.table("orders")
    connection.close()
    database.opened.clear()
    fresh = database.connect()
    after = fresh.session.table("ORDERS")
    assert after == before
    assert [column.type.sql for column in after.columns] == [
        "BIGINT",
        "INTEGER",
        "DECIMAL(10,2)",
        "VARCHAR(5)",
        "TIMESTAMP WITH TIME ZONE",
    ]
    expected = {"orders_pkey", "orders_code_key", "both", "by_price"}
    assert {index.name for index in after.indexes} == expected
    assert [check.name for check in after.checks][-1] == "sane"
    assert [key.target for key in after.foreign_keys] == ["people"]
    fresh.execute("INSERT INTO orders (id, customer) VALUES (1, 5)")
    (found,) = rows(fresh, "SELECT price, code, now() - at < INTERVAL '1 minute' FROM orders")
    assert found == (Decimal("9.99"), None, True)
    refused("E_CHECK", fresh.execute, "INSERT INTO orders (id, customer, price) VALUES (2, 5, -1)")
    refused(
        "E_CHECK", fresh.execute, "INSERT INTO orders (id, customer, code) VALUES (2, 100, 'x')"
    )
    refused("E_NOT_NULL", fresh.execute, "INSERT INTO orders (id) VALUES (2)")
    refused("E_TOO_LONG", fresh.execute, "INSERT INTO orders VALUES (2, 5, 1, 'abcdef')")
    fresh.execute("INSERT INTO orders (id, customer, code) VALUES (2, 5, 'x'), (3, 6, 'y')")
    refused("E_DUPLICATE_KEY", fresh.execute, "UPDATE orders SET code = 'x' WHERE id = 3")
    check_ok(fresh)


def test_names_keep_their_case_and_ignore_it(connection):
    connection.execute('CREATE TABLE People ("Full Name" TEXT, AGE int, "select" INT, größe INT)')
    connection.execute("INSERT INTO PEOPLE VALUES ('Ann', 30, 1, 170)")
    assert names(connection) == ["People"]
    assert rows(connection, 'SELECT "full name", age, "SELECT", GRÖSSE FROM people') == [
        ("Ann", 30, 1, 170)
    ] or rows(connection, 'SELECT "full name", age, "SELECT", größe FROM people') == [
        ("Ann", 30, 1, 170)
    ]
    cursor = connection.execute("SELECT * FROM pEOPLE p WHERE P.Age = 30")
    assert [one[0] for one in cursor.description] == ["Full Name", "AGE", "select", "größe"]
    connection.execute('UPDATE people SET "FULL NAME" = \'Bea\' WHERE "select" = 1')
    assert rows(connection, 'SELECT p."Full name" FROM People AS p') == [("Bea",)]
    refused("E_DUPLICATE_NAME", connection.execute, "CREATE TABLE PEOPLE (a INT)")
    refused("E_DUPLICATE_COLUMN", connection.execute, "CREATE TABLE u (a INT, A TEXT)")
    connection.execute("DROP TABLE people")
    assert names(connection) == []


@pytest.mark.parametrize(
    "name",
    ["__ordinal", "__match_0", "__filler", "rowid", "oid", "ordinal", "t", "values", "count"],
)
def test_columns_may_have_odd_names_or_are_refused(connection, name):
    try:
        connection.execute(f'CREATE TABLE t ("{name}" BIGINT, w TEXT)')
    except Exception as error:  # noqa: BLE001 - the code is looked at.
        assert error.code == "E_INVALID_NAME"  # noqa: PT017
        assert name.startswith("__")
        return
    connection.execute("CREATE INDEX ON t USING keyword (w)")
    connection.execute("INSERT INTO t VALUES (1, 'alpha'), (2, 'beta')")
    connection.execute(f'UPDATE t SET "{name}" = "{name}" + 10 WHERE w @@ \'alpha\'')
    connection.execute(f'DELETE FROM t WHERE "{name}" = 2')
    assert rows(connection, f'SELECT "{name}" FROM t') == [(11,)]
    assert rows(connection, "SELECT * FROM t WHERE w @@ 'alpha'") == [(11, "alpha")]
    assert rows(connection, "SELECT count(*) FROM t") == [(1,)]
    check_ok(connection)


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("CREATE TABLE t (a INT)", "E_DUPLICATE_NAME"),
        ("CREATE TABLE u ()", "E_SYNTAX"),
        ("CREATE TABLE u (a INT, PRIMARY KEY (b))", "E_UNKNOWN_COLUMN"),
        ("CREATE TABLE u (a INT PRIMARY KEY, b INT PRIMARY KEY)", "E_SYNTAX"),
        ("CREATE TABLE u (a JSON PRIMARY KEY)", "E_INDEX_TYPE"),
        ("CREATE TABLE u (a INTERVAL UNIQUE)", "E_INDEX_TYPE"),
        ("CREATE TABLE u (a NUMERIC)", "E_NOT_SUPPORTED"),
        ("CREATE TABLE u (a SERIAL)", "E_NOT_SUPPORTED"),
        ("CREATE TABLE u (a INTT)", "E_UNKNOWN_TYPE"),
        ("CREATE TABLE u (a INT[])", "E_NOT_SUPPORTED"),
        ("CREATE TABLE u (a INT DEFAULT (SELECT 1))", "E_NOT_SUPPORTED"),
        ("CREATE TABLE u (a INT CHECK (a IN (SELECT 1)))", "E_NOT_SUPPORTED"),
        ("CREATE TABLE u AS SELECT 1", "E_NOT_SUPPORTED"),
        ("CREATE TEMP TABLE u (a INT)", "E_NOT_SUPPORTED"),
        ("CREATE VIEW v AS SELECT 1", "E_NOT_SUPPORTED"),
        ('CREATE TABLE "" (a INT)', "E_INVALID_NAME"),
        ("DROP TABLE u", "E_UNKNOWN_TABLE"),
        ("DROP TABLE t, u", "E_UNKNOWN_TABLE"),
        ("DROP INDEX u", "E_UNKNOWN_INDEX"),
        ("DROP INDEX t_pkey", "E_NOT_SUPPORTED"),
        ("ALTER TABLE t ADD COLUMN b INT", "E_NOT_SUPPORTED"),
        ("TRUNCATE t", "E_NOT_SUPPORTED"),
        ("CREATE INDEX ON t (s)", "E_UNKNOWN_METHOD"),
        ("CREATE INDEX ON t USING btree (s)", "E_UNKNOWN_METHOD"),
        ("CREATE INDEX ON t USING ore (s)", "E_LEAKAGE"),
        ("CREATE INDEX ON t USING equality (x)", "E_UNKNOWN_COLUMN"),
        ("CREATE INDEX ON u USING equality (x)", "E_UNKNOWN_TABLE"),
        ("CREATE INDEX ON t USING equality (s, s)", "E_DUPLICATE_COLUMN"),
        ("CREATE INDEX ON t USING range (j, a)", "E_INDEX_TYPE"),
        ("CREATE INDEX ON t USING range (s, j)", "E_INDEX_TYPE"),
        (
            "CREATE INDEX ON t USING keyword (s) INCLUDE (a) WITH (positions = on)",
            "E_NOT_SUPPORTED",
        ),
        ("CREATE INDEX ON t USING substring (s) INCLUDE (a)", "E_NOT_SUPPORTED"),
        ("CREATE INDEX ON t USING range (j)", "E_INDEX_TYPE"),
        ("CREATE INDEX ON t USING equality (j)", "E_INDEX_TYPE"),
        ("CREATE INDEX ON t USING keyword (a)", "E_INDEX_TYPE"),
        ("CREATE INDEX ON t USING keyword (s) WITH (language = 'klingon')", "E_UNKNOWN_OPTION"),
        ("CREATE INDEX ON t USING keyword (s) WITH (colour = 'red')", "E_UNKNOWN_OPTION"),
        ("CREATE INDEX ON t USING equality (s) WITH (language = 'english')", "E_UNKNOWN_OPTION"),
        ("CREATE UNIQUE INDEX ON t USING range (s)", "E_NOT_SUPPORTED"),
        ("CREATE INDEX i ON t USING equality (lower(s))", "E_NOT_SUPPORTED"),
        ("CREATE INDEX i ON t USING equality (s) WHERE a > 1", "E_NOT_SUPPORTED"),
        ("CREATE INDEX t ON t USING equality (s)", "E_DUPLICATE_NAME"),
        ("CREATE TABLE t_pkey (a INT)", "E_DUPLICATE_NAME"),
    ],
)
def test_what_is_refused_changes_nothing(connection, sql, code):
    connection.execute("CREATE TABLE t (a INT PRIMARY KEY, s TEXT, j JSON)")
    connection.execute("INSERT INTO t VALUES (1, 'x', NULL)")
    before = connection.session.catalog
    refused(code, connection.execute, sql)
    assert connection.session.catalog == before
    assert rows(connection, "SELECT * FROM t") == [(1, "x", None)]


def test_if_exists_and_if_not_exists(connection):
    connection.execute("CREATE TABLE IF NOT EXISTS t (a INT)")
    cursor = connection.execute("CREATE TABLE IF NOT EXISTS t (b TEXT)")
    assert "exists already" in cursor.notices[0]
    assert [column.name for column in connection.session.table("t").columns] == ["a"]
    connection.execute("CREATE INDEX i ON t USING range (a)")
    assert connection.execute("CREATE INDEX IF NOT EXISTS i ON t USING equality (a)").notices
    assert indexes(connection) == ["i"]
    assert connection.execute("DROP INDEX IF EXISTS j").notices
    connection.execute("DROP INDEX IF EXISTS i, j")
    assert indexes(connection) == []
    connection.execute("DROP TABLE IF EXISTS t, u")
    assert names(connection) == []
    assert connection.execute("DROP TABLE IF EXISTS t").notices


def test_several_tables_are_dropped_at_once_or_not_at_all(connection):
    for name in ("a", "b", "c"):
        connection.execute(f"CREATE TABLE {name} (x INT)")
    refused("E_UNKNOWN_TABLE", connection.execute, "DROP TABLE a, d")
    assert names(connection) == ["a", "b", "c"]
    connection.execute("DROP TABLE c, a")
    assert names(connection) == ["b"]


# --- Defaults and constraints -----------------------------------------------------------------------


def test_defaults(connection):
    connection.execute(
        "CREATE TABLE t (id INT DEFAULT 1 + 1, s TEXT DEFAULT 'it''s', d DATE DEFAULT DATE '2024-02-29', "
        "b BOOLEAN DEFAULT TRUE, u UUID DEFAULT gen_random_uuid(), n INT, x DECIMAL(5,2) DEFAULT 1.005)"
    )
    connection.execute("INSERT INTO t DEFAULT VALUES")
    connection.execute("INSERT INTO t (n) VALUES (1), (2)")
    connection.execute("INSERT INTO t (id, s, n) VALUES (DEFAULT, DEFAULT, 3), (9, NULL, DEFAULT)")
    connection.execute("INSERT INTO t (n) SELECT n + 10 FROM t WHERE n < 3")
    found = rows(connection, "SELECT id, s, d, b, x FROM t WHERE id = 2")
    assert set(found) == {(2, "it's", dt.date(2024, 2, 29), True, Decimal("1.01"))}
    assert len(found) == 6
    assert rows(connection, "SELECT s, n FROM t WHERE id = 9") == [(None, None)]
    unique = rows(connection, "SELECT DISTINCT u FROM t")
    assert len(unique) == 7
    assert all(isinstance(value, uuid.UUID) for (value,) in unique)
    connection.execute("UPDATE t SET s = DEFAULT, n = DEFAULT WHERE id = 9")
    assert rows(connection, "SELECT s, n FROM t WHERE id = 9") == [("it's", None)]


def test_a_default_that_does_not_fit_is_met_when_it_is_used(connection):
    connection.execute("CREATE TABLE t (a SMALLINT DEFAULT 70000, b INT)")
    refused("E_OUT_OF_RANGE", connection.execute, "INSERT INTO t (b) VALUES (1)")
    connection.execute("INSERT INTO t VALUES (1, 1)")
    assert rows(connection, "SELECT * FROM t") == [(1, 1)]


def test_null_never_violates_unique_or_check(connection):
    connection.execute("CREATE TABLE t (a INT UNIQUE, b INT, c INT CHECK (c > 0), UNIQUE (b, c))")
    connection.execute(
        "INSERT INTO t VALUES (NULL, 1, NULL), (NULL, 1, NULL), (1, NULL, 1), (2, NULL, 1)"
    )
    refused("E_DUPLICATE_KEY", connection.execute, "UPDATE t SET b = 5 WHERE c = 1")
    connection.execute("UPDATE t SET b = 5 WHERE a = 1")
    refused("E_DUPLICATE_KEY", connection.execute, "INSERT INTO t VALUES (3, 5, 1)")
    connection.execute("INSERT INTO t VALUES (3, 5, 2)")
    check_ok(connection)


@pytest.mark.parametrize(
    ("kind", "first", "same"),
    [
        ("DECIMAL(9,2)", "1", "1.00"),
        ("DOUBLE PRECISION", "0.0", "-0.0"),
        ("DOUBLE PRECISION", "'NaN'", "'nan'"),
        ("TIMESTAMP WITH TIME ZONE", "'2024-01-01 00:00:00+00'", "'2024-01-01 02:00:00+02'"),
        (
            "UUID",
            "'ABCDEF00-0000-0000-0000-000000000000'",
            "'abcdef00-0000-0000-0000-000000000000'",
        ),
        ("BYTEA", "'\\xAB'", "'\\xab'"),
        ("BOOLEAN", "TRUE", "'yes'"),
        ("TIME", "'10:00'", "'10:00:00.000000'"),
    ],
)
def test_equal_values_are_one_unique_value(connection, kind, first, same):
    connection.execute(f"CREATE TABLE t (v {kind} UNIQUE)")
    connection.execute(f"INSERT INTO t VALUES ({first})")
    refused("E_DUPLICATE_KEY", connection.execute, f"INSERT INTO t VALUES ({same})")
    connection.execute("VACUUM t")
    refused("E_DUPLICATE_KEY", connection.execute, f"INSERT INTO t VALUES ({same})")
    assert rows(connection, "SELECT count(*) FROM t") == [(1,)]


@pytest.mark.parametrize("pair", [("a", "A"), ("ä", "a\u0308"), ("a", "a "), ("", " ")])
def test_different_texts_are_different_values(connection, pair):
    connection.execute("CREATE TABLE t (v TEXT UNIQUE)")
    for text in pair:
        connection.execute("INSERT INTO t VALUES (?)", (text,))
    for text in pair:
        assert rows(connection, "SELECT v FROM t WHERE v = ?", (text,)) == [(text,)]


def test_foreign_keys_are_kept_and_not_enforced(connection):
    connection.execute("CREATE TABLE a (id INT PRIMARY KEY)")
    connection.execute("CREATE TABLE b (a INT REFERENCES a (id) ON DELETE CASCADE)")
    connection.execute("INSERT INTO b VALUES (99)")
    assert connection.session.table("b").foreign_keys[0].on_delete == "CASCADE"


# --- Indexes ----------------------------------------------------------------------------------------


def test_indexes_get_postgresql_names(connection):
    connection.execute(
        "CREATE TABLE t (id INT PRIMARY KEY, a INT UNIQUE, b TEXT, c TEXT, UNIQUE (b, c))"
    )
    for sql in ("range (a)", "equality (a)", "equality (b, c)", "keyword (b, c)", "range (a)"):
        connection.execute(f"CREATE INDEX ON t USING {sql}")
    connection.execute("CREATE UNIQUE INDEX ON t (id, a)")
    assert indexes(connection) == [
        "t_pkey",
        "t_a_key",
        "t_b_c_key",
        "t_a_idx",
        "t_a_idx1",
        "t_b_c_idx",
        "t_b_c_idx1",
        "t_a_idx2",
        "t_id_a_idx",
    ]


def test_only_constraints_keep_their_indexes(connection):
    connection.execute(
        "CREATE TABLE t (id INT PRIMARY KEY, a INT, b INT, CONSTRAINT mine UNIQUE (a))"
    )
    connection.execute("CREATE UNIQUE INDEX b_key ON t (b)")
    connection.execute("INSERT INTO t VALUES (1, 1, 1)")
    refused("E_NOT_SUPPORTED", connection.execute, "DROP INDEX mine")
    refused("E_DUPLICATE_KEY", connection.execute, "INSERT INTO t VALUES (2, 1, 2)")
    connection.execute("DROP INDEX b_key")
    connection.execute("INSERT INTO t VALUES (2, 2, 1)")
    check_ok(connection)


def test_the_schema_is_seen_by_every_connection_at_once(database: Database):
    one, other = database.connect(), database.connect()
    one.execute("CREATE TABLE t (a INT)")
    other.execute("INSERT INTO t VALUES (1)")
    other.execute("CREATE INDEX ON t USING range (a)")
    assert indexes(one) == ["t_a_idx"]
    one.execute("DROP INDEX t_a_idx")
    assert indexes(other) == []
    for number in range(5):
        (one, other)[number % 2].execute(f"CREATE TABLE u{number} (a INT)")
    assert names(one) == names(other) == ["t", "u0", "u1", "u2", "u3", "u4"]
    check_ok(other)


def test_a_wide_table(connection):
    columns = ", ".join(f"c{number} INT" for number in range(300))
    connection.execute(f"CREATE TABLE wide ({columns})")
    connection.execute(f"INSERT INTO wide VALUES ({', '.join(map(str, range(300)))})")
    connection.execute("INSERT INTO wide (c299) VALUES (1)")
    connection.execute("VACUUM wide")
    assert rows(connection, "SELECT c0, c150, c299 FROM wide WHERE c299 > 1") == [(0, 150, 299)]
    too_many = ", ".join(f"c{number} INT" for number in range(3000))
    refused("E_TOO_MANY_COLUMNS", connection.execute, f"CREATE TABLE wider ({too_many})")
    check_ok(connection)
