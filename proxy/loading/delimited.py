"""CSV and TSV: header, types, and batches with the line of every row.

A block of the file is checked as a whole with NumPy: quotes stand only where RFC 4180 lets them stand,
each record has as many fields as the header, no carriage return stands alone, the text is UTF-8
without NUL. Such a block has one reading only, and Arrow's parser takes it. Any other block goes to the
careful reader of :mod:`.scanner`, which finds the line to blame, or reads what is merely unusual.

The first record names the columns. Empty lines are skipped, except in a file of one column, where they
are NULL. An empty field is NULL; a quoted empty field is the empty text in a TEXT column and NULL in
any other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow_csv

from indexes.types import ColumnType, Kind

from ..casting import parse_array
from ..misfit import MisfitAt
from .detect import ColumnDetector
from .overrides import typed
from .scanner import is_blank, scan
from .source import Reader, Source
from .structure import CR, Positions, structure_of
from .table import (
    BATCH_ROWS,
    MAX_RECORD,
    LoadedTable,
    checked_names,
    malformed,
    too_large,
    unfit,
)

CHUNK: Final = 4 << 20
_BOM: Final = b"\xef\xbb\xbf"
_UTF16: Final = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True)
class Block:
    """Some records: the line of each, and one string array per column."""

    lines: Positions
    columns: list[Any]


_Taken = tuple[Block, int, int]
_NOTHING: Final = (Block(np.empty(0, dtype=np.int64), []), 0, 0)


def read_delimited(
    source: Source, name: str, delimiter: str, overrides: Mapping[str, ColumnType]
) -> LoadedTable:
    """A CSV or TSV file as a table; types come from a first reading of the whole file.

    Raises:
        DataError: E_CSV_MALFORMED with the line, or E_IMPORT_LIMIT.
        ProgrammingError: E_UNKNOWN_COLUMN for an override of a column that does not exist.
    """
    file = _Delimited(source, delimiter)
    names = file.header()
    given = typed(names, overrides)
    detectors = [ColumnDetector(()) if kind else ColumnDetector() for kind in given]
    rows: int | None = None
    if not all(given):
        rows = 0
        for block in file.blocks(len(names)):
            rows += len(block.lines)
            for detector, column in zip(detectors, block.columns, strict=True):
                detector.feed(column)
    kinds = [kind or detector.result() for kind, detector in zip(given, detectors, strict=True)]
    columns = tuple(zip(names, kinds, strict=True))

    def batches(rows: int = BATCH_ROWS) -> Iterator[tuple[int, pa.RecordBatch]]:
        schema = pa.schema([(column, kind.arrow) for column, kind in columns])
        for block in _regrouped(file.blocks(len(columns)), rows):
            arrays = [
                _converted(array, column, kind, block.lines, source.name)
                for array, (column, kind) in zip(block.columns, columns, strict=True)
            ]
            yield int(block.lines[0]), pa.RecordBatch.from_arrays(arrays, schema=schema)

    return LoadedTable(
        name=name,
        columns=tuple((column, kind, False) for column, kind in columns),
        batches=batches,
        rows=rows,
    )


def _converted(array: Any, column: str, kind: ColumnType, lines: Positions, name: str) -> Any:
    """Texts as values; DataError E_IMPORT_VALUE with the line of the first that does not fit."""
    if kind.kind is not Kind.TEXT:
        empty = pc.equal(array, pa.scalar(""))
        if pc.any(empty).as_py():
            array = pc.if_else(empty, pa.scalar(None, pa.string()), array)
    try:
        return parse_array(array, kind)
    except MisfitAt as misfit:
        raise unfit(f"{name}, line {lines[misfit.index]}", column, misfit) from None


def _regrouped(blocks: Iterator[Block], rows: int) -> Iterator[Block]:
    """The same records in blocks of exactly ``rows``, the last one shorter."""
    held: list[Block] = []
    count = 0
    for block in blocks:
        start = 0
        while count + len(block.lines) - start >= rows:
            take = rows - count
            held.append(_sliced(block, start, take))
            yield _joined(held)
            held, count = [], 0
            start += take
        if start < len(block.lines):
            held.append(_sliced(block, start, len(block.lines) - start))
            count += len(block.lines) - start
    if held:
        yield _joined(held)


def _sliced(block: Block, start: int, count: int) -> Block:
    columns = [column.slice(start, count) for column in block.columns]
    return Block(block.lines[start : start + count], columns)


def _joined(blocks: list[Block]) -> Block:
    if len(blocks) == 1:
        return blocks[0]
    columns = zip(*(block.columns for block in blocks), strict=True)
    return Block(
        np.concatenate([block.lines for block in blocks]),
        [pa.concat_arrays(parts) for parts in columns],
    )


class _Delimited:
    """One file and its delimiter."""

    def __init__(self, source: Source, delimiter: str) -> None:
        self._source = source
        self._name = source.name
        self._delimiter = delimiter

    def header(self) -> list[str]:
        """Names of the columns."""
        with self._source.open() as reader:
            _, fields, line = self._header(reader)
        return checked_names([field or "" for field in fields], self._name, line)

    def _header(self, reader: Reader) -> tuple[tuple[bytes, int, bool], list[str | None], int]:
        """What follows the header (bytes, line, end of file), its fields, and the line it is on."""
        data = reader.read(CHUNK)
        if data.startswith(_UTF16):
            raise malformed(self._name, 1, "the file is UTF-16; it must be UTF-8")
        data = data.removeprefix(_BOM)
        while True:
            more = reader.read(CHUNK)
            text = self._text(data, 1, final=not more)
            records = scan(text, 1, self._delimiter, name=self._name, final=not more)
            for line, fields, end, next_line in records:
                if not is_blank(fields):
                    rest = data[len(text[:end].encode()) :]
                    return (rest + more, next_line, not more), fields, line
            if not more:
                raise malformed(self._name, 1, "the file has no header line")
            if len(data) > MAX_RECORD:
                raise self._too_long(1)
            data += more

    def blocks(self, columns: int) -> Iterator[Block]:
        """All records behind the header."""
        with self._source.open() as reader:
            (data, line, final), _, _ = self._header(reader)
            while data:
                block, used, next_line = self._fast(data, line, columns, final=final)
                if used == 0:
                    block, used, next_line = self._careful(data, line, columns, final=final)
                if used == 0 and (final or len(data) > MAX_RECORD):
                    raise self._too_long(line)
                if len(block.lines):
                    yield block
                line = next_line
                data = data[used:]
                if not final:
                    more = reader.read(max(CHUNK - len(data), CHUNK // 4, 1))
                    final = not more
                    data += more

    def _too_long(self, line: int) -> Exception:
        return too_large(
            self._name,
            f"the record that begins on line {line} is longer than {MAX_RECORD >> 20} MiB",
            "Look for a quote that is not closed",
        )

    # --- the fast reader --------------------------------------------------------------------------

    def _fast(self, data: bytes, line: int, columns: int, *, final: bool) -> _Taken:
        """The whole records at the beginning of the data, the bytes they take, and the next line.

        No bytes are taken when the records have to be read with care.
        """
        structure = None
        if b"\0" not in data:
            structure = structure_of(data, ord(self._delimiter), final=final)
        if structure is None or len(structure.starts) == 0:
            return _NOTHING
        starts, fields = structure.starts, structure.fields
        lengths = structure.ends - starts
        if int(lengths.max()) > MAX_RECORD:
            return _NOTHING
        if columns > 1:
            raw = np.frombuffer(data, dtype=np.uint8)
            first = raw[np.minimum(starts, len(raw) - 1)]
            blank = (lengths == 0) | ((lengths == 1) & (first == CR))
            starts, fields = starts[~blank], fields[~blank]
        if (fields != columns).any():
            return _NOTHING
        piece = data[: structure.used]
        lines = line + np.searchsorted(structure.newlines, starts)
        arrays: list[Any] = []
        if len(lines):
            try:
                piece.decode()
            except UnicodeDecodeError:
                return _NOTHING
            arrays = self._parsed(piece, columns)
            if not arrays or len(arrays[0]) != len(lines):
                return _NOTHING
        return Block(lines, arrays), len(piece), line + piece.count(b"\n")

    def _parsed(self, piece: bytes, columns: int) -> list[Any]:
        """One string array per column; none when Arrow sees an error."""
        names = [str(number) for number in range(columns)]
        options: Any = arrow_csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()),
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            null_values=[""],
            check_utf8=False,
        )
        # Arrow takes an empty field at the very end for a quoted one, if one before it was quoted.
        opened: Any = pa.BufferReader(piece if piece.endswith(b"\n") else piece + b"\n")
        try:
            table = arrow_csv.read_csv(
                opened,
                read_options=arrow_csv.ReadOptions(
                    use_threads=False, block_size=len(piece) + 2, column_names=names
                ),
                parse_options=arrow_csv.ParseOptions(
                    delimiter=self._delimiter,
                    newlines_in_values=True,
                    ignore_empty_lines=columns > 1,
                ),
                convert_options=options,
            )
        except pa.ArrowInvalid:
            return []
        return [column.combine_chunks() for column in table.columns]

    # --- the careful reader -----------------------------------------------------------------------

    def _text(self, data: bytes, line: int, *, final: bool) -> str:
        """UTF-8 as text; a character that is cut at the end is left for later."""
        try:
            return data.decode()
        except UnicodeDecodeError as fault:
            if not final and fault.start >= len(data) - 3 and fault.end == len(data):
                return data[: fault.start].decode()
            bad = line + data.count(b"\n", 0, fault.start)
            raise malformed(self._name, bad, "the text is not UTF-8") from None

    def _careful(self, data: bytes, line: int, columns: int, *, final: bool) -> _Taken:
        """As :meth:`_fast`, record by record."""
        text = self._text(data, line, final=final)
        lines: list[int] = []
        rows: list[list[str | None]] = []
        used = 0
        records = scan(text, line, self._delimiter, name=self._name, final=final)
        for first, fields, end, next_line in records:
            if end - used > MAX_RECORD:
                raise self._too_long(first)
            used, line = end, next_line
            if is_blank(fields) and columns > 1:
                continue
            if len(fields) != columns:
                raise malformed(
                    self._name, first, f"{len(fields)} fields where the header has {columns}"
                )
            lines.append(first)
            rows.append(fields)
        arrays = [pa.array(column, pa.string()) for column in zip(*rows, strict=True)]
        block = Block(np.array(lines, dtype=np.int64), arrays)
        return block, len(text[:used].encode()), line
