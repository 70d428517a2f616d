"""Entries of server-visible indexes: what the store is shown of rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from proxy.arrow import Array
from proxy.catalog import Index
from proxy.keyspace import TableKeys, scheme_of

from .collected import Collected


def visible_entries(
    index: Index, keys: TableKeys, arrays: Sequence[Array], into: Collected
) -> None:
    """A value for each row that has no NULL."""
    shown, valid = scheme_of(into.table, keys, index).values(arrays)
    chosen = np.flatnonzero(valid)
    into.visible[index.id] = (shown[chosen], into.ordinals[chosen])
