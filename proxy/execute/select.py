"""Running a planned query: look up, fetch, and let the local engine answer.

For each base table the indexes give a superset of the rows the query needs; those rows are opened into
Arrow columns and the engine runs the original query over them. Tables with selective predicates are
looked up first, and what they hold narrows the tables joined to them (semi-join reduction).
"""

from __future__ import annotations

import datetime as dt
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence

import pyarrow as pa

from proxy.catalog import Catalog, Index
from proxy.leakage.planned import Plan, planned
from proxy.leakage.shape import shape_of
from proxy.result import Result
from proxy.snapshot import DatabaseState
from proxy.sql import statements as sql
from proxy.sql.access import QueryPlan, SemiJoin, TableAccess, engine_parameters
from proxy.sql.explain import explain, explain_analyze
from proxy.sql.plan import plan_query
from proxy.sql.serving import det_index, join_group
from proxy.statistics.words import words_of_choice
from proxy.transaction import Transaction
from proxy.values import result_columns

from .access import Access, Fetched
from .bystore import groups_by_store, side_of_join
from .exchange import normal
from .joined import meet
from .local import LocalEngine
from .probes.base import FEW
from .view import TableView

PLAN_CACHE = 512
Direction = tuple[int, int, int, int]
"""A reduction: the access and column by which, and the access and column that is reduced."""
SEMI_JOIN_KEYS = 20_000
"""A join is narrowed by the keys of the other side when there are at most this many rows."""
SEMI_JOIN_SHARE = 0.25
"""… and, without statistics, at most this share of the rows of the table that is narrowed."""
DIRECT_ROWS = 64
"""Results of at most this many rows may skip the engine."""


