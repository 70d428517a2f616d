"""The same query for the local engine: where PostgreSQL's dialect and the engine's differ.

sqlglot translates syntax. What it leaves out are differences of meaning under the same spelling; each is a
function here, found by running both systems, and has a test in ``tests/proxy/sql/test_dialect.py``. A
construct whose meaning cannot be kept is refused, never passed on to mean something else.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

import sqlglot
from sqlglot import exp
from sqlglot.errors import ErrorLevel, UnsupportedError

from encdb.errors import NotSupportedError, ProgrammingError, err

from . import constants
from .access import CLOCK
from .casts import translate_cast
from .functions import CLOCK as CLOCK_CLASSES
from .functions import CLOCK_NAMED

DUCKDB: Final = sqlglot.Dialect.get_or_raise("duckdb")
# The engine runs with PostgreSQL's order of NULLs; sqlglot would leave NULLS LAST out after DESC, which is
# the engine's own default.
DUCKDB.NULL_ORDERING = "nulls_are_large"

_FORMAT_CODES: Final = frozenset("YmdHMSyIpjbf")
_FIELDS: Final = frozenset(
    [
        "CENTURY",
        "DAY",
        "DECADE",
        "DOW",
        "DAYOFWEEK",
        "DOY",
        "DAYOFYEAR",
        "EPOCH",
        "HOUR",
        "ISODOW",
        "DAYOFWEEKISO",
        "ISOYEAR",
        "MICROSECOND",
        "MICROSECONDS",
        "MILLENNIUM",
        "MILLISECOND",
        "MILLISECONDS",
        "MINUTE",
        "MONTH",
        "QUARTER",
        "SECOND",
        "WEEK",
        "YEAR",
    ]
)
_UNITS: Final = frozenset(
    [
        "MICROSECONDS",
        "MILLISECONDS",
        "SECOND",
        "MINUTE",
        "HOUR",
        "DAY",
        "WEEK",
        "MONTH",
        "QUARTER",
        "YEAR",
        "DECADE",
        "CENTURY",
        "MILLENNIUM",
    ]
)


class Translator:
    """Writes one query for the engine and numbers its parameters.

    Attributes:
        parameters: for each of the engine's parameters, which of the statement's it is, or CLOCK.
    """

    def __init__(self) -> None:
        self.parameters: list[int] = []
        self._special: dict[str, Callable[[exp.Expr], exp.Expr]] = {
            "Parameter": self._parameter,
            **dict.fromkeys(CLOCK_CLASSES, self._clock),
            "Anonymous": self._named,
        }

    def sql(self, tree: exp.Expr) -> str:
        """The engine's text of a tree, which is changed on the way."""
        stack: list[exp.Expr] = [tree]
        order: list[exp.Expr] = []
        while stack:
            node = stack.pop()
            order.append(node)
            stack.extend(node.iter_expressions())
        # Children come before their parents, which look at what they have become.
        for node in reversed(order):
            name = type(node).__name__
            translate = self._special.get(name) or _TRANSLATORS.get(name)
            if translate is not None:
                parent, key, index = node.parent, node.arg_key, node.index
                new = translate(node)
                if new is not node and parent is not None and key is not None:
                    parent.set(key, new, index=index)
        generator = DUCKDB.generator(
            identify=True, comments=False, unsupported_level=ErrorLevel.RAISE
        )
        try:
            return str(generator.generate(tree, copy=False))
        except UnsupportedError as error:
            raise err(NotSupportedError, "E_NOT_SUPPORTED", str(error)) from None
        except RecursionError:
            raise err(
                ProgrammingError, "E_TOO_LARGE", "the statement is nested too deeply", "Simplify it"
            ) from None

    def _number(self, index: int) -> exp.Expr:
        if index not in self.parameters:
            self.parameters.append(index)
        number = self.parameters.index(index) + 1
        return exp.Parameter(this=exp.Literal.number(number))

    def _parameter(self, node: exp.Expr) -> exp.Expr:
        return self._number(int(node.name) - 1)

    def _clock(self, node: exp.Expr) -> exp.Expr:
        """The clock is read once, at the start of the transaction, as PostgreSQL's is."""
        moment = exp.cast(self._number(CLOCK), "TIMESTAMPTZ")
        if isinstance(node, exp.CurrentTimestamp):
            return moment
        local = exp.cast(moment, "TIMESTAMP")
        return exp.cast(local, "DATE") if isinstance(node, exp.CurrentDate) else local

    def _named(self, node: exp.Expr) -> exp.Expr:
        name, arguments = node.name.lower(), node.expressions
        if name in CLOCK_NAMED:
            return self._clock(exp.CurrentTimestamp())
        if name == "age" and len(arguments) == 1:
            today = exp.cast(self._clock(exp.CurrentDate()), "TIMESTAMP")
            return _call("age", today, arguments[0])
        renamed = _RENAMED.get(name)
        return node if renamed is None else _call(renamed, *arguments)


def _call(name: str, *arguments: exp.Expr) -> exp.Expr:
    return exp.Anonymous(this=name, expressions=list(arguments))


def _refuse(what: str, fix: str | None = None) -> NotSupportedError:
    return err(NotSupportedError, "E_NOT_SUPPORTED", f"{what} is not supported", fix)


_RENAMED: Final = {
    "cardinality": "len",
    "every": "bool_and",
    "jsonb_array_length": "json_array_length",
    "octet_length": "strlen",
}


def _like(node: exp.Expr) -> exp.Expr:
    r"""PostgreSQL's LIKE has the backslash as its escape character, the engine's has none."""
    if isinstance(node.parent, exp.Escape):
        return node
    pattern = constants.string(node.expression)
    if pattern is not None and "\\" not in pattern:
        return node
    return exp.Escape(this=node, expression=exp.Literal.string("\\"))


