"""CSV records one by one (RFC 4180): the careful reader.

It gives the line of everything it refuses, and it is the reference for the fast reader of
:mod:`.delimited`, which hands over whatever it is not sure of. A quote inside an unquoted field is an
ordinary character; a field that begins with a quote ends with one. A record ends with a newline, before
which a carriage return may stand; one that stands alone would be a newline to some programs and text to
others, so it is refused. An empty field is None, a quoted empty field the empty text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from .table import malformed

Record = tuple[int, list[str | None], int, int]
"""Line on which a record begins, its fields, and where the next one begins: in the text, and its line."""

# Possessive, so that half of a doubled quote is never taken for a closing one.
_QUOTED = re.compile(r'"([^"]*+(?:""[^"]*+)*+)"')


@lru_cache(maxsize=8)
def _plain(delimiter: str) -> re.Pattern[str]:
    return re.compile(f"[^{re.escape(delimiter)}\r\n]*")


def scan(text: str, line: int, delimiter: str, *, name: str, final: bool) -> Iterator[Record]:
    """Records of a text that begins at the beginning of a record.

    Args:
        text: the text.
        line: number of its first line.
        delimiter: one character.
        name: of the source, for messages.
        final: whether the text is the end of the file; otherwise a record that may go on behind the
            end of the text is left out.

    Raises:
        DataError: E_CSV_MALFORMED for an open quote at the end of the file, for text behind a closing
            quote, for a carriage return alone, and for a NUL.
    """
    plain = _plain(delimiter)
    position = 0
    end = len(text)
    while position < end:
        first = line
        fields: list[str | None] = []
        while True:
            if text.startswith('"', position):
                quoted = _QUOTED.match(text, position)
                if quoted is None or (quoted.end() == end and not final):
                    if final:
                        raise malformed(name, line, "a quoted field that begins here is not closed")
                    return
                value = quoted[1]
                line += value.count("\n")
                fields.append(value.replace('""', '"'))
                position = quoted.end()
            else:
                found = plain.match(text, position)
                assert found is not None
                fields.append(found[0] or None)
                position = found.end()
            if position == end:
                if not final:
                    return
                yield first, _checked(fields, name, first), end, line
                return
            mark = text[position]
            position += 1
            if mark == delimiter:
                continue
            if mark == "\r" and position == end and not final:
                return
            position += _newline_rest(mark, text[position : position + 1], name, line)
            line += 1
            yield first, _checked(fields, name, first), position, line
            break


def _newline_rest(mark: str, following: str, name: str, line: int) -> int:
    """How many characters of a record's end come behind its first, which is ``mark``."""
    if mark == "\n":
        return 0
    if mark != "\r":
        raise malformed(name, line, "text follows a closing quote")
    if following not in ("", "\n"):
        raise malformed(name, line, "a carriage return without a newline, outside of quotes")
    return len(following)


def _checked(fields: list[str | None], name: str, line: int) -> list[str | None]:
    for field in fields:
        if field is not None and "\0" in field:
            raise malformed(name, line, "a NUL character")
    return fields


def is_blank(fields: list[str | None]) -> bool:
    """Whether a record is an empty line."""
    return len(fields) == 1 and fields[0] is None
