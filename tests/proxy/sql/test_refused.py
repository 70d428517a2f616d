"""What is not served is refused with its name, before anything is read; nothing is dropped silently."""

import pytest

from encdb.errors import DatabaseError, NotSupportedError, ProgrammingError
from proxy.sql.parse import parse_one
from proxy.sql.plan import plan_query
from proxy.sql.statements import Query
from proxy.sql.write import plan_insert
from tests.proxy.sql.harness import CATALOG


def planned(text):
    statement = parse_one(text)
    if isinstance(statement, Query):
        return plan_query(statement, CATALOG)
    return plan_insert(statement, CATALOG)


def refused(text):
    with pytest.raises(DatabaseError) as caught:
        planned(text)
    assert isinstance(caught.value, NotSupportedError | ProgrammingError)
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("SELECT * FROM t FOR UPDATE", "FOR UPDATE"),
        ("SELECT * FROM t FOR SHARE", "FOR SHARE"),
        ("SELECT * INTO w FROM t", "SELECT INTO"),
        ("SELECT * FROM t TABLESAMPLE SYSTEM (10)", "TABLESAMPLE"),
        ("SELECT * FROM ONLY t", "ONLY"),
        ("SELECT id FROM t ORDER BY x FETCH FIRST 3 ROWS WITH TIES", "WITH TIES"),
        ("SELECT * EXCLUDE (x) FROM t", "EXCLUDE"),
        ("SELECT id FROM t WHERE y LIKE ANY (ARRAY['a%'])", "LIKE ANY"),
        ("SELECT id FROM t WHERE y NOT LIKE ALL (ARRAY['a%'])", "LIKE ALL"),
        ("SELECT id FROM t WHERE y SIMILAR TO 'a%'", "SIMILAR TO"),
        ('SELECT y COLLATE "de_DE" FROM t', "de_DE"),
        ("SELECT id FROM t WHERE x = ANY ('{1,2}')", "array"),
        ("SELECT ARRAY[1] @> ARRAY[1]", "@>"),
        ("SELECT N'x'", "national"),
        ("SELECT b'101'", "bit string"),
        ("SELECT 0x1F", "hexadecimal"),
        ("SELECT 1_000", "number"),
        ("SELECT INTERVAL '1-2' YEAR TO MONTH", "INTERVAL"),
        ("SELECT unnest(ARRAY[1])", "FROM"),
        ("SELECT t.id FROM t JOIN u", "ON"),
        ("SELECT t.id FROM t INNER JOIN u", "ON"),
        ("SELECT t.id FROM t LEFT JOIN u", "ON"),
        ("SELECT count(t.*) FROM t", "*"),
        ("SELECT t FROM t", "row"),
        ("SELECT row_to_json(t) FROM t", "row_to_json"),
        ("SELECT * FROM t a LEFT SEMI JOIN u b ON a.id = b.id", "SEMI"),
        ("SELECT * FROM (t JOIN u USING (id)) AS j", "alias"),
        ("SELECT id FROM t UNION BY NAME SELECT id FROM u", ""),
        ("WITH d AS (DELETE FROM t RETURNING *) SELECT * FROM d", "DELETE"),
        ("SELECT id FROM t WHERE notes @@ y", "@@"),
        ("SELECT id FROM t WHERE notes @@ to_tsquery('x')", "@@"),
        ("SELECT notes FROM (SELECT notes FROM t) q WHERE q.notes @@ 'x'", "@@"),
        ("SELECT id FROM t WHERE y @@ 'x'", "keyword index"),
        ("SELECT x::regclass FROM t", "REGCLASS"),
        ("SELECT x::money FROM t", "MONEY"),
        ("SELECT ts::timestamp(3) FROM t", "6"),
        ("SELECT x::numeric(50, 2) FROM t", "NUMERIC"),
        ("SELECT to_char(ts, 'Day') FROM t", "format"),
        ("SELECT to_char(x, '999') FROM t", "format"),
        ("SELECT encode(bl, 'escape') FROM t", "encoding"),
        ("SELECT extract(julian FROM ts) FROM t", "JULIAN"),
        ("SELECT substring(y FROM '[0-9]+') FROM t", "substring"),
        ("INSERT INTO t (id) VALUES (1) ON CONFLICT DO NOTHING", "ON CONFLICT"),
        ("INSERT INTO t (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET x = 1", "ON CONFLICT"),
        ("INSERT OR REPLACE INTO t (id) VALUES (1)", ""),
        ("UPDATE ONLY t SET x = 1", "ONLY"),
        ("UPDATE t SET (x, s) = (SELECT 1, 2)", "SET"),
        ("MERGE INTO t USING u ON t.id = u.id WHEN MATCHED THEN DELETE", "MERGE"),
        ("ALTER TABLE t ADD COLUMN q INT", "ALTER"),
        ("TRUNCATE t", "TRUNCATE"),
        ("COPY t FROM 'x.csv'", "COPY"),
        ("CREATE VIEW w AS SELECT 1", "VIEW"),
        ("CREATE FUNCTION f() RETURNS int AS 'x'", "FUNCTION"),
        ("CREATE EXTENSION x", "EXTENSION"),
        ("PREPARE p AS SELECT 1", "PREPARE"),
        ("LISTEN x", "LISTEN"),
        ("DECLARE c CURSOR FOR SELECT 1", "DECLARE"),
        ("GRANT ALL ON t TO x", "GRANT"),
        ("DO $$ $$", "DO"),
    ],
)
def test_not_served(text, named):
    assert named.casefold() in str(refused(text)).casefold()


