"""An SQLite file that is being copied into: nobody opens it, it survives anything, and it ends at once."""

from __future__ import annotations

import dataclasses
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from encdb import wire
from encdb.errors import EncdbError, InternalError, ProgrammingError, StoreUnavailable, TamperError
from encdb.stores import ReceivingStore, Store, create_store, open_store, receive_store
from encdb.stores.contents import read_contents, read_layout, without_stages
from encdb.stores.sqlite import connection as connections
from encdb.stores.sqlite import receiving
from encdb.stores.transfer import RELATIONS
from tests.fixtures.commits import TABLE, change, commit, delta, with_table
from tests.fixtures.filled import EMPTY, FULL, content, fill, published

OTHER = 77


@pytest.fixture
def source(tmp_path: Path, genesis: wire.Genesis) -> Iterator[Store]:
    made = create_store(str(tmp_path / "source.db"), genesis)
    fill(made)
    yield made
    made.close()


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "target.db"


@pytest.fixture
def receiver(target: Path, genesis: wire.Genesis) -> Iterator[ReceivingStore]:
    made = receive_store(str(target), genesis)
    yield made
    made.close()


def finish_of(source: Store) -> wire.Finish:
    with source.snapshot() as snapshot:
        layout = without_stages(read_layout(snapshot))
        return wire.Finish(layout, read_contents(snapshot, layout))


def put_blobs(source: Store, receiver: ReceivingStore) -> None:
    found = published(content(source))
    for one in found["layout"].tables:
        for relation in RELATIONS:
            blobs = found[f"{relation} {one.table:08x}"]
            pairs = tuple(zip(blobs.ids, blobs.blobs, strict=True))
            assert receiver.put(wire.Put(one.table, relation, pairs)) == wire.Staged()


def code_of(kind: type[EncdbError], run) -> str | None:
    with pytest.raises(kind) as caught:
        run()
    assert "\n" not in str(caught.value)
    assert caught.value.fix
    return caught.value.code


def is_incomplete(target: Path) -> bool:
    code = code_of(StoreUnavailable, lambda: open_store(str(target)))
    return code == "E_STORE_INCOMPLETE"


def test_nothing_opens_an_unfinished_copy(
    source: Store, receiver: ReceivingStore, target: Path, genesis: wire.Genesis
):
    assert is_incomplete(target)
    put_blobs(source, receiver)
    assert is_incomplete(target)
    receiver.close()
    assert is_incomplete(target)
    assert code_of(StoreUnavailable, lambda: create_store(str(target), genesis)) == "E_STORE_EXISTS"
    with closing(sqlite3.connect(target)) as raw, raw:
        raw.execute(f"PRAGMA user_version = {wire.FORMAT_VERSION}")
    # The header alone, as a last step that was cut short leaves it, does not make it complete.
    assert is_incomplete(target)


def test_a_finished_copy_serves_what_the_source_serves(
    source: Store, receiver: ReceivingStore, target: Path
):
    put_blobs(source, receiver)
    assert receiver.finish(finish_of(source)) == wire.Committed()
    # It can be opened and written at once, while the receiver is still open.
    with closing(open_store(str(target))) as opened:
        assert content(opened) == published(content(source))
        added = change(table=FULL, epoch=1, rows_added=((9999, b"new"),), delta=delta(1))
        assert opened.commit(commit(added, version=2)) == wire.Committed()
        assert opened.lease(wire.Lease(FULL, "ordinal", 1)).first == 5000
    receiver.close()
    with closing(sqlite3.connect(target)) as raw:
        assert raw.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert raw.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_what_was_put_is_there_after_reopening(
    source: Store, receiver: ReceivingStore, target: Path, genesis: wire.Genesis
):
    put_blobs(source, receiver)
    receiver.put(wire.Put(FULL, "rows", ((4096, b"replaced"),), (4097, 123456)))
    one, two, three = (wire.entry_id(1, label) for label in (3, 4, 99))
    receiver.put(wire.Put(FULL, "visible", ((one, b"\2replaced"),), (two, three)))
    receiver.close()
    with closing(receive_store(str(target), genesis)) as again, again.snapshot() as snapshot:
        rows = snapshot.read(wire.ReadRows(FULL, None))
        assert (rows.ids[0], rows.blobs[0]) == (4096, b"replaced")
        assert 4097 not in rows.ids
        assert len(rows.ids) == 79
        asked = wire.ReadEntries(FULL, (one, two, three))
        assert snapshot.read(asked) == wire.Blobs(FULL, (one,), (b"\2replaced",))
        ranged = wire.VisibleTest(1, "order", (b"replaced", b"replaced"))
        assert snapshot.read(wire.ReadVisible(FULL, (ranged,))).ids == (3,)


