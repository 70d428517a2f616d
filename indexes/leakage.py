r"""What each index method reveals to the store, in a small fixed vocabulary.

The vocabulary follows the searchable-encryption literature (Cash et al., CCS 2015, leakage levels;
Blackstone et al., NDSS 2020, access and volume). The shell's `\d` and the documentation both print from
here, so that they cannot differ. What rows and deltas reveal beside any index is part of `TABLE`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Leak(StrEnum):
    """One thing a store can learn; the value is its name in listings."""

    ROW_COUNT = "row count"
    RECORD_SIZE = "record size class"
    PAGE_COUNT = "page count"
    CHANGE_SIZE = "change size class"
    CHANGE_TIME = "change time"
    UNIQUE_TAGS = "unique tags"
    SEARCH_PATTERN = "search pattern"
    VOLUME = "volume class"
    TERM_COUNT = "term count"
    RANGE_PAGES = "range pages"
    PAGE_ORDER = "page order over time"
    ACCESS_PATTERN = "access pattern"


MEANING: dict[Leak, str] = {
    Leak.ROW_COUNT: "how many rows a table holds, recent ones exactly, settled ones in blocks of 4,096",
    Leak.RECORD_SIZE: "the size of each row record or column block, rounded up to a size class",
    Leak.PAGE_COUNT: "how many sealed pages each index segment has, in classes of 1/16 octave",
    Leak.CHANGE_SIZE: "the size of a transaction's sealed index changes, rounded up to a size class",
    Leak.CHANGE_TIME: "when a transaction commits and when segments are merged",
    Leak.UNIQUE_TAGS: "deterministic tags of recent unique values, equal whenever the value is",
    Leak.SEARCH_PATTERN: "whether two queries ask for the same term, until the next merge",
    Leak.VOLUME: "the length class of each asked term's posting list",
    Leak.TERM_COUNT: "how many terms a query looks up",
    Leak.RANGE_PAGES: "which index pages a range covers, in aligned groups of 4",
    Leak.PAGE_ORDER: "the order of index pages, learnable from many overlapping ranges",
    Leak.ACCESS_PATTERN: "which row records a query fetches",
}
"""One phrase for each leak, to read after 'the store learns'."""


@dataclass(frozen=True, slots=True)
class Profile:
    """What a method reveals.

    Attributes:
        method: name as in `CREATE INDEX … USING`.
        hidden: True when a stolen store shows nothing about the indexed values.
        at_rest: seen by whoever has one copy of the store.
        on_update: seen in addition while changes are committed and merged.
        on_query: seen in addition while a query is answered.
    """

    method: str
    hidden: bool
    at_rest: tuple[Leak, ...]
    on_update: tuple[Leak, ...]
    on_query: tuple[Leak, ...]

    @property
    def visibility(self) -> str:
        """The word every listing uses: 'hidden' or 'server-visible'."""
        return "hidden" if self.hidden else "server-visible"

    def summary(self) -> str:
        """One line, such as 'hidden; at rest: page count; on update: …; on query: …'."""
        moments = (
            ("at rest", self.at_rest),
            ("on update", self.on_update),
            ("on query", self.on_query),
        )
        parts = [f"{moment}: {', '.join(leaks) or 'nothing'}" for moment, leaks in moments]
        return "; ".join([self.visibility, *parts])


_UPDATE = (Leak.CHANGE_SIZE, Leak.CHANGE_TIME)

TABLE = Profile(
    method="table",
    hidden=True,
    at_rest=(Leak.ROW_COUNT, Leak.RECORD_SIZE, Leak.UNIQUE_TAGS),
    on_update=_UPDATE,
    on_query=(Leak.ACCESS_PATTERN,),
)
"""What a table reveals without any declared index."""

PROFILES: dict[str, Profile] = {
    profile.method: profile
    for profile in (
        Profile(
            method="equality",
            hidden=True,
            at_rest=(Leak.PAGE_COUNT,),
            on_update=_UPDATE,
            on_query=(Leak.SEARCH_PATTERN, Leak.VOLUME, Leak.TERM_COUNT, Leak.ACCESS_PATTERN),
        ),
        Profile(
            method="range",
            hidden=True,
            at_rest=(Leak.PAGE_COUNT,),
            on_update=_UPDATE,
            on_query=(Leak.RANGE_PAGES, Leak.PAGE_ORDER, Leak.ACCESS_PATTERN),
        ),
        Profile(
            method="keyword",
            hidden=True,
            at_rest=(Leak.PAGE_COUNT,),
            on_update=_UPDATE,
            on_query=(Leak.SEARCH_PATTERN, Leak.VOLUME, Leak.TERM_COUNT, Leak.ACCESS_PATTERN),
        ),
    )
}
"""The profile of every index method, by name."""
