r"""What each index method reveals to the store, as data in a small fixed vocabulary.

The vocabulary follows the searchable-encryption literature: leakage levels (Cash et al., CCS 2015), access
pattern and volume (Blackstone et al., NDSS 2020), order and first difference (Chenette et al., FSE 2016;
Lewi, Wu, CCS 2016). The shell's `\d`, the notice of CREATE INDEX, EXPLAIN (LEAKAGE) and the documentation
all read it here, so that they cannot differ, and the trace tests hold every message of a run against it.
What rows, deltas and the schema reveal beside any index is :data:`TABLE`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final


class Leak(StrEnum):
    """One thing a store can learn; the value is its name in listings."""

    SCHEMA = "schema size"
    ROW_COUNT = "row count"
    RECORD_SIZE = "record size class"
    PAGE_COUNT = "page count"
    CHANGE_SIZE = "change size class"
    CHANGE_TIME = "change time"
    WRITER = "writer"
    REMOVALS = "removed rows"
    UNIQUE_TAGS = "unique tags"
    TABLE_USE = "table use"
    ACCESS_PATTERN = "access pattern"
    SEARCH_PATTERN = "search pattern"
    VOLUME = "volume class"
    TERM_COUNT = "term count"
    RANGE_PAGES = "range pages"
    PAGE_ORDER = "page order over time"
    NULLS = "which rows have a value"
    EQUALITY = "equality"
    JOINS = "equality across columns"
    RECURRENCE = "recurrence"
    ORDER = "order"
    DIFFERENCE = "first difference"
    RESULT = "result"


MEANING: Final[dict[Leak, str]] = {
    Leak.SCHEMA: "how many tables and versions of the schema there are, and the schema's size class",
    Leak.ROW_COUNT: "how many rows a table holds, recent ones exactly, settled ones in blocks of 4,096, "
    "and how many row numbers were leased",
    Leak.RECORD_SIZE: "the size of each recent row, and of each column of a block of settled ones, rounded "
    "up to a size class; texts show their length together",
    Leak.PAGE_COUNT: "how many sealed pages each segment has, in classes of 1/16 octave: about how many "
    "entries",
    Leak.CHANGE_SIZE: "the size of a transaction's sealed list of changes, rounded up to a size class: about "
    "how many entries, and how far their values lie apart",
    Leak.CHANGE_TIME: "when a transaction commits, when segments are merged, and what a merge replaces",
    Leak.WRITER: "which transactions come from one connection",
    Leak.REMOVALS: "which rows an UPDATE or DELETE removes, and so which ones take their place",
    Leak.UNIQUE_TAGS: "deterministic tags of recent unique values, equal whenever the value is",
    Leak.TABLE_USE: "that a statement concerns a table, which of its segments it uses, and when",
    Leak.ACCESS_PATTERN: "which recent rows, or which columns of which blocks of 4,096 settled ones, are "
    "fetched",
    Leak.SEARCH_PATTERN: "whether two lookups may be for the same term, until the next merge",
    Leak.VOLUME: "the length class of each list that is read: inline, slot, or a chain of pages",
    Leak.TERM_COUNT: "how many terms are looked up",
    Leak.RANGE_PAGES: "which index pages a range covers, in aligned groups of 4",
    Leak.PAGE_ORDER: "the order of index pages, learnable from many overlapping ranges",
    Leak.NULLS: "which rows have a value, and which hold NULL",
    Leak.EQUALITY: "which rows hold the same value, and so how often each value occurs",
    Leak.JOINS: "which rows of all columns and tables of the join group hold the same value",
    Leak.RECURRENCE: "that a value has come back after its rows were deleted",
    Leak.ORDER: "the order of values",
    Leak.DIFFERENCE: "where values begin to differ, which bounds how far they lie apart",
    Leak.RESULT: "exactly which rows, groups or pairs an answer of the store's own consists of",
}
"""One phrase for each leak, to read after 'the store learns'."""

SHORT: Final[dict[Leak, str]] = {
    Leak.SEARCH_PATTERN: "pattern",
    Leak.VOLUME: "volume",
    Leak.ACCESS_PATTERN: "rows fetched",
    Leak.RANGE_PAGES: "range",
    Leak.PAGE_ORDER: "order over time",
    Leak.EQUALITY: "equality",
    Leak.JOINS: "joins",
    Leak.ORDER: "order",
    Leak.DIFFERENCE: "first difference",
}
"""Words of :func:`short` for the leaks of a headline."""


@dataclass(frozen=True, slots=True)
class Profile:
    """What a method reveals.

    Attributes:
        method: name as in `CREATE INDEX … USING`.
        hidden: True when a stolen store shows nothing about the indexed values.
        at_rest: seen by whoever has one copy of the store.
        on_update: seen in addition while changes are committed and merged.
        on_query: seen in addition while a query is answered.
        headline: the leaks that decide between methods, all of one moment, the gravest first.
        details: for some leaks, what exactly this method reveals, in place of :data:`MEANING`.
        verified: whether the proxy notices an answer from which something is left out.
    """

    method: str
    hidden: bool
    at_rest: tuple[Leak, ...]
    on_update: tuple[Leak, ...]
    on_query: tuple[Leak, ...]
    headline: tuple[Leak, ...]
    details: Mapping[Leak, str]
    verified: bool = True

    @property
    def visibility(self) -> str:
        """The word every listing uses: 'hidden' or 'server-visible'."""
        return "hidden" if self.hidden else "server-visible"

    @property
    def moments(self) -> tuple[tuple[str, tuple[Leak, ...]], ...]:
        """The three moments with what they reveal."""
        return (
            ("at rest", self.at_rest),
            ("on update", self.on_update),
            ("on query", self.on_query),
        )

    def meaning(self, leak: Leak) -> str:
        """What this method reveals by one leak, to read after 'the store learns'."""
        return self.details.get(leak, MEANING[leak])

    def summary(self) -> str:
        """One line, such as 'hidden; at rest: page count; on update: …; on query: …'."""
        parts = [f"{moment}: {', '.join(leaks) or 'nothing'}" for moment, leaks in self.moments]
        return "; ".join([self.visibility, *parts])


TABLE: Final = Profile(
    method="table",
    hidden=True,
    at_rest=(Leak.SCHEMA, Leak.ROW_COUNT, Leak.RECORD_SIZE, Leak.PAGE_COUNT, Leak.CHANGE_SIZE),
    on_update=(
        Leak.SCHEMA,
        Leak.ROW_COUNT,
        Leak.RECORD_SIZE,
        Leak.PAGE_COUNT,
        Leak.CHANGE_SIZE,
        Leak.CHANGE_TIME,
        Leak.WRITER,
        Leak.REMOVALS,
        Leak.TABLE_USE,
        Leak.ACCESS_PATTERN,
    ),
    on_query=(Leak.TABLE_USE, Leak.ACCESS_PATTERN),
    headline=(Leak.ACCESS_PATTERN,),
    details={
        Leak.PAGE_COUNT: "how many pages say which settled rows are live, one for seven blocks, and how many "
        "columns have statistics",
    },
)
"""What a table reveals without any declared index."""

_LOOKUP = (Leak.SEARCH_PATTERN, Leak.VOLUME, Leak.TERM_COUNT, Leak.ACCESS_PATTERN)
_HIDDEN_AT_REST = (Leak.PAGE_COUNT,)
_HIDDEN_ON_UPDATE = (Leak.PAGE_COUNT, Leak.CHANGE_SIZE)

_EQUALITY = Profile(
    method="equality",
    hidden=True,
    at_rest=_HIDDEN_AT_REST,
    on_update=_HIDDEN_ON_UPDATE,
    on_query=_LOOKUP,
    headline=(Leak.SEARCH_PATTERN, Leak.VOLUME),
    details={
        Leak.PAGE_COUNT: "how many sealed pages the segments have which all equality, keyword and substring "
        "indexes of a table share, in classes of 1/16 octave: about how many entries together",
    },
)

_RANGE = Profile(
    method="range",
    hidden=True,
    at_rest=_HIDDEN_AT_REST,
    on_update=_HIDDEN_ON_UPDATE,
    on_query=(
        Leak.RANGE_PAGES,
        Leak.PAGE_ORDER,
        Leak.SEARCH_PATTERN,
        Leak.VOLUME,
        Leak.ACCESS_PATTERN,
    ),
    headline=(Leak.RANGE_PAGES, Leak.PAGE_ORDER),
    details={
        Leak.PAGE_COUNT: "how many sealed pages the index's segments have, in classes of 1/16 octave: about how "
        "many rows have a value, and how closely the values lie",
        Leak.PAGE_ORDER: "the order of index pages, learnable from many overlapping ranges, and with the rows "
        "fetched the coarse order of rows",
        Leak.SEARCH_PATTERN: "that the rows with NULL are asked for, where an order puts them first",
        Leak.VOLUME: "the length class of the list of rows with NULL, where an order puts them first",
    },
)

_KEYWORD = Profile(
    method="keyword",
    hidden=True,
    at_rest=_HIDDEN_AT_REST,
    on_update=_HIDDEN_ON_UPDATE,
    on_query=_LOOKUP,
    headline=(Leak.SEARCH_PATTERN, Leak.VOLUME),
    details={
        Leak.PAGE_COUNT: "how many sealed pages the segments have which all equality, keyword and substring "
        "indexes of a table share, in classes of 1/16 octave: about how many words all documents have together",
        Leak.CHANGE_SIZE: "the size of a transaction's sealed list of changes, rounded up to a size class: about "
        "how many different words its documents have",
        Leak.SEARCH_PATTERN: "whether two searches may share a word, until the next merge",
        Leak.TERM_COUNT: "how many words a search looks up",
        Leak.ACCESS_PATTERN: "which recent documents, or which columns of which blocks of 4,096 settled ones, are "
        "fetched",
    },
)

_SUBSTRING = Profile(
    method="substring",
    hidden=True,
    at_rest=_HIDDEN_AT_REST,
    on_update=_HIDDEN_ON_UPDATE,
    on_query=_LOOKUP,
    headline=(Leak.SEARCH_PATTERN, Leak.VOLUME),
    details={
        Leak.PAGE_COUNT: "how many sealed pages the segments have which all equality, keyword and substring "
        "indexes of a table share, in classes of 1/16 octave: about how many characters all texts have together",
        Leak.CHANGE_SIZE: "the size of a transaction's sealed list of changes, rounded up to a size class: about "
        "how many characters its texts have",
        Leak.SEARCH_PATTERN: "whether two patterns may share three adjacent characters, until the next merge",
        Leak.VOLUME: "the length class of the lists of the pattern's rarest trigrams, three at most",
        Leak.TERM_COUNT: "how many trigrams of a pattern are looked up, eight at most",
    },
)

_VISIBLE_ON_UPDATE = (Leak.NULLS, Leak.REMOVALS)

_DET = Profile(
    method="det",
    hidden=False,
    at_rest=(Leak.NULLS, Leak.EQUALITY),
    on_update=(*_VISIBLE_ON_UPDATE, Leak.EQUALITY, Leak.RECURRENCE),
    on_query=(Leak.SEARCH_PATTERN, Leak.TERM_COUNT, Leak.RESULT, Leak.ACCESS_PATTERN),
    headline=(Leak.EQUALITY,),
    details={
        Leak.SEARCH_PATTERN: "the tag of each value that is asked for, the same whenever the value is",
        Leak.TERM_COUNT: "how many values are asked for",
        Leak.RESULT: "exactly which rows match, and which rows a GROUP BY, DISTINCT or join puts together",
    },
    verified=False,
)

_ORE = Profile(
    method="ore",
    hidden=False,
    at_rest=(Leak.NULLS,),
    on_update=_VISIBLE_ON_UPDATE,
    on_query=(
        Leak.ORDER,
        Leak.DIFFERENCE,
        Leak.SEARCH_PATTERN,
        Leak.RESULT,
        Leak.ACCESS_PATTERN,
    ),
    headline=(Leak.ORDER, Leak.DIFFERENCE),
    details={
        Leak.ORDER: "for each bound of a query and every row, written before or after, which of them is less; "
        "stored values alone show no order",
        Leak.SEARCH_PATTERN: "how many leading blocks the bounds of two queries share, all of them when a bound "
        "is the same",
        Leak.RESULT: "exactly which rows match",
    },
    verified=False,
)

_OPE = Profile(
    method="ope",
    hidden=False,
    at_rest=(Leak.NULLS, Leak.EQUALITY, Leak.ORDER, Leak.DIFFERENCE),
    on_update=(
        *_VISIBLE_ON_UPDATE,
        Leak.EQUALITY,
        Leak.RECURRENCE,
        Leak.ORDER,
        Leak.DIFFERENCE,
    ),
    on_query=(Leak.SEARCH_PATTERN, Leak.RESULT, Leak.ACCESS_PATTERN),
    headline=(Leak.ORDER, Leak.EQUALITY, Leak.DIFFERENCE),
    details={
        Leak.ORDER: "the order of all rows, so the rank of each; a column that is dense in its type is as good as "
        "readable",
        Leak.SEARCH_PATTERN: "where the bounds of a query lie among the rows, and when they are the same",
        Leak.RESULT: "exactly which rows match, or stand first in an order, and how many were wanted: the limit, and "
        "as many more as the open transaction has removed",
    },
    verified=False,
)

_BASES: Final = {
    one.method: one for one in (_EQUALITY, _RANGE, _KEYWORD, _SUBSTRING, _DET, _ORE, _OPE)
}

METHODS: Final = tuple(_BASES)
"""Every index method."""

ORE_BLOCK_BITS: Final = {"aes": 6, "sha256": 4}
"""Bits of a block of `ore`, by mask."""
DEFAULT_BITS: Final = 64
"""Bits of a value's ordered number where nothing else is said."""


