"""One table of a plan, on its way from predicate to Arrow table."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from indexes.types import ColumnType, Kind
from proxy.arrow import Array, Chunked, Ordinals, one_array, pick
from proxy.catalog import Index
from proxy.covering import Covered
from proxy.keyspace import scheme_of
from proxy.reading import ReadCounters
from proxy.sql.access import DirectOutput, MatchColumn, OrderedAccess, TableAccess
from proxy.sql.compare import Bound, bind
from proxy.sql.explain import AccessStats
from proxy.sql.names import ORDINAL
from proxy.sql.predicates import EVERYTHING, And, Equals, Literal, Operand, Predicate
from proxy.statistics.choice import Report, Step
from proxy.statistics.cost import Costs
from proxy.statistics.estimate import Estimator
from proxy.statistics.words import words_of_step

from .bystore import ends_by_store
from .exchange import engine_table
from .folding import engine_folds_alike
from .joined import Side
from .lookup import Lookup
from .match import IndexedMatch, covering_index, is_listed, match_column
from .ordered import End, ends, rows_at
from .probes import Context
from .probes.base import candidates, constants, literal
from .probes.equality import words_of_arrays
from .view import TableView
from .visible import Claimed, Conditions, rows_of

_INTEGER_BITS = {Kind.SMALLINT: 16, Kind.INTEGER: 32, Kind.BIGINT: 64}


@dataclass(slots=True)
class Fetched:
    """What was read of one table, and how."""

    access: TableAccess
    table: pa.Table
    used: list[str] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    live: int = 0
    counters: ReadCounters = field(default_factory=ReadCounters)
    seconds: float = 0.0

    def stats(self) -> AccessStats:
        """The figures of EXPLAIN ANALYZE."""
        store = self.counters.store_seconds
        return AccessStats(
            indexes=tuple(self.used),
            pages=self.counters.pages,
            rows=self.table.num_rows,
            bytes=self.counters.bytes,
            store_ms=store * 1000,
            open_ms=max(self.seconds - store, 0.0) * 1000,
            round_trips=self.counters.round_trips,
            steps=tuple(map(words_of_step, self.steps)),
        )


class Access:
    """One table access of a plan with its parameters.

    Attributes:
        ordinals: candidates so far, ascending; None for all live rows.
        claims: what the store has said of candidates, to be verified with what is opened of them.
    """

    def __init__(self, view: TableView, access: TableAccess, parameters: Sequence[object]) -> None:
        self.view = view
        self.access = access
        self.ordinals: Ordinals | None = None
        self.used: list[str] = []
        self.steps: list[Step] = []
        self.claims: list[Claimed] = []
        self._parameters = parameters
        self._covered = Covered(access.table)
        self._matched: dict[int, tuple[Index, IndexedMatch, Ordinals] | None] = {}
        self._before = view.state.channel.counters.copy()
        self._started = time.perf_counter()

    def outlook(self) -> Report | None:
        """What :meth:`lookup` does for a predicate if the estimates are right; it only reads statistics."""
        bound = self.bound()
        if bound is None or self._ends(bound) is not None or ends_by_store(self, bound) is not None:
            return None
        return Lookup(self.context).outlook(bound.predicate)

    def lookup(self) -> None:
        """Find candidates by index."""
        self.used = []
        bound = self.bound()
        shown = ends_by_store(self, bound)
        if shown is not None and shown.read(self):
            return
        ends = self._ends(bound)
        if ends is not None:
            found = rows_at(self.context, ends)
            if found is not None:
                self.ordinals = found
                self.used = list(dict.fromkeys(one.index.name for one in ends))
                return
        if bound is not None:
            lookup = Lookup(self.context)
            self.ordinals = lookup.find(bound.predicate)
            self.used, self.steps = lookup.used, lookup.steps

    def bound(self) -> Bound | None:
        """What WHERE says, with its parameters; None when it says nothing that an index could serve."""
        predicate, table = self.access.predicate, self.access.table
        if predicate is None or predicate == EVERYTHING:
            return None
        return bind(predicate, table, self._parameters, engine_folds_alike)

    def _ends(self, bound: Bound | None) -> list[End] | None:
        """The ends of indexes that answer an order with a limit, or extremes, and WHERE with them."""
        ordered = self.access.ordered
        if bound is not None and not bound.exact:
            return None
        wanted = None if ordered is None else self.wanted(ordered)
        predicate = None if bound is None else bound.predicate
        return ends(self.view, self.access, predicate, wanted)

    def wanted(self, ordered: OrderedAccess) -> int | None:
        """How many rows an order asks for; None for all."""
        limit, offset = self._count(ordered.limit, None), self._count(ordered.offset, 0)
        return None if limit is None or offset is None else limit + offset

    def _count(self, operand: Operand | None, absent: int | None) -> int | None:
        """A number of rows; ``absent`` when there is none, or when it is NULL."""
        if operand is None:
            return absent
        value = operand.value if isinstance(operand, Literal) else self._parameters[operand.index]
        if value is None:
            return absent
        return value if isinstance(value, int) and value >= 0 else None

    # --- Keyword matches ----------------------------------------------------------------------------

    @property
    def context(self) -> Context:
        """What probes are made from."""
        return Context(
            self.view,
            self.access.matches,
            self._match,
            self.opened,
            self.claims.append,
            self._covered,
        )

    @property
    def opened(self) -> frozenset[int]:
        """Ids of the columns that are opened of each row, unless an index says what they hold."""
        matches = self.access.matches
        return self.access.columns.union(*(match.columns for match in matches))

    def _match(self, number: int) -> tuple[Index, Ordinals] | None:
        found = self._evaluate(number)
        return None if found is None else (found[0], found[2])

    def _text(self, match: MatchColumn) -> str | None:
        query = match.query
        value = query.value if isinstance(query, Literal) else self._parameters[query.index]
        return value if isinstance(value, str) else None

    def _evaluate(self, number: int) -> tuple[Index, IndexedMatch, Ordinals] | None:
        if number not in self._matched:
            match = self.access.matches[number]
            text = self._text(match)
            index = covering_index(self.access.table, match.columns)
            if index is None or text is None or not is_listed(index, text):
                self._matched[number] = None
            else:
                # What a match says of the texts, the index knows; they need not be opened for it.
                keep = self._covered.keeper(index, self.access.columns)
                one = IndexedMatch(self.view, index, match.columns, text, keep)
                self._matched[number] = (index, one, one.ordinals())
        return self._matched[number]

    # --- Joins --------------------------------------------------------------------------------------

    def column(self, column_id: int) -> Array:
        """Distinct values, without NULL, of one column over the candidates."""
        assert self.ordinals is not None
        _, arrays = self.view.fetch(self.ordinals, [column_id])
        return one_array(pc.unique(one_array(arrays[0]))).drop_null()

    def worth_narrowing(self, index: Index, keys: int) -> bool | None:
        """Whether reading the rows of so many keys costs less than it saves; None without statistics.

        Args:
            index: an equality index of one column.
            keys: how many values it will be asked for, at most.
        """
        estimator = Estimator(self.view)
        column = estimator.column(index.columns[0])
        if column is None:
            return None
        costs = Costs(self.view, self.opened, estimator.statistics)
        share = column.any_of(keys, costs.rows)
        left = costs.rows if self.ordinals is None else len(self.ordinals)
        before = costs.scan if self.ordinals is None else costs.fetch(left)
        return costs.read(index, keys, share * costs.rows) + costs.fetch(share * left) < before

    def narrow(self, index: Index, keys: Array) -> None:
        """Keep only candidates whose column of an equality or ``det`` index is among ``keys``."""
        kind = self.access.table.column_by_id(index.columns[0]).type
        fitting = fit(keys, kind)
        if index.visible:
            condition = scheme_of(self.access.table, self.view.state.keys, index).among([fitting])
            alternatives: list[Conditions] = [] if condition is None else [(condition,)]
            self.keep(index, rows_of(self.view, alternatives, self.claims.append))
        else:
            words = words_of_arrays(self.view, index, [fitting])
            self.keep(index, candidates(self.view, words))

    def keep(self, index: Index, found: Ordinals) -> None:
        """Keep only candidates that an index has found."""
        self.steps.append(Step((index.name,), None, len(found)))
        if self.ordinals is not None:
            found = np.intersect1d(self.ordinals, found, assume_unique=True)
        self.ordinals = found
        self.note([index])

    def met(self, side: Side, found: Ordinals) -> None:
        """Keep only candidates that have a partner in a join, as the store says."""
        self.claims.append(Claimed(found, side.conditions))
        self.keep(side.index, found)

    def note(self, indexes: Sequence[Index]) -> None:
        """Indexes that were used."""
        self.used += dict.fromkeys(one.name for one in indexes if one.name not in self.used)

    # --- Rows ---------------------------------------------------------------------------------------

    def open(self) -> Fetched:
        """Open the rows into an Arrow table for the engine."""
        view, access = self.view, self.access
        live = view.count()
        if self.ordinals is None and not (access.columns or access.matches or access.ordinals):
            return self.fetched(engine_table((), (), live), live)
        wanted = view.live() if self.ordinals is None else self.ordinals
        column_ids = [column.id for column in access.table.columns if column.id in access.columns]
        order, opened = self._fetch(wanted, column_ids)
        columns = [access.table.column_by_id(number) for number in column_ids]
        described = [(column.name, column.type) for column in columns]
        values: list[Array | Chunked] = [opened[number] for number in column_ids]
        for number, match in enumerate(access.matches):
            found = self._evaluate(number)
            known = None if found is None or found[1].query.complemented else found[2]
            described.append((match.name, ColumnType(Kind.BOOLEAN)))
            values.append(match_column(view, order, match.columns, self._text(match), known))
        if access.ordinals:
            described.append((ORDINAL, ColumnType(Kind.BIGINT)))
            values.append(pa.array(order))
        return self.fetched(engine_table(described, values, len(order)), live)

    def _fetch(
        self, wanted: Ordinals, columns: Sequence[int]
    ) -> tuple[Ordinals, dict[int, Chunked]]:
        """Open rows: their ordinals in the order of the values, and values by column id.

        Raises:
            TamperError: a row is not as the store has said.
        """
        claimed = (number for one in self.claims for number in one.columns)
        needed = list(dict.fromkeys([*columns, *claimed]))
        covered = self._covered.columns(wanted, needed)
        order, arrays = (wanted, covered) if covered else self.view.fetch(wanted, needed)
        opened = dict(zip(needed, arrays, strict=True))
        for one in self.claims:
            one.verify(order, opened)
        return order, opened

    def fetched(self, table: pa.Table, live: int) -> Fetched:
        """What was read, and how."""
        return Fetched(
            self.access,
            table,
            self.used,
            self.steps,
            live,
            self.view.state.channel.counters.minus(self._before),
            time.perf_counter() - self._started,
        )

    # --- Rule 12: without the engine ----------------------------------------------------------------

    def direct(self, outputs: Sequence[DirectOutput], most: int) -> pa.Table | None:
        """The result of a query that is a conjunction of equalities, one of them by an equality index.

        Args:
            outputs: the columns of the result.
            most: give up when there are more candidates than this.

        Returns:
            The rows, rechecked against every equality; None when the engine has to answer.
        """
        found = self._exact(most, [one.column for one in outputs])
        if found is None:
            return None
        order, values = found
        columns = [self.access.table.column_by_id(one.column) for one in outputs]
        return engine_table(
            [(one.name, column.type) for one, column in zip(outputs, columns, strict=True)],
            [values[one.column] for one in outputs],
            len(order),
        )

    def exact_ordinals(self, most: int) -> Ordinals | None:
        """Ordinals, ascending, of the rows of such a query, or None."""
        found = self._exact(most, [])
        return None if found is None else np.sort(found[0])

    def _exact(self, most: int, wanted: Sequence[int]) -> tuple[Ordinals, dict[int, Array]] | None:
        """Rows that fulfil the predicate by their values, and the columns wanted of them."""
        access = self.access
        bound = bind(access.predicate, access.table, self._parameters, engine_folds_alike)
        equalities = equalities_of(bound.predicate)
        if not bound.exact or not equalities or has_floats(access, equalities):
            return None
        found = Lookup(self.context).exact(equalities, most)
        if found is None or len(found) > most:
            return None
        numbers = [*dict.fromkeys([*wanted, *(one.column for one in equalities)])]
        order, opened = self._fetch(found, numbers)
        values = {number: one_array(opened[number]) for number in numbers}
        keep = np.ones(len(order), dtype=np.bool_)
        for one in equalities:
            kind = access.table.column_by_id(one.column).type
            constant = constants([literal(one.operand)], kind)
            same: Any = pc.equal(values[one.column], constant[0])
            keep &= same.fill_null(False).to_numpy(zero_copy_only=False)
        if keep.all():
            return order, values
        chosen = np.flatnonzero(keep)
        return order[chosen], {number: pick(one, chosen) for number, one in values.items()}


def equalities_of(predicate: Predicate | None) -> list[Equals]:
    """The equalities of a conjunction, or none when there is anything else in it."""
    parts = predicate.parts if isinstance(predicate, And) else (predicate,)
    found = [part for part in parts if isinstance(part, Equals)]
    return found if len(found) == len(parts) else []


def has_floats(access: TableAccess, equalities: Sequence[Equals]) -> bool:
    """Whether a float is compared: NaN equals NaN in SQL, and not in a recheck by value."""
    kinds = {access.table.column_by_id(one.column).type.kind for one in equalities}
    return bool(kinds & {Kind.REAL, Kind.DOUBLE})


def fit(keys: Array, kind: ColumnType) -> Array:
    """Join keys in the type of the column they are compared with; those that do not fit match nothing."""
    bits = _INTEGER_BITS.get(kind.kind)
    if bits is not None and pa.types.is_integer(keys.type) and keys.type.bit_width > bits:
        low, high = -(1 << bits - 1), (1 << bits - 1) - 1
        numbers = keys.to_numpy()
        keys = pick(keys, np.flatnonzero((numbers >= low) & (numbers <= high)))
    cast: Array = keys.cast(kind.arrow)
    return cast
