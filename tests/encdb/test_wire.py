"""Messages sort themselves, refuse what is malformed, and carry nothing but sealed bytes and ids."""

from __future__ import annotations

import dataclasses
import typing

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from encdb import wire
from encdb.errors import InternalError, TamperError

IDS = st.lists(st.integers(0, 2**63 - 1), max_size=30)


@given(IDS)
def test_ids_are_sorted_and_named_once(ids: list[int]):
    request = wire.ReadPages(1, tuple(ids))
    assert request.ids == tuple(sorted(set(ids)))


@given(st.dictionaries(st.integers(0, 2**63 - 1), st.binary(max_size=8), max_size=30))
def test_batches_are_sorted_by_id(pairs: dict[int, bytes]):
    change = wire.TableChange(table=1, epoch=0, rows_added=tuple(pairs.items()))
    assert change.rows_added == tuple(sorted(pairs.items()))


@given(st.dictionaries(st.binary(min_size=16, max_size=16), st.integers(0, 99), max_size=30))
def test_claims_are_sorted_by_tag(claims: dict[bytes, int]):
    change = wire.TableChange(table=1, epoch=0, keys_added=tuple(claims.items()))
    assert change.keys_added == tuple(sorted(claims.items()))


def test_numpy_numbers_become_plain_ones():
    request = wire.ReadRows(1, tuple(np.array([3, 1], dtype=np.int64)))
    assert request.labels == (1, 3)
    assert {type(label) for label in request.labels} == {int}


def test_tables_of_a_message_are_sorted():
    commit = wire.Commit(
        b"i" * 16, 0, (wire.TableChange(table=9, epoch=0), wire.TableChange(table=2, epoch=0))
    )
    assert [change.table for change in commit.changes] == [2, 9]
    request = wire.ReadHeads(
        0, (wire.TableCursor(9, 0, 0, ()), wire.TableCursor(2, 0, 0, ())), if_changed=True
    )
    assert [cursor.table for cursor in request.cursors] == [2, 9]


@pytest.mark.parametrize(
    "make",
    [
        lambda: wire.ReadPages(1, (-1,)),
        lambda: wire.ReadPages(1, (2**63,)),
        lambda: wire.TableChange(table=1, epoch=0, rows_added=((1, b"a"), (1, b"b"))),
        lambda: wire.TableChange(table=1, epoch=0, rows_added=((1, "text"),)),
        lambda: wire.TableChange(table=1, epoch=0, rows_removed=(1, 1)),
        lambda: wire.TableChange(table=1, epoch=0, keys_added=((b"t", 1), (b"t", 2))),
        lambda: wire.TableChange(table=1, epoch=0, swap=wire.Swap(2, b"m", b"l")),
        lambda: wire.DeltaBlob(b"short", 1, b""),
        lambda: wire.DeltaBlob(b"w" * 16, 0, b""),
        lambda: wire.DeltaBlob(b"w" * 16, 1, "text"),
        lambda: wire.Commit(b"i", 0, (wire.TableChange(1, 0), wire.TableChange(1, 0))),
        lambda: wire.Commit(b"i", 0, (), wire.CatalogChange(2, b"", b"")),
        lambda: wire.Lease(1, "ordinal", 0),
        lambda: wire.ReadHeads(
            0, (wire.TableCursor(1, 0, 0, ()), wire.TableCursor(1, 0, 0, ())), if_changed=False
        ),
    ],
)
def test_malformed_requests_are_refused(make: typing.Callable[[], object]):
    with pytest.raises(InternalError):
        make()


@pytest.mark.parametrize(
    "make",
    [
        lambda: wire.Blobs(1, (1, 2), (b"one",)),
        lambda: wire.Blobs(1, (1,), ("text",)),
        lambda: wire.Blobs(1, (1,), (None,)),
    ],
)
def test_malformed_answers_are_an_integrity_failure(make: typing.Callable[[], object]):
    with pytest.raises(TamperError):
        make()


def _messages() -> list[type]:
    unions = (wire.Request, wire.Response)
    kinds = {kind for union in unions for kind in typing.get_args(union)}
    return sorted(kinds, key=lambda kind: kind.__name__)


@pytest.mark.parametrize("kind", _messages(), ids=lambda kind: kind.__name__)
def test_messages_are_frozen_and_typed_with_opaque_values_only(kind: type):
    """No float, array, mapping or free text: nothing that could carry a value by accident."""
    assert dataclasses.is_dataclass(kind)
    assert kind.__dataclass_params__.frozen
    seen: set[object] = set()
    _collect(typing.get_type_hints(kind), seen)
    assert seen <= {int, bytes, bool, type(None), Ellipsis}, seen


def _collect(hints: dict[str, object], seen: set[object]) -> None:
    pending = list(hints.values())
    while pending:
        hint = pending.pop()
        if dataclasses.is_dataclass(hint):
            pending.extend(typing.get_type_hints(hint).values())
        elif typing.get_origin(hint) is typing.Literal:
            # A fixed choice of words.
            assert all(isinstance(word, str) for word in typing.get_args(hint))
        elif typing.get_args(hint):
            pending.extend(typing.get_args(hint))
        else:
            seen.add(hint)
