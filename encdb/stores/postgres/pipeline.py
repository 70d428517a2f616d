"""Many prepared statements in one round trip, through libpq's pipeline mode.

psycopg's own pipelines do the same with a cursor for each statement, which costs about 80 µs of Python a
statement; a commit sends eight. This module speaks to the same libpq through psycopg's documented
wrapper :mod:`psycopg.pq`, prepares every statement once for each connection, and costs about 15 µs. See
"Pipeline Mode" in the libpq chapter of PostgreSQL's documentation.

All parameters and results are in binary form. A statement's parameters always have the same types, so
they are the statement's own: BIGINT, BYTEA, TEXT and arrays of the first two.
"""

from __future__ import annotations

import select
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import psycopg
from psycopg import pq
from psycopg.adapt import Transformer
from psycopg.errors import error_from_result

Row: TypeAlias = tuple[Any, ...]
Text: TypeAlias = tuple[bytes, Sequence[Any]]

_INT8, _BYTEA, _TEXT = 20, 17, 25
_INT8_ARRAY, _BYTEA_ARRAY = 1016, 1001
_ONE_DIMENSION: Final = struct.Struct("!iiIii")
_NO_DIMENSION: Final = struct.Struct("!iiI")
_INT: Final = struct.Struct("!q")
_LENGTH: Final = struct.Struct("!i")


class Numbers(tuple[int, ...]):
    """A parameter of type BIGINT[]."""

    __slots__ = ()


class BlobList(tuple[bytes, ...]):
    """A parameter of type BYTEA[]."""

    __slots__ = ()


@dataclass(slots=True)
class Answer:
    """What one statement came to: its rows, and how many it returned or changed."""

    rows: list[Row]
    count: int


def _numbers(values: Numbers) -> bytes:
    """The binary form of an array: dimensions, NULLs, element type, length, lower bound, elements."""
    count = len(values)
    if not count:
        return _NO_DIMENSION.pack(0, 0, _INT8)
    parts = [8] * (2 * count)
    parts[1::2] = values
    return _ONE_DIMENSION.pack(1, 0, _INT8, count, 1) + struct.pack("!" + "iq" * count, *parts)


def _blobs(values: BlobList) -> bytes:
    if not values:
        return _NO_DIMENSION.pack(0, 0, _BYTEA)
    parts = [_ONE_DIMENSION.pack(1, 0, _BYTEA, len(values), 1)]
    for one in values:
        parts += (_LENGTH.pack(len(one)), one)
    return b"".join(parts)


def _encoded(value: Any) -> tuple[bytes | None, int]:
    """A parameter in binary form, and its type."""
    kind = type(value)
    if kind is int:
        return _INT.pack(value), _INT8
    if kind is bytes:
        return value, _BYTEA
    if kind is Numbers:
        return _numbers(value), _INT8_ARRAY
    if kind is BlobList:
        return _blobs(value), _BYTEA_ARRAY
    if kind is str:
        return value.encode(), _TEXT
    if value is None:
        return None, _BYTEA
    raise TypeError(f"{kind.__name__} is no type of a parameter")


