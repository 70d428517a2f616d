"""CREATE TABLE, CREATE INDEX and DROP."""

import pytest

from encdb.errors import DatabaseError
from indexes.types import ColumnType
from proxy.sql import statements as sql
from proxy.sql.parse import parse_one

TYPES = {
    "BOOLEAN": "BOOLEAN",
    "bool": "BOOLEAN",
    "SMALLINT": "SMALLINT",
    "int2": "SMALLINT",
    "INT": "INTEGER",
    "INTEGER": "INTEGER",
    "int4": "INTEGER",
    "BIGINT": "BIGINT",
    "int8": "BIGINT",
    "NUMERIC(10, 2)": "DECIMAL(10,2)",
    "DECIMAL(38)": "DECIMAL(38,0)",
    "dec(5,5)": "DECIMAL(5,5)",
    "REAL": "REAL",
    "float4": "REAL",
    "FLOAT(24)": "REAL",
    "FLOAT(25)": "DOUBLE",
    "FLOAT": "DOUBLE",
    "float8": "DOUBLE",
    "DOUBLE PRECISION": "DOUBLE",
    "double": "DOUBLE",
    "TEXT": "TEXT",
    "VARCHAR": "TEXT",
    "VARCHAR(20)": "VARCHAR(20)",
    "CHARACTER VARYING(20)": "VARCHAR(20)",
    "CHAR(3)": "VARCHAR(3)",
    "CHARACTER(3)": "VARCHAR(3)",
    "CHAR": "VARCHAR(1)",
    "bpchar": "TEXT",
    "BYTEA": "BLOB",
    "BLOB": "BLOB",
    "DATE": "DATE",
    "TIME": "TIME",
    "TIME WITHOUT TIME ZONE": "TIME",
    "TIME(6)": "TIME",
    "TIMESTAMP": "TIMESTAMP",
    "TIMESTAMP(6) WITHOUT TIME ZONE": "TIMESTAMP",
    "TIMESTAMP WITH TIME ZONE": "TIMESTAMP WITH TIME ZONE",
    "timestamptz": "TIMESTAMP WITH TIME ZONE",
    "TIMESTAMPTZ(6)": "TIMESTAMP WITH TIME ZONE",
    "UUID": "UUID",
    "JSON": "JSON",
    "JSONB": "JSON",
    "INTERVAL": "INTERVAL",
}


@pytest.mark.parametrize(("written", "meant"), TYPES.items())
def test_types(written, meant):
    for tail in ("", " NOT NULL", " DEFAULT NULL", ", other INT"):
        column = parse_one(f"CREATE TABLE t (c {written}{tail})").columns[0]
        assert column.type == ColumnType.parse(meant)
        assert column.not_null == (tail == " NOT NULL")


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("SERIAL", "BIGINT PRIMARY KEY|INTEGER PRIMARY KEY"),
        ("BIGSERIAL", "BIGINT PRIMARY KEY"),
        ("NUMERIC", "NUMERIC(38, 9)"),
        ("NUMERIC(39, 2)", "38"),
        ("NUMERIC(5, 6)", "scale"),
        ("NUMERIC(5, -1)", "number"),
        ("NUMERIC(5, 2, 1)", "arguments"),
        ("VARCHAR(0)", "1"),
        ("FLOAT(54)", "53"),
        ("INT(4)", "arguments"),
        ("TXT", "TEXT"),
        ("DATETIME", "TIMESTAMP"),
        ("MONEY", "NUMERIC"),
        ("TIME WITH TIME ZONE", "TIMESTAMP"),
        ("TIMESTAMP(3)", "6"),
        ("INTERVAL DAY TO SECOND", "INTERVAL"),
        ("INT[]", "array"),
        ("NUMERIC(99999999999999999999)", "number"),
    ],
)
def test_types_that_are_refused(written, said):
    with pytest.raises(DatabaseError) as caught:
        parse_one(f"CREATE TABLE t (c {written})")
    assert any(part in str(caught.value) for part in said.split("|"))


