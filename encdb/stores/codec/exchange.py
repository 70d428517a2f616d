"""What surrounds messages on the network: the heads of calls and answers, and errors.

A call begins with 33 bytes: version, session (16 bytes, zeros before there is one), the call's number in
its session, and the number of the snapshot in which it reads, or that stays open besides, 0 for none;
both numbers are 8 bytes, big-endian. An answer begins with 34 bytes: version, the id of the request that it answers (16 bytes),
the session (16 bytes, zeros if there is none), and 0 before messages or 1 before an error. Frames
follow; see :mod:`.frames`.

An error is an array of three texts: the name of its class, its code and its message.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import ClassVar, Final

import cbor2

from encdb import errors
from encdb.errors import CODES, EncdbError, OperationalError

from .schema import Malformed

VERSION: Final = 1
"""Version of the encoding. A peer of another version is refused."""
ID_BYTES: Final = 16
NO_SESSION: Final = bytes(ID_BYTES)
_MESSAGE_LIMIT: Final = 1000

_CLASSES: Final = {
    kind.__name__: kind
    for kind in (
        errors.DataError,
        errors.FormatError,
        errors.InterfaceError,
        errors.InternalError,
        errors.NotSupportedError,
        errors.OperationalError,
        errors.ProgrammingError,
        errors.StoreUnavailable,
        errors.TamperError,
        errors.UsageError,
    )
}
"""What a store may raise. A server cannot make a client raise anything else."""


class WrongVersion(Malformed):
    """The peer speaks another version of the encoding."""


@dataclass(frozen=True, slots=True)
class Call:
    """The head of a call.

    Attributes:
        session: 16 bytes, zeros to begin one.
        number: of the call within its session; it only grows, so that a call that was given up and
            arrives late is not carried out.
        snapshot: number of the snapshot within the session that is to be open, 0 for none. A read
            opens it; whatever else is open is closed.
    """

    session: bytes
    number: int
    snapshot: int = 0

    LENGTH: ClassVar[int] = 33
    _LAYOUT: ClassVar[struct.Struct] = struct.Struct(">B16sQQ")

    def pack(self) -> bytes:
        """The 33 bytes."""
        return self._LAYOUT.pack(VERSION, self.session, self.number, self.snapshot)

    @classmethod
    def unpack(cls, data: bytes) -> Call:
        """Read them; raises :class:`Malformed`."""
        if not data:
            raise Malformed
        if data[0] != VERSION:
            raise WrongVersion
        if len(data) != cls.LENGTH:
            raise Malformed
        _, session, number, snapshot = cls._LAYOUT.unpack(data)
        return cls(session, number, snapshot)


@dataclass(frozen=True, slots=True)
class Answer:
    """The head of an answer.

    Attributes:
        request: id of the request that it answers, 16 bytes.
        session: the session that it belongs to, zeros for none.
        failed: an error follows instead of messages.
    """

    request: bytes
    session: bytes = NO_SESSION
    failed: bool = False

    LENGTH: ClassVar[int] = 34
    _LAYOUT: ClassVar[struct.Struct] = struct.Struct(">B16s16sB")

    def pack(self) -> bytes:
        """The 34 bytes."""
        return self._LAYOUT.pack(VERSION, self.request, self.session, self.failed)

    @classmethod
    def unpack(cls, data: bytes) -> Answer:
        """Read them; raises :class:`Malformed`."""
        if not data:
            raise Malformed
        if data[0] != VERSION:
            raise WrongVersion
        if len(data) != cls.LENGTH or data[-1] > 1:
            raise Malformed
        _, request, session, failed = cls._LAYOUT.unpack(data)
        return cls(request, session, bool(failed))


def encode_error(error: EncdbError) -> bytes:
    """The body of an answer that is an error; the message is sent as it stands."""
    kind = next((one for one in type(error).__mro__ if one.__name__ in _CLASSES), OperationalError)
    return cbor2.dumps([kind.__name__, error.code or "", error.message[:_MESSAGE_LIMIT]])


def decode_error(body: bytes) -> EncdbError:
    """The error that a server sent. Its fix is the catalogue's: a server gives nobody advice.

    Raises:
        Malformed: it is no error, or of a class or code that no store raises.
    """
    try:
        plain = cbor2.loads(body, max_depth=2, allow_indefinite=False)
    except cbor2.CBORDecodeError:
        raise Malformed from None
    if type(plain) is not list or [type(one) for one in plain] != [str, str, str]:
        raise Malformed
    name, code, message = plain
    if name not in _CLASSES or code not in CODES or len(message) > _MESSAGE_LIMIT:
        raise Malformed
    return _CLASSES[name]("".join(one for one in message if one.isprintable()), code=code)
