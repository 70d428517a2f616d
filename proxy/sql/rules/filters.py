"""Rules 3 and 4: WHERE and ON.

WHERE restricts every source it names, on the nullable side of an outer join too, because every atom
is false or NULL for NULL: a row that an outer join made up for a row the push removed fails the same
atom. (``WHERE b.x IS NULL`` and ``coalesce(b.x, 0) <> 5`` are no atoms, for that reason.)

ON restricts both sides of an inner join and the null-supplying side of an outer one. On the preserved
side it must not: in ``a LEFT JOIN b ON a.x = 1`` rows of a with x = 2 are still in the result. ON of a FULL
JOIN restricts nothing. HAVING and QUALIFY come after grouping and windows and restrict nothing.
"""

from __future__ import annotations

from ..scope import Block, Join, Source, leaves
from .atoms import MatchNumbers
from .boolean import extract


def apply_filters(block: Block, matches: MatchNumbers) -> bool:
    """Give every source of a block the conditions of WHERE and ON.

    Returns:
        Whether the conditions of WHERE say all that WHERE says.
    """
    _apply_joins(block, matches)
    where = block.select.args.get("where")
    if where is None:
        return True
    found = extract(block, where.this, matches)
    for source, tree in found.conditions.items():
        source.trees.append(tree)
    return found.exact


def _apply_joins(block: Block, matches: MatchNumbers) -> None:
    stack = [] if block.joins is None else [block.joins]
    while stack:
        node = stack.pop()
        if not isinstance(node, Join):
            continue
        stack += [node.left, node.right]
        allowed = _restricted(node)
        if node.on is None or not allowed:
            continue
        for source, tree in extract(block, node.on, matches).conditions.items():
            if source in allowed:
                source.trees.append(tree)


def _restricted(join: Join) -> set[Source]:
    """The sources that ON of a join may restrict."""
    found: set[Source] = set()
    if join.side in ("", "RIGHT"):
        found.update(leaves(join.left))
    if join.side in ("", "LEFT"):
        found.update(leaves(join.right))
    return found
