"""Files to documents."""

import hashlib
import os
import tarfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.search.documents import (
    Document,
    Skipped,
    markdown_title,
    read_document,
    read_documents,
)
from proxy.search.limits import Limits

MAIL = (
    b"From: a@b.example\nTo: c@d.example\nDate: Thu, 22 Aug 2002 11:26:25 +0000\nSubject: S%d\n\n"
)
ENVELOPE = b"From a@b.example  Thu Aug 22 12:36:23 2002\n"


def read(path, limits=None):
    return list(read_documents([path], limits or Limits()))


def test_plain_text(tmp_path):
    data = "Grüße\r\nund mehr\n".encode()
    (tmp_path / "note.txt").write_bytes(data)
    (found,) = read(tmp_path / "note.txt")
    assert found == Document(
        path=f"{tmp_path}/note.txt",
        title="note.txt",
        sender=None,
        recipients=None,
        sent=None,
        body="Grüße\nund mehr\n",
        attachments=None,
        size=len(data),
        digest=hashlib.sha256(data).hexdigest(),
    )


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("# One #\ntext", "One"),
        ("intro\n\n## C#\n# Later", "C#"),
        ("Setext *title*\n=====\n", "Setext title"),
        ("---\ntitle: x\n---\n# Real", "Real"),
        ("```\n# code\n```\n# Real", "Real"),
        ("~~~\n```\n# code\n~~~\n# Real", "Real"),
        ("# [Link](http://x) and `code`", "Link and code"),
        ("#hashtag\n\ntext", None),
        ("text\n\n---\n", None),
        ("#\n##  \n### Third", "Third"),
        ("", None),
        ("#" * 100_000, None),
        ("# " + "# " * 500_000, None),
    ],
)
def test_markdown_titles(text, title):
    found = markdown_title(text)
    assert found == title or (title is None and not (found or "").strip("# "))


def test_markdown_by_name(tmp_path):
    (tmp_path / "a.MD").write_text("# Title\nNote: x\n")
    (tmp_path / "b.md").write_text("Note: x\nFrom: here to there\n\nno heading\n")
    (tmp_path / "c.txt").write_text("# Not a title\n")
    assert [found.title for found in read(tmp_path)] == ["Title", "b.md", "c.txt"]


def test_mail_is_recognised_by_its_headers_and_not_its_suffix(tmp_path):
    (tmp_path / "x.md").write_bytes(MAIL % 1 + b"body\n")
    (found,) = read(tmp_path)
    assert (found.title, found.sender, found.body) == ("S1", "a@b.example", "body")
    assert found.digest == hashlib.sha256(MAIL % 1 + b"body\n").hexdigest()


def test_mail_without_a_subject_is_named_by_its_file():
    found = read_document("d/7.eml", MAIL.replace(b"Subject: S%d\n", b"") + b"x")
    assert found.title == "7.eml"


def test_one_message_with_an_envelope_line(tmp_path):
    data = ENVELOPE + MAIL % 1 + b"a\n\n>From the start\n>>From x\n"
    (tmp_path / "m").write_bytes(data)
    (found,) = read(tmp_path / "m")
    assert found.path == f"{tmp_path}/m"
    assert found.body == "a\n\nFrom the start\n>From x"
    assert found.digest == hashlib.sha256(data).hexdigest()
    assert read_document(f"{tmp_path}/m", data) == found


def test_mbox(tmp_path):
    bodies = [b"one\n\nFrom here on it is text\n\n", b"two\n\n", b"", b"four\n"]
    messages = [ENVELOPE + MAIL % n + body + b"\n" for n, body in enumerate(bodies, 1)]
    messages[2] = ENVELOPE + b"X-Only: this\n\n\n"
    (tmp_path / "box").write_bytes(b"".join(messages))
    found = read(tmp_path / "box")
    path = f"{tmp_path}/box"
    assert [one.path for one in found] == [path, f"{path}#2", f"{path}#3", f"{path}#4"]
    assert [one.title for one in found] == ["S1", "S2", "box#3", "S4"]
    assert found[0].body == "one\n\nFrom here on it is text"
    assert sum(one.size for one in found) == len(b"".join(messages))
    assert found[1].digest == hashlib.sha256(messages[1]).hexdigest()


