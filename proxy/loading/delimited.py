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
import numpy.typing as npt
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
_QUOTE, _CR, _LF = b'"\r\n'

Positions = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Block:
    """Some records: the line of each, and one string array per column."""

    lines: Positions
    columns: list[Any]


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


def _converted(
    array: Any, column: str, kind: ColumnType, lines: Positions, name: str
) -> Any:
    """Texts as values; DataError E_IMPORT_VALUE with the line of the first that does not fit."""
    if kind.kind is not Kind.TEXT:
        empty = pc.equal(array, "")
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
            more = reader.read(CHUNK) if len(data) <= MAX_RECORD else b""
            final = not more
            text = self._text(data, 1, final=final)
            records = scan(text, 1, self._delimiter, name=self._name, final=final)
            for line, fields, end in records:
                if is_blank(fields):
                    continue
                rest = data[len(text[:end].encode()) :]
                next_line = 1 + text.count("\n", 0, end)
                return (rest + more, next_line, final), fields, line
            if final:
                if len(data) > MAX_RECORD:
                    raise self._too_long(1)
                raise malformed(self._name, 1, "the file has no header line")
            data += more

    def blocks(self, columns: int) -> Iterator[Block]:
        """All records behind the header."""
        with self._source.open() as reader:
            (data, line, final), _, _ = self._header(reader)
            while data:
                block, used = self._fast(data, line, columns, final=final)
                if used == 0:
                    block, used = self._careful(data, line, columns, final=final)
                if used == 0 and final:
                    break
                if used == 0 and len(data) > MAX_RECORD:
                    raise self._too_long(line)
                if len(block.lines):
                    yield block
                line += data.count(b"\n", 0, used)
                data = data[used:]
                if not final:
                    more = reader.read(max(CHUNK - len(data), CHUNK // 4))
                    final = not more
                    data += more

    def _too_long(self, line: int) -> Exception:
        return too_large(
            self._name,
            f"the record that begins on line {line} is longer than {MAX_RECORD >> 20} MiB",
            "Look for a quote that is not closed",
        )

    # --- the fast reader --------------------------------------------------------------------------

    def _fast(self, data: bytes, line: int, columns: int, *, final: bool) -> tuple[Block, int]:
        """The whole records at the beginning of the data, and how many bytes they take.

        No bytes are taken when the records have to be read with care.
        """
        nothing = Block(np.empty(0, dtype=np.int64), []), 0
        if b"\0" in data:
            return nothing
        structure = _structure(data, ord(self._delimiter), final=final)
        if structure is None:
            return nothing
        starts, ends, fields, used, newlines = structure
        lengths = ends - starts
        if len(starts) == 0 or int(lengths.max()) > MAX_RECORD:
            return nothing
        raw = np.frombuffer(data, dtype=np.uint8)
        blank = (lengths == 0) | ((lengths == 1) & (raw[np.minimum(starts, len(raw) - 1)] == _CR))
        if columns > 1:
            starts, fields = starts[~blank], fields[~blank]
        if (fields != columns).any():
            return nothing
        piece = data[:used]
        try:
            piece.decode()
        except UnicodeDecodeError:
            return nothing
        lines = line + np.searchsorted(newlines, starts)
        if len(lines) == 0:
            return Block(lines, []), used
        arrays = self._parsed(piece, columns)
        if arrays is None or len(arrays[0]) != len(lines):
            return nothing
        return Block(lines, arrays), used

    def _parsed(self, piece: bytes, columns: int) -> list[Any] | None:
        names = [str(number) for number in range(columns)]
        options: Any = arrow_csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()),
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            null_values=[""],
            check_utf8=False,
        )
        try:
            table = arrow_csv.read_csv(
                pa.BufferReader(piece),
                read_options=arrow_csv.ReadOptions(
                    use_threads=False, block_size=len(piece) + 1, column_names=names
                ),
                parse_options=arrow_csv.ParseOptions(
                    delimiter=self._delimiter,
                    newlines_in_values=True,
                    ignore_empty_lines=columns > 1,
                ),
                convert_options=options,
            )
        except pa.ArrowInvalid:
            return None
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
            raise malformed(
                self._name, bad, "the text is not UTF-8", 
            ) from None

    def _careful(self, data: bytes, line: int, columns: int, *, final: bool) -> tuple[Block, int]:
        """As :meth:`_fast`, record by record."""
        text = self._text(data, line, final=final)
        lines: list[int] = []
        rows: list[list[str | None]] = []
        used = 0
        for first, fields, end in scan(text, line, self._delimiter, name=self._name, final=final):
            used = end
            if is_blank(fields) and columns > 1:
                continue
            if len(fields) != columns:
                raise malformed(
                    self._name, first, f"{len(fields)} fields where the header has {columns}"
                )
            lines.append(first)
            rows.append(fields)
        arrays = [pa.array(column, pa.string()) for column in zip(*rows, strict=True)]
        return Block(np.array(lines, dtype=np.int64), arrays), len(text[:used].encode())


