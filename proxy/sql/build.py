"""Building the scopes of a query: tables looked up, names checked, blocks nested.

Unknown tables and columns are reported here with suggestions, before anything is fetched. A column is
called unknown only when that is certain; what is not certain is left to the engine.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlglot import exp

from encdb.errors import NotSupportedError, ProgrammingError, err

from ..catalog import Catalog
from . import functions
from .joins import join_tree
from .names import fold, table_name
from .scope import (
    Block,
    Cte,
    Found,
    Join,
    Opaque,
    Output,
    QueryNode,
    SetQuery,
    Source,
    output_names,
    resolve_column,
)

_CLAUSES = (
    "expressions",
    "where",
    "group",
    "having",
    "qualify",
    "windows",
    "order",
    "limit",
    "offset",
    "distinct",
)
_COMPARISONS = (
    exp.EQ
    | exp.NEQ
    | exp.LT
    | exp.LTE
    | exp.GT
    | exp.GTE
    | exp.Between
    | exp.In
    | exp.NullSafeEQ
    | exp.NullSafeNEQ
)

Environment = dict[str, Cte]


class Builder:
    """Builds the scopes of one statement.

    Attributes:
        ctes: every common table expression in the order of their definition: a later one may refer to
            an earlier one, never the other way round.
        tables: every source that is a base table.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self.ctes: list[Cte] = []
        self.tables: list[Source] = []
        self.blocks: list[Block] = []

    def query(self, node: exp.Expr, parent: Block | None, environment: Environment) -> QueryNode:
        """The scopes of a query, parentheses around it included."""
        environment = self._with(node, parent, environment)
        limited = bool(node.args.get("limit") or node.args.get("offset"))
        result: QueryNode
        if isinstance(node, exp.Select):
            result = self._select(node, parent, environment)
        elif isinstance(node, exp.SetOperation):
            left = self.query(node.this, parent, environment)
            right = self.query(node.expression, parent, environment)
            result = SetQuery(left, right)
        elif isinstance(node, exp.Values):
            result = self._values(node, parent, environment)
        elif isinstance(node, exp.Subquery | exp.Paren):
            result = self.query(node.this, parent, environment)
        else:
            raise err(
                NotSupportedError,
                "E_NOT_SUPPORTED",
                f"{node.key.upper()} as a query is not supported",
            )
        result.limited = result.limited or limited
        return result

    def _with(self, node: exp.Expr, parent: Block | None, environment: Environment) -> Environment:
        clause = node.args.get("with_")
        if clause is None:
            return environment
        environment = dict(environment)
        for item in clause.expressions:
            name = fold(item.alias)
            alias = item.args["alias"]
            columns = [fold(column.name) for column in alias.args.get("columns") or []] or None
            cte = Cte(name, None, columns)
            inner = {**environment, name: cte} if clause.args.get("recursive") else environment
            cte.query = self.query(item.this, parent, inner)
            cte.open = False
            if columns is None:
                cte.columns = None if cte.recursive else output_names(cte.query)
            else:
                cte.columns = _renamed(columns, output_names(cte.query))
            environment[name] = cte
            self.ctes.append(cte)
        return environment

    def _values(self, node: exp.Values, parent: Block | None, environment: Environment) -> Opaque:
        width = max((len(row.expressions) for row in node.expressions), default=0)
        result = Opaque([f"column{place + 1}" for place in range(width)])
        holder = Block(exp.Select(), parent)
        for row in node.expressions:
            self._scan(row, holder, environment)
        self.blocks.append(holder)
        result.nested.append(holder)
        return result

    def _select(self, node: exp.Select, parent: Block | None, environment: Environment) -> Block:
        block = Block(node, parent)
        self.blocks.append(block)
        block.joins = join_tree(node, block, lambda item: self._source(item, block, environment))
        for clause in _CLAUSES:
            self._scan_all(node.args.get(clause), block, environment)
        for condition in _conditions(block):
            self._scan(condition, block, environment)
        group = node.args.get("group")
        block.aggregated = block.aggregated or group is not None or bool(node.args.get("having"))
        block.outputs = _outputs(block)
        return block

    def _scan_all(self, value: object, block: Block, environment: Environment) -> None:
        if isinstance(value, exp.Expr):
            self._scan(value, block, environment)
        elif isinstance(value, list):
            for item in value:
                self._scan(item, block, environment)

    def _scan(self, root: exp.Expr, block: Block, environment: Environment) -> None:
        """Note what an expression holds, and build the queries nested in it."""
        stack: list[exp.Expr] = [root]
        while stack:
            node = stack.pop()
            if isinstance(node, exp.Query | exp.Values):
                block.nested[id(node)] = self.query(node, block, environment)
                continue
            if isinstance(node, exp.Column):
                block.columns.append(node)
                continue
            if isinstance(node, exp.MatchAgainst):
                block.matches.append(node)
            elif isinstance(node, _COMPARISONS):
                block.comparisons.append(node)
            elif isinstance(node, exp.Window):
                block.windows.append(node)
            elif isinstance(node, exp.Func):
                _note_function(node, block)
            stack.extend(reversed(list(node.iter_expressions())))

    def _source(self, node: exp.Expr, block: Block, environment: Environment) -> Source:
        source = self._new_source(node, block, environment)
        if source.alias and any(
            other is not source and other.alias == source.alias for other in block.sources
        ):
            raise err(
                ProgrammingError,
                "E_AMBIGUOUS_NAME",
                f'the name "{source.alias}" is given twice in one FROM',
                "Give one of them an alias",
            )
        return source

    def _new_source(self, node: exp.Expr, block: Block, environment: Environment) -> Source:
        alias = node.args.get("alias")
        renames = (
            [fold(column.name) for column in (alias.args.get("columns") or [])] if alias else []
        )
        source = Source(fold(node.alias), node, block)
        block.sources.append(source)
        if isinstance(node, exp.Table) and isinstance(node.this, exp.Identifier):
            self._named(node, source, environment)
        elif isinstance(node, exp.Subquery):
            # Only LATERAL sees the other items of its FROM.
            outer = block.parent
            source.query = self.query(node.this, outer, self._with(node, outer, environment))
            source.query.limited |= bool(node.args.get("limit") or node.args.get("offset"))
            source.columns = output_names(source.query)
        elif isinstance(node, exp.Values):
            source.query = self._values(node, block, environment)
            source.columns = source.query.columns
        elif isinstance(node, exp.Lateral) and isinstance(node.this, exp.Query):
            inner = node.this
            source.query = self.query(inner, block, environment)
            source.columns = output_names(source.query)
        else:
            self._function(node, source, block, environment, renames)
        if renames:
            source.renamed = True
            source.columns = _renamed(renames, source.columns)
        return source

    def _named(self, node: exp.Table, source: Source, environment: Environment) -> None:
        name = table_name(node)
        source.alias = source.alias or fold(name)
        cte = environment.get(fold(name)) if node.args.get("db") is None else None
        if cte is not None:
            cte.recursive = cte.recursive or cte.open
            source.cte, source.query = cte, cte.query
            source.columns = None if cte.columns is None else list(cte.columns)
            return
        if node.args.get("db") is not None and fold(name) in environment:
            raise err(
                NotSupportedError,
                "E_NOT_SUPPORTED",
                f'the table "{name}" beside a WITH query of the same name is not supported',
                "Rename the WITH query",
            )
        source.table = self._catalog.table(name)
        source.columns = [fold(column.name) for column in source.table.columns]
        self.tables.append(source)

    def _function(
        self,
        node: exp.Expr,
        source: Source,
        block: Block,
        environment: Environment,
        renames: list[str],
    ) -> None:
        """A table function. Its columns are known where the alias names them."""
        for key in ("this", "expressions"):
            self._scan_all(node.args.get(key), block, environment)
        if renames and not node.args.get("ordinality") and not node.args.get("offset"):
            source.columns = list(renames)


