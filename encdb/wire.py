"""Everything that crosses from the trusted proxy to the untrusted store and back.

To know what a store can see, read this file: it receives no other value. Every blob is sealed by the
proxy; ids are opaque numbers, tags and writers opaque bytes. Constructors put every list and batch
in the order of its opaque ids, so that no message carries the order of keys, of insertion or of a
query's terms. What a message does show is its kind, how many ids it names, which of them repeat
between messages, and the padded sizes of its blobs.

Names of numbers:

* **table**: random unsigned 32-bit number, all that the store knows of a logical table.
* **label**: number of a row, ``block << 12 | permuted low 12 bits`` (below 2**63).
* **page id**: ``segment << 32 | page``. Segments are leased and never used again.
* **pack id**: ``pack << 11 | column``. Column 0 is the directory of the pack.
* **entry id**: ``index << 44 | label``: what a row has in a server-visible index.
* **writer**: 16 random bytes per connection; its deltas are numbered from 1 in every table.
* **epoch**: number of merges of a table; 0 before the first, when it has no manifest.
* **link**: SHA-256 of a sealed manifest or catalog, 32 bytes.

The dataclasses are frozen; a malformed message raises :class:`encdb.errors.InternalError`, and a
malformed answer :class:`encdb.errors.TamperError`, where it is built.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from operator import index
from typing import Final, Literal, TypeAlias, TypeVar

from .errors import TamperError, err
from .ids import (
    Claims,
    Pairs,
    checked_index,
    checked_labels,
    distinct_ids,
    malformed,
    sorted_claims,
    sorted_frontier,
    sorted_ids,
    sorted_pairs,
)
from .ids import entry_id as entry_id
from .ids import pack_id as pack_id
from .ids import page_id as page_id

FORMAT_VERSION: Final = 2
"""Storage format of this version. A store of another format is refused."""

NO_CATALOG: Final = -1
"""``ReadHeads.catalog_version`` of a client that knows no catalog."""
NO_EPOCH: Final = -1
"""``TableCursor.epoch`` of a client that holds no manifest."""
NO_INDEX: Final = -1
"""``ReadVisible.order`` of a request without an order."""
VISIBLE_KINDS: Final[tuple[VisibleKind, ...]] = ("tag", "order", "compare")
"""Kinds of server-visible entries, in the order of their numbers from 1."""
VISIBLE_BYTES: Final = 1_024
"""Longest value of a server-visible entry: B-trees of PostgreSQL take about 2,700 bytes."""

Relation: TypeAlias = Literal["rows", "packs", "pages", "tombstones", "visible"]
LeaseKind: TypeAlias = Literal["ordinal", "segment"]
ClaimKind: TypeAlias = Literal["merge", "write"]
VisibleKind: TypeAlias = Literal["tag", "order", "compare"]

CLAIM_SECONDS: Final = 60
"""Longest time for which a claim is granted at once; its holder asks again to keep it."""


# --- Reading: one store snapshot answers all requests of a statement. ------------------------------


@dataclass(frozen=True, slots=True)
class TableCursor:
    """What a client already holds of one table.

    Attributes:
        table: the table's id.
        epoch: epoch of the manifest held, :data:`NO_EPOCH` for none.
        chain: epoch from which on links are wanted (a pin may know more than the memory).
        frontier: last delta held of every writer with deltas that no merge has folded.
    """

    table: int
    epoch: int
    chain: int
    frontier: tuple[tuple[bytes, int], ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "frontier", sorted_frontier(self.frontier))


@dataclass(frozen=True, slots=True)
class ReadHeads:
    """Ask for everything about the database's state that the client does not hold yet.

    It is sent before every statement and does not depend on what the statement looks for.

    Attributes:
        catalog_version: version known, :data:`NO_CATALOG` for none.
        cursors: one per table whose state the client keeps.
        if_changed: accept ``Heads.unchanged`` instead of a full answer.
    """

    catalog_version: int
    cursors: tuple[TableCursor, ...]
    if_changed: bool

    def __post_init__(self) -> None:
        ordered = tuple(sorted(self.cursors, key=lambda cursor: cursor.table))
        if len({cursor.table for cursor in ordered}) != len(ordered):
            raise malformed("a table is named twice")
        object.__setattr__(self, "cursors", ordered)


@dataclass(frozen=True, slots=True)
class ReadPages:
    """Ask for sealed index pages by page id."""

    table: int
    ids: tuple[int, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "ids", sorted_ids(self.ids))


@dataclass(frozen=True, slots=True)
class ReadRows:
    """Ask for sealed rows by label; ``None`` asks for every row of the relation."""

    table: int
    labels: tuple[int, ...] | None

    def __post_init__(self) -> None:
        if self.labels is not None:
            object.__setattr__(self, "labels", sorted_ids(self.labels))


@dataclass(frozen=True, slots=True)
class ReadPacks:
    """Ask for sealed columns of packs by pack id."""

    table: int
    ids: tuple[int, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "ids", sorted_ids(self.ids))


@dataclass(frozen=True, slots=True)
class ReadKeys:
    """Ask which rows claim these tags of unique values; ``None`` asks for every claim."""

    table: int
    tags: tuple[bytes, ...] | None

    def __post_init__(self) -> None:
        if self.tags is not None:
            object.__setattr__(self, "tags", tuple(sorted(set(self.tags))))


@dataclass(frozen=True, slots=True)
class ListIds:
    """Ask for every id in one relation of a table, for a check of the whole store."""

    table: int
    relation: Relation


@dataclass(frozen=True, slots=True)
class DeltaBlob:
    """One sealed delta: the ``n``-th of its writer in its table."""

    writer: bytes
    n: int
    blob: bytes

    def __post_init__(self) -> None:
        sorted_frontier([(self.writer, self.n)])
        if type(self.blob) is not bytes:
            raise malformed("a delta is not bytes")


# --- Server-visible indexes: values in clear to the store, which it filters, sorts, groups and joins by.


@dataclass(frozen=True, slots=True)
class VisibleBatch:
    """Entries of one server-visible index.

    Attributes:
        index: the index's id within its table, below 2**19.
        kind: what may be done with the values: ``tag`` compares for equality, ``order`` byte by byte,
            ``compare`` with a token alone.
        entries: (label, value).
    """

    index: int
    kind: VisibleKind
    entries: Pairs

    def __post_init__(self) -> None:
        object.__setattr__(self, "index", checked_index(self.index))
        object.__setattr__(self, "entries", checked_labels(sorted_pairs(self.entries)))
        _check_visible(self.kind, (value for _, value in self.entries))


@dataclass(frozen=True, slots=True)
class VisibleTest:
    """One condition on the values of one server-visible index.

    Attributes:
        index: the index's id.
        kind: as the index's entries have it.
        values: ``tag``: the values asked for. ``order``: least and greatest value, and ``compare``: a
            token of each; empty bytes are no bound.
        low_open: whether the lower bound itself is left out.
        high_open: the same for the upper bound.
    """

    index: int
    kind: VisibleKind
    values: tuple[bytes, ...]
    low_open: bool = False
    high_open: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "index", checked_index(self.index))
        _check_visible(self.kind, self.values)
        if self.kind == "tag":
            object.__setattr__(self, "values", tuple(sorted(set(self.values))))
        elif len(self.values) != 2:
            raise malformed("a range has two ends")


@dataclass(frozen=True, slots=True)
class ReadVisible:
    """Ask which rows pass every test; answered by :class:`Ids` with their labels.

    With ``order``, only the first ``limit`` of them in the order of the values of that index, of kind
    ``order``, and all rows that tie with the last of these; rows without an entry there are left out.

    Attributes:
        table: the table's id.
        tests: at least one, unless there is an order.
        order: id of an index, :data:`NO_INDEX` for none.
        descending: whether the greatest values come first.
        limit: number of rows wanted, at least 1 with an order.
    """

    table: int
    tests: tuple[VisibleTest, ...]
    order: int = -1
    descending: bool = False
    limit: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "tests", tuple(sorted(self.tests, key=_test_order)))
        ordered = self.order != NO_INDEX
        if ordered:
            object.__setattr__(self, "order", checked_index(self.order))
        if ordered != (self.limit > 0) or not (ordered or self.tests):
            raise malformed("a request for rows without a condition")


@dataclass(frozen=True, slots=True)
class ReadGroups:
    """Ask for the values of one index of kind ``tag``, over the rows that pass every test."""

    table: int
    index: int
    tests: tuple[VisibleTest, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "index", checked_index(self.index))
        object.__setattr__(self, "tests", tuple(sorted(self.tests, key=_test_order)))


@dataclass(frozen=True, slots=True)
class JoinSide:
    """One side of a join: rows of a table that pass every test, joined by the tags of an index."""

    table: int
    index: int
    tests: tuple[VisibleTest, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "index", checked_index(self.index))
        object.__setattr__(self, "tests", tuple(sorted(self.tests, key=_test_order)))


@dataclass(frozen=True, slots=True)
class ReadJoin:
    """Ask which rows of either side have a tag that the other side has as well."""

    left: JoinSide
    right: JoinSide


@dataclass(frozen=True, slots=True)
class ReadEntries:
    """Ask for entries of server-visible indexes by entry id; answered by :class:`Blobs`.

    Each blob is one byte, 1 for ``tag``, 2 for ``order`` and 3 for ``compare``, and the value; one
    zero byte for an entry that is damaged.
    """

    table: int
    ids: tuple[int, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "ids", sorted_ids(self.ids))


def _check_visible(kind: str, values: Iterable[bytes]) -> None:
    """Only what every store can hold and compare."""
    if kind not in VISIBLE_KINDS:
        raise malformed("a server-visible index is of no kind")
    if any(type(value) is not bytes or len(value) > VISIBLE_BYTES for value in values):
        raise malformed("a server-visible value is not bytes, or too long")


def _test_order(test: VisibleTest) -> tuple[int, str, tuple[bytes, ...], bool, bool]:
    return test.index, test.kind, test.values, test.low_open, test.high_open


def sorted_batches(batches: tuple[VisibleBatch, ...]) -> tuple[VisibleBatch, ...]:
    """Batches by index, each index once."""
    ordered = tuple(sorted(batches, key=lambda batch: batch.index))
    if len({batch.index for batch in ordered}) != len(ordered):
        raise malformed("an index is named twice")
    return ordered


@dataclass(frozen=True, slots=True)
class ReadLayout:
    """Ask for everything clear that a copy of the whole store needs beside its blobs."""


@dataclass(frozen=True, slots=True)
class Describe:
    """Ask what the store is and how large."""


def _malformed_answer() -> TamperError:
    """The error for an answer whose types are not those of this file."""
    return err(TamperError, "E_TAMPERED", "the store's answer is malformed")


def _require(values: object, kind: type, length: int | None = None) -> None:
    """Every value of a tuple must be of this very type, so that 1.0 and True are no ids."""
    if type(values) is not tuple or set(map(type, values)) - {kind}:
        raise _malformed_answer()
    if length is not None and any(len(one) != length for one in values):
        raise _malformed_answer()


@dataclass(frozen=True, slots=True)
class TableHeads:
    """The state of one table.

    Attributes:
        table: the table's id.
        epoch: epoch of the current manifest, 0 for none.
        manifest: the sealed manifest; ``None`` if the client holds it or there is none.
        links: links of the epochs after ``TableCursor.chain``, ascending.
        deltas: every delta after the client's frontier, by writer and number.
        ends: (writer, greatest n, count) over all deltas in the store.
    """

    table: int
    epoch: int
    manifest: bytes | None
    links: tuple[bytes, ...]
    deltas: tuple[DeltaBlob, ...]
    ends: tuple[tuple[bytes, int, int], ...]

    def __post_init__(self) -> None:
        _require((self.table, self.epoch), int)
        _require(() if self.manifest is None else (self.manifest,), bytes)
        _require(self.links, bytes, 32)
        _require(self.deltas, DeltaBlob)
        for delta in self.deltas:
            _require((delta.writer,), bytes, 16)
            _require((delta.blob,), bytes)
            _require((delta.n,), int)
        _require(self.ends, tuple, 3)
        for writer, last, count in self.ends:
            _require((writer,), bytes)
            _require((last, count), int)


@dataclass(frozen=True, slots=True)
class Heads:
    """The state of the database at the snapshot.

    Attributes:
        unchanged: nothing that the request asks about changed since this store's last full
            answer; ``catalog`` and ``tables`` are empty then.
        database: 16 bytes, the database's identity.
        format: storage format.
        incarnation: 16 bytes, another for every restored copy.
        catalog_version: current version; the catalog of a new database is version 0.
        catalog: the sealed catalog; ``None`` if the client knows this version.
        catalog_links: links of the versions after the one known, ascending.
        tables: one entry per cursor whose table exists.
    """

    unchanged: bool
    database: bytes
    format: int
    incarnation: bytes
    catalog_version: int
    catalog: bytes | None
    catalog_links: tuple[bytes, ...]
    tables: tuple[TableHeads, ...]

    def __post_init__(self) -> None:
        _require((self.unchanged,), bool)
        _require((self.format, self.catalog_version), int)
        _require((self.database, self.incarnation), bytes, 16)
        _require(() if self.catalog is None else (self.catalog,), bytes)
        _require(self.catalog_links, bytes, 32)
        _require(self.tables, TableHeads)
        for one in self.tables:
            one.__post_init__()


@dataclass(frozen=True, slots=True)
class Blobs:
    """The blobs that exist among those asked for, ascending by id. Absent ids are left out."""

    table: int
    ids: tuple[int, ...]
    blobs: tuple[bytes, ...]

    def __post_init__(self) -> None:
        # A store is not trusted to answer with the types of its schema.
        _require(self.ids, int)
        _require(self.blobs, bytes)
        if len(self.ids) != len(self.blobs):
            raise _malformed_answer()


@dataclass(frozen=True, slots=True)
class Ids:
    """Every id of a relation, or labels of the rows that pass tests; ascending."""

    table: int
    ids: tuple[int, ...]

    def __post_init__(self) -> None:
        _require(self.ids, int)


@dataclass(frozen=True, slots=True)
class Groups:
    """Groups of equal tags: (tag, number of rows, label of one of them), ascending by tag."""

    table: int
    groups: tuple[tuple[bytes, int, int], ...]

    def __post_init__(self) -> None:
        _require(self.groups, tuple, 3)
        for tag, count, label in self.groups:
            _require((tag,), bytes)
            _require((count, label), int)


@dataclass(frozen=True, slots=True)
class Joined:
    """Labels of the rows of both sides of a join, ascending."""

    left: tuple[int, ...]
    right: tuple[int, ...]

    def __post_init__(self) -> None:
        _require(self.left, int)
        _require(self.right, int)


@dataclass(frozen=True, slots=True)
class Keys:
    """Claims of unique values: (tag, label of the claiming row), ascending by tag."""

    table: int
    claims: Claims

    def __post_init__(self) -> None:
        _require(self.claims, tuple, 2)
        for tag, label in self.claims:
            _require((tag,), bytes)
            _require((label,), int)


@dataclass(frozen=True, slots=True)
class FoldedEnd:
    """Where a writer ended whose deltas were all folded, so that a repeated commit is recognised.

    Attributes:
        writer: 16 bytes.
        n: number of its last folded delta.
        digest: SHA-256 of that delta.
        day: days since 1970 when it was folded.
    """

    writer: bytes
    n: int
    digest: bytes
    day: int

    def __post_init__(self) -> None:
        _require((self.writer,), bytes, 16)
        _require((self.digest,), bytes, 32)
        _require((self.n, self.day), int)


@dataclass(frozen=True, slots=True)
class TableLayout:
    """What the store keeps of one table beside its blobs.

    Attributes:
        table: the table's id.
        epoch: epoch of the current manifest, 0 for none.
        manifest: the sealed manifest, ``None`` for none.
        links: links of the epochs 1 ... ``epoch``.
        next_ordinal: the first ordinal that was never leased.
        next_segment: the first segment number that was never leased.
        folded: ends of folded writers, by writer.
        staged_segments: segments of unpublished stages; a copy leaves their pages out.
        staged_packs: packs of unpublished stages; a copy leaves their columns out.
    """

    table: int
    epoch: int
    manifest: bytes | None
    links: tuple[bytes, ...]
    next_ordinal: int
    next_segment: int
    folded: tuple[FoldedEnd, ...]
    staged_segments: tuple[int, ...] = ()
    staged_packs: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        _require((self.table, self.epoch, self.next_ordinal, self.next_segment), int)
        _require(self.staged_segments, int)
        _require(self.staged_packs, int)
        _require(() if self.manifest is None else (self.manifest,), bytes)
        _require(self.links, bytes, 32)
        _require(self.folded, FoldedEnd)
        for one in self.folded:
            one.__post_init__()


@dataclass(frozen=True, slots=True)
class Layout:
    """The whole store beside its blobs, at the snapshot.

    Attributes:
        database: 16 bytes, the database's identity.
        format: storage format.
        incarnation: 16 bytes.
        catalog_version: current version.
        catalog: the sealed catalog of that version.
        catalog_links: links of the versions 0 ... ``catalog_version``.
        tables: every table, by id.
    """

    database: bytes
    format: int
    incarnation: bytes
    catalog_version: int
    catalog: bytes
    catalog_links: tuple[bytes, ...]
    tables: tuple[TableLayout, ...]

    def __post_init__(self) -> None:
        _require((self.database, self.incarnation), bytes, 16)
        _require((self.format, self.catalog_version), int)
        _require((self.catalog,), bytes)
        _require(self.catalog_links, bytes, 32)
        _require(self.tables, TableLayout)
        for one in self.tables:
            one.__post_init__()


@dataclass(frozen=True, slots=True)
class Described:
    """What a store says about itself.

    Attributes:
        product: the database below.
        version: its version, such as 3, 40, 1.
        bytes: size of everything it keeps, with what is free inside.
        free: bytes that hold nothing and are used again.
        writable: whether writing is possible at all.
    """

    product: Literal["SQLite", "PostgreSQL"]
    version: tuple[int, ...]
    bytes: int
    free: int
    writable: bool

    def __post_init__(self) -> None:
        if self.product not in {"SQLite", "PostgreSQL"}:
            raise _malformed_answer()
        _require(self.version, int)
        _require((self.bytes, self.free), int)
        _require((self.writable,), bool)


# --- Writing: one Commit is one store transaction. -------------------------------------------------


@dataclass(frozen=True, slots=True)
class Swap:
    """A merge: replace the manifest and drop what it folded, as a compare-and-swap on the epoch.

    Attributes:
        epoch: the new epoch, one more than the expected one.
        manifest: the sealed manifest of that epoch.
        link: SHA-256 of ``manifest``.
        published: stages whose pages and packs the manifest uses from now on.
        frontier: if given, no delta beyond these ends may exist when the swap happens.
        folded_deltas: (writer, n) of deltas to remove; each must exist.
        folded_rows: labels of recent rows that packs replace.
        folded_keys: claims that the hidden indexes replace.
        folded_tombstones: labels whose removal the manifest has taken in.
        retired_segments: segments whose pages are dropped.
        retired_packs: packs whose columns are dropped.
    """

    epoch: int
    manifest: bytes
    link: bytes
    published: tuple[int, ...] = ()
    frontier: tuple[tuple[bytes, int], ...] | None = None
    folded_deltas: tuple[tuple[bytes, int], ...] = ()
    folded_rows: tuple[int, ...] = ()
    folded_keys: Claims = ()
    folded_tombstones: tuple[int, ...] = ()
    retired_segments: tuple[int, ...] = ()
    retired_packs: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        rows, retired = ("folded_rows", "folded_tombstones"), ("retired_segments", "retired_packs")
        for name in ("published", *rows, *retired):
            object.__setattr__(self, name, distinct_ids(getattr(self, name)))
        object.__setattr__(self, "folded_deltas", sorted_frontier(self.folded_deltas))
        object.__setattr__(self, "folded_keys", sorted_claims(self.folded_keys))
        if self.frontier is not None:
            object.__setattr__(self, "frontier", sorted_frontier(self.frontier))


@dataclass(frozen=True, slots=True)
class TableChange:
    """The changes of one transaction to one table. Removals come first, then additions.

    Attributes:
        table: the table's id.
        epoch: the epoch that the writer has verified.
        rows_added: (label, sealed row) of new rows.
        rows_removed: labels of recent rows; each must exist.
        tombstones: labels of settled rows that this transaction removes; each must be new.
        keys_added: (tag, label) claims; each tag must be free.
        keys_removed: (tag, label) claims; each must exist.
        visible_added: entries of server-visible indexes of the new rows.
        visible_removed: entry ids; those that are not there are ignored, as of a NULL.
        visible_dropped: indexes whose every entry goes.
        delta: the sealed list of changes.
        swap: the merge that this commit completes.
    """

    table: int
    epoch: int
    rows_added: Pairs = ()
    rows_removed: tuple[int, ...] = ()
    tombstones: tuple[int, ...] = ()
    keys_added: Claims = ()
    keys_removed: Claims = ()
    visible_added: tuple[VisibleBatch, ...] = ()
    visible_removed: tuple[int, ...] = ()
    visible_dropped: tuple[int, ...] = ()
    delta: DeltaBlob | None = None
    swap: Swap | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "visible_added", sorted_batches(self.visible_added))
        object.__setattr__(self, "visible_removed", distinct_ids(self.visible_removed))
        dropped = tuple(map(checked_index, distinct_ids(self.visible_dropped)))
        object.__setattr__(self, "visible_dropped", dropped)
        object.__setattr__(self, "rows_added", sorted_pairs(self.rows_added))
        object.__setattr__(self, "rows_removed", distinct_ids(self.rows_removed))
        object.__setattr__(self, "tombstones", distinct_ids(self.tombstones))
        object.__setattr__(self, "keys_added", sorted_claims(self.keys_added))
        object.__setattr__(self, "keys_removed", sorted_claims(self.keys_removed))
        if self.swap is not None and self.swap.epoch != self.epoch + 1:
            raise malformed("a merge skips an epoch")


@dataclass(frozen=True, slots=True)
class CatalogChange:
    """A new version of the sealed catalog.

    Attributes:
        version: one more than the expected version.
        blob: the sealed catalog.
        link: SHA-256 of ``blob``.
        created: ids of tables that begin to exist with epoch 0.
        dropped: ids of tables whose every relation is dropped.
    """

    version: int
    blob: bytes
    link: bytes
    created: tuple[int, ...] = ()
    dropped: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "created", distinct_ids(self.created))
        object.__setattr__(self, "dropped", distinct_ids(self.dropped))


@dataclass(frozen=True, slots=True)
class Commit:
    """One transaction: all of it happens, once, or nothing of it.

    The same Commit may be sent again when its answer was lost: its deltas, manifests and catalog are
    sealed under fresh randomness, so finding one of them in place proves that all of it happened.

    Attributes:
        id: 16 random bytes per attempt, for traces.
        catalog_version: the version that the writer has verified.
        changes: at most one per table.
        catalog: the new catalog, if the transaction changes it.
        holder: 16 bytes, who sends it; only the holder of a ``write`` claim may change its table.
    """

    id: bytes
    catalog_version: int
    changes: tuple[TableChange, ...] = ()
    catalog: CatalogChange | None = None
    holder: bytes = b""

    def __post_init__(self) -> None:
        ordered = tuple(sorted(self.changes, key=lambda change: change.table))
        if len({change.table for change in ordered}) != len(ordered):
            raise malformed("a table is named twice")
        if self.catalog is not None and self.catalog.version != self.catalog_version + 1:
            raise malformed("a catalog skips a version")
        object.__setattr__(self, "changes", ordered)


@dataclass(frozen=True, slots=True)
class Committed:
    """The transaction is durable. ``repeated``: it already was, and nothing was written now."""

    repeated: bool = False


@dataclass(frozen=True, slots=True)
class Stale:
    """Nothing was written: the writer's view of ``what`` is out of date. Read heads and try again.

    ``stage`` is final instead: the stage was swept, and its pages have to be built anew. ``held``
    asks for patience: another client has claimed the table's writes for a moment.
    """

    what: Literal["catalog", "epoch", "frontier", "stage", "held"]
    table: int = 0


@dataclass(frozen=True, slots=True)
class Conflict:
    """Nothing was written: another transaction came first.

    Attributes:
        kind: ``row``: rows to remove are gone, or were removed already; ``key``: a unique value
            is claimed already.
        table: the table's id.
        ids: labels concerned, for ``row``.
        tags: tags concerned, for ``key``.
    """

    kind: Literal["row", "key"]
    table: int
    ids: tuple[int, ...] = ()
    tags: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Lease:
    """Take ``count`` numbers that no one else will get, in a transaction of its own."""

    table: int
    kind: LeaseKind
    count: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "count", index(self.count))
        if self.count < 1:
            raise malformed("a lease of nothing")


@dataclass(frozen=True, slots=True)
class Leased:
    """The numbers ``first`` ... ``first + count - 1``. Ordinals begin at 0, segments at 1."""

    first: int
    count: int

    def __post_init__(self) -> None:
        _require((self.first, self.count), int)


@dataclass(frozen=True, slots=True)
class Claim:
    """Ask for a right that one client at a time has on a table, or give it back.

    Claims spare work and promise nothing: a merge is still a compare-and-swap on the epoch. ``merge``
    keeps others from building the same merge; ``write`` makes the commits of others wait, so that a
    change which needs the table to stand still comes to an end among busy writers. A claim ends by
    itself, so a client that died holds nobody up for longer than its seconds.

    Attributes:
        table: the table's id.
        kind: ``merge`` or ``write``.
        holder: 16 random bytes of the connection.
        seconds: how long, at most :data:`CLAIM_SECONDS`; 0 gives the claim back.
    """

    table: int
    kind: ClaimKind
    holder: bytes
    seconds: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "seconds", index(self.seconds))
        if not 0 <= self.seconds <= CLAIM_SECONDS or len(self.holder) != 16:
            raise malformed("a claim without a holder or an end")


@dataclass(frozen=True, slots=True)
class Claimed:
    """Whether the claim was granted; giving one back always is."""

    granted: bool

    def __post_init__(self) -> None:
        _require((self.granted,), bool)


@dataclass(frozen=True, slots=True)
class Stage:
    """Write pages and packs that nothing uses yet; a :class:`Swap` publishes the stage.

    Attributes:
        table: the table's id.
        stage: a leased segment number that names the stage; it may hold any number of segments
            and packs, and grows with every message.
        pages: (page id, sealed page).
        packs: (pack id, sealed column).
        visible: entries of server-visible indexes, which no request meets before the stage is published.
    """

    table: int
    stage: int
    pages: Pairs = ()
    packs: Pairs = ()
    visible: tuple[VisibleBatch, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "visible", sorted_batches(self.visible))
        object.__setattr__(self, "stage", index(self.stage))
        object.__setattr__(self, "pages", sorted_pairs(self.pages))
        object.__setattr__(self, "packs", sorted_pairs(self.packs))


@dataclass(frozen=True, slots=True)
class Staged:
    """The pages and packs are written; the stage's deadline starts anew."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """Drop what expired stages of a table left behind (interrupted loads and merges)."""

    table: int


