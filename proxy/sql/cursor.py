"""Reading a statement word by word, for what sqlglot does not parse."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from sqlglot import Token, TokenType

from encdb.errors import ProgrammingError, err

from .tokens import NO_WORD, Chunk, is_word, like, shown

_OPENING: Final = frozenset({TokenType.L_PAREN, TokenType.L_BRACKET})
_CLOSING: Final = frozenset({TokenType.R_PAREN, TokenType.R_BRACKET})


def _single_words(tokens: Sequence[Token]) -> tuple[Token, ...]:
    """Tokens of one word each; sqlglot's tokenizer joins some pairs, such as PRIMARY KEY."""
    result: list[Token] = []
    for token in tokens:
        words = token.text.split() if is_word(token) else []
        if len(words) < 2:
            result.append(token)
            continue
        result.extend(like(token, TokenType.VAR, word) for word in words)
    return tuple(result)


class Cursor:
    """Reads the tokens of a statement from left to right."""

    __slots__ = ("chunk", "position", "tokens")

    def __init__(self, chunk: Chunk) -> None:
        self.chunk = chunk
        self.tokens = _single_words(chunk.tokens)
        self.position = 0

    def text(self, tokens: Sequence[Token]) -> str:
        """The text between the first and the last of some tokens of the statement."""
        base = self.chunk.tokens[0].start
        return self.chunk.source[tokens[0].start - base : tokens[-1].end + 1 - base]

    def rest(self) -> Chunk:
        """What was not read yet, as a statement of its own."""
        token = self.peek()
        if token is None:
            raise self.error("expected a statement")
        remaining = tuple(one for one in self.chunk.tokens if one.start >= token.start)
        self.position = len(self.tokens)
        return Chunk(self.text(remaining), remaining, self.chunk.parameters)

    @property
    def ended(self) -> bool:
        """Whether all tokens were read."""
        return self.position >= len(self.tokens)

    def peek(self, ahead: int = 0) -> Token | None:
        """A token not read yet."""
        place = self.position + ahead
        return self.tokens[place] if place < len(self.tokens) else None

    def at(self, *words: str) -> bool:
        """Whether the next tokens are these unquoted words or symbols."""
        for ahead, word in enumerate(words):
            token = self.peek(ahead)
            if token is None or token.token_type in NO_WORD or token.text.upper() != word:
                return False
        return True

    def skip(self, *words: str) -> bool:
        """Read these words if they come next."""
        if not self.at(*words):
            return False
        self.position += len(words)
        return True

    def expect(self, *words: str) -> None:
        """Read these words; E_SYNTAX if something else comes."""
        if not self.skip(*words):
            raise self.error(f"expected {' '.join(words)}")

    def word(self) -> str:
        """Read one unquoted word, in upper case."""
        token = self.peek()
        if token is None or not is_word(token):
            raise self.error("expected a word")
        self.position += 1
        return str(token.text).upper()

    def name(self, what: str) -> str:
        """Read an identifier, quoted or not."""
        token = self.peek()
        if token is None or not (token.token_type is TokenType.IDENTIFIER or is_word(token)):
            raise self.error(f"expected the name of {what}")
        self.position += 1
        return str(token.text)

    def names(self, what: str) -> tuple[str, ...]:
        """Read ``( name [, name]… )``."""
        self.expect("(")
        found = [self.name(what)]
        while self.skip(","):
            found.append(self.name(what))
        self.expect(")")
        return tuple(found)

    def until(self, stop: Callable[[Token], bool]) -> tuple[Token, ...]:
        """Read tokens up to one, outside parentheses, for which ``stop`` holds."""
        start, depth = self.position, 0
        while (token := self.peek()) is not None:
            if depth == 0 and self.position > start and stop(token):
                break
            if token.token_type in _OPENING:
                depth += 1
            elif token.token_type in _CLOSING:
                if depth == 0:
                    break
                depth -= 1
            self.position += 1
        return tuple(self.tokens[start : self.position])

    def parenthesised(self) -> tuple[Token, ...]:
        """Read ``( … )`` and give the tokens within."""
        self.expect("(")
        inside = self.until(lambda _token: False)
        self.expect(")")
        return inside

    def error(self, message: str) -> ProgrammingError:
        """E_SYNTAX at the next token."""
        token = self.peek()
        place = f"at {shown(token)}, line {token.line}" if token is not None else "at the end"
        return err(ProgrammingError, "E_SYNTAX", f"syntax error {place}: {message}")

    def finish(self) -> None:
        """E_SYNTAX unless all tokens were read."""
        if not self.ended:
            raise self.error("nothing more is expected here")
