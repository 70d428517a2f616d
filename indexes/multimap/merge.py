"""Merging sorted entries, and the policy of which segments to merge.

`joining` merges posting lists, `sorted_merge` runs of sorted entries that do not fit in memory.

Segments form tiers by their number of postings, as in a log-structured merge tree (O'Neil et al.,
Acta Informatica 33, 1996): tier 0 below 16 Ki postings, then a factor of 4 a tier. What merging in steps
makes is bounded, so that one step takes about a second and a segment fits in memory: a segment that has
more than half of a limit is full and left alone. `choose` keeps every kind and index at no more than 8
segments that are not full. A lookup among n postings thus meets 8 segments, one that is being added,
and at most 2n / 2²⁰ full ones before a `VACUUM`, 2n / 2²⁵ after it.

What it leaks: when a merge happens, and the page classes of what went in and came out. A store sees
that anyway. Which postings died is not visible beyond the sizes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

import numpy as np

from indexes.multimap.arrays import I64, Mask, offsets_of, take_ranges
from indexes.multimap.batches import Ragged, SortedEntries
from indexes.multimap.postings import Live
from indexes.multimap.segment import LIVENESS

FAN_OUT = 4
SMALLEST_TIER = 1 << 14
MOST_SEGMENTS = 8


class Sized(Protocol):
    """What the policy looks at: a SegmentInfo, or a stand-in for deltas about to become a segment."""

    @property
    def kind(self) -> int:
        """1 hashed, 2 sorted, 3 liveness."""

    @property
    def index(self) -> int:
        """The index id, 0 for segments shared by all indexes of a table."""

    @property
    def postings(self) -> int:
        """Postings, dead ones included."""

    @property
    def pages(self) -> int:
        """Pages, dummies included."""


_S = TypeVar("_S", bound=Sized)


@dataclass(frozen=True, slots=True)
class Limit:
    """How much may be merged into one segment.

    Attributes:
        postings: of all that is merged, dead ones included.
        pages: the same, in pages of 4,016 bytes; entries with long values or many positions take more.
    """

    postings: int
    pages: int

    def holds(self, infos: Iterable[Sized]) -> bool:
        """Whether these together are within the limit."""
        listed = list(infos)
        postings, pages = _postings(listed), sum(info.pages for info in listed)
        return postings <= self.postings and pages <= self.pages

    def full(self, info: Sized) -> bool:
        """Whether a segment has more than half of what is allowed: any two others can be merged."""
        return info.postings > self.postings // 2 or info.pages > self.pages // 2


STEP: Final = Limit(1 << 20, 1 << 13)
"""What one step after a commit merges: about a million postings, or 32 MiB."""

MOST: Final = Limit(1 << 25, 1 << 16)
"""What `VACUUM` merges into one segment: 33 million postings, or 256 MiB. Merging holds it in memory."""


def merge_entries(sources: Iterable[SortedEntries], live: Live | None = None) -> SortedEntries:
    """All entries of sorted sources whose ordinal is live, unsorted."""
    return SortedEntries.join(
        source if live is None else source.where(live(source.ordinals)) for source in sources
    )


def distinct(entries: SortedEntries) -> SortedEntries:
    """Each (key, value) once, ascending by key: the entries of a dictionary, whose ordinals are all 0."""
    if not len(entries):
        return entries
    sizes = (
        np.zeros(len(entries), dtype=np.int64) if entries.values is None else entries.values.sizes
    )
    ordered = entries.take(np.lexsort((sizes, entries.keys[:, 1], entries.keys[:, 0])))
    # A run has one key and one size; mostly all its values are equal to the one before.
    alike = (ordered.keys[1:] == ordered.keys[:-1]).all(axis=1)
    fresh = np.ones(len(ordered), dtype=np.bool_)
    if ordered.values is None:
        fresh[1:] = ~alike
        return ordered.where(fresh)
    sizes = ordered.values.sizes
    alike &= sizes[1:] == sizes[:-1]
    later = np.flatnonzero(alike) + 1
    equal = _equal_to_previous(ordered.values, later)
    fresh[later[equal]] = False
    runs = np.concatenate(([0], np.cumsum(~alike)))
    for run in np.unique(runs[later[~equal]]).tolist():
        members = np.arange(*np.searchsorted(runs, (run, run + 1)))
        seen: set[bytes] = set()
        for place, value in zip(members, ordered.values.take(members).tolist(), strict=True):
            fresh[place] = value not in seen
            seen.add(value)
    return ordered.where(fresh)


def _equal_to_previous(values: Ragged, places: I64) -> Mask:
    """Whether the values at `places` are those before them, which are as long: bool[m]."""
    sizes = values.sizes[places]
    starts = values.offsets[:-1]
    differ = take_ranges(values.flat, starts[places], sizes) != take_ranges(
        values.flat, starts[places - 1], sizes
    )
    before = np.concatenate(([0], np.cumsum(differ)))[offsets_of(sizes)]
    equal: Mask = before[1:] == before[:-1]
    return equal


def choose(infos: Sequence[_S], limit: Limit = STEP) -> list[list[_S]]:
    """Which segments to merge now: disjoint groups of at least two, each to become one segment.

    Full segments aside, for every (kind, index) on its own, after merging: tier 0 holds at most one
    segment, every further tier fewer than 4, and all tiers together at most 8, unless one more merge
    would pass the limit. Sizes of merged segments are taken as sums, so segments that shrink by dropping
    dead postings are met again by the next call. Liveness segments are left alone: the newest entry of a
    block replaces older ones, so they are not merged by size.
    """
    groups = []
    for family in families(infos):
        loose = [[info] for info in family if not limit.full(info)]
        groups += [group for group in _settle(loose, limit) if len(group) > 1]
    return groups


def families(infos: Iterable[_S]) -> list[list[_S]]:
    """Segments of one kind and index together, in the order of their first ones, liveness apart."""
    found: dict[tuple[int, int], list[_S]] = {}
    for info in infos:
        if info.kind != LIVENESS:
            found.setdefault((info.kind, info.index), []).append(info)
    return list(found.values())


def pack(family: Sequence[_S], limit: Limit = MOST) -> list[list[_S]]:
    """All segments of a kind and index in groups within a limit, each to become one segment.

    The largest first, each into the first group that has room: no two groups could be one, and a segment
    above the limit is alone. Groups and their segments stand in the order that they have in the family.
    """
    groups: list[list[int]] = []
    for place in sorted(range(len(family)), key=lambda one: family[one].pages, reverse=True):
        members = (one for one in groups if limit.holds(family[p] for p in (*one, place)))
        group = next(members, None)
        if group is None:
            groups.append([place])
        else:
            group.append(place)
    return [[family[place] for place in sorted(one)] for one in sorted(groups, key=min)]


def tier(count: int) -> int:
    """The tier of a segment with `count` postings."""
    result, most = 0, SMALLEST_TIER
    while count >= most:
        result, most = result + 1, most * FAN_OUT
    return result


def _settle(groups: list[list[_S]], limit: Limit) -> list[list[_S]]:
    """Joins groups until no tier, nor all of them together, are too many."""
    done: list[list[_S]] = []
    while True:
        groups.sort(key=_postings)
        tiers: dict[int, list[list[_S]]] = {}
        for group in groups:
            tiers.setdefault(tier(_postings(group)), []).append(group)
        crowded = [
            members
            for number, members in sorted(tiers.items())
            if len(members) >= (FAN_OUT if number else 2)
        ]
        if crowded:
            joined = crowded[0]
        elif len(groups) > MOST_SEGMENTS:
            joined = _smallest(groups)
        else:
            return [*done, *groups]
        joined = _within(joined, limit)
        rest = [group for group in groups if not any(group is member for member in joined)]
        made = [info for group in joined for info in group]
        large = not limit.holds([*made, *made])
        groups = rest if large else [*rest, made]
        done += [made] if large else []


def _within(groups: list[list[_S]], limit: Limit) -> list[list[_S]]:
    """As many of the groups, which ascend by size, as may be joined; two always may."""
    for count in range(len(groups), 2, -1):
        if limit.holds(info for group in groups[:count] for info in group):
            return groups[:count]
    return groups[:2]


def _smallest(groups: list[list[_S]]) -> list[list[_S]]:
    """The cheapest groups to join into one so that few enough remain; groups ascend by size.

    Taking along every next group that is no larger than what is joined already keeps sizes balanced:
    2,000 equal segments are written 5 times each, against 12 times without.
    """
    count = len(groups) - MOST_SEGMENTS + 1
    total = sum(_postings(group) for group in groups[:count])
    while count < len(groups) and _postings(groups[count]) <= total:
        total += _postings(groups[count])
        count += 1
    return groups[:count]


def _postings(group: Iterable[Sized]) -> int:
    return sum(info.postings for info in group)
