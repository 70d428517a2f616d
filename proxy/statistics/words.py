"""What was chosen and why, in words, for EXPLAIN. It is shown to whoever asked and belongs in no log."""

from __future__ import annotations

from ..execute.probes.base import FEW
from .choice import Report, Step


def words_of_choice(table: str, report: Report) -> list[str]:
    """The lines of EXPLAIN about what is chosen for one table."""
    rows, steps, refused = report.rows, report.steps, report.refused
    if steps:
        chosen = "choice: " + ", then ".join(map(_meant, steps))
        if steps[-1].covering:
            chosen += "; no row is fetched, for it holds every column that is needed"
        if rows <= FEW:
            return [chosen, f"estimate: at most {rows} rows"]
        if report.expected is None:
            return [chosen, f"estimate: none; ANALYZE {table} may give one"]
        return [chosen, f"estimate: {_about(report.expected)} of {rows} rows"]
    if refused is not None and refused.expected is not None:
        because = f"{_names(refused)} would list {_about(refused.expected)} of {rows}"
        return [f"choice: all rows, because {because}", f"estimate: {rows} rows"]
    return [f"estimate: {rows} rows"]


def words_of_step(step: Step) -> str:
    """The line of EXPLAIN ANALYZE about an index that was read."""
    expected = "" if step.expected is None else f", {_about(step.expected)} expected"
    return f"{_names(step)}: {step.found} rows{expected}"


def _meant(step: Step) -> str:
    listed = "" if step.expected is None else f" ({_about(step.expected)})"
    return f"{_names(step)}{listed}"


def _names(step: Step) -> str:
    return (" and " if step.together else " or ").join(dict.fromkeys(step.names))


def _about(rows: float) -> str:
    return f"about {round(rows)}"
