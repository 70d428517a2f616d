"""Key handles and key derivation.

A `Key` is a handle of 256 uniform bits. Every working key is HKDF-Expand-SHA256 (RFC 5869) of its
parent over an unambiguous encoding of what it is for, so that one key has one purpose and one
address. Handles print nothing, refuse to be copied, pickled or hashed, and compare in constant time;
`expose` is the only way to the bytes (after tink-py's explicit access token).
"""

from __future__ import annotations

import hmac
import os
from typing import Final, NoReturn

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

KEY_BYTES: Final = 32
_MAX_PART: Final = 0xFFFF_FFFF


def pack_context(*parts: str | bytes | int) -> bytes:
    """One byte string for a tuple of texts, byte strings and integers; different tuples differ.

    Each part is a type byte (`s`, `b`, `i`), its length as u32 big-endian, and its bytes: UTF-8, as
    is, or the shortest two's complement big-endian form. `("a", "bc")` and `("ab", "c")` differ, and
    so do `"1"`, `b"1"` and `1`.

    Raises:
        TypeError: a part of another type; booleans are refused, because `True == 1`.
        ValueError: a part of 2³² bytes or more, or a text with a lone surrogate.
    """
    packed = bytearray()
    for part in parts:
        # The exact type decides, so that a subclass with other equality cannot slip through.
        kind = type(part)
        if kind is str:
            tag, data = b"s", part.encode("utf-8")  # type: ignore[union-attr]
        elif kind is bytes:
            tag, data = b"b", part
        elif kind is int:
            size = part.bit_length() // 8 + 1  # type: ignore[union-attr]
            tag, data = b"i", part.to_bytes(size, "big", signed=True)  # type: ignore[union-attr]
        else:
            raise TypeError(f"a context part is a str, bytes or int, not {kind.__name__}")
        if len(data) > _MAX_PART:
            raise ValueError("a context part is shorter than 2**32 bytes")
        packed += tag
        packed += len(data).to_bytes(4, "big")
        packed += data
    return bytes(packed)


class Key:
    """An opaque handle of a 256-bit key.

    Args:
        secret: 32 uniformly random bytes.

    Raises:
        TypeError: `secret` is not `bytes`.
        ValueError: `secret` is not 32 bytes long.
    """

    __slots__ = ("_secret",)

    def __init__(self, secret: bytes) -> None:
        if type(secret) is not bytes:
            raise TypeError("a key is made from bytes")
        if len(secret) != KEY_BYTES:
            raise ValueError("a key is 32 bytes long")
        self._secret = secret

    @classmethod
    def random(cls) -> Key:
        """A fresh key from the operating system's generator."""
        return cls(os.urandom(KEY_BYTES))

    def derive(self, *context: str | bytes | int) -> Key:
        """The key for one purpose and address: HKDF-Expand-SHA256 over `pack_context(*context)`.

        About 3 µs; keep the result. Keys of different contexts are independent, and none of them
        tells anything about this one.

        Raises:
            ValueError: no context was given.
            TypeError: as `pack_context`.
        """
        if not context:
            raise ValueError("a key is derived for a purpose")
        info = pack_context(*context)
        return Key(HKDFExpand(algorithm=SHA256(), length=KEY_BYTES, info=info).derive(self._secret))

    def expose(self) -> bytes:
        """The 32 bytes. For handing to a cipher or to the keyring's wrapping, nothing else."""
        return self._secret

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Key):
            return NotImplemented
        return hmac.compare_digest(self._secret, other._secret)

    # A hash would be a fingerprint of the secret in every dictionary that holds it.
    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return "<Key>"

    def _refuse(self, *_: object) -> NoReturn:
        raise TypeError("a key is neither copied nor pickled; see Key.expose")

    __copy__ = __deepcopy__ = __reduce__ = __reduce_ex__ = __getstate__ = _refuse
