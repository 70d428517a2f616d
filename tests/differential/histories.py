"""One history of statements, run by encdb on an encrypted store and by DuckDB on plaintext.

Two connections take turns, so that each keeps finding what the other wrote. A statement that DuckDB
cannot run is left out; one that violates a constraint must fail here with the same code.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pytest

import encdb
import proxy.compaction
import proxy.execute.dictionary
import proxy.execute.lookup
import proxy.execute.ordered
import proxy.execute.probes.ordered
import proxy.execute.select
import proxy.execute.view
import proxy.search.plain
import proxy.state
import proxy.statistics.choice
import proxy.statistics.cost
import proxy.statistics.estimate
import proxy.transaction
from proxy.check import check
from tests.differential.chooser import Chooser
from tests.differential.compare import difference, normal_row, same_rows
from tests.differential.kinds import SENTENCE, Kind
from tests.differential.model import Column, Index, Table, draw_index, draw_table
from tests.differential.oracle import Oracle, Violation
from tests.differential.predicates import Mention, Statement, predicate
from tests.differential.queries import Query, draw_query
from tests.fixtures.databases import Database
from tests.fixtures.kinds import StoreKind

SAVEPOINTS = ("s1", "s2", "S1")
TUNING: tuple[tuple[Any, str, tuple[Any, ...]], ...] = (
    (proxy.compaction, "PENDING_DELTAS", (1_024, 1, 2, 4)),
    (proxy.transaction, "BULK_ROWS", (1_024, 1, 4)),
    (proxy.execute.lookup, "FEW", (256, 0, 2)),
    (proxy.execute.probes.ordered, "FEW", (256, 0, 2)),
    (proxy.execute.probes.ordered, "MOST_OF_TABLE", (0.5, 1.0)),
    (proxy.execute.ordered, "ENDS_SHARE", (10.0, 0.25)),
    (proxy.execute.select, "SEMI_JOIN_SHARE", (10.0, 0.25)),
    (proxy.execute.view, "SMALL", (64, 0)),
    (proxy.compaction, "AUTOMATIC_ROWS", (65_536, 1)),
    (proxy.statistics.choice, "FEW", (256, 0, 2)),
    (proxy.statistics.estimate, "FEW", (256, 0, 2)),
    (proxy.statistics.cost, "ROUND", (150.0, 0.0)),
    (proxy.statistics.cost, "PAGE", (12.0, 0.0)),
    (proxy.state, "TERM_CACHE_BYTES", (64 << 20, 0)),
    (proxy.search.plain, "AT_ONCE", (1_024, 2)),
    (proxy.execute.dictionary, "SCAN_ROWS", (16_384, 3)),
)
"""Limits that decide which way is taken; small ones make small tables take the ways of large ones."""


@contextmanager
def tuned(choose: Chooser) -> Iterator[str]:
    """Limits drawn for one history."""
    with pytest.MonkeyPatch.context() as patch:
        drawn = [(where, name, choose.pick(values)) for where, name, values in TUNING]
        for where, name, value in drawn:
            patch.setattr(where, name, value)
        _CLOCK.days = 0
        patch.setattr(time, "time", _CLOCK.now)
        yield ", ".join(f"{name}={value}" for _, name, value in drawn)


class _Clock:
    """The time, which a history may put forward by days: merges forget writers that are idle."""

    def __init__(self) -> None:
        self._real = time.time
        self.days = 0

    def now(self) -> float:
        """Seconds since 1970."""
        return self._real() + self.days * 86_400.0


_CLOCK = _Clock()


class History:
    """A history in progress.

    Attributes:
        log: every statement so far, for whoever has to find out what went wrong.
        asked: queries compared.
        skipped: statements that DuckDB refused.
    """

    def __init__(self, choose: Chooser, folder: Path, kind: StoreKind) -> None:
        self.choose = choose
        self.log: list[str] = []
        self.asked = self.skipped = 0
        self._database = Database.make(folder, kind)
        self._connections = [self._database.connect(), self._database.connect()]
        self._oracle = Oracle()
        self._tables: list[Table] = []
        self._holder: Any = None
        """The connection that has a transaction open."""
        self._dropped = 0
        self._repeatable: list[Query] = []

    def close(self) -> None:
        """Close both databases."""
        self._database.drop()
        self._oracle.close()

    # --- The course of a history ------------------------------------------------------------------

    def begin(self, tables: int) -> None:
        """Make the first tables, with a few rows."""
        for _ in range(tables):
            self._create()
        for table in self._tables:
            for _ in self.choose.times(0, 2):
                self._insert(table)

    def step(self) -> None:
        """Do something."""
        action = self.choose.weighted(_ACTIONS)
        action(self)

    def ask(self) -> None:
        """Compare the answers to one query: a new one, or an old one over what the tables hold now."""
        if self._repeatable and self.choose.chance(20):
            query = self.choose.pick(self._repeatable)
        else:
            query = draw_query(self.choose, self._tables)
            if "@@" not in query.sql:
                self._repeatable.append(query)
        try:
            expected = self._oracle.ask(query.plain, query.parameters)
        except duckdb.Error as error:
            self._skip(query.sql, error)
            return
        self._compare(self._any(), query, expected)

    def finish(self) -> None:
        """End what is open and check the whole store from both sides."""
        if self._holder is not None:
            self._end()
        for connection in self._connections:
            self._check(connection)

    # --- Statements ---------------------------------------------------------------------------------

    def _any(self) -> Any:
        """A connection that may run the next statement."""
        return self._holder if self._holder is not None else self.choose.pick(self._connections)

    def _note(self, connection: Any, text: str, parameters: Sequence[Any] = ()) -> None:
        name = "ab"[self._connections.index(connection)] if connection is not None else " "
        self.log.append(f"{name}: {text}" + (f"   -- {list(parameters)!r}" if parameters else ""))

    def _skip(self, text: str, error: Exception) -> None:
        self.skipped += 1
        self.log.append(f"-: {text}   -- {type(error).__name__}")

    def _compare(self, connection: Any, query: Query, expected: list[tuple[Any, ...]]) -> None:
        self._note(connection, query.sql, query.parameters)
        self.asked += 1
        cursor = connection.execute(query.sql, query.parameters)
        found = [normal_row(row) for row in cursor.fetchall()]
        if not same_rows(found, expected, ordered=query.ordered):
            raise AssertionError(f"{query.sql}\n{difference(found, expected)}")

    def _change(self, plain: str, parameters: Sequence[Any], sql: str | None = None) -> bool:
        """Run one change on both sides; whether it took effect."""
        text, connection = sql if sql is not None else plain, self._any()
        try:
            self._oracle.run(plain, parameters)
        except Violation as violation:
            self._note(connection, f"{text}   -- must fail with {violation.code}", parameters)
            _must_fail(violation, connection.execute, text, tuple(parameters))
            return False
        except duckdb.Error as error:
            self._skip(text, error)
            return False
        self._note(connection, text, parameters)
        connection.execute(text, tuple(parameters))
        return True

    def _create(self) -> None:
        table = draw_table(self.choose, f"t{len(self._tables) + self._dropped}")
        connection = self.choose.pick(self._connections)
        sql = table.definition(constraints=True)
        self._note(connection, sql)
        connection.execute(sql)
        self._oracle.create(table.definition(constraints=False))
        for number, names in enumerate(table.unique):
            self._oracle.unique(table.name, names, primary=table.primary and number == 0)
        for column in table.columns:
            if not column.nullable:
                self._oracle.not_null(table.name, column.name)
        if table.check:
            self._oracle.check(table.name, table.check)
        for index in table.indexes:
            self._note(connection, index.definition(table.name))
            connection.execute(index.definition(table.name))
        self._tables.append(table)

    def _row(self, table: Table) -> list[Any]:
        values = []
        for column in table.columns:
            missing = column.nullable and self.choose.chance(15)
            value = None if missing else column.kind.value(self.choose)
            column.saw(value)
            values.append(value)
        return values

    def _table(self) -> Table:
        return self.choose.pick(self._tables)

    def _insert(self, table: Table | None = None) -> None:
        """Rows as parameters or literals, one or several in one statement."""
        table = table or self._table()
        made = Statement(self.choose, self._tables)
        rows = [self._row(table) for _ in self.choose.times(1, 6)]
        written = ", ".join("(" + ", ".join(_cells(made, table, row)) + ")" for row in rows)
        self._change(f"INSERT INTO {table.name} VALUES {written}", made.parameters)

    def _insert_some(self) -> None:
        """Rows with only some of the columns."""
        table = self._table()
        columns = [one for one in table.columns if not one.nullable or self.choose.chance(50)]
        if not columns:
            return
        made = Statement(self.choose, self._tables)
        cells = [made.write(one.kind, one.kind.value(self.choose)) for one in columns]
        names = ", ".join(one.name for one in columns)
        sql = f"INSERT INTO {table.name} ({names}) VALUES ({', '.join(cells)})"
        self._change(sql, made.parameters)

    def _insert_many(self) -> None:
        """``executemany``, which is one transaction."""
        table = self._table()
        rows = [self._row(table) for _ in self.choose.times(0, 12)]
        if not rows:
            return
        marks = ", ".join("?" for _ in table.columns)
        line = "(" + marks + ")"
        every = [value for row in rows for value in row]
        plain = f"INSERT INTO {table.name} VALUES {', '.join([line] * len(rows))}"
        sql = f"INSERT INTO {table.name} VALUES {line}"
        connection = self._any()
        try:
            self._oracle.run(plain, every)
        except Violation as violation:
            self._note(connection, f"{sql}   -- many, must fail with {violation.code}", rows)
            _must_fail(violation, connection.executemany, sql, rows)
            return
        self._note(connection, sql + "   -- many", rows)
        connection.executemany(sql, rows)

    def _insert_select(self) -> None:
        """Rows of one table into itself or another one with columns of the same types."""
        target, source = self._table(), self._table()
        made = Statement(self.choose, self._tables)
        mention = Mention.of(source, "s")
        names, items = [], []
        for column in target.columns:
            fitting = [one for one in mention.names if one.kind is column.kind]
            if fitting:
                names.append(column.name)
                item = self.choose.pick(fitting).sql
                items.append(
                    f"{item} + 7" if column.name == "k" and self.choose.chance(70) else item
                )
        where = predicate(made, [mention], 1)
        sql = (
            f"INSERT INTO {target.name} ({', '.join(names)}) "
            f"SELECT {', '.join(items)} FROM {source.name} AS s WHERE {where}"
        )
        if self._oracle.count(source.name) < 200:
            self._change(made.plain(sql), made.parameters, sql)

    def _update(self) -> None:
        table = self._table()
        made = Statement(self.choose, self._tables)
        mention = Mention.of(table, table.name)
        parts = [
            f"{column.name} = {self._new_value(made, table, column)}"
            for column in self.choose.some(table.columns, 1, 2)
        ]
        sql = f"UPDATE {table.name} SET {', '.join(parts)}"
        if self.choose.chance(90):
            sql += f" WHERE {predicate(made, [mention], 1)}"
        self._change(made.plain(sql), made.parameters, sql)

    def _new_value(self, made: Statement, table: Table, column: Column) -> str:
        choose = self.choose
        if choose.chance(25):
            if column.kind.family == "integer":
                return f"{column.name} + {choose.number(1, 3)}"
            others = [one for one in table.columns if one.kind is column.kind]
            return choose.pick(others).name
        if column.nullable and choose.chance(10):
            return "NULL"
        value = column.kind.value(choose)
        column.saw(value)
        return made.write(column.kind, value)

    def _delete(self) -> None:
        table = self._table()
        made = Statement(self.choose, self._tables)
        sql = f"DELETE FROM {table.name}"
        if self.choose.chance(92):
            sql += f" WHERE {predicate(made, [Mention.of(table, table.name)], 1)}"
        self._change(made.plain(sql), made.parameters, sql)

    # --- Transactions -------------------------------------------------------------------------------

    def _transaction(self) -> None:
        """Begin, end, or set and use savepoints."""
        if self._holder is None:
            self._holder = self.choose.pick(self._connections)
            self._tell("BEGIN")
            self._oracle.begin()
            return
        form = self.choose.number(0, 9)
        if form <= 3:
            self._end()
        elif form <= 6 or not self._oracle.savepoints:
            name = self.choose.pick(SAVEPOINTS)
            self._tell(f"SAVEPOINT {name}")
            self._oracle.savepoint(name.lower())
        elif form <= 8:
            name = self.choose.pick(self._oracle.savepoints)
            self._tell(f"ROLLBACK TO SAVEPOINT {name}")
            self._oracle.rollback_to(name)
        else:
            name = self.choose.pick(self._oracle.savepoints)
            self._tell(f"RELEASE SAVEPOINT {name}")
            self._oracle.release(name)

    def _tell(self, sql: str) -> None:
        self._note(self._holder, sql)
        self._holder.execute(sql)

    def _end(self) -> None:
        if self.choose.chance(30):
            self._tell("ROLLBACK")
            self._oracle.rollback()
        else:
            self._tell("COMMIT")
            self._oracle.commit()
        self._holder = None

    # --- What must change no answer -----------------------------------------------------------------

    def _merge(self) -> None:
        """Fold or vacuum, also while the other connection has a transaction open, or analyse."""
        free = [one for one in self._connections if one is not self._holder]
        connection, table = self.choose.pick(free), self._table()
        session = connection.session
        if self.choose.chance(60):
            statement = self.choose.pick(("VACUUM", "ANALYZE"))
            if self._holder is not None:
                # An open transaction may fail when it outlives an analysis and a merge, as it does with two merges.
                statement = "VACUUM"
            self._note(connection, f"{statement} {table.name}")
            connection.execute(f"{statement} {table.name}")
        else:
            self._note(connection, f"fold {table.name}")
            number = session.table(table.name).id
            with session.reading(everything=True):
                pass
            session.maintenance.fold(number)
            session.maintenance.join(number)

    def _reconnect(self) -> None:
        """Close a connection; a transaction that it had open is gone."""
        place = self.choose.number(0, 1)
        old = self._connections[place]
        self._note(old, "close and connect")
        if old is self._holder:
            self._holder = None
            self._oracle.rollback()
        old.close()
        self._database.opened.remove(old)
        self._connections[place] = self._database.connect()

    def _index(self) -> None:
        """Make or drop an index."""
        if self._holder is not None:
            return
        table, connection = self._table(), self.choose.pick(self._connections)
        if table.indexes and self.choose.chance(40):
            index = self.choose.pick(table.indexes)
            table.indexes.remove(index)
            if index.unique:
                self._oracle.relax(table.name, index.columns)
            self._note(connection, f"DROP INDEX {index.name}")
            connection.execute(f"DROP INDEX {index.name}")
        elif self.choose.chance(25):
            self._unique_index(table, connection)
        else:
            made = draw_index(self.choose, table)
            if made is not None:
                self._note(connection, made.definition(table.name))
                connection.execute(made.definition(table.name))

    def _unique_index(self, table: Table, connection: Any) -> None:
        """Make a unique index, which fails when there are equal values."""
        columns = [one for one in table.columns if one.kind.comparable]
        names = tuple(one.name for one in self.choose.some(columns, 1, 2))
        if any(one.unique and one.columns == names for one in table.indexes):
            return
        table.made += 1
        index = Index(f"{table.name}_i{table.made}", "equality", names, unique=True)
        sql = index.definition(table.name)
        self._note(connection, sql)
        violation = self._oracle.restrict(table.name, names)
        if violation is not None:
            _must_fail(violation, connection.execute, sql)
            return
        connection.execute(sql)
        table.indexes.append(index)

    def _replace(self) -> None:
        """Drop a table and make another one."""
        if self._holder is not None:
            return
        table, connection = self._table(), self.choose.pick(self._connections)
        self._note(connection, f"DROP TABLE {table.name}")
        connection.execute(f"DROP TABLE {table.name}")
        self._oracle.drop(table.name)
        self._tables.remove(table)
        self._repeatable.clear()
        self._dropped += 1
        self._create()

    def _wait(self) -> None:
        """Days go by."""
        days = self.choose.pick((1, 2, 9))
        _CLOCK.days += days
        self._note(None, f"{days} days go by")

    def _check_midway(self) -> None:
        free = [one for one in self._connections if one is not self._holder]
        self._check(self.choose.pick(free))

    def _check(self, connection: Any) -> None:
        self._note(connection, "check")
        report = check(connection.session)
        assert report.ok, report.problems


def _must_fail(violation: Violation, run: Callable[..., object], *arguments: Any) -> None:
    with pytest.raises(encdb.IntegrityError) as caught:
        run(*arguments)
    assert caught.value.code in violation.code.split("|")


def _cells(made: Statement, table: Table, row: Sequence[Any]) -> list[str]:
    return [
        "NULL" if value is None else _cell(made, column.kind, value)
        for column, value in zip(table.columns, row, strict=True)
    ]


def _cell(made: Statement, kind: Kind, value: Any) -> str:
    """A value of a new row; words have no special form."""
    return made.parameter(value) if kind is SENTENCE else made.write(kind, value)


_ACTIONS: tuple[tuple[int, Callable[[History], None]], ...] = (
    (14, History._insert),
    (3, History._insert_some),
    (6, History._insert_many),
    (5, History._insert_select),
    (14, History._update),
    (8, History._delete),
    (14, History._transaction),
    (6, History._merge),
    (3, History._reconnect),
    (4, History._index),
    (1, History._replace),
    (2, History._wait),
    (1, History._check_midway),
    (20, History.ask),
)


def run(
    kind: StoreKind, choose: Chooser, folder: Path, *, tables: int, steps: int, queries: int
) -> History:
    """Run one history; a failure carries the log of all statements."""
    with tuned(choose) as limits:
        history = History(choose, folder, kind)
        try:
            history.begin(choose.number(1, tables))
            for _ in choose.times(0, steps):
                history.step()
            for _ in choose.times(1, queries):
                history.ask()
            history.finish()
        except BaseException as error:
            error.add_note("\n".join([f"limits: {limits}", *history.log]))
            raise
        finally:
            history.close()
    return history
