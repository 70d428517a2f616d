"""One connection to a PostgreSQL server, with the settings, batches and retries that a store needs.

Every statement goes through :meth:`Link.run` or :meth:`Link.copy`, which tell :data:`observers` of its
text, and counts as one round trip however many statements it sends. Statements name relations as
``{rows}``; the schema's name is put in once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any, Final, LiteralString

import psycopg
from psycopg import pq, sql

from encdb.errors import OperationalError, err

from .address import Address
from .failures import is_lost, translate
from .pipeline import Answer, BlobList, Numbers, Pipeline, Row
from .schema import FUNCTION, RELATIONS

__all__ = ["SERVER_NOW", "Answer", "BlobList", "Link", "Numbers", "Row", "observers"]

CANCEL_SECONDS: Final = 5.0
PORTION: Final = 4_096
"""Rows that a streamed read fetches at once."""

observers: list[Callable[[str], None]] = []
"""Called with the text of each statement before it is sent; for tests and traces."""


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
        self._pipeline: Pipeline | None = None
        self.generation = 0
        """Grows with every new connection; what was true of an earlier one is void then."""
        self.round_trips = 0
        self._interrupted = False

    @property
    def is_open(self) -> bool:
        """Whether there is a connection that is not known to be broken."""
        return self._connection is not None and not self._connection.closed

    @property
    def in_transaction(self) -> bool:
        """Whether the server holds a transaction open, failed or not."""
        if self._connection is None or self._connection.closed or self._pipeline is None:
            return False
        if self._pipeline.ending:
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
            self._configure(connection)
        except BaseException:
            connection.close()
            raise
        self._connection, self._pipeline = connection, Pipeline(connection)
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
        self.open()
        assert self._pipeline is not None
        self.round_trips += 1
        self._interrupted = False
        texts = [(self._text(text), values) for text, values in statements]
        try:
            return self._pipeline.run(texts)
        except psycopg.errors.QueryCanceled as error:
            if self._interrupted:
                raise err(
                    OperationalError, "E_INTERRUPTED", "the statement was interrupted"
                ) from error
            raise
        except psycopg.Error as error:
            if is_lost(error):
                self.close()
            raise
        except BaseException:
            # Such as Ctrl-C: which answers are still to come is not known any more.
            self._abandon()
            raise

    def _text(self, text: LiteralString) -> bytes:
        for observer in observers:
            observer(text)
        return composed(self.address.schema, text)

    def end(self) -> None:
        """End a transaction that has only read, without waiting for the answer."""
        if self._pipeline is None or not self.in_transaction:
            return
        try:
            self._pipeline.end()
        except psycopg.Error:
            self.close()

    def _abandon(self) -> None:
        """Cancel what the server is doing for us, and give the connection up."""
        try:
            self.interrupt()
        except psycopg.Error:
            pass
        finally:
            self.close()

    def one(self, text: LiteralString, *values: Any) -> Answer:
        """Send one statement."""
        (answer,) = self.run((text, values))
        return answer

    def stream(self, text: LiteralString, *values: Any) -> Iterator[Row]:
        """Rows in portions, through a cursor of the open transaction, so that none lies here twice."""
        self.one("DECLARE portions NO SCROLL CURSOR FOR " + text, *values)
        fetch: LiteralString = f"FETCH {PORTION:d} FROM portions"
        while rows := self.one(fetch).rows:
            yield from rows
            if len(rows) < PORTION:
                break
        self.one("CLOSE portions")

    def copy(self, text: LiteralString, types: Sequence[str], rows: Iterable[Row]) -> None:
        """COPY rows in, in binary form."""
        connection = self._settled()
        self.round_trips += 1
        with connection.cursor() as cursor, cursor.copy(self._text(text)) as copying:
            copying.set_types(types)
            for row in rows:
                copying.write_row(row)

    def _settled(self) -> psycopg.Connection[Row]:
        """The connection, with every answer taken."""
        connection = self.open()
        assert self._pipeline is not None
        self._pipeline.settle()
        return connection

    def interrupt(self) -> None:
        """Cancel what the server is doing for this connection; harmless when that is nothing."""
        self._interrupted = True
        connection = self._connection
        if connection is not None and not connection.closed:
            connection.cancel_safe(timeout=CANCEL_SECONDS)

    def close(self) -> None:
        """Give the connection up, with whatever it had not committed."""
        connection, self._connection, self._pipeline = self._connection, None, None
        if connection is not None:
            connection.close()


@lru_cache(maxsize=1024)
def composed(schema: str, text: LiteralString) -> bytes:
    """A statement with the names of its relations, and with numbered parameters."""
    names = {name: sql.Identifier(schema, name).as_string() for name in (*RELATIONS, FUNCTION)}
    first, *rest = text.split("%s")
    numbered = first + "".join(f"${place}{part}" for place, part in enumerate(rest, start=1))
    return numbered.format(**names).encode()


SERVER_NOW: Final = "extract(epoch FROM clock_timestamp())::BIGINT"
"""The server's clock in seconds since 1970: clients' clocks may differ."""
