"""Parsed statements and plans, kept by their text.

A plan depends on the text and on the catalog. Two catalogs can have one version number while a transaction
that changed the schema is open or was rolled back, so a kept plan is used only for an equal catalog.
Literals of statements stay in memory as long as they are kept; nothing is written anywhere.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, Generic, TypeVar

from ..catalog import Catalog
from .access import QueryPlan
from .parse import parse_script
from .plan import plan_query
from .statements import Delete, Insert, Query, Statement, Update
from .write import DeletePlan, InsertPlan, UpdatePlan, plan_delete, plan_insert, plan_update

Plan = QueryPlan | InsertPlan | UpdatePlan | DeletePlan

MAX_KEPT_CHARACTERS: Final = 64 * 1024
"""Longer statements are mostly INSERTs with many rows, which do not come again."""

_Value = TypeVar("_Value")


class Recent(Generic[_Value]):
    """A dictionary that forgets what was not used for longest."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._entries: OrderedDict[str, _Value] = OrderedDict()

    def get(self, key: str) -> _Value | None:
        """The value of a key, which becomes the most recent one."""
        value = self._entries.get(key)
        if value is not None:
            self._entries.move_to_end(key)
        return value

    def put(self, key: str, value: _Value) -> None:
        """Keep a value."""
        self._entries[key] = value
        self._entries.move_to_end(key)
        while len(self._entries) > self._size:
            self._entries.popitem(last=False)

    def __len__(self) -> int:
        return len(self._entries)


class StatementCache:
    """Parses and plans, remembering both.

    Args:
        size: how many scripts and how many plans are kept.
    """

    def __init__(self, size: int = 256) -> None:
        self._parsed: Recent[tuple[Statement, ...]] = Recent(size)
        self._planned: Recent[tuple[Catalog, Plan]] = Recent(size)

    def parse(self, sql: str) -> tuple[Statement, ...]:
        """The statements of a script; errors as of :func:`.parse.parse_script`."""
        found = self._parsed.get(sql)
        if found is None:
            found = tuple(parse_script(sql))
            if len(sql) <= MAX_KEPT_CHARACTERS:
                self._parsed.put(sql, found)
        return found

    def plan(self, statement: Query | Insert | Update | Delete, catalog: Catalog) -> Plan:
        """The plan of a statement; errors as of the planning functions."""
        kept = self._planned.get(statement.source)
        if kept is not None and (kept[0] is catalog or kept[0] == catalog):
            return kept[1]
        plan = plan_statement(statement, catalog)
        if len(statement.source) <= MAX_KEPT_CHARACTERS:
            self._planned.put(statement.source, (catalog, plan))
        return plan


def plan_statement(statement: Query | Insert | Update | Delete, catalog: Catalog) -> Plan:
    """The plan of a statement, made anew."""
    if isinstance(statement, Query):
        return plan_query(statement, catalog)
    if isinstance(statement, Insert):
        return plan_insert(statement, catalog)
    if isinstance(statement, Update):
        return plan_update(statement, catalog)
    return plan_delete(statement, catalog)
