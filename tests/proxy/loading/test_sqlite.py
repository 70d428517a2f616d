"""Whole SQLite files."""

import datetime as dt
import os
import sqlite3
from decimal import Decimal
from pathlib import Path

import pytest

from encdb.errors import EncdbError
from indexes.types import ColumnType
from proxy.loading import LoadedForeignKey, read_sqlite
from proxy.values import to_python


def made(tmp_path, script):
    path = tmp_path / "source file?#%.db"
    path.unlink(missing_ok=True)
    connection = sqlite3.connect(path)
    connection.executescript(script)
    connection.close()
    return path


def rows_of(table, *size):
    return [row for _, batch in table.batches(*size) for row in to_python(batch)]


def everything(path):
    with read_sqlite(path) as file:
        return [rows_of(table) for table in file.tables]


def test_types_keys_and_rows(tmp_path):
    path = made(
        tmp_path,
        """
        CREATE TABLE parent (a INTEGER, b TEXT, PRIMARY KEY (b, a));
        CREATE TABLE t (
            id INTEGER PRIMARY KEY, small SMALLINT NOT NULL, price NUMERIC(10,2), flag BOOLEAN,
            name NVARCHAR(5), day DATE, at DATETIME, r REAL, data BLOB, u UUID, j JSON,
            pa INT, pb TEXT REFERENCES other ON DELETE CASCADE,
            UNIQUE (name, day),
            FOREIGN KEY (pb, pa) REFERENCES parent ON UPDATE SET NULL
        );
        CREATE TABLE other (k TEXT PRIMARY KEY) WITHOUT ROWID;
        CREATE INDEX plain ON t (day);
        CREATE INDEX two ON t (day, name);
        CREATE UNIQUE INDEX single ON t (u);
        CREATE INDEX part ON t (r) WHERE r > 0;
        CREATE INDEX expr ON t (lower(name));
        CREATE VIEW v AS SELECT * FROM t;
        CREATE TRIGGER tr AFTER INSERT ON t BEGIN SELECT 1; END;
        INSERT INTO t VALUES (1, 2, 0.99, 1, 'longer than five', '2024-01-02',
            '2024-01-02 03:04:05', 1.5, x'00ff', '00000000-0000-0000-0000-000000000001', '[1]', 1, 'x');
        INSERT INTO t (id, small, price) VALUES (2, 3, 5);
        """,
    )
    with read_sqlite(path) as file:
        tables = {table.name: table for table in file.tables}
        assert list(tables) == ["parent", "t", "other"]
        t = tables["t"]
        assert {name: kind.sql for name, kind, _ in t.columns} == {
            "id": "BIGINT",
            "small": "BIGINT",
            "price": "DECIMAL(10,2)",
            "flag": "BOOLEAN",
            "name": "TEXT",
            "day": "DATE",
            "at": "TIMESTAMP",
            "r": "DOUBLE",
            "data": "BLOB",
            "u": "UUID",
            "j": "JSON",
            "pa": "BIGINT",
            "pb": "TEXT",
        }
        assert [name for name, _, required in t.columns if required] == ["small"]
        assert t.primary_key == ("id",)
        assert tables["parent"].primary_key == ("b", "a")
        assert set(t.uniques) == {("name", "day"), ("u",)}
        assert t.indexes == (("plain", ("day",)), ("two", ("day", "name")))
        assert set(t.foreign_keys) == {
            LoadedForeignKey(("pb",), "other", ("k",), "CASCADE", "NO ACTION"),
            LoadedForeignKey(("pb", "pa"), "parent", ("b", "a"), "NO ACTION", "SET NULL"),
        }
        notices = " ".join(file.notices)
        for word in ('view "v"', 'trigger "tr"', '"part"', '"expr"'):
            assert word in notices
        assert t.rows == 2
        first, second = rows_of(t)
        assert first[:8] == (
            1,
            2,
            Decimal("0.99"),
            True,
            "longer than five",
            dt.date(2024, 1, 2),
            dt.datetime(2024, 1, 2, 3, 4, 5),
            1.5,
        )
        assert second[:4] == (2, 3, Decimal("5.00"), None)
        assert [row for row, _ in t.batches(1)] == [1, 2]
        assert rows_of(tables["other"]) == []


def test_columns_without_a_type_take_that_of_their_values(tmp_path):
    path = made(
        tmp_path,
        """
        CREATE TABLE t (i, f NUMERIC, s, b, n, m);
        INSERT INTO t VALUES (1, 1.5, 'x', x'00', NULL, 1), (2, 2, 'y', x'01', NULL, 'x');
        """,
    )
    with read_sqlite(path) as file:
        (t,) = file.tables
        assert [kind.sql for _, kind, _ in t.columns] == [
            "BIGINT",
            "DOUBLE",
            "TEXT",
            "BLOB",
            "TEXT",
            "TEXT",
        ]
        with pytest.raises(EncdbError) as caught:
            rows_of(t)
        assert caught.value.code == "E_IMPORT_VALUE"
        assert 'table "t", row 1, column "m"' in str(caught.value)


SECRET = "hunter2-very-secret"


