"""The functions that SQL may call: a closed list.

The local engine has functions that read files, settings, the environment and its own catalog, and it
grows new ones with each version. So a function is served only if it is listed here, by the class that
sqlglot parses it into or, for those sqlglot has no class for, by its name. Everything else is refused
before the engine sees it. Names are PostgreSQL's; a name that means something else in the engine is
listed only together with a translation in :mod:`.dialect`.
"""

from __future__ import annotations

from typing import Final

from sqlglot import exp

AGGREGATES: Final = frozenset(
    [
        "AnyValue",
        "ArrayAgg",
        "Avg",
        "BitwiseAndAgg",
        "BitwiseOrAgg",
        "BitwiseXorAgg",
        "Corr",
        "Count",
        "CovarPop",
        "CovarSamp",
        "GroupConcat",
        "LogicalAnd",
        "LogicalOr",
        "Max",
        "Min",
        "Mode",
        "PercentileCont",
        "PercentileDisc",
        "RegrSlope",
        "RegrIntercept",
        "RegrCount",
        "RegrR2",
        "RegrAvgx",
        "RegrAvgy",
        "Stddev",
        "StddevPop",
        "StddevSamp",
        "Sum",
        "Variance",
        "VariancePop",
    ]
)
WINDOW_ONLY: Final = frozenset(
    [
        "CumeDist",
        "DenseRank",
        "FirstValue",
        "Lag",
        "LastValue",
        "Lead",
        "NthValue",
        "Ntile",
        "PercentRank",
        "Rank",
        "RowNumber",
    ]
)
SCALARS: Final = frozenset(
    [
        "Abs",
        "Acos",
        "And",
        "ArrayToString",
        "ArraySize",
        "Array",
        "Ascii",
        "Asin",
        "Atan",
        "Atan2",
        "BitLength",
        "Case",
        "Cast",
        "Cbrt",
        "Ceil",
        "Chr",
        "Coalesce",
        "Concat",
        "ConcatWs",
        "Contains",
        "Cos",
        "Cot",
        "CurrentDate",
        "CurrentTimestamp",
        "DateBin",
        "Decode",
        "Degrees",
        "Encode",
        "EndsWith",
        "Exists",
        "Exp",
        "Extract",
        "Factorial",
        "Floor",
        "Greatest",
        "Grouping",
        "Hex",
        "If",
        "JSONExtract",
        "JSONExtractScalar",
        "JustifyDays",
        "JustifyHours",
        "JustifyInterval",
        "Least",
        "Left",
        "Length",
        "Ln",
        "Localtimestamp",
        "Log",
        "Lower",
        "MD5",
        "MakeInterval",
        "MatchAgainst",
        "Nullif",
        "Or",
        "Pad",
        "ParseJSON",
        "Pi",
        "Pow",
        "Radians",
        "Rand",
        "RegexpILike",
        "RegexpLike",
        "RegexpReplace",
        "Repeat",
        "Replace",
        "Reverse",
        "Right",
        "Round",
        "SHA2Digest",
        "Sign",
        "Sin",
        "SplitPart",
        "Sqrt",
        "StartsWith",
        "StrPosition",
        "StrToDate",
        "StrToTime",
        "StringToArray",
        "Substring",
        "Tan",
        "TimeToStr",
        "TimestampFromParts",
        "TimestampTrunc",
        "Translate",
        "Trim",
        "Trunc",
        "UnixToTime",
        "Upper",
        "Uuid",
    ]
)
TABLE_FUNCTIONS: Final = frozenset(["ExplodingGenerateSeries", "GenerateSeries", "Unnest"])
"""Functions that may stand in FROM; ``range`` besides, which has no class."""

NAMED: Final[dict[str, tuple[int, int]]] = {
    "age": (1, 2),
    "cardinality": (1, 1),
    "every": (1, 1),
    "gcd": (2, 2),
    "isfinite": (1, 1),
    "json_array_length": (1, 1),
    "jsonb_array_length": (1, 1),
    "lcm": (2, 2),
    "make_date": (3, 3),
    "octet_length": (1, 1),
    "regr_avgx": (2, 2),
    "regr_avgy": (2, 2),
    "regr_count": (2, 2),
    "regr_intercept": (2, 2),
    "regr_r2": (2, 2),
    "regr_slope": (2, 2),
    "statement_timestamp": (0, 0),
    "suffix": (2, 2),
    "transaction_timestamp": (0, 0),
}
"""Functions that sqlglot has no class for: name, least and most arguments."""

NAMED_AGGREGATES: Final = frozenset(
    ["every", "regr_avgx", "regr_avgy", "regr_count", "regr_intercept", "regr_r2", "regr_slope"]
)
VOLATILE: Final = frozenset({"Rand", "Uuid"})
"""Functions that give another value each time; nothing is pushed past a query that calls one."""

CLOCK: Final = frozenset({"CurrentDate", "CurrentTimestamp", "Localtimestamp"})
CLOCK_NAMED: Final = frozenset({"statement_timestamp", "transaction_timestamp"})

HINTS: Final[dict[str, str]] = {
    "all": "Write NOT IN (…), or ALL (SELECT …)",
    "to_tsvector": "Write column @@ 'words' with a keyword index",
    "to_tsquery": "Write column @@ 'words' with a keyword index",
    "plainto_tsquery": "Write column @@ 'words' with a keyword index",
    "websearch_to_tsquery": "Write column @@ 'words' with a keyword index",
    "nextval": "Give the values yourself",
    "regexp_matches": "Use ~ to test, or regexp_replace to extract",
    "clock_timestamp": "Use now(), which is the start of the transaction",
    "uuid_generate_v4": "Use gen_random_uuid()",
    "json_agg": "Use array_agg",
    "jsonb_agg": "Use array_agg",
    "typeof": "Leave it out",
    "pg_typeof": "Leave it out",
    "read_csv": "Use encdb import",
    "read_parquet": "Use encdb import",
}


def is_aggregate(node: exp.Expr) -> bool:
    """Whether a node is a call of an aggregate."""
    name = type(node).__name__
    if name == "Anonymous":
        return node.name.lower() in NAMED_AGGREGATES
    return name in AGGREGATES


def is_volatile(node: exp.Expr) -> bool:
    """Whether a call may give another value on the same row next time."""
    return type(node).__name__ in VOLATILE


def known_names() -> tuple[str, ...]:
    """Names of served functions as SQL writes them, for suggestions and completion."""
    names = set(NAMED)
    for class_name in AGGREGATES | WINDOW_ONLY | SCALARS | TABLE_FUNCTIONS:
        kind = getattr(exp, class_name, None)
        if kind is not None and issubclass(kind, exp.Func):
            names.update(name.lower() for name in kind.sql_names())
    return tuple(sorted(names | {"string_agg", "bool_and", "bool_or", "to_char", "now", "strpos"}))
