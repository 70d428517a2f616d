"""The server that the tests start: it serves a role without rights, and goes when its process goes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.fixtures.postgres import DATABASE, ROLE, own_server, require_programs

ROOT = Path(__file__).parents[3]
PROGRAM = """
import time
from tests.fixtures.postgres import FAST, Server
server = Server(FAST)
print(server.folder, flush=True)
print(server.url(), flush=True)
time.sleep(600)
"""


def test_a_server_restarts_with_what_it_held_and_ends_without_a_trace():
    psycopg = pytest.importorskip("psycopg")
    with own_server() as server:
        with psycopg.connect(server.url()) as connection:
            connection.execute("CREATE SCHEMA mine")
            connection.execute("CREATE TABLE mine.t AS SELECT 1 AS a")
        server.kill()
        server.start()
        with psycopg.connect(server.url()) as connection:
            assert connection.execute("SELECT a FROM mine.t").fetchall() == [(1,)]
        folder = server.folder
    assert not folder.exists()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(server.url())


def test_the_role_has_no_more_rights_than_a_store_needs():
    psycopg = pytest.importorskip("psycopg")
    with own_server() as server, psycopg.connect(server.url(), autocommit=True) as connection:
        rights = "rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls"
        found = connection.execute(f"SELECT {rights} FROM pg_roles WHERE rolname = '{ROLE}'")
        assert found.fetchall() == [(False,) * 5]
        for refused in (
            "CREATE DATABASE x",
            "CREATE ROLE x",
            "CREATE EXTENSION file_fdw",
            "CREATE TABLE public.t (a INT)",
            f"DROP DATABASE {DATABASE}",
            "COPY (SELECT 1) TO '/srv/x'",
        ):
            with pytest.raises(psycopg.Error):
                connection.execute(refused)


def test_a_server_goes_when_its_process_is_killed():
    require_programs()
    import psycopg

    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stdout is not None
    folder, url = (process.stdout.readline().strip() for _ in range(2))
    assert Path(folder).is_dir()
    psycopg.connect(url).close()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    give_up = time.monotonic() + 30
    while Path(folder).exists() and time.monotonic() < give_up:
        time.sleep(0.05)
    assert not Path(folder).exists()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url)
