"""The local engine: the original query, run over opened rows by DuckDB, in memory and locked down.

A plan is prepared once per SQL text, in a connection of its own, over one registered source per table
whose rows are swapped for each run: binding and optimising a statement costs more than running it over
few rows. A statement with parameters is parsed and bound again by the engine on every run, so only the
registration of its sources is saved.

The engine reads no file, opens no connection, loads no extension and never spills: its only inputs are
the tables of the call, its only output is the result. Time zone UTC, PostgreSQL's null order and integer
division. Opened rows are referred to only while a statement runs.
"""

from __future__ import annotations

import atexit
import os
import threading
import weakref
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow as pa

from encdb.errors import InternalError, NotSupportedError, ProgrammingError, err

from .exchange import bindable, engine_input, normal
from .faults import translated

DEFAULT_MEMORY_SHARE: Final = 0.7
"""Part of the memory of the machine, or of its control group, that the engine may use."""

MANY_ROWS: Final = 200_000
"""From this many rows on, all threads are worth their start-up."""

PLANS: Final = 128
"""Prepared plans kept by each of the two instances."""

_LOCK: Final = (
    "SET GLOBAL TimeZone = 'UTC'",
    "SET GLOBAL enable_external_access = false",
    "SET GLOBAL lock_configuration = true",
)
_READING: Final = ("SELECT", "EXPLAIN")
_CHUNK: Final = 131_072


class LocalEngine:
    """Runs queries over Arrow tables. One statement at a time; safe to share between threads.

    Args:
        memory_limit: bytes the engine may hold; None takes 70 % of the machine's memory.
        threads: threads for large inputs; None takes all processors. Small inputs take one.
    """

    def __init__(self, memory_limit: int | None = None, threads: int | None = None) -> None:
        self._memory = memory_limit if memory_limit is not None else default_memory_limit()
        self._threads = threads if threads is not None else os.cpu_count() or 1
        self._instances: dict[int, _Instance] = {}
        self._lock = threading.Lock()
        self._running: _Plan | None = None
        self._worker: ThreadPoolExecutor | None = None
        self._closed = False
        _ENGINES.add(self)

    def run(
        self, sql: str, tables: Mapping[str, pa.Table], parameters: Sequence[object] = ()
    ) -> pa.Table:
        """Run one query.

        Args:
            sql: one SELECT in the engine's dialect, with parameters as ``$1``, ``$2``, …
            tables: what the query may read, by name; see :func:`.exchange.engine_table`. A table
                without columns stands for its number of rows. Column types must not depend on the
                rows, or the plan is prepared again.
            parameters: Python values; those that ``sql`` does not mention are ignored.

        Returns:
            The result, with Arrow types of :mod:`.exchange`.

        Raises:
            ProgrammingError, NotSupportedError: the statement is wrong, or is no query.
            DataError: an expression failed on a row: E_OUT_OF_RANGE, E_DIVISION_BY_ZERO, …
            OperationalError: E_ENGINE_MEMORY, or E_INTERRUPTED after :meth:`interrupt`.
            KeyboardInterrupt: a signal came, such as that of Ctrl-C.
        """
        inputs = {name: engine_input(table) for name, table in tables.items()}
        rows = sum(table.num_rows for table in inputs.values())
        threads = self._threads if rows >= MANY_ROWS else 1
        with self._lock:
            if self._closed:
                raise err(InternalError, "E_CLOSED", "the local engine is closed")
            instance = self._instances.get(threads)
            if instance is None:
                instance = self._instances[threads] = _Instance(self._memory, threads)
            fault: Exception
            try:
                plan = instance.plan(sql, inputs)
                self._running = plan
                return normal(self._run(plan, inputs, parameters))
            except _FAULTS as caught:
                fault = caught
            finally:
                self._running = None
            if isinstance(fault, (duckdb.FatalException, duckdb.InternalException)):
                # The engine refuses everything after such a failure.
                self._instances.pop(threads).close()
        # Raised outside the handler, so that the engine's message, which may quote rows, is not
        # carried along as the error's context.
        raise translated(fault)

    def _run(
        self, plan: _Plan, tables: Mapping[str, pa.Table], parameters: Sequence[object]
    ) -> pa.Table:
        """The result of a plan; a signal, such as that of Ctrl-C, cancels it.

        Signals reach the main thread only, and only while it runs Python. There the engine works in
        another thread, for some 10 microseconds more, since it looks for signals itself once in minutes.
        """
        if threading.current_thread() is not threading.main_thread():
            return plan.run(tables, parameters)
        if self._worker is None:
            self._worker = ThreadPoolExecutor(1, thread_name_prefix="encdb-engine")
        future = self._worker.submit(plan.run, tables, parameters)
        try:
            return future.result()
        except BaseException:
            # An interruption is lost when it comes before the engine has begun.
            while not future.done():
                plan.cursor.interrupt()
                wait((future,), timeout=0.02)
            raise

    def interrupt(self) -> None:
        """Cancel the running statement, from another thread; nothing happens when there is none."""
        running = self._running
        if running is not None:
            running.cursor.interrupt()

    def close(self) -> None:
        """Forget all plans and release the engine's memory. Closing twice does nothing."""
        with self._lock:
            self._closed = True
            for instance in self._instances.values():
                instance.close()
            self._instances.clear()
            if self._worker is not None:
                self._worker.shutdown()


_FAULTS: Final = (duckdb.Error, RuntimeError, ValueError, TypeError, MemoryError)
"""What the engine and its bindings raise. Errors of encdb, as of parameters, are none of these."""


