"""Which indexes are worth reading for a conjunction, and in which order.

At each point the option is taken that leaves the least to do, if it leaves less than going on without it:
at first compared with reading all rows, later with opening the rows that are left. After each option the
count is known, so that a wrong estimate spoils one step and not the next. So few rows as ``FEW`` are read
whatever share of the table they are, and narrowed no further.

Where only the fences of a range index say how many rows there are, which is true to a page or two, a range
is left to a scan from half of the table on; where there is a guess, an index is preferred to a scan.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum

from ..arrow import Ordinals
from ..execute.probes.base import FEW, MOST_OF_TABLE
from ..sql.predicates import Predicate
from .cost import Costs


class Source(IntEnum):
    """Where an estimate comes from."""

    GUESS = 0
    FENCES = 1
    STATISTICS = 2


@dataclass(slots=True)
class Option:
    """One way to narrow a conjunction: an index, or a disjunction that indexes serve.

    Attributes:
        names: the indexes.
        covers: the conjuncts served.
        share_of: the share of rows that fulfil one of them.
        source: where shares come from.
        read: the cost of having so many rows listed.
        run: live ordinals, ascending, or None when that would be most of the table.
        look: about how many rows it lists, for which the store may have to be asked, if that can be said.
        rank: what decides between equal costs.
        correlation: of the rows listed with the order of the table.
        joint: the share of rows listed, where it is known better than by conjunct.
        together: whether every index has its say, not one of them for each alternative.
        covering: whether no row need be opened of those listed, because the index holds what is wanted.
    """

    names: tuple[str, ...]
    covers: tuple[Predicate, ...]
    share_of: Callable[[Predicate], float]
    source: Source
    read: Callable[[float], float]
    run: Callable[[], Ordinals | None]
    look: Callable[[], int | None] | None = None
    rank: tuple[int, bool] = (0, False)
    correlation: float = 0.0
    joint: float | None = None
    together: bool = False
    covering: bool = False

    def share(self, covered: frozenset[Predicate] = frozenset()) -> float:
        """The share of rows that fulfil what is not covered yet, among those that fulfil the rest."""
        if self.joint is not None and covered.isdisjoint(self.covers):
            return self.joint
        return math.prod(self.share_of(one) for one in self.covers if one not in covered)

    def looked(self, found: int | None, rows: int) -> None:
        """Take over what :attr:`look` said, of a table of so many rows."""
        self.look = None
        if found is not None:
            self.joint = min(found / rows, 1.0) if rows else 0.0
            self.source = Source.FENCES


@dataclass(frozen=True, slots=True)
class Step:
    """One option that was taken, or is meant to be.

    Attributes:
        names: its indexes.
        expected: rows that it lists, by estimate; None when that is a guess.
        found: rows that it listed, once it was run.
        together: whether every index has its say, not one of them for each alternative.
        covering: whether no row is opened of those listed.
    """

    names: tuple[str, ...]
    expected: float | None
    found: int | None = None
    together: bool = False
    covering: bool = False


@dataclass(frozen=True, slots=True)
class Outline:
    """What is meant to be done for a conjunction, before anything is read.

    Attributes:
        steps: in order; none for reading all rows.
        rows: rows that will be opened, by estimate.
        read: the cost of all steps.
        source: the worst source among the steps.
        best: the option that came nearest when none is worth it.
    """

    steps: tuple[Step, ...]
    rows: float
    read: float
    source: Source
    best: Step | None = None


def following(
    options: Sequence[Option], costs: Costs, found: int | None, covered: frozenset[Predicate]
) -> Option | None:
    """The option to take next, or None when none is worth it.

    Args:
        options: those that were not taken yet.
        costs: of the table.
        found: rows that are left, None for all.
        covered: conjuncts served so far.
    """
    if not options or (found is not None and found <= FEW):
        return None
    if found is None:
        return _first(options, costs)
    best = min(options, key=lambda one: (_after(one, costs, found, covered), one.rank))
    return best if _after(best, costs, found, covered) < costs.fetch(found) else None


def _first(options: Sequence[Option], costs: Costs) -> Option | None:
    for one in sorted(options, key=lambda one: (_total(one, costs), one.rank)):
        rows = one.share() * costs.rows
        if one.source is Source.GUESS or rows <= FEW:
            return one
        if one.source is Source.FENCES:
            if rows <= MOST_OF_TABLE * costs.rows:
                return one
        elif _total(one, costs) < costs.scan:
            return one
    return None


def _total(option: Option, costs: Costs) -> float:
    """The cost of reading an option and what it lists."""
    rows = option.share() * costs.rows
    if option.covering:
        return option.read(rows) + costs.decode(rows)
    return option.read(rows) + costs.fetch(rows, option.correlation)


def _after(option: Option, costs: Costs, found: int, covered: frozenset[Predicate]) -> float:
    """The cost of narrowing so many rows by an option and reading what is left."""
    listed = option.share() * costs.rows
    return option.read(listed) + costs.fetch(found * option.share(covered))


def outline(options: Sequence[Option], costs: Costs) -> Outline:
    """What will be done if all estimates are right."""
    steps: list[Step] = []
    covered: frozenset[Predicate] = frozenset()
    rows, found, read = float(costs.rows), None, 0.0
    source = Source.STATISTICS
    left = list(options)
    while (chosen := following(left, costs, found, covered)) is not None:
        rows *= chosen.share(covered)
        found = round(rows)
        read += chosen.read(chosen.share() * costs.rows)
        source = min(source, chosen.source)
        steps.append(_step(chosen, costs))
        covered |= frozenset(chosen.covers)
        left = [one for one in left if not covered.issuperset(one.covers)]
        if chosen.covering:
            break
    best = None
    if not steps and options:
        nearest = min(options, key=lambda one: _total(one, costs))
        best = _step(nearest, costs)
    return Outline(tuple(steps), rows, read, source, best)


def _step(option: Option, costs: Costs) -> Step:
    known = option.source is not Source.GUESS
    expected = option.share() * costs.rows if known else None
    return Step(option.names, expected, together=option.together, covering=option.covering)


@dataclass(frozen=True, slots=True)
class Report:
    """What is meant to be read for one predicate.

    Attributes:
        rows: live rows of the table.
        expected: rows that will be opened, by estimate; None when that is a guess.
        steps: the indexes to be read, in order.
        refused: what came nearest to being worth it, where everything is read instead.
        possible: every index that may be asked for something, whatever the real counts are: what is read
            is decided again after each step.
    """

    rows: int
    expected: float | None = None
    steps: tuple[Step, ...] = ()
    refused: Step | None = None
    possible: tuple[str, ...] = ()
