"""Text to tokens: the one analyser behind keyword indexes, search queries and plain scans.

An index finds a document only if both were analysed alike, so everything that turns text into terms
comes here. The steps are

1. *Words*: runs of letters, digits and combining marks; anything else, the underscore included,
   separates (``foo-bar`` and ``foo_bar`` are two words each). Ideographs and hiragana are not written
   with spaces and make one word each (as in Unicode's UAX 29).
2. *Form*: Unicode NFKC and case folding; soft hyphens, joiners and variation selectors are removed.
3. *Possessive*: in English, ``'s`` at the end of a word is dropped.
4. *Stop words*: dropped when the index asks for it; by default every word counts.
5. *Stem*: the Snowball stemmer of the language (Porter, "Snowball: a language for stemming algorithms",
   2001), from whoosh, which is pinned because its stems are what an index stores.
6. *Length*: at most 128 bytes of UTF-8. A longer token is cut there, so two tokens that agree in their
   first 128 bytes are one term.

The work per distinct word is done once and remembered; a text then costs one regular-expression scan
and one dictionary lookup a word. Normalisation runs on single bounded words, never on a whole text,
because Unicode's canonical reordering is quadratic in a run of combining marks.

It leaks nothing by itself. Stop words and stemming decide which terms exist, so they shape the posting
list lengths whose padded size an index shows.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import Any, Final

from encdb.errors import ProgrammingError, err
from proxy.catalog import suggest

DEFAULT_LANGUAGE: Final = "english"
NO_LANGUAGE: Final = "none"
"""Words are folded and nothing else: no stemming, no stop words, no possessives."""

LANGUAGES: Final[dict[str, str]] = {
    "danish": "da",
    "dutch": "nl",
    "english": "en",
    "finnish": "fi",
    "french": "fr",
    "german": "de",
    "hungarian": "hu",
    "italian": "it",
    "norwegian": "no",
    "portuguese": "pt",
    "romanian": "ro",
    "russian": "ru",
    "spanish": "es",
    "swedish": "sv",
}
"""Languages with a Snowball stemmer, and whoosh's codes for them."""

MAX_TOKEN_BYTES: Final = 128
"""Longest token, in bytes of UTF-8."""

# A word is cut to this many characters before it is normalised, which bounds the work on one word.
_MAX_WORD: Final = 1024
# Longer words are rare and mostly noise (encoded data), so remembering them would only cost memory.
_MAX_REMEMBERED_WORD: Final = 64
_MAX_REMEMBERED: Final = 1 << 18

# Scripts written without spaces, one character a word: hiragana and ideographs.
_ALONE = "\u3041-\u3096\u309d-\u309f\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
# Combining marks, which Python's \w leaves out although they belong to the word they stand in. In
# the Indic blocks the marks are scattered among the letters, so those blocks are taken whole.
_MARKS = (
    "\u0300-\u036f\u0483-\u0489\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a"
    "\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e4\u06e7\u06e8\u06ea-\u06ed\u0711\u0730-\u074a"
    "\u07a6-\u07b0\u0900-\u0963\u0966-\u0dff\u0e31\u0e34-\u0e3a\u0e47-\u0e4e\u0eb1\u0eb4-\u0ebc"
    "\u0ec8-\u0ece\u0f18\u0f19\u0f35\u0f37\u0f39\u0f71-\u0f84\u0f8d-\u0fbc\u102b-\u103e"
    "\u1056-\u1059\u135d-\u135f\u17b4-\u17d3\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20f0\u302a-\u302f"
    "\u3099\u309a\ufe20-\ufe2f"
)
# Invisible inside a word: soft hyphen, joiners, byte order mark, variation selectors.
_INVISIBLE = "\u00ad\u200c\u200d\u2060\ufe00-\ufe0f\ufeff"
INVISIBLE: Final[dict[int, None]] = dict.fromkeys(
    [0x00AD, 0x200C, 0x200D, 0x2060, *range(0xFE00, 0xFE10), 0xFEFF]
)
"""For `str.translate`, which drops them."""

