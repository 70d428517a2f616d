"""Planning queries: from a statement and a catalog to a :class:`QueryPlan`.

The engine always runs the whole original query, so a plan is right as long as every table holds the rows
and columns that can matter. The order of work: copy and normalise; build the scopes and check names;
push conditions from the outside inwards; collect them per table; write the engine's SQL.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from sqlglot import exp

from ..catalog import Catalog, Index, Table
from .access import DirectOutput, GroupedQuery, QueryPlan, SemiJoin, TableAccess
from .build import Builder
from .dialect import Translator
from .hidden import (
    find_matches,
    hidden_names,
    hide_columns,
    needed_columns,
    replace_matches,
)
from .names import ORDINAL
from .normal import as_select, normalise, quoted
from .predicates import EVERYTHING
from .rules.derived import Pusher
from .rules.direct import direct_outputs
from .rules.grouped import grouping_index, weighted
from .rules.ordered import extremes, is_single, ordered_access
from .rules.reuse import table_predicate
from .rules.semijoin import semi_joins
from .scope import Block, QueryNode, Source, output_names
from .serving import served_by_store
from .statements import Query
from .typed import rewrite
from .unknown import check_names


@dataclass(slots=True)
class Draft:
    """A query that is being planned.

    Attributes:
        tree: its tree, which planning changes.
        width: how many columns it has, or None when that is not known.
        sources: the mentions of each base table, by table id, in the order of the text.
    """

    tree: exp.Expr
    builder: Builder
    root: QueryNode
    target: int | None = None
    sources: dict[int, list[Source]] = field(default_factory=dict)

    @property
    def width(self) -> int | None:
        """How many columns the result has, or None when that is not known."""
        names = output_names(self.root)
        return None if names is None else len(names)


def plan_query(statement: Query, catalog: Catalog) -> QueryPlan:
    """The plan of a query.

    Raises:
        ProgrammingError: unknown tables, columns or functions, with suggestions.
        NotSupportedError: what cannot be mapped; the message names it.
    """
    return finish(draft(as_select(statement.tree.copy()), catalog))


def draft(tree: exp.Expr, catalog: Catalog) -> Draft:
    """Build the scopes of a query and check its names. The tree is changed."""
    normalise(tree)
    builder = Builder(catalog)
    root = builder.query(tree, None, {})
    check_names(builder.blocks)
    result = Draft(tree, builder, root)
    for source in builder.tables:
        assert source.table is not None
        result.sources.setdefault(source.table.id, []).append(source)
    return result


def finish(plan: Draft) -> QueryPlan:
    """Plan a draft.

    With ``target`` set to a table's id, that table gets the hidden column ``__ordinal``, and the result
    gets it in front.
    """
    blocks = plan.builder.blocks
    matches, numbers, names = find_matches(blocks)
    pusher = Pusher(numbers)
    pusher.statement(plan.root, plan.builder.ctes)
    accesses = _accesses(plan)
    joins = _semi_joins(plan)
    grouping = _grouping(plan, pusher, accesses)
    accesses, direct = _single(plan, pusher, accesses)
    rewrite(blocks)
    replace_matches(blocks, names)
    needed = needed_columns(plan.tree, blocks, plan.builder.tables)
    hide_columns(blocks, hidden_names(matches, plan.target))
    if plan.target is not None:
        _show_ordinals(plan)
    grouped = None
    if grouping is not None and not accesses[0].extremes:
        counting = Translator()
        text = counting.sql(weighted(plan.tree))
        grouped = GroupedQuery(grouping, text, tuple(counting.parameters))
    translator = Translator()
    sql = translator.sql(plan.tree)
    return QueryPlan(
        sql=sql,
        accesses=tuple(
            replace(
                access,
                columns=frozenset(needed[access.table.id]),
                matches=tuple(matches.get(access.table.id, ())),
                ordinals=access.table.id == plan.target,
            )
            for access in accesses
        ),
        parameters=tuple(translator.parameters),
        joins=joins,
        direct=direct,
        volatile=any(block.volatile for block in blocks),
        grouped=grouped,
    )


def _accesses(plan: Draft) -> list[TableAccess]:
    accesses = []
    for sources in plan.sources.values():
        table = sources[0].table
        assert isinstance(table, Table)
        predicate, exact = table_predicate(sources)
        if predicate == EVERYTHING:
            predicate, exact = None, False
        accesses.append(
            TableAccess(table.name, table, frozenset(), predicate, exact, uses=len(sources))
        )
    return accesses


def _semi_joins(plan: Draft) -> tuple[SemiJoin, ...]:
    order = list(plan.sources)

    def number(source: Source) -> int:
        assert source.table is not None
        return order.index(source.table.id)

    def mentions(source: Source) -> int:
        assert source.table is not None
        return len(plan.sources[source.table.id])

    return semi_joins(plan.builder.blocks, number, mentions) if len(order) > 1 else ()


def _single(
    plan: Draft, pusher: Pusher, accesses: list[TableAccess]
) -> tuple[list[TableAccess], tuple[DirectOutput, ...] | None]:
    """Rules 11 and 12, for a query of one table and nothing else."""
    root = plan.root
    if not isinstance(root, Block) or len(plan.builder.blocks) > 1 or len(accesses) != 1:
        return [replace(access, exact=False) for access in accesses], None
    access = accesses[0]
    where = root.select.args.get("where")
    if not (_says_all(root, pusher, access) and is_single(root)):
        return [replace(access, exact=False)], None
    found = extremes(root) if plan.target is None else ()
    ordered = ordered_access(root) if plan.target is None and not found else None
    direct: tuple[DirectOutput, ...] | None = None
    if where is not None:
        direct = direct_outputs(root) if plan.target is None else ()
    return [replace(access, exact=True, ordered=ordered, extremes=found)], direct


def _grouping(plan: Draft, pusher: Pusher, accesses: list[TableAccess]) -> Index | None:
    """The index whose groups answer a query of one table and nothing else, if any does."""
    root = plan.root
    if not isinstance(root, Block) or len(plan.builder.blocks) > 1 or len(accesses) != 1:
        return None
    if plan.target is not None or not _says_all(root, pusher, accesses[0]):
        return None
    if not served_by_store(accesses[0]):
        return None
    return grouping_index(root)


def _says_all(root: Block, pusher: Pusher, access: TableAccess) -> bool:
    """Whether the predicate of the only table is all that WHERE says."""
    if root.select.args.get("where") is None:
        return True
    return pusher.exact[root] and access.exact and access.predicate is not None


def _show_ordinals(plan: Draft) -> None:
    """Put the target's ordinals before the columns of the result."""
    root = plan.root
    assert isinstance(root, Block)
    node = root.sources[0].node
    alias = node.args.get("alias")
    qualifier = alias.this if alias is not None else node.this
    ordinal = exp.Column(this=quoted(ORDINAL), table=qualifier.copy())
    root.select.set("expressions", [ordinal, *root.select.expressions])
    if len(root.sources) > 1:
        # Several matches of one row change it once, by any of them, as in PostgreSQL.
        only = exp.Tuple(expressions=[ordinal.copy()])
        root.select.set("distinct", exp.Distinct(on=only))
