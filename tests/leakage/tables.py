"""Values that fill many pages with few rows."""

from __future__ import annotations

import hashlib

PLAIN = (("dictionary", "false"), ("language", "none"), ("positions", "off"), ("stopwords", "off"))
"""Options of a keyword index that takes words as they are."""
POSITIONS = (
    ("dictionary", "false"),
    ("language", "none"),
    ("positions", "on"),
    ("stopwords", "off"),
)
"""The same, with the places of words."""

SORTED_WORDS = (
    ("dictionary", "true"),
    ("language", "none"),
    ("positions", "off"),
    ("stopwords", "off"),
)
"""The same as the first, with a dictionary."""


def code(number: int) -> str:
    """A text of 16 characters whose order is that of no number."""
    return hashlib.sha256(str(number).encode()).hexdigest()[:16]
