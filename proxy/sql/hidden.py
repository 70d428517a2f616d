"""``@@``, hidden columns and the columns a query needs.

``column @@ 'words'`` becomes a Boolean column ``__match_N`` that the proxy computes and adds to the table in
the engine; UPDATE and DELETE add ``__ordinal``. No ``*`` may show them.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlglot import exp

from encdb.errors import NotSupportedError, ProgrammingError, err

from ..catalog import Table
from . import constants
from .access import MatchColumn
from .constants import Type
from .names import MATCH_PREFIX, ORDINAL, fold
from .normal import quoted
from .predicates import Literal, Operand, Parameter
from .rules.atoms import MatchNumbers
from .scope import Block, Found, Source, resolve_column

Matches = dict[int, list[MatchColumn]]
"""By table id."""


def find_matches(blocks: Iterable[Block]) -> tuple[Matches, MatchNumbers, dict[int, str]]:
    """Every ``@@`` of a statement.

    Returns:
        The match columns per table; for each node its source and its number among the table's; and
        for each node the column's name.
    """
    matches: Matches = {}
    numbers: MatchNumbers = {}
    names: dict[int, str] = {}
    count = 0
    for block in blocks:
        for node in block.matches:
            source, table, columns = _searched(block, node)
            query = _query(node)
            _check_index(table, columns)
            listed = matches.setdefault(table.id, [])
            known = [one for one in listed if (one.columns, one.query) == (columns, query)]
            if known:
                match = known[0]
            else:
                match = MatchColumn(f"{MATCH_PREFIX}{count}", columns, query)
                listed.append(match)
                count += 1
            numbers[id(node)] = (source, listed.index(match))
            names[id(node)] = match.name
    return matches, numbers, names


def _searched(block: Block, node: exp.MatchAgainst) -> tuple[Source, Table, tuple[int, ...]]:
    targets = node.expressions
    while len(targets) == 1 and isinstance(targets[0], exp.Tuple | exp.Paren):
        inner = targets[0]
        targets = inner.expressions if isinstance(inner, exp.Tuple) else [inner.this]
    found: list[Found] = []
    for target in targets:
        column = resolve_column(block, target) if isinstance(target, exp.Column) else None
        if not isinstance(column, Found) or column.source.table is None:
            raise err(
                NotSupportedError,
                "E_NOT_SUPPORTED",
                "@@ on anything but columns of a table is not supported",
                "Write column @@ 'words' in the query that names the table in FROM",
            )
        found.append(column)
    source = found[0].source
    if any(column.source is not source for column in found) or source.table is None:
        raise err(
            NotSupportedError, "E_NOT_SUPPORTED", "@@ on columns of several tables is not supported"
        )
    table = source.table
    return source, table, tuple(table.columns[column.position].id for column in found)


def _query(node: exp.MatchAgainst) -> Operand:
    query = node.this
    if isinstance(query, exp.Func) and not isinstance(query, exp.Cast):
        raise err(
            NotSupportedError,
            "E_NOT_SUPPORTED",
            "a function as the query of @@ is not supported",
            "Write the words as a string, as in column @@ 'asthma -smoker'",
        )
    constant = constants.fold(query)
    if constant is not None and constant.type is Type.PARAMETER and isinstance(constant.value, int):
        return Parameter(constant.value)
    if constant is not None and constant.type in (Type.STRING, Type.TEXT):
        return Literal(constant.value)
    raise err(
        NotSupportedError,
        "E_NOT_SUPPORTED",
        "a query of @@ that is not a string or a parameter is not supported",
        "Write the words as a string, as in column @@ 'asthma -smoker'",
    )


def _check_index(table: Table, columns: tuple[int, ...]) -> None:
    """A keyword index must cover the columns: its language decides what a word is."""
    wanted = set(columns)
    if any(index.method == "keyword" and wanted <= set(index.columns) for index in table.indexes):
        return
    names = ", ".join(table.names(columns))
    raise err(
        ProgrammingError,
        "E_NO_KEYWORD_INDEX",
        f'@@ wants a keyword index on {names} of table "{table.name}"',
        f"CREATE INDEX ON {table.name} USING keyword ({names})",
    )


def replace_matches(blocks: Iterable[Block], names: dict[int, str]) -> None:
    """Put the hidden columns in the place of every ``@@``."""
    for block in blocks:
        for node in block.matches:
            column = _first_column(node)
            qualifier = column.args.get("table")
            if qualifier is None:
                found = resolve_column(block, column)
                assert isinstance(found, Found)
                qualifier = _alias_of(found.source)
            node.replace(exp.Column(this=quoted(names[id(node)]), table=qualifier.copy()))


def _first_column(node: exp.MatchAgainst) -> exp.Column:
    found = next(iter(node.expressions[0].find_all(exp.Column)))
    assert isinstance(found, exp.Column)
    return found


def _alias_of(source: Source) -> exp.Identifier:
    alias = source.node.args.get("alias")
    name = alias.this if alias is not None and alias.this is not None else source.node.this
    assert isinstance(name, exp.Identifier)
    return name


def hide_columns(blocks: Iterable[Block], hidden: dict[int, list[str]]) -> None:
    """Leave the hidden columns of every table, by its id, out of every ``*``."""
    for block in blocks:
        if not any(_hidden_of(source, hidden) for source in block.sources):
            continue
        if block.natural:
            raise err(
                NotSupportedError,
                "E_NOT_SUPPORTED",
                "NATURAL JOIN together with @@, UPDATE or DELETE is not supported",
                "Write JOIN … USING",
            )
        for item in block.select.expressions:
            star = item.this if isinstance(item, exp.Column) else item
            if not isinstance(star, exp.Star):
                continue
            names: dict[str, None] = {}
            for source in block.sources:
                if star is item or source.alias == fold(item.args["table"].name):
                    names.update(dict.fromkeys(_hidden_of(source, hidden)))
            if names:
                star.set("except_", [exp.column(quoted(name)) for name in names])


def _hidden_of(source: Source, hidden: dict[int, list[str]]) -> list[str]:
    return [] if source.table is None else hidden.get(source.table.id, [])


def needed_columns(
    tree: exp.Expr, blocks: Iterable[Block], sources: Iterable[Source]
) -> dict[int, set[int]]:
    """Ids of the columns that each base table must have in the engine, by table id.

    A column is needed if anything in the statement has its name and could mean it: a reference without
    qualifier, or with the qualifier of one of the table's mentions. That needs no name resolution, so
    no mistake of resolution can take a column away from the engine.
    """
    free: set[str] = set()
    qualified: dict[str, set[str]] = {}
    for node in tree.find_all(exp.Column):
        if isinstance(node.this, exp.Star):
            continue
        qualifier = node.args.get("table")
        if qualifier is None:
            free.add(fold(node.name))
        else:
            qualified.setdefault(fold(qualifier.name), set()).add(fold(node.name))
            free.add(fold(qualifier.name))
    for join in tree.find_all(exp.Join):
        free.update(fold(column.name) for column in join.args.get("using") or [])
    everything = _shown_whole(blocks)
    needed: dict[int, set[int]] = {}
    for source in sources:
        table = source.table
        if table is None:
            continue
        wanted = needed.setdefault(table.id, set())
        names = free | qualified.get(source.alias, set())
        for column in table.columns:
            if source in everything or source.renamed or fold(column.name) in names:
                wanted.add(column.id)
    return needed


def _shown_whole(blocks: Iterable[Block]) -> set[Source]:
    """Sources of which all columns are needed: those under ``*`` or in a NATURAL JOIN."""
    found: set[Source] = set()
    for block in blocks:
        for item in block.select.expressions:
            if isinstance(item, exp.Star):
                found.update(block.sources)
            elif isinstance(item, exp.Column) and isinstance(item.this, exp.Star):
                wanted = fold(item.args["table"].name)
                current: Block | None = block
                while current is not None:
                    found.update(source for source in current.sources if source.alias == wanted)
                    current = current.parent
        if block.natural:
            found.update(block.sources)
    return found


def hidden_names(matches: Matches, ordinals: int | None) -> dict[int, list[str]]:
    """Names of all hidden columns, by table id."""
    found = {table: [match.name for match in listed] for table, listed in matches.items()}
    if ordinals is not None:
        found.setdefault(ordinals, []).append(ORDINAL)
    return found
