"""Names that mean nothing: found before anything is fetched, with suggestions.

A column is called unknown only when that is certain. The engine resolves names by itself when it runs the
query, and reports what is left.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlglot import exp

from encdb.errors import NotSupportedError, ProgrammingError, err

from ..catalog import suggest
from .names import fold
from .scope import Block, Missing, resolve, resolve_column


def check_names(blocks: Iterable[Block]) -> None:
    """E_UNKNOWN_COLUMN or E_UNKNOWN_TABLE for every reference that certainly means nothing."""
    for block in blocks:
        for node in block.columns:
            if isinstance(node.this, exp.Star):
                _check_qualifier(block, node)
            elif isinstance(resolve_column(block, node), Missing):
                _check_missing(block, node)


def _check_qualifier(block: Block, node: exp.Column) -> None:
    wanted = fold(node.args["table"].name)
    aliases: list[str] = []
    current: Block | None = block
    while current is not None:
        aliases += [source.alias for source in current.sources]
        current = current.parent
    if wanted not in aliases:
        name = node.args["table"].name
        raise err(
            ProgrammingError,
            "E_UNKNOWN_TABLE",
            f'there is no table "{name}" in this FROM',
            suggest(name, aliases),
        )


def _check_missing(block: Block, node: exp.Column) -> None:
    qualifier = node.args.get("table")
    name = fold(node.name)
    if qualifier is not None:
        _check_qualifier(block, node)
    elif _is_alias(block, name):
        return
    elif _is_source(block, name):
        raise err(
            NotSupportedError,
            "E_NOT_SUPPORTED",
            f'the whole row "{node.name}" as a value is not supported',
            "Name the columns",
        )
    elif not isinstance(resolve(block, name, None), Missing):
        return
    raise err(
        ProgrammingError,
        "E_UNKNOWN_COLUMN",
        f'there is no column "{node.sql(dialect="postgres")}"',
        suggest(
            node.name, _visible(block, fold(qualifier.name) if qualifier is not None else None)
        ),
    )


def _is_alias(block: Block, name: str) -> bool:
    """Whether a select list, here or around, gives something that name."""
    current: Block | None = block
    while current is not None:
        for item in current.select.expressions:
            if isinstance(item, exp.Alias) and fold(item.alias) == name:
                return True
        current = current.parent
    return False


def _is_source(block: Block, name: str) -> bool:
    current: Block | None = block
    while current is not None:
        if any(source.alias == name for source in current.sources):
            return True
        current = current.parent
    return False


def _visible(block: Block, qualifier: str | None) -> list[str]:
    names: list[str] = []
    current: Block | None = block
    while current is not None:
        for source in current.sources:
            if qualifier is None or source.alias == qualifier:
                if source.table is not None and not source.renamed:
                    names += [column.name for column in source.table.columns]
                else:
                    names += source.columns or []
        current = current.parent
    return names
