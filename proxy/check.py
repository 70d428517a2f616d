"""``encdb check``: open everything the store holds and compare it with everything it must hold.

Every row, pack column, delta and index page is opened; index entries are derived anew from the rows and
compared with what the segments and deltas list; claims and tombstones must be exactly those of pending
changes. A store that passes would answer every query from verified, complete data.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from encdb import wire
from encdb.errors import EncdbError
from indexes.errors import IntegrityFailure
from indexes.labels import BLOCK
from indexes.methods import equality
from indexes.multimap import merge, postings
from indexes.multimap.batches import Ragged, SortedEntries
from indexes.multimap.postings import EncodedLists, PostingBatch
from indexes.multimap.segment import HASHED, dictionary_id
from indexes.records.pack import DIRECTORY_COLUMN, pack_address

from .arrow import Ordinals, one_array
from .catalog import Index, Table
from .check_visible import visible_problem
from .compaction import has_dropped_index
from .execute.define import read_rows
from .execute.view import TableView, as_array
from .overlay import NewRows
from .session import Session
from .state import TableState

PIECE = 16 * BLOCK
Progress = Callable[[str, int, int], None]


@dataclass(slots=True)
class CheckReport:
    """What a check found.

    Attributes:
        lines: one line per table, for people.
        problems: what is wrong, one line each; empty when all is well.
    """

    lines: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether everything verified."""
        return not self.problems


def check(session: Session, progress: Progress | None = None) -> CheckReport:
    """Check the whole database behind a session."""
    report = CheckReport()
    try:
        with session.reading(everything=True):
            catalog = session.catalog
            report.lines.append(f"catalog version {catalog.version}, {len(catalog.tables)} tables")
            for table in catalog.tables:
                state = session.database.tables[table.id]
                _check_table(TableChecker(state, progress), report)
    except EncdbError as error:
        if error.exit_status != 4:
            raise
        report.problems.append(error.message)
    return report


def _check_table(checker: TableChecker, report: CheckReport) -> None:
    name = checker.table.name
    for what, run in checker.parts():
        try:
            complaint = run()
        except IntegrityFailure:
            complaint = "does not verify"
        if complaint:
            report.problems.append(f'table "{name}": {what}: {complaint}')
    report.lines.append(checker.summary())


