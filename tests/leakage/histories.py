"""Histories that go through every kind of message that a table and the hidden methods make."""

from __future__ import annotations

from .model.history import (
    Analyze,
    Begin,
    Between,
    Commit,
    Compared,
    Connect,
    Contains,
    CreateIndex,
    CreateTable,
    Delete,
    Equal,
    Extreme,
    First,
    Groups,
    History,
    Insert,
    Match,
    Ranked,
    Scan,
    Tagged,
    Together,
    Update,
    Vacuum,
)
from .tables import PLAIN, POSITIONS, SORTED_WORDS, code

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
    rows = tuple((number, code(number), number * number % 100_003) for number in range(3_600))
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


def parts() -> History:
    """Fragments of texts: short ones, long ones, recent ones, absent ones."""
    table = CreateTable("people", (("id", "BIGINT"), ("name", "TEXT")), "id")
    rows = tuple(
        (number, f"{code(number % 700)} {'smith' if number % 3 else 'jones'} {number % 50:03d}")
        for number in range(1_300)
    )
    return [
        table,
        CreateIndex("people_name", "people", "substring", ("name",)),
        Insert("people", ((-1, "a"), (-2, None), (-3, ""), (-4, "blacksmith"))),
        Contains("people", ("id",), "name", "smi"),
        Insert("people", rows),
        Contains("people", ("id",), "name", "ith 007"),
        Contains("people", ("id",), "name", "jones 0"),
        Contains("people", ("id",), "name", "xyz"),
        Contains("people", ("id",), "name", code(3)),
        Connect(client=OTHER),
        Contains("people", ("name",), "name", "smith 04", client=OTHER),
        Delete("people", "id", 7, client=OTHER),
        Update("people", "name", "wordsmith", "id", 8, client=OTHER),
        Contains("people", ("name",), "name", "smith 04", client=OTHER),
    ]


def shown() -> History:
    """Server-visible indexes: what the store is shown of rows as they come, go and settle, and is asked."""
    accepted = (("accept_leakage", "true"),)
    table = CreateTable(
        "orders",
        (("id", "BIGINT"), ("who", "TEXT"), ("size", "INTEGER"), ("price", "BIGINT")),
        "id",
    )
    rows = tuple(
        (n, f"c{n % 40:02d}" if n % 9 else None, n * n % 97 - 40, None if n % 7 == 0 else n * 10**9)
        for n in range(700)
    )
    return [
        table,
        CreateIndex("orders_who", "orders", "det", ("who",), (*accepted, ("join_group", "c"))),
        CreateIndex("orders_size", "orders", "ope", ("size",), accepted),
        Insert("orders", rows[:3]),
        Insert("orders", rows[3:300]),
        CreateIndex("orders_price", "orders", "ore", ("price",), (*accepted, ("mask", "aes"))),
        Tagged("orders", ("id",), "who", ("c03",)),
        Tagged("orders", ("id",), "who", ("c03", "c04", "none")),
        Compared("orders", ("id",), "size", -3, 11),
        Compared("orders", ("id",), "price", 5 * 10**9, 30 * 10**9, method="ore"),
        Ranked("orders", ("id",), "size", 4),
        Groups("orders", (), "who"),
        Update("orders", "who", "c03", "id", 5),
        Update("orders", "price", None, "id", 6),
        Delete("orders", "id", 8),
        Connect(client=OTHER),
        Insert("orders", rows[300:310], client=OTHER),
        Vacuum("orders", client=OTHER),
        Tagged("orders", ("id",), "who", ("c03",)),
        Insert("orders", tuple((10_000 + n, *rows[n % 700][1:]) for n in range(1_100))),
        Compared("orders", ("id",), "size", 20, 21, client=OTHER),
        Compared("orders", ("id",), "price", 5 * 10**9, 6 * 10**9, method="ore", client=OTHER),
        Groups("orders", (), "who", client=OTHER),
        Delete("orders", "id", 10_003),
        Vacuum("orders"),
    ]


def dictionary() -> History:
    """Documents of words with a dictionary: words by their beginnings, and by other patterns."""
    rows = tuple(
        (number, f"{code(number % 1_700)} w{number % 61}x {code(-number)[:6]}z")
        for number in range(2_000)
    )
    return [
        LETTERS,
        CreateIndex("letters_body", "letters", "keyword", ("body",), SORTED_WORDS),
        Insert("letters", rows[:3]),
        Match("letters", ("id",), "body", ("w1*",)),
        Vacuum("letters"),
        Insert("letters", rows[3:]),
        Match("letters", ("id",), "body", ("w1*",)),
        Match("letters", ("id",), "body", ("w2x", "a0*")),
        Delete("letters", "id", 100),
        Connect(client=OTHER),
        Match("letters", ("id",), "body", ("7b*",), client=OTHER),
        Match("letters", ("id",), "body", ("none*",), client=OTHER),
        Match("letters", ("id",), "body", ("w1*", "?5x"), client=OTHER),
        Vacuum("letters", client=OTHER),
        Match("letters", ("id",), "body", ("*60x", "w6*"), client=OTHER),
        Match("letters", ("id",), "body", ("w1*",), client=OTHER),
        Match("letters", ("id",), "body", ("w?1x",)),
    ]


def covering() -> History:
    """Indexes that hold all that queries need, so that no row is fetched."""
    rows = tuple(
        (number, f"{number % 40:02d}", None if number % 17 == 0 else number % 83)
        for number in range(1_500)
    )
    return [
        PEOPLE,
        CreateIndex("people_zip", "people", "equality", ("zip",), include=("age",)),
        CreateIndex("people_age", "people", "range", ("age",), include=("zip", "id")),
        Insert("people", rows[:5]),
        Insert("people", rows[5:100]),
        Equal("people", ("age",), "zip", ("03",)),
        Equal("people", ("id", "age"), "zip", ("03",)),
        Vacuum("people"),
        Insert("people", rows[100:]),
        Connect(client=OTHER),
        Equal("people", ("age",), "zip", ("04",), client=OTHER),
        Between("people", ("zip", "id"), "age", 3, 7, client=OTHER),
        Between("people", ("age",), "age", 30, 31, client=OTHER),
        Delete("people", "id", 4, client=OTHER),
        Vacuum("people"),
        Between("people", ("zip", "id"), "age", 3, 7),
        CreateIndex("people_both", "people", "equality", ("age",), include=("zip",)),
    ]


def analysed() -> History:
    """Statistics: made, read when there is a choice, and passed on by merges."""
    rows = tuple((number, code(number % 400), number * 7 % 1_500) for number in range(1_500))
    return [
        PEOPLE,
        BY_ZIP,
        CreateIndex("people_age", "people", "range", ("age",)),
        Insert("people", rows),
        Analyze("people"),
        Equal("people", ("age",), "id", (3,)),
        Equal("people", ("age",), "zip", (code(3),)),
        Connect(client=OTHER),
        Equal("people", ("age",), "id", (3,), client=OTHER),
        Between("people", ("id",), "age", 100, 104, client=OTHER),
        Insert("people", people(20_000, 20_003)),
        Vacuum("people"),
        Equal("people", ("age",), "zip", (code(4),), client=OTHER),
        Analyze("people", client=OTHER),
        Equal("people", ("age",), "zip", (code(5), code(6))),
    ]


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
    dictionary,
    covering,
    analysed,
    parts,
    shown,
]
