"""Coding of posting lists: which ordinals hold a term, with a small payload, positions or a value for each.

A batch of postings is encoded into one list per word and back, always for the whole batch at once.
One list is a stream of LEB128 integers (`varint`), and behind it the values:

    kind, [count,] gaps…, payload column 0…, payload column 1…, [position counts…,] [value sizes…,]
    [position gaps…] | [values…]

- kind: one byte, bits 0 to 2 payload columns k, bit 3 positions present, bit 4 the list holds one posting
  and has no count, bits 5 and 6 the layout: 1 without values, 2 with values.
- gaps: the first ordinal, then differences; ordinals ascend and may repeat (one posting per field).
- position gaps: per posting the first position, then differences; positions ascend.
- values: bytes as they are, one after another.

Columns rather than tuples keep small numbers together and let a decoder work on slices.

What it leaks: nothing by itself. Lists are stored in sealed pages; their encoded length decides how
many pages a term occupies, which `hashed` pads to classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from indexes.errors import IntegrityFailure
from indexes.multimap import varint
from indexes.multimap.arrays import (
    I64,
    U8,
    U32,
    U64,
    offsets_of,
    order_by,
    put_ranges,
    range_index,
    take_ranges,
)
from indexes.multimap.batches import (
    MAX_VALUE,
    DecodedList,
    EncodedLists,
    Positions,
    PostingBatch,
    Ragged,
    Shape,
)

_PLAIN = 1 << 5
_VALUED = 2 << 5
_LAYOUTS = (_PLAIN, _VALUED)
_LAYOUT_MASK = 3 << 5
_SINGLE = 1 << 4
_POSITIONS = 1 << 3
_COLUMNS = 7
# Up to this many lists are decoded one by one, which has the smaller fixed cost.
_FEW = 4


@dataclass(frozen=True, slots=True)
class ListHead:
    """What the first bytes of a list say.

    Attributes:
        shape: of its postings.
        count: how many there are, at least one.
        start: the byte at which their columns begin.
    """

    shape: Shape
    count: int
    start: int

    def encode(self) -> bytes:
        """The bytes of a head with this shape and count."""
        columns, positions, valued = self.shape
        kind = columns | (_POSITIONS if positions else 0) | (_VALUED if valued else _PLAIN)
        if self.count == 1:
            return bytes([kind | _SINGLE])
        return bytes([kind]) + varint.encode(np.array([self.count], dtype=np.uint64))[0].tobytes()

    @staticmethod
    def read(raw: U8) -> ListHead:
        """The head of an encoded list, uint8[n].

        Raises:
            IntegrityFailure: there is none, or the list is too short for its count.
        """
        if not len(raw) or int(raw[0]) > 0x7F or int(raw[0]) & _LAYOUT_MASK not in _LAYOUTS:
            raise IntegrityFailure
        kind, count, start = int(raw[0]), 1, 1
        if not kind & _SINGLE:
            stops = np.flatnonzero(raw[1 : 1 + varint.MAX_BYTES] < 0x80)
            if not len(stops):
                raise IntegrityFailure
            start = int(stops[0]) + 2
            count = int(varint.decode(raw[1:start])[0][0])
        if not 0 < count < len(raw):
            raise IntegrityFailure
        shape = kind & _COLUMNS, bool(kind & _POSITIONS), kind & _LAYOUT_MASK == _VALUED
        return ListHead(shape, count, start)


def encode(batch: PostingBatch) -> EncodedLists:
    """Groups a batch by word, sorts each group by ordinal and encodes it.

    Raises:
        ValueError: a negative ordinal, or positions that do not ascend within a posting.
        EncodingRefused: a value of more than 2,048 bytes.
    """
    n = len(batch)
    if not n:
        return EncodedLists.empty()
    if int(batch.ordinals.min()) < 0:
        raise ValueError("an ordinal is negative")
    order = order_by(batch.words, batch.ordinals)
    sorted_batch = batch if order is None else batch.take(order)
    words, ordinals = sorted_batch.words, sorted_batch.ordinals
    firsts = np.flatnonzero(np.concatenate(([True], words[1:] != words[:-1])))
    counts = np.diff(firsts, append=n)
    columns, positions, kept = batch.payload.shape[1], sorted_batch.positions, sorted_batch.values

    gaps = ordinals.copy()
    gaps[1:] -= ordinals[:-1]
    gaps[firsts] = ordinals[firsts]
    body = [gaps.view(np.uint64)] + [sorted_batch.payload[:, c] for c in range(columns)]
    kind = columns | (_PLAIN if kept is None else _VALUED)
    extra = np.zeros(len(firsts), dtype=np.int64)
    if positions is not None:
        kind |= _POSITIONS
        sizes = np.diff(positions.offsets)
        body.append(sizes.view(np.uint64))
        extra = positions.offsets[firsts + counts] - positions.offsets[firsts]
    if kept is not None:
        kept.require_fitting()
        body.append(kept.sizes.view(np.uint64))

    # The stream of all lists: where each list's header, columns and positions go.
    header = 1 + (counts > 1)
    starts = offsets_of(header + counts * len(body) + extra)
    values = np.empty(int(starts[-1]), dtype=np.uint64)
    values[starts[:-1]] = kind + _SINGLE * (counts == 1)
    many = np.flatnonzero(counts > 1)
    values[starts[many] + 1] = counts[many]
    place = np.repeat(starts[:-1] + header - firsts, counts) + np.arange(n, dtype=np.int64)
    step = np.repeat(counts, counts) if len(body) > 1 else counts
    for column in body:
        values[place] = column
        if len(body) > 1:
            place += step
    if positions is not None:
        values[range_index(starts[1:] - extra, extra)] = position_gaps(positions)
    data, ends = varint.encode(values)
    offsets = np.zeros(len(starts), dtype=np.int64)
    offsets[1:] = ends[starts[1:] - 1]
    lists = EncodedLists(words[firsts], data, offsets)
    if kept is None:
        return lists
    return _with_values(lists, kept.flat, kept.offsets[firsts + counts] - kept.offsets[firsts])


def _with_values(lists: EncodedLists, flat: U8, sizes: I64) -> EncodedLists:
    """Puts `sizes` bytes of values behind each list's stream."""
    streams = np.diff(lists.offsets)
    offsets = offsets_of(streams + sizes)
    data = np.empty(int(offsets[-1]), dtype=np.uint8)
    put_ranges(data, offsets[:-1], lists.data, streams)
    put_ranges(data, offsets[:-1] + streams, flat, sizes)
    return EncodedLists(lists.words, data, offsets)


