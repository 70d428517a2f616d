"""The shell at a terminal: prompt, completion, several lines a statement, history in memory.

Nothing that is typed reaches the disk unless ``--history FILE`` names a file, because statements hold
literals. Ctrl-C forgets the statement being typed or cancels the one that runs; Ctrl-D leaves. The
prompt shows a star while a transaction is open.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.output import ColorDepth

from encdb.errors import EncdbError
from proxy.cli import meta
from proxy.cli.failure import report, say
from proxy.cli.keywords import COMPLETIONS
from proxy.cli.shell import Quit, Shell

if TYPE_CHECKING:
    from prompt_toolkit.input import Input
    from prompt_toolkit.output import Output as TerminalOutput

    from proxy.session import Session

_LEAVING = frozenset({"exit", "exit;", "quit", "quit;"})
_WORD = re.compile(r'[A-Za-z_\x80-\uffff"][\w"]*$')
_QUALIFIED = re.compile(r'([\w"]+)\.([\w"]*)$')


class SqlCompleter(Completer):
    """Offers shell commands, tables, columns and keywords, from the session's catalog."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def get_completions(
        self,
        document: Document,
        complete_event: CompleteEvent,  # noqa: ARG002 - the base class names it.
    ) -> Iterable[Completion]:
        """Candidates for the word before the cursor; none when the store cannot be asked."""
        try:
            yield from self._candidates(document.text_before_cursor)
        except EncdbError:
            # The statement itself will report what is wrong.
            return

    def _candidates(self, before: str) -> Iterable[Completion]:
        if meta.is_command(before):
            yield from self._commands(before.lstrip())
            return
        qualified = _QUALIFIED.search(before)
        if qualified is not None:
            yield from self._columns_of(meta.unquoted(qualified[1]), qualified[2])
            return
        word = _WORD.search(before)
        if word is not None:
            yield from self._names(word.group())

    def _commands(self, text: str) -> Iterable[Completion]:
        name, blank, rest = text.partition(" ")
        if blank:
            tables = (table.name for table in self._session.catalog.tables)
            yield from _matching(rest, tables, "table")
            return
        for command in meta.COMMANDS:
            yield from _matching(name, command.names, command.help, quote=False)

    def _columns_of(self, table_name: str, prefix: str) -> Iterable[Completion]:
        table = self._session.catalog.find(table_name)
        if table is not None:
            yield from _matching(prefix, (column.name for column in table.columns), "column")

    def _names(self, prefix: str) -> Iterable[Completion]:
        tables = self._session.catalog.tables
        yield from _matching(prefix, (table.name for table in tables), "table")
        columns = {column.name for table in tables for column in table.columns}
        yield from _matching(prefix, sorted(columns, key=str.casefold), "column")
        yield from _matching(prefix, COMPLETIONS, "keyword", quote=False)


def interact(
    shell: Shell,
    *,
    history: str | None = None,
    terminal_input: Input | None = None,
    terminal_output: TerminalOutput | None = None,
) -> None:
    """Talk with a person until they leave.

    Args:
        shell: runs what they type.
        history: file that keeps their lines; None keeps them in memory only.
        terminal_input: where keys come from; the terminal by default.
        terminal_output: where the prompt goes; the terminal by default.
    """
    store: History = InMemoryHistory()
    if history is not None:
        # Statements hold literals, so the file is its owner's alone.
        path = Path(history).expanduser()
        path.touch(mode=0o600)
        store = FileHistory(str(path))
    prompt: PromptSession[str] = PromptSession(
        history=store,
        completer=SqlCompleter(shell.session),
        complete_while_typing=False,
        color_depth=ColorDepth.DEPTH_1_BIT if not _colour() else None,
        input=terminal_input,
        output=terminal_output,
    )
    say("Statements end with ; — type \\? for help, Ctrl-D to leave.")
    while True:
        try:
            line = prompt.prompt(prompt_text(shell))
        except KeyboardInterrupt:
            if shell.is_open:
                say("Statement forgotten.")
            shell.cancel()
            continue
        except EOFError:
            return
        if not shell.is_open and line.strip().casefold() in _LEAVING:
            return
        try:
            shell.feed(line)
        except Quit:
            return
        except KeyboardInterrupt:
            shell.cancel()
            say("Statement cancelled.")
        except Exception as error:  # noqa: BLE001 - one failed statement must not end the session.
            # The rest of the line may depend on what failed, so it is not run.
            shell.cancel()
            report(error)


def prompt_text(shell: Shell) -> str:
    """The prompt: a star for an open transaction, dots while a statement is being typed."""
    mark = "*" if shell.session.in_transaction else ""
    return f"{'.' * (5 + len(mark))}> " if shell.is_open else f"encdb{mark}> "


def _matching(
    prefix: str, candidates: Iterable[str], kind: str, *, quote: bool = True
) -> Iterable[Completion]:
    wanted = prefix.lstrip('"').casefold()
    for candidate in candidates:
        if candidate.casefold().startswith(wanted):
            text = meta.quoted(candidate) if quote else candidate
            yield Completion(text, start_position=-len(prefix), display_meta=kind)


def _colour() -> bool:
    import sys

    from proxy.cli.render import use_colour

    return use_colour(sys.stdout)
