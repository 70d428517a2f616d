"""One connection to a server: HTTP/1.1 with keep-alive, time limits and a way to be cut.

Requests are written by hand, head and small body in one packet; the standard library's
``http.client`` reads the answers. Nothing else of HTTP is used: no redirects, proxies, cookies or
compression. Where a full HTTP client spends more time than the store needs for a small read, this
costs a fraction, and another thread can end a wait by closing the socket.
"""

from __future__ import annotations

import functools
import http.client
import io
import ipaddress
import select
import socket
import ssl
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final, cast

from encdb.errors import OperationalError, StoreUnavailable, err

from .address import Address

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

CONNECT_SECONDS: Final = 10.0
_SLOWEST: Final = 64 << 10
"""Bytes a second: whatever is large may take so much longer than the limit of time."""
_PART_BYTES: Final = 1 << 16
_CONTENT_TYPE: Final = "application/vnd.encdb"


class Broken(Exception):  # noqa: N818 - it becomes an error where it is known what was lost.
    """The connection broke before the answer was complete.

    Attributes:
        unsent: the request had not been sent completely, so it will not be carried out.
        slow: the time limit was reached.
    """

    def __init__(self, *, unsent: bool, slow: bool = False) -> None:
        super().__init__()
        self.unsent = unsent
        self.slow = slow


class _Stream(io.RawIOBase):
    """What arrives on a socket, until a deadline that moves with what is useful of it."""

    def __init__(self, connected: socket.socket, seconds: float) -> None:
        super().__init__()
        self._socket = connected
        self.seconds = seconds
        self.deadline = 0.0
        self.ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._socket.settimeout(left)
        count = self._socket.recv_into(buffer)
        self.ended = count == 0
        return count

    def earn(self, count: int) -> None:
        """Bytes of a body earn time, but never more silence than the limit.

        Heads, empty chunks and whatever else HTTP may repeat for ever earn none.
        """
        now = time.monotonic()
        self.deadline = min(self.deadline + count / _SLOWEST, now + self.seconds)

    def makefile(self, _mode: str) -> io.BufferedReader:
        """What ``http.client`` asks a socket for."""
        return io.BufferedReader(self, 1 << 16)

    def close(self) -> None:
        """The end of one answer is not the end of the connection."""


class Response:
    """The head of an answer, and its body to be read.

    Attributes:
        status: HTTP's.
        wait: seconds after which the server wants to be asked again.
        request_limit: longest request that the server takes, 0 if it does not say.
    """

    def __init__(self, answer: http.client.HTTPResponse, stream: _Stream) -> None:
        self._answer = answer
        self._stream = stream
        self._broken: Broken | None = None
        self.status = answer.status
        self.wait = _number(answer.getheader("retry-after"))
        self.request_limit = _number(answer.getheader("encdb-request-bytes"))
        self.ours = (
            answer.getheader("content-type") == _CONTENT_TYPE
            and answer.getheader("content-encoding") is None
        )
        self.closes = answer.will_close

    @property
    def length(self) -> int | None:
        """Length of the body, if the head says so."""
        return self._answer.length

    def read_all(self) -> bytes:
        """The whole body; raises :class:`Broken`."""
        return b"".join(iter(functools.partial(self.read, _PART_BYTES), b""))

    def read(self, count: int) -> bytes:
        """Up to so many bytes of the body; raises :class:`Broken`."""
        try:
            part = self._answer.read(min(count, _PART_BYTES))
        except (OSError, http.client.HTTPException, ValueError) as error:
            self._broken = Broken(unsent=False, slow=isinstance(error, TimeoutError))
            raise self._broken from None
        self._stream.earn(len(part))
        return part

    def check(self) -> None:
        """Raises :class:`Broken` if the body ended early; CBOR's reader hides what it met."""
        if self._broken is not None:
            raise self._broken
        if self._answer.isclosed() and self._answer.length:
            raise Broken(unsent=False)


def _number(text: str | None) -> int:
    return (
        int(text)
        if text is not None and text.isascii() and text.isdigit() and len(text) < 16
        else 0
    )


