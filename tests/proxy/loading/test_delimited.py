"""CSV and TSV: the two readers agree, hostile files are refused with their line, lines are right."""

import csv
import gzip
import io
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from encdb.errors import DataError, EncdbError, OperationalError, ProgrammingError
from indexes.types import ColumnType
from proxy.loading import BATCH_ROWS, delimited, read_table, source
from proxy.loading.delimited import _Delimited
from proxy.loading.scanner import is_blank, scan
from proxy.values import to_python


def load(data, file_format="csv", **overrides):
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


def refused(data, file_format="csv", **overrides):
    with pytest.raises(EncdbError) as caught:
        rows_of(load(data, file_format, **overrides))
    return caught.value


def test_a_plain_file():
    table = load("id,name,zip\n1,Ada,06920\n2,,\n3,Zoë,10001\n")
    assert types_of(table) == {"id": "BIGINT", "name": "TEXT", "zip": "TEXT"}
    assert rows_of(table) == [(1, "Ada", "06920"), (2, None, None), (3, "Zoë", "10001")]
    assert table.rows == 3
    # The rows can be read as often as wanted.
    assert len(rows_of(table)) == 3


def test_quotes_newlines_and_empty_fields():
    table = load('a,b\r\n"x ""y"",\r\nz",1\r\n"",2\r\n,"3"\r\n')
    assert rows_of(table) == [('x "y",\r\nz', 1), ("", 2), (None, 3)]
    assert [line for line, _ in table.batches(1)] == [2, 4, 5]


def test_a_quoted_empty_field_is_null_unless_text():
    table = load('a,b,c\n"",x,2024-01-01\n5,"",""\n')
    assert types_of(table) == {"a": "BIGINT", "b": "TEXT", "c": "DATE"}
    assert [row[:2] for row in rows_of(table)] == [(None, "x"), (5, "")]


def test_tabs_and_byte_order_mark():
    table = load(b"\xef\xbb\xbfa\tb,c\n1\tx,y\n", "tsv")
    assert [name for name, *_ in table.columns] == ["a", "b,c"]
    assert rows_of(table) == [(1, "x,y")]


def test_a_file_without_a_last_newline_or_without_rows():
    assert rows_of(load("a,b\n1,2")) == [(1, 2)]
    assert rows_of(load('a,b\nx,\n"",')) == [("x", None), ("", None)]
    table = load("a,b")
    assert types_of(table) == {"a": "TEXT", "b": "TEXT"}
    assert rows_of(table) == []
    assert table.rows == 0


def test_empty_lines():
    assert rows_of(load("\n\na,b\n\n1,2\r\n\r\n3,4\n\n")) == [(1, 2), (3, 4)]
    # In a file of one column an empty line is a row.
    assert rows_of(load("a\n1\n\n2\n")) == [(1,), (None,), (2,)]
    assert rows_of(load('a\nx\n\n""\n')) == [("x",), (None,), ("",)]


def test_quotes_inside_unquoted_fields_are_ordinary():
    assert rows_of(load('a,b\n5" disk,1\nx"y"z,2\n')) == [('5" disk', 1), ('x"y"z', 2)]


def test_carriage_returns_stand_before_newlines():
    assert rows_of(load("a,b\r\n1,2\r\n3,4\r")) == [(1, 2), (3, 4)]


def test_batches_have_the_size_asked_for(monkeypatch):
    monkeypatch.setattr(delimited, "CHUNK", 64)
    data = "n,s\n" + "".join(f"{n},v{n}\n" for n in range(100))
    table = load(data)
    for size in (1, 7, 100, 1000):
        batches = list(table.batches(size))
        assert [batch.num_rows for _, batch in batches[:-1]] == [size] * (len(batches) - 1)
        assert [line for line, _ in batches] == [2 + size * k for k in range(len(batches))]
        assert rows_of(table, size) == [(n, f"v{n}") for n in range(100)]


