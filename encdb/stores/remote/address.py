"""Where a remote store is, who asks for it, and whom to believe that it is there.

``https://host:port/name?timeout=SECONDS``. The token comes from the environment and never from the URL,
because URLs end up in shell histories, logs and lists of processes.
"""

from __future__ import annotations

import ipaddress
import os
import re
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from encdb.errors import OperationalError, UsageError, err

TOKEN_VARIABLE: Final = "ENCDB_TOKEN"  # noqa: S105 - the name of a variable, no secret.
TOKEN_FILE_VARIABLE: Final = "ENCDB_TOKEN_FILE"  # noqa: S105 - the same.
CA_FILE_VARIABLE: Final = "ENCDB_CA_FILE"
DEFAULT_SECONDS: Final = 60.0

_PORTS: Final = {"https": 443, "http": 80}
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
_HOST: Final = re.compile(r"[A-Za-z0-9._-]{1,253}|[0-9A-Fa-f:.]{2,45}")
# What RFC 6750 allows; anything else could end the header and begin another.
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]{8,512}=*")
_TOKEN_FILE_LIMIT: Final = 4096


@dataclass(frozen=True, slots=True)
class Address:
    """A remote store.

    Attributes:
        secure: TLS is used.
        host: name or address of the server.
        port: of the server.
        name: of the store there.
        seconds: longest time to wait for the answer to one request to begin.
    """

    secure: bool
    host: str
    port: int
    name: str
    seconds: float = DEFAULT_SECONDS

    @classmethod
    def parse(cls, url: str) -> Address:
        """Read a URL. No error quotes it, because it might hold a password.

        Raises:
            UsageError: it is malformed, has a user or password (``E_USAGE``), or would send the
                token over a network in clear (``E_CONNECTION_INSECURE``).
        """
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
        except ValueError:
            raise _malformed("it cannot be read") from None
        if "@" in parts.netloc:
            raise err(
                UsageError,
                "E_USAGE",
                "the URL of a remote store has no user or password",
                f"Set {TOKEN_VARIABLE}, or {TOKEN_FILE_VARIABLE} to a file that holds the token",
            )
        name = parts.path.removeprefix("/")
        if parts.fragment or not _NAME.fullmatch(name):
            raise _malformed("one name of a store has to follow the host")
        if not _HOST.fullmatch(host):
            raise _malformed("the host is missing or malformed")
        secure = parts.scheme.lower() == "https"
        if not secure and not _is_loopback(host):
            raise err(
                UsageError,
                "E_CONNECTION_INSECURE",
                f"{host} is another machine, and http:// does not encrypt",
            )
        port = _PORTS["https" if secure else "http"] if port is None else port
        return cls(secure, host, port, name, _seconds(parts.query))

    @property
    def authority(self) -> str:
        """Host and port as HTTP wants them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = _PORTS["https" if self.secure else "http"]
        return host if self.port == usual else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The URL without options."""
        return f"{'https' if self.secure else 'http'}://{self.authority}/{self.name}"


def _malformed(why: str) -> UsageError:
    return err(
        UsageError,
        "E_USAGE",
        f"the URL of the remote store is malformed: {why}",
        "Write https://host:port/name",
    )


def _is_loopback(host: str) -> bool:
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _seconds(query: str) -> float:
    """The option ``timeout``; there is no other."""
    given = parse_qsl(query, keep_blank_values=True)
    if not given:
        return DEFAULT_SECONDS
    try:
        ((name, text),) = given
        seconds = float(text)
    except ValueError:
        name, seconds = "", 0.0
    if name != "timeout" or not 0 < seconds <= 86_400:
        raise err(
            UsageError,
            "E_USAGE",
            "the URL of a remote store has one option, the time limit of a request",
            "Write ?timeout=SECONDS",
        )
    return seconds


def find_token() -> str:
    """The token of this process.

    Raises:
        OperationalError: there is none (``E_TOKEN_MISSING``), or its file cannot be read
            (``E_TOKEN_FILE``).
    """
    text, source = os.environ.get(TOKEN_VARIABLE, ""), TOKEN_VARIABLE
    path = os.environ.get(TOKEN_FILE_VARIABLE, "")
    if not text and path:
        source = TOKEN_FILE_VARIABLE
        try:
            with Path(path).open(encoding="ascii") as file:
                text = file.read(_TOKEN_FILE_LIMIT).strip()
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "it is no text"
            raise err(
                OperationalError,
                "E_TOKEN_FILE",
                f"the token in {path} cannot be read: {reason.lower()}",
            ) from None
    if not text:
        raise err(OperationalError, "E_TOKEN_MISSING", "a remote store needs an access token")
    if not _TOKEN.fullmatch(text):
        raise err(OperationalError, "E_TOKEN_MISSING", f"{source} does not hold an access token")
    return text


def trust() -> ssl.SSLContext:
    """Whose certificates are believed: those of the system, or of ``ENCDB_CA_FILE``.

    Raises:
        OperationalError: that file cannot be used (``E_INPUT_FILE``).
    """
    path = os.environ.get(CA_FILE_VARIABLE) or None
    try:
        context = ssl.create_default_context(cafile=path)
    except OSError:
        raise err(
            OperationalError, "E_INPUT_FILE", f"{path} holds no certificates that can be read"
        ) from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
