"""L of `keyword`: a word for each distinct token of a document, looked up as those of `equality` are.

The dictionary is a sorted segment of the distinct tokens; a prefix reads it as a range reads an index. Another pattern
reads all of it, page after page as they lie.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from indexes.leakage import Leak

from . import ranges
from .equality import find
from .functions import Functions
from .layouts import Entry, Posting, Sorted
from .plain import Index, Row, Table, covered, order_key, text_term
from .world import DICTIONARY, Entries

if TYPE_CHECKING:
    from .client import Client, Memory


def add(
    functions: Functions, table: Table, index: Index, rows: dict[int, Row], into: Entries
) -> None:
    """Entries of new rows; texts are of plain lower-case words."""
    positions = dict(index.options).get("positions") == "on"
    texts = [table.values(row, index.columns)[0] for row in rows.values()]
    tokens = [str(text).split() if text else [] for text in texts]
    for (ordinal, row), words in zip(rows.items(), tokens, strict=True):
        value = covered(table, index, row)
        for token in dict.fromkeys(words):
            word = functions.word(table.number, "terms", index.id, text_term(token))
            places = tuple(place for place, one in enumerate(words) if one == token)
            payload = (0, len(places), len(words))
            posting = Posting(ordinal, payload, places if positions else (), value)
            into.hashed.setdefault((3, positions, value is not None), []).append((word, posting))
    if rows:
        into.totals[index.id] = [len(rows), sum(map(len, tokens))]
    distinct = dict.fromkeys(token for words in tokens for token in words)
    if distinct and has_dictionary(index):
        entries = [Entry(order_key(token, "TEXT"), 0, token.encode()) for token in distinct]
        into.ordered.setdefault(index.id | DICTIONARY, []).extend(entries)


def has_dictionary(index: Index) -> bool:
    """Whether an index keeps its terms in order."""
    return dict(index.options).get("dictionary") != "false"


SCAN_PAGES = 256


def scan(client: Client, memory: Memory, segment: Sorted) -> None:
    """All pages of a segment: that says nothing of what is asked."""
    client.header(memory, segment)
    for start in range(segment.header, segment.pages, SCAN_PAGES):
        stop = min(start + SCAN_PAGES, segment.pages)
        ids = [segment.segment << 32 | page for page in range(start, stop)]
        client.pages(memory, ids, Leak.TABLE_USE)


def begins(client: Client, memory: Memory, segment: Sorted, prefix: str) -> None:
    """The part of a dictionary where terms begin so."""
    raw = prefix.encode()
    low, high = (
        (int.from_bytes(one[:8], "big"), int.from_bytes(one[8:], "big"))
        for one in (raw.ljust(16, b"\0"), raw.ljust(16, b"\xff"))
    )
    ranges.read(client, memory, segment, (low, high))


def is_prefix(pattern: str) -> bool:
    """Whether a pattern says how a term begins, and nothing else."""
    return not set(pattern[:-1]) & set("*?")


def expand(
    client: Client, memory: Memory, index: Index, patterns: Sequence[str]
) -> dict[str, list[str]]:
    """The terms of each pattern by the dictionary; a prefix stands for its own letters too."""
    number = index.id | DICTIONARY
    segments = memory.state.ordered(number)
    if all(map(is_prefix, patterns)):
        client.together(
            [
                lambda one=one, text=text: begins(client, memory, one, text[:-1])  # type: ignore[misc]
                for text in patterns
                for one in segments
            ]
        )
    else:
        client.together([lambda one=one: scan(client, memory, one) for one in segments])  # type: ignore[misc]
    entries = [*memory.pending.ordered.get(number, ())]
    entries += [entry for one in segments for entry in one.keys]
    terms = sorted({(one.value or b"").decode() for one in entries})
    found = {}
    for pattern in patterns:
        own = [pattern[:-1]] if is_prefix(pattern) else []
        meant = [one for one in terms if fnmatchcase(one, pattern)]
        found[pattern] = list(dict.fromkeys([*own, *meant]))
    return found


def matches(client: Client, memory: Memory, index: Index, words: Sequence[str]) -> list[int]:
    """Live documents that hold all words, or for a pattern some word like it."""
    listed_patterns = [one for one in dict.fromkeys(words) if set(one) & set("*?")]
    patterns = expand(client, memory, index, listed_patterns) if listed_patterns else {}
    state = memory.state
    meant = [patterns.get(one, [one]) for one in dict.fromkeys(words)]
    number = state.schema.number

    def word_of(token: str) -> int:
        return client.model.functions.word(number, "terms", index.id, text_term(token))

    wanted = {token: word_of(token) for tokens in meant for token in tokens}
    if not wanted:
        return []
    segments = state.hashed()
    client.together(
        [lambda one=one: find(client, memory, one, wanted.values()) for one in segments]  # type: ignore[misc]
    )
    pending = memory.pending.lists()
    listed = {
        token: {
            *(one.ordinal for one in pending.get(word, ())),
            *(one.ordinal for segment in segments for one in segment.lists.get(word, ())),
        }
        for token, word in wanted.items()
    }
    every = set.union(*listed.values())
    if every:
        client.live(memory, every)
    found = [set.union(*(listed[token] for token in tokens)) for tokens in meant]
    return sorted(set.intersection(*found) & memory.live)
