"""A copy is exact, goes on after anything, follows a source that changes, and believes neither side."""

from __future__ import annotations

import dataclasses
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from encdb import ids, wire
from encdb.errors import EncdbError, StoreUnavailable, TamperError, UsageError
from encdb.stores import ReceivingStore, Store, copying, create_store, open_store, transfer
from encdb.stores.base import TRANSACTION_BYTES
from encdb.stores.copying import CopyReport, copy_store
from tests.fixtures.commits import catalog_change, change, commit, delta, swap, with_table
from tests.fixtures.filled import (
    BLOBS,
    DROPPED,
    EMPTY,
    FULL,
    blobs,
    columns,
    content,
    done,
    fill,
    pages,
    published,
)
from tests.fixtures.kinds import RemoteKind, StoreKind, unavailable

PAIRS = (
    ("sqlite", "sqlite"),
    ("sqlite", "postgres"),
    ("postgres", "sqlite"),
    ("sqlite", "remote"),
    ("remote", "sqlite"),
)
"""Kinds of source and target. Tests that are marked ``every_store`` run on all of them, others on the first."""

PROJECT = Path(__file__).parents[3]
NEW = 0xABCDEF


@dataclass
class Pair:
    """A source and a place for its copy."""

    source: str
    target: str
    kind: StoreKind

    def copy(self, **options: Any) -> CopyReport:
        return copy_store(self.source, self.target, **options)

    def served(self, url: str) -> dict[str, Any]:
        with closing(open_store(url)) as opened:
            return content(opened)

    def require_equal(self) -> None:
        assert self.served(self.target) == published(self.served(self.source))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "pair" in metafunc.fixturenames:
        everywhere = metafunc.definition.get_closest_marker("every_store") is not None
        pairs = PAIRS if everywhere else PAIRS[:1]
        metafunc.parametrize("pair", pairs, ids="-to-".join, indirect=True)


@pytest.fixture
def pair(
    request: pytest.FixtureRequest,
    kinds_of_store: dict[str, StoreKind],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Pair]:
    names: tuple[str, str] = request.param
    for reason in map(unavailable, names):
        if reason:
            pytest.skip(reason)
    first, second = (kinds_of_store[name] for name in names)
    for kind in (first, second):
        if isinstance(kind, RemoteKind):
            monkeypatch.setenv("ENCDB_TOKEN", kind.token)
    made = Pair(first.new_url(tmp_path, "source"), second.new_url(tmp_path, "target"), second)
    yield made
    first.drop(made.source)
    second.drop(made.target)


@pytest.fixture
def source(pair: Pair, genesis: wire.Genesis) -> Iterator[Store]:
    made = create_store(pair.source, genesis)
    fill(made)
    yield made
    made.close()


def code_of(kind: type[EncdbError], run: Callable[[], object]) -> str | None:
    with pytest.raises(kind) as caught:
        run()
    assert "\n" not in str(caught.value)
    assert caught.value.fix
    return caught.value.code


class Meddler:
    """A receiving store with somebody who does something after every message."""

    def __init__(self, inner: ReceivingStore, after: Callable[[int, wire.Put], None]) -> None:
        self._inner, self._after, self.puts = inner, after, 0

    def put(self, request: wire.Put) -> wire.Staged:
        answer = self._inner.put(request)
        self.puts += 1
        self._after(self.puts, request)
        return answer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


@contextmanager
def meddling(after: Callable[[int, wire.Put], None]) -> Iterator[None]:
    """Copies within the block are meddled with."""
    honest = copying.receive_store
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            copying, "receive_store", lambda url, genesis: Meddler(honest(url, genesis), after)
        )
        yield


# --- Exact. ----------------------------------------------------------------------------------------


