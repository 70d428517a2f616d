"""The query language of SQL ``@@`` and ``encdb search``: text to a tree of terms.

    query  = all { "OR" all }
    all    = unit { [ "AND" ] unit }            a blank means AND
    unit   = ( "NOT" | "-" ) unit  |  "(" query ")"  |  '"' phrase '"'  |  word

- ``AND``, ``OR`` and ``NOT`` are operators in capitals only; quoted they are words. NOT binds tighter
  than AND, AND tighter than OR. A hyphen negates only at the beginning of a word and directly before
  what it negates: ``-smoker`` is NOT smoker, ``non-smoker`` is a word.
- A word is analysed as the indexed text was. A word that gives several tokens asks for all of them:
  ``foo-bar`` means ``foo AND bar``, in any place. A word that gives none (``&``, a stop word) is left
  out, whatever stands around it. Case and grammatical endings do not matter.
- A phrase asks for its tokens side by side in one field. A phrase of one token is a word.
- ``kern*``, ``k?rn*l`` and ``kernal~1`` are patterns (`proxy.search.patterns`): they stand for the terms that
  begin so, look so, or differ by so many edits. A phrase holds no patterns.
- A query may consist of negations alone: it then finds all documents but those.
- A query with nothing to look for is an error.

The tree says which documents match. `Query.scored` says which terms rank them: those under an even
number of negations, each once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

from encdb.errors import ProgrammingError, err
from proxy.search.analysis import Analyser, Analysis
from proxy.search.patterns import Pattern, read, refuse_quoted, require_few_patterns

MAX_QUERY_CHARACTERS: Final = 16_384
MAX_QUERY_DEPTH: Final = 100

_LEXEMES: Final = re.compile(
    r'(?P<blank>\s+)|(?P<mark>[()])|"(?P<phrase>[^"]*)"|(?P<minus>-(?=[^\s)]))|(?P<word>[^\s()"]+)'
)


@dataclass(frozen=True, slots=True)
class Term:
    """Documents that hold a token in any field."""

    token: str


@dataclass(frozen=True, slots=True)
class Phrase:
    """Documents that hold two or more tokens side by side, in this order, in one field."""

    tokens: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Similar:
    """Documents that hold one of the terms that a pattern stands for, in any field."""

    pattern: Pattern

    @property
    def token(self) -> str:
        """The key under which the postings of all its terms are joined."""
        return self.pattern.key


@dataclass(frozen=True, slots=True)
class And:
    """Documents that satisfy every part; there are at least two."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """Documents that satisfy some part; there are at least two."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """Documents that do not satisfy the part."""

    part: Node


Node: TypeAlias = Term | Similar | Phrase | And | Or | Not


@dataclass(frozen=True, slots=True)
class Query:
    """One analysed query.

    Attributes:
        text: what the user wrote.
        root: its tree.
        terms: every distinct token, sorted: the posting lists that the answer needs.
        patterns: every distinct pattern, by its key; the answer needs the lists of all its terms, joined.
        scored: the distinct tokens and keys of patterns that rank documents, sorted.
        has_phrases: whether the answer needs word positions.
        complemented: whether the answer is "all documents but a set", so that it needs the set of all.
    """

    text: str
    root: Node
    terms: tuple[str, ...]
    patterns: tuple[Pattern, ...]
    scored: tuple[str, ...]
    has_phrases: bool
    complemented: bool

    def require_positions(self, positions: bool) -> None:
        """Refuses phrases on an index without positions.

        Raises:
            ProgrammingError: E_NO_POSITIONS.
        """
        if self.has_phrases and not positions:
            raise err(
                ProgrammingError,
                "E_NO_POSITIONS",
                "the query has a phrase in double quotes, and the index keeps no word positions",
            )


def parse(text: str, analyse: Analyser) -> Query:
    """Reads one query.

    Args:
        text: at most 16,384 characters.
        analyse: the analyser of the index.

    Raises:
        ProgrammingError: E_MATCH_QUERY, with the position of what is wrong, counted from 1;
            E_MATCH_TOO_MANY, more than 64 patterns.
    """
    if len(text) > MAX_QUERY_CHARACTERS:
        raise _wrong(f"the query is longer than {MAX_QUERY_CHARACTERS:,} characters")
    root = _Parser(text, analyse).query()
    if root is None:
        raise _wrong("the search query has nothing to look for")
    found = list(_leaves(root, True))
    plain = [leaf for leaf, _ in found if not isinstance(leaf, Similar)]
    tokens = {token for leaf in plain for token in _tokens(leaf)}
    patterns = {leaf.token: leaf.pattern for leaf, _ in found if isinstance(leaf, Similar)}
    require_few_patterns(list(patterns.values()))
    scored = {token for leaf, positive in found if positive for token in _tokens(leaf)}
    return Query(
        text=text,
        root=root,
        terms=tuple(sorted(tokens)),
        patterns=tuple(patterns[key] for key in sorted(patterns)),
        scored=tuple(sorted(scored)),
        has_phrases=any(isinstance(leaf, Phrase) for leaf, _ in found),
        complemented=_complemented(root),
    )


def needs_texts(text: str, analysis: Analysis) -> bool:
    """Whether an index analysed so cannot answer a query: patterns need a dictionary.

    Raises:
        ProgrammingError: E_MATCH_QUERY.
    """
    return not analysis.dictionary and bool(parse(text, analysis.analyser).patterns)


@dataclass(frozen=True, slots=True)
class _Lexeme:
    kind: str
    """``and``, ``or``, ``not``, ``(``, ``)``, ``word``, ``phrase`` or ``end``."""
    text: str
    position: int


def _lexemes(text: str) -> Iterator[_Lexeme]:
    place = 0
    while place < len(text):
        match = _LEXEMES.match(text, place)
        if match is None:
            raise _wrong(f"the double quote at character {place + 1} is not closed")
        kind, found, start = str(match.lastgroup), match.group(), place
        place = match.end()
        if kind == "mark":
            yield _Lexeme(found, found, start)
        elif kind == "phrase":
            refuse_quoted(match.group("phrase"), start + 1)
            if text.startswith("~", place):
                raise _wrong(
                    f'the "~" at character {place + 1} follows a phrase; edits are those of one word'
                )
            yield _Lexeme(kind, match.group("phrase"), start)
        elif kind == "word" and found in {"AND", "OR", "NOT"}:
            yield _Lexeme(found.lower(), found, start)
        elif kind == "minus":
            yield _Lexeme("not", found, start)
        elif kind == "word":
            yield _Lexeme(kind, found, start)
    yield _Lexeme("end", "", len(text))


class _Parser:
    """Recursive descent, at most `MAX_QUERY_DEPTH` deep. A node is None when it asks for nothing."""

    def __init__(self, text: str, analyse: Analyser) -> None:
        self._lexemes = _lexemes(text)
        self._next = next(self._lexemes)
        self._analyse = analyse
        self._depth = 0

    def query(self) -> Node | None:
        if self._next.kind == "end":
            return None
        root = self._any()
        if self._next.kind != "end":
            raise _wrong(f'the ")" at character {self._next.position + 1} closes nothing')
        return root

    def _take(self) -> _Lexeme:
        taken = self._next
        self._next = next(self._lexemes)
        return taken

    def _any(self) -> Node | None:
        parts = [self._all()]
        while self._next.kind == "or":
            self._take()
            parts.append(self._all())
        return _join(parts, Or)

    def _all(self) -> Node | None:
        parts = [self._unit()]
        while self._next.kind not in {"or", ")", "end"}:
            if self._next.kind == "and":
                self._take()
            parts.append(self._unit())
        return _join(parts, And)

    def _unit(self) -> Node | None:
        negated = False
        while self._next.kind == "not":
            self._take()
            negated = not negated
        lexeme = self._take() if self._next.kind != "end" else self._next
        node: Node | None
        if lexeme.kind == "(":
            self._depth += 1
            if self._depth > MAX_QUERY_DEPTH:
                raise _wrong(f"the query is nested deeper than {MAX_QUERY_DEPTH} levels")
            node = self._any()
            if self._next.kind != ")":
                raise _wrong(f'the "(" at character {lexeme.position + 1} is not closed')
            self._take()
            self._depth -= 1
        elif lexeme.kind == "phrase":
            tokens = tuple(self._analyse(lexeme.text))
            node = Phrase(tokens) if len(tokens) > 1 else _term(tokens)
        elif lexeme.kind == "word":
            node = self._word(lexeme)
        else:
            seen = f'before "{lexeme.text}"' if lexeme.text else "at the end"
            raise _wrong(f"a word is missing {seen}, at character {lexeme.position + 1}")
        return Not(node) if negated and node is not None else node

    def _word(self, lexeme: _Lexeme) -> Node | None:
        pattern = read(lexeme.text, lexeme.position, self._analyse)
        if pattern is not None:
            return Similar(pattern)
        return _term(tuple(self._analyse(lexeme.text)))


def _term(tokens: tuple[str, ...]) -> Node | None:
    return _join([Term(token) for token in dict.fromkeys(tokens)], And)


def _join(parts: list[Node | None] | list[Term], kind: type[And | Or]) -> Node | None:
    """One node over the parts that ask for something; nested nodes of the same kind are merged."""
    flat: list[Node] = []
    for part in parts:
        if isinstance(part, kind):
            flat.extend(part.parts)
        elif part is not None:
            flat.append(part)
    if len(flat) < 2:
        return flat[0] if flat else None
    return kind(tuple(flat))


def _leaves(node: Node, positive: bool) -> Iterator[tuple[Term | Similar | Phrase, bool]]:
    if isinstance(node, Not):
        yield from _leaves(node.part, not positive)
    elif isinstance(node, And | Or):
        for part in node.parts:
            yield from _leaves(part, positive)
    else:
        yield node, positive


def _tokens(leaf: Term | Similar | Phrase) -> tuple[str, ...]:
    return leaf.tokens if isinstance(leaf, Phrase) else (leaf.token,)


def _complemented(node: Node) -> bool:
    """Whether set algebra without a universe can only say what the answer excludes."""
    if isinstance(node, Not):
        return not _complemented(node.part)
    if isinstance(node, And):
        return all(_complemented(part) for part in node.parts)
    if isinstance(node, Or):
        return any(_complemented(part) for part in node.parts)
    return False


def _wrong(message: str, fix: str | None = None) -> ProgrammingError:
    return err(ProgrammingError, "E_MATCH_QUERY", message, fix)
