"""``encdb shell``: SQL at a prompt, from stdin, or from ``-c``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from encdb.errors import OperationalError, err
from proxy.cli.failure import say
from proxy.cli.opening import has_terminal, open_session
from proxy.cli.options import Access, access_options, format_options, store_argument
from proxy.cli.output import Format, Output

if TYPE_CHECKING:
    from proxy.cli.shell import Shell


@click.command()
@store_argument
@click.option(
    "-c",
    "--command",
    "commands",
    metavar="SQL",
    multiple=True,
    help="Run SQL and leave; several statements are separated by semicolons. May be repeated.",
)
@click.option(
    "--history",
    metavar="FILE",
    type=click.Path(dir_okay=False),
    help="Keep the lines typed at the prompt in FILE, in clear. Without it nothing is written.",
)
@access_options
@format_options
def shell(
    *, store: str, commands: tuple[str, ...], history: str | None, access: Access, form: Format
) -> None:
    r"""Run SQL on a store.

    Without -c, statements come from a prompt, or from stdin when that is not a terminal. A script
    stops at its first error. \? lists the commands of the shell itself, such as \dt and \d TABLE.
    """
    from proxy.cli.shell import Quit, Shell

    at_prompt = not commands and has_terminal() and sys.stdout.isatty()
    with open_session(store, access) as session, Output(form) as output:
        runner = Shell(session, output, talk=bool(commands) or at_prompt)
        try:
            if at_prompt:
                from proxy.cli.repl import interact

                interact(runner, history=history)
            else:
                _run_all(runner, commands)
        except Quit:
            pass
        if session.in_transaction:
            say("notice: the open transaction was rolled back")


def _run_all(runner: Shell, commands: tuple[str, ...]) -> None:
    for text in commands:
        for line in text.splitlines(keepends=True):
            runner.feed(line)
        runner.finish()
    if not commands:
        for number, line in enumerate(sys.stdin.buffer, start=1):
            runner.feed(_decoded(number, line))
        runner.finish()


def _decoded(number: int, line: bytes) -> str:
    """One line of a script. Scripts are UTF-8 whatever the locale says; a byte order mark is fine."""
    try:
        return line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError:
        raise err(
            OperationalError,
            "E_INPUT_FILE",
            f"Line {number:,} of the script is not UTF-8 text",
            "Convert the script to UTF-8",
        ) from None
