"""The textbook encrypted index that encdb's is measured against: one label per posting.

This is Pi-bas of Cash et al., "Dynamic Searchable Encryption in Very-Large Databases" (NDSS 2014), as a
tutorial would write it: for each term w two keys are derived, and posting c of w is stored in an SQLite
table as (F(K1, c), id xor F(K2, c)), with HMAC-SHA256 as F. A search recomputes labels until one is
missing. It is a fair peer in that it hides as much at rest and runs on the same Python and SQLite.
"""

from __future__ import annotations

import hmac
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path


class TextbookIndex:
    """An encrypted multimap from terms to 64-bit ids in one SQLite file."""

    def __init__(self, path: Path, key: bytes) -> None:
        self._key = key
        self._counts: dict[bytes, int] = defaultdict(int)
        self._connection = sqlite3.connect(path)
        self._connection.executescript(
            """
            PRAGMA page_size = 4096;
            PRAGMA journal_mode = WAL;
            PRAGMA synchronous = FULL;
            PRAGMA cache_size = -65536;
            CREATE TABLE labels (label BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
            """
        )

    def add(self, postings: Iterable[tuple[bytes, int]]) -> None:
        """Store (term, id) pairs in one transaction."""
        with self._connection:
            self._connection.executemany(
                "INSERT INTO labels VALUES (?, ?)", self._encrypted(postings)
            )

    def _encrypted(self, postings: Iterable[tuple[bytes, int]]) -> Iterator[tuple[bytes, bytes]]:
        keys: dict[bytes, tuple[bytes, bytes]] = {}
        for term, number in postings:
            if term not in keys:
                keys[term] = self._term_keys(term)
            label_key, value_key = keys[term]
            counter = self._counts[term].to_bytes(8, "big")
            self._counts[term] += 1
            pad = int.from_bytes(hmac.digest(value_key, counter, "sha256")[:8], "big")
            label = hmac.digest(label_key, counter, "sha256")[:16]
            yield label, (number ^ pad).to_bytes(8, "big")

    def search(self, term: bytes) -> list[int]:
        """The ids of a term, in the order they were added."""
        label_key, value_key = self._term_keys(term)
        found: list[int] = []
        while True:
            counter = len(found).to_bytes(8, "big")
            label = hmac.digest(label_key, counter, "sha256")[:16]
            row = self._connection.execute(
                "SELECT value FROM labels WHERE label = ?", (label,)
            ).fetchone()
            if row is None:
                return found
            pad = int.from_bytes(hmac.digest(value_key, counter, "sha256")[:8], "big")
            found.append(int.from_bytes(row[0], "big") ^ pad)

    def _term_keys(self, term: bytes) -> tuple[bytes, bytes]:
        return (
            hmac.digest(self._key, b"\x01" + term, "sha256"),
            hmac.digest(self._key, b"\x02" + term, "sha256"),
        )

    def bytes(self) -> int:
        """Size of the database."""
        (pages,) = self._connection.execute("PRAGMA page_count").fetchone()
        (size,) = self._connection.execute("PRAGMA page_size").fetchone()
        return int(pages) * int(size)

    def close(self) -> None:
        """Release the file."""
        self._connection.close()
