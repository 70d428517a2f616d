"""Patterns of a keyword query: prefixes, wildcards and misspelt words, and the terms that they stand for.

    kern*      terms that begin so            k?rn*l     ? is one character, * any number of them
    *nel       terms that end so              kernal~1   terms within so many edits, 1 or 2

A pattern is compared with *terms*, which are what the analyser made of words: folded, and in a language with a
stemmer, stems. Its letters are folded in the same way, and not stemmed, except that a prefix also finds the stem of
its own letters, so that ``running*`` finds what ``running`` finds. A misspelt word is stemmed as any word is.
A character is a code point of the folded text. A question mark at the end of a word asks a question; one
before or within it is a wildcard.

An edit inserts, removes or replaces a character, or exchanges two neighbours, and no part of a word is edited
twice (optimal string alignment; Damerau, CACM 7(3), 1964). ``~`` alone means ``~1``.

Whether a term is meant depends on the pattern and the term alone, so a scan of texts and a dictionary of all
terms give the same answer. What looking in a dictionary shows to a store, `proxy.execute.dictionary` says.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from encdb.errors import ProgrammingError, err
from proxy.search.analysis import IN_WORD, INVISIBLE, fold

MOST_TERMS: Final = 1_024
"""A pattern stands for at most so many terms."""
MOST_PATTERNS: Final = 64
"""A query has at most so many patterns."""
LEAST_LETTERS: Final = 2
MAX_PATTERN: Final = 128
"""Most characters of a pattern."""

_EDITS: Final = {"": 1, "1": 1, "2": 2}
# Ideographs, which are words by themselves, and underscores make a pattern too, which is then refused.
_ANY: Final = rf"(?:\w|{IN_WORD})"
_FUZZY: Final = re.compile(rf"(?P<word>.*{_ANY})~(?P<edits>[0-9.]*)", re.DOTALL)
_WILD: Final = re.compile(rf"{_ANY}\?*\*|[*?]{_ANY}")
_QUOTED: Final = re.compile(rf"{_ANY}\*|\*{_ANY}|{_ANY}\?{_ANY}|{_ANY}~[0-9]+(?!{_ANY})")
_LETTERS: Final = re.compile(f"{IN_WORD}+")


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
    def narrow(self) -> bool:
        """Whether its terms lie together in a dictionary: it begins with letters enough to look there."""
        return len(self.prefix) >= LEAST_LETTERS

    @property
    def _also(self) -> tuple[str, ...]:
        return (self.also,) if self.also else ()

    def matches(self, token: str) -> bool:
        """Whether a term is among those it stands for."""
        if self.edits:
            return bool(distances(self.shape, [token], self.edits)[0] <= self.edits)
        return token in self._also or _compiled(self.shape)(token) is not None

    def among(self, tokens: Sequence[str]) -> list[str]:
        """The terms that it stands for, of those given, in their order."""
        if not self.edits:
            match, also = _compiled(self.shape), self._also
            return [token for token in tokens if token in also or match(token)]
        near = distances(self.shape, tokens, self.edits) <= self.edits
        return [tokens[place] for place in np.flatnonzero(near).tolist()]

    def listed(self, terms: pa.Array[Any]) -> list[str]:
        """`among` for an Arrow array of many terms, of which few become Python strings."""
        functions: Any = pc
        if self.edits:
            lengths = functions.utf8_length(terms).to_numpy()
            likely = np.abs(lengths - len(self.shape)) <= self.edits
        else:
            # The shape holds letters, digits and marks only, nothing that LIKE would take for its own.
            like = self.shape.replace("*", "%").replace("?", "_")
            likely = functions.match_like(terms, like).to_numpy(zero_copy_only=False)
            for one in self._also:
                likely |= functions.equal(terms, one).to_numpy(zero_copy_only=False)
        few: list[Any] = terms.filter(pa.array(likely)).to_pylist()
        return self.among(few)


def read(text: str, position: int, analyse: Callable[[str], list[str]]) -> Pattern | None:
    """The pattern that a word of a query is, or None when it is an ordinary word.

    Args:
        text: the word.
        position: where it begins in the query, counted from 0, for messages.
        analyse: the analyser of the index.

    Raises:
        ProgrammingError: E_MATCH_QUERY, a pattern that stands for too much or for nothing.
    """
    text = text.translate(INVISIBLE)
    if "~" in text and (fuzzy := _FUZZY.fullmatch(text)):
        return _misspelt(fuzzy["word"], fuzzy["edits"], position, analyse)
    shape = text.rstrip("?") if not text.endswith("*") else text
    if _WILD.search(shape) is None:
        return None
    return _wildcard(shape, position, analyse)


def refuse_quoted(text: str, position: int) -> None:
    """Refuse a phrase with a pattern in it, which would silently be taken for ordinary words.

    Args:
        text: what stands between double quotes.
        position: where it begins in the query, counted from 0.

    Raises:
        ProgrammingError: E_MATCH_QUERY.
    """
    found = _QUOTED.search(text)
    if found is not None:
        raise _wrong(
            f'the phrase has "{found.group()}" at character {position + found.start() + 1}, and a phrase '
            "holds no patterns",
            "Write whole words, or ask for the pattern outside of the quotes.",
        )


def _misspelt(word: str, edits: str, position: int, analyse: Callable[[str], list[str]]) -> Pattern:
    tilde = position + len(word) + 1
    count = _EDITS.get(edits)
    if count is None:
        raise _wrong(
            f'the "~{edits[:8]}" at character {tilde} is no number of edits', "Write ~1 or ~2."
        )
    tokens = analyse(word) if _LETTERS.fullmatch(fold(word[: MAX_PATTERN + 1])) else []
    if len(tokens) != 1 or len(word) > MAX_PATTERN:
        raise _wrong(f'what stands before the "~" at character {tilde} is not one plain word')
    (token,) = tokens
    if len(token) <= count:
        raise _wrong(
            f"the word at character {position + 1} is too short to be misspelt by {count} letters"
        )
    return Pattern(f"{token}~{count}", token, count)


def _wildcard(text: str, position: int, analyse: Callable[[str], list[str]]) -> Pattern:
    if len(text) > MAX_PATTERN:
        raise _wrong(
            f"the pattern at character {position + 1} is longer than {MAX_PATTERN} characters"
        )
    folded: list[str] = []
    for part in re.split(r"([*?])", text):
        wild = part in ("*", "?", "")
        folded.append(part if wild else fold(part))
        if not wild and not _LETTERS.fullmatch(folded[-1]):
            raise _wrong(
                f'the pattern "{text}" at character {position + 1} is not one word',
                "Give * and ? letters and digits only, or put the words in double quotes.",
            )
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


def require_few(pattern: Pattern, terms: Collection[str]) -> None:
    """Refuse a pattern that stands for more terms than one query should ask for.

    Raises:
        ProgrammingError: E_MATCH_TOO_MANY.
    """
    if len(terms) > MOST_TERMS:
        raise _too_many(
            f'the pattern "{pattern.key}" stands for more than {MOST_TERMS:,} terms of the index'
        )


def require_few_patterns(patterns: Sequence[Pattern]) -> None:
    """Refuse a query with more than 64 patterns.

    Raises:
        ProgrammingError: E_MATCH_TOO_MANY.
    """
    if len(patterns) > MOST_PATTERNS:
        raise _too_many(
            f"the query has {len(patterns):,} patterns; {MOST_PATTERNS} are served",
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
        ProgrammingError: E_MATCH_TOO_MANY, a pattern stands for too many.
    """
    found: dict[str, list[str]] = {}
    for pattern in patterns:
        found[pattern.key] = pattern.among(tokens)
        require_few(pattern, found[pattern.key])
    return found


def _wrong(message: str, fix: str | None = None) -> ProgrammingError:
    return err(ProgrammingError, "E_MATCH_QUERY", message, fix)


def _too_many(message: str) -> ProgrammingError:
    return err(ProgrammingError, "E_MATCH_TOO_MANY", message)