class TableChecker:
    """Checks one table at one snapshot."""

    def __init__(self, state: TableState, progress: Progress | None) -> None:
        self.state = state
        self.table: Table = state.table
        self._view = TableView(state)
        self._progress = progress
        self._unnamed = 0

    def parts(self) -> Iterator[tuple[str, Callable[[], str | None]]]:
        """What is checked, in order."""
        yield "rows", self._rows
        yield "tombstones", self._tombstones
        yield "packs", self._packs
        yield "index pages", self._pages
        yield "statistics", self._statistics
        yield "unique values", self._claims
        yield "indexes", self._indexes
        yield "server-visible indexes", lambda: visible_problem(self._view)

    def summary(self) -> str:
        """One line for people."""
        state = self.state
        line = (
            f'table "{self.table.name}": {state.live_rows} rows, epoch {state.epoch}, '
            f"{len(state.manifest.segments)} segments, {state.pending_count} pending deltas"
        )
        if self._unnamed:
            line += f", {self._unnamed} unpublished blobs (VACUUM sweeps them)"
        return line

    def _ids(self, relation: wire.Relation) -> set[int]:
        answer = self.state.channel.ask(wire.ListIds(table=self.table.id, relation=relation))
        return set(wire.verified(answer, wire.Ids).ids)

    def _labels(self, ordinals: Ordinals) -> set[int]:
        return set(self.state.keys.labels.to_labels(ordinals).tolist())

    def _rows(self) -> str | None:
        recent = np.sort(as_array(self.state.recent))
        self._view.pending_bodies(recent)
        return differs(self._ids("rows"), self._labels(recent), "row records")

    def _tombstones(self) -> str | None:
        removed = as_array(self.state.removed)
        if not self.state.settled.live_mask(removed).all():
            return "a delta removes a row that does not exist"
        # A row that was pending when a delta removed it has none, although a merge has settled it since.
        certain = [
            body.removed
            for chain in self.state.pending.values()
            for body in (delta.body for delta in chain)
            if body.epoch == self.state.epoch
        ]
        known = np.intersect1d(removed, np.concatenate([*certain, removed[:0]]))
        expected = self._labels(known)
        found = self._ids("tombstones")
        return differs(found & expected | found - self._labels(removed), expected, "tombstones")

    def _packs(self) -> str | None:
        settled = self.state.settled
        entries = settled.entries(settled.blocks())
        expected: set[int] = set()
        live = 0
        for entry in entries.values():
            count = int(np.unpackbits(entry.bitmap).sum())
            live += count
            if count:
                columns = [DIRECTORY_COLUMN, *(column.id for column in self.table.columns)]
                expected.update(pack_address(entry.pack, column) for column in columns)
        if live != self.state.manifest.rows:
            return f"the liveness pages list {live} rows, the manifest {self.state.manifest.rows}"
        found = self._ids("packs")
        self._unnamed += len(found - expected)
        return f"{len(expected - found)} are missing" if expected - found else None

    def _pages(self) -> str | None:
        manifest = self.state.manifest
        expected = {
            wire.page_id(info.segment, number)
            for info in manifest.every_segment
            for number in range(info.pages)
        }
        found = self._ids("pages")
        self._unnamed += len(found - expected)
        return f"{len(expected - found)} are missing" if expected - found else None

    def _statistics(self) -> str | None:
        found = self.state.statistics.read()
        known = {column.id for column in self.table.columns}
        strange = found is not None and not known.issuperset(found.columns)
        return "they are of columns that the table does not have" if strange else None

    def _claims(self) -> str | None:
        recent = np.sort(as_array(self.state.recent))
        expected: set[tuple[bytes, int]] = set()
        if len(recent):
            for index in self.table.unique_indexes:
                order, arrays = self._view.fetch(recent, index.columns)
                types = [self.table.column_by_id(number).type for number in index.columns]
                plain = [one_array(array) for array in arrays]
                tags, valid = equality.tags(self.state.keys.index_tags(index.id), plain, types)
                labels = self.state.keys.labels.to_labels(order).tolist()
                expected.update(
                    (tags[place].tobytes(), labels[place])
                    for place in np.flatnonzero(valid).tolist()
                )
        answer = self.state.channel.ask(wire.ReadKeys(table=self.table.id, tags=None))
        found = set(wire.verified(answer, wire.Keys).claims)
        return None if found == expected else "the claims are not those of the pending rows"

    def _indexes(self) -> str | None:
        """Derive every index entry from the rows and compare."""
        derived = list(self._derived())
        for part in derived:
            for index in self.table.unique_indexes:
                words, valid = part.unique_words[index.id]
                if len(np.unique(words[valid])) != int(valid.sum()):
                    return f'"{index.name}" holds a value twice'
        return (
            self._hashed(derived)
            or self._sorted(derived)
            or self._dictionaries(derived)
            or self._totals(derived)
        )

    def _derived(self) -> Iterator[NewRows]:
        live = self._view.live()
        # Server-visible ones are checked by themselves.
        hidden = tuple(index for index in self.table.indexes if not index.visible)
        table = dataclasses.replace(self.table, indexes=hidden)
        for start in range(0, len(live), PIECE):
            yield read_rows(self._view, table, live[start : start + PIECE])
            if self._progress is not None:
                self._progress(self.table.name, min(start + PIECE, len(live)), len(live))

    def _hashed(self, derived: list[NewRows]) -> str | None:
        lists = [
            self.state.segments.hashed_reader(info).all_lists()
            for info in self.state.manifest.segments
            if info.kind == HASHED
        ]
        lists.append(postings.encode_batches(self.state.recent_index.batches()))
        stored = postings.merge(lists, self._view.live_mask)
        expected = postings.encode_batches([batch for part in derived for batch in part.hashed])
        if not has_dropped_index(self.table):
            same = np.array_equal(stored.words, expected.words) and same_postings(stored, expected)
            return None if same else "exact-match entries differ from the rows"
        places = np.searchsorted(stored.words, expected.words)
        places = np.minimum(places, max(len(stored) - 1, 0))
        if len(expected) and (
            not len(stored) or not np.array_equal(stored.words[places], expected.words)
        ):
            return "exact-match entries are missing"
        kept = stored.take(places) if len(expected) else EncodedLists.empty()
        return None if same_postings(kept, expected) else "exact-match entries differ from the rows"

    def _sorted(self, derived: list[NewRows]) -> str | None:
        for index in self.table.indexes:
            if index.method == "range":
                stored = merge.merge_entries(self._entries(index.id), self._view.live_mask)
                if not same_entries(stored, derived_entries(index.id, derived)):
                    return f'"{index.name}" differs from the rows'
        return None

    def _entries(self, index_id: int) -> list[SortedEntries]:
        """Every entry of a range index or dictionary, live or not."""
        stored = [reader.all() for reader in self.state.segments.sorted(index_id)]
        return [*stored, self.state.recent_index.entries(index_id)]

    def _dictionaries(self, derived: list[NewRows]) -> str | None:
        """Each dictionary has every term of the rows; those of rows that are gone may linger in it."""
        for index in self.table.indexes:
            number = dictionary_id(index.id)
            stored = merge.distinct(SortedEntries.join(self._entries(number)))
            both = SortedEntries.join([stored, derived_entries(number, derived)])
            if len(merge.distinct(both)) != len(stored):
                return f'the dictionary of "{index.name}" lacks a term'
        return None

    def _totals(self, derived: list[NewRows]) -> str | None:
        pending = self.state.pending_totals()
        for index in self.table.indexes:
            if index.method == "keyword" and self._tokens(index, pending) != expected_tokens(
                index, derived
            ):
                return f'the totals of "{index.name}" differ from the rows'
        return None

    def _tokens(self, index: Index, pending: dict[int, tuple[int, list[int]]]) -> list[int]:
        sums = [0] * len(index.columns)
        known = self.state.manifest.statistics.get(index.id)
        for part in (known.tokens if known else (), pending.get(index.id, (0, []))[1]):
            for place, more in enumerate(part):
                sums[place] += more
        return sums


