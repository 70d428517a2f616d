"""What the indexes of a table can do for a conjunction: one module per method makes its probes.

A probe is one index and the conjuncts that it serves. Which probes are run, and in which order, is
decided in `proxy.execute.lookup`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from proxy.sql.predicates import Predicate

from . import equality, keyword, ordered, substring, visible
from .base import Context, Probe, Prober

__all__ = ["Context", "Probe", "probes_for"]

PROBERS: Final[dict[str, Prober]] = {
    "equality": equality.probe,
    "range": ordered.probe,
    "keyword": keyword.probe,
    "substring": substring.probe,
}
"""By hidden method, what makes its probes; server-visible indexes of one table are asked together."""


def probes_for(context: Context, parts: Sequence[Predicate]) -> list[Probe]:
    """Every probe that serves some of these conjuncts: hidden ones in the order of the catalog first."""
    found: list[Probe] = []
    for index in context.view.table.indexes:
        served = () if index.visible else context.served(index, parts)
        if served:
            found += PROBERS[index.method](context, index, served)
    return [*found, *visible.probes(context, parts)]
