"""L of `keyword`: a word for each distinct token of a document, looked up as those of `equality` are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .equality import find
from .functions import Functions
from .plain import Index, Row, Table, text_term
from .world import Entries

if TYPE_CHECKING:
    from .client import Client, Memory


def add(
    functions: Functions, table: Table, index: Index, rows: dict[int, Row], into: Entries
) -> None:
    """Entries of new rows; texts are of plain lower-case words."""
    positions = dict(index.options).get("positions") == "on"
    texts = [table.values(row, index.columns)[0] for row in rows.values()]
    tokens = [str(text).split() if text else [] for text in texts]
    for ordinal, words in zip(rows, tokens, strict=True):
        for token in dict.fromkeys(words):
            word = functions.word(table.number, "terms", index.id, text_term(token))
            places = tuple(place for place, one in enumerate(words) if one == token)
            posting = (ordinal, (0, len(places), len(words)), places if positions else ())
            into.hashed.setdefault((3, positions), []).append((word, posting))
    if rows:
        into.totals[index.id] = [len(rows), sum(map(len, tokens))]


def matches(client: Client, memory: Memory, index: Index, words: Sequence[str]) -> list[int]:
    """Live documents that hold all words."""
    state = memory.state
    table = state.schema
    tokens = list(dict.fromkeys(words))
    wanted = [
        client.model.functions.word(table.number, "terms", index.id, text_term(token))
        for token in tokens
    ]
    if not wanted:
        return []
    segments = state.hashed()
    client.together([lambda one=one: find(client, memory, one, wanted) for one in segments])  # type: ignore[misc]
    pending = memory.pending.lists()
    found = []
    for word in wanted:
        there = {one[0] for one in pending.get(word, ())}
        there |= {one[0] for segment in state.hashed() for one in segment.lists.get(word, ())}
        found.append(there)
    every = set.union(*found)
    if every:
        client.live(memory, every)
    return sorted(set.intersection(*found) & memory.live)