MALFORMED = [
    (b"a,b\n1,2\n3\n", 3, "1 fields where the header has 2"),
    (b"a,b\n1,2\n3,4,5\n", 3, "3 fields"),
    (b'a,b\n"x\ny",2\n3\n', 4, "1 fields"),
    (b'a,b\n1,"x\n2,3\n', 2, "not closed"),
    (b'a,b\n1,2\n"x"y,2\n', 3, "text follows"),
    (b'a,b\n1,2\n"x" ,2\n', 3, "text follows"),
    (b"a,b\n1,2\n\0,2\n", 3, "NUL"),
    (b'a,b\n1,2\n"\0",2\n', 3, "NUL"),
    (b"a\n1\nx\ry\n", 3, "carriage return"),
    (b"a,b\r1,2\r", 1, "carriage return"),
    (b"a,b\n1,2\n\xff,2\n", 3, "UTF-8"),
    (b"a,b\n1,2\n3,\xe2\x82", 3, "UTF-8"),
    (b"a,b\n1,2\n\xed\xa0\x80,2\n", 3, "UTF-8"),
    (b"", 1, "header"),
    (b"\n\n", 1, "header"),
    (b"\xef\xbb\xbf", 1, "header"),
    (b"a,,c\n", 1, "column 2 has no name"),
    (b"a, \n", 1, "column 2 has no name"),
    (b"a,b,A\n", 1, "columns 1 and 3 have the same name"),
    (b"\n" + b"a," + b"x" * 200 + b"\n", 2, "longer than 128"),
    (b"a,\x01\n", 1, "not printable"),
    (b"\xff\xfea\0,\0b\0", 1, "UTF-16"),
]


@pytest.mark.parametrize(("data", "line", "reason"), MALFORMED)
def test_malformed_files_are_refused_with_their_line(data, line, reason):
    error = refused(data)
    assert isinstance(error, DataError)
    assert error.code == "E_CSV_MALFORMED"
    assert f"line {line}:" in str(error)
    assert reason in str(error)


def test_a_bad_line_is_found_behind_many_good_ones(monkeypatch):
    monkeypatch.setattr(delimited, "CHUNK", 1024)
    good = b'x,"1\n2"\n' * 1000
    assert "line 2002:" in str(refused(b"a,b\n" + good + b"x\n" + good))
    assert "line 2002:" in str(refused(b"a,b\n" + good + b"x,\xff\n" + good))
    assert "line 2002:" in str(refused(b"a,b\n" + good + b'x,"y\n' + b"z,w\n" * 9))


def test_values_that_do_not_fit_are_named_by_line_and_column():
    secret = "hunter2-very-secret"
    error = refused(f'n,s\n1,"a\nb"\n2,x\n{secret},y\n', n="INTEGER")
    assert error.code == "E_IMPORT_VALUE"
    assert 'line 5, column "n"' in str(error)
    assert secret not in str(error)


def test_overrides():
    table = load("id,Zip,v\n007,06920,1\n8,1,0\n", zip="INTEGER", V="BOOLEAN")
    assert types_of(table) == {"id": "TEXT", "Zip": "INTEGER", "v": "BOOLEAN"}
    assert rows_of(table) == [("007", 6920, True), ("8", 1, False)]
    table = load("d,t\n1.005,12:30\n", d="DECIMAL(10,2)", t="TIME")
    assert [str(value) for value in rows_of(table)[0]] == ["1.01", "12:30:00"]
    with pytest.raises(ProgrammingError) as caught:
        load("id,zip\n1,2\n", zap="TEXT")
    assert caught.value.code == "E_UNKNOWN_COLUMN"
    assert '"zip"' in str(caught.value)


def test_with_every_type_given_the_file_is_read_once():
    table = load("a,b\n1,2\n", a="TEXT", b="INTEGER")
    assert table.rows is None
    assert rows_of(table) == [("1", 2)]


def test_long_records_are_refused(monkeypatch):
    monkeypatch.setattr(delimited, "MAX_RECORD", 1000)
    monkeypatch.setattr(delimited, "CHUNK", 256)
    assert rows_of(load("a,b\n1," + "x" * 900 + "\n2,y\n"))[1] == (2, "y")
    for data in ("a,b\n1,y\n1," + "x" * 3000 + "\n", 'a,b\n1,y\n1,"' + "x\n" * 3000):
        error = refused(data)
        assert error.code == "E_IMPORT_LIMIT"
        assert "line 3" in str(error)
    assert refused("a" * 3000 + ",b\n1,2\n").code in ("E_IMPORT_LIMIT", "E_CSV_MALFORMED")


def test_too_many_columns_are_refused():
    assert refused(",".join(f"c{n}" for n in range(1601)) + "\n").code == "E_IMPORT_LIMIT"


def test_gzip(tmp_path):
    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress(b"a,b\n1,2\n") + gzip.compress(b"3,4\n"))
    assert rows_of(read_table(path, name="t")) == [(1, 2), (3, 4)]
    # Known by its content, not by its name.
    plain = tmp_path / "u.csv"
    plain.write_bytes(gzip.compress(b"a,b\n1,2\n"))
    assert rows_of(read_table(plain, name="u")) == [(1, 2)]


