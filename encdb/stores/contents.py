"""Layout and small relations of a whole store, read as :class:`encdb.wire.Finish` carries them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from encdb import wire
from encdb.errors import InternalError, TamperError, err

from .base import StoreSnapshot

_T = TypeVar("_T")


def read_layout(snapshot: StoreSnapshot) -> wire.Layout:
    """The layout of the store, well formed.

    Raises:
        TamperError: it contradicts itself (``E_TAMPERED``), or the store is damaged.
    """
    layout = wire.verified(snapshot.read(wire.ReadLayout()), wire.Layout)
    tables = {one.table for one in layout.tables}
    sound = (
        len(layout.catalog_links) == layout.catalog_version + 1 >= 1
        and len(tables) == len(layout.tables)
        and all(
            len(one.links) == one.epoch and (one.manifest is None) == (one.epoch == 0)
            for one in layout.tables
        )
    )
    if not sound:
        raise err(TamperError, "E_TAMPERED", "the store's description of itself is malformed")
    return layout


def without_stages(layout: wire.Layout) -> wire.Layout:
    """The same without the stages, which a copy leaves out."""
    tables = tuple(replace(one, staged_segments=(), staged_packs=()) for one in layout.tables)
    return replace(layout, tables=tables)


def went_back(before: wire.Layout, now: wire.Layout) -> bool:
    """Whether a counter of the store is lower than it was, which it never is by itself."""
    if now.catalog_version < before.catalog_version:
        return True
    tables = {one.table: one for one in now.tables}
    return any(
        (later := tables.get(one.table)) is not None
        and (
            later.epoch < one.epoch
            or later.next_ordinal < one.next_ordinal
            or later.next_segment < one.next_segment
        )
        for one in before.tables
    )


def read_contents(snapshot: StoreSnapshot, layout: wire.Layout) -> tuple[wire.TableContent, ...]:
    """Deltas, claims and tombstones of every table of a layout of the same snapshot.

    Raises:
        TamperError: an answer is malformed (``E_TAMPERED``), or the store is damaged.
    """
    return tuple(_read_table(snapshot, layout, one) for one in layout.tables)


def _read_table(
    snapshot: StoreSnapshot, layout: wire.Layout, table: wire.TableLayout
) -> wire.TableContent:
    cursor = wire.TableCursor(table.table, epoch=table.epoch, chain=table.epoch, frontier=())
    heads, keys, tombstones = snapshot.read_all(
        (
            wire.ReadHeads(layout.catalog_version, (cursor,), if_changed=False),
            wire.ReadKeys(table.table, None),
            wire.ListIds(table.table, "tombstones"),
        )
    )
    deltas = [
        delta
        for one in wire.verified(heads, wire.Heads).tables
        if one.table == table.table
        for delta in one.deltas
    ]
    return well_formed(
        lambda: wire.TableContent(
            table=table.table,
            deltas=tuple(deltas),
            claims=wire.verified(keys, wire.Keys).claims,
            tombstones=wire.verified(tombstones, wire.Ids).ids,
        )
    )


def well_formed(make: Callable[[], _T]) -> _T:
    """A message made from a store's answers, which are at fault if it cannot be made."""
    try:
        return make()
    except InternalError as malformed:
        raise err(
            TamperError, "E_TAMPERED", f"the store's answer is malformed: {malformed.message}"
        ) from None
