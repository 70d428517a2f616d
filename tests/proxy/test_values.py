"""Assignment casts, from Python, from query results and from text; and values on their way out."""

import base64
import datetime as dt
import decimal
import json
import math
import uuid
from fractions import Fraction

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from encdb.errors import DataError, EncdbError, ProgrammingError
from indexes.types import ColumnType, Kind
from proxy.casting import parse_array
from proxy.coercion import coerce, float_text
from proxy.intervals import Interval, interval_parts, interval_text, parse_interval
from proxy.misfit import Misfit
from proxy.values import cast_batch, json_value, result_columns, to_array, to_arrow, to_python

D = decimal.Decimal
UTC = dt.UTC
PLUS2 = dt.timezone(dt.timedelta(hours=2))
INF = float("inf")


def stored(value, name):
    """What a column of that type gives back for a value: alone, among others, and looked up."""
    kind = ColumnType.parse(name)
    one = to_python(to_arrow([(value,)], [("c", kind)]))
    many = to_python(to_arrow([(None,), (value,), (None,)], [("c", kind)]))
    array = to_array([value, None], kind)
    assert array.type == kind.arrow
    assert many == [(None,), one[0], (None,)] or isinstance(value, float)
    return one[0][0]


FITTING = [
    (True, "BOOLEAN", True),
    ("yes", "BOOLEAN", True),
    (" OFF ", "BOOLEAN", False),
    ("1", "BOOLEAN", True),
    ("5", "INTEGER", 5),
    (" +5\n", "INTEGER", 5),
    ("007", "BIGINT", 7),
    (2.5, "INTEGER", 2),
    (3.5, "INTEGER", 4),
    (-2.5, "INTEGER", -2),
    (D("2.5"), "INTEGER", 3),
    (D("-2.5"), "INTEGER", -3),
    (D("0.4999"), "SMALLINT", 0),
    (32767.4, "SMALLINT", 32767),
    (-(2**63), "BIGINT", -(2**63)),
    (5, "DECIMAL(10,2)", D("5.00")),
    (0.1, "DECIMAL(10,2)", D("0.10")),
    (2.675, "DECIMAL(10,2)", D("2.68")),
    (D("1.005"), "DECIMAL(10,2)", D("1.01")),
    (D("-1.005"), "DECIMAL(10,2)", D("-1.01")),
    (D("1E+3"), "DECIMAL(10,2)", D("1000.00")),
    (D("1E-1000000"), "DECIMAL(10,2)", D("0.00")),
    ("1e3", "DECIMAL(10,2)", D("1000.00")),
    (".5", "DECIMAL(10,2)", D("0.50")),
    (D("99999999.994"), "DECIMAL(10,2)", D("99999999.99")),
    (10**38 - 1, "DECIMAL(38,0)", D(10**38 - 1)),
    (5, "DOUBLE", 5.0),
    (2**60 + 1, "DOUBLE", float(2**60)),
    (D("0.1"), "DOUBLE", 0.1),
    ("1e-5", "DOUBLE", 1e-5),
    ("Infinity", "DOUBLE", INF),
    ("-inf", "DOUBLE", -INF),
    (INF, "REAL", INF),
    (0.1, "REAL", 0.10000000149011612),
    ("0", "DOUBLE", 0.0),
    (5, "TEXT", "5"),
    (True, "TEXT", "true"),
    (D("1.50"), "TEXT", "1.50"),
    (D("1E+3"), "TEXT", "1000"),
    (100000.0, "TEXT", "100000"),
    (1e20, "TEXT", "1e+20"),
    (dt.date(2024, 1, 2), "TEXT", "2024-01-02"),
    (dt.datetime(2024, 1, 2, 3), "TEXT", "2024-01-02 03:00:00"),
    (dt.datetime(2024, 1, 2, 3, tzinfo=PLUS2), "TEXT", "2024-01-02 01:00:00+00"),
    (uuid.UUID(int=1), "TEXT", "00000000-0000-0000-0000-000000000001"),
    ("abc", "VARCHAR(3)", "abc"),
    ("abc  ", "VARCHAR(3)", "abc"),
    ("ééé", "VARCHAR(3)", "ééé"),
    (bytearray(b"x"), "BLOB", b"x"),
    (memoryview(b"x"), "BLOB", b"x"),
    ("\\x00fF", "BLOB", b"\x00\xff"),
    ("a\\\\b\\001", "BLOB", b"a\\b\x01"),
    ("é", "BLOB", "é".encode()),
    ("2024-02-29", "DATE", dt.date(2024, 2, 29)),
    (dt.datetime(2024, 1, 1, 23), "DATE", dt.date(2024, 1, 1)),
    ("2024-02-29 23:00", "DATE", dt.date(2024, 2, 29)),
    ("12:34", "TIME", dt.time(12, 34)),
    ("12:34:56.7891234", "TIME", dt.time(12, 34, 56, 789123)),
    (dt.datetime(2024, 1, 1, 23), "TIME", dt.time(23)),
    (dt.date(2024, 1, 1), "TIMESTAMP", dt.datetime(2024, 1, 1)),
    ("2024-01-01", "TIMESTAMP", dt.datetime(2024, 1, 1)),
    ("2024-01-01T01:02:03.5", "TIMESTAMP", dt.datetime(2024, 1, 1, 1, 2, 3, 500000)),
    ("2024-12-31 23:59:59.9999999", "TIMESTAMP", dt.datetime(2025, 1, 1)),
    (dt.datetime(2024, 1, 1, 1, tzinfo=PLUS2), "TIMESTAMP", dt.datetime(2023, 12, 31, 23)),
    (dt.datetime(2024, 1, 1), "TIMESTAMPTZ", dt.datetime(2024, 1, 1, tzinfo=UTC)),
    ("2024-01-01 01:00+02", "TIMESTAMPTZ", dt.datetime(2023, 12, 31, 23, tzinfo=UTC)),
    ("2024-01-01 01:00-0230", "TIMESTAMPTZ", dt.datetime(2024, 1, 1, 3, 30, tzinfo=UTC)),
    ("2024-01-01 01:00Z", "TIMESTAMPTZ", dt.datetime(2024, 1, 1, 1, tzinfo=UTC)),
    ("2024-01-01", "TIMESTAMPTZ", dt.datetime(2024, 1, 1, tzinfo=UTC)),
    (
        "{550E8400-e29b-41d4-a716-446655440000}",
        "UUID",
        uuid.UUID("550e8400e29b41d4a716446655440000"),
    ),
    (uuid.UUID(int=5).bytes, "UUID", uuid.UUID(int=5)),
    ('{"a": 1.50}', "JSON", '{"a": 1.50}'),
    ({"a": [1, None]}, "JSON", '{"a": [1, null]}'),
    (5, "JSON", "5"),
    (dt.timedelta(days=1, seconds=2), "INTERVAL", dt.timedelta(days=1, seconds=2)),
    ("1 year 2 mons", "INTERVAL", Interval(14, 0, 0)),
    ("P1DT2S", "INTERVAL", dt.timedelta(days=1, seconds=2)),
    (pa.MonthDayNano([1, 2, 3000]), "INTERVAL", Interval(1, 2, 3)),
]


