"""HTML to readable text, in time linear in its length.

The standard library's ``html.parser`` takes quadratic time on unclosed markup (160 KB of ``<!--`` take
11 seconds in Python 3.11, CVE-2025-6069), and no caller can interrupt it. Only text is wanted here, not a
tree, so markup is cut out by one regular expression whose alternatives always succeed once begun and
never give characters back. Entities are the standard library's. Nothing is fetched, and scripts and
styles are dropped.
"""

from __future__ import annotations

import html
import re
from typing import Final

# A quoted attribute value longer than this is taken for a stray quotation mark.
_VALUE = r"""[^>"']++|"[^"]{0,1024}"|'[^']{0,1024}'|["']"""
_MARKUP: Final = re.compile(
    rf"<!--.*?(?:-->|\Z)|<(?P<end>/?)(?P<name>[a-z][^\s/>]*+)(?:{_VALUE})*+(?:>|\Z)"
    r"|<[!?/][^>]*+(?:>|\Z)",
    re.DOTALL | re.IGNORECASE,
)
_HIDDEN: Final = {
    name: re.compile(f"</{name}", re.IGNORECASE) for name in ("script", "style", "template")
}
_BLOCKS: Final = frozenset(
    """
    address article aside blockquote body br caption center dd details dir div dl dt fieldset figcaption
    figure footer form h1 h2 h3 h4 h5 h6 head header hr html legend li main menu nav ol option p pre
    section select summary table tbody textarea tfoot thead title tr ul
    """.split()  # noqa: SIM905 - a list of strings would fill a page
)
_CELLS: Final = frozenset({"button", "img", "input", "td", "th"})
_BLANKS: Final = re.compile(r"[ \t\r\n\f]+")
_LINES: Final = re.compile(r"[ \t]*\n[ \t\n]*")
_LONG_NUMBER: Final = re.compile(r"&#[xX]?[0-9a-fA-F]{8,};?")


def to_text(source: str) -> str:
    """The text a reader would see, blocks on lines of their own. Any input is accepted."""
    pieces: list[str] = []
    place = 0
    while (match := _MARKUP.search(source, place)) is not None:
        pieces.append(_characters(source[place : match.start()]))
        place = match.end()
        name = (match["name"] or "").lower()
        if name in _BLOCKS:
            pieces.append("\n")
        elif name in _CELLS:
            pieces.append(" ")
        elif name in _HIDDEN and not match["end"]:
            closing = _HIDDEN[name].search(source, place)
            place = len(source) if closing is None else closing.start()
    pieces.append(_characters(source[place:]))
    return _LINES.sub("\n", "".join(pieces)).strip()


def _characters(text: str) -> str:
    text = _BLANKS.sub(" ", text)
    if "&" not in text:
        return text
    # Numbers this long name no character, and Python refuses to read those of 4,300 digits.
    return html.unescape(_LONG_NUMBER.sub("\ufffd", text)).replace("\xa0", " ")
