"""From predicates to ordinals: which rows the indexes say may match.

The answer is a superset of the matching rows or, when no index serves a predicate or none is worth it,
everything. The query itself rechecks every row that is fetched, so an index decides only how much is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, partial
from math import prod

import numpy as np

from proxy.arrow import Ordinals
from proxy.covering import is_covering
from proxy.sql.predicates import And, Equals, Or, Predicate
from proxy.statistics.choice import Option, Outline, Report, Source, Step, following, outline
from proxy.statistics.cost import Costs
from proxy.statistics.estimate import Estimator

from .probes import Context, Probe, probes_for
from .probes.base import AMONG, EMPTY, FEW

COVERING = (-1, False)
"""The rank of values looked up in a covering index: no row is opened after it."""
LAST = (99, False)
"""The rank of a disjunction."""
FAR = 2
"""Estimates may be wrong, so rows are too many when they are this many times too many."""


class Lookup:
    """Serves the predicates of one table access from its indexes.

    Args:
        context: the table and the access's ``@@`` columns.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._costs: Costs | None = None
        self._refused: Step | None = None
        """What would be read for an arm of a disjunction that is left to a scan."""
        self._possible: dict[str, None] = {}
        self.steps: list[Step] = []

    @property
    def used(self) -> list[str]:
        """Names of the indexes that were read, each once."""
        return list(dict.fromkeys(name for step in self.steps for name in step.names))

    @cached_property
    def _estimator(self) -> Estimator:
        return Estimator(self._context.view)

    def _cost(self) -> Costs:
        if self._costs is None:
            view, statistics = self._context.view, self._estimator.statistics
            self._costs = Costs(view, self._context.columns, statistics)
        return self._costs

    # --- What could be read --------------------------------------------------------------------------

    def outlook(self, predicate: Predicate | None) -> Report:
        """What :meth:`find` does if all estimates are right; only statistics are read for it."""
        plan, rows = self._outline(predicate), self._estimator.rows
        possible = tuple(self._possible)
        if plan is None:
            return Report(rows, refused=self._refused, possible=possible)
        expected = None if plan.source is Source.GUESS else plan.rows
        return Report(rows, expected, plan.steps, plan.best or self._refused, possible)

    def _outline(self, predicate: Predicate | None) -> Outline | None:
        """What is meant to be done for a predicate; None when no index serves it."""
        if predicate is None:
            return None
        parts = parts_of(predicate)
        options = self._options(parts, probes_for(self._context, parts))
        return outline(options, self._cost()) if options else None

    def _options(self, parts: Sequence[Predicate], probes: Sequence[Probe]) -> list[Option]:
        """Every way to narrow a conjunction."""
        single = next(filter(_single, probes), None)
        if single is not None:
            self._possible[single.index.name] = None
            return [self._indexed(single)]
        self._possible.update((probe.index.name, None) for probe in probes)
        options = [self._indexed(probe) for probe in probes]
        return options + [
            one for part in parts if isinstance(part, Or) for one in self._either(part)
        ]

    def _indexed(self, probe: Probe) -> Option:
        """A probe as an option."""
        estimator = self._estimator
        known = [estimator.share(one) is not None for one in probe.covers]
        covering = is_covering(probe.index, self._context.columns)
        rank = _order(probe)
        if covering and rank[0] <= AMONG:
            rank = COVERING
        option = Option(
            names=probe.names,
            covers=probe.covers,
            share_of=estimator.guess,
            source=Source.STATISTICS if all(known) else Source.GUESS,
            read=lambda rows: self._cost().read(probe.index, probe.asked, rows),
            run=partial(self._run, probe),
            look=probe.estimate,
            rank=rank,
            correlation=estimator.correlation(probe.covers),
            covering=covering,
            together=True,
        )
        if probe.index.unique and estimator.rows:
            # This is known without statistics: a value is had by one row at most.
            option.joint = min(probe.asked / estimator.rows, 1.0)
            option.source = Source.STATISTICS
        return option

    def _either(self, part: Or) -> list[Option]:
        """A disjunction as an option, unless one of its arms is left to a scan."""
        plans = [self._outline(arm) for arm in part.parts]
        arms = [plan for plan in plans if plan is not None and plan.steps]
        if len(arms) < len(plans):
            bad = [plan.best for plan in plans if plan is not None and plan.best is not None]
            self._refused = next(iter(bad), self._refused)
            return []
        read = sum(arm.read for arm in arms)
        share = min(sum(arm.rows for arm in arms) / max(self._estimator.rows, 1), 1.0)
        return [
            Option(
                names=tuple(name for arm in arms for step in arm.steps for name in step.names),
                covers=(part,),
                share_of=lambda _part: share,
                source=min((arm.source for arm in arms), default=Source.STATISTICS),
                read=lambda _rows: read,
                run=partial(self._union, part),
                rank=LAST,
            )
        ]

    # --- Reading -------------------------------------------------------------------------------------

    def find(self, predicate: Predicate | None) -> Ordinals | None:
        """Candidates for a predicate: live ordinals ascending, or None when all rows are to be read."""
        if predicate is None:
            return None
        parts = parts_of(predicate)
        probes = probes_for(self._context, parts)
        single = next(filter(_single, probes), None)
        if single is not None:
            return self._run(single)
        return self._all(self._options(parts, probes))

    def _all(self, options: list[Option]) -> Ordinals | None:
        """What is in every option that is worth it; what is small already is not narrowed further."""
        found: Ordinals | None = None
        covered: frozenset[Predicate] = frozenset()
        while (option := self._following(options, found, covered)) is not None:
            options.remove(option)
            one = option.run()
            if one is not None:
                covered |= frozenset(option.covers)
                found = intersection(found, one)
                options = [other for other in options if not covered.issuperset(other.covers)]
                if option.covering:
                    break  # Nothing is opened, so there is nothing to be spared.
        return found

    def _following(
        self, options: Sequence[Option], found: Ordinals | None, covered: frozenset[Predicate]
    ) -> Option | None:
        """The option to take next; before one is taken by guess, it and its like are looked at closer."""
        if not options or (found is not None and len(found) <= FEW):
            return None
        chosen = self._chosen(options, found, covered)
        if chosen is None or chosen.look is None or chosen.source is not Source.GUESS:
            return chosen
        looks = {
            place: one.look
            for place, one in enumerate(options)
            if one.look is not None and one.source is Source.GUESS and one.rank[0] == chosen.rank[0]
        }
        if found is None and len(looks) == 1:
            return chosen  # It looks by itself before it reads.
        counts = self._context.view.state.channel.together(list(looks.values()))
        for place, rows in zip(looks, counts, strict=True):
            options[place].looked(rows, self._estimator.rows)
        return self._chosen(options, found, covered)

    def _chosen(
        self, options: Sequence[Option], found: Ordinals | None, covered: frozenset[Predicate]
    ) -> Option | None:
        if found is None and all(one.source is Source.GUESS for one in options):
            return min(options, key=lambda one: one.rank)
        return following(options, self._cost(), None if found is None else len(found), covered)

    def _union(self, part: Or) -> Ordinals | None:
        """What is in any arm, or None when one of them is left to a scan after all."""
        found: list[Ordinals] = []
        for arm in part.parts:
            one = self.find(arm)
            if one is None:
                return None
            found.append(one)
        return np.unique(np.concatenate(found)) if found else EMPTY

    def exact(self, equalities: Sequence[Equals], most: int) -> Ordinals | None:
        """Live rows under some of the equalities, by an equality index.

        Args:
            equalities: a conjunction.
            most: more rows than this are of no use.
        """
        probes = [
            one
            for one in probes_for(self._context, equalities)
            if one.index.method == "equality" or one.index.visible
        ]
        probe = next(filter(_single, probes), None) or self._rarest(probes, most)
        return None if probe is None else probe.run()

    def _rarest(self, probes: Sequence[Probe], most: int) -> Probe | None:
        """The probe of the fewest rows, or None when they are far too many by statistics."""
        if not probes or not self._context.view.state.statistics.present:
            return min(probes, key=_order, default=None)
        estimator = self._estimator
        if estimator.statistics is None:
            return min(probes, key=_order)
        if len(probes) == 1 and estimator.at_most(probes[0].covers) <= most:
            return probes[0]  # Whatever the values are, so they need not be looked up.
        expected = {place: estimator.rows_of(one.covers) for place, one in enumerate(probes)}
        place = min(expected, key=lambda one: (expected[one], _order(probes[one])))
        return None if expected[place] > FAR * most else probes[place]

    def _run(self, probe: Probe) -> Ordinals | None:
        found = probe.run()
        if found is not None:
            expected = self._expected(probe)
            self.steps.append(Step(probe.names, expected, len(found), together=True))
        return found

    def _expected(self, probe: Probe) -> float | None:
        """How many rows a probe was thought to list, as far as that was asked before."""
        if _single(probe):
            return 1.0
        shares = [self._estimator.asked(one) for one in probe.covers]
        known = [one for one in shares if one is not None]
        return prod(known) * self._estimator.rows if len(known) == len(shares) else None


def parts_of(predicate: Predicate) -> tuple[Predicate, ...]:
    """The conjuncts of a predicate."""
    return predicate.parts if isinstance(predicate, And) else (predicate,)


def _single(probe: Probe) -> bool:
    """Whether a probe lists one row at most, so that nothing can be better."""
    return probe.index.unique and probe.asked == 1


def _order(probe: Probe) -> tuple[int, bool]:
    """Selective kinds first; a word is found by fewer pages than a range."""
    return probe.rank, probe.index.method != "equality"


def intersection(found: Ordinals | None, more: Ordinals) -> Ordinals:
    """What is in both; everything is in None."""
    if found is None:
        return more
    return np.intersect1d(found, more, assume_unique=True)
