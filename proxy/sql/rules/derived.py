"""Rules 6 and 7: through derived tables, common table expressions and set operations.

A condition on a column of a subquery holds for the column it repeats, so it may be applied before, unless
something in between looks at more rows than it gives out:

* LIMIT, OFFSET and DISTINCT ON choose rows: ``(SELECT * FROM t ORDER BY a LIMIT 3) s WHERE s.b = 1`` filters
  three rows, it does not find three.
* GROUP BY and windows look at whole groups: only conditions on grouping or PARTITION BY columns pass.
* recursive terms refer to themselves; volatile queries give other values when fewer rows are asked for.
* a set operation passes conditions into all arms, if the column has the same type in each; otherwise the
  outer comparison is made in a common type (``SELECT 5 UNION ALL SELECT '05'``).
"""

from __future__ import annotations

from collections.abc import Callable

from sqlglot import exp

from indexes.types import ColumnType

from ..scope import (
    Atom,
    Block,
    Both,
    Cte,
    Either,
    QueryNode,
    SetQuery,
    Source,
    Tree,
    blocks,
)
from .atoms import Conditions, MatchNumbers
from .boolean import Extracted, all_of, any_of, both
from .columns import source_column
from .filters import apply_filters

Remap = Callable[[int], tuple[Source, int] | None]


class Pusher:
    """Applies conditions to all sources of a statement, from the outside to the inside.

    Attributes:
        exact: for each block, whether the conditions taken from its WHERE say all of it.
    """

    def __init__(self, matches: MatchNumbers) -> None:
        self._matches = matches
        self.exact: dict[Block, bool] = {}

    def statement(self, query: QueryNode, ctes: list[Cte]) -> None:
        """Push within a whole statement. A CTE comes after everything that refers to it."""
        self.push(query, [])
        for cte in reversed(ctes):
            if cte.query is not None:
                self.push(cte.query, _arrived(cte))

    def push(self, query: QueryNode, arriving: list[Tree]) -> None:
        """Push within a query, with conditions on its output columns."""
        if query.limited:
            arriving = []
        if isinstance(query, Block):
            self._block(query, arriving)
        elif isinstance(query, SetQuery):
            passing = [tree for tree in arriving if _same_types(query, tree)]
            self.push(query.left, passing)
            self.push(query.right, passing)
            for nested in query.nested:
                self.push(nested, [])
        else:
            for nested in query.nested:
                self.push(nested, [])

    def _block(self, block: Block, arriving: list[Tree]) -> None:
        self.exact[block] = apply_filters(block, self._matches)
        if arriving and is_open(block):
            passing = passing_columns(block)
            for tree in arriving:
                for source, condition in _remapped(tree, passing).conditions.items():
                    source.trees.append(condition)
        for source in block.sources:
            if source.cte is not None:
                source.cte.arrivals.append(source.trees)
            elif source.query is not None:
                self.push(source.query, source.trees)
        for nested in block.nested.values():
            self.push(nested, [])


def _arrived(cte: Cte) -> list[Tree]:
    """Rule 9 for a CTE: the OR of what its references bring, if every one brings something."""
    if cte.recursive or not cte.arrivals or not all(cte.arrivals):
        return []
    if _is_volatile(cte.query):
        return []
    if len(cte.arrivals) == 1:
        return list(cte.arrivals[0])
    return [Either(tuple(both(list(trees)) for trees in cte.arrivals))]


def _is_volatile(query: QueryNode | None) -> bool:
    return query is not None and any(block.volatile for block in blocks(query))


def is_open(block: Block) -> bool:
    """Whether conditions may enter a block at all."""
    distinct = block.select.args.get("distinct")
    if block.volatile or (distinct is not None and distinct.args.get("on") is not None):
        return False
    group = block.select.args.get("group")
    if group is not None and any(
        group.args.get(key) for key in ("grouping_sets", "cube", "rollup")
    ):
        return False
    return block.outputs is not None


def passing_columns(block: Block) -> Remap:
    """From an output column to the source column that a condition on it may be applied to."""
    allowed: set[tuple[Source, int]] | None = None
    if block.aggregated:
        group = block.select.args.get("group")
        allowed = _columns(block, group.expressions if group is not None else [])
    for window in block.windows:
        # A window by name has its partition elsewhere; nothing passes it.
        parts = [] if window.args.get("alias") else window.args.get("partition_by") or []
        columns = _columns(block, parts)
        allowed = columns if allowed is None else allowed & columns
    outputs = block.outputs or []

    def remap(position: int) -> tuple[Source, int] | None:
        origin = outputs[position].origin if position < len(outputs) else None
        return origin if origin is not None and (allowed is None or origin in allowed) else None

    return remap


def _columns(block: Block, nodes: list[exp.Expr]) -> set[tuple[Source, int]]:
    found: set[tuple[Source, int]] = set()
    for node in nodes:
        column = source_column(block, node)
        if column is not None:
            found.add((column.source, column.position))
    return found


def _remapped(tree: Tree, remap: Remap) -> Extracted:
    """A condition on a query's output as conditions on its sources."""
    if isinstance(tree, Atom):
        origin = remap(tree.position)
        if origin is None:
            return Extracted({}, exact=False)
        source, position = origin
        conditions: Conditions = {source: Atom(position, tree.build)}
        return Extracted(conditions, exact=True)
    if isinstance(tree, Both):
        return all_of([_remapped(part, remap) for part in tree.parts])
    if isinstance(tree, Either):
        return any_of([_remapped(part, remap) for part in tree.parts])
    return Extracted({}, exact=False)


def _same_types(query: SetQuery, tree: Tree) -> bool:
    """Whether all columns of a condition have one type in all arms of a set operation."""
    for position in _positions(tree):
        types = {output_type(query.left, position), output_type(query.right, position)}
        if len(types) != 1 or None in types:
            return False
    return True


def _positions(tree: Tree) -> set[int]:
    if isinstance(tree, Atom):
        return {tree.position}
    found: set[int] = set()
    if isinstance(tree, Both | Either):
        for part in tree.parts:
            found |= _positions(part)
    return found


def output_type(query: QueryNode | None, position: int) -> ColumnType | None:
    """The type of a query's column, when it repeats columns of base tables only."""
    if isinstance(query, SetQuery):
        left, right = output_type(query.left, position), output_type(query.right, position)
        return left if left == right else None
    if not isinstance(query, Block) or query.outputs is None or position >= len(query.outputs):
        return None
    origin = query.outputs[position].origin
    if origin is None:
        return None
    source, place = origin
    if source.table is not None:
        return source.table.columns[place].type
    if source.cte is not None and source.cte.recursive:
        return None
    return output_type(source.query, place)