@pytest.mark.parametrize(
    "damage", [lambda b: b[:-9], lambda b: b[:20] + bytes(20) + b[40:], lambda b: b[:-8] + bytes(8)]
)
def test_damaged_gzip_is_told(damage):
    data = gzip.compress(
        b"a,b\n" + zlib.adler32(b"x").to_bytes(4, "big").hex().encode() * 9 + b",1\n"
    )
    error = refused(damage(data))
    assert isinstance(error, OperationalError)
    assert error.code == "E_INPUT_FILE"


def test_decompression_bombs_are_refused(monkeypatch):
    monkeypatch.setattr(source, "FREE_GROWTH", 100_000)
    error = refused(gzip.compress(b"a,b\n" + b"1,2\n" * 1_000_000))
    assert error.code == "E_IMPORT_LIMIT"


def test_standard_input_is_limited(monkeypatch):
    monkeypatch.setattr(source, "MAX_TEXT", 100)
    assert refused(b"a\n" + b"1\n" * 100).code == "E_IMPORT_LIMIT"


def test_files_that_cannot_be_read(tmp_path):
    for path in (tmp_path / "missing.csv", tmp_path):
        with pytest.raises(OperationalError) as caught:
            read_table(path, name="t", file_format="csv")
        assert caught.value.code == "E_INPUT_FILE"


def test_a_file_that_changes_between_the_readings_is_refused(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a\n1\n")
    table = read_table(path, name="t")
    path.write_text("a\nx\ny\n")
    with pytest.raises(OperationalError) as caught:
        rows_of(table)
    assert caught.value.code == "E_INPUT_FILE"


# --- the two readers ----------------------------------------------------------------------------------

SOUP = st.lists(
    st.sampled_from([",", ",", '"', '"', "\n", "\n", "\r", "\r\n", "a", "é", " ", "\0", "0", "€"]),
    max_size=60,
).map("".join)


def outcome(data, columns, *, careful):
    """Records with their lines, or the error."""
    reader = _Delimited(source.Source("-", io.BytesIO(data)), ",")
    if careful:
        reader._fast = lambda *_, **__: delimited._NOTHING
    found = []
    try:
        for block in reader.blocks(columns):
            lists = [column.to_pylist() for column in block.columns]
            found += zip(block.lines.tolist(), *lists, strict=True)
    except EncdbError as error:
        return str(error)
    return found


@given(SOUP, st.integers(1, 3), st.integers(1, 40))
def test_the_fast_reader_agrees_with_the_careful_one(body, columns, chunk):
    header = ",".join("abc"[:columns])
    data = f"{header}\n{body}".encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(delimited, "CHUNK", chunk)
        small = outcome(data, columns, careful=False)
        careful = outcome(data, columns, careful=True)
    whole = outcome(data, columns, careful=False)
    assert outcome(data, columns, careful=True) == whole
    assert small == careful == whole


@given(
    st.integers(1, 4).flatmap(
        lambda width: st.lists(
            st.lists(st.text('ab,"\n\r é', max_size=6), min_size=width, max_size=width), max_size=8
        )
    ),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
    st.integers(1, 64),
)
def test_what_python_writes_is_read(rows, end, quote, chunk):
    if not rows or (end == "\n" and not quote and "\r" in str(rows).replace("\\r", "\r")):
        # Python leaves a carriage return unquoted here, which its own reader takes for a newline.
        return
    width = len(rows[0])
    out = io.StringIO()
    style = csv.QUOTE_ALL if quote else csv.QUOTE_MINIMAL
    writer = csv.writer(out, lineterminator=end, quoting=style)
    writer.writerow([f"c{n}" for n in range(width)])
    writer.writerows(rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(delimited, "CHUNK", chunk)
        kinds = {f"c{n}": "TEXT" for n in range(width)}
        found = rows_of(load(out.getvalue(), **kinds))
    assert [[field or "" for field in row] for row in found] == rows


@given(SOUP)
def test_what_the_scanner_reads_python_reads_alike(text):
    try:
        records = list(scan(text, 1, ",", name="x", final=True))
    except DataError:
        return
    mine = [
        [field or "" for field in fields] for _, fields, _, _ in records if not is_blank(fields)
    ]
    peer = [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row]
    assert mine == peer


def test_a_batch_fills_whole_blocks_of_ordinals():
    assert BATCH_ROWS % 4096 == 0
