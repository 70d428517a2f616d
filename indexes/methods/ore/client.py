"""Encryption and tokens of order-revealing encryption: everything that needs a key.

    P_i     the leading blocks of the number before block i, as a 16-byte big-endian number
    k(i,s)  E1(E1(P_i) xor (i ‖ s ‖ 0…))        the key of slot s of block i
    π_i     ranks the values j of block i by E2(E2(P_i) xor (i ‖ j ‖ 0…)): by its first 8 bytes, little-endian,
            of which j takes the place of the lowest w bits
    slot    cmp(j, y_i) xor mask(k(i, π_i(j)), r)    at place π_i(j)

E1 and E2 are AES-256 under two keys; the two-block CBC-MAC over inputs of one length is a PRF (Bellare,
Kilian, Rogaway, 2000). Batches share the work for leading blocks that many numbers have in common.
"""

from __future__ import annotations

import os
from hashlib import sha256
from typing import Final

import numpy as np
from numpy.typing import NDArray

from indexes.errors import IntegrityFailure
from indexes.keys import Key
from indexes.methods.domain import U64, as_blocks, bits_of, numbers, shifted
from indexes.prf import BlockCipher
from indexes.types import ColumnType

from .server import aes_mask
from .types import AES, GREATER, LESS, NONCE_BYTES, SHA256_PREFIX, Shape

U8 = NDArray[np.uint8]

# Rows encrypted at once: their slots' keys take up to 1 MiB and stay in the cache; four times as many rows take
# twice as long.
_ROWS: Final = 1_024


