"""Range indexes: order-preserving keys of values, and the key ranges of comparisons with constants.

A range over a sorted segment needs both ends in encoded key space, inclusive. Where a constant has no
key of its own (3.5 in an INTEGER column, a text longer than 16 bytes) the end is rounded without
losing a row, and the result says whether the key range still equals the comparison.

An index of several columns is read by equality of all but the last and a range of the last. Its keys are
the 64-bit PRF word of the leading values, followed by the first 64 bits of the last column's key. Entries
of one leading tuple stand together, in order; the tuples themselves stand in a pseudorandom order.

Texts may be ordered without regard to letter case: by the keys of what the engine's ``lower()`` makes of them.

What it leaks: as `multimap.sorted` states; encoding itself reveals nothing. Of an index of several columns
the order of pages says nothing about the order of leading values.
"""

from __future__ import annotations

import datetime as dt
import math
import uuid
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from indexes.buffers import conform
from indexes.encoding import KEY_BYTES, order_key_exact, order_keys
from indexes.errors import EncodingRefused
from indexes.folding import fold_column
from indexes.types import ColumnType, Kind

Bound: TypeAlias = tuple[int, int]
"""An encoded key as (high, low), each in 0 … 2⁶⁴ - 1."""

_INTEGER_BITS = {Kind.SMALLINT: 16, Kind.INTEGER: 32, Kind.BIGINT: 64}
_FLOATS = (Kind.REAL, Kind.DOUBLE)
_TEXTS = (Kind.TEXT, Kind.BLOB)
_LARGEST = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class KeyRange:
    """Keys low ≤ key ≤ high; None is no bound. `exact`: holds the rows asked for and no others."""

    low: Bound | None
    high: Bound | None
    exact: bool


@dataclass(frozen=True, slots=True)
class _End:
    """One end: no bound, or a key; `empty` when no value of the type lies on its side."""

    key: int | None
    exact: bool = True
    empty: bool = False


def keys(
    array: pa.Array[Any], column_type: ColumnType, *, folded: bool = False
) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    """Order-preserving keys uint64[n, 2] and valid bool[n]; NULLs are not indexed.

    Args:
        array: n values of the column's type.
        column_type: the column's type.
        folded: whether texts are ordered as `indexes.folding` folds them.

    Raises:
        EncodingRefused: a type without an order, such as JSON.
    """
    if folded:
        # A key holds 16 bytes, which no more than 16 code points fill.
        array = fold_column(pc.utf8_slice_codeunits(conform(array, column_type), 0, KEY_BYTES))
    return order_keys(array, column_type)


def key_range(
    column_type: ColumnType,
    low: object = None,
    high: object = None,
    *,
    low_inclusive: bool = True,
    high_inclusive: bool = True,
) -> KeyRange | None:
    """The keys of `low ≤ column ≤ high`, where None is no bound and the signs may be strict.

    Args:
        column_type: of the column.
        low: Python value or Arrow scalar. Integer and DECIMAL columns take int and Decimal; REAL and
            DOUBLE take float too; dates, times and timestamps their own Python class, with a time
            zone exactly where the type has one.
        high: the same.
        low_inclusive: False for `low < column`.
        high_inclusive: False for `column < high`.

    Returns:
        A range that covers every row asked for, or None when there can be none.

    Raises:
        EncodingRefused: a constant that the engine would not compare in the column's type.
    """
    ends = (
        _end(column_type, low, low_inclusive, upper=False),
        _end(column_type, high, high_inclusive, upper=True),
    )
    if ends[0].empty or ends[1].empty:
        return None
    first, last = ends[0].key, ends[1].key
    if first is not None and last is not None and first > last:
        return None
    exact = ends[0].exact and ends[1].exact
    return KeyRange(_bound(first, column_type), _bound(last, column_type), exact)


