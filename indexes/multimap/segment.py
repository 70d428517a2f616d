"""What a finished segment is: the description that a manifest keeps, and its sealed pages.

A segment is immutable. Its salt is random and fresh for each build attempt, and every page is sealed
under a key derived from it, so a manifest that names the salt authenticates all pages of exactly one
build. `paging` has the arithmetic, the shuffle and the reading of pages that all kinds share.

What it leaks: the store learns the number of pages of each segment, and which pages are header pages
once a client has read them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from indexes.errors import IntegrityFailure
from indexes.seal import SALT_BYTES

HASHED: Final = 1
"""Posting lists placed by a pseudorandom function; one kind of segment for all indexes of a table."""

SORTED: Final = 2
"""Order-preserving keys with ordinals, of one range index."""

LIVENESS: Final = 3
"""Which rows are live, and where the packs that hold them are."""

STATISTICS: Final = 4
"""How the values of each column of a table are distributed, for the planner."""

KINDS: Final = frozenset((HASHED, SORTED, LIVENESS, STATISTICS))

DICTIONARY: Final = 1 << 24
"""Added to the id of a keyword index, the id of its term dictionary: a sorted index of its own."""

MAX_PAGES: Final = 1 << 32
"""Pages are addressed as `segment << 32 | page`."""

MAX_SEGMENT: Final = 1 << 31
_FIXED_FIELDS: Final = 7
_MAX_EXTRA: Final = 16


def dictionary_id(index: int) -> int:
    """The id under which the term dictionary of a keyword index keeps its sorted entries."""
    return index | DICTIONARY


def is_dictionary(index: int) -> bool:
    """Whether an id of a sorted index is that of a term dictionary.

    Entries of a dictionary belong to no row: their ordinal is 0, their key is the first 16 bytes of a
    term, filled up with zeros, and their value is the term in UTF-8. Equal ones count once.
    """
    return bool(index & DICTIONARY)


def owner(index: int) -> int:
    """The id of the index whose entries a sorted index holds: itself, or a dictionary's keyword index."""
    return index & ~DICTIONARY


@dataclass(frozen=True, slots=True)
class SegmentInfo:
    """Everything needed to open a segment, apart from keys.

    Attributes:
        segment: number leased from the store, 0 ≤ segment < 2³¹, never used twice.
        kind: HASHED, SORTED, LIVENESS or STATISTICS.
        index: the range index or term dictionary of a sorted segment; 0 for segments that a table's
            indexes share.
        salt: 32 random bytes of the build attempt.
        pages: all pages, the header and dummies included.
        header_pages: pages 0 … header_pages - 1 are the header.
        postings: entries in the segment: postings, keys, live rows, or columns.
        extra: small integers whose meaning the kind defines.
    """

    segment: int
    kind: int
    index: int
    salt: bytes
    pages: int
    header_pages: int
    postings: int
    extra: tuple[int, ...] = ()

    def to_tuple(self) -> tuple[Any, ...]:
        """A flat tuple of integers and the salt, for a CBOR array."""
        return (
            self.segment,
            self.kind,
            self.index,
            self.salt,
            self.pages,
            self.header_pages,
            self.postings,
            *self.extra,
        )

    @classmethod
    def from_tuple(cls, fields: Sequence[Any]) -> SegmentInfo:
        """Inverse of `to_tuple`.

        Raises:
            IntegrityFailure: a field is missing, of another type, or out of range.
        """
        if not isinstance(fields, tuple | list):
            raise IntegrityFailure
        if not _FIXED_FIELDS <= len(fields) <= _FIXED_FIELDS + _MAX_EXTRA:
            raise IntegrityFailure
        salt, numbers = fields[3], [*fields[:3], *fields[4:]]
        if type(salt) is not bytes or len(salt) != SALT_BYTES:
            raise IntegrityFailure
        if any(type(number) is not int or not 0 <= number < 1 << 63 for number in numbers):
            raise IntegrityFailure
        segment, kind, index, _, pages, header_pages, postings, *extra = fields
        if kind not in KINDS or segment >= MAX_SEGMENT or not header_pages <= pages <= MAX_PAGES:
            raise IntegrityFailure
        return cls(segment, kind, index, salt, pages, header_pages, postings, tuple(extra))


@dataclass(frozen=True, slots=True)
class BuiltSegment:
    """A segment that was just built.

    Attributes:
        info: its description, for the manifest.
        pages: (page number, 4,032 sealed bytes), ascending from 0 to `info.pages - 1`. The iterator
            seals as it goes and can be consumed once.
    """

    info: SegmentInfo
    pages: Iterator[tuple[int, bytes]]