@pytest.mark.every_store
@pytest.mark.parametrize("settled", [transfer.IDS_AT_ONCE, 0])
def test_a_copy_serves_what_the_source_serves(
    source: Store, pair: Pair, monkeypatch: pytest.MonkeyPatch, settled: int
):
    monkeypatch.setattr(copying, "SETTLED_BLOBS", settled)
    report = pair.copy()
    pair.require_equal()
    served = published(content(source))
    sizes = [
        len(blob)
        for name, one in served.items()
        if isinstance(one, wire.Blobs)
        for blob in one.blobs
    ]
    assert (report.tables, report.blobs, report.bytes) == (2, len(sizes), sum(sizes))
    assert (report.copied, report.mended) == (len(sizes), 0)


@pytest.mark.every_store
def test_unpublished_stages_are_left_out(source: Store, pair: Pair):
    pair.copy()
    served = pair.served(pair.target)
    numbers = {number >> ids.PAGE_SHIFT for number in served[f"pages {FULL:08x}"].ids}
    packs = {number >> ids.PACK_SHIFT for number in served[f"packs {FULL:08x}"].ids}
    assert (numbers, packs) == ({3}, {4})
    shown = served[f"visible {FULL:08x}"].ids
    assert {number >> ids.LABEL_BITS for number in shown} == {1, 2, 3}
    with pair.kind.raw(pair.target) as raw:
        assert raw.relation("staged_visible").rows == {}
    # The stage goes on in the source, and its numbers are given to nobody in the copy.
    merge = swap(2, published=(9,))
    done(source, commit(change(epoch=1, table=FULL, swap=merge), version=2))
    with closing(open_store(pair.target)) as opened:
        assert opened.lease(wire.Lease(FULL, "segment", 1)).first == 21
        staged = opened.stage(wire.Stage(FULL, 21, pages=pages(9, 2)))
        assert staged == wire.Staged()


@pytest.mark.every_store
def test_an_empty_database(pair: Pair, genesis: wire.Genesis):
    create_store(pair.source, genesis).close()
    report = pair.copy()
    assert (report.tables, report.blobs, report.copied) == (0, 0, 0)
    pair.require_equal()


@pytest.mark.every_store
def test_tables_with_nothing(pair: Pair, genesis: wire.Genesis):
    with_table(create_store(pair.source, genesis), 1, 2, 3).close()
    assert pair.copy().tables == 3
    pair.require_equal()
    with closing(open_store(pair.target)) as opened:
        done(opened, commit(change(table=2, rows_added=((5, b"row"),), delta=delta(1))))


def test_a_copy_of_a_copy(source: Store, pair: Pair, tmp_path: Path):
    pair.copy()
    again = str(tmp_path / "again.db")
    copy_store(pair.target, again)
    assert pair.served(again) == pair.served(pair.target)


@pytest.mark.every_store
def test_messages_stay_small(pair: Pair, genesis: wire.Genesis):
    """Blobs of all sizes, one of them larger than a message should be."""
    with closing(create_store(pair.source, genesis)) as made:
        with_table(made, FULL)
        draw = random.Random(5)
        sizes = [draw.choice((1, 100, 10_000, 500_000)) for _ in range(90)]
        sizes[70] = TRANSACTION_BYTES + 1
        rows = tuple((4096 + n, os.urandom(size)) for n, size in enumerate(sizes))
        done(made, commit(change(table=FULL, rows_added=rows, delta=delta(1))))
    seen: list[list[int]] = []
    with meddling(lambda _, put: seen.append([len(blob) for _, blob in put.added])):
        pair.copy()
    pair.require_equal()
    assert all(sum(sizes) <= TRANSACTION_BYTES or len(sizes) == 1 for sizes in seen)
    assert len(seen) < 60


def test_progress_reaches_its_end(source: Store, pair: Pair):
    told: list[tuple[str, int, int]] = []
    pair.copy(progress=lambda *one: told.append(one))
    assert {what for what, _, _ in told} == {"copying", "comparing"}
    assert told[-1][1] == told[-1][2] == BLOBS
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)


# --- Interrupted. ----------------------------------------------------------------------------------