@dataclass(frozen=True, slots=True)
class _Declared:
    """What of a declaration can change a profile."""

    options: Mapping[str, str]
    columns: int
    included: int
    unique: bool
    bits: int


def profile_of(
    method: str,
    options: Iterable[tuple[str, str]] = (),
    *,
    columns: int = 1,
    included: int = 0,
    unique: bool = False,
    bits: int = DEFAULT_BITS,
) -> Profile:
    """What an index reveals, by its declaration alone.

    Args:
        method: one of :data:`METHODS`.
        options: (name, value) of `WITH (…)`, in their normal form.
        columns: how many columns are indexed.
        included: how many columns INCLUDE names.
        unique: whether it is the index of a PRIMARY KEY or UNIQUE constraint.
        bits: bits of the last column's values as ordered numbers: 8, 16, 32, 64 or 128.

    Raises:
        KeyError: no such method.
    """
    declared = _Declared(dict(options), columns, included, unique, bits)
    profile = _BASES[method]
    for variant in _VARIANTS.get(method, ()):
        profile = variant(profile, declared)
    return profile


def short(profile: Profile) -> str:
    """What decides between methods, such as 'hidden; query: pattern, volume'."""
    moments = [name for name, leaks in profile.moments if set(profile.headline) <= set(leaks)]
    named = ", ".join(SHORT[leak] for leak in profile.headline)
    if profile.hidden:
        return f"hidden; {', '.join(one.removeprefix('on ') for one in moments)}: {named}"
    return f"server-visible: {named} {moments[0]}"


