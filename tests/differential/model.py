"""What a generated test knows of its tables: columns, constraints, indexes and values it has seen."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from tests.differential.chooser import Chooser
from tests.differential.kinds import KEY, KINDS, SENTENCE, WORDS, Kind, quoted

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


@dataclass(frozen=True)
class Index:
    """One index besides those of constraints."""

    name: str
    method: str
    columns: tuple[str, ...]
    unique: bool = False
    positions: bool = False
    options: tuple[str, ...] = ()
    include: tuple[str, ...] = ()

    def definition(self, table: str) -> str:
        """CREATE INDEX."""
        word = "UNIQUE INDEX" if self.unique else "INDEX"
        listed = [*self.options, *["positions = on"][: self.positions]]
        options = f" WITH ({', '.join(listed)})" if listed else ""
        names = ", ".join(self.columns)
        more = f" INCLUDE ({', '.join(self.include)})" if self.include else ""
        return f"CREATE {word} {self.name} ON {table} USING {self.method} ({names}){more}{options}"


@dataclass(eq=False)
class Table:
    """One table.

    Attributes:
        unique: column names of each unique constraint; the first is the primary key, if ``primary``.
        indexes: those that CREATE INDEX made.
        made: how many.
    """

    name: str
    columns: list[Column]
    primary: bool = False
    unique: list[tuple[str, ...]] = field(default_factory=list)
    check: str | None = None
    indexes: list[Index] = field(default_factory=list)
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

    def searchable(self) -> list[tuple[tuple[str, ...], bool]]:
        """Column lists that a keyword index covers, and whether phrases may be asked for.

        The narrowest index answers; where two are as narrow, no phrase is asked for.
        """
        keyword = [index for index in self.indexes if index.method == "keyword"]
        lists = {index.columns for index in keyword}
        lists |= {(name,) for index in keyword for name in index.columns}
        found = []
        for names in sorted(lists):
            covering = [index for index in keyword if set(names) <= set(index.columns)]
            found.append((names, all(index.positions for index in covering)))
        return found


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


def draw_index(choose: Chooser, table: Table) -> Index | None:
    """A new index of a table, in its model too; None when there is one like it."""
    column = choose.pick(table.columns)
    if not column.kind.methods:
        return None
    method = choose.pick(methods_of(column))
    names: tuple[str, ...] = (column.name,)
    if method == "keyword":
        names = tuple(one.name for one in table.columns if one.kind is SENTENCE)
        names = names if choose.chance(50) else (column.name,)
    elif method in ("equality", "det") and choose.chance(20):
        other = choose.pick(table.columns)
        if other.kind.comparable and other is not column:
            names = (column.name, other.name)
    elif method == "range" and choose.chance(25):
        other = choose.pick(table.columns)
        if other.kind.comparable and other is not column:
            names = (other.name, column.name)
    options = draw_options(choose, method, column, len(names))
    if any(
        (method, names, options) == (one.method, one.columns, one.options) for one in table.indexes
    ):
        return None
    table.made += 1
    positions = method == "keyword" and choose.chance(40)
    others = [one.name for one in table.columns if one.name not in names]
    covers = method in ("equality", "range") and others and choose.chance(30)
    include = tuple(choose.some(others, 1, 3)) if covers else ()
    name = f"{table.name}_i{table.made}"
    index = Index(name, method, names, False, positions, options, include)
    table.indexes.append(index)
    return index


def methods_of(column: Column) -> tuple[str, ...]:
    """Methods that take a column; the server-visible ones of a type come with the hidden ones."""
    found = list(column.kind.methods)
    if column.kind.comparable:
        found.append("det")
    if column.kind.ordered:
        found += ["ore", "ope"]
    if column.kind.sql.startswith(("TEXT", "VARCHAR")):
        found.append("substring")
    return tuple(found)


def draw_options(choose: Chooser, method: str, column: Column, width: int) -> tuple[str, ...]:
    """Options of an index; tables are small and often empty, so leakage is accepted."""
    if method == "range" and column.kind.family in ("text", "words") and choose.chance(40):
        return ("case_insensitive = true",)
    if method == "keyword" and choose.chance(20):
        return ("dictionary = false",)
    if method not in ("det", "ore", "ope"):
        return ()
    options = ["accept_leakage = true"]
    if method == "ore" and choose.chance(50):
        options.append("mask = 'sha256'")
    if method == "ope" and column.kind.sql in ("SMALLINT", "INTEGER", "DATE") and choose.chance(20):
        options.append("scheme = 'boldyreva'")
    if method == "det" and width == 1 and choose.chance(30):
        # One group for each type, since it may not mix them.
        options.append(f"join_group = '{column.kind.sql}'")
    return tuple(options)


PATTERNS = (
    ("AL*", "like('al%')"),
    ("*ta", "like('%ta')"),
    ("*mm*", "like('%mm%')"),
    ("?e?a", "like('_e_a')"),
    ("d*l?a", "like('d%l_a')"),
    ("nothing*", "like('nothing%')"),
    ("aplha~1", "edits('aplha', 1)"),
    ("betta~", "edits('betta', 1)"),
    ("delta~2", "edits('delta', 2)"),
    ("ip~1", "edits('ip', 1)"),
)
"""Patterns of a keyword query, and what they mean."""


def draw_search(choose: Chooser, *, phrases: bool) -> tuple[str, str]:
    """A keyword query, and a condition for DuckDB that means the same.

    In the condition ``has('w')`` stands for a row with that word, ``near('v', 'w')`` for one with the two words
    side by side in one column, ``like('w%')`` for one with a word like that, and ``edits('w', n)`` for one with
    a word that differs from w by so many edits at most.
    """

    def word() -> str:
        return choose.pick((*WORDS, "zeta"))

    one, two, three = word(), word(), word()
    forms = [
        (one, f"has('{one}')"),
        (f"{one} {two}", f"has('{one}') AND has('{two}')"),
        (f"{one} OR {two}", f"(has('{one}') OR has('{two}'))"),
        (f"-{one}", f"NOT has('{one}')"),
        (f"{one} -{two}", f"has('{one}') AND NOT has('{two}')"),
        (f"NOT {one} OR {two}", f"(NOT has('{one}') OR has('{two}'))"),
        (
            f"({one} OR {two}) AND NOT {three}",
            f"(has('{one}') OR has('{two}')) AND NOT has('{three}')",
        ),
        (one.upper(), f"has('{one}')"),
    ]
    pattern, meaning = choose.pick(PATTERNS)
    forms += [
        (pattern, meaning),
        (f"-{pattern}", f"NOT {meaning}"),
        (f"{pattern} {one}", f"{meaning} AND has('{one}')"),
        (f"{pattern} OR -{one}", f"({meaning} OR NOT has('{one}'))"),
    ]
    if phrases:
        forms += [
            (f'"{one} {two}"', f"near('{one}', '{two}')"),
            (f'"{one} {two}" OR {three}', f"(near('{one}', '{two}') OR has('{three}'))"),
            (f'{three} -"{one} {two}"', f"has('{three}') AND NOT near('{one}', '{two}')"),
        ]
    return choose.pick(forms)


def plain_match(alias: str, names: tuple[str, ...], condition: str) -> str:
    """A condition for DuckDB that is true where the words of some columns satisfy ``condition``."""
    texts = [f"coalesce({alias}.{name}, '')" for name in names]
    joined = " || ' ' || ".join(texts)

    def has(found: re.Match[str]) -> str:
        return f"list_contains(regexp_split_to_array({joined}, '[^a-z]+'), '{found[1]}')"

    def near(found: re.Match[str]) -> str:
        pattern = quoted(f"(^|[^a-z]){found[1]}[^a-z]+{found[2]}($|[^a-z])")
        return "(" + " OR ".join(f"regexp_matches({text}, {pattern})" for text in texts) + ")"

    def some(test: str) -> str:
        words = f"regexp_split_to_array({joined}, '[^a-z]+')"
        return f"(len(list_filter({words}, lambda word: word <> '' AND {test})) > 0)"

    condition = re.sub(r"has\('(\w+)'\)", has, condition)
    condition = re.sub(
        r"like\('([\w%]+)'\)", lambda found: some(f"word LIKE '{found[1]}'"), condition
    )
    condition = re.sub(
        r"edits\('(\w+)', (\d)\)",
        lambda found: some(f"damerau_levenshtein(word, '{found[1]}') <= {found[2]}"),
        condition,
    )
    condition = re.sub(r"near\('(\w+)', '(\w+)'\)", near, condition)
    known = " AND ".join(f"{alias}.{name} IS NULL" for name in names)
    return f"(CASE WHEN {known} THEN NULL ELSE ({condition}) END)"
