"""The sealed schema: tables, columns, indexes and constraints of one database.

The whole catalog is one value. A change makes a new version that names the hash of the one before
it, so that a store cannot drop an index or a constraint silently, nor serve an old schema to a client
that has seen a newer one. The store sees only how many versions there were and their padded sizes.

Identifiers are case-insensitive and case-preserving, as they are in the local engine.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import cbor2

from encdb.errors import ProgrammingError, err
from indexes.types import ColumnType

FIRST_COLUMN_ID = 1
MAX_COLUMNS = 1600
NAME_BYTES = 256
"""Longest name of a table, column, index or join group, in bytes of UTF-8."""

VISIBLE_METHODS: Final = frozenset({"det", "ore", "ope"})
"""Methods whose indexes the store itself compares; every listing calls them server-visible."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column. ``id`` is never used again within its table, not even after a drop."""

    id: int
    name: str
    type: ColumnType
    not_null: bool = False
    default: str | None = None


@dataclass(frozen=True, slots=True)
class Index:
    """One index. PRIMARY KEY and UNIQUE are ``equality`` indexes with ``unique`` set."""

    id: int
    name: str
    method: str
    columns: tuple[int, ...]
    unique: bool = False
    primary: bool = False
    options: tuple[tuple[str, str], ...] = ()
    created: int = 0
    """Catalog version that made the index: every delta written before it has been folded."""
    complete: int = 0
    """Epoch from which on the table's segments cover the index."""
    include: tuple[int, ...] = ()
    """Columns of ``INCLUDE (…)``: kept beside the entries, so that no row need be fetched for them."""

    @property
    def visible(self) -> bool:
        """Whether it lies in the store in a form that the store itself compares."""
        return self.method in VISIBLE_METHODS

    @property
    def stored(self) -> tuple[int, ...]:
        """Every column whose value the entries of a covering index hold, the indexed ones first.

        The texts of a keyword index are not among them: they would be kept once more for each word.
        """
        return self.include if self.method == "keyword" else (*self.columns, *self.include)

    def option(self, name: str, default: str) -> str:
        """The value given in ``WITH (name = …)``, or ``default``."""
        return dict(self.options).get(name, default)


@dataclass(frozen=True, slots=True)
class Check:
    """One CHECK constraint, kept as the SQL text of its expression."""

    name: str
    expression: str


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """One FOREIGN KEY: parsed and kept, not enforced."""

    name: str
    columns: tuple[int, ...]
    target: str
    target_columns: tuple[str, ...]
    on_delete: str = "NO ACTION"
    on_update: str = "NO ACTION"


@dataclass(frozen=True, slots=True)
class Table:
    """One logical table. ``id`` is a random 32-bit number, the only name the store knows."""

    id: int
    name: str
    columns: tuple[Column, ...]
    indexes: tuple[Index, ...] = ()
    checks: tuple[Check, ...] = ()
    foreign_keys: tuple[ForeignKey, ...] = ()
    next_index_id: int = 1
    created: int = 0
    """Catalog version that made the table."""

    def column(self, name: str) -> Column:
        """The column of that name; ProgrammingError with suggestions when there is none."""
        wanted = name.casefold()
        for column in self.columns:
            if column.name.casefold() == wanted:
                return column
        raise err(
            ProgrammingError,
            "E_UNKNOWN_COLUMN",
            f'table "{self.name}" has no column "{name}"',
            suggest(name, (column.name for column in self.columns)),
        )

    def has_column(self, name: str) -> bool:
        """Whether a column of that name exists."""
        wanted = name.casefold()
        return any(column.name.casefold() == wanted for column in self.columns)

    def column_by_id(self, column_id: int) -> Column:
        """The column with that id; KeyError when there is none."""
        for column in self.columns:
            if column.id == column_id:
                return column
        raise KeyError(column_id)

    def names(self, column_ids: Iterable[int]) -> tuple[str, ...]:
        """Names of columns, in the order of the ids given."""
        return tuple(self.column_by_id(column_id).name for column_id in column_ids)

    @property
    def primary_key(self) -> Index | None:
        """The index behind PRIMARY KEY, if the table has one."""
        return next((index for index in self.indexes if index.primary), None)

    @property
    def unique_indexes(self) -> tuple[Index, ...]:
        """Indexes behind PRIMARY KEY and UNIQUE."""
        return tuple(index for index in self.indexes if index.unique)


