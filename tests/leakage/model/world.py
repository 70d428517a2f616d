"""The store's side in clear: what lies in each table, and what a client's memory of it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import cbor2

from . import spec
from .layouts import Analysis, Entry, Hashed, Liveness, Posting, Segment, Sorted
from .messages import Fresh
from .plain import Row, Table

Shape = tuple[int, bool, bool]
"""Columns of payload, whether there are positions, whether there are values."""
DICTIONARY = 1 << 24
"""Added to the id of a keyword index, that of its dictionary."""


@dataclass
class Entries:
    """Index entries of rows: postings by shape and word, and sorted entries by index."""

    hashed: dict[Shape, list[tuple[int, Posting]]] = field(default_factory=dict)
    ordered: dict[int, list[Entry]] = field(default_factory=dict)
    claims: list[tuple[int, bytes, int]] = field(default_factory=list)
    """Index, tag and ordinal of unique values."""
    unique: dict[int, list[int]] = field(default_factory=dict)
    """Words of unique values by index."""
    totals: dict[int, list[int]] = field(default_factory=dict)
    """Documents and tokens of keyword indexes."""
    visible: dict[int, list[tuple[int, bytes | Fresh]]] = field(default_factory=dict)
    """Ordinals and what the store is shown of them, by server-visible index."""

    def take(self, more: Entries) -> None:
        """Add further entries."""
        for shape, rows in more.hashed.items():
            self.hashed.setdefault(shape, []).extend(rows)
        for index, keys in more.ordered.items():
            self.ordered.setdefault(index, []).extend(keys)
        self.claims += more.claims
        for index, words in more.unique.items():
            self.unique.setdefault(index, []).extend(words)
        for index, pairs in more.visible.items():
            self.visible.setdefault(index, []).extend(pairs)
        self.count(more.totals, 1)

    def count(self, totals: Mapping[int, Sequence[int]], sign: int) -> None:
        """Add to the totals, or take off."""
        for index, (documents, tokens) in totals.items():
            known = self.totals.setdefault(index, [0, 0])
            known[0] += sign * documents
            known[1] += sign * tokens

    def of(self, ordinals: Iterable[int]) -> Entries:
        """The entries of some rows, with all totals."""
        kept = set(ordinals)
        found = Entries(totals=self.totals)
        for shape, rows in self.hashed.items():
            chosen = [one for one in rows if one[1][0] in kept]
            if chosen:
                found.hashed[shape] = chosen
        for index, keys in self.ordered.items():
            # Entries of a dictionary belong to no row.
            loose = bool(index & DICTIONARY) and bool(kept)
            chosen_keys = [one for one in keys if loose or one.ordinal in kept]
            if chosen_keys:
                found.ordered[index] = chosen_keys
        found.claims = [one for one in self.claims if one[2] in kept]
        for index, pairs in self.visible.items():
            chosen_pairs = [one for one in pairs if one[0] in kept]
            if chosen_pairs:
                found.visible[index] = chosen_pairs
        return found

    def lists(self) -> dict[int, list[Posting]]:
        """Every word with its postings, ascending by ordinal."""
        found: dict[int, list[Posting]] = {}
        for rows in self.hashed.values():
            for word, posting in rows:
                found.setdefault(word, []).append(posting)
        return {word: sorted(one) for word, one in found.items()}


@dataclass
class Delta:
    """One transaction's changes that no merge has folded."""

    writer: Fresh
    n: int
    size: int
    added: dict[int, Row]
    removed: list[int]
    entries: Entries


@dataclass
class Pack:
    """Settled rows of one block, and the sizes of its columns."""

    number: int
    ordinals: list[int]
    blobs: dict[int, int]


