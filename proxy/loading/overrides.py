"""Types that the user gave for some columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from encdb.errors import ProgrammingError, err
from indexes.types import ColumnType

from ..catalog import suggest


def typed(names: Sequence[str], overrides: Mapping[str, ColumnType]) -> list[ColumnType | None]:
    """The given type of each column, or None.

    Raises:
        ProgrammingError: E_UNKNOWN_COLUMN for an override of a column that does not exist.
    """
    given = {name.casefold(): kind for name, kind in overrides.items()}
    found = [given.pop(name.casefold(), None) for name in names]
    for name in overrides:
        if name.casefold() in given:
            raise err(
                ProgrammingError,
                "E_UNKNOWN_COLUMN",
                f'the input has no column "{name}"',
                suggest(name, names),
            )
    return found
