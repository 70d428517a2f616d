"""Puts the parts together and runs uvicorn: the gateway, ``/healthz``, ``/metrics`` and the upkeep."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
import signal
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, Final

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from encdb.errors import EncdbError

from .bodies import framed_twice
from .gateway import Gateway, Targets
from .limits import Limits
from .logs import Handler, Log
from .protocol import connections_of
from .refusals import Refusal
from .sockets import Address, Certificate, require_secure
from .tokens import TokenBook

_SWEEP_SECONDS: Final = 1.0
_PAGES: Final = (b"/healthz", b"/metrics")
_METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


def application(gateway: Gateway, certificate: Certificate | None) -> ASGIApp:
    """Everything that the server answers."""

    async def health(_request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def metrics(request: Request) -> Response:
        try:
            token = gateway.authenticate(request.scope)
        except Refusal as refusal:
            gateway.metrics.refused(refusal.reason)
            return PlainTextResponse(f"{refusal.error.message}\n", refusal.status)
        if token.rights != "metrics":
            gateway.metrics.refused("rights")
            return PlainTextResponse("this token may not read the metrics\n", 403)
        return Response(gateway.metrics.text(), media_type=_METRICS_TYPE)

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        sweeping = asyncio.ensure_future(_keep_up(gateway, certificate))
        try:
            yield
        finally:
            sweeping.cancel()
            gateway.complete = await gateway.sessions.close(gateway.limits.stop_seconds)
            gateway.log.info("stopped", complete=gateway.complete)
            gateway.log.flush()

    pages = Starlette(
        routes=[
            Route("/healthz", health, methods=["GET"]),
            Route("/metrics", metrics, methods=["GET"]),
        ],
        lifespan=lifespan,
    )

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        # Requests to stores take the short way, and what is no page is refused and counted like them.
        if scope["type"] != "http":
            await pages(scope, receive, send)
        elif scope["raw_path"] not in _PAGES or framed_twice(scope):
            await gateway(scope, receive, send)
        else:
            try:
                async with asyncio.timeout(gateway.limits.body_seconds):
                    await pages(scope, receive, send)
            except TimeoutError:
                gateway.metrics.refused("disconnected")
                scope["state"]["abort"]()

    return application


async def _keep_up(gateway: Gateway, certificate: Certificate | None) -> None:
    """Close what was left alone, and take in a renewed certificate."""
    while True:
        await asyncio.sleep(_SWEEP_SECONDS)
        try:
            gateway.log.flush()
            gateway.sweep()
            if certificate is not None and certificate.refresh():
                gateway.log.info("certificate read")
        except EncdbError as error:
            gateway.log.warning("certificate failed", error=error.message)
        except Exception as error:  # noqa: BLE001 - it has to go on with the next round.
            gateway.log.failure("upkeep failed", error)


class Server(uvicorn.Server):
    """Ends orderly on SIGTERM and SIGINT, with the exit status of success.

    Args:
        config: for uvicorn.
        handshake_seconds: how long a client may take to agree on TLS.
    """

    def __init__(self, config: uvicorn.Config, handshake_seconds: float) -> None:
        super().__init__(config)
        self._handshake_seconds = handshake_seconds

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Uvicorn cannot pass on how long a handshake may take, and asyncio waits for a minute."""
        if self.config.ssl is not None:
            loop: Any = asyncio.get_running_loop()
            loop.create_server = functools.partial(
                loop.create_server, ssl_handshake_timeout=self._handshake_seconds
            )
        await super().startup(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Uvicorn would raise the signal again after an orderly end."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        wanted = (signal.SIGTERM, signal.SIGINT)
        before = {one: signal.signal(one, self.handle_exit) for one in wanted}
        try:
            yield
        finally:
            for one, handler in before.items():
                signal.signal(one, handler)


def make_server(
    targets: Targets,
    tokens: TokenBook,
    limits: Limits,
    *,
    allow_create: bool = False,
    certificate: Certificate | None = None,
    log: Log | None = None,
) -> tuple[Server, Gateway]:
    """A server that is ready to run on a socket: ``server.run(sockets=[...])``.

    Args:
        targets: name of a store → its URL.
        tokens: who is admitted.
        limits: how much is.
        allow_create: clients may make stores.
        certificate: for TLS; without one the server speaks plain HTTP.
        log: where to write; stderr by default.
    """
    log = log or Log()
    gateway = Gateway(targets, tokens, limits, allow_create=allow_create, log=log)
    config = uvicorn.Config(
        application(gateway, certificate),
        http=connections_of(gateway),
        ws="none",
        loop="asyncio",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=max(1, round(limits.keep_alive_seconds)),
        timeout_graceful_shutdown=max(1, round(limits.stop_seconds)),
        h11_max_incomplete_event_size=limits.header_bytes,
    )
    config.load()
    config.ssl = None if certificate is None else certificate.context
    return Server(config, limits.header_seconds), gateway


def log_libraries(log: Log) -> None:
    """Write what uvicorn and asyncio have to say in the log's own form."""
    handler = Handler(log)
    for name in ("uvicorn", "uvicorn.error", "asyncio", "starlette"):
        logger = logging.getLogger(name)
        logger.handlers = [handler] if name != "uvicorn.error" else []
        logger.propagate = name == "uvicorn.error"


def serve_stores(
    find: Callable[[], dict[str, str]],
    address: Address,
    tokens: Path,
    limits: Limits,
    *,
    tls: tuple[Path, Path] | None,
    allow_create: bool,
) -> None:
    """Serve until SIGTERM or SIGINT.

    Args:
        find: name → URL of the stores; it fails if one cannot be opened.
        address: where to listen.
        tokens: the token file.
        limits: how much is admitted.
        tls: files of the certificate and its key.
        allow_create: clients may make the stores that do not exist.

    Raises:
        UsageError: other machines could reach the server, and there is no TLS.
        OperationalError: a file cannot be used, or the address is taken.
        EncdbError: a store cannot be opened.
    """
    certificate = None if tls is None else Certificate(*tls)
    require_secure(address, certificate)
    book = TokenBook(tokens)
    stores = find()
    log = Log()
    log_libraries(log)
    server, gateway = make_server(
        stores.get, book, limits, allow_create=allow_create, certificate=certificate, log=log
    )
    bound = address.bind()
    host, port = bound.getsockname()[:2]
    log.info("listening", host=host, port=port, tls=tls is not None, stores=sorted(stores))
    server.run(sockets=[bound])
    if not gateway.complete:
        # A store still works on a call, and the interpreter would wait for its thread. What it writes
        # is a transaction, so it may be cut off.
        os._exit(1)