@pytest.mark.every_store
def test_an_interrupted_copy_goes_on(source: Store, pair: Pair):
    """Ctrl-C after every message in turn: each run goes a little further, and nothing is copied twice."""

    def stop(puts: int, put: wire.Put) -> None:
        if put.added or puts > 12:
            raise KeyboardInterrupt

    runs = 0
    while True:
        runs += 1
        try:
            with meddling(stop):
                report = pair.copy()
            break
        except KeyboardInterrupt:
            assert (
                code_of(StoreUnavailable, lambda: open_store(pair.target)) == "E_STORE_INCOMPLETE"
            )
    assert runs > 3
    assert report.copied == 0
    assert report.blobs == BLOBS
    pair.require_equal()


@pytest.mark.every_store
def test_what_an_earlier_run_wrote_is_compared_too(source: Store, pair: Pair, tmp_path: Path):
    def stop(_puts: int, put: wire.Put) -> None:
        if put.relation == "pages" and put.added:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), meddling(stop):
        pair.copy()
    with pair.kind.raw(pair.target) as raw:
        relation = next(
            one for name, one in raw.relations().items() if name.startswith("rows") and one.rows
        )
        key = sorted(relation.rows)[7]
        raw.change(relation, key, "blob", b"rotten")
    report = pair.copy()
    assert report.mended == 1
    pair.require_equal()


@pytest.mark.every_store
def test_the_source_moves_on_between_two_runs(source: Store, pair: Pair):
    def stop(puts: int, _put: wire.Put) -> None:
        if puts == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), meddling(stop):
        pair.copy()
    removed = change(
        epoch=1, table=FULL, rows_removed=(4096, 4097), rows_added=blobs(90, 5), delta=delta(1)
    )
    done(source, commit(removed, version=2))
    done(source, commit(version=2, catalog=catalog_change(3, created=(NEW,), dropped=(EMPTY,))))
    pair.copy()
    pair.require_equal()


KILLED = """
import os, signal, sys
from encdb.stores import copying
from encdb.stores.sqlite import receiving
copying.SETTLED_BLOBS = int(sys.argv[4])
left, begin = int(sys.argv[3]), receiving.transaction
def dying(connection):
    global left
    left -= 1
    if left == 0:
        # In the middle of writing: some pages have reached the file, and the journal is hot.
        connection.execute("PRAGMA cache_size = 1")
        def maybe(statement):
            if statement.startswith(("INSERT", "UPDATE heads SET format", "COMMIT")):
                os.kill(os.getpid(), signal.SIGKILL)
        connection.set_trace_callback(maybe)
    return begin(connection)
receiving.transaction = dying
copying.copy_store(sys.argv[1], sys.argv[2])
"""


def test_killed_at_every_transaction(tmp_path: Path, genesis: wire.Genesis):
    source, target = str(tmp_path / "source.db"), str(tmp_path / "target.db")
    with closing(create_store(source, genesis)) as made:
        fill(made)
        expected = published(content(made))
    status, number = -signal.SIGKILL, 0
    while status == -signal.SIGKILL:
        number += 1
        # Each run gets one transaction further before it dies.
        command = [sys.executable, "-c", KILLED, source, target, str(number), "0"]
        status = subprocess.run(command, cwd=PROJECT, check=False).returncode
        if status == 0:
            break
        assert code_of(StoreUnavailable, lambda: open_store(target)) == "E_STORE_INCOMPLETE"
    assert number > 8
    with closing(open_store(target)) as opened:
        assert content(opened) == expected


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_killed_at_random_moments(tmp_path: Path, genesis: wire.Genesis, seed: int):
    source, target = str(tmp_path / "source.db"), str(tmp_path / "target.db")
    draw = random.Random(seed)
    with closing(create_store(source, genesis)) as made:
        fill(made, rows=3000, size=8000)
        expected = published(content(made))
    command = [
        sys.executable,
        "-c",
        "import sys; from encdb.stores.copying import copy_store; copy_store(*sys.argv[1:])",
        source,
        target,
    ]
    kills = 0
    while kills < 12:
        process = subprocess.Popen(command, cwd=PROJECT)
        time.sleep(draw.uniform(0.1, 0.9))
        process.kill()
        if process.wait() == 0:
            break
        kills += 1
    else:
        copy_store(source, target)
    with closing(open_store(target)) as opened:
        assert content(opened) == expected


