"""Names of result columns that the user gave none: PostgreSQL's.

The engine would call ``count(*)`` "count_star()" and ``a + 1`` "(a + 1)". PostgreSQL's names are shorter,
do not repeat literals, and are what ``SELECT count FROM (SELECT count(*) FROM t) s`` expects.
"""

from __future__ import annotations

from typing import Final

from sqlglot import exp

UNNAMED: Final = "?column?"

_NAMES: Final[dict[str, str]] = {
    "ArrayAgg": "array_agg",
    "ArraySize": "array_length",
    "AtTimeZone": "timezone",
    "BitwiseAndAgg": "bit_and",
    "BitwiseOrAgg": "bit_or",
    "BitwiseXorAgg": "bit_xor",
    "Corr": "corr",
    "CurrentDate": "current_date",
    "CurrentTimestamp": "now",
    "ExplodingGenerateSeries": "generate_series",
    "GroupConcat": "string_agg",
    "Interval": "interval",
    "Localtimestamp": "localtimestamp",
    "LogicalAnd": "bool_and",
    "LogicalOr": "bool_or",
    "ParseJSON": "json",
    "Pow": "power",
    "Rand": "random",
    "SHA2Digest": "sha256",
    "Hex": "to_hex",
    "StrPosition": "position",
    "StrToDate": "to_date",
    "StrToTime": "to_timestamp",
    "TimeToStr": "to_char",
    "TimestampFromParts": "make_timestamp",
    "TimestampTrunc": "date_trunc",
    "UnixToTime": "to_timestamp",
    "Uuid": "gen_random_uuid",
    "Variance": "variance",
    "VariancePop": "var_pop",
    "Array": "array",
    "Exists": "exists",
}
_OPERATORS: Final = exp.Binary | exp.Between | exp.In | exp.Not | exp.Neg | exp.Any | exp.All
_TRIMS: Final = {"LEADING": "ltrim", "TRAILING": "rtrim"}
_TYPES: Final = {
    exp.DType.INT: "int4",
    exp.DType.BIGINT: "int8",
    exp.DType.SMALLINT: "int2",
    exp.DType.DECIMAL: "numeric",
    exp.DType.FLOAT: "float4",
    exp.DType.DOUBLE: "float8",
    exp.DType.BOOLEAN: "bool",
    exp.DType.VARBINARY: "bytea",
    exp.DType.CHAR: "bpchar",
}


def column_name(node: exp.Expr) -> str:
    """The name of an expression as a result column."""
    while isinstance(node, exp.Paren | exp.Window | exp.Filter | exp.WithinGroup | exp.Bracket):
        node = node.this
    if isinstance(node, exp.Alias | exp.Column):
        return str(node.alias_or_name)
    if isinstance(node, exp.Cast):
        return "div" if isinstance(node.this, exp.IntDiv) else _cast_name(node)
    if isinstance(node, exp.Case):
        default = node.args.get("default")
        inner = UNNAMED if default is None else column_name(default)
        return "case" if inner == UNNAMED else inner
    if isinstance(node, exp.Subquery):
        items = node.this.expressions if isinstance(node.this, exp.Select) else []
        return column_name(items[0]) if items else UNNAMED
    if isinstance(node, exp.Anonymous):
        return str(node.name).lower()
    if isinstance(node, exp.Trim):
        return _TRIMS.get(str(node.args.get("position") or "").upper(), "btrim")
    if isinstance(node, exp.Pad):
        return "lpad" if node.args.get("is_left") else "rpad"
    name = _NAMES.get(type(node).__name__)
    if name is not None:
        return name
    if isinstance(node, _OPERATORS) or not isinstance(node, exp.Func):
        return UNNAMED
    return str(node.sql_name()).lower()


def _cast_name(node: exp.Cast) -> str:
    inner = node.this
    while isinstance(inner, exp.Paren):
        inner = inner.this
    # A name that is only a type's or a keyword's gives way to the outer type's.
    if not isinstance(inner, exp.Cast | exp.Boolean | exp.Case):
        name = column_name(inner)
        if name != UNNAMED:
            return name
    kind = node.to.this
    return _TYPES.get(kind) or str(kind.value).lower()


def name_columns(select: exp.Select) -> None:
    """Give every column of a select list that has no name the one PostgreSQL would give it."""
    items = []
    for item in select.expressions:
        if item.is_star or isinstance(item, exp.Alias | exp.Column):
            items.append(item)
        else:
            items.append(exp.alias_(item, column_name(item), quoted=True, copy=False))
    select.set("expressions", items)