def expected_tokens(index: Index, derived: list[NewRows]) -> list[int]:
    """Tokens of each field of a keyword index, counted from the rows."""
    sums = [0] * len(index.columns)
    for part in derived:
        for place, more in enumerate(part.statistics[index.id][1]):
            sums[place] += more
    return sums


def derived_entries(index_id: int, derived: list[NewRows]) -> SortedEntries:
    """Sorted entries that the rows must have in one index or dictionary."""
    return SortedEntries.join(part.ranges[index_id] for part in derived if index_id in part.ranges)


def same_entries(left: SortedEntries, right: SortedEntries) -> bool:
    """Whether two sets of entries, one or none of each row, are the same."""
    first, second = (one.take(np.argsort(one.ordinals)) for one in (left, right))
    same = np.array_equal(first.keys, second.keys)
    same = same and np.array_equal(first.ordinals, second.ordinals)
    return same and same_values(first.values, second.values)


def same_values(left: Ragged | None, right: Ragged | None) -> bool:
    """Whether two sequences of values are equal."""
    if left is None or right is None:
        return left is right
    return np.array_equal(left.offsets, right.offsets) and np.array_equal(left.flat, right.flat)


def same_postings(left: EncodedLists, right: EncodedLists) -> bool:
    """Whether two sets of lists hold the same postings.

    A row's postings of one word in several fields may be listed in any order.
    """
    if np.array_equal(left.offsets, right.offsets) and np.array_equal(left.data, right.data):
        return True
    first, second = (
        {batch.shape: in_word_order(batch) for batch in postings.explode(lists)}
        for lists in (left, right)
    )
    return first.keys() == second.keys() and all(
        equal_batches(first[shape], second[shape]) for shape in first
    )


def in_word_order(batch: PostingBatch) -> PostingBatch:
    """The postings by word, then by ordinal, then by payload, of which the field comes first."""
    return batch.take(np.lexsort((*batch.payload.T[::-1], batch.ordinals, batch.words)))


def equal_batches(one: PostingBatch, two: PostingBatch) -> bool:
    """Whether two batches are equal, posting by posting."""
    if not (
        np.array_equal(one.words, two.words)
        and np.array_equal(one.ordinals, two.ordinals)
        and np.array_equal(one.payload, two.payload)
        and same_values(one.values, two.values)
    ):
        return False
    if one.positions is None or two.positions is None:
        return one.positions is two.positions
    return np.array_equal(one.positions.offsets, two.positions.offsets) and np.array_equal(
        one.positions.flat, two.positions.flat
    )


def differs(found: set[int], expected: set[int], what: str) -> str | None:
    """A complaint when two sets of ids differ."""
    if found == expected:
        return None
    return f"{len(expected - found)} {what} are missing, {len(found - expected)} are not expected"