# --- A source that changes meanwhile. --------------------------------------------------------------


@pytest.mark.every_store
@pytest.mark.parametrize("settled", [1000, 0])
def test_a_source_that_changes_with_every_message(
    source: Store, pair: Pair, monkeypatch: pytest.MonkeyPatch, settled: int
):
    """Rows come and go, merges publish and retire, tables are made and dropped, all during the copy."""
    monkeypatch.setattr(copying, "SETTLED_BLOBS", settled)
    steps = iter(changes(source))
    with meddling(lambda _puts, _put: next(steps, None)):
        pair.copy()
    for _ in steps:
        pass
    pair.kind.drop(pair.target)
    pair.copy()
    pair.require_equal()


def changes(source: Store) -> Iterator[None]:
    """One change after the other."""
    writer = bytes(range(16))
    done(
        source,
        commit(
            change(epoch=1, table=FULL, rows_removed=(4096,), delta=delta(1, writer)), version=2
        ),
    )
    yield
    done(
        source,
        commit(
            change(epoch=1, table=FULL, rows_added=blobs(200, 9), delta=delta(2, writer)), version=2
        ),
    )
    yield
    merge = swap(2, published=(9,), retired_segments=(3,), retired_packs=(4,))
    done(source, commit(change(epoch=1, table=FULL, swap=merge), version=2))
    yield
    done(source, commit(version=2, catalog=catalog_change(3, created=(NEW,))))
    yield
    done(source, commit(change(table=NEW, rows_added=blobs(0, 9), delta=delta(1)), version=3))
    yield
    source.stage(wire.Stage(NEW, 1, pages=pages(1, 9), packs=columns(2, 2)))
    yield
    done(source, commit(change(table=NEW, swap=swap(1, published=(1,))), version=3))
    yield
    done(source, commit(version=3, catalog=catalog_change(4, dropped=(FULL,))))


@pytest.mark.every_store
@pytest.mark.parametrize("moment", range(1, 11, 2))
def test_one_table_dropped_at_any_moment(
    source: Store, pair: Pair, monkeypatch: pytest.MonkeyPatch, moment: int
):
    monkeypatch.setattr(copying, "SETTLED_BLOBS", 0)
    moved = False

    def drop(puts: int, _put: wire.Put) -> None:
        nonlocal moved
        if puts == moment:
            moved = True
            done(source, commit(version=2, catalog=catalog_change(3, dropped=(FULL,))))

    with meddling(drop):
        pair.copy()
    assert moved
    served = pair.served(pair.target)
    tables = {one.table for one in served["layout"].tables}
    # The copy is the state of one moment: with the table and all of it, or without it.
    assert tables in ({EMPTY}, {EMPTY, FULL})
    if FULL not in tables:
        pair.require_equal()


def test_the_last_snapshot_is_one_state(source: Store, pair: Pair):
    """What is committed after it began is in no part of the copy."""
    before = published(content(source))
    moved = False

    def add(_puts: int, put: wire.Put) -> None:
        nonlocal moved
        if put.added and not moved:
            moved = True
            added = change(epoch=1, table=FULL, rows_added=blobs(300, 3), delta=delta(1))
            done(source, commit(added, version=2))

    with meddling(add):
        pair.copy()
    assert moved
    assert pair.served(pair.target) == before


# --- Sides that are broken or lie. -----------------------------------------------------------------


