"""encdb on each kind of store beside plaintext sqlite3 and psycopg doing the same work, under load.

    python -m tests.benchmarks.stores                          everything, about six minutes
    python -m tests.benchmarks.stores --seconds 5 --mix-seconds 30
                                                               for steadier figures
    python -m tests.benchmarks.stores --only mix --clients 1   one part
    python -m tests.benchmarks.stores --rtt 0,0.5,2            round trips of other lengths
    python -m tests.benchmarks.stores --profile mix --store postgres
                                                               where one client's time goes
    python -m tests.benchmarks.stores --json result.json       the figures for a program

The table goes to stdout as Markdown, progress to stderr. Every database commits durably, transactions run
under snapshot isolation, and each ratio compares two measurements of the same run, workload and machine.
SQLite files are local. Clients and servers in a network are a millisecond or so apart, so these are also
measured through a relay that adds as much latency (``--rtt``), and what that comes to is measured too.
The clients, the servers and the relays share the processors, so with more clients than processors the
figures say what the machine can do in all. Clocks decide nothing here; a database that is not consistent
afterwards does: the exit status is 1 then.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from .clients import MIX, OPERATIONS, Crew, Job, Tally, crew, measure
from .databases import NETWORKED, PEERS, STORES, Databases, databases
from .loads import Cell, Loads
from .run import machine
from .targets import Target
from .tpcc_check import counts, violations
from .tpcc_tables import Scale
from .watched import Watched

PROFILE_LINES = 30
MAX_RTT = 1_000.0
AWAY = ("point read", "insert", MIX)
"""What is measured at a distance, if nothing was chosen."""


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
    if loads.trips:
        print(f"\n{loads.travelled}")
    print(loads.text(), end="")
    if chosen.json:
        loads.write_json(chosen.json, about)
    return 1 if loads.failed else 0


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Compare encdb's stores with plaintext databases.")
    parser.add_argument("--stores", type=_of(STORES), default=STORES, help="separated by commas")
    parser.add_argument("--only", type=_of(OPERATIONS), help="operations, the same")
    parser.add_argument("--clients", type=_numbers, default=(1, 8), help="the same")
    parser.add_argument(
        "--rtt",
        type=_distances,
        default=(0.0, 1.0),
        metavar="MS[,MS...]",
        help="added to each round trip to a server; files are only measured at 0 (default: 0,1)",
    )
    parser.add_argument("--rows", type=lambda text: int(float(text)), default=100_000)
    parser.add_argument("--seconds", type=float, default=2.0, help="for each cell of the table")
    parser.add_argument("--mix-seconds", type=float, default=8.0, help="for each of the mix")
    parser.add_argument("--warmup", type=float, default=0.5, help="seconds before each")
    scale = Scale()
    parser.add_argument("--warehouses", type=int, default=scale.warehouses)
    parser.add_argument("--customers", type=int, default=scale.customers, help="in a district")
    parser.add_argument("--items", type=int, default=scale.items)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--folder", type=Path, help="where files are made (default: temporary)")
    parser.add_argument("--profile", choices=OPERATIONS, help="profile one operation instead")
    parser.add_argument("--store", choices=STORES, default="postgres", help="what to profile it on")
    chosen = parser.parse_args(arguments)
    if not any(_kinds(chosen)):
        parser.error("SQLite files are only measured at --rtt 0")
    return chosen


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


def _distances(text: str) -> tuple[float, ...]:
    wanted = sorted({float(one) for one in text.split(",")})
    if not all(0 <= one <= MAX_RTT for one in wanted):
        raise argparse.ArgumentTypeError(f"milliseconds from 0 to {MAX_RTT:g}")
    return tuple(wanted)


def _scale(chosen: argparse.Namespace) -> Scale:
    return Scale(chosen.warehouses, chosen.customers, chosen.items)


# --- Measuring ------------------------------------------------------------------------------------------


Kind = tuple[str, int, float, tuple[str, ...]]
"""Operation, number of clients, round trip, and the databases that have it."""


def _kinds(chosen: argparse.Namespace) -> Iterator[Kind]:
    """What is measured, in this order."""
    for operation in chosen.only or OPERATIONS:
        for count in chosen.clients:
            for rtt in chosen.rtt:
                names = _names(chosen.stores, rtt)
                if names and (chosen.only or not rtt or operation in AWAY):
                    yield operation, count, rtt, names


def _names(kinds: Iterable[str], rtt: float) -> tuple[str, ...]:
    names = dict.fromkeys(name for kind in kinds for name in (*PEERS[kind], f"encdb/{kind}"))
    return tuple(name for name in names if not rtt or name in NETWORKED)


def run(folder: Path, chosen: argparse.Namespace) -> Loads:
    """Every cell; the databases last in the order, so that peers are close in time."""
    kinds = list(_kinds(chosen))
    operations = {operation for operation, *_ in kinds}
    scale = _scale(chosen) if MIX in operations else None
    loads = Loads()
    with (
        databases(folder, chosen.rows if operations != {MIX} else 0, scale) as made,
        crew(chosen.clients) as clients,
    ):
        targets = {
            name: made.target(name) for name in dict.fromkeys(n for k in kinds for n in k[3])
        }
        if any(chosen.rtt) and set(targets) & set(NETWORKED):
            loads.trips = made.trips(dict.fromkeys((0.0, *chosen.rtt)))
            print(loads.travelled, file=sys.stderr)
        for number, (operation, count, rtt, names) in enumerate(kinds):
            for name in names:
                job = Job(
                    targets[name],
                    operation,
                    count,
                    # Seats begin at a multiple, so that all targets get the same choices.
                    number * 64,
                    chosen.mix_seconds if operation == MIX else chosen.seconds,
                    chosen.warmup,
                    chosen.rows,
                    _scale(chosen),
                )
                loads.add(_cell(made, clients, job, rtt))
    return loads


def _cell(made: Databases, clients: Crew, job: Job, rtt: float) -> Cell:
    """Measure one cell; after a mix, check the database too, without the relay."""
    cell = Cell(job.target.name, job.operation, job.clients, rtt, job.target.beside)
    try:
        before = _counts(job.target) if job.operation == MIX else {}
        away = replace(job, target=made.away(job.target, rtt))
        used, start = made.relaying(), time.perf_counter()
        tally = clients.run(away)
        cell.relaying = (made.relaying() - used) / (time.perf_counter() - start)
        cell.fill(tally)
        if job.operation == MIX:
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
        if target.name in NETWORKED:
            target = made.away(target, min(chosen.rtt))
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
