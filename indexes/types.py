"""Column types: what SQL calls them, what Arrow calls them, and which encodings they have.

The names are PostgreSQL's where the two dialects that users know differ. A type is a value object; its
SQL text is its stored form, and `ColumnType.parse` is the inverse of `ColumnType.sql`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Final

import pyarrow as pa


class Kind(StrEnum):
    """A type without its parameters."""

    BOOLEAN = "BOOLEAN"
    SMALLINT = "SMALLINT"
    INTEGER = "INTEGER"
    BIGINT = "BIGINT"
    DECIMAL = "DECIMAL"
    REAL = "REAL"
    DOUBLE = "DOUBLE"
    TEXT = "TEXT"
    BLOB = "BLOB"
    DATE = "DATE"
    TIME = "TIME"
    TIMESTAMP = "TIMESTAMP"
    TIMESTAMPTZ = "TIMESTAMPTZ"
    UUID = "UUID"
    JSON = "JSON"
    INTERVAL = "INTERVAL"


_FIXED_ARROW: Final[dict[Kind, pa.DataType]] = {
    Kind.BOOLEAN: pa.bool_(),
    Kind.SMALLINT: pa.int16(),
    Kind.INTEGER: pa.int32(),
    Kind.BIGINT: pa.int64(),
    Kind.REAL: pa.float32(),
    Kind.DOUBLE: pa.float64(),
    Kind.TEXT: pa.string(),
    Kind.BLOB: pa.binary(),
    Kind.DATE: pa.date32(),
    Kind.TIME: pa.time64("us"),
    Kind.TIMESTAMP: pa.timestamp("us"),
    Kind.TIMESTAMPTZ: pa.timestamp("us", "UTC"),
    Kind.UUID: pa.binary(16),
    Kind.JSON: pa.string(),
    Kind.INTERVAL: pa.month_day_nano_interval(),
}
_WIDE: Final = frozenset((Kind.TEXT, Kind.BLOB, Kind.UUID))
_UNORDERED: Final = frozenset((Kind.JSON, Kind.INTERVAL))
_SQL: Final = {Kind.TIMESTAMPTZ: "TIMESTAMP WITH TIME ZONE"}

# Other spellings that PostgreSQL, DuckDB or SQLite users write. CHAR(n) is missing on purpose: its
# blank padding is not kept, so it is refused instead of being read as TEXT.
_ALIASES: Final[dict[str, Kind]] = {
    **{kind.value: kind for kind in Kind},
    "BOOL": Kind.BOOLEAN,
    "INT2": Kind.SMALLINT,
    "INT": Kind.INTEGER,
    "INT4": Kind.INTEGER,
    "INT8": Kind.BIGINT,
    "NUMERIC": Kind.DECIMAL,
    "FLOAT4": Kind.REAL,
    "FLOAT": Kind.DOUBLE,
    "FLOAT8": Kind.DOUBLE,
    "DOUBLE PRECISION": Kind.DOUBLE,
    "VARCHAR": Kind.TEXT,
    "STRING": Kind.TEXT,
    "CHARACTER VARYING": Kind.TEXT,
    "BYTEA": Kind.BLOB,
    "TIME WITHOUT TIME ZONE": Kind.TIME,
    "TIMESTAMP WITHOUT TIME ZONE": Kind.TIMESTAMP,
    "TIMESTAMP WITH TIME ZONE": Kind.TIMESTAMPTZ,
}
_PATTERN: Final = re.compile(
    r"\s*([A-Za-z][A-Za-z0-9 ]*?)\s*(?:\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\))?\s*"
)

MAX_PRECISION: Final = 38
NARROW_PRECISION: Final = 18
"""DECIMALs of up to this precision fit 64 bits and are stored so."""

MAX_LENGTH: Final = 1 << 30


@dataclass(frozen=True, slots=True)
class ColumnType:
    """The type of a column.

    Args:
        kind: the type's name.
        precision, scale: of a DECIMAL, 1 ≤ precision ≤ 38 and 0 ≤ scale ≤ precision; both needed.
        length: of a TEXT, the most characters it takes; None for no limit.

    Raises:
        ValueError: a parameter is missing, out of range, or does not belong to the kind.
    """

    kind: Kind
    precision: int | None = None
    scale: int | None = None
    length: int | None = None

    def __post_init__(self) -> None:
        if self.kind is Kind.DECIMAL:
            if self.precision is None or self.scale is None:
                raise ValueError("DECIMAL needs a precision and a scale, as in DECIMAL(10,2)")
            if not 1 <= self.precision <= MAX_PRECISION or not 0 <= self.scale <= self.precision:
                raise ValueError("DECIMAL(p,s) takes 1 <= p <= 38 and 0 <= s <= p")
        elif self.precision is not None or self.scale is not None:
            raise ValueError(f"{self.kind} takes no precision")
        if self.length is not None and (
            self.kind is not Kind.TEXT or not 1 <= self.length <= MAX_LENGTH
        ):
            raise ValueError("a length from 1 to 2**30 characters belongs to VARCHAR only")

    @property
    def arrow(self) -> pa.DataType:
        """The Arrow type that all schemes take and give."""
        return _arrow(self)

    @property
    def sql(self) -> str:
        """The canonical SQL text, such as `DECIMAL(10,2)`, `VARCHAR(20)` or `DATE`."""
        if self.kind is Kind.DECIMAL:
            return f"DECIMAL({self.precision},{self.scale})"
        if self.length is not None:
            return f"VARCHAR({self.length})"
        return _SQL.get(self.kind, self.kind.value)

    @property
    def narrow(self) -> bool:
        """Whether this is a DECIMAL whose unscaled values fit 64 bits."""
        return self.precision is not None and self.precision <= NARROW_PRECISION

    @property
    def width(self) -> int | None:
        """Bytes of an order-preserving key, 8 or 16; None for a type without order.

        TEXT and BLOB have keys of their first 16 bytes; see `encoding.order_key_exact`.
        """
        if not self.ordered:
            return None
        return 16 if self.kind in _WIDE or (self.kind is Kind.DECIMAL and not self.narrow) else 8

    @property
    def ordered(self) -> bool:
        """Whether the type has an order that a range index can serve."""
        return self.kind not in _UNORDERED

    @property
    def variable(self) -> bool:
        """Whether values differ in length: TEXT, BLOB and JSON."""
        return self.kind in (Kind.TEXT, Kind.BLOB, Kind.JSON)

    @classmethod
    def parse(cls, sql_text: str) -> ColumnType:
        """The type that an SQL text names; the inverse of `sql`, and common spellings of it.

        Raises:
            ValueError: no such type, or its parameters are missing or out of range.
        """
        return _parse(sql_text)


@lru_cache(maxsize=1024)
def _arrow(kind: ColumnType) -> pa.DataType:
    if kind.kind is Kind.DECIMAL:
        assert kind.precision is not None
        assert kind.scale is not None
        return pa.decimal128(kind.precision, kind.scale)
    return _FIXED_ARROW[kind.kind]


@lru_cache(maxsize=1024)
def _parse(sql_text: str) -> ColumnType:
    match = _PATTERN.fullmatch(sql_text)
    name = " ".join(match[1].upper().split()) if match else ""
    kind = _ALIASES.get(name)
    if match is None or kind is None:
        raise ValueError("no such column type")
    first, second = (None if part is None else int(part) for part in match.groups()[1:])
    if kind is Kind.DECIMAL:
        # DECIMAL(p) is DECIMAL(p,0), as in the SQL standard.
        return ColumnType(
            kind, precision=first, scale=0 if first is not None and second is None else second
        )
    if second is not None or (first is not None and kind is not Kind.TEXT):
        raise ValueError(f"{kind} takes no such parameters")
    return ColumnType(kind, length=first)