def decode(data: bytes) -> DecodedList:
    """Decodes one list.

    Raises:
        IntegrityFailure: the bytes are not exactly one list.
    """
    raw = np.frombuffer(data, dtype=np.uint8)
    if not len(raw):
        raise IntegrityFailure
    kind = int(raw[0])
    valued = kind & _LAYOUT_MASK == _VALUED
    stream = len(raw)
    if valued:
        one = EncodedLists(np.zeros(1, dtype=np.uint64), raw, np.array([0, stream]))
        stream = int(_stream_sizes(one)[0])
    values, _ = varint.decode(raw[:stream])
    head = 1 if kind & _SINGLE else 2
    if kind > 0x7F or kind & _LAYOUT_MASK not in _LAYOUTS or len(values) <= head:
        raise IntegrityFailure
    count = 1 if head == 1 else int(values[1])
    columns, width = kind & _COLUMNS, _width_of(kind)
    stop = head + count * width
    if not 0 < count <= len(values) or stop > len(values):
        raise IntegrityFailure
    body = values[head:stop].reshape(width, count)
    ordinals = np.cumsum(body[0].view(np.int64))
    if ordinals[0] < 0 or int(body[0].max()) >> 63 or ordinals[-1] < 0:
        raise IntegrityFailure
    payload = narrow(body[1 : 1 + columns]).T
    positions = None
    if kind & _POSITIONS:
        positions = positions_from(body[1 + columns], values[stop:])
    elif stop != len(values):
        raise IntegrityFailure
    kept = values_from(body[-1], raw[stream:]) if valued else None
    return DecodedList(ordinals, payload, positions, kept)


def _width_of(kind: int) -> int:
    """Integers of a posting, apart from the gaps of its positions."""
    valued = kind & _LAYOUT_MASK == _VALUED
    return 1 + (kind & _COLUMNS) + bool(kind & _POSITIONS) + valued


