"""Clients of the benchmark of stores: processes that start together and repeat one workload.

Each has one connection and records how long every transaction took, conflicts and what follows them
included, until its time is up.
"""

from __future__ import annotations

import math
import multiprocessing
import random
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from multiprocessing.synchronize import Barrier
from typing import Self

from . import operations, tpcc
from .targets import Client, Target
from .tpcc_tables import Scale

MIX = "mix"
OPERATIONS = (*operations.OPERATIONS, MIX)
TOGETHER_SECONDS = 120.0
"""How long a client waits for the others to have connected and warmed up."""
_PAUSES = (0.001, 0.002, 0.004, 0.008, 0.016, 0.032)


@dataclass(frozen=True, slots=True)
class Job:
    """What every client of a cell of the table does.

    Attributes:
        target: where.
        operation: one of :data:`OPERATIONS`.
        clients: how many there are.
        seat: number of the first client; no two clients of a run have the same.
        seconds: how long it is measured.
        warmup: how long it runs before; of the mix, every transaction runs once at least.
        rows: loaded rows of the single statements' table.
        scale: of the mix.
    """

    target: Target
    operation: str
    clients: int
    seat: int
    seconds: float
    warmup: float
    rows: int
    scale: Scale


@dataclass(slots=True)
class Tally:
    """What clients have done.

    Attributes:
        latencies: seconds of each transaction, by its kind.
        retries: how often a transaction was run again after a conflict.
        abandoned: transactions that conflicts had not let through when time was up.
        throughput: transactions per second.
        processor: seconds of the clients' processors; those of servers are not in it.
        round_trips: waits for the server, if the store counts them.
        committed: transactions that were committed, also before the measurement, by kind.
    """

    latencies: dict[str, list[float]] = field(default_factory=dict)
    retries: int = 0
    abandoned: int = 0
    throughput: float = 0.0
    processor: float = 0.0
    round_trips: int | None = None
    committed: dict[str, int] = field(default_factory=dict)

    def note(self, kind: str, seconds: float) -> None:
        """Record one transaction."""
        self.latencies.setdefault(kind, []).append(seconds)

    def merge(self, other: Self) -> None:
        """Add what another client has done at the same time."""
        for kind, taken in other.latencies.items():
            self.latencies.setdefault(kind, []).extend(taken)
        for kind, done in other.committed.items():
            self.committed[kind] = self.committed.get(kind, 0) + done
        self.retries += other.retries
        self.abandoned += other.abandoned
        self.throughput += other.throughput
        self.processor += other.processor
        if other.round_trips is not None:
            self.round_trips = (self.round_trips or 0) + other.round_trips

    @property
    def all(self) -> list[float]:
        """Latencies of every kind."""
        return [one for taken in self.latencies.values() for one in taken]


class TimeIsUpError(Exception):
    """Conflicts kept coming until the end."""


