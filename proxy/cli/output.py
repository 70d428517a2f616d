"""Results on stdout in one of four forms, which mean the same for every command.

``json`` is one array of objects, closed even when a later statement fails; ``nl`` is one object a
line; ``csv`` has a header, NULL as an empty field and the empty text as ``""``; ``table`` is for
people. In ``json`` and ``nl`` a DECIMAL is a string, so that no digit is lost, and a BLOB is base64.
A command that gives several results writes them one after the other.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from enum import StrEnum
from types import TracebackType
from typing import IO, Protocol, Self

Row = Sequence[object]


class Format(StrEnum):
    """The forms a result can be written in."""

    JSON = "json"
    NL = "nl"
    CSV = "csv"
    TABLE = "table"


class Writer(Protocol):
    """Writes results to a stream; ``close`` ends what the form must end, such as an array."""

    def result(self, columns: Sequence[str], rows: Iterable[Row]) -> None:
        """Write one result."""

    def close(self) -> None:
        """Write what is still owed. Nothing is written afterwards."""


class Output:
    """The results of one command. A context manager, because ``json`` must close its array."""

    def __init__(self, form: Format, stream: IO[str] | None = None) -> None:
        self.form = form
        self.stream = as_utf8(stream or sys.stdout)
        self.expanded = False
        """Whether a table shows one column a line instead of one row a line."""
        self._writer = _writer(form, self.stream)
        self._gap = False

    @property
    def for_people(self) -> bool:
        """Whether sentences, row counts and rulers are welcome."""
        return self.form is Format.TABLE

    def result(self, columns: Sequence[str], rows: Iterable[Row]) -> None:
        """Write one result: column names and rows of Python values in that order."""
        self._separate()
        self._gap = True
        if self.for_people and self.expanded:
            from proxy.cli.render import write_expanded

            write_expanded(self.stream, columns, rows)
        else:
            self._writer.result(columns, rows)

    def text(self, text: str) -> None:
        """Write a line that only a person wants; the other forms leave it out."""
        if self.for_people:
            self.stream.write(text + "\n")
            self._gap = False

    def heading(self, text: str) -> None:
        """Write a line above what follows, with an empty one before it where something stands."""
        self._separate()
        self.text(text)

    def _separate(self) -> None:
        if self._gap and self.for_people:
            self.stream.write("\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        # A reader that went away has no use for the closing bracket.
        if not isinstance(error, BrokenPipeError):
            self._writer.close()
            self.stream.flush()


def as_utf8(stream: IO[str]) -> IO[str]:
    r"""Make a text stream write UTF-8, whatever the locale says; data must not depend on it.

    A file name may hold bytes that are no text. Python carries them as lone surrogates, which are
    written as escapes such as ``\udcff``; within JSON that is even their proper spelling.
    """
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(encoding="utf-8", errors="backslashreplace")
    return stream


def unique_names(columns: Sequence[str]) -> list[str]:
    """Column names made distinct by ``_2``, ``_3`` …, since an object has a name only once."""
    taken: set[str] = set()
    names = []
    for column in columns:
        name, number = column, 1
        while name in taken:
            number += 1
            name = f"{column}_{number}"
        taken.add(name)
        names.append(name)
    return names


def plain_text(value: object) -> str:
    """A value as CSV and tables show it: SQL spelling for booleans and moments, base64 for BLOB."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    from proxy.values import json_value

    plain = json_value(value)
    return plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False)


class _JsonWriter:
    """One array over all results."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._opened = False

    def result(self, columns: Sequence[str], rows: Iterable[Row]) -> None:
        for line in _objects(columns, rows):
            self._stream.write(",\n " if self._opened else "[")
            self._stream.write(line)
            self._opened = True

    def close(self) -> None:
        self._stream.write("]\n" if self._opened else "[]\n")


class _LineWriter:
    """One object a line."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def result(self, columns: Sequence[str], rows: Iterable[Row]) -> None:
        for line in _objects(columns, rows):
            self._stream.write(line + "\n")

    def close(self) -> None:
        """Nothing is owed: every line was complete."""


class _CsvWriter:
    """RFC 4180 with line feeds; NULL is empty and the empty text is ``""``, as in PostgreSQL."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def result(self, columns: Sequence[str], rows: Iterable[Row]) -> None:
        self._stream.write(",".join(csv_field(column) for column in columns) + "\n")
        for row in rows:
            self._stream.write(",".join(csv_field(value) for value in row) + "\n")

    def close(self) -> None:
        """Nothing is owed: every line was complete."""


def csv_field(value: object) -> str:
    """One field of a CSV line."""
    if value is None:
        return ""
    text = plain_text(value)
    if text and not any(mark in text for mark in ',"\r\n') and text == text.strip():
        return text
    return '"' + text.replace('"', '""') + '"'


class _TableWriter:
    """Aligned columns for people, with a row count."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def result(self, columns: Sequence[str], rows: Iterable[Row]) -> None:
        from proxy.cli.render import write_table

        write_table(self._stream, columns, rows)

    def close(self) -> None:
        """Nothing is owed: every line was complete."""


def _objects(columns: Sequence[str], rows: Iterable[Row]) -> Iterator[str]:
    from proxy.values import json_value

    names = unique_names(columns)
    for row in rows:
        body = {name: json_value(value) for name, value in zip(names, row, strict=True)}
        yield json.dumps(body, ensure_ascii=False)


def _writer(form: Format, stream: IO[str]) -> Writer:
    match form:
        case Format.JSON:
            return _JsonWriter(stream)
        case Format.NL:
            return _LineWriter(stream)
        case Format.CSV:
            return _CsvWriter(stream)
        case Format.TABLE:
            return _TableWriter(stream)
