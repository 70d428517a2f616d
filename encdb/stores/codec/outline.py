"""How much memory a body would take once it is decoded, told before it is.

An empty array is one byte of CBOR and 72 bytes of memory, so a limit on the length of a body does not
limit what it becomes. This looks at everything but the contents of strings, in time that grows with the
number of strings, and believes no length: it counts what has arrived.
"""

from __future__ import annotations

import re
from typing import Final

from .schema import Malformed

_NUMBER: Final = 40
"""Memory of an integer, and its place in an array."""
_ARRAY: Final = 72
_STRING: Final = 56
MOST: Final = _NUMBER + _ARRAY
"""Memory that one byte of a body can take at most."""

_NUMBERS: Final = (
    rb"[\x00-\x17\x20-\x37\xf4-\xf6]|[\x18\x38].|[\x19\x39]..|[\x1a\x3a].{4}|[\x1b\x3b].{8}"
)
_ARRAYS: Final = rb"[\x80-\x97]|\x98.|\x99..|\x9a.{4}|\x9b.{8}"
_ITEM: Final = re.compile(rb"(?:%s)|(%s)" % (_NUMBERS, _ARRAYS), re.DOTALL)
# Whatever is no string, and then the head of a string; a group has what tells the string's length.
_RUN: Final = re.compile(
    rb"((?:%s|%s)*+)" % (_NUMBERS, _ARRAYS)
    + rb"(?:([\x40-\x57\x60-\x77])|[\x58\x78](.)|[\x59\x79](..)|[\x5a\x7a](.{4})|[\x5b\x7b](.{8}))?",
    re.DOTALL,
)
_HEADS: Final = re.compile(rb"[\x18-\x1b\x38-\x3b\x58-\x5b\x78-\x7b\x98-\x9b]")
_HEAD_BYTES: Final = 9


class Outline:
    """Follows a body and keeps account.

    Args:
        limit: most memory, in bytes, beside the strings' own contents.
    """

    def __init__(self, limit: int) -> None:
        self._left = limit
        self._skipped = 0
        self._rest = b""

    def take(self, part: bytes) -> None:
        """The next part of the body.

        Raises:
            Malformed: it would take more, or has what no message has.
        """
        if self._skipped >= len(part):
            self._skipped -= len(part)
            return
        data, place = self._rest + part[self._skipped :], 0
        self._skipped, self._rest = 0, b""
        while place < len(data):
            run = _RUN.match(data, place)
            assert run is not None
            self._left -= _memory_of(run[1])
            if self._left < 0:
                raise Malformed
            place, group = run.end(), run.lastindex
            if group is None or group == 1:
                self._keep(data, place)
                return
            self._left -= _STRING
            told = int.from_bytes(run[group], "big")
            place += told & 0x1F if group == 2 else told
        self._skipped = place - len(data)

    def _keep(self, data: bytes, place: int) -> None:
        """What is left is nothing, or a head that goes on in the next part."""
        self._rest = data[place:]
        if self._rest and not (_HEADS.match(self._rest) and len(self._rest) < _HEAD_BYTES):
            raise Malformed


def _memory_of(run: bytes) -> int:
    """Of numbers and arrays."""
    arrays = _ITEM.findall(run)
    return _NUMBER * len(arrays) + _ARRAY * (len(arrays) - arrays.count(b""))
