"""The column that an expression is, by itself or folded by ``lower()``.

A condition is pushed only if its column stands bare, or within ``lower()``, for which an index may be made. A cast or
any other function around it forbids the push.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlglot import exp

from ..scope import Block, Found, resolve_column


@dataclass(frozen=True, slots=True)
class Target:
    """The column that a condition is about, and whether ``lower()`` of it is."""

    found: Found
    lowered: bool


def source_column(block: Block, node: exp.Expr) -> Found | None:
    """The column of one of the block's own sources that an expression is, and nothing else."""
    node = _bare(node)
    if not isinstance(node, exp.Column):
        return None
    found = resolve_column(block, node)
    return found if isinstance(found, Found) and found.depth == 0 else None


def target(block: Block, node: exp.Expr) -> Target | None:
    """The column of one of the block's own sources that an expression is, or is the ``lower()`` of."""
    node = _bare(node)
    lowered = isinstance(node, exp.Lower)
    found = source_column(block, node.this if lowered else node)
    return None if found is None else Target(found, lowered)


def _bare(node: exp.Expr) -> exp.Expr:
    while isinstance(node, exp.Paren):
        node = node.this
    return node
