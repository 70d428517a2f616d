"""The key tree of one database and the associated data of everything sealed under it.

Every key is HKDF-SHA256 of the root key over a length-prefixed context (RFC 5869), so that one key
has one purpose, one database, one incarnation, one table and one index. Every associated-data string
repeats that address, so that a ciphertext opens only in the place it was written for.
"""

from __future__ import annotations

import hashlib
import struct
from functools import cached_property, lru_cache

from encdb.wire import FORMAT_VERSION
from indexes.errors import IntegrityFailure
from indexes.keys import Key, pack_context
from indexes.labels import LabelMap
from indexes.prf import TermPrf
from indexes.seal import RecordSealer
from indexes.types import ColumnType

from .catalog import Index, Table
from .visible import VisibleIndex

FORMAT = f"encdb/{FORMAT_VERSION}"
KEY_VERSION = 1
ZERO_HASH = bytes(32)
ROW, DELTA, MANIFEST, CATALOG = 1, 2, 3, 4
"""Kinds of records, in their headers."""


def sha256(*parts: bytes) -> bytes:
    """SHA-256 of fixed-length parts laid end to end, 32 bytes."""
    return hashlib.sha256(b"".join(parts)).digest()


class RecordCipher:
    """Seals records of one kind: ``format u8 | kind u8 | key version u16 | nonce | ciphertext | tag``.

    The four bytes in front say which format and key a reader needs, and are authenticated with the
    rest of the address.
    """

    def __init__(self, key: Key, kind: int) -> None:
        self._sealer = RecordSealer(key)
        self._header = struct.pack("<BBH", FORMAT_VERSION, kind, KEY_VERSION)

    def seal(self, plaintext: bytes, aad: bytes) -> bytes:
        """One sealed record, 32 bytes longer than the plaintext."""
        return self._header + self._sealer.seal(plaintext, self._header + aad)

    def open(self, blob: bytes, aad: bytes) -> bytes:
        """The plaintext; IntegrityFailure when the record is not the one of that address."""
        if blob[: len(self._header)] != self._header:
            raise IntegrityFailure
        return self._sealer.open(blob[len(self._header) :], self._header + aad)


class DatabaseKeys:
    """Keys of one incarnation of one database.

    Args:
        root: the 256-bit root key from the keyring.
        database: 16 bytes, the database's identity.
        incarnation: 16 bytes, new for every restore, so that a restored copy never meets a
            (key, nonce) pair of the original.
    """

    def __init__(self, root: Key, database: bytes, incarnation: bytes) -> None:
        self.database = database
        self.incarnation = incarnation
        self._root = root
        self._tables: dict[int, TableKeys] = {}

    def derive(self, purpose: str, *context: str | bytes | int) -> Key:
        """The key for one purpose and address."""
        return self._root.derive(
            FORMAT, self.database, self.incarnation, purpose, KEY_VERSION, *context
        )

    def aad(self, purpose: str, *context: str | bytes | int) -> bytes:
        """Associated data that names the same address as :meth:`derive`."""
        return pack_context(FORMAT, self.database, self.incarnation, purpose, *context)

    def table(self, table_id: int) -> TableKeys:
        """Keys of one logical table."""
        if table_id not in self._tables:
            self._tables[table_id] = TableKeys(self, table_id)
        return self._tables[table_id]


class CatalogSealer:
    """Seals catalog versions. The incarnation lies inside, so its keys do not depend on it."""

    def __init__(self, root: Key, database: bytes) -> None:
        self._sealer = RecordCipher(root.derive(FORMAT, database, "catalog", KEY_VERSION), CATALOG)
        self._database = database

    def seal(self, version: int, body: bytes) -> bytes:
        """One sealed version, padded by the caller."""
        return self._sealer.seal(body, self._aad(version))

    def open(self, version: int, blob: bytes) -> bytes:
        """The body of one version; IntegrityFailure when it is not that version's."""
        return self._sealer.open(blob, self._aad(version))

    def _aad(self, version: int) -> bytes:
        return pack_context(FORMAT, self._database, "catalog", version)