@dataclass(frozen=True, slots=True)
class Catalog:
    """One version of the schema of a database."""

    version: int = 0
    previous: bytes = bytes(32)
    """SHA-256 of the sealed blob of the version before; zeros for version 0."""
    incarnation: bytes = bytes(16)
    tables: tuple[Table, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)

    def table(self, name: str) -> Table:
        """The table of that name; ProgrammingError with suggestions when there is none."""
        found = self.find(name)
        if found is None:
            raise err(
                ProgrammingError,
                "E_UNKNOWN_TABLE",
                f'there is no table "{name}"',
                suggest(name, (table.name for table in self.tables)),
            )
        return found

    def find(self, name: str) -> Table | None:
        """The table of that name, or None."""
        wanted = name.casefold()
        return next((table for table in self.tables if table.name.casefold() == wanted), None)

    def table_by_id(self, table_id: int) -> Table | None:
        """The table with that id, or None once it was dropped."""
        return next((table for table in self.tables if table.id == table_id), None)

    def find_index(self, name: str) -> tuple[Table, Index] | None:
        """The index of that name with its table, or None. Index names are unique per database."""
        wanted = name.casefold()
        for table in self.tables:
            for index in table.indexes:
                if index.name.casefold() == wanted:
                    return table, index
        return None

    def with_table(self, table: Table) -> Catalog:
        """This catalog with ``table`` added, or put in the place of the one with the same id."""
        others = tuple(existing for existing in self.tables if existing.id != table.id)
        return dataclasses.replace(self, tables=(*others, table))

    def without_table(self, table_id: int) -> Catalog:
        """This catalog without one table."""
        kept = tuple(table for table in self.tables if table.id != table_id)
        return dataclasses.replace(self, tables=kept)

    def index_names(self) -> set[str]:
        """Case-folded names of all tables and indexes, which share one name space."""
        names = {table.name.casefold() for table in self.tables}
        for table in self.tables:
            names.update(index.name.casefold() for index in table.indexes)
        return names


def suggest(name: str, known: Iterable[str]) -> str:
    """A fix line for a misspelt name: the nearest known names, or all of them when few."""
    names = sorted(set(known))
    folded = {candidate.casefold(): candidate for candidate in names}
    near = [folded[match] for match in difflib.get_close_matches(name.casefold(), folded, n=3)]
    if near:
        return "Did you mean " + " or ".join(f'"{match}"' for match in near) + "?"
    if not names:
        return "There are none yet."
    shown = ", ".join(f'"{candidate}"' for candidate in names[:8])
    return f"Known: {shown}" + (", …" if len(names) > 8 else "") + "."


def index_name(catalog: Catalog, table: Table, columns: Iterable[str], suffix: str) -> str:
    """PostgreSQL's name for an unnamed index: ``table_col_idx``, numbered when it is taken."""
    base = "_".join((table.name, *columns, suffix))
    taken = catalog.index_names() | {index.name.casefold() for index in table.indexes}
    name, number = base, 0
    while name.casefold() in taken:
        number += 1
        name = f"{base}{number}"
    return name


def encode(catalog: Catalog) -> bytes:
    """The catalog as CBOR (RFC 8949), before sealing."""
    body: dict[str, Any] = {
        "version": catalog.version,
        "previous": catalog.previous,
        "incarnation": catalog.incarnation,
        "options": dict(catalog.options),
        "tables": [_table_out(table) for table in catalog.tables],
    }
    return cbor2.dumps(body)


def decode(data: bytes) -> Catalog:
    """The inverse of :func:`encode`."""
    body = cbor2.loads(data)
    return Catalog(
        version=body["version"],
        previous=body["previous"],
        incarnation=body["incarnation"],
        tables=tuple(_table_in(table) for table in body["tables"]),
        options=body["options"],
    )


def _table_out(table: Table) -> dict[str, Any]:
    return {
        "id": table.id,
        "name": table.name,
        "columns": [[c.id, c.name, c.type.sql, c.not_null, c.default] for c in table.columns],
        "indexes": [
            [
                i.id,
                i.name,
                i.method,
                list(i.columns),
                i.unique,
                i.primary,
                list(i.options),
                i.created,
                i.complete,
                list(i.include),
            ]
            for i in table.indexes
        ],
        "checks": [[check.name, check.expression] for check in table.checks],
        "foreign": [
            [f.name, list(f.columns), f.target, list(f.target_columns), f.on_delete, f.on_update]
            for f in table.foreign_keys
        ],
        "next_index": table.next_index_id,
        "created": table.created,
    }


def _table_in(body: dict[str, Any]) -> Table:
    return Table(
        id=body["id"],
        name=body["name"],
        columns=tuple(
            Column(number, name, ColumnType.parse(kind), not_null, default)
            for number, name, kind, not_null, default in body["columns"]
        ),
        indexes=tuple(
            Index(
                number,
                name,
                method,
                tuple(columns),
                unique,
                primary,
                tuple((key, value) for key, value in options),
                created,
                complete,
                tuple(include),
            )
            for (
                number,
                name,
                method,
                columns,
                unique,
                primary,
                options,
                created,
                complete,
                include,
            ) in body["indexes"]
        ),
        checks=tuple(Check(name, expression) for name, expression in body["checks"]),
        foreign_keys=tuple(
            ForeignKey(name, tuple(columns), target, tuple(targets), on_delete, on_update)
            for name, columns, target, targets, on_delete, on_update in body["foreign"]
        ),
        next_index_id=body["next_index"],
        created=body["created"],
    )
