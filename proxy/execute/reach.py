"""The keys of one ordered column that a condition reaches: where its rows lie, and where all rows are its rows.

With ``WHERE a > 5 ORDER BY a LIMIT 3`` an index of a is read from 5 on until it has given three rows. In general
a condition has an outer span, outside of which it is never true, and an inner one, inside of which it always is.
Between them lie keys that the index cannot judge: texts that agree in their first 16 bytes with a bound, and
rows that tie with where a page of results ended, as in ``(a, id) > (5, 17)``, which is
``a > 5 OR (a = 5 AND id > 17)``. Such rows are read and not counted, and the query decides about them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from indexes.methods import range as range_method
from indexes.methods.range import Bound, KeyRange
from indexes.types import ColumnType
from proxy.sql.predicates import And, Between, Equals, Folded, In, Like, Literal, Or, Predicate
from proxy.sql.serving import prefix_of

Span = tuple[Bound | None, Bound | None]
"""Least and greatest key, both included; None is no bound."""

EVERY: Final[Span] = (None, None)
_HALF: Final = 64
_HALF_MAX: Final = (1 << 64) - 1
_LARGEST: Final = (1 << 128) - 1


@dataclass(frozen=True, slots=True)
class Reach:
    """Where the rows of a condition lie in the order of a column.

    Attributes:
        outer: rows that fulfil the condition have keys herein. NULL has none, and does not fulfil it.
        inner: rows with keys herein fulfil the condition.
        wide: whether keys have 16 bytes.
    """

    outer: Span
    inner: Span
    wide: bool = False

    def under(self, word: int) -> Reach | None:
        """The same in an index of several columns, for the leading values with this word; None if nothing is inside.

        Its keys have the upper half of the column's: what the lower half would tell is left to the query.
        """
        (low, high), (first, last) = self.outer, self.inner
        outer = (word, 0 if low is None else low[0]), (word, _HALF_MAX if high is None else high[0])
        begin = 0 if first is None else first[0] + (first[1] > 0)
        # Of types with keys of 8 bytes the lower half is zero, and the upper one is the key.
        cut = last is not None and self.wide and last[1] < _HALF_MAX
        end = _HALF_MAX if last is None else last[0] - cut
        if begin > end:
            return None
        return Reach(outer, ((word, begin), (word, end)))


@dataclass(frozen=True, slots=True)
class _Keys:
    """The keys low … high as whole numbers; none if low exceeds high."""

    low: int
    high: int

    def __bool__(self) -> bool:
        return self.low <= self.high

    def within(self, other: _Keys) -> _Keys:
        """What both have."""
        return _Keys(max(self.low, other.low), min(self.high, other.high))

    @property
    def span(self) -> Span:
        """The same with halves, for readers of the index."""
        low = None if self.low == 0 else divmod(self.low, 1 << _HALF)
        high = None if self.high == _LARGEST else divmod(self.high, 1 << _HALF)
        return low, high


WHOLE: Final = Reach(EVERY, EVERY)
"""Of no condition at all. Rows without a value fulfil it too."""

_ALL: Final = _Keys(0, _LARGEST)
_NONE: Final = _Keys(1, 0)


@dataclass(frozen=True, slots=True)
class _Part:
    """The outer and inner keys of one condition; ``outer`` is None if it may hold for a NULL or anywhere."""

    outer: _Keys | None
    inner: _Keys


_UNKNOWN: Final = _Part(None, _NONE)


class Reaching:
    """Finds what conditions reach.

    Args:
        column: the id of the ordered column.
        kind: its type.
        folded: whether the order is that of ``lower(column)``.
    """

    def __init__(self, column: int, kind: ColumnType, *, folded: bool) -> None:
        self._column = column
        self._kind = kind
        self._folded = folded

    def of(self, predicate: Predicate, *, descending: bool) -> Reach | None:
        """What a bound condition reaches, or None if reading in that order would not find its rows first."""
        part = self._part(predicate)
        outer, inner = part.outer, part.inner
        if outer is None or not outer or not inner:
            return None
        skipped = outer.high - inner.high if descending else inner.low - outer.low
        # No more than the keys of one value may be passed over before rows count.
        step = 1 << _HALF if self._kind.width == 8 else 1
        wide = self._kind.width != 8
        return Reach(outer.span, inner.span, wide) if skipped <= step else None

    def _part(self, node: Predicate) -> _Part:
        match node:
            case And(parts):
                return self._all(map(self._part, parts))
            case Or(parts):
                return self._any(map(self._part, parts))
            case Folded(atom):
                return self._atom(atom) if self._folded else _UNKNOWN
            case _:
                return _UNKNOWN if self._folded else self._atom(node)

    def _all(self, parts: Iterable[_Part]) -> _Part:
        outer: _Keys | None = None
        inner = _ALL
        for part in parts:
            if part.outer is not None:
                outer = part.outer if outer is None else outer.within(part.outer)
            inner = inner.within(part.inner)
        return _Part(outer, inner)

    def _any(self, parts: Iterable[_Part]) -> _Part:
        """Around all arms, and inside the widest one."""
        outer: _Keys | None = _NONE
        inner = _NONE
        for part in parts:
            if outer is not None and part.outer is not None:
                outer = _around(outer, part.outer)
            else:
                outer = None
            if part.inner.high - part.inner.low > inner.high - inner.low:
                inner = part.inner
        return _Part(outer, inner)

    def _atom(self, atom: Predicate) -> _Part:
        if not isinstance(atom, Equals | In | Between | Like) or atom.column != self._column:
            return _UNKNOWN
        match atom:
            case Equals(_, operand):
                return self._values([operand])
            case In(_, operands):
                return self._values(operands)
            case Between():
                return self._range(atom)
            case Like(_, pieces, begins, _):
                prefix = prefix_of(atom)
                if prefix is None:
                    return _UNKNOWN
                part = self._range(prefix)
                whole = begins and len(pieces) == 1
                return part if whole else _Part(part.outer, _NONE)

    def _range(self, atom: Between) -> _Part:
        found = range_method.key_range(
            self._kind,
            None if atom.low is None else _value(atom.low),
            None if atom.high is None else _value(atom.high),
            low_inclusive=atom.low_inclusive,
            high_inclusive=atom.high_inclusive,
        )
        if found is None:
            return _Part(_NONE, _NONE)
        keys = _keys(found)
        if found.exact:
            return _Part(keys, keys)
        if not self._kind.variable:
            return _Part(keys, _NONE)
        # Texts that share a key with a bound may lie on either side of it; those between the bounds do not.
        low = keys.low if found.low is None else keys.low + 1
        high = keys.high if found.high is None else keys.high - 1
        return _Part(keys, _Keys(low, high))

    def _values(self, operands: Iterable[object]) -> _Part:
        outer = _NONE
        for operand in operands:
            value = _value(operand)
            if value is not None:
                found = range_method.key_range(self._kind, value, value)
                outer = outer if found is None else _around(outer, _keys(found))
        return _Part(outer, _NONE)


def _around(one: _Keys, other: _Keys) -> _Keys:
    """The least span that holds both."""
    if not one or not other:
        return one or other
    return _Keys(min(one.low, other.low), max(one.high, other.high))


def _keys(found: KeyRange) -> _Keys:
    low = 0 if found.low is None else found.low[0] << _HALF | found.low[1]
    high = _LARGEST if found.high is None else found.high[0] << _HALF | found.high[1]
    return _Keys(low, high)


def _value(operand: object) -> object:
    if not isinstance(operand, Literal):
        raise TypeError("parameters are bound before a lookup")
    return operand.value
