"""The random functions of a database: what it is that a store sees in the place of values and row numbers.

The leakage model asks for their values by handles: an index and a term, a segment and a word, a block and a
place. ``Keyed`` gives what a database with its keys and salts gives, so that a model can be compared with a
trace number by number. ``Sampled`` gives random values that depend on the handles alone, terms being
numbered in the order in which they first occur; two histories for which the model says the same under one
sampling are told apart by no store, whatever their values are.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np

from . import spec

Term = tuple[bytes, bool]
"""A canonical term, and whether it is one block of a fixed-width column."""


class Functions(ABC):
    """Values of random functions by handle. Tables are numbered in the order they were made."""

    @abstractmethod
    def word(self, table: int, purpose: str, index: int, term: Term) -> int:
        """The 64 bits by which segments know a term; purposes are ``terms`` and ``nulls``."""

    @abstractmethod
    def tag(self, table: int, index: int, term: Term) -> bytes:
        """The 16 bytes by which the store knows a pending unique value."""

    @abstractmethod
    def low(self, table: int, ordinal: int) -> int:
        """Where in its block the label of a row lies."""

    @abstractmethod
    def place(self, table: int, segment: int, word: int) -> int:
        """64 bits that choose a word's bucket."""

    @abstractmethod
    def body(self, table: int, kind: str, segment: int, pages: int, index: int = 0) -> list[int]:
        """Where each of the logical body pages of a segment lies."""

    @abstractmethod
    def shown(self, table: int, index: int, group: str | None, kinds: str, term: Term) -> bytes:
        """The tag that a `det` index, or its join group, shows for a term."""

    @abstractmethod
    def digit(self, table: int, index: int, bits: int, prefix: str) -> int:
        """The number below 255 that hides the bit after a prefix of bits in an `ope` index."""

    @abstractmethod
    def slot(
        self,
        table: int,
        index: int,
        shape: tuple[str, int, int],
        prefix: int,
        block: int,
        value: int,
    ) -> bytes:
        """Place and key by which a token of an `ore` index names a block's value after a prefix."""


class Keyed(Functions):
    """The functions of one database.

    Attributes:
        tables: ids of the tables, in the order they were made.
        salts: (table id, segment) → salt, as manifests name them.
    """

    def __init__(self, root: bytes, database: bytes, incarnation: bytes) -> None:
        self._root = root
        self._where = (spec.FORMAT, database, incarnation)
        self.tables: list[int] = []
        self.salts: dict[tuple[int, int], bytes] = {}
        self._known: dict[object, object] = {}

    def key(self, purpose: str, table: int, *index: int) -> bytes:
        """One key of a table, by its id."""
        return spec.kdf(self._root, *self._where, purpose, spec.KEY_VERSION, table, *index)

    def address(self, purpose: str, table: int, *rest: int) -> bytes:
        """Associated data of something of a table, by its id."""
        return spec.context(*self._where, purpose, table, *rest)

    def _once(self, handle: object, value: Callable[[], object]) -> object:
        if handle not in self._known:
            self._known[handle] = value()
        return self._known[handle]

    def _mac_key(self, table: int, purpose: str, index: int, use: str) -> bytes:
        return self._once(  # type: ignore[return-value]
            ("key", table, purpose, index, use),
            lambda: spec.kdf(self.key(purpose, self.tables[table], index), "prf", use),
        )

    def word(self, table: int, purpose: str, index: int, term: Term) -> int:
        """See the base class."""

        def value() -> int:
            key = self._mac_key(table, purpose, index, "words")
            return int.from_bytes(spec.mac(key, 0, term[0], fixed=term[1])[:8], "little")

        return self._once(("word", table, purpose, index, term), value)  # type: ignore[return-value]

    def tag(self, table: int, index: int, term: Term) -> bytes:
        """See the base class."""
        return spec.mac(self._mac_key(table, "unique", index, "tags"), 1, term[0], fixed=term[1])

    def low(self, table: int, ordinal: int) -> int:
        """See the base class."""
        block = ordinal // spec.BLOCK

        def value() -> np.ndarray:
            inputs = np.zeros((spec.BLOCK, 2), dtype="<u8")
            inputs[:, 0] = block
            inputs[:, 1] = np.arange(spec.BLOCK)
            return spec.ranks(self.key("labels", self.tables[table]), [inputs.tobytes()])

        found = self._once(("low", table, block), value)
        return int(found[ordinal % spec.BLOCK])  # type: ignore[index]

    def place(self, table: int, segment: int, word: int) -> int:
        """See the base class."""
        number = self.tables[table]
        key = self._once(
            ("place", table, segment),
            lambda: spec.kdf(
                self.key("hashed", number), "hashed", "place", self.salts[number, segment]
            ),
        )
        block = word.to_bytes(8, "little") + bytes(8)
        return int.from_bytes(spec.aes(key, block)[:8], "little")  # type: ignore[arg-type]

    def body(self, table: int, kind: str, segment: int, pages: int, index: int = 0) -> list[int]:
        """See the base class."""
        number = self.tables[table]
        salt = self.salts[number, segment]
        if kind == "sorted":
            key = spec.kdf(self.key(kind, number, index), kind, "shuffle", index, salt)
        else:
            key = spec.kdf(self.key(kind, number), kind, "shuffle", salt)
        numbers = [one.to_bytes(8, "little") + bytes(8) for one in range(pages)]
        # Page i lies at the number at place i of the numbers in the order of their AES.
        return np.argsort(spec.ranks(key, numbers), kind="stable").tolist()

    def _visible(self, table: int, index: int) -> bytes:
        return self.key("visible", self.tables[table], index)

    def shown(self, table: int, index: int, group: str | None, kinds: str, term: Term) -> bytes:
        """See the base class."""
        key = self._visible(table, index)
        if group is not None:
            key = spec.kdf(self._root, *self._where, "join group", spec.KEY_VERSION, group)
        key = spec.kdf(spec.kdf(key, "det", *kinds.split(",")), "prf", "tags")
        return spec.mac(key, 1, term[0], fixed=term[1])

    def digit(self, table: int, index: int, bits: int, prefix: str) -> int:
        """See the base class."""
        key = spec.kdf(self._visible(table, index), "ope", "clww", bits)
        block = int((prefix + "1").ljust(128, "0"), 2).to_bytes(16, "big")
        return int.from_bytes(spec.aes(key, block)[:8], "little") % 255

    def slot(
        self,
        table: int,
        index: int,
        shape: tuple[str, int, int],
        prefix: int,
        block: int,
        value: int,
    ) -> bytes:
        """See the base class."""
        mask, width, bits = shape
        parent = spec.kdf(self._visible(table, index), "ore", mask, bits)

        def function(use: str, number: int) -> bytes:
            key = spec.kdf(parent, use)
            first = bytearray(spec.aes(key, prefix.to_bytes(16, "big")))
            first[0] ^= block
            first[1] ^= number
            return spec.aes(key, bytes(first))

        def rank(number: int) -> int:
            raw = int.from_bytes(function("order", number)[:8], "little")
            return raw >> width << width | number

        place = sum(rank(other) < rank(value) for other in range(1 << width))
        return bytes([place]) + function("slots", place)


