"""What a query may consist of: a closed list of syntax, checked before anything else looks at it.

sqlglot parses many dialects, accepts more than PostgreSQL does, and drops some words silently when it
writes another dialect (FOR UPDATE, WITH TIES, LIKE ANY). So every node must be of a listed class and may
carry only the listed arguments. Whatever is not listed is refused with its name; it is never passed on.
"""

from __future__ import annotations

from typing import Final

from sqlglot import exp

from encdb.errors import NotSupportedError, ProgrammingError, err

from ..catalog import suggest
from .functions import (
    AGGREGATES,
    HINTS,
    NAMED,
    SCALARS,
    TABLE_FUNCTIONS,
    WINDOW_ONLY,
    known_names,
)
from .names import BINARY_COLLATIONS, fold

_BINARY: Final = frozenset({"this", "expression"})
_UNARY: Final = frozenset({"this"})
_ALL: Final = None
"""Every argument of the class is understood."""

_QUERY: Final = frozenset({"with_", "order", "limit", "offset"})

ALLOWED: Final[dict[str, frozenset[str] | None]] = {
    # Queries and their clauses.
    "Select": _QUERY
    | {
        "expressions",
        "distinct",
        "from_",
        "joins",
        "laterals",
        "where",
        "group",
        "having",
        "windows",
        "qualify",
    },
    "Subquery": _QUERY | {"this", "alias", "joins"},
    "Union": _QUERY | {"this", "expression", "distinct"},
    "Intersect": _QUERY | {"this", "expression", "distinct"},
    "Except": _QUERY | {"this", "expression", "distinct"},
    "Values": frozenset({"expressions", "alias", "order", "limit", "offset"}),
    "With": frozenset({"expressions", "recursive"}),
    "CTE": frozenset({"this", "alias", "materialized"}),
    "From": _UNARY,
    "Join": frozenset({"this", "on", "side", "kind", "using", "method"}),
    "Table": frozenset({"this", "alias", "db", "catalog", "joins", "ordinality"}),
    "TableAlias": frozenset({"this", "columns"}),
    "Lateral": frozenset({"this", "alias", "ordinality"}),
    "Where": _UNARY,
    "Having": _UNARY,
    "Qualify": _UNARY,
    "Group": frozenset({"expressions", "grouping_sets", "cube", "rollup"}),
    "GroupingSets": frozenset({"expressions"}),
    "Cube": frozenset({"expressions"}),
    "Rollup": frozenset({"expressions"}),
    "Order": frozenset({"this", "expressions"}),
    "Ordered": frozenset({"this", "desc", "nulls_first"}),
    "Limit": frozenset({"expression"}),
    "Offset": frozenset({"expression"}),
    "Fetch": frozenset({"direction", "count", "limit_options"}),
    "LimitOptions": frozenset({"rows"}),
    "Distinct": frozenset({"expressions", "on"}),
    "Window": frozenset({"this", "partition_by", "order", "spec", "alias", "over"}),
    "WindowSpec": frozenset({"kind", "start", "start_side", "end", "end_side", "exclude"}),
    "Filter": _BINARY,
    "WithinGroup": _BINARY,
    # Names and values.
    "Alias": frozenset({"this", "alias"}),
    "Column": frozenset({"this", "table", "db"}),
    "Identifier": _ALL,
    "Star": frozenset(),
    "Literal": _ALL,
    "Boolean": _ALL,
    "Null": _ALL,
    "Parameter": _UNARY,
    "Var": _ALL,
    "HexString": _UNARY,
    "ByteString": _UNARY,
    "RawString": _UNARY,
    "UnicodeString": frozenset({"this", "escape"}),
    "Interval": frozenset({"this", "unit"}),
    "DataType": frozenset({"this", "expressions", "nested", "values"}),
    "DataTypeParam": _UNARY,
    "Tuple": frozenset({"expressions"}),
    "Paren": _UNARY,
    "Bracket": frozenset({"this", "expressions", "offset"}),
    "JSONPath": frozenset({"expressions"}),
    "JSONPathRoot": _ALL,
    "JSONPathKey": _UNARY,
    "JSONPathSubscript": _UNARY,
    # Operators.
    "Not": _UNARY,
    "Neg": _UNARY,
    "Is": frozenset({"this", "expression", "negate"}),
    "In": frozenset({"this", "expressions", "query"}),
    "Between": frozenset({"this", "low", "high", "symmetric"}),
    "Like": frozenset({"this", "expression", "negate"}),
    "ILike": frozenset({"this", "expression", "negate"}),
    "Escape": _BINARY,
    "Any": _UNARY,
    "All": _UNARY,
    "BitwiseNot": _UNARY,
    "Collate": _BINARY,
    "AtTimeZone": frozenset({"this", "zone"}),
    **dict.fromkeys(
        [
            "And",
            "Or",
            "EQ",
            "NEQ",
            "GT",
            "GTE",
            "LT",
            "LTE",
            "NullSafeEQ",
            "NullSafeNEQ",
            "Add",
            "Sub",
            "Mul",
            "Div",
            "Mod",
            "IntDiv",
            "DPipe",
            "BitwiseAnd",
            "BitwiseOr",
            "BitwiseXor",
            "BitwiseLeftShift",
            "BitwiseRightShift",
        ],
        _BINARY,
    ),
    # Functions some of whose arguments other dialects added.
    "Cast": frozenset({"this", "to"}),
    "Case": frozenset({"this", "ifs", "default"}),
    "Exists": _UNARY,
    "MatchAgainst": frozenset({"this", "expressions"}),
    "Unnest": frozenset({"expressions", "alias", "offset"}),
    "Explode": _UNARY,
    "ParseJSON": frozenset({"this"}),
    "StrToDate": frozenset({"this", "format"}),
    "TimeToStr": frozenset({"this", "format"}),
    "StrToTime": frozenset({"this", "format"}),
    "UnixToTime": _UNARY,
    "GroupConcat": frozenset({"this", "separator"}),
    "Array": frozenset({"expressions"}),
    "JSONExtract": frozenset({"this", "expression"}),
    "JSONExtractScalar": frozenset({"this", "expression"}),
}
_FLAGS: Final = frozenset(
    {
        "typed",
        "safe",
        "only_json_types",
        "scalar_only",
        "big_int",
        "is_literal",
        "json_type",
        "coalesce",
        "is_left",
        "value_constructor",
        "bracket_notation",
        "quantifiers",
    }
)
"""Arguments that sqlglot sets itself to tell dialects apart; they are no words of the statement."""