def test_a_blob_damaged_on_the_way_is_mended(source: Store, pair: Pair):
    honest = copying.receive_store

    class Careless(Meddler):
        spoilt = False

        def put(self, request: wire.Put) -> wire.Staged:
            if request.added and not self.spoilt:
                self.spoilt = True
                spoilt = ((request.added[0][0], b"spoilt"), *request.added[1:])
                request = dataclasses.replace(request, added=spoilt)
            return super().put(request)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            copying,
            "receive_store",
            lambda url, genesis: Careless(honest(url, genesis), lambda *_: None),
        )
        report = pair.copy()
    assert report.mended == 1
    pair.require_equal()


class Liar:
    """A store, or a receiving one, of which some answers are changed."""

    def __init__(self, inner: Any, lie: Callable[[Any, Any], Any]) -> None:
        self._inner, self._lie = inner, lie

    @contextmanager
    def snapshot(self) -> Iterator[Any]:
        with self._inner.snapshot() as snapshot:
            yield LyingSnapshot(snapshot, self._lie)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class LyingSnapshot:
    def __init__(self, inner: Any, lie: Callable[[Any, Any], Any]) -> None:
        self._inner, self._lie = inner, lie

    def read(self, request: Any) -> Any:
        return self._lie(request, self._inner.read(request))

    def read_all(self, requests: Any) -> Any:
        return tuple(self.read(request) for request in requests)


@contextmanager
def lying(side: str, lie: Callable[[Any, Any], Any]) -> Iterator[None]:
    honest = getattr(copying, side)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(copying, side, lambda *where: Liar(honest(*where), lie))
        yield


def spoilt(request: Any, answer: Any) -> Any:
    if isinstance(request, wire.ReadRows) and answer.ids:
        return dataclasses.replace(answer, blobs=(b"other", *answer.blobs[1:]))
    return answer


def shown(request: Any, answer: Any) -> Any:
    if isinstance(request, wire.ReadEntries) and answer.ids:
        return dataclasses.replace(answer, blobs=(b"\1other", *answer.blobs[1:]))
    return answer


def hidden(request: Any, answer: Any) -> Any:
    if isinstance(request, wire.ReadEntries) and answer.ids:
        return dataclasses.replace(answer, ids=answer.ids[1:], blobs=answer.blobs[1:])
    return answer


def withheld(request: Any, answer: Any) -> Any:
    if isinstance(request, wire.ReadPages) and answer.ids:
        return dataclasses.replace(answer, ids=answer.ids[1:], blobs=answer.blobs[1:])
    return answer


def unasked(request: Any, answer: Any) -> Any:
    if isinstance(request, wire.ReadPages) and answer.ids:
        return dataclasses.replace(
            answer, ids=(*answer.ids, 123), blobs=(*answer.blobs, b"unasked")
        )
    return answer


def listed(*numbers: int) -> Callable[[Any, Any], Any]:
    def lie(request: Any, answer: Any) -> Any:
        if isinstance(request, wire.ListIds) and request.relation == "packs":
            return dataclasses.replace(answer, ids=(*answer.ids, *numbers))
        return answer

    return lie


def layout(**parts: Any) -> Callable[[Any, Any], Any]:
    def lie(request: Any, answer: Any) -> Any:
        return dataclasses.replace(answer, **parts) if isinstance(answer, wire.Layout) else answer

    return lie


def twice(_request: Any, answer: Any) -> Any:
    if isinstance(answer, wire.Layout):
        return dataclasses.replace(answer, tables=answer.tables * 2)
    return answer


def claimed(_request: Any, answer: Any) -> Any:
    if isinstance(answer, wire.Keys):
        return dataclasses.replace(answer, claims=((b"t" * 16, 1), (b"t" * 16, 2)))
    return answer


