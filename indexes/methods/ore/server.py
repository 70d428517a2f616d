"""Comparing a token with stored ciphertexts: no key is needed, and none is known here.

This is the one part of a scheme that a store runs. The mask `aes` is `AES-128_0(k xor r) xor k` under the
zero key (Matyas, Meyer, Oseas, 1985), `sha256` is SHA-256("encdb-ore1" ‖ k ‖ r); two bits of either.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Final

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES128
from cryptography.hazmat.primitives.ciphers.modes import ECB
from numpy.typing import NDArray

from .types import (
    AES,
    BITS,
    EQUAL,
    GREATER,
    HEAD_BYTES,
    KEY_BYTES,
    LESS,
    MASKS,
    NONCE_BYTES,
    SHA256_PREFIX,
    STEP_BYTES,
    VERSION,
    Shape,
)

_ZERO_KEY: Final = bytes(16)
# One AES call works on at most this many bytes: larger buffers collapse to page faults.
_CHUNK: Final = 1 << 22


class TokenError(ValueError):
    """A token, or a ciphertext that it is compared with, that no client makes."""


def aes_mask(keys: NDArray[np.uint8], nonces: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Two mask bits for each pair of a slot key and a nonce, uint8[…, 16] both, broadcast: uint8[…]."""
    pairs = keys ^ nonces
    blocks = pairs.reshape(-1)
    target = np.empty(len(blocks) + 16, dtype=np.uint8)
    encryptor = Cipher(AES128(_ZERO_KEY), ECB()).encryptor()  # noqa: S305 - the bare block cipher
    for start in range(0, len(blocks), _CHUNK):
        stop = min(start + _CHUNK, len(blocks))
        encryptor.update_into(blocks[start:stop].data, target[start : stop + 16].data)
    first = target[: len(blocks)].reshape(pairs.shape)[..., 0]
    mask: NDArray[np.uint8] = (first ^ keys[..., 0]) & np.uint8(3)
    return mask


def shape_of(token: bytes) -> Shape:
    """The shape that a token names.

    Raises:
        TokenError: it is no token.
    """
    if len(token) < HEAD_BYTES or token[0] != VERSION or token[1] >= len(MASKS):
        raise TokenError
    if token[3] not in BITS:
        raise TokenError
    shape = Shape(token[3], MASKS[token[1]])
    if token[2] != shape.width or len(token) != shape.token_bytes:
        raise TokenError
    if any(slot >= shape.slots for slot in token[HEAD_BYTES::STEP_BYTES]):
        raise TokenError
    return shape


def gathered(ciphertexts: Sequence[bytes], token: bytes) -> NDArray[np.uint8]:
    """Ciphertexts as uint8[n, size], if all have the size that goes with a token.

    Raises:
        TokenError: one has another size, or the token is none.
    """
    size = shape_of(token).ciphertext_bytes
    if set(map(len, ciphertexts)) - {size}:
        raise TokenError
    return np.frombuffer(b"".join(ciphertexts), dtype=np.uint8).reshape(-1, size)


def compare(token: bytes, ciphertexts: NDArray[np.uint8]) -> NDArray[np.int8]:
    """How the token's number stands to each stored one: int8[n], -1 less, 0 equal, 1 greater.

    Args:
        token: as the client makes it.
        ciphertexts: uint8[n, size].

    Raises:
        TokenError: the token is none, its shape is another than that of the ciphertexts, or a slot
            unmasks to nothing.
    """
    shape = shape_of(token)
    if ciphertexts.ndim != 2 or ciphertexts.shape[1] != shape.ciphertext_bytes:
        raise TokenError
    result = np.zeros(len(ciphertexts), dtype=np.int8)
    # Rows that are equal so far go on to the next block.
    rows = np.arange(len(ciphertexts))
    nonces = np.ascontiguousarray(ciphertexts[:, :NONCE_BYTES])
    for block in range(shape.blocks):
        if not len(rows):
            break
        at = HEAD_BYTES + block * STEP_BYTES
        slot, key = token[at], token[at + 1 : at + 1 + KEY_BYTES]
        place = NONCE_BYTES + block * shape.block_bytes + (slot >> 2)
        cells = ciphertexts[rows, place] >> np.uint8(2 * (slot & 3)) & np.uint8(3)
        cells ^= _masks(shape, key, nonces[rows])
        if (cells == 3).any():
            raise TokenError
        result[rows[cells == LESS]] = -1
        result[rows[cells == GREATER]] = 1
        rows = rows[cells == EQUAL]
    return result


def within(
    ciphertexts: NDArray[np.uint8],
    low: bytes,
    high: bytes,
    low_open: bool = False,
    high_open: bool = False,
) -> NDArray[np.bool_]:
    """Which stored numbers lie between two tokens: bool[n].

    Args:
        ciphertexts: uint8[n, size].
        low: token of the lower end, or b"" for none.
        high: token of the upper end, or b"" for none.
        low_open: whether the lower end itself is left out.
        high_open: the same for the upper end.

    Raises:
        TokenError: as `compare`.
    """
    inside = np.ones(len(ciphertexts), dtype=np.bool_)
    if low:
        inside = compare(low, ciphertexts) < (0 if low_open else 1)
    if high:
        rows = np.flatnonzero(inside)
        inside[rows] = compare(high, ciphertexts[rows]) > (0 if high_open else -1)
    return inside


def _masks(shape: Shape, key: bytes, nonces: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The mask bits of one slot key under many nonces."""
    if shape.mask == AES:
        return aes_mask(np.frombuffer(key, dtype=np.uint8), nonces)
    prefix = sha256(SHA256_PREFIX + key)
    raw = nonces.tobytes()
    found = bytearray(len(nonces))
    for row, start in enumerate(range(0, len(raw), NONCE_BYTES)):
        state = prefix.copy()
        state.update(raw[start : start + NONCE_BYTES])
        found[row] = state.digest()[0] & 3
    return np.frombuffer(bytes(found), dtype=np.uint8)
