"""Rule 12: statements that need no engine.

A query of one table whose result is a list of its columns and whose WHERE is exactly a predicate of rule 1
can be answered from the rows themselves, which saves a point query about a millisecond. The planner
only says that it is such a query; it is answered so if the parameters bind exactly and an index serves it,
with the same Python types as on the other path.
"""

from __future__ import annotations

from sqlglot import exp

from ..access import DirectOutput
from ..scope import Block
from .columns import source_column


def direct_outputs(block: Block) -> tuple[DirectOutput, ...] | None:
    """The result's columns if a single block is a plain list of columns, else None."""
    select, source = block.select, block.sources[0]
    if source.table is None or source.renamed or block.aggregated or block.matches:
        return None
    if any(select.args.get(key) for key in ("order", "limit", "offset")):
        return None
    found: list[DirectOutput] = []
    for item in select.expressions:
        if item.is_star:
            found += [DirectOutput(column.name, column.id) for column in source.table.columns]
            continue
        value = item.this if isinstance(item, exp.Alias) else item
        column = source_column(block, value) if isinstance(value, exp.Column) else None
        if column is None or column.column is None:
            return None
        name = item.alias if isinstance(item, exp.Alias) else column.column.name
        found.append(DirectOutput(name, column.column.id))
    return tuple(found) if found else None
