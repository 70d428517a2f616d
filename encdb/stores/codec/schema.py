"""The coding of a type, derived from its annotation: one small object per type, made once.

Each coding offers four things. ``plain`` turns a value into what CBOR knows, ``build`` turns that back
and checks it, ``weight`` estimates the encoded size in bytes, and ``pieces`` yields the encoding bit by
bit, so that a large message never exists a second time as one string of bytes. All pieces together
are exactly what encoding ``plain`` at once would give.

Lists are handled column by column: a million pairs of id and blob cost a few calls per column, not
several per pair.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable, Iterator, Sequence
from types import NoneType, UnionType
from typing import Any, Final, Literal, Protocol

import cbor2

PIECE_BYTES: Final = 1 << 18
"""Values up to this weight are encoded at once; larger ones in pieces."""

_LOWEST: Final = -1
_HIGHEST: Final = (1 << 63) - 1
_HEAD_BYTES: Final = 9
_BYTES_MAJOR: Final = 2
_ARRAY_MAJOR: Final = 4


class Malformed(Exception):  # noqa: N818 - it becomes an error where it is known whose fault it is.
    """The bytes are no message of this version."""


def head(major: int, length: int) -> bytes:
    """The head of a CBOR string or array in its shortest form (RFC 8949, section 3)."""
    first = major << 5
    if length < 24:
        return bytes((first | length,))
    for code, size in ((24, 1), (25, 2), (26, 4)):
        if length < 1 << (8 * size):
            return bytes((first | code,)) + length.to_bytes(size, "big")
    return bytes((first | 27,)) + length.to_bytes(8, "big")


class Coding(Protocol):
    """How values of one type are coded."""

    def plain(self, value: Any) -> Any:
        """The value as CBOR's own types."""
        ...

    def build(self, plain: Any) -> Any:
        """The value again; raises :class:`Malformed`."""
        ...

    def build_all(self, plains: Sequence[Any]) -> Sequence[Any]:
        """``build`` of each."""
        ...

    def weight(self, value: Any) -> int:
        """About how many bytes the encoding takes, never too few."""
        ...

    def weight_all(self, values: Sequence[Any]) -> int:
        """Sum of the weights."""
        ...

    def pieces(self, value: Any) -> Iterator[bytes]:
        """The encoding, in order."""
        ...


class _Simple:
    """What most codings share: values are plain already and small."""

    def plain(self, value: Any) -> Any:
        return value

    def build(self, plain: Any) -> Any:
        (value,) = self.build_all((plain,))
        return value

    def build_all(self, plains: Sequence[Any]) -> Sequence[Any]:
        return [self.build(plain) for plain in plains]

    def weight(self, _value: Any) -> int:
        return _HEAD_BYTES

    def weight_all(self, values: Sequence[Any]) -> int:
        return sum(map(self.weight, values))

    def pieces(self, value: Any) -> Iterator[bytes]:
        yield cbor2.dumps(self.plain(value))


def _exact(values: Sequence[Any], kind: type) -> None:
    """All of this very type: True is no integer here."""
    if set(map(type, values)) - {kind}:
        raise Malformed


class _Integer(_Simple):
    def build_all(self, plains: Sequence[Any]) -> Sequence[Any]:
        _exact(plains, int)
        if plains and (min(plains) < _LOWEST or max(plains) > _HIGHEST):
            raise Malformed
        return plains

    def weight_all(self, values: Sequence[Any]) -> int:
        return _HEAD_BYTES * len(values)


class _Bytes(_Simple):
    def build_all(self, plains: Sequence[Any]) -> Sequence[Any]:
        _exact(plains, bytes)
        return plains

    def weight(self, value: Any) -> int:
        return _HEAD_BYTES + len(value)

    def weight_all(self, values: Sequence[Any]) -> int:
        return _HEAD_BYTES * len(values) + sum(map(len, values))

    def pieces(self, value: Any) -> Iterator[bytes]:
        yield head(_BYTES_MAJOR, len(value))
        yield value


class _Boolean(_Simple):
    def build_all(self, plains: Sequence[Any]) -> Sequence[Any]:
        _exact(plains, bool)
        return plains


class _OneOf(_Simple):
    """One of a few words."""

    def __init__(self, words: Sequence[str]) -> None:
        self._words = frozenset(words)
        self._weight = _HEAD_BYTES + max(map(len, words))

    def build_all(self, plains: Sequence[Any]) -> Sequence[Any]:
        _exact(plains, str)
        if set(plains) - self._words:
            raise Malformed
        return plains

    def weight(self, _value: Any) -> int:
        return self._weight


class _Optional(_Simple):
    """A value or nothing."""

    def __init__(self, inner: Coding) -> None:
        self._inner = inner

    def plain(self, value: Any) -> Any:
        return None if value is None else self._inner.plain(value)

    def build(self, plain: Any) -> Any:
        return None if plain is None else self._inner.build(plain)

    def build_all(self, plains: Sequence[Any]) -> Sequence[Any]:
        return [self.build(plain) for plain in plains]

    def weight(self, value: Any) -> int:
        return 1 if value is None else self._inner.weight(value)

    def pieces(self, value: Any) -> Iterator[bytes]:
        if value is None:
            yield cbor2.dumps(None)
        else:
            yield from self._inner.pieces(value)


