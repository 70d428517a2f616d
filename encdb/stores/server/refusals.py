"""Everything that a server answers instead of carrying out a request, and what it says about errors.

A refusal has a status of HTTP, a word for the metrics, and an error of encdb's, which the client raises.
It never tells what a stranger could use: a missing store and one that a token may not use look the
same, and so do unknown, revoked and expired tokens.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote, urlsplit

from encdb.errors import (
    CODES,
    EncdbError,
    OperationalError,
    StoreUnavailable,
    err,
)

_WORD: Final = re.compile(r"[\w.:-]*\w")


@dataclass(slots=True)
class Refusal(Exception):  # noqa: N818 - an answer on its way to the client.
    """An answer without an outcome.

    Attributes:
        status: HTTP's.
        reason: a word for the metrics and the log.
        error: what the client raises.
        wait: seconds after which it may try again; 0 if there is no point.
    """

    status: int
    reason: str
    error: EncdbError
    wait: float = 0.0


def no_such_path() -> Refusal:
    """The path is not one of the server's."""
    error = err(OperationalError, "E_PROTOCOL", "the server has nothing at this path")
    return Refusal(404, "path", error)


def no_such_method() -> Refusal:
    """The path takes no requests of this kind."""
    refusal = no_such_path()
    refusal.status = 405
    return refusal


def malformed(what: str) -> Refusal:
    """The request is not one of this protocol."""
    return Refusal(400, "malformed", err(OperationalError, "E_PROTOCOL", what))


def ambiguous() -> Refusal:
    """The head tells the length of its body in two ways."""
    error = err(OperationalError, "E_PROTOCOL", "the length of the request is ambiguous")
    return Refusal(400, "http", error)


def not_admitted() -> Refusal:
    """No token, or none that is admitted."""
    error = err(OperationalError, "E_ACCESS_DENIED", "the server does not admit this token")
    return Refusal(401, "token", error)


def guessing(wait: float) -> Refusal:
    """Too many refused tokens from one address."""
    error = err(StoreUnavailable, "E_SERVER_BUSY", "too many refused tokens came from this address")
    return Refusal(429, "guessing", error, wait)


def read_only() -> Refusal:
    """The token has fewer rights."""
    error = err(OperationalError, "E_ACCESS_DENIED", "this token may read the store, not write it")
    return Refusal(403, "rights", error)


def not_creating() -> Refusal:
    """The server makes no stores."""
    error = err(
        OperationalError,
        "E_ACCESS_DENIED",
        "the server makes no new stores",
        "Start it with --allow-create",
    )
    return Refusal(403, "create", error)


def no_such_store(name: str) -> Refusal:
    """There is none of this name, or the token may not use it."""
    error = err(
        StoreUnavailable,
        "E_STORE_MISSING",
        f"the server has no store named {name}, or this token may not use it",
    )
    return Refusal(404, "store", error)


def too_large(limit: int) -> Refusal:
    """The body passes the limit."""
    error = err(
        OperationalError,
        "E_REQUEST_TOO_LARGE",
        f"the server takes requests of up to {limit} bytes",
    )
    return Refusal(413, "size", error)


def too_slow() -> Refusal:
    """The body does not arrive."""
    error = err(OperationalError, "E_TIMEOUT", "the request arrived too slowly")
    return Refusal(408, "slow", error)


def too_often(wait: float) -> Refusal:
    """The token's requests come too fast."""
    error = err(StoreUnavailable, "E_SERVER_BUSY", "this token sends requests too fast")
    return Refusal(429, "rate", error, wait)


def busy(what: str) -> Refusal:
    """A limit of the whole server is reached."""
    error = err(StoreUnavailable, "E_SERVER_BUSY", f"the server has too many {what}")
    return Refusal(503, "busy", error, 0.2)


def gone() -> Refusal:
    """The session is unknown, or the call an old one that arrives late."""
    error = err(StoreUnavailable, "E_CONNECTION_LOST", "the server no longer knows the session")
    return Refusal(410, "session", error)


def failed() -> Refusal:
    """Something unexpected, which only the log may know."""
    error = err(OperationalError, "E_SERVER_FAILED", "the server met an unexpected failure")
    return Refusal(500, "failure", error)


@dataclass(frozen=True, slots=True)
class Hidden:
    """What no client may learn of where a store is.

    Attributes:
        places: the whole URL and path; clients see the store's name instead.
        parts: hosts, users, passwords, folders and so on.
    """

    places: tuple[str, ...]
    parts: frozenset[str]

    @classmethod
    def of(cls, url: str) -> Hidden:
        """Of the store at this URL."""
        parsed = urlsplit(url)
        path = unquote(parsed.path)
        places = {url} if parsed.netloc else {url, path, path.removeprefix("/")} - {""}
        parts = {parsed.hostname or "", unquote(parsed.username or ""), *path.split("/")}
        parts |= {unquote(parsed.password or ""), str(parsed.netloc.rpartition(":")[2])}
        parts |= {unquote(one.partition("=")[2]) for one in parsed.query.split("&")}
        return cls(tuple(sorted(places, key=len, reverse=True)), frozenset(parts - {""}))


def public(error: EncdbError, name: str, hidden: Hidden) -> EncdbError:
    """A store's error as a client may see it: without the place of the store.

    A text that still looks as if it named a place gives way to the catalogue's.

    Args:
        error: what the store raised.
        name: what clients call the store.
        hidden: where the store is.
    """
    text = error.message
    for place in hidden.places:
        text = re.sub(rf"(?<![\w./-]){re.escape(place)}(?![\w/-])", lambda _: name, text)
    words = set(_WORD.findall(text)) - {name}
    if words & hidden.parts or any(sign in text for sign in '/\\@="'):
        info = CODES.get(error.code or "")
        text = f"the store {name}: {info.meaning if info is not None else 'it failed'}"
    return type(error)(text, code=error.code)
