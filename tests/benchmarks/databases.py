"""The databases that the benchmark of stores runs on, started and filled.

One PostgreSQL serves both encdb and the plaintext peer, with durable settings; a real ``encdb serve``
serves the remote store from an SQLite file. Either may have relays in front of it, which make it as far
away as a server in a network is.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import encdb
from tests.fixtures import postgres

from . import distance, operations, tpcc_tables
from .served import served
from .targets import Target

STORES = ("sqlite", "postgres", "remote")
PEERS = {"sqlite": ("sqlite3",), "postgres": ("psycopg",), "remote": ("psycopg", "encdb/sqlite")}
"""The databases that each kind of store is compared with. A remote one is an SQLite file behind HTTP."""
NETWORKED = ("psycopg", "encdb/postgres", "encdb/remote")
"""Those that have a server."""
SETTINGS = {
    # The fixture's other values suit tests: these are PostgreSQL's own.
    **postgres.DURABLE,
    "autovacuum": "on",
    "shared_buffers": "128MB",
    "max_wal_size": "1GB",
}
_START_SECONDS = 30.0


class Databases:
    """Makes targets in a folder, each when it is first asked for.

    Args:
        folder: for files; what is in it goes with it.
        rows: size of the single statements' table; 0 leaves it out.
        scale: of the TPC-C-like tables; None leaves them out.
    """

    def __init__(self, folder: Path, rows: int, scale: tpcc_tables.Scale | None) -> None:
        self._folder, self._rows, self._scale = folder, rows, scale
        self._stack = ExitStack()
        self._server: postgres.Server | None = None
        self._leads: dict[float, float] = {}
        self._relays: dict[tuple[int, float], distance.Relay] = {}

    def target(self, name: str) -> Target:
        """A filled database: ``encdb/`` and the kind of store, ``sqlite3`` or ``psycopg``."""
        made = {
            "sqlite3": self._sqlite3,
            "psycopg": self._psycopg,
            "encdb/sqlite": self._encdb_sqlite,
            "encdb/postgres": self._encdb_postgres,
            "encdb/remote": self._encdb_remote,
        }[name]()
        start = time.perf_counter()
        with closing(made.connect()) as client:
            if self._rows:
                operations.load(client, self._rows)
            if self._scale is not None:
                tpcc_tables.load(client, self._scale)
        print(f"filled {name} in {time.perf_counter() - start:.1f} s", file=sys.stderr)
        return made

    def away(self, target: Target, rtt: float) -> Target:
        """The same database at that many milliseconds' distance, behind the relay of its server."""
        if not rtt:
            return target
        port = target.port
        assert port is not None
        if (port, rtt) not in self._relays:
            if rtt not in self._leads:
                self._leads[rtt] = distance.lead(rtt)
            relay = self._stack.enter_context(closing(distance.Relay(port, rtt, self._leads[rtt])))
            self._relays[port, rtt] = relay
        return target.through(self._relays[port, rtt].port, rtt)

    def relaying(self) -> float:
        """Seconds of processor time that the relays have used so far."""
        return sum(relay.processor() for relay in self._relays.values())

    def trips(self, rtts: Iterable[float]) -> dict[float, float]:
        """What a round trip of psycopg takes in milliseconds, with and without a relay."""
        urls = {rtt: self.away(self._psycopg(), rtt).url for rtt in rtts}
        return dict(zip(urls, distance.trips(urls.values()), strict=True))

    def close(self) -> None:
        """Stop the servers."""
        self._stack.close()

    def _postgres(self) -> postgres.Server:
        if self._server is None:
            if reason := postgres.missing():
                raise SystemExit(f"there is no PostgreSQL to measure: {reason}")
            self._server = postgres.Server(SETTINGS)
            self._stack.callback(self._server.close)
        return self._server

    def _sqlite3(self) -> Target:
        return Target("sqlite3", "sqlite3", str(self._folder / "plain.db"))

    def _psycopg(self) -> Target:
        return Target("psycopg", "psycopg", self._postgres().url(), schema="plain")

    def _encdb(self, kind: str, url: str, token: str = "") -> Target:
        keyring = self._folder / f"{kind}.keyring"
        target = Target(f"encdb/{kind}", "encdb", url, str(keyring), token, beside=PEERS[kind])
        if token:
            os.environ["ENCDB_TOKEN"] = token
        encdb.init(url, keyring=str(keyring))
        return target

    def _encdb_sqlite(self) -> Target:
        return self._encdb("sqlite", str(self._folder / "vault.db"))

    def _encdb_postgres(self) -> Target:
        url = f"{self._postgres().url()}?schema=vault"
        return self._encdb("postgres", url)

    def _encdb_remote(self) -> Target:
        url, token = self._stack.enter_context(served(self._folder / "served" / "vault.db"))
        return self._encdb("remote", url, token)


@contextmanager
def databases(folder: Path, rows: int, scale: tpcc_tables.Scale | None) -> Iterator[Databases]:
    """Databases that are stopped at the end."""
    made = Databases(folder, rows, scale)
    try:
        yield made
    finally:
        made.close()
