import json

import pytest

from encdb.errors import ProgrammingError, TamperError, err
from proxy.result import Result

UNKNOWN = err(ProgrammingError, "E_UNKNOWN_TABLE", 'there is no table "x"', "Use another")


def test_a_command_writes_a_table(run, session, people):
    session.answers["SELECT 1"] = people
    done = run("shell", "vault.db", "-c", "SELECT 1")
    assert done.status == 0
    assert done.err == ""
    assert done.out == "zip     n\n─────  ──\n06018   2\nNULL   17\n(2 rows)\n"


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("--json", '[{"zip": "06018", "n": 2},\n {"zip": null, "n": 17}]\n'),
        ("--nl", '{"zip": "06018", "n": 2}\n{"zip": null, "n": 17}\n'),
        ("--csv", "zip,n\n06018,2\n,17\n"),
    ],
)
def test_forms_for_programs(run, session, people, form, text):
    session.answers["SELECT 1"] = people
    done = run("shell", "vault.db", form, "-c", "SELECT 1; INSERT 2;")
    assert (done.status, done.out, done.err) == (0, text, "")
    assert session.executed == ["SELECT 1", "INSERT 2"]


def test_several_results_are_one_array(run, session, people):
    session.answers["SELECT 1"] = people
    done = run("shell", "vault.db", "--json", "-c", "SELECT 1", "-c", "SELECT 1")
    assert len(json.loads(done.out)) == 4


def test_no_result_is_an_empty_array(run):
    assert run("shell", "vault.db", "--json", "-c", "INSERT 1").out == "[]\n"


def test_a_tag_is_said_on_stderr(run, session):
    session.answers["INSERT 1"] = Result("done", "INSERT 0 1", notices=("one more thing",))
    done = run("shell", "vault.db", "-c", "INSERT 1")
    assert (done.status, done.out) == (0, "")
    assert done.err == "notice: one more thing\nINSERT 0 1\n"


def test_a_script_stops_at_its_first_error(run, session, people):
    session.answers.update({"SELECT 1": people, "SELECT\nx": UNKNOWN})
    done = run("shell", "vault.db", "--json", stdin="SELECT 1;\nSELECT\nx; SELECT 3;\n")
    assert done.status == 1
    assert session.executed == ["SELECT 1", "SELECT\nx"]
    assert len(json.loads(done.out)) == 2
    assert done.err == 'encdb: error E_UNKNOWN_TABLE: there is no table "x". Use another\n'


def test_a_script_is_quiet_and_may_omit_the_last_semicolon(run, session):
    done = run("shell", "vault.db", stdin="-- note\nINSERT 1;\nINSERT\n 2")
    assert (done.status, done.out, done.err) == (0, "", "")
    assert session.executed == ["-- note\nINSERT 1", "INSERT\n 2"]


def test_integrity_keeps_its_status(run, session):
    session.answers["SELECT 1"] = err(TamperError, "E_TAMPERED", "no", "Stop")
    assert run("shell", "vault.db", "-c", "SELECT 1").status == 4


def test_an_open_transaction_is_mentioned(run):
    done = run("shell", "vault.db", stdin="BEGIN; INSERT 1;")
    assert done.status == 0
    assert done.err == "notice: the open transaction was rolled back\n"


def test_quit_leaves_at_once(run, session):
    assert run("shell", "vault.db", stdin="INSERT 1;\n\\q\nINSERT 2;\n").status == 0
    assert session.executed == ["INSERT 1"]


def test_a_backslash_within_a_statement_is_sql(run, session):
    run("shell", "vault.db", stdin="SELECT\n\\dt\n;\n")
    assert session.executed == ["SELECT\n\\dt"]


@pytest.mark.parametrize("spelling", ["\\dt", ".tables", "\\d"])
def test_tables(run, spelling):
    done = run("shell", "vault.db", "-c", spelling)
    assert done.status == 0
    assert done.out == (
        "table      columns  indexes\n"
        "─────────  ───────  ───────\n"
        "residents        5        6\n"
        "zips             2        0\n"
        "(2 rows)\n"
    )


