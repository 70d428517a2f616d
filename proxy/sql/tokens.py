"""Tokens: cutting a script into statements, numbering parameters, handing them to the parser.

Every decision about raw SQL is made on tokens of sqlglot's PostgreSQL tokenizer, never on text, so a
semicolon, comment mark or keyword within a string or a quoted identifier is never taken for one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import sqlglot
from sqlglot import Token, TokenType, exp
from sqlglot.errors import ParseError, TokenError

from encdb.errors import NotSupportedError, ProgrammingError, err

POSTGRES: Final = sqlglot.Dialect.get_or_raise("postgres")

MAX_STATEMENT_CHARACTERS: Final = 16 * 1024 * 1024
MAX_PARAMETERS: Final = 65_535

NO_WORD: Final = frozenset(
    {
        TokenType.STRING,
        TokenType.IDENTIFIER,
        TokenType.NUMBER,
        TokenType.HEREDOC_STRING,
        TokenType.BYTE_STRING,
        TokenType.HEX_STRING,
        TokenType.BIT_STRING,
        TokenType.UNICODE_STRING,
        TokenType.NATIONAL_STRING,
        TokenType.RAW_STRING,
    }
)
_QUESTION_MARKS: Final = frozenset({TokenType.PLACEHOLDER, TokenType.QDCOLON})


@dataclass(frozen=True, slots=True)
class Chunk:
    """One statement: its text and tokens, and how many parameters it has."""

    source: str
    tokens: tuple[Token, ...]
    parameters: int


_COMMANDS: Final = frozenset(POSTGRES.tokenizer_class.COMMANDS)
_BEFORE_COMMAND: Final = frozenset(POSTGRES.tokenizer_class.COMMAND_PREFIX_TOKENS)


def is_word(token: Token) -> bool:
    """Whether a token is an unquoted word: a keyword or a plain identifier."""
    return (
        token.token_type not in NO_WORD
        and bool(token.text)
        and (token.text[0].isalpha() or token.text[0] == "_")
    )


def shown(token: Token) -> str:
    """A token as an error may show it. Literals are hidden: messages end up in logs."""
    if token.token_type is TokenType.IDENTIFIER or is_word(token):
        return f'"{token.text}"'
    if token.token_type in NO_WORD:
        return "a literal"
    return f'"{token.text}"'


def tokenize(sql: str) -> list[Token]:
    """All tokens of a text; ProgrammingError E_SYNTAX where a quote or comment does not end."""
    if len(sql) > MAX_STATEMENT_CHARACTERS:
        raise err(
            ProgrammingError,
            "E_TOO_LARGE",
            f"the SQL text has more than {MAX_STATEMENT_CHARACTERS} characters",
            "Use parameters with executemany, or encdb import",
        )
    if "\x00" in sql:
        raise err(ProgrammingError, "E_SYNTAX", "the SQL text holds a NUL character")
    tokens: list[Token] = []
    offset = 0
    while True:
        found = _tokenize_from(sql, offset)
        command = _command(found)
        tokens += found if command is None else found[: command + 1]
        if command is None:
            return tokens
        offset = found[command].end + 1


def _command(tokens: Sequence[Token]) -> int | None:
    """Where the tokenizer swallowed the rest of a statement, as it does after EXPLAIN or VACUUM."""
    for place, token in enumerate(tokens):
        starts = place == 0 or tokens[place - 1].token_type in _BEFORE_COMMAND
        if starts and token.token_type in _COMMANDS and place + 1 < len(tokens):
            return place
    return None


def _tokenize_from(sql: str, offset: int) -> list[Token]:
    # After a parenthesis the tokenizer takes no word for a command.
    prefix = "( " if offset else ""
    try:
        # The blank: after a $1 the tokenizer takes '' at the very end of a text for an open string.
        found = list(POSTGRES.tokenize(f"{prefix}{sql[offset:]} "))
    except TokenError:
        # The tokenizer's own message repeats the text, which may hold values; it is dropped.
        raise err(
            ProgrammingError,
            "E_SYNTAX",
            "a string, quoted name or comment does not end",
            "Close the quote or comment",
        ) from None
    if not offset:
        return found
    shift, lines = offset - len(prefix), sql.count("\n", 0, offset)
    return [
        Token(
            one.token_type,
            one.text,
            one.line + lines,
            one.col,
            one.start + shift,
            one.end + shift,
        )
        for one in found[1:]
    ]


def split(sql: str) -> list[Chunk]:
    """The statements of a script, empty ones left out."""
    chunks: list[Chunk] = []
    pending: list[Token] = []
    for token in tokenize(sql):
        if token.token_type is TokenType.SEMICOLON:
            if pending:
                chunks.append(_chunk(sql, pending))
            pending = []
        else:
            pending.append(token)
    if pending:
        chunks.append(_chunk(sql, pending))
    return chunks


def _chunk(sql: str, tokens: list[Token]) -> Chunk:
    source = sql[tokens[0].start : tokens[-1].end + 1]
    _check_numbers(sql, tokens)
    numbered, count = _number_parameters(tokens)
    return Chunk(source, tuple(numbered), count)


def _check_numbers(sql: str, tokens: Sequence[Token]) -> None:
    """Refuse spellings of numbers that the parser would take for something else.

    ``1_000`` would become the number 1 with the alias ``_000``, and ``0x1F`` a byte string.
    """
    for position, token in enumerate(tokens):
        kind = token.token_type
        if kind is TokenType.HEX_STRING and sql[token.start] == "0":
            raise err(
                NotSupportedError,
                "E_NOT_SUPPORTED",
                "hexadecimal numbers are not supported",
                "Write the number in decimal, or x'…' for bytes",
            )
        if kind is TokenType.BIT_STRING:
            raise err(NotSupportedError, "E_NOT_SUPPORTED", "bit strings are not supported")
        if kind is TokenType.NUMBER and position + 1 < len(tokens):
            following = tokens[position + 1]
            if following.start == token.end + 1 and is_word(following):
                raise err(
                    ProgrammingError,
                    "E_SYNTAX",
                    f"a number is followed by {shown(following)} without a space",
                    "Write numbers without underscores, and put a space after them",
                )


def _number_parameters(tokens: list[Token]) -> tuple[list[Token], int]:
    """Write ``?`` as ``$1``, ``$2``, … in the order of the text; and count the parameters."""
    result: list[Token] = []
    count = highest = 0
    for position, token in enumerate(tokens):
        if token.text in ("?", "?::") and token.token_type in _QUESTION_MARKS:
            count += 1
            result.append(like(token, TokenType.PARAMETER, "$"))
            result.append(like(token, TokenType.NUMBER, str(count)))
            if token.text == "?::":
                result.append(like(token, TokenType.DCOLON, "::"))
            continue
        if token.token_type is TokenType.PARAMETER:
            highest = max(highest, _explicit(token, tokens, position))
        result.append(token)
    if count and highest:
        raise err(
            ProgrammingError,
            "E_PARAMETERS",
            "a statement cannot mix ? and $1 parameters",
            "Use one of the two forms",
        )
    if max(count, highest) > MAX_PARAMETERS:
        raise err(
            ProgrammingError,
            "E_PARAMETERS",
            f"a statement takes at most {MAX_PARAMETERS} parameters",
        )
    return result, max(count, highest)


def _explicit(token: Token, tokens: Sequence[Token], position: int) -> int:
    following = tokens[position + 1] if position + 1 < len(tokens) else None
    if (
        token.text == "$"
        and following is not None
        and following.token_type is TokenType.NUMBER
        and following.start == token.end + 1
        and following.text.isascii()
        and following.text.isdigit()
        and len(following.text) < 6
        and int(following.text) > 0
    ):
        return int(following.text)
    raise err(
        ProgrammingError,
        "E_PARAMETERS",
        f'"{token.text}" does not begin a parameter that is understood',
        "Write parameters as ? or as $1, $2, …",
    )


def like(token: Token, kind: TokenType, text: str) -> Token:
    """Another token in the place of one."""
    return Token(kind, text, token.line, token.col, token.start, token.end)


def parse_tokens(tokens: Sequence[Token], source: str) -> exp.Expr:
    """Sqlglot's tree of one statement; ProgrammingError E_SYNTAX when there is none."""
    try:
        trees = POSTGRES.parser().parse(list(tokens), source)
    except ParseError as error:
        raise syntax_error(tokens, error) from None
    except RecursionError:
        raise err(
            ProgrammingError, "E_TOO_LARGE", "the statement is nested too deeply", "Simplify it"
        ) from None
    found = [tree for tree in trees if tree is not None]
    if len(found) != 1:
        raise err(ProgrammingError, "E_SYNTAX", "the statement is not understood")
    return found[0]


def syntax_error(tokens: Sequence[Token], error: ParseError) -> ProgrammingError:
    """A parse error as one line that shows the place but never a literal."""
    detail = error.errors[0] if error.errors else {}
    line, column = detail.get("line"), detail.get("col")
    for token in tokens:
        if (token.line, token.col) == (line, column):
            what = f"syntax error at or near {shown(token)}, line {line}"
            return err(ProgrammingError, "E_SYNTAX", what)
    return err(ProgrammingError, "E_SYNTAX", "syntax error")