class Connection:
    """A socket to the server of a store.

    Args:
        address: of the store.
        tls: whose certificates to believe, for https.

    Raises:
        OperationalError: the server cannot be reached, or does not prove that it is the one
            (``E_CONNECTION_FAILED``).
    """

    def __init__(self, address: Address, tls: ssl.SSLContext | None) -> None:
        self._address = address
        self._socket = _connect(address, tls)
        self._stream = _Stream(self._socket, address.seconds)

    def send(self, head: bytes, chunks: Iterable[bytes], *, limit: int) -> None:
        """Send a request: a short body with its length, a long one in chunks as it is made.

        Args:
            head: request line and header lines without the last one about the body.
            chunks: the body.
            limit: longest body that the server takes, 0 if it is not known.

        Raises:
            Broken: the connection broke, or the time limit was reached.
            OperationalError: the body is longer than the limit (``E_REQUEST_TOO_LARGE``).
        """
        stream = iter(chunks)
        first = next(stream)
        second = next(stream, None)
        try:
            if second is None:
                self._write(b"%scontent-length: %d\r\n\r\n%s" % (head, len(first), first))
                return
            self._write(head + b"transfer-encoding: chunked\r\n\r\n")
            size = 0
            for chunk in _chain(first, second, stream):
                size += len(chunk)
                if limit and size > limit:
                    self.close()
                    raise err(
                        OperationalError,
                        "E_REQUEST_TOO_LARGE",
                        f"the server takes requests of up to {limit} bytes",
                    )
                self._write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
            self._write(b"0\r\n\r\n")
        except TimeoutError:
            raise Broken(unsent=True, slow=True) from None
        except OSError:
            raise Broken(unsent=True) from None

    def _write(self, data: bytes) -> None:
        self._socket.settimeout(self._address.seconds + len(data) / _SLOWEST)
        self._socket.sendall(data)

    def receive(self) -> Response:
        """Wait for the head of the answer; raises :class:`Broken`."""
        self._stream.deadline = time.monotonic() + self._address.seconds
        # http.client wants nothing of a socket but makefile.
        answer = http.client.HTTPResponse(cast("Any", self._stream), method="POST")
        try:
            answer.begin()
            if self._stream.ended or (answer.length is None and not answer.chunked):
                # The library takes the end of the connection for the end of a head, or of a body
                # without a length.
                raise Broken(unsent=False)
            return Response(answer, self._stream)
        except TimeoutError:
            raise Broken(unsent=False, slow=True) from None
        except (OSError, http.client.HTTPException, ValueError):
            raise Broken(unsent=False) from None

    def stale(self) -> bool:
        """Whether the server has closed the connection, or sent what nobody asked for."""
        look = select.poll()
        look.register(self._socket, select.POLLIN)
        return bool(look.poll(0))

    def cut(self) -> None:
        """End a wait of another thread; the connection is of no use after it."""
        try:
            # Below TLS as well: the other thread may be inside of it.
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
        except OSError:
            # It is closed already, or broken by itself.
            return

    def close(self) -> None:
        """Close the socket; harmless twice."""
        self._socket.close()


def _chain(first: bytes, second: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield second
    yield from rest


def _connect(address: Address, tls: ssl.SSLContext | None) -> socket.socket:
    place = f"{address.host} port {address.port}"
    try:
        raw = socket.create_connection((address.host, address.port), CONNECT_SECONDS)
    except TimeoutError:
        raise unreachable(f"{place} does not answer") from None
    except OSError as error:
        reason = (error.strerror or "input or output error").lower()
        raise unreachable(f"{place} cannot be reached: {reason}") from None
    try:
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return _checked(raw, place) if tls is None else _encrypted(raw, tls, address.host, place)
    except BaseException:
        raw.close()
        raise


def _checked(raw: socket.socket, place: str) -> socket.socket:
    """The socket, if it leads to this machine; the name localhost could stand for anything."""
    if not ipaddress.ip_address(raw.getpeername()[0].partition("%")[0]).is_loopback:
        raise unreachable(f"{place} is not on this machine")
    return raw


def _encrypted(raw: socket.socket, tls: ssl.SSLContext, host: str, place: str) -> ssl.SSLSocket:
    try:
        return tls.wrap_socket(raw, server_hostname=host)
    except ssl.SSLCertVerificationError as error:
        raise err(
            OperationalError,
            "E_CONNECTION_FAILED",
            f"{place} has no certificate to be believed: {error.verify_message}",
            "Check the host, or set ENCDB_CA_FILE to the certificate of its authority",
        ) from None
    except OSError:
        raise unreachable(f"{place} does not speak TLS as expected") from None


def unreachable(what: str) -> StoreUnavailable:
    """The error for a server that cannot be reached."""
    return err(StoreUnavailable, "E_CONNECTION_FAILED", what)
