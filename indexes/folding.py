"""Letter case: texts folded as the local engine's ``lower()`` folds them, a whole column at a time.

The fold maps every code point by itself, by the simple lowercase mapping of Unicode 14.0 (UAX #44, field 13
of UnicodeData.txt): ``İ`` is ``i``, the Kelvin sign is ``k`` and ``ẞ`` is ``ß``, while ``ß``, the dotless i and the final
sigma stay what they are. The engine's ILIKE compares texts folded so. The mapping is written out here because
index entries are made with it: it is part of the storage format, whatever Unicode a newer engine or Python
knows. Who answers ``lower()`` or ILIKE from an index compares the engine with this table first.

What it leaks: nothing; folding happens before anything is hashed or sealed.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from indexes.buffers import text_parts, valid_mask, validity, view, wrap
from indexes.multimap.arrays import I64, U8, U32, offsets_of

CODE_POINTS: Final = 0x110000
"""How many code points Unicode has; numbers from here on are free for marks."""

# Runs of code points that are moved by one distance: first, last, every second one if so, and the distance.
_RUNS: Final = """
    41-5a+32 c0-d6+32 d8-de+32 100-12e/2+1 130-199 132-136/2+1 139-147/2+1 14a-176/2+1 178-121
    179-17d/2+1 181+210 182-184/2+1 186+206 187+1 189-18a+205 18b+1 18e+79 18f+202 190+203 191+1
    193+205 194+207 196+211 197+209 198+1 19c+211 19d+213 19f+214 1a0-1a4/2+1 1a6+218 1a7+1
    1a9+218 1ac+1 1ae+218 1af+1 1b1-1b2+217 1b3-1b5/2+1 1b7+219 1b8+1 1bc+1 1c4+2 1c5+1 1c7+2
    1c8+1 1ca+2 1cb-1db/2+1 1de-1ee/2+1 1f1+2 1f2-1f4/2+1 1f6-97 1f7-56 1f8-21e/2+1 220-130
    222-232/2+1 23a+10795 23b+1 23d-163 23e+10792 241+1 243-195 244+69 245+71 246-24e/2+1
    370-372/2+1 376+1 37f+116 386+38 388-38a+37 38c+64 38e-38f+63 391-3a1+32 3a3-3ab+32 3cf+8
    3d8-3ee/2+1 3f4-60 3f7+1 3f9-7 3fa+1 3fd-3ff-130 400-40f+80 410-42f+32 460-480/2+1
    48a-4be/2+1 4c0+15 4c1-4cd/2+1 4d0-52e/2+1 531-556+48 10a0-10c5+7264 10c7+7264 10cd+7264
    13a0-13ef+38864 13f0-13f5+8 1c90-1cba-3008 1cbd-1cbf-3008 1e00-1e94/2+1 1e9e-7615
    1ea0-1efe/2+1 1f08-1f0f-8 1f18-1f1d-8 1f28-1f2f-8 1f38-1f3f-8 1f48-1f4d-8 1f59-1f5f/2-8
    1f68-1f6f-8 1f88-1f8f-8 1f98-1f9f-8 1fa8-1faf-8 1fb8-1fb9-8 1fba-1fbb-74 1fbc-9 1fc8-1fcb-86
    1fcc-9 1fd8-1fd9-8 1fda-1fdb-100 1fe8-1fe9-8 1fea-1feb-112 1fec-7 1ff8-1ff9-128
    1ffa-1ffb-126 1ffc-9 2126-7517 212a-8383 212b-8262 2132+28 2160-216f+16 2183+1 24b6-24cf+26
    2c00-2c2f+48 2c60+1 2c62-10743 2c63-3814 2c64-10727 2c67-2c6b/2+1 2c6d-10780 2c6e-10749
    2c6f-10783 2c70-10782 2c72+1 2c75+1 2c7e-2c7f-10815 2c80-2ce2/2+1 2ceb-2ced/2+1 2cf2+1
    a640-a66c/2+1 a680-a69a/2+1 a722-a72e/2+1 a732-a76e/2+1 a779-a77b/2+1 a77d-35332
    a77e-a786/2+1 a78b+1 a78d-42280 a790-a792/2+1 a796-a7a8/2+1 a7aa-42308 a7ab-42319 a7ac-42315
    a7ad-42305 a7ae-42308 a7b0-42258 a7b1-42282 a7b2-42261 a7b3+928 a7b4-a7c2/2+1 a7c4-48
    a7c5-42307 a7c6-35384 a7c7-a7c9/2+1 a7d0+1 a7d6-a7d8/2+1 a7f5+1 ff21-ff3a+32 10400-10427+40
    104b0-104d3+40 10570-1057a+39 1057c-1058a+39 1058c-10592+39 10594-10595+39 10c80-10cb2+64
    118a0-118bf+32 16e40-16e5f+32 1e900-1e921+34
