"""A store that lies: it stands before an honest store and may answer anything to any request.

A lie is a function of the request and of the honest store's way to answer it. It may ask the honest
store, ask copies of it from earlier times, change what they say, keep it for later, or do nothing at
all. Every request and answer is kept, so that a lie can replay what was said before.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
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
from tests.fixtures.kinds import SQLITE, StoreKind

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

    def __init__(self, folder: Path, kind: StoreKind = SQLITE) -> None:
        self.folder, self.kind = folder, kind
        self.url = kind.new_url(folder, "world")
        self.root, self.database = Key.random(), os.urandom(16)
        incarnation = os.urandom(16)
        blob = seal_catalog(
            CatalogSealer(self.root, self.database), schema.Catalog(incarnation=incarnation)
        )
        self.genesis = sha256(blob)
        create_store(
            self.url,
            wire.Genesis(
                database=self.database,
                incarnation=incarnation,
                format=wire.FORMAT_VERSION,
                catalog=blob,
                link=self.genesis,
            ),
        ).close()
        self._open = ExitStack()
        self._copies: list[str] = []

    def session(self, url: str | None = None, *, pin: Pin | None = None) -> Session:
        """A session through a lying store, which lies about nothing yet; see :func:`liar`."""
        store = LyingStore(open_store(url or self.url))
        session = Session(store, self.root, self.database, self.genesis, pin)
        self._open.callback(_close, session, store)
        return session

    def pin(self, name: str) -> Pin:
        """A pin of that name in the folder."""
        return Pin.load(self.folder / f"{name}.pin", self.root.derive("pin"))

    def copy(self, source: str | None = None) -> str:
        """A copy of a store, or of the world as it is now."""
        target = self.kind.new_url(self.folder, f"copy{len(self._copies)}")
        self._copies.append(target)
        self.kind.copy(source or self.url, target)
        return target

    def close(self) -> None:
        """Close every session and remove every store."""
        self._open.close()
        for url in (self.url, *self._copies):
            self.kind.drop(url)


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
def answering_from(copy: str, request: type | None = None) -> Iterator[Lie]:
    """A lie that answers reads from a copy of the store."""
    store = open_store(copy)
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
