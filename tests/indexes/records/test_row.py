from __future__ import annotations

import struct

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexes.errors import EncodingRefused, IntegrityFailure
from indexes.records import gather, row
from indexes.records.row import ABSENT, RowLayout, row_aad, row_aads
from indexes.types import ColumnType
from tests.indexes.columns import same, tables

parse = ColumnType.parse


def layout_of(kinds, **options):
    return RowLayout([(number, kind) for number, kind in enumerate(kinds, 1)], **options)


def batch_of(arrays):
    return pa.RecordBatch.from_arrays(arrays, names=[str(i) for i in range(1, len(arrays) + 1)])


@given(tables())
def test_round_trip(drawn):
    kinds, arrays = drawn
    layout = layout_of(kinds)
    bodies = layout.encode(batch_of(arrays))
    assert len(bodies) == len(arrays[0])
    assert all(type(body) is bytes for body in bodies)
    opened = layout.decode(bodies)
    assert opened.schema.names == [str(i) for i in range(1, len(kinds) + 1)]
    opened.validate(full=True)
    for found, array in zip(opened.columns, arrays, strict=True):
        assert same(found, array)


@given(tables(), st.data())
def test_some_columns_of_a_row(drawn, data):
    kinds, arrays = drawn
    layout = layout_of(kinds)
    wanted = data.draw(st.lists(st.integers(1, len(kinds)), min_size=1, max_size=4))
    opened = layout.decode(layout.encode(batch_of(arrays)), wanted)
    for number, found in zip(wanted, opened.columns, strict=True):
        assert same(found, arrays[number - 1])


@given(tables())
def test_one_row_at_a_time(drawn):
    kinds, arrays = drawn
    layout = layout_of(kinds)
    bodies = layout.encode(batch_of(arrays))
    for place, body in enumerate(bodies):
        scalars = [array[place] for array in arrays]
        # NaN payloads do not survive a Python float, so the values are compared and not the bytes.
        again = layout.decode([layout.encode_one(scalars)])
        for found, array in zip(again.columns, arrays, strict=True):
            assert found[0].equals(array[place]) or str(found[0]) == "nan"
        try:
            values = layout.decode_one(body)
        except EncodingRefused:
            continue
        assert [value is None for value in values] == [not scalar.is_valid for scalar in scalars]
        if not any(value != value for value in values):  # noqa: PLR0124 - NaN
            assert layout.encode_one(values) == body
            assert layout.encode_one(scalars) == body
        assert layout.decode_one(body, [len(kinds)])[0] is None or values[-1] is not None


def test_body_layout():
    kinds = [parse(t) for t in ("TEXT", "SMALLINT", "BOOLEAN", "BIGINT", "BLOB", "INTEGER")]
    layout = layout_of(kinds, schema=3)
    body = layout.encode_one(("é", -2, True, None, b"xyz", 7))
    assert (
        body
        == struct.pack("<HHI Q q i h B x II", 3, 0, 0, 0b001000, 0, 7, -2, 1, 2, 5)
        + "éxyz".encode()
    )


def test_more_columns_than_a_word_of_nulls():
    kinds = [parse("SMALLINT")] * 130
    values = [None if i % 3 == 0 else i for i in range(130)]
    layout = layout_of(kinds)
    body = layout.encode_one(values)
    assert list(layout.decode_one(body)) == values
    opened = layout.decode([body, body])
    assert [column[1].as_py() for column in opened.columns] == values


def test_undefined_slots_are_not_written():
    bits = pa.py_buffer(b"\0")
    for kind, raw in (("BIGINT", b"secretly"), ("UUID", b"secret 16 bytes!")):
        garbage = pa.Array.from_buffers(parse(kind).arrow, 1, [bits, pa.py_buffer(raw)])
        assert b"secret" not in layout_of([parse(kind)]).encode(batch_of([garbage]))[0]
    offsets = pa.py_buffer(np.array([0, 6], dtype=np.int32))
    garbage = pa.Array.from_buffers(pa.string(), 1, [bits, offsets, pa.py_buffer(b"secret")])
    layout = layout_of([parse("TEXT"), parse("TEXT")])
    bodies = layout.encode(batch_of([garbage, pa.array(["x"])]))
    assert b"secret" not in bodies[0]
    assert layout.decode_one(bodies[0]) == (None, "x")


def test_chunks(monkeypatch):
    monkeypatch.setattr(gather, "_CHUNK_ROWS", 7)
    monkeypatch.setattr(gather, "_CHUNK_BYTES", 200)
    layout = layout_of([parse("TEXT"), parse("BIGINT")])
    array = pa.array([None if i % 5 == 0 else "x" * (i * 7 % 300) for i in range(100)])
    batch = batch_of([array, pa.array(range(100))])
    assert layout.decode(layout.encode(batch)).equals(batch)