def test_an_empty_put_makes_the_relations(receiver: ReceivingStore):
    receiver.put(wire.Put(OTHER, "pages"))
    with receiver.snapshot() as snapshot:
        for relation in (*RELATIONS, "tombstones"):
            assert snapshot.read(wire.ListIds(OTHER, relation)).ids == ()


def test_the_end_drops_tables_that_the_layout_does_not_name(
    source: Store, receiver: ReceivingStore, target: Path
):
    receiver.put(wire.Put(OTHER, "rows", ((1, b"leftover"),)))
    put_blobs(source, receiver)
    receiver.finish(finish_of(source))
    receiver.close()
    with closing(sqlite3.connect(target)) as raw:
        names = {name for (name,) in raw.execute("SELECT name FROM sqlite_master")}
    assert f"rows_{OTHER:08x}" not in names
    assert {f"rows_{FULL:08x}", f"rows_{EMPTY:08x}", f"deltas_{EMPTY:08x}"} <= names


def test_a_repeated_end_is_recognised(source: Store, receiver: ReceivingStore):
    put_blobs(source, receiver)
    finish = finish_of(source)
    assert receiver.finish(finish) == wire.Committed()
    assert receiver.finish(finish) == wire.Committed(repeated=True)
    other = dataclasses.replace(
        finish, layout=dataclasses.replace(finish.layout, catalog=b"another")
    )
    assert code_of(StoreUnavailable, lambda: receiver.finish(other)) == "E_STORE_EXISTS"
    put = wire.Put(FULL, "rows", ((1, b"late"),))
    assert code_of(StoreUnavailable, lambda: receiver.put(put)) == "E_STORE_EXISTS"


def test_an_end_that_fails_changes_nothing(
    source: Store, receiver: ReceivingStore, target: Path, monkeypatch: pytest.MonkeyPatch
):
    put_blobs(source, receiver)
    finish = finish_of(source)
    without = dataclasses.replace(finish, contents=finish.contents[1:])
    assert code_of(InternalError, lambda: receiver.finish(without)) == "E_INTERNAL"
    stranger = dataclasses.replace(finish.layout, incarnation=b"another one 1234")
    wrong = dataclasses.replace(finish, layout=stranger)
    assert code_of(StoreUnavailable, lambda: receiver.finish(wrong)) == "E_STORE_EXISTS"
    with monkeypatch.context() as patch:
        patch.setattr(receiving, "_write_content", _full)
        assert code_of(StoreUnavailable, lambda: receiver.finish(finish)) == "E_DISK_FULL"
    assert is_incomplete(target)
    assert receiver.finish(finish) == wire.Committed()
    with closing(open_store(str(target))) as opened:
        assert content(opened) == published(content(source))


def _full(*_arguments: object) -> None:
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL
    raise error


@pytest.mark.parametrize("part", ["database", "incarnation"])
def test_only_the_same_database_goes_on(
    receiver: ReceivingStore, target: Path, genesis: wire.Genesis, part: str
):
    receiver.close()
    stranger = dataclasses.replace(genesis, **{part: b"x" * 16})
    before = target.read_bytes()
    with pytest.raises(StoreUnavailable, match="unfinished copy of another database") as caught:
        receive_store(str(target), stranger)
    assert caught.value.code == "E_STORE_EXISTS"
    assert target.read_bytes() == before


