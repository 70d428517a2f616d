"""Building and searching hashed and sorted segments, beside the textbook's one label per posting.

Terms follow Zipf's law. A rare term has one posting to about ten, a medium one a few hundred, a heavy one a
hundredth of all postings or more. Both sides lie in SQLite files with the same settings.
"""

from __future__ import annotations

import gc
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from indexes.keys import Key
from indexes.multimap import hashed, postings
from indexes.multimap import sorted as sorted_segments
from indexes.multimap.batches import SortedEntries
from indexes.multimap.postings import PostingBatch
from indexes.multimap.segment import BuiltSegment
from indexes.prf import TermPrf
from indexes.seal import PAGE_SEALED
from tests.benchmarks import data
from tests.benchmarks.measure import Figure, Report, median_seconds, stopwatch
from tests.benchmarks.textbook import TextbookIndex

SECTION = "Segments, beside one label per posting"
PEER = "textbook"
TEXTBOOK_LIMIT = 200_000
"""Postings given to the textbook index, whose speed does not depend on their number much."""
BUILD_BAR = 1e6
HEAVY_BAR = 0.5
RARE, MEDIUM = (1, 10), (100, 1_000)
SETTINGS = """
    PRAGMA page_size = 4096;
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    CREATE TABLE pages (id INTEGER PRIMARY KEY, blob BLOB NOT NULL);
"""


