"""Scripts, parameters, transactions and settings."""

import os
from pathlib import Path

import pytest

from encdb.errors import NotSupportedError, ProgrammingError
from proxy.sql import statements as sql
from proxy.sql.parse import parse_one, parse_script


def code(text, kind=ProgrammingError):
    with pytest.raises(kind) as caught:
        parse_script(text)
    assert "\n" not in str(caught.value)
    return caught.value.code


def test_a_script_is_cut_at_semicolons_outside_strings_names_and_comments():
    found = parse_script(
        "SELECT ';' AS \"a;b\" -- ; not here\n; /* ; */ VALUES ($$;$$);; EXPLAIN SELECT ';';VACUUM"
    )
    assert [type(one) for one in found] == [sql.Query, sql.Query, sql.Explain, sql.Vacuum]
    assert found[0].source == "SELECT ';' AS \"a;b\""
    assert found[2].statement.source == "SELECT ';'"
    assert parse_script(" ; -- nothing\n") == []


def test_one_statement_only():
    assert isinstance(parse_one("SELECT 1;"), sql.Query)
    for text in ("", "SELECT 1; SELECT 2"):
        with pytest.raises(ProgrammingError) as caught:
            parse_one(text)
        assert caught.value.code == "E_SYNTAX"


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("SELECT 1", 0),
        ("SELECT ? FROM t WHERE a = ? LIMIT ? OFFSET ?", 4),
        ("SELECT $2, $1, $2", 2),
        ("SELECT '?' || ?", 1),
        ('SELECT "?", ?::int', 1),
        ("INSERT INTO t VALUES (?, ?), (?, ?)", 4),
        ("EXPLAIN ANALYZE SELECT ? + ?", 2),
    ],
)
def test_parameters_are_counted(text, count):
    assert parse_one(text).parameters == count


def test_question_marks_are_numbered_in_the_order_of_the_text():
    tree = parse_one("SELECT a FROM t WHERE b = ? ORDER BY c OFFSET ? LIMIT ?").tree
    assert tree.args["where"].this.expression.name == "1"
    assert tree.args["offset"].expression.name == "2"
    assert tree.args["limit"].expression.name == "3"


@pytest.mark.parametrize(
    "text",
    [
        "SELECT ? + $1",
        "SELECT $0",
        "SELECT $x",
        "SELECT @a",
        "SELECT $ 1",
        "DROP TABLE ?",
        "VACUUM ?",
        "ANALYZE ?",
    ],
)
def test_parameters_that_are_not_understood(text):
    assert code(text) in ("E_PARAMETERS", "E_SYNTAX")


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 'secret",
        "SELECT 'secret' 'word' x y z",
        "SELECT * FRM 'secret'",
        "SELECT 1 + 'secret' +",
    ],
)
def test_errors_show_the_place_and_no_literal(text):
    with pytest.raises((ProgrammingError, NotSupportedError)) as caught:
        parse_script(text)
    assert "secret" not in str(caught.value)


def test_errors_name_the_line_of_the_statement():
    with pytest.raises(ProgrammingError) as caught:
        parse_script("EXPLAIN SELECT 1;\n\nSELECT a FROM t WHERE = 1")
    assert "line 3" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("BEGIN", sql.Begin(source="BEGIN")),
        (
            "start transaction read only",
            sql.Begin(source="start transaction read only", read_only=True),
        ),
        ("COMMIT WORK", sql.Commit(source="COMMIT WORK")),
        ("END", sql.Commit(source="END")),
        ("ABORT", sql.Rollback(source="ABORT")),
        ("SAVEPOINT a", sql.Savepoint(source="SAVEPOINT a", name="a")),
        (
            'ROLLBACK TO SAVEPOINT "a b"',
            sql.RollbackTo(source='ROLLBACK TO SAVEPOINT "a b"', name="a b"),
        ),
        ("RELEASE a", sql.Release(source="RELEASE a", name="a")),
        ("VACUUM FULL public.t", sql.Vacuum(source="VACUUM FULL public.t", table="t")),
        ("ANALYZE", sql.Analyze(source="ANALYZE")),
        ("analyze public.t", sql.Analyze(source="analyze public.t", table="t")),
        (
            'ANALYZE t (a, "B c")',
            sql.Analyze(source='ANALYZE t (a, "B c")', table="t", columns=("a", "B c")),
        ),
        (
            "SET TIME ZONE 'UTC'",
            sql.Set(source="SET TIME ZONE 'UTC'", name="timezone", value="UTC"),
        ),
        ("SHOW TimeZone", sql.Show(source="SHOW TimeZone", name="timezone", value="UTC")),
    ],
)
def test_control_statements(text, expected):
    assert parse_one(text) == expected


def test_isolation_levels():
    for level in ("REPEATABLE READ", "READ COMMITTED"):
        assert isinstance(parse_one(f"BEGIN ISOLATION LEVEL {level}"), sql.Begin)
    assert code("BEGIN ISOLATION LEVEL SERIALIZABLE", NotSupportedError) == "E_NOT_SUPPORTED"


def test_settings():
    assert code("SET time zone 'Europe/Berlin'", NotSupportedError) == "E_NOT_SUPPORTED"
    assert code("SET search_path TO other", NotSupportedError) == "E_NOT_SUPPORTED"
    with pytest.raises(ProgrammingError) as caught:
        parse_one("SHOW timezon")
    assert caught.value.code == "E_UNKNOWN_OPTION"
    assert "timezone" in caught.value.fix


def test_explain():
    assert parse_one("EXPLAIN (ANALYZE, COSTS off) SELECT 1").analyze
    assert not parse_one("EXPLAIN (ANALYZE false) SELECT 1").analyze
    assert parse_one("EXPLAIN VERBOSE DELETE FROM t").statement.table == "t"
    assert code("EXPLAIN CREATE TABLE t (a INT)", NotSupportedError) == "E_NOT_SUPPORTED"


def test_a_misspelt_first_word_is_suggested():
    with pytest.raises(ProgrammingError) as caught:
        parse_one("SELCT 1")
    assert "SELECT" in caught.value.fix


def test_tpch_queries_parse():
    folder = os.environ.get("ENCDB_TEST_DATA")
    if not folder:
        pytest.skip("ENCDB_TEST_DATA is not set")
    files = sorted(Path(folder).glob("tpch/queries/*.sql"))
    assert len(files) == 22
    for name in files:
        assert isinstance(parse_one(name.read_text(encoding="utf-8")), sql.Query)
