"""Runs of a history: a database does each step, and what its store sees is held against the model.

The recorder stands where it does in use. It is extended only to learn the salts of segments from the manifests
that pass, which it opens by docs/format.md, because the model's random functions are those of the database's
keys under these salts.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import random
import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cbor2
import pytest

import encdb
from encdb import wire
from encdb.stores import open_store
from encdb.trace import Event, Recorder
from proxy import keyring
from proxy.dbapi import Connection
from proxy.opening import identity_of
from proxy.session import Session

from .model import history, spec
from .model.database import Model
from .model.functions import Keyed, Sampled
from .model.messages import Fresh, Matcher, Message, UnequalError, flatten

SEED = 20
STORE, KEYRING = "vault.db", "vault.keyring"


@contextmanager
def drawn(seed: int) -> Iterator[None]:
    """Keys, salts and names of a block are drawn from a seed, so that a run can be repeated exactly."""
    source = random.Random(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "urandom", source.randbytes)
        patch.setattr(secrets, "randbits", source.getrandbits)
        yield


class Tap(Recorder):
    """A recorder that reads the salts in manifests."""

    def __init__(self, store: Any, run: Run) -> None:
        super().__init__(store)
        self._run = run

    def commit(self, request: wire.Commit) -> Any:
        """Note what the manifests of a commit name."""
        for change in request.changes:
            if change.swap is not None:
                self._run.learn(change.table, change.swap)
        return super().commit(request)


@dataclass
class Run:
    """A database, and what its store has seen.

    Attributes:
        folder: where it lies.
        functions: its random functions, by its keys.
        events: of all connections together, in order.
    """

    folder: Path
    functions: Keyed
    events: list[Event] = field(default_factory=list)
    connections: dict[str, Connection] = field(default_factory=dict)

    @classmethod
    def new(cls, folder: Path) -> Run:
        """An empty database."""
        folder.mkdir(parents=True, exist_ok=True)
        encdb.init(str(folder / STORE), keyring=str(folder / KEYRING))
        store = open_store(str(folder / STORE))
        with store.snapshot() as snapshot:
            heads = snapshot.read(wire.ReadHeads(wire.NO_CATALOG, (), if_changed=False))
        store.close()
        root = keyring.load(heads.database, str(folder / KEYRING), None).root.expose()
        return cls(folder, Keyed(root, heads.database, heads.incarnation))

    def learn(self, table: int, swap: wire.Swap) -> None:
        """The salts of a manifest's segments."""
        functions = self.functions
        key, address = functions.key("manifest", table), functions.address("manifest", table)
        plain = spec.open_record(key, 3, swap.manifest, address + spec.context(swap.epoch))
        body = cbor2.loads(plain)
        analysis = [body["analysis"]] if body["analysis"] else []
        for segment, _, _, salt, *_ in (*body["segments"], *body["liveness"], *analysis):
            functions.salts[table, segment] = salt

    def do(self, step: history.Step) -> Sequence[Event]:
        """Do one step; what the store saw of it."""
        if isinstance(step, history.Connect):
            self._close(step.client)
            tap = Tap(open_store(str(self.folder / STORE)), self)
            database = identity_of(tap)
            opened = keyring.load(database, str(self.folder / KEYRING), None)
            session = Session(tap, opened.root, database, opened.genesis_hash, None, tap)
            self.connections[step.client] = Connection(session)
            mark = 0
        else:
            session = self.connections[step.client].session
            mark = session.trace.mark()
            if isinstance(step, history.Insert):
                self.connections[step.client].executemany(step.sql()[0], step.rows)
            else:
                self.connections[step.client].execute(*step.sql())
        events = session.trace.since(mark)
        self.events += events
        if isinstance(step, history.CreateTable):
            catalog = session.database.catalog
            self.functions.tables.append(catalog.table(step.table).id)
        return events

    def _close(self, client: str) -> None:
        if client in self.connections:
            self.connections.pop(client).close()

    def close(self) -> None:
        """Close all connections."""
        for client in list(self.connections):
            self._close(client)


Told = Callable[[Model, history.Step, Sequence[Message]], None]


@dataclass(frozen=True)
class Prepared:
    """A history that others continue: a closed store, and the model at its end."""

    folder: Path
    state: bytes
    imagined: bytes
    """The model under sampled random functions."""

    def copy(self, folder: Path) -> tuple[Run, Model, Matcher]:
        """Another store in the same state, and a model and its names for it."""
        shutil.copytree(self.folder, folder)
        model, matcher = pickle.loads(self.state)
        return Run(folder, model.functions), model, matcher