def test_whatever_is_there_is_left_alone(tmp_path: Path, genesis: wire.Genesis):
    complete, text, foreign = (tmp_path / name for name in ("store.db", "text", "foreign.db"))
    with_table(create_store(str(complete), genesis)).close()
    text.write_text("mine" * 100)
    with closing(sqlite3.connect(foreign)) as raw, raw:
        raw.execute("CREATE TABLE mine (x)")
    newer = tmp_path / "newer.db"
    create_store(str(newer), genesis).close()
    with closing(sqlite3.connect(newer)) as raw, raw:
        raw.execute("PRAGMA user_version = 9")
    for path in (complete, text, foreign, newer, tmp_path):
        before = path.read_bytes() if path.is_file() else None
        code = code_of(StoreUnavailable, lambda path=path: receive_store(str(path), genesis))
        assert code == "E_STORE_EXISTS"
        assert before is None or path.read_bytes() == before


def test_a_missing_folder(tmp_path: Path, genesis: wire.Genesis):
    url = str(tmp_path / "none" / "target.db")
    assert code_of(StoreUnavailable, lambda: receive_store(url, genesis)) == "E_STORE_IO"


def test_two_copies_into_one_file(
    receiver: ReceivingStore, target: Path, genesis: wire.Genesis, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(connections, "BUSY_SECONDS", 0.05)
    code = code_of(StoreUnavailable, lambda: receive_store(str(target), genesis))
    assert code == "E_STORE_LOCKED"
    receiver.put(wire.Put(TABLE, "rows", ((1, b"still mine"),)))
    receiver.close()
    receive_store(str(target), genesis).close()


@pytest.mark.parametrize(
    ("attack", "code"),
    [
        (
            "CREATE TRIGGER t AFTER INSERT ON leases BEGIN DELETE FROM leases; END",
            "E_STORE_DAMAGED",
        ),
        ("CREATE VIEW v AS SELECT 1", "E_STORE_DAMAGED"),
        ("DELETE FROM heads", "E_STORE_DAMAGED"),
        ("DROP TABLE heads", "E_STORE_DAMAGED"),
    ],
)
def test_a_hostile_unfinished_file(
    receiver: ReceivingStore, target: Path, genesis: wire.Genesis, attack: str, code: str
):
    receiver.close()
    with closing(sqlite3.connect(target)) as raw, raw:
        raw.execute(attack)
    assert code_of(TamperError, lambda: receive_store(str(target), genesis)) == code


def test_nothing_is_written_while_a_snapshot_is_open(receiver: ReceivingStore):
    put = wire.Put(TABLE, "rows", ((1, b"row"),))
    receiver.put(wire.Put(TABLE, "rows"))
    with receiver.snapshot() as snapshot:
        assert code_of(ProgrammingError, lambda: receiver.put(put)) == "E_SNAPSHOT_OPEN"
        assert snapshot.read(wire.ListIds(TABLE, "rows")).ids == ()
    receiver.put(put)
    receiver.close()
    receiver.close()
    assert code_of(EncdbError, lambda: receiver.put(put)) == "E_CLOSED"


def test_a_file_without_its_log_gets_one(source: Store, tmp_path: Path):
    """A copy that is killed right after its last step lacks it, and what VACUUM INTO writes does."""
    path = tmp_path / "vacuumed.db"
    with closing(sqlite3.connect(tmp_path / "source.db")) as raw:
        raw.execute("VACUUM INTO ?", (str(path),))
    assert path.read_bytes()[18:20] == b"\1\1"
    with closing(open_store(str(path))) as opened, opened.snapshot() as snapshot:
        snapshot.read(wire.ReadLayout())
        with closing(open_store(str(path))) as writer:
            # Without a log the open snapshot would keep the commit waiting.
            assert writer.lease(wire.Lease(FULL, "ordinal", 1)).count == 1
    with closing(open_store(str(path))) as opened:
        assert content(opened)["rows 00c0ffee"] == content(source)["rows 00c0ffee"]
