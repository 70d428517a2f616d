"""The pin only moves forward, survives crashes and races, and notices forks, edits and damage."""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import stat
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from encdb.errors import EncdbError, KeyringError, TamperError
from indexes.keys import Key
from proxy import locations, pin
from proxy.pin import Pin, PinState, TablePin, merge

INCARNATION = bytes(16)
A, B = b"a" * 16, b"b" * 16


def h(*name: object) -> bytes:
    """A 32-byte hash that is a function of its name, as an honest store's hashes are."""
    return repr(name).encode().ljust(32, b".")[:32]


def table(epoch: int, **ends: int) -> TablePin:
    frontier = {w.encode() * 16: (n, h(w, n)) for w, n in ends.items()}
    return TablePin(epoch, h("chain", epoch), frontier)


def state(catalog: int = 1, dropped: tuple[int, ...] = (), **tables: TablePin) -> PinState:
    named = {int(name[1:]): value for name, value in tables.items()}
    return PinState(INCARNATION, catalog, h("catalog", catalog), named, frozenset(dropped))


@pytest.fixture
def key() -> Key:
    return Key.random()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "db.pin"


def refused(kind: type[EncdbError], code: str, call: Callable[[], object]) -> None:
    with pytest.raises(kind) as caught:
        call()
    assert caught.value.code == code
    assert caught.value.fix
    assert caught.value.exit_status == (4 if kind is TamperError else 3)


class TestMerge:
    def test_each_component_moves_by_itself(self) -> None:
        old = state(5, t1=table(3, a=7, b=1), t2=table(1))
        new = state(4, t1=table(4, a=6, b=2), t3=table(0))
        assert merge(old, new) == state(5, t1=table(4, a=7, b=2), t2=table(1), t3=table(0))

    def test_nothing_new_is_the_same_object(self) -> None:
        old = state(5, (9,), t1=table(3, a=7))
        assert merge(old, state(4, t1=table(2, a=3))) is old
        assert merge(old, state(5, (9,), t1=table(3, a=7), t9=table(8))) is old

    def test_forks(self) -> None:
        old = state(5, t1=table(3, a=7))
        for fork in (
            PinState(INCARNATION, 5, h("other")),
            state(5, t1=TablePin(3, h("other"))),
            state(5, t1=TablePin(9, h("chain", 9), {A: (7, h("other"))})),
        ):
            refused(TamperError, "E_FORK", partial(merge, old, fork))

    def test_another_incarnation(self) -> None:
        other = PinState(b"\x01" * 16, 9, h("catalog", 9))
        refused(TamperError, "E_INCARNATION", lambda: merge(state(), other))

    def test_dropped_tables_stay_dropped(self) -> None:
        old = merge(state(1, t1=table(3, a=7)), state(2, (1,)))
        assert old == state(2, (1,))
        assert merge(old, state(1, t1=table(9))) is old

    def test_folded_writers_leave(self) -> None:
        old = state(1, t1=table(3, a=7, b=2))
        folded = TablePin(4, h("chain", 4), {}, {A: 7, B: 1})
        assert merge(old, state(1, t1=folded)) == state(1, t1=table(4, b=2))

    def test_the_day_of_the_last_look_is_kept(self, path: Path, key: Key) -> None:
        old = state(1, t1=TablePin(3, h("chain", 3), day=100))
        later = state(1, t1=TablePin(3, h("chain", 3), day=101))
        assert merge(old, later) == later
        assert merge(later, old) is later
        Pin.load(path, key).advance(later)
        assert Pin.load(path, key).state == later

    def test_a_client_that_is_behind_does_not_forget(self) -> None:
        old = state(1, t1=table(3, a=7))
        behind = TablePin(2, h("chain", 2), {}, {A: 7})
        assert merge(old, state(1, t1=behind)) is old

    ends = st.dictionaries(st.sampled_from("ab"), st.integers(0, 5))
    tables = st.dictionaries(
        st.sampled_from(["t1", "t2"]),
        st.builds(lambda e, f: table(e, **f), st.integers(0, 5), ends),
    )
    states = st.builds(
        lambda c, d, t: state(c, tuple(d), **t),
        st.integers(0, 5),
        st.sets(st.integers(1, 2)),
        tables,
    )

    @given(states, states, states)
    def test_is_a_least_upper_bound(self, one: PinState, two: PinState, three: PinState) -> None:
        """Whatever order processes save in, the pin ends the same."""
        one, two, three = (merge(state(0), s) for s in (one, two, three))
        assert merge(one, two) == merge(two, one)
        assert merge(merge(one, two), three) == merge(one, merge(two, three))
        both = merge(one, two)
        assert merge(both, one) is both
        assert merge(both, two) is both


