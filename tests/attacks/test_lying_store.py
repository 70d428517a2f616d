"""A store may answer anything to any request: a statement gets the right answer, or an error of encdb's.

The lies are told by :mod:`tests.attacks.lying_store`. Known and documented limits are left out: a client
without pin and memory accepts a whole older state, and nobody can see the newest change that is hidden
from everybody.
"""

from __future__ import annotations

import dataclasses
import itertools
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from encdb import wire
from encdb.errors import ConflictError, EncdbError, StoreUnavailable, TamperError, err
from encdb.stores import open_store
from indexes.seal import PageSealer
from proxy.check import check
from proxy.opening import identity_of
from proxy.session import Session
from tests.attacks.lying_store import Honest, Lie, LyingStore, Rows, World, forge, liar, rows
from tests.fixtures.kinds import StoreKind

# What is said above an honest store hardly depends on which store that is.
pytestmark = [pytest.mark.every_store, pytest.mark.sampled(6)]

QUESTIONS = (
    "SELECT * FROM people",
    "SELECT count(*) FROM people",
    "SELECT * FROM people WHERE id = 17",
    "SELECT id FROM people WHERE zip = '06003'",
    "SELECT id, age FROM people WHERE age BETWEEN 30 AND 33",
    "SELECT min(age), max(id) FROM people",
    "SELECT id FROM people WHERE notes @@ 'asth* -smokre~1'",
)
JOIN = "SELECT p.name, v.day FROM people p JOIN visits v ON v.person = p.id WHERE p.zip = '06001'"
READS = (wire.ReadHeads, wire.ReadPages, wire.ReadRows, wire.ReadPacks)
SECRET = "Xanthippe-4711"
"""A value that may never leave the proxy, nor stand in an error."""


class Past:
    """A database with a history, copies of it from several times, and the right answers of each."""

    def __init__(self, folder: Path, kind: StoreKind) -> None:
        self.world = world = World(folder, kind)
        one, two = world.session(), world.session()
        self.copies: list[str] = []
        self.answers: list[dict[str, Rows]] = []
        one.execute(
            "CREATE TABLE people (id BIGINT PRIMARY KEY, name TEXT NOT NULL, zip TEXT, age INT, "
            "notes TEXT)"
        )
        one.execute("CREATE INDEX ON people USING equality (zip)")
        one.execute("CREATE INDEX ON people USING range (age)")
        one.execute("CREATE INDEX ON people USING keyword (notes)")
        one.execute("CREATE TABLE visits (id BIGINT PRIMARY KEY, person BIGINT, day TEXT)")
        self._keep()
        add(one, range(1, 40))
        one.execute("INSERT INTO visits VALUES (1, 1, 'Monday'), (2, 13, 'Tuesday')")
        self._keep()
        one.execute("VACUUM")
        self._keep()
        two.execute("UPDATE people SET age = age + 1, zip = '06001' WHERE id BETWEEN 15 AND 18")
        one.execute("DELETE FROM people WHERE id IN (3, 30)")
        two.execute("INSERT INTO visits VALUES (3, 17, 'Friday')")
        add(one, range(40, 44))
        self._keep()
        one.execute("VACUUM people")
        two.execute("UPDATE people SET notes = 'asthma, reader' WHERE id IN (17, 41)")
        one.execute("DELETE FROM people WHERE zip = '06003' AND id > 20")
        self._keep()
        one.execute("CREATE INDEX ON visits USING equality (person)")
        two.execute("VACUUM")
        add(two, range(50, 53))
        one.execute("UPDATE visits SET day = 'Sunday' WHERE id = 1")
        self._keep()

    @property
    def now(self) -> dict[str, Rows]:
        """The right answers."""
        return self.answers[-1]

    def _keep(self) -> None:
        self.copies.append(self.world.copy())
        fresh = self.world.session()
        self.answers.append({text: rows(fresh, text) for text in (*QUESTIONS, JOIN)})


def add(session: Session, numbers: range) -> None:
    """People of these numbers."""
    illnesses, habits = ("asthma", "measles", "hay fever"), ("smoker", "runner")
    for n in numbers:
        session.execute(
            "INSERT INTO people VALUES (?, ?, ?, ?, ?)",
            (
                n,
                f"Person {n}",
                f"060{n % 7:02d}",
                20 + n % 30,
                f"{illnesses[n % 3]}, {habits[n % 2]}",
            ),
        )


@pytest.fixture(scope="module")
def past(store_kind: StoreKind, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Past]:
    made = Past(tmp_path_factory.mktemp("past"), store_kind)
    yield made
    made.world.close()


@pytest.fixture
def world(store_kind: StoreKind, tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path, store_kind)
    yield made
    made.close()


@pytest.fixture
def copy(past: Past) -> Iterator[Callable[[], Session]]:
    """Sessions on one copy of the past, to write to."""
    url = past.world.copy(past.copies[-1])
    opened: list[Session] = []

    def session() -> Session:
        store = LyingStore(open_store(url))
        opened.append(Session(store, past.world.root, past.world.database, past.world.genesis))
        return opened[-1]

    yield session
    for one in opened:
        liar(one).lies.clear()
        one.close()


def ask(session: Session, text: str) -> Rows | None:
    """The answer, or None for one of encdb's errors; anything else escapes and fails the test."""
    try:
        return rows(session, text)
    except EncdbError:
        return None


def twice(answer: Any) -> Any:
    return tuple(itertools.chain.from_iterable((one, one) for one in answer))


# --- Answers of the wrong shape ---------------------------------------------------------------------

JUNK: tuple[Any, ...] = (
    None, True, -1, 0, 1.5, 1 << 40, 1 << 62, 1 << 70, "x", b"", b"\0" * 16, b"\xff" * 5000, (),
    (None,), ((),), (1,), (b"",), [1], {1: 2}, object(),
)  # fmt: skip


