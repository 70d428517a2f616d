"""The SQLite store: one file, the standard driver, WAL mode and full synchronisation.

``connection`` opens files safely and translates failures, ``schema`` lays out the relations,
``reading`` answers from a snapshot, ``writing`` applies commits, ``staging`` leases numbers and
writes unpublished pages, and ``store`` puts them behind the protocol of :mod:`encdb.stores.base`.

What the file shows to whoever steals it: the relations of ``schema`` with their row counts, opaque
ids, padded sizes and, through SQLite's own page order, roughly in which order they were written.
"""

from .store import SqliteStore

__all__ = ["SqliteStore"]
