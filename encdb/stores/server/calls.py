"""What each call does with the store of its session, and which messages it may carry.

These functions work in a thread of the pool; :mod:`.gateway` has admitted the request by then.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast, get_args

from encdb import wire
from encdb.errors import EncdbError, InterfaceError, err
from encdb.stores.base import ReceivingStore, Store
from encdb.stores.codec import Malformed, decode_framed, decode_from

from .bodies import Body
from .refusals import malformed
from .sessions import Session


@dataclass(frozen=True, slots=True)
class Action:
    """One path below a store.

    Attributes:
        messages: classes that a body may hold.
        several: it may hold more than one message, else exactly one (or none without classes).
        writes: it needs a token that may write.
        begins: it begins a session.
    """

    messages: frozenset[type[Any]] = frozenset()
    several: bool = False
    writes: bool = False
    begins: bool = False


ACTIONS: Final = {
    "open": Action(begins=True),
    "create": Action(frozenset({wire.Genesis}), writes=True, begins=True),
    "receive": Action(frozenset({wire.Genesis}), writes=True, begins=True),
    "read": Action(frozenset(get_args(wire.ReadRequest)), several=True),
    "end": Action(),
    "write": Action(frozenset(get_args(wire.WriteRequest)), writes=True),
    "copy": Action(frozenset(get_args(wire.CopyRequest)), writes=True),
    "describe": Action(frozenset({wire.Describe})),
    "interrupt": Action(),
    "close": Action(),
}


def messages_of(action: Action, body: Body, memory: int) -> list[Any]:
    """The messages of a request's body, which are of the classes that belong there.

    Args:
        action: what is asked for.
        body: which is read to its end.
        memory: most bytes that the messages may take beside the contents of their strings.

    Raises:
        Refusal: they are not, or the body is malformed.
    """
    try:
        whole = body.rest()
        messages = decode_from(body.read, memory) if whole is None else decode_framed(whole, memory)
    except (Malformed, EncdbError):
        raise malformed("the request is malformed") from None
    if not {type(one) for one in messages} <= action.messages:
        raise malformed("the request carries a message of another kind")
    if not action.several and len(messages) != bool(action.messages):
        raise malformed("the request carries too many messages, or none")
    return messages


def kind_of(messages: Sequence[Any], action: str) -> str:
    """What the metrics call a request: the class of its message, or the action."""
    kinds = {type(one).__name__ for one in messages}
    return kinds.pop() if len(kinds) == 1 else action


def outcome_of(answers: Sequence[Any]) -> str:
    """What became of a request that did not fail."""
    match answers[:1]:
        case [wire.Committed(repeated=True)]:
            return "repeated"
        case [wire.Stale(what)]:
            return f"stale {what}"
        case [wire.Conflict(kind)]:
            return f"conflict {kind}"
        case [wire.Heads(unchanged=True)]:
            return "unchanged"
        case [wire.Claimed(granted=False)]:
            return "held"
        case _:
            return "ok"


def described(store: Store, *, writable: bool) -> wire.Described:
    """What the store says about itself, as a message."""
    description = store.describe()
    product, _, version = description.kind.partition(" ")
    return wire.Described(
        product=cast("Any", product),
        version=tuple(map(int, re.findall(r"\d+", version)[:4])),
        bytes=description.bytes,
        free=description.free,
        writable=description.writable and writable,
    )


def _receiving(store: Store | ReceivingStore) -> ReceivingStore:
    if not hasattr(store, "put"):
        raise err(InterfaceError, "E_CLOSED", "the session is not one of a copy")
    return cast("ReceivingStore", store)


def _complete(store: Store | ReceivingStore) -> Store:
    if not hasattr(store, "commit"):
        raise err(InterfaceError, "E_CLOSED", "the session is one of a copy")
    return cast("Store", store)


_WRITES: Final[dict[type[Any], Callable[[Store, Any], Any]]] = {
    wire.Commit: lambda store, message: store.commit(message),
    wire.Lease: lambda store, message: store.lease(message),
    wire.Stage: lambda store, message: store.stage(message),
    wire.Sweep: lambda store, message: store.sweep(message),
    wire.Claim: lambda store, message: store.claim(message),
}


def carry_out(
    session: Session, action: str, snapshot: int, messages: Sequence[Any], *, writable: bool
) -> Sequence[Any]:
    """Do what one request of an open session asks for.

    Args:
        session: whose store to use.
        action: one of :data:`ACTIONS` that does not begin or close a session.
        snapshot: number of the snapshot to read in, to end, or to keep open, 0 for none.
        messages: what the body holds.
        writable: the token may write.

    Returns:
        The answers.
    """
    if action not in {"read", "end"}:
        session.keep_only(snapshot)
    match action:
        case "read":
            return session.read(snapshot, messages)
        case "end":
            session.end(snapshot)
            return ()
        case "write":
            (message,) = messages
            return (_WRITES[type(message)](_complete(session.store), message),)
        case "copy":
            (message,) = messages
            target = _receiving(session.store)
            if isinstance(message, wire.Put):
                return (target.put(message),)
            return (target.finish(message),)
        case _:
            return (described(_complete(session.store), writable=writable),)
