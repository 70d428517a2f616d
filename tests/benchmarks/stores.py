"""encdb on each kind of store beside plaintext sqlite3 and psycopg doing the same work, under load.

    python -m tests.benchmarks.stores                          everything, about eight minutes
    python -m tests.benchmarks.stores --only mix --clients 1   one part
    python -m tests.benchmarks.stores --profile mix --store postgres
                                                               where one client's time goes
    python -m tests.benchmarks.stores --json result.json       the figures for a program

The table goes to stdout as Markdown, progress to stderr. Every database commits durably, transactions run
under snapshot isolation, and each ratio compares two measurements of the same run, workload and machine.
The clients and the servers share the processors, so with more clients than processors the figures say what
the machine can do in all. Clocks decide nothing here; a database that is not consistent afterwards does:
the exit status is 1 then.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import statistics
import sys
import tempfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from .clients import MIX, OPERATIONS, Crew, Job, Tally, crew, measure
from .databases import PEERS, STORES, databases
from .loads import Cell, Loads
from .run import machine
from .targets import Target
from .tpcc_check import counts, violations
from .tpcc_tables import Scale
from .watched import Watched

PROFILE_LINES = 30


def main(arguments: list[str]) -> int:
    """Measure what was asked for; 1 if a workload failed or left a database inconsistent."""
    chosen = _options(arguments)
    with tempfile.TemporaryDirectory(prefix="encdb-bench-", dir=chosen.folder) as made:
        if chosen.profile:
            return profile(Path(made), chosen)
        loads = run(Path(made), chosen)
    about = machine() | {
        "rows": chosen.rows,
        "seconds": chosen.seconds,
        "of the mix": chosen.mix_seconds,
        "warehouses": chosen.warehouses,
        "customers a district": chosen.customers,
        "items": chosen.items,
    }
    print("## Stores under load\n")
    print(", ".join(f"{name} {value}" for name, value in about.items()))
    print(loads.text(), end="")
    if chosen.json:
        loads.write_json(chosen.json, about)
    return 1 if loads.failed else 0


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Compare encdb's stores with plaintext databases.")
    parser.add_argument("--stores", type=_of(STORES), default=STORES, help="separated by commas")
    parser.add_argument("--only", type=_of(OPERATIONS), default=OPERATIONS, help="the same")
    parser.add_argument("--clients", type=_numbers, default=(1, 8), help="the same")
    parser.add_argument("--rows", type=lambda text: int(float(text)), default=100_000)
    parser.add_argument("--seconds", type=float, default=5.0, help="for each cell of the table")
    parser.add_argument("--mix-seconds", type=float, default=15.0, help="for each of the mix")
    parser.add_argument("--warmup", type=float, default=1.0, help="seconds before each")
    scale = Scale()
    parser.add_argument("--warehouses", type=int, default=scale.warehouses)
    parser.add_argument("--customers", type=int, default=scale.customers, help="in a district")
    parser.add_argument("--items", type=int, default=scale.items)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--folder", type=Path, help="where files are made (default: temporary)")
    parser.add_argument("--profile", choices=OPERATIONS, help="profile one operation instead")
    parser.add_argument("--store", choices=STORES, default="postgres", help="what to profile it on")
    return parser.parse_args(arguments)


def _of(known: Sequence[str]) -> Any:
    """Reads some of the known names, in the order in which they are known."""

    def some(text: str) -> tuple[str, ...]:
        wanted = text.split(",")
        if not set(wanted) <= set(known):
            raise argparse.ArgumentTypeError(f"choose from {', '.join(known)}")
        return tuple(one for one in known if one in wanted)

    return some


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(one) for one in text.split(","))


def _scale(chosen: argparse.Namespace) -> Scale:
    return Scale(chosen.warehouses, chosen.customers, chosen.items)


# --- Measuring ------------------------------------------------------------------------------------------


def run(folder: Path, chosen: argparse.Namespace) -> Loads:
    """Every cell: operations, then numbers of clients, then databases, so that peers are close in time."""
    names = dict.fromkeys(
        name for kind in chosen.stores for name in (*PEERS[kind], f"encdb/{kind}")
    )
    single = any(operation != MIX for operation in chosen.only)
    scale = _scale(chosen) if MIX in chosen.only else None
    loads = Loads()
    with (
        databases(folder, chosen.rows if single else 0, scale) as made,
        crew(chosen.clients) as clients,
    ):
        targets = [made.target(name) for name in names]
        seat = 0
        for operation in chosen.only:
            for count in chosen.clients:
                for target in targets:
                    job = Job(
                        target,
                        operation,
                        count,
                        seat,
                        chosen.mix_seconds if operation == MIX else chosen.seconds,
                        chosen.warmup,
                        chosen.rows,
                        _scale(chosen),
                    )
                    loads.add(_cell(clients, job))
                # Seats begin at a multiple, so that all targets get the same choices.
                seat += 64
    return loads


def _cell(clients: Crew, job: Job) -> Cell:
    """Measure one cell; after a mix, check the database too."""
    cell = Cell(job.target.name, job.operation, job.clients, job.target.beside)
    try:
        if job.operation != MIX:
            cell.fill(clients.run(job))
            return cell
        before = _counts(job.target)
        tally = clients.run(job)
        cell.fill(tally)
        cell.problems += _check(job.target, before, tally)
    except Exception as error:  # noqa: BLE001 - one workload that fails should not hide the others.
        lines = str(error).strip().splitlines() or [""]
        cell.problems.append(f"{type(error).__name__}: {lines[0]}")
    return cell


def _counts(target: Target) -> dict[str, int]:
    with closing(target.connect()) as client:
        return counts(client)


def _check(target: Target, before: dict[str, int], tally: Tally) -> list[str]:
    """What is wrong with a database after a mix: every committed transaction is there, and it adds up."""
    with closing(target.connect()) as client:
        wrong, after = violations(client), counts(client)
    for kind, count in before.items():
        expected = count + tally.committed.get(kind, 0)
        if after[kind] != expected:
            wrong.append(f"{after[kind]} rows of {kind}, but {expected} were committed")
    return wrong


# --- Profiles -------------------------------------------------------------------------------------------


def profile(folder: Path, chosen: argparse.Namespace) -> int:
    """One client in this process under cProfile, which makes Python itself look slower than it is."""
    operation, mix = chosen.profile, chosen.profile == MIX
    scale = _scale(chosen)
    with databases(folder, 0 if mix else chosen.rows, scale if mix else None) as made:
        target = made.target(f"encdb/{chosen.store}")
        job = Job(target, operation, 1, 0, chosen.seconds, chosen.warmup, chosen.rows, scale)
        with closing(target.connect()) as client:
            watched = Watched(client)
            bare = measure(watched, job, 1, watched.times.clear)
            profiler = cProfile.Profile()
            tally = measure(client, replace(job, warmup=0.0), 2, profiler.enable)
            profiler.disable()
            print(f"{operation} on {target.name}: {_line(bare)}; under the profiler {_line(tally)}")
            print("\n".join(["", *watched.table(), ""]))
            for order in ("cumulative", "tottime"):
                stats = pstats.Stats(profiler, stream=sys.stdout).strip_dirs()
                stats.sort_stats(order).print_stats(PROFILE_LINES)
    return 0


def _line(tally: Tally) -> str:
    taken = sorted(tally.all)
    cpu = tally.processor / len(taken) * 1e3
    trips = (
        "" if tally.round_trips is None else f", {tally.round_trips / len(taken):.1f} round trips"
    )
    return f"{tally.throughput:.1f}/s, median {statistics.median(taken) * 1e3:.2f} ms, cpu {cpu:.2f} ms{trips}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
