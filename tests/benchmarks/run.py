"""encdb beside its peers: plaintext SQLite and FTS5, Whoosh, and a textbook encrypted index.

    python -m tests.benchmarks.run                     sizes 10⁴ and 10⁵, about two minutes
    python -m tests.benchmarks.run --sizes 1e4,1e5,1e6 what the bars are stated for
    python -m tests.benchmarks.run --json result.json  the figures for a program

The table goes to stdout as Markdown, progress to stderr. Every ratio compares two measurements of the
same run, data and machine. Nothing here passes or fails: clocks do not gate tests.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import platform
import sqlite3
import sys
import tempfile
from pathlib import Path
from typing import Any

import encdb
from tests.benchmarks import data, indexes, keyword, records, tables
from tests.benchmarks.measure import Report

SECTIONS = ("indexes", "records", "tables", "keyword")
WHOOSH_LIMIT = 20_000
"""Whoosh indexes about a thousand notes a second; larger collections are left out by default."""


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    return {
        "date": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "encdb": encdb.__version__,
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "machine": platform.machine(),
        "processors": os.cpu_count(),
    }


def main(arguments: list[str]) -> int:
    """Run the chosen sections at the chosen sizes."""
    parser = argparse.ArgumentParser(description="Compare encdb with its plaintext peers.")
    parser.add_argument("--sizes", default="1e4,1e5", help="rows, separated by commas")
    parser.add_argument("--only", default=",".join(SECTIONS), help="sections to run")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument(
        "--folder", type=Path, help="where the stores are made (default: temporary)"
    )
    parser.add_argument("--whoosh-limit", type=float, default=WHOOSH_LIMIT)
    chosen = parser.parse_args(arguments)
    sizes = [int(float(size)) for size in chosen.sizes.split(",")]
    only = set(chosen.only.split(","))
    report = Report()
    with tempfile.TemporaryDirectory(prefix="encdb-bench-", dir=chosen.folder) as made:
        folder = Path(made)
        if "indexes" in only:
            for size in sizes:
                indexes.run(report, folder, size)
        if "records" in only:
            for size in sizes:
                records.run(report, size)
        if only & {"tables", "keyword"}:
            for size in sizes:
                print(f"making {size:,} rows", file=sys.stderr)
                register = data.register(folder, size)
                with tables.Pair(folder, register) as pair:
                    tables.load(report, pair)
                    if "tables" in only:
                        tables.run(report, pair)
                    if "keyword" in only:
                        keyword.run(report, pair, whoosh=size <= chosen.whoosh_limit)
                register.path.unlink()
        if "tables" in only:
            tables.growth(report, sizes)
    about = machine()
    print("## Benchmarks\n")
    print(", ".join(f"{name} {value}" for name, value in about.items()))
    print(report.text(), end="")
    if chosen.json:
        report.write_json(chosen.json, about)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
