"""The order-preserving form of the scheme of Chenette, Lewi, Weis and Wu (FSE 2016).

Bit i of a number of n bits, from the top, becomes one byte: a pseudorandom number below 255 of the bits
before it, plus the bit itself. Numbers agree in their bytes up to the first bit that differs, and there the
byte of the greater one is greater by one, so that ciphertexts of n bytes compare as the numbers do.

    P_i     the bits before bit i, a one, and zeros: 16 bytes, unlike for every prefix of every length
    f_i     the first 8 bytes of AES-256_K(P_i), little-endian, modulo 255
    byte i  f_i + x_i

Guarantee: nothing but order, equality and the index of the first differing bit of any two values shows, beyond
what the end values 0 and 255 of a byte prove about its bit (1/255 of the bytes each).

What it leaks, at rest: for any two rows their order, their equality and the first bit in which they differ. That
is more than order alone: it bounds how far they are apart.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from indexes.keys import Key
from indexes.methods.domain import U64, as_blocks, bits_of, numbers, shifted
from indexes.prf import BlockCipher
from indexes.types import ColumnType

_MODULUS: Final = np.uint64(255)
# Rows encrypted at once, so that a step's blocks stay in the cache.
_ROWS: Final = 16_384


class ClwwCipher:
    """Encrypts the values of one index; `width` bytes each, one per bit."""

    def __init__(self, key: Key, kind: ColumnType) -> None:
        self._kind = kind
        self.width = bits_of(kind)
        self._cipher = BlockCipher(key.derive("ope", "clww", self.width))

    def encrypt(self, keys: U64) -> NDArray[np.uint8]:
        """Ciphertexts uint8[n, width] of order keys uint64[n, 2]."""
        bits = self.width
        values = shifted(numbers(keys, self._kind), bits - 128)
        result = np.empty((len(values), bits), dtype=np.uint8)
        for first in range(0, len(values), _ROWS):
            part = slice(first, first + _ROWS)
            for bit in range(bits):
                result[part, bit] = self._digit(values[part], bit)
        return result

    def decrypt(self, ciphertexts: NDArray[np.uint8]) -> U64:
        """The numbers uint64[n, 2] (`indexes.methods.domain`) of ciphertexts uint8[n, width].

        A byte that no bit gives is read as a one; whoever checks encrypts what was read and compares.
        """
        values = np.zeros((len(ciphertexts), 2), dtype=np.uint64)
        for bit in range(self.width):
            # With the bit still zero the digit is the pseudorandom number itself.
            ones = ciphertexts[:, bit] != self._digit(values, bit)
            half, place = (0, 63 - bit) if bit < 64 else (1, 127 - bit)
            values[:, half] |= ones.astype(np.uint64) << np.uint64(place)
        return shifted(values, 128 - self.width)

    def _digit(self, values: U64, bit: int) -> NDArray[np.uint8]:
        """The byte of one bit of numbers that are aligned to the left of 128 bits."""
        prefixes = shifted(shifted(values, 128 - bit), bit - 128)
        half, place = (0, 63 - bit) if bit < 64 else (1, 127 - bit)
        prefixes[:, half] |= np.uint64(1 << place)
        outputs = self._cipher.encrypt(as_blocks(prefixes))
        numbers_below = np.ascontiguousarray(outputs[:, :8]).view("<u8").reshape(-1) % _MODULUS
        digit: NDArray[np.uint8] = (
            numbers_below + (values[:, half] >> np.uint64(place) & np.uint64(1))
        ).astype(np.uint8)
        return digit
