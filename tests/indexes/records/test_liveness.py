from __future__ import annotations

import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexes.errors import IntegrityFailure
from indexes.keys import Key
from indexes.multimap.paging import seal_pages, shuffle
from indexes.multimap.segment import LIVENESS, SegmentInfo
from indexes.records import liveness
from indexes.records.liveness import LivenessEntry, LivenessReader, build
from indexes.seal import PAGE_SEALED, PAGE_USABLE

KEY = Key(bytes(range(32)))
TABLE, SEGMENT = 77, 5


def entry(block, pack=9, share=0.5):
    random = np.random.default_rng(block)
    bitmap = np.packbits(random.random(4096) < share, bitorder="little")
    return LivenessEntry(block, pack, os.urandom(32), bitmap)


class Store:
    def __init__(self, built):
        self.info = built.info
        self.pages = dict(built.pages)
        self.asked = []

    def read(self, numbers):
        self.asked.append(list(numbers))
        return [self.pages[number] for number in numbers]

    def reader(self, key=KEY, table=TABLE, info=None):
        return LivenessReader(info or self.info, key, table, self.read)


def same(left, right):
    fields = [(one.block, one.pack, one.salt, one.bitmap.tobytes()) for one in (left, right)]
    return fields[0] == fields[1]


@given(st.sets(st.integers(0, 2**32 - 1) | st.integers(0, 50), min_size=1, max_size=40), st.data())
def test_round_trip(blocks, data):
    entries = [entry(block, pack=data.draw(st.integers(0, 2**52 - 1))) for block in sorted(blocks)]
    store = Store(build(entries, KEY, TABLE, SEGMENT))
    reader = store.reader()
    assert reader.blocks().tolist() == sorted(blocks)
    wanted = data.draw(st.lists(st.sampled_from(sorted(blocks)) | st.integers(0, 60), max_size=9))
    found = reader.entries(wanted)
    assert [one.block for one in found] == sorted(set(wanted) & blocks)
    known = {one.block: one for one in entries}
    assert all(same(one, known[one.block]) for one in found)
    assert reader.rows == sum(one.rows for one in entries) == store.info.postings


def test_pages():
    entries = [entry(3 * block) for block in range(1500)]
    store = Store(build(entries, KEY, TABLE, SEGMENT))
    info = store.info
    assert (info.kind, info.index, info.segment, info.extra) == (LIVENESS, 0, SEGMENT, (1500,))
    assert info.header_pages == 2
    assert sorted(store.pages) == list(range(info.pages))
    assert {len(page) for page in store.pages.values()} == {PAGE_SEALED}
    reader = store.reader()
    assert len(reader.entries([0, 3, 18, 21])) == 4
    # The header, and two pages of seven entries each.
    assert reader.pages_read == 4
    assert store.asked[0] == [0, 1]
    assert [one.block for one in reader.entries([1, 2, 10**6])] == []
    assert reader.pages_read == 4
    everything = reader.entries(reader.blocks().tolist())
    assert all(same(a, b) for a, b in zip(everything, entries, strict=True))


def test_small_segments_are_read_whole():
    store = Store(build([entry(block) for block in range(100)], KEY, TABLE, SEGMENT))
    assert store.info.pages == 16
    reader = store.reader()
    reader.entries([5])
    reader.entries([99])
    assert store.asked == [list(range(16))]


def test_builds_share_nothing():
    entries = [entry(1)]
    first, second = (Store(build(entries, KEY, TABLE, SEGMENT)) for _ in range(2))
    assert first.info.salt != second.info.salt
    first.pages = second.pages
    with pytest.raises(IntegrityFailure):
        first.reader().blocks()


def test_another_address():
    store = Store(build([entry(1)], KEY, TABLE, SEGMENT))
    moved = SegmentInfo.from_tuple((SEGMENT + 1, *store.info.to_tuple()[1:]))
    for reader in (store.reader(key=Key.random()), store.reader(table=1), store.reader(info=moved)):
        with pytest.raises(IntegrityFailure):
            reader.blocks()


@pytest.mark.parametrize("number", [0, 1, 2])
def test_damaged_and_withheld_pages(number):
    store = Store(build([entry(block) for block in range(9)], KEY, TABLE, SEGMENT))
    good = store.pages[number]
    moved = store.pages[(number + 1) % 3]
    flipped = good[:100] + bytes([good[100] ^ 1]) + good[101:]
    for bad in (None, b"", good[:-1], flipped, moved):
        store.pages[number] = bad
        with pytest.raises(IntegrityFailure):
            store.reader().entries(range(9))


def test_misuse():
    good = entry(1)
    wrong = [
        [],
        [entry(2), entry(1)],
        [entry(1), entry(1)],
        [LivenessEntry(-1, 1, good.salt, good.bitmap)],
        [LivenessEntry(2**32, 1, good.salt, good.bitmap)],
        [LivenessEntry(1, 2**52, good.salt, good.bitmap)],
        [LivenessEntry(1, 1, b"", good.bitmap)],
        [LivenessEntry(1, 1, good.salt, good.bitmap[:5])],
        [LivenessEntry(1, 1, good.salt, good.bitmap.astype(np.int64))],
    ]
    for entries in wrong:
        with pytest.raises(ValueError):
            build(entries, KEY, TABLE, SEGMENT)


@pytest.mark.parametrize(
    "change",
    [
        {"kind": 1},
        {"extra": ()},
        {"extra": (0,)},
        {"extra": (3, 4)},
        {"extra": (10**6,)},
        {"header_pages": 2},
    ],
)
def test_description_of_something_else(change):
    store = Store(build([entry(1)], KEY, TABLE, SEGMENT))
    fields = {name: getattr(store.info, name) for name in SegmentInfo.__slots__} | change
    with pytest.raises(IntegrityFailure):
        store.reader(info=SegmentInfo(**fields))


def forge(change):
    """A segment of two entries whose pages are sealed properly after `change(header, entries)`."""
    built = build([entry(1), entry(4)], KEY, TABLE, SEGMENT)
    info = built.info
    sealer = liveness._sealer(KEY, TABLE, info)
    order = shuffle(liveness._shuffle_key(KEY, info), info.pages - 1)
    plain = {number: sealer.open(number, blob) for number, blob in built.pages}
    header = np.frombuffer(plain[0], dtype=np.uint8).copy().reshape(1, PAGE_USABLE)
    body = np.frombuffer(plain[1 + int(order[0])], dtype=np.uint8).copy().reshape(1, PAGE_USABLE)
    change(header[0], body[0].view()[: 7 * 560].view(liveness._ENTRY))
    store = Store(built)
    store.pages = dict(seal_pages(sealer, header, body, order))
    return store.reader()


def set_field(name, value):
    def change(_, entries):
        entries[name][0] = value

    return change


def set_header(place, value):
    def change(header, _):
        header[place] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        set_field("block", 2),
        set_field("rows", 4095),
        set_field("pack", 2**52),
        set_field("bitmap", 0),
        set_header(0, 2),
        set_header(4, 3),
        set_header(16, 4),
        set_header(16, 5),
    ],
)
def test_malformed_pages(change):
    assert len(forge(lambda *_: None).entries([1, 4])) == 2
    with pytest.raises(IntegrityFailure):
        forge(change).entries([1, 4, 5])
