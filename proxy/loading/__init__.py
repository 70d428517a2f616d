"""Reading rows from files: CSV, TSV, JSON, NDJSON and whole SQLite databases.

Files are hostile: every limit is explicit, nothing is skipped silently, and an error names the line, or
the table, row and column, but never quotes the value. Plaintext is never written to disk.
"""

from .files import read_table
from .formats import FORMATS, detect_format
from .source import Source
from .sqlite import SqliteFile, read_sqlite
from .table import BATCH_ROWS, LoadedForeignKey, LoadedTable

__all__ = [
    "BATCH_ROWS",
    "FORMATS",
    "LoadedForeignKey",
    "LoadedTable",
    "Source",
    "SqliteFile",
    "detect_format",
    "read_sqlite",
    "read_table",
]
