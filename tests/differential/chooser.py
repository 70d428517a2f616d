"""Where the choices of a generated test come from: hypothesis, which shrinks them, or a seed."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from hypothesis import strategies as st

T = TypeVar("T")


class Chooser:
    """Makes all choices out of one kind: a whole number between two others.

    Args:
        number: returns a whole number of a closed range; simple choices are small numbers.
    """

    def __init__(self, number: Callable[[int, int], int]) -> None:
        self.number = number

    @classmethod
    def drawing(cls, data: Any) -> Chooser:
        """Choices of hypothesis, from the ``data()`` of a test."""
        return cls(lambda low, high: data.draw(st.integers(low, high)))

    @classmethod
    def seeded(cls, seed: int) -> Chooser:
        """Choices of a generator of random numbers: long histories, no shrinking."""
        return cls(random.Random(seed).randint)

    def pick(self, options: Sequence[T]) -> T:
        """One of some options; simple ones should come first."""
        return options[self.number(0, len(options) - 1)]

    def chance(self, percent: int) -> bool:
        """Whether something with this probability happens; false is the simple case."""
        return self.number(0, 99) >= 100 - percent

    def some(self, options: Sequence[T], least: int = 0, most: int | None = None) -> list[T]:
        """Some of the options, each at most once, in their order."""
        count = self.number(least, min(len(options), most if most is not None else len(options)))
        rest = list(range(len(options)))
        chosen = sorted(rest.pop(self.number(0, len(rest) - 1)) for _ in range(count))
        return [options[place] for place in chosen]

    def times(self, least: int, most: int) -> range:
        """So many rounds of a loop."""
        return range(self.number(least, most))

    def weighted(self, options: Sequence[tuple[int, T]]) -> T:
        """One of some options with weights."""
        place = self.number(0, sum(weight for weight, _ in options) - 1)
        for weight, option in options:
            if place < weight:
                return option
            place -= weight
        raise AssertionError("weights add up")
