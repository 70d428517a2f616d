"""What a generated test knows of its tables: columns, constraints, indexes and values it has seen."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from tests.differential.chooser import Chooser
from tests.differential.kinds import KEY, KINDS, SENTENCE, Kind, quoted

SEEN = 40


@dataclass(eq=False)
class Column:
    """One column, and values that were put into it."""

    name: str
    kind: Kind
    nullable: bool = True
    seen: list[Any] = field(default_factory=list)

    def saw(self, value: Any) -> None:
        """Remember a value, to be asked for later."""
        if value is not None and len(self.seen) < SEEN:
            self.seen.append(value)

    def constant(self, choose: Chooser) -> Any:
        """A value to compare the column with; more often than not one that it holds or held."""
        if self.seen and choose.chance(70):
            return choose.pick(self.seen)
        return self.kind.value(choose)


@dataclass(eq=False)
class Table:
    """One table.

    Attributes:
        unique: column names of each unique constraint; the first is the primary key, if ``primary``.
        indexes: (name, method, columns) of each index besides those.
    """

    name: str
    columns: list[Column]
    primary: bool = False
    unique: list[tuple[str, ...]] = field(default_factory=list)
    check: str | None = None
    indexes: list[tuple[str, str, tuple[str, ...]]] = field(default_factory=list)
    made: int = 0

    def column(self, name: str) -> Column:
        """A column by its name."""
        return next(one for one in self.columns if one.name == name)

    def definition(self, *, constraints: bool) -> str:
        """CREATE TABLE, for encdb with its constraints."""
        lines = []
        for column in self.columns:
            not_null = " NOT NULL" if constraints and not column.nullable else ""
            lines.append(f"{column.name} {column.kind.sql}{not_null}")
        if constraints:
            for number, names in enumerate(self.unique):
                word = "PRIMARY KEY" if self.primary and number == 0 else "UNIQUE"
                lines.append(f"{word} ({', '.join(names)})")
            if self.check:
                lines.append(f"CHECK ({self.check})")
        return f"CREATE TABLE {self.name} ({', '.join(lines)})"

    def searchable(self) -> list[tuple[str, ...]]:
        """Column lists that a keyword index covers."""
        lists = {names for _, method, names in self.indexes if method == "keyword"}
        return sorted(lists | {(name,) for names in lists for name in names})


def draw_table(choose: Chooser, name: str) -> Table:
    """A table of a few columns of any types: a key that tables share, words, and others."""
    columns = [Column("k", KEY)]
    columns += [Column(f"c{number}", choose.pick(KINDS)) for number in choose.times(1, 4)]
    if choose.chance(35):
        columns.append(Column("w", SENTENCE))
        if choose.chance(40):
            columns.append(Column("v", SENTENCE))
    table = Table(name, columns)
    if choose.chance(50):
        table.unique.append(("k",))
        table.primary = choose.chance(60)
        columns[0].nullable = not table.primary
    others = [column for column in columns[1:] if column.kind.comparable]
    if others and choose.chance(25):
        table.unique.append(tuple(one.name for one in choose.some(others, 1, 2)))
    for column in columns[1:]:
        column.nullable = not choose.chance(10)
    if choose.chance(15):
        table.check = "k < 38"
    for _ in choose.times(0, 4):
        draw_index(choose, table)
    return table


def draw_index(choose: Chooser, table: Table) -> str | None:
    """Add an index to a table's model; returns the statement that makes it."""
    column = choose.pick(table.columns)
    if not column.kind.methods:
        return None
    method = choose.pick(column.kind.methods)
    names: tuple[str, ...] = (column.name,)
    if method == "keyword":
        names = tuple(one.name for one in table.columns if one.kind is SENTENCE)
        names = names if choose.chance(50) else (column.name,)
    elif method == "equality" and choose.chance(20):
        other = choose.pick(table.columns)
        if other.kind.comparable and other is not column:
            names = (column.name, other.name)
    if any((method, names) == (one[1], one[2]) for one in table.indexes):
        return None
    table.made += 1
    index = (f"{table.name}_i{table.made}", method, names)
    table.indexes.append(index)
    return index_sql(table, index)


def index_sql(table: Table, index: tuple[str, str, tuple[str, ...]]) -> str:
    """CREATE INDEX."""
    name, method, names = index
    return f"CREATE INDEX {name} ON {table.name} USING {method} ({', '.join(names)})"


def draw_search(choose: Chooser) -> tuple[str, str]:
    """A keyword query, and a condition in SQL on an array ``d`` of words that means the same."""
    from tests.differential.kinds import WORDS

    def word() -> str:
        return choose.pick((*WORDS, "zeta"))

    def has(one: str) -> str:
        return f"list_contains(d, {quoted(one)})"

    one, two, three = word(), word(), word()
    forms = (
        (one, has(one)),
        (f"{one} {two}", f"{has(one)} AND {has(two)}"),
        (f"{one} OR {two}", f"({has(one)} OR {has(two)})"),
        (f"-{one}", f"NOT {has(one)}"),
        (f"{one} -{two}", f"{has(one)} AND NOT {has(two)}"),
        (f"NOT {one} OR {two}", f"(NOT {has(one)} OR {has(two)})"),
        (f"({one} OR {two}) AND NOT {three}", f"({has(one)} OR {has(two)}) AND NOT {has(three)}"),
        (one.upper(), has(one)),
    )
    return choose.pick(forms)


def plain_match(alias: str, names: tuple[str, ...], condition: str) -> str:
    """A condition for DuckDB that is true where the words of some columns satisfy ``condition``."""
    texts = " || ' ' || ".join(f"coalesce({alias}.{name}, '')" for name in names)
    words = f"regexp_split_to_array({texts}, '[^a-z]+')"
    known = " AND ".join(f"{alias}.{name} IS NULL" for name in names)
    found = re.sub(r"\bd\b", lambda _: words, condition)
    return f"(CASE WHEN {known} THEN NULL ELSE ({found}) END)"