def variants(value: Any) -> Iterator[Any]:
    """Wrong values in the place of a right one."""
    yield from JUNK
    if isinstance(value, tuple):
        yield from (value[1:], value[:-1], value[::-1], twice(value), (*value, None), list(value))
        yield (*value, 1 << 62)
        for one in JUNK:
            yield (one, *value[1:])
        if value and isinstance(value[0], tuple):
            for place, one in itertools.product(range(len(value[0])), JUNK):
                yield ((*value[0][:place], one, *value[0][place + 1 :]), *value[1:])
    if type(value) is int:
        yield from (value + 1, value - 1, float(value))
    if type(value) is bytes:
        yield from (value[:-1], value + b"\0", value[::-1], bytes(len(value)))


def mutations(answer: Any) -> Iterator[Any]:
    """One answer, wrong in one place each time."""
    yield from JUNK
    for field in dataclasses.fields(answer):
        value = getattr(answer, field.name)
        for wrong in variants(value):
            yield forge(answer, **{field.name: wrong})
        if isinstance(value, tuple) and value and dataclasses.is_dataclass(value[0]):
            for wrong in mutations(value[0]):
                yield forge(answer, **{field.name: (wrong, *value[1:])})


@pytest.mark.parametrize("kind", READS)
@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("step", [9, pytest.param(1, marks=pytest.mark.slow)])
def test_answers_of_any_shape(past: Past, kind: type, known: bool, step: int) -> None:
    """A read answered with the right thing, but for one field, by a store that checks nothing."""
    step = 2 if kind is wire.ReadHeads and step > 1 else step
    texts = {wire.ReadHeads: QUESTIONS[1:2], wire.ReadPages: QUESTIONS[3:4]}.get(
        kind, QUESTIONS[:1]
    )
    url = past.copies[-1]
    probe = past.world.session(url)
    assert [rows(probe, text) for text in texts] == [past.now[text] for text in texts]
    honest = next(given for request, given in liar(probe).log if type(request) is kind)
    session = past.world.session(url)
    told = 0
    for wrong in itertools.islice(mutations(honest), 0, None, step):
        if not session.database.sound or kind is not wire.ReadHeads:
            session.close()
            session = past.world.session(url)
        if known:
            assert ask(session, "SELECT count(*) FROM visits") is not None
        liar(session).lies[kind] = lambda request, answer, wrong=wrong: wrong
        for text in texts:
            assert ask(session, text) in (None, past.now[text]), wrong
        liar(session).lies.clear()
        assert ask(session, texts[0]) in (None, past.now[texts[0]]), wrong
        told += 1
    assert told > 10
    session.close()
    probe.close()


@pytest.mark.parametrize("wrong", JUNK)
def test_a_store_that_does_not_say_what_it_holds(world: World, wrong: object) -> None:
    store = LyingStore(open_store(world.url))
    store.lies[wire.ReadHeads] = lambda request, honest: wrong
    with pytest.raises(TamperError):
        identity_of(store)
    store.close()


# --- Answers of another time ------------------------------------------------------------------------


@pytest.mark.parametrize("memory", ["none", "session", "pin"])
@pytest.mark.parametrize("kinds", [*((one,) for one in READS), READS[1:], READS[2:]])
def test_answers_of_two_times(
    past: Past, tmp_path: Path, memory: str, kinds: tuple[type, ...]
) -> None:
    """Some kinds of request are answered from another time than the rest."""
    for then in range(len(past.copies) - 1):
        with ExitStack() as stack:
            pin = None
            if memory == "pin":
                pin = past.world.pin(f"{tmp_path.name}-{then}")
                seen = past.world.session(past.copies[-1], pin=pin)
                rows(seen, JOIN)
                seen.close()
            session = past.world.session(past.copies[-1], pin=pin)
            if memory == "session":
                rows(session, JOIN)
            old = open_store(past.copies[then])
            stack.callback(old.close)
            snapshot = stack.enter_context(old.snapshot())
            for kind in kinds:
                liar(session).lies[kind] = lambda request, honest: snapshot.read(request)  # noqa: B023
            for text in (*QUESTIONS, *((JOIN,) if memory != "none" else ())):
                allowed = [past.now[text]]
                if memory == "none":
                    allowed += [answers[text] for answers in past.answers]
                given = ask(session, text)
                assert given is None or given in allowed, (then, text)
            liar(session).lies.clear()
            assert ask(session, JOIN) in (None, past.now[JOIN])
            session.close()


def served(past: Past) -> list[wire.Heads]:
    """What each time answers to a client that knows nothing."""
    found = []
    for url in past.copies:
        session = past.world.session(url)
        rows(session, JOIN)
        liar(session).log.clear()
        cursors = tuple(
            wire.TableCursor(table=one, epoch=-1, chain=0, frontier=())
            for one in session.database.tables
        )
        with liar(session).honest.snapshot() as snapshot:
            found.append(snapshot.read(wire.ReadHeads(-1, cursors, if_changed=False)))
        session.close()
    return found


@settings(max_examples=15)
@given(data=st.data())
def test_heads_pieced_together(past: Past, data: st.DataObject) -> None:
    piece_together(past, data)


@pytest.mark.slow
@settings(max_examples=200)
@given(data=st.data())
def test_heads_pieced_together_many_times(past: Past, data: st.DataObject) -> None:
    piece_together(past, data)


