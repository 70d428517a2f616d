"""INSERT, UPDATE and DELETE: new values in, an overlay of the transaction out.

A statement computes all its new rows, checks every constraint on them, and only then changes the
transaction, so a failing statement leaves nothing behind.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from decimal import Context, Decimal
from functools import lru_cache

import numpy as np
import pyarrow as pa

from encdb.errors import IntegrityError, NotSupportedError, err
from indexes.types import ColumnType, Kind
from proxy.arrow import Array, Ordinals, one_array, one_batch, pick
from proxy.catalog import Catalog, Column, Table
from proxy.derive import derive, position_of
from proxy.result import Result, done
from proxy.snapshot import DatabaseState
from proxy.sql import statements as sql
from proxy.sql.access import QueryPlan
from proxy.sql.names import ORDINAL
from proxy.sql.predicates import Literal, Operand
from proxy.sql.write import (
    DeletePlan,
    InsertPlan,
    Shifted,
    UpdatePlan,
    plan_checks,
    plan_delete,
    plan_insert,
    plan_update,
)
from proxy.state import TableState
from proxy.transaction import Transaction
from proxy.values import cast_batch, result_columns, to_arrow

from .access import Access
from .exchange import engine_table, normal
from .select import Selector
from .write import check_not_null, check_unique, fresh_ordinals, remove

NOTHING: Ordinals = np.empty(0, dtype=np.int64)
PLAN_CACHE = 512
DIRECT_ROWS = 64
_BITS = {Kind.SMALLINT: 16, Kind.INTEGER: 32, Kind.BIGINT: 64}
_WIDE = Context(prec=80)
"""Sums of DECIMALs are exact in it."""
ChangePlan = InsertPlan | UpdatePlan | DeletePlan


class Changer:
    """Carries out changes within a transaction.

    Args:
        database: the verified state.
        selector: runs the queries that changes need.
    """

    def __init__(self, database: DatabaseState, selector: Selector) -> None:
        self._database = database
        self._selector = selector
        self._plans: OrderedDict[tuple[str, int], ChangePlan] = OrderedDict()
        self._checks: dict[tuple[int, int], QueryPlan | None] = {}

    def run(
        self, transaction: Transaction, statement: sql.Statement, parameters: Sequence[object]
    ) -> Result:
        """Carry out one statement."""
        plan = self.plan(statement)
        if isinstance(plan, InsertPlan):
            return self._insert(transaction, plan, [parameters])
        if isinstance(plan, UpdatePlan):
            return self._update(transaction, plan, parameters)
        return self._delete(transaction, plan, parameters)

    def insert_many(
        self,
        transaction: Transaction,
        statement: sql.Insert,
        rows: Sequence[Sequence[object]],
    ) -> Result:
        """One INSERT … VALUES for many rows of parameters, as one batch."""
        plan = self.plan(statement)
        assert isinstance(plan, InsertPlan)
        return self._insert(transaction, plan, rows) if rows else done("INSERT 0 0", 0)

    def _catalog(self) -> Catalog:
        catalog = self._database.catalog
        assert catalog is not None
        return catalog

    def plan(self, statement: sql.Statement) -> ChangePlan:
        """The plan of a change under the current catalog, cached by its text."""
        catalog = self._catalog()
        key = (statement.source, catalog.version)
        known = self._plans.get(key)
        if known is not None:
            return known
        match statement:
            case sql.Insert():
                known = plan_insert(statement, catalog)
            case sql.Update():
                known = plan_update(statement, catalog)
            case sql.Delete():
                known = plan_delete(statement, catalog)
            case _:
                raise err(
                    NotSupportedError,
                    "E_NOT_SUPPORTED",
                    f"EXPLAIN of {type(statement).__name__} is not served",
                )
        self._plans[key] = known
        if len(self._plans) > PLAN_CACHE:
            self._plans.popitem(last=False)
        return known

    def _open(self, table: Table) -> TableState:
        """The verified state of a table that is to be changed."""
        self._database.ensure([table])
        return self._database.tables[table.id]

    # --- INSERT -------------------------------------------------------------------------------------

    def _insert(
        self, transaction: Transaction, plan: InsertPlan, parameter_rows: Sequence[Sequence[object]]
    ) -> Result:
        state = self._open(plan.table)
        columns = [plan.table.column_by_id(number) for number in plan.columns]
        described = [(column.name, column.type) for column in columns]
        if plan.rows is not None:
            batch = to_arrow(literal_rows(plan.rows, parameter_rows), described)
        else:
            assert plan.query is not None
            batches = []
            for parameters in parameter_rows:
                table, _ = self._selector.run(plan.query, parameters, transaction)
                batches.append(cast_batch(table, described))
            batch = one_batch(batches)
        rows = in_order(plan.table, columns, batch)
        self._add(transaction, state, rows)
        return self._result(plan.returning, plan.table, rows, "INSERT 0", rows.num_rows)

    def _add(self, transaction: Transaction, state: TableState, rows: pa.RecordBatch) -> None:
        """Add complete rows to a transaction, once they meet every constraint."""
        if rows.num_rows == 0:
            return
        self.check_rows(state.table, rows)
        view = transaction.view(state)
        ordinals = fresh_ordinals(view, transaction.leases(state.table.id), rows.num_rows)
        new = derive(state.table, state.keys, rows, ordinals)
        check_unique(view, new, NOTHING)
        transaction.overlay(state).add(new)

    def check_rows(self, table: Table, rows: pa.RecordBatch) -> None:
        """NOT NULL and CHECK constraints.

        Raises:
            IntegrityError: E_NOT_NULL or E_CHECK.
        """
        check_not_null(table, rows)
        if not table.checks:
            return
        catalog = self._catalog()
        key = (table.id, catalog.version)
        if key not in self._checks:
            self._checks[key] = plan_checks(table, catalog)
        plan = self._checks[key]
        assert plan is not None
        source = self._engine_rows(table, rows, plan)
        answer = self._selector.engine.run(plan.sql, {table.name: source}, ())
        for check, column in zip(table.checks, answer.columns, strict=True):
            if column[0].as_py() is not True:
                raise err(
                    IntegrityError,
                    "E_CHECK",
                    f'a row violates CHECK constraint "{check.name}" of table "{table.name}"',
                )

    def _engine_rows(self, table: Table, rows: pa.RecordBatch, plan: QueryPlan) -> pa.Table:
        """Rows as the engine's table, with the columns that a plan over them needs."""
        needed = {number for access in plan.accesses for number in access.columns}
        places = [place for place, one in enumerate(table.columns) if one.id in needed]
        return engine_table(
            [(table.columns[place].name, table.columns[place].type) for place in places],
            [rows.column(place) for place in places],
            rows.num_rows,
        )

    # --- UPDATE and DELETE --------------------------------------------------------------------------

    def _update(
        self, transaction: Transaction, plan: UpdatePlan, parameters: Sequence[object]
    ) -> Result:
        state = self._open(plan.table)
        assigned = [plan.table.column_by_id(number) for number in plan.columns]
        found = self._simply(transaction, state, plan, parameters)
        if found is None:
            described = [(column.name, column.type) for column in assigned]
            ordinals, table = self._targets(transaction, plan.query, parameters)
            kept = [one.id for one in plan.table.columns if one.id not in plan.columns]
            old = self._old(transaction, state, ordinals, kept)
            changed = cast_batch(table, described)
        else:
            ordinals, old, changed = found
        rows = (
            merged(plan.table, old, assigned, changed) if len(ordinals) else empty_rows(plan.table)
        )
        if len(ordinals):
            self.check_rows(plan.table, rows)
            view = transaction.view(state)
            fresh = fresh_ordinals(view, transaction.leases(plan.table.id), len(ordinals))
            new = derive(plan.table, state.keys, rows, fresh)
            check_unique(view, new, ordinals, plan.columns)
            removal = remove(view, ordinals)
            overlay = transaction.overlay(state)
            overlay.remove(removal)
            overlay.add(new)
        return self._result(plan.returning, plan.table, rows, "UPDATE", len(ordinals))

    def _delete(
        self, transaction: Transaction, plan: DeletePlan, parameters: Sequence[object]
    ) -> Result:
        state = self._open(plan.table)
        ordinals = self._direct_targets(transaction, state, plan.query, parameters)
        if ordinals is None:
            ordinals, _ = self._targets(transaction, plan.query, parameters)
        rows = empty_rows(plan.table)
        if plan.returning is not None and len(ordinals):
            everything = [column.id for column in plan.table.columns]
            rows = merged(plan.table, self._old(transaction, state, ordinals, everything), (), rows)
        if len(ordinals):
            removal = remove(transaction.view(state), ordinals)
            transaction.overlay(state).remove(removal)
        return self._result(plan.returning, plan.table, rows, "DELETE", len(ordinals))

    def _direct_targets(
        self,
        transaction: Transaction,
        state: TableState,
        query: QueryPlan,
        parameters: Sequence[object],
    ) -> Ordinals | None:
        """Ordinals of the rows to change, found without the engine, or None."""
        if query.direct is None or len(query.accesses) != 1:
            return None
        one = Access(transaction.view(state), query.accesses[0], parameters)
        return one.exact_ordinals(DIRECT_ROWS)

    def _targets(
        self, transaction: Transaction, query: QueryPlan, parameters: Sequence[object]
    ) -> tuple[Ordinals, pa.Table]:
        """Ordinals to change, ascending, each once, and the other columns of the plan's query."""
        table, _ = self._selector.run(query, parameters, transaction)
        place = table.schema.get_field_index(ORDINAL)
        ordinals = np.asarray(table.column(place).to_numpy(), dtype=np.int64)
        unique, first = np.unique(ordinals, return_index=True)
        return unique, table.remove_column(place).take(pa.array(first))  # type: ignore[arg-type]

    def _simply(
        self,
        transaction: Transaction,
        state: TableState,
        plan: UpdatePlan,
        parameters: Sequence[object],
    ) -> tuple[Ordinals, dict[int, Array], pa.RecordBatch] | None:
        """What :meth:`_update` needs, found without the engine: rows, old values, new values.

        None when the engine has to find the rows or compute the values, or to say what is wrong with
        them.
        """
        if plan.simple is None:
            return None
        ordinals = self._direct_targets(transaction, state, plan.query, parameters)
        if ordinals is None:
            return None
        shifted = [one.column for one in plan.simple if isinstance(one, Shifted)]
        kept = [one.id for one in plan.table.columns if one.id not in plan.columns]
        old = self._old(transaction, state, ordinals, [*dict.fromkeys([*kept, *shifted])])
        assigned = [plan.table.column_by_id(number) for number in plan.columns]
        columns: list[Sequence[object]] = []
        for cell, column in zip(plan.simple, assigned, strict=True):
            if not isinstance(cell, Shifted):
                columns.append(literal_rows([[cell]], [parameters])[0] * len(ordinals))
                continue
            (by,) = literal_rows([[cell.by]], [parameters])[0]
            values = shift(old[cell.column].to_pylist(), by, column.type, minus=cell.minus)
            if values is None:
                return None
            columns.append(values)
        described = [(column.name, column.type) for column in assigned]
        changed = to_arrow([list(row) for row in zip(*columns, strict=True)], described)
        return ordinals, old, changed

    def _old(
        self,
        transaction: Transaction,
        state: TableState,
        ordinals: Ordinals,
        column_ids: Sequence[int],
    ) -> dict[int, Array]:
        """Values of columns by id, in the order of ``ordinals``."""
        if len(ordinals) == 0:
            nothing = empty_rows(state.table)
            return {
                number: nothing.column(position_of(state.table, number)) for number in column_ids
            }
        if not column_ids:
            return {}
        order, arrays = transaction.view(state).fetch(ordinals, column_ids)
        whole = {number: one_array(array) for number, array in zip(column_ids, arrays, strict=True)}
        if np.array_equal(order, ordinals):
            return whole
        places = np.argsort(order)
        return {number: pick(array, places) for number, array in whole.items()}

    def _result(
        self,
        returning: QueryPlan | None,
        table: Table,
        rows: pa.RecordBatch,
        tag: str,
        count: int,
    ) -> Result:
        """The result of a change, with the rows that RETURNING asks for."""
        if returning is None:
            return done(f"{tag} {count}", count)
        if returning.direct is not None:
            columns = [table.column_by_id(one.column) for one in returning.direct]
            described = [
                (one.name, column.type)
                for one, column in zip(returning.direct, columns, strict=True)
            ]
            places = [position_of(table, column.id) for column in columns]
            answer = normal(
                engine_table(described, [rows.column(one) for one in places], rows.num_rows)
            )
            return Result("rows", f"{tag} {count}", result_columns(answer), answer, count)
        source = {table.name: self._engine_rows(table, rows, returning)}
        answer = self._selector.engine.run(returning.sql, source, ())
        return Result("rows", f"{tag} {count}", result_columns(answer), answer, count)