class PageFile:
    """Sealed pages in an SQLite file, read as a store reads them."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path)
        self._connection.executescript(SETTINGS)

    def write(self, built: BuiltSegment) -> None:
        """Store all pages in one durable transaction."""
        with self._connection:
            self._connection.executemany("INSERT INTO pages VALUES (?, ?)", built.pages)

    def read(self, numbers: Sequence[int]) -> list[bytes]:
        """Pages, in the order asked for."""
        found: dict[int, bytes] = {}
        for start in range(0, len(numbers), 1_000):
            part = list(numbers[start : start + 1_000])
            marks = ", ".join("?" for _ in part)
            found.update(
                self._connection.execute(f"SELECT * FROM pages WHERE id IN ({marks})", part)
            )
        return [found[number] for number in numbers]

    def close(self) -> None:
        """Release the file."""
        self._connection.close()


@dataclass(frozen=True, slots=True)
class Drawn:
    """Postings: ``chosen[i]`` numbers the term of posting i, whose row is ``ordinals[i]``."""

    terms: list[bytes]
    chosen: np.ndarray[Any, Any]
    ordinals: np.ndarray[Any, Any]

    def __len__(self) -> int:
        return len(self.chosen)

    def some(self, least: int, most: int, count: int) -> list[int]:
        """Numbers of terms with between ``least`` and ``most`` postings, spread over all of them."""
        sizes = np.bincount(self.chosen, minlength=len(self.terms))
        fitting = np.flatnonzero((sizes >= least) & (sizes <= most))
        return fitting[:: max(len(fitting) // count, 1)][:count].tolist()


def draw(size: int) -> Drawn:
    """``size`` postings or a few less, over a tenth as many terms but at least a thousand."""
    random = np.random.default_rng(data.SEED)
    count = max(size // 10, 1_000)
    weights = 1 / np.arange(1, count + 1)
    chosen = random.choice(count, size, p=weights / weights.sum())
    ordinals = random.integers(0, size // 4, size)
    pairs = np.unique(chosen.astype(np.int64) << 32 | ordinals)
    random.shuffle(pairs)
    terms = [f"term {number}".encode() for number in range(count)]
    return Drawn(terms, pairs >> 32, np.ascontiguousarray(pairs & 0xFFFF_FFFF))


def run(report: Report, folder: Path, size: int) -> None:
    """Measure one size."""
    drawn = draw(size)
    _hashed(report, folder, drawn, size)
    gc.collect()
    _sorted(report, folder, size)


def _hashed(report: Report, folder: Path, drawn: Drawn, size: int) -> None:
    key = Key.random()
    prf = TermPrf(key.derive("terms"))
    pages = PageFile(folder / f"hashed-{size}.db")
    with stopwatch() as watch:
        words = prf.items(drawn.terms)[drawn.chosen]
        lists = postings.encode(PostingBatch.of(words, drawn.ordinals))
        built = hashed.build(lists, key.derive("hashed"), 1, 1)
        pages.write(built)
    few = min(len(drawn), TEXTBOOK_LIMIT)
    peer = TextbookIndex(folder / f"textbook-{size}.db", Key.random().expose())
    with stopwatch() as labelled:
        peer.add(
            (drawn.terms[term], row)
            for term, row in zip(
                drawn.chosen[:few].tolist(), drawn.ordinals[:few].tolist(), strict=True
            )
        )
    _build_figures(report, "hashed", size, len(drawn) / watch.seconds, few / labelled.seconds)
    _size_figure(report, "hashed", size, built.info.pages * PAGE_SEALED / len(drawn), peer, few)

    reader = hashed.HashedReader(built.info, key.derive("hashed"), 1, pages.read)

    def search(number: int) -> int:
        (found,) = reader.lookup(prf.items([drawn.terms[number]]))
        return 0 if found is None else len(postings.decode(found).ordinals)

    counts = np.bincount(drawn.chosen, minlength=len(drawn.terms))
    heavy = np.argsort(counts)[::-1][:5].tolist()
    groups = (
        ("rare", drawn.some(*RARE, 60)),
        ("medium", drawn.some(*MEDIUM, 60)),
        ("heavy", heavy),
    )
    small = np.bincount(drawn.chosen[:few], minlength=len(drawn.terms))
    for name, chosen in groups:
        known = [number for number in chosen if small[number]]
        if not chosen or not known:
            continue
        for number in chosen[:3]:
            assert search(number) == counts[number]
        ours = median_seconds(search, chosen) / float(np.median(counts[chosen]))
        theirs = median_seconds(lambda one: peer.search(drawn.terms[one]), known) / float(
            np.median(small[known])
        )
        bar = f"at most {HEAVY_BAR} us" if name == "heavy" else ""
        report.add(
            Figure(
                SECTION,
                f"search of a {name} term, per result",
                size,
                "us",
                ours * 1e6,
                PEER,
                theirs * 1e6,
                bar=bar,
                met=ours * 1e6 <= HEAVY_BAR if bar else None,
            )
        )
    pages.close()
    peer.close()


def _sorted(report: Report, folder: Path, size: int) -> None:
    random = np.random.default_rng(data.SEED)
    keys = np.zeros((size, 2), dtype=np.uint64)
    keys[:, 0] = random.integers(0, 1 << 40, size, dtype=np.uint64)
    ordinals = random.permutation(size).astype(np.int64)
    key = Key.random()
    pages = PageFile(folder / f"sorted-{size}.db")
    with stopwatch() as watch:
        entries = SortedEntries(keys, ordinals)
        built = sorted_segments.build(entries, key, 1, 2, 1, 8)
        pages.write(built)
    _build_figures(report, "sorted", size, size / watch.seconds, None)
    report.add(_bytes("sorted", size, built.info.pages * PAGE_SEALED / size, None))
    reader = sorted_segments.SortedReader(built.info, key, 1, pages.read)
    inorder = np.sort(keys[:, 0])
    for name, share in (("10 rows", 10), ("1,000 rows", 1_000), ("a tenth", size // 10)):
        starts = random.integers(0, size - share, 40).tolist()

        def search(start: int, share: int = share) -> None:
            low, high = int(inorder[start]), int(inorder[start + share - 1])
            reader.range((low, 0), (high, 0))

        seconds = median_seconds(search, starts)
        report.add(
            Figure(SECTION, f"range of {name}, per result", size, "us", seconds / share * 1e6)
        )
    pages.close()


def _build_figures(report: Report, form: str, size: int, rate: float, theirs: float | None) -> None:
    report.add(
        Figure(
            SECTION,
            f"{form}: build and store",
            size,
            "postings/s",
            rate,
            PEER if theirs else "",
            theirs,
            more_is_better=True,
            bar="at least 1 million/s",
            met=rate >= BUILD_BAR,
        )
    )


def _size_figure(
    report: Report, form: str, size: int, ours: float, peer: TextbookIndex, postings_there: int
) -> None:
    report.add(_bytes(form, size, ours, peer.bytes() / postings_there))


def _bytes(form: str, size: int, ours: float, theirs: float | None) -> Figure:
    return Figure(
        SECTION, f"{form}: size", size, "bytes a posting", ours, PEER if theirs else "", theirs
    )
