"""Histories that go through every kind of message that a table and the hidden methods make."""

from __future__ import annotations

from .model.history import (
    Begin,
    Between,
    Commit,
    Connect,
    CreateIndex,
    CreateTable,
    Delete,
    Equal,
    Extreme,
    First,
    History,
    Insert,
    Match,
    Scan,
    Together,
    Update,
    Vacuum,
)
from .tables import PLAIN, POSITIONS, code

OTHER = "other"
NOTES = CreateTable("notes", (("text", "TEXT"), ("size", "DOUBLE")))
PEOPLE = CreateTable("people", (("id", "BIGINT"), ("zip", "TEXT"), ("age", "INTEGER")), "id")
LETTERS = CreateTable("letters", (("id", "BIGINT"), ("body", "TEXT")), "id")
BY_ZIP = CreateIndex("people_zip", "people", "equality", ("zip",))


KEYED = CreateTable("t", (("id", "BIGINT"), ("code", "TEXT"), ("body", "TEXT")), "id")
ROWS = tuple(
    (number, code(number), "often" + (" seldom" if number % 900 == 1 else ""))
    for number in range(4_600)
)
HASHED = [
    KEYED,
    CreateIndex("t_body", "t", "keyword", ("body",), PLAIN),
    Insert("t", ROWS),
]
"""Rows in two blocks, and a hashed segment that is not read whole."""
ORDERED = [
    CreateTable("t", (("id", "BIGINT"), ("code", "TEXT"))),
    CreateIndex("t_code", "t", "range", ("code",)),
    Insert("t", tuple(row[:2] for row in ROWS)),
]
"""The same with a sorted segment."""


def people(first, last):
    """Rows of people."""
    return tuple((number, f"{number % 7:05d}", number % 90) for number in range(first, last))


def table() -> History:
    """A table without an index: rows, deltas, packs, liveness, two connections."""
    rows = tuple(("x" * number, number / 3) for number in range(20))
    return [
        NOTES,
        Insert("notes", rows[:1]),
        Insert("notes", rows[1:4]),
        Scan("notes", ()),
        Scan("notes", ("size",)),
        Connect(client=OTHER),
        Scan("notes", ("text",), client=OTHER),
        Insert("notes", rows[4:], client=OTHER),
        Scan("notes", ("text", "size")),
        Vacuum("notes"),
        Scan("notes", ("text",)),
        Scan("notes", ("text", "size")),
        Insert("notes", ((None, None),)),
        Scan("notes", ("text",), client=OTHER),
        Vacuum("notes", client=OTHER),
        Insert("notes", tuple(("y", None) for _ in range(1_100))),
        Scan("notes", ()),
    ]


def transactions() -> History:
    """Several statements in one transaction, and a new connection after it."""
    return [
        PEOPLE,
        BY_ZIP,
        Begin(),
        Insert("people", people(0, 40)),
        Insert("people", people(40, 60)),
        Equal("people", ("id",), "zip", ("00003",)),
        Delete("people", "id", 3),
        Commit(),
        Equal("people", ("id",), "zip", ("00003",)),
        Connect(client=OTHER),
        Begin(client=OTHER),
        Delete("people", "id", 4, client=OTHER),
        Update("people", "age", 1, "id", 5, client=OTHER),
        Commit(client=OTHER),
        Begin(),
        Scan("people", ("age",)),
        Commit(),
        Connect(),
        Scan("people", ("age",)),
    ]


def equality() -> History:
    """Equality in small segments: updates and removals of recent and of settled rows."""
    return [
        PEOPLE,
        BY_ZIP,
        Insert("people", people(0, 1)),
        Insert("people", people(1, 200)),
        Equal("people", ("id",), "zip", ("00003",)),
        Update("people", "age", 17, "id", 5),
        Update("people", "zip", "00099", "id", 6),
        Delete("people", "id", 7),
        Connect(client=OTHER),
        Equal("people", ("age",), "id", (3,), client=OTHER),
        Vacuum("people"),
        Equal("people", ("age",), "id", (3,)),
        Equal("people", ("age", "zip"), "zip", ("00001", "00099", "none")),
        Update("people", "age", 18, "id", 5),
        Update("people", "zip", None, "id", 9),
        Delete("people", "zip", "00002"),
        Scan("people", ("age",)),
        Insert("people", people(300, 310), client=OTHER),
        Equal("people", ("age",), "id", (304,), client=OTHER),
        Vacuum("people"),
        Vacuum("people"),
        Equal("people", ("age",), "id", (304,), client=OTHER),
    ]


def wide_equality() -> History:
    """Equality in large segments: buckets, slots and chains, few and many words, several segments."""
    rows = tuple((number, f"{number % 37:05d}", number % 2) for number in range(8_200))
    return [
        PEOPLE,
        BY_ZIP,
        CreateIndex("people_age", "people", "equality", ("age",)),
        Insert("people", rows),
        Equal("people", ("age",), "id", (77,)),
        Equal("people", ("age",), "id", (77,)),
        Equal("people", ("age",), "id", (78, 79, 80)),
        Equal("people", ("id",), "id", tuple(range(100, 160))),
        Equal("people", ("id",), "id", (-1,)),
        Equal("people", ("id",), "zip", ("00001",)),
        Equal("people", ("id",), "zip", ("00001", "00004")),
        Equal("people", ("id",), "age", (1,)),
        Insert("people", people(10_000, 10_004)),
        Connect(client=OTHER),
        Equal("people", ("zip",), "id", tuple(range(0, 8_200, 91)), client=OTHER),
        Vacuum("people"),
        Equal("people", ("id",), "zip", ("00001",), client=OTHER),
        Delete("people", "zip", "00009", client=OTHER),
        Insert("people", people(20_000, 21_100)),
        Equal("people", ("id",), "zip", ("00001",)),
        Vacuum("people"),
    ]