@dataclass
class TableState:
    """One table as the store holds it."""

    schema: Table
    epoch: int = 0
    manifest: int = 0
    links: list[Fresh] = field(default_factory=list)
    deltas: dict[Fresh, list[Delta]] = field(default_factory=dict)
    frontier: dict[Fresh, tuple[int, int]] = field(default_factory=dict)
    rows: dict[int, Row] = field(default_factory=dict)
    """Every row ever written, by ordinal."""
    recent: set[int] = field(default_factory=set)
    settled: set[int] = field(default_factory=set)
    removed: set[int] = field(default_factory=set)
    """Settled rows that pending deltas have removed; they stay in ``settled`` until a fold."""
    given: set[int] = field(default_factory=set)
    homes: dict[int, tuple[int, set[int]]] = field(default_factory=dict)
    """Block to its pack and the rows that live in it."""
    packs: dict[int, Pack] = field(default_factory=dict)
    segments: list[Segment] = field(default_factory=list)
    liveness: list[Liveness] = field(default_factory=list)
    analysis: Analysis | None = None
    totals: dict[int, list[int]] = field(default_factory=dict)
    next_ordinal: int = 0
    next_number: int = 1
    used_ordinals: int = 0
    used_numbers: int = 0
    folded: int = 0

    @property
    def pending(self) -> Entries:
        """Entries of all pending deltas."""
        found = Entries()
        for chain in self.deltas.values():
            for one in chain:
                found.take(one.entries)
        return found

    @property
    def live(self) -> set[int]:
        """Live rows."""
        return (self.settled - self.removed) | self.recent

    def hashed(self) -> list[Hashed]:
        """Hashed segments, oldest first."""
        return [one for one in self.segments if isinstance(one, Hashed)]

    def ordered(self, index: int) -> list[Sorted]:
        """Sorted segments of one index, oldest first."""
        return [one for one in self.segments if isinstance(one, Sorted) and one.index == index]

    def end(self, writer: Fresh) -> int:
        """Number of a writer's last delta."""
        if self.deltas.get(writer):
            return self.deltas[writer][-1].n
        return self.frontier.get(writer, (0, 0))[0]

    def top(self) -> int:
        """Every ordinal used is below."""
        return max([self.used_ordinals, *(one + 1 for one in self.given)])


def delta_bytes(
    state: TableState,
    catalog: int,
    n: int,
    cited: int,
    added: Sequence[int],
    removed: Sequence[int],
    entries: Entries,
) -> int:
    """Bytes of a sealed delta."""
    length = 0

    def column(values: Sequence[int]) -> list[int]:
        nonlocal length
        named, size = spec.packed(values)
        length += size
        return named

    def runs(ordinals: Sequence[int]) -> list[list[int]]:
        if not ordinals:
            return []
        firsts = [one for one in ordinals if one - 1 not in set(ordinals)]
        lasts = [one for one in ordinals if one + 1 not in set(ordinals)]
        lengths = [last - first + 1 for first, last in zip(firsts, lasts, strict=True)]
        return [column(firsts), column(lengths)]

    def values(found: Sequence[bytes | None]) -> list[list[int]]:
        held = [one or b"" for one in found]
        return [column(list(map(len, held))), column(list(b"".join(held)))]

    named_added, named_removed = runs(added), runs(removed)
    hashed = []
    for (width, positions, valued), rows in entries.hashed.items():
        batch = [column([word for word, _ in rows]), column([one[0] for _, one in rows])]
        batch.append([column([one[1][place] for _, one in rows]) for place in range(width)])  # type: ignore[arg-type]
        if positions:
            batch.append(column([len(one[2]) for _, one in rows]))
            batch.append(column([number for _, one in rows for number in one[2]]))
        elif valued:
            batch += [None, None]  # type: ignore[list-item]
        if valued:
            batch += values([one.value for _, one in rows])
        hashed.append(batch)
    ordered = {
        index: [
            column([one.key[0] for one in keys]),
            column([one.key[1] for one in keys]),
            column([one.ordinal for one in keys]),
            *(values([one.value for one in keys]) if keys[0].value is not None else ()),
        ]
        for index, keys in entries.ordered.items()
    }
    head = [
        1,
        bytes(16),
        catalog,
        bytes(32),
        bytes(16),
        bytes(32),
        state.epoch,
        bytes(32),
        {one.to_bytes(16, "big"): [1, bytes(32)] for one in range(cited)},
        [],
        named_added,
        named_removed,
        hashed,
        ordered,
        {index: [documents, [tokens]] for index, (documents, tokens) in entries.totals.items()},
    ]
    return spec.delta(4 + len(cbor2.dumps(head)) + length)


def manifest_bytes(state: TableState, catalog: int) -> int:
    """Bytes of the sealed manifest of a state."""
    body = {
        "previous": bytes(32),
        "catalog": [catalog, bytes(32)],
        "rows": len(state.settled),
        "frontier": {
            place.to_bytes(16, "big"): [n, bytes(32), 20_000, epoch]
            for place, (n, epoch) in enumerate(state.frontier.values())
        },
        "segments": [one.described() for one in state.segments],
        "liveness": [one.described() for one in state.liveness],
        "analysis": None if state.analysis is None else state.analysis.described(),
        "forgotten": 0,
        "siblings": [],
        "used": [state.used_ordinals, state.used_numbers, state.folded],
        "statistics": {
            index: [documents, [tokens]] for index, (documents, tokens) in state.totals.items()
        },
    }
    return spec.record(len(cbor2.dumps(body)))
