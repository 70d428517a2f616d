"""Tables for people: aligned columns, numbers to the right, NULL spelt out, a row count below.

Widths come from the first thousand rows, so that a long result starts to appear at once. Where the
lines would be wider than the terminal, rich folds the cells instead; a file or a pipe gets the full
width. Colour is used on a terminal only, and never when ``NO_COLOR`` is set.
"""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import IO

from proxy.cli.failure import printable
from proxy.cli.output import Row, plain_text

SAMPLE_ROWS = 1000
NULL = "NULL"
_GAP = "  "


def write_table(stream: IO[str], columns: Sequence[str], rows: Iterable[Row]) -> None:
    """Write one result as a table with its row count."""
    from rich.cells import cell_len

    rows = iter(rows)
    sample = list(itertools.islice(rows, SAMPLE_ROWS))
    heads = [printable(column) for column in columns]
    numeric = [_is_numeric(row[place] for row in sample) for place in range(len(heads))]
    texts = [[_cell(value) for value in row] for row in sample]
    widths = [
        max(cell_len(head), *(_widest(row[place]) for row in texts), 1)
        if texts
        else max(cell_len(head), 1)
        for place, head in enumerate(heads)
    ]
    rest = ([_cell(value) for value in row] for row in rows)
    if is_terminal(stream) and sum(widths) + len(_GAP) * len(widths) > terminal_width():
        count = _write_folded(stream, heads, numeric, itertools.chain(texts, rest))
    else:
        count = _write_aligned(stream, heads, numeric, widths, itertools.chain(texts, rest))
    stream.write(_row_count(count))


def write_expanded(stream: IO[str], columns: Sequence[str], rows: Iterable[Row]) -> None:
    """Write one result with one column a line, for rows that are wider than any screen."""
    heads = [printable(column) for column in columns]
    width = max(map(len, heads), default=0)
    count = 0
    for count, row in enumerate(rows, start=1):
        stream.write(f"── row {count:,} ──\n")
        for head, value in zip(heads, row, strict=True):
            first, *others = _cell(value).split("\n")
            stream.write(f"{head:<{width}}{_GAP}{first}".rstrip() + "\n")
            for line in others:
                stream.write(f"{'':<{width}}{_GAP}{line}".rstrip() + "\n")
    stream.write(_row_count(count))


def is_terminal(stream: IO[str]) -> bool:
    """Whether a person reads this stream."""
    try:
        return stream.isatty()
    except ValueError:
        return False


def use_colour(stream: IO[str]) -> bool:
    """Whether escape sequences are welcome: on a terminal without ``NO_COLOR`` (no-color.org)."""
    return (
        is_terminal(stream)
        and not os.environ.get("NO_COLOR")
        and os.environ.get("TERM", "") != "dumb"
    )


def terminal_width() -> int:
    """Columns of the terminal; ``COLUMNS`` wins."""
    return shutil.get_terminal_size().columns


def _write_aligned(
    stream: IO[str],
    heads: Sequence[str],
    numeric: Sequence[bool],
    widths: Sequence[int],
    rows: Iterable[Sequence[str]],
) -> int:
    bold, plain = ("\x1b[1m", "\x1b[0m") if use_colour(stream) else ("", "")
    stream.write(bold + _line(heads, numeric, widths) + plain + "\n")
    stream.write(_GAP.join("─" * width for width in widths) + "\n")
    count = 0
    for row in rows:
        count += 1
        cells = [cell.split("\n") for cell in row]
        height = max((len(lines) for lines in cells), default=1)
        for place in range(height):
            parts = [lines[place] if place < len(lines) else "" for lines in cells]
            stream.write(_line(parts, numeric, widths) + "\n")
    return count


def _write_folded(
    stream: IO[str],
    heads: Sequence[str],
    numeric: Sequence[bool],
    rows: Iterable[Sequence[str]],
) -> int:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    # With a height too, rich takes the width as given even where it would rather guess.
    console = Console(file=stream, width=terminal_width(), height=25, highlight=False)
    count = 0
    rows = iter(rows)
    while True:
        # Each piece is laid out on its own; 200 rows keep the first ones from waiting for the last.
        piece = list(itertools.islice(rows, 200))
        if count and not piece:
            return count
        table = Table(box=box.HORIZONTALS, pad_edge=False, show_edge=False, show_lines=True)
        for head, right in zip(heads, numeric, strict=True):
            table.add_column(Text(head), justify="right" if right else "left", overflow="fold")
        for row in piece:
            table.add_row(*(Text(cell) for cell in row))
        console.print(table)
        count += len(piece)
        if not piece:
            return count


def _line(cells: Sequence[str], numeric: Sequence[bool], widths: Sequence[int]) -> str:
    from rich.cells import cell_len

    padded = []
    for cell, right, width in zip(cells, numeric, widths, strict=True):
        blank = " " * (width - cell_len(cell))
        padded.append(blank + cell if right else cell + blank)
    return _GAP.join(padded).rstrip()


def _row_count(count: int) -> str:
    return f"({count:,} row{'' if count == 1 else 's'})\n"


def _cell(value: object) -> str:
    return NULL if value is None else printable(plain_text(value).expandtabs(4))


def _widest(cell: str) -> int:
    from rich.cells import cell_len

    return max(map(cell_len, cell.split("\n")))


def _is_numeric(values: Iterable[object]) -> bool:
    present = [value for value in values if value is not None]
    return bool(present) and all(
        isinstance(value, (int, float, Decimal)) and not isinstance(value, bool)
        for value in present
    )
