"""The table that holds documents: its fixed columns, its indexes, and rows made of documents.

A collection is a table like any other, for SQL too; `encdb add` fills it and `encdb search` reads it. Its
columns are fixed:

    id BIGINT PRIMARY KEY, path TEXT, title TEXT, sender TEXT, recipients TEXT,
    sent TIMESTAMP WITH TIME ZONE, body TEXT, attachments TEXT, size BIGINT, digest TEXT

with a keyword index over title, sender, recipients, body and attachments and an equality index on
digest, by which a document that is added again is recognised. All of its indexes are hidden.

The caller numbers documents: id is one more than the largest in the table.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Final

import pyarrow as pa

from encdb.errors import ProgrammingError, err
from indexes.types import ColumnType, Kind
from proxy import catalog
from proxy.search.analysis import Analysis
from proxy.search.documents import Document

DEFAULT_COLLECTION: Final = "documents"

_TEXT = ColumnType(Kind.TEXT)
_BIGINT = ColumnType(Kind.BIGINT)

COLUMNS: Final[tuple[tuple[str, ColumnType, bool], ...]] = (
    ("id", _BIGINT, True),
    ("path", _TEXT, True),
    ("title", _TEXT, True),
    ("sender", _TEXT, False),
    ("recipients", _TEXT, False),
    ("sent", ColumnType(Kind.TIMESTAMPTZ), False),
    ("body", _TEXT, True),
    ("attachments", _TEXT, False),
    ("size", _BIGINT, True),
    ("digest", _TEXT, True),
)
"""Name, type and NOT NULL of each column, in order."""

KEYWORD_COLUMNS: Final = ("title", "sender", "recipients", "body", "attachments")
"""The fields that a search looks at, in the order of the keyword index."""

SCHEMA: Final = pa.schema(
    [pa.field(name, kind.arrow, nullable=not required) for name, kind, required in COLUMNS]
)


class Fate(StrEnum):
    """What adding a document would mean."""

    NEW = "new"
    """No document has this path."""
    PRESENT = "present"
    """The same bytes are there under the same path: nothing to do."""
    CHANGED = "changed"
    """The path is there with other bytes, which the new ones replace."""


def collection_table(
    table_id: int, name: str, schema: catalog.Catalog, analysis: Analysis | None = None
) -> catalog.Table:
    """The catalog entry of a new collection.

    Args:
        table_id: the opaque number the store knows it by.
        name: what the user calls it.
        schema: the catalog it will be added to, whose index names are taken.
        analysis: how its texts are analysed; by default English with all words, without positions.
    """
    columns = tuple(
        catalog.Column(catalog.FIRST_COLUMN_ID + n, column, kind, required)
        for n, (column, kind, required) in enumerate(COLUMNS)
    )
    table = catalog.Table(table_id, name, columns)
    ids = {column.name: column.id for column in columns}
    keyword = tuple(ids[column] for column in KEYWORD_COLUMNS)
    options = (analysis or Analysis()).to_options()
    pkey = catalog.index_name(schema, table, (), "pkey")
    digest = catalog.index_name(schema, table, ("digest",), "idx")
    words = catalog.index_name(schema, table, KEYWORD_COLUMNS, "idx")
    indexes = (
        catalog.Index(1, pkey, "equality", (ids["id"],), unique=True, primary=True),
        catalog.Index(2, digest, "equality", (ids["digest"],)),
        catalog.Index(3, words, "keyword", keyword, options=options),
    )
    return dataclasses.replace(table, indexes=indexes, next_index_id=len(indexes) + 1)


def keyword_index(table: catalog.Table) -> catalog.Index:
    """The keyword index that a search over a collection uses.

    Raises:
        ProgrammingError: E_COLLECTION_SHAPE, the table lacks a collection's columns or its index.
    """
    for name, kind, _ in COLUMNS:
        if not table.has_column(name) or table.column(name).type != kind:
            raise _shape(table, f"has no column {name} {kind.sql}")
    for index in table.indexes:
        if index.method == "keyword":
            names = tuple(column.casefold() for column in table.names(index.columns))
            if names == KEYWORD_COLUMNS:
                return index
    raise _shape(table, f"has no keyword index on ({', '.join(KEYWORD_COLUMNS)})")


def to_batch(documents: Sequence[Document], ids: Sequence[int]) -> pa.RecordBatch:
    """Rows of a collection, one per document, with the ids given: the schema is `SCHEMA`."""
    columns: list[Iterable[object]] = [list(ids)]
    columns += [[getattr(document, name) for document in documents] for name, *_ in COLUMNS[1:]]
    arrays = [
        pa.array(values, type=field.type) for values, field in zip(columns, SCHEMA, strict=True)
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)


def keyword_texts(documents: Sequence[Document]) -> list[list[str | None]]:
    """Per keyword column, the text of each document."""
    return [[getattr(document, name) for document in documents] for name in KEYWORD_COLUMNS]


def fate(document: Document, known: Mapping[str, Collection[str]]) -> Fate:
    """What adding a document would mean.

    Args:
        document: the one to add.
        known: path → digests of what the collection holds, and of what was added in this run.
    """
    digests = known.get(document.path)
    if not digests:
        return Fate.NEW
    return Fate.PRESENT if document.digest in digests else Fate.CHANGED


def _shape(table: catalog.Table, lack: str) -> ProgrammingError:
    return err(
        ProgrammingError,
        "E_COLLECTION_SHAPE",
        f'the table "{table.name}" is no collection: it {lack}',
    )
