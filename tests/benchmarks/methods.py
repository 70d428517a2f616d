"""What each method costs in use: building it, the store's growth, a query, and a changed row.

One encrypted table of people in an embedded store; each index is made, measured and dropped by itself, so that
the figures are those of one index beside no other. Queries are asked on a connection that has asked such a
query before; the scan is the same query without an index.
"""

from __future__ import annotations

import random
import sqlite3
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import encdb
from tests.benchmarks import data
from tests.benchmarks.measure import Figure, Report, stopwatch

SECTION = "Methods in use, on an embedded store"
SCAN = "no index"
COLUMNS = ", ".join(f"{name} {kind}" for name, kind in data.COLUMNS)
ACCEPT = "accept_leakage = true"
INSERT = "INSERT INTO people VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
QUERIES = 25
CHANGES = 40


@dataclass(frozen=True, slots=True)
class Case:
    """One index, and a query that it serves.

    Attributes:
        name: how it is printed.
        index: what follows ``CREATE INDEX bench ON people USING``.
        query: the query, with parameters.
        parameters: how to draw them, by name.
    """

    name: str
    index: str
    query: str
    parameters: str


CASES = (
    Case("equality", "equality (zip)", "SELECT name FROM people WHERE zip = ?", "zip"),
    Case("range", "range (score)", "SELECT name FROM people WHERE score BETWEEN ? AND ?", "score"),
    Case(
        "range, two columns",
        "range (zip, age)",
        "SELECT name FROM people WHERE zip = ? AND age BETWEEN 30 AND 33",
        "zip",
    ),
    Case("keyword", "keyword (notes)", "SELECT name FROM people WHERE notes @@ ?", "word"),
    Case("substring", "substring (name)", "SELECT id FROM people WHERE name LIKE ?", "part"),
    Case("det", f"det (zip) WITH ({ACCEPT})", "SELECT name FROM people WHERE zip = ?", "zip"),
    Case(
        "ope clww",
        f"ope (score) WITH ({ACCEPT})",
        "SELECT name FROM people WHERE score BETWEEN ? AND ?",
        "score",
    ),
    Case(
        "ore aes",
        f"ore (score) WITH ({ACCEPT}, mask = 'aes')",
        "SELECT name FROM people WHERE score BETWEEN ? AND ?",
        "score",
    ),
    Case(
        "ore sha256",
        f"ore (score) WITH ({ACCEPT}, mask = 'sha256')",
        "SELECT name FROM people WHERE score BETWEEN ? AND ?",
        "score",
    ),
)


class Bench:
    """The table, and what to ask of it.

    Args:
        folder: where the store lies.
        rows: size of the table.
    """

    def __init__(self, folder: Path, rows: int) -> None:
        self.path, self.rows = folder / f"methods-{rows}.db", rows
        keyring = str(folder / f"methods-{rows}.keyring")
        encdb.init(str(self.path), keyring=keyring)
        self.connection: Any = encdb.connect(str(self.path), keyring=keyring, pin=False)
        self.connection.execute(f"CREATE TABLE people ({COLUMNS})")
        self.connection.executemany(INSERT, data.rows(rows))
        self.connection.execute("VACUUM")

    def parameters(self, kind: str) -> Iterator[Sequence[object]]:
        """Parameters of queries, other ones each time."""
        pick = random.Random(7)
        while True:
            match kind:
                case "zip":
                    yield (f"{6000 + pick.randrange(data.ZIPS):05d}",)
                case "score":
                    yield data.score_range(self.rows, 100, pick.randrange(1 << 30))
                case "word":
                    yield (data.word(pick.randrange(200, 400)),)
                case _:
                    yield (f"%{data.word(pick.randrange(5_000, 20_000))}%",)

    def milliseconds(self, case: Case, count: int = QUERIES) -> tuple[float, float]:
        """Median time of a query, and of its rows."""
        taken, rows = [], []
        given = self.parameters(case.parameters)
        for number in range(count + 1):
            values = next(given)
            start = time.perf_counter()
            found = self.connection.execute(case.query, values).fetchall()
            if number:
                taken.append(time.perf_counter() - start)
                rows.append(len(found))
        return statistics.median(taken) * 1000, statistics.median(rows)

    def change(self) -> float:
        """Milliseconds that a committed INSERT of one row takes."""
        first, taken = self.rows + 1_000_000, []
        for row in data.rows(CHANGES, first + random.Random().randrange(1 << 30)):
            start = time.perf_counter()
            self.connection.execute(INSERT, row)
            taken.append(time.perf_counter() - start)
        self.connection.execute(f"DELETE FROM people WHERE id >= {first}")
        self.connection.execute("VACUUM")
        return statistics.median(taken) * 1000

    def bytes(self) -> int:
        """What the store's pages hold; free ones and the write-ahead log do not count."""
        file = sqlite3.connect(self.path)
        figures = [
            int(file.execute(f"PRAGMA {name}").fetchone()[0])
            for name in ("page_count", "freelist_count", "page_size")
        ]
        file.close()
        return (figures[0] - figures[1]) * figures[2]

    @contextmanager
    def index(self, case: Case) -> Iterator[tuple[float, int]]:
        """An index while it is there: seconds to build it, and the bytes it takes."""
        before = self.bytes()
        with stopwatch() as watch:
            self.connection.execute(f"CREATE INDEX bench ON people USING {case.index}")
        yield watch.seconds, self.bytes() - before
        self.connection.execute("DROP INDEX bench")
        self.connection.execute("VACUUM")


def run(report: Report, folder: Path, rows: int) -> None:
    """Measure every method on one table."""
    bench = Bench(folder, rows)
    plain = bench.change()
    _add(report, "INSERT of one row, no index", rows, plain, "ms")
    for case in CASES:
        # A keyword query is refused where no index could serve it.
        scans = case.parameters != "word"
        scanned = bench.milliseconds(case, 5)[0] if scans else None
        with bench.index(case) as (seconds, size):
            taken, found = bench.milliseconds(case)
            changed = bench.change()
        _add(report, f"{case.name}: build", rows, rows / seconds, "rows/s")
        _add(report, f"{case.name}: size", rows, size / rows, "bytes a row")
        _add(
            report,
            f"{case.name}: query of {found:.0f} rows",
            rows,
            taken,
            "ms",
            SCAN * scans,
            scanned,
        )
        _add(report, f"{case.name}: INSERT of one row", rows, changed, "ms", SCAN, plain)
    bench.connection.close()


def _add(
    report: Report,
    what: str,
    rows: int,
    ours: float,
    unit: str,
    peer: str = "",
    theirs: float | None = None,
) -> None:
    more = unit.endswith("/s")
    report.add(Figure(SECTION, what, rows, unit, ours, peer, theirs, more_is_better=more))