def test_describe_calls_indexes_hidden_or_visible(run):
    done = run("shell", "vault.db", "-c", "\\d RESIDENTS;")
    assert done.status == 0
    lines = done.out.splitlines()
    assert lines[0] == "Table residents"
    assert lines[lines.index("Indexes") - 1] == ""
    text = done.out
    assert "id         BIGINT       primary key\n" in text
    assert "age        SMALLINT     not null\n" in text
    assert "email      TEXT         unique\n" in text
    by_name = {line.split()[0]: line for line in lines if line.startswith("residents_")}
    assert by_name["residents_zip_idx"].endswith("hidden; query: pattern, volume")
    assert by_name["residents_age_idx"].split()[1] == "range"
    assert by_name["residents_age_idx"].endswith("hidden; query: range, order over time")
    assert by_name["residents_tag_idx"].endswith("server-visible: equality at rest")
    assert by_name["residents_pkey"].split()[3:5] == ["primary", "key"]
    assert by_name["residents_pkey"].endswith("hidden; update, query: pattern, volume")
    assert "Check residents_check: age >= 0" in lines
    assert "Foreign key residents_zip_fkey (not enforced): (zip) → zips(code)" in lines


def test_describe_for_programs(run):
    listed = json.loads(run("shell", "vault.db", "--json", "-c", "\\d residents").out)
    assert {"column": "zip", "type": "TEXT", "constraint": None, "default": "'00000'"} in listed
    assert [one["leakage"] for one in listed if one.get("index") == "residents_tag_idx"] == [
        "server-visible: equality at rest"
    ]


def test_describe_suggests_a_name(run):
    done = run("shell", "vault.db", "-c", "\\d resident")
    assert done.status == 1
    assert 'Did you mean "residents"?' in done.err


def test_schema_is_sql(run):
    out = run("shell", "vault.db", "-c", ".schema").out
    assert '  "Home Town" VARCHAR(20),' in out
    assert "  zip TEXT DEFAULT '00000'," in out
    assert "  CONSTRAINT residents_pkey PRIMARY KEY (id)," in out
    assert "  CONSTRAINT residents_check CHECK (age >= 0)," in out
    assert "FOREIGN KEY (zip) REFERENCES zips (code) ON DELETE CASCADE" in out
    assert 'CREATE TABLE zips (\n  code TEXT,\n  "order" INTEGER\n);' in out
    assert (
        'CREATE INDEX residents_town_idx ON residents USING keyword ("Home Town") '
        "WITH (language = 'english');" in out
    )
    assert run("shell", "vault.db", "--nl", "-c", ".schema zips").out.startswith('{"sql": "CREATE')


def test_timing_and_expanded(run, session, people):
    session.answers["SELECT 1"] = people
    done = run("shell", "vault.db", stdin="\\timing on\n\\x\nSELECT 1;\n\\timing off\nSELECT 1;\n")
    assert done.err.count("Time: ") == 1
    assert done.out.count("── row 1 ──\nzip  06018\nn    2\n") == 2


def test_unknown_shell_commands_and_switches(run):
    assert "E_SYNTAX" in run("shell", "vault.db", "-c", "\\nope").err
    assert run("shell", "vault.db", "-c", "\\timing maybe").status == 1


def test_help_names_every_command(run):
    help_text = run("shell", "vault.db", "-c", "\\?").err
    assert "\\dt  .tables" in help_text
    assert "Ctrl-D" in help_text


def test_the_store_is_closed_after_an_error(run, session, connections):
    session.answers["SELECT x"] = UNKNOWN
    run("shell", "vault.db", "--keyring", "k", "-c", "SELECT x")
    assert connections == [("vault.db", "k", None), "closed"]
