"""Transcripts of every command on real stores."""

import io
import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from proxy.cli.main import main

CSV = "id,zip,age,note\n1,06018,39,first\n2,,40,\n3,06019,41,third\n"


@pytest.fixture
def encdb(tmp_path, monkeypatch, capsys):
    """Run one command line in an empty folder with a configuration folder of its own."""
    for name in ("ENCDB_KEYRING", "ENCDB_PASSPHRASE", "ENCDB_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)

    def command(*arguments, stdin=""):
        data = stdin if isinstance(stdin, bytes) else stdin.encode()
        stream = io.TextIOWrapper(io.BytesIO(data), encoding="utf-8")
        monkeypatch.setattr(sys, "stdin", stream)
        status = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return SimpleNamespace(status=status, out=captured.out, err=captured.err)

    command.folder = work
    command.config = tmp_path / "config" / "encdb"
    return command


@pytest.fixture
def vault(encdb):
    """The same with an empty store vault.db."""
    assert encdb("init", "vault.db", "--no-passphrase").status == 0
    return encdb


@pytest.fixture
def people(vault):
    """The same with a table of three rows."""
    (vault.folder / "people.csv").write_text(CSV)
    done = vault(
        "import", "vault.db", "people.csv", "--table", "people", "--pk", "id",
        "--index", "equality:zip", "--index", "range:age",
    )  # fmt: skip
    assert (done.status, done.out, done.err) == (0, "people: 3 rows\n", "")
    return vault


def answer(encdb, sql, store="vault.db"):
    done = encdb("shell", store, "--json", "-c", sql)
    assert (done.status, done.err) == (0, "")
    return [tuple(row.values()) for row in json.loads(done.out)]


def refused(done, status, code):
    """One line on stderr that ends a failed command; everything before it is notices."""
    assert done.status == status, done
    *notices, last = done.err.splitlines()
    assert last.startswith(f"encdb: error {code}: ")
    assert all(line.startswith(("notice: ", "skipped ")) for line in notices)
    return last


# --- init ---------------------------------------------------------------------------------------


def test_init_says_where_the_keyring_is(encdb):
    done = encdb("init", "vault.db", "--no-passphrase")
    assert done.status == 0
    (keyring,) = encdb.config.glob("*.keyring")
    assert f"Keyring:  {keyring}\n" in done.out
    assert "Losing the keyring loses the data." in done.out


def test_init_for_programs(encdb):
    (made,) = json.loads(encdb("init", "v.db", "--no-passphrase", "--keyring", "k", "--json").out)
    assert made["store"] == "v.db"
    assert made["keyring"] == "k"
    assert made["protected"] is False
    assert len(made["database"]) == 32


def test_init_asks_nothing_without_a_terminal(encdb):
    line = refused(encdb("init", "vault.db"), 2, "E_NO_TERMINAL")
    assert "--passphrase-file" in line
    assert list(encdb.folder.iterdir()) == []


def test_init_never_overwrites(people):
    before = (people.folder / "vault.db").read_bytes()
    keyrings = sorted(people.config.iterdir())
    refused(people("init", "vault.db", "--no-passphrase"), 1, "E_STORE_EXISTS")
    assert (people.folder / "vault.db").read_bytes() == before
    assert sorted(people.config.iterdir()) == keyrings


def test_passphrases(encdb, monkeypatch):
    (encdb.folder / "right").write_text("correct horse\n")
    (encdb.folder / "wrong").write_text("battery staple\n")
    done = encdb("init", "vault.db", "--passphrase-file", "right")
    assert done.status == 0
    assert "its passphrase" in done.out
    refused(encdb("check", "vault.db"), 3, "E_PASSPHRASE_MISSING")
    refused(encdb("check", "vault.db", "--passphrase-file", "wrong"), 3, "E_PASSPHRASE_WRONG")
    assert encdb("check", "vault.db", "--passphrase-file", "right").status == 0
    assert encdb("check", "vault.db", "--passphrase-file", "-", stdin="correct horse\n").status == 0
    monkeypatch.setenv("ENCDB_PASSPHRASE", "correct horse")
    assert encdb("check", "vault.db").status == 0


def test_a_passphrase_and_a_script_share_stdin(encdb):
    encdb("init", "vault.db", "--passphrase-file", "-", stdin="word\n")
    done = encdb(
        "shell", "vault.db", "--csv", "--passphrase-file", "-", stdin="word\nSELECT 1 AS a;\n"
    )
    assert (done.status, done.out, done.err) == (0, "a\n1\n", "")


# --- opening ------------------------------------------------------------------------------------


def test_stores_that_cannot_be_opened(vault):
    refused(vault("check", "none.db"), 1, "E_STORE_MISSING")
    assert not (vault.folder / "none.db").exists()
    (vault.folder / "text").write_text("hello " * 1000)
    refused(vault("check", "text"), 1, "E_NOT_A_DATABASE")
    sqlite3.connect(vault.folder / "plain.db").execute("CREATE TABLE t (a)").connection.close()
    refused(vault("check", "plain.db"), 1, "E_NOT_A_STORE")
    refused(vault("check", "mysql://host/db"), 2, "E_STORE_KIND")


def test_keyrings_that_do_not_open(vault):
    vault("init", "other.db", "--no-passphrase", "--keyring", "other.keyring")
    refused(vault("check", "vault.db", "--keyring", "none"), 3, "E_KEYRING_MISSING")
    refused(vault("check", "vault.db", "--keyring", "other.keyring"), 3, "E_KEYRING_OTHER_DATABASE")
    refused(vault("check", "other.db"), 3, "E_KEYRING_MISSING")
    assert vault("check", "sqlite:///other.db", "--keyring", "other.keyring").status == 0


# --- import -------------------------------------------------------------------------------------


def test_import_detects_types_and_makes_indexes(people):
    out = people("shell", "vault.db", "-c", "\\d people").out
    assert "id      BIGINT  primary key" in out
    assert "zip     TEXT\n" in out
    assert (
        "people_age_idx  range     age      no           hidden; query: range, order over time"
        in out
    )
    assert answer(people, "SELECT * FROM people ORDER BY id") == [
        (1, "06018", 39, "first"),
        (2, None, 40, None),
        (3, "06019", 41, "third"),
    ]


def test_import_from_stdin_with_types(vault):
    done = vault(
        "import", "vault.db", "-", "--table", "t", "--type", "b=DECIMAL(10,2)", "--json",
        stdin='[{"a": "x", "b": 1.5}, {"a": "y", "b": 2}]',
    )  # fmt: skip
    (report,) = json.loads(done.out)
    assert (report["table"], report["rows"], report["created"]) == ("t", 2, True)
    assert answer(vault, "SELECT b FROM t ORDER BY a") == [("1.50",), ("2.00",)]


def test_import_adds_to_a_table_with_its_types(people):
    done = people("import", "vault.db", "-", "--table", "PEOPLE", stdin="zip,id\n7,4\n8,5\n")
    assert (done.status, done.out, done.err) == (0, "PEOPLE: 2 rows\n", "")
    rows = answer(people, "SELECT * FROM people WHERE id > 3 ORDER BY id")
    assert rows == [(4, "7", None, None), (5, "8", None, None)]
    other = people("import", "vault.db", "-", "--table", "people", stdin="id,zipp\n6,7\n")
    assert 'Did you mean "zip"?' in refused(other, 1, "E_UNKNOWN_COLUMN")
    wrong = people("import", "vault.db", "-", "--table", "people", "--type", "id=TEXT",
                   stdin="id\n6\n")  # fmt: skip
    refused(wrong, 1, "E_TYPE_MISMATCH")


def test_a_failed_import_leaves_nothing(vault):
    cases = [
        ("a,b\n1,2\n3\n", [], "E_CSV_MALFORMED", "line 3"),
        ("a,b\n1,2\n1,3\n", ["--pk", "a"], "E_DUPLICATE_KEY", ""),
        ("a,b\n1,2\n,3\n", ["--pk", "a"], "E_NOT_NULL", ""),
        ("a,b\n1,2\n", ["--pk", "c"], "E_UNKNOWN_COLUMN", ""),
        ("a,b\n1,2\n", ["--index", "equality:aa"], "E_UNKNOWN_COLUMN", 'Did you mean "a"?'),
        ("a,b\n1,2\n3,x\n", ["--type", "b=BIGINT"], "E_IMPORT_VALUE", "line 3"),
        ("a,b\n1,2\n", ["--type", "z=TEXT"], "E_UNKNOWN_COLUMN", ""),
    ]
    for text, options, code, part in cases:
        done = vault("import", "vault.db", "-", "--table", "t", *options, stdin=text)
        assert part in refused(done, 1, code)
        assert done.out == ""
        assert vault("shell", "vault.db", "--json", "-c", ".tables").out == "[]\n"


def test_import_usage(vault):
    line = refused(vault("import", "vault.db", "-", "--table", "t", "--index", "eqality:a"), 1,
                   "E_UNKNOWN_METHOD")  # fmt: skip
    assert "equality" in line
    refused(vault("import", "vault.db", "-", "--table", "t", "--index", "zip"), 2, "E_USAGE")
    refused(vault("import", "vault.db", "-", "--table", "t", "--type", "a=NUMBR"), 2, "E_USAGE")
    refused(vault("import", "vault.db", "-", "--pk", "a"), 2, "E_USAGE")
    refused(vault("import", "vault.db", "-", stdin="a\n1\n"), 2, "E_USAGE")
    refused(vault("import", "vault.db", "none.csv", "--table", "t"), 1, "E_INPUT_FILE")
    refused(vault("import", "vault.db", "-", "--format", "sqlite"), 2, "E_IMPORT_FORMAT")


def test_import_in_batches(vault):
    rows = "a,b\n" + "".join(f"{number},x\n" for number in range(1, 11))
    done = vault("import", "vault.db", "-", "--table", "t", "--batch", "4", stdin=rows)
    assert done.status == 0
    assert done.out.startswith("t: 10 rows, the last at line 1")
    again = vault("import", "vault.db", "-", "--table", "u", "--pk", "a", "--batch", "4",
                  stdin=rows + "11,x\n12,x\n1,x\n")  # fmt: skip
    refused(again, 1, "E_DUPLICATE_KEY")
    committed = "notice: 12 rows of u were committed before the error, the last before line 14\n"
    assert again.err.startswith(committed)
    assert answer(vault, "SELECT count(*) FROM u") == [(12,)]


@pytest.fixture
def shop(vault):
    source = sqlite3.connect(vault.folder / "shop.sqlite")
    source.executescript(
        "CREATE TABLE maker (id INTEGER PRIMARY KEY, name NVARCHAR(20) NOT NULL UNIQUE);"
        "CREATE TABLE item (id INTEGER PRIMARY KEY, price NUMERIC(10,2), sold DATETIME,"
        " maker INTEGER REFERENCES maker(id));"
        "INSERT INTO maker VALUES (1, 'ACME');"
        "INSERT INTO item VALUES (1, 9.99, '2026-01-02 03:04:05', 1), (2, NULL, NULL, 1);"
    )
    source.close()
    return vault


def test_import_of_a_whole_sqlite_file(shop):
    done = shop("import", "vault.db", "shop.sqlite")
    assert (done.status, done.out) == (0, "maker: 1 row\nitem: 2 rows\n")
    rows = answer(
        shop, "SELECT i.*, m.name FROM item i JOIN maker m ON m.id = i.maker ORDER BY i.id"
    )
    assert rows == [(1, "9.99", "2026-01-02T03:04:05", 1, "ACME"), (2, None, None, 1, "ACME")]
    assert "Foreign key" in shop("shell", "vault.db", "-c", "\\d item").out


def test_import_of_one_table_of_an_sqlite_file(shop):
    done = shop("import", "vault.db", "shop.sqlite", "--table", "ITEM", "--index", "range:price")
    assert (done.status, done.out) == (0, "item: 2 rows\n")
    refused(shop("import", "vault.db", "shop.sqlite", "--table", "itms"), 1, "E_UNKNOWN_TABLE")


def test_a_failed_import_of_an_sqlite_file_leaves_nothing(shop):
    with sqlite3.connect(shop.folder / "shop.sqlite") as source:
        source.execute("INSERT INTO item (id, price) VALUES (3, 'cheap')")
    done = shop("import", "vault.db", "shop.sqlite")
    line = refused(done, 1, "E_IMPORT_VALUE")
    assert 'table "item", row 3, column "price"' in line
    assert "cheap" not in line
    assert shop("shell", "vault.db", "--json", "-c", ".tables").out == "[]\n"


# --- shell --------------------------------------------------------------------------------------


def test_a_session_of_sql(people):
    script = (
        "BEGIN;\nUPDATE people SET age = 50 WHERE id = 1;\nSELECT age FROM people WHERE id = 1;\n"
        "ROLLBACK;\nSELECT age FROM people WHERE id = 1;\n"
    )
    done = people("shell", "vault.db", "--csv", stdin=script)
    assert (done.status, done.out, done.err) == (0, "age\n50\nage\n39\n", "")


def test_errors_of_sql_are_one_line(people):
    cases = [
        ("SELEC 1", "E_SYNTAX"),
        ("SELECT agee FROM people", "E_UNKNOWN_COLUMN"),
        ("SELECT * FROM peeple", "E_UNKNOWN_TABLE"),
        ("INSERT INTO people (id) VALUES (1)", "E_DUPLICATE_KEY"),
        ("INSERT INTO people (id, age) VALUES (7, 99999999999999999999)", "E_OUT_OF_RANGE"),
        ("CREATE INDEX ON people USING btree (age)", "E_UNKNOWN_METHOD"),
        ("CREATE VIEW v AS SELECT 1", "E_NOT_SUPPORTED"),
        ("SELECT 'open", "E_SYNTAX"),
        ("COMMIT; SELECT $", "E_SYNTAX"),
    ]
    for sql, code in cases:
        done = people("shell", "vault.db", "--json", "-c", sql)
        if code == "E_SYNTAX":
            assert done.status == 1
            assert done.err.splitlines()[-1].startswith("encdb: error E_")
            assert "E_INTERNAL" not in done.err
        else:
            refused(done, 1, code)
        assert done.out == "[]\n"


def test_scripts_are_utf_8(people):
    done = people("shell", "vault.db", "--csv", stdin=b"\xef\xbb\xbfSELECT '\xc3\xa4' AS a;\r\n")
    assert (done.status, done.out) == (0, "a\nä\n")
    line = refused(
        people("shell", "vault.db", stdin=b"SELECT 1;\nSELECT '\xff';"), 1, "E_INPUT_FILE"
    )
    assert "Line 2" in line


def test_names_that_are_no_text(people):
    odd = b"odd\xff.db".decode("utf-8", "surrogateescape")
    made = people("init", odd, "--no-passphrase", "--json")
    assert json.loads(made.out)[0]["store"] == odd
    assert people("check", odd).status == 0
    refused(people("shell", "vault.db", "-c", "SELECT '\udcff'"), 1, "E_SYNTAX")
    (people.folder / "a.txt").write_text("hello")
    people("add", "vault.db", "a.txt")
    assert people("search", "vault.db", "hello\udcff").status in (0, 1)


def test_several_statements_in_one_command(people):
    done = people(
        "shell", "vault.db", "--nl", "-c",
        "INSERT INTO people (id, note) VALUES (9, 'a;b'); SELECT note FROM people WHERE id = 9",
    )  # fmt: skip
    assert (done.status, done.out) == (0, '{"note": "a;b"}\n')


def test_the_schema_makes_the_same_tables(people):
    schema = people("shell", "vault.db", "-c", ".schema").out
    people("init", "copy.db", "--no-passphrase")
    assert people("shell", "copy.db", stdin=schema).status == 0
    assert people("shell", "copy.db", "-c", ".schema").out == schema


# --- documents ----------------------------------------------------------------------------------


@pytest.fixture
def letters(vault):
    mail = vault.folder / "mail"
    mail.mkdir()
    (mail / "one.txt").write_text(
        "From: Ada <ada@example.org>\nTo: bob@example.org\nSubject: Kernel drivers\n"
        "Date: Mon, 5 Jan 2026 10:00:00 +0000\n\nThe linux driver is ready.\n"
    )
    (mail / "two.md").write_text("# Gardening\n\nNothing about computers.\n")
    (mail / "three.bin").write_bytes(b"\x00\x01\x02" * 50)
    return vault


def test_add_and_search(letters):
    done = letters("add", "vault.db", "mail")
    assert (done.status, done.out) == (0, "2 documents added to documents, 1 skipped\n")
    assert done.err.startswith("skipped mail/three.bin: ")
    again = letters("add", "vault.db", "mail", "--json")
    assert json.loads(again.out) == [
        {"collection": "documents", "added": 0, "replaced": 0, "present": 2, "skipped": 1}
    ]
    found = letters("search", "vault.db", "linux AND (kernel OR gardening)", "--json")
    assert found.status == 0
    (hit,) = json.loads(found.out)
    assert (hit["path"], hit["title"]) == ("mail/one.txt", "Kernel drivers")
    assert hit["score"] > 0


def test_search_follows_grep(letters):
    letters("add", "vault.db", "mail", "--collection", "mail")
    none = letters("search", "vault.db", "unheardof", "--collection", "mail", "--json")
    assert (none.status, none.out, none.err) == (1, "[]\n", "")
    refused(letters("search", "vault.db", "linux AND", "--collection", "mail"), 2, "E_MATCH_QUERY")
    refused(letters("search", "vault.db", "linux", "--collection", "mial"), 2, "E_UNKNOWN_TABLE")
    refused(letters("search", "none.db", "linux"), 2, "E_STORE_MISSING")
    refused(letters("search", "vault.db", "linux", "--keyring", "none"), 3, "E_KEYRING_MISSING")
    dashed = letters("search", "vault.db", "--collection", "mail", "--", "-computers linux")
    assert dashed.status == 0


def test_add_refuses_what_is_no_collection(people):
    (people.folder / "note.txt").write_text("hello")
    refused(
        people("add", "vault.db", "note.txt", "--collection", "people"), 1, "E_COLLECTION_SHAPE"
    )
    refused(people("add", "vault.db", "none.txt"), 2, "E_USAGE")


# --- check --------------------------------------------------------------------------------------


def test_check(people):
    done = people("check", "vault.db")
    assert (done.status, done.err) == (0, "")
    assert done.out.endswith("Everything verifies.\n")
    assert all(
        line["result"] == "ok" for line in json.loads(people("check", "vault.db", "--json").out)
    )


def test_check_finds_a_changed_row(people):
    with sqlite3.connect(people.folder / "vault.db") as store:
        ((relation,),) = store.execute(
            "SELECT name FROM sqlite_master WHERE name LIKE 'rows%' AND type = 'table'"
        ).fetchall()
        ((label, blob), *_) = store.execute(f"SELECT label, blob FROM {relation}").fetchall()
        damaged = bytes([blob[0] ^ 1]) + blob[1:]
        store.execute(f"UPDATE {relation} SET blob = ? WHERE label = ?", (damaged, label))
    store.close()
    done = people("check", "vault.db")
    refused(done, 4, "E_TAMPERED")
    assert "Everything verifies." not in done.out
    refused(people("shell", "vault.db", "-c", "SELECT * FROM people"), 4, "E_TAMPERED")


# --- keyring ------------------------------------------------------------------------------------


def test_a_keyring_moves_to_another_machine(people):
    done = people("keyring", "export", "vault.db", "copy.keyring")
    assert (done.status, done.out) == (0, "Keyring copied to copy.keyring\n")
    refused(people("keyring", "export", "vault.db", "copy.keyring"), 3, "E_KEYRING_EXISTS")
    for path in people.config.iterdir():
        path.unlink()
    refused(people("check", "vault.db"), 3, "E_KEYRING_MISSING")
    done = people("keyring", "import", "vault.db", "copy.keyring", "--json")
    assert done.status == 0
    (placed,) = json.loads(done.out)
    assert placed["keyring"].startswith(str(people.config))
    assert people("check", "vault.db").status == 0


def test_a_copy_with_a_new_passphrase(people):
    (people.folder / "new").write_text("a new one\n")
    done = people("keyring", "export", "vault.db", "copy", "--new-passphrase-file", "new")
    assert done.status == 0
    refused(people("check", "vault.db", "--keyring", "copy"), 3, "E_PASSPHRASE_MISSING")
    assert people("check", "vault.db", "--keyring", "copy", "--passphrase-file", "new").status == 0
    refused(people("keyring", "export", "vault.db", "x", "--new-passphrase"), 2, "E_NO_TERMINAL")
    both = people("keyring", "export", "vault.db", "x", "--new-passphrase",
                  "--new-passphrase-file", "new")  # fmt: skip
    refused(both, 2, "E_USAGE")


def test_a_keyring_of_another_database_is_refused(people):
    people("init", "other.db", "--no-passphrase", "--keyring", "other")
    done = people("keyring", "import", "vault.db", "other", "--keyring", "place")
    refused(done, 3, "E_KEYRING_OTHER_DATABASE")
    assert not (people.folder / "place").exists()


# --- demo ---------------------------------------------------------------------------------------


def test_the_demo_shows_what_the_store_received(encdb):
    first = encdb("demo")
    assert (first.status, first.err) == (0, "")
    assert first.out.count("what the store received") == 3
    for kind in ("ReadHeads", "ReadPages", "ReadPacks"):
        assert kind in first.out
    thief = first.out.split("What a thief finds")[1]
    counts = [line.split()[-2:] for line in thief.splitlines() if line[-1:].isdigit()]
    assert len(counts) == 5
    assert all(int(plain) > 0 and int(sealed) == 0 for plain, sealed in counts)
    assert list(encdb.folder.iterdir()) == []
    assert encdb("demo").out == first.out


def test_the_demo_for_programs(encdb):
    average, over, search = json.loads(encdb("demo", "--json").out)
    assert len(average["answer"]) == 8
    assert all(row["age"] > 98 for row in over["answer"])
    assert search["received"][0].keys() == {"message", "ids", "bytes"}


def test_the_demo_can_be_kept(encdb):
    done = encdb("demo", "--keep", "county")
    assert done.status == 0
    keyring = encdb.folder / "county" / "county.keyring"
    assert "encdb shell county/county.db --keyring county/county.keyring" in done.out
    shown = encdb("shell", "county/county.db", "--keyring", keyring, "--csv",
                  "-c", "SELECT count(*) AS n FROM residents")  # fmt: skip
    assert shown.out == "n\n4000\n"
    refused(encdb("demo", "--keep", "county"), 2, "E_USAGE")


def test_a_reader_that_goes_away_is_no_error(vault):
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[3])}
    process = subprocess.Popen(
        [sys.executable, "-m", "encdb", "shell", "vault.db", "--csv",
         "-c", "SELECT * FROM generate_series(1, 300000) g(x)"],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout.readline() == b"x\n"
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(60) == 141
