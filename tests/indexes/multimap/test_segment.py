from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexes.errors import IntegrityFailure
from indexes.multimap.segment import SegmentInfo

small = st.integers(0, 2**31 - 1)
infos = st.builds(
    SegmentInfo,
    segment=small,
    kind=st.sampled_from([1, 2, 3, 4]),
    index=small,
    salt=st.binary(min_size=32, max_size=32),
    pages=st.integers(100, 2**32),
    header_pages=st.integers(0, 100),
    postings=st.integers(0, 2**63 - 1),
    extra=st.lists(small, max_size=5).map(tuple),
)


@given(infos)
def test_round_trip(info):
    fields = info.to_tuple()
    assert SegmentInfo.from_tuple(fields) == info
    assert SegmentInfo.from_tuple(list(fields)) == info


GOOD = (5, 1, 0, bytes(32), 20, 2, 9, 4)


@pytest.mark.parametrize("place", range(len(GOOD)))
@pytest.mark.parametrize("value", [None, -1, 1.0, "1", True, b"", 2**63])
def test_fields(place, value):
    SegmentInfo.from_tuple(GOOD)
    with pytest.raises(IntegrityFailure):
        SegmentInfo.from_tuple((*GOOD[:place], value, *GOOD[place + 1 :]))


@pytest.mark.parametrize(
    "fields",
    [
        (),
        GOOD[:6],
        (*GOOD, *range(20)),
        None,
        7,
        {"segment": 1},
        (2**31, *GOOD[1:]),
        (5, 5, *GOOD[2:]),
        (5, 0, *GOOD[2:]),
        (*GOOD[:4], 1, *GOOD[5:]),
        (*GOOD[:4], 2**32 + 1, *GOOD[5:]),
        (*GOOD[:3], bytes(31), *GOOD[4:]),
    ],
)
def test_refused(fields):
    with pytest.raises(IntegrityFailure):
        SegmentInfo.from_tuple(fields)
