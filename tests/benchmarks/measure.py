"""Timing, and the table of results: each figure of encdb beside its peer's, measured in the same run."""

from __future__ import annotations

import gc
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

_Argument = TypeVar("_Argument")


@dataclass(frozen=True, slots=True)
class Figure:
    """One measurement.

    Attributes:
        section: the group it is printed under.
        what: what was measured, for a reader.
        rows: size of the table or collection.
        unit: of both figures.
        ours: encdb's figure.
        peer: the peer's name; empty where there is none.
        theirs: the peer's figure.
        more_is_better: True for throughputs, False for times and sizes.
        bar: the figure of BARS that this one is held against; empty where there is none.
        met: whether the bar is met; None where there is none.
    """

    section: str
    what: str
    rows: int
    unit: str
    ours: float | None
    peer: str = ""
    theirs: float | None = None
    more_is_better: bool = False
    bar: str = ""
    met: bool | None = None

    @property
    def ratio(self) -> float | None:
        """How many times better (above 1) or worse (below 1) encdb is than the peer."""
        if not self.ours or not self.theirs:
            return None
        return self.ours / self.theirs if self.more_is_better else self.theirs / self.ours


@dataclass(slots=True)
class Report:
    """All figures of a run, in the order they were measured; each is shown on stderr at once."""

    figures: list[Figure] = field(default_factory=list)

    def add(self, figure: Figure) -> None:
        """Record one figure."""
        self.figures.append(figure)
        print(
            f"  {figure.rows:>9,} {figure.what}: {_number(figure.ours)} {figure.unit}",
            file=sys.stderr,
        )

    def find(self, what: str, rows: int) -> Figure | None:
        """The first figure of that name and size."""
        return next((f for f in self.figures if f.what == what and f.rows == rows), None)

    def text(self) -> str:
        """A table in Markdown, one section after the other."""
        lines: list[str] = []
        for section in dict.fromkeys(figure.section for figure in self.figures):
            chosen = [figure for figure in self.figures if figure.section == section]
            lines += ["", f"### {section}", ""]
            lines += _table(
                ("what", "rows", "encdb", "peer", "peer's name", "unit", "encdb is", "bar"),
                (
                    (
                        figure.what,
                        f"{figure.rows:,}",
                        _number(figure.ours),
                        _number(figure.theirs),
                        figure.peer,
                        figure.unit,
                        _ratio(figure),
                        _bar(figure),
                    )
                    for figure in chosen
                ),
            )
        return "\n".join(lines) + "\n"

    def write_json(self, path: Path, about: dict[str, Any]) -> None:
        """Write every figure, with its ratio, and what is known of the machine."""
        figures = [asdict(figure) | {"ratio": figure.ratio} for figure in self.figures]
        path.write_text(json.dumps(about | {"figures": figures}, indent=2) + "\n")


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _ratio(figure: Figure) -> str:
    if figure.ratio is None:
        return "-"
    kind = ("more" if figure.unit.endswith("/s") else "larger") if figure.more_is_better else ""
    if figure.ratio >= 1:
        return f"{figure.ratio:.2f}x {kind or 'less'}"
    worse = {"more": "less", "larger": "smaller", "": "more"}[kind]
    return f"{1 / figure.ratio:.2f}x {worse}"


def _bar(figure: Figure) -> str:
    if figure.met is None:
        return figure.bar
    return f"{figure.bar}: {'met' if figure.met else 'MISSED'}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    body = list(rows)
    widths = [max(len(row[i]) for row in [head, *body]) for i in range(len(head))]
    for row in [head, ["-" * width for width in widths], *body]:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield "| " + " | ".join(cells) + " |"


@dataclass(slots=True)
class Stopwatch:
    """Seconds that a ``with`` block took."""

    seconds: float = 0.0


@contextmanager
def stopwatch() -> Iterator[Stopwatch]:
    """Time one block, without a garbage collection left over from what came before."""
    gc.collect()
    watch = Stopwatch()
    start = time.perf_counter()
    yield watch
    watch.seconds = time.perf_counter() - start


def median_seconds(
    call: Callable[[_Argument], object], arguments: Iterable[_Argument], *, budget: float = 5.0
) -> float:
    """Median time of ``call`` over the arguments, after one call to warm up.

    It stops after ``budget`` seconds, but takes three measurements at least if there are as many.
    """
    taken: list[float] = []
    end = time.perf_counter() + budget
    for number, argument in enumerate(arguments):
        start = time.perf_counter()
        call(argument)
        now = time.perf_counter()
        if number > 0:
            taken.append(now - start)
        if now > end and len(taken) >= 3:
            break
    return statistics.median(taken)
