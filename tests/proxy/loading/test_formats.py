"""Formats are found by name and content."""

import gzip
import io
import sqlite3

import pytest

from encdb.errors import UsageError
from proxy.loading import Source, detect_format, read_table


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.csv", b"x", "csv"),
        ("a.TSV", b"x", "tsv"),
        ("a.tab", b"x", "tsv"),
        ("a.json", b"{}", "json"),
        ("a.jsonl", b"{}", "ndjson"),
        ("a.ndjson", b"{}", "ndjson"),
        ("a.csv.gz", gzip.compress(b"x", mtime=0), "csv"),
        ("a.dat", b"a,b\n1,2\n", "csv"),
        ("a.dat", b"a\tb\n1\t2\n", "tsv"),
        ("a.dat", b"\xef\xbb\xbf [1]", "json"),
        ("a.dat", b'\n{"a": 1}', "ndjson"),
        ("a.dat", gzip.compress(b"[1]", mtime=0), "json"),
        ("a.csv", b"SQLite format 3\0", "sqlite"),
        ("a", b"", "csv"),
    ],
)
def test_formats(tmp_path, name, content, expected):
    path = tmp_path / name
    path.write_bytes(content)
    assert detect_format(Source(path)) == expected


def test_content_that_is_no_text(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"\0\1\2")
    with pytest.raises(UsageError) as caught:
        read_table(path, name="t")
    assert caught.value.code == "E_IMPORT_FORMAT"
    assert caught.value.exit_status == 2


def test_unknown_formats_and_sqlite_files_are_refused(tmp_path):
    path = tmp_path / "a.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE t (a)")
    connection.close()
    for chosen in (None, "xml"):
        with pytest.raises(UsageError) as caught:
            read_table(path, name="t", file_format=chosen)
        assert caught.value.code == "E_IMPORT_FORMAT"


def test_standard_input_has_a_format_too():
    assert detect_format(Source("-", io.BytesIO(b"[1]"))) == "json"
