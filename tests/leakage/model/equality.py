"""L of `equality`: a word for each tuple of values, and the pages a lookup of words reads.

At rest a table's hashed segments show how many pages they have. A lookup shows the bucket page of each word that is
not held yet, then the pages of the lists that are longer than 128 bytes. A word's bucket is a random function of
the word and the segment, whether the word occurs or not.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from indexes.leakage import Leak

from .functions import Functions
from .layouts import Hashed, Posting
from .plain import Index, Row, Table, covered, term
from .world import Entries

if TYPE_CHECKING:
    from .client import Client, Memory

FEW = 8
"""So many words are looked up without telling apart where their lists were found."""


def kinds(table: Table, columns: Sequence[int]) -> list[str]:
    """Types of columns."""
    return [table.columns[number - 1].kind for number in columns]


def word_of(functions: Functions, table: Table, index: Index, values: Row) -> int | None:
    """The word of a tuple of values."""
    found = term(values, kinds(table, index.columns))
    return None if found is None else functions.word(table.number, "terms", index.id, found)


def add(
    functions: Functions, table: Table, index: Index, rows: dict[int, Row], into: Entries
) -> None:
    """Entries of new rows."""
    for ordinal, row in rows.items():
        values = table.values(row, index.columns)
        word = word_of(functions, table, index, values)
        if word is None:
            continue
        value = covered(table, index, row)
        posting = Posting(ordinal, value=value)
        into.hashed.setdefault((0, False, value is not None), []).append((word, posting))
        if index.unique:
            found = term(values, kinds(table, index.columns))
            assert found is not None
            into.unique.setdefault(index.id, []).append(word)
            into.claims.append((index.id, functions.tag(table.number, index.id, found), ordinal))


def find(client: Client, memory: Memory, segment: Hashed, words: Iterable[int]) -> None:
    """Look words up in one segment."""
    wanted = sorted(set(words))
    buckets = {segment.bucket(word) for word in wanted}
    client.header(memory, segment)
    client.body(memory, segment, sorted(buckets), Leak.SEARCH_PATTERN)
    long = [word for word in wanted if word in segment.outside]
    if len(wanted) <= FEW:
        groups = [long]
    else:
        # Lists that are named in buckets are read before those that are named in the stash.
        groups = [
            [word for word in long if word not in segment.stashed],
            [word for word in long if word in segment.stashed],
        ]
    for group in groups:
        pages = {page for word in group for page in segment.outside[word]}
        client.body(memory, segment, sorted(pages), Leak.VOLUME)


def candidates(client: Client, memory: Memory, words: Iterable[int]) -> list[int]:
    """Live rows listed under any of some words."""
    wanted = set(words)
    if not wanted:
        return []
    state = memory.state
    found = [
        one[0] for rows in memory.pending.hashed.values() for word, one in rows if word in wanted
    ]
    segments = state.hashed()
    client.together([lambda one=one: find(client, memory, one, wanted) for one in segments])  # type: ignore[misc]
    for one in segments:
        found += [posting[0] for word in wanted for posting in one.lists.get(word, ())]
    return client.keep_live(memory, found)