def piece_together(past: Past, data: st.DataObject) -> None:
    """A new client is given catalog, manifests, links, deltas and ends of different times."""
    times = HEADS.setdefault(id(past), served(past))
    pick = st.sampled_from(range(len(times)))
    catalog = times[data.draw(pick)]
    tables = []
    for place in range(len(times[0].tables)):
        chosen = [times[data.draw(pick)].tables[place] for _ in range(4)]
        tables.append(
            dataclasses.replace(
                chosen[0],
                manifest=chosen[1].manifest if data.draw(st.booleans()) else chosen[0].manifest,
                links=chosen[0].links if data.draw(st.booleans()) else chosen[1].links,
                deltas=chosen[2].deltas,
                ends=chosen[2].ends if data.draw(st.booleans()) else chosen[3].ends,
            )
        )
    lie = dataclasses.replace(catalog, tables=tuple(tables))
    session = past.world.session(past.copies[data.draw(pick)])

    def heads(request: wire.ReadHeads, honest: Honest) -> wire.Heads:
        wanted = {cursor.table for cursor in request.cursors}
        kept = tuple(one for one in lie.tables if one.table in wanted)
        if request.catalog_version >= 0:
            return dataclasses.replace(lie, tables=kept, catalog=None, catalog_links=())
        return dataclasses.replace(lie, tables=kept)

    liar(session).lies[wire.ReadHeads] = heads
    for text in QUESTIONS:
        given = ask(session, text)
        assert given is None or given in [answers[text] for answers in past.answers], text
    session.close()


HEADS: dict[int, list[wire.Heads]] = {}


@pytest.mark.parametrize("kind", [wire.ReadPages, wire.ReadRows, wire.ReadPacks])
def test_blobs_of_other_ids(past: Past, kind: type) -> None:
    """Every blob is genuine, but stands under another's id."""
    for turn in range(3):
        session = past.world.session(past.copies[-1])

        def rotated(request: Any, honest: Honest, turn: int = turn) -> wire.Blobs:
            given = honest(request)
            shift = (turn + 1) % max(len(given.ids), 1)
            return dataclasses.replace(given, blobs=given.blobs[shift:] + given.blobs[:shift])

        liar(session).lies[kind] = rotated
        for text in QUESTIONS:
            assert ask(session, text) in (None, past.now[text])
        session.close()


def test_blobs_of_another_table(past: Past) -> None:
    session = past.world.session(past.copies[-1])
    rows(session, JOIN)
    tables = {one.name: one.id for one in session.catalog.tables}
    session.close()
    session = past.world.session(past.copies[-1])
    other = {tables["people"]: tables["visits"], tables["visits"]: tables["people"]}

    def swapped(request: Any, honest: Honest) -> Any:
        return honest(dataclasses.replace(request, table=other[request.table]))

    for kind in (wire.ReadPages, wire.ReadRows, wire.ReadPacks):
        liar(session).lies[kind] = swapped
    for text in (*QUESTIONS[:1], JOIN):
        assert ask(session, text) in (None, past.now[text])


@pytest.mark.parametrize("seen", [False, True])
def test_one_tables_half_of_a_transaction(world: World, seen: bool) -> None:
    """Large and small halves alike: what one table shows, the other has to show as well."""
    for large in ((), ("a",), ("b",), ("a", "b")):
        writer, reader = world.session(), world.session()
        writer.execute("CREATE TABLE a (id BIGINT)")
        writer.execute("CREATE TABLE b (id BIGINT)")
        if seen:
            rows(reader, "SELECT * FROM a, b")
        before = world.copy()
        writer.begin()
        for name in ("a", "b"):
            count = 1100 if name in large else 1
            writer.execute_many(f"INSERT INTO {name} VALUES (?)", [(n,) for n in range(count)])
        writer.commit()
        tables = {one.name: one.id for one in writer.catalog.tables}
        for hidden in ("a", "b"):
            fresh = reader if seen else world.session()
            old = open_store(before)
            with old.snapshot() as snapshot:

                def heads(
                    request: wire.ReadHeads,
                    honest: Honest,
                    hidden: int = tables[hidden],
                    snapshot: Any = snapshot,
                ) -> wire.Heads:
                    new, past = honest(request), snapshot.read(request)
                    pairs = {one.table: one for one in new.tables} | {
                        one.table: one for one in past.tables if one.table == hidden
                    }
                    return dataclasses.replace(new, tables=tuple(pairs.values()))

                liar(fresh).lies[wire.ReadHeads] = heads
                given = ask(fresh, "SELECT (SELECT count(*) FROM a), (SELECT count(*) FROM b)")
            old.close()
            liar(fresh).lies.clear()
            assert given is None, (large, hidden)
            if seen:
                reader = world.session()
                rows(reader, "SELECT * FROM a, b LIMIT 0")
                break
        writer.execute("DROP TABLE a")
        writer.execute("DROP TABLE b")


# --- Commits ----------------------------------------------------------------------------------------

CHANGES: dict[str, tuple[str, ...]] = {
    "insert": ("INSERT INTO people VALUES (900, 'New', '06003', 31, 'asthma')",),
    "update": ("UPDATE people SET age = age + 1 WHERE age < 40",),
    "delete": ("DELETE FROM people WHERE age < 30",),
    "fill": ("INSERT INTO visits SELECT n, n, 'x' FROM generate_series(1000, 2500) t(n)",),
    "large": (
        "INSERT INTO visits SELECT n, n, 'x' FROM generate_series(1000, 2500) t(n)",
        "UPDATE visits SET person = person + 1",
    ),
    "vacuum": ("VACUUM people",),
    "create": ("CREATE TABLE more (id BIGINT)",),
    "drop": ("DROP TABLE visits",),
    "index": ("CREATE INDEX ON people USING equality (name)",),
}
AFTER = (
    "SELECT * FROM people",
    "SELECT * FROM visits",
    "SELECT id FROM people WHERE zip = '06003'",
)


def done(answer: Any) -> Lie:
    def lie(request: Any, honest: Honest) -> Any:
        honest(request)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    return lie


def undone(answer: Any) -> Lie:
    def lie(request: Any, honest: Honest) -> Any:
        if isinstance(answer, BaseException):
            raise answer
        return answer

    return lie


