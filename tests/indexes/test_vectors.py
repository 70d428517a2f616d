"""The product against the known answers in tests/vectors; `test_published` has those of the primitives.

Files in tests/vectors keep the storage format from changing unnoticed. They are computed a second time by
`make_vectors.py` beside them, from the bare primitives; its README says from what.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import importlib.util
import json
import math
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import numpy as np
import pyarrow as pa
import pytest

from indexes.encoding import order_keys, term_blocks, term_bytes
from indexes.keys import Key, pack_context
from indexes.labels import LabelMap
from indexes.multimap import hashed, postings
from indexes.multimap import sorted as sorted_segments
from indexes.multimap.batches import SortedEntries
from indexes.multimap.delta import DeltaBody, decode_delta, delta_class, encode_delta
from indexes.multimap.paging import chain_class, octave, shuffle
from indexes.multimap.placement import bucket_number, bucket_numbers, place_key
from indexes.multimap.postings import Positions, PostingBatch
from indexes.multimap.segment import HASHED, LIVENESS, SORTED, STATISTICS, SegmentInfo
from indexes.prf import BlockCipher
from indexes.records import liveness, pack, statistics
from indexes.records.row import RowLayout, row_aad
from indexes.seal import PAGE_USABLE, pad, size_class, unpad
from indexes.types import ColumnType, Kind
from proxy.keyspace import CatalogSealer, DatabaseKeys

VECTORS = Path(__file__).resolve().parents[1] / "vectors"


def load(name):
    return json.loads((VECTORS / name).read_text(encoding="ascii"))


def load_maker():
    spec = importlib.util.spec_from_file_location("make_vectors", VECTORS / "make_vectors.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


maker = load_maker()
KEYS = load("keys.json")
TABLE, INDEX = KEYS["table"], KEYS["index"]
SALT, TXN, WRITER = (bytes.fromhex(KEYS[name]) for name in ("salt", "txn", "writer"))
PLAIN = bytes.fromhex(KEYS["plaintext"])


@pytest.fixture(scope="module")
def database():
    root, *names = (bytes.fromhex(KEYS[name]) for name in ("root", "database", "incarnation"))
    return DatabaseKeys(Key(root), *names)


@pytest.fixture(scope="module")
def table(database):
    return database.table(TABLE)


class TestFiles:
    @pytest.mark.parametrize("name", maker.FILES)
    def test_the_second_implementation_still_gives_them(self, name):
        assert (VECTORS / name).read_text(encoding="ascii") == maker.render(maker.FILES[name]())

    def test_there_are_no_others(self):
        """But for messages of the wire and server-visible values, which have makers of their own."""
        assert {path.name for path in VECTORS.glob("*.json")} == {
            *maker.FILES,
            "wire.json",
            "visible.json",
        }

    def test_the_second_implementation_is_independent(self):
        source = (VECTORS / "make_vectors.py").read_text(encoding="utf-8")
        for room in ("indexes", "encdb", "proxy"):
            assert f"import {room}" not in source
            assert f"from {room}" not in source


class TestKeys:
    @pytest.mark.parametrize("case", load("contexts.json"), ids=lambda case: case["packed"][:20])
    def test_contexts(self, case):
        parts = [bytes.fromhex(p["bytes"]) if isinstance(p, dict) else p for p in case["parts"]]
        assert pack_context(*parts).hex() == case["packed"]

    def test_key_tree(self, table):
        keys = {
            "packs": table.packs,
            "hashed": table.hashed,
            "liveness": table.liveness,
            "statistics": table.statistics,
            "sorted": table.sorted_key(INDEX),
            "place": place_key(table.hashed, SALT),
            "pin": Key(bytes.fromhex(KEYS["root"])).derive("pin").derive("encdb/pin", 1),
        }
        assert {name: key.expose().hex() for name, key in keys.items()} == KEYS["keys"]
        assert table.genesis_chain.hex() == KEYS["genesis_chain"]

    def test_records(self, database, table):
        blobs = {name: bytes.fromhex(blob) for name, blob in KEYS["records"].items()}
        aad = row_aad(table.row_context, 5, TXN)
        assert table.rows.open(blobs["row"], aad) == PLAIN
        assert table.deltas.open(blobs["delta"], table.delta_aad(WRITER, 7)) == PLAIN
        assert table.manifests.open(blobs["manifest"], table.manifest_aad(9)) == PLAIN
        catalogs = CatalogSealer(Key(bytes.fromhex(KEYS["root"])), database.database)
        assert catalogs.open(2, blobs["catalog"]) == PLAIN

    def test_pages(self, table):
        plain = bytes(range(256)) * 15 + bytes(176)
        assert hashlib.sha256(plain).hexdigest() == KEYS["page_plaintext"]
        assert len(plain) == PAGE_USABLE

        def info(kind, index=0):
            return SegmentInfo(8, kind, index, SALT, 20, 1, 0)

        sealers = {
            "hashed": hashed._sealer(table.hashed, TABLE, info(HASHED)),
            "sorted": sorted_segments._sealer(table.sorted_key(INDEX), TABLE, info(SORTED, INDEX)),
            "liveness": liveness._sealer(table.liveness, TABLE, info(LIVENESS)),
            "statistics": statistics._sealer(table.statistics, TABLE, info(STATISTICS)),
        }
        for name, sealer in sealers.items():
            sealed = hashlib.sha256(sealer.seal(3, plain)).hexdigest()
            assert sealed == KEYS["pages"][name], name

    def test_pack(self, table):
        sealer = pack.PackSealer(table.packs, SALT, table.aad("pack"))
        assert sealer.seal(17, 2, PLAIN).hex() == KEYS["pages"]["pack"]


class TestStatistics:
    @pytest.mark.parametrize("case", load("statistics.json"), ids=lambda case: str(case["column"]))
    def test_columns(self, case, table):
        terms = [bytes.fromhex(term) for term in case["terms"]]
        words = [
            int(
                table.value_words.blocks(np.frombuffer(term, np.uint8).reshape(1, 16))[0]
                if len(term) == 16
                else table.value_words.items([term])[0]
            )
            for term in terms
        ]
        assert list(map(str, words)) == case["words"]
        figures = statistics.ColumnFigures(
            case["column"],
            *case["counts"],
            *case["means"],
            np.array(words, dtype=np.uint64),
            np.array(case["shares"], dtype=np.float64),
            np.array(
                [[int(half) for half in bound] for bound in case["bounds"]], dtype=np.uint64
            ).reshape(-1, 2),
        )
        page = np.zeros(PAGE_USABLE, dtype=np.uint8)
        statistics._lay_out(page, figures)
        front = bytes.fromhex(case["page"])
        assert page.tobytes() == front + bytes(PAGE_USABLE - len(front))
        read = statistics._read_page(page)
        assert read.column == figures.column
        assert read.bounds.tolist() == figures.bounds.tolist()
        assert read.shares.tolist() == figures.shares.tolist()
        assert read.words.tolist() == words


class TestClasses:
    @pytest.mark.parametrize(
        ("name", "function"),
        [
            ("record", size_class),
            ("delta", delta_class),
            ("pages", octave),
            ("chain", chain_class),
        ],
    )
    def test_classes(self, name, function):
        for size, expected in load("classes.json")[name]:
            assert function(size) == expected


class TestTerms:
    def test_items(self, table):
        cases = load("prf.json")["items"]
        terms = [bytes.fromhex(case["term"]) for case in cases]
        words = table.index_words(INDEX).items(terms)
        tags = table.index_tags(INDEX).tag_items(terms)
        assert [str(word) for word in words.tolist()] == [case["word"] for case in cases]
        assert [tag.tobytes().hex() for tag in tags] == [case["tag"] for case in cases]

    def test_blocks(self, table):
        cases = load("prf.json")["blocks"]
        joined = b"".join(bytes.fromhex(case["term"]) for case in cases)
        blocks = np.frombuffer(joined, dtype=np.uint8).reshape(-1, 16)
        words = table.index_words(INDEX).blocks(blocks)
        tags = table.index_tags(INDEX).tag_blocks(blocks)
        assert [str(word) for word in words.tolist()] == [case["word"] for case in cases]
        assert [tag.tobytes().hex() for tag in tags] == [case["tag"] for case in cases]

    @pytest.mark.parametrize("case", load("labels.json"), ids=lambda case: str(case["block"]))
    def test_labels(self, table, case):
        ordinals = (case["block"] << 12) + np.arange(4096, dtype=np.int64)
        labels = table.labels.to_labels(ordinals)
        assert [str(label) for label in labels[:8].tolist()] == case["first"]
        assert hashlib.sha256(labels.astype("<i8").tobytes()).hexdigest() == case["sha256"]
        few = table.labels.to_labels(ordinals[:3])
        assert few.tolist() == labels[:3].tolist()
        assert np.array_equal(table.labels.to_ordinals(labels), ordinals)

    def test_labels_depend_on_the_key(self, table):
        ordinals = np.arange(4096, dtype=np.int64)
        other = LabelMap(Key.random()).to_labels(ordinals)
        assert not np.array_equal(other, table.labels.to_labels(ordinals))

    def test_placement(self, table):
        case = load("placement.json")
        words = [int(word) for word in case["words"]]
        cipher = BlockCipher(place_key(table.hashed, SALT))
        for count, expected in case["buckets"].items():
            many = bucket_numbers(cipher, np.array(words, dtype=np.uint64), int(count))
            assert many.tolist() == expected
            assert [bucket_number(cipher, word, int(count)) for word in words] == expected

    def test_shuffle(self, table):
        # The order of AES outputs says where each logical page lies.
        info = SegmentInfo(8, HASHED, 0, SALT, 41, 1, 0)
        found = shuffle(hashed._shuffle_key(table.hashed, info), 40)
        assert found.tolist() == load("placement.json")["shuffle"]


def python_value(kind, value):
    """A value of a vector as Arrow takes it."""
    if value is None:
        return None
    makers = {
        Kind.DECIMAL: Decimal,
        Kind.REAL: float,
        Kind.DOUBLE: float,
        Kind.BLOB: bytes.fromhex,
        Kind.DATE: dt.date.fromisoformat,
        Kind.TIME: dt.time.fromisoformat,
        Kind.TIMESTAMP: dt.datetime.fromisoformat,
        Kind.TIMESTAMPTZ: dt.datetime.fromisoformat,
        Kind.UUID: lambda text: UUID(text).bytes,
        Kind.INTERVAL: pa.MonthDayNano,
    }
    make = makers.get(kind.kind)
    return value if make is None else make(value)


def array_of(kind, values):
    found = [python_value(kind, value) for value in values]
    return pa.array(found, kind.arrow)


class TestEncodings:
    @pytest.mark.parametrize("case", load("encodings.json"), ids=lambda case: case["type"])
    def test_order_keys_and_terms(self, case):
        kind = ColumnType.parse(case["type"])
        array = array_of(kind, case["values"])
        keys, valid = order_keys(array, kind)
        assert valid.all()
        assert [[str(high), str(low)] for high, low in keys.tolist()] == case["order"]
        assert [term.hex() for term in term_bytes([array], [kind])] == case["terms"]
        blocks = term_blocks(array, kind)
        assert (blocks is None) == kind.variable
        if blocks is not None:
            # The term in a tuple is a type byte, a length and the block itself.
            assert [block.tobytes().hex() for block in blocks] == [t[10:] for t in case["terms"]]

    @pytest.mark.parametrize("case", load("encodings.json"), ids=lambda case: case["type"])
    def test_vectors_are_in_sql_order(self, case):
        halves = [(int(high), int(low)) for high, low in case["order"]]
        assert halves == sorted(halves)

    def test_tuples(self):
        for case in load("tuples.json"):
            kinds = [ColumnType.parse(text) for text in case["types"]]
            arrays = [
                array_of(kind, [value]) for kind, value in zip(kinds, case["row"], strict=True)
            ]
            (found,) = term_bytes(arrays, kinds)
            assert (None if found is None else found.hex()) == case["term"]


class TestPostings:
    @pytest.mark.parametrize("case", load("postings.json"), ids=lambda case: case["list"][:20])
    def test_lists(self, case):
        listed = case["postings"]
        positions = None
        if "positions" in listed[0]:
            flat = [place for one in listed for place in one["positions"]]
            ends = np.cumsum([0, *(len(one["positions"]) for one in listed)])
            positions = Positions(np.array(flat, dtype=np.uint32), ends.astype(np.int64))
        batch = PostingBatch(
            np.full(len(listed), 77, dtype=np.uint64),
            np.array([one["ordinal"] for one in listed], dtype=np.int64),
            np.array([one["payload"] for one in listed], dtype=np.uint32).reshape(len(listed), -1),
            positions,
        )
        encoded = postings.encode(batch)
        assert encoded.words.tolist() == [77]
        assert encoded.get(0).hex() == case["list"]
        decoded = postings.decode(bytes.fromhex(case["list"]))
        assert decoded.ordinals.tolist() == batch.ordinals.tolist()
        assert decoded.payload.tolist() == batch.payload.tolist()
        if positions is None:
            assert decoded.positions is None
        else:
            assert decoded.positions.flat.tolist() == positions.flat.tolist()
            assert decoded.positions.offsets.tolist() == positions.offsets.tolist()


def same_values(left, right):
    for one, other in zip(left, right, strict=True):
        if isinstance(one, float) and isinstance(other, float) and math.isnan(one):
            assert math.isnan(other)
        else:
            assert one == other


class TestRecords:
    @pytest.mark.parametrize("case", load("rows.json"), ids=lambda case: case["body"][:40])
    def test_rows(self, case):
        kinds = [ColumnType.parse(text) for text in case["types"]]
        layout = RowLayout(list(enumerate(kinds, start=1)), schema=case["schema"])
        arrays = [array_of(kind, [value]) for kind, value in zip(kinds, case["row"], strict=True)]
        batch = pa.RecordBatch.from_arrays(arrays, names=[str(n) for n in range(len(kinds))])
        (body,) = layout.encode(batch)
        assert body.hex() == case["body"]
        assert len(pad(body)) == case["padded"]
        assert unpad(pad(body)) == body
        back = layout.decode([bytes.fromhex(case["body"])])
        assert [column.to_pylist() for column in back.columns] == [
            array.to_pylist() for array in arrays
        ]
        values = layout.decode_one(body)
        assert layout.encode_one(values) == body

    @pytest.mark.parametrize("case", load("packs.json")["columns"], ids=lambda case: case["type"])
    def test_pack_columns(self, case):
        kind = ColumnType.parse(case["type"])
        array = array_of(kind, case["values"])
        assert pack.encode_column(array, kind).hex() == case["blob"]
        back = pack.decode_column(bytes.fromhex(case["blob"]), kind)
        same_values(back.to_pylist(), array.to_pylist())

    def test_pack_directory(self):
        case = load("packs.json")["directory"]
        slots = np.array(case["slots"], dtype=np.uint16)
        assert pack.encode_directory(slots, case["columns"]).hex() == case["blob"]
        blob = bytes.fromhex(case["blob"])
        assert pack.decode_directory(blob).tolist() == case["slots"]
        assert pack.directory_columns(blob) == set(case["columns"])


def delta_of(case):
    def batch(one):
        count = len(one["words"])
        positions = None
        if "positions" in one:
            flat = [place for listed in one["positions"] for place in listed]
            ends = np.cumsum([0, *map(len, one["positions"])])
            positions = Positions(np.array(flat, dtype=np.uint32), ends.astype(np.int64))
        columns = [np.array(column, dtype=np.uint32) for column in one["payload"]]
        payload = np.stack(columns, axis=1) if columns else np.zeros((count, 0), dtype=np.uint32)
        words = np.array([int(word) for word in one["words"]], dtype=np.uint64)
        return PostingBatch(words, np.array(one["ordinals"], dtype=np.int64), payload, positions)

    def entries(keys, ordinals):
        halves = [[int(high), int(low)] for high, low in keys]
        return SortedEntries(np.array(halves, np.uint64), np.array(ordinals, dtype=np.int64))

    return DeltaBody(
        incarnation=bytes.fromhex(case["incarnation"]),
        catalog_version=case["catalog_version"],
        catalog_hash=bytes.fromhex(case["catalog_hash"]),
        txn=bytes.fromhex(case["txn"]),
        prev=bytes.fromhex(case["prev"]),
        epoch=case["epoch"],
        chain=bytes.fromhex(case["chain"]),
        seen={bytes.fromhex(w): (n, bytes.fromhex(h)) for w, (n, h) in case["seen"].items()},
        siblings=[(number, bytes.fromhex(w), n, at) for number, w, n, at in case["siblings"]],
        added=np.array(case["added"], dtype=np.int64),
        removed=np.array(case["removed"], dtype=np.int64),
        hashed=[batch(one) for one in case["hashed"]],
        sorted={int(index): entries(*pair) for index, pair in case["sorted"].items()},
        stats={int(index): (docs, tokens) for index, (docs, tokens) in case["stats"].items()},
    )


@pytest.mark.parametrize("case", load("deltas.json"), ids=["empty", "full"])
def test_deltas(case):
    body = delta_of(case)
    assert encode_delta(body).hex() == case["body"]
    back = decode_delta(bytes.fromhex(case["body"]))
    for name in (
        "incarnation",
        "catalog_version",
        "catalog_hash",
        "txn",
        "prev",
        "epoch",
        "chain",
        "seen",
        "stats",
    ):
        assert getattr(back, name) == getattr(body, name)
    assert back.siblings == body.siblings
    assert back.added.tolist() == body.added.tolist()
    assert back.removed.tolist() == body.removed.tolist()
    assert encode_delta(back) == encode_delta(body)