class Pipeline:
    """The statements of one connection.

    Args:
        connection: in autocommit mode, and used by nobody else meanwhile.
    """

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._pgconn = connection.pgconn
        self._encoding = connection.info.encoding
        self._loading = Transformer(connection)
        self._names: dict[bytes, bytes] = {}
        self._prepared = 0
        self._owed = False
        self.ending = False
        """Whether an answer to :meth:`end` may still be on its way."""

    def settle(self) -> None:
        """Take the answer to what :meth:`end` sent, and leave pipeline mode."""
        if self.ending:
            failure = self._take_owed()
            self._pgconn.exit_pipeline_mode()
            if failure is not None:
                raise failure

    def end(self) -> None:
        """Send COMMIT and do not wait for the answer, which nothing depends on."""
        self.settle()
        self._pgconn.enter_pipeline_mode()
        self._owed = self._send(b"COMMIT", ())
        self.ending = True
        self._pgconn.pipeline_sync()
        self._flush()

    def _take_owed(self) -> psycopg.Error | None:
        """Read the answer to :meth:`end`."""
        self.ending = False
        _, failure = self._receive([self._owed])
        if failure is not None and self._owed:
            self._names.pop(b"COMMIT", None)
        return failure

    def run(self, statements: Sequence[Text]) -> list[Answer]:
        """Send statements together and wait for all answers.

        Without BEGIN among them they are one transaction, which ends with the last of them.

        Raises:
            psycopg.Error: of the first statement that failed; those after it were not carried out.
        """
        owing = self.ending
        if not owing:
            self._pgconn.enter_pipeline_mode()
        new = [self._send(text, values) for text, values in statements]
        self._pgconn.pipeline_sync()
        self._flush()
        # The answer to an earlier end comes first, on the way of these.
        lost = self._take_owed() if owing else None
        results, failure = self._receive(new)
        self._pgconn.exit_pipeline_mode()
        failure = failure or lost
        if failure is not None:
            # Which of them were prepared before the failure is not worth finding out.
            for (text, _), prepared in zip(statements, new, strict=True):
                if prepared:
                    self._names.pop(text, None)
            raise failure
        return [self._answer(result) for result in results]

    def _send(self, text: bytes, values: Sequence[Any]) -> bool:
        """Queue one statement; True if it had to be prepared first."""
        encoded = [_encoded(value) for value in values]
        name = self._names.get(text)
        new = name is None
        if name is None:
            self._prepared += 1
            name = self._names[text] = b"s%d" % self._prepared
            self._pgconn.send_prepare(name, text, [kind for _, kind in encoded])
        self._pgconn.send_query_prepared(
            name,
            [value for value, _ in encoded],
            [pq.Format.BINARY] * len(encoded),
            pq.Format.BINARY,
        )
        return new

    def _receive(self, new: Sequence[bool]) -> tuple[list[pq.abc.PGresult], psycopg.Error | None]:
        """The results of all statements, and the first failure; the pipeline is read to its end."""
        results: list[pq.abc.PGresult] = []
        failure: psycopg.Error | None = None
        for prepared in new:
            for preparing in (True, False) if prepared else (False,):
                while (result := self._next()) is not None:
                    if result.status == pq.ExecStatus.FATAL_ERROR and failure is None:
                        failure = error_from_result(result, encoding=self._encoding)
                    if not preparing:
                        results.append(result)
        while True:
            result = self._next()
            if result is not None and result.status == pq.ExecStatus.PIPELINE_SYNC:
                return results, failure
            if self._pgconn.status != pq.ConnStatus.OK:
                raise failure or psycopg.OperationalError("the connection was lost")

    def _next(self) -> pq.abc.PGresult | None:
        """One result, waited for where a signal or another thread can end the waiting."""
        pgconn = self._pgconn
        if pgconn.is_busy():
            poll = select.poll()
            poll.register(pgconn.socket, select.POLLIN)
            while pgconn.is_busy():
                poll.poll()
                pgconn.consume_input()
        return pgconn.get_result()

    def _flush(self) -> None:
        """Send what is queued, and read meanwhile, so that neither side waits for the other."""
        pgconn = self._pgconn
        if not pgconn.flush():
            return
        poll = select.poll()
        poll.register(pgconn.socket, select.POLLIN | select.POLLOUT)
        while pgconn.flush():
            ((_, ready),) = poll.poll()
            if ready & ~select.POLLOUT:
                pgconn.consume_input()

    def _answer(self, result: pq.abc.PGresult) -> Answer:
        rows: list[Row] = []
        if result.status == pq.ExecStatus.TUPLES_OK and result.ntuples:
            self._loading.set_pgresult(result, format=pq.Format.BINARY)
            rows = self._loading.load_rows(0, result.ntuples, tuple)
        count = result.command_tuples
        return Answer(rows, len(rows) if count is None else count)
