"""The order-preserving encryption of Boldyreva, Chenette, Lee and O'Neill (Eurocrypt 2009), through pyope.

A value of up to 32 bits becomes a number below 2⁴⁴, big-endian in 6 bytes. The library samples a random
order-preserving function lazily, value by value, along a path of halved ranges. It takes milliseconds a
value; equal values of one batch are encrypted once.

The library is given ranges in which it is sound:

    2⁴⁴     its sampler works in binary64 with logarithms of factorials. At 2⁴⁴ those are off by less than 0.1;
            at 2⁴⁸, by about 1, and the first split spreads 15 % too far, which thousands of keys show
    + 2³²   it draws coins by the decimal text of a plaintext or of the middle of a range, one keyed stream for
            each number. Ciphertexts that begin at 2³² keep the two apart; that much is subtracted afterwards

Guarantee: nothing is proved of the library's own function. The scheme's is that ciphertexts are those of a
random order-preserving function (POPF-CCA), and such a function shows about the upper half of the bits of a
value (Boldyreva, Chenette, O'Neill, CRYPTO 2011). The library departs from it in small ranges: the lowest of
the values that share one always lies in the lower half.

What it leaks, at rest: order, equality and roughly the upper half of each value's bits.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from indexes.errors import EncodingRefused
from indexes.keys import Key
from indexes.methods.domain import U64, bits_of, numbers
from indexes.types import ColumnType, Kind

if TYPE_CHECKING:
    from pyope.ope import OPE

KINDS: Final = (Kind.SMALLINT, Kind.INTEGER, Kind.DATE)
CIPHERTEXT_BITS: Final = 44
WIDTH: Final = 6
_START: Final = 1 << 32
_REMEMBERED: Final = 1 << 16


class BoldyrevaCipher:
    """Encrypts the values of one index; `width` bytes each, 6.

    Raises:
        EncodingRefused: the column is no SMALLINT, INTEGER or DATE.
    """

    width: Final = WIDTH

    def __init__(self, key: Key, kind: ColumnType) -> None:
        if kind.kind not in KINDS:
            raise EncodingRefused(
                f"{kind.sql} is not served by the scheme boldyreva; it takes SMALLINT, INTEGER and DATE"
            )
        self._kind = kind
        self._bits = bits_of(kind)
        self._key = key.derive("ope", "boldyreva", self._bits)
        self._one = lru_cache(maxsize=_REMEMBERED)(self._encrypt_one)
        self._library: OPE | None = None

    def encrypt(self, keys: U64) -> NDArray[np.uint8]:
        """Ciphertexts uint8[n, 6] of order keys uint64[n, 2].

        Raises:
            EncodingRefused: a key that no value of the type has; or, about once in 2²⁶ values, one that
                the library fails on under this key.
        """
        distinct, which = np.unique(numbers(keys, self._kind)[:, 1], return_inverse=True)
        table = np.frombuffer(b"".join(map(self._one, distinct.tolist())), dtype=np.uint8)
        return table.reshape(-1, self.width)[which.reshape(-1)]

    def _encrypt_one(self, number: int) -> bytes:
        if self._library is None:
            from pyope.ope import OPE, ValueRange

            self._library = OPE(
                self._key.expose(),
                in_range=ValueRange(0, (1 << self._bits) - 1),
                out_range=ValueRange(_START, _START + (1 << CIPHERTEXT_BITS) - 1),
            )
        # The library takes any int subclass and checks nothing else; `numbers` gave a plain one in range.
        try:
            found = int(self._library.encrypt(number))
        except (ArithmeticError, AssertionError):
            # It divides by a coin that is zero once in 2³² draws.
            raise EncodingRefused(
                f"the scheme boldyreva has no ciphertext of one value of {self._kind.sql} under this key"
            ) from None
        return (found - _START).to_bytes(self.width, "big")