def composite_keys(words: NDArray[np.uint64], keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Keys uint64[n, 2] of an index of several columns.

    Args:
        words: uint64[n], the words of the leading values.
        keys: uint64[n, 2], order keys of the last column. Types of 16-byte keys lose the lower half, so
            that their ranges hold ties that a reader must recheck.
    """
    return np.column_stack((words, keys[:, 0]))


def composite_range(word: int, within: KeyRange) -> KeyRange:
    """The keys of one leading tuple whose last column lies in a range of its own keys."""
    low = (word, 0 if within.low is None else within.low[0])
    high = (word, _LARGEST if within.high is None else within.high[0])
    return KeyRange(low, high, exact=False)


def prefix_range(column_type: ColumnType, prefix: str | bytes) -> KeyRange:
    """The keys of texts or byte strings that begin with a prefix (`LIKE 'abc%'`).

    Raises:
        EncodingRefused: not a TEXT or BLOB column.
    """
    if column_type.kind not in _TEXTS:
        raise EncodingRefused("only TEXT and BLOB columns have prefixes")
    raw = _utf8(prefix)[:16] if isinstance(prefix, str) else prefix[:16]
    low = int.from_bytes(raw.ljust(16, b"\0"), "big")
    high = int.from_bytes(raw.ljust(16, b"\xff"), "big")
    return KeyRange(_bound(low, column_type), _bound(high, column_type), exact=False)


def _end(column_type: ColumnType, value: object, inclusive: bool, upper: bool) -> _End:
    if isinstance(value, pa.Scalar):
        value = value.as_py()
    if value is None:
        return _End(None)
    kind = column_type.kind
    if kind in _INTEGER_BITS:
        half = 1 << (_INTEGER_BITS[kind] - 1)
        return _stepped(column_type, _number(value), inclusive, upper, 0, half - 1, -half)
    if kind is Kind.DECIMAL:
        most = int(10 ** (column_type.precision or 0)) - 1
        scale = column_type.scale or 0
        return _stepped(column_type, _number(value), inclusive, upper, scale, most, -most)
    if kind in _FLOATS:
        return _float_end(column_type, value, inclusive, upper)
    key = _encode(column_type, _checked(kind, value))
    if not order_key_exact(column_type):
        # Values that share the first 16 bytes share a key, so a strict sign cannot exclude it.
        return _End(key, exact=False)
    return _strict(column_type, key, inclusive, upper, exact=True)


def _strict(column_type: ColumnType, key: int, inclusive: bool, upper: bool, exact: bool) -> _End:
    """Takes the neighbouring key for a strict sign."""
    if not inclusive:
        key += -1 if upper else 1
    if key < 0 or key >> (8 * (column_type.width or 0)):
        return _End(None, empty=True)
    return _End(key, exact)


def _stepped(
    column_type: ColumnType,
    value: Decimal,
    inclusive: bool,
    upper: bool,
    scale: int,
    most: int,
    least: int,
) -> _End:
    """An end in a column of whole steps of 10⁻ˢᶜᵃˡᵉ between `least` and `most` steps."""
    if value.is_infinite():
        beyond = (value > 0) == upper
        return _End(None) if beyond else _End(None, empty=True)
    numerator, denominator = value.as_integer_ratio()
    numerator *= 10**scale
    down, rest = divmod(numerator, denominator)
    if upper:
        step = down if inclusive or rest else down - 1
        if step >= most:
            return _End(None)
        if step < least:
            return _End(None, empty=True)
    else:
        step = down + 1 if rest or not inclusive else down
        if step <= least:
            return _End(None)
        if step > most:
            return _End(None, empty=True)
    exact: object = step
    if column_type.kind is Kind.DECIMAL:
        digits = tuple(int(digit) for digit in str(abs(step)))
        exact = Decimal((int(step < 0), digits, -scale))
    return _End(_encode(column_type, exact))


def _float_end(column_type: ColumnType, value: object, inclusive: bool, upper: bool) -> _End:
    """An end in a REAL or DOUBLE column, widened when the constant has no exact float."""
    if isinstance(value, float):
        double, exact = value, True
    else:
        number = _number(value)
        double = float(number)
        exact = double == number
    # The engine may compare a REAL column in either precision, so both readings are covered.
    readings = {double}
    if column_type.kind is Kind.REAL and math.isfinite(double):
        with np.errstate(over="ignore"):
            readings.add(float(np.float32(double)))
    if exact and len(readings) == 1:
        key = _encode(column_type, double)
        return _strict(column_type, key, inclusive, upper, exact=True)
    outer = max(readings) if upper else min(readings)
    widened = math.nextafter(outer, math.inf if upper else -math.inf)
    return _End(_encode(column_type, widened), exact=False)


def _number(value: object) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise EncodingRefused("the constant is not compared in the column's type")
    number = Decimal(value)
    if number.is_nan():
        raise EncodingRefused("a numeric constant is not a number")
    return number


def _checked(kind: Kind, value: object) -> object:
    """The value if it has the Python class of its kind; else refused."""
    expected: dict[Kind, type | tuple[type, ...]] = {
        Kind.BOOLEAN: bool,
        Kind.TEXT: str,
        Kind.BLOB: bytes,
        Kind.DATE: dt.date,
        Kind.TIME: dt.time,
        Kind.TIMESTAMP: dt.datetime,
        Kind.TIMESTAMPTZ: dt.datetime,
        Kind.UUID: (uuid.UUID, bytes),
    }
    good = kind in expected and isinstance(value, expected[kind])
    if isinstance(value, dt.datetime):
        zoned = value.tzinfo is not None
        good = kind is (Kind.TIMESTAMPTZ if zoned else Kind.TIMESTAMP)
    elif isinstance(value, dt.time):
        good = good and value.tzinfo is None
    elif isinstance(value, uuid.UUID):
        value = value.bytes
    elif isinstance(value, str):
        _utf8(value)
    if not good:
        raise EncodingRefused("the constant is not compared in the column's type")
    return value


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise EncodingRefused("a text holds a lone surrogate") from None


def _encode(column_type: ColumnType, value: object) -> int:
    """The key of one value: 64 or 128 bits as one integer."""
    # Doubles that exceed a REAL have a key of their own, because REAL is encoded through DOUBLE.
    if column_type.kind is Kind.REAL:
        column_type = ColumnType(Kind.DOUBLE)
    try:
        array = pa.array([value], column_type.arrow)
    except (pa.ArrowException, ValueError, OverflowError):
        raise EncodingRefused("a constant does not fit the column's type") from None
    encoded, _ = order_keys(array, column_type)
    high, low = (int(half) for half in encoded[0])
    return high if column_type.width == 8 else high << 64 | low


def _bound(key: int | None, column_type: ColumnType) -> Bound | None:
    if key is None:
        return None
    return (key, 0) if column_type.width == 8 else (key >> 64, key & ((1 << 64) - 1))