def without(**emptied: object) -> Lie:
    """A part of every change is left out, and the rest acknowledged."""

    def lie(request: wire.Commit, honest: Honest) -> Any:
        names = {field.name for field in dataclasses.fields(wire.TableChange)}
        kept = {name: value for name, value in emptied.items() if name in names}
        changes = tuple(dataclasses.replace(one, **kept) for one in request.changes)  # type: ignore[arg-type]
        honest(dataclasses.replace(request, changes=changes))
        return wire.Committed()

    return lie


LOST = err(StoreUnavailable, "E_STORE_IO", "the line broke")
COMMIT_LIES: dict[str, Lie] = {
    "acknowledged, not done": undone(wire.Committed()),
    "repeated, not done": undone(wire.Committed(repeated=True)),
    "done, stale epoch": done(wire.Stale("epoch")),
    "done, stale catalog": done(wire.Stale("catalog")),
    "done, stale stage": done(wire.Stale("stage")),
    "done, conflict of rows": done(wire.Conflict("row", 0)),
    "done, conflict of keys": done(wire.Conflict("key", 0)),
    "done, lost": done(LOST),
    "not done, lost": undone(LOST),
    "not done, stale": undone(wire.Stale("epoch")),
    "not done, conflict": undone(wire.Conflict("key", 0)),
    "done, nothing": done(None),
    "done, a lease": done(wire.Leased(0, 1)),
    "rows left out": without(rows_added=()),
    "keys left out": without(keys_added=(), keys_removed=()),
    "removals left out": without(rows_removed=(), tombstones=()),
    "delta left out": without(delta=None),
    "merge left out": without(swap=None),
}


@pytest.fixture(scope="module")
def prepared(
    past: Past,
) -> dict[str, tuple[str, dict[str, Rows | None], dict[str, Rows | None]]]:
    """Per change, the store before it, and what the tables hold before and after it."""
    found = {}
    for name, (*setup, change) in CHANGES.items():
        url = past.world.copy(past.copies[-1])
        session = past.world.session(url)
        for text in setup:
            session.execute(text)
        before = effects(session)
        kept = past.world.copy(url)
        session.execute(change)
        found[name] = (kept, before, effects(session))
        session.close()
    return found


@pytest.mark.parametrize("often", ["once", pytest.param("always", marks=pytest.mark.slow)])
@pytest.mark.parametrize("lie", COMMIT_LIES)
def test_commits_that_are_lied_about(
    past: Past,
    prepared: dict[str, tuple[str, dict[str, Rows | None], dict[str, Rows | None]]],
    tmp_path: Path,
    lie: str,
    often: str,
) -> None:
    """A change takes effect once or not at all, and nobody is told otherwise."""
    for name, (source, before, after) in prepared.items():
        if often == "once" and name in {"fill", "delete"}:
            continue  # "large" and "update" are like them; the slow variant has all.
        url = past.world.copy(source)
        session, change = past.world.session(url), CHANGES[name][-1]
        effects(session)

        def told(request: Any, honest: Honest, session: Session = session) -> Any:
            if often == "once":
                liar(session).lies.clear()
            return COMMIT_LIES[lie](request, honest)

        liar(session).lies[wire.Commit] = told
        try:
            session.execute(change)
            succeeded, repeatable = True, False
        except EncdbError as error:
            succeeded, repeatable = False, isinstance(error, ConflictError)
        liar(session).lies.clear()
        fresh = past.world.session(url)
        found = [effects(session), effects(fresh)]
        for one in found:
            for text in AFTER:
                if succeeded:
                    assert one[text] in (None, after[text]), (name, text)
                elif repeatable:
                    assert one[text] in (None, before[text]), (name, text)
                else:
                    assert one[text] in (None, before[text], after[text]), (name, text)
        session.close()
        fresh.close()
        past.world.kind.drop(url)


def effects(session: Session) -> dict[str, Rows | None]:
    """What the tables hold, or that they do not answer."""
    return {text: ask(session, text) for text in AFTER}


def test_a_large_update_done_and_refused_is_not_done_again(world: World) -> None:
    session = world.session()
    session.execute("CREATE TABLE t (id BIGINT PRIMARY KEY, v BIGINT)")
    session.execute_many("INSERT INTO t VALUES (?, ?)", [(n, 0) for n in range(1500)])

    def once(request: Any, honest: Honest) -> wire.Stale:
        liar(session).lies.clear()
        honest(request)
        return wire.Stale("epoch")

    liar(session).lies[wire.Commit] = once
    with pytest.raises(TamperError):
        session.execute("UPDATE t SET v = v + 1")
    assert rows(world.session(), "SELECT DISTINCT v FROM t") == [(1,)]


def test_a_schema_change_acknowledged_and_replaced(world: World) -> None:
    """Another connection's change of the same version does not stand for this one's."""
    one, two = world.session(), world.session()
    one.execute("CREATE TABLE t (id BIGINT)")
    two.execute("INSERT INTO t VALUES (1)")

    def other_instead(request: wire.Commit, honest: Honest) -> wire.Committed:
        two.execute("CREATE TABLE u (id BIGINT)")
        return wire.Committed()

    liar(one).lies[wire.Commit] = other_instead
    with pytest.raises(TamperError):
        one.execute("DROP TABLE t")
    assert ask(one, "SELECT * FROM t") is None


def test_a_merge_acknowledged_and_replaced(world: World) -> None:
    one, two = world.session(), world.session()
    one.execute("CREATE TABLE t (id BIGINT)")
    two.execute("INSERT INTO t VALUES (1)")
    rows(one, "SELECT * FROM t")
    liar(one).lies[wire.Commit] = undone(wire.Committed())

    def other_first(request: Any, honest: Honest) -> Any:
        liar(one).lies.clear()
        two.execute("VACUUM t")
        return wire.Committed()

    liar(one).lies[wire.Commit] = other_first
    with pytest.raises(TamperError):
        one.execute_many("INSERT INTO t VALUES (?)", [(n,) for n in range(1500)])
    with pytest.raises(TamperError):
        rows(one, "SELECT count(*) FROM t")