"""
_RUN: Final = re.compile(r"([0-9a-f]+)(?:-([0-9a-f]+))?(/2)?([+-]\d+)")


@cache
def moved() -> dict[int, int]:
    """Every code point that the fold changes, with what it becomes."""
    found: dict[int, int] = {}
    for run in _RUNS.split():
        parts = _RUN.fullmatch(run)
        assert parts is not None
        first = int(parts[1], 16)
        last = int(parts[2], 16) if parts[2] else first
        for code in range(first, last + 1, 2 if parts[3] else 1):
            found[code] = code + int(parts[4])
    return found


def fold(text: str) -> str:
    """One folded text, of as many code points."""
    return text.lower() if text.isascii() else text.translate(moved())


def rigid_prefix(text: str) -> str:
    """The longest beginning of a text in which every code point is the only one of its case."""
    changing = _changing()
    for place, character in enumerate(text):
        if ord(character) in changing:
            return text[:place]
    return text


def fold_codes(codes: U32) -> U32:
    """Folded code points: uint32[n], each below `CODE_POINTS`, to uint32[n]."""
    folded: U32 = _table()[codes]
    return folded


def code_points(array: pa.Array[Any]) -> tuple[U32, I64]:
    """The code points of a column of texts.

    Args:
        array: n texts, an Arrow string array without NULLs.

    Returns:
        uint32[total] and int64[n + 1]: those of text i are ``codes[bounds[i] : bounds[i + 1]]``.
    """
    data, ends = _bytes(array)
    codes = np.frombuffer(data.tobytes().decode().encode("utf-32-le"), dtype="<u4")
    if len(codes) == len(data):
        return codes, ends
    # A code point begins at every byte that does not go on with one.
    before = offsets_of(((data & 0xC0) != 0x80).astype(np.int64))
    return codes, before[ends]


def fold_column(array: pa.Array[Any]) -> pa.Array[Any]:
    """The folded texts of an Arrow string array; NULLs stay NULL."""
    valid = valid_mask(array)
    plain: pa.Array[Any] = array if valid.all() else array.fill_null("")
    data, _ = _bytes(plain)
    if not len(data) or int(data.max()) < 0x80:
        lowered: pa.Array[Any] = pc.ascii_lower(array)
        return lowered
    codes, bounds = code_points(plain)
    codes = fold_codes(codes)
    sizes = 1 + (codes >= 0x80).astype(np.int64) + (codes >= 0x800) + (codes >= 0x10000)
    folded = codes.astype("<u4").tobytes().decode("utf-32-le").encode()
    offsets = offsets_of(sizes)[bounds].astype(np.int32)
    bits, nulls = validity(valid)
    buffers = [bits, wrap(offsets), pa.py_buffer(folded)]
    return pa.Array.from_buffers(pa.string(), len(array), buffers, null_count=nulls)


@cache
def _table() -> U32:
    table = np.arange(CODE_POINTS, dtype=np.uint32)
    changes = moved()
    table[list(changes)] = list(changes.values())
    return table


@cache
def _changing() -> frozenset[int]:
    """Code points that the fold changes, or to which it changes others."""
    changes = moved()
    return frozenset(changes) | frozenset(changes.values())


def _bytes(array: pa.Array[Any]) -> tuple[U8, I64]:
    """The UTF-8 of all texts together, and int64[n + 1] where each begins and ends in it."""
    bounds, data = text_parts(array)
    first, last = int(bounds[0]), int(bounds[-1])
    return view(data, "u1", first, last - first), bounds.astype(np.int64) - first
