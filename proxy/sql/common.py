"""What the readers of several statements share."""

from __future__ import annotations

from encdb.errors import NotSupportedError, err

from .cursor import Cursor
from .names import check_schema


def unsupported(what: str, fix: str | None = None) -> NotSupportedError:
    """The error for something that is understood and not served."""
    return err(NotSupportedError, "E_NOT_SUPPORTED", f"{what} is not supported", fix)


def table_reference(cursor: Cursor) -> str:
    """Read a table's name, with or without its schema."""
    name = cursor.name("a table")
    if cursor.skip("."):
        check_schema(name)
        name = cursor.name("a table")
        if cursor.at("."):
            raise unsupported("a name of another database")
    return name
