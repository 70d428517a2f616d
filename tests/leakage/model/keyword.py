"""L of `keyword`: a word for each distinct token of a document, looked up as those of `equality` are.

The dictionary is a sorted segment of the distinct tokens; a prefix reads it as a range reads an index.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from . import ranges
from .equality import find
from .functions import Functions
from .layouts import Entry, Posting
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


def begins(client: Client, memory: Memory, index: Index, prefix: str) -> list[str]:
    """The terms that begin so, by the dictionary, and the prefix itself."""
    number = index.id | DICTIONARY
    raw = prefix.encode()
    low, high = (
        (int.from_bytes(one[:8], "big"), int.from_bytes(one[8:], "big"))
        for one in (raw.ljust(16, b"\0"), raw.ljust(16, b"\xff"))
    )
    segments = memory.state.ordered(number)
    client.together(
        [lambda one=one: ranges.read(client, memory, one, (low, high)) for one in segments]  # type: ignore[misc]
    )
    entries = [*memory.pending.ordered.get(number, ())]
    entries += [entry for one in segments for entry in one.keys]
    found = {(one.value or b"").decode() for one in entries}
    return list(dict.fromkeys([prefix, *(one for one in found if one.startswith(prefix))]))


def matches(client: Client, memory: Memory, index: Index, words: Sequence[str]) -> list[int]:
    """Live documents that hold all words; a word that ends in a star stands for all that begin so."""
    patterns = {one: begins(client, memory, index, one[:-1]) for one in words if one.endswith("*")}
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
