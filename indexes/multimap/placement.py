"""Where the entries and lists of a hashed segment go.

A word's bucket is pseudorandom under a key of the segment. Buckets are filled to a load at which they
rarely overflow; what does overflow goes to a stash of fixed size, and a salt whose stash would fill is
replaced by another. Longer lists get slots in shared pages or page chains of padded length.

What it leaks: nothing by itself. `hashed` states what the pages read show.
"""

from __future__ import annotations

import os
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from indexes.keys import Key
from indexes.multimap.arrays import I64, U32, U64, offsets_of
from indexes.multimap.paging import chain_class, octave
from indexes.prf import BlockCipher
from indexes.seal import PAGE_USABLE

HEADER_BYTES = 32
"""Bytes of a segment's header before the stash block."""

BUCKET_BASE = 8
"""Bytes of a bucket page before its block."""

Costs: TypeAlias = NDArray[np.integer[Any]]
"""Bytes of entries."""

_STASH_SHARE = 512

# Loads tried from the highest: the fuller the buckets, the smaller the entries must be.
_LOADS = (0.875, 0.8125, 0.75, 0.6875, 0.65)
_SLACK = 2.3
_SALTS_PER_LOAD = 4

_SLOT_BYTES = np.array([PAGE_USABLE // k for k in (15, 12, 10, 8, 6, 5, 4, 3, 2, 1)])


_CHUNK = 1 << 20
"""Entries that are looked at together."""


class Placement:
    """Where entries go.

    Attributes:
        salt: of the segment.
        buckets: number of bucket pages.
        header_pages: pages that hold the stash.
        counts: int64[buckets], entries that each bucket keeps.
        kept: uint32, those entries, one bucket after another and ascending within each.
        stash: int64, the entries that did not fit, ascending.
    """

    __slots__ = ("buckets", "counts", "header_pages", "kept", "salt", "stash")

    def __init__(
        self, salt: bytes, buckets: int, header_pages: int, counts: I64, kept: U32, stash: I64
    ) -> None:
        self.salt = salt
        self.buckets = buckets
        self.header_pages = header_pages
        self.counts = counts
        self.kept = kept
        self.stash = stash


def place_entries(cost: Costs, words: U64, key: Key) -> Placement:
    """Assigns entries to buckets under fresh salts until the stash holds what overflows.

    Args:
        cost: bytes of each entry, of any integer type.
        words: uint64[n], ascending.
        key: the table's index key.

    Raises:
        ValueError: no salt spreads them well enough, or there are 2³² of them.
    """
    if len(words) >> 32:
        raise ValueError("a segment has fewer than 2³² lists")
    histogram = np.bincount(cost).astype(np.int64)
    total = octave(int((histogram * np.arange(len(histogram))).sum()))
    header_pages = max(1, -(-total // (_STASH_SHARE * PAGE_USABLE)))
    room = header_pages * PAGE_USABLE - HEADER_BYTES
    for load in _loads(histogram):
        buckets = max(1, int(np.ceil(total / (load * PAGE_USABLE))))
        for _ in range(_SALTS_PER_LOAD):
            salt = os.urandom(32)
            cipher = BlockCipher(place_key(key, salt))
            counts, kept, stash = _spread(cost, words, cipher, buckets)
            if int(cost[stash].sum()) <= room:
                return Placement(salt, buckets, header_pages, counts, kept, np.sort(stash))
    raise ValueError("the lists of this segment do not spread over its buckets")


def _spread(cost: Costs, words: U64, cipher: BlockCipher, buckets: int) -> tuple[I64, U32, I64]:
    """Fills the buckets in the order of the words: entries kept of each, those entries, the others."""
    numbers = np.empty(len(words), dtype=np.uint32)
    for first in range(0, len(words), _CHUNK):
        numbers[first : first + _CHUNK] = bucket_numbers(
            cipher, words[first : first + _CHUNK], buckets
        )
    counts = np.bincount(numbers, minlength=buckets).astype(np.int64)
    kept, stash = np.empty(len(words), dtype=np.uint32), [np.zeros(0, dtype=np.int64)]
    edges, at, filled = offsets_of(counts), 0, 0
    while at < buckets:
        # Whole buckets, of about as many entries as are looked at together, so that no order of all
        # entries is needed: for as many as a segment may have it would take more than they do.
        stop = int(np.searchsorted(edges, edges[at] + _CHUNK, side="right")) - 1
        stop = min(max(stop, at + 1), buckets)
        here = np.flatnonzero((numbers >= at) & (numbers < stop))
        here = here[np.argsort(numbers[here], kind="stable")]
        used = np.cumsum(cost[here], dtype=np.int64)
        before = np.concatenate(([0], used))[edges[at:stop] - edges[at]]
        fits = used - np.repeat(before, counts[at:stop]) <= PAGE_USABLE - BUCKET_BASE
        stash.append(here[~fits])
        bucket = np.repeat(np.arange(stop - at), counts[at:stop])
        counts[at:stop] = np.bincount(bucket[fits], minlength=stop - at)
        remaining = here[fits]
        kept[filled : filled + len(remaining)] = remaining
        filled, at = filled + len(remaining), stop
    return counts, kept[:filled], np.concatenate(stash)


def _loads(histogram: I64) -> list[float]:
    """Loads worth trying, by how many entries have each cost.

    Bucket bytes have variance load · 4016 · (mean square / mean) of a cost. A load is taken when a
    bucket overflows at 2.3 standard deviations or more, which keeps the expected overflow below a
    fifth of a percent. The lowest load suits entries of the largest size.
    """
    costs = np.arange(len(histogram), dtype=np.float64)
    total = float((histogram * costs).sum())
    if not total:
        return [_LOADS[-1]]
    effective = float((histogram * costs**2).sum()) / total
    fitting = [
        load
        for load in _LOADS[:-1]
        if (1 - load) * PAGE_USABLE >= _SLACK * np.sqrt(load * PAGE_USABLE * effective)
    ]
    return [*fitting, _LOADS[-1], 0.5, 0.35]


def place_long(sizes: I64, first: int) -> tuple[I64, I64, int]:
    """Places lists longer than 128 bytes behind the buckets.

    Returns:
        first logical page int64[h], offset on it int64[h], and the number of pages used.
    """
    pages, offsets = np.zeros(len(sizes), dtype=np.int64), np.zeros(len(sizes), dtype=np.int64)
    page = first
    classes = np.searchsorted(_SLOT_BYTES, sizes)
    for number, slot in enumerate(_SLOT_BYTES.tolist()):
        members = np.flatnonzero(classes == number)
        each = PAGE_USABLE // slot
        rank = np.arange(len(members))
        pages[members] = page + rank // each
        offsets[members] = rank % each * slot
        page += -(-len(members) // each)
    chains = np.flatnonzero(classes == len(_SLOT_BYTES))
    spans = offsets_of(chain_spans(sizes[chains]))
    pages[chains] = page + spans[:-1]
    return pages, offsets, page + int(spans[-1]) - first


def chain_spans(sizes: I64) -> I64:
    """Pages a list of each size occupies on its own: int64[n]."""
    return np.array([chain_class(-(-size // PAGE_USABLE)) for size in sizes.tolist()], np.int64)


def bucket_numbers(cipher: BlockCipher, words: U64, buckets: int) -> I64:
    """(u · buckets) >> 64 with u the first eight bytes of E(word ‖ 0⁸), in 32-bit halves."""
    blocks = np.zeros((len(words), 2), dtype="<u8")
    blocks[:, 0] = words
    u = cipher.encrypt(blocks.view(np.uint8).reshape(-1, 16)).view("<u8")[:, 0]
    low = ((u & np.uint64(0xFFFF_FFFF)) * np.uint64(buckets)) >> np.uint64(32)
    return (((u >> np.uint64(32)) * np.uint64(buckets) + low) >> np.uint64(32)).astype(np.int64)


def place_key(key: Key, salt: bytes) -> Key:
    """The key that assigns words to buckets under one salt."""
    return key.derive("hashed", "place", salt)


def bucket_number(cipher: BlockCipher, word: int, buckets: int) -> int:
    """`bucket_numbers` of one word."""
    block = cipher.encrypt_bytes(word.to_bytes(16, "little"))
    return int.from_bytes(block[:8], "little") * buckets >> 64
