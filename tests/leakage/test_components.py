"""Each leak that is declared is real: two histories differ in it alone, and their traces differ.

That they differ in it alone is what the model says, once everything that belongs to the leak is taken away. If a
pair's traces were equal, the leak would be declared without need; if the model said more of them, something else
would be told along with it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from encdb.trace import Event
from indexes.leakage import PROFILES, TABLE, Leak, profile_of

from .canonical import canonical
from .histories import HASHED, KEYED, ORDERED, ROWS
from .model.database import Model
from .model.functions import Sampled
from .model.history import (
    Between,
    Compared,
    Connect,
    CreateIndex,
    CreateTable,
    Delete,
    Equal,
    First,
    Insert,
    Match,
    Scan,
    Step,
    Tagged,
    Together,
    Vacuum,
)
from .model.layouts import Sorted
from .model.messages import Message
from .running import Preparations, as_events, continued, hold, said
from .tables import PLAIN, code

Pair = tuple[Sequence[Step], Sequence[Step]]
OTHER, THIRD = "other", "third"

NAMES = CreateTable("t", (("name", "TEXT"),))
BY_NAME = CreateIndex("t_name", "t", "equality", ("name",))


def names(*values: str) -> Insert:
    """Rows of one text."""
    return Insert("t", tuple((value,) for value in values))


def by(client: str, *steps: Step) -> list[Step]:
    """A new connection and what it does."""
    return [Connect(client=client), *(dataclasses.replace(one, client=client) for one in steps)]


def schema() -> Pair:
    """Names of columns in the catalog's size."""
    return [NAMES], [CreateTable("t", (("n" * 200, "TEXT"),))]


def row_count() -> Pair:
    """How many rows an INSERT adds."""
    return [NAMES, names(*"abc")], [NAMES, names(*"abcd")]


def record_size() -> Pair:
    """The length of a text."""
    return [NAMES, names("a" * 20)], [NAMES, names("a" * 90)]


def page_count() -> Pair:
    """How many different values there are, in a load of as many rows of as many bytes."""
    few = names(*(f"{number % 5:08d}" for number in range(1_100)))
    many = names(*(f"{number:08d}" for number in range(1_100)))
    return [NAMES, BY_NAME, few], [NAMES, BY_NAME, many]


def range_page_count() -> Pair:
    """How closely values of a range index lie."""
    table = CreateTable("t", (("size", "BIGINT"),))
    index = CreateIndex("t_size", "t", "range", ("size",))
    near = Insert("t", tuple((number,) for number in range(1_100)))
    far = Insert("t", tuple((number << 40,) for number in range(1_100)))
    return [table, index, near], [table, index, far]


def change_size() -> Pair:
    """How far the values of one transaction lie apart."""
    table = CreateTable("t", (("size", "BIGINT"),))
    index = CreateIndex("t_size", "t", "range", ("size",))
    near = Insert("t", tuple((number,) for number in range(100)))
    far = Insert("t", tuple((number << 40,) for number in range(100)))
    return [table, index, near], [table, index, far]


def change_size_of_documents() -> Pair:
    """How many different words a document has, whatever its length is."""
    table = CreateTable("t", (("body", "TEXT"),))
    index = CreateIndex("t_body", "t", "keyword", ("body",), PLAIN)
    one, many = (" ".join(f"w{number % most:02d}x" for number in range(90)) for most in (1, 90))
    return [table, index, names(one)], [table, index, names(many)]


def change_time() -> Pair:
    """That a table is merged, where there is nothing to merge."""
    return [NAMES, Scan("t", ())], [NAMES, Scan("t", ()), Vacuum("t")]


def writer() -> Pair:
    """Which connection wrote a row."""
    before = [
        NAMES,
        names("a"),
        names("b"),
        *by(OTHER, names("c"), names("d"), Scan("t", ())),
        Scan("t", ()),
    ]
    return [*before, names("e")], [*before, dataclasses.replace(names("e"), client=OTHER)]


def removals() -> Pair:
    """Which of two rows goes."""
    before = [NAMES, BY_NAME, names("a"), names("b"), Scan("t", ("name",))]
    return [*before, Delete("t", "name", "a")], [*before, Delete("t", "name", "b")]


def unique_tags() -> Pair:
    """Whether a unique value comes back."""
    table = CreateTable("t", (("id", "BIGINT"),), "id")
    before = [table, Insert("t", ((1,),)), Delete("t", "id", 1)]
    return [*before, Insert("t", ((1,),))], [*before, Insert("t", ((2,),))]


def table_use() -> Pair:
    """Which table a statement is about."""
    before = [NAMES, CreateTable("u", (("name", "TEXT"),)), names("a")]
    return [*before, *by(OTHER, Scan("t", ()))], [*before, *by(OTHER, Scan("u", ()))]


