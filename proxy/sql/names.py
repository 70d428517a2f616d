"""Identifiers: how they compare, which are refused, and which schemas there are.

Names are case-insensitive and case-preserving, quoted or not, as in the local engine. PostgreSQL
instead folds unquoted names and distinguishes quoted ones; two names that differ in case only are
refused here, so no statement can mean another table than it would mean there. Databases have one
schema. Its names ``public`` (PostgreSQL) and ``main`` (the engine) are accepted; any other schema is
refused, lest a table of the same name elsewhere be taken for ours.
"""

from __future__ import annotations

from typing import Final

from sqlglot import exp

from encdb.errors import NotSupportedError, ProgrammingError, err

SCHEMAS: Final = frozenset({"public", "main"})
MAX_NAME_BYTES: Final = 255

BINARY_COLLATIONS: Final = frozenset({"c", "posix", "ucs_basic", "default"})
"""Collations by code point, which is how text is compared here whatever a statement says."""

ORDINAL: Final = "__ordinal"
"""The hidden column of UPDATE and DELETE plans: the row's ordinal, BIGINT."""

MATCH_PREFIX: Final = "__match_"
"""Prefix of the hidden BOOLEAN columns that stand for ``@@`` in the local engine."""

WEIGHT: Final = "__weight"
"""The hidden column of a table with one row per group: how many rows the group has, BIGINT."""


def fold(name: str) -> str:
    """The form in which names are compared."""
    return name.casefold()


def check_new_name(name: str, what: str) -> str:
    """A name for something to be created; ProgrammingError E_INVALID_NAME if it cannot be one."""
    folded = fold(name)
    problem = None
    if not name.strip():
        problem = "is empty"
    elif len(name.encode("utf-8", "surrogatepass")) > MAX_NAME_BYTES:
        problem = f"is longer than {MAX_NAME_BYTES} bytes"
    elif any(ord(character) < 32 or 0xD800 <= ord(character) < 0xE000 for character in name):
        problem = "holds a control character"
    elif folded in {ORDINAL, WEIGHT} or folded.startswith(MATCH_PREFIX):
        problem = "is reserved"
    if problem is None:
        return name
    raise err(ProgrammingError, "E_INVALID_NAME", f"the name of {what} {problem}")


def table_name(node: exp.Table) -> str:
    """The name of a table that a statement mentions, without its schema."""
    schema = node.args.get("db")
    if node.args.get("catalog") is not None:
        raise err(
            NotSupportedError,
            "E_NOT_SUPPORTED",
            "names of other databases are not supported",
            "Write the table's name alone",
        )
    if schema is not None:
        check_schema(schema.name)
    return str(node.name)


def check_schema(schema: str) -> None:
    """NotSupportedError for a schema that does not exist here."""
    if fold(schema) not in SCHEMAS:
        raise err(
            NotSupportedError,
            "E_NOT_SUPPORTED",
            f'there is no schema "{schema}"',
            "Write the table's name alone, or with public",
        )
