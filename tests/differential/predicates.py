"""Conditions of every kind over the columns in scope, in the SQL that both databases understand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.differential.chooser import Chooser
from tests.differential.kinds import Kind, quoted
from tests.differential.model import Column, Table, draw_search, plain_match

COMPARISONS = ("=", "=", "=", "<", "<=", ">", ">=", "<>")
NUMBERS = ("5", "4.6", "-0.5", "1e0", "0", "9007199254740993e0", "'5'", "1.0", "99999999999")
PATTERNS = (
    "a%",
    "ab%",
    "%",
    "",
    "a",
    "%b",
    "a_%",
    "_",
    "x%",
    "xxxxxxxxxxxxxxxx%",
    "é%",
    "a!_%",
    "A%",
    "0_",
    "%abc%",
    "%b%a%",
    "ab%cd",
    "%xxx%",
    "_bc%",
    "%a_c",
    "%%",
    "%ß%",
    "%ABC%",
    "k",
    "\U0010ffff%",
)


@dataclass(frozen=True, eq=False)
class Name:
    """A column as a query can name it."""

    sql: str
    column: Column

    @property
    def kind(self) -> Kind:
        """Its type."""
        return self.column.kind


@dataclass(frozen=True, eq=False)
class Mention:
    """A table in FROM. A derived one has no model, only names."""

    alias: str
    names: tuple[Name, ...]
    table: Table | None = None

    @classmethod
    def of(cls, table: Table, alias: str) -> Mention:
        """A base table under an alias."""
        return cls(alias, tuple(Name(f"{alias}.{one.name}", one) for one in table.columns), table)


@dataclass
class Statement:
    """A statement in the making.

    Attributes:
        parameters: values of ``$1``, ``$2``, …
        matches: pairs of an ``@@`` and the condition that stands for it in DuckDB.
    """

    choose: Chooser
    tables: Sequence[Table]
    parameters: list[Any] = field(default_factory=list)
    matches: list[tuple[str, str]] = field(default_factory=list)
    aliases: int = 0

    def alias(self) -> str:
        """A name that no table of the statement has."""
        self.aliases += 1
        return f"x{self.aliases}"

    def parameter(self, value: Any) -> str:
        """A value as a parameter."""
        self.parameters.append(value)
        return f"${len(self.parameters)}"

    def constant(self, column: Column) -> str:
        """A constant to compare a column with: a literal or a parameter."""
        return self.write(column.kind, column.constant(self.choose))

    def write(self, kind: Kind, value: Any) -> str:
        """A value as a literal or a parameter; parameters of float type are always DOUBLE."""
        if kind.literal is None or self.choose.chance(30):
            return self.parameter(value)
        return kind.literal(value)

    def plain(self, sql: str) -> str:
        """The statement for DuckDB."""
        for ours, theirs in self.matches:
            sql = sql.replace(ours, theirs)
        return sql


def predicate(made: Statement, scope: Sequence[Mention], depth: int = 2) -> str:
    """A condition."""
    choose = made.choose
    if depth > 0 and choose.chance(40):
        parts = [predicate(made, scope, depth - 1) for _ in choose.times(2, 3)]
        word = choose.pick((" AND ", " OR "))
        joined = "(" + word.join(parts) + ")"
        return f"NOT {joined}" if choose.chance(20) else joined
    one = atom(made, scope, depth)
    return f"(NOT {one})" if choose.chance(12) else one


def atom(made: Statement, scope: Sequence[Mention], depth: int) -> str:
    """A condition without AND, OR and NOT."""
    choose = made.choose
    mention = choose.pick(scope)
    if mention.table is not None and mention.table.searchable() and choose.chance(30):
        return _match(made, mention, mention.table)
    if choose.chance(12) and depth > 0:
        return _nested(made, scope, mention)
    if choose.chance(10):
        found = _columns(made, scope)
        if found is not None:
            return found
    if choose.chance(6):
        found = _rows(made, mention)
        if found is not None:
            return found
    return on_column(made, choose.pick(mention.names))


def on_column(made: Statement, name: Name) -> str:
    """A condition on one column."""
    forms = [_null]
    if name.kind.comparable:
        forms = [_compare, _compare, _compare, _in, _between, _null, _distinct, _coalesce]
        forms.append(_SPECIAL.get(name.kind.family, _compare))
    return made.choose.pick(forms)(made, name)


def _compare(made: Statement, name: Name) -> str:
    operator, constant = made.choose.pick(COMPARISONS), made.constant(name.column)
    if made.choose.chance(15):
        return f"{constant} {operator} {name.sql}"
    return f"{name.sql} {operator} {constant}"


def _between(made: Statement, name: Name) -> str:
    word = "NOT BETWEEN" if made.choose.chance(20) else "BETWEEN"
    low, high = name.column.constant(made.choose), name.column.constant(made.choose)
    if made.choose.chance(80) and low == low and high == high and low > high:  # noqa: PLR0124 - NaN
        low, high = high, low
    return f"({name.sql} {word} {made.write(name.kind, low)} AND {made.write(name.kind, high)})"


def _in(made: Statement, name: Name) -> str:
    word = "NOT IN" if made.choose.chance(20) else "IN"
    listed = [made.constant(name.column) for _ in made.choose.times(1, 4)]
    if made.choose.chance(15):
        listed.append("NULL")
    return f"{name.sql} {word} ({', '.join(listed)})"


def _null(made: Statement, name: Name) -> str:
    return f"{name.sql} IS {'NOT ' if made.choose.chance(40) else ''}NULL"


def _distinct(made: Statement, name: Name) -> str:
    word = "IS DISTINCT FROM" if made.choose.chance(40) else "IS NOT DISTINCT FROM"
    constant = "NULL" if made.choose.chance(15) else made.constant(name.column)
    return f"({name.sql} {word} {constant})"


def _coalesce(made: Statement, name: Name) -> str:
    operator = made.choose.pick(("=", "<>"))
    if name.kind.literal is None:
        return _null(made, name)
    instead = name.kind.literal(name.column.constant(made.choose))
    return f"coalesce({name.sql}, {instead}) {operator} {made.constant(name.column)}"


def _on_boolean(made: Statement, name: Name) -> str:
    forms = ("{0}", "(NOT {0})", "({0} IS TRUE)", "({0} IS NOT TRUE)", "({0} IS FALSE)")
    return made.choose.pick(forms).format(name.sql)


def _on_number(made: Statement, name: Name) -> str:
    choose = made.choose
    if choose.chance(40):
        return f"{choose.pick(('{0} % 2 = 0', 'abs(CAST({0} AS DOUBLE PRECISION)) > 3e0', '{0} / 2 = 1', '0e0 - {0} = 1', '{0} + 0 = 1'))}".format(
            name.sql
        )
    if choose.chance(30):
        low, high = choose.pick(NUMBERS), choose.pick(NUMBERS)
        return f"({name.sql} BETWEEN {low} AND {high})"
    if choose.chance(30):
        return f"{name.sql} IN ({choose.pick(NUMBERS)}, {choose.pick(NUMBERS)})"
    return f"{name.sql} {choose.pick(COMPARISONS)} {choose.pick(NUMBERS)}"


def _on_decimal(made: Statement, name: Name) -> str:
    choose = made.choose
    constant = choose.pick(("1", "0", "0.123456789", "-4.565", "0.01", "100000000", "1e0", "5"))
    return f"{name.sql} {choose.pick(COMPARISONS)} {constant}"


def _on_float(made: Statement, name: Name) -> str:
    choose = made.choose
    if name.kind.sql == "REAL":
        # PostgreSQL compares REAL with a DECIMAL as DOUBLE, plain DuckDB does not.
        return f"{name.sql} {choose.pick(COMPARISONS)} {choose.pick(('0.1e0', '1e0', '-2.5e0', '1e39'))}"
    constant = choose.pick(("0.1", "1", "0", "-2.5", "1e308", "9007199254740993", "'NaN'"))
    return f"{name.sql} {choose.pick(COMPARISONS)} {constant}"


def _on_text(made: Statement, name: Name) -> str:
    choose = made.choose
    form = choose.number(0, 99)
    if form < 50:
        return _like(made, name)
    if form < 70:
        return _on_part(made, name)
    if form < 85:
        return _on_lower(made, name)
    forms = (
        "length({0}) > 2",
        "{0} || 'x' = 'ax'",
        "upper({0}) = 'A'",
        "lower({0}) <> 'a'",
        "CASE WHEN {0} IN ('5', '05') THEN CAST({0} AS INTEGER) END = 5",
    )
    return choose.pick(forms).format(name.sql)


def _like(made: Statement, name: Name) -> str:
    choose = made.choose
    word = choose.pick(("LIKE", "LIKE", "LIKE", "NOT LIKE", "ILIKE", "ILIKE", "NOT ILIKE"))
    of = f"lower({name.sql})" if choose.chance(15) else name.sql
    pattern = choose.pick(PATTERNS)
    if choose.chance(50):
        before, behind = choose.pick((("", "%"), ("%", "%"), ("%", ""), ("_", "%")))
        pattern = before + _part(made, name).replace("\\", "") + behind
    escape = " ESCAPE '!'" if "!" in pattern or choose.chance(10) else ""
    if pattern.endswith("!") or "!" in pattern.replace("!_", ""):
        return f"{name.sql} LIKE 'a!_%' ESCAPE '!'"
    if choose.chance(20):
        # Without ESCAPE the engine would not take the backslash for one, as PostgreSQL does.
        return f"{of} {word} {made.parameter(pattern)} ESCAPE '!'"
    if choose.chance(15) and len(pattern) > 1:
        middle = made.parameter(pattern[1:-1])
        return f"{of} {word} {quoted(pattern[0])} || {middle} || {quoted(pattern[-1])} ESCAPE '!'"
    return f"{of} {word} {quoted(pattern)}{escape}"


def _part(made: Statement, name: Name) -> str:
    """A part of a text that the column may hold, in the case that it has or in another."""
    choose = made.choose
    text = str(name.column.constant(choose))
    start = choose.number(0, max(len(text) - 1, 0)) if choose.chance(50) else 0
    part = text[start : start + choose.number(0, 18)]
    return choose.pick((part, part, part.upper(), part.lower(), part.swapcase()))


def _on_part(made: Statement, name: Name) -> str:
    """A call that asks for a part of a text."""
    choose = made.choose
    of = f"lower({name.sql})" if choose.chance(15) else name.sql
    part = _part(made, name)
    written = made.parameter(part) if choose.chance(30) else quoted(part)
    calls = ("contains({0}, {1})", "starts_with({0}, {1})", "{0} ^@ {1}", "ends_with({0}, {1})")
    if choose.chance(70):
        return f"({choose.pick(calls).format(of, written)})"
    operator, number = choose.pick(((">", 0), (">=", 1), ("<>", 0), ("=", 1), ("=", 0), ("<", 2)))
    return f"strpos({of}, {written}) {operator} {number}"


def _on_lower(made: Statement, name: Name) -> str:
    """A condition on a folded column."""
    choose, kind = made.choose, name.kind
    constant = str(name.column.constant(choose))
    constant = constant.lower() if choose.chance(70) else constant
    written = made.write(kind, constant)
    form = choose.number(0, 3)
    if form == 0:
        return f"lower({name.sql}) {choose.pick(COMPARISONS)} {written}"
    if form == 1:
        other = made.write(kind, str(name.column.constant(choose)).lower())
        return f"lower({name.sql}) IN ({written}, {other})"
    if form == 2:
        return f"lower({name.sql}) = lower({written})"
    return f"lower({name.sql}) BETWEEN {written} AND {quoted(constant + 'z')}"


def _on_date(made: Statement, name: Name) -> str:
    forms = (
        "{0} > TIMESTAMP '2020-02-28 12:00:00'",
        "{0} <= TIMESTAMP '1970-01-01 00:00:00'",
        "{0} = TIMESTAMP '1970-01-01 00:00:01'",
        "{0} = '2020-02-29'",
        "{0} >= DATE '2020-01-31' + INTERVAL '1 month'",
        "{0} < DATE '2020-03-30' - 30",
        "extract(year FROM {0}) = 2020",
        "{0} + 1 = DATE '1970-01-02'",
    )
    return made.choose.pick(forms).format(name.sql)


def _on_timestamp(made: Statement, name: Name) -> str:
    forms = (
        "{0} >= DATE '1970-01-01'",
        "{0} = DATE '1970-01-01'",
        "{0} < '2020-02-29'",
        "{0} < DATE '2020-03-01' + INTERVAL '1 day'",
        "CAST({0} AS DATE) = DATE '2020-02-29'",
    )
    return made.choose.pick(forms).format(name.sql)


def _on_zoned(made: Statement, name: Name) -> str:
    forms = (
        "{0} >= '1970-01-01 01:00:00+01:00'",
        "{0} = '1970-01-01 00:00:00+00'",
        "{0} < CAST('2020-02-29' AS TIMESTAMP WITH TIME ZONE)",
    )
    return made.choose.pick(forms).format(name.sql)


def _on_uuid(made: Statement, name: Name) -> str:
    return f"{name.sql} {made.choose.pick(COMPARISONS)} '80000000-0000-0000-0000-000000000000'"


_SPECIAL = {
    "boolean": _on_boolean,
    "integer": _on_number,
    "decimal": _on_decimal,
    "float": _on_float,
    "text": _on_text,
    "words": _on_text,
    "date": _on_date,
    "timestamp": _on_timestamp,
    "timestamptz": _on_zoned,
    "uuid": _on_uuid,
}


def _match(made: Statement, mention: Mention, table: Table) -> str:
    choose = made.choose
    names, phrases = choose.pick(table.searchable())
    search, condition = draw_search(choose, phrases=phrases)
    target = ", ".join(f"{mention.alias}.{name}" for name in names)
    target = f"({target})" if len(names) > 1 else target
    ours = f"({target} @@ {quoted(search)})"
    made.matches.append((ours, plain_match(mention.alias, names, condition)))
    return ours


def _columns(made: Statement, scope: Sequence[Mention]) -> str | None:
    """A comparison of two columns."""
    names = [name for mention in scope for name in mention.names if name.kind.comparable]
    if not names:
        return None
    left = made.choose.pick(names)
    fitting = [name for name in names if name.kind.sql == left.kind.sql and name is not left]
    if not fitting:
        return None
    return f"{left.sql} {made.choose.pick(COMPARISONS)} {made.choose.pick(fitting).sql}"


def _rows(made: Statement, mention: Mention) -> str | None:
    """A comparison of two columns at once."""
    names = [name for name in mention.names if name.kind.comparable and name.kind.literal]
    if len(names) < 2:
        return None
    left = made.choose.pick(names)
    right = made.choose.pick([name for name in names if name is not left])

    def constants() -> str:
        return f"({made.constant(left.column)}, {made.constant(right.column)})"

    if made.choose.chance(50):
        return f"({left.sql}, {right.sql}) = {constants()}"
    return f"({left.sql}, {right.sql}) IN ({constants()}, {constants()})"


def _nested(made: Statement, scope: Sequence[Mention], mention: Mention) -> str:
    """A condition with a subquery."""
    choose = made.choose
    inner = Mention.of(choose.pick(made.tables), made.alias())
    assert inner.table is not None
    source = f"{inner.table.name} AS {inner.alias}"
    where = predicate(made, [inner], 0)
    outer = choose.pick([name for name in mention.names if name.kind.comparable])
    same = [name for name in inner.names if name.kind.sql == outer.kind.sql]
    if not same:
        outer, same = mention.names[0], [inner.names[0]]
        if outer.kind.family != same[0].kind.family:
            return f"EXISTS (SELECT 1 FROM {source} WHERE {where})"
    target = choose.pick(same)
    if choose.chance(60):
        word = choose.pick(("EXISTS", "NOT EXISTS"))
        both = predicate(made, [*scope, inner], 0) if choose.chance(20) else where
        return f"{word} (SELECT 1 FROM {source} WHERE {target.sql} = {outer.sql} AND {both})"
    if choose.chance(60):
        word = choose.pick(("IN", "IN", "NOT IN"))
        return f"{outer.sql} {word} (SELECT {target.sql} FROM {source} WHERE {where})"
    if outer.kind.ordered and outer.kind.family != "boolean":
        function = choose.pick(("min", "max"))
        operator = choose.pick(COMPARISONS)
        return (
            f"{outer.sql} {operator} (SELECT {function}({target.sql}) FROM {source} WHERE {where})"
        )
    return f"(SELECT count(*) FROM {source} WHERE {target.sql} = {outer.sql}) > 1"
