"""What the model says a store sees: messages whose numbers are known, bound, or made of random functions.

A message is a tree in the shape of its dataclass in `encdb.wire`. Its leaves are numbers, byte strings,
sizes of blobs (``Blob``) and values that a client draws freshly (``Fresh``). A fresh value is bound when it
first crosses the boundary, has to be another one than all before, and has to be the same from then on.
Every message and every field of it is marked with the leak that it belongs to.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from indexes.leakage import Leak

TO, FROM = "to store", "from store"
Flat = dict[str, list[int | bytes]]


@dataclass(frozen=True, slots=True)
class Blob:
    """A sealed blob of this many bytes."""

    size: int


@dataclass(frozen=True)
class Fresh:
    """A random value of a client: ``what`` it is for, which one, and of how many bytes if that counts."""

    what: str
    number: object = 0
    size: int | None = None


@dataclass(frozen=True, slots=True)
class By:
    """A list that a message carries in the order of its ids: rows of one or several leaves."""

    rows: tuple[tuple[Any, ...], ...]


@dataclass(frozen=True, slots=True)
class Each:
    """A list of records in the order of one of their fields."""

    records: tuple[Mapping[str, Any], ...]
    key: str


Tells = Leak | tuple[Leak, ...]
"""One leak, or several that one field shows together."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message.

    Attributes:
        direction: to the store or from it.
        kind: its class in `encdb.wire`.
        body: its fields in their order.
        leak: what it tells as a whole; its fields may tell something else.
        fields: the leaks of fields, by their path or the start of it.
        outcome: what became of the request, for answers.
    """

    direction: str
    kind: str
    body: Mapping[str, Any]
    leak: Leak
    fields: Mapping[str, Tells] = field(default_factory=dict)
    outcome: str = ""

    def leaks_of(self, path: str) -> tuple[Leak, ...]:
        """The leaks of one field: those of the longest part of its path that has any."""
        parts = path.split(".")
        for end in range(len(parts), 0, -1):
            found = self.fields.get(".".join(parts[:end]))
            if found is not None:
                return found if isinstance(found, tuple) else (found,)
        return (self.leak,)

    def leaks(self) -> set[Leak]:
        """Everything that the message tells."""
        ids, sizes = flatten(self.body, {})
        return {leak for path in (*ids, *sizes) for leak in self.leaks_of(path)} or {self.leak}


class UnequalError(AssertionError):
    """A message of the run is not the one that the model says."""


Binding = dict[Fresh, int | bytes]


def flatten(body: Any, names: Binding) -> tuple[Flat, dict[str, list[int]]]:
    """Ids and sizes by path, as a trace has them; unbound fresh values stand for themselves."""
    ids: Flat = {}
    sizes: dict[str, list[int]] = {}
    for path, leaf in _leaves(body, "", names):
        if isinstance(leaf, Blob):
            sizes.setdefault(path, []).append(leaf.size)
        else:
            ids.setdefault(path, []).append(leaf)
    return ids, sizes


def _leaves(value: Any, path: str, names: Binding) -> Iterator[tuple[str, Any]]:
    match value:
        case None | str():
            return
        case Mapping():
            for name, below in value.items():
                yield from _leaves(below, f"{path}.{name}" if path else name, names)
        case By(rows):
            for row in sorted(rows, key=lambda row: _order(row[0], names)):
                for leaf in row:
                    yield from _leaves(leaf, path, names)
        case Each(records, key):
            for record in sorted(records, key=lambda one: _order(one[key], names)):
                yield from _leaves(record, path, names)
        case list() | tuple():
            for one in value:
                yield from _leaves(one, path, names)
        case Fresh():
            yield path, names.get(value, value)
        case _:
            yield path, value


def _order(leaf: Any, names: Binding) -> Any:
    if isinstance(leaf, Fresh):
        leaf = names.get(leaf, leaf)
    return (1, repr(leaf)) if isinstance(leaf, Fresh) else (0, leaf)


class Matcher:
    """Holds a run against the model, message by message, and binds fresh values on the way."""

    def __init__(self) -> None:
        self.names: Binding = {}
        self._values: dict[tuple[str, int | bytes], Fresh] = {}

    def match(self, message: Message, event: Any) -> None:
        """Compare one message with one event of a trace.

        Raises:
            UnequalError: they differ.
        """
        ids, sizes = flatten(message.body, self.names)
        seen_ids = {name: list(values) for name, values in event.ids if values}
        seen_sizes = {name: list(values) for name, values in event.sizes if values}
        where = f"{message.direction} {message.kind}"
        if (message.direction, message.kind) != (event.boundary, event.kind):
            raise UnequalError(f"the model says {where}, the run {event.boundary} {event.kind}")
        if message.outcome and message.outcome != event.outcome:
            raise UnequalError(
                f"{where}: {message.outcome} in the model, {event.outcome} in the run"
            )
        if sizes != seen_sizes:
            raise UnequalError(f"{where}: sizes {sizes} in the model, {seen_sizes} in the run")
        if set(ids) != set(seen_ids):
            raise UnequalError(
                f"{where}: fields {set(ids)} in the model, {set(seen_ids)} in the run"
            )
        for path, values in ids.items():
            seen = seen_ids[path]
            if len(values) != len(seen):
                raise UnequalError(f"{where}.{path}: {values} in the model, {seen} in the run")
            for value, there in zip(values, seen, strict=True):
                if isinstance(value, Fresh):
                    self._bind(value, there, f"{where}.{path}")
                elif value != there:
                    raise UnequalError(f"{where}.{path}: {values} in the model, {seen} in the run")

    def _bind(self, fresh: Fresh, value: int | bytes, where: str) -> None:
        if fresh.size is not None and (not isinstance(value, bytes) or len(value) != fresh.size):
            raise UnequalError(f"{where}: {fresh} is of another size")
        other = self._values.setdefault((fresh.what, value), fresh)
        if self.names.setdefault(fresh, value) != value or other != fresh:
            raise UnequalError(
                f"{where}: {fresh} is not the value it was, or another one is the same"
            )
