"""Definitions of the hidden methods."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from encdb.errors import NotSupportedError, err
from indexes.types import Kind
from proxy.catalog import Column
from proxy.search.analysis import Analysis

from .base import Definition, Options, boolean

_NO_EQUALITY: Final = (Kind.JSON, Kind.INTERVAL)
_OTHER_TYPE: Final = "Index a column of another type."


def no_equality(column: Column) -> str | None:
    """Why a column has no equality that an index can serve: its equal values have several encodings."""
    if column.type.kind in _NO_EQUALITY:
        return f"is {column.type.sql}, which has no equality index"
    return None


def no_order(column: Column) -> str | None:
    """Why a column has no order that an index can serve."""
    return None if column.type.ordered else f"is {column.type.sql}, which has no order"


def _no_words(column: Column) -> str | None:
    if column.type.kind is not Kind.TEXT:
        return f"is {column.type.sql}; a keyword index takes TEXT"
    return None


def _no_trigrams(column: Column) -> str | None:
    if column.type.kind is not Kind.TEXT:
        return f"is {column.type.sql}; a substring index takes TEXT"
    return None


def _keyword_options(given: Options, _: Sequence[Column]) -> Options:
    return Analysis.from_options(given).to_options()


def _range_options(given: Options, columns: Sequence[Column]) -> Options:
    """``case_insensitive`` orders texts by ``lower()``; to say that it is off says nothing."""
    options = _RANGE_OPTIONS.declare((), (), given)
    if dict(options).get("case_insensitive") != "true":
        return ()
    last = columns[-1]
    if last.type.kind is not Kind.TEXT:
        raise err(
            NotSupportedError,
            "E_INDEX_TYPE",
            f'column "{last.name}" is {last.type.sql}; letter case is a matter of TEXT',
            "Leave case_insensitive out.",
        )
    return options


EQUALITY: Final = Definition("equality", no_equality, _OTHER_TYPE, includes=True)
_RANGE_OPTIONS: Final = Definition(
    "range", no_order, _OTHER_TYPE, options={"case_insensitive": boolean}
)
RANGE: Final = Definition(
    "range",
    no_order,
    _OTHER_TYPE,
    leading=no_equality,
    includes=True,
    read_options=_range_options,
)
KEYWORD: Final = Definition(
    "keyword",
    _no_words,
    "Index a TEXT column.",
    includes=True,
    read_options=_keyword_options,
)
SUBSTRING: Final = Definition("substring", _no_trigrams, "Index a TEXT column.", most_columns=1)