def test_a_refused_change_is_not_served_later(world: World) -> None:
    """Two attempts are both valid ciphertext; only the acknowledged one may appear."""
    one, two = world.session(), world.session()
    one.execute("CREATE TABLE t (id BIGINT)")
    kept: list[wire.Commit] = []

    def refuse(request: wire.Commit, honest: Honest) -> wire.Conflict:
        kept.append(request)
        return wire.Conflict("row", 0)

    liar(one).lies[wire.Commit] = refuse
    with pytest.raises(ConflictError):
        one.execute("INSERT INTO t VALUES (1)")
    liar(one).lies.clear()
    assert isinstance(liar(two).honest.commit(kept[0]), wire.Committed)
    with pytest.raises(TamperError):
        rows(one, "SELECT * FROM t")


@pytest.mark.parametrize("text", ["UPDATE t SET v = v + 1", "DELETE FROM t WHERE id = 1"])
@pytest.mark.parametrize("settled", [False, True])
def test_two_writers_are_both_told_that_they_won(world: World, text: str, settled: bool) -> None:
    """The store drops the clauses by which it would have to refuse the second."""
    one, two = world.session(), world.session()
    one.execute("CREATE TABLE t (id BIGINT PRIMARY KEY, v BIGINT)")
    one.execute("INSERT INTO t VALUES (1, 0)")
    if settled:
        one.execute("VACUUM t")
    two.begin()
    two.execute(text)
    one.execute(text)

    def forced(request: wire.Commit, honest: Honest) -> Any:
        changes = tuple(
            dataclasses.replace(
                change, rows_removed=(), tombstones=(), keys_added=(), keys_removed=()
            )
            for change in request.changes
        )
        return honest(dataclasses.replace(request, changes=changes))

    liar(two).lies[wire.Commit] = forced
    with pytest.raises(TamperError):
        two.commit()
    for session in (one, two, world.session()):
        with pytest.raises(TamperError):
            rows(session, "SELECT * FROM t")


# --- Leases -----------------------------------------------------------------------------------------


def always(first: Any) -> Lie:
    return lambda request, honest: forge(wire.Leased(0, request.count), first=first)


def of_kind(kind: str, first: int) -> Lie:
    """One kind of number is given out from ``first`` on, the other honestly."""
    return lambda request, honest: (
        wire.Leased(first, request.count) if request.kind == kind else honest(request)
    )


@pytest.mark.parametrize(
    "first",
    [None, "x", 1.5, -1, 1 << 31, 1 << 44, 1 << 62, (1 << 63) - 1, 1 << 70],
)
@pytest.mark.parametrize("name", ["insert", "fill", "vacuum"])
def test_leases_of_absurd_numbers(
    copy: Callable[[], Session], past: Past, name: str, first: Any
) -> None:
    if name == "insert" and first == 1 << 31:
        return  # Rows may be numbered that high; segments may not.
    session = copy()
    liar(session).lies[wire.Lease] = always(first)
    with pytest.raises(TamperError):  # noqa: PT012
        for text in CHANGES[name]:
            session.execute(text)
    liar(session).lies.clear()
    assert rows(session, QUESTIONS[0]) == past.now[QUESTIONS[0]]


@pytest.mark.parametrize(
    "answer", [None, wire.Staged(), wire.Leased(0, 0), wire.Leased(0, 1 << 40)]
)
def test_answers_that_are_no_leases(copy: Callable[[], Session], answer: Any) -> None:
    session = copy()
    liar(session).lies[wire.Lease] = lambda request, honest: answer
    with pytest.raises(TamperError):
        session.execute(CHANGES["insert"][0])


@pytest.mark.parametrize("first", [0, 30, 4096])
@pytest.mark.parametrize("kind", ["ordinal", "segment"])
@pytest.mark.parametrize("name", ["insert", "update", "fill", "vacuum", "index"])
def test_leases_given_out_before(
    past: Past,
    prepared: dict[str, tuple[str, dict[str, Rows | None], dict[str, Rows | None]]],
    tmp_path: Path,
    name: str,
    kind: str,
    first: int,
) -> None:
    """Numbers that are taken, or taken in part, by rows, packs and segments."""
    source, before, after = prepared[name]
    url = past.world.copy(source)
    session = past.world.session(url)
    effects(session)
    liar(session).lies[wire.Lease] = of_kind(kind, first)
    try:
        session.execute(CHANGES[name][-1])
        right = after
    except EncdbError:
        right = before
    liar(session).lies.clear()
    fresh = past.world.session(url)
    for one in (session, fresh):
        found = effects(one)
        for text in AFTER:
            assert found[text] in (None, right[text]), text
        one.close()


def first_ordinal(session: Session) -> int:
    """The first ordinal that was leased through a session."""
    return next(
        answer.first
        for request, answer in liar(session).log
        if isinstance(request, wire.Lease) and request.kind == "ordinal"
    )


def keyword_table(world: World) -> Session:
    session = world.session()
    session.execute("CREATE TABLE t (id BIGINT PRIMARY KEY, n TEXT)")
    session.execute("CREATE INDEX ON t USING keyword (n)")
    return session


def test_an_ordinal_whose_row_came_and_went(world: World) -> None:
    """A new row with an old ordinal would be found under the old row's words."""
    one = keyword_table(world)
    one.execute("INSERT INTO t VALUES (1, 'asthma')")
    table = one.catalog.tables[0].id
    one.maintenance.fold(table)
    one.execute("DELETE FROM t WHERE id = 1")
    one.maintenance.fold(table)
    two = world.session()
    liar(two).lies[wire.Lease] = of_kind("ordinal", first_ordinal(one))
    with pytest.raises(TamperError):
        two.execute("INSERT INTO t VALUES (2, 'a broken arm')")
    assert rows(two, "SELECT id FROM t WHERE n @@ 'asthma'") == []


