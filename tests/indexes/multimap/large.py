"""Large merges in a process of their own, so that its peak of memory can be told.

``python -m tests.indexes.multimap.large make KIND COUNT FOLDER`` writes the sealed pages of five segments,
``… merge KIND COUNT FOLDER`` joins them into one and prints seconds, the peak in KiB, and what it found.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from indexes.keys import Key
from indexes.multimap import hashed, postings
from indexes.multimap import sorted as sorted_segments
from indexes.multimap.batches import PostingBatch, Ragged, SortedEntries
from indexes.multimap.hashed import HashedReader
from indexes.multimap.joining import HeldLists, joined, part_bits
from indexes.multimap.segment import BuiltSegment, SegmentInfo
from indexes.multimap.sorted import SortedReader
from indexes.multimap.sorted_merge import merge_runs
from indexes.multimap.sorted_pages import pack
from indexes.seal import PAGE_SEALED, PAGE_USABLE

KEY = Key(bytes(range(32)))
SEGMENTS = 5
PIECE = 250_000
VOCABULARY = 200_000


def word_of(numbers: np.ndarray) -> np.ndarray:
    """Words that are spread as those of a pseudorandom function are."""
    return numbers.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(77)


def batches(kind: str, segment: int, count: int) -> Iterator[PostingBatch]:
    """The postings of one segment."""
    rng = np.random.default_rng([segment, count])
    for first in range(segment * count, (segment + 1) * count, PIECE):
        size = min(PIECE, (segment + 1) * count - first)
        if kind == "unique":
            ordinals = np.arange(first, first + size, dtype=np.int64)
            yield PostingBatch.of(word_of(ordinals), ordinals)
            continue
        # The most frequent word is in every fifth posting, as if in every document.
        rank = np.minimum(
            np.exp(rng.random(size) * np.log(VOCABULARY)).astype(np.int64), VOCABULARY
        )
        rank[::5] = 0
        ordinals = np.sort(rng.integers(first // 5, (first + size) // 5 + 1, size))
        payload = rng.integers(0, 200, (size, 3)).astype(np.uint32)
        yield PostingBatch(word_of(rank), ordinals, payload)


def entries(segment: int, count: int, *, valued: bool) -> SortedEntries:
    """The sorted entries of one segment."""
    rng = np.random.default_rng([segment, count])
    keys = np.zeros((count, 2), dtype=np.uint64)
    keys[:, 0] = rng.integers(0, 2**63, count)
    ordinals = np.arange(segment * count, (segment + 1) * count, dtype=np.int64)
    values = None
    if valued:
        values = Ragged(np.zeros(count * 20, np.uint8), np.arange(count + 1, dtype=np.int64) * 20)
    return SortedEntries(keys, ordinals, values)


def write(built: BuiltSegment, path: Path) -> None:
    """Sealed pages one after another."""
    with path.open("wb") as file:
        for _, page in built.pages:
            file.write(page)


def make(kind: str, count: int, folder: Path) -> None:
    """Write the segments."""
    infos = []
    for segment in range(SEGMENTS):
        if kind in ("unique", "zipf"):
            runs = [postings.encode(batch) for batch in batches(kind, segment, count // SEGMENTS)]
            size = sum(len(run.data) for run in runs)
            bits = part_bits(size)
            lists = joined([HeldLists(run) for run in runs], bits)
            built = hashed.build(lists, KEY, 1, segment)
        else:
            found = entries(segment, count // SEGMENTS, valued=kind == "valued")
            built = sorted_segments.build(found, KEY, 1, segment, 3, 8)
        write(built, folder / f"{kind}-{segment}")
        infos.append(
            [one.hex() if isinstance(one, bytes) else one for one in built.info.to_tuple()]
        )
    (folder / f"{kind}.json").write_text(json.dumps(infos))


def reader_of(path: Path):
    """Reads sealed pages of a file."""

    def read(numbers: list[int]) -> list[bytes]:
        with path.open("rb") as file:
            found = []
            for number in numbers:
                file.seek(number * PAGE_SEALED)
                found.append(file.read(PAGE_SEALED))
            return found

    return read


def merge(kind: str, folder: Path) -> dict[str, object]:
    """Join the segments; a tenth of the rows are dead."""
    listed = json.loads((folder / f"{kind}.json").read_text())
    infos = [SegmentInfo.from_tuple([*one[:3], bytes.fromhex(one[3]), *one[4:]]) for one in listed]

    def live(ordinals: np.ndarray) -> np.ndarray:
        return ordinals % 10 != 3

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    reads = [reader_of(folder / f"{kind}-{info.segment}") for info in infos]
    if kind in ("unique", "zipf"):
        bits = part_bits(sum(info.pages for info in infos) * PAGE_USABLE)
        scanned = [
            HashedReader(info, KEY, 1, read).scan(bits)
            for info, read in zip(infos, reads, strict=True)
        ]
        lists = joined(scanned, bits, live)
        del scanned
        built = hashed.build(lists, KEY, 1, 99)
    else:
        runs = [
            SortedReader(info, KEY, 1, read).scan() for info, read in zip(infos, reads, strict=True)
        ]
        packed = pack(merge_runs(runs, live), 8, valued=kind == "valued")
        built = sorted_segments.seal(packed, KEY, 1, 99, 3)
    write(built, folder / f"{kind}-99")
    return {
        "postings": built.info.postings,
        "pages": [sum(info.pages for info in infos), built.info.pages],
        "seconds": time.perf_counter() - start,
        "before": before,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
    }


if __name__ == "__main__":
    what, kind, count, folder = sys.argv[1:]
    if what == "make":
        make(kind, int(count), Path(folder))
    else:
        print(json.dumps(merge(kind, Path(folder))))
