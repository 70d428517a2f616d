"""The plaintext peers: SQLite with ordinary indexes and FTS5, and Whoosh.

SQLite gets the settings that encdb's store uses (WAL, synchronous=FULL, 64 MiB of cache), so that the
difference is what encdb does and not how often the disk is flushed.
"""

from __future__ import annotations

import importlib
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from . import data

INSERT = "INSERT INTO people VALUES (?, ?, ?, ?, ?, ?, ?, ?)"


class PlainSqlite:
    """The made table in an SQLite file, in clear."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.connection = sqlite3.connect(path)
        self.connection.executescript(
            """
            PRAGMA page_size = 4096;
            PRAGMA journal_mode = WAL;
            PRAGMA synchronous = FULL;
            PRAGMA cache_size = -65536;
            """
        )

    def load(self, register: data.Register) -> None:
        """Import the CSV file in one transaction, with the indexes that encdb also has."""
        types = {"BIGINT": "INTEGER", "INTEGER": "INTEGER", "DECIMAL(12,2)": "NUMERIC"}
        columns = ", ".join(
            f"{name} {types.get(kind, 'TEXT')}{' PRIMARY KEY' if name == 'id' else ''}"
            for name, kind in data.COLUMNS
        )
        with self.connection:
            self.connection.execute(f"CREATE TABLE people ({columns})")
            self.connection.executemany(INSERT, register.rows())
            self.connection.execute("CREATE INDEX people_zip ON people (zip)")
            self.connection.execute("CREATE INDEX people_score ON people (score)")
        self.connection.execute("ANALYZE")

    def index_notes(self) -> None:
        """Build an FTS5 index over the notes, stemmed as encdb's is."""
        with self.connection:
            self.connection.execute(
                "CREATE VIRTUAL TABLE people_notes USING fts5("
                "notes, content='people', content_rowid='id', tokenize='porter unicode61')"
            )
            self.connection.execute("INSERT INTO people_notes(people_notes) VALUES ('rebuild')")

    def query(self, sql: str, parameters: Sequence[object] = ()) -> list[Any]:
        """All rows of a query."""
        return self.connection.execute(sql, parameters).fetchall()

    def bytes_on_disk(self) -> int:
        """Size of the file and its write-ahead log, after a checkpoint."""
        self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return sum(path.stat().st_size for path in self.path.parent.glob(self.path.name + "*"))

    def close(self) -> None:
        """Release the file."""
        self.connection.close()


class Whoosh:
    """A Whoosh index over the notes, in clear."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        fields = _whoosh("fields")
        stemmed = fields.TEXT(analyzer=_whoosh("analysis").StemmingAnalyzer(), phrase=False)
        schema = fields.Schema(id=fields.ID(stored=True), notes=stemmed)
        self._index = _whoosh("index").create_in(str(folder), schema)

    def load(self, notes: Iterable[tuple[int, str]]) -> None:
        """Index (id, note) pairs in one commit."""
        writer = self._index.writer(limitmb=256)
        for number, note in notes:
            writer.add_document(id=str(number), notes=note)
        writer.commit()

    def search(self, query: str, limit: int = 10) -> list[int]:
        """Ids of the best documents."""
        with self._index.searcher() as searcher:
            parsed = _whoosh("qparser").QueryParser("notes", self._index.schema).parse(query)
            return [int(hit["id"]) for hit in searcher.search(parsed, limit=limit)]

    def close(self) -> None:
        """Release the files."""
        self._index.close()


def _whoosh(module: str) -> Any:
    """A module of Whoosh, which has no types."""
    return importlib.import_module(f"whoosh.{module}")
