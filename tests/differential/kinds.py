"""The column types under test: how a value of each is made, written in SQL and compared."""

from __future__ import annotations

import datetime as dt
import math
import struct
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from tests.differential.chooser import Chooser

UTC = dt.UTC
WORDS = ("alpha", "beta", "gamma", "delta", "omega", "pi")
Maker = Callable[[Chooser], Any]


@dataclass(frozen=True, eq=False)
class Kind:
    """A column type.

    Attributes:
        sql: its name, understood by both databases.
        family: types of one family compare with each other in the column's type.
        edges: values that are made often, so that rows meet each other and the constants.
        make: makes any value.
        literal: writes a value as SQL that means the same to both databases; None where only a
            parameter does.
        methods: index methods it takes.
    """

    sql: str
    family: str
    edges: tuple[Any, ...]
    make: Maker
    literal: Callable[[Any], str] | None
    methods: tuple[str, ...] = ("equality", "range")

    @property
    def ordered(self) -> bool:
        """Whether values compare with ``<`` as an index orders them."""
        return "range" in self.methods

    @property
    def comparable(self) -> bool:
        """Whether values compare with ``=`` as an index finds them."""
        return "equality" in self.methods

    def value(self, choose: Chooser) -> Any:
        """A value, more often than not one of the edges."""
        return choose.pick(self.edges) if choose.chance(65) else self.make(choose)


def quoted(value: Any) -> str:
    """A string literal."""
    return "'" + str(value).replace("'", "''") + "'"


def typed(name: str) -> Callable[[Any], str]:
    """Literals such as ``DATE '2020-01-01'``."""
    return lambda value: f"{name} {quoted(value)}"


def cast(name: str) -> Callable[[Any], str]:
    """Literals such as ``CAST('…' AS UUID)``."""
    return lambda value: f"CAST({quoted(value)} AS {name})"


def integer_literal(value: int) -> str:
    """A number; the least BIGINT has no literal of its own."""
    return f"({value + 1} - 1)" if value == -(2**63) else str(value)


def float_literal(name: str) -> Callable[[float], str]:
    """Numbers with an exponent are DOUBLE in both databases; odd values are cast from text."""

    def write(value: float) -> str:
        if not math.isfinite(value) or value == 0 or abs(value) < 1e-300:
            return f"CAST({quoted(repr(value))} AS {name})"
        text = repr(value)
        return text if "e" in text else text + "e0"

    return write


def integer(bits: int) -> tuple[tuple[int, ...], Maker]:
    """Edges and any value of a signed integer."""
    top = 1 << (bits - 1)

    def make(choose: Chooser) -> int:
        return choose.number(-10, 10) if choose.chance(50) else choose.number(-top, top - 1)

    return (0, 1, -1, 2, 3, 5, 7, top - 1, -top), make


def decimal(precision: int, scale: int) -> tuple[tuple[Decimal, ...], Maker]:
    """Edges and any value of DECIMAL(precision, scale)."""
    top = 10**precision - 1

    def scaled(number: int) -> Decimal:
        return Decimal(f"{number}E-{scale}")

    def make(choose: Chooser) -> Decimal:
        return scaled(choose.number(-500, 500) if choose.chance(50) else choose.number(-top, top))

    return tuple(map(scaled, (0, 10**scale, 1, -1, 5 * 10**scale, top, -top))), make


def floating(choose: Chooser) -> float:
    """A DOUBLE: a small number of quarters, or any 64 bits."""
    if choose.chance(60):
        return choose.number(-40, 40) / 4
    found: float = struct.unpack("<d", choose.number(0, 2**64 - 1).to_bytes(8, "little"))[0]
    return found


def single(choose: Chooser) -> float:
    """A REAL: a small number of quarters, or any 32 bits that are no subnormal number."""
    if choose.chance(60):
        return choose.number(-40, 40) / 4
    found: float = struct.unpack("<f", choose.number(0, 2**32 - 1).to_bytes(4, "little"))[0]
    return found if math.isnan(found) or abs(found) > 1e-37 else 0.0


def text(choose: Chooser) -> str:
    """A short text out of few letters, or out of all of Unicode."""
    if choose.chance(70):
        return "".join(choose.pick("aAbB%_é 5") for _ in choose.times(0, 5))
    return "".join(chr(choose.pick(_RANGES)(choose)) for _ in choose.times(0, 12))


_RANGES: tuple[Callable[[Chooser], int], ...] = (
    lambda choose: choose.number(0x20, 0x7E),
    lambda choose: choose.number(1, 0x2FF),
    lambda choose: choose.number(0xE000, 0x10FFFF),
)


def sentence(choose: Chooser) -> str:
    """Words for a keyword index."""
    return choose.pick((" ", ", ", "-")).join(choose.pick(WORDS) for _ in choose.times(0, 5))


def moment(choose: Chooser) -> dt.datetime:
    """Any TIMESTAMP that Python has."""
    span = (dt.datetime.max - dt.datetime.min) // dt.timedelta(microseconds=1)
    return dt.datetime.min + dt.timedelta(microseconds=choose.number(0, span))


def zoned(value: dt.datetime) -> dt.datetime:
    """The same moment in UTC."""
    return value.replace(tzinfo=UTC)