class Preparations:
    """Histories that are done once, for all that continue them."""

    def __init__(self, folder: Path, histories: Sequence[history.History]) -> None:
        self._histories = [list(one) for one in histories]
        self._folder = folder
        self._done: dict[int, Prepared] = {}

    def of(self, steps: history.History) -> tuple[Prepared | None, history.History]:
        """What was done of a history already, if anything, and the rest of it."""
        for number, known in enumerate(self._histories):
            if list(steps[: len(known)]) == known:
                return self._prepared(number), steps[len(known) :]
        return None, steps

    def _prepared(self, number: int) -> Prepared:
        if number not in self._done:
            steps = (history.Connect(), *self._histories[number])
            with drawn(SEED):
                new = Run.new(self._folder / str(number))
                run, model, matcher = _hold(new, None, Matcher(), steps, None)
            model.messages.clear()
            imagined = Model(Sampled(1))
            for step in steps:
                imagined.run(step)
            imagined.messages.clear()
            state = pickle.dumps((model, matcher))
            self._done[number] = Prepared(run.folder, state, pickle.dumps(imagined))
        return self._done[number]


def hold(
    folder: Path,
    steps: history.History,
    told: Told | None = None,
    after: Prepared | None = None,
) -> list[Event]:
    """Run a history and hold every message of it against the model; the events.

    Args:
        folder: does not exist yet, for the store.
        steps: what is done, by ``main`` from a first connection on unless it continues another history.
        told: called with the messages of each step.
        after: the history that is continued; its connections are closed.

    Raises:
        UnequalError: a message is not the one that the model says.
    """
    if after is not None:
        run, model, matcher = after.copy(folder)
        return _hold(run, model, matcher, steps, told)[0].events
    return _hold(Run.new(folder), None, Matcher(), (history.Connect(), *steps), told)[0].events


def _hold(
    run: Run,
    model: Model | None,
    matcher: Matcher,
    steps: history.History,
    told: Told | None,
) -> tuple[Run, Model, Matcher]:
    model = Model(run.functions) if model is None else model
    try:
        for number, step in enumerate(steps):
            events = run.do(step)
            messages = model.run(step)
            compare(matcher, messages, events, f"step {number}, {str(step)[:200]}")
            if told is not None:
                told(model, step, messages)
    finally:
        run.close()
    return run, model, matcher


def compare(
    matcher: Matcher, messages: Sequence[Message], events: Sequence[Event], where: str
) -> None:
    """Hold events against the messages that the model says."""
    for message, event in zip(messages, events, strict=False):
        try:
            matcher.match(message, event)
        except UnequalError as difference:
            raise UnequalError(f"{where}: {difference}") from None
    if len(messages) != len(events):
        rest = [f"{one.direction} {one.kind}" for one in messages[len(events) :]]
        more = [f"{one.boundary} {one.kind} {one.ids}" for one in events[len(messages) :]]
        raise UnequalError(f"{where}: only in the model {rest}, only in the run {more}")


def said(steps: history.History) -> list[Message]:
    """What the model says of a history, under sampled random functions."""
    model = Model(Sampled(1))
    for step in (history.Connect(), *steps):
        model.run(step)
    return model.messages


def continued(imagined: bytes, steps: history.History) -> list[Message]:
    """What the model says of what follows."""
    model: Model = pickle.loads(imagined)
    for step in steps:
        model.run(step)
    return model.messages


def as_events(messages: Sequence[Message]) -> list[Event]:
    """Messages of the model as a trace; every fresh value gets one of its own."""
    events = []
    for number, one in enumerate(messages):
        ids, sizes = flatten(one.body, {})
        shown = {path: tuple(map(_value, values)) for path, values in ids.items()}
        events.append(
            Event(
                session=0,
                sequence=number,
                boundary=one.direction,  # type: ignore[arg-type]
                kind=one.kind,
                ids=tuple(shown.items()),
                sizes=tuple((path, tuple(values)) for path, values in sizes.items()),
                outcome=one.outcome,
            )
        )
    return events


def _value(leaf: Any) -> Any:
    if not isinstance(leaf, Fresh):
        return leaf
    digest = hashlib.sha256(repr(leaf).encode()).digest()[:16]
    return int.from_bytes(digest[:4], "big") if leaf.what == "table" else digest
