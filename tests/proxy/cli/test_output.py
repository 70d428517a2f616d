import csv
import io
import json
import uuid
from datetime import date, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.cli.output import Format, Output, csv_field, unique_names
from proxy.cli.render import write_table

VALUES = (
    None,
    True,
    7,
    Decimal("1.50"),
    'a,"b"\n',
    b"\x00\xff",
    date(2026, 1, 2),
    datetime(2026, 1, 2, 3, 4, 5),
    uuid.UUID(int=1),
)
NAMES = [f"c{number}" for number in range(len(VALUES))]


def written(form, *results):
    stream = io.StringIO()
    with Output(form, stream) as output:
        for columns, rows in results:
            output.result(columns, rows)
    return stream.getvalue()


def test_json_keeps_every_digit():
    (row,) = json.loads(written(Format.JSON, (NAMES, [VALUES])))
    assert row["c0"] is None
    assert row["c1"] is True
    assert row["c2"] == 7
    assert row["c3"] == "1.50"
    assert row["c4"] == 'a,"b"\n'
    assert row["c5"] == "AP8="
    assert row["c6"] == "2026-01-02"
    assert row["c8"] == "00000000-0000-0000-0000-000000000001"


@pytest.mark.parametrize("form", [Format.JSON, Format.NL])
def test_numbers_json_does_not_know_stay_valid_json(form):
    text = written(form, (["x"], [(float("nan"),), (float("inf"),), (-float("inf"),)]))
    assert "NaN" not in text.replace('"NaN"', "")
    for line in text.strip("[]\n").split("\n"):
        json.loads(line.strip().rstrip(","), parse_constant=pytest.fail)


def test_json_is_closed_when_a_statement_fails():
    stream = io.StringIO()
    output = Output(Format.JSON, stream)
    with pytest.raises(ZeroDivisionError), output:
        output.result(["a"], [(1,), (1 // 0,)])
    assert json.loads(stream.getvalue()) == []


def test_one_array_over_all_results():
    text = written(Format.JSON, (["a"], [(1,), (2,)]), (["b"], []), (["c"], [(3,)]))
    assert json.loads(text) == [{"a": 1}, {"a": 2}, {"c": 3}]


def test_names_in_objects_are_distinct():
    assert unique_names(["a", "a", "a_2", "a"]) == ["a", "a_2", "a_2_2", "a_3"]


def test_csv_tells_null_from_the_empty_text():
    assert written(Format.CSV, (["a", "b"], [(None, ""), (" x", "y")])) == 'a,b\n,""\n" x",y\n'


def test_csv_values():
    line = written(Format.CSV, (NAMES, [VALUES])).partition("\n")[2]
    assert line == (
        ',true,7,1.50,"a,""b""\n",AP8=,2026-01-02,2026-01-02 03:04:05,'
        "00000000-0000-0000-0000-000000000001\n"
    )


@given(
    st.lists(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r")), min_size=1
    )
)
def test_csv_reads_back(fields):
    line = ",".join(csv_field(field) for field in fields) + "\n"
    assert next(csv.reader(io.StringIO(line, newline=""))) == fields


class Terminal(io.StringIO):
    def isatty(self):
        return True


def table(stream, columns, rows):
    write_table(stream, columns, rows)
    return stream.getvalue()


def test_table_aligns_wide_characters():
    assert table(io.StringIO(), ["k", "value"], [("日本", 1.5), ("a", 20.25)]) == (
        "k     value\n────  ─────\n日本    1.5\na     20.25\n(2 rows)\n"
    )


def test_an_empty_table_has_a_header():
    assert table(io.StringIO(), ["k"], []) == "k\n─\n(0 rows)\n"


def test_table_shows_no_terminal_controls():
    assert "\x1b" not in table(io.StringIO(), ["a\x1b[2J"], [("\x1b]0;title\x07",)])


def test_table_keeps_lines_of_a_value():
    assert table(io.StringIO(), ["n", "t"], [(1, "x\ny")]).splitlines()[2:4] == ["1  x", "   y"]


def test_colour_only_on_a_terminal_that_wants_it(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[1m" in table(Terminal(), ["a"], [(1,)])
    assert "\x1b" not in table(io.StringIO(), ["a"], [(1,)])
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in table(Terminal(), ["a"], [(1,)])


def test_a_narrow_terminal_folds_cells(monkeypatch):
    monkeypatch.setenv("COLUMNS", "30")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    text = table(Terminal(), ["a", "b"], [("x" * 50, 1), ("y", 2)])
    assert max(map(len, text.splitlines())) <= 30
    assert text.count("x") == 50
    assert text.endswith("(2 rows)\n")


def test_a_long_table_is_complete():
    text = table(io.StringIO(), ["n"], ((number,) for number in range(2500)))
    assert text.splitlines()[2:5] == ["   0"[1:], "   1"[1:], "   2"[1:]]
    assert text.endswith("2499\n(2,500 rows)\n")
