"""One connection: statement in, rows out.

The way of a query is parse → plan → lookup → fetch → local engine; the way of a write is plan → rows →
transaction → one Commit. A statement reads one store snapshot; an explicit transaction keeps one for
its length. Integrity failures of any scheme leave here as one TamperError.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

from sqlglot import exp

from encdb.errors import (
    ConflictError,
    DatabaseError,
    DataError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
    TamperError,
    err,
)
from encdb.stores.base import Store, StoreSnapshot
from encdb.trace import Recorder
from indexes.errors import EncodingRefused, IntegrityFailure
from indexes.keys import Key

from .catalog import Catalog, Table
from .execute.change import Changer
from .execute.define import Definer
from .execute.local import LocalEngine
from .execute.select import Selector, explained
from .integrity import tampered
from .leakage.recording import recorder_of
from .leakage.seen import Seen
from .maintenance import Maintenance
from .pin import Pin
from .result import Result, done
from .snapshot import DatabaseState
from .sql import statements as sql
from .sql.explain import explain
from .sql.parse import parse_script
from .transaction import Transaction, Writer

AUTOCOMMIT_ATTEMPTS = 4
PARSE_CACHE = 512
PIN_SECONDS = 0.5


class Session:
    """One connection to one database.

    Args:
        store: the store, opened.
        root: the database's root key.
        database: 16 bytes, the database's identity.
        genesis: SHA-256 of the first sealed catalog, from the keyring; None to accept any.
        pin: the last state seen, or None to keep none.
        recorder: records what the store is sent, or None.
    """

    def __init__(
        self,
        store: Store,
        root: Key,
        database: bytes,
        genesis: bytes | None = None,
        pin: Pin | None = None,
        recorder: Recorder | None = None,
    ) -> None:
        self._store = store
        self._pin = pin
        self.trace = recorder
        self.notices: tuple[str, ...] = ()
        self.database = DatabaseState(root, database, genesis, pin.state if pin else None)
        self._writer = Writer(store, self.database.own_writers, self.database.used)
        self._engine: LocalEngine | None = None
        self._parsed: OrderedDict[str, sql.Statement] = OrderedDict()
        self._transaction: Transaction | None = None
        self._held: AbstractContextManager[StoreSnapshot] | None = None
        self._definer = Definer(store, self.database, self._writer, self._everything)
        self.maintenance = Maintenance(store, self.database, self._writer, self.reading)
        self._selector = Selector(self.database, lambda: self.engine)
        self._changer = Changer(self.database, self._selector)
        self._closed = False

    # --- What others ask of a session -------------------------------------------------------------

    @property
    def engine(self) -> LocalEngine:
        """The local engine, started on first use."""
        if self._engine is None:
            self._engine = LocalEngine()
        return self._engine

    @property
    def store(self) -> Store:
        """The store underneath."""
        return self._store

    @property
    def writer(self) -> Writer:
        """The identity under which this connection writes."""
        return self._writer

    @property
    def definer(self) -> Definer:
        """Carries out schema changes."""
        return self._definer

    @property
    def changer(self) -> Changer:
        """Carries out INSERT, UPDATE and DELETE."""
        return self._changer

    @property
    def in_transaction(self) -> bool:
        """Whether an explicit transaction is open."""
        return self._transaction is not None

    @property
    def catalog(self) -> Catalog:
        """The current schema, verified."""
        with self.reading():
            assert self.database.catalog is not None
            return self.database.catalog

    # --- Snapshots ----------------------------------------------------------------------------------

    @contextmanager
    def reading(self, *, everything: bool = False) -> Iterator[StoreSnapshot]:
        """A store snapshot in which the catalog and the open tables (or all) are verified."""
        channel, database = self.database.channel, self.database
        with self.guarded():
            if channel.snapshot is not None:
                database.require_sound()
                yield channel.snapshot
                return
            with self._store.snapshot() as snapshot:
                channel.snapshot = snapshot
                try:
                    database.read(snapshot)
                    if everything and database.catalog is not None:
                        database.ensure(database.catalog.tables)
                    yield snapshot
                finally:
                    channel.snapshot = None

    def _everything(self) -> AbstractContextManager[StoreSnapshot]:
        """A snapshot in which every table is verified."""
        return self.reading(everything=True)

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Turn failures of the schemes into encdb's errors."""
        try:
            yield
        except IntegrityFailure:
            raise tampered("what the store served does not verify") from None
        except EncodingRefused as refusal:
            raise err(DataError, "E_INVALID_VALUE", str(refusal)) from None

    # --- Statements ---------------------------------------------------------------------------------

    def parse(self, text: str) -> sql.Statement:
        """The one statement of a text, from the cache when it was parsed before."""
        known = self._parsed.get(text)
        if known is not None:
            self._parsed.move_to_end(text)
            return known
        if any("\ud800" <= one <= "\udfff" for one in text):
            raise err(ProgrammingError, "E_SYNTAX", "the statement is not valid Unicode")
        found = parse_script(text)
        if len(found) != 1:
            raise err(
                ProgrammingError,
                "E_STATEMENT_COUNT",
                "there is no statement" if not found else "one statement at a time",
            )
        self._parsed[text] = found[0]
        if len(self._parsed) > PARSE_CACHE:
            self._parsed.popitem(last=False)
        return found[0]

    def belongs_in_transaction(self, text: str) -> bool:
        """Whether a statement reads or changes rows; schema changes, VACUUM and ANALYZE commit alone."""
        statement = self.parse(text)
        return isinstance(statement, sql.Query | sql.Insert | sql.Update | sql.Delete | sql.Explain)

    def execute(self, text: str, parameters: Sequence[object] = ()) -> Result:
        """Run one statement.

        Raises:
            EncdbError: see ``docs/errors.md``; a failed statement leaves nothing behind.
        """
        self._require_open()
        statement = self.parse(text)
        check_parameters(statement, parameters)
        with self.guarded():
            return self._run(statement, tuple(parameters))

    def execute_many(self, text: str, rows: Iterable[Sequence[object]]) -> Result:
        """Run one statement for each row of parameters: all take effect, or none."""
        self._require_open()
        statement = self.parse(text)
        if isinstance(statement, sql.Insert) and not reads_tables(statement):
            listed: list[tuple[object, ...]] = []
            for row in rows:
                check_parameters(statement, row)
                listed.append(tuple(row))
            with self.guarded():
                return self._write(
                    lambda transaction: self._changer.insert_many(transaction, statement, listed)
                )
        total = 0
        outer = self._transaction
        if outer is None:
            self.begin()
        try:
            assert self._transaction is not None
            with undoing(self._transaction):
                for values in rows:
                    total += max(self.execute(text, values).rowcount, 0)
        except BaseException:
            if outer is None:
                self.rollback()
            raise
        if outer is None:
            self.commit()
        return done("EXECUTE MANY", total)

    def _run(self, statement: sql.Statement, parameters: tuple[object, ...]) -> Result:
        match statement:
            case sql.Query():
                with self.reading():
                    return self._selector.query(statement, parameters, self._transaction)
            case sql.Insert() | sql.Update() | sql.Delete():
                return self._write(
                    lambda transaction: self._changer.run(transaction, statement, parameters)
                )
            case sql.Explain():
                return self._explain(statement, parameters)
            case sql.Begin():
                self.begin()
                return done("BEGIN")
            case sql.Commit():
                self.commit()
                return done("COMMIT")
            case sql.Rollback():
                self.rollback()
                return done("ROLLBACK")
            case sql.Savepoint() | sql.RollbackTo() | sql.Release():
                return self._savepoint(statement)
            case sql.Set():
                return done("SET")
            case sql.Show():
                return self._selector.show(statement)
            case sql.Vacuum():
                self._refuse_in_transaction("VACUUM")
                self.vacuum(statement.table)
                return done("VACUUM")
            case sql.Analyze():
                self._refuse_in_transaction("ANALYZE")
                self.analyze(statement.table, statement.columns)
                return done("ANALYZE")
            case _:
                return self._define(statement)

    def _explain(self, statement: sql.Explain, parameters: tuple[object, ...]) -> Result:
        inner = statement.statement
        if statement.leakage and isinstance(inner, sql.Query) and statement.analyze:
            return self._explain_trace(inner, parameters)
        if not isinstance(inner, sql.Query):
            if statement.analyze:
                raise err(
                    NotSupportedError,
                    "E_NOT_SUPPORTED",
                    "EXPLAIN ANALYZE of anything but a query is not served",
                    "Use EXPLAIN without ANALYZE.",
                )
            with self.reading():
                plan = self._changer.plan(inner)
                if statement.leakage:
                    return self._selector.explain_leakage(plan, parameters, self._transaction)
                choices = self._selector.choices(plan.query, parameters, self._transaction)
                return explained(explain(plan, choices))
        with self.reading():
            if statement.leakage:
                query = self._selector.plan(inner)
                return self._selector.explain_leakage(query, parameters, self._transaction)
            return self._selector.explain(
                inner, parameters, self._transaction, analyze=statement.analyze
            )

    def _explain_trace(self, query: sql.Query, parameters: tuple[object, ...]) -> Result:
        """Run a query and say what its messages told the store."""
        with self._recording() as (recorder, mark):
            with self.reading():
                self._selector.query(query, parameters, self._transaction)
            earlier = recorder.events[:mark] if recorder is self.trace else None
            return explained(Seen(self.database.tables, earlier).lines(recorder.since(mark)))

    @contextmanager
    def _recording(self) -> Iterator[tuple[Recorder, int]]:
        """A trace of a block, and the place in it where the block begins."""
        if self.trace is not None:
            yield self.trace, self.trace.mark()
            return
        store, channel = self._store, self.database.channel
        held = channel.snapshot
        if held is not None:
            recorder = recorder_of(held)
            with recorder.snapshot() as recorded:
                channel.snapshot = recorded
                try:
                    yield recorder, 0
                finally:
                    channel.snapshot = held
            return
        self._store = recorder = Recorder(store)
        try:
            yield recorder, 0
        finally:
            self._store = store

    def _define(self, statement: sql.Statement) -> Result:
        self._refuse_in_transaction("a schema change")
        match statement:
            case sql.CreateTable():
                made = self._definer.create_table(statement)
                notes = () if made else (f'table "{statement.name}" exists already, skipped',)
                result = done("CREATE TABLE", notices=notes)
            case sql.DropTable():
                dropped = self._definer.drop_table(statement)
                result = done("DROP TABLE", notices=() if dropped else ("nothing to drop",))
            case sql.CreateIndex():
                created = self._definer.create_index(statement)
                told = ("the index exists already, skipped",) if created is None else created[1]
                result = done("CREATE INDEX", notices=told)
            case sql.DropIndex():
                dropped = self._definer.drop_index(statement)
                result = done("DROP INDEX", notices=() if dropped else ("nothing to drop",))
            case _:
                raise err(
                    NotSupportedError,
                    "E_NOT_SUPPORTED",
                    f"{type(statement).__name__} is not served",
                )
        with self.reading():
            pass  # What was acknowledged is there, and the pin will say so.
        self.remember()
        return result

    def _refuse_in_transaction(self, what: str) -> None:
        if self._transaction is not None:
            raise err(
                NotSupportedError,
                "E_NOT_SUPPORTED",
                f"{what} inside a transaction is not served",
                "COMMIT or ROLLBACK first.",
            )

    # --- Transactions -------------------------------------------------------------------------------

    def begin(self) -> None:
        """Begin an explicit transaction: it reads one snapshot until it ends."""
        self._require_open()
        if self._transaction is not None:
            raise err(ProgrammingError, "E_IN_TRANSACTION", "a transaction is open already")
        self._transaction = self._new_transaction()
        self._held = self._store.snapshot()
        try:
            self.database.channel.snapshot = self._held.__enter__()
            with self.guarded():
                self.database.read(self.database.channel.snapshot)
        except BaseException:
            self._release()
            self._transaction = None
            raise

    def _new_transaction(self) -> Transaction:
        return Transaction(self._store, self.database, self._writer, self.reading)

    def _release(self) -> None:
        """Let the held snapshot go."""
        held, self._held = self._held, None
        self.database.channel.snapshot = None
        if held is not None:
            held.__exit__(None, None, None)

    def commit(self) -> None:
        """Commit the open transaction, if there is one; it ends either way."""
        transaction, self._transaction = self._transaction, None
        if transaction is None:
            return
        self._release()
        if not transaction.empty:
            with self.guarded():
                transaction.commit()
                self._committed(transaction.tables)

    def rollback(self) -> None:
        """Forget the open transaction, if there is one."""
        if self._transaction is not None:
            self._transaction = None
            self._release()

    def _savepoint(self, statement: sql.Savepoint | sql.RollbackTo | sql.Release) -> Result:
        transaction = self._transaction
        if transaction is None:
            raise err(
                ProgrammingError,
                "E_NO_TRANSACTION",
                "savepoints need an open transaction",
            )
        if isinstance(statement, sql.Savepoint):
            transaction.savepoint(statement.name)
            return done("SAVEPOINT")
        if isinstance(statement, sql.RollbackTo):
            known, tag = transaction.rollback_to(statement.name), "ROLLBACK"
        else:
            known, tag = transaction.release(statement.name), "RELEASE"
        if not known:
            raise err(
                ProgrammingError,
                "E_UNKNOWN_SAVEPOINT",
                f'there is no savepoint "{statement.name}"',
            )
        return done(tag)

    def _write(self, change: Callable[[Transaction], Result]) -> Result:
        """Run a change in the open transaction, or in one of its own that is repeated on conflict."""
        if self._transaction is not None:
            with self.reading(), undoing(self._transaction):
                return change(self._transaction)
        for attempt in range(AUTOCOMMIT_ATTEMPTS):
            transaction = self._new_transaction()
            with self.reading():
                result = change(transaction)
            if transaction.empty:
                return result
            try:
                transaction.commit()
            except ConflictError:
                if attempt + 1 == AUTOCOMMIT_ATTEMPTS:
                    raise
                time.sleep(0.002 * (1 << attempt))
                continue
            self._committed(transaction.tables)
            return result
        raise AssertionError("the loop returns or raises")

    def run_transaction(self, change: Callable[[Transaction], Result]) -> Result:
        """Run a change that is not a statement, such as an import, as a transaction of its own."""
        self._require_open()
        self._refuse_in_transaction("this")
        with self.guarded():
            return self._write(change)

    def _committed(self, tables: set[int]) -> None:
        """After a commit: read it back, verify it, pin it, and merge what has grown.

        The transaction is durable, so nothing of this is a failure of it but what shows that the store
        has lied. What was acknowledged is then looked for by the next statement, a pin that cannot be
        written is reported by :meth:`close`, and a merge that could not run will run later.
        """
        try:
            with self.reading():
                pass
            self.remember()
            self.maintenance.after_commit(tables)
        except TamperError:
            raise
        except DatabaseError:
            return

    def vacuum(self, name: str | None) -> None:
        """Fold and join one table, or all."""
        with self.reading(everything=True):
            assert self.database.catalog is not None
            catalog = self.database.catalog
            tables = [catalog.table(name)] if name is not None else list(catalog.tables)
        for table in tables:
            self.maintenance.vacuum(table.id)
        self.remember(throttle=0.0)

    def analyze(self, name: str | None = None, columns: Sequence[str] = ()) -> None:
        """Make statistics of some columns of a table, of all of them, or of all tables.

        Raises:
            ProgrammingError: no such table or column, or a column is named twice.
        """
        with self.reading(everything=True):
            assert self.database.catalog is not None
            catalog = self.database.catalog
            tables = [catalog.table(name)] if name is not None else list(catalog.tables)
        for table in tables:
            chosen = [table.column(one) for one in columns] if columns else list(table.columns)
            if len(set(chosen)) < len(chosen):
                raise err(ProgrammingError, "E_DUPLICATE_NAME", "a column is named twice")
            self.maintenance.analyze(table.id, chosen)
        self.remember(throttle=0.0)

    # --- Pin and end --------------------------------------------------------------------------------

    def remember(self, throttle: float = PIN_SECONDS) -> None:
        """Record in the pin what has been seen, unless some of it did not verify."""
        if self._pin is not None and self.database.catalog is not None and self.database.sound:
            self._pin.advance(self.database.pin(), throttle)

    def interrupt(self) -> None:
        """Stop the running statement from another thread, in the local engine and in the store."""
        if self._engine is not None:
            self._engine.interrupt()
        self._store.interrupt()

    def table(self, name: str) -> Table:
        """The schema of one table."""
        return self.catalog.table(name)

    def identity(self) -> bytes:
        """The database's identity, 16 bytes."""
        return self.database.database

    def close(self) -> None:
        """Roll back what is open, record the pin and release the store."""
        if self._closed:
            return
        self._closed = True
        self.rollback()
        try:
            if self._pin is not None:
                self.remember(throttle=0.0)
                self._pin.flush()
        finally:
            self._store.close()
            if self._engine is not None:
                self._engine.close()

    def _require_open(self) -> None:
        if self._closed:
            raise err(OperationalError, "E_CLOSED", "the connection is closed")


@contextmanager
def undoing(transaction: Transaction) -> Iterator[None]:
    """Take a statement's changes back when it fails after it has made some."""
    marks = transaction.mark()
    try:
        yield
    except BaseException:
        transaction.cut(marks)
        raise


def reads_tables(statement: sql.Insert) -> bool:
    """Whether new rows depend on tables, so that several of them cannot be computed at once."""
    return statement.rows is None or any(
        isinstance(cell, exp.Expr) and cell.find(exp.Query) is not None
        for row in statement.rows
        for cell in row
    )


def check_parameters(statement: sql.Statement, parameters: Sequence[object]) -> None:
    """ProgrammingError unless a statement gets as many parameters as it takes, in a sequence."""
    if isinstance(parameters, str | bytes) or not isinstance(parameters, Sequence):
        raise err(ProgrammingError, "E_PARAMETERS", "parameters must be a sequence of values")
    if len(parameters) != statement.parameters:
        raise err(
            ProgrammingError,
            "E_PARAMETERS",
            f"the statement takes {statement.parameters} parameters and got {len(parameters)}",
        )