def segment_use() -> Pair:
    """Which index of a table a query uses, where both are small."""
    table = CreateTable("t", (("a", "TEXT"), ("b", "TEXT")))
    indexes = [CreateIndex(f"t_{one}", "t", "range", (one,)) for one in "ab"]
    before = [table, *indexes, Insert("t", tuple((one, one) for one in "abcdefgh")), Vacuum("t")]
    return (
        [*before, *by(OTHER, Between("t", ("a", "b"), "a", "b", "c"))],
        [*before, *by(OTHER, Between("t", ("a", "b"), "b", "b", "c"))],
    )


def access_pattern() -> Pair:
    """Which of two rows a query fetches."""
    before = [NAMES, BY_NAME, names("a"), names("b")]
    asks = (Equal("t", ("name",), "name", (one,)) for one in "ab")
    first, second = ([*before, *by(OTHER, one)] for one in asks)
    return first, second


def columns_fetched() -> Pair:
    """Which columns a query fetches of settled rows."""
    before = [KEYED, Insert("t", ROWS[:50]), Vacuum("t")]
    asks = (Equal("t", (one,), "id", (3,)) for one in ("code", "body"))
    first, second = ([*before, *by(OTHER, one)] for one in asks)
    return first, second


def search_pattern() -> Pair:
    """Whether two connections look for the same value."""
    same, another = (Equal("t", ("code",), "id", (one,)) for one in (77, 78))
    before = [*HASHED, *by(OTHER, same)]
    return [*before, *by(THIRD, same)], [*before, *by(THIRD, another)]


def search_pattern_of_one() -> Pair:
    """Whether a connection has looked for a value before: then it asks for nothing."""
    same, another = (Equal("t", ("code",), "id", (one,)) for one in (77, 78))
    return [*HASHED, *by(OTHER, same, same)], [*HASHED, *by(OTHER, same, another)]


def search_pattern_on_insert() -> Pair:
    """Whether a unique value was looked for before it is inserted."""
    absent = Equal("t", ("id",), "id", (5_000,))
    inserts = (Insert("t", ((number, "x", "y"),)) for number in (5_000, 5_001))
    first, second = ([*HASHED, *by(OTHER, absent, one)] for one in inserts)
    return first, second


def search_pattern_of_words() -> Pair:
    """Whether two connections search for the same word."""
    same, another = (Match("t", ("id",), "body", (one,)) for one in ("none", "nought"))
    before = [*HASHED, *by(OTHER, same)]
    return [*before, *by(THIRD, same)], [*before, *by(THIRD, another)]


def term_count() -> Pair:
    """How many values are looked for."""
    few, many = (Equal("t", ("code",), "id", tuple(range(one))) for one in (2, 7))
    return [*HASHED, *by(OTHER, few)], [*HASHED, *by(OTHER, many)]


def volume() -> Pair:
    """Whether a word is common."""
    rare, common = (Match("t", ("id",), "body", (one,)) for one in ("seldom", "often"))
    return [*HASHED, *by(OTHER, rare)], [*HASHED, *by(OTHER, common)]


def volume_of_nulls() -> Pair:
    """How many rows hold NULL, where an order puts them first: whether their list fits a bucket."""
    table = CreateTable("t", (("id", "BIGINT"), ("code", "TEXT"), ("mark", "TEXT")), "id")
    # Another list of that length, so that there is a page of such lists either way.
    indexes = [
        CreateIndex("t_mark", "t", "equality", ("mark",)),
        CreateIndex("t_code", "t", "range", ("code",)),
    ]
    ask = First("t", ("id",), "code", 3, descending=True)
    pair = []
    for nulls in (100, 140):
        # As many bytes of text in each block.
        rows = [(number, None, "m" if number < 150 else None) for number in range(nulls)]
        rows += [
            (number, code(number) + " " * 16 * (number < 2 * nulls), "m" if number < 150 else None)
            for number in range(nulls, 4_600)
        ]
        pair.append([table, *indexes, Insert("t", tuple(rows)), ask])
    return pair[0], pair[1]


def ordered_segment() -> Sorted:
    """The segment of the ordered table, as the model lays it out."""
    model = Model(Sampled(1))
    for step in (Connect(), *ORDERED):
        model.run(step)
    (segment,) = model.tables[0].ordered(1)
    return segment


def group_range(segment: Sorted, first: int, last: int) -> Between:
    """A range that covers the groups of four pages first … last and nothing else."""
    low = segment.keys[segment.firsts[4 * first] + 3][0]
    high = segment.keys[segment.firsts[4 * last] + 3][0]
    text = [(high << 64 | lower).to_bytes(16, "big").decode() for high, lower in (low, high)]
    return Between("t", ("code",), "code", *text)


