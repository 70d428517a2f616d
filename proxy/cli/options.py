"""Arguments and options that several commands share, and the values they become.

STORE is the first argument of every command that has one. No option takes a secret: a passphrase
comes from ``ENCDB_PASSPHRASE``, from a file, from a file descriptor (``/dev/fd/3``), from stdin
(``-``) or from a prompt.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import click

from proxy.cli.output import Format

Command = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Access:
    """How a command reaches the keys of a store."""

    keyring: str | None = None
    passphrase_file: str | None = None
    expect: str | None = None


def store_argument(command: Command) -> Command:
    """The STORE argument: a path such as ``vault.db`` or a URL such as ``sqlite:///vault.db``."""
    return click.argument("store", metavar="STORE", type=click.Path())(command)


def access_options(command: Command) -> Command:
    """``--keyring``, ``--passphrase-file`` and ``--expect``, handed on as ``access``."""
    return key_options(
        click.option(
            "--expect",
            metavar="CHECKPOINT",
            help="Refuse the store unless it continues this checkpoint, which encdb checkpoint made "
            "anywhere; @FILE reads it from a file.",
        )(command)
    )


def key_options(command: Command) -> Command:
    """``--keyring`` and ``--passphrase-file``, for a command that reads no table; as ``access``."""

    @click.option(
        "--keyring",
        metavar="FILE",
        type=click.Path(dir_okay=False),
        help="Keyring file. Default: ENCDB_KEYRING, else the one of this database in your "
        "configuration folder.",
    )
    @click.option(
        "--passphrase-file",
        metavar="FILE",
        type=click.Path(dir_okay=False, allow_dash=True),
        help="Read the passphrase from the first line of FILE; - is stdin. "
        "Default: ENCDB_PASSPHRASE, else a prompt.",
    )
    @functools.wraps(command)
    def wrapped(
        *args: Any,
        keyring: str | None,
        passphrase_file: str | None,
        expect: str | None = None,
        **others: Any,
    ) -> Any:
        return command(*args, access=Access(keyring, passphrase_file, expect), **others)

    return wrapped


def format_options(command: Command) -> Command:
    """``--json``, ``--nl``, ``--csv`` and ``--table``, handed on as ``form``."""
    flag = click.option(
        "--table", "form", flag_value=Format.TABLE, help="Write a table for people (default)."
    )
    return flag(data_format_options(command))


def data_format_options(command: Command) -> Command:
    """The same without ``--table``, for a command in which that names a table."""

    @click.option("--json", "form", flag_value=Format.JSON, help="Write one JSON array.")
    @click.option("--nl", "form", flag_value=Format.NL, help="Write one JSON object a line.")
    @click.option("--csv", "form", flag_value=Format.CSV, help="Write CSV with a header.")
    @functools.wraps(command)
    def wrapped(*args: Any, form: str | None, **others: Any) -> Any:
        return command(*args, form=Format(form) if form else Format.TABLE, **others)

    return wrapped
