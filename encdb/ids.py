"""Opaque ids: how they are formed, and the order in which :mod:`encdb.wire` puts them.

A list in any other order would tell the store something: the order of keys in an index, of terms in
a query, or of rows in a file. The functions also refuse what only a defect could send.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from operator import index, itemgetter
from typing import Final, TypeAlias

from .errors import InternalError, err

Pairs: TypeAlias = tuple[tuple[int, bytes], ...]
"""(id, blob), ascending by id, each id once."""
Claims: TypeAlias = tuple[tuple[bytes, int], ...]
"""(tag, label), ascending by tag, each tag once."""

PAGE_SHIFT: Final = 32
PACK_SHIFT: Final = 11
LABEL_BITS: Final = 44
"""Labels of rows with server-visible entries are below 2**44."""
_INDEX_LIMIT: Final = 1 << 19
_ID_LIMIT: Final = 1 << 63
_by_id = itemgetter(0)


def page_id(segment: int, page: int) -> int:
    """Id of one page of a segment."""
    return segment << PAGE_SHIFT | page


def pack_id(pack: int, column: int) -> int:
    """Id of one column of a pack; column 0 is the pack's directory."""
    return pack << PACK_SHIFT | column


def entry_id(index_id: int, label: int) -> int:
    """Id of the entry that a row has in a server-visible index."""
    return index_id << LABEL_BITS | label


def checked_index(number: int) -> int:
    """The id of a server-visible index, which leaves room for labels in ids of entries."""
    found = index(number)
    if not 0 <= found < _INDEX_LIMIT:
        raise malformed("an index id is outside 0 ... 2**19 - 1")
    return found


def checked_labels(pairs: Pairs) -> Pairs:
    """Pairs whose labels leave room for an index id."""
    if pairs and pairs[-1][0] >> LABEL_BITS:
        raise malformed("a label is 2**44 or more")
    return pairs


def malformed(what: str) -> InternalError:
    """The error for a message that only a defect of the proxy could make."""
    return err(InternalError, "E_INTERNAL", f"a message to the store is malformed: {what}")


def _check_range(first: int, last: int) -> None:
    if first < 0 or last >= _ID_LIMIT:
        raise malformed("an id is outside 0 ... 2**63 - 1")


def sorted_ids(ids: Iterable[int]) -> tuple[int, ...]:
    """Ids ascending and once each; NumPy integers become plain ones."""
    ordered = tuple(sorted(set(map(index, ids))))
    if ordered:
        _check_range(ordered[0], ordered[-1])
    return ordered


def distinct_ids(ids: Iterable[int]) -> tuple[int, ...]:
    """Like :func:`sorted_ids` for lists whose length counts: an id named twice is a defect."""
    given = tuple(ids)
    ordered = sorted_ids(given)
    if len(ordered) != len(given):
        raise malformed("an id is named twice")
    return ordered


def sorted_pairs(pairs: Iterable[tuple[int, bytes]]) -> Pairs:
    """Pairs of id and blob by id, each id once."""
    ordered = tuple(sorted(((index(number), blob) for number, blob in pairs), key=_by_id))
    for before, after in pairwise(ordered):
        if before[0] == after[0]:
            raise malformed("an id is named twice")
    if ordered:
        _check_range(ordered[0][0], ordered[-1][0])
    if not all(type(blob) is bytes for _, blob in ordered):
        raise malformed("a blob is not bytes")
    return ordered


def sorted_claims(claims: Iterable[tuple[bytes, int]]) -> Claims:
    """Pairs of tag and label by tag, each tag once."""
    ordered = tuple(sorted(((bytes(tag), index(label)) for tag, label in claims)))
    for before, after in pairwise(ordered):
        if before[0] == after[0]:
            raise malformed("a tag is named twice")
    for _, label in ordered:
        _check_range(label, label)
    return ordered


def sorted_frontier(ends: Iterable[tuple[bytes, int]]) -> tuple[tuple[bytes, int], ...]:
    """Pairs of writer and delta number, ascending."""
    ordered = tuple(sorted((bytes(writer), index(n)) for writer, n in ends))
    if any(len(writer) != 16 or n < 1 for writer, n in ordered):
        raise malformed("a writer is not 16 bytes, or its deltas are not numbered from 1")
    return ordered
