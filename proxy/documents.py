"""Document collections: adding files and mail, and searching them.

A collection is a table with fixed columns and one keyword index. Adding is one transaction: a document
with the same path and bytes as one that is there is left alone, one with other bytes replaces it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow.compute as pc

from encdb.errors import ProgrammingError, err

from .catalog import Catalog, Table, suggest
from .execute.match import IndexedMatch
from .execute.view import TableView
from .execute.write import remove
from .result import Result, done
from .schema import check_name, fresh_table_id
from .search.collection import Fate, collection_table, fate, keyword_index, to_batch
from .search.documents import Document, read_documents
from .search.files import Skipped
from .session import Session
from .sink import RowSink
from .state import TableState
from .transaction import Transaction

DOCUMENTS_AT_ONCE = 1_024
BYTES_AT_ONCE = 32 << 20
Progress = Callable[[int, str], None]


@dataclass(slots=True)
class AddReport:
    """What ``encdb add`` did.

    Attributes:
        added: documents that are new.
        replaced: documents whose path was there with other bytes.
        present: documents that were there already.
        skipped: files and messages that are no readable documents, with the reason.
    """

    added: int = 0
    replaced: int = 0
    present: int = 0
    skipped: list[Skipped] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Hit:
    """One document found."""

    path: str
    title: str
    score: float


def add_documents(
    session: Session,
    paths: Sequence[str | os.PathLike[str]],
    collection: str = "documents",
    progress: Progress | None = None,
) -> AddReport:
    """Add files, folders and mailboxes to a collection, which is made when it does not exist."""
    check_name(collection, "collection")
    if session.catalog.find(collection) is None:

        def make(catalog: Catalog) -> Table:
            return collection_table(fresh_table_id(catalog), collection, catalog)

        session.definer.add_table(make)
    report = AddReport()

    def change(transaction: Transaction) -> Result:
        nonlocal report
        report = AddReport()
        table = session.catalog.table(collection)
        keyword_index(table)
        session.database.ensure([table])
        _Adder(transaction, session.database.tables[table.id], report, progress).run(
            read_documents(paths)
        )
        return done("ADD", report.added + report.replaced)

    session.run_transaction(change)
    return report


class _Adder:
    """One run of ``encdb add`` within one transaction."""

    def __init__(
        self,
        transaction: Transaction,
        state: TableState,
        report: AddReport,
        progress: Progress | None,
    ) -> None:
        self._transaction = transaction
        self._state = state
        self._report = report
        self._progress = progress
        self._view: TableView = transaction.view(state)
        self._sink = RowSink(transaction, state)
        self._ordinals: dict[str, list[int]] = {}
        self._known: dict[str, set[str]] = {}
        self._next = 1
        self._read_known()

    def _read_known(self) -> None:
        table = self._state.table
        columns = [table.column(name).id for name in ("id", "path", "digest")]
        order, (ids, paths, digests) = self._view.fetch(self._view.live(), columns)
        for ordinal, path, digest in zip(order.tolist(), paths, digests, strict=True):
            self._ordinals.setdefault(str(path), []).append(ordinal)
            self._known.setdefault(str(path), set()).add(str(digest))
        if len(ids):
            self._next = int(pc.max(ids).as_py()) + 1

    def run(self, documents: Iterable[Document | Skipped]) -> None:
        waiting: list[Document] = []
        size = 0
        replaced: list[int] = []
        for one in documents:
            if isinstance(one, Skipped):
                self._report.skipped.append(one)
                continue
            what = fate(one, self._known)
            if what is Fate.PRESENT:
                self._report.present += 1
                continue
            if what is Fate.CHANGED and one.path in self._ordinals:
                replaced.extend(self._ordinals.pop(one.path))
                self._report.replaced += 1
            else:
                self._report.added += 1
            self._known[one.path] = {one.digest}
            waiting.append(one)
            size += one.size
            if self._progress is not None:
                self._progress(self._report.added + self._report.replaced, one.path)
            if len(waiting) >= DOCUMENTS_AT_ONCE or size >= BYTES_AT_ONCE:
                self._add(waiting)
                waiting, size = [], 0
        if waiting:
            self._add(waiting)
        if replaced:
            gone = np.sort(np.array(replaced, dtype=np.int64))
            self._transaction.overlay(self._state).remove(remove(self._view, gone))
        self._sink.finish()

    def _add(self, documents: Sequence[Document]) -> None:
        ids = range(self._next, self._next + len(documents))
        self._next += len(documents)
        self._sink.add(to_batch(documents, list(ids)))


def search(
    session: Session, query: str, collection: str = "documents", limit: int | None = 10
) -> list[Hit]:
    """The best documents of a collection by BM25.

    Raises:
        ProgrammingError: no such collection, or a malformed query.
    """
    with session.reading():
        catalog = session.catalog
        table = catalog.find(collection)
        if table is None:
            raise err(
                ProgrammingError,
                "E_UNKNOWN_TABLE",
                f'there is no collection "{collection}"',
                suggest(collection, (one.name for one in catalog.tables)),
            )
        index = keyword_index(table)
        session.database.ensure([table])
        view = TableView(session.database.tables[table.id])
        ranked = IndexedMatch(view, index, index.columns, query).ranked(limit)
        order, (paths, titles) = view.fetch(
            np.sort(ranked.ordinals), [table.column(name).id for name in ("path", "title")]
        )
        places = {ordinal: place for place, ordinal in enumerate(order.tolist())}
        found: list[Hit] = []
        for ordinal, score in zip(ranked.ordinals.tolist(), ranked.scores.tolist(), strict=True):
            place = places[ordinal]
            found.append(Hit(str(paths[place]), str(titles[place]), score))
    return found
