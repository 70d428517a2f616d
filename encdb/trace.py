"""Recording what crosses the boundary: every message a store receives and every answer it gives.

A recorder stands before a store and offers the same protocol. Each event holds what the store can
see of a message: its kind, the opaque ids it names, and the sizes of its blobs, not their contents.
So a trace is the leakage of a history of statements, put in writing: two databases that a scheme's
declared leakage does not tell apart must have the same traces up to a renaming of ids.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, overload

from . import wire
from .errors import EncdbError
from .stores.base import Description, Store, StoreSnapshot

TO_STORE: Final = "to store"
FROM_STORE: Final = "from store"
Boundary: TypeAlias = Literal["to store", "from store"]
Id: TypeAlias = int | bytes

_SEALED: Final = frozenset({"blob", "blobs", "catalog", "manifest"})
"""Fields whose bytes are ciphertext: a trace keeps their sizes. All other bytes are ids, also the values of
server-visible indexes and what a store is asked to compare them with."""
_SEALED_PAIRS: Final = frozenset({"rows_added", "pages", "packs", "added"})
"""Fields of (id, ciphertext) pairs."""
_sessions = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Event:
    """One message.

    Attributes:
        session: number of the recorder within this process.
        sequence: number of the message within the session, from 1.
        boundary: the direction.
        kind: name of the message's class in :mod:`encdb.wire`, or of the error raised.
        ids: (field, ids) in the order of the message's fields; numbers such as epochs count as ids.
        sizes: (field, sizes of its blobs in bytes).
        outcome: for answers, what became of the request: ``ok``, ``repeated``, ``stale catalog``,
            ``conflict key``, or an error's code.
    """

    session: int
    sequence: int
    boundary: Boundary
    kind: str
    ids: tuple[tuple[str, tuple[Id, ...]], ...]
    sizes: tuple[tuple[str, tuple[int, ...]], ...]
    outcome: str = ""

    @property
    def count(self) -> int:
        """Number of blobs in the message."""
        return sum(len(sizes) for _, sizes in self.sizes)

    @property
    def bytes(self) -> int:
        """Bytes of all blobs in the message."""
        return sum(sum(sizes) for _, sizes in self.sizes)

    def named(self, field: str) -> tuple[Id, ...]:
        """The ids of one field; nested fields are joined by dots, such as ``changes.delta.n``."""
        return tuple(value for name, ids in self.ids if name == field for value in ids)

    def as_dict(self) -> dict[str, Any]:
        """The event as JSON values; bytes in hexadecimal."""
        return {
            "session": self.session,
            "sequence": self.sequence,
            "boundary": self.boundary,
            "kind": self.kind,
            "ids": [[name, [_plain(one) for one in ids]] for name, ids in self.ids],
            "sizes": [[name, list(sizes)] for name, sizes in self.sizes],
            "outcome": self.outcome,
        }


def _plain(value: Id) -> int | str:
    return value.hex() if isinstance(value, bytes) else value


def visible(
    message: object, *, clear: bool = False
) -> tuple[dict[str, list[Id]], dict[str, list[int]]]:
    """What a store sees of a message: ids by field, and sizes of blobs by field.

    Args:
        message: of :mod:`encdb.wire`.
        clear: its blobs are values of server-visible indexes, which count as ids.
    """
    ids: dict[str, list[Id]] = {}
    sizes: dict[str, list[int]] = {}
    _collect(message, "", ids, sizes, frozenset() if clear else _SEALED)
    return ids, sizes


def _collect(
    value: object,
    path: str,
    ids: dict[str, list[Id]],
    sizes: dict[str, list[int]],
    sealed: frozenset[str],
) -> None:
    name = path.rpartition(".")[2]
    match value:
        case None | str():
            pass
        case bytes() if name in sealed:
            sizes.setdefault(path, []).append(len(value))
        case bytes() | int():
            ids.setdefault(path, []).append(value)
        case tuple() if name in _SEALED_PAIRS:
            ids.setdefault(path, []).extend(identity for identity, _ in value)
            sizes.setdefault(path, []).extend(len(blob) for _, blob in value)
        case tuple():
            for one in value:
                _collect(one, path, ids, sizes, sealed)
        case _ if dataclasses.is_dataclass(value):
            for field in dataclasses.fields(value):
                below = f"{path}.{field.name}" if path else field.name
                _collect(getattr(value, field.name), below, ids, sizes, sealed)


def _outcome(answer: object) -> str:
    match answer:
        case wire.Committed(repeated=True):
            return "repeated"
        case wire.Stale(what):
            return f"stale {what}"
        case wire.Conflict(kind):
            return f"conflict {kind}"
        case wire.Heads(unchanged=True):
            return "unchanged"
        case _:
            return "ok"


class Recorder:
    """A store that writes down what the store behind it sees.

    Args:
        store: the store to stand before.

    Attributes:
        events: everything so far, oldest first.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._session = next(_sessions)
        self.events: list[Event] = []

    def mark(self) -> int:
        """A place in the trace, for :meth:`since`."""
        return len(self.events)

    def since(self, mark: int) -> Sequence[Event]:
        """The events after a place."""
        return self.events[mark:]

    def _note(
        self,
        boundary: Boundary,
        kind: str,
        message: object,
        outcome: str = "",
        *,
        clear: bool = False,
    ) -> None:
        ids, sizes = visible(message, clear=clear)
        self.events.append(
            Event(
                session=self._session,
                sequence=len(self.events) + 1,
                boundary=boundary,
                kind=kind,
                ids=tuple((name, tuple(values)) for name, values in ids.items()),
                sizes=tuple((name, tuple(values)) for name, values in sizes.items()),
                outcome=outcome,
            )
        )

    @contextmanager
    def exchange(self, request: wire.Request) -> Iterator[list[wire.Response]]:
        """Record one request, and the answer that the block puts in the list, or its error."""
        self.asked(request)
        answers: list[wire.Response] = []
        with self.failing():
            yield answers
        for answer in answers:
            self.answered(request, answer)

    def asked(self, request: wire.Request) -> None:
        """Record a request."""
        self._note(TO_STORE, type(request).__name__, request)

    def answered(self, request: wire.Request | None, answer: wire.Response) -> None:
        """Record the answer to a request."""
        clear = isinstance(request, wire.ReadEntries)
        self._note(FROM_STORE, type(answer).__name__, answer, _outcome(answer), clear=clear)

    @contextmanager
    def failing(self) -> Iterator[None]:
        """Record the error that a block ends with."""
        try:
            yield
        except EncdbError as error:
            self._note(FROM_STORE, type(error).__name__, None, error.code or "error")
            raise

    @property
    def url(self) -> str:
        """Where the store is."""
        return self._store.url

    @contextmanager
    def snapshot(self) -> Iterator[StoreSnapshot]:
        """A snapshot whose reads are recorded."""
        with self._store.snapshot() as snapshot:
            yield _RecordedSnapshot(self, snapshot)

    def commit(self, request: wire.Commit) -> wire.Committed | wire.Stale | wire.Conflict:
        """Commit, recorded."""
        with self.exchange(request) as answers:
            answer = self._store.commit(request)
            answers.append(answer)
        return answer

    def lease(self, request: wire.Lease) -> wire.Leased:
        """Lease, recorded."""
        with self.exchange(request) as answers:
            answer = self._store.lease(request)
            answers.append(answer)
        return answer

    def stage(self, request: wire.Stage) -> wire.Staged | wire.Stale:
        """Stage, recorded."""
        with self.exchange(request) as answers:
            answer = self._store.stage(request)
            answers.append(answer)
        return answer

    def sweep(self, request: wire.Sweep) -> wire.Swept:
        """Sweep, recorded."""
        with self.exchange(request) as answers:
            answer = self._store.sweep(request)
            answers.append(answer)
        return answer

    def claim(self, request: wire.Claim) -> wire.Claimed:
        """Claim, recorded."""
        with self.exchange(request) as answers:
            answer = self._store.claim(request)
            answers.append(answer)
        return answer

    def interrupt(self) -> None:
        """Interrupt the store behind."""
        self._store.interrupt()

    def describe(self) -> Description:
        """Kind and size of the store behind."""
        return self._store.describe()

    def close(self) -> None:
        """Close the store behind; the events stay."""
        self._store.close()