@pytest.mark.parametrize("settled", [1000, 0])
@pytest.mark.parametrize(
    ("side", "lie", "code"),
    [
        ("receive_store", spoilt, "E_COPY_DIFFERS"),
        ("receive_store", withheld, "E_COPY_DIFFERS"),
        ("receive_store", shown, "E_COPY_DIFFERS"),
        ("receive_store", hidden, "E_COPY_DIFFERS"),
        ("open_store", hidden, "E_TAMPERED"),
        ("receive_store", unasked, "E_TAMPERED"),
        ("open_store", unasked, "E_TAMPERED"),
        ("open_store", listed(-1), "E_TAMPERED"),
        ("open_store", listed(1 << 63), "E_TAMPERED"),
        ("open_store", listed(5, 5), "E_TAMPERED"),
        ("open_store", layout(catalog_links=()), "E_TAMPERED"),
        ("open_store", layout(catalog_version=7), "E_TAMPERED"),
        ("open_store", layout(database=b"short"), "E_TAMPERED"),
        ("open_store", twice, "E_TAMPERED"),
        ("open_store", claimed, "E_TAMPERED"),
        ("open_store", withheld, "E_TAMPERED"),
        ("open_store", listed(5), "E_TAMPERED"),
    ],
)
def test_lies_end_the_copy(
    source: Store,
    pair: Pair,
    monkeypatch: pytest.MonkeyPatch,
    side: str,
    lie: Callable[[Any, Any], Any],
    code: str,
    settled: int,
):
    monkeypatch.setattr(copying, "SETTLED_BLOBS", settled)
    with lying(side, lie):
        assert code_of(TamperError, pair.copy) == code
    missing = {"E_STORE_INCOMPLETE", "E_STORE_MISSING"}
    assert code_of(StoreUnavailable, lambda: open_store(pair.target)) in missing
    # Nothing of it is in the way of an honest copy.
    pair.copy()
    pair.require_equal()


def test_a_source_that_becomes_another_database(source: Store, pair: Pair):
    asked = 0

    def another(_request: Any, answer: Any) -> Any:
        nonlocal asked
        if isinstance(answer, wire.Layout):
            asked += 1
            return dataclasses.replace(answer, incarnation=b"%016d" % asked)
        return answer

    with lying("open_store", another):
        assert code_of(TamperError, pair.copy) == "E_TAMPERED"


@pytest.mark.parametrize("part", ["catalog_version", "epoch", "next_ordinal", "next_segment"])
def test_a_source_that_goes_back(
    source: Store, pair: Pair, monkeypatch: pytest.MonkeyPatch, part: str
):
    """A backup that is restored under a running copy gives numbers out again."""
    monkeypatch.setattr(copying, "SETTLED_BLOBS", 0)
    asked = 0

    def older(_request: Any, answer: Any) -> Any:
        nonlocal asked
        if not isinstance(answer, wire.Layout):
            return answer
        asked += 1
        if asked < 3:
            return answer
        if part == "catalog_version":
            links = answer.catalog_links[:-1]
            return dataclasses.replace(answer, catalog_version=1, catalog_links=links)
        lower: dict[str, Any] = {part: getattr(answer.tables[0], part) - 1}
        if part == "epoch":
            lower |= {"links": (), "manifest": None}
        first = dataclasses.replace(answer.tables[0], **lower)
        return dataclasses.replace(answer, tables=(first, *answer.tables[1:]))

    with (
        lying("open_store", older),
        pytest.raises(TamperError, match="older state while it was copied"),
    ):
        pair.copy()
    pair.copy()
    pair.require_equal()


def test_a_target_that_lists_what_was_not_written(source: Store, pair: Pair):
    with lying("receive_store", listed(5)):
        assert code_of(TamperError, pair.copy) == "E_COPY_DIFFERS"


@pytest.mark.parametrize("kind", ["deltas", "claims", "tombstones", "layout"])
def test_small_relations_are_compared_at_the_end(source: Store, pair: Pair, kind: str):
    honest = copying.receive_store

    class Forgetful(Meddler):
        def finish(self, request: wire.Finish) -> wire.Committed:
            contents = request.contents
            if kind == "layout":
                layout = dataclasses.replace(request.layout, catalog=b"another")
                return self._inner.finish(dataclasses.replace(request, layout=layout))
            full = dataclasses.replace(contents[0], **{kind: getattr(contents[0], kind)[1:]})
            return self._inner.finish(dataclasses.replace(request, contents=(full, *contents[1:])))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            copying,
            "receive_store",
            lambda url, genesis: Forgetful(honest(url, genesis), lambda *_: None),
        )
        assert code_of(TamperError, pair.copy) == "E_COPY_DIFFERS"