@pytest.mark.parametrize(("value", "name", "expected"), FITTING)
def test_values_fit_as_in_postgresql(value, name, expected):
    result = stored(value, name)
    assert result == expected
    assert type(result) is type(expected)
    assert str(result) == str(expected)


MISFITS = [
    (1, "BOOLEAN", "E_TYPE_MISMATCH"),
    ("maybe", "BOOLEAN", "E_INVALID_VALUE"),
    (True, "INTEGER", "E_TYPE_MISMATCH"),
    (True, "DECIMAL(10,2)", "E_TYPE_MISMATCH"),
    (True, "DOUBLE", "E_TYPE_MISMATCH"),
    (b"5", "INTEGER", "E_TYPE_MISMATCH"),
    (dt.date(2024, 1, 1), "INTEGER", "E_TYPE_MISMATCH"),
    (32768, "SMALLINT", "E_OUT_OF_RANGE"),
    (-32769, "SMALLINT", "E_OUT_OF_RANGE"),
    (32767.5, "SMALLINT", "E_OUT_OF_RANGE"),
    (2**31, "INTEGER", "E_OUT_OF_RANGE"),
    (2**63, "BIGINT", "E_OUT_OF_RANGE"),
    (10**400, "BIGINT", "E_OUT_OF_RANGE"),
    (INF, "BIGINT", "E_OUT_OF_RANGE"),
    (math.nan, "BIGINT", "E_OUT_OF_RANGE"),
    (D("1E+1000000"), "BIGINT", "E_OUT_OF_RANGE"),
    (D("NaN"), "BIGINT", "E_OUT_OF_RANGE"),
    ("5.0", "INTEGER", "E_INVALID_VALUE"),
    ("0x1F", "INTEGER", "E_INVALID_VALUE"),
    ("1_000", "INTEGER", "E_INVALID_VALUE"),
    ("٣", "INTEGER", "E_INVALID_VALUE"),
    ("", "INTEGER", "E_INVALID_VALUE"),
    ("9" * 5000, "BIGINT", "E_INVALID_VALUE"),
    (10**8, "DECIMAL(10,2)", "E_OUT_OF_RANGE"),
    (D("99999999.995"), "DECIMAL(10,2)", "E_OUT_OF_RANGE"),
    (D("1E+999999"), "DECIMAL(10,2)", "E_OUT_OF_RANGE"),
    (D("NaN"), "DECIMAL(10,2)", "E_OUT_OF_RANGE"),
    ("nan", "DECIMAL(10,2)", "E_OUT_OF_RANGE"),
    (INF, "DECIMAL(10,2)", "E_OUT_OF_RANGE"),
    ("1,5", "DECIMAL(10,2)", "E_INVALID_VALUE"),
    (10**400, "DOUBLE", "E_OUT_OF_RANGE"),
    (D("1E+400"), "DOUBLE", "E_OUT_OF_RANGE"),
    ("1e400", "DOUBLE", "E_OUT_OF_RANGE"),
    ("1e-400", "DOUBLE", "E_OUT_OF_RANGE"),
    (1e300, "REAL", "E_OUT_OF_RANGE"),
    (1e-300, "REAL", "E_OUT_OF_RANGE"),
    ("1_0", "DOUBLE", "E_INVALID_VALUE"),
    ("a\0b", "TEXT", "E_INVALID_VALUE"),
    ("a\ud800", "TEXT", "E_INVALID_VALUE"),
    ("abcd", "VARCHAR(3)", "E_TOO_LONG"),
    (b"x", "TEXT", "E_TYPE_MISMATCH"),
    ([1], "TEXT", "E_TYPE_MISMATCH"),
    (5, "BLOB", "E_TYPE_MISMATCH"),
    ("\\xzz", "BLOB", "E_INVALID_VALUE"),
    ("\\9", "BLOB", "E_INVALID_VALUE"),
    ("2024-02-30", "DATE", "E_INVALID_VALUE"),
    ("2024-2-3", "DATE", "E_INVALID_VALUE"),
    ("0000-01-01", "DATE", "E_INVALID_VALUE"),
    ("infinity", "DATE", "E_INVALID_VALUE"),
    (5, "DATE", "E_TYPE_MISMATCH"),
    ("24:00:00", "TIME", "E_INVALID_VALUE"),
    (dt.time(1, tzinfo=UTC), "TIME", "E_INVALID_VALUE"),
    ("2024-01-01 01:00Z", "TIMESTAMP", "E_INVALID_VALUE"),
    ("2024-01-01 01:00:60", "TIMESTAMP", "E_INVALID_VALUE"),
    ("9999-12-31 23:59:59.9999999", "TIMESTAMP", "E_OUT_OF_RANGE"),
    (dt.datetime(1, 1, 1, tzinfo=PLUS2), "TIMESTAMPTZ", "E_OUT_OF_RANGE"),
    ("0001-01-01 00:00+02", "TIMESTAMPTZ", "E_OUT_OF_RANGE"),
    ("2024-01-01 01:00+99", "TIMESTAMPTZ", "E_INVALID_VALUE"),
    ("not-a-uuid", "UUID", "E_INVALID_VALUE"),
    (b"short", "UUID", "E_TYPE_MISMATCH"),
    ("{", "JSON", "E_INVALID_VALUE"),
    ("NaN", "JSON", "E_INVALID_VALUE"),
    ("1e999", "JSON", "E_INVALID_VALUE"),
    ("[" * 100_000, "JSON", "E_INVALID_VALUE"),
    ({"a": math.nan}, "JSON", "E_INVALID_VALUE"),
    ({"a": object()}, "JSON", "E_INVALID_VALUE"),
    ("soon", "INTERVAL", "E_INVALID_VALUE"),
    ("1.5 years", "INTERVAL", "E_INVALID_VALUE"),
    ("3000000000 days", "INTERVAL", "E_INVALID_VALUE"),
]