def test_a_table_with_everything():
    found = parse_one(
        """CREATE TABLE IF NOT EXISTS public."my table" (
            id BIGINT PRIMARY KEY,
            "select" TEXT NOT NULL UNIQUE DEFAULT 'a,b)' CHECK ("select" <> ''),
            n NUMERIC(10, 2) DEFAULT (1 + 2) * 3 CONSTRAINT positive CHECK (n > 0 AND n IN (1, 2)),
            at TIMESTAMPTZ DEFAULT now() NOT NULL,
            parent BIGINT REFERENCES other ON DELETE SET NULL ON UPDATE CASCADE,
            UNIQUE (id, n),
            CONSTRAINT pair UNIQUE (n, parent),
            CONSTRAINT order_ok CHECK (n < id),
            FOREIGN KEY (id, n) REFERENCES public.other (a, b) MATCH SIMPLE NOT DEFERRABLE
        )"""
    )
    assert found.name == "my table"
    assert found.if_not_exists
    assert [(c.name, c.not_null, c.default) for c in found.columns] == [
        ("id", True, None),
        ("select", True, "'a,b)'"),
        ("n", False, "(1 + 2) * 3"),
        ("at", True, "now()"),
        ("parent", False, None),
    ]
    assert found.primary_key == sql.KeyDef(None, ("id",))
    assert found.uniques == (
        sql.KeyDef(None, ("select",)),
        sql.KeyDef(None, ("id", "n")),
        sql.KeyDef("pair", ("n", "parent")),
    )
    assert found.checks == (
        sql.CheckDef(None, "\"select\" <> ''"),
        sql.CheckDef("positive", "n > 0 AND n IN (1, 2)"),
        sql.CheckDef("order_ok", "n < id"),
    )
    assert found.foreign_keys == (
        sql.ForeignKeyDef(None, ("parent",), "other", (), "SET NULL", "CASCADE"),
        sql.ForeignKeyDef(None, ("id", "n"), "other", ("a", "b")),
    )


def test_a_composite_primary_key_is_not_null():
    found = parse_one("CREATE TABLE t (a INT, b INT, c INT, CONSTRAINT k PRIMARY KEY (B, a))")
    assert found.primary_key == sql.KeyDef("k", ("B", "a"))
    assert [column.not_null for column in found.columns] == [True, True, False]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("CREATE TABLE t (a INT, A TEXT)", "E_DUPLICATE_COLUMN"),
        ("CREATE TABLE t (a INT, PRIMARY KEY (b))", "E_UNKNOWN_COLUMN"),
        ("CREATE TABLE t (a INT, UNIQUE (a, a))", "E_DUPLICATE_COLUMN"),
        ("CREATE TABLE t (a INT PRIMARY KEY, b INT PRIMARY KEY)", "E_SYNTAX"),
        ("CREATE TABLE t (a INT DEFAULT (SELECT 1))", "E_NOT_SUPPORTED"),
        ("CREATE TABLE t (a INT DEFAULT b)", "E_NOT_SUPPORTED"),
        ("CREATE TABLE t (a INT DEFAULT)", "E_SYNTAX"),
        ("CREATE TABLE t (a INT DEFAULT 1 DEFAULT 2)", "E_SYNTAX"),
        ("CREATE TABLE t (a INT CHECK (sum(a) > 1))", "E_NOT_SUPPORTED"),
        ("CREATE TABLE t (a INT CHECK (read_csv('x') = a))", "E_UNKNOWN_FUNCTION"),
        ("CREATE TABLE t (a INT, FOREIGN KEY (a) REFERENCES u (x, y))", "E_SYNTAX"),
        ("CREATE TABLE t (a INT) INHERITS (u)", "E_NOT_SUPPORTED"),
        ("CREATE TABLE t (a INT) PARTITION BY RANGE (a)", "E_NOT_SUPPORTED"),
        ("CREATE TABLE t (LIKE u)", "E_NOT_SUPPORTED"),
        ("CREATE TABLE t AS SELECT 1", "E_NOT_SUPPORTED"),
        ("CREATE TEMP TABLE t (a INT)", "E_NOT_SUPPORTED"),
        ("CREATE TABLE other.t (a INT)", "E_NOT_SUPPORTED"),
        ("CREATE TABLE t (a INT GENERATED ALWAYS AS IDENTITY)", "E_NOT_SUPPORTED"),
        ("CREATE TABLE t (a INT UNIQUE NULLS NOT DISTINCT)", "E_NOT_SUPPORTED"),
        ("CREATE TABLE t (a INT UNIQUE DEFERRABLE)", "E_NOT_SUPPORTED"),
        ('CREATE TABLE t (a TEXT COLLATE "de_DE")', "E_NOT_SUPPORTED"),
        ("CREATE TABLE t (__ordinal INT)", "E_INVALID_NAME"),
        ('CREATE TABLE t ("__MATCH_1" INT)', "E_INVALID_NAME"),
        ('CREATE TABLE "" (a INT)', "E_INVALID_NAME"),
        ("CREATE TABLE t ()", "E_SYNTAX"),
        ("CREATE TABLE t (a INT", "E_SYNTAX"),
        ("CREATE TABLE t (a INT,)", "E_SYNTAX"),
        ("DROP VIEW t", "E_NOT_SUPPORTED"),
        ("DROP TABLE t u", "E_SYNTAX"),
    ],
)
def test_schema_statements_that_are_refused(text, code):
    with pytest.raises(DatabaseError) as caught:
        parse_one(text)
    assert caught.value.code == code