class TestFile:
    def test_first_use(self, path: Path, key: Key) -> None:
        assert Pin.load(path, key).state is None
        assert not path.exists()

    def test_round_trip(self, path: Path, key: Key) -> None:
        saved = state(3, (8, 9), t1=table(2, a=1, b=2), t4294967295=table(0))
        Pin.load(path, key).advance(saved)
        assert Pin.load(path, key).state == saved
        assert stat.S_IMODE(path.stat().st_mode) == 0o600

    def test_what_is_saved_is_what_is_known(self, path: Path, key: Key) -> None:
        mine = Pin.load(path, key)
        mine.advance(state(1, (1,), t1=table(1), t2=TablePin(1, h(1), {A: (1, h(2))}, {A: 1})))
        assert mine.state == Pin.load(path, key).state == state(1, (1,), t2=TablePin(1, h(1)))

    def test_nothing_new_writes_nothing(self, path: Path, key: Key) -> None:
        mine = Pin.load(path, key)
        mine.advance(state(2, t1=table(2, a=2)))
        before = path.stat()
        mine.advance(state(1, t1=table(2, a=1)))
        mine.flush()
        after = path.stat()
        assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)

    def test_throttle_and_flush(self, path: Path, key: Key) -> None:
        mine = Pin.load(path, key)
        mine.advance(state(1), throttle=1000)
        mine.advance(state(2), throttle=1000)
        mine.advance(state(3), throttle=1000)
        assert mine.state == state(3)
        assert Pin.load(path, key).state == state(1)
        mine.flush()
        assert Pin.load(path, key).state == state(3)

    def test_two_processes_keep_the_newer_of_each(self, path: Path, key: Key) -> None:
        one, two = Pin.load(path, key), Pin.load(path, key)
        one.advance(state(1, t1=table(5, a=1)))
        two.advance(state(2, t1=table(4, b=9)))
        assert Pin.load(path, key).state == state(2, t1=table(5, a=1, b=9))
        assert one.refresh() == two.state == state(2, t1=table(5, a=1, b=9))

    def test_two_processes_across_a_fork(self, path: Path, key: Key) -> None:
        one, two = Pin.load(path, key), Pin.load(path, key)
        one.advance(state(1, t1=table(5)))
        fork = state(1, t1=TablePin(5, h("other")))
        refused(TamperError, "E_FORK", lambda: two.advance(fork))
        assert Pin.load(path, key).state == state(1, t1=table(5))

    def test_a_refused_state_changes_nothing(self, path: Path, key: Key) -> None:
        mine = Pin.load(path, key)
        mine.advance(state(1))
        refused(TamperError, "E_INCARNATION", lambda: mine.advance(PinState(b"x" * 16, 9, h(9))))
        assert mine.state == Pin.load(path, key).state == state(1)

    def test_accepting_a_restore(self, path: Path, key: Key) -> None:
        mine = Pin.load(path, key)
        mine.advance(state(7, t1=table(5)))
        restored = PinState(b"\x01" * 16, 2, h("catalog", 2))
        mine.accept(restored)
        assert mine.state == Pin.load(path, key).state == restored

    def test_a_removed_pin_comes_back(self, path: Path, key: Key) -> None:
        mine = Pin.load(path, key)
        mine.advance(state(1))
        path.unlink()
        assert mine.refresh() == state(1)
        mine.advance(state(2))
        assert Pin.load(path, key).state == state(2)

    def test_lies_beside_the_keyring(self, tmp_path: Path) -> None:
        found = locations.pin_path(tmp_path / "any.keyring", INCARNATION)
        assert found == tmp_path / f"{INCARNATION.hex()}.pin"


