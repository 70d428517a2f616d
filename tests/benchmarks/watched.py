"""Where the time of a workload goes by statement, without the distortion of a profiler."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from .measure import _table as markdown
from .targets import Client, Row

_WIDTH = 90


class Watched(Client):
    """A client that notes how long each of its statements takes.

    Attributes:
        times: seconds of each call, by the statement.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self.times: dict[str, list[float]] = {}

    def _timed(self, what: str, call: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        start = time.perf_counter()
        result = call(*arguments, **named)
        self.times.setdefault(what, []).append(time.perf_counter() - start)
        return result

    def run(self, sql: str, parameters: Sequence[object] = ()) -> list[Row]:
        rows: list[Row] = self._timed(sql, self._client.run, sql, parameters)
        return rows

    def begin(self, *, write: bool) -> None:
        self._timed("BEGIN", self._client.begin, write=write)

    def commit(self) -> None:
        self._timed("COMMIT", self._client.commit)

    def rollback(self) -> None:
        self._timed("ROLLBACK", self._client.rollback)

    def is_conflict(self, error: Exception) -> bool:
        return self._client.is_conflict(error)

    @property
    def round_trips(self) -> int | None:
        return self._client.round_trips

    def define(self, sql: str) -> None:
        self._client.define(sql)

    def load(self, sql: str, rows: Iterable[Row]) -> None:
        self._client.load(sql, rows)

    def settle(self) -> None:
        self._client.settle()

    def close(self) -> None:
        self._client.close()

    def table(self) -> Iterator[str]:
        """Statements by the share of the time that they took, in Markdown."""
        total = sum(map(sum, self.times.values()))
        rows = [
            (
                f"{sum(taken) / total:.1%}",
                f"{len(taken):,}",
                f"{statistics.median(taken) * 1e3:.2f}",
                f"{statistics.fmean(taken) * 1e3:.2f}",
                what if len(what) <= _WIDTH else f"{what[: _WIDTH - 1]}…",
            )
            for what, taken in sorted(self.times.items(), key=lambda one: -sum(one[1]))
        ]
        return markdown(("time", "calls", "median ms", "mean ms", "statement"), rows)
