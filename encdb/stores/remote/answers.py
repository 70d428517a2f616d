"""Reading answers and believing nothing of them: they belong to their request and have its kind."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from encdb import wire
from encdb.errors import EncdbError, InternalError, OperationalError, TamperError, err
from encdb.stores.codec import (
    Answer,
    FrameReader,
    Malformed,
    WrongVersion,
    decode_error,
    decode_framed,
    decode_from,
)

from .connection import Broken, Response

_EXPECTED: Final[dict[type[Any], tuple[type[Any], ...]]] = {
    wire.ReadHeads: (wire.Heads,),
    wire.ReadPages: (wire.Blobs,),
    wire.ReadRows: (wire.Blobs,),
    wire.ReadPacks: (wire.Blobs,),
    wire.ReadKeys: (wire.Keys,),
    wire.ReadVisible: (wire.Ids,),
    wire.ReadGroups: (wire.Groups,),
    wire.ReadJoin: (wire.Joined,),
    wire.ReadEntries: (wire.Blobs,),
    wire.ListIds: (wire.Ids,),
    wire.ReadLayout: (wire.Layout,),
    wire.Describe: (wire.Described,),
    wire.Commit: (wire.Committed, wire.Stale, wire.Conflict),
    wire.Lease: (wire.Leased,),
    wire.Stage: (wire.Staged, wire.Stale),
    wire.Sweep: (wire.Swept,),
    wire.Claim: (wire.Claimed,),
    wire.Put: (wire.Staged,),
    wire.Finish: (wire.Committed,),
}
"""Which answers a request may have."""
_AT_ONCE_BYTES: Final = 1 << 20
_ERROR_BYTES: Final = 1 << 14
_GATEWAY_STATUSES: Final = frozenset({502, 503, 504})


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server answered.

    Attributes:
        status: HTTP's; 200 unless the server refused the request.
        session: of the answer, zeros for none.
        messages: the answers, if it is no error.
        error: the error, if it is one.
        wait: seconds after which a refused request may be sent again.
    """

    status: int
    session: bytes
    messages: list[Any] = field(default_factory=list)
    error: EncdbError | None = None
    wait: float = 0.0


def read_reply(
    response: Response, request: bytes, expected: Sequence[tuple[type[Any], ...]]
) -> Reply:
    """The answer to a request.

    Args:
        response: its head, and a body that is not read yet.
        request: id of the request, 16 bytes.
        expected: for each answer, the classes that it may have.

    Raises:
        Broken: the connection broke, or the time limit was reached.
        TamperError: the answer is malformed (``E_TAMPERED``), or belongs to another request
            (``E_PROTOCOL``).
        OperationalError: whatever answers does not speak the protocol, or another version.
    """
    if not response.ours:
        if response.status in _GATEWAY_STATUSES:
            # Something between here and the server could not reach it.
            raise Broken(unsent=False)
        raise err(
            OperationalError,
            "E_PROTOCOL",
            f"the server does not answer like one of encdb's (HTTP status {response.status})",
        )
    length = response.length
    if length is not None and length <= _AT_ONCE_BYTES:
        stream: Any = io.BytesIO(response.read_all())
    else:
        stream = response
    try:
        head = Answer.unpack(_exactly(stream, Answer.LENGTH))
        if head.request != request:
            raise err(TamperError, "E_PROTOCOL", "the server's answer belongs to another request")
        if head.failed:
            body = FrameReader(stream.read, _ERROR_BYTES).buffered().read(_ERROR_BYTES)
            error = decode_error(body)
            return Reply(response.status, head.session, error=error, wait=response.wait)
        messages = _messages(stream)
    except WrongVersion:
        raise err(
            OperationalError, "E_PROTOCOL", "the server speaks another version of the protocol"
        ) from None
    except (Malformed, InternalError):
        response.check()
        raise malformed_answer() from None
    if response.status != 200 or len(messages) != len(expected):
        raise malformed_answer()
    if not all(type(one) in kinds for one, kinds in zip(messages, expected, strict=True)):
        raise malformed_answer()
    return Reply(response.status, head.session, messages)


def _messages(stream: Any) -> list[Any]:
    if isinstance(stream, io.BytesIO):
        return decode_framed(stream.read())
    return decode_from(stream.read)


def _exactly(stream: Any, count: int) -> bytes:
    found = b""
    while len(found) < count:
        part = stream.read(count - len(found))
        if not part:
            break
        found += part
    return found


def expected_of(messages: Sequence[Any]) -> list[tuple[type[Any], ...]]:
    """For each request, the classes that its answer may have."""
    return [_EXPECTED[type(one)] for one in messages]


def malformed_answer() -> TamperError:
    """The error for an answer that is none."""
    return err(TamperError, "E_TAMPERED", "the store's answer is malformed")
