"""Raw messages to headers, text and attachment names."""

import base64
import time
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.search.limits import Clock, LimitExceededError, Limits
from proxy.search.mail import is_mail, parse_mail

HEAD = (
    b"From: =?utf-8?q?Zo=C3=AB?= <zoe@example.org>\r\n"
    b"To: bob@example.org,\r\n carol@example.org\r\n"
    b"Cc: =?iso-8859-1?Q?J=F6rg?= <j@example.org>\r\n"
    b"Subject: =?utf-8?B?w5xiZXI=?= all\r\n"
    b"Date: Thu, 22 Aug 2002 18:26:25 +0700\r\n"
    b"Message-ID: <1@example.org>\r\n"
)


def multipart(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(b"--B" + kind[:3] + b"\r\n" + part + b"\r\n" for part in parts)
    return (
        b"Content-Type: multipart/"
        + kind
        + b'; boundary="B'
        + kind[:3]
        + b'"\r\n\r\n'
        + body
        + b"--B"
        + kind[:3]
        + b"--\r\n"
    )


def test_headers():
    mail = parse_mail(HEAD + b"\r\nHello\r\n")
    assert mail.sender == "Zoë <zoe@example.org>"
    assert mail.recipients == "bob@example.org, carol@example.org, Jörg <j@example.org>"
    assert mail.subject == "Über all"
    assert mail.sent == datetime(2002, 8, 22, 11, 26, 25, tzinfo=UTC)
    assert mail.body == "Hello"
    assert mail.attachments == ()


@pytest.mark.parametrize(
    ("date", "sent"),
    [
        (b"Mon, 1 Jan 2024 00:00:00 -0500", datetime(2024, 1, 1, 5, tzinfo=UTC)),
        (b"1 Jan 2024 00:00:00 GMT", datetime(2024, 1, 1, tzinfo=UTC)),
        (b"Mon, 1 Jan 2024 00:00:00 -0000 (nowhere)", datetime(2024, 1, 1, tzinfo=UTC)),
        (b"Mon, 1 Jan 24 00:00", datetime(2024, 1, 1, tzinfo=UTC)),
        (b"", None),
        (b"yesterday", None),
        (b"Mon, 99 Jan 2024 00:00:00 +0000", None),
        (b"Mon, 1 Jan 2024 25:61:00 +0000", None),
        (b"Fri, 31 Dec 9999 23:59:00 -2359", None),
        (b"Mon, 1 Jan 99999999999999999999 00:00:00 +0000", None),
        (b"Mon, 1 Jan 2024 00:00:00 +99999999999999999999", None),
        (b"\xff\xfe, =?utf-8?q?x?=", None),
        (b", " * 5000, None),
    ],
)
def test_dates(date, sent):
    assert parse_mail(b"From: a@b\nDate: " + date + b"\n\nx").sent == sent


@pytest.mark.parametrize(
    ("part", "text"),
    [
        (
            b"Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: Quoted-Printable\n\nCaf=C3=A9 =\nnoir",
            "Café noir",
        ),
        (
            b"Content-Type: text/plain; charset=koi8-r\nContent-Transfer-Encoding: BASE64 \n\n"
            + base64.b64encode("Привет".encode("koi8-r")),
            "Привет",
        ),
        (b"Content-Type: text/plain; charset=no-such\n\ncaf\xe9", "café"),
        (b"Content-Type: text/plain; charset=punycode\n\nab-cd", "ab-cd"),
        (b"Content-Type: text/plain; charset*=utf-8''%FF%00\n\nx", "x"),
        (b"Content-Type: text/html\n\n<p>a<script>b</script><p>c", "a\nc"),
        (b"Content-Type: text/html; charset=iso-8859-1\n\n<p>caf\xe9 &copy;", "café ©"),
        (b"Content-Type: text/plain\nContent-Transfer-Encoding: base64\n\n!!!not base64", None),
        (b"Content-Type: text/plain\nContent-Transfer-Encoding: x-uuencode\n\nbroken", "broken"),
        (b"Content-Type: text/plain\nContent-Transfer-Encoding: \xff\n\nx", "x"),
        (b"Content-Type: nonsense\n\nx", "x"),
        (b"Content-Type: \xff\xfe; charset\n\nx", "x"),
        (b"Content-Type: multipart/mixed\n\nno boundary", "no boundary"),
        (b'Content-Type: multipart/mixed; boundary="absent"\n\nno part', "no part"),
        (b"Content-Type: message/partial\n\nhalf", "half"),
        (b"Content-Type: text/css\n\np {}", ""),
        (b"Content-Type: application/pdf\n\n%PDF", ""),
        (b"\nnul \x00 and bell \x07", "nul  and bell "),
    ],
)
def test_bodies(part, text):
    body = parse_mail(b"From: a@b\n" + part).body
    if text is not None:
        assert body == text


def test_alternatives_give_the_plain_one_unless_it_is_empty():
    plain, html = (
        b"Content-Type: text/plain\r\n\r\nplain",
        b"Content-Type: text/html\r\n\r\n<b>rich",
    )
    empty = b"Content-Type: text/plain\r\n\r\n \r\n"
    assert parse_mail(HEAD + multipart(b"alternative", plain, html)).body == "plain"
    assert parse_mail(HEAD + multipart(b"alternative", html, plain)).body == "plain"
    assert parse_mail(HEAD + multipart(b"alternative", empty, html)).body == "rich"
    assert parse_mail(HEAD + multipart(b"alternative", empty)).body == ""


def test_attachments_and_nested_messages():
    inner = (
        b"Content-Type: message/rfc822\r\n\r\nFrom: deep@example.org\r\nSubject: inner\r\n\r\nwell"
    )
    attached = (
        b'Content-Type: text/plain; name="a.txt"\r\nContent-Disposition: attachment;'
        b" filename*=utf-8''r%C3%A9sum%C3%A9.txt\r\n\r\nhidden text"
    )
    image = b'Content-Type: image/png; name="=?utf-8?q?b=C3=BC?=.png"\r\n\r\nxxxx'
    inline = b"Content-Type: text/plain\r\nContent-Disposition: inline; filename=i.txt\r\n\r\nshown"
    related = multipart(b"related", image, inline)
    mail = parse_mail(HEAD + multipart(b"mixed", b"\r\nfirst", attached, related, inner))
    assert mail.attachments == ("résumé.txt", "bü.png", "i.txt")
    assert mail.body == "first\n\nshown\n\ndeep@example.org\ninner\n\nwell"


def test_a_delivery_report_is_text():
    report = (
        b"Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.example\r\n\r\n"
        b"Final-Recipient: rfc822; gone@example.org\r\nDiagnostic-Code: smtp; 550 unknown\r\n\r\n"
    )
    body = parse_mail(HEAD + multipart(b"report", b"\r\nSorry", report)).body
    assert "550 unknown" in body
    assert "gone@example.org" in body


@pytest.mark.parametrize(
    "data",
    [
        HEAD + b"\r\nx",
        HEAD,
        b"\xef\xbb\xbf" + HEAD,
        HEAD.replace(b"\r\n", b"\n"),
        b"Return-Path: <a@b>\nReceived: by x; today\nFrom: cron\n\nx",
        b"From: a@b\nDate: today\nTo: c@d\n\nx",
        b"Received: by x\n\tid 1; today\n>From a@b today\nFrom: a@b\nSubject: s\n\nx",
        b"Delivered-To: a@b\nFrom: x\nno header any more",
    ],
)
def test_mail_is_recognised(data):
    assert is_mail(data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n\nFrom: a@b\nDate: x\nTo: y\n",
        b"# Notes\n\nFrom: a@b\nMessage-ID: 1\n",
        b"Note: remember\nTodo: nothing\nDate: today\n\ntext",
        b"Title: A post\nDate: 2024-01-01\nAuthor: me\nTags: x\n\nbody",
        b"To: all staff\nFrom: Bob\nDate: Monday\nSubject: memo\n\ntext",
        b"Subject: s\nDate: d\nTo: a@b\n\nx",
        b"From: a@b\n\nx",
        b"HTTP/1.1 200 OK\nDate: x\nContent-Type: text/html\n\n",
        b"---\nFrom: a@b\nDate: d\nTo: e@f\n---\n",
        b"\x00\x01\x02",
    ],
)
def test_other_texts_are_not_mail(data):
    assert not is_mail(data)


