"""What a store learns, told to the user: of an index before it is made, and of a statement before and after it runs.

`indexes.leakage` has the vocabulary and the profiles; nothing here says anything that is not there.
"""

from __future__ import annotations

from typing import Final

from indexes.leakage import Profile, profile_of
from indexes.types import Kind
from proxy.catalog import Index, Table

__all__ = ["index_profile"]

_NARROW: Final = {Kind.BOOLEAN: 8, Kind.SMALLINT: 16, Kind.INTEGER: 32, Kind.DATE: 32}


def index_profile(table: Table, index: Index) -> Profile:
    """The profile of one index as it is declared."""
    kind = table.column_by_id(index.columns[-1]).type
    bits = _NARROW.get(kind.kind, 8 * (kind.width or 8))
    return profile_of(
        index.method,
        index.options,
        columns=len(index.columns),
        included=len(index.include),
        unique=index.unique,
        bits=bits,
    )
