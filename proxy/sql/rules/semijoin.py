"""Rule 8: reducing one table by the values that another was found to have.

Where rows of two tables matter only if ``a.x = b.y`` for some pair, the rows fetched of one tell which rows
of the other can matter. That holds for

* inner joins, both ways (in ON or WHERE);
* LEFT and RIGHT joins, from the preserved side to the null-supplying one only;
* ``x IN (SELECT y …)``, both ways, the inner one only if a condition on y could be pushed there (rule 6);
* EXISTS with ``y = outer.x`` in its WHERE, both ways; NOT EXISTS and scalar subqueries, inwards only;
* never NOT IN, whose answer depends on every row and on NULLs.

Both columns must have one type, so that equal values are equal index terms. A table that the statement mentions
several times is reduced only if the same reduction holds for every mention: the others need the other rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sqlglot import exp

from indexes.types import ColumnType, Kind

from ..access import SemiJoin
from ..scope import Block, Found, Join, Source, leaves, resolve, resolve_column
from .boolean import flatten
from .derived import is_open, passing_columns

_INTEGERS = frozenset({Kind.SMALLINT, Kind.INTEGER, Kind.BIGINT})
_UNORDERED = frozenset({Kind.JSON, Kind.INTERVAL})


@dataclass(frozen=True, slots=True)
class _Pair:
    """Two columns of base tables that must be equal, and which sides may be reduced."""

    left: Found
    right: Found
    to_left: bool
    to_right: bool


def semi_joins(
    blocks: list[Block], number: Callable[[Source], int], mentions: Callable[[Source], int]
) -> tuple[SemiJoin, ...]:
    """Every reduction that a statement allows.

    Args:
        blocks: all its blocks.
        number: the access number of a base table's source.
        mentions: how often the statement mentions that table.
    """
    # Which mentions of the target a reduction holds for; it is allowed if it holds for all of them.
    covered: dict[_Reduction, set[Source]] = {}
    wanted: dict[int, int] = {}
    for block in blocks:
        for pair in _pairs(block):
            for target, source in _directions(pair):
                reduction = _reduction(target, source, number)
                if reduction is not None:
                    covered.setdefault(reduction, set()).add(target.source)
                    wanted[reduction.target] = mentions(target.source)
    allowed = {one: None for one, held in covered.items() if len(held) == wanted[one.target]}
    return tuple(_joined(allowed))


@dataclass(frozen=True, slots=True)
class _Reduction:
    """Reducing one access by the values of another's column."""

    target: int
    target_column: int
    source: int
    source_column: int

    @property
    def converse(self) -> _Reduction:
        return _Reduction(self.source, self.source_column, self.target, self.target_column)


def _directions(pair: _Pair) -> Iterator[tuple[Found, Found]]:
    if pair.to_left:
        yield pair.left, pair.right
    if pair.to_right:
        yield pair.right, pair.left


def _reduction(target: Found, source: Found, number: Callable[[Source], int]) -> _Reduction | None:
    if target.column is None or source.column is None:
        return None
    if target.source.table == source.source.table:
        return None
    if not _comparable(target.column.type, source.column.type):
        return None
    return _Reduction(
        number(target.source), target.column.id, number(source.source), source.column.id
    )


def _joined(allowed: dict[_Reduction, None]) -> Iterator[SemiJoin]:
    """Reductions as semi-joins, the converse ones put together."""
    done: set[_Reduction] = set()
    for one in allowed:
        if one in done:
            continue
        done |= {one, one.converse}
        both = one.converse in allowed
        if one.source < one.target:
            left, right, to_left, to_right = one.source, one.target, both, True
            columns = (one.source_column, one.target_column)
        else:
            left, right, to_left, to_right = one.target, one.source, True, both
            columns = (one.target_column, one.source_column)
        yield SemiJoin(left, columns[0], right, columns[1], to_left, to_right)


def _comparable(left: ColumnType, right: ColumnType) -> bool:
    if left.kind in _UNORDERED:
        return False
    if left.kind in _INTEGERS:
        return right.kind in _INTEGERS
    if left.kind is Kind.DECIMAL:
        return left == right
    return left.kind is right.kind


def _pairs(block: Block) -> Iterator[_Pair]:
    yield from _join_pairs(block)
    where = block.select.args.get("where")
    if where is None:
        return
    for condition in conjuncts(where.this):
        if isinstance(condition, exp.EQ):
            yield from _where_pair(block, condition)
        elif isinstance(condition, exp.In):
            yield from _in_pair(block, condition)
        elif isinstance(condition, exp.Or):
            for equality in _common_equalities(condition):
                yield from _where_pair(block, equality)
    for nested_id, nested in block.nested.items():
        if isinstance(nested, Block):
            yield from _correlated_pairs(block, nested, nested_id, where.this)


def conjuncts(node: exp.Expr) -> list[exp.Expr]:
    """The operands of a chain of ANDs, parentheses removed."""
    found: list[exp.Expr] = []
    stack = [node]
    while stack:
        current = stack.pop()
        while isinstance(current, exp.Paren):
            current = current.this
        if isinstance(current, exp.And):
            stack += [current.expression, current.this]
        else:
            found.append(current)
    return found


