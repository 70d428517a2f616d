"""SQL type names: what the user may write, and the column type each means.

PostgreSQL's spellings and the common standard ones are known. Decisions that its users should know:

* ``CHAR(n)`` is ``VARCHAR(n)``: nothing is padded and trailing blanks count.
* ``NUMERIC`` without precision is refused as a column type, because any scale chosen here would round
  values silently. In a CAST it is ``DECIMAL(38,9)``.
* ``FLOAT`` is ``DOUBLE PRECISION`` and ``FLOAT(1…24)`` is ``REAL``.
* ``TIMESTAMP(p)`` and ``TIME(p)`` are taken with ``p = 6``, which is the default, and refused otherwise.
* ``SERIAL`` is refused: ordinals are leased in ranges, so there is no gapless server-side sequence.
"""

from __future__ import annotations

from typing import Final

from encdb.errors import NotSupportedError, ProgrammingError, err
from indexes.types import ColumnType, Kind

from ..catalog import suggest
from .cursor import Cursor

MAX_PRECISION: Final = 38
CAST_SCALE: Final = 9
"""Scale of a bare NUMERIC in a CAST; its precision is the widest there is."""

_PLAIN: Final[dict[str, Kind]] = {
    "BOOLEAN": Kind.BOOLEAN,
    "BOOL": Kind.BOOLEAN,
    "SMALLINT": Kind.SMALLINT,
    "INT2": Kind.SMALLINT,
    "INTEGER": Kind.INTEGER,
    "INT": Kind.INTEGER,
    "INT4": Kind.INTEGER,
    "BIGINT": Kind.BIGINT,
    "INT8": Kind.BIGINT,
    "REAL": Kind.REAL,
    "FLOAT4": Kind.REAL,
    "FLOAT8": Kind.DOUBLE,
    "DOUBLE": Kind.DOUBLE,
    "TEXT": Kind.TEXT,
    "STRING": Kind.TEXT,
    "BLOB": Kind.BLOB,
    "BYTEA": Kind.BLOB,
    "DATE": Kind.DATE,
    "UUID": Kind.UUID,
    "JSON": Kind.JSON,
    "JSONB": Kind.JSON,
    "INTERVAL": Kind.INTERVAL,
    "TIMESTAMPTZ": Kind.TIMESTAMPTZ,
}
_SPECIAL: Final = (
    "NUMERIC",
    "DECIMAL",
    "DEC",
    "FLOAT",
    "VARCHAR",
    "CHAR",
    "CHARACTER",
    "BPCHAR",
    "TIME",
    "TIMESTAMP",
)
_FIXES: Final[dict[str, str]] = {
    "SERIAL": "Use BIGINT PRIMARY KEY and give the values yourself",
    "SERIAL2": "Use SMALLINT PRIMARY KEY and give the values yourself",
    "SERIAL4": "Use INTEGER PRIMARY KEY and give the values yourself",
    "SERIAL8": "Use BIGINT PRIMARY KEY and give the values yourself",
    "SMALLSERIAL": "Use SMALLINT PRIMARY KEY and give the values yourself",
    "BIGSERIAL": "Use BIGINT PRIMARY KEY and give the values yourself",
    "DATETIME": "Use TIMESTAMP",
    "TINYINT": "Use SMALLINT",
    "HUGEINT": "Use NUMERIC(38, 0)",
    "MONEY": "Use NUMERIC(19, 2)",
    "NVARCHAR": "Use VARCHAR(n) or TEXT",
    "NCHAR": "Use VARCHAR(n) or TEXT",
    "CLOB": "Use TEXT",
    "BINARY": "Use BYTEA",
    "VARBINARY": "Use BYTEA",
    "TIMETZ": "Use TIME, or TIMESTAMP WITH TIME ZONE",
    "XML": "Use TEXT",
}
_UNSERVED: Final = "is not supported as a column type"


def known_type_names() -> tuple[str, ...]:
    """Every type name that may be written, for completion and suggestions."""
    return tuple(sorted((*_PLAIN, *_SPECIAL)))


def read_type(cursor: Cursor) -> ColumnType:
    """Read a type name; errors name the type and what to write instead."""
    if cursor.skip('"CHAR"'):
        raise cursor.error("expected a type")
    name = cursor.word()
    result = _read(name, cursor)
    if cursor.at("[") or cursor.at("ARRAY"):
        raise err(
            NotSupportedError,
            "E_NOT_SUPPORTED",
            "arrays are not supported as column types",
            "Use a table of its own, or JSON",
        )
    return result


