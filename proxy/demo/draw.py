"""Draws that give the same values in every version of Python.

Only ``Random.random`` is promised to keep its sequence for a seed, so everything is made from it.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

SEED = 20_261_104

_T = TypeVar("_T")


class Draw:
    """A source of repeatable draws, independent for each ``name``."""

    def __init__(self, name: str) -> None:
        self._uniform = random.Random(f"{SEED}/{name}").random  # noqa: S311 - demo data.

    def below(self, limit: int) -> int:
        """A whole number from 0 to ``limit - 1``."""
        return int(self._uniform() * limit)

    def one_of(self, items: Sequence[_T]) -> _T:
        """One item, all equally likely."""
        return items[self.below(len(items))]

    def weighted(self, items: Sequence[_T], weights: Sequence[float]) -> _T:
        """One item, each as likely as its weight says."""
        point = self._uniform() * sum(weights)
        for item, weight in zip(items, weights, strict=True):
            point -= weight
            if point < 0:
                return item
        return items[-1]

    def bell(self, centre: float, spread: float) -> float:
        """A value around ``centre``: the mean of four uniform draws, within two spreads."""
        mean = sum(self._uniform() for _ in range(4)) / 4
        return centre + (mean - 0.5) * 4 * spread

    def happens(self, probability: float) -> bool:
        """True with that probability."""
        return self._uniform() < probability
