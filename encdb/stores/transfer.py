"""Blobs on their way from one store to another: how many at once, which ones, and what differs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, Literal, TypeAlias

from encdb import ids, wire
from encdb.errors import TamperError, err

from .base import TRANSACTION_BYTES, StoreSnapshot
from .contents import well_formed

Relation: TypeAlias = Literal["rows", "packs", "pages", "visible"]
Address: TypeAlias = tuple[int, Relation]
"""Table and relation."""
Blobs: TypeAlias = dict[int, bytes]

RELATIONS: Final[tuple[Relation, ...]] = ("rows", "packs", "pages", "visible")
IDS_AT_ONCE: Final = 2_048
_ENTRY_BYTES: Final = 64
"""About what a visible entry takes beside its value."""


class Pace:
    """How many ids to ask for at once, so that an answer holds about ``TRANSACTION_BYTES``.

    Sizes are not known before they are read, so the number starts low, grows fourfold at most, and
    follows the largest blob seen last.
    """

    def __init__(self) -> None:
        self._count = 64

    def parts(self, numbers: Sequence[int]) -> Iterator[Sequence[int]]:
        """The numbers in order, in parts of the size that fits at the moment."""
        start = 0
        while start < len(numbers):
            part = numbers[start : start + self._count]
            start += len(part)
            yield part

    def saw(self, found: Blobs) -> None:
        """Adjust to the sizes of an answer."""
        largest = max(map(len, found.values()), default=0)
        fitting = TRANSACTION_BYTES // max(largest, 1)
        self._count = max(1, min(self._count * 4, IDS_AT_ONCE, fitting))


def published(table: wire.TableLayout, relation: Relation, found: Sequence[int]) -> set[int]:
    """The listed ids that no unpublished stage holds."""
    listed = well_formed(lambda: ids.distinct_ids(found))
    if relation in {"rows", "visible"}:
        return set(listed)
    held, shift = {
        "pages": (set(table.staged_segments), ids.PAGE_SHIFT),
        "packs": (set(table.staged_packs), ids.PACK_SHIFT),
    }[relation]
    return {number for number in listed if number >> shift not in held}


def read_blobs(snapshot: StoreSnapshot, address: Address, wanted: Sequence[int]) -> Blobs:
    """Those of the blobs that are there."""
    table, relation = address
    request: wire.ReadRows | wire.ReadPacks | wire.ReadPages | wire.ReadEntries
    if relation == "rows":
        request = wire.ReadRows(table, tuple(wanted))
    elif relation == "packs":
        request = wire.ReadPacks(table, tuple(wanted))
    elif relation == "pages":
        request = wire.ReadPages(table, tuple(wanted))
    else:
        request = wire.ReadEntries(table, tuple(wanted))
    answer = wire.verified(snapshot.read(request), wire.Blobs)
    found = dict(zip(answer.ids, answer.blobs, strict=True))
    if len(found) != len(answer.ids) or not found.keys() <= set(wanted):
        raise err(TamperError, "E_TAMPERED", "the store answered what it was not asked for")
    return found


def read_listed(snapshot: StoreSnapshot, address: Address, wanted: Sequence[int]) -> Blobs:
    """The blobs, each of which the same snapshot has listed."""
    found = read_blobs(snapshot, address, wanted)
    if len(found) != len(wanted):
        raise err(TamperError, "E_TAMPERED", "the source lists what it does not serve")
    return found


def differing(original: Blobs, found: Blobs) -> Blobs:
    """What was found missing or different, as it should be."""
    return {number: blob for number, blob in original.items() if found.get(number) != blob}


def messages(blobs: Blobs) -> Iterator[Blobs]:
    """The blobs in parts of at most ``TRANSACTION_BYTES``; a larger one makes a part of its own."""
    part: Blobs = {}
    size = 0
    for number, blob in blobs.items():
        if part and size + len(blob) > TRANSACTION_BYTES:
            yield part
            part, size = {}, 0
        part[number] = blob
        size += len(blob)
    if part:
        yield part


def visible_parts(batches: Sequence[wire.VisibleBatch]) -> Iterator[wire.VisibleBatch]:
    """Entries of server-visible indexes in pieces that fit one transaction."""
    for batch in batches:
        start = size = 0
        for place, (_, value) in enumerate(batch.entries):
            size += len(value) + _ENTRY_BYTES
            if size >= TRANSACTION_BYTES:
                yield wire.VisibleBatch(batch.index, batch.kind, batch.entries[start : place + 1])
                start, size = place + 1, 0
        if start < len(batch.entries):
            yield wire.VisibleBatch(batch.index, batch.kind, batch.entries[start:])