class TestSchemas:
    old = layout_of([parse("TEXT"), parse("INTEGER")])
    new = RowLayout(
        [(1, parse("TEXT")), (3, parse("BIGINT")), (2, parse("INTEGER")), (4, parse("TEXT"))],
        schema=1,
        older=[old],
    )

    def test_batch(self):
        bodies = [
            self.old.encode_one(("a", 1)),
            self.new.encode_one(("b", 5, 2, "x")),
            self.old.encode_one((None, 3)),
        ]
        opened = self.new.decode(bodies, fill={3: pa.scalar(9)})
        assert opened.to_pydict() == {
            "1": ["a", "b", None],
            "3": [9, 5, 9],
            "2": [1, 2, 3],
            "4": [None, "x", None],
        }
        assert self.new.decode([], [3]).schema.types == [pa.int64()]
        assert self.new.decode(bodies[:1], [4, 1]).to_pydict() == {"4": [None], "1": ["a"]}

    def test_one(self):
        body = self.old.encode_one(("a", 1))
        assert self.new.decode_one(body) == ("a", ABSENT, 1, ABSENT)
        assert self.new.decode_one(body, [3, 2]) == (ABSENT, 1)
        assert repr(ABSENT) == "ABSENT"

    def test_unknown_schema(self):
        body = self.new.encode_one(("b", 5, 2, "x"))
        for layout, columns in ((self.old, None), (self.old, [1])):
            with pytest.raises(IntegrityFailure):
                layout.decode([body], columns)
            with pytest.raises(IntegrityFailure):
                layout.decode_one(body, columns)
        with pytest.raises(IntegrityFailure):
            self.new.decode([b"\x07\x00" + body[2:]])

    def test_misuse(self):
        for columns, options in (
            ([], {}),
            ([(1, parse("TEXT"))] * 2, {}),
            ([(1, parse("TEXT"))], {"schema": 65_536}),
            ([(1, parse("TEXT"))], {"older": [self.old]}),
        ):
            with pytest.raises(ValueError):
                RowLayout(columns, **options)


class TestHostileBodies:
    """Bodies that carry a valid seal and are malformed all the same."""

    layout = layout_of(
        [parse(t) for t in ("BOOLEAN", "TEXT", "TIME", "BLOB", "DECIMAL(5,2)", "DECIMAL(20,2)")]
    )
    body = layout.encode(
        batch_of(
            [
                pa.array([True]),
                pa.array(["é"]),
                pa.array([5], pa.int64()).view(pa.time64("us")),
                pa.array([b"\xff\xfe"]),
                pa.array([1], pa.decimal128(5, 2)),
                pa.array([1], pa.decimal128(20, 2)),
            ]
        )
    )[0]

    @pytest.mark.parametrize("size", [*range(70), 71, 72, 1000])
    def test_sizes(self, size):
        bad = self.body[:size] if size < len(self.body) else self.body.ljust(size, b"\0")
        if bad != self.body:
            self.refused(bad)

    def refused(self, bad):
        with pytest.raises(IntegrityFailure):
            self.layout.decode([self.body, bad])
        with pytest.raises(IntegrityFailure):
            self.layout.decode_one(bad)

    def test_any_change_is_an_answer_or_a_failure(self):
        answers = 0
        for place in range(len(self.body)):
            for flip in (1, 0x80, 0xFF):
                changed = bytearray(self.body)
                changed[place] ^= flip
                for attempt in (
                    lambda bad: self.layout.decode([bad]).validate(full=True),
                    self.layout.decode_one,
                ):
                    try:
                        attempt(bytes(changed))
                        answers += 1
                    except IntegrityFailure:
                        pass
        assert 0 < answers < len(self.body) * 6

    def test_fields(self):
        # head 8 | nulls 8 | DECIMAL(20,2) 16 | TIME 8 | DECIMAL(5,2) 8 | BOOLEAN 1 | pad 3 | ends 8
        ends = 52
        assert len(self.body) == ends + 8 + 4
        cases = [
            (2, b"\1"),
            (8, b"\x40"),
            (15, b"\1"),
            (16, b"\xff" * 15 + b"\x7f"),
            (32, b"\xff" * 8),
            (32, struct.pack("<q", 86_400_000_000)),
            (40, struct.pack("<q", 100_000)),
            (40, struct.pack("<q", -100_000)),
            (48, b"\2"),
            (ends, struct.pack("<II", 1, 4)),
            (ends, struct.pack("<II", 5, 4)),
            (ends, struct.pack("<II", 2, 5)),
            (ends, struct.pack("<II", 2, 0xFFFFFFFF)),
            (ends, struct.pack("<II", 0xFFFFFFFF, 4)),
        ]
        for place, patch in cases:
            self.refused(self.body[:place] + patch + self.body[place + len(patch) :])


@pytest.mark.parametrize("wanted", [[9], [1, 9]])
def test_unknown_column(wanted):
    layout = layout_of([parse("TEXT")])
    with pytest.raises(KeyError):
        layout.decode([], wanted)
    with pytest.raises(KeyError):
        layout.decode_one(layout.encode_one(["x"]), wanted)


def test_misuse():
    layout = layout_of([parse("TEXT"), parse("INTEGER")])
    with pytest.raises(ValueError):
        layout.encode(batch_of([pa.array(["x"])]))
    with pytest.raises(ValueError):
        layout.encode_one(["x"])
    with pytest.raises(ValueError):
        layout.decode([], [])
    with pytest.raises(EncodingRefused):
        layout.encode(batch_of([pa.array(["x"]), pa.array(["x"])]))


def test_long_rows(monkeypatch):
    monkeypatch.setattr(row, "MAX_PLAINTEXT", 100)
    layout = layout_of([parse("TEXT")])
    assert layout.decode_one(layout.encode_one(["x" * 80])) == ("x" * 80,)
    with pytest.raises(EncodingRefused):
        layout.encode_one(["x" * 81])
    with pytest.raises(EncodingRefused):
        layout.encode(batch_of([pa.array(["x" * 81])]))


def test_associated_data():
    aad = row_aad(b"context", 258, bytes(range(16)), key_id=7)
    assert aad == b"\x02\x01\x07\x00context\x02\x01\0\0\0\0\0\0" + bytes(range(16))
    txns = [bytes(16), bytes(range(16))]
    assert row_aads(b"c", [1, 2], txns) == [row_aad(b"c", 1, txns[0]), row_aad(b"c", 2, txns[1])]
    with pytest.raises(ValueError):
        row_aad(b"c", 1, bytes(15))
    with pytest.raises(ValueError):
        row_aads(b"c", [1], txns)
