"""CREATE INDEX, read from tokens."""

from __future__ import annotations

from typing import Final

from sqlglot import TokenType

from encdb.errors import ProgrammingError, err

from ..catalog import suggest
from .common import table_reference, unsupported
from .cursor import Cursor
from .names import check_new_name, fold
from .statements import CreateIndex

METHODS: Final = ("equality", "range", "keyword", "substring", "det", "ore", "ope")
_POSTGRES_METHODS: Final = {
    "btree": "Use range for order and ranges, or equality for single values",
    "hash": "Use equality",
    "gin": "Use keyword",
    "gist": "Use range or keyword",
    "brin": "Use range",
    "spgist": "Use range",
}


def create_index(cursor: Cursor, *, unique: bool) -> CreateIndex:
    """CREATE [UNIQUE] INDEX after its words."""
    if cursor.at("CONCURRENTLY"):
        raise unsupported("CONCURRENTLY", "Leave it out: reading goes on while an index is built")
    if_not_exists = cursor.skip("IF", "NOT", "EXISTS")
    name = None if cursor.at("ON") else check_new_name(cursor.name("an index"), "an index")
    if name is None and if_not_exists:
        raise cursor.error("IF NOT EXISTS wants a name")
    cursor.expect("ON")
    cursor.skip("ONLY")
    table = table_reference(cursor)
    method = "equality"
    if cursor.skip("USING"):
        method = check_method(cursor.name("an index method"))
    elif not unique:
        raise err(
            ProgrammingError,
            "E_UNKNOWN_METHOD",
            "CREATE INDEX names no method",
            f"Write CREATE INDEX ON {table} USING equality (…), or another of: {', '.join(METHODS)}",
        )
    if unique and method != "equality":
        raise unsupported(f"a UNIQUE index with the method {method}", "Use equality")
    columns = _index_columns(cursor)
    include = _index_columns(cursor, columns) if cursor.skip("INCLUDE") else ()
    options = _options(cursor) if cursor.skip("WITH") else ()
    if cursor.at("WHERE"):
        raise unsupported("a partial index", "Leave WHERE out")
    if not cursor.ended:
        raise unsupported(f"{cursor.word()} in CREATE INDEX")
    return CreateIndex(
        source=cursor.chunk.source,
        name=name,
        table=table,
        method=method,
        columns=columns,
        include=include,
        options=options,
        unique=unique,
        if_not_exists=if_not_exists,
    )


def check_method(name: str) -> str:
    """The index method of that name; an error with suggestions for any other."""
    method = fold(name)
    if method in METHODS:
        return method
    fix = _POSTGRES_METHODS.get(method) or suggest(method, METHODS)
    raise err(ProgrammingError, "E_UNKNOWN_METHOD", f'there is no index method "{name}"', fix)


def _index_columns(cursor: Cursor, before: tuple[str, ...] = ()) -> tuple[str, ...]:
    """``(name [, …])``; a name that is among those ``before``, or comes twice, is an error."""
    cursor.expect("(")
    columns: list[str] = []
    while True:
        if cursor.at("("):
            raise unsupported("an index on an expression", "Index a column")
        name = cursor.name("a column")
        if cursor.at("("):
            raise unsupported("an index on an expression", "Index a column")
        if fold(name) in {fold(column) for column in (*before, *columns)}:
            raise err(ProgrammingError, "E_DUPLICATE_COLUMN", f'the index names "{name}" twice')
        columns.append(name)
        if cursor.at("ASC") or cursor.at("DESC") or cursor.at("NULLS") or cursor.at("COLLATE"):
            raise unsupported(
                f"{cursor.word()} in an index", "Leave it out: an index serves both directions"
            )
        if not cursor.skip(","):
            break
    if not cursor.at(")"):
        raise unsupported("an operator class or expression in an index", "Name columns only")
    cursor.expect(")")
    return tuple(columns)


def _options(cursor: Cursor) -> tuple[tuple[str, str], ...]:
    """``( name = value [, …] )``. Which options and values a method takes, the session decides."""
    cursor.expect("(")
    options: dict[str, str] = {}
    while True:
        name = fold(cursor.name("an option"))
        if name in options:
            raise err(ProgrammingError, "E_UNKNOWN_OPTION", f'the option "{name}" is given twice')
        value = "true"
        if cursor.skip("="):
            token = cursor.peek()
            if token is None or token.token_type in (TokenType.COMMA, TokenType.R_PAREN):
                raise cursor.error("expected the value of an option")
            cursor.position += 1
            value = str(token.text)
        options[name] = value
        if not cursor.skip(","):
            break
    cursor.expect(")")
    return tuple(sorted(options.items()))
