"""From predicates to ordinals: which rows the indexes say may match.

The answer is a superset of the matching rows or, when no index serves a predicate, everything. The
query itself rechecks every row that is fetched, so an index decides only how much is read.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from proxy.arrow import Ordinals
from proxy.sql.predicates import And, Equals, Or, Predicate

from .probes import Context, Probe, probes_for
from .probes.base import EMPTY, FEW


class Lookup:
    """Serves the predicates of one table access from its indexes.

    Args:
        context: the table and the access's ``@@`` columns.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self.used: list[str] = []

    def find(self, predicate: Predicate | None) -> Ordinals | None:
        """Candidates for a predicate: live ordinals ascending, or None when no index serves it."""
        if predicate is None:
            return None
        if isinstance(predicate, Or):
            return self._either(predicate.parts)
        return self._all(predicate.parts if isinstance(predicate, And) else (predicate,))

    def _either(self, parts: Sequence[Predicate]) -> Ordinals | None:
        found: list[Ordinals] = []
        for part in parts:
            one = self.find(part)
            if one is None:
                return None
            found.append(one)
        return np.unique(np.concatenate(found)) if found else EMPTY

    def _all(self, parts: Sequence[Predicate]) -> Ordinals | None:
        """The most selective kinds first; what is small already is not narrowed further."""
        found: Ordinals | None = None
        covered: set[Predicate] = set()
        for probe in sorted(probes_for(self._context, parts), key=_order):
            if found is not None and len(found) <= FEW:
                return found
            if covered.issuperset(probe.covers):
                continue
            one = self._run(probe)
            if one is not None:
                covered.update(probe.covers)
                found = intersection(found, one)
        for part in parts:
            if found is not None and len(found) <= FEW:
                return found
            if isinstance(part, Or):
                one = self._either(part.parts)
                if one is not None:
                    found = intersection(found, one)
        return found

    def exact(self, equalities: Sequence[Equals]) -> Ordinals | None:
        """Live rows under some of the equalities, by the first equality index that serves them."""
        probes = [
            one for one in probes_for(self._context, equalities) if one.index.method == "equality"
        ]
        return self._run(min(probes, key=_order)) if probes else None

    def _run(self, probe: Probe) -> Ordinals | None:
        found = probe.run()
        if found is not None and probe.index.name not in self.used:
            self.used.append(probe.index.name)
        return found


def _order(probe: Probe) -> tuple[int, bool]:
    """Selective kinds first; a word is found by fewer pages than a range."""
    return probe.rank, probe.index.method != "equality"


def intersection(found: Ordinals | None, more: Ordinals) -> Ordinals:
    """What is in both; everything is in None."""
    if found is None:
        return more
    return np.intersect1d(found, more, assume_unique=True)
