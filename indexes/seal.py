"""Authenticated encryption of records and pages, and the padding of both.

Records (rows, deltas, manifests, catalogs) use AES-256-GCM-SIV (RFC 8452) under a random nonce: a
repeated nonce, after a restored backup or in a forked process, shows only whether two plaintexts with
the same associated data are equal. Pages and packs use AES-256-GCM (NIST SP 800-38D), five to ten
times faster, under a key that is fresh for each build attempt, with the page number as nonce.

Every failure to open raises the one `IntegrityFailure`.

What it leaks: lengths. `pad` rounds plaintexts up to classes of a sixteenth of an octave, so that an
observer learns a length to within 1/16 at an overhead below 1/16; pages are equal.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESGCMSIV

from indexes.errors import EncodingRefused, IntegrityFailure
from indexes.keys import Key

NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16
SALT_BYTES: Final = 32
KIND_BYTES: Final = 4

RECORD_OVERHEAD: Final = NONCE_BYTES + TAG_BYTES
"""Bytes that a sealed record is longer than its plaintext."""

PAGE_SEALED: Final = 4032
"""Bytes of a sealed index page: one fills a 4,096-byte database page together with its row header."""

PAGE_USABLE: Final = PAGE_SEALED - TAG_BYTES
"""Bytes of plaintext in an index page."""

MIN_CLASS: Final = 64
MAX_PLAINTEXT: Final = 900_000_000
"""Longest plaintext sealed, in bytes: what SQLite still takes as one blob (10⁹), with room to spare."""

_LENGTH_BYTES: Final = 4


class RecordSealer:
    """AES-256-GCM-SIV under one key: `nonce (12) ‖ ciphertext ‖ tag (16)`.

    With random nonces, n records under one key and associated data collide in a nonce with
    probability n² / 2⁹⁷, and a collision shows equality of plaintexts only. Safe for several threads.

    Args:
        key: used for nothing else.
    """

    __slots__ = ("_cipher",)

    def __init__(self, key: Key) -> None:
        self._cipher = AESGCMSIV(key.expose())

    def seal(self, plaintext: bytes, aad: bytes) -> bytes:
        """Seals one record; 28 bytes longer than `plaintext`.

        Args:
            plaintext: usually padded, because its length shows.
            aad: the full address of the record; the same bytes are needed to open it.

        Raises:
            EncodingRefused: `plaintext` is longer than 900 MB.
        """
        _check_size(plaintext)
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, plaintext, aad)

    def open(self, blob: bytes, aad: bytes) -> bytes:
        """The plaintext of a record.

        Raises:
            IntegrityFailure: it was not sealed under this key for this address, or was changed.
        """
        try:
            return self._cipher.decrypt(blob[:NONCE_BYTES], blob[NONCE_BYTES:], aad)
        except (InvalidTag, ValueError, TypeError, OverflowError):
            # The store decides what it serves, so a blob of any length or type ends up here.
            raise IntegrityFailure from None

    def seal_many(self, plaintexts: Sequence[bytes], aads: Sequence[bytes]) -> list[bytes]:
        """`seal` of each plaintext with the associated data at the same place."""
        nonces = os.urandom(NONCE_BYTES * len(plaintexts))
        encrypt = self._cipher.encrypt
        sealed = []
        for place, (plaintext, aad) in enumerate(zip(plaintexts, aads, strict=True)):
            _check_size(plaintext)
            nonce = nonces[place * NONCE_BYTES : (place + 1) * NONCE_BYTES]
            sealed.append(nonce + encrypt(nonce, plaintext, aad))
        return sealed

    def open_many(self, blobs: Sequence[bytes], aads: Sequence[bytes]) -> list[bytes]:
        """`open` of each blob with the associated data at the same place.

        Raises:
            IntegrityFailure: one of them does not open, or there are not as many as asked for.
        """
        if len(blobs) != len(aads):
            raise IntegrityFailure
        decrypt = self._cipher.decrypt
        try:
            return [
                decrypt(blob[:NONCE_BYTES], blob[NONCE_BYTES:], aad)
                for blob, aad in zip(blobs, aads, strict=True)
            ]
        except (InvalidTag, ValueError, TypeError, OverflowError):
            raise IntegrityFailure from None


class PageSealer:
    """AES-256-GCM under a key of one build attempt: `ciphertext ‖ tag (16)`.

    The nonce is `kind ‖ page number`, so both are authenticated and neither is stored.

    Args:
        key: parent of the pages' keys.
        salt: 32 random bytes, fresh for each build attempt. Two different pages sealed under the same
            salt, kind and number would break the cipher; an interrupted build is therefore dropped,
            never resumed.
        kind: 4 bytes that say what the pages hold.
        aad: the rest of the address.

    Raises:
        ValueError: `salt` or `kind` has another length.
    """

    __slots__ = ("_aad", "_cipher", "_kind")

    def __init__(self, key: Key, salt: bytes, kind: bytes, aad: bytes) -> None:
        if len(salt) != SALT_BYTES or len(kind) != KIND_BYTES:
            raise ValueError("a page sealer takes a salt of 32 bytes and a kind of 4")
        self._cipher = AESGCM(key.derive("page", salt).expose())
        self._kind = kind
        self._aad = aad

    def seal(self, number: int, plaintext: bytes) -> bytes:
        """Seals page `number`, 0 ≤ number < 2⁶⁴; 16 bytes longer than `plaintext`.

        Raises:
            EncodingRefused: `plaintext` is longer than 900 MB.
        """
        _check_size(plaintext)
        return self._cipher.encrypt(self._kind + number.to_bytes(8, "big"), plaintext, self._aad)

    def open(self, number: int, blob: bytes) -> bytes:
        """The plaintext of page `number`.

        Raises:
            IntegrityFailure: it is not that page of that build, or was changed.
        """
        try:
            return self._cipher.decrypt(self._kind + number.to_bytes(8, "big"), blob, self._aad)
        except (InvalidTag, ValueError, TypeError, OverflowError):
            raise IntegrityFailure from None


def _check_size(plaintext: bytes) -> None:
    if len(plaintext) > MAX_PLAINTEXT:
        raise EncodingRefused("a record or column is longer than 900 MB")


def size_class(size: int) -> int:
    """The smallest class of at least `size` bytes: 64, then sixteen equal steps an octave."""
    if size <= MIN_CLASS:
        return MIN_CLASS
    step = 1 << ((size - 1).bit_length() - 5)
    return -(-size // step) * step


def pad(data: bytes, classes: Callable[[int], int] = size_class) -> bytes:
    """`length (u32 little-endian) ‖ data ‖ zeros`, as long as the class of its size.

    Raises:
        EncodingRefused: `data` is longer than 900 MB.
    """
    size = len(data)
    _check_size(data)
    return b"".join(
        (
            size.to_bytes(4, "little"),
            data,
            bytes(classes(size + _LENGTH_BYTES) - size - _LENGTH_BYTES),
        )
    )


def unpad(padded: bytes) -> bytes:
    """Inverse of `pad`, whichever classes it used.

    Raises:
        IntegrityFailure: the length does not fit.
    """
    end = _LENGTH_BYTES + int.from_bytes(padded[:_LENGTH_BYTES], "little")
    if len(padded) < max(end, _LENGTH_BYTES):
        raise IntegrityFailure
    return padded[_LENGTH_BYTES:end]
