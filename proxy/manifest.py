"""The manifest: what is live in one table, at one epoch.

A merge or a bulk load replaces it by compare-and-swap. It names every live segment with its salt, so
that an index page of another segment, or of an abandoned build, cannot stand in; and it is chained:
``chain(e) = SHA-256(chain(e - 1) ‖ SHA-256(manifest blob e))``, so that a client with a pin can tell
a successor of what it saw from a fork.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import cbor2

from indexes.errors import IntegrityFailure
from indexes.multimap.segment import SegmentInfo
from indexes.seal import pad, unpad

from .keyspace import RecordCipher, TableKeys, sha256

DAY_SECONDS = 86_400
IDLE_DAYS = 1
"""Merges drop the ends of writers that were last folded more than this many days before."""


@dataclass(frozen=True, slots=True)
class FoldedWriter:
    """How far one writer's deltas are folded into the segments."""

    number: int
    hash: bytes
    day: int
    """Day number (days since 1970) of the last fold; idle writers are dropped after a day."""
    epoch: int
    """Epoch of the last fold."""


@dataclass(frozen=True, slots=True)
class IndexStatistics:
    """What ranking needs of one keyword index, over settled live rows.

    Attributes:
        documents: rows that have any text.
        tokens: tokens of each field, over all of them.
    """

    documents: int = 0
    tokens: tuple[int, ...] = ()


Totals = dict[int, tuple[int, list[int]]]
"""Signed changes of statistics: index id to (documents, tokens of each field)."""


def add_totals(totals: Totals, index_id: int, documents: int, tokens: Sequence[int]) -> None:
    """Add the changes of one index to ``totals``."""
    before, sums = totals.get(index_id, (0, []))
    size = max(len(sums), len(tokens))
    padded = [*sums, *[0] * (size - len(sums))]
    for place, more in enumerate(tokens):
        padded[place] += more
    totals[index_id] = (before + documents, padded)


@dataclass(frozen=True, slots=True)
class Manifest:
    """One epoch of one table. Epoch 0 is the empty table and has no blob."""

    epoch: int
    previous: bytes
    """Chain value of the epoch before, 32 bytes."""
    catalog_version: int = 0
    catalog_hash: bytes = bytes(32)
    rows: int = 0
    """Settled live rows."""
    frontier: dict[bytes, FoldedWriter] = field(default_factory=dict)
    segments: tuple[SegmentInfo, ...] = ()
    """Hashed and sorted segments, oldest first."""
    liveness: tuple[SegmentInfo, ...] = ()
    """Liveness segments, oldest first; a later one wins block by block."""
    analysis: SegmentInfo | None = None
    """How the values of each column are distributed, if the table was analysed."""
    statistics: dict[int, IndexStatistics] = field(default_factory=dict)
    forgotten: int = 0
    """Greatest epoch of the last fold of any writer that was dropped from the frontier. A delta of an
    unknown writer that cites an older epoch is a replay."""
    siblings: tuple[tuple[int, bytes, int, int], ...] = ()
    """What the transaction that made this epoch wrote to other tables; see ``DeltaBody.siblings``."""
    used_ordinals: int = 0
    """Ordinals of this epoch's rows, and of all rows folded before, are below."""
    used_numbers: int = 0
    """Numbers of all segments, packs and stages up to this epoch are below."""
    folded: int = 0
    """Last epoch that folded every delta of the one before. A pending delta cites that one or a later."""

    @property
    def every_segment(self) -> tuple[SegmentInfo, ...]:
        """Every segment whose pages must exist."""
        analysis = () if self.analysis is None else (self.analysis,)
        return (*self.segments, *self.liveness, *analysis)


def seal_manifest(sealer: RecordCipher, keys: TableKeys, manifest: Manifest) -> bytes:
    """The sealed, padded manifest."""
    body = {
        "previous": manifest.previous,
        "catalog": [manifest.catalog_version, manifest.catalog_hash],
        "rows": manifest.rows,
        "frontier": {
            writer: [end.number, end.hash, end.day, end.epoch]
            for writer, end in manifest.frontier.items()
        },
        "segments": [list(info.to_tuple()) for info in manifest.segments],
        "liveness": [list(info.to_tuple()) for info in manifest.liveness],
        "analysis": None if manifest.analysis is None else list(manifest.analysis.to_tuple()),
        "forgotten": manifest.forgotten,
        "siblings": [list(one) for one in manifest.siblings],
        "used": [manifest.used_ordinals, manifest.used_numbers, manifest.folded],
        "statistics": {
            index: [stats.documents, list(stats.tokens)]
            for index, stats in manifest.statistics.items()
        },
    }
    return sealer.seal(pad(cbor2.dumps(body)), keys.manifest_aad(manifest.epoch))


def open_manifest(sealer: RecordCipher, keys: TableKeys, epoch: int, blob: bytes) -> Manifest:
    """The manifest of ``epoch``; IntegrityFailure when the blob is not that epoch's."""
    plain = unpad(sealer.open(blob, keys.manifest_aad(epoch)))
    try:
        body = cbor2.loads(plain)
        used_ordinals, used_numbers, folded = body.get("used", (0, 0, 0))
        analysis = body.get("analysis")
        manifest = Manifest(
            epoch=epoch,
            previous=body["previous"],
            catalog_version=body["catalog"][0],
            catalog_hash=body["catalog"][1],
            rows=body["rows"],
            frontier={
                writer: FoldedWriter(number, last, day, folded)
                for writer, (number, last, day, folded) in body["frontier"].items()
            },
            segments=tuple(SegmentInfo.from_tuple(tuple(one)) for one in body["segments"]),
            liveness=tuple(SegmentInfo.from_tuple(tuple(one)) for one in body["liveness"]),
            analysis=None if analysis is None else SegmentInfo.from_tuple(tuple(analysis)),
            statistics={
                index: IndexStatistics(documents, tuple(tokens))
                for index, (documents, tokens) in body["statistics"].items()
            },
            forgotten=body["forgotten"],
            siblings=tuple(
                (table, writer, number, at) for table, writer, number, at in body["siblings"]
            ),
            used_ordinals=used_ordinals,
            used_numbers=used_numbers,
            folded=folded,
        )
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as problem:
        raise IntegrityFailure from problem
    require_distinct(manifest.every_segment)
    return manifest


def require_distinct(infos: Sequence[SegmentInfo]) -> None:
    """IntegrityFailure when two segments have one number: retiring one would drop the other."""
    if len({info.segment for info in infos}) != len(infos):
        raise IntegrityFailure


def today() -> int:
    """Days since 1970."""
    return int(time.time()) // DAY_SECONDS


def next_chain(chain: bytes, link: bytes) -> bytes:
    """The chain value after a manifest whose blob hashes to ``link``."""
    return sha256(chain, link)
