"""Bodies cut into frames: a length of four bytes, big-endian, then so many bytes; length 0 ends a body.

A reader holds one frame at a time, and the end mark tells a complete body from one that was cut short,
whatever the carrier below does when a connection breaks.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Final

from .schema import Malformed

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

FRAME_BYTES: Final = 1 << 20
"""Longest frame."""
_LENGTH_BYTES: Final = 4
_END: Final = bytes(_LENGTH_BYTES)


def frames(prefix: bytes, pieces: Iterable[bytes]) -> Iterator[bytes]:
    """A body as strings of bytes to send; a small one is a single string.

    Args:
        prefix: what comes before the first frame, such as a head of :mod:`.exchange`.
        pieces: the body, cut anywhere.
    """
    waiting: list[bytes | memoryview] = []
    size = 0
    for piece in pieces:
        rest = memoryview(piece)
        while size + len(rest) > FRAME_BYTES:
            part, rest = rest[: FRAME_BYTES - size], rest[FRAME_BYTES - size :]
            yield b"".join((prefix, FRAME_BYTES.to_bytes(_LENGTH_BYTES, "big"), *waiting, part))
            prefix, waiting, size = b"", [], 0
        if rest:
            waiting.append(rest)
            size += len(rest)
    last = (size.to_bytes(_LENGTH_BYTES, "big"), *waiting) if size else ()
    yield b"".join((prefix, *last, _END))


def only_frame(data: bytes) -> bytes | None:
    """The body, if it is complete in a single frame."""
    length = len(data) - 2 * _LENGTH_BYTES
    if not 0 < length <= FRAME_BYTES or data[-_LENGTH_BYTES:] != _END:
        return None
    if int.from_bytes(data[:_LENGTH_BYTES], "big") != length:
        return None
    return data[_LENGTH_BYTES:-_LENGTH_BYTES]


class FrameReader(io.RawIOBase):
    """A body as a stream, read from frames.

    Args:
        read: gives up to so many bytes of what the carrier brings, none at its end.
        frame_limit: longest frame that is believed, in bytes.
        look: is shown every part of the body, and may raise.
    """

    def __init__(
        self,
        read: Callable[[int], bytes],
        frame_limit: int = FRAME_BYTES,
        look: Callable[[bytes], None] | None = None,
    ) -> None:
        super().__init__()
        self._read = read
        self._limit = frame_limit
        self._look = look
        self._left = 0
        self._ended = False
        self.bytes = 0
        """Bytes of the body so far."""

    def readable(self) -> bool:
        """It is there to be read."""
        return True

    def _exactly(self, count: int) -> bytes:
        parts = bytearray()
        while len(parts) < count:
            part = self._read(count - len(parts))
            if not part:
                raise Malformed
            parts += part
        return bytes(parts)

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Some bytes of the body; 0 after its end mark."""
        target = memoryview(buffer).cast("B")
        if self._left == 0 and not self._ended:
            self._left = int.from_bytes(self._exactly(_LENGTH_BYTES), "big")
            self._ended = self._left == 0
            if self._left > self._limit:
                raise Malformed
        if self._ended or not len(target):
            return 0
        part = self._read(min(len(target), self._left))
        if not part:
            raise Malformed
        if self._look is not None:
            self._look(part)
        target[: len(part)] = part
        self._left -= len(part)
        self.bytes += len(part)
        return len(part)

    def buffered(self) -> io.BufferedReader:
        """The same, read ahead by at most 64 KiB."""
        return io.BufferedReader(self, 1 << 16)