def test_an_ordinal_leased_to_two_before_either_used_it(world: World) -> None:
    """The second writer has leased it honestly, long before; the first one's row came and went."""
    one, two = keyword_table(world), world.session()
    two.execute("INSERT INTO t VALUES (10, 'x')")
    two.execute("INSERT INTO t VALUES (11, 'x')")  # Leases 64 from here on.
    shared = next(
        answer.first
        for request, answer in reversed(liar(two).log)
        if isinstance(request, wire.Lease)
    )
    liar(one).lies[wire.Lease] = of_kind("ordinal", shared + 1)
    table = one.catalog.tables[0].id
    try:
        one.execute("INSERT INTO t VALUES (1, 'asthma')")
        one.maintenance.fold(table)
        one.execute("DELETE FROM t WHERE id = 1")
        one.maintenance.fold(table)
    except EncdbError:
        pass
    liar(one).lies.clear()
    with suppress(TamperError):
        two.execute("INSERT INTO t VALUES (12, 'a broken arm')")
    for session in (one, two, world.session()):
        assert ask(session, "SELECT id FROM t WHERE n @@ 'asthma'") in (None, [])


def test_an_ordinal_deleted_in_the_same_transaction(world: World) -> None:
    one = keyword_table(world)
    one.execute("INSERT INTO t VALUES (1, 'old'), (2, 'other')")
    one.execute("VACUUM t")
    two = world.session()
    liar(two).lies[wire.Lease] = of_kind("ordinal", first_ordinal(one))
    two.begin()
    two.execute("DELETE FROM t WHERE id = 1")
    with pytest.raises(TamperError):
        two.execute("INSERT INTO t VALUES (3, 'new')")
    two.commit()
    assert rows(two, "SELECT id FROM t") == [(2,)]


def test_an_ordinal_of_the_transactions_own_deleted_row(world: World) -> None:
    session = keyword_table(world)
    liar(session).lies[wire.Lease] = of_kind("ordinal", 0)
    session.begin()
    session.execute("INSERT INTO t VALUES (1, 'asthma')")
    session.execute("DELETE FROM t WHERE id = 1")
    with pytest.raises(TamperError):
        session.execute("INSERT INTO t VALUES (2, 'a broken arm')")
    assert rows(session, "SELECT id FROM t WHERE n @@ 'asthma'") == []


@pytest.mark.parametrize("removed", [False, True])
def test_an_ordinal_given_to_two_writers_at_once(world: World, removed: bool) -> None:
    one, two, reader = keyword_table(world), world.session(), world.session()
    for session in (two, reader):
        rows(session, "SELECT * FROM t")
    two.begin()
    one.execute("INSERT INTO t VALUES (1, 'asthma')")
    liar(two).lies[wire.Lease] = of_kind("ordinal", first_ordinal(one))
    two.execute("INSERT INTO t VALUES (2, 'a broken arm')")
    rows(reader, "SELECT * FROM t")
    if removed:
        one.execute("DELETE FROM t WHERE id = 1")
        rows(reader, "SELECT * FROM t")

    def forced(request: wire.Commit, honest: Honest) -> Any:
        change = request.changes[0]
        return honest(
            dataclasses.replace(request, changes=(dataclasses.replace(change, rows_added=()),))
        )

    liar(two).lies[wire.Commit] = forced
    with pytest.raises(EncdbError):
        two.commit()
    for session in (one, two, reader, world.session()):
        assert ask(session, "SELECT id FROM t WHERE n @@ 'asthma'") in (
            None,
            [] if removed else [(1,)],
        )


def test_a_block_given_to_two_loads(world: World) -> None:
    one, two = world.session(), world.session()
    one.execute("CREATE TABLE t (id BIGINT)")
    rows(two, "SELECT * FROM t")
    two.begin()
    one.execute_many("INSERT INTO t VALUES (?)", [(n,) for n in range(2000)])
    liar(two).lies[wire.Lease] = of_kind("ordinal", first_ordinal(one))
    two.execute_many("INSERT INTO t VALUES (?)", [(n,) for n in range(2000, 4000)])
    with pytest.raises(EncdbError):
        two.commit()
    assert rows(world.session(), "SELECT count(*) FROM t") == [(2000,)]


def test_a_pack_number_given_out_twice(world: World) -> None:
    """Two packs of one number: the rows of one must not be answered with the other's values."""
    one, two, fresh = world.session(), world.session(), world.session()
    packs: dict[int, bytes] = {}
    pages: dict[int, bytes] = {}

    def stage(request: wire.Stage, honest: Honest) -> wire.Staged:
        packs.update(request.packs)
        pages.update(request.pages)
        return wire.Staged()

    def commit(request: wire.Commit, honest: Honest) -> Any:
        changes = []
        for change in request.changes:
            swap = change.swap and dataclasses.replace(change.swap, published=())
            changes.append(dataclasses.replace(change, swap=swap))
        return honest(dataclasses.replace(request, changes=tuple(changes)))

    def read(request: Any, honest: Honest) -> wire.Blobs:
        held = pages if isinstance(request, wire.ReadPages) else packs
        found = tuple(number for number in request.ids if number in held)
        return wire.Blobs(request.table, found, tuple(held[number] for number in found))

    for session in (one, two, fresh):
        liar(session).lies |= {
            wire.Stage: stage,
            wire.Commit: commit,
            wire.ReadPacks: read,
            wire.ReadPages: read,
        }
    one.execute("CREATE TABLE t (id BIGINT)")
    two.execute_many("INSERT INTO t VALUES (?)", [(n,) for n in range(20_000, 24_096)])
    _, leased = next(pair for pair in reversed(liar(two).log) if type(pair[0]) is wire.Lease)
    spare = two.writer.leases(two.catalog.tables[0].id)._numbers[-1]
    assert leased.first < spare
    liar(one).lies[wire.Lease] = of_kind("segment", spare)
    one.execute_many("INSERT INTO t VALUES (?)", [(n,) for n in range(8192)])
    two.execute_many("INSERT INTO t VALUES (?)", [(n,) for n in range(10_000, 14_096)])
    numbers = [entry.pack for entry in _entries(two)]
    assert len(set(numbers)) < len(numbers)
    for session in (one, fresh):
        with pytest.raises(TamperError):
            rows(session, "SELECT id FROM t")


