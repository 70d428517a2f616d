"""From text to statements.

The first word of a statement decides who reads it: sqlglot reads queries and data changes, :mod:`.ddl`
and :mod:`.control` the rest. Anything else is refused with its name. sqlglot alone is no judge of that,
because it reads ``SAVEPOINT a`` as a column with an alias.
"""

from __future__ import annotations

from typing import Final

from sqlglot import exp

from encdb.errors import NotSupportedError, ProgrammingError, err

from ..catalog import suggest
from . import control, ddl, dml, validate
from .cursor import Cursor
from .statements import Begin, Commit, CreateTable, Explain, Query, Rollback, Statement
from .tokens import Chunk, is_word, parse_tokens, shown, split

_QUERIES: Final = frozenset({"SELECT", "VALUES", "TABLE"})
_CHANGES: Final = frozenset({"INSERT", "UPDATE", "DELETE"})
_ABSENT: Final[dict[str, str]] = {
    "ALTER": "Make a new table and copy the rows with INSERT INTO … SELECT",
    "ATTACH": "Open one store per connection",
    "CALL": "There are no procedures",
    "CHECKPOINT": "Leave it out",
    "COMMENT": "Leave it out",
    "COPY": "Use encdb import to load a file, and encdb shell --csv to write one",
    "DECLARE": "Fetch from the result of a query",
    "DESCRIBE": "Use \\d table in the shell",
    "DO": "There are no procedures",
    "EXECUTE": "Use parameters; statements are prepared by themselves",
    "EXPORT": "Use encdb shell --csv",
    "GRANT": "Whoever holds the keyring may do everything",
    "IMPORT": "Use encdb import",
    "INSTALL": "The local engine takes no extensions",
    "LISTEN": "Poll instead",
    "LOAD": "The local engine takes no extensions",
    "LOCK": "Conflicting writes are found at commit",
    "MERGE": "Use INSERT and UPDATE in a transaction",
    "PRAGMA": "Leave it out",
    "PREPARE": "Use parameters; statements are prepared by themselves",
    "REINDEX": "DROP INDEX, then CREATE INDEX",
    "REPLACE": "DELETE, then INSERT, in a transaction",
    "RESET": "Leave it out",
    "REVOKE": "Whoever holds the keyring may do everything",
    "TRUNCATE": "Use DELETE FROM table",
    "USE": "Open one store per connection",
}


def parse_script(sql: str) -> list[Statement]:
    """The statements of a script, in order; empty ones are left out.

    Raises:
        ProgrammingError: E_SYNTAX and relatives; the message shows the place, never a literal.
        NotSupportedError: a statement or a part of one that is not served.
    """
    return [parse_chunk(chunk) for chunk in split(sql)]


def parse_one(sql: str) -> Statement:
    """The single statement of a text; E_SYNTAX when there are none or several."""
    chunks = split(sql)
    if len(chunks) != 1:
        what = "several statements where one is expected" if chunks else "there is no statement"
        raise err(ProgrammingError, "E_SYNTAX", what, "Execute one statement at a time")
    return parse_chunk(chunks[0])


def parse_chunk(chunk: Chunk) -> Statement:
    """One statement out of its tokens."""
    first = chunk.tokens[0]
    word = first.text.upper() if is_word(first) else first.text
    if word in _QUERIES or word == "(":
        return parse_query(chunk)
    if word == "WITH":
        return _with(chunk)
    if word in _CHANGES:
        return dml.parse_change(chunk)
    cursor = Cursor(chunk)
    cursor.position = 1
    if word == "EXPLAIN":
        return _explain(chunk, cursor)
    if word in ("CREATE", "DROP") or word in control.READERS:
        statement = _read(word, cursor)
        if chunk.parameters:
            raise err(
                ProgrammingError,
                "E_PARAMETERS",
                f"{word} takes no parameters",
                "Write the value into the statement",
            )
        return statement
    if word in _ABSENT:
        raise err(NotSupportedError, "E_NOT_SUPPORTED", f"{word} is not supported", _ABSENT[word])
    known = (*_QUERIES, *_CHANGES, *control.READERS, "WITH", "CREATE", "DROP", "EXPLAIN")
    fix = suggest(word, known) if is_word(first) else None
    raise err(ProgrammingError, "E_SYNTAX", f"a statement cannot begin with {shown(first)}", fix)


def _read(word: str, cursor: Cursor) -> Statement:
    if word == "CREATE":
        return ddl.create(cursor)
    if word == "DROP":
        return ddl.drop(cursor)
    return control.READERS[word](cursor)


def parse_query(chunk: Chunk) -> Query:
    """A query."""
    tree = parse_tokens(chunk.tokens, chunk.source)
    if not isinstance(tree, exp.Query | exp.Values):
        raise err(ProgrammingError, "E_SYNTAX", "the statement is not a query that is understood")
    validate.check(tree)
    return Query(source=chunk.source, parameters=chunk.parameters, tree=tree)


def _with(chunk: Chunk) -> Statement:
    tree = parse_tokens(chunk.tokens, chunk.source)
    if isinstance(tree, exp.Query | exp.Values):
        validate.check(tree)
        return Query(source=chunk.source, parameters=chunk.parameters, tree=tree)
    return dml.change(chunk, tree)


def _explain(chunk: Chunk, cursor: Cursor) -> Explain:
    options = control.explain_options(cursor)
    inner = parse_chunk(cursor.rest())
    if isinstance(inner, Explain | Begin | Commit | Rollback | CreateTable):
        raise err(
            NotSupportedError,
            "E_NOT_SUPPORTED",
            "EXPLAIN of this statement is not supported",
            "Explain a query, INSERT, UPDATE or DELETE",
        )
    return Explain(
        source=chunk.source,
        parameters=chunk.parameters,
        statement=inner,
        analyze="ANALYZE" in options,
        leakage="LEAKAGE" in options,
    )