def shift(
    values: Sequence[int | Decimal | None], by: object, kind: ColumnType, *, minus: bool
) -> list[int | Decimal | None] | None:
    """Values plus or minus a number, as SQL computes them in an exact type.

    Args:
        values: values of the type.
        by: a literal or parameter.
        kind: SMALLINT, INTEGER, BIGINT or DECIMAL.
        minus: whether ``by`` is subtracted.

    Returns:
        None when ``by`` is no number that keeps the type exact, or a result does not fit the type.
    """
    if by is None:
        return [None] * len(values)
    amount: int | Decimal
    low: int | Decimal
    high: int | Decimal
    if kind.kind is Kind.DECIMAL:
        assert kind.precision is not None
        assert kind.scale is not None
        if type(by) is int:
            amount = Decimal(by)
        elif (
            type(by) is Decimal
            and by.is_finite()
            and -int(by.as_tuple().exponent) <= kind.scale
            # Nothing of the type plus or minus a larger one fits; a much larger one could not be added.
            and by.adjusted() <= kind.precision - kind.scale
        ):
            amount = by
        else:
            return None
        high = Decimal((0, (9,) * kind.precision, -kind.scale))
        low = -high
    elif type(by) is int and by.bit_length() < 64:
        bound = 1 << _BITS[kind.kind] - 1
        amount, low, high = by, -bound, bound - 1
    else:
        return None
    found: list[int | Decimal | None] = []
    for value in values:
        if value is None:
            found.append(None)
            continue
        result: int | Decimal
        if isinstance(amount, int):
            result = int(value) - amount if minus else int(value) + amount
        else:
            result = _WIDE.subtract(value, amount) if minus else _WIDE.add(value, amount)
        if not low <= result <= high:
            return None
        found.append(result)
    return found


