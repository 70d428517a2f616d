"""Definitions of the server-visible methods.

Each of them shows the store something about the values at rest or with every query, so each takes
``accept_leakage``: without it an index on a column with little entropy, or on an empty table, is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from encdb.errors import NotSupportedError, err
from indexes.methods import det
from indexes.types import Kind
from proxy.catalog import NAME_BYTES, Catalog, Column, Table

from .base import Declared, Definition, Options, boolean, one_of
from .hidden import no_equality, no_order

_OTHER_TYPE: Final = "Index a column of another type."
MASKS: Final = ("aes", "sha256")
SCHEMES: Final = ("clww", "boldyreva")
_SMALL: Final = (Kind.SMALLINT, Kind.INTEGER, Kind.DATE)


def _group(value: str) -> str | None:
    """The name of a join group, which is case-insensitive as other names are."""
    fits = 0 < len(value.encode("utf-8", "surrogatepass")) <= NAME_BYTES and "\0" not in value
    return value.casefold() if fits else None


def _ope_options(given: Options, columns: Sequence[Column]) -> Options:
    options = _OPE_OPTIONS.declare((), (), given)
    if dict(options).get("scheme", SCHEMES[0]) == "boldyreva":
        for column in columns:
            if column.type.kind not in _SMALL:
                raise err(
                    NotSupportedError,
                    "E_INDEX_TYPE",
                    f'column "{column.name}" is {column.type.sql}; the scheme boldyreva takes '
                    "integers of up to 32 bits and dates",
                    "Use the scheme clww.",
                )
    return options


def require_one_family(catalog: Catalog, table: Table, declared: Declared) -> None:
    """Refuse a column in a join group whose other columns have tags of another kind.

    Raises:
        NotSupportedError: equal values would have unlike tags, and no join could use them.
    """
    group = dict(declared.options).get("join_group")
    if group is None:
        return
    families = [det.family(table.column_by_id(number).type) for number in declared.columns]
    for other in catalog.tables:
        for index in other.indexes:
            if index.method != "det" or index.option("join_group", "") != group:
                continue
            theirs = [det.family(other.column_by_id(number).type) for number in index.columns]
            if theirs != families:
                raise err(
                    NotSupportedError,
                    "E_INDEX_TYPE",
                    f'the join group "{group}" holds {", ".join(theirs)} already, and no '
                    f"{', '.join(families)}",
                    "Use another join group, or columns of one type.",
                )


DET: Final = Definition(
    "det",
    no_equality,
    _OTHER_TYPE,
    options={"join_group": _group, "accept_leakage": boolean},
    choices={"join_group": "a name of 1 to 256 bytes"},
)
ORE: Final = Definition(
    "ore",
    no_order,
    _OTHER_TYPE,
    most_columns=1,
    options={"mask": one_of(*MASKS), "accept_leakage": boolean},
    choices={"mask": " or ".join(MASKS)},
)
_OPE_OPTIONS: Final = Definition(
    "ope",
    no_order,
    _OTHER_TYPE,
    most_columns=1,
    options={"scheme": one_of(*SCHEMES), "accept_leakage": boolean},
    choices={"scheme": " or ".join(SCHEMES)},
)
OPE: Final = Definition("ope", no_order, _OTHER_TYPE, most_columns=1, read_options=_ope_options)
