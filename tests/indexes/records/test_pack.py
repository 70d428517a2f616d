from __future__ import annotations

import os
import struct
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexes.errors import EncodingRefused, IntegrityFailure
from indexes.keys import Key
from indexes.records import pack
from indexes.records.pack import (
    PackSealer,
    decode_column,
    decode_directory,
    directory_columns,
    encode_column,
    encode_directory,
    pack_address,
)
from indexes.seal import size_class
from indexes.types import ColumnType
from tests.indexes.columns import columns, same, to_arrow

parse = ColumnType.parse
KEY = Key(bytes(range(32)))


@given(columns())
def test_round_trip(drawn):
    kind, _, array = drawn
    blob = encode_column(array, kind)
    assert size_class(len(blob)) == len(blob)
    opened = decode_column(blob, kind)
    opened.validate(full=True)
    assert same(opened, array)


@pytest.mark.parametrize(
    "name", ["BIGINT", "DOUBLE", "TEXT", "BLOB", "DECIMAL(30,2)", "UUID", "DATE"]
)
def test_values_are_used_where_they_lie(name):
    kind = parse(name)
    item = {"TEXT": "abc", "BLOB": b"abc", "UUID": bytes(16)}.get(name, 1)
    array = to_arrow(kind, [item] * 4096)
    blob = encode_column(array, kind)
    opened = decode_column(blob, kind)
    start = pa.py_buffer(blob).address
    for buffer in opened.buffers()[1:]:
        assert start <= buffer.address < start + len(blob)
        assert (buffer.address - start) % 16 == 0


def test_nulls_do_not_show_in_the_size():
    kind = parse("BIGINT")
    sizes = {
        len(encode_column(pa.array(values, pa.int64()), kind))
        for values in ([1] * 4096, [None] * 4096, [1, None] * 2048, [2**62] * 4096)
    }
    assert len(sizes) == 1


def test_undefined_slots_are_not_written():
    garbage = pa.Array.from_buffers(pa.int64(), 1, [pa.py_buffer(b"\0"), pa.py_buffer(b"secretly")])
    assert b"secret" not in encode_column(garbage, parse("BIGINT"))


def test_slices_keep_nothing_of_the_rest():
    array = pa.array(["before", "x", "after"])[1:2]
    blob = encode_column(array, parse("TEXT"))
    assert b"before" not in blob
    assert b"after" not in blob
    assert decode_column(blob, parse("TEXT")).to_pylist() == ["x"]


def test_blob_layout():
    blob = encode_column(pa.array(["é", None, "z"]), parse("TEXT"))
    assert blob[:16] == struct.pack("<IBBBBQ", 3, 8, 0, 0, 0, 3)
    assert blob[16:32] == b"\x05".ljust(16, b"\0")
    assert blob[32:48] == struct.pack("<4i", 0, 2, 2, 3)
    assert blob[48:] == "éz".encode().ljust(len(blob) - 48, b"\0")
    narrow = encode_column(pa.array([Decimal("-0.01")], pa.decimal128(5, 2)), parse("DECIMAL(5,2)"))
    assert narrow[:16] == struct.pack("<IBBBBQ", 1, 5, 0, 5, 2, 0)
    assert narrow[32:40] == struct.pack("<q", -1)


def test_types_are_told_apart():
    array = pa.array([1], pa.int64())
    blob = encode_column(array, parse("BIGINT"))
    for other in ("INTEGER", "TIMESTAMP", "DOUBLE", "TEXT", "DECIMAL(18,0)"):
        with pytest.raises(IntegrityFailure):
            decode_column(blob, parse(other))
    decimal = encode_column(pa.array([1], pa.decimal128(5, 2)), parse("DECIMAL(5,2)"))
    for other in ("DECIMAL(5,1)", "DECIMAL(6,2)"):
        with pytest.raises(IntegrityFailure):
            decode_column(decimal, parse(other))


def test_wrong_type_and_long_columns(monkeypatch):
    with pytest.raises(EncodingRefused):
        encode_column(pa.array(["x"]), parse("BIGINT"))
    monkeypatch.setattr(pack, "MAX_PLAINTEXT", 100)
    with pytest.raises(EncodingRefused):
        encode_column(pa.array(["x" * 100]), parse("TEXT"))


