"""Rule 1 against the engine itself: every type, operator and kind of constant.

For each comparison that the planner pushes, the predicate must hold for exactly the rows that the
engine finds; one that is not pushed is the engine's own business. Comparisons that the engine refuses are left out.
"""

import datetime as dt
import decimal
import uuid
from decimal import Decimal

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from encdb.errors import NotSupportedError, ProgrammingError
from indexes.types import ColumnType
from proxy.catalog import Catalog, Column, Table
from proxy.sql.compare import bind, compare
from proxy.sql.constants import Constant, Type
from proxy.sql.parse import parse_one
from proxy.sql.plan import plan_query
from proxy.sql.predicates import Between, Equals, Literal, Parameter
from tests.proxy.sql.harness import Engine, engine_type, holds

UTC = dt.UTC
INTEGERS = [0, 1, -1, 5, 7, -8, 100, 32767, -32768]
NUMBERS = [
    Decimal("0.00"),
    Decimal("1.10"),
    Decimal("-1.10"),
    Decimal("5.00"),
    Decimal("99999999.99"),
]
VALUES = {
    "BOOLEAN": [True, False],
    "SMALLINT": INTEGERS,
    "INTEGER": [*INTEGERS, 2**31 - 1, -(2**31)],
    "BIGINT": [*INTEGERS, 2**53, 2**53 + 1, 2**63 - 1, -(2**63)],
    "DECIMAL(10,2)": NUMBERS,
    "DECIMAL(38,0)": [Decimal(0), Decimal(5), Decimal(10) ** 37, -(Decimal(10) ** 37)],
    "DECIMAL(38,10)": [Decimal("0.0000000001"), Decimal("1.1000000000"), Decimal(5)],
    "REAL": [0.0, -0.0, 0.5, 0.1, 1.0, 5.0, 16777216.0, 3e38, float("inf"), float("nan")],
    "DOUBLE": [0.0, -0.0, 0.1, 1.1, 5.0, 2.0**53, 1e300, float("inf"), float("-inf"), float("nan")],
    "TEXT": ["", "a", "A", "ab", "5", "05", "1.10", "true", "2020-01-01", "ä", "z\U0010ffff", " a"],
    "VARCHAR(5)": ["", "a", "ab", "5", "05"],
    "BLOB": [b"", b"\x00", b"a", b"\xab", b"\\xab"],
    "DATE": [dt.date(2020, 1, 1), dt.date(2020, 2, 29), dt.date(1, 1, 1), dt.date(9999, 12, 31)],
    "TIME": [dt.time(0), dt.time(10, 30), dt.time(23, 59, 59, 999999)],
    "TIMESTAMP": [
        dt.datetime(2020, 1, 1),
        dt.datetime(2020, 1, 1, 0, 0, 0, 1),
        dt.datetime(2020, 2, 29, 12),
        dt.datetime(1969, 12, 31, 23, 59),
    ],
    "TIMESTAMP WITH TIME ZONE": [
        dt.datetime(2020, 1, 1, tzinfo=UTC),
        dt.datetime(2020, 1, 1, 2, tzinfo=UTC),
        dt.datetime(2020, 2, 29, 12, tzinfo=UTC),
    ],
    "UUID": [uuid.UUID(int=0), uuid.UUID(int=5), uuid.UUID(int=2**128 - 1), uuid.UUID(int=2**127)],
}
CONSTANTS = (
    """
0|1|-1|5|-(-5)|+5|7|100|32767|32768|-32768|-32769|2147483647|2147483648|9007199254740992
9007199254740993|-9223372036854775808|9223372036854775807|9223372036854775808
99999999999999999999999999999999999999|0.0|1.1|1.10|-1.1|1.105|4.999999999999999999|5.0|0.1|0.5
99999999.99|99999999.995|100000000|0.0000000001|0.00000000001|1e0|5e0|1.1e0|-1e0|9007199254740993e0|1e300|1e400
true|false|NULL|'a'|''|'ab'|'A'|'5'|'05'|' 5'|'5.0'|'1.10'|'1.105'|'true'|'t'|'ä'|'x'
'2020-01-01'|'2020-1-1'|'2020-01-01 00:00:00'|'2020-01-01 00:00:00.000001'|'2020-01-01T00:00:00'
'2020-01-01 00:00:00.0000009'|'2020-02-30'|'infinity'|'2020-01-01 02:00:00+02'|'2020-01-01 00:00:00Z'
'2020-01-01 00:00:00 Europe/Berlin'|'10:30'|'10:30:00'|'24:00:00'|'23:59:59.999999'|'23:59:59.9999999'
'00000000-0000-0000-0000-000000000005'|'{00000000-0000-0000-0000-000000000005}'|'0000000000000000000000000000000A'
'\\x00'|'\\xAB'|'\\xab'|'\\x'|'\\xa'|'\\xa b'|x'61'|x''|e'\\\\xab'|$$a$$
DATE '2020-01-01'|DATE '2020-02-29'|TIMESTAMP '2020-01-01 00:00:00'|TIMESTAMP '2020-01-01 12:00:00'
TIMESTAMP '2020-02-29 12:00:00'|TIMESTAMPTZ '2020-01-01 00:00:00+00'|TIMESTAMPTZ '2020-01-01 04:00:00+02'
TIME '10:30'|CAST('a' AS TEXT)|CAST('5' AS TEXT)|CAST(5 AS BIGINT)|CAST(5 AS SMALLINT)|CAST('5' AS INT)
CAST(5 AS NUMERIC(10,3))|CAST(0.1 AS REAL)|CAST(0.1 AS DOUBLE PRECISION)|UUID '00000000-0000-0000-0000-000000000005'
BOOLEAN 'true'|2 + 3|2 * 2 + 1|10 - 5|1.0 + 0.1|7 / 2|DATE '2020-01-31' + INTERVAL '1 month'
DATE '2020-01-02' - 1|DATE '2020-03-01' - INTERVAL '1' DAY|TIMESTAMP '2020-01-01' + INTERVAL '1' SECOND
DATE '2020-01-01' + INTERVAL '1.5 days'|now()|current_date|random()|length('hello')
""".strip()
    .replace("\n", "|")
    .split("|")
)
PARAMETERS = [
    None, True, 0, 5, -1, 32768, 2**31, 2**53 + 1, 2**63, 10**37, 0.0, -0.0, 0.1, 1.1, 5.0, 4.6, 1e300, float("nan"),
    float("inf"), Decimal("1.10"), Decimal("1.105"), Decimal(5), Decimal("5.0"), Decimal("1E+2"),
    Decimal("NaN"), "a", "", "5", "05", "1.10", "1.105", "2020-01-01", "2020-01-01 00:00:00", "10:30", "true",
    "00000000-0000-0000-0000-000000000005", "\\xab", b"a", b"\xab", dt.date(2020, 1, 1), dt.time(10, 30),
    dt.datetime(2020, 1, 1), dt.datetime(2020, 1, 1, 12), dt.datetime(2020, 1, 1, tzinfo=UTC), uuid.UUID(int=5),
]  # fmt: skip
CONDITIONS = ["c {op} {a}", "{a} {op} c", "NOT (c {op} {a})"]


