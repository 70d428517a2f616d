"""ReadLayout describes the whole store beside its blobs, and believes nothing of a file."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from encdb import wire
from encdb.errors import TamperError
from encdb.stores import Store, open_store
from tests.fixtures.commits import sha256
from tests.fixtures.filled import EMPTY, FORGOTTEN_WRITER, FULL, fill


def layout_of(store: Store) -> wire.Layout:
    with store.snapshot() as snapshot:
        return snapshot.read(wire.ReadLayout())


@pytest.mark.every_store
def test_a_new_store(store: Store, genesis: wire.Genesis):
    assert layout_of(store) == wire.Layout(
        database=genesis.database,
        format=genesis.format,
        incarnation=genesis.incarnation,
        catalog_version=0,
        catalog=genesis.catalog,
        catalog_links=(genesis.link,),
        tables=(),
    )


@pytest.mark.every_store
def test_everything_is_there(store: Store, genesis: wire.Genesis):
    fill(store)
    layout = layout_of(store)
    assert layout.catalog_version == 2
    assert len(layout.catalog_links) == 3
    assert layout.catalog_links[0] == genesis.link
    assert layout.catalog_links[2] == sha256(layout.catalog)
    empty, full = sorted(layout.tables, key=lambda one: one.table != EMPTY)
    assert empty == wire.TableLayout(EMPTY, 0, None, (), 0, 1, ())
    assert (full.table, full.epoch, full.next_ordinal, full.next_segment) == (FULL, 1, 5000, 21)
    assert full.links == (sha256(full.manifest),)
    (folded,) = full.folded
    assert (folded.writer, folded.n) == (FORGOTTEN_WRITER, 1)
    assert (full.staged_segments, full.staged_packs) == ((9,), (10,))


HOSTILE = (
    "DELETE FROM heads",
    "UPDATE heads SET database = 'text'",
    "UPDATE heads SET database = x'00'",
    "UPDATE heads SET incarnation = 7",
    "UPDATE heads SET catalog_version = 'two'",
    "UPDATE heads SET catalog_version = -1",
    "UPDATE heads SET catalog_version = 9223372036854775807",
    "UPDATE heads SET catalog_version = 3",
    "DELETE FROM catalog WHERE version = 2",
    "DELETE FROM catalog WHERE version = 1",
    "UPDATE catalog SET blob = NULL",
    "UPDATE catalog SET blob = 'text' WHERE version = 2",
    "UPDATE catalog SET link = x'00' WHERE version = 1",
    "UPDATE catalog SET link = 'text' WHERE version = 1",
    "UPDATE tables SET manifest = NULL",
    "UPDATE tables SET manifest = 1.5",
    "UPDATE tables SET epoch = 'one'",
    "UPDATE tables SET epoch = 1.5",
    "UPDATE tables SET epoch = -1",
    "UPDATE tables SET epoch = 2",
    "UPDATE tables SET epoch = 9223372036854775807",
    "DELETE FROM links",
    "UPDATE links SET epoch = 0",
    "UPDATE links SET link = x'00'",
    "DELETE FROM leases",
    f"DELETE FROM leases WHERE tbl = {EMPTY}",
    "UPDATE leases SET ordinal = 'many'",
    "UPDATE leases SET segment = x'00'",
    "UPDATE folded SET writer = x'00'",
    "UPDATE folded SET n = 0",
    "UPDATE folded SET n = 'one'",
    "UPDATE folded SET digest = x'00'",
    "UPDATE folded SET day = 'today'",
    "UPDATE staged SET number = 'nine'",
    "UPDATE staged SET kind = x'00' WHERE kind = 1",
    "DROP TABLE staged",
    "DROP TABLE leases",
)


@pytest.mark.parametrize("attack", HOSTILE)
def test_hostile_files_are_damaged(store: Store, store_path: Path, attack: str):
    fill(store)
    store.close()
    with closing(sqlite3.connect(store_path)) as raw, raw:
        assert raw.execute(attack).rowcount != 0
    with (
        pytest.raises(TamperError) as caught,
        closing(open_store(str(store_path))) as opened,
    ):
        layout_of(opened)
    assert caught.value.code == "E_STORE_DAMAGED"
