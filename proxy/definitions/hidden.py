"""Definitions of the hidden methods."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from indexes.types import Kind
from proxy.catalog import Column
from proxy.search.analysis import Analysis

from .base import Definition, Options

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


EQUALITY: Final = Definition("equality", no_equality, _OTHER_TYPE)
RANGE: Final = Definition("range", no_order, _OTHER_TYPE, leading=no_equality)
KEYWORD: Final = Definition(
    "keyword", _no_words, "Index a TEXT column.", read_options=_keyword_options
)
SUBSTRING: Final = Definition("substring", _no_trigrams, "Index a TEXT column.", most_columns=1)