def _entries(session: Session) -> list[Any]:
    """Every liveness entry of the one table."""
    with session.reading():
        (state,) = session.database.tables.values()
        return list(state.settled.entries(state.settled.blocks()).values())


# --- Snapshots --------------------------------------------------------------------------------------


def test_a_snapshot_that_moves_under_a_transaction(world: World) -> None:
    """Rows derived before a new index was shown would be missing from it for ever."""
    one, two = world.session(), world.session()
    one.execute("CREATE TABLE t (id BIGINT PRIMARY KEY, z TEXT)")
    one.execute("CREATE TABLE u (id BIGINT)")
    two.begin()
    two.execute("INSERT INTO t VALUES (1, 'x')")
    one.execute("CREATE INDEX ON t USING equality (z)")
    newer = open_store(world.url)

    def heads(request: wire.ReadHeads, honest: Honest) -> wire.Heads:
        with newer.snapshot() as snapshot:
            return snapshot.read(request)

    liar(two).lies[wire.ReadHeads] = heads
    with pytest.raises(TamperError):
        two.execute("SELECT * FROM u")
    liar(two).lies.clear()
    with pytest.raises(TamperError):
        two.execute("INSERT INTO t VALUES (2, 'x')")
    with pytest.raises(TamperError):
        two.commit()
    newer.close()
    assert rows(world.session(), "SELECT * FROM t") == []


@pytest.mark.parametrize("change", ["DROP TABLE t", "INSERT INTO t VALUES (2)", "VACUUM t"])
def test_a_snapshot_that_moves_within_a_statement(world: World, change: str) -> None:
    one = world.session()
    one.execute("CREATE TABLE t (id BIGINT PRIMARY KEY)")
    one.execute("INSERT INTO t VALUES (1)")
    session, newer = world.session(), open_store(world.url)
    asked = itertools.count()

    def heads(request: wire.ReadHeads, honest: Honest) -> wire.Heads:
        if next(asked) == 1:
            one.execute(change)
        with newer.snapshot() as snapshot:
            return snapshot.read(request)

    liar(session).lies[wire.ReadHeads] = heads
    assert ask(session, "SELECT * FROM t") in (None, [(1,)], [(1,), (2,)])
    newer.close()


@pytest.mark.parametrize("how", ["forged", "old", "unavailable", "interrupted"])
@pytest.mark.parametrize("explicit", [False, True])
def test_a_half_verified_state_answers_nothing(past: Past, how: str, explicit: bool) -> None:
    """After a failure in the middle of verifying, a connection refuses or answers rightly."""
    session = past.world.session(past.copies[3])
    rows(session, "SELECT * FROM people")
    if explicit:
        session.begin()
    newest = open_store(past.copies[-1])

    def heads(request: wire.ReadHeads, honest: Honest) -> Any:
        given = honest(request)
        if how == "forged":
            return forge(given, tables=tuple(forge(one, ends=None) for one in given.tables))
        if how == "old":
            return dataclasses.replace(given, catalog_version=1)
        with newest.snapshot() as snapshot:
            return snapshot.read(request)

    def pages(request: Any, honest: Honest) -> Any:
        if how == "interrupted":
            raise KeyboardInterrupt
        raise LOST

    liar(session).lies[wire.ReadHeads] = heads
    if how in {"unavailable", "interrupted"}:
        liar(session).lies[wire.ReadPages] = pages
    with suppress(EncdbError, KeyboardInterrupt):
        rows(session, JOIN)
    liar(session).lies.clear()
    for text in (*QUESTIONS, JOIN):
        allowed = (None, past.answers[3][text], past.now[text])
        assert ask(session, text) in allowed, text
    newest.close()
    session.close()


def test_a_failed_verification_is_not_pinned(past: Past) -> None:
    """What did not verify may not become the state that the next connection insists on."""
    pin = past.world.pin("not-pinned")
    session = past.world.session(past.copies[-2], pin=pin)
    rows(session, JOIN)
    session.remember(throttle=0.0)
    known = pin.state
    newest = open_store(past.copies[-1])

    def heads(request: wire.ReadHeads, honest: Honest) -> wire.Heads:
        with newest.snapshot() as snapshot:
            given = snapshot.read(request)
        return dataclasses.replace(
            given, tables=tuple(dataclasses.replace(one, ends=()) for one in given.tables)
        )

    liar(session).lies[wire.ReadHeads] = heads
    with pytest.raises(TamperError):
        rows(session, JOIN)
    session.close()
    newest.close()
    assert pin.state == known


# --- What a store learns, and what errors say -------------------------------------------------------


