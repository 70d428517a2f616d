r"""Commands of the shell itself, in PostgreSQL's spelling and in SQLite's: ``\dt`` and ``.tables``.

They read the catalog that the session has opened and verified; none of them asks the store for
more. Each index is shown as *hidden* (the store learns nothing of the values from it at rest) or
*server-visible*, with what decides between the methods.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from proxy.catalog import Catalog, Column, Index, Table
    from proxy.cli.output import Output

Action = Literal["quit", "help", "timing", "expanded", "tables", "describe", "schema"]


@dataclass(frozen=True, slots=True)
class MetaCommand:
    """One command of the shell with all its spellings."""

    action: Action
    names: tuple[str, ...]
    argument: str
    help: str


COMMANDS = (
    MetaCommand("tables", ("\\dt", ".tables"), "", "list the tables"),
    MetaCommand(
        "describe",
        ("\\d", ".describe"),
        "[TABLE]",
        "columns, constraints and indexes of a table, and what each index reveals",
    ),
    MetaCommand("schema", (".schema", "\\schema"), "[TABLE]", "the schema as SQL"),
    MetaCommand("timing", ("\\timing", ".timer"), "[on|off]", "show how long each statement took"),
    MetaCommand("expanded", ("\\x", ".expanded"), "[on|off]", "show one column a line"),
    MetaCommand("help", ("\\?", "\\h", ".help"), "", "this list"),
    MetaCommand("quit", ("\\q", ".quit", ".exit"), "", "leave; Ctrl-D does the same"),
)


def is_command(line: str) -> bool:
    """Whether a line that begins a statement is one of the shell's own."""
    return line.lstrip().startswith(("\\", "."))


def find(name: str) -> MetaCommand | None:
    """The command with that spelling."""
    return next((command for command in COMMANDS if name in command.names), None)


def help_text() -> str:
    """The list of commands."""
    lines = ["Statements end with a semicolon and may run over several lines.", ""]
    for command in COMMANDS:
        spelling = "  ".join(command.names)
        lines.append(f"  {spelling:<22} {command.argument:<9} {command.help}")
    return "\n".join(lines)


def list_tables(catalog: Catalog, output: Output) -> None:
    r"""``\dt``: every table with its number of columns and its indexes."""
    tables = sorted(catalog.tables, key=lambda table: table.name.casefold())
    output.result(
        ("table", "columns", "indexes"),
        ((table.name, len(table.columns), len(table.indexes)) for table in tables),
    )


def describe(catalog: Catalog, name: str, output: Output) -> None:
    r"""``\d``: one table, or the list of tables when no name is given."""
    if not name:
        list_tables(catalog, output)
        return
    table = catalog.table(unquoted(name))
    # A person sees an empty place where a program gets null.
    nothing = "" if output.for_people else None
    output.heading(f"Table {table.name}")
    output.result(
        ("column", "type", "constraint", "default"),
        (
            (
                column.name,
                column.type.sql,
                _constraint(table, column) or nothing,
                nothing if column.default is None else column.default,
            )
            for column in table.columns
        ),
    )
    if table.indexes:
        output.heading("Indexes")
        output.result(("index", "method", "columns", "unique", "leakage"), _indexes(table))
    for check in table.checks:
        output.text(f"Check {check.name}: {check.expression}")
    for key in table.foreign_keys:
        columns, targets = ", ".join(table.names(key.columns)), ", ".join(key.target_columns)
        output.text(f"Foreign key {key.name} (not enforced): ({columns}) → {key.target}({targets})")


def write_schema(catalog: Catalog, name: str, output: Output) -> None:
    """``.schema``: statements that make the same tables and indexes."""
    tables = [catalog.table(unquoted(name))] if name else list(catalog.tables)
    statements = [statement for table in tables for statement in schema_of(table)]
    if output.for_people:
        for statement in statements:
            output.text(statement)
    else:
        output.result(("sql",), ((statement,) for statement in statements))


def schema_of(table: Table) -> Iterator[str]:
    """CREATE TABLE and CREATE INDEX statements of one table."""
    parts = [_column_sql(column) for column in table.columns]
    for index in filter(_is_constraint, table.unique_indexes):
        kind = "PRIMARY KEY" if index.primary else "UNIQUE"
        parts.append(f"CONSTRAINT {quoted(index.name)} {kind} ({_name_list(table, index.columns)})")
    parts += [f"CONSTRAINT {quoted(one.name)} CHECK ({one.expression})" for one in table.checks]
    for key in table.foreign_keys:
        targets = ", ".join(map(quoted, key.target_columns))
        text = (
            f"CONSTRAINT {quoted(key.name)} FOREIGN KEY ({_name_list(table, key.columns)}) "
            f"REFERENCES {quoted(key.target)}" + (f" ({targets})" if targets else "")
        )
        for event, action in (("DELETE", key.on_delete), ("UPDATE", key.on_update)):
            if action != "NO ACTION":
                text += f" ON {event} {action}"
        parts.append(text)
    body = ",\n".join(f"  {part}" for part in parts)
    yield f"CREATE TABLE {quoted(table.name)} (\n{body}\n);"
    for index in table.indexes:
        if _is_constraint(index):
            continue
        word = "UNIQUE INDEX" if index.unique else "INDEX"
        options = ", ".join(f"{name} = '{value}'" for name, value in index.options)
        yield (
            f"CREATE {word} {quoted(index.name)} ON {quoted(table.name)} "
            f"USING {index.method} ({_name_list(table, index.columns)})"
            + (f" INCLUDE ({_name_list(table, index.include)})" if index.include else "")
            + (f" WITH ({options})" if options else "")
            + ";"
        )


def _is_constraint(index: Index) -> bool:
    """Whether an index belongs to a PRIMARY KEY or UNIQUE of CREATE TABLE."""
    return index.unique and index.created == 0


def quoted(name: str) -> str:
    """A name as SQL needs it: bare when it is a plain word that is not reserved."""
    from proxy.cli.keywords import RESERVED

    if name.isascii() and name.isidentifier() and name.upper() not in RESERVED:
        return name
    return '"' + name.replace('"', '""') + '"'


def unquoted(name: str) -> str:
    r"""A name as a person types it after ``\d``, with or without quotes."""
    if len(name) > 1 and name.startswith('"') and name.endswith('"'):
        return name[1:-1].replace('""', '"')
    return name


def _constraint(table: Table, column: Column) -> str | None:
    primary = table.primary_key
    if primary is not None and column.id in primary.columns:
        return "primary key"
    words = ["not null"] if column.not_null else []
    if any(index.columns == (column.id,) for index in table.unique_indexes):
        words.append("unique")
    return ", ".join(words) or None


def _indexes(table: Table) -> Iterator[tuple[object, ...]]:
    from indexes.leakage import short
    from proxy.leakage import index_profile

    for index in table.indexes:
        unique = "primary key" if index.primary else "yes" if index.unique else "no"
        columns = ", ".join(table.names(index.columns))
        if index.include:
            columns += f" INCLUDE ({', '.join(table.names(index.include))})"
        yield index.name, index.method, columns, unique, short(index_profile(table, index))


def _column_sql(column: Column) -> str:
    text = f"{quoted(column.name)} {column.type.sql}"
    if column.not_null:
        text += " NOT NULL"
    if column.default is not None:
        text += f" DEFAULT {column.default}"
    return text


def _name_list(table: Table, columns: tuple[int, ...]) -> str:
    return ", ".join(quoted(name) for name in table.names(columns))
