"""Which parts of a conjunction an index may serve, before anything is known about the data.

Execution and EXPLAIN both ask here, so that a plan shows the indexes that a statement will consider. What
an index serves is a superset of the rows wanted; the query rechecks every row that is fetched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeAlias

from indexes.folding import fold, rigid_prefix
from indexes.methods import substring
from proxy.search.analysis import Analysis
from proxy.search.query import needs_texts, parse

from ..catalog import Index, Table
from .access import MatchColumn, TableAccess
from .predicates import (
    And,
    Between,
    Equals,
    Folded,
    In,
    Like,
    Literal,
    Match,
    Operand,
    Or,
    Pattern,
    Predicate,
)
from .rules.like import with_prefix

Searched: TypeAlias = Callable[[int], tuple[int, ...]]
"""The columns that the access's ``@@`` number n searches by an index: none if it is not served."""

_Server: TypeAlias = Callable[[Index, Sequence[Predicate], Searched], tuple[Predicate, ...]]


def served(index: Index, parts: Sequence[Predicate], searched: Searched) -> tuple[Predicate, ...]:
    """The atoms of a conjunction that an index serves together; none when it serves nothing."""
    return _SERVERS[index.method](index, parts, searched)


def usable_indexes(access: TableAccess) -> list[Index]:
    """Indexes that may serve a part of an access's predicate, in the order of the catalog."""
    if access.predicate is None:
        return []

    def columns_for(index: Index) -> Searched:
        return lambda number: columns_by(index, access.matches[number])

    groups = list(_conjunctions(access.predicate))
    return [
        index
        for index in access.table.indexes
        if any(served(index, parts, columns_for(index)) for parts in groups)
    ]


def columns_by(index: Index, match: MatchColumn) -> tuple[int, ...]:
    """The columns of a keyword match that an index may be asked about: none if it wants the texts instead."""
    if index.method == "keyword" and _wants_texts(index, match):
        return ()
    return match.columns


def _wants_texts(index: Index, match: MatchColumn) -> bool:
    query = match.query.value if isinstance(match.query, Literal) else None
    return isinstance(query, str) and needs_texts(query, Analysis.from_options(index.options))


def searched_by(access: TableAccess, match: MatchColumn) -> Index | None:
    """The keyword index that answers a match: the narrowest; None if texts are read instead, or there is none."""
    fitting = [
        index
        for index in access.table.indexes
        if index.method == "keyword" and set(match.columns) <= set(index.columns)
    ]
    index = min(fitting, key=lambda one: len(one.columns), default=None)
    return None if index is None or _wants_texts(index, match) else index


def reads_dictionary(access: TableAccess, index: Index) -> tuple[bool, bool]:
    """Whether the matches that an index answers may read a part of its dictionary, and whether all of it."""
    analysis = Analysis.from_options(index.options)
    part = whole = False
    for match in access.matches:
        if not analysis.dictionary or searched_by(access, match) != index:
            continue
        query = match.query.value if isinstance(match.query, Literal) else None
        if not isinstance(query, str):
            # What a parameter asks for is not known before it is.
            return True, True
        patterns = parse(query, analysis.analyser).patterns
        all_narrow = all(one.narrow for one in patterns)
        part |= bool(patterns) and all_narrow
        whole |= not all_narrow
    return part, whole


def without_dictionary(access: TableAccess) -> list[tuple[Index, Predicate]]:
    """Keyword indexes with a condition that they would serve if they kept a dictionary."""
    if access.predicate is None:
        return []
    groups = list(_conjunctions(access.predicate))
    matches = dict.fromkeys(one for group in groups for one in group if isinstance(one, Match))
    return [
        (index, one)
        for index in access.table.indexes
        if index.method == "keyword"
        for one in matches
        if set(access.matches[one.match].columns) <= set(index.columns)
        and _wants_texts(index, access.matches[one.match])
    ]


def _conjunctions(predicate: Predicate) -> Iterator[tuple[Predicate, ...]]:
    """Every conjunction within a predicate; an atom by itself is one."""
    parts = predicate.parts if isinstance(predicate, And) else (predicate,)
    yield parts
    for part in parts:
        if isinstance(part, Or):
            for arm in part.parts:
                yield from _conjunctions(arm)


