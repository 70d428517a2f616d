"""Posting lists that are too long to be decoded at once: read, joined and written a piece at a time.

A list is columns (see `coding`), so a reader keeps a place in each column and a writer a buffer for each.
Memory is the encoded lists and what a piece of each takes, whatever their length.

What it leaks: nothing; these are values in the memory of the key holder.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

from indexes.errors import IntegrityFailure
from indexes.multimap import varint
from indexes.multimap.arrays import I64, U8, U64
from indexes.multimap.batches import EncodedLists, Live, PostingBatch, Shape, widest
from indexes.multimap.coding import ListHead, narrow, position_gaps, positions_from, values_from

PIECE_BYTES = 1 << 20
"""Encoded bytes of all lists of a word that are decoded together."""


def join_long(word: int, lists: Sequence[U8], live: Live | None = None) -> EncodedLists:
    """One list of the live postings of several lists of one word, or none if all are dead.

    Args:
        word: the word.
        lists: encoded lists, uint8 each, at least one.
        live: which ordinals to keep; None keeps everything.

    Raises:
        IntegrityFailure: a list is malformed.
    """
    shape = widest([ListHead.read(raw).shape for raw in lists])
    writer = _Writer(shape)
    streams = [_Stream(pieces(word, raw, PIECE_BYTES // len(lists))) for raw in lists]
    while streams:
        # What lies behind the end of a piece may be preceded by the next piece of that list.
        limit = min((one.last for one in streams if not one.complete), default=None)
        ready = [one.until(limit) for one in streams]
        streams = [one for one in streams if not one.finished]
        if live is not None:
            ready = [one.where(live(one.ordinals)) for one in ready]
        writer.add(PostingBatch.join([one.widen(shape) for one in ready]))
    return writer.finish(word)


def pieces(word: int, raw: U8, piece_bytes: int) -> Iterator[PostingBatch]:
    """The postings of one encoded list in order, in batches of about so many encoded bytes.

    Raises:
        IntegrityFailure: the bytes are not exactly one list.
    """
    columns = _Columns(raw)
    step = max(1, columns.head.count * piece_bytes // len(raw))
    for first in range(0, columns.head.count, step):
        yield columns.take(word, min(step, columns.head.count - first))
    columns.require_finished()


class _Stream:
    """The postings of one list that were decoded and not yet taken."""

    def __init__(self, source: Iterator[PostingBatch]) -> None:
        self._source = source
        self._held = next(source)
        self._next = next(source, None)

    @property
    def last(self) -> int:
        """The greatest ordinal that was decoded."""
        return int(self._held.ordinals[-1])

    @property
    def complete(self) -> bool:
        """Whether everything was decoded."""
        return self._next is None

    @property
    def finished(self) -> bool:
        """Whether everything was taken."""
        return self.complete and not len(self._held)

    def until(self, limit: int | None) -> PostingBatch:
        """Takes the decoded postings up to an ordinal, all of them for None."""
        held, stop = self._held, len(self._held)
        if limit is not None:
            stop = int(np.searchsorted(held.ordinals, limit, side="right"))
        self._held = held.take(np.arange(stop, len(held), dtype=np.int64))
        if stop == len(held) and self._next is not None:
            self._held, self._next = self._next, next(self._source, None)
        return held.take(np.arange(stop, dtype=np.int64))


class _Cursor:
    """A place among the integers of one column."""

    __slots__ = ("_raw", "at", "stop")

    def __init__(self, raw: U8, start: int, stop: int) -> None:
        self._raw = raw
        self.at = start
        self.stop = stop

    def take(self, count: int) -> U64:
        """The next `count` integers."""
        if not count:
            return np.zeros(0, dtype=np.uint64)
        window = 2 * count
        while True:
            part = self._raw[self.at : min(self.at + window, self.stop)]
            stops = np.flatnonzero(part < 0x80)
            if len(stops) >= count:
                break
            if self.at + window >= self.stop:
                raise IntegrityFailure
            window *= 2
        size = int(stops[count - 1]) + 1
        self.at += size
        values, _ = varint.decode(part[:size])
        return values


class _Columns:
    """Places in all columns of one list."""

    def __init__(self, raw: U8) -> None:
        self.head = ListHead.read(raw)
        self._raw = raw
        columns, self._positioned, self._valued = self.head.shape
        edges = [self.head.start]
        for _ in range(1 + columns + self._positioned + self._valued):
            edges.append(_after(raw, edges[-1], self.head.count))
        self._body = [_Cursor(raw, start, stop) for start, stop in pairwise(edges)]
        end = edges[-1]
        if self._positioned:
            sizes = _Cursor(raw, *edges[1 + columns : 3 + columns])
            end = _after(raw, end, _total(sizes, self.head.count, len(raw)))
        self._places = _Cursor(raw, edges[-1], end)
        self._values_at = end
        self._last = 0

    def take(self, word: int, count: int) -> PostingBatch:
        """The next postings."""
        columns = self.head.shape[0]
        body = [cursor.take(count) for cursor in self._body]
        gaps = body[0]
        if int(gaps.max()) >> 63:
            raise IntegrityFailure
        gaps[0] += np.uint64(self._last)
        ordinals = np.cumsum(gaps).view(np.int64)
        if int(ordinals.min()) < 0:
            raise IntegrityFailure
        self._last = int(ordinals[-1])
        payload = np.zeros((count, columns), dtype=np.uint32)
        for column in range(columns):
            payload[:, column] = narrow(body[1 + column])
        positions = values = None
        if self._positioned:
            sizes = body[1 + columns]
            positions = positions_from(sizes, self._places.take(int(sizes.sum())))
        if self._valued:
            start = self._values_at
            self._values_at += int(body[-1].sum())
            values = values_from(body[-1], self._raw[start : self._values_at])
        words = np.full(count, word, dtype=np.uint64)
        return PostingBatch(words, ordinals, payload, positions, values)

    def require_finished(self) -> None:
        """IntegrityFailure unless everything was taken and nothing is left."""
        ends = all(cursor.at == cursor.stop for cursor in (*self._body, self._places))
        if not ends or self._values_at != len(self._raw):
            raise IntegrityFailure


def _after(raw: U8, start: int, count: int) -> int:
    """The byte behind `count` integers that begin at `start`."""
    at, left = start, count
    while left:
        stops = np.flatnonzero(raw[at : at + PIECE_BYTES] < 0x80)
        if len(stops) >= left:
            return at + int(stops[left - 1]) + 1
        left -= len(stops)
        at += PIECE_BYTES
        if at >= len(raw):
            raise IntegrityFailure
    return at


def _total(sizes: _Cursor, count: int, most: int) -> int:
    """The sum of `count` integers, each of at most `most`."""
    total, step = 0, PIECE_BYTES // 8
    for first in range(0, count, step):
        part = sizes.take(min(step, count - first))
        if int(part.max()) > most:
            raise IntegrityFailure
        total += int(part.sum())
    return total


class _Writer:
    """Encodes one list column by column from batches in the order of their ordinals."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        columns, positioned, valued = shape
        self._body: list[list[U8]] = [[] for _ in range(1 + columns + positioned + valued)]
        self._places: list[U8] = []
        self._values: list[U8] = []
        self._count = 0
        self._last = 0

    def add(self, batch: PostingBatch) -> None:
        """Postings of this shape, all with ordinals of at least those added before."""
        if not len(batch):
            return
        batch = batch.take(np.argsort(batch.ordinals, kind="stable"))
        gaps: I64 = np.diff(batch.ordinals, prepend=self._last)
        self._count, self._last = self._count + len(batch), int(batch.ordinals[-1])
        body = [gaps.view(np.uint64), *batch.payload.T]
        if batch.positions is not None:
            body.append(np.diff(batch.positions.offsets).view(np.uint64))
            self._places.append(varint.encode(position_gaps(batch.positions))[0])
        if batch.values is not None:
            body.append(batch.values.sizes.view(np.uint64))
            self._values.append(batch.values.flat)
        for parts, column in zip(self._body, body, strict=True):
            parts.append(varint.encode(column.astype(np.uint64))[0])

    def finish(self, word: int) -> EncodedLists:
        """The list, or none if nothing was added."""
        if not self._count:
            return EncodedLists.empty()
        head = np.frombuffer(ListHead(self._shape, self._count, 0).encode(), dtype=np.uint8)
        parts = [head, *(part for column in self._body for part in column)]
        data = np.concatenate([*parts, *self._places, *self._values])
        offsets = np.array([0, len(data)], dtype=np.int64)
        return EncodedLists(np.array([word], dtype=np.uint64), data, offsets)
