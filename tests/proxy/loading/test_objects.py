"""JSON and NDJSON."""

import io
import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from encdb.errors import EncdbError, ProgrammingError
from indexes.types import ColumnType
from proxy.loading import objects, read_table
from proxy.values import to_python


def load(data, file_format="json", **overrides):
    if not isinstance(data, (bytes, str)):
        data = json.dumps(data)
    if isinstance(data, str):
        data = data.encode()
    kinds = {name: ColumnType.parse(kind) for name, kind in overrides.items()}
    return read_table(
        "-", name="t", file_format=file_format, overrides=kinds, stream=io.BytesIO(data)
    )


def rows_of(table, *size):
    return [row for _, batch in table.batches(*size) for row in to_python(batch)]


def types_of(table):
    return {name: kind.sql for name, kind, _ in table.columns}


def test_types():
    table = load(
        [
            {"i": 1, "f": 1.5, "b": True, "s": "x", "d": "2024-01-01", "o": {"a": 1}, "n": None},
            {"i": -5, "f": 2, "b": False, "s": "5", "d": "2024-12-31", "o": [1, 2], "late": "2"},
            {},
        ]
    )
    assert types_of(table) == {
        "i": "BIGINT",
        "f": "DOUBLE",
        "b": "BOOLEAN",
        "s": "TEXT",
        "d": "DATE",
        "o": "JSON",
        "n": "TEXT",
        "late": "TEXT",
    }
    found = rows_of(table)
    assert found[0][:4] == (1, 1.5, True, "x")
    assert found[1][5:] == ("[1, 2]", None, "2")
    assert found[2] == (None,) * 8


def test_wide_and_mixed_values():
    assert types_of(load([{"a": 2**63}])) == {"a": "DECIMAL(38,0)"}
    assert rows_of(load([{"a": 2**63}])) == [(Decimal(2**63),)]
    assert types_of(load([{"a": 10**38}])) == {"a": "JSON"}
    assert types_of(load([{"a": 1.5}, {"a": 2**53 + 1}])) == {"a": "JSON"}
    mixed = load([{"a": 1}, {"a": "x"}, {"a": True}, {"a": None}])
    assert types_of(mixed) == {"a": "JSON"}
    assert rows_of(mixed) == [("1",), ('"x"',), ("true",), (None,)]


def test_one_object_a_line_with_lines():
    data = '\n{"a": 1}\n\n{"a": 2}\r\n{"a": 3}'
    table = load(data, "ndjson")
    assert rows_of(table) == [(1,), (2,), (3,)]
    assert [line for line, _ in table.batches(1)] == [2, 4, 5]
    assert rows_of(load(data, "json")) == [(1,), (2,), (3,)]


def test_lines_of_an_array():
    table = load('[\n {"a": 1},\n {"a":\n  2}, {"a": 3}\n]\n')
    assert [line for line, _ in table.batches(1)] == [2, 3, 4]


def test_decimals_keep_their_digits():
    table = load('[{"a": 1.10}, {"a": 12345678901234567.89}]', a="DECIMAL(20,2)")
    assert rows_of(table) == [(Decimal("1.10"),), (Decimal("12345678901234567.89"),)]


def test_overrides():
    assert rows_of(load([{"a": 1}, {"a": "x"}, {"a": {"b": 1}}], a="TEXT")) == [
        ("1",),
        ("x",),
        ('{"b": 1}',),
    ]
    with pytest.raises(ProgrammingError):
        load([{"a": 1}], b="TEXT")


REFUSED = [
    ("json", b"", 1, "no objects"),
    ("json", b"[]", 1, "no objects"),
    ("json", b"[{}]", 1, "no objects"),
    ("json", b'[\n{"a": 1},\n5]', 3, "must be an object"),
    ("json", b'[{"a": 1}\n{"a": 2}]', 2, "comma"),
    ("json", b'[{"a": 1},\n{"a": ]', 2, "no JSON"),
    ("json", b'[{"a": 1}', 1, "not closed"),
    ("json", b'[{"a": 1}]\nx', 2, "follows"),
    ("json", b'[{"a": 1},\n{"a": 1, "a": 2}]', 2, "twice"),
    ("json", b'[{"a": 1},\n{"a": NaN}]', 2, "NaN"),
    ("json", b'[{"a": 1},\n{"a": 1e999}]', 2, "out of range"),
    ("json", b'[{"a": 1},\n{"a": ' + b"9" * 5000 + b"}]", 2, "too many digits"),
    ("json", b'[{"a": 1},\n{"a": ' + b"[" * 200_000, 2, "deep"),
    ("json", b'[{"a": 1},\n{"a": "\xff"}]', 2, "UTF-8"),
    ("json", b'[{"": 1}]', 1, "no name"),
    ("json", b'[{"a": 1, "A": 2}]', 1, "same name"),
    ("ndjson", b'{"a": 1}\n{"a": 2} {"a": 3}\n', 2, "more than one"),
    ("ndjson", b'{"a": 1}\n[]\n', 2, "must be an object"),
    ("ndjson", b'{"a": 1}\n{"a": \n', 2, "no JSON"),
    ("ndjson", b'{"a": 1}\n{"a": "\xff"}\n', 2, "UTF-8"),
    ("ndjson", b'{"a": 1}\n{"a": 1, "a": 2}\n', 2, "twice"),
]


@pytest.mark.parametrize(("file_format", "data", "line", "reason"), REFUSED)
def test_malformed_files_are_refused_with_their_line(file_format, data, line, reason):
    with pytest.raises(EncdbError) as caught:
        rows_of(load(data, file_format))
    assert caught.value.code == "E_CSV_MALFORMED"
    assert f"line {line}:" in str(caught.value)
    assert reason in str(caught.value)


@pytest.mark.parametrize("text", ["\\u0000", "\\ud800"])
def test_text_that_cannot_be_stored_is_named(text):
    with pytest.raises(EncdbError) as caught:
        rows_of(load(f'{{"a": "x"}}\n{{"a": "secret{text}"}}', "ndjson"))
    assert caught.value.code == "E_IMPORT_VALUE"
    assert 'line 2, column "a"' in str(caught.value)
    assert "secret" not in str(caught.value)


def test_limits(monkeypatch):
    monkeypatch.setattr(objects, "MAX_RECORD", 100)
    with pytest.raises(EncdbError) as caught:
        load('{"a": 1}\n{"a": "' + "x" * 200 + '"}\n', "ndjson")
    assert caught.value.code == "E_IMPORT_LIMIT"
    monkeypatch.setattr(objects, "MAX_TEXT", 100)
    with pytest.raises(EncdbError) as caught:
        load([{"a": "x" * 200}])
    assert caught.value.code == "E_IMPORT_LIMIT"


JSON = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**70), 2**70),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=5),
        st.dates().map(str),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=2), st.dictionaries(st.sampled_from("xyz"), inner, max_size=2)
    ),
    max_leaves=4,
)


@given(st.lists(st.fixed_dictionaries({"a": JSON}), min_size=1, max_size=4))
def test_whatever_is_detected_keeps_every_value(records):
    for file_format, data in (
        ("json", json.dumps(records)),
        ("ndjson", "\n".join(map(json.dumps, records))),
    ):
        table = load(data, file_format)
        kind = table.columns[0][1].sql
        for record, (value,) in zip(records, rows_of(table), strict=True):
            expected = record["a"]
            if expected is None:
                assert value is None
            elif kind == "JSON":
                assert json.loads(value) == expected
            elif kind == "DATE":
                assert str(value) == expected
            else:
                assert value == expected
                assert isinstance(expected, bool) == (kind == "BOOLEAN")
