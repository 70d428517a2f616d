"""URLs of PostgreSQL stores, the limits that they set, and what is shown of them."""

from __future__ import annotations

import threading
import time
from contextlib import closing

import pytest

from encdb import wire
from encdb.errors import EncdbError, StoreUnavailable, UsageError
from encdb.stores import Store, open_store
from tests.fixtures.commits import TABLE, change, commit, delta, rows, with_table
from tests.fixtures.kinds import PostgresKind

pytest.importorskip("psycopg")

from encdb.stores.postgres.address import parse


@pytest.mark.parametrize(
    ("url", "shown", "schema"),
    [
        ("postgresql://h/d", "postgresql://h/d?schema=encdb", "encdb"),
        ("postgres://h/d", "postgresql://h/d?schema=encdb", "encdb"),
        ("postgresql://u:pw@h:99/d?schema=s", "postgresql://u@h:99/d?schema=s", "s"),
        ("postgresql://u@h/d?password=pw&schema=s", "postgresql://u@h/d?schema=s", "s"),
        ("postgresql://h/d?schema=a%20b", "postgresql://h/d?schema=a%20b", "a b"),
        ("postgresql://[::1]:5/d?schema=s", "postgresql://[::1]:5/d?schema=s", "s"),
        ("postgresql:///d?host=/run/pg&schema=s", "postgresql://%2Frun%2Fpg/d?schema=s", "s"),
        ("postgresql://u%40x:p%3Aw@h/d?schema=s", "postgresql://u%40x@h/d?schema=s", "s"),
        ("postgresql://u:pw#x@h/d?schema=s", "postgresql://u@h/d?schema=s", "s"),
        ("postgresql://u:p[w@h/d?schema=a+b", "postgresql://u@h/d?schema=a%2Bb", "a+b"),
        ("postgresql://one,two/d?schema=s", "postgresql://one,two/d?schema=s", "s"),
        ("postgresql://one:1,[::2]:2/d?schema=s", "postgresql://one:1,[::2]:2/d?schema=s", "s"),
        ("postgresql://h%1B[31m/d?schema=s", "postgresql://h%1B%5B31m/d?schema=s", "s"),
    ],
)
def test_a_url_is_shown_without_its_secrets(url: str, shown: str, schema: str):
    address = parse(url)
    assert (address.url, address.schema) == (shown, schema)
    assert parse(address.url).url == shown
    for text in (repr(address), address.url):
        assert "pw" not in text
        assert "p%3Aw" not in text


def test_what_is_not_ours_is_given_to_libpq():
    address = parse(
        "postgresql://u:pw@h/d?schema=s&sslmode=verify-full&connect_timeout=3&snapshot_seconds=9"
        "&statement_timeout=7"
    )
    assert address.conninfo["sslmode"] == "verify-full"
    assert address.conninfo["connect_timeout"] == "3"
    assert address.conninfo["password"] == "pw"
    assert not {"schema", "snapshot_seconds", "statement_timeout"} & set(address.conninfo)
    assert (address.snapshot_seconds, address.statement_seconds) == (9, 7)


def test_values_reach_libpq_as_libpq_reads_them():
    address = parse("postgresql://u@h/d?password=a+b%23%26&schema=s&application_name=x#y")
    assert (address.conninfo["password"], address.conninfo["application_name"]) == ("a+b#&", "x#y")
    assert parse("postgresql://u:a#b@h/d").conninfo["password"] == "a#b"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://h/d?schema=",
        "postgresql://h/d?schema=" + "x" * 64,
        "postgresql://h/d?schema=a%00b",
        "postgresql://h/d?snapshot_seconds=0",
        "postgresql://h/d?snapshot_seconds=-1",
        "postgresql://h/d?snapshot_seconds=1.5",
        "postgresql://h/d?statement_timeout=many",
        "postgresql://h/d?statement_timeout=99999999",
        "postgresql://h/d?no_such_parameter=1",
    ],
)
def test_other_urls_are_refused(url: str):
    with pytest.raises(UsageError) as caught:
        open_store(url)
    assert (caught.value.code, caught.value.exit_status) == ("E_STORE_KIND", 2)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:sec%zzret@h/d",
        "postgresql://u:sec ret@h/d",
        "postgresql://u:sec%00ret@h/d",
        "postgresql://u:secret/x@h/d",
        "postgresql://u:secret@[::1/d",
        "postgresql://u:x?secret=ret@h/d?schema=s",
        "postgresql://h/d?password=sec%zzret",
        "postgresql://h/d?password=secret&=x",
        "postgresql://u:sec\u2100ret@h:x/d",
    ],
)
def test_a_malformed_url_is_refused_without_its_password(url: str):
    with pytest.raises(UsageError) as caught:
        parse(url)
    assert caught.value.code == "E_STORE_KIND"
    assert "sec" not in str(caught.value)
    assert "ret" not in str(caught.value)