@pytest.mark.parametrize(("value", "name", "code"), MISFITS)
def test_values_that_do_not_fit_are_named_by_their_column(value, name, code):
    kind = ColumnType.parse(name)
    with pytest.raises(EncdbError) as one:
        to_arrow([("x", value)], [("other", ColumnType(Kind.TEXT)), ("age", kind)])
    with pytest.raises(EncdbError) as many:
        to_arrow([(None,), (value,)], [("age", kind)])
    for caught in (one, many):
        assert caught.value.code == code
        assert 'column "age"' in str(caught.value)
        mismatch = code == "E_TYPE_MISMATCH"
        assert isinstance(caught.value, ProgrammingError if mismatch else DataError)
    assert "row 2" in str(many.value)
    with pytest.raises(EncdbError):
        to_array([value], kind)


def test_messages_quote_no_value():
    secret = "hunter2-very-secret"
    for name in (
        "INTEGER",
        "DECIMAL(5,2)",
        "DOUBLE",
        "DATE",
        "UUID",
        "JSON",
        "INTERVAL",
        "BOOLEAN",
    ):
        with pytest.raises(EncdbError) as caught:
            to_arrow([(secret,)], [("c", ColumnType.parse(name))])
        assert secret not in str(caught.value) + repr(caught.value.__cause__)