def _structure(
    data: bytes, delimiter: int, *, final: bool
) -> tuple[Positions, Positions, Positions, int, Positions] | None:
    """Where the records of a block are, or None when quotes or carriage returns are out of place.

    Returns:
        Start and end (without the newline) of each whole record, its number of fields, the bytes that
        they take together, and the place of every newline.
    """
    raw = np.frombuffer(data, dtype=np.uint8)
    newlines = np.flatnonzero(raw == _LF)
    delimiters = np.flatnonzero(raw == delimiter)
    ends = newlines
    quotes: Positions | None = None
    if b'"' in data:
        quotes = np.flatnonzero(raw == _QUOTE)
        # Behind an even number of quotes a byte is outside of them.
        ends = newlines[np.searchsorted(quotes, newlines) & 1 == 0]
        delimiters = delimiters[np.searchsorted(quotes, delimiters) & 1 == 0]
    used = int(ends[-1]) + 1 if len(ends) else 0
    if final and used < len(data):
        ends = np.append(ends, len(data))
        used = len(data)
    if quotes is not None:
        quotes = quotes[quotes < used]
        if not _quotes_in_place(raw[:used], quotes, delimiter):
            return None
    if b"\r" in data and not _returns_in_place(raw[:used], quotes):
        return None
    starts = np.concatenate([np.zeros(1, dtype=np.int64), ends[:-1] + 1])[: len(ends)]
    fields = 1 + np.searchsorted(delimiters, ends) - np.searchsorted(delimiters, starts)
    return starts, ends, fields, used, newlines


def _quotes_in_place(raw: npt.NDArray[np.uint8], quotes: Positions, delimiter: int) -> bool:
    """Whether quotes open only at the beginning of a field and close only at its end.

    A doubled quote inside a field closes and opens again at once.
    """
    if len(quotes) % 2:
        return False
    opening, closing = quotes[0::2], quotes[1::2]
    before = raw[np.maximum(opening - 1, 0)]
    opens = (opening == 0) | (before == delimiter) | (before == _LF) | (before == _QUOTE)
    after = raw[np.minimum(closing + 1, len(raw) - 1)]
    closes = (closing == len(raw) - 1) | (after == delimiter) | (after == _LF)
    closes |= (after == _QUOTE) | (after == _CR)
    return bool(opens.all() and closes.all())


def _returns_in_place(raw: npt.NDArray[np.uint8], quotes: Positions | None) -> bool:
    """Whether every carriage return outside of quotes is followed by a newline."""
    returns = np.flatnonzero(raw == _CR)
    if quotes is not None:
        returns = returns[np.searchsorted(quotes, returns) & 1 == 0]
    if len(returns) == 0:
        return True
    if returns[-1] == len(raw) - 1:
        return False
    return bool((raw[returns + 1] == _LF).all())
