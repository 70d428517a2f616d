"""From STORE and the access options to an open session: passphrases are gathered here and nowhere else.

A passphrase comes from ``--passphrase-file``, else ``ENCDB_PASSPHRASE``, else a prompt, and there is
no prompt without a terminal. None of them is kept longer than the call that needs it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from encdb.errors import KeyringError, UsageError, err
from proxy import locations
from proxy.cli.failure import say
from proxy.cli.options import Access

if TYPE_CHECKING:
    from proxy.session import Session

# A passphrase file that is longer was meant to be something else, perhaps a device without an end.
MAX_PASSPHRASE_BYTES = 4096
MAX_CHECKPOINT_BYTES = 1 << 26


@contextmanager
def open_session(store: str, access: Access) -> Iterator[Session]:
    """A session on ``store``; an open transaction is rolled back at the end."""
    from proxy import opening

    session = opening.open_session(
        store, access.keyring, passphrase(access), expect=expected(access)
    )
    try:
        for notice in session.notices:
            say(f"notice: {notice}")
        yield session
    finally:
        session.close()


def passphrase(access: Access) -> str | Callable[[], str] | None:
    """The passphrase of an existing keyring, or a function that asks for it when it is needed."""
    if access.passphrase_file is not None:
        return read_passphrase(access.passphrase_file)
    return _ask if has_terminal() else None


def new_passphrase(access: Access, *, fix: str) -> str:
    """The passphrase of a keyring to be made: file, environment, or asked for twice.

    Raises:
        UsageError: there is neither of them, nor a terminal to ask on; ``fix`` says what to do.
    """
    if access.passphrase_file is not None:
        return read_passphrase(access.passphrase_file)
    given = locations.environment_passphrase()
    if given is not None:
        return given
    return ask_new(fix=fix)


def ask_new(*, fix: str) -> str:
    """Ask twice for a new passphrase."""
    if not has_terminal():
        raise err(UsageError, "E_NO_TERMINAL", "A new passphrase is needed", fix)
    answer: str = click.prompt(
        "New passphrase", hide_input=True, confirmation_prompt="Once more", err=True
    )
    return answer


def read_passphrase(path: str) -> str:
    """The first line of a file without its line end; ``-`` is stdin.

    Raises:
        KeyringError: the line is empty or longer than 4,096 bytes, or is not UTF-8.
        OSError: the file cannot be read.
    """
    if path == "-":
        line = sys.stdin.buffer.readline(MAX_PASSPHRASE_BYTES + 1)
    else:
        with Path(path).expanduser().open("rb") as file:
            line = file.readline(MAX_PASSPHRASE_BYTES + 1)
    name = "stdin" if path == "-" else path
    line = line.removesuffix(b"\n").removesuffix(b"\r")
    if not line:
        raise err(KeyringError, "E_PASSPHRASE_MISSING", f"The first line of {name} is empty")
    if len(line) > MAX_PASSPHRASE_BYTES:
        raise err(
            KeyringError,
            "E_PASSPHRASE_MISSING",
            f"The first line of {name} is longer than {MAX_PASSPHRASE_BYTES:,} bytes",
            "Pass a file whose first line is the passphrase",
        )
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        raise err(
            KeyringError,
            "E_PASSPHRASE_MISSING",
            f"The first line of {name} is not UTF-8 text",
            "Pass a file whose first line is the passphrase",
        ) from None


def expected(access: Access) -> str | None:
    """The checkpoint of ``--expect``, read from its file if it names one.

    Raises:
        OSError: the file cannot be read.
    """
    given = access.expect
    if given is None or not given.startswith("@"):
        return given
    with Path(given[1:]).expanduser().open("rb") as file:
        # What is not ASCII is no checkpoint, which opening it will say.
        return file.read(MAX_CHECKPOINT_BYTES).decode("ascii", errors="replace")


def has_terminal() -> bool:
    """Whether somebody can be asked: both the question and the answer need a terminal."""
    try:
        return sys.stdin.isatty() and sys.stderr.isatty()
    except (AttributeError, ValueError):
        return False


def _ask() -> str:
    answer: str = click.prompt("Passphrase", hide_input=True, err=True)
    return answer


def database_id(store: str) -> bytes:
    """The 16-byte identity of a store, which it tells without any key.

    Nothing vouches for it here: a keyring is compared with it only to refuse a wrong file early.
    """
    from encdb.stores import open_store
    from proxy.opening import identity_of

    opened = open_store(store)
    try:
        return identity_of(opened)
    finally:
        opened.close()