def _more(
    profile: Profile,
    details: Mapping[Leak, str],
    *,
    at_rest: Iterable[Leak] = (),
    on_update: Iterable[Leak] = (),
    on_query: Iterable[Leak] = (),
    headline: Iterable[Leak] = (),
) -> Profile:
    """A profile with further leaks, each once, other details, and if given another headline."""
    return replace(
        profile,
        headline=tuple(headline) or profile.headline,
        at_rest=tuple(dict.fromkeys([*profile.at_rest, *at_rest])),
        on_update=tuple(dict.fromkeys([*profile.on_update, *on_update])),
        on_query=tuple(dict.fromkeys([*profile.on_query, *on_query])),
        details={**profile.details, **details},
    )


_Variant = Callable[[Profile, _Declared], Profile]


def _unique(profile: Profile, declared: _Declared) -> Profile:
    """Every new value is looked up before it is accepted, and claimed by its tag while it is recent."""
    if not declared.unique:
        return profile
    return _more(profile, {}, at_rest=(Leak.UNIQUE_TAGS,), on_update=(Leak.UNIQUE_TAGS, *_LOOKUP))


def _covering(profile: Profile, declared: _Declared) -> Profile:
    """Included values ride in the entries: they add to their size, and spare rows."""
    if not declared.included:
        return profile
    longer = "; the lengths of the indexed and included values add to it"
    details: dict[Leak, str] = {
        leak: profile.meaning(leak) + longer
        for leak in (Leak.PAGE_COUNT, Leak.CHANGE_SIZE, Leak.VOLUME)
        if leak in (*profile.at_rest, *profile.on_update, *profile.on_query)
        and not (profile.method == "range" and leak is Leak.VOLUME)
    }
    details[Leak.ACCESS_PATTERN] = (
        profile.meaning(Leak.ACCESS_PATTERN) + "; none, if the index holds all that a query needs"
    )
    return _more(profile, details)


