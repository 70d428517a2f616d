"""The ``encdb`` command and its one place for errors and exit statuses.

A command returns nothing when it succeeds, raises an error of :mod:`encdb.errors` when it fails, and
leaves both the message and the exit status to :func:`main`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from encdb import __version__
from encdb.stores.server.commands import serve, token
from proxy.cli.commands.accept import accept
from proxy.cli.commands.add import add
from proxy.cli.commands.check import check
from proxy.cli.commands.checkpoint import checkpoint
from proxy.cli.commands.completion import completion
from proxy.cli.commands.copy import copy
from proxy.cli.commands.demo import demo
from proxy.cli.commands.import_ import import_
from proxy.cli.commands.init import init
from proxy.cli.commands.keyring import keyring
from proxy.cli.commands.search import search
from proxy.cli.commands.shell import shell
from proxy.cli.failure import report

PROGRAM = "encdb"
COMPLETION_VARIABLE = "_ENCDB_COMPLETE"
USAGE = 2


@click.group(
    name=PROGRAM,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="STORE is a path such as vault.db or a URL such as sqlite:///vault.db. Exit status: "
    "0 success, 1 failure, 2 usage, 3 wrong or missing key, 4 integrity.",
)
@click.version_option(
    __version__, "-V", "--version", prog_name=PROGRAM, message="%(prog)s %(version)s"
)
def cli() -> None:
    """Keep tables and documents in a store that cannot read them."""


for _command in (
    init,
    import_,
    shell,
    add,
    search,
    check,
    checkpoint,
    accept,
    copy,
    demo,
    keyring,
    serve,
    token,
    completion,
):
    cli.add_command(_command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    Args:
        arguments: the words after ``encdb``; those of the process by default.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        status = _run(given)
        # A reader may go away before the last of the output was written; find out now.
        sys.stdout.flush()
    except click.exceptions.NoArgsIsHelpError as missing:
        click.echo(missing.format_message(), err=True)
        return USAGE
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the last place that could.
        return report(error)
    return status


def _run(arguments: list[str]) -> int:
    """What ``cli.main`` does, except that errors come out as they are, a broken pipe among them."""
    instruction = os.environ.get(COMPLETION_VARIABLE)
    if instruction:
        from click.shell_completion import shell_complete

        return shell_complete(cli, {}, PROGRAM, COMPLETION_VARIABLE, instruction)
    try:
        with cli.make_context(PROGRAM, arguments) as context:
            cli.invoke(context)
    except click.exceptions.Exit as leaving:
        return leaving.exit_code
    return 0
