"""The pseudorandom function that turns index terms into words and tags, a whole batch at a time.

`PRF(term, c) = E_K(E_K(H) xor c)` over a fixed-length 16-byte H is a two-block CBC-MAC, a PRF for
inputs of one length (Bellare, Kilian, Rogaway, JCSS 61(3), 2000). E is AES-256. H is the term itself
when it is a fixed-width canonical block, and keyed BLAKE2b-128 (RFC 7693) of the term otherwise. Both
forms, and words and tags, use separate keys, so no output of one says anything about another.

A batch of n terms costs two AES-ECB calls over one buffer, and one BLAKE2b call per item.

What it leaks: equal terms give equal outputs; that is what an index needs. Words stay inside sealed
pages. Tags are stored in clear as keys of UNIQUE values and link equal values over time.

Collisions: a word has 64 bits, so n distinct terms of one key collide with probability below
n² / 2⁶⁵ (3e-8 for a million terms); the engine rechecks what an equality lookup returns. Tags have
128 bits, of which H contributes a collision bound of n² / 2¹²⁹.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import ECB
from numpy.typing import NDArray

from indexes.keys import Key

BLOCK = 16
# One AES call works on at most this many bytes: larger buffers collapse to page faults.
_CHUNK = 1 << 24


class BlockCipher:
    """AES-256 on independent blocks: the building block of PRFs, never a mode for messages.

    Safe for use from several threads, because every call starts an encryptor of its own (9 µs).
    """

    __slots__ = ("_cipher",)

    def __init__(self, key: Key) -> None:
        self._cipher = Cipher(AES256(key.expose()), ECB())  # noqa: S305 - a PRF is built on the bare block cipher

    def encrypt(self, blocks: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """E_K of each row: uint8[n, 16] in, a new uint8[n, 16] out."""
        if blocks.ndim != 2 or blocks.shape[1] != BLOCK or blocks.dtype != np.uint8:
            raise ValueError("blocks must be uint8[n, 16]")
        source = np.ascontiguousarray(blocks).reshape(-1)
        # update_into asks for one block of room beyond the output.
        target = np.empty(len(source) + BLOCK, dtype=np.uint8)
        encryptor = self._cipher.encryptor()
        for start in range(0, len(source), _CHUNK):
            stop = min(start + _CHUNK, len(source))
            encryptor.update_into(source[start:stop].data, target[start : stop + BLOCK].data)
        return target[: len(source)].reshape(-1, BLOCK)

    def encrypt_bytes(self, data: bytes) -> bytes:
        """E_K of each 16 bytes of `data`; for a few blocks cheaper than `encrypt`."""
        if len(data) % BLOCK:
            raise ValueError("data must be whole blocks of 16 bytes")
        return self._cipher.encryptor().update(data)


class _Mac:
    """The two-block CBC-MAC under one key, with its BLAKE2b front for terms of any length."""

    __slots__ = ("_block", "_hash", "_item")

    def __init__(self, key: Key) -> None:
        self._block = BlockCipher(key.derive("block"))
        self._item = BlockCipher(key.derive("item"))
        self._hash = blake2b(key=key.derive("hash").expose(), digest_size=BLOCK)

    def blocks(self, blocks: NDArray[np.uint8], domain: int) -> NDArray[np.uint8]:
        return _two_blocks(self._block, blocks, domain)

    def items(self, items: Sequence[bytes], domain: int) -> NDArray[np.uint8]:
        digests = []
        # Copying the keyed state halves the cost of a digest against keying it anew.
        copy = self._hash.copy
        for item in items:
            state = copy()
            state.update(item)
            digests.append(state.digest())
        joined = np.frombuffer(b"".join(digests), dtype=np.uint8).reshape(-1, BLOCK)
        return _two_blocks(self._item, joined, domain)


def _two_blocks(cipher: BlockCipher, blocks: NDArray[np.uint8], domain: int) -> NDArray[np.uint8]:
    first = cipher.encrypt(blocks)
    first[:, BLOCK - 1] ^= np.uint8(domain)
    return cipher.encrypt(first)


class TermPrf:
    """Words (64 bits, for hashed segments) and tags (128 bits, for unique keys) of one index.

    Two indexes must be given two keys: the index is not part of the input.
    """

    __slots__ = ("_tags", "_words")

    def __init__(self, key: Key) -> None:
        self._words = _Mac(key.derive("prf", "words"))
        self._tags = _Mac(key.derive("prf", "tags"))

    def blocks(self, blocks: NDArray[np.uint8]) -> NDArray[np.uint64]:
        """Words of fixed-width canonical terms: uint8[n, 16] to uint64[n]."""
        return _words_of(self._words.blocks(blocks, 0))

    def items(self, items: Sequence[bytes]) -> NDArray[np.uint64]:
        """Words of canonical terms of any length: n byte strings to uint64[n]."""
        return _words_of(self._words.items(items, 0))

    def tag_blocks(self, blocks: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Tags of fixed-width canonical terms: uint8[n, 16] to uint8[n, 16]."""
        return self._tags.blocks(blocks, 1)

    def tag_items(self, items: Sequence[bytes]) -> NDArray[np.uint8]:
        """Tags of canonical terms of any length: n byte strings to uint8[n, 16]."""
        return self._tags.items(items, 1)


def _words_of(blocks: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """The first eight bytes of each row, little-endian."""
    return np.ascontiguousarray(blocks[:, :8]).view("<u8").reshape(-1).astype(np.uint64, copy=False)