def test_create_index():
    found = parse_one(
        'CREATE INDEX IF NOT EXISTS "my idx" ON public.t USING Keyword (notes, "Body") '
        "WITH (language = 'english', positions, k = 2)"
    )
    assert (found.name, found.table, found.method) == ("my idx", "t", "keyword")
    assert found.columns == ("notes", "Body")
    assert found.options == (("k", "2"), ("language", "english"), ("positions", "true"))
    assert found.if_not_exists
    unique = parse_one("CREATE UNIQUE INDEX ON t (a, b)")
    assert (unique.name, unique.method, unique.unique) == (None, "equality", True)


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("CREATE INDEX ON t USING btree (a)", "E_UNKNOWN_METHOD", "range"),
        ("CREATE INDEX ON t USING gin (a)", "E_UNKNOWN_METHOD", "keyword"),
        ("CREATE INDEX ON t USING equalty (a)", "E_UNKNOWN_METHOD", "equality"),
        ("CREATE INDEX ON t (a)", "E_UNKNOWN_METHOD", "equality"),
        ("CREATE INDEX ON t USING substrings (a)", "E_UNKNOWN_METHOD", "substring"),
        ("CREATE UNIQUE INDEX ON t USING range (a)", "E_NOT_SUPPORTED", "equality"),
        ("CREATE INDEX ON t USING equality (lower(a))", "E_NOT_SUPPORTED", "column"),
        ("CREATE INDEX ON t USING equality ((a + 1))", "E_NOT_SUPPORTED", "column"),
        ("CREATE INDEX ON t USING range (a DESC)", "E_NOT_SUPPORTED", "DESC"),
        ("CREATE INDEX ON t USING range (a) WHERE a > 1", "E_NOT_SUPPORTED", "WHERE"),
        ("CREATE INDEX ON t USING range (a, A)", "E_DUPLICATE_COLUMN", "twice"),
        ("CREATE INDEX ON t USING range (a) INCLUDE (b, B)", "E_DUPLICATE_COLUMN", "twice"),
        ("CREATE INDEX ON t USING range (a) INCLUDE (b, A)", "E_DUPLICATE_COLUMN", "twice"),
        ("CREATE INDEX ON t USING range (a) INCLUDE ()", "E_SYNTAX", "column"),
        ("CREATE INDEX ON t USING keyword (a) WITH (x = 1, X = 2)", "E_UNKNOWN_OPTION", "twice"),
        ("CREATE INDEX CONCURRENTLY i ON t USING range (a)", "E_NOT_SUPPORTED", "CONCURRENTLY"),
    ],
)
def test_indexes_that_are_refused(text, code, said):
    with pytest.raises(DatabaseError) as caught:
        parse_one(text)
    assert caught.value.code == code
    assert said in str(caught.value)


def test_included_columns():
    found = parse_one('CREATE INDEX ON t USING range (a, b) INCLUDE (c, "D e") WITH (x = 1)')
    assert (found.columns, found.include) == (("a", "b"), ("c", "D e"))
    assert found.options == (("x", "1"),)


def test_drop():
    found = parse_one('DROP TABLE IF EXISTS a, public."b c" CASCADE')
    assert (found.names, found.if_exists, found.cascade) == (("a", "b c"), True, True)
    assert parse_one("DROP INDEX a, b RESTRICT").names == ("a", "b")
