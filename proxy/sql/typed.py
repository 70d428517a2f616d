r"""Rewriting that needs a column's type: comparisons that the engine would make in another type.

* ``real_column = 0.1``: PostgreSQL compares as DOUBLE PRECISION, which is false; the engine would cast 0.1
  to REAL and find it equal.
* ``bytea_column = '\xAB'``: the literal takes the column's type, whose text form is PostgreSQL's.
* names of tables and columns get the catalog's spelling, since the engine folds only some letters.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlglot import exp

from indexes.types import Kind

from . import constants
from .casts import bytes_literal
from .constants import Type
from .rules.columns import source_column
from .scope import Block, Found, Source, resolve_column


def rewrite(blocks: Iterable[Block]) -> None:
    """Rewrite all blocks of a statement in place."""
    for block in blocks:
        for node in block.comparisons:
            _comparison(block, node)
        for column in block.columns:
            _spelling(block, column)
        for source in block.sources:
            _table(source)


def _comparison(block: Block, node: exp.Expr) -> None:
    operands = [child for child in node.iter_expressions() if not isinstance(child, exp.Query)]
    kinds = {_kind(block, operand) for operand in operands}
    if Kind.BLOB in kinds:
        for operand in operands:
            text = constants.string(operand)
            if text is not None:
                operand.replace(bytes_literal(text))
    if Kind.REAL in kinds and any(_is_decimal(operand) for operand in operands):
        for operand in operands:
            if _kind(block, operand) is Kind.REAL:
                operand.replace(exp.cast(operand.copy(), "DOUBLE"))


def _kind(block: Block, node: exp.Expr) -> Kind | None:
    if isinstance(node, exp.Cast) and node.to.this is exp.DType.FLOAT:
        return Kind.REAL
    found = source_column(block, node)
    return found.column.type.kind if found is not None and found.column is not None else None


def _is_decimal(node: exp.Expr) -> bool:
    constant = constants.fold(node)
    return constant is not None and constant.type in (Type.DECIMAL, Type.INTEGER, Type.PARAMETER)


def _spelling(block: Block, node: exp.Column) -> None:
    if node.args.get("db") is not None:
        node.set("db", None)
    if isinstance(node.this, exp.Star):
        return
    found = resolve_column(block, node)
    if isinstance(found, Found) and found.column is not None and not found.source.renamed:
        node.this.set("this", found.column.name)


def _table(source: Source) -> None:
    if source.table is None:
        return
    node = source.node
    node.set("db", None)
    if node.this.name == source.table.name:
        return
    if not node.alias:
        node.set("alias", exp.TableAlias(this=node.this.copy()))
    node.set("this", exp.Identifier(this=source.table.name, quoted=True))
