"""What a client remembers of a database it has verified, and how two memories become one.

Each component is merged by itself and only moves forward: the catalog, each table's manifest, each
writer's deltas. Equal positions with different hashes are a fork of the store. ``merge`` is a least
upper bound, so the order in which processes save what they have seen makes no difference.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import cbor2

from encdb.errors import TamperError, err

Position = tuple[int, bytes]
"""How far something had come, and the 32-byte hash of what it was there."""


@dataclass(frozen=True, slots=True)
class TablePin:
    """What was verified of one table.

    Attributes:
        epoch: of the manifest.
        chain: 32 bytes, the hash of the chain of manifests up to ``epoch``.
        frontier: writer (16 bytes) -> (number, hash of its delta of that number).
        folded: writer -> the number up to which the verified manifest of ``epoch`` contains its deltas.
            Such entries leave the pinned frontier, because the chain hash vouches for them. This is
            an instruction to the merge and is never stored.
        day: days since 1970 when this was last verified. Manifests forget writers that were folded
            and idle for a day, so a pinned writer may be absent from a later manifest only if that
            long has passed since; earlier, its deltas were withheld from whoever merged.
    """

    epoch: int
    chain: bytes
    frontier: Mapping[bytes, Position] = field(default_factory=dict)
    folded: Mapping[bytes, int] = field(default_factory=dict, compare=False)
    day: int = 0


@dataclass(frozen=True, slots=True)
class PinState:
    """What was verified of a database.

    Attributes:
        incarnation: 16 bytes; a restored database has a new one.
        catalog_version: the newest catalog seen.
        catalog_hash: 32 bytes, its hash.
        tables: table id -> what was verified of it.
        dropped: ids of tables seen to be dropped; they never come back.
    """

    incarnation: bytes
    catalog_version: int
    catalog_hash: bytes
    tables: Mapping[int, TablePin] = field(default_factory=dict)
    dropped: frozenset[int] = frozenset()


def merge(old: PinState, new: PinState) -> PinState:
    """The newer of each component; ``old`` itself if ``new`` adds nothing.

    Raises:
        TamperError: the two are of different incarnations, or are branches of a fork.
    """
    if old.incarnation != new.incarnation:
        raise err(
            TamperError,
            "E_INCARNATION",
            "The store serves another incarnation of the database than the one seen before",
        )
    version, digest = _newer(
        (old.catalog_version, old.catalog_hash), (new.catalog_version, new.catalog_hash), "catalog"
    )
    dropped = old.dropped if new.dropped <= old.dropped else old.dropped | new.dropped
    tables: dict[int, TablePin] = {}
    for table in old.tables.keys() | new.tables.keys():
        if table in dropped:
            continue
        before, after = old.tables.get(table), new.tables.get(table)
        if after is None:
            assert before is not None
            tables[table] = before
        else:
            tables[table] = _merge_table(before, after)
    unchanged = (
        version == old.catalog_version
        and dropped is old.dropped
        and len(tables) == len(old.tables)
        and all(old.tables.get(table) is pinned for table, pinned in tables.items())
    )
    return old if unchanged else PinState(old.incarnation, version, digest, tables, dropped)


def _merge_table(old: TablePin | None, new: TablePin) -> TablePin:
    """The newer of each component of one table; ``old`` itself if ``new`` adds nothing."""
    if old is None:
        return TablePin(new.epoch, new.chain, without(new.frontier, new.folded), day=new.day)
    epoch, chain = _newer((old.epoch, old.chain), (new.epoch, new.chain), "manifest")
    frontier = dict(old.frontier)
    for writer, position in new.frontier.items():
        known = frontier.get(writer)
        frontier[writer] = position if known is None else _newer(known, position, "delta")
    # A client that is behind may not forget what one that is ahead has pinned.
    if new.epoch >= old.epoch:
        frontier = without(frontier, new.folded)
    day = max(old.day, new.day)
    if (epoch, day) == (old.epoch, old.day) and frontier == old.frontier:
        return old
    return TablePin(epoch, chain, frontier, day=day)


def storable(state: PinState) -> PinState:
    """The state as it would be read back: no folded writers, no tables that were dropped."""
    return PinState(
        state.incarnation,
        state.catalog_version,
        state.catalog_hash,
        {
            table: TablePin(
                pinned.epoch,
                pinned.chain,
                without(pinned.frontier, pinned.folded),
                day=pinned.day,
            )
            for table, pinned in state.tables.items()
            if table not in state.dropped
        },
        state.dropped,
    )


def encode(state: PinState) -> bytes:
    """The state as CBOR."""
    body = [
        state.incarnation,
        state.catalog_version,
        state.catalog_hash,
        {
            table: [
                pinned.epoch,
                pinned.chain,
                {writer: list(position) for writer, position in pinned.frontier.items()},
                pinned.day,
            ]
            for table, pinned in state.tables.items()
        },
        sorted(state.dropped),
    ]
    return cbor2.dumps(body)


def decode(body: bytes) -> PinState:
    """The state in an authenticated body, which therefore has the form that :func:`encode` gave it."""
    incarnation, version, digest, tables, dropped = cbor2.loads(body)
    return PinState(
        incarnation,
        version,
        digest,
        {
            table: TablePin(
                epoch, chain, {writer: (n, link) for writer, (n, link) in ends.items()}, day=day
            )
            for table, (epoch, chain, ends, day) in tables.items()
        },
        frozenset(dropped),
    )


def without(
    frontier: Mapping[bytes, Position], folded: Mapping[bytes, int]
) -> dict[bytes, Position]:
    """The frontier without the writers whose pinned deltas the manifest contains."""
    return {
        writer: position
        for writer, position in frontier.items()
        if position[0] > folded.get(writer, -1)
    }


def _newer(old: Position, new: Position, what: str) -> Position:
    """The later of two positions of one sequence; a fork if they are one position but two things."""
    if old[0] == new[0]:
        if old[1] != new[1]:
            raise err(
                TamperError,
                "E_FORK",
                f"The store serves another {what} number {new[0]} than the one seen before",
            )
        return old
    return new if new[0] > old[0] else old