class Selector:
    """Answers queries from the verified state.

    Args:
        database: the verified state.
        engine: gives the local engine.
    """

    def __init__(self, database: DatabaseState, engine: Callable[[], LocalEngine]) -> None:
        self._database = database
        self._engine = engine
        self._plans: OrderedDict[tuple[str, int], QueryPlan] = OrderedDict()

    @property
    def engine(self) -> LocalEngine:
        """The local engine."""
        return self._engine()

    def plan(self, statement: sql.Query) -> QueryPlan:
        """The plan of a query under the current catalog, cached by its text."""
        catalog = self._catalog()
        key = (statement.source, catalog.version)
        known = self._plans.get(key)
        if known is None:
            known = self._plans[key] = plan_query(statement, catalog)
            if len(self._plans) > PLAN_CACHE:
                self._plans.popitem(last=False)
        return known

    def _catalog(self) -> Catalog:
        catalog = self._database.catalog
        assert catalog is not None
        return catalog

    def query(
        self,
        statement: sql.Query,
        parameters: Sequence[object],
        transaction: Transaction | None,
    ) -> Result:
        """Run a query."""
        plan = self.plan(statement)
        self._database.ensure(access.table for access in plan.accesses)
        table = self._direct(plan, parameters, transaction)
        if table is None:
            table, _ = self.run(plan, parameters, transaction)
        return Result(
            kind="rows",
            tag=f"SELECT {table.num_rows}",
            columns=result_columns(table),
            table=table,
            rowcount=table.num_rows,
        )

    def run(
        self,
        plan: QueryPlan,
        parameters: Sequence[object],
        transaction: Transaction | None,
    ) -> tuple[pa.Table, list[Fetched]]:
        """Fetch what a plan needs and let the engine run it."""
        self._database.ensure(access.table for access in plan.accesses)
        now = transaction.started if transaction is not None else dt.datetime.now(dt.UTC)
        text, numbers = plan.sql, plan.parameters
        fetched = self._groups(plan, parameters, transaction)
        if fetched and plan.grouped is not None:
            text, numbers = plan.grouped.sql, plan.grouped.parameters
        else:
            fetched = self.fetch(plan, parameters, transaction)
        tables = {one.access.name: one.table for one in fetched}
        table = self.engine.run(text, tables, engine_parameters(numbers, parameters, now))
        return table, fetched

    def _groups(
        self,
        plan: QueryPlan,
        parameters: Sequence[object],
        transaction: Transaction | None,
    ) -> list[Fetched]:
        """What a query of groups needs, if the store can count them; else nothing."""
        if plan.grouped is None:
            return []
        (access,) = plan.accesses
        one = Access(self.view(access.table.id, transaction), access, parameters)
        found = groups_by_store(one, plan.grouped.index)
        return [] if found is None else [found]

    def view(self, table_id: int, transaction: Transaction | None) -> TableView:
        """One table as the transaction, if there is one, sees it."""
        state = self._database.tables[table_id]
        return transaction.view(state) if transaction is not None else TableView(state)

    def fetch(
        self,
        plan: QueryPlan,
        parameters: Sequence[object],
        transaction: Transaction | None,
    ) -> list[Fetched]:
        """Look up and open the rows of every table of a plan."""
        found = [
            Access(self.view(access.table.id, transaction), access, parameters)
            for access in plan.accesses
        ]
        self._read_statistics(found)
        for one in found:
            one.lookup()
        self._narrow(plan.joins, found)
        return [one.open() for one in found]

    def _read_statistics(self, accesses: Sequence[Access]) -> None:
        """Have the statistics of several tables read together, where they were not read before."""
        unread = [
            one.view.state.statistics.read
            for one in accesses
            if one.access.predicate is not None
            and one.view.count() > FEW
            and not one.view.state.statistics.cached
        ]
        if len(unread) > 1:
            self._database.channel.together(unread)

    def _narrow(self, joins: Sequence[SemiJoin], found: Sequence[Access]) -> None:
        """Semi-join reduction: the keys of a small side narrow the other side of its joins."""
        directions: list[Direction] = [
            (source, source_column, target, target_column)
            for join in joins
            for source, source_column, target, target_column, legal in (
                (join.left, join.left_column, join.right, join.right_column, join.to_right),
                (join.right, join.right_column, join.left, join.left_column, join.to_left),
            )
            if legal
        ]
        progress = True
        while progress:
            progress = False
            for direction in directions:
                done = _reduce(direction, directions, found)
                if done:
                    directions = [one for one in directions if one not in done]
                    progress = True
                    break

    def _direct(
        self,
        plan: QueryPlan,
        parameters: Sequence[object],
        transaction: Transaction | None,
    ) -> pa.Table | None:
        """Rule 12: a few rows of one table, found exactly by an index, need no engine."""
        if plan.direct is None or len(plan.accesses) != 1:
            return None
        access = plan.accesses[0]
        one = Access(self.view(access.table.id, transaction), access, parameters)
        table = one.direct(plan.direct, DIRECT_ROWS)
        return None if table is None else normal(table)

    def explain(
        self,
        statement: sql.Query,
        parameters: Sequence[object],
        transaction: Transaction | None,
        *,
        analyze: bool,
    ) -> Result:
        """The plan as text; with ``analyze``, run it and say what it read."""
        plan = self.plan(statement)
        self._database.ensure(access.table for access in plan.accesses)
        choices = self.choices(plan, parameters, transaction)
        if not analyze:
            return explained(explain(plan, choices))
        started = time.perf_counter()
        _, fetched = self.run(plan, parameters, transaction)
        seconds = time.perf_counter() - started - sum(one.seconds for one in fetched)
        stats = [one.stats() for one in fetched]
        return explained(explain_analyze(plan, stats, seconds * 1000, choices))

    def choices(
        self,
        plan: QueryPlan | None,
        parameters: Sequence[object],
        transaction: Transaction | None,
    ) -> list[list[str]]:
        """For each access of a plan what is chosen for it, in words; statistics are read for it."""
        if plan is None:
            return []
        self._database.ensure(access.table for access in plan.accesses)
        found: list[list[str]] = []
        for access in plan.accesses:
            one = Access(self.view(access.table.id, transaction), access, parameters)
            report = one.outlook()
            found.append([] if report is None else words_of_choice(access.name, report))
        return found

    def explain_leakage(
        self, plan: Plan, parameters: Sequence[object], transaction: Transaction | None
    ) -> Result:
        """The messages that a statement would send, and what each would tell the store."""
        query = plan if isinstance(plan, QueryPlan) else plan.query
        accesses = () if query is None else query.accesses
        tables = [access.table for access in accesses]
        tables += [] if isinstance(plan, QueryPlan) else [plan.table]
        self._database.ensure(tables)
        chosen: list[list[str] | None] = []
        for access in accesses:
            one = Access(self.view(access.table.id, transaction), access, parameters)
            report = one.outlook()
            chosen.append(
                None if report is None else [n for step in report.steps for n in step.names]
            )
        shapes = {table.id: shape_of(self._database.tables[table.id]) for table in tables}
        return explained(planned(plan, shapes, chosen))

    def show(self, statement: sql.Show) -> Result:
        """The value of a setting."""
        table = pa.table({statement.name: pa.array([statement.value], pa.string())})
        return Result("rows", "SHOW", ((statement.name, "TEXT"),), table, 1)


