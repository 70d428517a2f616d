r"""Types in CAST: from PostgreSQL's to the engine's.

The two disagree on a few, each time silently: the engine reads bare NUMERIC as DECIMAL(18,3), ignores
the length of VARCHAR(n) where PostgreSQL cuts, and reads ``'\xAB'`` as escape sequences where PostgreSQL
reads hexadecimal.
"""

from __future__ import annotations

from typing import Final

from sqlglot import exp

from encdb.errors import NotSupportedError, ProgrammingError, err
from indexes.types import ColumnType, Kind

from . import constants, literals
from .types import CAST_SCALE, MAX_PRECISION, decimal_type, unknown_type

_PLAIN: Final = frozenset(
    {
        exp.DType.BOOLEAN,
        exp.DType.SMALLINT,
        exp.DType.INT,
        exp.DType.BIGINT,
        exp.DType.FLOAT,
        exp.DType.DOUBLE,
        exp.DType.TEXT,
        exp.DType.VARBINARY,
        exp.DType.BLOB,
        exp.DType.DATE,
        exp.DType.UUID,
        exp.DType.JSON,
        exp.DType.JSONB,
        exp.DType.INTERVAL,
    }
)
_LENGTHS: Final = frozenset({exp.DType.VARCHAR, exp.DType.CHAR, exp.DType.BPCHAR})
_TIMES: Final = frozenset(
    # The engine's dialect reads TIMESTAMP as the last of these.
    {exp.DType.TIME, exp.DType.TIMESTAMP, exp.DType.TIMESTAMPTZ, exp.DType.TIMESTAMPNTZ}
)
_ENGINE: Final[dict[Kind, str]] = {
    Kind.TEXT: "TEXT",
    Kind.TIMESTAMPTZ: "TIMESTAMPTZ",
}


def translate_cast(node: exp.Cast) -> exp.Expr:
    """The cast for the engine; changes ``node`` in place or gives what replaces it."""
    to = node.to
    if to.this in (exp.DType.VARBINARY, exp.DType.BLOB):
        text = constants.string(node.this)
        if text is not None:
            return bytes_literal(text)
    limit = _length(to)
    if isinstance(node.this, exp.IntDiv):
        # sqlglot reads PostgreSQL's div(a, b) as a cast of the integer quotient.
        return exp.Paren(this=node.this)
    node.set("to", engine_type(to))
    return node if limit is None else exp.Left(this=node, expression=exp.Literal.number(limit))


def bytes_literal(text: str) -> exp.Expr:
    """A BYTEA literal in hex form, or plain ASCII without a backslash."""
    value = literals.read_bytes(text)
    if value is None:
        if "\\" in text or not text.isascii():
            raise err(
                ProgrammingError,
                "E_INVALID_VALUE",
                "a BYTEA literal is neither hexadecimal nor plain text",
                "Write '\\xDEADBEEF'",
            )
        value = text.encode()
    return exp.HexString(this=value.hex())


def _length(to: exp.DataType) -> int | None:
    """The length that a cast to text cuts to, or None."""
    if to.this not in _LENGTHS and to.this is not exp.DType.TEXT:
        return None
    if to.expressions:
        return _number(to.expressions[0])
    return 1 if to.this is exp.DType.CHAR else None


def _number(node: exp.Expr) -> int:
    text = str(node.this.name if isinstance(node, exp.DataTypeParam) else node.name)
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise err(ProgrammingError, "E_UNKNOWN_TYPE", "the arguments of a type are numbers")
    return int(text)


def engine_type(to: exp.DataType) -> exp.DataType:
    """The engine's type for one of PostgreSQL's."""
    kind = to.this
    if kind is exp.DType.ARRAY:
        inner = [engine_type(item) for item in to.expressions]
        return exp.DataType(this=kind, expressions=inner, nested=True)
    if kind in _LENGTHS:
        return exp.DataType(this=exp.DType.TEXT)
    if kind is exp.DType.DECIMAL:
        numbers = [_number(item) for item in to.expressions] or [MAX_PRECISION, CAST_SCALE]
        decimal = decimal_type(numbers[0], numbers[1] if len(numbers) > 1 else 0)
        return column_type(decimal)
    if kind is exp.DType.TEXT:
        return exp.DataType(this=kind)
    if kind in _TIMES:
        if to.expressions and _number(to.expressions[0]) != 6:
            raise err(
                NotSupportedError,
                "E_NOT_SUPPORTED",
                "a precision of seconds other than 6 is not supported",
                "Leave the precision out",
            )
        return exp.DataType(this=kind)
    if kind in _PLAIN and not to.expressions:
        return to
    raise unknown_type(str(kind.value if isinstance(kind, exp.DType) else kind))


def column_type(type_: ColumnType) -> exp.DataType:
    """The engine's type for a column's; the length of VARCHAR(n) is checked elsewhere."""
    if type_.kind is Kind.DECIMAL:
        parameters = [
            exp.DataTypeParam(this=exp.Literal.number(number))
            for number in (type_.precision, type_.scale)
        ]
        return exp.DataType(this=exp.DType.DECIMAL, expressions=parameters)
    return exp.DataType.build(_ENGINE.get(type_.kind, type_.kind.value), dialect="duckdb")
