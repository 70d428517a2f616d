"""Where a server listens, and with which certificate."""

from __future__ import annotations

import ipaddress
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from encdb.errors import OperationalError, UsageError, err

_BACKLOG: Final = 512


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
        """A socket that listens: clients may connect, and wait until the server answers.

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
            bound.listen(_BACKLOG)
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


class Certificate:
    """A certificate and its key, which may be renewed while the server runs.

    Args:
        certificate: PEM file of the server's certificate, and those between it and a root.
        key: PEM file of its key, without a passphrase.

    Attributes:
        context: for TLS 1.2 and newer.

    Raises:
        OperationalError: a file cannot be read, or is not what it should be (``E_INPUT_FILE``).
    """

    def __init__(self, certificate: Path, key: Path) -> None:
        self._files = (certificate, key)
        self._stamp: object = None
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.refresh()

    def refresh(self) -> bool:
        """Load the files again if they were replaced; whether they were."""
        try:
            status = [file.stat() for file in self._files]
            stamp = [(one.st_ino, one.st_mtime_ns, one.st_size) for one in status]
            if stamp == self._stamp:
                return False
            # What cannot be loaded is not tried again before it changes.
            self._stamp = stamp
            self.context.load_cert_chain(*self._files, password=_no_password)
        except (OSError, ValueError) as error:
            # ssl.SSLError is an OSError, and its reason quotes nothing of the files.
            reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
            raise err(
                OperationalError,
                "E_INPUT_FILE",
                f"the TLS certificate {self._files[0]} and key {self._files[1]} cannot be used: {reason}",
                "Pass PEM files that belong together, the key without a passphrase",
            ) from None
        return True


def _no_password() -> str:
    """OpenSSL would ask on the terminal for the passphrase of an encrypted key."""
    message = "the key has a passphrase"
    raise ValueError(message)


def require_secure(address: Address, certificate: Certificate | None) -> None:
    """Refuse to send tokens over a network in clear.

    Raises:
        UsageError: other machines could reach the server, and there is no TLS.
    """
    if certificate is None and not address.loopback:
        raise err(
            UsageError,
            "E_LISTEN_INSECURE",
            f"{address.host} can be reached from other machines, and there is no TLS",
        )
