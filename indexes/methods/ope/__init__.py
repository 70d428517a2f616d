"""Order-preserving encryption: ciphertexts compare as the values do, byte by byte, in the store's own B-tree.

    clww       Chenette, Lewi, Weis, Wu (FSE 2016), order-preserving form; every ordered type
    boldyreva  Boldyreva, Chenette, Lee, O'Neill (Eurocrypt 2009) through the library pyope; integers and dates
               of up to 32 bits

What both leak, at rest: the order and equality of all rows, thus every frequency and every quantile. A column
that is dense in its domain is as good as readable. On update: where a value stands among all others, and that it
was there before, also after its rows were deleted. On query: where the ends of the range stand among the rows,
which rows match, and whether an end was asked for before.
"""

from __future__ import annotations

from typing import Final

from indexes.keys import Key
from indexes.types import ColumnType

from .boldyreva import BoldyrevaCipher
from .clww import ClwwCipher

SCHEMES: Final = ("clww", "boldyreva")

OpeCipher = ClwwCipher | BoldyrevaCipher


def cipher(key: Key, kind: ColumnType, scheme: str) -> OpeCipher:
    """The cipher of one index.

    Args:
        key: of the index, used for nothing else.
        kind: the column's type.
        scheme: `clww` or `boldyreva`.

    Raises:
        EncodingRefused: the scheme does not take the type.
        ValueError: an unknown scheme.
    """
    if scheme == "clww":
        return ClwwCipher(key, kind)
    if scheme == "boldyreva":
        return BoldyrevaCipher(key, kind)
    raise ValueError("an unknown scheme")
