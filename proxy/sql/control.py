"""Transactions, VACUUM, ANALYZE, SET, SHOW and the options of EXPLAIN, read from tokens.

Settings are few, because most of PostgreSQL's would change an answer and are fixed here. A SET that asks
for the value that holds anyway is accepted, so that ordinary clients can connect; any other is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sqlglot import TokenType

from encdb.errors import ProgrammingError, err

from ..catalog import suggest
from .common import table_reference, unsupported
from .cursor import Cursor
from .names import fold
from .statements import (
    Analyze,
    Begin,
    Commit,
    Release,
    Rollback,
    RollbackTo,
    Savepoint,
    Set,
    Show,
    Statement,
    Vacuum,
)
from .tokens import Chunk

SETTINGS: Final[dict[str, str]] = {
    "client_encoding": "UTF8",
    "datestyle": "ISO",
    "default_transaction_isolation": "repeatable read",
    "integer_datetimes": "on",
    "intervalstyle": "postgres",
    "search_path": "public",
    "server_encoding": "UTF8",
    "standard_conforming_strings": "on",
    "timezone": "UTC",
    "transaction_isolation": "repeatable read",
}
"""Every setting and its only value. ``application_name`` besides may be anything."""

_SAME: Final[dict[str, frozenset[str]]] = {
    "client_encoding": frozenset({"utf8", "utf-8", "unicode"}),
    "datestyle": frozenset({"iso", "iso, mdy", "iso, dmy", "iso, ymd"}),
    "timezone": frozenset({"utc", "default", "gmt", "etc/utc", "z"}),
    "standard_conforming_strings": frozenset({"on", "true", "1", "yes"}),
    "search_path": frozenset({"public", '"$user", public', "main"}),
    "default_transaction_isolation": frozenset({"repeatable read", "read committed"}),
    "transaction_isolation": frozenset({"repeatable read", "read committed"}),
}
_SERIALIZABLE: Final = "every reader reads the tail of recent changes, so serializable transactions would always conflict"


def begin(cursor: Cursor) -> Begin:
    """BEGIN [WORK] and START TRANSACTION, with their modes."""
    if not cursor.skip("TRANSACTION"):
        cursor.skip("WORK")
    read_only = False
    while not cursor.ended:
        if cursor.skip("READ", "ONLY"):
            read_only = True
        elif cursor.skip("READ", "WRITE"):
            read_only = False
        elif cursor.skip("ISOLATION", "LEVEL"):
            isolation(cursor)
        elif not (cursor.skip(",") or cursor.skip("NOT", "DEFERRABLE") or cursor.skip("DEFERRED")):
            raise cursor.error("expected a transaction mode")
    return Begin(source=cursor.chunk.source, read_only=read_only)


def isolation(cursor: Cursor) -> None:
    """An isolation level. All that are weaker than a snapshot are served by a snapshot."""
    if cursor.skip("SERIALIZABLE"):
        raise unsupported(
            f"SERIALIZABLE ({_SERIALIZABLE})", "Use REPEATABLE READ, which is a snapshot"
        )
    if not (
        cursor.skip("REPEATABLE", "READ")
        or cursor.skip("READ", "COMMITTED")
        or cursor.skip("READ", "UNCOMMITTED")
    ):
        raise cursor.error("expected an isolation level")


def start(cursor: Cursor) -> Begin:
    """START TRANSACTION."""
    cursor.expect("TRANSACTION")
    return begin(cursor)


def commit(cursor: Cursor) -> Commit:
    """COMMIT and END."""
    _work(cursor)
    if cursor.at("PREPARED"):
        raise unsupported("two-phase commit")
    cursor.finish()
    return Commit(source=cursor.chunk.source)


def rollback(cursor: Cursor) -> Rollback | RollbackTo:
    """ROLLBACK, ABORT and ROLLBACK TO."""
    _work(cursor)
    if cursor.skip("TO"):
        cursor.skip("SAVEPOINT")
        name = cursor.name("a savepoint")
        cursor.finish()
        return RollbackTo(source=cursor.chunk.source, name=name)
    if cursor.at("PREPARED"):
        raise unsupported("two-phase commit")
    cursor.finish()
    return Rollback(source=cursor.chunk.source)


def _work(cursor: Cursor) -> None:
    if not cursor.skip("TRANSACTION"):
        cursor.skip("WORK")
    if cursor.at("AND", "CHAIN"):
        raise unsupported("AND CHAIN", "BEGIN the next transaction yourself")
    cursor.skip("AND", "NO", "CHAIN")


def savepoint(cursor: Cursor) -> Savepoint:
    """SAVEPOINT name."""
    name = cursor.name("a savepoint")
    cursor.finish()
    return Savepoint(source=cursor.chunk.source, name=name)


def release(cursor: Cursor) -> Release:
    """RELEASE [SAVEPOINT] name."""
    cursor.skip("SAVEPOINT")
    name = cursor.name("a savepoint")
    cursor.finish()
    return Release(source=cursor.chunk.source, name=name)


def vacuum(cursor: Cursor) -> Vacuum:
    """VACUUM [FULL] [table]."""
    cursor.skip("FULL")
    if cursor.at("(") or cursor.at("ANALYZE") or cursor.at("VERBOSE") or cursor.at("FREEZE"):
        raise unsupported("VACUUM with options", "Write VACUUM, or VACUUM table")
    table = None if cursor.ended else table_reference(cursor)
    cursor.finish()
    return Vacuum(source=cursor.chunk.source, table=table)


def analyze(cursor: Cursor) -> Analyze:
    """ANALYZE [table [(columns)]]."""
    if cursor.at("(") or cursor.at("VERBOSE"):
        raise unsupported("ANALYZE with options", "Write ANALYZE, or ANALYZE table (columns)")
    table = None if cursor.ended else table_reference(cursor)
    columns = () if cursor.ended else cursor.names("a column")
    cursor.finish()
    return Analyze(source=cursor.chunk.source, table=table, columns=columns)


EXPLAIN_OPTIONS: Final = ("ANALYZE", "LEAKAGE")
"""Options of EXPLAIN that change what it says."""
_IGNORED: Final = ("VERBOSE", "COSTS", "TIMING", "SUMMARY", "BUFFERS")
"""Options of PostgreSQL's that ask for figures which are always, or never, shown."""