def range_pages() -> Pair:
    """How many groups of four pages a range covers."""
    segment = ordered_segment()
    few, many = group_range(segment, 1, 2), group_range(segment, 1, 4)
    return [*ORDERED, *by(OTHER, few)], [*ORDERED, *by(OTHER, many)]


def page_order() -> Pair:
    """Which ranges overlap, and so which pages stand beside each other."""
    segment = ordered_segment()
    before = [*ORDERED, *by(OTHER, group_range(segment, 0, 1))]
    return (
        [*before, *by(THIRD, group_range(segment, 1, 2))],
        [*before, *by(THIRD, group_range(segment, 2, 3))],
    )


def leading_values() -> Pair:
    """Whether two connections ask for the same leading value of a range index of two columns."""
    table = CreateTable("t", (("code", "TEXT"), ("size", "BIGINT")))
    index = CreateIndex("t_both", "t", "range", ("code", "size"))
    rows = tuple((f"{number % 40:02d}", int(code(number), 16) >> 2) for number in range(6_400))
    before = [table, index, Insert("t", rows)]
    same, another = (
        Together("t", ("size",), "code", one, "size", 1 << 58, 1 << 61) for one in ("07", "31")
    )
    before += by(OTHER, same)
    return [*before, *by(THIRD, same)], [*before, *by(THIRD, another)]


ACCEPTED = (("accept_leakage", "true"),)
NUMBERS = CreateTable("t", (("id", "BIGINT"), ("size", "INTEGER")), "id")


def numbered(
    method: str, *sizes: int | None, options: Sequence[tuple[str, str]] = ()
) -> list[Step]:
    """Rows of one number each, with an index that the store can see."""
    index = CreateIndex("t_size", "t", method, ("size",), (*ACCEPTED, *options))
    rows = [Insert("t", ((number, size),)) for number, size in enumerate(sizes)]
    return [NUMBERS, index, *rows]


def nulls() -> Pair:
    """Whether a row has a value."""
    return numbered("ore", None), numbered("ore", 7)


def equality_at_rest() -> Pair:
    """Whether two rows are equal."""
    return numbered("det", 7, 7), numbered("det", 7, 8)


def equality_of_tables() -> Pair:
    """Whether rows of two tables are equal."""
    group = (*ACCEPTED, ("join_group", "g"))
    pair = []
    for size in (7, 8):
        steps = numbered("det", 7, options=(("join_group", "g"),))
        steps += [
            CreateTable("u", (("size", "INTEGER"),)),
            CreateIndex("u_size", "u", "det", ("size",), group),
            Insert("u", ((size,),)),
        ]
        pair.append(steps)
    return pair[0], pair[1]


def recurrence() -> Pair:
    """Whether a value comes back after its row has gone."""
    before = [*numbered("det", 7), Delete("t", "id", 0)]
    return [*before, Insert("t", ((5, 7),))], [*before, Insert("t", ((5, 8),))]


def order_at_rest() -> Pair:
    """Which of two rows is less."""
    return numbered("ope", 1, 2), numbered("ope", 2, 1)


def first_difference() -> Pair:
    """How far two rows lie apart, whatever their order."""
    return numbered("ope", 0, 1), numbered("ope", 0, 1 << 20)


def result() -> Pair:
    """Which row matches."""
    before = [*numbered("ore", 5, 50, options=(("mask", "aes"),)), Scan("t", ("id", "size"))]
    return (
        [*before, Compared("t", ("id",), "size", 0, 9, method="ore")],
        [*before, Compared("t", ("id",), "size", 48, 57, method="ore")],
    )


def leading_blocks() -> Pair:
    """How many leading blocks the bounds of two queries share."""
    before = numbered("ore", 5, options=(("mask", "aes"),))
    first = Compared("t", ("id",), "size", 1 << 20, 2 << 20, method="ore")
    near, far = (
        Compared("t", ("id",), "size", (1 << 20) + one, (2 << 20) + one, method="ore")
        for one in (3, 1 << 19)
    )
    return [*before, first, near], [*before, first, far]


def values_asked() -> Pair:
    """Whether two queries ask for the same value."""
    before = numbered("det", 5)
    same, another = (Tagged("t", ("id",), "size", (one,)) for one in (77, 78))
    return [*before, same, same], [*before, same, another]


