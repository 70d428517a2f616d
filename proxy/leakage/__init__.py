"""What a store learns, told to the user: of an index before it is made, and of a statement before and after it runs.

`indexes.leakage` has the vocabulary and the profiles; nothing here says anything that is not there.
"""

from __future__ import annotations

from indexes.leakage import DEFAULT_BITS, Profile, profile_of
from indexes.methods.domain import bits_of
from proxy.catalog import Index, Table

__all__ = ["index_profile"]


def index_profile(table: Table, index: Index) -> Profile:
    """The profile of one index as it is declared."""
    kind = table.column_by_id(index.columns[-1]).type
    return profile_of(
        index.method,
        index.options,
        columns=len(index.columns),
        included=len(index.include),
        unique=index.unique,
        bits=bits_of(kind) if kind.ordered else DEFAULT_BITS,
    )