def worth_narrowing(target: Access, index: Index, keys: int) -> bool:
    """Whether a table is to be narrowed to the rows of so many keys: by statistics, or by shares."""
    if keys > SEMI_JOIN_KEYS:
        return False
    known = target.worth_narrowing(index, keys)
    if known is not None:
        return known
    if keys > SEMI_JOIN_SHARE * target.view.count():
        return False
    return target.ordinals is None or len(target.ordinals) > keys


def explained(lines: list[str]) -> Result:
    """A plan's lines as a result."""
    table = pa.table({"QUERY PLAN": pa.array(lines, pa.string())})
    return Result("rows", "EXPLAIN", (("QUERY PLAN", "TEXT"),), table, len(lines))


def equality_index(access: TableAccess, column_id: int) -> Index | None:
    """The index that finds many values of one column in the fewest steps, or None."""
    by_store = det_index(access.table, column_id)
    if by_store is not None:
        return by_store
    for index in access.table.indexes:
        if index.method == "equality" and index.columns == (column_id,):
            return index
    return None


def _back(direction: Direction) -> Direction:
    """The converse of a reduction."""
    source, source_column, target, target_column = direction
    return target, target_column, source, source_column


def _reduce(
    direction: Direction, legal: Sequence[Direction], found: Sequence[Access]
) -> tuple[Direction, ...]:
    """Narrow one side of a join by the other, if that can be done and is worth it; the reductions that were made."""
    source, target = found[direction[0]], found[direction[2]]
    back = _back(direction) in legal
    if _meet(source, target, direction, back=back):
        return (direction, _back(direction)) if back else (direction,)
    index = equality_index(target.access, direction[3])
    if source.ordinals is None or index is None:
        return ()
    if not worth_narrowing(target, index, len(source.ordinals)):
        return ()
    target.narrow(index, source.column(direction[1]))
    return (direction,)


def _meet(source: Access, target: Access, direction: Direction, *, back: bool) -> bool:
    """Let the store narrow one side of a join by the other, and with ``back`` the other as well.

    Returns:
        False when it cannot, or when the side to narrow by is not made small by what the store knows.
    """
    tables = source.access.table, target.access.table
    if join_group(tables[0], direction[1], tables[1], direction[3]) is None:
        return False
    known, other = side_of_join(source, direction[1]), side_of_join(target, direction[3])
    if known is None or other is None or (source.ordinals is not None and not known.conditions):
        return False
    rows = source.view.count() if source.ordinals is None else len(source.ordinals)
    if not worth_narrowing(target, other.index, rows):
        return False
    left, right = meet(known, other)
    target.met(other, right)
    if back:
        source.met(known, left)
    return True
