"""Merges of the model: what they read, stage and swap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from indexes.leakage import Leak

from . import equality, history, ranges, spec, visible, writing
from .client import Client, Memory, ends
from .layouts import Analysis, Entry, Hashed, Liveness, Segment, Sorted
from .messages import Blob, By, Fresh
from .plain import Index, Row, column_blob, directory_blob, text_term
from .world import DICTIONARY, Entries, Pack, manifest_bytes

if TYPE_CHECKING:
    from .database import Model

STAGE_BYTES = 8 << 20
LIVENESS_SEGMENTS = 4
SCAN_PAGES = 256
CLAIM_SECONDS = 15


class Merge:
    """One attempt to write the next manifest of a table."""

    def __init__(self, client: Client, memory: Memory) -> None:
        self.client, self.memory, self.state = client, memory, memory.state
        self.number = self.state.schema.number
        self.functions = client.model.functions
        self.stage = client.number(memory)
        self.top = self.stage + 1
        self.used = False
        self.segments: list[Segment] = []
        self.liveness: list[Liveness] = []
        self.homes: dict[int, tuple[int, set[int]]] = {}
        self.packs: dict[int, Pack] = {}
        self.retired: set[int] = set()
        self.retired_packs: set[int] = set()
        self.claims: list[tuple[bytes, int]] = []
        self.totals = Entries()
        self.folded = False
        self.added: dict[int, Row] = {}
        self.gone: set[int] = set()
        self._pages: dict[int, int] = {}
        self._columns: dict[int, int] = {}
        self.visible = Entries()
        self.analysis: Analysis | None = None

    def take(self) -> int:
        """A number for a pack or segment."""
        found = self.client.number(self.memory)
        self.top = max(self.top, found + 1)
        return found

    # --- Staging ------------------------------------------------------------------------------------

    def _put(self, target: dict[int, int], identity: int, size: int) -> None:
        target[identity] = size
        if sum(self._pages.values()) + sum(self._columns.values()) >= STAGE_BYTES:
            self.flush()

    def flush(self) -> None:
        """Send what is built."""
        if not self._pages and not self._columns and not self.visible.visible:
            return
        body = {
            "table": self.client.table(self.number),
            "stage": self.stage,
            "pages": By(tuple((one, Blob(size)) for one, size in self._pages.items())),
            "packs": By(tuple((one, Blob(size)) for one, size in self._columns.items())),
            "visible": visible.batches(self.client.model, self.number, self.visible),
        }
        fields = {
            "packs": (Leak.ROW_COUNT, Leak.RECORD_SIZE),
            "pages": Leak.PAGE_COUNT,
            "visible": writing.COMMIT_LEAKS["changes.visible_added"],
        }
        self.client.exchange("Stage", body, "Staged", {}, Leak.CHANGE_TIME, fields)
        self.used = True
        self._pages, self._columns, self.visible = {}, {}, Entries()

    def pack(self, block: int, rows: Mapping[int, Row]) -> None:
        """The rows of one block, ascending."""
        ordinals = sorted(rows)
        number = self.take()
        columns = self.state.schema.columns
        blobs = {0: directory_blob(len(ordinals), len(columns))}
        for place, column in enumerate(columns):
            values = [rows[one][place] for one in ordinals]
            blobs[column.id] = column_blob(values, column.kind)
        for column_id, size in blobs.items():
            self._put(self._columns, number << 11 | column_id, size)
        self.packs[number] = Pack(number, ordinals, blobs)
        self.homes[block] = number, set(ordinals)

    def segment(self, segment: Segment) -> None:
        """Stage the pages of a segment."""
        for page in range(segment.pages):
            self._put(self._pages, segment.segment << 32 | page, spec.SEALED_PAGE)
        if isinstance(segment, Analysis):
            self.analysis = segment
        elif isinstance(segment, Liveness):
            self.liveness.append(segment)
        else:
            self.segments.append(segment)

    def build(self, entries: Entries, indexes: Sequence[Index]) -> None:
        """Segments of entries: one hashed, and one sorted for each range index."""
        lists = entries.lists()
        if lists:
            self.segment(Hashed(self.number, self.take(), self.functions, lists))
        for one in sorted(entries.ordered):
            keys = entries.ordered[one]
            if one & DICTIONARY:
                keys, width = sorted(set(keys)), 16
            else:
                index = next(index for index in indexes if index.id == one)
                width = ranges.width(self.state.schema, index)
            self.segment(Sorted(self.number, self.take(), self.functions, one, width, keys))

    # --- Folding ------------------------------------------------------------------------------------

    def fold(self, own: Mapping[int, Row], entries: Entries, removed: Sequence[int]) -> None:
        """Settle all pending rows, and those of a transaction."""
        state, client, memory = self.state, self.client, self.memory
        recent = sorted(one for one in state.recent if one not in removed)
        rows = {one: state.rows[one] for one in recent} | dict(own)
        if recent:
            client.recent(memory, recent)
        gone = {one for one in {*state.removed, *removed} if one not in state.recent}
        self._settle(rows, gone)
        pending = state.pending
        live = Entries()
        for source in (pending.of(recent), entries.of(own)):
            live.hashed = {
                shape: [*live.hashed.get(shape, []), *source.hashed.get(shape, [])]
                for shape in {**live.hashed, **source.hashed}
            }
            live.ordered = {
                index: [*live.ordered.get(index, []), *source.ordered.get(index, [])]
                for index in {**live.ordered, **source.ordered}
            }
        self.build(live, state.schema.indexes)
        label = client.model.label
        self.claims += [
            (tag, label(self.number, one)) for _, tag, one in pending.claims if one in recent
        ]
        self.totals.count(pending.totals, 1)
        self.totals.count(entries.totals, 1)
        self.folded = True

    def _settle(self, rows: Mapping[int, Row], gone: set[int]) -> None:
        """New packs for the blocks that rows come into, and fewer live rows where some go."""
        state, client, memory = self.state, self.client, self.memory
        added_blocks = sorted({one // spec.BLOCK for one in rows})
        gone_blocks = sorted({one // spec.BLOCK for one in gone})
        client.blocks(memory, [*added_blocks, *gone_blocks])
        client.live(memory, gone)
        client.live(memory, rows)
        for block in gone_blocks:
            pack, live = self._home(block)
            self.homes[block] = pack, live - gone
            if not live - gone:
                self.retired_packs.add(pack)
        for block in added_blocks:
            here = {one: row for one, row in rows.items() if one // spec.BLOCK == block}
            old = self._home(block)
            if old is not None and old[1]:
                kept = sorted(old[1])
                self._load(block, kept, [one.id for one in state.schema.columns])
                here |= {one: state.rows[one] for one in kept}
            if old is not None:
                self.retired_packs.add(old[0])
            self.pack(block, here)
        self.added.update(rows)
        self.gone |= gone

    def _home(self, block: int) -> Any:
        return self.homes.get(block, self.state.homes.get(block))

    def _load(self, block: int, kept: Sequence[int], columns: Sequence[int]) -> None:
        """Columns of a block's present pack."""
        self.client.packed(self.memory, kept, columns)

    # --- Rewriting ----------------------------------------------------------------------------------

    def purge(self) -> None:
        """Packs that hold rows which are gone, without them."""
        state, client, memory = self.state, self.client, self.memory
        columns = [one.id for one in state.schema.columns]
        for block in sorted(client.home(memory)):
            client.blocks(memory, [block])
            number, live = state.homes[block]
            if not live:
                continue
            client.packed(memory, sorted(live), [])
            if len(live) == len(state.packs[number].ordinals):
                continue
            client.packed(memory, sorted(live), columns)
            self.pack(block, {one: state.rows[one] for one in live})
            self.retired_packs.add(number)

    def scan(self, segment: Segment) -> None:
        """All pages of a segment, as they lie."""
        self.client.header(self.memory, segment)
        for start in range(segment.header, segment.pages, SCAN_PAGES):
            stop = min(start + SCAN_PAGES, segment.pages)
            ids = [segment.segment << 32 | page for page in range(start, stop)]
            self.client.pages(self.memory, ids, Leak.CHANGE_TIME)

    def join(self, group: Sequence[Segment]) -> None:
        """One segment in the place of several, without entries of rows that are gone."""
        client, memory, state = self.client, self.memory, self.state
        self.retired |= {one.segment for one in group}
        client.blocks(memory, sorted(client.home(memory)))
        for one in group:
            self.scan(one)
        entries = Entries()
        for one in group:
            if isinstance(one, Hashed):
                rows = [(w, p) for w, found in one.lists.items() for p in found]
                entries.hashed.setdefault((0, False, False), []).extend(rows)
            elif isinstance(one, Sorted):
                keys = one.keys
                if one.index & DICTIONARY:
                    keys = [entry for entry in keys if self._has_list(one.index, entry)]
                entries.ordered.setdefault(one.index, []).extend(keys)
        self.build(entries.of(state.settled), state.schema.indexes)

    def _has_list(self, index: int, entry: Entry) -> bool:
        """Whether a term of a dictionary is in a row that stays, or in one that is pending."""
        state = self.state
        term = text_term((entry.value or b"").decode())
        word = self.functions.word(self.number, "terms", index & ~DICTIONARY, term)
        lists = [one.lists.get(word, ()) for one in state.hashed()]
        settled = any(posting.ordinal in state.settled for one in lists for posting in one)
        return settled or word in state.pending.lists()

    # --- The swap -----------------------------------------------------------------------------------

    def finish(self, *, expected: bool, version: int) -> dict[str, Any]:
        """Stage the rest, and the change that swaps the manifest."""
        state, client = self.state, self.client
        infos = list(state.liveness)
        retired = set(self.retired)
        entries = dict(self.homes)
        if entries:
            if len(infos) >= LIVENESS_SEGMENTS:
                client.blocks(self.memory, sorted(client.home(self.memory)))
                entries = {block: one for block, one in (state.homes | entries).items() if one[1]}
                retired |= {one.segment for one in infos}
                infos = []
            if entries:
                counts = {block: len(live) for block, (_, live) in entries.items()}
                self.segment(Liveness(self.number, self.take(), self.functions, counts))
        if self.analysis is not None and state.analysis is not None:
            retired.add(state.analysis.segment)
        self._after = _After(self, infos, retired)
        size = self._after.manifest(version)
        self.flush()
        label = client.model.label
        self.link = Fresh("link", (self.number, state.epoch + 1))
        deltas = [one for chain in state.deltas.values() for one in chain] if self.folded else []
        recent = state.recent if self.folded else ()
        tombstones = state.removed if self.folded else ()
        return {
            "table": client.table(self.number),
            "epoch": state.epoch,
            "rows_added": [],
            "rows_removed": [],
            "tombstones": [],
            "keys_added": [],
            "keys_removed": [],
            "delta": None,
            "swap": {
                "epoch": state.epoch + 1,
                "manifest": Blob(size),
                "link": self.link,
                "published": [self.stage] if self.used else [],
                "frontier": By(tuple(ends(state).items())) if expected else None,
                "folded_deltas": By(tuple((one.writer, one.n) for one in deltas)),
                "folded_rows": By(tuple((label(self.number, one),) for one in recent)),
                "folded_keys": By(tuple(self.claims)),
                "folded_tombstones": By(tuple((label(self.number, one),) for one in tombstones)),
                "retired_segments": sorted(retired),
                "retired_packs": sorted(self.retired_packs),
            },
        }

    def apply(self) -> None:
        """The store after the swap."""
        self._after.apply()


