"""Runs of a history: a database does each step, and what its store sees is held against the model.

The recorder stands where it does in use. It is extended only to learn the salts of segments from the manifests
that pass, which it opens by docs/format.md, because the model's random functions are those of the database's
keys under these salts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cbor2

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
from .model.functions import Functions, Keyed, Sampled
from .model.messages import Matcher, Message, UnequalError


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
        events: of all connections together, in order.
        steps: how many events each step made.
    """

    folder: Path
    events: list[Event] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    connections: dict[str, Connection] = field(default_factory=dict)
    url: str = ""

    def __post_init__(self) -> None:
        self.url = self.url or str(self.folder / "vault.db")
        self._keyring = str(self.folder / "vault.keyring")
        encdb.init(self.url, keyring=self._keyring)
        store = open_store(self.url)
        database = identity_of(store)
        with store.snapshot() as snapshot:
            heads = snapshot.read(wire.ReadHeads(wire.NO_CATALOG, (), if_changed=False))
        store.close()
        self._opened = keyring.load(database, self._keyring, None)
        root = self._opened.root.expose()
        self.functions = Keyed(root, database, heads.incarnation)

    def learn(self, table: int, swap: wire.Swap) -> None:
        """The salts of a manifest's segments."""
        functions = self.functions
        key, address = functions.key("manifest", table), functions.address("manifest", table)
        plain = spec.open_record(key, 3, swap.manifest, address + spec.context(swap.epoch))
        body = cbor2.loads(plain)
        for segment, _, _, salt, *_ in (*body["segments"], *body["liveness"]):
            functions.salts[table, segment] = salt

    def do(self, step: history.Step) -> Sequence[Event]:
        """Do one step; what the store saw of it."""
        if isinstance(step, history.Connect):
            self._close(step.client)
            tap = Tap(open_store(self.url), self)
            session = Session(
                tap, self._opened.root, identity_of(tap), self._opened.genesis_hash, None, tap
            )
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
        self.steps.append(len(events))
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


def hold(
    folder: Path,
    steps: history.History,
    told: Callable[[Model, history.Step, Sequence[Message]], None] | None = None,
) -> tuple[Run, Model]:
    """Run a history and hold every message of it against the model.

    Args:
        folder: an empty one, for the store.
        steps: what is done after a first connection.
        told: called with the messages of each step.

    Raises:
        UnequalError: a message is not the one that the model says.
    """
    folder.mkdir(parents=True, exist_ok=True)
    run = Run(folder)
    try:
        model, matcher = Model(run.functions), Matcher()
        for number, step in enumerate((history.Connect(), *steps)):
            events = run.do(step)
            messages = model.run(step)
            compare(matcher, messages, events, f"step {number}, {step}")
            if told is not None:
                told(model, step, messages)
        return run, model
    finally:
        run.close()


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


def said(steps: history.History, functions: Functions | None = None) -> list[Message]:
    """What the model says of a history, under sampled random functions."""
    model = Model(functions or Sampled(1))
    for step in (history.Connect(), *steps):
        model.run(step)
    return model.messages