@dataclass(slots=True)
class Worker:
    """One client at work."""

    client: Client
    job: Job
    seat: int
    tally: Tally = field(default_factory=Tally)
    _draw: random.Random = field(init=False)
    _step: Callable[[float], str] = field(init=False)
    _terminal: tpcc.Terminal = field(init=False)

    def __post_init__(self) -> None:
        # The same choices on every target, as far as each gets.
        self._draw = random.Random(f"{self.job.operation} {self.job.clients} {self.seat % 64}")
        if self.job.operation == MIX:
            home = self.seat % self.job.scale.warehouses + 1
            self._terminal = tpcc.Terminal(self.job.scale, self._draw, home)
            self._step = lambda until: self._transaction(*self._terminal.next(), until)
        else:
            act = operations.step(
                self.job.operation, self.client, self.job.rows, self._draw, self.seat
            )
            self._step = lambda until: self._statement(act, until)

    def warm_up(self) -> None:
        """Have everything that is compiled, prepared or cached at first use in place."""
        if self.job.operation == MIX:
            for kind in tpcc.MIX:
                self._transaction(kind, self._terminal.make(kind), math.inf)
        self.repeat(self.job.warmup)
        self.tally = Tally(committed=self.tally.committed)

    def repeat(self, seconds: float) -> None:
        """Work until time is up, and finish what has begun by then."""
        clock, note, step = time.perf_counter, self.tally.note, self._step
        now = clock()
        until = now + seconds
        while now < until:
            try:
                kind = step(until)
            except TimeIsUpError:
                self.tally.abandoned += 1
                break
            then, now = now, clock()
            note(kind, now - then)

    def _statement(self, act: Callable[[], None], until: float) -> str:
        for pause in self._pauses(until):
            try:
                act()
            except Exception as error:
                if not self.client.is_conflict(error):
                    raise
                time.sleep(pause)
            else:
                break
        return self.job.operation

    def _transaction(self, kind: str, body: tpcc.Body, until: float) -> str:
        for pause in self._pauses(until):
            try:
                self.client.begin(write=kind not in tpcc.READ_ONLY)
                body(self.client)
                self.client.commit()
            except tpcc.Unused:
                self.client.rollback()
                return kind
            except Exception as error:
                self.client.rollback()
                if not self.client.is_conflict(error):
                    raise
                time.sleep(pause)
            else:
                break
        done = self.tally.committed
        done[kind] = done.get(kind, 0) + 1
        return kind

    def _pauses(self, until: float) -> Iterator[float]:
        """One for each attempt: what to wait if it fails, twice as long each time and half at random."""
        attempt = 0
        while True:
            longest = _PAUSES[min(attempt, len(_PAUSES) - 1)]
            yield longest * (0.5 + 0.5 * self._draw.random())
            if time.perf_counter() > until:
                raise TimeIsUpError
            attempt += 1
            self.tally.retries += 1


_barriers: dict[int, Barrier] = {}


def _initialise(barriers: dict[int, Barrier]) -> None:
    _barriers.update(barriers)


def _work(job: Job, seat: int) -> Tally:
    """In a client's process: connect, warm up, wait for the others, measure."""
    barrier = _barriers[job.clients]
    try:
        with closing(job.target.connect()) as client:
            return measure(client, job, seat, lambda: barrier.wait(TOGETHER_SECONDS))
    except BaseException:
        # The others should not wait for one that will not come.
        barrier.abort()
        raise


def measure(
    client: Client, job: Job, seat: int, ready: Callable[[], object] = lambda: None
) -> Tally:
    """Warm up, call ``ready``, and measure."""
    worker = Worker(client, job, seat)
    worker.warm_up()
    ready()
    before, start, used = client.round_trips, time.perf_counter(), time.process_time()
    worker.repeat(job.seconds)
    elapsed = time.perf_counter() - start
    tally = worker.tally
    tally.processor = time.process_time() - used
    tally.throughput = len(tally.all) / elapsed
    after = client.round_trips
    if before is not None and after is not None:
        tally.round_trips = after - before
    return tally


class Crew:
    """Processes of clients, each of which may work on many cells, one after the other."""

    def __init__(self, sizes: Iterable[int]) -> None:
        context = multiprocessing.get_context("spawn")
        self._barriers = {size: context.Barrier(size) for size in sizes}
        self._pool = ProcessPoolExecutor(
            max(self._barriers), context, initializer=_initialise, initargs=(self._barriers,)
        )

    def run(self, job: Job) -> Tally:
        """Measure one cell.

        Raises:
            Exception: what the first client that failed has raised.
        """
        futures = [
            self._pool.submit(_work, job, job.seat + number) for number in range(job.clients)
        ]
        failures = [one for one in (future.exception() for future in futures) if one]
        if failures:
            self._barriers[job.clients].reset()
            real = [one for one in failures if type(one).__name__ != "BrokenBarrierError"]
            raise (real or failures)[0]
        total = Tally()
        for future in futures:
            total.merge(future.result())
        return total

    def close(self) -> None:
        """End the processes."""
        self._pool.shutdown(cancel_futures=True)


@contextmanager
def crew(sizes: Iterable[int]) -> Iterator[Crew]:
    """Processes for cells of these numbers of clients."""
    made = Crew(sizes)
    try:
        yield made
    finally:
        made.close()