class _After:
    """The state that a merge makes."""

    def __init__(self, merge: Merge, infos: Sequence[Liveness], retired: set[int]) -> None:
        self.merge = merge
        state = merge.state
        self.segments = [one for one in state.segments if one.segment not in retired]
        self.segments += merge.segments
        self.liveness = [*infos, *merge.liveness]
        self.analysis = merge.analysis or state.analysis
        self.settled = (state.settled - merge.gone) | set(merge.added)
        self.frontier = dict(state.frontier)
        if merge.folded:
            for writer, chain in state.deltas.items():
                self.frontier[writer] = chain[-1].n, state.epoch + 1
        self.totals = Entries()
        self.totals.count(state.totals, 1)
        self.totals.count(merge.totals.totals, 1)
        tops = [max(live) + 1 for _, live in merge.homes.values() if live]
        self.used_ordinals = max([state.top(), *tops])
        self.used_numbers = max(state.used_numbers, merge.top)
        self.folded = state.epoch + 1 if merge.folded else state.folded

    def _fields(self) -> dict[str, Any]:
        return {
            "segments": self.segments,
            "liveness": self.liveness,
            "analysis": self.analysis,
            "settled": self.settled,
            "frontier": self.frontier,
            "totals": self.totals.totals,
            "used_ordinals": self.used_ordinals,
            "used_numbers": self.used_numbers,
            "folded": self.folded,
        }

    def manifest(self, version: int) -> int:
        """Bytes of its sealed manifest."""
        import dataclasses

        self.size = manifest_bytes(dataclasses.replace(self.merge.state, **self._fields()), version)
        return self.size

    def apply(self) -> None:
        """Make it the state."""
        merge, state = self.merge, self.merge.state
        for name, value in self._fields().items():
            setattr(state, name, value)
        state.epoch += 1
        state.manifest = self.size
        state.links.append(merge.link)
        state.rows.update(merge.added)
        state.homes.update(merge.homes)
        state.packs.update(merge.packs)
        if merge.folded:
            state.deltas = {}
            state.recent, state.removed, state.given = set(), set(), set()