def test_rows_of_another_width_are_refused():
    columns = [("a", ColumnType(Kind.TEXT)), ("b", ColumnType(Kind.TEXT))]
    with pytest.raises(ProgrammingError) as caught:
        to_arrow([("x", "y"), ("x",)], columns)
    assert caught.value.code == "E_PARAMETERS"


def test_batches_have_the_columns_names_and_types():
    columns = (("a", ColumnType(Kind.BIGINT)), ("b", ColumnType(Kind.TEXT)))
    for rows in ([], [(1, "x")], [(1, "x"), (2, None)]):
        batch = to_arrow(rows, columns)
        assert batch.schema == pa.schema([("a", pa.int64()), ("b", pa.string())])
        assert to_python(batch) == rows
    assert to_arrow([()], []).num_rows == 1
    assert to_arrow([(), ()], []).num_rows == 2


def test_numpy_scalars_fit():
    numpy = pytest.importorskip("numpy")
    assert stored(numpy.int64(5), "INTEGER") == 5
    assert stored(numpy.float32(0.5), "DOUBLE") == 0.5
    assert stored(numpy.datetime64("2024-01-01"), "DATE") == dt.date(2024, 1, 1)


def test_subclasses_are_taken_by_value():
    class Number(int):
        pass

    class Name(str):
        __slots__ = ()

    assert type(stored(Number(5), "BIGINT")) is int
    assert type(stored(Name("x"), "TEXT")) is str


# --- properties -----------------------------------------------------------------------------------