class _RecordedSnapshot:
    def __init__(self, recorder: Recorder, snapshot: StoreSnapshot) -> None:
        self._recorder = recorder
        self._snapshot = snapshot

    @overload
    def read(self, request: wire.ReadHeads) -> wire.Heads: ...
    @overload
    def read(
        self, request: wire.ReadPages | wire.ReadRows | wire.ReadPacks | wire.ReadEntries
    ) -> wire.Blobs: ...
    @overload
    def read(self, request: wire.ReadKeys) -> wire.Keys: ...
    @overload
    def read(self, request: wire.ListIds | wire.ReadVisible) -> wire.Ids: ...
    @overload
    def read(self, request: wire.ReadGroups) -> wire.Groups: ...
    @overload
    def read(self, request: wire.ReadJoin) -> wire.Joined: ...
    @overload
    def read(self, request: wire.ReadLayout) -> wire.Layout: ...
    def read(self, request: wire.ReadRequest) -> wire.ReadResponse:
        """Read, recorded."""
        with self._recorder.exchange(request) as answers:
            answer = self._snapshot.read(request)
            answers.append(answer)
        return answer

    def read_all(self, requests: Sequence[wire.ReadRequest]) -> tuple[wire.ReadResponse, ...]:
        """Read several, recorded: all requests go before the first answer comes."""
        if not requests:
            return ()
        recorder = self._recorder
        for request in requests:
            recorder.asked(request)
        with recorder.failing():
            answers = self._snapshot.read_all(requests)
        # A store that lies may give more answers than it was asked for, or fewer.
        for request, answer in itertools.zip_longest(requests, answers):
            if answer is not None:
                recorder.answered(request, answer)
        return answers