def bulk(client: Client, memory: Memory) -> None:
    """A large transaction: its rows settle at once, and what is pending with them."""
    client.sync()
    for words in memory.own_entries.unique.values():
        equality.candidates(client, memory, words)
    merge = Merge(client, memory)
    merge.fold(memory.own, memory.own_entries, sorted(memory.gone))
    merge.claims += writing.released(client, memory)
    merge.visible = Entries(visible=memory.own_entries.of(memory.own).visible)
    change = merge.finish(expected=True, version=client.version)
    change["visible_removed"] = visible.removed(client, memory)
    writing.commit(client, [change])
    merge.apply()


def vacuum(model: Model, client: Client, step: history.Vacuum) -> None:
    """VACUUM of one table: fold, then write everything anew."""
    client.everything()
    number = model.number(step.table)
    memory = client.tables[number]
    _claim(client, number, CLAIM_SECONDS)
    body = {"table": client.table(number)}
    client.exchange("Sweep", body, "Swept", {}, Leak.CHANGE_TIME)
    client.sync()
    merge = Merge(client, memory)
    if memory.state.deltas:
        merge.fold({}, Entries(), ())
        _swap(client, merge)
    client.sync()
    merge = Merge(client, memory)
    merge.purge()
    families: dict[tuple[str, int], list[Segment]] = {}
    for one in memory.state.segments:
        families.setdefault((one.kind, one.index), []).append(one)
    groups = sorted(families.values(), key=lambda group: bool(group[0].index & DICTIONARY))
    for group in groups:
        # Which terms still have a list is asked of all lists, so dictionaries are known beforehand.
        if group[0].index & DICTIONARY:
            for one in group:
                merge.scan(one)
    for group in groups:
        merge.join(group)
    if families or merge.homes:
        _swap(client, merge)
    _claim(client, number, 0)


def analyze(model: Model, client: Client, step: history.Analyze) -> None:
    """ANALYZE of one table: every column is read, and what was found takes the place of what is there."""
    client.everything()
    number = model.number(step.table)
    memory = client.tables[number]
    _claim(client, number, CLAIM_SECONDS)
    client.sync()
    merge = Merge(client, memory)
    columns = [one.id for one in memory.state.schema.columns]
    client.fetch(memory, client.everything_live(memory), columns)
    client.statistics(memory)
    segment = Analysis(number, merge.take(), model.functions, len(columns), len(columns))
    merge.segment(segment)
    _swap(client, merge)
    _claim(client, number, 0)


def _swap(client: Client, merge: Merge) -> None:
    change = merge.finish(expected=False, version=client.version)
    writing.commit(client, [change])
    merge.apply()
    client.sync()


def _claim(client: Client, number: int, seconds: int) -> None:
    body = {"table": client.table(number), "holder": client.holder, "seconds": seconds}
    client.exchange("Claim", body, "Claimed", {"granted": 1}, Leak.CHANGE_TIME)
