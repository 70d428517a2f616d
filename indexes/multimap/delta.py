"""What one committed transaction changed in one table: the plaintext body of a delta.

A delta is one sealed blob, read by every reader whatever it is about to ask, so recent data leaks
nothing about a query (the "SDa" family: Demertzis et al., NDSS 2020). This module codes the body;
sealing it under its address (table, writer, n) is the caller's part.

Layout: `head length u32 | CBOR head | columns`, behind a u32 length and padded with zeros to a size
class: multiples of 256 bytes up to 4 KiB, 1/16-octave classes above. Each integer column is stored
relative to its minimum in the narrowest of 1, 2, 4 or 8 bytes, which costs a reader one NumPy call a
column; the head describes the columns as (count, minimum, width).

What it leaks: the size class of the body, thus roughly how much a transaction changed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import cbor2
import numpy as np

from indexes.errors import IntegrityFailure
from indexes.multimap.arrays import I64, U32, U64, offsets_of, range_index
from indexes.multimap.batches import MAX_VALUE, Ragged, SortedEntries
from indexes.multimap.paging import octave
from indexes.multimap.postings import Positions, PostingBatch

VERSION = 1
CLASS_BYTES = 256
_WIDTHS = (1, 2, 4, 8)
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class DeltaBody:
    """The changes of one transaction in one table, and what its writer had seen.

    Attributes:
        incarnation: 16 bytes, the incarnation of the database the writer worked in.
        catalog_version, catalog_hash: the catalog it worked with (hash 32 bytes).
        txn: 16 random bytes of the transaction attempt.
        prev: 32 bytes, hash of this writer's previous delta blob (zeros for its first).
        seen: per other writer (16 bytes) the last delta number seen and its hash (32 bytes).
        epoch, chain: the table's epoch its writer had verified, and the chain value there (32 bytes).
        siblings: (table, writer, n, epoch) of what the same transaction wrote to other tables: delta n
            under that epoch, or, with n = 0, the merge that made the epoch.
        added, removed: int64 ordinals, ascending and distinct.
        hashed: postings for the table's hashed segments, one batch per shape or index.
        sorted: the entries of each range index, and of each term dictionary, by id.
        stats: per keyword index id signed changes (documents, tokens per field).
    """

    incarnation: bytes
    catalog_version: int
    catalog_hash: bytes
    txn: bytes
    prev: bytes
    epoch: int
    chain: bytes
    seen: dict[bytes, tuple[int, bytes]] = field(default_factory=dict)
    siblings: list[tuple[int, bytes, int, int]] = field(default_factory=list)
    added: I64 = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    removed: I64 = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    hashed: list[PostingBatch] = field(default_factory=list)
    sorted: dict[int, SortedEntries] = field(default_factory=dict)
    stats: dict[int, tuple[int, list[int]]] = field(default_factory=dict)

    @property
    def postings(self) -> int:
        """Postings and sorted entries together, the measure of when to merge."""
        return sum(map(len, self.hashed)) + sum(map(len, self.sorted.values()))


def delta_class(size: int) -> int:
    """Bytes a body of `size` bytes (length prefix included) is padded to."""
    if size <= 16 * CLASS_BYTES:
        return max(-(-size // CLASS_BYTES), 1) * CLASS_BYTES
    return octave(size)


def encode_delta(body: DeltaBody) -> bytes:
    """The padded plaintext of a delta.

    Raises:
        ValueError: an identifier of the wrong length, or ordinals that do not ascend.
        EncodingRefused: a value of more than 2,048 bytes.
    """
    if len(body.incarnation) != 16 or len(body.txn) != 16:
        raise ValueError("incarnation and txn are 16 bytes")
    if {len(body.catalog_hash), len(body.prev), len(body.chain)} != {32}:
        raise ValueError("hashes are 32 bytes")
    columns = _Writer()
    added, removed = columns.runs(body.added), columns.runs(body.removed)
    hashed = [columns.batch(batch) for batch in body.hashed]
    ranges = {index: columns.entries(entries) for index, entries in body.sorted.items()}
    head = cbor2.dumps(
        [
            VERSION,
            body.incarnation,
            body.catalog_version,
            body.catalog_hash,
            body.txn,
            body.prev,
            body.epoch,
            body.chain,
            {writer: [n, digest] for writer, (n, digest) in body.seen.items()},
            [list(sibling) for sibling in body.siblings],
            added,
            removed,
            hashed,
            ranges,
            {index: [docs, list(tokens)] for index, (docs, tokens) in body.stats.items()},
        ]
    )
    inner = len(head).to_bytes(4, "little") + head + b"".join(columns.parts)
    return (len(inner).to_bytes(4, "little") + inner).ljust(delta_class(len(inner) + 4), b"\0")


def decode_delta(data: bytes) -> DeltaBody:
    """Inverse of `encode_delta`.

    Raises:
        IntegrityFailure: the bytes are not exactly one padded body of this version.
    """
    return _guarded(lambda: _decode(data))


def _decode(data: bytes) -> DeltaBody:
    size = int.from_bytes(data[:4], "little") + 4
    if len(data) < 8 or len(data) != delta_class(size) or any(data[size:]):
        raise IntegrityFailure
    head_end = 8 + int.from_bytes(data[4:8], "little")
    if head_end > size:
        raise IntegrityFailure
    head: list[Any] = cbor2.loads(data[8:head_end])
    version, incarnation, catalog_version, catalog_hash, txn, prev, epoch, chain, *rest = head
    seen, siblings, added, removed, hashed, ranges, stats = rest
    if version != VERSION or [len(incarnation), len(txn)] != [16, 16]:
        raise IntegrityFailure
    if {len(catalog_hash), len(prev), len(chain)} != {32}:
        raise IntegrityFailure
    columns = _Reader(data, head_end, size)
    body = DeltaBody(
        incarnation=bytes(incarnation),
        catalog_version=int(catalog_version),
        catalog_hash=bytes(catalog_hash),
        txn=bytes(txn),
        prev=bytes(prev),
        epoch=int(epoch),
        chain=bytes(chain),
        seen={bytes(w): (int(n), bytes(digest)) for w, (n, digest) in seen.items()},
        siblings=[(int(table), bytes(w), int(n), int(at)) for table, w, n, at in siblings],
        added=columns.runs(added),
        removed=columns.runs(removed),
        hashed=[columns.batch(spec) for spec in hashed],
        sorted={int(index): columns.entries(spec) for index, spec in ranges.items()},
        stats={
            int(i): (int(docs), [int(t) for t in tokens]) for i, (docs, tokens) in stats.items()
        },
    )
    if columns.at != size:
        raise IntegrityFailure
    return body


def _guarded(work: Callable[[], _T]) -> _T:
    """Any structural surprise is one and the same integrity failure, without a cause to read."""
    try:
        return work()
    except (ValueError, TypeError, KeyError, IndexError, OverflowError, AttributeError):
        raise IntegrityFailure from None
    except cbor2.CBORError:
        raise IntegrityFailure from None


class _Writer:
    """Appends integer columns and returns their descriptions for the head."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []

    def column(self, values: np.ndarray[Any, Any]) -> list[int]:
        if not len(values):
            return [0, 0, 1]
        low, high = int(values.min()), int(values.max())
        width = next(w for w in _WIDTHS if (high - low) >> (8 * w) == 0)
        # Differences are taken modulo 2^64, so unsigned and signed columns share one path.
        wide = values.astype(np.uint64, copy=False) if values.dtype != np.int64 else values
        relative = wide.view(np.uint64) - np.uint64(low & 0xFFFF_FFFF_FFFF_FFFF)
        self.parts.append(relative.astype(f"<u{width}").tobytes())
        return [len(values), low, width]

    def runs(self, ordinals: I64) -> list[list[int]]:
        if not len(ordinals):
            return []
        steps = np.diff(ordinals)
        if int(ordinals[0]) < 0 or (len(steps) and int(steps.min()) < 1):
            raise ValueError("ordinals must ascend")
        breaks = np.flatnonzero(steps != 1) + 1
        firsts = np.concatenate(([0], breaks))
        lengths = np.diff(firsts, append=len(ordinals))
        return [self.column(ordinals[firsts]), self.column(lengths)]

    def batch(self, batch: PostingBatch) -> list[Any]:
        spec = [self.column(batch.words), self.column(batch.ordinals)]
        payload = [self.column(batch.payload[:, c]) for c in range(batch.payload.shape[1])]
        places = batch.positions
        positions: list[list[int] | None] = [] if batch.values is None else [None, None]
        if places is not None:
            positions = [self.column(np.diff(places.offsets)), self.column(places.flat)]
        return [*spec, payload, *positions, *self.values(batch.values)]

    def entries(self, entries: SortedEntries) -> list[Any]:
        keys = entries.keys
        spec = [self.column(keys[:, 0]), self.column(keys[:, 1]), self.column(entries.ordinals)]
        return [*spec, *self.values(entries.values)]

    def values(self, values: Ragged | None) -> list[Any]:
        if values is None:
            return []
        values.require_fitting()
        return [self.column(values.sizes), self.column(values.flat)]