def test_no_lie_makes_the_proxy_send_or_print_a_value(past: Past, tmp_path: Path) -> None:
    """Whatever the store answers, no request, error or log holds a value or the root key."""
    secrets = (SECRET.encode(), past.world.root.expose())
    statements = (
        f"INSERT INTO people VALUES (901, '{SECRET}', '{SECRET}', 3, '{SECRET}')",
        f"UPDATE people SET name = '{SECRET}' WHERE id < 20",
        f"SELECT * FROM people WHERE zip = '{SECRET}' OR notes @@ '{SECRET}'",
        f"DELETE FROM people WHERE name = '{SECRET}' OR id = 17",
    )
    lies: list[tuple[type, Lie]] = [(wire.Commit, lie) for lie in COMMIT_LIES.values()]
    lies += [(kind, lambda request, honest: None) for kind in (*READS, wire.Lease, wire.Stage)]
    lies += [(wire.Lease, always(0)), (wire.Lease, always(1 << 62))]
    for number, (kind, lie) in enumerate(lies):
        session = past.world.session(past.world.copy(past.copies[-1]))
        liar(session).lies[kind] = lie
        for text in statements[number % 2 :: 2]:
            try:
                session.execute(text)
            except EncdbError as error:
                shown = "".join(traceback.format_exception(error)) + repr(error) + str(error)
                assert SECRET not in shown
        sent = b"".join(_bytes_of(request) for request, _ in liar(session).log)
        assert not any(secret in sent for secret in secrets)
        session.close()


def _bytes_of(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, tuple):
        return b"\1".join(map(_bytes_of, value))
    if dataclasses.is_dataclass(value):
        return _bytes_of(tuple(getattr(value, one.name) for one in dataclasses.fields(value)))
    return repr(value).encode()


def test_no_lie_makes_a_nonce_repeat(
    past: Past, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pages and packs use counters as nonces: a (salt, kind, number) may seal one plaintext only."""
    sealed: dict[tuple[bytes, bytes, int], bytes] = {}
    salts: dict[int, bytes] = {}
    keep: list[PageSealer] = []
    make, seal = PageSealer.__init__, PageSealer.seal

    def making(self: PageSealer, key: Any, salt: bytes, kind: bytes, aad: bytes) -> None:
        make(self, key, salt, kind, aad)
        salts[id(self)] = salt + kind
        keep.append(self)

    def sealing(self: PageSealer, number: int, plaintext: bytes) -> bytes:
        place = (salts[id(self)], b"", number)
        assert sealed.setdefault(place, plaintext) == plaintext
        return seal(self, number, plaintext)

    monkeypatch.setattr(PageSealer, "__init__", making)
    monkeypatch.setattr(PageSealer, "seal", sealing)
    lies: list[dict[type, Lie]] = [
        {wire.Commit: COMMIT_LIES["not done, stale"]},
        {wire.Commit: COMMIT_LIES["done, stale epoch"]},
        {wire.Lease: of_kind("segment", 1000)},
        {wire.Lease: of_kind("ordinal", 1 << 20)},
        {wire.Stage: lambda request, honest: wire.Stale("stage")},
    ]
    for lie in lies:
        session = past.world.session(past.world.copy(past.copies[-1]))
        liar(session).lies.update(lie)
        for name in ("fill", "large", "vacuum", "index"):
            for text in CHANGES[name]:
                try:
                    session.execute(text)
                except EncdbError:
                    continue
        liar(session).lies.clear()
        session.close()
    assert len(sealed) > 100


OPTIMISED = """
import sys
from pathlib import Path
from encdb import wire
from encdb.errors import TamperError
from tests.attacks.lying_store import World, forge, liar, rows

assert False, "assertions are off here"
session = World(Path(sys.argv[1])).session()
liar(session).lies[wire.ReadHeads] = lambda request, honest: forge(
    honest(request), catalog_version=-1, catalog=None, catalog_links=()
)
for attempt in range(2):
    try:
        rows(session, "SELECT * FROM t")
    except TamperError:
        print("refused")
"""


def test_no_check_is_an_assertion(tmp_path: Path) -> None:
    """``python -O`` drops assertions; a store without a catalog is refused all the same."""
    done = subprocess.run(
        [sys.executable, "-O", "-c", OPTIMISED, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert done.stdout == "refused\nrefused\n", done.stderr


# --- Stages, sweeps and checks ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "lie",
    [
        undone(wire.Staged()),
        undone(wire.Stale("stage")),
        undone(None),
        done(wire.Stale("stage")),
        lambda request, honest: honest(dataclasses.replace(request, pages=request.pages[1:])),
        lambda request, honest: honest(dataclasses.replace(request, packs=request.packs[1:])),
    ],
)
@pytest.mark.parametrize("name", ["fill", "vacuum", "index"])
def test_stages_that_are_lied_about(copy: Callable[[], Session], name: str, lie: Lie) -> None:
    session = copy()
    before = effects(session)
    right: dict[str, Rows | None] = dict(before)
    liar(session).lies[wire.Stage] = lie
    try:
        for text in CHANGES[name]:
            session.execute(text)
    except EncdbError:
        pass
    liar(session).lies.clear()
    for one in (session, copy()):
        found = effects(one)
        for text in AFTER:
            grown = name == "fill" and "visits" in text
            assert found[text] in (None, right[text]) or (
                grown
                and found[text] is not None
                and len(found[text] or ()) == 1501 + len(right[text] or ())
            )


@pytest.mark.parametrize("kind", [wire.ListIds, wire.ReadKeys])
@pytest.mark.parametrize(
    "change",
    [
        lambda given: None,
        lambda given: forge(given, **{dataclasses.fields(given)[1].name: ()}),
        lambda given: wire.Blobs(given.table, (), ()),
    ],
)
def test_a_check_that_is_lied_to(past: Past, kind: type, change: Callable[[Any], Any]) -> None:
    session = past.world.session(past.copies[-1])
    assert check(session).ok
    liar(session).lies[kind] = lambda request, honest: change(honest(request))
    try:
        assert not check(session).ok
    except EncdbError as error:
        assert error.exit_status == 4  # noqa: PT017
    session.close()


def test_the_lying_store_tells_the_truth_when_it_does_not_lie(past: Past) -> None:
    session = past.world.session(past.copies[-1])
    assert {text: rows(session, text) for text in (*QUESTIONS, JOIN)} == past.now
    session.close()
