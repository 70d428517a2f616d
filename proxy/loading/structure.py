"""Where the records of a block of CSV are, found for the whole block at once.

A block is taken only if RFC 4180 leaves no doubt about it: quotes open at the beginning of a field and
close at its end, and a carriage return stands before a newline. Parity of the quotes then tells which
delimiters and newlines are inside of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

_QUOTE: Final = ord('"')
CR: Final = ord("\r")
_LF: Final = ord("\n")

Positions = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Structure:
    """Where the records of a block are.

    Attributes:
        starts, ends: of each whole record, the end without its newline.
        fields: number of fields of each.
        used: bytes that they take together.
        newlines: place of every newline, also of those inside quotes.
    """

    starts: Positions
    ends: Positions
    fields: Positions
    used: int
    newlines: Positions


def structure_of(data: bytes, delimiter: int, *, final: bool) -> Structure | None:
    """The structure of a block, or None when quotes or carriage returns are out of place."""
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
    return Structure(starts, ends, fields, used, newlines)


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
    closes |= (after == _QUOTE) | (after == CR)
    return bool(opens.all() and closes.all())


def _returns_in_place(raw: npt.NDArray[np.uint8], quotes: Positions | None) -> bool:
    """Whether every carriage return outside of quotes is followed by a newline."""
    returns = np.flatnonzero(raw == CR)
    if quotes is not None:
        returns = returns[np.searchsorted(quotes, returns) & 1 == 0]
    if len(returns) == 0:
        return True
    if returns[-1] == len(raw) - 1:
        return False
    return bool((raw[returns + 1] == _LF).all())
