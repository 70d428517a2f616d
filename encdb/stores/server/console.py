"""The two commands of a server, run without the trusted half.

``encdb serve`` and ``encdb token`` are also members of the whole command line, which knows them for help
and completion. A process that runs one of them comes here instead and loads none of the rest.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from typing import Final

import click

from encdb.errors import EncdbError, InternalError, OperationalError, UsageError, err

from .commands import serve, token

COMMANDS: Final = ("serve", "token")
_INTERRUPTED: Final = 130
_BROKEN_PIPE: Final = 141


@click.group(
    name="encdb",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
def _group() -> None:
    """Keep tables and documents in a store that cannot read them."""


_group.add_command(serve)
_group.add_command(token)


def main(arguments: Sequence[str]) -> int:
    """Run one of the two commands and return its exit status.

    Args:
        arguments: the words after ``encdb``; the first is ``serve`` or ``token``.
    """
    try:
        with _group.make_context("encdb", list(arguments)) as context:
            _group.invoke(context)
        sys.stdout.flush()
    except click.exceptions.Exit as leaving:
        return leaving.exit_code
    except click.exceptions.NoArgsIsHelpError as missing:
        click.echo(missing.format_message(), err=True)
        return 2
    except KeyboardInterrupt:
        click.echo("encdb: interrupted", err=True)
        return _INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the last place that could.
        return _report(error)
    return 0


def _report(error: Exception) -> int:
    """One line on stderr, and the exit status that belongs to it."""
    if isinstance(error, OSError) and error.errno == errno.EPIPE:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _BROKEN_PIPE
    known = _known(error)
    text = "".join(one if one.isprintable() else "?" for one in " ".join(str(known).split()))
    click.echo(f"encdb: error {known.code}: {text}", err=True)
    return known.exit_status


def _known(error: Exception) -> EncdbError:
    if isinstance(error, EncdbError):
        return error
    if isinstance(error, click.UsageError):
        command = error.ctx.command_path if error.ctx is not None else "encdb"
        return err(UsageError, "E_USAGE", error.format_message(), f"See {command} --help")
    if isinstance(error, click.ClickException):
        return err(OperationalError, "E_INPUT_FILE", error.format_message())
    return err(InternalError, "E_INTERNAL", f"unexpected {type(error).__name__}")