def merged(
    table: Table, old: dict[int, Array], assigned: Sequence[Column], changed: pa.RecordBatch
) -> pa.RecordBatch:
    """Rows with the assigned columns changed and the others as they were."""
    new = {column.id: place for place, column in enumerate(assigned)}
    columns = [
        changed.column(new[column.id]) if column.id in new else old[column.id]
        for column in table.columns
    ]
    return pa.record_batch(columns, schema=schema_of(table))


def literal_rows(
    rows: Sequence[Sequence[Operand]], parameter_rows: Sequence[Sequence[object]]
) -> list[list[object]]:
    """Rows of constants and parameters, once for each row of parameters."""
    return [
        [one.value if isinstance(one, Literal) else parameters[one.index] for one in row]
        for parameters in parameter_rows
        for row in rows
    ]


def in_order(table: Table, columns: Sequence[Column], batch: pa.RecordBatch) -> pa.RecordBatch:
    """A batch whose columns are all those of the table, brought into the table's order."""
    places = {column.id: place for place, column in enumerate(columns)}
    arrays = [batch.column(places[column.id]) for column in table.columns]
    return pa.record_batch(arrays, schema=schema_of(table))


@lru_cache(maxsize=256)
def schema_of(table: Table) -> pa.Schema:
    """The Arrow schema of a table's rows."""
    return pa.schema([(column.name, column.type.arrow) for column in table.columns])


def empty_rows(table: Table) -> pa.RecordBatch:
    """No rows, with all columns of a table."""
    return pa.RecordBatch.from_pylist([], schema=schema_of(table))
