"""How the messages of :mod:`encdb.wire` become bytes on a network, and back.

CBOR (RFC 8949), definite lengths only, derived from the types of the dataclasses: a message is an
array of its class's number and its fields in order, a body is an array of messages, cut into frames.
``schema`` derives the coding of a type, ``messages`` numbers the classes, ``frames`` cuts bodies,
``outline`` tells how much memory one would take, and ``exchange`` lays out what surrounds them: who asks, in which session and snapshot, and errors.

Decoding believes nothing: types are exact, a field too many or too few, a tag, a float, an indefinite
length and an integer outside -1 ... 2**63 - 1 are refused, and every message is built by its
dataclass's constructor, which sorts and checks it. What fails raises :class:`Malformed`; whoever
decodes knows whether that is a bad request or a bad answer.
"""

from __future__ import annotations

from .exchange import (
    ID_BYTES,
    NO_SESSION,
    VERSION,
    Answer,
    Call,
    WrongVersion,
    decode_error,
    encode_error,
)
from .frames import FRAME_BYTES, FrameReader, frames
from .messages import NUMBERS, decode, decode_framed, decode_from, encode
from .schema import Malformed

__all__ = [
    "FRAME_BYTES",
    "ID_BYTES",
    "NO_SESSION",
    "NUMBERS",
    "VERSION",
    "Answer",
    "Call",
    "FrameReader",
    "Malformed",
    "WrongVersion",
    "decode",
    "decode_error",
    "decode_framed",
    "decode_from",
    "encode",
    "encode_error",
    "frames",
]
