"""L of `substring`: a word for each three adjacent characters, and what a lookup of a fragment reads.

A lookup shows the bucket pages of up to eight trigrams of the fragment, then the pages of the lists of the three
rarest of them, or of fewer when the others are much longer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from indexes.leakage import Leak

from .equality import find
from .functions import Functions, Term
from .layouts import Hashed, Posting
from .plain import Index, Row, Table
from .world import Entries

if TYPE_CHECKING:
    from .client import Client, Memory

LOOKED_UP, READ, WORTH = 8, 3, 32
BEGIN, END = 0x110000, 0x110001
FEW, MOST = 256, 0.5


def term_of(gram: tuple[int, ...]) -> Term:
    """The term of three characters."""
    return b"".join(one.to_bytes(4, "big") for one in gram) + bytes(4), True


def grams(codes: list[int]) -> list[tuple[int, ...]]:
    """Three adjacent ones each, once, in the order of the text."""
    return list(dict.fromkeys(zip(codes, codes[1:], codes[2:], strict=False)))


def add(
    functions: Functions, table: Table, index: Index, rows: dict[int, Row], into: Entries
) -> None:
    """Entries of new rows; texts have no capital letters."""
    for ordinal, row in rows.items():
        (text,) = table.values(row, index.columns)
        if not text:
            continue
        for gram in grams([BEGIN, *map(ord, str(text)), END]):
            word = functions.word(table.number, "terms", index.id, term_of(gram))
            into.hashed.setdefault((0, False, False), []).append((word, Posting(ordinal)))


def contains(client: Client, memory: Memory, index: Index, fragment: str) -> list[int] | None:
    """Live rows that have the rarest trigrams of a fragment; None when these are most of the table."""
    state = memory.state
    number = state.schema.number
    distinct = grams(list(map(ord, fragment)))
    if len(distinct) > LOOKED_UP:
        last = len(distinct) - 1
        distinct = [distinct[place * last // (LOOKED_UP - 1)] for place in range(LOOKED_UP)]
    functions = client.model.functions
    words = sorted({functions.word(number, "terms", index.id, term_of(one)) for one in distinct})
    segments = state.hashed()

    def buckets(segment: Hashed) -> None:
        client.header(memory, segment)
        logical = sorted({segment.bucket(word) for word in words})
        client.body(memory, segment, logical, Leak.SEARCH_PATTERN)

    client.together([lambda one=one: buckets(one) for one in segments])  # type: ignore[misc]
    pending = memory.pending.lists()
    listed = {
        word: [
            *(one[0] for one in pending.get(word, ())),
            *(one[0] for segment in segments for one in segment.lists.get(word, ())),
        ]
        for word in words
    }
    least = min(len(one) for one in listed.values())
    if least == 0:
        return []
    if least > FEW and least > MOST * len(memory.live):
        return None
    rarest = sorted(words, key=lambda word: len(listed[word]))[:READ]
    worth = [word for word in rarest if len(listed[word]) <= WORTH * least]
    client.together([lambda one=one: find(client, memory, one, worth) for one in segments])  # type: ignore[misc]
    common = set.intersection(*(set(listed[word]) for word in worth))
    return client.keep_live(memory, common)