EPOCH = dt.datetime(1970, 1, 1)
FLOATS = (0.0, -0.0, 1.0, -1.0, 0.5, 0.1, 2.0**53, math.inf, -math.inf, math.nan)
DATES = tuple(
    map(
        dt.date.fromisoformat,
        ("1970-01-01", "2020-02-29", "0001-01-01", "9999-12-31", "1969-12-31"),
    )
)
TIMES = (dt.time(), dt.time(12), dt.time(23, 59, 59, 999999), dt.time(0, 0, 0, 1))
MOMENTS = (
    EPOCH,
    dt.datetime(2020, 2, 29, 23, 59, 59, 999999),
    EPOCH - dt.timedelta.resolution,
    dt.datetime.min,
    dt.datetime.max,
)
TEXTS = (
    "a",
    "",
    " ",
    "A",
    "ab",
    "abc",
    "b",
    "05",
    "5",
    "ä",
    "ß",
    "ẞ",
    "é",
    "É",
    "\u212a",
    "ABc",
    "abcabcd",
    "😀",
    "%",
    "a_c",
    "O'Brien",
    "x" * 16,
    "x" * 16 + "a",
    "x" * 16 + "b",
    "x" * 17,
    "x" * 15,
    "\U0010ffff",
)
BYTES = (b"a", b"", b"\0", b"ab", b"\xff", b"x" * 16, b"x" * 17, b"x" * 16 + b"\0", b"x" * 15)
UUIDS = tuple(map(uuid.UUID, ("0" * 32, "f" * 32, "8" + "0" * 31, "0" * 31 + "7")))
INTERVALS = (dt.timedelta(), dt.timedelta(1), dt.timedelta(0, 86399, 1), dt.timedelta(-3, 5))
JSONS = ("{}", "[]", "null", '{"a": 1}', '{"a":1}', '"x"', "3")
ZONED = "TIMESTAMP WITH TIME ZONE"
NO_METHOD: tuple[str, ...] = ()

KINDS: tuple[Kind, ...] = (
    Kind("INTEGER", "integer", *integer(32), integer_literal),
    Kind("BIGINT", "integer", *integer(64), integer_literal),
    Kind("SMALLINT", "integer", *integer(16), integer_literal),
    Kind(
        "BOOLEAN",
        "boolean",
        (True, False),
        lambda choose: choose.chance(50),
        lambda v: "TRUE" if v else "FALSE",
    ),
    Kind("TEXT", "text", TEXTS, text, quoted),
    Kind("VARCHAR(40)", "text", TEXTS, text, quoted),
    Kind("DECIMAL(9,2)", "decimal", *decimal(9, 2), lambda v: format(v, "f")),
    Kind("DECIMAL(18,6)", "decimal", *decimal(18, 6), lambda v: format(v, "f")),
    Kind(
        "DECIMAL(38,10)",
        "decimal",
        *decimal(38, 10),
        lambda v: cast("DECIMAL(38,10)")(format(v, "f")),
    ),
    Kind("REAL", "float", tuple(v for v in FLOATS if v != 0.1), single, float_literal("REAL")),
    Kind("DOUBLE PRECISION", "float", FLOATS, floating, float_literal("DOUBLE PRECISION")),
    Kind("BLOB", "blob", BYTES, lambda choose: text(choose).encode(), None),
    Kind("DATE", "date", DATES, lambda choose: moment(choose).date(), typed("DATE")),
    Kind("TIME", "time", TIMES, lambda choose: moment(choose).time(), typed("TIME")),
    Kind("TIMESTAMP", "timestamp", MOMENTS, moment, typed("TIMESTAMP")),
    Kind(
        ZONED,
        "timestamptz",
        tuple(map(zoned, MOMENTS)),
        lambda choose: zoned(moment(choose)),
        cast(ZONED),
    ),
    Kind(
        "UUID",
        "uuid",
        UUIDS,
        lambda choose: uuid.UUID(int=choose.number(0, 2**128 - 1)),
        cast("UUID"),
    ),
    Kind("JSON", "json", JSONS, lambda choose: choose.pick(JSONS), cast("JSON"), NO_METHOD),
    Kind(
        "INTERVAL",
        "interval",
        INTERVALS,
        lambda choose: dt.timedelta(choose.number(-99, 99), choose.number(0, 86399)),
        None,
        NO_METHOD,
    ),
)
SENTENCE = Kind(
    "TEXT",
    "words",
    ("alpha", "", "alpha beta", "gamma, pi"),
    sentence,
    quoted,
    ("keyword", "equality", "range"),
)
KEY = Kind("BIGINT", "integer", (1, 2, 3), lambda choose: choose.number(0, 40), integer_literal)


def normal(value: Any) -> Any:
    """A value in the form in which results are compared: NaN equals NaN, -0.0 equals 0.0."""
    if isinstance(value, float):
        if math.isnan(value):
            return ("nan",)
        return ("float", 0.0 if value == 0 else value)
    if isinstance(value, Decimal):
        return ("number", value)
    if isinstance(value, int) and not isinstance(value, bool):
        return ("number", Decimal(value))
    if isinstance(value, dt.datetime) and value.tzinfo is not None:
        return ("moment", value.astimezone(UTC).replace(tzinfo=None))
    if isinstance(value, dt.timedelta):
        return ("interval", 0, value // dt.timedelta(microseconds=1))
    if hasattr(value, "months"):
        days, micros = value.days, getattr(value, "microseconds", 0)
        nanos = getattr(value, "nanoseconds", 0)
        return ("interval", value.months, days * 86_400_000_000 + micros + nanos // 1000)
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, (list, tuple)):
        return tuple(normal(one) for one in value)
    return value


def close(left: Any, right: Any) -> bool:
    """Whether two normal values are equal; doubles to 1e-9, relative, or absolute below 1."""
    if isinstance(left, tuple) and isinstance(right, tuple):
        if left[:1] == right[:1] == ("float",):
            one, other = left[1], right[1]
            return bool(one == other or abs(one - other) <= 1e-9 * max(abs(one), abs(other), 1.0))
        return len(left) == len(right) and all(map(close, left, right))
    return bool(left == right)