_FUNCTIONS: Final = AGGREGATES | WINDOW_ONLY | SCALARS | TABLE_FUNCTIONS
_WORDS: Final[dict[str, tuple[str, str | None]]] = {
    "into": ("SELECT INTO", "CREATE TABLE, then INSERT INTO … SELECT"),
    "locks": ("FOR UPDATE or FOR SHARE", "Leave it out: conflicting writes are found at commit"),
    "sample": ("TABLESAMPLE", "ORDER BY random() LIMIT n"),
    "hint": ("a query hint", "Leave it out"),
    "only": ("ONLY", "Leave it out: tables do not inherit"),
    "with_ties": ("WITH TIES", "Use rank() in a subquery"),
    "percent": ("FETCH … PERCENT", "Use LIMIT with a number"),
    "pivots": ("PIVOT", "Use aggregates with FILTER"),
    "search": ("SEARCH in WITH RECURSIVE", None),
    "cycle": ("CYCLE in WITH RECURSIVE", None),
    "except_": ("* EXCLUDE", "Name the columns"),
    "replace": ("* REPLACE", "Name the columns"),
    "rename": ("* RENAME", "Name the columns"),
    "collate": ("COLLATE", "Leave it out: text is compared by code point"),
    "version": ("a time-travel query", None),
    "rows_from": ("ROWS FROM", "Join the functions"),
    "by_name": ("UNION BY NAME", "Name the columns in the same order"),
    "materialized": ("MATERIALIZED", None),
    "fraction_in_string": (
        "a fraction in an INTERVAL",
        "Use a smaller unit, as in INTERVAL '36 hours'",
    ),
    "symmetric": ("BETWEEN SYMMETRIC", "Put the lower bound first"),
}


def check(tree: exp.Expr) -> None:
    """Check every node of a tree.

    Raises:
        NotSupportedError: something is understood and not served; the message names it.
        ProgrammingError: E_UNKNOWN_FUNCTION, with suggestions.
    """
    for node in tree.walk():
        name = type(node).__name__
        if name == "Anonymous":
            _check_named(node)
            continue
        allowed = ALLOWED.get(name)
        if name not in ALLOWED and name not in _FUNCTIONS:
            raise _unknown(node, name)
        if allowed is not None:
            _check_arguments(node, name, allowed)
        special = _SPECIAL.get(name)
        if special is not None:
            special(node)


def _check_arguments(node: exp.Expr, name: str, allowed: frozenset[str]) -> None:
    for key, value in node.args.items():
        if value is None or value is False or value == [] or key in allowed or key in _FLAGS:
            continue
        what, fix = _WORDS.get(
            key, (f"{key.strip('_').replace('_', ' ').upper()} in {_plain(name)}", None)
        )
        raise err(NotSupportedError, "E_NOT_SUPPORTED", f"{what} is not supported", fix)


def _check_named(node: exp.Expr) -> None:
    name = node.name.lower()
    if name in TABLE_NAMED and isinstance(node.parent, exp.Table):
        return
    limits = NAMED.get(name)
    if limits is None:
        raise unknown_function(name)
    if not limits[0] <= len(node.expressions) <= limits[1]:
        raise err(
            ProgrammingError,
            "E_UNKNOWN_FUNCTION",
            f"{name} does not take {len(node.expressions)} arguments",
        )


TABLE_NAMED: Final = frozenset({"range"})


