"""EXPLAIN (LEAKAGE, ANALYZE): the messages that a query has sent, from the trace, and what each told the store."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from encdb.ids import PACK_SHIFT, PAGE_SHIFT
from encdb.trace import TO_STORE, Event
from indexes.leakage import TABLE, Leak
from indexes.multimap.hashed import bucket_pages
from indexes.multimap.segment import (
    HASHED,
    LIVENESS,
    SORTED,
    SegmentInfo,
    is_dictionary,
    owner,
)
from proxy.catalog import Index
from proxy.state import TableState

from . import index_profile
from .shape import SMALL
from .told import Told, lines, told

_LISTED = 4
"""So many sizes are listed one by one."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request, and its answer or error."""

    request: Event
    answer: Event | None

    @property
    def table(self) -> int | None:
        """The table it is about, if it is about one."""
        named = self.request.named("table")
        return int(named[0]) if named else None


class Seen:
    """Explains the messages of one query.

    Args:
        tables: the verified states, by table.
        earlier: everything that this connection has sent before, or None when it keeps no trace.
    """

    def __init__(self, tables: Mapping[int, TableState], earlier: Sequence[Event] | None) -> None:
        self._tables = tables
        self._traced = earlier is not None
        self._asked: set[tuple[str, int | None, object]] = set()
        for event in earlier or ():
            self._remember(event)

    def lines(self, events: Sequence[Event]) -> list[str]:
        """The messages in words, in their order."""
        said: set[tuple[Leak, str]] = set()
        found: list[str] = []
        exchanges = list(paired(events))
        for one in exchanges:
            explain = _KINDS.get(one.request.kind, Seen.anything)
            found += lines(explain(self, one), said)
            self._remember(one.request)
        received = sum(one.answer.bytes for one in exchanges if one.answer is not None)
        trips = _requests(len(exchanges))
        return [*found, f"store: {trips}, {received} sealed bytes in answer"]

    # --- What was asked for before ------------------------------------------------------------------

    def _remember(self, event: Event) -> None:
        if event.boundary == TO_STORE:
            table = int(event.named("table")[0]) if event.named("table") else None
            for name in ("ids", "labels"):
                self._asked.update((event.kind, table, one) for one in event.named(name))

    def _again(self, one: Exchange, ids: Iterable[object]) -> str:
        """How many ids of a request were asked for before, as the end of a line."""
        listed = list(ids)
        count = sum((one.request.kind, one.table, number) in self._asked for number in listed)
        if not self._traced and not count:
            return ""
        many = "none" if not count else "all" if count == len(listed) else str(count)
        return f"; {many} of them asked for before"

    # --- Messages -----------------------------------------------------------------------------------

    def _name(self, one: Exchange) -> str:
        state = None if one.table is None else self._tables.get(one.table)
        return "a table" if state is None else state.table.name

    def heads(self, one: Exchange) -> Iterator[Told]:
        """What has changed."""
        tables = len(one.request.named("cursors.table"))
        answer = "no answer"
        if one.answer is not None:
            deltas = dict(one.answer.sizes).get("tables.deltas.blob", ())
            answer = (
                f"{_count(len(deltas), 'transaction')}{_sizes(deltas)}" if deltas else "nothing"
            )
        which = _count(tables, "table") if tables else "the schema"
        yield told(f"ReadHeads: what is new in {which}; {answer}", (Leak.TABLE_USE,))

    def pages(self, one: Exchange) -> Iterator[Told]:
        """Index pages, segment by segment."""
        numbers: dict[int, list[int]] = {}
        for identity in one.request.named("ids"):
            number = int(identity)
            numbers.setdefault(number >> PAGE_SHIFT, []).append(number & (1 << PAGE_SHIFT) - 1)
        for segment, listed in numbers.items():
            ids = [segment << PAGE_SHIFT | number for number in listed]
            again = self._again(one, ids)
            yield from self._segment(one, segment, listed, again)

    def _segment(
        self, one: Exchange, segment: int, numbers: Sequence[int], again: str
    ) -> Iterator[Told]:
        state = None if one.table is None else self._tables.get(one.table)
        info = None if state is None else find_segment(state, segment)
        if state is None or info is None:
            yield told(
                f"ReadPages: {_pages(len(numbers))} of an older segment{again}", (Leak.TABLE_USE,)
            )
            return
        what = f"{kind_of(info)} segment {segment} of {_pages(info.pages)}"
        if info.pages <= SMALL:
            yield told(f"ReadPages: all of {what}, which is small{again}", (Leak.TABLE_USE,))
        elif max(numbers) < info.header_pages:
            yield told(f"ReadPages: the header of {what}{again}", (Leak.TABLE_USE,))
        elif info.kind == HASHED:
            yield from _hashed(state, info, numbers, what, again)
        elif info.kind == SORTED:
            yield _sorted(state, info, numbers, what, again)
        else:
            leak = Leak.ACCESS_PATTERN if info.kind == LIVENESS else Leak.TABLE_USE
            yield told(f"ReadPages: {_pages(len(numbers))} of {what}{again}", (leak,))

    def rows(self, one: Exchange) -> Iterator[Told]:
        """Recent rows."""
        labels = one.request.named("labels")
        sizes = () if one.answer is None else dict(one.answer.sizes).get("blobs", ())
        again = self._again(one, labels)
        message = f"ReadRows: {_count(len(labels), 'recent row')} of {self._name(one)}{_sizes(sizes)}{again}"
        yield told(message, (Leak.ACCESS_PATTERN,))

    def packs(self, one: Exchange) -> Iterator[Told]:
        """Columns of settled rows."""
        ids = [int(number) for number in one.request.named("ids")]
        columns = {number & (1 << PACK_SHIFT) - 1 for number in ids} - {0}
        blocks = {number >> PACK_SHIFT for number in ids}
        state = None if one.table is None else self._tables.get(one.table)
        named = [] if state is None else [c.name for c in state.table.columns if c.id in columns]
        what = ", ".join(named) or "the directory"
        size = 0 if one.answer is None else one.answer.bytes
        yield told(
            f"ReadPacks: {what} of {_count(len(blocks), 'block')} of {self._name(one)}, {size} bytes"
            f"{self._again(one, ids)}",
            (Leak.ACCESS_PATTERN,),
        )

    def visible(self, one: Exchange) -> Iterator[Told]:
        """Questions that the store answers by itself."""
        by = {
            int(number)
            for name in ("index", "tests.index", "order")
            for number in one.request.named(name)
        }
        state = None if one.table is None else self._tables.get(one.table)
        indexes = [] if state is None else [i for i in state.table.indexes if i.id in by]
        yield from _answered(one, [(index, state) for index in indexes if state is not None])

    def joined(self, one: Exchange) -> Iterator[Told]:
        """A join by the store."""
        sides: list[tuple[Index, TableState]] = []
        for side in ("left", "right"):
            state = self._tables.get(int(one.request.named(f"{side}.table")[0]))
            number = int(one.request.named(f"{side}.index")[0])
            if state is not None:
                sides += [(i, state) for i in state.table.indexes if i.id == number]
        yield from _answered(one, sides)

    def anything(self, one: Exchange) -> Iterator[Told]:
        """A message without words of its own."""
        ids = sum(len(values) for _, values in one.request.ids)
        yield told(f"{one.request.kind}: {_count(ids, 'number')}", (Leak.TABLE_USE,))