def _renamed(names: list[str], known: list[str] | None) -> list[str] | None:
    """Columns of which the first ones were given other names."""
    if known is None:
        return None
    return names + known[len(names) :] if len(names) <= len(known) else None


def _conditions(block: Block) -> Iterable[exp.Expr]:
    """The ON conditions of a block's joins."""
    stack = [] if block.joins is None else [block.joins]
    while stack:
        node = stack.pop()
        if isinstance(node, Join):
            stack += [node.left, node.right]
            if node.on is not None:
                yield node.on


def _note_function(node: exp.Func, block: Block) -> None:
    if functions.is_volatile(node):
        block.volatile = True
    if functions.is_aggregate(node) and not isinstance(_holder(node), exp.Window):
        block.aggregated = True


def _holder(node: exp.Expr) -> exp.Expr | None:
    """What a call stands in, past FILTER and WITHIN GROUP."""
    parent = node.parent
    while isinstance(parent, exp.Filter | exp.WithinGroup):
        parent = parent.parent
    return parent


def _outputs(block: Block) -> list[Output] | None:
    found: list[Output] = []
    for node in block.select.expressions:
        if isinstance(node, exp.Star) or (
            isinstance(node, exp.Column) and isinstance(node.this, exp.Star)
        ):
            expanded = _expand(block, node)
            if expanded is None:
                return None
            found += expanded
            continue
        value = node.this if isinstance(node, exp.Alias) else node
        name: str | None = None
        if isinstance(node, exp.Alias) or isinstance(value, exp.Column):
            name = fold(node.alias_or_name)
        origin = None
        if isinstance(value, exp.Column):
            resolved = resolve_column(block, value)
            if isinstance(resolved, Found) and resolved.depth == 0:
                origin = (resolved.source, resolved.position)
        found.append(Output(name, origin))
    return found


def _expand(block: Block, node: exp.Expr) -> list[Output] | None:
    """The columns of ``*`` or ``t.*``, or None when they are not known."""
    sources = block.sources
    if isinstance(node, exp.Column):
        wanted = fold(node.args["table"].name)
        sources = [source for source in sources if source.alias == wanted]
        if len(sources) != 1:
            return None
    elif block.merged:
        return None
    found: list[Output] = []
    for source in sources:
        if source.columns is None:
            return None
        found += [Output(name, (source, place)) for place, name in enumerate(source.columns)]
    return found
