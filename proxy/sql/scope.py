"""Scopes: which tables each part of a query sees, and which column each name means.

sqlglot's ``qualify`` rewrites queries and costs 2 to 10 ms. The planner needs less: for each name either
the one column it certainly means, or the admission that this is not certain, which costs no more than
a fetch that could have been smaller. The engine resolves names by itself when it runs the query.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from sqlglot import exp

from ..catalog import Column, Table
from .names import fold
from .predicates import Predicate


@dataclass(frozen=True, slots=True, eq=False)
class Atom:
    """A condition on one column of a source, not yet in terms of a base table.

    ``build`` makes the predicate once the base column is known: the predicate and whether it says all
    that the condition says, or None when rule 1 forbids it. It must be false or NULL for NULL.
    """

    position: int
    build: Callable[[Column], tuple[Predicate, bool] | None]


@dataclass(frozen=True, slots=True, eq=False)
class Both:
    """A conjunction."""

    parts: tuple[Tree, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Either:
    """A disjunction."""

    parts: tuple[Tree, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Ready:
    """A predicate on a base table itself, such as a match."""

    predicate: Predicate


Tree = Atom | Both | Either | Ready


@dataclass(slots=True, eq=False)
class Source:
    """One item of FROM.

    Attributes:
        alias: folded name by which columns are qualified.
        columns: folded names by position, or None when they are not known.
        table: the base table, if it is one.
        query: what it is derived from, if anything.
        cte: the common table expression it refers to.
        renamed: whether the query gives its columns other names.
        nullable: whether an outer join can make up rows of it.
        trees: conditions that every row of it must fulfil to matter.
    """

    alias: str
    node: exp.Expr
    block: Block
    columns: list[str] | None = None
    table: Table | None = None
    query: QueryNode | None = None
    cte: Cte | None = None
    renamed: bool = False
    nullable: bool = False
    trees: list[Tree] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Cte:
    """A common table expression, with the conditions that its references bring along."""

    name: str
    query: QueryNode | None
    columns: list[str] | None
    open: bool = True
    recursive: bool = False
    arrivals: list[list[Tree]] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Join:
    """A node of the join tree. ``side`` is '', LEFT, RIGHT or FULL."""

    left: JoinTree
    right: JoinTree
    side: str = ""
    on: exp.Expr | None = None
    using: tuple[str, ...] = ()


JoinTree = Source | Join


@dataclass(slots=True, eq=False)
class Output:
    """One column of a query's result: its folded name, if known, and the column it repeats, if any."""

    name: str | None
    origin: tuple[Source, int] | None = None


@dataclass(slots=True, eq=False)
class Block:
    """One SELECT.

    Attributes:
        parent: the block whose columns a correlated expression may name.
        limited: whether LIMIT or OFFSET follow, here or on a parenthesis around it.
        nested: queries within its expressions, by ``id`` of their outermost node.
        columns: every column reference that belongs to it.
        matches: every ``@@`` that belongs to it.
    """

    select: exp.Select
    parent: Block | None
    limited: bool = False
    sources: list[Source] = field(default_factory=list)
    joins: JoinTree | None = None
    merged: bool = False
    """Whether USING or NATURAL merges columns, so that * is not the sources' columns in order."""
    natural: bool = False
    using: frozenset[str] = frozenset()
    """Columns merged by USING whose value is always that of the leftmost source."""
    nested: dict[int, QueryNode] = field(default_factory=dict)
    columns: list[exp.Column] = field(default_factory=list)
    matches: list[exp.MatchAgainst] = field(default_factory=list)
    comparisons: list[exp.Expr] = field(default_factory=list)
    aggregated: bool = False
    windows: list[exp.Window] = field(default_factory=list)
    volatile: bool = False
    outputs: list[Output] | None = None


@dataclass(slots=True, eq=False)
class SetQuery:
    """UNION, INTERSECT or EXCEPT."""

    left: QueryNode
    right: QueryNode
    limited: bool = False
    nested: list[QueryNode] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Opaque:
    """A query without base tables of its own: VALUES."""

    columns: list[str] | None
    nested: list[QueryNode] = field(default_factory=list)
    limited: bool = False


QueryNode = Block | SetQuery | Opaque


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """A name that means exactly one column of a source. ``depth`` 0 is the block itself."""

    source: Source
    position: int
    depth: int

    @property
    def column(self) -> Column | None:
        """The base column, when the source is a base table."""
        table = self.source.table
        return None if table is None else table.columns[self.position]


class Uncertain:
    """A name that may mean several columns, or one of a source whose columns are not known."""


class Missing:
    """A name that certainly means no column."""


UNCERTAIN = Uncertain()
MISSING = Missing()

Resolution = Found | Uncertain | Missing


def resolve(block: Block, name: str, qualifier: str | None) -> Resolution:
    """The column that a folded name means within a block."""
    depth = 0
    current: Block | None = block
    while current is not None:
        found = _resolve_here(current, name, qualifier, depth)
        if not isinstance(found, Missing):
            return found
        current, depth = current.parent, depth + 1
    return MISSING


def resolve_column(block: Block, node: exp.Column) -> Resolution:
    """The column that a reference means."""
    qualifier = node.args.get("table")
    return resolve(block, fold(node.name), None if qualifier is None else fold(qualifier.name))


def _resolve_here(block: Block, name: str, qualifier: str | None, depth: int) -> Resolution:
    hits: list[Found] = []
    unknown = False
    for source in block.sources:
        if qualifier is not None and source.alias != qualifier:
            continue
        if source.columns is None:
            unknown = True
            continue
        hits.extend(
            Found(source, position, depth)
            for position, column in enumerate(source.columns)
            if column == name
        )
    if unknown:
        return UNCERTAIN
    if len(hits) == 1 or (hits and qualifier is None and name in block.using):
        # What USING merges is the left column, as long as no RIGHT or FULL JOIN fills it in.
        return hits[0]
    return UNCERTAIN if hits else MISSING


def blocks(query: QueryNode) -> Iterator[Block]:
    """Every block of a query, those of its expressions and derived tables included."""
    stack: list[QueryNode] = [query]
    while stack:
        node = stack.pop()
        if isinstance(node, Block):
            yield node
            stack.extend(node.nested.values())
            stack.extend(
                source.query
                for source in node.sources
                if source.query is not None and source.cte is None
            )
        elif isinstance(node, SetQuery):
            stack += [node.left, node.right, *node.nested]
        else:
            stack += node.nested


def leaves(tree: JoinTree | None) -> list[Source]:
    """The sources of a join tree, from left to right."""
    found: list[Source] = []
    stack: list[JoinTree] = [] if tree is None else [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, Join):
            stack += [node.right, node.left]
        else:
            found.append(node)
    return found


def output_names(query: QueryNode | None) -> list[str] | None:
    """Folded names of a query's columns, or None when one is not known."""
    if isinstance(query, Opaque):
        return query.columns
    if isinstance(query, SetQuery):
        return output_names(query.left)
    if query is None or query.outputs is None:
        return None
    # A column without a name keeps its place; no name can mean it.
    return [output.name if output.name is not None else "" for output in query.outputs]


def plain_columns(nodes: Sequence[exp.Expr]) -> list[exp.Column] | None:
    """The nodes, if all of them are column references."""
    found = [node for node in nodes if isinstance(node, exp.Column)]
    return found if len(found) == len(nodes) else None
