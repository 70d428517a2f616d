"""The numbers of the message classes, and whole bodies: arrays of messages.

A number belongs to its class for ever. A class whose fields change gets a new number, so that an old
and a new program never misread each other.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from typing import IO, Any, Final, NoReturn

import cbor2

from encdb import wire

from .frames import FrameReader, only_frame
from .outline import MOST, Outline
from .schema import Malformed, Record, head

NUMBERS: Final[dict[type[Any], int]] = {
    wire.ReadHeads: 1,
    wire.ReadPages: 2,
    wire.ReadRows: 3,
    wire.ReadPacks: 4,
    wire.ReadKeys: 5,
    wire.ListIds: 6,
    wire.ReadLayout: 7,
    wire.Describe: 8,
    wire.ReadVisible: 9,
    wire.ReadGroups: 10,
    wire.ReadJoin: 11,
    wire.ReadEntries: 12,
    wire.Commit: 21,
    wire.Lease: 17,
    wire.Stage: 22,
    wire.Sweep: 19,
    wire.Claim: 20,
    wire.Genesis: 24,
    wire.Put: 25,
    wire.Finish: 26,
    wire.Heads: 64,
    wire.Blobs: 65,
    wire.Keys: 66,
    wire.Ids: 67,
    wire.Layout: 68,
    wire.Described: 69,
    wire.Groups: 70,
    wire.Joined: 71,
    wire.Committed: 80,
    wire.Stale: 81,
    wire.Conflict: 82,
    wire.Leased: 83,
    wire.Claimed: 84,
    wire.Staged: 85,
    wire.Swept: 86,
}
MESSAGES_LIMIT: Final = 4096
"""Most messages in one body."""
_DEPTH: Final = 12
"""Deeper than any message is nested."""
_TAGS: Final = (*range(64), 100, *range(256, 264), 1004, 43000, 55799)
"""Tags that the library would resolve by itself; it asks the hook about all others."""

_RECORDS: Final = {kind: Record(kind, number) for kind, number in NUMBERS.items()}
_BY_NUMBER: Final = {number: _RECORDS[kind] for kind, number in NUMBERS.items()}


def encode(messages: Sequence[object]) -> Iterator[bytes]:
    """The body that holds these messages, in pieces."""
    yield head(4, len(messages))
    for message in messages:
        yield from _RECORDS[type(message)].pieces(message)


def _refuse(*_: object) -> NoReturn:
    raise Malformed


_OPTIONS: Final[dict[str, Any]] = {
    "tag_hook": _refuse,
    "object_hook": _refuse,
    "semantic_decoders": dict.fromkeys(_TAGS, _refuse),
    "max_depth": _DEPTH,
    "allow_indefinite": False,
}


def decode(body: bytes) -> list[Any]:
    """The messages of a whole body.

    Raises:
        Malformed: it is no array of messages.
        EncdbError: a constructor of :mod:`encdb.wire` refused the message.
    """
    return _build(_plain(io.BytesIO(body)))


def _plain(stream: IO[bytes]) -> Any:
    """What CBOR says, which is all that the stream holds."""
    try:
        plain = cbor2.CBORDecoder(stream, **_OPTIONS).decode()
    except (cbor2.CBORDecodeError, Malformed):
        # The library wraps errors of its hooks in its own.
        raise Malformed from None
    if stream.read(1):
        raise Malformed
    return plain


def decode_from(read: Callable[[int], bytes], memory: int | None = None) -> list[Any]:
    """The messages of a body in frames that is read bit by bit.

    Args:
        read: gives up to so many bytes of what the carrier brings, none at its end.
        memory: most bytes that it may take once decoded, beside the contents of its strings.

    Raises:
        Malformed: it is no array of messages, or something follows it.
        EncdbError: a constructor of :mod:`encdb.wire` refused the message.
    """
    look = None if memory is None else Outline(memory).take
    plain = _plain(FrameReader(read, look=look).buffered())
    if read(1):
        raise Malformed
    return _build(plain)


def decode_framed(data: bytes, memory: int | None = None) -> list[Any]:
    """The messages of a body in frames; the common case of a single frame is the fast one.

    Args:
        data: the whole body.
        memory: as for :func:`decode_from`.
    """
    body = only_frame(data)
    if body is None or (memory is not None and len(body) * MOST > memory):
        return decode_from(io.BytesIO(data).read, memory)
    return decode(body)


def _build(plain: Any) -> list[Any]:
    if type(plain) is not list or len(plain) > MESSAGES_LIMIT:
        raise Malformed
    messages = []
    for one in plain:
        record = (
            _BY_NUMBER.get(one[0]) if type(one) is list and one and type(one[0]) is int else None
        )
        if record is None:
            raise Malformed
        messages.append(record.build(one))
    return messages