def served_by_store(access: TableAccess) -> bool:
    """Whether server-visible indexes serve every conjunct of an access's predicate, if it has one."""
    if access.predicate is None:
        return True
    parts = access.predicate.parts if isinstance(access.predicate, And) else (access.predicate,)
    found: set[Predicate] = set()
    for index in access.table.indexes:
        if index.visible:
            found.update(served(index, parts, lambda _: ()))
    return found.issuperset(parts)


def ope_index(table: Table, column: int) -> Index | None:
    """The ``ope`` index of one column, by which the store sorts, or None."""
    return _index_by("ope", table, column)


def det_index(table: Table, column: int) -> Index | None:
    """The ``det`` index of one column, by which the store joins, or None."""
    return _index_by("det", table, column)


def _index_by(method: str, table: Table, column: int) -> Index | None:
    found = (one for one in table.indexes if one.method == method and one.columns == (column,))
    return next(found, None)


def join_group(left: Table, left_column: int, right: Table, right_column: int) -> str | None:
    """The join group by which the store can join two columns, or None."""
    found = [det_index(left, left_column), det_index(right, right_column)]
    groups = {None if one is None else dict(one.options).get("join_group") for one in found}
    return groups.pop() if len(groups) == 1 else None


def equality_on(column: int, parts: Sequence[Predicate]) -> Equals | In | None:
    """The first conjunct that says which values a column has."""
    found = (one for one in parts if isinstance(one, Equals | In) and one.column == column)
    return next(found, None)


def range_on(
    column: int, parts: Sequence[Predicate], *, folded: bool = False
) -> Equals | In | Between | None:
    """The restriction of a column that leaves fewest of its values: an equality, else a range.

    Args:
        column: the column.
        parts: a conjunction without parameters.
        folded: whether the keys are those of ``lower(column)``.
    """
    found = [one for _, one in _restrictions(column, parts, folded=folded)]
    chosen = _equal_first(found)
    return None if isinstance(chosen, Pattern) else chosen


Restriction: TypeAlias = Equals | In | Between | Pattern


def _equal_first(found: Sequence[Restriction]) -> Restriction | None:
    equal = (one for one in found if isinstance(one, Equals | In))
    return next(equal, next(iter(found), None))


def _restrictions(
    column: int, parts: Sequence[Predicate], *, folded: bool
) -> Iterator[tuple[Predicate, Restriction]]:
    """Conjuncts on a column, each with the keys that it allows in an index of the column or of its ``lower()``."""
    for part in parts:
        if isinstance(part, Equals | In | Between | Like | Pattern | Folded):
            found = _keys_folded(part) if folded else _keys(part)
            if found is not None and part.column == column:
                yield part, found


def _keys(part: Predicate) -> Restriction | None:
    """What an index of a column itself is asked for; of a folded one, what has no other case."""
    if isinstance(part, Folded):
        return _rigid(part.atom)
    if isinstance(part, Like):
        return prefix_of(part)
    if isinstance(part, Pattern):
        return part if part.form in _KEYED else None
    return part if isinstance(part, Equals | In | Between) else None


def _keys_folded(part: Predicate) -> Restriction | None:
    """What an index of ``lower(column)`` is asked for. Equal texts, and equal prefixes, are equal when folded."""
    if isinstance(part, Folded):
        return _keys(part.atom)
    match part:
        case Equals(column, operand):
            return Equals(column, _folded(operand))
        case In(column, operands):
            return In(column, tuple(map(_folded, operands)))
        case Like(column, pieces, begins=True):
            return with_prefix(column, fold(pieces[0]))
        case Pattern():
            return part if part.form in _KEYED else None
        case _:
            return None


_KEYED: Final = ("like", "begins", "equals")
"""Forms that may say how a text begins."""


def prefix_of(like: Like) -> Between | None:
    """The range of texts that begin as a pattern says, if it says how."""
    return with_prefix(like.column, like.pieces[0]) if like.begins else None


def _rigid(atom: Predicate) -> Restriction | None:
    """What a folded column says of the column itself, as far as no letter has another case."""
    match atom:
        case Equals(column, Literal(str() as value)):
            prefix = rigid_prefix(value)
            if prefix == value:
                return Equals(column, Literal(value))
            return with_prefix(column, prefix) if prefix else None
        case Like(column, pieces, begins=True):
            prefix = rigid_prefix(pieces[0])
            return with_prefix(column, prefix) if prefix else None
        case _:
            return None