def _common_equalities(node: exp.Or) -> list[exp.EQ]:
    """Equalities that all arms of an OR share, written alike: each arm implies them."""
    shared: dict[str, exp.EQ] | None = None
    for arm in flatten(node):
        equalities = {part.sql(): part for part in conjuncts(arm) if isinstance(part, exp.EQ)}
        if shared is None:
            shared = equalities
        else:
            shared = {text: part for text, part in shared.items() if text in equalities}
        if not shared:
            return []
    return list((shared or {}).values())


def _own(block: Block, node: exp.Expr, depth: int = 0) -> Found | None:
    """The base table's column that a reference is, at a given depth."""
    if not isinstance(node, exp.Column):
        return None
    found = resolve_column(block, node)
    if isinstance(found, Found) and found.depth == depth and found.source.table is not None:
        return found
    return None


def _where_pair(block: Block, node: exp.EQ) -> Iterator[_Pair]:
    left, right = _own(block, node.this), _own(block, node.expression)
    if left is None or right is None or left.source.nullable or right.source.nullable:
        return
    yield _Pair(left, right, to_left=True, to_right=True)


def _join_pairs(block: Block) -> Iterator[_Pair]:
    stack = [] if block.joins is None else [block.joins]
    while stack:
        join = stack.pop()
        if not isinstance(join, Join):
            continue
        stack += [join.left, join.right]
        lefts, rights = set(leaves(join.left)), set(leaves(join.right))
        for left, right in _equalities(block, join):
            if left.source in rights and right.source in lefts:
                left, right = right, left  # noqa: PLW2901 - the pair is put in the join's order.
            if left.source not in lefts or right.source not in rights:
                continue
            if join.side == "":
                if not (left.source.nullable or right.source.nullable):
                    yield _Pair(left, right, to_left=True, to_right=True)
            elif join.side == "LEFT":
                yield _Pair(left, right, to_left=False, to_right=True)
            elif join.side == "RIGHT":
                yield _Pair(left, right, to_left=True, to_right=False)


def _equalities(block: Block, join: Join) -> Iterator[tuple[Found, Found]]:
    for condition in [] if join.on is None else conjuncts(join.on):
        if isinstance(condition, exp.EQ):
            left, right = _own(block, condition.this), _own(block, condition.expression)
            if left is not None and right is not None:
                yield left, right
    for name in join.using:
        sides = []
        for part in (join.left, join.right):
            holders = [
                source
                for source in leaves(part)
                if source.columns is None or name in source.columns
            ]
            found = resolve(block, name, holders[0].alias) if len(holders) == 1 else None
            if isinstance(found, Found) and found.source.table is not None:
                sides.append(found)
        if len(sides) == 2:
            yield sides[0], sides[1]


def _in_pair(block: Block, node: exp.In) -> Iterator[_Pair]:
    query = node.args.get("query")
    left = _own(block, node.this)
    nested = block.nested.get(id(query)) if query is not None else None
    if left is None or left.source.nullable or not isinstance(nested, Block):
        return
    if nested.outputs is None or len(nested.outputs) != 1:
        return
    origin = nested.outputs[0].origin
    if origin is None or origin[0].table is None:
        return
    inward = not nested.limited and is_open(nested) and passing_columns(nested)(0) is not None
    yield _Pair(left, Found(origin[0], origin[1], 0), to_left=True, to_right=inward)


def _correlated_pairs(
    block: Block, nested: Block, nested_id: int, where: exp.Expr
) -> Iterator[_Pair]:
    inner_where = nested.select.args.get("where")
    if inner_where is None:
        return
    kind = _standing(block, nested_id, where)
    if kind is None:
        return
    outward = kind == "exists" and not nested.aggregated
    for condition in conjuncts(inner_where.this):
        if not isinstance(condition, exp.EQ):
            continue
        for one, other in (
            (condition.this, condition.expression),
            (condition.expression, condition.this),
        ):
            inner, outer = _own(nested, one), _own(nested, other, depth=1)
            if inner is None or outer is None:
                continue
            to_left = outward and not outer.source.nullable and not inner.source.nullable
            yield _Pair(outer, inner, to_left=to_left, to_right=not inner.source.nullable)


def _standing(block: Block, nested_id: int, where: exp.Expr) -> str | None:
    """What a nested query is to its block.

    Returns:
        ``exists`` for an EXISTS that must hold, ``inward`` for one that only the inner table may be
        reduced for, or None for one that must be left alone.
    """
    node = _node_of(block, nested_id)
    parent = node.parent if node is not None else None
    while isinstance(parent, exp.Subquery | exp.Paren):
        parent = parent.parent
    if isinstance(parent, exp.Exists):
        return "exists" if any(part is parent for part in conjuncts(where)) else "inward"
    if isinstance(parent, exp.In | exp.All | exp.Any):
        return None
    return "inward"


def _node_of(block: Block, nested_id: int) -> exp.Expr | None:
    nested = block.nested[nested_id]
    return nested.select if isinstance(nested, Block) else None