@pytest.fixture(scope="module")
def engine():
    return Engine()


def prepared(engine, kind):
    """The catalog of one table of that type, loaded."""
    type_ = ColumnType.parse(kind)
    table = Table(1, "k", (Column(1, "n", ColumnType.parse("INTEGER")), Column(2, "c", type_)))
    rows = [[n, value] for n, value in enumerate([*VALUES[kind], None])]
    engine.load("k", [("n", "INTEGER"), ("c", engine_type(type_))], rows)
    return Catalog(tables=(table,)), rows


def check(engine, catalog, rows, condition, parameters=()):
    """Compare both readings; how often something was pushed: 0 or 1."""
    try:
        plan = plan_query(parse_one(f"SELECT n FROM k WHERE {condition}"), catalog)
    except (NotSupportedError, ProgrammingError):
        return 0
    access = plan.accesses[0]
    bound = bind(access.predicate, access.table, parameters)
    if bound.predicate is None:
        return 0
    try:
        values = plan.engine_parameters(parameters, dt.datetime(2024, 1, 1, tzinfo=UTC))
        found = set(engine.run(plan.sql, values).column(0).to_pylist())
    except duckdb.Error:
        return 0
    served = {n for n, value in rows if holds(bound.predicate, {1: n, 2: value}, [])}
    assert found <= served, (condition, parameters, bound)
    if access.exact and bound.exact:
        assert found == served, (condition, parameters, bound)
    return 1


