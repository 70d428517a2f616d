"""Checkpoints: what one client has verified, as a line of text for another client to insist on.

A store can show two clients two histories for as long as they never meet. A checkpoint lets them meet: it is
the state that a pin would hold, and whoever is given it refuses a store that does not continue that state. It is
sealed with AES-256-GCM-SIV under a key derived from the root key for this purpose, so it may travel on any channel:
without the key it shows its padded length and cannot be made or changed. An old one only demands less.

Text: base64url without padding of ``version u8 | nonce 12 B | ciphertext | tag 16 B``. The associated data is the
context ``["encdb/checkpoint", version, database]``; the plaintext is the pin's body, padded like a record.
"""

from __future__ import annotations

import base64
import binascii
import threading
from contextlib import suppress
from typing import Final

from encdb.errors import TamperError, err
from indexes.errors import IntegrityFailure
from indexes.keys import Key, pack_context
from indexes.seal import RecordSealer, pad, unpad

from .pin import Pin
from .pinned import PinState, decode, encode, merge, storable

VERSION: Final = 1
MAX_TEXT: Final = 1 << 26
"""Longest text that is looked at, in characters."""


def seal(state: PinState, root: Key, database: bytes) -> str:
    """The checkpoint of a verified state, one line of ASCII.

    Args:
        state: what was verified.
        root: the database's root key.
        database: 16 bytes, the database's identity.
    """
    sealed = _sealer(root).seal(pad(encode(storable(state))), _address(database))
    return base64.urlsafe_b64encode(bytes([VERSION]) + sealed).rstrip(b"=").decode("ascii")


def open_checkpoint(text: str, root: Key, database: bytes) -> PinState:
    """The state that a checkpoint names.

    Raises:
        TamperError: it is no checkpoint of this database, or was changed (``E_CHECKPOINT``).
    """
    blob = _bytes_of(text)
    version = blob[0] if blob else 0
    if version > VERSION:
        raise err(
            TamperError,
            "E_CHECKPOINT",
            "the checkpoint is of a newer encdb's format, or damaged",
            "Upgrade encdb, or ask for it again",
        )
    if version == VERSION:
        with suppress(IntegrityFailure):
            return decode(unpad(_sealer(root).open(blob[1:], _address(database))))
    raise err(
        TamperError,
        "E_CHECKPOINT",
        "the checkpoint is not one of this database, or was changed or cut short",
    )


def _bytes_of(text: str) -> bytes:
    """The bytes behind the text; none if it is no base64url."""
    stripped = text.strip()
    if len(stripped) > MAX_TEXT or not stripped.isascii():
        return b""
    try:
        padded = stripped + "=" * (-len(stripped) % 4)
        return base64.b64decode(padded.encode("ascii"), altchars=b"-_", validate=True)
    except binascii.Error:
        return b""


def _sealer(root: Key) -> RecordSealer:
    return RecordSealer(root.derive("encdb/checkpoint", VERSION))


def _address(database: bytes) -> bytes:
    return pack_context("encdb/checkpoint", VERSION, database)


class UnsavedPin(Pin):
    """A pin for the length of one session, in no file: what a checkpoint demands of a client without one."""

    def __init__(self, state: PinState) -> None:
        self._state = state
        self._mutex = threading.Lock()

    def refresh(self) -> PinState | None:
        """The state; no other process knows of it."""
        return self._state

    def advance(self, new: PinState, throttle: float = 0.0) -> None:  # noqa: ARG002 - nothing is written.
        """Merge a newly verified state."""
        with self._mutex:
            assert self._state is not None
            self._state = storable(merge(self._state, new))

    def flush(self) -> None:
        """Nothing waits to be saved."""

    def accept(self, new: PinState) -> None:
        """Replace the state."""
        with self._mutex:
            self._state = storable(new)
