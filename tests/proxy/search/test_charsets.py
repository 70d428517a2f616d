"""Bytes to text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.search import charsets

NAMES = st.sampled_from(
    ["utf-8", "utf-7", "us-ascii", "iso-2022-jp", "big5", "hz", "utf-16", "koi8-r", "gb2312", None]
)


@pytest.mark.parametrize(
    ("data", "charset", "text"),
    [
        (b"caf\xe9 \x93q\x94", "iso-8859-1", "café \u201cq\u201d"),
        (b"caf\xe9", "ISO-8859-15", "café"),
        (b"caf\xc3\xa9", None, "café"),
        (b"caf\xc3\xa9", "us-ascii", "café"),
        (b"caf\xe9", None, "café"),
        (b"caf\xe9", "x-unknown", "café"),
        (b"caf\xc3\xa9", "utf8", "café"),
        (b"\xef\xbb\xbfx", "UTF-8", "x"),
        (b"\xff", "utf-8", "\ufffd"),
        ("Привет".encode("koi8-r"), "KOI8-R", "Привет"),
        ("日本".encode("iso-2022-jp"), "iso-2022-jp", "日本"),
        ("한국".encode("cp949"), "ks_c_5601-1987", "한국"),
        ("中文".encode("gb18030"), "gb2312", "中文"),
    ],
)
def test_decode(data, charset, text):
    assert charsets.decode(data, charset) == text


@pytest.mark.parametrize(
    "name",
    [
        *(
            "zlib",
            "base64",
            "rot13",
            "punycode",
            "idna",
            "unicode_escape",
            "undefined",
            "mbcs",
            "os",
        ),
        *("../../etc/passwd", "a\0b", "x" * 10_000, "", None),
    ],
)
def test_codecs_that_are_not_for_text_are_never_used(name):
    assert charsets.codec_of(name) is None
    assert charsets.decode(b"plain \\ud800", name) == "plain \\ud800"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("=?iso-8859-1?q?Caf=E9_au_lait?=", "Café au lait"),
        ("=?utf-8?B?Q2Fmw6k=?=", "Café"),
        ("=?utf-8?B?Q2Fmw6k?=", "Café"),
        ("=?utf-8*fr?Q?Caf=C3=A9?= noir", "Café noir"),
        ("=?utf-8?Q?Caf=C3?=\r\n =?utf-8?Q?=A9?=", "Café"),
        ("=?utf-8?q?a?= =?iso-8859-1?q?=E9?= b", "aé b"),
        ("Re: =?x-nonsense?q?hello?=", "Re: hello"),
        ("=?utf-8?B?A?=", "=?utf-8?B?A?="),
        ("=?utf-8?X?abc?=", "=?utf-8?X?abc?="),
        ("=?", "=?"),
        ("folded\r\n\t subject\x00", "folded subject"),
        ("caf\udcc3\udca9 8-bit", "café 8-bit"),
        ("lone \ud800", "lone \ufffd"),
    ],
)
def test_encoded_words(value, text):
    assert charsets.decode_words(value) == text


def is_clean(text: str) -> bool:
    text.encode()
    return not any(ord(c) < 32 and c not in "\n\t" for c in text)


@given(st.binary(max_size=200), NAMES | st.text(max_size=12))
def test_any_bytes_become_storable_text(data, charset):
    assert is_clean(charsets.clean(charsets.decode(data, charset)))


@given(
    st.text(st.characters(codec=None), max_size=60) | st.text("=?QbB_ utf-8\r\n\udcff", max_size=60)
)
def test_any_header_becomes_one_storable_line(value):
    text = charsets.decode_words(value)
    assert is_clean(text)
    assert "\n" not in text
