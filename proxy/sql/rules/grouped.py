"""GROUP BY and DISTINCT by a ``det`` index: the store counts, and the engine runs the query over one row per group.

A query of one table that names outside of WHERE the columns of one ``det`` index and no others, and
asks of them nothing but which values there are and how often, is a function of the groups and their
sizes. It is answered from a table of one row per group with a weight: ``count(*)`` becomes the sum of weights,
``count(x)`` that of those where x is not NULL; ``min``, ``max`` and ``count(DISTINCT x)`` stay as they
are. Whatever GROUP BY, HAVING, ORDER BY and LIMIT do with them, the engine does. Queries that must not be served so:

* ``SELECT zip, avg(age) … GROUP BY zip``, ``SELECT zip FROM t``: rows of a group are not alike, or each counts.
* ``sum(zip)``, ``array_agg(zip)``: they would have to be weighted in ways of their own.
* ``SELECT zip, count(*) … WHERE lower(zip) = 'x'``: the store cannot tell which rows count. WHERE has to be served
  exactly by server-visible indexes.
* a REAL or DOUBLE: 0.0 and -0.0 are one group, and yet not alike.
"""

from __future__ import annotations

from typing import Final

from sqlglot import exp

from indexes.types import Kind

from ...catalog import Index, Table
from .. import functions
from ..names import WEIGHT, fold
from ..normal import quoted
from ..scope import Block, Found, Missing, resolve_column

_REFUSED: Final = (exp.Filter, exp.Window, exp.WithinGroup)
_FLOATS: Final = (Kind.REAL, Kind.DOUBLE)
_OTHER_GROUPS: Final = ("grouping_sets", "cube", "rollup", "all", "totals")


def grouping_index(block: Block) -> Index | None:
    """The ``det`` index by whose groups a single block can be answered, or None."""
    select, source = block.select, block.sources[0]
    table = source.table
    if table is None or source.renamed or len(block.sources) > 1 or not _is_plain(block):
        return None
    wanted = _columns(block)
    if not wanted or not _is_counting(select) or table.has_column(WEIGHT):
        return None
    return next((one for one in table.indexes if _suits(table, one, wanted)), None)


def _is_plain(block: Block) -> bool:
    select = block.select
    if block.nested or block.windows or block.matches or block.volatile:
        return False
    if any(select.args.get(key) for key in ("qualify", "with_")):
        return False
    if any(item.is_star for item in select.expressions):
        return False
    distinct, group = select.args.get("distinct"), select.args.get("group")
    if distinct is not None and distinct.args.get("on") is not None:
        return False
    if group is not None and (
        any(group.args.get(key) for key in _OTHER_GROUPS)
        or any(
            isinstance(one, exp.Rollup | exp.Cube | exp.GroupingSets) for one in group.expressions
        )
    ):
        return False
    return block.aggregated or distinct is not None or group is not None


def _columns(block: Block) -> set[int]:
    """Ids of the columns named outside of WHERE; none at all if a name is not certain."""
    where = block.select.args.get("where")
    inside = set() if where is None else {id(one) for one in where.find_all(exp.Column)}
    names = {fold(one.alias) for one in block.select.expressions if isinstance(one, exp.Alias)}
    found: set[int] = set()
    for node in block.columns:
        if id(node) in inside:
            continue
        column = resolve_column(block, node)
        if isinstance(column, Found) and column.depth == 0 and column.column is not None:
            found.add(column.column.id)
        elif not (isinstance(column, Missing) and fold(node.name) in names):
            return set()
    return found


def _is_counting(select: exp.Select) -> bool:
    """Whether every aggregate can be computed from groups and their sizes."""
    for node in select.walk():
        if isinstance(node, _REFUSED):
            return False
        if not isinstance(node, exp.Func) or not functions.is_aggregate(node):
            continue
        if isinstance(node, exp.Min | exp.Max):
            if node.expressions or isinstance(node.this, exp.Order):
                return False
        elif (
            not isinstance(node, exp.Count) or node.expressions or isinstance(node.this, exp.Order)
        ):
            return False
    return True


def _suits(table: Table, index: Index, wanted: set[int]) -> bool:
    """Whether an index has exactly these columns, and tells its groups apart as the engine does.

    A row with a NULL has no tag; of several columns it could be in many groups. Groups of one row each are no use.
    """
    if index.method != "det" or set(index.columns) != wanted:
        return False
    if any(wanted.issuperset(one.columns) for one in table.unique_indexes):
        return False
    columns = [table.column_by_id(number) for number in index.columns]
    if any(column.type.kind in _FLOATS for column in columns):
        return False
    primary = table.primary_key
    never_null = set(primary.columns) if primary is not None else set()
    return len(columns) == 1 or all(one.not_null or one.id in never_null for one in columns)


def weighted(tree: exp.Expr) -> exp.Expr:
    """A copy of the query for a table with one row per group: its counts are sums of weights, WHERE is done."""
    copy = tree.copy()
    copy.set("where", None)
    for node in list(copy.find_all(exp.Count)):
        if not isinstance(node.this, exp.Distinct):
            node.replace(_sum_of_weights(node.this))
    return copy


def _sum_of_weights(counted: exp.Expr) -> exp.Expr:
    total: exp.Expr = exp.Sum(this=exp.Column(this=quoted(WEIGHT)))
    if not isinstance(counted, exp.Star):
        there = exp.Not(this=exp.Is(this=exp.paren(counted.copy()), expression=exp.Null()))
        total = exp.Filter(this=total, expression=exp.Where(this=there))
    return exp.cast(exp.Coalesce(this=total, expressions=[exp.Literal.number(0)]), "BIGINT")