@given(st.floats(allow_nan=False, allow_infinity=False, width=64), st.integers(0, 6))
def test_floats_to_decimal_round_their_shortest_text(value, scale):
    kind = ColumnType(Kind.DECIMAL, 38, scale)
    try:
        result = coerce(value, kind)
    except Misfit:
        assert abs(value) >= 10 ** (38 - scale) - 1
        return
    exact = Fraction(repr(value)) if "e" not in repr(value) else Fraction(D(repr(value)))
    unit = Fraction(1, 10**scale)
    difference = abs(Fraction(result) - exact)
    assert difference <= unit / 2
    if difference == unit / 2:
        assert abs(Fraction(result)) > abs(exact)


@given(st.floats())
def test_float_text_reads_back(value):
    back = float(float_text(value))
    assert back == value or (math.isnan(back) and math.isnan(value))


@given(st.lists(st.one_of(st.none(), st.integers(-(2**70), 2**70), st.floats(), st.text())))
def test_many_values_fit_just_when_each_does(values):
    for name in ("BIGINT", "DOUBLE", "DECIMAL(20,3)", "VARCHAR(5)", "TEXT"):
        kind = ColumnType.parse(name)
        expected = []
        try:
            expected = [coerce(value, kind) for value in values]
        except Misfit:
            with pytest.raises(EncdbError):
                to_array(values, kind)
            continue
        assert str(to_array(values, kind)) == str(pa.array(expected, kind.arrow))


PRINTED = st.one_of(
    st.integers().map(str),
    st.floats().map(str),
    st.decimals(allow_nan=False).map(str),
    st.dates().map(str),
    st.times().map(str),
    st.datetimes().map(str),
    st.datetimes(timezones=st.just(PLUS2)).map(str),
    st.text("0123456789+-.eE: TZ_x", max_size=12),
)


@given(
    st.lists(st.one_of(st.none(), PRINTED), max_size=5),
    st.sampled_from(
        [
            "BIGINT",
            "SMALLINT",
            "DOUBLE",
            "REAL",
            "DECIMAL(12,4)",
            "DATE",
            "TIME",
            "TIMESTAMP",
            "TIMESTAMP WITH TIME ZONE",
            "VARCHAR(8)",
            "TEXT",
            "UUID",
            "BOOLEAN",
            "INTERVAL",
        ]
    ),
)
def test_text_is_parsed_at_once_as_one_by_one(texts, name):
    kind = ColumnType.parse(name)
    array = pa.array(texts, pa.string())
    try:
        expected = pa.array([coerce(text, kind) for text in texts], kind.arrow)
    except Misfit:
        with pytest.raises(Misfit):
            parse_array(array, kind)
        return
    assert str(parse_array(array, kind)) == str(expected)


NUMERALS = st.from_regex(r"-?[0-9]{1,45}(\.[0-9]{1,45})?", fullmatch=True)
DECIMALS = st.integers(1, 38).flatmap(
    lambda precision: st.integers(0, precision).map(
        lambda scale: ColumnType(Kind.DECIMAL, precision, scale)
    )
)


def agree(array, values, kind):
    """Whether a cast of a whole array does what coercion does to each value."""
    try:
        expected = [coerce(value, kind) for value in values]
    except Misfit:
        with pytest.raises(EncdbError):
            cast_batch(pa.table({"a": array}), [("c", kind)])
        return
    done = cast_batch(pa.table({"a": array}), [("c", kind)]).column(0)
    assert str(done) == str(pa.array(expected, kind.arrow))


@given(st.lists(NUMERALS, max_size=4), DECIMALS)
def test_numerals_are_parsed_at_once_as_one_by_one(texts, kind):
    array = pa.array(texts, pa.string())
    agree(array, texts, kind)
    try:
        expected = [coerce(text, kind) for text in texts]
    except Misfit:
        with pytest.raises(Misfit):
            parse_array(array, kind)
        return
    assert str(parse_array(array, kind)) == str(pa.array(expected, kind.arrow))