_LETTER = rf"[^\W_{_ALONE}]"
_JOIN = rf"[{_MARKS}{_INVISIBLE}]"
_WORD = rf"{_LETTER}+(?:{_JOIN}+{_LETTER}*)*|[{_ALONE}]{_JOIN}*"
_ASCII_WORD = r"[0-9a-z]+"
_POSSESSIVE = "(?:['\u2019\uff07][sS](?![^\\W_]))?"

IN_WORD: Final = rf"(?:{_LETTER}|[{_MARKS}])"
"""Regular expression of one folded character that a word can hold beside others."""


@dataclass(frozen=True, slots=True)
class Analysis:
    """How the texts of one keyword index are analysed: the options of ``WITH (…)``.

    Attributes:
        language: a name of `LANGUAGES`, or ``none``.
        stopwords: whether the language's stop words are dropped.
        positions: whether the index keeps word positions, which phrases need.
        dictionary: whether the index keeps a dictionary of its terms, which patterns need; without one
            every text is read for them.
    """

    language: str = DEFAULT_LANGUAGE
    stopwords: bool = False
    positions: bool = False
    dictionary: bool = True

    @classmethod
    def from_options(cls, options: Iterable[tuple[str, str]]) -> Analysis:
        """Reads the options of a keyword index.

        Raises:
            ProgrammingError: E_UNKNOWN_OPTION, an option or its value is not known.
        """
        values = {
            "language": DEFAULT_LANGUAGE,
            "stopwords": "off",
            "positions": "off",
            "dictionary": "true",
        }
        for name, value in options:
            key = name.casefold()
            if key not in values:
                raise err(
                    ProgrammingError,
                    "E_UNKNOWN_OPTION",
                    f'a keyword index has no option "{name}"',
                    suggest(name, values),
                )
            values[key] = value
        language = values["language"].casefold()
        stopwords = _switch("stopwords", values["stopwords"])
        positions = _switch("positions", values["positions"])
        dictionary = _switch("dictionary", values["dictionary"])
        analyser(language, stopwords)
        return cls(language, stopwords, positions, dictionary)

    def to_options(self) -> tuple[tuple[str, str], ...]:
        """The options in their normal form, all of them, sorted by name."""
        return (
            ("dictionary", "true" if self.dictionary else "false"),
            ("language", self.language),
            ("positions", "on" if self.positions else "off"),
            ("stopwords", "on" if self.stopwords else "off"),
        )

    @property
    def analyser(self) -> Analyser:
        """The analyser for these options."""
        return analyser(self.language, self.stopwords)


class Analyser:
    """Turns texts into tokens. Get one from `analyser`, so that its memory is shared.

    Tokens are returned in the order of the text, so the position of a token is its index. Dropped
    stop words leave no gap. Any ``str`` is accepted, lone surrogates included; nothing is raised.
    """

    __slots__ = ("_ascii", "_unicode", "_words", "language", "stopwords")

    def __init__(self, language: str, stem: Callable[[str], str], stop: frozenset[str]) -> None:
        self.language = language
        self.stopwords = bool(stop)
        possessive = _POSSESSIVE if language == "english" else ""
        self._ascii = re.compile(f"({_ASCII_WORD}){possessive}").findall
        self._unicode = re.compile(f"({_WORD}){possessive}").findall
        self._words = _Words(stem, stop, self._unicode)

    def __call__(self, text: str) -> list[str]:
        """The tokens of one text."""
        words = self._ascii(text.lower()) if text.isascii() else self._unicode(text)
        return list(chain.from_iterable(map(self._words.__getitem__, words)))

    def many(self, texts: Iterable[str | None]) -> list[list[str]]:
        """The tokens of each text; none for NULL."""
        return [self(text) if text else [] for text in texts]


