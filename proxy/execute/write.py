"""The constraints that new rows must meet, the numbers they get, and what goes with removed ones.

A statement's rows are checked as one batch before the transaction sees any of them, so a statement that
fails leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Container, Iterable

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from encdb.errors import IntegrityError, err
from indexes.methods import equality
from proxy.arrow import Ordinals, one_array
from proxy.catalog import Index, Table
from proxy.derive import keyword_totals
from proxy.integrity import tampered
from proxy.leases import Leases
from proxy.manifest import Totals
from proxy.overlay import NewRows, RemovedRows, UniqueWords

from .probes.base import candidates
from .view import TableView, as_array


def remove(view: TableView, ordinals: Ordinals) -> RemovedRows:
    """What has to go with rows: claims of the pending ones, and keyword statistics."""
    table, state = view.table, view.state
    keyword_indexes = [index for index in table.indexes if index.method == "keyword"]
    pending = as_array(one for one in ordinals.tolist() if one in state.recent)
    statistics: Totals = {}
    for index in keyword_indexes:
        _, arrays = view.fetch(np.sort(ordinals), index.columns)
        documents, tokens = keyword_totals(index, [one_array(array) for array in arrays])
        statistics[index.id] = (-documents, [-one for one in tokens])
    tags: dict[int, list[bytes]] = {}
    if len(pending) and table.unique_indexes:
        for index in table.unique_indexes:
            order, arrays = view.fetch(np.sort(pending), index.columns)
            types = [table.column_by_id(number).type for number in index.columns]
            plain = [one.combine_chunks() for one in arrays]
            values, valid = equality.tags(state.keys.index_tags(index.id), plain, types)
            by_ordinal = {
                ordinal: values[place].tobytes() if valid[place] else b""
                for place, ordinal in enumerate(order.tolist())
            }
            tags[index.id] = [by_ordinal.get(one, b"") for one in ordinals.tolist()]
    return RemovedRows(ordinals=ordinals, tags=tags, statistics=statistics)


def check_not_null(table: Table, rows: pa.RecordBatch) -> None:
    """IntegrityError E_NOT_NULL when a NOT NULL or PRIMARY KEY column holds NULL."""
    primary = table.primary_key
    required = set(primary.columns) if primary else set()
    for place, column in enumerate(table.columns):
        if (column.not_null or column.id in required) and rows.column(place).null_count:
            raise err(
                IntegrityError,
                "E_NOT_NULL",
                f'column "{column.name}" of table "{table.name}" may not be NULL',
            )


def check_unique(
    view: TableView,
    rows: NewRows,
    replaced: Ordinals,
    assigned: Container[int] | None = None,
) -> None:
    """IntegrityError E_DUPLICATE_KEY when a unique value exists already, or twice in the batch.

    The answer is verified: the proxy looks in the hidden index, in the pending deltas and in the
    transaction's own changes, none of which the store can shorten.

    Args:
        view: the table without the new rows.
        rows: the new rows.
        replaced: ordinals of rows that the same statement removes.
        assigned: ids of the columns that an UPDATE has assigned, None for new rows. Where it has
            assigned no column of an index, the rows keep the values by which they were unique.
    """
    for index in view.table.unique_indexes:
        if assigned is not None and not any(one in assigned for one in index.columns):
            continue
        words, valid = rows.unique_words[index.id]
        chosen = words[valid]
        if len(np.unique(chosen)) != len(chosen):
            tags, _ = rows.tags[index.id]
            distinct = {tag.tobytes() for tag in tags[valid]}
            if len(distinct) != len(chosen):
                raise duplicate(view.table, index)
        found = candidates(view, chosen)
        if len(replaced):
            found = found[~np.isin(found, replaced)]
        if len(found) and _same_value(view, index, found, rows):
            raise duplicate(view.table, index)


def _same_value(view: TableView, index: Index, found: Ordinals, rows: NewRows) -> bool:
    """Whether rows that share a 64-bit word with new ones share the 128-bit tag as well."""
    types = [view.table.column_by_id(number).type for number in index.columns]
    _, arrays = view.fetch(found, index.columns)
    prf = view.state.keys.index_tags(index.id)
    present, _ = equality.tags(prf, [one_array(array) for array in arrays], types)
    tags, valid = rows.tags[index.id]
    known = {tag.tobytes() for tag in present}
    return any(tag.tobytes() in known for tag in tags[valid])


def fresh_ordinals(view: TableView, leases: Leases, count: int, *, bulk: bool = False) -> Ordinals:
    """Ordinals for new rows.

    Raises:
        TamperError: the store gave out ordinals that rows have, or had a moment ago.
    """
    ordinals = leases.block_ordinals(count) if bulk else leases.ordinals(count)
    listed, state = ordinals.tolist(), view.state
    gone = state.removed.isdisjoint(listed) and state.given.isdisjoint(listed)
    if view.live_mask(ordinals).any() or not gone:
        raise tampered(f'the store gave an ordinal of "{view.table.name}" out twice')
    return ordinals


def duplicate(table: Table, index: Index) -> IntegrityError:
    """The error for a duplicate key: it names the constraint, never the value."""
    columns = ", ".join(table.names(index.columns))
    return err(
        IntegrityError,
        "E_DUPLICATE_KEY",
        f'a row with the same ({columns}) exists already: constraint "{index.name}" of table '
        f'"{table.name}"',
    )


def claimed_elsewhere(view: TableView, batches: Iterable[UniqueWords]) -> bool:
    """Whether a unique value of this transaction is live in the store's newer state as well."""
    merged: dict[int, list[npt.NDArray[np.uint64]]] = {}
    for batch in batches:
        for index_id, (words, valid) in batch.items():
            merged.setdefault(index_id, []).append(words[valid])
    own = view.overlay.places
    for listed in merged.values():
        found = candidates(view, np.unique(np.concatenate(listed)))
        if any(ordinal not in own for ordinal in found.tolist()):
            return True
    return False