@pytest.mark.parametrize(
    "text",
    [
        "SELECT read_csv('/etc/passwd')",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_csv_auto('/etc/passwd')",
        "SELECT * FROM read_parquet('x')",
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM read_blob('/etc/passwd')",
        "SELECT * FROM read_json('x')",
        "SELECT * FROM glob('*')",
        "SELECT * FROM sniff_csv('x')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM 'x.parquet'",
        'SELECT * FROM "/etc/passwd"',
        "SELECT getenv('HOME')",
        "SELECT * FROM duckdb_settings()",
        "SELECT * FROM duckdb_tables()",
        "SELECT * FROM pragma_table_info('t')",
        "SELECT * FROM sqlite_scan('x', 'y')",
        "SELECT * FROM postgres_scan('x', 'y', 'z')",
        "SELECT * FROM query('SELECT 1')",
        "SELECT * FROM query_table('t')",
        "SELECT getvariable('x')",
        "SELECT current_setting('temp_directory')",
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT pg_sleep(10)",
        "SELECT lo_import('/etc/passwd')",
        "SELECT nextval('s')",
        "SELECT currval('s')",
        "SELECT version()",
        "SELECT current_user",
        "SELECT current_schema()",
        "SELECT current_database()",
        "SELECT * FROM information_schema.tables",
        "SELECT * FROM pg_catalog.pg_class",
        "SELECT * FROM duckdb.t",
        "SELECT * FROM temp.t",
        "SELECT * FROM memory.main.t",
        "SELECT * FROM sqlite_master",
        "SELECT COLUMNS('x') FROM t",
        "SELECT __ordinal FROM t",
        "SELECT rowid FROM t",
        "SELECT ctid FROM t",
        "SELECT list_transform([1], x -> x + 1)",
        "PRAGMA database_list",
        "ATTACH 'x.db'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "EXPORT DATABASE 'x'",
        "IMPORT DATABASE 'x'",
        "CALL pragma_version()",
        "USE x",
        "CHECKPOINT",
        "SET memory_limit = '1TB'",
        "SET enable_external_access = true",
        "RESET ALL",
        "FROM t",
        "SUMMARIZE t",
        "DESCRIBE t",
        "PIVOT t ON x",
        "SELECT * FROM t PIVOT (sum(x) FOR s IN (1))",
        "SELECT * FROM t POSITIONAL JOIN u",
        "SELECT * FROM t ASOF JOIN u ON t.id >= u.id",
    ],
)
def test_nothing_reaches_the_engine_that_could_reach_further(text):
    refused(text)


def test_a_long_chain_is_no_deep_recursion():
    chain = " OR ".join(f"x = {n}" for n in range(3000))
    plan = plan_query(parse_one(f"SELECT id FROM t WHERE {chain}"), CATALOG)
    assert len(plan.accesses[0].predicate.operands) == 3000


def test_deep_nesting_is_an_error_not_a_crash():
    refused("SELECT " + "(" * 5000 + "1" + ")" * 5000)


def test_suggestions():
    for text, wanted in (
        ("SELECT * FROM tt", '"t"'),
        ("SELECT iid FROM t", '"id"'),
        ("SELECT t.iid FROM t", '"id"'),
        ("SELECT q.id FROM t", '"t"'),
        ("SELECT lowr(y) FROM t", '"lower"'),
        ("SELECT z.* FROM u", '"u"'),
    ):
        error = refused(text)
        assert error.code in ("E_UNKNOWN_TABLE", "E_UNKNOWN_COLUMN", "E_UNKNOWN_FUNCTION")
        assert wanted in error.fix


def test_a_certain_mistake_is_found_in_every_place():
    for text in (
        "SELECT 1 FROM t WHERE nope = 1",
        "SELECT 1 FROM t JOIN u ON t.nope = u.id",
        "SELECT 1 FROM t GROUP BY nope",
        "SELECT 1 FROM t ORDER BY nope",
        "SELECT 1 FROM t WHERE EXISTS (SELECT 1 FROM u WHERE u.id = t.nope)",
        "SELECT 1 FROM (SELECT nope FROM t) q",
        "SELECT q.nope FROM (SELECT id FROM t) q",
        "WITH c AS (SELECT id FROM t) SELECT nope FROM c",
        "SELECT sum(x) OVER (PARTITION BY nope) FROM t",
    ):
        assert refused(text).code == "E_UNKNOWN_COLUMN"
