"""The residents of a made-up county, as rows for a CSV file."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from proxy.demo.draw import Draw

COLUMNS = ("id", "name", "age", "zip", "city", "occupation", "income", "moved_in")
RESIDENTS = 4000

# (zip, city, share of the county, mean age): young around the college, old by the lake.
_PLACES = (
    ("04001", "Millbrook", 9.0, 41.0),
    ("04002", "Millbrook", 7.0, 38.5),
    ("04010", "Ashford", 5.0, 44.0),
    ("04011", "College Hill", 4.0, 26.0),
    ("04020", "Lakeside", 3.0, 58.0),
    ("04021", "Pine Harbor", 2.0, 52.0),
    ("04030", "Stony Creek", 1.5, 43.0),
    ("04031", "North Fork", 0.5, 47.0),
)
_FIRST = (
    "Ada Amir Bea Boris Clara Chidi Dana Diego Elif Emil Fay Felix Grace Gus Hana Hugo Ines Ivan "
    "Jana Jonas Kim Kofi Lena Liam Mara Milo Nia Noel Olga Omar Petra Paul Rosa Ravi Sara Sven "
    "Tara Timo Uma Viktor Wanda Yusuf Zoe Zane"
)
_LAST = (
    "Abbott Bergstrom Castillo Dufresne Eastman Fairbanks Grunwald Hathaway Ivanova Jankowski "
    "Kowalczyk Lindqvist Montgomery Nakamura Okonkwo Pemberton Quesada Rosenthal Sandoval "
    "Thibodeaux Underhill Vandermeer Whitfield Yamamoto Zimmermann"
)
# (occupation, weight, mean yearly income)
_WORK = (
    ("teacher", 5.0, 48_000),
    ("nurse", 5.0, 56_000),
    ("carpenter", 4.0, 43_000),
    ("farmer", 3.0, 38_000),
    ("clerk", 6.0, 35_000),
    ("engineer", 3.0, 82_000),
    ("driver", 5.0, 37_000),
    ("cook", 4.0, 29_000),
)


def residents(count: int = RESIDENTS) -> Iterator[tuple[object, ...]]:
    """Rows in the order of :data:`COLUMNS`. Some occupations and incomes are missing (None)."""
    draw = Draw("residents")
    first, last = _FIRST.split(), _LAST.split()
    weights = [share for _, _, share, _ in _PLACES]
    for number in range(1, count + 1):
        code, city, _, mean_age = draw.weighted(_PLACES, weights)
        name = f"{draw.one_of(first)} {draw.one_of(last)}"
        age = max(0, min(101, round(draw.bell(mean_age, 32))))
        occupation: str | None = None
        income: str | None = None
        if 18 <= age < 70 and not draw.happens(0.08):
            work, _, mean_income = draw.weighted(_WORK, [weight for _, weight, _ in _WORK])
            occupation = "student" if city == "College Hill" and age < 25 else work
            mean_income = 9_000 if occupation == "student" else mean_income
            income = f"{max(4_000.0, draw.bell(mean_income, mean_income / 3)):.2f}"
        year, month, day = 2026 - draw.below(30), 1 + draw.below(12), 1 + draw.below(28)
        moved_in = f"{year:04}-{month:02}-{day:02}"
        yield number, name, age, code, city, occupation, income, moved_in


def write_csv(path: Path, count: int = RESIDENTS) -> None:
    """Write the residents to a CSV file, NULL as an empty field."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(residents(count))
