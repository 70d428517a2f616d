"""Where imported bytes come from: a file or standard input, gzipped or not, under explicit limits.

A file is read twice, once to detect types and once to load, and must not change in between. Standard
input is kept in memory for the second reading: plaintext is never written to disk.
"""

from __future__ import annotations

import gzip
import io
import os
import sys
import zlib
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from encdb.errors import OperationalError, err

from .table import MAX_TEXT, too_large

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

GZIP: Final = b"\x1f\x8b"
SQLITE: Final = b"SQLite format 3\0"
HEAD: Final = 64 * 1024

MAX_RATIO: Final = 200
"""A compressed file may grow to so many times its size, and to :data:`FREE_GROWTH` in any case."""

FREE_GROWTH: Final = 1 << 30


class Source:
    """Bytes that can be read more than once.

    Args:
        path: a file, or ``-`` for standard input.
        stream: what ``-`` stands for; by default the process's standard input.
    """

    def __init__(self, path: str | os.PathLike[str], stream: IO[bytes] | None = None) -> None:
        self.path = None if str(path) == "-" else Path(path)
        self.name = "standard input" if self.path is None else f'"{self.path.name}"'
        self._identity: tuple[int, ...] | None = None
        self._spool: bytes | None = None
        if self.path is None:
            self._spool = self._read_all(stream if stream is not None else sys.stdin.buffer)
        elif self.path.is_fifo() or self.path.is_char_device():
            with self._opened(self.path) as pipe:
                self._spool = self._read_all(pipe)

    def _opened(self, path: Path) -> IO[bytes]:
        try:
            return path.open("rb")
        except OSError as fault:
            raise err(
                OperationalError, "E_INPUT_FILE", f"{self.name} cannot be read: {fault.strerror}"
            ) from None

    def _read_all(self, stream: IO[bytes]) -> bytes:
        data = stream.read(MAX_TEXT + 1)
        if len(data) > MAX_TEXT:
            raise too_large(
                self.name, f"more than {MAX_TEXT >> 20} MiB", "Save it as a file and import that"
            )
        return data

    @contextmanager
    def open(self) -> Iterator[Reader]:
        """The bytes from the beginning, decompressed.

        Raises:
            OperationalError: E_INPUT_FILE when the file is missing, unreadable or changed since it
                was opened before.
        """
        spool, path = self._spool, self.path
        if spool is not None:
            raw: IO[bytes] = io.BytesIO(spool)
        else:
            assert path is not None
            raw = self._opened(path)
        with raw:
            size = self._same(raw) if spool is None else len(spool)
            head = raw.read(2)
            raw.seek(0)
            if head == GZIP:
                with gzip.GzipFile(fileobj=raw) as unpacked:
                    packed: Any = unpacked
                    yield Reader(packed, self.name, max(FREE_GROWTH, MAX_RATIO * size))
            else:
                yield Reader(raw, self.name, None)

    def _same(self, raw: IO[bytes]) -> int:
        """The file's size; OperationalError when it is not the file that was opened before."""
        status = os.fstat(raw.fileno())
        identity = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
        if self._identity is None:
            self._identity = identity
        elif self._identity != identity:
            raise err(
                OperationalError,
                "E_INPUT_FILE",
                f"{self.name} changed while it was read",
                "Import a copy that nothing writes to",
            )
        return status.st_size

    def head(self) -> bytes:
        """The first 64 KiB, decompressed."""
        with self.open() as reader:
            return reader.read(HEAD)


class Reader:
    """A stream that says clearly what is wrong with it.

    Args:
        stream: the bytes.
        name: of the source, for messages.
        limit: most bytes that may come out of it; None for no limit.
    """

    def __init__(self, stream: IO[bytes], name: str, limit: int | None) -> None:
        self._stream = stream
        self._name = name
        self._limit = limit
        self._taken = 0

    def read(self, size: int) -> bytes:
        """Up to ``size`` bytes, fewer only at the end."""
        return self._checked(lambda: self._stream.read(size))

    def readline(self, size: int) -> bytes:
        """The next line with its end, or ``size`` bytes of it."""
        return self._checked(lambda: self._stream.readline(size))

    def _checked(self, take: Callable[[], bytes]) -> bytes:
        try:
            data = take()
        except (EOFError, zlib.error, gzip.BadGzipFile):
            raise err(
                OperationalError,
                "E_INPUT_FILE",
                f"{self._name}: the compressed data is damaged or cut short",
                "Fetch the file again",
            ) from None
        except OSError as fault:
            raise err(
                OperationalError, "E_INPUT_FILE", f"{self._name} cannot be read: {fault.strerror}"
            ) from None
        self._taken += len(data)
        if self._limit is not None and self._taken > self._limit:
            raise too_large(
                self._name, "the compressed file grows beyond all measure", "Decompress it first"
            )
        return data