def scheme_of(table: Table, keys: TableKeys, index: Index) -> VisibleIndex:
    """The scheme of one server-visible index of a table."""
    types = tuple(table.column_by_id(number).type for number in index.columns)
    return keys.visible(index, types)


class TableKeys:
    """Keys of one logical table; each is derived on first use."""

    def __init__(self, database: DatabaseKeys, table_id: int) -> None:
        self._database = database
        self.table_id = table_id
        self.index_words = lru_cache(maxsize=None)(self._index_words)
        self.index_tags = lru_cache(maxsize=None)(self._index_tags)
        self.null_word = lru_cache(maxsize=None)(self._null_word)
        self.visible = lru_cache(maxsize=None)(self._visible)
        self.null_words = lru_cache(maxsize=None)(self._null_words)
        self.sorted_key = lru_cache(maxsize=None)(self._sorted_key)

    def _derive(self, purpose: str, *context: str | bytes | int) -> Key:
        return self._database.derive(purpose, self.table_id, *context)

    def aad(self, purpose: str, *context: str | bytes | int) -> bytes:
        """Associated data of something that belongs to this table."""
        return self._database.aad(purpose, self.table_id, *context)

    @cached_property
    def labels(self) -> LabelMap:
        """Ordinal to label and back."""
        return LabelMap(self._derive("labels"))

    @cached_property
    def rows(self) -> RecordCipher:
        """Row records."""
        return RecordCipher(self._derive("rows"), ROW)

    @cached_property
    def deltas(self) -> RecordCipher:
        """Deltas."""
        return RecordCipher(self._derive("deltas"), DELTA)

    @cached_property
    def manifests(self) -> RecordCipher:
        """Manifests."""
        return RecordCipher(self._derive("manifest"), MANIFEST)

    @cached_property
    def packs(self) -> Key:
        """Parent of the pack keys, each of which is fresh for its build attempt."""
        return self._derive("packs")

    @cached_property
    def hashed(self) -> Key:
        """Parent of the hashed segments' keys."""
        return self._derive("hashed")

    @cached_property
    def liveness(self) -> Key:
        """Parent of the liveness segments' keys."""
        return self._derive("liveness")

    @cached_property
    def statistics(self) -> Key:
        """Parent of the statistics segments' keys."""
        return self._derive("statistics")

    @cached_property
    def value_words(self) -> TermPrf:
        """Gives the words by which statistics know the common values of every column."""
        return TermPrf(self._derive("values"))

    def _sorted_key(self, index_id: int) -> Key:
        return self._derive("sorted", index_id)

    def _index_words(self, index_id: int) -> TermPrf:
        return TermPrf(self._derive("terms", index_id))

    def _null_word(self, index_id: int) -> int:
        """The word under which a range index lists the rows whose value is NULL."""
        return int(self.index_words(index_id).items([b"null"])[0])

    def _null_words(self, index_id: int) -> TermPrf:
        """Gives the words under which a range index of several columns lists rows whose last one is NULL."""
        return TermPrf(self._derive("nulls", index_id))

    def _visible(self, index: Index, types: tuple[ColumnType, ...]) -> VisibleIndex:
        """The values of a server-visible index; those of one join group share a key."""
        group = index.option("join_group", "")
        key = (
            self._database.derive("join group", group)
            if group
            else self._derive("visible", index.id)
        )
        return VisibleIndex(index, types, key)

    def _index_tags(self, index_id: int) -> TermPrf:
        return TermPrf(self._derive("unique", index_id))

    @cached_property
    def row_context(self) -> bytes:
        """The part of a row's associated data that all rows of the table share."""
        return self.aad("row")

    def delta_aad(self, writer: bytes, number: int) -> bytes:
        """Associated data of one delta."""
        return self.aad("delta", writer, number)

    def manifest_aad(self, epoch: int) -> bytes:
        """Associated data of one manifest."""
        return self.aad("manifest", epoch)

    @cached_property
    def genesis_chain(self) -> bytes:
        """The chain value of epoch 0, before any manifest was written."""
        return sha256(self.aad("genesis"))