def _folded(operand: Operand) -> Operand:
    if isinstance(operand, Literal) and isinstance(operand.value, str):
        return Literal(fold(operand.value))
    return operand


def folds(index: Index) -> bool:
    """Whether a range index orders its last column by ``lower()``."""
    return index.method == "range" and index.option("case_insensitive", "false") == "true"


def fragments(part: Predicate) -> list[int] | None:
    """The trigrams that a conjunct asks for, none if it has no fragment that is long enough.

    None for a conjunct that is not about a part of a text, or that has parameters.
    """
    atom = part.atom if isinstance(part, Folded) else part
    if isinstance(atom, Equals) and isinstance(atom.operand, Literal):
        value = atom.operand.value
        return substring.trigrams(value, begins=True, ends=True) if isinstance(value, str) else None
    if not isinstance(atom, Like):
        return None
    found: list[int] = []
    last = len(atom.pieces) - 1
    for place, piece in enumerate(atom.pieces):
        begins, ends = atom.begins and place == 0, atom.ends and place == last
        found += substring.trigrams(piece, begins=begins, ends=ends)
    return list(dict.fromkeys(found))


def too_short(access: TableAccess) -> list[tuple[Index, Predicate]]:
    """Substring indexes with a condition that they would serve if its fragments were longer."""
    if access.predicate is None:
        return []
    groups = list(_conjunctions(access.predicate))
    parts = dict.fromkeys(part for group in groups for part in group)
    return [
        (index, part)
        for index in access.table.indexes
        if index.method == "substring"
        for part in parts
        if isinstance(part.atom if isinstance(part, Folded) else part, Like)
        and isinstance(part, Like | Folded)
        and part.column == index.columns[0]
        and not fragments(part)
    ]


def _by_equality(index: Index, parts: Sequence[Predicate], _: Searched) -> tuple[Predicate, ...]:
    """All columns have known values."""
    found = [equality_on(column, parts) for column in index.columns]
    return tuple(one for one in found if one is not None) if all(found) else ()


def _by_order(index: Index, parts: Sequence[Predicate], _: Searched) -> tuple[Predicate, ...]:
    """All columns but the last have known values, and the last is restricted if it is the only one."""
    *leading, last = index.columns
    found: list[Predicate | None] = [equality_on(one, parts) for one in leading]
    if not all(found):
        return ()
    known = list(_restrictions(last, parts, folded=folds(index)))
    chosen = _equal_first([one for _, one in known])
    found += [part for part, one in known if one is chosen][:1]
    return tuple(one for one in found if one is not None)


def _by_plain_order(index: Index, parts: Sequence[Predicate], _: Searched) -> tuple[Predicate, ...]:
    """The column is compared with constants, or its texts begin with one."""
    (column,) = index.columns
    equal = equality_on(column, parts)
    if equal is not None:
        return (equal,)
    found = (
        one
        for one in parts
        if (isinstance(one, Between) or (isinstance(one, Like) and one.begins))
        and one.column == column
    )
    return tuple(found)[:1]


def _by_fragments(index: Index, parts: Sequence[Predicate], _: Searched) -> tuple[Predicate, ...]:
    """Conditions on parts of the text; what a parameter says is not known before it is."""
    (column,) = index.columns
    return tuple(
        one
        for one in parts
        if isinstance(one, Equals | Like | Pattern | Folded)
        and one.column == column
        and (fragments(one) or _open(one))
    )


def _open(part: Predicate) -> bool:
    """Whether a conjunct waits for a parameter."""
    atom = part.atom if isinstance(part, Folded) else part
    if isinstance(atom, Equals):
        return not isinstance(atom.operand, Literal)
    return isinstance(atom, Pattern)


def _by_words(
    index: Index, parts: Sequence[Predicate], searched: Searched
) -> tuple[Predicate, ...]:
    """Keyword matches over columns of the index."""
    return tuple(
        one
        for one in parts
        if isinstance(one, Match) and set(searched(one.match)) & set(index.columns)
    )


_SERVERS: Final[dict[str, _Server]] = {
    "equality": _by_equality,
    "range": _by_order,
    "keyword": _by_words,
    "det": _by_equality,
    "substring": _by_fragments,
    "ore": _by_plain_order,
    "ope": _by_plain_order,
}
