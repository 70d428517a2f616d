"""One connection to a PostgreSQL server, with the settings, batches and retries that a store needs.

Every statement goes through :meth:`Link.run` or :meth:`Link.copy`, which tell :data:`observers` of its
text, and counts as one round trip however many statements it sends: libpq's pipeline mode puts
them on the wire together. Statements name relations as ``{rows}``; the schema's name is put in once.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, LiteralString, TypeAlias

import psycopg
from psycopg import pq, sql
from psycopg.adapt import Dumper
from psycopg.types.numeric import Int8

from .address import Address
from .failures import translate
from .schema import RELATIONS

Row: TypeAlias = tuple[Any, ...]

observers: list[Callable[[str], None]] = []
"""Called with the text of each statement before it is sent; for tests and traces."""


class Numbers(tuple[int, ...]):
    """A parameter of type BIGINT[]."""

    __slots__ = ()


class _NumbersDumper(Dumper):
    """The binary form of an array: dimensions, NULLs, element type, length, lower bound, elements."""

    format = pq.Format.BINARY
    oid = 1016

    def dump(self, obj: Numbers) -> bytes:
        count = len(obj)
        parts: list[int] = [8] * (2 * count)
        parts[1::2] = obj
        head = struct.pack("!iiIii", 1 if count else 0, 0, 20, count, 1)
        return (head if count else head[:12]) + struct.pack("!" + "iq" * count, *parts)


class BlobList(tuple[bytes, ...]):
    """A parameter of type BYTEA[]."""

    __slots__ = ()


class _BlobListDumper(Dumper):
    format = pq.Format.BINARY
    oid = 1001

    def dump(self, obj: BlobList) -> bytes:
        if not obj:
            return struct.pack("!iiI", 0, 0, 17)
        pack, parts = struct.Struct("!i").pack, [struct.pack("!iiIii", 1, 0, 17, len(obj), 1)]
        for one in obj:
            parts += (pack(len(one)), one)
        return b"".join(parts)


@dataclass(slots=True)
class Answer:
    """What one statement of a batch came to: its rows, and how many it returned or changed."""

    rows: list[Row]
    count: int


class Link:
    """A lazily opened connection, in autocommit mode: transactions are written out.

    Args:
        address: where to.
        read_only: whether its transactions may only read.
    """

    def __init__(self, address: Address, *, read_only: bool) -> None:
        self.address = address
        self._read_only = read_only
        self._connection: psycopg.Connection[Row] | None = None
        self.generation = 0
        """Grows with every new connection; what was true of an earlier one is void then."""
        self.round_trips = 0

    @property
    def is_open(self) -> bool:
        """Whether there is a connection that is not known to be broken."""
        return self._connection is not None and not self._connection.closed

    @property
    def in_transaction(self) -> bool:
        """Whether the server holds a transaction open, failed or not."""
        if self._connection is None or self._connection.closed:
            return False
        return self._connection.info.transaction_status != pq.TransactionStatus.IDLE

    @property
    def server_version(self) -> int:
        """Such as 180006; 0 without a connection."""
        return self._connection.info.server_version if self._connection is not None else 0

    def open(self) -> psycopg.Connection[Row]:
        """The connection, made anew when there is none."""
        if self.is_open:
            assert self._connection is not None
            return self._connection
        try:
            connection: psycopg.Connection[Row] = psycopg.connect(
                autocommit=True,
                **self.address.conninfo,  # type: ignore[arg-type] # texts are what libpq takes
            )
        except psycopg.Error as error:
            raise translate(error, self.address, connecting=True) from error
        try:
            connection.adapters.register_dumper(Numbers, _NumbersDumper)
            connection.adapters.register_dumper(BlobList, _BlobListDumper)
            connection.prepare_threshold = 2
            self._configure(connection)
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        self.generation += 1
        return connection

    def _configure(self, connection: psycopg.Connection[Row]) -> None:
        settings = {
            "default_transaction_read_only": "on" if self._read_only else "off",
            "statement_timeout": f"{self.address.statement_seconds}s",
            "idle_in_transaction_session_timeout": f"{self.address.snapshot_seconds}s",
            # Every statement finds its rows by a primary key, also before anything was analysed.
            "enable_seqscan": "off",
            "plan_cache_mode": "force_generic_plan",
            "jit": "off",
            "client_min_messages": "warning",
            "bytea_output": "hex",
        }
        chosen = sql.SQL(", ").join(
            sql.SQL("set_config({}, {}, false)").format(sql.Literal(name), sql.Literal(value))
            for name, value in settings.items()
        )
        connection.execute(sql.SQL("SELECT ") + chosen)
        # An acknowledged commit that power loss undoes would look like a rollback to every client.
        connection.execute(
            "SELECT set_config('synchronous_commit', 'on', false)"
            " WHERE current_setting('synchronous_commit') = 'off'"
        )

    def run(self, *statements: tuple[LiteralString, Sequence[Any]]) -> list[Answer]:
        """Send statements together and wait for all answers: one round trip.

        Raises:
            psycopg.Error: of the first statement that failed; those after it were not carried out.
        """
        connection = self.open()
        self.round_trips += 1
        cursors = []
        batch: AbstractContextManager[object] = nullcontext()
        if len(statements) > 1 and psycopg.Pipeline.is_supported():
            batch = connection.pipeline()
        with batch:
            for text, values in statements:
                query = composed(self.address.schema, text)
                for observer in observers:
                    observer(text)
                cursors.append(connection.execute(query, tuple(map(_adapted, values)), binary=True))
        return [
            Answer(cursor.fetchall() if cursor.description else [], cursor.rowcount)
            for cursor in cursors
        ]

    def one(self, text: LiteralString, *values: Any) -> Answer:
        """Send one statement."""
        (answer,) = self.run((text, values))
        return answer

    def stream(self, text: LiteralString, *values: Any) -> Iterable[Row]:
        """Rows as they arrive, for answers that should not lie in memory twice."""
        connection = self.open()
        self.round_trips += 1
        for observer in observers:
            observer(text)
        with connection.cursor(binary=True) as cursor:
            yield from cursor.stream(
                composed(self.address.schema, text), tuple(map(_adapted, values))
            )

    def copy(self, text: LiteralString, types: Sequence[str], rows: Iterable[Row]) -> None:
        """COPY rows in, in binary form."""
        connection = self.open()
        self.round_trips += 1
        for observer in observers:
            observer(text)
        with (
            connection.cursor() as cursor,
            cursor.copy(composed(self.address.schema, text)) as copying,
        ):
            copying.set_types(types)
            for row in rows:
                copying.write_row(row)

    def interrupt(self) -> None:
        """Cancel what the server is doing for this connection; harmless when that is nothing."""
        connection = self._connection
        if connection is not None and not connection.closed:
            connection.cancel()

    def close(self) -> None:
        """Give the connection up, with whatever it had not committed."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _adapted(value: Any) -> Any:
    """Every number is a BIGINT, so that a statement has one plan whatever its values are."""
    return Int8(value) if type(value) is int else value


@lru_cache(maxsize=1024)
def composed(schema: str, text: LiteralString) -> bytes:
    """A statement with the names of its relations."""
    names = {
        name: sql.Identifier(schema, name).as_string().replace("%", "%%") for name in RELATIONS
    }
    return text.format(**names).encode()


SERVER_NOW: Final = "extract(epoch FROM clock_timestamp())::BIGINT"
"""The server's clock in seconds since 1970: clients' clocks may differ."""
