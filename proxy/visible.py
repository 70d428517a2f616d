"""Values of server-visible indexes: from a catalog's declaration to what the store is shown.

One object per index knows its scheme and key: it makes the values of rows, the bounds and tokens of queries,
and finds out whether a value that the store holds is that of a row.

A condition comes in two forms, the test that the store is asked to make and the same for opened values. Every row
that the store names is held against the second one once it is opened, so a row that is named wrongly is
noticed. One that is left out is not: completeness is the store's word alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from encdb.wire import VisibleKind, VisibleTest
from indexes.buffers import wrap
from indexes.encoding import order_key_exact, order_keys
from indexes.keys import Key
from indexes.methods import det, ope
from indexes.methods.ore.client import OreCipher
from indexes.methods.range import KeyRange
from indexes.types import ColumnType
from proxy.arrow import Array
from proxy.catalog import Index, Table
from proxy.recent import key_mask

Values = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

KINDS: Final[dict[str, VisibleKind]] = {"det": "tag", "ope": "order", "ore": "compare"}
"""What the store may do with the values of each server-visible method."""


def visible_indexes(table: Table) -> tuple[Index, ...]:
    """A table's server-visible indexes."""
    return tuple(index for index in table.indexes if index.method in KINDS)


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition on the columns of a server-visible index.

    Attributes:
        index: the index.
        test: what the store is asked.
        fits: the same for opened values, one array per column of the index: bool[n].
        exact: whether the test is the condition asked for, and not a weaker one.
    """

    index: Index
    test: VisibleTest
    fits: Callable[[Sequence[Array]], Mask]
    exact: bool


class VisibleIndex:
    """The values of one server-visible index.

    Args:
        index: the index.
        types: of its columns.
        key: of the index, or of its join group; used for nothing else.
    """

    def __init__(self, index: Index, types: Sequence[ColumnType], key: Key) -> None:
        self.index = index
        self.kind = KINDS[index.method]
        self.types = list(types)
        self._det = det.tag_prf(key, types) if index.method == "det" else None
        self._ope: ope.OpeCipher | None = None
        self._ore: OreCipher | None = None
        if index.method == "ope":
            self._ope = ope.cipher(key, self.types[0], index.option("scheme", "clww"))
        elif index.method == "ore":
            self._ore = OreCipher(key, self.types[0], index.option("mask", "aes"))

    def values(self, arrays: Sequence[Array]) -> tuple[Values, Mask]:
        """What the store is shown of n rows: uint8[n, width], and which rows have it (none with a NULL).

        Args:
            arrays: one array of n values per column of the index.
        """
        if self._det is not None:
            return det.tags(self._det, arrays, self.types)
        keys, valid = order_keys(arrays[0], self.types[0])
        chosen = np.flatnonzero(valid)
        shown = self._encrypt(keys[chosen])
        result = np.zeros((len(valid), shown.shape[1]), dtype=np.uint8)
        result[chosen] = shown
        return result, valid

    def same(self, arrays: Sequence[Array], stored: Sequence[bytes | None]) -> Mask:
        """Which of n rows have exactly the value that is stored for them, None for no entry."""
        good = np.zeros(len(stored), dtype=np.bool_)
        if self._ore is None:
            shown, valid = self.values(arrays)
            for place, value in enumerate(stored):
                mine = shown[place].tobytes() if valid[place] else None
                good[place] = value == mine
            return good
        keys, valid = order_keys(arrays[0], self.types[0])
        size = self._ore.shape.ciphertext_bytes
        whole = [
            place
            for place, value in enumerate(stored)
            if valid[place] and value is not None and len(value) == size
        ]
        for place, value in enumerate(stored):
            good[place] = value is None and not valid[place]
        if whole:
            joined = b"".join(stored[place] or b"" for place in whole)
            held = np.frombuffer(joined, dtype=np.uint8).reshape(-1, size)
            good[whole] = self._ore.verify(keys[whole], held)
        return good

    def among(self, arrays: Sequence[Array]) -> Condition | None:
        """Of an index by ``det``: that a row has one of these tuples of values; None when none has a tag.

        Args:
            arrays: one array of n values per column of the index.
        """
        shown, valid = self.values(arrays)
        tags = tuple(sorted({tag.tobytes() for tag in shown[valid]}))
        if not tags:
            return None
        known = pa.array(tags, pa.binary(det.TAG_BYTES))

        def fits(opened: Sequence[Array]) -> Mask:
            found, there = self.values(opened)
            among = pc.is_in(_binary(found), value_set=known)
            fitting: Mask = there & among.to_numpy(zero_copy_only=False)
            return fitting

        test = VisibleTest(self.index.id, self.kind, tags)
        return Condition(self.index, test, fits, exact=True)

    def between(self, within: KeyRange) -> Condition:
        """Of an index by ``ope`` or ``ore``: that the order key of a row lies in a range."""

        def fits(opened: Sequence[Array]) -> Mask:
            keys, there = order_keys(opened[0], self.types[0])
            return there & key_mask(keys, within.low, within.high)

        ends = self.bound(within.low), self.bound(within.high)
        return Condition(
            self.index, VisibleTest(self.index.id, self.kind, ends), fits, within.exact
        )

    @property
    def exact(self) -> bool:
        """Whether equal values in the store are equal values of the column: not if they are cut texts."""
        return self._det is not None or order_key_exact(self.types[0])

    def bound(self, key: tuple[int, int] | None) -> bytes:
        """The end of a range as the store is asked for it, of an order key; nothing for no bound."""
        if key is None:
            return b""
        if self._ore is not None:
            return self._ore.token(key)
        shown: bytes = self._encrypt(np.array([key], dtype=np.uint64)).tobytes()
        return shown

    def _encrypt(self, keys: npt.NDArray[np.uint64]) -> Values:
        cipher = self._ope or self._ore
        assert cipher is not None
        return cipher.encrypt(keys)


def _binary(rows: Values) -> Array:
    """uint8[n, w] as n binaries of w bytes."""
    buffers: list[pa.Buffer | None] = [None, wrap(rows)]
    array: Array = pa.Array.from_buffers(pa.binary(rows.shape[1]), len(rows), buffers)
    return array
