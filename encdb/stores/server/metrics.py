"""Counters in the text format of Prometheus (exposition format 0.0.4).

A few counters and one histogram need no library. Labels take a small number of values: kinds of
messages, outcomes, reasons; never names of tokens, which the log has.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from typing import Final

_BOUNDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
"""Upper bounds of the histogram's classes, in seconds."""


class Metrics:
    """The counters of one server. Only its event loop touches them, so they need no lock."""

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, str]] = Counter()
        self.refusals: Counter[str] = Counter()
        self.received = 0
        self.sent = 0
        self.gauges: dict[str, tuple[str, Callable[[], int]]] = {}
        self._classes: dict[str, list[int]] = {}
        self._sums: defaultdict[str, float] = defaultdict(float)

    def answered(self, kind: str, outcome: str, seconds: float) -> None:
        """Count one request that was carried out."""
        self.requests[kind, outcome] += 1
        classes = self._classes.setdefault(kind, [0] * (len(_BOUNDS) + 1))
        classes[bisect_left(_BOUNDS, seconds)] += 1
        self._sums[kind] += seconds

    def refused(self, reason: str) -> None:
        """Count one request that was not admitted."""
        self.refusals[reason] += 1

    def text(self) -> str:
        """Everything, for a scraper."""
        return "".join(f"{line}\n" for line in self._lines())

    def _lines(self) -> Iterator[str]:
        yield from _family("encdb_requests_total", "counter", "Requests carried out.")
        for (kind, outcome), count in sorted(self.requests.items()):
            yield f'encdb_requests_total{{kind="{kind}",outcome="{outcome}"}} {count}'
        yield from _family("encdb_refusals_total", "counter", "Requests refused.")
        for reason, count in sorted(self.refusals.items()):
            yield f'encdb_refusals_total{{reason="{reason}"}} {count}'
        for name, text, value in (
            ("encdb_received_bytes_total", "Bytes of request bodies.", self.received),
            ("encdb_sent_bytes_total", "Bytes of answers.", self.sent),
        ):
            yield from _family(name, "counter", text)
            yield f"{name} {value}"
        for name, (text, read) in sorted(self.gauges.items()):
            yield from _family(name, "gauge", text)
            yield f"{name} {read()}"
        yield from _family("encdb_request_seconds", "histogram", "Time to carry out a request.")
        for kind, classes in sorted(self._classes.items()):
            total = 0
            for bound, count in zip((*_BOUNDS, "+Inf"), classes, strict=True):
                total += count
                yield f'encdb_request_seconds_bucket{{kind="{kind}",le="{bound}"}} {total}'
            yield f'encdb_request_seconds_sum{{kind="{kind}"}} {self._sums[kind]:.6f}'
            yield f'encdb_request_seconds_count{{kind="{kind}"}} {total}'


def _family(name: str, kind: str, text: str) -> Iterator[str]:
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} {kind}"