class _Words(dict[str, tuple[str, ...]]):
    """Word as found in a text → its tokens: one, none for a stop word, rarely several."""

    def __init__(
        self,
        stem: Callable[[str], str],
        stop: frozenset[str],
        split: Callable[[str], list[str]],
    ) -> None:
        super().__init__()
        self._stem = stem
        self._stop = stop
        self._split = split

    def __missing__(self, word: str) -> tuple[str, ...]:
        tokens = tuple(self._tokens(word))
        if len(word) <= _MAX_REMEMBERED_WORD:
            if len(self) >= _MAX_REMEMBERED:
                self.clear()
            self[word] = tokens
        return tokens

    def _tokens(self, word: str) -> Iterable[str]:
        folded = fold(word[:_MAX_WORD])
        # Compatibility forms may hold what separates words: a fraction slash, full stops.
        parts = [folded] if word.isascii() else self._split(folded)
        for part in parts:
            if part not in self._stop:
                token = _cut(part)
                yield _cut(self._stem(token)) or token


def fold(word: str) -> str:
    """A word, or a part of one, in the form of terms: letter case, compatibility forms, invisible marks.

    The result may hold what separates words. Takes time quadratic in a run of combining marks.
    """
    if word.isascii():
        return word.lower()
    folded = unicodedata.normalize("NFKC", word.translate(INVISIBLE)).casefold()
    return unicodedata.normalize("NFKC", folded)


def analyse(text: str, language: str = DEFAULT_LANGUAGE, stopwords: bool = False) -> list[str]:
    """The tokens of one text; `Analyser` has the details.

    Raises:
        ProgrammingError: E_UNKNOWN_OPTION, the language is not known.
    """
    return analyser(language, stopwords)(text)


def analyser(language: str = DEFAULT_LANGUAGE, stopwords: bool = False) -> Analyser:
    """The shared analyser of a language.

    Raises:
        ProgrammingError: E_UNKNOWN_OPTION, the language is not known or has no stop words.
    """
    return _shared(language, stopwords)


@lru_cache(maxsize=64)
def _shared(language: str, stopwords: bool) -> Analyser:
    if language not in LANGUAGES and language != NO_LANGUAGE:
        raise err(
            ProgrammingError,
            "E_UNKNOWN_OPTION",
            f'there is no analysis for the language "{language}"',
            suggest(language, (*LANGUAGES, NO_LANGUAGE)),
        )
    stop = _stop_words(language) if stopwords else frozenset[str]()
    return Analyser(language, _stemmer(language), stop)


def _stemmer(language: str) -> Callable[[str], str]:
    if language == NO_LANGUAGE:
        return str
    # whoosh is imported here because a session without keyword indexes never needs it.
    from whoosh.lang.snowball import classes

    stemmer: Any = classes[LANGUAGES[language]]()
    stem: Callable[[str], str] = stemmer.stem

    def safe_stem(word: str) -> str:
        # The stemmers index into words of at least some length; one that trips over a strange word
        # must neither stop an import nor lose the word.
        try:
            return stem(word)
        except (IndexError, ValueError, RecursionError):
            return word

    return safe_stem


def _stop_words(language: str) -> frozenset[str]:
    from whoosh.lang.stopwords import stoplists

    words = stoplists.get(LANGUAGES.get(language, ""))
    if not words:
        raise err(
            ProgrammingError,
            "E_UNKNOWN_OPTION",
            f'there is no list of stop words for the language "{language}"',
            "Leave the option stopwords off.",
        )
    return frozenset(words)


def _switch(name: str, value: str) -> bool:
    folded = value.casefold()
    if folded in {"on", "true", "yes", "1"}:
        return True
    if folded in {"off", "false", "no", "0"}:
        return False
    raise err(
        ProgrammingError,
        "E_UNKNOWN_OPTION",
        f'the option {name} cannot be "{value}"',
        "Use on or off.",
    )


def _cut(token: str) -> str:
    """At most 128 bytes of a token, in whole characters."""
    if len(token) * 4 <= MAX_TOKEN_BYTES:
        return token
    # Words hold no lone surrogates; "ignore" also drops a character that the limit cuts in two.
    return token.encode("utf-8", "ignore")[:MAX_TOKEN_BYTES].decode("utf-8", "ignore")