def unknown_function(name: str) -> ProgrammingError:
    """The error for a function that is not listed."""
    fix = HINTS.get(name) or suggest(name, known_names())
    return err(ProgrammingError, "E_UNKNOWN_FUNCTION", f"there is no function {name}()", fix)


def _unknown(node: exp.Expr, name: str) -> NotSupportedError | ProgrammingError:
    if isinstance(node, exp.Func) and name not in _PLAIN:
        return unknown_function(node.sql_name().lower())
    return err(NotSupportedError, "E_NOT_SUPPORTED", f"{_plain(name)} is not supported")


_PLAIN: Final[dict[str, str]] = {
    "TableSample": "TABLESAMPLE",
    "National": "a national string N'…'",
    "Placeholder": "a named parameter",
    "IntervalSpan": "an INTERVAL of two units",
    "Lock": "FOR UPDATE or FOR SHARE",
    "Into": "SELECT INTO",
    "Pivot": "PIVOT",
    "ArrayContainsAll": "the operator @>",
    "ArrayContainedBy": "the operator <@",
    "ArrayOverlaps": "the operator &&",
    "JSONBContains": "the operator ?",
    "JSONBExtract": "the operator #>",
    "JSONBExtractScalar": "the operator #>>",
    "Distance": "the operator <->",
    "Insert": "INSERT within a query",
    "Update": "UPDATE within a query",
    "Delete": "DELETE within a query",
    "Command": "this statement",
    "ObjectIdentifier": "the type of an object's name, such as REGCLASS,",
    "SimilarTo": "SIMILAR TO",
    "Overlay": "overlay()",
}


def _plain(name: str) -> str:
    """A class name as words of SQL, as far as there are any."""
    return (
        _PLAIN.get(name)
        or "".join(
            f" {letter}" if letter.isupper() and place else letter
            for place, letter in enumerate(name)
        ).upper()
    )


def _check_like(node: exp.Expr) -> None:
    """Sqlglot drops ANY and ALL after LIKE when it writes the engine's dialect."""
    if isinstance(node.args.get("expression"), exp.Any | exp.All):
        raise err(
            NotSupportedError,
            "E_NOT_SUPPORTED",
            "LIKE ANY and LIKE ALL are not supported",
            "Write one LIKE for each pattern, joined by OR or AND",
        )


def _check_array(node: exp.Expr) -> None:
    """PostgreSQL reads ``'{1,2}'`` as an array; the engine would not."""
    inner = node.this
    while isinstance(inner, exp.Paren):
        inner = inner.this
    if isinstance(inner, exp.Literal | exp.Cast):
        raise err(
            NotSupportedError,
            "E_NOT_SUPPORTED",
            "an array written as a string is not supported",
            "Write ARRAY[1, 2], or IN (1, 2)",
        )


def _check_collation(node: exp.Expr) -> None:
    """The collations that compare by code point are the order there is; others are refused."""
    if fold(node.expression.name) not in BINARY_COLLATIONS:
        raise err(
            NotSupportedError,
            "E_NOT_SUPPORTED",
            f'the collation "{node.expression.name}" is not supported',
            "Leave it out: text is compared by code point",
        )


def _check_star(node: exp.Expr) -> None:
    parent = node.parent
    if isinstance(parent, exp.Count | exp.Select | exp.Column) or parent is None:
        if isinstance(parent, exp.Column) and not isinstance(parent.parent, exp.Select | None):
            raise err(
                NotSupportedError,
                "E_NOT_SUPPORTED",
                "table.* within an expression is not supported",
            )
        return
    raise err(NotSupportedError, "E_NOT_SUPPORTED", "* within an expression is not supported")


def _check_set_returning(node: exp.Expr) -> None:
    """Set-returning functions belong in FROM: in a select list they multiply rows in odd ways."""
    parent = node.parent
    if not isinstance(parent, exp.From | exp.Join | exp.Lateral | exp.Table):
        raise err(
            NotSupportedError,
            "E_NOT_SUPPORTED",
            "a set-returning function outside FROM is not supported",
            "Write it in FROM, as in FROM generate_series(1, 3) AS n",
        )


def _check_interval(node: exp.Expr) -> None:
    unit = node.args.get("unit")
    if unit is not None and not isinstance(unit, exp.Var):
        raise err(
            NotSupportedError,
            "E_NOT_SUPPORTED",
            "an INTERVAL with fields or precision is not supported",
            "Write INTERVAL '1 day'",
        )


def _check_if(node: exp.Expr) -> None:
    if not isinstance(node.parent, exp.Case):
        raise err(ProgrammingError, "E_UNKNOWN_FUNCTION", "there is no function if()", "Use CASE")


_SPECIAL: Final = {
    "All": _check_array,
    "Any": _check_array,
    "Collate": _check_collation,
    "Like": _check_like,
    "ILike": _check_like,
    "Star": _check_star,
    "Explode": _check_set_returning,
    "ExplodingGenerateSeries": _check_set_returning,
    "GenerateSeries": _check_set_returning,
    "Unnest": _check_set_returning,
    "Interval": _check_interval,
    "If": _check_if,
}
