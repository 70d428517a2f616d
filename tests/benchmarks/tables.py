"""Importing and querying a table, beside plaintext SQLite with the same data, indexes and settings."""

from __future__ import annotations

import random
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import encdb
from encdb.__main__ import main as encdb_command
from tests.benchmarks import data, peers
from tests.benchmarks.measure import Figure, Report, median_seconds, stopwatch

SECTION = "Tables, beside plaintext SQLite"
PEER = "SQLite"
POINTS = 60
RANGE_ROWS = 100
SIZE_BAR = 1.7
GROWTH_BAR = 2.0
GROWTH = ("point query by key", "range query, 100 rows")


class Pair:
    """One made table in an encdb store and in a plaintext SQLite file."""

    def __init__(self, folder: Path, register: data.Register) -> None:
        self.register = register
        self.folder = folder / f"stores-{register.count}"
        self.folder.mkdir()
        self.store = self.folder / "vault.db"
        self.keyring = self.folder / "vault.keyring"
        encdb.init(str(self.store), keyring=str(self.keyring))
        self.connection = self.connect()
        self.plain = peers.PlainSqlite(self.folder / "plain.db")

    @property
    def count(self) -> int:
        """Rows of the table."""
        return self.register.count

    def connect(self) -> Any:
        """Another connection to the encdb store, with nothing cached."""
        return encdb.connect(str(self.store), keyring=str(self.keyring))

    def query(self, sql: str, parameters: Sequence[object] = ()) -> list[Any]:
        """All rows of a query to encdb."""
        return self.connection.cursor().execute(sql, parameters).fetchall()  # type: ignore[no-any-return]

    def bytes_on_disk(self) -> int:
        """Size of the store's files after a checkpoint, as its owner would see them."""
        import sqlite3
        from contextlib import closing

        with closing(sqlite3.connect(self.store)) as direct:
            direct.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return sum(path.stat().st_size for path in self.folder.glob("vault.db*"))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.connection.close()
        self.plain.close()
        for path in self.folder.iterdir():
            if path.is_file():
                path.unlink()


def load(report: Report, pair: Pair) -> None:
    """Import the same CSV file into both, with a key, an equality index and a range index."""
    words = ["import", pair.store, pair.register.path, "--table", "people", "--pk", "id"]
    words += ["--index", "equality:zip", "--index", "range:score", "--keyring", pair.keyring]
    for name, kind in data.COLUMNS:
        words += ["--type", f"{name}={kind}"]
    with stopwatch() as ours, redirect_stdout(sys.stderr):
        status = encdb_command([str(word) for word in words])
    assert status == 0
    with stopwatch() as theirs:
        pair.plain.load(pair.register)
    count = pair.count
    report.add(
        Figure(
            SECTION,
            "import of CSV, key and two indexes",
            count,
            "rows/s",
            count / ours.seconds,
            PEER,
            count / theirs.seconds,
            more_is_better=True,
        )
    )
    report.add(
        Figure(
            SECTION,
            "the same, in postings",
            count,
            "postings/s",
            3 * count / ours.seconds,
            PEER,
            3 * count / theirs.seconds,
            more_is_better=True,
        )
    )
    size, plain_size = pair.bytes_on_disk(), pair.plain.bytes_on_disk()
    report.add(
        Figure(
            SECTION,
            "store size",
            count,
            "bytes",
            size,
            PEER,
            plain_size,
            bar=f"at most {SIZE_BAR}x",
            met=size <= SIZE_BAR * plain_size,
        )
    )


def run(report: Report, pair: Pair) -> None:
    """Point, equality and range queries, aggregates, ordered reads and single-row writes."""
    draw, count = random.Random(1), pair.count
    ids = [(draw.randrange(1, count + 1),) for _ in range(POINTS)]
    _compare(report, pair, GROWTH[0], "SELECT * FROM people WHERE id = ?", ids)
    zips = [(f"{6000 + draw.randrange(data.ZIPS):05d}",) for _ in range(20)]
    wanted = f"equality query, 1 of {data.ZIPS} zip codes"
    _compare(report, pair, wanted, "SELECT id, name, age FROM people WHERE zip = ?", zips)
    ranges = [data.score_range(count, RANGE_ROWS, seed) for seed in range(POINTS)]
    between = "SELECT id, name, score FROM people WHERE score BETWEEN ? AND ?"
    _compare(report, pair, GROWTH[1], between, ranges)
    for order in ("score", "score DESC"):
        ordered = f"SELECT id, score FROM people ORDER BY {order} LIMIT 10"
        _compare(report, pair, f"ORDER BY {order} LIMIT 10", ordered, [()] * 10)
    _compare(
        report, pair, "min and max of score", "SELECT min(score), max(score) FROM people", [()] * 10
    )
    _compare(report, pair, "count(*)", "SELECT count(*) FROM people", [()] * 10)
    grouped = "SELECT zip, count(*), avg(age) FROM people GROUP BY zip"
    _compare(report, pair, "full-scan aggregate, columns cached", grouped, [()] * 5)
    _cold_scan(report, pair, grouped)
    _rows_opened(report, pair)
    _inserts(report, pair)