class TestBadFiles:
    def test_any_flipped_byte(self, path: Path, key: Key) -> None:
        Pin.load(path, key).advance(state(3, (8,), t1=table(2, a=1)))
        good = path.read_bytes()
        for position in range(len(good)):
            bad = bytearray(good)
            bad[position] ^= 1 << position % 8
            path.write_bytes(bad)
            with pytest.raises(EncdbError) as caught:
                Pin.load(path, key)
            assert caught.value.code in ("E_PIN_DAMAGED", "E_PIN_NEWER")

    def test_any_truncation(self, path: Path, key: Key) -> None:
        Pin.load(path, key).advance(state(3))
        good = path.read_bytes()
        for size in range(len(good)):
            path.write_bytes(good[:size])
            refused(TamperError, "E_PIN_DAMAGED", lambda: Pin.load(path, key))

    def test_another_databases(self, path: Path, key: Key) -> None:
        Pin.load(path, key).advance(state(3))
        refused(TamperError, "E_PIN_DAMAGED", lambda: Pin.load(path, Key.random()))

    def test_newer_format(self, path: Path, key: Key) -> None:
        path.write_bytes(b"encdb-pin\x02" + bytes(60))
        refused(KeyringError, "E_PIN_NEWER", lambda: Pin.load(path, key))

    def test_link_and_folder(self, tmp_path: Path, path: Path, key: Key) -> None:
        Pin.load(path, key).advance(state(3))
        link = tmp_path / "link"
        link.symlink_to(path)
        refused(KeyringError, "E_PIN_FILE", lambda: Pin.load(link, key))
        refused(TamperError, "E_PIN_DAMAGED", lambda: Pin.load(tmp_path, key))

    def test_cannot_be_written(self, path: Path, key: Key, monkeypatch: pytest.MonkeyPatch) -> None:
        mine = Pin.load(path, key)
        mine.advance(state(1))

        def full(_: int) -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", full)
            refused(KeyringError, "E_PIN_FILE", lambda: mine.advance(state(2)))
        assert Pin.load(path, key).state == state(1)
        assert sorted(entry.name for entry in path.parent.iterdir()) == ["db.pin", "db.pin.lock"]
        mine.flush()
        assert Pin.load(path, key).state == state(2)

    def test_locked(self, path: Path, key: Key, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(pin, "_LOCK_SECONDS", 0.02)
        with path.with_name("db.pin.lock").open("w") as other:
            fcntl.flock(other, fcntl.LOCK_EX)
            refused(KeyringError, "E_PIN_LOCKED", lambda: Pin.load(path, key).advance(state(1)))
        Pin.load(path, key).advance(state(1))


def _advance_often(path: str, secret: bytes, writer: str, count: int) -> None:
    mine = Pin.load(path, Key(secret))
    for n in range(1, count + 1):
        mine.advance(state(n, t1=table(n, **{writer: n})))


def test_no_update_of_many_processes_is_lost(path: Path, key: Key) -> None:
    context = multiprocessing.get_context("spawn")
    writers = "abcd"
    processes = [
        context.Process(target=_advance_often, args=(str(path), key.expose(), writer, 20))
        for writer in writers
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert Pin.load(path, key).state == state(20, t1=table(20, a=20, b=20, c=20, d=20))


@settings(max_examples=30, deadline=None)
@given(st.lists(TestMerge.states, min_size=1, max_size=6))
def test_a_reloaded_pin_is_the_merge_of_all(
    tmp_path_factory: pytest.TempPathFactory, states: list[PinState]
) -> None:
    where, key = tmp_path_factory.mktemp("pin") / "p", Key.random()
    expected = merge(state(0), states[0])
    Pin.load(where, key).advance(expected)
    for one in states[1:]:
        Pin.load(where, key).advance(one)
        expected = merge(expected, one)
    assert Pin.load(where, key).state == expected
