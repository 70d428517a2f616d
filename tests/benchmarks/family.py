"""The index family in one run: ``make bench-indexes``.

    python -m tests.benchmarks.family                    schemes, and segments of 10⁵ and 10⁷ postings
    python -m tests.benchmarks.family --sizes 1e5        without the large ones
    python -m tests.benchmarks.family --json result.json the figures for a program

The table goes to stdout as Markdown, progress to stderr. The large segments take about 2 GB of memory, half a
minute and 150 MB of temporary files. Nothing here passes or fails: clocks do not gate tests.
"""

from __future__ import annotations

import argparse
import gc
import sys
import tempfile
from pathlib import Path

from tests.benchmarks import methods, mongocrypt, schemes, segments
from tests.benchmarks.measure import Report
from tests.benchmarks.run import machine

SECTIONS = ("schemes", "segments", "methods")


def main(arguments: list[str]) -> int:
    """Run the chosen sections."""
    parser = argparse.ArgumentParser(
        description="Measure encdb's index methods beside their peers."
    )
    parser.add_argument("--sizes", default="1e5,1e7", help="postings, separated by commas")
    parser.add_argument("--rows", type=int, default=100_000, help="rows of the table of methods")
    parser.add_argument("--only", default=",".join(SECTIONS), help="sections to run")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument(
        "--folder", type=Path, help="where segments are written (default: temporary)"
    )
    chosen = parser.parse_args(arguments)
    only, report = set(chosen.only.split(",")), Report()
    if "schemes" in only:
        try:
            schemes.run(report)
        except ImportError:
            print(f"the peers are missing: {mongocrypt.INSTALL}", file=sys.stderr)
            return 1
    if "segments" in only:
        for size in chosen.sizes.split(","):
            with tempfile.TemporaryDirectory(prefix="encdb-bench-", dir=chosen.folder) as made:
                segments.run(report, Path(made), int(float(size)))
            gc.collect()
    if "methods" in only:
        with tempfile.TemporaryDirectory(prefix="encdb-bench-", dir=chosen.folder) as made:
            methods.run(report, Path(made), chosen.rows)
    about = machine()
    print("## The index family\n")
    print(", ".join(f"{name} {value}" for name, value in about.items()))
    print(report.text(), end="")
    if chosen.json:
        report.write_json(chosen.json, about)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
