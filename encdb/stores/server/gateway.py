"""Admits requests: token, rights and limits, before anything of the body is read.

A name is only ever looked up in the server's own list of stores.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

from encdb.errors import EncdbError

from . import refusals
from .bodies import Bodies, Receive, Send
from .calls import ACTIONS
from .exchange import Exchange
from .limits import Buckets, Limits
from .logs import Log
from .metrics import Metrics
from .sessions import Sessions
from .tokens import Token, TokenBook

Targets: TypeAlias = Callable[[str], str | None]
"""Name of a store → its URL, or ``None``."""


class Gateway:
    """The ASGI application below ``/v1``, and what answers every path that does not exist.

    Args:
        targets: which stores there are.
        tokens: who is admitted.
        limits: how much is.
        allow_create: clients may make stores.
        log: where it is written down.

    Attributes:
        running: requests under way, by the name of their token.
        complete: whether every store was closed when the server ended.
    """

    def __init__(
        self, targets: Targets, tokens: TokenBook, limits: Limits, *, allow_create: bool, log: Log
    ) -> None:
        self._targets = targets
        self._tokens = tokens
        self.limits = limits
        self._allow_create = allow_create
        self.log = log
        self.metrics = Metrics()
        self.sessions = Sessions(limits, log)
        self.bodies = Bodies(limits)
        self._rates = Buckets(limits.rate, max(1.0, limits.rate * limits.burst))
        self._failures = Buckets(1 / limits.failure_seconds, limits.failures)
        self.running: Counter[str] = Counter()
        self.complete = True
        self.metrics.gauges = {
            "encdb_sessions": ("Open sessions.", lambda: len(self.sessions)),
            "encdb_snapshots": ("Open snapshots.", lambda: self.sessions.snapshots),
            "encdb_running_requests": ("Requests under way.", self.running.total),
        }

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Answer one request."""
        await Exchange(self, scope, receive, send).answer()

    # --- Who may come in ----------------------------------------------------------------------------

    def authenticate(self, scope: Any) -> Token:
        """The token of a request.

        A client with a good token is never put off because of others at its address: guessing
        256 bits is hopeless, so the limit spares work and log, and protects nothing else.

        Raises:
            Refusal: there is none, or none that is admitted.
        """
        if not self._current():
            raise refusals.failed()
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        scheme, _, presented = given[0].partition(b" ") if len(given) == 1 else (b"", b"", b"")
        token = self._tokens.find(presented) if scheme.lower() == b"bearer" else None
        if token is None:
            wait = self._failures.take(scope["client"][0] if scope["client"] else "")
            raise refusals.guessing(wait) if wait else refusals.not_admitted()
        return token

    def _current(self) -> bool:
        """Whether the token file can be used; sessions of tokens that it revoked are closed."""
        try:
            if self._tokens.refresh():
                self.log.info("tokens read")
                self.sessions.sweep(self._tokens.still_admits)
        except EncdbError as error:
            self.log.warning("token file failed", error=str(error))
            return False
        return True

    def sweep(self) -> None:
        """Close what was left alone, or belongs to tokens that are admitted no more."""
        if self._current():
            self.sessions.sweep(self._tokens.still_admits)

    def admit(self, token: Token, name: str, action: str) -> str:
        """The URL of the store that the request may use.

        Raises:
            Refusal: it may not.
        """
        wait = self._rates.take(token.name)
        if wait:
            raise refusals.too_often(wait)
        url = self._targets(name) if token.may_use(name) else None
        if url is None:
            raise refusals.no_such_store(name)
        if ACTIONS[action].writes and token.rights != "write":
            raise refusals.read_only()
        if action in {"create", "receive"} and not self._allow_create:
            raise refusals.not_creating()
        if self.running.total() >= self.limits.requests:
            raise refusals.busy("requests")
        if self.running[token.name] >= self.limits.requests_per_token:
            raise refusals.busy("requests of this token")
        return url

    @contextmanager
    def under_way(self, token: Token) -> Iterator[None]:
        """Count a request that was admitted."""
        self.running[token.name] += 1
        try:
            yield
        finally:
            self.running[token.name] -= 1
            if not self.running[token.name]:
                del self.running[token.name]