@pytest.mark.parametrize("kind", VALUES)
def test_literals(engine, kind):
    catalog, rows = prepared(engine, kind)
    pushed = 0
    for place, constant in enumerate(CONSTANTS):
        for turn, operator in enumerate(("=", "<", "<=", ">", ">=", "<>")):
            # The three forms take turns, so that each meets every operator and kind of constant.
            condition = CONDITIONS[(place + turn) % 3].format(op=operator, a=constant)
            pushed += check(engine, catalog, rows, condition)
    assert pushed > 10


@pytest.mark.parametrize("kind", VALUES)
def test_lists_and_ranges(engine, kind):
    catalog, rows = prepared(engine, kind)
    pairs = [
        (one, other)
        for place, one in enumerate(CONSTANTS)
        for other in (CONSTANTS[place - 1], CONSTANTS[place * 7 % len(CONSTANTS)])
    ]
    forms = ["c BETWEEN {} AND {}", "c IN ({}, {})", "c NOT BETWEEN {} AND {}", "NOT c IN ({}, {})"]
    for place, (one, other) in enumerate(pairs):
        for form in (forms[place % 4], forms[(place + 1) % 4]):
            check(engine, catalog, rows, form.format(one, other))


@pytest.mark.parametrize("kind", VALUES)
def test_parameters(engine, kind):
    catalog, rows = prepared(engine, kind)
    pushed = 0
    for value in PARAMETERS:
        for operator in ("=", "<", "<=", ">", ">="):
            pushed += check(engine, catalog, rows, f"c {operator} ?", [value])
    for place, value in enumerate(PARAMETERS):
        for other in (PARAMETERS[place - 1], PARAMETERS[place * 5 % len(PARAMETERS)]):
            for form in ("c BETWEEN ? AND ?", "c IN (?, ?)", "c >= ? AND c < ?"):
                pushed += check(engine, catalog, rows, form, [value, other])
    assert pushed > 5


@given(
    number=st.decimals(
        allow_nan=False, allow_infinity=False, min_value=-(10**12), max_value=10**12, places=4
    ),
    value=st.integers(-(10**9), 10**9),
    operator=st.sampled_from(["=", "<", "<=", ">", ">="]),
    kind=st.sampled_from(["INTEGER", "DECIMAL(11,2)"]),
)
@settings(max_examples=400, deadline=None)
def test_exact_numbers(number, value, operator, kind):
    """``column op constant`` and its predicate agree on numbers near the constant."""
    column = Column(1, "c", ColumnType.parse(kind))
    found = compare(column, operator, Constant(Type.DECIMAL, number))
    unit = Decimal(1) if kind == "INTEGER" else Decimal("0.01")
    with decimal.localcontext() as context:
        context.prec = 60
        near = number.quantize(unit)
        candidates = [Decimal(value), *(near + unit * step for step in (-1, 0, 1))]
    limit = 2**31 if kind == "INTEGER" else 10**9
    operators = {
        "=": Decimal.__eq__,
        "<": Decimal.__lt__,
        "<=": Decimal.__le__,
        ">": Decimal.__gt__,
        ">=": Decimal.__ge__,
    }
    for candidate in candidates:
        if -limit < candidate < limit:
            stored = int(candidate) if kind == "INTEGER" else candidate
            assert holds(found, {1: stored}, []) == operators[operator](candidate, number)


def test_a_parameter_of_an_uncertain_type_is_left_to_the_engine():
    table = Table(
        1,
        "k",
        (Column(1, "c", ColumnType.parse("BIGINT")), Column(2, "d", ColumnType.parse("DATE"))),
    )
    equals = Equals(1, Parameter(0))
    assert bind(equals, table, [3]).predicate == Equals(1, Literal(3))
    assert bind(equals, table, [3.0]).predicate is None
    both = Between(1, Parameter(0), True, Parameter(1), True)
    assert bind(both, table, [1, 5]).exact
    assert bind(both, table, [1, 5.0]).predicate is None
    assert bind(Equals(2, Parameter(0)), table, ["1 Jan 2020"]).predicate is None
    assert bind(None, table, []).predicate is None


def test_values_are_hidden_from_representations():
    assert "secret" not in repr(Equals(1, Literal("secret")))
    assert "secret" not in repr(Constant(Type.STRING, "secret"))
