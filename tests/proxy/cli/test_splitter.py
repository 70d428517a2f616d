import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.cli.splitter import Splitter, cut, has_content
from proxy.sql.tokens import split


@pytest.mark.parametrize(
    ("text", "statements", "rest"),
    [
        ("SELECT 1; SELECT 2;", ["SELECT 1", "SELECT 2"], ""),
        ("SELECT ';'; x", ["SELECT ';'"], " x"),
        ("SELECT 'it''s; fine'; ", ["SELECT 'it''s; fine'"], " "),
        ('SELECT "a;""b" FROM t;', ['SELECT "a;""b" FROM t'], ""),
        ("SELECT 1 -- no; end\n;", ["SELECT 1 -- no; end"], ""),
        ("/* a; /* nested; */ ; */ SELECT 1;", ["/* a; /* nested; */ ; */ SELECT 1"], ""),
        ("SELECT $$a;b$$;", ["SELECT $$a;b$$"], ""),
        ("SELECT $x$ a; $$ ; $x$;", ["SELECT $x$ a; $$ ; $x$"], ""),
        (r"SELECT E'a\'; b';", [r"SELECT E'a\'; b'"], ""),
        (r"SELECT 'a\'; b", [r"SELECT 'a\'"], " b"),
        ("SELECT $1; SELECT a$b$c;", ["SELECT $1", "SELECT a$b$c"], ""),
        ("SELECT type'x;y';", ["SELECT type'x;y'"], ""),
        ("SELECT 'open; ", [], "SELECT 'open; "),
        ("SELECT /* open; ", [], "SELECT /* open; "),
        (";;", ["", ""], ""),
    ],
)
def test_cuts_at_semicolons_outside_quotes(text, statements, rest):
    assert cut(text) == (statements, rest)


def test_lines_build_one_statement():
    splitter = Splitter()
    assert splitter.is_blank
    assert splitter.feed("SELECT 1,\n") == []
    assert not splitter.is_blank
    assert splitter.feed("  'a;\n") == []
    assert splitter.feed("b'; SELECT 2; SEL") == ["SELECT 1,\n  'a;\nb'", "SELECT 2"]
    assert splitter.pending == " SEL"
    assert splitter.finish() == "SEL"
    assert splitter.finish() is None
    assert splitter.is_blank


def test_comments_and_blanks_are_no_statement():
    splitter = Splitter()
    assert splitter.feed("-- nothing; here\n ; /* nor; here */ ;\n") == []
    assert splitter.is_blank
    assert splitter.finish() is None


@pytest.mark.parametrize(
    ("text", "content"),
    [
        ("", False),
        (" \n", False),
        ("-- x", False),
        ("/* x */ -- y\n", False),
        ("/* x", True),
        ("-- x\ny", True),
        ("'", True),
        ("-", True),
    ],
)
def test_content(text, content):
    assert has_content(text) is content


_PIECES = (
    st.lists(
        st.sampled_from(
            [
                "SELECT 1",
                "'a;b'",
                '"c;d"',
                "/* e; */",
                "-- f;\n",
                "$$g;h$$",
                "$t$;$t$",
                "E'\\';'",
                " ",
            ]
        ),
        min_size=1,
        max_size=6,
    )
    .map(" ".join)
    .filter(has_content)
)


@given(st.lists(_PIECES, max_size=5), st.integers(1, 7))
def test_statements_come_back_however_the_text_arrives(statements, width):
    text = "".join(statement + ";" for statement in statements)
    splitter = Splitter()
    found = []
    for start in range(0, len(text), width):
        found += splitter.feed(text[start : start + width])
    assert found == [statement.strip() for statement in statements]
    assert splitter.finish() is None


@given(st.lists(_PIECES, max_size=5))
def test_it_agrees_with_the_parser(statements):
    text = "".join(statement + ";" for statement in statements)
    # The parser leaves a statement's comments at its ends out of its source.
    expected = [chunk.source for chunk in split(text)]
    found, rest = cut(text)
    assert rest == ""
    assert [[chunk.source for chunk in split(one)] for one in found if has_content(one)] == [
        [one] for one in expected
    ]
