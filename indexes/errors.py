"""Errors of the schemes. The proxy maps them to its PEP 249 errors; nothing here carries a value.

There is one error for everything that does not verify, with one text, so that neither a message nor
a type tells a store which check its ciphertext failed.
"""

from __future__ import annotations


class SchemeError(Exception):
    """Base of everything that `indexes` raises on purpose, apart from misuse by the caller.

    Misuse (a key of the wrong length, an array of the wrong shape) is a ValueError or a TypeError.
    """


class IntegrityFailure(SchemeError):  # noqa: N818 - a failed check is what happened; no name says it better
    """Stored data is not what was written there: changed, moved, replayed, withheld or malformed.

    Raised by every failed authentication and by every failed check of the structure of opened data.
    It takes no argument.
    """

    def __init__(self) -> None:
        super().__init__("stored data failed verification")


class EncodingRefused(SchemeError):  # noqa: N818 - the same
    """A value cannot be encoded: its type has no such encoding, or it is out of the type's range.

    The message names types and limits, never the value.
    """