class Sampled(Functions):
    """Random functions of one seed."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._terms: dict[tuple[int, str, int], dict[Term, int]] = {}

    def _bytes(self, *handle: object) -> bytes:
        return hashlib.sha256(repr((self._seed, *handle)).encode()).digest()

    def _random(self, *handle: object) -> np.random.Generator:
        return np.random.default_rng(int.from_bytes(self._bytes(*handle), "little"))

    def _number(self, table: int, purpose: str, index: int, term: Term) -> int:
        known = self._terms.setdefault((table, purpose, index), {})
        return known.setdefault(term, len(known))

    def word(self, table: int, purpose: str, index: int, term: Term) -> int:
        """See the base class."""
        number = self._number(table, purpose, index, term)
        return int.from_bytes(self._bytes("word", table, purpose, index, number)[:8], "little")

    def tag(self, table: int, index: int, term: Term) -> bytes:
        """See the base class."""
        number = self._number(table, "terms", index, term)
        return self._bytes("tag", table, index, number)[:16]

    def low(self, table: int, ordinal: int) -> int:
        """See the base class."""
        order = self._random("low", table, ordinal // spec.BLOCK).permutation(spec.BLOCK)
        return int(order[ordinal % spec.BLOCK])

    def place(self, table: int, segment: int, word: int) -> int:
        """See the base class."""
        return int.from_bytes(self._bytes("place", table, segment, word)[:8], "little")

    def body(self, table: int, kind: str, segment: int, pages: int, index: int = 0) -> list[int]:
        """See the base class."""
        return self._random("body", table, kind, segment, index).permutation(pages).tolist()

    def shown(self, table: int, index: int, group: str | None, kinds: str, term: Term) -> bytes:
        """See the base class."""
        place = (table, "shown", index) if group is None else (-1, group, 0)
        return self._bytes("shown", *place, self._number(*place, term))[:16]

    def _prefix(self, table: int, index: int, prefix: str) -> int:
        """The number of a prefix: its order of occurrence, whatever its bits are."""
        return self._number(table, "prefix", index, (prefix.encode(), False))

    def digit(self, table: int, index: int, bits: int, prefix: str) -> int:
        """See the base class."""
        number = self._prefix(table, index, prefix)
        return self._bytes("digit", table, index, number)[0] % 255

    def slot(
        self,
        table: int,
        index: int,
        shape: tuple[str, int, int],
        prefix: int,
        block: int,
        value: int,
    ) -> bytes:
        """See the base class."""
        number = self._prefix(table, index, f"{prefix} {block} {value}")
        return self._bytes("slot", table, index, number)[:17]
