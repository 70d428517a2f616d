"""The schema of an SQLite file, as its own pragmas tell it."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Final

from .table import LoadedForeignKey, checked_names

_HIDDEN_VIRTUAL: Final = 1
"""``hidden`` of a column of a virtual table; 2 and 3 are generated columns, which hold values."""


@dataclass(frozen=True, slots=True)
class SourceColumn:
    """One column as it is declared."""

    name: str
    declared: str
    not_null: bool


@dataclass(frozen=True, slots=True)
class SourceTable:
    """One table as it is declared."""

    name: str
    columns: tuple[SourceColumn, ...]
    primary_key: tuple[str, ...]
    uniques: tuple[tuple[str, ...], ...]
    foreign_keys: tuple[LoadedForeignKey, ...]
    indexes: tuple[tuple[str, tuple[str, ...]], ...]
    notices: tuple[str, ...]


def quoted(name: str) -> str:
    """A name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def read_schema(connection: sqlite3.Connection) -> tuple[list[SourceTable], list[str]]:
    """All ordinary tables, and a line for each object that is left out."""
    tables: list[SourceTable] = []
    notices: list[str] = []
    listed = connection.execute("PRAGMA table_list").fetchall()
    kinds = {name: kind for schema, name, kind, *_ in listed if schema == "main"}
    objects = connection.execute("SELECT type, name FROM sqlite_schema ORDER BY rowid").fetchall()
    for kind, name in objects:
        if kind in ("view", "trigger"):
            notices.append(f'{kind} "{name}" is left out')
        elif kind == "table" and not name.casefold().startswith("sqlite_"):
            if kinds.get(name, "table") == "table":
                tables.append(_table(connection, name))
            else:
                notices.append(f'{kinds[name]} table "{name}" is left out')
    return tables, notices


def _table(connection: sqlite3.Connection, name: str) -> SourceTable:
    columns: list[SourceColumn] = []
    key: list[tuple[int, str]] = []
    notices: list[str] = []
    for row in connection.execute(f"PRAGMA table_xinfo({quoted(name)})"):
        _, column, declared, not_null, default, place, hidden = row
        if hidden == _HIDDEN_VIRTUAL:
            continue
        columns.append(SourceColumn(column, declared or "", bool(not_null)))
        if place:
            key.append((place, column))
        if default is not None:
            notices.append(f'the default of column "{name}.{column}" is left out')
    checked_names([column.name for column in columns], f'table "{name}"', 1)
    primary = tuple(column for _, column in sorted(key))
    uniques, indexes, more = _indexes(connection, name, primary)
    return SourceTable(
        name=name,
        columns=tuple(columns),
        primary_key=primary,
        uniques=uniques,
        foreign_keys=_foreign_keys(connection, name),
        indexes=indexes,
        notices=(*notices, *more),
    )


def _indexes(
    connection: sqlite3.Connection, table: str, primary: tuple[str, ...]
) -> tuple[tuple[tuple[str, ...], ...], tuple[tuple[str, tuple[str, ...]], ...], list[str]]:
    """UNIQUE constraints, plain indexes, and a line for each index that is left out."""
    uniques: list[tuple[str, ...]] = []
    indexes: list[tuple[str, tuple[str, ...]]] = []
    notices: list[str] = []
    listed = connection.execute(f"PRAGMA index_list({quoted(table)})").fetchall()
    for _, name, unique, origin, partial in sorted(listed, key=lambda row: -int(row[0])):
        if origin == "pk":
            continue
        parts = connection.execute(f"PRAGMA index_info({quoted(name)})").fetchall()
        columns = tuple(column for _, _, column in parts)
        if partial or None in columns:
            what = "partial index" if partial else "index on an expression"
            notices.append(f'{what} "{name}" of table "{table}" is left out')
        elif unique:
            if columns not in uniques and columns != primary:
                uniques.append(columns)
        else:
            indexes.append((name, columns))
    return tuple(uniques), tuple(indexes), notices


def _foreign_keys(connection: sqlite3.Connection, table: str) -> tuple[LoadedForeignKey, ...]:
    """References in the order of their declaration."""
    parts: dict[int, list[tuple[int, str, str, str | None, str, str]]] = {}
    for row in connection.execute(f"PRAGMA foreign_key_list({quoted(table)})"):
        number, place, target, column, target_column, on_update, on_delete, _ = row
        parts.setdefault(number, []).append(
            (place, target, column, target_column, on_delete, on_update)
        )
    keys = []
    for number in sorted(parts, reverse=True):
        rows = sorted(parts[number])
        _, target, _, _, on_delete, on_update = rows[0]
        named = tuple(row[3] for row in rows if row[3] is not None)
        keys.append(
            LoadedForeignKey(
                columns=tuple(row[2] for row in rows),
                target=target,
                # A reference without columns means the primary key of its target.
                target_columns=named or _primary_key(connection, target),
                on_delete=on_delete,
                on_update=on_update,
            )
        )
    return tuple(keys)


def _primary_key(connection: sqlite3.Connection, table: str) -> tuple[str, ...]:
    rows = connection.execute(f"PRAGMA table_info({quoted(table)})").fetchall()
    return tuple(name for place, name in sorted((row[5], row[1]) for row in rows) if place)
