"""The join tree of a FROM clause, and what each join allows.

sqlglot lists joins flat. A comma binds less tightly than JOIN: in ``a, b RIGHT JOIN c`` the right join is
between b and c, so each comma begins another tree.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlglot import exp

from encdb.errors import NotSupportedError, ProgrammingError, err

from .names import fold
from .scope import Block, Join, JoinTree, Source, leaves

MakeSource = Callable[[exp.Expr], Source]

_SIDES = ("", "LEFT", "RIGHT", "FULL")
_KINDS = ("", "INNER", "OUTER", "CROSS")


def join_tree(select: exp.Select, block: Block, make: MakeSource) -> JoinTree | None:
    """The join tree of a SELECT, or None without FROM. Marks sources that outer joins make nullable."""
    from_ = select.args.get("from_")
    if from_ is None:
        if select.args.get("joins") or select.args.get("laterals"):
            raise err(NotSupportedError, "E_NOT_SUPPORTED", "JOIN without FROM is not supported")
        return None
    items: list[exp.Expr] = [*(select.args.get("joins") or []), *_laterals(select)]
    tree = _chain(_item(from_.this, block, make), items, block, make)
    _mark_nullable(tree)
    block.using = _left_using(tree)
    return tree


def _laterals(select: exp.Select) -> list[exp.Expr]:
    found = select.args.get("laterals") or []
    return [exp.Join(this=item) for item in found]


def _item(node: exp.Expr, block: Block, make: MakeSource) -> JoinTree:
    """One item of FROM with the joins that hang on it, in parentheses or not."""
    nested = node.args.get("joins") or []
    if isinstance(node, exp.Subquery) and not isinstance(node.this, exp.Query | exp.Values):
        # Parentheses around a join.
        if node.args.get("alias") is not None:
            raise err(
                NotSupportedError,
                "E_NOT_SUPPORTED",
                "an alias of a join in parentheses is not supported",
                "Give the tables aliases, or use a subquery",
            )
        tree = _item(node.this, block, make)
    else:
        tree = make(node)
    return _chain(tree, nested, block, make)


def _chain(first: JoinTree, joins: list[exp.Expr], block: Block, make: MakeSource) -> JoinTree:
    trees = [first]
    for node in joins:
        right = _item(node.this, block, make)
        side, kind = (node.args.get("side") or "").upper(), (node.args.get("kind") or "").upper()
        method = (node.args.get("method") or "").upper()
        if side not in _SIDES or kind not in _KINDS or method not in ("", "NATURAL"):
            words = " ".join(word for word in (method, side, kind, "JOIN") if word)
            raise err(NotSupportedError, "E_NOT_SUPPORTED", f"{words} is not supported")
        on, using = node.args.get("on"), node.args.get("using") or []
        if on is None and not using and not method and kind != "CROSS":
            # sqlglot notes PIVOT, present or not, for JOIN only; a comma has no such argument.
            if side or kind or "pivots" in node.args:
                raise err(
                    ProgrammingError,
                    "E_SYNTAX",
                    "JOIN wants a condition",
                    "Add ON or USING, or write CROSS JOIN",
                )
            trees.append(right)
            continue
        if using or method:
            block.merged = True
            block.natural = block.natural or bool(method)
        names = tuple(fold(column.name) for column in using)
        trees[-1] = Join(trees[-1], right, side, on, names)
    tree = trees[0]
    for other in trees[1:]:
        tree = Join(tree, other)
    return tree


def _mark_nullable(tree: JoinTree) -> None:
    stack = [tree]
    while stack:
        node = stack.pop()
        if not isinstance(node, Join):
            continue
        stack += [node.left, node.right]
        for side, part in (("RIGHT", node.left), ("LEFT", node.right)):
            if node.side in (side, "FULL"):
                for source in leaves(part):
                    source.nullable = True


def _left_using(tree: JoinTree) -> frozenset[str]:
    """Names merged by USING, if only inner and left joins do so: then the left column decides."""
    names: set[str] = set()
    stack = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, Join):
            stack += [node.left, node.right]
            names.update(node.using)
            if node.side in ("RIGHT", "FULL"):
                return frozenset()
    return frozenset(names)
