"""Opens the socket, checks that it may be opened, and runs uvicorn on it.

Starlette holds the three parts together: the gateway, ``/healthz`` and ``/metrics``.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import signal
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route

from encdb.errors import OperationalError, UsageError, err

from .gateway import Gateway, Targets
from .limits import Limits
from .logs import Handler, Log
from .protocol import connections_of
from .refusals import Refusal
from .tokens import TokenBook

_SWEEP_SECONDS: Final = 1.0
_METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen.

    Attributes:
        host: an IP address, or ``localhost``.
        port: 0 takes any that is free.
    """

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read ``HOST:PORT``; an IPv6 address stands in brackets.

        Raises:
            UsageError: it is something else.
        """
        host, _, port = text.rpartition(":")
        host = host.removeprefix("[").removesuffix("]") if host.startswith("[") else host
        try:
            if host != "localhost":
                ipaddress.ip_address(host)
            number = int(port)
        except ValueError:
            number = -1
        if not 0 <= number < 1 << 16:
            raise err(
                UsageError,
                "E_USAGE",
                f"{text!r} is no address to listen on",
                "Pass an IP address and a port, such as 127.0.0.1:8443 or [::1]:8443",
            )
        return cls(host, number)

    @property
    def loopback(self) -> bool:
        """Whether only programs on this machine can reach it."""
        return self.host == "localhost" or ipaddress.ip_address(self.host).is_loopback

    def bind(self) -> socket.socket:
        """A socket that is bound and not yet listening.

        Raises:
            OperationalError: the address is taken or not this machine's (``E_CONNECTION_FAILED``).
        """
        # A resolver's answer for localhost is not asked for: it could be any address.
        host = "127.0.0.1" if self.host == "localhost" else self.host
        version6 = ":" in host
        family = socket.AF_INET6 if version6 else socket.AF_INET
        # Only where the protocol is named does asyncio switch Nagle's algorithm off, which would
        # hold every answer back for 40 milliseconds.
        bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if version6:
                bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            bound.bind((host, self.port))
        except OSError as error:
            bound.close()
            reason = (error.strerror or "input or output error").lower()
            raise err(
                OperationalError,
                "E_CONNECTION_FAILED",
                f"cannot listen on {self.host} port {self.port}: {reason}",
                "Choose another address or port",
            ) from None
        return bound


def tls_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """A context for TLS 1.2 and newer.

    Raises:
        OperationalError: a file cannot be read, or is not what it should be (``E_INPUT_FILE``).
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except (OSError, ValueError) as error:
        # ssl.SSLError is an OSError whose text quotes nothing of the files.
        raise err(
            OperationalError,
            "E_INPUT_FILE",
            f"the TLS certificate {certificate} and key {key} cannot be used: "
            f"{getattr(error, 'reason', None) or getattr(error, 'strerror', None) or error}",
            "Pass PEM files that belong together, the key without a passphrase",
        ) from None
    return context


def _no_password() -> str:
    """OpenSSL would ask on the terminal for the passphrase of an encrypted key."""
    message = "the key has a passphrase"
    raise ValueError(message)


def application(gateway: Gateway) -> Starlette:
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
        sweeping = asyncio.ensure_future(_sweep(gateway))
        try:
            yield
        finally:
            sweeping.cancel()
            closed = await gateway.sessions.close(gateway.limits.stop_seconds)
            gateway.log.info("stopped", complete=closed)

    return Starlette(
        routes=[
            Route("/healthz", health, methods=["GET"]),
            Route("/metrics", metrics, methods=["GET"]),
            Mount("/", app=gateway),
        ],
        lifespan=lifespan,
    )


async def _sweep(gateway: Gateway) -> None:
    while True:
        await asyncio.sleep(_SWEEP_SECONDS)
        try:
            gateway.sweep()
        except Exception as error:  # noqa: BLE001 - it has to go on with the next round.
            gateway.log.failure("sweep failed", error)


class Server(uvicorn.Server):
    """Ends orderly on SIGTERM and SIGINT, with the exit status of success."""

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
    tls: ssl.SSLContext | None = None,
    log: Log | None = None,
) -> tuple[Server, Gateway]:
    """A server that is ready to run on a socket: ``server.run(sockets=[...])``.

    Args:
        targets: name of a store → its URL.
        tokens: who is admitted.
        limits: how much is.
        allow_create: clients may make stores.
        tls: certificate and key.
        log: where to write; stderr by default.
    """
    log = log or Log()
    gateway = Gateway(targets, tokens, limits, allow_create=allow_create, log=log)
    config = uvicorn.Config(
        application(gateway),
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
    config.ssl = tls
    return Server(config), gateway


def log_libraries(log: Log) -> None:
    """Write what uvicorn and asyncio have to say in the log's own form."""
    handler = Handler(log)
    for name in ("uvicorn", "uvicorn.error", "asyncio", "starlette"):
        logger = logging.getLogger(name)
        logger.handlers = [handler] if name != "uvicorn.error" else []
        logger.propagate = name == "uvicorn.error"


def require_secure(address: Address, tls: ssl.SSLContext | None) -> None:
    """Refuse to send tokens over a network in clear.

    Raises:
        UsageError: other machines could reach the server, and there is no TLS.
    """
    if tls is None and not address.loopback:
        raise err(
            UsageError,
            "E_LISTEN_INSECURE",
            f"{address.host} can be reached from other machines, and there is no TLS",
        )