def _stream_sizes(lists: EncodedLists) -> I64:
    """Bytes of the stream of each list with values: int64[m]."""
    starts, sizes = lists.offsets[:-1], np.diff(lists.offsets)
    kinds = lists.data[starts].astype(np.int64)
    if (kinds > 0x7F).any():
        raise IntegrityFailure
    count = counts(lists)
    if (count < 1).any() or (count > sizes).any():
        raise IntegrityFailure
    # The n-th integer of a list ends at its n-th byte below 0x80, for values come behind all of them.
    stops = np.flatnonzero(lists.data < 0x80) + 1
    before = np.searchsorted(stops, starts, side="right")
    placed = (kinds & _POSITIONS) != 0
    begin = np.where(kinds & _SINGLE, 1, 2) + count * (1 + (kinds & _COLUMNS))
    integers = begin + count * (1 + placed)

    def after(number: I64) -> I64:
        """Bytes of each list's first integers."""
        last = before + number - 1
        if (last >= len(stops)).any() or (stops[last] > lists.offsets[1:]).any():
            raise IntegrityFailure
        result: I64 = stops[last] - starts
        return result

    streams = after(integers)
    chosen = np.flatnonzero(placed)
    if len(chosen):
        # How many gaps of positions there are stands in a column of its own.
        prefix = take_ranges(lists.data, starts[chosen], streams[chosen])
        values, _ = varint.decode(prefix)
        firsts = offsets_of(integers[chosen])[:-1] + begin[chosen]
        each = values[range_index(firsts, count[chosen])]
        if int(each.max()) > int(sizes.max()):
            raise IntegrityFailure
        edges = offsets_of(count[chosen])
        integers[chosen] += np.diff(offsets_of(each.view(np.int64))[edges])
        streams = after(integers)
    return streams


def values_from(sizes: U64, flat: U8) -> Ragged:
    """Values from their sizes and the bytes of all of them."""
    if int(sizes.max()) > MAX_VALUE:
        raise IntegrityFailure
    offsets = offsets_of(sizes.view(np.int64))
    if int(offsets[-1]) != len(flat):
        raise IntegrityFailure
    return Ragged(flat, offsets)


def explode(lists: EncodedLists) -> list[PostingBatch]:
    """Decodes all lists at once: one batch per shape, ordered by word and then by ordinal.

    Raises:
        IntegrityFailure: a list is malformed.
    """
    if len(lists) <= _FEW:
        return _explode_few(lists)
    return [batch for _, batch in explode_indexed(lists)]


def explode_indexed(lists: EncodedLists) -> list[tuple[I64, PostingBatch]]:
    """Like `explode`, with the position in `lists` (int64[n]) of each posting's list."""
    if not len(lists):
        return []
    if not (lists.offsets[1:] > lists.offsets[:-1]).all():
        raise IntegrityFailure
    valued = (lists.data[lists.offsets[:-1]] & np.uint8(_LAYOUT_MASK)) == _VALUED
    if not valued.any():
        return _explode_streams(lists, None)
    plain, rich = np.flatnonzero(~valued), np.flatnonzero(valued)
    found = []
    if len(plain):
        parts = _explode_streams(lists.take(plain), None)
        found += [(plain[index], batch) for index, batch in parts]
    parts = _explode_streams(*_split(lists.take(rich)))
    return found + [(rich[index], batch) for index, batch in parts]


def _split(lists: EncodedLists) -> tuple[EncodedLists, EncodedLists]:
    """The streams of lists with values, and the bytes of their values."""
    starts, streams = lists.offsets[:-1], _stream_sizes(lists)
    tails = np.diff(lists.offsets) - streams
    return (
        EncodedLists(lists.words, take_ranges(lists.data, starts, streams), offsets_of(streams)),
        EncodedLists(
            lists.words, take_ranges(lists.data, starts + streams, tails), offsets_of(tails)
        ),
    )


def _explode_streams(
    lists: EncodedLists, tails: EncodedLists | None
) -> list[tuple[I64, PostingBatch]]:
    """`explode_indexed` of lists that all have values, in `tails`, or that all have none."""
    values, ends = varint.decode(lists.data)
    # A list must start and end where a value does: exactly one value ends at each boundary.
    stops = np.searchsorted(ends, lists.offsets[1:]) + 1
    if stops[-1] != len(values) or (ends[stops - 1] != lists.offsets[1:]).any():
        raise IntegrityFailure
    starts = np.concatenate(([0], stops[:-1]))
    kinds = values[starts]
    result = []
    for kind in np.unique(kinds & np.uint64(~_SINGLE & 0xFFFF_FFFF_FFFF_FFFF)).tolist():
        if kind > 0x7F or kind & _LAYOUT_MASK not in _LAYOUTS:
            raise IntegrityFailure
        chosen = np.flatnonzero((kinds == kind) | (kinds == kind | _SINGLE))
        tail = None if tails is None else tails.take(chosen)
        result.append(_explode_shape(lists.words, values, starts, stops, chosen, kind, tail))
    return result


def counts(lists: EncodedLists) -> I64:
    """Document frequencies, read from the headers alone: int64[m]."""
    if not len(lists):
        return np.zeros(0, dtype=np.int64)
    starts = lists.offsets[:-1]
    single = (lists.data[starts] & np.uint8(_SINGLE)) != 0
    result = np.ones(len(lists), dtype=np.int64)
    many = np.flatnonzero(~single)
    if len(many):
        room = np.minimum(lists.offsets[1:][many] - starts[many] - 1, varint.MAX_BYTES)
        values, ends = varint.decode(_with_stop(lists.data, starts[many] + 1, room))
        # The window of each list begins right after the previous one's terminator.
        begins = offsets_of(room + 1)[:-1]
        result[many] = values[np.searchsorted(ends, begins, side="right")].view(np.int64)
    return result


