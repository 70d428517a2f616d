"""CREATE TABLE and DROP, read from tokens; :mod:`.ddl_index` reads CREATE INDEX.

Schema statements are read word by word rather than through sqlglot, so that every word is either
understood or refused: an option that is read and dropped would be a constraint the user believes in.
Expressions of DEFAULT and CHECK are parsed and checked, then kept as their text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from sqlglot import Token, TokenType

from encdb.errors import ProgrammingError, err

from ..catalog import suggest
from .common import table_reference, unsupported
from .cursor import Cursor
from .ddl_index import check_method as check_method
from .ddl_index import create_index
from .expressions import parse_expression
from .names import BINARY_COLLATIONS, check_new_name, fold
from .statements import (
    CheckDef,
    ColumnDef,
    CreateTable,
    DropIndex,
    DropTable,
    ForeignKeyDef,
    KeyDef,
    Statement,
)
from .tokens import is_word
from .types import read_type

_CONSTRAINT_WORDS: Final = frozenset(
    {
        "CONSTRAINT",
        "NOT",
        "NULL",
        "DEFAULT",
        "PRIMARY",
        "UNIQUE",
        "CHECK",
        "REFERENCES",
        "GENERATED",
        "COLLATE",
    }
)


@dataclass(slots=True)
class _Parts:
    """What was read of CREATE TABLE so far."""

    columns: list[ColumnDef] = field(default_factory=list)
    primary_key: KeyDef | None = None
    uniques: list[KeyDef] = field(default_factory=list)
    checks: list[CheckDef] = field(default_factory=list)
    foreign_keys: list[ForeignKeyDef] = field(default_factory=list)

    def set_primary_key(self, key: KeyDef) -> None:
        if self.primary_key is not None:
            raise err(
                ProgrammingError, "E_SYNTAX", "a table has only one PRIMARY KEY", "Use UNIQUE"
            )
        self.primary_key = key


def create(cursor: Cursor) -> Statement:
    """CREATE … after its first word."""
    if cursor.at("TEMP") or cursor.at("TEMPORARY") or cursor.at("UNLOGGED"):
        raise unsupported(f"CREATE {cursor.word()}", "Create an ordinary table")
    if cursor.skip("TABLE"):
        return _create_table(cursor)
    unique = cursor.skip("UNIQUE")
    if cursor.skip("INDEX"):
        return create_index(cursor, unique=unique)
    if cursor.skip("OR", "REPLACE"):
        raise unsupported("CREATE OR REPLACE", "DROP first, then CREATE")
    raise unsupported(f"CREATE {cursor.word()}", "CREATE TABLE and CREATE INDEX are")


def _create_table(cursor: Cursor) -> CreateTable:
    if_not_exists = cursor.skip("IF", "NOT", "EXISTS")
    name = check_new_name(table_reference(cursor), "a table")
    if cursor.at("AS"):
        raise unsupported("CREATE TABLE … AS", "CREATE TABLE, then INSERT INTO … SELECT")
    parts = _Parts()
    cursor.expect("(")
    while True:
        _element(cursor, parts)
        if not cursor.skip(","):
            break
    cursor.expect(")")
    if not cursor.ended:
        raise unsupported(f"{cursor.word()} after the columns of CREATE TABLE")
    return CreateTable(
        source=cursor.chunk.source,
        name=name,
        columns=_finished_columns(parts),
        primary_key=parts.primary_key,
        uniques=tuple(parts.uniques),
        checks=tuple(parts.checks),
        foreign_keys=tuple(parts.foreign_keys),
        if_not_exists=if_not_exists,
    )


def _element(cursor: Cursor, parts: _Parts) -> None:
    following = cursor.peek(1)
    # PRIMARY, UNIQUE and the rest are reserved words, so as a column's name they must be quoted.
    if cursor.at("CONSTRAINT"):
        cursor.position += 1
        _table_constraint(cursor, parts, cursor.name("a constraint"))
    elif (
        cursor.at("PRIMARY", "KEY")
        or cursor.at("FOREIGN", "KEY")
        or (
            following is not None
            and following.text == "("
            and (cursor.at("UNIQUE") or cursor.at("CHECK"))
        )
    ):
        _table_constraint(cursor, parts, None)
    elif cursor.at("EXCLUDE") or cursor.at("LIKE"):
        raise unsupported(f"{cursor.word()} in CREATE TABLE")
    else:
        parts.columns.append(_column(cursor, parts))


def _table_constraint(cursor: Cursor, parts: _Parts, name: str | None) -> None:
    if cursor.skip("PRIMARY", "KEY"):
        parts.set_primary_key(KeyDef(name, cursor.names("a column")))
    elif cursor.skip("UNIQUE"):
        _nulls_distinct(cursor)
        parts.uniques.append(KeyDef(name, cursor.names("a column")))
    elif cursor.skip("CHECK"):
        parts.checks.append(_check(cursor, name))
    elif cursor.skip("FOREIGN", "KEY"):
        columns = cursor.names("a column")
        cursor.expect("REFERENCES")
        parts.foreign_keys.append(_references(cursor, name, columns))
    else:
        raise cursor.error("expected PRIMARY KEY, UNIQUE, CHECK or FOREIGN KEY")
    _timing(cursor)


def _nulls_distinct(cursor: Cursor) -> None:
    if cursor.at("NULLS", "NOT", "DISTINCT"):
        raise unsupported("NULLS NOT DISTINCT", "Add NOT NULL")
    cursor.skip("NULLS", "DISTINCT")


def _timing(cursor: Cursor) -> None:
    """Constraint attributes: only those that change nothing are accepted."""
    while True:
        if cursor.skip("NOT", "DEFERRABLE") or cursor.skip("INITIALLY", "IMMEDIATE"):
            continue
        if cursor.at("DEFERRABLE") or cursor.at("INITIALLY"):
            raise unsupported("a deferred constraint")
        if (
            cursor.at("NOT", "VALID")
            or cursor.at("NO", "INHERIT")
            or cursor.at("USING")
            or cursor.at("INCLUDE")
        ):
            raise unsupported(f"{cursor.word()} in a constraint")
        return


def _column(cursor: Cursor, parts: _Parts) -> ColumnDef:
    name = check_new_name(cursor.name("a column"), "a column")
    kind = read_type(cursor)
    not_null, default, constraint = False, None, None
    while not cursor.at(",") and not cursor.at(")"):
        if cursor.skip("CONSTRAINT"):
            constraint = cursor.name("a constraint")
            continue
        if cursor.skip("NOT", "NULL"):
            not_null = True
        elif cursor.skip("NULL"):
            pass
        elif cursor.skip("DEFAULT"):
            if default is not None:
                raise cursor.error("a column has only one DEFAULT")
            default = _default(cursor)
        elif cursor.skip("PRIMARY", "KEY"):
            parts.set_primary_key(KeyDef(constraint, (name,)))
        elif cursor.skip("UNIQUE"):
            _nulls_distinct(cursor)
            parts.uniques.append(KeyDef(constraint, (name,)))
        elif cursor.skip("CHECK"):
            parts.checks.append(_check(cursor, constraint))
        elif cursor.skip("REFERENCES"):
            parts.foreign_keys.append(_references(cursor, constraint, (name,)))
        else:
            _column_option(cursor)
        constraint = None
        _timing(cursor)
    return ColumnDef(name, kind, not_null, default)


def _column_option(cursor: Cursor) -> None:
    if cursor.skip("COLLATE"):
        collation = cursor.name("a collation")
        if fold(collation) not in BINARY_COLLATIONS:
            raise unsupported(
                f'the collation "{collation}"', "Leave it out: text is compared by code point"
            )
    elif cursor.at("GENERATED"):
        raise unsupported("a GENERATED column", "Give the values in INSERT, or use DEFAULT")
    elif cursor.at("AUTO_INCREMENT") or cursor.at("AUTOINCREMENT"):
        raise unsupported("AUTO_INCREMENT", "Give the values yourself")
    else:
        raise cursor.error("expected a column constraint, a comma or a parenthesis")


def _default(cursor: Cursor) -> str:
    def ends(token: Token) -> bool:
        if token.token_type is TokenType.COMMA:
            return True
        return is_word(token) and token.text.upper() in _CONSTRAINT_WORDS

    tokens = cursor.until(ends)
    if not tokens:
        raise cursor.error("expected an expression after DEFAULT")
    text = cursor.text(tokens)
    parse_expression(text, "DEFAULT", columns=False)
    return text


def _check(cursor: Cursor, name: str | None) -> CheckDef:
    tokens = cursor.parenthesised()
    if not tokens:
        raise cursor.error("expected an expression in CHECK")
    text = cursor.text(tokens)
    parse_expression(text, "CHECK", columns=True)
    return CheckDef(name, text)


def _references(cursor: Cursor, name: str | None, columns: tuple[str, ...]) -> ForeignKeyDef:
    target = table_reference(cursor)
    target_columns = cursor.names("a column") if cursor.at("(") else ()
    actions = {"DELETE": "NO ACTION", "UPDATE": "NO ACTION"}
    while True:
        if cursor.skip("MATCH"):
            if not cursor.skip("SIMPLE"):
                raise unsupported(
                    f"MATCH {cursor.word()}", "Use MATCH SIMPLE, which is the default"
                )
        elif cursor.skip("ON"):
            event = cursor.word()
            if event not in actions:
                raise cursor.error("expected DELETE or UPDATE")
            actions[event] = _action(cursor)
        else:
            break
    if target_columns and len(target_columns) != len(columns):
        raise err(
            ProgrammingError, "E_SYNTAX", "a FOREIGN KEY names as many columns as it references"
        )
    return ForeignKeyDef(
        name, columns, target, target_columns, actions["DELETE"], actions["UPDATE"]
    )


def _action(cursor: Cursor) -> str:
    for action in ("NO ACTION", "RESTRICT", "CASCADE", "SET NULL", "SET DEFAULT"):
        if cursor.skip(*action.split()):
            return action
    raise cursor.error("expected NO ACTION, RESTRICT, CASCADE, SET NULL or SET DEFAULT")


def _finished_columns(parts: _Parts) -> tuple[ColumnDef, ...]:
    """The columns with NOT NULL for the primary key; every name used must be one of them, once."""
    known: dict[str, ColumnDef] = {}
    for column in parts.columns:
        if fold(column.name) in known:
            raise err(
                ProgrammingError, "E_DUPLICATE_COLUMN", f'column "{column.name}" is defined twice'
            )
        known[fold(column.name)] = column
    used: list[Sequence[str]] = [key.columns for key in parts.uniques]
    used += [key.columns for key in parts.foreign_keys]
    primary = parts.primary_key.columns if parts.primary_key is not None else ()
    for names in (*used, primary):
        _check_used(names, known)
    keys = {fold(name) for name in primary}
    return tuple(
        ColumnDef(c.name, c.type, c.not_null or fold(c.name) in keys, c.default)
        for c in parts.columns
    )


def _check_used(names: Sequence[str], known: dict[str, ColumnDef]) -> None:
    seen: set[str] = set()
    for name in names:
        if fold(name) not in known:
            raise err(
                ProgrammingError,
                "E_UNKNOWN_COLUMN",
                f'a constraint names the unknown column "{name}"',
                suggest(name, (column.name for column in known.values())),
            )
        if fold(name) in seen:
            raise err(ProgrammingError, "E_DUPLICATE_COLUMN", f'a constraint names "{name}" twice')
        seen.add(fold(name))


def drop(cursor: Cursor) -> Statement:
    """DROP … after its first word."""
    kind = cursor.word()
    if kind not in ("TABLE", "INDEX"):
        raise unsupported(f"DROP {kind}", "DROP TABLE and DROP INDEX are")
    if cursor.at("CONCURRENTLY"):
        raise unsupported("CONCURRENTLY", "Leave it out")
    if_exists = cursor.skip("IF", "EXISTS")
    names = [table_reference(cursor)]
    while cursor.skip(","):
        names.append(table_reference(cursor))
    cascade = cursor.skip("CASCADE")
    if not cascade:
        cursor.skip("RESTRICT")
    cursor.finish()
    source = cursor.chunk.source
    if kind == "TABLE":
        return DropTable(source=source, names=tuple(names), if_exists=if_exists, cascade=cascade)
    return DropIndex(source=source, names=tuple(names), if_exists=if_exists)
