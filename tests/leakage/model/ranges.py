"""L of `range`: ordered keys, and the groups of four pages that a range reads.

At rest an index's sorted segments show how many pages they have. A range shows which aligned groups of four data
pages it covers and are not held yet; where a page lies is a random permutation of the segment. An order with a
limit shows batches of 4, 8, 16 … pages from one end until there are enough live rows. With several columns the high
half of a key is the word of all but the last.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from indexes.leakage import Leak

from .equality import candidates, kinds
from .functions import Functions
from .layouts import Entry, Posting, Sorted
from .plain import Index, KeyPair, Row, Table, Value, covered, order_key, term
from .world import Entries

if TYPE_CHECKING:
    from .client import Client, Memory

NULL = (b"null", False)
GROUP, LARGEST = 4, 256
MOST = 0.5
ENDS = 0.25
FEW = 256
Span = tuple[KeyPair | None, KeyPair | None]


def width(table: Table, index: Index) -> int:
    """Bytes of a key."""
    if len(index.columns) > 1:
        return 16
    return 16 if kinds(table, index.columns) == ["TEXT"] else 8


def key_of(functions: Functions, table: Table, index: Index, leading: Row, last: Value) -> KeyPair:
    """The key of a row with these values."""
    key = order_key(last, kinds(table, index.columns)[-1])
    if not leading:
        return key
    return leading_word(functions, table, index, leading, "terms"), key[0]


def leading_word(
    functions: Functions, table: Table, index: Index, leading: Row, purpose: str
) -> int:
    """The word of all values but the last."""
    found = term(leading, kinds(table, index.columns)[:-1])
    assert found is not None
    return functions.word(table.number, purpose, index.id, found)


def add(
    functions: Functions, table: Table, index: Index, rows: dict[int, Row], into: Entries
) -> None:
    """Entries of new rows."""
    for ordinal, row in rows.items():
        *leading, last = table.values(row, index.columns)
        if any(value is None for value in leading):
            continue
        before = tuple(leading)
        if last is not None:
            key = key_of(functions, table, index, before, last)
            entry = Entry(key, ordinal, covered(table, index, row))
            into.ordered.setdefault(index.id, []).append(entry)
            continue
        if before:
            word = leading_word(functions, table, index, before, "nulls")
        else:
            word = functions.word(table.number, "terms", index.id, NULL)
        value = covered(table, index, row)
        posting = Posting(ordinal, value=value)
        into.hashed.setdefault((0, False, value is not None), []).append((word, posting))


def read(client: Client, memory: Memory, segment: Sorted, span: Span) -> None:
    """The pages of one range."""
    client.header(memory, segment)
    first, last = segment.span(*span)
    if first < last:
        client.body(memory, segment, segment.group(first, last), Leak.RANGE_PAGES)


def within(client: Client, memory: Memory, index: Index, spans: Sequence[Span]) -> list[int] | None:
    """Live rows in some ranges; None when that would be most of the table."""
    if not spans:
        return []
    state = memory.state
    segments = state.ordered(index.id)
    assert all(len(one.levels) == 1 for one in segments)
    client.together(
        [lambda one=one: client.header(memory, one) for one in segments for _ in spans]  # type: ignore[misc]
    )
    expected = sum(one.estimate(*span) for one in segments for span in spans)
    if expected > MOST * max(len(state.settled), 1) and expected > FEW:
        return None
    found = [
        ordinal
        for low, high in spans
        for key, ordinal, _ in memory.pending.ordered.get(index.id, ())
        if (low is None or key >= low) and (high is None or key <= high)
    ]
    client.together(
        [
            lambda one=one, span=span: read(client, memory, one, span)  # type: ignore[misc]
            for one in segments
            for span in spans
        ]
    )
    found += [ordinal for one in segments for span in spans for ordinal in one.between(*span)]
    return client.keep_live(memory, found)


def end_key(
    client: Client, memory: Memory, index: Index, count: int, *, descending: bool
) -> tuple[KeyPair, bool] | None:
    """The key of the ``count``-th live row from one end, and whether there are as many."""
    state = memory.state
    pending = memory.pending.ordered.get(index.id, [])
    live = memory.live
    keys = []
    if pending:
        client.live(memory, [one.ordinal for one in pending])
        keys = [one.key for one in pending if one.ordinal in live]
    for segment in state.ordered(index.id):
        taken = 0
        for entries in batches(client, memory, segment, descending=descending):
            client.live(memory, [one.ordinal for one in entries])
            alive = [one.key for one in entries if one.ordinal in live]
            keys += alive
            taken += len(alive)
            if taken >= count:
                break
    if not keys:
        return None
    keys.sort(reverse=descending)
    return keys[min(count, len(keys)) - 1], len(keys) >= count


def batches(client, memory, segment, *, descending):  # type: ignore[no-untyped-def]
    """Entries from one end, in batches of 4, 8, 16 … pages, read as they are taken."""
    client.header(memory, segment)
    first, last, size = 0, len(segment.firsts), GROUP
    bounds = [*segment.firsts, len(segment.keys)]
    stop = -(-last // GROUP) * GROUP
    start = 0
    while first < last:
        if descending:
            start = max(stop - size, 0)
            low, high = start, last
        else:
            low, high = first, min(start + size, last)
        client.body(memory, segment, segment.group(low, high), Leak.RANGE_PAGES)
        yield segment.keys[bounds[low] : bounds[high]]
        if descending:
            last = stop = start
        else:
            first = start = start + size
        size = min(2 * size, LARGEST)


def first_rows(
    client: Client, memory: Memory, index: Index, limit: int, *, descending: bool
) -> list[int] | None:
    """Rows up to the one that a limit ends with, ties included; None where a scan serves better."""
    alive = len(memory.live)
    wanted = max(limit, 1)
    if wanted > ENDS * alive:
        return None
    found = end_key(client, memory, index, wanted, descending=descending)
    if found is None or not found[1]:
        return None
    span: Span = (found[0], None) if descending else (None, found[0])
    rows = within(client, memory, index, [span])
    if rows is None or not descending:
        return rows
    # NULL comes first.
    table = memory.state.schema
    word = client.model.functions.word(table.number, "terms", index.id, NULL)
    nulls = candidates(client, memory, [word])
    if len(nulls) > ENDS * alive:
        return None
    return sorted({*rows, *nulls})


def extreme(client: Client, memory: Memory, index: Index, *, greatest: bool) -> list[int] | None:
    """A row with the least or greatest value."""
    found = end_key(client, memory, index, 1, descending=greatest)
    if found is None:
        return []
    return within(client, memory, index, [(found[0], None) if greatest else (None, found[0])])
