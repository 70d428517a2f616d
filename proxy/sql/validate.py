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
from .grammar import ALLOWED, FLAGS, PLAIN, WORDS
from .names import BINARY_COLLATIONS, fold

_FUNCTIONS: Final = AGGREGATES | WINDOW_ONLY | SCALARS | TABLE_FUNCTIONS


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
        if value is None or value is False or value == [] or key in allowed or key in FLAGS:
            continue
        what, fix = WORDS.get(
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
    if isinstance(node, exp.Func) and name not in PLAIN:
        return unknown_function(node.sql_name().lower())
    return err(NotSupportedError, "E_NOT_SUPPORTED", f"{_plain(name)} is not supported")


def _plain(name: str) -> str:
    """A class name as words of SQL, as far as there are any."""
    return (
        PLAIN.get(name)
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