def growth(report: Report, sizes: Sequence[int]) -> None:
    """How much slower a query with an answer of fixed size is on the largest table."""
    for what in GROWTH:
        small, large = report.find(what, sizes[0]), report.find(what, sizes[-1])
        if small is None or large is None or small is large or not (small.ours and large.ours):
            continue
        grown = large.ours / small.ours
        plain = large.theirs / small.theirs if large.theirs and small.theirs else None
        report.add(
            Figure(
                "Growth with the table",
                f"{what}: against {sizes[0]:,} rows",
                sizes[-1],
                "x",
                grown,
                PEER,
                plain,
                bar=f"at most {GROWTH_BAR:g}x",
                met=grown <= GROWTH_BAR,
            )
        )


def _compare(
    report: Report, pair: Pair, what: str, sql: str, parameters: Sequence[tuple[object, ...]]
) -> None:
    """Median time of one statement over the same parameters in both, after comparing an answer."""
    ours = pair.query(sql, parameters[0])
    theirs = pair.plain.query(sql, parameters[0])
    assert len(ours) == len(theirs), f"{what}: {len(ours)} rows, but {PEER} has {len(theirs)}"
    mine = median_seconds(lambda p: pair.query(sql, p), parameters)
    peer = median_seconds(lambda p: pair.plain.query(sql, p), parameters)
    report.add(Figure(SECTION, what, pair.count, "ms", mine * 1e3, PEER, peer * 1e3))


def _cold_scan(report: Report, pair: Pair, sql: str) -> None:
    """The same aggregate by clients that have just connected."""

    def fresh(_: int) -> None:
        with pair.connect() as connection:
            connection.cursor().execute(sql).fetchall()

    def fresh_plain(_: int) -> None:
        other = peers.PlainSqlite(pair.plain.path)
        other.query(sql)
        other.close()

    report.add(
        Figure(
            SECTION,
            "full-scan aggregate, fresh client",
            pair.count,
            "ms",
            median_seconds(fresh, range(4)) * 1e3,
            PEER,
            median_seconds(fresh_plain, range(4)) * 1e3,
        )
    )


def _rows_opened(report: Report, pair: Pair) -> None:
    """Every column of every row, from packs, into Arrow on one side and tuples on the other."""

    def opened(_: int) -> None:
        with pair.connect() as connection:
            table = connection.cursor().execute("SELECT * FROM people").fetch_arrow_table()
            assert table.num_rows == pair.count

    def fetched(_: int) -> None:
        pair.plain.query("SELECT * FROM people")

    report.add(
        Figure(
            SECTION,
            "SELECT * from packs, fresh client, to Arrow",
            pair.count,
            "rows/s",
            pair.count / median_seconds(opened, range(4)),
            f"{PEER}, to tuples",
            pair.count / median_seconds(fetched, range(4)),
            more_is_better=True,
        )
    )


def _inserts(report: Report, pair: Pair) -> None:
    """Single-row transactions, and then the time to read the rows that they left unmerged."""
    extra = list(data.rows(300, first=pair.count + 1))
    places = ", ".join("?" for _ in data.COLUMNS)
    sql = f"INSERT INTO people VALUES ({places})"

    def insert(row: tuple[object, ...]) -> None:
        pair.connection.execute(sql, row)

    def insert_plain(row: tuple[object, ...]) -> None:
        with pair.plain.connection:
            pair.plain.connection.execute(sql, row)

    report.add(
        Figure(
            SECTION,
            "single-row INSERT, three indexes, durable",
            pair.count,
            "ms",
            median_seconds(insert, extra[:150]) * 1e3,
            PEER,
            median_seconds(insert_plain, extra[:150]) * 1e3,
        )
    )
    pair.connection.cursor().executemany(sql, extra[150:])
    with pair.plain.connection:
        pair.plain.connection.executemany(sql, extra[150:])
    # By key, so that the rows opened are these and not the whole table.
    ids = ", ".join(str(row[0]) for row in extra)
    recent = f"SELECT * FROM people WHERE id IN ({ids})"

    def scan(_: int) -> None:
        with pair.connect() as connection:
            assert len(connection.cursor().execute(recent).fetchall()) == len(extra)

    report.add(
        Figure(
            SECTION,
            "connect and read 300 recent rows",
            pair.count,
            "ms",
            median_seconds(scan, range(6)) * 1e3,
        )
    )