def _read(name: str, cursor: Cursor) -> ColumnType:
    if name in ("NUMERIC", "DECIMAL", "DEC"):
        return _decimal(_arguments(cursor, 2))
    if name == "FLOAT":
        return _float(_arguments(cursor, 1))
    if name in ("VARCHAR", "CHAR", "CHARACTER", "BPCHAR"):
        return _text(name, cursor)
    if name in ("TIME", "TIMESTAMP"):
        return _time(name, cursor)
    kind = _PLAIN.get(name)
    if kind is None:
        raise unknown_type(name)
    if name == "DOUBLE":
        cursor.skip("PRECISION")
    if name == "TIMESTAMPTZ":
        _check_subseconds(_arguments(cursor, 1))
    elif kind is Kind.INTERVAL and (cursor.at("(") or cursor.at("YEAR") or cursor.at("DAY")):
        raise err(
            NotSupportedError,
            "E_NOT_SUPPORTED",
            "fields and precision of INTERVAL are not supported",
            "Write INTERVAL alone",
        )
    elif cursor.at("("):
        raise err(
            ProgrammingError,
            "E_UNKNOWN_TYPE",
            f"the type {name} takes no arguments",
            f"Write {name} alone",
        )
    return ColumnType(kind)


def unknown_type(name: str) -> ProgrammingError | NotSupportedError:
    """The error for a type that is not served, with what to write instead."""
    fix = _FIXES.get(name.upper())
    if fix is not None:
        return err(NotSupportedError, "E_NOT_SUPPORTED", f"the type {name} {_UNSERVED}", fix)
    near = suggest(name.upper(), known_type_names())
    return err(ProgrammingError, "E_UNKNOWN_TYPE", f'there is no type "{name}"', near)


def _arguments(cursor: Cursor, most: int) -> tuple[int, ...]:
    if not cursor.skip("("):
        return ()
    found: list[int] = []
    while True:
        token = cursor.peek()
        if (
            token is None
            or not (token.text.isascii() and token.text.isdigit())
            or len(token.text) > 9
        ):
            raise cursor.error("expected a number")
        cursor.position += 1
        found.append(int(token.text))
        if not cursor.skip(","):
            break
    cursor.expect(")")
    if len(found) > most:
        raise cursor.error(f"the type takes at most {most} arguments")
    return tuple(found)


def _decimal(arguments: tuple[int, ...]) -> ColumnType:
    if not arguments:
        raise err(
            NotSupportedError,
            "E_NOT_SUPPORTED",
            f"NUMERIC without a precision {_UNSERVED}",
            f"Write NUMERIC(precision, scale) with at most {MAX_PRECISION} digits, such as NUMERIC(38, 9)",
        )
    return decimal_type(arguments[0], arguments[1] if len(arguments) > 1 else 0)


def decimal_type(precision: int, scale: int) -> ColumnType:
    """DECIMAL(precision, scale), checked."""
    if not 1 <= precision <= MAX_PRECISION or not 0 <= scale <= precision:
        raise err(
            ProgrammingError,
            "E_UNKNOWN_TYPE",
            f"NUMERIC({precision}, {scale}) is not a type",
            f"The precision is 1 to {MAX_PRECISION} digits, of which the scale is a part",
        )
    return ColumnType(Kind.DECIMAL, precision, scale)


def _float(arguments: tuple[int, ...]) -> ColumnType:
    bits = arguments[0] if arguments else 53
    if not 1 <= bits <= 53:
        raise err(
            ProgrammingError,
            "E_UNKNOWN_TYPE",
            f"FLOAT({bits}) is not a type",
            "The precision is 1 to 53 bits",
        )
    return ColumnType(Kind.REAL if bits <= 24 else Kind.DOUBLE)


def _text(name: str, cursor: Cursor) -> ColumnType:
    varying = name == "VARCHAR"
    if name in ("CHAR", "CHARACTER"):
        varying = cursor.skip("VARYING")
    arguments = _arguments(cursor, 1)
    if not arguments:
        # CHAR alone is CHAR(1) in the standard; VARCHAR alone has no limit in PostgreSQL.
        return (
            ColumnType(Kind.TEXT, length=1)
            if not varying and name != "BPCHAR"
            else ColumnType(Kind.TEXT)
        )
    if arguments[0] == 0:
        raise err(
            ProgrammingError,
            "E_UNKNOWN_TYPE",
            f"{name}(0) is not a type",
            "The length is at least 1",
        )
    return ColumnType(Kind.TEXT, length=arguments[0])


def _time(name: str, cursor: Cursor) -> ColumnType:
    _check_subseconds(_arguments(cursor, 1))
    zoned = cursor.skip("WITH", "TIME", "ZONE")
    if not zoned:
        cursor.skip("WITHOUT", "TIME", "ZONE")
    if name == "TIMESTAMP":
        return ColumnType(Kind.TIMESTAMPTZ if zoned else Kind.TIMESTAMP)
    if zoned:
        raise unknown_type("TIMETZ")
    return ColumnType(Kind.TIME)


def _check_subseconds(arguments: tuple[int, ...]) -> None:
    if arguments and arguments[0] != 6:
        raise err(
            NotSupportedError,
            "E_NOT_SUPPORTED",
            f"a precision of {arguments[0]} digits of a second is not supported",
            "Leave the precision out; it is 6 digits",
        )
