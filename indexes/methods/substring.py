"""Substring indexes: every three adjacent code points of a text become one pseudorandom word.

Whatever contains a fragment of three code points or more contains its trigrams, so the rows listed under all
of them are a superset of those that match a pattern (Zobel, Moffat, Sacks-Davis, VLDB 1993, n-gram indexes
for wildcards); the query rechecks them. Texts are folded before they are cut (`indexes.folding`), so that one
index serves patterns with and without regard to letter case. A mark stands before a text and another one
behind it: a text of n code points has n trigrams, the first of its two first code points, the last of its two last
ones, and a text of one is enclosed by both marks. So two code points suffice where a pattern is anchored
(``LIKE 'ab%'``), and three elsewhere. The empty text has no trigram and is found by no pattern that has one. A
trigram is listed once for each row, without payload.

What it leaks: at rest nothing beyond page counts. On a query the bucket pages of up to `MOST_LOOKED_UP` trigrams of the
pattern, so how many it has, and which of them patterns of the past shared; the length class of the lists of the
`MOST_READ` rarest ones, or of fewer when the others are much longer; and the rows fetched. Patterns are drawn from a small alphabet with known frequencies, so a
store that sees many queries learns more from shared pages and list lengths here than from equality.

Which trigrams are rare the client does not know beforehand. The head of a long list, and a short list itself, lie
in the bucket page, which a lookup reads whatever it finds there. So eight bucket pages, read together, buy
exact frequencies, and long lists are read of the three rarest only. Asking for three trigrams without looking
would show the store five pages fewer, and cost the lists and the rows of common ones: of a table of a
million texts, hundreds of pages.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa

from indexes.buffers import valid_mask
from indexes.folding import CODE_POINTS, code_points, fold, fold_codes
from indexes.multimap.arrays import I64, U8, U64, offsets_of, range_index
from indexes.multimap.postings import PostingBatch
from indexes.prf import BLOCK, TermPrf

MOST_LOOKED_UP: Final = 8
"""Trigrams of which a query learns how frequent they are."""
MOST_READ: Final = 3
"""Trigrams of which a query reads the lists."""
WORTH_READING: Final = 32
"""A list this many times as long as the shortest one is not read: it would cost more than it removes."""
LENGTH: Final = 3

_BEGIN, _END = CODE_POINTS, CODE_POINTS + 1
_BITS: Final = 21
# Texts are cut about so many code points at a time, which bounds the memory that it takes.
_SLICE: Final = 1 << 20


def postings(prf: TermPrf, array: pa.Array[Any], ordinals: I64) -> PostingBatch:
    """Postings of the trigrams of n texts.

    Args:
        prf: of the index.
        array: n texts, an Arrow string array; a NULL has no trigram.
        ordinals: int64[n].

    Returns:
        One posting for each trigram of each row, without payload.
    """
    valid = valid_mask(array)
    texts = array if valid.all() else array.drop_null()
    ordinals = np.asarray(ordinals, dtype=np.int64)[valid]
    codes, bounds = code_points(texts)
    codes = fold_codes(codes)
    words: list[U64] = [np.zeros(0, dtype=np.uint64)]
    rows: list[I64] = [np.zeros(0, dtype=np.int64)]
    first = 0
    while first < len(ordinals):
        last = int(np.searchsorted(bounds, bounds[first] + _SLICE, side="right")) - 1
        last = min(max(last, first + 1), len(ordinals))
        part = codes[bounds[first] : bounds[last]]
        grams, where = _cut(part.astype(np.uint64), np.diff(bounds[first : last + 1]))
        distinct, places = np.unique(grams, return_inverse=True)
        # One number tells the row and the trigram; a row has each of its trigrams once.
        once = np.unique(where * max(len(distinct), 1) + places)
        where, places = np.divmod(once, max(len(distinct), 1))
        words.append(prf.blocks(_terms(distinct))[places])
        rows.append(ordinals[first:last][where])
        first = last
    return PostingBatch.of(np.concatenate(words), np.concatenate(rows))


def trigrams(text: str, *, begins: bool = False, ends: bool = False) -> list[int]:
    """The distinct trigrams that every text with a fragment has, in the order of the fragment.

    Args:
        text: the fragment, not folded.
        begins: whether the texts begin with it.
        ends: whether they end with it.

    Returns:
        Trigrams as numbers, for `words_of`; none when the fragment is too short.
    """
    codes = [_BEGIN] * begins + [ord(character) for character in fold(text)] + [_END] * ends
    found = (
        first << 2 * _BITS | second << _BITS | third
        for first, second, third in zip(codes, codes[1:], codes[2:], strict=False)
    )
    return list(dict.fromkeys(found))


def spread(grams: Iterable[int], most: int = MOST_LOOKED_UP) -> list[int]:
    """At most so many distinct trigrams, evenly spread: neighbours share code points and tell less together."""
    distinct = list(dict.fromkeys(grams))
    if len(distinct) <= most:
        return distinct
    return [distinct[place * (len(distinct) - 1) // (most - 1)] for place in range(most)]


def words_of(prf: TermPrf, grams: Sequence[int]) -> U64:
    """The words of trigrams, one for each: uint64[m]."""
    return prf.blocks(_terms(np.array(grams, dtype=np.uint64)))


def _cut(codes: U64, sizes: I64) -> tuple[U64, I64]:
    """Every trigram of some texts, and the number of the text that has it.

    Args:
        codes: the folded code points of all texts.
        sizes: int64[n], how many each text has.
    """
    starts = offsets_of(sizes + 2)[:-1]
    marked = np.empty(len(codes) + 2 * len(sizes), dtype=np.uint64)
    marked[range_index(starts + 1, sizes)] = codes
    marked[starts], marked[starts + sizes + 1] = _BEGIN, _END
    # A text of n code points and two marks has n windows of three.
    begin = range_index(starts, sizes)
    bits = np.uint64(_BITS)
    grams = (marked[begin] << bits | marked[begin + 1]) << bits | marked[begin + 2]
    return grams, np.repeat(np.arange(len(sizes), dtype=np.int64), sizes)


def _terms(grams: U64) -> U8:
    """Canonical terms uint8[m, 16]: three code points or marks as big-endian u32, and four zero bytes."""
    terms = np.zeros((len(grams), 4), dtype=">u4")
    mask = np.uint64((1 << _BITS) - 1)
    for place in range(LENGTH):
        terms[:, place] = grams >> np.uint64((LENGTH - 1 - place) * _BITS) & mask
    return terms.view(np.uint8).reshape(-1, BLOCK)