class _Reader:
    """Takes columns off the body in the order in which `_Writer` appended them."""

    def __init__(self, data: bytes, start: int, stop: int) -> None:
        self._data = data
        self._stop = stop
        self.at = start

    def column(self, spec: list[int]) -> U64:
        count, low, width = spec
        if count < 0 or width not in _WIDTHS or self.at + count * width > self._stop:
            raise IntegrityFailure
        raw = np.frombuffer(self._data, dtype=f"<u{width}", count=count, offset=self.at)
        self.at += count * width
        result: U64 = raw.astype(np.uint64) + np.uint64(low & 0xFFFF_FFFF_FFFF_FFFF)
        return result

    def signed(self, spec: list[int]) -> I64:
        return self.column(spec).view(np.int64)

    def narrow(self, spec: list[int]) -> U32:
        values = self.column(spec)
        if len(values) and int(values.max()) >> 32:
            raise IntegrityFailure
        return values.astype(np.uint32)

    def runs(self, spec: list[list[int]]) -> I64:
        if not spec:
            return np.zeros(0, dtype=np.int64)
        first_spec, length_spec = spec
        firsts, lengths = self.signed(first_spec), self.signed(length_spec)
        if len(firsts) != len(lengths) or int(lengths.min()) < 1 or int(firsts[0]) < 0:
            raise IntegrityFailure
        if (firsts[1:] <= firsts[:-1] + lengths[:-1]).any():
            raise IntegrityFailure
        return range_index(firsts, lengths)

    def batch(self, spec: list[Any]) -> PostingBatch:
        words, ordinals = self.column(spec[0]), self.signed(spec[1])
        payload = np.zeros((len(words), len(spec[2])), dtype=np.uint32)
        for c, column in enumerate(spec[2]):
            payload[:, c] = self.narrow(column)
        positions = None
        if len(spec) > 3 and spec[3] is not None:
            offsets = offsets_of(self.signed(spec[3]))
            flat = self.narrow(spec[4])
            if int(offsets[-1]) != len(flat) or (np.diff(offsets) < 0).any():
                raise IntegrityFailure
            positions = Positions(flat, offsets)
        return PostingBatch(words, ordinals, payload, positions, self.values(spec[5:]))

    def entries(self, spec: list[Any]) -> SortedEntries:
        keys = np.stack([self.column(spec[0]), self.column(spec[1])], axis=1)
        return SortedEntries(keys, self.signed(spec[2]), self.values(spec[3:]))

    def values(self, spec: list[Any]) -> Ragged | None:
        if not spec:
            return None
        sizes, flat = self.signed(spec[0]), self.column(spec[1])
        if len(sizes) and not 0 <= int(sizes.min()) <= int(sizes.max()) <= MAX_VALUE:
            raise IntegrityFailure
        if int(sizes.sum()) != len(flat) or (len(flat) and int(flat.max()) >> 8):
            raise IntegrityFailure
        return Ragged(flat.astype(np.uint8), offsets_of(sizes))
