"""Patterns of a keyword query: prefixes, wildcards and misspelt words, and the terms that they stand for.

    kern*      terms that begin so            k?rn*l     ? is one character, * any number of them
    *nel       terms that end so              kernal~1   terms within so many edits, 1 or 2

A pattern is compared with *terms*, which are what the analyser made of words: folded, and in a language with a
stemmer, stems. Its letters are folded in the same way, and not stemmed, except that a prefix also finds the stem of
its own letters, so that ``running*`` finds what ``running`` finds. A misspelt word is stemmed as any word is.

An edit inserts, removes or replaces a character, or exchanges two neighbours (optimal string alignment;
Damerau, CACM 7(3), 1964).
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from encdb.errors import ProgrammingError, err

MOST_TERMS: Final = 1_024
"""A pattern stands for at most so many terms."""
LEAST_LETTERS: Final = 2
MOST_EDITS: Final = 2
MAX_PATTERN: Final = 128

# Letters may be followed by combining marks.
_LETTER: Final = r"[\w\u0300-\u036f]"
_FUZZY: Final = re.compile(r"(?P<word>.*\w)~(?P<edits>[0-9]*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Pattern:
    """One pattern.

    Attributes:
        key: its normal form, by which its postings are kept; no token looks like it.
        shape: the wildcard pattern, of folded letters, ``*`` and ``?``; or the misspelt token.
        edits: how many edits are allowed, 0 for a wildcard pattern.
        also: a token that a prefix stands for too: the stem of its letters.
    """

    key: str
    shape: str = field(repr=False)
    edits: int = 0
    also: str = field(default="", repr=False)

    @property
    def prefix(self) -> str:
        """What every term of a wildcard pattern begins with, ``also`` aside; empty when nothing is known."""
        return "" if self.edits else re.split(r"[*?]", self.shape, maxsplit=1)[0]

    @property
    def _also(self) -> tuple[str, ...]:
        return (self.also,) if self.also else ()

    def matches(self, token: str) -> bool:
        """Whether a term is among those it stands for."""
        if self.edits:
            return bool(distances(self.shape, [token], self.edits)[0] <= self.edits)
        return token in self._also or _compiled(self.shape)(token) is not None

    def among(self, tokens: Sequence[str]) -> list[str]:
        """The terms that it stands for, of those given."""
        if not self.edits:
            match, also = _compiled(self.shape), self._also
            return [token for token in tokens if token in also or match(token)]
        near = distances(self.shape, tokens, self.edits) <= self.edits
        return [tokens[place] for place in np.flatnonzero(near).tolist()]


def read(
    text: str,
    position: int,
    analyse: Callable[[str], list[str]],
    fold: Callable[[str], list[str]],
) -> Pattern | None:
    """The pattern that a word of a query is, or None when it is an ordinary word.

    Args:
        text: the word.
        position: where it begins in the query, counted from 0, for messages.
        analyse: the analyser of the index.
        fold: the same without stemming and stop words.

    Raises:
        ProgrammingError: E_MATCH_QUERY, a pattern that stands for too much or for nothing.
    """
    fuzzy = _FUZZY.fullmatch(text)
    if fuzzy is not None:
        return _misspelt(fuzzy["word"], fuzzy["edits"], position, analyse)
    # A question mark behind a word asks a question; one within or before it stands for a character.
    shape = text.rstrip("?") if not text.endswith("*") else text
    if not re.search(rf"{_LETTER}\*|[*?]\w", shape):
        return None
    return _wildcard(shape, position, analyse, fold)


def _misspelt(word: str, edits: str, position: int, analyse: Callable[[str], list[str]]) -> Pattern:
    count = int(edits[:3]) if edits else 1
    if not 1 <= count <= MOST_EDITS:
        raise _wrong(f'"~{edits[:3]}" at character {position + len(word) + 1}: write ~1 or ~2')
    tokens = analyse(word)
    if len(tokens) != 1:
        raise _wrong(
            f'the word before "~" at character {position + len(word) + 1} is not one plain word'
        )
    if len(tokens[0]) <= count:
        raise _wrong(
            f"the word at character {position + 1} is too short to be misspelt by {count} letters"
        )
    return Pattern(f"{tokens[0]}~{count}", tokens[0], count)


def _wildcard(
    text: str,
    position: int,
    analyse: Callable[[str], list[str]],
    fold: Callable[[str], list[str]],
) -> Pattern:
    if len(text) > MAX_PATTERN:
        raise _wrong(f"the pattern at character {position + 1} is longer than {MAX_PATTERN}")
    folded: list[str] = []
    for part in re.split(r"([*?])", text):
        if part in ("*", "?", ""):
            folded.append(part)
            continue
        found = fold(part)
        if len(found) != 1 or not re.fullmatch(f"{_LETTER}+", part):
            raise _wrong(
                f'the pattern "{text}" at character {position + 1} is not one word',
                "Give * and ? letters and digits only, or put the words in double quotes.",
            )
        folded += found
    shape = re.sub(r"\*+", "*", "".join(folded))
    letters = re.sub(r"[*?]", "", shape)
    if len(letters) < LEAST_LETTERS:
        raise _wrong(
            f'the pattern "{text}" at character {position + 1} stands for too much',
            f"Give it {LEAST_LETTERS} letters at least.",
        )
    also = ""
    if shape == f"{letters}*":
        stems = analyse(letters)
        also = stems[0] if len(stems) == 1 else ""
    return Pattern(shape, shape, also=also)


def require_few(pattern: Pattern, terms: Sequence[str]) -> None:
    """Refuse a pattern that stands for more terms than one query should ask for.

    Raises:
        ProgrammingError: E_MATCH_QUERY.
    """
    if len(terms) > MOST_TERMS:
        raise _wrong(
            f'the pattern "{pattern.key}" stands for {len(terms):,} terms',
            f"Make it longer: {MOST_TERMS:,} terms are served.",
        )


def distances(word: str, tokens: Sequence[str], most: int) -> NDArray[np.int64]:
    """Edits between a word and each token, int64[n]; more than ``most`` where it is more than that.

    Tokens of one length are compared at once, character by character.
    """
    result = np.full(len(tokens), most + 1, dtype=np.int64)
    lengths = np.fromiter(map(len, tokens), dtype=np.int64, count=len(tokens))
    for length in range(max(len(word) - most, 0), len(word) + most + 1):
        places = np.flatnonzero(lengths == length)
        if not len(places):
            continue
        joined = "".join(tokens[place] for place in places.tolist())
        codes = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), dtype="<u4")
        result[places] = _aligned(word, codes.reshape(len(places), length))
    return result


def _aligned(word: str, tokens: NDArray[np.uint32]) -> NDArray[np.int64]:
    """Edits between a word and tokens of one length, uint32[n, length]."""
    count, length = tokens.shape
    codes = [ord(character) for character in word]
    before: NDArray[np.int64] = np.zeros((0, 0), dtype=np.int64)
    row = np.tile(np.arange(length + 1, dtype=np.int64), (count, 1))
    for i, code in enumerate(codes, start=1):
        following = np.empty_like(row)
        following[:, 0] = i
        for j in range(1, length + 1):
            replaced = row[:, j - 1] + (tokens[:, j - 1] != code)
            best = np.minimum(np.minimum(row[:, j], following[:, j - 1]) + 1, replaced)
            if i > 1 and j > 1:
                swapped = (tokens[:, j - 1] == codes[i - 2]) & (tokens[:, j - 2] == code)
                best = np.where(swapped, np.minimum(best, before[:, j - 2] + 1), best)
            following[:, j] = best
        before, row = row, following
    found: NDArray[np.int64] = row[:, length]
    return found


@lru_cache(maxsize=256)
def _compiled(shape: str) -> Callable[[str], re.Match[str] | None]:
    # What the library makes of * does not backtrack over itself; a shape has no brackets.
    return re.compile(fnmatch.translate(shape)).match


def every_term(patterns: Iterable[Pattern], tokens: Sequence[str]) -> dict[str, list[str]]:
    """The terms of each pattern, by its key, of the tokens given.

    Raises:
        ProgrammingError: E_MATCH_QUERY, a pattern stands for too many.
    """
    found: dict[str, list[str]] = {}
    for pattern in patterns:
        found[pattern.key] = pattern.among(tokens)
        require_few(pattern, found[pattern.key])
    return found


def _wrong(message: str, fix: str | None = None) -> ProgrammingError:
    return err(ProgrammingError, "E_MATCH_QUERY", message, fix)