@pytest.mark.stores("postgres")
def test_names_of_schemas_are_never_sql(
    store_kind: PostgresKind, genesis: wire.Genesis, store_url: str
):
    from urllib.parse import quote

    from encdb.stores import create_store

    database, _ = store_kind.split(store_url)
    for name in ('a"; DROP SCHEMA public; --', "Ünï cøde %s {rows}", "select"):
        url = f"{database}?schema={quote(name, safe='')}"
        with closing(with_table(create_store(url, genesis))) as made:
            made.commit(commit(change(rows_added=((1, b"row"),), delta=delta(1))))
            assert rows(made) == {1: b"row"}
        _drop(database, name)


def _drop(database: str, name: str) -> None:
    import psycopg
    from psycopg import sql

    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(name)))


@pytest.mark.stores("postgres")
def test_a_state_is_read_for_a_limited_time(store: Store, store_url: str):
    with_table(store)
    store.commit(commit(change(rows_added=((1, b"row"),), delta=delta(1))))
    with closing(open_store(f"{store_url}&snapshot_seconds=1")) as impatient:
        with impatient.snapshot() as snapshot:
            assert snapshot.read(wire.ReadRows(TABLE, None)).ids == (1,)
            time.sleep(1.3)
            with pytest.raises(StoreUnavailable) as caught:
                snapshot.read(wire.ReadRows(TABLE, None))
            assert caught.value.code == "E_SNAPSHOT_TOO_OLD"
        assert rows(impatient) == {1: b"row"}


@pytest.mark.stores("postgres")
def test_a_statement_that_waits_for_too_long_is_given_up(
    store: Store, store_kind: PostgresKind, store_url: str
):
    import psycopg

    with_table(store)
    database, schema = store_kind.split(store_url)
    with (
        closing(open_store(f"{store_url}&statement_timeout=1")) as impatient,
        psycopg.connect(database) as holder,
    ):
        holder.execute(f'SELECT tbl FROM "{schema}".tables FOR UPDATE')
        with pytest.raises(EncdbError) as caught:
            impatient.commit(commit(change(rows_added=((1, b"row"),), delta=delta(1))))
        assert caught.value.code == "E_TIMEOUT"
        assert rows(impatient) == {}
        holder.rollback()
        sent = commit(change(rows_added=((1, b"row"),), delta=delta(1)))
        assert impatient.commit(sent) == wire.Committed()


@pytest.mark.stores("postgres")
def test_a_request_that_waits_is_interrupted_by_another_thread(
    store: Store, store_kind: PostgresKind, store_url: str
):
    import psycopg

    with_table(store)
    store.lease(wire.Lease(TABLE, "ordinal", 1))
    database, schema = store_kind.split(store_url)
    with psycopg.connect(database) as holder:
        holder.execute(f'SELECT tbl FROM "{schema}".tables FOR UPDATE')
        timer = threading.Timer(0.3, store.interrupt)
        timer.start()
        began = time.monotonic()
        with pytest.raises(EncdbError) as caught:
            store.commit(commit(change(delta=delta(1))))
        assert time.monotonic() - began < 30
        assert caught.value.code in {"E_INTERRUPTED", "E_TIMEOUT"}
        timer.join()
        holder.rollback()
    assert store.commit(commit(change(delta=delta(1)))) == wire.Committed()