@pytest.mark.parametrize(
    ("declared", "value"),
    [
        ("INTEGER", f"'{SECRET}'"),
        ("INTEGER", "1.5"),
        ("INTEGER", "x'00'"),
        ("NUMERIC(10,2)", "1.995"),
        ("NUMERIC(10,2)", "1e9"),
        ("NUMERIC(10,2)", f"'{SECRET}'"),
        ("DATETIME", "1700000000"),
        ("DATETIME", "2460000.5"),
        ("DATETIME", "'2024-01-01 00:00:00Z'"),
        ("DATE", "'2024-02-30'"),
        ("BOOLEAN", "2"),
        ("BOOLEAN", f"'{SECRET}'"),
        ("TEXT", "x'00'"),
        ("TEXT", f"'{SECRET}' || char(0)"),
        ("TEXT", "CAST(x'ff' AS TEXT)"),
        ("BLOB", f"'{SECRET}'"),
        ("BLOB", "5"),
        ("REAL", "x'00'"),
        ("REAL", "'abc'"),
        ("UUID", f"'{SECRET}'"),
        ("JSON", "'{'"),
        ("JSON", "5"),
    ],
)
def test_a_value_that_does_not_fit_names_table_row_and_column(tmp_path, declared, value):
    path = made(
        tmp_path,
        f'CREATE TABLE "my t" (a, "b c" {declared}); INSERT INTO "my t" VALUES (1, NULL), (2, {value});',
    )
    with read_sqlite(path) as file, pytest.raises(EncdbError) as caught:
        rows_of(file.tables[0])
    assert caught.value.code == "E_IMPORT_VALUE"
    assert 'table "my t", row 2, column "b c"' in str(caught.value)
    assert SECRET not in str(caught.value)


def test_overrides_and_one_table(tmp_path):
    path = made(
        tmp_path,
        "CREATE TABLE a (x INTEGER, y); CREATE TABLE b (x INTEGER);"
        "INSERT INTO a VALUES (1, 'z'); INSERT INTO b VALUES (2);",
    )
    with read_sqlite(path, {"A.X": ColumnType.parse("SMALLINT")}) as file:
        assert [table.columns[0][1].sql for table in file.tables] == ["SMALLINT", "BIGINT"]
    with read_sqlite(path, {"x": ColumnType.parse("DOUBLE")}, only="B") as file:
        assert [(table.name, rows_of(table)) for table in file.tables] == [("b", [(2.0,)])]
    for arguments, code in (
        (({"z": ColumnType.parse("TEXT")},), "E_UNKNOWN_COLUMN"),
        (({}, "c"), "E_UNKNOWN_TABLE"),
    ):
        with pytest.raises(EncdbError) as caught:
            read_sqlite(path, *arguments)
        assert caught.value.code == code


def test_hostile_names_are_only_names(tmp_path):
    path = made(
        tmp_path,
        """
        CREATE TABLE "x""; DROP TABLE y; --" ("a""b" TEXT, "select" INTEGER);
        INSERT INTO "x""; DROP TABLE y; --" VALUES ('v', 1);
        CREATE TABLE y (a);
        CREATE VIRTUAL TABLE f USING fts5(body);
        """,
    )
    with read_sqlite(path) as file:
        assert [table.name for table in file.tables] == ['x"; DROP TABLE y; --', "y"]
        assert rows_of(file.tables[0]) == [("v", 1)]
        assert any('"f"' in notice for notice in file.notices)


def test_files_that_are_no_sqlite(tmp_path):
    text = tmp_path / "a.db"
    text.write_text("not a database, but long enough to be looked at " * 50)
    damaged = made(tmp_path, "CREATE TABLE t (a); INSERT INTO t VALUES (1);")
    raw = bytearray(damaged.read_bytes())
    raw[4096 : 4096 + 8] = b"\xff" * 8
    damaged.write_bytes(raw)
    for path, codes in (
        (tmp_path / "missing.db", {"E_INPUT_FILE"}),
        (tmp_path, {"E_INPUT_FILE"}),
        (text, {"E_IMPORT_FORMAT"}),
        (damaged, {"E_CSV_MALFORMED"}),
    ):
        with pytest.raises(EncdbError) as caught:
            everything(path)
        assert caught.value.code in codes


def test_the_file_is_not_written_to(tmp_path):
    path = made(tmp_path, "CREATE TABLE t (a); INSERT INTO t VALUES (1);")
    path.chmod(0o400)
    before = path.read_bytes()
    with read_sqlite(path) as file:
        assert rows_of(file.tables[0]) == [(1,)]
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


def test_types_and_rows_are_of_one_moment(tmp_path):
    path = made(
        tmp_path, "PRAGMA journal_mode = WAL; CREATE TABLE t (a); INSERT INTO t VALUES (1);"
    )
    writer = sqlite3.connect(path)
    with read_sqlite(path) as file:
        writer.execute("INSERT INTO t VALUES ('x')")
        writer.commit()
        assert rows_of(file.tables[0]) == [(1,)]
    writer.close()


def test_chinook():
    folder = os.environ.get("ENCDB_TEST_DATA")
    if not folder:
        pytest.skip("ENCDB_TEST_DATA is not set")
    with read_sqlite(Path(folder) / "chinook.sqlite") as file:
        tables = {table.name: table for table in file.tables}
        assert len(tables) == 11
        kinds = {name: kind.sql for name, kind, _ in tables["Invoice"].columns}
        assert kinds["Total"] == "DECIMAL(10,2)"
        assert kinds["InvoiceDate"] == "TIMESTAMP"
        assert kinds["BillingCity"] == "TEXT"
        assert tables["Track"].rows == 3503
        assert len(rows_of(tables["Track"])) == 3503
        assert tables["PlaylistTrack"].primary_key == ("PlaylistId", "TrackId")
        total = sum(row[-1] for row in rows_of(tables["Invoice"]))
        assert total == Decimal("2328.60")
