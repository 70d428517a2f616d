"""What of a table's verified state decides which messages a statement sends: how large its segments are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from indexes.multimap.paging import WHOLE
from indexes.multimap.segment import HASHED, SORTED
from proxy.state import TableState

SMALL: Final = WHOLE
"""Segments of at most this many pages are read whole."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of the segments of a table.

    Attributes:
        hashed: pages of each hashed segment.
        ordered: pages of each sorted segment, by index.
        liveness: pages of each liveness segment.
        analysed: whether there are statistics.
        rows: live rows.
        pending: rows among them that no merge has settled.
    """

    hashed: tuple[int, ...]
    ordered: Mapping[int, tuple[int, ...]]
    liveness: tuple[int, ...]
    analysed: bool
    rows: int
    pending: int


def shape_of(state: TableState) -> Shape:
    """The shape of a verified state."""
    manifest = state.manifest
    ordered: dict[int, tuple[int, ...]] = {}
    for info in manifest.segments:
        if info.kind == SORTED:
            ordered[info.index] = (*ordered.get(info.index, ()), info.pages)
    return Shape(
        hashed=tuple(info.pages for info in manifest.segments if info.kind == HASHED),
        ordered=ordered,
        liveness=tuple(info.pages for info in manifest.liveness),
        analysed=manifest.analysis is not None,
        rows=state.live_rows,
        pending=len(state.recent),
    )


def pages(sizes: tuple[int, ...]) -> str:
    """Segments in words, such as '2 segments of 40 and 130 pages'."""
    if len(sizes) == 1:
        return f"a segment of {sizes[0]} pages"
    listed = ", ".join(map(str, sizes[:-1]))
    return f"{len(sizes)} segments of {listed} and {sizes[-1]} pages"