@given(st.data(), DECIMALS, st.one_of(DECIMALS, st.sampled_from(["BIGINT", "SMALLINT", "DOUBLE"])))
def test_decimals_are_cast_at_once_as_one_by_one(data, before, after):
    limit = 10**before.precision - 1
    unscaled = data.draw(st.lists(st.integers(-limit, limit), max_size=4))
    values = [D(number).scaleb(-before.scale, decimal.Context(prec=60)) for number in unscaled]
    kind = after if isinstance(after, ColumnType) else ColumnType.parse(after)
    agree(pa.array(values, before.arrow), values, kind)


@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=4), DECIMALS)
def test_integers_are_cast_to_decimals_as_one_by_one(values, kind):
    agree(pa.array(values, pa.int64()), values, kind)


@given(
    st.lists(st.floats(), max_size=4),
    st.sampled_from(["BIGINT", "INTEGER", "SMALLINT", "REAL", "DECIMAL(12,3)", "TEXT"]),
)
def test_floats_are_cast_at_once_as_one_by_one(values, name):
    agree(pa.array(values, pa.float64()), values, ColumnType.parse(name))


EXTREME = ["1" * 100_000, "1E-1000000", "1E+1000000", "0." + "1" * 100_000, "1e99999", "0e-99"]


@pytest.mark.parametrize("number", range(len(EXTREME)))
@pytest.mark.parametrize("name", ["DECIMAL(10,2)", "DECIMAL(38,38)", "DECIMAL(38,0)", "DOUBLE"])
def test_extreme_numerals_do_no_harm(number, name):
    text = EXTREME[number]
    kind = ColumnType.parse(name)
    for _ in range(20):
        agree(pa.array([text]), [text], kind)
        value = D(text)
        try:
            expected = coerce(value, kind)
        except Misfit:
            with pytest.raises(EncdbError):
                to_array([value], kind)
        else:
            assert to_python(to_arrow([(value,)], [("c", kind)])) == [(expected,)]


@given(st.integers(-(10**6), 10**6), st.integers(-(10**6), 10**6), st.integers(-(10**12), 10**12))
def test_interval_text_reads_back(months, days, microseconds):
    assert parse_interval(interval_text(months, days, microseconds)) == (months, days, microseconds)


# --- query results ----------------------------------------------------------------------------------

RESULTS = [
    (pa.array([1, None], pa.int64()), "SMALLINT", [1, None]),
    (pa.array([1, None], pa.int32()), "DECIMAL(5,2)", [D("1.00"), None]),
    (pa.array([1], pa.int64()), "DOUBLE", [1.0]),
    (pa.array([2.5, 3.5, None]), "INTEGER", [2, 4, None]),
    (pa.array([D("2.5"), D("-2.5")]), "INTEGER", [3, -3]),
    (pa.array([D("1.005")]), "DECIMAL(10,2)", [D("1.01")]),
    (pa.array([2.675]), "DECIMAL(10,2)", [D("2.68")]),
    # Arrow's own rounding makes these 0.
    (pa.array([D("99.5"), D(0)], pa.decimal128(6, 4)), "INTEGER", [100, 0]),
    (pa.array([D("99.5")], pa.decimal128(6, 4)), "DECIMAL(3,0)", [D("100")]),
    (pa.array([0.1]), "REAL", [0.10000000149011612]),
    (pa.array([1, 2]), "TEXT", ["1", "2"]),
    (pa.array(["5", None]), "INTEGER", [5, None]),
    (pa.array(["2024-01-01"]), "DATE", [dt.date(2024, 1, 1)]),
    (pa.array([dt.date(2024, 1, 1)]), "TIMESTAMP", [dt.datetime(2024, 1, 1)]),
    (pa.array([dt.datetime(2024, 1, 1, 5)]), "DATE", [dt.date(2024, 1, 1)]),
    (
        pa.array([dt.datetime(2024, 1, 1, 5)], pa.timestamp("us", "UTC")),
        "TIMESTAMP",
        [dt.datetime(2024, 1, 1, 5)],
    ),
    (pa.array([None, None]), "UUID", [None, None]),
    (pa.array(["x"]).dictionary_encode(), "TEXT", ["x"]),
    (
        pa.ExtensionArray.from_storage(pa.uuid(), pa.array([bytes(16)], pa.binary(16))),
        "UUID",
        [uuid.UUID(int=0)],
    ),
    (
        pa.ExtensionArray.from_storage(pa.uuid(), pa.array([bytes(16)], pa.binary(16))),
        "TEXT",
        [str(uuid.UUID(int=0))],
    ),
    (pa.ExtensionArray.from_storage(pa.json_(), pa.array(["[1]"])), "JSON", ["[1]"]),
    (pa.ExtensionArray.from_storage(pa.json_(), pa.array(["[1]"])), "TEXT", ["[1]"]),
    (pa.array(["[1]"]), "JSON", ["[1]"]),
    (pa.array([True]), "TEXT", ["true"]),
    (pa.array([pa.MonthDayNano([1, 2, 3000])]), "TEXT", ["1 mon 2 days 00:00:00.000003"]),
]


