"""Running a planned query: look up, fetch, and let the local engine answer.

For each base table the indexes give a superset of the rows the query needs; those rows are opened into
Arrow columns and the engine runs the original query over them. Tables with selective predicates are
fetched first, and what they hold narrows the tables joined to them.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from proxy.arrow import Array, Chunked, Ordinals
from proxy.catalog import Catalog, Index
from proxy.reading import ReadCounters
from proxy.result import Result
from proxy.snapshot import DatabaseState
from proxy.sql import statements as sql
from proxy.sql.compare import bind
from proxy.sql.explain import AccessReport, explain_plan
from proxy.sql.plan import QueryPlan, TableAccess, plan_query
from proxy.transaction import Transaction
from proxy.values import result_columns
from .local import LocalEngine
from .lookup import Lookup, candidates
from .match import IndexedMatch, covering_index, match_column
from .ordered import ordered_rows
from .view import TableView

PLAN_CACHE = 512
ORDINAL = "__ordinal"
SEMI_JOIN_KEYS = 20_000
"""A join is narrowed by the keys of the other side when there are at most this many."""
SEMI_JOIN_SHARE = 0.25
"""… and at most this share of the rows of the table that is narrowed."""


@dataclass(slots=True)
class Fetched:
    """What was read of one table, and how."""

    access: TableAccess
    table: pa.Table
    ordinals: Ordinals
    used: list[str] = field(default_factory=list)
    counters: ReadCounters = field(default_factory=ReadCounters)
    seconds: float = 0.0


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
        ordinals_of: int | None = None,
    ) -> tuple[pa.Table, list[Fetched]]:
        """Fetch what a plan needs and run it; ``ordinals_of`` names a table that keeps its ordinals."""
        fetched = self.fetch(plan, parameters, transaction, ordinals_of)
        tables = {one.access.name: one.table for one in fetched}
        chosen = [parameters[place] for place in plan.parameters]
        return self._engine().run(plan.sql, tables, chosen), fetched

    def view(self, table_id: int, transaction: Transaction | None) -> TableView:
        """One table as the transaction, if there is one, sees it."""
        state = self._database.tables[table_id]
        return transaction.view(state) if transaction is not None else TableView(state)

    def fetch(
        self,
        plan: QueryPlan,
        parameters: Sequence[object],
        transaction: Transaction | None,
        ordinals_of: int | None = None,
    ) -> list[Fetched]:
        """Look up and open the rows of every table of a plan."""
        found: dict[str, tuple[TableView, Ordinals | None, Access]] = {}
        for access in plan.accesses:
            view = self.view(access.table.id, transaction)
            one = Access(view, access, parameters)
            found[access.name] = (view, one.lookup(self._database), one)
        self._narrow(plan, found)
        return [
            one.open(ordinals, access.table.id == ordinals_of)
            for access in plan.accesses
            for _, ordinals, one in [found[access.name]]
        ]

    def _narrow(
        self,
        plan: QueryPlan,
        found: dict[str, tuple[TableView, Ordinals | None, Access]],
    ) -> None:
        """Semi-join reduction: the keys of a small side narrow the other side of its joins."""
        done: set[int] = set()
        progress = True
        while progress:
            progress = False
            for number, join in enumerate(plan.joins):
                if number in done:
                    continue
                source_view, source, source_access = found[join.source]
                target_view, target, target_access = found[join.target]
                index = equality_index(target_access.access, join.target_column)
                if source is None or index is None:
                    continue
                limit = min(SEMI_JOIN_KEYS, SEMI_JOIN_SHARE * target_view.count())
                if len(source) > limit or (target is not None and len(target) <= len(source)):
                    continue
                keys = source_access.column(source, join.source_column)
                words = target_access.words(index, keys)
                narrowed = candidates(target_view, words)
                if target is not None:
                    narrowed = np.intersect1d(target, narrowed, assume_unique=True)
                target_access.used.append(index.name)
                found[join.target] = (target_view, narrowed, target_access)
                done.add(number)
                progress = True

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
        reports: list[AccessReport] | None = None
        seconds = 0.0
        if analyze:
            started = time.perf_counter()
            _, fetched = self.run(plan, parameters, transaction)
            seconds = time.perf_counter() - started
            reports = [report_of(one) for one in fetched]
        lines = explain_plan(plan, reports, seconds)
        table = pa.table({"QUERY PLAN": pa.array(lines, pa.string())})
        return Result("rows", "EXPLAIN", (("QUERY PLAN", "TEXT"),), table, len(lines))

    def show(self, statement: sql.Show) -> Result:
        """The value of a setting."""
        table = pa.table({statement.name: pa.array([statement.value], pa.string())})
        return Result("rows", "SHOW", ((statement.name, "TEXT"),), table, 1)


class Access:
    """One table access of a plan, on its way from predicate to Arrow table."""

    def __init__(
        self, view: TableView, access: TableAccess, parameters: Sequence[object]
    ) -> None:
        self.view = view
        self.access = access
        self._parameters = parameters
        self._matched: dict[int, tuple[Index, IndexedMatch, Ordinals] | None] = {}
        self.used: list[str] = []
        self._counters = view.state.channel.counters.copy()
        self._started = time.perf_counter()

    def lookup(self, database: DatabaseState) -> Ordinals | None:
        """Candidates by index, or None for all rows."""
        access = self.access
        predicate = access.predicate
        if predicate is None:
            found = None
        else:
            bound = bind(predicate, access.table, self._parameters)
            lookup = Lookup(self.view, self._match)
            found = lookup.find(bound)
            self.used = lookup.used
        if found is None and access.ordered is not None:
            ordered = ordered_rows(self.view, access.ordered, self._parameters)
            if ordered is not None:
                index, found = ordered
                self.used.append(index.name)
        return found

    def _match(self, number: int) -> tuple[Index, Ordinals] | None:
        found = self._evaluate(number)
        return None if found is None else (found[0], found[2])

    def _evaluate(self, number: int) -> tuple[Index, IndexedMatch, Ordinals] | None:
        if number not in self._matched:
            match = self.access.matches[number]
            text = match.text(self._parameters)
            index = covering_index(self.access.table, match.columns)
            if index is None or text is None:
                self._matched[number] = None
            else:
                one = IndexedMatch(self.view, index, match.columns, text)
                self._matched[number] = (index, one, one.ordinals())
        return self._matched[number]

    def column(self, ordinals: Ordinals, column_id: int) -> Array:
        """Distinct values of one column for some rows."""
        _, arrays = self.view.fetch(ordinals, [column_id])
        return pc.unique(arrays[0]).drop_null()

    def words(self, index: Index, keys: Array) -> npt.NDArray[np.uint64]:
        """Index words of join keys, cast to the type of the index's column."""
        from indexes.methods import equality

        kind = self.access.table.column_by_id(index.columns[0]).type
        prf = self.view.state.keys.index_words(index.id)
        words, valid = equality.words(prf, [keys.cast(kind.arrow)], [kind])
        return np.unique(words[valid])

    def open(self, ordinals: Ordinals | None, with_ordinals: bool) -> Fetched:
        """Open the rows into an Arrow table for the engine."""
        view, access = self.view, self.access
        if ordinals is None and not access.columns and not access.matches and not with_ordinals:
            table = pa.table({ORDINAL: pa.nulls(view.count(), pa.bool_())})
            return self._fetched(table, np.empty(0, dtype=np.int64))
        wanted = view.live() if ordinals is None else ordinals
        column_ids = [column.id for column in access.table.columns if column.id in access.columns]
        order, arrays = view.fetch(wanted, column_ids)
        names = [access.table.column_by_id(number).name for number in column_ids]
        values: list[pa.Array | Chunked] = list(arrays)
        for number, match in enumerate(access.matches):
            found = self._evaluate(number)
            names.append(match.name)
            text = match.text(self._parameters)
            known = None if found is None or found[1].query.complemented else found[2]
            values.append(match_column(view, order, match.columns, text, known))
        if with_ordinals or not names:
            names.append(ORDINAL)
            values.append(pa.array(order))
        return self._fetched(pa.table(values, names=names), order)

    def _fetched(self, table: pa.Table, ordinals: Ordinals) -> Fetched:
        return Fetched(
            self.access,
            table,
            ordinals,
            self.used,
            self.view.state.channel.counters.minus(self._counters),
            time.perf_counter() - self._started,
        )


def equality_index(access: TableAccess, column_id: int) -> Index | None:
    """The equality index of one column, or None."""
    for index in access.table.indexes:
        if index.method == "equality" and index.columns == (column_id,):
            return index
    return None


def report_of(fetched: Fetched) -> AccessReport:
    """What EXPLAIN ANALYZE says of one table."""
    counters = fetched.counters
    return AccessReport(
        name=fetched.access.name,
        indexes=tuple(fetched.used),
        rows=fetched.table.num_rows,
        pages=counters.pages,
        cached_pages=counters.cached_pages,
        blobs=counters.rows + counters.packs,
        bytes=counters.bytes,
        store_seconds=counters.store_seconds,
        seconds=fetched.seconds,
    )