def paired(events: Sequence[Event]) -> Iterator[Exchange]:
    """Requests with their answers; several may be sent before the first answer comes."""
    waiting: deque[Event] = deque()
    for event in events:
        if event.boundary == TO_STORE:
            waiting.append(event)
        elif waiting:
            yield Exchange(waiting.popleft(), event)
    for event in waiting:
        yield Exchange(event, None)


def find_segment(state: TableState, segment: int) -> SegmentInfo | None:
    """A segment that the manifest names."""
    known = state.manifest.every_segment
    return next((info for info in known if info.segment == segment), None)


def kind_of(info: SegmentInfo) -> str:
    """What a segment is for."""
    return {HASHED: "hashed", SORTED: "sorted", LIVENESS: "liveness"}.get(info.kind, "statistics")


def _hashed(
    state: TableState, info: SegmentInfo, numbers: Sequence[int], what: str, again: str
) -> Iterator[Told]:
    buckets = set(bucket_pages(info, state.keys.hashed).tolist())
    found = sum(number in buckets for number in numbers)
    if found:
        leaks = (Leak.SEARCH_PATTERN, Leak.TERM_COUNT)
        yield told(f"ReadPages: {_count(found, 'bucket page')} of {what}{again}", leaks)
    if found < len(numbers):
        lists = _count(len(numbers) - found, "page")
        yield told(f"ReadPages: {lists} of long lists of {what}{again}", (Leak.VOLUME,))


