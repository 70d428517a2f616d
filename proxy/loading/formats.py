"""Which format a file has: by its name, else by its content."""

from __future__ import annotations

from pathlib import PurePath
from typing import Final

from encdb.errors import UsageError, err

from .source import SQLITE, Source

FORMATS: Final = ("csv", "tsv", "json", "ndjson", "sqlite")

_SUFFIXES: Final = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".json": "json",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
}


def detect_format(source: Source) -> str:
    """One of :data:`FORMATS`.

    An SQLite file is known by its first bytes, whatever its name. A name without a known ending, as
    that of standard input, leaves the first character to decide: ``[`` is JSON, ``{`` one object a
    line; otherwise the first line decides between tabs and commas.

    Raises:
        UsageError: E_IMPORT_FORMAT for content that is no text.
    """
    head = source.head()
    if head.startswith(SQLITE):
        return "sqlite"
    if source.path is not None:
        name = PurePath(source.path.name.lower().removesuffix(".gz"))
        known = _SUFFIXES.get(name.suffix)
        if known is not None:
            return known
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith(b"["):
        return "json"
    if text.startswith(b"{"):
        return "ndjson"
    if b"\0" in head:
        raise err(UsageError, "E_IMPORT_FORMAT", f"the format of {source.name} is not known")
    line = text.partition(b"\n")[0]
    return "tsv" if b"\t" in line and b"," not in line else "csv"
