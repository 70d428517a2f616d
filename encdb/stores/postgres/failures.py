"""Turning PostgreSQL's failures into encdb's errors.

The five characters of SQLSTATE decide. The text of the server is shown only where it explains why a
connection was not made, and without control characters: the server is not trusted.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import psycopg

from encdb.errors import (
    ConflictError,
    DataError,
    EncdbError,
    InternalError,
    OperationalError,
    ProgrammingError,
    StoreUnavailable,
    TamperError,
    err,
)

from .address import Address
from .schema import FUNCTION

_Kind = tuple[type[EncdbError], str, str]
_LOST: Final[_Kind] = (StoreUnavailable, "E_CONNECTION_LOST", "the connection to {url} was lost")
_DAMAGED: Final[_Kind] = (TamperError, "E_STORE_DAMAGED", "the store {url} is damaged: {name}")
_DENIED: Final[_Kind] = (StoreUnavailable, "E_ACCESS_DENIED", "{url} refuses this user: {reason}")
_READ_ONLY: Final[_Kind] = (
    StoreUnavailable,
    "E_STORE_READ_ONLY",
    "the user of {url} may not write, or the server is read only",
)
_OLD: Final[_Kind] = (
    StoreUnavailable,
    "E_SNAPSHOT_TOO_OLD",
    "a transaction read from {url} for longer than {seconds} seconds",
)
_SHARED: Final[_Kind] = (
    OperationalError,
    "E_CONNECTION_SHARED",
    "a pooler gives one connection to {url} to several clients",
)
_MISFIT: Final[_Kind] = (
    ProgrammingError,
    "E_VISIBLE_MISFIT",
    "{url} cannot compare the values of a server-visible index with this token",
)
_BY_STATE: Final[dict[str, _Kind]] = {
    "22000": _MISFIT,
    "2202E": _MISFIT,  # a token shorter than any
    "25006": _READ_ONLY,
    "25P03": _OLD,
    "25P04": _OLD,
    "26000": _SHARED,
    "3D000": (StoreUnavailable, "E_STORE_MISSING", "there is no such database: {reason}"),
    "40001": (ConflictError, "E_CONFLICT", "other transactions kept coming first"),
    "40P01": (ConflictError, "E_CONFLICT", "other transactions kept coming first"),
    "42501": _READ_ONLY,
    "42P05": _SHARED,
    "53100": (StoreUnavailable, "E_DISK_FULL", "the server of {url} has no room"),
    "53300": (StoreUnavailable, "E_SERVER_BUSY", "the server of {url} admits no more connections"),
    "55P03": (StoreUnavailable, "E_STORE_LOCKED", "the store {url} is locked"),
    "57014": (
        OperationalError,
        "E_TIMEOUT",
        "{url} needed longer than {statement} seconds for one statement, or somebody cancelled it",
    ),
    "57P01": _LOST,
    "57P02": _LOST,
    "57P03": (StoreUnavailable, "E_CONNECTION_FAILED", "{url} does not answer yet: {reason}"),
    "57P05": _LOST,
}
_STUMBLED: Final = (TypeError, ValueError, LookupError, struct.error)
"""What values of a wrong number or type lead to: a server may answer with any."""
# The statements and types are encdb's own, so an unknown relation or column, or a value that does not
# fit, means that somebody else changed the schema or its content.
_BY_CLASS: Final[dict[str, _Kind]] = {
    "08": _LOST,
    "0A": _DAMAGED,  # a prepared statement finds other types than when it was prepared
    "28": _DENIED,
    "3F": _DAMAGED,
    "42": _DAMAGED,
    "XX": _DAMAGED,
    "22": _DAMAGED,
    "23": _DAMAGED,
    "53": (StoreUnavailable, "E_SERVER_BUSY", "the server of {url} has no resources left: {name}"),
    "54": (DataError, "E_TOO_LARGE", "a blob is larger than {url} can hold"),
    "57": _LOST,
    "58": (StoreUnavailable, "E_STORE_IO", "the server of {url} failed to read or write: {name}"),
}


def translate(error: psycopg.Error, address: Address, *, connecting: bool = False) -> EncdbError:
    """The error of the catalogue that a failure of the driver or server amounts to."""
    state = error.sqlstate
    if state is None:
        kind, code, text = _stateless(error, connecting=connecting)
    else:
        unknown = (OperationalError, "E_SERVER_FAILED", "the server of {url} failed: {name}")
        kind, code, text = _BY_STATE.get(state) or _BY_CLASS.get(state[:2], unknown)
        if state == "42501" and FUNCTION in str(error):
            kind, code, text = _DENIED
    message = text.format(
        url=address.url,
        name=type(error).__name__,
        reason=_first_line(str(error)),
        seconds=address.snapshot_seconds,
        statement=address.statement_seconds,
    )
    return err(kind, code, message)


def _stateless(error: psycopg.Error, *, connecting: bool) -> _Kind:
    """Failures that the driver met by itself, before or instead of an answer of the server."""
    if isinstance(error, psycopg.DataError):
        return _DAMAGED  # A value that its type does not allow.
    if not isinstance(error, psycopg.OperationalError):
        return InternalError, "E_INTERNAL", "the PostgreSQL driver failed: {name}"
    if not connecting:
        return _LOST
    text = str(error)
    if "authentication failed" in text or "no password supplied" in text or "pg_hba" in text:
        return _DENIED
    if 'database "' in text and "does not exist" in text:
        return _BY_STATE["3D000"]
    if "too many clients" in text or "too many connections" in text:
        return _BY_STATE["53300"]
    return StoreUnavailable, "E_CONNECTION_FAILED", "{url} cannot be reached: {reason}"


def damaged(url: str, what: str) -> TamperError:
    """The error for a store whose own relations contradict themselves."""
    return err(TamperError, "E_STORE_DAMAGED", f"the store {url} is damaged: {what}")


def _first_line(text: str) -> str:
    """The last part of libpq's first line, which names the reason, as printable text."""
    line = next(iter(text.strip().splitlines()), "")
    return "".join(one for one in line if one.isprintable())[:300] or "no reason given"


@contextmanager
def translated(address: Address) -> Iterator[None]:
    """Raise encdb's errors instead of the driver's, and where an answer is not what was asked for."""
    try:
        yield
    except psycopg.Error as error:
        raise translate(error, address) from error
    except _STUMBLED as error:
        raise damaged(address.url, "an answer is malformed") from error


def is_lost(error: psycopg.Error) -> bool:
    """Whether the connection is gone, so that a new one may do better."""
    state = error.sqlstate
    if state is None:
        return isinstance(error, psycopg.OperationalError)
    # A server that ends an idle or long transaction ends the connection with it.
    return state in {"25P03", "25P04"} or (state[:2] in {"08", "57"} and state != "57014")


def is_transient(error: psycopg.Error) -> bool:
    """Whether the server asks to do the same transaction again."""
    return error.sqlstate in {"40001", "40P01"}
