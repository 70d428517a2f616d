"""Bytes of a named, misnamed or unnamed charset to text that every layer below can hold.

Charset names in mail are written by strangers, so only codecs for text in real use are looked up:
Python also has codecs that decompress, run in quadratic time (punycode, idna) or warn
(unicode_escape). A name is taken as browsers take it (WHATWG Encoding Standard): ISO-8859-1 and ASCII mean
windows-1252, GB2312 means GB 18030, and so on. Undecodable bytes become U+FFFD; nothing is raised.
"""

from __future__ import annotations

import binascii
import re
from contextlib import suppress
from encodings.aliases import aliases
from typing import Final

_CODECS: Final = frozenset(
    """
    ascii big5 big5hkscs cp437 cp720 cp737 cp775 cp850 cp852 cp855 cp857 cp858 cp860 cp861 cp862 cp863
    cp864 cp865 cp866 cp869 cp874 cp932 cp949 cp950 cp1250 cp1251 cp1252 cp1253 cp1254 cp1255 cp1256
    cp1257 cp1258 euc_jis_2004 euc_jisx0213 euc_jp euc_kr gb18030 gb2312 gbk hp_roman8 hz iso2022_jp
    iso2022_jp_1 iso2022_jp_2 iso2022_jp_2004 iso2022_jp_3 iso2022_jp_ext iso2022_kr iso8859_1 iso8859_10
    iso8859_11 iso8859_13 iso8859_14 iso8859_15 iso8859_16 iso8859_2 iso8859_3 iso8859_4 iso8859_5 iso8859_6
    iso8859_7 iso8859_8 iso8859_9 johab koi8_r koi8_t koi8_u kz1048 latin_1 mac_cyrillic mac_greek
    mac_iceland mac_latin2 mac_roman mac_turkish ptcp154 shift_jis shift_jis_2004 shift_jisx0213 tis_620
    utf_16 utf_16_be utf_16_le utf_32 utf_32_be utf_32_le utf_7 utf_8 utf_8_sig
    """.split()  # noqa: SIM905 - a list of strings would fill a page
)
_WIDER: Final = {
    "euc_kr": "cp949",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "iso8859_1": "cp1252",
    "iso8859_9": "cp1254",
    "iso8859_11": "cp874",
    "latin_1": "cp1252",
    "shift_jis": "cp932",
    "tis_620": "cp874",
    "utf_8": "utf_8_sig",
}
_OTHER_NAMES: Final = {
    "iso_8859_8_i": "iso8859_8",
    "ks_c_5601_1987": "cp949",
    "unicode_1_1_utf_7": "utf_7",
    "unicode_1_1_utf_8": "utf_8",
    "windows_31j": "cp932",
    "windows_874": "cp874",
    "x_gbk": "gbk",
    "x_mac_roman": "mac_roman",
    "x_sjis": "cp932",
}
_MAX_NAME = 40

_ENCODED_WORDS: Final = re.compile(
    r"=\?[^?\s]{1,60}\?[bBqQ]\?[^?\r\n]*\?=(?:\s+=\?[^?\s]{1,60}\?[bBqQ]\?[^?\r\n]*\?=)*+"
)
_ENCODED_WORD: Final = re.compile(r"=\?([^?\s]{1,60})\?([bBqQ])\?([^?\r\n]*)\?=")

_LINE_ENDS = re.compile(r"\r\n?|[\u2028\u2029\x85\x0b\x0c]")
_UNWANTED = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f]")
_SURROGATES = re.compile(r"[\ud800-\udfff]")
_BLANKS = re.compile(r"\s+")


def codec_of(name: str | None) -> str | None:
    """The Python codec for a charset name; None when there is none that may be used."""
    if not name or len(name) > _MAX_NAME:
        return None
    plain = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    codec = _OTHER_NAMES.get(plain) or aliases.get(plain, plain)
    return codec if codec in _CODECS else None


def decode(data: bytes, charset: str | None = None) -> str:
    """Text of bytes; `charset` is the name they came with, if any.

    Without a usable name, or with ASCII's, bytes are UTF-8 if they can be, else windows-1252.
    """
    codec = codec_of(charset)
    if codec is None or codec == "ascii":
        try:
            return data.decode("utf_8_sig")
        except UnicodeDecodeError:
            codec = "cp1252"
    return data.decode(_WIDER.get(codec, codec), "replace")


def clean(text: str) -> str:
    r"""Text with ``\n`` line ends and without control characters and lone surrogates.

    A store refuses NUL, and UTF-8 cannot hold a lone surrogate, which becomes U+FFFD.
    """
    text = _UNWANTED.sub("", _LINE_ENDS.sub("\n", text))
    return text if text.isascii() else _SURROGATES.sub("\ufffd", text)


def one_line(text: str) -> str:
    """Cleaned text with every run of blanks made one space, and none at either end."""
    return _BLANKS.sub(" ", clean(text)).strip()


def decode_words(value: str) -> str:
    """A header value with its encoded words (RFC 2047) decoded, on one line.

    8-bit bytes, which the mail parser keeps as surrogates, are read as UTF-8 or windows-1252. A
    malformed encoded word stays as it is written.
    """
    with suppress(UnicodeEncodeError):
        value = decode(value.encode("utf-8", "surrogateescape"))
    return one_line(_ENCODED_WORDS.sub(lambda run: _decode_run(run.group()), value))


def _decode_run(run: str) -> str:
    """Adjacent encoded words; those of one charset are joined as bytes, for split characters."""
    decoded: list[tuple[str, bytes]] = []
    for match in _ENCODED_WORD.finditer(run):
        # RFC 2231 allows a language after the charset.
        charset, data = match[1].partition("*")[0].lower(), _decode_word(match[2], match[3])
        if data is None:
            return run
        if decoded and decoded[-1][0] == charset:
            data = decoded.pop()[1] + data
        decoded.append((charset, data))
    return "".join(decode(data, charset) for charset, data in decoded)


def _decode_word(encoding: str, text: str) -> bytes | None:
    data = text.encode("utf-8", "surrogateescape")
    if encoding in "qQ":
        return binascii.a2b_qp(data, header=True)
    for padding in (b"", b"=", b"=="):
        with suppress(binascii.Error):
            return binascii.a2b_base64(data + padding)
    return None
