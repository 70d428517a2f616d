"""The table of documents."""

import dataclasses
from datetime import UTC, datetime

import pytest

from encdb.errors import ProgrammingError
from proxy import catalog
from proxy.search.analysis import Analysis
from proxy.search.collection import (
    COLUMNS,
    KEYWORD_COLUMNS,
    SCHEMA,
    Fate,
    collection_table,
    fate,
    keyword_index,
    keyword_texts,
    to_batch,
)
from proxy.search.documents import Document

SENT = datetime(2002, 8, 22, 11, 26, 25, tzinfo=UTC)
ONE = Document("p", "t", "s", "r", SENT, "b", "x\ny", 3, "d" * 64)
TWO = Document("q", "t2", None, None, None, "", None, 0, "e" * 64)


def test_the_columns_are_fixed():
    table = collection_table(7, "mail", catalog.Catalog())
    names = "id path title sender recipients sent body attachments size digest"
    assert " ".join(column.name for column in table.columns) == names
    assert [column.type.sql for column in table.columns][5] == "TIMESTAMP WITH TIME ZONE"
    assert table.primary_key is not None
    assert table.names(table.primary_key.columns) == ("id",)
    assert table.names(keyword_index(table).columns) == KEYWORD_COLUMNS
    assert keyword_index(table).option("language", "") == "english"
    assert table.next_index_id == 1 + max(index.id for index in table.indexes)


def test_the_catalog_keeps_it_and_names_do_not_clash():
    first = collection_table(7, "mail", catalog.Catalog())
    squatter = dataclasses.replace(first, id=8, name="other")
    schema = catalog.Catalog(tables=(squatter,))
    table = collection_table(9, "mail", schema, Analysis("german", positions=True))
    taken = schema.index_names()
    assert not taken & {index.name.casefold() for index in table.indexes}
    decoded = catalog.decode(catalog.encode(schema.with_table(table)))
    assert decoded.table("mail") == table
    options = keyword_index(decoded.table("mail")).options
    assert Analysis.from_options(options) == Analysis("german", positions=True)


def test_other_tables_are_refused():
    table = collection_table(7, "mail", catalog.Catalog())
    for broken, named in [
        (dataclasses.replace(table, columns=table.columns[:-1]), "digest"),
        (dataclasses.replace(table, indexes=table.indexes[:1]), "keyword index"),
    ]:
        with pytest.raises(ProgrammingError, match=named) as caught:
            keyword_index(broken)
        assert caught.value.code == "E_COLLECTION_SHAPE"


def test_rows():
    batch = to_batch([ONE, TWO], [5, 6])
    assert batch.schema == SCHEMA
    assert batch.schema.names == [name for name, *_ in COLUMNS]
    assert batch.to_pylist() == [
        {"id": 5, **dataclasses.asdict(ONE)},
        {"id": 6, **dataclasses.asdict(TWO)},
    ]
    assert to_batch([], []).num_rows == 0
    assert keyword_texts([ONE, TWO])[1] == ["s", None]


def test_fates():
    known = {"p": {"d" * 64}}
    assert fate(ONE, known) is Fate.PRESENT
    assert fate(TWO, known) is Fate.NEW
    assert fate(dataclasses.replace(ONE, digest="f" * 64), known) is Fate.CHANGED
