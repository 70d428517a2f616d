"""INSERT, UPDATE and DELETE: new values in, an overlay of the transaction out.

A statement computes all its new rows, checks every constraint on them, and only then changes the
transaction, so a failing statement leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from encdb.errors import IntegrityError, ProgrammingError, err
from proxy.arrow import Ordinals, one_array
from proxy.catalog import Column, Table
from proxy.result import Result, done
from proxy.snapshot import DatabaseState, TableState
from proxy.sql import statements as sql
from proxy.sql.constants import Type
from proxy.sql.constants import fold as fold_constant
from proxy.sql.plan import (
    ChangePlan,
    plan_check,
    plan_delete,
    plan_insert,
    plan_returning,
    plan_update,
)
from proxy.transaction import Transaction
from proxy.values import cast_batch, result_columns, to_arrow

from .select import ORDINAL, Selector
from .write import check_not_null, check_unique, derive, remove

NOTHING: Ordinals = np.empty(0, dtype=np.int64)


class Changer:
    """Carries out changes within a transaction.

    Args:
        database: the verified state.
        selector: runs the queries that changes need.
    """

    def __init__(self, database: DatabaseState, selector: Selector) -> None:
        self._database = database
        self._selector = selector
        self._checks: dict[tuple[int, int], list[tuple[str, str]]] = {}

    def run(
        self, transaction: Transaction, statement: sql.Statement, parameters: Sequence[object]
    ) -> Result:
        """Carry out one statement."""
        if isinstance(statement, sql.Insert):
            return self._insert(transaction, statement, [tuple(parameters)])
        if isinstance(statement, sql.Update):
            return self._update(transaction, statement, parameters)
        if isinstance(statement, sql.Delete):
            return self._delete(transaction, statement, parameters)
        raise TypeError("not a change")

    def insert_many(
        self,
        transaction: Transaction,
        statement: sql.Insert,
        rows: Sequence[tuple[object, ...]],
    ) -> Result:
        """One INSERT … VALUES for many rows of parameters, as one batch."""
        if not rows:
            return done("INSERT 0 0", 0)
        return self._insert(transaction, statement, rows)

    def open(self, name: str) -> TableState:
        """The verified state of a table that is to be changed."""
        catalog = self._database.catalog
        assert catalog is not None
        table = catalog.table(name)
        self._database.ensure([table])
        return self._database.tables[table.id]

    # --- INSERT -------------------------------------------------------------------------------------

    def _insert(
        self,
        transaction: Transaction,
        statement: sql.Insert,
        parameter_rows: Sequence[tuple[object, ...]],
    ) -> Result:
        state = self.open(statement.table)
        columns = target_columns(state.table, statement.columns)
        batch = self._literal_rows(statement, columns, parameter_rows)
        if batch is None:
            batches = [
                self._computed_rows(transaction, statement, columns, parameters)
                for parameters in parameter_rows
            ]
            batch = one_batch(batches)
        rows = self._complete(state.table, columns, batch)
        self.add(transaction, state, rows)
        count = rows.num_rows
        return self._returning(statement, state, rows, f"INSERT 0 {count}", count)

    def _literal_rows(
        self,
        statement: sql.Insert,
        columns: Sequence[Column],
        parameter_rows: Sequence[tuple[object, ...]],
    ) -> pa.RecordBatch | None:
        """VALUES of literals and parameters, without the engine; None when there is more to them."""
        if statement.rows is None:
            return None
        getters: list[list[tuple[bool, object]]] = []
        for cells in statement.rows:
            if len(cells) != len(columns):
                raise value_count(len(columns), len(cells))
            line: list[tuple[bool, object]] = []
            for cell in cells:
                constant = None if isinstance(cell, sql.DefaultValue) else fold_constant(cell)
                if constant is None:
                    return None
                line.append((constant.type is Type.PARAMETER, constant.value))
            getters.append(line)
        values = [
            [parameters[value] if given else value for given, value in line]  # type: ignore[call-overload]
            for parameters in parameter_rows
            for line in getters
        ]
        return to_arrow(values, [(column.name, column.type) for column in columns])

    def _computed_rows(
        self,
        transaction: Transaction,
        statement: sql.Insert,
        columns: Sequence[Column],
        parameters: Sequence[object],
    ) -> pa.RecordBatch:
        """Rows that the engine computes: expressions, DEFAULT among values, or a query."""
        catalog = self._database.catalog
        assert catalog is not None
        plan = plan_insert(statement, catalog)
        table, _ = self._selector.run(plan.query, parameters, transaction)
        return cast_batch(table, [(column.name, column.type) for column in columns])

    def _complete(
        self, table: Table, columns: Sequence[Column], batch: pa.RecordBatch
    ) -> pa.RecordBatch:
        """The batch with every column of the table: defaults for those that were not named."""
        given = {column.id: place for place, column in enumerate(columns)}
        if len(given) == len(table.columns) and list(given) == [one.id for one in table.columns]:
            return batch
        arrays = []
        for column in table.columns:
            if column.id in given:
                arrays.append(batch.column(given[column.id]))
            else:
                arrays.append(self._default(column, batch.num_rows))
        fields = [pa.field(column.name, column.type.arrow) for column in table.columns]
        return pa.record_batch(arrays, schema=pa.schema(fields))

    def _default(self, column: Column, count: int) -> pa.Array:  # type: ignore[type-arg]
        if column.default is None:
            return pa.nulls(count, column.type.arrow)
        rows = pa.table({ORDINAL: pa.nulls(count, pa.bool_())})
        query = plan_check(f"{column.default}", ORDINAL)
        table = self._selector.engine.run(query, {ORDINAL: rows}, ())
        batch = cast_batch(table, [(column.name, column.type)])
        return batch.column(0)

    def add(self, transaction: Transaction, state: TableState, rows: pa.RecordBatch) -> None:
        """Add complete rows to a transaction, once they meet every constraint."""
        if rows.num_rows == 0:
            return
        self._check_rows(state.table, rows)
        view = transaction.view(state)
        ordinals = transaction.leases(state.table.id).ordinals(rows.num_rows)
        new = derive(state.table, state.keys, rows, ordinals)
        check_unique(view, new, NOTHING)
        transaction.overlay(state).add(new)

    def _check_rows(self, table: Table, rows: pa.RecordBatch) -> None:
        """NOT NULL and CHECK constraints."""
        check_not_null(table, rows)
        if not table.checks:
            return
        catalog = self._database.catalog
        assert catalog is not None
        key = (table.id, catalog.version)
        if key not in self._checks:
            self._checks[key] = [
                (check.name, plan_check(check.expression, table.name)) for check in table.checks
            ]
        source = pa.Table.from_batches([rows])
        for name, query in self._checks[key]:
            values = one_array(self._selector.engine.run(query, {table.name: source}, ()).column(0))
            if any(value is False for value in values.to_pylist()):
                raise err(
                    IntegrityError,
                    "E_CHECK",
                    f'a row violates CHECK constraint "{name}" of table "{table.name}"',
                )

    # --- UPDATE and DELETE --------------------------------------------------------------------------

    def _update(
        self, transaction: Transaction, statement: sql.Update, parameters: Sequence[object]
    ) -> Result:
        state = self.open(statement.table)
        catalog = self._database.catalog
        assert catalog is not None
        plan = plan_update(statement, catalog)
        ordinals, values = self._targets(transaction, state, plan, parameters)
        if len(ordinals) == 0:
            empty = empty_rows(state.table)
            return self._returning(statement, state, empty, "UPDATE 0", 0)
        assigned = [state.table.column_by_id(number) for number in plan.assigned]
        changed = cast_batch(values, [(column.name, column.type) for column in assigned])
        rows = self._merge(transaction, state, ordinals, assigned, changed)
        self._check_rows(state.table, rows)
        view = transaction.view(state)
        fresh = transaction.leases(state.table.id).ordinals(len(ordinals))
        new = derive(state.table, state.keys, rows, fresh)
        check_unique(view, new, ordinals)
        removal = remove(view, ordinals)
        overlay = transaction.overlay(state)
        overlay.remove(removal)
        overlay.add(new)
        count = len(ordinals)
        return self._returning(statement, state, rows, f"UPDATE {count}", count)

    def _targets(
        self,
        transaction: Transaction,
        state: TableState,
        plan: ChangePlan,
        parameters: Sequence[object],
    ) -> tuple[Ordinals, pa.Table]:
        """Ordinals to change, ascending, each once, and the other columns of the plan's query."""
        table, _ = self._selector.run(plan.query, parameters, transaction, state.table.id)
        place = table.schema.get_field_index(ORDINAL)
        ordinals = np.asarray(table.column(place).to_numpy(), dtype=np.int64)
        unique, first = np.unique(ordinals, return_index=True)
        rest = table.remove_column(place)
        return unique, rest.take(pa.array(first))

    def _merge(
        self,
        transaction: Transaction,
        state: TableState,
        ordinals: Ordinals,
        assigned: Sequence[Column],
        changed: pa.RecordBatch,
    ) -> pa.RecordBatch:
        """Rows with the assigned columns changed and the others as they were."""
        new = {column.id: place for place, column in enumerate(assigned)}
        kept = [column.id for column in state.table.columns if column.id not in new]
        order, arrays = transaction.view(state).fetch(ordinals, kept)
        places = pa.array(np.argsort(order))
        old = {
            number: one_array(array).take(places)  # type: ignore[arg-type]
            for number, array in zip(kept, arrays, strict=True)
        }
        columns = [
            changed.column(new[column.id]) if column.id in new else old[column.id]
            for column in state.table.columns
        ]
        fields = [pa.field(column.name, column.type.arrow) for column in state.table.columns]
        return pa.record_batch(columns, schema=pa.schema(fields))

    def _delete(
        self, transaction: Transaction, statement: sql.Delete, parameters: Sequence[object]
    ) -> Result:
        state = self.open(statement.table)
        catalog = self._database.catalog
        assert catalog is not None
        plan = plan_delete(statement, catalog)
        ordinals, _ = self._targets(transaction, state, plan, parameters)
        rows = empty_rows(state.table)
        if len(ordinals):
            view = transaction.view(state)
            if statement.returning:
                rows = self._merge(transaction, state, ordinals, (), empty_rows(state.table))
            transaction.overlay(state).remove(remove(view, ordinals))
        count = len(ordinals)
        return self._returning(statement, state, rows, f"DELETE {count}", count)

    def _returning(
        self,
        statement: sql.Insert | sql.Update | sql.Delete,
        state: TableState,
        rows: pa.RecordBatch,
        tag: str,
        count: int,
    ) -> Result:
        """The result of a change, with the rows that RETURNING asks for."""
        if not statement.returning:
            return done(tag, count)
        query = plan_returning(statement, state.table)
        source = {state.table.name: pa.Table.from_batches([rows])}
        table = self._selector.engine.run(query, source, ())
        return Result("rows", tag, result_columns(table), table, count)


def target_columns(table: Table, names: Sequence[str] | None) -> list[Column]:
    """The columns that an INSERT names, or all."""
    if names is None:
        return list(table.columns)
    return [table.column(name) for name in names]


def value_count(expected: int, found: int) -> ProgrammingError:
    """The error for a row of VALUES that is too short or too long."""
    return err(
        ProgrammingError,
        "E_VALUE_COUNT",
        f"INSERT names {expected} columns and gives {found} values",
    )


def empty_rows(table: Table) -> pa.RecordBatch:
    """No rows, with all columns of a table."""
    fields = [pa.field(column.name, column.type.arrow) for column in table.columns]
    return pa.RecordBatch.from_pylist([], schema=pa.schema(fields))


def one_batch(batches: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    """Batches of one schema as one."""
    if len(batches) == 1:
        return batches[0]
    table = pa.Table.from_batches(batches).combine_chunks()
    return pa.record_batch([one_array(column) for column in table.columns], schema=table.schema)
