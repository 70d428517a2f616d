"""From CREATE and DROP statements to the next catalog."""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Sequence

from encdb.errors import NotSupportedError, ProgrammingError, err

from .catalog import (
    FIRST_COLUMN_ID,
    MAX_COLUMNS,
    NAME_BYTES,
    Catalog,
    Check,
    Column,
    ForeignKey,
    Index,
    Table,
    index_name,
)
from .definitions import DEFINITIONS, declare
from .definitions.visible import require_one_family
from .sql.statements import CreateIndex, CreateTable


def create_table(catalog: Catalog, statement: CreateTable) -> tuple[Catalog, Table]:
    """The catalog with a new table, and the table."""
    check_name(statement.name, "table")
    if statement.name.casefold() in catalog.index_names():
        raise err(ProgrammingError, "E_DUPLICATE_NAME", f'"{statement.name}" exists already')
    if not statement.columns:
        raise err(ProgrammingError, "E_SYNTAX", f'table "{statement.name}" has no columns')
    if len(statement.columns) > MAX_COLUMNS:
        raise err(
            NotSupportedError, "E_TOO_MANY_COLUMNS", f"a table has at most {MAX_COLUMNS} columns"
        )
    columns: list[Column] = []
    seen: set[str] = set()
    for number, one in enumerate(statement.columns, start=FIRST_COLUMN_ID):
        check_name(one.name, "column")
        if one.name.casefold() in seen:
            raise err(ProgrammingError, "E_DUPLICATE_NAME", f'column "{one.name}" is named twice')
        seen.add(one.name.casefold())
        columns.append(Column(number, one.name, one.type, one.not_null, one.default))
    table = Table(
        id=fresh_table_id(catalog),
        name=statement.name,
        columns=tuple(columns),
        created=catalog.version + 1,
    )
    if statement.primary_key is not None:
        key = statement.primary_key
        table = add_unique(catalog, table, key.columns, key.name, primary=True)
    for unique in statement.uniques:
        table = add_unique(catalog, table, unique.columns, unique.name, primary=False)
    checks = tuple(
        Check(check.name or f"{table.name}_check{number or ''}", check.expression)
        for number, check in enumerate(statement.checks)
    )
    foreign = []
    for number, key_def in enumerate(statement.foreign_keys):
        ids = tuple(table.column(name).id for name in key_def.columns)
        default = "_".join((table.name, *key_def.columns, "fkey"))
        foreign.append(
            ForeignKey(
                key_def.name or (default if number == 0 else f"{default}{number}"),
                ids,
                key_def.target,
                key_def.target_columns,
                key_def.on_delete,
                key_def.on_update,
            )
        )
    table = dataclasses.replace(table, checks=checks, foreign_keys=tuple(foreign))
    return catalog.with_table(table), table


def check_name(name: str, what: str) -> None:
    """Refuse names that could not be shown or stored."""
    if not name or len(name.encode("utf-8", "surrogatepass")) > NAME_BYTES or "\0" in name:
        raise err(
            ProgrammingError,
            "E_INVALID_NAME",
            f"the name of a {what} has 1 to {NAME_BYTES} bytes and no NUL",
        )


def fresh_table_id(catalog: Catalog) -> int:
    """A random 32-bit number that no table has."""
    taken = {table.id for table in catalog.tables}
    while (number := secrets.randbits(32)) in taken:
        pass
    return number


def add_unique(
    catalog: Catalog, table: Table, names: Sequence[str], name: str | None, *, primary: bool
) -> Table:
    """The table with the index behind a PRIMARY KEY or UNIQUE constraint."""
    columns = tuple(table.column(one).id for one in names)
    if primary:
        default = f"{table.name}_pkey"
        if default.casefold() in catalog.index_names():
            default = index_name(catalog, table, (), "pkey")
    else:
        default = index_name(catalog, table, names, "key")
    DEFINITIONS["equality"].declare([table.column(one) for one in names], (), ())
    index = Index(
        id=table.next_index_id,
        name=name or default,
        method="equality",
        columns=columns,
        unique=True,
        primary=primary,
    )
    return with_index(catalog, table, index)


def with_index(catalog: Catalog, table: Table, index: Index) -> Table:
    """The table with one more index; ProgrammingError when its name is taken."""
    taken = catalog.index_names() | {one.name.casefold() for one in table.indexes}
    if index.name.casefold() in taken:
        raise err(ProgrammingError, "E_DUPLICATE_NAME", f'"{index.name}" exists already')
    return dataclasses.replace(
        table, indexes=(*table.indexes, index), next_index_id=table.next_index_id + 1
    )


def create_index(
    catalog: Catalog, statement: CreateIndex, complete: int = 0
) -> tuple[Catalog, Table, Index]:
    """The catalog with a new index, its table as it becomes, and the index.

    ``complete`` is the epoch whose manifest will cover the rows there are.
    """
    table = catalog.table(statement.table)
    declared = declare(table, statement)
    if statement.method == "det":
        require_one_family(catalog, table, declared)
    name = statement.name or index_name(catalog, table, statement.columns, "idx")
    check_name(name, "index")
    index = Index(
        id=table.next_index_id,
        name=name,
        method=statement.method,
        columns=declared.columns,
        unique=statement.unique,
        options=declared.options,
        created=catalog.version + 1,
        complete=complete,
        include=declared.include,
    )
    changed = with_index(catalog, table, index)
    return catalog.with_table(changed), changed, index


def drop_index(catalog: Catalog, table: Table, index: Index) -> Catalog:
    """The catalog without one index; constraints cannot be dropped this way."""
    # The index of a constraint is as old as its table; only CREATE INDEX notes when it made one.
    if index.unique and index.created == 0:
        raise err(
            NotSupportedError,
            "E_NOT_SUPPORTED",
            f'"{index.name}" belongs to a constraint of table "{table.name}"',
            "Make the table anew without the constraint.",
        )
    kept = tuple(one for one in table.indexes if one.id != index.id)
    return catalog.with_table(dataclasses.replace(table, indexes=kept))
