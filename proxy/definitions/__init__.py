"""What each index method may be declared on: columns, types, options and INCLUDE.

CREATE INDEX is checked here before anything is read or built, so that a refusal costs nothing and says
what would be accepted. A method is one entry of :data:`DEFINITIONS`.
"""

from __future__ import annotations

from typing import Final

from encdb.errors import NotSupportedError, err
from proxy.catalog import Table
from proxy.sql.statements import CreateIndex

from . import hidden, visible
from .base import Declared, Definition, Options

__all__ = ["DEFINITIONS", "Declared", "Definition", "declare"]

DEFINITIONS: Final[dict[str, Definition]] = {
    one.method: one
    for one in (
        hidden.EQUALITY,
        hidden.RANGE,
        hidden.KEYWORD,
        hidden.SUBSTRING,
        visible.DET,
        visible.ORE,
        visible.OPE,
    )
}
"""The definition of every index method, by name."""


def declare(table: Table, statement: CreateIndex) -> Declared:
    """The columns and options of an index, checked and in their normal form.

    Raises:
        ProgrammingError: an unknown column or option.
        NotSupportedError: the method does not suit the columns.
    """
    definition = DEFINITIONS[statement.method]
    columns = tuple(table.column(name) for name in statement.columns)
    include = tuple(table.column(name) for name in statement.include)
    if statement.unique and statement.method != "equality":
        raise err(
            NotSupportedError,
            "E_NOT_SUPPORTED",
            f"a unique index by {statement.method} is not served",
            "Use CREATE UNIQUE INDEX … USING equality.",
        )
    options: Options = definition.declare(columns, include, statement.options)
    if include and dict(options).get("positions") == "on":
        raise err(
            NotSupportedError,
            "E_NOT_SUPPORTED",
            "an index that keeps word positions has no INCLUDE",
            "Leave one of the two out, or make two indexes.",
        )
    return Declared(tuple(one.id for one in columns), tuple(one.id for one in include), options)
