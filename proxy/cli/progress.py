"""Progress of long work: a bar on a terminal, silence everywhere else.

The bar goes to stderr, so that a result that is piped away stays clean.
"""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING, Self

from proxy.cli.failure import printable

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID


class Progress:
    """A callable ``(what, done, total)`` that long work tells how far it is.

    Used as a context manager. A ``total`` of 0 or None means that it is unknown.

    Args:
        what: one or two words for the bar, such as ``"importing residents"``.
        unit: what is counted, in the plural.
    """

    def __init__(self, what: str, unit: str) -> None:
        self._what = what
        self._unit = unit
        self._bar: RichProgress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        from proxy.cli.render import is_terminal, use_colour

        if not is_terminal(sys.stderr):
            return self
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as RichProgress

        console = Console(file=sys.stderr, no_color=not use_colour(sys.stderr))
        self._bar = RichProgress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:,} {task.fields[unit]}"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        self._task = self._bar.add_task(self._what, total=None, unit=self._unit)
        self._bar.start()
        return self

    def __call__(self, what: str, done: int, total: int | None = None) -> None:
        """Show that ``done`` of ``total`` are finished; ``what`` names the part being done."""
        if self._bar is not None and self._task is not None:
            described = f"{self._what} {printable(what)}".strip()
            self._bar.update(self._task, description=described, completed=done, total=total or None)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
