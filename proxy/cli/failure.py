"""How the command line says what went wrong: one line on stderr and an exit status.

``encdb: error E_CODE: message. fix``, and a traceback only when ``ENCDB_DEBUG`` is set, because a
traceback can hold a literal of a statement or a value of a row. Statuses: 1 failure, 2 usage, 3 wrong
or missing key, 4 integrity, 130 after Ctrl-C and 141 when the reader of a pipe went away.
"""

from __future__ import annotations

import errno
import os
import re
import sys
import traceback

import click

from encdb.errors import EncdbError, InternalError, OperationalError, UsageError, err

FAILURE = 1
INTERRUPTED = 130
BROKEN_PIPE = 141

DEBUG_VARIABLE = "ENCDB_DEBUG"

# click puts its suggestions in parentheses; here they are a sentence like every other fix.
_SUGGESTION = re.compile(r"\((Did you mean .*\?)\)\.?$")

# Control characters would let a hostile file name or column value move the cursor of a terminal,
# and the bidirectional controls would let it display something else than it says.
_CONTROLS = {
    code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\t\n"
} | {code: f"\\u{code:04x}" for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))}


def printable(text: str) -> str:
    """``text`` with control characters written as escapes; tabs and line feeds stay."""
    return text.translate(_CONTROLS)


def one_line(text: str) -> str:
    """``text`` with control characters as escapes and every run of white space as one blank."""
    return printable(" ".join(text.split()))


def say(text: str) -> None:
    """Write one line for the user to stderr, where everything goes that is not data."""
    click.echo(printable(text), err=True)


def report(error: BaseException) -> int:
    """Write one line about ``error`` to stderr and return the exit status that belongs to it."""
    if os.environ.get(DEBUG_VARIABLE):
        traceback.print_exception(error)
    if isinstance(error, (KeyboardInterrupt, click.Abort)):
        say("encdb: interrupted")
        return INTERRUPTED
    if isinstance(error, OSError) and error.errno == errno.EPIPE:
        discard_output()
        return BROKEN_PIPE
    known = as_encdb_error(error)
    label = f"error {known.code}" if known.code else "error"
    click.echo(f"encdb: {label}: {one_line(str(known))}", err=True)
    return known.exit_status


def as_encdb_error(error: BaseException) -> EncdbError:
    """The catalogue's form of any exception.

    Unknown ones show their type alone, never their text, because that may quote a value.
    """
    if isinstance(error, EncdbError):
        return error
    if isinstance(error, click.UsageError):
        command = error.ctx.command_path if error.ctx is not None else "encdb"
        message = _SUGGESTION.sub(r"\1", error.format_message())
        return err(UsageError, "E_USAGE", message, f"See {command} --help")
    if isinstance(error, click.ClickException):
        return err(OperationalError, "E_INPUT_FILE", error.format_message())
    if isinstance(error, OSError):
        reason = error.strerror or "input/output error"
        if error.filename is None:
            return err(OperationalError, "E_OUTPUT", f"The result cannot be written: {reason}")
        return err(OperationalError, "E_INPUT_FILE", f"{os.fsdecode(error.filename)}: {reason}")
    if isinstance(error, MemoryError):
        return err(OperationalError, "E_ENGINE_MEMORY", "There is not enough memory for this")
    return err(
        InternalError,
        "E_INTERNAL",
        f"Unexpected {type(error).__name__}",
        f"Run the command again with {DEBUG_VARIABLE}=1 and report the traceback",
    )


def discard_output() -> None:
    """Point stdout at nothing, so that the interpreter's own flush at exit stays quiet too."""
    try:
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, sys.stdout.fileno())
        os.close(nothing)
    except (OSError, ValueError):
        # There is no file behind stdout, so nothing will be flushed to one either.
        return