def _composite(profile: Profile, declared: _Declared) -> Profile:
    """All columns but the last are hashed together: equality on them, order on the last."""
    if declared.columns < 2:
        return profile
    return _more(
        profile,
        {
            Leak.PAGE_ORDER: "the order of the pages of one combination of leading values, learnable from many "
            "overlapping ranges; combinations lie in no order",
            Leak.SEARCH_PATTERN: "whether two queries may ask for the same leading values, until the next merge",
            Leak.VOLUME: "the length class of the list of rows with NULL in the last column, where they match",
            Leak.TERM_COUNT: "how many combinations of leading values and ranges are asked for",
        },
        on_query=(Leak.TERM_COUNT,),
        headline=(Leak.SEARCH_PATTERN, Leak.RANGE_PAGES),
    )


def _dictionary(profile: Profile, declared: _Declared) -> Profile:
    """The sorted list of all words, for searches by a part of a word."""
    if declared.options.get("dictionary", "true") == "false":
        return profile
    pages = profile.meaning(Leak.PAGE_COUNT)
    return _more(
        profile,
        {
            Leak.PAGE_COUNT: f"{pages}, and of the dictionary: about how many different words",
            Leak.RANGE_PAGES: "which pages of the dictionary a prefix covers, in aligned groups of 4",
            Leak.PAGE_ORDER: "the order of the dictionary's pages, learnable from many prefixes",
            Leak.TERM_COUNT: "how many words a search looks up, those included that a prefix, wildcard or fuzzy "
            "word stands for",
        },
        on_query=(Leak.RANGE_PAGES, Leak.PAGE_ORDER),
    )