@pytest.mark.every_store
def test_damaged_entries_are_copied_as_they_are(
    source: Store, pair: Pair, kinds_of_store: dict[str, StoreKind], request: pytest.FixtureRequest
):
    """Such as one of no kind, or longer than any store would compare."""
    below = kinds_of_store[request.node.callspec.params["pair"][0]]
    with below.raw(pair.source) as raw:
        relation = next(
            one for name, one in raw.relations().items() if name.startswith("visible") and one.rows
        )
        keys = sorted(relation.rows)
        raw.change(relation, keys[0], "kind", 9)
        raw.change(relation, keys[1], "kind", 0)
        raw.change(relation, keys[-1], "value", b"long" * 300)
    pair.copy()
    pair.require_equal()
    served = pair.served(pair.target)[f"visible {FULL:08x}"]
    assert [blob for blob in served.blobs if len(blob) == 1] == [b"\0"] * 3


def test_a_damaged_source_file(source: Store, pair: Pair):
    source.close()
    with closing(sqlite3.connect(pair.source)) as raw, raw:
        raw.execute("DELETE FROM leases")
    assert code_of(TamperError, pair.copy) == "E_STORE_DAMAGED"
    assert code_of(StoreUnavailable, lambda: open_store(pair.target)) == "E_STORE_MISSING"


# --- Where to. -------------------------------------------------------------------------------------


def test_the_source_is_no_target(
    source: Store, pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link.db").symlink_to(pair.source)
    (tmp_path / "hard.db").hardlink_to(pair.source)
    before = content(source)
    for name in (
        pair.source,
        "source.db",
        "./source.db",
        "sqlite:///source.db",
        "link.db",
        "hard.db",
    ):
        assert code_of(UsageError, lambda name=name: copy_store(pair.source, name)) == "E_USAGE"
    assert content(source) == before


@pytest.mark.every_store
def test_a_complete_target_is_left_alone(source: Store, pair: Pair, genesis: wire.Genesis):
    pair.copy()
    before = pair.served(pair.target)
    done(source, commit(version=2, catalog=catalog_change(3, created=(NEW,))))
    assert code_of(StoreUnavailable, pair.copy) == "E_STORE_EXISTS"
    assert pair.served(pair.target) == before


@pytest.mark.every_store
def test_an_unfinished_copy_of_another_database(
    source: Store, pair: Pair, tmp_path: Path, genesis: wire.Genesis
):
    other = str(tmp_path / "other.db")
    create_store(other, dataclasses.replace(genesis, database=b"o" * 16)).close()

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), meddling(stop):
        pair.copy()
    assert code_of(StoreUnavailable, lambda: copy_store(other, pair.target)) == "E_STORE_EXISTS"
    pair.copy()
    pair.require_equal()


def test_a_missing_or_unfinished_source(pair: Pair, source: Store, tmp_path: Path):
    missing = str(tmp_path / "none.db")
    assert code_of(StoreUnavailable, lambda: copy_store(missing, pair.target)) == "E_STORE_MISSING"

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), meddling(stop):
        pair.copy()
    elsewhere = str(tmp_path / "elsewhere.db")
    code = code_of(StoreUnavailable, lambda: copy_store(pair.target, elsewhere))
    assert code == "E_STORE_INCOMPLETE"
    assert not Path(elsewhere).exists()


def test_dropped_tables_are_not_copied(source: Store, pair: Pair):
    pair.copy()
    assert DROPPED not in {one.table for one in pair.served(pair.target)["layout"].tables}
