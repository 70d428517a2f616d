"""Rule 11: ORDER BY … LIMIT and MIN/MAX from an index.

Reading an index in order gives the first rows only if nothing else decides which rows they are: one
table, mentioned once, the whole WHERE served exactly by its predicate, no grouping, DISTINCT or
windows. ``SELECT … FROM t WHERE lower(a) = 'x' ORDER BY b LIMIT 3`` must not be served so, for the three
first rows in the order of b need not fulfil the condition. A condition on the ordered column alone only moves where
the index is read from (:mod:`proxy.execute.reach`). Rows that tie with the last one are fetched too,
because further sort keys choose among them; where NULLs sort is part of the hint.
"""

from __future__ import annotations

from sqlglot import exp

from indexes.types import Kind

from .. import constants, functions
from ..access import Extremum, OrderedAccess
from ..constants import Type
from ..names import fold
from ..predicates import Literal, Operand, Parameter
from ..scope import Block
from .columns import Target, source_column, target


def is_single(block: Block) -> bool:
    """Whether a block reads one base table and nothing else decides about its rows but WHERE."""
    select = block.select
    return (
        len(block.sources) == 1
        and block.sources[0].table is not None
        and not block.nested
        and not block.windows
        and not any(
            select.args.get(key) for key in ("distinct", "group", "having", "qualify", "with_")
        )
    )


def ordered_access(block: Block) -> OrderedAccess | None:
    """The hint for ORDER BY … LIMIT of a single block, or None."""
    select = block.select
    order, limit = select.args.get("order"), select.args.get("limit")
    if order is None or limit is None or block.aggregated:
        return None
    first = order.expressions[0]
    about = _sort_column(block, first.this)
    column = None if about is None else about.found.column
    if about is None or column is None or not column.type.ordered:
        return None
    if about.lowered and column.type.kind is not Kind.TEXT:
        return None
    count = limit.args.get("count") if isinstance(limit, exp.Fetch) else limit.expression
    limit_operand = _count(count)
    if limit_operand is None:
        return None
    offset = select.args.get("offset")
    offset_operand = None
    if offset is not None:
        offset_operand = _count(offset.expression)
        if offset_operand is None:
            return None
    return OrderedAccess(
        column=column.id,
        descending=bool(first.args.get("desc")),
        nulls_first=bool(first.args.get("nulls_first")),
        limit=limit_operand,
        offset=offset_operand,
        folded=about.lowered,
    )


def _count(node: exp.Expr | None) -> Operand | None:
    """A constant number of rows; FETCH FIRST ROW without a number is 1."""
    if node is None:
        return Literal(1)
    constant = constants.fold(node)
    if constant is None:
        return None
    if constant.type is Type.PARAMETER and isinstance(constant.value, int):
        return Parameter(constant.value)
    if constant.type is Type.INTEGER and isinstance(constant.value, int) and constant.value >= 0:
        return Literal(constant.value)
    return None


def _sort_column(block: Block, node: exp.Expr) -> Target | None:
    """The column that a sort key is, or is the ``lower()`` of; names of the select list come first."""
    items = block.select.expressions
    if isinstance(node, exp.Literal) and not node.is_string:
        position = int(node.this) - 1 if str(node.this).isdigit() else -1
        if not 0 <= position < len(items) or any(item.is_star for item in items):
            return None
        item = items[position]
        node = item.this if isinstance(item, exp.Alias) else item
    elif isinstance(node, exp.Column) and node.args.get("table") is None:
        wanted = fold(node.name)
        named = [
            item for item in items if isinstance(item, exp.Alias) and fold(item.alias) == wanted
        ]
        if len(named) > 1:
            return None
        if named:
            node = named[0].this
    if isinstance(node, exp.Lower) and _is_alias(items, node.this):
        # Within an expression a name is a column's in PostgreSQL, and may be the select list's in the engine.
        return None
    return target(block, node)


def _is_alias(items: list[exp.Expr], node: exp.Expr) -> bool:
    while isinstance(node, exp.Paren):
        node = node.this
    wanted = fold(node.name)
    return any(isinstance(item, exp.Alias) and fold(item.alias) == wanted for item in items)


def extremes(block: Block) -> tuple[Extremum, ...]:
    """The extremes that a single block consists of, or none if it needs more than them."""
    select = block.select
    if not block.aggregated or any(select.args.get(key) for key in ("order", "limit", "offset")):
        return ()
    found: dict[Extremum, None] = {}
    covered: set[int] = set()
    for item in select.expressions:
        for node in item.walk():
            if isinstance(node, exp.Filter | exp.Window | exp.Distinct | exp.WithinGroup):
                return ()
            if not isinstance(node, exp.Func) or not functions.is_aggregate(node):
                continue
            column = (
                source_column(block, node.this) if isinstance(node, exp.Min | exp.Max) else None
            )
            if column is None or column.column is None or not column.column.type.ordered:
                return ()
            found[Extremum(column.column.id, greatest=isinstance(node, exp.Max))] = None
            covered.update(id(one) for one in node.find_all(exp.Column))
    where = select.args.get("where")
    outside = set() if where is None else {id(one) for one in where.find_all(exp.Column)}
    if any(id(node) not in covered | outside for node in block.columns):
        return ()
    return tuple(found)
