"""The description of a whole store, for a copy of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, LiteralString, TypeAlias

from encdb import wire

from .failures import damaged
from .link import Answer
from .schema import KIND_PACK, KIND_SEGMENT

Statement: TypeAlias = tuple[LiteralString, Sequence[Any]]
Run: TypeAlias = Callable[[Sequence[Statement]], list[Answer]]


def read_layout(run: Run, url: str) -> wire.Layout:
    """The whole store beside its blobs, in one round trip."""
    heads, catalog, tables, links, ends, staged = run(
        [
            ("SELECT database, incarnation, format, catalog_version FROM {heads}", ()),
            ("SELECT version, link, blob FROM {catalog} ORDER BY version", ()),
            (
                (
                    "SELECT tbl, epoch, manifest, ordinal, segment FROM {tables}"
                    " JOIN {leases} USING (tbl) ORDER BY tbl"
                ),
                (),
            ),
            ("SELECT tbl, link FROM {links} ORDER BY tbl, epoch", ()),
            ("SELECT tbl, writer, n, digest, day FROM {folded} ORDER BY tbl, writer", ()),
            ("SELECT tbl, kind, number FROM {staged} ORDER BY tbl, kind, number", ()),
        ]
    )
    if len(heads.rows) != 1:
        raise damaged(url, "its head is missing")
    database, incarnation, number, version = heads.rows[0]
    current = [blob for one, _, blob in catalog.rows if one == version and blob is not None]
    if len(current) != 1:
        raise damaged(url, "its catalog is missing")
    by_table: dict[int, list[bytes]] = {}
    for table, link in links.rows:
        by_table.setdefault(table, []).append(link)
    folded: dict[int, list[wire.FoldedEnd]] = {}
    for table, *end in ends.rows:
        folded.setdefault(table, []).append(wire.FoldedEnd(*end))
    held: dict[tuple[int, int], list[int]] = {}
    for table, kind, one in staged.rows:
        held.setdefault((table, kind), []).append(one)
    return wire.Layout(
        database=database,
        format=number,
        incarnation=incarnation,
        catalog_version=version,
        catalog=current[0],
        catalog_links=tuple(link for one, link, _ in catalog.rows if one <= version),
        tables=tuple(
            wire.TableLayout(
                table=table,
                epoch=epoch,
                manifest=manifest,
                links=tuple(by_table.get(table, ())),
                next_ordinal=ordinal,
                next_segment=segment,
                folded=tuple(folded.get(table, ())),
                staged_segments=tuple(held.get((table, KIND_SEGMENT), ())),
                staged_packs=tuple(held.get((table, KIND_PACK), ())),
            )
            for table, epoch, manifest, ordinal, segment in tables.rows
        ),
    )
