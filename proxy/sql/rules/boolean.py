"""Rule 5: AND, OR and NOT.

A conjunction pushes whatever of it can be pushed. A disjunction pushes to a table only if every arm
restricts that table: in ``a.x = 1 OR b.y = 2`` rows of a without x = 1 are needed as well. NOT is pushed
only when De Morgan's laws bring it down to a condition that is understood.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from sqlglot import exp

from ...catalog import Column
from ..predicates import EVERYTHING, Predicate, conjunction, disjunction
from ..scope import Atom, Block, Both, Either, Ready, Source, Tree
from .atoms import Conditions, MatchNumbers, atom


@dataclass(frozen=True, slots=True)
class Extracted:
    """Conditions per source that follow from an expression, and whether they say all of it."""

    conditions: Conditions
    exact: bool


NOTHING_KNOWN = Extracted({}, exact=False)


def extract(
    block: Block, node: exp.Expr, matches: MatchNumbers, *, negate: bool = False
) -> Extracted:
    """The conditions on single sources that an expression being true (or false) implies."""
    while isinstance(node, exp.Paren | exp.Not):
        negate = negate != isinstance(node, exp.Not)
        node = node.this
    if isinstance(node, exp.And | exp.Or):
        arms = [extract(block, arm, matches, negate=negate) for arm in flatten(node)]
        return all_of(arms) if isinstance(node, exp.And) != negate else any_of(arms)
    if isinstance(node, exp.Boolean):
        return Extracted({}, exact=bool(node.this) != negate)
    if isinstance(node, exp.Between) and negate:
        return _outside(block, node, matches)
    if isinstance(node, exp.In) and not negate and isinstance(node.this, exp.Tuple):
        return _row_in(block, node, matches)
    parts = atom(block, node, matches, negate=negate)
    if parts is None:
        return NOTHING_KNOWN
    return all_of([Extracted({source: tree}, exact=True) for source, tree in parts])


def flatten(node: exp.Expr) -> list[exp.Expr]:
    """The operands of a chain of equal connectives; long chains are deep trees."""
    kind = type(node)
    found: list[exp.Expr] = []
    stack: list[exp.Expr] = [node]
    while stack:
        current = stack.pop()
        if type(current) is kind:
            stack += [current.expression, current.this]
        elif isinstance(current, exp.Paren) and type(current.this) is kind:
            stack.append(current.this)
        else:
            found.append(current)
    return found


def all_of(arms: Iterable[Extracted]) -> Extracted:
    """The conditions of a conjunction."""
    merged: dict[Source, list[Tree]] = {}
    exact = True
    for arm in arms:
        exact = exact and arm.exact
        for source, tree in arm.conditions.items():
            merged.setdefault(source, []).append(tree)
    return Extracted({source: both(trees) for source, trees in merged.items()}, exact)


def any_of(arms: list[Extracted]) -> Extracted:
    """The conditions of a disjunction: for the sources that every arm restricts."""
    if any(arm.exact and not arm.conditions for arm in arms):
        # One arm is true of every row.
        return Extracted({}, exact=True)
    common = [
        source for source in arms[0].conditions if all(source in arm.conditions for arm in arms)
    ]
    exact = all(arm.exact and len(arm.conditions) == 1 for arm in arms) and len(common) == 1
    conditions: Conditions = {
        source: Either(tuple(arm.conditions[source] for arm in arms)) for source in common
    }
    return Extracted(conditions, exact)


def both(trees: list[Tree]) -> Tree:
    """The conjunction of at least one condition."""
    return trees[0] if len(trees) == 1 else Both(tuple(trees))


def _outside(block: Block, node: exp.Between, matches: MatchNumbers) -> Extracted:
    """NOT BETWEEN: below or above.

    Both ends are compared in one type, so both must be constants that BETWEEN could push; a lone
    comparison might be made in another type.
    """
    low = exp.LT(this=node.this.copy(), expression=node.args["low"].copy())
    high = exp.GT(this=node.this.copy(), expression=node.args["high"].copy())
    inside = atom(block, node, matches, negate=False)
    if inside is None:
        return NOTHING_KNOWN
    arms = [extract(block, low, matches), extract(block, high, matches)]
    found = any_of(arms)
    guarded = {source: _guard(tree, inside[0][1]) for source, tree in found.conditions.items()}
    return Extracted(guarded, found.exact)


def _guard(tree: Tree, needed: Tree) -> Tree:
    """A disjunction of two atoms on one column, pushed only if another atom on it could be."""
    if not isinstance(tree, Either) or not isinstance(needed, Atom):
        return tree
    test = needed.build
    return Either(tuple(_guarded(part, test) for part in tree.parts))


def _guarded(part: Tree, test: Callable[[Column], tuple[Predicate, bool] | None]) -> Tree:
    if not isinstance(part, Atom):
        return part
    build = part.build
    return Atom(part.position, lambda column: None if test(column) is None else build(column))


def _row_in(block: Block, node: exp.In, matches: MatchNumbers) -> Extracted:
    """``(a, b) IN ((1, 2), (3, 4))``."""
    if node.args.get("query") is not None or not node.expressions:
        return NOTHING_KNOWN
    arms = []
    for row in node.expressions:
        if not isinstance(row, exp.Tuple):
            return NOTHING_KNOWN
        equality = exp.EQ(this=node.this.copy(), expression=row.copy())
        arms.append(extract(block, equality, matches))
    return any_of(arms)


def lower(tree: Tree, columns: tuple[Column, ...]) -> tuple[Predicate | None, bool]:
    """A condition in terms of a base table's columns.

    Returns:
        The predicate, or None when nothing of the condition can be pushed; and whether it says all.
    """
    if isinstance(tree, Ready):
        return tree.predicate, True
    if isinstance(tree, Atom):
        built = tree.build(columns[tree.position])
        if built is None or built[0] == EVERYTHING:
            return None, False
        return built
    parts = [lower(part, columns) for part in tree.parts]
    exact = all(part_exact for _, part_exact in parts)
    predicates = [predicate for predicate, _ in parts if predicate is not None]
    if isinstance(tree, Both):
        return (conjunction(predicates) if predicates else None), exact
    if len(predicates) < len(parts):
        return None, False
    return disjunction(predicates), exact
