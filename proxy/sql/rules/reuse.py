"""Rule 9: a table that a statement mentions k times is fetched once, by the OR of its k predicates.

If one mention has none, the table is scanned: in ``SELECT … FROM t a, t b WHERE a.x = 1`` every row of t is
needed for b.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..predicates import Predicate, disjunction
from ..scope import Source
from .boolean import both, lower


def table_predicate(sources: Sequence[Source]) -> tuple[Predicate | None, bool]:
    """The predicate of a base table, from all its mentions, and whether it says all they say."""
    predicates: list[Predicate] = []
    exact = True
    for source in sources:
        if source.table is None or not source.trees:
            return None, False
        predicate, says_all = lower(both(list(source.trees)), source.table.columns)
        if predicate is None:
            return None, False
        predicates.append(predicate)
        exact = exact and says_all
    return disjunction(predicates), exact
