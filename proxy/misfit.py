"""Why a value does not fit its column, before it is known where the value stood.

The casts raise a :class:`Misfit`; whoever knows the place, a column, a row, a line of a file, turns it
into the error that users see. The reason never quotes the value.
"""

from __future__ import annotations

from typing import Final

from encdb.errors import DataError, EncdbError, ProgrammingError, err
from indexes.types import ColumnType

OUT_OF_RANGE: Final = "E_OUT_OF_RANGE"
INVALID: Final = "E_INVALID_VALUE"
TOO_LONG: Final = "E_TOO_LONG"
MISMATCH: Final = "E_TYPE_MISMATCH"


class Misfit(Exception):  # noqa: N818 - never seen by users: it becomes an error that names the place.
    """A value does not fit its column.

    Attributes:
        code: the catalogue entry.
        reason: why, without the value.
    """

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class MisfitAt(Misfit):
    """A value of an array does not fit.

    Attributes:
        index: its place in the array.
    """

    def __init__(self, misfit: Misfit, index: int) -> None:
        super().__init__(misfit.code, misfit.reason)
        self.index = index


def mismatch(value: object, kind: ColumnType) -> Misfit:
    """A Python type without meaning in the column."""
    return Misfit(MISMATCH, f"a Python {type(value).__name__} is no {kind.sql}")


def invalid(kind: ColumnType) -> Misfit:
    """A text that cannot be read."""
    return Misfit(INVALID, f"the text cannot be read as {kind.sql}")


def out_of_range(kind: ColumnType) -> Misfit:
    """A number outside of what the type holds."""
    return Misfit(OUT_OF_RANGE, f"the number is out of range for {kind.sql}")


def misfit_error(misfit: Misfit, place: str) -> EncdbError:
    """The error for a value that does not fit, naming the place but not the value."""
    kind = ProgrammingError if misfit.code == MISMATCH else DataError
    return err(kind, misfit.code, f"{place}: {misfit.reason}")
