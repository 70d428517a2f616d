"""Made tables and texts of any size, the same in every run.

Rows look like a register of people: a dense key, a zip code of 300, an age, a nearly unique score for
ranges whose answer has the same size in every table, an amount, a date and a short note. The words of
notes follow Zipf's law over 20,000 made words, as those of real text do.
"""

from __future__ import annotations

import csv
import datetime as dt
import random
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

SEED = 20_231
SCORES = 1 << 40
ZIPS = 300
WORDS = 20_000
NOTE_WORDS = 12

COLUMNS = (
    ("id", "BIGINT"),
    ("name", "TEXT"),
    ("zip", "TEXT"),
    ("age", "INTEGER"),
    ("score", "BIGINT"),
    ("amount", "DECIMAL(12,2)"),
    ("born", "DATE"),
    ("notes", "TEXT"),
)

Row = tuple[int, str, str, int, int, str, str, str]


def _made_words() -> list[str]:
    """Distinct pronounceable words, shorter ones first, none of which stems to another."""
    consonants, vowels = "bdfgklmnprtvz", "aou"
    syllables = [c + v for c in consonants for v in vowels]
    random.Random(SEED).shuffle(syllables)
    base = len(syllables)
    words = []
    for number in range(WORDS):
        digits, rest = [], number + base
        while rest:
            rest, digit = divmod(rest, base)
            digits.append(syllables[digit])
        words.append("".join(digits) + "k")
    return words


WORD_LIST = _made_words()
_WEIGHTS = list(accumulate(1 / (rank + 1) for rank in range(WORDS)))


def word(rank: int) -> str:
    """The word of a rank; rank 0 is the most frequent."""
    return WORD_LIST[rank]


def rows(count: int, first: int = 1) -> Iterator[Row]:
    """Rows with ids ``first`` to ``first + count - 1``; a row depends on its id alone."""
    day_zero = dt.date(1930, 1, 1).toordinal()
    draw = random.Random()
    for number in range(first, first + count):
        draw.seed(SEED * 1_000_003 + number)
        picks = (draw.random() * _WEIGHTS[-1] for _ in range(NOTE_WORDS))
        yield (
            number,
            f"{word(draw.randrange(2000)).title()} {word(draw.randrange(WORDS)).title()}",
            f"{6000 + draw.randrange(ZIPS):05d}",
            draw.randrange(18, 95),
            draw.randrange(SCORES),
            f"{draw.randrange(10_000_000) / 100:.2f}",
            dt.date.fromordinal(day_zero + draw.randrange(25_000)).isoformat(),
            " ".join(WORD_LIST[bisect_left(_WEIGHTS, pick)] for pick in picks),
        )


@dataclass(frozen=True, slots=True)
class Register:
    """A made table as a CSV file."""

    path: Path
    count: int

    def rows(self) -> Iterator[list[str]]:
        """The file's rows as a loader sees them: text."""
        with self.path.open(newline="") as file:
            reader = csv.reader(file)
            next(reader)
            yield from reader


def register(folder: Path, count: int) -> Register:
    """Write a made table to ``folder``."""
    path = folder / f"register-{count}.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(name for name, _ in COLUMNS)
        writer.writerows(rows(count))
    return Register(path, count)


def score_range(count: int, wanted: int, seed: int) -> tuple[int, int]:
    """Bounds between which about ``wanted`` of ``count`` uniformly drawn scores lie."""
    width = SCORES * wanted // count
    low = random.Random(seed).randrange(max(1, SCORES - width))
    return low, low + width
