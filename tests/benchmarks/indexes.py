"""The hidden index itself, beside the textbook's one label per posting, both on SQLite.

Both sides get (term, row) pairs with Zipf-distributed terms, encrypt them, and write them to an SQLite
file in one durable transaction; then both search the same terms. encdb's side is one hashed segment.
"""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path

import numpy as np

from indexes.keys import Key
from indexes.multimap import hashed, postings
from indexes.multimap.postings import PostingBatch
from indexes.prf import TermPrf
from tests.benchmarks import data
from tests.benchmarks.measure import Figure, Report, median_seconds, stopwatch
from tests.benchmarks.textbook import TextbookIndex

SECTION = "The index alone, beside one label per posting"
PEER = "textbook"
TERMS_PER_ROW = 4
TEXTBOOK_LIMIT = 200_000
"""Postings given to the textbook index, whose speed does not depend on their number much."""
BUILD_BAR = 1e6
SEARCH_BAR = 0.5


class SegmentFile:
    """One hashed segment in an SQLite file, read as a store would."""

    def __init__(self, path: Path, key: Key) -> None:
        self.path = path
        self._key = key
        self._prf = TermPrf(key.derive("terms"))
        self._connection = sqlite3.connect(path)
        self._connection.executescript(
            """
            PRAGMA page_size = 4096;
            PRAGMA journal_mode = WAL;
            PRAGMA synchronous = FULL;
            CREATE TABLE pages (id INTEGER PRIMARY KEY, blob BLOB NOT NULL);
            """
        )

    def build(self, terms: list[bytes], chosen: np.ndarray, ordinals: np.ndarray) -> None:
        """Encrypt and store: ``chosen[i]`` is the position in ``terms`` of posting i's term."""
        words = self._prf.items(terms)[chosen]
        lists = postings.encode(PostingBatch.of(words, ordinals))
        built = hashed.build(lists, self._key.derive("hashed"), 1, 1)
        with self._connection:
            self._connection.executemany("INSERT INTO pages VALUES (?, ?)", built.pages)
        self._reader = hashed.HashedReader(built.info, self._key.derive("hashed"), 1, self._read)

    def _read(self, numbers: list[int]) -> list[bytes]:
        marks = ", ".join("?" for _ in numbers)
        found = dict(
            self._connection.execute(f"SELECT * FROM pages WHERE id IN ({marks})", list(numbers))
        )
        return [found[number] for number in numbers]

    def search(self, term: bytes) -> np.ndarray:
        """Ordinals of a term's rows."""
        (encoded,) = self._reader.lookup(self._prf.items([term]))
        if encoded is None:
            return np.empty(0, np.int64)
        return postings.decode(encoded).ordinals

    def close(self) -> None:
        """Release the file."""
        self._connection.close()


def run(report: Report, folder: Path, size: int) -> None:
    """Build both, compare what they find, and time both."""
    draw = np.random.default_rng(data.SEED)
    weights = 1 / np.arange(1, data.WORDS + 1)
    chosen = draw.choice(data.WORDS, size * TERMS_PER_ROW, p=weights / weights.sum())
    ordinals = np.repeat(np.arange(size, dtype=np.int64), TERMS_PER_ROW)
    pairs = np.unique(np.stack([chosen, ordinals], axis=1), axis=0)
    draw.shuffle(pairs)
    chosen, ordinals = pairs[:, 0], np.ascontiguousarray(pairs[:, 1])
    terms = [data.word(rank).encode() for rank in range(data.WORDS)]
    count = len(pairs)

    ours = SegmentFile(folder / f"segment-{size}.db", Key.random())
    with stopwatch() as built:
        ours.build(terms, chosen, ordinals)
    some = min(count, TEXTBOOK_LIMIT)
    theirs = TextbookIndex(folder / f"textbook-{size}.db", Key.random().expose())
    few = list(zip(chosen[:some].tolist(), ordinals[:some].tolist(), strict=True))
    with stopwatch() as labelled:
        theirs.add((terms[place], row) for place, row in few)
    rate = count / built.seconds
    report.add(
        Figure(
            SECTION,
            "build and store",
            size,
            "postings/s",
            rate,
            PEER,
            some / labelled.seconds,
            more_is_better=True,
            bar="at least 1 million/s",
            met=rate >= BUILD_BAR,
        )
    )
    heavy = [terms[rank] for rank in (0, 1, 2, 3, 4)]
    rare = random.Random(3).sample(terms[5000:], 40)
    for term in heavy[:2]:
        wanted = sorted(row for place, row in few if terms[place] == term)
        assert sorted(theirs.search(term)) == wanted
        everything = sorted(row for place, row in pairs.tolist() if terms[place] == term)
        assert ours.search(term).tolist() == everything
    mine = median_seconds(ours.search, heavy) / np.mean([len(ours.search(term)) for term in heavy])
    peer = median_seconds(theirs.search, heavy) / np.mean([len(theirs.search(t)) for t in heavy])
    report.add(
        Figure(
            SECTION,
            "search of a heavy term, per result",
            size,
            "us",
            float(mine) * 1e6,
            PEER,
            float(peer) * 1e6,
            bar=f"at most {SEARCH_BAR} us",
            met=bool(mine * 1e6 <= SEARCH_BAR),
        )
    )
    report.add(
        Figure(
            SECTION,
            "search of a rare term",
            size,
            "us",
            median_seconds(ours.search, rare) * 1e6,
            PEER,
            median_seconds(theirs.search, rare) * 1e6,
        )
    )
    ours.close()
    theirs.close()