@pytest.mark.parametrize(("array", "name", "expected"), RESULTS)
def test_results_fit_as_values_do(array, name, expected):
    kind = ColumnType.parse(name)
    for table in (
        pa.table({"a": array}),
        pa.table({"a": pa.chunked_array([array, array.slice(0, 0)])}),
        pa.table({"a": array}).slice(0, 0),
    ):
        batch = cast_batch(table, [("c", kind)])
        assert batch.schema == pa.schema([("c", kind.arrow)])
        assert [row[0] for row in to_python(batch)] == expected[: table.num_rows]


@pytest.mark.parametrize(
    ("array", "name", "code"),
    [
        (pa.array([None, 40000]), "SMALLINT", "E_OUT_OF_RANGE"),
        (pa.array([1.0, INF]), "INTEGER", "E_OUT_OF_RANGE"),
        (pa.array([1.0, 1e300]), "REAL", "E_OUT_OF_RANGE"),
        (pa.array([D("1.5"), D("1000.0")]), "DECIMAL(4,2)", "E_OUT_OF_RANGE"),
        (pa.array(["1", "x"]), "INTEGER", "E_INVALID_VALUE"),
        (pa.array([None, True]), "INTEGER", "E_TYPE_MISMATCH"),
        (pa.array([None, 5]), "BOOLEAN", "E_TYPE_MISMATCH"),
        # Arrow's own casts overflow 128 bits without an error.
        (pa.array(["0", "700000"]), "DECIMAL(38,33)", "E_OUT_OF_RANGE"),
        (pa.array([0, 700000]), "DECIMAL(38,33)", "E_OUT_OF_RANGE"),
        (pa.array(["abc", "abcd"]), "VARCHAR(3)", "E_TOO_LONG"),
        (pa.array(["a", "\0"]), "TEXT", "E_INVALID_VALUE"),
        (pa.array(["1", "{"]), "JSON", "E_INVALID_VALUE"),
    ],
)
def test_results_that_do_not_fit_are_named(array, name, code):
    with pytest.raises(EncdbError) as caught:
        cast_batch(pa.table({"a": array}), [("c", ColumnType.parse(name))])
    assert caught.value.code == code
    assert 'column "c" of row 2' in str(caught.value)


def test_results_of_another_width_are_refused():
    with pytest.raises(ProgrammingError):
        cast_batch(pa.table({"a": [1]}), [])


@given(st.lists(st.one_of(st.none(), st.text(max_size=4)), max_size=6), st.integers(0, 6))
def test_nul_is_found_in_slices(texts, start):
    clean = [None if text is None else text.replace("\0", "") for text in texts]
    array = pa.array([*clean[:start], *clean], pa.string()).slice(min(start, len(clean)))
    kind = ColumnType(Kind.TEXT)
    assert cast_batch(pa.table({"a": array}), [("c", kind)]).num_rows == len(array)


# --- on their way out ---------------------------------------------------------------------------------


@given(st.lists(st.one_of(st.none(), st.dates()), min_size=17))
def test_many_dates_come_out_as_few(values):
    table = pa.table({"a": pa.array(values, pa.date32())})
    assert [row[0] for row in to_python(table)] == values


