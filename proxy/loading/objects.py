"""JSON: an array of objects, or objects one behind the other (NDJSON); each object is a row.

Columns are the keys in the order of their first appearance; a missing key is NULL. Numbers without
fraction are BIGINT, or DECIMAL(38,0) beyond 64 bits; others DOUBLE; ``true`` and ``false`` BOOLEAN.
Texts are TEXT, or dates and moments by the rules of :mod:`.detect`, but never numbers. A column with
objects, arrays or values of several kinds is JSON.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

import pyarrow as pa

from encdb.errors import EncdbError
from indexes.types import ColumnType, Kind

from ..casting import python_array
from ..misfit import MisfitAt
from .detect import MOMENTS, ColumnDetector
from .overrides import typed
from .source import Reader, Source
from .table import (
    BATCH_ROWS,
    MAX_RECORD,
    MAX_TEXT,
    LoadedTable,
    checked_names,
    malformed,
    too_large,
    unfit,
)

Record = tuple[int, dict[str, Any]]

_CHUNK: Final = 8_192
_READ: Final = 4 << 20
_BLANK: Final = " \t\r\n"
_LONG: Final = 1 << 63
_HUGE: Final = 10**38
_EXACT: Final = 2**53


def read_objects(
    source: Source, name: str, overrides: Mapping[str, ColumnType], *, lines: bool
) -> LoadedTable:
    """A JSON or NDJSON file as a table; types come from a first reading of the whole file.

    Args:
        source: the file.
        name: of the table.
        overrides: types given by the user.
        lines: one object a line, however long the file; otherwise the text is held in memory.

    Raises:
        DataError: E_CSV_MALFORMED with the line, or E_IMPORT_LIMIT.
        ProgrammingError: E_UNKNOWN_COLUMN for an override of a key that does not appear.
    """
    exact = any(kind.kind is Kind.DECIMAL for kind in overrides.values())
    decode = _decoder(Decimal if exact else float)

    def records() -> Iterator[Record]:
        read = _line_records if lines else _array_records
        return read(source, decode)

    detectors: dict[str, _KeyDetector] = {}
    rows = 0
    for chunk in _chunks(records(), _CHUNK):
        rows += len(chunk)
        for _, record in chunk:
            if record.keys() - detectors.keys():
                detectors.update({key: _KeyDetector() for key in record if key not in detectors})
        for key, detector in detectors.items():
            detector.feed([record.get(key) for _, record in chunk])
    keys = list(detectors)
    if not keys:
        raise malformed(source.name, 1, "there are no objects with keys")
    names = checked_names(keys, source.name, 1)
    given = typed(names, overrides)
    kinds = [kind or detectors[key].result() for kind, key in zip(given, keys, strict=True)]
    columns = list(zip(keys, names, kinds, strict=True))

    def batches(rows: int = BATCH_ROWS) -> Iterator[tuple[int, pa.RecordBatch]]:
        schema = pa.schema([(column, kind.arrow) for _, column, kind in columns])
        for chunk in _chunks(records(), rows):
            arrays = []
            for key, column, kind in columns:
                values = [_value(record.get(key), kind) for _, record in chunk]
                try:
                    arrays.append(python_array(values, kind))
                except MisfitAt as misfit:
                    place = f"{source.name}, line {chunk[misfit.index][0]}"
                    raise unfit(place, column, misfit) from None
            yield chunk[0][0], pa.RecordBatch.from_arrays(arrays, schema=schema)

    return LoadedTable(
        name=name,
        columns=tuple((column, kind, False) for _, column, kind in columns),
        batches=batches,
        rows=rows,
    )


def _chunks(records: Iterator[Record], size: int) -> Iterator[list[Record]]:
    chunk: list[Record] = []
    for record in records:
        chunk.append(record)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _value(value: Any, kind: ColumnType) -> Any:
    """A JSON value as a column of that type takes it: structures as their text."""
    if value is None:
        return None
    if kind.kind is Kind.JSON or isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False, default=str)
    return value


# --- types ----------------------------------------------------------------------------------------


class _KeyDetector:
    """The type of the values of one key."""

    def __init__(self) -> None:
        self._types: set[type] = set()
        self._lowest = self._highest = 0
        self._texts = ColumnDetector(MOMENTS)

    def feed(self, values: list[Any]) -> None:
        """Consider the values of some records; None says nothing."""
        types = set(map(type, values))
        self._types |= types
        if int in types:
            numbers = [value for value in values if type(value) is int]
            self._lowest = min(self._lowest, *numbers, 0)
            self._highest = max(self._highest, *numbers, 0)
        if types <= _TEXTS and str in types:
            self._feed_texts(values)

    def _feed_texts(self, values: list[Any]) -> None:
        try:
            self._texts.feed(pa.array(values, pa.string()))
        except UnicodeEncodeError:
            # A lone surrogate is no date, and loading will name its line.
            self._texts = ColumnDetector(())

    def result(self) -> ColumnType:
        """The narrowest type that keeps all values."""
        types = self._types - {type(None)}
        if types <= {str}:
            return self._texts.result()
        if types == {bool}:
            return ColumnType(Kind.BOOLEAN)
        if types == {int}:
            if self._lowest >= -_LONG and self._highest < _LONG:
                return ColumnType(Kind.BIGINT)
            if self._lowest > -_HUGE and self._highest < _HUGE:
                return ColumnType(Kind.DECIMAL, 38, 0)
        exact = self._lowest >= -_EXACT and self._highest <= _EXACT
        if types <= {int, float, Decimal} and exact:
            return ColumnType(Kind.DOUBLE)
        return ColumnType(Kind.JSON)


_TEXTS: Final[frozenset[type]] = frozenset((str, type(None)))


# --- reading --------------------------------------------------------------------------------------


class _Refused(ValueError):  # noqa: N818 - it never leaves this module.
    """A JSON value that has no place in a row."""


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) != len(pairs):
        raise _Refused("a key appears twice in one object")
    return record


def _constant(name: str) -> Any:
    raise _Refused(f"{name} is no JSON number")


def _finite(number: Callable[[str], Any]) -> Callable[[str], Any]:
    def parse(text: str) -> Any:
        value = number(text)
        if isinstance(value, float) and value in (float("inf"), float("-inf")):
            raise _Refused("a number is out of range")
        return value

    return parse


def _decoder(number: Callable[[str], Any]) -> json.JSONDecoder:
    return json.JSONDecoder(
        object_pairs_hook=_pairs, parse_constant=_constant, parse_float=_finite(number)
    )


def _decoded(decoder: json.JSONDecoder, text: str, start: int) -> tuple[Any, int]:
    """One JSON value and where it ends; ValueError for anything else."""
    try:
        return decoder.raw_decode(text, start)
    except RecursionError:
        raise _Refused("the value is nested too deeply") from None


def _reason(fault: ValueError) -> str:
    """Why a text is no JSON, without quoting it."""
    if isinstance(fault, _Refused):
        return str(fault)
    if isinstance(fault, json.JSONDecodeError):
        return f"no JSON: {fault.msg[:1].lower()}{fault.msg[1:]} at column {fault.colno}"
    return "a number has too many digits"


def _record(value: Any, name: str, line: int) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise malformed(name, line, "a row must be an object in braces")
    return value


def _line_records(source: Source, decoder: json.JSONDecoder) -> Iterator[Record]:
    """Objects, each on a line of its own; empty lines are skipped."""
    with source.open() as reader:
        for line, text in _lines(reader, source.name):
            try:
                value, end = _decoded(decoder, text, 0)
            except ValueError as fault:
                raise malformed(source.name, line, _reason(fault)) from None
            if text[end:].strip(_BLANK):
                raise malformed(source.name, line, "more than one value on the line")
            yield line, _record(value, source.name, line)


def _lines(reader: Reader, name: str) -> Iterator[tuple[int, str]]:
    """Lines that are not empty, without blanks around them, with their numbers."""
    line = 0
    while raw := reader.readline(MAX_RECORD + 1):
        line += 1
        if len(raw) > MAX_RECORD:
            raise too_large(name, f"line {line} is longer than {MAX_RECORD >> 20} MiB")
        if line == 1:
            raw = raw.removeprefix(b"\xef\xbb\xbf")
        try:
            text = raw.decode().strip(_BLANK)
        except UnicodeDecodeError:
            raise malformed(name, line, "the text is not UTF-8") from None
        if text:
            yield line, text


def _array_records(source: Source, decoder: json.JSONDecoder) -> Iterator[Record]:
    """Objects of one array; or, without an array, one object or several, one behind the other."""
    text = _whole(source)
    name = source.name
    position, line = _skip(text, 0, 1)
    array = text.startswith("[", position)
    if array:
        position, line = _skip(text, position + 1, line)
    first = True
    while position < len(text) and not (array and text[position] == "]"):
        if array and not first:
            if text[position] != ",":
                raise malformed(name, line, "a comma is missing between two rows")
            position, line = _skip(text, position + 1, line)
        try:
            value, end = _decoded(decoder, text, position)
        except ValueError as fault:
            raise _misplaced(fault, name, line) from None
        yield line, _record(value, name, line)
        line += text.count("\n", position, end)
        position, line = _skip(text, end, line)
        first = False
    if array:
        if not text.startswith("]", position):
            raise malformed(name, line, "the array is not closed")
        position, line = _skip(text, position + 1, line)
        if position < len(text):
            raise malformed(name, line, "something follows the array")


def _misplaced(fault: ValueError, name: str, line: int) -> EncdbError:
    return malformed(
        name, fault.lineno if isinstance(fault, json.JSONDecodeError) else line, _reason(fault)
    )


def _whole(source: Source) -> str:
    """The whole text."""
    parts: list[bytes] = []
    size = 0
    with source.open() as reader:
        while part := reader.read(_READ):
            parts.append(part)
            size += len(part)
            if size > MAX_TEXT:
                raise too_large(
                    source.name,
                    f"a JSON array of more than {MAX_TEXT >> 20} MiB",
                    "Write one object a line and pass --format ndjson",
                )
    data = b"".join(parts).removeprefix(b"\xef\xbb\xbf")
    try:
        return data.decode()
    except UnicodeDecodeError as fault:
        line = 1 + data.count(b"\n", 0, fault.start)
        raise malformed(source.name, line, "the text is not UTF-8") from None


def _skip(text: str, position: int, line: int) -> tuple[int, int]:
    """The next place that is not blank, and its line."""
    while position < len(text) and text[position] in _BLANK:
        line += text[position] == "\n"
        position += 1
    return position, line
