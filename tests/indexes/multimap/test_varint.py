from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexes.errors import IntegrityFailure
from indexes.multimap import varint

EDGES = [0, 1, 127, 128, 16383, 16384, 2**32, 2**63 - 1, 2**63, 2**64 - 1]
NUMBERS = st.one_of(st.sampled_from(EDGES), st.integers(0, 200), st.integers(0, 2**64 - 1))


def leb128(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


@given(st.lists(NUMBERS))
def test_encoding_is_leb128_and_decodes_to_itself(values):
    array = np.array(values, dtype=np.uint64)
    data, ends = varint.encode(array)
    assert data.tobytes() == b"".join(leb128(v) for v in values)
    assert varint.sizes(array).tolist() == [len(leb128(v)) for v in values]
    back, back_ends = varint.decode(data)
    assert back.tolist() == values
    assert (
        back_ends.tolist() == ends.tolist() == np.cumsum([len(leb128(v)) for v in values]).tolist()
    )


@pytest.mark.parametrize(
    "data",
    [b"\x80", b"\x01\xff", b"\x80" * 10 + b"\x01", b"\xff" * 9 + b"\x02", b"\xff" * 9 + b"\x7f"],
)
def test_impossible_streams_are_refused(data):
    with pytest.raises(IntegrityFailure):
        varint.decode(np.frombuffer(data, dtype=np.uint8))


@given(st.lists(st.integers(-(2**63), 2**63 - 1)))
def test_zigzag(values):
    array = np.array(values, dtype=np.int64)
    assert varint.zigzag(array).tolist() == [2 * v if v >= 0 else -2 * v - 1 for v in values]
    assert varint.unzigzag(varint.zigzag(array)).tolist() == values