def test_an_mbox_may_be_larger_than_the_limit_of_a_file(tmp_path):
    big = ENVELOPE + MAIL % 2 + b"x" * 70_000 + b"\n" + b"y\n" * 5_000 + b"\n"
    small = ENVELOPE + MAIL % 1 + b"small\n\n"
    (tmp_path / "box").write_bytes(small + big + small)
    found = read(tmp_path / "box", Limits(file_bytes=50_000))
    assert [type(one).__name__ for one in found] == ["Document", "Skipped", "Document"]
    assert "50,000 bytes" in found[1].reason
    (tmp_path / "box").write_bytes(b"x" * 50_001)
    assert [type(one) for one in read(tmp_path / "box", Limits(file_bytes=50_000))] == [Skipped]


@pytest.mark.parametrize(
    ("data", "body"),
    [
        ("\ufeffutf-8".encode(), "utf-8"),
        ("wide é".encode("utf-16"), "wide é"),
        ("wide é".encode("utf-32"), "wide é"),
        (b"", ""),
        (b"escape \x1b[1m codes", "escape [1m codes"),
    ],
)
def test_texts(data, body):
    assert read_document("a", data).body == body


@pytest.mark.parametrize(
    "data",
    [
        b"\x7fELF\x01\x00\x00",
        b"nul\0",
        b"caf\xe9",
        b"\x89PNG\r\n",
        b"\xff\xfeodd",
        bytes(range(1, 32)) * 9,
    ],
)
def test_binary_files_are_skipped_with_a_reason(data):
    assert read_document("a", data) == Skipped("a", "neither mail nor text in UTF-8")


def test_limits_are_reported():
    limits = Limits(body_characters=10)
    assert "10 characters" in read_document("a", b"x" * 11, limits).reason
    assert "10 characters" in read_document("a", MAIL % 1 + b"x" * 11, limits).reason


def test_a_defect_of_the_parser_does_not_end_the_run(monkeypatch):
    def fail(*_):
        raise UnboundLocalError("secret content")

    monkeypatch.setattr("proxy.search.documents.parse_mail", fail)
    found = read_document("a", MAIL % 1)
    assert found == Skipped("a", "could not be parsed (UnboundLocalError)")


@settings(max_examples=300, deadline=None)
@given(
    st.binary(max_size=300)
    | st.binary(max_size=100).map(lambda data: MAIL % 1 + data)
    | st.binary(max_size=100).map(lambda data: ENVELOPE + MAIL % 1 + data),
    st.sampled_from(["a.md", "a", "d/b.txt"]),
    st.booleans(),
)
def test_no_bytes_raise(data, path, mbox):
    found = read_document(path, data, mbox=mbox)
    if isinstance(found, Document):
        texts = (found.title, found.sender, found.recipients, found.body, found.attachments)
        for text in texts:
            assert "\0" not in (text or "").encode().decode()
        assert found.title
        assert (found.size, found.digest) == (len(data), hashlib.sha256(data).hexdigest())


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = os.environ.get("ENCDB_TEST_DATA")
    if not folder:
        pytest.skip("ENCDB_TEST_DATA is not set")
    target = tmp_path_factory.mktemp("corpus")
    with tarfile.open(Path(folder) / "mail.tar.gz") as archive:
        for member in archive.getmembers():
            assert member.isfile() or member.isdir()
            assert (target / member.name).resolve().is_relative_to(target)
        # Python knows filters since 3.11.4 only.
        archive.extractall(target)
    return target / "mail"


def test_every_message_of_the_corpus_is_parsed(corpus):
    found = read(corpus)
    assert Counter(type(one) for one in found) == {Document: 1650}
    assert len({one.path for one in found}) == 1650
    for one in found:
        assert one.sender
        assert one.recipients
        assert one.sent is not None
        assert one.body.strip()
        assert "=?" not in one.title
        assert "\ufffd" not in one.body
        data = Path(one.path).read_bytes()
        assert (one.size, one.digest) == (len(data), hashlib.sha256(data).hexdigest())
