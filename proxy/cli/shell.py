"""The SQL shell without its terminal: lines in, statements run, results out.

The same object serves a person at a prompt, a script on stdin and ``-c``. A line that begins a
statement with a backslash or a dot is a command of the shell itself (:mod:`proxy.cli.meta`); everything
else is SQL up to the next ``;``. Errors are raised: whoever drives the shell decides whether to stop.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from encdb.errors import ProgrammingError, err
from proxy.cli import meta
from proxy.cli.failure import printable, say
from proxy.cli.output import Output
from proxy.cli.splitter import Splitter

if TYPE_CHECKING:
    import pyarrow as pa

    from proxy.session import Session

BATCH_ROWS = 4096


class Quit(Exception):  # noqa: N818 - leaving is not an error.
    """The user asked to leave."""


class Shell:
    """Runs lines of SQL and shell commands on one session.

    Args:
        session: where statements run.
        output: where results go.
        talk: whether to confirm statements without a result, such as ``INSERT 0 1``, on stderr.
    """

    def __init__(self, session: Session, output: Output, *, talk: bool) -> None:
        self.session = session
        self.output = output
        self.timing = False
        self._talk = talk and output.for_people
        self._splitter = Splitter()

    @property
    def is_open(self) -> bool:
        """Whether a statement has begun and awaits its semicolon."""
        return not self._splitter.is_blank

    def feed(self, line: str) -> None:
        """Take one line, with or without its line end, and run what it completes.

        Raises:
            Quit: the line asks to leave.
            EncdbError: a statement failed; the rest of the line is not run.
        """
        if not self.is_open and meta.is_command(line):
            self._splitter.clear()
            self._command(line.strip())
            return
        for statement in self._splitter.feed(line if line.endswith("\n") else line + "\n"):
            self.run(statement)

    def finish(self) -> None:
        """Run a last statement that has no semicolon."""
        statement = self._splitter.finish()
        if statement is not None:
            self.run(statement)

    def cancel(self) -> None:
        """Forget the statement being typed."""
        self._splitter.clear()

    def run(self, statement: str) -> None:
        """Run one statement and write its result."""
        if not statement.isascii():
            _require_text(statement)
        started = time.perf_counter()
        result = self.session.execute(statement)
        seconds = time.perf_counter() - started
        for notice in result.notices:
            say(f"notice: {notice}")
        if result.table is not None:
            names = [name for name, _ in result.columns]
            self.output.result(names, rows_of(result.table))
        elif self._talk and result.tag:
            say(result.tag)
        if self.timing:
            say(f"Time: {seconds * 1000:.1f} ms")

    def _command(self, line: str) -> None:
        name, _, rest = line.partition(" ")
        command = meta.find(name)
        if command is None:
            raise err(
                ProgrammingError,
                "E_SYNTAX",
                f"There is no shell command {printable(name)}",
                "Type \\? for the list",
            )
        match command.action:
            case "quit":
                raise Quit
            case "help":
                click.echo(meta.help_text(), err=True)
            case "timing":
                self.timing = _switched(self.timing, rest)
                say(f"Timing is {'on' if self.timing else 'off'}.")
            case "expanded":
                self.output.expanded = _switched(self.output.expanded, rest)
                say(f"Expanded display is {'on' if self.output.expanded else 'off'}.")
            case "tables":
                meta.list_tables(self.session.catalog, self.output)
            case "describe":
                meta.describe(self.session.catalog, rest.strip().rstrip(";"), self.output)
            case "schema":
                meta.write_schema(self.session.catalog, rest.strip().rstrip(";"), self.output)


def rows_of(table: pa.Table) -> Iterator[tuple[object, ...]]:
    """Rows of an Arrow table as Python values, a few thousand at a time."""
    import pyarrow as pa

    from proxy.values import to_python

    for batch in table.to_batches(max_chunksize=BATCH_ROWS):
        yield from to_python(pa.Table.from_batches([batch]))


def _require_text(statement: str) -> None:
    """Refuse bytes of a command line that are no text; Python carries them as lone surrogates."""
    try:
        statement.encode("utf-8")
    except UnicodeEncodeError:
        raise err(
            ProgrammingError, "E_SYNTAX", "The statement is not UTF-8 text", "Write it in UTF-8"
        ) from None


def _switched(state: bool, word: str) -> bool:
    """The new state of a switch: ``on`` and ``off`` set it, nothing turns it over."""
    match word.strip().casefold():
        case "":
            return not state
        case "on":
            return True
        case "off":
            return False
    raise err(ProgrammingError, "E_SYNTAX", "The switch takes on or off", "Say on, off or nothing")