def nested(depth: int) -> bytes:
    data = b"Content-Type: text/plain\n\ndeep"
    for level in range(depth):
        mark = b"b%d" % level
        data = (
            b"Content-Type: multipart/mixed; boundary="
            + mark
            + b"\n\n--"
            + mark
            + b"\n"
            + data
            + b"\n--"
            + mark
            + b"--\n"
        )
    return b"From: a@b\n" + data


def test_limits_stop_a_message():
    assert parse_mail(nested(40)).body == "deep"
    for data, limits in [
        (nested(60), Limits()),
        (nested(3000), Limits(parts=10_000)),
        (b"From: a@b\n" + multipart(b"mixed", *[b"\r\nx"] * 1200), Limits()),
        (b"From: a@b\n\n" + b"x" * 2000, Limits(body_characters=1000)),
        (b"From: a@b\nX: " + b"x" * 2_000_000, Limits()),
    ]:
        with pytest.raises(LimitExceededError):
            parse_mail(data, limits)
    with pytest.raises(LimitExceededError, match="longer than 0 seconds"):
        parse_mail(b"From: a@b\n\nx" * 100_000, Limits(), Clock(0))


@pytest.mark.parametrize(
    "data",
    [
        b'Content-Type: text/plain; x="' + b";" * 900_000 + b"\n\nx",
        b"Content-Disposition: attachment; " + b"filename*0*=x;" * 60_000 + b"\n\nx",
        b"Content-Type: multipart/mixed; boundary=" + b"b" * 900_000 + b"\n\nx",
        b"Subject: " + b"=?a?q?x " * 110_000 + b"\n\nx",
        b"Subject: " + b"=?a?q?x?= " * 90_000 + b"\n\nx",
        b"Subject: " + b"=?" * 400_000 + b"\n\nx",
        b"Date: " + b"(" * 900_000 + b"\n\nx",
        b"To: " + b"a@b, " * 180_000 + b"\n\nx",
        b"X: y\n" * 180_000 + b"\nx",
        b"Content-Type: text/html\n\n" + b"<!--" * 2_000_000,
        b"Content-Type: text/html\n\n" + b'<a b="' * 1_000_000,
        b"Content-Transfer-Encoding: base64\n\n" + b"=" * 4_000_000,
        b"Content-Transfer-Encoding: base64\n\n" + b"QUJD" * 4_000_000,
        b"Content-Transfer-Encoding: quoted-printable\n\n" + b"=" * 4_000_000,
        b"Content-Type: text/plain; charset=utf-7\n\n" + b"+AAA-" * 1_000_000,
        b"Content-Type: multipart/mixed; boundary=b\n\n" + b"--b" * 1_000_000,
        b"Content-Type: multipart/mixed; boundary=b\n\n" + b"--b\n\n" * 900,
        b"\n" + b"\n" * 4_000_000,
        b"\n" + b"\r" * 4_000_000,
    ],
    ids=range(19),
)
def test_hostile_messages_end_in_time(data):
    started = time.monotonic()
    with suppress(LimitExceededError):
        parse_mail(b"From: a@b\n" + data)
    assert time.monotonic() - started < 25


TOKENS = [
    b"From: a@b\n", b"Subject: =?utf-8?q?=FF?=\n", b"Content-Type: multipart/mixed; boundary=b\n",
    b"Content-Type: text/html; charset=", b"utf-16\n", b"--b\n", b"--b--\n", b"\n", b" folded\n",
    b"Content-Type: message/rfc822\n", b"Content-Transfer-Encoding: base64\n", b"=41=\n", b"\xff\x00",
    b"Content-Disposition: attachment; filename*0*=x'y'%FF; filename*1=\"\n", b"Date: 1 Jan\n",
    b"Content-Type: text/plain; charset*=x'y'%zz\n", b"\r\n", b"From x y\n", b"Content-Type: ;=\n",
]  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from(TOKENS) | st.binary(max_size=12), max_size=30).map(b"".join))
def test_no_bytes_raise(data):
    mail = parse_mail(data, Limits(part_depth=20))
    for text in (mail.subject, mail.sender, mail.recipients, mail.body, *mail.attachments):
        assert "\0" not in (text or "").encode().decode()
    assert mail.sent is None or mail.sent.utcoffset().total_seconds() == 0
