"""The table of the benchmark of stores: latency and throughput of each workload, beside its peers."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .clients import MIX, Tally
from .measure import _table as markdown

BAR_LOSS, BAR_TARGET, BAR_PEER = 0.15, "encdb/postgres", "psycopg"
"""BARS: on PostgreSQL the mix loses 15 % at most against plaintext; CryptDB lost 26 %."""
NO_RESULT = (
    "The mix is like TPC-C, in reduced scale and without its terminals and times: its figures are "
    "not TPC-C results and compare with none."
)
NOTES = (
    "p50 and p99 in ms, of whole transactions with their retries. Cpu is the processor time in ms that "
    "a client spends on each, without the server's. Retries are those that the application had to make "
    "after conflicts, and given up is what these had not let through at the end; encdb repeats single "
    "statements by itself, and SQLite waits for its lock. Rtt is what a relay adds to a round trip, in ms: "
    "0 is loopback without one. Trips are round trips to PostgreSQL for each transaction, as the store "
    "counts them. Relay is the share of one processor that the relays take, which clients and servers do "
    "not get. The last column is throughput divided by that of the named database at the same rtt."
)


@dataclass(frozen=True, slots=True)
class Latency:
    """Transactions of one kind.

    Attributes:
        count: how many.
        p50: median in milliseconds.
        p99: in milliseconds; of less than a hundred transactions it is the longest.
    """

    count: int
    p50: float
    p99: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Latency:
        """Of a list of times."""
        taken = sorted(seconds)
        return cls(len(taken), _rank(taken, 0.50), _rank(taken, 0.99))


def _rank(taken: Sequence[float], share: float) -> float:
    """The least time that this share of all does not exceed (nearest rank), in milliseconds."""
    return taken[math.ceil(share * len(taken)) - 1] * 1e3 if taken else math.nan


@dataclass(slots=True)
class Cell:
    """One workload on one database.

    Attributes:
        target: name of the database.
        operation: the workload.
        clients: how many at once.
        rtt: milliseconds that a relay adds to each round trip.
        beside: names of the databases to compare with.
        throughput: transactions per second of all clients.
        latency: of all transactions.
        kinds: of each transaction of the mix.
        retries: after conflicts.
        abandoned: transactions given up because conflicts kept coming until the end.
        processor: milliseconds of the clients' processors for each transaction.
        round_trips: for each transaction, where the store counts them.
        relaying: share of a processor that the relay took.
        problems: why it is worth nothing, in words.
        ratios: throughput divided by that of other databases.
    """

    target: str
    operation: str
    clients: int
    rtt: float = 0.0
    beside: tuple[str, ...] = ()
    throughput: float = 0.0
    latency: Latency | None = None
    kinds: dict[str, Latency] = field(default_factory=dict)
    retries: int = 0
    abandoned: int = 0
    processor: float = 0.0
    round_trips: float | None = None
    relaying: float = 0.0
    problems: list[str] = field(default_factory=list)
    ratios: dict[str, float] = field(default_factory=dict)

    def fill(self, tally: Tally) -> None:
        """Take over what was measured."""
        self.throughput, self.retries = tally.throughput, tally.retries
        self.abandoned = tally.abandoned
        self.latency = Latency.of(tally.all)
        if self.operation == MIX:
            self.kinds = {kind: Latency.of(taken) for kind, taken in tally.latencies.items()}
        count = max(1, self.latency.count)
        self.processor = tally.processor * 1e3 / count
        if tally.round_trips is not None:
            self.round_trips = tally.round_trips / count

    @property
    def name(self) -> str:
        """Which cell it is."""
        away = f" at {self.rtt:g} ms" if self.rtt else ""
        return f"{self.operation}, {self.clients} x {self.target}{away}"

    @property
    def shown(self) -> str:
        """One line for who is waiting."""
        if self.problems:
            return f"FAILED, {self.problems[0]}"
        return f"{self.throughput:,.1f}/s"


@dataclass(slots=True)
class Loads:
    """All cells of a run; each is shown on stderr at once.

    Attributes:
        cells: in the order in which they were measured.
        trips: by the rtt, what psycopg takes for a ``SELECT 1`` in milliseconds.
    """

    cells: list[Cell] = field(default_factory=list)
    trips: dict[float, float] = field(default_factory=dict)

    def add(self, cell: Cell) -> None:
        """Record one cell. Its peers have to be there already, to be compared with."""
        for name in cell.beside:
            peer = self.find(name, cell.operation, cell.clients, cell.rtt)
            if peer is not None and peer.throughput and not (peer.problems or cell.problems):
                cell.ratios[name] = cell.throughput / peer.throughput
        self.cells.append(cell)
        print(f"  {cell.name}: {cell.shown}", file=sys.stderr)

    def find(self, target: str, operation: str, clients: int, rtt: float) -> Cell | None:
        """The cell of that name."""
        wanted = (target, operation, clients, rtt)
        return next(
            (c for c in self.cells if (c.target, c.operation, c.clients, c.rtt) == wanted), None
        )

    @property
    def travelled(self) -> str:
        """What the relays really add, in one line."""
        direct = self.trips[0.0]
        relayed = "".join(
            f", {took:.2f} through the relay for rtt {rtt:g} ({took - direct:.2f} added)"
            for rtt, took in self.trips.items()
            if rtt
        )
        return f"Median of SELECT 1 by psycopg, in ms: {direct:.2f} without a relay{relayed}."

    @property
    def failed(self) -> bool:
        """Whether a workload could not run or left an inconsistent database."""
        return any(cell.problems for cell in self.cells)

    @property
    def bars(self) -> list[str]:
        """Whether the bar is met, for each round trip and number of clients."""
        lines = []
        for cell in self.cells:
            ratio = cell.ratios.get(BAR_PEER)
            if cell.target == BAR_TARGET and cell.operation == MIX and ratio is not None:
                loss = 1 - ratio
                lines.append(
                    f"Bar: on PostgreSQL the mix loses {BAR_LOSS:.0%} at most (CryptDB 26%). "
                    f"Rtt {cell.rtt:g} ms, clients: {cell.clients}, loss {loss:.0%}, "
                    f"{'met' if loss <= BAR_LOSS else 'MISSED'}."
                )
        return lines

    def text(self) -> str:
        """Markdown: all cells, then the transactions of the mix one by one, then what they mean."""
        lines = ["", *markdown(_HEAD, map(_row, self.cells)), "", NOTES]
        mixed = [cell for cell in self.cells if cell.kinds]
        if mixed:
            lines += ["", "### Transactions of the mix", "", NO_RESULT, ""]
            kinds = list(dict.fromkeys(kind for cell in mixed for kind in sorted(cell.kinds)))
            head = ("rtt", "clients", "database", *(f"{kind}: n, p50, p99" for kind in kinds))
            lines += markdown(head, [_kinds(cell, kinds) for cell in mixed])
            good = sum(not cell.problems for cell in mixed)
            lines += ["", f"Consistent after the mix: {good} of {len(mixed)}.", "", *self.bars]
        lines += [
            f"FAILED: {cell.name}: {problem}" for cell in self.cells for problem in cell.problems
        ]
        return "\n".join(lines) + "\n"

    def write_json(self, path: Path, about: dict[str, Any]) -> None:
        """Write every cell and what is known of the machine."""
        content = {
            "note": NO_RESULT,
            "bars": self.bars,
            "trips": self.trips,
            "cells": [asdict(cell) for cell in self.cells],
        }
        path.write_text(json.dumps(about | content, indent=2) + "\n")


_HEAD = (
    "operation",
    "rtt",
    "clients",
    "database",
    "tx/s",
    "p50",
    "p99",
    "cpu",
    "retries",
    "trips",
    "relay",
    "beside",
)


def _row(cell: Cell) -> tuple[str, ...]:
    start = (cell.operation, f"{cell.rtt:g}", str(cell.clients), cell.target)
    if cell.latency is None:
        return (*start, *("-" * 7), "FAILED")
    beside = ", ".join(f"{ratio:.2f} of {name}" for name, ratio in cell.ratios.items())
    return (
        *start,
        f"{cell.throughput:,.1f}",
        f"{cell.latency.p50:.2f}",
        f"{cell.latency.p99:.2f}",
        f"{cell.processor:.2f}",
        f"{cell.retries:,}" + (f", {cell.abandoned} given up" if cell.abandoned else ""),
        "-" if cell.round_trips is None else f"{cell.round_trips:.1f}",
        f"{cell.relaying:.0%}" if cell.rtt else "-",
        "INCONSISTENT" if cell.problems else beside,
    )


def _kinds(cell: Cell, kinds: Sequence[str]) -> tuple[str, ...]:
    shown = []
    for kind in kinds:
        one = cell.kinds.get(kind)
        shown.append("-" if one is None else f"{one.count}, {one.p50:.1f}, {one.p99:.1f}")
    return (f"{cell.rtt:g}", str(cell.clients), cell.target, *shown)
