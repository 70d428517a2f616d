"""A store that lies: it stands before an honest SQLite store and may answer anything to any request.

A lie is a function of the request and of the honest store's way to answer it. It may ask the honest
store, ask copies of it from earlier times, change what they say, keep it for later, or do nothing at
all. Every request and answer is kept, so that a lie can replay what was said before.
"""

from __future__ import annotations

import dataclasses
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

from encdb import wire
from encdb.stores import create_store, open_store
from encdb.stores.base import Description, Store, StoreSnapshot
from indexes.keys import Key
from proxy import catalog as schema
from proxy.keyspace import CatalogSealer, sha256
from proxy.pin import Pin
from proxy.session import Session
from proxy.snapshot import seal_catalog

Honest = Callable[[Any], Any]
Lie = Callable[[Any, Honest], Any]
"""From a request and the honest way to answer one, the answer that is given."""

Rows = list[tuple[Any, ...]]


class LyingStore:
    """A store whose answers to some kinds of request are lies.

    Attributes:
        lies: request class to lie; the others are answered honestly.
        log: every request with the answer that was given, oldest first.
    """

    def __init__(self, store: Store) -> None:
        self.honest = store
        self.lies: dict[type, Lie] = {}
        self.log: list[tuple[Any, Any]] = []

    def answer(self, request: Any, honest: Honest) -> Any:
        """The honest answer, or what the lie makes of the request."""
        lie = self.lies.get(type(request))
        given = honest(request) if lie is None else lie(request, honest)
        self.log.append((request, given))
        return given

    @property
    def url(self) -> str:
        """Where the honest store is."""
        return self.honest.url

    @contextmanager
    def snapshot(self) -> Iterator[StoreSnapshot]:
        """A snapshot whose reads may be lied about."""
        with self.honest.snapshot() as snapshot:
            yield _LyingSnapshot(self, snapshot)

    def commit(self, request: wire.Commit) -> Any:
        """Commit, perhaps."""
        return self.answer(request, self.honest.commit)

    def lease(self, request: wire.Lease) -> Any:
        """Lease, perhaps the same numbers again."""
        return self.answer(request, self.honest.lease)

    def stage(self, request: wire.Stage) -> Any:
        """Stage, perhaps."""
        return self.answer(request, self.honest.stage)

    def sweep(self, request: wire.Sweep) -> Any:
        """Sweep, perhaps."""
        return self.answer(request, self.honest.sweep)

    def claim(self, request: wire.Claim) -> Any:
        """Grant a claim, perhaps."""
        return self.answer(request, self.honest.claim)

    def interrupt(self) -> None:
        """Interrupt the honest store."""
        self.honest.interrupt()

    def describe(self) -> Description:
        """What the honest store says."""
        return self.honest.describe()

    def close(self) -> None:
        """Close the honest store."""
        self.honest.close()

    def asked(self, kind: type) -> list[Any]:
        """Every request of one kind so far."""
        return [request for request, _ in self.log if type(request) is kind]


class _LyingSnapshot:
    def __init__(self, store: LyingStore, snapshot: StoreSnapshot) -> None:
        self._store = store
        self._snapshot = snapshot

    def read(self, request: Any) -> Any:
        return self._store.answer(request, self._snapshot.read)

    def read_all(self, requests: Any) -> Any:
        return tuple(self.read(request) for request in requests)


class World:
    """One database in a folder, sessions on it, and copies of it from earlier times."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "world.db"
        self.root, self.database = Key.random(), os.urandom(16)
        incarnation = os.urandom(16)
        blob = seal_catalog(
            CatalogSealer(self.root, self.database), schema.Catalog(incarnation=incarnation)
        )
        self.genesis = sha256(blob)
        create_store(
            str(self.path),
            wire.Genesis(
                database=self.database,
                incarnation=incarnation,
                format=wire.FORMAT_VERSION,
                catalog=blob,
                link=self.genesis,
            ),
        ).close()
        self._open = ExitStack()
        self._copies = 0

    def session(self, path: Path | None = None, *, pin: Pin | None = None) -> Session:
        """A session through a lying store, which lies about nothing yet; see :func:`liar`."""
        store = LyingStore(open_store(str(path or self.path)))
        session = Session(store, self.root, self.database, self.genesis, pin)
        self._open.callback(_close, session, store)
        return session

    def pin(self, name: str) -> Pin:
        """A pin of that name in the folder."""
        return Pin.load(self.folder / f"{name}.pin", self.root.derive("pin"))

    def remember(self) -> Path:
        """A copy of the store as it is now."""
        self._copies += 1
        target = self.folder / f"copy{self._copies}.db"
        with (
            closing(sqlite3.connect(self.path)) as before,
            closing(sqlite3.connect(target)) as after,
        ):
            before.backup(after)
        return target

    def close(self) -> None:
        """Close every session."""
        self._open.close()


def _close(session: Session, store: LyingStore) -> None:
    store.lies.clear()
    session.close()


def liar(session: Session) -> LyingStore:
    """The lying store under a session."""
    store = session.store
    assert isinstance(store, LyingStore)
    return store


def rows(session: Session, text: str, *parameters: object) -> Rows:
    """The rows of a query, sorted."""
    table = session.execute(text, parameters).table
    assert table is not None
    listed = [tuple(one.values()) for one in table.to_pylist()]
    return sorted(listed, key=repr)


@contextmanager
def answering_from(copy: Path, request: type | None = None) -> Iterator[Lie]:
    """A lie that answers reads from a copy of the store."""
    store = open_store(str(copy))
    try:
        with ExitStack() as stack:
            snapshot: AbstractContextManager[StoreSnapshot] = store.snapshot()
            entered = stack.enter_context(snapshot)
            yield lambda asked, _: entered.read(asked)
    finally:
        store.close()


def forge(answer: Any, **changed: Any) -> Any:
    """A copy of an answer with fields changed, without the checks of its constructor."""
    made = object.__new__(type(answer))
    for field in dataclasses.fields(answer):
        object.__setattr__(made, field.name, changed.get(field.name, getattr(answer, field.name)))
    return made