def explain_options(cursor: Cursor) -> frozenset[str]:
    """The options of EXPLAIN that are switched on, in parentheses or, as ANALYZE may stand, without."""
    found: set[str] = set()
    if not cursor.at("("):
        if cursor.skip("ANALYZE"):
            found.add("ANALYZE")
        cursor.skip("VERBOSE")
        return frozenset(found)
    options = Cursor(Chunk(cursor.chunk.source, cursor.parenthesised(), 0))
    while not options.ended:
        name = options.word()
        if name not in (*EXPLAIN_OPTIONS, *_IGNORED):
            raise unsupported(f"EXPLAIN option {name}", f"Use {' or '.join(EXPLAIN_OPTIONS)}")
        found.discard(name)
        if _switched_on(options):
            found.add(name)
        options.skip(",")
    return frozenset(found)


def _switched_on(options: Cursor) -> bool:
    """The value of an option, true when none is given."""
    token = options.peek()
    if token is None or token.token_type is TokenType.COMMA:
        return True
    options.position += 1
    return token.text.upper() in ("TRUE", "ON", "1")


def set_(cursor: Cursor) -> Set:
    """SET [SESSION | LOCAL] name = value."""
    if not cursor.skip("SESSION"):
        cursor.skip("LOCAL")
    if cursor.skip("TRANSACTION") or cursor.skip("CHARACTERISTICS", "AS", "TRANSACTION"):
        return _set_transaction(cursor)
    if cursor.skip("TIME", "ZONE"):
        name = "timezone"
    else:
        name = fold(cursor.name("a setting"))
        if not (cursor.skip("=") or cursor.skip("TO")):
            raise cursor.error("expected = or TO")
    value = _value(cursor)
    if name == "application_name":
        return Set(source=cursor.chunk.source, name=name, value=value)
    fixed = _setting(name)
    if value.casefold() not in _SAME.get(name, frozenset()) | {fixed.casefold(), "default"}:
        raise unsupported(
            f'another value of the setting "{name}" than {fixed}', f"It is always {fixed}"
        )
    return Set(source=cursor.chunk.source, name=name, value=fixed)


def _set_transaction(cursor: Cursor) -> Set:
    if cursor.at("READ", "ONLY"):
        raise unsupported("SET TRANSACTION READ ONLY", "Use BEGIN READ ONLY")
    if not cursor.skip("READ", "WRITE"):
        cursor.expect("ISOLATION", "LEVEL")
        isolation(cursor)
    cursor.finish()
    value = SETTINGS["transaction_isolation"]
    return Set(source=cursor.chunk.source, name="transaction_isolation", value=value)


def _value(cursor: Cursor) -> str:
    tokens = cursor.until(lambda _token: False)
    cursor.finish()
    if not tokens:
        raise cursor.error("expected a value")
    return " ".join(str(token.text) for token in tokens).replace(" ,", ",")


def _setting(name: str) -> str:
    fixed = SETTINGS.get(name)
    if fixed is None:
        fix = suggest(name, SETTINGS)
        raise err(ProgrammingError, "E_UNKNOWN_OPTION", f'there is no setting "{name}"', fix)
    return fixed


def show(cursor: Cursor) -> Show:
    """SHOW name."""
    if cursor.skip("TIME", "ZONE"):
        name = "timezone"
    elif cursor.skip("TRANSACTION", "ISOLATION", "LEVEL"):
        name = "transaction_isolation"
    else:
        name = fold(cursor.name("a setting"))
    cursor.finish()
    return Show(source=cursor.chunk.source, name=name, value=_setting(name))


Reader = Callable[[Cursor], Statement]

READERS: Final[dict[str, Reader]] = {
    "BEGIN": begin,
    "START": start,
    "COMMIT": commit,
    "END": commit,
    "ROLLBACK": rollback,
    "ABORT": rollback,
    "SAVEPOINT": savepoint,
    "RELEASE": release,
    "VACUUM": vacuum,
    "ANALYZE": analyze,
    "SET": set_,
    "SHOW": show,
}
"""Reader of each statement by its first word."""
