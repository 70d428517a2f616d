"""Copying a whole store into another one, still sealed, in a way that can be killed and taken up again.

Blobs are immutable and their ids are never used again for others, so a copy works like rsync. In *rounds*,
the ids in the source and in the target are compared, missing blobs are copied, those that the source has
dropped are dropped, and everything is read back and compared; each step reads the source in a snapshot of its
own, so that writers and merges go on undisturbed. When a round finds hardly anything to do, one last snapshot of
the source settles the rest and gives the small relations, and :class:`encdb.wire.Finish` opens the target.

No key is needed, and nothing is learned that the source's store does not show anyway. What was tampered with
in the source is copied as it is and fails to verify in the target as it does there. Pages and packs of stages
are left out: a merge in flight publishes them in the source only, and nothing would ever drop them in the target.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from encdb import wire
from encdb.errors import EncdbError, TamperError, UsageError, err

from . import open_store, receive_store, sqlite_path
from .base import ReceivingStore, Store, StoreSnapshot
from .contents import read_contents, read_layout, well_formed, went_back, without_stages
from .transfer import (
    IDS_AT_ONCE,
    RELATIONS,
    Address,
    Blobs,
    Pace,
    differing,
    messages,
    published,
    read_blobs,
    read_listed,
)

Fetch: TypeAlias = Callable[[Address, Sequence[int]], Blobs]
Progress: TypeAlias = Callable[[str, int, int], None]
"""Called with what is being done, how many blobs are done, and how many there are."""

SETTLED_BLOBS: Final = 4_096
"""With at most so many blobs left to copy or compare, the last snapshot is taken."""
MAX_ROUNDS: Final = 16
"""A source that changes faster than it can be copied gets its last snapshot after so many rounds."""


@dataclass(frozen=True, slots=True)
class CopyReport:
    """What a copy did.

    Attributes:
        source: URL of the source, without credentials.
        target: URL of the target, without credentials.
        tables: number of tables.
        blobs: rows, columns of packs, pages and visible entries in the target, each read back and compared.
        bytes: their size in bytes.
        copied: those that this run wrote; an earlier one may have written others.
        mended: those that the comparison found different and wrote anew.
    """

    source: str
    target: str
    tables: int
    blobs: int
    bytes: int
    copied: int
    mended: int


@dataclass(frozen=True, slots=True)
class Listing:
    """What the source holds at one snapshot."""

    layout: wire.Layout
    ids: dict[Address, set[int]]


class _SchemaMoved(Exception):  # noqa: N818 - it ends a round, no error.
    """A table was made or dropped since the round began."""


def copy_store(source: str, target: str, progress: Progress | None = None) -> CopyReport:
    """Copy the store at ``source`` to ``target``, where nothing or an unfinished copy of it is.

    Whenever it fails or is killed, the target stays unfinished, and the same call goes on with it.

    Raises:
        UsageError: both name one store, or a URL names no kind of store that is served.
        StoreUnavailable: something else is at the target (``E_STORE_EXISTS``), or one of the stores
            cannot be used.
        TamperError: the source is damaged or contradicts itself, or the copy differs from it
            (``E_COPY_DIFFERS``).
    """
    if is_same_store(source, target):
        raise err(UsageError, "E_USAGE", "the source and the target are the same store")
    with closing(open_store(source)) as reading:
        with reading.snapshot() as snapshot:
            first = read_layout(snapshot)
        genesis = wire.Genesis(
            database=first.database,
            incarnation=first.incarnation,
            format=first.format,
            catalog=first.catalog,
            link=first.catalog_links[0],
        )
        with closing(receive_store(target, genesis)) as writing:
            copier = Copier(reading, writing, genesis, progress)
            finish = copier.run()
    _compare_finished(target, finish)
    return copier.report(len(finish.layout.tables))


def is_same_store(one: str, other: str) -> bool:
    """Whether two URLs surely name one store. The receiving side refuses what this overlooks."""
    if one == other:
        return True
    try:
        return Path(sqlite_path(one)).samefile(sqlite_path(other))
    except (UsageError, OSError):
        return False


class Copier:
    """One run of one copy."""

    def __init__(
        self,
        source: Store,
        target: ReceivingStore,
        genesis: wire.Genesis,
        progress: Progress | None = None,
    ) -> None:
        self._source = source
        self._target = target
        self._genesis = genesis
        self._progress = progress
        self._layout: wire.Layout | None = None
        self._there: dict[Address, set[int]] = {}
        self._compared: dict[Address, dict[int, int]] = {}
        """Size of every blob that was read back and is as in the source."""
        self._copied = 0
        self._mended = 0
        self._done = 0
        self._total = 0

    def report(self, tables: int) -> CopyReport:
        """What was done, after :meth:`run`."""
        sizes = [size for sizes in self._compared.values() for size in sizes.values()]
        return CopyReport(
            source=self._source.url,
            target=self._target.url,
            tables=tables,
            blobs=len(sizes),
            bytes=sum(sizes),
            copied=self._copied,
            mended=self._mended,
        )

    def run(self) -> wire.Finish:
        """Rounds, the last snapshot, and the end; returns what the target was finished with."""
        for _ in range(MAX_ROUNDS):
            with self._source.snapshot() as snapshot:
                listing = self._list(snapshot)
            if self._left(listing) <= SETTLED_BLOBS:
                break
            try:
                self._bring(listing, self._passing(listing.layout.catalog_version))
            except _SchemaMoved:
                continue
        with self._source.snapshot() as snapshot:
            listing = self._list(snapshot)
            self._bring(listing, lambda address, wanted: read_listed(snapshot, address, wanted))
            self._require_nothing_else(listing)
            finish = wire.Finish(
                without_stages(listing.layout), read_contents(snapshot, listing.layout)
            )
        self._target.finish(finish)
        return finish

    def _list(self, snapshot: StoreSnapshot) -> Listing:
        """Every id in the source that belongs into a copy."""
        layout = read_layout(snapshot)
        known = self._genesis
        if (layout.database, layout.incarnation) != (known.database, known.incarnation):
            raise err(TamperError, "E_TAMPERED", "the source became another database meanwhile")
        if self._layout is not None and went_back(self._layout, layout):
            # Numbers may have been given out again, and what was compared may be something else now.
            raise err(
                TamperError,
                "E_TAMPERED",
                "the source went back to an older state while it was copied",
                "If a backup was restored there, repeat the command",
            )
        self._layout = layout
        listed: dict[Address, set[int]] = {}
        for table in layout.tables:
            answers = snapshot.read_all([wire.ListIds(table.table, one) for one in RELATIONS])
            for relation, answer in zip(RELATIONS, answers, strict=True):
                found = wire.verified(answer, wire.Ids).ids
                listed[table.table, relation] = published(table, relation, found)
        # A number that a new table got after another one was dropped names other blobs.
        for address in self._compared.keys() - listed.keys():
            del self._compared[address]
        return Listing(layout, listed)

    def _left(self, listing: Listing) -> int:
        """Number of blobs that are to be copied or compared."""
        return sum(
            len(wanted - self._compared.get(address, {}).keys())
            for address, wanted in listing.ids.items()
        )

    def _passing(self, version: int) -> Fetch:
        """Read the source in short snapshots; what has vanished meanwhile is left out."""

        def fetch(address: Address, wanted: Sequence[int]) -> Blobs:
            try:
                with self._source.snapshot() as snapshot:
                    return read_blobs(snapshot, address, wanted)
            except EncdbError:
                # A table that was dropped has no relations to read from.
                with self._source.snapshot() as snapshot:
                    heads = snapshot.read(wire.ReadHeads(version, (), if_changed=False))
                if wire.verified(heads, wire.Heads).catalog_version != version:
                    raise _SchemaMoved from None
                raise

        return fetch

    def _bring(self, listing: Listing, fetch: Fetch) -> None:
        """Make the target hold what is listed, and compare what was not compared yet."""
        self._done, self._total = 0, self._left(listing)
        for address, wanted in listing.ids.items():
            self._drop(address, wanted)
            compared = self._compared.setdefault(address, {})
            self._copy(address, sorted(wanted - self._there[address]), fetch)
            self._compare(address, sorted(wanted - compared.keys()), fetch)

    def _drop(self, address: Address, wanted: set[int]) -> None:
        """Drop from the target what the source does not hold any longer."""
        if address not in self._there:
            # The message makes the relations, so that their ids can be listed.
            self._put(address, {}, ())
            with self._target.snapshot() as snapshot:
                answer = snapshot.read(wire.ListIds(*address))
            self._there[address] = set(wire.verified(answer, wire.Ids).ids)
        there, compared = self._there[address], self._compared.get(address, {})
        gone = sorted(there - wanted)
        for start in range(0, len(gone), IDS_AT_ONCE):
            self._put(address, {}, gone[start : start + IDS_AT_ONCE])
        there.intersection_update(wanted)
        for number in compared.keys() - wanted:
            del compared[number]

    def _copy(self, address: Address, missing: Sequence[int], fetch: Fetch) -> None:
        pace = Pace()
        for wanted in pace.parts(missing):
            found = fetch(address, wanted)
            pace.saw(found)
            for part in messages(found):
                self._put(address, part, ())
                self._there[address].update(part)
                self._copied += len(part)
            self._tell("copying", 0)

    def _compare(self, address: Address, unsure: Sequence[int], fetch: Fetch) -> None:
        pace = Pace()
        for wanted in pace.parts(unsure):
            original = fetch(address, wanted)
            pace.saw(original)
            if different := differing(original, self._read_back(address, original)):
                for part in messages(different):
                    self._put(address, part, ())
                self._mended += len(different)
                if differing(different, self._read_back(address, different)):
                    raise err(
                        TamperError,
                        "E_COPY_DIFFERS",
                        f"{len(different)} {address[1]} cannot be read back from the target as written",
                    )
            self._compared[address].update((number, len(one)) for number, one in original.items())
            self._tell("comparing", len(wanted))

    def _read_back(self, address: Address, wanted: Blobs) -> Blobs:
        with self._target.snapshot() as snapshot:
            return read_blobs(snapshot, address, sorted(wanted))

    def _require_nothing_else(self, listing: Listing) -> None:
        """The target holds exactly what is listed, whatever its earlier answers said."""
        for address, wanted in listing.ids.items():
            with self._target.snapshot() as snapshot:
                answer = snapshot.read(wire.ListIds(*address))
            if set(wire.verified(answer, wire.Ids).ids) != wanted:
                raise err(
                    TamperError,
                    "E_COPY_DIFFERS",
                    f"the target does not hold the {address[1]} that were written",
                )

    def _put(self, address: Address, added: Blobs, removed: Sequence[int]) -> None:
        table, relation = address
        self._target.put(
            well_formed(lambda: wire.Put(table, relation, tuple(added.items()), tuple(removed)))
        )

    def _tell(self, what: str, more: int) -> None:
        self._done += more
        if self._progress is not None:
            self._progress(what, self._done, self._total)


def _compare_finished(target: str, finish: wire.Finish) -> None:
    """What the complete store says of itself is what it was finished with."""
    with closing(open_store(target)) as opened, opened.snapshot() as snapshot:
        layout = without_stages(read_layout(snapshot))
        if layout != finish.layout or read_contents(snapshot, layout) != finish.contents:
            raise err(TamperError, "E_COPY_DIFFERS", "the small relations of the copy differ")