HOSTILE = {
    "TEXT": pa.array(["é", None, "zz"]),
    "BLOB": pa.array([b"a", b"bb"]),
    "JSON": pa.array(["{}"]),
    "BIGINT": pa.array([1, 2, None]),
    "BOOLEAN": pa.array([True, False]),
    "TIME": pa.array([5], pa.int64()).view(pa.time64("us")),
    "DECIMAL(5,2)": pa.array([Decimal("1.00")], pa.decimal128(5, 2)),
    "DECIMAL(20,2)": pa.array([Decimal("1.00")], pa.decimal128(20, 2)),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_any_change_is_a_valid_array_or_a_failure(name):
    """Blobs that carry a valid seal and are malformed all the same."""
    kind = parse(name)
    blob = encode_column(HOSTILE[name], kind)
    failures = 0
    for size in range(len(blob)):
        try:
            decode_column(blob[:size], kind).validate(full=True)
        except IntegrityFailure:
            failures += 1
    assert failures >= 32
    for place in range(len(blob)):
        for flip in (1, 0x80, 0xFF):
            changed = bytearray(blob)
            changed[place] ^= flip
            try:
                decode_column(bytes(changed), kind).validate(full=True)
            except IntegrityFailure:
                failures += 1


@pytest.mark.parametrize(
    ("name", "place", "patch"),
    [
        ("TEXT", 32, struct.pack("<i", 1)),
        ("TEXT", 36, struct.pack("<i", -1)),
        ("TEXT", 36, struct.pack("<i", 100)),
        ("TEXT", 36, struct.pack("<i", 1)),
        ("TEXT", 8, struct.pack("<Q", 3)),
        ("TEXT", 8, struct.pack("<Q", 2**63)),
        ("TEXT", 48, b"\xff"),
        ("BLOB", 0, struct.pack("<I", 0xFFFFFFFF)),
        ("BIGINT", 0, struct.pack("<I", 0xFFFFFFFF)),
        ("BIGINT", 8, struct.pack("<Q", 1)),
        ("TIME", 32, struct.pack("<q", -1)),
        ("DECIMAL(5,2)", 32, struct.pack("<q", 100_000)),
        ("DECIMAL(20,2)", 44, b"\x7f"),
    ],
)
def test_refused_changes(name, place, patch):
    kind = parse(name)
    blob = encode_column(HOSTILE[name], kind)
    with pytest.raises(IntegrityFailure):
        decode_column(blob[:place] + patch + blob[place + len(patch) :], kind)


class TestDirectory:
    @given(st.sets(st.integers(0, 4095)), st.sets(st.integers(1, 2047)))
    def test_round_trip(self, slots, held):
        plain = encode_directory(np.array(sorted(slots), dtype=np.uint16), list(held))
        assert size_class(len(plain)) == len(plain)
        assert decode_directory(plain).tolist() == sorted(slots)
        assert decode_directory(plain).dtype == np.uint16
        assert directory_columns(plain) == (frozenset(held) or None)

    def test_full_block(self):
        slots = np.arange(4096, dtype=np.uint16)
        assert (decode_directory(encode_directory(slots)) == slots).all()

    @pytest.mark.parametrize("slots", [[1, 1], [2, 1], [4096]])
    def test_slots_ascend(self, slots):
        array = np.array(slots, dtype=np.uint16)
        with pytest.raises(ValueError):
            encode_directory(array)
        forged = struct.pack("<II", len(slots), 0) + array.tobytes()
        with pytest.raises(IntegrityFailure):
            decode_directory(forged)

    @pytest.mark.parametrize("held", [[0], [2048], [3, 3]])
    def test_column_ids(self, held):
        slots = np.array([1], dtype=np.uint16)
        with pytest.raises(ValueError):
            encode_directory(slots, held)
        forged = struct.pack(f"<IIH{len(held)}H", 1, len(held), 1, *held)
        with pytest.raises(IntegrityFailure):
            directory_columns(forged)

    @pytest.mark.parametrize(
        "plain",
        [b"", bytes(7), struct.pack("<II", 1, 0), struct.pack("<II", 5000, 0).ljust(20_000, b"\0")],
    )
    def test_malformed(self, plain):
        with pytest.raises(IntegrityFailure):
            decode_directory(plain)


class TestSealing:
    def test_address(self):
        assert pack_address(3, 5) == 3 << 11 | 5
        assert pack_address(2**52 - 1, 2047) == 2**63 - 1
        for bad in ((2**52, 0), (0, 2048), (-1, 0), (0, -1)):
            with pytest.raises(ValueError):
                pack_address(*bad)

    def test_moved_and_damaged_blobs(self):
        salt = os.urandom(32)
        sealer = PackSealer(KEY, salt, b"aad")
        blob = sealer.seal(3, 5, b"column")
        assert sealer.open(3, 5, blob) == b"column"
        assert len(blob) == 6 + 16
        for pack_number, column in ((3, 4), (4, 5), (3, 0)):
            with pytest.raises(IntegrityFailure):
                sealer.open(pack_number, column, blob)
        for other in (PackSealer(KEY, os.urandom(32), b"aad"), PackSealer(KEY, salt, b"aae")):
            with pytest.raises(IntegrityFailure):
                other.open(3, 5, blob)
        for place in range(len(blob)):
            changed = bytearray(blob)
            changed[place] ^= 1
            with pytest.raises(IntegrityFailure):
                sealer.open(3, 5, bytes(changed))