class _Fixed(_Simple):
    """A tuple of a fixed length, such as (id, blob); its members are plain already."""

    def __init__(self, members: Sequence[Coding]) -> None:
        self._members = members

    def build_all(self, plains: Sequence[Any]) -> Sequence[Any]:
        _exact(plains, list)
        if set(map(len, plains)) - {len(self._members)}:
            raise Malformed
        columns = [
            member.build_all(column)
            for member, column in zip(self._members, zip(*plains, strict=True), strict=False)
        ]
        return list(zip(*columns, strict=True))

    def weight(self, value: Any) -> int:
        return self.weight_all((value,))

    def weight_all(self, values: Sequence[Any]) -> int:
        columns = zip(*values, strict=True)
        weights = map(lambda member, column: member.weight_all(column), self._members, columns)
        return len(values) + sum(weights)

    def pieces(self, value: Any) -> Iterator[bytes]:
        yield head(_ARRAY_MAJOR, len(value))
        for member, one in zip(self._members, value, strict=True):
            yield from member.pieces(one)


class _Many(_Simple):
    """A tuple of any length with members of one type."""

    def __init__(self, member: Coding) -> None:
        self._member = member
        self._as_it_is = not isinstance(member, Record)

    def plain(self, value: Any) -> Any:
        return value if self._as_it_is else list(map(self._member.plain, value))

    def build(self, plain: Any) -> Any:
        if type(plain) is not list:
            raise Malformed
        return tuple(self._member.build_all(plain))

    def build_all(self, plains: Sequence[Any]) -> Sequence[Any]:
        return [self.build(plain) for plain in plains]

    def weight(self, value: Any) -> int:
        return _HEAD_BYTES + self._member.weight_all(value)

    def pieces(self, value: Any) -> Iterator[bytes]:
        yield head(_ARRAY_MAJOR, len(value))
        group: list[Any] = []
        size = 0
        for one in value:
            weight = self._member.weight(one)
            if weight + size >= PIECE_BYTES and group:
                yield _members_of(group)
                group, size = [], 0
            if weight >= PIECE_BYTES:
                yield from self._member.pieces(one)
            else:
                group.append(self._member.plain(one))
                size += weight
        if group:
            yield _members_of(group)


def _members_of(group: list[Any]) -> bytes:
    """The encodings of the members alone, for an array whose head was written before."""
    return cbor2.dumps(group)[len(head(_ARRAY_MAJOR, len(group))) :]


class Record(_Simple):
    """A dataclass: the array of its fields, and before them its number if it is a message."""

    def __init__(self, kind: type[Any], number: int | None = None) -> None:
        self._kind = kind
        hints = typing.get_type_hints(kind)
        self._names = tuple(one.name for one in dataclasses.fields(kind))
        self._codings = tuple(coding(hints[name]) for name in self._names)
        self._fields = tuple(zip(self._names, self._codings, strict=True))
        self._prefix: tuple[int, ...] = () if number is None else (number,)

    def plain(self, value: Any) -> Any:
        """The array."""
        fields = (one.plain(getattr(value, name)) for name, one in self._fields)
        return [*self._prefix, *fields]

    def build(self, plain: Any) -> Any:
        """Build the message; a check of the constructor itself comes out as it is."""
        skipped = len(self._prefix)
        if type(plain) is not list or len(plain) != skipped + len(self._codings):
            raise Malformed
        given = zip(self._codings, plain[skipped:], strict=True)
        return self._kind(*(one.build(member) for one, member in given))

    def weight(self, value: Any) -> int:
        """Of all fields."""
        fields = sum(one.weight(getattr(value, name)) for name, one in self._fields)
        return _HEAD_BYTES * (1 + len(self._prefix)) + fields

    def pieces(self, value: Any) -> Iterator[bytes]:
        """The fields one after the other, a small message at once."""
        if self.weight(value) < PIECE_BYTES:
            yield cbor2.dumps(self.plain(value))
            return
        yield head(_ARRAY_MAJOR, len(self._prefix) + len(self._fields))
        yield from map(cbor2.dumps, self._prefix)
        for name, one in self._fields:
            member = getattr(value, name)
            if one.weight(member) < PIECE_BYTES:
                yield cbor2.dumps(one.plain(member))
            else:
                yield from one.pieces(member)


_SCALARS: Final[dict[object, Callable[[], Coding]]] = {int: _Integer, bytes: _Bytes, bool: _Boolean}


def coding(hint: Any) -> Coding:
    """The coding of an annotation that occurs in :mod:`encdb.wire`."""
    if hint in _SCALARS:
        return _SCALARS[hint]()
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return _OneOf(arguments)
    if origin in {UnionType, typing.Union} and NoneType in arguments:
        (inner,) = (one for one in arguments if one is not NoneType)
        return _Optional(coding(inner))
    if origin is tuple and arguments[-1] is Ellipsis:
        return _Many(coding(arguments[0]))
    if origin is tuple:
        return _Fixed([coding(one) for one in arguments])
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return Record(hint)
    message = f"no coding for {hint!r}"
    raise TypeError(message)
