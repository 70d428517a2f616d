"""Cuts typed or piped text into SQL statements at each ``;`` that ends one.

A semicolon inside a quoted text, a quoted name, a dollar-quoted text or a comment ends nothing. The
rules are PostgreSQL's lexical ones (chapter 4.1 of its manual): ``''`` and ``""`` stand for a quote,
block comments nest, ``E'…'`` knows backslash escapes, and ``$tag$ … $tag$`` quotes everything.
Text is fed in as it arrives, so a shell knows after every line whether a statement is still open.
"""

from __future__ import annotations

import re

_DOLLAR = re.compile(r"\$(?:[A-Za-z_\x80-\uffff][A-Za-z_0-9\x80-\uffff]*)?\$")
_WORD = re.compile(r"[A-Za-z_\x80-\uffff0-9$]")
# Everything that can begin or end something; what lies between needs no look.
_MARK = re.compile(r"""['";$]|--|/\*""")


class Splitter:
    """Collects text and gives back whole statements, each without its semicolon."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._has_content = False

    @property
    def pending(self) -> str:
        """Text of the statement that is still open."""
        return "".join(self._parts)

    @property
    def is_blank(self) -> bool:
        """Whether nothing but white space and comments waits."""
        return not self._has_content

    def feed(self, text: str) -> list[str]:
        """Add text; return the statements it completed, in order."""
        self._parts.append(text)
        # Most lines of a long statement hold no semicolon; looking at them now would make the
        # cost of a statement grow with the square of its length.
        if ";" not in text:
            self._has_content = self._has_content or has_content(self.pending)
            return []
        statements, rest = cut(self.pending)
        self._parts = [rest]
        self._has_content = has_content(rest)
        return [statement for statement in statements if has_content(statement)]

    def finish(self) -> str | None:
        """The last statement, which needs no semicolon; None if there is none."""
        rest = self.pending
        self.clear()
        return rest.strip() if has_content(rest) else None

    def clear(self) -> None:
        """Forget the open statement."""
        self._parts = []
        self._has_content = False


def cut(text: str) -> tuple[list[str], str]:
    """Complete statements of ``text`` and what follows the last of them."""
    statements = []
    start = place = 0
    while (mark := _MARK.search(text, place)) is not None:
        if mark.group() == ";":
            statements.append(text[start : mark.start()].strip())
            start = place = mark.end()
            continue
        after = _skip(text, mark)
        if after is None:
            break
        place = after
    return statements, text[start:]


def has_content(text: str) -> bool:
    """Whether anything but white space and comments is there."""
    place = 0
    while place < len(text):
        if text[place].isspace():
            place += 1
            continue
        mark = _MARK.match(text, place)
        if mark is None or mark.group() not in ("--", "/*"):
            return True
        after = _skip(text, mark)
        if after is None:
            # An open line comment ends with the text; an open block comment awaits its end.
            return mark.group() == "/*"
        place = after
    return False


def _skip(text: str, mark: re.Match[str]) -> int | None:
    """Where the quoted text or comment that begins at ``mark`` ends; None if it does not."""
    start = mark.end()
    match mark.group():
        case "--":
            return _after(text, "\n", start)
        case "/*":
            return _after_comment(text, start)
        case '"':
            return _after(text, '"', start)
        case "'":
            if _is_escape_text(text, mark.start()):
                return _after_escape_text(text, start)
            return _after(text, "'", start)
    before = text[mark.start() - 1] if mark.start() else " "
    opening = _DOLLAR.match(text, mark.start())
    # A dollar sign inside a name, as in a$b$c, and one of a parameter, as in $1, quote nothing.
    if opening is None or _WORD.match(before):
        return start
    return _after(text, opening.group(), opening.end())


def _after(text: str, closing: str, start: int) -> int | None:
    # A doubled quote closes one quoted text and opens the next, so it needs no case of its own.
    place = text.find(closing, start)
    return None if place < 0 else place + len(closing)


def _after_comment(text: str, start: int) -> int | None:
    depth = 1
    for mark in re.compile(r"/\*|\*/").finditer(text, start):
        depth += 1 if mark.group() == "/*" else -1
        if depth == 0:
            return mark.end()
    return None


def _is_escape_text(text: str, quote: int) -> bool:
    if quote == 0 or text[quote - 1] not in "eE":
        return False
    return quote == 1 or _WORD.match(text[quote - 2]) is None


def _after_escape_text(text: str, start: int) -> int | None:
    place = start
    while place < len(text):
        if text[place] == "\\":
            place += 2
        elif text[place] == "'":
            return place + 1
        else:
            place += 1
    return None
