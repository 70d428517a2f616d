"""The grammar of search queries."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from encdb.errors import ProgrammingError
from proxy.search.analysis import analyser
from proxy.search.query import MAX_QUERY_CHARACTERS, And, Node, Not, Or, Phrase, Term, parse


def tree(text: str, *, stopwords: bool = False) -> str:
    return show(parse(text, analyser("none" if not stopwords else "english", stopwords)).root)


def show(node: Node) -> str:
    match node:
        case Term(token):
            return token
        case Phrase(tokens):
            return '"' + " ".join(tokens) + '"'
        case And(parts):
            return "(" + " & ".join(map(show, parts)) + ")"
        case Or(parts):
            return "(" + " | ".join(map(show, parts)) + ")"
        case Not(part):
            return "!" + show(part)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Linux", "linux"),
        ("linux kernel", "(linux & kernel)"),
        ("linux AND kernel", "(linux & kernel)"),
        ("linux OR kernel driver", "(linux | (kernel & driver))"),
        ("linux AND (kernel OR driver)", "(linux & (kernel | driver))"),
        ("a OR b OR c", "(a | b | c)"),
        ("(a b) c", "(a & b & c)"),
        ("a NOT b", "(a & !b)"),
        ("a AND NOT b", "(a & !b)"),
        ("a -b", "(a & !b)"),
        ("-a", "!a"),
        ("NOT NOT a", "a"),
        ("NOT NOT NOT a", "!a"),
        ("--a", "a"),
        ("-(a OR b) c", "(!(a | b) & c)"),
        ('-"a b"', '!"a b"'),
        ("NOT a OR b", "(!a | b)"),
        ("foo-bar", "(foo & bar)"),
        ("-foo-bar", "!(foo & bar)"),
        ("foo(bar)baz", "(foo & bar & baz)"),
        ("and or not", "(and & or & not)"),
        ('"AND"', "and"),
        ('"AND now"', '"and now"'),
        ("a-a", "a"),
        ("rock & roll", "(rock & roll)"),
        ("rock - roll", "(rock & roll)"),
        ("a -)b".replace(")", ""), "(a & !b)"),
        ("(a -) b", "(a & b)"),
        ("a OR &", "a"),
        ("a AND NOT &", "a"),
        ("* a", "a"),
        ('"are * you sure?"', '"are you sure"'),
        ("linux\u00a0kernel\n\tx", "(linux & kernel & x)"),
    ],
)
def test_trees(text, expected):
    assert tree(text) == expected


def test_stop_words_ask_for_nothing():
    assert tree("state of the art", stopwords=True) == "(state & art)"
    assert tree("NOT the art", stopwords=True) == "art"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "nothing to look for"),
        ("   ", "nothing to look for"),
        ("&&& -", "nothing to look for"),
        ('""', "nothing to look for"),
        ("(a", r'"\(" at character 1 is not closed'),
        ("a (b (c)", r'"\(" at character 3 is not closed'),
        ("a)", r'"\)" at character 2 closes nothing'),
        (")", r'before "\)", at character 1'),
        ("()", r'before "\)", at character 2'),
        ("a AND", "at the end, at character 6"),
        ("AND a", 'before "AND", at character 1'),
        ("a AND OR b", 'before "OR", at character 7'),
        ("a OR", "at the end, at character 5"),
        ("a OR OR b", 'before "OR", at character 6'),
        ("NOT", "at the end, at character 4"),
        ("a -AND b", 'before "AND", at character 4'),
        ('a "b c', "double quote at character 3 is not closed"),
        ('a b"', "double quote at character 4 is not closed"),
        ("a k*", r'"k\*" at character 3 stands for too much'),
        ("foo-b*", r'"foo-b\*" at character 1 is not one word'),
        ("a" * 128 + "*", "at character 1 is longer than 128"),
        ("kernal~3", "at character 7 is no number of edits. Write ~1 or ~2"),
        ("kernal~0.8", '"~0.8" at character 7'),
        ("cafe\u0301~9", "at character 6 is no number"),
        ("foo_bar~1", "not one plain word"),
        ("日~1", "not one plain word"),
        ("日本*", "not one word"),
        ("½a*", "not one word"),
        ("a\ud800b*", "not one word"),
        ("**", "nothing to look for"),
        ("a~", "at character 1 is too short"),
        ('x "kern* panic"', r'"n\*" at character 7, and a phrase holds no patterns'),
        ('"k?rnel panic"', "a phrase holds no patterns"),
        ('"kernal~1 panic"', "a phrase holds no patterns"),
        ('"a b"~2', 'the "~" at character 6 follows a phrase'),
        ("foo-bar~1", "at character 8 is not one plain word"),
        ("ab~2", "at character 1 is too short"),
        ("(" * 101 + "a" + ")" * 101, "nested deeper than 100"),
        ("a" * (MAX_QUERY_CHARACTERS + 1), "longer than 16,384"),
    ],
)
def test_errors_say_where(text, message):
    with pytest.raises(ProgrammingError, match=message) as caught:
        parse(text, analyser())
    assert caught.value.code == "E_MATCH_QUERY"
    assert caught.value.sqlstate == "42601"


def test_deep_but_allowed():
    assert tree("(" * 100 + "a" + ")" * 100) == "a"
    assert tree("-" * 16_000 + "a") == "a"


def test_what_a_query_says_of_itself():
    query = parse('running -dogs OR (cats AND NOT NOT "a b") -(x -y)', analyser())
    assert query.terms == ("a", "b", "cat", "dog", "run", "x", "y")
    assert query.scored == ("a", "b", "cat", "run", "y")
    assert query.has_phrases
    assert not query.complemented
    for text, complemented in [
        ("-a", True),
        ("a -b", False),
        ("a OR -b", True),
        ("-a -b", True),
        ("-(a -b)", True),
        ("-(a OR -b)", False),
        ("-(-a)", False),
    ]:
        assert parse(text, analyser()).complemented is complemented


def test_phrases_need_positions():
    query = parse('"two words"', analyser())
    query.require_positions(True)
    with pytest.raises(ProgrammingError, match="positions = on") as caught:
        query.require_positions(False)
    assert caught.value.code == "E_NO_POSITIONS"
    parse('"one"', analyser()).require_positions(False)


@given(st.text(st.characters(codec=None), max_size=40) | st.text('ab"()-*?~1 ANDORT', max_size=30))
def test_any_text_is_a_query_or_a_clear_error(text):
    try:
        query = parse(text, analyser())
    except ProgrammingError as error:
        assert error.code == "E_MATCH_QUERY"  # noqa: PT017 - success is as good
    else:
        assert query.terms or query.patterns
