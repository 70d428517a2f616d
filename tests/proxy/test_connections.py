"""A PostgreSQL that goes away around a statement: what was stored has succeeded, and is not done twice."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from tests.fixtures.databases import Database, check_ok, refused, rows

pytestmark = pytest.mark.stores("postgres")
address = pytest.importorskip("encdb.stores.postgres.address")
module = pytest.importorskip("encdb.stores.postgres.link")
stores = pytest.importorskip("encdb.stores.postgres.store")


@pytest.fixture
def table(database: Database) -> Any:
    connection = database.connect()
    connection.execute("CREATE TABLE t (id BIGINT)")
    return connection


def test_a_commit_that_cannot_be_read_back_has_succeeded(database: Database, table, monkeypatch):
    whole, state = module.Link.run, {"committed": False}

    def run(self: Any, *statements: Any) -> Any:
        if state["committed"] and self._read_only:
            self.close()
            from encdb.errors import StoreUnavailable, err

            raise err(StoreUnavailable, "E_CONNECTION_FAILED", "the server is gone")
        found = whole(self, *statements)
        state["committed"] |= statements[0][0] == "COMMIT"
        return found

    with monkeypatch.context() as patch:
        patch.setattr(module.Link, "run", run)
        table.execute("INSERT INTO t VALUES (1)")
        refused("E_CONNECTION_FAILED", table.execute, "SELECT * FROM t")
    assert rows(table, "SELECT * FROM t") == [(1,)]
    check_ok(table)


def test_a_transaction_that_was_idle_for_too_long_commits_what_it_has(database: Database):
    database.connect().execute("CREATE TABLE t (id BIGINT)")
    url, database.url = database.url, database.url + "&snapshot_seconds=1"
    connection = database.connect()
    database.url = url
    connection.execute("BEGIN")
    connection.execute("INSERT INTO t VALUES (1)")
    time.sleep(2.0)
    connection.execute("COMMIT")
    assert rows(connection, "SELECT * FROM t") == [(1,)]
    connection.execute("BEGIN")
    assert rows(connection, "SELECT * FROM t") == [(1,)]
    time.sleep(2.0)
    refused("E_SNAPSHOT_TOO_OLD", connection.session.store._snapshot.read_all, ())
    connection.execute("ROLLBACK")
    assert rows(connection, "SELECT * FROM t") == [(1,)]


def test_an_interruption_says_that_it_was_one(database: Database, table):
    import psycopg

    plain, schema = database.kind.split(database.url)
    with psycopg.connect(plain) as holder:
        holder.execute(f'SELECT * FROM "{schema}".tables FOR UPDATE')
        timer = threading.Timer(0.5, table.session.interrupt)
        timer.start()
        refused("E_INTERRUPTED", table.execute, "INSERT INTO t VALUES (1)")
        timer.join()
    table.execute("INSERT INTO t VALUES (2)")
    assert rows(table, "SELECT * FROM t") == [(2,)]


def test_a_pooler_of_transactions_is_named(table, monkeypatch):
    import psycopg

    def run(*_: Any) -> Any:
        raise psycopg.errors.DuplicatePreparedStatement

    monkeypatch.setattr(module.Pipeline, "run", run)
    refused("E_CONNECTION_SHARED", table.execute, "SELECT * FROM t")


def test_the_password_of_a_url_is_not_shown(database: Database, table, capsys):
    from encdb.__main__ import main

    secret = "s3cret-word"
    head, _, rest = database.url.partition("@")
    user = head.rpartition("/")[2].partition(":")[0]
    fresh = f"postgresql://{user}:{secret}@{rest}x"
    for arguments in (
        ["init", fresh, "--no-passphrase"],
        ["check", fresh],
        ["init", fresh, "--json"],
    ):
        main([*arguments, "--keyring", "none.keyring"])
        output = capsys.readouterr()
        assert secret not in output.out + output.err


@pytest.mark.parametrize(
    ("url", "host", "user"),
    [
        ("postgresql:///db?host=/run/pg&schema=x", "/run/pg", None),
        ("postgresql:///db", None, None),
        ("postgres://me@db1,db2:5433/db?schema=a%20b", "db1,db2", "me"),
        ("postgresql://u:p%40w@[::1]:5/db?sslmode=require", "::1", "u"),
    ],
)
def test_urls_of_libpq_are_understood(url: str, host: str | None, user: str | None):
    found = address.parse(url)
    assert (found.conninfo.get("host"), found.conninfo.get("user")) == (host, user)
    assert "p@w" not in repr(found)
    assert "p%40w" not in found.url
    assert address.parse(found.url).schema == found.schema


def test_retries_take_longer_than_a_restart():
    assert sum(stores._PAUSES) > 10
