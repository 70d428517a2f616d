"""HTML to text."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.search.html import to_text

PIECES = st.sampled_from(
    [
        " ",
        "\n",
        "<a ",
        *[
            "<",
            ">",
            "<!--",
            "-->",
            "<a",
            "</",
            "<script>",
            "</script",
            '"',
            "'",
            "=",
            "&",
            "&#",
            "x",
            "<!",
            "<?",
            "<p",
            "/>",
            "&lt;",
            "&#99999999999;",
            "é",
        ],
    ]
)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("<p>one<p>two", "one\ntwo"),
        ("a<b>bo</b>ld", "abold"),
        ("<td>1</td><td>2</td>", "1  2"),
        ("x<br/>y<BR>z", "x\ny\nz"),
        ("<script>var a = '<p>no</p>';</script>yes", "yes"),
        ("<STYLE type=x>p {}</STYLE >yes", "yes"),
        ("<script>never closed", ""),
        ("a<!-- > <b> -->b", "ab"),
        ("a<!-- never closed", "a"),
        ("<![if gte mso 9]>a<![endif]><?xml x?>b", "ab"),
        ('<img alt="a > b" src=x>c', "c"),
        ("<a title='it''s'>c</a>", "c"),
        ('<a b="unclosed>c', "c"),
        ("1 < 2 &lt; 3 &amp; 4&nbsp;5 &eacute; &#233; &#xE9;", "1 < 2 < 3 & 4 5 é é é"),
        ("&lt;b&gt;", "<b>"),
        ("&#" + "9" * 5000 + ";", "\ufffd"),
        ("<head><title>T</title></head><body>b", "T\nb"),
        ("", ""),
    ],
)
def test_text(source, text):
    assert to_text(source) == text


@given(st.lists(PIECES, max_size=40).map("".join))
def test_any_source_gives_text(source):
    assert len(to_text(source)) <= len(source) + 1


HOSTILE = [
    "<!--",
    '<a"',
    "<a'",
    "<!",
    "<?",
    "</",
    "<",
    "<script>",
    "<a'\">",
    "<a\"'>",
    "&#",
    "<p>",
    '"',
    '<a>"',
    "<a\">'x",
]


@pytest.mark.parametrize(
    "piece", [*HOSTILE, "<a ", '<a b="', "<a" + " " * 50, '<a b=">\n' + "x" * 2000]
)
def test_hostile_markup_takes_linear_time(piece):
    source = piece * (2_000_000 // len(piece))
    started = time.monotonic()
    to_text(source)
    assert time.monotonic() - started < 10