@dataclass(frozen=True, slots=True)
class Swept:
    """The stages that were dropped."""

    stages: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Genesis:
    """The first state of a new database.

    Attributes:
        database: 16 random bytes, the database's identity.
        incarnation: 16 random bytes.
        format: storage format, :data:`FORMAT_VERSION`.
        catalog: the sealed empty catalog, version 0.
        link: SHA-256 of ``catalog``.
    """

    database: bytes
    incarnation: bytes
    format: int
    catalog: bytes
    link: bytes


# --- Copying a whole store, still sealed. ----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Put:
    """Write blobs into a store that is being copied into, and drop what the source dropped.

    The same message may be sent again. Blobs are immutable, so an id that is there already is
    written anew only to mend what a comparison found different.

    Attributes:
        table: the table's id; its relations are made when they are missing.
        relation: ``rows``, ``packs``, ``pages`` or ``visible``.
        added: (id, blob) to write; entries of ``visible`` as :class:`ReadEntries` gives them.
        removed: ids to drop; those that are not there are ignored.
    """

    table: int
    relation: Literal["rows", "packs", "pages", "visible"]
    added: Pairs = ()
    removed: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "added", sorted_pairs(self.added))
        object.__setattr__(self, "removed", distinct_ids(self.removed))


@dataclass(frozen=True, slots=True)
class TableContent:
    """The small relations of one table, complete.

    Attributes:
        table: the table's id.
        deltas: every delta, by writer and number.
        claims: (tag, label) of every claim.
        tombstones: every label.
    """

    table: int
    deltas: tuple[DeltaBlob, ...]
    claims: Claims
    tombstones: tuple[int, ...]

    def __post_init__(self) -> None:
        object.__setattr__(
            self, "deltas", tuple(sorted(self.deltas, key=lambda one: (one.writer, one.n)))
        )
        object.__setattr__(self, "claims", sorted_claims(self.claims))
        object.__setattr__(self, "tombstones", distinct_ids(self.tombstones))