@given(st.lists(st.one_of(st.none(), st.datetimes()), min_size=17))
def test_many_moments_come_out_as_few(values):
    table = pa.table({"a": pa.array(values, pa.timestamp("us"))})
    assert [row[0] for row in to_python(table)] == values
    aware = [value and value.replace(tzinfo=UTC) for value in values]
    table = pa.table({"a": pa.array(values, pa.timestamp("us", "UTC"))})
    assert [row[0] for row in to_python(table)] == aware


@given(st.lists(st.one_of(st.none(), st.times()), min_size=17))
def test_many_times_and_decimals_and_uuids_come_out(values):
    table = pa.table(
        {
            "t": pa.array(values, pa.time64("us")),
            "d": pa.array([v and D(v.microsecond) / 100 for v in values], pa.decimal128(10, 2)),
            "u": pa.array(
                [v and uuid.UUID(int=v.microsecond).bytes for v in values], pa.binary(16)
            ),
        }
    )
    assert to_python(table) == [
        (None, None, None)
        if v is None
        else (v, D(v.microsecond) / 100, uuid.UUID(int=v.microsecond))
        for v in values
    ]


@pytest.mark.parametrize("count", [1, 50])
def test_moments_that_python_lacks_are_told(count):
    for kind, number in (
        (pa.date32(), 10**7),
        (pa.timestamp("us"), 2**62),
        (pa.timestamp("us", "UTC"), -(2**62)),
    ):
        integers = pa.int32() if pa.types.is_date32(kind) else pa.int64()
        array = pa.array([number] * count, integers).view(kind)
        with pytest.raises(DataError) as caught:
            to_python(pa.table({"a": array}))
        assert caught.value.code == "E_OUT_OF_RANGE"


def test_tables_of_many_chunks_and_no_columns():
    table = pa.concat_tables([pa.table({"a": [1]}), pa.table({"a": [2, 3]})])
    assert to_python(table) == [(1,), (2,), (3,)]
    assert to_python(table.select([])) == [(), (), ()]


def test_json_values():
    values = {
        "decimal": D("1.50"),
        "wide": 2**70,
        "nan": math.nan,
        "inf": INF,
        "float": 0.5,
        "bytes": b"\0\xff",
        "date": dt.date(2024, 1, 2),
        "moment": dt.datetime(2024, 1, 2, 3, tzinfo=UTC),
        "time": dt.time(1, 2),
        "uuid": uuid.UUID(int=1),
        "interval": dt.timedelta(days=1, seconds=1),
        "months": Interval(1, 0, 0),
        "list": [D(1), None, (True,)],
        "struct": {"x": b"a"},
        "none": None,
    }
    done = json.loads(json.dumps(json_value(values), allow_nan=False))
    assert done == {
        "decimal": "1.50",
        "wide": 2**70,
        "nan": "NaN",
        "inf": "Infinity",
        "float": 0.5,
        "bytes": base64.b64encode(b"\0\xff").decode(),
        "date": "2024-01-02",
        "moment": "2024-01-02T03:00:00+00:00",
        "time": "01:02:00",
        "uuid": str(uuid.UUID(int=1)),
        "interval": "1 day 00:00:01",
        "months": "1 mon",
        "list": ["1", None, [True]],
        "struct": {"x": "YQ=="},
        "none": None,
    }


def test_every_column_type_has_its_name_in_a_result():
    for kind in Kind:
        one = ColumnType(kind, 10, 2) if kind is Kind.DECIMAL else ColumnType(kind)
        table = pa.Table.from_batches([to_arrow([(None,)], [("c", one)])])
        expected = "TEXT" if kind is Kind.JSON else one.sql
        assert result_columns(table) == (("c", expected),)


def test_intervals_without_months_are_timedeltas():
    assert interval_parts(dt.timedelta(days=-1, seconds=5)) == (0, -1, 5_000_000)
    assert str(Interval(-14, 1, -1)) == "-1 years -2 mons 1 day -00:00:00.000001"