def _escape(node: exp.Expr) -> exp.Expr:
    """An empty ESCAPE switches escaping off."""
    return node.this if constants.string(node.expression) == "" else node


def _string(node: exp.Expr) -> exp.Expr:
    r"""``E'…'`` and ``$$…$$`` as plain strings; the tokenizer resolved their escapes."""
    return exp.Literal.string(str(node.this))


def _substring(node: exp.Expr) -> exp.Expr:
    """A start below 1 counts from before the text in PostgreSQL, from its end in the engine."""
    start, length = node.args.get("start"), node.args.get("length")
    if start is None:
        return node
    folded = constants.fold(start)
    if folded is not None and folded.type is constants.Type.STRING:
        raise _refuse("substring with a pattern", "Use regexp_replace, or ~ to test")
    if (
        folded is not None
        and folded.type is constants.Type.INTEGER
        and isinstance(folded.value, int)
        and folded.value >= 1
    ):
        return node
    first = _at_least(start, 1)
    node.set("start", first)
    if length is not None:
        end = exp.Add(this=_paren(start), expression=_paren(length))
        rest = exp.Sub(this=exp.Paren(this=end), expression=exp.Paren(this=first.copy()))
        node.set("length", _at_least(rest, 0))
    return node


def _at_least(node: exp.Expr, least: int) -> exp.Case:
    """The greater of both, or NULL; ``greatest`` would pass NULL over."""
    bound = exp.Literal.number(least)
    low = exp.If(this=exp.LT(this=_paren(node), expression=bound), true=bound.copy())
    return exp.Case(ifs=[low], default=node.copy())


def _paren(node: exp.Expr) -> exp.Expr:
    return exp.Paren(this=node.copy())


def _extract(node: exp.Expr) -> exp.Expr:
    """Seconds and milliseconds have a fraction in PostgreSQL."""
    field = node.this.name.upper()
    if field not in _FIELDS:
        raise _refuse(f"EXTRACT({field})")
    divisor = {"SECOND": "1000000.0", "MILLISECOND": "1000.0", "MILLISECONDS": "1000.0"}.get(field)
    if divisor is None:
        return node
    micros = exp.Extract(this=exp.Var(this="MICROSECOND"), expression=node.expression)
    return exp.Paren(this=exp.Div(this=micros, expression=exp.Literal.number(divisor)))


def _trunc_unit(node: exp.Expr) -> exp.Expr:
    unit = node.args.get("unit")
    name = unit.name.upper() if unit is not None else ""
    if name not in _UNITS and f"{name}S" not in _UNITS and name.rstrip("S") not in _UNITS:
        raise _refuse(f"date_trunc with the unit {name or 'given'}")
    return node


def _format(node: exp.Expr) -> exp.Expr:
    """Only formats of digits are kept: names of months and days are padded in PostgreSQL."""
    format_ = node.args.get("format")
    text = constants.string(format_) if format_ is not None else None
    codes = re.findall(r"%-?([A-Za-z])", text or "")
    rest = re.sub(r"%-?[A-Za-z]", "", text or "")
    if not codes or not set(codes) <= _FORMAT_CODES or re.search(r"[A-Za-z0-9\"]", rest):
        raise _refuse("this format", "Use YYYY, MM, DD, HH24, MI, SS with punctuation between them")
    if isinstance(node, exp.StrToTime):
        return exp.Cast(this=node, to=exp.DataType.build("TIMESTAMPTZ"))
    return node


def _hex(node: exp.Expr) -> exp.Expr:
    return node if isinstance(node.parent, exp.Lower) else exp.Lower(this=node)


def _encode(node: exp.Expr) -> exp.Expr:
    charset = node.args.get("charset")
    name = (constants.string(charset) or "").lower() if charset is not None else ""
    calls = _ENCODINGS if isinstance(node, exp.Encode) else _DECODINGS
    if name not in calls:
        raise _refuse("this encoding", "Use 'hex' or 'base64'")
    call = _call(calls[name], node.this)
    return exp.Lower(this=call) if calls[name] == "hex" else call


_ENCODINGS: Final = {"hex": "hex", "base64": "to_base64"}
_DECODINGS: Final = {"hex": "unhex", "base64": "from_base64"}


def _mode(node: exp.Expr) -> exp.Expr:
    """``mode() WITHIN GROUP (ORDER BY x)`` is ``mode(x)``."""
    if not isinstance(node.this, exp.Mode):
        return node
    return _call("mode", node.expression.expressions[0].this)


def _limit(node: exp.Expr) -> exp.Expr:
    """LIMIT ALL is no limit."""
    if isinstance(node.expression, exp.Var) and node.expression.name.upper() == "ALL":
        return exp.Limit(expression=exp.Null())
    return node


_TRANSLATORS: Final[dict[str, Callable[[exp.Expr], exp.Expr]]] = {
    "ByteString": _string,
    "Cast": lambda node: translate_cast(node) if isinstance(node, exp.Cast) else node,
    "Collate": lambda node: node.this,
    "Decode": _encode,
    "Encode": _encode,
    "Escape": _escape,
    "Extract": _extract,
    "Hex": _hex,
    "ILike": _like,
    "Like": _like,
    "Limit": _limit,
    "RawString": _string,
    "StrToDate": _format,
    "StrToTime": _format,
    "Substring": _substring,
    "TimeToStr": _format,
    "TimestampTrunc": _trunc_unit,
    "WithinGroup": _mode,
}