@dataclass(frozen=True, slots=True)
class Finish:
    """Complete a store that was copied into: from now on it can be opened.

    The relations of tables that the layout does not name are dropped, and those that are missing are
    made. The same message may be sent again when its answer was lost.

    Attributes:
        layout: of the source, at the snapshot that the copy ends with, without its stages.
        contents: one entry per table of ``layout``.
    """

    layout: Layout
    contents: tuple[TableContent, ...]


_Answer = TypeVar(
    "_Answer", Heads, Blobs, Keys, Ids, Groups, Joined, Leased, Layout, Claimed, Described
)


def verified(answer: object, kind: type[_Answer]) -> _Answer:
    """An answer of that kind and well formed, however the store object made it.

    Raises:
        TamperError: it is something else.
    """
    if type(answer) is not kind:
        raise _malformed_answer()
    answer.__post_init__()
    return answer


ReadRequest: TypeAlias = (
    ReadHeads
    | ReadPages
    | ReadRows
    | ReadPacks
    | ReadKeys
    | ReadVisible
    | ReadGroups
    | ReadJoin
    | ReadEntries
    | ListIds
    | ReadLayout
)
ReadResponse: TypeAlias = Heads | Blobs | Keys | Ids | Groups | Joined | Layout
WriteRequest: TypeAlias = Commit | Lease | Stage | Sweep | Claim
WriteResponse: TypeAlias = Committed | Stale | Conflict | Leased | Staged | Swept | Claimed
CopyRequest: TypeAlias = Put | Finish
CopyResponse: TypeAlias = Staged | Committed
Request: TypeAlias = ReadRequest | WriteRequest | CopyRequest | Genesis | Describe
Response: TypeAlias = ReadResponse | WriteResponse | CopyResponse | Described