PAIRS: list[tuple[Leak, Callable[[], Pair]]] = [
    (Leak.SCHEMA, schema),
    (Leak.ROW_COUNT, row_count),
    (Leak.RECORD_SIZE, record_size),
    (Leak.PAGE_COUNT, page_count),
    (Leak.PAGE_COUNT, range_page_count),
    (Leak.CHANGE_SIZE, change_size),
    (Leak.CHANGE_SIZE, change_size_of_documents),
    (Leak.CHANGE_TIME, change_time),
    (Leak.WRITER, writer),
    (Leak.REMOVALS, removals),
    (Leak.UNIQUE_TAGS, unique_tags),
    (Leak.TABLE_USE, table_use),
    (Leak.TABLE_USE, segment_use),
    (Leak.ACCESS_PATTERN, access_pattern),
    (Leak.ACCESS_PATTERN, columns_fetched),
    (Leak.SEARCH_PATTERN, search_pattern),
    (Leak.SEARCH_PATTERN, search_pattern_of_one),
    (Leak.SEARCH_PATTERN, search_pattern_on_insert),
    (Leak.SEARCH_PATTERN, search_pattern_of_words),
    (Leak.SEARCH_PATTERN, leading_values),
    (Leak.TERM_COUNT, term_count),
    (Leak.VOLUME, volume),
    (Leak.VOLUME, volume_of_nulls),
    (Leak.RANGE_PAGES, range_pages),
    (Leak.PAGE_ORDER, page_order),
    (Leak.NULLS, nulls),
    (Leak.EQUALITY, equality_at_rest),
    (Leak.JOINS, equality_of_tables),
    (Leak.RECURRENCE, recurrence),
    (Leak.ORDER, order_at_rest),
    (Leak.DIFFERENCE, first_difference),
    (Leak.RESULT, result),
    (Leak.SEARCH_PATTERN, leading_blocks),
    (Leak.SEARCH_PATTERN, values_asked),
]

_STANDS_IN = {
    # How many terms there are shows in the pages in which they are looked for.
    Leak.TERM_COUNT: Leak.SEARCH_PATTERN,
}
_OF_CHANGES = {"ReadHeads", "Heads", "Claim", "Claimed", "Sweep", "Swept", "Lease", "Leased"}


def without(leak: Leak, messages: Sequence[Message]) -> list[Event]:
    """What is left of messages when everything that belongs to a leak is taken away."""
    leak = _STANDS_IN.get(leak, leak)
    kept = [
        (message, event)
        for message, event in zip(messages, as_events(messages), strict=True)
        if message.leak is not leak
        and not (leak is Leak.CHANGE_TIME and message.kind in _OF_CHANGES)
        and not (leak is Leak.SEARCH_PATTERN and composite_pages(message))
    ]
    return [
        dataclasses.replace(
            event,
            ids=tuple(
                (path, counted(path, ids) if unordered(leak, message) else ids)
                for path, ids in event.ids
                if leak not in message.leaks_of(path)
            ),
            sizes=tuple(one for one in event.sizes if leak not in message.leaks_of(one[0])),
        )
        for message, event in kept
    ]


def unordered(leak: Leak, message: Message) -> bool:
    """Whether only the number of a message's pages is to count."""
    return leak is Leak.PAGE_ORDER and message.leak is Leak.RANGE_PAGES


def composite_pages(message: Message) -> bool:
    """Pages of sorted segments show which leading value is asked for, where an index has several columns."""
    return message.leak is Leak.RANGE_PAGES


def counted(path: str, ids: tuple[int | bytes, ...]) -> tuple[int | bytes, ...]:
    """As many ids that say nothing."""
    return tuple(range(len(ids))) if path == "ids" else ids


_SLOW = {volume_of_nulls, leading_values}


@pytest.mark.usefixtures("repeatable")
@pytest.mark.parametrize(
    ("leak", "pair"),
    [
        pytest.param(
            leak,
            pair,
            id=f"{leak}-{pair.__name__}",
            marks=[pytest.mark.slow] if pair in _SLOW else [],
        )
        for leak, pair in PAIRS
    ],
)
def test_a_leak_is_told_by_itself(
    tmp_path: Path,
    prepared: Preparations,
    leak: Leak,
    pair: Callable[[], Pair],
) -> None:
    says, traces = [], []
    for name, steps in zip("ab", pair(), strict=True):
        start, rest = prepared.of(steps)
        messages = said(rest) if start is None else continued(start.imagined, rest)
        says.append(canonical(without(leak, messages)))
        traces.append(canonical(hold(tmp_path / name, rest, after=start)))
    assert says[0] == says[1]
    assert traces[0] != traces[1]


def test_every_leak_has_a_pair():
    more = [profile_of("equality", unique=True), profile_of("range", columns=2)]
    more.append(profile_of("det", [("join_group", "g")]))
    every = (TABLE, *PROFILES.values(), *more)
    declared = {leak for one in every for _, leaks in one.moments for leak in leaks}
    assert {leak for leak, _ in PAIRS} == declared
