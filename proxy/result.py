"""What a statement returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Result:
    """The outcome of one statement.

    Attributes:
        kind: ``rows`` when there is a table to fetch, else ``done``.
        tag: PostgreSQL's command tag, such as ``INSERT 0 1``.
        columns: name and SQL type of each result column.
        table: the rows, or None.
        rowcount: rows returned or changed; -1 when the statement has no such number.
        notices: what the user should know beside the result, one line each.
    """

    kind: str
    tag: str
    columns: tuple[tuple[str, str], ...] = ()
    table: pa.Table | None = None
    rowcount: int = -1
    notices: tuple[str, ...] = field(default=())

    def rows(self) -> list[tuple[Any, ...]]:
        """The rows as Python values."""
        from .values import to_python

        return [] if self.table is None else to_python(self.table)


def done(tag: str, rowcount: int = -1, notices: tuple[str, ...] = ()) -> Result:
    """The result of a statement that returns no rows."""
    return Result(kind="done", tag=tag, rowcount=rowcount, notices=notices)