def _group(profile: Profile, declared: _Declared) -> Profile:
    """Columns of one join group have one key."""
    if "join_group" not in declared.options:
        return profile
    joins = (Leak.JOINS,)
    headline = (*profile.headline, Leak.JOINS)
    return _more(profile, {}, at_rest=joins, on_update=joins, headline=headline)


def _blocks(profile: Profile, declared: _Declared) -> Profile:
    """The first difference shows in blocks."""
    width = ORE_BLOCK_BITS[declared.options.get("mask", "aes")]
    count = -(-declared.bits // width)
    return _more(
        profile,
        {
            Leak.DIFFERENCE: f"for each bound of a query and every row, the first of {count} blocks of {width} "
            "bits in which they differ"
        },
    )


def _scheme(profile: Profile, declared: _Declared) -> Profile:
    """How much more than order an order-preserving scheme shows."""
    if declared.options.get("scheme", "clww") == "boldyreva":
        detail = f"about the upper half of the {declared.bits} bits of each value"
    else:
        detail = f"for any two rows the first of {declared.bits} bits in which they differ"
    return _more(profile, {Leak.DIFFERENCE: detail})


_VARIANTS: Final[dict[str, tuple[_Variant, ...]]] = {
    "equality": (_unique, _covering),
    "range": (_composite, _covering),
    "keyword": (_dictionary,),
    "det": (_group,),
    "ore": (_blocks,),
    "ope": (_scheme,),
}

PROFILES: Final[dict[str, Profile]] = {method: profile_of(method) for method in METHODS}
"""The profile of an index by each method on one column without options, by name."""

EXAMPLES: Final[tuple[tuple[str, Profile, Profile], ...]] = (
    ("PRIMARY KEY, UNIQUE", PROFILES["equality"], profile_of("equality", unique=True)),
    ("`equality` with INCLUDE", PROFILES["equality"], profile_of("equality", included=1)),
    ("`range (a, b)`", PROFILES["range"], profile_of("range", columns=2)),
    ("`range` with INCLUDE", PROFILES["range"], profile_of("range", included=1)),
    (
        "`keyword` with `dictionary = false`",
        PROFILES["keyword"],
        profile_of("keyword", [("dictionary", "false")]),
    ),
    ("`det` in a `join_group`", PROFILES["det"], profile_of("det", [("join_group", "g")])),
    ("`ore` with `mask = 'sha256'`", PROFILES["ore"], profile_of("ore", [("mask", "sha256")])),
    (
        "`ope` with `scheme = 'boldyreva'`, 32 bits",
        profile_of("ope", bits=32),
        profile_of("ope", [("scheme", "boldyreva")], bits=32),
    ),
)
"""Declarations that change a profile: how they are written, the profile without and with them."""


def differences(before: Profile, after: Profile) -> Iterator[str]:
    """What the second profile reveals more, less, or otherwise than the first, a phrase each."""
    for (moment, old), (_, new) in zip(before.moments, after.moments, strict=True):
        for leak in new:
            if leak not in old:
                yield f"{moment} also **{leak}**: {after.meaning(leak)}"
        for leak in old:
            if leak not in new:
                yield f"{moment} no **{leak}**"
    both = {leak for _, leaks in before.moments for leak in leaks}
    for leak in Leak:
        there = any(leak in leaks for _, leaks in after.moments)
        if leak in both and there and before.meaning(leak) != after.meaning(leak):
            yield f"**{leak}**: {after.meaning(leak)}"