def position_gaps(positions: Positions) -> U64:
    """The first position of each posting, then differences: uint64[total].

    Raises:
        ValueError: positions that do not ascend within a posting.
    """
    flat = positions.flat.astype(np.int64)
    gaps = flat.copy()
    gaps[1:] -= flat[:-1]
    firsts = positions.offsets[:-1][np.diff(positions.offsets) > 0]
    gaps[firsts] = flat[firsts]
    if len(gaps) and int(gaps.min()) < 0:
        raise ValueError("positions do not ascend")
    return gaps.view(np.uint64)


def positions_from(sizes: U64, gaps: U64) -> Positions:
    """Positions of postings from their counts and the flat gaps of all of them."""
    if len(sizes) and int(sizes.max()) > len(gaps):
        raise IntegrityFailure
    offsets = offsets_of(sizes.view(np.int64))
    if int(offsets[-1]) != len(gaps):
        raise IntegrityFailure
    total = np.cumsum(gaps)
    before = np.concatenate((np.zeros(1, dtype=np.uint64), total))[offsets[:-1]]
    flat = total - np.repeat(before, sizes.view(np.int64))
    return Positions(narrow(flat), offsets)


def narrow(values: U64) -> U32:
    """The same numbers as uint32; IntegrityFailure when one is too large."""
    if values.size and int(values.max()) >> 32:
        raise IntegrityFailure
    return values.astype(np.uint32)


def _explode_few(lists: EncodedLists) -> list[PostingBatch]:
    shapes: dict[Shape, list[PostingBatch]] = {}
    for at, word in enumerate(lists.words):
        one = decode(lists.get(at))
        words = np.full(len(one.ordinals), word, dtype=np.uint64)
        batch = PostingBatch(words, one.ordinals, one.payload, one.positions, one.values)
        shapes.setdefault(batch.shape, []).append(batch)
    return [PostingBatch.join(group) for _, group in sorted(shapes.items())]


def _explode_shape(
    words: U64,
    values: U64,
    starts: I64,
    stops: I64,
    chosen: I64,
    kind: int,
    tail: EncodedLists | None,
) -> tuple[I64, PostingBatch]:
    columns, has_positions = kind & _COLUMNS, bool(kind & _POSITIONS)
    begin, stop = starts[chosen], stops[chosen]
    many = (values[begin] & np.uint64(_SINGLE)) == 0
    if (stop - begin < 2).any():
        raise IntegrityFailure
    count = np.where(many, values[begin + 1].view(np.int64), 1)
    begin = begin + 1 + many
    width = _width_of(kind)
    if (count < 1).any() or (count > stop - begin).any():
        raise IntegrityFailure
    rest = stop - begin - count * width
    if (rest < 0).any() or (not has_positions and rest.any()):
        raise IntegrityFailure
    place = range_index(begin, count)
    step = np.repeat(count, count)
    gaps = values[place]
    if int(gaps.max()) >> 63:
        raise IntegrityFailure
    # Sums run over all lists, so what stood before each list is taken off again.
    firsts = offsets_of(count)[:-1]
    total = np.cumsum(gaps)
    ordinals = (total - np.repeat(total[firsts] - gaps[firsts], count)).view(np.int64)
    if int(ordinals.min()) < 0:
        raise IntegrityFailure
    payload = np.empty((len(place), columns), dtype=np.uint32)
    for column in range(columns):
        place = place + step
        payload[:, column] = narrow(values[place])
    positions = kept = None
    if has_positions:
        place = place + step
        sizes = values[place]
        if (offsets_of(sizes.view(np.int64))[offsets_of(count)] != offsets_of(rest)).any():
            raise IntegrityFailure
        positions = positions_from(sizes, values[range_index(stop - rest, rest)])
    if tail is not None:
        kept = values_from(values[place + step], tail.data)
        if (kept.offsets[offsets_of(count)] != tail.offsets).any():
            raise IntegrityFailure
    index = np.repeat(chosen, count)
    return index, PostingBatch(words[index], ordinals, payload, positions, kept)


def _with_stop(data: U8, starts: I64, sizes: I64) -> U8:
    """The ranges of `data`, each followed by a zero byte that ends a value cut off by the range."""
    begins = offsets_of(sizes + 1)
    window = np.zeros(int(begins[-1]), dtype=np.uint8)
    window[range_index(begins[:-1], sizes)] = take_ranges(data, starts, sizes)
    return window
