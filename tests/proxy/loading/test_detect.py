"""Type detection loses nothing."""

import datetime as dt
import io
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexes.types import Kind
from proxy.loading import read_table
from proxy.loading.detect import ColumnDetector
from proxy.values import to_python


def detected(*values):
    detector = ColumnDetector()
    detector.feed(pa.array(values, pa.string()))
    return detector.result().kind


CASES = [
    ((), Kind.TEXT),
    ((None, ""), Kind.TEXT),
    (("1", "-5", "0", None, ""), Kind.BIGINT),
    (("9223372036854775807", "-9223372036854775808"), Kind.BIGINT),
    (("9223372036854775808",), Kind.TEXT),
    (("007",), Kind.TEXT),
    (("+5",), Kind.TEXT),
    (("-0",), Kind.TEXT),
    ((" 5",), Kind.TEXT),
    (("5 ",), Kind.TEXT),
    (("1_000",), Kind.TEXT),
    (("0x1F",), Kind.TEXT),
    (("٣",), Kind.TEXT),
    (("1,000",), Kind.TEXT),
    (("06920", "10001"), Kind.TEXT),
    (("1.5", "2", "-0.25"), Kind.DOUBLE),
    (("1.50", "0.0"), Kind.DOUBLE),
    (("1e-05", "1.5e300", "2"), Kind.DOUBLE),
    (("1e5",), Kind.TEXT),
    (("12E4",), Kind.TEXT),
    (("1.5", "9007199254740993"), Kind.TEXT),
    (("1.5", "9007199254740992"), Kind.DOUBLE),
    (("0.30000000000000004",), Kind.DOUBLE),
    (("3.14159265358979323846",), Kind.TEXT),
    (("1.5e400",), Kind.TEXT),
    (("1.5e-400",), Kind.TEXT),
    ((".5",), Kind.TEXT),
    (("5.",), Kind.TEXT),
    (("1.5", "NaN"), Kind.TEXT),
    (("1.5", "inf"), Kind.TEXT),
    (("01.5",), Kind.TEXT),
    (("+1.5",), Kind.TEXT),
    (("1.2.3",), Kind.TEXT),
    (("2024-02-29", "0001-01-01", "9999-12-31"), Kind.DATE),
    (("2023-02-29",), Kind.TEXT),
    (("0000-01-01",), Kind.TEXT),
    (("2024-1-1",), Kind.TEXT),
    (("20240101",), Kind.BIGINT),
    (("2024-01-01 10:00:00", "2024-01-01T10:00:00.123456", "2024-01-01 10:00"), Kind.TIMESTAMP),
    (("2024-01-01 10:00:00.1234567",), Kind.TEXT),
    (("2024-01-01 24:00:00",), Kind.TEXT),
    (("2024-01-01 10:00:60",), Kind.TEXT),
    (("2024-01-01 10",), Kind.TEXT),
    (("2024-01-01", "2024-01-01 10:00"), Kind.TEXT),
    (("2024-01-01 10:00Z", "2024-01-01T10:00:00+02:00"), Kind.TIMESTAMPTZ),
    (("2024-01-01 10:00Z", "2024-01-01 10:00"), Kind.TEXT),
    (("0001-01-01 00:00+02:00",), Kind.TEXT),
    (("true", "false"), Kind.TEXT),
    (("1", "x"), Kind.TEXT),
    (("1", "2024-01-01"), Kind.TEXT),
]


@pytest.mark.parametrize(("values", "kind"), CASES)
def test_types_of_columns(values, kind):
    assert detected(*values) is kind
    # The odd value may come late, and alone in its array.
    if len(values) > 1:
        detector = ColumnDetector()
        for value in values:
            detector.feed(pa.array([value], pa.string()))
        assert detector.result().kind is kind
        many = [value for value in values for _ in range(100)]
        assert detected(*many) is kind


NUMBER = st.one_of(
    st.integers().map(str),
    st.integers(-(2**63), 2**63 - 1).map(str),
    st.floats().map(repr),
    st.decimals().map(str),
    st.text("0123456789.-+eE _", max_size=8),
    st.just(""),
)
CELL = st.one_of(
    NUMBER,
    st.dates().map(str),
    st.datetimes().map(str),
    st.datetimes(timezones=st.just(dt.UTC)).map(str),
    st.text(max_size=5).filter(lambda text: "\0" not in text),
)


def written(cells):
    lines = ['"' + cell.replace('"', '""') + '"' if cell else '""' for cell in cells]
    return ("c,end\n" + "".join(f"{line},1\n" for line in lines)).encode()


@given(st.one_of(st.lists(NUMBER, max_size=4), st.lists(CELL, max_size=4)))
def test_whatever_is_detected_keeps_every_value(cells):
    table = read_table("-", name="t", file_format="csv", stream=io.BytesIO(written(cells)))
    kind = table.columns[0][1].kind
    found = [row[0] for _, batch in table.batches() for row in to_python(batch)]
    filled = [cell for cell in cells if cell]
    if kind is Kind.TEXT:
        assert found == cells
        return
    assert [value is None for value in found] == [not cell for cell in cells]
    values = [value for value in found if value is not None]
    if kind is Kind.BIGINT:
        assert [str(value) for value in values] == filled
    elif kind is Kind.DOUBLE:
        assert [Decimal(repr(value)) for value in values] == [Decimal(cell) for cell in filled]
    elif kind is Kind.DATE:
        assert [value.isoformat() for value in values] == filled
    else:
        assert values == [dt.datetime.fromisoformat(cell) for cell in filled]


@given(st.lists(st.one_of(st.just(""), st.integers(-(2**63), 2**63 - 1).map(str)), min_size=1))
def test_integers_are_found_just_when_all_read_back(cells):
    expected = Kind.BIGINT if any(cells) else Kind.TEXT
    assert detected(*cells) is expected
    assert detected(*cells, "0" + (cells[0] or "1")) is Kind.TEXT