def ranges() -> History:
    """Ranges, orders and extremes over two sizes of keys."""
    rows = tuple((number, code(number), number * number % 100_003) for number in range(4_200))
    return [
        PEOPLE,
        CreateIndex("people_age", "people", "range", ("age",)),
        CreateIndex("people_code", "people", "range", ("zip",)),
        Insert("people", ((-1, "x", None), (-2, None, 7))),
        Insert("people", rows),
        Between("people", ("id",), "age", 500, 900),
        Between("people", ("id",), "age", 500, 900),
        Between("people", ("age",), "age", 70_000, 79_000),
        Between("people", ("age",), "age", 9, 5),
        First("people", ("age",), "age", 5),
        First("people", ("age",), "age", 5, descending=True),
        First("people", ("id",), "age", 900),
        First("people", ("id",), "zip", 10),
        First("people", ("id",), "zip", 800, descending=True),
        First("people", ("id",), "zip", 800),
        Extreme("people", (), "age"),
        Extreme("people", (), "age", greatest=True),
        Insert("people", people(10_000, 10_004)),
        Connect(client=OTHER),
        Between("people", ("id",), "zip", "3", "44", client=OTHER),
        Between("people", ("id",), "age", 0, 99_000, client=OTHER),
        Extreme("people", (), "age", client=OTHER),
        Vacuum("people"),
        Extreme("people", (), "zip", greatest=True, client=OTHER),
        First("people", ("age",), "age", 3, client=OTHER),
    ]


def composite() -> History:
    """A range index of two columns, with NULLs in the last one."""
    rows = tuple(
        (number, f"{number % 37:05d}", None if number % 11 == 0 else number % 89)
        for number in range(2_300)
    )
    return [
        PEOPLE,
        CreateIndex("people_zip_age", "people", "range", ("zip", "age")),
        Insert("people", rows),
        Together("people", ("id",), "zip", "00003", "age", 5, 20),
        Together("people", ("id",), "zip", "00003", "age", 15, 30),
        Together("people", ("id",), "zip", "none", "age", 15, 30),
        Insert("people", people(10_000, 10_040)),
        Vacuum("people"),
        Together("people", ("id",), "zip", "00004", "age", 5, 20),
    ]


def keyword(options: tuple[tuple[str, str], ...] = PLAIN) -> History:
    """Documents of words."""
    texts = [
        " ".join(f"w{(number * place * place) % 211}x" for place in range(1, 5 + number % 9))
        for number in range(1_200)
    ]
    rows = tuple((number, text if number % 13 else None) for number, text in enumerate(texts))
    return [
        LETTERS,
        CreateIndex("letters_body", "letters", "keyword", ("body",), options),
        Insert("letters", rows[:3]),
        Match("letters", ("id",), "body", ("w4x",)),
        Delete("letters", "id", 2),
        Vacuum("letters"),
        Match("letters", ("id",), "body", ("w4x",)),
        Insert("letters", rows[3:]),
        Match("letters", ("id",), "body", ("w4x", "w16x")),
        Match("letters", ("id",), "body", ("w7x",)),
        Match("letters", ("body",), "body", ("absent",)),
        Connect(client=OTHER),
        Match("letters", ("id",), "body", ("w4x",), client=OTHER),
        Delete("letters", "id", 100),
        Update("letters", "body", "w1x w1x", "id", 101),
        Vacuum("letters"),
        Match("letters", ("id",), "body", ("w4x",), client=OTHER),
    ]


def phrases() -> History:
    """Documents of words with their positions."""
    return keyword(POSITIONS)


def blocks() -> History:
    """Documents in so many blocks that several pages say which of them are live."""
    loads = [
        Insert(
            "letters",
            tuple(
                (number, f"w{number // 1_030}x w{number % 9}y")
                for number in range(start, start + 1_030)
            ),
        )
        for start in range(0, 20_600, 1_030)
    ]
    return [
        LETTERS,
        CreateIndex("letters_body", "letters", "keyword", ("body",), PLAIN),
        *loads,
        Connect(client=OTHER),
        Match("letters", ("id",), "body", ("w3x",), client=OTHER),
        Match("letters", ("id",), "body", ("w19x", "w2y"), client=OTHER),
        Connect(client=OTHER),
        Match("letters", ("id",), "body", ("w9x", "w17x", "w2x"), client=OTHER),
        Equal("letters", ("body",), "id", (5, 9_000, 20_000), client=OTHER),
        Delete("letters", "id", 10_000, client=OTHER),
        Insert("letters", ((50_000, "w1x"),)),
        Vacuum("letters"),
        Match("letters", ("id",), "body", ("w3x",), client=OTHER),
    ]


HISTORIES = [
    table,
    transactions,
    equality,
    wide_equality,
    ranges,
    composite,
    keyword,
    phrases,
]