class OreCipher:
    """Encrypts the values of one index.

    Args:
        key: of the index, used for nothing else.
        kind: the column's type.
        mask: `aes` or `sha256`.

    Raises:
        EncodingRefused: a type without order.
        ValueError: an unknown mask.
    """

    def __init__(self, key: Key, kind: ColumnType, mask: str) -> None:
        self._kind = kind
        self.shape = Shape(bits_of(kind), mask)
        own = key.derive("ore", mask, self.shape.bits)
        self._slot_cipher = BlockCipher(own.derive("slots"))
        self._order_cipher = BlockCipher(own.derive("order"))

    def encrypt(self, keys: U64) -> U8:
        """Ciphertexts uint8[n, `shape.ciphertext_bytes`] of order keys uint64[n, 2].

        Every call draws fresh randomness, so equal values have unlike ciphertexts.
        """
        values = numbers(keys, self._kind)
        nonces = np.frombuffer(os.urandom(NONCE_BYTES * len(values)), dtype=np.uint8)
        return self._encrypt(values, nonces.reshape(-1, NONCE_BYTES))

    def verify(self, keys: U64, ciphertexts: U8) -> NDArray[np.bool_]:
        """Which ciphertexts are encryptions of the order keys beside them: bool[n].

        Raises:
            IntegrityFailure: the ciphertexts have another size.
        """
        if ciphertexts.shape != (len(keys), self.shape.ciphertext_bytes):
            raise IntegrityFailure
        again = self._encrypt(numbers(keys, self._kind), ciphertexts[:, :NONCE_BYTES])
        same: NDArray[np.bool_] = (again == ciphertexts).all(axis=1)
        return same

    def token(self, key: tuple[int, int]) -> bytes:
        """What the store compares ciphertexts with: `shape.token_bytes` bytes for one order key."""
        shape = self.shape
        value = numbers(np.array([key], dtype=np.uint64), self._kind)
        parts = [shape.head]
        for block in range(shape.blocks):
            prefix, digit = self._cut(value, block)
            order = self._orders(prefix, block)[0]
            slot = int(np.flatnonzero(order == digit[0])[0])
            parts += [bytes((slot,)), self._slot_keys(prefix, block)[0, slot].tobytes()]
        return b"".join(parts)

    def _encrypt(self, values: U64, nonces: U8) -> U8:
        shape = self.shape
        result = np.empty((len(values), shape.ciphertext_bytes), dtype=np.uint8)
        result[:, :NONCE_BYTES] = nonces
        for first in range(0, len(values), _ROWS):
            part = slice(first, first + _ROWS)
            for block in range(shape.blocks):
                at = NONCE_BYTES + block * shape.block_bytes
                result[part, at : at + shape.block_bytes] = self._block(
                    values[part], nonces[part], block
                )
        return result

    def _block(self, values: U64, nonces: U8, block: int) -> U8:
        """The slots of one block of up to 1,024 numbers, packed."""
        prefixes, digits = self._cut(values, block)
        distinct, which = _distinct(prefixes)
        candidates = self._orders(distinct, block)
        keys = self._slot_keys(distinct, block)
        if which is not None:
            candidates, keys = candidates[which], keys[which]
        # 0, or 1 where a candidate is less than the stored digit, or 2 where it is greater.
        cells: U8 = (candidates < digits[:, None]) * np.uint8(LESS)
        cells |= (candidates > digits[:, None]) * np.uint8(GREATER)
        if self.shape.mask == AES:
            cells ^= aes_mask(keys, nonces[:, None, :])
        else:
            cells ^= _hash_masks(keys, nonces)
        # Four cells are the lowest bits of the four bytes of a u32, and go into its lowest byte.
        four = cells.view("<u4")
        packed: U8 = (four | four >> 6 | four >> 12 | four >> 18).astype(np.uint8)
        return packed

    def _cut(self, values: U64, block: int) -> tuple[U64, NDArray[np.uint8]]:
        """The blocks before block i as numbers uint64[n, 2], and block i: uint8[n]."""
        width, after = self.shape.width, self.shape.blocks - block
        digits = shifted(values, (after - 1) * width)[:, 1] & np.uint64(self.shape.slots - 1)
        return shifted(values, after * width), digits.astype(np.uint8)

    def _slot_keys(self, prefixes: U64, block: int) -> U8:
        """uint8[n, 2^w, 16]."""
        return self._all(self._slot_cipher, prefixes, block)

    def _orders(self, prefixes: U64, block: int) -> NDArray[np.uint8]:
        """Which value of the block lies in each slot: uint8[n, 2^w], the inverse of π_i."""
        outputs = self._all(self._order_cipher, prefixes, block)
        # One sort of numbers that carry their value in the lowest bits is faster than a sort of indexes.
        low = np.uint64(self.shape.slots - 1)
        ranks = outputs.view("<u8")[:, :, 0] & ~low | np.arange(low + 1, dtype=np.uint64)
        ranks.sort(axis=1)
        return (ranks & low).astype(np.uint8)

    def _all(self, cipher: BlockCipher, prefixes: U64, block: int) -> U8:
        """The PRF of every prefix, with every number below 2^w."""
        slots = self.shape.slots
        inner = np.repeat(cipher.encrypt(as_blocks(prefixes)), slots, axis=0)
        inner[:, 0] ^= np.uint8(block)
        inner[:, 1] ^= np.tile(np.arange(slots, dtype=np.uint8), len(prefixes))
        return cipher.encrypt(inner).reshape(len(prefixes), slots, 16)


def _distinct(prefixes: U64) -> tuple[U64, NDArray[np.int64] | None]:
    """The distinct rows, and the place of each row among them; None where that would save little."""
    if prefixes[:, 0].any():
        return prefixes, None
    low, which = np.unique(prefixes[:, 1], return_inverse=True)
    if 2 * len(low) > len(prefixes):
        return prefixes, None
    return np.column_stack((np.zeros_like(low), low)), which.reshape(-1)


def _hash_masks(keys: U8, nonces: U8) -> U8:
    """Two bits for each slot key uint8[n, s, 16], as PostgreSQL computes them: uint8[n, s]."""
    rows, slots = keys.shape[:2]
    raw = np.ascontiguousarray(keys).tobytes()
    state, size = sha256(SHA256_PREFIX), slots * 16
    result = bytearray(rows * slots)
    at = 0
    for row in range(rows):
        nonce = nonces[row].tobytes()
        for start in range(row * size, (row + 1) * size, 16):
            one = state.copy()
            one.update(raw[start : start + 16] + nonce)
            result[at] = one.digest()[0] & 3
            at += 1
    return np.frombuffer(bytes(result), dtype=np.uint8).reshape(rows, slots)