def _sorted(
    state: TableState, info: SegmentInfo, numbers: Sequence[int], what: str, again: str
) -> Told:
    index = next((one for one in state.table.indexes if one.id == owner(info.index)), None)
    profile = TABLE if index is None else index_profile(state.table, index)
    name = "" if index is None else f" of {index.name}"
    if is_dictionary(info.index):
        name = f", the dictionary{name}"
    leaks = tuple(one for one in (Leak.RANGE_PAGES, Leak.PAGE_ORDER) if one in profile.on_query)
    return told(f"ReadPages: {_pages(len(numbers))} of {what}{name}{again}", leaks, profile)


def _answered(one: Exchange, by: Sequence[tuple[Index, TableState]]) -> Iterator[Told]:
    """What a server-visible index was asked, and how much it answered."""
    # The end of a range that has none is sent as no bytes.
    given = [value for _, ids in one.request.ids for value in ids if isinstance(value, bytes)]
    values = sum(value != b"" for value in given)
    for index, state in by:
        profile = index_profile(state.table, index)
        leaks = tuple(leak for leak in profile.on_query if leak is not Leak.ACCESS_PATTERN)
        if not values:
            leaks = (Leak.RESULT,)
        yield told(
            f"{one.request.kind}: by {index.name} ({index.method}), {_count(values, 'value')} given, "
            f"{_found(one.answer)}",
            leaks,
            profile,
        )


def _found(answer: Event | None) -> str:
    """What the store found by itself."""
    match answer:
        case None:
            return "no answer"
        case Event(kind="Groups"):
            # A group is its tag, its size, and the label of one of its rows.
            return f"{_count(len(answer.named('groups')) // 3, 'group')} in answer"
        case Event(kind="Joined"):
            left, right = len(answer.named("left")), len(answer.named("right"))
            return f"{left} and {_count(right, 'row')} in answer"
        case _:
            return f"{_count(len(answer.named('ids')), 'row')} in answer"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _pages(number: int) -> str:
    return _count(number, "page")


def _requests(number: int) -> str:
    return _count(number, "request")


def _sizes(sizes: Sequence[int]) -> str:
    """Sizes of blobs, as the end of a line: how many of each, or their range."""
    if not sizes:
        return ""
    counts = sorted(Counter(sizes).items())
    if len(counts) == 1:
        return f", {counts[0][0]} bytes{' each' * (len(sizes) > 1)}"
    if len(counts) > _LISTED:
        return f", {counts[0][0]} … {counts[-1][0]} bytes each"
    return ": " + ", ".join(f"{number} of {size} bytes" for size, number in counts)


_Explain = Callable[[Seen, Exchange], Iterator[Told]]

_KINDS: Final[dict[str, _Explain]] = {
    "ReadHeads": Seen.heads,
    "ReadPages": Seen.pages,
    "ReadRows": Seen.rows,
    "ReadPacks": Seen.packs,
    "ReadVisible": Seen.visible,
    "ReadGroups": Seen.visible,
    "ReadJoin": Seen.joined,
}
"""By the request's kind, what explains it."""