class _Source:
    """One registered table name whose rows change from run to run while its columns stay."""

    __slots__ = ("rows", "schema")

    def __init__(self, schema: pa.Schema) -> None:
        self.schema = schema
        self.rows: pa.Table | None = None

    def __arrow_c_schema__(self) -> object:
        return self.schema.__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        # Reading a source outside its run would mean rows of another statement: fail closed.
        if self.rows is None:
            raise err(InternalError, "E_INTERNAL", "a table was read outside its statement")
        stream: Any = self.rows
        return stream.__arrow_c_stream__(requested_schema)


class _Plan:
    """One statement over fixed sources, in a connection of its own.

    Registered names are temporary views, so plans cannot see each other's tables.
    """

    def __init__(
        self, cursor: duckdb.DuckDBPyConnection, sql: str, tables: Mapping[str, pa.Table]
    ) -> None:
        self.cursor = cursor
        self.sources = {name: _Source(table.schema) for name, table in tables.items()}
        statements = cursor.extract_statements(sql)
        if len(statements) != 1 or statements[0].type.name not in _READING:
            raise err(
                NotSupportedError, "E_NOT_SUPPORTED", "the local engine runs one query at a time"
            )
        for name, source in self.sources.items():
            cursor.register(name, source)
        names = statements[0].named_parameters
        if not all(name.isdecimal() for name in names):
            raise err(ProgrammingError, "E_PARAMETERS", "parameters are numbered, as in $1")
        self.numbers = sorted(map(int, names))
        self.text = sql
        if not self.numbers and statements[0].type.name == "SELECT":
            cursor.execute(f"PREPARE p AS {sql}")
            self.text = "EXECUTE p"

    def fits(self, tables: Mapping[str, pa.Table]) -> bool:
        """Whether the plan was made for tables of these names and columns."""
        sources = self.sources
        if len(sources) != len(tables):
            return False
        for name, table in tables.items():
            source = sources.get(name)
            if source is None or not source.schema.equals(table.schema, check_metadata=True):
                return False
        return True

    def run(self, tables: Mapping[str, pa.Table], parameters: Sequence[object]) -> pa.Table:
        """The result over these rows."""
        if self.numbers and self.numbers[-1] > len(parameters):
            raise err(
                ProgrammingError,
                "E_PARAMETERS",
                f"the statement has {self.numbers[-1]} parameters, {len(parameters)} were given",
            )
        values = {str(number): bindable(parameters[number - 1], number) for number in self.numbers}
        try:
            for name, source in self.sources.items():
                source.rows = tables[name]
            return fetch(self.cursor, self.text, values or None)
        finally:
            for source in self.sources.values():
                source.rows = None

    def close(self) -> None:
        """Release the connection."""
        self.cursor.close()


class _Instance:
    """One locked-down database in memory, with its plans, the most recently used last."""

    def __init__(self, memory_limit: int, threads: int) -> None:
        self._database = duckdb.connect(
            ":memory:",
            config={
                "memory_limit": f"{memory_limit}B",
                "threads": threads,
                # No temporary directory: the engine fails instead of writing plaintext to disk.
                "temp_directory": "",
                "autoload_known_extensions": False,
                "autoinstall_known_extensions": False,
                "allow_community_extensions": False,
                "allow_persistent_secrets": False,
                "python_enable_replacements": False,
                "integer_division": True,
                "default_null_order": "NULLS_LAST_ON_ASC_FIRST_ON_DESC",
                "arrow_lossless_conversion": True,
            },
        )
        # The order matters: nothing can be set once the configuration is locked.
        for statement in _LOCK:
            self._database.execute(statement)
        self._plans: OrderedDict[str, _Plan] = OrderedDict()

    def plan(self, sql: str, tables: Mapping[str, pa.Table]) -> _Plan:
        """The plan of a statement, prepared on first use and again when its tables' columns change."""
        plan = self._plans.get(sql)
        if plan is not None:
            if plan.fits(tables):
                self._plans.move_to_end(sql)
                return plan
            del self._plans[sql]
            plan.close()
        cursor = self._database.cursor()
        try:
            plan = _Plan(cursor, sql, tables)
        except BaseException:
            cursor.close()
            raise
        self._plans[sql] = plan
        if len(self._plans) > PLANS:
            self._plans.popitem(last=False)[1].close()
        return plan

    def close(self) -> None:
        """Close all connections, the plans' first."""
        for plan in self._plans.values():
            plan.close()
        self._plans.clear()
        self._database.close()


def fetch(
    cursor: duckdb.DuckDBPyConnection, sql: str, values: dict[str, object] | None
) -> pa.Table:
    """Run a statement and take all its rows as Arrow.

    DuckDB 2.0 offers the direct way to Arrow only to its own relation layer: the public way through
    `execute` copies the rows once more and warns about it, and the one through `sql` binds the
    statement twice. Older versions have no such layer and no such cost.
    """
    submit: Any = getattr(cursor, "_submit", None)
    if submit is None:
        result: Any = cursor.execute(sql, values) if values else cursor.execute(sql)
        table: pa.Table = result.fetch_arrow_table()
    else:
        table = submit(sql, values, "arrow", _CHUNK).arrow_table()
    return table


def default_memory_limit() -> int:
    """70 % of the memory of the machine or of its control group, whichever is smaller, in bytes."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
    except OSError:
        limit = "max"
    if limit.isdigit():
        total = min(total, int(limit))
    return int(total * DEFAULT_MEMORY_SHARE)


_ENGINES: Final[weakref.WeakSet[LocalEngine]] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    """Close what is still open: the engine's bindings complain on stderr about sources left behind."""
    for engine in list(_ENGINES):
        engine.close()
